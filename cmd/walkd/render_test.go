package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/walking"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func oslo(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// aDay returns a day with the given minutes of walking and 7-day mean over n days.
func aDay(minutes, mean float64, n int) walking.Summary {
	d := walking.Summary{
		Day: walking.DayOf(2026, 11, 20), Zone: "Europe/Oslo", Hours: 24,
		Steps: int64(minutes * 93), Walking: minutes, Low: walking.Round2(minutes * 0.85),
		High: walking.Round2(minutes * 1.15), Brisk: walking.Round2(minutes * 0.3),
		Target: 100, Band: walking.BandOf(minutes), Mean7: mean, Mean7Days: n, Estimator: walking.Estimator,
		Sources: []walking.SourceTotals{
			{StreamKey: walking.StreamKey{Source: "apple-health", Origin: "Watch"}, Counted: true},
			{StreamKey: walking.StreamKey{Source: "apple-health", Origin: "Phone"}}, // held by the others all day
			{StreamKey: walking.StreamKey{Source: "csv"}, Counted: true},
		},
	}
	d.Valid = d.Steps >= walking.ValidSteps
	d.Met = walking.WholeMinutes(minutes) > 100
	for h, share := range map[int]float64{7: 0.1, 8: 0.28, 10: 0.02, 12: 0.22, 13: 0.06, 15: 0.02, 16: 0.3} {
		d.ByHour[h].Walking = minutes * share
	}
	return d
}

func views(t testing.TB) map[string]todayView {
	now := time.Date(2026, 11, 20, 17, 12, 0, 0, oslo(t))
	base := todayView{
		Person: "alex", Now: now, Through: now.Add(-4 * time.Minute),
		Quiet: walking.WallRange{From: 21*60 + 30, To: 8 * 60},
	}
	make := func(change func(v *todayView)) todayView {
		v := base
		change(&v)
		return v
	}
	withRuns := aDay(112.4, 131.5, 7)
	withRuns.Running, withRuns.Alternative = 24.2, 45
	limited := aDay(31.7, 35.2, 4)
	limited.Alternative = 40.25
	empty := walking.Summary{Day: walking.DayOf(2026, 11, 20), Zone: "Europe/Oslo", Hours: 24, Target: 100}
	withMean := empty
	withMean.Mean7, withMean.Mean7Days = 65.51, 6
	night := aDay(20, 104, 7)
	night.ByHour[2].Walking = 55
	return map[string]todayView{
		"running-up": make(func(v *todayView) { v.Today = aDay(82.3, 96.4, 6) }),
		"met":        make(func(v *todayView) { v.Today = withRuns }),
		"edge":       make(func(v *todayView) { v.Today = aDay(100.4, 112, 7) }),
		"reference":  make(func(v *todayView) { v.Today = aDay(41, 65.51, 7) }),
		"night":      make(func(v *todayView) { v.Today = night }),
		"no-mean":    make(func(v *todayView) { v.Today = aDay(12, 0, 0) }),
		"limited":    make(func(v *todayView) { v.Today = limited; v.Limited = true }),
		"never":      make(func(v *todayView) { v.Today = empty; v.Through = time.Time{} }),
		"stale": make(func(v *todayView) {
			v.Today, v.Through = withMean, time.Date(2026, 11, 18, 21, 40, 0, 0, oslo(t))
		}),
		"long-name": make(func(v *todayView) {
			v.Today, v.Person = aDay(82.3, 96.4, 6), "Alexandra\x1b[31m Konstantinopoulou"
		}),
	}
}

// withoutColors returns text without escape sequences, and without the spaces that they keep at the ends of lines.
func withoutColors(text string) string {
	text = regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(text, "")
	return regexp.MustCompile(" +\n").ReplaceAllString(text, "\n")
}

func TestRenderToday(t *testing.T) {
	for name, view := range views(t) {
		for _, width := range []int{40, 80, 100} {
			t.Run(fmt.Sprintf("%s-%d", name, width), func(t *testing.T) {
				var plain, colored bytes.Buffer
				if err := renderToday(&plain, view, style{width: width}); err != nil {
					t.Fatal(err)
				}
				if err := renderToday(&colored, view, style{width: width, colors: colors24bit}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(plain.String(), withoutColors(colored.String())); diff != "" {
					t.Errorf("colours change the text (-plain +coloured):\n%s", diff)
				}
				checkLines(t, plain.String(), width)
				golden(t, fmt.Sprintf("today-%s-%d.txt", name, width), plain.String())
			})
		}
	}
}

func checkLines(t *testing.T, text string, width int) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if n := columns(line); n > width {
			t.Errorf("%d columns, want at most %d: %s", n, width, line)
		}
		if strings.TrimRight(line, " ") != line || strings.ContainsRune(line, '\x1b') {
			t.Errorf("untidy line: %q", line)
		}
	}
}

// The study was observational, and its confidence intervals could not be confirmed.
func TestStudyIsToldWithCare(t *testing.T) {
	for _, tt := range []struct {
		mean float64
		want string
	}{{0, "0.87"}, {77.49, "1 min a day more"}, {77.5, "78–100"}, {100.5, "0.77"}, {124.5, "0.76"}} {
		text := study(tt.mean)
		for _, want := range []string{tt.want, "associated with", "Observational", "Haddadj et al. 2025, JAMA Network Open"} {
			if !strings.Contains(text, want) {
				t.Errorf("mean %v: %q does not say %q", tt.mean, text, want)
			}
		}
		if bad := regexp.MustCompile(`(?i)\bwill\b|lowers?\b|reduce|prevent|confidence|\bCI\b|%`).FindString(text); bad != "" {
			t.Errorf("mean %v: %q says %q", tt.mean, text, bad)
		}
	}
	var limited strings.Builder
	if err := renderToday(&limited, views(t)["limited"], style{}); err != nil {
		t.Fatal(err)
	}
	for _, no := range []string{"Haddadj", " risk ", "78", "to go", "target"} {
		if strings.Contains(limited.String(), no) {
			t.Errorf("a person who can walk little is told %q", no)
		}
	}
}

func someDays() []walking.Summary {
	minutes := []float64{
		112.4, 96.1, 131.5, 78.2, 100.5, 64.3, 143.3, 3.1, 88.8, 0, 101.0, 54.6, 121.7, 99.4, 105.2, 110.9, 72.5, 82.3,
	}
	var days []walking.Summary
	for i, m := range minutes {
		d := aDay(m, 0, 0)
		d.Day += walking.Day(i - len(minutes) + 1)
		d.Closed = i < len(minutes)-1
		d.Alternative = float64(i * 7 % 45)
		if i == 5 {
			d.Valid, d.Hours = false, 11
		}
		if i == 11 {
			d.Valid = false
		}
		days = append(days, d)
	}
	for i := range days {
		days[i].Mean7, days[i].Mean7Days = walking.Mean7(days[max(0, i-6) : i+1])
	}
	return days
}

func TestRenderDays(t *testing.T) {
	for name, tt := range map[string]struct {
		days    []walking.Summary
		limited bool
	}{
		"days":    {days: someDays()},
		"limited": {days: someDays(), limited: true},
		"none":    {},
		"one":     {days: someDays()[:1]},
	} {
		for _, width := range []int{40, 60, 80, 100} {
			t.Run(fmt.Sprintf("%s-%d", name, width), func(t *testing.T) {
				var plain, colored bytes.Buffer
				if err := renderDays(&plain, tt.days, tt.limited, style{width: width}); err != nil {
					t.Fatal(err)
				}
				if err := renderDays(&colored, tt.days, tt.limited, style{width: width, colors: colors256}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(plain.String(), withoutColors(colored.String())); diff != "" {
					t.Errorf("colours change the text (-plain +coloured):\n%s", diff)
				}
				checkLines(t, plain.String(), width)
				golden(t, fmt.Sprintf("days-%s-%d.txt", name, width), plain.String())
			})
		}
	}
}

func TestStyleFor(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		env      map[string]string
		want     colorDepth
	}{
		{"pipe", false, map[string]string{"TERM": "xterm-256color", "COLORTERM": "truecolor"}, noColors},
		{"truecolor", true, map[string]string{"TERM": "xterm-256color", "COLORTERM": "truecolor"}, colors24bit},
		{"256", true, map[string]string{"TERM": "screen-256color"}, colors256},
		{"plain", true, map[string]string{"TERM": "vt100"}, noColors},
		{"dumb", true, map[string]string{"TERM": "dumb", "COLORTERM": "truecolor"}, noColors},
		{"NO_COLOR", true, map[string]string{"TERM": "xterm", "COLORTERM": "24bit", "NO_COLOR": "1"}, noColors},
		{"empty NO_COLOR", true, map[string]string{"TERM": "xterm", "COLORTERM": "24bit", "NO_COLOR": ""}, colors24bit},
	} {
		if got := styleFor(tt.terminal, 80, func(k string) string { return tt.env[k] }); got.colors != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got.colors, tt.want)
		}
	}
}

func each(days []walking.Summary, last error) iter.Seq2[personDay, error] {
	return func(yield func(personDay, error) bool) {
		for _, d := range days {
			if !yield(personDay{"alex, \"a\"", d}, nil) {
				return
			}
		}
		if last != nil {
			yield(personDay{}, last)
		}
	}
}

func TestExport(t *testing.T) {
	days := someDays()[:3]
	days[0].Mean7Days, days[1].Sources = 0, nil
	var asJSON, asCSV bytes.Buffer
	if err := writeDaysJSON(&asJSON, each(days, nil)); err != nil {
		t.Fatal(err)
	}
	if err := writeDaysCSV(&asCSV, each(days, nil)); err != nil {
		t.Fatal(err)
	}
	golden(t, "days.json", asJSON.String())
	golden(t, "days.csv", asCSV.String())

	var objects []map[string]any
	if err := json.Unmarshal(asJSON.Bytes(), &objects); err != nil || len(objects) != 3 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	rows, err := csv.NewReader(&asCSV).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, key := range rows[0] {
		if _, ok := objects[0][key]; !ok || len(objects[0]) != len(rows[0]) {
			t.Errorf("JSON and CSV do not have the same keys: %s", key)
		}
	}
}

func TestExportNothingAndErrors(t *testing.T) {
	var out bytes.Buffer
	if err := writeDaysJSON(&out, each(nil, nil)); err != nil || out.String() != "[]\n" {
		t.Errorf("nothing: %q, %v", out.String(), err)
	}
	broken := errors.New("broken")
	out.Reset()
	if err := writeDaysJSON(&out, each(someDays()[:1], broken)); !errors.Is(err, broken) || json.Valid(out.Bytes()) {
		t.Errorf("JSON of half the days: %v, %q", err, out.String())
	}
	if err := writeDaysCSV(&out, each(someDays()[:1], broken)); !errors.Is(err, broken) {
		t.Errorf("CSV of half the days: %v", err)
	}
	full := failingWriter{errors.New("disk full")}
	thousand := func(yield func(personDay, error) bool) {
		for range 1000 {
			if !yield(personDay{Summary: aDay(100, 0, 0)}, nil) {
				return
			}
		}
	}
	for name, write := range map[string]func() error{
		"JSON":  func() error { return writeDaysJSON(full, thousand) },
		"CSV":   func() error { return writeDaysCSV(full, thousand) },
		"today": func() error { return renderToday(full, views(t)["met"], style{}) },
		"days":  func() error { return renderDays(full, someDays(), false, style{}) },
	} {
		if err := write(); !errors.Is(err, full.err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }
