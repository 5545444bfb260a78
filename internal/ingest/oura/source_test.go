package oura_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/oura"
	"github.com/walkd/walkd/internal/walking"
)

func TestFetch(t *testing.T) {
	s := newScript(t, map[string][]string{activityPath: {sample(t, "days.json")}, workoutPath: {sample(t, "workouts.json")}})
	r := request(18, 20)
	got, err := s.fetch(r)
	if err != nil {
		t.Fatal(err)
	}
	want := ingest.Batch{
		Streams: []walking.Stream{{
			StreamKey: key, Device: walking.Wearable, Delivery: walking.Pulled, ReliableOffset: true,
			SyncedThrough: at("2026-11-20T03:30:00Z"), // the zeros after that may not have been synced
		}},
		Covers: []ingest.Cover{{StreamKey: key, Window: r.Window}},
		Records: []walking.StreamRecords{{StreamKey: key, Records: []walking.Record{
			// Without METs: 250 steps for each MET above a base of 1.57, and one where somebody was not at rest.
			record("2026-11-19T03:20:00Z", 10, 2), record("2026-11-19T03:30:00Z", 10, 965), record("2026-11-19T03:40:00Z", 10, 233),
			record("2026-11-19T03:50:00Z", 10, 1),
			// With METs, to the minute.
			record("2026-11-20T03:10:00Z", 10, 253), record("2026-11-20T03:20:00Z", 10, 178),
		}}},
		Unworn: []ingest.Unworn{
			{StreamKey: key, Window: walking.Window{Start: at("2026-11-19T03:55:00Z"), End: at("2026-11-19T04:10:00Z")}},
		},
		Sessions: []walking.StreamSession{
			{StreamKey: key, Session: walking.Session{
				Start: at("2026-11-19T03:30:00Z"), End: at("2026-11-19T03:50:00Z"), Moving: 20 * time.Minute, Kind: walking.Walk,
			}},
			{StreamKey: key, Session: walking.Session{
				Start: at("2026-11-19T17:00:00Z"), End: at("2026-11-19T17:41:30Z"), Moving: 41*time.Minute + 30*time.Second, Kind: walking.Ride,
			}},
		},
	}
	if d := diff(want, got); d != "" {
		t.Errorf("batch (-want +got):\n%s", d)
	}
	if d := diff([]string{
		activityPath + "?end_date=2026-11-21&start_date=2026-11-16", workoutPath + "?end_date=2026-11-21&start_date=2026-11-16",
	}, s.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	// Without sessions there is one question, and what is known of them stays.
	s = newScript(t, map[string][]string{activityPath: {sample(t, "days.json")}})
	r.Sessions = false
	if got, err = s.fetch(r); err != nil || len(got.Sessions) > 0 || got.Covers[0].Part != ingest.RecordsOnly {
		t.Errorf("%+v, error %v", got.Covers, err)
	}
}

// doc is a document of 19 November 2026 with some members set to JSON.
func doc(pairs ...string) string {
	m := map[string]json.RawMessage{
		"id": json.RawMessage(`"x"`), "day": json.RawMessage(`"2026-11-19"`), "timestamp": json.RawMessage(`"2026-11-19T04:00:00+01:00"`),
		"steps": json.RawMessage(`1000`),
	}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func listing(docs ...string) string {
	return `{"data":[` + strings.Join(docs, ",") + `],"next_token":null}`
}

// short writes records as the minutes since four o'clock on 19 November, their length in minutes and their steps.
func short(b ingest.Batch) string {
	var out []string
	for _, rs := range b.Records {
		for _, x := range rs.Records {
			out = append(out, fmt.Sprintf("%g+%g:%g", x.Start.Sub(at("2026-11-19T03:00:00Z")).Minutes(), x.Duration.Minutes(), x.Steps))
		}
	}
	return strings.Join(out, " ")
}

func TestDays(t *testing.T) {
	const today = `"2026-11-20"`
	for _, test := range []struct{ name, answer, want string }{
		{"nothing", nothing, ""},
		{"without a next token", `{"data":[]}`, ""},
		{"no steps", listing(doc("steps", "0", "class_5_min", `"1234"`)), ""},
		{"no classes", listing(doc()), "0+1200:1000"},
		{"no classes, as null", listing(doc("class_5_min", "null", "met", "null")), "0+1200:1000"},
		{"no classes, as nothing", listing(doc("class_5_min", `""`, "met", `{"interval":60,"items":[],"timestamp":""}`)), "0+1200:1000"},
		{"from midnight", listing(doc("timestamp", `"2026-11-19T00:00:00.000+01:00"`)), "-240+1440:1000"},
		{"of a server", listing(doc("timestamp", `"2026-11-19T03:00:00Z"`)), "0+1440:1000"}, // of which midnight is not known
		{"by the clock", listing(doc("timestamp", `"2026-11-19T04:00:00"`)), "0+1440:1000"},
		{"until now", listing(doc("day", today, "timestamp", `"2026-11-20T04:00:00+01:00"`)), "1440+483:1000"},
		{"begins now", listing(doc("day", today, "timestamp", `"2026-11-20T12:03:20+01:00"`)), ""},
		{"until the next", listing(doc(), doc("day", today, "timestamp", `"2026-11-19T23:00:00+05:00"`, "steps", "0")), "0+900:1000"},
		{"one class", listing(doc("class_5_min", `"3"`)), "0+5:1000"},
		{"two", listing(doc("class_5_min", `"33"`)), "0+10:1000"},
		{"three", listing(doc("class_5_min", `"333"`)), "0+15:1000"},
		{"five", listing(doc("class_5_min", `"33333"`)), "0+10:400 10+15:600"},
		{"only active", listing(doc("class_5_min", `"0330440"`)), "0+10:1 10+10:1 20+15:998"},
		{"only worn", listing(doc("class_5_min", `"000000"`)), "0+1200:1000"},
		{"only rest", listing(doc("class_5_min", `"1111"`)), "0+10:500 10+10:500"},
		{"few steps", listing(doc("class_5_min", `"1122331122"`, "steps", "3")), "10+10:1 20+10:1 40+10:1"},
		{"more than fits", listing(doc("class_5_min", `"1144"`, "steps", "4000")), "0+10:2000 10+10:2000"},
		{"a fraction", listing(doc("class_5_min", `"1133"`, "steps", "1000.5")), "0+10:125 10+10:875.5"},
		{"cut by the next", listing(doc("class_5_min", `"33333333"`), doc("day", today, "timestamp", `"2026-11-19T04:22:00+01:00"`, "steps", "0")), "0+10:400 10+12:600"},
		{"METs alone", listing(doc("met", `{"interval":300,"items":[1,1,3,3,null,0.9],"timestamp":"2026-11-19T04:00:00+01:00"}`)), "10+10:1000"},
		{"METs of half a minute", listing(doc("class_5_min", `"33"`, "met", `{"interval":30,"items":[1,1,1,1,1,1,1,1,1,1,3]}`)), "0+10:1000"},
		{"METs of a quarter of an hour", listing(doc("class_5_min", `"3333"`, "steps", "600", "met", `{"interval":900,"items":[1.1,3.5]}`)), "0+10:2 10+10:598"},
		{"METs that begin later", listing(doc("class_5_min", `"222222"`, "met", `{"interval":300,"items":[9],"timestamp":"2026-11-19T04:10:00+01:00"}`)), "0+10:60 10+10:880 20+10:60"},
		{"twice, the longer is the newer", listing(doc("class_5_min", `"33"`, "steps", "10"), doc("class_5_min", `"3333"`, "steps", "20"), doc("class_5_min", `"33"`, "steps", "15")), "0+10:10 10+10:10"},
		{"in no order", listing(doc("day", today, "timestamp", `"2026-11-20T04:00:00+01:00"`, "steps", "7"), doc("steps", "8")), "0+1200:8 1440+483:7"},
		{"of other days", listing(doc("day", `"2026-11-01"`, "timestamp", `"2026-11-01T04:00:00+01:00"`)), ""},

		{"null", "null", "the answer makes no sense: it has no data"},
		{"another object", `{"error":"x"}`, "it has no data"},
		{"a list", `[]`, "the answer has a array"},
		{"a document that is null", listing("null"), "a day has no date"},
		{"no day", listing(doc("day", `""`)), "a day has no date"},
		{"no time", listing(doc("timestamp", `"yesterday"`)), "a time is not of the form"},
		{"no total", listing(doc("steps", "null")), "a day has no steps"},
		{"a total in words", listing(doc("steps", `"many"`)), `the answer has a string for "data.steps"`},
		{"another class", listing(doc("class_5_min", `"1237"`)), "a class of activity is not one of 0 to 5"},
		{"METs in words", listing(doc("met", `{"interval":60,"items":[1,"many"]}`)), "the METs of a day are no list"},
		{"METs as an object", listing(doc("met", `{"interval":60,"items":{}}`)), "the METs of a day are no list"},
		{"METs of no time", listing(doc("met", `{"interval":0,"items":[1]}`)), "the METs of a day are no list"},
		{"METs at no time", listing(doc("met", `{"interval":60,"items":[1],"timestamp":"now"}`)), "a time is not of the form"},
	} {
		r := request(18, 20)
		r.Sessions = false
		b, err := newScript(t, map[string][]string{activityPath: {test.answer}}).fetch(r)
		if err != nil {
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != ingest.Transient || !strings.Contains(err.Error(), test.want) || test.want == "" || len(b.Covers) > 0 {
				t.Errorf("%s: %v, want %s", test.name, err, test.want)
			}
			continue
		}
		if got := short(b); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// However steps are placed, their sum is the day's, they are whole, and they lie where the ring was worn.
func TestPlacedSteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		total := rng.IntN(1 << (1 + rng.IntN(15)))
		var classes strings.Builder
		for range 1 + rng.IntN(288) {
			classes.WriteByte("0112223345"[rng.IntN(10)])
		}
		if worn := classes.Len() - strings.Count(classes.String(), "0"); worn > 0 {
			total = min(total, 5*400*worn) // more is not possible
		}
		pairs := []string{"steps", fmt.Sprint(total), "class_5_min", `"` + classes.String() + `"`}
		if rng.IntN(2) == 0 {
			var items []string
			for range rng.IntN(1440) {
				items = append(items, []string{"null", "0.9", "1.3", "2.4", "4", "11"}[rng.IntN(6)])
			}
			pairs = append(pairs, "met", `{"interval":60,"items":[`+strings.Join(items, ",")+`]}`)
		}
		r := request(18, 20)
		r.Sessions = false
		answer := listing(doc(pairs...))
		b, err := newScript(t, map[string][]string{activityPath: {answer}}).fetch(r)
		if err != nil {
			t.Fatal(err)
		}
		sum, last := 0.0, time.Time{}
		for _, rs := range b.Records {
			for _, x := range rs.Records {
				from := int(x.Start.Sub(at("2026-11-19T03:00:00Z")) / (5 * time.Minute))
				to := min(classes.Len(), from+int(x.Duration/(5*time.Minute)))
				worn := strings.Trim(classes.String()[from:to], "0") != "" || strings.Trim(classes.String(), "0") == ""
				if x.Start.Before(last) || x.Steps != float64(int(x.Steps)) || x.Steps <= 0 || !worn {
					t.Fatalf("%+v after %s in %s", x, last, classes.String())
				}
				sum, last = sum+x.Steps, x.End()
			}
		}
		if sum != float64(total) {
			t.Fatalf("%g steps of %d in %s", sum, total, answer)
		}
	}
}

// What lies outside of a window is left to another one, and both have all.
func TestWindows(t *testing.T) {
	classes := strings.Repeat("1", 12*3) + strings.Repeat("3", 12*19) + "11"
	answer := listing(doc("class_5_min", `"`+classes+`"`, "steps", "9999"), doc("day", `"2026-11-20"`, "timestamp", `"2026-11-20T04:00:00+01:00"`, "steps", "0"))
	var records []walking.Record
	for day := 18; day <= 20; day++ {
		r := request(day, day)
		r.Sessions = false
		b, err := newScript(t, map[string][]string{activityPath: {answer}}).fetch(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, rs := range b.Records {
			for _, x := range rs.Records {
				if !r.Window.Contains(x.Start) {
					t.Errorf("%+v is not asked for", x)
				}
				records = append(records, x)
			}
		}
	}
	sum := 0.0
	for _, x := range records {
		sum += x.Steps
	}
	if sum != 9999 || len(records) != 114 {
		t.Errorf("%g steps in %d records", sum, len(records))
	}
}

// The offset of a day tells of journeys, and neither of clocks that change nor of servers.
func TestOffsets(t *testing.T) {
	walked := []string{"class_5_min", `"` + strings.Repeat("3", 288) + `"`}
	at4 := func(day, offset string) []string {
		return append([]string{"day", `"` + day + `"`, "timestamp", `"` + day + "T04:00:00" + offset + `"`}, walked...)
	}
	for _, test := range []struct {
		name        string
		first, last int // of the window, in November 2026
		zone        string
		docs        []string
		want        string // hours on the 19th (UTC) whose records tell an offset, and which; until the next
	}{
		{"at home, until midnight", 18, 20, "Europe/Oslo", []string{doc(at4("2026-11-19", "+01:00")...)}, "3:+1 23:?"},
		{"elsewhere, until midnight", 18, 20, "Europe/Oslo", []string{doc(at4("2026-11-19", "-05:00")...)}, "9:-5 29:?"},
		{
			"elsewhere, until the next day", 18, 20, "Europe/Oslo",
			[]string{doc(at4("2026-11-19", "-05:00")...), doc(at4("2026-11-20", "-05:00")...)},
			"9:-5 53:?",
		},
		{
			"and back", 18, 20, "Europe/Oslo",
			[]string{doc(at4("2026-11-19", "-05:00")...), doc(at4("2026-11-20", "+01:00")...)},
			"9:-5 27:+1 47:?",
		},
		{
			"of a server", 18, 20, "Europe/Oslo",
			[]string{doc(append([]string{"timestamp", `"2026-11-19T03:00:00Z"`}, walked...)...)},
			"3:?",
		},
		{
			"by the clock", 18, 20, "Europe/Oslo",
			[]string{doc(append([]string{"timestamp", `"2026-11-19T04:00:00"`}, walked...)...)},
			"3:?",
		},
		{"clocks may change after midnight", 1, 2, "America/New_York", []string{doc(at4("2026-10-31", "-04:00")...)}, "-448:-4 -428:?"},
	} {
		zone := zoneOf(test.zone)
		r := ingest.Request{
			Window: walking.Window{Start: walking.DayOf(2026, 10, 31).In(zone), End: walking.DayOf(2026, 11, 22).In(zone)},
			Zones:  walking.NewTimeline(zone), Now: at("2026-11-22T12:00:00Z"),
		}
		b, err := newScript(t, map[string][]string{activityPath: {listing(test.docs...)}}).fetch(r)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		before := ""
		for _, x := range b.Records[0].Records {
			text := "?"
			if x.HasOffset {
				text = fmt.Sprintf("%+d", x.Offset/3600)
			}
			if text != before {
				got = append(got, fmt.Sprintf("%g:%s", x.Start.Sub(at("2026-11-19T00:00:00Z")).Hours(), text))
			}
			before = text
		}
		if d := diff(test.want, strings.Join(got, " ")); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
}

// What the ring has not synced is not known to be unworn, and what is known is told up to now.
func TestUnworn(t *testing.T) {
	tomorrow := func(classes string) string {
		return doc("day", `"2026-11-20"`, "timestamp", `"2026-11-20T04:00:00+01:00"`, "steps", "0", "class_5_min", `"`+classes+`"`)
	}
	for _, test := range []struct {
		name   string
		docs   []string
		want   string // minutes since four o'clock on the 19th
		synced string
	}{
		{"within a day", []string{doc("class_5_min", `"0011002"`)}, "0-10 20-30", "2026-11-19T03:35:00Z"},
		{"at the end", []string{doc("class_5_min", `"110000"`)}, "", "2026-11-19T03:10:00Z"},
		{"at the end of a day that is over", []string{doc("class_5_min", `"110000"`), tomorrow("1")}, "10-30", "2026-11-20T03:05:00Z"},
		{"then nothing but zeros", []string{doc("class_5_min", `"110000"`), tomorrow("000")}, "", "2026-11-19T03:10:00Z"},
		{"never worn", []string{doc("class_5_min", `"0000"`, "steps", "0")}, "", ""},
		{"up to the next day", []string{doc("class_5_min", `"1`+strings.Repeat("0", 299)+`"`), tomorrow("1")}, "5-1440", "2026-11-20T03:05:00Z"},
		{"classes that are yet to come", []string{tomorrow(strings.Repeat("1", 288))}, "", "2026-11-20T11:03:20Z"},
		{"zeros that are yet to come", []string{tomorrow("1" + strings.Repeat("0", 286) + "1")}, "1445-1923.3", "2026-11-20T11:03:20Z"},
	} {
		r := request(18, 20)
		r.Sessions = false
		b, err := newScript(t, map[string][]string{activityPath: {listing(test.docs...)}}).fetch(r)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		since := func(t time.Time) float64 { return t.Sub(at("2026-11-19T03:00:00Z")).Round(6 * time.Second).Minutes() }
		for _, u := range b.Unworn {
			got = append(got, fmt.Sprintf("%.4g-%.5g", since(u.Start), since(u.End)))
		}
		synced := ""
		if s := b.Streams[0].SyncedThrough; !s.IsZero() {
			synced = s.Format(time.RFC3339)
		}
		if strings.Join(got, " ") != test.want || synced != test.synced {
			t.Errorf("%s: unworn %v, synced %s; want %s, %s", test.name, got, synced, test.want, test.synced)
		}
	}
}

// A clock that is behind makes the newest lie in the future. That is told, and the rest is taken.
func TestClockBehind(t *testing.T) {
	s := newScript(t, map[string][]string{activityPath: {listing(doc("class_5_min", `"`+strings.Repeat("3", 12)+`"`))}})
	src, log := s.source()
	r := request(18, 20)
	r.Now, r.Sessions = at("2026-11-19T03:20:00Z"), false
	b, err := src.Fetch(context.Background(), r)
	if err != nil || len(b.Records) != 1 || len(b.Records[0].Records) != 3 || !b.Streams[0].SyncedThrough.Equal(r.Now) {
		t.Errorf("%+v, error %v", b, err)
	}
	for _, want := range []string{"left out what cannot be", "count=3", "set the clock of this machine"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
}

func TestKinds(t *testing.T) {
	for activity, want := range map[string]walking.Kind{
		"walking": walking.Walk, "Nordic Walking": walking.Walk, "indoor_walking": walking.Walk, "hiking": walking.Hike,
		"running": walking.Run, "trail_running": walking.Run, "cycling": walking.Ride, "indoor_cycling": walking.Ride,
		"indoorCycling": walking.Ride, "swimming": walking.Swim, "rowing": walking.Row, "elliptical": walking.Elliptical,
		"golf": walking.Other, "yoga": walking.Other, "": walking.Other, "walking the line": walking.Other,
	} {
		if got := oura.KindOf(activity); got != want {
			t.Errorf("%q: %s, want %s", activity, got, want)
		}
	}
}

func TestWorkouts(t *testing.T) {
	workout := func(start, end, more string) string {
		return fmt.Sprintf(`{"id":"w","activity":"walking","source":"confirmed","start_datetime":%q,"end_datetime":%q%s}`, start, end, more)
	}
	const nine, ten = "2026-11-19T09:00:00+01:00", "2026-11-19T10:00:00+01:00"
	for _, test := range []struct {
		name, answer string
		want         int
		error        string
	}{
		{"one", listing(workout(nine, ten, "")), 1, ""},
		{"twice with its ID", listing(workout(nine, ten, ""), workout(nine, ten, "")), 1, ""},
		{"twice without", listing(workout(nine, ten, `,"id":""`), workout(nine, ten, `,"id":""`)), 1, ""},
		{"by hand", listing(workout(nine, ten, `,"source":"manual"`)), 0, ""},
		{"by the clock", listing(workout("2026-11-19T09:00:00", "2026-11-19T10:00:00", "")), 1, ""},
		{"before it begins", listing(workout(ten, nine, "")), 0, ""},
		{"without length", listing(workout(nine, nine, "")), 0, ""},
		{"of tomorrow", listing(workout("2026-11-20T23:00:00+01:00", "2026-11-20T23:30:00+01:00", "")), 0, ""},
		{"of last week", listing(workout("2026-11-12T09:00:00+01:00", "2026-11-12T09:30:00+01:00", "")), 0, ""},
		{"without an end", listing(workout(nine, "", "")), 0, "a workout has no start or no end"},
		{"without a start", listing(workout("", ten, "")), 0, "a workout has no start or no end"},
		{"nothing at all", "{}", 0, "it has no data"},
	} {
		b, err := newScript(t, map[string][]string{activityPath: {nothing}, workoutPath: {test.answer}}).fetch(request(18, 20))
		switch {
		case test.error != "" && (err == nil || !strings.Contains(err.Error(), test.error) || len(b.Covers) > 0), test.error == "" && err != nil:
			t.Errorf("%s: error %v, want %q", test.name, err, test.error)
		case len(b.Sessions) != test.want:
			t.Errorf("%s: %+v", test.name, b.Sessions)
		}
	}
}

func TestPages(t *testing.T) {
	page := func(next string, docs ...string) string {
		return `{"data":[` + strings.Join(docs, ",") + `],"next_token":` + next + `}`
	}
	s := newScript(t, map[string][]string{
		activityPath: {page(`"a"`), page(`"b"`, doc()), page(`"c"`), page(`""`, doc("day", `"2026-11-18"`, "timestamp", `"2026-11-18T04:00:00+01:00"`))},
	})
	r := request(18, 20)
	r.Sessions = false
	b, err := s.fetch(r)
	if err != nil || short(b) != "-1440+1200:1000 0+1200:1000" {
		t.Errorf("%s, error %v", short(b), err)
	}
	const dates = "end_date=2026-11-21&"
	if d := diff([]string{
		activityPath + "?" + dates + "start_date=2026-11-16", activityPath + "?" + dates + "next_token=a&start_date=2026-11-16",
		activityPath + "?" + dates + "next_token=b&start_date=2026-11-16", activityPath + "?" + dates + "next_token=c&start_date=2026-11-16",
	}, s.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	if _, err := newScript(t, map[string][]string{activityPath: {page(`"a"`)}}).fetch(r); err == nil || !strings.Contains(err.Error(), "without end") {
		t.Errorf("without end: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	const rings = `{"data":[{"id":"1","hardware_type":"gen4","set_up_at":"2026-01-02T03:04:05Z"},` +
		`{"id":"2","hardware_type":"gen3","set_up_at":"2022-01-02T03:04:05+00:00"},{"id":"3","hardware_type":null,"set_up_at":null}],"next_token":null}`
	battery := func(more string) string {
		return `{"data":[{"timestamp":"2026-11-20T10:41:00.000Z","timestamp_unix":1,"level":62` + more + `}]}`
	}
	gen4 := func(battery string) ingest.Description {
		return ingest.Description{Devices: []ingest.Device{{Name: "Oura Ring Gen 4", Synced: at("2026-11-20T10:41:00Z"), Battery: battery}}}
	}
	ok := func(body string) answer { return answer{body: body} }
	forbidden := answer{status: 403, body: `{"status":403,"title":"Forbidden","detail":"Missing required scopes: personal"}`}
	for _, test := range []struct {
		name           string
		rings, battery answer
		want           ingest.Description
		asked          int
	}{
		{"all", ok(rings), ok(battery("")), gen4("62 %"), 2},
		{"in the charger", ok(rings), ok(battery(`,"charging":true`)), gen4("62 %, charging"), 2},
		{"no level", ok(rings), ok(battery(`,"level":null`)), gen4(""), 2},
		{"no battery", ok(rings), ok(nothing), ingest.Description{Devices: []ingest.Device{{Name: "Oura Ring Gen 4"}}}, 2},
		{"battery forbidden", ok(rings), forbidden, ingest.Description{Devices: []ingest.Device{{Name: "Oura Ring Gen 4"}}}, 2},
		{"no ring", ok(nothing), ok(nothing), ingest.Description{}, 1},
		{"rings forbidden", forbidden, ok(nothing), ingest.Description{}, 1},
		{
			"a ring without a name", ok(listing(`{"id":"3","hardware_type":null}`)), ok(nothing),
			ingest.Description{Devices: []ingest.Device{{Name: "Oura Ring"}}},
			2,
		},
	} {
		s := &script{t: t, answers: map[string][]answer{ringPath: {test.rings}, batteryPath: {test.battery}}}
		src, _ := s.source()
		got, err := src.(ingest.Describer).Describe(context.Background())
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if d := diff(test.want, got); d != "" || len(s.asked) != test.asked {
			t.Errorf("%s: asked %v (-want +got):\n%s", test.name, s.asked, d)
		}
	}
	s := &script{t: t, answers: map[string][]answer{ringPath: {{status: 500}}}}
	src, _ := s.source()
	if _, err := src.(ingest.Describer).Describe(context.Background()); err == nil {
		t.Error("no error where the service has trouble")
	}
}
