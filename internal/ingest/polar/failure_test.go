package polar_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/polar"
	"github.com/walkd/walkd/internal/walking"
)

// Whatever goes wrong is an error of the right class, and never a batch.
func TestFailures(t *testing.T) {
	const d = "2026-11-18"
	day := func(more string) string { return `[{"start_time":"2026-11-18T00:00"` + more + `}]` }
	limits := map[string]string{"RateLimit-Usage": "521, 800", "RateLimit-Limit": "520, 5100", "RateLimit-Reset": "420, 80000"}
	both := map[string]string{"RateLimit-Usage": "521, 5101", "RateLimit-Limit": "520, 5100", "RateLimit-Reset": "420, 80000"}
	none := map[string]string{"RateLimit-Usage": "1, 1", "RateLimit-Limit": "520, 5100", "RateLimit-Reset": "420, 80000"}
	for _, test := range []struct {
		name   string
		answer answer
		class  ingest.Class
		after  time.Duration
		remedy string
		text   string
	}{
		{"401", answer{status: 401, body: "{}"}, ingest.Auth, 0, ingest.ConnectAgain, "401 Unauthorized"},
		{"403", answer{status: 403, body: "{}"}, ingest.Permanent, 0, "accept all of Polar's mandatory consents", "403"},
		{"a page of a proxy", answer{status: 403, body: " <html>"}, ingest.Transient, 0, "", "which is not Polar's"},
		{"400", answer{status: 400}, ingest.Permanent, 0, "see that the clock of this machine is right", "400"},
		{"404", answer{status: 404}, ingest.Permanent, 0, "update walkd, or take api_url out", "404"},
		{"405", answer{status: 405}, ingest.Permanent, 0, "update walkd", "405"},
		{"429", answer{status: 429, header: limits}, ingest.Throttled, 7 * time.Minute, "", "429"},
		{"429 for both limits", answer{status: 429, header: both}, ingest.Throttled, 80000 * time.Second, "", "429"},
		{"429 for none", answer{status: 429, header: none}, ingest.Throttled, 0, "", "429"},
		{"429 without a word", answer{status: 429}, ingest.Throttled, 0, "", "429"},
		{"429 for a time", answer{status: 429, header: map[string]string{"Retry-After": "9"}}, ingest.Throttled, 9 * time.Second, "", "429"},
		{"408", answer{status: 408}, ingest.Transient, 0, "", "408"},
		{"500", answer{status: 500}, ingest.Transient, 0, "", "500"},
		{
			"503 until a date",
			answer{status: 503, header: map[string]string{
				"Date": "Fri, 20 Nov 2026 12:00:00 GMT", "Retry-After": "Fri, 20 Nov 2026 12:01:00 GMT",
			}},
			ingest.Transient, time.Minute, "", "503",
		},
		{"202", answer{status: 202}, ingest.Transient, 0, "", "makes no sense: it has the status 202"},
		{"a web page", ok("<!DOCTYPE html>"), ingest.Transient, 0, "", "a web page instead of data"},
		{"null", ok("null"), ingest.Transient, 0, "", "it is no list"},
		{"an object", ok(`{"activities":[]}`), ingest.Transient, 0, "", "it is no list"},
		{"an error with status 200", ok(`{"error":{}}`), ingest.Transient, 0, "", "it is no list"},
		{"nothing", ok(""), ingest.Transient, 0, "", "is no JSON"},
		{"half of it", ok(`[{"start_time":"2026-11`), ingest.Transient, 0, "", "is no JSON"},
		{"more than all", ok(`[][]`), ingest.Transient, 0, "", "is no JSON"},
		{"a day of nothing", ok(`[{}]`), ingest.Transient, 0, "", "a day has no time"},
		{"no day", ok(`[null]`), ingest.Transient, 0, "", "a day has no time"},
		{"another time", ok(day(`,"end_time":"18 November"`)), ingest.Transient, 0, "", "a time is not of the form"},
		{"a time with a zone", ok(day(`,"end_time":"2026-11-18T10:00+01:00"`)), ingest.Transient, 0, "", "a time is not of the form"},
		{"no number", ok(day(`,"steps":"many"`)), ingest.Transient, 0, "", "a number is none"},
		{"no number at all", ok(day(`,"steps":[4]`)), ingest.Transient, 0, "", "a number is none"},
		{"samples of another kind", ok(day(`,"samples":{"steps":[1]}`)), ingest.Transient, 0, "", "array"},
		{"a sample without a time", ok(day(`,"samples":{"steps":{"samples":[{"steps":5}]}}`)), ingest.Transient, 0, "", "a time is not"},
		{"a zone without a time", ok(day(`,"samples":{"activity_zones":{"samples":[{"zone":"LIGHT"}]}}`)), ingest.Transient, 0, "", "a time is not"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, map[string][]answer{activitiesPath: {test.answer}})
			b, _, err := s.fetch(request(utc, d, d))
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != test.class || e.RetryAfter != test.after ||
				!strings.HasPrefix(e.Remedy, test.remedy) || (e.Remedy == "") != (test.remedy == "") ||
				!strings.Contains(err.Error(), test.text) {
				t.Errorf("%#v %v", e, err)
			}
			if d := diff(ingest.Batch{}, b); d != "" {
				t.Errorf("a batch in spite of the error:\n%s", d)
			}
		})
	}
	for _, body := range []string{
		"null", `{}`, `[{}]`, `[null]`, `[{"start_time":"2026-11-18T10:00:00","duration":"an hour"}]`, `[{"duration":"PT1H"}]`,
		`[{"start_time":5}]`, `[5]`, "<html>",
	} {
		s := newScript(t, map[string][]answer{activitiesPath: {ok("[]")}, exercisesPath: {ok(body)}})
		r := request(utc, d, d)
		r.Sessions = true
		b, _, err := s.fetch(r)
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class != ingest.Transient || diff(ingest.Batch{}, b) != "" {
			t.Errorf("exercises %s: %+v, %v", body, b, err)
		}
	}
	s := newScript(t, map[string][]answer{activitiesPath: {{lost: true}}})
	if _, _, err := s.fetch(request(utc, d, d)); !errors.Is(err, errLost) {
		t.Errorf("lost: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = newScript(t, map[string][]answer{activitiesPath: {ok("<")}})
	if _, err := newProvider(t).Source(clientOf(s)).Fetch(ctx, request(utc, d, d)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	// Old days without content are as good as an empty list.
	s = newScript(t, map[string][]answer{activitiesPath: {{status: http.StatusNoContent}}})
	if b, _, err := s.fetch(request(utc, d, d)); err != nil || len(b.Covers) != 0 || len(b.Streams) != 1 {
		t.Errorf("no content: %+v, %v", b, err)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]string{
		"PT2H44M": "2h44m", "PT1H": "1h", "PT0S": "0s", "PT210.026S": "3m30.026s", "PT25M30S": "25m30s", "P1DT2H": "26h",
		"P1W": "168h", "PT90M": "1h30m", "PT1,5S": "1.5s", "PT0.0004S": "0s",
		"": "", "P": "", "PT": "", "1H": "", "PT1": "", "PTH": "", "PT1S1M": "", "PT1H1H": "", "P1H": "", "PT1D": "", "PT-1S": "",
		"PT1e9S": "", "PTNaNS": "", "PT+1S": "", "PTInfS": "", "PT0x1S": "", "P1Y": "", "P1M": "", "PT1_0S": "",
		"PT99999999999999H": "", "pt1h": "",
	} {
		got, err := polar.ParseDuration(text)
		var wanted time.Duration
		if want != "" {
			if wanted, err = time.ParseDuration(want); err != nil {
				t.Fatal(err)
			}
			_, err = polar.ParseDuration(text)
		}
		if (err == nil) != (want != "") || got != wanted {
			t.Errorf("%q is %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestKindOf(t *testing.T) {
	for sport, want := range map[string]walking.Kind{
		"WALKING": walking.Walk, "NORDIC_WALKING": walking.Walk, "HIKING": walking.Hike, "RUNNING": walking.Run,
		"TRAIL_RUNNING": walking.Run, "CROSS-COUNTRY_RUNNING": walking.Run, "JOGGING": walking.Run, "DUATHLON_RUNNING": walking.Run,
		"WATER_RUNNING": walking.Other, "CYCLING": walking.Ride, "INDOOR_CYCLING": walking.Ride, "OFFROADDUATHLON_MOUNTAIN_BIKING": walking.Ride,
		"ORIENTEERING_MTB": walking.Other, "POOL_SWIMMING": walking.Swim, "OPEN_WATER_SWIMMING": walking.Swim, "SWIMMING": walking.Swim,
		"ROWING": walking.Row, "INDOOR_ROWING": walking.Row, "CROSS-TRAINER": walking.Elliptical, "CROSS_TRAINER": walking.Elliptical,
		"walking": walking.Walk, "GOLF": walking.Other, "OTHER": walking.Other, "": walking.Other, "TRIATHLON": walking.Other,
		"SNOWSHOE_TREKKING": walking.Other, "WATERSPORTS_WATERSKI": walking.Other, "_": walking.Other,
	} {
		if got := polar.KindOf(sport); got != want {
			t.Errorf("%s is %s, want %s", sport, got, want)
		}
	}
}

// FuzzFetch hands whatever the service may answer to a source, which makes of it a batch that can be, or an error.
func FuzzFetch(f *testing.F) {
	const d = "2026-10-25"
	f.Add("["+dayJSON(d, 25, "00:00 0", "01:59 10", "02:00 5", "02:30 0", "02:00 15", "03:00 0")+"]",
		`[{"start_time":"2026-10-25T02:30:00","duration":"PT1H2M","sport":"WALKING"}]`)
	f.Add("["+dayJSON(d, 1000)+"]", "[]")
	f.Add(`[{"start_time":"2026-10-25T08:15:30","samples":{"steps":null,"activity_zones":{"samples":[
		{"zone":"NON_WEAR","timestamp":"2026-10-25T00:08:30"},{"zone":"LIGHT","timestamp":"2026-10-25T09:00"}]}}}]`, "null")
	f.Add(`[{"steps":9e9,"end_time":"2026-10-25T23:59:59","samples":{"steps":{"interval_ms":1000,"samples":[
		{"steps":1,"timestamp":"0001-01-01T00:00"},{"steps":1,"timestamp":"9999-12-31T23:59"}]}}}]`, "[]")
	f.Fuzz(func(t *testing.T, days, exercises string) {
		s := newScript(t, map[string][]answer{activitiesPath: {ok(days)}, exercisesPath: {ok(exercises)}})
		r := request(berlin, d, d)
		r.Sessions = true
		b, _, err := s.fetch(r)
		if err != nil {
			var e *ingest.Error
			if !errors.As(err, &e) || diff(ingest.Batch{}, b) != "" {
				t.Errorf("%v, %+v", err, b)
			}
			return
		}
		for _, rs := range b.Records {
			for i, rec := range rs.Records {
				if err := ingest.CheckRecord(rec, r.Now); err != nil || !r.Window.Contains(rec.Start) {
					t.Errorf("%+v: %v", rec, err)
				}
				if i > 0 && (rec.Start.Before(rs.Records[i-1].Start) || rec == rs.Records[i-1]) {
					t.Errorf("%+v after %+v", rec, rs.Records[i-1])
				}
			}
		}
		for _, x := range b.Sessions {
			if err := ingest.CheckSession(x.Session, r.Now); err != nil || !r.Window.Contains(x.Start) {
				t.Errorf("%+v: %v", x, err)
			}
		}
		for _, u := range b.Unworn {
			if u.Empty() || u.Start.Before(r.Window.Start) || u.End.After(r.Window.End) {
				t.Errorf("unworn %+v", u)
			}
		}
		for _, c := range b.Covers {
			if c.Empty() || c.Start.Before(r.Window.Start) || c.End.After(r.Window.End) {
				t.Errorf("covers %+v", c)
			}
		}
		if b.Streams[0].SyncedThrough.After(r.Now) {
			t.Errorf("synced through %s", b.Streams[0].SyncedThrough)
		}
	})
}
