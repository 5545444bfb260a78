package google_test

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate/google"
	"github.com/walkd/walkd/internal/walking"
)

// countedDays returns n days whose minutes all have steps, which tell the minutes apart.
func countedDays(t *testing.T, n int) *google.Days {
	t.Helper()
	counts := make([]int, n*1440)
	for i := range counts {
		counts[i] = 1 + (i/1440*31+i%1440)%70 // below what becomes an exercise
	}
	d, err := google.NewDays(counts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newWalker(t *testing.T, o google.WalkerOptions) *google.Walker {
	t.Helper()
	if o.ID == "" {
		o.ID = "1"
	}
	w, err := google.NewWalker(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func sum(f google.Facts) (n int) {
	for _, r := range f.Records {
		n += int(r.Steps)
	}
	return n
}

func day(t *testing.T, z *time.Location, date string) walking.Window {
	t.Helper()
	d, err := walking.ParseDay(date)
	if err != nil {
		t.Fatal(err)
	}
	return walking.Window{Start: d.In(z), End: (d + 1).In(z)}
}

func TestRealDays(t *testing.T) {
	days, err := google.RealDays()
	if err != nil {
		t.Fatal(err)
	}
	if days.Len() != 29 {
		t.Errorf("%d days, want 29", days.Len())
	}
	z := zone(t, "Europe/Berlin")
	now := at(t, "2026-11-20T23:59:00+01:00")
	w := newWalker(t, google.WalkerOptions{Days: days, Zone: z, Now: now})
	// The totals of the recording: 13 April, 10 May and 11 May 2016.
	for date, want := range map[string]int{"2026-10-23": 4978, "2026-11-19": 6435, "2026-11-20": 9108, "2026-10-22": 0} {
		if got := sum(w.Truth(day(t, z, date), now.Add(time.Minute))); got != want {
			t.Errorf("%s has %d steps, want %d", date, got, want)
		}
	}
	// time goes on, and the days begin anew
	if got := sum(w.Truth(day(t, z, "2026-11-21"), now.AddDate(0, 0, 9))); got != 4978 {
		t.Errorf("the day after the last has %d steps, want those of the first", got)
	}
	f := w.Truth(walking.Window{Start: w.Begins(), End: now}, now)
	kinds := map[walking.Kind]int{}
	for _, s := range f.Sessions {
		kinds[s.Kind]++
		if length := s.End.Sub(s.Start); length < 8*time.Minute || s.Moving > length || s.Moving <= 0 {
			t.Errorf("a session from %s to %s moves for %s", s.Start, s.End, s.Moving)
		}
	}
	if diff := cmp.Diff(map[walking.Kind]int{walking.Walk: 16, walking.Ride: 1}, kinds); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
}

func TestDaysByTheClock(t *testing.T) {
	for _, tt := range []struct {
		name, zone, date string
		hours            float64
		local            string // a time of that day as RFC 3339, and the steps of its minute of the clock
		minute           int
	}{
		{"usual", "Europe/Berlin", "2026-03-28", 24, "2026-03-28T09:30:00+01:00", 570},
		{"clocks forward", "Europe/Berlin", "2026-03-29", 23, "2026-03-29T09:30:00+02:00", 570},
		{"clocks back, first", "Europe/Berlin", "2026-10-25", 25, "2026-10-25T02:30:00+02:00", 150},
		{"clocks back, second", "Europe/Berlin", "2026-10-25", 25, "2026-10-25T02:30:00+01:00", 150},
		{"forward at midnight", "Africa/Cairo", "2026-04-24", 23, "2026-04-24T01:00:00+03:00", 60},
		{"half an hour", "Australia/Lord_Howe", "2026-10-04", 23.5, "2026-10-04T09:30:00+11:00", 570},
		{"quarter of an hour", "Asia/Kathmandu", "2026-10-04", 24, "2026-10-04T09:30:00+05:45", 570},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := zone(t, tt.zone)
			win := day(t, z, tt.date)
			w := newWalker(t, google.WalkerOptions{Days: countedDays(t, 1), Zone: z, Now: win.Start})
			f := w.Truth(win, win.End)
			if got := float64(len(f.Records)) / 60; got != tt.hours {
				t.Errorf("%v hours have points, want %v", got, tt.hours)
			}
			moment := at(t, tt.local)
			i := slices.IndexFunc(f.Records, func(r walking.Record) bool { return r.Start.Equal(moment) })
			if i < 0 {
				t.Fatal("there is no point at", tt.local)
			}
			_, offset := moment.Zone()
			want := walking.Record{
				Start: moment.UTC(), Duration: time.Minute, Steps: float64(1 + tt.minute%70), Offset: offset, HasOffset: true,
			}
			if diff := cmp.Diff(want, f.Records[i]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTravelMovesTheClock(t *testing.T) {
	home, away := zone(t, "Pacific/Auckland"), zone(t, "America/Los_Angeles")
	w := newWalker(t, google.WalkerOptions{Days: countedDays(t, 3), Zone: home, Now: at(t, "2026-11-22T00:00:00Z")})
	landing := at(t, "2026-11-20T19:00:00Z")
	w.Travel(landing, away)
	now := at(t, "2026-11-24T00:00:00Z")
	f := w.Truth(walking.Window{Start: landing.Add(-time.Minute), End: landing.Add(time.Minute)}, now)
	var got []string
	for _, r := range f.Records {
		got = append(got, r.Start.In(time.FixedZone("", r.Offset)).Format(time.RFC3339))
	}
	want := []string{"2026-11-21T07:59:00+13:00", "2026-11-20T11:00:00-08:00"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	hours := map[walking.Day]int{}
	zones := w.Zones()
	for _, r := range w.Truth(walking.Window{Start: now.AddDate(0, 0, -9), End: now}, now).Records {
		hours[zones.Day(r.Start)]++
	}
	twentieth, _ := walking.ParseDay("2026-11-20")
	if hours[twentieth] != 37*60 {
		t.Errorf("the 20th has %d minutes, want 37 hours in two pieces", hours[twentieth])
	}
}

func TestSessionsAreFoundOnceWhateverIsAsked(t *testing.T) {
	days, err := google.RealDays()
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "2026-11-20T12:00:00Z")
	w := newWalker(t, google.WalkerOptions{Days: days, Zone: zone(t, "Europe/Berlin"), Now: now})
	w.Travel(at(t, "2026-11-05T10:00:00Z"), zone(t, "Europe/Paris")) // the same offset
	w.Travel(at(t, "2026-11-10T10:00:00Z"), zone(t, "Asia/Tokyo"))
	whole := w.Truth(walking.Window{Start: w.Begins(), End: now}, now)
	for _, step := range []time.Duration{7 * time.Minute, 6*time.Hour + 13*time.Second, 25 * time.Hour} {
		var pieces google.Facts
		for from := w.Begins(); from.Before(now); from = from.Add(step) {
			end := from.Add(step)
			if end.After(now) {
				end = now
			}
			f := w.Truth(walking.Window{Start: from, End: end}, now)
			pieces.Records = append(pieces.Records, f.Records...)
			pieces.Sessions = append(pieces.Sessions, f.Sessions...)
		}
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Errorf("in windows of %s (-whole +pieces):\n%.2000s", step, diff)
		}
	}
}

func TestChangesOfTheClockInterruptExercises(t *testing.T) {
	walk := func(from int) *google.Days { // twenty brisk minutes a day
		counts := make([]int, 1440)
		for i := range 20 {
			counts[from+i] = 100
		}
		d, err := google.NewDays(counts)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tt := range []struct {
		name, date, trip string
		from             int // minute of the day
		want             int
	}{
		{"usual", "2026-03-28", "", 110, 1},
		{"over the hour that is skipped", "2026-03-29", "", 110, 0},
		{"in the hour that comes twice", "2026-10-25", "", 130, 2},
		{"over its end, the second time only", "2026-10-25", "", 170, 1},
		{"over a flight", "2026-03-28", "2026-03-28T01:00:00Z", 110, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := zone(t, "Europe/Berlin")
			win := day(t, z, tt.date)
			w := newWalker(t, google.WalkerOptions{Days: walk(tt.from), Zone: z, Now: win.Start, History: -1})
			if tt.trip != "" {
				w.Travel(at(t, tt.trip), zone(t, "Asia/Tokyo"))
			}
			win.End = win.Start.Add(6 * time.Hour) // in Tokyo they walk again later
			walks := slices.DeleteFunc(w.Truth(win, win.End).Sessions, func(s walking.Session) bool {
				return s.Kind != walking.Walk
			})
			if len(walks) != tt.want {
				t.Errorf("%d walks, want %d: %v", len(walks), tt.want, walks)
			}
		})
	}
}

func TestEdits(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	now := at(t, "2026-11-20T12:00:00Z")
	win := window(t, "2026-11-19T10:00:00Z", "2026-11-19T10:05:00Z")
	counts := func(f google.Facts) (out []string) {
		for _, r := range f.Records {
			out = append(out, r.Start.Format("04")+"="+strconv.Itoa(int(r.Steps)))
		}
		return out
	}
	for _, tt := range []struct {
		name  string
		zeros google.Zeros
		edit  func(*google.Walker)
		want  string
		truth string // where it differs
	}{
		{name: "none", edit: func(*google.Walker) {}, want: "00=20 01=20 02=20 03=20 04=20"},
		{name: "corrected down and up", edit: func(w *google.Walker) {
			w.Correct(win.Start, 3)
			w.Correct(win.Start.Add(time.Minute), 90)
		}, want: "00=3 01=90 02=20 03=20 04=20"},
		{
			name: "corrected to nothing", edit: func(w *google.Walker) { w.Correct(win.Start, 0) },
			want: "01=20 02=20 03=20 04=20",
		},
		{
			name: "corrected to a true zero", zeros: google.ZerosEmpty,
			edit: func(w *google.Walker) { w.Correct(win.Start, 0) }, want: "00=0 01=20 02=20 03=20 04=20",
		},
		{name: "deleted", edit: func(w *google.Walker) {
			w.Correct(win.Start, 5)
			w.Delete(walking.Window{Start: win.Start, End: win.Start.Add(3 * time.Minute)})
		}, want: "03=20 04=20"},
		{name: "corrected after it was deleted", edit: func(w *google.Walker) {
			w.Delete(win)
			w.Correct(win.Start, 5)
		}, want: "00=5"},
		{
			name: "late", edit: func(w *google.Walker) {
				w.Late(walking.Window{Start: win.Start, End: win.Start.Add(2 * time.Minute)}, now.Add(time.Second))
			}, want: "02=20 03=20 04=20", truth: "00=20 01=20 02=20 03=20 04=20",
		},
		{
			name: "late no longer", edit: func(w *google.Walker) { w.Late(win, now) }, want: "00=20 01=20 02=20 03=20 04=20",
		},
		{
			name: "not synced", edit: func(w *google.Walker) {
				w.NoSync(walking.Window{Start: win.Start.Add(-time.Hour), End: now.Add(time.Hour)})
			}, want: "", truth: "00=20 01=20 02=20 03=20 04=20",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flat := make([]int, 1440)
			for i := range flat {
				flat[i] = 20
			}
			days, err := google.NewDays(flat)
			if err != nil {
				t.Fatal(err)
			}
			w := newWalker(t, google.WalkerOptions{Days: days, Zone: z, Now: now, Zeros: tt.zeros})
			tt.edit(w)
			if diff := cmp.Diff(tt.want, strings.Join(counts(w.Shown(win, now)), " ")); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
			truth := tt.truth
			if truth == "" {
				truth = tt.want
			}
			if diff := cmp.Diff(truth, strings.Join(counts(w.Truth(win, now)), " ")); diff != "" {
				t.Errorf("truth (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeleteAndLateHideExercises(t *testing.T) {
	days, err := google.RealDays()
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "2026-11-20T12:00:00Z")
	w := newWalker(t, google.WalkerOptions{Days: days, Zone: zone(t, "Europe/Berlin"), Now: now})
	all := walking.Window{Start: w.Begins(), End: now}
	before := w.Shown(all, now).Sessions
	w.Delete(before[0].Window())
	w.Late(before[1].Window(), now.Add(time.Hour))
	if diff := cmp.Diff(before[2:], w.Shown(all, now).Sessions); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before[1:], w.Truth(all, now).Sessions); diff != "" {
		t.Errorf("truth (-want +got):\n%s", diff)
	}
}

func TestSyncRhythm(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	now := at(t, "2026-11-21T00:00:00+01:00")
	w := newWalker(t, google.WalkerOptions{Days: countedDays(t, 1), Zone: z, Now: now})
	syncs := map[int]int{} // by local hour
	last := time.Time{}
	for m := now.Add(-24 * time.Hour); m.Before(now); m = m.Add(time.Minute) {
		at := w.LastSync(m)
		if at.After(m) || at.Before(last) {
			t.Fatalf("the last sync at %s is %s", m, at)
		}
		if !at.Equal(last) {
			syncs[at.In(z).Hour()]++
		}
		last = at
	}
	if syncs[12] != 4 || syncs[3] != 1 {
		t.Errorf("%d syncs from 12 h and %d from 3 h, want 4 and 1", syncs[12], syncs[3])
	}

	gap := walking.Window{Start: now.Add(-72 * time.Hour), End: now}
	w.NoSync(gap)
	if got := w.LastSync(now); !got.Before(gap.Start) || gap.Start.Sub(got) > time.Hour {
		t.Errorf("the last sync before three days without is %s, want shortly before %s", got, gap.Start)
	}
	if n := len(w.Shown(gap, now).Records); n != 0 {
		t.Errorf("%d points show from days that are not synced", n)
	}
	if n := len(w.Shown(gap, now.Add(2*time.Hour)).Records); n != 72*60 {
		t.Errorf("%d points show after the sync, want three days", n)
	}
	for m := now.Add(-96 * time.Hour); m.Before(now.Add(3 * time.Hour)); m = m.Add(37 * time.Minute) {
		shown := w.Shown(walking.Window{Start: now.Add(-100 * time.Hour), End: m.Add(time.Hour)}, m).Records
		through := w.LastSync(m)
		if end := shown[len(shown)-1].End(); end.After(through) || through.Sub(end) >= time.Minute {
			t.Fatalf("at %s, synced at %s, points end at %s", m, through, end)
		}
	}
	if got := w.LastSync(w.Begins().Add(-time.Hour)); !got.IsZero() {
		t.Errorf("there is a sync before all data: %s", got)
	}
}

func TestSeedsDecide(t *testing.T) {
	days, err := google.RealDays()
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "2026-11-20T12:00:00Z")
	facts := func(seed uint64, id string, phase int) google.Facts {
		w := newWalker(t, google.WalkerOptions{
			ID: id, Days: days, Zone: zone(t, "Europe/Berlin"), Now: now, Seed: seed, Phase: phase,
		})
		return w.Shown(walking.Window{Start: w.Begins(), End: now}, now)
	}
	first := facts(1, "a", 0)
	if diff := cmp.Diff(first, facts(1, "a", 0)); diff != "" {
		t.Errorf("the same seed gives different people:\n%.1000s", diff)
	}
	if cmp.Equal(first.Sessions, facts(2, "a", 0).Sessions) || cmp.Equal(first.Sessions, facts(1, "b", 0).Sessions) {
		t.Error("another seed or person has the same sessions to the second")
	}
	if cmp.Equal(first.Records, facts(1, "a", 5).Records) {
		t.Error("another phase has the same steps")
	}
}

func TestReadDays(t *testing.T) {
	header := "Id,ActivityHour" + strings.Repeat(",Steps", 60) + "\n"
	row := func(id, hour, n string) string { return id + "," + hour + strings.Repeat(","+n, 60) + "\n" }
	people, err := google.ReadDays(strings.NewReader(header +
		row("2", "4/13/2016 11:00:00 PM", "7") + row("1", "4/14/2016 0:00", "9") + row("1", "4/13/2016 23:00", "5")))
	if err != nil {
		t.Fatal(err)
	}
	if len(people) != 2 || people[0].Len() != 2 || people[1].Len() != 1 {
		t.Fatalf("got %d people, want two, with 2 days and 1", len(people))
	}
	now := at(t, "2026-11-20T23:59:59Z").Add(time.Second)
	w := newWalker(t, google.WalkerOptions{
		Days: people[0], Zone: time.UTC, Now: now.Add(-time.Minute), History: 1, Zeros: google.ZerosEmpty,
	})
	f := w.Truth(walking.Window{Start: w.Begins(), End: now}, now)
	if got := sum(f); got != 60*5+60*9 || len(f.Records) != 120 {
		t.Errorf("%d steps in %d points, want 840 in 120: the rest is not worn", got, len(f.Records))
	}
	for name, text := range map[string]string{
		"no rows": header, "columns": "1,4/13/2016 23:00,5\n", "time": row("1", "yesterday", "5"),
		"count": row("1", "4/13/2016 23:00", "x"), "negative": row("1", "4/13/2016 23:00", "-5"),
	} {
		if _, err := google.ReadDays(strings.NewReader(text)); err == nil {
			t.Errorf("%s: there is no error", name)
		}
	}
	if _, err := google.NewDays(make([]int, 1441)); err == nil {
		t.Error("a day and a minute are taken for days")
	}
}

func TestThousandPeopleCostLittle(t *testing.T) {
	days, err := google.RealDays()
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "2026-11-20T12:00:00Z")
	wall := &clock{t: now}
	z := zone(t, "Europe/Berlin")
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	s, err := google.NewServer(google.ServerOptions{Now: wall.Now, Wall: wall.Now, ClientID: "c", ClientSecret: "s"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		id := strconv.Itoa(i)
		w := newWalker(t, google.WalkerOptions{ID: id, Days: days, Zone: z, Now: now, Phase: i})
		if err := s.Add(w); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := s.Grant(id); err != nil {
			t.Fatal(err)
		}
	}
	each := (used() - before) / 1000
	runtime.KeepAlive(s)
	t.Logf("%d bytes a person", each)
	if each > 4096 {
		t.Errorf("a person costs %d bytes, want at most 4096", each)
	}
}
