package google_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate/google"
)

const (
	authPath = "/o/oauth2/v2/auth"
	verifier = "a-verifier-of-at-least-forty-three-characters"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func authQuery() url.Values {
	return url.Values{
		"client_id": {clientID}, "redirect_uri": {redirect}, "response_type": {"code"},
		"scope": {scopeSteps + " " + scopeDevices}, "state": {"s t&ate"}, "access_type": {"offline"},
		"prompt": {"consent"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
}

func with(q url.Values, name, value string) url.Values {
	out := url.Values{}
	for k, v := range q {
		out[k] = v
	}
	if out.Set(name, value); value == "" {
		out.Del(name)
	}
	return out
}

func approve(_ string, scopes []string) []string { return scopes }

func approving(so *google.ServerOptions, _ *google.WalkerOptions) { so.Approve = approve }

// back returns the query with which the browser is sent back.
func back(t *testing.T, r reply) url.Values {
	t.Helper()
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.status != http.StatusFound || !strings.HasPrefix(u.String(), redirect+"?") {
		t.Fatalf("%d, location %q: want to be sent back. %s", r.status, r.header.Get("Location"), r.body)
	}
	return u.Query()
}

func (s *service) code(q url.Values) string {
	s.t.Helper()
	return back(s.t, s.must(http.MethodGet, authPath+"?"+q.Encode(), "", "", "")).Get("code")
}

func exchange(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {clientID},
		"client_secret": {clientSecret}, "code_verifier": {verifier},
	}
}

func refresh(token string) url.Values {
	return url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {clientID}, "client_secret": {clientSecret},
	}
}

func TestConsentRefused(t *testing.T) {
	s := start(t, approving)
	for _, tt := range []struct {
		name, parameter, value string
		status                 int
		says                   string
	}{
		{"no client", "client_id", "", 400, "invalid_request"},
		{"another client", "client_id", "x", 401, "invalid_client"},
		{"no redirect", "redirect_uri", "", 400, "redirect_uri_mismatch"},
		{"another redirect", "redirect_uri", redirect + "/", 400, "redirect_uri_mismatch"},
		{"implicit", "response_type", "token", 400, "unsupported_response_type"},
		{"no scope", "scope", "", 400, "invalid_request"},
		{"strange scope", "scope", scopeSteps + " nonsense", 400, "invalid_scope"},
		{"plain challenge", "code_challenge_method", "plain", 400, "invalid_request"},
		{"challenge without method", "code_challenge_method", "", 400, "invalid_request"},
		{"nobody", "login_hint", "4711", 400, "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := s.must(http.MethodGet, authPath+"?"+with(authQuery(), tt.parameter, tt.value).Encode(), "", "", "")
			if r.status != tt.status || !strings.Contains(r.body, tt.says) || r.header.Get("Location") != "" ||
				!strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
				t.Errorf("%d %q %s, want a page with %d and %s", r.status, r.header.Get("Location"), r.body, tt.status, tt.says)
			}
		})
	}
}

func TestConsentPage(t *testing.T) {
	s := start(t, nil)
	r := s.must(http.MethodGet, authPath+"?"+authQuery().Encode(), "", "", "")
	form := url.Values{}
	for _, m := range regexp.MustCompile(`type=hidden name=(\w+) value="([^"]*)"`).FindAllStringSubmatch(r.body, -1) {
		form.Set(m[1], strings.ReplaceAll(m[2], "&amp;", "&"))
	}
	if r.status != 200 || form.Get("state") != "s t&ate" || form.Get("login_hint") != "1001" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	form["grant"] = []string{scopeSteps, "https://www.googleapis.com/auth/googlehealth.sleep.readonly"}

	q := back(t, s.post(authPath, with(form, "answer", "refuse")))
	if diff := cmp.Diff(url.Values{"error": {"access_denied"}, "state": {"s t&ate"}}, q); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	q = back(t, s.post(authPath, with(form, "answer", "allow")))
	if q.Get("scope") != scopeSteps || q.Get("state") != "s t&ate" || q.Get("code") == "" {
		t.Errorf("allowed in part: %v", q)
	}
	tokens := s.post("/token", exchange(q.Get("code")))
	if got := tokens.at(t, "scope"); got != scopeSteps {
		t.Errorf("the scope of the token is %s, want only %s", got, scopeSteps)
	}
	s.token = tokens.at(t, "access_token")
	if r := s.get(dataTypes + "steps/dataPoints:reconcile?pageSize=1"); r.status != 200 {
		t.Errorf("steps: %d", r.status)
	}
	denied := s.get("/v4/users/me/pairedDevices")
	if denied.status != 403 || denied.at(t, "error", "status") != "PERMISSION_DENIED" ||
		denied.at(t, "error", "details", 0, "reason") != "ACCESS_TOKEN_SCOPE_INSUFFICIENT" ||
		!strings.Contains(denied.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
		t.Errorf("devices without the scope: %d %s", denied.status, denied.body)
	}
	if r := s.get("/v4/users/me/identity"); r.status != 200 {
		t.Errorf("identity wants any scope: %d", r.status)
	}
}

func TestTokens(t *testing.T) {
	s := start(t, approving)
	r := s.post("/token", exchange(s.code(authQuery())))
	v := r.json(t)
	access, again := r.at(t, "access_token"), r.at(t, "refresh_token")
	if r.status != 200 || access == "" || again == "" || r.at(t, "token_type") != "Bearer" ||
		r.at(t, "expires_in") != "3599" || r.at(t, "scope") != scopeSteps+" "+scopeDevices ||
		v["refresh_token_expires_in"] != nil {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.token = access
	if r := s.get("/v4/users/me/identity"); r.status != 200 {
		t.Fatalf("a new token: %d", r.status)
	}
	s.wall.Add(3599 * time.Second)
	if r := s.get("/v4/users/me/identity"); r.status != 401 {
		t.Fatalf("an expired token: %d", r.status)
	}
	for range 2 { // it is not rotated
		r = s.post("/token", refresh(again))
		if r.status != 200 || r.at(t, "refresh_token") != "" || r.at(t, "access_token") == access {
			t.Fatalf("%d %s", r.status, r.body)
		}
		s.token = r.at(t, "access_token")
		if r := s.get("/v4/users/me/identity"); r.status != 200 {
			t.Fatalf("a refreshed token: %d", r.status)
		}
	}
	for _, secret := range []string{access, again, s.token, clientSecret, verifier} {
		if !slices.Contains(s.Secrets(), secret) {
			t.Errorf("%.6s… is not among the secrets", secret)
		}
	}
	if r := s.post("/revoke", url.Values{"token": {again}}); r.status != 200 {
		t.Errorf("revoke: %d", r.status)
	}
	if r := s.post("/revoke", url.Values{"token": {again}}); r.status != 400 || r.at(t, "error") != "invalid_token" {
		t.Errorf("revoked twice: %d %s", r.status, r.body)
	}
	if r := s.get("/v4/users/me/identity"); r.status != 401 {
		t.Errorf("after revoking: %d", r.status)
	}
	if r := s.post("/token", refresh(again)); r.status != 400 || r.at(t, "error") != "invalid_grant" {
		t.Errorf("refresh after revoking: %d %s", r.status, r.body)
	}
}

func TestRefreshTokenOnlyOnConsent(t *testing.T) {
	s := start(t, func(so *google.ServerOptions, _ *google.WalkerOptions) { so.Approve = approve })
	s.Withdraw("1001")
	silent := with(authQuery(), "prompt", "")
	got := func(q url.Values) bool { return s.post("/token", exchange(s.code(q))).at(t, "refresh_token") != "" }
	if got(with(silent, "access_type", "")) {
		t.Error("online access comes with a refresh token")
	}
	if !got(silent) {
		t.Error("the first consent has no refresh token")
	}
	if got(silent) {
		t.Error("a second one without prompt=consent has a refresh token")
	}
	if !got(authQuery()) {
		t.Error("one with prompt=consent has none")
	}
}

func TestTokenRefused(t *testing.T) {
	s := start(t, approving)
	_, good, _, err := s.Grant("1001")
	if err != nil {
		t.Fatal(err)
	}
	used := s.code(authQuery())
	if r := s.post("/token", exchange(used)); r.status != 200 {
		t.Fatal(r.body)
	}
	if r := s.post("/token", exchange(used)); r.status != 400 || r.at(t, "error") != "invalid_grant" {
		t.Errorf("a code twice: %d %s", r.status, r.body)
	}
	old := s.code(authQuery())
	s.wall.Add(11 * time.Minute)
	fresh := func() string { return s.code(authQuery()) }
	for _, tt := range []struct {
		name   string
		form   url.Values
		status int
		want   string
	}{
		{"code too old", exchange(old), 400, "invalid_grant"},
		{"invented code", exchange("4/0Ax"), 400, "invalid_grant"},
		{"no code", with(exchange("x"), "code", ""), 400, "invalid_request"},
		{"wrong verifier", with(exchange(fresh()), "code_verifier", verifier+"x"), 400, "invalid_grant"},
		{"no verifier", with(exchange(fresh()), "code_verifier", ""), 400, "invalid_grant"},
		{"another redirect", with(exchange(fresh()), "redirect_uri", redirect+"2"), 400, "redirect_uri_mismatch"},
		{"wrong secret", with(exchange(fresh()), "client_secret", "x"), 401, "invalid_client"},
		{"no secret", with(exchange(fresh()), "client_secret", ""), 400, "invalid_request"},
		{"another client", with(exchange(fresh()), "client_id", "x"), 401, "invalid_client"},
		{"another kind", with(exchange(fresh()), "grant_type", "password"), 400, "unsupported_grant_type"},
		{"verifier without challenge", exchange(s.code(with(with(authQuery(), "code_challenge", ""),
			"code_challenge_method", ""))), 400, "invalid_grant"},
		{"invented refresh token", refresh("1//0x"), 400, "invalid_grant"},
		{"refresh with the wrong secret", with(refresh(good), "client_secret", "x"), 401, "invalid_client"},
		{"no refresh token", refresh(""), 400, "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := s.post("/token", tt.form)
			if r.status != tt.status || r.at(t, "error") != tt.want || r.at(t, "access_token") != "" {
				t.Errorf("%d %s, want %d %s", r.status, r.body, tt.status, tt.want)
			}
		})
	}
	t.Run("without PKCE", func(t *testing.T) {
		plain := with(with(authQuery(), "code_challenge", ""), "code_challenge_method", "")
		if r := s.post("/token", with(exchange(s.code(plain)), "code_verifier", "")); r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("client in the header", func(t *testing.T) {
		form := with(with(refresh(good), "client_id", ""), "client_secret", "")
		req, err := http.NewRequest(http.MethodPost, s.url+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(clientID, clientSecret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	})
}

func TestGrantEnds(t *testing.T) {
	s := start(t, func(so *google.ServerOptions, _ *google.WalkerOptions) {
		so.Approve, so.GrantTTL = approve, 7*24*time.Hour
	})
	r := s.post("/token", exchange(s.code(authQuery())))
	if got := r.at(t, "refresh_token_expires_in"); got != "604800" {
		t.Errorf("refresh_token_expires_in is %q, want 604800", got)
	}
	token := r.at(t, "refresh_token")
	s.wall.Add(7*24*time.Hour - time.Second)
	if r := s.post("/token", refresh(token)); r.status != 200 {
		t.Errorf("before the end: %d %s", r.status, r.body)
	}
	s.wall.Add(time.Second)
	if r := s.post("/token", refresh(token)); r.status != 400 || r.at(t, "error") != "invalid_grant" {
		t.Errorf("at the end: %d %s", r.status, r.body)
	}
}

func TestRotation(t *testing.T) {
	rotate := func(so *google.ServerOptions, _ *google.WalkerOptions) { so.Rotate = true }
	for _, tt := range []struct {
		name string
		use  func(s *service, access, next string)
		old  int // status of a refresh by the old token afterwards
		next int
	}{
		{"the answer was lost", func(*service, string, string) {}, 200, 200},
		{"the new one was used", func(s *service, _, next string) { s.post("/token", refresh(next)) }, 400, 200},
		{"its access token was used", func(s *service, access, _ string) {
			s.token = access
			s.get("/v4/users/me/identity")
		}, 400, 200},
		{"the old one again", func(s *service, _, _ string) { s.post("/token", refresh(s.old())) }, 200, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, rotate)
			r := s.post("/token", refresh(s.old()))
			next := r.at(t, "refresh_token")
			if next == "" || next == s.old() {
				t.Fatalf("there is no new refresh token: %s", r.body)
			}
			tt.use(s, r.at(t, "access_token"), next)
			if r := s.post("/token", refresh(s.old())); r.status != tt.old {
				t.Errorf("the old one: %d, want %d", r.status, tt.old)
			}
			if r := s.post("/token", refresh(next)); r.status != tt.next {
				t.Errorf("the new one: %d, want %d", r.status, tt.next)
			}
		})
	}
}

// old returns the refresh token that the service began with.
func (s *service) old() string {
	s.t.Helper()
	i := slices.IndexFunc(s.Secrets(), func(text string) bool { return strings.HasPrefix(text, "1//0") })
	return s.Secrets()[i]
}

func TestPeopleAreApart(t *testing.T) {
	s := start(t, approving)
	days, err := google.RealDays()
	if err != nil {
		t.Fatal(err)
	}
	other := newWalker(t, google.WalkerOptions{
		ID: "2002", Days: days, Zone: zone(t, "Asia/Tokyo"), Now: s.domain.Now(), Phase: 3,
	})
	if err := s.Add(other); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(other); err == nil {
		t.Error("somebody is added twice")
	}
	if _, _, _, err := s.Grant("3003"); err == nil {
		t.Error("nobody has consented")
	}
	who := func(q url.Values) string {
		s.token = s.post("/token", exchange(s.code(q))).at(t, "access_token")
		return s.get("/v4/users/me/identity").at(t, "healthUserId")
	}
	if got := who(authQuery()); got != "1001" {
		t.Errorf("the first consent is of %s", got)
	}
	if got := who(with(authQuery(), "login_hint", "2002")); got != "2002" {
		t.Errorf("a consent with a hint is of %s", got)
	}
	s.SignIn("2002")
	if got := who(authQuery()); got != "2002" {
		t.Errorf("the consent after signing in is of %s", got)
	}
	if got := s.get("/v4/users/2002/settings").at(t, "timeZone"); got != "Asia/Tokyo" {
		t.Errorf("the zone is %s", got)
	}
	if r := s.get("/v4/users/1001/settings"); r.status != 403 {
		t.Errorf("another person's settings: %d", r.status)
	}
	mine := s.get(dataTypes + "steps/dataPoints:reconcile?pageSize=100")
	token, _, _, err := s.Grant("1001")
	if err != nil {
		t.Fatal(err)
	}
	next := mine.at(t, "nextPageToken")
	page := dataTypes + "steps/dataPoints:reconcile?pageSize=100&pageToken=" + next
	if r := s.must(http.MethodGet, page, token, "", ""); r.status != 400 {
		t.Errorf("another person's page: %d", r.status)
	}
	s.Withdraw("2002")
	if r := s.get("/v4/users/me/identity"); r.status != 401 {
		t.Errorf("after withdrawing: %d", r.status)
	}
	if r := s.must(http.MethodGet, "/v4/users/me/identity", token, "", ""); r.status != 200 {
		t.Errorf("the other person: %d", r.status)
	}
}
