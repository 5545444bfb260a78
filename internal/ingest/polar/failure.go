package polar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

const acceptConsents = "accept all of Polar's mandatory consents at https://account.polar.com"

// refusal returns nil if the status of an answer is 2xx, and otherwise what follows from it. It reads the body and
// does not close it.
func refusal(resp *http.Response) error {
	at := ingest.AnsweredAt(resp)
	e := ingest.StatusError(service, resp, at)
	page := discard(resp)
	if e == nil {
		return nil
	}
	switch {
	case e.Class == ingest.Auth && page:
		// Polar refuses in JSON. A web page is from something on the way, and no reason to ask for consent.
		e.Class, e.Err = ingest.Transient, fmt.Errorf("%w with a web page, which is not Polar's", e.Err)
	case e.Status == http.StatusForbidden:
		// Once they are accepted it goes on by itself, so this is not of the class that waits for a new consent.
		e.Class, e.Remedy = ingest.Permanent, acceptConsents+"; if they are, connect it again"
	case e.Class == ingest.Auth:
		e.Remedy = ingest.ConnectAgain
	case e.Class == ingest.Throttled && e.RetryAfter == 0:
		e.RetryAfter = whole(resp.Header)
	case e.Status == http.StatusBadRequest:
		e.Remedy = "see that the clock of this machine is right; if it is, update walkd: the API may have changed"
	case e.Status == http.StatusNotFound:
		e.Remedy = "update walkd, or take api_url out of the config if it is there"
	case e.Class == ingest.Permanent:
		e.Remedy = "update walkd: the API may have changed"
	}
	return e
}

// whole returns how long it takes until no limit is used up any more, as far as the headers tell; zero if they say that
// none is.
func whole(h http.Header) (wait time.Duration) {
	for _, a := range allowance(h) {
		if a.Left == 0 {
			wait = max(wait, a.Reset)
		}
	}
	return wait
}

// discard reads what is left of an answer, up to a bound, so that its connection can be used again. It reports whether
// that was a web page.
func discard(resp *http.Response) (page bool) {
	head, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what is cut off changes nothing
	return strings.HasPrefix(strings.TrimSpace(string(head)), "<")
}

// noSense is the failure of an answer with status 200 that is not what was asked for.
func noSense(err error) error {
	return &ingest.Error{
		Class: ingest.Transient, Status: http.StatusOK, Err: fmt.Errorf("%s: the answer makes no sense: %w", service, err),
	}
}

// Reasons why an answer makes no sense. They hold nothing of it: what people do is not for logs.
var (
	errNoList   = errors.New("it is no list")
	errNoDay    = errors.New("a day has no time")
	errTime     = errors.New("a time is not of the form 2006-01-02T15:04:05")
	errDuration = errors.New("a duration is not of the form PT1H2M3S")
	errNumber   = errors.New("a number is none")
)

// ended returns err, or that ctx has ended if that was the cause: then it is nobody's failure.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("polar: %w", ctx.Err())
	}
	return err
}
