package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
	"github.com/walkd/walkd/internal/web"
)

const (
	// demoPerson is whom the demo's days are of, so that nobody takes them for their own.
	demoPerson = "demo"
	demoSource = "watch"
	// demoDays is how many days the demo pulls, before today.
	demoDays = 28
	// demoSpeed is how much faster time goes by in the live part.
	demoSpeed = 60
	// demoLog is the level of the demo's log if nobody asks for another: its own words are enough.
	demoLog = "warn"
)

func (a *app) demoCommand() *cobra.Command {
	var (
		in     config.Influx
		token  string
		once   bool
		listen string
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "A month of a real person's walking, to see what walkd gives",
		Long: `Show walkd at work: it starts a simulated Google Health with the steps of a real
person (days of a public data set, moved so that they end now), connects to it
as it would to the real one, pulls four weeks, shows the days, and says what it
decided to tell the person and why. Then it goes on live, an hour a minute, with
a status page, until Ctrl-C. With --once it ends before that.

It needs no config and reads none, and asks nobody but this machine. The store is
in a temporary folder that is removed at the end; with --data-dir it is kept
there. With --influx-url and --influx-bucket the days go to InfluxDB as well, as
person "demo".`,
		Example: `  walkd demo
  walkd demo --once --data-dir /tmp/walkd-demo
  walkd demo --influx-url http://127.0.0.1:8086 --influx-bucket walkd`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Token = config.NewSecret(token)
			return a.demo(cmd.Context(), in, once, listen)
		},
	}
	f := c.Flags()
	f.BoolVar(&once, "once", false, "end when everything is shown, instead of going on live")
	f.StringVar(&listen, "listen", "", "serve the status page at `ADDR`; by default 127.0.0.1:8099, or another port if that is taken")
	f.StringVar(&in.URL, "influx-url", "", "write to the InfluxDB at `URL` as well")
	f.StringVar(&in.Org, "influx-org", "", "its organisation (`NAME`), for InfluxDB 2 and 3")
	f.StringVar(&in.Bucket, "influx-bucket", "", "its bucket (`NAME`); the database for InfluxDB 1.8")
	f.StringVar(&token, "influx-token", "", "its `TOKEN`; user:password for InfluxDB 1.8, nothing if it asks for none")
	return c
}

// demoClock is the demo's domain time. It stands still until it is started.
type demoClock struct {
	mu    sync.Mutex
	base  time.Time
	begin time.Time // on the wall; zero while it stands still
}

func (c *demoClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begin.IsZero() {
		return c.base
	}
	return c.base.Add(time.Since(c.begin) * demoSpeed)
}

func (*demoClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	return engine.WallClock{}.NewTimer(d / demoSpeed)
}

func (c *demoClock) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begin = time.Now()
}

// demoSettings returns the config of the demo.
func (a *app) demoSettings(in config.Influx) (settings, error) {
	s := settings{Config: config.Default(a.env), path: "the demo"}
	s.Influx = in
	switch {
	case in.URL == "" && (in.Org != "" || in.Bucket != "" || in.Token.Reveal() != ""):
		return s, usagef("--influx-url is missing: want the address of the InfluxDB, like http://127.0.0.1:8086")
	case in.URL != "" && in.Bucket == "":
		return s, usagef("--influx-bucket is missing: want the bucket, or the database of InfluxDB 1.8")
	}
	if err := s.LogLevel.UnmarshalText([]byte(demoLog)); err != nil {
		return s, err
	}
	s, err := a.withFlags(s)
	if err != nil || in.URL == "" {
		return s, err
	}
	client, err := influxClient(s)
	if err != nil {
		return s, usageError{err}
	}
	client.Close()
	return s, nil
}

func (a *app) demo(ctx context.Context, in config.Influx, once bool, address string) (err error) {
	s, err := a.demoSettings(in)
	if err != nil {
		return err
	}
	kept := a.flags.dataDir != ""
	if !kept {
		if s.DataDir, err = os.MkdirTemp("", "walkd-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.DataDir)) }()
	}
	anew, err := demoStore(ctx, s.DataDir)
	if err != nil {
		return err
	}
	var listener net.Listener
	if !once {
		if listener, err = demoListen(address); err != nil {
			return err
		}
		defer func() { _ = listener.Close() }() // closed already where it was served
	}
	clock := &demoClock{base: a.now()}
	person := &s.People[0]
	person.Name = demoPerson
	service, err := startService(clock, person.Home, demoCallback(listener))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, service.stop()) }()
	person.Sources = []config.Source{{Kind: "google-health", Name: demoSource, Settings: service.settings}}

	e, err := a.openAt(ctx, s, clock, -1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Store.Close()) }()
	if err := a.demoPull(ctx, e); err != nil {
		return err
	}
	if err := a.demoShow(ctx, e, s); err != nil {
		return err
	}
	if e.Projector != nil {
		if err := a.demoProject(ctx, e, s, anew); err != nil {
			return err
		}
	}
	if !once {
		service.SetConsent("") // from now on there is a page that asks
		if err := a.demoLive(ctx, e, s, clock, listener); err != nil {
			return err
		}
	}
	a.demoNext(s.DataDir, kept)
	return nil
}

// demoStore reports whether there is no store in dir yet. One that holds other people is an error.
func demoStore(ctx context.Context, dir string) (anew bool, err error) {
	r, err := store.OpenReader(ctx, dir)
	var file *store.FileError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case errors.As(err, &file) && !file.Corrupt:
		return false, nil // to be migrated, or refused, when it is opened for writing
	case err != nil:
		return false, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	people, err := r.Persons(ctx)
	for _, p := range people {
		if p.Name != demoPerson {
			return false, fmt.Errorf("%s holds the data of %s: choose another folder for the demo", dir, p.Name)
		}
	}
	return false, err
}

// demoListen opens the address of the status page: the one that is asked for, else the daemon's usual one, else any.
func demoListen(address string) (net.Listener, error) {
	if address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("--listen: %w", err)
		}
		return l, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:8099")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot serve the status page: %w", err)
	}
	return l, nil
}

// demoPull connects the demo's source and pulls four weeks.
func (a *app) demoPull(ctx context.Context, e *engine.Engine) error {
	a.demoText("walkd demo: the steps of a real person, days of a public Fitbit data set from 2016, moved so that they end now, in a " +
		"simulated Google Health on this machine. walkd connects and pulls them as it would pull yours.")
	begin := time.Now()
	begun, err := e.BeginConnect(ctx, demoPerson, demoSource)
	if err != nil {
		return err
	}
	answer, err := giveConsent(ctx, begun.URL)
	if err != nil {
		return fmt.Errorf("the simulated consent: %w", err)
	}
	done, err := e.FinishConnect(ctx, answer)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\nConnected to %s by OAuth, %d ms.\n", done.Service, time.Since(begin).Milliseconds())

	begin = time.Now()
	bar := a.newProgress(1, 1)
	p, err := e.Store.Person(ctx, demoPerson)
	if err != nil {
		return err
	}
	today := p.Zones.Day(e.Clock.Now())
	// As a poll does, for the last days and how far the device has synced, then what was before.
	results, err := e.Sync(ctx, pull.SyncRequest{}, nil)
	if err == nil {
		var more []pull.SyncResult
		more, err = e.Sync(ctx, pull.SyncRequest{From: today - demoDays, To: today}, bar.pulling)
		results = append(results, more...)
	}
	bar.finish()
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	n, err := e.Store.Count(ctx)
	if err != nil {
		return err
	}
	requests := int64(0)
	for _, r := range e.Puller.Requests() {
		requests += r.Count
	}
	fmt.Fprintf(a.stdout, "%s with steps pulled, %s derived, %s, %.1f s.\n", count(int(n.Records), "minute"),
		count(int(n.Days), "day"), count(int(requests), "request"), time.Since(begin).Seconds())
	return nil
}

// giveConsent does what a person does in a browser, and returns the address to which the simulated service, which
// consents at once, then sends that.
func giveConsent(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		return "", fmt.Errorf("the browser ends at %s", resp.Status)
	}
	return resp.Header.Get("Location"), nil
}

// demoCallback returns where the simulated service sends a browser: to the page of the demo, if there is one.
func demoCallback(page net.Listener) string {
	if page == nil {
		return "http://localhost" + web.CallbackPath // nobody goes there
	}
	host, port, err := net.SplitHostPort(page.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + web.CallbackPath
}

// demoShow shows the days, today, and what was decided.
func (a *app) demoShow(ctx context.Context, e *engine.Engine, s settings) error {
	now := e.Clock.Now()
	p, err := e.Store.Person(ctx, demoPerson)
	if err != nil {
		return err
	}
	a.demoHeading("The last four weeks: walking minutes a day, and their mean over seven days")
	if err := a.daysTable(ctx, &e.Store.Reader, p, daysOptions{quiet: true}, now, false, false); err != nil {
		return err
	}
	a.demoHeading("Today, and what walkd says to it")
	view, err := todayOf(ctx, &e.Store.Reader, p, now)
	if err != nil {
		return err
	}
	states, err := pull.States(ctx, &e.Store.Reader, accounts(s), now, time.Now())
	if err != nil {
		return err
	}
	for _, state := range statesOf(states, p.Name) {
		state.Next, state.Backfill = time.Time{}, nil // time stands still here
		view.Sources = append(view.Sources, state)
	}
	return renderToday(a.stdout, view, a.style())
}

// demoLive goes on until Ctrl-C, which is no error.
func (a *app) demoLive(ctx context.Context, e *engine.Engine, s settings, clock *demoClock, listener net.Listener) error {
	a.demoHeading("Live")
	a.demoText(fmt.Sprintf("From here on an hour goes by in a minute. The status page is at http://%s/ ; Ctrl-C ends the demo.",
		listener.Addr()))
	fmt.Fprintln(a.stdout)
	said := ""
	e.Assessed = func(p store.Person, s nudges.Situation, ds []nudges.Decision) {
		now := s.Now.In(p.Zones.At(s.Now))
		for _, d := range ds {
			line := fmt.Sprintf("%s min, %s: %s", whole(s.Today.Walking), d.Reason, d.Why)
			if line == said {
				continue
			}
			said = line
			a.demoText(now.Format("Mon 15:04") + "  " + line)
			if d.Send {
				a.demoText(indent + "» " + a.style().strong(d.Title))
				a.demoText(indent + "  " + d.Body)
			}
		}
	}
	clock.start()
	note := fmt.Sprintf("A demo: the days of a real person in a simulated Google Health. Time goes by %d times as fast.", demoSpeed)
	err := a.serve(ctx, e, s, listener, statusPage(e, note, 5*time.Second))
	if ctx.Err() != nil {
		fmt.Fprintln(a.stdout)
	}
	return err
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
		{"connect --help", "your own watch, by Google Health"},
		{"days", "your days, once something is there"},
	}
	if kept {
		next = append(next, [2]string{"days --json --data-dir " + dir, "look at the demo's days again"})
	} else {
		next = append(next, [2]string{"demo --once --data-dir walkd-demo", "the demo again, with a store to look into"})
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

// A service is the simulated Google Health of the demo, on a port of this machine.
type service struct {
	*healthsim.Service
	settings *googlehealth.Settings
	server   *http.Server
	served   chan error
}

// startService starts a simulated Google Health that knows the demo's person, who consents at once. It sends browsers to
// callback.
func startService(c engine.Clock, home *time.Location, callback string) (*service, error) {
	life, err := simulate.Volunteer()
	if err != nil {
		return nil, err
	}
	now := c.Now().In(home)
	person, err := simulate.NewPerson(simulate.Plan{
		Name: demoPerson, Life: life, Home: home, First: walking.DayOf(now.Date()) - walking.Day(life.Days()-1), Zeros: true,
	})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot start the simulated service: %w", err)
	}
	base := "http://" + listener.Addr().String()
	settings := googlehealth.Defaults()
	settings.ClientID, settings.ClientSecret = "walkd-demo", rand.Text()
	settings.RedirectURL = callback
	settings.APIURL, settings.AuthURL, settings.TokenURL = base, base+"/o/oauth2/v2/auth", base+"/token"
	settings.RevokeURL = base + "/revoke"
	health := healthsim.New(healthsim.Options{
		Now: c.Now, Wall: time.Now, ClientID: settings.ClientID, ClientSecret: settings.ClientSecret,
		RedirectURLs: []string{settings.RedirectURL}, Consent: demoPerson,
	})
	health.Add(person)
	s := &service{Service: health, settings: settings, served: make(chan error, 1), server: &http.Server{
		Handler: health, ReadHeaderTimeout: 5 * time.Second,
	}}
	go func() { s.served <- s.server.Serve(listener) }()
	return s, nil
}

// stop ends the service.
func (s *service) stop() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
