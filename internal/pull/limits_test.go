package pull_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
	"go.uber.org/goleak"
)

// The backfill leaves polls their share of the limits, which hold across starts.
func TestReserve(t *testing.T) {
	r := begun(t, oddRig)
	for range 200 {
		if _, err := r.Backfill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// One token, one question for changes, three days; then 70 % of the 150 an hour in all.
	if n := len(r.service.asked()); n != 105-5 {
		t.Errorf("the backfill made %d requests, want 100", n)
	}
	if s := r.state(); s.Problem == nil || s.Phase != pull.OK || s.Backfill.Done {
		t.Errorf("%+v %+v, want the backfill held up and polls well", s, s.Problem)
	}
	r.restart()
	if _, err := r.Backfill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(r.service.asked()); n != 0 {
		t.Errorf("after a start the backfill made %d requests, want none", n)
	}
	r.later(51 * time.Minute)
	if n := len(r.service.asked()); n == 0 {
		t.Error("the poll was held up too")
	}
	if s := r.state(); s.Phase != pull.OK {
		t.Errorf("%+v", s)
	}
	r.now.add(10 * time.Minute)
	r.backfill(1)
	if n := len(r.service.askedData()); n != 1 {
		t.Errorf("in the next hour the backfill made %d requests, want 1", n)
	}
}

func TestAllowance(t *testing.T) {
	r := begun(t, oddRig)
	r.service.lock(func() { r.service.headers.Set("X-Left", "1"); r.service.headers.Set("X-Reset", "600") })
	r.later(time.Hour)
	s := r.state()
	if s.Phase != pull.Throttled {
		t.Fatalf("%+v", s)
	}
	if n := len(r.service.asked()); n > 4 {
		t.Errorf("%d requests although the provider said that one is left", n)
	}
	if got := s.Next.Sub(r.now.Now()); got < 9*time.Minute || got > 11*time.Minute {
		t.Errorf("next in %s, want 10 min as the provider says", got)
	}
	for _, l := range s.BudgetLeft {
		if l.Name == "hour" && l.Left != 0 {
			t.Errorf("%+v, want nothing left", l)
		}
	}
	r.service.lock(func() { r.service.headers = http.Header{} })
	r.later(11 * time.Minute)
	if s := r.state(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
}

// Polls stop at walkd's own limit; a person may go on.
func TestOwnLimit(t *testing.T) {
	r := newRig(t, noon, func(s *service) []pull.Config { return one("minutely", newMinutely(s, "watch")) })
	r.options.Daily = 10
	r.renew()
	r.connect()
	r.service.lock(func() { r.service.synced = noon })
	r.service.asked()
	for range 12 {
		r.poll() // with nothing new
		r.now.add(30 * time.Minute)
	}
	s := r.state()
	if s.Phase != pull.Throttled {
		t.Errorf("%+v", s)
	}
	if n := len(r.service.asked()); n != 10 {
		t.Errorf("%d requests, want 10", n)
	}
	r.service.walk(noon.Add(-time.Hour), 10, 100)
	r.sync(pull.SyncRequest{From: walking.DayOf(2026, 11, 19)})
	r.same()
	r.service.asked()
	r.poll()
	r.now.add(30 * time.Minute)
	r.poll()
	if n := len(r.service.asked()); n > 1 {
		t.Errorf("%d more requests", n)
	}
	r.now.add(19 * time.Hour)
	r.service.lock(func() { r.service.synced = r.now.Now() })
	r.poll()
	if s := r.state(); s.Phase != pull.OK {
		t.Errorf("the next day: %+v %+v", s, s.Problem)
	}
}

func many(t testing.TB, n int) *rig {
	r := newRig(t, noon, func(s *service) []pull.Config {
		var out []pull.Config
		for i := range n {
			out = append(out, pull.Config{
				Person: fmt.Sprintf("p%03d", i), Source: "watch", Kind: "minutely", Provider: newMinutely(s, "watch"),
			})
		}
		return out
	})
	r.service.lock(func() { r.service.synced = noon; r.service.scope = "steps" })
	return r
}

// Many people: one round asks them all, and later ones spread. In the long form they are a thousand.
func TestManyAccounts(t *testing.T) {
	people := 150
	if os.Getenv("WALKD_SOAK") != "" {
		people = 1000
	}
	r := many(t, people)
	for _, a := range r.accounts {
		c, err := r.Begin(t.Context(), a.Person, a.Source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish(t.Context(), r.service.consent(t, c.URL)); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	r.poll()
	t.Logf("first poll of %d accounts: %s", people, time.Since(start))
	r.service.asked()
	busiest, total := 0, 0
	for end := noon.Add(25 * time.Minute); r.now.Now().Before(end); {
		r.now.add(time.Minute)
		r.poll()
		n := r.service.count("/probe")
		busiest, total = max(busiest, n), total+n
	}
	if total < people*95/100 || total > people*105/100 || busiest > people/10 {
		t.Errorf("%d polls in 25 min, %d in one of them, want %d spread evenly", total, busiest, people)
	}
	r.now.add(30 * time.Minute)
	start = time.Now()
	r.poll()
	t.Logf("one poll of %d idle accounts: %s, %d requests", people, time.Since(start), len(r.service.asked()))
	start = time.Now()
	r.poll()
	t.Logf("one poll with nothing due: %s", time.Since(start))
	states, err := pull.States(t.Context(), &r.store.Reader, r.accounts, r.now.Now(), r.now.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if s.Phase != pull.OK || !strings.Contains(s.Person, "p") {
			t.Fatalf("%+v", s)
		}
	}
}

// Run polls while a backfill hangs, is woken by a connection, and ends with its context.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r := minutelyRig(t)
	r.service.walk(noon.Add(-time.Hour), 10, 100)
	r.service.walk(noon.Add(-days(40)), 10, 100)
	r.service.lock(func() { r.service.synced = noon })
	hanging, release := make(chan struct{}), make(chan struct{})
	polls := make(chan struct{}, 100)
	r.service.lock(func() {
		r.service.fault = func(_ http.ResponseWriter, q *http.Request) bool {
			switch {
			case strings.HasPrefix(q.FormValue("from"), "2026-11-0"):
				select {
				case hanging <- struct{}{}:
					<-release
				case <-release:
				}
			case q.URL.Path == "/probe":
				polls <- struct{}{}
			}
			return false
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.connect() // wakes it
	<-polls
	<-hanging
	for range 3 {
		<-r.now.asked // a timer: the loop sleeps
		r.now.add(26 * time.Minute)
		<-polls
	}
	close(release)
	for !strings.Contains(r.log.String(), "the history of a source is complete") {
		<-r.now.asked
		r.now.add(time.Minute)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	r.same()
	r.options.Transport.(*http.Transport).CloseIdleConnections()
	r.service.Close()
	_ = r.store.Close()
}

// What is fetched while the store cannot keep it is fetched for nothing, so that is not done every minute.
func TestStoreInTrouble(t *testing.T) {
	r := begun(t, minutelyRig)
	r.backfill(1000)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `CREATE TRIGGER trouble BEFORE UPDATE ON account
		BEGIN SELECT RAISE(ABORT, 'trouble'); END`); err != nil {
		t.Fatal(err)
	}
	r.service.asked()
	began := r.now.Now()
	r.now.add(time.Hour)
	r.service.lock(func() { r.service.synced = r.now.Now() })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	step := func() {
		for r.now.pending() < 4 { // polling and backfilling wait by two timers each
			runtime.Gosched()
		}
		r.now.add(20 * time.Second)
	}
	for r.now.Now().Sub(began) < 3*time.Hour {
		step()
	}
	if n := len(r.service.asked()); n < 4 || n > 60 {
		t.Errorf("%d requests in two hours while nothing can be kept", n)
	}
	if n := strings.Count(r.log.String(), "cannot pull,"); n != 1 {
		t.Errorf("the log tells of it %d times", n)
	}
	if _, err := db.ExecContext(t.Context(), "DROP TRIGGER trouble"); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(r.log.String(), "pulling again") {
		step()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// pending returns how many timers have not gone off.
func (c *clock) pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// A provider that hangs holds up none of another kind: neither its polls nor its history.
func TestOneHangingProvider(t *testing.T) {
	hanging := make(chan struct{}, 1)
	release := make(chan struct{})
	slow := newClock(noon)
	other := newService(t, slow)
	r := newRig(t, noon, func(s *service) []pull.Config {
		return append(one("minutely", newMinutely(s, "watch")),
			pull.Config{Person: "alex", Source: "ring", Kind: "odd", Provider: newOdd(other, "ring")})
	})
	r.options.Timeout = time.Hour
	r.renew()
	other.lock(func() {
		other.fault = func(http.ResponseWriter, *http.Request) bool {
			select {
			case hanging <- struct{}{}:
			default:
			}
			<-release
			return false
		}
	})
	other.walk(noon.Add(-time.Hour), 10, 100)
	r.service.walk(noon.Add(-time.Hour), 10, 100)
	polls, history := make(chan struct{}), make(chan struct{})
	r.service.lock(func() {
		r.service.synced = noon
		r.service.fault = func(_ http.ResponseWriter, q *http.Request) bool {
			switch {
			case q.URL.Path == "/probe":
				polls <- struct{}{}
			case strings.HasPrefix(q.FormValue("from"), "2026-09"):
				history <- struct{}{}
			}
			return false
		}
	})
	c, err := r.Begin(t.Context(), "alex", "ring")
	if err != nil {
		t.Fatal(err)
	}
	// The token endpoint of the other answers once.
	other.lock(func() {
		fault := other.fault
		other.fault = func(w http.ResponseWriter, q *http.Request) bool { return q.URL.Path != "/token" && fault(w, q) }
	})
	if _, err := r.Finish(t.Context(), other.consent(t, c.URL)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	<-hanging
	r.connect() // wakes it
	for polled, past := 0, 0; polled < 4 || past < 1; {
		select {
		case <-polls:
			polled++
		case <-history:
			past++
		case <-r.now.asked: // a timer: a loop sleeps
			r.now.add(time.Minute)
		}
	}
	cancel()
	close(release)
	for {
		select {
		case <-polls: // one may be on its way
			continue
		case <-history:
			continue
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		}
		break
	}
	r.same()
}
