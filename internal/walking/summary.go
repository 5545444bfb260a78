package walking

import "time"

// Estimator is the name and version of the estimator that derives walking minutes from steps. It travels with every
// derived day; a change of it re-derives history.
const Estimator = "fractional-1"

// A Summary is what walkd says of one civil day of one person. Minutes are rounded to two decimals, once, here; whole
// minutes are taken from the rounded value, half up.
type Summary struct {
	Day   Day
	Zone  string  // the zone in force at the end of the day
	Hours float64 // length of the day in hours

	Steps       int64
	Walking     float64 // minutes
	Low, High   float64 // the bounds of the uncertainty of Walking, in minutes
	Brisk       float64 // minutes, inside Walking: at 100 steps/min and more
	Running     float64 // minutes, beside Walking: at 140 steps/min and more
	Alternative float64 // minutes of riding, rowing, swimming, elliptical
	Sessions    int     // sessions that started on the day

	Target float64 // minutes; met needs more
	Met    bool
	Band   Band
	Valid  bool // good enough to count
	Closed bool // no more data is expected

	// Mean7 is the mean of Walking over the days of Day-6 … Day that are valid and closed, rounded to two decimals;
	// Mean7Days is how many those are. With none, Mean7 is zero and means nothing.
	Mean7     float64
	Mean7Days int

	Sources   []SourceTotals // in priority order
	ByHour    [24]HourTotals // by the hour of the person's clock
	Estimator string
}

// Counts reports whether the day counts in means and shares: it is valid and closed.
func (s Summary) Counts() bool { return s.Valid && s.Closed }

// SourceTotals is what one stream had on a day.
type SourceTotals struct {
	StreamKey
	Steps    float64 // alone
	Walking  float64 // minutes, alone
	Supplied float64 // walking minutes of the merged day that came from it
	Counted  bool    // whether anything of the merged day came from it: steps, walking or running
}

// HourTotals is what fell in one hour of the person's clock.
type HourTotals struct {
	Walking float64 // minutes
	Steps   float64
}

// A Minute is one minute of the merged day.
type Minute struct {
	Start   time.Time     // on a whole minute
	Walking time.Duration // 0 to 60 s
	Steps   float64       // more than zero
}

// Detail is what lies behind a Summary.
type Detail struct {
	// Minutes are the merged minutes that have steps or walking, in order.
	Minutes []Minute
	// Streams holds, for every stream with records that start on the day, those records freed of overlaps, in order,
	// at most one for each start.
	Streams []StreamRecords
	// Sessions are the sessions that start on the day, in order.
	Sessions []StreamSession
}

// StreamRecords are the records of one stream.
type StreamRecords struct {
	StreamKey
	Records []Record
}

// StreamSession is a session and its stream.
type StreamSession struct {
	StreamKey
	Session
}

// A Period sums up a week or a month.
type Period struct {
	First   Day     // the Monday, or the first of the month
	Walking float64 // mean minutes over the days that count, two decimals; zero if none does
	Days    int     // how many count
	Met     int     // how many of those met their target
}
