package withings_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	days     = "getactivity"
	minutes  = "getintradayactivity"
	workouts = "getworkouts"
	devices  = "getdevice"
	token    = "requesttoken"
)

// A script is a Withings that answers from a list by action, in order; the last answer is repeated.
type script struct {
	t       testing.TB
	answers map[string][]string
	header  http.Header
	status  int
	mu      sync.Mutex
	asked   []url.Values
}

func newScript(t testing.TB, answers map[string][]string) *script {
	return &script{t: t, answers: answers, header: http.Header{"Date": {"Tue, 03 Nov 2026 09:00:00 GMT"}}, status: http.StatusOK}
}

// RoundTrip implements http.RoundTripper.
func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	form.Set("path", req.URL.Path)
	s.asked = append(s.asked, form)
	list := s.answers[form.Get("action")]
	if len(list) == 0 {
		s.t.Errorf("asked for %v, which is not expected", form)
		return nil, errors.New("not expected")
	}
	if len(list) > 1 {
		s.answers[form.Get("action")] = list[1:]
	}
	return &http.Response{
		StatusCode: s.status, Header: s.header, Body: io.NopCloser(strings.NewReader(list[0])), Request: req,
	}, nil
}

// source returns a source that asks s, and what it logs.
func (s *script) source() (ingest.Source, *bytes.Buffer) {
	var log bytes.Buffer
	p := providerAt("https://withings.example", pulltest.NewClock(at(noon)))
	p.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
	return p.Source(&http.Client{Transport: s}), &log
}

func (s *script) fetch(r ingest.Request) (ingest.Batch, error) {
	src, _ := s.source()
	return src.Fetch(context.Background(), r)
}

// said returns what was asked, without what is always the same.
func (s *script) said() []string {
	var out []string
	for _, f := range s.asked {
		f.Del("data_fields")
		f.Del("path")
		out = append(out, f.Encode())
	}
	return out
}

func sample(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ok is an answer with a body.
func ok(body string) string { return `{"status":0,"body":` + body + `}` }

// request asks for whole days of November 2026 in Oslo, first and last inclusive, at noon of the 20th.
func request(first, last int) ingest.Request {
	oslo := zoneOf("Europe/Oslo")
	return ingest.Request{
		Window: walking.Window{
			Start: walking.DayOf(2026, 11, first).In(oslo).UTC(), End: walking.DayOf(2026, 11, last+1).In(oslo).UTC(),
		},
		Zones: walking.NewTimeline(oslo), Now: at(noon), Sessions: true,
	}
}

var (
	watch = walking.StreamKey{Source: "watch"}
	apps  = walking.StreamKey{Source: "watch", Origin: "apps"}
)

func TestFetch(t *testing.T) {
	s := newScript(t, map[string][]string{
		days: {sample(t, "days.json")}, workouts: {sample(t, "workouts.json")}, minutes: {sample(t, "minutes.json"), ok(`{"series":{}}`)},
	})
	r := request(1, 2)
	got, err := s.fetch(r)
	if err != nil {
		t.Fatal(err)
	}
	record := func(start string, length time.Duration, steps float64) walking.Record {
		return walking.Record{Start: at(start), Duration: length, Steps: steps, Offset: 3600, HasOffset: true}
	}
	session := func(start int64, length, moving time.Duration, k walking.Kind, steps float64) walking.StreamSession {
		at := time.Unix(start, 0).UTC()
		return walking.StreamSession{StreamKey: watch, Session: walking.Session{
			Start: at, End: at.Add(length), Moving: moving, Kind: k, Steps: steps, HasSteps: steps > 0,
		}}
	}
	want := ingest.Batch{
		Streams: []walking.Stream{
			{StreamKey: watch, Device: walking.Wearable, Delivery: walking.Pulled, ReliableOffset: true, SyncedThrough: at("2026-11-01T08:32:00Z")},
			{StreamKey: apps, Device: walking.UnknownDevice, Delivery: walking.Pulled, SyncedThrough: at("2026-11-02T20:00:00Z")},
		},
		Covers: []ingest.Cover{{StreamKey: watch, Window: r.Window}, {StreamKey: apps, Window: r.Window}},
		Records: []walking.StreamRecords{
			{StreamKey: watch, Records: []walking.Record{
				record("2026-11-01T08:30:00Z", time.Minute, 58), record("2026-11-01T08:31:00Z", time.Minute, 104),
			}},
			{StreamKey: apps, Records: []walking.Record{
				record("2026-11-01T08:31:40Z", 5*time.Minute, 310),
				// This day has a total and no minutes: it reaches to where it was last changed.
				record("2026-11-01T23:00:00Z", 21*time.Hour, 3020),
			}},
		},
		Sessions: []walking.StreamSession{
			session(1793521800, 20*time.Minute, 18*time.Minute, walking.Walk, 1930),
			session(1793530000, 30*time.Minute, 26*time.Minute, walking.Swim, 0),
			session(1793540000, 20*time.Minute, 20*time.Minute, walking.Hike, 0),
		},
		Totals: []ingest.Total{
			{Day: walking.DayOf(2026, 11, 1), Steps: 8412}, {Day: walking.DayOf(2026, 11, 2), Steps: 3020},
		},
	}
	if d := diff(want, got); d != "" {
		t.Errorf("batch (-want +got):\n%s", d)
	}
	if d := diff([]string{
		"action=getactivity&enddateymd=2026-11-03&startdateymd=2026-10-31",
		"action=getworkouts&enddateymd=2026-11-03&startdateymd=2026-10-31",
		"action=getintradayactivity&enddate=1793574000&startdate=1793487600",
		"action=getintradayactivity&enddate=1793660400&startdate=1793574000",
	}, s.said()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}

// What PHP makes of numbers and of what is empty.
func TestOddAnswers(t *testing.T) {
	one := func(entry string) string { return ok(`{"series":{"1793521800":` + entry + `}}`) }
	noDays := ok(`{"activities":[],"more":false,"offset":0}`)
	for _, test := range []struct {
		name, minutes, days string
		want                string // records, or the error
	}{
		{"no series, as an object", ok(`{"series":{}}`), noDays, "[]"},
		{"no series, as a list", ok(`{"series":[]}`), noDays, "[]"},
		{"series null", ok(`{"series":null}`), noDays, "[]"},
		{"an empty body", ok(`{}`), noDays, "[]"},
		{"an empty list for a body", ok(` [ ] `), noDays, "[]"},
		{"days as an empty object", ok(`{"series":[]}`), ok(`{"activities":{},"more":0,"offset":"0"}`), "[]"},
		{
			"days as an object", ok(`{"series":[]}`), ok(`{"activities":{"3":{"date":"2026-11-01","steps":"960","timezone":"Europe/Oslo"}}}`),
			"[24h0m0s:960]",
		},
		{"numbers as text", one(`{"steps":"77","duration":"60","model_id":"94"}`), noDays, "[1m0s:77]"},
		{"a fraction", one(`{"steps":77.5,"duration":60.0}`), noDays, "[1m0s:77.5]"},
		{"without a duration", one(`{"steps":77}`), noDays, "[1m0s:77]"},
		{"two minutes", one(`{"steps":140,"duration":120}`), noDays, "[2m0s:140]"},
		{"rest that is told", one(`{"steps":0,"duration":60}`), noDays, "[1m0s:0]"},
		{"rest that is not told", one(`{"steps":0}`), noDays, "[]"},
		{"no steps", one(`{"heart_rate":70,"duration":60}`), noDays, "[]"},
		{"null", one(`null`), noDays, "[]"},
		{"steps null", one(`{"steps":null,"duration":60}`), noDays, "[]"},
		{"status as text", `{"status":"0","body":{"series":{"1793521800":{"steps":1}}}}`, noDays, "[1m0s:1]"},
		{
			"a list of minutes", ok(`{"series":[{"steps":5}]}`), noDays,
			`Withings: the answer makes no sense: "" is of the wrong type, array`,
		},
		{
			"a minute without a time", ok(`{"series":{"today":{"steps":5}}}`), noDays,
			"Withings: the answer makes no sense: a minute has no time",
		},
		{"steps in words", one(`{"steps":"many"}`), noDays, "Withings: the answer makes no sense: a number is none"},
		{
			"about something else", ok(`{"activities":[]}`), noDays,
			"Withings: the answer makes no sense: it is about something else",
		},
		{"without a body", `{"status":0}`, noDays, "Withings: the answer makes no sense: it has no body"},
		{"without a status", `{"body":{"series":{}}}`, noDays, "Withings: the answer makes no sense: it has no status"},
		{"a list", `[]`, noDays, `Withings: the answer has a array for "" at byte 1, want withings.envelope`},
		{"a web page", "\n<html>", noDays, "Withings answered with a web page instead of data"},
		{
			"cut off", `{"status":0,"body":{"series":{"1793521800":{"steps":1`, noDays,
			"Withings: the answer is no JSON, or not all of it: unexpected end of JSON input at byte 53",
		},
		{
			"two answers", ok(`{"series":{}}`) + ok(`{"series":{}}`), noDays,
			"Withings: the answer is no JSON, or not all of it: invalid character '{' after top-level value at byte 34",
		},
		{
			"a day without a date", ok(`{"series":{}}`), ok(`{"activities":[{"steps":5}]}`),
			"Withings: the answer makes no sense: a day has no date",
		},
		{
			"more without an offset", ok(`{"series":{}}`), ok(`{"activities":[],"more":true}`),
			"Withings: the answer makes no sense: it says that there is more, and not where",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := request(1, 1)
			r.Sessions = false
			b, err := newScript(t, map[string][]string{minutes: {test.minutes}, days: {test.days}}).fetch(r)
			got := []string{}
			for _, rs := range b.Records {
				for _, x := range rs.Records {
					got = append(got, fmt.Sprintf("%s:%g", x.Duration, x.Steps))
				}
			}
			text := fmt.Sprint(got)
			var e *ingest.Error
			if err != nil {
				text = err.Error()
				if !errors.As(err, &e) || e.Class != ingest.Transient || len(b.Covers) > 0 {
					t.Errorf("error %#v, batch %v", err, b)
				}
			} else if len(b.Covers) != 2 || b.Covers[0].Part != ingest.RecordsOnly {
				t.Errorf("covers %v", b.Covers)
			}
			if text != test.want {
				t.Errorf("got %s\nwant %s", text, test.want)
			}
		})
	}
}

// Pages are followed by their offsets, whatever tells that there is more, and overlap.
func TestPages(t *testing.T) {
	page := func(more, offset string, starts ...int64) string {
		var list []string
		for _, at := range starts {
			list = append(list, fmt.Sprintf(`{"category":2,"startdate":%d,"enddate":%d,"data":[]}`, at, at+600))
		}
		return ok(fmt.Sprintf(`{"series":[%s],"more":%s,"offset":%s}`, strings.Join(list, ","), more, offset))
	}
	const t0 = 1793521800
	s := newScript(t, map[string][]string{
		minutes: {ok(`{"series":[]}`)}, days: {ok(`{"activities":[]}`)},
		workouts: {page("true", "2", t0+1000, t0+2000), page("1", `"4"`, t0+2000, t0), page("false", "4", t0+3000)},
	})
	b, err := s.fetch(request(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, x := range b.Sessions {
		got = append(got, x.Start.Unix()-t0)
	}
	if d := diff([]int64{0, 1000, 2000, 3000}, got); d != "" {
		t.Errorf("starts (-want +got):\n%s", d)
	}
	s = newScript(t, map[string][]string{days: {ok(`{"activities":[],"more":true,"offset":7}`)}})
	if _, err = s.fetch(request(1, 1)); err == nil || !strings.Contains(err.Error(), "repeat without end") || len(s.asked) > 3 {
		t.Errorf("error %v after %d requests", err, len(s.asked))
	}
}

// Of a long window only the days are asked for that have something, and the next windows ask for no more of the rest.
func TestLongWindows(t *testing.T) {
	s := newScript(t, map[string][]string{
		days:    {ok(`{"activities":[{"date":"2026-11-04","steps":10,"timezone":"Europe/Oslo"}]}`)},
		minutes: {ok(`{"series":[]}`)}, workouts: {ok(`{"series":[]}`)},
	})
	src, _ := s.source()
	for _, days := range [][2]int{{9, 16}, {1, 8}} {
		if _, err := src.Fetch(t.Context(), request(days[0], days[1])); err != nil {
			t.Fatal(err)
		}
	}
	var asked []string
	for _, f := range s.asked {
		asked = append(asked, f.Get("action")+" "+f.Get("startdateymd")+f.Get("startdate"))
	}
	if d := diff([]string{
		"getactivity 2026-05-22", "getworkouts 2026-05-22", // 180 days to the 17th
		"getintradayactivity 1793660400", "getintradayactivity 1793746800", "getintradayactivity 1793833200", // the 3rd to the 5th
	}, asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	// Later it may be otherwise.
	r := request(1, 8)
	r.Now = r.Now.Add(time.Hour)
	if _, err := src.Fetch(t.Context(), r); err != nil || len(s.asked) != 10 {
		t.Errorf("%d requests, error %v", len(s.asked), err)
	}
}

func TestImpossibleEntriesAreLeftOut(t *testing.T) {
	s := newScript(t, map[string][]string{
		days: {ok(`{"activities":[]}`)},
		minutes: {ok(`{"series":{"1793521800":{"steps":90000},"1793521860":{"steps":-1},"1793521920":{"steps":5,"duration":-60},
			"1793521980":{"steps":5,"duration":1e300},"1793522040":{"steps":7}}}`)},
		workouts: {ok(`{"series":[{"category":1,"startdate":1793521800,"enddate":1793522400,"data":{"steps":900000}},
			{"category":1,"startdate":1793523000,"enddate":1793522400,"data":[]},
			{"category":1,"startdate":1793523000,"enddate":1793523600,"data":{"pause_duration":9999}}]}`)},
	})
	src, log := s.source()
	b, err := src.Fetch(t.Context(), request(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Records) != 1 || len(b.Records[0].Records) != 1 || b.Records[0].Records[0].Steps != 7 {
		t.Errorf("records %v", b.Records)
	}
	if len(b.Sessions) != 2 || b.Sessions[0].HasSteps || b.Sessions[1].Moving != 0 {
		t.Errorf("sessions %v", b.Sessions)
	}
	for _, want := range []string{"what=minutes count=4", "what=workouts count=2"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not tell %s:\n%s", want, log)
		}
	}
}

func TestProbeAndZone(t *testing.T) {
	s := newScript(t, map[string][]string{devices: {sample(t, "devices.json")}})
	src, _ := s.source()
	synced, err := src.(ingest.Prober).Probe(t.Context())
	if err != nil || synced.Unix() != 1793649000 {
		t.Errorf("synced at %s, error %v", synced, err)
	}
	zone, err := src.(ingest.Zoner).Zone(t.Context())
	if err != nil || zone.String() != "Europe/Oslo" {
		t.Errorf("zone %v, error %v", zone, err)
	}
	// Nobody to ask.
	s = newScript(t, map[string][]string{devices: {ok(`{"devices":[]}`)}, days: {ok(`{"activities":[]}`)}})
	src, _ = s.source()
	var e *ingest.Error
	if _, err = src.(ingest.Zoner).Zone(t.Context()); !errors.As(err, &e) || e.Class != ingest.Permanent {
		t.Errorf("error %v", err)
	}
	if synced, err = src.(ingest.Prober).Probe(t.Context()); err != nil || !synced.IsZero() {
		t.Errorf("synced at %s, error %v", synced, err)
	}
}

// Without a watch, or without the right to see devices, it is the last change that counts, and that is asked for once.
func TestProbeWithoutTracker(t *testing.T) {
	for name, answer := range map[string]string{
		"no tracker": ok(`{"devices":[{"type":"Scale","last_session_date":1793650000}]}`),
		"no right":   `{"status":277,"body":{},"error":"Unauthorized"}`,
	} {
		s := newScript(t, map[string][]string{devices: {answer}, days: {sample(t, "days.json")}})
		c := pulltest.NewClock(at(noon))
		src := providerAt("https://withings.example", c).Source(&http.Client{Transport: s})
		synced, err := src.(ingest.Prober).Probe(t.Context())
		if err != nil || synced.Unix() != 1793649600 {
			t.Errorf("%s: synced at %s, error %v", name, synced, err)
		}
		feed := src.(ingest.Feed)
		_, cursor, err := feed.Changes(t.Context(), "")
		if err != nil || cursor != unix("2026-11-03T08:55:00Z") {
			t.Errorf("%s: cursor %s, error %v", name, cursor, err)
		}
		s.asked = nil
		c.Add(time.Minute)
		if _, err = src.(ingest.Prober).Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err = feed.Changes(t.Context(), cursor); err != nil {
			t.Fatal(err)
		}
		if got := s.said(); !slices.Contains(got, "action=getactivity&lastupdate="+unix("2026-11-03T08:50:00Z")) || len(got) != 2 {
			t.Errorf("%s: asked %v", name, got)
		}
	}
}

func unix(text string) string { return fmt.Sprint(at(text).Unix()) }

func TestChanges(t *testing.T) {
	day := func(date, zone string, modified string) string {
		return fmt.Sprintf(`{"date":%q,"timezone":%q,"modified":%s,"steps":1}`, date, zone, unix(modified))
	}
	s := newScript(t, map[string][]string{days: {
		ok(`{"activities":[` + strings.Join([]string{
			day("2026-11-03", "Europe/Oslo", "2026-11-03T08:40:00Z"), day("2026-10-25", "Europe/Oslo", "2026-11-03T08:00:00Z"),
			day("2026-10-26", "Europe/Oslo", "2026-11-03T08:00:00Z"), day("2026-10-20", "Mars/Olympus", "2026-11-03T12:00:00Z"),
		}, ",") + `]}`),
		ok(`{"activities":[],"more":false}`),
	}})
	src, _ := s.source()
	feed := src.(ingest.Feed)
	stale, cursor, err := feed.Changes(t.Context(), unix("2026-11-03T07:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	window := func(from, to string) walking.Window { return walking.Window{Start: at(from), End: at(to)} }
	if d := diff([]walking.Window{
		window("2026-10-19T10:00:00Z", "2026-10-21T12:00:00Z"), // wherever that is
		window("2026-10-24T22:00:00Z", "2026-10-26T23:00:00Z"), // of 25 and 24 hours
		window("2026-11-02T23:00:00Z", "2026-11-03T23:00:00Z"),
	}, stale); d != "" {
		t.Errorf("stale (-want +got):\n%s", d)
	}
	// What is stamped later than Withings' clock is at moves the cursor nowhere.
	if cursor != unix("2026-11-03T08:40:00Z") || s.asked[0].Get("lastupdate") != unix("2026-11-03T06:55:00Z") {
		t.Errorf("cursor %s after %v", cursor, s.said())
	}
	stale, next, err := feed.Changes(t.Context(), cursor)
	if err != nil || len(stale) > 0 || next != cursor {
		t.Errorf("then %v, cursor %s, error %v", stale, next, err)
	}
}

// The same question of another part of walkd waits until Withings takes it.
func TestRepeatedQuestionsWait(t *testing.T) {
	s := newScript(t, map[string][]string{days: {ok(`{"activities":[]}`)}})
	c := pulltest.NewClock(at(noon))
	p := providerAt("https://withings.example", c)
	client := &http.Client{Transport: s}
	for i, src := range []ingest.Source{p.Source(client), p.Source(client), p.Source(client)} {
		if _, _, err := src.(ingest.Feed).Changes(t.Context(), unix("2026-11-03T07:00:00Z")); err != nil {
			t.Fatal(err)
		}
		if want := at(noon).Add(time.Duration(i) * 10 * time.Second); !c.Now().Equal(want) {
			t.Errorf("source %d has asked at %s, want %s", i, c.Now(), want)
		}
	}
	if len(s.asked) != 3 {
		t.Errorf("asked %v", s.said())
	}
}

// Which devices there are is told to all who ask within the ten seconds in which Withings does not take the question again.
func TestDevicesAreToldOnce(t *testing.T) {
	s := newScript(t, map[string][]string{devices: {sample(t, "devices.json")}})
	c := pulltest.NewClock(at(noon))
	p := providerAt("https://withings.example", c)
	client := &http.Client{Transport: s}
	for i, ask := range []func(ingest.Source) error{
		func(src ingest.Source) error { _, err := src.(ingest.Zoner).Zone(t.Context()); return err },
		func(src ingest.Source) error { _, err := src.(ingest.Prober).Probe(t.Context()); return err },
		func(src ingest.Source) error { _, err := src.(ingest.Describer).Describe(t.Context()); return err },
	} {
		if err := ask(p.Source(client)); err != nil {
			t.Fatal(err)
		}
		if len(s.asked) != 1 || !c.Now().Equal(at(noon).Add(time.Duration(i)*time.Second)) {
			t.Errorf("%d requests by %s", len(s.asked), c.Now())
		}
		c.Add(time.Second)
	}
	c.Set(at(noon).Add(10 * time.Second))
	if _, err := p.Source(client).(ingest.Prober).Probe(t.Context()); err != nil || len(s.asked) != 2 {
		t.Errorf("%d requests ten seconds later, error %v", len(s.asked), err)
	}
}

// Who asks for devices while somebody else does is told the same.
func TestDevicesAreAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, map[string][]string{devices: {sample(t, "devices.json")}})
		c := pulltest.NewClock(at(noon))
		p := providerAt("https://withings.example", c)
		release := make(chan struct{})
		client := &http.Client{Transport: roundTripper(func(q *http.Request) (*http.Response, error) {
			<-release
			return s.RoundTrip(q)
		})}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if zone, err := p.Source(client).(ingest.Zoner).Zone(t.Context()); err != nil || zone.String() != "Europe/Oslo" {
					t.Errorf("zone %v, error %v", zone, err)
				}
			})
		}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := p.Source(client).(ingest.Prober).Probe(gone); !errors.Is(err, context.Canceled) {
				t.Errorf("one that goes away: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		all.Wait()
		if len(s.asked) != 1 || !c.Now().Equal(at(noon)) {
			t.Errorf("%d requests by %s", len(s.asked), c.Now())
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		want         ingest.Description
		fails        bool
	}{
		{"a scale and two watches", sample(t, "devices.json"), ingest.Description{
			Devices: []ingest.Device{
				{Name: "ScanWatch 2", Synced: time.Unix(1793649000, 0).UTC(), Battery: "low"}, {Name: "Steel HR", Battery: "medium"},
			},
			Zone: zoneOf("Europe/Oslo"),
		}, false},
		{
			"numbers, and no words",
			ok(`{"devices":[{"type":"Activity Tracker","model":94,"battery":null,"timezone":"Mars/Olympus"},{"type":"Activity Tracker","model":{}}]}`),
			ingest.Description{Devices: []ingest.Device{{Name: "94"}, {}}},
			false,
		},
		{"no device", ok(`{"devices":[]}`), ingest.Description{}, false},
		{"no right", `{"status":277,"body":{},"error":"Unauthorized"}`, ingest.Description{}, false},
		{"trouble", `{"status":522,"body":{},"error":"Timeout"}`, ingest.Description{}, true},
	} {
		s := newScript(t, map[string][]string{devices: {test.answer}})
		src, _ := s.source()
		got, err := src.(ingest.Describer).Describe(t.Context())
		if (err != nil) != test.fails {
			t.Errorf("%s: error %v", test.name, err)
		}
		if d := diff(fmt.Sprint(test.want), fmt.Sprint(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
}

// Only the totals of days that are over, and all of whose minutes are there, can be compared.
func TestTotalsOfWholeDays(t *testing.T) {
	day := func(date, zone, steps string) string {
		return fmt.Sprintf(`{"date":%q,"timezone":%q,"steps":%s}`, date, zone, steps)
	}
	s := newScript(t, map[string][]string{
		minutes: {ok(`{"series":[]}`)}, workouts: {ok(`{"series":[]}`)},
		days: {ok(`{"activities":[` + strings.Join([]string{
			day("2026-11-15", "Europe/Oslo", "1"), // before what is asked for
			day("2026-11-16", "Europe/Oslo", "2"), day("2026-11-17", "Asia/Tokyo", "3"), day("2026-11-18", "Mars/Olympus", "4"),
			day("2026-11-19", "Europe/Oslo", "null"), day("2026-11-20", "Europe/Oslo", "6"), // today
		}, ",") + `]}`)},
	})
	b, err := s.fetch(request(16, 20))
	if err != nil {
		t.Fatal(err)
	}
	want := []ingest.Total{{Day: walking.DayOf(2026, 11, 16), Steps: 2}, {Day: walking.DayOf(2026, 11, 17), Steps: 3}}
	if d := diff(want, b.Totals); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if b, err = s.fetch(request(16, 16)); err != nil || len(b.Totals) != 1 {
		t.Errorf("of one day: %v, error %v", b.Totals, err)
	}
}
