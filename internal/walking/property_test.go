package walking

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawRecords draws the records of one stream over some days around noon of June 1. Grains are mixed, overlaps, records
// without length or steps, and evenly spread ones included, if mixed is set; else they are disjoint minutes.
func drawRecords(t *rapid.T, label string, days int, mixed bool) []Record {
	var out []Record
	for range rapid.IntRange(0, 12*days).Draw(t, label+" bouts") {
		from := rapid.IntRange(-720*days, 720*days).Draw(t, "from")
		if !mixed {
			for i := range rapid.IntRange(1, 40).Draw(t, "minutes") {
				out = append(out, rec(float64(from+i), 1, float64(rapid.IntRange(0, 180).Draw(t, "steps"))))
			}
			continue
		}
		switch rapid.IntRange(0, 7).Draw(t, "shape") {
		case 0, 1: // minutes, not quite on the grid
			off := float64(rapid.IntRange(0, 59).Draw(t, "seconds")) / 60
			for i := range rapid.IntRange(1, 30).Draw(t, "minutes") {
				out = append(out, rec(float64(from+i)+off, 1, float64(rapid.IntRange(0, 180).Draw(t, "steps"))))
			}
		case 2: // evenly spread
			steps := float64(rapid.IntRange(1, 6000).Draw(t, "steps")) / 60
			out = append(out, run(from, rapid.IntRange(2, 90).Draw(t, "minutes"), steps)...)
		case 3:
			out = append(out, rec(float64(from), 0, float64(rapid.IntRange(0, 50).Draw(t, "steps"))))
		case 4: // sliding
			length := rapid.SampledFrom([]int{2, 10, 60}).Draw(t, "length")
			for i := range rapid.IntRange(2, 12).Draw(t, "n") {
				out = append(out, rec(float64(from+i*length/2), float64(length), float64(length*rapid.IntRange(0, 130).Draw(t, "cadence"))))
			}
		default:
			length := rapid.SampledFrom([]int{1, 5, 7, 15, 60, 180}).Draw(t, "length")
			out = append(out, rec(float64(from), float64(length), float64(length*rapid.IntRange(0, 150).Draw(t, "cadence"))))
		}
	}
	if !mixed {
		slices.SortFunc(out, compareRecords)
		out = slices.CompactFunc(out, func(a, b Record) bool { return a.Start.Equal(b.Start) })
	}
	return out
}

func drawSessions(t *rapid.T, days int) []Session {
	var out []Session
	for range rapid.IntRange(0, 2*days).Draw(t, "sessions") {
		length := rapid.IntRange(0, 180).Draw(t, "length")
		s := session(rapid.SampledFrom([]Kind{Walk, Run, Hike, Ride, Swim, Other}).Draw(t, "kind"),
			float64(rapid.IntRange(-720*days, 720*days).Draw(t, "from")), float64(length), float64(rapid.IntRange(0, length).Draw(t, "moving")))
		if rapid.Bool().Draw(t, "has steps") {
			s = withSteps(s, float64(length*rapid.IntRange(0, 150).Draw(t, "cadence")))
		}
		out = append(out, s)
	}
	return out
}

func drawInputs(t *rapid.T, streams, days int) []Input {
	var out []Input
	for i := range rapid.IntRange(1, streams).Draw(t, "streams") {
		in := Input{StreamKey: StreamKey{Source: fmt.Sprint("s", i)}, Records: drawRecords(t, fmt.Sprint("s", i), days, true)}
		in.Sessions = drawSessions(t, days)
		for range rapid.IntRange(0, 2).Draw(t, "unworn") {
			r := rec(float64(rapid.IntRange(-720*days, 720*days).Draw(t, "from")), float64(rapid.IntRange(0, 400).Draw(t, "length")), 0)
			in.Unworn = append(in.Unworn, Window{r.Start, r.End()})
		}
		out = append(out, in)
	}
	return out
}

// outcome is all that a merge says of a day.
type outcome struct {
	Summary Summary
	Detail  Detail
}

func outcomeOf(m *Merged, d Day, s Setting) outcome {
	sum, det := m.Day(d, s)
	return outcome{sum, det}
}

// difference returns how two outcomes differ; cmp alone is slow over days of minutes.
func difference(a, b outcome) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return cmp.Diff(a, b)
}

// traveller flies west a few days after June 1.
var traveller = Setting{
	Zones: NewTimeline(time.FixedZone("+02:00", 2*3600), ZoneChange{noon.Add(100 * time.Hour), time.FixedZone("-07:00", -7*3600)}),
	Quiet: WallRange{22 * 60, 7 * 60},
}

// No more walking than time, no less than none, and bounds on both sides.
func TestPropertyBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Merge(drawInputs(t, 4, 3))
		for d := june1 - 3; d <= june1+5; d++ {
			s, det := m.Day(d, traveller)
			if s.Steps < 0 || s.Walking < 0 || s.Running < 0 || s.Brisk < 0 || s.Alternative < 0 {
				t.Fatalf("%v is negative somewhere: %+v", d, s)
			}
			if s.Low > s.Walking || s.Walking > s.High || s.Brisk > s.Walking {
				t.Fatalf("%v: low %v, walking %v, high %v, brisk %v", d, s.Low, s.Walking, s.High, s.Brisk)
			}
			if s.Walking+s.Running > s.Hours*60+0.02 || s.Alternative > s.Hours*60+0.02 {
				t.Fatalf("%v: %v min walking, %v running, %v others in %v h", d, s.Walking, s.Running, s.Alternative, s.Hours)
			}
			walking, steps, supplied, hours := 0.0, 0.0, 0.0, 0.0
			for i, x := range det.Minutes {
				if x.Walking < 0 || x.Walking > time.Minute || x.Steps < 0 || x.Start.Truncate(time.Minute) != x.Start {
					t.Fatalf("a minute of %v: %+v", d, x)
				}
				if i > 0 && !x.Start.After(det.Minutes[i-1].Start) {
					t.Fatalf("%v: minute %v follows %v", d, x.Start, det.Minutes[i-1].Start)
				}
				walking += x.Walking.Minutes()
				steps += x.Steps
			}
			for _, x := range s.Sources {
				supplied += x.Supplied
			}
			for _, x := range s.ByHour {
				hours += x.Walking
			}
			if math.Abs(walking-s.Walking) > 0.01 || math.Abs(supplied-s.Walking) > 0.03 || math.Abs(hours-s.Walking) > 0.13 {
				t.Fatalf("%v: %v min, in minutes %v, by source %v, by hour %v", d, s.Walking, walking, supplied, hours)
			}
			if math.Abs(steps-float64(s.Steps)) > 0.51 {
				t.Fatalf("%v: %d steps, in minutes %v", d, s.Steps, steps)
			}
			for _, x := range det.Streams {
				for i := 1; i < len(x.Records); i++ {
					if !x.Records[i].Start.After(x.Records[i-1].Start) {
						t.Fatalf("%v: two records of %v start at %v", d, x.StreamKey, x.Records[i].Start)
					}
				}
			}
		}
		checkLayer(t, &m.all)
		checkLayer(t, &m.alternative)
		for i := range m.alone {
			checkLayer(t, &layer{pieces: m.alone[i].pieces, held: m.alone[i].zeros, instants: m.alone[i].instants})
		}
	})
}

// checkLayer checks that lists are sorted and disjoint, and that nothing moves faster than time.
func checkLayer(t *rapid.T, l *layer) {
	for i, p := range l.pieces {
		if p.length() <= 0 || p.moved < 0 || p.moved > float64(p.length())*(1+1e-9) || i > 0 && l.pieces[i-1].end > p.start {
			t.Fatalf("piece %d: %+v", i, l.pieces[max(0, i-1):i+1])
		}
	}
	for _, spans := range [][]span{l.held, l.core} {
		for i, s := range spans {
			if s.length() <= 0 || i > 0 && spans[i-1].end > s.start {
				t.Fatalf("held %d: %+v", i, spans[max(0, i-1):i+1])
			}
		}
	}
	if !slices.IsSortedFunc(l.instants, func(a, b instant) int { return int(min(max(a.at-b.at, -1), 1)) }) {
		t.Fatal("instants are out of order")
	}
}

// A lower stream changes no minute in which a higher one has steps.
func TestPropertyLowerStreamsAddOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInputs(t, 3, 2)
		for i := range in {
			in[i].Sessions = nil // these come after all records, and may lose to a lower stream's
		}
		higher, both := Merge(in[:len(in)-1]), Merge(in)
		for d := june1 - 2; d <= june1+3; d++ {
			a, detA := higher.Day(d, traveller)
			b, detB := both.Day(d, traveller)
			if b.Walking < a.Walking || b.Running < a.Running || b.Steps < a.Steps {
				t.Fatalf("%v: %v min with %d streams, %v with one more", d, a.Walking, len(in)-1, b.Walking)
			}
			after := map[time.Time]Minute{}
			for _, m := range detB.Minutes {
				after[m.Start] = m
			}
			for _, m := range detA.Minutes {
				w := Window{m.Start, m.Start.Add(time.Minute)}.span()
				covered := subtractSpans(nil, []span{w}, higher.all.core)
				if len(covered) == 0 && after[m.Start] != m {
					t.Fatalf("the minute %+v became %+v", m, after[m.Start])
				}
			}
		}
	})
}

// Equal parts of a record make up to 15 % more walking, 92/80, and never less.
func TestPropertySplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole, parts []Record
		for i := range rapid.IntRange(1, 20).Draw(t, "records") {
			length := rapid.SampledFrom([]int{1, 2, 5, 10, 15, 60, 120}).Draw(t, "length")
			n := rapid.IntRange(1, 2*length).Draw(t, "parts")
			steps := float64(rapid.IntRange(0, 135*length/n).Draw(t, "steps")) // of a part, whole, so that none is rejoined
			r := rec(float64(i*120), float64(length), steps*float64(n))
			whole = append(whole, r)
			for j := range n {
				from, to := r.Duration*time.Duration(j)/time.Duration(n), r.Duration*time.Duration(j+1)/time.Duration(n)
				parts = append(parts, Record{Start: r.Start.Add(from), Duration: to - from, Steps: steps})
			}
		}
		a, b := Merge(streams(whole)), Merge(streams(parts))
		for d := june1; d <= june1+3; d++ {
			x, _ := a.Day(d, Setting{})
			y, _ := b.Day(d, Setting{})
			if y.Walking < x.Walking-0.01 || y.Walking > x.Walking*1.15+0.01 || max(x.Steps-y.Steps, y.Steps-x.Steps) > 1 {
				t.Fatalf("%v: %v min and %d steps, in parts %v and %d", d, x.Walking, x.Steps, y.Walking, y.Steps)
			}
		}
	})
}

// The order of what comes in never matters, but for the order of the streams.
func TestPropertyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInputs(t, 3, 2)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var shuffled []Input
		for _, x := range in {
			x.Records, x.Sessions, x.Unworn = slices.Clone(x.Records), slices.Clone(x.Sessions), slices.Clone(x.Unworn)
			rng.Shuffle(len(x.Records), func(i, j int) { x.Records[i], x.Records[j] = x.Records[j], x.Records[i] })
			rng.Shuffle(len(x.Sessions), func(i, j int) { x.Sessions[i], x.Sessions[j] = x.Sessions[j], x.Sessions[i] })
			rng.Shuffle(len(x.Unworn), func(i, j int) { x.Unworn[i], x.Unworn[j] = x.Unworn[j], x.Unworn[i] })
			shuffled = append(shuffled, x)
		}
		before := slices.Clone(shuffled[0].Records)
		a, b := Merge(in), Merge(shuffled)
		for d := june1 - 2; d <= june1+3; d++ {
			if diff := difference(outcomeOf(a, d, traveller), outcomeOf(b, d, traveller)); diff != "" {
				t.Fatalf("%v (-in order +shuffled):\n%s", d, diff)
			}
		}
		if !slices.Equal(before, shuffled[0].Records) {
			t.Fatal("Merge changed its input")
		}
	})
}

// What is out of reach changes nothing: the store derives a day from the records around it.
func TestPropertyLocality(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInputs(t, 3, 5)
		for i := range in {
			if rapid.IntRange(0, 3).Draw(t, "totals") == 0 { // daily totals, some of them by another zone's days
				for d := -8; d < 8; d++ {
					from := float64(d*1440 + rapid.IntRange(0, 1).Draw(t, "half")*720)
					in[i].Records = append(in[i].Records, rec(from, 1440, float64(rapid.IntRange(0, 20000).Draw(t, "steps"))))
				}
			}
		}
		checkLocality(t, in)
	})
}

// Chains of overlaps are where it would fail first.
func TestPropertyLocalityOfChains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []Input
		for i := range rapid.IntRange(1, 3).Draw(t, "streams") {
			x := Input{StreamKey: StreamKey{Source: fmt.Sprint("s", i)}}
			length := rapid.SampledFrom([]int{1, 5, 15, 60, 240}).Draw(t, "length")
			step := rapid.IntRange(max(1, length/3), length+10).Draw(t, "step")
			odd := rapid.Bool().Draw(t, "odd lengths")
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			for from := -5000; from < 5000; from += step {
				r := rec(float64(from), float64(length), float64(length*rng.IntN(131)))
				if odd {
					r.Duration -= time.Duration(rng.IntN(31)) * time.Second
				}
				x.Records = append(x.Records, r)
				if rng.IntN(20) == 0 {
					x.Sessions = append(x.Sessions, session(Walk, float64(from), float64(length), float64(length)/2))
				}
			}
			in = append(in, x)
		}
		checkLocality(t, in)
	})
}

func checkLocality(t *rapid.T, in []Input) {
	var reach time.Duration
	for _, x := range in {
		longest := time.Duration(0)
		for _, r := range x.Records {
			longest = max(longest, r.Duration)
		}
		for _, s := range x.Sessions {
			longest = max(longest, s.End.Sub(s.Start))
		}
		reach += Reach(longest)
	}
	all := Merge(in)
	for d := june1 - 1; d <= june1+1; d++ {
		var near []Input
		for _, x := range in {
			x := Input{StreamKey: x.StreamKey, Records: slices.Clone(x.Records), Sessions: slices.Clone(x.Sessions), Unworn: x.Unworn}
			spans := traveller.Zones.Spans(d)
			w := Window{spans[0].Start, spans[len(spans)-1].End}.Widen(reach)
			away := func(v Window) bool { return !v.Overlaps(w) && !w.Contains(v.Start) }
			x.Records = slices.DeleteFunc(x.Records, func(r Record) bool { return away(Window{r.Start, r.End()}) })
			x.Sessions = slices.DeleteFunc(x.Sessions, func(s Session) bool { return away(s.Window()) })
			near = append(near, x)
		}
		if diff := difference(outcomeOf(all, d, traveller), outcomeOf(Merge(near), d, traveller)); diff != "" {
			t.Fatalf("%v with %v around it (-all +near):\n%s", d, reach, diff)
		}
	}
}

// A stream that says again what a higher one says changes nothing.
func TestPropertyTwins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInputs(t, 2, 2)
		var twice []Input
		for _, x := range in {
			twin := x
			twin.StreamKey = StreamKey{Source: "twin of " + x.Source}
			twice = append(twice, x, twin)
		}
		once, both := Merge(in), Merge(twice)
		for d := june1 - 2; d <= june1+3; d++ {
			a, detA := once.Day(d, traveller)
			b, detB := both.Day(d, traveller)
			b.Sources, b.Sessions = a.Sources, a.Sessions
			if diff := cmp.Diff(a, b); diff != "" {
				t.Fatalf("%v (-once +twice):\n%s", d, diff)
			}
			if diff := cmp.Diff(detA.Minutes, detB.Minutes); diff != "" {
				t.Fatalf("minutes of %v (-once +twice):\n%s", d, diff)
			}
		}
	})
}

// The days of any span add up to the span.
func TestPropertyDaysAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t, "a", 4, false)
		m := Merge(streams(records))
		z := drawTimeline(t)
		sum, want := 0.0, 0.0
		for d := june1 - 8; d <= june1+8; d++ {
			s, _ := m.Day(d, Setting{Zones: z})
			sum += s.Walking + s.Running
		}
		for _, r := range records {
			want += WalkingTime(r).Minutes()
		}
		if math.Abs(sum-want) > 0.18 { // rounded 17 days
			t.Fatalf("%v min in days, %v in records", sum, want)
		}
	})
}

var manyZones = []string{
	"Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "Africa/Monrovia", "America/Asuncion", "America/Caracas", "America/Godthab",
	"America/Havana", "America/Los_Angeles", "America/Miquelon", "America/New_York", "America/Santiago", "America/Sao_Paulo",
	"America/Scoresbysund", "America/St_Johns", "Antarctica/Casey", "Antarctica/Troll", "Asia/Amman", "Asia/Beirut", "Asia/Gaza",
	"Asia/Kathmandu", "Asia/Kolkata", "Asia/Manila", "Asia/Pyongyang", "Asia/Tehran", "Asia/Tokyo", "Atlantic/Azores",
	"Australia/Eucla", "Australia/Lord_Howe", "Australia/Sydney", "Europe/Berlin", "Europe/Dublin", "Europe/Istanbul", "Europe/London",
	"Europe/Moscow", "Pacific/Apia", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Kwajalein",
	"Pacific/Norfolk", "Pacific/Pago_Pago", "Pacific/Tongatapu", "UTC",
}

func drawTimeline(t *rapid.T) Timeline {
	draw := func() *time.Location {
		loc, err := time.LoadLocation(rapid.SampledFrom(manyZones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	home := draw()
	var changes []ZoneChange
	for range rapid.IntRange(0, 6).Draw(t, "journeys") {
		from := noon.Add(time.Duration(rapid.IntRange(-8*24*60, 8*24*60).Draw(t, "minutes")) * time.Minute)
		changes = append(changes, ZoneChange{from, draw()})
	}
	return NewTimeline(home, changes...)
}

// tiles checks that the spans of the dates from first to last make up all of the time between them, each instant once,
// and that the date of every edge is right.
func tiles(z Timeline, first, last Day) error {
	var all []Window
	for d := first; d <= last; d++ {
		spans := z.Spans(d)
		for i, w := range spans {
			if w.Empty() || i > 0 && !spans[i-1].End.Before(w.Start) {
				return fmt.Errorf("spans of %v: %v", d, spans)
			}
			for _, t := range []time.Time{w.Start, w.Start.Add(w.Duration() / 2), w.End.Add(-1)} {
				if got := z.Day(t); got != d {
					return fmt.Errorf("%v lies in the spans of %v, and its date is %v", t, d, got)
				}
			}
			if z.Day(w.Start.Add(-1)) == d || z.Day(w.End) == d {
				return fmt.Errorf("%v goes on beyond %v", d, w)
			}
		}
		all = append(all, spans...)
	}
	slices.SortFunc(all, func(a, b Window) int { return a.Start.Compare(b.Start) })
	// At both ends a date outside may be lived in between; in the middle nothing may be missing.
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1].End, all[i].Start; b.Before(a) {
			return fmt.Errorf("%v and %v overlap", all[i-1], all[i])
		} else if d := z.Day(a); a.Before(b) && d >= first && d <= last {
			return fmt.Errorf("nothing from %v to %v", a, b)
		}
	}
	return nil
}

func TestDaysTileEveryClockChange(t *testing.T) {
	for _, name := range manyZones {
		loc := zone(t, name)
		z := NewTimeline(loc)
		x, end := DayOf(1970, time.January, 3).utc(), DayOf(2037, time.December, 30).utc()
		if testing.Short() {
			x = DayOf(2005, time.January, 1).utc()
		}
		changes := 0
		for {
			_, next := x.In(loc).ZoneBounds()
			if next.IsZero() || next.After(end) {
				break
			}
			d := z.Day(next)
			if err := tiles(z, d-2, d+2); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			hours := 0.0
			for i := d - 2; i <= d+2; i++ {
				hours += z.Hours(i)
			}
			first, last := (d - 2).In(loc), (d + 3).In(loc)
			if got := last.Sub(first).Hours(); math.Abs(got-hours) > 1e-6 && z.Hours(d-2) > 0 && len(z.Spans(d-2)) == 1 {
				t.Fatalf("%s around %v: %v h in days, %v h between midnights", name, d, hours, got)
			}
			x = next
			changes++
		}
		if changes == 0 && name == "Europe/Berlin" {
			t.Fatal("no clock changes: is there no zone data?")
		}
	}
}

func TestPropertyDaysTileWithTravel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := drawTimeline(t)
		if err := tiles(z, june1-11, june1+11); err != nil {
			t.Fatalf("%v: %v", z, err)
		}
		// Asleep and awake make up the day, too.
		quiet := WallRange{WallTime(rapid.IntRange(0, 1439).Draw(t, "from")), WallTime(rapid.IntRange(0, 1440).Draw(t, "to"))}
		for d := june1 - 9; d <= june1+9; d++ {
			var sum time.Duration
			for _, w := range z.Waking(d, quiet) {
				sum += w.Duration()
			}
			for _, day := range z.Spans(d) {
				for _, w := range z.Ranges(day, quiet) {
					sum += w.Duration()
				}
			}
			if got := sum.Hours(); math.Abs(got-z.Hours(d)) > 1e-9 {
				t.Fatalf("%v: %v h asleep or awake of %v", d, got, z.Hours(d))
			}
		}
	})
}

// Without a change of the clock, quiet hours are exactly what the clock shows.
func TestPropertyRangesFollowTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := drawTimeline(t)
		quiet := WallRange{WallTime(rapid.IntRange(0, 1439).Draw(t, "from")), WallTime(rapid.IntRange(0, 1440).Draw(t, "to"))}
		all := Window{noon, noon}.Widen(9 * 24 * time.Hour)
		ranges := z.Ranges(all, quiet)
		for x := all.Start; x.Before(all.End); x = x.Add(17 * time.Minute) {
			local := x.In(z.At(x))
			now := WallTime(local.Hour()*60 + local.Minute())
			want := now >= quiet.From && now < quiet.To
			if quiet.To < quiet.From {
				want = now >= quiet.From || now < quiet.To
			}
			got := slices.ContainsFunc(ranges, func(w Window) bool { return w.Contains(x) })
			// Only an hour that is repeated, or was just before, may be quiet all the same.
			repeated := got != want && len(z.clockSpans(Window{x, x}.Widen(setBack))) > 1
			if got != want && (want || !repeated) {
				t.Fatalf("at %v, %s on the clock, quiet is %v with %v", x, now, got, quiet)
			}
		}
	})
}
