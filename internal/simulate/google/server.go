package google

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// serviceDomain is the domain of Google Health in the details of errors.
const serviceDomain = "health.googleapis.com"

// limitWindow is the time of ServerOptions.Limit.
const limitWindow = time.Minute

// ServerOptions describe a Server.
type ServerOptions struct {
	// Now is the time that people live by; it decides what has been synced. Wall is the time by which tokens and limits
	// go. Both are required, and may be the same.
	Now, Wall func() time.Time
	// ClientID and ClientSecret are of the one client that is registered.
	ClientID, ClientSecret string
	// Redirects are the redirect URIs of that client, compared exactly.
	Redirects []string
	// Approve is asked for the scopes that a person grants, instead of showing the page of consent; none is a refusal.
	// If it is nil the page is shown.
	Approve func(person string, scopes []string) (granted []string)
	// AccessTTL is the life of an access token; 3599 s if zero.
	AccessTTL time.Duration
	// GrantTTL is the life of a grant, such as the 7 days of an app in testing; without end if zero.
	GrantTTL time.Duration
	// Rotate gives a new refresh token with every refresh. The old one dies when the new one, or an access token that
	// came with it, is used first, so that an answer that is lost on the way locks nobody out.
	Rotate bool
	// Limit is how many API requests a person's clients may make in any 60 s of Wall; 300 if zero, none if negative.
	Limit int
	// Numbers writes 64-bit counts as JSON numbers and not as strings.
	Numbers bool
	// NoCivil leaves the civil times of points out.
	NoCivil bool
	// EmptyFirstPage answers the first page of points without any, and with a token for the next.
	EmptyFirstPage bool
	// RollUpInclusive takes the last day of a daily roll-up in, as some recorded answers do; the documentation says
	// that it is exclusive.
	RollUpInclusive bool
	// Seed decides the tokens. It is no protection: this is a simulation.
	Seed uint64
}

// A Server is a simulated Google Health over HTTP: OAuth at /o/oauth2/v2/auth, /token and /revoke, and the API below
// /v4/. It keeps nothing on disk. Its methods may be called by several goroutines at once.
type Server struct {
	o   ServerOptions
	mux *http.ServeMux

	mu       sync.Mutex
	people   []*Walker
	byID     map[string]*Walker
	codes    map[string]*code
	refresh  map[string]*grant
	access   map[string]*access
	issued   int64
	secrets  []string
	prune    time.Time // when access tokens are looked through next
	faults   []*Fault
	chaos    Chaos
	throws   int64
	counts   map[RequestCount]int // Count is zero in the keys
	recent   map[string][]int64   // by person, the Unix milliseconds of the requests within limitWindow
	peaks    map[string]int
	signedIn string
}

// NewServer returns a Server that knows nobody yet.
func NewServer(o ServerOptions) (*Server, error) {
	if o.Now == nil || o.Wall == nil || o.ClientID == "" || o.ClientSecret == "" {
		return nil, errors.New("google: a server needs two clocks and a client with a secret")
	}
	if o.AccessTTL == 0 {
		o.AccessTTL = 3599 * time.Second
	}
	if o.Limit == 0 {
		o.Limit = 300
	}
	s := &Server{
		o: o, mux: http.NewServeMux(), byID: map[string]*Walker{}, codes: map[string]*code{},
		refresh: map[string]*grant{}, access: map[string]*access{}, counts: map[RequestCount]int{},
		recent: map[string][]int64{}, peaks: map[string]int{}, secrets: []string{o.ClientSecret},
	}
	s.mux.HandleFunc("GET /o/oauth2/v2/auth", s.consent)
	s.mux.HandleFunc("POST /o/oauth2/v2/auth", s.consent)
	s.mux.HandleFunc("POST /token", s.token)
	s.mux.HandleFunc("POST /revoke", s.revoke)
	s.mux.HandleFunc("GET /v4/users/{user}/dataTypes/{type}/dataPoints", s.api(readActivity, s.points))
	s.mux.HandleFunc("GET /v4/users/{user}/dataTypes/{type}/dataPoints:reconcile", s.api(readActivity, s.points))
	s.mux.HandleFunc("POST /v4/users/{user}/dataTypes/{type}/dataPoints:dailyRollUp", s.api(readActivity, s.dailyRollUp))
	s.mux.HandleFunc("GET /v4/users/{user}/settings", s.api(readSettings, s.settings))
	s.mux.HandleFunc("GET /v4/users/{user}/pairedDevices", s.api(readSettings, s.pairedDevices))
	s.mux.HandleFunc("GET /v4/users/{user}/identity", s.api("", s.identity))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		htmlPage(w, http.StatusNotFound, "Error 404 (Not Found)!!1", "404. That's an error. The requested URL was not found.")
	})
	return s, nil
}

// Add makes people known to the service. The first of all is who sits at the browser, see SignIn.
func (s *Server) Add(people ...*Walker) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range people {
		if s.byID[w.ID()] != nil {
			return fmt.Errorf("google: there are two people with the ID %s", w.ID())
		}
		s.byID[w.ID()] = w
		s.people = append(s.people, w)
	}
	if s.signedIn == "" && len(s.people) > 0 {
		s.signedIn = s.people[0].ID()
	}
	return nil
}

// SignIn says who sits at the browser: whom the next consent is of, unless the request has a login_hint with an ID.
func (s *Server) SignIn(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signedIn = person
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	person := s.personOf(r)
	a := &answer{header: http.Header{}}
	if strings.HasPrefix(r.URL.Path, "/v4/") && person != "" && !s.allow(person) {
		throttled(a, "")
		s.count(r, person, a.code())
		a.send(w)
		return
	}
	f, faulty := s.fault(r.URL.Path, person)
	if !faulty || !s.failed(a, r, f) {
		if faulty && f.Kind == FaultEmptyPage {
			r.Header.Set(emptyPageHeader, "1")
		} else {
			r.Header.Del(emptyPageHeader)
		}
		s.mux.ServeHTTP(a, r)
	}
	s.count(r, person, a.code())
	switch {
	case faulty && (f.Kind == FaultTruncated || f.Kind == FaultSlow || f.Kind == FaultDropped):
		lose(w, r, a, f)
	default:
		a.send(w)
	}
}

// emptyPageHeader carries FaultEmptyPage to the handler; clients cannot set it.
const emptyPageHeader = "X-Simulate-Empty-Page"

// A RequestCount is how many requests there were of a kind: "consent", "token", "revoke", "settings", "pairedDevices",
// "identity", "list steps", "reconcile steps", "dailyRollUp steps", the same for exercise, or "other".
type RequestCount struct {
	Person string // "" where nobody can be told
	Kind   string
	Status int // of the answer
	Count  int
}

// Requests returns the requests so far, by person, kind and status. A token request belongs to whom the token is of.
func (s *Server) Requests() []RequestCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]RequestCount, 0, len(s.counts))
	for k, n := range s.counts {
		k.Count = n
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b RequestCount) int {
		if c := strings.Compare(a.Person, b.Person); c != 0 {
			return c
		}
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return a.Status - b.Status
	})
	return out
}

// Peak returns the most API requests of a person in any 60 s of the wall clock, those included that were refused for
// their number.
func (s *Server) Peak(person string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peaks[person]
}

// Secrets returns all that must never be shown: the client secret, and every code, token and verifier so far.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.secrets)
}

func (s *Server) count(r *http.Request, person string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[RequestCount{Person: person, Kind: requestKind(r), Status: status}]++
}

func requestKind(r *http.Request) string {
	switch path := r.URL.Path; path {
	case "/token", "/revoke":
		return path[1:]
	case "/o/oauth2/v2/auth":
		return "consent"
	default:
		parts := strings.Split(strings.TrimPrefix(path, "/v4/users/"), "/")
		if strings.HasPrefix(path, "/v4/users/") && len(parts) == 2 {
			return parts[1]
		}
		if len(parts) == 4 && parts[1] == "dataTypes" {
			_, method, found := strings.Cut(parts[3], ":")
			if !found {
				method = "list"
			}
			return method + " " + parts[2]
		}
	}
	return "other"
}

// allow reports whether the limit lets an API request of a person through, and counts it.
func (s *Server) allow(person string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Wall().UnixMilli()
	q := s.recent[person]
	for len(q) > 0 && q[0] <= now-limitWindow.Milliseconds() {
		q = q[1:]
	}
	s.peaks[person] = max(s.peaks[person], len(q)+1)
	ok := s.o.Limit < 0 || len(q) < s.o.Limit
	if ok {
		q = append(q, now)
	}
	s.recent[person] = q
	return ok
}

// personOf returns whose a request is: as its token, code or refresh token says.
func (s *Server) personOf(r *http.Request) string {
	oauth := r.URL.Path == "/token" || r.URL.Path == "/revoke"
	if oauth {
		_ = r.ParseForm() // what is wrong with it is told by the handler
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.access[bearer(r)]; a != nil {
		return a.grant.person
	}
	if !oauth {
		return ""
	}
	if g := s.refresh[r.PostFormValue("refresh_token")]; g != nil {
		return g.person
	}
	if c := s.codes[r.PostFormValue("code")]; c != nil {
		return c.person
	}
	if g := s.grantOf(r.PostFormValue("token")); g != nil {
		return g.person
	}
	return ""
}

// secret returns a new one that begins with prefix. The caller holds mu.
func (s *Server) secret(prefix string) string {
	s.issued++
	sum := sha256.Sum256([]byte(strconv.FormatUint(s.o.Seed, 10) + s.o.ClientSecret + strconv.FormatInt(s.issued, 10)))
	text := prefix + base64.RawURLEncoding.EncodeToString(sum[:])
	s.secrets = append(s.secrets, text)
	return text
}

func htmlPage(w http.ResponseWriter, status int, title, text string) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<title>%s</title>\n<p>%s</p>\n</html>\n",
		html.EscapeString(title), html.EscapeString(text))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
