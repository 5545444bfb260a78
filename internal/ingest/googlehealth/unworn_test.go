package googlehealth_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/walking"
)

// stretch is a run of minutes on a day in Oslo, in hours and minutes of its clock.
type stretch struct {
	day      string
	from, to string
	steps    float64
}

func minutes(t *testing.T, all ...stretch) []walking.Record {
	t.Helper()
	var out []walking.Record
	for _, s := range all {
		parse := func(clock string) time.Time {
			v, err := time.ParseInLocation("2006-01-02 15:04", "2026-"+s.day+" "+clock, oslo)
			if err != nil {
				t.Fatal(err)
			}
			return v.UTC()
		}
		for m := parse(s.from); m.Before(parse(s.to)); m = m.Add(time.Minute) {
			out = append(out, walking.Record{Start: m, Duration: time.Minute, Steps: s.steps})
		}
	}
	slices.SortFunc(out, func(a, b walking.Record) int { return a.Start.Compare(b.Start) })
	return out
}

func TestUnworn(t *testing.T) {
	for _, test := range []struct {
		name    string
		records []stretch
		want    []string
	}{
		{name: "nothing at all"},
		{
			// As a Pixel Watch 4 has been seen to do: points for the minutes with steps alone.
			name: "zeros are not told",
			records: []stretch{
				{"11-02", "07:00", "07:10", 60}, {"11-02", "12:00", "12:20", 90}, {"11-02", "22:00", "22:01", 5},
			},
		},
		{
			name: "a few zeros between steps",
			records: []stretch{
				{"11-02", "07:00", "07:10", 60},
				{"11-02", "07:10", "07:39", 0},
				{"11-02", "12:00", "12:20", 90},
				{"11-02", "12:20", "12:49", 0},
				{"11-02", "22:00", "22:01", 5},
			},
		},
		{
			name: "zeros are told",
			records: []stretch{
				{"11-02", "07:00", "07:10", 60},
				{"11-02", "07:10", "07:40", 0},
				{"11-02", "12:00", "12:20", 90},
				{"11-02", "12:20", "16:00", 0},
				{"11-02", "16:59", "17:00", 10},
				{"11-02", "22:00", "22:01", 5},
			},
			want: []string{"11-02 00:00 to 11-02 07:00", "11-02 07:40 to 11-02 12:00", "11-02 17:00 to 11-02 22:00"},
		},
		{
			name: "an hour and a minute less",
			records: []stretch{
				{"11-02", "00:00", "08:00", 0}, {"11-02", "09:00", "10:00", 0}, {"11-02", "10:59", "11:00", 0},
			},
			want: []string{"11-02 08:00 to 11-02 09:00"},
		},
		{
			name: "worn all day and night",
			records: []stretch{
				{"11-02", "00:00", "12:00", 0}, {"11-02", "12:00", "12:30", 90}, {"11-02", "12:30", "23:59", 0},
			},
		},
		{
			name: "each day shows by itself whether zeros are told, and nothing follows after the last point",
			records: []stretch{
				{"11-02", "08:00", "20:00", 0},
				{"11-03", "09:00", "09:10", 50},
				{"11-03", "20:00", "20:10", 50},
				{"11-04", "08:00", "09:00", 0},
			},
			want: []string{
				"11-02 00:00 to 11-02 08:00", "11-02 20:00 to 11-03 00:00", "11-04 00:00 to 11-04 08:00",
			},
		},
		{
			name:    "the clock is set back",
			records: []stretch{{"10-25", "00:00", "01:00", 0}, {"10-25", "03:00", "04:00", 0}},
			want:    []string{"10-25 01:00 to 10-25 03:00"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := request("10-25", "11-05")
			got := googlehealth.Unworn(minutes(t, test.records...), r.Window, r.Zones)
			if d := diff(strings.Join(test.want, "\n"), written(got)); d != "" {
				t.Errorf("unworn (-want +got):\n%s", d)
			}
		})
	}
}

// Nothing is said of what lies before the window.
func TestUnwornFromTheMiddleOfADay(t *testing.T) {
	r := request("11-02", "11-02")
	r.Window.Start = r.Window.Start.Add(9 * time.Hour)
	got := googlehealth.Unworn(minutes(t, stretch{"11-02", "11:00", "12:00", 0}), r.Window, r.Zones)
	if d := diff("11-02 09:00 to 11-02 11:00", written(got)); d != "" {
		t.Errorf("unworn (-want +got):\n%s", d)
	}
}

func written(ws []walking.Window) string {
	const layout = "01-02 15:04"
	var lines []string
	for _, w := range ws {
		lines = append(lines, fmt.Sprintf("%s to %s", w.Start.In(oslo).Format(layout), w.End.In(oslo).Format(layout)))
	}
	return strings.Join(lines, "\n")
}

// What is found of a day does not depend on which other days were asked for, but for the last one; nor on a journey.
func TestUnwornByAnyWindow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	losAngeles, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	all := request("10-20", "11-09")
	zones := walking.NewTimeline(oslo,
		walking.ZoneChange{From: at("2026-10-30T08:00:00Z"), Zone: tokyo},
		walking.ZoneChange{From: at("2026-11-03T20:00:00Z"), Zone: losAngeles},
	)
	var records []walking.Record
	for m := all.Window.Start; m.Before(all.Window.End); {
		length := time.Duration(1+random.IntN(240)) * time.Minute
		if random.IntN(3) > 0 {
			for end := m.Add(length); m.Before(end); m = m.Add(time.Minute) {
				records = append(records, walking.Record{
					Start: m, Duration: time.Minute, Steps: float64(max(0, random.IntN(400)-300)),
				})
			}
			for end := m.Add(length); m.Before(end); m = m.Add(time.Minute) {
				records = append(records, walking.Record{Start: m, Duration: time.Minute})
			}
			continue
		}
		m = m.Add(length)
	}
	whole := googlehealth.Unworn(records, all.Window, zones)
	if len(whole) < 20 {
		t.Fatalf("%d stretches are too few to compare", len(whole))
	}
	within := func(ws []walking.Window, w walking.Window) []walking.Window {
		var out []walking.Window
		for _, u := range ws {
			if w.Contains(u.Start) {
				out = append(out, u)
			}
		}
		return out
	}
	first, last := zones.Day(all.Window.Start), zones.Day(all.Window.End.Add(-1))
	for from := first; from <= last; from++ {
		for to := from + 1; to <= min(last, from+5); to++ {
			start, end := zones.Spans(from)[0].Start, zones.End(to)
			var some []walking.Record
			for _, r := range records {
				if !r.Start.Before(start) && r.Start.Before(end) {
					some = append(some, r)
				}
			}
			got := googlehealth.Unworn(some, walking.Window{Start: start, End: end}, zones)
			// The end of the last day is known only if something follows.
			sure := walking.Window{Start: start, End: zones.Spans(to)[0].Start}
			if d := diff(within(whole, sure), within(got, sure)); d != "" {
				t.Fatalf("unworn from %s to %s (-all +some):\n%s", from, to, d)
			}
		}
	}
}

// How walking takes it: a day with four waking hours unworn does not count, and silence where zeros are not told does.
func TestUnwornDays(t *testing.T) {
	for _, test := range []struct {
		name    string
		records []stretch
		want    bool
	}{
		{"zeros are not told", []stretch{
			{"11-02", "09:00", "09:20", 80}, {"11-02", "18:00", "18:20", 80}, {"11-03", "09:00", "09:01", 1},
		}, true},
		{"zeros are told, worn", []stretch{
			{"11-02", "00:00", "09:00", 0},
			{"11-02", "09:00", "09:20", 80},
			{"11-02", "09:20", "18:00", 0},
			{"11-02", "18:00", "18:20", 80},
			{"11-02", "18:20", "23:59", 0},
			{"11-03", "00:00", "00:30", 0},
		}, true},
		{"zeros are told, off for five hours", []stretch{
			{"11-02", "00:00", "09:00", 0},
			{"11-02", "09:00", "09:20", 80},
			{"11-02", "09:20", "13:00", 0},
			{"11-02", "18:00", "18:20", 80},
			{"11-02", "18:20", "23:59", 0},
			{"11-03", "00:00", "00:30", 0},
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := request("11-02", "11-03")
			records := minutes(t, test.records...)
			var points []string
			for _, rec := range slices.Backward(records) {
				count := fmt.Sprint(rec.Steps)
				if rec.Steps == 0 {
					count = ""
				}
				points = append(points, point(rec.Start, 1, count))
			}
			b, err := newGoogle(t, map[string][]answer{steps: {ok(pageOf("", points...))}}).fetch(r)
			if err != nil {
				t.Fatal(err)
			}
			in := walking.Input{StreamKey: key, Records: b.Records[0].Records}
			for _, u := range b.Unworn {
				in.Unworn = append(in.Unworn, u.Window)
			}
			quiet := walking.WallRange{From: 21*60 + 30, To: 8 * 60}
			day, _ := walking.Merge([]walking.Input{in}).Day(
				r.Zones.Day(r.Window.Start), walking.Setting{Zones: r.Zones, Quiet: quiet})
			if day.Valid != test.want {
				t.Errorf("the day is valid: %t, want %t; unworn:\n%s", day.Valid, test.want, written(in.Unworn))
			}
		})
	}
}
