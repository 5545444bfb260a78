package walking

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func wall(t testing.TB, s string) WallTime {
	t.Helper()
	w, err := ParseWallTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func wallRange(t testing.TB, s string) WallRange {
	t.Helper()
	from, to, _ := strings.Cut(s, "-")
	return WallRange{wall(t, from), wall(t, to)}
}

func TestWallTime(t *testing.T) {
	for s, want := range map[string]WallTime{"00:00": 0, "08:05": 485, "23:59": 1439, "24:00": 1440} {
		if got := wall(t, s); got != want || got.String() != s {
			t.Errorf("%s is %d, %s", s, got, got)
		}
	}
	for _, s := range []string{"", "8", "25:00", "24:01", "12:60", "noon", "-1:00"} {
		if _, err := ParseWallTime(s); err == nil {
			t.Errorf("ParseWallTime(%q) succeeds", s)
		}
	}
	if got := wallRange(t, "21:30-08:00").String(); got != "21:30-08:00" {
		t.Errorf("String = %s", got)
	}
}

func TestClock(t *testing.T) {
	for _, tt := range []struct {
		name, zone, day, at string
		want                []string
	}{
		{"once", "Europe/Berlin", "2026-03-28", "02:30", []string{"2026-03-28 01:30Z"}},
		{"skipped", "Europe/Berlin", "2026-03-29", "02:30", nil},
		{"after the gap", "Europe/Berlin", "2026-03-29", "03:00", []string{"2026-03-29 01:00Z"}},
		{"twice", "Europe/Berlin", "2026-10-25", "02:30", []string{"2026-10-25 00:30Z", "2026-10-25 01:30Z"}},
		{"midnight skipped", "Africa/Cairo", "2026-04-24", "00:00", nil},
		{"end of day", "Europe/Berlin", "2026-03-29", "24:00", []string{"2026-03-29 22:00Z"}},
		{"no such date", "Pacific/Apia", "2011-12-30", "12:00", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want []time.Time
			for _, s := range tt.want {
				want = append(want, at(t, s))
			}
			if diff := cmp.Diff(want, NewTimeline(zone(t, tt.zone)).Clock(day(t, tt.day), wall(t, tt.at))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRange(t *testing.T) {
	landing := []ZoneChange{{at(t, "2026-11-20 19:00Z"), zone(t, "America/Los_Angeles")}}
	for _, tt := range []struct {
		name, home string
		changes    []ZoneChange
		day, quiet string
		want       []string
	}{
		{"usual", "Europe/Berlin", nil, "2026-06-01", "21:30-08:00", []string{"2026-06-01 19:30Z", "2026-06-02 06:00Z"}},
		{"within a day", "Europe/Berlin", nil, "2026-06-01", "13:00-14:30", []string{"2026-06-01 11:00Z", "2026-06-01 12:30Z"}},
		{"to midnight", "Europe/Berlin", nil, "2026-06-01", "22:00-24:00", []string{"2026-06-01 20:00Z", "2026-06-01 22:00Z"}},
		{"to 00:00", "Europe/Berlin", nil, "2026-06-01", "22:00-00:00", []string{"2026-06-01 20:00Z", "2026-06-01 22:00Z"}},
		{"all day", "Europe/Berlin", nil, "2026-06-02", "00:00-24:00", []string{"2026-06-01 22:00Z", "2026-06-02 22:00Z"}},
		{"never", "Europe/Berlin", nil, "2026-06-01", "08:00-08:00", nil},
		{"short night", "Europe/Berlin", nil, "2026-03-28", "21:30-08:00", []string{"2026-03-28 20:30Z", "2026-03-29 06:00Z"}},
		{"long night", "Europe/Berlin", nil, "2026-10-24", "21:30-08:00", []string{"2026-10-24 19:30Z", "2026-10-25 07:00Z"}},
		{"end skipped", "Europe/Berlin", nil, "2026-03-28", "21:30-02:30", []string{"2026-03-28 20:30Z", "2026-03-29 01:00Z"}},
		{"start skipped", "Europe/Berlin", nil, "2026-03-29", "02:30-08:00", []string{"2026-03-29 01:00Z", "2026-03-29 06:00Z"}},
		{"all skipped", "Europe/Berlin", nil, "2026-03-29", "02:10-02:50", nil},
		{"end repeated", "Europe/Berlin", nil, "2026-10-24", "21:30-02:30", []string{"2026-10-24 19:30Z", "2026-10-25 01:30Z"}},
		{"start repeated", "Europe/Berlin", nil, "2026-10-25", "02:30-08:00", []string{"2026-10-25 00:30Z", "2026-10-25 07:00Z"}},
		{"both repeated", "Europe/Berlin", nil, "2026-10-25", "02:10-02:50", []string{"2026-10-25 00:10Z", "2026-10-25 01:50Z"}},
		{"midnight skipped", "Africa/Cairo", nil, "2026-04-23", "22:00-00:30", []string{"2026-04-23 20:00Z", "2026-04-23 22:00Z"}},
		{
			"start repeated across midnight", "America/St_Johns", nil, "2006-10-28", "23:30-08:00",
			[]string{"2006-10-29 02:00Z", "2006-10-29 11:30Z"},
		},
		{"midnight repeated", "America/St_Johns", nil, "2006-10-29", "00:00-08:00", []string{"2006-10-29 02:30Z", "2006-10-29 11:30Z"}},
		{
			"the night before a date that is skipped", "Pacific/Apia", nil, "2011-12-29", "21:30-08:00",
			[]string{"2011-12-30 07:30Z", "2011-12-30 10:00Z"},
		},
		{"of a date that is skipped", "Pacific/Apia", nil, "2011-12-30", "21:30-08:00", []string{"2011-12-30 10:00Z", "2011-12-30 18:00Z"}},
		{
			"a journey ends the night", "Pacific/Auckland", landing, "2026-11-20", "21:30-08:30",
			[]string{"2026-11-20 08:30Z", "2026-11-20 19:00Z"},
		},
		{
			"the night after a journey", "Pacific/Auckland", landing, "2026-11-21", "21:30-08:00",
			[]string{"2026-11-22 05:30Z", "2026-11-22 16:00Z"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := NewTimeline(zone(t, tt.home), tt.changes...)
			var want Window
			if len(tt.want) > 0 {
				want = windows(t, tt.want...)[0]
			}
			if diff := cmp.Diff(want, z.Range(day(t, tt.day), wallRange(t, tt.quiet))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	for _, tt := range []struct {
		name, home string
		changes    []ZoneChange
		from, to   string
		quiet      string
		want       []string
	}{
		{
			"clipped", "Europe/Berlin", nil, "2026-06-01 00:00Z", "2026-06-01 20:00Z", "21:30-08:00",
			[]string{"2026-06-01 00:00Z", "2026-06-01 06:00Z", "2026-06-01 19:30Z", "2026-06-01 20:00Z"},
		},
		{
			"across a date that is skipped", "Pacific/Apia", nil, "2011-12-30 00:00Z", "2011-12-31 00:00Z", "21:30-08:00",
			[]string{"2011-12-30 07:30Z", "2011-12-30 18:00Z"},
		},
		{
			"both evenings of a date lived twice", "Pacific/Auckland",
			[]ZoneChange{{at(t, "2026-11-20 19:00Z"), zone(t, "America/Los_Angeles")}},
			"2026-11-20 00:00Z", "2026-11-22 00:00Z", "21:30-08:00",
			[]string{"2026-11-20 08:30Z", "2026-11-20 19:00Z", "2026-11-21 05:30Z", "2026-11-21 16:00Z"},
		},
		{
			"all the time", "Europe/Berlin", nil, "2026-03-27 00:00Z", "2026-03-31 00:00Z", "00:00-24:00",
			[]string{"2026-03-27 00:00Z", "2026-03-31 00:00Z"},
		},
		{"never", "Europe/Berlin", nil, "2026-03-27 00:00Z", "2026-03-31 00:00Z", "00:00-00:00", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := NewTimeline(zone(t, tt.home), tt.changes...)
			got := z.Ranges(Window{at(t, tt.from), at(t, tt.to)}, wallRange(t, tt.quiet))
			if diff := cmp.Diff(windows(t, tt.want...), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWaking(t *testing.T) {
	for _, tt := range []struct {
		name, zone, day, quiet string
		want                   []string
	}{
		{"usual", "Europe/Berlin", "2026-06-01", "21:30-08:00", []string{"2026-06-01 06:00Z", "2026-06-01 19:30Z"}},
		{"spring", "Europe/Berlin", "2026-03-29", "21:30-08:00", []string{"2026-03-29 06:00Z", "2026-03-29 19:30Z"}},
		{
			"noon nap", "Europe/Berlin", "2026-06-01", "13:00-14:00",
			[]string{"2026-05-31 22:00Z", "2026-06-01 11:00Z", "2026-06-01 12:00Z", "2026-06-01 22:00Z"},
		},
		{"no quiet hours", "Europe/Berlin", "2026-06-01", "00:00-00:00", []string{"2026-05-31 22:00Z", "2026-06-01 22:00Z"}},
		{"date that is skipped", "Pacific/Apia", "2011-12-30", "21:30-08:00", nil},
		{"day after it", "Pacific/Apia", "2011-12-31", "21:30-08:00", []string{"2011-12-30 18:00Z", "2011-12-31 07:30Z"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := NewTimeline(zone(t, tt.zone)).Waking(day(t, tt.day), wallRange(t, tt.quiet))
			if diff := cmp.Diff(windows(t, tt.want...), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTravel(t *testing.T) {
	const h = 3600
	oslo := zone(t, "Europe/Oslo") // +1 in winter, +2 in summer
	type offset struct {
		at    string
		hours float64
	}
	type change struct{ at, zone string }
	for _, tt := range []struct {
		name    string
		entries []change
		offsets []offset
		want    []change
	}{
		{"at home", nil, []offset{{"2026-07-01 10:00Z", 2}, {"2026-07-01 11:00Z", 2}, {"2026-12-01 11:00Z", 1}, {"2026-12-01 12:00Z", 1}}, nil},
		{
			"two agreeing records, from the first of them", nil,
			[]offset{{"2026-07-01 10:00Z", 2}, {"2026-07-01 20:00Z", 9}, {"2026-07-01 21:00Z", 9}, {"2026-07-01 22:00Z", 9}},
			[]change{{"2026-07-01 20:00Z", "+09:00"}},
		},
		{"one stray offset", nil, []offset{{"2026-07-01 10:00Z", 2}, {"2026-07-01 20:00Z", 9}, {"2026-07-01 21:00Z", 2}, {"2026-07-01 22:00Z", 9}}, nil},
		{"two that disagree", nil, []offset{{"2026-07-01 20:00Z", 9}, {"2026-07-01 21:00Z", 8}, {"2026-07-01 22:00Z", 2}}, nil},
		{
			"in any order", nil,
			[]offset{{"2026-07-01 21:00Z", 5.5}, {"2026-07-01 10:00Z", 2}, {"2026-07-01 20:00Z", 5.5}},
			[]change{{"2026-07-01 20:00Z", "+05:30"}},
		},
		{
			"return home", nil,
			[]offset{{"2026-07-01 20:00Z", 9}, {"2026-07-01 21:00Z", 9}, {"2026-07-05 09:00Z", 2}, {"2026-07-05 10:00Z", 2}},
			[]change{{"2026-07-01 20:00Z", "+09:00"}, {"2026-07-05 09:00Z", "Europe/Oslo"}},
		},
		{
			"from one place to the next", nil,
			[]offset{{"2026-07-01 20:00Z", 9}, {"2026-07-01 21:00Z", 9}, {"2026-07-05 09:00Z", -4}, {"2026-07-05 10:00Z", -4}},
			[]change{{"2026-07-01 20:00Z", "+09:00"}, {"2026-07-05 09:00Z", "-04:00"}},
		},
		{
			"home again once home has the same offset", nil,
			[]offset{{"2026-10-20 10:00Z", 1}, {"2026-10-20 11:00Z", 1}, {"2026-10-27 10:00Z", 1}},
			[]change{{"2026-10-20 10:00Z", "+01:00"}, {"2026-10-27 10:00Z", "Europe/Oslo"}},
		},
		{
			"entries overrule",
			[]change{{"2026-07-01 12:00Z", "Asia/Tokyo"}, {"2026-07-10 12:00Z", "Europe/Oslo"}},
			[]offset{{"2026-07-02 20:00Z", 8}, {"2026-07-02 21:00Z", 8}, {"2026-07-12 10:00Z", 8}, {"2026-07-12 11:00Z", 8}},
			[]change{{"2026-07-01 12:00Z", "Asia/Tokyo"}, {"2026-07-10 12:00Z", "Europe/Oslo"}, {"2026-07-12 10:00Z", "+08:00"}},
		},
		{
			"an entry ends a journey that offsets began",
			[]change{{"2026-07-05 12:00Z", "Europe/Oslo"}},
			[]offset{{"2026-07-01 20:00Z", 9}, {"2026-07-01 21:00Z", 9}, {"2026-07-06 09:00Z", 9}, {"2026-07-06 10:00Z", 9}},
			[]change{{"2026-07-05 12:00Z", "Europe/Oslo"}, {"2026-07-01 20:00Z", "+09:00"}, {"2026-07-06 09:00Z", "+09:00"}},
		},
		{
			"agreement does not reach across an entry",
			[]change{{"2026-07-05 12:00Z", "Asia/Tokyo"}, {"2026-07-06 12:00Z", "Europe/Oslo"}},
			[]offset{{"2026-07-05 10:00Z", 5}, {"2026-07-07 10:00Z", 5}, {"2026-07-07 11:00Z", 2}},
			[]change{{"2026-07-05 12:00Z", "Asia/Tokyo"}, {"2026-07-06 12:00Z", "Europe/Oslo"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var entries []ZoneChange
			for _, e := range tt.entries {
				entries = append(entries, ZoneChange{at(t, e.at), zone(t, e.zone)})
			}
			var offsets []OffsetAt
			for _, o := range tt.offsets {
				offsets = append(offsets, OffsetAt{at(t, o.at), int(o.hours * h)})
			}
			var got []change
			for _, c := range Travel(oslo, entries, offsets) {
				got = append(got, change{c.From.UTC().Format("2006-01-02 15:04Z07:00"), c.Zone.String()})
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(change{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseZone(t *testing.T) {
	noon := at(t, "2026-07-01 12:00Z")
	for name, want := range map[string]string{
		"Europe/Oslo": "14:00", "UTC": "12:00", "+05:30": "17:30", "-09:30": "02:30", "+00:00": "12:00", "+14:00": "02:00",
	} {
		loc := zone(t, name)
		if got := noon.In(loc).Format("15:04"); got != want {
			t.Errorf("noon UTC in %s is %s, want %s", name, got, want)
		}
		if got := loc.String(); got != name {
			t.Errorf("ParseZone(%q) is called %q, so it does not read back", name, got)
		}
	}
	for _, name := range []string{"", "Local", "Oslo", "Europe/Olso", "+5", "../etc/passwd", "+99:00"} {
		if _, err := ParseZone(name); err == nil {
			t.Errorf("ParseZone(%q) succeeds", name)
		}
	}
}

// A Traveler that begins anywhere, knowing only the journeys from before, reads the same as one that was told everything.
func TestPropertyTravelerResumes(t *testing.T) {
	oslo := zone(t, "Europe/Oslo")
	zones := []*time.Location{oslo, zone(t, "Asia/Tokyo"), zone(t, "America/New_York")}
	begin := at(t, "2026-10-20 00:00Z") // the clocks in Oslo change on the 25th
	rapid.Check(t, func(t *rapid.T) {
		hour := func(what string) time.Time {
			return begin.Add(time.Duration(rapid.IntRange(0, 240).Draw(t, what)) * time.Hour)
		}
		var entries []ZoneChange
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			entries = append(entries, ZoneChange{hour("entered"), zones[rapid.IntRange(0, 2).Draw(t, "zone")]})
		}
		var offsets []OffsetAt
		for range rapid.IntRange(1, 30).Draw(t, "offsets") {
			o := OffsetAt{hour("told"), rapid.SampledFrom([]int{3600, 7200, 9 * 3600, -5 * 3600}).Draw(t, "offset")}
			offsets = append(offsets, o)
		}
		slices.SortStableFunc(offsets, func(a, b OffsetAt) int { return a.At.Compare(b.At) })
		journeys := Travel(oslo, entries, offsets)[len(entries):]
		cut := offsets[rapid.IntRange(0, len(offsets)-1).Draw(t, "cut")].At

		whole, resumed := NewTraveler(oslo, entries), NewTraveler(oslo, entries)
		var known, told []ZoneChange
		for _, j := range journeys {
			if j.From.Before(cut) {
				known = append(known, j)
			}
		}
		told = append(told, known...)
		resumed.Resume(known, cut)
		for _, o := range offsets {
			whole.Next(o)
			if o.At.Before(cut) {
				continue
			}
			if c, ok := resumed.Next(o); ok {
				told = append(told, c)
			}
			if o.At.After(cut) && !whole.Equal(resumed) {
				t.Fatalf("after %v: %+v, resumed at %v %+v", o, whole, cut, resumed)
			}
		}
		if !slices.EqualFunc(journeys, told, func(a, b ZoneChange) bool { return a.From.Equal(b.From) && sameZone(a.Zone, b.Zone) }) {
			t.Fatalf("resumed at %v: %v, want %v", cut, told, journeys)
		}
	})
}

func TestDiffers(t *testing.T) {
	oslo, tokyo, lima := zone(t, "Europe/Oslo"), zone(t, "Asia/Tokyo"), zone(t, "America/Lima")
	day := func(n int) time.Time { return at(t, "2026-07-01 00:00Z").AddDate(0, 0, n-1) }
	to := func(n int, zone *time.Location) ZoneChange { return ZoneChange{day(n), zone} }
	tests := []struct {
		name   string
		a, b   []ZoneChange
		want   Window
		differ bool
	}{
		{"at home", nil, nil, Window{}, false},
		{"the same journey", []ZoneChange{to(2, tokyo)}, []ZoneChange{to(2, tokyo)}, Window{}, false},
		{"one that ends", []ZoneChange{to(2, tokyo), to(5, oslo)}, nil, Window{day(2), day(5)}, true},
		{"one that does not", nil, []ZoneChange{to(2, tokyo)}, Window{Start: day(2)}, true},
		{"begun earlier", []ZoneChange{to(2, tokyo)}, []ZoneChange{to(4, tokyo)}, Window{day(2), day(4)}, true},
		{"elsewhere", []ZoneChange{to(2, tokyo), to(5, oslo)}, []ZoneChange{to(2, lima), to(5, oslo)}, Window{day(2), day(5)}, true},
		{
			"two, with the same in between",
			[]ZoneChange{to(2, tokyo), to(3, oslo), to(7, lima), to(8, oslo)},
			[]ZoneChange{to(4, tokyo), to(5, oslo)},
			Window{day(2), day(8)},
			true,
		},
		{"the second for ever", []ZoneChange{to(2, tokyo), to(3, oslo), to(7, lima)}, nil, Window{Start: day(2)}, true},
	}
	for _, tt := range tests {
		for _, z := range [][2]Timeline{
			{NewTimeline(oslo, tt.a...), NewTimeline(oslo, tt.b...)}, {NewTimeline(oslo, tt.b...), NewTimeline(oslo, tt.a...)},
		} {
			got, differ := z[0].Differs(z[1])
			if diff := cmp.Diff(tt.want, got); diff != "" || differ != tt.differ {
				t.Errorf("%s: differ %v, want %v (-want +got):\n%s", tt.name, differ, tt.differ, diff)
			}
		}
	}
	if w, differ := NewTimeline(oslo).Differs(NewTimeline(tokyo)); !differ || w != (Window{}) {
		t.Errorf("other homes: %v, %v, want always", w, differ)
	}
}
