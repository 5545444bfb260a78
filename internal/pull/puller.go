package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/store"
	"golang.org/x/sync/errgroup"
)

// A Puller pulls from every account. Its methods may be called by several goroutines at once.
type Puller struct {
	o        Options
	accounts []*account
	groups   []*group // by kind
	counts   *counts
	loading  chan struct{} // holds one element while somebody loads accounts

	mu       sync.Mutex
	attempts []attempt
	trouble  bool // with the store, as it was logged last
}

// A group is all accounts with one kind of provider. Groups are polled and backfilled beside each other, so that a
// provider that is slow or hangs holds up nobody else's accounts.
type group struct {
	accounts    []*account
	backfilling chan struct{} // holds one element while somebody backfills
	wakePoll    chan struct{}
	wakeHistory chan struct{}
}

const (
	concurrent = 4               // accounts of a group that are polled at once
	idle       = time.Hour       // until the next poll when there is nothing to poll
	longestNap = 5 * time.Minute // of Run: machines sleep, and clocks are set
	// After an error of the store, at first and at last. What is fetched for a disk that is full counts as requests.
	afterError     = time.Minute
	longestTrouble = 16 * time.Minute
)

// New returns a Puller for the accounts. Nothing is read or asked yet.
func New(o Options, accounts []Config) (*Puller, error) {
	if o.Store == nil || o.Clock == nil || o.Wall == nil {
		return nil, errors.New("pull: want a store and both clocks")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Vault == nil {
		o.Vault = glass{}
	}
	o.Clock, o.Wall = onTheClock{o.Clock}, onTheClock{o.Wall}
	o.Daily = cmp.Or(o.Daily, DefaultDaily)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	p := &Puller{o: o, counts: &counts{n: map[[2]string]int64{}}, loading: make(chan struct{}, 1)}
	groups := map[string]*group{}
	several := severalPeople(accounts)
	seen := map[string]bool{}
	for _, c := range accounts {
		a := newAccount(c, connectCommand(c, several))
		if seen[a.name()] {
			return nil, fmt.Errorf("pull: %s is there twice", a.name())
		}
		seen[a.name()] = true
		for _, l := range a.spec.Limits {
			if l.Requests <= 0 || l.Per <= 0 {
				return nil, fmt.Errorf("pull: %s: limit %q allows nothing", a.name(), l.Name)
			}
		}
		a.polls, a.backfills, a.asks = p.newLane(a, polling), p.newLane(a, backfilling), p.newLane(a, asked)
		p.accounts = append(p.accounts, a)
		g := groups[a.Kind]
		if g == nil {
			g = &group{
				backfilling: make(chan struct{}, 1), wakePoll: make(chan struct{}, 1), wakeHistory: make(chan struct{}, 1),
			}
			groups[a.Kind] = g
			p.groups = append(p.groups, g)
		}
		g.accounts = append(g.accounts, a)
	}
	return p, nil
}

// onTheClock is a Clock whose instants are what is on it. Those of package time are compared by a monotonic reading,
// which stands still while the machine sleeps and does not see that the clock is set: a laptop would not poll when it
// wakes, and what was noted on a wrong clock would pass for the past.
type onTheClock struct{ Clock }

func (c onTheClock) Now() time.Time { return c.Clock.Now().Round(0) }

// people returns everybody in the store by name, once what the store has of their accounts is loaded.
func (p *Puller) people(ctx context.Context) (map[string]store.Person, error) {
	persons, err := p.o.Store.Persons(ctx)
	if err != nil {
		return nil, broken(ctx, err)
	}
	out := make(map[string]store.Person, len(persons))
	for _, person := range persons {
		out[person.Name] = person
	}
	if err := acquire(ctx, p.loading); err != nil {
		return nil, err
	}
	defer func() { <-p.loading }()
	var kept map[store.AccountKey]store.Account
	for _, a := range p.accounts {
		person, ok := out[a.Person]
		if !ok || a.isLoaded() {
			continue
		}
		if kept == nil {
			all, err := p.o.Store.Accounts(ctx)
			if err != nil {
				return nil, broken(ctx, err)
			}
			kept = map[store.AccountKey]store.Account{}
			for _, k := range all {
				kept[k.AccountKey] = k
			}
		}
		if err := p.load(ctx, a, person.ID, kept[store.AccountKey{PersonID: person.ID, Source: a.Source}]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &storeError{err}
}

// Poll asks every account whose turn it is at Clock.Now(), up to four of a kind at a time, and returns when the next one
// is due, on the domain clock. What goes wrong with an account is kept in its State; an error means that the store is
// broken, or that ctx has ended.
func (p *Puller) Poll(ctx context.Context) (next time.Time, err error) {
	type result struct {
		next time.Time
		err  error
	}
	results := make([]result, len(p.groups))
	var all sync.WaitGroup
	for i, g := range p.groups {
		all.Go(func() { results[i].next, _, results[i].err = p.round(ctx, g) })
	}
	all.Wait()
	next = p.o.Clock.Now().Add(idle)
	for _, r := range results {
		if r.err != nil {
			return r.next, r.err
		}
		if r.next.Before(next) {
			next = r.next
		}
	}
	return next, nil
}

// round polls a group. It also says how long at most to wait on the wall, for what is to be tried again then.
func (p *Puller) round(ctx context.Context, of *group) (next time.Time, wait time.Duration, err error) {
	people, err := p.people(ctx)
	if err != nil {
		return time.Time{}, 0, err
	}
	// One account's error must not end the others, so the group's context is not used.
	var (
		g    errgroup.Group
		mu   sync.Mutex
		errs []error
	)
	g.SetLimit(concurrent)
	now, wall := p.o.Clock.Now(), p.o.Wall.Now()
	for _, a := range of.accounts {
		person, ok := people[a.Person]
		if !ok {
			continue
		}
		if at, ok := p.next(a, person, now, wall); !ok || at.After(now) {
			continue
		}
		g.Go(func() error {
			_, err := p.poll(ctx, a, person, a.polls)
			switch {
			case err == nil:
				p.synced(ctx, person.ID)
			case isBroken(ctx, err):
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			default:
				p.refused(ctx, a, person.ID)
			}
			return nil
		})
	}
	_ = g.Wait()
	if ctx.Err() != nil {
		return time.Time{}, 0, ctx.Err()
	}
	now, wall = p.o.Clock.Now(), p.o.Wall.Now()
	next, wait = now.Add(idle), idle
	for _, a := range of.accounts {
		person, ok := people[a.Person]
		if !ok {
			continue
		}
		at, ok := p.next(a, person, now, wall)
		if !ok {
			continue
		}
		if at.Before(next) {
			next = at
		}
		m := a.memory()
		if until := m.stalled(a.auth, wall); !until.IsZero() {
			wait = min(wait, until.Sub(wall))
		}
	}
	if len(errs) > 0 {
		return next, wait, errs[0]
	}
	return next, wait, nil
}

func (p *Puller) synced(ctx context.Context, personID int64) {
	if p.o.Synced != nil {
		p.o.Synced(ctx, personID)
	}
}

// refused tells of an account that could not be asked, if its consent is what is wrong.
func (p *Puller) refused(ctx context.Context, a *account, personID int64) {
	if m := a.memory(); p.o.Refused != nil && m.refused(a.auth) != nil {
		p.o.Refused(ctx, personID)
	}
}

// ring wakes Run: something may be due.
func (p *Puller) ring() {
	for _, g := range p.groups {
		for _, c := range []chan struct{}{g.wakePoll, g.wakeHistory} {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}

// Run polls, and backfills beside that, until ctx ends, which is no error. An error means that the database is damaged;
// a store that is full or out of reach is tried again.
func (p *Puller) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { <-ctx.Done(); return nil }) // also without any account
	for _, of := range p.groups {
		g.Go(func() error {
			return p.loop(ctx, of.wakePoll, func() (time.Duration, time.Duration, error) {
				next, wait, err := p.round(ctx, of)
				select {
				case of.wakeHistory <- struct{}{}: // a first poll begins a history
				default:
				}
				return max(0, next.Sub(p.o.Clock.Now())), wait, err
			})
		})
		g.Go(func() error {
			return p.loop(ctx, of.wakeHistory, func() (time.Duration, time.Duration, error) {
				moved, _, again, err := p.backfill(ctx, of)
				switch {
				case moved:
					return 0, 0, err
				case again.IsZero():
					return idle, idle, err
				}
				return idle, max(0, again.Sub(p.o.Wall.Now())), err
			})
		})
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// loop calls step until ctx ends, each time when the first of two times has gone by: domain on the domain clock and wall
// on the wall.
func (p *Puller) loop(ctx context.Context, wake <-chan struct{}, step func() (domain, wall time.Duration, err error),
) error {
	failed, pause := false, afterError
	for {
		domain, wall, err := p.try(ctx, failed, step)
		if ctx.Err() != nil {
			return nil
		}
		wall = min(wall, longestNap)
		var damaged *store.FileError
		switch {
		case errors.As(err, &damaged) && damaged.Corrupt:
			return err
		case err != nil:
			if p.hasTrouble(true) {
				p.o.Log.ErrorContext(ctx, "cannot pull, trying again, at least every 16 minutes", "err", err)
			}
			failed, domain, wall = true, idle, pause
			pause = min(2*pause, longestTrouble)
		case failed:
			if p.hasTrouble(false) {
				p.o.Log.InfoContext(ctx, "pulling again")
			}
			failed, pause = false, afterError
		}
		if domain <= 0 || wall <= 0 {
			continue
		}
		if !p.nap(ctx, wake, domain, wall) {
			return nil
		}
	}
}

// hasTrouble notes whether there is trouble with the store, and reports whether that is news.
func (p *Puller) hasTrouble(now bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.trouble
	p.trouble = now
	return before != now
}

// try calls step, but while the store has trouble only if it can be written to: what is fetched could not be kept.
func (p *Puller) try(ctx context.Context, trouble bool, step func() (domain, wall time.Duration, err error),
) (domain, wall time.Duration, err error) {
	if trouble {
		if err := p.o.Store.Writable(ctx); err != nil {
			return 0, 0, broken(ctx, err)
		}
	}
	return step()
}

func (p *Puller) nap(ctx context.Context, wake <-chan struct{}, domain, wall time.Duration) bool {
	d, stopDomain := p.o.Clock.NewTimer(domain)
	defer stopDomain()
	w, stopWall := p.o.Wall.NewTimer(wall)
	defer stopWall()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-d:
	case <-w:
	}
	return true
}
