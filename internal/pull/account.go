package pull

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// An account is a Config at work.
type account struct {
	Config
	spec   ingest.Spec
	auth   ingest.Authorizer // nil if there is nothing to consent to
	remedy string            // how to connect it
	secret *redactor

	polls, backfills, asks *lane
	busy                   chan struct{} // holds one element while somebody polls or syncs
	renewal                chan struct{} // holds one element while somebody looks at or renews the token

	mu       sync.Mutex // guards what follows
	loaded   bool
	key      store.AccountKey
	grant    grant
	consents int // given since the start
	mem      memory
}

// memory is what is kept of an account, as JSON. Instants are on the domain clock unless they say otherwise.
type memory struct {
	Polled   time.Time   `json:"polled,omitzero"`   // when it was last its turn
	Success  time.Time   `json:"success,omitzero"`  // when a poll last ended well
	Data     time.Time   `json:"data,omitzero"`     // when all data that was due was last fetched
	Synced   time.Time   `json:"synced,omitzero"`   // what the probe last told when data was then fetched
	Probed   time.Time   `json:"probed,omitzero"`   // what the probe said last
	Sessions time.Time   `json:"sessions,omitzero"` // when sessions were last fetched
	Week     walking.Day `json:"week,omitzero"`     // of the last look back over eight days
	Month    walking.Day `json:"month,omitzero"`    // of the last look back over 37
	Cost     float64     `json:"cost,omitzero"`     // requests of an ordinary poll that fetches data, smoothed
	Begin    time.Time   `json:"begin,omitzero"`    // wall, of the 24 hours that Used counts in
	Used     int         `json:"used,omitzero"`     // requests of polls
	Cursor   string      `json:"cursor,omitempty"`  // of the feed
	Problem  *Problem    `json:"problem,omitempty"`
	// Stopped is the fingerprint of the application with which consent was refused; "" if it was not.
	Stopped   string    `json:"stopped,omitempty"`
	Locked    bool      `json:"locked,omitzero"`     // the consent is there, and cannot be read
	Held      bool      `json:"held,omitzero"`       // the problem is only that walkd keeps to the limits
	Failures  int       `json:"failures,omitzero"`   // in a row
	NotBefore time.Time `json:"not_before,omitzero"` // wall
	History   *history  `json:"history,omitempty"`
	Off       []OffDay  `json:"off,omitempty"` // by day
}

// history is how far the backfill has come.
type history struct {
	From  walking.Day `json:"from"`           // everything from this day on is there, but for the gaps
	Empty int         `json:"empty,omitzero"` // days in a row, up to From, without anything
	Done  bool        `json:"done,omitzero"`
	Gaps  []gap       `json:"gaps,omitempty"` // after From, still to be fetched
	// Checked is the day from which on the totals were asked for, if the provider can be asked; zero before that.
	Checked   walking.Day `json:"checked,omitzero"`
	Problem   *Problem    `json:"problem,omitempty"`
	Failures  int         `json:"failures,omitzero"`
	NotBefore time.Time   `json:"not_before,omitzero"` // wall
}

// gap is a range of days, both inclusive.
type gap struct {
	First walking.Day `json:"first"`
	Last  walking.Day `json:"last"`
}

// complete reports whether there is nothing left to fetch.
func (h *history) complete() bool { return h.Done && len(h.Gaps) == 0 }

const (
	defaultLookBack = 48 * time.Hour
	defaultFarBack  = 37 * 24 * time.Hour
	defaultWaking   = 25 * time.Minute
	defaultNight    = time.Hour
)

// newAccount returns the account of c, of which nothing is loaded.
func newAccount(c Config, connect string) *account {
	a := &account{
		Config: c, spec: specOf(c), remedy: connect, secret: &redactor{},
		busy: make(chan struct{}, 1), renewal: make(chan struct{}, 1),
		key: store.AccountKey{Source: c.Source},
	}
	if auth, ok := c.Provider.(ingest.Authorizer); ok {
		a.auth = auth
		a.secret.fixed = func() []string {
			a.mu.Lock()
			defer a.mu.Unlock()
			t, pending := a.grant.token, a.grant.pending
			return append(slices.Clone(auth.Secrets()), t.Access, t.Refresh, pending.Access, pending.Refresh)
		}
	}
	return a
}

// specOf returns the provider's Spec with its defaults.
func specOf(c Config) ingest.Spec {
	spec := c.Provider.Spec()
	spec.Service = cmp.Or(spec.Service, c.Kind)
	spec.LookBack = cmp.Or(spec.LookBack, defaultLookBack)
	spec.FarBack = cmp.Or(spec.FarBack, defaultFarBack)
	spec.Waking = cmp.Or(spec.Waking, defaultWaking)
	spec.Night = cmp.Or(spec.Night, defaultNight)
	return spec
}

// connectCommand says how to connect a source.
func connectCommand(c Config, several bool) string {
	if several {
		return fmt.Sprintf("run `walkd connect %s --person %s`", c.Source, c.Person)
	}
	return fmt.Sprintf("run `walkd connect %s`", c.Source)
}

// fingerprint stands for the application and its secrets without giving them away.
func fingerprint(auth ingest.Authorizer) string {
	if auth == nil {
		return ""
	}
	h := sha256.New()
	for _, s := range append([]string{auth.Application()}, auth.Secrets()...) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// load takes over what the store has of the account.
func (p *Puller) load(ctx context.Context, a *account, personID int64, kept store.Account) error {
	var m memory
	if kept.Kind != a.Kind {
		kept = store.Account{} // of another provider
	}
	if len(kept.State) > 0 {
		if err := json.Unmarshal(kept.State, &m); err != nil {
			return fmt.Errorf("pull: state of %s: %w", a.name(), err)
		}
	}
	token, current, locked := p.unseal(a, kept.Token)
	a.secret.add(token.Access, token.Refresh)
	a.mu.Lock()
	a.key.PersonID, a.mem, a.loaded = personID, m, true
	a.grant = grant{token: token, connected: kept.Connected && locked == nil}
	a.mu.Unlock()
	switch {
	case !kept.Connected:
		return nil
	case locked != nil:
		return p.lock(ctx, a, locked)
	case !current:
		if err := p.putToken(ctx, a, kept.Application, token); err != nil {
			return err
		}
		if err := p.o.Store.Scrub(ctx); err != nil {
			return broken(ctx, err)
		}
		p.o.Log.InfoContext(ctx, "the tokens of a source are encrypted as the config says now", "person", a.Person,
			"source", a.Source)
	}
	if m.Locked {
		return p.change(ctx, a, func(m *memory) { mended(m) })
	}
	return nil
}

func (a *account) name() string { return a.Person + "/" + a.Source }

// isConnected reports whether there is a consent, or none is needed.
func (a *account) isConnected() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.auth == nil || a.grant.connected
}

// consent returns a number that stands for the consent in force.
func (a *account) consent() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.consents
}

func (a *account) memory() memory {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mem.clone()
}

func (m memory) clone() memory {
	if m.History != nil {
		h := *m.History
		h.Gaps = append([]gap(nil), h.Gaps...)
		m.History = &h
	}
	m.Off = slices.Clone(m.Off)
	return m
}

// change changes what is kept of the account, and returns once that is on disk.
func (p *Puller) change(ctx context.Context, a *account, f func(m *memory)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.mem.clone()
	f(&m)
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("pull: state of %s: %w", a.name(), err)
	}
	if err := p.o.Store.PutAccountState(ctx, a.key, a.Kind, text); err != nil {
		return &storeError{err}
	}
	a.mem = m
	return nil
}

// settle turns whatever went wrong with an account into an *ingest.Error without secrets. What is nobody's failure
// stays: that ctx has ended, and a *storeError.
func (a *account) settle(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var broken *storeError
	if errors.As(err, &broken) {
		return broken
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	out := &ingest.Error{Class: ingest.Transient}
	text := err.Error()
	var (
		ours   *failure
		held   *unsent
		told   *ingest.Error
		asking *url.Error
	)
	switch {
	case errors.As(err, &held):
		told = held.told
	case errors.As(err, &ours):
		told = ours.told
	case errors.As(err, &told):
	case errors.As(err, &asking):
		text = asking.Err.Error()
		if u, err := url.Parse(asking.URL); err == nil {
			text = fmt.Sprintf("no answer from %s: %s", u.Host, text)
		}
	}
	if told != nil {
		out.Class, out.RetryAfter, out.Status = told.Class, told.RetryAfter, told.Status
		out.Remedy = a.secret.clean(told.Remedy)
		text = "something went wrong"
		if told.Err != nil {
			text = told.Err.Error()
		}
	}
	out.Err = errors.New(a.secret.clean(strings.TrimSpace(text)))
	if out.Class == ingest.Auth && a.auth != nil && (out.Remedy == "" || out.Remedy == ingest.ConnectAgain) {
		out.Remedy = a.remedy
	}
	return out
}

const (
	firstDelay     = time.Minute
	longestDelay   = time.Hour
	shortestPause  = time.Minute
	longestPause   = 24 * time.Hour
	permanentDelay = 6 * time.Hour
	// refusals is how many times in a row a provider has to refuse a token that it has only just given, until the
	// person is asked to connect again.
	refusals = 5
)

// delay returns how long to leave an account alone after it has failed so many times in a row. The jitter is the
// account's own, and the same every time.
func (a *account) delay(e *ingest.Error, failures int) time.Duration {
	backoff := longestDelay
	if failures < 7 {
		backoff = firstDelay << max(0, failures-1)
	}
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, a.name(), failures)
	backoff = min(longestDelay, time.Duration(float64(backoff)*(1+float64(h.Sum64()%256)/512)))
	pause := min(e.RetryAfter, longestPause)
	switch {
	case e.Class == ingest.Throttled && pause > 0:
		return max(pause, shortestPause)
	case e.Class == ingest.Permanent, e.Class == ingest.Auth && a.auth == nil:
		return permanentDelay
	}
	return max(backoff, pause)
}

// failed notes that an account could not be asked, or not backfilled, with a consent, and returns err as settled. It
// says so once. That a consent is no good is not noted if another has been given since.
func (p *Puller) failed(ctx context.Context, a *account, why purpose, consent int, err error) error {
	var (
		e    *ingest.Error
		held *unsent
	)
	ours := errors.As(err, &held)
	if err = a.settle(ctx, err); !errors.As(err, &e) {
		return err // nobody's failure
	}
	if e.Class == ingest.Auth && a.consent() != consent {
		return err
	}
	if e.Class == ingest.Auth && e.Status == http.StatusUnauthorized && a.memory().Failures < refusals-1 {
		// A provider in trouble refuses good tokens, and nobody should have to connect again because of that.
		e = &ingest.Error{Class: ingest.Transient, Status: e.Status, Err: e.Err}
		err = e
	}
	now, wall := p.o.Clock.Now(), p.o.Wall.Now()
	begun := false
	changed := p.change(ctx, a, func(m *memory) {
		problem := &Problem{Class: e.Class, Text: e.Err.Error(), Remedy: e.Remedy, Since: now}
		shown, failures, notBefore := &m.Problem, &m.Failures, &m.NotBefore
		if why == backfilling && e.Class != ingest.Auth && m.History != nil {
			shown, failures, notBefore = &m.History.Problem, &m.History.Failures, &m.History.NotBefore
		}
		*failures++
		*notBefore = wall.Add(a.delay(e, *failures)).UTC()
		if before := *shown; before != nil && before.Class == problem.Class {
			problem.Since = before.Since
		} else {
			begun = true
		}
		*shown = problem
		if shown == &m.Problem {
			m.Held = ours
		}
		if e.Class == ingest.Auth && a.auth != nil {
			m.Stopped = fingerprint(a.auth)
		}
		if e.Class == ingest.Throttled && e.Status != 0 && m.NotBefore.Before(*notBefore) {
			m.NotBefore = *notBefore // the provider has said so: for polls as well
		}
	})
	if changed != nil {
		return changed
	}
	if begun {
		p.o.Log.InfoContext(ctx, "cannot pull from a source", "person", a.Person, "source", a.Source,
			"class", string(e.Class), "problem", e.Err.Error(), "remedy", e.Remedy)
	}
	return err
}

// mended notes in m that an account answers again, and returns what was wrong.
func mended(m *memory) *Problem {
	before := m.Problem
	m.Problem, m.Stopped, m.Locked, m.Held, m.Failures, m.NotBefore = nil, "", false, false, 0, time.Time{}
	return before
}

func (p *Puller) sayMended(ctx context.Context, a *account, before *Problem) {
	if before != nil {
		p.o.Log.InfoContext(ctx, "a source answers again", "person", a.Person, "source", a.Source,
			"class", string(before.Class), "since", before.Since)
	}
}

// refused returns the problem of an account that waits for its person, or nil. A refusal no longer counts when the
// application or its secrets have changed since.
func (m *memory) refused(auth ingest.Authorizer) *Problem {
	if auth == nil || m.Problem == nil || m.Problem.Class != ingest.Auth || m.Stopped != fingerprint(auth) {
		return nil
	}
	return m.Problem
}

// pause returns until when the account is to be left alone, on the wall; zero if it is not. One that reaches further
// than any can was noted while the clock was wrong.
func pause(notBefore, wall time.Time) time.Time {
	if !notBefore.After(wall) || notBefore.Sub(wall) > longestPause {
		return time.Time{}
	}
	return notBefore
}

// stalled reports the pause of an account whose application has not changed since it was refused.
func (m *memory) stalled(auth ingest.Authorizer, wall time.Time) time.Time {
	if auth != nil && m.Problem != nil && m.Problem.Class == ingest.Auth {
		return time.Time{} // refused, or the application has changed: then it is tried at once
	}
	return pause(m.NotBefore, wall)
}

// rhythmOf returns when an account is polled whose polls may make daily requests a day.
func rhythmOf(c Config, spec ingest.Spec, person store.Person, m memory, daily int, wall time.Time) rhythm {
	waking, night := spec.Waking, spec.Night
	if daily > 0 && m.Cost > cheap {
		// At this rate the rest of the day's requests lasts for the rest of the day.
		left, until := daily-spare-m.Used, m.Begin.Add(24*time.Hour).Sub(wall)
		if until <= 0 || until > 24*time.Hour {
			left, until = daily-spare, 24*time.Hour
		}
		pace := time.Duration(float64(until) * m.Cost / float64(max(1, left))).Truncate(time.Second)
		pace = min(pace, 24*time.Hour)
		waking, night = max(waking, pace), max(night, pace)
	}
	return rhythm{zones: person.Zones, quiet: person.Quiet, waking: waking, night: night, seed: seed(c.Person, c.Source)}
}

const (
	// cheap is how many requests a poll may take on average to be made as often as the Spec says, without DefaultDaily
	// being used up before the day ends.
	cheap = 2.9
	// spare is how many of the day's requests are left for look-backs.
	spare = 15
)

// count counts requests made by polls, in the window of 24 hours in which they are limited.
func (m *memory) count(requests int, wall time.Time) {
	if since := wall.Sub(m.Begin); since < 0 || since >= 24*time.Hour {
		m.Begin, m.Used = wall.UTC(), 0
	}
	m.Used += requests
}

// spent notes how many requests an ordinary poll took that fetched data.
func (m *memory) spent(requests int) {
	const weight = 0.2
	if m.Cost == 0 {
		m.Cost = float64(requests)
	}
	m.Cost += weight * (float64(requests) - m.Cost)
}

// acquire takes a channel of one element as a lock, unless ctx ends first.
func acquire(ctx context.Context, lock chan struct{}) error {
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
