package googlehealth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
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
	oauth  ingest.OAuth2
	log    *slog.Logger
	// noSettings is set while it is known that the person has not granted settingsScope. All sources share it.
	noSettings atomic.Bool
}

var (
	_ ingest.Authorizer = (*Provider)(nil)
	_ ingest.Provider   = (*Provider)(nil)
	_ ingest.Prober     = (*source)(nil)
	_ ingest.Zoner      = (*source)(nil)
)

// LogTo sets where to tell of data that is left out because it cannot be. It is to be called before Source.
func (p *Provider) LogTo(l *slog.Logger) { p.log = l }

// Spec says how Google Health wants to be asked.
func (p *Provider) Spec() ingest.Spec {
	return ingest.Spec{
		Service: service,
		// 28 days are 40,320 minutes at most, which makes five pages.
		MaxWindow: 28 * 24 * time.Hour,
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
	p.learn(t)
	return t, nil
}

// Refresh implements ingest.Authorizer.
func (p *Provider) Refresh(ctx context.Context, client *http.Client, t ingest.Token) (ingest.Token, error) {
	t, err := p.oauth.Refresh(ctx, client, t)
	if err == nil {
		p.learn(t)
	}
	return t, err
}

func (p *Provider) learn(t ingest.Token) {
	p.noSettings.Store(t.Scopes != nil && !granted(t.Scopes, settingsScope))
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
