package engine

import (
	"context"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// blockDays is how many days are derived from one reading of the store. It bounds the memory of deriving years.
const blockDays = 32

// openDays is how long ago a day can have been that is not closed yet: three days after its end it is, and a journey
// over the date line can make it look another one or two further away.
const openDays = 6

// A plan is the work that brings a person's derived days up to date.
type plan struct {
	first, last walking.Day   // the days that the person has; none if last is before first
	drop        bool          // days are stored that the person does not have
	days        []walking.Day // to derive, ascending
	marks       []store.Mark  // of days to derive and of days that are none of the person's
}

// planDays finds what is to be derived: the days marked as stale, those that are missing between the first one with
// data and today, those that the clock closes, and the six after each of these. Days can also be too many: the data of
// the first may have been deleted, and the clock may have been ahead and made days that are yet to come.
func planDays(ctx context.Context, r *store.Reader, p store.Person, now time.Time) (plan, error) {
	pl := plan{first: 1, last: 0}
	var err error
	if pl.marks, err = r.Stale(ctx, p.ID); err != nil {
		return pl, err
	}
	begin, ok, err := r.FirstInstant(ctx, p.ID)
	if err != nil {
		return pl, err
	}
	first, last, derived, err := r.DayRange(ctx, p.ID)
	if err != nil {
		return pl, err
	}
	if ok {
		pl.first, pl.last = firstDay(p.Zones, begin), lastDay(p.Zones, now)
	}
	pl.drop = derived && (first < pl.first || last > pl.last)
	want := map[walking.Day]bool{}
	addRange := func(from, to walking.Day) {
		for d := max(from, pl.first); d <= min(to, pl.last); d++ {
			want[d] = true
		}
	}
	if derived {
		addRange(pl.first, first-1)
		addRange(last+1, pl.last)
	} else {
		addRange(pl.first, pl.last)
	}
	for _, m := range pl.marks {
		addRange(m.Day, m.Day)
	}
	if err := addClosing(ctx, r, p, pl, now, addRange); err != nil {
		return pl, err
	}
	for d := range want {
		pl.days = append(pl.days, d)
	}
	slices.Sort(pl.days)
	// Which streams are active decides when a day closes, and that changes the mean of six more days.
	if i, _ := slices.BinarySearch(pl.days, pl.last-openDays); i < len(pl.days) {
		from := pl.days[i]
		for pl.days = pl.days[:i]; from <= pl.last; from++ {
			pl.days = append(pl.days, from)
		}
	}
	return pl, nil
}

// firstDay returns the first date of a person whose data begins at begin. It is that of the beginning unless a journey
// over the date line brings an earlier one afterwards.
func firstDay(z walking.Timeline, begin time.Time) walking.Day {
	first := z.Day(begin)
	for d := first - 1; d >= first-2; d-- {
		if z.End(d).After(begin) {
			return d
		}
	}
	return first
}

// lastDay returns the last date that has begun at now. It is today unless a journey over the date line has led back
// from tomorrow.
func lastDay(z walking.Timeline, now time.Time) walking.Day {
	today := z.Day(now)
	for d := today + 2; d > today; d-- {
		if spans := z.Spans(d); len(spans) > 0 && !spans[0].Start.After(now) {
			return d
		}
	}
	return today
}

// addClosing adds the days that close now, or are no longer closed because the clock was ahead when they were, and the
// six after them, whose 7-day mean changes.
func addClosing(ctx context.Context, r *store.Reader, p store.Person, pl plan, now time.Time,
	add func(from, to walking.Day),
) error {
	open, err := r.OpenDays(ctx, p.ID)
	if err != nil {
		return err
	}
	recent := pl.last - openDays
	for _, d := range open {
		if d < recent {
			add(d, d+6)
		}
	}
	streams, err := r.Streams(ctx, p)
	if err != nil {
		return err
	}
	days, err := r.Days(ctx, p.ID, max(recent-6, pl.first), pl.last)
	if err != nil {
		return err
	}
	for i, d := range days {
		week := days[:i+1]
		for week[0].Day < d.Day-6 {
			week = week[1:]
		}
		if d.Day >= recent && d.Closed != closed(p, d.Day, streams, week, now) {
			add(d.Day, d.Day+6)
		}
	}
	return nil
}

// closed reports whether no more data is expected for d. week are the last seven days up to d.
func closed(p store.Person, d walking.Day, streams []walking.Stream, week []walking.Summary, now time.Time) bool {
	var active []walking.Stream
	for _, s := range streams {
		if walking.Active(s.StreamKey, week) {
			active = append(active, s)
		}
	}
	return !now.Before(walking.ClosesAt(p.Zones, d, active))
}

// derive derives the days of a plan, block by block, and hands each block to put with the days it is made of.
func derive(ctx context.Context, r *store.Reader, p store.Person, pl plan, now time.Time,
	put func([]walking.Summary) error,
) error {
	var recent []walking.Summary // the newest derived here
	for days := pl.days; len(days) > 0; {
		n := 1
		for n < len(days) && n < blockDays && days[n] == days[n-1]+1 {
			n++
		}
		block := days[:n]
		days = days[n:]
		streams, err := r.Streams(ctx, p)
		if err != nil {
			return err
		}
		merged, err := merge(ctx, r, p, block[0], block[n-1])
		if err != nil {
			return err
		}
		before, err := r.Days(ctx, p.ID, max(block[0]-6, pl.first), block[0]-1)
		if err != nil {
			return err
		}
		week := overlay(before, recent)
		out := make([]walking.Summary, 0, n)
		for _, d := range block {
			s, _ := merged.Day(d, p.Setting)
			week = append(week, s)
			for len(week) > 0 && week[0].Day < d-6 {
				week = week[1:]
			}
			last := &week[len(week)-1]
			last.Closed = closed(p, d, streams, week, now)
			last.Mean7, last.Mean7Days = walking.Mean7(week)
			out = append(out, *last)
		}
		recent = overlay(recent, out)
		if len(recent) > 6 {
			recent = recent[len(recent)-6:]
		}
		if err := put(out); err != nil {
			return err
		}
	}
	return nil
}

// merge merges all that lies in the days from … to, inclusive.
func merge(ctx context.Context, r *store.Reader, p store.Person, from, to walking.Day) (*walking.Merged, error) {
	var w walking.Window
	for d := from; d <= to; d++ {
		for _, s := range p.Zones.Spans(d) {
			if w.Empty() || s.Start.Before(w.Start) {
				w.Start = s.Start
			}
			if s.End.After(w.End) {
				w.End = s.End
			}
		}
	}
	if w.Empty() {
		return walking.Merge(nil), nil // the person's calendar has none of these days
	}
	inputs, err := r.Inputs(ctx, p, w)
	if err != nil {
		return nil, err
	}
	return walking.Merge(inputs), nil
}

// overlay returns the days of a and b in order; where both have a day, b's.
func overlay(a, b []walking.Summary) []walking.Summary {
	out := make([]walking.Summary, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Day < b[0].Day:
			out, a = append(out, a[0]), a[1:]
		default:
			if len(a) > 0 && a[0].Day == b[0].Day {
				a = a[1:]
			}
			out, b = append(out, b[0]), b[1:]
		}
	}
	return out
}

// Days returns the days from … to, inclusive, as they stand at now, without writing anything: what the store has
// derived, brought up to date. A clock that is behind the newest data is taken to say the time of that.
func Days(ctx context.Context, r *store.Reader, p store.Person, from, to walking.Day, now time.Time) (
	days []walking.Summary, err error,
) {
	err = r.Snapshot(ctx, func(r *store.Reader) (err error) {
		days, err = daysAt(ctx, r, p, from, to, now)
		return err
	})
	return days, err
}

func daysAt(ctx context.Context, r *store.Reader, p store.Person, from, to walking.Day, now time.Time) (
	[]walking.Summary, error,
) {
	newest, err := r.NewestInstant(ctx)
	if err != nil {
		return nil, err
	}
	if now.Before(newest) {
		now = newest
	}
	pl, err := planDays(ctx, r, p, now)
	if err != nil {
		return nil, err
	}
	days, err := r.Days(ctx, p.ID, max(from, pl.first), min(to, pl.last))
	if err != nil {
		return nil, err
	}
	// The mean of from takes in six days before it, and whether these are closed depends on the six before them. What
	// comes after to changes nothing here.
	pl.days = slices.DeleteFunc(pl.days, func(d walking.Day) bool { return d < from-12 || d > to })
	err = derive(ctx, r, p, pl, now, func(out []walking.Summary) error {
		days = overlay(days, slices.DeleteFunc(out, func(s walking.Summary) bool { return s.Day < from }))
		return nil
	})
	return days, err
}

// Span returns the first and the last day with data, and today. There is no data yet if ok is false.
func Span(ctx context.Context, r *store.Reader, p store.Person, now time.Time) (
	first, newest, today walking.Day, ok bool, err error,
) {
	today = p.Zones.Day(now)
	begin, ok, err := r.FirstInstant(ctx, p.ID)
	if err != nil || !ok {
		return 0, 0, today, false, err
	}
	end, err := r.LastInstant(ctx, p.ID)
	if err != nil {
		return 0, 0, today, false, err
	}
	return firstDay(p.Zones, begin), min(p.Zones.Day(end), today), today, true, nil
}
