package withings_test

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/withings"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/withingssim"
	"github.com/walkd/walkd/internal/walking"
)

const (
	clientID     = "9f3b1c"
	clientSecret = "hush-hush-hush"
)

// diff compares.
func diff(want, got any) string { return gocmp.Diff(want, got) }

func at(text string) time.Time { return pulltest.At(text) }

func zoneOf(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

// A rig is a simulated Withings with one person, and walkd's engine on a real store.
type rig struct {
	*pulltest.Rig
	service *withingssim.Service
}

// A rigPlan says what is different.
type rigPlan struct {
	start  string // noon if ""
	days   int    // of the person's history; 5 if zero
	home   string
	plan   simulate.Plan
	option func(*withingssim.Options)
	// timeout of a request; 5 s if zero
	timeout time.Duration
}

// strolls is a life of three walks a day and a few more steps, which takes tests little time. Every other day one of the
// walks is at a pace at which it is recorded.
func strolls(t *testing.T) *simulate.Life {
	t.Helper()
	const days, minutes = 10, 24 * 60
	steps := make([]uint8, days*minutes)
	for d := range days {
		for i, start := range []int{7*60 + 40, 12*60 + 12, 17*60 + 25} {
			for m := range 11 + 2*d + 5*i {
				steps[d*minutes+start+m] = uint8(55 + d + m%15)
				if i == 2 && d%2 == 0 {
					steps[d*minutes+start+m] = uint8(82 + d + m%25)
				}
			}
		}
		for m := range 40 {
			steps[d*minutes+9*60+17*m] = uint8(1 + (d+m)%35)
		}
	}
	l, err := simulate.NewLife(steps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const noon = "2026-11-20T11:03:20Z"

func newRig(t *testing.T, p rigPlan) *rig {
	t.Helper()
	if p.start == "" {
		p.start = noon
	}
	if p.home == "" {
		p.home = "Europe/Oslo"
	}
	if p.days == 0 {
		p.days = 5
	}
	if p.plan.Life == nil {
		p.plan.Life = strolls(t)
	}
	now := pulltest.NewClock(at(p.start))
	p.plan.Home = zoneOf(p.home)
	person := pulltest.NewPerson(t, p.plan, now.Now(), p.days)
	o := withingssim.Options{
		Now: now.Now, Wall: now.Now, ClientID: clientID, ClientSecret: clientSecret, Consent: pulltest.Who,
		RedirectURLs: []string{withings.Defaults().RedirectURL},
	}
	if p.option != nil {
		p.option(&o)
	}
	service := withingssim.New(o)
	service.Add(person)
	return &rig{service: service, Rig: pulltest.New(t, pulltest.Setup{
		Source: source(), Now: now, Service: service, Person: person, Timeout: p.timeout, Takes: time.Second,
	})}
}

// source is the watch of the person.
func source() pulltest.Source {
	return pulltest.Source{Name: "watch", Kind: "withings", Provider: func(base string, now *pulltest.Clock) ingest.Provider {
		return providerAt(base, now)
	}}
}

// settingsAt are those of a client of the service at base.
func settingsAt(base string) *withings.Settings {
	s := withings.Defaults()
	s.ClientID, s.ClientSecret, s.APIURL = clientID, clientSecret, base
	s.AuthURL = base + "/oauth2_user/authorize2"
	return s
}

// providerAt is the Withings at base, by the time of c.
func providerAt(base string, c withings.Clock) *withings.Provider {
	p := settingsAt(base).Provider("watch").(*withings.Provider) //nolint:errcheck,forcetypeassert // a test may panic
	p.KeepTime(c)
	return p
}

// asked returns how many requests each kind has had since before.
func (r *rig) asked(before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range r.Since(before) {
		if i := strings.Index(what, "/"); i >= 0 && !strings.Contains(what, "authorize") {
			_, action, _ := strings.Cut(what[i:], " ")
			out[action] += n
		}
	}
	return out
}

// stored returns what the store has of the source.
func (r *rig) stored() (map[time.Time]float64, []walking.Session) {
	r.T.Helper()
	steps := map[time.Time]float64{}
	var sessions []walking.Session
	for _, in := range r.Inputs(pulltest.Ever()) {
		sessions = append(sessions, in.Sessions...)
		for _, x := range in.Records {
			if x.Duration != time.Minute {
				r.T.Errorf("a record of %s at %s", x.Duration, x.Start)
			}
			steps[x.Start.UTC()] += x.Steps
		}
	}
	return steps, sessions
}

// same compares what is stored with what the person has walked up to the sync that the last poll has seen.
func (r *rig) same() {
	r.T.Helper()
	steps, sessions := r.stored()
	want := map[time.Time]float64{}
	w := walking.Window{Start: r.Person.First().In(time.UTC).Add(-24 * time.Hour), End: r.Now.Now()}
	synced := r.State().Synced
	for _, p := range r.Person.Truth(w, synced) {
		want[p.Start] = float64(p.Steps)
	}
	if d := diff(want, steps); d != "" {
		r.T.Errorf("minutes (-walked +stored):\n%.3000s", d)
	}
	var walks []walking.Session
	for _, s := range r.Person.TrueSessions(w, synced) {
		kind := map[string]walking.Kind{"WALKING": walking.Walk, "BIKING": walking.Ride}[s.Type]
		walks = append(walks, walking.Session{
			Start: s.Start, End: s.End, Moving: s.End.Sub(s.Start), Kind: kind,
			Steps: float64(s.Steps), HasSteps: kind == walking.Walk,
		})
	}
	if d := diff(walks, sessions); d != "" {
		r.T.Errorf("sessions (-walked +stored):\n%.3000s", d)
	}
	if len(want) == 0 {
		r.T.Error("nothing was walked")
	}
}
