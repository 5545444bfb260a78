package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const pictureFile = "../../docs/img/demo.svg"

// TestPicture keeps the picture in README.md true: it is the output of the demo on a fixed day, with the table cut to its
// last days. -update draws it anew.
func TestPicture(t *testing.T) {
	m := newMachine(t, "2026-11-20T13:20:00+01:00")
	a, stdout, stderr := m.app()
	getenv := a.env.Getenv
	a.env.Getenv = func(name string) string {
		switch name {
		case "TERM":
			return "xterm-256color"
		case "COLORTERM":
			return "truecolor"
		}
		return getenv(name)
	}
	a.terminal = func(w io.Writer) (int, bool) { return defaultWidth, w == stdout }
	if code := a.run(t.Context(), []string{"demo", "--once"}); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	got := drawTerminal("go run ./cmd/walkd demo --once", pictureLines(stdout.String()))
	if *update {
		if err := os.WriteFile(pictureFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(pictureFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("docs/img/demo.svg is not what the demo shows: look at it, then `go test ./cmd/walkd -run Picture -update`")
	}
}

// pictureLines leaves out how long things took, most of the table, and what comes after today.
func pictureLines(output string) []string {
	const tableRows = 14
	lines := strings.Split(output, "\n")
	took := regexp.MustCompile(`, [\d.]+ m?s\.$`)
	row := regexp.MustCompile(`^(\x1b\[\d+m)?\d{4}-\d\d-\d\d `)
	var out []string
	rows := 0
	for _, l := range lines {
		if row.MatchString(l) {
			rows++
		}
	}
	for _, l := range lines {
		switch {
		case strings.Contains(l, "What next"):
			return slices.Compact(out)
		case took.MatchString(l):
			l = took.ReplaceAllString(l, ".")
		case row.MatchString(l):
			if rows--; rows >= tableRows {
				if rows == tableRows {
					out = append(out, "\x1b[2m…\x1b[22m")
				}
				continue
			}
		}
		out = append(out, l)
	}
	return out
}

// Sizes of the picture in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 18
	margin     = 16
	fontSize   = 14
)

// drawTerminal draws a terminal with a command and what it wrote.
func drawTerminal(command string, lines []string) string {
	lines = append([]string{"\x1b[2m$\x1b[22m \x1b[1m" + command + "\x1b[22m", ""}, lines...)
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	width := 2*margin + int(defaultWidth*cellWidth)
	height := 2*margin + cellHeight*len(lines)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" `+
		`aria-label="The output of walkd demo: a table of days and today">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="#15191f"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<g font-family="'DejaVu Sans Mono', Menlo, Consolas, ui-monospace, monospace" font-size="%d" fill="#dfe3e8" shape-rendering="crispEdges">`+"\n", fontSize)
	for i, l := range lines {
		drawLine(&b, l, margin+cellHeight*i)
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// pen is how text is drawn.
type pen struct {
	color        string
	bold, faint  bool
	rectangle    bool    // a block, drawn as one since fonts differ
	from, height float64 // of a block, as shares of the cell's height from above
	opacity      float64 // of a block
}

// drawLine draws a line whose top is at y.
func drawLine(b *strings.Builder, line string, y int) {
	var (
		p       pen
		column  int
		run     strings.Builder
		begin   int
		current pen
	)
	flush := func() {
		n := column - begin
		if text := run.String(); strings.TrimSpace(text) != "" {
			drawRun(b, text, begin, n, y, current)
		}
		run.Reset()
		begin = column
	}
	escape := regexp.MustCompile(`^\x1b\[([\d;]*)m`)
	for rest := line; rest != ""; {
		if found := escape.FindStringSubmatch(rest); found != nil {
			p = p.after(found[1])
			rest = rest[len(found[0]):]
			continue
		}
		r := []rune(rest[:min(len(rest), 4)])[0]
		rest = rest[len(string(r)):]
		if next := p.forRune(r); next != current {
			flush()
			current = next
		}
		run.WriteRune(r)
		column++
	}
	flush()
}

// after returns the pen after an escape sequence.
func (p pen) after(codes string) pen {
	switch {
	case codes == "1":
		p.bold = true
	case codes == "2":
		p.faint = true
	case codes == "22":
		p.bold, p.faint = false, false
	case codes == "39":
		p.color = ""
	case strings.HasPrefix(codes, "38;2;"):
		p.color = "#"
		for _, c := range strings.Split(codes[len("38;2;"):], ";") {
			n, _ := strconv.Atoi(c)
			p.color += fmt.Sprintf("%02x", n)
		}
	}
	return p
}

// forRune returns the pen for r, which may be a block.
func (p pen) forRune(r rune) pen {
	p.opacity = 1
	switch {
	case r >= '▁' && r <= '█':
		p.rectangle = true
		p.height = float64(r-'▁'+1) / 8
		p.from = 1 - p.height
	case r == '▓':
		p.rectangle, p.height, p.opacity = true, 1, 0.7
	case r == '░':
		p.rectangle, p.height, p.opacity = true, 1, 0.4
	}
	return p
}

func drawRun(b *strings.Builder, text string, column, n, y int, p pen) {
	x := margin + float64(column)*cellWidth
	width := float64(n) * cellWidth
	fill := ""
	if p.color != "" {
		fill = fmt.Sprintf(` fill="%s"`, p.color)
	}
	if p.rectangle {
		if p.opacity < 1 {
			fill += fmt.Sprintf(` fill-opacity="%g"`, p.opacity)
		}
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f"%s/>`+"\n", x, float64(y)+p.from*cellHeight, width,
			p.height*cellHeight, fill)
		return
	}
	if p.bold {
		fill += ` font-weight="bold"`
	}
	if p.faint {
		fill += ` fill-opacity="0.6"`
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve"%s>`, x,
		y+fontSize, width, fill)
	_ = xml.EscapeText(b, []byte(text))
	b.WriteString("</text>\n")
}
