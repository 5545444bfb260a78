package oura_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
)

const tokenPath = "/oauth/token"

// What can go wrong with a consent is told in words that help.
func TestConnectWrongly(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	try := func(want string) {
		t.Helper()
		_, err := r.TryConnect(time.Second)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	r.service.SetConsent("nobody")
	try("you refused Oura the consent")
	r.service.SetConsent("ann")
	r.service.SetGranted(ourasim.ScopeWorkout)
	try("leave the box for daily activity ticked")
	r.service.SetGranted(ourasim.ScopeDaily, ourasim.ScopeWorkout, ourasim.ScopePersonal)
	for kind, want := range map[simulate.Kind]string{
		ourasim.InvalidGrant: "the code was used already or has expired", ourasim.Throttle: "too many requests",
		ourasim.ServerError: "500", simulate.HTMLPage: "502", simulate.HTMLSuccess: "makes no sense", simulate.Truncated: "makes no sense",
		simulate.Dropped: "no answer", ourasim.Unavailable: "503", ourasim.Null: "makes no sense",
	} {
		r.service.Break(simulate.Fault{Kind: kind, Path: tokenPath})
		try(want)
		r.service.Clear()
	}
	s := settingsAt(r.Server.URL)
	s.ClientSecret = "not-the-secret"
	r.Use(s.Provider("ring"))
	try("check client_id and client_secret")
	r.Restart()
	// A membership that has lapsed is no matter of the consent, and neither is trouble after the code was used.
	for _, kind := range []simulate.Kind{
		ourasim.NoMembership, ourasim.Forbidden, ourasim.ServerError, simulate.Dropped, simulate.HTMLPage,
	} {
		r.service.Break(simulate.Fault{Kind: kind})
		c, err := r.TryConnect(time.Second)
		if err != nil || c.Scopes != nil {
			t.Errorf("%s: scopes %v, error %v", kind, c.Scopes, err)
		}
		r.service.Clear()
	}
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.same()
	r.Quiet()
}

// The scopes come from the token, or from trying.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		for i, test := range []struct{ granted, want []string }{
			{nil, []string{"daily", "workout"}},
			{[]string{"daily"}, []string{"daily"}},
			{[]string{"daily", "personal"}, []string{"daily"}},
		} {
			r := newRig(t, rigPlan{option: func(o *ourasim.Options) {
				o.TellScopes, o.Granted, o.Mute = told, test.granted, i == 2
			}})
			c, err := r.TryConnect(time.Second)
			if err != nil {
				t.Fatal(err)
			}
			want := test.want
			if told {
				if want = test.granted; want == nil {
					want = []string{"daily", "workout", "personal"}
				}
			}
			if d := diff(want, c.Scopes); d != "" {
				t.Errorf("granted %v, told %t (-want +got):\n%s", test.granted, told, d)
			}
		}
	}
}

// needsConsent checks that an account waits for its person, and says so, without asking Oura for more.
func (r *rig) needsConsent() {
	r.T.Helper()
	r.NeedsConsent("the consent has ended or was withdrawn", "already used or revoked")
	before := pulltest.Sum(r.service.Requests())
	r.Live(r.Now.Now().Add(8 * time.Hour))
	if n := pulltest.Sum(r.service.Requests()) - before; n > 0 {
		r.T.Errorf("%d requests without a consent", n)
	}
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.same()
	r.Quiet()
}

// A renewal whose answer is lost costs the consent: the refresh token is good once.
func TestLostRenewal(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.Connect()
	r.MustPoll()
	r.Now.Add(24 * time.Hour)
	r.Lose(tokenPath)
	r.MustPoll()
	if s := r.State(); s.Problem == nil || s.Problem.Class != ingest.Transient {
		t.Errorf("the answer was lost: %+v", s.Problem)
	}
	r.Live(r.Now.Now().Add(10 * time.Minute))
	r.needsConsent()
}

// A refresh token from a backup is dead.
func TestDeadRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.Connect()
	r.MustPoll()
	before := r.Token()
	r.Live(r.Now.Now().Add(26 * time.Hour))
	if err := r.Store.PutToken(t.Context(), r.Key(), "oura", clientID, before); err != nil {
		t.Fatal(err)
	}
	r.Restart()
	r.Now.Add(2 * time.Hour)
	r.MustPoll()
	r.needsConsent()
}

// An access token that ends early is renewed, and one that is revoked cannot be.
func TestEarlyEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.Connect()
	r.MustPoll()
	r.service.Break(simulate.Fault{Kind: ourasim.ExpireTokens})
	r.Live(r.Now.Now().Add(2 * time.Hour))
	if s := r.State(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	r.service.Revoke("ann")
	r.Live(r.Now.Now().Add(2 * time.Hour))
	r.needsConsent()
}

// A consent can be ended with Oura, whichever way it wants that, also when the token has ended.
func TestRevoke(t *testing.T) {
	t.Parallel()
	for _, by := range []string{http.MethodPost, http.MethodGet} {
		for name, change := range map[string]func(r *rig){
			"in force": func(*rig) {}, "ended token": func(r *rig) { r.Now.Add(25 * time.Hour) },
			"withdrawn": func(r *rig) { r.service.Revoke("ann") },
		} {
			r := newRig(t, rigPlan{option: func(o *ourasim.Options) { o.RevokeBy = by }})
			r.Connect()
			kept := r.Token()
			change(r)
			revoker := r.Accounts[0].Provider.(ingest.Revoker)
			revoke := func(ctx context.Context) error { return revoker.Revoke(ctx, http.DefaultClient, kept) }
			if err := revoke(t.Context()); err != nil || r.service.Granted("ann") {
				t.Errorf("%s by %s: error %v, still granted: %t", name, by, err, r.service.Granted("ann"))
			}
			if err := revoke(t.Context()); err != nil {
				t.Errorf("%s by %s, once more: %v", name, by, err)
			}
		}
	}
	// What goes wrong is told without the token, which is in the address.
	r := newRig(t, rigPlan{})
	r.Connect()
	kept := r.Token()
	revoker := r.Accounts[0].Provider.(ingest.Revoker)
	for kind, want := range map[simulate.Kind]string{
		ourasim.ServerError: "500", simulate.HTMLPage: "502", simulate.Dropped: "EOF", ourasim.Throttle: "429",
	} {
		r.service.Break(simulate.Fault{Kind: kind, Path: "/oauth/revoke"})
		err := revoker.Revoke(t.Context(), http.DefaultClient, kept)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", kind, err)
		}
		r.Said = append(r.Said, fmt.Sprint(err))
		r.service.Clear()
	}
	r.Quiet()
}

// A consent whose ending fails is as good as before, although the token was renewed for it.
func TestRevokeFails(t *testing.T) {
	t.Parallel()
	for failing := range 3 { // the first questions work, and those after them do not
		r := newRig(t, rigPlan{})
		r.Connect()
		r.MustPoll()
		r.Now.Add(25 * time.Hour)
		var asked atomic.Int64
		fail := func(w http.ResponseWriter, q *http.Request) bool {
			if q.URL.Path != "/oauth/revoke" || int(asked.Add(1)) <= failing {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		r.Hook.Store(&fail)
		if _, err := r.Disconnect(t.Context(), "ann", "ring"); err == nil {
			if r.service.Granted("ann") {
				t.Errorf("%d: it is ended, and still granted", failing)
			}
			continue
		} else if !strings.Contains(err.Error(), "nothing has changed") {
			t.Errorf("%d: %v", failing, err)
		}
		r.Hook.Store(nil)
		r.Restart()
		r.Live(r.Now.Now().Add(2 * time.Hour))
		if s := r.State(); s.Phase != pull.OK {
			t.Errorf("%d: %+v %+v", failing, s, s.Problem)
		}
		if done, err := r.Disconnect(t.Context(), "ann", "ring"); err != nil || !done.Revoked || r.service.Granted("ann") {
			t.Errorf("%d: %+v, %v, still granted: %t", failing, done, err, r.service.Granted("ann"))
		}
	}
}

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	p := pulltest.CrashChild(t, source(), pulltest.AroundRenewal(tokenPath))
	_, err := p.Poll(t.Context())
	t.Fatalf("the child outlived its poll: %v", err)
}

// Once a new token is kept walkd can be killed at any time. Before, the consent is lost, since the old token is dead, and
// walkd says so.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{pulltest.BeforeCommit, pulltest.BeforeUse, pulltest.BeforeAnswer} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigPlan{})
			r.Connect()
			r.MustPoll()
			r.Now.Add(24 * time.Hour)
			before := r.service.Requests()
			out := r.Crash(point)
			if n := r.asked(before)["token"]; n != 1 {
				t.Fatalf("the child renewed %d times\n%s", n, out)
			}
			r.Open()
			r.Live(r.Now.Now().Add(20 * time.Minute))
			if point == pulltest.BeforeCommit {
				r.needsConsent()
				return
			}
			if s := r.State(); s.Phase != pull.OK {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			r.Live(r.Now.Now().Add(26 * time.Hour)) // the next renewal
			r.MustSync()
			if s := r.State(); s.Phase != pull.OK {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			r.same()
		})
	}
}
