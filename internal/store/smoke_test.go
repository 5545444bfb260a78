package store

import (
	"context"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := s.EnsurePerson(ctx, "me", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	k := walking.StreamKey{Source: "w"}
	var rs []walking.Record
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 500000 {
		rs = append(rs, walking.Record{Start: start.Add(time.Duration(i) * time.Minute), Duration: time.Minute, Steps: float64(i % 120)})
	}
	b := ingest.Batch{Streams: []walking.Stream{{StreamKey: k, Device: walking.Wearable, Delivery: walking.Pulled}}, Records: []walking.StreamRecords{{StreamKey: k, Records: rs}}}
	t0 := time.Now()
	c, err := s.Apply(ctx, p.ID, b, start.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(c, time.Since(t0))
	t0 = time.Now()
	c, err = s.Apply(ctx, p.ID, b, start.AddDate(1, 0, 0))
	t.Log(c, err, time.Since(t0))
	t0 = time.Now()
	in, err := s.Inputs(ctx, p, walking.Window{Start: start, End: start.AddDate(1, 0, 0)})
	t.Log(len(in[0].Records), err, time.Since(t0))
	st, _ := s.Stale(ctx, p.ID)
	t.Log(len(st), st[0], st[len(st)-1])
}
