package withings

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

const service = "Withings"

// The paths of the API, and what is read there.
const (
	tokenPath     = "/v2/oauth2"
	signaturePath = "/v2/signature"
	userPath      = "/v2/user"
	measurePath   = "/v2/measure"

	infoScope     = "user.info"     // devices: last sync and time zone
	activityScope = "user.activity" // days, minutes and workouts
)

// repeatAfter is how soon Withings takes the same question again.
const repeatAfter = 10 * time.Second

// A Clock is the time on the wall, by which tokens end and questions are not repeated.
type Clock interface {
	// Now returns the current instant.
	Now() time.Time
	// NewTimer returns a channel that yields once when d has gone by, and a function that stops it.
	NewTimer(d time.Duration) (c <-chan time.Time, stop func())
}

// system is the clock of the machine.
type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// A Provider is Withings as one person has configured it.
type Provider struct {
	source   string
	settings Settings
	api      string // without a slash at the end
	clock    Clock
	log      *slog.Logger
	looking  chan struct{} // holds one element while somebody asks for devices

	mu     sync.Mutex
	sent   map[string]sending // questions of the last ten seconds
	served time.Time          // the latest time that Withings has told, to the second
	seen   []deviceJSON       // as was told last
	seenAt time.Time          // when it was; zero if it was not
}

// A sending is when a question was asked, and on behalf of what.
type sending struct {
	by any
	at time.Time
}

var (
	_ ingest.Authorizer = (*Provider)(nil)
	_ ingest.Provider   = (*Provider)(nil)
	_ ingest.Refuser    = (*Provider)(nil)
	_ ingest.Revoker    = (*Provider)(nil)
	_ ingest.Describer  = (*source)(nil)
	_ ingest.Prober     = (*source)(nil)
	_ ingest.Feed       = (*source)(nil)
	_ ingest.Zoner      = (*source)(nil)
)

// LogTo sets where to tell of data that is left out because it cannot be. It is to be called before Source.
func (p *Provider) LogTo(l *slog.Logger) { p.log = l }

// KeepTime sets the time on the wall, for tests and simulations. It is to be called before Source.
func (p *Provider) KeepTime(c Clock) { p.clock = c }

// Spec says how Withings wants to be asked.
func (p *Provider) Spec() ingest.Spec {
	return ingest.Spec{
		Service: service,
		// A request has 24 hours of minutes at most. More days in a window save nothing, since what is asked for longer
		// times is kept, and each failure costs the whole window.
		MaxWindow: 8 * 24 * time.Hour,
		Align:     ingest.AlignDay,
		Earliest:  walking.DayOf(2013, time.January, 1), // Withings sold its first tracker in that year
		// Changes tells of what is older, so that a poll reads one day.
		LookBack: time.Hour,
		// So does this: each day of it is a request, and there are 120 a day.
		FarBack: 30 * 24 * time.Hour,
		Waking:  30 * time.Minute,
		// Documented are 120 a minute. Withings may count other minutes than we do, and then sees two of ours at once.
		Limits: []ingest.Limit{{Name: "minute", Requests: 60, Per: time.Minute, App: true}},
	}
}

// Source implements ingest.Provider.
func (p *Provider) Source(c *http.Client) ingest.Source { return &source{p: p, client: c} }

// turn waits until a question can be asked that something else has just asked. Who asks the same again by itself is
// left to Withings, which knows its own time.
func (p *Provider) turn(ctx context.Context, question string, by any) error {
	for {
		p.mu.Lock()
		now := p.clock.Now()
		for q, s := range p.sent {
			if since := now.Sub(s.at); since >= repeatAfter || since < 0 {
				delete(p.sent, q)
			}
		}
		last, asked := p.sent[question]
		if !asked || last.by == by {
			p.sent[question] = sending{by, now}
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		if err := p.wait(ctx, repeatAfter-now.Sub(last.at)); err != nil {
			return err
		}
	}
}

// wait waits until d has gone by, or ctx has ended.
func (p *Provider) wait(ctx context.Context, d time.Duration) error {
	timer, stop := p.clock.NewTimer(d)
	defer stop()
	select {
	case <-timer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note keeps what an answer tells of Withings' own time.
func (p *Provider) note(resp *http.Response) {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.After(p.served) {
		p.served = at
	}
}

// serverTime returns the latest time that Withings has told; zero if it has not.
func (p *Provider) serverTime() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served
}
