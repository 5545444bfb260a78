package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
)

func TestAccounts(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	p := person(t, s)
	k := store.AccountKey{PersonID: p.ID, Source: "watch"}
	if _, err := s.Account(t.Context(), k); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("before there is one: %v, want ErrNoAccount", err)
	}
	token := ingest.Token{
		Access: "a-1", Refresh: "r-1", Expiry: noon.Add(time.Hour), Ends: noon.AddDate(0, 0, 7), Scopes: []string{"steps"},
		Account: "10579",
	}
	want := store.Account{AccountKey: k, Kind: "google-health", State: json.RawMessage("{}")}
	steps := []struct {
		name string
		do   func() error
		then func()
	}{
		{
			"a state adds the account",
			func() error { return s.PutAccountState(t.Context(), k, "google-health", json.RawMessage(`{"n":1}`)) },
			func() { want.State = json.RawMessage(`{"n":1}`) },
		},
		{
			"a token leaves the state",
			func() error { return s.PutToken(t.Context(), k, "google-health", "app", token) },
			func() { want.Application, want.Connected, want.Token = "app", true, token },
		},
		{
			"a state leaves the token",
			func() error { return s.PutAccountState(t.Context(), k, "google-health", json.RawMessage(`{"n":2}`)) },
			func() { want.State = json.RawMessage(`{"n":2}`) },
		},
		{
			"another token, of which less is known",
			func() error { return s.PutToken(t.Context(), k, "google-health", "app2", ingest.Token{Access: "a-2"}) },
			func() { want.Application, want.Token = "app2", ingest.Token{Access: "a-2"} },
		},
		{
			"scopes that are told to be none",
			func() error {
				return s.PutToken(t.Context(), k, "google-health", "app2", ingest.Token{Access: "a-3", Scopes: []string{}})
			},
			func() { want.Token = ingest.Token{Access: "a-3", Scopes: []string{}} },
		},
		{
			"dropping the token",
			func() error { return s.DropToken(t.Context(), k) },
			func() { want.Application, want.Connected, want.Token = "", false, ingest.Token{} },
		},
		{"dropping it again", func() error { return s.DropToken(t.Context(), k) }, func() {}},
		{
			"a token again",
			func() error { return s.PutToken(t.Context(), k, "google-health", "app", token) },
			func() { want.Application, want.Connected, want.Token = "app", true, token },
		},
		{
			"another kind gets nothing of the one before",
			func() error { return s.PutAccountState(t.Context(), k, "oura", json.RawMessage(`[]`)) },
			func() {
				want = store.Account{AccountKey: k, Kind: "oura", State: json.RawMessage(`[]`)}
			},
		},
		{
			"nor does it by a token",
			func() error { return s.PutToken(t.Context(), k, "withings", "app", ingest.Token{Access: "a-4"}) },
			func() {
				want = store.Account{
					AccountKey: k, Kind: "withings", Application: "app", Connected: true,
					Token: ingest.Token{Access: "a-4"}, State: json.RawMessage(`{}`),
				}
			},
		},
	}
	for _, tt := range steps {
		if err := tt.do(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		tt.then()
		got, err := s.Account(t.Context(), k)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	// By person and source, and there after a restart.
	other := store.AccountKey{PersonID: p.ID, Source: "band"}
	if err := s.PutAccountState(t.Context(), other, "oura", json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	all, err := s.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all2 := []store.Account{{AccountKey: other, Kind: "oura", State: json.RawMessage(`{}`)}, want}
	if diff := cmp.Diff(all2, all); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
}

// TestTokensStaySecret lets storing fail in many ways, prints accounts, and looks for the tokens.
func TestTokensStaySecret(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	k := store.AccountKey{PersonID: p.ID, Source: "watch"}
	secret := ingest.Token{Access: "SECRET-access", Refresh: "SECRET-refresh"}
	var said []string
	say := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("no error")
			return
		}
		said = append(said, err.Error(), fmt.Sprintf("%+v %#v", err, err))
	}
	put := func(k store.AccountKey) error { return s.PutToken(t.Context(), k, "oura", "app", secret) }
	say(put(store.AccountKey{PersonID: 99, Source: "watch"})) // nobody
	if err := put(k); err != nil {
		t.Fatal(err)
	}
	a, err := s.Account(t.Context(), k)
	if err != nil || a.Token.Access != secret.Access {
		t.Fatalf("%v", err)
	}
	said = append(said, fmt.Sprint(a), fmt.Sprintf("%v %+v %#v %s", a, a, a, a), fmt.Sprintf("%+v", []store.Account{a}))
	for _, state := range []string{"", "{", `{"token":"SECRET-state"`} {
		say(s.PutAccountState(t.Context(), k, "oura", json.RawMessage(state)))
	}
	for _, broken := range []string{"PRAGMA query_only = 1", "PRAGMA query_only = 0; DROP TABLE token"} {
		if _, err := s.Writer().Exec(broken); err != nil {
			t.Fatal(err)
		}
		say(put(k))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	say(put(k))
	for _, text := range said {
		if strings.Contains(text, "SECRET") {
			t.Errorf("a secret is told: %s", text)
		}
	}
}

// TestPutTokenIsWholeOrNot breaks the second of the two statements: neither leaves anything.
func TestPutTokenIsWholeOrNot(t *testing.T) {
	s := open(t, t.TempDir())
	k := store.AccountKey{PersonID: person(t, s).ID, Source: "watch"}
	if _, err := s.Writer().Exec("CREATE TRIGGER no BEFORE INSERT ON token BEGIN SELECT raise(ABORT, 'no'); END"); err != nil {
		t.Fatal(err)
	}
	if err := s.PutToken(t.Context(), k, "oura", "app", ingest.Token{Access: "a"}); err == nil {
		t.Fatal("no error")
	}
	if _, err := s.Account(t.Context(), k); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("%v, want ErrNoAccount", err)
	}
}

// TestTokensAreOnDisk finds a token in the files as they are when PutToken returns, which is what a crash leaves, and in a
// backup that nobody else may read.
func TestTokensAreOnDisk(t *testing.T) {
	dir, crashed := t.TempDir(), t.TempDir()
	s := open(t, dir)
	k := store.AccountKey{PersonID: person(t, s).ID, Source: "watch"}
	if err := s.PutToken(t.Context(), k, "oura", "app", ingest.Token{Access: "a-1", Refresh: "r-1"}); err != nil {
		t.Fatal(err)
	}
	var synchronous int
	if err := s.Writer().QueryRow("PRAGMA synchronous").Scan(&synchronous); err != nil || synchronous != 2 {
		t.Errorf("synchronous is %d, %v: want 2, FULL", synchronous, err)
	}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, store.FileName+suffix))
		if err == nil {
			err = os.WriteFile(filepath.Join(crashed, store.FileName+suffix), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	backup := filepath.Join(t.TempDir(), store.FileName)
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("backup: %v, %v, want 0600", info.Mode(), err)
	}
	for _, dir := range []string{crashed, filepath.Dir(backup)} {
		a, err := open(t, dir).Account(t.Context(), k)
		if err != nil || a.Token.Refresh != "r-1" {
			t.Errorf("connected %v, %v: want the token", a.Connected, err)
		}
	}
	// A dropped token is not in the next backup.
	if err := s.DropToken(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(backup); err != nil || bytes.Contains(b, []byte("r-1")) {
		t.Errorf("a dropped token is in the backup, %v", err)
	}
}

func TestBudget(t *testing.T) {
	mine := store.Claim{Key: "me/watch", Name: "user", Requests: 2, Per: time.Hour}
	apps := store.Claim{Key: "app", Name: "app", Requests: 3, Per: time.Minute}
	type spend struct {
		at     time.Duration // after noon
		claims []store.Claim
		want   time.Duration
	}
	correct := func(at time.Duration, left int, reset time.Duration) func(*testing.T, *store.Store) {
		return func(t *testing.T, s *store.Store) {
			limit := mine
			limit.Requests = 10 // of which mine is a share
			if err := s.CorrectBudget(t.Context(), limit, left, reset, noon.Add(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	one := []store.Claim{mine}
	both := []store.Claim{mine, apps}
	tests := []struct {
		name  string
		steps []any
	}{
		{"as many as may be, and then no more until the window ends", []any{
			spend{0, one, 0},
			spend{10 * time.Minute, one, 0},
			spend{20 * time.Minute, one, 40 * time.Minute},
			spend{time.Hour - time.Millisecond, one, time.Millisecond},
			spend{time.Hour, one, 0},
			spend{time.Hour, one, 0},
			spend{time.Hour, one, time.Hour},
		}},
		{"a window begins with the first request in it", []any{
			spend{0, one, 0}, spend{90 * time.Minute, one, 0}, spend{100 * time.Minute, one, 0}, spend{120 * time.Minute, one, 30 * time.Minute},
		}},
		{"all or nothing", []any{
			spend{0, both, 0},
			spend{0, both, 0},
			spend{0, both, time.Hour}, // and nothing of apps
			spend{0, []store.Claim{apps}, 0},
			spend{0, []store.Claim{apps}, time.Minute},
			spend{time.Minute, []store.Claim{apps}, 0},
		}},
		{"the longest wait", []any{
			spend{0, both, 0}, spend{0, both, 0}, spend{0, []store.Claim{apps}, 0}, spend{0, []store.Claim{apps, mine}, time.Hour},
		}},
		{"the clock is set back", []any{
			spend{0, one, 0},
			spend{0, one, 0},
			spend{-48 * time.Hour, one, 0},
			spend{-48 * time.Hour, one, 0},
			spend{-48 * time.Hour, one, time.Hour},
		}},
		{"the provider counts more", []any{
			spend{0, one, 0},
			correct(0, 8, 30*time.Minute),
			spend{time.Minute, one, 29 * time.Minute},
			spend{30 * time.Minute, one, 0},
			spend{30 * time.Minute, one, 30 * time.Minute},
		}},
		{"the provider counts what was made since", []any{
			correct(0, 9, 30*time.Minute), spend{0, one, 0}, spend{0, one, 30 * time.Minute},
		}},
		{"the provider counts less", []any{
			spend{0, one, 0}, spend{0, one, 0}, correct(0, 10, time.Minute), spend{0, one, time.Hour},
		}},
		{"an answer that was overtaken by another", []any{
			correct(0, 0, 30*time.Minute), correct(time.Second, 9, 30*time.Minute-time.Second),
			spend{2 * time.Second, one, 30*time.Minute - 2*time.Second},
		}},
		{"the provider's next window", []any{
			correct(0, 0, 30*time.Minute), correct(10*time.Minute, 10, time.Hour), spend{10 * time.Minute, one, 0},
		}},
		{"none left for a day", []any{correct(0, 0, 10*time.Hour), spend{0, one, 10 * time.Hour}}},
		{"none left for ever", []any{correct(0, -3, 99999*time.Hour), spend{0, one, 24 * time.Hour}}},
		{"the clock is set back after the provider told something", []any{
			correct(0, 0, time.Hour), spend{-48 * time.Hour, one, 0},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			for i, step := range tt.steps {
				switch step := step.(type) {
				case spend:
					got, err := s.Spend(t.Context(), step.claims, noon.Add(step.at))
					if err != nil || got != step.want {
						t.Errorf("step %d: wait %v, %v, want %v", i, got, err, step.want)
					}
				case func(*testing.T, *store.Store):
					step(t, s)
				}
				if err := s.Close(); err != nil { // every step after a restart
					t.Fatal(err)
				}
				s = open(t, dir)
			}
		})
	}
}

func TestBudgetThatCanNeverBeMet(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []store.Claim{{Key: "k", Name: "n", Per: time.Hour}, {Key: "k", Name: "n", Requests: 1}} {
		if wait, err := s.Spend(t.Context(), []store.Claim{c}, noon); err == nil {
			t.Errorf("%+v: wait %v, want an error", c, wait)
		}
	}
}

func TestUsages(t *testing.T) {
	s := open(t, t.TempDir())
	c := store.Claim{Key: "me/watch", Name: "user", Requests: 5, Per: time.Hour}
	for range 2 {
		if _, err := s.Spend(t.Context(), []store.Claim{c}, noon); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CorrectBudget(t.Context(), c, 1, 2*time.Hour, noon); err != nil {
		t.Fatal(err)
	}
	got, err := s.Usages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Usage{{
		Key: "me/watch", Name: "user", Begin: noon, Per: time.Hour, Used: 2, Told: 4, ToldUntil: noon.Add(2 * time.Hour),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for at, n := range map[time.Duration]int{0: 4, 90 * time.Minute: 4, 2 * time.Hour: 0, -time.Hour: 4, -48 * time.Hour: 0} {
		if got := got[0].At(noon.Add(at)); got != n {
			t.Errorf("%v after noon %d count, want %d", at, got, n)
		}
	}
}

// TestSpendTogether has several spend from one budget at once: never more than there is.
func TestSpendTogether(t *testing.T) {
	s := open(t, t.TempDir())
	claims := []store.Claim{
		{Key: "app", Name: "minute", Requests: 25, Per: time.Minute}, {Key: "app", Name: "day", Requests: 60, Per: 24 * time.Hour},
	}
	for minute, want := range []int{25, 25, 10, 0} {
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			spent int
		)
		now := noon.Add(time.Duration(minute) * time.Minute)
		for range 4 {
			wg.Go(func() {
				for range 20 {
					wait, err := s.Spend(t.Context(), claims, now)
					mu.Lock()
					if err != nil {
						t.Error(err)
					}
					if wait == 0 {
						spent++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if spent != want {
			t.Errorf("minute %d: %d requests, want %d", minute, spent, want)
		}
	}
}

// TestScrub finds nothing of a token that was replaced, in any file.
func TestScrub(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	k := store.AccountKey{PersonID: person(t, s).ID, Source: "watch"}
	const old, now = "the-token-that-was", "the-token-that-is"
	put := func(text string) {
		t.Helper()
		if err := s.PutToken(t.Context(), k, "oura", "app", ingest.Token{Access: text, Refresh: text}); err != nil {
			t.Fatal(err)
		}
	}
	find := func(text string) (in []string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(text)) {
				in = append(in, e.Name())
			}
		}
		return in
	}
	put(old)
	if len(find(old)) == 0 {
		t.Fatal("the token is not found where it is")
	}
	put(now)
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if in := find(old); len(in) > 0 {
		t.Errorf("the token that was replaced is in %v", in)
	}
	if len(find(now)) == 0 {
		t.Error("the token in force is gone")
	}
}
