package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// sourceStates returns how the sources on the network fare.
func (a *app) sourceStates(ctx context.Context, r *store.Reader, s settings) ([]pull.State, error) {
	return pull.States(ctx, r, accounts(s), a.now(), engine.WallClock{}.Now())
}

// statesOf returns those of one person.
func statesOf(all []pull.State, person string) []pull.State {
	var out []pull.State
	for _, s := range all {
		if s.Person == person {
			out = append(out, s)
		}
	}
	return out
}

// fine reports whether a source needs nothing of anybody.
func fine(s pull.State) bool {
	return s.Phase == pull.OK || s.Phase == pull.Waiting || s.Phase == pull.NeverAsked && s.Connected
}

// stateText says in one sentence how a source fares. zones are the person's.
func stateText(s pull.State, zones walking.Timeline, now time.Time) string {
	at := func(t time.Time) string {
		local, today := t.In(zones.At(t)), now.In(zones.At(now))
		if local.Format(time.DateOnly) == today.Format(time.DateOnly) {
			return local.Format("15:04")
		}
		return local.Format("2 Jan 15:04")
	}
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case s.Phase == pull.NeverAsked:
		add("not asked yet")
	case s.Phase == pull.Waiting:
		add("the device has not synced for a day")
	case s.Phase != pull.OK:
		add("%s", s.Phase)
	}
	if !s.Synced.IsZero() {
		add("device synced %s (%s)", at(s.Synced), ago(now.Sub(s.Synced)))
	}
	if !s.Success.IsZero() {
		add("last success %s", at(s.Success))
	}
	switch {
	case s.Next.IsZero():
	case s.Next.After(now):
		add("next look %s", at(s.Next))
	default:
		add("next look due")
	}
	if b := s.Backfill; b != nil && !b.Done {
		add("history back to %s so far", b.Reached)
	}
	return strings.Join(parts, ", ")
}

// problemText says what is wrong with a source and what to do; "" if nothing is.
func problemText(s pull.State) string {
	if s.Problem == nil {
		return ""
	}
	if remedy := remedyOf(s.Problem); remedy != "" {
		return s.Problem.Text + ": " + remedy
	}
	return s.Problem.Text
}

// remedyOf says what to do about a problem; "" if nobody knows.
func remedyOf(p *pull.Problem) string {
	if p.Remedy != "" && p.Class == ingest.Permanent { // which is tried again by itself some hours later only
		return p.Remedy + ", then run `walkd sync`"
	}
	if p.Remedy == "" && (p.Class == ingest.Transient || p.Class == ingest.Throttled) {
		return "walkd run asks again by itself"
	}
	return p.Remedy
}

// budgetText says what is left of the limits of a source, the scarcest first.
func budgetText(s pull.State) string {
	var parts []string
	for _, l := range s.BudgetLeft {
		parts = append(parts, fmt.Sprintf("%d of %d (%s)", l.Left, l.Of, l.Name))
	}
	return strings.Join(parts, ", ")
}

// offText tells of days that do not add up to what the provider says; "" if there are none.
func offText(s pull.State) string {
	if len(s.Off) == 0 {
		return ""
	}
	o := s.Off[0]
	text := fmt.Sprintf("%s has %.0f steps by its records and %.0f by %s's own sum", o.Day, o.Stored, o.Told, s.Service)
	if n := len(s.Off) - 1; n > 0 {
		text += fmt.Sprintf(", and %s more differ by over 5 %%", count(n, "day"))
	}
	return fmt.Sprintf("%s: `walkd sync %s --from %s` fetches them again; if it stays, one of the two is wrong at %s", text,
		s.Source, s.Off[len(s.Off)-1].Day, s.Service)
}

// endingText announces a consent that will end by itself within days; "" if it does not.
func endingText(s pull.State, wall time.Time) string {
	if !endsSoon(s, wall) {
		return ""
	}
	return fmt.Sprintf("the consent ends on %s: run `walkd connect %s` before", s.ConsentEnds.Local().Format("2 January 15:04"),
		s.Source)
}

// endsSoon reports whether a consent ends by itself within two days.
func endsSoon(s pull.State, wall time.Time) bool {
	return !s.ConsentEnds.IsZero() && s.Connected && s.ConsentEnds.Sub(wall) <= 48*time.Hour
}

// A sourceJSON is how a source fares as `walkd today --json` hands it out.
type sourceJSON struct {
	Source      string     `json:"source"`
	Kind        string     `json:"kind"`
	Phase       string     `json:"phase"`
	Connected   bool       `json:"connected"`
	Synced      *time.Time `json:"synced"`
	Success     *time.Time `json:"last_success"`
	Next        *time.Time `json:"next_try"`
	Problem     string     `json:"problem"`
	Remedy      string     `json:"remedy"`
	ConsentEnds *time.Time `json:"consent_ends"`
	Budget      []leftJSON `json:"requests_left"`
	Off         []offJSON  `json:"days_off"`
}

type leftJSON struct {
	Limit string `json:"limit"`
	Left  int    `json:"left"`
	Of    int    `json:"of"`
}

// An offJSON is a day that does not add up to what the provider says.
type offJSON struct {
	Date        string  `json:"date"`
	Steps       float64 `json:"steps"`
	ServiceSays float64 `json:"service_says"`
}

func exportState(s pull.State, zones walking.Timeline) sourceJSON {
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.In(zones.At(t))
		return &t
	}
	out := sourceJSON{
		Source: s.Source, Kind: s.Kind, Phase: string(s.Phase), Connected: s.Connected, Synced: at(s.Synced),
		Success: at(s.Success), Next: at(s.Next), ConsentEnds: at(s.ConsentEnds), Budget: []leftJSON{},
		Off: []offJSON{},
	}
	for _, o := range s.Off {
		out.Off = append(out.Off, offJSON{o.Day.String(), o.Stored, o.Told})
	}
	if s.Problem != nil {
		out.Problem, out.Remedy = s.Problem.Text, remedyOf(s.Problem)
	}
	for _, l := range s.BudgetLeft {
		out.Budget = append(out.Budget, leftJSON{l.Name, l.Left, l.Of})
	}
	return out
}
