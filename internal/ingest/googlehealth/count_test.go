package googlehealth_test

import (
	"maps"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

// fewest is how many requests a year would take if all of it could be asked for at once.
func (r *rig) fewest() (steps, exercises int) {
	all := walking.Window{Start: at("2010-01-01T00:00:00Z"), End: r.Now.Now()}
	pages := func(n, size int) int { return (n + size - 1) / size }
	return pages(len(r.Person.Points(all, r.Now.Now())), googlehealth.StepsSize),
		pages(len(r.Person.Sessions(all, r.Now.Now())), googlehealth.ExerciseSize)
}

// How many requests the first poll and the history take: pages of steps and of exercises, by windows of 61 days, and
// three windows before all data, in which half a year of nothing is seen.
func TestRequestsOfAHistory(t *testing.T) {
	t.Parallel()
	soak := os.Getenv("WALKD_SOAK") != ""
	for _, tt := range []struct {
		name string
		plan rigPlan
		long bool // kept for the soak
		want map[string]int
	}{
		{"two windows of a volunteer's minutes with steps", rigPlan{days: 2*61 + 3}, false, map[string]int{"steps": 1 + 2*2 + 3, "exercise": 1 + 2*2 + 3, totalsPath: 5}},
		{"a year of them", rigPlan{days: 365}, true, map[string]int{"steps": 16, "exercise": 16, totalsPath: 8}},
		{"with zeros by day", rigPlan{days: 365, plan: simulate.Plan{Zeros: true}}, true, map[string]int{"steps": 40, "exercise": 16, totalsPath: 8}},
		{"a year of 1440 minutes a day", rigPlan{days: 365, full: true}, true, map[string]int{"steps": 58, "exercise": 16, totalsPath: 8}},
		{"one window of 1440 minutes a day", rigPlan{days: 61 + 3, full: true}, true, map[string]int{"steps": 1 + 9 + 3, "exercise": 1 + 2 + 3, totalsPath: 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.long && !soak {
				t.Skip("only with WALKD_SOAK=1")
			}
			t.Parallel()
			r := newRig(t, tt.plan)
			r.Connect()
			r.MustPoll()
			rounds := r.MustBackfill()
			got := r.asked(nil)
			steps, exercises := r.fewest()
			t.Logf("%v in %d rounds; %d and %d if all could be asked for at once", got, rounds, steps, exercises)
			maps.Copy(tt.want, map[string]int{"token": got["token"], "pairedDevices": 1, "settings": 1})
			if d := diff(tt.want, got); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
			if n := r.service.Peak(); n > 120 {
				t.Errorf("%d requests in a minute", n)
			}
			r.same(r.synced())
		})
	}
}

// totalsPath is where the daily totals are asked for: once a day, and once for every 89 days of history, those included that
// find nothing before the first day.
const totalsPath = "steps/dataPoints:dailyRollUp"

// How many requests a day takes once the history is there, for a watch that syncs every 15 minutes by day and every hour
// at night. Each day looks back over eight days once; in the soak also over thirty, once in seven days.
func TestRequestsOfADay(t *testing.T) {
	t.Parallel()
	soak := os.Getenv("WALKD_SOAK") != ""
	for _, tt := range []struct {
		name string
		plan rigPlan
		want map[string]int // of the first day
	}{
		{"a volunteer's minutes with steps", rigPlan{}, map[string]int{"pairedDevices": 44, "steps": 37, "exercise": 7, totalsPath: 1, "token": 21}},
		{"1440 minutes a day", rigPlan{full: true}, map[string]int{"pairedDevices": 44, "steps": 39, "exercise": 7, totalsPath: 1, "token": 21}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.plan.full && !soak {
				t.Skip("only with WALKD_SOAK=1")
			}
			t.Parallel()
			tt.plan.days, tt.plan.start = 12, "2026-11-20T20:03:20Z"
			days := 1
			if soak {
				tt.plan.days, days = 45, 8
			}
			r := newRig(t, tt.plan)
			r.Connect()
			r.MustPoll()
			r.MustBackfill()
			r.Live(at("2026-11-20T23:00:00Z")) // midnight in Oslo
			for n := range days {
				before := r.service.Requests()
				r.Live(at("2026-11-21T23:00:00Z").AddDate(0, 0, n))
				got := r.asked(before)
				t.Logf("day %d: %d requests, %v", n+1, pulltest.Sum(got), got)
				if d := diff(tt.want, got); d != "" && n == 0 {
					t.Errorf("requests (-want +got):\n%s", d)
				}
				if pulltest.Sum(got) > pull.DefaultDaily {
					t.Errorf("%d requests in a day", pulltest.Sum(got))
				}
				if s := r.State(); s.Problem != nil {
					t.Errorf("%+v", s.Problem)
				}
			}
			r.MustSync()
			r.same(r.synced())
		})
	}
}

// What a long look-back costs: 31 days, as once in seven days, and 39, which would find what comes 38 days late.
func TestRequestsOfALookBack(t *testing.T) {
	t.Parallel()
	soak := os.Getenv("WALKD_SOAK") != ""
	for _, tt := range []struct {
		name string
		plan rigPlan
		want map[int]map[string]int // by days
	}{
		{"a volunteer's minutes with steps", rigPlan{}, map[int]map[string]int{
			31: {"steps": 1, "exercise": 1}, 39: {"steps": 2, "exercise": 2},
		}},
		{"1440 minutes a day", rigPlan{full: true}, map[int]map[string]int{
			31: {"steps": 5, "exercise": 1}, 39: {"steps": 6, "exercise": 2},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.plan.full && !soak {
				t.Skip("only with WALKD_SOAK=1")
			}
			t.Parallel()
			tt.plan.days = 45
			r := newRig(t, tt.plan)
			r.Connect()
			s := r.provider().Source(&http.Client{Transport: bearer(r.Token().Access)})
			z := r.Person.Zones()
			today := z.Day(r.Now.Now())
			for days, want := range tt.want {
				before := r.service.Requests()
				w := walking.Window{Start: (today - walking.Day(days-1)).In(oslo), End: (today + 1).In(oslo)}
				b, err := s.Fetch(t.Context(), ingest.Request{Window: w, Zones: z, Now: r.Now.Now(), Sessions: true})
				if err != nil || len(b.Records) != 1 {
					t.Fatal(err)
				}
				if d := diff(want, r.asked(before)); d != "" {
					t.Errorf("%d days (-want +got):\n%s", days, d)
				}
				t.Logf("%d days: %d minutes, %d exercises, %s", days, len(b.Records[0].Records), len(b.Sessions), w.Duration().Truncate(time.Hour))
			}
		})
	}
}
