package healthsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

const dailyRollUp = dataTypes + "steps/dataPoints:dailyRollUp"

// civilDay writes a date as the API has it.
func civilDay(text string) string {
	var y, m, d int
	if _, err := fmt.Sscanf(text, "%d-%d-%d", &y, &m, &d); err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"date":{"year":%d,"month":%d,"day":%d}}`, y, m, d)
}

// rollUp is a request for the days from one date to another.
func rollUp(from, to string) string {
	return fmt.Sprintf(`{"range":{"start":%s,"end":%s},"windowSizeDays":1}`, civilDay(from), civilDay(to))
}

func (s *service) days(body string) reply {
	s.t.Helper()
	return s.must(http.MethodPost, dailyRollUp, s.token, "application/json", body)
}

// totals reads an answer as "date sum", "-" for no sum.
func totals(t *testing.T, r reply) (out []string) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i := 0; ; i++ {
		at := func(path ...any) string { return r.at(t, append([]any{"rollupDataPoints", i}, path...)...) }
		if at("civilStartTime") == "" {
			return out
		}
		date := func(edge string) string {
			return fmt.Sprintf("%s-%02s-%02s", at(edge, "date", "year"), at(edge, "date", "month"), at(edge, "date", "day"))
		}
		if at("civilStartTime", "time") != "map[]" || at("civilEndTime", "time") != "map[]" {
			t.Errorf("the edges of %s are no midnights: %s", date("civilStartTime"), r.body)
		}
		sum := at("steps", "countSum")
		if at("steps") == "" {
			sum = "-"
		}
		out = append(out, date("civilStartTime")+".."+date("civilEndTime")+" "+sum)
	}
}

// The totals are those of the recording, moved to these dates.
func TestDailyTotals(t *testing.T) {
	for _, tt := range []struct {
		name     string
		change   func(*healthsim.Options, *simulate.Plan)
		from, to string
		want     []string
	}{
		{"the end is not part of it", nil, "2026-10-23", "2026-10-25", []string{
			"2026-10-24..2026-10-25 6799", "2026-10-23..2026-10-24 4978",
		}},
		{"the end is the last day", func(o *healthsim.Options, _ *simulate.Plan) { o.LastInclusive = true }, "2026-10-23", "2026-10-24", []string{
			"2026-10-24..2026-10-25 6799", "2026-10-23..2026-10-24 4978",
		}},
		{"a single day", func(o *healthsim.Options, _ *simulate.Plan) { o.LastInclusive = true }, "2026-10-23", "2026-10-23", []string{
			"2026-10-23..2026-10-24 4978",
		}},
		{"oldest first, as numbers", func(o *healthsim.Options, _ *simulate.Plan) { o.OldestFirst, o.Numbers = true, true }, "2026-10-22", "2026-10-24", []string{
			"2026-10-22..2026-10-23 -", "2026-10-23..2026-10-24 4978",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.change)
			if diff := cmp.Diff(tt.want, totals(t, s.days(rollUp(tt.from, tt.to)))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDailyTotalsAreOfWhatIsKnown(t *testing.T) {
	s := start(t, nil)
	now := s.domain.Now()
	day := func(n int) walking.Window {
		d := walking.DayOf(now.AddDate(0, 0, n).Date())
		return walking.Window{Start: d.In(s.person.Home()), End: (d + 1).In(s.person.Home())}
	}
	s.person.Delete(day(-2))                                // not worn
	s.person.Delete(day(-1))                                // worn, and nothing walked
	s.person.Correct(day(-1).Start.Add(10*time.Hour), 0)    // …
	s.person.Late(day(-3), now.Add(time.Hour))              // not there yet
	s.person.Travel(day(-4).Start, zone(t, "Asia/Tokyo"))   // 8 hours ahead
	s.person.Travel(day(0).Start, zone(t, "Europe/Berlin")) // and back
	got := totals(t, s.days(rollUp("2026-11-14", "2026-11-21")))
	want := map[walking.Day]int{}
	for _, p := range s.person.Points(walking.Window{Start: now.AddDate(0, 0, -9), End: now}, now) {
		want[walking.DayOf(p.Start.Add(p.Offset).Date())] += p.Steps
	}
	var known []string
	for d := walking.DayOf(2026, 11, 20); d >= walking.DayOf(2026, 11, 14); d-- {
		sum := "-"
		if n, ok := want[d]; ok {
			sum = fmt.Sprint(n)
		}
		known = append(known, fmt.Sprintf("%s..%s %s", d, d+1, sum))
	}
	if diff := cmp.Diff(known, got); diff != "" {
		t.Errorf("(-known +answered):\n%s", diff)
	}
	if got[1] != "2026-11-19..2026-11-20 0" || got[2] != "2026-11-18..2026-11-19 -" {
		t.Errorf("worn at rest and not worn: %q", got[1:3])
	}
}

func TestDailyTotalsInPages(t *testing.T) {
	s := start(t, nil)
	whole := totals(t, s.days(rollUp("2026-10-01", "2026-11-01")))
	if len(whole) != 31 {
		t.Fatalf("%d days", len(whole))
	}
	body := strings.TrimSuffix(rollUp("2026-10-01", "2026-11-01"), "}") + `,"pageSize":10`
	var pieces []string
	pages := 0
	for token := ""; ; pages++ {
		r := s.days(body + fmt.Sprintf(`,"pageToken":%q}`, token))
		pieces = append(pieces, totals(t, r)...)
		if token = r.at(t, "nextPageToken"); token == "" {
			break
		}
		if r := s.days(strings.Replace(body, "11,", "12,", 1) + fmt.Sprintf(`,"pageToken":%q}`, token)); r.status != 400 {
			t.Errorf("the token of another question: %d", r.status)
		}
	}
	if diff := cmp.Diff(whole, pieces); diff != "" || pages != 3 {
		t.Errorf("%d more pages (-whole +pieces):\n%s", pages, diff)
	}
	weeks := totals(t, s.days(strings.Replace(rollUp("2026-10-26", "2026-11-08"), `Days":1`, `Days":7`, 1)))
	if len(weeks) != 2 || !strings.HasPrefix(weeks[0], "2026-11-02..2026-11-08 ") || !strings.HasPrefix(weeks[1], "2026-10-26..2026-11-02 ") {
		t.Errorf("weeks: %q", weeks)
	}
}

func TestDailyTotalsRefused(t *testing.T) {
	whole := rollUp("2026-11-01", "2026-11-08")
	for _, tt := range []struct {
		name, body, want string
	}{
		{"no JSON", `range=1`, "Invalid JSON payload"},
		{"another name", strings.Replace(whole, "windowSizeDays", "window_size", 1), "unknown field"},
		{"no range", `{"windowSizeDays":1}`, "A range is required"},
		{"no end", `{"range":{"start":` + civilDay("2026-11-01") + `}}`, "Invalid end"},
		{"no such date", rollUp("2026-11-31", "2026-12-08"), "Invalid start"},
		{"not at midnight", strings.Replace(whole, `{"date"`, `{"time":{"hours":1},"date"`, 1), "not aligned"},
		{"empty", rollUp("2026-11-01", "2026-11-01"), "empty"},
		{"backwards", rollUp("2026-11-08", "2026-11-01"), "empty"},
		{"91 days", rollUp("2026-08-01", "2026-10-31"), "longer than 90 days"},
		{"no window", strings.Replace(whole, `Days":1`, `Days":0`, 1), "one day at least"},
		{"a short family", strings.Replace(whole, "{", `{"dataSourceFamily":"all-sources",`, 1), "data source family"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, nil).days(tt.body)
			if r.status != 400 || r.at(t, "error", "status") != "INVALID_ARGUMENT" || !strings.Contains(r.body, tt.want) {
				t.Errorf("%d %s, want %s", r.status, r.body, tt.want)
			}
		})
	}
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.LastInclusive = true })
	for body, want := range map[string]int{
		rollUp("2026-08-01", "2026-10-29"): 200, rollUp("2026-08-01", "2026-10-30"): 400, // 90 and 91 days
	} {
		if r := s.days(body); r.status != want {
			t.Errorf("%s by its last day: %d, want %d", body, r.status, want)
		}
	}
	if r := s.must(http.MethodPost, dailyRollUp, s.token, "application/x-www-form-urlencoded", whole); r.status != 400 {
		t.Errorf("as a form: %d", r.status)
	}
	if r := s.must(http.MethodPost, dataTypes+"exercise/dataPoints:dailyRollUp", s.token, "application/json", whole); r.status != 400 {
		t.Errorf("of exercises: %d", r.status)
	}
	if r := s.must(http.MethodGet, dailyRollUp, s.token, "", ""); r.status == 200 {
		t.Errorf("with GET: %d", r.status)
	}
	devices := s.ask(s.Grant("ann", scopeDevices)).at(t, "access_token")
	if r := s.must(http.MethodPost, dailyRollUp, devices, "application/json", whole); r.status != 403 {
		t.Errorf("without the right to read activity: %d", r.status)
	}
	own := s.days(strings.Replace(whole, "{", `{"dataSourceFamily":"users/me/dataSourceFamilies/self-sources",`, 1))
	if got := totals(t, own); len(got) != 8 || strings.Count(strings.Join(got, " "), "-") != 8*5 {
		t.Errorf("what the application has written itself: %q", got)
	}
}
