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
// on other days and on the clock. The merge must hold all records that can reach into d.
func (m *Merged) Day(d Day, s Setting) (Summary, Detail) {
	spans := s.Zones.Spans(d)
	sum := Summary{Day: d, Zone: s.Zones.Home().String(), Estimator: Estimator}
	if n := len(spans); n > 0 {
		sum.Zone = s.Zones.At(spans[n-1].End.Add(-1)).String()
	}
	var det Detail
	var steps, walk, run, brisk, spread, alternative float64
	supplied := make([]float64, len(m.inputs))
	suppliedSteps := make([]float64, len(m.inputs))
	var hours [24]HourTotals
	var length time.Duration
	for _, w := range spans {
		length += w.Duration()
		day := span{w.Start.UnixNano(), w.End.UnixNano()}
		grid := s.Zones.minuteGrid(w)
		eachIn(m.pieces, day, func(p *piece, part float64) {
			steps += p.steps * part
			walk += p.walk * part
			run += p.run * part
			brisk += p.brisk * part
			spread += p.walk * part * p.uncertainty
			supplied[p.stream] += p.walk * part
			suppliedSteps[p.stream] += p.steps * part
			det.Minutes = grid.add(det.Minutes, &hours, p, day)
		})
		eachIn(m.alternative, day, func(p *piece, part float64) { alternative += p.walk * part })
	}
	for h := range hours {
		sum.ByHour[h] = HourTotals{Walking: Round2(hours[h].Walking / nanosPerMinute), Steps: Round2(hours[h].Steps)}
	}
	sum.Hours = Round2(length.Hours())
	sum.Steps = int64(math.Floor(steps + 0.5))
	sum.Walking = Round2(walk / nanosPerMinute)
	sum.Low = Round2((walk - spread) / nanosPerMinute)
	sum.High = Round2(min(walk+spread, float64(length)) / nanosPerMinute)
	sum.Brisk = Round2(brisk / nanosPerMinute)
	sum.Running = Round2(run / nanosPerMinute)
	sum.Alternative = Round2(alternative / nanosPerMinute)
	sum.Target = TargetOn(s.Targets, d)
	sum.Met = float64(WholeMinutes(sum.Walking)) > sum.Target
	sum.Band = BandOf(sum.Walking)
	m.addStreams(&sum, &det, spans, supplied, suppliedSteps)
	sum.Sessions = len(det.Sessions)
	sum.Valid = sum.Steps >= ValidSteps && length >= ValidHours*time.Hour && !slices.Contains(s.NotWorn, d) &&
		m.unworn(s.Zones.Waking(d, s.Quiet)) < ValidUnworn
	return sum, det
}

// addStreams adds what each stream had by itself on the day.
func (m *Merged) addStreams(sum *Summary, det *Detail, spans []Window, supplied, suppliedSteps []float64) {
	for i, in := range m.inputs {
		t := SourceTotals{StreamKey: in.StreamKey, Supplied: Round2(supplied[i] / nanosPerMinute)}
		var records []Record
		seen := supplied[i] > 0 || suppliedSteps[i] > 0
		for _, w := range spans {
			day := span{w.Start.UnixNano(), w.End.UnixNano()}
			eachIn(m.alone[i], day, func(p *piece, part float64) {
				seen = true
				t.Steps += p.steps * part
				t.Walking += p.walk * part
				if p.start >= day.start {
					records = addFlat(records, p)
				}
			})
			for _, s := range in.Sessions {
				if w.Contains(s.Start) {
					seen = true
					det.Sessions = append(det.Sessions, StreamSession{in.StreamKey, s})
				}
			}
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
	slices.SortStableFunc(det.Sessions, func(a, b StreamSession) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.Kind, b.Kind))
	})
}

// addFlat appends a piece as a record. Pieces that start within one second become one record.
func addFlat(records []Record, p *piece) []Record {
	start := time.Unix(p.start/int64(time.Second), 0).UTC()
	if n := len(records); n > 0 && records[n-1].Start.Equal(start) {
		records[n-1].Steps += p.steps
		records[n-1].Duration += time.Duration(p.end - p.start)
		return records
	}
	return append(records, Record{Start: start, Duration: time.Duration(p.end - p.start), Steps: p.steps})
}

// eachIn calls f for every piece that reaches into s, with the share of it that lies there.
func eachIn(pieces []piece, s span, f func(p *piece, part float64)) {
	i, _ := slices.BinarySearchFunc(pieces, s.start, func(p piece, t int64) int {
		if p.end > t || p.start == p.end && p.start >= t {
			return 1
		}
		return -1
	})
	for ; i < len(pieces) && pieces[i].start < s.end; i++ {
		if part := pieces[i].part(s); part > 0 {
			f(&pieces[i], part)
		}
	}
}

// A minuteGrid lays pieces out over minutes and over the hours of the person's clock.
type minuteGrid struct{ clock []clockSpan }

func (z Timeline) minuteGrid(w Window) *minuteGrid { return &minuteGrid{z.clockSpans(w)} }

// add spreads p, as far as it lies in day, over minutes and hours.
func (g *minuteGrid) add(minutes []Minute, hours *[24]HourTotals, p *piece, day span) []Minute {
	const minute = int64(time.Minute)
	start, end := max(p.start, day.start), min(p.end, day.end)
	for t := start; ; {
		first := t - mod(t, minute)
		next := min(first+minute, end)
		part := 1.0
		if p.end > p.start {
			part = float64(next-t) / float64(p.end-p.start)
		}
		moved, steps := p.walk*part, p.steps*part
		h := &hours[g.hour(t)]
		h.Walking += moved
		h.Steps += steps
		at := time.Unix(0, first).UTC()
		if n := len(minutes); n > 0 && minutes[n-1].Start.Equal(at) {
			minutes[n-1].Steps += steps
			minutes[n-1].Walking += time.Duration(moved)
		} else if steps > 0 || moved > 0 {
			minutes = append(minutes, Minute{at, time.Duration(moved), steps})
		}
		if t = next; t >= end {
			return minutes
		}
	}
}

// hour returns the hour that the person's clock shows at t.
func (g *minuteGrid) hour(t int64) int {
	for len(g.clock) > 1 && t >= g.clock[0].End.UnixNano() {
		g.clock = g.clock[1:]
	}
	return int(mod(t+int64(g.clock[0].offset), int64(24*time.Hour)) / int64(time.Hour))
}

func mod(a, b int64) int64 { return ((a % b) + b) % b }

// unworn returns how much of the given time is known as unworn: some source says so, and no short record with steps
// says otherwise.
func (m *Merged) unworn(waking []Window) time.Duration {
	var off []span
	for _, in := range m.inputs {
		for _, u := range in.Unworn {
			if !u.Empty() {
				off = append(off, span{u.Start.UnixNano(), u.End.UnixNano()})
			}
		}
	}
	if len(off) == 0 {
		return 0
	}
	slices.SortFunc(off, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	off = joinSpans(off, 0)
	var carried []span
	for _, p := range m.pieces {
		if p.short && p.end > p.start {
			carried = append(carried, span{p.start, p.end})
		}
	}
	off = subtractSpans(off, carried)
	var sum int64
	for _, w := range windowSpans(waking) {
		for _, o := range off {
			sum += max(0, min(o.end, w.end)-max(o.start, w.start))
		}
	}
	return time.Duration(sum)
}

func windowSpans(windows []Window) []span {
	out := make([]span, 0, len(windows))
	for _, w := range windows {
		out = append(out, span{w.Start.UnixNano(), w.End.UnixNano()})
	}
	return out
}

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
			noon := z.first(d+1, 12*60)
			if noon.Before(end) {
				noon = end
			}
			at = later(at, noon)
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
	slices.SortFunc(streams, func(a, b Stream) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			cmp.Compare(a.Device, b.Device),
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
