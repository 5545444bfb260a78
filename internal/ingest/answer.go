package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// ReadJSON reads the whole body of an answer of service into v and closes it. A body that is cut off, is a web page or
// holds anything after the JSON value is an *Error of class Transient, and v is not to be used.
func ReadJSON(service string, resp *http.Response, v any) error {
	body, err := io.ReadAll(resp.Body)
	err = errors.Join(err, resp.Body.Close())
	fail := func(err error) error {
		return &Error{Class: Transient, Status: resp.StatusCode, Err: err}
	}
	if err != nil {
		return fail(fmt.Errorf("%s: the answer broke off: %w", service, err))
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return fail(fmt.Errorf("%s answered with a web page instead of data", service))
	}
	if err = json.Unmarshal(body, v); err == nil {
		return nil
	}
	// The texts of package json may hold a value of the answer, which belongs in no log.
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		err = fmt.Errorf("%s: the answer is no JSON, or not all of it: %w at byte %d", service, err, syntax.Offset)
	case errors.As(err, &kind):
		what, _, _ := strings.Cut(kind.Value, " ")
		err = fmt.Errorf("%s: the answer has a %s for %q at byte %d, want %s", service, what, kind.Field, kind.Offset, kind.Type)
	default:
		err = fmt.Errorf("%s: the answer makes no sense: %w", service, err)
	}
	return fail(err)
}

// StatusError returns nil if the status of an answer of service is 2xx, and otherwise what follows from it: 401 and 403
// are Auth, 429 is Throttled, 408 and 5xx are Transient, anything else is Permanent. now is the time on the wall, by
// which a Retry-After that names a date is read. The body is neither read nor closed.
func StatusError(service string, resp *http.Response, now time.Time) *Error {
	status := resp.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	e := &Error{Class: Permanent, Status: status}
	e.Err = fmt.Errorf("%s answered %s", service, strings.TrimSpace(fmt.Sprint(status, " ", http.StatusText(status))))
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		e.Class = Auth
	case status == http.StatusTooManyRequests:
		e.Class, e.RetryAfter = Throttled, RetryAfter(resp.Header, now)
	case status == http.StatusRequestTimeout, status >= 500:
		e.Class, e.RetryAfter = Transient, RetryAfter(resp.Header, now)
	}
	return e
}

// RetryAfter returns how long after now, on the wall clock, the Retry-After of an answer asks to wait, whether it gives
// seconds or a date; zero if it does not.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(max(0, n)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// AnsweredAt returns the time on the wall at which an answer was made, as far as it tells; now otherwise.
func AnsweredAt(resp *http.Response) time.Time {
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		return t
	}
	return time.Now()
}

// Quote returns what a provider says in quotes and on one line, not at length: "" if there is nothing, or if it holds one
// of secrets or the access token that resp was asked with.
func Quote(text string, resp *http.Response, secrets ...string) string {
	const most = 200
	if resp.Request != nil {
		_, token, _ := strings.Cut(resp.Request.Header.Get("Authorization"), " ")
		secrets = append(secrets, token)
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			return ""
		}
	}
	if text = OneLine(text, most); text == "" {
		return ""
	}
	return fmt.Sprintf("%q", text)
}

// OneLine returns text on one line, without what cannot be seen, and of at most so many characters.
func OneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most-1]) + "…"
	}
	return text
}
