package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/vault"
	"github.com/walkd/walkd/internal/walking"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "walkd",
		Short: "Walking minutes from your watch and phone",
		Long: `walkd keeps a person's walking in one file, turns steps into walking minutes a
day, compares them with the target of more than 100, and projects everything
into InfluxDB for Grafana. ` + "`walkd demo`" + ` shows it.`,
		Version:       versionText(),
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var value *pflag.InvalidValueError
		if errors.As(err, &value) {
			return usagef("--%s: %w", value.GetFlag().Name, value.Unwrap())
		}
		return usagef("%w: `%s --help` lists the options", err, cmd.CommandPath())
	})
	f := root.PersistentFlags()
	f.StringVar(&a.flags.config, "config", "", "read the config from `FILE`")
	f.StringVar(&a.flags.dataDir, "data-dir", "", "keep the data in `DIR`")
	f.StringVar(&a.flags.logLevel, "log-level", "", "`LEVEL` of the log: debug, info, warn or error")
	f.StringVar(&a.flags.logFormat, "log-format", "", "`FORMAT` of the log: text or json")
	root.AddCommand(a.demoCommand(), a.runCommand(), a.checkCommand(), a.connectCommand(), a.syncCommand(),
		a.importCommand(), a.todayCommand(), a.daysCommand(), a.nudgesCommand(), a.influxCommand(), a.backupCommand(), a.versionCommand(), a.completionCommand())
	help := helpCommand(root)
	root.SetHelpCommand(help)
	root.AddCommand(help)
	for _, c := range root.Commands() {
		markUsage(c)
	}
	return root
}

// helpCommand is `walkd help COMMAND`. Cobra's own takes an unknown command for none.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "What a command does, and its options",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

func unknownCommand(root *cobra.Command, name string) error {
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(name); len(near) > 0 {
		return usagef("unknown command %q (did you mean %s?): `walkd --help` lists them", name, near[0])
	}
	return usagef("unknown command %q: `walkd --help` lists them", name)
}

// noArgs is for commands that take no arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("want no argument, got %q", args[0])
	}
	return nil
}

// markUsage makes wrong arguments of a command and of those below it usage errors.
func markUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				path := cmd.CommandPath()
				return usagef("%s: %w: `%s --help` tells more", strings.TrimPrefix(path, "walkd "), err, path)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markUsage(sub)
	}
}

// settings is the config with the global options applied.
type settings struct {
	config.Config
	path string // of the config file; "" if there is none
}

// load reads the config. Warnings go to stderr.
func (a *app) load() (settings, error) {
	path, err := config.Find(a.flags.config, a.env)
	if err != nil {
		return settings{}, usageError{err}
	}
	c, warnings, err := config.Load(path, a.env, kinds())
	if err != nil {
		return settings{}, usageError{err}
	}
	for _, w := range warnings {
		fmt.Fprintln(a.stderr, "warning:", w)
	}
	if s, err := a.withFlags(settings{c, path}); err != nil || s.DataDir != "" {
		return s, err
	}
	return settings{}, usagef("no place for the data: set --data-dir, data_dir in the config, or $HOME")
}

// withFlags applies the global options.
func (a *app) withFlags(s settings) (settings, error) {
	if a.flags.dataDir != "" {
		s.DataDir = a.flags.dataDir
	}
	if l := a.flags.logLevel; l != "" {
		if err := s.LogLevel.UnmarshalText([]byte(l)); err != nil || strings.ContainsAny(l, "+-") {
			return settings{}, usagef("--log-level %q: want debug, info, warn or error", l)
		}
	}
	if l := a.flags.logFormat; l != "" {
		if l != "text" && l != "json" {
			return settings{}, usagef("--log-format %q: want text or json", l)
		}
		s.LogFormat = l
	}
	return s, nil
}

// logger returns the logger that the config asks for, on stderr.
func (a *app) logger(s settings) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}

// clock is the app's time as an engine.Clock.
type clock struct {
	engine.WallClock
	now func() time.Time
}

func (c clock) Now() time.Time { return c.now() }

// open opens the store for writing, as the config wants it, with an engine on it.
func (a *app) open(ctx context.Context, s settings) (*engine.Engine, error) {
	return a.openAt(ctx, s, clock{now: a.now}, 0)
}

// openAt opens the store with an engine whose domain clock is c. daily is how many requests the polls of one account may
// make in a day on the wall, see pull.Options.
func (a *app) openAt(ctx context.Context, s settings, c engine.Clock, daily int) (*engine.Engine, error) {
	st, err := store.Open(ctx, s.DataDir)
	if err != nil {
		if errors.Is(err, store.ErrOwned) {
			return nil, fmt.Errorf("%w: stop it first, or choose another folder with --data-dir", err)
		}
		return nil, err
	}
	e := &engine.Engine{
		Store: st, Formats: formats(), Clock: c, Log: a.logger(s), Accounts: accounts(s), Nudging: nudging(s),
	}
	for _, acc := range e.Accounts {
		if l, ok := acc.Provider.(interface{ LogTo(*slog.Logger) }); ok {
			l.LogTo(e.Log.With("person", acc.Person, "source", acc.Source))
		}
	}
	err = st.Configure(ctx, storeSettings(s), c.Now())
	var tokens *vault.Vault
	if err == nil {
		tokens, err = vault.New(s.TokenKey.Reveal())
	}
	if err == nil {
		e.Puller, err = pull.New(pull.Options{
			Store: st, Clock: c, Wall: engine.WallClock{}, Log: e.Log, Synced: e.Synced, Refused: e.Refused, Daily: daily, Vault: tokens,
		}, e.Accounts)
	}
	if err == nil {
		var channels map[notify.Address]notify.Channel
		channels, err = openChannels(s, e.Log)
		e.Courier = notify.NewCourier(notify.Options{
			Queue: st, Channels: channels, Clock: c, Wall: engine.WallClock{}, Log: e.Log,
		})
	}
	if err == nil && s.Influx.URL != "" {
		var to *influx.Client
		to, err = influx.NewClient(influx.Config{
			URL: s.Influx.URL, Org: s.Influx.Org, Bucket: s.Influx.Bucket, Token: s.Influx.Token.Reveal(),
		})
		if err == nil {
			l := engine.Ledger{Store: st, Clock: e.Clock}
			e.Projector = influx.New(to, l, l, influx.Options{Logger: e.Log, Progress: e.Projected})
		}
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return e, nil
}

// storeSettings returns what the config says of people. Without a config file it says nothing: the store keeps what it
// was told at the first import.
func storeSettings(s settings) []store.Settings {
	if s.path == "" {
		return nil
	}
	var out []store.Settings
	for _, p := range s.People {
		out = append(out, store.Settings{
			Name: p.Name, Zone: p.Home, Target: float64(p.TargetMinutes), Limited: p.Limited,
			Quiet: p.Quiet, Preferred: p.Preferred(), Travel: p.Travel,
		})
	}
	return out
}

// openReader opens the store for reading.
func (a *app) openReader(ctx context.Context, s settings) (*store.Reader, error) {
	r, err := store.OpenReader(ctx, s.DataDir)
	if found := accounts(s); errors.Is(err, fs.ErrNotExist) && len(found) > 0 {
		return nil, fmt.Errorf("there is no data in %s yet: `walkd connect %s` lets it come, then `walkd run` or `walkd sync`",
			s.DataDir, found[0].Source)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no data in %s yet: `walkd import` brings some in, `walkd demo` shows an example",
			s.DataDir)
	}
	return r, err
}

// people returns the person of that name, or everybody if name is "".
func people(ctx context.Context, r *store.Reader, name string) ([]store.Person, error) {
	all, err := r.Persons(ctx)
	if err != nil || name == "" {
		return all, err
	}
	var names []string
	for _, p := range all {
		if p.Name == name {
			return []store.Person{p}, nil
		}
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return nil, usagef("--person %q: there is nobody in the store yet", name)
	}
	return nil, usagef("--person %q: there is %s", name, strings.Join(names, ", "))
}

// dayFlag is a civil date on the command line.
type dayFlag struct {
	day walking.Day
	set bool
}

func (f *dayFlag) String() string {
	if !f.set {
		return ""
	}
	return f.day.String()
}

func (f *dayFlag) Set(s string) (err error) {
	f.day, err = walking.ParseDay(s)
	f.set = err == nil
	return err
}

func (*dayFlag) Type() string { return "DATE" }
