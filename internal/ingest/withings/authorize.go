package withings

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

const (
	accessLife = 3 * time.Hour // of an access token, as documented
	// soonest is how long a repeated question is waited for. Whoever is told to wait longer has asked too much.
	soonest = 15 * time.Second
)

// ConsentURL implements ingest.Authorizer. Withings separates scopes by commas and has no PKCE.
func (p *Provider) ConsentURL(c ingest.Consent) string {
	return p.settings.AuthURL + "?" + url.Values{
		"response_type": {"code"}, "client_id": {p.settings.ClientID}, "state": {c.State},
		"scope": {infoScope + "," + activityScope}, "redirect_uri": {p.settings.RedirectURL},
	}.Encode()
}

// Exchange implements ingest.Authorizer. Consent without the right to read activity is an error of class Auth. Without
// the right to read devices there is no Zone, and Probe tells when a day was last modified.
func (p *Provider) Exchange(
	ctx context.Context, client *http.Client, _ ingest.Consent, code string,
) (ingest.Token, error) {
	t, err := p.requestToken(ctx, client, ingest.Token{}, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.settings.RedirectURL},
	})
	if err != nil {
		return ingest.Token{}, err
	}
	if t.Scopes != nil && !slices.Contains(t.Scopes, activityScope) {
		return ingest.Token{}, &ingest.Error{
			Class: ingest.Auth, Remedy: allowActivity,
			Err: fmt.Errorf("%s: the consent does not let walkd read activity data", service),
		}
	}
	return t, nil
}

// Refresh implements ingest.Authorizer. Every renewal brings another refresh token. The one before holds for eight
// hours, but ends as soon as the new access token is used; so an answer that was lost can be had again.
func (p *Provider) Refresh(ctx context.Context, client *http.Client, t ingest.Token) (ingest.Token, error) {
	if t.Refresh == "" {
		return ingest.Token{}, &ingest.Error{
			Class: ingest.Auth, Remedy: ingest.ConnectAgain,
			Err: fmt.Errorf("%s: the consent has ended, since it came without the right to renew it", service),
		}
	}
	return p.requestToken(ctx, client, t, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh},
	})
}

// Application implements ingest.Authorizer: it is the client ID.
func (p *Provider) Application() string { return p.settings.ClientID }

// RedirectURL implements ingest.Authorizer.
func (p *Provider) RedirectURL() string { return p.settings.RedirectURL }

// Secrets implements ingest.Authorizer.
func (p *Provider) Secrets() []string {
	if p.settings.ClientSecret == "" {
		return nil
	}
	return []string{p.settings.ClientSecret}
}

// Refused implements ingest.Refuser: Withings refuses access tokens with the HTTP status 200. The body can be read
// afterwards as if it had not been.
func (p *Provider) Refused(resp *http.Response) bool {
	const most = 1 << 10 // a refusal is short
	head, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failing{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), resp.Body}
	var e envelope
	return err == nil && len(head) <= most && json.Unmarshal(head, &e) == nil && e.Status.told && refusesToken(e.status())
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// requestToken asks the token endpoint. What the answer does not tell stays as in before.
func (p *Provider) requestToken(
	ctx context.Context, client *http.Client, before ingest.Token, form url.Values,
) (ingest.Token, error) {
	form.Set("action", "requesttoken")
	form.Set("client_id", p.settings.ClientID)
	form.Set("client_secret", p.settings.ClientSecret)
	asked := p.clock.Now()
	body, err := p.post(ctx, client, tokenPath, form, p)
	if err != nil {
		return ingest.Token{}, p.tokenFailure(err, form)
	}
	var answer struct {
		User    text   `json:"userid"` // a string after a consent, and a number after a renewal
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Expires number `json:"expires_in"`
		Scope   string `json:"scope"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Access == "" {
		return ingest.Token{}, noSense(errors.New("it holds no access"))
	}
	t := ingest.Token{
		Access: answer.Access, Refresh: cmp.Or(answer.Refresh, before.Refresh), Scopes: before.Scopes,
		Expiry:  asked.Add(cmp.Or(min(answer.Expires.seconds(), refreshLife), accessLife)).UTC(),
		Account: cmp.Or(string(answer.User), before.Account),
	}
	if answer.Scope != "" {
		t.Scopes = strings.FieldsFunc(answer.Scope, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return t, nil
}

// secretRefused is the failure of a question that the client ID and its secret have to prove.
func secretRefused(told *refusal) error {
	return &ingest.Error{
		Class: ingest.Auth, Status: http.StatusOK, Remedy: "check client_id and client_secret in the config",
		Err: fmt.Errorf("%s: the client ID or its secret is refused (%w)", service, told),
	}
}

// refreshLife is how long a refresh token holds that is not used.
const refreshLife = 365 * 24 * time.Hour

// tokenFailure says what follows from a refusal of the token endpoint. Withings names in words what it refuses, if
// anything.
func (p *Provider) tokenFailure(err error, form url.Values) error {
	var told *refusal
	if !errors.As(err, &told) || !told.aboutParams() && !refusesToken(told.status) {
		return err
	}
	say := func(remedy, what string) error {
		return &ingest.Error{
			Class: ingest.Auth, Status: http.StatusOK, Remedy: remedy, Err: fmt.Errorf("%s: %s (%w)", service, what, told),
		}
	}
	words := strings.ToLower(told.text)
	switch {
	case strings.Contains(words, "client"):
		return secretRefused(told)
	case strings.Contains(words, "redirect") || strings.Contains(words, "callback"):
		return say(fmt.Sprintf("register %s as a callback URL of the application with Withings, to the letter, or set "+
			"redirect_url in the config to one that is", p.settings.RedirectURL), "the redirect URL is not registered")
	case form.Get("grant_type") == "refresh_token":
		return say(ingest.ConnectAgain, "the consent has ended or was withdrawn")
	}
	return say("connect it again, and let the browser come back or paste its address at once; if that does not help, "+
		"check client_id, client_secret and redirect_url in the config",
		"the code was used already, or is more than 30 seconds old")
}
