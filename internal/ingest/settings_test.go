package ingest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
)

func TestCheckAddresses(t *testing.T) {
	for value, want := range map[string]string{
		"https://api.example.org":        "",
		"https://api.example.org:8443/x": "",
		"http://localhost:8099/callback": "",
		"http://127.0.0.1:1/":            "",
		"http://[::1]:1":                 "",
		"":                               `"" is not a whole URL`,
		"/path":                          `"/path" is not a whole URL`,
		"api.example.org":                `"api.example.org" is not a whole URL`,
		"https://:443":                   `"https://:443" is not a whole URL`,
		"ftp://api.example.org":          `"ftp://api.example.org" is not an HTTP URL`,
		"http://api.example.org":         `"http://api.example.org" is not encrypted and leaves this machine`,
		"http://localhost.example.org":   `"http://localhost.example.org" is not encrypted and leaves this machine`,
		"https://me:hush@example.org":    "the URL holds a user name or password",
		"hush@:":                         "the URL holds a user name or password",
		"https://example.org?key=hush":   "the URL holds a query or fragment",
		"https://example.org/#hush":      "the URL holds a query or fragment",
	} {
		var got []string
		ingest.CheckAddresses(func(key, what, want string) { got = append(got, key, what, want) },
			ingest.Address{Key: "auth_url", Value: "https://example.org", Like: "x"},
			ingest.Address{Key: "api_url", Value: value, Like: "https://api.example.com"})
		var wanted []string
		if want != "" {
			wanted = []string{"api_url", want, `an https address, or an http one on this machine, like "https://api.example.com"`}
		}
		if d := cmp.Diff(wanted, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", value, d)
		}
	}
}
