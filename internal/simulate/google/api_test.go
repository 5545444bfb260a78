package google_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate/google"
	"github.com/walkd/walkd/internal/walking"
)

// records reads minutes of steps as the service tells them, oldest first.
func records(t *testing.T, points []any) (out []walking.Record) {
	t.Helper()
	for _, p := range slices.Backward(points) {
		begin := at(t, member(p, "steps", "interval", "startTime"))
		offset, err := time.ParseDuration(member(p, "steps", "interval", "startUtcOffset"))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := strconv.Atoi(member(p, "steps", "count"))
		if err != nil && member(p, "steps", "count") != "" {
			t.Fatal(err)
		}
		out = append(out, walking.Record{
			Start: begin, Duration: at(t, member(p, "steps", "interval", "endTime")).Sub(begin), Steps: float64(steps),
			Offset: int(offset.Seconds()), HasOffset: true,
		})
	}
	return out
}

func TestReconciledStepsAreTheTruth(t *testing.T) {
	for _, zeros := range []google.Zeros{google.ZerosLeftOut, google.ZerosEmpty} {
		s := start(t, func(_ *google.ServerOptions, wo *google.WalkerOptions) { wo.Zeros = zeros })
		now := s.domain.Now()
		s.walker.Correct(now.Add(-30*time.Hour).Truncate(time.Minute), 123)
		s.walker.Delete(walking.Window{Start: now.Add(-50 * time.Hour), End: now.Add(-48 * time.Hour)})
		s.walker.Late(walking.Window{Start: now.Add(-20 * time.Hour), End: now.Add(-15 * time.Hour)}, now.Add(time.Hour))
		s.walker.Travel(now.Add(-100*time.Hour), zone(t, "America/New_York"))
		win := walking.Window{Start: now.Add(-140 * time.Hour), End: now.Add(time.Hour)}
		q := physical(win)
		q.Set("pageSize", "700")
		points, pages := s.all("steps/dataPoints:reconcile", q)
		if diff := cmp.Diff(s.walker.Shown(win, now).Records, records(t, points)); diff != "" {
			t.Errorf("zeros %d (-shown +answered):\n%.2000s", zeros, diff)
		}
		if want := (len(points) + 699) / 700; pages != want || pages < 2 {
			t.Errorf("zeros %d: %d pages for %d points", zeros, pages, len(points))
		}
		empty := slices.ContainsFunc(points, func(p any) bool { return member(p, "steps", "count") == "" })
		if empty != (zeros == google.ZerosEmpty) {
			t.Errorf("zeros %d: points without a count: %t", zeros, empty)
		}
	}
}

func TestExercisesAreTheTruth(t *testing.T) {
	kinds := map[string]walking.Kind{"WALKING": walking.Walk, "BIKING": walking.Ride}
	for _, path := range []string{"exercise/dataPoints", "exercise/dataPoints:reconcile"} {
		s := start(t, func(_ *google.ServerOptions, wo *google.WalkerOptions) { wo.History = 120 })
		now := s.domain.Now()
		points, pages := s.all(path, url.Values{})
		if pages < 2 {
			t.Errorf("%d exercises in %d pages, want at most 25 in one", len(points), pages)
		}
		var got []walking.Session
		names := map[string]bool{}
		for _, p := range slices.Backward(points) {
			e := member(p, "exercise", "activeDuration")
			moving, err := time.ParseDuration(e)
			if err != nil {
				t.Fatal(err)
			}
			x := walking.Session{
				Start: at(t, member(p, "exercise", "interval", "startTime")),
				End:   at(t, member(p, "exercise", "interval", "endTime")), Moving: moving,
				Kind: kinds[member(p, "exercise", "exerciseType")],
			}
			if n, err := strconv.Atoi(member(p, "exercise", "metricsSummary", "steps")); err == nil {
				x.Steps, x.HasSteps = float64(n), true
			}
			got = append(got, x)
			name := member(p, "name") + member(p, "dataPointName")
			if !strings.HasPrefix(name, "users/1001/dataTypes/exercise/dataPoints/") || names[name] {
				t.Errorf("the name %s", name)
			}
			names[name] = true
			created := at(t, member(p, "exercise", "createTime"))
			if late := created.Sub(x.End); late < 0 || late > 75*time.Minute {
				t.Errorf("created %s after the end", late)
			}
		}
		want := s.walker.Shown(walking.Window{Start: s.walker.Begins(), End: now}, now).Sessions
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-shown +answered):\n%.2000s", path, diff)
		}
		again, _ := s.all(path, url.Values{})
		if diff := cmp.Diff(points, again); diff != "" {
			t.Errorf("asked again, they differ:\n%.500s", diff)
		}
	}
}

func TestListOverlaps(t *testing.T) {
	s := start(t, nil)
	q := civil("steps", "2026-11-18", "2026-11-19")
	total := func(points []any) (n int) {
		for _, r := range records(t, points) {
			n += int(r.Steps)
		}
		return n
	}
	raw, _ := s.all("steps/dataPoints", maps.Clone(q))
	merged, _ := s.all("steps/dataPoints:reconcile", maps.Clone(q))
	if total(raw) < total(merged)*5/4 {
		t.Errorf("the list has %d steps, the merged stream %d: want watch and phone in the list", total(raw), total(merged))
	}
	starts := func(points []any) (out []string) {
		for _, p := range points {
			out = append(out, member(p, "steps", "interval", "startTime"))
		}
		return out
	}
	if !slices.IsSortedFunc(starts(raw), func(a, b string) int { return strings.Compare(b, a) }) {
		t.Error("points are not newest first")
	}
	paged := with(q, "pageSize", "7")
	if pieces, _ := s.all("steps/dataPoints", paged); !cmp.Equal(raw, pieces) {
		t.Errorf("%d points by pages of 7, want the %d of one", len(pieces), len(raw))
	}
	family := func(name string) url.Values { return with(q, "dataSourceFamily", name) }
	watch, _ := s.all("steps/dataPoints", family("users/me/dataSourceFamilies/google-wearables"))
	if diff := cmp.Diff(starts(merged), starts(watch)); diff != "" {
		t.Errorf("the watch alone is not the merged stream:\n%.500s", diff)
	}
	own, _ := s.all("steps/dataPoints", family("users/1001/dataSourceFamilies/self-sources"))
	if len(own) != 0 {
		t.Errorf("%d points that this client wrote", len(own))
	}
	if r := s.get(dataTypes + "steps/dataPoints?" + family("google-wearables").Encode()); r.status != 400 {
		t.Errorf("a short name of a family: %d", r.status)
	}
}

func TestShapesAreDocumented(t *testing.T) {
	d := readDiscovery(t)
	s := start(t, func(_ *google.ServerOptions, wo *google.WalkerOptions) { wo.Zeros, wo.Scale = google.ZerosEmpty, true })
	nothing := url.QueryEscape(`steps.interval.civil_start_time < "2020-01-01"`)
	for path, name := range map[string]string{
		dataTypes + "steps/dataPoints?pageSize=500":           "ListDataPointsResponse",
		dataTypes + "steps/dataPoints:reconcile?pageSize=500": "ReconcileDataPointsResponse",
		dataTypes + "exercise/dataPoints":                     "ListDataPointsResponse",
		dataTypes + "exercise/dataPoints:reconcile":           "ReconcileDataPointsResponse",
		"/v4/users/me/settings":                               "Settings",
		"/v4/users/me/pairedDevices":                          "ListPairedDevicesResponse",
		"/v4/users/me/pairedDevices?pageSize=1":               "ListPairedDevicesResponse",
		"/v4/users/me/identity":                               "Identity",
		dataTypes + "steps/dataPoints?filter=" + nothing:      "ListDataPointsResponse",
	} {
		r := s.get(path)
		if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		for _, wrong := range d.check(name, name, map[string]any(r.json(t))) {
			t.Errorf("%s: %s", path, wrong)
		}
	}
	r := s.must(http.MethodPost, dataTypes+"steps/dataPoints:dailyRollUp", s.token, "application/json",
		rollUp("2026-11-01", "2026-11-21"))
	for _, wrong := range d.check("DailyRollUpDataPointsResponse", "roll-up", map[string]any(r.json(t))) {
		t.Error(wrong)
	}
	if wrong := d.check("Settings", "x", map[string]any{"zone": "UTC", "utcOffset": "1h30"}); len(wrong) != 2 {
		t.Errorf("the check itself finds %q", wrong)
	}
}

func TestPointAtMidnight(t *testing.T) {
	s := start(t, func(_ *google.ServerOptions, wo *google.WalkerOptions) { wo.Days = countedDays(t, 1) })
	point := func() string {
		r := s.get(dataTypes + "steps/dataPoints:reconcile?" + with(physical(window(t, "2026-11-18T22:59:00Z",
			"2026-11-18T23:01:00Z")), "pageSize", "1").Encode())
		points, _ := r.json(t)["dataPoints"].([]any)
		if len(points) != 1 {
			t.Fatal(r.body)
		}
		body, _, _ := strings.Cut(r.body, `,"nextPageToken"`)
		return body
	}
	want := `{"dataPoints":[{"steps":{"interval":{"startTime":"2026-11-18T23:00:00Z","startUtcOffset":"3600s",` +
		`"endTime":"2026-11-18T23:01:00Z","endUtcOffset":"3600s",` +
		`"civilStartTime":{"date":{"year":2026,"month":11,"day":19},"time":{}},` +
		`"civilEndTime":{"date":{"year":2026,"month":11,"day":19},"time":{"minutes":1}}},"count":"1"}}]`
	if diff := cmp.Diff(want, point()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	plain := start(t, func(so *google.ServerOptions, wo *google.WalkerOptions) {
		so.Numbers, so.NoCivil, wo.Days = true, true, countedDays(t, 1)
	})
	s = plain
	want = `{"dataPoints":[{"steps":{"interval":{"startTime":"2026-11-18T23:00:00Z","startUtcOffset":"3600s",` +
		`"endTime":"2026-11-18T23:01:00Z","endUtcOffset":"3600s"},"count":1}}]`
	if diff := cmp.Diff(want, point()); diff != "" {
		t.Errorf("numbers, no civil times (-want +got):\n%s", diff)
	}
}

func TestPointOverAChangeOfTheClocks(t *testing.T) {
	s := start(t, func(_ *google.ServerOptions, wo *google.WalkerOptions) { wo.Days, wo.History = countedDays(t, 1), 40 })
	points, _ := s.all("steps/dataPoints:reconcile", physical(window(t, "2026-10-25T00:59:00Z", "2026-10-25T01:01:00Z")))
	var got []string
	for _, p := range points {
		got = append(got, member(p, "steps", "interval", "startUtcOffset")+" "+member(p, "steps", "interval", "endUtcOffset"))
	}
	if diff := cmp.Diff([]string{"3600s 3600s", "7200s 3600s"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	all, _ := s.all("steps/dataPoints:reconcile", civil("steps", "2026-10-25", "2026-10-26"))
	if len(all) != 25*60 {
		t.Errorf("the civil day has %d points, want 25 hours", len(all))
	}
	twice, _ := s.all("steps/dataPoints:reconcile", civil("steps", "2026-10-25T02:30:00", "2026-10-25T02:31:00"))
	if len(twice) != 2 {
		t.Errorf("half past two comes %d times, want twice", len(twice))
	}
}

func TestFilters(t *testing.T) {
	s := start(t, func(_ *google.ServerOptions, wo *google.WalkerOptions) { wo.Days = countedDays(t, 1) })
	const (
		begin = `steps.interval.start_time >= "2026-11-18T10:00:00Z"`
		end   = `steps.interval.start_time < "2026-11-18T10:05:00Z"`
		civil = `steps.interval.civil_start_time >= "2026-11-18T10:00:00"`
	)
	for _, tt := range []struct {
		name, dataType, filter string
		points                 int
		reason                 string // what is wrong, if anything is
	}{
		{"physical", "steps", begin + " AND " + end, 5, ""},
		{"the other way round", "steps", end + " AND " + begin, 5, ""},
		{"another zone", "steps", begin + ` AND steps.interval.start_time < "2026-11-18T11:03:00+01:00"`, 3, ""},
		{"between minutes", "steps", `steps.interval.start_time >= "2026-11-18T10:00:00.5Z" AND ` + end, 4, ""},
		{"empty", "steps", end + ` AND steps.interval.start_time >= "2026-11-19T10:00:00Z"`, 0, ""},
		{"before all data", "steps", `steps.interval.civil_start_time < "2020-01-01"`, 0, ""},
		{"in the future", "steps", `steps.interval.start_time >= "2030-01-01T00:00:00Z"`, 0, ""},
		{"civil", "steps", civil + ` AND steps.interval.civil_start_time < "2026-11-18T10:07:00"`, 7, ""},
		{"exercise", "exercise", `exercise.interval.civil_start_time < "2020-01-01T00:00:00"`, 0, ""},
		{"lower case", "steps", begin + " and " + end, 0, "SYNTAX"},
		{"or", "steps", begin + " OR " + end, 0, "SYNTAX"},
		{"no quotes", "steps", `steps.interval.start_time >= 2026-11-18`, 0, "SYNTAX"},
		{"ends with AND", "steps", begin + " AND ", 0, "SYNTAX"},
		{"greater", "steps", `steps.interval.start_time > "2026-11-18T10:00:00Z"`, 0, "OPERATOR"},
		{"at most", "steps", `steps.interval.start_time <= "2026-11-18T10:00:00Z"`, 0, "OPERATOR"},
		{"end time", "steps", `steps.interval.end_time < "2026-11-18T10:00:00Z"`, 0, "DATA_TYPE_MEMBER"},
		{"another type", "steps", `distance.interval.start_time < "2026-11-18T10:00:00Z"`, 0, "DATA_TYPE_MEMBER"},
		{"physical exercise", "exercise", `exercise.interval.start_time >= "2026-11-18T10:00:00Z"`, 0, "DATA_TYPE_MEMBER"},
		{"mixed", "steps", begin + ` AND steps.interval.civil_start_time < "2026-11-19"`, 0, "MIXED_TIME_RESTRICTIONS"},
		{"physical date", "steps", `steps.interval.start_time >= "2026-11-18"`, 0, "TIME_LITERAL"},
		{"civil with a zone", "steps", `steps.interval.civil_start_time >= "2026-11-18T10:00:00Z"`, 0, "TIME_LITERAL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := s.get(dataTypes + tt.dataType + "/dataPoints:reconcile?" + url.Values{"filter": {tt.filter}}.Encode())
			if tt.reason == "" {
				points, _ := r.json(t)["dataPoints"].([]any)
				if r.status != 200 || len(points) != tt.points {
					t.Errorf("%d with %d points, want %d: %.300s", r.status, len(points), tt.points, r.body)
				}
				return
			}
			if r.status != 400 || r.at(t, "error", "status") != "INVALID_ARGUMENT" ||
				r.at(t, "error", "details", 0, "reason") != "INVALID_DATA_POINT_FILTER" ||
				r.at(t, "error", "details", 0, "metadata", "detailedReasons") != "INVALID_DATA_POINT_FILTER_"+tt.reason ||
				r.at(t, "error", "details", 1, "fieldViolations", 0, "field") != "filter" {
				t.Errorf("%d %s, want %s", r.status, r.body, tt.reason)
			}
		})
	}
}

func TestPages(t *testing.T) {
	s := start(t, func(_ *google.ServerOptions, wo *google.WalkerOptions) { wo.Days = countedDays(t, 1) })
	for _, tt := range []struct {
		size string
		want int
	}{{"", 1440}, {"0", 1440}, {"5", 5}, {"20000", 10000}} {
		points, next := s.list("steps/dataPoints:reconcile", url.Values{"pageSize": {tt.size}})
		if len(points) != tt.want || next == "" {
			t.Errorf("page size %q: %d points, want %d and a token", tt.size, len(points), tt.want)
		}
	}
	q := physical(window(t, "2026-11-18T10:00:00Z", "2026-11-18T10:10:00Z"))
	q.Set("pageSize", "10")
	if _, next := s.list("steps/dataPoints:reconcile", q); next != "" {
		t.Error("there is a token after the last point")
	}
	q.Set("pageSize", "9")
	_, next := s.list("steps/dataPoints:reconcile", q)
	s.walker.Correct(at(t, "2026-11-18T10:05:00Z"), 0) // a change between pages does not move them
	rest, end := s.list("steps/dataPoints:reconcile", with(q, "pageToken", next))
	if len(rest) != 1 || end != "" || member(rest[0], "steps", "interval", "startTime") != "2026-11-18T10:00:00Z" {
		t.Errorf("the second page is %v", rest)
	}
	for name, path := range map[string]string{
		"invented":     "steps/dataPoints:reconcile?" + with(q, "pageToken", "abc").Encode(),
		"other filter": "steps/dataPoints:reconcile?pageToken=" + next,
		"other method": "steps/dataPoints?" + with(q, "pageToken", next).Encode(),
		"size":         "steps/dataPoints?pageSize=-1",
		"type":         "unicycling/dataPoints",
	} {
		if r := s.get(dataTypes + path); r.status != 400 || r.at(t, "error", "status") != "INVALID_ARGUMENT" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	empty := start(t, func(so *google.ServerOptions, _ *google.WalkerOptions) { so.EmptyFirstPage = true })
	points, next := empty.list("steps/dataPoints:reconcile", q)
	if len(points) != 0 || next == "" {
		t.Errorf("the empty first page has %d points, token %q", len(points), next)
	}
	if all, _ := empty.all("steps/dataPoints:reconcile", url.Values{}); len(all) == 0 {
		t.Error("there is nothing after the empty first page")
	}
}

func rollUp(from, to string) string {
	part := func(s string) string {
		d, _ := walking.ParseDay(s)
		y, m, n := d.Date()
		return fmt.Sprintf(`{"date":{"year":%d,"month":%d,"day":%d}}`, y, m, n)
	}
	return `{"range":{"start":` + part(from) + `,"end":` + part(to) + `},"windowSizeDays":1}`
}

func TestDailyRollUp(t *testing.T) {
	s := start(t, nil)
	s.walker.Delete(window(t, "2026-11-17T23:00:00Z", "2026-11-18T23:00:00Z")) // the 18th: not worn
	post := func(s *service, body string) reply {
		return s.must(http.MethodPost, dataTypes+"steps/dataPoints:dailyRollUp", s.token, "application/json", body)
	}
	read := func(r reply) (out []string) {
		points, _ := r.json(t)["rollupDataPoints"].([]any)
		for _, p := range points {
			out = append(out, member(p, "civilStartTime", "date", "day")+":"+member(p, "steps", "countSum"))
		}
		return out
	}
	want := []string{"19:6435", "18:", "17:6543"}
	if diff := cmp.Diff(want, read(post(s, rollUp("2026-11-17", "2026-11-20")))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for name, body := range map[string]string{
		"empty": rollUp("2026-11-17", "2026-11-17"), "long": rollUp("2026-01-01", "2026-11-17"), "no JSON": "{",
		"not aligned": strings.Replace(rollUp("2026-11-17", "2026-11-20"), `}}`, `},"time":{"hours":3}}`, 1),
	} {
		if r := post(s, body); r.status != 400 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	inclusive := start(t, func(so *google.ServerOptions, _ *google.WalkerOptions) { so.RollUpInclusive = true })
	if got := read(post(inclusive, rollUp("2026-11-19", "2026-11-19"))); len(got) != 1 || got[0] != "19:6435" {
		t.Errorf("an inclusive end: %v", got)
	}
}

func TestSettingsAndDevices(t *testing.T) {
	s := start(t, func(_ *google.ServerOptions, wo *google.WalkerOptions) { wo.Scale = true })
	r := s.get("/v4/users/me/settings")
	if r.at(t, "timeZone") != "Europe/Berlin" || r.at(t, "utcOffset") != "3600s" {
		t.Errorf("settings: %s", r.body)
	}
	s.domain.Add(time.Hour)
	s.walker.NoSync(walking.Window{Start: s.domain.Now().Add(-2 * time.Hour), End: s.domain.Now().Add(time.Hour)})
	r = s.get("/v4/users/me/pairedDevices?pageSize=1")
	if r.at(t, "pairedDevices", 0, "deviceType") != "SCALE" || r.at(t, "nextPageToken") == "" {
		t.Fatalf("the first page: %s", r.body)
	}
	r = s.get("/v4/users/me/pairedDevices?pageSize=1&pageToken=" + r.at(t, "nextPageToken"))
	want := s.walker.LastSync(s.domain.Now()).Format(time.RFC3339)
	if r.at(t, "pairedDevices", 0, "deviceType") != "TRACKER" || r.at(t, "pairedDevices", 0, "lastSyncTime") != want ||
		r.at(t, "nextPageToken") != "" {
		t.Errorf("the second page: %s, want the sync at %s", r.body, want)
	}
}

func TestUnknownAndUnauthenticated(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{
		"/v4/users/me/devices", "/", dataTypes + "steps/dataPoints:rollUp", "/v5/users/me/settings",
	} {
		if r := s.get(path); r.status != 404 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s, want a page of HTML with 404", path, r.status, r.header.Get("Content-Type"))
		}
	}
	for _, tt := range []struct{ token, challenge, reason string }{
		{"", `Bearer realm="https://accounts.google.com/"`, "CREDENTIALS_MISSING"},
		{"ya29.invented", `Bearer realm="https://accounts.google.com/", error="invalid_token"`, ""},
	} {
		r := s.must(http.MethodGet, "/v4/users/me/settings", tt.token, "", "")
		if r.status != 401 || r.header.Get("WWW-Authenticate") != tt.challenge ||
			r.at(t, "error", "status") != "UNAUTHENTICATED" || r.at(t, "error", "details", 0, "reason") != tt.reason {
			t.Errorf("token %q: %d %q %s", tt.token, r.status, r.header.Get("WWW-Authenticate"), r.body)
		}
	}
}

// BenchmarkYear asks for a year of minutes in windows of a week, as history is pulled.
func BenchmarkYear(b *testing.B) {
	days, err := google.RealDays()
	if err != nil {
		b.Fatal(err)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	w, err := google.NewWalker(google.WalkerOptions{
		ID: "1", Days: days, Zone: time.UTC, Now: now, History: 365, Zeros: google.ZerosEmpty,
	})
	if err != nil {
		b.Fatal(err)
	}
	clock := func() time.Time { return now }
	s, err := google.NewServer(google.ServerOptions{Now: clock, Wall: clock, ClientID: "c", ClientSecret: "s", Limit: -1})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Add(w); err != nil {
		b.Fatal(err)
	}
	token, _, _, err := s.Grant("1")
	if err != nil {
		b.Fatal(err)
	}
	points := 0
	for b.Loop() {
		points = 0
		for from := w.Begins(); from.Before(now); from = from.AddDate(0, 0, 7) {
			q := physical(walking.Window{Start: from, End: from.AddDate(0, 0, 7)})
			q.Set("pageSize", "10000")
			r := httptest.NewRequest(http.MethodGet, dataTypes+"steps/dataPoints:reconcile?"+q.Encode(), nil)
			r.Header.Set("Authorization", "Bearer "+token)
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, r)
			points += strings.Count(answer.Body.String(), `"steps"`)
		}
	}
	b.ReportMetric(float64(points)*float64(b.N)/b.Elapsed().Seconds(), "points/s")
	b.ReportMetric(float64(points), "points")
}
