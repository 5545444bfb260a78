package web_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/walking"
	"github.com/walkd/walkd/internal/web"
)

func status(t *testing.T) web.Status {
	t.Helper()
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 20, 15, 5, 0, 0, oslo)
	today := walking.DayOf(2026, 11, 20)
	p := web.PersonStatus{
		Name: "alex <b>", Now: now, Through: now.Add(-10 * time.Minute),
		Today: walking.Summary{Day: today, Walking: 61.5, Low: 52.3, High: 70.7, Target: 100, Steps: 5210, Mean7: 101.2, Mean7Days: 6},
		Sources: []web.SourceStatus{
			{Name: "watch", Service: "Google Health", Phase: "ok", Fine: true, Synced: now.Add(-10 * time.Minute), Next: now.Add(15 * time.Minute)},
			{Name: "ring", Service: "Ring", Phase: "needs consent", Text: "the consent has ended", Remedy: "run `walkd connect ring`"},
		},
		Nudges: []web.NudgeStatus{
			{At: now, Rule: "behind", Sent: true, Why: "as of 14:55 …", Title: "About 39 more minutes today", Body: "Two walks of 20 would do.", Deliveries: []string{"phone: delivered 15:05"}},
			{At: now.Add(-3 * time.Hour), Rule: "behind", Reason: "on-pace", Why: "About 40 are usual."},
		},
	}
	for d := today - 27; d <= today; d++ {
		p.Days = append(p.Days, walking.Summary{Day: d, Walking: 90, Target: 100, Valid: true, Closed: d < today})
	}
	return web.Status{People: []web.PersonStatus{p}, Note: "A note.", Refresh: 5 * time.Second}
}

// options returns those of a site with a status page, on which nothing can be connected.
func options(s func(context.Context) (web.Status, error)) web.Options {
	return web.Options{
		Ready: func(context.Context) []string { return nil }, Metrics: http.NotFoundHandler(), Status: s,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
}

func server(t *testing.T, s func(context.Context) (web.Status, error)) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(web.New(options(s)))
	t.Cleanup(srv.Close)
	return srv
}

func fetch(t *testing.T, url string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestStatusPage(t *testing.T) {
	want := status(t)
	srv := server(t, func(context.Context) (web.Status, error) { return want, nil })
	resp, body := fetch(t, srv.URL+"/", nil)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	for _, text := range []string{
		"<strong>62</strong> of more than 100 min", "likely 52 to 71", "39 min to go", "alex &lt;b&gt;", "as of 14:55", "A note.",
		"<strong>101</strong> min a day", "mean of the 6 of seven days that count", "101 to 124", "About 39 more minutes today", "phone: delivered 15:05",
		"nothing sent: on-pace", "The consent has ended.", "<b>Run <code>walkd connect ring</code>.</b>", "in 15 min",
		`http-equiv="refresh" content="5"`, "Fri 20 Nov: 90 min, not complete yet",
	} {
		if !strings.Contains(body, text) {
			t.Errorf("%q is not on the page", text)
		}
	}
	if n := strings.Count(body, "<rect"); n != 28 {
		t.Errorf("%d bars, want 28", n)
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	if strings.Contains(body, "<style") || strings.Contains(body, "style=") || strings.Contains(body, "<script") {
		t.Error("the policy forbids what the page holds inline")
	}
	resp, css := fetch(t, srv.URL+"/style.css", nil)
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/css") || !strings.Contains(css, ".b3") {
		t.Errorf("style.css: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	if resp, _ := fetch(t, srv.URL+"/nothing", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/nothing: %s", resp.Status)
	}
}

// The page has no password: nobody but this machine may read it, whatever name it is asked by.
func TestStatusPageIsForThisMachine(t *testing.T) {
	srv := server(t, func(context.Context) (web.Status, error) { return status(t), nil })
	for name, change := range map[string]func(*http.Request){
		"another name":  func(r *http.Request) { r.Host = "evil.example:8099" },
		"another host":  func(r *http.Request) { r.Host = "192.168.1.5:8099" },
		"behind a name": func(r *http.Request) { r.Host = "localhost.evil.example" },
		"forwarded":     func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.168.1.7") },
	} {
		resp, body := fetch(t, srv.URL+"/", change)
		if resp.StatusCode != http.StatusForbidden || strings.Contains(body, "alex") {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	for _, host := range []string{"localhost:8099", "127.0.0.1", "[::1]:8099"} {
		if resp, _ := fetch(t, srv.URL+"/", func(r *http.Request) { r.Host = host }); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", host, resp.Status)
		}
	}
	h := web.New(options(func(context.Context) (web.Status, error) { return status(t), nil }))
	r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
	r.RemoteAddr = "192.168.1.7:50000"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("from another machine: %d", w.Code)
	}
}

func TestStatusPageError(t *testing.T) {
	srv := server(t, func(context.Context) (web.Status, error) { return web.Status{}, errors.New("the store is away") })
	if resp, body := fetch(t, srv.URL+"/", nil); resp.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "the store is away") {
		t.Errorf("%s: %s", resp.Status, body)
	}
	srv = server(t, func(context.Context) (web.Status, error) { return web.Status{}, nil })
	if _, body := fetch(t, srv.URL+"/", nil); !strings.Contains(body, "Nobody is in the store yet") {
		t.Errorf("nobody: %s", body)
	}
	srv = server(t, nil)
	if resp, _ := fetch(t, srv.URL+"/", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("no page: %s", resp.Status)
	}
}
