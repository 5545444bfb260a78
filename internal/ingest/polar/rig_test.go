package polar_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/polar"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/polarsim"
	"github.com/walkd/walkd/internal/walking"
)

// A rig is a Puller on a real store, with a simulated Polar and one person in Berlin.
type rig struct {
	*pulltest.Rig
	service *polarsim.Service

	mu    sync.Mutex
	asked []string // for days, as "from to"
}

// A world is what differs between rigs.
type world struct {
	now     string
	plan    simulate.Plan
	service polarsim.Options
}

// distinct is a life in which no minute repeats the one before, so that nothing depends on how gaps are filled.
func distinct(t *testing.T) *simulate.Life {
	t.Helper()
	steps := make([]uint8, 24*60)
	for m := range steps {
		steps[m] = uint8(1 + m%70)
	}
	l, err := simulate.NewLife(steps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// strolls is a life of three walks a day at a steady pace, which takes tests little time.
func strolls(t *testing.T) *simulate.Life {
	t.Helper()
	const days = 9
	steps := make([]uint8, days*24*60)
	for d := range days {
		for i, start := range []int{7*60 + 50, 12*60 + 31, 17*60 + 5} {
			for m := range 12 + d + 3*i {
				steps[d*24*60+start+m] = uint8(85 + (d+m/3)%30) // some minutes repeat the one before
			}
		}
		steps[d*24*60+10*60+d], steps[d*24*60+22*60+5] = uint8(1+d), 12
	}
	l, err := simulate.NewLife(steps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// newRig returns a rig that is not connected yet.
func newRig(t *testing.T, w world) *rig {
	t.Helper()
	if w.now == "" {
		w.now = "2026-11-20T11:00:00Z"
	}
	now := pulltest.NewClock(at(w.now))
	if w.plan.Life == nil {
		w.plan.Life = strolls(t)
	}
	w.plan.Home = berlin.Home()
	person := pulltest.NewPerson(t, w.plan, now.Now(), 40)
	o := w.service
	o.Now, o.Wall, o.ClientID, o.ClientSecret, o.Consent = now.Now, now.Now, clientID, clientSecret, pulltest.Who
	o.RedirectURLs = []string{polar.Defaults().RedirectURL}
	service := polarsim.New(o)
	service.Add(person)
	r := &rig{service: service, Rig: pulltest.New(t, pulltest.Setup{
		Source: source(), Now: now, Service: service, Person: person, Timeout: time.Second, Fresh: true,
	})}
	t.Cleanup(r.Quiet)
	hook := func(_ http.ResponseWriter, q *http.Request) bool {
		if from := q.URL.Query().Get("from"); from != "" {
			r.mu.Lock()
			r.asked = append(r.asked, from+" "+q.URL.Query().Get("to"))
			r.mu.Unlock()
		}
		return false
	}
	r.Hook.Store(&hook)
	return r
}

// source is the watch of the person.
func source() pulltest.Source {
	return pulltest.Source{Name: "watch", Kind: "polar", Provider: func(base string, _ *pulltest.Clock) ingest.Provider {
		return providerAt(base, clientID)
	}}
}

// providerAt is the Polar at base, for a client.
func providerAt(base, client string) *polar.Provider {
	s := polar.Defaults()
	s.ClientID, s.ClientSecret = client, clientSecret
	s.APIURL, s.AuthURL, s.TokenURL = base, base+"/oauth2/authorization", base+tokenPath
	return s.Provider("watch").(*polar.Provider) //nolint:errcheck,forcetypeassert // a test may panic
}

// configure tells walkd of journeys.
func (r *rig) configure(travel ...walking.ZoneChange) error {
	r.Travel = travel
	return r.Configure()
}

// connected returns a rig that is connected, whose person was a user before there was anything to tell.
func connected(t *testing.T, w world) *rig {
	t.Helper()
	r := newRig(t, w)
	r.service.Grant("ann")
	if _, err := r.TryConnect(0); err != nil {
		t.Fatal(err)
	}
	return r
}

// live polls as the daemon does until an instant, inclusive.
func (r *rig) live(until time.Time) {
	r.T.Helper()
	for {
		next := r.MustPoll()
		if next.After(until) {
			r.Now.Set(until)
			return
		}
		if !next.After(r.Now.Now()) {
			next = r.Now.Now().Add(time.Second)
		}
		r.Now.Set(next)
	}
}

// jump polls at an instant, as after a machine has slept.
func (r *rig) jump(to time.Time) {
	r.T.Helper()
	r.Now.Set(to)
	r.MustPoll()
}

// backfill backfills all there is, and lets some time go by between two rounds.
func (r *rig) backfill(pause time.Duration) {
	r.T.Helper()
	for {
		more, err := r.Backfill(r.T.Context())
		if err != nil {
			r.T.Fatal(err)
		}
		if !more {
			return
		}
		r.Now.Add(pause)
	}
}

// questions returns what days were asked for since it was last called.
func (r *rig) questions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.asked
	r.asked = nil
	return out
}

// all is the time of which there can be anything.
func (r *rig) all() walking.Window {
	return walking.Window{Start: at("2020-01-01T00:00:00Z"), End: r.Now.Now()}
}

// stored returns what is stored in w: steps by minute, and sessions.
func (r *rig) stored(w walking.Window) (map[string]float64, []string) {
	r.T.Helper()
	steps := map[string]float64{}
	var sessions []string
	for _, in := range r.Inputs(w) {
		for _, x := range in.Records {
			if w.Contains(x.Start) {
				steps[fmt.Sprint(x.Start.UTC().Format(time.RFC3339), " ", x.Duration)] += x.Steps
			}
		}
		for _, x := range in.Sessions {
			if w.Contains(x.Start) {
				sessions = append(sessions, line(x.Start, x.End, x.Kind))
			}
		}
	}
	slices.Sort(sessions)
	return steps, sessions
}

func line(start, end time.Time, k walking.Kind) string {
	return fmt.Sprint(start.UTC().Format(time.RFC3339), " ", end.Sub(start), " ", k)
}

// same compares what is stored from a day on with what the service knows. Exercises are kept there for 30 days.
func (r *rig) same(first walking.Day) {
	r.T.Helper()
	now := r.Now.Now()
	w := walking.Window{Start: r.Person.Zones().Spans(first)[0].Start, End: now}
	want := map[string]float64{}
	for _, pt := range r.Person.Points(w, now) {
		if pt.Steps > 0 {
			want[fmt.Sprint(pt.Start.UTC().Format(time.RFC3339), " 1m0s")] = float64(pt.Steps)
		}
	}
	if len(want) < 50 {
		r.T.Fatalf("the person has walked in %d minutes", len(want))
	}
	steps, _ := r.stored(w)
	if !maps.Equal(want, steps) {
		d := diff(want, steps)
		r.T.Errorf("%d minutes are stored, want %d (-want +got):\n%.1500s", len(steps), len(want), d)
	}
	if kept := now.Add(-28 * 24 * time.Hour); w.Start.Before(kept) {
		w.Start = kept
	}
	var exercises []string
	for _, x := range r.Person.Sessions(w, now) {
		exercises = append(exercises, line(x.Start, x.End, map[string]walking.Kind{"WALKING": walking.Walk, "BIKING": walking.Ride}[x.Type]))
	}
	slices.Sort(exercises)
	_, sessions := r.stored(w)
	if d := diff(exercises, sessions); d != "" {
		r.T.Errorf("exercises (-want +got):\n%.1500s", d)
	}
}
