package healthsim

import (
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/simulate"
)

// The scopes of Google Health that matter here.
const (
	ScopeActivity = "https://www.googleapis.com/auth/googlehealth.activity_and_fitness.readonly"
	ScopeSettings = "https://www.googleapis.com/auth/googlehealth.settings.readonly"
)

// Options say how the service behaves.
type Options struct {
	// Now is the time by which people walk and devices sync; Wall that by which tokens end and requests are limited.
	Now, Wall func() time.Time
	// ClientID and ClientSecret are those of the one application that is registered, with RedirectURLs.
	ClientID, ClientSecret string
	RedirectURLs           []string
	// Consent, if not "", is the name of the person who consents at once, whoever asks. Else there is a page.
	Consent string
	// Granted are the scopes that the person grants of those asked for; all if nil.
	Granted []string
	// Rotate gives out a new refresh token with every renewal; the old one ends when the new one is used first.
	Rotate bool
	// GrantFor is how long a grant holds, as for applications in testing; without an end if zero.
	GrantFor time.Duration
	// Numbers writes int64 as JSON numbers instead of strings.
	Numbers bool
	// EmptyFirst answers every listing with an empty first page that has a next one.
	EmptyFirst bool
	// PerMinute is how many requests a person may make in a minute; 300 if zero.
	PerMinute int
	// Seed makes random faults repeatable.
	Seed uint64
}

// tokenLife is how long an access token holds, as the service says it in seconds.
const tokenLife = 3599 * time.Second

// A Service is the simulated Google Health. It is an http.Handler.
type Service struct {
	o   Options
	mux *http.ServeMux

	mu      sync.Mutex
	people  map[string]*simulate.Person
	codes   map[string]*code
	access  map[string]*access
	grants  map[string]*grant // by refresh token
	secrets []string
	faults  []*Fault
	random  *mathrand.Rand
	chance  float64
	kinds   []Kind
	windows map[string]*window
	counts  map[string]int // requests by person and path
	peak    int            // most requests of one person in a minute
}

type code struct {
	person, redirect, challenge string
	scopes                      []string
	used                        bool
}

type access struct {
	person  string
	scopes  []string
	expires time.Time
	grant   *grant
}

type grant struct {
	person  string
	scopes  []string
	ends    time.Time // zero: never
	revoked bool
	current string // the refresh token that holds
	before  string // the one before, until the current one is used
}

type window struct {
	begin time.Time
	n     int
}

// New returns a Service without people.
func New(o Options) *Service {
	if o.PerMinute == 0 {
		o.PerMinute = 300
	}
	s := &Service{
		o: o, mux: http.NewServeMux(), people: map[string]*simulate.Person{}, codes: map[string]*code{}, access: map[string]*access{},
		grants: map[string]*grant{}, secrets: []string{o.ClientSecret}, windows: map[string]*window{}, counts: map[string]int{},
		random: mathrand.New(mathrand.NewPCG(o.Seed, 1)),
	}
	s.mux.HandleFunc("GET /o/oauth2/v2/auth", s.serveConsent)
	s.mux.HandleFunc("POST /o/oauth2/v2/auth", s.serveConsent)
	s.mux.HandleFunc("POST /token", s.serveToken)
	s.mux.HandleFunc("POST /revoke", s.serveRevoke)
	s.mux.HandleFunc("GET /v4/users/me/identity", s.api("", s.serveIdentity))
	s.mux.HandleFunc("GET /v4/users/me/settings", s.api(ScopeSettings, s.serveSettings))
	s.mux.HandleFunc("GET /v4/users/me/pairedDevices", s.api(ScopeSettings, s.serveDevices))
	s.mux.HandleFunc("GET /v4/users/me/dataTypes/{type}/{points}", s.api(ScopeActivity, s.servePoints))
	s.mux.HandleFunc("POST /v4/users/me/dataTypes/{type}/{points}", s.api(ScopeActivity, s.serveRollUp))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { page(w, http.StatusNotFound, "404. That’s an error.") })
	return s
}

// Add lets the service know a person.
func (s *Service) Add(p *simulate.Person) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people[p.Name()] = p
}

// SetConsent names the person who consents from now on.
func (s *Service) SetConsent(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Consent = name
}

// Secrets returns everything that must never be shown: the client secret, and all codes and tokens given out.
func (s *Service) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.secrets)
}

// Requests returns how many requests were made, by "person path"; the person is "" where none is known.
func (s *Service) Requests() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Peak returns the most requests that one person has made in a minute on the wall, those refused for it included.
func (s *Service) Peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// Grant gives out a refresh token for a person as if they had consented, for tests that need no browser.
func (s *Service) Grant(person string, scopes ...string) (refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.newGrant(person, scopes)
	return g.current
}

// A Kind is a way in which a Service fails.
type Kind string

// The kinds of fault.
const (
	ExpireTokens Kind = "expire-tokens" // all access tokens end, once
	InvalidGrant Kind = "invalid-grant" // the refresh token is refused
	Unauthorized Kind = "401"
	Forbidden    Kind = "403"
	Throttle     Kind = "429"            // without Retry-After
	ThrottleFor  Kind = "429 for a time" // with Retry-After: 7
	ServerError  Kind = "500"
	HTMLPage     Kind = "html"     // an error page with status 502
	HTMLSuccess  Kind = "html 200" // a login page of some network
	Truncated    Kind = "truncated"
	Slow         Kind = "slow"    // nothing comes until the client gives up
	Dropped      Kind = "dropped" // the connection ends without an answer
	EmptyPage    Kind = "empty page"
)

// A Fault makes requests fail.
type Fault struct {
	Kind Kind
	// Path is a part of the paths that it is for; "" for all of the API. Faults of the token endpoint have to name it.
	Path string
	// Times is how often; until Clear if zero.
	Times int
	left  int
}

// Break switches a fault on.
func (s *Service) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Kind == ExpireTokens {
		for _, a := range s.access {
			a.expires = time.Time{}
		}
		return
	}
	if f.Kind == InvalidGrant && f.Path == "" {
		f.Path = "/token"
	}
	f.left = f.Times
	s.faults = append(s.faults, &f)
}

// Clear switches all faults off.
func (s *Service) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.chance = nil, 0
}

// BreakAtRandom lets requests to the API fail with a probability, each in one of kinds.
func (s *Service) BreakAtRandom(chance float64, kinds ...Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chance, s.kinds = chance, kinds
}

// fault returns how a request is to fail; "" if it is not.
func (s *Service) fault(path string) Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	api := strings.HasPrefix(path, "/v4/")
	for i, f := range s.faults {
		if f.Path == "" && !api || !strings.Contains(path, f.Path) {
			continue
		}
		if f.Times > 0 {
			if f.left--; f.left == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return f.Kind
	}
	if api && s.chance > 0 && s.random.Float64() < s.chance {
		return s.kinds[s.random.IntN(len(s.kinds))]
	}
	return ""
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := s.fault(r.URL.Path)
	if kind != "" {
		s.count("", r)
	}
	switch kind {
	case InvalidGrant:
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	case Unauthorized:
		unauthorized(w)
	case Forbidden:
		apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission", "RESOURCE_PERMISSION_DENIED", nil)
	case Throttle:
		throttled(w)
	case ThrottleFor:
		w.Header().Set("Retry-After", "7")
		throttled(w)
	case ServerError:
		apiError(w, http.StatusInternalServerError, "INTERNAL", "Internal error encountered.", "", nil)
	case HTMLPage:
		page(w, http.StatusBadGateway, "502. That’s an error.")
	case HTMLSuccess:
		page(w, http.StatusOK, "Sign in to this network")
	case Truncated:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"dataPoints":[{"steps":{"interval":{"startTime":"2026-`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case Dropped:
		panic(http.ErrAbortHandler)
	case Slow:
		_, _ = io.Copy(io.Discard, r.Body) // until it is read nobody sees that the client has gone
		<-r.Context().Done()
	case EmptyPage:
		writeJSON(w, map[string]any{"dataPoints": []any{}, "nextPageToken": ""})
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// count counts a request, and reports whether the person has asked too often.
func (s *Service) count(person string, r *http.Request) (tooMany bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[person+" "+r.URL.Path]++
	if person == "" {
		return false
	}
	now := s.o.Wall()
	w := s.windows[person]
	if w == nil || now.Sub(w.begin) >= time.Minute || now.Before(w.begin) {
		w = &window{begin: now}
		s.windows[person] = w
	}
	w.n++
	s.peak = max(s.peak, w.n)
	return w.n > s.o.PerMinute
}

// secret returns a new random one, and remembers it.
func (s *Service) secret(prefix string) string {
	text := prefix + rand.Text()
	s.secrets = append(s.secrets, text)
	return text
}

// api guards a part of the API: a token of a person with the scope, and not too many requests.
func (s *Service) api(scope string, serve func(http.ResponseWriter, *http.Request, *simulate.Person)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("Authorization")
		if header == "" {
			apiError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request is missing required authentication credential.",
				"CREDENTIALS_MISSING", nil)
			return
		}
		token, isBearer := strings.CutPrefix(header, "Bearer ")
		s.mu.Lock()
		a := s.access[token]
		var person *simulate.Person
		if isBearer && a != nil && !a.grant.revoked && s.o.Wall().Before(a.expires) {
			person = s.people[a.person]
		}
		s.mu.Unlock()
		if person == nil {
			s.count("", r)
			unauthorized(w)
			return
		}
		if s.count(person.Name(), r) {
			throttled(w)
			return
		}
		if scope != "" && !slices.Contains(a.scopes, scope) {
			apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.",
				"ACCESS_TOKEN_SCOPE_INSUFFICIENT", nil)
			return
		}
		serve(w, r, person)
	}
}

func (s *Service) number(n int) any {
	if s.o.Numbers {
		return n
	}
	return fmt.Sprint(n)
}

func duration(d time.Duration) string { return fmt.Sprintf("%ds", int(math.Round(d.Seconds()))) }
