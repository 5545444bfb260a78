package walking

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := ParseZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func day(t testing.TB, s string) Day {
	t.Helper()
	d, err := ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04Z07:00", "2006-01-02 15:04:05Z07:00"} {
		if x, err := time.Parse(layout, s); err == nil {
			return x.UTC()
		}
	}
	t.Fatalf("%q is no instant", s)
	return time.Time{}
}

func windows(t testing.TB, edges ...string) []Window {
	t.Helper()
	var out []Window
	for i := 0; i < len(edges); i += 2 {
		out = append(out, Window{at(t, edges[i]), at(t, edges[i+1])})
	}
	return out
}

func TestDay(t *testing.T) {
	d := day(t, "2026-03-29")
	if y, m, dd := d.Date(); y != 2026 || m != time.March || dd != 29 {
		t.Errorf("Date = %d %v %d", y, m, dd)
	}
	if got := DayOf(2026, time.February, 57); got != d {
		t.Errorf("DayOf normalises to %v, want %v", got, d)
	}
	if d.Weekday() != time.Sunday || d.Monday() != day(t, "2026-03-23") || (d+1).Monday() != d+1 {
		t.Errorf("week of %v: %v, %v, %v", d, d.Weekday(), d.Monday(), (d + 1).Monday())
	}
	if got := d.FirstOfMonth(); got != day(t, "2026-03-01") {
		t.Errorf("FirstOfMonth = %v", got)
	}
	if got := day(t, "1969-12-31"); got != -1 || got.String() != "1969-12-31" || got.Monday() != -3 {
		t.Errorf("before 1970: %d %v", got, got)
	}
	text, err := d.MarshalText()
	if err != nil || string(text) != "2026-03-29" {
		t.Errorf("MarshalText = %s, %v", text, err)
	}
	var back Day
	if err := back.UnmarshalText(text); err != nil || back != d {
		t.Errorf("UnmarshalText = %v, %v", back, err)
	}
	for _, s := range []string{"", "2026-3-29", "2026-02-29", "29.03.2026", "2026-03-29 "} {
		if _, err := ParseDay(s); err == nil {
			t.Errorf("ParseDay(%q) succeeds", s)
		}
		if err := back.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("UnmarshalText(%q) succeeds", s)
		}
	}
}

func TestDayIn(t *testing.T) {
	for _, tt := range []struct{ name, zone, day, want string }{
		{"usual", "Europe/Berlin", "2026-06-01", "2026-06-01 00:00+02:00"},
		{"midnight skipped", "Africa/Cairo", "2026-04-24", "2026-04-24 01:00+03:00"},
		{"date skipped", "Pacific/Apia", "2011-12-30", "2011-12-31 00:00+14:00"},
		{"date in two pieces", "America/St_Johns", "2006-10-29", "2006-10-29 00:00-02:30"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := day(t, tt.day).In(zone(t, tt.zone)); !got.Equal(at(t, tt.want)) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSpans(t *testing.T) {
	type days map[string][]string // spans as edges
	for _, tt := range []struct {
		name    string
		home    string
		changes [][2]string // instant, zone
		want    days
		hours   map[string]float64
	}{
		{
			name: "the zero timeline is UTC", want: days{"2026-03-29": {"2026-03-29 00:00Z", "2026-03-30 00:00Z"}},
			hours: map[string]float64{"2026-03-29": 24},
		},
		{
			name: "Berlin in spring", home: "Europe/Berlin",
			want:  days{"2026-03-29": {"2026-03-28 23:00Z", "2026-03-29 22:00Z"}},
			hours: map[string]float64{"2026-03-28": 24, "2026-03-29": 23, "2026-03-30": 24},
		},
		{
			name: "Berlin in autumn", home: "Europe/Berlin",
			want:  days{"2026-10-25": {"2026-10-24 22:00Z", "2026-10-25 23:00Z"}},
			hours: map[string]float64{"2026-10-24": 24, "2026-10-25": 25, "2026-10-26": 24},
		},
		{
			name: "Cairo skips midnight", home: "Africa/Cairo",
			want: days{
				"2026-04-23": {"2026-04-22 22:00Z", "2026-04-23 22:00Z"},
				"2026-04-24": {"2026-04-23 22:00Z", "2026-04-24 21:00Z"},
			},
			hours: map[string]float64{"2026-04-23": 24, "2026-04-24": 23, "2026-04-25": 24},
		},
		{
			name: "Lord Howe moves by half an hour", home: "Australia/Lord_Howe",
			want:  days{"2026-10-04": {"2026-10-03 13:30Z", "2026-10-04 13:00Z"}},
			hours: map[string]float64{"2026-10-03": 24, "2026-10-04": 23.5, "2026-10-05": 24, "2026-04-05": 24.5},
		},
		{
			name: "Auckland to Los Angeles", home: "Pacific/Auckland",
			changes: [][2]string{{"2026-11-20 19:00Z", "America/Los_Angeles"}},
			want: days{
				"2026-11-20": {"2026-11-19 11:00Z", "2026-11-20 11:00Z", "2026-11-20 19:00Z", "2026-11-21 08:00Z"},
				"2026-11-21": {"2026-11-20 11:00Z", "2026-11-20 19:00Z", "2026-11-21 08:00Z", "2026-11-22 08:00Z"},
			},
			hours: map[string]float64{"2026-11-19": 24, "2026-11-20": 37, "2026-11-21": 32, "2026-11-22": 24},
		},
		{
			name: "Los Angeles to Auckland", home: "America/Los_Angeles",
			changes: [][2]string{{"2026-11-21 19:00Z", "Pacific/Auckland"}},
			want: days{
				"2026-11-21": {"2026-11-21 08:00Z", "2026-11-21 19:00Z"},
				"2026-11-22": {"2026-11-21 19:00Z", "2026-11-22 11:00Z"},
			},
			hours: map[string]float64{"2026-11-20": 24, "2026-11-21": 11, "2026-11-22": 16, "2026-11-23": 24},
		},
		{
			name: "Pago Pago to Apia", home: "Pacific/Pago_Pago",
			changes: [][2]string{{"2026-11-20 23:30Z", "Pacific/Apia"}},
			want: days{
				"2026-11-20": {"2026-11-20 11:00Z", "2026-11-20 23:30Z"},
				"2026-11-21": {"2026-11-20 23:30Z", "2026-11-21 11:00Z"},
			},
			hours: map[string]float64{"2026-11-19": 24, "2026-11-20": 12.5, "2026-11-21": 11.5, "2026-11-22": 24},
		},
		{
			name: "St John's sets back across midnight", home: "America/St_Johns",
			want: days{
				"2006-10-28": {"2006-10-28 02:30Z", "2006-10-29 02:30Z", "2006-10-29 02:31Z", "2006-10-29 03:30Z"},
				"2006-10-29": {"2006-10-29 02:30Z", "2006-10-29 02:31Z", "2006-10-29 03:30Z", "2006-10-30 03:30Z"},
			},
			hours: map[string]float64{"2006-10-27": 24, "2006-10-30": 24},
		},
		{
			name: "Apia skips a date", home: "Pacific/Apia",
			want: days{
				"2011-12-29": {"2011-12-29 10:00Z", "2011-12-30 10:00Z"},
				"2011-12-30": nil,
				"2011-12-31": {"2011-12-30 10:00Z", "2011-12-31 10:00Z"},
			},
			hours: map[string]float64{"2011-12-29": 24, "2011-12-30": 0, "2011-12-31": 24},
		},
		{
			name: "a change to the zone in force is none", home: "Europe/Berlin",
			changes: [][2]string{{"2026-06-01 12:00Z", "Europe/Berlin"}},
			want:    days{"2026-06-01": {"2026-05-31 22:00Z", "2026-06-01 22:00Z"}},
		},
		{
			name: "of two changes at one instant the later counts", home: "Europe/Berlin",
			changes: [][2]string{{"2026-06-01 12:00Z", "Asia/Tokyo"}, {"2026-06-01 12:00Z", "Europe/London"}},
			want:    days{"2026-06-01": {"2026-05-31 22:00Z", "2026-06-01 23:00Z"}},
			hours:   map[string]float64{"2026-06-01": 25},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var z Timeline
			if tt.home != "" {
				var changes []ZoneChange
				for _, c := range tt.changes {
					changes = append(changes, ZoneChange{at(t, c[0]), zone(t, c[1])})
				}
				z = NewTimeline(zone(t, tt.home), changes...)
			}
			for d, edges := range tt.want {
				want := windows(t, edges...)
				if diff := cmp.Diff(want, z.Spans(day(t, d))); diff != "" {
					t.Errorf("%s (-want +got):\n%s", d, diff)
				}
				end := time.Time{}
				if len(want) > 0 {
					end = want[len(want)-1].End
				}
				if got := z.End(day(t, d)); !got.Equal(end) {
					t.Errorf("%s ends at %v, want %v", d, got, end)
				}
				for _, w := range want {
					for _, x := range []time.Time{w.Start, w.End.Add(-1)} {
						if got := z.Day(x); got != day(t, d) {
							t.Errorf("the date at %v is %v, want %v", x, got, d)
						}
					}
				}
			}
			for d, want := range tt.hours {
				if got := z.Hours(day(t, d)); math.Abs(got-want) > 1e-9 {
					t.Errorf("%s has %v h, want %v", d, got, want)
				}
			}
		})
	}
}

func TestTimelineAt(t *testing.T) {
	z := NewTimeline(zone(t, "Europe/Oslo"),
		ZoneChange{at(t, "2026-07-20 10:00Z"), zone(t, "Europe/Oslo")},
		ZoneChange{at(t, "2026-07-10 10:00Z"), zone(t, "Asia/Tokyo")},
	)
	for instant, want := range map[string]string{
		"2026-07-10 09:59:59Z": "Europe/Oslo", "2026-07-10 10:00Z": "Asia/Tokyo",
		"2026-07-20 09:59:59Z": "Asia/Tokyo", "2026-07-20 10:00Z": "Europe/Oslo",
	} {
		if got := z.At(at(t, instant)).String(); got != want {
			t.Errorf("At(%s) = %s, want %s", instant, got, want)
		}
	}
	if got := (Timeline{}).At(time.Unix(0, 0)); got != time.UTC {
		t.Errorf("the zero timeline is in %v", got)
	}
}

func TestWindow(t *testing.T) {
	w := windows(t, "2026-01-01 10:00Z", "2026-01-01 11:00Z")[0]
	next := Window{w.End, w.End.Add(time.Hour)}
	if !w.Contains(w.Start) || w.Contains(w.End) {
		t.Error("a window holds its start and not its end")
	}
	if w.Overlaps(next) || next.Overlaps(w) || !w.Overlaps(next.Widen(1)) {
		t.Error("windows that touch do not overlap")
	}
	if w.Empty() || !(Window{w.End, w.Start}).Empty() || w.Duration() != time.Hour {
		t.Error("Empty or Duration is wrong")
	}
}
