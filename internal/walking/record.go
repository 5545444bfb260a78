package walking

import "time"

// MaxRecord is the longest span a record may have. Sources report at most a civil day, which lasts up to 25 hours, and
// longer on travel; anything longer says too little about when somebody walked.
const MaxRecord = 48 * time.Hour

// A Record is a count of steps over the half-open span [Start, Start+Duration), as the source told it.
type Record struct {
	// Start is the first instant of the span.
	Start time.Time
	// Duration is the length of the span, 0 to MaxRecord. A record of length zero counts its steps and no walking.
	Duration time.Duration
	// Steps is the number of steps, zero or more. It may have a fraction: some senders spread a record evenly.
	Steps float64
	// Offset is the local UTC offset that the source told for this record, in seconds east. It means something only
	// if HasOffset is set.
	Offset    int
	HasOffset bool
}

// End returns the exclusive end of the record's span.
func (r Record) End() time.Time { return r.Start.Add(r.Duration) }

// Kind is the kind of movement of a Session.
type Kind string

// The kinds of a session. Walk and Hike count as walking, Run as running; Ride, Row, Swim and Elliptical are the
// alternative aerobic minutes of people whose back does not let them walk. Other counts nowhere.
const (
	Walk       Kind = "walk"
	Hike       Kind = "hike"
	Run        Kind = "run"
	Ride       Kind = "ride"
	Row        Kind = "row"
	Swim       Kind = "swim"
	Elliptical Kind = "elliptical"
	Other      Kind = "other"
)

// Walking reports whether sessions of kind k are walking.
func (k Kind) Walking() bool { return k == Walk || k == Hike }

// Alternative reports whether sessions of kind k count as alternative aerobic minutes.
func (k Kind) Alternative() bool { return k == Ride || k == Row || k == Swim || k == Elliptical }

// A Session is a recorded walk, hike, ride, swim and so on, over the half-open span [Start, End).
type Session struct {
	Start time.Time
	End   time.Time
	// Moving is the time in motion, pauses left out; at most End-Start.
	Moving time.Duration
	Kind   Kind
	// Steps is the number of steps in the session where HasSteps is set.
	Steps    float64
	HasSteps bool
}

// Window returns the session's span.
func (s Session) Window() Window { return Window{s.Start, s.End} }

// StreamKey names a stream of one person: a source and, where that carries several, the app or device inside it.
type StreamKey struct {
	Source string // as named in the config, or the import format
	Origin string // "" where the source is a single stream
}

// String returns "source" or "source/origin".
func (k StreamKey) String() string {
	if k.Origin == "" {
		return k.Source
	}
	return k.Source + "/" + k.Origin
}

// Compare orders keys by source, then origin.
func (k StreamKey) Compare(o StreamKey) int {
	if k.Source != o.Source {
		if k.Source < o.Source {
			return -1
		}
		return 1
	}
	switch {
	case k.Origin < o.Origin:
		return -1
	case k.Origin > o.Origin:
		return 1
	}
	return 0
}

// Device says what kind of thing counted the steps of a stream. The order is the default priority.
type Device int

// The kinds of device.
const (
	Wearable      Device = iota + 1 // a watch, band or ring, worn all day
	Phone                           // a phone, carried some of the time
	UnknownDevice                   // an app that does not tell
)

// String returns the device's name in lower case.
func (d Device) String() string {
	switch d {
	case Wearable:
		return "wearable"
	case Phone:
		return "phone"
	default:
		return "unknown"
	}
}

// Delivery says how a stream's data arrives.
type Delivery int

// The ways of delivery.
const (
	Pulled Delivery = iota + 1 // walkd asks for it, and knows how far the device has synced
	Pushed                     // a phone or app sends it when it can
	Filed                      // a person imports a file
)

// String returns the delivery's name in lower case.
func (d Delivery) String() string {
	switch d {
	case Pulled:
		return "pulled"
	case Pushed:
		return "pushed"
	default:
		return "filed"
	}
}

// A Stream is what is known of one stream as a whole.
type Stream struct {
	StreamKey
	Device   Device
	Delivery Delivery
	// ReliableOffset says that the records' offsets are those of the place where they were recorded, so that they
	// can tell of travel. Apple exports stamp the zone of the export on everything and are not reliable.
	ReliableOffset bool
	// SyncedThrough is the instant up to which absence means zero. Past it, absence means unknown.
	SyncedThrough time.Time
	// LastArrival is when data last came in, by walkd's clock; zero if never.
	LastArrival time.Time
}
