package engine_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// benchYears is how many years of minutes the benchmarks work on.
func benchYears(b *testing.B) int {
	b.Helper()
	if v := os.Getenv("WALKD_BENCH_YEARS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	return 10
}

var benchStream = walking.StreamKey{Source: "watch"}

// benchEnd is when the recorded years end, and the time of the benchmarks.
var benchEnd = time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)

// month returns a batch of the minutes of the n-th month before benchEnd: a record every minute, zeros included, steps
// in bouts through the day as people have them, about 8,000 a day.
func month(n int) ingest.Batch {
	end := benchEnd.AddDate(0, -n, 0)
	w := walking.Window{Start: end.AddDate(0, -1, 0), End: end}
	random := rand.New(rand.NewPCG(1, uint64(n)))
	rs := walking.StreamRecords{StreamKey: benchStream}
	left, cadence := 0, 0
	for at := w.Start; at.Before(w.End); at = at.Add(time.Minute) {
		if left == 0 && at.Hour() >= 7 && at.Hour() < 22 && random.IntN(20) == 0 {
			left, cadence = 1+random.IntN(9), 10+random.IntN(100)
		}
		steps := 0
		if left > 0 {
			left--
			steps = cadence + random.IntN(10)
		}
		rs.Records = append(rs.Records, walking.Record{Start: at, Duration: time.Minute, Steps: float64(steps)})
	}
	return ingest.Batch{
		Streams: []walking.Stream{{StreamKey: benchStream, Device: walking.Wearable, Delivery: walking.Pulled, SyncedThrough: w.End}},
		Covers:  []ingest.Cover{{StreamKey: benchStream, Window: w}}, Records: []walking.StreamRecords{rs},
	}
}

// newBench returns an engine with a person.
func newBench(b *testing.B, dir string) (*engine.Engine, store.Person) {
	b.Helper()
	e := newEngine(b, dir, benchEnd)
	b.Cleanup(func() {
		if err := e.Store.Close(); err != nil {
			b.Error(err)
		}
	})
	p, err := e.Store.EnsurePerson(b.Context(), "me", time.UTC)
	if err != nil {
		b.Fatal(err)
	}
	return e, p
}

// fill stores the given number of months and derives them.
func fill(b *testing.B, e *engine.Engine, p store.Person, months int) (records int) {
	b.Helper()
	for n := range months {
		batch := month(n)
		if _, err := e.Store.Apply(b.Context(), p.ID, batch, benchEnd); err != nil {
			b.Fatal(err)
		}
		records += len(batch.Records[0].Records)
	}
	if _, err := e.Derive(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	return records
}

// BenchmarkStore stores years of minutes, a month at a time, beside a bare loop of a prepared statement that inserts one
// row after the other into the same schema, in transactions of the same size.
func BenchmarkStore(b *testing.B) {
	months := 12 * benchYears(b)
	batches := make([]ingest.Batch, months)
	records := 0
	for n := range batches {
		batches[n] = month(n)
		records += len(batches[n].Records[0].Records)
	}
	var ours, bare time.Duration
	for b.Loop() {
		start := time.Now()
		e, p := newBench(b, b.TempDir())
		for _, batch := range batches {
			if _, err := e.Store.Apply(b.Context(), p.ID, batch, benchEnd); err != nil {
				b.Fatal(err)
			}
		}
		ours += time.Since(start)
		start = time.Now()
		bareInserts(b, batches)
		bare += time.Since(start)
	}
	b.ReportMetric(ours.Seconds()/bare.Seconds(), "ratio")
	b.ReportMetric(float64(records*b.N)/ours.Seconds(), "records/s")
	b.ReportMetric(float64(records*b.N)/bare.Seconds(), "bare-records/s")
}

func bareInserts(b *testing.B, batches []ingest.Batch) {
	b.Helper()
	dir := b.TempDir()
	st, err := store.Open(b.Context(), dir) // makes the schema
	if err == nil {
		_, err = st.EnsurePerson(b.Context(), "me", time.UTC)
	}
	if err := errors.Join(err, st.Close()); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, store.FileName)+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("INSERT INTO stream (id, person_id, source, origin, device, delivery, reliable_offset) VALUES (1, 1, 'w', '', 1, 1, 0)"); err != nil {
		b.Fatal(err)
	}
	for _, batch := range batches {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		//nolint:sqlclosecheck // closed with its transaction
		stmt, err := tx.Prepare("INSERT INTO record (stream_id, start_ms, duration_ms, steps, offset_s) VALUES (?, ?, ?, ?, ?)")
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range batch.Records[0].Records {
			if _, err := stmt.Exec(1, r.Start.UnixMilli(), r.Duration.Milliseconds(), r.Steps, nil); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDerive derives years of minutes.
func BenchmarkDerive(b *testing.B) {
	e, p := newBench(b, b.TempDir())
	records := fill(b, e, p, 12*benchYears(b))
	b.ResetTimer()
	for b.Loop() {
		if err := e.Store.DropDays(b.Context(), p.ID, 1, 0, benchEnd); err != nil {
			b.Fatal(err)
		}
		if _, err := e.Derive(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
}

// recorder keeps the bodies of the points that go through it.
type recorder struct {
	mu     sync.Mutex
	bodies [][]byte
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Method == http.MethodPost {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		if req.URL.Path == "/api/v2/write" {
			r.mu.Lock()
			r.bodies = append(r.bodies, body)
			r.mu.Unlock()
		}
	}
	return http.DefaultTransport.RoundTrip(req)
}

// BenchmarkProject projects years of minutes into a real InfluxDB, reading, merging and encoding included, beside
// posting the very same compressed bodies. InfluxDB goes on working on what it took long after it has answered, so every
// run has a server of its own, and the two take turns: ours, bare, bare, ours.
func BenchmarkProject(b *testing.B) {
	e, p := newBench(b, b.TempDir())
	fill(b, e, p, 12*benchYears(b))
	rec := &recorder{}
	points := 0
	ours := func() time.Duration {
		server := influxtest.Start(b)
		defer server.Kill()
		server.CreateDatabase("walkd")
		rec.bodies = nil
		c, err := influx.NewClient(influx.Config{URL: server.URL, Bucket: "walkd", Transport: rec})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		l := engine.Ledger{Store: e.Store, Clock: e.Clock}
		if err := l.Forget(b.Context(), ""); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		stats, err := influx.New(c, l, l, influx.Options{}).ProjectDue(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		points = stats.Points
		return time.Since(start)
	}
	bare := func() time.Duration {
		server := influxtest.Start(b)
		defer server.Kill()
		server.CreateDatabase("walkd")
		start := time.Now()
		for _, body := range rec.bodies {
			repost(b, server.URL+"/api/v2/write?bucket=walkd&precision=s", body)
		}
		return time.Since(start)
	}
	var sumOurs, sumBare time.Duration
	for b.Loop() {
		sumOurs += ours()
		sumBare += bare()
		sumBare += bare()
		sumOurs += ours()
	}
	b.ReportMetric(sumOurs.Seconds()/sumBare.Seconds(), "ratio")
	b.ReportMetric(2*float64(points*b.N)/sumOurs.Seconds(), "points/s")
	b.ReportMetric(2*float64(points*b.N)/sumBare.Seconds(), "bare-points/s")
	b.ReportMetric(float64(points), "points")
}

func repost(b *testing.B, url string, body []byte) {
	b.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusNoContent {
		b.Fatalf("%s, %v", resp.Status, err)
	}
}

// BenchmarkOneDay changes one minute of yesterday and derives what follows, with a month of history and with years of
// it, in turns.
func BenchmarkOneDay(b *testing.B) {
	small, sp := newBench(b, b.TempDir())
	fill(b, small, sp, 1)
	large, lp := newBench(b, b.TempDir())
	fill(b, large, lp, 12*benchYears(b))
	n := 0
	change := func(e *engine.Engine, p store.Person) time.Duration {
		n++
		batch := ingest.Batch{
			Streams: []walking.Stream{{StreamKey: benchStream, Device: walking.Wearable, Delivery: walking.Pulled}},
			Records: []walking.StreamRecords{{StreamKey: benchStream, Records: []walking.Record{
				{Start: benchEnd.Add(-12 * time.Hour), Duration: time.Minute, Steps: float64(1 + n%100)},
			}}},
		}
		start := time.Now()
		if _, err := e.Store.Apply(b.Context(), p.ID, batch, benchEnd); err != nil {
			b.Fatal(err)
		}
		if days, err := e.Derive(b.Context(), nil); err != nil || days == 0 {
			b.Fatal(days, err)
		}
		return time.Since(start)
	}
	var month, years time.Duration
	for b.Loop() {
		month += change(small, sp)
		years += change(large, lp)
	}
	b.ReportMetric(years.Seconds()/month.Seconds(), "ratio")
	b.ReportMetric(years.Seconds()/float64(b.N)*1e3, "ms/change")
}
