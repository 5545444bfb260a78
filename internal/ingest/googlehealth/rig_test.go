package googlehealth_test

import (
	"bytes"
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

const (
	rigClient = "1234.apps.example"
	rigSecret = "GOCSPX-hush-hush-hush"
)

// A clock is set by hand, and lets the time of its timers go by at once.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) { c.set(c.Now().Add(d)) }

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.now) {
		c.now = t
	}
}

func (c *clock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	c.add(d)
	ch := make(chan time.Time, 1)
	ch <- c.Now()
	return ch, func() {}
}

// syncedBuffer can be written to from several goroutines.
type syncedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A rig is a simulated Google Health with one person, and walkd's engine on a real store.
type rig struct {
	*pull.Puller
	t        *testing.T
	now      *clock // domain and wall
	service  *healthsim.Service
	server   *httptest.Server
	person   *simulate.Person
	dir      string
	store    *store.Store
	log      *syncedBuffer
	provider *googlehealth.Provider
	accounts []pull.Config
	// hook answers in place of the service, if it wants to
	hook atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	said []string // what a person could see, besides the log
}

// A rigPlan says what is different.
type rigPlan struct {
	start  string // noon if ""
	days   int    // of the person's history before today; 5 if zero
	full   bool   // there is a point for every minute
	life   *simulate.Life
	plan   simulate.Plan
	option func(*healthsim.Options)
}

const noon = "2026-11-20T11:03:20Z"

func newRig(t *testing.T, p rigPlan) *rig {
	t.Helper()
	if p.life == nil {
		var err error
		if p.life, err = simulate.Volunteer(); err != nil {
			t.Fatal(err)
		}
	}
	r := &rig{t: t, now: &clock{now: at(cmp.Or(p.start, noon))}, dir: t.TempDir(), log: &syncedBuffer{}}
	p.plan.Name, p.plan.Life, p.plan.Home = "ann", p.life, oslo
	p.plan.First = walking.DayOf(r.now.Now().In(oslo).Date()) - walking.Day(cmp.Or(p.days, 5))
	var err error
	if r.person, err = simulate.NewPerson(p.plan); err != nil {
		t.Fatal(err)
	}
	o := healthsim.Options{
		Now: r.now.Now, Wall: r.now.Now, ClientID: rigClient, ClientSecret: rigSecret, Consent: "ann",
		RedirectURLs: []string{googlehealth.Defaults().RedirectURL},
	}
	if p.option != nil {
		p.option(&o)
	}
	if p.full {
		told := map[time.Time]bool{}
		w := walking.Window{Start: p.plan.First.In(oslo), End: r.now.Now().AddDate(0, 0, 15)}
		for _, pt := range r.person.Truth(w, w.End) {
			told[pt.Start] = true
		}
		for t := w.Start; t.Before(w.End); t = t.Add(time.Minute) {
			if !told[t.UTC()] {
				r.person.Correct(t, 0)
			}
		}
	}
	r.service = healthsim.New(o)
	r.service.Add(r.person)
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if hook := r.hook.Load(); hook == nil || !(*hook)(w, q) {
			r.service.ServeHTTP(w, q)
		}
	}))
	t.Cleanup(r.server.Close)
	r.open()
	t.Cleanup(func() { _ = r.store.Close() })
	return r
}

// providerAt is the Google Health at base, by the time of c.
func providerAt(base string, c *clock) *googlehealth.Provider {
	s := googlehealth.Defaults()
	s.ClientID, s.ClientSecret, s.APIURL = rigClient, rigSecret, base
	s.AuthURL, s.TokenURL, s.RevokeURL = base+"/o/oauth2/v2/auth", base+"/token", base+"/revoke"
	p := s.Provider("watch").(*googlehealth.Provider) //nolint:errcheck,forcetypeassert // a test may panic
	p.KeepTime(c.Now)
	return p
}

// open is a start of walkd.
func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(r.t.Context(), r.dir); err != nil {
		r.t.Fatal(err)
	}
	err = r.store.Configure(r.t.Context(), []store.Settings{{
		Name: "ann", Zone: r.person.Home(), Target: 100, Quiet: walking.WallRange{From: 21*60 + 30, To: 8 * 60},
	}}, r.now.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.provider = providerAt(r.server.URL, r.now)
	r.provider.LogTo(log)
	r.accounts = []pull.Config{{Person: "ann", Source: "watch", Kind: "google-health", Provider: r.provider}}
	transport := &http.Transport{}
	r.t.Cleanup(transport.CloseIdleConnections)
	r.Puller, err = pull.New(pull.Options{
		Store: r.store, Clock: r.now, Wall: r.now, Transport: transport, Log: log, Timeout: 20 * time.Second,
	}, r.accounts)
	if err != nil {
		r.t.Fatal(err)
	}
}

// restart is what a kill and a start leave.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// tryConnect goes the way of a browser.
func (r *rig) tryConnect() (pull.Connected, error) {
	r.t.Helper()
	c, err := r.Begin(r.t.Context(), "ann", "watch")
	if err != nil {
		r.t.Fatal(err)
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(c.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusFound {
		r.t.Fatalf("status %d, error %v: %s", resp.StatusCode, err, text)
	}
	return r.Finish(r.t.Context(), resp.Header.Get("Location"))
}

func (r *rig) connect() pull.Connected {
	r.t.Helper()
	done, err := r.tryConnect()
	if err != nil {
		r.t.Fatal(err)
	}
	return done
}

func (r *rig) poll() time.Time {
	r.t.Helper()
	next, err := r.Poll(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return next
}

// backfill backfills all, and returns how many rounds it took.
func (r *rig) backfill() int {
	r.t.Helper()
	for n := 1; ; n++ {
		more, err := r.Backfill(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if !more {
			return n
		}
		if s := r.state(); s.Problem != nil {
			r.t.Fatalf("%+v", s.Problem)
		}
	}
}

// sync pulls what there is now, also at night, and the rest of the history.
func (r *rig) sync() {
	r.t.Helper()
	results, err := r.Sync(r.t.Context(), pull.SyncRequest{}, nil)
	if err != nil || results[0].Err != nil {
		r.t.Fatal(err, results)
	}
	r.backfill()
}

// live polls whenever it is time, until then.
func (r *rig) live(until time.Time) {
	r.t.Helper()
	for r.now.Now().Before(until) {
		next := r.poll()
		if !next.After(r.now.Now()) {
			next = r.now.Now().Add(time.Minute)
		}
		if next.After(until) {
			next = until
		}
		r.now.set(next)
	}
}

func (r *rig) state() pull.State {
	r.t.Helper()
	states, err := pull.States(r.t.Context(), &r.store.Reader, r.accounts, r.now.Now(), r.now.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return states[0]
}

// asked returns how many requests of each kind there have been since before.
func (r *rig) asked(before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range r.service.Requests() {
		if n -= before[what]; n > 0 {
			_, path, _ := strings.Cut(what, " ")
			path = strings.TrimPrefix(strings.TrimPrefix(path, "/v4/users/me/"), "dataTypes/")
			kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/dataPoints:reconcile")
			out[kind] += n
		}
	}
	return out
}

func sumOf(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// stored returns the steps of each minute that the store has, and its sessions.
func (r *rig) stored() (map[time.Time]float64, []walking.Session) {
	r.t.Helper()
	all := walking.Window{Start: at("2010-01-01T00:00:00Z"), End: at("2030-01-01T00:00:00Z")}
	inputs, err := r.store.Inputs(r.t.Context(), r.whom(), all)
	if err != nil {
		r.t.Fatal(err)
	}
	steps := map[time.Time]float64{}
	var sessions []walking.Session
	for _, in := range inputs {
		sessions = append(sessions, in.Sessions...)
		for _, x := range in.Records {
			if x.Duration != time.Minute {
				r.t.Errorf("a record of %s at %s", x.Duration, x.Start)
			}
			if x.Steps > 0 {
				steps[x.Start.UTC()] += x.Steps
			}
		}
	}
	return steps, sessions
}

func (r *rig) whom() store.Person {
	r.t.Helper()
	p, err := r.store.Person(r.t.Context(), "ann")
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// stream returns the one stream that there is.
func (r *rig) stream() walking.Stream {
	r.t.Helper()
	all, err := r.store.Streams(r.t.Context(), r.whom())
	if err != nil || len(all) != 1 {
		r.t.Fatal(err, all)
	}
	return all[0]
}

// same compares what is stored with what the person has walked up to a time.
func (r *rig) same(until time.Time) {
	r.t.Helper()
	steps, sessions := r.stored()
	want := map[time.Time]float64{}
	w := walking.Window{Start: r.person.First().In(time.UTC).Add(-24 * time.Hour), End: r.now.Now()}
	for _, p := range r.person.Truth(w, until) {
		if p.Steps > 0 {
			want[p.Start] = float64(p.Steps)
		}
	}
	if d := diff(want, steps); d != "" {
		r.t.Errorf("minutes (-walked +stored):\n%.3000s", d)
	}
	var walks []walking.Session
	for _, s := range r.person.TrueSessions(w, until) {
		kind := map[string]walking.Kind{"WALKING": walking.Walk, "BIKING": walking.Ride}[s.Type]
		walks = append(walks, walking.Session{
			Start: s.Start, End: s.End, Moving: s.End.Sub(s.Start), Kind: kind,
			Steps: float64(s.Steps), HasSteps: kind == walking.Walk,
		})
	}
	if d := diff(walks, sessions); d != "" {
		r.t.Errorf("sessions (-walked +stored):\n%.3000s", d)
	}
	if len(want) == 0 {
		r.t.Error("nothing was walked")
	}
}

// synced is up to when all is there, if the last poll has gone well.
func (r *rig) synced() time.Time { return r.person.Synced(r.now.Now()) }

// token returns what the store has of the grant.
func (r *rig) token() ingest.Token {
	r.t.Helper()
	a, err := r.store.Account(r.t.Context(), store.AccountKey{PersonID: r.whom().ID, Source: "watch"})
	if err != nil {
		r.t.Fatal(err)
	}
	return a.Token
}

// quiet fails the test if anything that can be seen holds a secret.
func (r *rig) quiet() {
	r.t.Helper()
	seen := append(r.said, r.log.String())
	accounts, err := r.store.Accounts(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range accounts {
		seen = append(seen, string(a.State))
	}
	for _, secret := range r.service.Secrets() {
		for _, text := range seen {
			if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
				r.t.Errorf("a secret is told in\n%.2000s", text)
				return
			}
		}
	}
}
