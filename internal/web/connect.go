package web

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Connecting is how sources are connected.
type Connecting struct {
	// Sources are those that can be.
	Sources []Source
	// Begin begins to get a person's consent. The answer to it is taken for ten minutes.
	Begin func(ctx context.Context, person, source string) (Connection, error)
	// Finish takes the address to which the provider has sent the browser, or its query alone. It goes on without whoever
	// sent it, since the code in it is good once. Its errors are for the person, and hold no secrets.
	Finish func(ctx context.Context, redirected string) (Connected, error)
}

// A Source can be connected.
type Source struct {
	Person, Name string
	Service      string // the provider's name
}

// A Connection is an attempt to get a person's consent.
type Connection struct {
	URL      string // of the provider's page
	Redirect string // where the provider then sends the browser
	State    string
}

// A Connected tells of a consent that was given.
type Connected struct {
	Person, Source, Service string
	Notes                   []string // what else the person should know, in sentences
}

// CallbackPath is the path to which providers send browsers with their answers.
const CallbackPath = "/oauth/callback"

// attemptLife is how long an attempt is shown. It ends a moment before its answer is refused.
const attemptLife = 9 * time.Minute

// account is whose source it is, and which.
type account struct{ person, source string }

// An attempt was begun on a page.
type attempt struct {
	Connection
	at   time.Time // of its beginning, or of its end
	done *Connected
}

// connectPage is what the page shows that connects a source.
type connectPage struct {
	Source
	Problem  string // what went wrong; "" if nothing did
	URL      string // of the provider's page; "" if nothing is begun
	Redirect string // where that sends the browser
	Returns  bool   // the browser comes back here by itself
}

// connectPath returns the path of the page that connects a source.
func connectPath(person, source string) string {
	return "/connect/" + url.PathEscape(person) + "/" + url.PathEscape(source)
}

// source returns the source that a request names, and whether there is one. If not it has answered.
func (s *site) source(w http.ResponseWriter, r *http.Request) (Source, bool) {
	for _, one := range s.o.Connecting.Sources {
		if one.Person == r.PathValue("person") && one.Name == r.PathValue("source") {
			return one, true
		}
	}
	s.say(w, http.StatusNotFound, said{
		Title: "No such source",
		Text:  "There is no source of this name that can be connected. If it is new in the config, start walkd again.",
		Back:  true,
	})
	return Source{}, false
}

// serveConnect shows how far connecting a source has come.
func (s *site) serveConnect(w http.ResponseWriter, r *http.Request) {
	if one, ok := s.source(w, r); ok {
		s.showConnect(w, r, http.StatusOK, one, "")
	}
}

func (s *site) showConnect(w http.ResponseWriter, r *http.Request, status int, one Source, problem string) {
	p := connectPage{Source: one, Problem: problem}
	s.mu.Lock()
	at, ok := s.begun[account{one.Person, one.Name}]
	s.mu.Unlock()
	since := s.o.Now().Sub(at.at)
	switch {
	case !ok || since < 0 || since > attemptLife:
	case at.done != nil && problem == "":
		s.sayConnected(w, *at.done)
		return
	default:
		p.URL, p.Redirect, p.Returns = at.URL, at.Redirect, s.returns(r, at.Redirect)
	}
	s.render(w, status, "connect.html", p)
}

// returns reports whether a provider that redirects to an address sends this browser back here.
func (s *site) returns(r *http.Request, redirect string) bool {
	if s.o.BaseURL != "" && redirect == s.o.BaseURL+CallbackPath {
		return true
	}
	u, err := url.Parse(redirect)
	if err != nil || u.Path != CallbackPath {
		return false
	}
	here := url.URL{Host: r.Host}
	return u.Host == r.Host || loopback(u.Host) && loopback(r.Host) && u.Port() == here.Port()
}

// beginConnect begins to connect a source.
func (s *site) beginConnect(w http.ResponseWriter, r *http.Request) {
	one, ok := s.source(w, r)
	if !ok {
		return
	}
	if err := s.begin(r.Context(), one); err != nil {
		s.showConnect(w, r, http.StatusBadGateway, one, err.Error())
		return
	}
	http.Redirect(w, r, connectPath(one.Person, one.Name), http.StatusSeeOther)
}

func (s *site) begin(ctx context.Context, one Source) error {
	c, err := s.o.Connecting.Begin(ctx, one.Person, one.Name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[account{one.Person, one.Name}] = attempt{Connection: c, at: s.o.Now()}
	return nil
}

// answerConnect takes the address that a person has pasted.
func (s *site) answerConnect(w http.ResponseWriter, r *http.Request) {
	one, ok := s.source(w, r)
	if !ok {
		return
	}
	done, err := s.o.Connecting.Finish(r.Context(), r.PostFormValue("address"))
	if err == nil {
		s.end(done)
		http.Redirect(w, r, connectPath(done.Person, done.Source), http.StatusSeeOther)
		return
	}
	// The attempt may be used up by this. Another one does no harm: the answer to the one before is still taken.
	problem := err.Error()
	if err := s.begin(r.Context(), one); err != nil {
		problem += "; " + err.Error()
	}
	s.showConnect(w, r, http.StatusBadRequest, one, problem)
}

// serveCallback takes the answer of a provider. It changes something although it is a GET: that it was asked for is shown
// by the state that it brings.
func (s *site) serveCallback(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.RawQuery == "" {
		s.say(w, http.StatusBadRequest, said{
			Title: "Nothing to do here",
			Text:  "A service sends your browser here once you have consented to what walkd reads. It brings the answer with it.",
			Back:  true,
		})
		return
	}
	again := s.attemptOf(r.URL.Query().Get("state"))
	done, err := s.o.Connecting.Finish(r.Context(), "?"+r.URL.RawQuery)
	if err != nil {
		s.say(w, http.StatusBadRequest, said{Title: "Not connected", Text: err.Error(), Again: again, Back: true})
		return
	}
	s.end(done)
	s.sayConnected(w, done)
}

// attemptOf ends the showing of an attempt, since it has got an answer, and returns where another one is begun; "" if it
// was not begun on a page.
func (s *site) attemptOf(state string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, at := range s.begun {
		if at.State == state && state != "" {
			delete(s.begun, of)
			return connectPath(of.person, of.source)
		}
	}
	return ""
}

// end lets the page of a source say for a while that it is connected.
func (s *site) end(c Connected) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[account{c.Person, c.Source}] = attempt{done: &c, at: s.o.Now()}
}

func (s *site) sayConnected(w http.ResponseWriter, c Connected) {
	s.say(w, http.StatusOK, said{
		Title: c.Service + " is connected",
		Text:  "walkd reads it as " + c.Source + " of " + c.Person + " from now on: the last days first, then the history.",
		Notes: c.Notes, Back: true,
	})
}
