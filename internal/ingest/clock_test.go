package ingest_test

import (
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

func TestLocal(t *testing.T) {
	tests := []struct {
		name, zone, wall, want string
		skipped                bool
	}{
		{"plain", "Europe/Berlin", "2026-01-15T12:00:00Z", "2026-01-15T11:00:00Z", false},
		{"before the gap", "Europe/Berlin", "2026-03-29T01:59:59Z", "2026-03-29T00:59:59Z", false},
		{"start of the gap", "Europe/Berlin", "2026-03-29T02:00:00Z", "2026-03-29T01:00:00Z", true},
		{"in the gap", "Europe/Berlin", "2026-03-29T02:30:00Z", "2026-03-29T01:30:00Z", true},
		{"end of the gap", "Europe/Berlin", "2026-03-29T03:00:00Z", "2026-03-29T01:00:00Z", false},
		{"before the repeated hour", "Europe/Berlin", "2026-10-25T01:59:59Z", "2026-10-24T23:59:59Z", false},
		{"repeated hour starts", "Europe/Berlin", "2026-10-25T02:00:00Z", "2026-10-25T00:00:00Z", false},
		{"repeated hour", "Europe/Berlin", "2026-10-25T02:59:59Z", "2026-10-25T00:59:59Z", false},
		{"after the repeated hour", "Europe/Berlin", "2026-10-25T03:00:00Z", "2026-10-25T02:00:00Z", false},
		{"west, in the gap", "America/New_York", "2026-03-08T02:30:00Z", "2026-03-08T07:30:00Z", true},
		{"west, repeated", "America/New_York", "2026-11-01T01:30:00Z", "2026-11-01T05:30:00Z", false},
		{"midnight skipped", "Africa/Cairo", "2026-04-24T00:00:00Z", "2026-04-23T22:00:00Z", true},
		{"half an hour skipped", "Australia/Lord_Howe", "2026-10-04T02:15:00Z", "2026-10-03T15:45:00Z", true},
		{"after half an hour", "Australia/Lord_Howe", "2026-10-04T02:30:00Z", "2026-10-03T15:30:00Z", false},
		{"half an hour repeated", "Australia/Lord_Howe", "2026-04-05T01:45:00Z", "2026-04-04T14:45:00Z", false},
		{"a whole day skipped", "Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-30T22:00:00Z", true},
		{"fixed", "UTC", "2026-03-29T02:30:00Z", "2026-03-29T02:30:00Z", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			wall, err := time.Parse(time.RFC3339, tt.wall)
			if err != nil {
				t.Fatal(err)
			}
			got, skipped := ingest.Local(wall, zone)
			if got.Format(time.RFC3339) != tt.want || skipped != tt.skipped {
				t.Errorf("Local(%s, %s) = %s, %t; want %s, %t",
					tt.wall, tt.zone, got.Format(time.RFC3339), skipped, tt.want, tt.skipped)
			}
		})
	}
}

// Every hour of a whole year reads back as itself unless the clocks skipped it, and never goes back in time.
func TestLocalRoundTrip(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kolkata"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for wall := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); wall.Year() == 2026; wall = wall.Add(30 * time.Minute) {
			got, skipped := ingest.Local(wall, zone)
			const layout = "2006-01-02 15:04"
			if same := got.In(zone).Format(layout) == wall.Format(layout); same == skipped {
				t.Fatalf("%s: Local(%s) shows %s, skipped %t", name, wall.Format(layout), got.In(zone).Format(layout), skipped)
			}
			if earlier := got.Add(-time.Hour); !skipped && earlier.In(zone).Format(layout) == wall.Format(layout) {
				t.Fatalf("%s: Local(%s) = %s is not the first occurrence", name, wall.Format(layout), got)
			}
		}
	}
}
