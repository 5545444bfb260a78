package withings_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/withings"
	"github.com/walkd/walkd/internal/pull/pulltest"
)

func TestConsentURL(t *testing.T) {
	s := withings.Defaults()
	s.ClientID, s.ClientSecret = clientID, clientSecret
	p := s.Provider("watch").(ingest.Authorizer)
	u, err := url.Parse(p.ConsentURL(ingest.Consent{State: "state", Verifier: "verifier"}))
	if err != nil {
		t.Fatal(err)
	}
	page, _, _ := strings.Cut(u.String(), "?")
	if d := diff(url.Values{
		"client_id": {clientID}, "redirect_uri": {"http://localhost:8099/oauth/callback"}, "response_type": {"code"},
		"scope": {"user.info,user.activity"}, "state": {"state"},
	}, u.Query()); d != "" || page != "https://account.withings.com/oauth2_user/authorize2" {
		t.Errorf("consent at %s (-want +got):\n%s", u, d)
	}
	if p.RedirectURL() != "http://localhost:8099/oauth/callback" || p.Application() != clientID {
		t.Errorf("application %q, redirected to %q", p.Application(), p.RedirectURL())
	}
	if d := diff([]string{clientSecret}, p.Secrets()); d != "" {
		t.Errorf("secrets (-want +got):\n%s", d)
	}
}

// request asks s for a token with a code, or by renewing before.
func (s *script) token(before *ingest.Token) (ingest.Token, error) {
	p := providerAt("https://withings.example", pulltest.NewClock(at(noon)))
	client := &http.Client{Transport: s}
	if before != nil {
		return p.Refresh(s.t.Context(), client, *before)
	}
	return p.Exchange(s.t.Context(), client, ingest.Consent{State: "state", Verifier: "verifier"}, "the-code")
}

func TestTokens(t *testing.T) {
	answer := func(id, more string) string {
		return ok(`{"userid":` + id + `,"access_token":"access","refresh_token":"refresh-2","csrf_token":"x",` +
			`"token_type":"Bearer"` + more + `}`)
	}
	before := &ingest.Token{Access: "old", Refresh: "refresh-1", Scopes: []string{"user.activity"}, Account: "7"}
	both := []string{"user.info", "user.activity"}
	for _, test := range []struct {
		name, answer string
		before       *ingest.Token
		want         ingest.Token
	}{
		{
			"a code, the user as text", answer(`"363"`, `,"expires_in":10800,"scope":"user.info,user.activity"`), nil,
			ingest.Token{Access: "access", Refresh: "refresh-2", Expiry: at(noon).Add(3 * time.Hour), Scopes: both, Account: "363"},
		},
		{
			"a renewal, the user as a number", answer(`363`, `,"expires_in":"7200","scope":"user.info,user.activity"`), before,
			ingest.Token{Access: "access", Refresh: "refresh-2", Expiry: at(noon).Add(2 * time.Hour), Scopes: both, Account: "363"},
		},
		{
			"without what may be missing", ok(`{"access_token":"access"}`), before,
			ingest.Token{Access: "access", Refresh: "refresh-1", Expiry: at(noon).Add(3 * time.Hour), Scopes: both[1:], Account: "7"},
		},
		{
			"scopes with spaces", answer(`null`, `,"scope":"user.info, user.activity"`), nil,
			ingest.Token{Access: "access", Refresh: "refresh-2", Expiry: at(noon).Add(3 * time.Hour), Scopes: both},
		},
	} {
		s := newScript(t, map[string][]string{token: {test.answer}})
		got, err := s.token(test.before)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if d := diff(test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
		want := url.Values{
			"path": {"/v2/oauth2"}, "action": {"requesttoken"}, "client_id": {clientID}, "client_secret": {clientSecret},
			"grant_type": {"authorization_code"}, "code": {"the-code"}, "redirect_uri": {"http://localhost:8099/oauth/callback"},
		}
		if test.before != nil {
			want.Del("code")
			want.Del("redirect_uri")
			want.Set("grant_type", "refresh_token")
			want.Set("refresh_token", "refresh-1")
		}
		if d := diff(want, s.asked[0]); d != "" {
			t.Errorf("%s: asked (-want +got):\n%s", test.name, d)
		}
	}
}

func TestTokenRefusals(t *testing.T) {
	refused := func(status int, words string) string {
		return fmt.Sprintf(`{"status":%d,"body":{},"error":%q}`, status, words)
	}
	before := &ingest.Token{Refresh: "refresh-1"}
	const connectAnew = "connect it again, and let the browser come back or paste its address at once"
	for _, test := range []struct {
		name, answer string
		before       *ingest.Token
		class        ingest.Class
		remedy, text string
	}{
		{
			"dead refresh token", refused(503, "Invalid Params: invalid refresh_token"), before,
			ingest.Auth, ingest.ConnectAgain, "the consent has ended",
		},
		{"no word", refused(503, ""), before, ingest.Auth, ingest.ConnectAgain, "the consent has ended"},
		{"unauthorized", refused(401, "invalid_token"), before, ingest.Auth, ingest.ConnectAgain, "the consent has ended"},
		{
			"wrong secret on renewal", refused(503, "Invalid Params: invalid client_secret"), before,
			ingest.Auth, "check client_id and client_secret", "is refused",
		},
		{
			"wrong secret", refused(503, "Invalid Params: invalid client_secret"), nil, ingest.Auth,
			"check client_id and client_secret", "is refused",
		},
		{"wrong client", refused(100, "unknown client"), nil, ingest.Auth, "check client_id and client_secret", "is refused"},
		{
			"wrong redirect", refused(503, "Invalid Params: invalid redirect_uri"), nil, ingest.Auth,
			"register http://localhost:8099/oauth/callback", "not registered",
		},
		{"old code", refused(503, "Invalid Params: invalid code"), nil, ingest.Auth, connectAnew, "more than 30 seconds old"},
		{"no word about the code", refused(503, ""), nil, ingest.Auth, connectAnew, "more than 30 seconds old"},
		{"too many", refused(601, "Too many requests"), before, ingest.Throttled, "", "too many requests"},
		{"trouble", refused(2556, "An error occurred"), before, ingest.Transient, "", "cannot answer now"},
		{"timeout", refused(522, "Timeout"), before, ingest.Transient, "", "took too long"},
		{"nothing", ok(`{}`), before, ingest.Transient, "", "holds no access"},
		{"the OAuth of others", `{"access_token":"a","expires_in":10800}`, nil, ingest.Transient, "", "has no status"},
		{
			"no right", ok(`{"access_token":"a","refresh_token":"b","scope":"user.info"}`), nil, ingest.Auth,
			"connect it again, and allow", "does not let walkd read",
		},
		{
			"all it was told", refused(503, "the-code "+clientSecret+" refresh-1"), before,
			ingest.Auth, ingest.ConnectAgain, "(status 503)",
		},
	} {
		_, err := newScript(t, map[string][]string{token: {test.answer}}).token(test.before)
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class != test.class || !strings.HasPrefix(e.Remedy, test.remedy) ||
			!strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %#v %v", test.name, e, err)
		}
		for _, secret := range []string{clientSecret, "the-code", "refresh-1"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
	s := newScript(t, nil)
	if _, err := s.token(&ingest.Token{Access: "a"}); err == nil || len(s.asked) > 0 {
		t.Errorf("without a refresh token: %v", err)
	}
}

// An answer that refuses the access token is told from others, and can still be read.
func TestRefused(t *testing.T) {
	p := providerAt("https://withings.example", pulltest.NewClock(at(noon)))
	for body, want := range map[string]bool{
		`{"status":401,"body":{},"error":"invalid_token"}`: true, `{"error":"x","body":{},"status":"100"}`: true,
		`{"status":0,"body":{"series":{}}}`: false, `{"status":601}`: false, `<html>`: false, ``: false,
		`{"status":401,"body":"` + strings.Repeat("x", 5000) + `"}`: false,
		`{"status":0,"body":"` + strings.Repeat("x", 5000) + `"}`:   false,
	} {
		resp := &http.Response{Body: io.NopCloser(iotest.OneByteReader(strings.NewReader(body)))}
		got := p.Refused(resp)
		rest, err := io.ReadAll(resp.Body)
		if got != want || err != nil || string(rest) != body {
			t.Errorf("%.60s: %t, then %d bytes, error %v", body, got, len(rest), err)
		}
	}
	resp := &http.Response{Body: io.NopCloser(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(io.ErrUnexpectedEOF)))}
	if p.Refused(resp) {
		t.Error("a broken answer refuses")
	}
	if rest, err := io.ReadAll(resp.Body); string(rest) != "{" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("then %q, error %v", rest, err)
	}
}

// Signatures as OpenSSL makes them, which are HMAC-SHA256 with the client secret as the key.
const (
	nonceSigned  = "6e6eaf8632021228d52ff262233071eb878288ec48266a273f4501d020b02f33" // of "getnonce,9f3b1c,1795172600"
	revokeSigned = "9efee9019a246a4a5eb587411468fc9404819a19c86a2cbcdc044c38b406c6f9" // of "revoke,9f3b1c,the-nonce"
)

func TestRevoke(t *testing.T) {
	refused := func(status int, words string) string {
		return fmt.Sprintf(`{"status":%d,"body":{},"error":%q}`, status, words)
	}
	nonce, renewed := ok(`{"nonce":"the-nonce"}`), ok(`{"access_token":"a","refresh_token":"b"}`)
	page := "end it yourself: sign in at https://account.withings.com/partner/disconnect_partner/9f3b1c"
	for _, test := range []struct {
		name         string
		account      string
		answers      map[string][]string
		class        ingest.Class // "" if it is ended
		text, remedy string
		asked        string
	}{
		{"ended", "363", map[string][]string{"getnonce": {nonce}, "revoke": {ok(`{}`)}}, "", "", "", "getnonce revoke"},
		{
			"ended before", "363",
			map[string][]string{"getnonce": {nonce}, "revoke": {refused(503, "")}, token: {refused(503, "Invalid Params: invalid refresh_token")}},
			"", "", "", "getnonce revoke requesttoken",
		},
		{
			"no right to", "363",
			map[string][]string{"getnonce": {nonce}, "revoke": {refused(2555, "Unauthorized")}, token: {renewed}},
			ingest.Permanent, "could not be ended: status 2555", page + "?selecteduser=363", "getnonce revoke requesttoken",
		},
		{
			"no right to sign", "363",
			map[string][]string{"getnonce": {refused(2554, "Not implemented")}, token: {renewed}},
			ingest.Permanent, "status 2554", page + "?selecteduser=363", "getnonce requesttoken",
		},
		{
			"trouble in between", "363",
			map[string][]string{"getnonce": {nonce}, "revoke": {refused(277, "")}, token: {refused(522, "Timeout")}},
			ingest.Permanent, "status 277", page, "getnonce revoke requesttoken",
		},
		{
			"a wrong secret", "363",
			map[string][]string{"getnonce": {refused(503, "Invalid Params: invalid signature")}},
			ingest.Auth, "is refused", "check client_id and client_secret", "getnonce",
		},
		{
			"too many", "363",
			map[string][]string{"getnonce": {refused(601, "Too many requests")}},
			ingest.Throttled, "too many requests", "", "getnonce",
		},
		{"trouble", "363", map[string][]string{"getnonce": {nonce}, "revoke": {refused(522, "")}}, ingest.Transient, "took too long", "", "getnonce revoke"},
		{"no nonce", "363", map[string][]string{"getnonce": {ok(`{}`)}}, ingest.Transient, "no nonce", "", "getnonce"},
		{"a web page", "363", map[string][]string{"getnonce": {"<html>"}}, ingest.Transient, "web page", "", "getnonce"},
		{"from before the account was kept", "", nil, ingest.Permanent, "which user", page, ""},
	} {
		s := newScript(t, test.answers)
		p := providerAt("https://withings.example", pulltest.NewClock(at(noon)))
		err := p.Revoke(t.Context(), &http.Client{Transport: s}, ingest.Token{Access: "a", Refresh: "refresh-1", Account: test.account})
		var e *ingest.Error
		if errors.As(err, &e) != (test.class != "") || test.class == "" && err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if e != nil && (e.Class != test.class || !strings.HasPrefix(e.Remedy, test.remedy) || !strings.Contains(err.Error(), test.text)) {
			t.Errorf("%s: %#v %v", test.name, e, err)
		}
		var asked []string
		for _, f := range s.asked {
			asked = append(asked, f.Get("action"))
		}
		if got := strings.Join(asked, " "); got != test.asked {
			t.Errorf("%s: asked %q, want %q", test.name, got, test.asked)
		}
		if test.name != "ended" {
			continue
		}
		for i, want := range []url.Values{
			{
				"path": {"/v2/signature"}, "action": {"getnonce"}, "client_id": {"9f3b1c"}, "timestamp": {"1795172600"},
				"signature": {nonceSigned},
			},
			{
				"path": {"/v2/oauth2"}, "action": {"revoke"}, "client_id": {"9f3b1c"}, "nonce": {"the-nonce"}, "userid": {"363"},
				"signature": {revokeSigned},
			},
		} {
			if d := diff(want, s.asked[i]); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
		}
	}
}
