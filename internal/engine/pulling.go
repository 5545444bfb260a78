package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/pull"
)

// ErrNoSources says that there is nothing to pull from.
var ErrNoSources = errors.New("no source on the network is configured: add a [[person.source]] of kind google-health, oura, polar or withings to the " +
	"config, as config.example.toml shows")

// Synced does what follows when something was pulled for a person: it derives the person's days, decides whether
// anything is worth saying, and has it sent. Its errors are logged.
func (e *Engine) Synced(ctx context.Context, personID int64) {
	if _, err := e.DerivePerson(ctx, personID); err != nil {
		if ctx.Err() == nil {
			e.Log.Error("cannot derive days after a sync, trying again every minute", "err", err)
		}
		return
	}
	if _, err := e.Assess(ctx, personID); err != nil && ctx.Err() == nil {
		e.Log.Error("cannot decide about nudges", "err", err)
	}
}

// Refused does what follows when a provider has refused what a person once consented to. Its errors are logged.
func (e *Engine) Refused(ctx context.Context, personID int64) {
	if _, err := e.Assess(ctx, personID); err != nil && ctx.Err() == nil {
		e.Log.Error("cannot decide about nudges", "err", err)
	}
}

// consentEvery is how often walkd looks whether somebody has to be told again of a consent. After a refusal nothing is
// synced from there, which would be the occasion otherwise.
const consentEvery = time.Hour

func (e *Engine) consentLoop(ctx context.Context) error {
	for {
		timer, stop := e.Clock.NewTimer(consentEvery)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-timer:
		}
		for name := range e.Nudging {
			refused := func(c pull.Consent) bool { return c.Problem != nil }
			if !slices.ContainsFunc(e.Puller.Consents(name), refused) {
				continue
			}
			p, err := e.Store.Person(ctx, name)
			if err != nil {
				if ctx.Err() == nil {
					e.Log.Error("cannot decide about nudges", "err", err)
				}
				continue
			}
			e.Refused(ctx, p.ID)
		}
	}
}

// Sync pulls now what req names. While no loops run, it also sends what follows from it. progress may be nil.
func (e *Engine) Sync(ctx context.Context, req pull.SyncRequest, progress func(pull.Progress)) ([]pull.SyncResult, error) {
	if e.Puller == nil {
		return nil, ErrNoSources
	}
	if progress == nil {
		progress = func(pull.Progress) {}
	}
	results, err := e.Puller.Sync(ctx, req, progress)
	if err != nil {
		return results, err
	}
	if _, err := e.Derive(ctx, nil); err != nil {
		return results, fmt.Errorf("everything is stored, but: %w", err)
	}
	return results, e.deliverNow(ctx)
}

// BeginConnect begins to get a person's consent for a source.
func (e *Engine) BeginConnect(ctx context.Context, person, source string) (pull.Connection, error) {
	if e.Puller == nil {
		return pull.Connection{}, ErrNoSources
	}
	return e.Puller.Begin(ctx, person, source)
}

// FinishConnect takes what came back of a consent.
func (e *Engine) FinishConnect(ctx context.Context, redirected string) (pull.Connected, error) {
	if e.Puller == nil {
		return pull.Connected{}, ErrNoSources
	}
	return e.Puller.Finish(ctx, redirected)
}

// AwaitConnect waits until an attempt to connect has got its first answer, and returns what came of it.
func (e *Engine) AwaitConnect(ctx context.Context, state string) (pull.Connected, error) {
	if e.Puller == nil {
		return pull.Connected{}, ErrNoSources
	}
	return e.Puller.Await(ctx, state)
}

// Disconnect ends a person's consent for a source. What was pulled stays.
func (e *Engine) Disconnect(ctx context.Context, person, source string) (pull.Disconnected, error) {
	if e.Puller == nil {
		return pull.Disconnected{}, ErrNoSources
	}
	return e.Puller.Disconnect(ctx, person, source)
}

// Probe asks every provider what it says of the account.
func (e *Engine) Probe(ctx context.Context) ([]pull.About, error) {
	if e.Puller == nil {
		return nil, nil
	}
	return e.Puller.Probe(ctx)
}

// deliverNow sends what is due if no loop does it.
func (e *Engine) deliverNow(ctx context.Context) error {
	if e.Courier == nil {
		return nil
	}
	e.mu.Lock()
	looping := e.wake != nil
	e.mu.Unlock()
	if looping {
		e.Courier.Wake()
		return nil
	}
	return e.Courier.Deliver(ctx)
}
