package applehealth

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// text returns the text of a raw attribute value: references replaced, control characters and what is not UTF-8 left
// out. A reference that cannot be resolved stands for itself.
func text(raw []byte) string {
	if !bytes.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == '&' || r == utf8.RuneError }) {
		return string(raw)
	}
	var b strings.Builder
	for len(raw) > 0 {
		if raw[0] == '&' {
			if r, n := reference(raw); n > 0 {
				if r >= ' ' || r == '\t' || r == '\n' || r == '\r' {
					b.WriteRune(r)
				}
				raw = raw[n:]
				continue
			}
		}
		r, n := utf8.DecodeRune(raw)
		if r >= ' ' && (r != utf8.RuneError || n > 1) || r == '\t' || r == '\n' || r == '\r' {
			b.Write(raw[:n])
		}
		raw = raw[n:]
	}
	return b.String()
}

// reference resolves the entity or character reference at the front of b and returns its length, 0 if it is none.
func reference(b []byte) (rune, int) {
	end := bytes.IndexByte(b[:min(len(b), 12)], ';')
	if end < 2 {
		return 0, 0
	}
	switch name := string(b[1:end]); name {
	case "lt":
		return '<', end + 1
	case "gt":
		return '>', end + 1
	case "amp":
		return '&', end + 1
	case "quot":
		return '"', end + 1
	case "apos":
		return '\'', end + 1
	default:
		digits, ok := strings.CutPrefix(name, "#")
		if !ok {
			return 0, 0
		}
		base := 10
		if hex, ok := strings.CutPrefix(digits, "x"); ok {
			digits, base = hex, 16
		}
		n, err := strconv.ParseUint(digits, base, 32)
		if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return 0, 0
		}
		return rune(n), end + 1
	}
}

var errForm = errors.New("not of the form wanted")

// parseTime reads a time of the form "2006-01-02 15:04:05 -0700". It returns the instant in UTC and the offset in
// seconds east.
func parseTime(raw []byte) (time.Time, int, error) {
	if t, offset, ok := scanTime(raw); ok {
		return t, offset, nil
	}
	if t, offset, ok := scanTime([]byte(text(raw))); ok { // without control characters and references
		return t, offset, nil
	}
	return time.Time{}, 0, errForm
}

func scanTime(b []byte) (t time.Time, offset int, ok bool) {
	if len(b) != len("2006-01-02 15:04:05 -0700") || b[4] != '-' || b[7] != '-' || b[10] != ' ' ||
		b[13] != ':' || b[16] != ':' || b[19] != ' ' || b[20] != '-' && b[20] != '+' {
		return time.Time{}, 0, false
	}
	ok = true
	two := func(i int) int {
		x, y := b[i]-'0', b[i+1]-'0'
		ok = ok && x <= 9 && y <= 9
		return int(x)*10 + int(y)
	}
	year, month, day := two(0)*100+two(2), two(5), two(8)
	hour, minute, second := two(11), two(14), two(17)
	zh, zm := two(21), two(23)
	if !ok || month < 1 || month > 12 || day < 1 || day > 31 || day > 28 && day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 || zh > 18 || zm > 59 {
		return time.Time{}, 0, false
	}
	offset = zh*3600 + zm*60
	if b[20] == '-' {
		offset = -offset
	}
	unix := daysSinceEpoch(year, month, day)*86400 + int64(hour*3600+minute*60+second-offset)
	return time.Unix(unix, 0).UTC(), offset, true
}

// daysSinceEpoch counts the days from 1970-01-01 in the Gregorian calendar, with years that start in March so that
// the day of a leap year comes last.
func daysSinceEpoch(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468)
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// parseNumber reads a decimal number.
func parseNumber(raw []byte) (float64, error) {
	if n := len(raw); n > 0 && n <= 15 { // mostly it is a small whole number
		var sum int64
		for _, c := range raw {
			if c < '0' || c > '9' {
				return strconv.ParseFloat(text(raw), 64)
			}
			sum = sum*10 + int64(c-'0')
		}
		return float64(sum), nil
	}
	return strconv.ParseFloat(text(raw), 64)
}

// wrong says that an attribute is missing or not what is wanted.
func wrong(name string, raw []byte, there bool, want string) error {
	if !there {
		return fmt.Errorf("%s is missing: want %s", name, want)
	}
	s := text(raw)
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return fmt.Errorf("%s is %q: want %s", name, s, want)
}
