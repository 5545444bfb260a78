package walking

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// What makes a day valid. A day below says nothing about how much the person walked.
const (
	ValidSteps     = 1000          // fewer steps than this: the device was not carried
	ValidHours     = 12            // shorter days, on travel, do not count
	ValidUnworn    = 4 * time.Hour // waking time known as unworn, from which on a day does not count
	meanDays       = 7
	closingDelay   = 72 * time.Hour // when a day closes whatever is missing
	activeDays     = 3              // days with steps among the last seven that make a stream active
	nanosPerMinute = float64(time.Minute)
)

// A Target is the number of walking minutes a day that a person aims to exceed, from a date on.
type Target struct {
	From    Day // inclusive
	Minutes float64
}

// DefaultTarget is the target of more than 100 minutes a day. In the study behind it (see Band) the benefit of walking
// levels off there.
const DefaultTarget = 100

// TargetOn returns the target in force on d: the latest that begins on d or before, or DefaultTarget.
func TargetOn(targets []Target, d Day) float64 {
	best := Target{From: math.MinInt32, Minutes: DefaultTarget}
	for _, t := range targets {
		if t.From <= d && t.From >= best.From {
			best = t
		}
	}
	return best.Minutes
}

// A Setting is what a day is judged by.
type Setting struct {
	Zones   Timeline
	Targets []Target
	Quiet   WallRange // when the person is not awake
	NotWorn []Day     // days that the person marked as not worn
}

// Day derives what happened on d from the merge: everything in the Summary but Closed and the 7-day mean, which depend
// on other days and on the clock. The merge must hold all that can reach into d: see Reach.
func (m *Merged) Day(d Day, s Setting) (Summary, Detail) {
	spans := s.Zones.Spans(d)
	sum := Summary{Day: d, Zone: s.Zones.Home().String(), Estimator: Estimator}
	if n := len(spans); n > 0 {
		sum.Zone = s.Zones.At(spans[n-1].End.Add(-1)).String()
	}
	var (
		det         Detail
		t           dayTotals
		length      time.Duration
		alternative float64
	)
	t.supplied, t.counted = make([]float64, len(m.inputs)), make([]bool, len(m.inputs))
	for _, w := range spans {
		length += w.Duration()
		m.all.addTo(&t, &det, w.span(), s.Zones.clockSpans(w))
		for day, rest := w.span(), m.alternative.from(w.Start); len(rest) > 0 && rest[0].start < day.end; rest = rest[1:] {
			alternative += rest[0].moved * rest[0].part(day)
		}
	}
	for h := range t.hours {
		sum.ByHour[h] = HourTotals{Walking: Round2(t.hours[h].Walking / nanosPerMinute), Steps: Round2(t.hours[h].Steps)}
	}
	sum.Hours = Round2(length.Hours())
	sum.Steps = int64(math.Floor(t.steps + 0.5))
	sum.Walking = Round2(t.walk / nanosPerMinute)
	sum.Low = Round2((t.walk - t.spread) / nanosPerMinute)
	sum.High = Round2(min(t.walk+t.spread, float64(length)) / nanosPerMinute)
	sum.Brisk = Round2(t.brisk / nanosPerMinute)
	sum.Running = Round2(t.run / nanosPerMinute)
	sum.Alternative = Round2(alternative / nanosPerMinute)
	sum.Target = TargetOn(s.Targets, d)
	sum.Met = float64(WholeMinutes(sum.Walking)) > sum.Target
	sum.Band = BandOf(sum.Walking)
	m.addStreams(&sum, &det, spans, &t)
	sum.Sessions = len(det.Sessions)
	sum.Valid = sum.Steps >= ValidSteps && length >= ValidHours*time.Hour && !slices.Contains(s.NotWorn, d) &&
		(len(m.off) == 0 || m.unworn(s.Zones.Waking(d, s.Quiet)) < ValidUnworn)
	return sum, det
}

// dayTotals are the sums of a day on their way into its Summary.
type dayTotals struct {
	steps            float64
	walk, run, brisk float64 // nanoseconds
	spread           float64 // nanoseconds of uncertainty
	hours            [24]HourTotals
	supplied         []float64 // nanoseconds of walking from each stream
	counted          []bool    // whether anything came from it
}

// from returns the layer's pieces from the first that reaches beyond t.
func (l *layer) from(t time.Time) []piece { return piecesFrom(l.pieces, t.UnixNano()) }

func piecesFrom(pieces []piece, t int64) []piece {
	i, _ := slices.BinarySearchFunc(pieces, t, func(p piece, t int64) int {
		if p.end > t {
			return 1
		}
		return -1
	})
	return pieces[i:]
}

// addTo adds what the layer holds in day, a stretch with the given clock, to the totals and minutes of a day.
func (l *layer) addTo(t *dayTotals, det *Detail, day span, clock []clockSpan) {
	const minute, hour = int64(time.Minute), int64(time.Hour)
	pieces := piecesFrom(l.pieces, day.start)
	instants := l.instants[firstInstant(l.instants, day.start):]
	n, _ := slices.BinarySearchFunc(pieces, day.end, func(p piece, t int64) int { return cmp.Compare(p.start, t) })
	det.Minutes = slices.Grow(det.Minutes, min(n, 25*60))

	var (
		offset    int64                  // of the clock
		offsetEnd = int64(math.MinInt64) // until when
		minuteEnd = int64(math.MinInt64) // of the last of det.Minutes
	)
	if n := len(det.Minutes); n > 0 {
		minuteEnd = det.Minutes[n-1].Start.UnixNano() + minute
	}
	add := func(at int64, steps, walk float64) {
		for at >= offsetEnd {
			offset, offsetEnd, clock = int64(clock[0].offset), clock[0].End.UnixNano(), clock[1:]
		}
		h := &t.hours[floorMod(at+offset, 24*hour)/hour]
		h.Walking += walk
		h.Steps += steps
		if at < minuteEnd {
			last := &det.Minutes[len(det.Minutes)-1]
			last.Steps += steps
			last.Walking += time.Duration(walk)
		} else if steps > 0 || walk > 0 {
			start := at - floorMod(at, minute)
			minuteEnd = start + minute
			det.Minutes = append(det.Minutes, Minute{time.Unix(0, start).UTC(), time.Duration(walk), steps})
		}
	}
	addInstants := func(until int64) {
		for len(instants) > 0 && instants[0].at < until {
			x := instants[0]
			t.steps += x.steps
			t.counted[x.stream] = true
			add(x.at, x.steps, 0)
			instants = instants[1:]
		}
	}
	for i := range pieces[:n] {
		p := &pieces[i]
		s := span{max(p.start, day.start), min(p.end, day.end)}
		share := p.part(day)
		steps, walk := p.steps*share, p.walk()*share
		t.steps += steps
		t.walk += walk
		t.spread += walk * float64(p.uncertainty)
		if p.trait&running != 0 {
			t.run += p.moved * share
		}
		if p.trait&brisk != 0 {
			t.brisk += walk
		}
		t.supplied[p.stream] += walk
		t.counted[p.stream] = true
		for at := s.start; at < s.end; {
			next := min(at-floorMod(at, minute)+minute, s.end)
			addInstants(at + 1)
			part := float64(next-at) / float64(p.length())
			add(at, p.steps*part, p.walk()*part)
			addInstants(next)
			at = next
		}
	}
	addInstants(day.end)
}

// addStreams adds what each stream had by itself on the day, and the sessions.
func (m *Merged) addStreams(sum *Summary, det *Detail, spans []Window, day *dayTotals) {
	for _, w := range spans {
		i, _ := slices.BinarySearchFunc(m.sessions, w.Start, func(s StreamSession, t time.Time) int { return s.Start.Compare(t) })
		for ; i < len(m.sessions) && m.sessions[i].Start.Before(w.End); i++ {
			det.Sessions = append(det.Sessions, m.sessions[i])
		}
	}
	for i, in := range m.inputs {
		t := SourceTotals{
			StreamKey: in.StreamKey, Supplied: Round2(day.supplied[i] / nanosPerMinute), Counted: day.counted[i],
		}
		seen := t.Counted || slices.ContainsFunc(det.Sessions, func(s StreamSession) bool { return s.StreamKey == in.StreamKey })
		var records []Record
		for _, w := range spans {
			seen = m.alone[i].addTo(&t, &records, w.span()) || seen
		}
		if !seen {
			continue
		}
		t.Steps, t.Walking = Round2(t.Steps), Round2(t.Walking/nanosPerMinute)
		sum.Sources = append(sum.Sources, t)
		if len(records) > 0 {
			det.Streams = append(det.Streams, StreamRecords{in.StreamKey, records})
		}
	}
}

// addTo adds what the stream had in day to its totals, and its records that start there. It reports whether there was
// anything at all.
func (f *flat) addTo(t *SourceTotals, records *[]Record, day span) bool {
	pieces := piecesFrom(f.pieces, day.start)
	n, _ := slices.BinarySearchFunc(pieces, day.end, func(p piece, t int64) int { return cmp.Compare(p.start, t) })
	pieces = pieces[:n]
	zeros := f.zeros[firstAfter(f.zeros, day.start):]
	n, _ = slices.BinarySearchFunc(zeros, day.end, func(s span, t int64) int { return cmp.Compare(s.start, t) })
	zeros = zeros[:n]
	instants := f.instants[firstInstant(f.instants, day.start):firstInstant(f.instants, day.end)]
	if len(pieces)+len(zeros)+len(instants) == 0 {
		return false
	}
	out := flatRecords{records: slices.Grow(*records, len(pieces)+len(zeros)+len(instants)), last: math.MinInt64}
	const never = int64(math.MaxInt64)
	for len(pieces)+len(zeros)+len(instants) > 0 {
		piece, zero, point := never, never, never
		if len(pieces) > 0 {
			piece = pieces[0].start
		}
		if len(zeros) > 0 {
			zero = zeros[0].start
		}
		if len(instants) > 0 {
			point = instants[0].at
		}
		switch {
		case zero < piece && zero <= point:
			if zero >= day.start {
				out.add(zeros[0], 0)
			}
			zeros = zeros[1:]
		case piece <= point:
			p := &pieces[0]
			share := p.part(day)
			t.Steps += p.steps * share
			t.Walking += p.walk() * share
			if p.start >= day.start {
				out.add(p.span, p.steps)
			}
			pieces = pieces[1:]
		default:
			t.Steps += instants[0].steps
			out.add(span{point, point}, instants[0].steps)
			instants = instants[1:]
		}
	}
	*records = out.records
	return true
}

// flatRecords makes records of spans that come in order. Those that start within one second become one.
type flatRecords struct {
	records []Record
	last    int64 // the second in which the last one starts
}

func (f *flatRecords) add(s span, steps float64) {
	second := floorDiv(s.start, int64(time.Second))
	if second == f.last {
		r := &f.records[len(f.records)-1]
		r.Steps += steps
		r.Duration += time.Duration(s.length())
		return
	}
	f.last = second
	f.records = append(f.records, Record{Start: time.Unix(second, 0).UTC(), Duration: time.Duration(s.length()), Steps: steps})
}

// unworn returns how much of the given time is known as unworn.
func (m *Merged) unworn(waking []Window) time.Duration {
	var sum int64
	for _, w := range waking {
		day := w.span()
		for i := firstAfter(m.off, day.start); i < len(m.off) && m.off[i].start < day.end; i++ {
			sum += min(m.off[i].end, day.end) - max(m.off[i].start, day.start)
		}
	}
	return time.Duration(sum)
}

// floorMod returns what is left of a when b is taken from it as often as it goes, from 0 to b also for a below 0.
func floorMod(a, b int64) int64 {
	if a %= b; a < 0 {
		a += b
	}
	return a
}

func floorDiv(a, b int64) int64 { return (a - floorMod(a, b)) / b }

// Active reports whether a stream is active: it had steps on at least three of the given days, which are the last
// seven.
func Active(k StreamKey, lastSeven []Summary) bool {
	n := 0
	for _, s := range lastSeven {
		for _, t := range s.Sources {
			if t.StreamKey == k && t.Steps > 0 {
				n++
			}
		}
	}
	return n >= activeDays
}

// ClosesAt returns the instant from which on d counts as closed, as far as the streams that are active tell now: no
// more data is expected then. A stream is done with a day once it is synced through its end; one that is pushed or filed
// also at noon of the next day if anything arrived since the day's end. After 72 h a day closes whatever is missing,
// and so does one on which no stream is active.
func ClosesAt(z Timeline, d Day, active []Stream) time.Time {
	end := z.End(d)
	if end.IsZero() {
		end = d.In(z.Home())
	}
	latest := end.Add(closingDelay)
	if len(active) == 0 {
		return latest
	}
	at := end
	for _, s := range active {
		switch {
		case !s.SyncedThrough.Before(end):
		case s.Delivery != Pulled && !s.LastArrival.Before(end):
			at = later(at, z.after(d+1, 12*60, end))
		default:
			return latest
		}
	}
	return earlier(at, latest)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Mean7 returns the mean of Walking over those of the given days that are valid and closed, rounded to two decimals,
// and how many those are. The headline of walkd is this mean over the days D-6 … D.
func Mean7(days []Summary) (mean float64, n int) {
	sum := 0.0
	for _, s := range days {
		if s.Counts() {
			sum += s.Walking
			n++
		}
	}
	if n == 0 {
		return 0, 0
	}
	return Round2(sum / float64(n)), n
}

// PeriodOf sums up the given days of a week or month that begins on first.
func PeriodOf(first Day, days []Summary) Period {
	p := Period{First: first}
	sum := 0.0
	for _, s := range days {
		if !s.Counts() {
			continue
		}
		sum += s.Walking
		p.Days++
		if s.Met {
			p.Met++
		}
	}
	if p.Days > 0 {
		p.Walking = Round2(sum / float64(p.Days))
	}
	return p
}

// SortStreams orders streams by priority: those in preferred first, in that order; then wearables before phones before
// unknown devices; then finer before coarser by grain, the typical length of a record; then by name.
func SortStreams(streams []Stream, preferred []StreamKey, grain func(StreamKey) Grain) {
	rank := func(s Stream) int {
		for i, p := range preferred {
			if p == s.StreamKey || p.Origin == "" && p.Source == s.Source {
				return i
			}
		}
		return len(preferred)
	}
	device := func(s Stream) Device {
		if s.Device == 0 {
			return UnknownDevice
		}
		return s.Device
	}
	slices.SortFunc(streams, func(a, b Stream) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			cmp.Compare(device(a), device(b)),
			cmp.Compare(grain(a.StreamKey), grain(b.StreamKey)),
			a.Compare(b.StreamKey),
		)
	})
}

// A Grain is a class of typical record lengths; finer is smaller.
type Grain int

// GrainOf returns the class of a typical length: up to 5 min, up to 15 min, up to an hour, or longer.
func GrainOf(typical time.Duration) Grain {
	switch {
	case typical <= 5*time.Minute:
		return 1
	case typical <= 15*time.Minute:
		return 2
	case typical <= time.Hour:
		return 3
	default:
		return 4
	}
}
