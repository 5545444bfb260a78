package engine_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/notify/ntfy/ntfytest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

// A soakPlan is how a soak goes.
type soakPlan struct {
	seed    uint64
	first   walking.Day   // the day on which walkd begins
	history int           // days of the people before that
	days    int           // with faults, edits and kills
	step    time.Duration // between two looks in the quiet days after them
	kills   time.Duration // from one to the next, on average
	// How the services answer, see simulate.Plan and healthsim.Options. With zeros the people are real, and have much
	// more data.
	zeros, numbers, empty bool
	// all has people of all four providers, one each, in place of two of Google Health.
	all bool
}

const (
	soakQuietDays = 42 // after all has happened: longer than any look back
	// soakLate is the most by which data comes late and is corrected. walkd looks back over 37 days once in seven, and
	// Polar tells exercises for thirty.
	soakLate = 28 * 24 * time.Hour
)

// soakLife is what the people walk: little enough for the service to tell it quickly.
func soakLife(random *rand.Rand) (*simulate.Life, error) {
	const minutes = 24 * 60
	steps := make([]uint8, 17*minutes)
	for day := range 17 {
		today := steps[day*minutes : (day+1)*minutes]
		for range 30 {
			today[6*60+random.IntN(16*60)] = uint8(1 + random.IntN(70))
		}
		for range 1 + random.IntN(5) {
			from, cadence := 6*60+random.IntN(16*60), 75+random.IntN(40)
			for m := range 5 + random.IntN(30) {
				today[from+m] = uint8(cadence + random.IntN(10))
			}
		}
	}
	return simulate.NewLife(steps)
}

// A world is all that is outside of walkd: people, their services, and time. It decides when walkd is killed.
type world struct {
	t      *testing.T
	plan   soakPlan
	begin  time.Time
	quiet  time.Time
	end    time.Time
	people []*citizen
	server *httptest.Server
	ntfy   *ntfytest.Server
	topics *httptest.Server
	killer sync.WaitGroup
	now    atomic.Pointer[time.Time]
	waited atomic.Int64 // by whoever pulls afresh at the end, in nanoseconds

	mu      sync.Mutex
	random  *rand.Rand
	events  []soakEvent // by time
	process *exec.Cmd
	killed  bool // the process at work
	armed   int  // requests until the kill; none is to come if zero
	chance  float64
	sink    int
	count   soakCount
}

// A citizen is a person and their service.
type citizen struct {
	*simulate.Person
	config  soakPerson
	service *soakService
	trip    walking.Window

	asked  string // the ID of the last request
	resent int
	// The requests of polls in each of the windows of 24 hours in which walkd limits them, by when they began. Their times
	// are walkd's, since a kill can come between the counting of a request and its sending.
	windows map[time.Time]int
}

type soakEvent struct {
	at time.Time
	do func()
}

// soakCount is what has happened.
type soakCount struct {
	kills, faults, edits, late, offline, consents int
	requests                                      map[string][]int // by person and phase, each day
	faulty                                        []bool           // by day
}

func newWorld(t *testing.T, plan soakPlan) *world {
	t.Helper()
	w := &world{t: t, plan: plan, random: rand.New(rand.NewPCG(plan.seed, 20261121))}
	w.begin = plan.first.In(time.UTC).Add(7*time.Hour + 3*time.Minute)
	w.quiet = w.begin.AddDate(0, 0, plan.days)
	w.end = w.quiet.AddDate(0, 0, soakQuietDays)
	w.now.Store(&w.begin)
	w.count.requests = map[string][]int{}
	life, err := soakLife(w.random)
	if plan.zeros {
		life, err = simulate.Volunteer()
	}
	if err != nil {
		t.Fatal(err)
	}
	people := []soakPerson{
		{Name: "alex", Zone: "Europe/Oslo", Kind: "google-health"},
		{Name: "robin", Zone: "America/Los_Angeles", Kind: "google-health"},
	}
	if plan.all {
		people = append(people[:1:1], soakPerson{Name: "wanda", Zone: "America/New_York", Kind: "withings"},
			soakPerson{Name: "paula", Zone: "Europe/Helsinki", Kind: "polar"},
			soakPerson{Name: "otto", Zone: "Europe/Berlin", Kind: "oura"})
	}
	for i, p := range people {
		c := &citizen{config: p}
		c.Person, err = simulate.NewPerson(simulate.Plan{
			Name: p.Name, Life: life, Home: zone(p.Zone), Zeros: plan.zeros && i == 0,
			First: plan.first - walking.Day(plan.history+11*i),
		})
		if err != nil {
			t.Fatal(err)
		}
		c.service = newSoakService(w, c, i, plan)
		w.people = append(w.people, c)
		w.plot(c)
	}
	w.happen()
	w.ntfy = ntfytest.New(ntfytest.Options{Now: w.time, Burst: 1000})
	w.topics = httptest.NewServer(w.killing(w.ntfy))
	w.server = httptest.NewServer(w.handler())
	t.Cleanup(func() {
		w.server.Close()
		w.topics.Close()
		w.killer.Wait()
	})
	return w
}

// time needs no lock: the services ask for it.
func (w *world) time() time.Time { return *w.now.Load() }

// wall is the time by which services count tokens and requests.
func (w *world) wall() time.Time { return w.time().Add(time.Duration(w.waited.Load())) }

func (w *world) at(after time.Duration, do func()) {
	w.events = append(w.events, soakEvent{w.begin.Add(after), do})
}

// upTo returns a random duration.
func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(d/time.Second)+1)) * time.Second
}

// plot decides what is to happen to a person's data: what comes late, and where they go, from the start; what is
// changed, when its time has come.
func (w *world) plot(c *citizen) {
	const day = 24 * time.Hour
	whole := time.Duration(w.plan.days) * day
	away := "America/New_York"
	if i := slices.Index(w.people, c); i%2 == 1 {
		away = "Asia/Tokyo"
	}
	c.trip = walking.Window{Start: w.begin.Add(whole*3/10 + w.upTo(day)), End: w.begin.Add(whole*6/10 + w.upTo(day))}
	c.Travel(c.trip.Start, zone(away))
	c.Travel(c.trip.End, c.Home())
	if c.config.Kind == "polar" { // which tells no zone
		c.config.Travel = []soakChange{{c.trip.Start, away}, {c.trip.End, c.config.Zone}}
	}
	for at := w.upTo(2 * day); at < whole; at += day + w.upTo(5*day) {
		from := w.begin.Add(at)
		until := from.Add(3 * time.Hour).Add(w.upTo(soakLate - 3*time.Hour))
		c.Late(walking.Window{Start: from, End: from.Add(10*time.Minute + w.upTo(5*time.Hour))}, until)
		w.count.late++
	}
	longest := min(3*day, whole/6)
	for at := day + w.upTo(3*day); at+longest < whole; at += longest + 3*day + w.upTo(5*day) {
		from := w.begin.Add(at)
		c.NoSync(walking.Window{Start: from, End: from.Add(2*time.Hour + w.upTo(longest-2*time.Hour))})
		w.count.offline++
	}
	for at := w.upTo(6 * time.Hour); at < whole; at += w.upTo(8 * time.Hour) {
		w.at(at, func() { w.edit(c) })
	}
	// Hours apart: an access token that is refused when it has only just been given needs the person.
	refusals := c.service.refusals
	for at, i := w.upTo(day), 0; at < whole; at, i = at+12*time.Hour+w.upTo(day), i+1 {
		w.at(at, refusals[i%len(refusals)])
	}
	for at := w.upTo(14 * day); at < whole; at += 7*day + w.upTo(14*day) {
		w.at(at, c.service.slow)
	}
}

// edit changes what the service knows of a person's past.
func (w *world) edit(c *citizen) {
	w.count.edits++
	from := w.time().Add(-time.Hour - w.upTo(soakLate-time.Hour))
	if w.random.IntN(5) == 0 {
		c.Delete(walking.Window{Start: from, End: from.Add(5*time.Minute + w.upTo(time.Hour))})
		return
	}
	points := c.Truth(walking.Window{Start: from.Add(-6 * time.Hour), End: from}, w.time())
	oldest := w.time().Add(-soakLate)
	points = slices.DeleteFunc(points, func(p simulate.Point) bool { return p.Start.Before(oldest) })
	for range min(len(points), 1+w.random.IntN(20)) {
		p := points[w.random.IntN(len(points))]
		steps := [...]int{0, p.Steps / 2, p.Steps + 7, 120}[w.random.IntN(4)]
		c.Correct(p.Start, steps)
	}
}

// happen plans what happens to everybody: faults, kills and the end of both. Every third day is free of faults,
// beginning with the second.
func (w *world) happen() {
	const day = 24 * time.Hour
	for d := range w.plan.days {
		faulty := d%3 != 1
		w.count.faulty = append(w.count.faulty, faulty)
		w.at(time.Duration(d)*day+time.Hour, func() {
			w.chance = 0
			if faulty {
				w.chance = 0.05 + 0.05*w.random.Float64()
			}
			for _, c := range w.people {
				c.service.clear()
				c.service.random(w.chance)
			}
			if faulty {
				w.ntfy.Fail(ntfytest.Fault(1 + w.random.IntN(int(ntfytest.Truncated))))
			}
		})
	}
	for at := w.upTo(w.plan.kills); at < time.Duration(w.plan.days)*day; at += w.plan.kills/2 + w.upTo(w.plan.kills) {
		w.at(at, func() { w.armed = 1 + w.random.IntN(12) })
	}
	w.events = append(w.events, soakEvent{w.quiet, func() {
		w.chance, w.armed = 0, 0
		for _, c := range w.people {
			c.service.clear()
		}
	}})
	slices.SortStableFunc(w.events, func(a, b soakEvent) int { return a.at.Compare(b.at) })
}

func (w *world) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /clock", func(rw http.ResponseWriter, r *http.Request) {
		to := r.FormValue("to")
		w.mu.Lock()
		defer w.mu.Unlock()
		if to != "" {
			at, err := time.Parse(time.RFC3339Nano, to)
			if err != nil {
				http.Error(rw, err.Error(), http.StatusBadRequest)
				return
			}
			w.moveTo(at)
		}
		fmt.Fprint(rw, w.time().Format(time.RFC3339Nano))
	})
	for _, c := range w.people {
		mux.Handle("/p/"+c.Name()+"/", http.StripPrefix("/p/"+c.Name(), w.counting(c, w.killing(w.failing(c)))))
	}
	return mux
}

// moveTo moves the clock and lets happen what is due by then. w.mu is held.
func (w *world) moveTo(at time.Time) {
	for len(w.events) > 0 && !w.events[0].at.After(at) {
		e := w.events[0]
		w.events = w.events[1:]
		if e.at.After(w.time()) {
			w.now.Store(&e.at)
		}
		e.do()
	}
	if at.After(w.time()) {
		w.now.Store(&at)
	}
}

// day returns the day of the soak that it is.
func (w *world) day() int { return int(w.time().Sub(w.begin) / (24 * time.Hour)) }

// counting counts a person's requests.
func (w *world) counting(c *citizen, next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		key := c.Name() + " " + r.Header.Get(soakPhase)
		n := w.count.requests[key]
		if n == nil {
			n = make([]int, w.plan.days+soakQuietDays+1)
			w.count.requests[key] = n
		}
		n[w.day()]++
		c.limit(r)
		w.mu.Unlock()
		next.ServeHTTP(rw, r)
	})
}

// limit counts the requests of polls as walkd is to limit them.
func (c *citizen) limit(r *http.Request) {
	id := r.Header.Get(soakID)
	again := id != "" && id == c.asked
	c.asked = id
	switch {
	case again:
		c.resent++
		return
	case r.Header.Get(soakPhase) != "poll":
		return
	}
	begin, err := time.Parse(time.RFC3339Nano, r.Header.Get(soakWindow))
	if err != nil {
		begin = time.Time{} // found by whoever looks at the windows
	}
	if c.windows == nil {
		c.windows = map[time.Time]int{}
	}
	c.windows[begin]++
}

// failing is a person's service. The faults of the API are its own; those of the token endpoint are made here, among
// them the worst: the token is renewed, and the answer lost.
func (w *world) failing(c *citizen) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != c.service.tokenPath || len(c.service.tokens) == 0 {
			c.service.ServeHTTP(rw, r)
			return
		}
		w.mu.Lock()
		fails := w.random.Float64() < w.chance
		breaks := c.service.tokens[w.random.IntN(len(c.service.tokens))]
		lost := w.random.IntN(4) == 0
		if fails {
			w.count.faults++
		}
		w.mu.Unlock()
		switch {
		case fails && lost:
			c.service.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case fails:
			breaks()
		}
		c.service.ServeHTTP(rw, r)
	})
}

// killing kills the process at work when its time has come: before it has its answer, or a while after.
func (w *world) killing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		now := w.armed == 1
		w.armed = max(0, w.armed-1)
		if !now {
			w.mu.Unlock()
			next.ServeHTTP(rw, r)
			return
		}
		when, spins, process := w.random.IntN(4), w.random.IntN(60_000_000), w.process
		w.mu.Unlock()
		if when == 0 {
			w.kill(process)
			return
		}
		next.ServeHTTP(rw, r)
		if when == 1 {
			w.kill(process)
			return
		}
		w.killer.Go(func() {
			n := 0
			for range spins {
				n++
			}
			w.mu.Lock()
			w.sink += n
			w.mu.Unlock()
			w.kill(process)
		})
	})
}

func (w *world) kill(process *exec.Cmd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process != process {
		return // it has gone by itself
	}
	w.killed = true
	w.count.kills++
	_ = process.Process.Kill() // it may be at its end
}

// run runs walkd until its time is over, again after each kill.
func (w *world) run(task string) {
	w.t.Helper()
	for {
		cmd := soakCommand(task)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &said
		w.mu.Lock()
		err := cmd.Start()
		w.process, w.killed = cmd, false
		w.mu.Unlock()
		if err != nil {
			w.t.Fatal(err)
		}
		err = cmd.Wait()
		w.mu.Lock()
		w.process = nil
		killed := w.killed
		w.mu.Unlock()
		if killed {
			continue
		}
		if err != nil {
			w.t.Fatalf("walkd ended at %s: %v\n%s", w.time(), err, tail(said.String()))
		}
		return
	}
}

func tail(text string) string { return text[max(0, len(text)-8000):] }
