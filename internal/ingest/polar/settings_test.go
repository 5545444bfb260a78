package polar_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/ingest/polar"
)

func TestCheck(t *testing.T) {
	whole := func(change func(*polar.Settings)) *polar.Settings {
		s := polar.Defaults()
		s.ClientID, s.ClientSecret = "client", "hush-hush"
		change(s)
		return s
	}
	const like = `, want an https address, or an http one on this machine, like `
	for _, test := range []struct {
		name   string
		change func(*polar.Settings)
		want   string
	}{
		{"whole", func(*polar.Settings) {}, ""},
		{"other addresses", func(s *polar.Settings) {
			s.RedirectURL, s.APIURL = "https://walkd.example.org/oauth/callback", "http://127.0.0.1:8081/polar/"
			s.AuthURL, s.TokenURL = "http://localhost:1/auth", "http://[::1]:1/token"
		}, ""},
		{
			"empty", func(s *polar.Settings) { s.ClientID, s.ClientSecret = "", "" },
			`client_id: missing, want the client ID of an AccessLink client: make one at https://admin.polaraccesslink.com ` +
				`with your Polar account, and register http://localhost:8099/oauth/callback as its redirect URI` + "\n" +
				`client_secret: missing, want the secret that admin.polaraccesslink.com shows once for the client, as ` +
				`client_secret_file or from the environment`,
		},
		{
			"redirect over http", func(s *polar.Settings) { s.RedirectURL = "http://walkd.local/oauth/callback" },
			`redirect_url: "http://walkd.local/oauth/callback" is not encrypted and leaves this machine` + like +
				`"http://localhost:8099/oauth/callback"`,
		},
		{
			"a path", func(s *polar.Settings) { s.APIURL = "/polar" },
			`api_url: "/polar" is not a whole URL` + like + `"https://www.polaraccesslink.com"`,
		},
		{
			"nothing", func(s *polar.Settings) { s.AuthURL = "" },
			`auth_url: "" is not a whole URL` + like + `"https://flow.polar.com/oauth2/authorization"`,
		},
		{
			"another scheme", func(s *polar.Settings) { s.TokenURL = "ftp://oauth2.googleapis.com/token" },
			`token_url: "ftp://oauth2.googleapis.com/token" is not an HTTP URL` + like + `"https://polarremote.com/v2/oauth2/token"`,
		},
		{
			"a password", func(s *polar.Settings) { s.APIURL = "https://me:hush@www.polaraccesslink.com" },
			`api_url: the URL holds a user name or password` + like + `"https://www.polaraccesslink.com"`,
		},
		{
			"a query", func(s *polar.Settings) { s.APIURL = "https://www.polaraccesslink.com?key=hush" },
			`api_url: the URL holds a query or fragment` + like + `"https://www.polaraccesslink.com"`,
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
kind = "polar"
name = "watch"
client_id = "client"
client_secret = "${POLAR_SECRET}"
api_url = "http://127.0.0.1:9"
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("POLAR_SECRET", "hush-hush")
	c, warnings, err := config.Load(file, config.Machine(), config.Kinds{Sources: config.Makers{
		"polar": func() any { return polar.Defaults() },
	}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := polar.Defaults()
	want.ClientID, want.ClientSecret, want.APIURL = "client", "hush-hush", "http://127.0.0.1:9"
	if d := diff(want, c.People[0].Sources[0].Settings); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
}

func TestSettingsKeepTheSecret(t *testing.T) {
	s := polar.Defaults()
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
