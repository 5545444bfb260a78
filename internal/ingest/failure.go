package ingest

import (
	"fmt"
	"time"
)

// A Class says what kind of failure an Error is, which decides what happens next.
type Class string

// The classes of failure.
const (
	// Auth needs the person: a consent that was refused, has ended or lacks a scope, or a wrong client secret. It is
	// not tried again until the person has connected anew or changed the config.
	Auth Class = "auth"
	// Throttled means that too much was asked; it is tried again after RetryAfter.
	Throttled Class = "throttled"
	// Transient is expected to pass by itself: tried again, less and less often.
	Transient Class = "transient"
	// Permanent will not pass by itself, and no consent helps. It is reported once, and tried again a few times a day.
	Permanent Class = "permanent"
)

// An Error is a failure of a Source and what follows from it.
type Error struct {
	Class Class
	// RetryAfter is how long the provider wants to be left alone; zero if it does not say.
	RetryAfter time.Duration
	// Status is the HTTP status of the answer; zero if there was none.
	Status int
	// Remedy says what the person can do, as a sentence without a full stop; "" if there is nothing to do.
	Remedy string
	Err    error // what happened
}

// Error returns what happened and the remedy.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v: %s", e.Err, e.Remedy)
}

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }
