package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/walkd/walkd/internal/walking"
)

// A nameRule says what a name may look like.
type nameRule struct {
	pattern *regexp.Regexp
	want    string
}

var (
	personName = nameRule{
		regexp.MustCompile(`^[\pL\pN]([\pL\pM\pN ._@'-]{0,62}[\pL\pM\pN.])?$`),
		"up to 64 letters and digits, with . _ @ ' - and spaces between them",
	}
	// Source names stand in the paths of URLs and before the / of a stream.
	sourceName = nameRule{
		regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`),
		"up to 64 of a-z, A-Z, 0-9, and . _ - after the first",
	}
)

func (l *loader) checkName(key, name string, rule nameRule) {
	if !rule.pattern.MatchString(name) {
		l.problem(key, quote(name)+" is not a name", rule.want)
	}
}

// unique reports the names under at[0] … at[n-1] that an earlier one has, whatever the case.
func (l *loader) unique(at, key string, n int, name func(i int) string) {
	first := map[string]int{}
	for i := range n {
		folded := strings.ToLower(name(i))
		if folded == "" {
			continue // reported as missing
		}
		j, seen := first[folded]
		if !seen {
			first[folded] = i
			continue
		}
		l.problem(fmt.Sprintf("%s[%d]%s", at, i, key),
			fmt.Sprintf("%s is also %s[%d]%s", quote(name(i)), at, j, key), "a name of its own")
	}
}

func (l *loader) oneOf(key, value string, words ...string) {
	if slices.Contains(words, value) {
		return
	}
	didYouMean := nearest(value, words)
	if didYouMean != "" {
		didYouMean = strconv.Quote(didYouMean)
	}
	want := list(words)
	if len(words) == 0 {
		want = "nothing: this walkd knows no kinds"
	}
	l.problemMeaning(key, quote(value)+" is unknown", want, didYouMean)
}

func (l *loader) checkListen(key, value string) {
	const want = `host:port like "127.0.0.1:8099", or "" for no server`
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		l.problem(key, quote(value)+" is not an address", want)
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		l.problem(key, quote(port)+" is not a port", "0 to 65535")
	} else if host != "" && net.ParseIP(host) == nil && !hostName.MatchString(host) {
		l.problem(key, quote(host)+" is not a host", want)
	} else if strconv.FormatUint(n, 10) != port {
		l.problem(key, quote(port)+" is not a port", "it without leading zeros")
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

// isLocalAddress reports whether a server that listens at a host:port can be reached from this machine alone.
func isLocalAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && isLocalHost(host)
}

// isLocalURL reports whether an address can be reached from this machine alone.
func isLocalURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && isLocalHost(u.Hostname())
}

func isLocalHost(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// baseURL returns the scheme and host that value names, and nothing else.
func (l *loader) baseURL(key, value string) string {
	const want = `scheme and host alone, like "https://walkd.example.org"`
	u, err := url.Parse(value)
	switch {
	case strings.Contains(value, "@"):
		l.problem(key, "the URL holds a user name or password", want)
	case strings.ContainsAny(value, "?#"):
		l.problem(key, "the URL holds a query or fragment", want)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		l.problem(key, quote(value)+" is not an HTTP URL", want)
	case u.Path != "" && u.Path != "/":
		l.problem(key, quote(value)+" holds a path", want+": a proxy has to give walkd a host name or a port of its own")
	default:
		usual := map[string]string{"http": ":80", "https": ":443"}[u.Scheme] // which browsers leave out
		return u.Scheme + "://" + strings.ToLower(strings.TrimSuffix(u.Host, usual))
	}
	return ""
}

// proxy returns the addresses that value names: one, or those with a common beginning.
func (l *loader) proxy(key, value string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(value)
	if err != nil {
		ip, ipErr := netip.ParseAddr(value)
		if ipErr != nil || ip.Zone() != "" {
			l.problem(key, quote(value)+" is not an IP address", `one like "192.168.1.2", or a range like "10.0.0.0/8"`)
			return p, false
		}
		ip = ip.Unmap()
		p = netip.PrefixFrom(ip, ip.BitLen())
	}
	if p.Bits() == 0 {
		l.problem(key, quote(value)+" is everybody", "the addresses of proxies alone")
		return p, false
	}
	return p.Masked(), true
}

// checkURL reports what is wrong with value as the address of an HTTP server, without showing what may be a password.
func (l *loader) checkURL(key, value string) {
	const want = `an address like "http://127.0.0.1:8086"`
	u, err := url.Parse(value)
	switch {
	case strings.Contains(value, "@"):
		l.problem(key, "the URL holds a user name or password", "it without, and the secret in the key for it")
	case strings.ContainsAny(value, "?#"):
		l.problem(key, "the URL holds a query or fragment", "it without")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		l.problem(key, quote(value)+" is not an HTTP URL", want)
	}
}

// instant returns the instant that v tells: a date-time with an offset, or one without that is local in zone, in TOML's
// own form or as a string.
func (l *loader) instant(key string, v any, zone *time.Location) (t time.Time, ok bool) {
	const want = `a date and time like 2026-11-20T19:30:00 (by the clock of that place) or 2026-11-20T19:30:00-08:00`
	switch v := v.(type) {
	case nil:
		l.problem(key, "missing", want)
		return t, false
	case time.Time:
		return v.UTC(), true
	case toml.LocalDateTime:
		return v.AsTime(zone).UTC(), true
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return t.UTC(), true
		}
		for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
			if t, err := time.ParseInLocation(layout, v, zone); err == nil {
				return t.UTC(), true
			}
		}
		l.problem(key, quote(v)+" is not a date and time", want)
	case toml.LocalDate:
		l.problem(key, v.String()+" has no time of day", want)
	default:
		l.problem(key, "the value is "+kindOf(v), want)
	}
	return t, false
}

func sortChanges(c []walking.ZoneChange) {
	slices.SortFunc(c, func(a, b walking.ZoneChange) int { return a.From.Compare(b.From) })
}
