package web_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/web"
)

const password = "correct horse"

// A site is a server as requests meet it, with a clock that is set by hand.
type site struct {
	t       *testing.T
	handler http.Handler
	mu      sync.Mutex
	now     time.Time
	log     *strings.Builder
}

// newSite returns a site with a status page. change may be nil.
func newSite(t *testing.T, change func(*web.Options)) *site {
	t.Helper()
	s := &site{t: t, now: time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC), log: &strings.Builder{}}
	o := options(func(context.Context) (web.Status, error) { return status(t), nil })
	o.Now = func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.now
	}
	if change != nil {
		change(&o)
	}
	s.handler = web.New(o)
	return s
}

func (s *site) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// A request is one that a browser makes, by default from another machine to a public name.
type request struct {
	method, path, from, host string
	form                     url.Values
	cookie                   string
	header                   http.Header
}

func (s *site) do(q request) *httptest.ResponseRecorder {
	s.t.Helper()
	if q.method == "" {
		q.method = http.MethodGet
	}
	if q.host == "" {
		q.host = "walkd.lan:8099"
	}
	r := httptest.NewRequest(q.method, "http://"+q.host+q.path, strings.NewReader(q.form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = "192.168.1.7:50000"
	if q.from != "" {
		r.RemoteAddr = q.from
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	if q.cookie != "" {
		r.Header.Set("Cookie", q.cookie)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// login logs in and returns the cookie as a browser sends it back.
func (s *site) login(from string) string {
	s.t.Helper()
	w := s.do(request{method: http.MethodPost, path: "/login", from: from, form: url.Values{"password": {password}}})
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 || cookies[0].Value == "" {
		s.t.Fatalf("login: %d, %v %s", w.Code, cookies, w.Body)
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

// fails tries a wrong password and returns the status.
func (s *site) fails(from string, header http.Header) int {
	s.t.Helper()
	w := s.do(request{method: http.MethodPost, path: "/login", from: from, form: url.Values{"password": {"wrong horse"}}, header: header})
	if len(w.Result().Cookies()) != 0 {
		s.t.Errorf("a wrong password gives %v", w.Result().Cookies())
	}
	return w.Code
}

func withPassword(o *web.Options) { o.Access.Password = password }

// sees reports whether an answer is the status page.
func sees(w *httptest.ResponseRecorder) bool {
	return w.Code == http.StatusOK && strings.Contains(w.Body.String(), "alex &lt;b&gt;")
}

func TestLogin(t *testing.T) {
	for _, tt := range []struct {
		base, name string
		secure     bool
	}{
		{"", "walkd", false},
		{"http://walkd.lan:8099", "walkd", false},
		{"https://walkd.lan", "__Host-walkd", true},
	} {
		s := newSite(t, func(o *web.Options) { withPassword(o); o.BaseURL = tt.base })
		for _, path := range []string{"/", "/connect/alex/watch", "/connect/alex/watch/answer"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				w := s.do(request{method: method, path: path})
				if strings.Contains(w.Body.String(), "alex &lt;b&gt;") || w.Code == http.StatusOK {
					t.Errorf("%s %s shows something without a login: %d %s", method, path, w.Code, w.Body)
				}
			}
		}
		w := s.do(request{path: "/"})
		if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/login" {
			t.Errorf("/ without a login: %d, to %s", w.Code, to)
		}
		if w := s.do(request{path: "/", from: "127.0.0.1:4000", host: "localhost:8099"}); w.Code != http.StatusSeeOther {
			t.Errorf("from this machine: %d", w.Code) // a proxy may stand there
		}
		for path, want := range map[string]int{
			"/login": http.StatusOK, "/style.css": http.StatusOK, "/healthz": http.StatusOK, "/readyz": http.StatusOK,
		} {
			if w := s.do(request{path: path}); w.Code != want {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
		if code := s.fails("", nil); code != http.StatusForbidden {
			t.Errorf("a wrong password: %d", code)
		}
		w = s.do(request{method: http.MethodPost, path: "/login", form: url.Values{"password": {password}}})
		c := w.Result().Cookies()[0]
		if c.Name != tt.name || c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" ||
			c.Domain != "" || len(c.Value) != 43 || c.MaxAge != 30*24*3600 {
			t.Errorf("the cookie is %+v", c)
		}
		if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/" {
			t.Errorf("login: %d, to %s", w.Code, to)
		}
		cookie := c.Name + "=" + c.Value
		if w := s.do(request{path: "/", cookie: cookie}); !sees(w) || !strings.Contains(w.Body.String(), "Log out") {
			t.Errorf("after login: %d %s", w.Code, w.Body)
		}
		if w := s.do(request{path: "/login", cookie: cookie}); w.Code != http.StatusSeeOther {
			t.Errorf("/login after login: %d", w.Code)
		}
		if other := s.login(""); other == cookie {
			t.Error("two logins have the same cookie")
		}
		for _, wrong := range []string{c.Name + "=", c.Name + "=" + c.Value[:42] + "_", "x=" + c.Value} {
			if w := s.do(request{path: "/", cookie: wrong}); w.Code != http.StatusSeeOther {
				t.Errorf("cookie %s: %d", wrong, w.Code)
			}
		}
		w = s.do(request{method: http.MethodPost, path: "/logout", cookie: cookie})
		if c := w.Result().Cookies()[0]; w.Code != http.StatusSeeOther || c.MaxAge >= 0 || c.Value != "" || c.Name != tt.name {
			t.Errorf("logout: %d, %+v", w.Code, c)
		}
		if w := s.do(request{path: "/", cookie: cookie}); w.Code != http.StatusSeeOther {
			t.Errorf("after logout: %d", w.Code)
		}
	}
}

// With a password only: no login without one, and no logout either.
func TestNoLoginWithoutPassword(t *testing.T) {
	s := newSite(t, nil)
	for _, q := range []request{{path: "/login"}, {method: http.MethodPost, path: "/login"}, {method: http.MethodPost, path: "/logout"}} {
		q.from, q.host = "127.0.0.1:1", "localhost"
		if w := s.do(q); w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d", q.method, q.path, w.Code)
		}
	}
	if w := s.do(request{path: "/", from: "127.0.0.1:1", host: "localhost", cookie: "walkd="}); !sees(w) || strings.Contains(w.Body.String(), "Log out") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSessionsEnd(t *testing.T) {
	const day = 24 * time.Hour
	s := newSite(t, withPassword)
	cookie := s.login("")
	still := func(want bool, when string) {
		t.Helper()
		if got := sees(s.do(request{path: "/", cookie: cookie})); got != want {
			t.Errorf("%s: logged in %t, want %t", when, got, want)
		}
	}
	s.wait(7 * day)
	still(true, "after a week")
	s.wait(7*day + time.Second)
	still(false, "after a week without use")
	s.wait(-day)
	still(false, "once it has ended")
	cookie = s.login("")
	for range 5 {
		s.wait(6 * day)
		still(true, "in use")
	}
	s.wait(time.Second)
	still(false, "after 30 days of use")
	// The one that was used least recently goes first.
	cookie = s.login("")
	unused := s.login("")
	for range 99 {
		s.wait(time.Second)
		still(true, "beside others")
		s.login("")
	}
	still(true, "beside 99 others")
	if cookie = unused; sees(s.do(request{path: "/", cookie: cookie})) {
		t.Error("there is no end of sessions")
	}
}

func TestNext(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		withPassword(o)
		o.Connecting = &web.Connecting{Sources: []web.Source{{Person: "Zoë O'Neil", Name: "watch"}}}
	})
	const page = "/connect/Zo%C3%AB%20O%27Neil/watch"
	w := s.do(request{path: page})
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || to.Path != "/login" || to.Query().Get("next") != page || w.Code != http.StatusSeeOther {
		t.Errorf("%d, to %s, %v", w.Code, to, err)
	}
	for _, next := range []string{
		page, "https://evil.example/", "//evil.example/", "/connect/\\evil.example", "/connect/../..//evil.example",
		page + "?y=1", page + "\r\nSet-Cookie: evil=1", "javascript:alert(1)", "/logout", "\"><script>", "/connect/alex/watch",
	} {
		want := "/"
		if next == page {
			want = page
		}
		w := s.do(request{path: "/login?next=" + url.QueryEscape(next)})
		if !strings.Contains(w.Body.String(), `name="next" value="`+html.EscapeString(want)+`"`) {
			t.Errorf("%q: the form is %s", next, w.Body)
		}
		w = s.do(request{method: http.MethodPost, path: "/login", form: url.Values{"password": {password}, "next": {next}}})
		if to := w.Header().Get("Location"); to != want || len(w.Header().Values("Set-Cookie")) != 1 {
			t.Errorf("%q: to %q, want %q, %v", next, to, want, w.Header())
		}
	}
}

// TestGuessing tries wrong passwords from one machine, and then from many.
func TestGuessing(t *testing.T) {
	s := newSite(t, withPassword)
	for i := range 5 {
		if code := s.fails("192.168.1.7:1", nil); code != http.StatusForbidden {
			t.Fatalf("try %d: %d", i, code)
		}
	}
	for _, given := range []string{"wrong horse", password} {
		w := s.do(request{method: http.MethodPost, path: "/login", form: url.Values{"password": {given}}})
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "60" || w.Header().Get("Set-Cookie") != "" ||
			!strings.Contains(w.Body.String(), "Try again in 60 seconds.") {
			t.Errorf("%s as the sixth try: %d, %v", given, w.Code, w.Header())
		}
	}
	s.login("192.168.1.8:1") // others are not held up
	s.wait(59 * time.Second)
	if code := s.fails("192.168.1.7:1", nil); code != http.StatusTooManyRequests {
		t.Errorf("too early: %d", code)
	}
	s.wait(time.Second)
	for range 3 {
		s.login("192.168.1.7:1") // a right one costs nothing
	}
	if code := s.fails("192.168.1.7:1", nil); code != http.StatusForbidden {
		t.Errorf("after a minute: %d", code)
	}
	if code := s.fails("192.168.1.7:1", nil); code != http.StatusTooManyRequests {
		t.Errorf("after a minute, a second time: %d", code)
	}
	s.wait(-time.Hour) // a clock that was set back lets nobody wait for longer, nor guess more
	if code := s.fails("192.168.1.7:1", nil); code != http.StatusTooManyRequests {
		t.Errorf("after the clock was set back: %d", code)
	}
	s.wait(time.Minute)
	if code := s.fails("192.168.1.7:1", nil); code != http.StatusForbidden {
		t.Errorf("a minute later: %d", code)
	}

	s = newSite(t, withPassword)
	refused := 0
	for i := range 40 {
		if s.fails(fmt.Sprintf("10.0.%d.1:1", i), nil) == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d of 40 tries from as many machines are refused, want 10", refused)
	}
	w := s.do(request{method: http.MethodPost, path: "/login", from: "10.1.1.1:1", form: url.Values{"password": {password}}})
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "10" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	s.wait(10 * time.Second)
	s.login("10.1.1.1:1")

	// With IPv6 a machine has as many addresses as it likes.
	s = newSite(t, withPassword)
	for i := range 5 {
		s.fails("[2001:db8::"+strconv.Itoa(i+1)+"]:1", nil)
	}
	if code := s.fails("[2001:db8::99]:1", nil); code != http.StatusTooManyRequests {
		t.Errorf("another address of the same machine: %d", code)
	}
	if code := s.fails("[2001:db8:0:1::1]:1", nil); code != http.StatusForbidden {
		t.Errorf("another network: %d", code)
	}
}

// Many tries at the same moment are no more than one after the other.
func TestGuessingAtOnce(t *testing.T) {
	s := newSite(t, withPassword)
	codes := make(chan int, 50)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { codes <- s.fails("", nil) })
	}
	all.Wait()
	close(codes)
	tried := 0
	for code := range codes {
		if code == http.StatusForbidden {
			tried++
		}
	}
	if tried != 5 {
		t.Errorf("%d passwords were looked at, want 5", tried)
	}
}

var proxies = []netip.Prefix{netip.MustParsePrefix("192.168.1.2/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/64")}

func TestTrustedProxies(t *testing.T) {
	user := http.Header{"Remote-User": {"alex"}}
	for _, tt := range []struct {
		name, from, host string
		header           http.Header
		sees             bool
		alone, both      string // what is said otherwise, without and with a password
	}{
		{name: "the proxy", from: "192.168.1.2:1", header: user, sees: true},
		{name: "the proxy as IPv6", from: "[::ffff:192.168.1.2]:1", header: user, sees: true},
		{name: "of a range", from: "10.20.30.40:1", header: user, sees: true},
		{name: "of a range of IPv6", from: "[fd00::7]:1", header: user, sees: true},
		{name: "another machine", from: "192.168.1.3:1", header: user, alone: "192.168.1.3 is none of them", both: "/login"},
		{name: "this machine", from: "127.0.0.1:1", host: "localhost", header: user, alone: "127.0.0.1 is none", both: "/login"},
		{name: "this machine, without a user", from: "127.0.0.1:1", host: "localhost", alone: "127.0.0.1 is none", both: "/login"},
		{name: "nobody is logged in there", from: "192.168.1.2:1", alone: "does not say who you are", both: "/login"},
		{name: "an empty name", from: "192.168.1.2:1", header: http.Header{"Remote-User": {""}}, alone: "does not say who you are", both: "/login"},
		{
			name: "forwarded by the proxy's word", from: "192.168.1.3:1",
			header: http.Header{"Remote-User": {"alex"}, "X-Forwarded-For": {"192.168.1.2"}}, alone: "192.168.1.3 is none", both: "/login",
		},
		{name: "no address", from: "@", header: user, alone: "is none of them", both: "/login"},
	} {
		for _, both := range []bool{false, true} {
			s := newSite(t, func(o *web.Options) {
				o.Access.Proxies = proxies
				if both {
					withPassword(o)
				}
			})
			w := s.do(request{path: "/", from: tt.from, host: tt.host, header: tt.header})
			switch {
			case sees(w) != tt.sees:
				t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
			case tt.sees && strings.Contains(w.Body.String(), "Log out"):
				t.Errorf("%s: there is nothing to log out from", tt.name)
			case tt.sees:
			case both && w.Header().Get("Location") != tt.both:
				t.Errorf("%s: to %s", tt.name, w.Header().Get("Location"))
			case !both && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), tt.alone)):
				t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
			}
		}
	}
}

// Behind a proxy it is not the proxy that guesses, but whom it names last.
func TestGuessingBehindProxy(t *testing.T) {
	s := newSite(t, func(o *web.Options) { withPassword(o); o.Access.Proxies = proxies })
	by := func(addresses ...string) http.Header { return http.Header{"X-Forwarded-For": addresses} }
	for i := range 5 {
		// What stands further to the left was sent by the guesser.
		if code := s.fails("192.168.1.2:1", by(fmt.Sprintf("1.2.3.%d, 203.0.113.7", i), "10.0.0.9")); code != http.StatusForbidden {
			t.Fatalf("try %d: %d", i, code)
		}
	}
	if code := s.fails("192.168.1.2:1", by("9.9.9.9, 203.0.113.7")); code != http.StatusTooManyRequests {
		t.Errorf("the guesser: %d", code)
	}
	if code := s.fails("192.168.1.2:1", by("203.0.113.8")); code != http.StatusForbidden {
		t.Errorf("somebody else: %d", code)
	}
	for range 5 {
		s.fails("192.168.1.9:1", by("203.0.113.9"))
	}
	if code := s.fails("192.168.1.9:1", by("203.0.113.10")); code != http.StatusTooManyRequests {
		t.Errorf("one who is no proxy: %d", code)
	}
}

// A login that does not work where it is says where it does.
func TestLoginElsewhere(t *testing.T) {
	s := newSite(t, func(o *web.Options) { withPassword(o); o.BaseURL = "https://walkd.example" })
	if w := s.do(request{path: "/login"}); !strings.Contains(w.Body.String(), `log in at <a href="https://walkd.example">`) {
		t.Errorf("%s", w.Body)
	}
	if w := s.do(request{path: "/login", host: "walkd.example"}); strings.Contains(w.Body.String(), "log in at") {
		t.Errorf("%s", w.Body)
	}
}

func TestHugePassword(t *testing.T) {
	s := newSite(t, withPassword)
	w := s.do(request{method: http.MethodPost, path: "/login", form: url.Values{"password": {strings.Repeat("x", 1<<20)}}})
	if w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
}
