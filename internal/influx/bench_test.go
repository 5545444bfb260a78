package influx

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/walking"
)

// year returns days with minute records as a watch gives them: some 300 minutes with steps a day, in runs.
func year(person string, first walking.Day, days int) []Content {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]Content, days)
	watch := walking.StreamKey{Source: "watch"}
	for i := range out {
		d := first + walking.Day(i)
		c := Content{Person: person, Day: d, Time: d.In(time.UTC)}
		c.Summary = walking.Summary{
			Day: d, Zone: "Europe/Oslo", Hours: 24, Target: 100, Valid: true, Closed: true, Mean7: 87.31, Mean7Days: 7,
			Sources: []walking.SourceTotals{{StreamKey: watch, Steps: 9000, Walking: 88.25, Supplied: 88.25}},
		}
		var records []walking.Record
		for m := 7 * 60; m < 23*60; m++ {
			if r.IntN(10) == 0 {
				m += r.IntN(60)
			}
			steps := float64(1 + r.IntN(130))
			at := c.Time.Add(time.Duration(m) * time.Minute)
			walked := min(time.Minute, time.Duration(steps*0.5*10)*100*time.Millisecond)
			c.Detail.Minutes = append(c.Detail.Minutes, walking.Minute{Start: at, Walking: walked, Steps: steps})
			records = append(records, walking.Record{Start: at, Duration: time.Minute, Steps: steps})
			c.Summary.Steps += int64(steps)
			c.Summary.Walking += walked.Minutes()
		}
		c.Summary.Walking = walking.Round2(c.Summary.Walking)
		c.Detail.Streams = []walking.StreamRecords{{StreamKey: watch, Records: records}}
		out[i] = c
	}
	return out
}

// BenchmarkProject projects years of minute records into an empty InfluxDB, and compares that with posting the same
// points, ready made and compressed. WALKD_BENCH_YEARS sets how many years.
func BenchmarkProject(b *testing.B) {
	years, err := strconv.Atoi(os.Getenv("WALKD_BENCH_YEARS"))
	if err != nil {
		years = 1
	}
	s := influxtest.Start(b)
	contents := year("alex", walking.DayOf(2026, 1, 1)-walking.Day(years*365), years*365)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ready, total := readyMade(b, contents)

	var projected, posted time.Duration
	n := 0
	for b.Loop() {
		n++
		for _, ours := range []bool{n%2 == 0, n%2 != 0} { // the first is at a disadvantage; take turns
			name := fmt.Sprintf("walkd%d_%t", n, ours)
			s.CreateDatabase(name)
			cl := client(b, Config{URL: s.URL, Bucket: name, Transport: transport})
			store := newMemory()
			began := time.Now()
			if ours {
				store.fill(contents)
				began = time.Now()
				stats, err := New(cl, store, store, Options{}).ProjectDue(context.Background())
				if err != nil || stats.Points != total {
					b.Fatal(stats, err)
				}
				projected += time.Since(began)
			} else {
				for _, batch := range ready {
					if err := cl.post(context.Background(), batch.compressed); err != nil {
						b.Fatal(err)
					}
				}
				posted += time.Since(began)
			}
			s.Exec("", `DROP DATABASE "`+name+`"`)
		}
	}
	b.ReportMetric(float64(total*n)/projected.Seconds(), "points/s")
	b.ReportMetric(float64(total*n)/posted.Seconds(), "ready-made-points/s")
	b.ReportMetric(projected.Seconds()/posted.Seconds(), "ratio")
}

// fill makes contents the whole store, all due, without looking for what changed.
func (s *memory) fill(contents []Content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range contents {
		k := personDay{c.Person, c.Day}
		s.contents[k] = c
		s.mark(k)
	}
}

// readyMade returns what a projection of contents posts, as batches.
func readyMade(tb testing.TB, contents []Content) (batches []batch, points int) {
	f := &fakeInflux{}
	f.refuse = func(_ int, lines []byte) (*http.Response, error) {
		n := bytes.Count(lines, []byte("\n"))
		points += n
		batches = append(batches, batch{newCompressor().compress(nil, lines), n})
		return answer(http.StatusNoContent, ""), nil
	}
	store := newMemory()
	store.fill(contents)
	cl := client(tb, Config{Transport: f})
	if _, err := New(cl, store, store, Options{}).ProjectDue(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return batches, points
}

// BenchmarkEncode measures the making of compressed batches alone.
func BenchmarkEncode(b *testing.B) {
	contents := year("alex", walking.DayOf(2026, 1, 1), 28)
	store := newMemory()
	store.fill(contents)
	tasks, err := store.Due(context.Background(), 100)
	if err != nil {
		b.Fatal(err)
	}
	builder := newBuilder(store, store, nil, func() int { return batchLines })
	points := 0
	c := &chunk{}
	b.ReportAllocs()
	for b.Loop() {
		builder.pending = nil
		if err := builder.build(context.Background(), c, tasks); err != nil {
			b.Fatal(err)
		}
		points += c.stats.Points
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(points), "ns/point")
	b.ReportMetric(0, "ns/op")
}
