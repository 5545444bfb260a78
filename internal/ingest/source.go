package ingest

import (
	"context"
	"net/http"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// A Provider is a service on the network as one person has configured it.
type Provider interface {
	// Spec says how the service wants to be asked. It is always the same.
	Spec() Spec
	// Source returns a Source that asks through c, which adds the access token, keeps to the budget, limits how much
	// is read of an answer, counts, and takes secrets out of errors.
	Source(c *http.Client) Source
}

// A Refuser is a Provider that may refuse an access token by other means than the HTTP status 401.
type Refuser interface {
	// Refused reports whether an answer of the API refuses the access token. It leaves the body as it was.
	Refused(resp *http.Response) bool
}

// A Source asks a provider for what it knows of one person. Its methods may be called by several goroutines at once.
type Source interface {
	// Fetch returns everything that the provider has in r.Window. It is all or nothing: an answer that is not whole,
	// or not what was asked for, is an error and never an empty window. Errors that say what is to be done are *Error.
	Fetch(ctx context.Context, r Request) (Batch, error)
}

// A Request is a question for a Source.
type Request struct {
	// Window is what is asked for; its edges are civil midnights of the person, or whole minutes.
	Window walking.Window
	// Zones is the person's Z(t), for providers whose times are local and say no zone.
	Zones walking.Timeline
	// Now is the time of asking. A record that ends more than ClockTolerance later is to be refused.
	Now time.Time
	// Sessions says whether recorded walks, rides and so on are wanted as well. Without them the batch covers records
	// only, see Cover.
	Sessions bool
}

// A Prober is a Source with a question that is cheaper than fetching.
type Prober interface {
	// Probe returns how far the person's device has synced with the provider: what it counted before is there to be
	// fetched. A zero time means that the provider does not know.
	Probe(ctx context.Context) (time.Time, error)
}

// A Feed is a Source that tells by itself what has changed.
type Feed interface {
	// Changes returns the windows whose data has changed since the call that returned cursor, and the cursor for the
	// call after this one. An empty cursor asks for one from now on, and returns no windows.
	Changes(ctx context.Context, cursor string) (stale []walking.Window, next string, err error)
}

// A Zoner is a Source that knows which zone the person lives in.
type Zoner interface {
	// Zone returns the home zone as set with the provider.
	Zone(ctx context.Context) (*time.Location, error)
}

// A Describer is a Source that can say in words what it has to do with.
type Describer interface {
	// Describe asks for as little as that takes. What the consent does not let it see is left zero.
	Describe(ctx context.Context) (Description, error)
}

// A Description is what a provider says of an account. What it does not tell is zero.
type Description struct {
	Devices []Device       // that count steps, the one that synced last first
	Zone    *time.Location // the home zone as set with the provider
}

// A Device is a watch, band, ring or phone as the provider names it.
type Device struct {
	Name    string    // such as "Pixel Watch 4"
	Synced  time.Time // with the provider
	Battery string    // such as "62 %" or "low"
}

// A Totaler is a Source that can be asked for the steps of whole days, as the provider itself adds them up. They are
// what the records are checked against, and nothing else.
type Totaler interface {
	// Totals returns the days from first to last, inclusive, of which the provider knows a total. The dates are those of
	// the place where the person was, as the provider sees it.
	Totals(ctx context.Context, first, last walking.Day) ([]Total, error)
}

// A Total is how many steps a provider says that a day has.
type Total struct {
	Day   walking.Day
	Steps float64
}

// Align says where the edges of windows may be.
type Align int

// The alignments.
const (
	AlignDay    Align = iota // civil midnights of the person
	AlignMinute              // whole minutes
)

// A Spec says how a provider wants to be asked. Its zero value asks for a civil day at a time.
type Spec struct {
	// Service is the provider's name for messages, such as "Google Health".
	Service string
	// MaxWindow is the longest window of one Fetch. With AlignDay it stands for as many civil days as it holds times
	// 24 hours, and at least for one.
	MaxWindow time.Duration
	Align     Align
	// Earliest is the first day that the provider can know anything of.
	Earliest walking.Day
	// LookBack is how far every fetch reaches back at least; 48 hours if zero.
	LookBack time.Duration
	// FarBack is how far a fetch reaches back once a week; 37 days if zero, so that what is up to thirty days late is there
	// within the next.
	FarBack time.Duration
	// Waking and Night are the time from one poll to the next outside and inside of the person's quiet hours; 25
	// minutes and an hour if zero.
	Waking, Night time.Duration
	// Limits are the limits that the provider documents.
	Limits []Limit
	// Allowance reads from the headers of an answer how many requests are left; nil if the provider does not tell.
	Allowance func(http.Header) []Allowance
}

// A Limit is how many requests may be made in a time. The time is counted in windows that begin with the first request.
type Limit struct {
	Name     string // of the limit, unique in its Spec
	Requests int
	Per      time.Duration
	// App says that all people who use the same client ID share the limit. Otherwise everybody has one of their own.
	App bool
}

// An Allowance is what a provider says is left of a Limit.
type Allowance struct {
	Name  string // of the Limit
	Left  int
	Reset time.Duration // from now until the limit is whole again
}
