package withings_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/ingest/withings"
)

func TestCheck(t *testing.T) {
	const like = `, want an https address, or an http one on this machine, like `
	for _, test := range []struct {
		name   string
		change func(*withings.Settings)
		want   string
	}{
		{"whole", func(*withings.Settings) {}, ""},
		{"other addresses", func(s *withings.Settings) {
			s.RedirectURL, s.APIURL, s.AuthURL = "https://walkd.example.org/oauth/callback", "http://127.0.0.1:1/", "http://[::1]:1/auth"
		}, ""},
		{
			"empty", func(s *withings.Settings) { s.ClientID, s.ClientSecret = "", "" },
			"client_id: missing, want the client ID of an application of the Public API: make one at " +
				"https://developer.withings.com, and register http://localhost:8099/oauth/callback as its callback URL\n" +
				"client_secret: missing, want the secret that Withings shows for the client ID, as client_secret_file or from the environment",
		},
		{
			"redirect over http", func(s *withings.Settings) { s.RedirectURL = "http://walkd.local/oauth/callback" },
			`redirect_url: "http://walkd.local/oauth/callback" is not encrypted and leaves this machine` + like +
				`"http://localhost:8099/oauth/callback"`,
		},
		{
			"a path", func(s *withings.Settings) { s.APIURL = "/withings" },
			`api_url: "/withings" is not a whole URL` + like + `"https://wbsapi.withings.net"`,
		},
		{
			"a password", func(s *withings.Settings) { s.APIURL = "https://me:hush@wbsapi.withings.net" },
			`api_url: the URL holds a user name or password` + like + `"https://wbsapi.withings.net"`,
		},
		{
			"another scheme and a query", func(s *withings.Settings) { s.APIURL, s.AuthURL = "ftp://x", "https://x?mode=demo" },
			`api_url: "ftp://x" is not an HTTP URL` + like + `"https://wbsapi.withings.net"` + "\n" +
				`auth_url: the URL holds a query or fragment` + like + `"https://account.withings.com/oauth2_user/authorize2"`,
		},
	} {
		s := withings.Defaults()
		s.ClientID, s.ClientSecret = clientID, clientSecret
		test.change(s)
		var got []string
		s.Check(func(key, what, want string) { got = append(got, key+": "+what+", want "+want) })
		if d := diff(test.want, strings.Join(got, "\n")); d != "" {
			t.Errorf("%s: problems (-want +got):\n%s", test.name, d)
		}
	}
}

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.toml")
	err := os.WriteFile(file, []byte(`
[[person]]
[[person.source]]
kind = "withings"
name = "watch"
client_id = "9f3b1c"
client_secret = "${WITHINGS_SECRET}"
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("WITHINGS_SECRET", clientSecret)
	c, warnings, err := config.Load(file, config.Machine(), config.Kinds{Sources: config.Makers{
		"withings": func() any { return withings.Defaults() },
	}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := withings.Defaults()
	want.ClientID, want.ClientSecret = clientID, clientSecret
	if d := diff(want, c.People[0].Sources[0].Settings); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprint(want), fmt.Sprintf("%+v %#v %s", want, *want, want)} {
		if strings.Contains(shown, "hush") {
			t.Errorf("the secret shows in %s", shown)
		}
	}
}
