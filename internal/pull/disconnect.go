package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

// Disconnect ends a person's consent: with the provider if it has a way for that, and here. What was pulled stays. An
// error means that nothing has changed, so that it can be tried again.
func (p *Puller) Disconnect(ctx context.Context, person, source string) (Disconnected, error) {
	a, err := p.find(ctx, person, source)
	if err != nil {
		return Disconnected{}, err
	}
	out := Disconnected{Person: a.Person, Source: a.Source, Service: a.spec.Service}
	if a.isConnected() {
		// Some providers want an access token that holds. A renewal that rotates is kept, whatever becomes of ending.
		_, err := p.access(ctx, a, a.asks, "")
		err = a.settle(ctx, err)
		var e *ingest.Error
		refused := errors.As(err, &e) && e.Class == ingest.Auth // it has ended by itself
		if err != nil && !refused {
			return out, fmt.Errorf("nothing has changed: %w", err)
		}
	}
	if err := acquire(ctx, a.renewal); err != nil { // a renewal under way would bring it back
		return out, err
	}
	defer func() { <-a.renewal }()
	a.mu.Lock()
	g, locked := a.grant, a.mem.Locked
	a.mu.Unlock()
	token := g.token
	if g.kept {
		token = g.pending // that the provider goes by now
	}
	if !g.connected && !locked {
		return out, fmt.Errorf("%s of %s is not connected, so there is nothing to end", source, person)
	}
	byHand := fmt.Sprintf("take the access away from walkd in your account with %s as well", a.spec.Service)
	revoker, ok := a.auth.(ingest.Revoker)
	switch {
	case !ok || locked:
		out.Remedy = byHand
	default:
		err := p.guard(ctx, a, func() error { return revoker.Revoke(ctx, a.asks.exchange, token) })
		var e *ingest.Error
		switch err = a.settle(ctx, err); {
		case err == nil:
			out.Revoked = true
		case errors.As(err, &e) && (e.Class == ingest.Permanent || e.Class == ingest.Auth):
			out.Remedy = byHand
			if e.Remedy != "" && e.Class == ingest.Permanent {
				out.Remedy = e.Remedy
			}
			p.o.Log.InfoContext(ctx, "the provider does not end a consent", "person", a.Person, "source", a.Source, "err", err)
		default:
			return out, fmt.Errorf("nothing has changed: %w", err)
		}
	}
	// The provider has ended it: to break off here would only leave a token that is worth nothing.
	ctx = context.WithoutCancel(ctx)
	if err := p.o.Store.DropToken(ctx, a.key); err != nil {
		return out, &storeError{err}
	}
	a.mu.Lock()
	a.grant = grant{}
	a.consents++
	a.mu.Unlock()
	if err := p.change(ctx, a, func(m *memory) { mended(m); m.Polled = time.Time{} }); err != nil {
		return out, err
	}
	p.o.Log.InfoContext(ctx, "a source is disconnected", "person", a.Person, "source", a.Source, "revoked", out.Revoked)
	return out, nil
}

// find returns the account that a person and a source name, with what the store has of it.
func (p *Puller) find(ctx context.Context, person, source string) (*account, error) {
	i := slices.IndexFunc(p.accounts, func(a *account) bool { return a.Person == person && a.Source == source })
	if i < 0 {
		return nil, fmt.Errorf("pull: %w", p.noAccount(person, source))
	}
	a := p.accounts[i]
	if a.auth == nil {
		return nil, fmt.Errorf("pull: %s needs no consent: it is polled as it stands in the config", source)
	}
	if !a.isLoaded() {
		if _, err := p.people(ctx); err != nil {
			return nil, err
		}
	}
	if !a.isLoaded() {
		return nil, fmt.Errorf("pull: %s is not in the store yet: start walkd again", person)
	}
	return a, nil
}
