package ingest

import (
	"context"
	"net/http"
	"time"
)

// An Authorizer is a Provider that asks the person for consent. Its errors are *Error: Auth where the person has to do
// something, Transient where the answer was lost or makes no sense.
type Authorizer interface {
	// ConsentURL returns the address of the page where the person consents.
	ConsentURL(c Consent) string
	// Exchange turns the code that the provider has sent with the person's consent into a token.
	Exchange(ctx context.Context, client *http.Client, c Consent, code string) (Token, error)
	// Refresh returns a new access token for t.Refresh. What the answer does not tell stays as in t, such as the
	// refresh token where the provider does not rotate it.
	Refresh(ctx context.Context, client *http.Client, t Token) (Token, error)
	// Application identifies the client that the person has registered with the provider, such as a client ID. Limits
	// of the app are counted by it, and a refused token is tried again when it changes.
	Application() string
	// RedirectURL is where the provider sends the person's browser after consent, as registered with the provider.
	RedirectURL() string
	// Secrets returns what must never be shown, besides tokens.
	Secrets() []string
}

// A Revoker is an Authorizer that can end a consent with the provider.
type Revoker interface {
	// Revoke ends the consent that t belongs to, which was renewed a moment ago if it had to be. A consent that has ended
	// already is no error. client sends no token by itself.
	Revoke(ctx context.Context, client *http.Client, t Token) error
}

// A Consent is what goes with one attempt to get a person's consent.
type Consent struct {
	State    string // comes back with the answer, and proves that it belongs to this attempt
	Verifier string // of PKCE (RFC 7636)
}

// A Token is what a provider has granted.
type Token struct {
	Access  string
	Refresh string    // "" if the access token cannot be renewed
	Expiry  time.Time // of the access token, on the wall clock; zero: never
	// Ends is when the grant itself ends whatever is refreshed; zero if it does not.
	Ends   time.Time
	Scopes []string // granted; nil if the provider does not tell
	// Account is the provider's name of the account, where a later request needs it; "" if it is not known. It is no
	// secret.
	Account string
}
