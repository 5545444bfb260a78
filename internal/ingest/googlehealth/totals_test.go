package googlehealth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

func day(text string) walking.Day {
	d, err := walking.ParseDay(text)
	if err != nil {
		panic(err)
	}
	return d
}

// total is the total of a date; what is what stands in it besides.
func total(date, what string) string {
	y, m, d := day(date).Date()
	return fmt.Sprintf(`{"civilStartTime":{"date":{"year":%d,"month":%d,"day":%d},"time":{}}%s}`, y, m, d, what)
}

func totalsPage(token string, list ...string) string {
	return fmt.Sprintf(`{"rollupDataPoints":[%s],"nextPageToken":%q}`, strings.Join(list, ","), token)
}

func sum(n string) string { return fmt.Sprintf(`,"steps":{"countSum":%s}`, n) }

func TestTotals(t *testing.T) {
	of := func(date string, steps float64) ingest.Total { return ingest.Total{Day: day(date), Steps: steps} }
	for _, test := range []struct {
		name        string
		first, last string
		answers     []answer
		want        []ingest.Total
	}{
		{
			name: "newest first, numbers as text", first: "2026-11-01", last: "2026-11-03",
			answers: []answer{ok(totalsPage("", total("2026-11-03", sum(`"9525"`)), total("2026-11-02", sum(`"0"`)), total("2026-11-01", "")))},
			want:    []ingest.Total{of("2026-11-02", 0), of("2026-11-03", 9525)},
		},
		{
			name: "oldest first, numbers", first: "2026-11-01", last: "2026-11-03",
			answers: []answer{ok(totalsPage("", total("2026-11-01", sum("12")), total("2026-11-03", sum("7"))))},
			want:    []ingest.Total{of("2026-11-01", 12), of("2026-11-03", 7)},
		},
		{
			name: "the end taken for the last day, and dates that were not asked for", first: "2026-02-28", last: "2026-02-28",
			answers: []answer{ok(totalsPage("", total("2026-03-01", sum(`"5"`)), total("2026-02-28", sum(`"6"`)), total("2026-02-27", sum(`"7"`))))},
			want:    []ingest.Total{of("2026-02-28", 6)},
		},
		{
			name: "worn, and no sum", first: "2026-11-01", last: "2026-11-02",
			answers: []answer{ok(totalsPage("", total("2026-11-02", `,"steps":{}`), total("2026-11-01", `,"steps":null,"mood":"good"`)))},
			want:    []ingest.Total{of("2026-11-02", 0)},
		},
		{
			name: "pages, the first of them empty", first: "2026-11-01", last: "2026-11-02",
			answers: []answer{
				ok(`{"nextPageToken":"a"}`), ok(totalsPage("b", total("2026-11-02", sum(`"2"`)))), ok(totalsPage("", total("2026-11-01", sum(`"1"`)))),
			},
			want: []ingest.Total{of("2026-11-01", 1), of("2026-11-02", 2)},
		},
		{name: "nothing", first: "2026-11-01", last: "2026-11-02", answers: []answer{ok(`{}`)}},
		{
			name: "midnight is skipped", first: "2026-04-24", last: "2026-04-24", // as in Cairo
			answers: []answer{ok(strings.Replace(totalsPage("", total("2026-04-24", sum(`"3"`))), `"time":{}`, `"time":{"hours":1}`, 1))},
			want:    []ingest.Total{of("2026-04-24", 3)},
		},
		{name: "the last before the first", first: "2026-11-02", last: "2026-11-01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGoogle(t, map[string][]answer{totals: test.answers})
			s, _ := g.source()
			got, err := totaler(s)(t.Context(), day(test.first), day(test.last))
			if d := diff(test.want, got); err != nil || d != "" {
				t.Errorf("error %v, totals (-want +got):\n%s", err, d)
			}
			if len(g.asked) != len(test.answers) {
				t.Errorf("asked %d times, want %d", len(g.asked), len(test.answers))
			}
		})
	}
}

// What is asked for holds all days by either reading of the end, and no more than the documented range by either.
func TestTotalsAreAskedForByEitherReading(t *testing.T) {
	for _, test := range []struct {
		first, last string
		want        []string
	}{
		{"2026-11-13", "2026-11-20", []string{"2026-11-13 2026-11-21"}},
		{"2026-12-31", "2026-12-31", []string{"2026-12-31 2027-01-01"}},
		{"2026-08-24", "2026-11-20", []string{"2026-08-24 2026-11-21"}},                          // 89 days
		{"2026-08-23", "2026-11-20", []string{"2026-08-24 2026-11-21", "2026-08-23 2026-08-24"}}, // 90
		{"2026-01-01", "2026-12-31", []string{
			"2026-10-04 2027-01-01", "2026-07-07 2026-10-04", "2026-04-09 2026-07-07", "2026-01-10 2026-04-09", "2026-01-01 2026-01-10",
		}},
	} {
		g := newGoogle(t, map[string][]answer{totals: {ok(`{}`)}})
		s, _ := g.source()
		if _, err := totaler(s)(t.Context(), day(test.first), day(test.last)); err != nil {
			t.Error(err)
		}
		var got []string
		for _, body := range g.bodies {
			type date struct {
				Date struct{ Year, Month, Day int }
			}
			var q struct {
				Range          struct{ Start, End date }
				WindowSizeDays int
				PageToken      *string
			}
			if err := json.Unmarshal([]byte(body), &q); err != nil || q.WindowSizeDays != 1 || q.PageToken != nil {
				t.Errorf("asked for %s, error %v", body, err)
			}
			text := func(d date) string { return fmt.Sprintf("%04d-%02d-%02d", d.Date.Year, d.Date.Month, d.Date.Day) }
			got = append(got, text(q.Range.Start)+" "+text(q.Range.End))
		}
		if d := diff(test.want, got); d != "" {
			t.Errorf("%s to %s (-want +got):\n%s", test.first, test.last, d)
		}
	}
}

func TestTotalsRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"rollupDataPoints":[{}]}`: "a total has no date",
		totalsPage("", strings.Replace(total("2026-11-01", sum("1")), `"day":1`, `"day":31`, 1)): "a total has no date",
		totalsPage("", total("2026-11-01", sum(`"-1"`))):                                         "a total is negative",
		totalsPage("", total("2026-11-01", sum("1")), total("2026-11-01", sum("1"))):             "2026-11-01 has two totals",
		totalsPage("", total("2026-11-01", sum("1.5"))):                                          "not a whole number",
		totalsPage("", total("2026-11-01", `,"steps":7`)):                                        "wrong type",
		`{"dataPoints":[]}`:     "about something else",
		`<html>`:                "web page",
		`{"rollupDataPoints":[`: "broke off",
	} {
		for _, pages := range [][]answer{{ok(body)}, {ok(totalsPage("next", total("2026-11-02", sum("9")))), ok(body)}} {
			s, _ := newGoogle(t, map[string][]answer{totals: pages}).source()
			got, err := totaler(s)(t.Context(), day("2026-11-01"), day("2026-11-02"))
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != ingest.Transient || !strings.Contains(err.Error(), want) || got != nil {
				t.Errorf("%s: %v, error %v, want a transient one with %q", body, got, err, want)
			}
		}
	}
	s, _ := newGoogle(t, map[string][]answer{totals: {{status: http.StatusForbidden, body: sample(t, "errors/scope.json")}}}).source()
	_, err := totaler(s)(t.Context(), day("2026-11-01"), day("2026-11-02"))
	var e *ingest.Error
	if !errors.As(err, &e) || e.Class != ingest.Auth {
		t.Errorf("without the right: %v, want an error of the class auth", err)
	}
}
