package engine

import "time"

// A Clock is the source of domain time. Logic takes instants as arguments; only loops ask a Clock.
type Clock interface {
	// Now returns the current instant.
	Now() time.Time
	// NewTimer returns a channel that yields once when d has gone by on this clock, and a function that stops it.
	NewTimer(d time.Duration) (c <-chan time.Time, stop func())
}

// WallClock is the clock on the wall.
type WallClock struct{}

// Now returns the current time.
func (WallClock) Now() time.Time { return time.Now() }

// NewTimer returns a timer of package time.
func (WallClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}
