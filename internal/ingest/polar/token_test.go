package polar_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/polar"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/store"
)

// A consent ends with all that Polar has granted, once, and a new one begins anew.
func TestRevokeAtTheService(t *testing.T) {
	t.Parallel()
	r := newRig(t, world{plan: simulate.Plan{First: date("2026-11-15")}})
	p := r.provider().(*polar.Provider) //nolint:errcheck,forcetypeassert // a test may panic
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	consent := func() (ingest.Token, error) {
		c := ingest.Consent{State: "state"}
		code := codeOf(t, p.ConsentURL(c))
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

// codeOf consents as a browser does.
func codeOf(t *testing.T, page string) string {
	t.Helper()
	browser := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
	resp, err := browser.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	return to.Query().Get("code")
}

const crashVariable = "WALKD_POLAR_CRASH"

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	spec := os.Getenv(crashVariable)
	if spec == "" {
		t.Skip("only run by TestCrash")
	}
	parts := strings.SplitN(spec, " ", 4)
	now := &clock{t: at(parts[3])}
	st, err := store.Open(t.Context(), parts[2])
	if err != nil {
		t.Fatal(err)
	}
	p, err := pull.New(pull.Options{
		Store: st, Clock: now, Wall: now, Transport: killer{parts[0], &http.Transport{}},
	}, []pull.Config{{Person: "ann", Source: "watch", Kind: "polar", Provider: (&rig{url: parts[1], client: clientID}).provider()}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Begin(t.Context(), "ann", "watch")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), "?state="+c.State+"&code="+codeOf(t, c.URL)); err != nil {
		t.Fatal(err)
	}
	_, err = p.Poll(t.Context())
	t.Fatalf("the child outlived its poll: %v", err)
}

// killer kills its process: once the answer with the token has come, or that to the registration, or before the first
// use of the token.
type killer struct {
	point string
	next  http.RoundTripper
}

func (k killer) RoundTrip(req *http.Request) (*http.Response, error) {
	if k.point == "use" && req.Method == http.MethodGet {
		k.die()
	}
	resp, err := k.next.RoundTrip(req)
	if k.point == "token" && req.URL.Path == tokenPath || k.point == "registration" && req.URL.Path == usersPath {
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

// A token that is lost on its way to the store is lost, since a code is good once: the person connects again. One that is
// stored is used.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"token", "registration", "use"} {
		t.Run(point, func(t *testing.T) {
			r := newRig(t, world{plan: simulate.Plan{First: date("2026-11-15")}})
			if err := r.store.Close(); err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
			child.Env = append(os.Environ(), crashVariable+"="+strings.Join([]string{
				point, r.url, r.dir, r.now.Now().Format(time.RFC3339),
			}, " "))
			out, err := child.CombinedOutput()
			var ended *exec.ExitError
			if !errors.As(err, &ended) || ended.Exited() {
				t.Fatalf("the child was not killed: %v\n%s", err, out)
			}
			if n := r.service.Requests()[" "+tokenPath]; n != 1 {
				t.Fatalf("the child asked for %d tokens\n%s", n, out)
			}
			r.open()
			r.poll()
			if point != "use" {
				s := r.state()
				if s.Phase != pull.NeedsConsent || s.Problem.Remedy != "run `walkd connect watch`" {
					t.Errorf("%+v %+v", s, s.Problem)
				}
				if err := r.connect(); err != nil {
					t.Fatal(err)
				}
				r.poll()
			}
			if s := r.state(); s.Phase != pull.OK {
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
