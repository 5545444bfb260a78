// Package pulltest is what the tests of providers have in common that pull from a simulated service: walkd's engine on
// a real store, for one person, by a clock that only the test moves.
package pulltest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
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
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// Who is the name of the one person of a Rig.
const Who = "ann"

// A Service is a simulated one.
type Service interface {
	http.Handler
	// Requests returns how many requests of each kind there have been.
	Requests() map[string]int
	// Secrets returns what nobody is to see.
	Secrets() []string
}

// A Source is what a Rig pulls from.
type Source struct {
	Name, Kind string // as in pull.Config
	// Provider returns a new Provider of the service at base, by the time of now.
	Provider func(base string, now *Clock) ingest.Provider
}

func (s Source) config(p ingest.Provider) pull.Config {
	return pull.Config{Person: Who, Source: s.Name, Kind: s.Kind, Provider: p}
}

// A Setup says what to make a Rig of.
type Setup struct {
	Source
	Now     *Clock
	Service Service // knows the person already
	Person  *simulate.Person
	Timeout time.Duration // of a request; 5 s if zero
	Takes   time.Duration // what Connect takes the person
	// Fresh makes a connection for each request: on one that was used before, a request that gets no answer is sent again.
	Fresh bool
}

// A Rig is walkd's engine on a real store, with a simulated service and one person.
type Rig struct {
	*pull.Puller
	T        testing.TB
	Now      *Clock // domain and wall
	Person   *simulate.Person
	Server   *httptest.Server // of the service
	Store    *store.Store
	Log      *Log
	Accounts []pull.Config // one
	Said     []string      // what a person could see, besides the log
	// Hook answers in place of the service, if it wants to.
	Hook atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	// Travel is what the person tells of journeys, for the next Configure.
	Travel []walking.ZoneChange

	setup Setup
	dir   string
}

// New starts the service, and walkd on an empty store. Both end with the test.
func New(t testing.TB, s Setup) *Rig {
	t.Helper()
	s.Timeout = cmp.Or(s.Timeout, 5*time.Second)
	r := &Rig{T: t, Now: s.Now, Person: s.Person, Log: &Log{}, setup: s, dir: t.TempDir()}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if hook := r.Hook.Load(); hook == nil || !(*hook)(w, q) {
			s.Service.ServeHTTP(w, q)
		}
	}))
	t.Cleanup(r.Server.Close)
	r.Open()
	t.Cleanup(func() { _ = r.Store.Close() })
	return r
}

// NewPerson returns the person of plan under the name Who, with a history of days before the day of now, unless plan
// says when it begins. Without a life it is Recorded.
func NewPerson(t testing.TB, plan simulate.Plan, now time.Time, days int) *simulate.Person {
	t.Helper()
	plan.Name = Who
	if plan.Life == nil {
		plan.Life = Recorded(t)
	}
	if plan.First == 0 {
		plan.First = walking.DayOf(now.In(plan.Home).Date()) - walking.Day(days)
	}
	p, err := simulate.NewPerson(plan)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Recorded returns the life of a real person.
func Recorded(t testing.TB) *simulate.Life {
	t.Helper()
	l, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Open is a start of walkd.
func (r *Rig) Open() {
	r.T.Helper()
	var err error
	if r.Store, err = store.Open(r.T.Context(), r.dir); err != nil {
		r.T.Fatal(err)
	}
	if err := r.Configure(); err != nil {
		r.T.Fatal(err)
	}
	r.Use(r.setup.Provider(r.Server.URL, r.Now))
}

// Use goes on with the provider p until walkd starts again. It is told where to log, if it does.
func (r *Rig) Use(p ingest.Provider) {
	r.T.Helper()
	log := slog.New(slog.NewTextHandler(r.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if p, ok := p.(interface{ LogTo(log *slog.Logger) }); ok {
		p.LogTo(log)
	}
	transport := &http.Transport{DisableKeepAlives: r.setup.Fresh}
	r.T.Cleanup(transport.CloseIdleConnections)
	r.Accounts = []pull.Config{r.setup.config(p)}
	var err error
	r.Puller, err = pull.New(pull.Options{
		Store: r.Store, Clock: r.Now, Wall: r.Now, Transport: transport, Log: log, Timeout: r.setup.Timeout,
	}, r.Accounts)
	if err != nil {
		r.T.Fatal(err)
	}
}

// Configure tells the store of the person, and of Travel.
func (r *Rig) Configure() error {
	return r.Store.Configure(r.T.Context(), []store.Settings{{
		Name: Who, Zone: r.Person.Home(), Target: 100, Quiet: walking.WallRange{From: 21*60 + 30, To: 8 * 60}, Travel: r.Travel,
	}}, r.Now.Now())
}

// Restart is what a kill and a start leave.
func (r *Rig) Restart() {
	r.T.Helper()
	if err := r.Store.Close(); err != nil {
		r.T.Fatal(err)
	}
	r.Open()
}

// TryConnect goes the way of a browser, which takes a while.
func (r *Rig) TryConnect(takes time.Duration) (pull.Connected, error) {
	r.T.Helper()
	c, err := r.Begin(r.T.Context(), Who, r.setup.Name)
	if err != nil {
		r.T.Fatal(err)
	}
	back := Browse(r.T, c.URL)
	r.Now.Add(takes)
	done, err := r.Finish(r.T.Context(), back)
	r.Said = append(r.Said, fmt.Sprintf("%+v %v", done, err))
	return done, err
}

// Connect is TryConnect, which takes what the Setup says and must succeed.
func (r *Rig) Connect() pull.Connected {
	r.T.Helper()
	done, err := r.TryConnect(r.setup.Takes)
	if err != nil {
		r.T.Fatal(err)
	}
	return done
}

// Browse consents as a browser does, and returns the address that it is sent to.
func Browse(t testing.TB, page string) string {
	t.Helper()
	browser := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
	resp, err := browser.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("status %d, error %v: %s", resp.StatusCode, err, text)
	}
	return resp.Header.Get("Location")
}

// Code is Browse for the code alone.
func Code(t testing.TB, page string) string {
	t.Helper()
	back, err := url.Parse(Browse(t, page))
	if err != nil {
		t.Fatal(err)
	}
	return back.Query().Get("code")
}

// Lose lets the service answer the next request to path, and the answer be lost.
func (r *Rig) Lose(path string) {
	var f func(w http.ResponseWriter, q *http.Request) bool
	f = func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path != path || !r.Hook.CompareAndSwap(&f, nil) {
			return false
		}
		r.setup.Service.ServeHTTP(httptest.NewRecorder(), q)
		panic(http.ErrAbortHandler)
	}
	r.Hook.Store(&f)
}

// MustPoll polls once, looks at the state as a person could, and returns when the next poll is due.
func (r *Rig) MustPoll() time.Time {
	r.T.Helper()
	next, err := r.Poll(r.T.Context())
	if err != nil {
		r.T.Fatal(err)
	}
	r.State()
	return next
}

// MustBackfill backfills all, without a problem, and returns how many rounds it took.
func (r *Rig) MustBackfill() int {
	r.T.Helper()
	for n := 1; ; n++ {
		more, err := r.Backfill(r.T.Context())
		if err != nil {
			r.T.Fatal(err)
		}
		if !more {
			return n
		}
		if s := r.State(); s.Problem != nil {
			r.T.Fatalf("%+v", s.Problem)
		}
	}
}

// MustSync pulls what there is now, also at night, and the rest of the history.
func (r *Rig) MustSync() {
	r.T.Helper()
	results, err := r.Sync(r.T.Context(), pull.SyncRequest{}, nil)
	if err != nil || results[0].Err != nil {
		r.T.Fatal(err, results)
	}
	r.MustBackfill()
}

// Live polls whenever it is time, until then, exclusive.
func (r *Rig) Live(until time.Time) {
	r.T.Helper()
	for r.Now.Now().Before(until) {
		next := r.MustPoll()
		if !next.After(r.Now.Now()) {
			next = r.Now.Now().Add(time.Minute)
		}
		if next.After(until) {
			next = until
		}
		r.Now.Set(next)
	}
}

// State returns that of the account, which a person could see.
func (r *Rig) State() pull.State {
	r.T.Helper()
	states, err := pull.States(r.T.Context(), &r.Store.Reader, r.Accounts, r.Now.Now(), r.Now.Now())
	if err != nil {
		r.T.Fatal(err)
	}
	r.Said = append(r.Said, fmt.Sprintf("%+v %+v", states[0], states[0].Problem))
	return states[0]
}

// NeedsConsent ends the test unless the account waits for its person, with each of texts in what is told of that.
func (r *Rig) NeedsConsent(texts ...string) {
	r.T.Helper()
	s := r.State()
	if s.Phase != pull.NeedsConsent || s.Problem == nil || s.Problem.Remedy != "run `walkd connect "+r.setup.Name+"`" {
		r.T.Fatalf("%+v %+v", s, s.Problem)
	}
	for _, text := range texts {
		if !strings.Contains(s.Problem.Text, text) {
			r.T.Fatalf("%+v, want %q in it", s.Problem, text)
		}
	}
}

// Since returns how many requests of each kind there have been since the service returned before.
func (r *Rig) Since(before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range r.setup.Service.Requests() {
		if n > before[what] {
			out[what] = n - before[what]
		}
	}
	return out
}

// Sum returns the sum of counts.
func Sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Stored returns the person as the store knows it.
func (r *Rig) Stored() store.Person {
	r.T.Helper()
	p, err := r.Store.Person(r.T.Context(), Who)
	if err != nil {
		r.T.Fatal(err)
	}
	return p
}

// Ever is the time of which there can be anything.
func Ever() walking.Window {
	return walking.Window{Start: At("2010-01-01T00:00:00Z"), End: At("2030-01-01T00:00:00Z")}
}

// Inputs returns what the store has in w, by stream.
func (r *Rig) Inputs(w walking.Window) []walking.Input {
	r.T.Helper()
	inputs, err := r.Store.Inputs(r.T.Context(), r.Stored(), w)
	if err != nil {
		r.T.Fatal(err)
	}
	return inputs
}

// Stream returns the one stream that there is.
func (r *Rig) Stream() walking.Stream {
	r.T.Helper()
	all, err := r.Store.Streams(r.T.Context(), r.Stored())
	if err != nil || len(all) != 1 {
		r.T.Fatalf("%d streams, error %v", len(all), err)
	}
	return all[0]
}

// Key is that of the account in the store.
func (r *Rig) Key() store.AccountKey {
	r.T.Helper()
	return store.AccountKey{PersonID: r.Stored().ID, Source: r.setup.Name}
}

// Token returns what the store has of the grant.
func (r *Rig) Token() ingest.Token {
	r.T.Helper()
	a, err := r.Store.Account(r.T.Context(), r.Key())
	if err != nil {
		r.T.Fatal(err)
	}
	return a.Token
}

// Quiet fails the test if anything that can be seen holds a secret. It may be called when the test ends.
func (r *Rig) Quiet() {
	r.T.Helper()
	seen := append(r.Said, r.Log.String())
	accounts, err := r.Store.Accounts(context.WithoutCancel(r.T.Context()))
	if err != nil {
		r.T.Fatal(err)
	}
	for _, a := range accounts {
		seen = append(seen, string(a.State))
	}
	for _, secret := range r.setup.Service.Secrets() {
		for _, text := range seen {
			if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
				r.T.Errorf("a secret is told in\n%.2000s", text)
				return
			}
		}
	}
}

// A Log can be written to by several goroutines.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
