package engine

import (
	"context"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// Ledger shows a store to the projection: the days to project, and what they have written.
type Ledger struct {
	Store *store.Store
	Clock Clock
}

var (
	_ influx.Days    = Ledger{}
	_ influx.Journal = Ledger{}
)

// Contents implements influx.Days.
func (l Ledger) Contents(ctx context.Context, person string, from, to walking.Day) ([]influx.Content, error) {
	var out []influx.Content
	err := l.Store.Snapshot(ctx, func(r *store.Reader) error {
		p, err := r.Person(ctx, person)
		if err != nil {
			return err
		}
		days, err := r.Days(ctx, p.ID, from, to)
		if err != nil || len(days) == 0 {
			return err
		}
		merged, err := merge(ctx, r, p, days[0].Day, days[len(days)-1].Day)
		if err != nil {
			return err
		}
		told, err := nudgesOf(ctx, r, p, days[0].Day, days[len(days)-1].Day)
		if err != nil {
			return err
		}
		for _, s := range days {
			_, detail := merged.Day(s.Day, p.Setting)
			out = append(out, influx.Content{
				Person: person, Day: s.Day, Time: s.Day.In(p.Zones.Home()), Summary: s, Detail: detail,
				Nudges: withWalks(told[s.Day], detail.Minutes),
			})
		}
		return nil
	})
	return out, err
}

// nudgesOf returns what became of the messages that were decided on in the days from … to, by day.
func nudgesOf(ctx context.Context, r *store.Reader, p store.Person, from, to walking.Day) (
	map[walking.Day][]influx.Nudge, error,
) {
	// Wider than the days are in any zone.
	entries, err := r.NudgeLog(ctx, p.ID, (from - 2).In(time.UTC), (to + 3).In(time.UTC))
	if err != nil {
		return nil, err
	}
	out := map[walking.Day][]influx.Nudge{}
	for _, e := range slices.Backward(entries) {
		day := p.Zones.Day(e.At)
		for _, d := range e.Deliveries {
			if !d.Due.IsZero() || !e.Send {
				continue // on its way
			}
			n := influx.Nudge{Time: e.At, Rule: string(e.Rule), Channel: d.Channel, Outcome: "failed"}
			switch d.Outcome {
			case notify.Delivered, notify.Unknown:
				n.Outcome = "sent"
			case notify.Expired:
				n.Outcome = "expired"
			}
			out[day] = append(out[day], n)
		}
	}
	return out, nil
}

// withWalks adds to each nudge how much was walked in the hour after it, as far as that lies in the day of minutes.
func withWalks(told []influx.Nudge, minutes []walking.Minute) []influx.Nudge {
	for i := range told {
		var walked time.Duration
		for _, m := range minutes {
			if !m.Start.Before(told[i].Time) && m.Start.Before(told[i].Time.Add(time.Hour)) {
				walked += m.Walking
			}
		}
		told[i].WalkedAfter = walking.Round2(walked.Minutes())
	}
	return told
}

// Weeks implements influx.Days.
func (l Ledger) Weeks(ctx context.Context, person string, mondays []walking.Day) ([]influx.PeriodContent, error) {
	return l.periods(ctx, person, mondays, func(d walking.Day) walking.Day { return d + 6 })
}

// Months implements influx.Days.
func (l Ledger) Months(ctx context.Context, person string, firsts []walking.Day) ([]influx.PeriodContent, error) {
	return l.periods(ctx, person, firsts, func(d walking.Day) walking.Day { return (d + 31).FirstOfMonth() - 1 })
}

func (l Ledger) periods(ctx context.Context, person string, firsts []walking.Day,
	last func(walking.Day) walking.Day,
) ([]influx.PeriodContent, error) {
	if len(firsts) == 0 {
		return nil, nil
	}
	var (
		p    store.Person
		days []walking.Summary
	)
	err := l.Store.Snapshot(ctx, func(r *store.Reader) (err error) {
		if p, err = r.Person(ctx, person); err == nil {
			days, err = r.Days(ctx, p.ID, slices.Min(firsts), last(slices.Max(firsts)))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []influx.PeriodContent
	for _, first := range firsts {
		var in []walking.Summary
		for _, d := range days {
			if d.Day >= first && d.Day <= last(first) {
				in = append(in, d)
			}
		}
		if len(in) > 0 {
			out = append(out, influx.PeriodContent{Period: walking.PeriodOf(first, in), Time: first.In(p.Zones.Home())})
		}
	}
	return out, nil
}

// Due implements influx.Journal.
func (l Ledger) Due(ctx context.Context, limit int) ([]influx.Task, error) {
	due, err := l.Store.Due(ctx, limit)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	names, err := l.Store.Names(ctx)
	if err != nil {
		return nil, err
	}
	tasks := make([]influx.Task, 0, len(due))
	for _, d := range due {
		tasks = append(tasks, influx.Task{Person: names[d.PersonID], Day: d.Day, Revision: d.Revision})
	}
	return tasks, nil
}

// Written implements influx.Journal.
func (l Ledger) Written(ctx context.Context, person string, from, to walking.Day) ([]influx.Written, error) {
	p, err := l.Store.Person(ctx, person)
	if err != nil {
		return nil, err
	}
	rows, err := l.Store.Projected(ctx, p.ID, from, to)
	if err != nil {
		return nil, err
	}
	out := make([]influx.Written, 0, len(rows))
	for _, r := range rows {
		key := influx.Key{Person: person, Day: r.Day, Measurement: influx.Measurement(r.Measurement)}
		out = append(out, influx.Written{Key: key, Sum: r.Sum, Keys: r.Keys})
	}
	return out, nil
}

// Intend implements influx.Journal.
func (l Ledger) Intend(ctx context.Context, w []influx.Written) error { return l.Done(ctx, nil, w) }

// Done implements influx.Journal.
func (l Ledger) Done(ctx context.Context, tasks []influx.Task, w []influx.Written) error {
	names, err := l.Store.Names(ctx)
	if err != nil {
		return err
	}
	ids := map[string]int64{}
	for id, name := range names {
		ids[name] = id
	}
	rows := make([]store.Projected, 0, len(w))
	for _, x := range w {
		rows = append(rows, store.Projected{
			PersonID: ids[x.Person], Day: x.Day, Measurement: int64(x.Measurement), Sum: x.Sum, Keys: x.Keys,
		})
	}
	done := make([]store.PersonDay, 0, len(tasks))
	for _, t := range tasks {
		done = append(done, store.PersonDay{PersonID: ids[t.Person], Mark: store.Mark{Day: t.Day, Revision: t.Revision}})
	}
	return l.Store.PutProjected(ctx, rows, done)
}

// Doubt implements influx.Journal.
func (l Ledger) Doubt(ctx context.Context, person string) error {
	id, err := l.id(ctx, person)
	if err != nil {
		return err
	}
	return l.Store.DoubtProjected(ctx, id, l.Clock.Now())
}

// Forget implements influx.Journal.
func (l Ledger) Forget(ctx context.Context, person string) error {
	id, err := l.id(ctx, person)
	if err != nil {
		return err
	}
	return l.Store.ForgetProjected(ctx, id, l.Clock.Now())
}

// id returns the id of a person, 0 for "", which stands for everybody.
func (l Ledger) id(ctx context.Context, person string) (int64, error) {
	if person == "" {
		return 0, nil
	}
	p, err := l.Store.Person(ctx, person)
	return p.ID, err
}

// Rebuild clears what walkd wrote to InfluxDB for a person, for everybody if the name is empty, and projects it again.
// progress may be nil.
func (e *Engine) Rebuild(ctx context.Context, person string, progress func(Progress)) (influx.Stats, error) {
	if e.Projector == nil {
		return influx.Stats{}, ErrNoInflux
	}
	if _, err := e.Derive(ctx, nil); err != nil {
		return influx.Stats{}, err
	}
	total, err := e.countDays(ctx, person)
	if err != nil {
		return influx.Stats{}, err
	}
	defer e.reportProjection(progress, total)()
	return e.Projector.Rebuild(ctx, person)
}

// countDays returns how many days a person has in the store, everybody if the name is empty.
func (e *Engine) countDays(ctx context.Context, person string) (int64, error) {
	if person == "" {
		c, err := e.Store.Count(ctx)
		return c.Days, err
	}
	p, err := e.Store.Person(ctx, person)
	if err != nil {
		return 0, err
	}
	first, last, ok, err := e.Store.DayRange(ctx, p.ID)
	if err != nil || !ok {
		return 0, err
	}
	return int64(last-first) + 1, nil
}

// reportProjection reports what the Projector does to progress, out of total days, until the function that it returns is
// called.
func (e *Engine) reportProjection(progress func(Progress), total int64) (end func()) {
	if progress == nil {
		return func() {}
	}
	show := throttle(progress)
	report := func(s influx.Stats) { show(Progress{Phase: Projecting, Done: int64(s.Days), Total: total}) }
	e.projected.Store(&report)
	return func() { e.projected.Store(nil) }
}

// rebuildMoved clears and rebuilds the projection of people whose home zone has changed: their days now stand for other
// instants. It reports whether nobody is left whose projection must be rebuilt.
func (e *Engine) rebuildMoved(ctx context.Context) bool {
	people, err := e.Store.Persons(ctx)
	if err != nil {
		return false // the next derivation reports it
	}
	done := true
	for _, p := range people {
		if !p.Rebuild {
			continue
		}
		// The Projector logs and counts what goes wrong.
		if _, err := e.Projector.Rebuild(ctx, p.Name); err != nil {
			done = false
			continue
		}
		e.Log.Info("rebuilt the projection after a change of the home zone",
			"person", p.Name, "zone", p.Zones.Home().String())
	}
	return done
}

// Project projects all that is due. progress may be nil.
func (e *Engine) Project(ctx context.Context, progress func(Progress)) (influx.Stats, error) {
	if e.Projector == nil {
		return influx.Stats{}, ErrNoInflux
	}
	c, err := e.Store.Count(ctx)
	if err != nil {
		return influx.Stats{}, err
	}
	defer e.reportProjection(progress, c.Due)()
	e.rebuildMoved(ctx)
	return e.Projector.ProjectDue(ctx)
}

// Projected takes the progress of the Projector; it belongs into its options.
func (e *Engine) Projected(s influx.Stats) {
	if report := e.projected.Load(); report != nil {
		(*report)(s)
	}
}
