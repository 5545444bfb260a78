package walking

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var june1 = DayOf(2026, time.June, 1)

func TestTargets(t *testing.T) {
	targets := []Target{{june1, 80}, {june1 - 10, 60}, {june1 + 5, 120}, {june1, 90}}
	for d, want := range map[Day]float64{
		june1 - 11: DefaultTarget, june1 - 10: 60, june1 - 1: 60, june1: 90, june1 + 4: 90, june1 + 5: 120, june1 + 100: 120,
	} {
		if got := TargetOn(targets, d); got != want {
			t.Errorf("target on %v is %v, want %v", d, got, want)
		}
	}
	for _, tt := range []struct {
		steps, target float64
		walking       float64
		met           bool
	}{
		{9200, 100, 100, false},
		{9200 * 1.00494, 100, 100.49, false},
		{9200 * 1.00496, 100, 100.5, true},
		{9292, 100, 101, true},
		{9292, 101, 101, false},
		{9292, 100.5, 101, true},
	} {
		s, _ := Merge(streams([]Record{rec(-720, 1440, tt.steps)})).Day(june1, Setting{Targets: []Target{{june1, tt.target}}})
		if s.Walking != tt.walking || s.Met != tt.met || s.Target != tt.target {
			t.Errorf("%v steps, target %v: %v min, met %v; want %v, %v", tt.steps, tt.target, s.Walking, s.Met, tt.walking, tt.met)
		}
	}
}

func TestDayUncertainty(t *testing.T) {
	for _, tt := range []struct {
		name      string
		records   []Record
		low, high float64
	}{
		{"minutes", run(0, 100, 80), 85, 115},
		{"hours", []Record{rec(0, 60, 4600)}, 40, 60},
		{"a daily total", []Record{rec(-720, 1440, 9200)}, 75, 125},
		{"both", append(run(0, 100, 80), rec(120, 60, 4600)), 125, 175},
		{"no more than the day", run(-720, 1440, 80), 1224, 1440},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := Merge(streams(tt.records)).Day(june1, Setting{})
			if diff := cmp.Diff([]float64{tt.low, tt.high}, []float64{s.Low, s.High}, about); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestValid(t *testing.T) {
	quiet := wallRange(t, "22:00-08:00") // at 14 h awake, noon is in the middle of them, almost
	unworn := func(from, hours float64) Window {
		r := rec(from*60, hours*60, 0)
		return Window{r.Start, r.End()}
	}
	total := []Record{rec(-720, 1440, 5000)}
	for _, tt := range []struct {
		name    string
		records []Record
		unworn  []Window
		also    []Window // told by a second stream
		notWorn []Day
		z       Timeline
		want    bool
	}{
		{"fine", total, nil, nil, nil, Timeline{}, true},
		{"1,000 steps", []Record{rec(-720, 1440, 1000)}, nil, nil, nil, Timeline{}, true},
		{"999.5 steps round up", []Record{rec(-720, 1440, 999.5)}, nil, nil, nil, Timeline{}, true},
		{"999 steps", []Record{rec(-720, 1440, 999.4)}, nil, nil, nil, Timeline{}, false},
		{"marked as not worn", total, nil, nil, []Day{june1 - 1, june1}, Timeline{}, false},
		{"another day is", total, nil, nil, []Day{june1 - 1}, Timeline{}, true},
		{"unworn for under four hours", total, []Window{unworn(0, 3.99)}, nil, nil, Timeline{}, true},
		{"unworn for four hours", total, []Window{unworn(0, 4)}, nil, nil, Timeline{}, false},
		{"unworn at night", total, []Window{unworn(-12, 8), unworn(10, 2)}, nil, nil, Timeline{}, true},
		{"unworn on the day before", total, []Window{unworn(-36, 24)}, nil, nil, Timeline{}, true},
		{"two gaps add up", total, []Window{unworn(0, 2), unworn(4, 2)}, nil, nil, Timeline{}, false},
		{"two devices say the same", total, []Window{unworn(0, 3)}, []Window{unworn(0.5, 3)}, nil, Timeline{}, true},
		{"an empty window", total, []Window{unworn(4, -4)}, nil, nil, Timeline{}, true},
		{"the phone was carried meanwhile", run(0, 30, 80), []Window{unworn(0, 4)}, nil, nil, Timeline{}, true},
		{"an hour's total does not tell", []Record{rec(0, 60, 5000)}, []Window{unworn(0, 4)}, nil, nil, Timeline{}, false},
		{
			"a day of twelve hours",
			[]Record{rec(-30, 60, 5000)},
			nil, nil, nil,
			NewTimeline(time.UTC, ZoneChange{noon, FixedZone(12 * 3600)}), true,
		},
		{
			"a day of less",
			[]Record{rec(-30, 30, 5000)},
			nil, nil, nil,
			NewTimeline(time.UTC, ZoneChange{noon.Add(-1), FixedZone(13 * 3600)}), false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := []Input{{Records: tt.records, Unworn: tt.unworn}, {StreamKey: StreamKey{Source: "ring"}, Unworn: tt.also}}
			s, _ := Merge(in).Day(june1, Setting{Zones: tt.z, Quiet: quiet, NotWorn: tt.notWorn})
			if s.Valid != tt.want {
				t.Errorf("valid is %v with %d steps in %v h", s.Valid, s.Steps, s.Hours)
			}
		})
	}
}

func TestRecordOverMidnight(t *testing.T) {
	// Berlin's midnight is at 22:00Z: a quarter of the record lies before it.
	z := NewTimeline(zone(t, "Europe/Berlin"))
	m := Merge(streams([]Record{rec(9*60+45, 60, 921)}))
	first, det := m.Day(june1, Setting{Zones: z})
	second, det2 := m.Day(june1+1, Setting{Zones: z})
	if got := []int64{first.Steps, second.Steps}; !slices.Equal(got, []int64{230, 691}) {
		t.Errorf("steps %v: cut by elapsed time, and rounded once a day", got)
	}
	if got := []float64{first.Walking, second.Walking}; !slices.Equal(got, []float64{2.5, 7.51}) {
		t.Errorf("walking %v", got)
	}
	if len(det.Minutes) != 15 || len(det2.Minutes) != 45 {
		t.Errorf("%d and %d minutes, want 15 and 45", len(det.Minutes), len(det2.Minutes))
	}
	if len(det.Streams) != 1 || len(det2.Streams) != 0 {
		t.Errorf("the record belongs to the day on which it starts: %v, %v", det.Streams, det2.Streams)
	}
	if diff := cmp.Diff([]SourceTotals{{StreamKey{Source: "a"}, 690.75, 7.51, 7.51, true}}, second.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestInstantInsideARecordOverMidnight(t *testing.T) {
	m := Merge(streams([]Record{rec(600, 240, 920), rec(630, 0, 7), rec(720, 0, 5)}))
	first, _ := m.Day(june1, Setting{})
	second, det := m.Day(june1+1, Setting{})
	if first.Steps != 467 || second.Steps != 465 {
		t.Errorf("steps %d and %d, want 467 and 465", first.Steps, second.Steps)
	}
	if len(det.Minutes) != 120 || math.Abs(det.Minutes[0].Steps-920.0/240-5) > 1e-9 {
		t.Errorf("%d minutes, the first %+v", len(det.Minutes), det.Minutes[0])
	}
}

func TestDetail(t *testing.T) {
	in := []Input{
		{StreamKey: StreamKey{"watch", ""}, Records: append(run(0, 3, 40), rec(10, 1, 0), rec(0.5, 0, 0), rec(-10, 30, 600), rec(20, 5, 0), rec(22, 1, 0), rec(22, 5, 0))},
		{StreamKey: StreamKey{"phone", "app"}, Records: run(1, 2, 60), Sessions: []Session{session(Ride, 60, 30, 20), session(Walk, -1000, 30, 20)}},
		{StreamKey: StreamKey{"idle", ""}},
		{StreamKey: StreamKey{"still", ""}, Records: run(0, 2, 0)},
	}
	s, det := Merge(in).Day(june1, Setting{})
	wantSources := []SourceTotals{
		{StreamKey{"watch", ""}, 600, 6.91, 6.91, true}, {StreamKey{"phone", "app"}, 120, 1.5, 0, false}, {StreamKey: StreamKey{"still", ""}},
	}
	if diff := cmp.Diff(wantSources, s.Sources, about); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if s.Sessions != 1 || len(det.Sessions) != 1 || det.Sessions[0].Kind != Ride || det.Sessions[0].Source != "phone" {
		t.Errorf("sessions: %d %+v", s.Sessions, det.Sessions)
	}
	rate := 480.0 / 27
	wantWatch := []Record{
		{Start: rec(-10, 0, 0).Start, Duration: 10 * time.Minute, Steps: 10 * rate},
		rec(0, 1, 40), rec(1, 1, 40), rec(2, 1, 40),
		{Start: rec(3, 0, 0).Start, Duration: 17 * time.Minute, Steps: 17 * rate},
		rec(22, 1, 0),
	}
	if diff := cmp.Diff(wantWatch, det.Streams[0].Records, about); diff != "" {
		t.Errorf("flattened (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(run(0, 2, 0), det.Streams[2].Records); diff != "" {
		t.Errorf("zeros (-want +got):\n%s", diff)
	}
	if len(det.Minutes) != 30 || !det.Minutes[0].Start.Equal(rec(-10, 0, 0).Start) || det.Minutes[10].Steps != 40 {
		t.Errorf("%d minutes, %+v", len(det.Minutes), det.Minutes)
	}
}

func TestFlattenedOncePerStart(t *testing.T) {
	s := time.Second
	records := []Record{
		{Start: noon, Duration: 0, Steps: 3}, {Start: noon, Duration: s / 2, Steps: 1}, {Start: noon.Add(s / 2), Duration: s, Steps: 2},
	}
	_, det := Merge(streams(records)).Day(june1, Setting{})
	want := []Record{{Start: noon, Duration: 3 * s / 2, Steps: 6}}
	if diff := cmp.Diff(want, det.Streams[0].Records); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestByHour(t *testing.T) {
	for _, tt := range []struct {
		name, zone, day string
		hours           float64
		want            map[int]float64 // minutes by hour of the clock, others 60
	}{
		{"usual", "Europe/Berlin", "2026-06-01", 24, nil},
		{"23 hours", "Europe/Berlin", "2026-03-29", 23, map[int]float64{2: 0}},
		{"25 hours", "Europe/Berlin", "2026-10-25", 25, map[int]float64{2: 120}},
		{"midnight skipped", "Africa/Cairo", "2026-04-24", 23, map[int]float64{0: 0}},
		{"half an hour skipped", "Australia/Lord_Howe", "2026-10-04", 23.5, map[int]float64{2: 30}},
		{"no such date", "Pacific/Apia", "2011-12-30", 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := NewTimeline(zone(t, tt.zone))
			d := day(t, tt.day)
			var records []Record
			for x := d.utc().Add(-24 * time.Hour); x.Before(d.utc().Add(48 * time.Hour)); x = x.Add(time.Minute) {
				records = append(records, Record{Start: x, Duration: time.Minute, Steps: 80})
			}
			s, det := Merge(streams(records)).Day(d, Setting{Zones: z})
			if s.Hours != tt.hours || s.Walking != tt.hours*60 || len(det.Minutes) != int(tt.hours*60) {
				t.Errorf("%v h, %v min walking, %d minutes", s.Hours, s.Walking, len(det.Minutes))
			}
			for h, got := range s.ByHour {
				want, ok := tt.want[h]
				if !ok && tt.hours > 0 {
					want = 60
				}
				if got.Walking != want || got.Steps != want*80 {
					t.Errorf("hour %d: %+v, want %v min", h, got, want)
				}
			}
		})
	}
}

func TestSummaryOfTravel(t *testing.T) {
	z := NewTimeline(zone(t, "Pacific/Auckland"), ZoneChange{at(t, "2026-11-20 19:00Z"), zone(t, "America/Los_Angeles")})
	minutes := func(from string, n int) []Record {
		var out []Record
		for i := range n {
			out = append(out, Record{Start: at(t, from).Add(time.Duration(i) * time.Minute), Duration: time.Minute, Steps: 80})
		}
		return out
	}
	// 20 minutes on the 20th in Auckland, 30 on the 21st there, 40 on the 20th in Los Angeles, 50 on the 21st there.
	m := Merge(streams(join(minutes("2026-11-20 02:00Z", 20), minutes("2026-11-20 12:00Z", 30), minutes("2026-11-20 20:00Z", 40),
		minutes("2026-11-21 20:00Z", 50))))
	for d, want := range map[string][3]float64{"2026-11-20": {60, 37}, "2026-11-21": {80, 32}, "2026-11-22": {0, 24}} {
		s, det := m.Day(day(t, d), Setting{Zones: z})
		if s.Walking != want[0] || s.Hours != want[1] || s.Zone != "America/Los_Angeles" {
			t.Errorf("%s: %v min in %v h, %s; want %v", d, s.Walking, s.Hours, s.Zone, want)
		}
		if !slices.IsSortedFunc(det.Minutes, func(a, b Minute) int { return a.Start.Compare(b.Start) }) {
			t.Errorf("%s: minutes are out of order", d)
		}
	}
	if s, _ := m.Day(day(t, "2026-11-19"), Setting{Zones: z}); s.Zone != "Pacific/Auckland" {
		t.Errorf("before the journey the zone is %s", s.Zone)
	}
}

func TestClosesAt(t *testing.T) {
	berlin := NewTimeline(zone(t, "Europe/Berlin"))
	const end = "2026-06-01 22:00Z" // of June 1 in Berlin
	pulled := func(synced string) Stream { return Stream{Delivery: Pulled, SyncedThrough: at(t, synced)} }
	pushed := func(synced, arrived string) Stream {
		return Stream{Delivery: Pushed, SyncedThrough: at(t, synced), LastArrival: at(t, arrived)}
	}
	filed := func(synced, arrived string) Stream {
		s := pushed(synced, arrived)
		s.Delivery = Filed
		return s
	}
	for _, tt := range []struct {
		name   string
		z      Timeline
		day    string
		active []Stream
		want   string
	}{
		{"no stream is active", berlin, "2026-06-01", nil, "2026-06-04 22:00Z"},
		{"synced through the end", berlin, "2026-06-01", []Stream{pulled(end)}, end},
		{"not yet", berlin, "2026-06-01", []Stream{pulled("2026-06-01 21:59:59Z")}, "2026-06-04 22:00Z"},
		{
			"an arrival does not close a pulled stream", berlin, "2026-06-01",
			[]Stream{{Delivery: Pulled, SyncedThrough: at(t, "2026-06-01 20:00Z"), LastArrival: at(t, "2026-06-02 08:00Z")}},
			"2026-06-04 22:00Z",
		},
		{"one of two is missing", berlin, "2026-06-01", []Stream{pulled(end), pulled("2026-06-01 12:00Z")}, "2026-06-04 22:00Z"},
		{"pushed and synced", berlin, "2026-06-01", []Stream{pushed(end, end)}, end},
		{"pushed since: noon", berlin, "2026-06-01", []Stream{pushed("2026-06-01 20:00Z", end)}, "2026-06-02 10:00Z"},
		{"pushed before only", berlin, "2026-06-01", []Stream{pushed("2026-06-01 20:00Z", "2026-06-01 21:59:59Z")}, "2026-06-04 22:00Z"},
		{"filed since: noon", berlin, "2026-06-01", []Stream{filed("2026-06-01 20:00Z", "2026-06-02 08:00Z")}, "2026-06-02 10:00Z"},
		{"the slowest decides", berlin, "2026-06-01", []Stream{pulled(end), pushed("2026-06-01 20:00Z", end)}, "2026-06-02 10:00Z"},
		{"noon of a short day", berlin, "2026-03-28", []Stream{pushed("2026-03-28 20:00Z", "2026-03-29 05:00Z")}, "2026-03-29 10:00Z"},
		{"noon of a long day", berlin, "2026-10-24", []Stream{pushed("2026-10-24 20:00Z", "2026-10-25 05:00Z")}, "2026-10-25 11:00Z"},
		{
			"noon of a date that is skipped", NewTimeline(zone(t, "Pacific/Apia")), "2011-12-29",
			[]Stream{pushed("2011-12-29 20:00Z", "2011-12-30 12:00Z")},
			"2011-12-30 10:00Z",
		},
		{"a date that is skipped", NewTimeline(zone(t, "Pacific/Apia")), "2011-12-30", []Stream{pulled("2011-12-31 20:00Z")}, "2011-12-30 10:00Z"},
		{
			"noon after the end of a date lived twice",
			NewTimeline(zone(t, "Pacific/Auckland"), ZoneChange{at(t, "2026-11-21 01:00Z"), zone(t, "America/Los_Angeles")}), "2026-11-20",
			[]Stream{pushed("2026-11-21 00:00Z", "2026-11-21 09:00Z")},
			"2026-11-21 20:00Z",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ClosesAt(tt.z, day(t, tt.day), tt.active); !got.Equal(at(t, tt.want)) {
				t.Errorf("got %v, want %v", got.UTC(), tt.want)
			}
		})
	}
}

func TestActive(t *testing.T) {
	k := StreamKey{"hc", "watch"}
	days := make([]Summary, 7)
	for i, steps := range []float64{0, 10, 0, 20, 0, 0.5, 0} {
		days[i].Sources = []SourceTotals{{StreamKey: StreamKey{"hc", "phone"}, Steps: 100}, {StreamKey: k, Steps: steps}}
	}
	if !Active(k, days) || Active(k, days[:4]) || Active(StreamKey{"hc", ""}, days) || Active(k, nil) {
		t.Error("active is: steps on three of the days")
	}
}

func TestMeans(t *testing.T) {
	days := []Summary{
		{Walking: 100, Valid: true, Closed: true, Met: true},
		{Walking: 500, Valid: false, Closed: true, Met: true},
		{Walking: 500, Valid: true, Closed: false, Met: true},
		{Walking: 50.01, Valid: true, Closed: true},
		{Walking: 70, Valid: true, Closed: true},
	}
	if mean, n := Mean7(days); mean != 73.34 || n != 3 {
		t.Errorf("Mean7 = %v, %d", mean, n)
	}
	if mean, n := Mean7(days[1:3]); mean != 0 || n != 0 {
		t.Errorf("Mean7 of nothing = %v, %d", mean, n)
	}
	if diff := cmp.Diff(Period{First: june1, Walking: 73.34, Days: 3, Met: 1}, PeriodOf(june1, days)); diff != "" {
		t.Errorf("PeriodOf (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Period{First: june1}, PeriodOf(june1, nil)); diff != "" {
		t.Errorf("PeriodOf nothing (-want +got):\n%s", diff)
	}
}

func TestSortStreams(t *testing.T) {
	stream := func(source, origin string, d Device) Stream {
		return Stream{StreamKey: StreamKey{source, origin}, Device: d}
	}
	streams := []Stream{
		stream("z", "", 0), stream("b", "", UnknownDevice), stream("hc", "phone", Phone), stream("hc", "watch", Wearable),
		stream("fit", "", Wearable), stream("apple", "", Phone), stream("band", "", Wearable),
	}
	grains := map[StreamKey]Grain{{"fit", ""}: GrainOf(time.Minute), {"hc", "watch"}: GrainOf(time.Hour), {"band", ""}: GrainOf(time.Hour)}
	for _, tt := range []struct {
		name      string
		preferred []StreamKey
		want      []string
	}{
		{"default", nil, []string{"fit", "band", "hc/watch", "apple", "hc/phone", "b", "z"}},
		{"a source", []StreamKey{{"hc", ""}}, []string{"hc/watch", "hc/phone", "fit", "band", "apple", "b", "z"}},
		{"a stream", []StreamKey{{"b", ""}, {"hc", "phone"}, {"gone", ""}}, []string{"b", "hc/phone", "fit", "band", "hc/watch", "apple", "z"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sorted := slices.Clone(streams)
			SortStreams(sorted, tt.preferred, func(k StreamKey) Grain { return grains[k] })
			var got []string
			for _, s := range sorted {
				got = append(got, s.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for length, want := range map[time.Duration]Grain{
		0: 1, 5 * time.Minute: 1, 6 * time.Minute: 2, 15 * time.Minute: 2, 16 * time.Minute: 3, time.Hour: 3, 24 * time.Hour: 4,
	} {
		if got := GrainOf(length); got != want {
			t.Errorf("GrainOf(%v) = %v, want %v", length, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		Wearable.String(): "wearable", Phone.String(): "phone", UnknownDevice.String(): "unknown",
		Pulled.String(): "pulled", Pushed.String(): "pushed", Filed.String(): "filed",
		StreamKey{"hc", ""}.String(): "hc", StreamKey{"hc", "app"}.String(): "hc/app",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	keys := []StreamKey{{"b", ""}, {"a", "z"}, {"a", ""}, {"b", "c"}}
	slices.SortFunc(keys, StreamKey.Compare)
	if diff := cmp.Diff([]StreamKey{{"a", ""}, {"a", "z"}, {"b", ""}, {"b", "c"}}, keys); diff != "" {
		t.Errorf("sorted keys (-want +got):\n%s", diff)
	}
	if s := session(Walk, 0, 10, 5); s.Window() != (Window{noon, noon.Add(10 * time.Minute)}) {
		t.Errorf("window of a session: %v", s.Window())
	}
}
