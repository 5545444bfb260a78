package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/walkd/walkd/internal/walking"
)

// A column of the table of days.
type column struct {
	name  string
	width int // negative: aligned to the left
	cell  func(d walking.Summary) (text string, paint func(string) string)
}

// renderDays writes a table of days, which have to be those of one person. Limited leaves out bands and puts alternative
// minutes first. Its error is that of w.
func renderDays(w io.Writer, days []walking.Summary, limited bool, s style) error {
	out := bufio.NewWriter(w)
	if len(days) == 0 {
		fmt.Fprintln(out, "No days yet. Bring in what you have:")
		fmt.Fprintln(out, "walkd import FORMAT PATH")
		return out.Flush()
	}
	columns := dayColumns(days, limited, s)
	var head strings.Builder
	for i, c := range columns {
		if i > 0 {
			head.WriteString(" ")
		}
		head.WriteString(pad(c.name, c.width))
	}
	fmt.Fprintln(out, s.faint(strings.TrimRight(head.String(), " ")))
	for _, d := range days {
		var row strings.Builder
		for i, c := range columns {
			if i > 0 {
				row.WriteString(" ")
			}
			text, paint := c.cell(d)
			if paint == nil {
				row.WriteString(pad(text, c.width))
			} else {
				row.WriteString(paint(pad(text, c.width)))
			}
		}
		fmt.Fprintln(out, strings.TrimRight(row.String(), " "))
	}
	for _, l := range daysLegend(days, limited, s.columns()) {
		fmt.Fprintln(out, s.faint(l))
	}
	return out.Flush()
}

// dayColumns returns the columns that fit, the most telling ones first; the bar takes what is left.
func dayColumns(days []walking.Summary, limited bool, s style) []column {
	plain := func(text func(d walking.Summary) string) func(walking.Summary) (string, func(string) string) {
		return func(d walking.Summary) (string, func(string) string) {
			if d.Closed && !d.Valid {
				return text(d), s.faint
			}
			return text(d), nil
		}
	}
	known := func(text func(d walking.Summary) string) func(walking.Summary) (string, func(string) string) {
		return plain(func(d walking.Summary) string {
			if noData(d) {
				return "–"
			}
			return text(d)
		})
	}
	date := column{"Date", -10, plain(func(d walking.Summary) string { return d.Day.String() })}
	weekday := column{"", -3, plain(func(d walking.Summary) string { return d.Day.Weekday().String()[:3] })}
	minutes := column{"Min", 4, known(func(d walking.Summary) string { return whole(d.Walking) })}
	other := column{"Other", 5, known(func(d walking.Summary) string { return whole(d.Alternative) })}
	marks := column{"", -2, func(d walking.Summary) (string, func(string) string) { return dayMarks(d, limited), nil }}
	rangeOf := column{"Low–high", 8, known(func(d walking.Summary) string { return span(d.Low, d.High) })}
	steps := column{"Steps", 7, known(func(d walking.Summary) string { return grouped(d.Steps) })}
	brisk := column{"Brisk", 5, known(func(d walking.Summary) string { return whole(d.Brisk) })}
	mean := column{"Mean", 4, func(d walking.Summary) (string, func(string) string) {
		if d.Mean7Days == 0 {
			return "–", s.faint
		}
		return whole(d.Mean7), nil
	}}
	band := column{"Band", -9, func(d walking.Summary) (string, func(string) string) {
		if d.Mean7Days == 0 {
			return "", nil
		}
		b := walking.BandOf(d.Mean7)
		return "■ " + [...]string{"<78", "78–100", "101–124", "≥125"}[b],
			func(text string) string { return s.paint(colorOf(b), text) }
	}}

	head := []column{date, weekday, minutes, marks}
	optional := [][]column{{mean, band}, {rangeOf}, {steps}, {brisk}}
	if limited {
		head = []column{date, weekday, other, minutes, marks}
		optional = [][]column{{mean}, {rangeOf}, {steps}, {brisk}}
	}
	const leastBar = 10
	room := s.columns() - leastBar
	for _, c := range head {
		room -= max(c.width, -c.width) + 1
	}
	fits := map[int]bool{}
	for i, group := range optional {
		need := 0
		for _, c := range group {
			need += max(c.width, -c.width) + 1
		}
		if need <= room {
			fits[i] = true
			room -= need
		} else if i == 0 && !limited && mean.width+1 <= room { // the mean without its band
			optional[0] = []column{mean}
			fits[0] = true
			room -= mean.width + 1
		}
	}
	full := 1.0
	for _, d := range days {
		full = max(full, d.Target*1.2, d.High)
	}
	bar := column{"", -(leastBar + room), func(d walking.Summary) (string, func(string) string) {
		g := gauge{
			low: d.Low, value: d.Walking, high: d.High, target: d.Target,
			full: full, cells: leastBar + room, color: colorOf(d.Band), glyphs: thinGlyphs,
		}
		if limited {
			g.target = 0
		}
		if limited || d.Closed && !d.Valid {
			g.color = colorUnder78
		}
		// The bar has escape sequences, so it is padded by itself: it fills its column.
		return "", func(string) string { return g.draw(s) }
	}}
	columns := append(head, bar)
	for _, i := range []int{1, 2, 3, 0} {
		if fits[i] {
			columns = append(columns, optional[i]...)
		}
	}
	return columns
}

// noData reports whether nothing is known of the day.
func noData(d walking.Summary) bool { return d.Steps == 0 && d.Walking == 0 && !d.Valid }

// The marks of days, and what they mean.
const (
	markMet     = "✓"
	markOpen    = "…"
	markSteps   = "¹"
	markShort   = "²"
	markNotWorn = "³"
)

func dayMarks(d walking.Summary, limited bool) string {
	met := " "
	if d.Met && !limited {
		met = markMet
	}
	return met + notCounted(d)
}

// notCounted returns the mark that says why a day does not count, "" if it does.
func notCounted(d walking.Summary) string {
	switch {
	case !d.Closed:
		return markOpen
	case d.Valid:
		return ""
	case d.Steps < walking.ValidSteps:
		return markSteps
	case d.Hours < walking.ValidHours:
		return markShort
	default:
		return markNotWorn
	}
}

func daysLegend(days []walking.Summary, limited bool, width int) []string {
	var counted, met int
	var sum float64
	used := map[string]bool{}
	for _, d := range days {
		used[notCounted(d)] = true
		used[markMet] = used[markMet] || d.Met && !limited
		if !d.Counts() {
			continue
		}
		counted++
		sum += d.Walking
		if d.Met {
			met++
		}
	}
	totals := fmt.Sprintf("%s, %d counted", plural(len(days), "day"), counted)
	if counted > 0 {
		if !limited {
			totals += fmt.Sprintf(", %d met the target", met)
		}
		totals += fmt.Sprintf(", mean %s min", whole(math.Round(sum/float64(counted)*100)/100))
	}
	lines := append([]string{""}, wrap(totals+".", width)...)
	marks := []struct{ mark, meaning string }{
		{markMet, "target met"},
		{markOpen, "still open, not counted yet"},
		{markSteps, "under 1,000 steps, not counted"},
		{markShort, "a day of under 12 hours, not counted"},
		{markNotWorn, "not worn for hours, not counted"},
	}
	marks = slices.DeleteFunc(marks, func(m struct{ mark, meaning string }) bool { return !used[m.mark] })
	line := ""
	for _, m := range marks {
		text := m.mark + " " + m.meaning
		if line != "" && columns(line)+3+columns(text) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += "   "
		}
		line += text
	}
	if line != "" {
		lines = append(lines, line)
	}
	return append(lines, wrap("Bars: solid to the low end of the estimate, dashed to its high end"+
		map[bool]string{false: ", a line at the target", true: ""}[limited]+". Mean: over the 7 days up to that one.", width)...)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
