package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// A todayView is what `walkd today` shows.
type todayView struct {
	Person  string
	Limited bool // no bands, no study; alternative minutes first
	// Now is the time of asking; its location is the zone in force for the person.
	Now time.Time
	// Through is up to when the data is complete; zero if there never was any.
	Through time.Time
	// Today is the day of Now. Its ByHour follows the clock of that location.
	Today walking.Summary
	Quiet walking.WallRange
	// Sources are those on the network.
	Sources []pull.State
	// Nudge is the last decision of the day, or what was sent if that was only that it was sent; nil if there is none.
	Nudge  *store.NudgeEntry
	person store.Person
}

// renderToday writes where the day stands. Its error is that of w.
func renderToday(w io.Writer, t todayView, s style) error {
	out := bufio.NewWriter(w)
	page := &todayPage{todayView: t, style: s, out: out}
	page.Person = printable(t.Person)
	page.heading()
	switch {
	case t.Through.IsZero() && slices.ContainsFunc(t.Sources, fine):
		page.text("No steps yet. They come with `walkd run`, and at once with `walkd sync`.")
	case t.Through.IsZero() && len(t.Sources) > 0:
		page.text("No steps yet.")
	case t.Through.IsZero():
		page.text("No steps yet. Bring in what you have, for example an export of Apple's Health app:")
		page.line("")
		page.line("walkd import apple-health export.zip")
	case t.Today.Steps == 0 && t.Today.Alternative == 0 && t.Through.Before(midnight(t.Now)):
		page.text("Nothing of today yet. Sync your watch or phone with its app, or import a newer export. This looks for " +
			"what is amiss:")
		page.line("")
		page.line("walkd check")
		page.line("")
		page.mean()
	default:
		page.minutes()
		page.hours()
		page.mean()
	}
	page.nudge()
	page.sources()
	return out.Flush()
}

type todayPage struct {
	todayView
	style style
	out   *bufio.Writer
}

const indent = "  "

func (p *todayPage) inner() int { return p.style.columns() - 2*len(indent) }

func (p *todayPage) line(text string) {
	if text != "" {
		text = indent + text
	}
	fmt.Fprintln(p.out, text)
}

func (p *todayPage) text(text string) {
	for _, l := range wrap(text, p.inner()) {
		p.line(l)
	}
}

func (p *todayPage) heading() {
	year, month, day := p.Today.Day.Date()
	date := fmt.Sprintf("%s %d %s %d", p.Today.Day.Weekday(), day, month, year)
	asOf := ""
	if !p.Through.IsZero() {
		asOf = "as of " + p.through() + ", " + ago(p.Now.Sub(p.Through))
	}
	left := p.Person + "  " + date
	p.line("")
	gap := p.inner() - columns(left) - columns(asOf)
	switch {
	case asOf == "" && gap >= 0:
		p.line(p.style.strong(p.Person) + "  " + date)
	case gap >= 2:
		p.line(p.style.strong(p.Person) + "  " + date + strings.Repeat(" ", gap) + p.style.faint(asOf))
	default:
		p.line(p.style.strong(p.Person))
		p.line(date)
		if asOf != "" {
			p.line(p.style.faint(asOf))
		}
	}
	p.line("")
}

// through returns until when the data is complete: a time today, else a day and a time.
func (p *todayPage) through() string {
	t := p.Through.In(p.Now.Location())
	switch age := midnight(p.Now).Sub(t); {
	case age <= 0:
		return t.Format("15:04")
	case age < 6*24*time.Hour:
		return t.Format("Monday 15:04")
	default:
		return t.Format("2 January 2006")
	}
}

func midnight(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// ago returns how long ago something was in words.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// minutes writes today's figure, its bar and what goes with it.
func (p *todayPage) minutes() {
	t := p.Today
	uncertainty := p.style.faint("(" + span(t.Low, t.High) + ")")
	if p.Limited {
		p.line(p.style.strong(p.style.paint(colorAlternative, "■")+" "+whole(t.Alternative)+" min") + " of other exercise")
		p.line("  " + whole(t.Walking) + " min of walking " + uncertainty)
	} else {
		target := targetText(t.Target)
		bar := gauge{
			low: t.Low, value: t.Walking, high: t.High, target: t.Target,
			full: max(t.Target*1.2, t.High), cells: p.inner(), color: colorOf(t.Band), glyphs: tallGlyphs,
		}
		if t.Met {
			p.line(p.style.strong(whole(t.Walking)) + " min, more than " + target + " " + uncertainty)
		} else {
			p.line(p.style.strong(whole(t.Walking)) + " of more than " + target + " min " + uncertainty)
		}
		p.line("")
		p.line(bar.draw(p.style))
		tick := min(int(math.Round(t.Target/bar.full*float64(bar.cells))), bar.cells-1)
		p.line(p.style.faint(pad(target, tick+(columns(target)+2)/2)))
	}
	p.line("")
	var facts []string
	if !p.Limited {
		if t.Met {
			facts = append(facts, "✓ target met")
		} else {
			facts = append(facts, fmt.Sprintf("%d min to go", int(math.Floor(t.Target))+1-walking.WholeMinutes(t.Walking)))
		}
	}
	facts = append(facts, grouped(t.Steps)+" steps")
	for _, f := range []struct {
		minutes float64
		name    string
		always  bool
	}{{t.Brisk, "brisk", true}, {t.Running, "running", false}, {t.Alternative, "other exercise", false}} {
		if p.Limited && f.name == "other exercise" || !f.always && walking.WholeMinutes(f.minutes) == 0 {
			continue
		}
		facts = append(facts, whole(f.minutes)+" min "+f.name)
	}
	p.facts(facts)
	p.line("")
}

// facts writes short facts side by side, as many to a line as fit.
func (p *todayPage) facts(facts []string) {
	line := ""
	for _, f := range facts {
		if line != "" && columns(line)+3+columns(f) > p.inner() {
			p.line(line)
			line = ""
		}
		if line != "" {
			line += " · "
		}
		line += f
	}
	p.line(line)
}

// targetText returns a target, which may have a fraction.
func targetText(m float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", m), "0"), ".")
}

// hours draws the minutes of each hour of the day, the quiet hours left out unless something happened in them.
func (p *todayPage) hours() {
	first, last := p.shownHours()
	n := last - first + 1
	const scaleWidth = 7 // "60 min" and a space
	wide := min(4, (p.inner()-scaleWidth)/n)
	most := 0.0
	for _, h := range p.Today.ByHour {
		most = max(most, h.Walking)
	}
	full := 15 * math.Ceil(max(most, 1)/15)
	known := 24 // hours from this one on are yet to come
	if p.Through.Before(midnight(p.Now).AddDate(0, 0, 1)) {
		known = p.Through.In(p.Now.Location()).Hour() + 1
	}
	const rows = 3
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	tint := colorOf(p.Today.Band)
	if p.Limited {
		tint = colorUnder78
	}
	for row := rows - 1; row >= 0; row-- {
		var b strings.Builder
		for h := first; h <= last; h++ {
			level := int(math.Round(p.Today.ByHour[h].Walking / full * rows * 8))
			if level == 0 && walking.WholeMinutes(p.Today.ByHour[h].Walking) > 0 {
				level = 1
			}
			glyph := string(blocks[min(8, max(0, level-8*row))])
			if wide == 1 {
				b.WriteString(glyph)
			} else {
				b.WriteString(strings.Repeat(glyph, wide-1) + " ")
			}
		}
		scale := ""
		if row == rows-1 {
			scale = p.style.faint(" " + whole(full) + " min")
		}
		p.line(strings.TrimRight(p.style.paint(tint, b.String())+scale, " "))
	}
	solid := max(0, min(known-first, n)) * wide
	p.line(p.style.faint(strings.Repeat("─", solid) + strings.Repeat("·", n*wide-solid)))
	labels := []rune(strings.Repeat(" ", n*wide+2))
	every := 1
	for every*wide < 5 {
		every++
	}
	for h := first; h <= last; h++ {
		if (h-first)%every == 0 {
			copy(labels[(h-first)*wide:], []rune(fmt.Sprintf("%02d", h)))
		}
	}
	p.line(p.style.faint(strings.TrimRight(string(labels), " ")))
	p.line("")
}

func (p *todayPage) shownHours() (first, last int) {
	first, last = 0, 23
	if p.Quiet.To < p.Quiet.From { // over midnight
		first, last = int(p.Quiet.To)/60, min(23, (int(p.Quiet.From)-1)/60)
	}
	for h, totals := range p.Today.ByHour {
		if totals.Walking > 0 {
			first, last = min(first, h), max(last, h)
		}
	}
	return first, last
}

// mean writes the 7-day mean, and what the study says of its band.
func (p *todayPage) mean() {
	t := p.Today
	if t.Mean7Days == 0 {
		p.text("No 7-day mean yet: it takes one whole day with at least 1,000 steps.")
		return
	}
	mean, about := whole(t.Mean7)+" min a day", "7-day mean"
	if t.Mean7Days < 7 {
		about += " over the " + plural(t.Mean7Days, "day") + " that count"
		if t.Mean7Days == 1 {
			about += "s"
		}
	}
	if p.Limited {
		p.line(p.style.strong(mean) + " of walking")
		p.line(p.style.faint(about))
		return
	}
	band := walking.BandOf(t.Mean7)
	p.line(p.style.strong(mean) + "  " + p.style.paint(colorOf(band), "■ "+bandName(band)))
	p.line(p.style.faint(about))
	p.line("")
	for _, l := range wrap(study(t.Mean7), min(p.inner(), 76)) {
		p.line(p.style.faint(l))
	}
}

// nudge writes what was decided last.
func (p *todayPage) nudge() {
	n := p.Nudge
	if n == nil {
		return
	}
	p.line("")
	at := n.At.In(p.Now.Location()).Format("15:04")
	if n.Send {
		p.line(p.style.strong("Sent at " + at + ": " + n.Title))
		p.text(n.Body)
		for _, l := range wrap("Why: "+n.Why, min(p.inner(), 76)) {
			p.line(p.style.faint(l))
		}
		for _, d := range n.Deliveries {
			p.line(p.style.faint(deliveryText(d, p.person.Zones)))
		}
		return
	}
	for _, l := range wrap("Nothing sent at "+at+" ("+string(n.Reason)+"): "+n.Why, min(p.inner(), 76)) {
		p.line(p.style.faint(l))
	}
}

// sources writes how the sources on the network fare.
func (p *todayPage) sources() {
	for i, s := range p.Sources {
		if i == 0 {
			p.line("")
		}
		mark := "✓ "
		if !fine(s) {
			mark = "! "
		}
		for _, l := range wrap(mark+s.Source+": "+stateText(s, p.person.Zones, p.Now), p.inner()) {
			p.line(p.style.faint(l))
		}
		for _, text := range []string{problemText(s), offText(s), endingText(s, p.Now)} {
			if text != "" {
				p.text(text)
			}
		}
	}
}

// study says what the study behind the target found for the band of a mean. It was observational: it shows what goes
// together, never what a person's walking will do.
func study(mean float64) string {
	const source = " Observational study: Haddadj et al. 2025, JAMA Network Open."
	band := walking.BandOf(mean)
	if band == walking.Under78 {
		return fmt.Sprintf("Every walk counts: %d min a day more would make it %s, which is associated with a relative "+
			"risk of chronic low-back pain of %.2f, against 1 for under 78.", 78-walking.WholeMinutes(mean),
			bandName(walking.From78), walking.From78.RelativeRisk()) + source
	}
	return fmt.Sprintf("%s min a day is associated with a relative risk of chronic low-back pain of %.2f, against 1 for "+
		"under 78.", bandName(band), band.RelativeRisk()) + source
}
