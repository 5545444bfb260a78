package polarsim

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
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
	o   Options
	mux *http.ServeMux

	mu         sync.Mutex
	people     map[string]*simulate.Person
	codes      map[string]*code
	access     map[string]*access
	registered map[string]registration // by person
	secrets    []string
	faults     []*Fault
	random     *mathrand.Rand
	chance     float64
	kinds      []Kind
	limits     [2]limit
	counts     map[string]int // requests by person and path
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

// A limit counts the requests in a time that begins with the first of them.
type limit struct {
	begin time.Time
	n     int
	peak  int // most in such a time
}

// New returns a Service without people.
func New(o Options) *Service {
	s := &Service{
		o: o, mux: http.NewServeMux(), people: map[string]*simulate.Person{}, codes: map[string]*code{},
		access: map[string]*access{}, registered: map[string]registration{}, secrets: []string{o.ClientSecret},
		random: mathrand.New(mathrand.NewPCG(o.Seed, 3)), counts: map[string]int{},
	}
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

// SetNoConsents says whether people have not accepted what Polar itself wants them to accept, from now on.
func (s *Service) SetNoConsents(missing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.NoConsents = missing
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

// Peak returns the most requests to the API that were made in 15 minutes and in 24 hours on the wall, by all people,
// those refused for their number included. The times begin with the first request in them.
func (s *Service) Peak() (short, long int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits[0].peak, s.limits[1].peak
}

// Spend counts n requests of other users of the client against its limits.
func (s *Service) Spend(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spend(n)
}

// spend counts n requests to the API.
func (s *Service) spend(n int) {
	now := s.o.Wall()
	for i, per := range []time.Duration{shortTime, longTime} {
		l := &s.limits[i]
		if since := now.Sub(l.begin); since < 0 || since >= per {
			l.begin, l.n = now, 0
		}
		l.n += n
		l.peak = max(l.peak, l.n)
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
	text, a := s.secret(), &access{person: person}
	s.access[text] = a
	return text, a
}

// secret returns a new random one, and remembers it.
func (s *Service) secret() string {
	text := strings.ToLower(rand.Text())
	s.secrets = append(s.secrets, text)
	return text
}

// userID is how Polar calls a person.
func userID(person string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(person))
	return int(h.Sum32() % 100_000_000)
}

// A Kind is a way in which a Service fails.
type Kind string

// The kinds of fault. Those that lose an answer do so after all was done that was asked for.
const (
	InvalidGrant Kind = "invalid-grant" // the code is refused
	Unauthorized Kind = "401"
	Forbidden    Kind = "403" // consents are missing
	Throttle     Kind = "429" // with the limits in the headers, as with every answer
	ThrottleFor  Kind = "429 for a time"
	ServerError  Kind = "500"
	Unavailable  Kind = "503"      // with Retry-After: 9
	HTMLPage     Kind = "html"     // an error page with status 502
	HTMLSuccess  Kind = "html 200" // a login page of some network
	Truncated    Kind = "truncated"
	Slow         Kind = "slow"    // nothing comes until the client gives up
	Dropped      Kind = "dropped" // the connection ends without an answer
	Null         Kind = "null"    // a body that says nothing
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

const (
	apiPath   = "/v3/"
	tokenPath = "/v2/oauth2/token"
)

// Break switches a fault on.
func (s *Service) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Kind == InvalidGrant && f.Path == "" {
		f.Path = tokenPath
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
	api := strings.HasPrefix(path, apiPath)
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
	if s.count(w.Header(), r) {
		refuse(w, http.StatusTooManyRequests, "Too many requests.")
		return
	}
	switch kind := s.fault(r.URL.Path); kind {
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
	case HTMLPage:
		page(w, http.StatusBadGateway, "502 Bad Gateway")
	case HTMLSuccess:
		page(w, http.StatusOK, "Sign in to this network")
	case Null:
		writeJSON(w, nil)
	case Truncated, Dropped, Slow:
		s.lose(w, r, kind)
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// lose does what is asked for, and loses the answer or its second half.
func (s *Service) lose(w http.ResponseWriter, r *http.Request, kind Kind) {
	a := &answer{header: http.Header{}, status: http.StatusOK}
	s.mux.ServeHTTP(a, r)
	switch kind {
	case Slow:
		_, _ = io.Copy(io.Discard, r.Body) // until it is read nobody sees that the client has gone
		<-r.Context().Done()
		return
	case Truncated:
		maps.Copy(w.Header(), a.header)
		w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body.Bytes()[:a.body.Len()/2]) // a client that has gone has lost it as well
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

// An answer is one that is not sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *answer) WriteHeader(status int)      { a.status = status }

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
	if a := s.access[bearer(r)]; a != nil {
		name = a.person
	}
	s.counts[name+" "+r.URL.Path]++
	if !api {
		return false
	}
	s.spend(1)
	now := s.o.Wall()
	var most, reset [2]int
	most[0], most[1] = s.most()
	for i, per := range []time.Duration{shortTime, longTime} {
		l := s.limits[i]
		tooMany = tooMany || l.n > most[i]
		reset[i] = int((per - now.Sub(l.begin) + time.Second - 1) / time.Second)
	}
	h.Set("RateLimit-Usage", fmt.Sprintf("%d, %d", s.limits[0].n, s.limits[1].n))
	h.Set("RateLimit-Limit", fmt.Sprintf("%d, %d", most[0], most[1]))
	h.Set("RateLimit-Reset", fmt.Sprintf("%d, %d", reset[0], reset[1]))
	return tooMany
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// Deregister ends that a person is a user of the client, and all that was granted.
func (s *Service) Deregister(person string) {
	s.Revoke(person)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.registered, person)
}
