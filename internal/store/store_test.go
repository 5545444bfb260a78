package store_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	watch = walking.StreamKey{Source: "watch"}
	phone = walking.StreamKey{Source: "apple-health", Origin: "Alex’s iPhone"}
	day1  = walking.DayOf(2026, time.March, 10)
	noon  = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	later = time.Date(2026, 3, 20, 9, 0, 0, 0, time.UTC)
)

func open(tb testing.TB, dir string) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			tb.Error(err)
		}
	})
	return s
}

func person(tb testing.TB, s *store.Store) store.Person {
	tb.Helper()
	p, err := s.EnsurePerson(tb.Context(), "me", time.UTC)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// minutes returns one record a minute from start on.
func minutes(start time.Time, steps ...float64) []walking.Record {
	var out []walking.Record
	for i, n := range steps {
		out = append(out, walking.Record{Start: start.Add(time.Duration(i) * time.Minute), Duration: time.Minute, Steps: n})
	}
	return out
}

func batch(k walking.StreamKey, records []walking.Record, covers ...walking.Window) ingest.Batch {
	b := ingest.Batch{
		Streams: []walking.Stream{{StreamKey: k, Device: walking.Wearable, Delivery: walking.Pulled}},
		Records: []walking.StreamRecords{{StreamKey: k, Records: records}},
	}
	for _, w := range covers {
		b.Covers = append(b.Covers, ingest.Cover{StreamKey: k, Window: w})
	}
	return b
}

func apply(tb testing.TB, s *store.Store, p store.Person, b ingest.Batch) store.Changes {
	tb.Helper()
	c, err := s.Apply(tb.Context(), p.ID, b, later)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// stored returns the steps of all of a stream's records around noon of day1, by their start.
func stored(tb testing.TB, r *store.Reader, p store.Person, k walking.StreamKey) map[string]float64 {
	tb.Helper()
	inputs, err := r.Inputs(tb.Context(), p, walking.Window{Start: noon.AddDate(0, 0, -40), End: noon.AddDate(0, 0, 40)})
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]float64{}
	for _, in := range inputs {
		if in.StreamKey == k {
			for _, r := range in.Records {
				out[r.Start.Format("15:04")+"+"+r.Duration.String()] = r.Steps
			}
		}
	}
	return out
}

func staleDays(tb testing.TB, r *store.Reader, p store.Person) []string {
	tb.Helper()
	marks, err := r.Stale(tb.Context(), p.ID)
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	for _, m := range marks {
		out = append(out, m.Day.String())
	}
	return out
}

// settle clears all stale marks.
func settle(tb testing.TB, s *store.Store, p store.Person) {
	tb.Helper()
	marks, err := s.Stale(tb.Context(), p.ID)
	if err == nil {
		err = s.PutDays(tb.Context(), p.ID, nil, marks, later)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func TestApply(t *testing.T) {
	hour := walking.Window{Start: noon, End: noon.Add(time.Hour)}
	long := walking.Record{Start: noon, Duration: 15 * time.Minute, Steps: 900}
	tests := []struct {
		name  string
		first []walking.Record
		then  ingest.Batch
		want  map[string]float64
		stats store.Changes
		stale bool
	}{
		{
			name: "a covered window is replaced, downward and by deletion", first: minutes(noon, 100, 90, 80),
			then: batch(watch, minutes(noon, 100, 40), hour),
			want: map[string]float64{"12:00+1m0s": 100, "12:01+1m0s": 40}, stats: store.Changes{Replaced: 1, Removed: 1, Unchanged: 1}, stale: true,
		},
		{
			name: "an empty covered window removes everything in it", first: minutes(noon, 100, 90),
			then: batch(watch, nil, hour), want: map[string]float64{}, stats: store.Changes{Removed: 2}, stale: true,
		},
		{
			name: "a record belongs to the window that holds its start", first: minutes(noon.Add(59*time.Minute), 10, 20),
			then: batch(watch, nil, hour), want: map[string]float64{"13:00+1m0s": 20}, stats: store.Changes{Removed: 1}, stale: true,
		},
		{
			name: "without a cover nothing is removed", first: minutes(noon, 100, 90),
			then: batch(watch, []walking.Record{long}), want: map[string]float64{"12:00+1m0s": 100, "12:01+1m0s": 90, "12:00+15m0s": 900},
			stats: store.Changes{Added: 1}, stale: true,
		},
		{
			name: "a zero is a value", first: minutes(noon, 100),
			then: batch(watch, minutes(noon, 0)), want: map[string]float64{"12:00+1m0s": 0}, stats: store.Changes{Replaced: 1}, stale: true,
		},
		{
			name: "what is already there writes and marks nothing", first: minutes(noon, 100, 0, 80),
			then: batch(watch, minutes(noon, 100, 0, 80), hour),
			want: map[string]float64{"12:00+1m0s": 100, "12:01+1m0s": 0, "12:02+1m0s": 80}, stats: store.Changes{Unchanged: 3},
		},
		{
			name: "input out of order, twice the same span: the later wins",
			then: batch(watch, append(minutes(noon.Add(time.Minute), 5), append(minutes(noon, 3), minutes(noon, 4)...)...)),
			want: map[string]float64{"12:00+1m0s": 4, "12:01+1m0s": 5}, stats: store.Changes{Added: 2}, stale: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			p := person(t, s)
			apply(t, s, p, batch(watch, tt.first))
			settle(t, s, p)
			got := apply(t, s, p, tt.then)
			if diff := cmp.Diff(tt.stats, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, stored(t, &s.Reader, p, watch)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if stale := staleDays(t, &s.Reader, p); (len(stale) > 0) != tt.stale {
				t.Errorf("stale days: %v, want any: %v", stale, tt.stale)
			}
		})
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	b := batch(watch, minutes(noon, 1, 2, 3))
	b.Records = append(b.Records, walking.StreamRecords{StreamKey: phone, Records: minutes(noon, 1)}) // nobody says what it is
	if _, err := s.Apply(t.Context(), p.ID, b, later); err == nil {
		t.Fatal("a batch with a stream that is not described was stored")
	}
	if got := stored(t, &s.Reader, p, watch); len(got) > 0 {
		t.Errorf("part of a refused batch is stored: %v", got)
	}
}

func TestStaleDays(t *testing.T) {
	tests := []struct {
		name string
		zone walking.Timeline
		at   []time.Time
		want []string // the first and the last
	}{
		{"in the day: that day and the six after it", walking.NewTimeline(time.UTC), []time.Time{noon}, []string{"2026-03-10", "2026-03-16"}},
		{"just after midnight: the day before, too", walking.NewTimeline(time.UTC), []time.Time{noon.Add(-12*time.Hour + 2*time.Minute)}, []string{"2026-03-09", "2026-03-16"}},
		{"just before midnight: the day after, too", walking.NewTimeline(time.UTC), []time.Time{noon.Add(12*time.Hour - 2*time.Minute)}, []string{"2026-03-10", "2026-03-17"}},
		{"after another one at noon", walking.NewTimeline(time.UTC), []time.Time{noon, noon.Add(12*time.Hour - 2*time.Minute)}, []string{"2026-03-10", "2026-03-17"}},
		{
			"an hour of the next day lies between, before a flight over the date line",
			walking.NewTimeline(time.FixedZone("+12:00", 12*3600), walking.ZoneChange{From: noon.Add(time.Hour), Zone: time.FixedZone("-11:00", -11*3600)}),
			[]time.Time{noon.Add(30 * time.Minute)},
			[]string{"2026-03-10", "2026-03-17"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			p := person(t, s)
			travel(t, s, tt.zone)
			var records []walking.Record
			for _, at := range tt.at {
				records = append(records, minutes(at, 50)...)
			}
			apply(t, s, p, batch(watch, records))
			got := staleDays(t, &s.Reader, p)
			if len(got) == 0 || got[0] != tt.want[0] || got[len(got)-1] != tt.want[1] {
				t.Errorf("stale: %v, want %s … %s", got, tt.want[0], tt.want[1])
			}
		})
	}
}

// travel puts a person into the zones of z around noon.
func travel(t *testing.T, s *store.Store, z walking.Timeline) {
	t.Helper()
	set := store.Settings{Name: "me", Zone: z.Home(), Target: 100, Quiet: walking.WallRange{From: 1290, To: 480}}
	for at := noon.AddDate(0, 0, -1); at.Before(noon.AddDate(0, 0, 1)); at = at.Add(time.Hour) {
		set.Travel = append(set.Travel, walking.ZoneChange{From: at, Zone: z.At(at)})
	}
	if err := s.Configure(t.Context(), []store.Settings{set}, noon); err != nil {
		t.Fatal(err)
	}
}

func TestStaleMarkOutlivesOlderWork(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	apply(t, s, p, batch(watch, minutes(noon, 50)))
	marks, err := s.Stale(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, p, batch(watch, minutes(noon, 60))) // while somebody derives what was read before
	if err := s.PutDays(t.Context(), p.ID, nil, marks, later); err != nil {
		t.Fatal(err)
	}
	if got := staleDays(t, &s.Reader, p); !slices.Contains(got, "2026-03-10") {
		t.Errorf("the mark of a newer change is gone: %v", got)
	}
}

func TestSyncedThroughNeverGoesBackNorBeyondNow(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	for _, tt := range []struct{ tell, want time.Time }{
		{noon, noon}, {noon.Add(-time.Hour), noon}, {later.Add(time.Hour), later},
	} {
		b := batch(watch, nil)
		b.Streams[0].SyncedThrough = tt.tell
		apply(t, s, p, b)
		streams, err := s.Streams(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if got := streams[0].SyncedThrough; !got.Equal(tt.want) {
			t.Errorf("told %s: synced through %s, want %s", tt.tell, got, tt.want)
		}
	}
}

func TestStreamOrderChangeMakesEverythingStale(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	b := batch(watch, minutes(noon, 50))
	apply(t, s, p, b)
	c := batch(phone, minutes(noon, 50))
	c.Streams[0].Device = walking.Phone
	apply(t, s, p, c)
	if err := s.PutDays(t.Context(), p.ID, []walking.Summary{{Day: day1 - 300}}, nil, later); err != nil {
		t.Fatal(err)
	}
	settle(t, s, p)
	b.Records = nil
	b.Streams[0].Device = walking.UnknownDevice // it now ranks below the phone
	apply(t, s, p, b)
	if got, want := staleDays(t, &s.Reader, p), []string{(day1 - 300).String()}; !slices.Equal(got, want) {
		t.Errorf("stale: %v, want all derived days: %v", got, want)
	}
}

func TestSessions(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	walk := walking.Session{Start: noon, End: noon.Add(time.Hour), Moving: 50 * time.Minute, Kind: walking.Walk}
	swim := walking.Session{Start: noon.Add(3 * time.Hour), End: noon.Add(4 * time.Hour), Moving: time.Hour, Kind: walking.Swim}
	b := batch(watch, nil)
	b.Sessions = []walking.StreamSession{{StreamKey: watch, Session: walk}, {StreamKey: watch, Session: swim}}
	if got := apply(t, s, p, b); got != (store.Changes{Added: 2}) {
		t.Errorf("first: %+v", got)
	}
	settle(t, s, p)
	if got := apply(t, s, p, b); got != (store.Changes{Unchanged: 2}) || len(staleDays(t, &s.Reader, p)) > 0 {
		t.Errorf("again: %+v, stale %v", got, staleDays(t, &s.Reader, p))
	}
	walk.Moving, walk.Steps, walk.HasSteps = 40*time.Minute, 4000, true
	b.Sessions = []walking.StreamSession{{StreamKey: watch, Session: walk}}
	b.Covers = []ingest.Cover{{StreamKey: watch, Window: walking.Window{Start: noon.Add(-time.Hour), End: noon.Add(12 * time.Hour)}}}
	if got := apply(t, s, p, b); got != (store.Changes{Replaced: 1, Removed: 1}) {
		t.Errorf("replaced: %+v", got)
	}
	inputs, err := s.Inputs(t.Context(), p, walking.Window{Start: noon, End: noon.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]walking.Session{walk}, inputs[0].Sessions); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
}

func TestUnworn(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	off := walking.Window{Start: noon, End: noon.Add(2 * time.Hour)}
	b := batch(watch, nil)
	b.Unworn = []ingest.Unworn{{StreamKey: watch, Window: off}}
	apply(t, s, p, b)
	inputs, err := s.Inputs(t.Context(), p, walking.Window{Start: noon, End: noon.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]walking.Window{off}, inputs[0].Unworn); diff != "" {
		t.Errorf("unworn (-want +got):\n%s", diff)
	}
	if len(staleDays(t, &s.Reader, p)) == 0 {
		t.Error("wear changed and no day is stale")
	}
	b.Unworn[0].End = noon.AddDate(0, 0, 12)
	apply(t, s, p, b)
	settle(t, s, p)
	b.Unworn[0].Window = off // shorter again: the days at the end of the long one change
	apply(t, s, p, b)
	if got := staleDays(t, &s.Reader, p); !slices.Contains(got, (day1 + 12).String()) {
		t.Errorf("stale after a window became shorter: %v", got)
	}
}

func TestConfigure(t *testing.T) {
	s := open(t, t.TempDir())
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	set := store.Settings{Name: "alex", Zone: oslo, Target: 100, Quiet: walking.WallRange{From: 21*60 + 30, To: 8 * 60}}
	configure := func(at time.Time) store.Person {
		t.Helper()
		if err := s.Configure(t.Context(), []store.Settings{set}, at); err != nil {
			t.Fatal(err)
		}
		p, err := s.Person(t.Context(), "alex")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := configure(noon)
	derived := []walking.Summary{{Day: day1 - 1}, {Day: day1}, {Day: day1 + 1}}
	if err := s.PutDays(t.Context(), p.ID, derived, nil, noon); err != nil {
		t.Fatal(err)
	}
	if p = configure(noon); len(staleDays(t, &s.Reader, p)) > 0 || p.Rebuild {
		t.Fatalf("the same config made something stale")
	}
	set.Target = 60
	p = configure(noon)
	if got := []float64{walking.TargetOn(p.Targets, day1-1), walking.TargetOn(p.Targets, day1)}; !slices.Equal(got, []float64{100, 60}) {
		t.Errorf("targets yesterday and today: %v, want 100 and 60", got)
	}
	if got, want := staleDays(t, &s.Reader, p), []string{"2026-03-10", "2026-03-11"}; !slices.Equal(got, want) {
		t.Errorf("stale after a new target: %v, want %v", got, want)
	}
	settle(t, s, p)
	set.Preferred = []walking.StreamKey{phone}
	if p = configure(noon); len(staleDays(t, &s.Reader, p)) != len(derived) {
		t.Errorf("stale after a new order of sources: %v, want all", staleDays(t, &s.Reader, p))
	}
	settle(t, s, p)
	set.Quiet.To = 7 * 60
	if p = configure(noon); len(staleDays(t, &s.Reader, p)) != len(derived) {
		t.Errorf("stale after other quiet hours: %v, want all", staleDays(t, &s.Reader, p))
	}
	settle(t, s, p)
	set.Travel = []walking.ZoneChange{{From: noon, Zone: time.UTC}}
	if p = configure(noon); len(staleDays(t, &s.Reader, p)) != len(derived) || p.Rebuild {
		t.Errorf("after a journey: stale %v, want all; rebuild %v", staleDays(t, &s.Reader, p), p.Rebuild)
	}
	settle(t, s, p)
	set.Zone = time.UTC
	if p = configure(noon); p.Rebuild || len(staleDays(t, &s.Reader, p)) != len(derived) {
		t.Errorf("a new home without a projection: rebuild %v, stale %v", p.Rebuild, staleDays(t, &s.Reader, p))
	}
	if err := s.PutProjected(t.Context(), []store.Projected{{PersonID: p.ID, Day: day1, Measurement: 1, Sum: 1, Keys: []byte{1}}}, nil); err != nil {
		t.Fatal(err)
	}
	if set.Zone, err = time.LoadLocation("Etc/UTC"); err != nil {
		t.Fatal(err)
	}
	if p = configure(noon); p.Rebuild || p.Zones.Home().String() != "Etc/UTC" {
		t.Errorf("the same zone by another name: rebuild %v, home %s", p.Rebuild, p.Zones.Home())
	}
	set.Zone = oslo
	if p = configure(noon); !p.Rebuild {
		t.Error("a new home zone does not ask for a rebuild of the projection")
	}
	if err := s.Configure(t.Context(), nil, noon); err != nil { // taken out of the config, and put back
		t.Fatal(err)
	}
	if p = configure(noon); !p.Rebuild {
		t.Error("the rebuild is forgotten before it was done")
	}
}

// TestTargets changes the target more often, and by clocks that are wrong.
func TestTargets(t *testing.T) {
	s := open(t, t.TempDir())
	apply(t, s, person(t, s), batch(watch, minutes(noon, 5)))
	steps := []struct {
		name   string
		now    time.Time
		target float64
		want   []float64 // the day before day1, on it, and five years later
	}{
		{"first", noon, 100, []float64{100, 100, 100}},
		{"changed", noon.Add(time.Hour), 60, []float64{100, 60, 60}},
		{"changed again on that day", noon.Add(2 * time.Hour), 90, []float64{100, 90, 90}},
		{"changed while the clock is behind", time.Unix(0, 0), 80, []float64{100, 80, 80}},
		{"changed while the clock is ahead", noon.AddDate(4, 0, 0), 50, []float64{100, 80, 50}},
		{"the clock is right again", noon.Add(4 * time.Hour), 50, []float64{100, 50, 50}},
		{"back to the first", noon.Add(5 * time.Hour), 100, []float64{100, 100, 100}},
	}
	for _, tt := range steps {
		set := store.Settings{Name: "me", Zone: time.UTC, Target: tt.target, Quiet: walking.WallRange{From: 1290, To: 480}}
		if err := s.Configure(t.Context(), []store.Settings{set}, tt.now); err != nil {
			t.Fatal(err)
		}
		p := person(t, s)
		got := []float64{walking.TargetOn(p.Targets, day1-1), walking.TargetOn(p.Targets, day1), walking.TargetOn(p.Targets, day1+5*365)}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestNewestInstant knows the time from data, not from when it arrived.
func TestNewestInstant(t *testing.T) {
	s := open(t, t.TempDir())
	b := batch(watch, minutes(noon, 5))
	b.Sessions = []walking.StreamSession{{StreamKey: watch, Session: walking.Session{Start: noon, End: noon.Add(time.Hour), Kind: walking.Swim}}}
	apply(t, s, person(t, s), b)
	if got, err := s.NewestInstant(t.Context()); err != nil || !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("%v, %v: want the end of the session", got, err)
	}
}

// TestNewOrderWhileDeriving changes the order of streams while somebody derives a day that has never been derived: the
// mark of that day must outlive the work.
func TestNewOrderWhileDeriving(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	b := batch(watch, minutes(noon, 50))
	apply(t, s, p, b)
	c := batch(phone, minutes(noon, 60))
	c.Streams[0].Device = walking.Phone
	apply(t, s, p, c)
	marks, err := s.Stale(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.Records, b.Streams[0].Device = nil, walking.UnknownDevice
	apply(t, s, p, b)
	if err := s.PutDays(t.Context(), p.ID, []walking.Summary{{Day: day1}}, marks, later); err != nil {
		t.Fatal(err)
	}
	if got := staleDays(t, &s.Reader, p); !slices.Contains(got, day1.String()) {
		t.Errorf("stale: %v, want %s among them", got, day1)
	}
}

// TestSnapshot reads one state while another is written, and goes on after it was broken off.
func TestSnapshot(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	apply(t, s, p, batch(watch, minutes(noon, 5)))
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Snapshot(ctx, func(r *store.Reader) error {
		before := stored(t, r, p, watch)
		apply(t, s, p, batch(watch, minutes(noon, 7)))
		if diff := cmp.Diff(before, stored(t, r, p, watch)); diff != "" {
			t.Errorf("a snapshot changes:\n%s", diff)
		}
		cancel()
		_, err := r.Persons(ctx)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	for range 5 {
		if got := stored(t, &s.Reader, p, watch)["12:00+1m0s"]; got != 7 {
			t.Fatalf("after a snapshot a reader sees %v steps, want 7", got)
		}
	}
}

func TestWritable(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	writable := func() error { return s.Writable(t.Context()) }
	size := func() int64 {
		info, err := os.Stat(filepath.Join(s.Dir(), store.FileName+"-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	if err := writable(); err != nil || size() != before {
		t.Errorf("a sound store: %v, and asking wrote %d bytes", err, size()-before)
	}
	s.NeedRoom(1 << 62)
	if err := writable(); !errors.Is(err, store.ErrFull) {
		t.Errorf("a full disk: %v, want ErrFull", err)
	}
	s.NeedRoom(0)
	exec := func(statement string) {
		if _, err := s.Writer().Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA query_only = 1")
	if _, err := s.Apply(t.Context(), p.ID, batch(watch, minutes(noon, 1)), later); err == nil {
		t.Fatal("a store that only reads took a batch")
	}
	if err := writable(); err == nil {
		t.Error("writing fails, and the store counts as writable")
	}
	exec("PRAGMA query_only = 0")
	if err := writable(); err != nil {
		t.Errorf("writing goes well again: %v", err)
	}
	before = size()
	if err := writable(); err != nil || size() != before {
		t.Errorf("afterwards: %v, and asking wrote %d bytes", err, size()-before)
	}
}

func TestFileModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	s := open(t, dir)
	im, err := s.NewImport(t.Context(), store.ImportOptions{Person: "me", Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 5 { // database, -wal, -shm, lock, import
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want 0600", f.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v, want 0700", info.Mode(), err)
	}
}

// TestRefusedLog opens databases whose write-ahead log alone tells that they cannot be used, as after a power cut, and
// finds no byte changed and no file added; through a link, too.
func TestRefusedLog(t *testing.T) {
	for name, tt := range map[string]struct{ statements, want string }{
		"newer":             {"PRAGMA application_id = 0x77616c6b; PRAGMA user_version = 99", "newer walkd: it has schema 99"},
		"another program's": {"PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE bookmark (url TEXT)", "database of another program"},
	} {
		t.Run(name, func(t *testing.T) {
			from, dir, link := t.TempDir(), t.TempDir(), t.TempDir()
			db, err := sql.Open("sqlite", filepath.Join(from, store.FileName)+"?_pragma=journal_mode(WAL)")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(tt.statements); err != nil {
				t.Fatal(err)
			}
			for _, suffix := range []string{"", "-wal"} {
				b, err := os.ReadFile(filepath.Join(from, store.FileName+suffix))
				if err == nil && len(b) == 0 {
					err = errors.New("empty")
				}
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, store.FileName+suffix), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(db.Close(), os.Symlink(filepath.Join(dir, store.FileName), filepath.Join(link, store.FileName))); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			for _, d := range []string{dir, link} {
				var file *store.FileError
				if _, err := store.OpenReader(t.Context(), d); !errors.As(err, &file) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("OpenReader: %v, want a FileError with %q", err, tt.want)
				}
				if _, err := store.Open(t.Context(), d); !errors.As(err, &file) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Open: %v, want a FileError with %q", err, tt.want)
				}
			}
			after := contents(t, dir)
			delete(after, "walkd.lock")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the folder was changed:\n%s", diff)
			}
		})
	}
}

// contents returns the sums of the files in a folder.
func contents(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][32]byte{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name()] = sha256.Sum256(b)
	}
	return out
}

func TestOwner(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	person(t, s)
	_, err := store.Open(t.Context(), dir)
	if !errors.Is(err, store.ErrOwned) || !strings.Contains(err.Error(), "process ") {
		t.Fatalf("second owner: %v, want ErrOwned with the process", err)
	}
	r, err := store.OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Person(t.Context(), "me"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(r.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(t.Context(), dir); err != nil {
		t.Fatalf("after the owner has gone: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNoStoreYet(t *testing.T) {
	if _, err := store.OpenReader(t.Context(), t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want fs.ErrNotExist", err)
	}
}

// TestRefusedFiles opens databases that cannot be used, for reading and writing, and finds every byte where it was.
func TestRefusedFiles(t *testing.T) {
	sound := func(t *testing.T, path string) []byte {
		s := open(t, filepath.Dir(path))
		apply(t, s, person(t, s), batch(watch, minutes(noon, make([]float64, 5000)...)))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(t *testing.T, path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exec := func(t *testing.T, path, statement string) {
		db, err := sql.Open("sqlite", path)
		if err == nil {
			_, err = db.Exec(statement)
		}
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name    string
		make    func(t *testing.T, path string)
		want    string
		corrupt bool
	}{
		{"no database", func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("date,steps\n", 50))) }, "is not a SQLite database", true},
		{"cut off", func(t *testing.T, path string) { b := sound(t, path); write(t, path, b[:len(b)/2]) }, "is cut off", true},
		{"newer", func(t *testing.T, path string) { sound(t, path); exec(t, path, "PRAGMA user_version = 99") }, "newer walkd: it has schema 99", false},
		{"another program's", func(t *testing.T, path string) {
			exec(t, path, "CREATE TABLE bookmark (url TEXT); PRAGMA user_version = 1")
		}, "database of another program", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, store.FileName)
			tt.make(t, path)
			sum := func() [32]byte {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return sha256.Sum256(b)
			}
			before := sum()
			for how, openIt := range map[string]func() error{
				"Open":       func() error { _, err := store.Open(t.Context(), dir); return err },
				"OpenReader": func() error { _, err := store.OpenReader(t.Context(), dir); return err },
			} {
				err := openIt()
				var file *store.FileError
				if !errors.As(err, &file) || !strings.Contains(err.Error(), tt.want) || file.Corrupt != tt.corrupt || file.Remedy == "" {
					t.Errorf("%s: %v, want a FileError with %q", how, err, tt.want)
				}
			}
			if sum() != before {
				t.Error("the file was changed")
			}
		})
	}
}

// TestDamagedPage damages the database in the middle, where only reading finds it.
func TestDamagedPage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, store.FileName)
	s := open(t, dir)
	p := person(t, s)
	apply(t, s, p, batch(watch, minutes(noon, make([]float64, 20000)...)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) / 2; i < len(b)/2+64<<10; i++ {
		b[i] = 0xA5
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := store.OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	problems, err := r.Check(t.Context())
	if err != nil || len(problems) == 0 {
		t.Errorf("check found %v, %v", problems, err)
	}
	_, err = r.Inputs(t.Context(), p, walking.Window{Start: noon, End: noon.AddDate(0, 0, 30)})
	var file *store.FileError
	if !errors.As(err, &file) || !file.Corrupt {
		t.Errorf("reading a damaged page: %v, want a FileError", err)
	}
}

// TestFull fills the store up to the limit that SQLite is given, which it reports as a full disk.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	p := person(t, s)
	apply(t, s, p, batch(watch, minutes(noon, 1, 2, 3)))
	settle(t, s, p)
	var pages int
	if err := s.Writer().QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		if err := s.Writer().QueryRow("PRAGMA max_page_count = " + itoa(pages)).Scan(&pages); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 2)
	b := batch(watch, minutes(noon.Add(time.Hour), make([]float64, 20000)...))
	if _, err := s.Apply(t.Context(), p.ID, b, later); !errors.Is(err, store.ErrFull) {
		t.Fatalf("a batch beyond the disk: %v, want ErrFull", err)
	}
	if got := stored(t, &s.Reader, p, watch); len(got) != 3 {
		t.Errorf("%d records after a refused batch, want the 3 from before", len(got))
	}
	if got := staleDays(t, &s.Reader, p); len(got) > 0 {
		t.Errorf("a refused batch made days stale: %v", got)
	}
	limit(1 << 30) // somebody makes room
	if c := apply(t, s, p, b); c.Added != 20000 {
		t.Errorf("after room was made: %+v", c)
	}
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	p := person(t, s)
	apply(t, s, p, batch(watch, minutes(noon, 1, 2, 3)))
	to := filepath.Join(t.TempDir(), store.FileName)
	if err := s.Backup(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(to)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	if err := s.Backup(t.Context(), to); err == nil {
		t.Error("a backup overwrote another")
	}
	left, err := os.ReadDir(filepath.Dir(to))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the backup lies %v, %v", left, err)
	}
	r := open(t, filepath.Dir(to))
	if diff := cmp.Diff(stored(t, &s.Reader, p, watch), stored(t, &r.Reader, person(t, r), watch)); diff != "" {
		t.Errorf("the copy differs:\n%s", diff)
	}
}

func TestCancelled(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Apply(ctx, p.ID, batch(watch, minutes(noon, 1)), later); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if c := apply(t, s, p, batch(watch, minutes(noon, 1))); c.Added != 1 {
		t.Errorf("the store does not go on after a cancelled call: %+v", c)
	}
}
