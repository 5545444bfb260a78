package oura

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

// errScope says that the consent lacks a right.
var errScope = errors.New("the consent lacks a right")

// Remedies.
const (
	allowDaily = "connect it again, and leave the box for daily activity ticked"
	renew      = "renew the Oura membership in the Oura app; walkd then goes on by itself"
	updated    = "update walkd: the API may have changed"
)

// A problem is what Oura answers with to a request that it refuses, as far as it is of use.
type problem struct {
	Title       string          `json:"title"`
	Detail      json.RawMessage `json:"detail"` // text, or a list of what is wrong
	Description string          `json:"error_description"`
}

// words returns what p says besides a status.
func (p *problem) words(status int) string {
	parts := []string{p.Title}
	var text string
	var list []struct {
		Message string `json:"msg"`
	}
	switch {
	case json.Unmarshal(p.Detail, &text) == nil:
		parts = append(parts, text)
	case json.Unmarshal(p.Detail, &list) == nil:
		for _, one := range list {
			parts = append(parts, one.Message)
		}
	}
	if text == "" {
		parts = append(parts, p.Description)
	}
	var out []string
	for _, part := range parts {
		if part = strings.TrimSpace(part); part != "" && !strings.EqualFold(part, http.StatusText(status)) {
			out = append(out, part)
		}
	}
	return strings.Join(out, ": ")
}

// refusal returns nil if the status of an answer is 2xx, and otherwise what follows from it. It reads the body and does
// not close it.
func refusal(resp *http.Response, secrets ...string) *ingest.Error {
	e := ingest.StatusError(service, resp, ingest.AnsweredAt(resp))
	if e == nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what is cut off says nothing
	if strings.HasPrefix(strings.TrimSpace(string(text)), "<") {
		if e.Class == ingest.Auth {
			// Oura refuses in JSON. A web page is from something on the way, and no reason to ask for consent.
			e.Class, e.Err = ingest.Transient, fmt.Errorf("%w with a web page, which is not Oura's", e.Err)
		}
	}
	var p problem
	if json.Unmarshal(text, &p) != nil {
		p = problem{}
	}
	words := p.words(e.Status)
	if quoted := ingest.Quote(words, resp, secrets...); quoted != "" {
		e.Err = fmt.Errorf("%w: %s", e.Err, quoted)
	}
	say := func(c ingest.Class, remedy, what string) *ingest.Error {
		e.Class, e.Remedy, e.Err = c, remedy, fmt.Errorf("%s: %s (%w)", service, what, e.Err)
		return e
	}
	switch e.Status {
	case http.StatusUnauthorized:
		if e.Class == ingest.Auth {
			e.Remedy = ingest.ConnectAgain
		}
	case http.StatusForbidden:
		if e.Class == ingest.Auth {
			return forbidden(e, words, say)
		}
	case http.StatusTooManyRequests:
		if e.RetryAfter == 0 {
			e.RetryAfter = untilReset(resp.Header)
		}
		e.RetryAfter = min(e.RetryAfter, longestReset)
	case http.StatusUpgradeRequired:
		return say(ingest.Permanent, "update the Oura app on your phone, and open it once", "the Oura app is too old")
	case http.StatusNotFound:
		e.Remedy = "update walkd, or take api_url out of the config if it is there"
	default:
		if e.Class == ingest.Permanent {
			e.Remedy = updated
		}
	}
	return e
}

// forbidden says what follows from 403, which stands for a right that is missing and for a membership that has lapsed. A
// membership can be renewed without walkd's doing, so that it is not of the class that waits for a new consent.
func forbidden(
	e *ingest.Error, words string, say func(c ingest.Class, remedy, what string) *ingest.Error,
) *ingest.Error {
	has := func(any ...string) bool {
		for _, word := range any {
			if strings.Contains(strings.ToLower(words), word) {
				return true
			}
		}
		return false
	}
	scope, membership := has("scope", "permission"), has("subscription", "membership")
	switch {
	case scope && !membership:
		e.Class, e.Remedy, e.Err = ingest.Auth, allowDaily, fmt.Errorf("%s: %w (%w)", service, errScope, e.Err)
		return e
	case membership && !scope:
		return say(ingest.Permanent, renew, "the Oura membership has lapsed")
	}
	return say(ingest.Permanent, "renew the Oura membership if it has lapsed; if not, connect it again, and leave the box for "+
		"daily activity ticked", "it does not give out the data")
}

// noSense is the failure of an answer with status 200 that is not what was asked for.
func noSense(err error) error {
	return &ingest.Error{
		Class: ingest.Transient, Status: http.StatusOK, Err: fmt.Errorf("%s: the answer makes no sense: %w", service, err),
	}
}

// Reasons why an answer makes no sense. They hold nothing of it: what people do is not for logs.
var (
	errNoData  = errors.New("it has no data")
	errNoDate  = errors.New("a day has no date")
	errNoSteps = errors.New("a day has no steps")
	errTime    = errors.New("a time is not of the form 2006-01-02T15:04:05+07:00")
	errClass   = errors.New("a class of activity is not one of 0 to 5")
	errMETs    = errors.New("the METs of a day are no list of numbers, each for some seconds")
	errRepeats = errors.New("its pages repeat without end")
)

// ended returns err, or that ctx has ended if that was the cause: then it is nobody's failure.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("oura: %w", ctx.Err())
	}
	return err
}

// seconds returns a time that a document tells in seconds; false if that is none.
func seconds(n float64) (time.Duration, bool) {
	const most = 24 * 60 * 60
	return time.Duration(n * float64(time.Second)), n >= 1 && n <= most
}
