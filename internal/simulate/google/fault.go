package google

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A FaultKind is a way for a request to fail.
type FaultKind string

// The faults.
const (
	// FaultExpired ends the access token that came with the request, and answers 401.
	FaultExpired FaultKind = "expired"
	// FaultInvalidGrant refuses the token request as if the person had withdrawn their consent.
	FaultInvalidGrant FaultKind = "invalid_grant"
	FaultUnauthorized FaultKind = "401"
	FaultForbidden    FaultKind = "403"
	// FaultNotLinked answers 400: the person has no account with Google Health.
	FaultNotLinked FaultKind = "not linked"
	// FaultThrottled answers 429, with Retry-After if the Fault says one.
	FaultThrottled   FaultKind = "429"
	FaultInternal    FaultKind = "500"
	FaultUnavailable FaultKind = "503"
	// FaultPage answers 200 with a page of HTML, FaultBadGateway 502.
	FaultPage       FaultKind = "page"
	FaultBadGateway FaultKind = "502"
	// FaultTruncated, FaultSlow and FaultDropped do what is asked, and then lose the answer: its second half, in time
	// (the Fault's Delay passes before the second half), or all of it with the connection.
	FaultTruncated FaultKind = "truncated"
	FaultSlow      FaultKind = "slow"
	FaultDropped   FaultKind = "dropped"
	// FaultEmptyPage answers a first page without points, and a token for the next.
	FaultEmptyPage FaultKind = "empty page"
)

// A Fault is what goes wrong, and when.
type Fault struct {
	Kind FaultKind
	// Path is part of the path of the requests that fail. If it is empty, FaultInvalidGrant is for "/token" and all
	// others are for "/v4/".
	Path string
	// Person is the ID of whose requests fail; everybody's if empty. Token requests belong to the person who consented.
	Person string
	// Times is how many requests fail; zero: all until Heal.
	Times int
	// RetryAfter is the header of that name of FaultThrottled and FaultUnavailable; none if empty.
	RetryAfter string
	// Delay is how long FaultSlow waits on the wall clock, at most until the client goes away.
	Delay time.Duration
}

func (f *Fault) matches(path, person string) bool {
	part := f.Path
	switch {
	case part != "":
	case f.Kind == FaultInvalidGrant:
		part = "/token"
	default:
		part = "/v4/"
	}
	return strings.Contains(path, part) && (f.Person == "" || f.Person == person)
}

// Chaos are random faults, for soaks.
type Chaos struct {
	Probability float64     // of each request to fail, 0 to 1
	Kinds       []FaultKind // of which each is as likely
	Seed        uint64
	Delay       time.Duration // of FaultSlow
}

// Fail lets requests fail from now on. Faults are tried in the order in which they were added.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// FailAtRandom lets requests to the API and for tokens fail by chance from now on, where no other Fault matches. Faults
// that only one of the two knows do not happen to the other.
func (s *Server) FailAtRandom(c Chaos) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chaos = c
}

// Heal ends all faults, those by chance included.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.chaos = nil, Chaos{}
}

// fault returns what goes wrong with a request, if anything does.
func (s *Server) fault(path, person string) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !f.matches(path, person) {
			continue
		}
		hit := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return hit, true
	}
	c := s.chaos
	if len(c.Kinds) == 0 {
		return Fault{}, false
	}
	s.throws++
	if r := random(c.Seed, "", "fault", s.throws); float64(r>>11)/(1<<53) >= c.Probability {
		return Fault{}, false
	}
	f := Fault{Kind: c.Kinds[random(c.Seed, "", "kind", s.throws)%uint64(len(c.Kinds))], Delay: c.Delay}
	if path == "/token" && !tokenFault(f.Kind) || path != "/token" && f.Kind == FaultInvalidGrant {
		return Fault{}, false
	}
	return f, true
}

// tokenFault reports whether a fault can happen to a request for a token.
func tokenFault(k FaultKind) bool {
	switch k {
	case FaultExpired, FaultUnauthorized, FaultForbidden, FaultNotLinked, FaultEmptyPage:
		return false
	}
	return true
}

// failed answers a request as f does, and reports whether it did: if not, the answer is still to be made.
func (s *Server) failed(w http.ResponseWriter, r *http.Request, f Fault) bool {
	switch f.Kind {
	case FaultExpired:
		s.expire(bearer(r))
		unauthenticated(w, r)
	case FaultInvalidGrant:
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	case FaultUnauthorized:
		unauthenticated(w, r)
	case FaultForbidden:
		apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission")
	case FaultNotLinked:
		apiError(w, http.StatusBadRequest, "FAILED_PRECONDITION", "The account is not linked to Google Health.",
			errorInfo("ACCOUNT_NOT_LINKED", serviceDomain, map[string]string{
				"redirect_uri": "https://fitbit.google.com/auth/signup",
			}))
	case FaultThrottled:
		throttled(w, f.RetryAfter)
	case FaultInternal:
		apiError(w, http.StatusInternalServerError, "INTERNAL", "Internal error encountered.")
	case FaultUnavailable:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		apiError(w, http.StatusServiceUnavailable, "UNAVAILABLE", "The service is currently unavailable.")
	case FaultPage:
		htmlPage(w, http.StatusOK, "Sign in", "To continue, sign in to this network.")
	case FaultBadGateway:
		htmlPage(w, http.StatusBadGateway, "Error 502 (Server Error)!!1",
			"502. That's an error. Please try again in 30 seconds.")
	default:
		return false
	}
	return true
}

// lose sends what is left of an answer.
func lose(w http.ResponseWriter, r *http.Request, a *answer, f Fault) {
	body := a.body.Bytes()
	a.copyHeader(w)
	switch f.Kind {
	case FaultTruncated:
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(a.code())
		_, _ = w.Write(body[:len(body)/2])
	case FaultSlow:
		w.WriteHeader(a.code())
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		wait := time.NewTimer(f.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
			_, _ = w.Write(body[len(body)/2:])
		case <-r.Context().Done():
		}
	default:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil { // HTTP/2, or no real connection
			http.Error(w, "the connection cannot be dropped: "+err.Error(), http.StatusInternalServerError)
			return
		}
		_ = conn.Close()
	}
}

// An answer is one that is not sent yet.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *answer) WriteHeader(status int)      { a.status = status }

func (a *answer) code() int {
	if a.status == 0 {
		return http.StatusOK
	}
	return a.status
}

func (a *answer) copyHeader(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
}

func (a *answer) send(w http.ResponseWriter) {
	a.copyHeader(w)
	w.Header().Set("Content-Length", fmt.Sprint(a.body.Len()))
	w.WriteHeader(a.code())
	_, _ = w.Write(a.body.Bytes())
}
