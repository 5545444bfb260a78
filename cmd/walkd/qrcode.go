package main

import (
	"fmt"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// How a QR code is drawn in a terminal: two modules in a character, one above the other.
const (
	// quietZone is how many light modules there have to be around a code by its standard. With leastQuiet of them phones
	// still find it, and more codes fit into a window.
	quietZone, leastQuiet = 4, 2
	// linesBelow is how many lines of text stand below a code, which the window has to show as well.
	linesBelow = 5
)

// showCode shows text as a QR code if the messages go to a terminal that is large enough for it.
func (a *app) showCode(text string) {
	columns, ok := a.terminal(a.stderr)
	if term := a.env.Getenv("TERM"); !ok || term == "" || term == "dumb" {
		return
	}
	code, err := newQRCode(text)
	if err != nil {
		return // too long for any code; the text itself stands there
	}
	if columns == 0 {
		columns = defaultWidth
	}
	for quiet := quietZone; quiet >= leastQuiet; quiet-- {
		width, height := code.size(quiet)
		if lines := a.lines(a.stderr); width <= columns && (lines == 0 || height+linesBelow <= lines) {
			fmt.Fprintf(a.stderr, "or scan it with a phone:\n\n%s\n", code.draw(quiet, styleFor(ok, columns, a.env.Getenv).colors != noColors))
			return
		}
	}
	width, height := code.size(leastQuiet)
	fmt.Fprintf(a.stderr, "(A window of %d columns and %d lines would show it as a QR code as well, to scan with a phone.)\n\n",
		width, height+linesBelow)
}

// A qrCode is the modules of a QR code, dark ones true.
type qrCode [][]bool

// newQRCode returns the smallest code for text, with the least error correction: a screen is clean.
func newQRCode(text string) (qrCode, error) {
	made, err := qr.Encode(text, qr.L, qr.Unicode)
	if err != nil {
		return nil, err
	}
	n := made.Bounds().Dx()
	code := make(qrCode, n)
	for y := range code {
		code[y] = make([]bool, n)
		for x := range code[y] {
			brightness, _, _, _ := made.At(x, y).RGBA()
			code[y][x] = brightness == 0
		}
	}
	return code, nil
}

// size returns the columns and lines that a code takes with a quiet zone of some modules around it.
func (c qrCode) size(quiet int) (columns, lines int) {
	n := len(c) + 2*quiet
	return n, (n + 1) / 2
}

// dark reports whether a module is dark. Those around the code are not.
func (c qrCode) dark(x, y int) bool {
	return y >= 0 && y < len(c) && x >= 0 && x < len(c) && c[y][x]
}

// draw returns the code as lines of text. With colours it is black on white whatever the terminal's own are. Without
// them light modules are drawn, and the terminal is taken for a dark one; phones read most codes that are inverted too.
func (c qrCode) draw(quiet int, colors bool) string {
	const blackOnWhite, usual = "\x1b[38;5;16m\x1b[48;5;231m", "\x1b[0m"
	columns, lines := c.size(quiet)
	var b strings.Builder
	for line := range lines {
		if colors {
			b.WriteString(blackOnWhite)
		}
		for x := range columns {
			upper, lower := c.dark(x-quiet, 2*line-quiet), c.dark(x-quiet, 2*line+1-quiet)
			if !colors {
				upper, lower = !upper, !lower
			}
			switch {
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		if colors {
			b.WriteString(usual)
		}
		b.WriteString("\n")
	}
	return b.String()
}
