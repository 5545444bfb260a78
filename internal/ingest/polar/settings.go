package polar

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/oauth2"

	"github.com/walkd/walkd/internal/ingest"
)

// Settings are the keys of a source of the kind polar in the config.
type Settings struct {
	ClientID     string `toml:"client_id"`
	ClientSecret string `json:"-" toml:"client_secret,secret"`
	// RedirectURL is where Polar sends the browser after consent, as registered for the client.
	RedirectURL string `toml:"redirect_url"`
	// The addresses of Polar's servers; others are for tests and the demo.
	APIURL   string `toml:"api_url"`
	AuthURL  string `toml:"auth_url"`
	TokenURL string `toml:"token_url"`
}

// Defaults returns the settings of a config that says nothing.
func Defaults() *Settings {
	return &Settings{
		RedirectURL: "http://localhost:8099/oauth/callback",
		APIURL:      "https://www.polaraccesslink.com",
		AuthURL:     "https://flow.polar.com/oauth2/authorization",
		TokenURL:    "https://polarremote.com/v2/oauth2/token",
	}
}

// Format writes the settings without the secret, whatever the verb.
func (s Settings) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "polar as "+s.ClientID)
}

// Check reports what is missing or cannot be: the key, what is wrong and what is wanted.
func (s *Settings) Check(report func(key, what, want string)) {
	if s.ClientID == "" {
		report("client_id", "missing", "the client ID of an AccessLink client: make one at "+
			"https://admin.polaraccesslink.com with your Polar account, and register "+s.RedirectURL+" as its redirect URI")
	}
	if s.ClientSecret == "" {
		report("client_secret", "missing", "the secret that admin.polaraccesslink.com shows once for the client, as "+
			"client_secret_file or from the environment")
	}
	like := Defaults()
	ingest.CheckAddresses(report,
		ingest.Address{Key: "redirect_url", Value: s.RedirectURL, Like: like.RedirectURL},
		ingest.Address{Key: "api_url", Value: s.APIURL, Like: like.APIURL},
		ingest.Address{Key: "auth_url", Value: s.AuthURL, Like: like.AuthURL},
		ingest.Address{Key: "token_url", Value: s.TokenURL, Like: like.TokenURL},
	)
}

// Provider returns Polar as one person has configured it under the name of a source.
func (s *Settings) Provider(source string) ingest.Provider {
	return &Provider{
		source: source,
		api:    strings.TrimRight(s.APIURL, "/"),
		oauth: ingest.OAuth2{
			Service:      service,
			NoPKCE:       true,
			AccountField: "x_user_id",
			Config: oauth2.Config{
				ClientID: s.ClientID, ClientSecret: s.ClientSecret, RedirectURL: s.RedirectURL,
				Scopes:   []string{"accesslink.read_all"},
				Endpoint: oauth2.Endpoint{AuthURL: s.AuthURL, TokenURL: s.TokenURL, AuthStyle: oauth2.AuthStyleInHeader},
			},
		},
	}
}
