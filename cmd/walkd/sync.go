package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/control"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
)

// syncer pulls: the engine itself, or a daemon that has one.
type syncer interface {
	Sync(ctx context.Context, req pull.SyncRequest, progress func(pull.Progress)) ([]pull.SyncResult, error)
}

func (a *app) syncCommand() *cobra.Command {
	var (
		person   string
		from, to dayFlag
	)
	c := &cobra.Command{
		Use:   "sync [SOURCE]",
		Short: "Pull now, or pull a range of days again",
		Long: `Pull the last days from the sources of the config, or from one of them, without
waiting for the next poll. With --from or --to, pull that range of days, the
newest first. It may be broken off at any time: what has come is kept, and doing
it again changes nothing. While a daemon runs on the data folder it does the
work.`,
		Example: `  walkd sync
  walkd sync watch --from 2016-01-01`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("want the name of one source at most")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req := pull.SyncRequest{Person: person, From: from.day, To: to.day}
			if len(args) == 1 {
				req.Source = args[0]
			}
			if from.set && to.set && to.day < from.day {
				return usagef("--to %s is before --from %s", to.day, from.day)
			}
			return a.sync(cmd.Context(), req)
		},
	}
	f := c.Flags()
	f.StringVar(&person, "person", "", "pull for this person only (`NAME`)")
	f.Var(&from, "from", "the first `DATE` to pull, like 2016-01-01")
	f.Var(&to, "to", "the last `DATE` to pull; today if not given")
	return c
}

func (a *app) sync(ctx context.Context, req pull.SyncRequest) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	all := accounts(s)
	client, err := control.Dial(ctx, s.DataDir)
	running := err == nil
	if len(all) == 0 && !running {
		return usageError{engine.ErrNoSources}
	}
	wanted := slices.DeleteFunc(slices.Clone(all), func(c pull.Config) bool {
		return req.Person != "" && c.Person != req.Person || req.Source != "" && c.Source != req.Source
	})
	switch {
	case len(all) == 0: // the daemon has a config of its own, such as that of the demo
	case len(wanted) == 0 && req.Source == "":
		return usagef("%s has no source that can be pulled", req.Person)
	case len(wanted) == 0:
		_, err := findAccount(all, req.Person, req.Source)
		return err
	}
	var by syncer
	if by = client; !running {
		e, err := a.open(ctx, s)
		if err != nil {
			return err
		}
		defer func() {
			if e.Projector != nil {
				a.projectNow(ctx, e)
			}
			err = errors.Join(err, e.Store.Close())
		}()
		by = e
	}
	bar := a.newProgress(1, 1)
	results, err := by.Sync(ctx, req, bar.pulling)
	bar.finish()
	if running && err != nil && ctx.Err() == nil && !errors.Is(err, control.ErrBroken) {
		return restartToKnow(err)
	}
	failed := false
	for _, c := range wanted {
		if err == nil && !slices.ContainsFunc(results, func(r pull.SyncResult) bool {
			return r.Person == c.Person && r.Source == c.Source
		}) {
			results = append(results, pull.SyncResult{
				Person: c.Person, Source: c.Source, Err: restartToKnow(errors.New("the running walkd does not know it")),
			})
		}
	}
	for _, r := range results {
		failed = failed || r.Err != nil
		a.reportSync(r, len(s.People) > 1)
	}
	if err == nil && failed {
		return silentError(exitFailed)
	}
	return err
}

// restartToKnow adds to an error of the daemon that it goes by the config of its start.
func restartToKnow(err error) error {
	return fmt.Errorf("%w: if the config has changed since the running walkd was started, restart that", err)
}

func (a *app) reportSync(r pull.SyncResult, several bool) {
	name := r.Source
	if several {
		name = r.Person + ", " + r.Source
	}
	if r.Err != nil {
		fmt.Fprintf(a.stderr, "%s: %v\n", name, r.Err)
		var told *ingest.Error
		if errors.As(r.Err, &told) && told.Remedy == "" {
			fmt.Fprintln(a.stderr, "Try again later; walkd run does so by itself.")
		}
		return
	}
	fmt.Fprintf(a.stdout, "%s: %s, %s, %s", name, count(r.Days, "day"), count(r.Records, "record"), count(r.Requests, "request"))
	if r.Any() {
		fmt.Fprintf(a.stdout, "; %d new, %d changed, %d removed\n", r.Added, r.Replaced, r.Removed)
	} else {
		fmt.Fprintln(a.stdout, "; nothing new")
	}
}
