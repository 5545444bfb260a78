package influx

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tagText returns s as a tag value that line protocol can carry. Control characters, which would end the line, are
// spelled as in Go (\n, \x00), what is not UTF-8 becomes U+FFFD, and a backslash at the end, which would swallow the
// separator behind it, gets a space behind it.
func tagText(s string) string {
	clean := utf8.ValidString(s) && !strings.HasSuffix(s, `\`)
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= ' ' && s[i] != 0x7f
	}
	if clean {
		return s
	}
	var b []byte
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if r < ' ' || r == 0x7f {
			q := strconv.QuoteRune(r)
			b = append(b, q[1:len(q)-1]...)
			continue
		}
		b = utf8.AppendRune(b, r)
	}
	if b[len(b)-1] == '\\' {
		b = append(b, ' ')
	}
	return string(b)
}

// appendTag appends ",key=value" with value escaped, or nothing if value is empty.
func appendTag(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',')
	b = append(b, key...)
	b = append(b, '=')
	value = tagText(value)
	for i := 0; i < len(value); i++ {
		if c := value[i]; c == ',' || c == '=' || c == ' ' {
			b = append(b, '\\')
		}
		b = append(b, value[i])
	}
	return b
}

// appendString appends s as the value of a string field.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, ' ')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// appendFloat appends f as the value of a float field, with the shortest digits that give f back. What is not finite
// cannot be written and becomes zero.
func appendFloat(b []byte, f float64) []byte {
	if i := int64(f); float64(i) == f && i > -1<<53 && i < 1<<53 {
		return strconv.AppendInt(b, i, 10)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, '0')
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// appendInt appends i as the value of an integer field.
func appendInt(b []byte, i int64) []byte { return append(strconv.AppendInt(b, i, 10), 'i') }

// appendBit appends 1i or 0i.
func appendBit(b []byte, v bool) []byte {
	if v {
		return append(b, "1i"...)
	}
	return append(b, "0i"...)
}

// appendTime ends the line with the time in seconds.
func appendTime(b []byte, unix int64) []byte {
	b = append(b, ' ')
	b = strconv.AppendInt(b, unix, 10)
	return append(b, '\n')
}
