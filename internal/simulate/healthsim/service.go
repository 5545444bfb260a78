package healthsim

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/simulate"
)

// The scopes of Google Health that matter here.
const (
	ScopeActivity = scopePrefix + "activity_and_fitness.readonly"
	ScopeSettings = scopePrefix + "settings.readonly"

	scopePrefix = "https://www.googleapis.com/auth/googlehealth."
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
	// Rotate gives out a new refresh token with every renewal. The old one ends when the new one, or the access token that
	// came with it, is used first: an answer that is lost locks nobody out.
	Rotate bool
	// GrantFor is how long a grant holds, as for applications in testing; without an end if zero.
	GrantFor time.Duration
	// Numbers writes int64 as JSON numbers instead of strings.
	Numbers bool
	// EmptyFirst answers every listing with an empty first page that has a next one.
	EmptyFirst bool
	// LastInclusive takes the end of a range of dates for its last day. Google's reference says that it is the day after,
	// while examples in its guides read the other way.
	LastInclusive bool
	// OldestFirst answers with the totals of days in this order; else the newest come first, as was seen. No document says.
	OldestFirst bool
	// Future has fields, types and devices that nobody has documented yet.
	Future bool
	// Parallel is how many requests of a person are served at once; more get the status 500. There is no bound if zero.
	Parallel int
	// PerMinute is how many requests a person may make in any 60 seconds; 300 if zero.
	PerMinute int
	// Seed makes random faults repeatable.
	Seed uint64
}

// How long an access token holds, as the service says it in seconds, and how long a code.
const (
	tokenLife = 3599 * time.Second
	codeLife  = 10 * time.Minute
)

// A Service is the simulated Google Health. It is an http.Handler.
type Service struct {
	*simulate.Ledger
	*simulate.Faults
	o   Options
	mux *http.ServeMux

	mu      sync.Mutex
	codes   map[string]*code
	access  map[string]*access
	grants  map[string]*grant   // by refresh token
	pruned  time.Time           // when the access tokens that have ended were dropped
	recent  map[string][]ask    // by person, of the last minute
	peak    int                 // most requests of one person in a minute
	serving map[string]int      // requests by person, at this moment
	paired  map[string][]Device // by person, besides a scale and the watch that counts
}

type code struct {
	person, redirect, challenge string
	scopes                      []string
	expires                     time.Time
	offline, used               bool
}

type access struct {
	person  string
	scopes  []string
	expires time.Time
	grant   *grant
	rotated string // the refresh token that came with it, until this one is used
}

type grant struct {
	person  string
	scopes  []string
	ends    time.Time // zero: never
	revoked bool
	lost    bool     // it has lost its effect, though tokens are still given out
	refresh []string // the tokens that hold: that in use, and then those that nobody has used yet
}

// ask is a request to the API.
type ask struct {
	at      time.Time
	refused bool // for being one too many
}

// New returns a Service without people.
func New(o Options) *Service {
	if o.PerMinute == 0 {
		o.PerMinute = 300
	}
	s := &Service{
		Ledger: &simulate.Ledger{}, Faults: simulate.NewFaults(o.Seed, 1), o: o, mux: http.NewServeMux(), codes: map[string]*code{},
		access: map[string]*access{}, grants: map[string]*grant{}, recent: map[string][]ask{}, serving: map[string]int{},
		paired: map[string][]Device{},
	}
	s.Keep(o.ClientSecret)
	s.mux.HandleFunc("GET /o/oauth2/v2/auth", s.serveConsent)
	s.mux.HandleFunc("POST /o/oauth2/v2/auth", s.serveConsent)
	s.mux.HandleFunc("POST /token", s.serveToken)
	s.mux.HandleFunc("POST /revoke", s.serveRevoke)
	s.mux.HandleFunc("GET /v4/users/{user}/identity", s.api("", s.serveIdentity))
	s.mux.HandleFunc("GET /v4/users/{user}/settings", s.api(ScopeSettings, s.serveSettings))
	s.mux.HandleFunc("GET /v4/users/{user}/pairedDevices", s.api(ScopeSettings, s.serveDevices, "pageSize", "pageToken"))
	points := s.api(ScopeActivity, s.servePoints, "dataSourceFamily", "filter", "pageSize", "pageToken")
	s.mux.HandleFunc("GET /v4/users/{user}/dataTypes/{type}/dataPoints", points)
	s.mux.HandleFunc("GET /v4/users/{user}/dataTypes/{type}/dataPoints:reconcile", points)
	s.mux.HandleFunc("POST /v4/users/{user}/dataTypes/{type}/dataPoints:dailyRollUp", s.api(ScopeActivity, s.serveDays))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound(w) })
	return s
}

// SetConsent names the person who consents from now on.
func (s *Service) SetConsent(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Consent = name
}

// SetGranted says what is granted of what is asked for from now on, as Options.Granted does.
func (s *Service) SetGranted(scopes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Granted = scopes
}

// SetGrantFor says how long grants hold that are given from now on, as Options.GrantFor does.
func (s *Service) SetGrantFor(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.GrantFor = d
}

// A Device is one that a person has paired.
type Device struct {
	Product string // such as "Charge 6"
	Type    string // TRACKER or SCALE
	Battery string // High, Medium, Low or Empty; "" if it is not told
	Level   int    // of the battery in percent; not told if zero
	// Synced returns up to when the device has synced at now; it is not told if that is zero.
	Synced func(now time.Time) time.Time
}

// Pair gives a person another device, besides a scale and the watch that counts the steps.
func (s *Service) Pair(person string, d Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paired[person] = append(s.paired[person], d)
}

// LoseConsent takes the effect from all that a person has granted, as Google once did for a while: tokens are still given
// out, but no method takes them. A new consent is as worthless until the person has taken the old one back.
func (s *Service) LoseConsent(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := range s.grantsOf(person) {
		g.lost = true
	}
}

// grantsOf returns the grants of a person that hold, whether they can be renewed or not.
func (s *Service) grantsOf(person string) map[*grant]bool {
	out := map[*grant]bool{}
	for _, g := range s.grants {
		out[g] = g.person == person && !g.revoked
	}
	for _, a := range s.access {
		out[a.grant] = a.grant.person == person && !a.grant.revoked
	}
	maps.DeleteFunc(out, func(_ *grant, theirs bool) bool { return !theirs })
	return out
}

// Peak returns the most requests to the API that one person has made in any 60 seconds on the wall, those refused for
// their number included.
func (s *Service) Peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// Grant gives out a refresh token for a person as if they had consented, for tests that need no browser.
func (s *Service) Grant(person string, scopes ...string) (refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newRefresh(s.newGrant(person, scopes))
}

// Ways in which a Service fails, besides those that every service has.
const (
	ExpireTokens simulate.Kind = "expire-tokens" // all access tokens end, once
	InvalidGrant simulate.Kind = "invalid-grant" // the refresh token is refused
	Unauthorized simulate.Kind = "401"
	Expired      simulate.Kind = "401 with details"
	Forbidden    simulate.Kind = "403"            // the consent has lost its effect; LoseConsent tells what mends it
	Disabled     simulate.Kind = "not enabled"    // the API, in the application's project
	NotLinked    simulate.Kind = "not linked"     // the person has no account with the service
	NoProfile    simulate.Kind = "no profile"     // the person has one, and has not set it up
	Legacy       simulate.Kind = "legacy account" // the person's account is still one of Fitbit's own
	NotFound     simulate.Kind = "404"            // a page of HTML, as of all paths that nobody knows
	Throttle     simulate.Kind = "429"            // without Retry-After
	ThrottleFor  simulate.Kind = "429 for a time" // with Retry-After: 7
	ServerError  simulate.Kind = "500"
	Unavailable  simulate.Kind = "503"        // with Retry-After: 9
	EmptyPage    simulate.Kind = "empty page" // a listing begins with an empty page that has a next one
)

// Break switches a fault on. What requests ask for is "person path", so that a Path like "ann /v4/" is for one person: that
// is how an account is in one of the states of which Google tells with every answer, such as NotLinked.
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
		f.Path = "/token"
	}
	s.Faults.Break(f)
}

// asker returns who asks, by the access token; "" if that is nobody's.
func (s *Service) asker(r *http.Request) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.access[simulate.Bearer(r)]; a != nil {
		return a.person
	}
	return ""
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.count(r) {
		throttled(w)
		return
	}
	leave, busy := s.enter(r)
	defer leave()
	if busy {
		internalError(w)
		return
	}
	kind := s.Next(s.asker(r)+" "+r.URL.Path, strings.HasPrefix(r.URL.Path, "/v4/"))
	if simulate.Spoil(kind, w, r, s.mux) {
		return
	}
	switch kind {
	case InvalidGrant:
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	case Unauthorized:
		unauthorized(w)
	case Expired:
		unauthorized(w, errorInfo("ACCESS_TOKEN_EXPIRED", "googleapis.com", object{"service": domain}))
	case Forbidden:
		lostConsent(w)
	case Disabled:
		disabled(w)
	case NoProfile:
		apiError(w, http.StatusPreconditionFailed, "FAILED_PRECONDITION", "Precondition check failed.")
	case Legacy:
		apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "Could not mint UberMint from GaiaMint")
	case NotFound:
		notFound(w)
	case NotLinked:
		apiError(w, http.StatusBadRequest, "FAILED_PRECONDITION", "The account is not linked to Google Health.",
			errorInfo("ACCOUNT_NOT_LINKED", domain, object{"redirect_uri": "https://fitbit.google.com/auth/signup"}))
	case Throttle:
		throttled(w)
	case ThrottleFor:
		w.Header().Set("Retry-After", "7")
		throttled(w)
	case ServerError:
		internalError(w)
	case Unavailable:
		w.Header().Set("Retry-After", "9")
		apiError(w, http.StatusServiceUnavailable, "UNAVAILABLE", "The service is currently unavailable.")
	case EmptyPage:
		s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), emptyPage{}, true)))
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// emptyPage is the key of a context that has the fault.
type emptyPage struct{}

// enter notes that a request to the API is being served until leave is called. busy reports whether it is one too many
// of the person at this moment.
func (s *Service) enter(r *http.Request) (leave func(), busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[simulate.Bearer(r)]
	if a == nil || s.o.Parallel == 0 || !strings.HasPrefix(r.URL.Path, "/v4/") {
		return func() {}, false
	}
	s.serving[a.person]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serving[a.person]--
	}, s.serving[a.person] > s.o.Parallel
}

// count counts a request, and reports whether the person has asked too often.
func (s *Service) count(r *http.Request) (tooMany bool) {
	api := strings.HasPrefix(r.URL.Path, "/v4/")
	if !api && r.URL.Path != "/token" && r.URL.Path != "/revoke" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[simulate.Bearer(r)]
	if !api || a == nil {
		s.Count("", r.URL.Path)
		return false
	}
	s.Count(a.person, r.URL.Path)
	now := s.o.Wall()
	recent := slices.DeleteFunc(s.recent[a.person], func(a ask) bool {
		return now.Sub(a.at) >= time.Minute || now.Before(a.at)
	})
	served := 0
	for _, a := range recent {
		if !a.refused {
			served++
		}
	}
	tooMany = served >= s.o.PerMinute
	s.recent[a.person] = append(recent, ask{now, tooMany})
	s.peak = max(s.peak, len(recent)+1)
	return tooMany
}

// api guards a method: a token with the scope, of the person that it is about, and no parameters but those it takes.
func (s *Service) api(
	scope string, serve func(http.ResponseWriter, *http.Request, *simulate.Person), parameters ...string,
) http.HandlerFunc {
	// Some of those that every method has. They make no difference here.
	parameters = append(parameters, "alt", "fields", "key", "prettyPrint", "quotaUser")
	return func(w http.ResponseWriter, r *http.Request) {
		person, scopes, lost := s.authenticate(simulate.Bearer(r))
		if person == nil {
			if r.Header.Get("Authorization") == "" {
				unauthenticated(w)
			} else {
				unauthorized(w)
			}
			return
		}
		if lost {
			lostConsent(w)
			return
		}
		if scope != "" && !slices.Contains(scopes, scope) {
			w.Header().Set("WWW-Authenticate", realm+`, error="insufficient_scope", scope="`+scope+`"`)
			apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.",
				errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", nil))
			return
		}
		if user := r.PathValue("user"); user != "me" && user != userID(person) {
			apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission")
			return
		}
		for name := range r.URL.Query() {
			if !slices.Contains(parameters, name) {
				invalid(w, &problem{text: fmt.Sprintf("Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. "+
					"Field '%s' could not be found in request message.", name, name)})
				return
			}
		}
		serve(w, r, person)
	}
}

// authenticate returns whose an access token is and what it is good for; nobody if it does not hold. lost says that the
// consent behind it has lost its effect.
func (s *Service) authenticate(token string) (p *simulate.Person, scopes []string, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[token]
	if a == nil || a.grant.revoked || !s.o.Wall().Before(a.expires) {
		return nil, nil, false
	}
	if slices.Contains(a.grant.refresh, a.rotated) { // else another has taken its place
		s.settle(a.grant, a.rotated)
	}
	a.rotated = ""
	return s.Person(a.person), a.scopes, a.grant.lost
}

func (s *Service) number(n int) any {
	if s.o.Numbers {
		return n
	}
	return fmt.Sprint(n)
}

func duration(d time.Duration) string { return fmt.Sprintf("%ds", int(math.Round(d.Seconds()))) }
