package engine_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// takesAll answers like an InfluxDB 1.8 that takes everything, once gate yields or is closed.
func takesAll(t *testing.T, gate <-chan struct{}) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("X-Influxdb-Version", "1.8.10")
		if r.URL.Path == "/query" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"results":[]}`)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	return server
}

// TestEverythingAtOnce stores, imports, derives, projects, rebuilds and reads at the same time. In the end the days are
// those that deriving everything afresh gives, and nothing is left to do.
func TestEverythingAtOnce(t *testing.T) {
	const rounds = 12
	open := make(chan struct{})
	close(open)
	dir := t.TempDir()
	e := newEngine(t, dir, killNow)
	defer func() {
		if err := e.Store.Close(); err != nil {
			t.Error(err)
		}
	}()
	project(t, e, takesAll(t, open).URL)
	p, err := e.Store.EnsurePerson(t.Context(), "me", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	repeat := func(f func(n int) error) {
		g.Go(func() error {
			for n := range rounds {
				if err := f(n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for first := range 2 {
		repeat(func(n int) error {
			b := killBatch(first + 2*n)
			b.Streams[0].Device = walking.Device(1 + n%3) // changes the order of the streams
			_, err := e.Store.Apply(ctx, p.ID, b, killNow)
			return err
		})
	}
	repeat(func(n int) error {
		req := engine.ImportRequest{Format: "csv", Name: "steps.csv", Person: "me"}
		_, err := e.Import(ctx, req, strings.NewReader(killCSV()), func(engine.Progress) {})
		return err
	})
	for range 2 {
		repeat(func(int) error { _, err := e.Derive(ctx, func(int, int) {}); return err })
	}
	repeat(func(n int) error { return e.Store.SetNotWorn(ctx, p.ID, walking.DayOf(2026, 3, 18), n%2 == 0) })
	repeat(func(int) error { _, err := e.Project(ctx, nil); return err })
	repeat(func(int) error { _, err := e.Rebuild(ctx, "me", nil); return err })
	repeat(func(int) error {
		r, err := store.OpenReader(ctx, dir)
		if err != nil {
			return err
		}
		_, err = engine.Days(ctx, r, p, walking.DayOf(2026, 3, 1), walking.DayOf(2026, 3, 31), killNow)
		return errors.Join(err, r.Close())
	})
	repeat(func(int) error {
		if problems := e.Ready(ctx); len(problems) != 1 || !strings.HasPrefix(problems[0], "starting") {
			return errors.New(strings.Join(problems, "; "))
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	all := func() []walking.Summary {
		if _, err := e.Derive(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		days, err := e.Store.Days(t.Context(), p.ID, -1<<30, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		return days
	}
	derived := all()
	projectAll(t, e)
	if c, err := e.Store.Count(t.Context()); err != nil || c.Due != 0 || c.Stale != 0 {
		t.Errorf("%d days due, %d stale, %v", c.Due, c.Stale, err)
	}
	if err := e.Store.DropDays(t.Context(), p.ID, 1, 0, killNow); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all(), derived); diff != "" {
		t.Errorf("days differ from those derived afresh (-afresh +derived):\n%s", diff)
	}
}

// stepClock stands still; its timers fire when the test says so.
type stepClock struct {
	now    time.Time
	timers chan chan time.Time
}

func (c *stepClock) Now() time.Time { return c.now }

func (c *stepClock) NewTimer(time.Duration) (<-chan time.Time, func()) {
	timer := make(chan time.Time, 1)
	c.timers <- timer
	return timer, func() {}
}

// TestRebuildKeepsNobodyWaiting has an InfluxDB hang while the projection of a moved person is rebuilt. Days are derived
// all the same, and the rebuild is done once InfluxDB answers.
func TestRebuildKeepsNobodyWaiting(t *testing.T) {
	e, p, clock := setUp(t)
	walk(t, e, p, 12, 30, at(12, 20, 0))
	deriveAt(t, e, clock, at(12, 20, 0))
	row := store.Projected{PersonID: p.ID, Day: day(12), Measurement: int64(influx.WalkDay), Sum: 1, Keys: []byte{1}}
	if err := e.Store.PutProjected(t.Context(), []store.Projected{row}, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Store.Configure(t.Context(), settingsIn(t, "Asia/Tokyo"), clock.now); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	steps := &stepClock{now: at(12, 20, 0), timers: make(chan chan time.Time, 10)}
	e.Clock = steps
	project(t, e, takesAll(t, gate).URL)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	for range 3 {
		timer := <-steps.timers // the loop has ended a round; the rebuild hangs and sets none
		timer <- steps.now
	}
	close(gate)
	for {
		people, err := e.Store.Persons(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(people, func(p store.Person) bool { return p.Rebuild }) {
			break
		}
	}
	if h := e.Health(); h.Rounds < 3 {
		t.Errorf("%d rounds while the rebuild hung, want 3", h.Rounds)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
