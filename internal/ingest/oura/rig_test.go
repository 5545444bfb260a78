package oura_test

import (
	"bytes"
	"cmp"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest/oura"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
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

// A rig is a simulated Oura with one person, and walkd's engine on a real store.
type rig struct {
	*pull.Puller
	t       *testing.T
	now     *clock // domain and wall
	service *ourasim.Service
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
	// what the store is not to have
	noClasses, noWorkouts bool
}

// A rigPlan says what is different.
type rigPlan struct {
	start  string // noon if ""
	days   int    // of the person's history; 5 if zero
	home   string
	plan   simulate.Plan
	option func(*ourasim.Options)
	// timeout of a request; 5 s if zero
	timeout time.Duration
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
	life, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, now: &clock{now: at(p.start)}, dir: t.TempDir(), log: &syncedBuffer{},
		timeout: cmp.Or(p.timeout, 5*time.Second),
	}
	home := zoneOf(p.home)
	p.plan.Name, p.plan.Life, p.plan.Home = "ann", life, home
	p.plan.First = walking.DayOf(r.now.Now().In(home).Date()) - walking.Day(p.days)
	if r.person, err = simulate.NewPerson(p.plan); err != nil {
		t.Fatal(err)
	}
	o := ourasim.Options{
		Now: r.now.Now, Wall: r.now.Now, ClientID: clientID, ClientSecret: clientSecret, Consent: "ann",
		RedirectURLs: []string{oura.Defaults().RedirectURL},
	}
	if p.option != nil {
		p.option(&o)
	}
	r.service = ourasim.New(o)
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
func settingsAt(base string) *oura.Settings {
	s := oura.Defaults()
	s.ClientID, s.ClientSecret, s.APIURL = clientID, clientSecret, base
	s.AuthURL = base + "/oauth/authorize"
	return s
}

// providerAt is the Oura at base, by the time of c.
func providerAt(base string, c *clock) *oura.Provider {
	p := settingsAt(base).Provider("ring").(*oura.Provider) //nolint:errcheck,forcetypeassert // a test may panic
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
	p := providerAt(r.server.URL, r.now)
	p.LogTo(log)
	r.accounts = []pull.Config{{Person: "ann", Source: "ring", Kind: "oura", Provider: p}}
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
	c, err := r.Begin(r.t.Context(), "ann", "ring")
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
	r.now.add(takes)
	return r.Finish(r.t.Context(), resp.Header.Get("Location"))
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

// asked returns how many requests each path has had since before.
func (r *rig) asked(before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range r.service.Requests() {
		if n > before[what] {
			out[what[strings.LastIndex(what, "/")+1:]] += n - before[what]
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
func (r *rig) stored() walking.Input {
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
	if len(inputs) == 0 {
		return walking.Input{}
	}
	return inputs[0]
}

// A told day is what Oura says of one, or what the store has of it.
type toldDay struct {
	Date   string
	Steps  float64
	Unworn time.Duration
}

// days sums up what is stored of the days that a service tells of.
func days(docs []ourasim.Document, in walking.Input) []toldDay {
	var out []toldDay
	for _, doc := range docs {
		one := toldDay{Date: doc.Day.String()}
		w := walking.Window{Start: doc.Start, End: doc.End}
		for _, x := range in.Records {
			if w.Contains(x.Start.UTC()) {
				one.Steps += x.Steps
			}
		}
		for _, u := range in.Unworn {
			if from, to := later(u.Start, w.Start), earlier(u.End, w.End); to.After(from) {
				one.Unworn += to.Sub(from)
			}
		}
		out = append(out, one)
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// same compares what is stored with what the service told when walkd last asked it for data.
func (r *rig) same() {
	r.t.Helper()
	s, in := r.state(), r.stored()
	docs := r.service.Documents("ann", s.Data)
	if len(docs) == 0 {
		r.t.Fatal("the service tells nothing")
	}
	var (
		want    []toldDay
		through time.Time
		total   float64
	)
	for i, doc := range docs {
		one := toldDay{Date: doc.Day.String(), Steps: float64(doc.Steps)}
		known := strings.TrimRight(doc.Classes, "0")
		if known != "" {
			through = doc.Start.Add(time.Duration(len(known)) * 5 * time.Minute)
		}
		if i+1 < len(docs) && strings.Trim(docs[i+1].Classes, "0") != "" {
			known = doc.Classes
		}
		if !r.noClasses {
			known = known[:min(len(known), int(doc.End.Sub(doc.Start)/(5*time.Minute)))]
			one.Unworn = time.Duration(strings.Count(known, "0")) * 5 * time.Minute
		}
		want, total = append(want, one), total+one.Steps
	}
	if d := diff(want, days(docs, in)); d != "" {
		r.t.Errorf("days (-told +stored):\n%.3000s", d)
	}
	var all float64
	for _, x := range in.Records {
		all += x.Steps
		if x.Duration <= 5*time.Minute || x.Steps != math.Trunc(x.Steps) {
			r.t.Errorf("%g steps in a record of %s at %s", x.Steps, x.Duration, x.Start)
		}
	}
	if all != total || total == 0 {
		r.t.Errorf("%g steps are stored, %g are told", all, total)
	}
	var workouts []walking.Session
	for _, x := range r.service.Workouts("ann", s.Data) {
		if x.Source != "manual" && !r.noWorkouts {
			workouts = append(workouts, walking.Session{
				Start: x.Start, End: x.End, Moving: x.End.Sub(x.Start),
				Kind: map[string]walking.Kind{"walking": walking.Walk, "cycling": walking.Ride}[x.Activity],
			})
		}
	}
	if d := diff(workouts, in.Sessions); d != "" {
		r.t.Errorf("sessions (-told +stored):\n%.3000s", d)
	}
	if got := r.through(); !got.Equal(through) {
		r.t.Errorf("synced through %s, told through %s", got, through)
	}
}

// through returns up to when the stream is synced.
func (r *rig) through() time.Time {
	r.t.Helper()
	p, err := r.store.Person(r.t.Context(), "ann")
	if err != nil {
		r.t.Fatal(err)
	}
	streams, err := r.store.Streams(r.t.Context(), p)
	if err != nil || len(streams) != 1 {
		r.t.Fatalf("%d streams, error %v", len(streams), err)
	}
	if streams[0].SyncedThrough.After(r.now.Now()) {
		r.t.Errorf("synced through %s, which is yet to come", streams[0].SyncedThrough)
	}
	return streams[0].SyncedThrough
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
