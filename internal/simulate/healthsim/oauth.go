package healthsim

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/simulate"
)

// serveConsent is the page where a person consents. It comes back to the redirect URL with a code, or a refusal.
func (s *Service) serveConsent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	o := s.o
	s.mu.Unlock()
	redirect, scopes := q.Get("redirect_uri"), strings.Fields(q.Get("scope"))
	switch {
	case q.Get("client_id") != o.ClientID:
		page(w, http.StatusUnauthorized, "Error 401: invalid_client. The OAuth client was not found.")
		return
	case !slices.Contains(o.RedirectURLs, redirect):
		page(w, http.StatusBadRequest, "Error 400: redirect_uri_mismatch")
		return
	case q.Get("response_type") != "code":
		page(w, http.StatusBadRequest, "Error 400: unsupported_response_type")
		return
	case q.Get("scope") == "":
		page(w, http.StatusBadRequest, "Error 400: invalid_request. Missing required parameter: scope")
		return
	case slices.ContainsFunc(scopes, func(s string) bool { return !strings.HasPrefix(s, scopePrefix) }):
		page(w, http.StatusBadRequest, "Error 400: invalid_scope")
		return
	case (q.Get("code_challenge") != "" || q.Get("code_challenge_method") != "") && q.Get("code_challenge_method") != "S256":
		page(w, http.StatusBadRequest, "Error 400: invalid_request. code_challenge_method has to be S256.")
		return
	}
	answer := url.Values{"state": {q.Get("state")}}
	person := o.Consent
	if person == "" {
		if r.Method == http.MethodGet {
			simulate.WriteConsent(w, "Google Health", q.Get("scope"), s.People())
			return
		}
		person = r.FormValue("person")
	}
	known := s.Person(person) != nil
	if o.Granted != nil {
		scopes = slices.DeleteFunc(scopes, func(s string) bool { return !slices.Contains(o.Granted, s) })
	}
	if known && len(scopes) > 0 && q.Get("include_granted_scopes") == "true" {
		scopes = s.withGranted(person, scopes)
	}
	if !known || len(scopes) == 0 || r.FormValue("refuse") != "" {
		answer.Set("error", "access_denied")
	} else {
		answer.Set("code", s.newCode(&code{
			person: person, redirect: redirect, challenge: q.Get("code_challenge"), scopes: scopes,
			expires: o.Wall().Add(codeLife), offline: q.Get("access_type") == "offline",
		}, q.Get("prompt") == "consent"))
		answer.Set("scope", strings.Join(scopes, " "))
	}
	simulate.Redirect(w, r, redirect, answer)
}

// withGranted returns scopes and those that a person has granted before.
func (s *Service) withGranted(person string, scopes []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var before []string
	for g := range s.grantsOf(person) {
		before = append(before, g.scopes...)
	}
	slices.Sort(before)
	for _, scope := range slices.Compact(before) {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// newCode gives out a code. Somebody who has consented before gets a refresh token only if they are asked anew.
func (s *Service) newCode(c *code, asked bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.grants {
		if g.person == c.person && !g.revoked && !asked {
			c.offline = false
		}
	}
	text := s.NewSecret("4/")
	s.codes[text] = c
	return text
}

func (s *Service) newGrant(person string, scopes []string) *grant {
	g := &grant{person: person, scopes: scopes}
	for before := range s.grantsOf(person) {
		g.lost = g.lost || before.lost
	}
	if s.o.GrantFor > 0 {
		g.ends = s.o.Wall().Add(s.o.GrantFor)
	}
	return g
}

func (s *Service) newRefresh(g *grant) string {
	text := s.NewSecret("1//")
	g.refresh = append(g.refresh, text)
	s.grants[text] = g
	return text
}

// settle makes a token that was used the only refresh token of g.
func (s *Service) settle(g *grant, token string) {
	for _, t := range g.refresh {
		if t != token {
			delete(s.grants, t)
		}
	}
	g.refresh = []string{token}
}

// An oauthProblem is why no token is given out.
type oauthProblem struct {
	status            int
	code, description string
}

// serveToken is the token endpoint.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "Bad Request")
		return
	}
	f := r.PostForm
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = f.Get("client_id"), f.Get("client_secret")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var (
		a       *access
		refresh string
		bad     *oauthProblem
	)
	switch {
	case id != s.o.ClientID:
		bad = &oauthProblem{http.StatusUnauthorized, "invalid_client", "The OAuth client was not found."}
	case secret == "":
		bad = &oauthProblem{http.StatusBadRequest, "invalid_request", "client_secret is missing."}
	case secret != s.o.ClientSecret:
		bad = &oauthProblem{http.StatusUnauthorized, "invalid_client", "The provided client secret is invalid."}
	case f.Get("grant_type") == "authorization_code":
		a, refresh, bad = s.exchange(f)
	case f.Get("grant_type") == "refresh_token":
		a, refresh, bad = s.renew(f.Get("refresh_token"))
	default:
		bad = &oauthProblem{http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: " + f.Get("grant_type")}
	}
	if bad != nil {
		oauthError(w, bad.status, bad.code, bad.description)
		return
	}
	now := s.o.Wall()
	if now.Sub(s.pruned) >= tokenLife {
		maps.DeleteFunc(s.access, func(_ string, a *access) bool { return !now.Before(a.expires) })
		s.pruned = now
	}
	g := a.grant
	a.person, a.scopes, a.expires = g.person, g.scopes, now.Add(tokenLife)
	text := s.NewSecret("ya29.")
	s.access[text] = a
	out := object{
		"access_token": text, "token_type": "Bearer", "expires_in": int(tokenLife / time.Second),
		"scope": strings.Join(g.scopes, " "),
	}
	if refresh != "" {
		out["refresh_token"] = refresh
	}
	if !g.ends.IsZero() {
		out["refresh_token_expires_in"] = int(g.ends.Sub(now) / time.Second)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, out)
}

// exchange takes a code.
func (s *Service) exchange(f url.Values) (*access, string, *oauthProblem) {
	invalidGrant := func(why string) (*access, string, *oauthProblem) {
		return nil, "", &oauthProblem{http.StatusBadRequest, "invalid_grant", why}
	}
	verifier := f.Get("code_verifier")
	if verifier != "" && !slices.Contains(s.Secrets(), verifier) {
		s.Keep(verifier)
	}
	c := s.codes[f.Get("code")]
	switch {
	case f.Get("code") == "":
		return nil, "", &oauthProblem{http.StatusBadRequest, "invalid_request", "Missing required parameter: code"}
	case c == nil:
		return invalidGrant("Malformed auth code.")
	case c.used || !s.o.Wall().Before(c.expires):
		return invalidGrant("Bad Request")
	case c.redirect != f.Get("redirect_uri"):
		return nil, "", &oauthProblem{http.StatusBadRequest, "redirect_uri_mismatch", "Bad Request"}
	case c.challenge != "" && verifier == "":
		return invalidGrant("Missing code verifier.")
	case verifier != "" && c.challenge != challengeOf(verifier):
		return invalidGrant("Invalid code verifier.")
	}
	c.used = true
	g := s.newGrant(c.person, c.scopes)
	if !c.offline {
		return &access{grant: g}, "", nil
	}
	return &access{grant: g}, s.newRefresh(g), nil
}

// renew takes a refresh token.
func (s *Service) renew(token string) (*access, string, *oauthProblem) {
	g := s.grants[token]
	switch {
	case token == "":
		return nil, "", &oauthProblem{http.StatusBadRequest, "invalid_request", "Missing required parameter: refresh_token"}
	case g == nil:
		return nil, "", &oauthProblem{http.StatusBadRequest, "invalid_grant", "Bad Request"}
	case g.revoked || !g.ends.IsZero() && !s.o.Wall().Before(g.ends):
		return nil, "", &oauthProblem{http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked."}
	case !s.o.Rotate:
		return &access{grant: g}, "", nil
	}
	if token != g.refresh[0] {
		s.settle(g, token)
	}
	next := s.newRefresh(g)
	return &access{grant: g, rotated: next}, next, nil
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// serveRevoke ends all that the person has granted whose token it is given: the application has one authorisation, however
// many tokens that has.
func (s *Service) serveRevoke(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[token]
	if a := s.access[token]; a != nil {
		g = a.grant
	}
	now := s.o.Wall()
	switch {
	case token == "":
		oauthError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: token")
	case g == nil, g.revoked, !g.ends.IsZero() && !now.Before(g.ends):
		oauthError(w, http.StatusBadRequest, "invalid_token", "Token expired or revoked")
	default:
		s.revoke(g.person)
		writeJSON(w, object{})
	}
}

// Revoke ends everything that a person has granted, as a person can in their Google account.
func (s *Service) Revoke(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoke(person)
}

func (s *Service) revoke(person string) {
	for g := range s.grantsOf(person) {
		g.revoked = true
	}
}
