package simulate_test

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func window(t *testing.T, from, to string) walking.Window {
	t.Helper()
	return walking.Window{Start: at(t, from), End: at(t, to)}
}

func date(t *testing.T, text string) walking.Day {
	t.Helper()
	d, err := walking.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wholeDay returns a date in a zone.
func wholeDay(t *testing.T, z *time.Location, text string) walking.Window {
	t.Helper()
	return walking.Window{Start: date(t, text).In(z), End: (date(t, text) + 1).In(z)}
}

// life returns one whose minute of the n-th day has the steps that say returns.
func life(t *testing.T, days int, say func(day, minute int) uint8) *simulate.Life {
	t.Helper()
	var steps []uint8
	for i := range days * 1440 {
		steps = append(steps, say(i/1440, i%1440))
	}
	l, err := simulate.NewLife(steps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// counted has steps in all minutes, which tell the minutes of an hour apart and make no walk.
func counted(t *testing.T) *simulate.Life {
	t.Helper()
	return life(t, 1, func(_, m int) uint8 { return uint8(1 + m%70) })
}

func volunteer(t *testing.T) *simulate.Life {
	t.Helper()
	l, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ann returns somebody in Berlin since 1 March 2026, unless the plan says otherwise.
func ann(t *testing.T, p simulate.Plan) *simulate.Person {
	t.Helper()
	if p.Home == nil {
		p.Home = zone(t, "Europe/Berlin")
	}
	if p.First == 0 {
		p.First = date(t, "2026-03-01")
	}
	p.Name = "ann"
	someone, err := simulate.NewPerson(p)
	if err != nil {
		t.Fatal(err)
	}
	return someone
}

func sum(points []simulate.Point) (n int) {
	for _, p := range points {
		n += p.Steps
	}
	return n
}

func TestVolunteer(t *testing.T) {
	l := volunteer(t)
	if l.Days() != 29 {
		t.Errorf("%d days, want 29", l.Days())
	}
	z := zone(t, "Europe/Berlin")
	p := ann(t, simulate.Plan{Life: l, First: date(t, "2026-10-23")})
	now := at(t, "2026-12-01T00:00:00Z")
	// The totals of the recording: 13 April, 10 May and 11 May 2016; then it begins anew.
	for text, want := range map[string]int{
		"2026-10-22": 0, "2026-10-23": 4978, "2026-11-19": 6435, "2026-11-20": 9108, "2026-11-21": 4978,
	} {
		if got := sum(p.Truth(wholeDay(t, z, text), now)); got != want {
			t.Errorf("%s has %d steps, want %d", text, got, want)
		}
	}
	kinds := map[string]int{}
	for _, s := range p.TrueSessions(walking.Window{Start: at(t, "2026-10-01T00:00:00Z"), End: at(t, "2026-11-20T23:00:00Z")}, now) {
		kinds[s.Type]++
		if s.End.Sub(s.Start) < 10*time.Minute || (s.Type == "WALKING") != (s.Steps >= 800) {
			t.Errorf("the session %+v", s)
		}
	}
	if diff := cmp.Diff(map[string]int{"WALKING": 16, "BIKING": 4}, kinds); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
}

func TestWrongPlans(t *testing.T) {
	for _, n := range []int{0, 1439, 1441} {
		if _, err := simulate.NewLife(make([]uint8, n)); err == nil {
			t.Errorf("%d minutes are taken for whole days", n)
		}
	}
	l := counted(t)
	for _, p := range []simulate.Plan{{Life: l, Home: time.UTC}, {Name: "ann", Home: time.UTC}, {Name: "ann", Life: l}} {
		if _, err := simulate.NewPerson(p); err == nil {
			t.Errorf("%+v is taken for a person", p)
		}
	}
}

func TestEqualPlansAreEqualPeople(t *testing.T) {
	now := at(t, "2026-11-20T12:07:00Z")
	month := walking.Window{Start: now.AddDate(0, -1, 0), End: now}
	tell := func() (any, any) {
		p := ann(t, simulate.Plan{Life: volunteer(t), Zeros: true})
		p.Correct(now.Add(-30*time.Hour), 5)
		p.Travel(now.Add(-100*time.Hour), time.UTC)
		return p.Points(month, now), p.Sessions(month, now)
	}
	points, sessions := tell()
	again, sessionsAgain := tell()
	if diff := cmp.Diff(points, again); diff != "" {
		t.Errorf("points:\n%.500s", diff)
	}
	if diff := cmp.Diff(sessions, sessionsAgain); diff != "" {
		t.Errorf("sessions:\n%.500s", diff)
	}
}

func TestDaysByTheClock(t *testing.T) {
	for _, tt := range []struct {
		name, zone, date string
		hours            float64
		local            string // a time of that day
		minute           int    // of the clock then
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
			w := wholeDay(t, z, tt.date)
			points := ann(t, simulate.Plan{Life: counted(t), Home: z}).Truth(w, w.End)
			if got := float64(len(points)) / 60; got != tt.hours {
				t.Errorf("%v hours have points, want %v", got, tt.hours)
			}
			moment := at(t, tt.local)
			i := slices.IndexFunc(points, func(p simulate.Point) bool { return p.Start.Equal(moment) })
			if i < 0 {
				t.Fatal("there is no point at", tt.local)
			}
			_, offset := moment.Zone()
			want := simulate.Point{
				Start: moment.UTC(), Offset: time.Duration(offset) * time.Second, Steps: 1 + tt.minute%70,
			}
			if diff := cmp.Diff(want, points[i]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTravelMovesTheClock(t *testing.T) {
	p := ann(t, simulate.Plan{Life: counted(t), Home: zone(t, "Pacific/Auckland")})
	landing := at(t, "2026-11-20T19:00:00Z")
	p.Travel(landing, zone(t, "America/Los_Angeles"))
	now := at(t, "2026-11-24T00:00:00Z")
	var got []string
	for _, x := range p.Truth(walking.Window{Start: landing.Add(-time.Minute), End: landing.Add(time.Minute)}, now) {
		local := x.Start.In(time.FixedZone("", int(x.Offset/time.Second)))
		got = append(got, fmt.Sprintf("%s %d", local.Format(time.RFC3339), x.Steps))
	}
	want := []string{"2026-11-21T07:59:00+13:00 60", "2026-11-20T11:00:00-08:00 31"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	minutes, zones := 0, p.Zones()
	for _, x := range p.Truth(walking.Window{Start: now.AddDate(0, 0, -9), End: now}, now) {
		if zones.Day(x.Start) == date(t, "2026-11-20") {
			minutes++
		}
	}
	if minutes != 37*60 {
		t.Errorf("the 20th has %d minutes, want 37 hours in two pieces", minutes)
	}
}

func TestPiecesAreTheWhole(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	p := ann(t, simulate.Plan{Life: volunteer(t), First: date(t, "2026-10-20"), Zeros: true})
	p.Travel(at(t, "2026-11-05T10:00:30Z"), zone(t, "Europe/Paris")) // the same offset
	p.Travel(at(t, "2026-11-10T10:00:00Z"), zone(t, "Asia/Tokyo"))
	all := walking.Window{Start: at(t, "2026-10-19T00:00:00Z"), End: now}
	points, sessions := p.Points(all, now), p.Sessions(all, now)
	ever := walking.Window{End: now.AddDate(1000, 0, 0)}
	if diff := cmp.Diff(sessions, p.Sessions(ever, now)); diff != "" {
		t.Errorf("asked without bounds:\n%.500s", diff)
	}
	if diff := cmp.Diff(points, p.Points(ever, now)); diff != "" {
		t.Errorf("asked without bounds:\n%.500s", diff)
	}
	for _, step := range []time.Duration{7 * time.Minute, 6*time.Hour + 13*time.Second, 25*time.Hour + time.Millisecond} {
		var pieces []simulate.Point
		var walks []simulate.Session
		for from := all.Start; from.Before(now); from = from.Add(step) {
			w := walking.Window{Start: from, End: from.Add(step)}
			pieces = append(pieces, p.Points(w, now)...)
			walks = append(walks, p.Sessions(w, now)...)
		}
		if diff := cmp.Diff(points, pieces); diff != "" {
			t.Errorf("points in windows of %s (-whole +pieces):\n%.1000s", step, diff)
		}
		if diff := cmp.Diff(sessions, walks); diff != "" {
			t.Errorf("sessions in windows of %s (-whole +pieces):\n%.1000s", step, diff)
		}
	}
}

func TestWalksWhenTheClocksChange(t *testing.T) {
	for _, tt := range []struct {
		name, date string
		from       int // minute of the clock
		want       string
	}{
		{"usual", "2026-03-28", 150, "01:30 3600"},
		{"in the hour that is skipped", "2026-03-29", 150, ""},
		{"in the hour that comes twice", "2026-10-25", 150, "00:30 7200"},
		{"after it", "2026-10-25", 190, "02:10 3600"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := life(t, 1, func(_, m int) uint8 {
				if m >= tt.from && m < tt.from+20 {
					return 100
				}
				return 0
			})
			w := wholeDay(t, zone(t, "Europe/Berlin"), tt.date)
			w.End = w.Start.Add(9 * time.Hour) // before the ride of the evening
			var got []string
			for _, s := range ann(t, simulate.Plan{Life: l}).TrueSessions(w, w.End) {
				got = append(got, fmt.Sprintf("%s %d", s.Start.Format("15:04"), int(s.Offset/time.Second)))
				if s.Steps != 2000 || s.End.Sub(s.Start) != 20*time.Minute {
					t.Errorf("the walk %+v", s)
				}
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("walks at %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEdits(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	w := window(t, "2026-11-19T10:00:00Z", "2026-11-19T10:05:00Z")
	const all = "00=20 01=20 02=20 03=20 04=20"
	first := walking.Window{Start: w.Start, End: w.Start.Add(2 * time.Minute)}
	for _, tt := range []struct {
		name  string
		edit  func(*simulate.Person)
		want  string
		truth string // where it differs
	}{
		{name: "none", edit: func(*simulate.Person) {}, want: all},
		{name: "corrected down and up", edit: func(p *simulate.Person) {
			p.Correct(w.Start, 3)
			p.Correct(w.Start.Add(time.Minute), 90)
		}, want: "00=3 01=90 02=20 03=20 04=20"},
		{name: "corrected to nothing", edit: func(p *simulate.Person) { p.Correct(w.Start, 0) }, want: "00=0 01=20 02=20 03=20 04=20"},
		{name: "less than nothing", edit: func(p *simulate.Person) { p.Correct(w.Start, -5) }, want: "00=0 01=20 02=20 03=20 04=20"},
		{name: "deleted", edit: func(p *simulate.Person) {
			p.Correct(w.Start, 5)
			p.Delete(first)
		}, want: "02=20 03=20 04=20"},
		{name: "corrected after it was deleted", edit: func(p *simulate.Person) {
			p.Delete(w)
			p.Correct(w.Start, 5)
		}, want: "00=5"},
		{name: "late", edit: func(p *simulate.Person) { p.Late(first, now.Add(time.Second)) }, want: "02=20 03=20 04=20", truth: all},
		{name: "late no longer", edit: func(p *simulate.Person) { p.Late(first, now) }, want: all},
		{name: "not synced", edit: func(p *simulate.Person) {
			p.NoSync(walking.Window{Start: w.Start.Add(-time.Hour), End: now.Add(time.Hour)})
		}, want: "", truth: all},
		{name: "not synced for two whiles on end", edit: func(p *simulate.Person) {
			p.NoSync(walking.Window{Start: w.Start.Add(-time.Hour), End: w.End})
			p.NoSync(walking.Window{Start: w.End, End: now.Add(time.Hour)})
		}, want: "", truth: all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := ann(t, simulate.Plan{Life: life(t, 1, func(int, int) uint8 { return 20 })})
			tt.edit(p)
			read := func(points []simulate.Point) string {
				var out []string
				for _, x := range points {
					out = append(out, x.Start.Format("04")+"="+strconv.Itoa(x.Steps))
				}
				return strings.Join(out, " ")
			}
			if got := read(p.Points(w, now)); got != tt.want {
				t.Errorf("shown are %s, want %s", got, tt.want)
			}
			if tt.truth == "" {
				tt.truth = tt.want
			}
			if got := read(p.Truth(w, now)); got != tt.truth {
				t.Errorf("the truth is %s, want %s", got, tt.truth)
			}
		})
	}
}

func TestDeleteAndLateHideSessions(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	p := ann(t, simulate.Plan{Life: volunteer(t), First: date(t, "2026-10-20")})
	all := walking.Window{Start: at(t, "2026-10-19T00:00:00Z"), End: now}
	before := p.Sessions(all, now)
	p.Delete(walking.Window{Start: before[0].Start, End: before[0].Start.Add(time.Minute)}) // its first minute will do
	p.Late(walking.Window{Start: before[1].Start, End: before[1].End}, now.Add(time.Hour))
	if diff := cmp.Diff(before[2:], p.Sessions(all, now)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before[1:], p.TrueSessions(all, now)); diff != "" {
		t.Errorf("truth (-want +got):\n%s", diff)
	}
	// One that has ended is there with the next sync.
	last := before[len(before)-1]
	p.NoSync(walking.Window{Start: last.Start, End: last.End.Add(time.Hour)})
	if got := p.Sessions(walking.Window{Start: last.Start, End: now}, last.End.Add(30*time.Minute)); len(got) != 0 {
		t.Errorf("before the sync there is %v", got)
	}
	if got := p.Sessions(walking.Window{Start: last.Start, End: now}, last.End.Add(2*time.Hour)); !cmp.Equal(got, []simulate.Session{last}) {
		t.Errorf("after the sync there is %v, want %v", got, last)
	}
}

func TestZeros(t *testing.T) {
	now := at(t, "2026-11-20T23:30:00Z")
	still := life(t, 1, func(int, int) uint8 { return 0 })
	w := wholeDay(t, zone(t, "Europe/Berlin"), "2026-11-19")
	if got := ann(t, simulate.Plan{Life: still}).Points(w, now); len(got) != 0 {
		t.Errorf("%d minutes without a step are told", len(got))
	}
	got := ann(t, simulate.Plan{Life: still, Zeros: true}).Points(w, now)
	if len(got) != 16*60 || sum(got) != 0 || !got[0].Start.Equal(at(t, "2026-11-19T06:00:00Z")) {
		t.Errorf("%d minutes without a step are told, want those from 7 to 23 h", len(got))
	}
}

func TestSyncRhythm(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	now := at(t, "2026-11-21T00:00:00+01:00")
	p := ann(t, simulate.Plan{Life: counted(t)})
	syncs := map[int]int{} // by local hour
	last := time.Time{}
	for m := now.Add(-24 * time.Hour); m.Before(now); m = m.Add(time.Minute) {
		if at := p.Synced(m); !at.Equal(last) {
			syncs[at.In(z).Hour()]++
			last = at
		}
	}
	if syncs[12] != 4 || syncs[3] != 1 {
		t.Errorf("%d syncs from 12 h and %d from 3 h, want 4 and 1", syncs[12], syncs[3])
	}

	gap := walking.Window{Start: now.Add(-72 * time.Hour), End: now}
	p.NoSync(gap)
	if got := p.Synced(now.Add(-time.Minute)); !got.Before(gap.Start) || gap.Start.Sub(got) > time.Hour {
		t.Errorf("the last sync before three days without is %s, want shortly before %s", got, gap.Start)
	}
	if n := len(p.Points(gap, now.Add(-time.Minute))); n != 0 {
		t.Errorf("%d points show from days that are not synced", n)
	}
	if n := len(p.Points(gap, now.Add(2*time.Hour))); n != 72*60 {
		t.Errorf("%d points show after the sync, want three days", n)
	}
	for m := now.Add(-96 * time.Hour); m.Before(now.Add(3 * time.Hour)); m = m.Add(37 * time.Minute) {
		shown := p.Points(walking.Window{Start: now.Add(-100 * time.Hour), End: m.Add(time.Hour)}, m)
		if end := shown[len(shown)-1].Start.Add(time.Minute); !end.Equal(p.Synced(m)) {
			t.Fatalf("at %s, synced at %s, points end at %s", m, p.Synced(m), end)
		}
	}
	if got := p.Synced(at(t, "2026-02-28T22:00:00Z")); !got.IsZero() {
		t.Errorf("there is a sync before all data: %s", got)
	}
}

// What has been synced stays so, wherever the clocks of day and night stand when somebody moves.
func TestSyncsAreNotTakenBack(t *testing.T) {
	for _, home := range []string{"Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham"} {
		for _, every := range []time.Duration{0, 5 * time.Minute, 7 * time.Minute} {
			p := ann(t, simulate.Plan{Life: counted(t), Home: zone(t, home), Every: every})
			p.Travel(at(t, "2026-10-25T10:50:00Z"), zone(t, "Pacific/Auckland")) // into the night
			var last time.Time
			for m := at(t, "2026-10-24T00:00:00Z"); m.Before(at(t, "2026-10-27T00:00:00Z")); m = m.Add(time.Minute) {
				now := p.Synced(m)
				if now.Before(last) || now.After(m) || m.Sub(now) >= 75*time.Minute {
					t.Fatalf("%s, every %s: at %s it is synced up to %s, and before up to %s", home, every, m, now, last)
				}
				last = now
			}
		}
	}
}

func TestPeopleAreAskedAtOnce(t *testing.T) {
	p := ann(t, simulate.Plan{Life: volunteer(t)})
	now := at(t, "2026-11-20T12:00:00Z")
	hour := walking.Window{Start: now.Add(-time.Hour), End: now}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p.Correct(now.Add(-time.Duration(i)*time.Minute), i)
			p.Delete(walking.Window{Start: now.Add(-2 * time.Hour), End: now.Add(-time.Hour)})
			p.Late(hour, now)
			p.NoSync(walking.Window{Start: now.AddDate(0, 1, 0), End: now.AddDate(0, 2, 0)})
			p.Travel(now.Add(time.Duration(i)*time.Hour), time.UTC)
			p.Points(hour, now)
			p.Truth(hour, now)
			p.Sessions(hour, now)
			p.TrueSessions(hour, now)
			p.Synced(now)
			p.Zones()
		})
	}
	wg.Wait()
	if got := len(p.Truth(hour, now)); got < 7 {
		t.Errorf("%d minutes are there, want at least those that were corrected", got)
	}
}

func TestThousandPeopleCostLittle(t *testing.T) {
	l := volunteer(t)
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	z := zone(t, "Europe/Berlin") // once for all
	before := used()
	people := make([]*simulate.Person, 0, 1000)
	for range cap(people) {
		people = append(people, ann(t, simulate.Plan{Life: l, Home: z}))
	}
	after := used()
	runtime.KeepAlive(people)
	if each := (int64(after) - int64(before)) / 1000; each > 2048 {
		t.Errorf("a person costs %d bytes, want at most 2048", each)
	}
}
