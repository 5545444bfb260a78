package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/control"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/walking"
)

// importer imports: the engine itself, or a daemon that has one.
type importer interface {
	Import(ctx context.Context, req engine.ImportRequest, body io.Reader,
		progress func(engine.Progress)) (engine.ImportResult, error)
}

func (a *app) importCommand() *cobra.Command {
	var req engine.ImportRequest
	names := slices.Sorted(maps.Keys(formats()))
	c := &cobra.Command{
		Use:   "import FORMAT PATH...",
		Short: "Bring in files: " + strings.Join(names, ", "),
		Long: `Bring in files:

  apple-health  export.zip or export.xml of Apple's Health app
  csv           steps with a header: start, duration or end, steps; or date, steps
  fitabase      minuteStepsWide or minuteStepsNarrow

A file is read through first. If a row is broken nothing of the file is
imported, unless --skip-bad is given. Importing a file again changes nothing;
a newer export of the same data adds what is new and takes over what was
corrected. While a daemon runs on the data folder it does the work.`,
		Example: `  walkd import apple-health ~/Downloads/export.zip
  walkd import fitabase minuteStepsWide_merged.csv --all --tz America/New_York
  walkd import csv steps.csv --person alex`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("want a format and at least one path")
			}
			if !slices.Contains(names, args[0]) {
				return fmt.Errorf("unknown format %q, want one of %s", args[0], strings.Join(names, ", "))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault // files
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Format = args[0]
			return a.importFiles(cmd.Context(), req, args[1:])
		},
	}
	f := c.Flags()
	f.StringVar(&req.Person, "person", "", "whom the data is of (`NAME`), where the file does not say")
	f.StringVar(&req.Source, "source", "", "which `SOURCE` of the config it is, if several have this format")
	f.StringVar(&req.Zone, "tz", "", "the `ZONE` of times without an offset, and the home of a new person; "+
		"by default the person's, or the machine's")
	f.StringSliceVar(&req.IDs, "id", nil, "import this `ID` only, of a file with several people")
	f.BoolVar(&req.All, "all", false, "import everybody in the file, each as a person named by the id")
	f.BoolVar(&req.SkipBad, "skip-bad", false, "leave out broken rows instead of refusing the file")
	return c
}

func (a *app) importFiles(ctx context.Context, req engine.ImportRequest, paths []string) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	if req.Person, err = importPerson(s, req); err != nil {
		return err
	}
	if req.Source, err = importSource(s, req); err != nil {
		return err
	}
	req.Home = s.People[0].Home.String()
	if req.Zone != "" {
		if _, err := walking.ParseZone(req.Zone); err != nil {
			return usagef("--tz %q is not a time zone: want an IANA name like Europe/Oslo", req.Zone)
		}
	}
	for _, path := range paths { // before anything is made or changed
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	var (
		im importer
		e  *engine.Engine
	)
	if client, dialErr := control.Dial(ctx, s.DataDir); dialErr == nil {
		im = client
	} else {
		if e, err = a.open(ctx, s); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, e.Store.Close()) }()
		im = e
	}
	for i, path := range paths {
		if err := a.importFile(ctx, im, req, path, a.newProgress(i+1, len(paths))); err != nil {
			return err
		}
	}
	if e != nil && e.Projector != nil {
		a.projectNow(ctx, e)
	}
	return nil
}

// importSource returns what the config calls the source that a file comes from, "" if it says nothing of it.
func importSource(s settings, req engine.ImportRequest) (string, error) {
	var names []string
	for _, p := range s.People {
		if p.Name != req.Person {
			continue
		}
		for _, src := range p.Sources {
			if src.Kind == req.Format {
				names = append(names, src.Name)
			}
		}
	}
	switch {
	case req.Source != "" && !slices.Contains(names, req.Source):
		return "", usagef("--source %q is not a source of kind %s of %s: there is %s", req.Source, req.Format, req.Person,
			cmp.Or(strings.Join(names, ", "), "none"))
	case req.Source != "" || len(names) == 0:
		return req.Source, nil
	case len(names) > 1:
		return "", usagef("which source is it? Say --source with one of %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

// importPerson returns whom a file is for if it names nobody itself.
func importPerson(s settings, req engine.ImportRequest) (string, error) {
	var names []string
	for _, p := range s.People {
		names = append(names, p.Name)
	}
	switch {
	case req.Person == "" && (len(names) == 1 || req.All):
		return names[0], nil
	case req.Person == "":
		return "", usagef("whose data is it? Say --person with one of %s", strings.Join(names, ", "))
	case s.path != "" && !slices.Contains(names, req.Person):
		return "", usagef("--person %q is not in %s: there is %s", req.Person, s.path, strings.Join(names, ", "))
	}
	return req.Person, nil
}

func (a *app) importFile(ctx context.Context, im importer, req engine.ImportRequest, path string, bar *progress) (err error) {
	file, closer, err := formats()[req.Format].Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	req.Name, req.Size = file.Name, file.Size
	result, err := im.Import(ctx, req, file.Body, bar.show)
	bar.finish()
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(a.stderr, "%s: not done; importing it again completes it\n", filepath.Base(path))
		}
		return err
	}
	zone, err := walking.ParseZone(cmp.Or(req.Zone, req.Home))
	if err != nil {
		return err
	}
	a.reportImport(path, result, zone)
	return nil
}

func (a *app) reportImport(path string, r engine.ImportResult, zone *time.Location) {
	w := a.stderr
	fmt.Fprintf(w, "%s: %s read", filepath.Base(path), count(r.Read, "record"))
	if !r.From.IsZero() {
		fmt.Fprintf(w, ", %s to %s", r.From.In(zone).Format(time.DateOnly),
			r.To.Add(-time.Millisecond).In(zone).Format(time.DateOnly))
	}
	fmt.Fprintln(w)
	if r.Any() {
		fmt.Fprintf(w, "  %d new, %d changed, %d removed, %d already there; %s derived\n",
			r.Added, r.Replaced, r.Removed, r.Unchanged, count(r.Days, "day"))
	} else {
		fmt.Fprintln(w, "  nothing new: everything was already there")
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Dropped)) {
		fmt.Fprintf(w, "  %d left out: %s\n", r.Dropped[reason], reason)
	}
	if r.Skipped > 0 {
		fmt.Fprintf(w, "  %s skipped\n", count(r.Skipped, "broken row"))
	}
	const most = 12
	for i, st := range r.Streams {
		if i == most {
			fmt.Fprintf(w, "  … and %d more streams\n", len(r.Streams)-most)
			break
		}
		fmt.Fprintln(w, "  "+st)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// projectNow projects what is due. If InfluxDB refuses nothing is lost: the daemon, or the next import, does it.
func (a *app) projectNow(ctx context.Context, e *engine.Engine) {
	bar := a.newProgress(1, 1)
	stats, err := e.Project(ctx, bar.show)
	bar.finish()
	if err != nil {
		fmt.Fprintf(a.stderr, "InfluxDB: %v\n  Nothing is lost: `walkd run` or the next import writes it.\n", err)
		return
	}
	a.reportProjection(stats)
}

func (a *app) reportProjection(stats influx.Stats) {
	fmt.Fprintf(a.stderr, "InfluxDB: %s, %s written\n", count(stats.Days, "day"), count(stats.Points, "point"))
	if stats.Dropped > 0 {
		fmt.Fprintf(a.stderr, "  %s refused for good: %v\n", count(stats.Dropped, "point"), stats.DroppedBy)
	}
}
