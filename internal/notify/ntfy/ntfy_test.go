package ntfy_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/notify/notifytest"
	"github.com/walkd/walkd/internal/notify/ntfy"
	"github.com/walkd/walkd/internal/notify/ntfy/ntfytest"
)

const (
	topic    = "alex-8fj2k3nd"
	token    = "tk_f3gh7wq92mzlpay5"
	password = "correct horse battery"
)

// serve runs a server and returns the settings for it.
func serve(t *testing.T, handler http.Handler) *ntfy.Settings {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	s := ntfy.Defaults()
	s.URL = server.URL + "/" + topic
	return s
}

func channel(t *testing.T, s *ntfy.Settings) notify.Channel {
	t.Helper()
	s.Check(func(key, what, want string) { t.Fatalf("%s: %s; want %s", key, what, want) })
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := s.Channel(&http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func private() ntfytest.Options {
	return ntfytest.Options{Private: true, Users: []ntfytest.User{
		{Name: "walkd", Password: password, Token: token, Write: []string{topic}},
		{Name: "root", Token: "tk_root", Admin: true},
	}}
}

func TestConforms(t *testing.T) {
	for _, version := range []string{"2.11.0", "2.17.0"} {
		t.Run(version, func(t *testing.T) {
			notifytest.Conform(t, func(t *testing.T) notifytest.World {
				o := private()
				o.Version = version
				server := ntfytest.New(o)
				var revoked sync.Mutex // guards deny
				var deny http.HandlerFunc
				settings := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					revoked.Lock()
					h := http.Handler(server)
					if deny != nil {
						h = deny
					}
					revoked.Unlock()
					h.ServeHTTP(w, r)
				}))
				settings.Token = token
				answer := func(status int, header, value, body string) func() {
					return func() {
						revoked.Lock()
						defer revoked.Unlock()
						deny = func(w http.ResponseWriter, _ *http.Request) {
							if header != "" {
								w.Header().Set(header, value)
							}
							w.WriteHeader(status)
							_, _ = io.WriteString(w, body)
						}
					}
				}
				fault := func(f ntfytest.Fault) func() { return func() { server.Fail(f) } }
				return notifytest.World{
					Channel: channel(t, settings), Secrets: []string{topic, token, password, settings.URL}, Limit: 4095,
					Shown: func() []notifytest.Seen {
						var seen []notifytest.Seen
						for _, m := range server.Shown(topic) {
							seen = append(seen, notifytest.Seen{Title: m.Title, Body: m.Message})
						}
						return seen
					},
					Hang: fault(ntfytest.Slow),
					Spoil: map[string]notifytest.Spoil{
						"500":                  {Do: fault(ntfytest.Internal), Want: notify.Failed},
						"502 with a page":      {Do: fault(ntfytest.BadGateway), Want: notify.Failed},
						"503":                  {Do: answer(503, "Retry-After", "120", ""), Want: notify.Failed, Wait: 2 * time.Minute},
						"504":                  {Do: fault(ntfytest.GatewayTimeout), Want: notify.Unknown},
						"login page":           {Do: fault(ntfytest.Portal), Want: notify.Failed},
						"redirect to a login":  {Do: fault(ntfytest.Redirected), Want: notify.Failed},
						"JSON that is no ntfy": {Do: answer(200, "", "", "[]"), Want: notify.Failed},
						"dropped":              {Do: fault(ntfytest.Dropped), Want: notify.Unknown},
						"truncated":            {Do: fault(ntfytest.Truncated), Want: notify.Unknown},
						"400 with the topic": {
							Do: answer(400, "", "", `{"code":40009,"http":400,"error":"invalid topic `+topic+`"}`), Want: notify.Rejected,
						},
						"401":            {Do: answer(401, "", "", `{"code":40101,"error":"unauthorized"}`), Want: notify.Rejected},
						"403":            {Do: answer(403, "", "", `{"code":40301,"error":"forbidden"}`), Want: notify.Rejected},
						"404":            {Do: answer(404, "", "", `{"code":40401,"error":"page not found"}`), Want: notify.Rejected},
						"401 of a proxy": {Do: answer(401, "", "", "<html>log in</html>"), Want: notify.Failed},
						"403 of a proxy": {Do: answer(403, "", "", "<html>just a moment</html>"), Want: notify.Failed},
						"404 of a proxy": {Do: answer(404, "", "", "404 page not found"), Want: notify.Failed},
						"413":            {Do: answer(413, "", "", `{"code":41303,"error":"JSON body too large"}`), Want: notify.Rejected},
						"429":            {Do: answer(429, "", "", "slow down"), Want: notify.Throttled},
						"429 in seconds": {
							Do: answer(429, "Retry-After", "7", `{"code":42901}`), Want: notify.Throttled, Wait: 7 * time.Second,
						},
						"429 that would never end": {
							Do: answer(429, "Retry-After", "9999999999", ""), Want: notify.Throttled, Wait: 24 * time.Hour,
						},
					},
				}
			})
		})
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	s := ntfy.Defaults()
	s.URL = server.URL + "/" + topic
	server.Close()
	_, err := channel(t, s).Send(t.Context(), notify.Message{ID: "x", Body: "y"})
	if failure := failureOf(t, err); failure.Outcome != notify.Failed || strings.Contains(err.Error(), topic) {
		t.Errorf("got %v", err)
	}
}

func failureOf(t *testing.T, err error) *notify.Error {
	t.Helper()
	var failure *notify.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, want a *notify.Error", err)
	}
	return failure
}

// TestRefused has each reason for which a real server takes no message from this client.
func TestRefused(t *testing.T) {
	now := time.Date(2026, 11, 21, 14, 10, 0, 0, time.UTC)
	for _, test := range []struct {
		name   string
		server func(*ntfytest.Options)
		client func(*ntfy.Settings)
		before int // messages that were taken
		want   notify.Error
		text   string
	}{{
		name: "no token", client: func(s *ntfy.Settings) { s.Token = "" },
		want: notify.Error{
			Outcome: notify.Rejected, Remedy: "not everybody may write to this topic: set token, or user and password",
		},
		text: "ntfy: the server answered 403: forbidden",
	}, {
		name: "wrong token", client: func(s *ntfy.Settings) { s.Token = "tk_old" },
		want: notify.Error{
			Outcome: notify.Rejected, Remedy: "make a new token on the server, or correct user and password",
		},
		text: "ntfy: the server answered 401: unauthorized",
	}, {
		name: "another topic", client: func(s *ntfy.Settings) { s.URL += "x" },
		want: notify.Error{
			Outcome: notify.Rejected, Remedy: "give this account the right to write to the topic, or take another topic",
		},
		text: "ntfy: the server answered 403: forbidden",
	}, {
		name:   "a name that is not a topic",
		client: func(s *ntfy.Settings) { s.URL = strings.Replace(s.URL, topic, "docs", 1) },
		want:   notify.Error{Outcome: notify.Rejected, Remedy: "correct url"},
		text:   "ntfy: the server answered 400: invalid request: topic name is not allowed",
	}, {
		name: "too many requests", server: func(o *ntfytest.Options) { o.Burst = 2 }, before: 2,
		want: notify.Error{Outcome: notify.Throttled, RetryAfter: time.Minute},
		text: "ntfy: the server answered 429: limit reached: too many requests, please be nice",
	}, {
		name: "too many today", server: func(o *ntfytest.Options) { o.Daily = 3 }, before: 3,
		want: notify.Error{
			Outcome: notify.Throttled, RetryAfter: time.Hour,
			Remedy: "the day's messages are used up: a token of an account may have more",
		},
		text: "ntfy: the server answered 429: limit reached: daily message quota reached",
	}} {
		t.Run(test.name, func(t *testing.T) {
			o := private()
			o.Now = func() time.Time { return now }
			if test.server != nil {
				test.server(&o)
			}
			server := ntfytest.New(o)
			s := serve(t, server)
			s.Token = token
			if test.client != nil {
				test.client(s)
			}
			c := channel(t, s)
			for i := range test.before {
				if _, err := c.Send(t.Context(), notify.Message{ID: fmt.Sprint(i), Body: "y"}); err != nil {
					t.Fatal(err)
				}
			}
			_, err := c.Send(t.Context(), notify.Message{ID: "x", Body: "y"})
			got := *failureOf(t, err)
			text := got.Err.Error()
			got.Err = nil
			if diff := cmp.Diff(test.want, got); diff != "" || text != test.text {
				t.Errorf("%q (-want +got):\n%s", text, diff)
			}
			if n := len(server.Stored(topic)); n != test.before {
				t.Errorf("%d messages are stored, want %d", n, test.before)
			}
		})
	}
}

// TestCutsNoSecretInTwo covers a server that repeats the topic just where its words are cut: half a secret is no
// longer found, and half gives away half.
func TestCutsNoSecretInTwo(t *testing.T) {
	for n := 170; n < 200; n++ {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"code":40009,"error":"%s %s"}`, strings.Repeat("x", n), topic)
		}))
		_, err := channel(t, s).Send(t.Context(), notify.Message{ID: "x", Body: "y"})
		if got := failureOf(t, err); strings.Contains(got.Error(), topic[:3]) {
			t.Fatalf("after %d bytes: %v", n, got)
		}
	}
}

func TestSends(t *testing.T) {
	server := ntfytest.New(private())
	s := serve(t, server)
	s.User, s.Password, s.Priority = "walkd", password, 4
	c := channel(t, s)
	receipt, err := c.Send(t.Context(), notify.Message{
		ID: "Zoë/behind/2026-11-21", Title: "  two\nlines ", Body: "text",
		Tags: []string{"walking", strings.Repeat("x", 600)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), notify.Message{ID: "2", Title: strings.Repeat("é", 2000)}); err != nil {
		t.Fatal(err)
	}
	// What takes more room in JSON than in the message, which is longer than the server allows as it is.
	for i, text := range []string{"<&>", "\x01\x02x", "\"\\\n", "\xff", "\u2028"} {
		m := notify.Message{ID: fmt.Sprint(i), Body: "x" + strings.Repeat(text, 4096)}
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Errorf("many %q: %v", text, err)
		}
	}
	got := server.Stored(topic)[:2]
	if receipt.ID == "" || receipt.ID != got[0].SequenceID || strings.Contains(receipt.ID, "Zo") {
		t.Fatalf("stored %+v, receipt %q", got, receipt.ID)
	}
	for i := range got {
		got[i].ID, got[i].SequenceID, got[i].Time, got[i].Expires = "", "", 0, 0
	}
	want := []ntfytest.Message{
		{Event: "message", Topic: topic, Title: "two lines", Message: "text", Priority: 4, Tags: []string{"walking"}},
		{Event: "message", Topic: topic, Message: strings.Repeat("é", 498) + "…", Priority: 4},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// TestReplaces covers how it is found out whether a message sent twice is shown once.
func TestReplaces(t *testing.T) {
	for _, test := range []struct {
		version, token string
		before, after  bool // the first message
	}{
		{"2.11.0", token, false, false},
		{"2.16.0", token, false, true},
		{"2.17.0", token, false, true},
		{"2.17.0", "tk_root", true, true},
		{"3.0.1", "tk_root", true, true},
		{"2.16.0", "tk_root", false, true}, // it does not tell its version
	} {
		t.Run(test.version+test.token, func(t *testing.T) {
			o := private()
			o.Version = test.version
			var mu sync.Mutex
			asked := 0
			server := ntfytest.New(o)
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				if strings.HasPrefix(r.URL.Path, "/v1/") {
					asked++
				}
				mu.Unlock()
				server.ServeHTTP(w, r)
			}))
			s.Token = test.token
			c := channel(t, s)
			for range 3 {
				if got := c.Replaces(t.Context()); got != test.before {
					t.Errorf("before the first message: %t", got)
				}
			}
			if _, err := c.Send(t.Context(), notify.Message{ID: "x", Body: "y"}); err != nil {
				t.Fatal(err)
			}
			if got := c.Replaces(t.Context()); got != test.after {
				t.Errorf("after the first message: %t", got)
			}
			mu.Lock()
			defer mu.Unlock()
			if asked != 1 {
				t.Errorf("the server was asked for its version %d times, want once", asked)
			}
		})
	}
}

// TestReplacesIsAskedAgain covers a server that was down when it was asked for its version.
func TestReplacesIsAskedAgain(t *testing.T) {
	asked := 0
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"version":"2.17.0"}`)
	}))
	c := channel(t, s)
	if first, second := c.Replaces(t.Context()), c.Replaces(t.Context()); first || !second {
		t.Errorf("first %t, then %t", first, second)
	}
}

// TestHTTPS covers a server that sends everybody from http to https: the token must not follow.
func TestHTTPS(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
	}))
	_, err := channel(t, s).Send(t.Context(), notify.Message{ID: "x", Body: "y"})
	if got := failureOf(t, err); got.Outcome != notify.Rejected || got.Remedy != "write https:// in url" {
		t.Errorf("got %v", got)
	}
}

func TestRetryAfterAsDate(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		at := time.Now().UTC()
		w.Header().Set("Date", at.Format(http.TimeFormat))
		w.Header().Set("Retry-After", at.Add(90*time.Second).Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	_, err := channel(t, s).Send(t.Context(), notify.Message{ID: "x", Body: "y"})
	if got := failureOf(t, err); got.Outcome != notify.Throttled || got.RetryAfter != 90*time.Second {
		t.Errorf("got %v after %s", got, got.RetryAfter)
	}
}

func TestCheck(t *testing.T) {
	const url = "https://ntfy.example/" + topic
	for _, test := range []struct {
		name string
		s    ntfy.Settings
		want []string
	}{
		{"fine", ntfy.Settings{URL: url, Token: token, Priority: 1}, nil},
		{"slash at the end", ntfy.Settings{URL: url + "/", Priority: 5}, nil},
		{"user", ntfy.Settings{URL: url, User: "a", Password: "b", Priority: 5}, nil},
		{"missing", ntfy.Settings{Priority: 3}, []string{"url: missing"}},
		{"no address", ntfy.Settings{URL: "https://[" + topic, Priority: 3}, []string{"url: this is not an address"}},
		{"no scheme", ntfy.Settings{URL: "ntfy.sh/" + topic, Priority: 3}, []string{
			"url: this is not an address of the web",
		}},
		{"no topic", ntfy.Settings{URL: "https://ntfy.sh", Priority: 3}, []string{
			"url: the part after the server is no topic: it has up to 64 letters, digits, - and _",
		}},
		{"path", ntfy.Settings{URL: "https://ntfy.sh/x/" + topic, Priority: 3}, []string{
			"url: the part after the server is no topic: it has up to 64 letters, digits, - and _",
		}},
		{"query", ntfy.Settings{URL: url + "?auth=x", Priority: 3}, []string{"url: there is something after the topic"}},
		{"password", ntfy.Settings{URL: "https://a:" + token + "@ntfy.sh/x", Priority: 3}, []string{
			"url: there is a password in the address: it belongs into user and password",
		}},
		{"both", ntfy.Settings{URL: url, Token: token, User: "a", Password: "b", Priority: 3}, []string{
			"token: there is a user or a password as well",
		}},
		{"half", ntfy.Settings{URL: url, User: "a", Priority: 3}, []string{
			"user: user and password belong together, and one is missing",
		}},
		{"line break", ntfy.Settings{URL: url, Token: token + "\n", Priority: 0}, []string{
			"token: there is a control character or a line break in it", "priority: 0 is out of range",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			test.s.Check(func(key, what, want string) {
				got = append(got, key+": "+what)
				for _, secret := range []string{topic, token} {
					if strings.Contains(what+want, secret) {
						t.Errorf("%q is shown in %q", secret, what+want)
					}
				}
			})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if _, err := test.s.Channel(http.DefaultClient); test.want == nil && err != nil ||
				err != nil && strings.Contains(err.Error(), topic) {
				t.Error(err)
			}
		})
	}
}

func TestSettingsShowNoSecret(t *testing.T) {
	s := &ntfy.Settings{URL: "https://ntfy.sh/" + topic, Token: token, Password: password, Priority: 3}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "settings", s)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", s, s, s, s), log.String()} {
		for _, secret := range []string{topic, token, password} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is shown: %s", secret, text)
			}
		}
	}
}
