// Package pull asks providers on the network for what they know: it keeps their tokens, keeps to their limits, decides
// when to ask for what, and stores the answers. It knows no provider; each is an ingest.Provider.
//
// There are two clocks. The domain clock says which day it is and when to poll; a demo runs it faster. The wall clock
// is for what the provider and the network count: tokens, limits, and how long to wait after a failure.
package pull

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// A Config is one person's source as it stands in the config: an account.
type Config struct {
	Person   string
	Source   string // its name, unique for the person
	Kind     string // of the provider
	Provider ingest.Provider
}

// A Clock is a source of time.
type Clock interface {
	// Now returns the current instant.
	Now() time.Time
	// NewTimer returns a channel that yields once when d has gone by on this clock, and a function that stops it.
	NewTimer(d time.Duration) (c <-chan time.Time, stop func())
}

// Options are what a Puller works with.
type Options struct {
	Store       *store.Store
	Clock, Wall Clock
	Transport   http.RoundTripper // nil: one of its own
	Log         *slog.Logger
	// Synced is called after a poll that ended well, and after backfilling what changed something; never while a lock
	// is held. It may be nil.
	Synced func(ctx context.Context, personID int64)
	// Refused is called after a provider has refused what a person once consented to; never while a lock is held. It may
	// be nil.
	Refused func(ctx context.Context, personID int64)
	// Vault encrypts the tokens that the store keeps; nil: they stand there as they are.
	Vault Vault
	// Daily is how many requests the polls of one account may make in 24 hours on the wall; DefaultDaily if zero, no
	// limit if negative, as for a domain clock that runs faster.
	Daily int
	// Timeout is how long one answer may take; DefaultTimeout if zero.
	Timeout time.Duration
}

// A Vault encrypts what is kept at rest. about names what a text is and where it belongs.
type Vault interface {
	Seal(about, text string) string
	// Open returns the text that was sealed, or one that never was.
	Open(about, sealed string) (string, error)
	// Current reports whether a text is as Seal would leave it.
	Current(sealed string) bool
}

// Defaults of Options.
const (
	DefaultDaily   = 120
	DefaultTimeout = time.Minute
)

// A SyncRequest says what to pull now.
type SyncRequest struct {
	Person, Source string // "": everybody's, every
	// From and To are the first and the last day to pull. Without both it is one poll. From alone reaches to today, To
	// alone from the first day that the provider can know.
	From, To walking.Day
}

// Progress tells how far a Sync or a backfill has come with one account.
type Progress struct {
	Person, Source string
	Day            walking.Day // everything from this day on is done
	Done, Total    int         // days
	Records        int
	Requests       int
}

// A SyncResult tells what a Sync did with one account.
type SyncResult struct {
	Person, Source string
	Days           int // how many were asked for
	Records        int // records and sessions that the provider had in them
	Requests       int
	store.Changes
	Err error // what stopped it; nil if nothing did
}

// A Connection is an attempt to get a person's consent.
type Connection struct {
	URL      string // of the page where the person consents
	Redirect string // where the provider then sends the browser
	State    string
	Person   string
	Source   string
	Service  string
}

// A Connected tells of a consent that was given.
type Connected struct {
	Person, Source, Service string
	Scopes                  []string       // nil if the provider does not tell
	Ends                    time.Time      // when the grant ends by itself; zero if it does not
	Zone                    *time.Location // where the provider says the person lives; nil if it does not tell
	// Trouble is what is wrong with the account all the same, with what to do about it; "" if nothing is as far as that
	// is known.
	Trouble string
}

// A Disconnected tells of a consent that was given up.
type Disconnected struct {
	Person, Source, Service string
	Revoked                 bool   // whether the provider has ended it
	Remedy                  string // what the person has to do by hand to end it there; "" if nothing
}

// An About is what a provider says of an account when it is asked.
type About struct {
	Person, Source, Service string
	ingest.Description
	Scopes []string // granted; nil if the provider does not tell
	Err    error    // what is wrong; the rest is not known then
}

// A Phase says how an account fares, in one word or two.
type Phase string

// The phases.
const (
	NeedsConsent Phase = "needs consent" // the person has to connect it
	NeverAsked   Phase = "never asked"
	Waiting      Phase = "waiting" // all is well, but the device has not synced with the service for a day
	OK           Phase = "ok"
	Throttled    Phase = "throttled" // too many requests: it goes on by itself
	Failing      Phase = "failing"
)

// A Problem is what is wrong with an account.
type Problem struct {
	Class  ingest.Class `json:"class"`
	Text   string       `json:"text"`
	Remedy string       `json:"remedy,omitempty"` // what the person can do; "" if nothing
	Since  time.Time    `json:"since"`            // domain
}

// A Left is what is left of a limit.
type Left struct {
	Name     string
	Left, Of int
	Until    time.Time // on the wall, when all of it is there again; zero if it is
}

// A BackfillState tells how far back the history has been pulled.
type BackfillState struct {
	Reached  walking.Day // everything from this day on is there
	Earliest walking.Day // the first that the provider can know
	Done     bool        // nothing more is to be had
}

// A State tells how an account fares. Instants are on the domain clock unless they say otherwise.
type State struct {
	Person, Source, Kind string
	Service              string // the provider's name
	Connected            bool   // whether there is a consent, or none is needed
	Phase                Phase
	Synced               time.Time // how far the device had synced with the provider; zero if unknown
	Success              time.Time // when a poll last ended well
	Data                 time.Time // when data was last fetched
	Next                 time.Time // when it is polled next; zero if not until the person does something
	Problem              *Problem
	ConsentEnds          time.Time // on the wall, when the grant ends by itself; zero if it does not
	BudgetLeft           []Left
	Backfill             *BackfillState // nil if it has not begun
	// Off are the days whose records differ from what the provider says that they add up to, the newest first.
	Off []OffDay
}

// A Consent is how that for one source stands.
type Consent struct {
	Source, Service string
	Problem         *Problem  // why it is refused; nil if it is not
	Ends            time.Time // on the wall, when it ends by itself; zero if it does not
}

// An OffDay is a day whose records do not add up to what the provider says.
type OffDay struct {
	Day          walking.Day `json:"day"`
	Told, Stored float64     // steps
}

// A RequestCount is how many requests to a kind of provider had an outcome: ok, auth, throttled, server_error,
// client_error, network, or budget for those that were not sent.
type RequestCount struct {
	Kind, Outcome string
	Count         int64
}
