package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
	"golang.org/x/sync/errgroup"
)

// tick is how often the daemon looks whether the clock has changed anything: a new day, a day that closes.
const tick = time.Minute

// An Engine owns a store and does walkd's work on it. Its methods may be called from several goroutines.
type Engine struct {
	Store     *store.Store
	Formats   map[string]ingest.Format // by name, for imports
	Projector *influx.Projector        // nil: no projection
	// Puller pulls from Accounts, and calls Synced.
	Puller   *pull.Puller
	Accounts []pull.Config
	Courier  *notify.Courier
	Nudging  map[string]Nudging // by person's name; whoever is not in it hears nothing
	Clock    Clock
	Log      *slog.Logger
	// Assessed, if not nil, is called with what was decided for a person after each sync.
	Assessed func(p store.Person, s nudges.Situation, ds []nudges.Decision)

	deriving  sync.Mutex                         // one derivation at a time
	projected atomic.Pointer[func(influx.Stats)] // who wants to know of progress
	mu        sync.Mutex
	wake      chan struct{} // made by Run: tells the projection that days have changed
	health    Health
}

// Health tells how the loops fare.
type Health struct {
	Beat    time.Time // when the deriving loop was last seen at work; zero before Run
	Rounds  int64     // rounds that it has ended
	Err     error     // why the last round failed; nil if it did not
	Derived int64     // days derived since the start
}

// ErrNoInflux says that there is no InfluxDB to write to.
var ErrNoInflux = errors.New("no InfluxDB is configured: set influx.url and influx.bucket")

// ErrClock says that nothing is decided because the clock is wrong.
var ErrClock = errors.New("the clock of this machine is behind the newest data")

// Health returns how the loops fare.
func (e *Engine) Health() Health {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.health
}

// Run derives, pulls, tells and projects until ctx ends, which is no error.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	wake := make(chan struct{}, 1)
	e.mu.Lock()
	e.wake, e.health.Beat = wake, e.Clock.Now()
	e.mu.Unlock()
	derived := make(chan struct{})
	g.Go(func() error { return e.loop(ctx, derived) })
	if len(e.Accounts) > 0 {
		g.Go(func() error { return e.Puller.Run(ctx) })
		g.Go(func() error { return e.consentLoop(ctx) })
	}
	if e.Courier != nil {
		g.Go(func() error { return e.Courier.Run(ctx) })
	}
	if e.Projector != nil {
		g.Go(func() error { return e.Projector.Run(ctx, wake) })
		g.Go(func() error { return e.moveLoop(ctx, derived) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// loop derives whatever is to be derived, once a tick, and closes derived after the first round. What goes wrong is
// tried again; a damaged database ends it.
func (e *Engine) loop(ctx context.Context, derived chan<- struct{}) error {
	said := ""
	for {
		_, err := e.Derive(ctx, nil)
		if ctx.Err() != nil {
			return nil
		}
		e.mu.Lock()
		e.health.Beat, e.health.Err = e.Clock.Now(), err
		e.health.Rounds++
		e.mu.Unlock()
		if derived != nil {
			close(derived)
			derived = nil
		}
		var damaged *store.FileError
		switch {
		case errors.As(err, &damaged) && damaged.Corrupt:
			return err
		case err != nil && err.Error() != said:
			e.Log.Error("cannot derive days, trying again every minute", "err", err)
			said = err.Error()
		case err == nil && said != "":
			e.Log.Info("deriving days again")
			said = ""
		}
		if !e.sleep(ctx) {
			return nil
		}
	}
}

// moveLoop rebuilds the projection of people whose home has moved, once their days are derived anew. That takes as long
// as InfluxDB lets it, which must not keep days from being derived.
func (e *Engine) moveLoop(ctx context.Context, derived <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-derived:
	}
	for !e.rebuildMoved(ctx) && e.sleep(ctx) {
		// InfluxDB is away, or wants something of its owner.
	}
	return nil
}

// sleep waits for a tick; it returns false if ctx ends first.
func (e *Engine) sleep(ctx context.Context) bool {
	timer, stop := e.Clock.NewTimer(tick)
	defer stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer:
		return true
	}
}

// Derive brings the derived days of everybody up to date and returns how many were derived. It decides nothing and
// returns ErrClock while the clock is before the newest instant in the store, as on a Raspberry Pi that has not yet
// heard the time. progress, if not nil, is called with the number of days done and to do.
func (e *Engine) Derive(ctx context.Context, progress func(done, total int)) (int, error) {
	return e.derive(ctx, (*store.Reader).Persons, progress)
}

// DerivePerson brings the derived days of one person up to date, as Derive does.
func (e *Engine) DerivePerson(ctx context.Context, personID int64) (int, error) {
	return e.derive(ctx, func(r *store.Reader, ctx context.Context) ([]store.Person, error) {
		p, err := r.PersonByID(ctx, personID)
		return []store.Person{p}, err
	}, nil)
}

func (e *Engine) derive(ctx context.Context, whom func(*store.Reader, context.Context) ([]store.Person, error),
	progress func(done, total int),
) (int, error) {
	e.deriving.Lock()
	defer e.deriving.Unlock()
	now := e.Clock.Now()
	newest, err := e.Store.NewestInstant(ctx)
	if err != nil {
		return 0, err
	}
	if now.Add(ingest.ClockTolerance).Before(newest) {
		return 0, fmt.Errorf("%w: it says %s, there is data of %s: set the clock, or wait until it is set", ErrClock,
			now.UTC().Format(time.RFC3339), newest.Format(time.RFC3339))
	}
	var (
		people      []store.Person
		plans       []plan
		total, done int
	)
	// People and their marks are of one state of the store: a journey that comes to be known in between would change
	// the days that a mark stands for.
	err = e.Store.Snapshot(ctx, func(r *store.Reader) (err error) {
		if people, err = whom(r, ctx); err != nil {
			return err
		}
		for _, p := range people {
			pl, err := planDays(ctx, r, p, now)
			if err != nil {
				return fmt.Errorf("person %s: %w", p.Name, err)
			}
			plans = append(plans, pl)
			total += len(pl.days)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i, p := range people {
		n, err := e.derivePerson(ctx, p, plans[i], now, func(n int) {
			e.beat()
			if progress != nil {
				progress(done+n, total)
			}
		})
		done += n
		if n > 0 {
			e.mu.Lock()
			e.health.Derived += int64(n)
			e.mu.Unlock()
			e.wakeProjection()
		}
		if err != nil {
			return done, fmt.Errorf("person %s: %w", p.Name, err)
		}
	}
	return done, nil
}

func (e *Engine) derivePerson(ctx context.Context, p store.Person, pl plan, now time.Time, progress func(int)) (
	int, error,
) {
	done, marks := 0, pl.marks
	if pl.drop {
		if err := e.Store.DropDays(ctx, p.ID, pl.first, pl.last, now); err != nil {
			return 0, err
		}
		e.wakeProjection()
	}
	err := derive(ctx, &e.Store.Reader, p, pl, now, func(days []walking.Summary) error {
		last := days[len(days)-1].Day
		n := 0
		for n < len(marks) && marks[n].Day <= last {
			n++
		}
		if err := e.Store.PutDays(ctx, p.ID, days, marks[:n], now); err != nil {
			return err
		}
		marks = marks[n:]
		done += len(days)
		progress(done)
		return nil
	})
	if err == nil && len(marks) > 0 {
		// Marks before the first day and after the last: those days are not, or not yet, the person's.
		err = e.Store.PutDays(ctx, p.ID, nil, marks, now)
	}
	return done, err
}

// beat notes that work goes on.
func (e *Engine) beat() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.health.Beat.IsZero() {
		e.health.Beat = e.Clock.Now()
	}
}

func (e *Engine) wakeProjection() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wake == nil {
		return
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
