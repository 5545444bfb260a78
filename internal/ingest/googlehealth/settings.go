package googlehealth

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/oauth2"

	"github.com/walkd/walkd/internal/ingest"
)

// Settings are the keys of a source of the kind google-health in the config.
type Settings struct {
	ClientID     string `toml:"client_id"`
	ClientSecret string `json:"-" toml:"client_secret,secret"`
	// RedirectURL is where Google sends the browser after consent, as registered for the client.
	RedirectURL string `toml:"redirect_url"`
	// The addresses of Google's servers; others are for tests and the demo.
	APIURL    string `toml:"api_url"`
	AuthURL   string `toml:"auth_url"`
	TokenURL  string `toml:"token_url"`
	RevokeURL string `toml:"revoke_url"`
}

// Defaults returns the settings of a config that says nothing.
func Defaults() *Settings {
	return &Settings{
		RedirectURL: "http://localhost:8099/oauth/callback",
		APIURL:      "https://health.googleapis.com",
		AuthURL:     "https://accounts.google.com/o/oauth2/v2/auth",
		TokenURL:    "https://oauth2.googleapis.com/token",
		RevokeURL:   "https://oauth2.googleapis.com/revoke",
	}
}

// Format writes the settings without the secret, whatever the verb.
func (s Settings) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "google-health as "+s.ClientID)
}

// Check reports what is missing or cannot be: the key, what is wrong and what is wanted.
func (s *Settings) Check(report func(key, what, want string)) {
	if s.ClientID == "" {
		report("client_id", "missing", "the client ID of an OAuth client of the type Web application: make one in the "+
			"Google Cloud console, under APIs & Services, Credentials, and register "+s.RedirectURL+
			" as its authorised redirect URI")
	}
	if s.ClientSecret == "" {
		report("client_secret", "missing",
			"the secret that the Google Cloud console shows for the client ID, as client_secret_file or from the environment")
	}
	like := Defaults()
	ingest.CheckAddresses(report,
		ingest.Address{Key: "redirect_url", Value: s.RedirectURL, Like: like.RedirectURL},
		ingest.Address{Key: "api_url", Value: s.APIURL, Like: like.APIURL},
		ingest.Address{Key: "auth_url", Value: s.AuthURL, Like: like.AuthURL},
		ingest.Address{Key: "token_url", Value: s.TokenURL, Like: like.TokenURL},
		ingest.Address{Key: "revoke_url", Value: s.RevokeURL, Like: like.RevokeURL},
	)
}

// Provider returns Google Health as one person has configured it under the name of a source.
func (s *Settings) Provider(source string) ingest.Provider {
	return &Provider{
		source: source,
		api:    strings.TrimRight(s.APIURL, "/"),
		revoke: s.RevokeURL,
		oauth: ingest.OAuth2{
			Service: service,
			Config: oauth2.Config{
				ClientID: s.ClientID, ClientSecret: s.ClientSecret, RedirectURL: s.RedirectURL,
				Scopes: []string{activityScope, settingsScope},
				Endpoint: oauth2.Endpoint{
					AuthURL: s.AuthURL, TokenURL: s.TokenURL, AuthStyle: oauth2.AuthStyleInParams,
				},
			},
			// Without these two Google grants no refresh token, or only with the very first consent. The third keeps
			// what a person has granted before.
			AuthParams: map[string]string{
				"access_type": "offline", "prompt": "consent", "include_granted_scopes": "true",
			},
		},
	}
}
