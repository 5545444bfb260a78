package web_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var variable = regexp.MustCompile(`--([a-z0-9-]+):\s*#([0-9a-f]{6});`)

// luminance returns the relative luminance of a colour as WCAG 2 defines it.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}

// TestContrast holds the colours of text, and of what surrounds fields, to level AA of WCAG 2, light and dark.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("page/style.css")
	if err != nil {
		t.Fatal(err)
	}
	before, dark, ok := strings.Cut(string(css), "prefers-color-scheme: dark")
	if !ok {
		t.Fatal("no dark colours")
	}
	colors := map[string]string{}
	for _, theme := range []string{before, dark} {
		for _, found := range variable.FindAllStringSubmatch(theme, -1) {
			colors[found[1]] = found[2] // the dark ones are laid over the light ones
		}
		for _, tt := range []struct {
			front, back string
			least       float64
		}{
			{"ink", "card", 4.5},
			{"ink", "paper", 4.5},
			{"faint", "card", 4.5},
			{"faint", "paper", 4.5},
			{"link", "card", 4.5},
			{"link", "paper", 4.5},
			{"on-button", "button", 4.5},
			{"field", "card", 3},
			{"field", "paper", 3},
		} {
			a, b := luminance(t, colors[tt.front]), luminance(t, colors[tt.back])
			if got := (max(a, b) + 0.05) / (min(a, b) + 0.05); got < tt.least {
				t.Errorf("%s (#%s) on %s (#%s): %.2f, want %v", tt.front, colors[tt.front], tt.back, colors[tt.back], got, tt.least)
			}
		}
	}
	// These are the same everywhere in walkd.
	for name, want := range map[string]string{"b0": "9aa3af", "b1": "e69f00", "b2": "009e73", "b3": "0072b2", "alternative": "cc79a7"} {
		if colors[name] != want {
			t.Errorf("%s is #%s, want #%s", name, colors[name], want)
		}
	}
}
