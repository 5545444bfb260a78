package walking

import (
	"math/rand/v2"
	"testing"
	"time"
)

// benchRecords returns n days of minute records, zeros included, of somebody who walks now and then.
func benchRecords(days int) []Record {
	rng := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)
	out := make([]Record, 0, days*1440)
	bout := 0
	for i := range days * 1440 {
		steps := 0
		if hour := i / 60 % 24; hour >= 7 && hour < 23 && bout == 0 && rng.IntN(15) == 0 {
			bout = 1 + rng.IntN(12)
		}
		if bout > 0 {
			bout--
			steps = rng.IntN(121)
		}
		out = append(out, Record{Start: start.Add(time.Duration(i) * time.Minute), Duration: time.Minute, Steps: float64(steps)})
	}
	return out
}

func benchSetting(b *testing.B) (Setting, Day) {
	return Setting{Zones: NewTimeline(zone(b, "Europe/Oslo")), Quiet: WallRange{22 * 60, 8 * 60}}, DayOf(2025, time.January, 1)
}

// benchmarkDays merges and derives so many days of so many streams. A figure of it per record is reported.
func benchmarkDays(b *testing.B, days, streams int) {
	s, first := benchSetting(b)
	var in []Input
	for i := range streams {
		in = append(in, Input{StreamKey: StreamKey{Source: string(rune('a' + i))}, Records: benchRecords(days)})
	}
	b.ReportAllocs()
	for b.Loop() {
		m := Merge(in)
		for d := first; d < first+Day(days); d++ {
			m.Day(d, s)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(days*1440*streams), "ns/record")
}

func BenchmarkMergeMonth(b *testing.B)  { benchmarkDays(b, 30, 1) }
func BenchmarkMergeMonth2(b *testing.B) { benchmarkDays(b, 30, 2) }
func BenchmarkMergeYear(b *testing.B)   { benchmarkDays(b, 365, 1) }

func BenchmarkDay(b *testing.B) {
	s, first := benchSetting(b)
	m := Merge([]Input{{Records: benchRecords(30)}})
	b.ReportAllocs()
	for b.Loop() {
		m.Day(first+15, s)
	}
}

func BenchmarkSpans(b *testing.B) {
	s, first := benchSetting(b)
	b.ReportAllocs()
	for b.Loop() {
		s.Zones.Spans(first + 88)
	}
}
