package pull

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// What the records add up to is compared with what the provider says that a day has: a page that got lost, a source
// that counts twice or a zone that is wrong shows there and nowhere else.
const (
	tolerated = 0.05 // by which the two may differ, as a share of the larger one
	fewSteps  = 20   // by which they may differ at any rate
	maxOff    = 400  // days that are kept
	// checkDays is how many days of history are asked for at once: 90 is what providers return, with one to spare for
	// those whose last date is not certain to be included.
	checkDays   = 89
	clockChange = time.Hour // by which clocks are changed where people stay
)

// compare compares totals of days with what is stored, and keeps which days are off. Days that are not over are left out.
func (p *Puller) compare(ctx context.Context, a *account, told []ingest.Total) error {
	if len(told) == 0 {
		return nil
	}
	person, err := p.o.Store.PersonByID(ctx, a.key.PersonID) // what was stored may have told of a journey
	if err != nil {
		return broken(ctx, err)
	}
	today := person.Zones.Day(p.o.Clock.Now())
	known := a.memory().Off
	off := slices.Clone(known)
	for _, t := range told {
		if t.Day >= today {
			continue
		}
		now, isOff, err := p.isOff(ctx, a, person, t)
		if err != nil {
			return err
		}
		i, found := slices.BinarySearchFunc(off, t.Day, func(o OffDay, d walking.Day) int { return int(o.Day - d) })
		switch {
		case isOff && found:
			off[i] = now
		case isOff:
			off = slices.Insert(off, i, now)
		case found:
			off = slices.Delete(off, i, i+1)
		}
	}
	off = off[max(0, len(off)-maxOff):]
	if slices.Equal(off, known) {
		return nil
	}
	for _, o := range off {
		if !slices.Contains(known, o) {
			p.o.Log.WarnContext(ctx, "a day differs from what the provider says it adds up to", "person", a.Person,
				"source", a.Source, "day", o.Day.String(), "percent", math.Round(100*(o.Stored-o.Told)/max(o.Told, o.Stored)))
		}
	}
	return p.change(ctx, a, func(m *memory) { m.Off = off })
}

// isOff compares the total of one day. Days on which the person travelled, or on the day before or after, are never off:
// where a provider lets one end is its own. Nor are those of which it has nothing but the total, which is stored then.
func (p *Puller) isOff(ctx context.Context, a *account, person store.Person, t ingest.Total) (OffDay, bool, error) {
	spans := person.Zones.Spans(t.Day)
	if len(spans) != 1 || travelled(person.Zones, spans[0]) {
		return OffDay{}, false, nil
	}
	stored, rough, err := p.o.Store.Counted(ctx, person.ID, a.Source, spans[0])
	if err != nil {
		return OffDay{}, false, broken(ctx, err)
	}
	apart := math.Abs(t.Steps - stored)
	return OffDay{Day: t.Day, Told: t.Steps, Stored: stored},
		!rough && apart > tolerated*max(t.Steps, stored) && apart > fewSteps, nil
}

// travelled reports whether the person's clock was set by more than clocks are changed in a day or within a day of it.
func travelled(z walking.Timeline, day walking.Window) bool {
	offset := func(t time.Time) time.Duration {
		_, seconds := t.In(z.At(t)).Zone()
		return time.Duration(seconds) * time.Second
	}
	const around = 24 * time.Hour
	at := offset(day.Start)
	for _, t := range []time.Time{day.Start.Add(-around), day.End.Add(-1), day.End.Add(around)} {
		if (offset(t) - at).Abs() > clockChange {
			return true
		}
	}
	return false
}

// check asks for the totals of the days from first to last, inclusive, if the provider can be asked for them, and
// compares them. What goes wrong with that is no failure: the records are stored.
func (p *Puller) check(ctx context.Context, a *account, l *lane, first, last walking.Day) error {
	totaler, ok := l.source.(ingest.Totaler)
	if !ok || last < first {
		return nil
	}
	told, err := totaler.Totals(ctx, first, last)
	if err = a.settle(ctx, err); err == nil {
		return p.compare(ctx, a, told)
	}
	var e *ingest.Error
	if !errors.As(err, &e) {
		return err // nobody's failure
	}
	p.o.Log.InfoContext(ctx, "cannot compare days with what the provider says they add up to", "person", a.Person,
		"source", a.Source, "from", first.String(), "to", last.String(), "err", err)
	return nil
}
