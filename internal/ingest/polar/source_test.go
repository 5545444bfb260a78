package polar_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

var berlin = walking.NewTimeline(zone("Europe/Berlin"))

// utc is for days whose times are to be read easily.
var utc = walking.NewTimeline(time.UTC)

// Minutes that are left out repeat the one before, as far as the day's total says.
func TestMinutes(t *testing.T) {
	const d = "2026-11-18"
	for _, test := range []struct {
		name    string
		total   int
		samples []string
		want    []string
	}{
		{"each minute told", 25, []string{"08:00 10", "08:01 15", "08:02 0"}, []string{"18T08:00 10", "18T08:01 15"}},
		{
			"repeated minutes", 45,
			[]string{"00:00 0", "08:00 10", "08:03 15", "08:04 0"},
			[]string{"18T08:00 10", "18T08:01 10", "18T08:02 10", "18T08:03 15"},
		},
		{"up to midnight", 30, []string{"23:57 10"}, []string{"18T23:57 10", "18T23:58 10", "18T23:59 10"}},
		{"the last one for a while", 30, []string{"08:00 10"}, []string{"18T08:00 10", "18T08:01 10", "18T08:02 10"}},
		{"the last one alone", 10, []string{"08:00 10"}, []string{"18T08:00 10"}},
		{
			"the device was off after a count", 120,
			[]string{"08:00 40", "08:02 20", "14:00 20", "14:01 0"},
			[]string{"18T08:00 40", "18T08:01 40", "18T08:02 20", "18T14:00 20"},
		},
		{"seconds", 12, []string{"08:00:00 7", "08:01:00 5", "08:02:00.000 0"}, []string{"18T08:00 7", "18T08:01 5"}},
		{"a bogus Z", 7, []string{"08:00Z 7", "08:01:00Z 0"}, []string{"18T08:00 7"}},
		{"not in order", 12, []string{"08:01 5", "08:02 0", "08:00 7"}, []string{"18T08:00 7", "18T08:01 5"}},
		{"told twice", 9, []string{"08:00 7", "08:00 9", "08:01 0"}, []string{"18T08:00 9"}},
		{"no count", 7, []string{"08:00 7", "08:01 null", "08:02 -1"}, []string{"18T08:00 7"}},
		{"text and fractions", 9, []string{`08:00 "7"`, "08:01 2.0", "08:02 0"}, []string{"18T08:00 7", "18T08:01 2"}},
		{"without a total", 0, []string{"08:00 5", "08:03 8", "09:00 0"}, []string{"18T08:00 5", "18T08:01 5", "18T08:02 5", "18T08:03 8"}},
		{"nothing", 0, []string{"00:00 0"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, map[string][]answer{activitiesPath: {ok("[" + dayJSON(d, test.total, test.samples...) + "]")}})
			b, log, err := s.fetch(request(utc, d, d))
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(test.want, lines(b)); d != "" {
				t.Errorf("records (-want +got):\n%s", d)
			}
			if log != "" {
				t.Errorf("logged: %s", log)
			}
		})
	}
}

// Nothing is lost where the minutes are not what the total says.
func TestTotals(t *testing.T) {
	const d = "2026-11-18"
	for _, test := range []struct {
		name, body string
		want       []string
		total      float64
	}{
		{
			"a little is missing", dayJSON(d, 103, "08:00 60", "08:01 40", "08:02 0"),
			[]string{"18T08:00 60", "18T08:01 40", "18T08:02 0s 3"},
			103,
		},
		{
			"some is missing", dayJSON(d, 120, "08:00 60", "08:01 40", "08:02 0"),
			[]string{"18T08:00 60", "18T08:01 40", "18T08:02 0s 20"},
			120,
		},
		{
			"most is missing", dayJSON(d, 1000, "08:00 60", "08:01 40", "08:02 0"),
			[]string{"18T00:00 23h59m59s 1000", "18T08:00 60", "18T08:01 40"},
			1000,
		},
		{
			"the minutes are missing", strings.Replace(dayJSON(d, 1000), `"samples":{"date"`, `"other":{"date"`, 1),
			[]string{"18T00:00 23h59m59s 1000"},
			1000,
		},
		{
			"the total is too small", dayJSON(d, 50, "08:00 60", "08:03 40", "08:04 0"),
			[]string{"18T08:00 60", "18T08:03 40"},
			50,
		},
		{
			"the day has more than its samples", strings.Replace(dayJSON(d, 180, "08:00 60", "08:03 0"), `"steps":180`, `"steps":190`, 1),
			[]string{"18T08:00 60", "18T08:01 60", "18T08:02 60", "18T08:03 0s 10"},
			190,
		},
		{
			"the samples tell no total", strings.Replace(dayJSON(d, 180, "08:00 60", "08:03 0"), `"total_steps":180`, `"total_steps":0`, 1),
			[]string{"18T08:00 60", "18T08:01 60", "18T08:02 60"},
			180,
		},
		{
			"the day tells no total", strings.Replace(dayJSON(d, 180, "08:00 60", "08:03 0"), `"steps":180`, `"steps":null`, 1),
			[]string{"18T08:00 60", "18T08:01 60", "18T08:02 60"},
			180,
		},
		{
			"the interval is none", strings.Replace(dayJSON(d, 180, "08:00 60", "08:03 0"), `:60000`, `:0`, 1),
			[]string{"18T08:00 60", "18T08:01 60", "18T08:02 60"},
			180,
		},
		{
			"five minutes", strings.Replace(dayJSON(d, 180, "08:00 60", "08:15 0"), `:60000`, `:"300000"`, 1),
			[]string{"18T08:00 5m0s 60", "18T08:05 5m0s 60", "18T08:10 5m0s 60"},
			180,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, map[string][]answer{activitiesPath: {ok("[" + test.body + "]")}})
			b, _, err := s.fetch(request(utc, d, d))
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(test.want, lines(b)); d != "" {
				t.Errorf("records (-want +got):\n%s", d)
			}
			if d := diff([]ingest.Total{{Day: date(d), Steps: test.total}}, b.Totals); d != "" {
				t.Errorf("totals (-want +got):\n%s", d)
			}
		})
	}
}

// Only the totals of days that are over, and all of whose minutes are there, can be compared.
func TestTotalsOfWholeDays(t *testing.T) {
	days := "[" + dayJSON("2026-11-17", 7, "08:00 7", "08:01 0") + "," + dayJSON("2026-11-18", 0, "08:00 0") + "," +
		strings.ReplaceAll(dayJSON("2026-11-19", 5, "08:00 5", "08:01 0"), `steps":5,"samples`, `steps":null,"samples`) + "," +
		dayJSON("2026-11-20", 9, "08:00 9", "08:01 0") + "]"
	days = strings.Replace(days, `"total_steps":5`, `"total_steps":null`, 1)
	for name, test := range map[string]struct {
		from, to, now string
		want          []ingest.Total
	}{
		"four days": {"2026-11-17T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-21T01:00:00Z", []ingest.Total{
			{Day: date("2026-11-17"), Steps: 7}, {Day: date("2026-11-18")}, {Day: date("2026-11-20"), Steps: 9},
		}},
		"today": {"2026-11-18T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-20T23:00:00Z", []ingest.Total{{Day: date("2026-11-18")}}},
		"parts": {"2026-11-17T00:01:00Z", "2026-11-20T23:59:00Z", "2026-11-21T01:00:00Z", []ingest.Total{{Day: date("2026-11-18")}}},
	} {
		s := newScript(t, map[string][]answer{activitiesPath: {ok(days)}})
		r := request(utc, "2026-11-17", "2026-11-20")
		r.Window, r.Now = walking.Window{Start: at(test.from), End: at(test.to)}, at(test.now)
		b, _, err := s.fetch(r)
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(test.want, b.Totals); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// What the merge makes of a day whose minutes are not all there is what its total says.
func TestTotalsInTheMerge(t *testing.T) {
	const d = "2026-11-18"
	for _, total := range []int{100, 103, 120, 130, 134, 200, 1000} {
		s := newScript(t, map[string][]answer{activitiesPath: {ok("[" + dayJSON(d, total, "08:00 60", "08:01 40", "08:02 0") + "]")}})
		b, _, err := s.fetch(request(utc, d, d))
		if err != nil {
			t.Fatal(err)
		}
		m := walking.Merge([]walking.Input{{StreamKey: key, Records: b.Records[0].Records}})
		sum, _ := m.Day(date(d), walking.Setting{Zones: utc})
		if sum.Steps != int64(total) {
			t.Errorf("a total of %d makes %d steps", total, sum.Steps)
		}
	}
}

// minutesOf returns records of n minutes as lines.
func minutesOf(start string, n, steps int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s %d", at(start).Add(time.Duration(i)*time.Minute).Format("02T15:04"), steps))
	}
	return out
}

// Times are local, on the days on which clocks change as well.
func TestClocksThatChange(t *testing.T) {
	auckland, apia := zone("Pacific/Auckland"), zone("Pacific/Apia")
	for _, test := range []struct {
		name, date string
		z          walking.Timeline
		total      int
		samples    []string
		want       []string
	}{
		{"winter", "2026-11-18", berlin, 7, []string{"00:00 7", "00:01 0"}, []string{"17T23:00 7"}},
		{"summer", "2026-07-18", berlin, 7, []string{"23:59 7"}, []string{"18T21:59 7"}},
		{
			"the hour that is skipped is filled by nothing", "2026-03-29", berlin, 12,
			[]string{"01:58 3", "03:00 6", "03:01 0"},
			[]string{"29T00:58 3", "29T00:59 3", "29T01:00 6"},
		},
		{
			"a device that was not set keeps its steps", "2026-03-29", berlin, 10,
			[]string{"02:10 4", "02:11 0", "03:10 5", "03:11 1", "03:12 0"},
			[]string{"29T01:10 9", "29T01:11 1"},
		},
		{
			"the hour that is repeated", "2026-10-25", berlin, 15,
			[]string{"01:59 1", "02:00 2", "02:01 3", "02:59 0", "02:00 4", "02:01 5", "03:00 0"},
			[]string{"24T23:59 1", "25T00:00 2", "25T00:01 3", "25T01:00 4", "25T01:01 5"},
		},
		{
			"the hour that is repeated is filled", "2026-10-25", berlin, 3 * 121,
			[]string{"01:59 3", "03:00 0"},
			minutesOf("2026-10-24T23:59:00Z", 121, 3),
		},
		{
			"half an hour", "2026-10-04", walking.NewTimeline(zone("Australia/Lord_Howe")), 9,
			[]string{"01:59 3", "02:30 6", "02:31 0"},
			[]string{"03T15:29 3", "03T15:30 6"},
		},
		{
			"a midnight that is skipped", "2026-04-24", walking.NewTimeline(zone("Africa/Cairo")), 7,
			[]string{"01:00 7", "01:01 0"},
			[]string{"23T22:00 7"},
		},
		{
			"a flight back over midnight", "2026-11-20",
			walking.NewTimeline(auckland, walking.ZoneChange{From: at("2026-11-20T19:00:00Z"), Zone: zone("America/Los_Angeles")}),
			10,
			[]string{"08:00 1", "20:00 2", "20:01 0", "11:00 3", "11:01 0", "20:00 4", "20:01 0"},
			[]string{"19T19:00 1", "20T07:00 2", "20T19:00 3", "21T04:00 4"},
		},
		{
			"a flight to the other side of the date line", "2026-11-21",
			walking.NewTimeline(zone("Pacific/Pago_Pago"), walking.ZoneChange{From: at("2026-11-20T23:30:00Z"), Zone: apia}),
			7,
			[]string{"13:00 7", "13:01 0"},
			[]string{"21T00:00 7"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, map[string][]answer{activitiesPath: {ok("[" + dayJSON(test.date, test.total, test.samples...) + "]")}})
			b, _, err := s.fetch(request(test.z, test.date, test.date))
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(test.want, lines(b)); d != "" {
				t.Errorf("records (-want +got):\n%s", d)
			}
		})
	}
}

// How far the device has synced is told by what has changed, and by the end of today if that can be a sync.
func TestSynced(t *testing.T) {
	const d = "2026-11-18"
	today := func(end string, more string) string {
		return strings.Replace(dayJSON(d, 30, "08:00 10", "08:03 0"), `T23:59:59"`, "T"+end+`"`, 1) + more
	}
	zones := strings.Replace(dayJSON(d, 30, "08:00 10", "08:03 0"), `"date"`,
		`"activity_zones":{"samples":[{"zone":"SEDENTARY","timestamp":"2026-11-18T09:30:10"}]},"date"`, 1)
	next := dayJSON("2026-11-19", 0, "00:00 0")
	for _, test := range []struct{ name, body, now, want string }{
		{"the last change", today("23:59:59", ""), "2026-11-18T10:00:00Z", "2026-11-18T08:04:00Z"},
		{"the last change of a zone", zones, "2026-11-18T10:00:00Z", "2026-11-18T09:30:10Z"},
		{"the end", today("09:40:00", ""), "2026-11-18T10:00:00Z", "2026-11-18T09:40:00Z"},
		{"the end without seconds", today("09:40", ""), "2026-11-18T10:00:00Z", "2026-11-18T09:40:00Z"},
		{"an end that may be the time of asking", today("09:58:00", ""), "2026-11-18T10:00:00Z", "2026-11-18T08:04:00Z"},
		{"an end in the future", today("20:00:00", ""), "2026-11-18T10:00:00Z", "2026-11-18T08:04:00Z"},
		{"yesterday, whose end is none", today("23:59:59", ""), "2026-11-19T10:00:00Z", "2026-11-18T08:04:00Z"},
		{"midnight is none", today("00:00", ""), "2026-11-19T10:00:00Z", "2026-11-18T08:04:00Z"},
		{"yesterday and today", today("23:59:59", ","+next), "2026-11-19T10:00:00Z", "2026-11-19T00:01:00Z"},
		{"never after now", today("23:59:59", ""), "2026-11-18T08:03:10Z", "2026-11-18T08:03:10Z"},
		{"nothing", "", "2026-11-18T10:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, map[string][]answer{activitiesPath: {ok("[" + test.body + "]")}})
			r := request(utc, d, "2026-11-19")
			r.Now = at(test.now)
			b, _, err := s.fetch(r)
			if err != nil {
				t.Fatal(err)
			}
			want := []walking.Stream{{
				StreamKey: key, Device: walking.Wearable, Delivery: walking.Pulled, SyncedThrough: at(test.want),
			}}
			if d := diff(want, b.Streams); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// A day without minutes that is still going on does not look fresh.
func TestTodayWithoutMinutes(t *testing.T) {
	const d = "2026-11-18"
	for now, want := range map[string]string{
		"2026-11-18T10:00:00Z": "18T00:00 9h0m0s 1000", "2026-11-18T00:30:00Z": "18T00:00 0s 1000",
		"2026-11-19T00:30:00Z": "18T00:00 23h59m59s 1000",
	} {
		s := newScript(t, map[string][]answer{activitiesPath: {ok("[" + dayJSON(d, 1000) + "]")}})
		r := request(utc, d, d)
		r.Now = at(now)
		b, _, err := s.fetch(r)
		if err != nil || len(lines(b)) != 1 || lines(b)[0] != want || !b.Streams[0].SyncedThrough.IsZero() {
			t.Errorf("at %s: %v, %+v, %v, want %s", now, lines(b), b.Streams, err, want)
		}
	}
}

func TestUnworn(t *testing.T) {
	const d = "2026-11-18"
	zones := func(list ...string) string {
		var out []string
		for _, z := range list {
			when, name, _ := strings.Cut(z, " ")
			out = append(out, fmt.Sprintf(`{"zone":%q,"timestamp":"%sT%s"}`, name, d, when))
		}
		return "[" + strings.Replace(dayJSON(d, 0), `"date"`, `"activity_zones":{"samples":[`+strings.Join(out, ",")+`]},"date"`, 1) + "]"
	}
	s := newScript(t, map[string][]answer{activitiesPath: {ok(zones(
		"00:00 SLEEP", "07:00:30 NON_WEAR", "09:15 LIGHT", "10:00 NON_WEAR", "10:20 NON_WEAR", "11:00 NEW", "22:00 NON_WEAR",
	))}})
	b, _, err := s.fetch(request(utc, d, d))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range b.Unworn {
		if u.StreamKey != key {
			t.Errorf("%+v", u)
		}
		got = append(got, u.Start.Format("15:04:05")+" "+u.End.Format("15:04:05"))
	}
	want := []string{"07:00:30 09:15:00", "10:00:00 10:20:00", "10:20:00 11:00:00"}
	if d := diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// What cannot be is left out, and what is not asked for as well.
func TestLeftOut(t *testing.T) {
	body := "[" + dayJSON("2026-11-17", 5, "08:00 5", "08:01 0") + "," +
		dayJSON("2026-11-18", 909, "08:00 9", "08:01 900", "08:02 0") + "," +
		dayJSON("2026-11-19", 5, "08:00 5", "08:01 0") + "]"
	s := newScript(t, map[string][]answer{activitiesPath: {ok(body)}})
	b, log, err := s.fetch(request(utc, "2026-11-18", "2026-11-18"))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff([]string{"18T08:00 9"}, lines(b)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if !strings.Contains(log, "left out what cannot be") || !strings.Contains(log, "what=minutes count=1 from=2026-11-18T00:00:00Z") {
		t.Errorf("logged %s", log)
	}
}

// A clock that is slow, or a journey that walkd does not know of, shows in minutes of the future.
func TestMinutesOfTheFuture(t *testing.T) {
	s := newScript(t, map[string][]answer{activitiesPath: {ok("[" + dayJSON("2026-11-18", 24, "08:00 7", "08:01 8", "15:00 9", "15:01 0") + "]")}})
	r := request(utc, "2026-11-18", "2026-11-18")
	r.Now = at("2026-11-18T12:00:00Z")
	b, log, err := s.fetch(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(b); len(got) < 2 || got[len(got)-1] == "18T15:00 9" {
		t.Errorf("records %v", got)
	}
	if !strings.Contains(log, "some of it lies in the future") || !strings.Contains(log, "what=minutes count=1 now=2026-11-18T12:00:00Z") {
		t.Errorf("logged %s", log)
	}
	s = newScript(t, map[string][]answer{activitiesPath: {ok("[" + dayJSON("2026-11-18", 909, "08:00 9", "08:01 900", "08:02 0") + "]")}})
	if _, log, err = s.fetch(request(utc, "2026-11-18", "2026-11-18")); err != nil || strings.Contains(log, "future") {
		t.Errorf("error %v, logged %s", err, log)
	}
}

// A window is asked for in one call, as far as Polar keeps it, and only what is told is covered.
func TestQuestions(t *testing.T) {
	const days = activitiesPath + "?activity_zones=true&from=%s&steps=true&to=%s"
	now := at("2026-11-20T11:00:00Z")
	for _, test := range []struct {
		name, first, last string
		sessions          bool
		want              []string
		covers            []string
	}{
		{
			"eight days", "2026-11-13", "2026-11-20", false,
			[]string{fmt.Sprintf(days, "2026-11-13", "2026-11-20")},
			[]string{"18T23:00 19T23:00 1"},
		},
		{
			"with exercises", "2026-11-13", "2026-11-20", true,
			[]string{fmt.Sprintf(days, "2026-11-13", "2026-11-20"), exercisesPath},
			[]string{"18T23:00 19T23:00 1", "18T09:00 20T23:00 2"},
		},
		{"28 days", "2026-10-24", "2026-11-20", false, []string{fmt.Sprintf(days, "2026-10-24", "2026-11-20")}, []string{"18T23:00 19T23:00 1"}},
		{
			"29 days", "2026-10-23", "2026-11-20", false,
			[]string{fmt.Sprintf(days, "2026-10-23", "2026-11-19"), fmt.Sprintf(days, "2026-11-20", "2026-11-20")},
			[]string{"18T23:00 19T23:00 1", "18T23:00 19T23:00 1"},
		},
		{"before the exercises", "2026-09-21", "2026-10-18", true, []string{fmt.Sprintf(days, "2026-09-21", "2026-10-18")}, nil},
		{"a year ago", "2025-11-10", "2025-11-25", true, []string{fmt.Sprintf(days, "2025-11-21", "2025-11-25")}, nil},
		{"before that", "2025-10-20", "2025-11-16", true, nil, nil},
		{"tomorrow as well", "2026-11-20", "2026-11-22", false, []string{fmt.Sprintf(days, "2026-11-20", "2026-11-20")}, nil},
		{"tomorrow", "2026-11-21", "2026-11-22", false, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, map[string][]answer{
				activitiesPath: {ok("[" + dayJSON("2026-11-19", 5, "08:00 5", "08:01 0") + "]")},
				exercisesPath:  {ok(`[{"start_time":"2026-11-18T10:00:00","start_time_utc_offset":60,"duration":"PT1H"}]`)},
			})
			r := request(berlin, test.first, test.last)
			r.Now, r.Sessions = now, test.sessions
			b, _, err := s.fetch(r)
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(test.want, s.questions()); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
			var covers []string
			for _, c := range b.Covers {
				covers = append(covers, fmt.Sprintf("%s %s %d", c.Start.Format("02T15:04"), c.End.Format("02T15:04"), c.Part))
			}
			if d := diff(test.covers, covers); d != "" {
				t.Errorf("covers (-want +got):\n%s", d)
			}
			for _, q := range s.asked {
				if q.Method != "GET" || q.Header.Get("Accept") != "application/json" || q.URL.Host != "www.polaraccesslink.com" {
					t.Errorf("%s %s %v", q.Method, q.URL, q.Header)
				}
			}
		})
	}
	// On travel over the date line a window holds parts of days around it.
	z := walking.NewTimeline(zone("Pacific/Auckland"),
		walking.ZoneChange{From: at("2026-11-20T19:00:00Z"), Zone: zone("America/Los_Angeles")})
	s := newScript(t, map[string][]answer{activitiesPath: {ok("[]")}})
	r := request(z, "2026-11-20", "2026-11-20")
	if _, _, err := s.fetch(r); err != nil {
		t.Fatal(err)
	}
	if d := diff([]string{fmt.Sprintf(days, "2026-11-20", "2026-11-21")}, s.questions()); d != "" {
		t.Errorf("on travel (-want +got):\n%s", d)
	}
}

func TestExercises(t *testing.T) {
	x := func(start, offset, length, sport, detail string) string {
		return fmt.Sprintf(`{"id":"2AC312F","upload_time":"2026-11-19T10:40:02.000Z","start_time":%q,"start_time_utc_offset":%s,
			"duration":%q,"sport":%q,"detailed_sport_info":%q,"distance":1600.5,"has_route":false}`, start, offset, length, sport, detail)
	}
	session := func(start, length string, k walking.Kind) walking.StreamSession {
		d, err := time.ParseDuration(length)
		if err != nil {
			t.Fatal(err)
		}
		return walking.StreamSession{StreamKey: key, Session: walking.Session{
			Start: at(start), End: at(start).Add(d), Moving: d, Kind: k,
		}}
	}
	s := newScript(t, map[string][]answer{activitiesPath: {ok("[]")}, exercisesPath: {ok("[" + strings.Join([]string{
		x("2026-11-18T17:00:00", "60", "PT25M", "CYCLING", "ROAD_BIKING"),
		x("2026-11-18T08:00:00", "60", "PT1H2M3.5S", "OTHER", "NORDIC_WALKING"),
		x("2026-11-18T08:00:00", "60", "PT1H2M3.5S", "OTHER", "NORDIC_WALKING"),
		x("2026-11-18T10:40:02", "180", "PT2H44M", "HIKING", ""), // in another zone than the person's
		x("2026-11-18T12:00:00Z", `"0"`, "PT30M", "WALKING", "WALKING"),
		x("2026-11-18T18:00:00", "null", "PT30M", "RUNNING", "TREADMILL_RUNNING"),
		x("2026-11-18T19:00:00", "60", "PT0S", "RUNNING", "TREADMILL_RUNNING"),
		x("2026-11-18T20:00:00", "60", "P3D", "OTHER", "BACKCOUNTRY_SKIING"),
		`{"start-time":"2026-11-18T21:00:00","start-time-utc-offset":60,"duration":"PT10M","sport":"OTHER","detailed-sport-info":"YOGA"}`,
		x("2026-11-17T08:00:00", "60", "PT1H", "WALKING", "WALKING"),
	}, ",") + "]")}})
	r := request(berlin, "2026-11-18", "2026-11-18")
	r.Sessions = true
	b, log, err := s.fetch(r)
	if err != nil {
		t.Fatal(err)
	}
	want := []walking.StreamSession{
		session("2026-11-18T07:00:00Z", "1h2m3.5s", walking.Walk), session("2026-11-18T07:40:02Z", "2h44m", walking.Hike),
		session("2026-11-18T12:00:00Z", "30m", walking.Walk), session("2026-11-18T16:00:00Z", "25m", walking.Ride),
		session("2026-11-18T17:00:00Z", "30m", walking.Run), session("2026-11-18T20:00:00Z", "10m", walking.Other),
	}
	if d := diff(want, b.Sessions); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if !strings.Contains(log, "what=exercises count=2") {
		t.Errorf("logged %s", log)
	}
	cover := ingest.Cover{StreamKey: key, Window: r.Window, Part: ingest.SessionsOnly}
	if d := diff([]ingest.Cover{cover}, b.Covers); d != "" {
		t.Errorf("covers (-want +got):\n%s", d)
	}
}

// Exercises that are not listed any more were deleted, but for those from before a registration.
func TestExercisesThatWereDeleted(t *testing.T) {
	x := func(day int) string {
		return fmt.Sprintf(`{"start_time":"2026-11-%02dT08:00:00","start_time_utc_offset":0,"duration":"PT1H","sport":"WALKING"}`, day)
	}
	s := newScript(t, map[string][]answer{activitiesPath: {ok("[]")}, exercisesPath: {
		ok("[]"), ok("[" + x(17) + "," + x(15) + "]"), ok("[" + x(17) + "]"), ok("[]"), {status: 204},
	}})
	r := request(utc, "2026-11-14", "2026-11-18")
	r.Sessions = true
	source := newProvider(t).Source(clientOf(s))
	for i, want := range []string{"", "2026-11-15T08:00:00Z", "2026-11-15T08:00:00Z", "2026-11-15T08:00:00Z", "2026-11-15T08:00:00Z"} {
		b, err := source.Fetch(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, c := range b.Covers {
			got += c.Start.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("answer %d: covers from %q, want %q", i, got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	x := func(uploaded, device string) string {
		return fmt.Sprintf(`{"start_time":"2026-11-18T08:00:00","duration":"PT1H","upload_time":%q,"device":%q}`, uploaded, device)
	}
	for _, test := range []struct {
		name   string
		answer answer
		want   []ingest.Device
	}{
		{
			"several",
			ok("[" + strings.Join([]string{
				x("2026-11-02T08:00:00.000Z", "Polar Vantage V3"), x("2026-11-18T09:00:00.000Z", "Polar Ignite 3"),
				x("2026-11-19T09:00:00.000Z", "Polar H10"), x("2026-11-17T09:00:00.000Z", "Polar Ignite 3"), x("2026-11-20T09:00:00.000Z", ""),
			}, ",") + "]"),
			[]ingest.Device{{Name: "Polar Ignite 3"}, {Name: "Polar Vantage V3"}},
		},
		{"no exercise", ok("[]"), nil},
		{"no content", answer{status: 204}, nil},
	} {
		s := newScript(t, map[string][]answer{exercisesPath: {test.answer}})
		d, err := newProvider(t).Source(clientOf(s)).(ingest.Describer).Describe(t.Context())
		if err != nil || len(s.asked) != 1 {
			t.Errorf("%s: error %v after %v", test.name, err, s.questions())
		}
		if d := diff(test.want, d.Devices); d != "" || len(s.asked) != 1 {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
	s := newScript(t, map[string][]answer{exercisesPath: {{status: 503}}})
	var e *ingest.Error
	if _, err := newProvider(t).Source(clientOf(s)).(ingest.Describer).Describe(t.Context()); !errors.As(err, &e) || e.Class != ingest.Transient {
		t.Errorf("in trouble: %v", err)
	}
}
