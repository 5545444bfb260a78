package polarsim

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

// Scope is the only one there is.
const Scope = "accesslink.read_all"

// Options say how the service behaves.
type Options struct {
	// Now is the time by which people walk and devices sync; Wall that by which codes end and requests are limited.
	Now, Wall func() time.Time
	// ClientID and ClientSecret are those of the one client that is registered, with RedirectURLs.
	ClientID, ClientSecret string
	RedirectURLs           []string
	// Consent, if not "", is the name of the person who consents at once, whoever asks. Else there is a page.
	Consent string
	// NoConsents says that people have not accepted what Polar itself wants them to accept.
	NoConsents bool
	// NoInterval says that the minutes of a day have the interval 0, as in the documentation, and NoTotal the same of
	// their total.
	NoInterval, NoTotal bool
	// NoSamples keeps the minutes back.
	NoSamples bool
	// EndOfDay lets every day end at 23:59:59, also one that has not been synced as far as that.
	EndOfDay bool
	// Total, if not nil, returns which total a day tells whose minutes have a sum; that sum if nil.
	Total func(d walking.Day, sum int) int
	// Unworn is when nobody wears their device.
	Unworn []walking.Window
	// Short and Long are how many requests all users together may make in 15 minutes and in 24 hours; what is documented
	// for as many users as there are if zero.
	Short, Long int
	// Seed makes random faults repeatable.
	Seed uint64
}

const (
	codeLife   = 10 * time.Minute
	tokenLife  = 31535999 * time.Second // as told: tokens do not end
	shortTime  = 15 * time.Minute
	longTime   = 24 * time.Hour
	oldestDay  = 365 // days before today
	longestAsk = 28  // days
)

// A Service is the simulated AccessLink. It is an http.Handler for all of Polar's hosts.
type Service struct {
	*simulate.Ledger
	*simulate.Faults
	o     Options
	mux   *http.ServeMux
	short simulate.Meter
	long  simulate.Meter

	mu         sync.Mutex
	codes      map[string]*code
	access     map[string]*access
	registered map[string]registration // by person
}

type code struct {
	person, redirect string
	expires          time.Time
	used             bool
	tokens           []*access
}

type access struct {
	person  string
	revoked bool
}

// A registration makes a person a user of the client.
type registration struct {
	member string
	since  time.Time // zero: always
}

// New returns a Service without people.
func New(o Options) *Service {
	s := &Service{
		Ledger: &simulate.Ledger{}, Faults: simulate.NewFaults(o.Seed, 3), o: o, mux: http.NewServeMux(),
		short: simulate.Meter{Per: shortTime}, long: simulate.Meter{Per: longTime}, codes: map[string]*code{},
		access: map[string]*access{}, registered: map[string]registration{},
	}
	s.Keep(o.ClientSecret)
	s.mux.HandleFunc("GET /oauth2/authorization", s.serveConsent)
	s.mux.HandleFunc("POST /oauth2/authorization", s.serveConsent)
	s.mux.HandleFunc("POST /v2/oauth2/token", s.serveToken)
	s.mux.HandleFunc("POST /v3/users", s.user(s.serveRegister))
	s.mux.HandleFunc("GET /v3/users/{id}", s.registeredUser(s.serveUser))
	s.mux.HandleFunc("DELETE /v3/users/{id}", s.registeredUser(s.serveUser))
	s.mux.HandleFunc("GET /v3/users/activities", s.registeredUser(s.serveActivities))
	s.mux.HandleFunc("GET /v3/users/activities/{$}", s.registeredUser(s.serveActivities))
	s.mux.HandleFunc("GET /v3/users/activities/{date}", s.registeredUser(s.serveActivity))
	s.mux.HandleFunc("GET /v3/exercises", s.registeredUser(s.serveExercises))
	return s
}

// SetConsent names the person who consents from now on.
func (s *Service) SetConsent(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Consent = name
}

// SetNoConsents says whether people have not accepted what Polar itself wants them to accept, from now on.
func (s *Service) SetNoConsents(missing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.NoConsents = missing
}

// Peak returns the most requests to the API that were made in 15 minutes and in 24 hours on the wall, by all people,
// those refused for their number included. The times begin with the first request in them.
func (s *Service) Peak() (short, long int) {
	return s.short.Peak(), s.long.Peak()
}

// Spend counts n requests of other users of the client against its limits.
func (s *Service) Spend(n int) {
	now := s.o.Wall()
	for range n {
		s.short.Count(now)
		s.long.Count(now)
	}
}

// Grant gives out an access token for a person as if they had consented and been registered before they had data, for
// tests that need no browser.
func (s *Service) Grant(person string) (token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered[person] = registration{member: person}
	token, _ = s.newToken(person)
	return token
}

// Registered reports whether a person is a user of the client.
func (s *Service) Registered(person string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.registered[person]
	return ok
}

// Revoke ends everything that a person has granted, as a person can in their Polar account.
func (s *Service) Revoke(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.access {
		if a.person == person {
			a.revoked = true
		}
	}
}

func (s *Service) newToken(person string) (string, *access) {
	text, a := s.NewSecret(""), &access{person: person}
	s.access[text] = a
	return text, a
}

// userID is how Polar calls a person.
func userID(person string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(person))
	return int(h.Sum32() % 100_000_000)
}

// Ways in which a Service fails, besides those that every service has.
const (
	InvalidGrant simulate.Kind = "invalid-grant" // the code is refused
	Unauthorized simulate.Kind = "401"
	Forbidden    simulate.Kind = "403" // consents are missing
	Throttle     simulate.Kind = "429" // with the limits in the headers, as with every answer
	ThrottleFor  simulate.Kind = "429 for a time"
	ServerError  simulate.Kind = "500"
	Unavailable  simulate.Kind = "503"  // with Retry-After: 9
	Null         simulate.Kind = "null" // a body that says nothing
)

const (
	apiPath   = "/v3/"
	tokenPath = "/v2/oauth2/token"
)

// Break switches a fault on.
func (s *Service) Break(f simulate.Fault) {
	if f.Kind == InvalidGrant && f.Path == "" {
		f.Path = tokenPath
	}
	s.Faults.Break(f)
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.count(w.Header(), r) {
		refuse(w, http.StatusTooManyRequests, "Too many requests.")
		return
	}
	kind := s.Next(r.URL.Path, strings.HasPrefix(r.URL.Path, apiPath))
	if simulate.Spoil(kind, w, r, s.mux) {
		return
	}
	switch kind {
	case InvalidGrant:
		oauthError(w, "invalid_grant")
	case Unauthorized:
		refuse(w, http.StatusUnauthorized, "Unauthorized.")
	case Forbidden:
		refuse(w, http.StatusForbidden, noConsents)
	case Throttle:
		refuse(w, http.StatusTooManyRequests, "Too many requests.")
	case ThrottleFor:
		s.mu.Lock()
		short, long := s.most()
		s.mu.Unlock()
		w.Header().Set("RateLimit-Usage", fmt.Sprintf("%d, %d", short, 3))
		w.Header().Set("RateLimit-Limit", fmt.Sprintf("%d, %d", short, long))
		w.Header().Set("RateLimit-Reset", "420, 80000")
		refuse(w, http.StatusTooManyRequests, "Too many requests.")
	case ServerError:
		refuse(w, http.StatusInternalServerError, "Internal server error.")
	case Unavailable:
		w.Header().Set("Retry-After", "9")
		refuse(w, http.StatusServiceUnavailable, "The service is not available.")
	case Null:
		writeJSON(w, nil)
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// most returns how many requests may be made in 15 minutes and in 24 hours.
func (s *Service) most() (short, long int) {
	users := max(1, len(s.registered))
	short, long = s.o.Short, s.o.Long
	if short == 0 {
		short = 500 + 20*users
	}
	if long == 0 {
		long = 5000 + 100*users
	}
	return short, long
}

// count counts a request, tells the limits in the headers of its answer, and reports whether there were too many.
func (s *Service) count(h http.Header, r *http.Request) (tooMany bool) {
	api := strings.HasPrefix(r.URL.Path, apiPath)
	if !api && r.URL.Path != tokenPath {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := ""
	if a := s.access[simulate.Bearer(r)]; a != nil {
		name = a.person
	}
	s.Count(name, r.URL.Path)
	if !api {
		return false
	}
	now := s.o.Wall()
	short, shortEnds := s.short.Count(now)
	long, longEnds := s.long.Count(now)
	mostShort, mostLong := s.most()
	seconds := func(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
	h.Set("RateLimit-Usage", fmt.Sprintf("%d, %d", short, long))
	h.Set("RateLimit-Limit", fmt.Sprintf("%d, %d", mostShort, mostLong))
	h.Set("RateLimit-Reset", fmt.Sprintf("%d, %d", seconds(shortEnds.Sub(now)), seconds(longEnds.Sub(now))))
	return short > mostShort || long > mostLong
}

// Deregister ends that a person is a user of the client, and all that was granted.
func (s *Service) Deregister(person string) {
	s.Revoke(person)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.registered, person)
}
