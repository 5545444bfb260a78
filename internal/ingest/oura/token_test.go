package oura_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
	"github.com/walkd/walkd/internal/store"
)

const tokenPath = "/oauth/token"

// What can go wrong with a consent is told in words that help.
func TestConnectWrongly(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	try := func(want string) {
		t.Helper()
		_, err := r.tryConnect(time.Second)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
			return
		}
		r.said = append(r.said, err.Error())
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
	good := r.accounts[0].Provider
	wrong := func(p ingest.Provider, want string) {
		t.Helper()
		r.accounts[0].Provider = p
		var err error
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		o := pull.Options{Store: r.store, Clock: r.now, Wall: r.now, Transport: transport}
		if r.Puller, err = pull.New(o, r.accounts); err != nil {
			t.Fatal(err)
		}
		try(want)
	}
	s := settingsAt(r.server.URL)
	s.ClientSecret = "not-the-secret"
	wrong(s.Provider("ring"), "check client_id and client_secret")
	r.accounts[0].Provider = good
	r.restart()
	// A membership that has lapsed is no matter of the consent, and neither is trouble after the code was used.
	for _, kind := range []simulate.Kind{
		ourasim.NoMembership, ourasim.Forbidden, ourasim.ServerError, simulate.Dropped, simulate.HTMLPage,
	} {
		r.service.Break(simulate.Fault{Kind: kind})
		c, err := r.tryConnect(time.Second)
		if err != nil || c.Scopes != nil {
			t.Errorf("%s: scopes %v, error %v", kind, c.Scopes, err)
		}
		r.service.Clear()
	}
	r.connect()
	r.poll()
	r.backfill()
	r.same()
	r.quiet()
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
			c, err := r.tryConnect(time.Second)
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

// lose lets the next token be given out, and the answer be lost.
func (r *rig) lose() {
	var f func(w http.ResponseWriter, q *http.Request) bool
	f = func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path != tokenPath || !r.hook.CompareAndSwap(&f, nil) {
			return false
		}
		r.service.ServeHTTP(httptest.NewRecorder(), q)
		panic(http.ErrAbortHandler)
	}
	r.hook.Store(&f)
}

// needsConsent checks that an account waits for its person, and says so, without asking Oura for more.
func (r *rig) needsConsent() {
	r.t.Helper()
	s := r.state()
	if s.Phase != pull.NeedsConsent || s.Problem.Remedy != "run `walkd connect ring`" ||
		!strings.Contains(s.Problem.Text, "the consent has ended or was withdrawn") || !strings.Contains(s.Problem.Text, "already used or revoked") {
		r.t.Fatalf("%+v %+v", s, s.Problem)
	}
	before := sum(r.service.Requests())
	r.live(r.now.Now().Add(8 * time.Hour))
	if n := sum(r.service.Requests()) - before; n > 0 {
		r.t.Errorf("%d requests without a consent", n)
	}
	r.connect()
	r.poll()
	r.backfill()
	r.same()
	r.quiet()
}

// A renewal whose answer is lost costs the consent: the refresh token is good once.
func TestLostRenewal(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.connect()
	r.poll()
	r.now.add(24 * time.Hour)
	r.lose()
	r.poll()
	if s := r.state(); s.Problem == nil || s.Problem.Class != ingest.Transient {
		t.Errorf("the answer was lost: %+v", s.Problem)
	}
	r.live(r.now.Now().Add(10 * time.Minute))
	r.needsConsent()
}

// A refresh token from a backup is dead.
func TestDeadRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.connect()
	r.poll()
	key := store.AccountKey{PersonID: 1, Source: "ring"}
	before, err := r.store.Account(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	r.live(r.now.Now().Add(26 * time.Hour))
	if err := r.store.PutToken(t.Context(), key, "oura", clientID, before.Token); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.now.add(2 * time.Hour)
	r.poll()
	r.needsConsent()
}

// An access token that ends early is renewed, and one that is revoked cannot be.
func TestEarlyEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.connect()
	r.poll()
	r.service.Break(simulate.Fault{Kind: ourasim.ExpireTokens})
	r.live(r.now.Now().Add(2 * time.Hour))
	if s := r.state(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	r.service.Revoke("ann")
	r.live(r.now.Now().Add(2 * time.Hour))
	r.needsConsent()
}

// A consent can be ended with Oura, whichever way it wants that, also when the token has ended.
func TestRevoke(t *testing.T) {
	t.Parallel()
	for _, by := range []string{http.MethodPost, http.MethodGet} {
		for name, change := range map[string]func(r *rig){
			"in force": func(*rig) {}, "ended token": func(r *rig) { r.now.add(25 * time.Hour) },
			"withdrawn": func(r *rig) { r.service.Revoke("ann") },
		} {
			r := newRig(t, rigPlan{option: func(o *ourasim.Options) { o.RevokeBy = by }})
			r.connect()
			kept, err := r.store.Account(t.Context(), store.AccountKey{PersonID: 1, Source: "ring"})
			if err != nil {
				t.Fatal(err)
			}
			change(r)
			revoker := r.accounts[0].Provider.(ingest.Revoker)
			revoke := func(ctx context.Context) error { return revoker.Revoke(ctx, http.DefaultClient, kept.Token) }
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
	r.connect()
	kept, err := r.store.Account(t.Context(), store.AccountKey{PersonID: 1, Source: "ring"})
	if err != nil {
		t.Fatal(err)
	}
	revoker := r.accounts[0].Provider.(ingest.Revoker)
	for kind, want := range map[simulate.Kind]string{
		ourasim.ServerError: "500", simulate.HTMLPage: "502", simulate.Dropped: "EOF", ourasim.Throttle: "429",
	} {
		r.service.Break(simulate.Fault{Kind: kind, Path: "/oauth/revoke"})
		err := revoker.Revoke(t.Context(), http.DefaultClient, kept.Token)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", kind, err)
		}
		r.said = append(r.said, fmt.Sprint(err))
		r.service.Clear()
	}
	r.quiet()
}

// A consent whose ending fails is as good as before, although the token was renewed for it.
func TestRevokeFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.connect()
	r.poll()
	r.now.add(25 * time.Hour)
	r.service.Break(simulate.Fault{Kind: ourasim.ServerError, Path: "/oauth/revoke"})
	if _, err := r.Disconnect(t.Context(), "ann", "ring"); err == nil || !strings.Contains(err.Error(), "nothing has changed") {
		t.Errorf("%v", err)
	}
	r.service.Clear()
	r.restart()
	r.live(r.now.Now().Add(2 * time.Hour))
	if s := r.state(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	if done, err := r.Disconnect(t.Context(), "ann", "ring"); err != nil || !done.Revoked || r.service.Granted("ann") {
		t.Errorf("%+v, %v, still granted: %t", done, err, r.service.Granted("ann"))
	}
}

const crashVariable = "WALKD_OURA_CRASH"

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	spec := os.Getenv(crashVariable)
	if spec == "" {
		t.Skip("only run by TestCrash")
	}
	parts := strings.SplitN(spec, " ", 4)
	now := &clock{now: at(parts[3])}
	st, err := store.Open(t.Context(), parts[2])
	if err != nil {
		t.Fatal(err)
	}
	p, err := pull.New(pull.Options{
		Store: st, Clock: now, Wall: now, Transport: killer{parts[0], &http.Transport{}},
	}, []pull.Config{{Person: "ann", Source: "ring", Kind: "oura", Provider: providerAt(parts[1], now)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Poll(t.Context())
	t.Fatalf("the child outlived its poll: %v", err)
}

// killer kills its process: before the answer with a token is handed on, before the first use of a new token, or after.
type killer struct {
	point string
	next  http.RoundTripper
}

func (k killer) RoundTrip(req *http.Request) (*http.Response, error) {
	renewal := req.URL.Path == tokenPath
	if k.point == "use" && !renewal {
		k.die()
	}
	resp, err := k.next.RoundTrip(req)
	if k.point == "commit" && renewal || k.point == "answer" && !renewal {
		_, _ = io.ReadAll(resp.Body)
		k.die()
	}
	return resp, err
}

func (k killer) die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

// Once a new token is kept walkd can be killed at any time. Before, the consent is lost, since the old token is dead, and
// walkd says so.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"commit", "use", "answer"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigPlan{})
			r.connect()
			r.poll()
			r.now.add(24 * time.Hour)
			if err := r.store.Close(); err != nil {
				t.Fatal(err)
			}
			before := r.service.Requests()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
			child.Env = append(os.Environ(), crashVariable+"="+strings.Join([]string{
				point, r.server.URL, r.dir, r.now.Now().Format(time.RFC3339),
			}, " "))
			out, err := child.CombinedOutput()
			var ended *exec.ExitError
			if !errors.As(err, &ended) || ended.Exited() {
				t.Fatalf("the child was not killed: %v\n%s", err, out)
			}
			if n := r.asked(before)["token"]; n != 1 {
				t.Fatalf("the child renewed %d times\n%s", n, out)
			}
			r.open()
			r.live(r.now.Now().Add(20 * time.Minute))
			if point == "commit" {
				r.needsConsent()
				return
			}
			if s := r.state(); s.Phase != pull.OK {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			r.live(r.now.Now().Add(26 * time.Hour)) // the next renewal
			r.sync()
			if s := r.state(); s.Phase != pull.OK {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			r.same()
		})
	}
}
