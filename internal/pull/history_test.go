package pull_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// begun returns a rig that is connected and has polled once.
func begun(t testing.TB, rigged func(testing.TB) *rig) *rig {
	r := rigged(t)
	r.service.lock(func() { r.service.synced = r.now.Now() })
	r.connect()
	r.poll()
	r.service.asked()
	return r
}

// later polls again at a time when that is due, with a device that has just synced.
func (r *rig) later(d time.Duration) {
	r.t.Helper()
	r.now.add(d)
	r.service.lock(func() { r.service.synced = r.now.Now() })
	r.poll()
}

func TestCorrectionsStick(t *testing.T) {
	for name, rigged := range map[string]func(testing.TB) *rig{"minutely": minutelyRig, "odd": oddRig} {
		t.Run(name, func(t *testing.T) {
			r := rigged(t)
			r.service.walk(noon.Add(-30*time.Hour), 30, 100)
			r.service.walk(noon.Add(-2*time.Hour), 30, 100)
			r.service.lock(func() { r.service.synced = noon })
			r.connect()
			r.poll()
			r.same()
			// Late, corrected downwards and deleted, within the look-back of every poll.
			r.service.walk(noon.Add(-20*time.Hour), 10, 80)
			r.service.walk(noon.Add(-30*time.Hour), 10, 40)
			r.service.lock(func() { delete(r.service.steps, noon.Add(-2*time.Hour)) })
			r.later(time.Hour)
			r.same()
			if got := r.state(); got.Phase != pull.OK {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestLookBacks(t *testing.T) {
	r := begun(t, minutelyRig)
	r.service.walk(noon.Add(-days(6)), 10, 100) // late, from before the first poll; the feedless source cannot tell
	r.service.walk(noon.Add(-days(32)), 10, 100)
	r.later(time.Hour)
	if n := len(r.stored()); n != 0 {
		t.Errorf("after an hour %d minutes are stored, want none: they are too long ago", n)
	}
	r.now.set(noon.Add(16 * time.Hour)) // 04:00 in Berlin, after the day's look-back is due, also in the quiet hours
	r.poll()
	if n := len(r.stored()); n != 10 {
		t.Errorf("after the day's look-back %d minutes are stored, want 10", n)
	}
	r.service.asked()
	r.now.add(time.Hour)
	r.poll()
	if got := fmt.Sprint(r.service.asked()); strings.Contains(got, "/minutes") {
		t.Errorf("data was fetched again in the night without news: %s", got)
	}
	r.later(30 * time.Minute)
	if got := fmt.Sprint(r.service.asked()); strings.Contains(got, "/minutes") {
		t.Errorf("in the night data was fetched within two hours: %s", got)
	}
	r.later(time.Hour)
	if got := fmt.Sprint(r.service.asked()); !strings.Contains(got, "/minutes") {
		t.Errorf("in the night data was not fetched after two hours: %s", got)
	}
	for d := 1; d < 7; d++ {
		r.now.set(noon.Add(days(d)))
		r.poll()
	}
	if n := len(r.stored()); n != 10 {
		t.Errorf("before the week's look-back %d minutes are stored, want 10", n)
	}
	r.now.set(noon.Add(days(4)))
	r.service.walk(noon.Add(-days(20)), 10, 100)
	r.now.set(noon.Add(days(7)))
	r.poll()
	if n := len(r.stored()); n != 20 {
		t.Errorf("after the week's look-back %d minutes are stored, want 20: those of 20 days before, not of 39", n)
	}
}

// A device that has not synced for days brings all of them when it does.
func TestDeviceSyncsLate(t *testing.T) {
	r := begun(t, minutelyRig)
	for range 4 * 24 {
		r.now.add(time.Hour)
		r.poll() // nothing new
	}
	if got := r.state(); got.Phase != pull.Waiting {
		t.Errorf("phase %q, want waiting", got.Phase)
	}
	for d := range 4 {
		r.service.walk(noon.Add(days(d)+time.Hour), 10, 100)
	}
	r.later(time.Hour)
	r.same()
	if got, want := r.stream().SyncedThrough, r.now.Now(); !got.Equal(want) {
		t.Errorf("synced through %s, want %s", got, want)
	}
}

func TestGaps(t *testing.T) {
	for name, rigged := range map[string]func(testing.TB) *rig{"minutely": minutelyRig, "odd": oddRig} {
		t.Run(name, func(t *testing.T) {
			r := begun(t, rigged)
			r.backfill(1000)
			for d := range 75 { // walkd is off
				r.service.walk(noon.Add(days(d)+time.Hour), 3, 100)
			}
			r.restart()
			r.later(days(75))
			oldest := time.Time{}
			for at := range r.stored() {
				if oldest.IsZero() || at.Before(oldest) {
					oldest = at
				}
			}
			if back := r.now.Now().Sub(oldest); back < days(36) || back > days(38) {
				t.Errorf("one poll reached back %s, want about 37 days", back)
			}
			if s := r.state(); s.Backfill.Done {
				t.Error("the backfill is done before the rest of the gap was fetched")
			}
			r.backfill(100)
			r.same()
			if s := r.state(); !s.Backfill.Done {
				t.Errorf("%+v", s.Backfill)
			}
		})
	}
}

func TestFeed(t *testing.T) {
	r := begun(t, oddRig)
	r.backfill(1000)
	// Corrections far back, which no look-back of this hour would see.
	r.service.walk(noon.Add(-days(10)), 10, 100)
	r.service.walk(noon.Add(-days(100)), 10, 100)
	r.service.lock(func() {
		for _, d := range []int{10, 100} {
			at := noon.Add(-days(d))
			r.service.changes = append(r.service.changes, walking.Window{Start: at, End: at.Add(time.Hour)})
		}
		r.service.fault = func(w http.ResponseWriter, q *http.Request) bool {
			if q.FormValue("date") != "2026-11-10" {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
	})
	r.later(time.Hour)
	if got := r.state(); got.Phase != pull.Failing {
		t.Errorf("phase %q, want failing", got.Phase)
	}
	// The cursor must not have moved.
	r.restart()
	r.service.lock(func() { r.service.fault = nil })
	r.service.asked()
	r.later(time.Hour)
	if got := r.service.askedData()[0]; got != "/changes?cursor=0" {
		t.Errorf("after a failure the feed was asked %q, want it from cursor 0", got)
	}
	if got := len(r.stored()); got != 10 {
		t.Errorf("%d minutes are stored, want the 10 of 10 days ago at once", got)
	}
	r.backfill(10)
	r.same()
	r.service.asked()
	r.later(time.Hour)
	if got := r.service.askedData()[0]; got != "/changes?cursor=2" {
		t.Errorf("then the feed was asked %q, want it from cursor 2", got)
	}
}

// A failure in the middle replaces nothing, and what was stored before it stays.
func TestFailureInTheMiddle(t *testing.T) {
	r := minutelyRig(t)
	r.service.walk(noon.Add(-time.Hour), 10, 100)
	r.service.lock(func() {
		r.service.synced = noon
		r.service.sessions = []walking.Session{{
			Start: noon.Add(-time.Hour), End: noon.Add(-50 * time.Minute), Moving: 10 * time.Minute, Kind: walking.Walk,
		}}
	})
	r.connect()
	r.poll()
	before, synced := r.stored(), r.stream().SyncedThrough
	r.service.lock(func() {
		clear(r.service.steps)
		r.service.fault = func(w http.ResponseWriter, q *http.Request) bool {
			if q.URL.Path != "/walks" {
				return false
			}
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`[{"Start":"2026`))
			return true
		}
	})
	r.later(4 * time.Hour) // when sessions are due
	if diff := cmp.Diff(before, r.stored()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if got := r.stream().SyncedThrough; !got.Equal(synced) {
		t.Errorf("synced through %s, want %s as before", got, synced)
	}
	if got := r.state(); got.Phase != pull.Failing || !strings.Contains(got.Problem.Text, "broke off") {
		t.Errorf("%+v %+v", got, got.Problem)
	}
	r.service.lock(func() { r.service.fault = nil })
	r.later(time.Hour)
	r.same()
	if log := r.log.String(); strings.Count(log, "cannot pull from a source") != 1 ||
		strings.Count(log, "a source answers again") != 1 {
		t.Errorf("want the problem's begin and end in the log, once each:\n%s", log)
	}
}

func TestBackfill(t *testing.T) {
	for name, rigged := range map[string]func(testing.TB) *rig{"minutely": minutelyRig, "odd": oddRig} {
		t.Run(name, func(t *testing.T) {
			r := rigged(t)
			// Days all over the year, among them those on which the clocks change; and one before a pause of years.
			for _, d := range []int{3, 26, 27, 100, 236, 237, 300} {
				r.service.walk(noon.Add(-days(d)), 10, 100)
			}
			for _, at := range []string{"2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-10-25T00:30:00Z"} {
				when, err := time.Parse(time.RFC3339, at)
				if err != nil {
					t.Fatal(err)
				}
				r.service.walk(when, 5, 60)
			}
			r.service.lock(func() { r.service.synced = noon })
			r.connect()
			r.poll()
			rounds := 0
			for ; rounds < 2000; rounds++ {
				if rounds == 3 { // a crash: what is done stays done
					reached := r.state().Backfill.Reached
					ctx, cancel := context.WithCancel(t.Context())
					r.service.lock(func() {
						r.service.fault = func(http.ResponseWriter, *http.Request) bool { cancel(); return false }
					})
					if _, err := r.Backfill(ctx); !errors.Is(err, context.Canceled) {
						t.Errorf("err = %v", err)
					}
					r.service.lock(func() { r.service.fault = nil })
					r.restart()
					if got := r.state(); got.Backfill.Reached != reached || got.Problem != nil {
						t.Errorf("after a crash: %+v, want %s reached", got, reached)
					}
				}
				if r.backfill(1); r.state().Backfill.Done {
					break
				}
				r.now.add(time.Minute)
			}
			s := r.state()
			if name == "odd" && (s.Backfill.Reached != walking.DayOf(2026, 1, 1) || r.stored()[noon.Add(-days(300))] != 100) {
				t.Errorf("%+v", s.Backfill)
			}
			r.same()
			if !strings.Contains(r.log.String(), "the history of a source is complete") {
				t.Error("the log does not tell of the end of the backfill")
			}
			before := r.stream().SyncedThrough
			if before.After(noon) {
				t.Errorf("synced through %s, want no more than the poll said", before)
			}
		})
	}
}

func TestBackfillEndsWithoutData(t *testing.T) {
	r := minutelyRig(t)
	r.service.walk(noon.Add(-days(50)), 10, 100)
	r.connect()
	r.poll()
	n := r.backfill(1000)
	s := r.state()
	empty := int(walking.NewTimeline(berlin(t)).Day(noon.Add(-days(50))) - s.Backfill.Reached)
	if !s.Backfill.Done || empty < 182-14 || empty > 182+28 {
		t.Errorf("done %t after %d windows and %d empty days, want 26 weeks", s.Backfill.Done, n, empty)
	}
}

func TestTravel(t *testing.T) {
	auckland, angeles := location(t, "Pacific/Auckland"), location(t, "America/Los_Angeles")
	for name, changes := range map[string][]walking.ZoneChange{
		"a day in two pieces": {
			{From: noon.Add(-days(30)), Zone: auckland},
			{From: time.Date(2026, 11, 20, 19, 0, 0, 0, time.UTC), Zone: angeles},
		},
		"a day lost": {
			{From: noon.Add(-days(30)), Zone: angeles},
			{From: time.Date(2026, 11, 21, 19, 0, 0, 0, time.UTC), Zone: auckland},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := oddRig(t)
			r.configure(changes...)
			r.service.lock(func() { r.service.zones = walking.NewTimeline(berlin(t), changes...) })
			r.connect()
			for range 24 * 4 {
				now := r.now.Now()
				r.service.walk(now.Truncate(time.Hour).Add(-20*time.Minute), 2, 100)
				r.now.add(time.Hour)
				r.poll()
				if s := r.state(); s.Problem != nil {
					t.Fatalf("%s: %+v", now, s.Problem)
				}
			}
			r.sync(pull.SyncRequest{})
			// A time that the person's clock showed twice on one date cannot be told apart in local times.
			want := r.truth()
			for at := range want {
				z := walking.NewTimeline(berlin(t), changes...)
				h, m, _ := at.In(z.At(at)).Clock()
				if twice := z.Clock(z.Day(at), walking.WallTime(h*60+m)); len(twice) > 1 {
					for _, x := range twice {
						delete(want, x)
					}
				}
			}
			got := r.stored()
			for at := range want {
				if got[at] != want[at] {
					t.Errorf("%s: %g steps, want %g", at, got[at], want[at])
				}
			}
		})
	}
}

func TestClockSetBack(t *testing.T) {
	r := begun(t, minutelyRig)
	r.later(days(2))
	r.now.set(noon.Add(time.Hour))
	r.service.walk(noon, 10, 100)
	r.service.lock(func() { r.service.synced = r.now.Now() })
	next := r.poll()
	r.same()
	if s := r.state(); s.Phase != pull.OK || next.Sub(r.now.Now()) > 30*time.Minute {
		t.Errorf("%+v, next %s", s, next)
	}
	// And a pause that was noted while the clock was ahead does not hold for ever.
	r.now.add(days(400))
	r.service.lock(func() {
		r.service.fault = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusTeapot); return true }
	})
	r.poll()
	if s := r.state(); s.Phase != pull.Failing {
		t.Fatalf("%+v", s)
	}
	r.service.lock(func() { r.service.fault = nil })
	r.now.set(noon.Add(2 * time.Hour))
	r.poll()
	if s := r.state(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
}

func TestSyncOfARange(t *testing.T) {
	r := begun(t, oddRig)
	for _, d := range []int{20, 25, 31} {
		r.service.walk(noon.Add(-days(d)), 10, 100)
	}
	q := pull.SyncRequest{From: walking.DayOf(2026, 10, 20), To: walking.DayOf(2026, 10, 31)}
	// Broken off, and done again.
	ctx, cancel := context.WithCancel(t.Context())
	var said []pull.Progress
	_, err := r.Sync(ctx, q, func(p pull.Progress) {
		if said = append(said, p); len(said) == 7 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	if len(said) != 7 || said[6].Done != 7 || said[6].Total != 12 || said[6].Day != walking.DayOf(2026, 10, 25) ||
		said[6].Records != 20 {
		t.Errorf("progress %+v", said)
	}
	if got := len(r.stored()); got != 20 {
		t.Errorf("%d minutes are stored, want 20", got)
	}
	results := r.sync(q)
	want := []pull.SyncResult{{
		Person: "alex", Source: "watch", Days: 12, Records: 30, Requests: 12,
		Changes: store.Changes{Added: 10, Unchanged: 20},
	}}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if _, err := r.Sync(t.Context(), pull.SyncRequest{Source: "clock"}, nil); err == nil ||
		!strings.Contains(err.Error(), "alex/watch") {
		t.Errorf("unknown source: err = %v", err)
	}
}

// What a person has pulled by hand need not be pulled again, unless there is a hole before it.
func TestSyncOfARangeSparesTheBackfill(t *testing.T) {
	r := begun(t, oddRig)
	before := r.state().Backfill.Reached
	r.sync(pull.SyncRequest{From: walking.DayOf(2026, 9, 1), To: before - 2})
	if got := r.state().Backfill.Reached; got != before {
		t.Errorf("reached %s over a hole, want %s", got, before)
	}
	r.sync(pull.SyncRequest{From: walking.DayOf(2026, 10, 20)})
	if got := r.state().Backfill.Reached; got != walking.DayOf(2026, 10, 20) {
		t.Errorf("reached %s, want 2026-10-20", got)
	}
	r.sync(pull.SyncRequest{From: walking.DayOf(2026, 11, 1)})
	if got := r.state().Backfill.Reached; got != walking.DayOf(2026, 10, 20) {
		t.Errorf("a shorter range moved it to %s", got)
	}
}

func TestSyncNowWhateverTheTime(t *testing.T) {
	r := begun(t, minutelyRig)
	r.service.walk(noon.Add(-time.Minute), 1, 100)
	for range 45 { // more than polls may ask
		r.sync(pull.SyncRequest{})
	}
	r.same()
	r.service.lock(func() {
		r.service.fault = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
	})
	for i, want := range []string{"429", "can be asked again at"} {
		r.service.asked()
		results, err := r.Sync(t.Context(), pull.SyncRequest{}, nil)
		var e *ingest.Error
		if err != nil || !errors.As(results[0].Err, &e) || e.Class != ingest.Throttled || !strings.Contains(e.Error(), want) {
			t.Errorf("%d: %v, %v", i, results, err)
		}
		if n := len(r.service.asked()); n != 1-i {
			t.Errorf("%d: %d requests", i, n)
		}
	}
}

// How far a stream is synced is not told before all up to then is stored: days in between would look empty.
func TestSyncedThroughWaits(t *testing.T) {
	r := oddRig(t)
	r.service.walk(noon.Add(-time.Hour), 10, 100)
	r.connect()
	r.poll()
	before := r.stream().SyncedThrough
	r.service.walk(noon.Add(30*time.Minute), 10, 100)
	fails := func(w http.ResponseWriter, q *http.Request) bool {
		if q.FormValue("date") != "2026-11-19" {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	r.service.lock(func() { r.service.fault = fails })
	r.later(time.Hour)
	if n := len(r.stored()); n != 20 {
		t.Errorf("%d minutes are stored, want 20: today comes first", n)
	}
	if got := r.stream().SyncedThrough; !got.Equal(before) {
		t.Errorf("synced through %s, want %s while yesterday is missing", got, before)
	}
	r.sync(pull.SyncRequest{From: walking.DayOf(2026, 11, 20)})
	if got := r.stream().SyncedThrough; !got.Equal(before) {
		t.Errorf("after a sync of today: synced through %s, want %s", got, before)
	}
	r.service.lock(func() { r.service.fault = nil })
	r.later(time.Hour)
	if got, want := r.stream().SyncedThrough, noon.Add(40*time.Minute); !got.Equal(want) {
		t.Errorf("synced through %s, want %s", got, want)
	}
}

// A device that is not used any more costs no more from day to day.
func TestAbandonedDevice(t *testing.T) {
	r := begun(t, minutelyRig)
	r.backfill(1000)
	var last int
	for d := range 100 {
		r.now.add(24 * time.Hour)
		r.poll()
		r.backfill(1000)
		if n := len(r.service.askedData()); d%7 == 3 {
			last = n
		}
	}
	if last > 6 {
		t.Errorf("after 100 days without a sync a day takes %d requests, want a probe and a look back", last)
	}
	// It is used again, and brings what it has counted since; the service forgets it for a while.
	for _, d := range []int{1, 50, 90, 99} {
		r.service.walk(noon.Add(days(d)), 10, 100)
	}
	r.service.lock(func() { r.service.synced = time.Time{} })
	r.now.add(time.Hour)
	r.poll()
	r.later(time.Hour)
	r.backfill(1000)
	r.same()
}

// The days that a person has pulled by hand are not counted as empty ones.
func TestSyncOfARangeInAnEmptyHistory(t *testing.T) {
	r := begun(t, minutelyRig)
	r.backfill(12) // 168 days without anything; after 182 a history ends
	r.service.walk(noon.Add(-days(200)), 10, 100)
	r.service.walk(noon.Add(-days(370)), 10, 100)
	r.sync(pull.SyncRequest{From: r.day() - 320})
	r.backfill(1000)
	r.same()
}

// day returns today.
func (r *rig) day() walking.Day {
	return walking.DayOf(2026, 11, 20) + walking.Day(r.now.Now().Sub(noon)/days(1))
}

// A sync tells how many days it has asked for, also when the device brings many.
func TestSyncTellsItsDays(t *testing.T) {
	r := begun(t, minutelyRig)
	r.backfill(1000)
	for range 12 {
		r.now.add(days(1))
		r.poll()
	}
	r.service.lock(func() { r.service.synced = r.now.Now() })
	if got := r.sync(pull.SyncRequest{})[0].Days; got < 12 {
		t.Errorf("%d days, want those since the last sync of the device", got)
	}
}
