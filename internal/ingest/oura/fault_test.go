package oura_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
	"github.com/walkd/walkd/internal/walking"
)

// Whatever Oura does, wherever: the problem is of the right class, nothing that is stored goes, nothing is missing or
// double once it is over, and no secret is told.
func TestFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 3, timeout: time.Second, plan: simulate.Plan{Every: time.Minute, Night: time.Minute}})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	const activity, workout, token = "daily_activity", "workout", "/oauth/token"
	turn := 0
	for kind, want := range map[simulate.Kind]ingest.Class{
		ourasim.BadRequest: ingest.Permanent, ourasim.Unauthorized: ingest.Transient, ourasim.NoScope: ingest.Auth,
		ourasim.NoMembership: ingest.Permanent, ourasim.Forbidden: ingest.Permanent, ourasim.Unprocessable: ingest.Permanent,
		ourasim.OldApp: ingest.Permanent, ourasim.Throttle: ingest.Throttled, ourasim.ThrottleFor: ingest.Throttled,
		ourasim.ThrottleApp: ingest.Throttled, ourasim.ServerError: ingest.Transient, ourasim.Unavailable: ingest.Transient,
		ourasim.Null: ingest.Transient, ourasim.SamePage: ingest.Transient, simulate.HTMLPage: ingest.Transient,
		simulate.HTMLSuccess: ingest.Transient, simulate.Truncated: ingest.Transient, simulate.Slow: ingest.Transient,
		simulate.Dropped: ingest.Transient,
	} {
		paths := []string{activity, workout, token}
		if os.Getenv("WALKD_SOAK") == "" {
			turn++
			paths = []string{paths[turn%2]}
			if turn%3 == 0 {
				paths = append(paths, token)
			}
		}
		for _, path := range paths {
			r.Now.Add(24*time.Hour + 10*time.Minute) // the token ends, and workouts are due
			before := r.stored()
			r.service.Break(simulate.Fault{Kind: kind, Path: path})
			asked := pulltest.Sum(r.service.Requests())
			r.MustPoll()
			name := fmt.Sprint(kind, " at ", path)
			s := r.State()
			wanted := want
			switch {
			case path == workout && (kind == ourasim.NoScope || kind == ourasim.NoMembership || kind == ourasim.Forbidden):
				wanted = "" // it is done without
			case path == token:
				wanted = atToken(kind)
			}
			if wanted == "" && s.Problem != nil || wanted != "" && (s.Problem == nil || s.Problem.Class != wanted) {
				t.Errorf("%s: %+v, want %q", name, s.Problem, wanted)
			}
			if n := pulltest.Sum(r.service.Requests()) - asked; n > 6 {
				t.Errorf("%s: %d requests", name, n)
			}
			if s.Problem != nil {
				if d := diff(before, r.stored()); d != "" {
					t.Errorf("%s: stored (-before +then):\n%.2000s", name, d)
				}
			}
			r.service.Clear()
			if s.Phase == pull.NeedsConsent {
				r.Connect()
			} else if s.Next.After(r.Now.Now()) {
				r.Now.Set(s.Next.Add(time.Second))
			}
			r.Live(r.Now.Now().Add(3 * time.Hour))
			if s = r.State(); s.Phase == pull.NeedsConsent { // an answer was lost with a token
				r.Connect()
				r.MustPoll()
				s = r.State()
			}
			if s.Problem != nil {
				t.Fatalf("%s, then: %+v", name, s.Problem)
			}
		}
	}
	r.Connect() // whoever was taken for one without the right to workouts gets them again
	r.MustSync()
	r.MustBackfill()
	r.same()
	r.Quiet()
}

// atToken returns what follows from a fault of the token endpoint, where there are other words for it.
func atToken(kind simulate.Kind) ingest.Class {
	switch kind {
	case ourasim.Throttle, ourasim.ThrottleFor, ourasim.ThrottleApp:
		return ingest.Throttled
	}
	return ingest.Transient // also 401, until it has been said for hours
}

// Days of random faults, changes and restarts, and at the end all is as it is told.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 6, option: func(o *ourasim.Options) {
		o.PageSize, o.EmptyPages, o.NewIDs, o.Seed = 3, true, true, 7
	}})
	r.Person.Late(walking.Window{Start: at("2026-11-19T08:00:00Z"), End: at("2026-11-21T12:00:00Z")}, at("2026-11-23T13:00:00Z"))
	r.Connect()
	for d := range 3 {
		// Not on the way to a token: an answer that is lost there costs the consent.
		r.service.BreakAtRandom(0.15, ourasim.Throttle, ourasim.ServerError, ourasim.Unavailable, ourasim.Null, simulate.HTMLPage,
			simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped, ourasim.Unauthorized)
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
	r.Live(at("2026-11-24T16:00:00Z"))
	if s := r.State(); s.Problem != nil {
		t.Errorf("%+v", s.Problem)
	}
	r.MustBackfill()
	r.same()
	r.Quiet()
}
