package pull

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

const (
	overlap       = time.Hour           // before what the device had synced when data was last fetched
	sessionsEvery = 3 * time.Hour       // recorded walks change less often than steps
	silentAfter   = 3 * time.Hour       // without a sync of the device, from which on data is fetched in spite of that
	silentDataAge = time.Hour           // between such fetches
	nightDataAge  = 2 * time.Hour       // between fetches of data in the quiet hours
	lookBackAt    = 3 * time.Hour       // after midnight, roughly: the day's long look back
	weekBack      = 8 * 24 * time.Hour  // once a day
	monthEvery    = 7                   // days
	totalsBack    = 8                   // days whose totals are compared then
	longestGap    = 37 * 24 * time.Hour // that a poll fetches by itself
	maxGaps       = 100                 // kept apart
)

// tally counts what was pulled.
type tally struct {
	records     int // and sessions
	changes     store.Changes
	first, last walking.Day // that a poll has asked for; zero if it did not come to that
	totals      []ingest.Total
}

func (t *tally) add(o tally) {
	t.records += o.records
	t.changes.Added += o.changes.Added
	t.changes.Replaced += o.changes.Replaced
	t.changes.Removed += o.changes.Removed
	t.changes.Unchanged += o.changes.Unchanged
	t.totals = append(t.totals, o.totals...)
}

// guard runs f for an account, so that its panic becomes an error of the account.
func (p *Puller) guard(ctx context.Context, a *account, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			text := a.secret.clean(fmt.Sprint(r))
			p.o.Log.ErrorContext(ctx, "a source has a bug", "person", a.Person, "source", a.Source,
				"panic", text, "stack", a.secret.clean(string(debug.Stack())))
			err = failf(ingest.Transient, "walkd has a bug: %s", text)
		}
	}()
	return f()
}

// poll asks one account: by the clock, or because a person asks, who always gets data. Its error is settled and noted.
func (p *Puller) poll(ctx context.Context, a *account, person store.Person, l *lane) (tally, error) {
	if err := acquire(ctx, a.busy); err != nil {
		return tally{}, err
	}
	defer func() { <-a.busy }()
	if l.purpose == polling {
		// Somebody may have asked while this waited for its turn.
		if at, ok := p.next(a, person, p.o.Clock.Now(), p.o.Wall.Now()); !ok || at.After(p.o.Clock.Now()) {
			return tally{}, nil
		}
	}
	var t tally
	before, consent := l.sent(), a.consent()
	err := p.guard(ctx, a, func() (err error) {
		t, err = p.ask(ctx, a, person, l)
		return err
	})
	if err != nil {
		if l.purpose == polling {
			a.mu.Lock()
			a.mem.count(l.sent()-before, p.o.Wall.Now())
			a.mu.Unlock()
		}
		return t, p.failed(ctx, a, l.purpose, consent, err)
	}
	return t, nil
}

// A plan is what one poll is to fetch.
type plan struct {
	sessions    bool
	week, month bool // long look-backs that are due
	far         bool // further back than an ordinary poll
	first, last walking.Day
	recent      []gap // before first: what has changed lately
	later       []gap // what is too long ago for a poll
	cursor      string
}

func (p *Puller) ask(ctx context.Context, a *account, person store.Person, l *lane) (tally, error) {
	now := p.o.Clock.Now()
	m := a.memory()
	before := l.sent()
	var synced time.Time
	if prober, ok := l.source.(ingest.Prober); ok {
		var err error
		if synced, err = prober.Probe(ctx); err != nil {
			return tally{}, err
		}
		if synced.After(now) {
			synced = now
		}
	}
	pl := newPlan(a.spec, person, m, synced, now)
	if l.purpose == polling && !wanted(pl, person, m, synced, now) {
		return tally{}, p.ended(ctx, a, func(m *memory) {
			m.Polled, m.Success, m.Probed = now, now, synced
			m.count(l.sent()-before, p.o.Wall.Now())
		})
	}
	if l.purpose == asked {
		pl.sessions = true
	}
	pl.cursor = m.Cursor
	if feed, ok := l.source.(ingest.Feed); ok {
		stale, next, err := feed.Changes(ctx, m.Cursor)
		if err != nil {
			return tally{}, err
		}
		pl.follow(person, stale, now)
		pl.cursor = next
	}
	t, err := p.fetchAll(ctx, a, person, l, pl, synced, now)
	t.first, t.last = pl.first, pl.last
	if err != nil {
		return t, err
	}
	if err := p.compare(ctx, a, t.totals); err != nil {
		return t, err
	}
	if pl.week {
		today := person.Zones.Day(now)
		first := max(pl.first, today-totalsBack)
		if pl.month {
			first = pl.first // what was off may have been mended since, and it is one question all the same
		}
		if err := p.check(ctx, a, l, first, today-1); err != nil {
			return t, err
		}
	}
	cost := l.sent() - before
	return t, p.ended(ctx, a, func(m *memory) {
		m.Polled, m.Success, m.Data, m.Probed, m.Cursor = now, now, now, synced, pl.cursor
		if !synced.IsZero() {
			m.Synced = synced
		}
		if pl.sessions {
			m.Sessions = now
		}
		if l.purpose == polling {
			m.count(cost, p.o.Wall.Now())
			if !pl.far && len(pl.recent) == 0 {
				m.spent(cost)
			}
		}
		today := lookBackDay(person, now)
		if pl.week {
			m.Week = today
		}
		if pl.month {
			m.Month = today
		}
		if m.History == nil {
			m.History = &history{From: pl.first}
		}
		m.History.add(pl)
	})
}

// add notes what a plan leaves to the backfill. What lies before From comes anyway.
func (h *history) add(pl plan) {
	for _, g := range pl.later {
		if h.Done || g.Last >= h.From {
			if !h.Done {
				g.First = max(g.First, h.From)
			}
			h.Gaps = append(h.Gaps, g)
		}
	}
	if len(h.Gaps) > maxGaps {
		all := h.Gaps[0]
		for _, g := range h.Gaps {
			all.First, all.Last = min(all.First, g.First), max(all.Last, g.Last)
		}
		h.Gaps = []gap{all}
	}
}

// ended notes that a poll ended well.
func (p *Puller) ended(ctx context.Context, a *account, f func(m *memory)) error {
	var before *Problem
	err := p.change(ctx, a, func(m *memory) {
		f(m)
		before = mended(m)
	})
	if err != nil {
		return err
	}
	p.sayMended(ctx, a, before)
	p.o.Log.DebugContext(ctx, "polled", "person", a.Person, "source", a.Source)
	return nil
}

// lookBackDay returns the day whose long look-back is due at now: the last one that has begun some hours ago.
func lookBackDay(person store.Person, now time.Time) walking.Day {
	return person.Zones.Day(now.Add(-lookBackAt))
}

// newPlan says what is due at now, given what the probe said. Look-backs are for data that came late or was corrected.
func newPlan(spec ingest.Spec, person store.Person, m memory, synced, now time.Time) plan {
	pl := plan{}
	today := lookBackDay(person, now)
	pl.week = m.Week != today
	pl.month = m.Month == 0 || today-m.Month >= monthEvery || today < m.Month
	from := now.Add(-spec.LookBack)
	reach := func(t time.Time) {
		if t.Before(from) {
			from = t
		}
	}
	// A device that has synced since can bring all that it has counted since the sync before. One that has not brings
	// nothing, however long that goes on.
	if !m.Synced.IsZero() && !synced.IsZero() && !synced.Equal(m.Synced) {
		reach(m.Synced.Add(-overlap))
	}
	if !m.Data.IsZero() {
		reach(m.Data.Add(-spec.LookBack))
	}
	behind := from.Before(now.Add(-spec.LookBack - 24*time.Hour))
	pl.far = behind || pl.week || pl.month
	// The first time the backfill comes by all that the look-backs would bring.
	if pl.week && !m.Data.IsZero() {
		reach(now.Add(-weekBack))
	}
	if pl.month && !m.Data.IsZero() {
		reach(now.Add(-spec.FarBack))
	}
	pl.sessions = pl.far || m.History == nil || m.Sessions.IsZero() || m.Sessions.After(now) ||
		now.Sub(m.Sessions) >= sessionsEvery
	if oldest := now.Add(-longestGap); from.Before(oldest) {
		first, last := daysOf(person.Zones, from, oldest)
		pl.later = append(pl.later, gap{first, last})
		from = oldest
	}
	pl.first, pl.last = daysOf(person.Zones, from, now)
	pl.first = min(max(pl.first, spec.Earliest), pl.last)
	return pl
}

// wanted reports whether a poll is to fetch data.
func wanted(pl plan, person store.Person, m memory, synced, now time.Time) bool {
	if m.Data.IsZero() || m.Data.After(now) || m.History == nil || pl.week || pl.month {
		return true
	}
	if _, night := quietAt(person.Zones, person.Quiet, now); night && now.Sub(m.Data) < nightDataAge {
		return false
	}
	if synced.IsZero() || !synced.Equal(m.Synced) {
		return true
	}
	// A watch in a drawer does not sync, while a phone may go on counting for the same account.
	return now.Sub(synced) >= silentAfter && now.Sub(m.Data) >= silentDataAge
}

// follow adds what a feed says has changed, as far as the plan does not hold it anyway: what is recent to the plan, the
// rest to the backfill.
func (pl *plan) follow(person store.Person, stale []walking.Window, now time.Time) {
	oldest := person.Zones.Day(now.Add(-longestGap))
	for _, w := range stale {
		if w.End.After(now) {
			w.End = now.Add(time.Nanosecond)
		}
		if w.Empty() {
			continue
		}
		first, last := daysOf(person.Zones, w.Start, w.End.Add(-1))
		if last = min(last, pl.first-1); last >= oldest && first <= last {
			pl.recent = append(pl.recent, gap{max(first, oldest), last})
			last = oldest - 1
		}
		if first <= last {
			pl.later = append(pl.later, gap{first, last})
		}
	}
}

// fetchAll fetches and stores all that is planned for now, newest first. How far the streams are synced is stored with
// the last of it: as the probe said that was asked before, or as the data says, whichever is later.
func (p *Puller) fetchAll(ctx context.Context, a *account, person store.Person, l *lane, pl plan, synced, now time.Time,
) (t tally, err error) {
	var streams []walking.Stream
	fetch := func(w walking.Window, sessions, last bool) error {
		b, err := l.source.Fetch(ctx, ingest.Request{Window: w, Zones: person.Zones, Now: now, Sessions: sessions})
		if err != nil {
			return err
		}
		streams = merge(streams, b.Streams, synced)
		if b.Streams = unsynced(b.Streams); last {
			b.Streams = streams
		}
		one, err := p.apply(ctx, a, person, b, now)
		t.add(one)
		return err
	}
	ws := windows(person.Zones, a.spec, pl.first, pl.last)
	recent := len(ws)
	for _, g := range pl.recent {
		ws = append(ws, windows(person.Zones, a.spec, g.first(a.spec), g.Last)...)
	}
	for i, w := range ws {
		if err := fetch(w, pl.sessions || i >= recent, i == len(ws)-1); err != nil {
			return t, err
		}
	}
	return t, nil
}

// first returns the first day of g that the provider can know.
func (g gap) first(spec ingest.Spec) walking.Day { return max(g.First, spec.Earliest) }

// unsynced returns streams without how far they are synced: that holds only once all up to then is stored.
func unsynced(streams []walking.Stream) []walking.Stream {
	out := slices.Clone(streams)
	for i := range out {
		out[i].SyncedThrough = time.Time{}
	}
	return out
}

// merge adds streams to those already known, with the latest of what is said of how far they are synced.
func merge(known, more []walking.Stream, synced time.Time) []walking.Stream {
	for _, s := range more {
		i := slices.IndexFunc(known, func(o walking.Stream) bool { return o.StreamKey == s.StreamKey })
		if i < 0 {
			known, i = append(known, s), len(known)
		}
		for _, t := range []time.Time{s.SyncedThrough, synced} {
			if t.After(known[i].SyncedThrough) {
				known[i].SyncedThrough = t
			}
		}
	}
	return known
}

// apply stores a batch in one transaction.
func (p *Puller) apply(ctx context.Context, a *account, person store.Person, b ingest.Batch, now time.Time,
) (tally, error) {
	for _, s := range b.Streams {
		if s.Source != a.Source {
			return tally{}, failf(ingest.Permanent, "%s hands out data as that of %q", a.spec.Service, s.Source)
		}
	}
	changes, err := p.o.Store.Apply(ctx, person.ID, b, now)
	if err != nil {
		return tally{}, stored(ctx, err)
	}
	return tally{records: size(b), changes: changes, totals: b.Totals}, nil
}

// stored tells a broken store from a batch that cannot be stored.
func stored(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrDisk) || errors.As(err, new(*store.FileError)) {
		return &storeError{err}
	}
	return failf(ingest.Transient, "the answer could not be stored: %w", err)
}

func size(b ingest.Batch) int {
	n := len(b.Sessions)
	for _, rs := range b.Records {
		n += len(rs.Records)
	}
	return n
}

// next returns when an account is polled next, on the domain clock; not at all if ok is false. It is now, or earlier, if
// a poll is due.
func (p *Puller) next(a *account, person store.Person, now, wall time.Time) (at time.Time, ok bool) {
	m := a.memory()
	if !a.isConnected() || m.refused(a.auth) != nil {
		return time.Time{}, false
	}
	return nextPoll(rhythmOf(a.Config, a.spec, person, m, p.o.Daily, wall), m, a.auth, now, wall), true
}

func nextPoll(r rhythm, m memory, auth ingest.Authorizer, now, wall time.Time) time.Time {
	if until := m.stalled(auth, wall); !until.IsZero() {
		return now.Add(until.Sub(wall))
	}
	if m.Problem != nil {
		return now
	}
	return r.next(m.Polled, now)
}
