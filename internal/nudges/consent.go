package nudges

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

const (
	// consentAgain is how long after a message about a consent that has ended there is another one, if it is still ended.
	consentAgain = 3 * 24 * time.Hour
	// consentAhead is how long before a consent ends by itself that is announced.
	consentAhead = 24 * time.Hour
)

// A ConsentState is how the consent for one source stands, as far as it needs the person.
type ConsentState struct {
	Source, Service string
	// Refused is since when the provider refuses it; zero if it does not.
	Refused time.Time
	Text    string // what is wrong, in words, as a sentence without a capital and a full stop
	Remedy  string // what to do, likewise
	// Ends is when it ends by itself; zero if it does not.
	Ends time.Time
}

// consent is the rule ConsentNeeded. It tells of one source at a time, each once when it stops and again every three
// days, and of a consent that ends by itself a day before. It is no nudge to walk, so that neither the target nor how
// many of those there were keeps it silent. In the quiet hours it waits for their end. ok is false if there is nothing to
// decide.
func consent(s Situation) (d Decision, ok bool) {
	day := s.Zones.Day(s.Now)
	d = Decision{Rule: ConsentNeeded, Day: day, At: s.Now.UTC(), Key: Key(ConsentNeeded, day)}
	for _, c := range s.Consents {
		reason, key, expires := c.cause(s)
		if reason == "" {
			continue
		}
		ok = true
		d.Key, d.Why = key, c.why(s)
		d.Reason = reason
		switch {
		case slices.Contains(s.Sent, key):
			d.Reason, d.Why = AlreadySent, d.Why+" There is a message about it already."
			continue // another source may have news
		case s.Settings.MaxPerDay == 0:
			d.Reason, d.Why = DayLimit, d.Why+" You have set no messages at all."
			return d, true
		}
		d.Send, d.Expires = true, expires.UTC()
		if quiet, ends := quietNow(s); quiet {
			d.NotBefore = ends.UTC()
		}
		d.Title, d.Body = c.message(s)
		return d, true
	}
	if ok {
		return d, true
	}
	// What is on its way about a source that is connected again is of no more use.
	for _, key := range slices.Backward(s.Sent) {
		if strings.HasPrefix(key, string(ConsentNeeded)+"/") {
			d.Key, d.Reason, d.Why = key, Connected, "Every source that can be connected is."
			return d, true
		}
	}
	return d, false
}

// cause returns why the person has to do something about c, its key, and until when hearing of it is of use; "" if there
// is nothing to do yet.
func (c *ConsentState) cause(s Situation) (reason Reason, key string, expires time.Time) {
	name := func(what string) string { return fmt.Sprintf("%s/%s/%s", ConsentNeeded, c.Source, what) }
	switch {
	case !c.Refused.IsZero():
		n := max(0, s.Now.Sub(c.Refused)/consentAgain)
		return ConsentEnded, name(fmt.Sprintf("%s/%d", c.Refused.UTC().Format("2006-01-02T15:04:05"), n)),
			c.Refused.Add((n + 1) * consentAgain)
	case !c.Ends.IsZero() && c.Ends.After(s.Now) && c.Ends.Sub(s.Now) <= consentAhead:
		return ConsentEnding, name("ends/" + c.Ends.UTC().Format("2006-01-02T15:04")), c.Ends
	}
	return "", "", time.Time{}
}

func (c *ConsentState) why(s Situation) string {
	if !c.Refused.IsZero() {
		return fmt.Sprintf("Nothing is pulled from %s since %s: %s.", c.Service, moment(s, c.Refused), c.Text)
	}
	return fmt.Sprintf("The access to %s ends by itself at %s.", c.Service, moment(s, c.Ends))
}

func (c *ConsentState) message(s Situation) (title, body string) {
	remedy := ""
	if c.Remedy != "" {
		remedy = " " + upper(c.Remedy) + "."
	}
	if s.Settings.Page != "" {
		remedy += " Or connect it at " + s.Settings.Page
	}
	if !c.Refused.IsZero() {
		return "Connect " + c.Service + " again", c.why(s) + remedy
	}
	return c.Service + " wants your consent again soon", c.why(s) + " What is counted until then is safe." + remedy
}

// moment names an instant by the person's clock, with the date if it is not today's.
func moment(s Situation, t time.Time) string {
	local := t.In(s.Zones.At(t))
	if s.Zones.Day(t) == s.Zones.Day(s.Now) {
		return local.Format(clock)
	}
	return local.Format("Mon 2 January " + clock)
}

// quietNow reports whether the person is not to be disturbed now, and until when.
func quietNow(s Situation) (quiet bool, end time.Time) {
	for _, w := range s.Zones.Ranges(walking.Window{Start: s.Now, End: s.Now.Add(24 * time.Hour)}, s.Quiet) {
		if w.Contains(s.Now) {
			return true, w.End
		}
	}
	return false, s.Now
}
