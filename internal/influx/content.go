package influx

import (
	"context"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// A Task is one person-day whose projection is due.
type Task struct {
	Person string
	Day    walking.Day
	// Revision grows with every change of the day.
	Revision int64
}

// Content is everything one day projects.
type Content struct {
	Person string
	Day    walking.Day
	// Time is the midnight of the date in the person's home zone: the time of the points that stand for the day.
	Time    time.Time
	Summary walking.Summary
	Detail  walking.Detail
	// Nudges are those of the day, one for each channel they went to, no two of one rule, channel and second.
	Nudges []Nudge
}

// A Nudge is a message to a person on one channel.
type Nudge struct {
	Time    time.Time // of the decision
	Rule    string
	Channel string
	Outcome string // "sent", "failed" or "expired"
	Action  string // what the person answered; "" if nothing
	// WalkedAfter is how many minutes the person walked in the hour after it.
	WalkedAfter float64
}

// sent returns how many nudges of the day reached the person, on whatever channels.
func (c *Content) sent() int {
	type nudge struct {
		at   int64
		rule string
	}
	reached := map[nudge]bool{}
	for _, n := range c.Nudges {
		if n.Outcome == "sent" {
			reached[nudge{n.Time.Unix(), n.Rule}] = true
		}
	}
	return len(reached)
}

// PeriodContent is a week or a month and the midnight of its first day in the person's home zone.
type PeriodContent struct {
	walking.Period
	Time time.Time
}

// Days reads what is to be projected. Every call answers from one state of the store.
type Days interface {
	// Contents returns the days of person from … to that exist, both inclusive, in ascending order.
	Contents(ctx context.Context, person string, from, to walking.Day) ([]Content, error)
	// Weeks returns the weeks that begin on mondays, those that exist, in any order.
	Weeks(ctx context.Context, person string, mondays []walking.Day) ([]PeriodContent, error)
	// Months returns the months that begin on firsts, those that exist, in any order.
	Months(ctx context.Context, person string, firsts []walking.Day) ([]PeriodContent, error)
}

// A Key names what one day wrote to one measurement. Weeks and months go by their first day.
type Key struct {
	Person      string
	Day         walking.Day
	Measurement Measurement
}

// Written is what the Journal remembers for a Key.
type Written struct {
	Key
	// Sum identifies the content last written. Zero means that what InfluxDB holds is in doubt.
	Sum int64
	// Keys says, in a form of this package's own, which points InfluxDB may hold on behalf of the Key. An empty one
	// means none: the Journal then keeps nothing for the Key.
	Keys []byte
}

// Journal is the memory of the projection. Every method is one transaction.
type Journal interface {
	// Due returns up to limit days that are due, those of a person together and in ascending order.
	Due(ctx context.Context, limit int) ([]Task, error)
	// Written returns what is remembered for person and the days from … to, both inclusive, in any order.
	Written(ctx context.Context, person string, from, to walking.Day) ([]Written, error)
	// Intend stores w before anything of it is posted, replacing what was remembered for the same keys.
	Intend(ctx context.Context, w []Written) error
	// Done stores w after all of it was posted, and clears the tasks whose revision is still the day's.
	Done(ctx context.Context, tasks []Task, w []Written) error
	// Doubt sets Sum to zero in everything remembered of person, and makes all its days due: those that exist and
	// those for which anything is remembered. An empty person means everybody.
	Doubt(ctx context.Context, person string) error
	// Forget drops everything remembered of person, and makes all days that exist due. An empty person means
	// everybody.
	Forget(ctx context.Context, person string) error
}

// A Measurement is one of those that walkd writes from days. The values are kept by the Journal and never change.
type Measurement uint8

// The measurements.
const (
	WalkDay       Measurement = 1
	WalkHour      Measurement = 2
	WalkSourceDay Measurement = 3
	WalkWeek      Measurement = 4
	WalkMonth     Measurement = 5
	WalkMinutes   Measurement = 6
	WalkSteps     Measurement = 7
	WalkSession   Measurement = 8
	WalkNudge     Measurement = 9
)

// dayMeasurements are those keyed by each day, in the order in which they are written.
var dayMeasurements = [...]Measurement{WalkDay, WalkHour, WalkSourceDay, WalkMinutes, WalkSteps, WalkSession, WalkNudge}

// cleared are the names of all measurements that are walkd's, those of later versions included.
var cleared = [...]string{
	"walk_day", "walk_hour", "walk_source_day", "walk_week", "walk_month", "walk_minutes", "walk_steps", "walk_session",
	"walk_nudge",
}

// String returns the measurement's name in InfluxDB.
func (m Measurement) String() string {
	switch m {
	case WalkDay:
		return "walk_day"
	case WalkHour:
		return "walk_hour"
	case WalkSourceDay:
		return "walk_source_day"
	case WalkWeek:
		return "walk_week"
	case WalkMonth:
		return "walk_month"
	case WalkMinutes:
		return "walk_minutes"
	case WalkSteps:
		return "walk_steps"
	case WalkSession:
		return "walk_session"
	case WalkNudge:
		return "walk_nudge"
	}
	return "unknown"
}
