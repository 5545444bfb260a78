package healthsim

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
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
	pruned  time.Time           // when the access tokens that have ended were dropped
	recent  map[string][]ask    // by person, of the last minute
	counts  map[string]int      // requests by person and path
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
		o: o, mux: http.NewServeMux(), people: map[string]*simulate.Person{}, codes: map[string]*code{}, access: map[string]*access{},
		grants: map[string]*grant{}, secrets: []string{o.ClientSecret}, recent: map[string][]ask{}, counts: map[string]int{},
		random: mathrand.New(mathrand.NewPCG(o.Seed, 1)), serving: map[string]int{}, paired: map[string][]Device{},
	}
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

// Secrets returns everything that must never be shown: the client secret, all codes and tokens given out, and the
// verifiers of codes.
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

// A Kind is a way in which a Service fails.
type Kind string

// The kinds of fault. Those that lose an answer do so after all was done that was asked for.
const (
	ExpireTokens Kind = "expire-tokens" // all access tokens end, once
	InvalidGrant Kind = "invalid-grant" // the refresh token is refused
	Unauthorized Kind = "401"
	Expired      Kind = "401 with details"
	Forbidden    Kind = "403"            // the consent has lost its effect; LoseConsent tells what mends it
	Disabled     Kind = "not enabled"    // the API, in the application's project
	NotLinked    Kind = "not linked"     // the person has no account with the service
	NoProfile    Kind = "no profile"     // the person has one, and has not set it up
	Legacy       Kind = "legacy account" // the person's account is still one of Fitbit's own
	NotFound     Kind = "404"            // a page of HTML, as of all paths that nobody knows
	Throttle     Kind = "429"            // without Retry-After
	ThrottleFor  Kind = "429 for a time" // with Retry-After: 7
	ServerError  Kind = "500"
	Unavailable  Kind = "503"      // with Retry-After: 9
	HTMLPage     Kind = "html"     // an error page with status 502
	HTMLSuccess  Kind = "html 200" // a login page of some network
	Truncated    Kind = "truncated"
	Slow         Kind = "slow"       // nothing comes until the client gives up
	Dropped      Kind = "dropped"    // the connection ends without an answer
	EmptyPage    Kind = "empty page" // a listing begins with an empty page that has a next one
)

// A Fault makes requests fail.
type Fault struct {
	Kind Kind
	// Path is a part of the paths that it is for; "" for all of the API. Faults of the token endpoint have to name it.
	Path string
	// Person is whose requests to the API it is for; everybody's if "". That is how an account is in one of the states of
	// which Google tells with every answer, such as NotLinked.
	Person string
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
func (s *Service) fault(r *http.Request) Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, api := r.URL.Path, strings.HasPrefix(r.URL.Path, "/v4/")
	person := ""
	if a := s.access[bearer(r)]; a != nil {
		person = a.person
	}
	for i, f := range s.faults {
		if f.Path == "" && !api || !strings.Contains(path, f.Path) || f.Person != "" && f.Person != person {
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
	switch kind := s.fault(r); kind {
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
	case HTMLPage:
		page(w, http.StatusBadGateway, "502. That’s an error.")
	case HTMLSuccess:
		page(w, http.StatusOK, "Sign in to this network")
	case Truncated, Dropped, Slow:
		s.lose(w, r, kind)
	case EmptyPage:
		s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), emptyPage{}, true)))
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// emptyPage is the key of a context that has the fault.
type emptyPage struct{}

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

// enter notes that a request to the API is being served until leave is called. busy reports whether it is one too many
// of the person at this moment.
func (s *Service) enter(r *http.Request) (leave func(), busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[bearer(r)]
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
	a := s.access[bearer(r)]
	if !api || a == nil {
		s.counts[" "+r.URL.Path]++
		return false
	}
	s.counts[a.person+" "+r.URL.Path]++
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

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// secret returns a new random one, and remembers it.
func (s *Service) secret(prefix string) string {
	text := prefix + rand.Text()
	s.secrets = append(s.secrets, text)
	return text
}

// api guards a method: a token with the scope, of the person that it is about, and no parameters but those it takes.
func (s *Service) api(
	scope string, serve func(http.ResponseWriter, *http.Request, *simulate.Person), parameters ...string,
) http.HandlerFunc {
	// Some of those that every method has. They make no difference here.
	parameters = append(parameters, "alt", "fields", "key", "prettyPrint", "quotaUser")
	return func(w http.ResponseWriter, r *http.Request) {
		person, scopes, lost := s.authenticate(bearer(r))
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
	return s.people[a.person], a.scopes, a.grant.lost
}

func (s *Service) number(n int) any {
	if s.o.Numbers {
		return n
	}
	return fmt.Sprint(n)
}

func duration(d time.Duration) string { return fmt.Sprintf("%ds", int(math.Round(d.Seconds()))) }
