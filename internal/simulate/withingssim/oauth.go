package withingssim

import (
	"hash/fnv"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/simulate"
)

const badToken = "XRequestID: Not provided invalid_token: The access token provided is invalid"

// serveConsent is the page where a person consents. It comes back to the redirect URL with a code, or a refusal.
func (s *Service) serveConsent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	person := s.o.Consent
	s.mu.Unlock()
	redirect := q.Get("redirect_uri")
	scopes := strings.Split(q.Get("scope"), ",")
	known := []string{ScopeInfo, "user.metrics", ScopeActivity, "user.sleepevents"}
	switch {
	case q.Get("client_id") != s.o.ClientID:
		page(w, http.StatusBadRequest, "The client ID is unknown.")
		return
	case !slices.Contains(s.o.RedirectURLs, redirect):
		page(w, http.StatusBadRequest, "The redirect_uri is not that of the application.")
		return
	case q.Get("response_type") != "code" || q.Get("state") == "" ||
		slices.ContainsFunc(scopes, func(one string) bool { return !slices.Contains(known, one) }):
		page(w, http.StatusBadRequest, "Invalid params.")
		return
	}
	if person == "" {
		if r.Method != http.MethodPost {
			simulate.WriteConsent(w, "Withings", strings.Join(scopes, ", "), s.People())
			return
		}
		person = r.PostForm.Get("person")
	}
	answer := url.Values{"state": {q.Get("state")}}
	if s.Person(person) == nil || r.PostForm.Get("refuse") != "" {
		answer.Set("error", "access_denied")
	} else {
		if s.o.Granted != nil {
			scopes = slices.DeleteFunc(scopes, func(one string) bool { return !slices.Contains(s.o.Granted, one) })
		}
		text := s.NewSecret("")
		s.mu.Lock()
		s.codes[text] = &code{person: person, redirect: redirect, scopes: scopes, issued: s.o.Wall()}
		s.mu.Unlock()
		answer.Set("code", text)
	}
	simulate.Redirect(w, r, redirect, answer)
}

// serveToken is the token endpoint. All its refusals have the HTTP status 200.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	if s.count("", r) {
		refuse(w, 601, "Too many requests", nil)
		return
	}
	f := r.PostForm
	invalid := func(what string) { refuse(w, 503, "Invalid Params: invalid "+what, nil) }
	if wait := s.repeated("", r); wait > 0 {
		tooSoon(w, wait)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Wall()
	switch {
	case r.Method != http.MethodPost || f.Get("action") != "requesttoken":
		refuse(w, 2554, "Not implemented", nil)
		return
	case f.Get("client_id") != s.o.ClientID:
		invalid("client_id")
		return
	case f.Get("client_secret") != s.o.ClientSecret:
		invalid("client_secret")
		return
	}
	var (
		g  *grant
		id any
	)
	switch f.Get("grant_type") {
	case "authorization_code":
		c := s.codes[f.Get("code")]
		switch {
		case c == nil || c.used || now.Sub(c.issued) > codeLife:
			invalid("code")
			return
		case c.redirect != f.Get("redirect_uri"):
			invalid("redirect_uri")
			return
		}
		c.used = true
		g = &grant{person: c.person, scopes: c.scopes}
		id = strconv.Itoa(userID(c.person))
	case "refresh_token":
		old := s.refresh[f.Get("refresh_token")]
		if old == nil || old.revoked || !now.Before(old.ends) {
			invalid("refresh_token")
			return
		}
		g = old.grant
		if grace := now.Add(graceLife); grace.Before(old.ends) {
			old.ends = grace
		}
		id = userID(g.person)
	default:
		invalid("grant_type")
		return
	}
	token := &access{grant: g, expires: now.Add(accessLife), refresh: s.newRefresh(g)}
	text := s.NewSecret("")
	s.access[text] = token
	writeJSON(w, object{"status": 0, "body": object{
		"userid": id, "access_token": text, "refresh_token": token.refresh, "expires_in": int(accessLife / time.Second),
		"scope": strings.Join(g.scopes, ","), "csrf_token": s.NewSecret(""), "token_type": "Bearer",
	}})
}

func (s *Service) newRefresh(g *grant) string {
	text := s.NewSecret("")
	s.refresh[text] = &refresh{grant: g, ends: s.o.Wall().Add(refreshLife)}
	return text
}

func userID(person string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(person))
	return int(h.Sum32() >> 1)
}

// holder returns the grant of whoever asks with an access token, or nil. With the first use of the token all other
// refresh tokens of the grant end.
func (s *Service) holder(r *http.Request) *grant {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[text]
	if !ok || a == nil || a.revoked || !s.o.Wall().Before(a.expires) || s.Person(a.person) == nil {
		return nil
	}
	if !a.used {
		a.used = true
		for text, other := range s.refresh {
			if other.grant == a.grant && text != a.refresh {
				delete(s.refresh, text)
			}
		}
	}
	return a.grant
}

// Grant gives out a refresh token for a person as if they had consented, for tests that need no browser.
func (s *Service) Grant(person string, scopes ...string) (token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(scopes) == 0 {
		scopes = []string{ScopeInfo, ScopeActivity}
	}
	return s.newRefresh(&grant{person: person, scopes: scopes})
}

// Revoke ends everything that a person has granted, as a person can in their Withings account.
func (s *Service) Revoke(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.refresh {
		t.revoked = t.revoked || t.person == person
	}
	for _, a := range s.access {
		a.revoked = a.revoked || a.person == person
	}
}

func tooSoon(w http.ResponseWriter, wait time.Duration) {
	refuse(w, 601, "Same arguments in less than 10 seconds", object{"wait_seconds": int(math.Ceil(wait.Seconds()))})
}
