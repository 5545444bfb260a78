package store_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// schema1 makes a store as the first version of walkd left it, with a person who went from Oslo to Tokyo.
func schema1(t *testing.T, dir string) {
	t.Helper()
	script, err := os.ReadFile("migrations/0001.sql")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, store.FileName)+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(string(script))
	exec("PRAGMA application_id = 0x77616c6b; PRAGMA user_version = 1")
	exec("INSERT INTO person (id, name, zone, estimator) VALUES (1, 'me', 'Europe/Oslo', ?)", walking.Estimator)
	exec("INSERT INTO target VALUES (1, 0, 100)")
	exec("INSERT INTO stream (id, person_id, source, origin, device, delivery, reliable_offset, newest_ms, records, total_ms, "+
		"longest_ms) VALUES (1, 1, 'watch', '', ?, ?, 1, ?, 4, 240000, 60000)",
		walking.Wearable, walking.Filed, noon.Add(4*time.Hour).UnixMilli())
	for i, offset := range []any{3600, 3600, 32400, 32400, nil} {
		exec("INSERT INTO record VALUES (1, ?, 60000, 50, ?)", noon.Add(time.Duration(i)*time.Hour).UnixMilli(), offset)
	}
	exec("INSERT INTO day VALUES (1, ?, 1, ?)", day1, `{"Day":"2026-03-10"}`)
	exec("INSERT INTO due VALUES (1, ?, 3, 0)", day1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMigration brings a store of the first schema up to date: its data is there, and what is new works with it.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	schema1(t, dir)
	var file *store.FileError
	_, err := store.OpenReader(t.Context(), dir)
	if !errors.As(err, &file) || file.Corrupt || !strings.Contains(err.Error(), "has schema 1") ||
		!strings.Contains(file.Remedy, "walkd run") {
		t.Errorf("reading an old schema: %v, want a FileError that says what to do", err)
	}
	s := open(t, dir)
	p := person(t, s)
	if got := stored(t, &s.Reader, p, watch); len(got) != 5 || got["12:00+1m0s"] != 50 {
		t.Errorf("records: %v", got)
	}
	days, err := s.Days(t.Context(), p.ID, day1, day1)
	if err != nil || len(days) != 1 || len(p.Targets) != 1 {
		t.Errorf("days %v, targets %v, %v", days, p.Targets, err)
	}
	marks, err := s.Due(t.Context(), 10)
	if want := []store.PersonDay{{PersonID: 1, Mark: store.Mark{Day: day1, Revision: 3}}}; err != nil || !cmp.Equal(want, marks) {
		t.Errorf("due %v, %v", marks, err)
	}
	if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("check: %v, %v", problems, err)
	}

	// The journey that the records tell is found once the config is read, as the daemon does when it starts.
	p = configure(t, s, store.Settings{Name: "me", Zone: zone(t, "Europe/Oslo")})
	want := []string{"Europe/Oslo", "+09:00"}
	if diff := cmp.Diff(want, zonesAt(t, s, "me", noon.Add(time.Hour), noon.Add(2*time.Hour))); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	if got := staleDays(t, &s.Reader, p); !cmp.Equal([]string{day1.String()}, got) {
		t.Errorf("stale: %v, want the derived day", got)
	}
	k := store.AccountKey{PersonID: p.ID, Source: "watch"}
	if err := s.PutToken(t.Context(), k, "oura", "app", ingest.Token{Access: "a"}); err != nil {
		t.Error(err)
	}
	if err := s.PutAccountState(t.Context(), k, "oura", json.RawMessage(`{}`)); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := store.OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatalf("reading what was brought up to date: %v", err)
	}
	defer r.Close()
	if a, err := r.Account(t.Context(), k); err != nil || !a.Connected {
		t.Errorf("%v, %v", a, err)
	}
}

// TestFirstBatchAfterMigration finds the journey with the first batch that comes in, too.
func TestFirstBatchAfterMigration(t *testing.T) {
	dir := t.TempDir()
	schema1(t, dir)
	s := open(t, dir)
	apply(t, s, person(t, s), told(watch, minutes(noon.AddDate(0, 0, 1), 5)))
	want := []string{"Europe/Oslo", "+09:00"}
	if diff := cmp.Diff(want, zonesAt(t, s, "me", noon.Add(time.Hour), noon.Add(2*time.Hour))); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
}
