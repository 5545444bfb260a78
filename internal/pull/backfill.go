package pull

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// emptyDays is how many days in a row without anything end a backfill: the person had no device before.
const emptyDays = 26 * 7

// Backfill fetches one window of each account that has history left and may be asked now. more says whether any has
// history left. An error means that the store is broken, or that ctx has ended.
func (p *Puller) Backfill(ctx context.Context) (more bool, err error) {
	for _, g := range p.groups {
		_, left, _, err := p.backfill(ctx, g)
		if more = more || left; err != nil {
			return more, err
		}
	}
	return more, nil
}

// backfill is one round of Backfill for a group. It also says whether any account came further, and when on the wall the
// first of the others can be asked; zero if none has to wait.
func (p *Puller) backfill(ctx context.Context, of *group) (moved, more bool, again time.Time, err error) {
	changed := map[int64]bool{}
	failed := map[*account]int64{}
	moved, more, again, err = p.backfillAll(ctx, of, changed, failed)
	for id := range changed {
		p.synced(ctx, id)
	}
	for a, id := range failed {
		p.refused(ctx, a, id)
	}
	return moved, more, again, err
}

// backfillAll is backfill that notes for whom something has changed, and which accounts could not be asked.
func (p *Puller) backfillAll(ctx context.Context, of *group, changed map[int64]bool, failed map[*account]int64,
) (moved, more bool, again time.Time, err error) {
	if err := acquire(ctx, of.backfilling); err != nil {
		return false, false, again, err
	}
	defer func() { <-of.backfilling }()
	people, err := p.people(ctx)
	if err != nil {
		return false, false, again, err
	}
	for _, a := range of.accounts {
		person, ok := people[a.Person]
		if !ok || !a.isConnected() {
			continue
		}
		m := a.memory()
		if m.History == nil || m.History.complete() || m.refused(a.auth) != nil {
			continue
		}
		wall := p.o.Wall.Now()
		until := pause(m.History.NotBefore, wall)
		if t := pause(m.NotBefore, wall); t.After(until) {
			until = t
		}
		if !until.IsZero() {
			more = true
			if again.IsZero() || until.Before(again) {
				again = until
			}
			continue
		}
		var t tally
		consent := a.consent()
		err := p.guard(ctx, a, func() (err error) {
			t, err = p.backfillOne(ctx, a, person, *m.History)
			return err
		})
		if err != nil {
			if err = p.failed(ctx, a, backfilling, consent, err); isBroken(ctx, err) {
				return moved, true, again, err
			}
			failed[a] = person.ID
		} else {
			moved = true
			if t.changes.Any() {
				changed[person.ID] = true
			}
		}
		h := a.memory().History
		more = more || h != nil && !h.complete()
	}
	return moved, more, again, nil
}

// backfillOne fetches the next days of an account, and keeps how far it has come.
func (p *Puller) backfillOne(ctx context.Context, a *account, person store.Person, h history) (tally, error) {
	inGap := len(h.Gaps) > 0
	earliest, last := a.spec.Earliest, h.From-1
	if inGap {
		earliest, last = h.Gaps[0].first(a.spec), h.Gaps[0].Last
	}
	var (
		t       tally
		from    = last + 1
		ws      []walking.Window
		started = a.backfills.sent()
	)
	if last >= earliest {
		from, ws = block(person.Zones, a.spec, earliest, last)
	}
	for _, w := range ws {
		one, err := p.fetchPast(ctx, a, person, a.backfills, w)
		if err != nil {
			return t, err
		}
		t.add(one)
	}
	if err := p.compare(ctx, a, t.totals); err != nil {
		return t, err
	}
	var (
		before *Problem
		done   bool
		checks []gap // days whose totals are to be asked for now
	)
	err := p.change(ctx, a, func(m *memory) {
		if m.History == nil {
			return // begun anew
		}
		before = m.History.Problem
		m.History.Problem, m.History.Failures, m.History.NotBefore = nil, 0, time.Time{}
		switch now := m.History; {
		case inGap && len(now.Gaps) > 0 && now.Gaps[0] == h.Gaps[0]:
			if now.Gaps[0].Last = from - 1; from <= earliest {
				now.Gaps = slices.Delete(now.Gaps, 0, 1)
			}
		case !inGap && now.From == h.From:
			now.Empty += int(now.From - from)
			if t.records > 0 {
				now.Empty = 0
			}
			now.Checked = cmp.Or(now.Checked, now.From)
			now.From = from
			now.Done = from <= earliest || now.Empty >= emptyDays
			done = now.Done
			for now.Checked-from >= checkDays || done && now.Checked > from {
				first := max(from, now.Checked-checkDays)
				checks = append(checks, gap{first, now.Checked - 1})
				now.Checked = first
			}
		}
	})
	if err != nil {
		return t, err
	}
	p.sayMended(ctx, a, before)
	p.o.Log.DebugContext(ctx, "backfilled", "person", a.Person, "source", a.Source, "from", from.String(),
		"requests", a.backfills.sent()-started)
	if done {
		p.o.Log.InfoContext(ctx, "the history of a source is complete", "person", a.Person, "source", a.Source,
			"from", from.String())
	}
	for _, g := range checks {
		if err := p.check(ctx, a, a.backfills, g.First, g.Last); err != nil {
			return t, err
		}
	}
	return t, nil
}

// fetchPast fetches and stores a window whose end is not what the streams are synced through.
func (p *Puller) fetchPast(ctx context.Context, a *account, person store.Person, l *lane, w walking.Window,
) (tally, error) {
	now := p.o.Clock.Now()
	b, err := l.source.Fetch(ctx, ingest.Request{Window: w, Zones: person.Zones, Now: now, Sessions: true})
	if err != nil {
		return tally{}, err
	}
	b.Streams = unsynced(b.Streams)
	return p.apply(ctx, a, person, b, now)
}
