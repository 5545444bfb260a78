package simulate_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/simulate"
)

func TestFaults(t *testing.T) {
	f := simulate.NewFaults(1, 1)
	next := func(what string, api bool, want simulate.Kind) {
		t.Helper()
		if got := f.Next(what, api); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	next("/v1/steps", true, "")
	f.Break(simulate.Fault{Kind: "500"})
	f.Break(simulate.Fault{Kind: "bad", Path: "/token", Times: 2})
	next("/v1/steps", true, "500")
	next("/token", false, "bad")
	next("/authorize", false, "")
	next("/token", false, "bad")
	next("/token", false, "")
	next("/v1/steps", true, "500")
	f.Clear()
	next("/v1/steps", true, "")
	f.BreakAtRandom(0.5, "a", "b")
	seen := map[simulate.Kind]int{}
	for range 200 {
		seen[f.Next("/v1/steps", true)]++
	}
	if seen[""] < 60 || seen["a"] < 20 || seen["b"] < 20 {
		t.Errorf("at random: %v", seen)
	}
	next("/token", false, "")
}

// A fault that loses an answer does all that was asked for, and says nothing, or not all.
func TestSpoil(t *testing.T) {
	client := &http.Client{Timeout: 300 * time.Millisecond}
	for _, test := range []struct {
		kind   simulate.Kind
		status int // 0: no answer
		whole  bool
		done   int
	}{
		{"", http.StatusCreated, true, 1},
		{"429", http.StatusCreated, true, 1},
		{simulate.HTMLPage, http.StatusBadGateway, true, 0},
		{simulate.HTMLSuccess, http.StatusOK, true, 0},
		{simulate.Truncated, http.StatusCreated, false, 1},
		{simulate.Dropped, 0, false, 1},
		{simulate.Slow, 0, false, 1},
	} {
		done := 0
		serve := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			done++
			simulate.WriteJSON(w, http.StatusCreated, map[string]string{"answer": strings.Repeat("x", 100)})
		})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !simulate.Spoil(test.kind, w, r, serve) {
				serve.ServeHTTP(w, r)
			}
		}))
		resp, err := client.Post(server.URL, "text/plain", strings.NewReader("question"))
		if err != nil {
			if test.status != 0 {
				t.Errorf("%s: %v", test.kind, err)
			}
		} else {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != test.status || (err == nil) != test.whole {
				t.Errorf("%s: status %d, error %v", test.kind, resp.StatusCode, err)
			}
		}
		server.Close() // waits for those that serve
		if done != test.done {
			t.Errorf("%s: done %d times", test.kind, done)
		}
	}
}

func TestLedger(t *testing.T) {
	var l simulate.Ledger
	life, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bob", "ann"} {
		p, err := simulate.NewPerson(simulate.Plan{Name: name, Life: life, Home: time.UTC})
		if err != nil {
			t.Fatal(err)
		}
		l.Add(p)
	}
	if d := cmp.Diff([]string{"ann", "bob"}, l.People()); d != "" || l.Person("ann") == nil || l.Person("eve") != nil {
		t.Errorf("people (-want +got):\n%s", d)
	}
	l.Keep("secret")
	token := l.NewSecret("tk-")
	if d := cmp.Diff([]string{"secret", token}, l.Secrets()); d != "" || len(token) < 20 || !strings.HasPrefix(token, "tk-") {
		t.Errorf("secrets (-want +got):\n%s", d)
	}
	l.Count("ann", "/steps")
	l.Count("ann", "/steps")
	l.Count("", "/token")
	if d := cmp.Diff(map[string]int{"ann /steps": 2, " /token": 1}, l.Requests()); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

func TestMeter(t *testing.T) {
	m := simulate.Meter{Per: time.Minute}
	begin := time.Date(2026, 11, 20, 12, 0, 7, 0, time.UTC)
	for _, test := range []struct {
		after time.Duration
		n     int
		ends  time.Duration
	}{
		{0, 1, time.Minute},
		{59 * time.Second, 2, time.Minute},
		{time.Minute, 1, 2 * time.Minute},
		{61 * time.Second, 2, 2 * time.Minute},
		{62 * time.Second, 3, 2 * time.Minute},
		{-time.Second, 1, 59 * time.Second}, // the clock was set back
	} {
		n, ends := m.Count(begin.Add(test.after))
		if n != test.n || !ends.Equal(begin.Add(test.ends)) {
			t.Errorf("after %s: %d until %s", test.after, n, ends.Sub(begin))
		}
	}
	if m.Peak() != 3 {
		t.Errorf("peak %d", m.Peak())
	}
}

func TestPages(t *testing.T) {
	w := httptest.NewRecorder()
	simulate.WriteConsent(w, "Rings & Co", "steps <b>", []string{"ann", "<bob>"})
	for _, want := range []string{"Simulated Rings &amp; Co", "steps &lt;b&gt;", "<option>ann</option><option>&lt;bob&gt;</option>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
	for redirect, want := range map[string]string{
		"http://localhost/back": "http://localhost/back?code=x", "http://localhost/?a=b": "http://localhost/?a=b&code=x",
	} {
		w := httptest.NewRecorder()
		simulate.Redirect(w, httptest.NewRequest(http.MethodGet, "/", nil), redirect, url.Values{"code": {"x"}})
		if w.Code != http.StatusFound || w.Header().Get("Location") != want {
			t.Errorf("status %d to %s", w.Code, w.Header().Get("Location"))
		}
	}
	for header, want := range map[string]string{"Bearer abc": "abc", "Basic abc": "", "": ""} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", header)
		if got := simulate.Bearer(r); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
}

// Whatever changes what a service knows changes the revision, and nothing else does.
func TestRevision(t *testing.T) {
	p := ann(t, simulate.Plan{Life: counted(t), Home: time.UTC, First: date(t, "2026-11-10")})
	noon := at(t, "2026-11-20T12:00:00Z")
	last := p.Revision(noon)
	w := window(t, "2026-11-19T12:00:00Z", "2026-11-19T13:00:00Z")
	for name, change := range map[string]func(){
		"corrected": func() { p.Correct(w.Start, 7) }, "deleted": func() { p.Delete(w) }, "late": func() { p.Late(w, noon.Add(time.Hour)) },
		"offline": func() { p.NoSync(w) }, "elsewhere": func() { p.Travel(w.Start, zone(t, "Asia/Tokyo")) },
	} {
		change()
		if now := p.Revision(noon); now == last || now != p.Revision(noon.Add(time.Minute)) {
			t.Errorf("%s: %d, then %d", name, last, now)
		} else {
			last = now
		}
	}
	if p.Revision(noon.Add(time.Hour)) == last {
		t.Error("what was late has come, and nothing changed")
	}
}
