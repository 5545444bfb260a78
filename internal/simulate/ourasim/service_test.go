package ourasim_test

import (
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

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
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
	activity = "/v2/usercollection/daily_activity"
	workouts = "/v2/usercollection/workout"
)

// A service is a Service over HTTP that one person uses, at noon of 20 November 2026 in Paris.
type service struct {
	*ourasim.Service
	t      *testing.T
	url    string
	now    *clock
	person *simulate.Person
	access string
}

func newService(t *testing.T, change func(*ourasim.Options)) *service {
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
	o := ourasim.Options{
		Now: s.now.Now, Wall: s.now.Now, ClientID: "app", ClientSecret: secret, Consent: "ann",
		RedirectURLs: []string{redirect},
	}
	if change != nil {
		change(&o)
	}
	s.Service = ourasim.New(o)
	s.Add(s.person)
	server := httptest.NewServer(s.Service)
	t.Cleanup(server.Close)
	s.url = server.URL
	_, answer := s.renew(s.Grant("ann"))
	s.access = text(t, answer, "access_token")
	return s
}

// ask sends a request with the access token, and returns the status and the JSON of the answer.
func (s *service) ask(method, path string, form url.Values) (*http.Response, map[string]any) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Authorization", "Bearer "+s.access)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatalf("%s: status %d, error %v", path, resp.StatusCode, err)
	}
	return resp, answer
}

func (s *service) get(path string, pairs ...string) (int, map[string]any) {
	s.t.Helper()
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	resp, answer := s.ask(http.MethodGet, path+"?"+q.Encode(), nil)
	return resp.StatusCode, answer
}

func (s *service) token(pairs ...string) (int, map[string]any) {
	s.t.Helper()
	form := url.Values{"client_id": {"app"}, "client_secret": {secret}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	resp, answer := s.ask(http.MethodPost, "/oauth/token", form)
	return resp.StatusCode, answer
}

func (s *service) renew(refresh string) (int, map[string]any) {
	s.t.Helper()
	return s.token("grant_type", "refresh_token", "refresh_token", refresh)
}

func text(t *testing.T, m map[string]any, name string) string {
	t.Helper()
	v, ok := m[name].(string)
	if !ok {
		t.Fatalf("no %s in %v", name, m)
	}
	return v
}

// data returns the documents of an answer.
func data(t *testing.T, answer map[string]any) (out []map[string]any) {
	t.Helper()
	list, ok := answer["data"].([]any)
	if !ok {
		t.Fatalf("no data in %v", answer)
	}
	for _, one := range list {
		out = append(out, one.(map[string]any))
	}
	return out
}

func members(docs []map[string]any, name string) (out []string) {
	for _, d := range docs {
		out = append(out, fmt.Sprint(d[name]))
	}
	return out
}

func (s *service) consent(change ...string) (status int, back url.Values) {
	s.t.Helper()
	q := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "state": {"s"}, "scope": {"daily workout"}, "redirect_uri": {redirect},
	}
	for i := 0; i < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(s.url + "/oauth/authorize?" + q.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	u, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, u.Query()
}

func TestConsent(t *testing.T) {
	s := newService(t, nil)
	for _, wrong := range [][]string{{"client_id", "other"}, {"redirect_uri", "http://evil.example"}} {
		if status, back := s.consent(wrong...); status != http.StatusBadRequest || len(back) > 0 {
			t.Errorf("%v: status %d, sent back with %v", wrong, status, back)
		}
	}
	for want, wrong := range map[string][]string{
		"invalid_scope": {"scope", "daily,workout"}, "unsupported_response_type": {"response_type", "token"},
	} {
		if _, back := s.consent(wrong...); back.Get("error") != want || back.Get("state") != "s" {
			t.Errorf("%v: sent back with %v", wrong, back)
		}
	}
	_, back := s.consent()
	if back.Get("scope") != "daily workout" || back.Get("state") != "s" {
		t.Errorf("sent back with %v", back)
	}
	exchange := func(code string, more ...string) (int, string) {
		t.Helper()
		status, answer := s.token(append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", redirect}, more...)...)
		said, _ := answer["error"].(string)
		return status, said
	}
	code := back.Get("code")
	for _, test := range []struct {
		more   []string
		status int
		error  string
	}{
		{[]string{"client_secret", "wrong"}, http.StatusUnauthorized, "invalid_client"},
		{[]string{"redirect_uri", "http://localhost"}, http.StatusBadRequest, "invalid_grant"},
		{[]string{"grant_type", "password"}, http.StatusBadRequest, "unsupported_grant_type"},
		{nil, http.StatusOK, ""},
		{nil, http.StatusBadRequest, "invalid_grant"}, // the code was used
	} {
		if status, said := exchange(code, test.more...); status != test.status || said != test.error {
			t.Errorf("%v: status %d, %q", test.more, status, said)
		}
	}
	_, back = s.consent()
	s.now.add(11 * time.Minute)
	if status, said := exchange(back.Get("code")); status != http.StatusBadRequest || said != "invalid_grant" {
		t.Errorf("an old code: status %d, %q", status, said)
	}
	s.SetConsent("nobody")
	if _, back = s.consent(); back.Get("error") != "access_denied" || back.Get("code") != "" {
		t.Errorf("a refusal: %v", back)
	}
}

// A refresh token is good once, and the access tokens for a day.
func TestTokens(t *testing.T) {
	s := newService(t, func(o *ourasim.Options) { o.TellScopes = true })
	first := s.Grant("ann", ourasim.ScopeDaily)
	status, answer := s.renew(first)
	if status != http.StatusOK || answer["token_type"] != "bearer" || answer["expires_in"] != 86400.0 || answer["scope"] != "daily" {
		t.Errorf("status %d, %v", status, answer)
	}
	if status, answer := s.renew(first); status != http.StatusBadRequest || answer["error"] != "invalid_grant" ||
		answer["error_description"] != "Token is already used or revoked" {
		t.Errorf("used twice: status %d, %v", status, answer)
	}
	if !slices.Contains(s.Secrets(), text(t, answer, "refresh_token")) || !slices.Contains(s.Secrets(), secret) {
		t.Error("a token is no secret")
	}
	s.access = text(t, answer, "access_token")
	get := func(path string, want int) {
		t.Helper()
		if status, answer := s.get(path); status != want {
			t.Errorf("status %d, want %d: %v", status, want, answer)
		}
	}
	get(activity, http.StatusOK)
	get(workouts, http.StatusForbidden)
	s.SetLapsed(true)
	get(activity, http.StatusForbidden)
	s.SetLapsed(false)
	s.now.add(24*time.Hour - time.Second)
	get(activity, http.StatusOK)
	s.now.add(time.Second)
	get(activity, http.StatusUnauthorized)
	_, answer = s.renew(text(t, answer, "refresh_token"))
	s.access = text(t, answer, "access_token")
	get(activity, http.StatusOK)
	s.Revoke("ann")
	get(activity, http.StatusUnauthorized)
	if status, _ := s.renew(text(t, answer, "refresh_token")); status != http.StatusBadRequest {
		t.Errorf("renewed after it was revoked: status %d", status)
	}
}

func TestRevoke(t *testing.T) {
	for by, other := range map[string]string{http.MethodPost: http.MethodGet, http.MethodGet: http.MethodPost} {
		s := newService(t, func(o *ourasim.Options) { o.RevokeBy = by })
		path := "/oauth/revoke?access_token=" + s.access
		if resp, _ := s.ask(other, path, nil); resp.StatusCode != http.StatusMethodNotAllowed || !s.Granted("ann") {
			t.Errorf("%s: status %d", other, resp.StatusCode)
		}
		if resp, _ := s.ask(by, path, nil); resp.StatusCode != http.StatusOK || s.Granted("ann") {
			t.Errorf("%s: status %d", by, resp.StatusCode)
		}
		if resp, _ := s.ask(by, path, nil); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s again: status %d", by, resp.StatusCode)
		}
	}
}

// A document tells what its person has walked from four o'clock on, as far as the ring has synced.
func TestActivity(t *testing.T) {
	s := newService(t, nil)
	status, answer := s.get(activity, "start_date", "2026-11-18", "end_date", "2026-11-21")
	docs := data(t, answer)
	if status != http.StatusOK || answer["next_token"] != nil {
		t.Fatalf("status %d, %v", status, answer["next_token"])
	}
	if d := cmp.Diff([]string{"2026-11-18", "2026-11-19", "2026-11-20"}, members(docs, "day")); d != "" {
		t.Fatalf("days (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{
		"2026-11-18T04:00:00.000+01:00", "2026-11-19T04:00:00.000+01:00", "2026-11-20T04:00:00.000+01:00",
	}, members(docs, "timestamp")); d != "" {
		t.Errorf("starts (-want +got):\n%s", d)
	}
	for i, doc := range docs {
		start := time.Date(2026, 11, 18+i, 3, 0, 0, 0, time.UTC)
		end := start.Add(24 * time.Hour)
		if synced := s.person.Synced(s.now.Now()); end.After(synced) {
			end = synced
		}
		steps := 0
		for _, p := range s.person.Points(walking.Window{Start: start, End: end}, s.now.Now()) {
			steps += p.Steps
		}
		classes, mets := text(t, doc, "class_5_min"), doc["met"].(map[string]any)
		items := mets["items"].([]any)
		if doc["steps"] != float64(steps) || steps < 100 || mets["interval"] != 60.0 || mets["timestamp"] != doc["timestamp"] {
			t.Errorf("%s: %v steps, want %d; %v", doc["day"], doc["steps"], steps, mets["timestamp"])
		}
		if n := int(end.Sub(start) / time.Minute); len(classes) != n/5 || len(items) != n || strings.Trim(classes, "12345") != "" {
			t.Errorf("%s: %d classes and %d METs, want %d minutes", doc["day"], len(classes), len(items), n)
		}
	}
	// As many active minutes for the steps as real days have: 9 to 34 steps to one.
	steps, active := 0, 0
	for _, doc := range s.Documents("ann", s.now.Now()) {
		steps += doc.Steps
		active += 5 * (strings.Count(doc.Classes, "3") + strings.Count(doc.Classes, "4") + strings.Count(doc.Classes, "5"))
	}
	if rate := float64(steps) / float64(active); rate < 9 || rate > 34 {
		t.Errorf("%.1f steps to an active minute", rate)
	}
}

func TestVariants(t *testing.T) {
	read := func(change func(*ourasim.Options), pairs ...string) []map[string]any {
		t.Helper()
		s := newService(t, change)
		_, answer := s.get(activity, append([]string{"start_date", "2026-11-19", "end_date", "2026-11-20"}, pairs...)...)
		return data(t, answer)
	}
	for name, test := range map[string]struct {
		change func(*ourasim.Options)
		want   []string
	}{
		"read as midnight": {nil, []string{"2026-11-19"}},
		"inclusive":        {func(o *ourasim.Options) { o.End = ourasim.EndInclusive }, []string{"2026-11-19", "2026-11-20"}},
		"exclusive":        {func(o *ourasim.Options) { o.End = ourasim.EndExclusive }, []string{"2026-11-19"}},
		"start exclusive": {
			func(o *ourasim.Options) { o.End, o.StartExclusive = ourasim.EndInclusive, true }, []string{"2026-11-20"},
		},
	} {
		if d := cmp.Diff(test.want, members(read(test.change), "day")); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	inclusive := func(change func(*ourasim.Options)) map[string]any {
		docs := read(func(o *ourasim.Options) {
			o.End = ourasim.EndInclusive
			change(o)
		})
		return docs[len(docs)-1]
	}
	if doc := inclusive(func(o *ourasim.Options) { o.Midnight = true }); doc["timestamp"] != "2026-11-20T00:00:00.000+01:00" ||
		len(text(t, doc, "class_5_min")) != 12*12 {
		t.Errorf("from midnight: %v", doc["timestamp"])
	}
	if c := text(t, inclusive(func(o *ourasim.Options) { o.Pad = ourasim.PadToNow }), "class_5_min"); len(c) != 97 || c[96] != '0' {
		t.Errorf("padded to now: %d, %s", len(c), c)
	}
	if c := text(t, inclusive(func(o *ourasim.Options) { o.Pad = ourasim.PadToEnd }), "class_5_min"); len(c) != 288 ||
		strings.TrimRight(c, "0") != c[:96] {
		t.Errorf("padded to the end: %d, %s", len(c), c)
	}
	if doc := inclusive(func(o *ourasim.Options) { o.NoClasses, o.NoMETs = true, true }); doc["class_5_min"] != nil || doc["met"] != nil {
		t.Errorf("without both: %v, %v", doc["class_5_min"], doc["met"])
	}
	doc := inclusive(func(o *ourasim.Options) {
		o.Interval = 5 * time.Minute
		o.Unworn = []walking.Window{{Start: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), End: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}}
	})
	mets := doc["met"].(map[string]any)
	items := mets["items"].([]any)
	if mets["interval"] != 300.0 || len(items) != 96 || items[59] == nil || items[60] != nil || items[71] != nil || items[72] == nil ||
		text(t, doc, "class_5_min")[60:72] != "000000000000" {
		t.Errorf("unworn: %v", doc)
	}
}

func TestPages(t *testing.T) {
	for _, empty := range []bool{false, true} {
		s := newService(t, func(o *ourasim.Options) { o.PageSize, o.EmptyPages = 4, empty })
		var days []string
		sizes := []int{}
		token := ""
		for range 20 {
			pairs := []string{"start_date", "2026-11-01", "end_date", "2026-12-01"}
			if token != "" {
				pairs = append(pairs, "next_token", token)
			}
			_, answer := s.get(activity, pairs...)
			docs := data(t, answer)
			days, sizes = append(days, members(docs, "day")...), append(sizes, len(docs))
			var more bool
			if token, more = answer["next_token"].(string); !more {
				break
			}
		}
		want := []int{4, 4, 3}
		if empty {
			want = []int{0, 4, 0, 4, 0, 3}
		}
		if d := cmp.Diff(want, sizes); d != "" || !slices.IsSorted(days) || len(days) != 11 {
			t.Errorf("empty %t: %v (-want +got):\n%s", empty, days, d)
		}
	}
	s := newService(t, nil)
	for _, wrong := range [][]string{
		{"start_date", "yesterday"},
		{"end_date", "2026-13-01"},
		{"start_date", "2026-11-20", "end_date", "2026-11-19"},
		{"next_token", "more"},
	} {
		if status, answer := s.get(activity, wrong...); status != http.StatusBadRequest || answer["title"] != "Invalid Query Parameters" {
			t.Errorf("%v: status %d, %v", wrong, status, answer)
		}
	}
}

// What comes late, is corrected or taken back shows in the documents.
func TestChanges(t *testing.T) {
	s := newService(t, func(o *ourasim.Options) { o.End, o.NewIDs = ourasim.EndInclusive, true })
	ask := func() map[string]any {
		_, answer := s.get(activity, "start_date", "2026-11-18", "end_date", "2026-11-18")
		docs := data(t, answer)
		if len(docs) == 0 {
			return nil
		}
		return docs[0]
	}
	at := func(hour int) time.Time { return time.Date(2026, 11, 18, hour, 0, 0, 0, time.UTC) }
	before := ask()
	s.person.Late(walking.Window{Start: at(6), End: at(12)}, time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	if doc := ask(); doc["steps"].(float64) >= before["steps"].(float64) || doc["id"] == before["id"] {
		t.Errorf("late: %v steps of %v", doc["steps"], before["steps"])
	}
	s.now.add(14 * time.Hour)
	if doc := ask(); doc["steps"] != before["steps"] || doc["id"] != before["id"] {
		t.Errorf("come: %v steps of %v", doc["steps"], before["steps"])
	}
	s.person.Delete(walking.Window{Start: at(4), End: at(28)})
	if doc := ask(); doc["steps"] != 0.0 {
		t.Errorf("deleted: %v steps", doc["steps"])
	}
	s.Forget("ann", walking.DayOf(2026, 11, 18))
	if doc := ask(); doc != nil {
		t.Errorf("forgotten: %v", doc)
	}
}

// A day lasts until the next one begins, however long that is.
func TestLengthOfDays(t *testing.T) {
	for _, test := range []struct {
		home    string
		first   walking.Day
		always  bool
		classes []int
	}{
		{"Europe/Paris", walking.DayOf(2026, 10, 23), false, []int{288, 300, 288}},
		{"Europe/Paris", walking.DayOf(2026, 3, 27), false, []int{288, 276, 288}},
		{"Europe/Paris", walking.DayOf(2026, 3, 27), true, []int{288, 288, 288}},
		{"Europe/Paris", walking.DayOf(2026, 10, 23), true, []int{288, 288, 288}},
	} {
		zone, err := time.LoadLocation(test.home)
		if err != nil {
			t.Fatal(err)
		}
		life, err := simulate.Volunteer()
		if err != nil {
			t.Fatal(err)
		}
		p, err := simulate.NewPerson(simulate.Plan{Name: "ann", Life: life, Home: zone, First: test.first})
		if err != nil {
			t.Fatal(err)
		}
		s := ourasim.New(ourasim.Options{AlwaysDay: test.always})
		s.Add(p)
		docs := s.Documents("ann", (test.first + 4).In(zone))
		for i, want := range test.classes {
			if got := docs[i]; len(got.Classes) != want || i > 0 && !got.Start.Equal(docs[i-1].End) {
				t.Errorf("%s: %d classes from %s to %s, want %d", got.Day, len(got.Classes), got.Start, got.End, want)
			}
		}
	}
}

func TestWorkouts(t *testing.T) {
	s := newService(t, func(o *ourasim.Options) { o.Manual = true })
	_, answer := s.get(workouts, "start_date", "2026-11-10", "end_date", "2026-11-21")
	docs := data(t, answer)
	sources := map[string]int{}
	for i, doc := range docs {
		sources[text(t, doc, "source")]++
		start, err := time.Parse(time.RFC3339, text(t, doc, "start_datetime"))
		if err != nil {
			t.Fatal(err)
		}
		want := s.Workouts("ann", s.now.Now())[i]
		if !start.Equal(want.Start) || doc["activity"] != want.Activity || doc["id"] != want.ID {
			t.Errorf("%v, want %+v", doc, want)
		}
	}
	if sources["manual"] != 10 || sources["autodetected"] < 3 || sources["confirmed"] < 1 {
		t.Errorf("sources %v", sources)
	}
}

func TestRings(t *testing.T) {
	s := newService(t, nil)
	_, answer := s.get("/v2/usercollection/ring_configuration")
	if d := cmp.Diff([]string{"gen3", "gen4"}, members(data(t, answer), "hardware_type")); d != "" {
		t.Errorf("rings (-want +got):\n%s", d)
	}
	_, answer = s.get("/v2/usercollection/ring_battery_level", "latest", "true")
	if d := cmp.Diff([]string{"2026-11-20T11:00:00Z"}, members(data(t, answer), "timestamp")); d != "" {
		t.Errorf("battery (-want +got):\n%s", d)
	}
	if _, answer = s.get("/v2/usercollection/personal_info"); answer["id"] == nil || answer["age"] != 44.0 || answer["email"] != nil {
		t.Errorf("person %v", answer)
	}
}

func TestFaults(t *testing.T) {
	s := newService(t, nil)
	for kind, want := range map[simulate.Kind]int{
		ourasim.BadRequest: 400, ourasim.Unauthorized: 401, ourasim.NoScope: 403, ourasim.NoMembership: 403, ourasim.Forbidden: 403,
		ourasim.Unprocessable: 422, ourasim.OldApp: 426, ourasim.Throttle: 429, ourasim.ThrottleFor: 429, ourasim.ThrottleApp: 429,
		ourasim.ServerError: 500, ourasim.Unavailable: 503, ourasim.Null: 200, ourasim.EmptyPage: 200, ourasim.SamePage: 200,
	} {
		s.Break(simulate.Fault{Kind: kind, Times: 1})
		resp, _ := s.ask(http.MethodGet, activity, nil)
		if resp.StatusCode != want {
			t.Errorf("%s: status %d", kind, resp.StatusCode)
		}
		h := resp.Header
		if waits := kind == ourasim.ThrottleFor || kind == ourasim.ThrottleApp; waits != (h.Get("X-RateLimit-Reset") != "") ||
			waits && (h.Get("Retry-After") == "" || h.Get("X-RateLimit-Tier") == "" || h.Get("X-RateLimit-Window") != "300") {
			t.Errorf("%s: %v", kind, h)
		}
		if status, _ := s.get(activity); status != http.StatusOK {
			t.Errorf("after %s: status %d", kind, status)
		}
	}
	s.Break(simulate.Fault{Kind: ourasim.ExpireTokens})
	if status, _ := s.get(activity); status != http.StatusUnauthorized {
		t.Errorf("with tokens that have ended: status %d", status)
	}
	s.Break(simulate.Fault{Kind: ourasim.InvalidGrant, Times: 1})
	refresh := s.Grant("ann")
	if status, _ := s.renew(refresh); status != http.StatusBadRequest {
		t.Errorf("status %d", status)
	}
	if status, _ := s.renew(refresh); status != http.StatusOK {
		t.Errorf("then status %d", status)
	}
	if n := s.Requests()["ann "+activity]; n < 30 {
		t.Errorf("%d requests counted", n)
	}
}

func TestLimit(t *testing.T) {
	s := newService(t, func(o *ourasim.Options) { o.PerFiveMinutes = 3 })
	for n := range 5 {
		resp, _ := s.ask(http.MethodGet, activity, nil)
		if want := map[bool]int{true: 200, false: 429}[n < 3]; resp.StatusCode != want {
			t.Errorf("request %d: status %d", n, resp.StatusCode)
		}
		if n == 4 && resp.Header.Get("Retry-After") != "300" {
			t.Errorf("wait %s s", resp.Header.Get("Retry-After"))
		}
	}
	s.now.add(5 * time.Minute)
	if status, _ := s.get(activity); status != http.StatusOK || s.Peak() != 5 {
		t.Errorf("status %d, peak %d", status, s.Peak())
	}
}
