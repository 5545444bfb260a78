package pull_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
)

// leaks returns which secrets of the service text holds, as they are or escaped.
func (s *service) leaks(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, x := range append([]string{clientSecret}, s.secrets...) {
		for _, form := range []string{x, url.QueryEscape(x), url.PathEscape(x)} {
			if strings.Contains(text, form) {
				out = append(out, form)
			}
		}
	}
	return out
}

// noLeaks looks for secrets in all that leaves a Puller.
func (r *rig) noLeaks(more ...string) {
	r.t.Helper()
	kept, err := r.store.Accounts(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range kept {
		more = append(more, string(a.State))
	}
	state, err := json.Marshal(r.state())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, text := range append(more, r.log.String(), string(state), fmt.Sprint(r.Requests())) {
		if got := r.service.leaks(text); len(got) > 0 {
			r.t.Errorf("%q in %s", got, text)
		}
	}
}

func status(n int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(n)
		// An unkind service tells everybody what it was told.
		_ = r.ParseForm()
		_, _ = io.WriteString(w, r.Header.Get("Authorization")+r.Form.Encode())
	}
}

func TestFaults(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("another host saw the token")
		}
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(other.Close)
	oauth := func(code string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{
				"error": code, "error_description": "cannot accept " + r.Form.Get("refresh_token") + r.Form.Get("client_secret"),
			})
		}
	}
	tests := []struct {
		name, path string // of what fails
		answer     http.HandlerFunc
		class      ingest.Class
		text       string        // in the problem
		again      time.Duration // until the next try at least
		within     time.Duration // and at most; zero: not by itself
		outcome    string
	}{
		{"401", "/minutes", status(401), ingest.Transient, "refuses access", time.Minute, 2 * time.Minute, "auth"},
		{"403", "/minutes", status(403), ingest.Auth, "403 Forbidden", 0, 0, "auth"},
		{"429", "/probe", status(429), ingest.Throttled, "429", time.Minute, 2 * time.Minute, "throttled"},
		{"429 for a time", "/probe", status(429, "Retry-After", "1200"), ingest.Throttled, "429", 20 * time.Minute, 21 * time.Minute, "throttled"},
		{"429 for no time", "/probe", status(429, "Retry-After", "1"), ingest.Throttled, "429", time.Minute, 2 * time.Minute, "throttled"},
		{"429 for ever", "/probe", status(429, "Retry-After", "99999999"), ingest.Throttled, "429", 24 * time.Hour, 24 * time.Hour, "throttled"},
		{"500", "/minutes", status(500), ingest.Transient, "500", time.Minute, 2 * time.Minute, "server_error"},
		{"503 for a time", "/minutes", status(503, "Retry-After", "300"), ingest.Transient, "503", 5 * time.Minute, 6 * time.Minute, "server_error"},
		{"404", "/minutes", status(404), ingest.Permanent, "404", 6 * time.Hour, 6 * time.Hour, "client_error"},
		{"a web page", "/minutes", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<!doctype html><title>Log in</title>")
		}, ingest.Transient, "web page", time.Minute, 2 * time.Minute, "ok"},
		{"truncated", "/minutes", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `[{"At":"2026`)
		}, ingest.Transient, "broke off", time.Minute, 2 * time.Minute, "ok"},
		{"cut off in form", "/minutes", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `[{"At":"2026`)
		}, ingest.Transient, "not all of it", time.Minute, 2 * time.Minute, "ok"},
		{"slow", "/minutes", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `[`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, ingest.Transient, "no whole answer", time.Minute, 2 * time.Minute, "ok"},
		{"endless", "/minutes", func(w http.ResponseWriter, _ *http.Request) {
			page := []byte(strings.Repeat(" ", 1<<20))
			for range 40 {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		}, ingest.Permanent, "larger than 32 MiB", 6 * time.Hour, 6 * time.Hour, "ok"},
		{
			"no answer", "/minutes", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			ingest.Transient, "no answer from", time.Minute, 2 * time.Minute, "network",
		},
		{"another host", "/minutes", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/login?"+r.Header.Get("Authorization"), http.StatusFound)
		}, ingest.Transient, "another place", time.Minute, 2 * time.Minute, "ok"},
		{"in a circle", "/minutes", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/minutes", http.StatusFound)
		}, ingest.Transient, "without end", time.Minute, 2 * time.Minute, "ok"},
		{"telling", "/probe", func(w http.ResponseWriter, r *http.Request) {
			access := r.Header.Get("Authorization")
			_ = json.NewEncoder(w).Encode(map[string]string{
				"Tell": access + " and " + url.QueryEscape(access[len("Bearer "):]) + " and " + clientSecret,
			})
		}, ingest.Transient, "Bearer (secret) and (secret) and (secret)", time.Minute, 2 * time.Minute, "ok"},
		{"invalid_grant", "/token", oauth("invalid_grant"), ingest.Auth, "ended or was withdrawn", 0, 0, "client_error"},
		{"invalid_client", "/token", oauth("invalid_client"), ingest.Auth, "client ID", 0, 0, "client_error"},
		{"token 429", "/token", status(429, "Retry-After", "1200"), ingest.Throttled, "too many", 20 * time.Minute, 21 * time.Minute, "throttled"},
		{"token 503", "/token", status(503), ingest.Transient, "503", time.Minute, 2 * time.Minute, "server_error"},
		{"token web page", "/token", func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>"+r.Form.Encode())
		}, ingest.Transient, "no sense", time.Minute, 2 * time.Minute, "ok"},
		{"token to another host", "/token", func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			http.Redirect(w, r, other.URL+"/login?"+r.Form.Encode(), http.StatusTemporaryRedirect)
		}, ingest.Transient, "another place", time.Minute, 2 * time.Minute, "ok"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := minutelyRig(t)
			if tt.name == "slow" {
				r.options.Timeout = 300 * time.Millisecond
				r.renew()
			}
			r.service.walk(noon.Add(-time.Hour), 10, 100)
			r.service.lock(func() { r.service.synced = noon })
			r.connect()
			r.poll()
			before := r.stored()
			r.service.lock(func() {
				clear(r.service.steps)
				r.service.fault = func(w http.ResponseWriter, q *http.Request) bool {
					if q.URL.Path != tt.path {
						return false
					}
					tt.answer(w, q)
					return true
				}
			})
			r.service.asked()
			r.later(2 * time.Hour)
			asked := r.service.asked()
			s := r.state()
			if s.Problem == nil || s.Problem.Class != tt.class || !strings.Contains(s.Problem.Text, tt.text) {
				t.Fatalf("%+v", s.Problem)
			}
			t.Logf("%s: %s", s.Problem.Text, s.Problem.Remedy)
			if diff := cmp.Diff(before, r.stored()); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			if len(asked) > 8 {
				t.Errorf("asked %v", asked)
			}
			found := false
			for _, c := range r.Requests() {
				found = found || c.Outcome == tt.outcome && c.Kind == "minutely"
			}
			if !found {
				t.Errorf("requests %v, want some %s", r.Requests(), tt.outcome)
			}
			wait := s.Next.Sub(r.now.Now())
			if tt.within == 0 && !s.Next.IsZero() || tt.within > 0 && (wait < tt.again || wait > tt.within) {
				t.Errorf("next try in %s, want between %s and %s", wait, tt.again, tt.within)
			}
			results, err := r.Sync(t.Context(), pull.SyncRequest{}, nil)
			r.noLeaks(fmt.Sprint(results, err), fmt.Sprint(r.probe()))
			// A start in between does not forget the pause.
			r.restart()
			r.service.asked()
			r.now.add(min(time.Minute, tt.again) / 2)
			r.poll()
			if got := r.service.asked(); len(got) > 0 {
				t.Errorf("before its time %v was asked", got)
			}
			r.service.lock(func() { r.service.fault = nil })
			if tt.within == 0 {
				r.connect()
			}
			r.now.add(25 * time.Hour)
			r.service.walk(noon.Add(-time.Hour), 10, 50)
			r.poll()
			r.same()
			if s := r.state(); s.Phase == pull.Failing || s.Phase == pull.NeedsConsent {
				t.Errorf("afterwards: %+v %+v", s, s.Problem)
			}
		})
	}
}

// Failures in a row come less and less often, and no more often than the limits of a day allow.
func TestBackoff(t *testing.T) {
	r := begun(t, minutelyRig)
	r.service.lock(func() {
		r.service.fault = func(w http.ResponseWriter, q *http.Request) bool { status(500)(w, q); return true }
	})
	r.now.add(time.Hour)
	var waits []time.Duration
	for range 10 {
		next := r.poll()
		waits = append(waits, next.Sub(r.now.Now()))
		r.now.set(next)
	}
	for i, w := range waits {
		want := min(time.Hour, time.Minute<<i)
		if w < want || w > min(time.Hour, want*3/2) {
			t.Errorf("pause %d is %s, want about %s", i, w, want)
		}
	}
	if n := strings.Count(r.log.String(), "cannot pull"); n != 1 {
		t.Errorf("the log tells of it %d times, want once", n)
	}
}

func TestPanicStaysInItsAccount(t *testing.T) {
	r := newRig(t, noon, func(s *service) []pull.Config {
		return []pull.Config{
			{Person: "alex", Source: "watch", Kind: "minutely", Provider: newMinutely(s, "watch")},
			{Person: "kim", Source: "bad", Kind: "bad", Provider: panicking{}},
		}
	})
	r.service.walk(noon.Add(-time.Hour), 10, 100)
	r.connect()
	r.poll()
	r.same()
	states, err := pull.States(t.Context(), &r.store.Reader, r.accounts, noon, noon)
	if err != nil || states[1].Phase != pull.Failing || !strings.Contains(states[1].Problem.Text, "out of range") {
		t.Errorf("%+v, %v", states[1], err)
	}
	if c := states[0]; c.Phase != pull.OK {
		t.Errorf("%+v", c)
	}
	_, err = r.Begin(t.Context(), "kim", "bad")
	if err == nil || !strings.Contains(err.Error(), "needs no consent") {
		t.Errorf("err = %v", err)
	}
}

type panicking struct{}

func (panicking) Spec() ingest.Spec                 { return ingest.Spec{} }
func (panicking) Source(*http.Client) ingest.Source { return panicking{} }

func (panicking) Fetch(context.Context, ingest.Request) (ingest.Batch, error) {
	none := strings.Fields("")
	return ingest.Batch{}, errors.New(none[0])
}
