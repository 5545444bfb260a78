// Package ntfy is the channel of kind "ntfy": it publishes messages to a topic of an ntfy server, ntfy.sh or one's own,
// from where the ntfy app on a phone shows them.
package ntfy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/walkd/walkd/internal/notify"
)

// Kind is the name of this kind of channel in the config.
const Kind = "ntfy"

// What the server takes, by its documentation. A message of 4,096 bytes already becomes an attachment on some versions.
const (
	maxMessage = 4095
	maxTitle   = 1000 // 1 KB
	maxTags    = 500  // bytes, all together; 512
)

// maxAnswer is how much is read of an answer.
const maxAnswer = 64 << 10

// A Channel is one topic on one server.
type Channel struct {
	settings Settings
	server   string // its root, without a slash at the end
	topic    string
	client   *http.Client
	hide     *strings.Replacer // secrets

	mu       sync.Mutex
	replaces replacing
}

// replacing is what is known of whether the server replaces messages by their sequence ID.
type replacing int

const (
	notAsked replacing = iota
	doesNotSay
	yes
	no
)

// Kind returns "ntfy".
func (c *Channel) Kind() string { return Kind }

// String returns no secret.
func (c *Channel) String() string { return "an ntfy topic" }

// GoString returns String.
func (c *Channel) GoString() string { return c.String() }

// publication is what the server takes as JSON at its root. Unlike headers, JSON takes titles in any script; and the
// topic stays out of the address, which ends up in logs.
type publication struct {
	Topic      string   `json:"topic"`
	Title      string   `json:"title,omitempty"`
	Message    string   `json:"message"`
	Tags       []string `json:"tags,omitempty"`
	Priority   int      `json:"priority,omitempty"`
	SequenceID string   `json:"sequence_id,omitempty"` // servers before 2.16 do not know it, and skip it
}

// answer is what the server says of a message it took.
type answer struct {
	ID         string `json:"id"`
	Event      string `json:"event"`
	SequenceID string `json:"sequence_id"`
}

// Send publishes m. What is too long is cut.
func (c *Channel) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	p := publication{
		Topic: c.topic, Title: cut(oneLine(m.Title), maxTitle), Message: cut(printable(m.Body), maxMessage),
		Priority: c.settings.Priority, SequenceID: sequenceID(m.ID),
	}
	if strings.TrimSpace(p.Message) == "" {
		p.Message, p.Title = p.Title, "" // the server would write "triggered"
	}
	size := 0
	for _, tag := range m.Tags {
		if size += len(tag) + 1; size <= maxTags {
			p.Tags = append(p.Tags, tag)
		}
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p); err != nil {
		return notify.Receipt{}, c.failure(notify.Rejected, 0, "", err.Error())
	}
	got, err := c.publish(ctx, body.Bytes())
	if err != nil {
		return notify.Receipt{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	receipt := notify.Receipt{ID: got.ID}
	// A server that can replace says under which name it would. That is surer than a version.
	if c.replaces = no; got.SequenceID == p.SequenceID {
		c.replaces, receipt.ID = yes, p.SequenceID
	}
	return receipt, nil
}

// publish posts the message and judges the answer.
func (c *Channel) publish(ctx context.Context, body []byte) (answer, error) {
	// What is known of the connection, written by its goroutines.
	var connected, written, broken atomic.Bool
	trace := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			written.Store(info.Err == nil)
			broken.Store(info.Err != nil)
		},
	})
	req, err := c.request(trace, http.MethodPost, "/", body)
	if err != nil {
		return answer{}, c.failure(notify.Rejected, 0, "", err.Error())
	}
	resp, err := c.client.Do(req)
	if err != nil {
		// Without the answer nobody knows whether a request that went out whole was followed. One that was broken off
		// by us on an open connection may have gone out.
		if written.Load() || connected.Load() && !broken.Load() && ctx.Err() != nil {
			return answer{}, c.failure(notify.Unknown, 0, "", "the server did not answer: "+err.Error())
		}
		return answer{}, c.failure(notify.Failed, 0, "", "the server could not be reached: "+err.Error())
	}
	defer resp.Body.Close()
	text, readErr := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		return answer{}, c.refusal(resp, text)
	}
	var got answer
	switch err := json.Unmarshal(text, &got); {
	case err == nil && got.ID != "":
		return got, nil
	case readErr != nil:
		return answer{}, c.failure(notify.Unknown, 0, "", "the server's answer broke off: "+readErr.Error())
	case err != nil && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json"):
		return answer{}, c.failure(notify.Unknown, 0, "", "the server's answer cannot be read: "+err.Error())
	default:
		return answer{}, c.failure(notify.Failed, 0, "look at url, or log in to the network",
			"something that is not an ntfy server has answered, such as the login page of a network")
	}
}

func (c *Channel) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case c.settings.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.settings.Token)
	case c.settings.User != "":
		req.SetBasicAuth(c.settings.User, c.settings.Password)
	}
	return req, nil
}

// What the server's numbers of errors mean, where the HTTP status does not say it.
const (
	tooManyRequests     = 42901 // a request every 5 s is let through, after 60 at once
	tooManyTopics       = 42904 // on the whole server
	tooManyMessages     = 42908 // of the day; the count begins anew at midnight UTC
	tooManyAuthFailures = 42909
)

// refusal says what an answer other than 200 means.
func (c *Channel) refusal(resp *http.Response, text []byte) error {
	var said struct {
		Code  int    `json:"code"`
		Error string `json:"error"`
	}
	what := fmt.Sprintf("the server answered %d", resp.StatusCode)
	if json.Unmarshal(text, &said) == nil && said.Error != "" {
		what += ": " + cut(oneLine(c.hide.Replace(said.Error)), 200) // what is cut in two would not be found
	}
	wait := retryAfter(resp)
	// ntfy refuses in JSON. Something else is from what stands before it, such as a proxy whose server is being updated,
	// and passes as a rule.
	refused := notify.Rejected
	if said.Code == 0 && said.Error == "" {
		refused = notify.Failed
	}
	anonymous := c.settings.Token == "" && c.settings.User == ""
	switch status := resp.StatusCode; {
	case anonymous && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		return c.failure(refused, 0, "not everybody may write to this topic: set token, or user and password", what)
	case status == http.StatusUnauthorized:
		return c.failure(refused, 0, "make a new token on the server, or correct user and password", what)
	case status == http.StatusForbidden:
		return c.failure(refused, 0, "give this account the right to write to the topic, or take another topic", what)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return c.failure(refused, 0, "there is no ntfy server at this address: correct url", what)
	case status == http.StatusRequestEntityTooLarge:
		return c.failure(refused, 0, "the server allows shorter messages only: raise its message-size-limit", what)
	case status == http.StatusTooManyRequests:
		if wait == 0 {
			wait = map[int]time.Duration{
				tooManyRequests: time.Minute, tooManyTopics: time.Hour, tooManyMessages: time.Hour, tooManyAuthFailures: time.Hour,
			}[said.Code]
		}
		remedy := map[int]string{
			tooManyTopics:       "the server has no room for another topic: ask whoever runs it",
			tooManyMessages:     "the day's messages are used up: a token of an account may have more",
			tooManyAuthFailures: "make a new token on the server, or correct user and password",
		}[said.Code]
		return c.failure(notify.Throttled, wait, remedy, what)
	case status == http.StatusGatewayTimeout:
		// What stands before the server has passed the message on, and got no answer.
		return c.failure(notify.Unknown, 0, "", what)
	case status == http.StatusRequestTimeout || status >= 500:
		return c.failure(notify.Failed, wait, "", what)
	case status >= 300 && status < 400:
		return c.redirect(resp, what)
	default:
		return c.failure(refused, 0, "correct url", what)
	}
}

// redirect says what a redirect means: to the same host by https it is that of the server, to anywhere else that of a
// network that wants a login.
func (c *Channel) redirect(resp *http.Response, what string) error {
	to, err := resp.Location()
	if err == nil && to.Scheme == "https" && resp.Request.URL.Scheme == "http" &&
		to.Hostname() == resp.Request.URL.Hostname() {
		return c.failure(notify.Rejected, 0, "write https:// in url", what)
	}
	return c.failure(notify.Failed, 0, "look at url, or log in to the network", what+", which is a redirect")
}

// retryAfter reads the header of the same name, in seconds or as a date; 0 if there is none.
func retryAfter(resp *http.Response) time.Duration {
	header := resp.Header.Get("Retry-After")
	if n, err := strconv.Atoi(header); err == nil && n >= 0 {
		return min(time.Duration(n), 24*60*60) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), 24*time.Hour)
}

// failure returns the error, freed of secrets. What caused it is kept as text alone, since errors of net/http hold
// addresses.
func (c *Channel) failure(outcome notify.Outcome, wait time.Duration, remedy, what string) error {
	return &notify.Error{
		Outcome: outcome, RetryAfter: wait, Remedy: remedy, Err: errors.New("ntfy: " + c.hide.Replace(what)),
	}
}

// Replaces reports whether the server replaces a notification that is published again: from 2.16 on. It shows in the
// answer to a message; before the first, the server is asked once for its version, which from 2.17 on it tells
// administrators. Whether the phone follows is up to the app: that of Android from 1.22 on.
func (c *Channel) Replaces(ctx context.Context) bool {
	c.mu.Lock()
	known := c.replaces
	c.mu.Unlock()
	if known == notAsked {
		known = c.askVersion(ctx)
		c.mu.Lock()
		if c.replaces == notAsked {
			c.replaces = known
		}
		c.mu.Unlock()
	}
	return known == yes
}

// askVersion asks the server whether it is 2.16 or later.
func (c *Channel) askVersion(ctx context.Context) replacing {
	req, err := c.request(ctx, http.MethodGet, "/v1/version", nil)
	if err != nil {
		return doesNotSay
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return notAsked
	}
	defer resp.Body.Close()
	var said struct {
		Version string `json:"version"`
	}
	if resp.StatusCode >= 500 {
		return notAsked
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&said) != nil {
		return doesNotSay
	}
	parts := strings.SplitN(strings.TrimPrefix(said.Version, "v"), ".", 3)
	if len(parts) < 2 {
		return doesNotSay
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	switch {
	case err1 != nil || err2 != nil:
		return doesNotSay
	case major > 2 || major == 2 && minor >= 16:
		return yes
	default:
		return no
	}
}

// sequenceID returns the name of a message for the server, which takes up to 64 letters, digits, - and _. It tells
// nothing of the person.
func sequenceID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "walkd-" + hex.EncodeToString(sum[:16])
}

// cut returns s in UTF-8 with at most size bytes, with an ellipsis where something is missing.
func cut(s string, size int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= size {
		return s
	}
	end := size - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// printable returns s without control characters but line breaks and tabs. In JSON they would take six times their
// place, and the server reads no more than 16 KB.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// oneLine returns s with each run of white space as one space.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
