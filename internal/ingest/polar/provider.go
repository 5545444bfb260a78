package polar

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

const service = "Polar"

// The paths of the API.
const (
	usersPath      = "/v3/users"
	activitiesPath = "/v3/users/activities"
	exercisesPath  = "/v3/exercises"
)

// The names of the limits, in the order in which Polar's headers tell of them.
const (
	shortLimit = "15 minutes"
	longLimit  = "day"
)

// A Provider is Polar AccessLink as one person has configured it.
type Provider struct {
	source string
	api    string // without a slash at the end
	oauth  ingest.OAuth2
	log    *slog.Logger

	mu     sync.Mutex
	listed time.Time // start of the oldest exercise that was ever listed; zero if none was
}

var (
	_ ingest.Authorizer = (*Provider)(nil)
	_ ingest.Provider   = (*Provider)(nil)
	_ ingest.Revoker    = (*Provider)(nil)
)

// LogTo sets where to tell of data that is left out because it cannot be. It is to be called before Source.
func (p *Provider) LogTo(l *slog.Logger) { p.log = l }

// Spec says how Polar wants to be asked.
func (p *Provider) Spec() ingest.Spec {
	return ingest.Spec{
		Service: service,
		// One call returns up to 28 days.
		MaxWindow: longestAsk * 24 * time.Hour,
		Align:     ingest.AlignDay,
		Earliest:  walking.DayOf(2013, time.January, 1), // Polar sold its first device that counts all day in that year
		// Today and the seven days before are one call, as today alone would be, and data comes days late.
		LookBack: 7 * 24 * time.Hour,
		// There is no cheaper question than for the data itself.
		Waking: 30 * time.Minute,
		// Documented are 500 and 20 for each user in 15 minutes, 5,000 and 100 for each user in 24 hours.
		Limits: []ingest.Limit{
			{Name: shortLimit, Requests: 500, Per: 15 * time.Minute, App: true},
			{Name: longLimit, Requests: 5000, Per: 24 * time.Hour, App: true},
		},
		Allowance: allowance,
	}
}

// allowance reads the headers RateLimit-Usage, -Limit and -Reset, each of which has a value for either limit.
func allowance(h http.Header) []ingest.Allowance {
	usage, limit, reset := pair(h, "RateLimit-Usage"), pair(h, "RateLimit-Limit"), pair(h, "RateLimit-Reset")
	if usage == nil || limit == nil || reset == nil {
		return nil
	}
	var out []ingest.Allowance
	for i, name := range []string{shortLimit, longLimit} {
		out = append(out, ingest.Allowance{
			Name: name, Left: max(0, limit[i]-usage[i]), Reset: time.Duration(reset[i]) * time.Second,
		})
	}
	return out
}

// pair returns the two numbers of a header; nil if there are no two.
func pair(h http.Header, name string) []int {
	parts := strings.Split(strings.Join(h.Values(name), ","), ",")
	if len(parts) != 2 {
		return nil
	}
	var out []int
	for _, text := range parts {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil || n < 0 {
			return nil
		}
		out = append(out, int(n))
	}
	return out
}

// Source implements ingest.Provider.
func (p *Provider) Source(c *http.Client) ingest.Source { return &source{p: p, client: c} }

// ConsentURL implements ingest.Authorizer.
func (p *Provider) ConsentURL(c ingest.Consent) string { return p.oauth.ConsentURL(c) }

// Exchange implements ingest.Authorizer. It also registers the person as a user of the client, without which Polar
// tells nothing. The token does not end: Polar says that its tokens hold until they are revoked, in spite of the year
// that it tells with them.
func (p *Provider) Exchange(
	ctx context.Context, client *http.Client, c ingest.Consent, code string,
) (ingest.Token, error) {
	asking := *client
	asking.Transport = acceptJSON{client.Transport}
	t, err := p.oauth.Exchange(ctx, &asking, c, code)
	if err != nil {
		return ingest.Token{}, err
	}
	if err := p.register(ctx, client, t.Access); err != nil {
		return ingest.Token{}, err
	}
	return ingest.Token{Access: t.Access, Account: t.Account}, nil
}

// acceptJSON asks for JSON, as Polar documents it for its token endpoint.
type acceptJSON struct{ next http.RoundTripper }

func (a acceptJSON) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept", "application/json;charset=UTF-8")
	if a.next == nil {
		a.next = http.DefaultTransport
	}
	return a.next.RoundTrip(req)
}

// register makes the person a user of the client. The code is used up by now, so that what fails here cannot be tried
// with it again.
func (p *Provider) register(ctx context.Context, client *http.Client, token string) error {
	// The member ID has to be new: an ID that another user has is answered like a user who is registered already.
	body := fmt.Appendf(nil, `{"member-id":%q}`, "walkd-"+strings.ToLower(rand.Text()))
	var last string
	for range 2 { // if the first one was heard, the second is told that the user is there
		again, err := p.registerOnce(ctx, client, token, body)
		if err == nil || !again {
			return err
		}
		last = err.Error()
	}
	return &ingest.Error{
		Class: ingest.Permanent, Remedy: "connect it again in a few minutes",
		Err: fmt.Errorf("%s has given access, but walkd could not be registered there as well: %s", service, last),
	}
}

// registerOnce reports whether a failure is worth another try.
func (p *Provider) registerOnce(
	ctx context.Context, client *http.Client, token string, body []byte,
) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.api+usersPath, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("polar: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return ctx.Err() == nil, fmt.Errorf("polar: %w", err)
	}
	defer resp.Body.Close()
	return registered(resp, p.begin)
}

// begin notes that the person is a new user of the client, whom Polar tells of no exercise from before.
func (p *Provider) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed = time.Time{}
}

// registered reads the answer to a registration, and reports whether a failure is worth another try. It calls begin if
// the person was no user before.
func registered(resp *http.Response, begin func()) (again bool, err error) {
	if resp.StatusCode == http.StatusConflict { // the person is a user already
		return false, nil
	}
	err = refusal(resp)
	var told *ingest.Error
	switch {
	case err == nil:
		begin()
	case !errors.As(err, &told):
	case told.Class == ingest.Transient, told.Class == ingest.Throttled:
		return true, err
	case told.Status == http.StatusForbidden:
		told.Class, told.Remedy = ingest.Auth, acceptConsents+", and connect it again"
	default:
		told.Remedy = ingest.ConnectAgain
	}
	return false, err
}

// Refresh implements ingest.Authorizer. There is nothing to renew: it is called when Polar has refused the token, and
// says so.
func (p *Provider) Refresh(context.Context, *http.Client, ingest.Token) (ingest.Token, error) {
	return ingest.Token{}, &ingest.Error{
		Class: ingest.Auth, Status: http.StatusUnauthorized, Remedy: ingest.ConnectAgain,
		Err: fmt.Errorf("%s refuses access, as it does when the consent was withdrawn or has ended", service),
	}
}

// Revoke implements ingest.Revoker. The person is no user of the client any more, which ends the access as well.
func (p *Provider) Revoke(ctx context.Context, client *http.Client, t ingest.Token) error {
	if t.Account == "" {
		return byHand(errors.New("walkd was not told which user of Polar this consent is of"))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, p.api+usersPath+"/"+url.PathEscape(t.Account), nil)
	if err != nil {
		return fmt.Errorf("polar: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+t.Access)
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("polar: %w", err)
	}
	defer resp.Body.Close()
	err = refusal(resp)
	var told *ingest.Error
	switch {
	case !errors.As(err, &told), told.Class == ingest.Transient, told.Class == ingest.Throttled:
		return err
	case told.Status == http.StatusUnauthorized: // there is nothing left to end
		return nil
	}
	return byHand(told.Err)
}

// byHand is the failure to end a consent that only the person can end now.
func byHand(err error) error {
	return &ingest.Error{
		Class: ingest.Permanent, Remedy: "end it yourself: sign in at https://flow.polar.com, and remove walkd's client from " +
			"the partners in the settings",
		Err: fmt.Errorf("%s: the consent could not be ended: %w", service, err),
	}
}

// Application implements ingest.Authorizer.
func (p *Provider) Application() string { return p.oauth.Application() }

// RedirectURL implements ingest.Authorizer.
func (p *Provider) RedirectURL() string { return p.oauth.RedirectURL() }

// Secrets implements ingest.Authorizer.
func (p *Provider) Secrets() []string { return p.oauth.Secrets() }
