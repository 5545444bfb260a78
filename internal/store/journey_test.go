package store_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

func zone(tb testing.TB, name string) *time.Location {
	tb.Helper()
	loc, err := walking.ParseZone(name)
	if err != nil {
		tb.Fatal(err)
	}
	return loc
}

// at reads an instant like "2026-11-20 08:00Z".
func at(tb testing.TB, s string) time.Time {
	tb.Helper()
	t, err := time.Parse("2006-01-02 15:04Z07:00", s)
	if err != nil {
		tb.Fatal(err)
	}
	return t.UTC()
}

// stay is a record every quarter of an hour in [from, to), without steps, with the offset that clocks in loc show.
func stay(from, to time.Time, loc *time.Location) []walking.Record {
	var out []walking.Record
	for t := from; t.Before(to); t = t.Add(15 * time.Minute) {
		_, offset := t.In(loc).Zone()
		out = append(out, walking.Record{Start: t, Duration: time.Minute, Offset: offset, HasOffset: true})
	}
	return out
}

// told is a batch of a stream whose offsets are reliable.
func told(k walking.StreamKey, records []walking.Record, covers ...walking.Window) ingest.Batch {
	b := batch(k, records, covers...)
	b.Streams[0].ReliableOffset = true
	return b
}

func configure(tb testing.TB, s *store.Store, set store.Settings) store.Person {
	tb.Helper()
	set.Target, set.Quiet = 100, walking.WallRange{From: 1290, To: 480}
	if err := s.Configure(tb.Context(), []store.Settings{set}, later); err != nil {
		tb.Fatal(err)
	}
	p, err := s.Person(tb.Context(), set.Name)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// TestJourneys flies over the date line both ways: the days have the lengths that the person lived through.
func TestJourneys(t *testing.T) {
	tests := []struct {
		name, home, away string
		take, land       string // off, and landing
		want             map[string]string
	}{
		{
			"Auckland to Los Angeles", "Pacific/Auckland", "America/Los_Angeles",
			"2026-11-20 07:00Z", "2026-11-20 19:00Z",
			map[string]string{"2026-11-19": "24h in 1", "2026-11-20": "37h in 2", "2026-11-21": "32h in 2", "2026-11-22": "24h in 1"},
		},
		{
			"Los Angeles to Auckland", "America/Los_Angeles", "Pacific/Auckland",
			"2026-11-21 06:00Z", "2026-11-21 19:00Z",
			map[string]string{"2026-11-20": "24h in 1", "2026-11-21": "11h in 1", "2026-11-22": "16h in 1", "2026-11-23": "24h in 1"},
		},
		{
			"Pago Pago to Apia", "Pacific/Pago_Pago", "Pacific/Apia",
			"2026-11-20 22:30Z", "2026-11-20 23:30Z",
			map[string]string{"2026-11-19": "24h in 1", "2026-11-20": "12.5h in 1", "2026-11-21": "11.5h in 1", "2026-11-22": "24h in 1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			p := configure(t, s, store.Settings{Name: "me", Zone: zone(t, tt.home)})
			land := at(t, tt.land)
			from, to := land.AddDate(0, 0, -3), land.AddDate(0, 0, 3)
			records := append(stay(from, at(t, tt.take), zone(t, tt.home)), stay(land, to, zone(t, tt.away))...)
			apply(t, s, p, told(watch, records, walking.Window{Start: from, End: to}))
			p = person(t, s)
			got := map[string]string{}
			for day := range tt.want {
				d, err := walking.ParseDay(day)
				if err != nil {
					t.Fatal(err)
				}
				got[day] = fmt.Sprintf("%gh in %d", p.Zones.Hours(d), len(p.Zones.Spans(d)))
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("days (-want +got):\n%s", diff)
			}
		})
	}
}

// zonesAt returns the zones in force for a person at instants.
func zonesAt(tb testing.TB, s *store.Store, name string, instants ...time.Time) []string {
	tb.Helper()
	p, err := s.Person(tb.Context(), name)
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	for _, t := range instants {
		out = append(out, p.Zones.At(t).String())
	}
	return out
}

// TestJourneysOfWhichStream takes the zones from the stream that is to tell them, whatever changes about the streams.
func TestJourneysOfWhichStream(t *testing.T) {
	s := open(t, t.TempDir())
	oslo, tokyo, newYork := zone(t, "Europe/Oslo"), zone(t, "Asia/Tokyo"), zone(t, "America/New_York")
	set := store.Settings{Name: "me", Zone: oslo}
	p := configure(t, s, set)
	ring := walking.StreamKey{Source: "ring"}
	band := walking.StreamKey{Source: "band"}
	trip := func(loc *time.Location) []walking.Record {
		return append(stay(noon.AddDate(0, 0, -2), noon, oslo), stay(noon, noon.AddDate(0, 0, 2), loc)...)
	}
	check := func(what string, want ...string) {
		t.Helper()
		got := zonesAt(t, s, "me", noon.Add(-time.Hour), noon.Add(time.Hour))
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	reliable := func(b ingest.Batch, device walking.Device) ingest.Batch {
		b.Streams[0].ReliableOffset, b.Streams[0].Device = true, device
		return b
	}
	apply(t, s, p, batch(phone, trip(newYork)))
	check("a stream that is not reliable", "Europe/Oslo", "Europe/Oslo")

	apply(t, s, p, reliable(batch(ring, trip(tokyo)), walking.Phone))
	check("a reliable one", "Europe/Oslo", "+09:00")

	// A day that was derived while the person was in Oslo.
	settle(t, s, p)
	if err := s.PutDays(t.Context(), p.ID, []walking.Summary{{Day: day1}, {Day: day1 + 2}}, nil, later); err != nil {
		t.Fatal(err)
	}
	apply(t, s, p, reliable(batch(band, trip(newYork)), walking.Wearable))
	check("a new one of higher priority", "Europe/Oslo", "-04:00")
	for _, d := range []walking.Day{day1, day1 + 2} {
		if got := staleDays(t, &s.Reader, p); !slices.Contains(got, d.String()) {
			t.Errorf("%s is not stale, but %v", d, got)
		}
	}

	set.Preferred = []walking.StreamKey{ring}
	configure(t, s, set)
	check("another order", "Europe/Oslo", "+09:00")

	set.Preferred = nil
	configure(t, s, set)
	check("the first order again", "Europe/Oslo", "-04:00")

	apply(t, s, p, batch(band, nil)) // no longer reliable
	check("that stream is not reliable any more", "Europe/Oslo", "+09:00")

	w := walking.Window{Start: noon.AddDate(0, 0, -9), End: noon.AddDate(0, 0, 9)}
	apply(t, s, p, reliable(batch(ring, nil, w), walking.Phone))
	check("its records are gone", "Europe/Oslo", "Europe/Oslo")

	apply(t, s, p, reliable(batch(ring, trip(tokyo)), walking.Phone))
	set.Travel = []walking.ZoneChange{{From: noon.Add(-2 * time.Hour), Zone: newYork}}
	configure(t, s, set)
	check("an entry overrules", "America/New_York", "America/New_York")

	set.Travel, set.Zone = nil, tokyo
	configure(t, s, set)
	check("another home", "+01:00", "Asia/Tokyo")
}

// TestJourneysByImport reads journeys from a file of several chunks.
func TestJourneysByImport(t *testing.T) {
	s := open(t, t.TempDir())
	configure(t, s, store.Settings{Name: "me", Zone: time.UTC})
	begin := noon.AddDate(-1, 0, 0)
	_, err := importThat(t, s, store.ImportOptions{}, func(im *store.Import) error {
		st := walking.Stream{StreamKey: watch, Delivery: walking.Filed, Device: walking.Wearable, ReliableOffset: true}
		if err := im.Stream("", st); err != nil {
			return err
		}
		for i := range 50000 {
			r := walking.Record{Start: begin.Add(time.Duration(i) * time.Minute), Duration: time.Minute, HasOffset: true}
			if i >= 19990 && i < 40010 { // over the edges of chunks
				r.Offset = 2 * 3600
			}
			if err := im.Record("", watch, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	minute := func(i int) time.Time { return begin.Add(time.Duration(i) * time.Minute) }
	got := zonesAt(t, s, "me", minute(19989), minute(19990), minute(40009), minute(40010))
	if diff := gocmp.Diff([]string{"UTC", "+02:00", "+02:00", "UTC"}, got); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
}

// TestPropertyJourneys applies batches in any order with any windows, trips, corrections and deletions. The zones are
// always those that all offsets together tell, and every derived day that has changed is stale.
func TestPropertyJourneys(t *testing.T) {
	s := open(t, t.TempDir())
	people := 0
	oslo := zone(t, "Europe/Oslo")
	homes := []*time.Location{oslo, oslo, zone(t, "America/New_York"), zone(t, "Asia/Tokyo")}
	begin := at(t, "2026-10-15 00:00Z") // the clocks in Oslo change on the 25th
	const slots = 20 * 24 * 2           // half hours
	slot := func(i int) time.Time { return begin.Add(time.Duration(i) * 30 * time.Minute) }
	rapid.Check(t, func(rt *rapid.T) {
		people++
		set := store.Settings{Name: fmt.Sprint("person ", people), Zone: oslo}
		p := configure(t, s, set)
		var derived []walking.Summary
		for d := walking.DayOf(2026, time.October, 10); d < walking.DayOf(2026, time.November, 10); d++ {
			derived = append(derived, walking.Summary{Day: d})
		}
		if err := s.PutDays(t.Context(), p.ID, derived, nil, later); err != nil {
			t.Fatal(err)
		}
		type key struct {
			start    int
			duration time.Duration
		}
		ring := walking.StreamKey{Source: "ring"}
		streams := map[walking.StreamKey]map[key]walking.Record{watch: {}, ring: {}}
		offsets := []int{9 * 3600, 3600, 2 * 3600, -4 * 3600, 5*3600 + 1800}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			settle(t, s, p)
			before, err := s.Person(t.Context(), set.Name)
			if err != nil {
				t.Fatal(err)
			}
			what := rapid.SampledFrom([]string{"stay", "stay", "trip", "trip", "delete", "scatter", "scatter", "settings"}).Draw(rt, "what")
			k := watch
			if rapid.IntRange(0, 4).Draw(rt, "stream") == 0 {
				k = ring
			}
			from := rapid.IntRange(0, slots-1).Draw(rt, "from")
			to := min(slots, from+rapid.IntRange(1, 200).Draw(rt, "length"))
			cover := walking.Window{Start: slot(from), End: slot(to)}
			covered := func(clear bool, records map[key]walking.Record) {
				if clear {
					maps.DeleteFunc(streams[k], func(x key, _ walking.Record) bool { return x.start >= from && x.start < to })
				}
				maps.Copy(streams[k], records)
				b := told(k, slices.Collect(maps.Values(records)))
				if clear {
					b.Covers = []ingest.Cover{{StreamKey: k, Window: cover}}
				}
				apply(t, s, p, b)
			}
			records := map[key]walking.Record{}
			add := func(i, offset int, has bool) {
				d := time.Duration(rapid.SampledFrom([]int{1, 1, 1, 0, 15}).Draw(rt, "duration")) * time.Minute
				records[key{i, d}] = walking.Record{Start: slot(i), Duration: d, Offset: offset, HasOffset: has}
			}
			switch what {
			case "stay", "trip":
				every := rapid.SampledFrom([]int{1, 3, 20}).Draw(rt, "every")
				offset := rapid.SampledFrom(offsets).Draw(rt, "offset")
				for i := from; i < to; i += every {
					if what == "stay" {
						_, offset = slot(i).In(set.Zone).Zone()
					}
					add(i, offset, true)
				}
				covered(rapid.Bool().Draw(rt, "replace"), records)
			case "delete":
				covered(true, nil)
			case "scatter":
				for range rapid.IntRange(1, 6).Draw(rt, "records") {
					i := rapid.IntRange(0, slots-1).Draw(rt, "slot")
					_, offset := slot(i).In(set.Zone).Zone()
					if rapid.Bool().Draw(rt, "strange") {
						offset = rapid.SampledFrom(offsets).Draw(rt, "offset")
					}
					add(i, offset, rapid.IntRange(0, 5).Draw(rt, "has") > 0)
				}
				covered(false, records)
			case "settings":
				set.Zone = homes[rapid.IntRange(0, 3).Draw(rt, "home")]
				set.Preferred = nil
				if rapid.IntRange(0, 3).Draw(rt, "order") == 0 {
					set.Preferred = []walking.StreamKey{ring}
				}
				set.Travel = nil
				for range rapid.IntRange(0, 2).Draw(rt, "entries") {
					i := rapid.IntRange(0, slots-1).Draw(rt, "entry")
					set.Travel = append(set.Travel, walking.ZoneChange{From: slot(i), Zone: homes[rapid.IntRange(0, 3).Draw(rt, "zone")]})
				}
				slices.SortFunc(set.Travel, func(a, b walking.ZoneChange) int { return a.From.Compare(b.From) })
				set.Travel = slices.CompactFunc(set.Travel, func(a, b walking.ZoneChange) bool { return a.From.Equal(b.From) })
				configure(t, s, set)
			}

			after, err := s.Person(t.Context(), set.Name)
			if err != nil {
				t.Fatal(err)
			}
			of := ring // the first of the two that has records
			if known, err := s.Streams(t.Context(), after); err != nil {
				t.Fatal(err)
			} else if i := slices.IndexFunc(known, func(x walking.Stream) bool { return len(streams[x.StreamKey]) > 0 }); i >= 0 {
				of = known[i].StreamKey
			}
			keys := slices.SortedFunc(maps.Keys(streams[of]), func(a, b key) int {
				return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.duration, b.duration))
			})
			var all []walking.OffsetAt
			for _, x := range keys {
				if r := streams[of][x]; r.HasOffset {
					all = append(all, walking.OffsetAt{At: r.Start, Offset: r.Offset})
				}
			}
			want := walking.NewTimeline(set.Zone, walking.Travel(set.Zone, set.Travel, all)...)
			if !after.Zones.Equal(want) {
				w, _ := after.Zones.Differs(want)
				rt.Fatalf("after %s in %s … %s: the zones are wrong from %s to %s:\n got %v\nwant %v",
					what, slot(from), slot(to), w.Start, w.End, after.Zones, want)
			}
			stale := staleDays(t, &s.Reader, p)
			for _, d := range derived {
				was, is := before.Zones.Spans(d.Day), after.Zones.Spans(d.Day)
				if !slices.Equal(was, is) && !slices.Contains(stale, d.Day.String()) {
					rt.Fatalf("after %s: %s was %v and is %v, but is not stale", what, d.Day, was, is)
				}
			}
		}
	})
}
