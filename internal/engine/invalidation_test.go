package engine_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// A life is a person whose data, settings and clock change at random, and a copy of what was due after each change.
type life struct {
	t      *rapid.T
	e      *engine.Engine
	clock  *movingClock
	set    store.Settings
	keys   []walking.StreamKey
	most   int // minutes that a record or session lasts
	copied map[walking.Day]influx.Content
}

// lifeZones are homes and destinations: two changes of the clock within the days that lives are about, half an hour's
// change, and both ends of the date line.
var lifeZones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Pago_Pago"}

func zone(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return loc
}

// must ends the life on an error.
func (l *life) must(err error) {
	if err != nil {
		l.t.Helper()
		l.t.Fatal(err)
	}
}

func (l *life) person() store.Person {
	p, err := l.e.Store.Person(l.t.Context(), "me")
	l.must(err)
	return p
}

// ago draws an instant up to some hours before now or twice that, on a quarter of an hour.
func (l *life) ago(label string, hours int) time.Time {
	if rapid.IntRange(0, 3).Draw(l.t, label+" long ago") == 0 {
		hours *= 2
	}
	quarters := rapid.IntRange(0, 4*hours).Draw(l.t, label)
	return l.clock.now.Truncate(15 * time.Minute).Add(-time.Duration(quarters) * 15 * time.Minute)
}

// records draws some records of one shape.
func (l *life) records() []walking.Record {
	length := min(l.most, rapid.SampledFrom([]int{1, 1, 5, 15, 60, 240, 1440, 0}).Draw(l.t, "length"))
	n := rapid.IntRange(1, max(2, min(60, 300/max(length, 1)))).Draw(l.t, "records")
	cadence := rapid.SampledFrom([]int{0, 20, 70, 90, 110, 150}).Draw(l.t, "cadence")
	fraction := rapid.SampledFrom([]float64{0, 0, 0.25}).Draw(l.t, "fraction")
	at := l.ago("start", 24*13)
	var out []walking.Record
	for i := range n {
		r := walking.Record{
			Start: at.Add(time.Duration(i*length) * time.Minute), Duration: time.Duration(length) * time.Minute,
			Steps: float64(cadence*max(length, 1)) + fraction,
		}
		if !r.End().After(l.clock.now) {
			out = append(out, r)
		}
	}
	return out
}

func (l *life) window(label string) walking.Window {
	w := walking.Window{Start: l.ago(label, 24*13)}
	w.End = w.Start.Add(time.Duration(rapid.SampledFrom([]int{1, 6, 24, 72}).Draw(l.t, "hours")) * time.Hour)
	return w
}

func (l *life) stream() walking.Stream {
	i := rapid.IntRange(0, len(l.keys)-1).Draw(l.t, "stream")
	return walking.Stream{
		StreamKey:     l.keys[i],
		Device:        rapid.SampledFrom([]walking.Device{walking.Wearable, walking.Phone, walking.UnknownDevice}).Draw(l.t, "device"),
		Delivery:      rapid.SampledFrom([]walking.Delivery{walking.Pulled, walking.Pushed, walking.Filed}).Draw(l.t, "delivery"),
		SyncedThrough: l.ago("synced", 48),
	}
}

// batch applies a batch of one or two streams.
func (l *life) batch() {
	var b ingest.Batch
	for range rapid.IntRange(1, 2).Draw(l.t, "streams") {
		st := l.stream()
		k := st.StreamKey
		b.Streams = append(b.Streams, st)
		for range rapid.IntRange(0, 3).Draw(l.t, "shapes") {
			b.Records = append(b.Records, walking.StreamRecords{StreamKey: k, Records: l.records()})
		}
		if rapid.IntRange(0, 2).Draw(l.t, "covers") == 0 {
			b.Covers = append(b.Covers, ingest.Cover{StreamKey: k, Window: l.window("cover")})
		}
		if rapid.IntRange(0, 3).Draw(l.t, "sessions") == 0 {
			w := walking.Window{Start: l.ago("session", 24*13), End: l.clock.now}
			w.End = w.Start.Add(min(w.Duration(), time.Duration(rapid.IntRange(1, min(l.most, 360)).Draw(l.t, "minutes"))*time.Minute))
			kind := rapid.SampledFrom([]walking.Kind{walking.Walk, walking.Run, walking.Swim}).Draw(l.t, "kind")
			b.Sessions = append(b.Sessions, walking.StreamSession{StreamKey: k, Session: walking.Session{
				Start: w.Start, End: w.End, Kind: kind, Moving: w.Duration() / 2,
			}})
		}
		if rapid.IntRange(0, 3).Draw(l.t, "unworn") == 0 {
			b.Unworn = append(b.Unworn, ingest.Unworn{StreamKey: k, Window: l.window("off")})
		}
	}
	_, err := l.e.Store.Apply(l.t.Context(), l.person().ID, b, l.clock.now)
	l.must(err)
}

// habit stores half an hour's walk a day, up to now.
func (l *life) habit() {
	k := l.keys[0]
	st := walking.Stream{StreamKey: k, Device: walking.Wearable, Delivery: walking.Pulled, SyncedThrough: l.clock.now}
	b := ingest.Batch{Streams: []walking.Stream{st}}
	for d := range 24 {
		r := walking.Record{Start: l.clock.now.AddDate(0, 0, -d).Add(-time.Hour), Duration: time.Minute, Steps: 100}
		rs := walking.StreamRecords{StreamKey: k}
		for range 30 {
			rs.Records = append(rs.Records, r)
			r.Start = r.End()
		}
		b.Records = append(b.Records, rs)
	}
	_, err := l.e.Store.Apply(l.t.Context(), l.person().ID, b, l.clock.now)
	l.must(err)
}

// walk changes what the first stream has of some hour: at noon, where it changes no other day by itself.
func (l *life) walk() {
	k := l.keys[0]
	noon := l.clock.now.Truncate(24*time.Hour).AddDate(0, 0, -rapid.IntRange(1, 24).Draw(l.t, "days ago")).Add(12 * time.Hour)
	rs := walking.StreamRecords{StreamKey: k}
	for i := range rapid.IntRange(0, 59).Draw(l.t, "minutes") {
		rs.Records = append(rs.Records, walking.Record{Start: noon.Add(time.Duration(i) * time.Minute), Duration: time.Minute, Steps: 100})
	}
	_, err := l.e.Store.Apply(l.t.Context(), l.person().ID, ingest.Batch{
		Streams: []walking.Stream{{StreamKey: k, Device: walking.Wearable, Delivery: walking.Pulled}},
		Records: []walking.StreamRecords{rs}, Covers: []ingest.Cover{{StreamKey: k, Window: walking.Window{Start: noon, End: noon.Add(time.Hour)}}},
	}, l.clock.now)
	l.must(err)
}

// imports imports a file of two streams that tells everything up to its date.
func (l *life) imports() {
	im, err := l.e.Store.NewImport(l.t.Context(), store.ImportOptions{Person: "me", Zone: time.UTC})
	l.must(err)
	defer func() { l.must(im.Close()) }()
	date := l.ago("date", 72)
	for range rapid.IntRange(1, 2).Draw(l.t, "streams") {
		st := l.stream()
		l.must(im.Stream("", st))
		for range rapid.IntRange(0, 3).Draw(l.t, "shapes") {
			for _, r := range l.records() {
				l.must(im.Record("", st.StreamKey, r))
			}
		}
		if rapid.Bool().Draw(l.t, "export") {
			l.must(im.Covers("", st.StreamKey, walking.Window{Start: time.Unix(0, 0), End: date}))
		}
	}
	_, err = im.Commit(l.clock.now)
	l.must(err)
}

// configure changes one setting.
func (l *life) configure() {
	switch rapid.IntRange(0, 4).Draw(l.t, "setting") {
	case 0:
		l.set.Target = float64(rapid.SampledFrom([]int{5, 60, 100}).Draw(l.t, "target"))
	case 1:
		l.set.Quiet.To = walking.WallTime(60 * rapid.IntRange(3, 10).Draw(l.t, "quiet until"))
	case 2:
		l.set.Preferred = []walking.StreamKey{rapid.SampledFrom(l.keys).Draw(l.t, "preferred")}
	case 3:
		l.set.Travel = nil
		for range rapid.IntRange(0, 3).Draw(l.t, "journeys") {
			l.set.Travel = append(l.set.Travel, walking.ZoneChange{
				From: l.ago("from", 24*13), Zone: zone(rapid.SampledFrom(lifeZones).Draw(l.t, "to")),
			})
		}
	case 4:
		l.set.Zone = zone(rapid.SampledFrom(lifeZones).Draw(l.t, "home"))
	}
	l.must(l.e.Store.Configure(l.t.Context(), []store.Settings{l.set}, l.clock.now))
}

// step changes something, asks for some days, derives, and copies what is due.
func (l *life) step() {
	ctx := l.t.Context()
	switch what := rapid.SampledFrom([]string{"batch", "batch", "batch", "walk", "walk", "import", "configure", "not worn", "clock", "ahead"}).Draw(l.t, "what"); what {
	case "batch":
		l.batch()
	case "walk":
		l.walk()
	case "import":
		l.imports()
	case "configure":
		l.configure()
	case "not worn":
		p := l.person()
		d := p.Zones.Day(l.ago("day", 24*13))
		l.must(l.e.Store.SetNotWorn(ctx, p.ID, d, rapid.Bool().Draw(l.t, "not worn")))
	case "ahead":
		// The clock jumps, days are derived by it, and it is set right again.
		right := l.clock.now
		l.clock.now = right.Add(time.Duration(rapid.SampledFrom([]int{3, 20, 60, 300}).Draw(l.t, "ahead")) * time.Hour)
		if rapid.Bool().Draw(l.t, "while ahead") {
			l.must(l.e.Store.Configure(ctx, []store.Settings{l.set}, l.clock.now))
		}
		l.derive()
		l.clock.now = right
	}
	l.clock.now = l.clock.now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 5, 13, 30, 80}).Draw(l.t, "later")) * time.Hour)
	l.derive()
}

func (l *life) derive() {
	ctx := l.t.Context()
	p := l.person()
	today := p.Zones.Day(l.clock.now)
	from := today - walking.Day(rapid.IntRange(0, 16).Draw(l.t, "seen from"))
	to := from + walking.Day(rapid.IntRange(0, 16).Draw(l.t, "days seen"))
	seen, err := engine.Days(ctx, &l.e.Store.Reader, p, from, to, l.clock.now)
	l.must(err)
	_, err = l.e.Derive(ctx, nil)
	l.must(err)
	derived, err := l.e.Store.Days(ctx, p.ID, from, to)
	l.must(err)
	if diff := cmp.Diff(derived, seen); diff != "" {
		l.t.Fatalf("a reader of %s … %s sees something else than is derived (-derived +seen):\n%s", from, to, diff)
	}
	l.copyDue()
}

// copyDue copies the days that are due, as a projection does.
func (l *life) copyDue() {
	ctx := l.t.Context()
	ledger := engine.Ledger{Store: l.e.Store, Clock: l.clock}
	if l.person().Rebuild {
		l.must(ledger.Doubt(ctx, "me"))
		clear(l.copied)
		l.must(ledger.Forget(ctx, "me"))
	}
	tasks, err := ledger.Due(ctx, 10000)
	l.must(err)
	var written []influx.Written
	for _, task := range tasks {
		contents, err := ledger.Contents(ctx, "me", task.Day, task.Day)
		l.must(err)
		w := influx.Written{Key: influx.Key{Person: "me", Day: task.Day, Measurement: influx.WalkDay}}
		delete(l.copied, task.Day)
		for _, c := range contents {
			l.copied[task.Day] = c
			w.Sum, w.Keys = 1, []byte{1}
		}
		written = append(written, w)
	}
	l.must(ledger.Done(ctx, tasks, written))
}

// all returns every derived day and what it projects.
func (l *life) all() map[walking.Day]influx.Content {
	contents, err := engine.Ledger{Store: l.e.Store, Clock: l.clock}.Contents(l.t.Context(), "me", -1<<30, 1<<30)
	l.must(err)
	out := map[walking.Day]influx.Content{}
	for _, c := range contents {
		out[c.Day] = c
	}
	return out
}

// TestInvalidation changes everything that a derived day depends on, at random, and derives after each change only what
// the change calls for. At the end every day, and every copy of a day, is what deriving everything afresh gives.
func TestInvalidation(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); os.Getenv("WALKD_SOAK") == "" && f.Value.String() == f.DefValue {
		if err := flag.Set("rapid.checks", "25"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = flag.Set("rapid.checks", f.DefValue) }()
	}
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		home := fmt.Sprintf("%s/%d", dir, n)
		st, err := store.Open(t.Context(), home)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(st.Close(), os.RemoveAll(home)); err != nil {
				t.Error(err)
			}
		}()
		clock := &movingClock{now: time.Date(2026, 4, rapid.IntRange(1, 6).Draw(t, "first day"), rapid.IntRange(0, 23).Draw(t, "hour"), 0, 0, 0, time.UTC)}
		l := &life{t: t, clock: clock, copied: map[walking.Day]influx.Content{}, e: &engine.Engine{Store: st, Clock: clock}}
		l.set = store.Settings{
			Name: "me", Zone: zone(rapid.SampledFrom(lifeZones).Draw(t, "home")), Target: 100,
			Quiet: walking.WallRange{From: 21*60 + 30, To: 8 * 60},
		}
		l.must(st.Configure(t.Context(), []store.Settings{l.set}, clock.now))
		for i := range rapid.IntRange(1, 4).Draw(t, "streams in all") {
			l.keys = append(l.keys, walking.StreamKey{Source: fmt.Sprintf("s%d", i)})
		}
		l.most = rapid.SampledFrom([]int{5, 60, 1440}).Draw(t, "most minutes")
		if rapid.Bool().Draw(t, "habit") {
			l.habit()
		} else {
			l.batch()
		}
		l.derive()
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			l.step()
		}
		derived := l.all()
		if diff := cmp.Diff(derived, l.copied); diff != "" {
			t.Errorf("copies differ from what is derived (-derived +copied):\n%s", diff)
		}
		l.must(st.DropDays(t.Context(), l.person().ID, 1, 0, clock.now))
		l.derive()
		if diff := cmp.Diff(l.all(), derived); diff != "" {
			t.Errorf("days %v differ from those derived afresh (-afresh +derived):\n%s", slices.Sorted(maps.Keys(derived)), diff)
		}
	})
}
