package main

import (
	"context"
	"time"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/web"
)

// statusDays is how many days the status page shows, statusNudges how many decisions of the last days.
const (
	statusDays   = 28
	statusNudges = 6
)

// statusPage returns what the status page of a daemon shows. note and refresh are those of web.Status.
func statusPage(e *engine.Engine, note string, refresh time.Duration) func(context.Context) (web.Status, error) {
	return func(ctx context.Context) (web.Status, error) {
		out := web.Status{Note: note, Refresh: refresh}
		now := e.Clock.Now()
		people, err := e.Store.Persons(ctx)
		if err != nil {
			return out, err
		}
		states, err := pull.States(ctx, &e.Store.Reader, e.Accounts, now, engine.WallClock{}.Now())
		if err != nil {
			return out, err
		}
		for _, p := range people {
			s, err := personStatus(ctx, &e.Store.Reader, p, now)
			if err != nil {
				return out, err
			}
			for _, state := range statesOf(states, p.Name) {
				s.Sources = append(s.Sources, sourceStatus(state))
			}
			out.People = append(out.People, s)
		}
		return out, nil
	}
}

func personStatus(ctx context.Context, r *store.Reader, p store.Person, now time.Time) (web.PersonStatus, error) {
	view, err := todayOf(ctx, r, p, now)
	if err != nil {
		return web.PersonStatus{}, err
	}
	s := web.PersonStatus{Name: p.Name, Limited: p.Limited, Now: view.Now, Through: view.Through, Today: view.Today}
	if s.Days, err = engine.Days(ctx, r, p, view.Today.Day-statusDays+1, view.Today.Day, now); err != nil {
		return s, err
	}
	told, err := r.NudgeLog(ctx, p.ID, now.Add(-72*time.Hour), now.Add(time.Second))
	for i, n := range told {
		if i == statusNudges {
			break
		}
		shown := web.NudgeStatus{
			At: n.At, Rule: string(n.Rule), Sent: n.Send, Reason: string(n.Reason), Why: n.Why, Title: n.Title, Body: n.Body,
		}
		for _, d := range n.Deliveries {
			shown.Deliveries = append(shown.Deliveries, deliveryText(d, p.Zones))
		}
		s.Nudges = append(s.Nudges, shown)
	}
	return s, err
}

func sourceStatus(s pull.State) web.SourceStatus {
	out := web.SourceStatus{
		Name: s.Source, Service: s.Service, Phase: string(s.Phase), Fine: fine(s), Synced: s.Synced, Success: s.Success,
		Next: s.Next, Budget: budgetText(s),
	}
	if s.Problem != nil {
		out.Text, out.Remedy = s.Problem.Text, remedyOf(s.Problem)
	}
	if b := s.Backfill; b != nil && !b.Done {
		out.Backfill = "history back to " + b.Reached.String() + " so far"
	}
	return out
}
