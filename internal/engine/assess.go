package engine

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// Nudging is what a person wants to be told, and where.
type Nudging struct {
	nudges.Settings
	Channels []string // the names of the person's channels
}

// Assess decides whether anything is worth saying to a person now, notes the decisions, and queues what is to be sent.
// Nobody hears anything whom Nudging does not name. The derived days have to be up to date.
func (e *Engine) Assess(ctx context.Context, personID int64) ([]nudges.Decision, error) {
	now := e.Clock.Now()
	p, err := e.Store.PersonByID(ctx, personID)
	if err != nil {
		return nil, err
	}
	wanted, ok := e.Nudging[p.Name]
	if !ok {
		return nil, nil
	}
	s, err := SituationOf(ctx, &e.Store.Reader, p.ID, wanted.Settings, now)
	if err != nil {
		return nil, err
	}
	if e.Puller != nil {
		s.Consents = consents(e.Puller.Consents(p.Name), now, WallClock{}.Now())
	}
	decisions := nudges.Decide(s)
	if err := e.Store.PutDecisions(ctx, p.ID, decisions, wanted.Channels, now); err != nil {
		return nil, err
	}
	if e.Courier != nil {
		e.Courier.Wake()
	}
	if e.Assessed != nil {
		e.Assessed(p, s, decisions)
	}
	return decisions, nil
}

// sentBack is how many days back the rules know of what was sent: as long as a message about a consent holds.
const sentBack = 4

// ConsentsOf returns how the consents of a person stand by what pull.States says of everybody; now and wall are when
// that was, on the domain clock and on the wall.
func ConsentsOf(states []pull.State, person string, now, wall time.Time) []nudges.ConsentState {
	var all []pull.Consent
	for _, s := range states {
		if s.Person == person && s.Connected {
			c := pull.Consent{Source: s.Source, Service: s.Service, Ends: s.ConsentEnds}
			if s.Phase == pull.NeedsConsent {
				c.Problem = s.Problem
			}
			all = append(all, c)
		}
	}
	return consents(all, now, wall)
}

func consents(all []pull.Consent, now, wall time.Time) []nudges.ConsentState {
	var out []nudges.ConsentState
	for _, c := range all {
		s := nudges.ConsentState{Source: c.Source, Service: c.Service}
		if !c.Ends.IsZero() {
			s.Ends = now.Add(c.Ends.Sub(wall))
		}
		if p := c.Problem; p != nil {
			s.Refused, s.Text, s.Remedy = p.Since, strings.TrimPrefix(p.Text, c.Service+": "), p.Remedy
			if i := strings.LastIndex(s.Text, ` ("`); i > 0 && strings.HasSuffix(s.Text, `")`) {
				s.Text = s.Text[:i] // the provider's own words are for those who look closer
			}
		}
		out = append(out, s)
	}
	return out
}

// SituationOf returns what the rules of nudges look at for a person at now, as of one state of the store.
func SituationOf(ctx context.Context, r *store.Reader, personID int64, settings nudges.Settings, now time.Time) (
	s nudges.Situation, err error,
) {
	err = r.Snapshot(ctx, func(r *store.Reader) error {
		p, err := r.PersonByID(ctx, personID)
		if err != nil {
			return err
		}
		today := p.Zones.Day(now)
		s = nudges.Situation{
			Now: now, Zones: p.Zones, Quiet: p.Quiet, Limited: p.Limited, Settings: settings,
			NotWorn: slices.Contains(p.NotWorn, today),
		}
		days, err := daysAt(ctx, r, p, today-6, today, now)
		if err != nil {
			return err
		}
		if n := len(days); n > 0 && days[n-1].Day == today {
			s.Today = days[n-1]
		}
		streams, err := r.Streams(ctx, p)
		if err != nil {
			return err
		}
		for _, st := range streams {
			if walking.Active(st.StreamKey, days) {
				s.Streams = append(s.Streams, st)
			}
		}
		if len(s.Streams) == 0 {
			s.Streams = streams // of somebody new
		}
		s.Sent, err = r.SentKeys(ctx, p.ID, today-sentBack)
		return err
	})
	return s, err
}
