package googlehealth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

// simulated is a simulated service with one person, and our source after the person has consented.
type simulated struct {
	service  *healthsim.Service
	person   *simulate.Person
	provider ingest.Provider
	client   *http.Client
	source   ingest.Source
}

func newSimulated(t *testing.T, now time.Time, plan simulate.Plan, o healthsim.Options) *simulated {
	t.Helper()
	life, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	plan.Name, plan.Life, plan.Home = "ann", life, oslo
	s := &simulated{}
	if s.person, err = simulate.NewPerson(plan); err != nil {
		t.Fatal(err)
	}
	o.Now, o.Wall = func() time.Time { return now }, time.Now
	o.ClientID, o.ClientSecret, o.Consent = "client", "hush-hush", "ann"
	o.RedirectURLs = []string{googlehealth.Defaults().RedirectURL}
	s.service = healthsim.New(o)
	s.service.Add(s.person)
	server := httptest.NewServer(s.service)
	t.Cleanup(server.Close)
	keys := googlehealth.Defaults()
	keys.ClientID, keys.ClientSecret, keys.APIURL = "client", "hush-hush", server.URL
	keys.AuthURL, keys.TokenURL = server.URL+"/o/oauth2/v2/auth", server.URL+"/token"
	s.provider = keys.Provider("watch")
	auth := s.provider.(ingest.Authorizer) //nolint:errcheck,forcetypeassert // a test may panic
	token := consent(t, auth)
	// A renewed token has to do as well as the first.
	if token, err = auth.Refresh(t.Context(), http.DefaultClient, token); err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Transport: bearer(token.Access)}
	s.source = s.provider.Source(s.client)
	return s
}

// consent goes the way of a browser.
func consent(t *testing.T, auth ingest.Authorizer) ingest.Token {
	t.Helper()
	c := ingest.Consent{State: "state", Verifier: strings.Repeat("verifier", 8)}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(auth.ConsentURL(c))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || back.Query().Get("state") != c.State || back.Query().Get("code") == "" {
		t.Fatalf("sent back to %q with status %d, error %v", back, resp.StatusCode, err)
	}
	token, err := auth.Exchange(t.Context(), http.DefaultClient, c, back.Query().Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A month of a simulated person comes through as that person has walked it, however the service writes it.
func TestSimulatedMonth(t *testing.T) {
	now := at("2026-11-05T14:03:20Z")
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		zeros  bool
		travel bool
		o      healthsim.Options
	}{
		{name: "strings"},
		{name: "numbers, an empty first page", o: healthsim.Options{Numbers: true, EmptyFirst: true}},
		{name: "zeros", zeros: true},
		{name: "travel", travel: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			first := walking.DayOf(2026, time.October, 9)
			s := newSimulated(t, now, simulate.Plan{First: first, Zeros: test.zeros}, test.o)
			if test.travel {
				s.person.Travel(at("2026-10-20T09:00:00Z"), tokyo)
				s.person.Travel(at("2026-10-28T09:00:00Z"), oslo)
			}
			z := s.person.Zones()
			w := walking.Window{Start: z.Spans(first)[0].Start, End: z.End(first + 27)}
			b, err := s.source.Fetch(t.Context(), ingest.Request{Window: w, Zones: z, Now: now, Sessions: true})
			if err != nil {
				t.Fatal(err)
			}
			var records []walking.Record
			for _, p := range s.person.Points(w, now) {
				records = append(records, walking.Record{
					Start: p.Start, Duration: time.Minute, Steps: float64(p.Steps),
					Offset: int(p.Offset / time.Second), HasOffset: true,
				})
			}
			if len(records) < 3000 {
				t.Fatalf("the simulated person has %d minutes", len(records))
			}
			if d := diff(records, b.Records[0].Records); d != "" {
				t.Errorf("records (-simulated +read):\n%.2000s", d)
			}
			var sessions []walking.StreamSession
			for _, x := range s.person.Sessions(w, now) {
				sessions = append(sessions, walking.StreamSession{StreamKey: key, Session: walking.Session{
					Start: x.Start, End: x.End, Moving: x.End.Sub(x.Start), Steps: float64(x.Steps), HasSteps: x.Steps > 0,
					Kind: map[string]walking.Kind{"WALKING": walking.Walk, "BIKING": walking.Ride}[x.Type],
				}})
			}
			slices.SortFunc(sessions, func(a, b walking.StreamSession) int { return a.Start.Compare(b.Start) })
			if len(sessions) == 0 {
				t.Fatal("the simulated person has no sessions")
			}
			if d := diff(sessions, b.Sessions); d != "" {
				t.Errorf("sessions (-simulated +read):\n%.2000s", d)
			}
			if test.zeros == (len(b.Unworn) == 0) {
				t.Errorf("unworn: %v, zeros are told: %t", b.Unworn, test.zeros)
			}
		})
	}
}

func TestSimulatedProbeAndZone(t *testing.T) {
	now := at("2026-11-05T14:03:20Z")
	s := newSimulated(t, now, simulate.Plan{First: walking.DayOf(2026, time.October, 9)}, healthsim.Options{})
	s.person.NoSync(walking.Window{Start: at("2026-11-05T09:00:00Z"), End: at("2026-11-06T09:00:00Z")})
	synced, err := probe(s.source)(t.Context())
	if want := s.person.Synced(now).Truncate(time.Second); err != nil || !synced.Equal(want) || !want.Before(now) {
		t.Errorf("synced at %s, error %v, want %s", synced, err, want)
	}
	home, err := zone(s.source)(t.Context())
	if err != nil || home.String() != "Europe/Oslo" {
		t.Errorf("at home in %s, error %v", home, err)
	}
	// A person who has granted activity alone.
	s = newSimulated(t, now, simulate.Plan{First: walking.DayOf(2026, time.October, 9)}, healthsim.Options{
		Granted: []string{healthsim.ScopeActivity},
	})
	// What Exchange has learnt is not used here: another process may have done it.
	other := googlehealth.Defaults()
	other.APIURL = apiOf(t, s)
	synced, err = probe(other.Provider("watch").Source(s.client))(t.Context())
	if err != nil || !synced.IsZero() {
		t.Errorf("synced at %s, error %v, want nothing", synced, err)
	}
}

// apiOf returns where the simulated service is.
func apiOf(t *testing.T, s *simulated) string {
	t.Helper()
	auth := s.provider.(ingest.Authorizer) //nolint:errcheck,forcetypeassert // a test may panic
	u, err := url.Parse(auth.ConsentURL(ingest.Consent{}))
	if err != nil {
		t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host
}

// Whatever fault the service has, it is an error of the right class, and never a batch.
func TestSimulatedFaults(t *testing.T) {
	now := at("2026-11-05T14:03:20Z")
	s := newSimulated(t, now, simulate.Plan{First: walking.DayOf(2026, time.November, 1)}, healthsim.Options{})
	r := request("11-01", "11-05")
	r.Now, r.Sessions = now, true
	const anyClass ingest.Class = "any" // a cut may come before the first byte arrives, or after
	for kind, want := range map[simulate.Kind]ingest.Class{
		healthsim.Unauthorized: ingest.Auth,
		healthsim.Forbidden:    ingest.Auth,
		healthsim.Throttle:     ingest.Throttled,
		healthsim.ThrottleFor:  ingest.Throttled,
		healthsim.ServerError:  ingest.Transient,
		simulate.HTMLPage:      ingest.Transient,
		simulate.HTMLSuccess:   ingest.Transient,
		simulate.Truncated:     anyClass,
		simulate.Dropped:       "",
		simulate.Slow:          "",
	} {
		for _, path := range []string{"/steps/", "/exercise/", "/pairedDevices", "/settings"} {
			t.Run(fmt.Sprint(kind, " ", path), func(t *testing.T) {
				s.service.Break(simulate.Fault{Kind: kind, Path: path})
				defer s.service.Clear()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if kind == simulate.Slow {
					time.AfterFunc(20*time.Millisecond, cancel)
				}
				var (
					b   ingest.Batch
					err error
				)
				switch path {
				case "/pairedDevices":
					_, err = probe(s.source)(ctx)
				case "/settings":
					_, err = zone(s.source)(ctx)
				default:
					b, err = s.source.Fetch(ctx, r)
				}
				var e *ingest.Error
				switch {
				case err == nil:
					t.Fatal("no error")
				case kind == simulate.Slow && !errors.Is(err, context.Canceled):
					t.Errorf("error %v, want that the context has ended", err)
				case want == anyClass:
				case want == "" && errors.As(err, &e), want != "" && (!errors.As(err, &e) || e.Class != want):
					t.Errorf("error %v, want one of the class %q", err, want)
				case kind == healthsim.ThrottleFor && e.RetryAfter != 7*time.Second:
					t.Errorf("to be left alone for %s, want 7s", e.RetryAfter)
				}
				if d := diff(ingest.Batch{}, b); d != "" {
					t.Errorf("a batch in spite of the error:\n%s", d)
				}
				for _, secret := range s.service.Secrets() {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the error holds a secret: %v", err)
					}
				}
			})
		}
	}
	s.service.Revoke("ann")
	_, err := s.source.Fetch(t.Context(), r)
	var e *ingest.Error
	if !errors.As(err, &e) || e.Class != ingest.Auth {
		t.Errorf("after the consent is withdrawn: %v, want an error of the class auth", err)
	}
}
