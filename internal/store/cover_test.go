package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// TestCoverPart covers windows for a part of what a stream holds: the rest stays.
func TestCoverPart(t *testing.T) {
	walk := walking.Session{Start: noon, End: noon.Add(time.Hour), Kind: walking.Walk}
	swim := walking.Session{Start: noon.Add(5 * time.Hour), End: noon.Add(6 * time.Hour), Kind: walking.Swim}
	run := walking.Session{Start: noon.Add(30 * time.Minute), End: noon.Add(time.Hour), Kind: walking.Run}
	off := walking.Window{Start: noon.Add(20 * time.Minute), End: noon.Add(40 * time.Minute)}
	hour := walking.Window{Start: noon, End: noon.Add(time.Hour)}
	evening := walking.Window{Start: noon.Add(4 * time.Hour), End: noon.Add(8 * time.Hour)}
	type content struct {
		Records  map[string]float64
		Sessions []walking.Session
		Unworn   []walking.Window
	}
	both := []walking.Session{walk, swim}
	tests := []struct {
		name  string
		then  ingest.Batch
		parts []ingest.Part
		want  content
		stats store.Changes
	}{
		{
			"all of it", batch(watch, minutes(noon, 70), hour),
			[]ingest.Part{ingest.All},
			content{map[string]float64{"12:00+1m0s": 70}, []walking.Session{swim}, nil},
			store.Changes{Replaced: 1, Removed: 2},
		},
		{
			"records only", batch(watch, minutes(noon, 70), hour),
			[]ingest.Part{ingest.RecordsOnly},
			content{map[string]float64{"12:00+1m0s": 70}, both, nil},
			store.Changes{Replaced: 1, Removed: 1},
		},
		{
			"sessions only", batch(watch, nil, hour),
			[]ingest.Part{ingest.SessionsOnly},
			content{map[string]float64{"12:00+1m0s": 50, "12:01+1m0s": 60}, []walking.Session{swim}, []walking.Window{off}},
			store.Changes{Removed: 1},
		},
		{
			"records of one window, sessions of another", batch(watch, minutes(noon, 50), hour, evening),
			[]ingest.Part{ingest.RecordsOnly, ingest.SessionsOnly},
			content{map[string]float64{"12:00+1m0s": 50}, []walking.Session{walk}, nil},
			store.Changes{Unchanged: 1, Removed: 2},
		},
		{
			"a session beside covered records is added", func() ingest.Batch {
				b := batch(watch, minutes(noon, 50, 60), hour)
				b.Sessions = []walking.StreamSession{{StreamKey: watch, Session: run}}
				return b
			}(),
			[]ingest.Part{ingest.RecordsOnly},
			content{map[string]float64{"12:00+1m0s": 50, "12:01+1m0s": 60}, []walking.Session{walk, run, swim}, nil},
			store.Changes{Unchanged: 2, Added: 1},
		},
		{
			"a record beside covered sessions is added", batch(watch, minutes(noon.Add(2*time.Minute), 80), hour),
			[]ingest.Part{ingest.SessionsOnly},
			content{
				map[string]float64{"12:00+1m0s": 50, "12:01+1m0s": 60, "12:02+1m0s": 80},
				[]walking.Session{swim},
				[]walking.Window{off},
			},
			store.Changes{Added: 1, Removed: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			p := person(t, s)
			first := batch(watch, minutes(noon, 50, 60))
			first.Sessions = []walking.StreamSession{{StreamKey: watch, Session: walk}, {StreamKey: watch, Session: swim}}
			first.Unworn = []ingest.Unworn{{StreamKey: watch, Window: off}}
			apply(t, s, p, first)
			settle(t, s, p)
			for i, part := range tt.parts {
				tt.then.Covers[i].Part = part
			}
			if got := apply(t, s, p, tt.then); got != tt.stats {
				t.Errorf("changes %+v, want %+v", got, tt.stats)
			}
			if !slices.Contains(staleDays(t, &s.Reader, p), day1.String()) {
				t.Error("the day is not stale")
			}
			inputs, err := s.Inputs(t.Context(), p, walking.Window{Start: noon, End: noon.Add(12 * time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			got := content{stored(t, &s.Reader, p, watch), inputs[0].Sessions, inputs[0].Unworn}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

// What a source counts on a day is what it tells finely: longer records and those of no length repeat it.
func TestCounted(t *testing.T) {
	rough := walking.Record{Start: noon.Add(-time.Hour), Duration: 10 * time.Hour, Steps: 9000}
	moment := walking.Record{Start: noon, Steps: 7}
	hour := walking.Record{Start: noon.Add(5 * time.Hour), Duration: time.Hour, Steps: 600}
	tests := []struct {
		name    string
		records []walking.Record
		want    float64
		rough   bool
	}{
		{"nothing", nil, 0, false},
		{"minutes", minutes(noon, 50, 60, 0), 110, false},
		{"minutes, and what repeats them", append([]walking.Record{rough, moment}, minutes(noon.Add(time.Minute), 50, 60)...), 110, false},
		{"an hour counts", []walking.Record{hour}, 600, false},
		{"a total alone", []walking.Record{rough}, 0, true},
		{"outside", minutes(noon.Add(-24*time.Hour), 50), 0, false},
	}
	for _, tt := range tests {
		s := open(t, t.TempDir())
		p := person(t, s)
		key := walking.StreamKey{Source: "band", Origin: "a"}
		apply(t, s, p, batch(key, tt.records))
		apply(t, s, p, batch(walking.StreamKey{Source: "band", Origin: "b"}, minutes(noon.Add(-48*time.Hour), 5)))
		apply(t, s, p, batch(walking.StreamKey{Source: "other"}, minutes(noon, 100)))
		w := walking.Window{Start: noon.Add(-2 * time.Hour), End: noon.Add(12 * time.Hour)}
		got, isRough, err := s.Counted(t.Context(), p.ID, "band", w)
		if err != nil || got != tt.want || isRough != tt.rough {
			t.Errorf("%s: %g, %t, %v, want %g, %t", tt.name, got, isRough, err, tt.want, tt.rough)
		}
	}
}
