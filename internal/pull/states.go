package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
)

// silence is how long a device can be without a sync before that is worth a word.
const silence = 24 * time.Hour

// States returns how the accounts fare at now, on the domain clock, and wall, in their order. It only reads, so that any
// process can ask.
func States(ctx context.Context, r *store.Reader, accounts []Config, now, wall time.Time) ([]State, error) {
	people, err := r.Persons(ctx)
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	kept, err := r.Accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	usages, err := r.Usages(ctx)
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	persons, stored := map[string]store.Person{}, map[store.AccountKey]store.Account{}
	for _, p := range people {
		persons[p.Name] = p
	}
	for _, a := range kept {
		stored[a.AccountKey] = a
	}
	used := map[[2]string]store.Usage{}
	for _, u := range usages {
		used[[2]string{u.Key, u.Name}] = u
	}
	several := severalPeople(accounts)
	out := make([]State, 0, len(accounts))
	for _, c := range accounts {
		person := persons[c.Person]
		a := stored[store.AccountKey{PersonID: person.ID, Source: c.Source}]
		if a.Kind != c.Kind {
			a = store.Account{} // of another provider
		}
		s, err := stateOf(c, person, a, connectCommand(c, several), now, wall)
		if err != nil {
			return nil, err
		}
		for _, l := range limitsOf(c, specOf(c), ownKey(person.ID, c.Source), DefaultDaily) {
			u := used[[2]string{l.Key, l.Name}]
			u.Per = l.Per
			left := Left{Name: l.Name, Left: max(0, l.Requests-u.At(wall)), Of: l.Requests}
			if left.Left < left.Of {
				left.Until = u.Begin.Add(u.Per)
				if u.ToldUntil.After(left.Until) {
					left.Until = u.ToldUntil
				}
			}
			s.BudgetLeft = append(s.BudgetLeft, left)
		}
		out = append(out, s)
	}
	return out, nil
}

func severalPeople(accounts []Config) bool {
	for _, c := range accounts {
		if c.Person != accounts[0].Person {
			return true
		}
	}
	return false
}

func stateOf(c Config, person store.Person, a store.Account, connect string, now, wall time.Time) (State, error) {
	var m memory
	if len(a.State) > 0 {
		if err := json.Unmarshal(a.State, &m); err != nil {
			return State{}, fmt.Errorf("pull: state of %s/%s: %w", c.Person, c.Source, err)
		}
	}
	spec := specOf(c)
	auth, _ := c.Provider.(ingest.Authorizer)
	s := State{
		Person: c.Person, Source: c.Source, Kind: c.Kind, Service: spec.Service, Connected: auth == nil || a.Connected,
		Synced: m.Probed, Success: m.Success, Data: m.Data, Problem: m.Problem, ConsentEnds: ends(a.Token),
	}
	s.Off = slices.Clone(m.Off)
	slices.Reverse(s.Off)
	if h := m.History; h != nil {
		s.Backfill = &BackfillState{Reached: h.From, Earliest: spec.Earliest, Done: h.complete()}
		if s.Problem == nil {
			s.Problem = h.Problem
		}
	}
	if s.Connected && m.refused(auth) == nil {
		s.Next = nextPoll(rhythmOf(c, spec, person, m, DefaultDaily, wall), m, auth, now, wall)
	}
	switch {
	case !s.Connected:
		s.Phase = NeedsConsent
		s.Problem = &Problem{Class: ingest.Auth, Text: notConnected(c).Error(), Remedy: connect, Since: now}
	case m.refused(auth) != nil:
		s.Phase = NeedsConsent
	case m.Problem != nil && m.Problem.Class == ingest.Throttled:
		s.Phase = Throttled
	case m.Problem != nil:
		s.Phase = Failing
	case m.Success.IsZero():
		s.Phase = NeverAsked
	case !m.Probed.IsZero() && now.Sub(m.Probed) > silence:
		s.Phase = Waiting
	default:
		s.Phase = OK
	}
	return s, nil
}

func ownKey(personID int64, source string) string { return fmt.Sprintf("%d/%s", personID, source) }

// isBroken reports whether err is nobody's failure: the store is broken, or ctx has ended.
func isBroken(ctx context.Context, err error) bool {
	return errors.As(err, new(*storeError)) || err != nil && ctx.Err() != nil
}
