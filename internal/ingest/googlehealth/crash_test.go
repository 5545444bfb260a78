package googlehealth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/store"
)

const crashVariable = "WALKD_GOOGLE_HEALTH_CRASH"

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
	}, []pull.Config{{Person: "ann", Source: "watch", Kind: "google-health", Provider: providerAt(parts[1], now)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Poll(t.Context())
	t.Fatalf("the child outlived its poll: %v", err)
}

// killer kills its process: before the answer with a token is handed on ("save"), before the first use of a new token
// ("use"), or before what came of that is handed on ("answer").
type killer struct {
	point string
	next  http.RoundTripper
}

func (k killer) RoundTrip(req *http.Request) (*http.Response, error) {
	renewal := req.URL.Path == "/token"
	if k.point == "use" && !renewal {
		k.die()
	}
	resp, err := k.next.RoundTrip(req)
	if err == nil && (k.point == "save" && renewal || k.point == "answer" && !renewal) {
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

// However walkd ends around a renewal, the consent holds: Google keeps the refresh token, and if it ever gave out another,
// the old one would hold until the new one is used, which is on disk by then.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, rotate := range []bool{false, true} {
		for _, point := range []string{"save", "use", "answer"} {
			t.Run(fmt.Sprintf("before the %s, rotating %t", point, rotate), func(t *testing.T) {
				r := newRig(t, rigPlan{days: 2, option: func(o *healthsim.Options) { o.Rotate = rotate }})
				r.connect()
				r.poll()
				kept := r.token()
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
				want := map[string]int{"token": 1}
				if point == "answer" {
					want["pairedDevices"] = 1
				}
				if d := diff(want, r.asked(before)); d != "" {
					t.Fatalf("the child asked (-want +got):\n%s\n%s", d, out)
				}
				r.open()
				saved := r.token()
				if (saved.Access != kept.Access) != (point != "save") || (saved.Refresh != kept.Refresh) != (rotate && point != "save") {
					t.Errorf("of the token the store has a new access: %t, a new refresh: %t",
						saved.Access != kept.Access, saved.Refresh != kept.Refresh)
				}
				before = r.service.Requests()
				r.poll()
				renewals := 0
				if point == "save" {
					renewals = 1
				}
				if n := r.asked(before)["token"]; n != renewals {
					t.Errorf("%d renewals after the crash, want %d", n, renewals)
				}
				for range 2 { // and the renewals after that
					r.now.add(3 * time.Hour)
					r.poll()
					if s := r.state(); s.Phase != pull.OK {
						t.Errorf("%s, %+v", s.Phase, s.Problem)
					}
				}
				r.sync()
				r.same(r.synced())
				r.quiet()
			})
		}
	}
}

// An answer with a token that is lost on the way costs a repetition, whether Google rotates or not.
func TestLostRenewal(t *testing.T) {
	t.Parallel()
	for _, rotate := range []bool{false, true} {
		r := newRig(t, rigPlan{days: 2, option: func(o *healthsim.Options) { o.Rotate = rotate }})
		r.connect()
		r.poll()
		for _, kind := range []simulate.Kind{simulate.Dropped, simulate.Truncated, healthsim.ServerError, simulate.HTMLSuccess} {
			r.now.add(3 * time.Hour)
			r.service.Break(simulate.Fault{Kind: kind, Path: "/token"})
			r.poll()
			if s := r.state(); s.Phase != pull.Failing {
				t.Errorf("rotating %t, %s: %s, %+v", rotate, kind, s.Phase, s.Problem)
			}
			r.service.Clear()
			r.live(r.now.Now().Add(10 * time.Minute))
			if s := r.state(); s.Phase != pull.OK {
				t.Errorf("rotating %t, after %s: %s, %+v", rotate, kind, s.Phase, s.Problem)
			}
		}
		r.sync()
		r.same(r.synced())
		r.quiet()
	}
}
