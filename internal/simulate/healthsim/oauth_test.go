package healthsim_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
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
	s := start(t, nil)
	for _, tt := range []struct {
		name, parameter, value string
		status                 int
		says                   string
	}{
		{"no client", "client_id", "", 401, "invalid_client"},
		{"another client", "client_id", "x", 401, "invalid_client"},
		{"no redirect", "redirect_uri", "", 400, "redirect_uri_mismatch"},
		{"another redirect", "redirect_uri", redirect + "/", 400, "redirect_uri_mismatch"},
		{"implicit", "response_type", "token", 400, "unsupported_response_type"},
		{"no scope", "scope", "", 400, "invalid_request"},
		{"strange scope", "scope", scopeSteps + " nonsense", 400, "invalid_scope"},
		{"plain challenge", "code_challenge_method", "plain", 400, "invalid_request"},
		{"challenge without method", "code_challenge_method", "", 400, "invalid_request"},
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
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.Consent = "" })
	path := authPath + "?" + authQuery().Encode()
	r := s.must(http.MethodGet, path, "", "", "")
	if r.status != 200 || !strings.Contains(r.body, "<option>ann</option>") || !strings.Contains(r.body, `<form method="post">`) {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for _, form := range []url.Values{{"person": {"ann"}, "refuse": {"1"}}, {"person": {"nobody"}}} {
		if diff := cmp.Diff(url.Values{"error": {"access_denied"}, "state": {"s t&ate"}}, back(t, s.post(path, form))); diff != "" {
			t.Errorf("%v (-want +got):\n%s", form, diff)
		}
	}
	q := back(t, s.post(path, url.Values{"person": {"ann"}}))
	if q.Get("scope") != scopeSteps+" "+scopeDevices || q.Get("state") != "s t&ate" || q.Get("code") == "" {
		t.Errorf("allowed: %v", q)
	}
	if r := s.post("/token", exchange(q.Get("code"))); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestGrantedInPart(t *testing.T) {
	none := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.Granted = []string{} })
	q := back(t, none.must(http.MethodGet, authPath+"?"+authQuery().Encode(), "", "", ""))
	if diff := cmp.Diff(url.Values{"error": {"access_denied"}, "state": {"s t&ate"}}, q); diff != "" {
		t.Errorf("nothing is granted (-want +got):\n%s", diff)
	}
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) {
		o.Granted = []string{scopeSteps, "https://www.googleapis.com/auth/googlehealth.sleep.readonly"}
	})
	q = back(t, s.must(http.MethodGet, authPath+"?"+authQuery().Encode(), "", "", ""))
	if q.Get("scope") != scopeSteps {
		t.Errorf("granted in part: %v", q)
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
	s := start(t, nil)
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
	s := start(t, nil)
	s.Revoke("ann")
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
	s := start(t, nil)
	good := s.refresh
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
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.GrantFor = 7 * 24 * time.Hour })
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
	rotate := func(o *healthsim.Options, _ *simulate.Plan) { o.Rotate = true }
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
		{"the old one again", func(s *service, _, _ string) { s.post("/token", refresh(s.refresh)) }, 200, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, rotate)
			r := s.post("/token", refresh(s.refresh))
			next := r.at(t, "refresh_token")
			if next == "" || next == s.refresh {
				t.Fatalf("there is no new refresh token: %s", r.body)
			}
			tt.use(s, r.at(t, "access_token"), next)
			if r := s.post("/token", refresh(s.refresh)); r.status != tt.old {
				t.Errorf("the old one: %d, want %d", r.status, tt.old)
			}
			if r := s.post("/token", refresh(next)); r.status != tt.next {
				t.Errorf("the new one: %d, want %d", r.status, tt.next)
			}
		})
	}
}

func TestPeopleAreApart(t *testing.T) {
	s := start(t, nil)
	ben := newPerson(t, simulate.Plan{
		Name: "ben", Life: volunteer(t), Home: zone(t, "Asia/Tokyo"), First: walking.DayOf(2026, time.October, 26),
	})
	s.Add(ben)
	id := func() string { return s.get("/v4/users/me/identity").at(t, "healthUserId") }
	annsToken, annsID := s.token, id()
	page := s.get(dataTypes+"steps/dataPoints:reconcile?pageSize=100").at(t, "nextPageToken")

	s.SetConsent("ben")
	s.token = s.post("/token", exchange(s.code(authQuery()))).at(t, "access_token")
	bensID := id()
	if bensID == annsID || bensID == "" {
		t.Errorf("ben has the ID %q, ann %q", bensID, annsID)
	}
	if got := s.get("/v4/users/"+bensID+"/settings").at(t, "timeZone"); got != "Asia/Tokyo" {
		t.Errorf("the zone is %s", got)
	}
	for _, path := range []string{"/settings", "/dataTypes/steps/dataPoints:reconcile"} {
		if r := s.get("/v4/users/" + annsID + path); r.status != 403 || r.at(t, "error", "status") != "PERMISSION_DENIED" {
			t.Errorf("ann's %s: %d %s", path, r.status, r.body)
		}
	}
	if r := s.get(dataTypes + "steps/dataPoints:reconcile?pageSize=100&pageToken=" + page); r.status != 400 {
		t.Errorf("ann's page: %d", r.status)
	}
	points, _ := s.all("steps/dataPoints:reconcile", url.Values{})
	w := walking.Window{Start: s.domain.Now().AddDate(0, -2, 0), End: s.domain.Now()}
	if diff := cmp.Diff(ben.Points(w, s.domain.Now()), minutes(t, points)); diff != "" {
		t.Errorf("ben's steps (-known +answered):\n%.500s", diff)
	}

	s.Revoke("ben")
	if r := s.get("/v4/users/me/identity"); r.status != 401 {
		t.Errorf("ben has withdrawn the consent: %d", r.status)
	}
	s.token = annsToken
	if id() != annsID || s.ask(s.refresh).status != 200 {
		t.Error("ann lost hers")
	}
}

// A consent that has lost its effect gives out tokens that open nothing, until the person takes it back.
func TestLostConsent(t *testing.T) {
	s := start(t, nil)
	status := func(token string) (int, string) {
		r := s.must(http.MethodGet, "/v4/users/me/settings", token, "", "")
		return r.status, r.at(t, "error", "details", 0, "reason")
	}
	s.LoseConsent("ann")
	renewed := s.ask(s.refresh).at(t, "access_token")
	anew := s.post("/token", exchange(s.code(authQuery()))).at(t, "access_token")
	for name, token := range map[string]string{"old": s.token, "renewed": renewed, "of a new consent": anew} {
		if code, reason := status(token); code != 403 || reason != "RESOURCE_PERMISSION_DENIED" {
			t.Errorf("the token %s: %d %s", name, code, reason)
		}
	}
	if r := s.post("/revoke", url.Values{"token": {anew}}); r.status != 200 {
		t.Errorf("taking it back: %d %s", r.status, r.body)
	}
	if code, _ := status(s.post("/token", exchange(s.code(authQuery()))).at(t, "access_token")); code != 200 {
		t.Errorf("a new consent after that: %d", code)
	}
}

func TestRevoke(t *testing.T) {
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.GrantFor = time.Hour })
	for _, tt := range []struct {
		name, token string
		status      int
		code        string
	}{
		{"none", "", 400, "invalid_request"},
		{"invented", "1//0x", 400, "invalid_token"},
		{"refresh", s.refresh, 200, ""},
		{"again", s.refresh, 400, "invalid_token"},
		{"of the same person", s.token, 400, "invalid_token"},
	} {
		if r := s.post("/revoke", url.Values{"token": {tt.token}}); r.status != tt.status || r.at(t, "error") != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, r.status, r.body, tt.status, tt.code)
		}
	}
	if r := s.get("/v4/users/me/settings"); r.status != 401 {
		t.Errorf("another grant of the person: %d", r.status)
	}
	ended := s.Grant("ann", scopeSteps)
	s.wall.Add(2 * time.Hour)
	if r := s.post("/revoke", url.Values{"token": {ended}}); r.status != 400 || r.at(t, "error") != "invalid_token" {
		t.Errorf("one that has ended by itself: %d %s", r.status, r.body)
	}
	if n := s.Requests()[" /revoke"]; n != 6 {
		t.Errorf("%d requests were counted, want 6", n)
	}
}

// What was granted before comes along, if it is asked for so.
func TestGrantedBefore(t *testing.T) {
	s := start(t, nil)
	s.Revoke("ann")
	s.SetGranted([]string{scopeSteps})
	scope := func(q url.Values) string { return s.post("/token", exchange(s.code(q))).at(t, "scope") }
	if got := scope(authQuery()); got != scopeSteps {
		t.Errorf("at first %s", got)
	}
	s.SetGranted([]string{scopeDevices})
	if got := scope(authQuery()); got != scopeDevices {
		t.Errorf("then %s", got)
	}
	if got := scope(with(authQuery(), "include_granted_scopes", "true")); got != scopeDevices+" "+scopeSteps {
		t.Errorf("with what was granted before %s", got)
	}
	s.SetGranted(nil)
	if got := scope(authQuery()); got != scopeSteps+" "+scopeDevices {
		t.Errorf("at last %s", got)
	}
	s.SetGrantFor(time.Hour)
	if r := s.post("/token", exchange(s.code(authQuery()))); r.at(t, "refresh_token_expires_in") != "3600" {
		t.Errorf("for an hour: %s", r.body)
	}
}
