package google

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
)

// A filter is what the parameter of that name asks for: a range of start times, in Unix seconds, or in seconds of the
// person's clock since 1970 where it is civil.
type filter struct {
	span
	civil bool
}

// A filterError is what is wrong with a filter: Google's reasons, and a sentence for each.
type filterError struct{ reasons, descriptions []string }

func (e *filterError) Error() string { return strings.Join(e.descriptions, " ") }

func (e *filterError) add(reason, format string, a ...any) {
	e.reasons = append(e.reasons, "INVALID_DATA_POINT_FILTER_"+reason)
	e.descriptions = append(e.descriptions, fmt.Sprintf(format, a...))
}

// restriction is one comparison at the beginning of what is left of a filter.
func restriction() *regexp.Regexp {
	return regexp.MustCompile(`^\s*([A-Za-z_][\w.]*)\s*(>=|<=|!=|=|<|>|:)\s*"([^"]*)"`)
}

// parseFilter reads the filter of a data type: comparisons of its start time by >= and <, joined by AND. Exercises can
// be asked for by the civil time alone.
func parseFilter(text, dataType string) (filter, error) {
	f := filter{span: span{math.MinInt64, math.MaxInt64}}
	if strings.TrimSpace(text) == "" {
		return f, nil
	}
	field := strings.ReplaceAll(dataType, "-", "_")
	members := map[string]bool{field + ".interval.civil_start_time": true} // by name: civil
	if dataType != "exercise" {
		members[field+".interval.start_time"] = false
	}
	bad := &filterError{}
	kinds := map[bool]bool{}
	pattern := restriction()
	rest, column := text, 1
	for {
		m := pattern.FindStringSubmatch(rest)
		if m == nil {
			bad.add("SYNTAX", "Invalid filter expression. (at line 1, column %d)", column)
			return f, bad
		}
		name, operator, literal := m[1], m[2], m[3]
		civil, known := members[name]
		switch {
		case !known:
			bad.add("DATA_TYPE_MEMBER", "Member '%s' is not supported for filtering. (at line 1, column %d)", name, column)
		case operator != ">=" && operator != "<":
			bad.add("OPERATOR", "Operator '%s' is not supported for member '%s'. (at line 1, column %d)", operator, name,
				column)
		default:
			at, err := parseBound(literal, civil)
			if err != nil {
				bad.add("TIME_LITERAL", "'%s' is not a valid time for member '%s'. (at line 1, column %d)", literal, name,
					column)
				break
			}
			kinds[civil], f.civil = true, civil
			if operator == ">=" {
				f.from = max(f.from, at)
			} else {
				f.to = min(f.to, at)
			}
		}
		column += len(m[0])
		if rest = rest[len(m[0]):]; strings.TrimSpace(rest) == "" {
			break
		}
		after, ok := strings.CutPrefix(strings.TrimLeft(rest, " "), "AND ")
		if !ok {
			bad.add("SYNTAX", "Only AND may join restrictions. (at line 1, column %d)", column)
			return f, bad
		}
		column += len(rest) - len(after)
		rest = after
	}
	if len(kinds) > 1 {
		bad.add("MIXED_TIME_RESTRICTIONS", "Physical and civil time restrictions cannot be mixed.")
	}
	if len(bad.reasons) > 0 {
		return f, bad
	}
	return f, nil
}

// parseBound returns the first whole second that is not before a literal.
func parseBound(literal string, civil bool) (int64, error) {
	layouts := []string{time.RFC3339Nano}
	if civil {
		layouts = []string{time.DateOnly, "2006-01-02T15:04:05"}
	}
	var t time.Time
	var err error
	for _, layout := range layouts {
		if t, err = time.Parse(layout, literal); err == nil {
			return t.Add(time.Second - 1).Unix(), nil
		}
	}
	return 0, err
}

// spans returns the instants that f asks w for, in order. The caller holds w.mu.
func (f filter) spans(w *Walker, v view) []span {
	all := v.clip(w, span{math.MinInt64, math.MaxInt64})
	if !f.civil {
		return []span{v.clip(w, f.span)}
	}
	var out []span
	for _, s := range w.stays(all) {
		// the bounds are far from the ends of int64, or at them
		from, to := s.from, s.to
		if f.from != math.MinInt64 {
			from = max(from, f.from-s.offset)
		}
		if f.to != math.MaxInt64 {
			to = min(to, f.to-s.offset)
		}
		if from < to {
			out = append(out, span{from, to})
		}
	}
	return out
}
