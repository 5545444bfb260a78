package polar

import (
	"cmp"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	minute = time.Minute
	// shortest is the shortest interval in milliseconds that is believed.
	shortest = 10_000
	// unchecked is for how many minutes a count is filled forward on a day that tells no total.
	unchecked = 10
	// tooNear is how long ago the end of a day has to be that is still going on: a service may also fill in the time of
	// asking.
	tooNear = 5 * time.Minute
	// unsynced is how long before now the steps of a day without minutes end that is still going on. Nobody knows when
	// they were synced, and they are not to look fresh.
	unsynced = time.Hour
)

// zoneAt returns the zone that is in force when clocks show wall, if any do.
func zoneAt(z walking.Timeline, wall time.Time) *time.Location {
	zone := z.At(wall)
	_, offset := wall.In(zone).Zone()
	return z.At(wall.Add(-time.Duration(offset) * time.Second))
}

// instants returns when the person's clock showed wall, in order: once as a rule, and more often where clocks were set
// back. Where it never did it is moved past the gap, as by ingest.Local, and skipped is true.
func instants(z walking.Timeline, wall time.Time) (found []time.Time, skipped bool) {
	h, m, s := wall.Clock()
	found = z.Clock(walking.DayOf(wall.Date()), walking.WallTime(h*60+m))
	for i := range found {
		found[i] = found[i].Add(time.Duration(s)*time.Second + time.Duration(wall.Nanosecond())).UTC()
	}
	if len(found) > 0 {
		return found, false
	}
	t, _ := ingest.Local(wall, zoneAt(z, wall))
	return []time.Time{t}, true
}

// A stamp is a local time of an answer, and what it means.
type stamp struct {
	wall    time.Time
	at      time.Time
	skipped bool
	i       int // of the sample
}

// place returns the stamps of a list of n, each of which has a time, in the order in which they went by. Lists are in
// order; one that is not is sorted. Of two that are the same the later one counts.
func place(z walking.Timeline, n int, text func(i int) string) ([]stamp, error) {
	out := make([]stamp, n)
	ordered := true
	when := make([][]time.Time, n)
	for i := range out {
		wall, err := parseWall(text(i))
		if err != nil {
			return nil, err
		}
		out[i] = stamp{wall: wall, i: i}
		when[i], out[i].skipped = instants(z, wall)
		// A clock that was set back shows its times again.
		ordered = ordered && (i == 0 || wall.After(out[i-1].wall) || len(when[i]) > 1)
	}
	if !ordered {
		slices.SortStableFunc(out, func(a, b stamp) int { return a.wall.Compare(b.wall) })
	}
	var last time.Time
	for i := range out {
		at := when[out[i].i]
		out[i].at = at[0]
		if j := slices.IndexFunc(at, func(t time.Time) bool { return t.After(last) }); j >= 0 {
			out[i].at = at[j]
		}
		last = out[i].at
	}
	same := func(a, b stamp) bool { return a.wall.Equal(b.wall) && a.at.Equal(b.at) }
	kept := out[:0]
	for i, s := range out {
		if i+1 == n || !same(s, out[i+1]) {
			kept = append(kept, s)
		}
	}
	return kept, nil
}

// A count is one that stands for n intervals from an instant on.
type count struct {
	at    time.Time
	steps float64
	n     int
	gap   int // intervals up to the next count; of the last as many as there can be
}

// fill sets for how many intervals each count stands, and returns the sum; see the comment of the package. total is
// zero if it is not told.
func fill(counts []count, total float64) (sum float64) {
	var gaps []*count
	for i := range counts {
		c := &counts[i]
		c.n = 1
		sum += c.steps
		if c.steps > 0 && c.gap > 1 && i < len(counts)-1 {
			gaps = append(gaps, c)
		}
	}
	slices.SortStableFunc(gaps, func(a, b *count) int { return cmp.Compare(a.gap, b.gap) })
	for _, c := range gaps {
		more := c.steps * float64(c.gap-1)
		if total > 0 && sum+more <= total || total <= 0 && c.gap <= unchecked {
			c.n = c.gap
			sum += more
		}
	}
	if len(counts) == 0 {
		return sum
	}
	last := &counts[len(counts)-1]
	if last.steps > 0 && total > sum {
		if k := int((total - sum) / last.steps); k < last.gap && float64(k)*last.steps == total-sum {
			last.n += k
			sum = total
		}
	}
	return sum
}

// A day is what an activity tells.
type day struct {
	date       walking.Day
	records    []walking.Record // of the minutes with steps, in order
	rest       *walking.Record  // what the total holds beyond them
	total, sum float64          // of the day and of the minutes
	told       bool             // whether there is a total
	known      time.Time        // up to when the device has synced for sure
	unworn     []walking.Window
}

// day reads an activity.
func (a *activity) day(z walking.Timeline, now time.Time) (*day, error) {
	d := &day{total: max(0, a.Steps.v), told: a.Steps.told && a.Steps.v >= 0}
	var (
		told   []stepSample
		length = minute
	)
	if s := a.Samples; s != nil && s.Steps != nil {
		told = s.Steps.Samples
		if ms := s.Steps.IntervalMS.v; ms >= shortest && ms <= float64(24*time.Hour/time.Millisecond) {
			length = time.Duration(ms) * time.Millisecond
		}
	}
	// What is no count, such as −1, is none.
	stamps, err := place(z, len(told), func(i int) string { return told[i].Timestamp })
	if err != nil {
		return nil, err
	}
	start, end, err := a.span(z, stamps)
	if err != nil {
		return nil, err
	}
	d.date = walking.DayOf(start.wall.Date())
	over := d.date < z.Day(now)
	d.known = a.known(end, now, over)
	counts := make([]count, len(stamps))
	for i, s := range stamps {
		counts[i] = count{at: s.at, steps: max(0, told[s.i].Steps.v), gap: 1}
		next := z.End(walking.DayOf(s.wall.Date())) // no count is filled into another day
		if i+1 < len(stamps) && stamps[i+1].at.Before(next) {
			next = stamps[i+1].at
		} else if now.Before(next) {
			next = now
		}
		counts[i].gap = max(1, int(next.Sub(s.at)/length))
	}
	goal := d.total
	if a.Samples != nil && a.Samples.Steps != nil && a.Samples.Steps.TotalSteps.v > 0 {
		goal = a.Samples.Steps.TotalSteps.v
		if d.total == 0 {
			d.total, d.told = goal, true
		}
	}
	d.sum = fill(counts, goal)
	for _, c := range counts {
		if end := c.at.Add(time.Duration(c.n) * length); end.After(d.known) && !c.at.After(now) {
			d.known = end
		}
		for k := range c.n {
			if c.steps > 0 {
				d.add(walking.Record{Start: c.at.Add(time.Duration(k) * length), Duration: length, Steps: c.steps})
			}
		}
	}
	slices.SortStableFunc(d.records, func(a, b walking.Record) int { return a.Start.Compare(b.Start) })
	d.merge()
	if err := d.wear(z, a, now); err != nil {
		return nil, err
	}
	if d.known.After(now) {
		d.known = now
	}
	d.keep(start.at, end.at, now, over, counts)
	return d, nil
}

func (d *day) add(r walking.Record) { d.records = append(d.records, r) }

// merge adds up records of the same time, which come from times that the clocks skipped.
func (d *day) merge() {
	out := d.records[:0]
	for _, r := range d.records {
		if n := len(out); n > 0 && out[n-1].Start.Equal(r.Start) {
			out[n-1].Steps += r.Steps
			continue
		}
		out = append(out, r)
	}
	d.records = out
}

// span returns when an activity begins and ends as it says; without it as the minutes say.
func (a *activity) span(z walking.Timeline, stamps []stamp) (start, end stamp, err error) {
	if len(stamps) > 0 {
		start, end = stamps[0], stamps[len(stamps)-1]
	}
	for _, s := range []struct {
		text string
		to   *stamp
		last bool // of the instants at which clocks showed it
	}{{a.StartTime, &start, false}, {a.EndTime, &end, true}} {
		if s.text == "" {
			continue
		}
		wall, err := parseWall(s.text)
		if err != nil {
			return start, end, err
		}
		at, skipped := instants(z, wall)
		*s.to = stamp{wall: wall, at: at[0], skipped: skipped}
		if s.last {
			s.to.at = at[len(at)-1]
		}
	}
	if start.at.IsZero() {
		return start, end, errNoDay
	}
	if end.at.Before(start.at) {
		end = start
	}
	return start, end, nil
}

// known returns up to when the end of an activity says that the device has synced; zero if it does not.
func (a *activity) known(end stamp, now time.Time, over bool) time.Time {
	if a.EndTime == "" || end.skipped || end.at.After(now) {
		return time.Time{}
	}
	if h, m, _ := end.wall.Clock(); h == 23 && m == 59 || h == 0 && m == 0 {
		return time.Time{} // the end of the day, however far it is synced
	}
	if !over && now.Sub(end.at) < tooNear {
		return time.Time{}
	}
	return end.at
}

// wear reads when the device was not worn, and how far its zones reach.
func (d *day) wear(z walking.Timeline, a *activity, now time.Time) error {
	if a.Samples == nil || a.Samples.Zones == nil {
		return nil
	}
	told := a.Samples.Zones.Samples
	stamps, err := place(z, len(told), func(i int) string { return told[i].Timestamp })
	if err != nil {
		return err
	}
	for i, s := range stamps {
		if s.at.After(d.known) && !s.at.After(now) {
			d.known = s.at
		}
		// Of the last one nobody knows how long it lasts.
		if told[s.i].Zone == "NON_WEAR" && i+1 < len(stamps) && stamps[i+1].at.After(s.at) {
			d.unworn = append(d.unworn, walking.Window{Start: s.at, End: stamps[i+1].at})
		}
	}
	return nil
}

// keep keeps what the total holds beyond the minutes.
func (d *day) keep(start, end, now time.Time, over bool, counts []count) {
	rest := d.total - d.sum
	if rest <= 0 {
		return
	}
	if !over && now.Add(-unsynced).Before(end) {
		end = now.Add(-unsynced)
	}
	if d.known.After(end) {
		end = d.known
	}
	if len(counts) > 0 && counts[0].at.Before(start) {
		start = counts[0].at
	}
	const share = 0.25 // as in the merge, which leaves out a longer record that adds less
	switch {
	case rest > share*d.total && end.Sub(start) >= minute:
		d.rest = &walking.Record{Start: start, Duration: end.Sub(start), Steps: d.total}
	case len(counts) > 0:
		d.rest = &walking.Record{Start: counts[len(counts)-1].at, Steps: rest}
	default:
		d.rest = &walking.Record{Start: start, Steps: rest}
	}
}
