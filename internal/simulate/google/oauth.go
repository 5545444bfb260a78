package google

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The scopes that the simulated methods want.
const (
	scopePrefix  = "https://www.googleapis.com/auth/googlehealth."
	readActivity = scopePrefix + "activity_and_fitness.readonly"
	readSettings = scopePrefix + "settings.readonly"
)

// codeTTL is the life of an authorization code.
const codeTTL = 10 * time.Minute

// A grant is what a person has consented to.
type grant struct {
	person  string
	scopes  []string
	ends    time.Time       // zero: never
	refresh map[string]bool // the refresh tokens that live: current, and those that nobody has used yet
	current string
}

// An access is an access token.
type access struct {
	grant   *grant
	expiry  time.Time
	rotated string // the refresh token that came with it and kills the ones before, when this is used
}

// A code is an authorization code.
type code struct {
	person, redirect, challenge string
	scopes                      []string
	expiry                      time.Time
	offline, used               bool
}

// consent is the page where a person consents, and what comes of it.
func (s *Server) consent(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		authError(w, http.StatusBadRequest, "invalid_request", "The request is malformed.")
		return
	}
	q := r.Form
	scopes := strings.Fields(q.Get("scope"))
	unknown := slices.ContainsFunc(scopes, func(scope string) bool {
		return !strings.HasPrefix(scope, scopePrefix) && !slices.Contains([]string{"openid", "email", "profile"}, scope)
	})
	switch method := q.Get("code_challenge_method"); {
	case q.Get("client_id") == "":
		authError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: client_id")
	case q.Get("client_id") != s.o.ClientID:
		authError(w, http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	case !slices.Contains(s.o.Redirects, q.Get("redirect_uri")):
		authError(w, http.StatusBadRequest, "redirect_uri_mismatch",
			"The redirect URI in the request does not match the ones authorized for the OAuth client.")
	case q.Get("response_type") != "code":
		authError(w, http.StatusBadRequest, "unsupported_response_type", "Invalid response_type: "+q.Get("response_type"))
	case len(scopes) == 0:
		authError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: scope")
	case unknown:
		authError(w, http.StatusBadRequest, "invalid_scope", "Some requested scopes were invalid.")
	case q.Get("code_challenge") == "" && method != "", q.Get("code_challenge") != "" && method != "S256":
		authError(w, http.StatusBadRequest, "invalid_request", "Invalid code_challenge_method: "+method)
	default:
		s.decide(w, r, scopes)
	}
}

// decide asks the person, or whoever answers in their place, and sends the browser back.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, scopes []string) {
	q := r.Form
	s.mu.Lock()
	person := cmp.Or(q.Get("login_hint"), s.signedIn)
	known := s.byID[person] != nil
	s.mu.Unlock()
	var granted []string
	switch {
	case !known:
		authError(w, http.StatusBadRequest, "invalid_request", "There is no such account.")
		return
	case r.Method == http.MethodPost:
		if q.Get("answer") == "allow" {
			granted = slices.DeleteFunc(q["grant"], func(g string) bool { return !slices.Contains(scopes, g) })
		}
	case s.o.Approve == nil:
		consentPage(w, q, person, scopes)
		return
	default:
		granted = s.o.Approve(person, slices.Clone(scopes))
	}
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		authError(w, http.StatusBadRequest, "invalid_request", "Invalid redirect_uri")
		return
	}
	answer := back.Query()
	if state := q.Get("state"); state != "" {
		answer.Set("state", state)
	}
	if len(granted) == 0 {
		answer.Set("error", "access_denied")
	} else {
		answer.Set("code", s.newCode(&code{
			person: person, redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), scopes: granted,
			offline: q.Get("access_type") == "offline", expiry: s.o.Wall().Add(codeTTL),
		}, q.Get("prompt")))
		answer.Set("scope", strings.Join(granted, " "))
	}
	back.RawQuery = answer.Encode()
	w.Header().Set("Location", back.String())
	w.WriteHeader(http.StatusFound)
}

// newCode issues c. Without a prompt for consent, only the first consent of a person brings a refresh token.
func (s *Server) newCode(c *code, prompt string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.refresh {
		if g.person == c.person && prompt != "consent" {
			c.offline = false
		}
	}
	text := s.secret("4/0A")
	s.codes[text] = c
	return text
}

func consentPage(w http.ResponseWriter, q url.Values, person string, scopes []string) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Simulated consent</title>\n"+
		"<h1>Simulated Google Health</h1>\n<p>An app wants to see data of %s.</p>\n<form method=post>\n",
		html.EscapeString(person))
	for _, name := range []string{
		"client_id", "redirect_uri", "response_type", "scope", "state", "access_type", "prompt", "code_challenge",
		"code_challenge_method",
	} {
		if v := q.Get(name); v != "" {
			fmt.Fprintf(w, "<input type=hidden name=%s value=\"%s\">\n", name, html.EscapeString(v))
		}
	}
	fmt.Fprintf(w, "<input type=hidden name=login_hint value=\"%s\">\n", html.EscapeString(person))
	for _, scope := range scopes {
		text := html.EscapeString(scope)
		fmt.Fprintf(w, "<p><label><input type=checkbox name=grant value=\"%s\" checked> %s</label>\n", text, text)
	}
	fmt.Fprint(w, "<p><button name=answer value=allow>Allow</button>\n"+
		"<button name=answer value=refuse>Refuse</button>\n</form>\n")
}

// token exchanges a code, or refreshes.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "Bad Request")
		return
	}
	q := r.PostForm
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = q.Get("client_id"), q.Get("client_secret")
	}
	switch {
	case id != s.o.ClientID:
		oauthError(w, http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	case secret == "":
		oauthError(w, http.StatusBadRequest, "invalid_request", "client_secret is missing.")
	case subtle.ConstantTimeCompare([]byte(secret), []byte(s.o.ClientSecret)) == 0:
		oauthError(w, http.StatusUnauthorized, "invalid_client", "The provided client secret is invalid.")
	case q.Get("grant_type") == "authorization_code":
		s.exchange(w, q)
	case q.Get("grant_type") == "refresh_token":
		s.renew(w, q.Get("refresh_token"))
	default:
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+q.Get("grant_type"))
	}
}

func (s *Server) exchange(w http.ResponseWriter, q url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Wall()
	verifier := q.Get("code_verifier")
	if verifier != "" && !slices.Contains(s.secrets, verifier) {
		s.secrets = append(s.secrets, verifier)
	}
	sum := sha256.Sum256([]byte(verifier))
	c := s.codes[q.Get("code")]
	switch {
	case q.Get("code") == "":
		oauthError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: code")
	case c == nil:
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Malformed auth code.")
	case c.used || !now.Before(c.expiry):
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Bad Request")
	case c.redirect != q.Get("redirect_uri"):
		oauthError(w, http.StatusBadRequest, "redirect_uri_mismatch", "Bad Request")
	case c.challenge != "" && verifier == "":
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Missing code verifier.")
	case c.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) && (c.challenge != "" || verifier != ""):
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Invalid code verifier.")
	default:
		c.used = true
		g := &grant{person: c.person, scopes: c.scopes, refresh: map[string]bool{}}
		if s.o.GrantTTL > 0 {
			g.ends = now.Add(s.o.GrantTTL)
		}
		refresh := ""
		if c.offline {
			refresh = s.newRefresh(g)
		}
		s.grantAccess(w, g, refresh, "")
	}
}

func (s *Server) renew(w http.ResponseWriter, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.refresh[token]
	switch {
	case token == "":
		oauthError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: refresh_token")
	case g == nil:
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Bad Request")
	case !g.ends.IsZero() && !s.o.Wall().Before(g.ends):
		s.end(g)
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	case s.o.Rotate:
		if token != g.current {
			s.settle(g, token)
		}
		next := s.newRefresh(g)
		s.grantAccess(w, g, next, next)
	default:
		s.grantAccess(w, g, "", "")
	}
}

// settle makes token the only refresh token of g: it has been used. The caller holds mu.
func (s *Server) settle(g *grant, token string) {
	g.current = token
	for t := range g.refresh {
		if t != token {
			delete(g.refresh, t)
			delete(s.refresh, t)
		}
	}
}

// newRefresh issues a refresh token of g. The caller holds mu.
func (s *Server) newRefresh(g *grant) string {
	t := s.secret("1//0")
	g.refresh[t], s.refresh[t] = true, g
	g.current = cmp.Or(g.current, t)
	return t
}

// grantAccess answers with a new access token of g. The caller holds mu.
func (s *Server) grantAccess(w http.ResponseWriter, g *grant, refresh, rotated string) {
	now := s.o.Wall()
	if !now.Before(s.prune) {
		for t, a := range s.access {
			if !now.Before(a.expiry) {
				delete(s.access, t)
			}
		}
		s.prune = now.Add(s.o.AccessTTL)
	}
	t := s.secret("ya29.a0")
	s.access[t] = &access{grant: g, expiry: now.Add(s.o.AccessTTL), rotated: rotated}
	out := map[string]any{
		"access_token": t, "expires_in": int(s.o.AccessTTL.Seconds()), "scope": strings.Join(g.scopes, " "),
		"token_type": "Bearer",
	}
	if refresh != "" {
		out["refresh_token"] = refresh
	}
	if !g.ends.IsZero() {
		out["refresh_token_expires_in"] = int(g.ends.Sub(now).Seconds())
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, out)
}

// revoke ends the grant that a token belongs to.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grantOf(r.PostFormValue("token"))
	if g == nil {
		oauthError(w, http.StatusBadRequest, "invalid_token", "Token expired or revoked")
		return
	}
	s.end(g)
	writeJSON(w, http.StatusOK, map[string]any{})
}

// grantOf returns the grant of an access or refresh token, nil if there is none. The caller holds mu.
func (s *Server) grantOf(token string) *grant {
	if g := s.refresh[token]; g != nil {
		return g
	}
	if a := s.access[token]; a != nil {
		return a.grant
	}
	return nil
}

// end kills all tokens of g. The caller holds mu.
func (s *Server) end(g *grant) {
	s.settle(g, "")
	for t, a := range s.access {
		if a.grant == g {
			delete(s.access, t)
		}
	}
}

// Withdraw ends all that a person has consented to, as they could do in their account: every refresh is refused.
func (s *Server) Withdraw(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.refresh {
		if g.person == person {
			s.end(g)
		}
	}
	for t, a := range s.access {
		if a.grant.person == person {
			delete(s.access, t)
		}
	}
}

// ExpireTokens ends all access tokens. They can be renewed.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.access)
}

func (s *Server) expire(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.access, token)
}

// Grant consents for a person without a browser, to both scopes that the simulated methods want, and returns the
// tokens. An ID that nobody has is an error.
func (s *Server) Grant(person string) (accessToken, refreshToken string, expiry time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[person] == nil {
		return "", "", time.Time{}, fmt.Errorf("google: there is nobody with the ID %s", person)
	}
	g := &grant{person: person, scopes: []string{readActivity, readSettings}, refresh: map[string]bool{}}
	now := s.o.Wall()
	if s.o.GrantTTL > 0 {
		g.ends = now.Add(s.o.GrantTTL)
	}
	refreshToken = s.newRefresh(g)
	accessToken = s.secret("ya29.a0")
	expiry = now.Add(s.o.AccessTTL)
	s.access[accessToken] = &access{grant: g, expiry: expiry}
	return accessToken, refreshToken, expiry, nil
}

// authenticate returns who asks and what they may; nil if the token is not good.
func (s *Server) authenticate(token string) (*Walker, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[token]
	if a == nil || !s.o.Wall().Before(a.expiry) {
		return nil, nil
	}
	if a.rotated != "" {
		if s.refresh[a.rotated] == a.grant { // not when a later one has taken its place
			s.settle(a.grant, a.rotated)
		}
		a.rotated = ""
	}
	return s.byID[a.grant.person], a.grant.scopes
}

func bearer(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return token
}

// oauthError answers as RFC 6749, section 5.2, wants it.
func oauthError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}

// authError shows the person a page: a request that is wrong in these ways is not sent back to where it says.
func authError(w http.ResponseWriter, status int, code, text string) {
	htmlPage(w, status, fmt.Sprintf("Error %d: %s", status, code), text)
}
