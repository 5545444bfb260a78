package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/ingest"
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
		wall := engine.WallClock{}.Now()
		states, err := pull.States(ctx, &e.Store.Reader, e.Accounts, now, wall)
		if err != nil {
			return out, err
		}
		connectable := connectableSources(e.Accounts)
		for _, p := range people {
			s, err := personStatus(ctx, &e.Store.Reader, p, now)
			if err != nil {
				return out, err
			}
			for _, state := range statesOf(states, p.Name) {
				can := slices.ContainsFunc(connectable, func(c web.Source) bool { return c.Person == p.Name && c.Name == state.Source })
				s.Sources = append(s.Sources, sourceStatus(state, can, s.Now, wall))
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

// sourceStatus returns what the status page says of a source at now, on the domain clock and in the person's zone, and
// wall. can says whether the page can connect it.
func sourceStatus(s pull.State, can bool, now, wall time.Time) web.SourceStatus {
	out := web.SourceStatus{
		Name: s.Source, Service: s.Service, Phase: string(s.Phase), Fine: fine(s), Synced: s.Synced, Success: s.Success,
		Next: s.Next, Budget: budgetText(s),
	}
	switch {
	case can && s.Phase == pull.NeedsConsent:
		out.Consent = web.ConsentNeeded
	case can:
		out.Consent = web.ConsentGiven
	}
	if endsSoon(s, wall) {
		out.Ends = s.ConsentEnds
	}
	switch p := s.Problem; {
	case p != nil:
		out.Text, out.Remedy = p.Text, strings.Replace(remedyOf(p), "walkd run asks", "walkd asks", 1) // it does run
		if !s.Connected {
			out.Text = "it is not connected yet"
		}
		switch command := strings.HasPrefix(out.Remedy, "run `walkd connect "); {
		case out.Consent != web.ConsentNeeded:
		case command:
			out.Remedy = "connect it above, or " + out.Remedy
		default:
			out.Consent = web.ConsentBlocked
		}
	case s.Phase == pull.NeverAsked:
		out.Text = "it is connected, and asked for the first time within a minute"
	case s.Phase == pull.Waiting:
		out.Text = fmt.Sprintf("%s answers, but your device has not sent it anything for %d hours", s.Service,
			int(now.Sub(s.Synced).Hours()))
		out.Remedy = "open the device's app on your phone, and let the two sync"
	}
	if out.Text == "" {
		out.Text = offText(s)
	}
	if b := s.Backfill; b != nil && !b.Done {
		out.Backfill = "history back to " + b.Reached.String() + " so far"
	}
	return out
}

// connectableSources returns the accounts that a person can connect on the pages.
func connectableSources(all []pull.Config) []web.Source {
	var out []web.Source
	for _, c := range all {
		if _, ok := c.Provider.(ingest.Authorizer); ok {
			out = append(out, web.Source{Person: c.Person, Name: c.Source, Service: cmp.Or(c.Provider.Spec().Service, c.Kind)})
		}
	}
	return out
}

// connecting lets the pages connect sources. What a browser has brought is finished until ctx ends, also if the browser
// leaves: the code is good once.
func connecting(ctx context.Context, e *engine.Engine, s settings) *web.Connecting {
	sources := connectableSources(e.Accounts)
	if len(sources) == 0 {
		return nil
	}
	return &web.Connecting{
		Sources: sources,
		Begin: func(ctx context.Context, person, source string) (web.Connection, error) {
			c, err := e.BeginConnect(ctx, person, source)
			return web.Connection{URL: c.URL, Redirect: c.Redirect, State: c.State}, err
		},
		Finish: func(_ context.Context, redirected string) (web.Connected, error) {
			ctx, cancel := context.WithTimeout(ctx, finishTime)
			defer cancel()
			c, err := e.FinishConnect(ctx, redirected)
			if err != nil && ctx.Err() != nil {
				err = fmt.Errorf("no answer within %s: connect again", finishTime)
			}
			return web.Connected{Person: c.Person, Source: c.Source, Service: c.Service, Notes: connectedNotes(s, c)}, err
		},
	}
}

// finishTime is how long a provider may take to turn a code into a token. The browser waits for it.
const finishTime = 45 * time.Second
