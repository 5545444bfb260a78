package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/walkd/walkd/internal/pull"
)

// ErrNoSources says that there is nothing to pull from.
var ErrNoSources = errors.New("no source on the network is configured: add a [[person.source]] such as google-health to the config")

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

// Probe asks every source how far its device has synced.
func (e *Engine) Probe(ctx context.Context) error {
	if e.Puller == nil {
		return nil
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
