package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

func itoa(n int) string { return strconv.Itoa(n) }

// importThat runs an import that fill puts something into.
func importThat(tb testing.TB, s *store.Store, o store.ImportOptions, fill func(im *store.Import) error) (store.ImportResult, error) {
	tb.Helper()
	if o.Person == "" {
		o.Person = "me"
	}
	o.Zone = time.UTC
	im, err := s.NewImport(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := im.Close(); err != nil {
			tb.Error(err)
		}
	}()
	if err := fill(im); err != nil {
		tb.Fatal(err)
	}
	return im.Commit(later)
}

// export is an export like Apple's: it tells everything up to its date.
func export(date time.Time, records ...walking.Record) func(*store.Import) error {
	return func(im *store.Import) error {
		err := im.Stream("", walking.Stream{StreamKey: phone, Device: walking.Phone, Delivery: walking.Filed, SyncedThrough: date})
		for _, r := range records {
			err = errors.Join(err, im.Record("", phone, r))
		}
		return errors.Join(err, im.Covers("", phone, walking.Window{Start: time.Unix(0, 0), End: date}))
	}
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	// More than one chunk, so that its edges are met.
	many := minutes(noon.AddDate(0, 0, -30), make([]float64, 43000)...)
	for i := range many {
		many[i].Steps = float64(i % 100)
	}
	r, err := importThat(t, s, store.ImportOptions{}, export(later, many...))
	if err != nil || r.Changes != (store.Changes{Added: 43000}) {
		t.Fatalf("first: %+v, %v", r, err)
	}
	p := person(t, s)
	settle(t, s, p)
	r, err = importThat(t, s, store.ImportOptions{}, export(later, many...))
	if err != nil || r.Changes != (store.Changes{Unchanged: 43000}) || len(staleDays(t, &s.Reader, p)) > 0 {
		t.Fatalf("again: %+v, %v, stale %v", r, err, staleDays(t, &s.Reader, p))
	}
	// Deleted at the source: the first, the last, and those around the edge of a chunk.
	fewer := append(append([]walking.Record{}, many[1:19990]...), many[20010:42999]...)
	r, err = importThat(t, s, store.ImportOptions{}, export(later, fewer...))
	if err != nil || r.Removed != 22 || r.Unchanged != len(fewer) {
		t.Fatalf("deletions: %+v, %v", r, err)
	}
	// An older export knows less, and cannot take back what a newer one said.
	changed := many[10]
	changed.Steps++
	r, err = importThat(t, s, store.ImportOptions{}, export(later.AddDate(0, 0, -5), many[0], changed))
	if err != nil || r.Changes != (store.Changes{Added: 1, Unchanged: 1}) {
		t.Fatalf("older export: %+v, %v", r, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "import-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("imports left %v, %v", left, err)
	}
}

func TestImportBadRows(t *testing.T) {
	fill := func(im *store.Import) error {
		err := im.Record("", watch, minutes(noon, 5)[0])
		for i := range 30 {
			err = errors.Join(err, im.Bad(ingest.BadRow{File: "steps.csv", Line: int64(i + 2), Reason: "steps: \"x\" is not a number"}))
		}
		return err
	}
	s := open(t, t.TempDir())
	_, err := importThat(t, s, store.ImportOptions{}, fill)
	var bad *store.BadRowsError
	if !errors.As(err, &bad) || bad.Count != 30 || len(bad.Rows) != 20 {
		t.Fatalf("%v, want 30 bad rows, the first 20 told", err)
	}
	for _, want := range []string{"steps.csv:2: ", "… and 10 more", "30 broken rows: nothing was imported", "--skip-bad"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%s", want, err)
		}
	}
	if people, err := s.Persons(t.Context()); err != nil || len(people) > 0 {
		t.Errorf("a refused file made %v, %v", people, err)
	}
	r, err := importThat(t, s, store.ImportOptions{SkipBad: true}, fill)
	if err != nil || r.Skipped != 30 || r.Added != 1 {
		t.Errorf("with SkipBad: %+v, %v", r, err)
	}
}

func TestImportSeveralPeople(t *testing.T) {
	s := open(t, t.TempDir())
	r, err := importThat(t, s, store.ImportOptions{}, func(im *store.Import) error {
		return errors.Join(im.Record("ann", watch, minutes(noon, 5)[0]), im.Record("bob", watch, minutes(noon, 7)[0]))
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ann", "bob"}, r.Persons); diff != "" {
		t.Errorf("people (-want +got):\n%s", diff)
	}
	for name, steps := range map[string]float64{"ann": 5, "bob": 7} {
		p, err := s.Person(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got := stored(t, &s.Reader, p, watch)["12:00+1m0s"]; got != steps {
			t.Errorf("%s has %v steps, want %v", name, got, steps)
		}
	}
}

func TestOpenRemovesWhatAKilledImportLeft(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "import-123.tmp")
	if err := os.WriteFile(left, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

// TestImportBrokenOff breaks an import off between two chunks. Importing the file again completes it, sessions at the edge of
// a chunk included.
func TestImportBrokenOff(t *testing.T) {
	s := open(t, t.TempDir())
	many := minutes(noon.AddDate(0, 0, -30), make([]float64, 30000)...)
	fill := func(im *store.Import) error {
		err := export(later, many...)(im)
		for i := 19999; i <= 20001; i++ {
			x := walking.Session{Start: many[i].Start, End: many[i].End(), Kind: walking.Walk}
			err = errors.Join(err, im.Session("", phone, x))
		}
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	im, err := s.NewImport(ctx, store.ImportOptions{Person: "me", Zone: time.UTC, Progress: func(_, stored int) {
		if stored > 0 {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(im); err != nil {
		t.Fatal(err)
	}
	r, err := im.Commit(later)
	if !errors.Is(err, context.Canceled) || r.Added == 0 || r.Added > 29000 {
		t.Fatalf("%+v, %v: want a part, and context.Canceled", r, err)
	}
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	p := person(t, s)
	if streams, err := s.Streams(t.Context(), p); err != nil || !streams[0].SyncedThrough.IsZero() {
		t.Errorf("half a file counts as complete: %v, %v", streams, err)
	}
	again, err := importThat(t, s, store.ImportOptions{}, fill)
	if err != nil || again.Unchanged != r.Added || again.Added != 30003-r.Added {
		t.Errorf("again: %+v after %+v, %v", again, r, err)
	}
	// Without the sessions around the edge: all are gone, none twice.
	r, err = importThat(t, s, store.ImportOptions{}, export(later, many...))
	if err != nil || r.Removed != 3 || r.Unchanged != 30000 {
		t.Errorf("without sessions: %+v, %v", r, err)
	}
}

// TestImportOfAnEarlierPart imports two files that tell a part of the time each, the later first. Neither is older than the
// other: a corrected value of the earlier part is taken over.
func TestImportOfAnEarlierPart(t *testing.T) {
	s := open(t, t.TempDir())
	part := func(start time.Time, steps float64) func(*store.Import) error {
		return func(im *store.Import) error {
			return errors.Join(im.Record("", watch, minutes(start, steps)[0]),
				im.Covers("", watch, walking.Window{Start: start, End: start.Add(24 * time.Hour)}))
		}
	}
	for i, fill := range []func(*store.Import) error{part(noon, 5), part(noon.AddDate(0, 0, -7), 6), part(noon.AddDate(0, 0, -7), 7)} {
		r, err := importThat(t, s, store.ImportOptions{}, fill)
		if want := (store.Changes{Added: 1}); err != nil || i < 2 && r.Changes != want {
			t.Errorf("%d: %+v, %v", i, r.Changes, err)
		}
		if want := (store.Changes{Replaced: 1}); i == 2 && r.Changes != want {
			t.Errorf("a correction: %+v, want %+v", r.Changes, want)
		}
	}
}
