package oura

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/oauth2"

	"github.com/walkd/walkd/internal/ingest"
)

// Settings are the keys of a source of the kind oura in the config.
type Settings struct {
	ClientID     string `toml:"client_id"`
	ClientSecret string `json:"-" toml:"client_secret,secret"`
	// RedirectURL is where Oura sends the browser after consent, as registered for the application.
	RedirectURL string `toml:"redirect_url"`
	// The addresses of Oura's servers; others are for tests and the demo. The token endpoint is on that of the API.
	APIURL  string `toml:"api_url"`
	AuthURL string `toml:"auth_url"`
}

// Defaults returns the settings of a config that says nothing.
func Defaults() *Settings {
	return &Settings{
		RedirectURL: "http://localhost:8099/oauth/callback",
		APIURL:      "https://api.ouraring.com",
		AuthURL:     "https://cloud.ouraring.com/oauth/authorize",
	}
}

// Format writes the settings without the secret, whatever the verb.
func (s Settings) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "oura as "+s.ClientID)
}

// Check reports what is missing or cannot be: the key, what is wrong and what is wanted.
func (s *Settings) Check(report func(key, what, want string)) {
	if s.ClientID == "" {
		report("client_id", "missing", "the client ID of an API application: make one at "+
			"https://cloud.ouraring.com/oauth/applications with your Oura account, and register "+s.RedirectURL+
			" as its redirect URI")
	}
	if s.ClientSecret == "" {
		report("client_secret", "missing",
			"the secret that Oura shows for the client ID, as client_secret_file or from the environment")
	}
	like := Defaults()
	ingest.CheckAddresses(report,
		ingest.Address{Key: "redirect_url", Value: s.RedirectURL, Like: like.RedirectURL},
		ingest.Address{Key: "api_url", Value: s.APIURL, Like: like.APIURL},
		ingest.Address{Key: "auth_url", Value: s.AuthURL, Like: like.AuthURL},
	)
}

// Provider returns Oura as one person has configured it under the name of a source.
func (s *Settings) Provider(source string) ingest.Provider {
	api := strings.TrimRight(s.APIURL, "/")
	return &Provider{
		source: source,
		api:    api,
		oauth: ingest.OAuth2{
			Service: service,
			NoPKCE:  true,
			Config: oauth2.Config{
				ClientID: s.ClientID, ClientSecret: s.ClientSecret, RedirectURL: s.RedirectURL,
				Scopes: []string{dailyScope, workoutScope, personalScope},
				Endpoint: oauth2.Endpoint{
					AuthURL: s.AuthURL, TokenURL: api + tokenPath, AuthStyle: oauth2.AuthStyleInParams,
				},
			},
		},
	}
}
