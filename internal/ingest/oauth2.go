package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// ConnectAgain is the Remedy of a consent that is worth nothing any more.
const ConnectAgain = "connect it again"

// OAuth2 is an Authorizer for providers that keep to RFC 6749, with PKCE (RFC 7636). It is not to be changed once used.
type OAuth2 struct {
	// Config is the client as registered with the provider. The client authenticates in the parameters unless
	// Endpoint.AuthStyle says otherwise: finding that out by trying would send a refused refresh twice.
	Config oauth2.Config
	// AuthParams go with the address of the page where the person consents, such as access_type.
	AuthParams map[string]string
	// Service is the provider's name for messages.
	Service string
	// NoPKCE leaves PKCE out, for providers that do not document it and could refuse what they do not know.
	NoPKCE bool
	// AccountField is the field in which the provider tells Token.Account with a token; "" if it does not.
	AccountField string
	// Wall returns the time on the wall, from which the provider's lifetimes count; the system's clock if nil.
	Wall func() time.Time
}

var _ Authorizer = (*OAuth2)(nil)

// ConsentURL implements Authorizer.
func (o *OAuth2) ConsentURL(c Consent) string {
	var opts []oauth2.AuthCodeOption
	if !o.NoPKCE {
		opts = append(opts, oauth2.S256ChallengeOption(c.Verifier))
	}
	for k, v := range o.AuthParams {
		opts = append(opts, oauth2.SetAuthURLParam(k, v))
	}
	return o.config().AuthCodeURL(c.State, opts...)
}

// Exchange implements Authorizer. Its errors hold neither code nor secret.
func (o *OAuth2) Exchange(ctx context.Context, client *http.Client, c Consent, code string) (Token, error) {
	asked := o.now()
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	var opts []oauth2.AuthCodeOption
	if !o.NoPKCE {
		opts = append(opts, oauth2.VerifierOption(c.Verifier))
	}
	t, err := o.config().Exchange(ctx, code, opts...)
	if err != nil {
		return Token{}, o.failure(err, false, code, c.Verifier)
	}
	return o.token(t, Token{}, asked), nil
}

// Refresh implements Authorizer. Its errors hold neither token nor secret.
func (o *OAuth2) Refresh(ctx context.Context, client *http.Client, t Token) (Token, error) {
	if t.Refresh == "" {
		return Token{}, &Error{
			Class: Auth, Remedy: ConnectAgain,
			Err: fmt.Errorf("%s: the consent has ended, since it came without the right to renew it", o.Service),
		}
	}
	asked := o.now()
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	got, err := o.config().TokenSource(ctx, &oauth2.Token{RefreshToken: t.Refresh}).Token()
	if err != nil {
		return Token{}, o.failure(err, true, t.Refresh, t.Access)
	}
	return o.token(got, t, asked), nil
}

// Application implements Authorizer: it is the client ID.
func (o *OAuth2) Application() string { return o.Config.ClientID }

// RedirectURL implements Authorizer.
func (o *OAuth2) RedirectURL() string { return o.Config.RedirectURL }

// Secrets implements Authorizer.
func (o *OAuth2) Secrets() []string {
	if o.Config.ClientSecret == "" {
		return nil
	}
	return []string{o.Config.ClientSecret}
}

func (o *OAuth2) now() time.Time {
	if o.Wall == nil {
		return time.Now()
	}
	return o.Wall()
}

func (o *OAuth2) config() *oauth2.Config {
	c := &oauth2.Config{
		ClientID: o.Config.ClientID, ClientSecret: o.Config.ClientSecret, Endpoint: o.Config.Endpoint,
		RedirectURL: o.Config.RedirectURL, Scopes: o.Config.Scopes,
	}
	if c.Endpoint.AuthStyle == oauth2.AuthStyleAutoDetect {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return c
}

// token returns what the provider told, and from before what it did not tell. Lifetimes count from when it was asked:
// package oauth2 counts them from the system's clock at the time of the answer.
func (o *OAuth2) token(got *oauth2.Token, before Token, asked time.Time) Token {
	t := Token{
		Access: got.AccessToken, Refresh: cmp.Or(got.RefreshToken, before.Refresh),
		Ends: before.Ends, Scopes: before.Scopes, Account: before.Account,
	}
	if o.AccountField != "" {
		t.Account = cmp.Or(account(got.Extra(o.AccountField)), before.Account)
	}
	if s := cmp.Or(got.ExpiresIn, seconds(got.Extra("expires_in"))); s > 0 {
		t.Expiry = asked.Add(time.Duration(s) * time.Second).UTC()
	}
	if s := seconds(got.Extra("refresh_token_expires_in")); s > 0 {
		t.Ends = asked.Add(time.Duration(s) * time.Second).UTC()
	}
	if scope, ok := got.Extra("scope").(string); ok && scope != "" {
		t.Scopes = strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' || r == ',' })
	}
	return t
}

// account returns the name of an account that came as a number or as text; "" if it is neither. Beyond 2^53 package json
// has rounded a number to that of another account.
func account(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
	}
	return ""
}

// seconds returns a lifetime that came as a number or as text; zero if it is neither, and at most 68 years.
func seconds(v any) int64 {
	var s float64
	switch v := v.(type) {
	case int64:
		s = float64(v)
	case float64:
		s = v
	case string:
		s, _ = strconv.ParseFloat(v, 64)
	}
	if !(s > 0) {
		return 0
	}
	return int64(min(s, 1<<31-1))
}

// failure says what follows from an error of package oauth2, without its text: that holds the whole answer.
func (o *OAuth2) failure(err error, refresh bool, secrets ...string) error {
	var told *oauth2.RetrieveError
	if !errors.As(err, &told) {
		return o.noAnswer(err)
	}
	e := &Error{Status: told.Response.StatusCode}
	say := func(c Class, remedy, text string) error {
		e.Class, e.Remedy = c, remedy
		e.Err = fmt.Errorf("%s: %s%s", o.Service, text, o.detail(told, secrets))
		return e
	}
	mismatch := told.ErrorCode == "redirect_uri_mismatch" || told.ErrorCode != "" &&
		strings.Contains(strings.ToLower(told.ErrorDescription), "redirect_uri")
	switch {
	case e.Status == http.StatusTooManyRequests:
		e.RetryAfter = RetryAfter(told.Response.Header, o.now())
		return say(Throttled, "", "too many requests for access")
	case e.Status == http.StatusRequestTimeout, e.Status >= 500:
		e.RetryAfter = RetryAfter(told.Response.Header, o.now())
		return say(Transient, "", fmt.Sprintf("cannot give access now (%d %s)", e.Status, http.StatusText(e.Status)))
	case mismatch:
		return say(Auth, fmt.Sprintf("register %s as a redirect URL of the client with %s, to the letter, or set "+
			"redirect_url in the config to one that is", o.Config.RedirectURL, o.Service),
			"the redirect URL is not registered")
	case told.ErrorCode == "invalid_grant" && refresh:
		return say(Auth, ConnectAgain, "the consent has ended or was withdrawn")
	case told.ErrorCode == "invalid_grant":
		return say(Auth, ConnectAgain, "the code was used already or has expired")
	case told.ErrorCode == "invalid_client", told.ErrorCode == "unauthorized_client",
		e.Status == http.StatusUnauthorized: // by RFC 6749, it is the client that this is said to
		return say(Auth, "check client_id and client_secret in the config", "the client ID or its secret is refused")
	case told.ErrorCode == "access_denied":
		return say(Auth, ConnectAgain, "access is refused")
	case told.ErrorCode == "", told.ErrorCode == "server_error", told.ErrorCode == "temporarily_unavailable":
		return say(Transient, "", fmt.Sprintf("cannot make out the answer (status %d)", e.Status))
	}
	return say(Permanent, "", "access is refused")
}

// noAnswer is for what did not even come to a refusal.
func (o *OAuth2) noAnswer(err error) error {
	if errors.As(err, new(*Error)) {
		return err // of the client, which knows more
	}
	var asking *url.Error
	if errors.As(err, &asking) {
		// The address is left out, since a redirect may have put anything into it.
		return &Error{Class: Transient, Err: fmt.Errorf("%s: no answer when asked for access: %w", o.Service, asking.Err)}
	}
	return &Error{Class: Transient, Err: fmt.Errorf("%s: the answer with the access makes no sense", o.Service)}
}

// detail returns the provider's own words as a suffix, unless they hold a secret.
func (o *OAuth2) detail(told *oauth2.RetrieveError, secrets []string) string {
	words := strings.TrimSpace(told.ErrorCode + " " + told.ErrorDescription)
	const most = 200
	if words == "" || len(words) > most {
		words = told.ErrorCode
	}
	if words == "" || len(words) > most {
		return ""
	}
	for _, s := range append(secrets, o.Config.ClientSecret) {
		if s != "" && strings.Contains(words, s) {
			return ""
		}
	}
	return fmt.Sprintf(" (%q)", words)
}
