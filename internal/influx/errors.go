package influx

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// A Cause says in one stable word why InfluxDB did not take something. It is fit for a metric's label.
type Cause string

// The causes.
const (
	Down         Cause = "down"          // nothing answers there, or the connection broke
	NoHost       Cause = "no_host"       // the name of the server does not resolve
	Insecure     Cause = "insecure"      // the TLS connection cannot be trusted
	Timeout      Cause = "timeout"       // no answer in time
	Unauthorized Cause = "unauthorized"  // 401: the credentials are wrong
	Forbidden    Cause = "forbidden"     // 403: the credentials may not write there
	NotFound     Cause = "not_found"     // 404: no such database, bucket, organisation or retention policy
	TooLarge     Cause = "too_large"     // 413: more than the server or a proxy takes at once
	Throttled    Cause = "throttled"     // 429
	Unavailable  Cause = "unavailable"   // 503 and other failures of the server
	Rejected     Cause = "rejected"      // 400: the request as a whole is not accepted
	Unparsable   Cause = "unparsable"    // 400: a line cannot be read
	Partial      Cause = "partial"       // 400 or 422: some points were dropped, the others taken
	NotInfluxDB  Cause = "not_influxdb"  // what answers is something else
	CannotDelete Cause = "cannot_delete" // the server has no way to delete
	StoreFailed  Cause = "store"         // our own store failed, not InfluxDB
)

// Error is a refusal or failure of InfluxDB.
type Error struct {
	Cause Cause
	// Remedy says what a person can do about it.
	Remedy string
	// Status is the HTTP status, zero if there was no answer.
	Status int
	// Reason is what the server said, without values and credentials; it may be empty.
	Reason string
	// RetryAfter is how long the server asks to be left alone; zero if it does not say.
	RetryAfter time.Duration
	// Config says that only a change of the configuration or of the server's will help.
	Config bool
	// Permanent says that the same points will never be taken: they are dropped, the others go on.
	Permanent bool
	// Dropped is how many points a Permanent error is about.
	Dropped int
	// Err is the failure underneath, if there was no answer.
	Err error `json:"-"`
}

// Error says what happened and what can be done about it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("influx: ")
	b.WriteString(e.summary())
	if e.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(e.Remedy)
	}
	return b.String()
}

// Unwrap returns the failure underneath.
func (e *Error) Unwrap() error { return e.Err }

// summary says what happened.
func (e *Error) summary() string {
	s := describe(e.Cause)
	if e.Status != 0 {
		s += " (" + strconv.Itoa(e.Status) + ")"
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

func describe(c Cause) string {
	switch c {
	case Down:
		return "InfluxDB cannot be reached"
	case NoHost:
		return "the name of the InfluxDB server does not resolve"
	case Insecure:
		return "the TLS connection to InfluxDB cannot be trusted"
	case Timeout:
		return "InfluxDB did not answer in time"
	case Unauthorized:
		return "InfluxDB does not accept the credentials"
	case Forbidden:
		return "InfluxDB does not let these credentials write"
	case NotFound:
		return "InfluxDB does not know the place to write to"
	case TooLarge:
		return "InfluxDB finds the request too large"
	case Throttled:
		return "InfluxDB asks to slow down"
	case Unavailable:
		return "InfluxDB is failing"
	case Rejected:
		return "InfluxDB does not accept the request"
	case Unparsable:
		return "InfluxDB cannot read a line"
	case Partial:
		return "InfluxDB dropped points"
	case NotInfluxDB:
		return "what answers is not the write API of InfluxDB"
	case CannotDelete:
		return "this InfluxDB cannot delete"
	}
	return "the projection failed"
}

// lineTrouble reports whether lines of the batch are to blame, so that the others can go on.
func (e *Error) lineTrouble() bool { return e.Cause == TooLarge || e.Cause == Unparsable }

// refusal makes an Error of an answer. Body is the beginning of what the server said.
func refusal(status int, header http.Header, body []byte, now time.Time) *Error {
	said := message(header, body)
	e := &Error{Status: status, Reason: said, RetryAfter: retryAfter(header.Get("Retry-After"), now)}
	html := looksLikePage(header, body)
	if html {
		e.Reason = ""
	}
	low := strings.ToLower(said)
	switch {
	case status == http.StatusUnauthorized:
		e.Cause, e.Config = Unauthorized, true
		e.Remedy = "set influx.token_file to a valid token; for InfluxDB 1.8 it holds user:password"
	case status == http.StatusForbidden:
		e.Cause, e.Config = Forbidden, true
		e.Remedy = "give the token of influx.token_file the right to write to influx.bucket"
	case status == http.StatusNotFound && (html || !json.Valid(body)):
		e.Cause, e.Config = NotInfluxDB, true
		e.Remedy = "check the host, port and path of influx.url; InfluxDB must be 1.8 or newer"
	case status == http.StatusNotFound:
		e.Cause, e.Config = NotFound, true
		e.Remedy = "create the database or bucket, or correct influx.bucket and influx.org"
	case status == http.StatusInternalServerError && strings.Contains(low, "retention policy not found"):
		e.Cause, e.Config = NotFound, true
		e.Remedy = "create the retention policy, or correct the part behind the slash in influx.bucket"
	case status == http.StatusRequestEntityTooLarge:
		e.Cause, e.Permanent = TooLarge, true
		e.Remedy = "raise max-body-size of InfluxDB, or client_max_body_size of a proxy before it"
	case status == http.StatusTooManyRequests:
		e.Cause = Throttled
		e.Remedy = "nothing to do: walkd waits and tries again"
	case status >= 500 && strings.Contains(low, "no space left"):
		e.Cause = Unavailable
		e.Remedy = "make room on the disk of InfluxDB"
	case status >= 500:
		e.Cause = Unavailable
		e.Remedy = "look into the log of InfluxDB; walkd tries again by itself"
	case status != http.StatusBadRequest && status != http.StatusUnprocessableEntity || html:
		e.Cause, e.Config = NotInfluxDB, true
		e.Remedy = "check influx.url: a login page, a proxy or another program answers there"
		if e.Reason == "" && html {
			e.Reason = "an HTML page"
		}
	case strings.Contains(low, "unable to parse") || strings.Contains(low, "failed to parse") || strings.Contains(low, "parsing failed"):
		e.Cause, e.Permanent, e.Dropped = Unparsable, true, 1
		e.Remedy = "report it as a bug of walkd"
	case strings.Contains(low, "partial write") || strings.Contains(low, "retention") ||
		strings.Contains(low, "field type conflict") || strings.Contains(low, "failure writing points"):
		e.Cause, e.Permanent, e.Dropped = Partial, true, max(1, dropped(said), partialLines(body))
		e.Remedy = partialRemedy(low)
	default:
		e.Cause, e.Config = Rejected, true
		e.Remedy = "check influx.org and influx.bucket"
	}
	return e
}

func partialRemedy(low string) string {
	if strings.Contains(low, "type") {
		return "another program writes this measurement with other types: give walkd a database of its own, " +
			"then run walkd influx rebuild"
	}
	return "lengthen the retention of the database so that it holds all of the history, then run walkd influx rebuild"
}

// failure makes an Error of a request without an answer. It returns context.Canceled as it is.
func failure(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	var (
		dns       *net.DNSError
		untrusted *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		timeout   interface{ Timeout() bool }
	)
	e = &Error{Cause: Down, Err: err, Remedy: "start InfluxDB, or correct influx.url; walkd tries again by itself"}
	switch {
	case errors.As(err, &dns):
		e.Cause, e.Reason = NoHost, dns.Name
		e.Remedy = "correct the host in influx.url, or look after the name resolution of this machine"
	case errors.As(err, &untrusted):
		e.Cause, e.Reason = Insecure, untrusted.Err.Error()
		e.Remedy = "give InfluxDB a certificate that this machine trusts"
	case errors.As(err, &record):
		e.Cause = Insecure
		e.Remedy = "the server does not speak TLS there: use http:// in influx.url, or another port"
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Cause = Timeout
		e.Remedy = "look whether InfluxDB is overloaded; walkd tries again by itself"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Reason = "connection refused"
	default:
		e.Reason = "the connection broke"
	}
	return e
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(n, 0), 7*24*3600)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), 7*24*time.Hour)
	}
	return 0
}

// message returns what the server said, from the JSON of any version, else from the text. It is cleaned of the line
// it may quote, which would hold values.
func message(header http.Header, body []byte) string {
	var doc struct {
		Error   string          `json:"error"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	said := header.Get("X-Influxdb-Error")
	if err := json.Unmarshal(body, &doc); err == nil {
		said = doc.Error
		if doc.Message != "" {
			said = doc.Message
		}
		if reasons := lineErrors(doc.Data); len(reasons) > 0 {
			said += ": " + reasons[0]
		}
	} else if said == "" {
		said = string(body)
	}
	return clean(said)
}

// lineErrors reads what InfluxDB 3 says of single lines.
func lineErrors(data json.RawMessage) []string {
	type lineError struct {
		Message string `json:"error_message"`
	}
	var many []lineError
	if json.Unmarshal(data, &many) != nil {
		var one lineError
		if json.Unmarshal(data, &one) != nil {
			return nil
		}
		many = []lineError{one}
	}
	var out []string
	for _, e := range many {
		if e.Message != "" {
			out = append(out, e.Message)
		}
	}
	return out
}

func partialLines(body []byte) int {
	var doc struct {
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return 0
	}
	return len(lineErrors(doc.Data))
}

// clean makes a server's words fit for a message of one line: without the line they quote, and short.
func clean(s string) string {
	if i := strings.Index(s, "unable to parse '"); i >= 0 {
		rest := s[i+len("unable to parse '"):]
		if j := strings.LastIndex(rest, "': "); j >= 0 {
			s = s[:i] + "unable to parse: " + rest[j+3:]
		} else {
			s = s[:i] + "unable to parse"
		}
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// dropped reads the "dropped=N" of a partial write.
func dropped(s string) int {
	_, rest, ok := strings.Cut(s, "dropped=")
	if !ok {
		return 0
	}
	n := 0
	if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
		return 0
	}
	return n
}

// looksLikePage reports whether an answer is meant for a browser.
func looksLikePage(header http.Header, body []byte) bool {
	if strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		return true
	}
	s := strings.ToLower(strings.TrimSpace(string(body[:min(len(body), 64)])))
	return strings.HasPrefix(s, "<!doctype") || strings.HasPrefix(s, "<html")
}
