package googlehealth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// What is used of the API's schemas; a test compares it with Google's discovery document.
type (
	stepsPoint struct { // ReconciledDataPoint
		Steps struct {
			Interval interval `json:"interval"`
			Count    integer  `json:"count"` // missing: zero
		} `json:"steps"`
	}
	exercisePoint struct { // ReconciledDataPoint
		Exercise exercise `json:"exercise"`
	}
	// An interval is an ObservationTimeInterval or a SessionTimeInterval, which are alike. Their civil times follow from
	// the rest.
	interval struct {
		StartTime      time.Time `json:"startTime"`
		StartUTCOffset duration  `json:"startUtcOffset"`
		EndTime        time.Time `json:"endTime"`
	}
	exercise struct {
		Interval       interval        `json:"interval"`
		ExerciseType   string          `json:"exerciseType"`
		ActiveDuration duration        `json:"activeDuration"`
		ExerciseEvents []exerciseEvent `json:"exerciseEvents"`
		MetricsSummary metricsSummary  `json:"metricsSummary"`
	}
	exerciseEvent struct {
		EventTime         time.Time `json:"eventTime"`
		ExerciseEventType string    `json:"exerciseEventType"`
	}
	metricsSummary struct {
		Steps integer `json:"steps"`
	}
	pairedDevice struct {
		DeviceType    string    `json:"deviceType"`
		DeviceVersion string    `json:"deviceVersion"` // the name of the product
		LastSyncTime  time.Time `json:"lastSyncTime"`
		BatteryStatus string    `json:"batteryStatus"`
		BatteryLevel  percent   `json:"batteryLevel"`
	}
	settings struct {
		TimeZone string   `json:"timeZone"`
		Error    *problem `json:"error"`
	}
)

// tracker is the type of devices that count steps. Scales sync as well, and say nothing of steps.
const tracker = "TRACKER"

// An integer is an int64, which the API writes as a string; a bare number is taken as well.
type integer struct {
	n    int64
	told bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *integer) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	text := b
	if len(b) >= 2 && b[0] == '"' {
		text = b[1 : len(b)-1]
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return errors.New("a count is not a whole number")
	}
	*i = integer{n, true}
	return nil
}

// A percent is zero if it is not what it should be: nothing depends on it.
type percent int

// UnmarshalJSON implements json.Unmarshaler.
func (p *percent) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err == nil && n >= 0 && n <= 100 {
		*p = percent(n)
	}
	return nil
}

// A duration is written in seconds, as in "-14400s".
type duration struct {
	time.Duration
	told bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	text := string(bytes.Trim(b, `"`))
	seconds, ok := strings.CutSuffix(text, "s")
	if !ok || strings.ContainsFunc(seconds, func(r rune) bool { return !strings.ContainsRune("-.0123456789", r) }) {
		return errors.New("a duration is not in seconds")
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("a duration is not in seconds")
	}
	*d = duration{parsed, true}
	return nil
}

// Reasons why a point is not of the documented form.
var (
	errNoSteps    = errors.New("a data point has no steps with a start and an end")
	errNoExercise = errors.New("a data point has no exercise with a start and an end")
)

func (i *interval) whole() bool { return !i.StartTime.IsZero() && !i.EndTime.IsZero() }

// mostOffset is beyond what any zone has had.
const mostOffset = 18 * time.Hour

// record returns the record that p is, in UTC.
func (p *stepsPoint) record() (walking.Record, error) {
	in := &p.Steps.Interval
	if !in.whole() {
		return walking.Record{}, errNoSteps
	}
	r := walking.Record{
		Start: in.StartTime.UTC(), Duration: in.EndTime.Sub(in.StartTime), Steps: float64(p.Steps.Count.n),
	}
	if o := in.StartUTCOffset; o.told && o.Abs() <= mostOffset {
		r.Offset, r.HasOffset = int(o.Duration/time.Second), true
	}
	return r, nil
}

// readPage reads one page of an answer. It hands each element of the list of that name to take as soon as
// it is read, so that no page is ever in memory as a whole, and returns the token of the next page, "" after the last.
// An answer that is not what was asked for, from its first byte to its last, is an error; what take has been given by
// then is not to be used.
func readPage[P any](resp *http.Response, list string, take func(*P) error) (token string, err error) {
	d := json.NewDecoder(connection{resp.Body})
	first, err := d.Token()
	if err != nil {
		head, _ := io.ReadAll(io.LimitReader(d.Buffered(), 512))
		if bytes.HasPrefix(bytes.TrimSpace(head), []byte("<")) {
			return "", noSense(errors.New("it is a web page instead of data"))
		}
		return "", noSense(err)
	}
	if first != json.Delim('{') {
		return "", noSense(errors.New("it is no object"))
	}
	fields, known := 0, false
	for ; d.More(); fields++ {
		name, err := d.Token()
		if err != nil {
			return "", noSense(err)
		}
		switch name {
		case list:
			known, err = true, readList(d, take)
		case "nextPageToken":
			known, err = true, d.Decode(&token)
		case "error":
			var p problem
			if err := d.Decode(&p); err != nil {
				return "", noSense(err)
			}
			return "", p.failure(resp)
		default:
			err = d.Decode(&ignored{})
		}
		if err != nil {
			return "", noSense(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return "", noSense(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", noSense(errors.New("something follows after its end"))
	}
	// An empty answer is {}; an object of another kind is none, whoever sent it.
	if fields > 0 && !known {
		return "", noSense(errors.New("it is about something else"))
	}
	return token, nil
}

func readList[P any](d *json.Decoder, take func(*P) error) error {
	switch open, err := d.Token(); {
	case err != nil:
		return err
	case open == nil:
		return nil
	case open != json.Delim('['):
		return errors.New("its list is none")
	}
	var p P
	for d.More() {
		var zero P
		p = zero
		if err := d.Decode(&p); err != nil {
			return err
		}
		if err := take(&p); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// A connection marks the errors of its reader as such.
type connection struct{ io.Reader }

type brokenOff struct{ error }

func (b brokenOff) Unwrap() error { return b.error }

func (c connection) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // readers return it as it is
		err = brokenOff{err}
	}
	return n, err
}

// ignored takes any value.
type ignored struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (ignored) UnmarshalJSON([]byte) error { return nil }

// noSense is the failure of an answer with status 200 that is not what was asked for.
func noSense(err error) error {
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
		at     *time.ParseError
		broken brokenOff
	)
	// The texts of package json and time may hold a value of the answer, which belongs in no log.
	switch {
	case errors.As(err, &broken):
		err = fmt.Errorf("it broke off: %w", broken.error)
	case errors.As(err, &syntax):
		err = fmt.Errorf("it is no JSON, or not all of it: %w at byte %d", syntax, syntax.Offset)
	case errors.As(err, &kind):
		what, _, _ := strings.Cut(kind.Value, " ")
		err = fmt.Errorf("%s is of the wrong type, %s", cmp.Or(kind.Field, "a value"), what)
	case errors.As(err, &at):
		err = errors.New("a time is not of the form 2006-01-02T15:04:05Z")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("it broke off: %w", io.ErrUnexpectedEOF)
	}
	return &ingest.Error{
		Class: ingest.Transient, Status: http.StatusOK, Err: fmt.Errorf("%s: the answer makes no sense: %w", service, err),
	}
}
