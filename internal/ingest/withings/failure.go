package withings

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/walkd/walkd/internal/ingest"
)

const (
	allowActivity = "connect it again, and allow walkd to see your activity"
	// rateRest is how long to leave Withings alone that says no time: its limit is one of minutes.
	rateRest = time.Minute
)

// A refusal is a status other than 0 in the body of an answer, which itself has the HTTP status 200.
type refusal struct {
	status int
	text   string        // what Withings says, fit to be shown
	repeat bool          // the same was asked less than ten seconds ago
	wait   time.Duration // that Withings asks for; zero if it does not
}

func (r *refusal) Error() string {
	if r.text == "" {
		return fmt.Sprintf("status %d", r.status)
	}
	return fmt.Sprintf("status %d, %q", r.status, r.text)
}

// refusesToken reports whether a status says that the access token does not hold.
func refusesToken(status int) bool { return slices.Contains([]int{100, 101, 102, 200, 401}, status) }

// aboutParams reports whether the status says that a parameter is wrong. The documented ones lie between others.
func (r *refusal) aboutParams() bool {
	s := r.status
	if lacksRight(s) {
		return false
	}
	others := []int{
		215, 219, 222, 224, 226, 231, 233, 237, 253, 268, 269, 270, 273, 274, 289, 291, 292, 296, 298, 322,
	}
	switch {
	case s >= 255 && s <= 259, s >= 278 && s <= 282, s >= 305 && s <= 320, slices.Contains(others, s):
		return false
	case s > 200 && s <= 304, s >= 321 && s <= 353, s >= 380 && s <= 382, s == 400, s >= 501 && s <= 511,
		s == 523, s == 532, s >= 3017 && s <= 3019:
		return true
	}
	return false
}

// lacksRight reports whether a status says that the consent or the application lacks a right.
func lacksRight(status int) bool { return slices.Contains([]int{214, 277, 2553, 2555}, status) }

// failure returns what follows from r.
func (r *refusal) failure() *ingest.Error {
	e := &ingest.Error{Class: ingest.Transient, Status: http.StatusOK}
	say := func(c ingest.Class, remedy, what string) *ingest.Error {
		e.Class, e.Remedy, e.Err = c, remedy, fmt.Errorf("%s: %s (%w)", service, what, r)
		return e
	}
	switch {
	case r.status == 601:
		e.RetryAfter = r.wait
		if r.repeat {
			e.RetryAfter = max(e.RetryAfter, repeatAfter)
			return say(ingest.Throttled, "", "the same was asked a moment ago")
		}
		if e.RetryAfter == 0 {
			e.RetryAfter = rateRest
		}
		return say(ingest.Throttled, "", "too many requests")
	case refusesToken(r.status):
		// Whoever holds the token renews it, see Refused. That fails if the consent is gone, and only then it is known to be.
		return say(ingest.Transient, "", "the access is refused")
	case lacksRight(r.status):
		return say(ingest.Auth, allowActivity, "the consent lacks a right")
	case r.status == 2554:
		return say(ingest.Permanent, "update walkd: the API may have changed", "what walkd asks for does not exist")
	case r.aboutParams():
		return say(ingest.Permanent, "update walkd: the API may have changed", "a parameter is refused")
	case r.status == 522:
		return say(ingest.Transient, "", "it took too long to answer")
	}
	return say(ingest.Transient, "", "it cannot answer now")
}

// An envelope is what every answer is wrapped in.
type envelope struct {
	Status number          `json:"status"`
	Body   json.RawMessage `json:"body"`
	Error  json.RawMessage `json:"error"`
}

func (e *envelope) status() int { return int(max(-1<<30, min(e.Status.n, 1<<30))) }

// refusal returns the refusal that e is, or nil. secrets are what the request held.
func (e *envelope) refusal(secrets ...string) *refusal {
	if e.Status.n == 0 {
		return nil
	}
	r := &refusal{status: e.status()}
	var text string
	if json.Unmarshal(e.Error, &text) == nil {
		r.text = shown(text, secrets)
		r.repeat = strings.Contains(strings.ToLower(text), "same arguments")
	}
	var body struct {
		Wait number `json:"wait_seconds"`
	}
	if json.Unmarshal(e.Body, &body) == nil {
		r.wait = min(body.Wait.seconds(), 24*time.Hour)
	}
	return r
}

// shown returns Withings' own words as far as they can be shown: "" if they are long, hold a secret or something that
// may be one.
func shown(text string, secrets []string) string {
	const most, longestWord = 120, 24
	text = strings.TrimSpace(text)
	word := 0
	for _, r := range text {
		if word++; !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' {
			word = 0
		}
		if word > longestWord || !unicode.IsPrint(r) {
			return ""
		}
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			return ""
		}
	}
	if len(text) > most {
		return ""
	}
	return text
}

// statusFailure returns what follows from an answer with an HTTP status other than 200. Withings refuses in the body of
// an answer, so a refusal like this comes from something on the way, or the address is wrong.
func statusFailure(resp *http.Response, now time.Time) error {
	e := ingest.StatusError(service, resp, now)
	switch {
	case e == nil:
		return noSense(fmt.Errorf("it has the status %d", resp.StatusCode))
	case e.Class == ingest.Auth:
		e.Class, e.Err = ingest.Transient, fmt.Errorf("%w, which is not how Withings refuses", e.Err)
	case e.Class == ingest.Permanent:
		e.Remedy = "update walkd, or take api_url out of the config if it is there"
	}
	return e
}

// noSense is the failure of an answer that is not what was asked for.
func noSense(err error) error {
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	// The texts of package json may hold a value of the answer, which belongs in no log.
	switch {
	case errors.As(err, &syntax):
		err = errors.New("a part of it is no JSON")
	case errors.As(err, &kind):
		what, _, _ := strings.Cut(kind.Value, " ")
		err = fmt.Errorf("%q is of the wrong type, %s", kind.Field, what)
	}
	return &ingest.Error{
		Class: ingest.Transient, Status: http.StatusOK, Err: fmt.Errorf("%s: the answer makes no sense: %w", service, err),
	}
}
