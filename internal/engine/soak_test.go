package engine_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// TestSoak lets walkd live with people for days of the simulated clock, while their services fail at random, data comes
// late, is corrected and deleted, devices do not sync, people travel, and walkd is killed every few hours. When quiet has
// come, the store and InfluxDB hold exactly what is true, and nobody was asked, or told, too often.
func TestSoak(t *testing.T) {
	spring, autumn := walking.DayOf(2026, time.March, 1), walking.DayOf(2026, time.September, 25)
	plans := []soakPlan{{seed: 1, first: spring + 25, history: 12, days: 6, step: 84 * time.Hour, kills: 20 * time.Hour}}
	if raced {
		plans[0].first, plans[0].days, plans[0].kills = spring+27, 2, 6*time.Hour
	}
	four := plans[0]
	four.seed, four.all = 5, true
	plans = append(plans, four)
	long := os.Getenv("WALKD_SOAK") != ""
	if long {
		const often, look = 5 * time.Hour, 12 * time.Hour
		plans = append(plans,
			soakPlan{seed: 2, first: spring, history: 40, days: 60, step: look, kills: often},
			soakPlan{seed: 3, first: autumn + 20, history: 40, days: 20, step: look, kills: often, zeros: true, empty: true},
			soakPlan{seed: 4, first: autumn, history: 40, days: 60, step: look, kills: often, numbers: true},
			soakPlan{seed: 6, first: spring, history: 40, days: 60, step: look, kills: often, all: true},
			soakPlan{seed: 7, first: autumn, history: 40, days: 60, step: look, kills: often, all: true, numbers: true, empty: true},
		)
		if raced {
			plans[3].days, plans[4].days, plans[6].days = 5, 40, 20
		}
	}
	for _, p := range plans {
		name := fmt.Sprintf("%d days, seed %d", p.days, p.seed)
		if p.all {
			name += ", four providers"
		}
		t.Run(name, func(t *testing.T) {
			if long {
				t.Parallel()
			}
			soak(t, p)
		})
	}
}

func soakCommand(task string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestSoakChild$", "-test.count=1", "-test.timeout=0")
	cmd.Env = append(os.Environ(), soakEnv+"="+task)
	return cmd
}

func soak(t *testing.T, plan soakPlan) {
	began := time.Now()
	server := influxtest.Start(t)
	server.CreateDatabase("walkd")
	w := newWorld(t, plan)
	task := soakTask{
		Dir: t.TempDir(), URL: w.server.URL, Influx: server.URL, Ntfy: w.topics.URL,
		Begin: w.begin, Quiet: w.quiet, End: w.end, Step: plan.step,
	}
	for _, c := range w.people {
		task.People = append(task.People, c.config)
	}
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	w.run(string(text))
	w.killer.Wait()

	ctx := t.Context()
	e := newEngine(t, task.Dir, w.end)
	defer func() {
		if err := e.Store.Close(); err != nil {
			t.Error(err)
		}
	}()
	if problems, err := e.Store.Check(ctx); err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", problems, err)
	}
	w.checkStates(e, task)
	for _, c := range w.people {
		if c.config.Kind == "google-health" {
			w.checkRecords(c, e)
		}
		w.checkSteps(c, e)
		w.checkNudges(c)
	}
	w.checkDays(e, task)
	compareInflux(t, e, server)
	compareSessions(t, e, server)
	w.checkRequests()
	w.report(time.Since(began))
}

// checkStates finds every account at rest.
func (w *world) checkStates(e *engine.Engine, task soakTask) {
	t := w.t
	t.Helper()
	states, err := pull.States(t.Context(), &e.Store.Reader, soakAccounts(task.URL, task.People, stillClock{task.End}), task.End, task.End)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if s.Phase != pull.OK || s.Problem != nil || s.Backfill == nil || !s.Backfill.Done {
			t.Errorf("%s is %s: %+v, %+v", s.Person, s.Phase, s.Problem, s.Backfill)
		}
		for _, c := range w.people {
			for _, o := range s.Off {
				// A service that tells one zone for a day hides a short journey, and its dates are others then.
				day := o.Day.In(time.UTC)
				near := walking.Window{Start: c.trip.Start.AddDate(0, 0, -2), End: c.trip.End.AddDate(0, 0, 2)}
				if c.Name() == s.Person && !near.Contains(day) {
					t.Errorf("%s: %s has %g steps, and %g by what %s says", s.Person, o.Day, o.Stored, o.Told, s.Service)
				}
			}
		}
	}
}

// A soakRecord is a row of the table of records.
type soakRecord struct {
	Origin   string
	Start    time.Time
	Duration time.Duration
	Steps    float64
	Offset   time.Duration
}

// all is the window that holds everything of a person.
func (c *citizen) all(end time.Time) walking.Window {
	return walking.Window{Start: (c.First() - 2).In(time.UTC), End: end}
}

// checkRecords compares records and sessions of the store with the truth.
func (w *world) checkRecords(c *citizen, e *engine.Engine) {
	t := w.t
	t.Helper()
	synced := c.Synced(w.end)
	var want []soakRecord
	for _, p := range c.Truth(c.all(synced), synced) {
		want = append(want, soakRecord{"", p.Start, time.Minute, float64(p.Steps), p.Offset})
	}
	got := w.records(c, e)
	if len(want) < 3_000 {
		t.Errorf("%s has only %d records", c.Name(), len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records of %s (-true +stored):\n%s", c.Name(), tail(diff))
	}

	if diff := cmp.Diff(c.trueSessions(synced), w.sessions(c, e)); diff != "" {
		t.Errorf("sessions of %s (-true +stored):\n%s", c.Name(), tail(diff))
	}
}

// records returns what the store has of a person, in order.
func (w *world) records(c *citizen, e *engine.Engine) []soakRecord {
	t, ctx := w.t, w.t.Context()
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(e.Store.Dir(), store.FileName)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT origin, start_ms, duration_ms, steps, coalesce(offset_s, -1) FROM record "+
		"JOIN stream ON stream.id = stream_id JOIN person ON person.id = person_id WHERE name = ? "+
		"ORDER BY origin, start_ms, duration_ms", c.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []soakRecord
	for rows.Next() {
		var (
			r                       soakRecord
			start, duration, offset int64
		)
		if err := rows.Scan(&r.Origin, &start, &duration, &r.Steps, &offset); err != nil {
			t.Fatal(err)
		}
		r.Start, r.Duration = time.UnixMilli(start).UTC(), time.Duration(duration)*time.Millisecond
		r.Offset = time.Duration(offset) * time.Second
		got = append(got, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

// sessions returns what the store has of a person, in order.
func (w *world) sessions(c *citizen, e *engine.Engine) []walking.Session {
	w.t.Helper()
	p, err := e.Store.Person(w.t.Context(), c.Name())
	if err != nil {
		w.t.Fatal(err)
	}
	inputs, err := e.Store.Inputs(w.t.Context(), p, c.all(w.end))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []walking.Session
	for _, in := range inputs {
		out = append(out, in.Sessions...)
	}
	return out
}

// checkSteps compares the sum of all steps with the truth, which needs to know nothing of how a provider tells them.
func (w *world) checkSteps(c *citizen, e *engine.Engine) {
	w.t.Helper()
	synced := c.Synced(w.end)
	var want, got float64
	for _, p := range c.Truth(c.all(synced), synced) {
		want += float64(p.Steps)
	}
	for _, r := range w.records(c, e) {
		got += r.Steps
	}
	if math.Round(got) != want {
		w.t.Errorf("%s has %.1f steps in the store, want %.0f", c.Name(), got, want)
	}
}

// pullAfresh lets a walkd of its own pull all that a person's service knows at the end, when nothing fails any more.
func (w *world) pullAfresh(c *citizen, st *store.Store, task soakTask) {
	t, ctx := w.t, w.t.Context()
	t.Helper()
	clock := waitingClock{w}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	p, err := pull.New(pull.Options{
		Store: st, Clock: stillClock{w.end}, Wall: clock, Transport: transport, Daily: -1,
	}, soakAccounts(task.URL, []soakPerson{c.config}, clock))
	if err != nil {
		t.Fatal(err)
	}
	begun, err := p.Begin(ctx, c.Name(), "watch")
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := browser.Get(begun.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if _, err := p.Finish(ctx, resp.Header.Get("Location")); err != nil {
		t.Fatal(err)
	}
	first := c.First() - 2
	results, err := p.Sync(ctx, pull.SyncRequest{From: first}, nil)
	if err != nil || results[0].Err != nil {
		t.Fatal(results, err)
	}
	if results, err = p.Sync(ctx, pull.SyncRequest{}, nil); err != nil || results[0].Err != nil {
		t.Fatal(results, err)
	}
	if c.config.Kind != "polar" {
		return
	}
	// Polar tells exercises for thirty days only, and none from before the person was a user of the client. What was told
	// before that stays.
	person, err := st.Person(ctx, c.Name())
	if err != nil {
		t.Fatal(err)
	}
	key := walking.StreamKey{Source: "watch"}
	var b ingest.Batch
	streams, err := st.Streams(ctx, person)
	if err != nil {
		t.Fatal(err)
	}
	b.Streams = streams
	for _, s := range c.trueSessions(c.Synced(w.end)) {
		s.Steps, s.HasSteps = 0, false
		if s.Start.Before(w.end.Add(-29*24*time.Hour)) && !s.End.Before(w.begin) {
			b.Sessions = append(b.Sessions, walking.StreamSession{StreamKey: key, Session: s})
		}
	}
	if _, err := st.Apply(ctx, person.ID, b, w.end); err != nil {
		t.Fatal(err)
	}
}

// stillClock stands still.
type stillClock struct{ now time.Time }

func (c stillClock) Now() time.Time { return c.now }

func (stillClock) NewTimer(time.Duration) (<-chan time.Time, func()) { return nil, func() {} }

// waitingClock is the wall at the end. Time goes by at once for whoever waits.
type waitingClock struct{ w *world }

func (c waitingClock) Now() time.Time { return c.w.wall() }

func (c waitingClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	c.w.waited.Add(int64(d))
	fired := make(chan time.Time, 1)
	fired <- c.Now()
	return fired, func() {}
}

func (c *citizen) trueSessions(synced time.Time) []walking.Session {
	var out []walking.Session
	for _, s := range c.TrueSessions(c.all(synced), synced) {
		x := walking.Session{
			Start: s.Start, End: s.End, Moving: s.End.Sub(s.Start), Kind: walking.Walk,
			Steps: float64(s.Steps), HasSteps: s.Steps > 0,
		}
		if s.Type == "BIKING" {
			x.Kind = walking.Ride
		}
		out = append(out, x)
	}
	return out
}

// checkDays compares the derived days with those of a store that was told the whole truth at once, at the end.
func (w *world) checkDays(e *engine.Engine, task soakTask) {
	t, ctx := w.t, w.t.Context()
	t.Helper()
	fresh := newEngine(t, t.TempDir(), w.end)
	defer func() {
		if err := fresh.Store.Close(); err != nil {
			t.Error(err)
		}
	}()
	settings, err := soakSettings(task.People)
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.Store.Configure(ctx, settings, w.begin); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.people {
		if c.config.Kind == "google-health" {
			w.tell(c, fresh.Store, task)
		} else {
			w.pullAfresh(c, fresh.Store, task)
			if diff := cmp.Diff(w.records(c, fresh), w.records(c, e)); diff != "" {
				t.Errorf("records of %s (-pulled at the end +stored):\n%s", c.Name(), tail(diff))
			}
			if diff := cmp.Diff(w.sessions(c, fresh), w.sessions(c, e)); diff != "" {
				t.Errorf("sessions of %s (-pulled at the end +stored):\n%s", c.Name(), tail(diff))
			}
		}
	}
	if _, err := fresh.Derive(ctx, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.people {
		want, wantStreams := daysAndStreams(t, fresh.Store, c.Name())
		got, gotStreams := daysAndStreams(t, e.Store, c.Name())
		if len(want) < w.plan.days+soakQuietDays+w.plan.history {
			t.Errorf("%s has only %d days", c.Name(), len(want))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("days of %s (-true +derived):\n%s", c.Name(), tail(diff))
		}
		if diff := cmp.Diff(wantStreams, gotStreams); diff != "" {
			t.Errorf("streams of %s (-true +stored):\n%s", c.Name(), diff)
		}
	}
}

func daysAndStreams(t *testing.T, st *store.Store, name string) ([]walking.Summary, []walking.Stream) {
	t.Helper()
	p, err := st.Person(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	first, last, _, err := st.DayRange(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	days, err := st.Days(t.Context(), p.ID, first, last)
	if err != nil {
		t.Fatal(err)
	}
	streams, err := st.Streams(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range streams {
		streams[i].LastArrival = time.Time{} // when it was asked last
	}
	return days, streams
}

// tell tells a store the truth of a person. Only when the device was not worn is asked of the service: it is a guess of
// the source, about whole days in the zones that the records tell.
func (w *world) tell(c *citizen, st *store.Store, task soakTask) {
	t, ctx := w.t, w.t.Context()
	t.Helper()
	key := walking.StreamKey{Source: "watch"}
	synced := c.Synced(w.end)
	all := walking.Window{Start: c.First().In(c.Home()), End: w.end}
	b := ingest.Batch{
		Streams: []walking.Stream{{
			StreamKey: key, Device: walking.Wearable, Delivery: walking.Pulled, ReliableOffset: true, SyncedThrough: synced,
		}},
		Covers: []ingest.Cover{{StreamKey: key, Window: all}},
	}
	rs := walking.StreamRecords{StreamKey: key}
	for _, p := range c.Truth(all, synced) {
		rs.Records = append(rs.Records, walking.Record{
			Start: p.Start, Duration: time.Minute, Steps: float64(p.Steps), Offset: int(p.Offset / time.Second), HasOffset: true,
		})
	}
	b.Records = append(b.Records, rs)
	for _, s := range c.trueSessions(synced) {
		b.Sessions = append(b.Sessions, walking.StreamSession{StreamKey: key, Session: s})
	}
	p, err := st.Person(ctx, c.Name())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Apply(ctx, p.ID, b, w.end); err != nil {
		t.Fatal(err)
	}
	if p, err = st.Person(ctx, c.Name()); err != nil {
		t.Fatal(err)
	}
	provider := soakProvider(task.URL, c.config, stillClock{w.end}).(*googlehealth.Provider)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	refresh := c.service.Handler.(*healthsim.Service).Grant(c.Name(), healthsim.ScopeActivity, healthsim.ScopeSettings)
	token, err := provider.Refresh(ctx, &http.Client{Transport: transport}, ingest.Token{Refresh: refresh})
	if err != nil {
		t.Fatal(err)
	}
	told, err := provider.Source(&http.Client{Transport: bearer{transport, token.Access}}).Fetch(ctx,
		ingest.Request{Window: all, Zones: p.Zones, Now: w.end, Sessions: true})
	if err != nil {
		t.Fatal(err)
	}
	b.Unworn = told.Unworn
	if _, err := st.Apply(ctx, p.ID, b, w.end); err != nil {
		t.Fatal(err)
	}
}

// bearer adds a token.
type bearer struct {
	next  http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// compareSessions compares the sessions in InfluxDB with the store.
func compareSessions(t *testing.T, e *engine.Engine, server *influxtest.Server) {
	t.Helper()
	people, err := e.Store.Persons(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range people {
		inputs, err := e.Store.Inputs(t.Context(), p, walking.Window{Start: time.Unix(0, 0), End: time.Unix(1<<33, 0)})
		if err != nil {
			t.Fatal(err)
		}
		want, got := map[int64]float64{}, map[int64]float64{}
		for _, in := range inputs {
			for _, s := range in.Sessions {
				want[s.Start.Unix()] = s.End.Sub(s.Start).Seconds()
			}
		}
		q := "SELECT duration_s FROM walk_session WHERE person = '" + p.Name + "' AND duration_s > 0"
		for _, r := range server.Query("walkd", q) {
			got[r.Time] = number(t, r.Values["duration_s"])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sessions in InfluxDB (-store +influx):\n%s", diff)
		}
	}
}

// checkNudges looks at all that has reached a person's phone.
func (w *world) checkNudges(c *citizen) {
	w.t.Helper()
	days := map[walking.Day]int{}
	for _, m := range w.ntfy.Shown(c.Name()) {
		at := time.Unix(m.Time, 0)
		// Until the device tells where it is, walkd goes by the zone before.
		if c.onTrip(at) {
			continue
		}
		zones := c.Zones()
		days[zones.Day(at)]++
		for _, quiet := range zones.Ranges(walking.Window{Start: at, End: at.Add(time.Second)}, soakQuiet) {
			if quiet.Contains(at) {
				w.t.Errorf("%s is told at %s, in the quiet hours: %+v", c.Name(), at.In(zones.At(at)), m)
			}
		}
	}
	for d, n := range days {
		if n > 1 {
			w.t.Errorf("%s is told %d times on %s", c.Name(), n, d)
		}
	}
	sent := map[string]string{}
	for _, m := range w.ntfy.Stored(c.Name()) {
		text := m.Title + "\n" + m.Message
		if before, ok := sent[m.SequenceID]; ok && before != text || m.SequenceID == "" {
			w.t.Errorf("two messages of %s with the ID %q:\n%s\n%s", c.Name(), m.SequenceID, before, text)
		}
		sent[m.SequenceID] = text
	}
	if len(days) == 0 && w.plan.days > 5 {
		w.t.Errorf("%s was never told anything", c.Name())
	}
}

// onTrip reports whether t is so near to the beginning or end of a journey that walkd may not know yet where the person
// is. Oura tells the zone of a whole day when it begins, so that it takes until the next one has begun.
func (c *citizen) onTrip(t time.Time) bool {
	unknown := 24 * time.Hour
	if c.config.Kind == "oura" {
		unknown += 12 * time.Hour
	}
	return t.Sub(c.trip.Start).Abs() < unknown || t.Sub(c.trip.End).Abs() < unknown
}

// checkRequests looks at how often the services were asked.
func (w *world) checkRequests() {
	for _, c := range w.people {
		if over := c.service.over(); over != "" {
			w.t.Errorf("%s: %s", c.Name(), over)
		}
		var last time.Time
		for _, begin := range slices.SortedFunc(maps.Keys(c.windows), time.Time.Compare) {
			if n := c.windows[begin]; n > pull.DefaultDaily || begin.Sub(last) < 24*time.Hour {
				w.t.Errorf("polls for %s made %d requests in the 24 hours from %s, want at most %d; the window before began at %s",
					c.Name(), n, begin, pull.DefaultDaily, last)
			}
			last = begin
		}
		if len(c.windows) < w.plan.days {
			w.t.Errorf("%s was asked for in %d windows only", c.Name(), len(c.windows))
		}
	}
}

// report says what has happened.
func (w *world) report(took time.Duration) {
	total := 0
	for _, key := range slices.Sorted(maps.Keys(w.count.requests)) {
		counts := w.count.requests[key]
		var sum, most, free, days int
		for d, n := range counts {
			sum += n
			if d < w.plan.days && !w.count.faulty[d] {
				free, days, most = free+n, days+1, max(most, n)
			}
		}
		total += sum
		w.t.Logf("%s: %d requests, on a day without faults %.1f on average and %d at most",
			key, sum, float64(free)/float64(max(1, days)), most)
	}
	for _, c := range w.people {
		w.t.Logf("%s, %s: %d requests made to fail, at most %d by polls in 24 hours, %d sent again by net/http, %d messages",
			c.Name(), c.config.Kind, c.service.made(), slices.Max(slices.Collect(maps.Values(c.windows))), c.resent, len(w.ntfy.Shown(c.Name())))
	}
	w.t.Logf("%d + %d days, %d requests, %d kills, %d edits, %d times late, %d times offline, %d token faults, %s",
		w.plan.days, soakQuietDays, total, w.count.kills, w.count.edits, w.count.late, w.count.offline, w.count.faults,
		took.Round(time.Second))
}
