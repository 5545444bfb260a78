package ingest_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestCheckRecord(t *testing.T) {
	tests := []struct {
		name string
		r    walking.Record
		want string // part of the error; "" for none
	}{
		{"a minute", walking.Record{Start: now.Add(-time.Hour), Duration: time.Minute, Steps: 120}, ""},
		{"a fraction", walking.Record{Start: now.Add(-time.Hour), Duration: time.Minute, Steps: 1.566}, ""},
		{"zero steps", walking.Record{Start: now.Add(-time.Hour), Duration: time.Minute}, ""},
		{"zero length", walking.Record{Start: now.Add(-time.Hour), Steps: 8000}, ""},
		{"a second", walking.Record{Start: now.Add(-time.Hour), Duration: time.Second, Steps: 5}, ""},
		{"most in a minute", walking.Record{Start: now.Add(-time.Hour), Duration: time.Minute, Steps: 500}, ""},
		{"the longest", walking.Record{Start: now.Add(-48 * time.Hour), Duration: 48 * time.Hour, Steps: 600_000}, ""},
		{"clocks differ", walking.Record{Start: now, Duration: 15 * time.Minute, Steps: 1}, ""},
		{"future", walking.Record{Start: now, Duration: 15*time.Minute + 1, Steps: 1}, "in the future"},
		{"negative length", walking.Record{Start: now, Duration: -1, Steps: 1}, "before it starts"},
		{"too long", walking.Record{Start: now.Add(-72 * time.Hour), Duration: 48*time.Hour + 1}, "at most 48 hours"},
		{"clock not set", walking.Record{Start: time.Unix(0, 0), Duration: time.Minute}, "before the year 2000"},
		{"negative", walking.Record{Start: now.Add(-time.Hour), Duration: time.Minute, Steps: -1}, "zero or more"},
		{"not a number", walking.Record{Start: now.Add(-time.Hour), Steps: math.NaN()}, "want a number"},
		{"infinite", walking.Record{Start: now.Add(-time.Hour), Steps: math.Inf(1)}, "want a number"},
		{"too many in a minute", walking.Record{Start: now.Add(-time.Hour), Duration: time.Minute, Steps: 501}, "at most 500"},
		{"too many in a day", walking.Record{Start: now.Add(-25 * time.Hour), Duration: 24 * time.Hour, Steps: 300_001}, "more than"},
		{"too many at once", walking.Record{Start: now.Add(-time.Hour), Steps: 300_001}, "more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkError(t, ingest.CheckRecord(tt.r, now), tt.want) })
	}
}

func TestCheckSession(t *testing.T) {
	good := walking.Session{Start: now.Add(-time.Hour), End: now, Moving: 50 * time.Minute, Kind: walking.Walk}
	tests := []struct {
		name   string
		change func(*walking.Session)
		want   string
	}{
		{"sound", func(*walking.Session) {}, ""},
		{"steps", func(s *walking.Session) { s.Steps, s.HasSteps = 6000, true }, ""},
		{"steps that mean nothing", func(s *walking.Session) { s.Steps = -1 }, ""},
		{"bad steps", func(s *walking.Session) { s.Steps, s.HasSteps = -1, true }, "zero or more"},
		{"backwards", func(s *walking.Session) { s.End = s.Start.Add(-1) }, "before it starts"},
		{"no length", func(s *walking.Session) { s.End = s.Start }, "ends when it starts"},
		{"moving longer", func(s *walking.Session) { s.Moving = time.Hour + 1 }, "moving time"},
		{"future", func(s *walking.Session) { s.End = now.Add(time.Hour) }, "in the future"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := good
			tt.change(&s)
			checkError(t, ingest.CheckSession(s, now), tt.want)
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("err = %v, want %q", err, want)
	}
}
