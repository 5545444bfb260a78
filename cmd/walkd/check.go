package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/control"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

func (a *app) checkCommand() *cobra.Command {
	var online bool
	c := &cobra.Command{
		Use:   "check",
		Short: "What is wrong, and what to do about it",
		Long: `Look at the config, the store and what feeds it, and say what is wrong and what
to do about it. With --online, ask InfluxDB and the sources on the network as
well. The exit code is 1 if anything is wrong, 2 if it is the config.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.check(cmd.Context(), online) },
	}
	c.Flags().BoolVar(&online, "online", false, "also ask InfluxDB and the sources on the network")
	return c
}

// A checklist prints findings and remembers whether one is bad.
type checklist struct {
	app  *app
	bad  bool
	said map[string]bool // what is wrong, so that it is said once
	told map[string]bool // sources that were asked, and of which is said what is wrong
}

func (c *checklist) say(mark, what, format string, args ...any) {
	fmt.Fprintf(c.app.stdout, "%s %-9s %s\n", mark, what, fmt.Sprintf(format, args...))
}

func (c *checklist) ok(what, format string, args ...any)   { c.say("✓", what, format, args...) }
func (c *checklist) note(what, format string, args ...any) { c.say("·", what, format, args...) }
func (c *checklist) wrong(what, format string, args ...any) {
	c.bad = true
	text := fmt.Sprintf(format, args...)
	if !c.said[text] {
		c.said[text] = true
		c.say("✗", what, "%s", text)
	}
}

func (a *app) check(ctx context.Context, online bool) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	c := &checklist{app: a, said: map[string]bool{}, told: map[string]bool{}}
	if s.path == "" {
		c.note("config", "none: one person, defaults")
	} else {
		c.ok("config", "%s", s.path)
	}
	daemon, err := control.Dial(ctx, s.DataDir)
	if err == nil {
		c.ok("daemon", "runs on %s", s.DataDir)
	} else {
		c.note("daemon", "none on %s: `walkd run` starts it", s.DataDir)
	}
	if online && len(accounts(s)) > 0 {
		if err := a.probe(ctx, c, s, daemon); err != nil {
			return err
		}
	}
	if err := a.checkStore(ctx, c, s); err != nil {
		return err
	}
	for _, p := range s.People {
		for _, ch := range channelsOf(p) {
			c.ok("channel", "%s: %s (%s)", p.Name, ch.Name, ch.Kind)
		}
	}
	switch {
	case s.Influx.URL == "":
		c.note("influxdb", "not configured: nothing is projected")
	case !online:
		c.note("influxdb", "%s, not asked: --online asks it", s.Influx.URL)
	default:
		client, err := influxClient(s)
		if err != nil {
			return err
		}
		defer client.Close()
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if status.Err != nil {
			c.wrong("influxdb", "%v", status.Err)
		} else {
			c.ok("influxdb", "%s answers, version %s, and takes what walkd writes", s.Influx.URL, status.Version)
		}
	}
	if c.bad {
		return silentError(exitFailed)
	}
	return nil
}

// probe asks every provider what it says of the account; checkStore tells what is known besides.
func (a *app) probe(ctx context.Context, c *checklist, s settings, daemon *control.Client) error {
	if daemon != nil {
		abouts, err := daemon.Probe(ctx)
		return a.probed(ctx, c, s, abouts, err)
	}
	e, err := a.open(ctx, s)
	var damaged *store.FileError
	if errors.As(err, &damaged) {
		return nil // checkStore tells
	}
	if err != nil {
		return err
	}
	abouts, err := e.Probe(ctx)
	return errors.Join(a.probed(ctx, c, s, abouts, err), e.Store.Close())
}

// probed tells what the providers have answered, a line each.
func (a *app) probed(ctx context.Context, c *checklist, s settings, abouts []pull.About, err error) error {
	if err != nil && ctx.Err() == nil {
		c.wrong("source", "%v", err)
		return nil
	}
	for _, about := range abouts {
		name := about.Person + "/" + about.Source
		if about.Err != nil {
			c.wrong("source", "%s: %v", name, about.Err)
			c.told[name] = true
			continue
		}
		c.ok("source", "%s: %s", name, aboutText(about, a.now()))
		for _, p := range s.People {
			if z := about.Zone; p.Name == about.Person && z != nil && z.String() != p.Home.String() {
				c.note("zone", "%s: %s says %s, the config %s: set timezone if the provider is right", name, about.Service, z,
					p.Home)
			}
		}
	}
	return err
}

// aboutText says what a provider tells of an account.
func aboutText(about pull.About, now time.Time) string {
	parts := []string{about.Service + " answers"}
	for _, d := range about.Devices {
		text := cmp.Or(d.Name, "the device")
		if !d.Synced.IsZero() {
			text += " synced " + ago(now.Sub(d.Synced))
		}
		if d.Battery != "" {
			text += ", battery " + d.Battery
		}
		parts = append(parts, text)
	}
	if about.Zone != nil {
		parts = append(parts, "zone "+about.Zone.String())
	}
	var scopes []string
	for _, s := range about.Scopes {
		scopes = append(scopes, s[strings.LastIndexAny(s, "/")+1:]) // some are URLs
	}
	if len(scopes) > 0 {
		parts = append(parts, "allowed: "+strings.Join(scopes, ", "))
	}
	return strings.Join(parts, "; ")
}

func (a *app) checkStore(ctx context.Context, c *checklist, s settings) (err error) {
	r, err := store.OpenReader(ctx, s.DataDir)
	var file *store.FileError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.note("store", "none in %s yet: the first import makes it, or the first `walkd run`", s.DataDir)
		for _, acc := range accounts(s) {
			c.wrong("source", "%s/%s: not connected yet: run `walkd connect %s`", acc.Person, acc.Source, acc.Source)
		}
		return nil
	case errors.As(err, &file):
		c.wrong("store", "%v", file)
		return nil
	case errors.Is(err, fs.ErrPermission):
		c.wrong("store", "%v: run walkd as the user whom the folder belongs to", err)
		return nil
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	problems, err := r.Check(ctx)
	if err != nil {
		return err
	}
	for _, p := range problems {
		c.wrong("store", "damaged: %s", p)
	}
	if len(problems) > 0 {
		c.wrong("store", "stop walkd, keep a copy of walkd.db, then put back a backup or import again")
		return nil
	}
	n, err := r.Count(ctx)
	if err != nil {
		return err
	}
	c.ok("store", "sound: %s, %s with steps, %s", count(int(n.Persons), "person"), count(int(n.Records), "record"),
		count(int(n.Days), "derived day"))
	if n.Stale > 0 {
		c.note("store", "%s waiting to be derived", count(int(n.Stale), "day"))
	}
	now := a.now()
	newest, err := r.NewestInstant(ctx)
	if err != nil {
		return err
	}
	if newest.After(now.Add(ingest.ClockTolerance)) {
		c.wrong("clock", "this machine says %s, but there is data of %s: set the clock; until then nothing is decided",
			now.Format(time.RFC3339), newest.Local().Format(time.RFC3339))
	}
	everybody, err := r.Persons(ctx)
	if err != nil {
		return err
	}
	for _, p := range everybody {
		streams, err := r.Streams(ctx, p)
		if err != nil {
			return err
		}
		if len(streams) == 0 {
			c.note("person", "%s: no data yet", p.Name)
		}
		for _, st := range streams {
			c.ok("stream", "%s: %s, %s, complete up to %s (%s)", p.Name, st.StreamKey, deviceText(st.Device),
				st.SyncedThrough.In(p.Zones.At(st.SyncedThrough)).Format("2006-01-02 15:04"), ago(now.Sub(st.SyncedThrough)))
		}
	}
	states, err := a.sourceStates(ctx, r, s)
	if err != nil {
		return err
	}
	for _, st := range states {
		zones := walking.Timeline{}
		for _, p := range everybody {
			if p.Name == st.Person {
				zones = p.Zones
			}
		}
		text := fmt.Sprintf("%s: %s (%s), %s", st.Person, st.Source, st.Service, stateText(st, zones, now))
		if left := budgetText(st); left != "" {
			text += "; requests left: " + left
		}
		if fine(st) {
			c.ok("source", "%s", text)
		} else {
			c.wrong("source", "%s", text)
		}
		if p := problemText(st); p != "" && !c.told[st.Person+"/"+st.Source] {
			c.wrong("source", "%s/%s: %s", st.Person, st.Source, p)
		}
		if off := offText(st); off != "" {
			c.wrong("source", "%s/%s: %s", st.Person, st.Source, off)
		}
		if ending := endingText(st, now); ending != "" {
			c.wrong("source", "%s", ending)
		}
	}
	return nil
}

func deviceText(d walking.Device) string {
	if d == walking.UnknownDevice {
		return "device unknown"
	}
	return d.String()
}
