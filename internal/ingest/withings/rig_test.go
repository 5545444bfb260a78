package withings_test

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

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest/withings"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/withingssim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

const (
	clientID     = "9f3b1c"
	clientSecret = "hush-hush-hush"
)

// diff compares.
func diff(want, got any) string { return gocmp.Diff(want, got) }

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func zoneOf(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

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

// A rig is a simulated Withings with one person, and walkd's engine on a real store.
type rig struct {
	*pull.Puller
	t       *testing.T
	now     *clock // domain and wall
	service *withingssim.Service
	server  *httptest.Server
	person  *simulate.Person
	dir     string
	store   *store.Store
	log     *syncedBuffer
	timeout time.Duration
	// hook answers in place of the service, if it wants to
	hook     atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	accounts []pull.Config
	said     []string // what a person could see, besides the log
}

// A rigPlan says what is different.
type rigPlan struct {
	start  string // noon if ""
	days   int    // of the person's history; 5 if zero
	home   string
	plan   simulate.Plan
	option func(*withingssim.Options)
	// timeout of a request; 5 s if zero
	timeout time.Duration
}

// strolls is a life of three walks a day and a few more steps, which takes tests little time. Every other day one of the
// walks is at a pace at which it is recorded.
func strolls(t *testing.T) *simulate.Life {
	t.Helper()
	const days, minutes = 10, 24 * 60
	steps := make([]uint8, days*minutes)
	for d := range days {
		for i, start := range []int{7*60 + 40, 12*60 + 12, 17*60 + 25} {
			for m := range 11 + 2*d + 5*i {
				steps[d*minutes+start+m] = uint8(55 + d + m%15)
				if i == 2 && d%2 == 0 {
					steps[d*minutes+start+m] = uint8(82 + d + m%25)
				}
			}
		}
		for m := range 40 {
			steps[d*minutes+9*60+17*m] = uint8(1 + (d+m)%35)
		}
	}
	l, err := simulate.NewLife(steps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// recorded is the life of a real person.
func recorded(t *testing.T) *simulate.Life {
	t.Helper()
	l, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const noon = "2026-11-20T11:03:20Z"

func newRig(t *testing.T, p rigPlan) *rig {
	t.Helper()
	if p.start == "" {
		p.start = noon
	}
	if p.home == "" {
		p.home = "Europe/Oslo"
	}
	if p.days == 0 {
		p.days = 5
	}
	if p.plan.Life == nil {
		p.plan.Life = strolls(t)
	}
	r := &rig{
		t: t, now: &clock{now: at(p.start)}, dir: t.TempDir(), log: &syncedBuffer{},
		timeout: cmp.Or(p.timeout, 5*time.Second),
	}
	home := zoneOf(p.home)
	p.plan.Name, p.plan.Home = "ann", home
	p.plan.First = walking.DayOf(r.now.Now().In(home).Date()) - walking.Day(p.days)
	var err error
	if r.person, err = simulate.NewPerson(p.plan); err != nil {
		t.Fatal(err)
	}
	o := withingssim.Options{
		Now: r.now.Now, Wall: r.now.Now, ClientID: clientID, ClientSecret: clientSecret, Consent: "ann",
		RedirectURLs: []string{withings.Defaults().RedirectURL},
	}
	if p.option != nil {
		p.option(&o)
	}
	r.service = withingssim.New(o)
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

// settingsAt are those of a client of the service at base.
func settingsAt(base string) *withings.Settings {
	s := withings.Defaults()
	s.ClientID, s.ClientSecret, s.APIURL = clientID, clientSecret, base
	s.AuthURL = base + "/oauth2_user/authorize2"
	return s
}

// providerAt is the Withings at base, by the time of c.
func providerAt(base string, c withings.Clock) *withings.Provider {
	p := settingsAt(base).Provider("watch").(*withings.Provider) //nolint:errcheck,forcetypeassert // a test may panic
	p.KeepTime(c)
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
	p := providerAt(r.server.URL, r.now)
	p.LogTo(log)
	r.accounts = []pull.Config{{Person: "ann", Source: "watch", Kind: "withings", Provider: p}}
	transport := &http.Transport{}
	r.t.Cleanup(transport.CloseIdleConnections)
	r.Puller, err = pull.New(pull.Options{
		Store: r.store, Clock: r.now, Wall: r.now, Transport: transport, Log: log, Timeout: r.timeout,
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

// tryConnect goes the way of a browser, which takes a while.
func (r *rig) tryConnect(takes time.Duration) (pull.Connected, error) {
	r.t.Helper()
	c, err := r.Begin(r.t.Context(), "ann", "watch")
	if err != nil {
		r.t.Fatal(err)
	}
	back := r.browse(c.URL)
	r.now.add(takes)
	return r.Finish(r.t.Context(), back)
}

// browse consents as a browser does, and returns the address that it ends at.
func (r *rig) browse(page string) string {
	r.t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(page)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusFound {
		r.t.Fatalf("status %d, error %v: %s", resp.StatusCode, err, text)
	}
	return resp.Header.Get("Location")
}

// code is browse for the code alone.
func (r *rig) code(page string) string {
	r.t.Helper()
	back, err := url.Parse(r.browse(page))
	if err != nil {
		r.t.Fatal(err)
	}
	return back.Query().Get("code")
}

func (r *rig) connect() {
	r.t.Helper()
	if _, err := r.tryConnect(time.Second); err != nil {
		r.t.Fatal(err)
	}
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

// asked returns how many requests each kind has had since before.
func (r *rig) asked(before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range r.service.Requests() {
		if i := strings.Index(what, "/"); i >= 0 && n > before[what] && !strings.Contains(what, "authorize") {
			_, action, _ := strings.Cut(what[i:], " ")
			out[action] += n - before[what]
		}
	}
	return out
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// stored returns what the store has of the source.
func (r *rig) stored() (map[time.Time]float64, []walking.Session) {
	r.t.Helper()
	p, err := r.store.Person(r.t.Context(), "ann")
	if err != nil {
		r.t.Fatal(err)
	}
	all := walking.Window{Start: at("2010-01-01T00:00:00Z"), End: at("2030-01-01T00:00:00Z")}
	inputs, err := r.store.Inputs(r.t.Context(), p, all)
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
			steps[x.Start.UTC()] += x.Steps
		}
	}
	return steps, sessions
}

// same compares what is stored with what the person has walked up to the sync that the last poll has seen.
func (r *rig) same() {
	r.t.Helper()
	steps, sessions := r.stored()
	want := map[time.Time]float64{}
	w := walking.Window{Start: r.person.First().In(time.UTC).Add(-24 * time.Hour), End: r.now.Now()}
	synced := r.state().Synced
	for _, p := range r.person.Truth(w, synced) {
		want[p.Start] = float64(p.Steps)
	}
	if d := diff(want, steps); d != "" {
		r.t.Errorf("minutes (-walked +stored):\n%.3000s", d)
	}
	var walks []walking.Session
	for _, s := range r.person.TrueSessions(w, synced) {
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
