package healthsim

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// serveConsent is the page where a person consents. It comes back to the redirect URL with a code, or a refusal.
func (s *Service) serveConsent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	o := s.o
	s.mu.Unlock()
	redirect := q.Get("redirect_uri")
	switch {
	case q.Get("client_id") != o.ClientID:
		page(w, http.StatusUnauthorized, "Error 401: invalid_client. The OAuth client was not found.")
		return
	case !slices.Contains(o.RedirectURLs, redirect):
		page(w, http.StatusBadRequest, "Error 400: redirect_uri_mismatch")
		return
	case q.Get("response_type") != "code" || q.Get("scope") == "":
		page(w, http.StatusBadRequest, "Error 400: invalid_request")
		return
	case q.Get("code_challenge") != "" && q.Get("code_challenge_method") != "S256":
		page(w, http.StatusBadRequest, "Error 400: invalid_request. code_challenge_method has to be S256.")
		return
	}
	answer := url.Values{"state": {q.Get("state")}}
	person := o.Consent
	if person == "" {
		if r.Method == http.MethodGet {
			s.consentPage(w, r)
			return
		}
		person = r.FormValue("person")
	}
	s.mu.Lock()
	_, known := s.people[person]
	s.mu.Unlock()
	if !known || r.FormValue("refuse") != "" {
		answer.Set("error", "access_denied")
	} else {
		scopes := strings.Fields(q.Get("scope"))
		if o.Granted != nil {
			scopes = slices.DeleteFunc(scopes, func(s string) bool { return !slices.Contains(o.Granted, s) })
		}
		s.mu.Lock()
		text := s.secret("4/")
		s.codes[text] = &code{person: person, redirect: redirect, challenge: q.Get("code_challenge"), scopes: scopes}
		s.mu.Unlock()
		answer.Set("code", text)
		answer.Set("scope", strings.Join(scopes, " "))
	}
	sep := "?"
	if strings.Contains(redirect, "?") {
		sep = "&"
	}
	http.Redirect(w, r, redirect+sep+answer.Encode(), http.StatusFound)
}

func (s *Service) consentPage(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var people strings.Builder
	for name := range s.people {
		fmt.Fprintf(&people, "<option>%s</option>", html.EscapeString(name))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><title>Simulated Google Health</title><h1>Simulated Google Health</h1>"+
		"<p>An application wants to read: %s</p><form method=\"post\"><select name=\"person\">%s</select> "+
		"<button>Allow</button> <button name=\"refuse\" value=\"1\">Refuse</button></form>\n",
		html.EscapeString(r.URL.Query().Get("scope")), people.String())
}

func (s *Service) newGrant(person string, scopes []string) *grant {
	g := &grant{person: person, scopes: scopes, current: s.secret("1//")}
	if s.o.GrantFor > 0 {
		g.ends = s.o.Wall().Add(s.o.GrantFor)
	}
	s.grants[g.current] = g
	return g
}

// serveToken is the token endpoint.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	s.count("", r)
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "Bad Request")
		return
	}
	f := r.PostForm
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Get("client_id") != s.o.ClientID || f.Get("client_secret") != s.o.ClientSecret {
		oauthError(w, http.StatusUnauthorized, "invalid_client", "The provided client secret is invalid.")
		return
	}
	now := s.o.Wall()
	var g *grant
	answer := map[string]any{}
	switch f.Get("grant_type") {
	case "authorization_code":
		c := s.codes[f.Get("code")]
		switch {
		case c == nil:
			oauthError(w, http.StatusBadRequest, "invalid_grant", "Malformed auth code.")
			return
		case c.used:
			oauthError(w, http.StatusBadRequest, "invalid_grant", "Bad Request")
			return
		case c.redirect != f.Get("redirect_uri"):
			oauthError(w, http.StatusBadRequest, "redirect_uri_mismatch", "Bad Request")
			return
		case c.challenge != "" && c.challenge != challengeOf(f.Get("code_verifier")):
			oauthError(w, http.StatusBadRequest, "invalid_grant", "Invalid code verifier.")
			return
		}
		c.used = true
		g = s.newGrant(c.person, c.scopes)
		answer["refresh_token"] = g.current
	case "refresh_token":
		g = s.grants[f.Get("refresh_token")]
		if g == nil || g.revoked || !g.ends.IsZero() && !now.Before(g.ends) {
			oauthError(w, http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
			return
		}
		if s.o.Rotate {
			if f.Get("refresh_token") == g.current {
				delete(s.grants, g.before)
			} else {
				delete(s.grants, g.current) // the answer before was lost
				g.current = f.Get("refresh_token")
			}
			g.before, g.current = g.current, s.secret("1//")
			s.grants[g.current] = g
			answer["refresh_token"] = g.current
		}
	default:
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+f.Get("grant_type"))
		return
	}
	text := s.secret("ya29.")
	s.access[text] = &access{person: g.person, scopes: g.scopes, expires: now.Add(tokenLife), grant: g}
	answer["access_token"], answer["token_type"] = text, "Bearer"
	answer["expires_in"] = int(tokenLife / time.Second)
	answer["scope"] = strings.Join(g.scopes, " ")
	if !g.ends.IsZero() {
		answer["refresh_token_expires_in"] = int(g.ends.Sub(now) / time.Second)
	}
	writeJSON(w, answer)
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// serveRevoke ends a grant.
func (s *Service) serveRevoke(w http.ResponseWriter, r *http.Request) {
	token := r.FormValue("token")
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[token]
	if a := s.access[token]; a != nil {
		g = a.grant
	}
	if g == nil || g.revoked {
		oauthError(w, http.StatusBadRequest, "invalid_token", "Token expired or revoked")
		return
	}
	g.revoked = true
	writeJSON(w, map[string]any{})
}

// Revoke ends everything that a person has granted, as a person can in their Google account.
func (s *Service) Revoke(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.grants {
		if g.person == person {
			g.revoked = true
		}
	}
}
