package ingest

import (
	"fmt"
	"net/url"
	"strings"
)

// An Address is a key of a source's settings whose value is a URL, and a value that would do.
type Address struct{ Key, Value, Like string }

// CheckAddresses reports the addresses that cannot be used: the key, what is wrong and what is wanted. Over http tokens
// and codes travel in the clear, so what is not https has to stay on the machine. What may be a secret is not shown.
func CheckAddresses(report func(key, what, want string), addresses ...Address) {
	for _, a := range addresses {
		if what := wrongURL(a.Value); what != "" {
			report(a.Key, what, fmt.Sprintf("an https address, or an http one on this machine, like %q", a.Like))
		}
	}
}

// wrongURL returns why a URL cannot be used, or "".
func wrongURL(value string) string {
	u, err := url.Parse(value)
	switch {
	case strings.Contains(value, "@"):
		return "the URL holds a user name or password"
	case err != nil || u.Scheme == "" || u.Hostname() == "":
		return fmt.Sprintf("%q is not a whole URL", value)
	case strings.ContainsAny(value, "?#"):
		return "the URL holds a query or fragment"
	case u.Scheme == "https":
		return ""
	case u.Scheme != "http":
		return fmt.Sprintf("%q is not an HTTP URL", value)
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return ""
	}
	return fmt.Sprintf("%q is not encrypted and leaves this machine", value)
}
