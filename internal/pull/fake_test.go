package pull_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
	"golang.org/x/oauth2"
)

// A clock is set by hand. Its timers go off when it is set past them.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[chan time.Time]time.Time
	asked  chan struct{} // gets an element for every timer, if there is room
}

func newClock(t time.Time) *clock {
	return &clock{now: t, timers: map[chan time.Time]time.Time{}, asked: make(chan struct{}, 1000)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	c.timers[ch] = c.now.Add(d)
	select {
	case c.asked <- struct{}{}:
	default:
	}
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, ch)
	}
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
	for ch, at := range c.timers {
		if !at.After(t) {
			ch <- t
			delete(c.timers, ch)
		}
	}
}

func (c *clock) add(d time.Duration) { c.set(c.Now().Add(d)) }

// A service is a provider on loopback: an OAuth server and an API over what people have walked.
type service struct {
	*httptest.Server
	wall *clock

	mu       sync.Mutex
	rotate   bool                                          // refresh tokens hold once
	polite   bool                                          // access tokens are refused with the status 200
	life     time.Duration                                 // of access tokens
	ends     time.Duration                                 // of grants, if they end by themselves
	scope    string                                        // granted
	codes    map[string]string                             // code → PKCE challenge
	access   map[string]time.Time                          // → expiry
	refresh  map[string]bool                               // → still holds
	secrets  []string                                      // all that were ever handed out
	serial   int                                           // of tokens and codes
	steps    map[time.Time]float64                         // minute → steps
	sessions []walking.Session                             //
	synced   time.Time                                     // of the device; zero: not told
	changes  []walking.Window                              // of the feed; its cursor counts them
	zones    walking.Timeline                              // of the naive times
	fault    func(http.ResponseWriter, *http.Request) bool // answers in place of the service, if it wants to
	requests []string                                      // "path?query" of each, by the time of arrival
	headers  http.Header                                   // added to every answer of the API
}

const clientSecret = "client secret/of+the tests"

func newService(t testing.TB, wall *clock) *service {
	s := &service{
		wall: wall, life: time.Hour, scope: "steps walks", codes: map[string]string{}, access: map[string]time.Time{},
		refresh: map[string]bool{}, steps: map[time.Time]float64{}, zones: walking.NewTimeline(berlin(t)),
		headers: http.Header{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /probe", s.api(func(*http.Request) any { return map[string]any{"synced": s.synced} }))
	mux.HandleFunc("GET /zone", s.api(func(*http.Request) any { return map[string]any{"zone": "Pacific/Auckland"} }))
	mux.HandleFunc("GET /minutes", s.api(s.minutes))
	mux.HandleFunc("GET /walks", s.api(s.walks))
	mux.HandleFunc("GET /day", s.api(s.day))
	mux.HandleFunc("GET /changes", s.api(s.changed))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.URL.RequestURI())
		fault := s.fault
		s.mu.Unlock()
		if fault == nil || !fault(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) secret(kind string) string {
	s.serial++
	out := fmt.Sprintf("%s+%d/token", kind, s.serial)
	s.secrets = append(s.secrets, out)
	return out
}

func (s *service) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "Bad Request"})
	}
	if r.FormValue("client_id") != "app" || r.FormValue("client_secret") != clientSecret {
		refuse("invalid_client")
		return
	}
	answer := map[string]any{"token_type": "Bearer", "expires_in": int(s.life.Seconds())}
	switch r.FormValue("grant_type") {
	case "authorization_code":
		challenge, ok := s.codes[r.FormValue("code")]
		delete(s.codes, r.FormValue("code"))
		if !ok || oauth2.S256ChallengeFromVerifier(r.FormValue("code_verifier")) != challenge {
			refuse("invalid_grant")
			return
		}
		refresh := s.secret("refresh")
		s.refresh[refresh] = true
		answer["refresh_token"], answer["scope"] = refresh, s.scope
		if s.ends > 0 {
			answer["refresh_token_expires_in"] = s.ends.Seconds()
		}
	case "refresh_token":
		old := r.FormValue("refresh_token")
		if !s.refresh[old] {
			refuse("invalid_grant")
			return
		}
		if s.rotate {
			refresh := s.secret("refresh")
			s.refresh[old], s.refresh[refresh] = false, true
			answer["refresh_token"] = refresh
		}
	}
	access := s.secret("access")
	s.access[access] = s.wall.Now().Add(s.life)
	answer["access_token"] = access
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// consent is what the person's browser does: it returns the address that it is redirected to.
func (s *service) consent(t testing.TB, consentURL string) string {
	t.Helper()
	u, err := url.Parse(consentURL)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code := s.secret("code")
	s.codes[code] = u.Query().Get("code_challenge")
	return u.Query().Get("redirect_uri") + "?" + url.Values{"state": {u.Query().Get("state")}, "code": {code}}.Encode()
}

func (s *service) api(f func(r *http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		maps.Copy(w.Header(), s.headers)
		w.Header().Set("Content-Type", "application/json")
		if !s.wall.Now().Before(s.access[access]) {
			if !s.polite {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = io.WriteString(w, `{"error":"`+access+`"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(f(r))
	}
}

type point struct {
	At    time.Time
	Steps float64
}

// minutes returns the minutes of a window in two pages.
func (s *service) minutes(r *http.Request) any {
	from, _ := time.Parse(time.RFC3339, r.FormValue("from"))
	to, _ := time.Parse(time.RFC3339, r.FormValue("to"))
	var out []point
	for at, n := range s.steps {
		if (walking.Window{Start: from, End: to}).Contains(at) {
			out = append(out, point{at, n})
		}
	}
	return out
}

func (s *service) walks(r *http.Request) any {
	from, _ := time.Parse(time.RFC3339, r.FormValue("from"))
	to, _ := time.Parse(time.RFC3339, r.FormValue("to"))
	return slices.DeleteFunc(slices.Clone(s.sessions), func(x walking.Session) bool {
		return !(walking.Window{Start: from, End: to}).Contains(x.Start)
	})
}

type naive struct {
	At    string // local, without a zone
	Steps float64
}

// day returns what happened on a civil day, in local times that say no zone.
func (s *service) day(r *http.Request) any {
	d, _ := walking.ParseDay(r.FormValue("date"))
	out := []naive{}
	for at, n := range s.steps {
		if s.zones.Day(at) == d {
			out = append(out, naive{at.In(s.zones.At(at)).Format("15:04"), n})
		}
	}
	return out
}

func (s *service) changed(r *http.Request) any {
	n, err := strconv.Atoi(r.FormValue("cursor"))
	if err != nil {
		n = len(s.changes)
	}
	return map[string]any{"stale": s.changes[n:], "next": strconv.Itoa(len(s.changes))}
}

func (s *service) lock(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// walk puts steps into n minutes from at on.
func (s *service) walk(at time.Time, n int, steps float64) {
	s.lock(func() {
		for i := range n {
			s.steps[at.Add(time.Duration(i)*time.Minute).UTC()] = steps
		}
	})
}

// asked returns the requests since the last call, as "path?query".
func (s *service) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

// askedData is asked without those for tokens.
func (s *service) askedData() []string {
	return slices.DeleteFunc(s.asked(), func(q string) bool { return strings.HasPrefix(q, "/token") })
}

func (s *service) oauth(base string) *ingest.OAuth2 {
	return &ingest.OAuth2{
		Config: oauth2.Config{
			ClientID: "app", ClientSecret: clientSecret, RedirectURL: "http://127.0.0.1:1/callback", Scopes: []string{"steps", "walks"},
			Endpoint: oauth2.Endpoint{AuthURL: base + "/consent", TokenURL: base + "/token"},
		},
		Service: "Minutes", Wall: s.wall.Now,
	}
}

// minutely is a provider with UTC minutes, walks, and a probe.
type minutely struct {
	*ingest.OAuth2
	base, name string
	spec       ingest.Spec
}

func newMinutely(s *service, name string) *minutely { return newMinutelyAt(s, s.URL, name) }

func newMinutelyAt(s *service, base, name string) *minutely {
	return &minutely{s.oauth(base), base, name, ingest.Spec{
		Service: "Minutes", MaxWindow: 14 * 24 * time.Hour, Align: ingest.AlignMinute,
		Earliest: walking.DayOf(2024, 1, 1),
		Limits: []ingest.Limit{
			{Name: "user", Requests: 300, Per: time.Minute},
			{Name: "app", Requests: 100_000, Per: time.Minute, App: true},
		},
	}}
}

func (p *minutely) Spec() ingest.Spec                   { return p.spec }
func (p *minutely) Source(c *http.Client) ingest.Source { return &minutelySource{p, c} }

// polite is a minutely whose service refuses access tokens with the status 200.
type polite struct{ *minutely }

// Refused implements ingest.Refuser.
func (p polite) Refused(resp *http.Response) bool {
	body, err := io.ReadAll(resp.Body)
	resp.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), resp.Body}
	return err == nil && bytes.HasPrefix(body, []byte(`{"error"`))
}

type minutelySource struct {
	p *minutely
	c *http.Client
}

func get(ctx context.Context, c *http.Client, service, address string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", service, err)
	}
	if err := ingest.StatusError(service, resp, time.Now()); err != nil {
		_ = resp.Body.Close()
		return err
	}
	return ingest.ReadJSON(service, resp, v)
}

func (s *minutelySource) Probe(ctx context.Context) (time.Time, error) {
	var v struct {
		Synced time.Time
		Tell   string
	}
	err := get(ctx, s.c, "Minutes", s.p.base+"/probe", &v)
	if v.Tell != "" {
		err = errors.New(v.Tell) // a source that gives everything away
	}
	return v.Synced, err
}

func (s *minutelySource) Zone(ctx context.Context) (*time.Location, error) {
	var v struct{ Zone string }
	if err := get(ctx, s.c, "Minutes", s.p.base+"/zone", &v); err != nil {
		return nil, err
	}
	return time.LoadLocation(v.Zone)
}

func (s *minutelySource) Fetch(ctx context.Context, r ingest.Request) (ingest.Batch, error) {
	key := walking.StreamKey{Source: s.p.name}
	b := ingest.Batch{
		Streams: []walking.Stream{{StreamKey: key, Device: walking.Wearable, Delivery: walking.Pulled}},
		Covers:  []ingest.Cover{{StreamKey: key, Window: r.Window, Part: ingest.RecordsOnly}},
	}
	q := "?" + url.Values{"from": {stamp(r.Window.Start)}, "to": {stamp(r.Window.End)}}.Encode()
	var points []point
	if err := get(ctx, s.c, "Minutes", s.p.base+"/minutes"+q, &points); err != nil {
		return ingest.Batch{}, err
	}
	rs := walking.StreamRecords{StreamKey: key}
	for _, x := range points {
		rs.Records = append(rs.Records, walking.Record{Start: x.At, Duration: time.Minute, Steps: x.Steps})
	}
	b.Records = append(b.Records, rs)
	if !r.Sessions {
		return b, nil
	}
	b.Covers[0].Part = ingest.All
	var walks []walking.Session
	if err := get(ctx, s.c, "Minutes", s.p.base+"/walks"+q, &walks); err != nil {
		return ingest.Batch{}, err
	}
	for _, x := range walks {
		b.Sessions = append(b.Sessions, walking.StreamSession{StreamKey: key, Session: x})
	}
	return b, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// odd is a provider as odd as they come: a civil day at a time, local times that say no zone, nothing but a feed of what
// has changed, and what is left of the limits in the headers.
type odd struct {
	*ingest.OAuth2
	base, name string
	spec       ingest.Spec
}

func newOdd(s *service, name string) *odd {
	return &odd{s.oauth(s.URL), s.URL, name, ingest.Spec{
		Service: "Odd", MaxWindow: 24 * time.Hour, Earliest: walking.DayOf(2026, 1, 1),
		Limits: []ingest.Limit{{Name: "hour", Requests: 150, Per: time.Hour}},
		Allowance: func(h http.Header) []ingest.Allowance {
			left, err1 := strconv.Atoi(h.Get("X-Left"))
			reset, err2 := strconv.Atoi(h.Get("X-Reset"))
			if err1 != nil || err2 != nil {
				return nil
			}
			return []ingest.Allowance{{Name: "hour", Left: left, Reset: time.Duration(reset) * time.Second}}
		},
	}}
}

func (p *odd) Spec() ingest.Spec                   { return p.spec }
func (p *odd) Source(c *http.Client) ingest.Source { return &oddSource{p, c} }

type oddSource struct {
	p *odd
	c *http.Client
}

func (s *oddSource) Changes(ctx context.Context, cursor string) ([]walking.Window, string, error) {
	var v struct {
		Stale []walking.Window
		Next  string
	}
	err := get(ctx, s.c, "Odd", s.p.base+"/changes?cursor="+url.QueryEscape(cursor), &v)
	return v.Stale, v.Next, err
}

func (s *oddSource) Fetch(ctx context.Context, r ingest.Request) (ingest.Batch, error) {
	key := walking.StreamKey{Source: s.p.name}
	b := ingest.Batch{
		Streams: []walking.Stream{{StreamKey: key, Device: walking.Phone, Delivery: walking.Pulled}},
		Covers:  []ingest.Cover{{StreamKey: key, Window: r.Window}},
	}
	rs := walking.StreamRecords{StreamKey: key}
	// On travel the window of a day can hold some of the days beside it.
	for d := r.Zones.Day(r.Window.Start) - 2; d <= r.Zones.Day(r.Window.End)+2; d++ {
		if !slices.ContainsFunc(r.Zones.Spans(d), r.Window.Overlaps) {
			continue
		}
		var points []naive
		if err := get(ctx, s.c, "Odd", s.p.base+"/day?date="+d.String(), &points); err != nil {
			return ingest.Batch{}, err
		}
		for _, x := range points {
			at, err := walking.ParseWallTime(x.At)
			if err != nil {
				return ingest.Batch{}, err
			}
			for _, start := range r.Zones.Clock(d, at)[:1] {
				if r.Window.Contains(start) {
					rs.Records = append(rs.Records, walking.Record{Start: start, Duration: time.Minute, Steps: x.Steps})
					if end := start.Add(time.Minute); end.After(b.Streams[0].SyncedThrough) {
						b.Streams[0].SyncedThrough = end
					}
				}
			}
		}
	}
	b.Records = append(b.Records, rs)
	return b, nil
}

// A rig is a Puller on a real store with one service.
type rig struct {
	*pull.Puller
	t        testing.TB
	service  *service
	dir      string
	store    *store.Store
	now      *clock // domain and wall are the same, unless a test makes them differ
	log      *lockedBuffer
	accounts []pull.Config
	options  pull.Options
	mu       sync.Mutex
	synced   []int64
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// noon is Friday, 20 November 2026, 12:00 in Berlin.
var noon = time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC)

func berlin(t testing.TB) *time.Location { return location(t, "Europe/Berlin") }

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// newRig returns a rig at start whose accounts provider makes.
func newRig(t testing.TB, start time.Time, accounts func(*service) []pull.Config) *rig {
	t.Helper()
	now := newClock(start)
	r := &rig{t: t, service: newService(t, now), now: now, dir: t.TempDir(), log: &lockedBuffer{}}
	r.accounts = accounts(r.service)
	r.options = pull.Options{
		Clock: now, Wall: now, Transport: &http.Transport{},
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Synced: func(_ context.Context, id int64) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.synced = append(r.synced, id)
		},
	}
	r.open()
	r.configure()
	t.Cleanup(func() {
		r.options.Transport.(*http.Transport).CloseIdleConnections()
		_ = r.store.Close()
	})
	return r
}

func one(kind string, p ingest.Provider) []pull.Config {
	return []pull.Config{{Person: "alex", Source: "watch", Kind: kind, Provider: p}}
}

func minutelyRig(t testing.TB) *rig {
	return newRig(t, noon, func(s *service) []pull.Config { return one("minutely", newMinutely(s, "watch")) })
}

func politeRig(t testing.TB) *rig {
	return newRig(t, noon, func(s *service) []pull.Config {
		s.polite = true
		return one("polite", polite{newMinutely(s, "watch")})
	})
}

func oddRig(t testing.TB) *rig {
	return newRig(t, noon, func(s *service) []pull.Config {
		s.rotate = true
		return one("odd", newOdd(s, "watch"))
	})
}

// open opens the store and makes a new Puller, as a start of walkd does.
func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(r.t.Context(), r.dir); err != nil {
		r.t.Fatal(err)
	}
	r.renew()
}

// renew makes a new Puller.
func (r *rig) renew() {
	r.t.Helper()
	var err error
	r.options.Store = r.store
	if r.Puller, err = pull.New(r.options, r.accounts); err != nil {
		r.t.Fatal(err)
	}
}

// restart is what a crash and a start leave.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func (r *rig) configure(travel ...walking.ZoneChange) {
	r.t.Helper()
	var settings []store.Settings
	seen := map[string]bool{}
	quiet := walking.WallRange{From: 21*60 + 30, To: 8 * 60}
	for _, a := range r.accounts {
		if !seen[a.Person] {
			settings = append(settings, store.Settings{
				Name: a.Person, Zone: berlin(r.t), Target: 100, Quiet: quiet, Travel: travel,
			})
		}
		seen[a.Person] = true
	}
	if err := r.store.Configure(r.t.Context(), settings, r.now.Now()); err != nil {
		r.t.Fatal(err)
	}
}

// connect connects the first account.
func (r *rig) connect() pull.Connected {
	r.t.Helper()
	c, err := r.Begin(r.t.Context(), r.accounts[0].Person, r.accounts[0].Source)
	if err != nil {
		r.t.Fatal(err)
	}
	done, err := r.Finish(r.t.Context(), r.service.consent(r.t, c.URL))
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

// backfill backfills until nothing is left, or rounds have been made.
func (r *rig) backfill(rounds int) (made int) {
	r.t.Helper()
	for made < rounds {
		more, err := r.Backfill(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		made++
		if !more {
			break
		}
		r.now.add(time.Minute) // the limits are there again at some time
	}
	return made
}

func (r *rig) state() pull.State {
	r.t.Helper()
	states, err := pull.States(r.t.Context(), &r.store.Reader, r.accounts, r.now.Now(), r.now.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return states[0]
}

// stored returns the steps by minute that the store has of the first account.
func (r *rig) stored() map[time.Time]float64 {
	r.t.Helper()
	p, err := r.store.Person(r.t.Context(), r.accounts[0].Person)
	if err != nil {
		r.t.Fatal(err)
	}
	w := walking.Window{Start: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	inputs, err := r.store.Inputs(r.t.Context(), p, w)
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[time.Time]float64{}
	for _, in := range inputs {
		for _, x := range in.Records {
			if in.Source == r.accounts[0].Source {
				out[x.Start.UTC()] = x.Steps
			}
		}
	}
	return out
}

func (r *rig) truth() map[time.Time]float64 {
	r.service.mu.Lock()
	defer r.service.mu.Unlock()
	return maps.Clone(r.service.steps)
}

func (r *rig) stream() walking.Stream {
	r.t.Helper()
	p, err := r.store.Person(r.t.Context(), r.accounts[0].Person)
	if err != nil {
		r.t.Fatal(err)
	}
	streams, err := r.store.Streams(r.t.Context(), p)
	if err != nil || len(streams) != 1 {
		r.t.Fatalf("streams = %v, %v", streams, err)
	}
	return streams[0]
}

// same compares what is stored with what the service knows.
func (r *rig) same() {
	r.t.Helper()
	if diff := cmp.Diff(r.truth(), r.stored()); diff != "" {
		r.t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// sync syncs, and fails the test if an account cannot.
func (r *rig) sync(q pull.SyncRequest) []pull.SyncResult {
	r.t.Helper()
	results, err := r.Sync(r.t.Context(), q, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, x := range results {
		if x.Err != nil {
			r.t.Fatal(x.Err)
		}
	}
	return results
}

// probe probes every account, and returns what is wrong.
func (r *rig) probe() error {
	r.t.Helper()
	abouts, err := r.Probe(r.t.Context())
	errs := []error{err}
	for _, a := range abouts {
		errs = append(errs, a.Err)
	}
	return errors.Join(errs...)
}
