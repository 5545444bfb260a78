package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

func (a *app) nudgesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "nudges",
		Short: "What walkd has told you and why, and what it would say now",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.nudgesLogCommand(), a.nudgesPreviewCommand())
	return c
}

// logDays is how many days `walkd nudges log` shows if it is not told.
const logDays = 7

func (a *app) nudgesLogCommand() *cobra.Command {
	var (
		person   string
		from, to dayFlag
		asJSON   bool
	)
	c := &cobra.Command{
		Use:   "log",
		Short: "What was sent, what was not, and why",
		Long: `The decisions of the last seven days, the newest first: what was sent and how it
was delivered, and why nothing was sent. A decision stands there once as long as
its reason stays the same.

The JSON is an array of person, at (RFC 3339), date, rule, send, reason, why,
title, body (empty for silence) and deliveries (channel, outcome, attempts,
problem; outcome is empty while the message is on its way).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.nudgesLog(cmd.Context(), person, from, to, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&person, "person", "", "only those of `NAME`")
	f.Var(&from, "from", "from this `DATE` on")
	f.Var(&to, "to", "up to this `DATE`, inclusive")
	f.BoolVar(&asJSON, "json", false, "one JSON array")
	return c
}

// A nudgeJSON is a decision as `walkd nudges log --json` and `preview --json` hand it out.
type nudgeJSON struct {
	Person     string         `json:"person"`
	At         time.Time      `json:"at"`
	Date       string         `json:"date"`
	Rule       string         `json:"rule"`
	Send       bool           `json:"send"`
	Reason     string         `json:"reason"`
	Why        string         `json:"why"`
	Title      string         `json:"title"`
	Body       string         `json:"body"`
	Deliveries []deliveryJSON `json:"deliveries"`
}

type deliveryJSON struct {
	Channel  string `json:"channel"`
	Outcome  string `json:"outcome"`
	Attempts int    `json:"attempts"`
	Problem  string `json:"problem"`
}

func exportNudge(p store.Person, e store.NudgeEntry) nudgeJSON {
	n := nudgeJSON{
		Person: p.Name, At: e.At.In(p.Zones.At(e.At)), Date: e.Day.String(), Rule: string(e.Rule), Send: e.Send,
		Reason: string(e.Reason), Why: e.Why, Title: e.Title, Body: e.Body, Deliveries: []deliveryJSON{},
	}
	for _, d := range e.Deliveries {
		n.Deliveries = append(n.Deliveries, deliveryJSON{d.Channel, string(d.Outcome), d.Attempts, d.Problem})
	}
	return n
}

func (a *app) nudgesLog(ctx context.Context, person string, from, to dayFlag, asJSON bool) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	r, err := a.openReader(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	chosen, err := people(ctx, r, person)
	if err != nil {
		return err
	}
	now := a.now()
	out := []nudgeJSON{}
	for _, p := range chosen {
		first, last := p.Zones.Day(now)-logDays+1, p.Zones.Day(now)
		if to.set {
			first, last = to.day-logDays+1, to.day
		}
		if from.set {
			first = from.day
		}
		if last < first {
			return usagef("--to %s is before --from %s", last, first)
		}
		// Wider than the days are in any zone.
		entries, err := r.NudgeLog(ctx, p.ID, (first - 2).In(time.UTC), (last + 3).In(time.UTC))
		if err != nil {
			return err
		}
		for _, e := range entries {
			switch {
			case e.Day < first || e.Day > last:
			case asJSON:
				out = append(out, exportNudge(p, e))
			default:
				writeNudge(a.stdout, p, e, len(chosen) > 1, a.style())
				out = append(out, nudgeJSON{})
			}
		}
	}
	if asJSON {
		return writeJSON(a.stdout, out)
	}
	if len(out) == 0 {
		fmt.Fprintln(a.stderr, "nothing was decided in these days: nudges need a source that is pulled, see `walkd connect --help`")
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeNudge writes a decision and what became of it.
func writeNudge(w io.Writer, p store.Person, e store.NudgeEntry, several bool, s style) {
	whose := ""
	if several {
		whose = printable(p.Name) + "  "
	}
	when := e.At.In(p.Zones.At(e.At)).Format("Mon 2006-01-02 15:04")
	what := "nothing sent: " + string(e.Reason)
	if e.Send {
		what = s.strong(e.Title)
	}
	fmt.Fprintf(w, "%s  %s%s  %s\n", when, whose, e.Rule, what)
	lines := []string{e.Why}
	if e.Send {
		lines = []string{e.Body, "Why: " + e.Why}
	}
	for _, text := range lines {
		for _, l := range wrap(text, s.columns()-len(indent)) {
			fmt.Fprintln(w, indent+s.faint(l))
		}
	}
	for _, d := range e.Deliveries {
		fmt.Fprintln(w, indent+s.faint(deliveryText(d, p.Zones)))
	}
}

// deliveryText says how far a message has come on one channel.
func deliveryText(d store.DeliveryState, zones walking.Timeline) string {
	at := func(t time.Time) string { return t.In(zones.At(t)).Format("15:04") }
	text := d.Channel + ": "
	switch {
	case d.Outcome == "" && d.Attempts == 0:
		return text + "on its way"
	case d.Outcome == "":
		return text + "being sent"
	case d.Outcome == notify.Delivered:
		return text + "delivered " + at(d.Ended)
	case d.Outcome == notify.Unknown && d.Due.IsZero():
		text += "sent, but the answer was lost"
	case d.Outcome == notify.Expired:
		text += "not delivered in time"
	case !d.Due.IsZero():
		text += "to be tried again at " + at(d.Due)
	default:
		text += "not delivered"
	}
	if d.Problem != "" {
		text += ": " + d.Problem
	}
	return text
}

func (a *app) nudgesPreviewCommand() *cobra.Command {
	var (
		person string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "preview",
		Short: "What would be said now, and why",
		Long: `Decide now, as the daemon does after every sync, and show the decisions with
their reasons. Nothing is sent and nothing is stored.

The JSON is that of ` + "`walkd nudges log --json`" + ` without deliveries.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.nudgesPreview(cmd.Context(), person, asJSON) },
	}
	c.Flags().StringVar(&person, "person", "", "only those of `NAME`")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON array")
	return c
}

func (a *app) nudgesPreview(ctx context.Context, person string, asJSON bool) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	r, err := a.openReader(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	chosen, err := people(ctx, r, person)
	if err != nil {
		return err
	}
	wanted := nudging(s)
	now := a.now()
	states, err := a.sourceStates(ctx, r, s)
	if err != nil {
		return err
	}
	out := []nudgeJSON{}
	for _, p := range chosen {
		w, ok := wanted[p.Name]
		if !ok {
			fmt.Fprintf(a.stderr, "%s is not in the config and hears nothing\n", printable(p.Name))
			continue
		}
		situation, err := engine.SituationOf(ctx, r, p.ID, w.Settings, now)
		if err != nil {
			return err
		}
		situation.Consents = engine.ConsentsOf(states, p.Name, now, engine.WallClock{}.Now())
		for _, d := range nudges.Decide(situation) {
			e := store.NudgeEntry{Decision: d}
			if asJSON {
				out = append(out, exportNudge(p, e))
				continue
			}
			writeNudge(a.stdout, p, e, len(chosen) > 1, a.style())
			if d.Send {
				fmt.Fprintf(a.stdout, "%sIt would go to %s.\n", indent, strings.Join(w.Channels, ", "))
			}
		}
	}
	if asJSON {
		return writeJSON(a.stdout, out)
	}
	return nil
}
