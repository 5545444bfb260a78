package nudges

import (
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// A Situation is all that the rules look at.
type Situation struct {
	Now   time.Time
	Zones walking.Timeline
	Quiet walking.WallRange // when the person is not to be disturbed
	// Limited says that the person's back does not let them walk much. There are no walking nudges then.
	Limited bool
	// Today is the summary of the person's date at Now, as far as it is known; of another date it is not looked at.
	Today walking.Summary
	// NotWorn says that the person marked today as a day without the device.
	NotWorn bool
	// Streams are the person's active streams in the order of their priority; of somebody new, who has none yet, all that
	// have data. The first decides whether the data is fresh: it is the device that the person wears, and what it has not
	// told yet is missing whatever a phone in a drawer says.
	Streams []walking.Stream
	// Consents are the sources that the person may have to connect again, in the order of the config.
	Consents []ConsentState
	// Sent are the keys of what was sent, or is on its way, in the order in which it was, at least those of today and of
	// the four days before.
	Sent     []string
	Settings Settings
}

// Settings is what a person wants to be told. Its zero value wants nothing.
type Settings struct {
	// MaxPerDay is how many nudges one civil day may bring.
	MaxPerDay int
	// BehindFrom is the time of day from which Behind may speak.
	BehindFrom walking.WallTime
	// Page is the address of the status page where it can be reached; "" if that is not known.
	Page string
}

// How old the data may be that a person is told something about.
const (
	// FreshFor is how long ago, at most, the point may be up to which everything is known; exclusive. For a stream that is
	// pushed it is how long ago, at most, something arrived.
	FreshFor = 45 * time.Minute
	// FreshSilence is how long a stream that is pushed may tell of no steps although something arrives: senders leave out
	// times without steps. Exclusive.
	FreshSilence = 120 * time.Minute
)

// Fresh reports whether what s tells up to now is recent enough to say something about it.
func Fresh(s walking.Stream, now time.Time) bool {
	silence := now.Sub(s.SyncedThrough)
	if silence < FreshFor {
		return true
	}
	return s.Delivery == walking.Pushed && silence < FreshSilence && now.Sub(s.LastArrival) < FreshFor
}

// Decide returns what each rule says of s, in a fixed order. It depends on nothing but s.
func Decide(s Situation) []Decision {
	out := []Decision{behind(s)}
	if d, ok := consent(s); ok {
		out = append(out, d)
	}
	return out
}
