package engine_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/notify/ntfy"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// soakEnv holds the soakTask of a child as JSON.
const soakEnv = "WALKD_TEST_SOAK"

// A soakTask is what a child of TestSoak is to do.
type soakTask struct {
	Dir    string // of the store
	URL    string // of the parent: the clock and the services
	Influx string
	Ntfy   string
	Begin  time.Time // when the first child began
	Quiet  time.Time // from then on nothing happens any more, and walkd looks now and then
	End    time.Time
	Step   time.Duration // from Quiet on
	People []soakPerson
}

// A soakPerson is somebody as the config knows them, with a source of a kind.
type soakPerson struct {
	Name, Zone, Kind string
	// Travel is what the config says of it, for those whose source tells no zone.
	Travel []soakChange
}

// A soakChange is a walking.ZoneChange as it goes to a child.
type soakChange struct {
	From time.Time
	Zone string
}

// soakTimeout is how long a service may take: seldom as long as this.
const soakTimeout = 5 * time.Second

// What a child tells with its requests: why it asks, and an ID. A request that comes again with the same ID was sent
// again by net/http, because its connection broke, and is none of walkd's.
const (
	soakPhase = "X-Soak-Phase"
	soakID    = "X-Soak-ID"
	// soakWindow is when the window of 24 hours began in which walkd limits polls.
	soakWindow = "X-Soak-Window"
)

// soakClock is the parent's clock, domain and wall in one. It moves only when the child sets it.
type soakClock struct {
	base string
	now  atomic.Pointer[time.Time]
}

func (c *soakClock) Now() time.Time { return *c.now.Load() }

// NewTimer lets the time go by at once.
func (c *soakClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	to := c.Now().Add(d)
	if err := c.set(to); err != nil {
		panic(err)
	}
	fired := make(chan time.Time, 1)
	fired <- to
	return fired, func() {}
}

// set moves the parent's clock, if to is not zero, and takes it over.
func (c *soakClock) set(to time.Time) error {
	q := url.Values{}
	if !to.IsZero() {
		q.Set("to", to.Format(time.RFC3339Nano))
	}
	resp, err := http.PostForm(c.base+"/clock", q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	now, err := time.Parse(time.RFC3339Nano, string(text))
	c.now.Store(&now)
	return err
}

// phased tells the parent why a request is made.
type phased struct {
	next  http.RoundTripper
	phase atomic.Pointer[string]
	store *store.Store
}

func (p *phased) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(soakPhase, *p.phase.Load())
	r.Header.Set(soakID, rand.Text())
	if begin, err := p.window(r); err == nil {
		r.Header.Set(soakWindow, begin.Format(time.RFC3339Nano))
	}
	return p.next.RoundTrip(r)
}

// window returns when the window began in which the requests for somebody are limited.
func (p *phased) window(r *http.Request) (time.Time, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/p/"), "/")
	person, err := p.store.Person(r.Context(), name)
	if err != nil {
		return time.Time{}, err
	}
	usages, err := p.store.Usages(r.Context())
	for _, u := range usages {
		if u.Key == fmt.Sprintf("%d/watch", person.ID) && u.Name == "polls a day" {
			return u.Begin, nil
		}
	}
	return time.Time{}, errors.Join(err, errors.New("no window"))
}

func (p *phased) set(phase string) { p.phase.Store(&phase) }

// soakQuiet are everybody's quiet hours.
var soakQuiet = walking.WallRange{From: 21*60 + 30, To: 8 * 60}

func soakSettings(people []soakPerson) ([]store.Settings, error) {
	var out []store.Settings
	for _, p := range people {
		zone, err := time.LoadLocation(p.Zone)
		if err != nil {
			return nil, err
		}
		s := store.Settings{Name: p.Name, Zone: zone, Target: 100, Quiet: soakQuiet}
		for _, c := range p.Travel {
			to, err := time.LoadLocation(c.Zone)
			if err != nil {
				return nil, err
			}
			s.Travel = append(s.Travel, walking.ZoneChange{From: c.From, Zone: to})
		}
		out = append(out, s)
	}
	return out, nil
}

func soakAccounts(base string, people []soakPerson, wall pullClock) []pull.Config {
	var out []pull.Config
	for _, p := range people {
		out = append(out, pull.Config{Person: p.Name, Source: "watch", Kind: p.Kind, Provider: soakProvider(base, p, wall)})
	}
	return out
}

// A soaker is walkd in a child.
type soaker struct {
	task   soakTask
	clock  *soakClock
	phased *phased
	log    *slog.Logger
	e      *engine.Engine

	derived time.Time // when the days of everybody were last derived
}

// TestSoakChild is the child of TestSoak: walkd with its clock in the parent.
func TestSoakChild(t *testing.T) {
	text := os.Getenv(soakEnv)
	if text == "" {
		t.SkipNow() // it is no test by itself
	}
	s := &soaker{log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if err := json.Unmarshal([]byte(text), &s.task); err != nil {
		t.Fatal(err)
	}
	if err := s.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func (s *soaker) run(ctx context.Context) (err error) {
	s.clock = &soakClock{base: s.task.URL}
	if err := s.clock.set(time.Time{}); err != nil {
		return err
	}
	st, err := store.Open(ctx, s.task.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	settings, err := soakSettings(s.task.People)
	if err != nil {
		return err
	}
	if err := st.Configure(ctx, settings, s.clock.Now()); err != nil {
		return err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	s.phased = &phased{next: transport, store: st}
	s.phased.set("other")
	e := &engine.Engine{Store: st, Clock: s.clock, Log: s.log, Accounts: soakAccounts(s.task.URL, s.task.People, s.clock)}
	s.e = e
	e.Puller, err = pull.New(pull.Options{
		Store: st, Clock: s.clock, Wall: s.clock, Transport: s.phased, Log: s.log, Synced: e.Synced, Timeout: soakTimeout,
	}, e.Accounts)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: transport}
	channels := map[notify.Address]notify.Channel{}
	e.Nudging = map[string]engine.Nudging{}
	for _, p := range s.task.People {
		c := ntfy.Defaults()
		c.URL = s.task.Ntfy + "/" + p.Name
		if channels[notify.Address{Person: p.Name, Channel: "phone"}], err = c.Channel(client); err != nil {
			return err
		}
		e.Nudging[p.Name] = engine.Nudging{
			Settings: nudges.Settings{MaxPerDay: 4, BehindFrom: 12 * 60}, Channels: []string{"phone"},
		}
	}
	e.Courier = notify.NewCourier(notify.Options{
		Queue: st, Channels: channels, Clock: s.clock, Wall: s.clock, Log: s.log, Timeout: soakTimeout,
	})
	to, err := influx.NewClient(influx.Config{URL: s.task.Influx, Bucket: "walkd"})
	if err != nil {
		return err
	}
	defer to.Close()
	l := engine.Ledger{Store: st, Clock: s.clock}
	e.Projector = influx.New(to, l, l, influx.Options{})
	if err := s.connect(ctx); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return s.live(ctx)
}

// connect gets the consent of everybody who has not given it, or has lost it with an answer that could not be had again.
func (s *soaker) connect(ctx context.Context) error {
	states, err := s.states(ctx)
	if err != nil {
		return err
	}
	browser := &http.Client{
		Transport:     s.phased,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, state := range states {
		if state.Phase != pull.NeedsConsent {
			continue
		}
		s.phased.set("connect")
		c, err := s.e.Puller.Begin(ctx, state.Person, state.Source)
		if err != nil {
			return err
		}
		resp, err := browser.Get(c.URL)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if _, err := s.e.Puller.Finish(ctx, resp.Header.Get("Location")); err != nil {
			var told *ingest.Error
			if errors.As(err, &told) {
				s.log.Warn("cannot connect, trying again with the next round", "person", state.Person, "err", err)
				continue
			}
			return err
		}
	}
	return nil
}

func (s *soaker) states(ctx context.Context) ([]pull.State, error) {
	now := s.clock.Now()
	return pull.States(ctx, &s.e.Store.Reader, s.e.Accounts, now, now)
}

// live does what the loops of walkd do, as time goes by.
func (s *soaker) live(ctx context.Context) error {
	for {
		next, err := s.round(ctx)
		if err != nil {
			return fmt.Errorf("at %s: %w", s.clock.Now(), err)
		}
		now := s.clock.Now()
		if !now.Before(s.task.End) {
			break
		}
		if d := now.Add(time.Minute); next.Before(d) {
			next = d
		}
		if !now.Before(s.task.Quiet) {
			next = now.Add(s.task.Step)
		}
		if next.After(s.task.End) {
			next = s.task.End
		}
		if err := s.clock.set(next); err != nil {
			return err
		}
	}
	s.phased.set("sync")
	results, err := s.e.Puller.Sync(ctx, pull.SyncRequest{}, nil)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		return fmt.Errorf("the last sync: %w", err)
	}
	_, err = s.round(ctx)
	return err
}

func (s *soaker) round(ctx context.Context) (next time.Time, err error) {
	s.phased.set("poll")
	if next, err = s.e.Puller.Poll(ctx); err != nil {
		return next, fmt.Errorf("poll: %w", err)
	}
	s.phased.set("backfill")
	for range 3 {
		more, err := s.e.Puller.Backfill(ctx)
		if err != nil {
			return next, fmt.Errorf("backfill: %w", err)
		}
		if !more {
			break
		}
	}
	s.phased.set("other")
	if now := s.clock.Now(); now.Sub(s.derived) >= time.Hour || !now.Before(s.task.End) {
		if _, err := s.e.Derive(ctx, nil); err != nil { // besides what Synced derives: days that the clock closes
			return next, fmt.Errorf("derive: %w", err)
		}
		s.derived = now
	}
	if err := s.e.Courier.Deliver(ctx); err != nil {
		return next, fmt.Errorf("deliver: %w", err)
	}
	if _, err := s.e.Projector.ProjectDue(ctx); err != nil {
		return next, fmt.Errorf("project: %w", err)
	}
	states, err := s.states(ctx)
	if err != nil {
		return next, err
	}
	for _, state := range states {
		if state.Phase != pull.NeedsConsent {
			continue
		}
		// Oura's refresh tokens hold once, so that one whose answer was lost has cost the consent. No other's do.
		if state.Connected && state.Kind != "oura" {
			return next, fmt.Errorf("%s needs consent: %+v", state.Person, state.Problem)
		}
		if err := s.connect(ctx); err != nil {
			return next, fmt.Errorf("connect: %w", err)
		}
		break
	}
	return next, nil
}
