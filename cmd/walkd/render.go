package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/walkd/walkd/internal/walking"
)

// A style is how a terminal wants its text. Its zero value is plain UTF-8, 80 columns wide.
type style struct {
	width  int // columns; 0 means 80
	colors colorDepth
}

type colorDepth int

const (
	noColors colorDepth = iota
	colors256
	colors24bit
)

// The widths that the output adapts to. Narrower terminals get lines that are too long for them.
const (
	leastWidth   = 40
	mostWidth    = 100
	defaultWidth = 80
)

// styleFor returns the style for an output of the given width, by the environment. Colours are for terminals only, and
// for nobody who sets NO_COLOR.
func styleFor(terminal bool, width int, getenv func(string) string) style {
	s := style{width: width}
	term := getenv("TERM")
	depth := getenv("COLORTERM")
	switch {
	case !terminal || getenv("NO_COLOR") != "" || term == "" || term == "dumb":
	case depth == "truecolor" || depth == "24bit" || strings.HasSuffix(term, "-direct"):
		s.colors = colors24bit
	case strings.Contains(term, "256color"):
		s.colors = colors256
	}
	return s
}

func (s style) columns() int {
	if s.width <= 0 {
		return defaultWidth
	}
	return min(max(s.width, leastWidth), mostWidth)
}

// A color is 0xRRGGBB. The colours are the same everywhere in walkd, and safe for colour-blind people.
type color uint32

const (
	colorUnder78     color = 0x9AA3AF
	colorFrom78      color = 0xE69F00
	colorFrom101     color = 0x009E73
	colorFrom125     color = 0x0072B2
	colorAlternative color = 0xCC79A7
)

func colorOf(b walking.Band) color {
	return [...]color{colorUnder78, colorFrom78, colorFrom101, colorFrom125}[b]
}

func (s style) paint(c color, text string) string {
	r, g, b := int(c>>16), int(c>>8&0xff), int(c&0xff)
	switch {
	case text == "" || s.colors == noColors:
		return text
	case s.colors == colors24bit:
		return fmt.Sprintf("\x1b[38;2;%d;%d;%dm%s\x1b[39m", r, g, b, text)
	default:
		return fmt.Sprintf("\x1b[38;5;%dm%s\x1b[39m", 16+36*cube(r)+6*cube(g)+cube(b), text)
	}
}

// cube returns the nearest of the six levels that the 256 colours know: 0, 95, 135, 175, 215, 255.
func cube(level int) int {
	if level < 48 {
		return 0
	}
	return max(1, min(5, (level-35)/40))
}

func (s style) strong(text string) string { return s.attribute("1", text) }
func (s style) faint(text string) string  { return s.attribute("2", text) }

func (s style) attribute(code, text string) string {
	if text == "" || s.colors == noColors {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[22m"
}

// printable returns text without what could steer the terminal: names may come from imported files.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
}

// wrap breaks text into lines of at most width columns.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && columns(line)+1+columns(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// columns returns how wide text is that has no escape sequences.
func columns(text string) int { return utf8.RuneCountInString(text) }

// pad returns text with spaces on the left to width columns, or on the right if width is negative.
func pad(text string, width int) string {
	spaces := strings.Repeat(" ", max(0, max(width, -width)-columns(text)))
	if width < 0 {
		return text + spaces
	}
	return spaces + text
}

// grouped returns n with commas between the thousands.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// whole returns minutes as a whole number.
func whole(minutes float64) string { return strconv.Itoa(walking.WholeMinutes(minutes)) }

// span returns low and high as whole minutes, "70–94".
func span(low, high float64) string { return whole(low) + "–" + whole(high) }

// bandName returns the band's range for people.
func bandName(b walking.Band) string {
	return [...]string{"under 78", "78–100", "101–124", "125 or more"}[b]
}

// A gauge draws a value with its uncertainty along a scale from 0 to full.
type gauge struct {
	low, value, high float64
	target           float64
	full             float64
	cells            int
	color            color
	glyphs           gaugeGlyphs
}

// gaugeGlyphs are what a gauge consists of: up to low, to value, to high, and the rest.
type gaugeGlyphs [4]string

// Glyphs for a gauge that stands alone, and for those of a table, which must not grow together to a wall.
var (
	tallGlyphs = gaugeGlyphs{"█", "▓", "░", "·"}
	thinGlyphs = gaugeGlyphs{"━", "╍", "┄", " "}
)

// draw returns the gauge, with a line where the target is.
func (g gauge) draw(s style) string {
	at := func(v float64) int {
		return min(g.cells, max(0, int(math.Round(v/g.full*float64(g.cells)))))
	}
	low, value, high := at(g.low), at(g.value), at(g.high)
	if g.value > 0 {
		value = max(value, 1) // something is never drawn as nothing
	}
	tick := -1
	if g.target > 0 {
		tick = min(at(g.target), g.cells-1)
	}
	var b strings.Builder
	run, glyph := 0, ""
	flush := func() {
		text := strings.Repeat(glyph, run)
		if run = 0; glyph == g.glyphs[3] || glyph == "│" {
			b.WriteString(s.faint(text))
		} else {
			b.WriteString(s.paint(g.color, text))
		}
	}
	for i := range g.cells {
		next := g.glyphs[3]
		switch {
		case i == tick:
			next = "│"
		case i < low:
			next = g.glyphs[0]
		case i < value:
			next = g.glyphs[1]
		case i < high:
			next = g.glyphs[2]
		}
		if next != glyph && run > 0 {
			flush()
		}
		glyph = next
		run++
	}
	flush()
	return b.String()
}
