package config

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
)

// A Secret is a token or password. It shows as "(secret)" wherever it is printed, logged or encoded.
type Secret struct{ value string }

// NewSecret returns the Secret that value is.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the secret itself, "" if there is none.
func (s Secret) Reveal() string { return s.value }

const redacted = "(secret)"

// Format writes "(secret)", or nothing if there is none, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String returns "(secret)", or "" if there is none.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// MarshalText returns String. It keeps the secret out of TOML, too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns String in quotes.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// LogValue returns String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

var (
	variable     = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
	variableLike = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)
)

// secret returns the secret that keys give as key or key_file, and removes those from keys.
func (l *loader) secret(at, key string, keys map[string]any) string {
	value, file := l.take(at, keys, key), l.take(at, keys, key+"_file")
	at = join(at, key)
	switch {
	case value != "" && file != "":
		l.problem(at+"_file", "the secret is given twice", "either "+key+" or "+key+"_file")
		return ""
	case file != "":
		return l.secretFile(at+"_file", file)
	case value == "":
		return ""
	}
	if m := variable.FindStringSubmatch(value); m != nil {
		secret := l.env.Getenv(m[1])
		if secret == "" {
			l.problem(at, "the environment variable "+m[1]+" is not set", "it set for walkd, or "+key+"_file")
		}
		return secret
	}
	if m := variableLike.FindString(value); m != "" {
		l.problem(at, "a part of the value is "+m, "the variable alone, or "+key+"_file")
		return ""
	}
	l.warn(at, "the secret stands in the config file", key+`_file = "path" or `+key+` = "${NAME}"`)
	return value
}

// take removes key from keys and returns its value, which has to be a string. The message about one that is not does
// not show it.
func (l *loader) take(at string, keys map[string]any, key string) string {
	v, given := keys[key]
	delete(keys, key)
	s, ok := v.(string)
	if given && !ok {
		l.problem(join(at, key), "the value is "+kindOf(v), "a string in quotes")
	}
	return s
}

func (l *loader) secretFile(at, name string) string {
	path := l.path(name)
	if dir := l.env.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && !filepath.IsAbs(name) {
		path = filepath.Join(dir, name)
	}
	text, err := l.env.ReadFile(path)
	if err != nil {
		l.problem(at, err.Error(), "a file that walkd can read")
		return ""
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		l.problem(at, path+" is empty", "the secret in it")
		return ""
	}
	if info, err := l.env.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		l.warn(at, fmt.Sprintf("everybody on this machine can read %s (mode %04o)", path, info.Mode().Perm()),
			"chmod 600")
	}
	return secret
}
