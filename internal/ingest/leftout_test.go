package ingest_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

func TestLeftOut(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r := ingest.Request{Now: now, Window: walking.Window{Start: now.Add(-12 * time.Hour), End: now.Add(12 * time.Hour)}}
	bad := errors.New("steps are 1e9")
	for _, test := range []struct {
		name   string
		starts []time.Duration // from now, of what cannot be
		want   []string
	}{
		{"nothing", nil, nil},
		{"one", []time.Duration{-time.Hour}, []string{`msg="left out what cannot be" what=minutes count=1 from=2026-11-20T00:00:00Z to=2026-11-21T00:00:00Z`}},
		{"one of the future", []time.Duration{-time.Hour, time.Hour}, []string{
			"count=2", "set the clock of this machine", "count=1 now=2026-11-20T12:00:00Z",
		}},
	} {
		var log bytes.Buffer
		l := ingest.NewLeftOut(slog.New(slog.NewTextHandler(&log, nil)), "Oura", "minutes", r)
		if !l.Takes(t.Context(), now, nil) {
			t.Errorf("%s: what can be is left out", test.name)
		}
		for _, d := range test.starts {
			if l.Takes(t.Context(), now.Add(d), bad) {
				t.Errorf("%s: what cannot be is taken", test.name)
			}
		}
		late := 0
		for _, d := range test.starts {
			if d > 0 {
				late++
			}
		}
		if l.Late() != late {
			t.Errorf("%s: %d late, want %d", test.name, l.Late(), late)
		}
		l.TellCount(t.Context())
		if strings.Contains(log.String(), "clock") {
			t.Errorf("%s: more than the count is logged\n%s", test.name, &log)
		}
		log.Reset()
		l.Tell(t.Context())
		for _, want := range test.want {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: no %s in\n%s", test.name, want, &log)
			}
		}
		if strings.Contains(log.String(), "1e9") || test.want == nil && log.Len() > 0 {
			t.Errorf("%s: logged\n%s", test.name, &log)
		}
	}
	ingest.NewLeftOut(nil, "Oura", "minutes", r).Tell(t.Context())
}
