package googlehealth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

func TestRefusals(t *testing.T) {
	const (
		signUp = "sign in to the Google Health app with this Google account, and finish setting it up"
		update = "update walkd: the API may have changed"
		again  = "connect it again"

		enabled = " and wait a few minutes; if the console offers no such API, Google is not taking in new projects " +
			"at the moment"
	)
	page := "<!DOCTYPE html><title>Error</title>"
	from := func(status int, name string) answer {
		return answer{status: status, body: sample(t, "errors/"+name+".json")}
	}
	for _, test := range []struct {
		name   string
		answer answer
		class  ingest.Class
		err    string
		remedy string
		retry  time.Duration
	}{
		{
			name: "token", answer: from(401, "token"), class: ingest.Auth, remedy: again,
			err: `Google Health answered 401 Unauthorized: "The request had invalid authentication credentials."`,
		},
		{
			name: "token, with details", class: ingest.Auth, remedy: again,
			answer: answer{status: 401, body: `{"error":{"code":401,"message":"No.","status":"UNAUTHENTICATED","details":[{"@type":` +
				`"type.googleapis.com/google.rpc.ErrorInfo","reason":"ACCESS_TOKEN_EXPIRED","metadata":{"service":"x","n":"1"}}]}}`},
			err: `Google Health answered 401 Unauthorized: "No."`,
		},
		{
			name: "token, in few words", answer: answer{status: 401}, class: ingest.Auth, remedy: again,
			err: "Google Health answered 401 Unauthorized",
		},
		{
			name: "page for a token", answer: answer{status: 401, body: page}, class: ingest.Transient,
			err: "Google Health answered 401 Unauthorized with a web page, which is not Google's",
		},
		{
			name: "page for a right", answer: answer{status: 403, body: page}, class: ingest.Transient,
			err: "Google Health answered 403 Forbidden with a web page, which is not Google's",
		},
		{
			name: "scope", answer: from(403, "scope"), class: ingest.Auth,
			err: `Google Health: the consent lacks a right (the consent does not allow it: Google Health answered 403 ` +
				`Forbidden: "The request lacks authentication scopes.")`,
			remedy: "connect it again, and leave the box for activity and fitness data ticked",
		},
		{
			name: "disabled", answer: from(403, "disabled"), class: ingest.Permanent,
			err:    `Google Health: the API is not enabled in the project of the client ID (Google Health answered 403 Forbidden)`,
			remedy: "enable the Google Health API at https://console.developers.google.com/apis/api" + enabled,
		},
		{
			name: "disabled, with a strange address", class: ingest.Permanent,
			answer: answer{status: 403, body: strings.Replace(sample(t, "errors/disabled.json"), "google.com/apis", "google.example/apis", 1)},
			err:    `Google Health: the API is not enabled in the project of the client ID (Google Health answered 403 Forbidden)`,
			remedy: "enable the Google Health API in the Google Cloud console, under APIs & Services, Library" + enabled,
		},
		{
			name: "legacy", answer: from(403, "legacy"), class: ingest.Permanent,
			err: `Google Health: this is an old Fitbit account, which the API does not know (Google Health answered 403 ` +
				`Forbidden: "Could not mint UberMint from GaiaMint")`,
			remedy: "move the Fitbit account to a Google account in the Google Health app, and connect it again with that one",
		},
		{
			name: "lost", answer: from(403, "lost"), class: ingest.Auth,
			err: `Google Health: the consent has lost its effect (Google Health answered 403 Forbidden: ` +
				`"Permission denied on the resource.")`,
			remedy: "take the access away from walkd at https://myaccount.google.com/connections, and connect it again",
		},
		{
			name: "forbidden", class: ingest.Auth, remedy: again,
			answer: answer{status: 403, body: `{"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED"}}`},
			err:    `Google Health answered 403 Forbidden: "No."`,
		},
		{
			name: "not linked", answer: from(400, "account_not_linked"), class: ingest.Permanent,
			err: `Google Health: there is no health data with this Google account (Google Health answered 400 Bad Request: ` +
				`"This account is not linked to Google Health.")`,
			remedy: signUp + ", or go to https://fitbit.google.com/auth/signup",
		},
		{
			name: "filter", answer: from(400, "filter"), class: ingest.Permanent, remedy: update,
			err: `Google Health answered 400 Bad Request: "Cannot use the filter of the data points."`,
		},
		{
			name: "path", answer: answer{status: 404, body: page}, class: ingest.Permanent,
			err:    "Google Health answered 404 Not Found",
			remedy: "update walkd, or take api_url out of the config if it is there",
		},
		{
			name: "profile", answer: from(412, "profile"), class: ingest.Permanent, remedy: signUp,
			err: `Google Health: there is no health profile with this Google account (Google Health answered 412 ` +
				`Precondition Failed: "Precondition check failed.")`,
		},
		{
			name: "quota", answer: from(429, "quota"), class: ingest.Throttled,
			err: `Google Health answered 429 Too Many Requests: "Too many queries per minute and user."`,
		},
		{
			name: "quota with seconds", class: ingest.Throttled, retry: 70 * time.Second,
			answer: answer{status: 429, header: map[string]string{"Retry-After": "70"}},
			err:    "Google Health answered 429 Too Many Requests",
		},
		{
			name: "quota with a date", class: ingest.Throttled, retry: 90 * time.Second,
			answer: answer{status: 429, body: page, header: map[string]string{
				"Date": "Mon, 02 Nov 2026 10:00:00 GMT", "Retry-After": "Mon, 02 Nov 2026 10:01:30 GMT",
			}},
			err: "Google Health answered 429 Too Many Requests",
		},
		{
			name: "quota with details", class: ingest.Throttled, retry: 12 * time.Second,
			answer: answer{status: 429, body: `{"error":{"code":429,"details":[{"retryDelay":"12s"}]}}`},
			err:    "Google Health answered 429 Too Many Requests",
		},
		{
			name: "quota under another status", class: ingest.Throttled, retry: 5 * time.Second,
			answer: answer{
				status: 403, header: map[string]string{"Retry-After": "5"},
				body: `{"error":{"code":403,"details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}}`,
			},
			err: "Google Health answered 403 Forbidden",
		},
		{
			name: "internal", answer: from(500, "internal"), class: ingest.Transient,
			err: `Google Health answered 500 Internal Server Error: "There was an internal error."`,
		},
		{
			name: "unavailable", answer: answer{status: 503, body: page, header: map[string]string{"Retry-After": "30"}},
			class: ingest.Transient, retry: 30 * time.Second, err: "Google Health answered 503 Service Unavailable",
		},
		{
			name: "another code", answer: answer{status: 503, body: `{"error":{"code":400}}`}, class: ingest.Transient,
			err: "Google Health answered 503 Service Unavailable",
		},
		{
			name: "no content", answer: answer{status: 204}, class: ingest.Transient,
			err: "Google Health: the answer makes no sense: it has the status 204",
		},
		{
			name: "good status", class: ingest.Permanent, remedy: update,
			answer: answer{status: 200, body: `{"error":{"code":400,"message":"Bad."}}`},
			err:    `Google Health answered 400 Bad Request: "Bad."`,
		},
		{
			name: "good status and nothing else", answer: answer{status: 200, body: `{"error":{}}`}, class: ingest.Transient,
			err: "Google Health answered 500 Internal Server Error",
		},
		{
			name: "good status and a word", answer: answer{status: 200, body: `{"error":"denied"}`}, class: ingest.Transient,
			err: `Google Health: the answer makes no sense: a value is of the wrong type, string`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newGoogle(t, map[string][]answer{steps: {test.answer}}).fetch(request("11-02", "11-02"))
			var e *ingest.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want an *ingest.Error", err)
			}
			if e.Class != test.class || e.RetryAfter != test.retry || e.Remedy != test.remedy || e.Err.Error() != test.err {
				t.Errorf("got %s, after %s\n%s\n%s\nwant %s, after %s\n%s\n%s",
					e.Class, e.RetryAfter, e.Err, e.Remedy, test.class, test.retry, test.err, test.remedy)
			}
		})
	}
}

// What Google says is shown on one line, not at length, and without what it should not say.
func TestWords(t *testing.T) {
	long := strings.Repeat("long ", 100)
	for message, want := range map[string]string{
		`Two\nlines,\ta bell\u0007 and \u001b[31mred\u202e`: `: "Two lines, a bell and [31mred"`,
		long:                            `: "` + long[:199] + `…"`,
		`The token ya29.secret is bad.`: "",
		"":                              "",
	} {
		body := fmt.Sprintf(`{"error":{"code":500,"message":"%s"}}`, message)
		g := newGoogle(t, map[string][]answer{steps: {{status: 500, body: body}}})
		client := &http.Client{Transport: bearer("ya29.secret")}
		_, err := g.provider().Source(client).Fetch(t.Context(), request("11-02", "11-02"))
		if err == nil || err.Error() != "Google Health answered 500 Internal Server Error"+want {
			t.Errorf("%s: error %v, want %s", message, err, want)
		}
	}
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func TestSignUpAddress(t *testing.T) {
	for address, shown := range map[string]bool{
		"https://fitbit.google.com/auth/signup":          true,
		"https://google.com/":                            true,
		"http://fitbit.google.com/auth/signup":           false,
		"https://google.com.example.org/":                false,
		"https://evilgoogle.com/":                        false,
		"https://someone:secret@google.com/":             false,
		"https://google.com:8443/":                       false,
		"javascript:alert(1)":                            false,
		"https://google.com/" + strings.Repeat("a", 200): false,
		"": false,
	} {
		body := sample(t, "errors/account_not_linked.json")
		body = strings.Replace(body, "https://fitbit.google.com/auth/signup", address, 1)
		_, err := newGoogle(t, map[string][]answer{steps: {{status: 400, body: body}}}).fetch(request("11-02", "11-02"))
		var e *ingest.Error
		if !errors.As(err, &e) || strings.HasSuffix(e.Remedy, ", or go to "+address) != shown ||
			strings.Contains(e.Remedy, "go to") != shown {
			t.Errorf("%q: error %v, shown: want %t", address, err, shown)
		}
	}
}

// Without any answer the error is that of the client, for whoever made it to explain.
func TestNoAnswer(t *testing.T) {
	broken := errors.New("no route")
	g := newGoogle(t, nil)
	_, err := g.provider().Source(&http.Client{Transport: failing{broken}}).Fetch(t.Context(), request("11-02", "11-02"))
	if !errors.Is(err, broken) || errors.As(err, new(*ingest.Error)) {
		t.Errorf("error %v, want that of the transport", err)
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
