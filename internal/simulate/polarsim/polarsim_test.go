package polarsim_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/polarsim"
	"github.com/walkd/walkd/internal/walking"
)

func TestConsentAndToken(t *testing.T) {
	s := start(t, nil)
	back := s.consent(authQuery())
	q := back.Query()
	if !strings.HasPrefix(back.String(), redirect+"?") || q.Get("state") != "s t" || q.Get("code") == "" {
		t.Fatalf("sent back to %s", back)
	}
	r := s.exchange(clientID, clientSecret, codeForm(q.Get("code")))
	var token struct {
		Access  string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
		User    int    `json:"x_user_id"`
		Refresh string `json:"refresh_token"`
	}
	r.read(t, &token)
	if r.status != 200 || token.Access == "" || token.Type != "bearer" || token.Expires != 31535999 || token.User == 0 ||
		token.Refresh != "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.token = token.Access
	if r := s.get(exercisesPath); r.status != 200 {
		t.Errorf("with the token: %d %s", r.status, r.body)
	}
	// Tokens do not end, but a code that is used again ends those that came of it.
	s.now.add(3 * 365 * 24 * time.Hour)
	if r := s.get(exercisesPath); r.status != 200 {
		t.Errorf("three years later: %d", r.status)
	}
	if r := s.exchange(clientID, clientSecret, codeForm(q.Get("code"))); r.status != 400 ||
		!strings.Contains(r.body, "invalid_grant") {
		t.Errorf("a code used twice: %d %s", r.status, r.body)
	}
	if r := s.get(exercisesPath); r.status != 401 {
		t.Errorf("after its code was used again: %d", r.status)
	}
}

func TestConsentRefused(t *testing.T) {
	s := start(t, nil)
	for _, tt := range []struct{ key, value, want string }{
		{"response_type", "token", "unsupported_response_type"},
		{"scope", "everything", "invalid_scope"},
		{"redirect_uri", "http://elsewhere", "invalid_request"},
	} {
		q := authQuery()
		q.Set(tt.key, tt.value)
		back := s.consent(q)
		if got := back.Query(); got.Get("error") != tt.want || got.Get("state") != "s t" || got.Has("code") ||
			!strings.HasPrefix(back.String(), redirect+"?") {
			t.Errorf("%s %s: %v", tt.key, tt.value, back)
		}
	}
	q := authQuery()
	q.Set("client_id", "another")
	if r := s.must(http.MethodGet, "/oauth2/authorization?"+q.Encode(), "", nil); r.status != 400 {
		t.Errorf("another client: %d", r.status)
	}
	q = authQuery()
	q.Del("redirect_uri") // there is one by default
	if got := s.consent(q); got.Query().Get("code") == "" {
		t.Errorf("without a redirect: %v", got)
	}
	s.SetConsent("nobody")
	if got := s.consent(authQuery()).Query(); got.Get("error") != "access_denied" {
		t.Errorf("%v", got)
	}
	s.SetConsent("")
	path := "/oauth2/authorization?" + authQuery().Encode()
	if r := s.must(http.MethodGet, path, "", nil); r.status != 200 || !strings.Contains(r.body, "<option>ann</option>") {
		t.Errorf("%d %s", r.status, r.body)
	}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for body, want := range map[string]string{"person=ann": "code=", "person=ann&refuse=1": "error=access_denied"} {
		if r := s.must(http.MethodPost, path, body, form); !strings.Contains(r.header.Get("Location"), want) {
			t.Errorf("%s: %d %v", body, r.status, r.header)
		}
	}
}

func TestTokenRefused(t *testing.T) {
	s := start(t, nil)
	code := func() string { return s.consent(authQuery()).Query().Get("code") }
	with := func(change func(url.Values)) url.Values {
		f := codeForm(code())
		change(f)
		return f
	}
	late := codeForm(code())
	s.now.add(10 * time.Minute)
	for _, tt := range []struct {
		name, id, secret string
		form             url.Values
		want             string
	}{
		{"no client", "", "", codeForm(code()), "invalid_client"},
		{"another secret", clientID, "x", codeForm(code()), "invalid_client"},
		{"the secret in the form", "", "", with(func(f url.Values) {
			f.Set("client_id", clientID)
			f.Set("client_secret", clientSecret)
		}), "invalid_client"},
		{"another grant", clientID, clientSecret, url.Values{"grant_type": {"refresh_token"}}, "unsupported_grant_type"},
		{"no code", clientID, clientSecret, with(func(f url.Values) { f.Del("code") }), "invalid_request"},
		{"an unknown code", clientID, clientSecret, codeForm("x"), "invalid_grant"},
		{"an old code", clientID, clientSecret, late, "invalid_grant"},
		{"another redirect", clientID, clientSecret, with(func(f url.Values) { f.Set("redirect_uri", "http://x") }), "invalid_grant"},
	} {
		r := s.exchange(tt.id, tt.secret, tt.form)
		var got struct {
			Error string `json:"error"`
		}
		r.read(t, &got)
		if r.status != 400 || got.Error != tt.want {
			t.Errorf("%s: %d %s, want %s", tt.name, r.status, r.body, tt.want)
		}
	}
}

func TestRegistration(t *testing.T) {
	s := start(t, nil)
	ben, err := simulate.NewPerson(simulate.Plan{Name: "ben", Life: life(t, nil), Home: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	s.Add(ben)
	s.SetConsent("ben")
	var token struct {
		Access string `json:"access_token"`
	}
	s.exchange(clientID, clientSecret, codeForm(s.consent(authQuery()).Query().Get("code"))).read(t, &token)
	s.token = token.Access
	if r := s.get(activitiesPath); r.status != 403 {
		t.Errorf("before the registration: %d", r.status)
	}
	for name, r := range map[string]reply{
		"no body":  s.must(http.MethodPost, "/v3/users", "", s.bearer()),
		"no type":  s.must(http.MethodPost, "/v3/users", `{"member-id":"a"}`, s.bearer()),
		"no name":  s.register(s.token, ""),
		"no token": s.register("x", "ben"),
	} {
		if want := map[bool]int{true: 401, false: 400}[name == "no token"]; r.status != want || s.Registered("ben") {
			t.Errorf("%s: %d, want %d", name, r.status, want)
		}
	}
	if r := s.register(s.token, "ann"); r.status != 409 || s.Registered("ben") { // the member ID of somebody else
		t.Errorf("another's member ID: %d", r.status)
	}
	s.SetNoConsents(true)
	if r := s.register(s.token, "ben-1"); r.status != 403 {
		t.Errorf("without mandatory consents: %d", r.status)
	}
	s.SetNoConsents(false)
	var user struct {
		ID     int    `json:"polar-user-id"`
		Member string `json:"member-id"`
	}
	s.register(s.token, "ben-1").read(t, &user)
	if user.ID == 0 || user.Member != "ben-1" || !s.Registered("ben") {
		t.Errorf("%+v", user)
	}
	if r := s.register(s.token, "ben-2"); r.status != 409 {
		t.Errorf("again: %d", r.status)
	}
	if r := s.get(activitiesPath); r.status != 200 {
		t.Errorf("after the registration: %d", r.status)
	}
	path := fmt.Sprintf("/v3/users/%d", user.ID)
	if r := s.get(path); r.status != 200 || !strings.Contains(r.body, "ben-1") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.get("/v3/users/1"); r.status != 403 {
		t.Errorf("of somebody else: %d", r.status)
	}
	if r := s.must(http.MethodDelete, path, "", s.bearer()); r.status != 204 || s.Registered("ben") {
		t.Errorf("%d", r.status)
	}
	if r := s.get(activitiesPath); r.status != 401 {
		t.Errorf("after it was deleted: %d", r.status)
	}
}

func TestMinutesThatRepeatAreLeftOut(t *testing.T) {
	s := start(t, func(_ *polarsim.Options, p *simulate.Plan) {
		p.Life = life(t, map[int]uint8{60: 7, 61: 7, 62: 7, 63: 9, 65: 9})
	})
	d := s.day("2026-11-19")
	want := []sample{
		{0, "2026-11-19T00:00"},
		{7, "2026-11-19T01:00"},
		{9, "2026-11-19T01:03"},
		{0, "2026-11-19T01:04"},
		{9, "2026-11-19T01:05"},
		{0, "2026-11-19T01:06"},
	}
	if diff := cmp.Diff(want, d.Samples.Steps.Samples); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if d.Steps != 39 || d.Samples.Steps.Total != 39 || d.Samples.Steps.Interval != 60_000 ||
		d.Start != "2026-11-19T00:00:00" || d.End != "2026-11-19T23:59:59" || d.Samples.Date != "2026-11-19" {
		t.Errorf("%+v", d)
	}
	if got := s.day("2026-11-20"); got.End != "2026-11-20T12:00:00" || got.Steps != 39 {
		t.Errorf("today: %+v", got)
	}
	for path, want := range map[string]int{
		"/2026-11-21": 204, "/2026-08-31": 204, "/2025-11-20": 204, "/2025-11-19": 400, "/soon": 400,
	} {
		if r := s.get(activitiesPath + path); r.status != want {
			t.Errorf("%s: %d, want %d", path, r.status, want)
		}
	}
	for query, want := range map[string][2]bool{
		"": {}, "?steps=true": {true, false}, "?activity_zones=true": {false, true}, "?steps=false": {},
	} {
		var got day
		s.get(activitiesPath+"/2026-11-19"+query).read(t, &got)
		is := [2]bool{got.Samples != nil && got.Samples.Steps != nil, got.Samples != nil && got.Samples.Zones != nil}
		if is != want {
			t.Errorf("%q: steps and zones %v, want %v", query, is, want)
		}
	}
}

func TestOptions(t *testing.T) {
	unworn := walking.Window{Start: at(t, "2026-11-19T09:00:00Z"), End: at(t, "2026-11-19T10:00:00Z")}
	s := start(t, func(o *polarsim.Options, p *simulate.Plan) {
		o.NoInterval, o.NoTotal, o.EndOfDay, o.Unworn = true, true, true, []walking.Window{unworn}
		o.Total = func(_ walking.Day, sum int) int { return 2 * sum }
		p.Life = life(t, map[int]uint8{60: 50, 61: 70})
	})
	d := s.day("2026-11-20")
	if d.Steps != 240 || d.Samples.Steps.Interval != 0 || d.Samples.Steps.Total != 0 || d.End != "2026-11-20T23:59:59" {
		t.Errorf("%+v", d)
	}
	var zones []string
	for _, z := range s.day("2026-11-19").Samples.Zones.Samples {
		zones = append(zones, z.Timestamp[11:]+" "+z.Zone)
	}
	want := []string{
		"00:00:00 SEDENTARY", "01:00:00 LIGHT", "01:01:00 MODERATE", "01:02:00 SEDENTARY", "10:00:00 NON_WEAR",
		"11:00:00 SEDENTARY",
	}
	if diff := cmp.Diff(want, zones); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The times are those of the person's clock, in the order in which they went by.
func TestClocksThatChange(t *testing.T) {
	night := map[int]uint8{}
	for m := 119; m < 185; m++ {
		night[m] = uint8(1 + m%2)
	}
	s := start(t, func(_ *polarsim.Options, p *simulate.Plan) {
		p.Life, p.First = life(t, night), walking.DayOf(2026, time.March, 1)
	})
	var walls []string
	for _, x := range s.day("2026-10-25").Samples.Steps.Samples {
		walls = append(walls, x.Timestamp[11:])
	}
	if len(walls) != 1+66+60+1 || walls[1] != "01:59" || walls[2] != "02:00" || walls[62] != "02:00" || walls[121] != "02:59" {
		t.Errorf("the repeated hour: %v", walls)
	}
	s.now.t = at(t, "2026-04-01T12:00:00Z")
	walls = nil
	for _, x := range s.day("2026-03-29").Samples.Steps.Samples {
		walls = append(walls, x.Timestamp[11:])
	}
	if len(walls) != 8 || walls[1] != "01:59" || walls[2] != "03:00" {
		t.Errorf("the skipped hour: %v", walls)
	}
}

func TestRanges(t *testing.T) {
	s := start(t, nil)
	for query, want := range map[string]struct {
		status, days int
		first, last  string
	}{
		"":                                {200, 28, "2026-10-24", "2026-11-20"},
		"/":                               {200, 28, "2026-10-24", "2026-11-20"},
		"?from=2026-11-10":                {200, 11, "2026-11-10", "2026-11-20"},
		"?from=2026-10-01&to=2026-10-28":  {200, 28, "2026-10-01", "2026-10-28"},
		"?from=2026-10-01&to=2026-10-29":  {400, 0, "", ""},
		"?from=2026-08-20&to=2026-09-02":  {200, 2, "2026-09-01", "2026-09-02"},
		"?from=2026-11-19&to=2026-11-25":  {200, 2, "2026-11-19", "2026-11-20"},
		"?from=2026-11-20&to=2026-11-19":  {400, 0, "", ""},
		"?from=2025-11-19&to=2025-11-30":  {400, 0, "", ""},
		"?from=2025-11-20&to=2025-11-30":  {200, 0, "", ""},
		"?from=yesterday":                 {400, 0, "", ""},
		"?from=2026-11-10&to=":            {200, 11, "2026-11-10", "2026-11-20"},
		"?from=2026-11-10&to=2026-11-1":   {400, 0, "", ""},
		"?from=2026-11-20&to=2026-11-20&": {200, 1, "2026-11-20", "2026-11-20"},
	} {
		r := s.get(activitiesPath + query)
		var days []day
		if r.status == 200 {
			r.read(t, &days)
		}
		if r.status != want.status || len(days) != want.days ||
			want.days > 0 && (days[0].Start[:10] != want.first || days[len(days)-1].Start[:10] != want.last) {
			t.Errorf("%q: %d, %d days, want %+v", query, r.status, len(days), want)
		}
	}
}

func TestExercises(t *testing.T) {
	s := start(t, nil)
	type exercise struct {
		ID       string `json:"id"`
		Start    string `json:"start_time"`
		Offset   int    `json:"start_time_utc_offset"`
		Duration string `json:"duration"`
		Sport    string `json:"sport"`
		Detail   string `json:"detailed_sport_info"`
	}
	list := func() (out []exercise) {
		s.get(exercisesPath).read(t, &out)
		return out
	}
	now := s.now.Now()
	all := list()
	sessions := s.person.Sessions(walking.Window{Start: now.Add(-720 * time.Hour), End: now}, now)
	if len(all) == 0 || len(all) != len(sessions) {
		t.Fatalf("%d exercises, want %d", len(all), len(sessions))
	}
	kinds, ids := map[string]int{}, map[string]bool{}
	for i, x := range all {
		kinds[x.Sport+" "+x.Detail]++
		ids[x.ID] = true
		start, err := time.Parse("2006-01-02T15:04:05", x.Start)
		length, lengthErr := time.ParseDuration(strings.ToLower(strings.TrimPrefix(x.Duration, "PT")))
		if err != nil || lengthErr != nil || !start.Add(-time.Duration(x.Offset)*time.Minute).Equal(sessions[i].Start) ||
			length != sessions[i].End.Sub(sessions[i].Start) {
			t.Errorf("%+v is not %+v", x, sessions[i])
		}
	}
	if len(ids) != len(all) || kinds["WALKING WALKING"] == 0 || kinds["CYCLING ROAD_BIKING"] == 0 || len(kinds) != 2 {
		t.Errorf("%v, %d IDs of %d", kinds, len(ids), len(all))
	}
	// Who is registered only now is told nothing from before.
	var user struct {
		ID int `json:"polar-user-id"`
	}
	var token struct {
		ID     int    `json:"x_user_id"`
		Access string `json:"access_token"`
	}
	renew := func() {
		s.exchange(clientID, clientSecret, codeForm(s.consent(authQuery()).Query().Get("code"))).read(t, &token)
		s.token = token.Access
	}
	renew()
	s.must(http.MethodDelete, fmt.Sprint("/v3/users/", token.ID), "", s.bearer())
	renew()
	if s.register(s.token, "ann-2").read(t, &user); user.ID != token.ID || len(list()) != 0 {
		t.Errorf("user %d with the token of %d is told of %d exercises", user.ID, token.ID, len(list()))
	}
	s.now.add(8 * 24 * time.Hour)
	if got := len(list()); got == 0 || got >= len(all) {
		t.Errorf("a week later there are %d exercises, and %d without the registration", got, len(all))
	}
}

func TestLimits(t *testing.T) {
	s := start(t, func(o *polarsim.Options, _ *simulate.Plan) { o.Short, o.Long = 3, 5 })
	look := func() string {
		r := s.get(exercisesPath)
		return fmt.Sprintf("%d: %s of %s, %s", r.status, r.header.Get("RateLimit-Usage"), r.header.Get("RateLimit-Limit"),
			r.header.Get("RateLimit-Reset"))
	}
	var got []string
	for range 2 {
		got = append(got, look())
	}
	s.now.add(10 * time.Minute)
	s.get("/nowhere") // counts nowhere
	got = append(got, look(), look())
	s.now.add(5 * time.Minute)
	got = append(got, look(), look())
	s.now.add(24 * time.Hour)
	got = append(got, look())
	want := []string{
		"200: 1, 1 of 3, 5, 900, 86400", "200: 2, 2 of 3, 5, 900, 86400", "200: 3, 3 of 3, 5, 300, 85800",
		"429: 4, 4 of 3, 5, 300, 85800", "200: 1, 5 of 3, 5, 900, 85500", "429: 2, 6 of 3, 5, 900, 85500",
		"200: 1, 1 of 3, 5, 900, 86400",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if short, long := s.Peak(); short != 4 || long != 6 {
		t.Errorf("peaks %d and %d, want 4 and 6", short, long)
	}
	s = start(t, nil)
	if r := s.get(exercisesPath); r.header.Get("RateLimit-Limit") != "520, 5100" {
		t.Errorf("limits with one user: %s", r.header.Get("RateLimit-Limit"))
	}
}

func TestFaults(t *testing.T) {
	const path = activitiesPath + "?steps=true"
	s := start(t, func(o *polarsim.Options, _ *simulate.Plan) { o.Short, o.Long = 10_000, 10_000 })
	good := s.get(path).body
	for _, tt := range []struct {
		kind   simulate.Kind
		status int
		says   string
	}{
		{polarsim.Unauthorized, 401, "error"},
		{polarsim.Forbidden, 403, "mandatory consents"},
		{polarsim.Throttle, 429, "Too many"},
		{polarsim.ThrottleFor, 429, "Too many"},
		{polarsim.ServerError, 500, "error"},
		{polarsim.Unavailable, 503, "error"},
		{simulate.HTMLPage, 502, "<!DOCTYPE html>"},
		{simulate.HTMLSuccess, 200, "<!DOCTYPE html>"},
		{polarsim.Null, 200, "null\n"},
	} {
		s.Break(simulate.Fault{Kind: tt.kind, Times: 2})
		for range 2 {
			if r := s.get(path); r.status != tt.status || !strings.Contains(r.body, tt.says) {
				t.Errorf("%s: %d %.100s", tt.kind, r.status, r.body)
			}
		}
		if r := s.get(path); r.body != good {
			t.Errorf("%s: after two times %d", tt.kind, r.status)
		}
		s.Break(simulate.Fault{Kind: tt.kind, Path: "/exercises"})
		if r := s.get(path); r.body != good {
			t.Errorf("%s of another path: %d", tt.kind, r.status)
		}
		for range 3 {
			if r := s.get(exercisesPath); r.status != tt.status {
				t.Errorf("%s until it is cleared: %d", tt.kind, r.status)
			}
		}
		s.Clear()
	}
	s.Break(simulate.Fault{Kind: polarsim.ThrottleFor, Times: 1})
	if h := s.get(path).header; h.Get("RateLimit-Usage") != "10000, 3" || h.Get("RateLimit-Reset") != "420, 80000" {
		t.Errorf("%v", h)
	}
	s.Break(simulate.Fault{Kind: simulate.Truncated, Times: 1})
	if r := s.get(path); !errors.Is(r.err, io.ErrUnexpectedEOF) || !strings.HasPrefix(good, r.body) || r.body == good {
		t.Errorf("truncated: %d bytes of %d, %v", len(r.body), len(good), r.err)
	}
	s.Break(simulate.Fault{Kind: simulate.Dropped, Times: 1})
	if r, err := s.send(http.MethodGet, path, "", s.bearer()); err == nil {
		t.Errorf("dropped: %d", r.status)
	}
	s.Break(simulate.Fault{Kind: simulate.Slow, Times: 1})
	client := &http.Client{Timeout: 20 * time.Millisecond}
	if resp, err := client.Get(s.url + path); err == nil {
		defer resp.Body.Close()
		t.Errorf("slow: %s", resp.Status)
	}
	// What is lost on the way was done all the same.
	code := s.consent(authQuery()).Query().Get("code")
	s.Break(simulate.Fault{Kind: simulate.Truncated, Path: tokenPath, Times: 1})
	if r := s.exchange(clientID, clientSecret, codeForm(code)); r.err == nil {
		t.Errorf("a lost token: %d", r.status)
	}
	if r := s.exchange(clientID, clientSecret, codeForm(code)); r.status != 400 {
		t.Errorf("its code: %d", r.status)
	}
	s.Break(simulate.Fault{Kind: polarsim.InvalidGrant, Times: 1})
	code = s.consent(authQuery()).Query().Get("code")
	if r := s.exchange(clientID, clientSecret, codeForm(code)); !strings.Contains(r.body, "invalid_grant") {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.Revoke("ann")
	if r := s.get(path); r.status != 401 {
		t.Errorf("revoked: %d", r.status)
	}
}

func TestFaultsByChance(t *testing.T) {
	const nothing = activitiesPath + "/2026-08-01"
	run := func(seed uint64) (out []int) {
		s := start(t, func(o *polarsim.Options, _ *simulate.Plan) { o.Seed = seed })
		s.BreakAtRandom(0.25, polarsim.ServerError, polarsim.Throttle)
		for range 200 {
			out = append(out, s.get(nothing).status)
		}
		s.Clear()
		for range 30 {
			if r := s.get(nothing); r.status != 204 {
				t.Errorf("cleared: %d", r.status)
			}
		}
		return out
	}
	first := run(1)
	failed := map[int]int{}
	for _, status := range first {
		failed[status]++
	}
	if failed[500] < 10 || failed[429] < 10 || failed[204] < 120 || failed[204] > 175 {
		t.Errorf("%v of 200, want about 150 good ones and 25 of each fault", failed)
	}
	if !cmp.Equal(first, run(1)) || cmp.Equal(first, run(2)) {
		t.Error("the faults do not follow from the seed")
	}
}

func TestRequestsAndSecrets(t *testing.T) {
	s := start(t, nil)
	s.get(exercisesPath)
	s.get(activitiesPath)
	s.get(activitiesPath)
	s.get("/nowhere")
	code := s.consent(authQuery()).Query().Get("code")
	r := s.exchange(clientID, clientSecret, codeForm(code))
	want := map[string]int{"ann " + exercisesPath: 1, "ann " + activitiesPath: 2, " " + tokenPath: 1}
	if diff := cmp.Diff(want, s.Requests()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	found := 0
	for _, secret := range s.Secrets() {
		if secret == clientSecret || secret == code || secret == s.token || strings.Contains(r.body, secret) {
			found++
		}
	}
	if found != 4 {
		t.Errorf("%d of 4 secrets are known", found)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := start(t, func(o *polarsim.Options, _ *simulate.Plan) { o.Short, o.Long = 10_000, 10_000 })
	s.BreakAtRandom(0.1, polarsim.ServerError, simulate.Truncated)
	now := s.now.Now()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				if _, err := s.send(http.MethodGet, activitiesPath+"?steps=true", "", s.bearer()); err != nil {
					t.Error(err)
				}
				s.SetConsent("ann")
				s.person.Correct(now.Add(-time.Hour), i)
				s.Break(simulate.Fault{Kind: polarsim.Unauthorized, Path: "/exercises"})
				s.Requests()
				s.Secrets()
				s.Peak()
				s.Grant("ann")
			}
		})
	}
	wg.Wait()
	if got := s.Requests()["ann "+activitiesPath]; got != 40 {
		t.Errorf("%d requests were counted, want 40", got)
	}
}
