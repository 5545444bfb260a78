package googlehealth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

// errScope says that the consent lacks a right.
var errScope = errors.New("the consent does not allow it")

const (
	// tickTheBox is the remedy for a consent that lacks the right to read activity.
	tickTheBox = "connect it again, and leave the box for activity and fitness data ticked"
	// takeBack is how a person ends a consent without walkd.
	takeBack = "take the access away from walkd at https://myaccount.google.com/connections"
)

// A problem is the google.rpc.Status that the API answers with.
type problem struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Status  string `json:"status"`
	Details []struct {
		Type       string            `json:"@type"`
		Reason     string            `json:"reason"`
		Metadata   map[string]string `json:"metadata"`
		RetryDelay duration          `json:"retryDelay"`
		Links      []struct {
			URL string `json:"url"`
		} `json:"links"`
	} `json:"details"`
}

// refusal returns what follows from an answer other than 200, and closes it.
func refusal(resp *http.Response) error {
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	err = errors.Join(err, resp.Body.Close())
	var answer struct {
		Error problem `json:"error"`
	}
	if json.Unmarshal(text, &answer) == nil && answer.Error.Code != 0 {
		answer.Error.Code = resp.StatusCode
		return answer.Error.failure(resp)
	}
	e := ingest.StatusError(service, resp, ingest.AnsweredAt(resp))
	switch {
	case e == nil:
		return noSense(fmt.Errorf("it has the status %d", resp.StatusCode))
	case err != nil:
		e.Err = fmt.Errorf("%w, and the answer broke off: %w", e.Err, err)
	case resp.StatusCode == http.StatusNotFound:
		e.Remedy = "update walkd, or take api_url out of the config if it is there"
	case e.Class == ingest.Auth && strings.HasPrefix(strings.TrimSpace(string(text)), "<"):
		// Google refuses in JSON. A web page is from something on the way, and no reason to ask for consent.
		e.Class, e.Err = ingest.Transient, fmt.Errorf("%w with a web page, which is not Google's", e.Err)
	case e.Class == ingest.Auth:
		e.Remedy = ingest.ConnectAgain
	}
	return e
}

// failure returns what follows from p, which came with resp.
func (p *problem) failure(resp *http.Response) error {
	told := *resp
	if told.StatusCode = p.Code; p.Code < 400 || p.Code > 599 {
		told.StatusCode = http.StatusInternalServerError
	}
	e := ingest.StatusError(service, &told, ingest.AnsweredAt(resp))
	e.Err = fmt.Errorf("%w%s", e.Err, p.words(resp))
	say := func(c ingest.Class, remedy, what string) error {
		e.Class, e.Remedy = c, remedy
		e.Err = fmt.Errorf("%s: %s (%w)", service, what, e.Err)
		return e
	}
	switch {
	case p.has("RATE_LIMIT_EXCEEDED"), p.Status == "RESOURCE_EXHAUSTED", e.Class == ingest.Throttled:
		if e.RetryAfter == 0 {
			e.RetryAfter = max(ingest.RetryAfter(resp.Header, ingest.AnsweredAt(resp)), p.retryDelay())
		}
		e.Class = ingest.Throttled
		return e
	case p.has("ACCOUNT_NOT_LINKED"):
		return say(ingest.Permanent, p.signUp(), "there is no health data with this Google account")
	case e.Status == http.StatusPreconditionFailed:
		return say(ingest.Permanent, p.signUp(), "there is no health profile with this Google account")
	case p.has("SERVICE_DISABLED"):
		// What Google says is about the same, and so long that its address would be cut off.
		e.Err = fmt.Errorf("%s answered %d %s", service, e.Status, http.StatusText(e.Status))
		return say(ingest.Permanent, p.enable(), "the API is not enabled in the project of the client ID")
	case e.Status == http.StatusForbidden && strings.Contains(p.Message, "Could not mint"):
		return say(ingest.Permanent, "move the Fitbit account to a Google account in the Google Health app, and connect it "+
			"again with that one", "this is an old Fitbit account, which the API does not know")
	case p.has("RESOURCE_PERMISSION_DENIED"):
		return say(ingest.Auth, takeBack+", and connect it again", "the consent has lost its effect")
	case e.Status == http.StatusForbidden && p.lacksScope(resp):
		e.Err = fmt.Errorf("%w: %w", errScope, e.Err)
		return say(ingest.Auth, tickTheBox, "the consent lacks a right")
	case e.Class == ingest.Auth:
		e.Remedy = ingest.ConnectAgain
	case e.Class == ingest.Permanent:
		e.Remedy = "update walkd: the API may have changed"
	}
	return e
}

// has reports whether reason is among the details.
func (p *problem) has(reason string) bool {
	for _, d := range p.Details {
		if d.Reason == reason {
			return true
		}
	}
	return false
}

func (p *problem) lacksScope(resp *http.Response) bool {
	return p.has("ACCESS_TOKEN_SCOPE_INSUFFICIENT") ||
		strings.Contains(strings.Join(resp.Header.Values("Www-Authenticate"), " "), "insufficient_scope") ||
		strings.Contains(p.Message, "insufficient authentication scopes")
}

func (p *problem) retryDelay() time.Duration {
	var most time.Duration
	for _, d := range p.Details {
		most = max(most, d.RetryDelay.Duration)
	}
	return most
}

// googles returns the first of addresses that is one of Google's, which are the only ones that are shown; "" if none is.
func googles(addresses ...string) string {
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || len(u.String()) > 200 {
			continue
		}
		if host := u.Hostname(); host == "google.com" || strings.HasSuffix(host, ".google.com") {
			return u.String()
		}
	}
	return ""
}

// signUp says what to do about an account without health data.
func (p *problem) signUp() string {
	remedy := "sign in to the Google Health app with this Google account, and finish setting it up"
	for _, d := range p.Details {
		if address := googles(d.Metadata["redirect_uri"]); address != "" {
			return remedy + ", or go to " + address
		}
	}
	return remedy
}

// enable says what to do about an API that is not enabled.
func (p *problem) enable() string {
	where := "in the Google Cloud console, under APIs & Services, Library"
	for _, d := range p.Details {
		for _, l := range d.Links {
			if address := googles(l.URL); address != "" {
				where = "at " + address
			}
		}
	}
	return "enable the Google Health API " + where + " and wait a few minutes; if the console offers no such API, " +
		"Google is not taking in new projects at the moment"
}

// words returns what Google says of the problem as a suffix: on one line, and not at length. It is left out if it holds
// the access token.
func (p *problem) words(resp *http.Response) string {
	text := ingest.Quote(p.Message, resp)
	if text == "" {
		return ""
	}
	return ": " + text
}
