package googlehealth_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
)

// Of several trackers the one that synced longest ago says how far everything is there, unless it is in a drawer.
func TestInUse(t *testing.T) {
	now := at("2026-11-20T12:00:00Z")
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, test := range []struct {
		name  string
		times []time.Time
		want  time.Time // to the millisecond
		exact bool
	}{
		{name: "none", exact: true},
		{name: "one", times: []time.Time{ago(time.Hour)}, want: ago(time.Hour), exact: true},
		{name: "one in a drawer alone", times: []time.Time{ago(1000 * time.Hour)}, want: ago(1000 * time.Hour), exact: true},
		{name: "at the same time", times: []time.Time{ago(time.Hour), ago(time.Hour)}, want: ago(time.Hour), exact: true},
		{name: "the watch is stale", times: []time.Time{ago(5 * time.Hour), ago(time.Minute)}, want: ago(5 * time.Hour)},
		{name: "in another order", times: []time.Time{ago(time.Minute), ago(2 * time.Hour), ago(5 * time.Hour)}, want: ago(5 * time.Hour)},
		{
			name: "in a drawer since a month", times: []time.Time{ago(720 * time.Hour), ago(23 * time.Hour)},
			want: ago(23 * time.Hour), exact: true,
		},
		{
			name: "one in a drawer, one stale", times: []time.Time{ago(720 * time.Hour), ago(time.Hour), ago(time.Minute)},
			want: ago(time.Hour),
		},
		{name: "not long enough in the drawer", times: []time.Time{ago(googlehealth.InDrawer), now}, want: ago(googlehealth.InDrawer)},
		{name: "just long enough", times: []time.Time{ago(googlehealth.InDrawer + 1), now}, want: now, exact: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := googlehealth.InUse(test.times)
			late := got.Sub(test.want)
			if got.IsZero() != test.want.IsZero() || late < 0 || late >= time.Millisecond || test.exact && late != 0 {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	// Whatever syncs moves the answer: else its data would not be fetched.
	stale := ago(10 * time.Hour)
	before := googlehealth.InUse([]time.Time{stale, now})
	if same := googlehealth.InUse([]time.Time{now, stale}); !same.Equal(before) {
		t.Errorf("asked again %s, want %s", same, before)
	}
	for _, later := range []time.Duration{time.Second, time.Minute, 15 * time.Minute, 24 * time.Hour} {
		if got := googlehealth.InUse([]time.Time{stale, now.Add(later)}); got.Equal(before) {
			t.Errorf("a sync %s later is not seen", later)
		}
	}
}

func TestDescribe(t *testing.T) {
	oslo := ok(sample(t, "settings.json"))
	refused := answer{status: http.StatusForbidden, body: sample(t, "errors/scope.json")}
	tracker := func(more string) string {
		return `{"deviceType":"TRACKER","lastSyncTime":"2026-11-20T08:00:00Z"` + more + `}`
	}
	list := func(devices ...string) answer { return ok(`{"pairedDevices":[` + strings.Join(devices, ",") + `]}`) }
	synced := at("2026-11-20T08:00:00Z")
	for _, test := range []struct {
		name              string
		devices, settings answer
		want              []ingest.Device
		zone              string
	}{
		{
			name: "several", devices: ok(sample(t, "devices.json")), settings: oslo, zone: "Europe/Oslo",
			want: []ingest.Device{
				{Name: "Pixel Watch 4", Synced: at("2026-10-26T07:15:00Z").Add(250 * time.Millisecond), Battery: "85 %"},
				{Name: "Charge 5", Synced: at("2025-03-01T10:00:00Z")},
			},
		},
		{
			name: "in another order", settings: oslo, zone: "Europe/Oslo",
			devices: list(strings.ReplaceAll(tracker(`,"deviceVersion":"old"`), "08:00", "07:59"), tracker(`,"deviceVersion":"new"`)),
			want:    []ingest.Device{{Name: "new", Synced: synced}, {Name: "old", Synced: synced.Add(-time.Minute)}},
		},
		{name: "none", devices: ok(`{}`), settings: oslo, zone: "Europe/Oslo"},
		{
			name: "the battery in words", devices: list(tracker(`,"batteryStatus":"Low","batteryLevel":0`)), settings: oslo,
			zone: "Europe/Oslo", want: []ingest.Device{{Name: "a tracker", Synced: synced, Battery: "low"}},
		},
		{
			name: "odd values", settings: oslo, zone: "Europe/Oslo",
			devices: list(tracker(`,"deviceVersion":" Inspire\n3 ","batteryLevel":"61"`), tracker(`,"batteryLevel":{"of":3}`), tracker(`,"batteryLevel":-7`)),
			want: []ingest.Device{
				{Name: "Inspire 3", Synced: synced, Battery: "61 %"}, {Name: "a tracker", Synced: synced}, {Name: "a tracker", Synced: synced},
			},
		},
		{name: "no zone", devices: list(tracker("")), settings: ok(`{}`), want: []ingest.Device{{Name: "a tracker", Synced: synced}}},
		{name: "strange zone", devices: ok(`{}`), settings: ok(`{"timeZone":"Mars/Olympus"}`)},
		{name: "no right to see devices", devices: refused},
		{name: "no right to see settings", devices: list(tracker("")), settings: refused, want: []ingest.Device{{Name: "a tracker", Synced: synced}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := newGoogle(t, map[string][]answer{devices: {test.devices}, settings: {test.settings}}).source()
			got, err := describer(s)(t.Context())
			zone := ""
			if got.Zone != nil {
				zone, got.Zone = got.Zone.String(), nil
			}
			if d := diff(ingest.Description{Devices: test.want}, got); err != nil || d != "" || zone != test.zone {
				t.Errorf("error %v, zone %q, want %q; (-want +got):\n%s", err, zone, test.zone, d)
			}
		})
	}
	for name, answers := range map[string]map[string][]answer{
		"devices":  {devices: {{status: 500}}},
		"settings": {devices: {ok(`{}`)}, settings: {{status: 412, body: sample(t, "errors/profile.json")}}},
	} {
		s, _ := newGoogle(t, answers).source()
		got, err := describer(s)(t.Context())
		if d := diff(ingest.Description{}, got); !errors.As(err, new(*ingest.Error)) || d != "" {
			t.Errorf("%s: error %v, (-want +got):\n%s", name, err, d)
		}
	}
}

// That a right is missing is said once, and again when it was there in between.
func TestLackOfSettingsIsSaid(t *testing.T) {
	refused := answer{status: http.StatusForbidden, body: sample(t, "errors/scope.json")}
	scope := activity
	g := newGoogle(t, map[string][]answer{devices: {refused}, settings: {refused}})
	keys := tokens(t, &scope)
	keys.APIURL = g.url
	p := keys.Provider("watch").(*googlehealth.Provider) //nolint:errcheck,forcetypeassert // a test may panic
	var log bytes.Buffer
	p.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
	said := func(want int) {
		t.Helper()
		if got := strings.Count(log.String(), "leave the box for settings ticked"); got != want {
			t.Errorf("said %d times, want %d:\n%s", got, want, &log)
		}
	}
	s := p.Source(http.DefaultClient)
	for range 2 {
		if _, err := probe(s)(t.Context()); err != nil {
			t.Fatal(err)
		}
		said(1)
	}
	refresh := func() {
		t.Helper()
		if _, err := p.Refresh(t.Context(), http.DefaultClient, ingest.Token{Refresh: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	said(1)
	scope = activity + " " + preferences
	refresh()
	said(1)
	scope = activity
	refresh()
	said(2)
}

func TestRevoke(t *testing.T) {
	const takeBack = "take the access away from walkd at https://myaccount.google.com/connections"
	for _, test := range []struct {
		name   string
		answer answer
		class  ingest.Class // "": it has ended
		err    string
		retry  time.Duration
	}{
		{name: "ended", answer: ok(`{}`)},
		{name: "without words", answer: ok("")},
		{name: "had ended", answer: answer{status: 400, body: `{"error":"invalid_token","error_description":"Token expired or revoked"}`}},
		{
			name: "refused", class: ingest.Permanent, answer: answer{status: 400, body: `{"error":"invalid_request"}`},
			err: "Google Health: the consent is not ended: Google Health answered 400 Bad Request",
		},
		{
			name: "a page", class: ingest.Transient, answer: ok("<html>Sign in"),
			err: "Google Health: the answer to the end of the consent makes no sense (status 200)",
		},
		{
			name: "a page with a status", class: ingest.Transient, answer: answer{status: 403, body: "<html>"},
			err: "Google Health: the answer to the end of the consent makes no sense (status 403)",
		},
		{
			name: "an error in good words", class: ingest.Transient, answer: ok(`{"error":"later"}`),
			err: "Google Health: the answer to the end of the consent makes no sense (status 200)",
		},
		{
			name: "too many", class: ingest.Throttled, retry: 7 * time.Second,
			answer: answer{status: 429, body: `{}`, header: map[string]string{"Retry-After": "7"}},
			err:    "Google Health: the consent is not ended: Google Health answered 429 Too Many Requests",
		},
		{
			name: "trouble", class: ingest.Transient, answer: answer{status: 503, body: "<html>"},
			err: "Google Health: the consent is not ended: Google Health answered 503 Service Unavailable",
		},
		{
			name: "half of it", class: ingest.Transient, answer: answer{header: map[string]string{"Content-Length": "100"}, body: `{`},
			err: "Google Health: the answer to the end of the consent broke off: unexpected EOF",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.RawQuery != "" {
					t.Errorf("%s %s, error %v", r.Method, r.URL, err)
				}
				asked = append(asked, fmt.Sprint(r.URL.Path, " ", r.PostForm.Encode(), r.Header.Get("Authorization")))
				for k, v := range test.answer.header {
					w.Header().Set(k, v)
				}
				if test.answer.status != 0 {
					w.WriteHeader(test.answer.status)
				}
				_, _ = w.Write([]byte(test.answer.body))
			}))
			defer server.Close()
			keys := googlehealth.Defaults()
			keys.RevokeURL = server.URL + "/revoke"
			p := keys.Provider("watch").(ingest.Revoker) //nolint:errcheck,forcetypeassert // a test may panic
			err := p.Revoke(t.Context(), http.DefaultClient, ingest.Token{Access: "ya29.a", Refresh: "1//r"})
			if d := diff([]string{"/revoke token=1%2F%2Fr"}, asked); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
			if test.class == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != test.class || e.RetryAfter != test.retry || e.Err.Error() != test.err || e.Remedy != takeBack {
				t.Errorf("error %v, want %s, %s: %s", err, test.class, test.err, takeBack)
			}
		})
	}
	t.Run("no answer", func(t *testing.T) {
		keys := googlehealth.Defaults()
		p := keys.Provider("watch").(ingest.Revoker) //nolint:errcheck,forcetypeassert // a test may panic
		token := ingest.Token{Access: "ya29.alone"}
		broken := &http.Client{Transport: failing{errors.New("no route")}}
		err := p.Revoke(t.Context(), broken, token)
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class != ingest.Transient || e.Err.Error() != "Google Health: no answer when asked to end the consent: no route" {
			t.Errorf("error %v", err)
		}
		known := &ingest.Error{Class: ingest.Throttled, Err: errors.New("held back")}
		if err := p.Revoke(t.Context(), &http.Client{Transport: failing{known}}, token); !errors.Is(err, known) {
			t.Errorf("error %v, want that of the client", err)
		}
		if err := p.Revoke(t.Context(), broken, ingest.Token{}); err != nil {
			t.Errorf("without any token: %v", err)
		}
		if _, err := url.Parse(keys.RevokeURL); err != nil || keys.RevokeURL != "https://oauth2.googleapis.com/revoke" {
			t.Errorf("asked at %s", keys.RevokeURL)
		}
	})
}
