package influx

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/walking"
)

func TestAppendFloat(t *testing.T) {
	for _, tt := range []struct {
		f    float64
		want string
	}{
		{0, "0"},
		{math.Copysign(0, -1), "0"},
		{5, "5"},
		{-3, "-3"},
		{88.25, "88.25"},
		{0.30000000000000004, "0.30000000000000004"},
		{1 << 53, "9007199254740992"},
		{1e21, "1000000000000000000000"},
		{math.NaN(), "0"},
		{math.Inf(-1), "0"},
	} {
		if got := string(appendFloat(nil, tt.f)); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.f, got, tt.want)
		}
	}
}

func TestTagText(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "watch", "watch"},
		{"separators stay", "a b,c=d", "a b,c=d"},
		{"apostrophe", "Alex\u2019s Watch", "Alex\u2019s Watch"},
		{"backslash inside", `a\b`, `a\b`},
		{"backslash at the end", `a\`, `a\ `},
		{"newline", "a\nb", `a\nb`},
		{"not UTF-8", "a\xffb", "a\uFFFDb"},
		{"bell", "a\ab", `a\ab`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tagText(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	day := walking.DayOf(2026, 3, 29)
	at := day.In(time.UTC)
	counts := walking.Summary{
		Day: day, Zone: "Europe/Oslo", Hours: 23, Steps: 9123, Walking: 101.5, Low: 97, High: 106.25, Brisk: 31.07,
		Running: 2, Alternative: 0.5, Sessions: 1, Target: 100, Met: true, Band: walking.From101, Valid: true,
		Closed: true, Mean7: 99.99, Mean7Days: 6,
		Sources: []walking.SourceTotals{
			{StreamKey: walking.StreamKey{Source: "health connect", Origin: "com.app"}, Steps: 12.5, Walking: 3, Supplied: 2},
		},
	}
	watch := walking.StreamKey{Source: "watch"}
	c := Content{Person: "alex", Day: day, Time: at, Summary: counts, Nudges: []Nudge{
		{Time: at.Add(14 * time.Hour), Rule: "behind", Channel: "phone", Outcome: "sent", Action: "done", WalkedAfter: 12.25},
		{Time: at.Add(14 * time.Hour), Rule: "behind", Channel: "mail", Outcome: "sent"},
		{Time: at.Add(15 * time.Hour), Rule: "behind", Channel: "phone", Outcome: "failed"},
		{Time: at.Add(16 * time.Hour), Rule: "behind", Channel: "mail", Outcome: "sent"},
	}, Detail: walking.Detail{
		Minutes: []walking.Minute{{Start: at.Add(time.Hour), Walking: 37500 * time.Millisecond, Steps: 61}},
		Streams: []walking.StreamRecords{{StreamKey: watch, Records: []walking.Record{
			{Start: at, Duration: time.Minute, Steps: 7},
			{Start: at.Add(90*time.Second + 100*time.Millisecond), Duration: 500 * time.Millisecond, Steps: 1},
			{Start: at.Add(90*time.Second + 700*time.Millisecond), Duration: time.Second, Steps: 2.5},
		}}},
		Sessions: []walking.StreamSession{
			{StreamKey: watch, Session: walking.Session{Start: at, End: at.Add(time.Minute), Kind: walking.Hike}},
			{StreamKey: walking.StreamKey{Source: "watch", Origin: "twin"}, Session: walking.Session{
				Start: at, End: at.Add(time.Hour), Moving: 50 * time.Minute, Kind: walking.Hike, Steps: 5000.6, HasSteps: true,
			}},
		},
	}}
	for _, tt := range []struct {
		m    Measurement
		want string
	}{
		{WalkDay, `walk_day,month=03,person=alex,weekday=7,year=2026 date="2026-03-29",zone="Europe/Oslo",` +
			"walking_minutes=101.5,low=97,high=106.25,brisk_minutes=31.07,running_minutes=2,alternative_minutes=0.5," +
			"target_minutes=100,mean7=99.99,day_hours=23,mean7_days=6i,mean7_band=1i,band=2i,steps=9123i,met=1i," +
			"valid=1i,closed=1i,counts=1i,counts_met=1i,nudges=2i 1774742400\n"},
		{WalkSourceDay, "walk_source_day,origin=com.app,person=alex,source=health\\ connect " +
			"steps=12.5,walking_minutes=3,supplied_minutes=2 1774742400\n"},
		{WalkMinutes, "walk_minutes,person=alex walking_s=37.5,steps=61 1774746000\n"},
		{WalkSteps, "walk_steps,person=alex,source=watch steps=7,duration_s=60i 1774742400\n" +
			"walk_steps,person=alex,source=watch steps=3.5,duration_s=2i 1774742490\n"},
		{WalkSession, "walk_session,kind=hike,person=alex,source=watch " +
			"duration_s=3600i,moving_s=3000i,steps=5001i 1774742400\n"},
		{WalkNudge, `walk_nudge,channel=phone,person=alex,rule=behind outcome="sent",action="done",walked_after=12.25 ` +
			"1774792800\n" +
			`walk_nudge,channel=mail,person=alex,rule=behind outcome="sent",action="",walked_after=0 ` + "1774792800\n" +
			`walk_nudge,channel=phone,person=alex,rule=behind outcome="failed",action="",walked_after=0 ` + "1774796400\n" +
			`walk_nudge,channel=mail,person=alex,rule=behind outcome="sent",action="",walked_after=0 ` + "1774800000\n"},
	} {
		t.Run(tt.m.String(), func(t *testing.T) {
			e := newEncoder()
			e.day(tt.m, &c)
			if d := cmp.Diff(tt.want, string(e.lines)); d != "" {
				t.Errorf("lines (-want +got):\n%s", d)
			}
			if n := countLines(string(e.lines)); n != e.points {
				t.Errorf("%d points in %d lines", e.points, n)
			}
		})
	}
	e := newEncoder()
	e.day(WalkHour, &c)
	if n := countLines(string(e.lines)); n != 24 || e.points != 24 || e.keys.size() != 1 {
		t.Errorf("walk_hour: %d lines, %d points, %d remembered, want 24, 24, 1", n, e.points, e.keys.size())
	}
}

func TestNamesOnInfluxDB(t *testing.T) {
	s := influxtest.Start(t)
	s.CreateDatabase("walkd")
	cl := client(t, Config{URL: s.URL})
	names := []string{
		"alex", "two words", "a,b", "a=b", `"quoted"`, "it's", "Alex\u2019s", `back\slash`, `end\`, `end\\`, `\,`, `\ `,
		"new\nline", "tab\tand\r", "#hash", "ünï", "日本", "=", ",", `\=x`, " lead", "a\xffb", `\n`, "''", "--",
	}
	store := newMemory()
	day := walking.Day(20000)
	for _, n := range names {
		k := walking.StreamKey{Source: n, Origin: n}
		c := Content{Person: n, Day: day, Time: day.In(time.UTC)}
		c.Summary = walking.Summary{Zone: n, Sources: []walking.SourceTotals{{StreamKey: k, Steps: 1}}}
		store.set(n, []Content{c})
	}
	p := New(cl, store, store, Options{})
	stats, err := p.ProjectDue(t.Context())
	if err != nil || stats.Dropped > 0 {
		t.Fatalf("%+v, error %v", stats, err)
	}
	got := map[string]bool{}
	for _, r := range s.Query("walkd", "SELECT * FROM walk_source_day GROUP BY *") {
		if r.Tags["person"] != r.Tags["source"] || r.Tags["person"] != r.Tags["origin"] {
			t.Errorf("tags differ: %q", r.Tags)
		}
		got[r.Tags["person"]] = true
	}
	for _, n := range names {
		if !got[tagText(n)] {
			t.Errorf("%q is not there", n)
		}
	}
	for _, n := range names { // and each can be deleted without the others
		if err := cl.clear(t.Context(), server{major: 1}, n); err != nil {
			t.Fatalf("%q: %v", n, err)
		}
		delete(got, tagText(n))
		left := map[string]bool{}
		for _, r := range s.Query("walkd", "SELECT * FROM walk_source_day GROUP BY *") {
			left[r.Tags["person"]] = true
		}
		if d := cmp.Diff(got, left); d != "" {
			t.Errorf("after deleting %q (-want +got):\n%s", n, d)
		}
	}
}
