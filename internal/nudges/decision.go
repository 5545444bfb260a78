package nudges

import (
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// A Rule is one thing that walkd may tell a person about.
type Rule string

// Behind is the rule that tells a person, once a day, that the walking of the day is behind a usual day that meets the
// target, while the target can still be met.
const Behind Rule = "behind"

// A Reason names why a message is sent, or why there is none. It is stable: logs and dashboards keep it.
type Reason string

// A Decision is what one rule says of a Situation.
type Decision struct {
	Rule   Rule
	Send   bool
	Reason Reason
	// Why is the decision in one sentence with its figures, for the person.
	Why string
	// Day is the person's date at At.
	Day walking.Day
	// Key is the cause, like "behind/2026-11-21". A person hears of one cause once. It is set for silence as well.
	Key string
	At  time.Time // UTC: when it was decided
	// Expires is when the message is of no more use, and is not sent any more; UTC, exclusive. Zero without Send.
	Expires time.Time
	// Title and Body are the message, in plain text. Empty without Send.
	Title string
	Body  string
}
