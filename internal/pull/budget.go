package pull

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
)

const (
	backfillShare = 0.7              // of each limit: the rest is kept for polls
	patience      = 90 * time.Second // how long backfilling, or a person, waits for a share within a fetch
	ownLimit      = "polls a day"    // the name of Options.Daily
)

// unsent says that a request was not sent because of a limit.
type unsent struct{ failure }

// A storeError says that the store is broken, which is nobody's fault who is asked for data.
type storeError struct{ err error }

func (e *storeError) Error() string { return fmt.Sprintf("pull: %v", e.err) }

func (e *storeError) Unwrap() error { return e.err }

// budget counts every request against the limits before it is sent, and corrects them by what the provider tells.
type budget struct {
	puller  *Puller
	account *account
	purpose purpose
	renewal bool // never waits: everybody waits for it
	sent    *atomic.Int64
	next    http.RoundTripper
}

func (b budget) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := b.spend(req.Context()); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	b.sent.Add(1)
	resp, err := b.next.RoundTrip(req)
	if err != nil || b.account.spec.Allowance == nil {
		return resp, err
	}
	if err := b.correct(req.Context(), resp.Header); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func (b budget) spend(ctx context.Context) error {
	claims := b.claims()
	if len(claims) == 0 {
		return nil
	}
	for {
		wait, err := b.puller.o.Store.Spend(ctx, claims, b.puller.o.Wall.Now())
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return &storeError{err}
		case wait <= 0:
			return nil
		case b.purpose == polling || b.renewal || wait > patience:
			return &unsent{failure{&ingest.Error{
				Class: ingest.Throttled, RetryAfter: wait,
				Err: fmt.Errorf("as many requests are made as the limits allow; more in %s", wait.Round(time.Second)),
			}}}
		}
		timer, stop := b.puller.o.Wall.NewTimer(wait)
		select {
		case <-ctx.Done():
			stop()
			return ctx.Err()
		case <-timer:
		}
	}
}

// claims returns the limits as far as they go for b's purpose.
func (b budget) claims() []store.Claim {
	out := b.account.limits(b.puller.o.Daily)
	if b.purpose != polling && b.puller.o.Daily > 0 {
		out = out[1:]
	}
	if b.purpose == backfilling {
		for i := range out {
			out[i].Requests = max(1, int(float64(out[i].Requests)*backfillShare))
		}
	}
	return out
}

func (b budget) correct(ctx context.Context, h http.Header) error {
	for _, told := range b.account.spec.Allowance(h) {
		for _, c := range b.account.limits(0) {
			if c.Name != told.Name {
				continue
			}
			err := b.puller.o.Store.CorrectBudget(ctx, c, told.Left, told.Reset, b.puller.o.Wall.Now())
			if err != nil && ctx.Err() == nil {
				return &storeError{err}
			}
		}
	}
	return nil
}

// limits returns all limits of the account in full: walkd's own first, if daily is above zero, then the provider's.
func (a *account) limits(daily int) []store.Claim {
	a.mu.Lock()
	own := ownKey(a.key.PersonID, a.Source)
	a.mu.Unlock()
	return limitsOf(a.Config, a.spec, own, daily)
}

func limitsOf(c Config, spec ingest.Spec, own string, daily int) []store.Claim {
	var out []store.Claim
	if daily > 0 {
		out = append(out, store.Claim{Key: own, Name: ownLimit, Requests: daily, Per: 24 * time.Hour})
	}
	for _, l := range spec.Limits {
		key := own
		if l.App {
			key = c.Kind
			if auth, ok := c.Provider.(ingest.Authorizer); ok {
				key += "/" + auth.Application()
			}
			key = "app:" + key
		}
		out = append(out, store.Claim{Key: key, Name: l.Name, Requests: l.Requests, Per: l.Per})
	}
	return out
}
