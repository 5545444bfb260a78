package simulate

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/fitabase"
	"github.com/walkd/walkd/internal/walking"
)

// sink keeps what a file holds.
type sink struct {
	t       *testing.T
	records []walking.Record
	through time.Time
}

func (s *sink) Stream(_ string, st walking.Stream) error {
	s.through = st.SyncedThrough
	return nil
}

func (s *sink) Record(_ string, _ walking.StreamKey, r walking.Record) error {
	s.records = append(s.records, r)
	return nil
}
func (*sink) Session(string, walking.StreamKey, walking.Session) error { return nil }
func (*sink) Covers(string, walking.StreamKey, walking.Window) error   { return nil }
func (*sink) Dropped(string, int)                                      {}
func (s *sink) Bad(b ingest.BadRow) error {
	s.t.Error(b)
	return nil
}

func TestPersonEndsNow(t *testing.T) {
	for _, tt := range []struct {
		name, zone, now string
		wantFirst       string
	}{
		{"afternoon", "Europe/Oslo", "2026-11-20T16:05:40+01:00", "2026-10-23"},
		{"just after midnight", "Europe/Oslo", "2026-11-20T00:00:30+01:00", "2026-10-23"},
		{"last minute of a year", "Asia/Tokyo", "2026-12-31T23:59:00+09:00", "2026-12-03"},
		{"on the day the clocks go forward", "Europe/Berlin", "2026-03-29T12:00:00+02:00", "2026-03-01"},
		{"on the day the clocks go back", "Europe/Berlin", "2026-10-25T12:00:00+01:00", "2026-09-27"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			text, err := Person(now, zone)
			if err != nil {
				t.Fatal(err)
			}
			s := &sink{t: t}
			err = fitabase.Format{}.Decode(context.Background(),
				ingest.File{Name: "demo", Size: int64(len(text)), Body: strings.NewReader(string(text))},
				ingest.ImportOptions{Zone: zone, Now: now}, s)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.records[0].Start.In(zone).Format(time.DateOnly); got != tt.wantFirst {
				t.Errorf("the first day is %s, want %s", got, tt.wantFirst)
			}
			if lag := now.Sub(s.through); lag < 0 || lag >= time.Minute {
				t.Errorf("the data ends %s before now, want less than a minute", lag)
			}
		})
	}
}

func TestReplayKeepsStepsAndClock(t *testing.T) {
	header := "Id,ActivityHour" + strings.Repeat(",Steps", 60) + "\n"
	wide := header + "1,4/13/2016 23:00" + strings.Repeat(",7", 60) + "\n1,4/14/2016 0:00" + strings.Repeat(",9", 60) + "\n"
	got, err := replay(strings.NewReader(wide), time.Date(2026, 3, 1, 0, 2, 59, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(got)), "\n")
	if len(lines) != 1+60+2 {
		t.Fatalf("got %d lines, want a header and 62 minutes", len(lines))
	}
	for i, want := range map[int]string{
		0: "Id,ActivityMinute,Steps", 1: "1,2/28/2026 23:00,7", 60: "1,2/28/2026 23:59,7", 61: "1,3/1/2026 00:00,9",
		62: "1,3/1/2026 00:01,9",
	} {
		if lines[i] != want {
			t.Errorf("line %d is %q, want %q", i+1, lines[i], want)
		}
	}
}
