package ourasim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/simulate"
)

// alreadyUsed is why a refresh token is refused.
const alreadyUsed = "Token is already used or revoked"

func oauthError(w http.ResponseWriter, status int, code, text string) {
	simulate.WriteJSON(w, status, object{
		"status": status, "title": strings.ReplaceAll(code, "_", " "), "error": code, "error_description": text, "detail": text,
	})
}

// serveConsent is the page where a person consents. It comes back to the redirect URL with a code, or a refusal.
func (s *Service) serveConsent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	o := s.o
	s.mu.Unlock()
	redirect, scopes := q.Get("redirect_uri"), strings.Fields(q.Get("scope"))
	known := []string{"email", ScopePersonal, ScopeDaily, "heartrate", ScopeWorkout, "tag", "session", "spo2Daily"}
	bad := func(text string) { simulate.WritePage(w, http.StatusBadRequest, "Oura", text) }
	switch {
	case q.Get("client_id") != o.ClientID:
		bad("The application is unknown.")
		return
	case !slices.Contains(o.RedirectURLs, redirect):
		bad("The redirect URI does not match one of the application.")
		return
	}
	answer := url.Values{"state": {q.Get("state")}}
	person := o.Consent
	if person == "" && r.Method == http.MethodPost {
		person = r.FormValue("person")
	}
	if o.Granted != nil {
		scopes = slices.DeleteFunc(scopes, func(one string) bool { return !slices.Contains(o.Granted, one) })
	}
	switch {
	case q.Get("response_type") != "code":
		answer.Set("error", "unsupported_response_type")
	case slices.ContainsFunc(scopes, func(one string) bool { return !slices.Contains(known, one) }):
		answer.Set("error", "invalid_scope")
	case person == "" && r.Method == http.MethodGet:
		simulate.WriteConsent(w, "Oura", strings.Join(scopes, ", "), s.People())
		return
	case s.Person(person) == nil || r.FormValue("refuse") != "" || len(scopes) == 0:
		answer.Set("error", "access_denied")
	default:
		text := s.NewSecret("")
		s.mu.Lock()
		s.codes[text] = &code{person: person, redirect: redirect, scopes: scopes, issued: o.Wall()}
		s.mu.Unlock()
		answer.Set("code", text)
		answer.Set("scope", strings.Join(scopes, " "))
	}
	simulate.Redirect(w, r, redirect, answer)
}

// serveToken is the token endpoint.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "The request has no form.")
		return
	}
	f := r.PostForm
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = f.Get("client_id"), f.Get("client_secret")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != s.o.ClientID || secret != s.o.ClientSecret {
		oauthError(w, http.StatusUnauthorized, "invalid_client", "Client authentication failed")
		return
	}
	var g *grant
	switch f.Get("grant_type") {
	case "authorization_code":
		c := s.codes[f.Get("code")]
		switch {
		case c == nil || c.used || s.o.Wall().Sub(c.issued) > codeLife:
			oauthError(w, http.StatusBadRequest, "invalid_grant", "The authorization code is invalid, used or expired")
			return
		case c.redirect != f.Get("redirect_uri"):
			oauthError(w, http.StatusBadRequest, "invalid_grant", "The redirect_uri is not that of the authorization")
			return
		}
		c.used = true
		g = &grant{person: c.person, scopes: c.scopes}
	case "refresh_token":
		text := f.Get("refresh_token")
		if g = s.refresh[text]; g == nil || g.revoked || s.spent[text] {
			oauthError(w, http.StatusBadRequest, "invalid_grant", alreadyUsed)
			return
		}
		s.spent[text] = true
	default:
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "The grant_type is not supported")
		return
	}
	text := s.NewSecret("")
	s.access[text] = &access{grant: g, expires: s.o.Wall().Add(accessLife)}
	answer := object{
		"token_type": "bearer", "access_token": text, "expires_in": int(accessLife.Seconds()), "refresh_token": s.newRefresh(g),
	}
	if s.o.TellScopes {
		answer["scope"] = strings.Join(g.scopes, " ")
	}
	simulate.WriteJSON(w, http.StatusOK, answer)
}

func (s *Service) newRefresh(g *grant) string {
	text := s.NewSecret("")
	s.refresh[text] = g
	return text
}

// serveRevoke ends the consent of an access token.
func (s *Service) serveRevoke(w http.ResponseWriter, r *http.Request) {
	if r.Method != s.o.RevokeBy {
		w.Header().Set("Allow", s.o.RevokeBy)
		refuse(w, http.StatusMethodNotAllowed, "Method Not Allowed", "")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[r.URL.Query().Get("access_token")]
	if !s.good(a) {
		unauthorized(w)
		return
	}
	a.revoked = true
	simulate.WriteJSON(w, http.StatusOK, object{})
}

func (s *Service) good(a *access) bool {
	return a != nil && !a.revoked && s.o.Wall().Before(a.expires)
}

// Grant gives out a refresh token for a person as if they had consented, for tests that need no browser. Without scopes
// it is for all that matter.
func (s *Service) Grant(person string, scopes ...string) (token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(scopes) == 0 {
		scopes = []string{ScopeDaily, ScopeWorkout, ScopePersonal}
	}
	return s.newRefresh(&grant{person: person, scopes: scopes})
}

// Revoke ends everything that a person has granted, as a person can in their Oura account.
func (s *Service) Revoke(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.refresh {
		g.revoked = g.revoked || g.person == person
	}
	for _, a := range s.access {
		a.revoked = a.revoked || a.person == person
	}
}

// Granted reports whether a person has granted anything that still holds.
func (s *Service) Granted(person string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text, g := range s.refresh {
		if g.person == person && !g.revoked && !s.spent[text] {
			return true
		}
	}
	return false
}

// api guards a method: a token that holds, of somebody with a membership, for a scope if it is not "".
func (s *Service) api(
	scope string, serve func(http.ResponseWriter, *http.Request, *simulate.Person),
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		a, lapsed := s.access[simulate.Bearer(r)], s.lapsed
		good := s.good(a)
		s.mu.Unlock()
		switch {
		case !good:
			unauthorized(w)
		case s.o.Mute && (lapsed || scope != "" && !slices.Contains(a.scopes, scope)):
			refuse(w, http.StatusForbidden, "Forbidden", "")
		case lapsed:
			refuse(w, http.StatusForbidden, "Forbidden", lapsedText)
		case scope != "" && !slices.Contains(a.scopes, scope):
			refuse(w, http.StatusForbidden, "Forbidden", "Missing required scopes: "+scope)
		default:
			serve(w, r, s.Person(a.person))
		}
	}
}

// stamp writes a time as the API does: by the clock of a place, with its offset.
func stamp(t time.Time, offset time.Duration) string {
	return t.In(time.FixedZone("", int(offset.Seconds()))).Format("2006-01-02T15:04:05.000-07:00")
}
