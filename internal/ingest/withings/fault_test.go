package withings_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/withingssim"
	"github.com/walkd/walkd/internal/walking"
)

// Whatever Withings does, wherever: the problem is of the right class, nothing that is stored goes, nothing is missing
// or double once it is over, and no secret is told.
func TestFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 3, timeout: time.Second, plan: simulate.Plan{Every: time.Minute, Night: time.Minute}})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	turn := 0
	for kind, want := range map[simulate.Kind]ingest.Class{
		withingssim.Unauthorized: ingest.Transient, withingssim.Forbidden: ingest.Auth, withingssim.Throttle: ingest.Throttled,
		withingssim.ThrottleFor: ingest.Throttled, withingssim.InvalidParams: ingest.Permanent, withingssim.TimedOut: ingest.Transient,
		withingssim.BadState: ingest.Transient, withingssim.Trouble: ingest.Transient, withingssim.ServerError: ingest.Transient,
		simulate.HTMLPage: ingest.Transient, simulate.HTMLSuccess: ingest.Transient, simulate.Truncated: ingest.Transient,
		simulate.Slow: ingest.Transient, simulate.Dropped: ingest.Transient, withingssim.NoBody: ingest.Transient,
	} {
		paths := []string{"getdevice", "getactivity", "getintradayactivity", "getworkouts", "/v2/oauth2"}
		if os.Getenv("WALKD_SOAK") == "" {
			turn++
			paths = []string{paths[turn%4], paths[4]}
		}
		for _, path := range paths {
			r.Now.Add(3*time.Hour + 10*time.Minute) // the token ends, and workouts are due
			steps, sessions := r.stored()
			r.service.Break(simulate.Fault{Kind: kind, Path: path})
			asked := pulltest.Sum(r.service.Requests())
			r.MustPoll()
			name := fmt.Sprint(kind, " at ", path)
			s := r.State()
			wanted := want
			switch {
			case path == "/v2/oauth2" && (kind == withingssim.InvalidParams || kind == withingssim.Unauthorized):
				wanted = ingest.Auth // that is how Withings refuses a refresh token
			case path == "getdevice" && kind == withingssim.Forbidden:
				wanted = "" // it is done without
			}
			switch {
			case wanted == "" && s.Problem != nil, wanted != "" && (s.Problem == nil || s.Problem.Class != wanted):
				t.Errorf("%s: %+v", name, s.Problem)
			}
			if n := pulltest.Sum(r.service.Requests()) - asked; s.Problem != nil && n > 20 { // in a look back over eight days
				t.Errorf("%s: %d requests", name, n)
			}
			// What was fetched before the failure may be there already; what was there before is.
			now, nowSessions := r.stored()
			for start, n := range steps {
				if now[start] != n {
					t.Errorf("%s: %g steps at %s have become %g", name, n, start, now[start])
				}
			}
			if len(nowSessions) < len(sessions) {
				t.Errorf("%s: %d sessions have become %d", name, len(sessions), len(nowSessions))
			}
			r.service.Clear()
			if s.Phase == pull.NeedsConsent {
				r.Connect()
			} else if s.Next.After(r.Now.Now()) {
				r.Now.Set(s.Next.Add(time.Second))
			}
			r.Live(r.Now.Now().Add(35 * time.Minute))
			if s = r.State(); s.Problem != nil {
				t.Fatalf("%s, then: %+v", name, s.Problem)
			}
		}
	}
	r.MustSync()
	r.same()
	r.Quiet()
}

// Days of random faults, changes and restarts, and at the end all is as it was walked.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 6, option: func(o *withingssim.Options) {
		o.Arrays, o.Strings, o.PageSize, o.Seed = true, true, 3, 7
	}})
	late := walking.Window{Start: at("2026-11-19T08:00:00Z"), End: at("2026-11-21T12:00:00Z")}
	r.Person.Late(late, at("2026-11-22T13:00:00Z"))
	r.Connect()
	for d := range 2 {
		r.service.BreakAtRandom(0.08, withingssim.Throttle, withingssim.TimedOut, withingssim.ServerError, simulate.HTMLPage,
			simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped, withingssim.Trouble, withingssim.BadState)
		morning := at("2026-11-20T12:00:00Z").AddDate(0, 0, d)
		r.Live(morning.Add(7 * time.Hour))
		r.Person.Delete(walking.Window{Start: morning.Add(-26 * time.Hour), End: morning.Add(-25 * time.Hour)})
		w := walking.Window{Start: morning.Add(-50 * time.Hour), End: morning.Add(-40 * time.Hour)}
		for _, p := range r.Person.Truth(w, morning) {
			r.Person.Correct(p.Start, p.Steps/3)
		}
		r.Restart()
		r.Live(morning.Add(20 * time.Hour))
		if _, err := r.Backfill(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.service.Clear()
		r.Live(morning.Add(24 * time.Hour))
	}
	r.Live(at("2026-11-22T20:00:00Z"))
	r.MustBackfill()
	if s := r.State(); s.Problem != nil {
		t.Errorf("%+v", s.Problem)
	}
	r.same()
	r.Quiet()
}
