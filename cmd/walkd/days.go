package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
	"golang.org/x/term"
)

// tableDays is how many days a table shows unless told otherwise.
const tableDays = 28

type daysOptions struct {
	person    string
	from, to  dayFlag
	json, csv bool
	quiet     bool // the table without hints on options
}

func (a *app) daysCommand() *cobra.Command {
	var o daysOptions
	c := &cobra.Command{
		Use:   "days",
		Short: "Walking minutes day by day",
		Long: `Walking minutes day by day. A table shows the last four weeks with data; --json
and --csv hand out everything from the first day with data to today, unless
--from or --to say otherwise; both days are included. Without --person everybody
is shown.

The JSON is an array, one object a day: person, date, zone, steps,
walking_minutes with its range low to high, brisk_minutes, running_minutes,
alternative_minutes, target_minutes, met, band ("<78", "78-100", "101-124",
">=125"), valid (enough of it is known), closed (no more is expected), mean7
(over the valid closed days of the last seven, or null), sources, estimator.`,
		Example: `  walkd days
  walkd days --from 2026-01-01 --to 2026-01-31 --csv > january.csv
  walkd days --json | jq '[.[] | select(.met)] | length'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.days(cmd.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.person, "person", "", "only the days of `NAME`")
	f.Var(&o.from, "from", "the first day, YYYY-MM-DD")
	f.Var(&o.to, "to", "the last day, YYYY-MM-DD")
	f.BoolVar(&o.json, "json", false, "one JSON array, an object a day")
	f.BoolVar(&o.csv, "csv", false, "comma-separated values")
	return c
}

func (a *app) days(ctx context.Context, o daysOptions) (err error) {
	if o.json && o.csv {
		return usagef("--json and --csv exclude each other")
	}
	if o.from.set && o.to.set && o.from.day > o.to.day {
		return usagef("--from %s is after --to %s", o.from.day, o.to.day)
	}
	s, err := a.load()
	if err != nil {
		return err
	}
	r, err := a.openReader(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	chosen, err := people(ctx, r, o.person)
	if err != nil {
		return err
	}
	now := a.now()
	switch {
	case o.json:
		return writeDaysJSON(a.stdout, eachDay(ctx, r, chosen, o, now))
	case o.csv:
		return writeDaysCSV(a.stdout, eachDay(ctx, r, chosen, o, now))
	}
	for i, p := range chosen {
		if err := a.daysTable(ctx, r, p, o, now, i > 0, len(chosen) > 1); err != nil {
			return err
		}
	}
	if len(chosen) == 0 {
		fmt.Fprintln(a.stderr, "there is nobody in the store yet: `walkd import` brings data in")
	}
	return nil
}

func (a *app) daysTable(
	ctx context.Context, r *store.Reader, p store.Person, o daysOptions, now time.Time, gap, named bool,
) error {
	first, newest, today, ok, err := engine.Span(ctx, r, p, now)
	if err != nil {
		return err
	}
	if gap {
		fmt.Fprintln(a.stdout)
	}
	if named {
		fmt.Fprintln(a.stdout, p.Name)
	}
	if !ok {
		fmt.Fprintln(a.stderr, "no data yet of "+p.Name+": `walkd import` brings some in")
		return nil
	}
	from, to := o.from.day, o.to.day
	if !o.to.set {
		to = today
		if newest < today-tableDays && (!o.from.set || o.from.day <= newest) {
			to = newest // the empty days since tell nobody anything
		}
	}
	if !o.from.set {
		from = to - tableDays + 1
	}
	from = max(from, first)
	days, err := engine.Days(ctx, r, p, from, to, now)
	if err != nil {
		return err
	}
	if len(days) == 0 {
		fmt.Fprintf(a.stderr, "no days there: %s has data from %s to %s\n", p.Name, first, newest)
		return nil
	}
	if err := renderDays(a.stdout, days, p.Limited, a.style()); err != nil {
		return err
	}
	if o.quiet {
		return nil
	}
	if !o.from.set && from > first {
		fmt.Fprintf(a.stderr, "  earlier days: --from %s\n", first)
	}
	if !o.to.set && to < today {
		fmt.Fprintf(a.stderr, "  no data since %s\n", newest)
	}
	return nil
}

// eachDay yields the days of people, a month in memory at a time.
func eachDay(
	ctx context.Context, r *store.Reader, chosen []store.Person, o daysOptions, now time.Time,
) iter.Seq2[personDay, error] {
	return func(yield func(personDay, error) bool) {
		for _, p := range chosen {
			first, _, today, ok, err := engine.Span(ctx, r, p, now)
			if err != nil {
				yield(personDay{}, err)
				return
			}
			if !ok {
				continue
			}
			from, to := first, today
			if o.from.set {
				from = max(from, o.from.day)
			}
			if o.to.set {
				to = min(to, o.to.day)
			}
			days, err := engine.Days(ctx, r, p, from, to, now)
			if err != nil {
				yield(personDay{}, err)
				return
			}
			for _, d := range days {
				if !yield(personDay{p.Name, d}, nil) {
					return
				}
			}
		}
	}
}

// style returns how the standard output wants its text.
func (a *app) style() style {
	width, ok := a.terminal(a.stdout)
	return styleFor(ok, width, a.env.Getenv)
}

// terminalWidth returns the columns of the terminal that w is, 0 if it does not tell, and whether it is one.
func terminalWidth(w io.Writer) (int, bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return width, true
}

// terminalLines returns the lines that the terminal shows that w is, 0 if it does not tell.
func terminalLines(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	_, lines, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return lines
}

func (a *app) todayCommand() *cobra.Command {
	var (
		person string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "today",
		Short: "Where the day stands",
		Long: `Where the day stands: the minutes so far with their range, hour by hour, and the
mean of the last seven days.

The JSON is an array, one object a person: all that ` + "`walkd days --json`" + ` has of
today, and mean7_band and mean7_days (the band of mean7 and the number of days
in it; null and 0 if there is none yet), as_of (up to when the data is complete,
RFC 3339; null if there is none), minutes_needed (whole minutes until the target
is met; 0 if it is), pulling (how each source on the network fares: source, kind,
phase, connected, synced, last_success, next_try, problem, remedy, consent_ends,
requests_left) and nudge (the last decision of the day, as in ` + "`walkd nudges log\n--json`" + `; null if
there is none).`,
		Example: `  walkd today
  walkd today --json | jq '.[0].minutes_needed'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.today(cmd.Context(), person, asJSON) },
	}
	c.Flags().StringVar(&person, "person", "", "only the day of `NAME`")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON array, an object a person")
	return c
}

// todayJSON is a day as `walkd today --json` hands it out: that of `walkd days --json` and what goes with now.
type todayJSON struct {
	exportedDay
	Mean7Band *string    `json:"mean7_band"` // null if there is no mean7
	Mean7Days int        `json:"mean7_days"`
	AsOf      *time.Time `json:"as_of"` // up to when the data is complete; null if there is none
	Needed    int        `json:"minutes_needed"`

	Pulling []sourceJSON `json:"pulling"`
	Nudge   *nudgeJSON   `json:"nudge"`
}

func (a *app) today(ctx context.Context, person string, asJSON bool) (err error) {
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
	states, err := a.sourceStates(ctx, r, s)
	if err != nil {
		return err
	}
	now := a.now()
	out := []todayJSON{}
	for i, p := range chosen {
		v, err := todayOf(ctx, r, p, now)
		if err != nil {
			return err
		}
		v.Sources = statesOf(states, p.Name)
		if asJSON {
			out = append(out, v.export())
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		if err := renderToday(a.stdout, v, a.style()); err != nil {
			return err
		}
	}
	if asJSON {
		return writeJSON(a.stdout, out)
	}
	if len(chosen) == 0 {
		fmt.Fprintln(a.stderr, "there is nobody in the store yet: `walkd import` brings data in")
	}
	return nil
}

// todayOf returns what is known of today.
func todayOf(ctx context.Context, r *store.Reader, p store.Person, now time.Time) (todayView, error) {
	v := todayView{Person: p.Name, Limited: p.Limited, Now: now.In(p.Zones.At(now)), Quiet: p.Quiet}
	day := p.Zones.Day(now)
	v.Today = walking.Summary{
		Day: day, Zone: p.Zones.At(now).String(), Target: walking.TargetOn(p.Targets, day), Estimator: walking.Estimator,
	}
	days, err := engine.Days(ctx, r, p, day, day, now)
	if err != nil {
		return v, err
	}
	if len(days) > 0 {
		v.Today = days[0]
	}
	streams, err := r.Streams(ctx, p)
	if err != nil {
		return v, err
	}
	for _, st := range streams {
		if st.SyncedThrough.After(v.Through) {
			v.Through = st.SyncedThrough
		}
	}
	told, err := r.NudgeLog(ctx, p.ID, (day - 1).In(time.UTC), now.Add(time.Second))
	for i := range told {
		// That somebody was told already says less than what they were told.
		if told[i].Day != day || i > 0 && told[i].Rule != told[0].Rule {
			continue
		}
		v.Nudge = &told[i]
		if told[i].Reason != nudges.AlreadySent {
			break
		}
	}
	v.person = p
	return v, err
}

func (v todayView) export() todayJSON {
	t := todayJSON{exportedDay: exportDay(personDay{v.Person, v.Today}), Mean7Days: v.Today.Mean7Days}
	if v.Today.Mean7Days > 0 {
		band := walking.BandOf(v.Today.Mean7).String()
		t.Mean7Band = &band
	}
	if !v.Through.IsZero() {
		through := v.Through.In(v.Now.Location())
		t.AsOf = &through
	}
	t.Needed = max(0, int(v.Today.Target)+1-walking.WholeMinutes(v.Today.Walking))
	t.Pulling = []sourceJSON{}
	for _, s := range v.Sources {
		t.Pulling = append(t.Pulling, exportState(s, v.person.Zones))
	}
	if v.Nudge != nil {
		n := exportNudge(v.person, *v.Nudge)
		t.Nudge = &n
	}
	return t
}
