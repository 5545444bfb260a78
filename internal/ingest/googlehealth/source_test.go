package googlehealth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/walking"
)

func diff(want, got any) string { return cmp.Diff(want, got) }

var key = walking.StreamKey{Source: "watch"}

func record(start string, steps float64, offset int) walking.Record {
	return walking.Record{Start: at(start), Duration: time.Minute, Steps: steps, Offset: offset, HasOffset: true}
}

// The day on which the clocks are set back, with a minute before, one after, and one in each of the repeated hours.
func TestFetchDay(t *testing.T) {
	for _, withSessions := range []bool{false, true} {
		g := newGoogle(t, map[string][]answer{
			steps: {ok(sample(t, "steps.json"))}, exercises: {ok(sample(t, "exercises.json"))},
		})
		r := request("10-25", "10-25")
		r.Sessions = withSessions
		got, err := g.fetch(r)
		if err != nil {
			t.Fatal(err)
		}
		want := ingest.Batch{
			Streams: []walking.Stream{{
				StreamKey: key, Device: walking.Wearable, Delivery: walking.Pulled, ReliableOffset: true,
				SyncedThrough: at("2026-10-25T23:00:00Z"),
			}},
			Covers: []ingest.Cover{{StreamKey: key, Window: r.Window, Part: ingest.RecordsOnly}},
			Records: []walking.StreamRecords{{StreamKey: key, Records: []walking.Record{
				record("2026-10-24T22:00:00Z", 5, 7200),
				record("2026-10-25T00:30:00Z", 0, 7200),
				record("2026-10-25T01:30:00Z", 17, 3600),
				record("2026-10-25T22:59:00Z", 44, 3600),
			}}},
		}
		asked := []string{
			`dataTypes/steps/dataPoints:reconcile filter=steps.interval.start_time >= "2026-10-24T22:00:00Z" AND ` +
				`steps.interval.start_time < "2026-10-25T23:00:00Z"&pageSize=10000&prettyPrint=false`,
		}
		if withSessions {
			want.Covers[0].Part = ingest.All
			want.Sessions = []walking.StreamSession{
				{StreamKey: key, Session: walking.Session{
					Start: at("2026-10-25T14:00:10Z"), End: at("2026-10-25T14:20:30Z"), Moving: 1160 * time.Second,
					Kind: walking.Walk, Steps: 1904, HasSteps: true,
				}},
				{StreamKey: key, Session: walking.Session{
					Start: at("2026-10-25T22:30:00Z"), End: at("2026-10-25T23:10:00Z"), Moving: 40 * time.Minute,
					Kind: walking.Other,
				}},
			}
			asked = append(asked, `dataTypes/exercise/dataPoints:reconcile filter=exercise.interval.civil_start_time >= `+
				`"2026-10-23" AND exercise.interval.civil_start_time < "2026-10-27"&pageSize=25&prettyPrint=false`)
		}
		if d := diff(want, got); d != "" {
			t.Errorf("batch with sessions %t (-want +got):\n%s", withSessions, d)
		}
		if d := diff(asked, g.queries()); d != "" {
			t.Errorf("asked with sessions %t (-want +got):\n%s", withSessions, d)
		}
	}
}

func TestFetchPages(t *testing.T) {
	start := at("2026-11-02T10:00:00Z")
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	g := newGoogle(t, map[string][]answer{steps: {
		ok(`{"nextPageToken":"first is empty+/="}`),
		ok(pageOf("b", point(minute(3), 1, "30"), point(minute(2), 1, "20"))),
		ok(`{"dataPoints":[],"nextPageToken":"c"}`),
		// A point came in while pages were read: the last one of before is here again, with a later count.
		ok(pageOf("", point(minute(2), 1, "21"), point(minute(0), 1, ""))),
	}})
	got, err := g.fetch(request("11-02", "11-02"))
	if err != nil {
		t.Fatal(err)
	}
	want := []walking.Record{
		record("2026-11-02T10:00:00Z", 0, 3600), record("2026-11-02T10:02:00Z", 21, 3600),
		record("2026-11-02T10:03:00Z", 30, 3600),
	}
	if d := diff(want, got.Records[0].Records); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	var tokens []string
	for _, u := range g.asked {
		tokens = append(tokens, u.Query().Get("pageToken"))
		if u.Query().Get("filter") == "" || u.Query().Get("pageSize") != "10000" {
			t.Errorf("a later page is asked for differently: %s", u)
		}
	}
	if d := diff([]string{"", "first is empty+/=", "b", "c"}, tokens); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
}

func TestEmptyWindows(t *testing.T) {
	for _, body := range []string{
		`{}`, " {\n} \n", `{"dataPoints":[]}`, `{"dataPoints":null}`, `{"nextPageToken":""}`, `{"nextPageToken":null}`,
		`{"dataPoints":[],"nextPageToken":"","whatComesNext":{"a":[1]}}`,
	} {
		r := request("11-02", "11-03")
		r.Sessions = true
		got, err := newGoogle(t, map[string][]answer{steps: {ok(body)}, exercises: {ok(body)}}).fetch(r)
		want := ingest.Batch{
			Streams: []walking.Stream{{
				StreamKey: key, Device: walking.Wearable, Delivery: walking.Pulled, ReliableOffset: true,
			}},
			Covers: []ingest.Cover{{StreamKey: key, Window: r.Window, Part: ingest.All}},
		}
		if d := diff(want, got); err != nil || d != "" {
			t.Errorf("%s: error %v, batch (-want +got):\n%s", body, err, d)
		}
	}
}

func TestRefusesWhatIsNoAnswer(t *testing.T) {
	const whole = `"interval":{"startTime":"2026-11-02T10:00:00Z","endTime":"2026-11-02T10:01:00Z"}`
	const (
		incomplete = "no steps with a start and an end"
		noCount    = "a count is not a whole number"
	)
	good := pageOf("", point(at("2026-11-02T10:00:00Z"), 1, "1"))
	for body, want := range map[string]string{
		``:                             "it broke off",
		`   `:                          "it broke off",
		"\n<!DOCTYPE html><p>Sign in":  "a web page",
		`null`:                         "no object",
		`[]`:                           "no object",
		`[{"dataPoints":[]}]`:          "no object",
		`"dataPoints"`:                 "no object",
		`{}{}`:                         "something follows",
		`{} x`:                         "something follows",
		`{"message":"please sign in"}`: "about something else",
		`{"dataPoints":{}}`:            "its list is none",
		`{"dataPoints":7}`:             "its list is none",
		`{"dataPoints":[{]}`:           "no JSON",
		`{"dataPoints":[],}`:           "no JSON",

		`{"dataPoints":[],"nextPageToken":7}`:                       `a value is of the wrong type, number`,
		`{"dataPoints":[null]}`:                                     incomplete,
		`{"dataPoints":[{}]}`:                                       incomplete,
		`{"dataPoints":["a"]}`:                                      `is of the wrong type, string`,
		`{"dataPoints":[{"dataPoint":{"steps":{` + whole + `}}}]}`:  incomplete,
		`{"dataPoints":[{"heartRate":{` + whole + `}}]}`:            incomplete,
		`{"dataPoints":[{"steps":[]}]}`:                             `steps is of the wrong type, array`,
		`{"dataPoints":[{"steps":{` + whole + `,"count":4.5}}]}`:    noCount,
		`{"dataPoints":[{"steps":{` + whole + `,"count":"many"}}]}`: noCount,
		`{"dataPoints":[{"steps":{` + whole + `,"count":{}}}]}`:     noCount,
		strings.ReplaceAll(good, "2026-", "26-"):                    "a time is not of the form",
		strings.ReplaceAll(good, "3600s", "+01:00"):                 "a duration is not in seconds",
		strings.ReplaceAll(good, `"endTime"`, `"end"`):              incomplete,
	} {
		good := ok(pageOf("next", point(at("2026-11-02T11:00:00Z"), 1, "9")))
		for _, pages := range [][]answer{{ok(body)}, {good, ok(body)}} {
			got, err := newGoogle(t, map[string][]answer{steps: pages}).fetch(request("11-02", "11-02"))
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != ingest.Transient || !strings.Contains(err.Error(), want) {
				t.Errorf("%s after %d pages: error %v, want a transient one with %q", body, len(pages)-1, err, want)
			}
			if d := diff(ingest.Batch{}, got); d != "" {
				t.Errorf("%s: a batch in spite of the error:\n%s", body, d)
			}
		}
	}
}

// Wherever an answer is cut off, it is an error: also where the connection is closed as if all had been said.
func TestRefusesTruncation(t *testing.T) {
	for path, page := range map[string]string{
		steps: sample(t, "steps.json"), exercises: sample(t, "exercises.json"), devices: sample(t, "devices.json"),
		settings: sample(t, "settings.json"),
	} {
		page = strings.TrimSpace(page)
		bodies := canned{steps: "{}"}
		s := googlehealth.Defaults().Provider("watch").Source(&http.Client{Transport: bodies})
		for n := range len(page) {
			bodies[path] = page[:n]
			var err error
			switch path {
			case devices:
				_, err = probe(s)(t.Context())
			case settings:
				_, err = zone(s)(t.Context())
			default:
				r := request("10-25", "10-25")
				r.Sessions = path == exercises
				_, err = s.Fetch(t.Context(), r)
			}
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != ingest.Transient {
				t.Fatalf("%s cut off after %d bytes: error %v, want a transient one", path, n, err)
			}
		}
	}
}

// canned answers with a body by path, without a network.
type canned map[string]string

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(c[r.URL.Path]))}, nil
}

// A connection that breaks in the middle of a body of announced length.
func TestRefusesBrokenConnection(t *testing.T) {
	g := newGoogle(t, map[string][]answer{steps: {{
		header: map[string]string{"Content-Length": "100000"}, body: `{"dataPoints":[]`,
	}}})
	_, err := g.fetch(request("11-02", "11-02"))
	var e *ingest.Error
	if !errors.As(err, &e) || e.Class != ingest.Transient || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("error %v, want a transient one", err)
	}
}

func TestRefusesEndlessPages(t *testing.T) {
	for name, tokens := range map[string][]string{"the same": {"a", "a"}, "in a circle": {"a", "b", "c", "a"}} {
		var pages []answer
		for _, token := range tokens {
			pages = append(pages, ok(pageOf(token)))
		}
		g := newGoogle(t, map[string][]answer{steps: pages})
		_, err := g.fetch(request("11-02", "11-02"))
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class != ingest.Transient || !strings.Contains(err.Error(), "repeat without end") {
			t.Errorf("%s: error %v, want one of pages that repeat", name, err)
		}
		if len(g.asked) != len(tokens) {
			t.Errorf("%s: asked %d times, want %d", name, len(g.asked), len(tokens))
		}
	}
}

func TestImpossiblePointsAreLeftOut(t *testing.T) {
	r := request("11-02", "11-02")
	r.Now = at("2026-11-02T12:00:00Z")
	good := at("2026-11-02T10:00:00Z")
	session := func(start, end, more string) string {
		return fmt.Sprintf(`{"exercise":{"interval":{"startTime":%q,"endTime":%q},"exerciseType":"WALKING"%s}}`,
			start, end, more)
	}
	g := newGoogle(t, map[string][]answer{
		steps: {ok(pageOf("",
			point(at("2026-11-02T12:20:00Z"), 1, "50"), // in the future
			point(good.Add(3*time.Minute), 1, "501"),
			point(good.Add(2*time.Minute), 1, "-1"),
			point(good.Add(time.Minute), -5, "1"),
			point(good.Add(-2*time.Hour), 60*49, "1"),
			point(good, 1, "77"),
		))},
		exercises: {ok(pageOf("",
			session("2026-11-02T09:00:00Z", "2026-11-02T09:10:00Z", `,"metricsSummary":{"steps":"9000"}`),
			session("2026-11-02T08:00:00Z", "2026-11-02T08:00:00Z", ""),
			session("2026-11-02T07:10:00Z", "2026-11-02T07:00:00Z", ""),
			session("2026-11-02T06:00:00Z", "2026-11-05T06:00:00Z", ""),
			session("2026-11-02T05:00:00Z", "2026-11-02T05:10:00Z", ""),
		))},
	})
	r.Sessions = true
	s, log := g.source()
	got, err := s.Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff([]walking.Record{record("2026-11-02T10:00:00Z", 77, 3600)}, got.Records[0].Records); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	walk := func(start, end string) walking.StreamSession {
		return walking.StreamSession{StreamKey: key, Session: walking.Session{
			Start: at(start), End: at(end), Moving: 10 * time.Minute, Kind: walking.Walk,
		}}
	}
	want := []walking.StreamSession{
		walk("2026-11-02T05:00:00Z", "2026-11-02T05:10:00Z"), walk("2026-11-02T09:00:00Z", "2026-11-02T09:10:00Z"),
	}
	if d := diff(want, got.Sessions); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
	var warned []string
	for line := range strings.Lines(log.String()) {
		if strings.HasPrefix(line, "level=WARN") {
			warned = append(warned, line)
		}
	}
	if d := diff([]string{
		"level=WARN msg=\"left out what cannot be\" source=watch what=\"data points\" count=5 " +
			"from=2026-11-01T23:00:00Z to=2026-11-02T23:00:00Z\n",
		"level=WARN msg=\"some of it lies in the future: set the clock of this machine, or else that of the device\" " +
			"source=watch what=\"data points\" count=1 now=2026-11-02T12:00:00Z\n",
		"level=WARN msg=\"left out what cannot be\" source=watch what=exercises count=4 " +
			"from=2026-11-01T23:00:00Z to=2026-11-02T23:00:00Z\n",
	}, warned); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
	if n := strings.Count(log.String(), "level=DEBUG"); n != 9 {
		t.Errorf("%d reasons at the level debug, want 9:\n%s", n, log)
	}
}

func TestSessions(t *testing.T) {
	const (
		interval = `"interval":{"startTime":"2026-11-02T10:00:00Z","endTime":"2026-11-02T10:30:00Z"}`
		at5      = `{"eventTime":"2026-11-02T10:05:00Z","exerciseEventType":"%s"}`
		at15     = `{"eventTime":"2026-11-02T10:15:00Z","exerciseEventType":"%s"}`
		at40     = `{"eventTime":"2026-11-02T10:40:00Z","exerciseEventType":"%s"}`
		before   = `{"eventTime":"2026-11-02T09:00:00Z","exerciseEventType":"%s"}`
	)
	events := func(layout string, types ...any) string {
		return fmt.Sprintf(`,"exerciseEvents":[`+layout+`]`, types...)
	}
	const whole = 30 * time.Minute
	for _, test := range []struct {
		name, more string
		moving     time.Duration
		steps      float64
		hasSteps   bool
	}{
		{name: "neither", more: "", moving: whole},
		{name: "active duration", more: `,"activeDuration":"600.500s"`, moving: 600*time.Second + 500*time.Millisecond},
		{name: "too long", more: `,"activeDuration":"1801s"`, moving: whole},
		{name: "negative", more: `,"activeDuration":"-5s"`, moving: whole},
		{
			name: "active duration before events", more: `,"activeDuration":"60s"` + events(at5+","+at15, "PAUSE", "RESUME"),
			moving: time.Minute,
		},
		{name: "pause", more: events(at5+","+at15, "PAUSE", "RESUME"), moving: 20 * time.Minute},
		{name: "out of order", more: events(at15+","+at5, "AUTO_RESUME", "AUTO_PAUSE"), moving: 20 * time.Minute},
		{name: "paused twice", more: events(at5+","+at15, "AUTO_PAUSE", "PAUSE"), moving: 5 * time.Minute},
		{name: "pause to the end", more: events(at15, "PAUSE"), moving: 15 * time.Minute},
		{name: "pause from before", more: events(before+","+at5, "PAUSE", "RESUME"), moving: 25 * time.Minute},
		{name: "resumed late", more: events(at15+","+at40, "PAUSE", "RESUME"), moving: 15 * time.Minute},
		{name: "resumed only", more: events(at15, "RESUME"), moving: whole},
		{name: "unknown event", more: events(at5+","+at15, "LAP", "STOP"), moving: whole},
		{name: "steps", more: `,"metricsSummary":{"steps":2000}`, moving: whole, steps: 2000, hasSteps: true},
		{name: "no steps", more: `,"metricsSummary":{"distanceMillimeters":7}`, moving: whole},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := request("11-02", "11-02")
			r.Sessions = true
			got, err := newGoogle(t, map[string][]answer{
				steps:     {ok(`{}`)},
				exercises: {ok(pageOf("", `{"exercise":{"exerciseType":"HIKING",`+interval+test.more+`}}`))},
			}).fetch(r)
			if err != nil {
				t.Fatal(err)
			}
			want := walking.Session{
				Start: at("2026-11-02T10:00:00Z"), End: at("2026-11-02T10:30:00Z"), Moving: test.moving, Kind: walking.Hike,
				Steps: test.steps, HasSteps: test.hasSteps,
			}
			if d := diff([]walking.StreamSession{{StreamKey: key, Session: want}}, got.Sessions); d != "" {
				t.Errorf("sessions (-want +got):\n%s", d)
			}
		})
	}
}

// Records tell of where they were made only by an offset that can be one.
func TestOffsets(t *testing.T) {
	for text, want := range map[string]walking.Record{
		`"-14400s"`:    {Offset: -14400, HasOffset: true},
		`"0s"`:         {HasOffset: true},
		`"20700.000s"`: {Offset: 20700, HasOffset: true},
		`null`:         {},
		`"360000s"`:    {},
	} {
		body := strings.Replace(pageOf("", point(at("2026-11-02T10:00:00Z"), 1, "5")), `"3600s"`, text, 1)
		got, err := newGoogle(t, map[string][]answer{steps: {ok(body)}}).fetch(request("11-02", "11-02"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want.Start, want.Duration, want.Steps = at("2026-11-02T10:00:00Z"), time.Minute, 5
		if d := diff([]walking.Record{want}, got.Records[0].Records); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}

func TestProbe(t *testing.T) {
	for _, test := range []struct {
		name  string
		pages []answer
		want  time.Time
	}{
		{
			name: "several", pages: []answer{ok(sample(t, "devices.json"))},
			want: at("2026-10-26T07:15:00Z").Add(250 * time.Millisecond),
		},
		{name: "none", pages: []answer{ok(`{}`)}},
		{name: "scale", pages: []answer{
			ok(`{"pairedDevices":[{"deviceType":"SCALE","lastSyncTime":"2026-10-26T08:00:00Z"}]}`),
		}},
		{name: "never synced", pages: []answer{ok(`{"pairedDevices":[{"deviceType":"TRACKER"}]}`)}},
		{name: "pages", pages: []answer{
			ok(`{"nextPageToken":"2"}`),
			ok(`{"pairedDevices":[{"deviceType":"TRACKER","lastSyncTime":"2026-10-26T08:00:00+02:00"}]}`),
		}, want: at("2026-10-26T06:00:00Z")},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGoogle(t, map[string][]answer{devices: test.pages})
			s, _ := g.source()
			got, err := probe(s)(t.Context())
			if err != nil || !got.Equal(test.want) || got.IsZero() != test.want.IsZero() {
				t.Errorf("got %s, error %v, want %s", got, err, test.want)
			}
			if q := g.queries()[0]; q != "pairedDevices pageSize=100&prettyPrint=false" {
				t.Errorf("asked for %s", q)
			}
		})
	}
}

func TestZone(t *testing.T) {
	for body, want := range map[string]string{
		sample(t, "settings.json"): "Europe/Oslo",
		`{"timeZone":"UTC"}`:       "UTC",
	} {
		s, _ := newGoogle(t, map[string][]answer{settings: {ok(body)}}).source()
		got, err := zone(s)(t.Context())
		if err != nil || got.String() != want {
			t.Errorf("%s: got %s, error %v", body, got, err)
		}
	}
	for body, want := range map[string]string{
		`{"timeZone":"Mars/Olympus"}`: `permanent: Google Health: no time zone: "Mars/Olympus" is not a time zone: want ` +
			`an IANA name like Europe/Oslo`,
		`{"timeZone":"Local"}`: `permanent: Google Health: no time zone: "Local" is not a time zone: want an IANA ` +
			`name like Europe/Oslo`,
		`{}`:             `permanent: Google Health: no time zone: "" is not a time zone: want an IANA name like Europe/Oslo`,
		`null`:           `permanent: Google Health: no time zone: "" is not a time zone: want an IANA name like Europe/Oslo`,
		`[]`:             "transient: Google Health: the answer has a array",
		`<html>`:         "transient: Google Health answered with a web page",
		`{"timeZone":7}`: `transient: Google Health: the answer has a number for "timeZone"`,
		`{"error":{"code":503,"message":"later"}}`: `transient: Google Health answered 503 Service Unavailable: "later"`,
	} {
		s, _ := newGoogle(t, map[string][]answer{settings: {ok(body)}}).source()
		got, err := zone(s)(t.Context())
		var e *ingest.Error
		if !errors.As(err, &e) || got != nil || !strings.HasPrefix(string(e.Class)+": "+err.Error(), want) {
			t.Errorf("%s: got %v, error %v, want %s", body, got, err, want)
		}
	}
}

// Without the right to read settings nothing but the probe and the zone is missing, and it is not asked for again.
func TestNoSettings(t *testing.T) {
	refused := answer{status: http.StatusForbidden, body: sample(t, "errors/scope.json")}
	g := newGoogle(t, map[string][]answer{devices: {refused}, settings: {refused}, steps: {ok(`{}`)}})
	p := g.provider()
	for range 3 {
		s := p.Source(http.DefaultClient)
		if got, err := probe(s)(t.Context()); err != nil || !got.IsZero() {
			t.Errorf("the probe says %s, error %v", got, err)
		}
		_, err := zone(s)(t.Context())
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class != ingest.Permanent {
			t.Errorf("the zone says %v, want a permanent error", err)
		}
		if _, err := s.Fetch(t.Context(), request("11-02", "11-02")); err != nil {
			t.Error(err)
		}
	}
	if len(g.asked) != 4 {
		t.Errorf("asked %d times, want the probe once and the steps three times: %q", len(g.asked), g.queries())
	}
}
