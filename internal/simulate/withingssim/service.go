package withingssim

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

// The scopes that matter here.
const (
	ScopeInfo     = "user.info"
	ScopeActivity = "user.activity"
)

// Options say how the service behaves.
type Options struct {
	// Now is the time by which people walk and devices sync, and that of the service's own stamps; Wall that by which
	// tokens end and requests are limited.
	Now, Wall func() time.Time
	// ClientID and ClientSecret are those of the one application that is registered, with RedirectURLs.
	ClientID, ClientSecret string
	RedirectURLs           []string
	// Consent, if not "", is the name of the person who consents at once, whoever asks. Else there is a page.
	Consent string
	// Granted are the scopes that the person grants of those asked for; all if nil.
	Granted []string
	// Arrays writes empty objects as [], as PHP does.
	Arrays bool
	// Strings writes whole numbers of the data as strings.
	Strings bool
	// NoMinutes keeps the minutes back, and NoTracker the watch, as for somebody who counts with a phone.
	NoMinutes, NoTracker bool
	// TwoDevices adds what a phone in the pocket has counted again.
	TwoDevices bool
	// Repeats lets the same question be asked twice within ten seconds. RefusedCount says that a question whose access
	// token is refused counts as asked as well, whoever asks it again: it is not documented.
	Repeats, RefusedCount bool
	// NoRevoke says that the application has no right to end consents.
	NoRevoke bool
	// PageSize is how many days or workouts a page has; 200 if zero.
	PageSize int
	// PerMinute is how many requests the application may make in a minute; 120 if zero.
	PerMinute int
	// Seed makes random faults repeatable.
	Seed uint64
}

const (
	accessLife  = 3 * time.Hour
	refreshLife = 365 * 24 * time.Hour
	graceLife   = 8 * time.Hour // of a refresh token whose successor is not in use yet
	codeLife    = 30 * time.Second
	nonceLife   = 30 * time.Minute
	repeatAfter = 10 * time.Second
)

// A Service is the simulated Withings. It is an http.Handler.
type Service struct {
	o Options

	mu      sync.Mutex
	people  map[string]*simulate.Person
	days    map[string]map[walking.Day]*day
	codes   map[string]*code
	access  map[string]*access
	refresh map[string]*refresh
	nonces  map[string]time.Time // when they were given out
	secrets []string
	faults  []*Fault
	random  *mathrand.Rand
	chance  float64
	kinds   []Kind
	recent  map[string]time.Time // when a question was last answered, by person and question
	begin   time.Time            // of the minute in which n requests were made
	n       int
	counts  map[string]int // requests by person, path and action
	peak    int            // most requests in a minute
}

type code struct {
	person, redirect string
	scopes           []string
	issued           time.Time
	used             bool
}

// A grant is one consent of a person.
type grant struct {
	person  string
	scopes  []string
	revoked bool
}

type access struct {
	*grant
	expires time.Time
	refresh string // that was issued with it
	used    bool
}

type refresh struct {
	*grant
	ends time.Time
}

// New returns a Service without people.
func New(o Options) *Service {
	if o.PerMinute == 0 {
		o.PerMinute = 120
	}
	if o.PageSize == 0 {
		o.PageSize = 200
	}
	return &Service{
		o: o, people: map[string]*simulate.Person{}, days: map[string]map[walking.Day]*day{}, codes: map[string]*code{},
		access: map[string]*access{}, refresh: map[string]*refresh{}, secrets: []string{o.ClientSecret},
		nonces: map[string]time.Time{}, recent: map[string]time.Time{}, counts: map[string]int{}, random: mathrand.New(mathrand.NewPCG(o.Seed, 2)),
	}
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

// Requests returns how many requests were made, by "person path action"; the person is "" where none is known.
func (s *Service) Requests() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Peak returns the most requests that were made in a minute on the wall, those refused for it included.
func (s *Service) Peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// A Kind is a way in which a Service fails.
type Kind string

// The kinds of fault.
const (
	ExpireTokens  Kind = "expire-tokens" // all access tokens end, once
	InvalidGrant  Kind = "invalid-grant" // the refresh token is refused: 503 in the body
	Unauthorized  Kind = "401"           // in the body
	Forbidden     Kind = "277"           // in the body: unauthorized
	Throttle      Kind = "601"           // in the body, without wait_seconds
	ThrottleFor   Kind = "601 for a time"
	InvalidParams Kind = "503"  // in the body
	TimedOut      Kind = "522"  // in the body
	BadState      Kind = "524"  // in the body
	Trouble       Kind = "2556" // in the body: an error occurred
	ServerError   Kind = "500"  // as the status of the answer
	HTMLPage      Kind = "html" // an error page with status 502
	HTMLSuccess   Kind = "html 200"
	Truncated     Kind = "truncated"
	Slow          Kind = "slow"    // nothing comes until the client gives up
	Dropped       Kind = "dropped" // the connection ends without an answer
	NoBody        Kind = "no body" // status 0, and nothing else
)

// A Fault makes requests fail.
type Fault struct {
	Kind Kind
	// Path is a part of "path action" of the requests that it is for, such as "getactivity"; "" for all of the API.
	// Faults of the token endpoint and of the signatures have to name them: "/v2/oauth2", "/v2/signature".
	Path string
	// Times is how often; until Clear if zero.
	Times int
	left  int
}

const (
	tokenPath     = "/v2/oauth2"
	signaturePath = "/v2/signature"
)

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
func (s *Service) fault(what string) Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	api := strings.HasPrefix(what, "/v2/") && !strings.HasPrefix(what, tokenPath) && !strings.HasPrefix(what, signaturePath)
	for i, f := range s.faults {
		if f.Path == "" && !api || !strings.Contains(what, f.Path) {
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
	w.Header().Set("Date", s.o.Now().UTC().Format(http.TimeFormat))
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		refuse(w, 503, "Invalid Params", nil)
		return
	}
	kind := s.fault(r.URL.Path + " " + r.Form.Get("action"))
	if kind != "" {
		s.count("", r)
		s.fail(w, r, kind)
		return
	}
	switch r.URL.Path {
	case "/oauth2_user/authorize2":
		s.serveConsent(w, r)
	case tokenPath:
		if r.Form.Get("action") == "revoke" {
			s.serveRevoke(w, r)
			return
		}
		s.serveToken(w, r)
	case signaturePath:
		s.serveNonce(w, r)
	case "/v2/user", "/v2/measure":
		s.serveAPI(w, r)
	default:
		page(w, http.StatusNotFound, "Page not found")
	}
}

func (s *Service) fail(w http.ResponseWriter, r *http.Request, kind Kind) {
	switch kind {
	case InvalidGrant:
		refuse(w, 503, "Invalid Params: invalid refresh_token", nil)
	case Unauthorized:
		refuse(w, 401, badToken, nil)
	case Forbidden:
		refuse(w, 277, "Unauthorized", nil)
	case Throttle:
		refuse(w, 601, "Too many requests", nil)
	case ThrottleFor:
		refuse(w, 601, "Too many requests", object{"wait_seconds": 188})
	case InvalidParams:
		refuse(w, 503, "Invalid Params", nil)
	case TimedOut:
		refuse(w, 522, "Timeout", nil)
	case BadState:
		refuse(w, 524, "Bad state", nil)
	case Trouble:
		refuse(w, 2556, "An unknown error occurred", nil)
	case ServerError:
		w.WriteHeader(http.StatusInternalServerError)
	case HTMLPage:
		page(w, http.StatusBadGateway, "502 Bad Gateway")
	case HTMLSuccess:
		page(w, http.StatusOK, "Sign in to this network")
	case Truncated:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"status":0,"body":{"series":{"17`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case Dropped:
		panic(http.ErrAbortHandler)
	case Slow:
		<-r.Context().Done()
	case NoBody:
		writeJSON(w, object{"status": 0})
	}
}

// count counts a request, and reports whether the application has asked too often.
func (s *Service) count(person string, r *http.Request) (tooMany bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[strings.TrimSpace(person+" "+r.URL.Path+" "+r.Form.Get("action"))]++
	if !strings.HasPrefix(r.URL.Path, "/v2/") {
		return false
	}
	now := s.o.Wall()
	if now.Sub(s.begin) >= time.Minute || now.Before(s.begin) {
		s.begin, s.n = now, 0
	}
	s.n++
	s.peak = max(s.peak, s.n)
	return s.n > s.o.PerMinute
}

// repeated returns how long a question that was just answered is not to be asked again, and otherwise notes it.
func (s *Service) repeated(who string, r *http.Request) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Wall()
	for key, at := range s.recent {
		if since := now.Sub(at); since >= repeatAfter || since < 0 {
			delete(s.recent, key)
		}
	}
	key := who + "\x00" + r.URL.Path + "\x00" + r.Form.Encode()
	if at, ok := s.recent[key]; ok && !s.o.Repeats {
		return repeatAfter - now.Sub(at)
	}
	s.recent[key] = now
	return 0
}

// secret returns a new random one, and remembers it.
func (s *Service) secret() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails
	text := hex.EncodeToString(b)
	s.secrets = append(s.secrets, text)
	return text
}
