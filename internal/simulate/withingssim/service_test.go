package withingssim_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/withingssim"
	"github.com/walkd/walkd/internal/walking"
)

// A clock is set by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const (
	redirect = "http://localhost:8098/oauth/callback"
	secret   = "the-secret-of-the-app"
)

// A service is a Service over HTTP that one person uses, at noon of 20 November 2026 in Paris.
type service struct {
	*withingssim.Service
	t      *testing.T
	url    string
	now    *clock
	person *simulate.Person
	access string
}

func newService(t *testing.T, change func(*withingssim.Options)) *service {
	t.Helper()
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	life, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, now: &clock{t: time.Date(2026, 11, 20, 11, 7, 0, 0, time.UTC)}}
	first := walking.DayOf(2026, 11, 10)
	s.person, err = simulate.NewPerson(simulate.Plan{Name: "ann", Life: life, Home: paris, First: first})
	if err != nil {
		t.Fatal(err)
	}
	o := withingssim.Options{
		Now: s.now.Now, Wall: s.now.Now, ClientID: "app", ClientSecret: secret, Consent: "ann",
		RedirectURLs: []string{redirect},
	}
	if change != nil {
		change(&o)
	}
	s.Service = withingssim.New(o)
	s.Add(s.person)
	server := httptest.NewServer(s.Service)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.access = text(t, s.renew(s.Grant("ann")), "body", "access_token")
	return s
}

// post asks for a path, with pairs of names and values.
func (s *service) post(path string, pairs ...string) (answer map[string]any) {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+s.access)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	if err := d.Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %v: status %d, error %v", path, pairs, resp.StatusCode, err)
	}
	return answer
}

func (s *service) token(pairs ...string) map[string]any {
	s.t.Helper()
	app := []string{"action", "requesttoken", "client_id", "app", "client_secret", secret}
	return s.post("/v2/oauth2", append(app, pairs...)...)
}

func (s *service) renew(refresh string) map[string]any {
	s.t.Helper()
	return s.token("grant_type", "refresh_token", "refresh_token", refresh)
}

// measure asks for data.
func (s *service) measure(pairs ...string) map[string]any {
	s.t.Helper()
	return s.post("/v2/measure", pairs...)
}

// at returns a member of a member of …, and nil if there is none.
func at(v any, path ...string) any {
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func text(t *testing.T, v any, path ...string) string {
	t.Helper()
	s, ok := at(v, path...).(string)
	if !ok {
		t.Fatalf("no %v in %v", path, v)
	}
	return s
}

func wantStatus(t *testing.T, answer map[string]any, status int, words string) {
	t.Helper()
	said, _ := answer["error"].(string)
	if fmt.Sprint(answer["status"]) != fmt.Sprint(status) || !strings.Contains(said, words) {
		t.Errorf("status %v, %q, want %d, %q", answer["status"], said, status, words)
	}
}

func (s *service) consent(change ...string) (*http.Response, string) {
	s.t.Helper()
	q := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "state": {"s"}, "scope": {"user.info,user.activity"},
		"redirect_uri": {redirect},
	}
	for i := 0; i < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(s.url + "/oauth2_user/authorize2?" + q.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		s.t.Fatal(err)
	}
	if back.Path != "" && back.Query().Get("state") != "s" {
		s.t.Errorf("sent back to %s", back)
	}
	return resp, back.Query().Get("code")
}

func TestConsent(t *testing.T) {
	s := newService(t, nil)
	for _, wrong := range [][]string{
		{"client_id", "other"}, {"redirect_uri", "http://evil.example"}, {"scope", "user.info user.activity"}, {"state", ""},
	} {
		if resp, code := s.consent(wrong...); resp.StatusCode != http.StatusBadRequest || code != "" {
			t.Errorf("%v: status %d, code %q", wrong, resp.StatusCode, code)
		}
	}
	exchange := func(code string, more ...string) map[string]any {
		grant := []string{"grant_type", "authorization_code", "code", code, "redirect_uri", redirect}
		return s.token(append(grant, more...)...)
	}
	_, code := s.consent()
	wantStatus(t, exchange(code, "client_secret", "wrong"), 503, "client_secret")
	wantStatus(t, exchange(code, "redirect_uri", "http://localhost"), 503, "redirect_uri")
	answer := exchange(code)
	wantStatus(t, answer, 0, "")
	_, ok := at(answer, "body", "userid").(string)
	if !ok || text(t, answer, "body", "scope") != "user.info,user.activity" {
		t.Errorf("%v", answer)
	}
	if _, ok := at(s.renew(text(t, answer, "body", "refresh_token")), "body", "userid").(json.Number); !ok {
		t.Error("the user of a renewal is no number")
	}
	s.now.add(11 * time.Second)
	wantStatus(t, exchange(code), 503, "code") // used
	_, code = s.consent()
	s.now.add(31 * time.Second)
	wantStatus(t, exchange(code), 503, "code") // old
	s.SetConsent("nobody")
	if resp, code := s.consent(); code != "" || !strings.Contains(resp.Header.Get("Location"), "error=access_denied") {
		t.Errorf("refused: %s", resp.Header.Get("Location"))
	}
}

// The old refresh token holds until the new access token is used, or for eight hours.
func TestRotation(t *testing.T) {
	s := newService(t, nil)
	first := s.Grant("ann")
	lost := s.renew(first)
	wantStatus(t, s.renew(first), 601, "Same arguments in less than 10 seconds")
	s.now.add(11 * time.Second)
	second := s.renew(first)
	wantStatus(t, second, 0, "")
	s.access = text(t, second, "body", "access_token")
	wantStatus(t, s.post("/v2/user", "action", "getdevice"), 0, "")
	s.now.add(11 * time.Second)
	wantStatus(t, s.renew(first), 503, "refresh_token")
	wantStatus(t, s.renew(text(t, lost, "body", "refresh_token")), 503, "refresh_token")
	third := s.renew(text(t, second, "body", "refresh_token"))
	wantStatus(t, third, 0, "")
	s.now.add(3 * time.Hour)
	wantStatus(t, s.post("/v2/user", "action", "getdevice"), 401, "invalid_token")
	s.now.add(5*time.Hour + time.Second)
	wantStatus(t, s.renew(text(t, second, "body", "refresh_token")), 503, "refresh_token")
	fourth := s.renew(text(t, third, "body", "refresh_token"))
	s.Revoke("ann")
	wantStatus(t, s.renew(text(t, fourth, "body", "refresh_token")), 503, "refresh_token")
}

// signature signs values as the documentation has it.
func signature(values ...string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(strings.Join(values, ",")))
	return hex.EncodeToString(mac.Sum(nil))
}

// A consent is ended by a signed question with a nonce, which is good once and for half an hour.
func TestRevoke(t *testing.T) {
	s := newService(t, nil)
	status := func(a map[string]any) string { return fmt.Sprint(a["status"]) }
	nonce := func() string {
		stamp := fmt.Sprint(s.now.Now().Unix())
		a := s.post("/v2/signature", "action", "getnonce", "client_id", "app", "timestamp", stamp,
			"signature", signature("getnonce", "app", stamp))
		s.now.add(11 * time.Second)
		return text(t, a, "body", "nonce")
	}
	revoke := func(nonce, signature, user string) string {
		s.now.add(11 * time.Second)
		return status(s.post("/v2/oauth2", "action", "revoke", "client_id", "app", "nonce", nonce, "signature", signature, "userid", user))
	}
	stamp := fmt.Sprint(s.now.Now().Unix())
	for _, form := range [][]string{
		{"client_id", "app", "timestamp", stamp, "signature", signature("app", "getnonce", stamp)},
		{"client_id", "other", "timestamp", stamp, "signature", signature("getnonce", "other", stamp)},
		{"client_id", "app", "timestamp", "now", "signature", signature("getnonce", "app", "now")},
		{"client_id", "app", "timestamp", stamp},
	} {
		if a := s.post("/v2/signature", append(form, "action", "getnonce")...); status(a) != "503" {
			t.Errorf("a nonce for %v: %v", form, a)
		}
	}
	refresh := s.Grant("ann")
	a := s.renew(refresh)
	user := fmt.Sprint(at(a, "body", "userid"))
	n := nonce()
	if got := revoke(n, signature("app", "revoke", n), user); got != "503" {
		t.Errorf("in another order: %s", got)
	}
	if got := revoke(n, signature("revoke", "app", n), user); got != "503" {
		t.Errorf("with a nonce that was used: %s", got)
	}
	n = nonce()
	if got := revoke(n, signature("revoke", "app", n), "1"); got != "503" {
		t.Errorf("of somebody else: %s", got)
	}
	n = nonce()
	s.now.add(31 * time.Minute)
	if got := revoke(n, signature("revoke", "app", n), user); got != "503" {
		t.Errorf("with an old nonce: %s", got)
	}
	if got := status(s.post("/v2/user", "action", "getdevice")); got != "0" {
		t.Errorf("before the end: %s", got)
	}
	n = nonce()
	if got := revoke(n, signature("revoke", "app", n), user); got != "0" {
		t.Fatal(got)
	}
	if got := status(s.post("/v2/user", "action", "getdevice")); got != "401" {
		t.Errorf("after the end: %s", got)
	}
	if a := s.renew(text(t, a, "body", "refresh_token")); status(a) != "503" {
		t.Errorf("a renewal after the end: %v", a)
	}
	n = nonce()
	if got := revoke(n, signature("revoke", "app", n), user); got != "503" {
		t.Errorf("once more: %s", got)
	}
}

// Whether a question counts as asked whose token was refused is not documented.
func TestRefusedQuestions(t *testing.T) {
	for counts, want := range map[bool]string{false: "0", true: "601"} {
		s := newService(t, func(o *withingssim.Options) { o.RefusedCount = counts })
		good := s.access
		s.access = "another"
		if a := s.post("/v2/user", "action", "getdevice"); fmt.Sprint(a["status"]) != "401" {
			t.Fatal(a)
		}
		s.access = good
		if a := s.post("/v2/user", "action", "getdevice"); fmt.Sprint(a["status"]) != want {
			t.Errorf("counted %t: %v", counts, a)
		}
		s.now.add(10 * time.Second)
		if a := s.post("/v2/user", "action", "getdevice"); fmt.Sprint(a["status"]) != "0" && want != "0" {
			t.Errorf("counted %t, ten seconds later: %v", counts, a)
		}
	}
}

func TestMinutes(t *testing.T) {
	s := newService(t, nil)
	from := time.Date(2026, 11, 17, 23, 0, 0, 0, time.UTC)
	ask := func(from, to time.Time) map[string]any {
		answer := s.measure("action", "getintradayactivity", "data_fields", "steps,duration",
			"startdate", fmt.Sprint(from.Unix()), "enddate", fmt.Sprint(to.Unix()))
		wantStatus(t, answer, 0, "")
		series, _ := at(answer, "body", "series").(map[string]any)
		return series
	}
	day := ask(from, from.Add(24*time.Hour))
	truth := s.person.Truth(walking.Window{Start: from, End: from.Add(24 * time.Hour)}, s.now.Now())
	if len(day) == 0 || len(day) != len(truth) {
		t.Fatalf("%d minutes, want %d", len(day), len(truth))
	}
	for _, p := range truth {
		m := day[fmt.Sprint(p.Start.Unix())]
		got := fmt.Sprintf("%v %v %v", at(m, "steps"), at(m, "duration"), at(m, "distance"))
		if got != fmt.Sprintf("%d 60 <nil>", p.Steps) {
			t.Fatalf("at %s: %v, want %d steps and no distance", p.Start, m, p.Steps)
		}
	}
	if more := ask(from, from.Add(30*time.Hour)); len(more) != len(day) {
		t.Errorf("%d minutes of 30 hours, %d of 24", len(more), len(day))
	}
	wantStatus(t, s.measure("action", "getintradayactivity", "startdate", "yesterday"), 503, "startdate")
	wantStatus(t, s.measure("action", "getsleep"), 2554, "")
	// As PHP writes them.
	s = newService(t, func(o *withingssim.Options) { o.Arrays, o.Strings = true, true })
	answer := s.measure("action", "getintradayactivity", "startdate", "1500000000", "enddate", "1500000060")
	if list, ok := at(answer, "body", "series").([]any); !ok || len(list) > 0 {
		t.Errorf("%v, want []", answer)
	}
}

func TestDays(t *testing.T) {
	s := newService(t, func(o *withingssim.Options) { o.PageSize = 4 })
	var dates []string
	ask := func(pairs ...string) []string {
		dates = nil
		for offset := ""; ; {
			answer := s.measure(append([]string{"action", "getactivity", "data_fields", "steps", "offset", offset}, pairs...)...)
			wantStatus(t, answer, 0, "")
			list, _ := at(answer, "body", "activities").([]any)
			for _, v := range list {
				dates = append(dates, text(t, v, "date")+" "+text(t, v, "timezone"))
			}
			if at(answer, "body", "more") == false {
				return dates
			}
			offset = fmt.Sprint(at(answer, "body", "offset"))
		}
	}
	got := ask("startdateymd", "2026-11-01", "enddateymd", "2026-11-30")
	if len(got) != 11 || got[0] != "2026-11-10 Europe/Paris" {
		t.Errorf("days %v", got)
	}
	before := s.now.Now()
	s.now.add(time.Hour)
	gone := time.Date(2026, 11, 12, 0, 0, 0, 0, time.UTC)
	s.person.Delete(walking.Window{Start: gone, End: gone.Add(20 * time.Hour)})
	since := []string{"lastupdate", fmt.Sprint(before.Unix())}
	want := []string{"2026-11-12 Europe/Paris", "2026-11-20 Europe/Paris"}
	if got := ask(since...); !slices.Equal(got, want) {
		t.Errorf("changed %v, want %v", got, want)
	}
	wantStatus(t, s.measure("action", "getactivity", "lastupdate", "1", "startdateymd", "2026-11-01"), 503, "")
	wantStatus(t, s.measure("action", "getactivity"), 503, "")
	answer := s.measure("action", "getactivity", "startdateymd", "20261101", "enddateymd", "2026-11-02")
	wantStatus(t, answer, 503, "startdateymd")
}

func TestWorkoutsAndDevices(t *testing.T) {
	s := newService(t, nil)
	answer := s.measure("action", "getworkouts", "data_fields", "steps",
		"startdateymd", "2026-11-10", "enddateymd", "2026-11-20")
	list, _ := at(answer, "body", "series").([]any)
	all := walking.Window{Start: s.person.First().In(time.UTC), End: s.now.Now()}
	truth := s.person.TrueSessions(all, s.person.Synced(s.now.Now()))
	if len(list) == 0 || len(list) != len(truth) {
		t.Fatalf("%d workouts, want %d", len(list), len(truth))
	}
	for i, w := range list {
		category := map[string]string{"WALKING": "1", "BIKING": "6"}[truth[i].Type]
		want := fmt.Sprintf("%d %s", truth[i].Start.Unix(), category)
		if fmt.Sprintf("%v %v", at(w, "startdate"), at(w, "category")) != want {
			t.Errorf("workout %v, want %v", w, truth[i])
		}
	}
	answer = s.post("/v2/user", "action", "getdevice")
	devices, _ := at(answer, "body", "devices").([]any)
	if len(devices) != 2 || text(t, devices[1], "type") != "Activity Tracker" ||
		fmt.Sprint(at(devices[1], "last_session_date")) != fmt.Sprint(s.person.Synced(s.now.Now()).Unix()) {
		t.Errorf("devices %v", devices)
	}
	s.access = text(t, s.renew(s.Grant("ann", withingssim.ScopeInfo)), "body", "access_token")
	wantStatus(t, s.measure("action", "getworkouts", "lastupdate", "1"), 277, "")
}

func TestLimits(t *testing.T) {
	s := newService(t, func(o *withingssim.Options) { o.PerMinute = 10 })
	ask := func(i int) map[string]any { return s.measure("action", "getactivity", "lastupdate", fmt.Sprint(i)) }
	for i := range 9 { // one was for the token
		wantStatus(t, ask(i), 0, "")
	}
	wantStatus(t, ask(10), 601, "Too many")
	s.now.add(time.Minute)
	wantStatus(t, ask(11), 0, "")
	answer := ask(11)
	wantStatus(t, answer, 601, "Same arguments in less than 10 seconds")
	if fmt.Sprint(at(answer, "body", "wait_seconds")) != "10" {
		t.Errorf("%v", answer)
	}
	s.now.add(10 * time.Second)
	wantStatus(t, ask(11), 0, "")
	if s.Peak() != 11 || s.Requests()["ann /v2/measure getactivity"] != 13 {
		t.Errorf("peak %d, requests %v", s.Peak(), s.Requests())
	}
}

func TestFaults(t *testing.T) {
	s := newService(t, func(o *withingssim.Options) { o.Repeats = true })
	for kind, status := range map[simulate.Kind]int{
		withingssim.Unauthorized: 401, withingssim.Forbidden: 277, withingssim.Throttle: 601, withingssim.ThrottleFor: 601,
		withingssim.InvalidParams: 503, withingssim.TimedOut: 522, withingssim.BadState: 524, withingssim.Trouble: 2556,
	} {
		s.Break(simulate.Fault{Kind: kind, Path: "getactivity", Times: 1})
		wantStatus(t, s.post("/v2/user", "action", "getdevice"), 0, "")
		wantStatus(t, s.measure("action", "getactivity", "lastupdate", "1"), status, "")
		wantStatus(t, s.measure("action", "getactivity", "lastupdate", "1"), 0, "")
	}
	s.Break(simulate.Fault{Kind: withingssim.InvalidGrant})
	wantStatus(t, s.renew(s.Grant("ann")), 503, "refresh_token")
	s.Clear()
	get := func(kind simulate.Kind) (int, string, error) {
		s.Break(simulate.Fault{Kind: kind, Times: 1})
		client := &http.Client{Timeout: 200 * time.Millisecond}
		resp, err := client.PostForm(s.url+"/v2/user", url.Values{"action": {"getdevice"}})
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), err
	}
	for kind, want := range map[simulate.Kind]int{
		withingssim.ServerError: 500, simulate.HTMLPage: 502, simulate.HTMLSuccess: 200,
	} {
		status, body, err := get(kind)
		if status != want || err != nil || want != 500 && !strings.HasPrefix(body, "<!DOCTYPE") {
			t.Errorf("%s: status %d, %q, error %v", kind, status, body, err)
		}
	}
	_, body, err := get(simulate.Truncated)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(body, "{") || strings.HasSuffix(body, "}\n") {
		t.Errorf("truncated: %q, error %v", body, err)
	}
	for _, kind := range []simulate.Kind{simulate.Dropped, simulate.Slow} {
		if status, _, err := get(kind); err == nil {
			t.Errorf("%s: status %d", kind, status)
		}
	}
	s.BreakAtRandom(1, withingssim.Trouble)
	wantStatus(t, s.post("/v2/user", "action", "getdevice"), 2556, "")
	s.Clear()
	s.Break(simulate.Fault{Kind: withingssim.ExpireTokens})
	wantStatus(t, s.post("/v2/user", "action", "getdevice"), 401, "invalid_token")
	if n := len(s.Secrets()); n < 4 {
		t.Errorf("%d secrets", n)
	}
}
