package main

import (
	"image"
	colors "image/color"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// screen is a picture of what a terminal shows: every character is as wide as half of its height.
func screen(t *testing.T, text string, background, ink colors.Gray) image.Image {
	t.Helper()
	const dot = 4 // pixels of half a character's height
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	width := 0
	for _, line := range lines {
		width = max(width, len([]rune(ansi.ReplaceAllString(line, ""))))
	}
	const margin = 6
	picture := image.NewGray(image.Rect(0, 0, (width+2*margin)*dot, (2*len(lines)+2*margin)*dot))
	for i := range picture.Pix {
		picture.Pix[i] = background.Y
	}
	fill := func(x, y int, c colors.Gray) {
		for dy := range dot {
			for dx := range dot {
				picture.SetGray((x+margin)*dot+dx, (y+margin)*dot+dy, c)
			}
		}
	}
	for y, line := range lines {
		paper, pen := background, ink
		if strings.HasPrefix(line, "\x1b[38;5;16m\x1b[48;5;231m") && strings.HasSuffix(line, "\x1b[0m") {
			paper, pen = colors.Gray{255}, colors.Gray{0}
		}
		for x, r := range []rune(ansi.ReplaceAllString(line, "")) {
			upper, lower := paper, paper
			switch r {
			case '█':
				upper, lower = pen, pen
			case '▀':
				upper = pen
			case '▄':
				lower = pen
			case ' ':
			default:
				t.Fatalf("%q is no part of a code", r)
			}
			fill(x, 2*y, upper)
			fill(x, 2*y+1, lower)
		}
	}
	return picture
}

var ansi = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// scan reads the code in a picture, as a phone does.
func scan(t *testing.T, picture image.Image) string {
	t.Helper()
	bits, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	found, err := qrcode.NewQRCodeReader().Decode(bits, nil)
	if err != nil {
		return err.Error()
	}
	return found.GetText()
}

// longAddress returns an address with as many characters.
func longAddress(n int) string {
	text := "https://accounts.example.org/o/oauth2/v2/auth?redirect_uri=http%3A%2F%2Flocalhost%3A8098%2Foauth%2Fcallback&state="
	for i := 0; len(text) < n; i++ {
		text += string("ABCdef-_%3467890"[i%16])
	}
	return text[:n]
}

// TestQRCode scans codes of every size from terminals of all kinds.
func TestQRCode(t *testing.T) {
	black, white, dark, light := colors.Gray{0}, colors.Gray{255}, colors.Gray{40}, colors.Gray{220}
	for _, tt := range []struct {
		name            string
		inColor         bool
		background, ink colors.Gray
	}{
		{"colours on black", true, black, white},
		{"colours on white", true, white, black},
		{"colours on a dark theme", true, dark, light},
		{"colours on a light theme", true, light, dark},
		{"no colours on black", false, black, white},
		{"no colours on a dark theme", false, dark, light},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{60, 250, 300, 425, 458, 554, 600} {
				for quiet := leastQuiet; quiet <= quietZone; quiet++ {
					want := longAddress(n)
					code, err := newQRCode(want)
					if err != nil {
						t.Fatal(err)
					}
					if got := scan(t, screen(t, code.draw(quiet, tt.inColor), tt.background, tt.ink)); got != want {
						t.Errorf("%d characters, %d around: scanned %q", n, quiet, got)
					}
				}
			}
		})
	}
}

// TestQRCodeFits looks at which windows are large enough for which addresses, and what is said where they are not.
func TestQRCodeFits(t *testing.T) {
	for _, tt := range []struct {
		name           string
		columns, lines int
		term, noColor  string
		length         int
		want           string // in what is printed, or "code" for one that can be scanned, or "" for nothing
	}{
		{"80 columns", 80, 45, "xterm-256color", "", 425, "code"},
		{"the largest for 80 by 45", 80, 45, "xterm-256color", "", 458, "code"},
		{"too narrow by a version", 80, 60, "xterm-256color", "", 460, "A window of 81 columns and 46 lines would show it"},
		{"Google's address in 80 by 40", 80, 40, "xterm-256color", "", 554, "A window of 85 columns and 48 lines would show it"},
		{"Google's address", 85, 48, "xterm-256color", "", 554, "code"},
		{"a usual window", 80, 24, "xterm-256color", "", 300, "A window of 65 columns and 38 lines would show it"},
		{"lines unknown", 100, 0, "xterm-256color", "", 554, "code"},
		{"columns unknown", 0, 0, "xterm-256color", "", 425, "code"},
		{"no colours wanted", 100, 50, "xterm-256color", "1", 300, "code"},
		{"16 colours", 100, 50, "xterm", "", 300, "code"},
		{"a dumb terminal", 100, 50, "dumb", "", 300, ""},
		{"no terminal", -1, 0, "xterm-256color", "", 300, ""},
		{"more than any code holds", 1000, 1000, "xterm-256color", "", 3000, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _, said := newMachine(t, "").app()
			a.env.Getenv = func(name string) string {
				return map[string]string{"TERM": tt.term, "NO_COLOR": tt.noColor}[name]
			}
			a.terminal = func(out io.Writer) (int, bool) { return max(tt.columns, 0), out == a.stderr && tt.columns >= 0 }
			a.lines = func(io.Writer) int { return tt.lines }
			want := longAddress(tt.length)
			a.showCode(want)
			if tt.want != "code" {
				if got := said.String(); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
					t.Errorf("says %q, want %q", got, tt.want)
				}
				return
			}
			_, code, ok := strings.Cut(said.String(), "with a phone:\n\n")
			if got := scan(t, screen(t, strings.TrimSuffix(code, "\n"), colors.Gray{0}, colors.Gray{255})); !ok || got != want {
				t.Fatalf("scanned %q, want %q", got, want)
			}
			for i, line := range strings.Split(code, "\n") {
				if width := len([]rune(ansi.ReplaceAllString(line, ""))); tt.columns > 0 && width > tt.columns {
					t.Fatalf("line %d has %d columns", i, width)
				}
			}
			if n := strings.Count(strings.TrimSuffix(code, "\n"), "\n"); tt.lines > 0 && n > tt.lines-linesBelow {
				t.Errorf("%d lines, which leaves no room for the text below", n)
			}
		})
	}
}
