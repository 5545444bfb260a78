package oura

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

const service = "Oura"

// The paths of the API.
const (
	tokenPath    = "/oauth/token"
	revokePath   = "/oauth/revoke"
	activityPath = "/v2/usercollection/daily_activity"
	workoutPath  = "/v2/usercollection/workout"
	ringPath     = "/v2/usercollection/ring_configuration"
	batteryPath  = "/v2/usercollection/ring_battery_level"
)

// What is asked for. People can untick each.
const (
	dailyScope    = "daily"    // days of activity
	workoutScope  = "workout"  // recorded walks and so on
	personalScope = "personal" // the rings, where that is asked for
)

// appLimit is the limit that all people who use the same application share.
const appLimit = "5 minutes"

// A Provider is Oura as one person has configured it.
type Provider struct {
	source string
	api    string // without a slash at the end
	oauth  ingest.OAuth2
	log    *slog.Logger
	// noWorkouts is set while it is known that the person has not granted workoutScope. All sources share it.
	noWorkouts atomic.Bool
}

var (
	_ ingest.Authorizer = (*Provider)(nil)
	_ ingest.Revoker    = (*Provider)(nil)
	_ ingest.Provider   = (*Provider)(nil)
	_ ingest.Describer  = (*source)(nil)
)

// LogTo sets where to tell of data that is left out because it cannot be. It is to be called before Source.
func (p *Provider) LogTo(l *slog.Logger) { p.log = l }

// KeepTime sets the time on the wall, from which tokens count, for tests and simulations. It is to be called before
// Source.
func (p *Provider) KeepTime(wall func() time.Time) { p.oauth.Wall = wall }

// Spec says how Oura wants to be asked.
func (p *Provider) Spec() ingest.Spec {
	return ingest.Spec{
		Service: service,
		// Oura asks for one request for the history. What is too much for an answer comes in pages.
		MaxWindow: 365 * 24 * time.Hour,
		Align:     ingest.AlignDay,
		Earliest:  walking.DayOf(2015, time.January, 1), // Oura sold its first ring in that year
		// Today and the seven days before are one request, as today alone would be.
		LookBack: 7 * 24 * time.Hour,
		// There is no cheaper question than for the data itself, and rings sync when the phone likes.
		Waking: time.Hour,
		// Oura has stopped publishing its limits; once they were 5,000 in five minutes.
		Limits:    []ingest.Limit{{Name: appLimit, Requests: 100, Per: 5 * time.Minute, App: true}},
		Allowance: allowance,
	}
}

// allowance reads the headers that come with a refusal for too many requests. Only what is said of the whole application
// is of use to others than the account that was refused, which waits anyway.
func allowance(h http.Header) []ingest.Allowance {
	wait := untilReset(h)
	if wait <= 0 || !strings.Contains(strings.ToLower(h.Get("X-RateLimit-Tier")), "app") {
		return nil
	}
	return []ingest.Allowance{{Name: appLimit, Left: 0, Reset: wait}}
}

// longestReset is the longest that is believed of a limit.
const longestReset = 24 * time.Hour

// untilReset returns how long it takes until all requests are there again, by Oura's own clock; zero if that is not told.
func untilReset(h http.Header) time.Duration {
	reset, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64)
	at := ingest.AnsweredAt(&http.Response{Header: h})
	if err != nil || reset < at.Unix() {
		return 0
	}
	return min(longestReset, time.Duration(min(reset-at.Unix(), int64(longestReset/time.Second)))*time.Second)
}

// Source implements ingest.Provider.
func (p *Provider) Source(c *http.Client) ingest.Source { return &source{p: p, client: c} }

// Application implements ingest.Authorizer.
func (p *Provider) Application() string { return p.oauth.Application() }

// RedirectURL implements ingest.Authorizer.
func (p *Provider) RedirectURL() string { return p.oauth.RedirectURL() }

// Secrets implements ingest.Authorizer.
func (p *Provider) Secrets() []string { return p.oauth.Secrets() }
