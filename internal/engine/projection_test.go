package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/influx/influxtest"
)

const killURL = "WALKD_TEST_KILL_URL"

// project puts a projection to the server at url on an engine.
func project(tb testing.TB, e *engine.Engine, url string) {
	tb.Helper()
	c, err := influx.NewClient(influx.Config{URL: url, Bucket: "walkd"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	l := engine.Ledger{Store: e.Store, Clock: e.Clock}
	e.Projector = influx.New(c, l, l, influx.Options{})
}

func projectAll(tb testing.TB, e *engine.Engine) {
	tb.Helper()
	if _, err := e.Project(tb.Context(), nil); err != nil {
		tb.Fatal(err)
	}
}

// TestProjectChild is the child of TestKillProjection: it changes and projects days until it is killed.
func TestProjectChild(t *testing.T) {
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
	project(t, e, os.Getenv(killURL))
	p, err := e.Store.EnsurePerson(ctx, "me", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for ; ; n++ {
		b := killBatch(n)
		if n%4 == 1 {
			b.Records[0].Records = b.Records[0].Records[:n%60] // part of the hour has been deleted
		}
		if _, err := e.Store.Apply(ctx, p.ID, b, killNow); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Derive(ctx, nil); err != nil {
			t.Fatal(err)
		}
		projectAll(t, e)
		fmt.Println("done", n)
	}
}

// TestKillProjection kills a process that projects into a real InfluxDB, again and again. At the end InfluxDB holds
// every minute and every record of the store, and nothing besides.
func TestKillProjection(t *testing.T) {
	server := influxtest.Start(t)
	server.CreateDatabase("walkd")
	kills := 15
	if os.Getenv("WALKD_SOAK") != "" {
		kills = 300
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(7, 7))
	n := 0
	for range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProjectChild$", "-test.count=1")
		cmd.Env = append(os.Environ(), killDir+"="+dir, killSeed+"="+strconv.Itoa(n), killURL+"="+server.URL)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := random.IntN(4)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var k int
			if _, err := fmt.Sscanf(lines.Text(), "done %d", &k); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			n = k + 1
			if after--; after < 0 {
				break
			}
		}
		for range random.IntN(40_000_000) {
			after++ // the kill falls anywhere into the next round
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		n += 1 + random.IntN(3)
	}
	e := newEngine(t, dir, killNow)
	defer func() {
		if err := e.Store.Close(); err != nil {
			t.Error(err)
		}
	}()
	project(t, e, server.URL)
	if _, err := e.Derive(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	projectAll(t, e)
	compareInflux(t, e, server)
	t.Logf("%d kills", kills)
}

// compareInflux compares what InfluxDB answers for days, minutes and records with the store.
func compareInflux(t *testing.T, e *engine.Engine, server *influxtest.Server) {
	t.Helper()
	ctx := t.Context()
	people, err := e.Store.Persons(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l := engine.Ledger{Store: e.Store, Clock: e.Clock}
	for _, p := range people {
		first, last, _, err := e.Store.DayRange(ctx, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		contents, err := l.Contents(ctx, p.Name, first, last)
		if err != nil {
			t.Fatal(err)
		}
		days, minutes, records := map[int64][2]float64{}, map[int64]float64{}, map[int64]float64{}
		for _, c := range contents {
			days[c.Time.Unix()] = [2]float64{c.Summary.Walking, float64(c.Summary.Steps)}
			for _, m := range c.Detail.Minutes {
				if m.Steps > 0 { // of a longer record a minute can have so few that it is zero once it is rounded
					minutes[m.Start.Unix()] = m.Steps
				}
			}
			for _, s := range c.Detail.Streams {
				for _, r := range s.Records {
					records[r.Start.Unix()] = r.Steps
				}
			}
		}
		gotDays := map[int64][2]float64{}
		for _, r := range server.Query("walkd", fmt.Sprintf("SELECT walking_minutes, steps FROM walk_day WHERE person = '%s'", p.Name)) {
			gotDays[r.Time] = [2]float64{number(t, r.Values["walking_minutes"]), number(t, r.Values["steps"])}
		}
		if diff := cmp.Diff(days, gotDays); diff != "" {
			t.Errorf("days in InfluxDB (-store +influx):\n%s", diff)
		}
		gotMinutes := map[int64]float64{}
		for _, r := range server.Query("walkd", fmt.Sprintf("SELECT steps FROM walk_minutes WHERE person = '%s' AND steps > 0", p.Name)) {
			gotMinutes[r.Time] = number(t, r.Values["steps"])
		}
		if diff := cmp.Diff(minutes, gotMinutes); diff != "" {
			t.Errorf("minutes in InfluxDB (-store +influx):\n%s", diff)
		}
		gotRecords := map[int64]float64{}
		for _, r := range server.Query("walkd", fmt.Sprintf("SELECT steps FROM walk_steps WHERE person = '%s' AND duration_s > 0", p.Name)) {
			gotRecords[r.Time] = number(t, r.Values["steps"])
		}
		if diff := cmp.Diff(records, gotRecords); diff != "" {
			t.Errorf("records in InfluxDB (-store +influx):\n%s", diff)
		}
	}
}

func number(t *testing.T, v any) float64 {
	t.Helper()
	n, ok := v.(json.Number)
	if !ok {
		t.Fatalf("%v is no number", v)
	}
	f, err := n.Float64()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestMovedHomeIsRebuilt moves a person's home: their days then begin at other instants, and nothing of the old ones
// stays behind.
func TestMovedHomeIsRebuilt(t *testing.T) {
	server := influxtest.Start(t)
	server.CreateDatabase("walkd")
	e, p, clock := setUp(t)
	project(t, e, server.URL)
	walk(t, e, p, 11, 60, at(12, 20, 0))
	walk(t, e, p, 12, 70, at(12, 20, 0))
	deriveAt(t, e, clock, at(12, 20, 0))
	projectAll(t, e)
	compareInflux(t, e, server)
	if _, err := e.Store.EnsurePerson(t.Context(), "other", time.UTC); err != nil {
		t.Fatal(err)
	}
	set := settingsIn(t, "Asia/Tokyo")
	if err := e.Store.Configure(t.Context(), set, clock.now); err != nil {
		t.Fatal(err)
	}
	deriveAt(t, e, clock, at(12, 20, 1))
	projectAll(t, e)
	compareInflux(t, e, server)
	if got := len(server.Query("walkd", "SELECT steps FROM walk_day")); got != 3 { // 11th, 12th and, in Tokyo, already the 13th
		t.Errorf("%d days in InfluxDB, want 3", got)
	}
}

// TestProjectionCatchesUp has InfluxDB away while data comes in, and later emptied.
func TestProjectionCatchesUp(t *testing.T) {
	server := influxtest.Start(t)
	server.CreateDatabase("walkd")
	e, p, clock := setUp(t)
	project(t, e, server.URL)
	walk(t, e, p, 11, 60, at(12, 20, 0))
	deriveAt(t, e, clock, at(12, 20, 0))
	projectAll(t, e)
	server.Stop()
	walk(t, e, p, 11, 20, at(12, 21, 0))
	walk(t, e, p, 12, 70, at(12, 21, 0))
	deriveAt(t, e, clock, at(12, 21, 0))
	if _, err := e.Project(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("projecting into a stopped server: %v", err)
	}
	server.Restart()
	projectAll(t, e)
	compareInflux(t, e, server)
	server.Wipe()
	server.CreateDatabase("walkd")
	if _, err := e.Rebuild(t.Context(), "", nil); err != nil {
		t.Error(err)
	}
	compareInflux(t, e, server)
	if c, err := e.Store.Count(t.Context()); err != nil || c.Due != 0 {
		t.Errorf("%d days still due, %v", c.Due, err)
	}
}
