package pulltest

import (
	"sync"
	"time"
)

// A Clock is set by hand, and lets the time of its timers go by at once. It never goes back.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a Clock that is at now.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now returns what is on the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add lets d go by.
func (c *Clock) Add(d time.Duration) { c.Set(c.Now().Add(d)) }

// Set lets the time go by until t, if that is yet to come.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.now) {
		c.now = t
	}
}

// NewTimer implements pull.Clock: d has gone by when it returns.
func (c *Clock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	c.Add(d)
	ch := make(chan time.Time, 1)
	ch <- c.Now()
	return ch, func() {}
}

// At returns the instant that text is in RFC 3339, in UTC. It panics if text is none.
func At(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}
