package influx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/walking"
)

// life is what happened to one person, by instant. Which day it belongs to depends on offset.
type life struct {
	person   string
	offset   int64 // seconds east
	minutes  map[int64]walking.Minute
	records  map[walking.StreamKey]map[int64]walking.Record
	sessions map[int64]walking.StreamSession
	nudges   map[int64]Nudge
	low      walking.Day // the days that exist
	high     walking.Day
}

func newLife(person string, low, high walking.Day) *life {
	return &life{
		person: person, minutes: map[int64]walking.Minute{}, sessions: map[int64]walking.StreamSession{},
		nudges:  map[int64]Nudge{},
		records: map[walking.StreamKey]map[int64]walking.Record{}, low: low, high: high,
	}
}

func (l *life) day(t int64) walking.Day {
	return walking.Day(math.Floor(float64(t+l.offset) / 86400))
}

func inOrder[V any](m map[int64]V, f func(int64, V)) {
	var keys []int64
	for t := range m {
		keys = append(keys, t)
	}
	slices.Sort(keys)
	for _, t := range keys {
		f(t, m[t])
	}
}

// days returns the contents of all days that exist.
func (l *life) days() []Content {
	byDay := map[walking.Day]*Content{}
	for d := l.low; d <= l.high; d++ {
		byDay[d] = &Content{
			Person: l.person, Day: d, Time: d.In(time.UTC),
			Summary: walking.Summary{Day: d, Zone: fmt.Sprint(l.offset), Hours: 24, Valid: true, Closed: d%2 == 0},
		}
	}
	inOrder(l.minutes, func(t int64, m walking.Minute) {
		if c := byDay[l.day(t)]; c != nil {
			c.Detail.Minutes = append(c.Detail.Minutes, m)
			c.Summary.Walking += m.Walking.Minutes()
			c.Summary.Steps += int64(m.Steps)
			c.Summary.ByHour[(t+l.offset)%86400/3600].Steps += m.Steps
		}
	})
	var streams []walking.StreamKey
	for k := range l.records {
		streams = append(streams, k)
	}
	slices.SortFunc(streams, walking.StreamKey.Compare)
	for _, k := range streams {
		for d, c := range byDay {
			var rs []walking.Record
			inOrder(l.records[k], func(t int64, r walking.Record) {
				if l.day(t) == d {
					rs = append(rs, r)
				}
			})
			if len(rs) > 0 {
				c.Detail.Streams = append(c.Detail.Streams, walking.StreamRecords{StreamKey: k, Records: rs})
				c.Summary.Sources = append(c.Summary.Sources, walking.SourceTotals{StreamKey: k, Steps: float64(len(rs))})
			}
		}
	}
	inOrder(l.sessions, func(t int64, s walking.StreamSession) {
		if c := byDay[l.day(t)]; c != nil {
			c.Detail.Sessions = append(c.Detail.Sessions, s)
			c.Summary.Sessions++
		}
	})
	inOrder(l.nudges, func(t int64, n Nudge) {
		if c := byDay[l.day(t)]; c != nil {
			c.Nudges = append(c.Nudges, n)
		}
	})
	var out []Content
	for d := l.low; d <= l.high; d++ {
		out = append(out, *byDay[d])
	}
	return out
}

// change lets something happen.
func (l *life) change(t *rapid.T) {
	at := func() int64 {
		return start(rapid.SampledFrom([]walking.Day{20000, 20001, 20002, 20003, 20004}).Draw(t, "day")) +
			3600*rapid.SampledFrom([]int64{0, 4, 11, 20, 23}).Draw(t, "hour")
	}
	stream := walking.StreamKey{
		Source: rapid.SampledFrom([]string{"watch", "phone"}).Draw(t, "source"),
		Origin: rapid.SampledFrom([]string{"", "app"}).Draw(t, "origin"),
	}
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0, 1: // walks
		for from, n := at(), rapid.Int64Range(1, 3).Draw(t, "minutes"); n > 0; n-- {
			m := walking.Minute{
				Start:   time.Unix(from+60*n, 0).UTC(),
				Walking: time.Duration(rapid.Int64Range(1, 600).Draw(t, "tenths")) * 100 * time.Millisecond,
				Steps:   rapid.Float64Range(0.5, 150).Draw(t, "steps"),
			}
			l.minutes[from+60*n] = m
			if l.records[stream] == nil {
				l.records[stream] = map[int64]walking.Record{}
			}
			l.records[stream][from+60*n] = walking.Record{Start: m.Start, Duration: time.Minute, Steps: m.Steps}
		}
	case 2: // minutes vanish
		from := at()
		var there []int64
		inOrder(l.minutes, func(t int64, _ walking.Minute) { there = append(there, t) })
		if len(there) > 0 {
			from = rapid.SampledFrom(there).Draw(t, "gone") - 120
		}
		for s := range int64(6) {
			delete(l.minutes, from+60*s)
			delete(l.records[stream], from+60*s)
		}
	case 3, 4: // travel, or back
		l.offset = 3600 * rapid.SampledFrom([]int64{-12, -5, 0, 5, 14}).Draw(t, "zone")
	case 5: // a session comes or goes
		from := at()
		if _, ok := l.sessions[from]; ok {
			delete(l.sessions, from)
			return
		}
		l.sessions[from] = walking.StreamSession{StreamKey: stream, Session: walking.Session{
			Start: time.Unix(from, 0).UTC(), End: time.Unix(from+600, 0).UTC(), Moving: 5 * time.Minute,
			Kind: walking.Walk, Steps: 100, HasSteps: true,
		}}
	case 6: // the first or the last day moves
		l.low = rapid.SampledFrom([]walking.Day{19998, 20001, 20003}).Draw(t, "low")
		l.high = rapid.SampledFrom([]walking.Day{20003, 20004, 20006}).Draw(t, "high")
	case 7: // a nudge goes out, or its outcome is known
		from := at()
		l.nudges[from] = Nudge{
			Time: time.Unix(from, 0).UTC(), Rule: "behind", Channel: stream.Source,
			Outcome:     rapid.SampledFrom([]string{"sent", "failed", "expired"}).Draw(t, "outcome"),
			WalkedAfter: float64(rapid.IntRange(0, 60).Draw(t, "walked")),
		}
	}
}

// outages stands between the client and InfluxDB and breaks with the store's process.
type outages struct {
	next  http.RoundTripper
	store *memory
	down  bool
}

func (o *outages) RoundTrip(r *http.Request) (*http.Response, error) {
	if o.down {
		_ = r.Body.Close()
		return nil, errors.New("broken")
	}
	var resp *http.Response
	var err error
	if crash := o.store.step("post", func() { resp, err = o.next.RoundTrip(r) }); crash != nil {
		if resp != nil {
			_ = resp.Body.Close() // the server took it, the answer is lost
		}
		return nil, crash
	}
	return resp, err
}

// projector returns a new one, as after a restart, with batches and chunks of any size.
func projector(t *rapid.T, cl *Client, store *memory) *Projector {
	p := New(cl, store, store, Options{})
	p.lines.Store(rapid.SampledFrom([]int64{batchLines, 100, 7}).Draw(t, "batch"))
	p.chunk = rapid.SampledFrom([]int{chunkDays, 3, 2, 1}).Draw(t, "chunk")
	return p
}

// history runs a random history and checks that InfluxDB ends up as it should.
func history(t *rapid.T, next http.RoundTripper, config Config, read func() points) {
	store := newMemory()
	line := &outages{next: next, store: store}
	config.Transport = line
	cl, err := NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	lives := []*life{newLife("alex", 19998, 20006), newLife("kim", 20001, 20004)}
	ctx := context.Background()
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		l := rapid.SampledFrom(lives).Draw(t, "who")
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			l.change(t)
		}
		store.set(l.person, l.days())
		switch rapid.IntRange(0, 5).Draw(t, "then") {
		case 0: // nothing is projected in between
		case 1: // an outage
			line.down = true
			if _, err := projector(t, cl, store).ProjectDue(ctx); err == nil && len(store.due) > 0 {
				t.Fatal("projecting while the server is down succeeded")
			}
			line.down = false
		case 2, 3: // a crash, and the day may change before the restart
			store.steps, store.after = 0, rapid.Bool().Draw(t, "with effect")
			store.crashAt = rapid.IntRange(1, 25).Draw(t, "crash at")
			_, _ = projector(t, cl, store).ProjectDue(ctx)
			store.revive()
		case 4: // another change commits in the middle
			n, at := 0, rapid.IntRange(1, 25).Draw(t, "at")
			other := rapid.SampledFrom(lives).Draw(t, "other")
			other.change(t)
			meanwhile := other.days()
			store.hook = func(string) {
				if n++; n == at {
					store.set(other.person, meanwhile)
				}
			}
			_, err := projector(t, cl, store).ProjectDue(ctx)
			store.hook = nil
			store.set(other.person, meanwhile)
			if err != nil {
				t.Fatal(err)
			}
		default:
			if _, err := projector(t, cl, store).ProjectDue(ctx); err != nil {
				t.Fatal(err)
			}
			if d := diff(read(), store.wanted()); d != "" {
				t.Fatalf("InfluxDB is not the store (-want +got):\n%s", d)
			}
		}
	}
	if _, err := projector(t, cl, store).ProjectDue(ctx); err != nil {
		t.Fatal(err)
	}
	if d := diff(read(), store.wanted()); d != "" {
		t.Fatalf("InfluxDB is not the store (-want +got):\n%s", d)
	}
	stats, err := projector(t, cl, store).ProjectDue(ctx)
	if err != nil || stats.Points > 0 {
		t.Fatalf("nothing was due, yet %d points were posted, error %v", stats.Points, err)
	}
}

func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &fakeInflux{}
		history(t, f, Config{URL: "http://influx.test", Bucket: "walkd"}, func() points { return f.points })
	})
}

func TestHistoriesOnInfluxDB(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: -short leaves out the histories on a real InfluxDB; make check does not")
	}
	s := influxtest.Start(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		if n > 25 {
			return // each takes a database of its own
		}
		name := fmt.Sprint("walkd", n)
		s.CreateDatabase(name)
		history(t, transport, Config{URL: s.URL, Bucket: name}, func() points { return serverPoints(s, name) })
		s.Exec("", `DROP DATABASE "`+name+`"`)
	})
}

// A minute moves by travel from the 21st to the 20th, and only the 20th gets projected. Then it disappears just when
// the 21st takes back what it had, and is back before the 20th has its turn: the 20th looks unchanged, yet has to
// write its minute again.
func TestZeroUnderAnUnchangedDay(t *testing.T) {
	const early, late = walking.Day(20000), walking.Day(20001)
	at := start(early) + 23*3600
	l := newLife("alex", early, late)
	l.minutes[at] = walking.Minute{Start: time.Unix(at, 0).UTC(), Walking: time.Minute, Steps: 100}
	store, f := newMemory(), &fakeInflux{}
	p := New(client(t, Config{Transport: f}), store, store, Options{})
	p.chunk = 1
	project := func(hook func(op string)) error {
		store.hook = hook
		_, err := p.ProjectDue(t.Context())
		store.hook = nil
		return err
	}
	l.offset = 5 * 3600
	store.set("alex", l.days())
	if err := project(nil); err != nil {
		t.Fatal(err)
	}
	l.offset = 0
	store.set("alex", l.days())
	n := 0
	if err := project(func(op string) {
		if op == "intend" {
			if n++; n == 2 {
				store.mu.Lock()
				store.dead = true
				store.mu.Unlock()
			}
		}
	}); err == nil {
		t.Fatal("there was no crash")
	}
	store.revive()
	if len(store.due) != 1 {
		t.Fatalf("%v is due, want the later day", store.due)
	}
	with := l.days()
	delete(l.minutes, at)
	without := l.days()
	gone, back := false, false
	if err := project(func(op string) {
		switch {
		case op == "contents" && !gone:
			gone = true
			store.set("alex", without)
		case op == "done" && !back:
			back = true
			store.set("alex", with)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if d := diff(f.points, store.wanted()); d != "" {
		t.Errorf("InfluxDB is not the store (-want +got):\n%s", d)
	}
}
