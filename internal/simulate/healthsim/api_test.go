package healthsim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

// minutes reads steps as the service tells them, oldest first.
func minutes(t *testing.T, points []any) (out []simulate.Point) {
	t.Helper()
	for _, p := range slices.Backward(points) {
		x := simulate.Point{Start: at(t, member(p, "steps", "interval", "startTime"))}
		if end := at(t, member(p, "steps", "interval", "endTime")); end.Sub(x.Start) != time.Minute {
			t.Fatalf("%v is no minute", p)
		}
		var err error
		if x.Offset, err = time.ParseDuration(member(p, "steps", "interval", "startUtcOffset")); err != nil {
			t.Fatal(err)
		}
		if count := member(p, "steps", "count"); count != "" {
			if x.Steps, err = strconv.Atoi(count); err != nil || x.Steps == 0 {
				t.Fatalf("the count %q", count)
			}
		}
		out = append(out, x)
	}
	return out
}

func TestReconciledStepsAreWhatIsKnown(t *testing.T) {
	for _, zeros := range []bool{false, true} {
		s := start(t, func(_ *healthsim.Options, p *simulate.Plan) { p.Zeros = zeros })
		now := s.domain.Now()
		s.person.Correct(now.Add(-30*time.Hour).Truncate(time.Minute), 123)
		s.person.Delete(walking.Window{Start: now.Add(-50 * time.Hour), End: now.Add(-48 * time.Hour)})
		s.person.Late(walking.Window{Start: now.Add(-20 * time.Hour), End: now.Add(-15 * time.Hour)}, now.Add(time.Hour))
		s.person.NoSync(walking.Window{Start: now.Add(-30 * time.Minute), End: now.Add(time.Hour)})
		s.person.Travel(now.Add(-100*time.Hour), zone(t, "America/New_York"))
		w := walking.Window{Start: now.Add(-140 * time.Hour), End: now.Add(time.Hour)}
		q := with(physical(w), "pageSize", "700")
		points, pages := s.all("steps/dataPoints:reconcile", q)
		if diff := cmp.Diff(s.person.Points(w, now), minutes(t, points)); diff != "" {
			t.Errorf("zeros %t (-known +answered):\n%.2000s", zeros, diff)
		}
		if want := (len(points) + 699) / 700; pages != want || pages < 2 {
			t.Errorf("zeros %t: %d pages for %d points", zeros, pages, len(points))
		}
		empty := slices.ContainsFunc(points, func(p any) bool { return member(p, "steps", "count") == "" })
		if empty != zeros {
			t.Errorf("zeros %t: points without a count: %t", zeros, empty)
		}
	}
}

func TestExercisesAreWhatIsKnown(t *testing.T) {
	for _, path := range []string{"exercise/dataPoints", "exercise/dataPoints:reconcile"} {
		s := start(t, func(_ *healthsim.Options, p *simulate.Plan) { p.First -= 120 })
		now := s.domain.Now()
		points, pages := s.all(path, url.Values{})
		if pages < 2 {
			t.Errorf("%d exercises in %d pages, want at most 25 in one", len(points), pages)
		}
		var got []simulate.Session
		names := map[string]bool{}
		for _, p := range slices.Backward(points) {
			offset, err := time.ParseDuration(member(p, "exercise", "interval", "startUtcOffset"))
			if err != nil {
				t.Fatal(err)
			}
			x := simulate.Session{
				Start: at(t, member(p, "exercise", "interval", "startTime")),
				End:   at(t, member(p, "exercise", "interval", "endTime")), Offset: offset, Type: member(p, "exercise", "exerciseType"),
			}
			if count := member(p, "exercise", "metricsSummary", "steps"); count != "" {
				if x.Steps, err = strconv.Atoi(count); err != nil {
					t.Fatal(err)
				}
			}
			got = append(got, x)
			name := member(p, "name") + member(p, "dataPointName")
			if !strings.HasPrefix(name, "users/"+s.get("/v4/users/me/identity").at(t, "healthUserId")+"/dataTypes/exercise/dataPoints/") ||
				names[name] {
				t.Errorf("the name %s", name)
			}
			names[name] = true
			created := at(t, member(p, "exercise", "createTime"))
			if created.Before(x.End) || created.After(now) {
				t.Errorf("what ended at %s was created at %s", x.End, created)
			}
		}
		want := s.person.Sessions(walking.Window{End: now}, now)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-known +answered):\n%.2000s", path, diff)
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
		for _, m := range minutes(t, points) {
			n += m.Steps
		}
		return n
	}
	raw, _ := s.all("steps/dataPoints", with(q, "pageSize", "10000"))
	merged, _ := s.all("steps/dataPoints:reconcile", with(q, "pageSize", "10000"))
	if all, once := total(raw), total(merged); all < once*19/10 || all >= once*2 {
		t.Errorf("the list has %d steps, the merged stream %d: want watch and phone in the list", all, once)
	}
	points := minutes(t, raw)
	apart := slices.IndexFunc(points, func(p simulate.Point) bool { return p.Start.Second() != 0 })
	if apart < 0 {
		t.Fatal("all points begin with a minute: want some of the phone that do not")
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
	if pieces, _ := s.all("steps/dataPoints", with(q, "pageSize", "7")); !cmp.Equal(raw, pieces) {
		t.Errorf("%d points by pages of 7, want the %d of one", len(pieces), len(raw))
	}
	w, between := window(t, "2026-11-17T23:00:00Z", "2026-11-18T23:00:00Z"), points[apart].Start.Add(-time.Second)
	newer, _ := s.all("steps/dataPoints", physical(walking.Window{Start: between, End: w.End}))
	older, _ := s.all("steps/dataPoints", physical(walking.Window{Start: w.Start, End: between}))
	if !cmp.Equal(raw, append(newer, older...)) {
		t.Errorf("%d points of one half and %d of the other, want the %d of the day", len(newer), len(older), len(raw))
	}
	family := func(name string) url.Values { return with(q, "dataSourceFamily", name) }
	watch, _ := s.all("steps/dataPoints", family("users/me/dataSourceFamilies/google-wearables"))
	if diff := cmp.Diff(starts(merged), starts(watch)); diff != "" {
		t.Errorf("the watch alone is not the merged stream:\n%.500s", diff)
	}
	me := s.get("/v4/users/me/identity").at(t, "healthUserId")
	if own, _ := s.all("steps/dataPoints", family("users/"+me+"/dataSourceFamilies/self-sources")); len(own) != 0 {
		t.Errorf("%d points that this client wrote", len(own))
	}
	r := s.get(dataTypes + "steps/dataPoints?" + family("google-wearables").Encode())
	if r.status != 400 || r.at(t, "error", "details", 0, "fieldViolations", 0, "field") != "data_source_family" {
		t.Errorf("a short name of a family: %d %s", r.status, r.body)
	}
}

func TestShapesAreDocumented(t *testing.T) {
	d := readDiscovery(t)
	s := start(t, func(_ *healthsim.Options, p *simulate.Plan) { p.Zeros = true })
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
		dailyRollUp: "DailyRollUpDataPointsResponse",
	} {
		r := s.get(path)
		if path == dailyRollUp {
			r = s.days(rollUp("2026-11-01", "2026-11-21"))
		}
		if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		for _, wrong := range d.check(name, name, map[string]any(r.json(t))) {
			t.Errorf("%s: %s", path, wrong)
		}
	}
	if wrong := d.check("Settings", "x", map[string]any{"zone": "UTC", "utcOffset": "1h30"}); len(wrong) != 2 {
		t.Errorf("the check itself finds %q", wrong)
	}
}

// Methods take the parameters that Google has documented, some that all have, and no others.
func TestParametersAreDocumented(t *testing.T) {
	users := readDiscovery(t).Resources["users"]
	points := users.Resources["dataTypes"].Resources["dataPoints"].Methods
	s := start(t, func(_ *healthsim.Options, p *simulate.Plan) { p.First += 20 })
	good := map[string]string{
		"filter": "", "pageSize": "1", "pageToken": "", "dataSourceFamily": "users/me/dataSourceFamilies/all-sources",
		"alt": "json", "fields": "*", "prettyPrint": "false",
	}
	for _, name := range []string{"page_size", "pagesize", "startTime", "x"} {
		good[name] = "1"
	}
	for path, method := range map[string]map[string]struct{ Location string }{
		dataTypes + "steps/dataPoints":           points["list"].Parameters,
		dataTypes + "steps/dataPoints:reconcile": points["reconcile"].Parameters,
		"/v4/users/me/settings":                  users.Methods["getSettings"].Parameters,
		"/v4/users/me/identity":                  users.Methods["getIdentity"].Parameters,
		"/v4/users/me/pairedDevices":             users.Resources["pairedDevices"].Methods["list"].Parameters,
	} {
		if len(method) == 0 {
			t.Fatalf("%s is not documented", path)
		}
		for name, value := range good {
			want := http.StatusBadRequest
			if method[name].Location == "query" || slices.Contains([]string{"alt", "fields", "prettyPrint"}, name) {
				want = http.StatusOK
			}
			r := s.get(path + "?" + url.Values{name: {value}}.Encode())
			if r.status != want || want == 400 && !strings.Contains(r.at(t, "error", "message"), `Unknown name "`+name+`"`) {
				t.Errorf("%s with %s: %d, want %d. %.200s", path, name, r.status, want, r.body)
			}
		}
	}
}

func TestPointAtMidnight(t *testing.T) {
	for _, tt := range []struct {
		numbers bool
		count   string
	}{{false, `"1"`}, {true, `1`}} {
		s := start(t, func(o *healthsim.Options, p *simulate.Plan) { o.Numbers, p.Life = tt.numbers, counted(t) })
		r := s.get(dataTypes + "steps/dataPoints:reconcile?" +
			physical(window(t, "2026-11-18T23:00:00Z", "2026-11-18T23:01:00Z")).Encode())
		want := `{"dataPoints":[{"steps":{"count":` + tt.count + `,"interval":{` +
			`"civilEndTime":{"date":{"day":19,"month":11,"year":2026},"time":{"minutes":1}},` +
			`"civilStartTime":{"date":{"day":19,"month":11,"year":2026},"time":{}},` +
			`"endTime":"2026-11-18T23:01:00Z","endUtcOffset":"3600s",` +
			`"startTime":"2026-11-18T23:00:00Z","startUtcOffset":"3600s"}}}],"nextPageToken":""}` + "\n"
		if diff := cmp.Diff(want, r.body); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestPointsWhenTheClocksChange(t *testing.T) {
	s := start(t, func(_ *healthsim.Options, p *simulate.Plan) { p.Life = counted(t) })
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
	s := start(t, func(_ *healthsim.Options, p *simulate.Plan) { p.Life = counted(t) })
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
		{"ends in a minute", "steps", begin + ` AND steps.interval.start_time < "2026-11-18T10:02:30Z"`, 3, ""},
		{"the narrowest counts", "steps", begin + " AND " + end + ` AND steps.interval.start_time < "2026-11-18T12:00:00Z"` +
			` AND steps.interval.start_time >= "2026-11-18T09:00:00Z"`, 5, ""},
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
				r.at(t, "error", "details", 0, "domain") != "health.googleapis.com" ||
				r.at(t, "error", "details", 0, "metadata", "detailedReasons") != "INVALID_DATA_POINT_FILTER_"+tt.reason ||
				r.at(t, "error", "details", 1, "fieldViolations", 0, "field") != "filter" {
				t.Errorf("%d %s, want %s", r.status, r.body, tt.reason)
			}
		})
	}
}

func TestPages(t *testing.T) {
	s := start(t, func(_ *healthsim.Options, p *simulate.Plan) { p.Life, p.First = counted(t), p.First+20 })
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
	if _, next := s.list("steps/dataPoints:reconcile", with(q, "pageSize", "10")); next != "" {
		t.Error("there is a token after the last point")
	}
	q = with(q, "pageSize", "9")
	_, next := s.list("steps/dataPoints:reconcile", q)
	s.person.Delete(window(t, "2026-11-18T10:05:00Z", "2026-11-18T10:06:00Z")) // moves nothing
	rest, end := s.list("steps/dataPoints:reconcile", with(with(q, "pageToken", next), "pageSize", "100"))
	if len(rest) != 1 || end != "" || member(rest[0], "steps", "interval", "startTime") != "2026-11-18T10:00:00Z" {
		t.Errorf("the second page is %v", rest)
	}
	for name, path := range map[string]string{
		"page_token invented":     "steps/dataPoints:reconcile?" + with(q, "pageToken", "abc").Encode(),
		"page_token other filter": "steps/dataPoints:reconcile?pageToken=" + next,
		"page_token other method": "steps/dataPoints?" + with(q, "pageToken", next).Encode(),
		"page_size negative":      "steps/dataPoints?pageSize=-1",
		"page_size words":         "steps/dataPoints?pageSize=many",
		"parent":                  "unicycling/dataPoints",
	} {
		field, _, _ := strings.Cut(name, " ")
		r := s.get(dataTypes + path)
		if r.status != 400 || r.at(t, "error", "status") != "INVALID_ARGUMENT" ||
			r.at(t, "error", "details", 0, "fieldViolations", 0, "field") != field {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	empty := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.EmptyFirst = true })
	points, next := empty.list("steps/dataPoints:reconcile", url.Values{})
	if len(points) != 0 || next == "" {
		t.Errorf("the empty first page has %d points, token %q", len(points), next)
	}
	all, pages := empty.all("steps/dataPoints:reconcile", url.Values{"pageSize": {"1000"}})
	w := walking.Window{End: s.domain.Now()}
	if diff := cmp.Diff(empty.person.Points(w, s.domain.Now()), minutes(t, all)); diff != "" || pages != (len(all)+999)/1000+1 {
		t.Errorf("%d pages for %d points after the empty one (-known +answered):\n%.500s", pages, len(all), diff)
	}
}

func TestSettingsAndDevices(t *testing.T) {
	s := start(t, nil)
	r := s.get("/v4/users/me/settings")
	if r.at(t, "timeZone") != "Europe/Berlin" || r.at(t, "utcOffset") != "3600s" {
		t.Errorf("settings: %s", r.body)
	}
	s.domain.Add(time.Hour)
	s.person.NoSync(walking.Window{Start: s.domain.Now().Add(-2 * time.Hour), End: s.domain.Now().Add(time.Hour)})
	r = s.get("/v4/users/me/pairedDevices?pageSize=1")
	if r.at(t, "pairedDevices", 0, "deviceType") != "SCALE" || r.at(t, "nextPageToken") == "" {
		t.Fatalf("the first page: %s", r.body)
	}
	r = s.get("/v4/users/me/pairedDevices?pageSize=1&pageToken=" + r.at(t, "nextPageToken"))
	if r.at(t, "pairedDevices", 0, "deviceType") != "TRACKER" ||
		r.at(t, "pairedDevices", 0, "lastSyncTime") != "2026-11-20T09:45:00Z" || r.at(t, "nextPageToken") != "" {
		t.Errorf("the second page: %s, want the sync before 10:00", r.body)
	}
}

// Devices can be paired, and there can be some that nobody has documented.
func TestPairedDevices(t *testing.T) {
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.Future = true })
	long := at(t, "2026-10-01T08:00:00.25Z")
	s.Pair("ann", healthsim.Device{
		Product: "Inspire 3", Type: "TRACKER", Battery: "Low", Level: 7, Synced: func(time.Time) time.Time { return long },
	})
	s.Pair("ann", healthsim.Device{Product: "Ace", Type: "TRACKER", Synced: func(time.Time) time.Time { return time.Time{} }})
	s.Pair("ben", healthsim.Device{Product: "Sense", Type: "TRACKER", Synced: func(now time.Time) time.Time { return now }})
	r := s.get("/v4/users/me/pairedDevices?pageSize=100")
	var got []string
	for i := range 6 {
		d := func(name string) string { return r.at(t, "pairedDevices", i, name) }
		got = append(got, strings.Join([]string{
			d("deviceType"), d("deviceVersion"), d("lastSyncTime"), d("batteryStatus"), d("batteryLevel"),
		}, ","))
	}
	want := []string{
		"SCALE,Aria,2026-11-20T11:00:00Z,,", "TRACKER,Charge 6,2026-11-20T11:00:00Z,High,85",
		"TRACKER,Inspire 3,2026-10-01T08:00:00.25Z,Low,7", "TRACKER,Ace,,,", "RING,Ring 1,2026-11-20T11:00:00Z,Solar,", ",,,,",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What nobody has documented is there if it is asked for, beside all that is.
func TestFuture(t *testing.T) {
	d := readDiscovery(t)
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.Future = true })
	for path, name := range map[string]string{
		dataTypes + "steps/dataPoints?pageSize=5":     "ListDataPointsResponse",
		dataTypes + "exercise/dataPoints?pageSize=25": "ListDataPointsResponse",
		dataTypes + "steps/dataPoints:reconcile":      "ReconcileDataPointsResponse",
		dataTypes + "exercise/dataPoints:reconcile":   "ReconcileDataPointsResponse",
		"/v4/users/me/pairedDevices":                  "ListPairedDevicesResponse",
	} {
		if wrong := d.check(name, name, map[string]any(s.get(path).json(t))); len(wrong) < 2 {
			t.Errorf("%s has nothing new: %q", path, wrong)
		}
	}
	points, _ := s.all("exercise/dataPoints:reconcile", url.Values{})
	kinds := map[string]int{}
	for _, p := range points {
		kinds[member(p, "exercise", "exerciseType")]++
	}
	if kinds["HOVERBOARDING"] == 0 || kinds["WALKING"] == 0 || len(kinds) != 2 {
		t.Errorf("exercises: %v", kinds)
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
	const realm = `Bearer realm="https://accounts.google.com/"`
	for _, tt := range []struct{ token, challenge, reason string }{
		{"", realm, "CREDENTIALS_MISSING"},
		{"ya29.invented", realm + `, error="invalid_token"`, ""},
		{s.refresh, realm + `, error="invalid_token"`, ""},
	} {
		r := s.must(http.MethodGet, "/v4/users/me/settings", tt.token, "", "")
		if r.status != 401 || r.header.Get("WWW-Authenticate") != tt.challenge ||
			r.at(t, "error", "status") != "UNAUTHENTICATED" || r.at(t, "error", "code") != "401" ||
			r.at(t, "error", "details", 0, "reason") != tt.reason {
			t.Errorf("token %.5s: %d %q %s", tt.token, r.status, r.header.Get("WWW-Authenticate"), r.body)
		}
	}
}

func TestAllReadScopesShowTheIdentity(t *testing.T) {
	s := start(t, nil)
	for _, tt := range []struct {
		scope  string
		status map[string]int
	}{
		{scopeSteps, map[string]int{"identity": 200, "settings": 403, "pairedDevices": 403, "dataTypes/steps/dataPoints": 200}},
		{scopeDevices, map[string]int{"identity": 200, "settings": 200, "pairedDevices": 200, "dataTypes/exercise/dataPoints": 403}},
	} {
		s.token = s.ask(s.Grant("ann", tt.scope)).at(t, "access_token")
		got := map[string]int{}
		for path := range tt.status {
			got[path] = s.get(fmt.Sprintf("/v4/users/me/%s", path)).status
		}
		if diff := cmp.Diff(tt.status, got); diff != "" {
			t.Errorf("with %s (-want +got):\n%s", tt.scope, diff)
		}
	}
}
