package oura_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/oura"
)

func TestCheck(t *testing.T) {
	const like = `, want an https address, or an http one on this machine, like `
	for _, test := range []struct {
		name   string
		change func(*oura.Settings)
		want   string
	}{
		{"whole", func(*oura.Settings) {}, ""},
		{
			"empty", func(s *oura.Settings) { s.ClientID, s.ClientSecret = "", "" },
			"client_id: missing, want the client ID of an API application: make one at " +
				"https://cloud.ouraring.com/oauth/applications with your Oura account, and register " +
				"http://localhost:8099/oauth/callback as its redirect URI\n" +
				"client_secret: missing, want the secret that Oura shows for the client ID, as client_secret_file or from the environment",
		},
		{
			"addresses", func(s *oura.Settings) {
				s.RedirectURL, s.APIURL, s.AuthURL = "http://walkd.local/oauth/callback", "/oura", "https://x?mode=demo"
			},
			`redirect_url: "http://walkd.local/oauth/callback" is not encrypted and leaves this machine` + like +
				`"http://localhost:8099/oauth/callback"` + "\n" + `api_url: "/oura" is not a whole URL` + like +
				`"https://api.ouraring.com"` + "\n" + `auth_url: the URL holds a query or fragment` + like +
				`"https://cloud.ouraring.com/oauth/authorize"`,
		},
	} {
		s := oura.Defaults()
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
kind = "oura"
name = "ring"
client_id = "9f3b1c"
client_secret = "${OURA_SECRET}"
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OURA_SECRET", clientSecret)
	c, warnings, err := config.Load(file, config.Machine(), config.Kinds{Sources: config.Makers{
		"oura": func() any { return oura.Defaults() },
	}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := oura.Defaults()
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

func TestConsentURL(t *testing.T) {
	s := oura.Defaults()
	s.ClientID, s.ClientSecret = clientID, clientSecret
	p := s.Provider("ring").(ingest.Authorizer)
	u, err := url.Parse(p.ConsentURL(ingest.Consent{State: "state", Verifier: "verifier"}))
	if err != nil {
		t.Fatal(err)
	}
	page, _, _ := strings.Cut(u.String(), "?")
	if d := diff(url.Values{
		"client_id": {clientID}, "redirect_uri": {"http://localhost:8099/oauth/callback"}, "response_type": {"code"},
		"scope": {"daily workout personal"}, "state": {"state"},
	}, u.Query()); d != "" || page != "https://cloud.ouraring.com/oauth/authorize" {
		t.Errorf("consent at %s (-want +got):\n%s", u, d)
	}
	if p.RedirectURL() != "http://localhost:8099/oauth/callback" || p.Application() != clientID {
		t.Errorf("application %q, redirected to %q", p.Application(), p.RedirectURL())
	}
	if d := diff([]string{clientSecret}, p.Secrets()); d != "" {
		t.Errorf("secrets (-want +got):\n%s", d)
	}
}
