package polar_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/polar"
)

func TestConsentURL(t *testing.T) {
	p := newProvider(t)
	u, err := url.Parse(p.ConsentURL(ingest.Consent{State: "state", Verifier: "verifier"}))
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"client_id": {clientID}, "redirect_uri": {"http://localhost:8099/oauth/callback"}, "response_type": {"code"},
		"scope": {"accesslink.read_all"}, "state": {"state"},
	}
	page, _, _ := strings.Cut(u.String(), "?")
	if d := diff(want, u.Query()); d != "" || page != "https://flow.polar.com/oauth2/authorization" {
		t.Errorf("consent at %s (-want +got):\n%s", u, d)
	}
	if p.RedirectURL() != "http://localhost:8099/oauth/callback" || p.Application() != clientID {
		t.Errorf("application %q, redirected to %q", p.Application(), p.RedirectURL())
	}
	if d := diff([]string{clientSecret}, p.Secrets()); d != "" {
		t.Errorf("secrets (-want +got):\n%s", d)
	}
}

const granted = `{"access_token":"the-token","token_type":"bearer","expires_in":31535999,"x_user_id":10579}`

func (s *script) exchange() (ingest.Token, error) {
	return newProvider(s.t).Exchange(s.t.Context(), clientOf(s), ingest.Consent{State: "state", Verifier: "verifier"}, "the-code")
}

// A code becomes a token that does not end, and the person a user of the client.
func TestExchange(t *testing.T) {
	user := ok(`{"polar-user-id":2278512,"member-id":"walkd-x"}`)
	for name, answers := range map[string][]answer{
		"a new user": {user}, "no content": {{status: 204}}, "a user already": {{status: 409, body: `{"error":{}}`}},
		"a lost answer": {{lost: true}, {status: 409}}, "trouble": {{status: 503}, user}, "too many": {{status: 429}, user},
	} {
		s := newScript(t, map[string][]answer{tokenPath: {ok(granted)}, usersPath: answers})
		tries := len(answers)
		token, err := s.exchange()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := diff(ingest.Token{Access: "the-token", Account: "10579"}, token); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if len(s.asked) != 1+tries {
			t.Fatalf("%s: %v", name, s.questions())
		}
		form, err := url.ParseQuery(s.bodies[0])
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{
			"grant_type": {"authorization_code"}, "code": {"the-code"}, "redirect_uri": {"http://localhost:8099/oauth/callback"},
		}
		if d := diff(want, form); d != "" {
			t.Errorf("%s: the form (-want +got):\n%s", name, d)
		}
		q := s.asked[0]
		if id, secret, ok := q.BasicAuth(); !ok || id != clientID || secret != clientSecret || q.URL.Host != "polarremote.com" ||
			q.Header.Get("Accept") != "application/json;charset=UTF-8" {
			t.Errorf("%s: %s %v", name, q.URL, q.Header)
		}
		members := map[string]bool{}
		for i, q := range s.asked[1:] {
			var body map[string]string
			if err := json.Unmarshal([]byte(s.bodies[1+i]), &body); err != nil {
				t.Fatal(err)
			}
			members[body["member-id"]] = true
			if q.Method != http.MethodPost || q.Header.Get("Authorization") != "Bearer the-token" ||
				q.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(body["member-id"], "walkd-") ||
				len(body) != 1 || len(body["member-id"]) < 20 {
				t.Errorf("%s: %v %v", name, q.Header, body)
			}
		}
		if len(members) != 1 {
			t.Errorf("%s: registered as %v", name, members)
		}
	}
}

// The member ID of another user would be answered like the user's own, who would then be none.
func TestMemberIDIsNew(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		s := newScript(t, map[string][]answer{tokenPath: {ok(granted)}, usersPath: {{status: 204}}})
		if _, err := s.exchange(); err != nil {
			t.Fatal(err)
		}
		seen[s.bodies[1]] = true
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
}

func TestExchangeRefused(t *testing.T) {
	refused := func(code string) []answer { return []answer{{status: 400, body: `{"error":"` + code + `"}`}} }
	const later = "connect it again in a few minutes"
	for _, test := range []struct {
		name         string
		token, users []answer
		class        ingest.Class
		remedy, text string
	}{
		{"an old code", refused("invalid_grant"), nil, ingest.Auth, ingest.ConnectAgain, "the code was used already or has expired"},
		{"a wrong secret", refused("invalid_client"), nil, ingest.Auth, "check client_id and client_secret in the config", "is refused"},
		{"a wrong client", refused("unauthorized_client"), nil, ingest.Auth, "check client_id and client_secret in the config", "is refused"},
		{"a bad request", refused("invalid_request"), nil, ingest.Permanent, "", "access is refused"},
		{"a wrong scope", refused("invalid_scope"), nil, ingest.Permanent, "", "access is refused"},
		{"trouble", []answer{{status: 503}}, nil, ingest.Transient, "", "cannot give access now"},
		{"a web page", []answer{ok("<html>")}, nil, ingest.Transient, "", "makes no sense"},
		{"no answer", []answer{{lost: true}}, nil, ingest.Transient, "", "no answer"},
		{
			"no mandatory consents",
			[]answer{ok(granted)},
			[]answer{{status: 403, body: "{}"}},
			ingest.Auth,
			"accept all of Polar's mandatory consents at https://account.polar.com, and connect it again", "403",
		},
		{"no token after all", []answer{ok(granted)}, []answer{{status: 401, body: "{}"}}, ingest.Auth, ingest.ConnectAgain, "401"},
		{"a bad registration", []answer{ok(granted)}, []answer{{status: 400}}, ingest.Permanent, ingest.ConnectAgain, "400"},
		// The code is used up, so these are not of a class that tries it again.
		{"no registration now", []answer{ok(granted)}, []answer{{status: 503}}, ingest.Permanent, later, "503"},
		{"too many", []answer{ok(granted)}, []answer{{status: 429}}, ingest.Permanent, later, "429"},
		{"nobody there", []answer{ok(granted)}, []answer{{lost: true}}, ingest.Permanent, later, "the network is gone"},
		{"a login page", []answer{ok(granted)}, []answer{{status: 401, body: "<html>"}}, ingest.Permanent, later, "web page"},
	} {
		s := newScript(t, map[string][]answer{tokenPath: test.token, usersPath: test.users})
		token, err := s.exchange()
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class != test.class || e.Remedy != test.remedy || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %#v %v", test.name, e, err)
			continue
		}
		if d := diff(ingest.Token{}, token); d != "" {
			t.Errorf("%s: a token in spite of the error:\n%s", test.name, d)
		}
		for _, secret := range []string{clientSecret, "the-code", "the-token"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error holds a secret: %v", test.name, err)
			}
		}
	}
}

// There is nothing to renew. With the status the engine knows that it may ask again before the person has to.
func TestRefresh(t *testing.T) {
	s := newScript(t, nil)
	token, err := newProvider(t).Refresh(t.Context(), clientOf(s), ingest.Token{Access: "the-token"})
	var e *ingest.Error
	if !errors.As(err, &e) || e.Class != ingest.Auth || e.Status != http.StatusUnauthorized ||
		e.Remedy != ingest.ConnectAgain || len(s.asked) != 0 || diff(ingest.Token{}, token) != "" {
		t.Errorf("%+v, %v, %v", token, err, s.questions())
	}
}

func TestRevoke(t *testing.T) {
	const user = usersPath + "/10579"
	for _, test := range []struct {
		name         string
		account      string
		answer       answer
		class        ingest.Class // "" if it is ended
		text, remedy string
	}{
		{"ended", "10579", answer{status: 204}, "", "", ""},
		{"ended with words", "10579", ok("{}"), "", "", ""},
		{"ended before", "10579", answer{status: 401, body: `{"error":{}}`}, "", "", ""},
		{"a login page", "10579", answer{status: 401, body: "<html>"}, ingest.Transient, "web page", ""},
		{"another user", "10579", answer{status: 403, body: "{}"}, ingest.Permanent, "403", "end it yourself"},
		{"no such user", "10579", answer{status: 404}, ingest.Permanent, "404", "end it yourself"},
		{"trouble", "10579", answer{status: 503}, ingest.Transient, "503", ""},
		{"too many", "10579", answer{status: 429}, ingest.Throttled, "429", ""},
		{"from before the account was kept", "", answer{}, ingest.Permanent, "which user", "end it yourself: sign in at https://flow.polar.com"},
	} {
		s := newScript(t, map[string][]answer{user: {test.answer}})
		err := newProvider(t).Revoke(t.Context(), clientOf(s), ingest.Token{Access: "the-token", Account: test.account})
		var e *ingest.Error
		if errors.As(err, &e) != (test.class != "") || test.class == "" && err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if e != nil && (e.Class != test.class || !strings.HasPrefix(e.Remedy, test.remedy) || !strings.Contains(err.Error(), test.text)) {
			t.Errorf("%s: %#v %v", test.name, e, err)
		}
		if test.account == "" {
			if len(s.asked) > 0 {
				t.Errorf("%s: asked %v", test.name, s.questions())
			}
			continue
		}
		if q := s.asked[0]; len(s.asked) != 1 || q.Method != http.MethodDelete || q.Header.Get("Authorization") != "Bearer the-token" {
			t.Errorf("%s: %v, %s %v", test.name, s.questions(), q.Method, q.Header)
		}
	}
	s := newScript(t, map[string][]answer{user: {{lost: true}}})
	if err := newProvider(t).Revoke(t.Context(), clientOf(s), ingest.Token{Access: "the-token", Account: "10579"}); !errors.Is(err, errLost) {
		t.Errorf("lost: %v", err)
	}
}

func TestSpec(t *testing.T) {
	s := newProvider(t).Spec()
	if s.Service != "Polar" || s.MaxWindow.Hours() != 28*24 || s.LookBack.Hours() != 7*24 || len(s.Limits) != 2 {
		t.Errorf("%+v", s)
	}
	for _, l := range s.Limits {
		if !l.App {
			t.Errorf("%s is the limit of a user", l.Name)
		}
	}
}

func TestAllowance(t *testing.T) {
	for _, test := range []struct {
		usage, limit, reset string
		want                []ingest.Allowance
	}{
		{"3, 40", "520, 5100", "872, 80000", []ingest.Allowance{
			{Name: "15 minutes", Left: 517, Reset: 872e9}, {Name: "day", Left: 5060, Reset: 80000e9},
		}},
		{"521,5101", "520,5100", "0,1", []ingest.Allowance{{Name: "15 minutes"}, {Name: "day", Reset: 1e9}}},
		{"3", "520, 5100", "872, 80000", nil},
		{"3, 4, 5", "520, 5100", "872, 80000", nil},
		{"", "520, 5100", "872, 80000", nil},
		{"3, x", "520, 5100", "872, 80000", nil},
		{"3, 4", "520, -1", "872, 80000", nil},
		{"3, 4", "520, 5100", "99999999999, 1", nil},
	} {
		h := http.Header{}
		h.Set("RateLimit-Usage", test.usage)
		h.Set("RateLimit-Limit", test.limit)
		h.Set("RateLimit-Reset", test.reset)
		if d := diff(test.want, polar.Allowance(h)); d != "" {
			t.Errorf("%q of %q, %q (-want +got):\n%s", test.usage, test.limit, test.reset, d)
		}
	}
	h := http.Header{
		"Ratelimit-Usage": {"3", "40"}, "Ratelimit-Limit": {"520", "5100"}, "Ratelimit-Reset": {"1", "2"},
	}
	if got := polar.Allowance(h); len(got) != 2 || got[1].Left != 5060 {
		t.Errorf("in several lines: %v", got)
	}
}
