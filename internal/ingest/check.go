package ingest

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// Bounds of what a person can do. They are wide on purpose: they catch counters that overflowed and columns that were
// mixed up, not athletes.
const (
	// MaxStepsPerMinute is the most steps a record may hold for each minute of its length, begun minutes in full.
	// Sprinters reach about 300.
	MaxStepsPerMinute = 500
	// MaxStepsPerDay is the most steps a record may hold for each day of its length, begun days in full, and the most
	// in a record of length zero, which some apps write for the total of a day. The longest runs of 24 hours come to
	// less than 300,000.
	MaxStepsPerDay = 300_000
)

// earliest is 2000-01-01 in unix seconds. Devices whose clock was never set say 1970 or 1989; a single such record
// would make a person's history start there.
const earliest = 946_684_800

// CheckRecord returns why r cannot be what a device counted, or nil. It refuses a length that is negative or above
// walking.MaxRecord, a start before 2000, an end more than ClockTolerance after now, and steps that are negative, not
// a finite number or beyond MaxStepsPerMinute and MaxStepsPerDay. The error's text serves as BadRow.Reason.
func CheckRecord(r walking.Record, now time.Time) error {
	if err := checkSpan(r.Start, r.End(), r.Duration, now); err != nil {
		return err
	}
	return checkSteps(r.Steps, r.Duration)
}

// CheckSession returns why s cannot be what a device recorded, or nil, by the rules of CheckRecord. It also refuses a
// session without length, and a moving time that is negative or longer than the session.
func CheckSession(s walking.Session, now time.Time) error {
	length := s.End.Sub(s.Start)
	if err := checkSpan(s.Start, s.End, length, now); err != nil {
		return err
	}
	if length == 0 {
		return errors.New("ends when it starts: want a later end")
	}
	if s.Moving < 0 || s.Moving > length {
		return fmt.Errorf("moving time is %s in a session of %s: want no more than that", s.Moving, length)
	}
	if !s.HasSteps {
		return nil
	}
	return checkSteps(s.Steps, length)
}

func checkSpan(start, end time.Time, length time.Duration, now time.Time) error {
	switch {
	case length < 0:
		return fmt.Errorf("ends at %s, before it starts at %s", stamp(end), stamp(start))
	case length > walking.MaxRecord:
		return fmt.Errorf("lasts from %s to %s: want at most %g hours",
			stamp(start), stamp(end), walking.MaxRecord.Hours())
	case start.Unix() < earliest:
		return fmt.Errorf("starts at %s, before the year 2000: the device's clock was not set", stamp(start))
	case end.After(now.Add(ClockTolerance)):
		return fmt.Errorf("ends at %s, which lies in the future (now %s)", stamp(end), stamp(now))
	}
	return nil
}

func checkSteps(steps float64, length time.Duration) error {
	switch {
	case math.IsNaN(steps) || math.IsInf(steps, 0):
		return fmt.Errorf("steps are %g: want a number", steps)
	case steps < 0:
		return fmt.Errorf("steps are %g: want zero or more", steps)
	}
	most := MaxStepsPerDay * max(1, math.Ceil(length.Hours()/24))
	if length > 0 {
		most = min(most, MaxStepsPerMinute*math.Ceil(length.Minutes()))
	}
	if steps > most {
		return fmt.Errorf("%g steps in %s are more than anybody can do: want at most %g", steps, length, most)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
