package nudges

import (
	"strings"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// A Rule is one thing that walkd may tell a person about.
type Rule string

// Behind is the rule that tells a person, once a day, that the walking of the day is behind a usual day that meets the
// target, while the target can still be met.
const Behind Rule = "behind"

// ConsentNeeded is the rule that tells a person that a source has to be connected again, or will have to be soon.
const ConsentNeeded Rule = "consent"

// A Reason names why a message is sent, or why there is none. It is stable: logs and dashboards keep it.
type Reason string

// Why a message is sent.
const (
	// BehindPace: even the upper bound of the minutes so far is less than a usual day has by then, and the rest can still
	// be walked before the quiet hours.
	BehindPace Reason = "behind-pace"
	// ConsentEnded: a provider refuses what the person once consented to.
	ConsentEnded Reason = "consent-ended"
	// ConsentEnding: a consent ends by itself within a day.
	ConsentEnding Reason = "consent-ending"
)

// Why there is no message, in the order in which they are looked for.
const (
	// Limited: walking is too painful for the person, so there is no walking goal.
	Limited Reason = "limited"
	// Invalid: the day does not count, since the device was not worn or a journey left less than walking.ValidHours of it.
	Invalid Reason = "invalid"
	// TargetMet: there is nothing left to do.
	TargetMet Reason = "target-met"
	// AlreadySent: there is a message of this cause, be it that it was delivered, is on its way, or could not be sent.
	AlreadySent Reason = "already-sent"
	// QuietHours: the person sleeps.
	QuietHours Reason = "quiet-hours"
	// TooEarly: it is before the time of day from which the rule speaks.
	TooEarly Reason = "too-early"
	// StaleData: what the devices counted since is not known. The person may just have walked.
	StaleData Reason = "stale-data"
	// NoDataToday: no step is known of today, as when nobody wears the device.
	NoDataToday Reason = "no-data-today"
	// OnPace: a usual day may have as few minutes by then and meet the target.
	OnPace Reason = "on-pace"
	// NotReachable: what is missing takes longer than what is left of the day, so that a message would only discourage.
	NotReachable Reason = "not-reachable"
	// DayLimit: the person wants no more messages on one day.
	DayLimit Reason = "day-limit"
	// Connected: all sources are connected again.
	Connected Reason = "connected"
)

// Settles reports whether r puts an end to the cause itself, so that what is still on its way about it is of no more use.
func (r Reason) Settles() bool {
	return r == Limited || r == Invalid || r == TargetMet || r == Connected
}

// A Decision is what one rule says of a Situation.
type Decision struct {
	Rule   Rule
	Send   bool
	Reason Reason
	// Why is the decision in one sentence with its figures, for the person.
	Why string
	// Day is the person's date at At.
	Day walking.Day
	// Key is the cause: the rule, a slash and what tells it from others. A person hears of one cause at most once. It is set for silence as well.
	Key string
	At  time.Time // UTC: when it was decided
	// NotBefore is when the message may be sent at the earliest; UTC, zero: at once.
	NotBefore time.Time
	// Expires is when the message is of no more use, and is not sent any more; UTC, exclusive, never inside of quiet
	// hours. Zero without Send.
	Expires time.Time
	// Title and Body are the message, in plain text; times are by the person's clock. Empty without Send.
	Title string
	Body  string
}

// Key returns the name of the cause for which rule r speaks on d, like "behind/2026-11-21".
func Key(r Rule, d walking.Day) string { return string(r) + "/" + d.String() }

// sentOn counts the keys of causes of d.
func sentOn(keys []string, d walking.Day) int {
	n := 0
	for _, k := range keys {
		if _, date, found := strings.Cut(k, "/"); found && date == d.String() {
			n++
		}
	}
	return n
}
