package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// movingClock is set by the test.
type movingClock struct {
	engine.WallClock
	now time.Time
}

func (c *movingClock) Now() time.Time { return c.now }

var oslo = func() *time.Location {
	loc, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		panic(err)
	}
	return loc
}()

// at returns an instant of March 2026 on Oslo's clock.
func at(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, oslo) }

// setUp returns an engine on a new store with one person in Oslo, and the clock that it goes by.
func setUp(t *testing.T) (*engine.Engine, store.Person, *movingClock) {
	t.Helper()
	clock := &movingClock{}
	e := newEngine(t, t.TempDir(), time.Time{})
	e.Clock = clock
	t.Cleanup(func() {
		if err := e.Store.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := e.Store.EnsurePerson(t.Context(), "me", oslo)
	if err != nil {
		t.Fatal(err)
	}
	return e, p, clock
}

// walk stores steady walking of a number of minutes at 80 steps a minute, from 10:00 on, and tells that the watch has
// synced up to now.
func walk(t *testing.T, e *engine.Engine, p store.Person, day, minutes int, now time.Time) {
	t.Helper()
	k := walking.StreamKey{Source: "watch"}
	b := ingest.Batch{
		Streams: []walking.Stream{{StreamKey: k, Device: walking.Wearable, Delivery: walking.Pulled, SyncedThrough: now}},
		Covers:  []ingest.Cover{{StreamKey: k, Window: walking.Window{Start: at(day, 0, 0), End: at(day, 0, 0).AddDate(0, 0, 1)}}},
	}
	rs := walking.StreamRecords{StreamKey: k}
	for i := range minutes {
		rs.Records = append(rs.Records, walking.Record{Start: at(day, 10, i), Duration: time.Minute, Steps: 80})
	}
	b.Records = []walking.StreamRecords{rs}
	if _, err := e.Store.Apply(t.Context(), p.ID, b, now); err != nil {
		t.Fatal(err)
	}
}

func deriveAt(t *testing.T, e *engine.Engine, clock *movingClock, now time.Time) int {
	t.Helper()
	clock.now = now
	n, err := e.Derive(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func day(d int) walking.Day { return walking.DayOf(2026, time.March, d) }

// show returns days as "date minutes mean7 flags".
func show(t *testing.T, e *engine.Engine, p store.Person) []string {
	t.Helper()
	days, err := e.Store.Days(t.Context(), p.ID, day(1), day(31))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range days {
		line := d.Day.String()[8:] + " " + time.Duration(d.Walking*float64(time.Minute)).String()
		if d.Mean7Days > 0 {
			line += " mean " + time.Duration(d.Mean7*float64(time.Minute)).String()
		}
		if d.Closed {
			line += " closed"
		}
		out = append(out, line)
	}
	return out
}

func wantDays(t *testing.T, e *engine.Engine, p store.Person, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, show(t, e, p)); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
}

// TestDays follows a person through a week: days appear with the clock, close when the watch has synced past them, and
// late data changes a closed day and the means after it.
func TestDays(t *testing.T) {
	e, p, clock := setUp(t)
	if n := deriveAt(t, e, clock, at(9, 8, 0)); n != 0 {
		t.Errorf("%d days derived of a person without data", n)
	}
	for d := 10; d <= 12; d++ {
		walk(t, e, p, d, 60, at(d, 20, 0))
		deriveAt(t, e, clock, at(d, 20, 0))
	}
	// The watch synced at 20:00 of the 12th: the 10th and 11th are over and complete. Three days with steps made the
	// stream active only on the 12th, so before that no day closed early.
	wantDays(t, e, p, "10 1h0m0s", "11 1h0m0s", "12 1h0m0s")
	deriveAt(t, e, clock, at(13, 0, 30))
	wantDays(t, e, p, "10 1h0m0s", "11 1h0m0s", "12 1h0m0s", "13 0s")
	// 72 hours after its end a day closes whatever is missing.
	deriveAt(t, e, clock, at(14, 0, 1))
	wantDays(t, e, p, "10 1h0m0s mean 1h0m0s closed", "11 1h0m0s mean 1h0m0s", "12 1h0m0s mean 1h0m0s", "13 0s mean 1h0m0s", "14 0s mean 1h0m0s")
	walk(t, e, p, 13, 90, at(14, 8, 0))
	deriveAt(t, e, clock, at(14, 8, 1))
	wantDays(t, e, p, "10 1h0m0s mean 1h0m0s closed", "11 1h0m0s mean 1h0m0s", "12 1h0m0s mean 1h0m0s closed",
		"13 1h30m0s mean 1h10m0s closed", "14 0s mean 1h10m0s")
	if n := deriveAt(t, e, clock, at(14, 8, 2)); n != 0 {
		t.Errorf("%d days derived when nothing changed", n)
	}
	// Late data: the 12th was longer than anybody knew.
	walk(t, e, p, 12, 120, at(14, 9, 0))
	deriveAt(t, e, clock, at(14, 9, 1))
	wantDays(t, e, p, "10 1h0m0s mean 1h0m0s closed", "11 1h0m0s mean 1h0m0s", "12 2h0m0s mean 1h30m0s closed",
		"13 1h30m0s mean 1h30m0s closed", "14 0s mean 1h30m0s")
}

func TestOlderDataBringsEarlierDays(t *testing.T) {
	e, p, clock := setUp(t)
	walk(t, e, p, 12, 30, at(12, 20, 0))
	deriveAt(t, e, clock, at(12, 20, 0))
	walk(t, e, p, 9, 40, at(12, 20, 0))
	deriveAt(t, e, clock, at(12, 20, 1))
	wantDays(t, e, p, "09 40m0s", "10 0s", "11 0s", "12 30m0s")
}

// TestDeletedBeginning deletes the data of the first day, and then all of it, at the source. The days go with it, and are
// due, so that the projection takes them back.
func TestDeletedBeginning(t *testing.T) {
	e, p, clock := setUp(t)
	walk(t, e, p, 9, 30, at(12, 20, 0))
	walk(t, e, p, 12, 30, at(12, 20, 0))
	deriveAt(t, e, clock, at(12, 20, 0))
	settleDue(t, e)
	walk(t, e, p, 9, 0, at(12, 21, 0))
	deriveAt(t, e, clock, at(12, 21, 0))
	wantDays(t, e, p, "12 30m0s")
	if got := settleDue(t, e); !slices.Contains(got, day(9)) || !slices.Contains(got, day(10)) {
		t.Errorf("due after the beginning is gone: %v", got)
	}
	walk(t, e, p, 12, 0, at(12, 21, 0))
	deriveAt(t, e, clock, at(12, 21, 0))
	wantDays(t, e, p)
	if got := settleDue(t, e); !slices.Equal(got, []walking.Day{day(12)}) {
		t.Errorf("due after everything is gone: %v", got)
	}
}

// settleDue clears all due marks and returns whose they were.
func settleDue(t *testing.T, e *engine.Engine) []walking.Day {
	t.Helper()
	due, err := e.Store.Due(t.Context(), 10000)
	if err == nil {
		err = e.Store.PutProjected(t.Context(), nil, due)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []walking.Day
	for _, d := range due {
		out = append(out, d.Day)
	}
	return out
}

// TestClockAhead has the clock run ahead, while data arrives, and be set right again. What was derived by it is taken
// back: days that are yet to come, and days that are not closed after all.
func TestClockAhead(t *testing.T) {
	e, p, clock := setUp(t)
	walk(t, e, p, 11, 30, at(12, 8, 0))
	walk(t, e, p, 12, 30, at(12, 8, 0))
	deriveAt(t, e, clock, at(12, 20, 0))
	settleDue(t, e)
	walk(t, e, p, 12, 40, at(12, 20, 0).AddDate(1, 0, 0))
	deriveAt(t, e, clock, at(12, 20, 1).AddDate(1, 0, 0))
	if days := show(t, e, p); len(days) < 20 || !strings.Contains(days[0], "closed") {
		t.Fatalf("while the clock is ahead: %v", days)
	}
	deriveAt(t, e, clock, at(12, 20, 2))
	wantDays(t, e, p, "11 30m0s", "12 40m0s")
	if got := settleDue(t, e); !slices.Contains(got, day(12)+365) || !slices.Contains(got, day(11)) {
		t.Errorf("due after the clock was set right: %v", got)
	}
	// What the watch tells now counts, although it is before what it seemed to tell then.
	walk(t, e, p, 12, 40, at(12, 21, 0))
	streams, err := e.Store.Streams(t.Context(), p)
	if err != nil || !streams[0].SyncedThrough.Equal(at(12, 21, 0)) {
		t.Errorf("streams %v, %v", streams, err)
	}
}

// TestBrokenOffDerivation breaks the derivation of older data off. Nothing is missing after the next one, neither the days
// without data.
func TestBrokenOffDerivation(t *testing.T) {
	e, p, clock := setUp(t)
	walk(t, e, p, 12, 30, at(12, 20, 0))
	deriveAt(t, e, clock, at(12, 20, 0))
	walk(t, e, p, -100, 30, at(12, 20, 0))
	ctx, cancel := context.WithCancel(t.Context())
	n, err := e.Derive(ctx, func(int, int) { cancel() })
	if !errors.Is(err, context.Canceled) || n == 0 {
		t.Fatalf("%d days, %v: want some, and context.Canceled", n, err)
	}
	deriveAt(t, e, clock, at(12, 20, 0))
	days, err := e.Store.Days(t.Context(), p.ID, day(-100), day(12))
	if err != nil || len(days) != 113 {
		t.Errorf("%d days, %v: want 113", len(days), err)
	}
}

// TestClock has a machine without a battery for its clock start in the past.
func TestClock(t *testing.T) {
	e, p, clock := setUp(t)
	walk(t, e, p, 12, 30, at(12, 20, 0))
	clock.now = time.Date(1970, 1, 1, 0, 3, 0, 0, time.UTC)
	if _, err := e.Derive(t.Context(), nil); !errors.Is(err, engine.ErrClock) || !strings.Contains(err.Error(), "2026-03-12") {
		t.Errorf("in 1970: %v, want ErrClock with the date of the data", err)
	}
	wantDays(t, e, p)
	deriveAt(t, e, clock, at(12, 20, 1))
	wantDays(t, e, p, "12 30m0s")
}

// TestReadersSeeTheDayAsItStands asks for days that the daemon has not derived yet.
func TestReadersSeeTheDayAsItStands(t *testing.T) {
	e, p, clock := setUp(t)
	for d := 9; d <= 12; d++ {
		walk(t, e, p, d, 60, at(d, 20, 0))
	}
	deriveAt(t, e, clock, at(12, 20, 0))
	walk(t, e, p, 11, 100, at(14, 7, 0)) // stored, and not derived
	now := at(14, 7, 30)
	seen, err := engine.Days(t.Context(), &e.Store.Reader, p, day(10), day(14), now)
	if err != nil {
		t.Fatal(err)
	}
	deriveAt(t, e, clock, now)
	derived, err := e.Store.Days(t.Context(), p.ID, day(10), day(14))
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 5 {
		t.Errorf("%d days, want 5", len(seen))
	}
	if diff := cmp.Diff(derived, seen); diff != "" {
		t.Errorf("a reader sees something else than is derived (-derived +seen):\n%s", diff)
	}
}

// TestTravel flies from Oslo to New York and finds the day longer.
func TestTravel(t *testing.T) {
	e, _, clock := setUp(t)
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	set := store.Settings{Name: "me", Zone: oslo, Target: 100, Quiet: walking.WallRange{From: 1290, To: 480}}
	if err := e.Store.Configure(t.Context(), []store.Settings{set}, at(12, 8, 0)); err != nil {
		t.Fatal(err)
	}
	p, err := e.Store.Person(t.Context(), "me")
	if err != nil {
		t.Fatal(err)
	}
	walk(t, e, p, 12, 30, at(12, 11, 0))
	deriveAt(t, e, clock, at(14, 20, 0))
	set.Travel = []walking.ZoneChange{{From: at(12, 18, 0), Zone: newYork}}
	if err := e.Store.Configure(t.Context(), []store.Settings{set}, at(14, 20, 0)); err != nil {
		t.Fatal(err)
	}
	deriveAt(t, e, clock, at(14, 20, 0))
	days, err := e.Store.Days(t.Context(), p.ID, day(12), day(12))
	if err != nil || len(days) != 1 {
		t.Fatal(days, err)
	}
	if d := days[0]; d.Hours != 29 || d.Zone != "America/New_York" || d.Walking != 30 {
		t.Errorf("the day of the flight: %v h in %s with %v min, want 29 h, America/New_York, 30 min", d.Hours, d.Zone, d.Walking)
	}
}

// TestDateLine begins on the 21st in Auckland and flies back into the 20th. Both days are there, by the clock of the 20th.
func TestDateLine(t *testing.T) {
	e, _, clock := setUp(t)
	auckland, begin := zone("Pacific/Auckland"), time.Date(2026, 11, 20, 11, 30, 0, 0, time.UTC)
	set := settingsIn(t, "Pacific/Auckland")
	set[0].Travel = []walking.ZoneChange{{From: begin.Add(8 * time.Hour), Zone: zone("America/Los_Angeles")}}
	if err := e.Store.Configure(t.Context(), set, begin); err != nil {
		t.Fatal(err)
	}
	p, err := e.Store.Person(t.Context(), "me")
	if err != nil {
		t.Fatal(err)
	}
	k := walking.StreamKey{Source: "watch"}
	b := ingest.Batch{Streams: []walking.Stream{{StreamKey: k, Device: walking.Wearable, Delivery: walking.Pulled}}}
	for _, at := range []time.Time{begin, begin.Add(9 * time.Hour)} {
		b.Records = append(b.Records, walking.StreamRecords{StreamKey: k, Records: []walking.Record{{Start: at, Duration: time.Minute, Steps: 80}}})
	}
	now := begin.Add(10 * time.Hour)
	if _, err := e.Store.Apply(t.Context(), p.ID, b, now); err != nil {
		t.Fatal(err)
	}
	deriveAt(t, e, clock, now)
	days, err := e.Store.Days(t.Context(), p.ID, -1<<30, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range days {
		got = append(got, fmt.Sprint(d.Day, " ", d.Walking))
	}
	if want := []string{"2026-11-20 1", "2026-11-21 1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v: it was the 21st at %s", got, want, begin.In(auckland))
	}
	if n := deriveAt(t, e, clock, now); n != 0 {
		t.Errorf("%d days derived when nothing changed", n)
	}
}

// TestLoop runs the deriving loop on a fake clock past midnight.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, t.TempDir(), time.Time{})
		e.Clock = engine.WallClock{} // the bubble's: it starts at midnight of 2000-01-01 UTC
		p, err := e.Store.EnsurePerson(t.Context(), "me", time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour)
		b := killBatch(0)
		b.Covers = nil
		for i := range b.Records[0].Records {
			b.Records[0].Records[i].Start = time.Now().Add(time.Duration(i-60) * time.Minute)
		}
		if _, err := e.Store.Apply(t.Context(), p.ID, b, time.Now()); err != nil {
			t.Fatal(err)
		}
		if ready := e.Ready(t.Context()); !slices.ContainsFunc(ready, func(s string) bool { return strings.HasPrefix(s, "starting") }) {
			t.Errorf("before the first round: %v", ready)
		}
		ended := make(chan error, 1)
		ctx, cancel := contextWithCancel(t)
		go func() { ended <- e.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if ready := e.Ready(t.Context()); len(ready) > 0 {
			t.Errorf("not ready: %v", ready)
		}
		first, last, _, err := e.Store.DayRange(t.Context(), p.ID)
		if err != nil || first.String() != "2000-01-01" || last.String() != "2000-01-02" {
			t.Errorf("days %s … %s, %v: want the new day to be there", first, last, err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := e.Store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestImportRefuses(t *testing.T) {
	e, _, clock := setUp(t)
	clock.now = at(12, 20, 0)
	for name, tt := range map[string]struct {
		req  engine.ImportRequest
		body string
		want string
	}{
		"unknown format": {engine.ImportRequest{Format: "xls"}, "", `unknown format "xls": want one of csv`},
		"unknown zone":   {engine.ImportRequest{Format: "csv", Person: "new", Zone: "Oslo"}, "", `"Oslo" is not a time zone`},
		"broken row":     {engine.ImportRequest{Format: "csv", Name: "s.csv", Person: "me"}, "start,duration,steps\n2026-03-01T10:00:00Z,60,many\n", "s.csv:2: "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := e.Import(t.Context(), tt.req, strings.NewReader(tt.body), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if first, _, ok, err := e.Store.DayRange(t.Context(), 1); ok || err != nil {
		t.Errorf("a refused import made days from %s on, %v", first, err)
	}
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

func settingsIn(t *testing.T, zone string) []store.Settings {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return []store.Settings{{Name: "me", Zone: loc, Target: 100, Quiet: walking.WallRange{From: 1290, To: 480}}}
}
