package store_test

import (
	"testing"
	"time"

	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// reliable returns a batch of three days of minutes from start on, every one with the given offset, that covers them.
func reliable(start time.Time, n, offset int) (b []walking.Record, w walking.Window) {
	records := minutes(start, make([]float64, n)...)
	for i := range records {
		records[i].Steps = float64(records[i].Start.Unix() / 60 % 100)
		records[i].Offset, records[i].HasOffset = offset, true
	}
	return records, walking.Window{Start: start, End: start.Add(time.Duration(n) * time.Minute)}
}

// BenchmarkApply applies three days of minutes with offsets: what a poll reads again, and what backfilling adds, of
// somebody who stays at home and of somebody who has been elsewhere before.
func BenchmarkApply(b *testing.B) {
	const three = 3 * 24 * 60
	for _, traveled := range []bool{false, true} {
		name := "home"
		if traveled {
			name = "traveled"
		}
		begin := func(b *testing.B) (*store.Store, store.Person) {
			s := open(b, b.TempDir())
			p := person(b, s)
			if traveled {
				records, w := reliable(noon.AddDate(-1, 0, 0), three, 3600)
				away := batch(watch, records, w)
				away.Streams[0].ReliableOffset = true
				apply(b, s, p, away)
			}
			return s, p
		}
		b.Run("unchanged/"+name, func(b *testing.B) {
			s, p := begin(b)
			records, w := reliable(noon, three, 0)
			in := batch(watch, records, w)
			in.Streams[0].ReliableOffset = true
			apply(b, s, p, in)
			b.ReportAllocs()
			for b.Loop() {
				if c := apply(b, s, p, in); c.Any() {
					b.Fatal(c)
				}
			}
		})
		b.Run("added/"+name, func(b *testing.B) {
			s, p := begin(b)
			b.ReportAllocs()
			start := noon
			for b.Loop() {
				records, w := reliable(start, three, 0)
				in := batch(watch, records, w)
				in.Streams[0].ReliableOffset = true
				if c := apply(b, s, p, in); c.Added != three {
					b.Fatal(c)
				}
				start = w.End
			}
		})
		b.Run("poll/"+name, func(b *testing.B) {
			s, p := begin(b)
			records, w := reliable(noon, three, 0)
			in := batch(watch, records, w)
			in.Streams[0].ReliableOffset = true
			apply(b, s, p, in)
			b.ReportAllocs()
			for b.Loop() { // 25 new minutes and two days that are known
				w.End = w.End.Add(25 * time.Minute)
				from := w.End.Add(-48 * time.Hour)
				records, span := reliable(from, 48*60, 0)
				in := batch(watch, records, span)
				in.Streams[0].ReliableOffset = true
				apply(b, s, p, in)
			}
		})
	}
}
