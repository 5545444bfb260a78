package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Problem is a mistake in a config file.
type Problem struct {
	File   string
	Line   int    // from 1; 0 if the file has no line for it
	Column int    // from 1; 0 except for mistakes in the TOML itself
	Key    string // like person[0].source[1].name; "" for mistakes in the TOML itself
	What   string // what was found and is wrong with it
	Want   string // what is wanted instead; may be ""
	// DidYouMean is what the person probably meant; may be "".
	DidYouMean string
}

// Error returns the problem in one line: "file:line: key: what: want this (did you mean that?)".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	for _, n := range []int{p.Line, p.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.What)
	if p.Want != "" {
		b.WriteString(": want " + p.Want)
	}
	if p.DidYouMean != "" {
		b.WriteString(" (did you mean " + p.DidYouMean + "?)")
	}
	return b.String()
}

// Problems are all the mistakes in a config file, in the order of their lines.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

func (l *loader) problem(key, what, want string) { l.problemMeaning(key, what, want, "") }

// problemMeaning reports a problem with key, unless one was: the first is the cause of the others.
func (l *loader) problemMeaning(key, what, want, didYouMean string) {
	if slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Key == key }) {
		return
	}
	l.problems = append(l.problems, Problem{l.file, l.line(key), 0, key, what, want, didYouMean})
}

func (l *loader) warn(key, what, want string) {
	l.warnings = append(l.warnings, Problem{l.file, l.line(key), 0, key, what, want, ""})
}

func (l *loader) sort() {
	for _, list := range [][]Problem{l.problems, l.warnings} {
		slices.SortStableFunc(list, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
		})
	}
}

// quote returns s in quotes, on one line and not too long.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// list returns the words as "a", "b" or "c".
func list(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	if n := len(quoted); n > 1 {
		return strings.Join(quoted[:n-1], ", ") + " or " + quoted[n-1]
	}
	return strings.Join(quoted, "")
}

// nearest returns the one of words that s is probably a misspelling of, or "".
func nearest(s string, words []string) string {
	if len(s) > 64 { // longer than any word, and comparing takes time
		return ""
	}
	best, least := "", 1+max(1, min(3, len(s)/3))
	for _, w := range words {
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance returns how many letters have to be inserted, left out, replaced or swapped with their neighbour to make b
// of a.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			replace := rows[i-1][j-1]
			if x[i-1] != y[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
