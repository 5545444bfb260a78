package oura_test

import (
	"math"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/oura"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
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

// A rig is a simulated Oura with one person, and walkd's engine on a real store.
type rig struct {
	*pulltest.Rig
	service *ourasim.Service
	// what the store is not to have
	noClasses, noWorkouts bool
}

// A rigPlan says what is different.
type rigPlan struct {
	start  string // noon if ""
	days   int    // of the person's history; 5 if zero
	home   string
	plan   simulate.Plan
	option func(*ourasim.Options)
	// timeout of a request; 5 s if zero
	timeout time.Duration
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
	now := pulltest.NewClock(at(p.start))
	p.plan.Home = zoneOf(p.home)
	person := pulltest.NewPerson(t, p.plan, now.Now(), p.days)
	o := ourasim.Options{
		Now: now.Now, Wall: now.Now, ClientID: clientID, ClientSecret: clientSecret, Consent: pulltest.Who,
		RedirectURLs: []string{oura.Defaults().RedirectURL},
	}
	if p.option != nil {
		p.option(&o)
	}
	service := ourasim.New(o)
	service.Add(person)
	return &rig{service: service, Rig: pulltest.New(t, pulltest.Setup{
		Source: source(), Now: now, Service: service, Person: person, Timeout: p.timeout, Takes: time.Second,
	})}
}

// source is the ring of the person.
func source() pulltest.Source {
	return pulltest.Source{Name: "ring", Kind: "oura", Provider: func(base string, now *pulltest.Clock) ingest.Provider {
		return providerAt(base, now)
	}}
}

// settingsAt are those of a client of the service at base.
func settingsAt(base string) *oura.Settings {
	s := oura.Defaults()
	s.ClientID, s.ClientSecret, s.APIURL = clientID, clientSecret, base
	s.AuthURL = base + "/oauth/authorize"
	return s
}

// providerAt is the Oura at base, by the time of c.
func providerAt(base string, c *pulltest.Clock) *oura.Provider {
	p := settingsAt(base).Provider("ring").(*oura.Provider) //nolint:errcheck,forcetypeassert // a test may panic
	p.KeepTime(c.Now)
	return p
}

// asked returns how many requests each path has had since before.
func (r *rig) asked(before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range r.Since(before) {
		out[what[strings.LastIndex(what, "/")+1:]] += n
	}
	return out
}

// stored returns what the store has of the source.
func (r *rig) stored() walking.Input {
	r.T.Helper()
	inputs := r.Inputs(pulltest.Ever())
	if len(inputs) == 0 {
		return walking.Input{}
	}
	return inputs[0]
}

// A told day is what Oura says of one, or what the store has of it.
type toldDay struct {
	Date   string
	Steps  float64
	Unworn time.Duration
}

// days sums up what is stored of the days that a service tells of.
func days(docs []ourasim.Document, in walking.Input) []toldDay {
	var out []toldDay
	for _, doc := range docs {
		one := toldDay{Date: doc.Day.String()}
		w := walking.Window{Start: doc.Start, End: doc.End}
		for _, x := range in.Records {
			if w.Contains(x.Start.UTC()) {
				one.Steps += x.Steps
			}
		}
		for _, u := range in.Unworn {
			if from, to := later(u.Start, w.Start), earlier(u.End, w.End); to.After(from) {
				one.Unworn += to.Sub(from)
			}
		}
		out = append(out, one)
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// same compares what is stored with what the service told when walkd last asked it for data.
func (r *rig) same() {
	r.T.Helper()
	s, in := r.State(), r.stored()
	docs := r.service.Documents("ann", s.Data)
	if len(docs) == 0 {
		r.T.Fatal("the service tells nothing")
	}
	var (
		want    []toldDay
		through time.Time
		total   float64
	)
	for i, doc := range docs {
		one := toldDay{Date: doc.Day.String(), Steps: float64(doc.Steps)}
		known := strings.TrimRight(doc.Classes, "0")
		if known != "" {
			through = doc.Start.Add(time.Duration(len(known)) * 5 * time.Minute)
		}
		if i+1 < len(docs) && strings.Trim(docs[i+1].Classes, "0") != "" {
			known = doc.Classes
		}
		if !r.noClasses {
			known = known[:min(len(known), int(doc.End.Sub(doc.Start)/(5*time.Minute)))]
			one.Unworn = time.Duration(strings.Count(known, "0")) * 5 * time.Minute
		}
		want, total = append(want, one), total+one.Steps
	}
	if d := diff(want, days(docs, in)); d != "" {
		r.T.Errorf("days (-told +stored):\n%.3000s", d)
	}
	var all float64
	for _, x := range in.Records {
		all += x.Steps
		if x.Duration <= 5*time.Minute || x.Steps != math.Trunc(x.Steps) {
			r.T.Errorf("%g steps in a record of %s at %s", x.Steps, x.Duration, x.Start)
		}
	}
	if all != total || total == 0 {
		r.T.Errorf("%g steps are stored, %g are told", all, total)
	}
	var workouts []walking.Session
	for _, x := range r.service.Workouts("ann", s.Data) {
		if x.Source != "manual" && !r.noWorkouts {
			workouts = append(workouts, walking.Session{
				Start: x.Start, End: x.End, Moving: x.End.Sub(x.Start),
				Kind: map[string]walking.Kind{"walking": walking.Walk, "cycling": walking.Ride}[x.Activity],
			})
		}
	}
	if d := diff(workouts, in.Sessions); d != "" {
		r.T.Errorf("sessions (-told +stored):\n%.3000s", d)
	}
	if got := r.through(); !got.Equal(through) {
		r.T.Errorf("synced through %s, told through %s", got, through)
	}
}

// through returns up to when the stream is synced.
func (r *rig) through() time.Time {
	r.T.Helper()
	through := r.Stream().SyncedThrough
	if through.After(r.Now.Now()) {
		r.T.Errorf("synced through %s, which is yet to come", through)
	}
	return through
}
