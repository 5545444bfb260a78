package walking

import "time"

// A Window is the half-open span of instants [Start, End).
type Window struct {
	Start time.Time // inclusive
	End   time.Time // exclusive
}

// Contains reports whether t lies in w.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.Start) && t.Before(w.End) }

// Overlaps reports whether w and v share an instant.
func (w Window) Overlaps(v Window) bool { return w.Start.Before(v.End) && v.Start.Before(w.End) }

// Duration returns the elapsed time from Start to End.
func (w Window) Duration() time.Duration { return w.End.Sub(w.Start) }

// Empty reports whether w holds no instant.
func (w Window) Empty() bool { return !w.Start.Before(w.End) }

// Widen returns w extended by d at both ends.
func (w Window) Widen(d time.Duration) Window { return Window{w.Start.Add(-d), w.End.Add(d)} }
