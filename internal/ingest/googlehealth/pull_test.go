package googlehealth_test

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

// Whatever state an account is in, it is said in words with what to do, hardly anything is asked meanwhile, and all is
// there once it is mended.
func TestAccounts(t *testing.T) {
	t.Parallel()
	const signUp = "sign in to the Google Health app with this Google account, and finish setting it up"
	for _, tt := range []struct {
		kind   simulate.Kind
		phase  pull.Phase
		text   string
		remedy string
		most   int // requests in ten hours
	}{
		{
			healthsim.NotLinked, pull.Failing, "there is no health data with this Google account",
			signUp + ", or go to https://fitbit.google.com/auth/signup", 3 * 2,
		},
		{healthsim.NoProfile, pull.Failing, "there is no health profile with this Google account", signUp, 3 * 2},
		{healthsim.NotFound, pull.Failing, "answered 404 Not Found", "update walkd, or take api_url out of the config if it is there", 3 * 2},
		{
			healthsim.Disabled, pull.Failing, "the API is not enabled in the project of the client ID",
			"enable the Google Health API at https://console.developers.google.com/apis/api/health.googleapis.com/overview?project=123456789 and wait",
			3 * 2,
		},
		{healthsim.Legacy, pull.Failing, "this is an old Fitbit account", "move the Fitbit account to a Google account", 3 * 2},
		{healthsim.Forbidden, pull.NeedsConsent, "the consent has lost its effect", "take the access away from walkd", 2},
		{healthsim.Unauthorized, pull.NeedsConsent, "refuses access that it has only just given", "run `walkd connect watch`", 3 * 5},
		{healthsim.Expired, pull.NeedsConsent, "refuses access that it has only just given", "run `walkd connect watch`", 3 * 5},
		{healthsim.Throttle, pull.Throttled, "answered 429 Too Many Requests", "", 2 * 16},
		{healthsim.ServerError, pull.Failing, "answered 500 Internal Server Error", "", 2 * 16},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigPlan{start: "2026-11-20T08:03:20Z"})
			r.Connect()
			r.service.Break(simulate.Fault{Kind: tt.kind, Path: "ann /v4/"})
			before := r.service.Requests()
			r.Live(r.Now.Now().Add(10 * time.Hour))
			s := r.State()
			if s.Problem == nil || s.Phase != tt.phase || !strings.Contains(s.Problem.Text, tt.text) || !strings.HasPrefix(s.Problem.Remedy, tt.remedy) ||
				(tt.remedy == "") != (s.Problem.Remedy == "") {
				t.Errorf("%s, %+v", s.Phase, s.Problem)
			}
			asked := r.asked(before)
			if n := pulltest.Sum(asked); n > tt.most {
				t.Errorf("%d requests in ten hours, want at most %d: %v", n, tt.most, asked)
			}
			if n := strings.Count(r.Log.String(), "cannot pull from a source"); n < 1 || n > 2 { // 401 is no matter of consent at first
				t.Errorf("it is said %d times", n)
			}
			if steps, _ := r.stored(); len(steps) > 0 {
				t.Errorf("%d minutes are stored", len(steps))
			}
			r.service.Clear()
			if tt.phase == pull.NeedsConsent {
				r.Connect()
			}
			r.Live(r.Now.Now().Add(6*time.Hour + 30*time.Minute)) // by itself
			r.MustSync()
			if s := r.State(); s.Phase != pull.OK || s.Problem != nil {
				t.Errorf("mended: %s, %+v", s.Phase, s.Problem)
			}
			r.same(r.synced())
			r.Quiet()
		})
	}
}

// A consent that has lost its effect is not mended by another, only by taking it back first.
func TestLostConsent(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.Connect()
	r.MustPoll()
	r.service.LoseConsent("ann")
	r.Now.Add(2 * time.Hour)
	r.MustPoll()
	lost := func(when string) {
		t.Helper()
		s := r.State()
		if s.Phase != pull.NeedsConsent || !strings.Contains(s.Problem.Text, "the consent has lost its effect") ||
			s.Problem.Remedy != "take the access away from walkd at https://myaccount.google.com/connections, and connect it again" {
			t.Errorf("%s: %s, %+v", when, s.Phase, s.Problem)
		}
	}
	lost("at once")
	before := r.service.Requests()
	r.Live(r.Now.Now().Add(24 * time.Hour))
	if n := pulltest.Sum(r.asked(before)); n > 0 {
		t.Errorf("%d requests while it waits for the person", n)
	}
	r.Connect()
	r.MustPoll()
	lost("connected without taking it back")
	if err := r.provider().Revoke(t.Context(), http.DefaultClient, r.Token()); err != nil {
		t.Error(err)
	}
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	if s := r.State(); s.Phase != pull.OK {
		t.Errorf("connected after taking it back: %s, %+v", s.Phase, s.Problem)
	}
	r.same(r.synced())
	r.Quiet()
}

// A consent that is ended from here is over for Google as well, and ending it once more is no error.
func TestRevokedConsent(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.Connect()
	r.MustPoll()
	for range 2 {
		if err := r.provider().Revoke(t.Context(), http.DefaultClient, r.Token()); err != nil {
			t.Error(err)
		}
	}
	r.Now.Add(2 * time.Hour)
	r.MustPoll()
	if s := r.State(); s.Phase != pull.NeedsConsent || !strings.Contains(s.Problem.Text, "the consent has ended or was withdrawn") {
		t.Errorf("%s, %+v", s.Phase, s.Problem)
	}
	r.Connect()
	r.MustPoll()
	if s := r.State(); s.Phase != pull.OK {
		t.Errorf("connected again: %s, %+v", s.Phase, s.Problem)
	}
	r.Quiet()
}

// People can untick each right. Without activity there is nothing to do; without settings all data comes, and how far it
// is synced is what it says itself. What was granted before stays granted.
func TestScopesInPart(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{start: "2026-11-19T22:03:20Z", option: func(o *healthsim.Options) { o.Granted = []string{healthsim.ScopeSettings} }})
	_, err := r.TryConnect(0)
	if err == nil || !strings.Contains(err.Error(), "connect it again, and leave the box for activity and fitness data ticked") {
		t.Errorf("settings alone: %v", err)
	}
	if s := r.State(); s.Connected {
		t.Errorf("settings alone: %+v", s)
	}
	r.service.Revoke("ann")
	r.service.SetGranted([]string{healthsim.ScopeActivity})
	if c := r.Connect(); !slices.Equal(c.Scopes, []string{activity}) || c.Zone != nil {
		t.Errorf("activity alone: %+v", c)
	}
	r.MustPoll()
	r.MustBackfill()
	r.Live(at("2026-11-20T00:00:00Z"))
	before := r.service.Requests()
	r.Live(at("2026-11-21T00:00:00Z"))
	asked := r.asked(before)
	if n := pulltest.Sum(asked); n > pull.DefaultDaily || asked["pairedDevices"]+asked["settings"] > 0 {
		t.Errorf("%d requests in a day, %v", n, asked)
	}
	t.Logf("a day without settings: %v", asked)
	r.Now.Set(at("2026-11-21T09:05:00Z"))
	r.MustSync()
	if s := r.State(); s.Phase != pull.OK || !s.Synced.IsZero() {
		t.Errorf("%s, synced %s, %+v", s.Phase, s.Synced, s.Problem)
	}
	points := r.Person.Points(walking.Window{Start: r.Now.Now().Add(-48 * time.Hour), End: r.Now.Now()}, r.Now.Now())
	if got, want := r.Stream().SyncedThrough, points[len(points)-1].Start.Add(time.Minute); !got.Equal(want) {
		t.Errorf("synced through %s, want the end of the last minute with steps, %s", got, want)
	}
	r.same(r.synced())
	if n := strings.Count(r.Log.String(), "leave the box for settings ticked"); n != 1 {
		t.Errorf("it is said %d times that the right is missing", n)
	}
	if !strings.Contains(r.Log.String(), "level=WARN") {
		t.Error("nothing warns of the right that is missing")
	}
	// The other right is added later, and the first stays although it is not ticked now.
	r.service.SetGranted([]string{healthsim.ScopeSettings})
	if c := r.Connect(); len(c.Scopes) != 2 || c.Zone.String() != "Europe/Oslo" {
		t.Errorf("both: %+v", c)
	}
	r.MustPoll()
	if s := r.State(); s.Phase != pull.OK || !s.Synced.Equal(r.synced().Truncate(time.Second)) {
		t.Errorf("both: %s, synced %s, %+v", s.Phase, s.Synced, s.Problem)
	}
	r.Quiet()
}

// Google has answered 500 to clients that ask for several things at once. Polls and the backfill do, and get there.
func TestParallel(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 40, option: func(o *healthsim.Options) { o.Parallel = 1 }})
	r.Connect()
	r.MustPoll()
	// Two of them meet: the first waits for the second, which is then one too many.
	var met sync.Once
	arrived, refused := make(chan struct{}), make(chan struct{})
	f := func(w http.ResponseWriter, q *http.Request) bool {
		first := false
		if strings.Contains(q.URL.Path, "/steps/") {
			met.Do(func() { first = true })
		}
		if first {
			r.service.ServeHTTP(slowly{w, func() { close(arrived); <-refused }}, q)
		}
		return first
	}
	r.Hook.Store(&f)
	backfilled := make(chan error, 1)
	go func() { _, err := r.Backfill(t.Context()); backfilled <- err }()
	<-arrived
	r.Now.Add(time.Hour)
	r.MustPoll()
	if s := r.State(); s.Problem == nil || !strings.Contains(s.Problem.Text, "answered 500 Internal Server Error") {
		t.Errorf("%s, %+v", s.Phase, s.Problem)
	}
	close(refused)
	if err := <-backfilled; err != nil {
		t.Error(err)
	}
	r.Live(r.Now.Now().Add(time.Hour))
	r.MustBackfill()
	r.MustSync()
	if s := r.State(); s.Phase != pull.OK {
		t.Errorf("%s, %+v", s.Phase, s.Problem)
	}
	r.same(r.synced())
}

// slowly calls wait before an answer begins.
type slowly struct {
	http.ResponseWriter
	wait func()
}

func (s slowly) Header() http.Header {
	s.wait()
	return s.ResponseWriter.Header()
}

// The list of all points has about twice the steps that were walked. What walkd has is the truth, to the step: by minutes,
// and as Google itself adds up the days, by either reading of a date and in either order. Nothing depends on what nobody
// has documented, nor on how whole numbers are written, nor on pages that are empty.
func TestFiguresAreTheTruth(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]func(*healthsim.Options){
		"as documented": nil,
		"otherwise": func(o *healthsim.Options) {
			o.LastInclusive, o.OldestFirst, o.Numbers, o.EmptyFirst, o.Future = true, true, true, true, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigPlan{days: 31, option: option})
			worn := at("2026-11-02T23:00:00Z") // 3 November is not worn, and on the 4th nobody walks
			r.Person.Delete(walking.Window{Start: worn, End: worn.Add(48 * time.Hour)})
			r.Person.Correct(worn.Add(30*time.Hour), 0)
			r.Connect()
			r.MustPoll()
			r.MustBackfill()
			for path, n := range r.asked(nil) {
				if !slices.Contains([]string{
					"steps", "steps/dataPoints:dailyRollUp", "exercise", "pairedDevices", "settings", "token",
				}, path) {
					t.Errorf("%d requests for %s", n, path)
				}
			}
			want := map[walking.Day]float64{}
			for _, p := range r.Person.Points(walking.Window{End: r.Now.Now()}, r.Now.Now()) {
				want[walking.DayOf(p.Start.In(oslo).Date())] += float64(p.Steps)
			}
			if len(want) != 31 || want[day("2026-11-04")] != 0 {
				t.Fatalf("the person has %d days", len(want))
			}
			listed := r.listed()
			all, once := 0.0, 0.0
			for d, n := range want {
				all, once = all+listed[d], once+n
			}
			if math.Abs(all/once-2) > 0.1 {
				t.Errorf("the list has %.2f times the steps, want about twice", all/once)
			}
			got := map[walking.Day]float64{}
			steps, _ := r.stored()
			for start, n := range steps {
				got[walking.DayOf(start.In(oslo).Date())] += n
			}
			if got[day("2026-11-04")] = 0; diff(want, got) != "" {
				t.Errorf("days (-walked +stored):\n%s", diff(want, got))
			}
			told := map[walking.Day]float64{}
			first := r.Person.First() - 5
			list, err := totaler(r.provider().Source(&http.Client{Transport: bearer(r.Token().Access)}))(t.Context(), first, first+100)
			for _, total := range list {
				told[total.Day] = total.Steps
			}
			if d := diff(want, told); err != nil || d != "" {
				t.Errorf("error %v, totals (-walked +told):\n%s", err, d)
			}
		})
	}
}

// listed returns the steps of days in the list of all points.
func (r *rig) listed() map[walking.Day]float64 {
	r.T.Helper()
	out := map[walking.Day]float64{}
	client := &http.Client{Transport: bearer(r.Token().Access)}
	for token := ""; ; {
		resp, err := client.Get(r.Server.URL + "/v4/users/me/dataTypes/steps/dataPoints?pageSize=10000&pageToken=" + token)
		if err != nil {
			r.T.Fatal(err)
		}
		var page struct {
			DataPoints []struct {
				Steps struct {
					Interval struct{ StartTime time.Time }
					Count    any
				}
			}
			NextPageToken string
		}
		if err := ingest.ReadJSON("the service", resp, &page); err != nil {
			r.T.Fatal(err)
		}
		for _, p := range page.DataPoints {
			var n float64
			if p.Steps.Count != nil {
				if _, err := fmt.Sscan(fmt.Sprint(p.Steps.Count), &n); err != nil {
					r.T.Fatal(err)
				}
			}
			out[walking.DayOf(p.Steps.Interval.StartTime.In(oslo).Date())] += n
		}
		if token = page.NextPageToken; token == "" {
			return out
		}
	}
}

// A band that syncs does not make a watch look fresh that has not.
func TestWatchIsStaleWhileABandSyncs(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{start: "2026-11-20T08:03:20Z"})
	r.service.Pair("ann", healthsim.Device{Product: "Inspire 3", Type: "TRACKER", Synced: func(now time.Time) time.Time {
		return now.Truncate(5 * time.Minute)
	}})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	off := walking.Window{Start: at("2026-11-20T09:00:00Z"), End: at("2026-11-20T17:00:00Z")} // the watch has no phone near it
	r.Person.NoSync(off)
	r.Live(at("2026-11-20T16:50:00Z"))
	last := r.synced()
	if s := r.State(); s.Phase != pull.OK || s.Synced.Sub(last).Truncate(time.Millisecond) != 0 {
		t.Errorf("%s, synced at %s, want %s", s.Phase, s.Synced, last)
	}
	if got := r.Stream().SyncedThrough; got.Sub(last) > time.Millisecond {
		t.Errorf("synced through %s, want %s and no more", got, last)
	}
	r.same(last)
	r.Live(at("2026-11-20T18:00:00Z"))
	r.MustSync()
	if got, now := r.Stream().SyncedThrough, r.synced(); got.Sub(now).Abs() > 10*time.Minute {
		t.Errorf("once it has synced again: synced through %s, want %s", got, now)
	}
	r.same(r.synced())
}

// A band is worn while the watch is charged: what it counts comes as soon as it syncs, and counts as fresh up to its last
// minute, although the watch is what the account is known to be synced by.
func TestBandIsWornWhileTheWatchIsStale(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{start: "2026-11-20T08:03:20Z"})
	charged := at("2026-11-20T08:00:00Z")
	r.service.Pair("ann", healthsim.Device{Product: "Pixel Watch 4", Type: "TRACKER", Synced: func(time.Time) time.Time { return charged }})
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	before := r.service.Requests()
	r.Live(at("2026-11-20T13:03:20Z"))
	asked := r.asked(before)
	if asked["steps"] < 10 { // every 25 minutes
		t.Errorf("asked %v in five hours", asked)
	}
	points := r.Person.Points(walking.Window{Start: charged, End: r.Now.Now()}, r.Now.Now())
	newest := points[len(points)-1].Start.Add(time.Minute)
	if got := r.Stream().SyncedThrough; newest.Sub(got) > 30*time.Minute || got.After(newest) {
		t.Errorf("synced through %s, the newest minute ends at %s", got, newest)
	}
	r.MustSync()
	r.same(r.synced())
}

// Nobody waits for a watch that lies in a drawer, nor for a scale.
func TestWatchInADrawer(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{days: 40, plan: simulate.Plan{Every: 24 * time.Hour, Night: 24 * time.Hour}}) // the band syncs once a day
	drawer := at("2026-10-20T08:00:00Z")
	r.service.Pair("ann", healthsim.Device{Product: "Versa 2", Type: "TRACKER", Synced: func(time.Time) time.Time { return drawer }})
	r.Connect()
	r.Live(at("2026-11-21T12:00:00Z"))
	r.MustSync()
	if got, want := r.Stream().SyncedThrough, at("2026-11-21T00:00:00Z"); !got.Equal(want) {
		t.Errorf("synced through %s, want the sync of the band, %s", got, want)
	}
	r.same(r.synced())
	// A scale alone is nothing that counts steps.
	r.Person.Delete(walking.Window{Start: at("2026-01-01T00:00:00Z"), End: at("2026-12-31T00:00:00Z")})
	d, err := describer(r.provider().Source(&http.Client{Transport: bearer(r.Token().Access)}))(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, device := range d.Devices {
		names = append(names, device.Name+", "+device.Synced.Format("01-02")+", "+device.Battery)
	}
	if got := diff([]string{"Charge 6, 11-21, 85 %", "Versa 2, 10-20, "}, names); got != "" || d.Zone.String() != "Europe/Oslo" {
		t.Errorf("zone %s, devices (-want +got):\n%s", d.Zone, got)
	}
}

// A grant of a client in testing ends after a week, whatever is renewed and whenever walkd is started; it is told before
// and after, and the next consent has its own end, or none.
func TestGrantOfAWeek(t *testing.T) {
	t.Parallel()
	const week = 7 * 24 * time.Hour
	r := newRig(t, rigPlan{option: func(o *healthsim.Options) { o.GrantFor = week }})
	ends := r.Now.Now().Add(week)
	near := func(got time.Time) bool { return got.Sub(ends).Abs() <= 2*time.Second }
	if c := r.Connect(); !near(c.Ends) {
		t.Errorf("connected until %s, want %s", c.Ends, ends)
	}
	for range 6 {
		before := r.Token().Access
		r.Live(r.Now.Now().Add(time.Hour))
		r.Now.Add(23 * time.Hour)
		r.MustPoll()
		if r.Token().Access == before {
			t.Error("nothing was renewed in a day")
		}
		r.Restart()
		if s := r.State(); s.Phase != pull.OK || !near(s.ConsentEnds) {
			t.Errorf("%s: %s until %s, want %s", r.Now.Now(), s.Phase, s.ConsentEnds, ends)
		}
	}
	// A new consent in time has an end of its own.
	ends = r.Now.Now().Add(week)
	if c := r.Connect(); !near(c.Ends) || !near(r.State().ConsentEnds) {
		t.Errorf("connected anew until %s, want %s", c.Ends, ends)
	}
	r.Now.Set(ends.Add(-time.Hour))
	r.Live(ends.Add(2 * time.Hour))
	if s := r.State(); s.Phase != pull.NeedsConsent || !strings.Contains(s.Problem.Text, "the consent has ended or was withdrawn") ||
		s.Problem.Remedy != "run `walkd connect watch`" {
		t.Errorf("at the end: %s, %+v", s.Phase, s.Problem)
	}
	// The client is published.
	r.service.SetGrantFor(0)
	if c := r.Connect(); !c.Ends.IsZero() {
		t.Errorf("published: connected until %s", c.Ends)
	}
	r.Live(r.Now.Now().Add(2 * time.Hour))
	r.Now.Add(2 * week)
	r.Restart()
	r.MustSync()
	if s := r.State(); s.Phase != pull.OK || !s.ConsentEnds.IsZero() {
		t.Errorf("published: %s until %s", s.Phase, s.ConsentEnds)
	}
	r.same(r.synced())
	r.Quiet()
}
