package googlehealth_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
)

func TestCheck(t *testing.T) {
	whole := func(change func(*googlehealth.Settings)) *googlehealth.Settings {
		s := googlehealth.Defaults()
		s.ClientID, s.ClientSecret = "client", "hush-hush"
		change(s)
		return s
	}
	const like = `, want an https address, or an http one on this machine, like `
	for _, test := range []struct {
		name   string
		change func(*googlehealth.Settings)
		want   string
	}{
		{"whole", func(*googlehealth.Settings) {}, ""},
		{"other addresses", func(s *googlehealth.Settings) {
			s.RedirectURL, s.APIURL = "https://walkd.example.org/oauth/callback", "http://127.0.0.1:8081/google/"
			s.AuthURL, s.TokenURL, s.RevokeURL = "http://localhost:1/auth", "http://[::1]:1/token", "http://[::1]:1/revoke"
		}, ""},
		{
			"empty", func(s *googlehealth.Settings) { s.ClientID, s.ClientSecret = "", "" },
			`client_id: missing, want the client ID of an OAuth client of the type Web application: make one in the Google ` +
				`Cloud console, under APIs & Services, Credentials, and register http://localhost:8099/oauth/callback as its ` +
				"authorised redirect URI\n" +
				`client_secret: missing, want the secret that the Google Cloud console shows for the client ID, as ` +
				`client_secret_file or from the environment`,
		},
		{
			"redirect over http", func(s *googlehealth.Settings) { s.RedirectURL = "http://walkd.local/oauth/callback" },
			`redirect_url: "http://walkd.local/oauth/callback" is not encrypted and leaves this machine` + like +
				`"http://localhost:8099/oauth/callback"`,
		},
		{
			"a path", func(s *googlehealth.Settings) { s.APIURL = "/google" },
			`api_url: "/google" is not a whole URL` + like + `"https://health.googleapis.com"`,
		},
		{
			"nothing", func(s *googlehealth.Settings) { s.AuthURL = "" },
			`auth_url: "" is not a whole URL` + like + `"https://accounts.google.com/o/oauth2/v2/auth"`,
		},
		{
			"another scheme", func(s *googlehealth.Settings) { s.TokenURL = "ftp://oauth2.googleapis.com/token" },
			`token_url: "ftp://oauth2.googleapis.com/token" is not an HTTP URL` + like + `"https://oauth2.googleapis.com/token"`,
		},
		{
			"another machine", func(s *googlehealth.Settings) { s.RevokeURL = "http://192.0.2.1/revoke" },
			`revoke_url: "http://192.0.2.1/revoke" is not encrypted and leaves this machine` + like +
				`"https://oauth2.googleapis.com/revoke"`,
		},
		{
			"a password", func(s *googlehealth.Settings) { s.APIURL = "https://me:hush@health.googleapis.com" },
			`api_url: the URL holds a user name or password` + like + `"https://health.googleapis.com"`,
		},
		{
			"a query", func(s *googlehealth.Settings) { s.APIURL = "https://health.googleapis.com?key=hush" },
			`api_url: the URL holds a query or fragment` + like + `"https://health.googleapis.com"`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			whole(test.change).Check(func(key, what, want string) { got = append(got, key+": "+what+", want "+want) })
			if d := diff(test.want, strings.Join(got, "\n")); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.toml")
	err := os.WriteFile(file, []byte(`
[[person]]
[[person.source]]
kind = "google-health"
name = "watch"
client_id = "client"
client_secret = "${GOOGLE_SECRET}"
api_url = "http://127.0.0.1:9"
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_SECRET", "hush-hush")
	c, warnings, err := config.Load(file, config.Machine(), config.Kinds{Sources: config.Makers{
		"google-health": func() any { return googlehealth.Defaults() },
	}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := googlehealth.Defaults()
	want.ClientID, want.ClientSecret, want.APIURL = "client", "hush-hush", "http://127.0.0.1:9"
	if d := diff(want, c.People[0].Sources[0].Settings); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
}

func TestSettingsKeepTheSecret(t *testing.T) {
	s := googlehealth.Defaults()
	s.ClientID, s.ClientSecret = "client", "hush-hush"
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		string(text), fmt.Sprint(s), fmt.Sprintf("%+v %#v %s", s, *s, s), fmt.Sprintf("%+v", struct{ S any }{s}),
	} {
		if strings.Contains(shown, "hush") {
			t.Errorf("the secret shows in %s", shown)
		}
	}
}
