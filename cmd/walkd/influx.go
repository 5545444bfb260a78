package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/control"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/store"
)

func (a *app) influxCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "influx",
		Short: "The copy in InfluxDB: how it stands, and making it anew",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var person string
	rebuild := &cobra.Command{
		Use:   "rebuild",
		Short: "Delete what walkd wrote to InfluxDB and write it again",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.influxRebuild(cmd.Context(), person) },
	}
	rebuild.Flags().StringVar(&person, "person", "", "only what is of `NAME`")
	c.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Whether InfluxDB answers, and what is waiting to be written",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.influxStatus(cmd.Context()) },
	}, rebuild)
	return c
}

// rebuilder rebuilds: the engine itself, or a daemon that has one.
type rebuilder interface {
	Rebuild(ctx context.Context, person string, progress func(engine.Progress)) (influx.Stats, error)
}

func (a *app) influxRebuild(ctx context.Context, person string) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	if s.Influx.URL == "" {
		return usageError{engine.ErrNoInflux}
	}
	if person != "" {
		if err := a.checkPerson(ctx, s, person); err != nil {
			return err
		}
	}
	var r rebuilder
	if client, dialErr := control.Dial(ctx, s.DataDir); dialErr == nil {
		r = client
	} else {
		e, err := a.open(ctx, s)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, e.Store.Close()) }()
		r = e
	}
	bar := a.newProgress(1, 1)
	stats, err := r.Rebuild(ctx, person, bar.show)
	bar.finish()
	if err != nil {
		return err
	}
	a.reportProjection(stats)
	return nil
}

// checkPerson returns an error unless the store knows that person.
func (a *app) checkPerson(ctx context.Context, s settings, name string) (err error) {
	r, err := a.openReader(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = people(ctx, r, name)
	return err
}

func influxClient(s settings) (*influx.Client, error) {
	return influx.NewClient(influx.Config{
		URL: s.Influx.URL, Org: s.Influx.Org, Bucket: s.Influx.Bucket,
		Token: s.Influx.Token.Reveal(), Timeout: 10 * time.Second,
	})
}

func (a *app) influxStatus(ctx context.Context) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	if s.Influx.URL == "" {
		return usageError{engine.ErrNoInflux}
	}
	client, err := influxClient(s)
	if err != nil {
		return err
	}
	defer client.Close()
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	w := a.stdout
	fmt.Fprintf(w, "InfluxDB   %s, bucket %s\n", s.Influx.URL, s.Influx.Bucket)
	switch {
	case status.Err == nil:
		fmt.Fprintf(w, "answers    yes, version %s; walkd may write\n", status.Version)
	case status.Reachable:
		fmt.Fprintf(w, "answers    yes, but %v\n", status.Err)
	default:
		fmt.Fprintf(w, "answers    no: %v\n", status.Err)
	}
	if r, err := store.OpenReader(ctx, s.DataDir); err == nil {
		c, err := r.Count(ctx)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		fmt.Fprintf(w, "waiting    %s", count(int(c.Due), "day"))
		if c.Due > 0 {
			fmt.Fprintf(w, ", the first since %s", c.DueSince.Local().Format(time.DateTime))
		}
		fmt.Fprintln(w)
	}
	if status.Err != nil {
		return silentError(exitFailed)
	}
	return nil
}
