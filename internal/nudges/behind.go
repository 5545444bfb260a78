package nudges

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// What it takes to still reach the target.
const (
	// walkSlack is the share by which walking takes longer than the minutes that it is credited with: a slow walk of an
	// hour at 60 steps/min counts as 45 min.
	walkSlack = 0.25
	// startSlack is the time to hear of a message and to get going.
	startSlack = 10 * time.Minute
	// usefulFor is how long a message stays true enough to be sent late.
	usefulFor = 2 * time.Hour
)

// behind is the rule Behind. It speaks if even the upper bound of the minutes up to the last sync is less than what
// somebody who starts late has by then, on the way to the target: the usual share less its spread between people. So
// neither the uncertainty of the figure nor the habit of walking in the evening makes a message. Measured on the 495
// days of the curve's people, target 100: it speaks on half of them, and a third of those would have met the target
// anyway, where half of all days do.
func behind(s Situation) Decision {
	day := s.Zones.Day(s.Now)
	d := Decision{Rule: Behind, Day: day, Key: Key(Behind, day), At: s.Now.UTC()}
	f := figuresOf(s, day)
	d.Reason, d.Why = f.judge(s, d.Key)
	if d.Send = d.Reason == BehindPace; !d.Send {
		return d
	}
	d.Expires = f.latestStart
	if soon := s.Now.Add(usefulFor); soon.Before(d.Expires) {
		d.Expires = soon
	}
	d.Expires = d.Expires.UTC()
	d.Title, d.Body = f.message()
	return d
}

// figures are what Behind looks at and talks about.
type figures struct {
	known    bool      // whether anything is known of the day
	asOf     time.Time // up to when it is known, in the zone in force now; zero if nothing is
	walked   int       // whole minutes
	low      int       // the bounds of walked
	high     int
	target   int // whole minutes; met by more than that
	missing  int // whole minutes until the target is met; zero or less if it is
	expected int // whole minutes that are usual by asOf
	late     bool
	quiet    bool      // now
	end      time.Time // of the time to walk in: the next quiet hours or the end of the day; in the zone in force now
	// latestStart is the last instant from which what is missing can be walked before end.
	latestStart time.Time
}

func figuresOf(s Situation, day walking.Day) figures {
	zone := s.Zones.At(s.Now)
	f := figures{known: s.Today.Day == day && s.Today.Steps > 0}
	if s.Today.Day == day {
		f.walked = walking.WholeMinutes(s.Today.Walking)
		f.low, f.high = walking.WholeMinutes(s.Today.Low), walking.WholeMinutes(s.Today.High)
		f.target = int(math.Floor(s.Today.Target))
		f.missing = f.target + 1 - f.walked
	}
	if len(s.Streams) > 0 {
		f.asOf = s.Streams[0].SyncedThrough
		if f.asOf.After(s.Now) {
			f.asOf = s.Now
		}
		f.asOf = f.asOf.In(zone)
		var p Pace
		if s.Zones.Day(f.asOf) == day {
			p = PaceAt(s.Zones, f.asOf)
		}
		f.expected = walking.WholeMinutes(s.Today.Target * p.Share)
		f.late = s.Today.High < s.Today.Target*(p.Share-p.Spread)
	}
	f.quiet, f.end = wakingUntil(s, day)
	f.end = f.end.In(zone)
	f.latestStart = f.end.Add(-time.Duration((1 + walkSlack) * float64(f.missing) * float64(time.Minute)))
	return f
}

// wakingUntil returns whether it is quiet now, and when the time to walk ends: at the next quiet hours, or at the end
// of the day where that is earlier, since later minutes count for another day.
func wakingUntil(s Situation, day walking.Day) (quiet bool, end time.Time) {
	end = s.Now
	for _, w := range s.Zones.Spans(day) {
		if w.Contains(s.Now) {
			end = w.End
		}
	}
	if quiet := s.Zones.Ranges(walking.Window{Start: s.Now, End: end}, s.Quiet); len(quiet) > 0 {
		return quiet[0].Contains(s.Now), quiet[0].Start
	}
	return false, end
}

// judge returns the first reason that holds, and its sentence. More walking never turns a silence into a message, but
// for two: a first step ends NoDataToday, and what was out of reach comes within reach.
func (f *figures) judge(s Situation, key string) (Reason, string) {
	asOf := f.asOf.Format(clock)
	switch {
	case s.Limited:
		return Limited, "You have set walking to limited, so there is no walking goal to nudge about."
	case s.Today.Day != s.Zones.Day(s.Now):
		return NoDataToday, "Nothing is known of today yet."
	case s.NotWorn:
		return Invalid, "You have marked today as a day without the device."
	case s.Today.Hours < walking.ValidHours:
		return Invalid, fmt.Sprintf("The journey leaves today %.1f hours, too few for the target of %d minutes.",
			s.Today.Hours, f.target)
	case s.Today.Steps >= walking.ValidSteps && !s.Today.Valid:
		return Invalid, "The device was off for long today, so the day does not count."
	case f.missing <= 0:
		return TargetMet, fmt.Sprintf("%s, more than the target of %d.", upper(f.soFar()), f.target)
	case slices.Contains(s.Sent, key):
		return AlreadySent, "There is a message about it today already."
	case f.quiet:
		return QuietHours, "These are your quiet hours, " + s.Quiet.String() + "."
	case wallTime(s) < s.Settings.BehindFrom:
		return TooEarly, "It is before " + s.Settings.BehindFrom.String() + ", when looking at the day's pace begins."
	case len(s.Streams) == 0:
		return StaleData, "No device has sent anything of late."
	case s.Streams[0].SyncedThrough.IsZero():
		return StaleData, "It is not known how far the device has synced, so there is nothing to judge by."
	case !Fresh(s.Streams[0], s.Now):
		return StaleData, fmt.Sprintf("Nothing is known since %s, so there is nothing to judge by.", f.since(s))
	case !f.known:
		return NoDataToday, "There are no steps today; the device may not be worn."
	case !f.late:
		return OnPace, fmt.Sprintf("As of %s %s; about %d are usual by then on the way to %d, and days differ.",
			asOf, f.soFar(), f.expected, f.target)
	case s.Now.Add(startSlack).After(f.latestStart):
		return NotReachable, fmt.Sprintf("As of %s %s; %d more would not fit before %s.",
			asOf, f.soFar(), f.missing, f.end.Format(clock))
	case sentOn(s.Sent, s.Today.Day) >= s.Settings.MaxPerDay:
		return DayLimit, fmt.Sprintf("You have set at most %d a day.", s.Settings.MaxPerDay)
	default:
		return BehindPace, fmt.Sprintf(
			"As of %s %s, where about %d are usual by then on the way to %d; %d more fit before %s.",
			asOf, f.soFar(), f.expected, f.target, f.missing, f.end.Format(clock))
	}
}

// clock is how times of day are written.
const clock = "15:04"

// wallTime returns the time of day now, in whole minutes.
func wallTime(s Situation) walking.WallTime {
	hour, minute, _ := s.Now.In(s.Zones.At(s.Now)).Clock()
	return walking.WallTime(hour*60 + minute)
}

// since names the instant up to which the data is known: by its date if that is not today's, and by that alone if it was
// in another year.
func (f *figures) since(s Situation) string {
	switch now := s.Now.In(f.asOf.Location()); {
	case s.Zones.Day(f.asOf) == s.Zones.Day(s.Now):
		return f.asOf.Format(clock)
	case f.asOf.Year() == now.Year():
		return f.asOf.Format("2 January " + clock)
	default:
		return f.asOf.Format("2 January 2006")
	}
}

// soFar says how much was walked, with its uncertainty.
func (f *figures) soFar() string {
	if f.walked == 0 {
		return "no walking is recorded today"
	}
	if f.low == f.high {
		return fmt.Sprintf("about %s", minutes(f.walked))
	}
	return fmt.Sprintf("about %s (%d to %d)", minutes(f.walked), f.low, f.high)
}

func (f *figures) message() (title, body string) {
	title = fmt.Sprintf("About %d more minutes today", f.missing)
	if f.missing == 1 {
		title = "About 1 more minute today"
	}
	return title, fmt.Sprintf("As of %s: %s. %s would take you past your target of %d.",
		f.asOf.Format(clock), f.soFar(), upper(walks(f.missing)), f.target)
}

// walks says by which walks the missing minutes can be made up: as few as there can be of at most half an hour, in
// whole five minutes.
func walks(missing int) string {
	n := (missing + 29) / 30
	each := (missing + 5*n - 1) / (5 * n) * 5
	if n == 1 {
		return fmt.Sprintf("one walk of %d minutes", each)
	}
	words := [...]string{2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
	if n < len(words) {
		return fmt.Sprintf("%s walks of %d minutes", words[n], each)
	}
	return fmt.Sprintf("%d walks of %d minutes", n, each)
}

func minutes(n int) string {
	if n == 1 {
		return "1 minute"
	}
	return fmt.Sprintf("%d minutes", n)
}

// upper returns s, which begins with a letter of ASCII or a figure, as the beginning of a sentence.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
