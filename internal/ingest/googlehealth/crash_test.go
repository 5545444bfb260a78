package googlehealth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
)

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	p := pulltest.CrashChild(t, source(), pulltest.AroundRenewal("/token"))
	_, err := p.Poll(t.Context())
	t.Fatalf("the child outlived its poll: %v", err)
}

// However walkd ends around a renewal, the consent holds: Google keeps the refresh token, and if it ever gave out another,
// the old one would hold until the new one is used, which is on disk by then.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, rotate := range []bool{false, true} {
		for name, point := range map[string]string{
			"save": pulltest.BeforeCommit, "use": pulltest.BeforeUse, "answer": pulltest.BeforeAnswer,
		} {
			t.Run(fmt.Sprintf("before the %s, rotating %t", name, rotate), func(t *testing.T) {
				r := newRig(t, rigPlan{days: 2, option: func(o *healthsim.Options) { o.Rotate = rotate }})
				r.Connect()
				r.MustPoll()
				kept := r.Token()
				r.Now.Add(3 * time.Hour)
				before := r.service.Requests()
				out := r.Crash(point)
				want := map[string]int{"token": 1}
				if point == pulltest.BeforeAnswer {
					want["pairedDevices"] = 1
				}
				if d := diff(want, r.asked(before)); d != "" {
					t.Fatalf("the child asked (-want +got):\n%s\n%s", d, out)
				}
				r.Open()
				saved := r.Token()
				if (saved.Access != kept.Access) != (point != pulltest.BeforeCommit) || (saved.Refresh != kept.Refresh) != (rotate && point != pulltest.BeforeCommit) {
					t.Errorf("of the token the store has a new access: %t, a new refresh: %t",
						saved.Access != kept.Access, saved.Refresh != kept.Refresh)
				}
				before = r.service.Requests()
				r.MustPoll()
				renewals := 0
				if point == pulltest.BeforeCommit {
					renewals = 1
				}
				if n := r.asked(before)["token"]; n != renewals {
					t.Errorf("%d renewals after the crash, want %d", n, renewals)
				}
				for range 2 { // and the renewals after that
					r.Now.Add(3 * time.Hour)
					r.MustPoll()
					if s := r.State(); s.Phase != pull.OK {
						t.Errorf("%s, %+v", s.Phase, s.Problem)
					}
				}
				r.MustSync()
				r.same(r.synced())
				r.Quiet()
			})
		}
	}
}

// An answer with a token that is lost on the way costs a repetition, whether Google rotates or not.
func TestLostRenewal(t *testing.T) {
	t.Parallel()
	for _, rotate := range []bool{false, true} {
		r := newRig(t, rigPlan{days: 2, option: func(o *healthsim.Options) { o.Rotate = rotate }})
		r.Connect()
		r.MustPoll()
		for _, kind := range []simulate.Kind{simulate.Dropped, simulate.Truncated, healthsim.ServerError, simulate.HTMLSuccess} {
			r.Now.Add(3 * time.Hour)
			r.service.Break(simulate.Fault{Kind: kind, Path: "/token"})
			r.MustPoll()
			if s := r.State(); s.Phase != pull.Failing {
				t.Errorf("rotating %t, %s: %s, %+v", rotate, kind, s.Phase, s.Problem)
			}
			r.service.Clear()
			r.Live(r.Now.Now().Add(10 * time.Minute))
			if s := r.State(); s.Phase != pull.OK {
				t.Errorf("rotating %t, after %s: %s, %+v", rotate, kind, s.Phase, s.Problem)
			}
		}
		r.MustSync()
		r.same(r.synced())
		r.Quiet()
	}
}
