package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/control"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/web"
	"golang.org/x/sync/errgroup"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "The daemon: pull, derive days, nudge, project",
		Long: `Run until a signal: pull from the sources of the config, derive the days that
changed, close days by the clock, send what is worth saying, keep InfluxDB up to
date, serve the status page, /healthz, /readyz and /metrics on web.listen, and do
what commands like import and sync ask for. SIGTERM or Ctrl-C ends it in good
order, a second one at once; nothing stored is lost either way.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.daemon(cmd.Context()) },
	}
}

func (a *app) daemon(ctx context.Context) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	e, err := a.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Store.Close()) }()
	// A second signal would not wait for this; the store stands a kill at any moment.

	listener, err := listen(s.Web.Listen)
	if err != nil {
		return err
	}
	return a.serve(ctx, e, s, listener, statusPage(e, "", time.Minute))
}

// listen opens the address of the HTTP server; there is none if it is "".
func listen(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on web.listen: %w: is another walkd running? Choose another address in the config", err)
	}
	return l, nil
}

// serve runs the engine until ctx ends, with the socket for commands, and the HTTP server on listener unless that is nil.
// It closes listener.
func (a *app) serve(ctx context.Context, e *engine.Engine, s settings, listener net.Listener,
	status func(context.Context) (web.Status, error),
) error {
	socket, err := control.Listen(s.DataDir)
	if err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return err
	}
	version, revision, _ := engine.Build()
	e.Log.Info("walkd starts", "version", version, "revision", revision, "data_dir", s.DataDir, "config", s.path)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.Run(ctx) })
	g.Go(func() error { return control.Serve(ctx, socket, e, e.Log) })
	if listener != nil {
		registry := prometheus.NewRegistry()
		registry.MustRegister(engine.Metrics{Engine: e, HealthValues: s.Web.MetricsHealthValues}, collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		o := web.Options{
			Ready:   e.Ready,
			Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}),
			Access:  web.Access{Password: s.Web.Password.Reveal(), Proxies: s.Web.TrustedProxies},
			BaseURL: s.Web.BaseURL, Now: engine.WallClock{}.Now, Log: e.Log,
		}
		if s.Web.Pages {
			o.Status, o.Connecting = status, connecting(ctx, e, s)
		}
		h := web.New(o)
		g.Go(func() error { return web.Serve(ctx, listener, h, e.Log) })
		e.Log.Info("listening", "address", listener.Addr().String())
	}
	a.notify(e, daemon.SdNotifyReady)
	g.Go(func() error { return a.watchdog(ctx, e) })
	g.Go(func() error {
		<-ctx.Done()
		a.notify(e, daemon.SdNotifyStopping)
		return nil
	})
	err = g.Wait()
	e.Log.Info("walkd stops")
	return err
}

// notify tells systemd, if it is there.
func (a *app) notify(e *engine.Engine, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		e.Log.Warn("cannot notify systemd", "err", err)
	}
}

// watchdog tells systemd that the loops are alive, if it wants to be told.
func (a *app) watchdog(ctx context.Context, e *engine.Engine) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		e.Log.Warn("systemd's watchdog is set wrongly", "err", err)
	}
	if interval == 0 || err != nil {
		return nil
	}
	t := time.NewTicker(interval / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if err := e.Alive(); err != nil {
				e.Log.Error("the watchdog is not fed", "err", err)
				continue
			}
			a.notify(e, daemon.SdNotifyWatchdog)
		}
	}
}
