package withingssim

import (
	"net/http"
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
	*simulate.Ledger
	*simulate.Faults
	o     Options
	meter simulate.Meter

	mu      sync.Mutex
	days    map[string]map[walking.Day]*day
	codes   map[string]*code
	access  map[string]*access
	refresh map[string]*refresh
	nonces  map[string]time.Time // when they were given out
	recent  map[string]time.Time // when a question was last answered, by person and question
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
	s := &Service{
		Ledger: &simulate.Ledger{}, Faults: simulate.NewFaults(o.Seed, 2), o: o, meter: simulate.Meter{Per: time.Minute},
		days: map[string]map[walking.Day]*day{}, codes: map[string]*code{}, access: map[string]*access{},
		refresh: map[string]*refresh{}, nonces: map[string]time.Time{}, recent: map[string]time.Time{},
	}
	s.Keep(o.ClientSecret)
	return s
}

// SetConsent names the person who consents from now on.
func (s *Service) SetConsent(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Consent = name
}

// Peak returns the most requests that were made in a minute on the wall, those refused for it included.
func (s *Service) Peak() int { return s.meter.Peak() }

// Ways in which a Service fails, besides those that every service has.
const (
	ExpireTokens  simulate.Kind = "expire-tokens" // all access tokens end, once
	InvalidGrant  simulate.Kind = "invalid-grant" // the refresh token is refused: 503 in the body
	Unauthorized  simulate.Kind = "401"           // in the body
	Forbidden     simulate.Kind = "277"           // in the body: unauthorized
	Throttle      simulate.Kind = "601"           // in the body, without wait_seconds
	ThrottleFor   simulate.Kind = "601 for a time"
	InvalidParams simulate.Kind = "503"     // in the body
	TimedOut      simulate.Kind = "522"     // in the body
	BadState      simulate.Kind = "524"     // in the body
	Trouble       simulate.Kind = "2556"    // in the body: an error occurred
	ServerError   simulate.Kind = "500"     // as the status of the answer
	NoBody        simulate.Kind = "no body" // status 0, and nothing else
)

const (
	tokenPath     = "/v2/oauth2"
	signaturePath = "/v2/signature"
)

// Break switches a fault on. What requests ask for is "path action"; faults of the token endpoint and of the signatures
// have to name them: "/v2/oauth2", "/v2/signature".
func (s *Service) Break(f simulate.Fault) {
	switch {
	case f.Kind == ExpireTokens:
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, a := range s.access {
			a.expires = time.Time{}
		}
		return
	case f.Kind == InvalidGrant && f.Path == "":
		f.Path = tokenPath
	}
	s.Faults.Break(f)
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.o.Now().UTC().Format(http.TimeFormat))
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		refuse(w, 503, "Invalid Params", nil)
		return
	}
	api := strings.HasPrefix(r.URL.Path, "/v2/") && r.URL.Path != tokenPath && r.URL.Path != signaturePath
	kind := s.Next(r.URL.Path+" "+r.Form.Get("action"), api)
	if kind == "" {
		s.serve(w, r)
		return
	}
	if kind != simulate.Truncated && kind != simulate.Slow && kind != simulate.Dropped { // which are served, and lost
		s.count("", r)
	}
	if !simulate.Spoil(kind, w, r, http.HandlerFunc(s.serve)) {
		s.fail(w, kind)
	}
}

// serve answers a request.
func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
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

func (s *Service) fail(w http.ResponseWriter, kind simulate.Kind) {
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
	case NoBody:
		writeJSON(w, object{"status": 0})
	}
}

// count counts a request, and reports whether the application has asked too often.
func (s *Service) count(person string, r *http.Request) (tooMany bool) {
	s.Count(person, r.URL.Path+" "+r.Form.Get("action"))
	if !strings.HasPrefix(r.URL.Path, "/v2/") {
		return false
	}
	n, _ := s.meter.Count(s.o.Wall())
	return n > s.o.PerMinute
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
