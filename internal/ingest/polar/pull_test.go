package polar_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/polarsim"
	"github.com/walkd/walkd/internal/walking"
)

// A year takes as few requests as 28 days each allow.
func TestYear(t *testing.T) {
	t.Parallel()
	today := date("2026-11-20")
	// The person was registered before, as after the loss of a store. Who is new is told no exercises from before.
	r := connected(t, world{plan: simulate.Plan{First: today - 400}})
	r.MustPoll()
	r.backfill(time.Second)
	r.same(today - 364)
	got := r.service.Requests()
	want := map[string]int{
		" " + tokenPath: 1, "ann " + usersPath: 1,
		"ann " + activitiesPath: 1 + 13, // 8 days, and 357 in blocks of 28
		"ann " + exercisesPath:  1 + 1,  // the newest block reaches into the 30 days in which they are kept
	}
	if d := diff(want, got); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	for _, q := range r.questions() { // newest first, and each day once
		from, to, _ := strings.Cut(q, " ")
		if days := date(to) - date(from) + 1; days > 28 || date(from) < today-364 {
			t.Errorf("asked for %s", q)
		}
	}
	if b := r.State().Backfill; b == nil || !b.Done {
		t.Errorf("the history: %+v", b)
	}
	if _, sessions := r.stored(walking.Window{Start: at("2025-01-01T00:00:00Z"), End: r.Now.Now()}); len(sessions) < 10 {
		t.Errorf("%d sessions", len(sessions))
	}
}

// A day takes few requests: one for today and the seven days before every half an hour in the waking hours and every
// other hour in the others, and one for the exercises every three hours and with the day's long look back.
func TestDay(t *testing.T) {
	t.Parallel()
	r := connected(t, world{now: "2026-11-20T20:00:00Z", plan: simulate.Plan{First: date("2026-11-10")}})
	r.MustPoll()
	r.live(at("2026-11-20T23:00:00Z"))
	before := r.service.Requests()
	r.questions()
	r.live(at("2026-11-21T23:00:00Z"))
	if d := diff(map[string]int{"ann " + activitiesPath: 32, "ann " + exercisesPath: 8}, r.Since(before)); d != "" {
		t.Errorf("requests of a day (-want +got):\n%s", d)
	}
	kinds := map[string]int{}
	for _, q := range r.questions() {
		kinds[q]++
	}
	// It is nine days in the long look back, and after midnight, since the day before was not asked for to its end.
	if d := diff(map[string]int{"2026-11-14 2026-11-21": 30, "2026-11-13 2026-11-21": 2}, kinds); d != "" {
		t.Errorf("asked for (-want +got):\n%s", d)
	}
	r.backfill(time.Second)
	r.jump(at("2026-11-22T12:00:00Z"))
	r.same(date("2026-11-10"))
	if s := r.State(); s.Phase != pull.OK {
		t.Errorf("%+v", s)
	}
	if short, long := r.service.Peak(); short > 25 || long > 60 {
		t.Errorf("at most %d requests in 15 minutes and %d in 24 hours", short, long)
	}
}

// Whatever comes late or is changed is there after the next look back, as Polar has it.
func TestLateAndCorrected(t *testing.T) {
	t.Parallel()
	const first = "2026-10-25"
	r := connected(t, world{plan: simulate.Plan{First: date(first)}})
	hour := func(text string) walking.Window { return walking.Window{Start: at(text), End: at(text).Add(time.Hour)} }
	// Yesterday comes three days late.
	r.Person.Late(walking.Window{Start: at("2026-11-18T23:00:00Z"), End: at("2026-11-19T23:00:00Z")}, at("2026-11-22T09:00:00Z"))
	r.MustPoll()
	r.backfill(time.Second)
	r.same(date(first))
	// The day before is corrected downward, an hour is deleted, and so is a day with its exercises.
	for m := range 60 {
		r.Person.Correct(at("2026-11-18T16:05:00Z").Add(time.Duration(m)*time.Minute), m%2)
	}
	r.Person.Delete(hour("2026-11-17T16:00:00Z"))
	r.Person.Delete(walking.Window{Start: at("2026-11-16T06:00:00Z"), End: at("2026-11-16T20:00:00Z")})
	r.live(at("2026-11-20T15:00:00Z"))
	r.same(date(first))
	r.jump(at("2026-11-22T10:00:00Z"))
	r.same(date(first))
	// The device does not sync for four days.
	r.Person.NoSync(walking.Window{Start: at("2026-11-22T10:00:00Z"), End: at("2026-11-26T15:00:00Z")})
	r.jump(at("2026-11-26T12:00:00Z"))
	r.same(date(first))
	if through := r.Stream().SyncedThrough; through.After(at("2026-11-22T10:00:00Z")) {
		t.Errorf("synced through %s", through)
	}
	r.jump(at("2026-11-26T18:00:00Z"))
	r.same(date(first))
	// What is three weeks old comes with the week's look back.
	r.Person.Correct(at("2026-11-06T12:00:00Z"), 99)
	r.jump(at("2026-11-28T12:00:00Z"))
	r.same(date("2026-11-01"))
}

// However Polar writes its days, they are the same, and never look fresher than they are.
func TestWaysOfWriting(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]polarsim.Options{
		"plain": {}, "no interval": {NoInterval: true}, "no total of the samples": {NoTotal: true}, "days to their end": {EndOfDay: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := connected(t, world{service: o, plan: simulate.Plan{Life: pulltest.Recorded(t), First: date("2026-11-08")}})
			r.Person.NoSync(walking.Window{Start: at("2026-11-20T10:00:00Z"), End: at("2026-11-25T00:00:00Z")})
			r.MustPoll()
			r.backfill(time.Second)
			r.same(date("2026-11-08"))
			through, synced := r.Stream().SyncedThrough, r.Person.Synced(r.Now.Now())
			if through.After(synced) || !o.EndOfDay && !through.Equal(synced) {
				t.Errorf("synced through %s, want %s", through, synced)
			}
		})
	}
}

// Days whose minutes are not told are days all the same.
func TestWithoutMinutes(t *testing.T) {
	r := connected(t, world{service: polarsim.Options{NoSamples: true}})
	r.MustPoll()
	w := walking.Window{Start: at("2026-11-17T23:00:00Z"), End: at("2026-11-18T23:00:00Z")}
	sum := 0
	for _, pt := range r.Person.Points(w, r.Now.Now()) {
		sum += pt.Steps
	}
	steps, _ := r.stored(w)
	if d := diff(map[string]float64{"2026-11-17T23:00:00Z 23h59m59s": float64(sum)}, steps); d != "" || sum < 1000 {
		t.Errorf("-want +got:\n%s", d)
	}
}

// Days on which clocks change, minute by minute.
func TestDaysOfClocks(t *testing.T) {
	t.Parallel()
	for _, day := range []string{"2026-03-29", "2026-10-25"} {
		for name, life := range map[string]*simulate.Life{"distinct": distinct(t), "recorded": pulltest.Recorded(t)} {
			t.Run(day+" "+name, func(t *testing.T) {
				d := date(day)
				r := connected(t, world{now: (d + 2).In(time.UTC).Format(time.RFC3339), plan: simulate.Plan{Life: life, First: d - 2}})
				r.MustPoll()
				r.same(d - 2)
			})
		}
	}
}

func TestTravel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, at, zone, back string }{
		{"east", "2026-11-10T09:00:00Z", "Asia/Tokyo", "2026-11-16T01:00:00Z"},
		{"west", "2026-11-10T09:00:00Z", "America/Los_Angeles", "2026-11-16T18:00:00Z"},
		{"half an hour", "2026-11-12T05:00:00Z", "Asia/Kolkata", "2026-11-17T15:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := connected(t, world{plan: simulate.Plan{Life: distinct(t), First: date("2026-11-08")}})
			r.Person.Travel(at(test.at), zone(test.zone))
			r.Person.Travel(at(test.back), berlin.Home())
			err := r.configure(walking.ZoneChange{From: at(test.at), Zone: zone(test.zone)},
				walking.ZoneChange{From: at(test.back), Zone: berlin.Home()})
			if err != nil {
				t.Fatal(err)
			}
			r.MustPoll()
			r.backfill(time.Second)
			r.same(date("2026-11-08"))
		})
	}
}

// A journey that walkd learns of later moves what is not too old, and doubles nothing.
func TestTravelToldLate(t *testing.T) {
	t.Parallel()
	r := connected(t, world{plan: simulate.Plan{Life: distinct(t), First: date("2026-11-10")}})
	r.Person.Travel(at("2026-11-18T09:00:00Z"), zone("Asia/Kolkata"))
	r.MustPoll()
	r.backfill(time.Second)
	if err := r.configure(walking.ZoneChange{From: at("2026-11-18T09:00:00Z"), Zone: zone("Asia/Kolkata")}); err != nil {
		t.Fatal(err)
	}
	r.Now.Add(time.Hour)
	r.MustPoll()
	r.same(date("2026-11-10"))
}

// Every fault passes, is told of in words, and loses nothing.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind  simulate.Kind
		class ingest.Class
		says  string
	}{
		{polarsim.Unauthorized, ingest.Transient, "refuses access"}, // once is no reason to ask for consent
		{polarsim.Forbidden, ingest.Permanent, "account.polar.com"},
		{polarsim.Throttle, ingest.Throttled, "429"},
		{polarsim.ThrottleFor, ingest.Throttled, "429"},
		{polarsim.ServerError, ingest.Transient, "500"},
		{polarsim.Unavailable, ingest.Transient, "503"},
		{simulate.HTMLPage, ingest.Transient, "502"},
		{simulate.HTMLSuccess, ingest.Transient, "web page"},
		{simulate.Truncated, ingest.Transient, ""},
		{simulate.Dropped, ingest.Transient, ""},
		{simulate.Slow, ingest.Transient, "no whole answer"},
		{polarsim.Null, ingest.Transient, "makes no sense"},
	} {
		for _, path := range []string{activitiesPath, exercisesPath} {
			t.Run(fmt.Sprint(test.kind, " ", path), func(t *testing.T) {
				t.Parallel()
				r := connected(t, world{plan: simulate.Plan{First: date("2026-11-15")}})
				r.MustPoll()
				before, _ := r.stored(walking.Window{Start: at("2026-11-01T00:00:00Z"), End: r.Now.Now()})
				r.service.Break(simulate.Fault{Kind: test.kind, Path: path, Times: 1})
				r.Now.Add(4 * time.Hour) // exercises are asked for as well
				r.MustPoll()
				s := r.State()
				if s.Problem == nil || s.Problem.Class != test.class ||
					!strings.Contains(s.Problem.Text+s.Problem.Remedy, test.says) {
					t.Errorf("%+v", s.Problem)
				}
				if wait := s.Next.Sub(r.Now.Now()); test.kind == polarsim.ThrottleFor && wait != 7*time.Minute {
					t.Errorf("asked again after %s, want what the headers say", wait)
				}
				after, _ := r.stored(walking.Window{Start: at("2026-11-01T00:00:00Z"), End: at("2026-11-20T11:00:00Z")})
				if len(after) < len(before) {
					t.Errorf("%d minutes are left of %d", len(after), len(before))
				}
				r.Now.Add(7 * time.Hour)
				r.MustPoll()
				if s := r.State(); s.Problem != nil {
					t.Errorf("seven hours later: %+v", s.Problem)
				}
				r.same(date("2026-11-15"))
			})
		}
	}
}

// A day of trouble brings no storm of requests.
func TestTroubleForADay(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulate.Kind{polarsim.ServerError, polarsim.Forbidden, polarsim.Throttle, simulate.Dropped} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := connected(t, world{plan: simulate.Plan{First: date("2026-11-15")}})
			r.MustPoll()
			before := pulltest.Sum(r.service.Requests())
			r.service.Break(simulate.Fault{Kind: kind})
			r.live(r.Now.Now().Add(24 * time.Hour))
			if n := pulltest.Sum(r.service.Requests()) - before; n < 2 || n > 60 {
				t.Errorf("%d requests in a day of trouble", n)
			}
			r.service.Clear()
			r.jump(r.Now.Now().Add(7 * time.Hour))
			if s := r.State(); s.Phase != pull.OK {
				t.Errorf("%+v", s)
			}
			r.same(date("2026-11-15"))
		})
	}
}

func TestFaultsAtRandom(t *testing.T) {
	t.Parallel()
	r := connected(t, world{service: polarsim.Options{Seed: 7}})
	r.service.BreakAtRandom(0.3, polarsim.Throttle, polarsim.ServerError, simulate.HTMLPage, simulate.HTMLSuccess,
		simulate.Truncated, simulate.Dropped, polarsim.Null)
	for range 3 {
		r.live(r.Now.Now().Add(8 * time.Hour))
		for range 20 {
			if _, err := r.Backfill(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.service.Clear()
	r.jump(r.Now.Now().Add(25 * time.Hour))
	r.backfill(time.Second)
	r.same(date("2026-10-15"))
}

// A token that is withdrawn stops the account until the person consents again, and nothing is lost.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	r := connected(t, world{})
	r.MustPoll()
	r.backfill(time.Second)
	r.service.Revoke("ann")
	before := pulltest.Sum(r.service.Requests())
	r.live(r.Now.Now().Add(48 * time.Hour))
	r.NeedsConsent("the consent was withdrawn")
	refused := pulltest.Sum(r.service.Requests()) - before
	if refused > 5 { // before that Polar may be in trouble
		t.Errorf("%d requests with a token that is withdrawn", refused)
	}
	r.Restart()
	r.MustPoll()
	if n := pulltest.Sum(r.service.Requests()) - before; n != refused {
		t.Errorf("%d requests after a start", n-refused)
	}
	if _, err := r.TryConnect(0); err != nil {
		t.Fatal(err)
	}
	r.MustPoll()
	r.same(date("2026-10-15"))
	if s := r.State(); s.Phase != pull.OK || !s.ConsentEnds.IsZero() {
		t.Errorf("%+v", s)
	}
}

// Who is registered anew is told no exercises from before, and keeps those that are stored.
func TestRegisteredAnew(t *testing.T) {
	t.Parallel()
	r := connected(t, world{})
	r.MustPoll()
	r.backfill(time.Second)
	w := walking.Window{Start: at("2026-10-01T00:00:00Z"), End: at("2026-11-20T11:00:00Z")}
	steps, sessions := r.stored(w)
	if len(sessions) < 5 {
		t.Fatalf("%d sessions", len(sessions))
	}
	r.service.Deregister("ann")
	r.live(r.Now.Now().Add(4 * time.Hour))
	if s := r.State(); s.Phase != pull.NeedsConsent {
		t.Fatalf("%+v", s)
	}
	if _, err := r.TryConnect(0); err != nil || !r.service.Registered("ann") {
		t.Fatal(err)
	}
	for range 3 {
		r.jump(r.Now.Now().Add(24 * time.Hour))
		r.Restart()
	}
	gotSteps, got := r.stored(w)
	if d := diff(sessions, got); d != "" {
		t.Errorf("sessions (-before +after):\n%s", d)
	}
	if d := diff(steps, gotSteps); d != "" {
		t.Errorf("steps (-before +after):\n%.500s", d)
	}
}

// Whatever happens while somebody connects is told in words, and connecting again helps.
func TestConnecting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault simulate.Fault
		says  string // "" if it works all the same
	}{
		{"code refused", simulate.Fault{Kind: polarsim.InvalidGrant, Times: 1}, "used already or has expired"},
		{"token lost", simulate.Fault{Kind: simulate.Truncated, Path: tokenPath, Times: 1}, "makes no sense"},
		{"no token", simulate.Fault{Kind: simulate.Dropped, Path: tokenPath, Times: 1}, "no answer when asked for access"},
		{"registration lost", simulate.Fault{Kind: simulate.Dropped, Path: usersPath, Times: 1}, ""},
		{"registration lost twice", simulate.Fault{Kind: simulate.Dropped, Path: usersPath, Times: 2}, "in a few minutes"},
		{"trouble", simulate.Fault{Kind: polarsim.ServerError, Path: usersPath, Times: 1}, ""},
		{"more trouble", simulate.Fault{Kind: polarsim.ServerError, Path: usersPath, Times: 2}, "in a few minutes"},
		{"too many", simulate.Fault{Kind: polarsim.Throttle, Path: usersPath, Times: 2}, "in a few minutes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, world{plan: simulate.Plan{First: date("2026-11-15")}})
			r.service.Break(test.fault)
			_, err := r.TryConnect(0)
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
			if err != nil {
				r.Restart() // nothing was kept
				if _, err := r.TryConnect(0); err != nil {
					t.Fatal(err)
				}
			}
			r.MustPoll()
			if s := r.State(); s.Phase != pull.OK || !r.service.Registered("ann") {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Without Polar's own consents there is no data, and once they are given it goes on by itself.
func TestMandatoryConsents(t *testing.T) {
	t.Parallel()
	r := newRig(t, world{plan: simulate.Plan{First: date("2026-11-15")}})
	r.service.Grant("ann")
	r.service.SetNoConsents(true)
	_, err := r.TryConnect(0)
	if err == nil || !strings.Contains(err.Error(), "accept all of Polar's mandatory consents at https://account.polar.com, and connect it again") {
		t.Fatalf("%v", err)
	}
	r.service.SetNoConsents(false)
	if _, err := r.TryConnect(0); err != nil {
		t.Fatal(err)
	}
	r.MustPoll()
	r.service.SetNoConsents(true)
	r.live(r.Now.Now().Add(time.Hour))
	if s := r.State(); s.Phase != pull.Failing || !strings.Contains(s.Problem.Remedy, "account.polar.com") {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	r.service.SetNoConsents(false)
	r.live(r.Now.Now().Add(7 * time.Hour))
	if s := r.State(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	r.Now.Add(30 * time.Minute)
	r.MustPoll()
	r.same(date("2026-11-15"))
}

// A client with another secret is refused, in words.
func TestWrongSecret(t *testing.T) {
	r := newRig(t, world{})
	r.Use(providerAt(r.Server.URL, "another-client"))
	c, err := r.Begin(t.Context(), "ann", "watch")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Finish(t.Context(), "?state="+c.State+"&code=x")
	r.Said = append(r.Said, fmt.Sprint(err))
	if err == nil || !strings.Contains(err.Error(), "check client_id and client_secret in the config") {
		t.Errorf("%v", err)
	}
}

// What Polar says is left of its limits is kept to, also when others of the same client use it up.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := connected(t, world{plan: simulate.Plan{First: date("2026-10-15")}})
	r.service.Spend(517) // one was made to connect, and a poll makes two
	r.MustPoll()
	before := pulltest.Sum(r.service.Requests())
	for range 5 { // nothing is left until a quarter past
		if _, err := r.Backfill(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.Now.Add(2 * time.Minute)
	}
	if n := pulltest.Sum(r.service.Requests()) - before; n > 0 {
		t.Errorf("%d requests though none was left", n)
	}
	r.Now.Add(5 * time.Minute)
	r.backfill(time.Second)
	r.same(date("2026-10-15"))
	// Others use all of it up just before the next poll, which is refused, and told until when.
	r.jump(r.State().Next)
	r.Now.Set(r.State().Next.Add(-time.Minute))
	r.service.Spend(600)
	before = pulltest.Sum(r.service.Requests())
	r.jump(r.Now.Now().Add(time.Minute))
	s := r.State()
	if n := pulltest.Sum(r.service.Requests()) - before; n != 1 || s.Phase != pull.Throttled || !strings.Contains(s.Problem.Text, "429") {
		t.Errorf("%d requests, then %+v %+v", n, s, s.Problem)
	}
	if wait := s.Next.Sub(r.Now.Now()); wait != 14*time.Minute {
		t.Errorf("asked again after %s", wait)
	}
	r.jump(s.Next)
	if s := r.State(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	r.jump(r.Now.Now().Add(4 * time.Hour)) // exercises as well
	r.same(date("2026-10-15"))
}
