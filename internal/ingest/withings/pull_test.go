package withings_test

import (
	"os"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/withingssim"
	"github.com/walkd/walkd/internal/walking"
)

// A year comes with a request for each day and a few for what all days have in common, and so does what lies before it.
func TestBackfillOfAYear(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 365})
	r.Connect()
	r.MustPoll()
	before := r.service.Requests()
	rounds := r.MustBackfill()
	got := r.asked(before)
	t.Logf("a year in %d rounds: %v", rounds, got)
	// Today came with the poll. One window has 25 hours more than its days count, since summer time ends in it; and the
	// day before the first could be the first in another zone.
	want := map[string]int{"getintradayactivity": 365 + 2, "getactivity": 4, "getworkouts": 4}
	delete(got, "requesttoken")
	if d := diff(want, got); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	if n := r.service.Peak(); n > 60 {
		t.Errorf("%d requests in a minute", n)
	}
	r.same()
	r.Quiet()
}

// The days of a watch that syncs all the time stay below what walkd allows itself.
func TestRequestsOfADay(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*withingssim.Options){
		"watch": nil, "phone": func(o *withingssim.Options) { o.NoTracker, o.NoMinutes = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigPlan{days: 35, option: o, plan: simulate.Plan{Every: 5 * time.Minute, Night: 5 * time.Minute}})
			r.Connect()
			r.Live(at("2026-11-21T00:00:00Z"))
			r.MustBackfill()
			days, most := 1, 0
			if os.Getenv("WALKD_SOAK") != "" {
				days = 15 // two of them look back over thirty days
			}
			for d := range days {
				before := r.service.Requests()
				end := at("2026-11-22T00:00:00Z").AddDate(0, 0, d)
				r.Live(end)
				got := r.asked(before)
				most = max(most, pulltest.Sum(got))
				if pulltest.Sum(got) == most {
					t.Logf("day %d: %d requests, %v", d, pulltest.Sum(got), got)
				}
				if s := r.State(); s.Problem != nil {
					t.Errorf("%s: %+v", end, s.Problem)
				}
				r.MustBackfill()
			}
			if most > pull.DefaultDaily {
				t.Errorf("%d requests in a day", most)
			}
			if name == "watch" {
				r.MustSync()
				r.same()
			}
		})
	}
}

// Nothing but the cheap question is asked while the watch has not synced.
func TestPollsThatFindNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.Person.NoSync(walking.Window{Start: at(noon), End: at("2026-11-20T19:00:00Z")})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	before := r.service.Requests()
	r.Live(at("2026-11-20T13:50:00Z"))
	got := r.asked(before)
	delete(got, "requesttoken")
	if len(got) != 1 || got["getdevice"] < 5 {
		t.Errorf("asked %v", got)
	}
	r.Live(at("2026-11-20T20:00:00Z"))
	r.MustSync()
	r.same()
}

// What comes late, is corrected downward or taken back is there after the next poll: lastupdate tells of it.
func TestLateAndCorrected(t *testing.T) {
	t.Parallel()
	oslo := zoneOf("Europe/Oslo")
	r := newRig(t, rigPlan{days: 20})
	late := walking.Window{Start: at("2026-11-17T08:00:00Z"), End: at("2026-11-18T12:00:00Z")}
	r.Person.Late(late, at("2026-11-20T13:00:00Z"))
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.Live(at("2026-11-20T15:00:00Z"))
	r.same()
	before := r.service.Requests()
	yesterday := walking.DayOf(2026, 11, 19).In(oslo)
	for _, p := range r.Person.Truth(walking.Window{Start: yesterday, End: yesterday.AddDate(0, 0, 1)}, r.Now.Now()) {
		r.Person.Correct(p.Start, p.Steps/2)
	}
	r.Person.Delete(walking.Window{Start: at("2026-11-12T07:00:00Z"), End: at("2026-11-12T11:00:00Z")})
	r.Live(at("2026-11-20T16:00:00Z"))
	r.same()
	got := r.asked(before)
	t.Logf("corrections of two days: %v", got)
	if got["getintradayactivity"] > 5 {
		t.Errorf("asked %v for two days and today", got)
	}
	// What lies further back than a poll goes is for the backfill.
	r.Person.Delete(walking.Window{Start: at("2026-11-02T00:00:00Z"), End: at("2026-11-03T00:00:00Z")})
	r.Live(at("2026-11-20T17:00:00Z"))
	r.MustBackfill()
	r.same()
}

// A watch that has not synced for three days, and walkd that did not run meanwhile.
func TestAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 12})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.Person.NoSync(walking.Window{Start: at("2026-11-20T12:00:00Z"), End: at("2026-11-23T12:00:00Z")})
	r.Live(at("2026-11-22T12:00:00Z"))
	if s := r.State(); s.Phase != pull.Waiting || !s.Synced.Equal(r.Person.Synced(r.Now.Now())) {
		t.Errorf("%+v", s)
	}
	r.Restart()
	r.Now.Set(at("2026-11-25T12:00:00Z"))
	r.MustPoll()
	r.MustBackfill()
	r.same()
}

// Days of 23 and 25 hours are whole.
func TestClockChanges(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]rigPlan{
		"autumn": {start: "2026-10-25T22:00:00Z", days: 9}, "spring": {start: "2027-03-28T21:00:00Z", days: 9},
		"New York": {start: "2026-11-02T04:30:00Z", days: 9, home: "America/New_York"},
	} {
		t.Run(name, func(t *testing.T) {
			p.plan = simulate.Plan{Every: time.Minute, Night: time.Minute}
			r := newRig(t, p)
			r.Connect()
			r.MustPoll()
			r.MustBackfill()
			for range 2 { // over the change and a day beyond
				r.Now.Add(13 * time.Hour)
				r.MustPoll()
			}
			r.MustSync()
			r.same()
		})
	}
}

// Minutes are where they belong on a journey, and the days tell walkd that there was one.
func TestTravel(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 3, plan: simulate.Plan{Every: 15 * time.Minute, Night: 15 * time.Minute}})
	tokyo := zoneOf("Asia/Tokyo")
	r.Person.Travel(at("2026-11-20T14:00:00Z"), tokyo)
	r.Person.Travel(at("2026-11-22T03:00:00Z"), zoneOf("Europe/Oslo"))
	r.Connect()
	r.Live(at("2026-11-21T23:00:00Z"))
	p, err := r.Store.Person(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Zones.At(at("2026-11-21T12:00:00Z")); at("2026-11-21T12:00:00Z").In(got).Hour() != 21 {
		t.Errorf("in %s on the journey", got)
	}
	r.Live(at("2026-11-22T20:00:00Z"))
	r.MustSync()
	r.same()
}

// A phone in the pocket counts the same again. It is kept apart, and the day is that of the watch.
func TestTwoDevices(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{
		option: func(o *withingssim.Options) { o.TwoDevices = true }, plan: simulate.Plan{Life: pulltest.Recorded(t)},
	})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	p, err := r.Store.Person(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.Store.Inputs(t.Context(), p, walking.Window{Start: at("2026-11-10T00:00:00Z"), End: at(noon)})
	if err != nil {
		t.Fatal(err)
	}
	byOrigin := map[string]int{}
	for _, in := range all {
		byOrigin[in.Origin] += len(in.Records)
	}
	if len(all) != 2 || all[0].Origin != "" || byOrigin[""] < 1000 || byOrigin["apps"] < 100 {
		t.Fatalf("records by origin: %v, the first is %q", byOrigin, all[0].Origin)
	}
	for d := range walking.Day(3) {
		day := func(inputs []walking.Input) float64 {
			sum, _ := walking.Merge(inputs).Day(walking.DayOf(2026, 11, 17)+d, walking.Setting{Zones: p.Zones})
			return float64(sum.Steps)
		}
		if alone, both := day(all[:1]), day(all); both < alone || both > 1.02*alone {
			t.Errorf("%.0f steps with the watch alone, %.0f with the phone", alone, both)
		}
	}
}
