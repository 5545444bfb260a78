package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// Sync pulls now what r names, one account after the other: a poll whatever the time, or a range of days, newest first.
// Breaking it off loses nothing; what is stored already does not change. progress may be nil. What goes wrong with an
// account stands in its result; the error means that r names no account, that the store is broken, or that ctx has
// ended.
func (p *Puller) Sync(ctx context.Context, r SyncRequest, progress func(Progress)) ([]SyncResult, error) {
	people, err := p.people(ctx)
	if err != nil {
		return nil, err
	}
	var out []SyncResult
	for _, a := range p.accounts {
		if r.Person != "" && r.Person != a.Person || r.Source != "" && r.Source != a.Source {
			continue
		}
		result := SyncResult{Person: a.Person, Source: a.Source}
		person, ok := people[a.Person]
		if !ok {
			return out, fmt.Errorf("pull: %s: %w", a.Person, store.ErrNoPerson)
		}
		before := a.asks.sent()
		if result.Err = p.mayAsk(ctx, a); result.Err == nil {
			var t tally
			if r.From == 0 && r.To == 0 {
				result.Days, t, result.Err = p.syncNow(ctx, a, person, progress)
			} else {
				result.Days, t, result.Err = p.syncRange(ctx, a, person, r, progress)
			}
			result.Records, result.Changes = t.records, t.changes
		}
		result.Requests = a.asks.sent() - before
		out = append(out, result)
		if result.Changes.Any() || result.Err == nil {
			p.synced(ctx, person.ID)
		}
		if isBroken(ctx, result.Err) {
			return out, result.Err
		}
		if result.Err != nil {
			p.refused(ctx, a, person.ID)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("pull: %w", p.noAccount(r.Person, r.Source))
	}
	p.ring()
	return out, nil
}

// mayAsk returns why an account is not to be asked, even by a person.
func (p *Puller) mayAsk(ctx context.Context, a *account) error {
	m := a.memory()
	if problem := m.refused(a.auth); problem != nil {
		return &ingest.Error{Class: problem.Class, Remedy: problem.Remedy, Err: errors.New(problem.Text)}
	}
	if !a.isConnected() {
		return a.settle(ctx, notConnected(a.Config))
	}
	wall := p.o.Wall.Now()
	until := pause(m.NotBefore, wall)
	if m.Problem == nil || m.Problem.Class != ingest.Throttled || m.Held || until.IsZero() {
		return nil
	}
	return &ingest.Error{
		Class: ingest.Throttled, RetryAfter: until.Sub(wall),
		Err: fmt.Errorf("%s: it can be asked again at %s", m.Problem.Text, until.Local().Format("2006-01-02 15:04:05")),
	}
}

func (p *Puller) syncNow(ctx context.Context, a *account, person store.Person, progress func(Progress),
) (int, tally, error) {
	before := a.asks.sent()
	t, err := p.poll(ctx, a, person, a.asks)
	days := 0
	if t.last != 0 {
		days = int(t.last-t.first) + 1
	}
	if err == nil && progress != nil {
		progress(Progress{
			Person: a.Person, Source: a.Source, Day: t.first, Done: days, Total: days, Records: t.records,
			Requests: a.asks.sent() - before,
		})
	}
	return days, t, err
}

func (p *Puller) syncRange(ctx context.Context, a *account, person store.Person, r SyncRequest,
	progress func(Progress),
) (int, tally, error) {
	today := person.Zones.Day(p.o.Clock.Now())
	first, last := max(r.From, a.spec.Earliest), today
	if r.To != 0 {
		last = min(r.To, today)
	}
	if last < first {
		return 0, tally{}, &ingest.Error{
			Class: ingest.Permanent,
			Err:   fmt.Errorf("there is nothing from %s to %s: %s knows %s to today", r.From, last, a.spec.Service, a.spec.Earliest),
		}
	}
	var (
		t      tally
		before = a.asks.sent()
		total  = int(last-first) + 1
	)
	say := func(reached walking.Day) {
		if progress != nil {
			progress(Progress{
				Person: a.Person, Source: a.Source, Day: reached, Done: total - int(reached-first), Total: total,
				Records: t.records, Requests: a.asks.sent() - before,
			})
		}
	}
	for reached := last + 1; reached > first; {
		from, ws := block(person.Zones, a.spec, first, reached-1)
		for _, w := range ws {
			one, err := p.syncWindow(ctx, a, person, w)
			t.add(one)
			if err != nil {
				return total, t, err
			}
		}
		reached = from
		if err := p.reached(ctx, a, from, last); err != nil {
			return total, t, err
		}
		say(reached)
	}
	if err := p.compare(ctx, a, t.totals); err != nil {
		return total, t, err
	}
	return total, t, p.check(ctx, a, a.asks, first, min(last, today-1))
}

// reached notes that everything from first to last is there, so that the backfill need not ask for it again.
func (p *Puller) reached(ctx context.Context, a *account, first, last walking.Day) error {
	if h := a.memory().History; h == nil || h.Done || first >= h.From || last < h.From-1 {
		return nil
	}
	return p.change(ctx, a, func(m *memory) {
		if h := m.History; h != nil && !h.Done && last >= h.From-1 {
			h.From, h.Empty = min(h.From, first), 0
		}
	})
}

// syncWindow fetches and stores one window, not at the same time as a poll: the older answer could be stored last.
func (p *Puller) syncWindow(ctx context.Context, a *account, person store.Person, w walking.Window) (tally, error) {
	if err := acquire(ctx, a.busy); err != nil {
		return tally{}, err
	}
	defer func() { <-a.busy }()
	var t tally
	consent := a.consent()
	err := p.guard(ctx, a, func() (err error) {
		t, err = p.fetchPast(ctx, a, person, a.asks, w)
		return err
	})
	if err != nil {
		return t, p.failed(ctx, a, asked, consent, err)
	}
	if a.memory().Problem != nil {
		var before *Problem
		err = p.change(ctx, a, func(m *memory) { before = mended(m) })
		p.sayMended(ctx, a, before)
	}
	return t, err
}

// Probe asks every account now what its provider says of it: the cheapest question there is, which is for the data of
// today where there is no cheaper one. Nothing is stored. What is wrong with an account stands in its About; the error
// means that the store is broken, or that ctx has ended.
func (p *Puller) Probe(ctx context.Context) ([]About, error) {
	people, err := p.people(ctx)
	if err != nil {
		return nil, err
	}
	var out []About
	for _, a := range p.accounts {
		about := About{Person: a.Person, Source: a.Source, Service: a.spec.Service}
		if about.Err = p.mayAsk(ctx, a); about.Err == nil {
			about.Err = a.settle(ctx, p.guard(ctx, a, func() (err error) {
				about.Description, err = p.probe(ctx, a, people[a.Person])
				return err
			}))
		}
		if isBroken(ctx, about.Err) {
			return nil, about.Err
		}
		a.mu.Lock()
		about.Scopes = slices.Clone(a.grant.token.Scopes) // a renewal may have told
		a.mu.Unlock()
		out = append(out, about)
	}
	return out, nil
}

func (p *Puller) probe(ctx context.Context, a *account, person store.Person) (ingest.Description, error) {
	switch source := a.asks.source.(type) {
	case ingest.Describer:
		return source.Describe(ctx)
	case ingest.Prober:
		synced, err := source.Probe(ctx)
		if synced.IsZero() {
			return ingest.Description{}, err
		}
		return ingest.Description{Devices: []ingest.Device{{Synced: synced}}}, err
	}
	now := p.o.Clock.Now()
	today := person.Zones.Day(now)
	_, ws := block(person.Zones, a.spec, today, today)
	if len(ws) == 0 {
		return ingest.Description{}, nil
	}
	_, err := a.asks.source.Fetch(ctx, ingest.Request{Window: ws[0], Zones: person.Zones, Now: now})
	return ingest.Description{}, err
}

func notConnected(c Config) error {
	return &ingest.Error{Class: ingest.Auth, Err: fmt.Errorf("%s is not connected yet", c.Source)}
}

// noAccount says what there is instead of what was asked for.
func (p *Puller) noAccount(person, source string) error {
	if len(p.accounts) == 0 {
		return errors.New("no source in the config is pulled from a provider")
	}
	var known []string
	for _, a := range p.accounts {
		known = append(known, a.name())
	}
	return fmt.Errorf("no source %q of person %q is pulled from a provider: there are %v", source, person, known)
}
