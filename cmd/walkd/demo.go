package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/simulate"
)

// demoPerson is whom the demo's days are of, so that nobody takes them for their own.
const demoPerson = "demo"

// demoLag is how long ago the newest minute of the demo is: no watch syncs at once.
const demoLag = 3 * time.Minute

func (a *app) demoCommand() *cobra.Command {
	var (
		in    config.Influx
		token string
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "A month of a real person's walking, to see what walkd gives",
		Long: `Take the minute steps of a real person (29 days of a public data set, moved so
that they end today), import them as your own would be, and show the last four
weeks and today.

It needs no config and reads none. The store is in a temporary folder that is
removed at the end; with --data-dir it is kept there. With --influx-url and
--influx-bucket the days go to InfluxDB as well, as person "demo".`,
		Example: `  walkd demo
  walkd demo --data-dir /tmp/walkd-demo
  walkd demo --influx-url http://127.0.0.1:8086 --influx-bucket walkd`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Token = config.NewSecret(token)
			return a.demo(cmd.Context(), in)
		},
	}
	f := c.Flags()
	f.Bool("once", false, "show it once and end, as the demo always does")
	f.StringVar(&in.URL, "influx-url", "", "write to the InfluxDB at `URL` as well")
	f.StringVar(&in.Org, "influx-org", "", "its organisation (`NAME`), for InfluxDB 2 and 3")
	f.StringVar(&in.Bucket, "influx-bucket", "", "its bucket (`NAME`); the database for InfluxDB 1.8")
	f.StringVar(&token, "influx-token", "", "its `TOKEN`; user:password for InfluxDB 1.8, nothing if it asks for none")
	return c
}

func (a *app) demo(ctx context.Context, in config.Influx) (err error) {
	s := settings{Config: config.Default(a.env)}
	s.Influx = in
	switch {
	case in.URL == "" && (in.Org != "" || in.Bucket != "" || in.Token.Reveal() != ""):
		return usagef("--influx-url is missing: want the address of the InfluxDB, like http://127.0.0.1:8086")
	case in.URL != "" && in.Bucket == "":
		return usagef("--influx-bucket is missing: want the bucket, or the database of InfluxDB 1.8")
	}
	if s, err = a.withFlags(s); err != nil {
		return err
	}
	if in.URL != "" {
		client, err := influxClient(s)
		if err != nil {
			return usageError{err}
		}
		client.Close()
	}
	kept := a.flags.dataDir != ""
	if !kept {
		if s.DataDir, err = os.MkdirTemp("", "walkd-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.DataDir)) }()
	}
	e, err := a.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Store.Close()) }()
	people, err := e.Store.Persons(ctx)
	if err != nil {
		return err
	}
	for _, p := range people {
		if p.Name != demoPerson {
			return fmt.Errorf("%s holds the data of %s: choose another folder for the demo", s.DataDir, p.Name)
		}
	}

	home := s.People[0].Home
	now := a.now().In(home)
	until := now.Add(-demoLag)
	if y, m, d := now.Date(); until.Day() != d {
		until = time.Date(y, m, d, 0, 0, 0, 0, home)
	}
	file, err := simulate.Person(until, home)
	if err != nil {
		return err
	}
	a.demoText("walkd demo: the steps of a real person, 29 days of a public Fitbit data set from 2016, moved so that they end " +
		"now. They are imported as yours would be.")
	bar := a.newProgress(1, 1)
	begin := time.Now() // the demo's clock may run differently
	result, err := e.Import(ctx, engine.ImportRequest{
		Format: "fitabase", Name: "the demo's file", Size: int64(len(file)),
		Person: demoPerson, Zone: home.String(),
	}, bytes.NewReader(file), bar.show)
	bar.finish()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\n%s minutes in the file, %s derived, %.1f s.\n", grouped(int64(result.Read)),
		count(result.Days, "day"), time.Since(begin).Seconds())

	p, err := e.Store.Person(ctx, demoPerson)
	if err != nil {
		return err
	}
	a.demoHeading("The last four weeks: walking minutes a day, and their mean over seven days")
	if err := a.daysTable(ctx, &e.Store.Reader, p, daysOptions{quiet: true}, now, false, false); err != nil {
		return err
	}
	a.demoHeading("Today")
	view, err := todayOf(ctx, &e.Store.Reader, p, now)
	if err != nil {
		return err
	}
	if err := renderToday(a.stdout, view, a.style()); err != nil {
		return err
	}
	if e.Projector != nil {
		if err := a.demoProject(ctx, e, s, len(people) == 0); err != nil {
			return err
		}
	}
	a.demoNext(s.DataDir, kept)
	return nil
}

// demoProject writes the demo's days to InfluxDB. If the store is new there may be days of an earlier demo, which it
// knows nothing of.
func (a *app) demoProject(ctx context.Context, e *engine.Engine, s settings, anew bool) error {
	a.demoHeading("InfluxDB")
	stats, err := influx.Stats{}, error(nil)
	if anew {
		stats, err = e.Rebuild(ctx, demoPerson, nil)
	}
	var cannot *influx.Error
	if !anew || errors.As(err, &cannot) && cannot.Cause == influx.CannotDelete {
		stats, err = e.Project(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("InfluxDB: %w", err)
	}
	fmt.Fprintf(a.stdout, "%s, %s written to %s, bucket %s, with the tag person=%s.\n", count(stats.Days, "day"),
		count(stats.Points, "point"), s.Influx.URL, s.Influx.Bucket, demoPerson)
	return nil
}

func (a *app) demoHeading(text string) {
	s := a.style()
	for i, line := range wrap(text, s.columns()) {
		if i == 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintln(a.stdout, s.strong(line))
	}
}

func (a *app) demoText(text string) {
	for _, line := range wrap(text, a.style().columns()) {
		fmt.Fprintln(a.stdout, line)
	}
}

// demoNext says how to go on.
func (a *app) demoNext(dir string, kept bool) {
	a.demoHeading("What next")
	next := [][2]string{
		{"import apple-health export.zip", "your own steps; `import --help` lists the formats"},
		{"days", "your days, once something is imported"},
	}
	if kept {
		next = append(next, [2]string{"days --json --data-dir " + dir, "look at the demo's days again"})
	} else {
		next = append(next, [2]string{"demo --data-dir walkd-demo", "the demo again, with a store to look into"})
	}
	for _, n := range next {
		fmt.Fprintf(a.stdout, "  %s %s\n      %s\n", commandName(), n[0], n[1])
	}
	if !kept {
		fmt.Fprintln(a.stdout, "\nThe demo's store is removed.")
	}
}

// commandName returns what to type for walkd: its name, or how it runs from its source where it is not installed.
func commandName() string {
	_, installed := exec.LookPath("walkd")
	_, source := os.Stat(filepath.Join("cmd", "walkd"))
	if installed != nil && source == nil {
		return "go run ./cmd/walkd"
	}
	return "walkd"
}
