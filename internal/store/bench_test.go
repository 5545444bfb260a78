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

// BenchmarkThousandPeople asks for what is asked for again and again, in a store of a thousand people.
func BenchmarkThousandPeople(b *testing.B) {
	s := open(b, b.TempDir())
	const people = 1000
	for _, q := range []string{
		`WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 1000)
			INSERT INTO person (id, name, zone) SELECT x, 'person ' || x, 'Europe/Oslo' FROM n`,
		"INSERT INTO target SELECT id, 0, 100 FROM person",
		"INSERT INTO target SELECT id, 20000, 90 FROM person",
		"INSERT INTO journey SELECT id, 1700000000000, 3600 * (id % 9) FROM person",
		"INSERT INTO journey SELECT id, 1700100000000, NULL FROM person",
		`INSERT INTO stream (person_id, source, origin, device, delivery, reliable_offset, newest_ms)
			SELECT id, 'watch', '', 1, 1, 1, 1700000000000 + id FROM person
			UNION ALL SELECT id, 'phone', 'app ' || id, 2, 2, 0, 1700000000000 - id FROM person`,
		`WITH RECURSIVE d(x) AS (VALUES (19000) UNION ALL SELECT x + 1 FROM d WHERE x < 19400)
			INSERT INTO due SELECT id, x, 1, 0 FROM person, d WHERE id > 900`,
		`WITH RECURSIVE d(x) AS (VALUES (19000) UNION ALL SELECT x + 1 FROM d WHERE x < 19020)
			INSERT INTO decision (person_id, rule, day, at_ms, send, reason, why, key, queued, message)
			SELECT id, 'behind', x, x * 86400000, 1, 'behind', 'why', 'behind/' || x, 1, '{}' FROM person, d`,
		"INSERT INTO delivery (decision_id, channel) SELECT id, 'phone' FROM decision",
		"INSERT INTO account (person_id, source, kind) SELECT id, 'watch', 'oura' FROM person",
	} {
		if _, err := s.Writer().Exec(q); err != nil {
			b.Fatal(err)
		}
	}
	p, err := s.PersonByID(b.Context(), people/2)
	if err != nil {
		b.Fatal(err)
	}
	noonOf := func(day int64) time.Time { return time.Unix(day*86400+43200, 0) }
	for name, ask := range map[string]func() error{
		"NewestInstant": func() error { _, err := s.NewestInstant(b.Context()); return err },
		"Person":        func() error { _, err := s.Person(b.Context(), "person 500"); return err },
		"PersonByID":    func() error { _, err := s.PersonByID(b.Context(), p.ID); return err },
		"Streams":       func() error { _, err := s.Streams(b.Context(), p); return err },
		"Due":           func() error { _, err := s.Due(b.Context(), 30); return err },
		"Account": func() error {
			_, err := s.Account(b.Context(), store.AccountKey{PersonID: p.ID, Source: "watch"})
			return err
		},
		"DueDeliveries": func() error { _, err := s.DueDeliveries(b.Context(), later, 10); return err },
		"NextDelivery":  func() error { _, _, err := s.NextDelivery(b.Context()); return err },
		"SentKeys":      func() error { _, err := s.SentKeys(b.Context(), p.ID, 19018); return err },
		"NudgeLog": func() error {
			_, err := s.NudgeLog(b.Context(), p.ID, noonOf(19017), noonOf(19019))
			return err
		},
		"Persons": func() error { _, err := s.Persons(b.Context()); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
