package oura_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/oura"
)

// Each refusal says what follows, in words for a person.
func TestRefusals(t *testing.T) {
	told := func(status int, title, detail string) string {
		return fmt.Sprintf(`{"status":%d,"title":%q,"detail":%q}`, status, title, detail)
	}
	wait := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	reset := func(after time.Duration) string { return fmt.Sprint(at(noon).Add(after).Unix()) }
	for _, test := range []struct {
		name   string
		answer answer
		class  ingest.Class
		remedy string // its beginning
		text   string
		after  time.Duration
	}{
		{
			name: "parameters", answer: answer{status: 400, body: told(400, "Invalid Query Parameters", "start_date: not a date")},
			class: ingest.Permanent, remedy: "update walkd", text: `400 Bad Request: "Invalid Query Parameters: start_date: not a date"`,
		},
		{
			name: "a token that has ended", answer: answer{status: 401, body: `{"status":401,"title":"Invalid Access Token","error":"invalid_token","error_description":"It has ended"}`},
			class: ingest.Auth, remedy: ingest.ConnectAgain, text: `401 Unauthorized: "Invalid Access Token: It has ended"`,
		},
		{
			name: "401 of something on the way", answer: answer{status: 401, body: "<html>Sign in</html>"},
			class: ingest.Transient, text: "with a web page, which is not Oura's",
		},
		{
			name: "a scope", answer: answer{status: 403, body: told(403, "Forbidden", "Missing required scopes: daily")},
			class: ingest.Auth, remedy: "connect it again, and leave the box for daily activity ticked", text: `Oura: the consent lacks a right (Oura answered 403 Forbidden: "Missing required scopes: daily")`,
		},
		{
			name: "a permission", answer: answer{status: 403, body: told(403, "Insufficient permissions", "")},
			class: ingest.Auth, remedy: "connect it again, and leave", text: "the consent lacks a right",
		},
		{
			name: "a membership", answer: answer{status: 403, body: told(403, "Forbidden", "User's Oura subscription has expired")},
			class: ingest.Permanent, remedy: "renew the Oura membership", text: "the Oura membership has lapsed",
		},
		{
			name: "one or the other", answer: answer{status: 403, body: told(403, "Forbidden", "The resource requires additional permissions or the subscription has expired")},
			class: ingest.Permanent, remedy: "renew the Oura membership if it has lapsed; if not, connect it again", text: "does not give out the data",
		},
		{
			name: "forbidden without a word", answer: answer{status: 403},
			class: ingest.Permanent, remedy: "renew the Oura membership if it has lapsed", text: "403 Forbidden",
		},
		{
			name: "403 of something on the way", answer: answer{status: 403, body: " <!doctype html>"},
			class: ingest.Transient, text: "with a web page",
		},
		{
			name: "nowhere", answer: answer{status: 404, body: `{"detail":"Not Found"}`},
			class: ingest.Permanent, remedy: "update walkd, or take api_url out of the config", text: "Oura answered 404 Not Found",
		},
		{
			name: "validation", answer: answer{status: 422, body: `{"detail":[{"loc":["query","start_date"],"msg":"invalid date format","type":"x"},{"msg":"and more"}]}`},
			class: ingest.Permanent, remedy: "update walkd", text: `"invalid date format: and more"`,
		},
		{
			name: "an old app", answer: answer{status: 426, body: told(426, "Upgrade Required", "The minimum app version is not met")},
			class: ingest.Permanent, remedy: "update the Oura app on your phone", text: "the Oura app is too old",
		},
		{name: "too many", answer: answer{status: 429, body: told(429, "Too Many Requests", "")}, class: ingest.Throttled, text: "429"},
		{
			name: "too many, for a time", answer: answer{status: 429, header: wait("Retry-After", "37", "X-RateLimit-Reset", reset(time.Hour))},
			class: ingest.Throttled, text: "429", after: 37 * time.Second,
		},
		{
			name: "too many, until a time", answer: answer{status: 429, header: wait("X-RateLimit-Reset", reset(90*time.Second))},
			class: ingest.Throttled, text: "429", after: 90 * time.Second,
		},
		{
			name: "too many, until a time that has gone", answer: answer{status: 429, header: wait("X-RateLimit-Reset", reset(-time.Minute))},
			class: ingest.Throttled, text: "429",
		},
		{
			name: "too many, for ever", answer: answer{status: 429, header: wait("X-RateLimit-Reset", "99999999999999")},
			class: ingest.Throttled, text: "429", after: 24 * time.Hour,
		},
		{name: "trouble", answer: answer{status: 500, body: "{"}, class: ingest.Transient, text: "500 Internal Server Error"},
		{name: "down", answer: answer{status: 503, header: wait("Retry-After", "9")}, class: ingest.Transient, text: "503", after: 9 * time.Second},
		{name: "a proxy", answer: answer{status: 502, body: "<html>"}, class: ingest.Transient, text: "502 Bad Gateway"},
		{name: "no content", answer: answer{status: 204}, class: ingest.Transient, text: "it has the status 204"},
		{name: "a login page", answer: answer{body: "<html>Sign in"}, class: ingest.Transient, text: "a web page instead of data"},
		{name: "cut off", answer: answer{body: `{"data":[{"day"`}, class: ingest.Transient, text: "no JSON, or not all of it"},
		{name: "nothing", answer: answer{}, class: ingest.Transient, text: "no JSON, or not all of it"},
	} {
		for _, path := range []string{activityPath, workoutPath} {
			s := &script{t: t, answers: map[string][]answer{activityPath: {{body: nothing}}, workoutPath: {{body: nothing}}}}
			s.answers[path] = []answer{test.answer}
			b, err := s.fetch(request(18, 20))
			if path == workoutPath && test.answer.status == 403 && test.class != ingest.Transient {
				if err != nil || b.Covers[0].Part != ingest.RecordsOnly {
					t.Errorf("%s at the workouts: %+v, error %v", test.name, b.Covers, err)
				}
				continue
			}
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != test.class || !strings.HasPrefix(e.Remedy, test.remedy) ||
				test.remedy == "" && e.Remedy != "" || !strings.Contains(e.Err.Error(), test.text) || e.RetryAfter != test.after {
				t.Errorf("%s: %#v, %v", test.name, e, err)
			}
			if len(b.Covers) > 0 {
				t.Errorf("%s: a batch", test.name)
			}
		}
	}
}

// What Oura says is shown, but not a token, and not at length.
func TestShownWords(t *testing.T) {
	for detail, want := range map[string]string{
		"the-token is not good":   `Oura answered 400 Bad Request`,
		"a\nb\u0000c":             `Oura answered 400 Bad Request: "a bc"`,
		strings.Repeat("x", 5000): `Oura answered 400 Bad Request: "` + strings.Repeat("x", 199) + `…"`,
	} {
		s := &script{t: t, answers: map[string][]answer{activityPath: {{status: 400, body: fmt.Sprintf(`{"detail":%q}`, detail)}}}}
		s.answers[activityPath][0].body = strings.ReplaceAll(s.answers[activityPath][0].body, `\x00`, `\u0000`)
		_, err := s.fetch(request(18, 20))
		var e *ingest.Error
		if !errors.As(err, &e) || e.Err.Error() != want {
			t.Errorf("%.30q: %v", detail, err)
		}
	}
}

func TestAllowance(t *testing.T) {
	now := at(noon)
	head := func(tier, reset string) http.Header {
		h := http.Header{}
		h.Set("Date", now.Format(http.TimeFormat))
		h.Set("X-RateLimit-Limit", "5000")
		h.Set("X-RateLimit-Window", "300")
		h.Set("X-RateLimit-Tier", tier)
		h.Set("X-RateLimit-Reset", reset)
		return h
	}
	until := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
	for _, test := range []struct {
		name string
		h    http.Header
		want []ingest.Allowance
	}{
		{"nothing", http.Header{}, nil},
		{"the application", head("application", until(200*time.Second)), []ingest.Allowance{{Name: "5 minutes", Reset: 200 * time.Second}}},
		{"the app", head("per-App", until(time.Second)), []ingest.Allowance{{Name: "5 minutes", Reset: time.Second}}},
		{"a token", head("access_token", until(time.Minute)), nil},
		{"over", head("application", until(-time.Second)), nil},
		{"no time", head("application", "soon"), nil},
	} {
		if d := diff(test.want, oura.Allowance(test.h)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
}
