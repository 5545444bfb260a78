package withings

import (
	"fmt"
	"io"
	"strings"

	"github.com/walkd/walkd/internal/ingest"
)

// Settings are the keys of a source of the kind withings in the config.
type Settings struct {
	ClientID     string `toml:"client_id"`
	ClientSecret string `json:"-" toml:"client_secret,secret"`
	// RedirectURL is where Withings sends the browser after consent, as registered for the application.
	RedirectURL string `toml:"redirect_url"`
	// The addresses of Withings' servers; others are for tests and the demo. The token endpoint is part of the API.
	APIURL  string `toml:"api_url"`
	AuthURL string `toml:"auth_url"`
}

// Defaults returns the settings of a config that says nothing.
func Defaults() *Settings {
	return &Settings{
		RedirectURL: "http://localhost:8099/oauth/callback",
		APIURL:      "https://wbsapi.withings.net",
		AuthURL:     "https://account.withings.com/oauth2_user/authorize2",
	}
}

// Format writes the settings without the secret, whatever the verb.
func (s Settings) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "withings as "+s.ClientID)
}

// Check reports what is missing or cannot be: the key, what is wrong and what is wanted.
func (s *Settings) Check(report func(key, what, want string)) {
	if s.ClientID == "" {
		report("client_id", "missing", "the client ID of an application of the Public API: make one at "+
			"https://developer.withings.com, and register "+s.RedirectURL+" as its callback URL")
	}
	if s.ClientSecret == "" {
		report("client_secret", "missing",
			"the secret that Withings shows for the client ID, as client_secret_file or from the environment")
	}
	like := Defaults()
	ingest.CheckAddresses(report,
		ingest.Address{Key: "redirect_url", Value: s.RedirectURL, Like: like.RedirectURL},
		ingest.Address{Key: "api_url", Value: s.APIURL, Like: like.APIURL},
		ingest.Address{Key: "auth_url", Value: s.AuthURL, Like: like.AuthURL},
	)
}

// Provider returns Withings as one person has configured it under the name of a source.
func (s *Settings) Provider(source string) ingest.Provider {
	return &Provider{
		source: source, settings: *s, api: strings.TrimRight(s.APIURL, "/"), clock: system{},
		looking: make(chan struct{}, 1), sent: map[string]sending{},
	}
}
