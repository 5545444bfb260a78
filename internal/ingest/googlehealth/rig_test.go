package googlehealth_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

const (
	rigClient = "1234.apps.example"
	rigSecret = "GOCSPX-hush-hush-hush"
)

// A rig is a simulated Google Health with one person, and walkd's engine on a real store.
type rig struct {
	*pulltest.Rig
	service *healthsim.Service
}

// A rigPlan says what is different.
type rigPlan struct {
	start  string // noon if ""
	days   int    // of the person's history before today; 5 if zero
	full   bool   // there is a point for every minute
	life   *simulate.Life
	plan   simulate.Plan
	option func(*healthsim.Options)
}

const noon = "2026-11-20T11:03:20Z"

func newRig(t *testing.T, p rigPlan) *rig {
	t.Helper()
	now := pulltest.NewClock(at(cmp.Or(p.start, noon)))
	p.plan.Life, p.plan.Home = p.life, oslo
	person := pulltest.NewPerson(t, p.plan, now.Now(), cmp.Or(p.days, 5))
	o := healthsim.Options{
		Now: now.Now, Wall: now.Now, ClientID: rigClient, ClientSecret: rigSecret, Consent: pulltest.Who,
		RedirectURLs: []string{googlehealth.Defaults().RedirectURL},
	}
	if p.option != nil {
		p.option(&o)
	}
	if p.full {
		told := map[time.Time]bool{}
		w := walking.Window{Start: person.First().In(oslo), End: now.Now().AddDate(0, 0, 15)}
		for _, pt := range person.Truth(w, w.End) {
			told[pt.Start] = true
		}
		for t := w.Start; t.Before(w.End); t = t.Add(time.Minute) {
			if !told[t.UTC()] {
				person.Correct(t, 0)
			}
		}
	}
	service := healthsim.New(o)
	service.Add(person)
	return &rig{service: service, Rig: pulltest.New(t, pulltest.Setup{
		Source: source(), Now: now, Service: service, Person: person, Timeout: 20 * time.Second,
	})}
}

// source is the watch of the person.
func source() pulltest.Source {
	return pulltest.Source{Name: "watch", Kind: "google-health", Provider: func(base string, now *pulltest.Clock) ingest.Provider {
		return providerAt(base, now)
	}}
}

// provider is that of the account.
func (r *rig) provider() *googlehealth.Provider {
	return r.Accounts[0].Provider.(*googlehealth.Provider) //nolint:errcheck,forcetypeassert // a test may panic
}

// providerAt is the Google Health at base, by the time of c.
func providerAt(base string, c *pulltest.Clock) *googlehealth.Provider {
	s := googlehealth.Defaults()
	s.ClientID, s.ClientSecret, s.APIURL = rigClient, rigSecret, base
	s.AuthURL, s.TokenURL, s.RevokeURL = base+"/o/oauth2/v2/auth", base+"/token", base+"/revoke"
	p := s.Provider("watch").(*googlehealth.Provider) //nolint:errcheck,forcetypeassert // a test may panic
	p.KeepTime(c.Now)
	return p
}

// asked returns how many requests of each kind there have been since before.
func (r *rig) asked(before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range r.Since(before) {
		_, path, _ := strings.Cut(what, " ")
		path = strings.TrimPrefix(strings.TrimPrefix(path, "/v4/users/me/"), "dataTypes/")
		kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/dataPoints:reconcile")
		out[kind] += n
	}
	return out
}

// stored returns the steps of each minute that the store has, and its sessions.
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
			if x.Steps > 0 {
				steps[x.Start.UTC()] += x.Steps
			}
		}
	}
	return steps, sessions
}

// same compares what is stored with what the person has walked up to a time.
func (r *rig) same(until time.Time) {
	r.T.Helper()
	steps, sessions := r.stored()
	want := map[time.Time]float64{}
	w := walking.Window{Start: r.Person.First().In(time.UTC).Add(-24 * time.Hour), End: r.Now.Now()}
	for _, p := range r.Person.Truth(w, until) {
		if p.Steps > 0 {
			want[p.Start] = float64(p.Steps)
		}
	}
	if d := diff(want, steps); d != "" {
		r.T.Errorf("minutes (-walked +stored):\n%.3000s", d)
	}
	var walks []walking.Session
	for _, s := range r.Person.TrueSessions(w, until) {
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

// synced is up to when all is there, if the last poll has gone well.
func (r *rig) synced() time.Time { return r.Person.Synced(r.Now.Now()) }
