package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/csvfile"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// The kill tests run this test binary as a child that works on a store until it is killed.
const (
	killDir  = "WALKD_TEST_KILL_DIR"
	killSeed = "WALKD_TEST_KILL_SEED"
)

// killNow is the time at which the child lives.
var killNow = time.Date(2026, 3, 20, 9, 0, 0, 0, time.UTC)

// fixedClock stands still.
type fixedClock struct {
	engine.WallClock
	now time.Time
}

func (c fixedClock) Now() time.Time { return c.now }

func newEngine(tb testing.TB, dir string, now time.Time) *engine.Engine {
	tb.Helper()
	st, err := store.Open(tb.Context(), dir)
	if err != nil {
		tb.Fatal(err)
	}
	return &engine.Engine{
		Store: st, Formats: map[string]ingest.Format{"csv": csvfile.Format{}},
		Clock: fixedClock{now: now}, Log: slog.New(slog.DiscardHandler),
	}
}

// killWindow is the window that the n-th write of a child replaces: an hour, over and over the same two days.
func killWindow(n int) walking.Window {
	start := time.Date(2026, 3, 18, 0, 0, 0, 0, time.UTC).Add(time.Duration(n%48) * time.Hour)
	return walking.Window{Start: start, End: start.Add(time.Hour)}
}

var killStream = walking.StreamKey{Source: "watch"}

// killBatch is the n-th batch: every minute of its window has n steps, modulo something a person can walk.
func killBatch(n int) ingest.Batch {
	w := killWindow(n)
	b := ingest.Batch{
		Streams: []walking.Stream{{StreamKey: killStream, Device: walking.Wearable, Delivery: walking.Pulled, SyncedThrough: w.End}},
		Covers:  []ingest.Cover{{StreamKey: killStream, Window: w}},
	}
	rs := walking.StreamRecords{StreamKey: killStream}
	for at := w.Start; at.Before(w.End); at = at.Add(time.Minute) {
		rs.Records = append(rs.Records, walking.Record{Start: at, Duration: time.Minute, Steps: float64(n % 130)})
	}
	b.Records = append(b.Records, rs)
	return b
}

// killCSV is a file of a phone's records, the same every time.
func killCSV() string {
	var b strings.Builder
	b.WriteString("start,duration,steps\n")
	for i := range 400 {
		fmt.Fprintf(&b, "%s,300,%d\n", time.Date(2026, 3, 16, 0, i*5, 0, 0, time.UTC).Format(time.RFC3339), i%300)
	}
	return b.String()
}

// TestKillChild is the child of TestKill.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.SkipNow() // it is no test by itself
	}
	n, err := strconv.Atoi(os.Getenv(killSeed))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	e := newEngine(t, dir, killNow)
	p, err := e.Store.EnsurePerson(ctx, "me", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for ; ; n++ {
		switch n % 5 {
		case 3:
			_, err = e.Derive(ctx, nil)
		case 4:
			_, err = e.Import(ctx, engine.ImportRequest{Format: "csv", Name: "steps.csv", Person: "me"}, strings.NewReader(killCSV()), nil)
		default:
			_, err = e.Store.Apply(ctx, p.ID, killBatch(n), killNow)
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("done", n)
	}
}

// TestKill kills a writing process again and again at random moments. Whatever it had been told to be stored is there,
// whole; nothing is there by half; and deriving what is marked as stale gives the same days as deriving everything.
func TestKill(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 5
	}
	if os.Getenv("WALKD_SOAK") != "" {
		kills = 1000
	}
	dir := t.TempDir()
	seed := uint64(20261121)
	random := rand.New(rand.NewPCG(seed, seed))
	n := 0
	for range kills {
		n = killOnce(t, dir, n, random) + 1
		checkKilled(t, dir, n)
	}
	t.Logf("%d kills, %d acknowledged writes", kills, n)
}

// killOnce runs a child from write n on, kills it, and returns the last write that it acknowledged.
func killOnce(t *testing.T, dir string, n int, random *rand.Rand) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), killDir+"="+dir, killSeed+"="+strconv.Itoa(n))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged, after := n-1, random.IntN(12)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var k int
		if _, err := fmt.Sscanf(lines.Text(), "done %d", &k); err != nil {
			t.Fatalf("the child says %q\n%s", lines.Text(), stderr.String())
		}
		acknowledged = k
		if after--; after < 0 {
			break
		}
	}
	// The child is at work while this goes round: the kill falls anywhere into its next writes.
	for range random.IntN(20_000_000) {
		after++
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rest)) {
		var k int
		if _, err := fmt.Sscanf(line, "done %d\n", &k); err == nil {
			acknowledged = k
		}
	}
	_ = cmd.Wait() // it was killed
	return acknowledged
}

// checkKilled looks at the store after writes up to, and not including, n were acknowledged. That one, too, may be in it.
func checkKilled(t *testing.T, dir string, n int) {
	t.Helper()
	ctx := t.Context()
	e := newEngine(t, dir, killNow)
	defer func() {
		if err := e.Store.Close(); err != nil {
			t.Error(err)
		}
	}()
	if problems, err := e.Store.Check(ctx); err != nil || len(problems) > 0 {
		t.Fatalf("after write %d: %v, %v", n, problems, err)
	}
	p, err := e.Store.Person(ctx, "me")
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := e.Store.Inputs(ctx, p, walking.Window{Start: killNow.AddDate(0, 0, -30), End: killNow})
	if err != nil {
		t.Fatal(err)
	}
	phone := 0
	for _, in := range inputs {
		if in.StreamKey != killStream {
			phone = len(in.Records)
			continue
		}
		checkWindows(t, in.Records, n)
	}
	if n > 4 && phone != 400 {
		t.Fatalf("after write %d: %d records of an acknowledged import, want 400", n, phone)
	}
	if _, err := e.Derive(ctx, nil); err != nil {
		t.Fatal(err)
	}
	first, last, ok, err := e.Store.DayRange(ctx, p.ID)
	if err != nil || !ok {
		t.Fatalf("no days: %v", err)
	}
	derived, err := e.Store.Days(ctx, p.ID, first, last)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Store.DropDays(ctx, p.ID, 1, 0, killNow); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Derive(ctx, nil); err != nil {
		t.Fatal(err)
	}
	afresh, err := e.Store.Days(ctx, p.ID, first, last)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(afresh, derived); diff != "" {
		t.Fatalf("after write %d: derived days differ from those derived afresh (-afresh +derived):\n%s", n, diff)
	}
}

// checkWindows finds the last acknowledged write to every window whole.
func checkWindows(t *testing.T, records []walking.Record, n int) {
	t.Helper()
	byWindow := map[time.Time][]float64{}
	for _, r := range records {
		hour := r.Start.Truncate(time.Hour)
		byWindow[hour] = append(byWindow[hour], r.Steps)
	}
	want := map[time.Time]int{}
	for k := range n {
		if k%5 < 3 {
			want[killWindow(k).Start] = k
		}
	}
	for start, k := range want {
		got := byWindow[start]
		if len(got) != 60 {
			t.Fatalf("window %s has %d records, write %d was acknowledged", start, len(got), k)
		}
		for _, steps := range got {
			// The write under way when the child was killed may have come through whole.
			if steps != got[0] || steps != float64(k%130) && (killWindow(n).Start != start || steps != float64(n%130)) {
				t.Fatalf("window %s holds %v, write %d was acknowledged", start, got, k)
			}
		}
	}
}
