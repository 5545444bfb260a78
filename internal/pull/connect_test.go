package pull_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/pull"
)

func TestConnect(t *testing.T) {
	r := minutelyRig(t)
	r.service.lock(func() { r.service.ends = 7 * 24 * time.Hour })
	got := r.connect()
	if got.Zone == nil || got.Zone.String() != "Pacific/Auckland" {
		t.Errorf("zone %v", got.Zone)
	}
	got.Zone = nil
	want := pull.Connected{
		Person: "alex", Source: "watch", Service: "Minutes", Scopes: []string{"steps", "walks"}, Ends: noon.Add(7 * 24 * time.Hour),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := r.state(); !s.ConsentEnds.Equal(want.Ends) {
		t.Errorf("%+v", s)
	}
}

func TestConnectMistakes(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *rig, answer string) string
		want   string // in the error; "" for none
	}{
		{"pasted", func(_ *rig, a string) string { return "  \"" + a + "\"\n" }, ""},
		{"pasted in lines", func(_ *rig, a string) string { return a[:40] + "\n" + a[40:] }, ""},
		{"query alone", func(_ *rig, a string) string { _, q, _ := strings.Cut(a, "?"); return q }, ""},
		{"empty", func(*rig, string) string { return " " }, "paste all of it"},
		{"no state", func(*rig, string) string { return "?code=abc" }, "holds no state"},
		{"no code", func(_ *rig, a string) string {
			before, _, _ := strings.Cut(a, "code=")
			return before + "&" +
				a[strings.Index(a, "state="):]
		}, "holds no code"},
		{"unknown", func(*rig, string) string { return "http://127.0.0.1:1/callback?state=x&code=y" }, "does not know"},
		{"refused", func(_ *rig, a string) string { return a + "&error=access_denied" }, "you refused Minutes the consent"},
		{"error", func(_ *rig, a string) string { return a + "&error=<b>" }, "Minutes gave no consent: connect"},
		{"late", func(r *rig, a string) string { r.now.add(11 * time.Minute); return a }, "ten minutes old"},
		{"wrong code", func(_ *rig, a string) string { return strings.Replace(a, "code=", "code=x", 1) }, "used already or has expired"},
		{"wrong secret", func(r *rig, a string) string {
			r.accounts[0].Provider.(*minutely).Config.ClientSecret = "another"
			return a
		}, "check client_id and client_secret in the config"},
		{"redirect", func(r *rig, a string) string {
			r.service.fault = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"error":"redirect_uri_mismatch"}`))
				return true
			}
			return a
		}, "register http://127.0.0.1:1/callback"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := minutelyRig(t)
			c, err := r.Begin(t.Context(), "alex", "watch")
			if err != nil {
				t.Fatal(err)
			}
			other, err := r.Begin(t.Context(), "alex", "watch") // stays possible
			if err != nil || other.State == c.State {
				t.Fatal(err)
			}
			answer := tt.change(r, r.service.consent(t, c.URL))
			_, err = r.Finish(t.Context(), answer)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("err = %v, want %q", err, tt.want)
			}
			if err != nil {
				r.noLeaks(err.Error())
				return
			}
			if _, err := r.Finish(t.Context(), answer); err == nil || !strings.Contains(err.Error(), "used already") {
				t.Errorf("a second time: %v", err)
			}
			if _, err := r.Finish(t.Context(), r.service.consent(t, other.URL)); err != nil {
				t.Errorf("the other attempt: %v", err)
			}
		})
	}
}

// An answer that gets lost on the way can be given again.
func TestConnectAgainAfterNoAnswer(t *testing.T) {
	r := minutelyRig(t)
	c, err := r.Begin(t.Context(), "alex", "watch")
	if err != nil {
		t.Fatal(err)
	}
	answer := r.service.consent(t, c.URL)
	r.service.lock(func() {
		r.service.fault = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	})
	if _, err := r.Finish(t.Context(), answer); err == nil {
		t.Fatal("no answer is no error")
	}
	r.service.lock(func() { r.service.fault = nil })
	if _, err := r.Finish(t.Context(), answer); err != nil {
		t.Error(err)
	}
}

// Whoever waits for an attempt learns what came of its first answer, and nothing of other attempts.
func TestAwait(t *testing.T) {
	r := minutelyRig(t)
	first, err := r.Begin(t.Context(), "alex", "watch")
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Begin(t.Context(), "alex", "watch")
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		pull.Connected
		err error
	}
	waiting := make(chan outcome, 2)
	for range 2 {
		go func() {
			c, err := r.Await(t.Context(), first.State)
			waiting <- outcome{c, err}
		}()
	}
	if _, err := r.Finish(t.Context(), "?error=access_denied&state="+second.State); err == nil {
		t.Error("a refusal is no error")
	}
	if _, err := r.Await(t.Context(), second.State); err == nil || !strings.Contains(err.Error(), "you refused Minutes the consent") {
		t.Errorf("the refused attempt: %v", err)
	}
	want, err := r.Finish(t.Context(), r.service.consent(t, first.URL))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := <-waiting
		if got.err != nil || got.Source != want.Source || got.Person != want.Person || got.Zone == nil {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got, err := r.Await(t.Context(), first.State); err != nil || got.Service != want.Service {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
	if _, err := r.Await(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "does not know") {
		t.Errorf("unknown: %v", err)
	}
	third, err := r.Begin(t.Context(), "alex", "watch")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Await(ctx, third.State); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any longer: %v", err)
	}
}
