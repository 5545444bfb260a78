package ntfy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/walkd/walkd/internal/notify"
)

// Settings are the keys of a channel of kind "ntfy" in the config.
type Settings struct {
	// URL is the topic's address, like https://ntfy.sh/topic. Who knows it can read along: it is a secret.
	URL string `toml:"url"`
	// Token is an access token of the server, User and Password are an account there. There may be neither.
	Token    string `toml:"token,secret"`
	User     string `toml:"user"`
	Password string `toml:"password,secret"`
	// Priority is 1 (no sound) to 5 (long vibration).
	Priority int `toml:"priority"`
}

// Defaults returns the settings of somebody who sets nothing.
func Defaults() *Settings { return &Settings{Priority: 3} }

// String returns no secret.
func (s *Settings) String() string { return fmt.Sprintf("ntfy with priority %d", s.Priority) }

// GoString returns String.
func (s *Settings) GoString() string { return s.String() }

// LogValue returns String.
func (s *Settings) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns String.
func (s *Settings) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// topicName is what the server takes as a topic.
var topicName = regexp.MustCompile(`^[-_A-Za-z0-9]{1,64}$`)

const wantURL = `the topic's address, like "https://ntfy.sh/a-topic-that-nobody-guesses"`

// Check reports what is wrong, without showing secrets.
func (s *Settings) Check(report func(key, what, want string)) {
	if s.URL == "" {
		report("url", "missing", wantURL)
	} else if _, _, err := s.split(); err != nil {
		report("url", err.Error(), wantURL)
	}
	if s.Token != "" && (s.User != "" || s.Password != "") {
		report("token", "there is a user or a password as well", "either a token, or user and password")
	}
	if s.Token == "" && (s.User == "") != (s.Password == "") {
		report("user", "user and password belong together, and one is missing", "both, or neither")
	}
	for key, value := range map[string]string{"token": s.Token, "user": s.User, "password": s.Password} {
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			report(key, "there is a control character or a line break in it", "one line of text")
		}
	}
	if s.Priority < 1 || s.Priority > 5 {
		report("priority", fmt.Sprintf("%d is out of range", s.Priority), "1 (no sound) to 5 (long vibration)")
	}
}

// split returns the server's root and the topic. Its errors hold neither.
func (s *Settings) split() (server, topic string, err error) {
	u, err := url.Parse(strings.TrimSpace(s.URL))
	switch {
	case err != nil:
		return "", "", errors.New("this is not an address")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", "", errors.New("this is not an address of the web")
	case u.User != nil:
		return "", "", errors.New("there is a password in the address: it belongs into user and password")
	case u.RawQuery != "" || u.Fragment != "":
		return "", "", errors.New("there is something after the topic")
	}
	topic = strings.Trim(u.Path, "/")
	if !topicName.MatchString(topic) {
		return "", "", errors.New("the part after the server is no topic: it has up to 64 letters, digits, - and _")
	}
	return u.Scheme + "://" + u.Host, topic, nil
}

// Channel returns the channel of the settings. It talks to the server through client's transport, without following
// redirects.
func (s *Settings) Channel(client *http.Client) (notify.Channel, error) {
	server, topic, err := s.split()
	if err != nil {
		return nil, fmt.Errorf("ntfy: url: %w", err)
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	hide := []string{}
	for _, secret := range []string{s.URL, s.Password, s.Token, topic} {
		if secret != "" {
			hide = append(hide, secret, "(hidden)")
		}
	}
	return &Channel{settings: *s, server: server, topic: topic, client: &own, hide: strings.NewReplacer(hide...)}, nil
}
