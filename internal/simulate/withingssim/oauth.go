package withingssim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
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
	if !s.asks(w, r, "requesttoken") {
		return
	}
	f := r.PostForm
	invalid := func(what string) { refuse(w, 503, "Invalid Params: invalid "+what, nil) }
	if f.Get("client_secret") != s.o.ClientSecret {
		invalid("client_secret")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Wall()
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
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[simulate.Bearer(r)]
	if a == nil || a.revoked || !s.o.Wall().Before(a.expires) || s.Person(a.person) == nil {
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

// asks guards what an application asks by itself, and reports whether it may.
func (s *Service) asks(w http.ResponseWriter, r *http.Request, action string) bool {
	if s.count("", r) {
		refuse(w, 601, "Too many requests", nil)
		return false
	}
	if wait := s.repeated("", r); wait > 0 {
		tooSoon(w, wait)
		return false
	}
	switch {
	case r.Method != http.MethodPost || r.PostForm.Get("action") != action:
		refuse(w, 2554, "Not implemented", nil)
	case r.PostForm.Get("client_id") != s.o.ClientID:
		refuse(w, 503, "Invalid Params: invalid client_id", nil)
	default:
		return true
	}
	return false
}

// signed reports whether a form is signed: by the values of some of its fields, in the order of the fields' names.
func (s *Service) signed(form url.Values, fields ...string) bool {
	slices.Sort(fields)
	var values []string
	for _, name := range fields {
		values = append(values, form.Get(name))
	}
	mac := hmac.New(sha256.New, []byte(s.o.ClientSecret))
	_, _ = mac.Write([]byte(strings.Join(values, ","))) // never fails
	got, err := hex.DecodeString(form.Get("signature"))
	return err == nil && hmac.Equal(mac.Sum(nil), got)
}

// serveNonce gives out a nonce.
func (s *Service) serveNonce(w http.ResponseWriter, r *http.Request) {
	if !s.asks(w, r, "getnonce") {
		return
	}
	if _, err := strconv.ParseInt(r.PostForm.Get("timestamp"), 10, 64); err != nil {
		refuse(w, 503, "Invalid Params: invalid timestamp", nil)
		return
	}
	if !s.signed(r.PostForm, "timestamp", "client_id", "action") {
		refuse(w, 503, "Invalid Params: invalid signature", nil)
		return
	}
	text := s.NewSecret("")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nonces[text] = s.o.Wall()
	writeJSON(w, object{"status": 0, "body": object{"nonce": text}})
}

// serveRevoke ends what a person has granted. A nonce is good once.
func (s *Service) serveRevoke(w http.ResponseWriter, r *http.Request) {
	if !s.asks(w, r, "revoke") {
		return
	}
	f := r.PostForm
	s.mu.Lock()
	issued, ok := s.nonces[f.Get("nonce")]
	delete(s.nonces, f.Get("nonce"))
	s.mu.Unlock()
	switch {
	case !ok || s.o.Wall().Sub(issued) > nonceLife:
		refuse(w, 503, "Invalid Params: invalid nonce", nil)
		return
	case !s.signed(f, "nonce", "client_id", "action"):
		refuse(w, 503, "Invalid Params: invalid signature", nil)
		return
	case s.o.NoRevoke:
		refuse(w, 2555, "Unauthorized", nil)
		return
	}
	for _, person := range s.granted() {
		if strconv.Itoa(userID(person)) == f.Get("userid") {
			s.Revoke(person)
			writeJSON(w, object{"status": 0, "body": object{}})
			return
		}
	}
	refuse(w, 503, "Invalid Params: invalid userid", nil)
}

// granted returns the people whose consent is in force.
func (s *Service) granted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, t := range s.refresh {
		if !t.revoked && s.o.Wall().Before(t.ends) {
			out = append(out, t.person)
		}
	}
	return out
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
