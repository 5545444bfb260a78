// Package ingesttest helps to test sources and file formats.
package ingesttest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// A Stream is what a Recorder was told of one stream of one person.
type Stream struct {
	walking.Stream
	Person   string
	Records  []walking.Record // as they came, replaced ones included
	Sessions []walking.Session
	Covers   []walking.Window
}

// Steps returns the sum of the steps of all records.
func (s *Stream) Steps() float64 {
	var sum float64
	for _, r := range s.Records {
		sum += r.Steps
	}
	return sum
}

// A Recorder is an ingest.Sink that keeps everything. It refuses what a Sink must not be given: a record or session of
// a stream that has not been described, one that ingest.CheckRecord or ingest.CheckSession refuses, an empty window.
type Recorder struct {
	Now     time.Time // as in the ImportOptions
	Streams []*Stream // in the order in which they were described first
	BadRows []ingest.BadRow
	Drops   map[string]int
	// Fail is returned by Record and Session once this many of them have been taken, if it is set.
	Fail      error
	FailAfter int
	taken     int
}

var _ ingest.Sink = (*Recorder)(nil)

// Find returns a stream, or nil.
func (r *Recorder) Find(person string, k walking.StreamKey) *Stream {
	i := slices.IndexFunc(r.Streams, func(s *Stream) bool { return s.Person == person && s.StreamKey == k })
	if i < 0 {
		return nil
	}
	return r.Streams[i]
}

// Stream keeps what is said of a stream.
func (r *Recorder) Stream(person string, s walking.Stream) error {
	if s.Source == "" || s.Device == 0 || s.Delivery == 0 {
		return fmt.Errorf("stream %+v lacks its source, device or delivery", s)
	}
	if known := r.Find(person, s.StreamKey); known != nil {
		known.Stream = s
		return nil
	}
	r.Streams = append(r.Streams, &Stream{Stream: s, Person: person})
	return nil
}

// Record keeps a record.
func (r *Recorder) Record(person string, k walking.StreamKey, rec walking.Record) error {
	s, err := r.take(person, k)
	if err != nil {
		return err
	}
	if err := ingest.CheckRecord(rec, r.Now); err != nil {
		return fmt.Errorf("invalid record %+v: %w", rec, err)
	}
	s.Records = append(s.Records, rec)
	return nil
}

// Session keeps a session.
func (r *Recorder) Session(person string, k walking.StreamKey, ses walking.Session) error {
	s, err := r.take(person, k)
	if err != nil {
		return err
	}
	if err := ingest.CheckSession(ses, r.Now); err != nil {
		return fmt.Errorf("invalid session %+v: %w", ses, err)
	}
	s.Sessions = append(s.Sessions, ses)
	return nil
}

func (r *Recorder) take(person string, k walking.StreamKey) (*Stream, error) {
	if r.Fail != nil && r.taken >= r.FailAfter {
		return nil, r.Fail
	}
	r.taken++
	s := r.Find(person, k)
	if s == nil {
		return nil, fmt.Errorf("stream %q of person %q has not been described", k, person)
	}
	return s, nil
}

// Covers keeps a window.
func (r *Recorder) Covers(person string, k walking.StreamKey, w walking.Window) error {
	s := r.Find(person, k)
	if s == nil || w.Empty() {
		return errors.New("an empty window, or one of a stream that has not been described")
	}
	s.Covers = append(s.Covers, w)
	return nil
}

// Bad keeps a broken row.
func (r *Recorder) Bad(b ingest.BadRow) error {
	if b.File == "" || b.Line < 1 || b.Reason == "" {
		return fmt.Errorf("bad row %q of %q, line %d, lacks one of these", b.Reason, b.File, b.Line)
	}
	r.BadRows = append(r.BadRows, b)
	return nil
}

// Dropped counts what was left out.
func (r *Recorder) Dropped(reason string, n int) {
	if r.Drops == nil {
		r.Drops = map[string]int{}
	}
	r.Drops[reason] += n
}

// String tells everything in a form that reads well in golden files.
func (r *Recorder) String() string {
	var b strings.Builder
	for _, s := range r.Streams {
		fmt.Fprintf(&b, "stream %q of %q: %s, %s, through %s\n",
			s.StreamKey, s.Person, s.Device, s.Delivery, s.SyncedThrough.UTC().Format(time.RFC3339))
		for _, w := range s.Covers {
			fmt.Fprintf(&b, "  covers %s to %s\n", w.Start.UTC().Format(time.RFC3339), w.End.UTC().Format(time.RFC3339))
		}
		for _, rec := range s.Records {
			fmt.Fprintf(&b, "  %s +%s %g steps", rec.Start.UTC().Format(time.RFC3339), rec.Duration, rec.Steps)
			if rec.HasOffset {
				fmt.Fprintf(&b, " at %+d", rec.Offset)
			}
			b.WriteByte('\n')
		}
		for _, ses := range s.Sessions {
			fmt.Fprintf(&b, "  %s %s to %s, moving %s", ses.Kind,
				ses.Start.UTC().Format(time.RFC3339), ses.End.UTC().Format(time.RFC3339), ses.Moving.Round(time.Millisecond))
			if ses.HasSteps {
				fmt.Fprintf(&b, ", %g steps", ses.Steps)
			}
			b.WriteByte('\n')
		}
	}
	for _, bad := range r.BadRows {
		fmt.Fprintf(&b, "bad %s\n", bad.Error())
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Drops)) {
		fmt.Fprintf(&b, "dropped %d: %s\n", r.Drops[reason], reason)
	}
	return b.String()
}
