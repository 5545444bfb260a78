package withings_test

import (
	"errors"
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
	"github.com/walkd/walkd/internal/simulate/withingssim"
	"github.com/walkd/walkd/internal/store"
)

// What can go wrong with a consent is told in words that help.
func TestConnectWrongly(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	try := func(takes time.Duration, want string) {
		t.Helper()
		_, err := r.tryConnect(takes)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
			return
		}
		r.said = append(r.said, err.Error())
	}
	try(31*time.Second, "more than 30 seconds old")
	r.service.SetConsent("nobody")
	try(0, "you refused Withings the consent")
	r.service.SetConsent("ann")
	for kind, want := range map[simulate.Kind]string{
		withingssim.Throttle: "too many requests", withingssim.ServerError: "500", simulate.HTMLPage: "502",
		simulate.HTMLSuccess: "web page", simulate.Truncated: "broke off", simulate.Dropped: "no answer",
		withingssim.TimedOut: "took too long", withingssim.Trouble: "cannot answer now",
	} {
		r.service.Break(simulate.Fault{Kind: kind, Path: "/v2/oauth2"})
		try(0, want)
		r.service.Clear()
	}
	r.lose() // the code is used up, and its token lost
	try(0, "no answer")
	good := r.accounts[0].Provider
	wrong := func(change func(base string) ingest.Provider, want string) {
		t.Helper()
		r.accounts[0].Provider = change(r.server.URL)
		var err error
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		o := pull.Options{Store: r.store, Clock: r.now, Wall: r.now, Transport: transport}
		if r.Puller, err = pull.New(o, r.accounts); err != nil {
			t.Fatal(err)
		}
		try(0, want)
	}
	wrong(func(base string) ingest.Provider {
		s := settingsAt(base)
		s.ClientSecret = "not-the-secret"
		return s.Provider("watch")
	}, "check client_id and client_secret")
	r.accounts[0].Provider = good
	r.restart()
	r.connect()
	r.poll()
	r.backfill()
	r.same()
	r.quiet()
}

// lose lets the next token be given out, and the answer be lost.
func (r *rig) lose() {
	var f func(w http.ResponseWriter, q *http.Request) bool
	f = func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path != "/v2/oauth2" || !r.hook.CompareAndSwap(&f, nil) {
			return false
		}
		r.service.ServeHTTP(httptest.NewRecorder(), q)
		panic(http.ErrAbortHandler)
	}
	r.hook.Store(&f)
}

// A renewal whose answer is lost is made again with the same refresh token, which Withings still takes.
func TestLostRenewal(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.connect()
	r.poll()
	for range 3 {
		r.now.add(3 * time.Hour)
		r.lose()
		r.poll()
		if s := r.state(); s.Problem == nil || s.Problem.Class != ingest.Transient {
			t.Errorf("the answer was lost: %+v", s.Problem)
		}
		r.live(r.now.Now().Add(20 * time.Minute))
		if s := r.state(); s.Problem != nil {
			t.Errorf("%+v", s.Problem)
		}
	}
	r.live(r.now.Now().Add(2 * time.Hour))
	r.sync()
	r.same()
	r.quiet()
}

// Once the new access token is used the old refresh token is dead: then only the person can help.
func TestDeadRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.connect()
	r.poll()
	key := store.AccountKey{PersonID: 1, Source: "watch"}
	before, err := r.store.Account(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	r.live(r.now.Now().Add(4 * time.Hour))
	// As from a backup.
	if err := r.store.PutToken(t.Context(), key, "withings", clientID, before.Token); err != nil {
		t.Fatal(err)
	}
	r.restart()
	asked := r.service.Requests()
	r.live(r.now.Now().Add(10 * time.Hour))
	s := r.state()
	if s.Phase != pull.NeedsConsent || s.Problem.Remedy != "run `walkd connect watch`" {
		t.Fatalf("%+v %+v", s, s.Problem)
	}
	if n := sum(r.asked(asked)); n != 1 {
		t.Errorf("%d requests with a dead token", n)
	}
	r.connect()
	r.poll()
	r.backfill()
	r.same()
	r.quiet()
}

// An access token that ends early is renewed at once and the question asked again, whether Withings takes the question
// of a refused token for asked or not.
func TestEarlyEnd(t *testing.T) {
	t.Parallel()
	for name, counts := range map[string]bool{"refused questions count": true, "refused questions do not count": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigPlan{option: func(o *withingssim.Options) { o.RefusedCount = counts }})
			r.connect()
			r.poll()
			r.backfill()
			r.now.set(r.state().Next)
			r.service.Break(simulate.Fault{Kind: withingssim.ExpireTokens})
			before := r.service.Requests()
			r.poll()
			if s := r.state(); s.Phase != pull.OK || !s.Success.After(at(noon)) {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			want := map[string]int{"requesttoken": 1, "getdevice": 2} // and of all others one
			if counts {
				want["getdevice"] = 3 // Withings has to be left alone for ten seconds
			}
			got := r.asked(before)
			for what, n := range want {
				if got[what] != n {
					t.Errorf("asked %v, want %d of %s", got, n, what)
				}
			}
			r.sync()
			r.same()
			// A consent that is withdrawn is known to be with the next poll.
			r.service.Revoke("ann")
			before = r.service.Requests()
			r.live(r.now.Now().Add(3 * time.Hour))
			if d := diff(map[string]int{"getdevice": 1, "requesttoken": 1}, r.asked(before)); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
			if s := r.state(); s.Phase != pull.NeedsConsent {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			r.quiet()
		})
	}
}

// A consent ends with all that was granted. What was not signed, or not with the secret, ends nothing.
func TestRevokeAtTheService(t *testing.T) {
	t.Parallel()
	for name, noRight := range map[string]bool{"with the right to": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigPlan{option: func(o *withingssim.Options) { o.NoRevoke = noRight }})
			p := providerAt(r.server.URL, r.now)
			client := r.server.Client()
			consent := func() ingest.Token {
				t.Helper()
				token, err := p.Exchange(t.Context(), client, ingest.Consent{}, r.code(p.ConsentURL(ingest.Consent{State: "s"})))
				if err != nil || token.Account == "" {
					t.Fatalf("account %q, error %v", token.Account, err)
				}
				return token
			}
			token := consent()
			wrong := settingsAt(r.server.URL)
			wrong.ClientSecret = "not-the-secret"
			var e *ingest.Error
			err := wrong.Provider("watch").(ingest.Revoker).Revoke(t.Context(), client, token)
			if !errors.As(err, &e) || e.Class != ingest.Auth || !strings.Contains(e.Remedy, "client_secret") {
				t.Errorf("with another secret: %v", err)
			}
			err = p.Revoke(t.Context(), client, token)
			if noRight {
				if !errors.As(err, &e) || e.Class != ingest.Permanent || !strings.Contains(e.Remedy, "selecteduser="+token.Account) {
					t.Errorf("without the right to: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Refresh(t.Context(), client, token); !errors.As(err, &e) || e.Remedy != ingest.ConnectAgain {
				t.Errorf("a renewal after the end: %v", err)
			}
			r.now.add(time.Minute)
			if err := p.Revoke(t.Context(), client, token); err != nil {
				t.Errorf("once more: %v", err)
			}
			r.now.add(time.Minute)
			again := consent()
			if err := p.Revoke(t.Context(), client, again); err != nil {
				t.Errorf("another consent: %v", err)
			}
		})
	}
}

const crashVariable = "WALKD_WITHINGS_CRASH"

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
	}, []pull.Config{{Person: "ann", Source: "watch", Kind: "withings", Provider: providerAt(parts[1], now)}})
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
	renewal := req.URL.Path == "/v2/oauth2"
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

// However walkd ends around a renewal, the consent holds: before the answer is kept, the old refresh token is still good.
// It ends eight hours later.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"commit", "use", "answer"} {
		for _, down := range []time.Duration{0, 7 * time.Hour, 9 * time.Hour} {
			if down == 0 && point == "use" {
				continue // as after seven hours
			}
			t.Run(point+", down for "+down.String(), func(t *testing.T) {
				r := newRig(t, rigPlan{})
				r.connect()
				r.poll()
				r.now.add(3 * time.Hour)
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
				if n := r.asked(before)["requesttoken"]; n != 1 {
					t.Fatalf("the child renewed %d times\n%s", n, out)
				}
				r.now.add(down)
				r.open()
				r.live(r.now.Now().Add(20 * time.Minute))
				if down > 8*time.Hour && point == "commit" {
					if s := r.state(); s.Phase != pull.NeedsConsent || s.Problem.Remedy != "run `walkd connect watch`" {
						t.Errorf("%+v %+v", s, s.Problem)
					}
					r.connect()
					r.poll()
				}
				if s := r.state(); s.Phase != pull.OK {
					t.Errorf("%+v %+v", s, s.Problem)
				}
				r.live(r.now.Now().Add(4 * time.Hour)) // the next renewal
				r.sync()
				if s := r.state(); s.Phase != pull.OK {
					t.Errorf("%+v %+v", s, s.Problem)
				}
				r.same()
			})
		}
	}
}
