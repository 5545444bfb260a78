package pull

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"golang.org/x/oauth2"
)

const (
	attemptLife = 10 * time.Minute // wall
	maxAttempts = 100
)

// An attempt is a consent that was asked for.
type attempt struct {
	account *account
	consent ingest.Consent
	begun   time.Time // wall
	used    bool
	end     *ending
}

// An ending is what came of the first answer to an attempt.
type ending struct {
	once      sync.Once
	told      chan struct{} // closed once the rest is set
	connected Connected
	err       error
}

func (e *ending) tell(c Connected, err error) {
	e.once.Do(func() {
		e.connected, e.err = c, err
		close(e.told)
	})
}

var errUnknownAttempt = errors.New("walkd does not know this attempt to connect, or it is too old: connect again")

// Begin begins to connect a person's source: the person is to open the URL within ten minutes, and what the provider
// then redirects to is for Finish. An attempt that was begun before stays valid.
func (p *Puller) Begin(ctx context.Context, person, source string) (Connection, error) {
	a, err := p.find(ctx, person, source)
	if err != nil {
		return Connection{}, err
	}
	at := attempt{
		account: a, begun: p.o.Wall.Now(),
		consent: ingest.Consent{State: rand.Text(), Verifier: oauth2.GenerateVerifier()},
		end:     &ending{told: make(chan struct{})},
	}
	a.secret.add(at.consent.Verifier)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = slices.DeleteFunc(p.attempts, func(o attempt) bool { return o.expired(at.begun) })
	p.attempts = append(p.attempts[max(0, len(p.attempts)-maxAttempts+1):], at)
	return Connection{
		URL: a.auth.ConsentURL(at.consent), Redirect: a.auth.RedirectURL(), State: at.consent.State,
		Person: person, Source: source, Service: a.spec.Service,
	}, nil
}

func (t attempt) expired(wall time.Time) bool {
	since := wall.Sub(t.begun)
	return since > attemptLife || since < -attemptLife
}

func (a *account) isLoaded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.loaded
}

// Consents returns how those stand that a person has given, as of now.
func (p *Puller) Consents(person string) []Consent {
	var out []Consent
	for _, a := range p.accounts {
		if a.Person != person || a.auth == nil {
			continue
		}
		a.mu.Lock()
		c := Consent{Source: a.Source, Service: a.spec.Service, Ends: ends(a.grant.token), Problem: a.mem.refused(a.auth)}
		given := a.grant.connected || a.mem.Locked
		a.mu.Unlock()
		if given {
			out = append(out, c)
		}
	}
	return out
}

// Finish ends an attempt to connect. redirected is the address to which the provider has sent the browser, or only its
// query, as a person pasted it. The new grant replaces the one before, and nothing that was pulled with that is lost.
func (p *Puller) Finish(ctx context.Context, redirected string) (Connected, error) {
	answer, err := parseAnswer(redirected)
	if err != nil {
		return Connected{}, err
	}
	at, err := p.take(answer.Get("state"))
	if err != nil {
		if told := answer.Get("error"); told != "" {
			err = refusal("the provider", told)
		}
		return Connected{}, err
	}
	done, err := p.finish(ctx, at, answer)
	at.end.tell(done, err)
	return done, err
}

// Await waits until an attempt, named by its state, has got its first answer by whatever way, and returns what Finish
// has returned for that.
func (p *Puller) Await(ctx context.Context, state string) (Connected, error) {
	p.mu.Lock()
	i := slices.IndexFunc(p.attempts, func(t attempt) bool { return t.consent.State == state })
	if i < 0 {
		p.mu.Unlock()
		return Connected{}, errUnknownAttempt
	}
	end := p.attempts[i].end
	p.mu.Unlock()
	select {
	case <-ctx.Done():
		return Connected{}, ctx.Err()
	case <-end.told:
		return end.connected, end.err
	}
}

// finish takes the answer to an attempt.
func (p *Puller) finish(ctx context.Context, at attempt, answer url.Values) (Connected, error) {
	a := at.account
	code := answer.Get("code")
	switch told := answer.Get("error"); {
	case told != "":
		return Connected{}, refusal(a.spec.Service, told)
	case code == "":
		return Connected{}, errors.New("the address holds no code: paste all of it, or connect again")
	}
	a.secret.add(code)
	token, err := a.auth.Exchange(ctx, a.asks.exchange, at.consent, code)
	if err = a.settle(ctx, err); err != nil {
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class == ingest.Transient || e.Class == ingest.Throttled {
			p.putBack(at) // the code may still be good
		}
		if e != nil && e.Remedy == "" {
			e.Remedy = "try to connect again in a minute"
		}
		return Connected{}, err
	}
	a.secret.add(token.Access, token.Refresh)
	if err := p.adopt(ctx, a, token); err != nil {
		return Connected{}, err
	}
	p.o.Log.InfoContext(ctx, "a source is connected", "person", a.Person, "source", a.Source)
	p.ring()
	done := Connected{
		Person: a.Person, Source: a.Source, Service: a.spec.Service, Scopes: token.Scopes, Ends: ends(token),
	}
	done.Zone, done.Trouble = p.zone(ctx, a)
	return done, nil
}

// adopt stores a new grant and lets the account begin with it. The end of ctx does not break that off: the code is used,
// and the grant before may have ended with it.
func (p *Puller) adopt(ctx context.Context, a *account, token ingest.Token) error {
	ctx = context.WithoutCancel(ctx)
	if err := acquire(ctx, a.renewal); err != nil { // a renewal under way would overwrite it
		return err
	}
	defer func() { <-a.renewal }()
	a.mu.Lock()
	before := a.grant
	a.consents++
	a.mu.Unlock()
	// First what was wrong is forgotten: after a crash in between, the consent from before is refused once more. The
	// other way round nobody would try the new one.
	err := p.change(ctx, a, func(m *memory) {
		mended(m)
		m.Polled = time.Time{}
		if h := m.History; h != nil {
			h.Problem, h.Failures, h.NotBefore = nil, 0, time.Time{}
		}
		if before.connected && !sameScopes(before.token.Scopes, token.Scopes) {
			m.History = nil // there may be more to see now
		}
	})
	if err != nil {
		return err
	}
	if err := p.putToken(ctx, a, a.auth.Application(), token); err != nil {
		return err
	}
	a.mu.Lock()
	a.grant = grant{connected: true, token: token, issued: p.o.Wall.Now()}
	a.mu.Unlock()
	return nil
}

func sameScopes(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// ends returns when a grant ends by itself: at the latest with a token that cannot be renewed.
func ends(t ingest.Token) time.Time {
	if t.Ends.IsZero() && t.Refresh == "" {
		return t.Expiry
	}
	return t.Ends
}

// zone asks where the person lives, if the source knows that. It is not important enough to fail, but the first question
// with a consent may show that it is worth nothing.
func (p *Puller) zone(ctx context.Context, a *account) (zone *time.Location, trouble string) {
	zoner, ok := a.asks.source.(ingest.Zoner)
	if !ok {
		return nil, ""
	}
	err := p.guard(ctx, a, func() (err error) {
		zone, err = zoner.Zone(ctx)
		return err
	})
	if err = a.settle(ctx, err); err != nil {
		p.o.Log.InfoContext(ctx, "the provider does not tell the home zone", "person", a.Person, "source", a.Source,
			"err", err)
		var e *ingest.Error
		if errors.As(err, &e) && (e.Class == ingest.Permanent || e.Class == ingest.Auth) {
			trouble = e.Error()
		}
		return nil, trouble
	}
	return zone, ""
}

// take returns the attempt with a state. It can be taken once.
func (p *Puller) take(state string) (attempt, error) {
	if state == "" {
		return attempt{}, errors.New("the address holds no state: paste all of it, from http to the end; if the browser shows " +
			"an error of the provider, compare client_id and redirect_url in the config with what is registered there")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.attempts {
		t := &p.attempts[i]
		if t.consent.State != state {
			continue
		}
		switch {
		case t.expired(p.o.Wall.Now()):
			return attempt{}, errors.New("this attempt to connect is more than ten minutes old: connect again")
		case t.used:
			return attempt{}, errors.New("this answer was used already: if the source is not connected, connect again")
		}
		t.used = true
		return *t, nil
	}
	return attempt{}, errUnknownAttempt
}

func (p *Puller) putBack(t attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.attempts {
		if p.attempts[i].consent.State == t.consent.State {
			p.attempts[i].used = false
		}
	}
}

// parseAnswer reads the query of a pasted address.
func parseAnswer(text string) (url.Values, error) {
	text = strings.Trim(text, " \t\r\n\"'`<>“”‘’«»")
	text, _, _ = strings.Cut(text, "#")
	if _, query, ok := strings.Cut(text, "?"); ok {
		text = query
	}
	v, err := url.ParseQuery(strings.Join(strings.Fields(text), "")) // terminals break long lines
	if err != nil || len(v) == 0 {
		return nil, errors.New("this is not the address that the browser was sent to: paste all of it")
	}
	return v, nil
}

// refusal says why there is no consent. The provider's word for it is its own, as long as it is one.
func refusal(service, told string) error {
	if told == "access_denied" {
		return fmt.Errorf("you refused %s the consent, so nothing is connected: connect again if you change your mind",
			strings.TrimPrefix(service, "the "))
	}
	switch told {
	case "invalid_request", "unauthorized_client", "invalid_scope", "redirect_uri_mismatch", "invalid_client":
		return fmt.Errorf("%s gave no consent (%s): compare client_id and redirect_url in the config with what is registered "+
			"there, to the letter, and connect again", service, told)
	}
	word := strings.IndexFunc(told, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) < 0
	if !word || len(told) > 64 {
		return fmt.Errorf("%s gave no consent: connect again", service)
	}
	return fmt.Errorf("%s gave no consent (%s): connect again", service, told)
}
