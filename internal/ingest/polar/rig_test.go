package polar_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/polar"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/polarsim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// A clock is a time that tests move, and that whoever waits moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// NewTimer implements pull.Clock.
func (c *clock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	c.add(d)
	done := make(chan time.Time, 1)
	done <- c.Now()
	return done, func() {}
}

// A rig is a Puller on a real store, with a simulated Polar and one person in Berlin.
type rig struct {
	*pull.Puller
	t        *testing.T
	service  *polarsim.Service
	person   *simulate.Person
	url      string
	client   string // ID
	dir      string
	store    *store.Store
	now      *clock // domain and wall
	log      *bytes.Buffer
	accounts []pull.Config
	shown    []string // whatever a person has seen

	mu    sync.Mutex
	asked []string // for days, as "from to"
}

// A world is what differs between rigs.
type world struct {
	now     string
	plan    simulate.Plan
	service polarsim.Options
}

// distinct is a life in which no minute repeats the one before, so that nothing depends on how gaps are filled.
func distinct(t *testing.T) *simulate.Life {
	t.Helper()
	steps := make([]uint8, 24*60)
	for m := range steps {
		steps[m] = uint8(1 + m%70)
	}
	l, err := simulate.NewLife(steps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// strolls is a life of three walks a day at a steady pace, which takes tests little time.
func strolls(t *testing.T) *simulate.Life {
	t.Helper()
	const days = 9
	steps := make([]uint8, days*24*60)
	for d := range days {
		for i, start := range []int{7*60 + 50, 12*60 + 31, 17*60 + 5} {
			for m := range 12 + d + 3*i {
				steps[d*24*60+start+m] = uint8(85 + (d+m/3)%30) // some minutes repeat the one before
			}
		}
		steps[d*24*60+10*60+d], steps[d*24*60+22*60+5] = uint8(1+d), 12
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

// newRig returns a rig that is not connected yet.
func newRig(t *testing.T, w world) *rig {
	t.Helper()
	if w.now == "" {
		w.now = "2026-11-20T11:00:00Z"
	}
	r := &rig{t: t, now: &clock{t: at(w.now)}, dir: t.TempDir(), log: &bytes.Buffer{}, client: clientID}
	if w.plan.Life == nil {
		w.plan.Life = strolls(t)
	}
	w.plan.Name, w.plan.Home = "ann", berlin.Home()
	if w.plan.First == 0 {
		w.plan.First = berlin.Day(r.now.Now()) - 40
	}
	var err error
	if r.person, err = simulate.NewPerson(w.plan); err != nil {
		t.Fatal(err)
	}
	o := w.service
	o.Now, o.Wall, o.ClientID, o.ClientSecret, o.Consent = r.now.Now, r.now.Now, clientID, clientSecret, "ann"
	o.RedirectURLs = []string{polar.Defaults().RedirectURL}
	r.service = polarsim.New(o)
	r.service.Add(r.person)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if from := q.URL.Query().Get("from"); from != "" {
			r.mu.Lock()
			r.asked = append(r.asked, from+" "+q.URL.Query().Get("to"))
			r.mu.Unlock()
		}
		r.service.ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	r.open()
	if err := r.configure(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.store.Close()
		r.noLeaks()
	})
	return r
}

func (r *rig) provider() ingest.Provider {
	s := polar.Defaults()
	s.ClientID, s.ClientSecret = r.client, clientSecret
	s.APIURL, s.AuthURL, s.TokenURL = r.url, r.url+"/oauth2/authorization", r.url+tokenPath
	return s.Provider("watch")
}

// open opens the store and makes a new Puller, as a start of walkd does.
func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(r.t.Context(), r.dir); err != nil {
		r.t.Fatal(err)
	}
	p := r.provider()
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.(*polar.Provider).LogTo(log)
	r.accounts = []pull.Config{{Person: "ann", Source: "watch", Kind: "polar", Provider: p}}
	r.Puller, err = pull.New(pull.Options{
		Store: r.store, Clock: r.now, Wall: r.now, Transport: &http.Transport{DisableKeepAlives: true}, Log: log,
		Timeout: time.Second,
	}, r.accounts)
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) restart() {
	r.t.Helper()
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// configure tells walkd of journeys.
func (r *rig) configure(travel ...walking.ZoneChange) error {
	return r.store.Configure(r.t.Context(), []store.Settings{{
		Name: "ann", Zone: berlin.Home(), Target: 100, Quiet: walking.WallRange{From: 21*60 + 30, To: 8 * 60}, Travel: travel,
	}}, r.now.Now())
}

// connect goes the way of a browser.
func (r *rig) connect() error {
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
	_, err = r.Finish(r.t.Context(), resp.Header.Get("Location"))
	r.show(err)
	return err
}

// connected returns a rig that is connected, whose person was a user before there was anything to tell.
func connected(t *testing.T, w world) *rig {
	t.Helper()
	r := newRig(t, w)
	r.service.Grant("ann")
	if err := r.connect(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) show(v any) { r.shown = append(r.shown, fmt.Sprintf("%v %+v", v, v)) }

// poll makes a round of polls.
func (r *rig) poll() time.Time {
	r.t.Helper()
	next, err := r.Poll(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.show(r.state())
	return next
}

// live polls as the daemon does until an instant.
func (r *rig) live(until time.Time) {
	r.t.Helper()
	for {
		next := r.poll()
		if next.After(until) {
			r.now.set(until)
			return
		}
		if !next.After(r.now.Now()) {
			next = r.now.Now().Add(time.Second)
		}
		r.now.set(next)
	}
}

// jump polls at an instant, as after a machine has slept.
func (r *rig) jump(to time.Time) {
	r.t.Helper()
	r.now.set(to)
	r.poll()
}

// backfill backfills all there is, and lets some time go by between two rounds.
func (r *rig) backfill(pause time.Duration) {
	r.t.Helper()
	for {
		more, err := r.Backfill(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if !more {
			return
		}
		r.now.add(pause)
	}
}

func (r *rig) state() pull.State {
	r.t.Helper()
	states, err := pull.States(r.t.Context(), &r.store.Reader, r.accounts, r.now.Now(), r.now.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	r.show(states[0].Problem)
	return states[0]
}

// requests returns how many requests were made in all.
func (r *rig) requests() (n int) {
	for _, k := range r.service.Requests() {
		n += k
	}
	return n
}

// since returns the requests of each kind that were made since some were.
func (r *rig) since(before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range r.service.Requests() {
		if n > before[what] {
			out[what] = n - before[what]
		}
	}
	return out
}

// questions returns what days were asked for since it was last called.
func (r *rig) questions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.asked
	r.asked = nil
	return out
}

// all is the time of which there can be anything.
func (r *rig) all() walking.Window {
	return walking.Window{Start: at("2020-01-01T00:00:00Z"), End: r.now.Now()}
}

// stored returns what is stored in w: steps by minute, and sessions.
func (r *rig) stored(w walking.Window) (map[string]float64, []string) {
	r.t.Helper()
	p, err := r.store.Person(r.t.Context(), "ann")
	if err != nil {
		r.t.Fatal(err)
	}
	inputs, err := r.store.Inputs(r.t.Context(), p, w)
	if err != nil {
		r.t.Fatal(err)
	}
	steps := map[string]float64{}
	var sessions []string
	for _, in := range inputs {
		for _, x := range in.Records {
			if w.Contains(x.Start) {
				steps[fmt.Sprint(x.Start.UTC().Format(time.RFC3339), " ", x.Duration)] += x.Steps
			}
		}
		for _, x := range in.Sessions {
			if w.Contains(x.Start) {
				sessions = append(sessions, line(x.Start, x.End, x.Kind))
			}
		}
	}
	slices.Sort(sessions)
	return steps, sessions
}

func line(start, end time.Time, k walking.Kind) string {
	return fmt.Sprint(start.UTC().Format(time.RFC3339), " ", end.Sub(start), " ", k)
}

// same compares what is stored from a day on with what the service knows. Exercises are kept there for 30 days.
func (r *rig) same(first walking.Day) {
	r.t.Helper()
	now := r.now.Now()
	w := walking.Window{Start: r.person.Zones().Spans(first)[0].Start, End: now}
	want := map[string]float64{}
	for _, pt := range r.person.Points(w, now) {
		if pt.Steps > 0 {
			want[fmt.Sprint(pt.Start.UTC().Format(time.RFC3339), " 1m0s")] = float64(pt.Steps)
		}
	}
	if len(want) < 50 {
		r.t.Fatalf("the person has walked in %d minutes", len(want))
	}
	steps, _ := r.stored(w)
	if !maps.Equal(want, steps) {
		d := diff(want, steps)
		r.t.Errorf("%d minutes are stored, want %d (-want +got):\n%.1500s", len(steps), len(want), d)
	}
	if kept := now.Add(-28 * 24 * time.Hour); w.Start.Before(kept) {
		w.Start = kept
	}
	var exercises []string
	for _, x := range r.person.Sessions(w, now) {
		exercises = append(exercises, line(x.Start, x.End, map[string]walking.Kind{"WALKING": walking.Walk, "BIKING": walking.Ride}[x.Type]))
	}
	slices.Sort(exercises)
	_, sessions := r.stored(w)
	if d := diff(exercises, sessions); d != "" {
		r.t.Errorf("exercises (-want +got):\n%.1500s", d)
	}
}

// noLeaks looks for secrets in all that was logged or shown.
func (r *rig) noLeaks() {
	r.t.Helper()
	all := r.log.String() + strings.Join(r.shown, "\n")
	for _, s := range r.service.Secrets() {
		if strings.Contains(all, s) {
			r.t.Errorf("a secret is in the output")
		}
	}
}
