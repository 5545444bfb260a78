package polarsim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/walkd/walkd/internal/simulate"
)

// noConsents is what is wrong with people who have not accepted what Polar itself wants them to accept.
const noConsents = "User has not accepted all mandatory consents."

// serveConsent is the page where a person consents. It comes back to the redirect URL with a code, or a refusal.
func (s *Service) serveConsent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	o := s.o
	s.mu.Unlock()
	redirect := q.Get("redirect_uri")
	if redirect == "" && len(o.RedirectURLs) > 0 {
		redirect = o.RedirectURLs[0]
	}
	if q.Get("client_id") != o.ClientID || len(o.RedirectURLs) == 0 {
		simulate.WritePage(w, http.StatusBadRequest, "Polar", "Unknown client")
		return
	}
	registered := slices.Contains(o.RedirectURLs, redirect)
	if !registered {
		redirect = o.RedirectURLs[0] // errors go to the one by default
	}
	answer := url.Values{}
	if state := q.Get("state"); state != "" {
		answer.Set("state", state)
	}
	person := o.Consent
	if person == "" && r.Method == http.MethodPost {
		person = r.FormValue("person")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !registered:
		answer.Set("error", "invalid_request")
	case q.Get("response_type") != "code":
		answer.Set("error", "unsupported_response_type")
	case q.Get("scope") != "" && q.Get("scope") != Scope:
		answer.Set("error", "invalid_scope")
	case person == "" && r.Method == http.MethodGet:
		simulate.WriteConsent(w, "Polar Flow", "your data", s.People())
		return
	case s.Person(person) == nil || r.FormValue("refuse") != "":
		answer.Set("error", "access_denied")
	default:
		text := s.NewSecret("")
		s.codes[text] = &code{person: person, redirect: redirect, expires: o.Wall().Add(codeLife)}
		answer.Set("code", text)
	}
	simulate.Redirect(w, r, redirect, answer)
}

// serveToken is the token endpoint.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		oauthError(w, "invalid_request")
		return
	}
	f := r.PostForm
	id, secret, basic := r.BasicAuth() // nothing else is documented
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.codes[f.Get("code")]
	switch {
	case !basic || id != s.o.ClientID || secret != s.o.ClientSecret:
		oauthError(w, "invalid_client")
	case f.Get("grant_type") != "authorization_code":
		oauthError(w, "unsupported_grant_type")
	case f.Get("code") == "":
		oauthError(w, "invalid_request")
	case c != nil && c.used:
		for _, a := range c.tokens {
			a.revoked = true
		}
		oauthError(w, "invalid_grant")
	case c == nil, !s.o.Wall().Before(c.expires), f.Get("redirect_uri") != "" && f.Get("redirect_uri") != c.redirect:
		oauthError(w, "invalid_grant")
	default:
		text, a := s.newToken(c.person)
		c.used, c.tokens = true, []*access{a}
		writeJSON(w, object{
			"access_token": text, "token_type": "bearer", "expires_in": int(tokenLife.Seconds()), "x_user_id": userID(c.person),
		})
	}
}

// user guards a method: a token that holds.
func (s *Service) user(serve func(http.ResponseWriter, *http.Request, *simulate.Person)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var p *simulate.Person
		s.mu.Lock()
		if a := s.access[simulate.Bearer(r)]; a != nil && !a.revoked {
			p = s.Person(a.person)
		}
		missing := s.o.NoConsents
		s.mu.Unlock()
		switch {
		case p == nil:
			refuse(w, http.StatusUnauthorized, "Unauthorized.")
		case missing:
			refuse(w, http.StatusForbidden, noConsents)
		default:
			serve(w, r, p)
		}
	}
}

// registeredUser guards a method: a token that holds, of a user.
func (s *Service) registeredUser(serve func(http.ResponseWriter, *http.Request, *simulate.Person)) http.HandlerFunc {
	return s.user(func(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
		if !s.Registered(p.Name()) {
			refuse(w, http.StatusForbidden, "User is not registered.")
			return
		}
		serve(w, r, p)
	})
}

// serveRegister makes a person a user of the client.
func (s *Service) serveRegister(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	var body struct {
		Member string `json:"member-id"`
	}
	if r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(&body) != nil ||
		body.Member == "" {
		refuse(w, http.StatusBadRequest, "Invalid request.")
		return
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.registered[p.Name()]
	for _, u := range s.registered {
		known = known || u.member == body.Member
	}
	if known {
		refuse(w, http.StatusConflict, "User already registered to partner or duplicated member-id.")
		return
	}
	s.registered[p.Name()] = registration{body.Member, now}
	writeJSON(w, object{
		"polar-user-id": userID(p.Name()), "member-id": body.Member, "registration-date": instant(now),
		"first-name": p.Name(),
	})
}

// serveUser tells of a user, or ends that the person is one.
func (s *Service) serveUser(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	if r.PathValue("id") != strconv.Itoa(userID(p.Name())) {
		refuse(w, http.StatusForbidden, "Another user.")
		return
	}
	if r.Method == http.MethodDelete {
		s.Deregister(p.Name())
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.mu.Lock()
	u := s.registered[p.Name()]
	s.mu.Unlock()
	writeJSON(w, object{
		"polar-user-id": userID(p.Name()), "member-id": u.member, "registration-date": instant(u.since),
	})
}
