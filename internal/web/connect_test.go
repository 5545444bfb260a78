package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/web"
)

// A provider is what stands behind the pages that connect.
type provider struct {
	redirect string
	begun    []string // person/source
	finished []string // what was given to Finish
	refuse   error    // what Begin says
	fail     error    // what Finish says
}

const consentURL = "https://accounts.example.org/auth?state=S1&scope=a+b"

func (p *provider) connecting() *web.Connecting {
	return &web.Connecting{
		Sources: []web.Source{
			{Person: "alex <b>", Name: "watch", Service: "Google Health"},
			{Person: "alex <b>", Name: "ring", Service: "Ring & Co"},
			{Person: "Zoë O'Neil", Name: "watch", Service: "Google Health"},
		},
		Begin: func(_ context.Context, person, source string) (web.Connection, error) {
			p.begun = append(p.begun, person+"/"+source)
			return web.Connection{URL: consentURL, Redirect: p.redirect, State: "S1"}, p.refuse
		},
		Finish: func(_ context.Context, redirected string) (web.Connected, error) {
			p.finished = append(p.finished, redirected)
			return web.Connected{
				Person: "alex <b>", Source: "watch", Service: "Google Health", Notes: []string{"This consent ends on Monday"},
			}, p.fail
		},
	}
}

// newConnectSite returns a site whose pages ask for a password, and the cookie of a login.
func newConnectSite(t *testing.T, p *provider, change func(*web.Options)) (s *site, cookie string) {
	t.Helper()
	if p.redirect == "" {
		p.redirect = "http://localhost:8098/oauth/callback"
	}
	s = newSite(t, func(o *web.Options) {
		withPassword(o)
		o.Connecting = p.connecting()
		if change != nil {
			change(o)
		}
	})
	return s, s.login("")
}

const watchPage = "/connect/alex%20%3Cb%3E/watch"

// has looks for texts in an answer with a status.
func has(t *testing.T, w *httptest.ResponseRecorder, status int, texts ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("%d, want %d: %s", w.Code, status, w.Body)
	}
	for _, text := range texts {
		not := strings.HasPrefix(text, "not:")
		if strings.Contains(w.Body.String(), strings.TrimPrefix(text, "not:")) == not {
			t.Errorf("want %q in\n%s", text, w.Body)
		}
	}
}

func TestConnectByPaste(t *testing.T) {
	p := &provider{}
	s, cookie := newConnectSite(t, p, nil)
	has(t, s.do(request{path: watchPage, cookie: cookie}), http.StatusOK, "Connect Google Health", "Begin</button>", "not:accounts.example.org")
	w := s.do(request{method: http.MethodPost, path: watchPage, cookie: cookie})
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != watchPage {
		t.Fatalf("%d, to %s", w.Code, to)
	}
	w = s.do(request{path: watchPage, cookie: cookie})
	has(t, w, http.StatusOK,
		`<a class="button" href="https://accounts.example.org/auth?state=S1&amp;scope=a&#43;b" rel="noopener noreferrer" target="_blank">`,
		"begins with <code>http://localhost:8098/oauth/callback</code>", `action="`+watchPage+`/answer"`)
	for header, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; " +
			"form-action 'self'; frame-ancestors 'none'",
	} {
		if got := w.Header().Get(header); got != want {
			t.Errorf("%s: %s, want %s", header, got, want)
		}
	}
	if text := w.Body.String(); strings.Contains(text, "<script") || strings.Contains(text, "style=") {
		t.Errorf("the policy forbids what the page holds inline: %s", text)
	}

	// Garbage, which may hold anything, is not shown again, and another attempt is begun.
	const garbage = `"><script>alert(1)</script>`
	p.fail = errors.New("the address holds <i>no</i> state: paste all of it")
	w = s.do(request{method: http.MethodPost, path: watchPage + "/answer", cookie: cookie, form: url.Values{"address": {garbage}}})
	has(t, w, http.StatusBadRequest, "The address holds &lt;i&gt;no&lt;/i&gt; state: paste all of it.", "accounts.example.org", "not:alert(1)")
	p.fail = nil
	const answer = "http://localhost:8098/oauth/callback?state=S1&code=4/abc"
	w = s.do(request{method: http.MethodPost, path: watchPage + "/answer", cookie: cookie, form: url.Values{"address": {answer}}})
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != watchPage {
		t.Fatalf("%d, to %s", w.Code, to)
	}
	for range 2 {
		has(t, s.do(request{path: watchPage, cookie: cookie}), http.StatusOK, "<h1>Google Health is connected</h1>",
			"watch of alex &lt;b&gt;", "This consent ends on Monday.", "not:accounts.example.org", "not:4/abc")
	}
	s.wait(10 * time.Minute)
	has(t, s.do(request{path: watchPage, cookie: cookie}), http.StatusOK, "Begin</button>")
	if diff := cmp.Diff([]string{"alex <b>/watch", "alex <b>/watch"}, p.begun); diff != "" {
		t.Errorf("begun (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{garbage, answer}, p.finished); diff != "" {
		t.Errorf("finished (-want +got):\n%s", diff)
	}
}

func TestConnectMistakes(t *testing.T) {
	p := &provider{refuse: errors.New("pull: start walkd again")}
	s, cookie := newConnectSite(t, p, nil)
	has(t, s.do(request{method: http.MethodPost, path: watchPage, cookie: cookie}), http.StatusBadGateway,
		"Pull: start walkd again.", "Begin</button>", "not:accounts.example.org")
	p.fail = errors.New("the code was used already")
	has(t, s.do(request{method: http.MethodPost, path: watchPage + "/answer", cookie: cookie}), http.StatusBadRequest,
		"The code was used already; pull: start walkd again.", "Begin</button>")
	for _, path := range []string{"/connect/alex/watch", "/connect/alex%20%3Cb%3E/phone"} {
		for _, q := range []request{{path: path}, {method: http.MethodPost, path: path}, {method: http.MethodPost, path: path + "/answer"}} {
			q.cookie = cookie
			has(t, s.do(q), http.StatusNotFound, "There is no source of this name that can be connected.")
		}
	}
	p.refuse = nil
	w := s.do(request{method: http.MethodPost, path: "/connect/Zo%C3%AB%20O'Neil/watch", cookie: cookie})
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/connect/Zo%C3%AB%20O%27Neil/watch" {
		t.Errorf("%d, to %s", w.Code, to)
	}
	has(t, s.do(request{path: "/connect/Zo%C3%AB%20O%27Neil/watch", cookie: cookie}), http.StatusOK, "accounts.example.org")
	has(t, s.do(request{path: watchPage, cookie: cookie}), http.StatusOK, "not:accounts.example.org") // that is not begun
	s.wait(9*time.Minute + time.Second)
	has(t, s.do(request{path: "/connect/Zo%C3%AB%20O%27Neil/watch", cookie: cookie}), http.StatusOK, "not:accounts.example.org")
	s = newSite(t, withPassword) // nothing can be connected
	cookie = s.login("")
	for _, path := range []string{watchPage, web.CallbackPath + "?state=S1&code=x"} {
		has(t, s.do(request{path: path, cookie: cookie}), http.StatusNotFound)
	}
}

// TestReturns looks at which browsers come back by themselves: those get no new tab, and need not paste.
func TestReturns(t *testing.T) {
	for _, tt := range []struct {
		redirect, base, host string
		want                 bool
	}{
		{"http://localhost:8099/oauth/callback", "", "localhost:8099", true},
		{"http://localhost:8099/oauth/callback", "", "127.0.0.1:8099", true},
		{"http://[::1]:8099/oauth/callback", "", "localhost:8099", true},
		{"http://localhost:8099/oauth/callback", "", "192.168.1.5:8099", false},
		{"http://localhost:8098/oauth/callback", "", "localhost:8099", false},
		{"http://localhost:8099/callback", "", "localhost:8099", false},
		{"https://walkd.example/oauth/callback", "https://walkd.example", "127.0.0.1:8099", true},
		{"https://walkd.example/oauth/callback", "", "walkd.example", true},
		{"https://walkd.example/oauth/callback", "", "walkd.lan", false},
		{"https://walkd.example/other", "https://walkd.example", "walkd.example", false},
	} {
		p := &provider{redirect: tt.redirect}
		s := newSite(t, func(o *web.Options) {
			o.BaseURL, o.Access, o.Connecting = tt.base, web.Access{Proxies: proxies}, p.connecting()
		})
		from := request{path: watchPage, host: tt.host, from: "10.0.0.1:1", header: http.Header{"Remote-User": {"alex"}}}
		post := from
		post.method = http.MethodPost
		s.do(post)
		w := s.do(from)
		if tt.want {
			has(t, w, http.StatusOK, "comes back here by itself", "not:target=", "<summary>")
		} else {
			has(t, w, http.StatusOK, "not:comes back here by itself", `target="_blank"`, "not:<summary>")
		}
	}
}

// TestCallback has a provider send browsers back, which have no session then.
func TestCallback(t *testing.T) {
	p := &provider{redirect: "http://localhost:8099/oauth/callback"}
	s, cookie := newConnectSite(t, p, nil)
	begin := func() {
		t.Helper()
		s.do(request{method: http.MethodPost, path: watchPage, cookie: cookie})
		has(t, s.do(request{path: watchPage, cookie: cookie}), http.StatusOK, "accounts.example.org")
	}
	has(t, s.do(request{path: web.CallbackPath}), http.StatusBadRequest, "Nothing to do here")
	if w := s.do(request{method: http.MethodHead, path: web.CallbackPath + "?state=S1&code=x"}); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: %d", w.Code)
	}
	if w := s.do(request{method: http.MethodPost, path: web.CallbackPath + "?state=S1&code=x"}); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	if len(p.finished) != 0 {
		t.Fatalf("finished with %q", p.finished)
	}
	for _, from := range []string{"http://localhost:8099", "walkd.lan"} {
		begin()
		w := s.do(request{
			path: web.CallbackPath + "?state=S1&code=4%2Fabc", host: strings.TrimPrefix(from, "http://"),
			header: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Referer": {"https://accounts.example.org/"}},
		})
		has(t, w, http.StatusOK, "<h1>Google Health is connected</h1>", "This consent ends on Monday.", `<a href="/">`, "not:4%2Fabc", "not:Try again")
		if w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("Cache-Control") != "no-store" ||
			!strings.Contains(w.Header().Get("Content-Security-Policy"), "form-action 'none'") || len(w.Result().Cookies()) != 0 {
			t.Errorf("headers: %v", w.Header())
		}
		has(t, s.do(request{path: watchPage, cookie: cookie}), http.StatusOK, "<h1>Google Health is connected</h1>")
	}
	if diff := cmp.Diff([]string{"?state=S1&code=4%2Fabc", "?state=S1&code=4%2Fabc"}, p.finished); diff != "" {
		t.Errorf("finished (-want +got):\n%s", diff)
	}
	p.fail = errors.New("you refused <Google> the consent")
	begin()
	w := s.do(request{path: web.CallbackPath + "?state=S1&error=%3Cscript%3Ealert(1)%3C/script%3E&error_description=%22%3E%3Cscript%3E"})
	has(t, w, http.StatusBadRequest, "<h1>Not connected</h1>", "You refused &lt;Google&gt; the consent.", "not:<script", "not:alert",
		`<a class="button" href="`+watchPage+`">Try again</a>`)
	has(t, s.do(request{path: watchPage, cookie: cookie}), http.StatusOK, "Begin</button>", "not:accounts.example.org") // used up
	for _, query := range []string{"?state=S2&code=x", "?state=&code=x", "?code=x", "?%zz", "?state=S1&code=x"} {
		has(t, s.do(request{path: web.CallbackPath + query}), http.StatusBadRequest, "<h1>Not connected</h1>", "not:Try again")
	}
}

// A form of another site does nothing, whatever the browser knows.
func TestCrossOrigin(t *testing.T) {
	p := &provider{}
	s, cookie := newConnectSite(t, p, func(o *web.Options) { o.BaseURL = "https://walkd.example" })
	posts := []string{"/login", "/logout", watchPage, watchPage + "/answer"}
	for _, path := range posts {
		for name, header := range map[string]http.Header{
			"cross-site":             {"Sec-Fetch-Site": {"cross-site"}},
			"a port of this host":    {"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://walkd.lan:3000"}},
			"without Sec-Fetch":      {"Origin": {"http://evil.example"}},
			"from a file":            {"Origin": {"null"}},
			"the name with a suffix": {"Origin": {"https://walkd.example.evil.example"}},
		} {
			w := s.do(request{method: http.MethodPost, path: path, cookie: cookie, header: header, form: url.Values{"password": {password}}})
			if w.Code != http.StatusForbidden || len(w.Result().Cookies()) != 0 || !strings.Contains(w.Body.String(), "came from another site") {
				t.Errorf("%s, %s: %d %s", path, name, w.Code, w.Body)
			}
		}
	}
	if len(p.begun)+len(p.finished) != 0 {
		t.Errorf("begun %q, finished %q", p.begun, p.finished)
	}
	if !sees(s.do(request{path: "/", cookie: cookie})) {
		t.Error("another site has logged us out")
	}
	for name, header := range map[string]http.Header{
		"same origin": {"Sec-Fetch-Site": {"same-origin"}}, "typed": {"Sec-Fetch-Site": {"none"}},
		"without Sec-Fetch": {"Origin": {"http://walkd.lan:8099"}}, "the base URL, by a proxy that hides it": {"Origin": {"https://walkd.example"}},
		"no browser": {},
	} {
		w := s.do(request{method: http.MethodPost, path: watchPage, cookie: cookie, header: header})
		if w.Code != http.StatusSeeOther {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// Without a password the pages that connect are for this machine, too. The callback is protected by the state alone.
func TestConnectIsForThisMachine(t *testing.T) {
	p := &provider{redirect: "http://localhost:8099/oauth/callback"}
	s := newSite(t, func(o *web.Options) { o.Connecting = p.connecting() })
	for _, q := range []request{
		{path: watchPage},
		{method: http.MethodPost, path: watchPage},
		{method: http.MethodPost, path: watchPage + "/answer", form: url.Values{"address": {"?state=S1"}}},
		{method: http.MethodPost, path: watchPage, from: "127.0.0.1:1", host: "evil.example:8099"},
		{method: http.MethodPost, path: watchPage, from: "127.0.0.1:1", host: "localhost", header: http.Header{"Forwarded": {"for=1.2.3.4"}}},
	} {
		has(t, s.do(q), http.StatusForbidden, "on 127.0.0.1 and localhost only", "not:accounts.example.org")
	}
	if len(p.begun)+len(p.finished) != 0 {
		t.Errorf("begun %q, finished %q", p.begun, p.finished)
	}
	here := request{method: http.MethodPost, path: watchPage, from: "127.0.0.1:1", host: "localhost:8099"}
	if w := s.do(here); w.Code != http.StatusSeeOther {
		t.Errorf("on this machine: %d", w.Code)
	}
	has(t, s.do(request{path: web.CallbackPath + "?state=S1&code=x"}), http.StatusOK, "is connected")
}

// No GET but that of the callback changes anything.
func TestGetsChangeNothing(t *testing.T) {
	p := &provider{}
	s, cookie := newConnectSite(t, p, nil)
	for _, path := range []string{"/", "/login", "/logout", watchPage, watchPage + "/answer?address=x", "/healthz", "/style.css", web.CallbackPath} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			s.do(request{method: method, path: path, cookie: cookie})
		}
	}
	if len(p.begun)+len(p.finished) != 0 || !sees(s.do(request{path: "/", cookie: cookie})) {
		t.Errorf("begun %q, finished %q", p.begun, p.finished)
	}
}

// TestBanners looks at what the status page says of consents.
func TestBanners(t *testing.T) {
	p := status(t).People[0]
	one := web.SourceStatus{
		Name: "watch", Service: "Google Health", Phase: "ok", Text: "the client is refused", Remedy: "check `client_id`",
	}
	for _, tt := range []struct {
		name    string
		consent web.Consent
		ends    time.Time
		want    []string
	}{
		{"nothing to consent to", web.NoConsent, time.Time{}, []string{"not:<form", "not:banner"}},
		{"well", web.ConsentGiven, time.Time{}, []string{`Connect again<span class="unseen">: watch`, "not:banner"}},
		{"ends", web.ConsentGiven, p.Now.Add(30 * time.Hour), []string{
			"<b>Your consent to Google Health ends: Sat 21 Nov 21:05.</b> Connect watch again before that", "<button>Connect again<",
			"not:class=\"quiet\"",
		}},
		{"needed", web.ConsentNeeded, time.Time{}, []string{
			"<b>Google Health needs your consent.</b>", "nothing new comes in from watch", "<button>Connect<", "not:class=\"quiet\"",
			"<p>The client is refused. <b>Check <code>client_id</code>.</b>",
		}},
		{"needed, but of no use yet", web.ConsentBlocked, time.Time{}, []string{
			"<b>Nothing new comes in from watch.</b> The client is refused. <b>Check <code>client_id</code>.</b>", "<button>Connect<",
			"not:needs your consent", "not:<p>The client is refused", "not:class=\"quiet\"",
		}},
		{"ends where it cannot be given", web.NoConsent, p.Now.Add(time.Hour), []string{"not:<form", "not:banner"}},
	} {
		one.Consent, one.Ends = tt.consent, tt.ends
		p.Sources = []web.SourceStatus{one}
		srv := server(t, func(context.Context) (web.Status, error) { return web.Status{People: []web.PersonStatus{p}}, nil })
		_, body := fetch(t, srv.URL+"/", nil)
		if forms := strings.Count(body, "<form"); tt.consent != web.NoConsent && (forms != 1 || !strings.Contains(body, `action="`+watchPage+`"`)) {
			t.Errorf("%s: %d forms in %s", tt.name, forms, body)
		}
		for _, text := range tt.want {
			not := strings.HasPrefix(text, "not:")
			if strings.Contains(body, strings.TrimPrefix(text, "not:")) == not {
				t.Errorf("%s: want %q in %s", tt.name, text, body)
			}
		}
	}
}

func TestSentences(t *testing.T) {
	p := status(t).People[0]
	for text, want := range map[string]string{
		"the consent has ended":     "<p>The consent has ended.",
		"walkd asks again":          "<p>walkd asks again.",
		"run `walkd sync` <now>":    "<p>Run <code>walkd sync</code> &lt;now&gt;.",
		"is it well?":               "<p>Is it well?",
		"`<b>`":                     "<p><code>&lt;b&gt;</code>.",
		"état":                      "<p>État.",
		"\"quoted\" & \"sure\"":     "<p>&#34;quoted&#34; &amp; &#34;sure&#34;.",
		fmt.Sprintf("%c", '\uFFFD'): "<p>\uFFFD.",
	} {
		p.Sources = []web.SourceStatus{{Name: "watch", Text: text}}
		srv := server(t, func(context.Context) (web.Status, error) { return web.Status{People: []web.PersonStatus{p}}, nil })
		if _, body := fetch(t, srv.URL+"/", nil); !strings.Contains(body, want) {
			t.Errorf("%q: want %q in %s", text, want, body)
		}
	}
}
