package polar_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
)

// A consent ends with all that Polar has granted, once, and a new one begins anew.
func TestRevokeAtTheService(t *testing.T) {
	t.Parallel()
	r := newRig(t, world{plan: simulate.Plan{First: date("2026-11-15")}})
	p := providerAt(r.Server.URL, clientID)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	consent := func() (ingest.Token, error) {
		c := ingest.Consent{State: "state"}
		code := pulltest.Code(t, p.ConsentURL(c))
		return p.Exchange(t.Context(), client, c, code)
	}
	token, err := consent()
	if err != nil || token.Account == "" {
		t.Fatalf("account %q, error %v", token.Account, err)
	}
	for range 2 { // the second time it has ended already
		if err := p.Revoke(t.Context(), client, token); err != nil {
			t.Fatal(err)
		}
	}
	if r.service.Registered("ann") {
		t.Error("the person is still a user of the client")
	}
	if token, err = consent(); err != nil || !r.service.Registered("ann") {
		t.Fatal(err)
	}
	// With the wrong account nothing ends, and the person is told what to do.
	before := token.Account
	for _, account := range []string{"", "1"} {
		token.Account = account
		var e *ingest.Error
		if err := p.Revoke(t.Context(), client, token); !errors.As(err, &e) || e.Class != ingest.Permanent ||
			!strings.Contains(e.Remedy, "https://flow.polar.com") {
			t.Errorf("account %q: %#v", account, err)
		}
	}
	if !r.service.Registered("ann") {
		t.Error("the person is no user of the client any more")
	}
	// Trouble is no end.
	token.Account = before
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Revoke(ctx, client, token); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// TestCrashChild is the process that TestCrash kills: once the answer with the token has come, or that to the
// registration, or before the first use of the token.
func TestCrashChild(t *testing.T) {
	p := pulltest.CrashChild(t, source(), func(point string, q *http.Request) (before, after bool) {
		return point == "use" && q.Method == http.MethodGet,
			point == "token" && q.URL.Path == tokenPath || point == "registration" && q.URL.Path == usersPath
	})
	c, err := p.Begin(t.Context(), pulltest.Who, "watch")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), "?state="+c.State+"&code="+pulltest.Code(t, c.URL)); err != nil {
		t.Fatal(err)
	}
	_, err = p.Poll(t.Context())
	t.Fatalf("the child outlived its poll: %v", err)
}

// A token that is lost on its way to the store is lost, since a code is good once: the person connects again. One that is
// stored is used.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"token", "registration", "use"} {
		t.Run(point, func(t *testing.T) {
			r := newRig(t, world{plan: simulate.Plan{First: date("2026-11-15")}})
			out := r.Crash(point)
			if n := r.service.Requests()[" "+tokenPath]; n != 1 {
				t.Fatalf("the child asked for %d tokens\n%s", n, out)
			}
			r.Open()
			r.MustPoll()
			if point != "use" {
				r.NeedsConsent()
				if _, err := r.TryConnect(0); err != nil {
					t.Fatal(err)
				}
				r.MustPoll()
			}
			if s := r.State(); s.Phase != pull.OK {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			r.backfill(time.Second)
			steps, _ := r.stored(r.all())
			if len(steps) < 200 {
				t.Errorf("%d minutes are stored", len(steps))
			}
		})
	}
}
