package web

import (
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/walkd/walkd/internal/walking"
)

// A Status is what the status page shows.
type Status struct {
	// Note is a sentence at the top; "" for none.
	Note string
	// Refresh is how often the page loads itself again; zero: never.
	Refresh time.Duration
	People  []PersonStatus
}

// A PersonStatus is where one person stands.
type PersonStatus struct {
	Name    string
	Limited bool // no bands; alternative minutes are the goal
	// Now is the time of asking; its location is the zone in force for the person, and all times are shown in it.
	Now time.Time
	// Through is up to when the data is complete; zero if there is none.
	Through time.Time
	Today   walking.Summary
	Days    []walking.Summary // the last ones, today included, in order
	Sources []SourceStatus
	Nudges  []NudgeStatus // newest first
}

// A SourceStatus is how pulling from one source fares.
type SourceStatus struct {
	Name, Service string
	Phase         string // in a word or two
	Fine          bool
	Text          string // what is wrong, in words; "" if nothing is
	Remedy        string // what to do about it
	Consent       Consent
	Ends          time.Time // when the consent ends by itself, if that is near; zero otherwise
	Synced        time.Time // how far the device has synced; zero: not known
	Success, Next time.Time // zero: never, not planned
	Backfill      string    // how far the history has come; "" if it is done
	Budget        string    // what is left of the limits
}

// A Consent says what a page has to do with a person's consent to a source.
type Consent int

// What there is to say of a consent.
const (
	NoConsent      Consent = iota // none is needed, or it cannot be given on a page
	ConsentGiven                  // and it can be given anew
	ConsentNeeded                 // nothing comes in until the person gives it
	ConsentBlocked                // it is needed, but will only help once the source's Remedy is followed
)

// Needed reports whether nothing comes in without a new consent.
func (c Consent) Needed() bool { return c == ConsentNeeded || c == ConsentBlocked }

// Blocked reports whether something else has to be done before consent helps.
func (c Consent) Blocked() bool { return c == ConsentBlocked }

// Possible reports whether consent can be given on a page.
func (c Consent) Possible() bool { return c != NoConsent }

// loud reports whether the page asks for a consent at its top.
func (s SourceStatus) loud() bool {
	return s.Consent.Needed() || s.Consent.Possible() && !s.Ends.IsZero()
}

// Quiet reports whether consent can be given on a page, but need not.
func (s SourceStatus) Quiet() bool { return s.Consent.Possible() && !s.loud() }

// A NudgeStatus is a decision and what became of it.
type NudgeStatus struct {
	At          time.Time
	Rule        string
	Sent        bool
	Reason      string // named
	Why         string // in words
	Title, Body string // of what was sent
	Deliveries  []string
}

// statusPage is what the status page is made of.
type statusPage struct {
	Status
	LoggedIn bool // by password, so that there is something to end
}

func (s *site) serveStatus(w http.ResponseWriter, r *http.Request) {
	status, err := s.o.Status(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.render(w, http.StatusOK, "status.html", statusPage{Status: status, LoggedIn: s.loggedIn(r)})
}

// funcs returns what the template can ask for.
func funcs() template.FuncMap {
	return template.FuncMap{
		"whole":     walking.WholeMinutes,
		"band":      bandName,
		"class":     bandClass,
		"mean7band": func(s walking.Summary) walking.Band { return walking.BandOf(s.Mean7) },
		"clock":     clock,
		"ago":       func(now, t time.Time) string { return ago(now.Sub(t)) },
		"date":      func(d walking.Day) string { return d.In(time.UTC).Format("Monday 2 January 2006") },
		"togo":      func(s walking.Summary) int { return int(math.Floor(s.Target)) + 1 - walking.WholeMinutes(s.Walking) },
		"target":    func(m float64) string { return fmt.Sprintf("%g", m) },
		"chart":     newChart,
		"seconds":   func(d time.Duration) int { return int(math.Ceil(d.Seconds())) },
		"sentence":  sentence,
		"connect":   connectPath,
		"banners":   banners,
	}
}

// sentence returns text with a capital letter, but for walkd's name, and a full stop, and what stands between backticks
// as code.
func sentence(text string) template.HTML {
	if text == "" {
		return ""
	}
	if first, size := utf8.DecodeRuneInString(text); !strings.HasPrefix(text, "walkd") {
		text = string(unicode.ToUpper(first)) + text[size:]
	}
	if !strings.ContainsAny(text[len(text)-1:], ".!?:") {
		text += "."
	}
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		if part = template.HTMLEscapeString(part); i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String())
}

// A banner says that a source needs a person's consent, or will soon.
type banner struct {
	SourceStatus
	Person string
	Until  string // when the consent ends
}

func banners(p PersonStatus) []banner {
	var out []banner
	for _, s := range p.Sources {
		if s.loud() {
			out = append(out, banner{s, p.Name, clock(p.Now, s.Ends)})
		}
	}
	return out
}

func bandName(b walking.Band) string {
	return [...]string{"under 78", "78 to 100", "101 to 124", "125 or more"}[b]
}

func bandClass(b walking.Band) string { return [...]string{"b0", "b1", "b2", "b3"}[b] }

// clock returns t as a time of day if it is of the day of now, else with its date.
func clock(now, t time.Time) string {
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("Mon 2 Jan 15:04")
}

// ago returns how long ago, or how far ahead, something is in words.
func ago(d time.Duration) string {
	if d < 0 {
		return "in " + strings.TrimSuffix(ago(-d), " ago")
	}
	switch {
	case d < time.Minute:
		return "a moment ago"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// A chart is the days as bars, in the units of an SVG picture.
type chart struct {
	Width, Height int
	TargetY       float64
	Target        string
	Bars          []bar
	Mean          string // points of the line of the 7-day mean
}

type bar struct {
	X, Y, W, H float64
	Class      string
	Title      string
	Label      string // below the bar; "" for none
	LabelX     float64
}

const (
	chartHeight = 180
	chartTop    = 12
	chartBottom = 22
	barPitch    = 22
	leastBars   = 28
)

func newChart(p PersonStatus) chart {
	// A few days are as narrow as many, and stand where they will stand then.
	first := max(0, leastBars-len(p.Days))
	c := chart{Width: (first + len(p.Days)) * barPitch, Height: chartHeight, Target: fmt.Sprintf("%g", p.Today.Target)}
	most := p.Today.Target * 1.25
	for _, d := range p.Days {
		most = max(most, d.Walking)
	}
	room := float64(chartHeight - chartTop - chartBottom)
	y := func(minutes float64) float64 { return chartTop + room*(1-minutes/max(most, 1)) }
	c.TargetY = y(p.Today.Target)
	var mean []string
	for i, d := range p.Days {
		x := float64((first + i) * barPitch)
		b := bar{X: x + 3, W: barPitch - 6, Y: y(d.Walking), Class: bandClass(d.Band), LabelX: x + barPitch/2}
		b.H = chartTop + room - b.Y
		if p.Limited {
			b.Class = "plain"
		}
		b.Title = fmt.Sprintf("%s: %d min", d.Day.In(time.UTC).Format("Mon 2 Jan"), walking.WholeMinutes(d.Walking))
		switch {
		case !d.Closed:
			b.Class += " open"
			b.Title += ", not complete yet"
		case !d.Valid:
			b.Class += " open"
			b.Title += ", does not count: the watch was hardly worn"
		case d.Met:
			b.Title += ", target met"
		}
		if day := d.Day.Weekday(); day == time.Monday {
			b.Label = d.Day.In(time.UTC).Format("2 Jan")
		}
		c.Bars = append(c.Bars, b)
		if d.Mean7Days > 0 {
			mean = append(mean, fmt.Sprintf("%.1f,%.1f", x+barPitch/2, y(d.Mean7)))
		}
	}
	c.Mean = strings.Join(mean, " ")
	return c
}
