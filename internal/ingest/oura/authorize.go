package oura

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

// ConsentURL implements ingest.Authorizer.
func (p *Provider) ConsentURL(c ingest.Consent) string { return p.oauth.ConsentURL(c) }

// Exchange implements ingest.Authorizer. Consent without the right to read days is an error of class Auth. Oura does not
// tell with the token what was granted, so it is tried.
func (p *Provider) Exchange(
	ctx context.Context, client *http.Client, c ingest.Consent, code string,
) (ingest.Token, error) {
	t, err := p.oauth.Exchange(ctx, client, c, code)
	if err != nil {
		return ingest.Token{}, err
	}
	if t.Scopes == nil {
		t.Scopes = p.granted(ctx, client, t.Access)
	}
	if t.Scopes != nil && !slices.Contains(t.Scopes, dailyScope) {
		return ingest.Token{}, &ingest.Error{
			Class: ingest.Auth, Remedy: allowDaily,
			Err: fmt.Errorf("%s: the consent does not let walkd read your daily activity", service),
		}
	}
	p.learn(t)
	return t, nil
}

// granted tries out what a token is good for; nil if that does not become clear. The code is used by now, so nothing
// here is a failure.
func (p *Provider) granted(ctx context.Context, client *http.Client, token string) []string {
	s := &source{p: p, client: &http.Client{
		Transport: withToken{client.Transport, token}, CheckRedirect: client.CheckRedirect, Timeout: client.Timeout,
	}}
	today := p.now().UTC().Format(time.DateOnly)
	var scopes []string
	for _, try := range []struct{ scope, path string }{{dailyScope, activityPath}, {workoutScope, workoutPath}} {
		resp, err := s.ask(ctx, try.path, url.Values{"start_date": {today}, "end_date": {today}})
		if err == nil {
			_ = resp.Body.Close()
			scopes = append(scopes, try.scope)
			continue
		}
		// Whoever gets days has a membership, so that any refusal of the rest is one of the right.
		if !errors.Is(err, errScope) && (len(scopes) == 0 || !isForbidden(err)) {
			return nil
		}
	}
	if scopes == nil {
		return []string{} // neither: not the same as not knowing
	}
	return scopes
}

func (p *Provider) now() time.Time {
	if p.oauth.Wall == nil {
		return time.Now()
	}
	return p.oauth.Wall()
}

// withToken adds an access token to each request.
type withToken struct {
	next  http.RoundTripper
	token string
}

func (b withToken) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	if b.next == nil {
		b.next = http.DefaultTransport
	}
	return b.next.RoundTrip(req)
}

// Refresh implements ingest.Authorizer. Every renewal brings another refresh token, and ends the one before: an answer
// that is lost costs the consent.
func (p *Provider) Refresh(ctx context.Context, client *http.Client, t ingest.Token) (ingest.Token, error) {
	t, err := p.oauth.Refresh(ctx, client, t)
	if err == nil {
		p.learn(t)
	}
	return t, err
}

func (p *Provider) learn(t ingest.Token) {
	p.noWorkouts.Store(t.Scopes != nil && !slices.Contains(t.Scopes, workoutScope))
}

// Revoke implements ingest.Revoker. Oura wants an access token that holds, so one that has ended is renewed for it.
func (p *Provider) Revoke(ctx context.Context, client *http.Client, t ingest.Token) error {
	ended, err := p.revokeOnce(ctx, client, t.Access)
	if err != nil || !ended || t.Refresh == "" {
		return err
	}
	t, err = p.oauth.Refresh(ctx, client, t)
	var told *ingest.Error
	if errors.As(err, &told) && told.Class == ingest.Auth && told.Remedy == ingest.ConnectAgain {
		return nil // the consent has ended already
	}
	if err != nil {
		return err
	}
	_, err = p.revokeOnce(ctx, client, t.Access)
	return err
}

// revokeOnce ends the consent of an access token. ended says that the token has ended before.
func (p *Provider) revokeOnce(ctx context.Context, client *http.Client, access string) (ended bool, err error) {
	// Oura's own pages have been read as a POST, and as a GET.
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		resp, err := p.revokeBy(ctx, client, method, access)
		if err != nil {
			return false, err
		}
		refused := refusal(resp, access)
		_ = resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusMethodNotAllowed, resp.StatusCode == http.StatusNotFound:
			if method == http.MethodPost {
				continue
			}
		case refused == nil:
			return false, nil
		case refused.Status == http.StatusUnauthorized && refused.Class == ingest.Auth:
			return true, nil
		}
		refused.Err = fmt.Errorf("the consent was not ended: %w", refused.Err)
		return false, refused
	}
	return false, nil
}

func (p *Provider) revokeBy(
	ctx context.Context, client *http.Client, method, access string,
) (*http.Response, error) {
	address := p.api + revokePath + "?" + url.Values{"access_token": {access}}.Encode()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, errors.New("oura: the address of the API is none")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	var asking *url.Error
	if errors.As(err, &asking) {
		err = asking.Err // the address holds the token
	}
	if err != nil {
		return nil, fmt.Errorf("oura: %w", err)
	}
	return resp, nil
}
