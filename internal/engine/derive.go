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

// A plan is the work that brings a person's derived days up to date.
type plan struct {
	days  []walking.Day // to derive, ascending
	marks []store.Mark  // of days to derive and of days that are none of the person's
}

// planDays finds what is to be derived: the days marked as stale, those that are missing between the first one with
// data and today, those that the clock closes, and the six after each of these.
func planDays(ctx context.Context, r *store.Reader, p store.Person, now time.Time) (plan, error) {
	var pl plan
	var err error
	if pl.marks, err = r.Stale(ctx, p.ID); err != nil {
		return pl, err
	}
	begin, ok, err := r.FirstInstant(ctx, p.ID)
	if err != nil {
		return pl, err
	}
	first, last, derived, err := r.DayRange(ctx, p.ID)
	if err != nil || !ok && !derived {
		return pl, err
	}
	today := p.Zones.Day(now)
	want := map[walking.Day]bool{}
	addRange := func(from, to walking.Day) {
		for d := from; d <= to; d++ {
			want[d] = true
		}
	}
	lo := first
	if !derived {
		lo = p.Zones.Day(begin)
		addRange(lo, today)
	} else {
		if ok {
			lo = min(lo, p.Zones.Day(begin))
		}
		addRange(lo, first-1)
		addRange(last+1, today)
	}
	for _, m := range pl.marks {
		if m.Day >= lo && m.Day <= today {
			want[m.Day] = true
		}
	}
	if err := addClosing(ctx, r, p, now, today, want); err != nil {
		return pl, err
	}
	for d := range want {
		pl.days = append(pl.days, d)
	}
	slices.Sort(pl.days)
	return pl, nil
}

// addClosing adds the open days that close now, and the six after them, whose 7-day mean changes.
func addClosing(ctx context.Context, r *store.Reader, p store.Person, now time.Time, today walking.Day, want map[walking.Day]bool) error {
	open, err := r.OpenDays(ctx, p.ID)
	if err != nil {
		return err
	}
	var streams []walking.Stream
	for _, d := range open {
		if d >= today || want[d] {
			continue
		}
		if streams == nil {
			if streams, err = r.Streams(ctx, p); err != nil {
				return err
			}
		}
		week, err := r.Days(ctx, p.ID, d-6, d)
		if err != nil {
			return err
		}
		if closed(p, d, streams, week, now) {
			for e := d; e <= min(d+6, today); e++ {
				want[e] = true
			}
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
func derive(ctx context.Context, r *store.Reader, p store.Person, pl plan, now time.Time, put func([]walking.Summary) error) error {
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
		before, err := r.Days(ctx, p.ID, block[0]-6, block[0]-1)
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
// derived, brought up to date.
func Days(ctx context.Context, r *store.Reader, p store.Person, from, to walking.Day, now time.Time) ([]walking.Summary, error) {
	pl, err := planDays(ctx, r, p, now)
	if err != nil {
		return nil, err
	}
	days, err := r.Days(ctx, p.ID, from, to)
	if err != nil {
		return nil, err
	}
	// What lies before from-6 changes nothing here, and neither does what comes after to.
	pl.days = slices.DeleteFunc(pl.days, func(d walking.Day) bool { return d < from-6 || d > to })
	err = derive(ctx, r, p, pl, now, func(out []walking.Summary) error {
		days = overlay(days, slices.DeleteFunc(out, func(s walking.Summary) bool { return s.Day < from }))
		return nil
	})
	return days, err
}

// Span returns the first day with data, the last day with steps or sessions, and today. There is no data yet if ok is
// false.
func Span(ctx context.Context, r *store.Reader, p store.Person, now time.Time) (first, newest, today walking.Day, ok bool, err error) {
	today = p.Zones.Day(now)
	begin, ok, err := r.FirstInstant(ctx, p.ID)
	if err != nil || !ok {
		return 0, 0, today, false, err
	}
	end, err := r.LastInstant(ctx, p.ID)
	if err != nil {
		return 0, 0, today, false, err
	}
	return p.Zones.Day(begin), min(p.Zones.Day(end), today), today, true, nil
}
