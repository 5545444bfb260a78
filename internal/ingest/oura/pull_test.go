package oura_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
	"github.com/walkd/walkd/internal/walking"
)

// A year comes with one request for its days and one for its workouts, and so does the empty year before, after which
// there is nothing more to look for.
func TestBackfillOfAYear(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 365, option: func(o *ourasim.Options) { o.PageSize = 1000 }})
	r.Connect()
	r.MustPoll()
	before := r.service.Requests()
	rounds := r.MustBackfill()
	if d := diff(map[string]int{"daily_activity": 2, "workout": 2}, r.asked(before)); d != "" || rounds != 2 {
		t.Errorf("%d rounds, requests (-want +got):\n%s", rounds, d)
	}
	r.same()
	r.Quiet()
}

// A day costs a request an hour, one every two hours at night, one for workouts every three, and one to renew the token.
func TestRequestsOfADay(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 3, plan: simulate.Plan{Every: 5 * time.Minute, Night: 5 * time.Minute}})
	r.Connect()
	r.Live(at("2026-11-22T00:00:00Z"))
	r.MustBackfill()
	for d := range 2 {
		before := r.service.Requests()
		end := at("2026-11-23T00:00:00Z").AddDate(0, 0, d)
		r.Live(end)
		if d := diff(map[string]int{"daily_activity": 19, "workout": 7, "token": 1}, r.asked(before)); d != "" {
			t.Errorf("until %s, requests (-want +got):\n%s", end, d)
		}
		if s := r.State(); s.Problem != nil {
			t.Errorf("%s: %+v", end, s.Problem)
		}
	}
	r.MustSync()
	r.same()
}

// Whatever is not certain of the API, all comes, once, and to the last step.
func TestVariants(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ourasim.Options){
		"days from midnight": func(o *ourasim.Options) { o.Midnight = true },
		"end inclusive":      func(o *ourasim.Options) { o.End = ourasim.EndInclusive },
		"end exclusive":      func(o *ourasim.Options) { o.End = ourasim.EndExclusive },
		"start exclusive":    func(o *ourasim.Options) { o.StartExclusive = true },
		"new IDs":            func(o *ourasim.Options) { o.NewIDs = true },
		"padded to now":      func(o *ourasim.Options) { o.Pad = ourasim.PadToNow },
		"padded to the end":  func(o *ourasim.Options) { o.Pad = ourasim.PadToEnd },
		"small pages":        func(o *ourasim.Options) { o.PageSize = 2 },
		"empty pages":        func(o *ourasim.Options) { o.PageSize, o.EmptyPages = 3, true },
		"no METs":            func(o *ourasim.Options) { o.NoMETs = true },
		"METs of 5 minutes":  func(o *ourasim.Options) { o.Interval = 5 * time.Minute },
		"entered by hand":    func(o *ourasim.Options) { o.Manual = true },
		"scopes told":        func(o *ourasim.Options) { o.TellScopes = true },
		"off at times": func(o *ourasim.Options) {
			o.Unworn = []walking.Window{
				{Start: at("2026-11-18T09:00:00Z"), End: at("2026-11-18T12:30:00Z")}, // a morning
				{Start: at("2026-11-18T19:00:00Z"), End: at("2026-11-19T10:00:00Z")}, // a night, with the end of a day
				{Start: at("2026-11-20T09:00:00Z"), End: at("2026-11-20T14:00:00Z")}, // now
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigPlan{days: 12, option: change})
			// A walk in the night with which the first poll begins, and the history ends: its day is that before.
			for m := range 60 {
				r.Person.Correct(at("2026-11-12T23:30:00Z").Add(time.Duration(m)*time.Minute), 90)
			}
			r.Connect()
			r.MustPoll()
			r.MustBackfill()
			r.same()
			r.Live(at("2026-11-21T18:00:00Z"))
			r.MustSync() // with workouts, which are asked for every three hours
			r.same()
			r.Quiet()
		})
	}
}

// Without classes the METs tell when a ring was worn, and what was walked; they are no proof that it was not worn.
func TestWithoutClasses(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 6, option: func(o *ourasim.Options) {
		o.NoClasses = true
		o.Unworn = []walking.Window{{Start: at("2026-11-18T09:00:00Z"), End: at("2026-11-18T12:30:00Z")}}
	}})
	r.noClasses = true
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.same()
	if in := r.stored(); len(in.Unworn) > 0 || len(in.Records) < 100 {
		t.Errorf("%d records, unworn %v", len(in.Records), in.Unworn)
	}
}

// Without both there is a record for each day, and nothing is known of how far the ring has synced.
func TestDailyTotals(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 4, option: func(o *ourasim.Options) { o.NoClasses, o.NoMETs = true, true }})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	var got []string
	for _, x := range r.stored().Records {
		got = append(got, fmt.Sprintf("%s %s %g", x.Start.Format("02T15:04Z"), x.Duration, x.Steps))
	}
	var want []string
	for _, doc := range r.service.Documents("ann", r.Now.Now()) {
		length := 20 * time.Hour // to midnight
		if doc.Day == walking.DayOf(2026, 11, 20) {
			length = at("2026-11-20T11:03:00Z").Sub(doc.Start) // to now
		}
		want = append(want, fmt.Sprintf("%s %s %d", doc.Start.Format("02T15:04Z"), length, doc.Steps))
	}
	if d := diff(want, got); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	if through := r.through(); !through.IsZero() {
		t.Errorf("synced through %s", through)
	}
}

// What comes three days late, is corrected downward or taken back is there after the next poll, and what lies further
// back within days.
func TestLateAndCorrected(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 20})
	r.Person.Late(walking.Window{Start: at("2026-11-17T08:00:00Z"), End: at("2026-11-18T12:00:00Z")}, at("2026-11-20T13:00:00Z"))
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.same()
	r.Live(at("2026-11-20T15:00:00Z"))
	r.same()
	oslo := zoneOf("Europe/Oslo")
	yesterday := walking.DayOf(2026, 11, 19).In(oslo)
	for _, p := range r.Person.Truth(walking.Window{Start: yesterday, End: yesterday.AddDate(0, 0, 1)}, r.Now.Now()) {
		r.Person.Correct(p.Start, p.Steps/2)
	}
	r.Person.Delete(walking.Window{Start: at("2026-11-14T03:00:00Z"), End: at("2026-11-15T03:00:00Z")})
	r.service.Forget("ann", walking.DayOf(2026, 11, 15))
	r.Live(at("2026-11-20T19:00:00Z")) // workouts are asked for every three hours
	r.same()
	r.Person.Delete(walking.Window{Start: at("2026-11-02T00:00:00Z"), End: at("2026-11-03T00:00:00Z")})
	r.Now.Set(at("2026-11-28T12:00:00Z"))
	r.MustPoll() // with a look back over thirty days
	r.same()
}

// A ring that has not synced for three days, and walkd that did not run meanwhile.
func TestAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 12})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.Person.NoSync(walking.Window{Start: at("2026-11-20T12:00:00Z"), End: at("2026-11-23T12:00:00Z")})
	r.Live(at("2026-11-22T12:00:00Z"))
	if got := r.through(); got.After(at("2026-11-20T12:00:00Z")) || got.Before(at("2026-11-20T11:30:00Z")) {
		t.Errorf("synced through %s", got)
	}
	r.same()
	r.Restart()
	r.Now.Set(at("2026-12-05T12:00:00Z"))
	r.MustPoll()
	r.MustBackfill()
	r.same()
}

// Oura is down for a day. That costs a few requests, and nothing else.
func TestDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 6})
	r.Connect()
	r.Live(at("2026-11-20T14:00:00Z"))
	r.MustBackfill()
	before := r.service.Requests()
	stored := r.stored()
	var asked atomic.Int64
	down := func(http.ResponseWriter, *http.Request) bool {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	}
	r.Hook.Store(&down)
	r.Live(at("2026-11-21T14:00:00Z"))
	if s := r.State(); s.Phase != pull.Failing {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	if n := asked.Load(); n > 80 || n < 24 || len(r.asked(before)) > 0 {
		t.Errorf("%d requests while it was down, %v came through", n, r.asked(before))
	}
	if d := diff(stored, r.stored()); d != "" {
		t.Errorf("stored (-before +then):\n%.2000s", d)
	}
	r.Hook.Store(nil)
	r.Live(at("2026-11-21T16:30:00Z"))
	if s := r.State(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	r.same()
	r.Quiet()
}

// Days of 23 and 25 hours are whole, also if Oura's days always have 24.
func TestClockChanges(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]rigPlan{
		"autumn": {start: "2026-10-25T22:00:00Z", days: 9}, "spring": {start: "2027-03-28T21:00:00Z", days: 9},
		"New York": {start: "2026-11-02T04:30:00Z", days: 9, home: "America/New_York"},
	} {
		for _, always := range []bool{false, true} {
			t.Run(fmt.Sprint(name, always), func(t *testing.T) {
				t.Parallel()
				p.plan = simulate.Plan{Every: time.Minute, Night: time.Minute}
				p.option = func(o *ourasim.Options) { o.AlwaysDay = always }
				r := newRig(t, p)
				r.Connect()
				r.MustPoll()
				r.MustBackfill()
				r.Live(r.Now.Now().Add(26 * time.Hour))
				r.MustSync()
				r.same()
				person, err := r.Store.Person(t.Context(), "ann")
				if err != nil {
					t.Fatal(err)
				}
				// Nobody has traveled.
				if home := walking.NewTimeline(r.Person.Home()); !person.Zones.Equal(home) {
					t.Errorf("walkd believes in a journey: %v", person.Zones)
				}
			})
		}
	}
}

// A night at which the clocks change while walkd polls is no journey either: the day that goes on began with the offset
// from before.
func TestClocksChangeAtNight(t *testing.T) {
	t.Parallel()
	for _, start := range []string{"2026-10-24T21:00:00Z", "2027-03-27T21:00:00Z"} {
		r := newRig(t, rigPlan{start: start, days: 4, plan: simulate.Plan{Every: time.Minute, Night: time.Minute}})
		// Somebody who does not sleep.
		for m := range 8 * 60 {
			r.Person.Correct(at(start).Add(time.Duration(m)*time.Minute), 30)
		}
		r.Connect()
		for range 30 {
			r.Now.Add(20 * time.Minute)
			if _, err := r.Sync(t.Context(), pull.SyncRequest{}, nil); err != nil {
				t.Fatal(err)
			}
			person, err := r.Store.Person(t.Context(), "ann")
			if err != nil {
				t.Fatal(err)
			}
			if home := walking.NewTimeline(r.Person.Home()); !person.Zones.Equal(home) {
				t.Fatalf("at %s walkd believes in a journey", r.Now.Now())
			}
		}
		r.MustBackfill()
		r.same()
	}
}

// A journey is known from the first day that begins elsewhere, and so is the way back.
func TestTravel(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{start: "2026-11-21T11:03:20Z", days: 3, plan: simulate.Plan{Every: 15 * time.Minute, Night: 15 * time.Minute}})
	tokyo := zoneOf("Asia/Tokyo")
	r.Person.Travel(at("2026-11-22T09:00:00Z"), tokyo)
	r.Person.Travel(at("2026-11-24T03:00:00Z"), zoneOf("Europe/Oslo"))
	r.Connect()
	hourAt := func(t *testing.T, text string) int {
		t.Helper()
		p, err := r.Store.Person(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		return at(text).In(p.Zones.At(at(text))).Hour()
	}
	r.Live(at("2026-11-23T12:00:00Z"))
	if got := hourAt(t, "2026-11-23T11:00:00Z"); got != 20 {
		t.Errorf("on the journey it was %d o'clock", got)
	}
	r.MustSync()
	r.same()
	r.Live(at("2026-11-25T16:00:00Z"))
	r.MustSync()
	r.same()
	for text, want := range map[string]int{"2026-11-21T12:00:00Z": 13, "2026-11-23T12:00:00Z": 21, "2026-11-25T12:00:00Z": 13} {
		if got := hourAt(t, text); got != want {
			t.Errorf("at %s it was %d o'clock, want %d", text, got, want)
		}
	}
}

// Whoever does not let walkd read workouts has steps all the same, and is asked for no more.
func TestWithoutWorkouts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ourasim.Options){
		"told with the token": func(o *ourasim.Options) { o.TellScopes = true },
		"found out":           func(*ourasim.Options) {},
		"without a word":      func(o *ourasim.Options) { o.Mute = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigPlan{option: func(o *ourasim.Options) {
				o.Granted = []string{ourasim.ScopeDaily}
				change(o)
			}})
			r.noWorkouts = true
			r.Connect()
			before := r.service.Requests()
			r.MustPoll()
			r.MustBackfill()
			r.Live(at("2026-11-20T18:00:00Z"))
			r.MustSync()
			r.same()
			if n := r.asked(before)["workout"]; n > 1 {
				t.Errorf("asked %d times for workouts", n)
			}
			if s := r.State(); s.Phase != pull.OK {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			// A new consent brings them, from the beginning.
			r.service.SetGranted(ourasim.ScopeDaily, ourasim.ScopeWorkout)
			r.noWorkouts = false
			r.Connect()
			r.MustSync()
			r.MustPoll()
			r.MustBackfill()
			r.same()
		})
	}
}

// A membership that has lapsed stops the data, and not the consent.
func TestMembership(t *testing.T) {
	t.Parallel()
	for _, mute := range []bool{false, true} {
		r := newRig(t, rigPlan{option: func(o *ourasim.Options) { o.Mute = mute }})
		r.Connect()
		r.Live(at("2026-11-20T14:00:00Z"))
		r.MustBackfill()
		stored := r.stored()
		r.service.SetLapsed(true)
		r.Live(at("2026-11-21T12:00:00Z"))
		s := r.State()
		if s.Phase != pull.Failing || !strings.HasPrefix(s.Problem.Remedy, "renew the Oura membership") {
			t.Errorf("%+v %+v", s, s.Problem)
		}
		if d := diff(stored, r.stored()); d != "" {
			t.Errorf("stored (-before +then):\n%.2000s", d)
		}
		r.service.SetLapsed(false)
		r.Live(at("2026-11-21T20:00:00Z"))
		if s := r.State(); s.Phase != pull.OK {
			t.Errorf("%+v %+v", s, s.Problem)
		}
		r.MustSync()
		r.same()
	}
}

// What Oura says of the whole application holds for everybody who uses it.
func TestThrottledApplication(t *testing.T) {
	t.Parallel()
	for kind, want := range map[simulate.Kind]int{ourasim.ThrottleApp: 0, ourasim.ThrottleFor: 100 - 4} {
		r := newRig(t, rigPlan{})
		r.Connect()
		r.service.Break(simulate.Fault{Kind: kind, Times: 1})
		r.MustPoll()
		s := r.State()
		if s.Phase != pull.Throttled || len(s.BudgetLeft) != 2 || s.BudgetLeft[1].Left != want {
			t.Errorf("%s: %+v, %+v", kind, s, s.BudgetLeft)
		}
		wait := map[simulate.Kind]time.Duration{ourasim.ThrottleApp: 200 * time.Second, ourasim.ThrottleFor: time.Minute}[kind]
		if got := s.Next.Sub(r.Now.Now()); got != wait {
			t.Errorf("%s: asks again in %s, want %s", kind, got, wait)
		}
		r.Live(r.Now.Now().Add(10 * time.Minute))
		if s := r.State(); s.Phase != pull.OK {
			t.Errorf("%s, then: %+v %+v", kind, s, s.Problem)
		}
		r.MustBackfill()
		r.same()
	}
}
