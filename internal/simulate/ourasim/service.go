package ourasim

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

// The scopes that matter here.
const (
	ScopeDaily    = "daily"
	ScopeWorkout  = "workout"
	ScopePersonal = "personal"
)

// An End is how the service reads an end_date.
type End int

// The ways to read an end_date.
const (
	EndMidnight  End = iota // what begins before the date begins, by the person's clock
	EndInclusive            // also what belongs to the date
	EndExclusive            // what belongs to an earlier date
)

// A Pad is what follows the classes that are known of a day that still goes on.
type Pad int

// The paddings.
const (
	PadNone  Pad = iota // nothing
	PadToNow            // zeros up to now
	PadToEnd            // zeros to the end of the day
)

// Options say how the service behaves.
type Options struct {
	// Now is the time by which people walk and rings sync; Wall that by which tokens end and requests are limited.
	Now, Wall func() time.Time
	// ClientID and ClientSecret are those of the one application that is registered, with RedirectURLs.
	ClientID, ClientSecret string
	RedirectURLs           []string
	// Consent, if not "", is the name of the person who consents at once, whoever asks. Else there is a page.
	Consent string
	// Granted are the scopes that the person grants of those asked for; all if nil.
	Granted []string
	// TellScopes tells the scopes with the token as well as with the code.
	TellScopes bool
	// Midnight lets the days of activity begin at midnight instead of at four o'clock.
	Midnight bool
	// End is how an end_date is read, and StartExclusive leaves out what belongs to the start_date.
	End            End
	StartExclusive bool
	// NewIDs gives a document another ID when it changes.
	NewIDs bool
	// Pad is what follows the classes that are known. AlwaysDay lets the classes be those of 24 hours on days that are
	// shorter or longer, too.
	Pad       Pad
	AlwaysDay bool
	// NoMETs and NoClasses keep the METs and the classes back.
	NoMETs, NoClasses bool
	// Interval is the time between two METs; a minute if zero. It is a part of five minutes, or these.
	Interval time.Duration
	// Manual lets people enter a walk by hand every noon.
	Manual bool
	// Unworn is when nobody wears their ring.
	Unworn []walking.Window
	// Ring is how rings see movement.
	Ring Ring
	// RevokeBy is the method that ends a consent; POST if "". Others are not allowed.
	RevokeBy string
	// Mute lets 403 come without words.
	Mute bool
	// PageSize is how many documents a page has; 50 if zero. EmptyPages puts an empty page before each other one.
	PageSize   int
	EmptyPages bool
	// PerFiveMinutes is how many requests the application may make in five minutes; 5000 if zero.
	PerFiveMinutes int
	// Seed makes random faults and rings repeatable.
	Seed uint64
}

const (
	accessLife  = 24 * time.Hour
	codeLife    = 10 * time.Minute
	limitTime   = 5 * time.Minute
	tokenPath   = "/oauth/token"
	consentPath = "/oauth/authorize"
	revokePath  = "/oauth/revoke"
	apiPath     = "/v2/usercollection/"
)

// A Service is the simulated Oura. It is an http.Handler for all of Oura's hosts.
type Service struct {
	*simulate.Ledger
	*simulate.Faults
	o     Options
	mux   *http.ServeMux
	meter simulate.Meter

	mu      sync.Mutex
	lapsed  bool
	codes   map[string]*code
	access  map[string]*access
	refresh map[string]*grant
	spent   map[string]bool // refresh tokens that were used
	forgot  map[string]bool // documents that were taken back, by person and date
	made    map[string]made // the same, as they were last asked for
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
}

// New returns a Service without people.
func New(o Options) *Service {
	if o.PageSize == 0 {
		o.PageSize = 50
	}
	if o.Interval == 0 {
		o.Interval = time.Minute
	}
	if o.PerFiveMinutes == 0 {
		o.PerFiveMinutes = 5000
	}
	if o.RevokeBy == "" {
		o.RevokeBy = http.MethodPost
	}
	o.Ring = o.Ring.orUsual()
	s := &Service{
		Ledger: &simulate.Ledger{}, Faults: simulate.NewFaults(o.Seed, 4), o: o, mux: http.NewServeMux(),
		meter: simulate.Meter{Per: limitTime}, codes: map[string]*code{}, access: map[string]*access{},
		refresh: map[string]*grant{}, spent: map[string]bool{}, forgot: map[string]bool{}, made: map[string]made{},
	}
	s.Keep(o.ClientSecret)
	s.mux.HandleFunc("GET "+consentPath, s.serveConsent)
	s.mux.HandleFunc("POST "+consentPath, s.serveConsent)
	s.mux.HandleFunc("POST "+tokenPath, s.serveToken)
	s.mux.HandleFunc(revokePath, s.serveRevoke)
	s.mux.HandleFunc("GET "+apiPath+"daily_activity", s.api(ScopeDaily, s.serveActivity))
	s.mux.HandleFunc("GET "+apiPath+"workout", s.api(ScopeWorkout, s.serveWorkouts))
	s.mux.HandleFunc("GET "+apiPath+"ring_configuration", s.api("", s.serveRing))
	s.mux.HandleFunc("GET "+apiPath+"ring_battery_level", s.api("", s.serveBattery))
	s.mux.HandleFunc("GET "+apiPath+"personal_info", s.api("", s.servePersonal))
	return s
}

// SetConsent names the person who consents from now on.
func (s *Service) SetConsent(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Consent = name
}

// SetGranted sets the scopes that people grant from now on.
func (s *Service) SetGranted(scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Granted = scopes
}

// SetLapsed says whether everybody's membership has lapsed, from now on.
func (s *Service) SetLapsed(lapsed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lapsed = lapsed
}

// Forget takes back the document of a person's day.
func (s *Service) Forget(person string, d walking.Day) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgot[person+" "+d.String()] = true
}

// Peak returns the most requests that were made in five minutes on the wall, those refused for their number included.
func (s *Service) Peak() int { return s.meter.Peak() }

// Ways in which a Service fails, besides those that every service has.
const (
	ExpireTokens  simulate.Kind = "expire-tokens" // all access tokens end, once
	InvalidGrant  simulate.Kind = "invalid-grant" // the refresh token, or the code, is refused
	BadRequest    simulate.Kind = "400"
	Unauthorized  simulate.Kind = "401"
	NoScope       simulate.Kind = "403 scope"
	NoMembership  simulate.Kind = "403 membership"
	Forbidden     simulate.Kind = "403" // and not why
	Unprocessable simulate.Kind = "422"
	OldApp        simulate.Kind = "426"
	Throttle      simulate.Kind = "429"              // without a word for how long
	ThrottleFor   simulate.Kind = "429 for a time"   // for 37 seconds
	ThrottleApp   simulate.Kind = "429 for everyone" // for 200 seconds, all tokens of the application
	ServerError   simulate.Kind = "500"
	Unavailable   simulate.Kind = "503"       // with Retry-After: 9
	Null          simulate.Kind = "null"      // a body that says nothing
	EmptyPage     simulate.Kind = "empty"     // an empty page that has a next one
	SamePage      simulate.Kind = "same page" // a page without end
)

// Break switches a fault on.
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
	now := s.o.Wall()
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	api := strings.HasPrefix(r.URL.Path, apiPath)
	if api || r.URL.Path == tokenPath || r.URL.Path == revokePath {
		s.mu.Lock()
		person := ""
		if a := s.access[simulate.Bearer(r)]; a != nil {
			person = a.person
		}
		s.mu.Unlock()
		s.Count(person, r.URL.Path)
	}
	if api {
		if n, ends := s.meter.Count(now); n > s.o.PerFiveMinutes {
			s.throttle(w, ends.Sub(now), "application")
			return
		}
	}
	kind := s.Next(r.URL.Path, api)
	if simulate.Spoil(kind, w, r, s.mux) {
		return
	}
	switch kind {
	case InvalidGrant:
		oauthError(w, http.StatusBadRequest, "invalid_grant", alreadyUsed)
	case BadRequest:
		refuse(w, http.StatusBadRequest, "Invalid Query Parameters", "start_date: not a date")
	case Unauthorized:
		unauthorized(w)
	case NoScope:
		refuse(w, http.StatusForbidden, "Forbidden", "Missing required scopes: daily")
	case NoMembership:
		refuse(w, http.StatusForbidden, "Forbidden", lapsedText)
	case Forbidden:
		w.WriteHeader(http.StatusForbidden)
	case Unprocessable:
		simulate.WriteJSON(w, http.StatusUnprocessableEntity, object{"detail": []object{
			{"loc": []string{"query", "start_date"}, "msg": "invalid date format", "type": "value_error.date"},
		}})
	case OldApp:
		refuse(w, http.StatusUpgradeRequired, "Upgrade Required", "The minimum app version requirement is not met.")
	case Throttle:
		refuse(w, http.StatusTooManyRequests, "Too Many Requests", "Request Rate Limit Exceeded")
	case ThrottleFor:
		s.throttle(w, 37*time.Second, "access_token")
	case ThrottleApp:
		s.throttle(w, 200*time.Second, "application")
	case ServerError:
		refuse(w, http.StatusInternalServerError, "Internal Server Error", "")
	case Unavailable:
		w.Header().Set("Retry-After", "9")
		refuse(w, http.StatusServiceUnavailable, "Service Unavailable", "")
	case Null:
		simulate.WriteJSON(w, http.StatusOK, nil)
	case EmptyPage:
		simulate.WriteJSON(w, http.StatusOK, object{"data": []object{}, "next_token": nextToken(0)})
	case SamePage:
		simulate.WriteJSON(w, http.StatusOK, object{"data": []object{}, "next_token": "the-same"})
	default:
		s.mux.ServeHTTP(w, r)
	}
}

const lapsedText = "The user's Oura subscription has expired and their data is not available via the API."

func (s *Service) throttle(w http.ResponseWriter, wait time.Duration, tier string) {
	seconds := int((wait + time.Second - 1) / time.Second)
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(seconds))
	h.Set("X-RateLimit-Limit", strconv.Itoa(s.o.PerFiveMinutes))
	h.Set("X-RateLimit-Window", strconv.Itoa(int(limitTime.Seconds())))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(s.o.Wall().Unix()+int64(seconds), 10))
	h.Set("X-RateLimit-Tier", tier)
	refuse(w, http.StatusTooManyRequests, "Too Many Requests", "Request Rate Limit Exceeded")
}

type object = map[string]any

// refuse answers with an error as RFC 7807 has it.
func refuse(w http.ResponseWriter, status int, title, detail string) {
	body := object{"status": status, "title": title}
	if detail != "" {
		body["detail"] = detail
	}
	simulate.WriteJSON(w, status, body)
}

func unauthorized(w http.ResponseWriter) {
	const text = "Access token not provided or is invalid"
	simulate.WriteJSON(w, http.StatusUnauthorized, object{
		"status": http.StatusUnauthorized, "title": "Invalid Access Token", "error": "invalid_token", "error_description": text,
		"detail": text,
	})
}
