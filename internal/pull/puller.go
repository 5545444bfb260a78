package pull

import (
	"context"
	"errors"
	"time"

	"github.com/walkd/walkd/internal/store"
)

// A Puller pulls from every account. Its methods may be called by several goroutines at once.
type Puller struct {
	o        Options
	accounts []Config
}

var errNotYet = errors.New("pull: not yet")

// New returns a Puller for the accounts.
func New(o Options, accounts []Config) (*Puller, error) {
	return &Puller{o: o, accounts: accounts}, nil
}

// Run polls and backfills until ctx ends, which is no error.
func (p *Puller) Run(context.Context) error { return errNotYet }

// Poll does what is due at Clock.Now() and returns when it is to be called next.
func (p *Puller) Poll(context.Context) (next time.Time, err error) { return time.Time{}, errNotYet }

// Backfill fetches one window of each account that has history left.
func (p *Puller) Backfill(context.Context) (more bool, err error) { return false, errNotYet }

// Sync pulls now what r names.
func (p *Puller) Sync(context.Context, SyncRequest, func(Progress)) ([]SyncResult, error) {
	return nil, errNotYet
}

// Probe asks the cheap question of every account now.
func (p *Puller) Probe(context.Context) error { return errNotYet }

// Begin begins to connect a person's source.
func (p *Puller) Begin(context.Context, string, string) (Connection, error) {
	return Connection{}, errNotYet
}

// Finish ends an attempt to connect with the redirected URL, or what a person pasted of it.
func (p *Puller) Finish(context.Context, string) (Connected, error) { return Connected{}, errNotYet }

// Requests returns how many requests had which outcome since the start.
func (p *Puller) Requests() []RequestCount { return nil }

// States returns how the accounts fare.
func States(context.Context, *store.Reader, []Config, time.Time, time.Time) ([]State, error) {
	return nil, errNotYet
}
