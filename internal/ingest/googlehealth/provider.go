package googlehealth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	service = "Google Health"

	scopePrefix   = "https://www.googleapis.com/auth/googlehealth."
	activityScope = scopePrefix + "activity_and_fitness.readonly" // steps and exercises
	settingsScope = scopePrefix + "settings.readonly"             // last sync and time zone
)

// A Provider is Google Health as one person has configured it.
type Provider struct {
	source string
	api    string // without a slash at the end
	revoke string // where consents are ended
	oauth  ingest.OAuth2
	log    *slog.Logger
	// noSettings is set while it is known that the person has not granted settingsScope. All sources share it.
	noSettings atomic.Bool
}

var (
	_ ingest.Authorizer = (*Provider)(nil)
	_ ingest.Provider   = (*Provider)(nil)
	_ ingest.Revoker    = (*Provider)(nil)
	_ ingest.Describer  = (*source)(nil)
	_ ingest.Prober     = (*source)(nil)
	_ ingest.Totaler    = (*source)(nil)
	_ ingest.Zoner      = (*source)(nil)
)

// LogTo sets where to tell of data that is left out because it cannot be. It is to be called before Source.
func (p *Provider) LogTo(l *slog.Logger) { p.log = l }

// Spec says how Google Health wants to be asked.
func (p *Provider) Spec() ingest.Spec {
	return ingest.Spec{
		Service: service,
		// Nothing is documented but the size of a page. Every window costs half a page of steps and half a page of exercises on
		// average, so that longer ones save requests, while all of one is in memory at once. 61 days are 87,900 minutes at most,
		// which makes nine pages, two of a watch that tells 326 minutes a day, and two of an exercise in half of the days. A year
		// takes 76 requests, those included that find nothing before it: 95 with 28 days, and 73 with 122, for 27 MiB more.
		MaxWindow: 61 * 24 * time.Hour,
		// What is unworn is judged by civil days, and exercises can be asked for by nothing else.
		Align:    ingest.AlignDay,
		Earliest: walking.DayOf(2009, time.January, 1), // Fitbit sold its first device in that year
		LookBack: 72 * time.Hour,
		// Documented are 300 requests per minute and user, and 2.5 per second and user for an app that Google has not
		// verified, as that of a household is.
		Limits: []ingest.Limit{{Name: "minute", Requests: 120, Per: time.Minute}},
	}
}

// Source implements ingest.Provider.
func (p *Provider) Source(c *http.Client) ingest.Source { return &source{p: p, client: c} }

// ConsentURL implements ingest.Authorizer.
func (p *Provider) ConsentURL(c ingest.Consent) string { return p.oauth.ConsentURL(c) }

// Exchange implements ingest.Authorizer. Consent without the right to read activity is an error of class Auth: Google
// lets people untick single rights. Without the right to read settings there is no Probe and no Zone.
func (p *Provider) Exchange(
	ctx context.Context, client *http.Client, c ingest.Consent, code string,
) (ingest.Token, error) {
	t, err := p.oauth.Exchange(ctx, client, c, code)
	if err != nil {
		return ingest.Token{}, err
	}
	if t.Scopes != nil && !granted(t.Scopes, activityScope) {
		return ingest.Token{}, &ingest.Error{
			Class: ingest.Auth, Remedy: tickTheBox,
			Err: fmt.Errorf("%s: the consent does not let walkd read activity data", service),
		}
	}
	p.learn(ctx, slog.LevelWarn, t) // it is easily put right now
	return t, nil
}

// Refresh implements ingest.Authorizer. A grant that ends by itself does not end later because it is made use of.
func (p *Provider) Refresh(ctx context.Context, client *http.Client, t ingest.Token) (ingest.Token, error) {
	got, err := p.oauth.Refresh(ctx, client, t)
	if err != nil {
		return got, err
	}
	if got.Refresh == t.Refresh && !t.Ends.IsZero() && got.Ends.After(t.Ends) {
		got.Ends = t.Ends
	}
	p.learn(ctx, slog.LevelInfo, got)
	return got, nil
}

// learn takes over what a token allows.
func (p *Provider) learn(ctx context.Context, level slog.Level, t ingest.Token) {
	if t.Scopes != nil && !granted(t.Scopes, settingsScope) {
		p.lackSettings(ctx, level)
	} else {
		p.noSettings.Store(false)
	}
}

// lackSettings notes that the person has not granted settingsScope, and says so once.
func (p *Provider) lackSettings(ctx context.Context, level slog.Level) {
	if !p.noSettings.Swap(true) && p.log != nil {
		p.log.Log(ctx, level, "the consent does not let walkd see when the device has synced, so it cannot tell rest from data "+
			"that has not come yet: connect it again, and leave the box for settings ticked")
	}
}

// Revoke implements ingest.Revoker. Google then takes none of the tokens any more that it has given to this client for the
// account, not only t.
func (p *Provider) Revoke(ctx context.Context, client *http.Client, t ingest.Token) error {
	token := cmp.Or(t.Refresh, t.Access)
	if token == "" {
		return nil
	}
	fail := func(c ingest.Class, status int, format string, a ...any) error {
		return &ingest.Error{Class: c, Status: status, Remedy: takeBack, Err: fmt.Errorf(service+": "+format, a...)}
	}
	body := strings.NewReader(url.Values{"token": {token}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.revoke, body)
	if err != nil {
		return fail(ingest.Permanent, 0, "the consent cannot be ended: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	var asking *url.Error
	switch {
	case errors.As(err, new(*ingest.Error)), err != nil && ctx.Err() != nil:
		return err // of the client, which knows more, or nobody's failure
	case errors.As(err, &asking):
		return fail(ingest.Transient, 0, "no answer when asked to end the consent: %w", asking.Err)
	case err != nil:
		return fail(ingest.Transient, 0, "no answer when asked to end the consent: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fail(ingest.Transient, resp.StatusCode, "the answer to the end of the consent broke off: %w", ended(ctx, err))
	}
	var answer struct {
		Error string `json:"error"`
	}
	// Of a success no more than the status is documented. A web page is from something on the way.
	told := json.Unmarshal(text, &answer) == nil
	switch e := ingest.StatusError(service, resp, ingest.AnsweredAt(resp)); {
	case e == nil && (told && answer.Error == "" || len(text) == 0):
		return nil
	case e == nil, e.Status < 500 && !told:
		return fail(ingest.Transient, resp.StatusCode, "the answer to the end of the consent makes no sense (status %d)", resp.StatusCode)
	case answer.Error == "invalid_token":
		return nil // it has ended already
	default:
		e.Remedy, e.Err = takeBack, fmt.Errorf("%s: the consent is not ended: %w", service, e.Err)
		return e
	}
}

// granted reports whether scopes hold one. Until May 2026 the rights to read and to write were one, whose name has no
// suffix, and it is still told of old consents.
func granted(scopes []string, one string) bool {
	const suffix = ".readonly"
	return slices.Contains(scopes, one) || slices.Contains(scopes, one[:len(one)-len(suffix)])
}

// Application implements ingest.Authorizer.
func (p *Provider) Application() string { return p.oauth.Application() }

// RedirectURL implements ingest.Authorizer.
func (p *Provider) RedirectURL() string { return p.oauth.RedirectURL() }

// Secrets implements ingest.Authorizer.
func (p *Provider) Secrets() []string { return p.oauth.Secrets() }
