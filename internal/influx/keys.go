package influx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/walkd/walkd/internal/walking"
)

// keysVersion is the first byte of remembered keys. A change of the form gets the next number; the old ones stay
// readable.
const keysVersion = 1

// maxKeys bounds what remembered keys may claim to hold, so that damaged ones cannot exhaust memory. A dozen streams
// with a record every second of a day stay below it.
const maxKeys = 1 << 20

// farthest bounds how far a remembered time may lie from its day, in seconds.
const farthest = 1 << 40

// series are the points of one series. Which tags a and b stand for depends on the measurement; what follows from the
// person and the day is left out. All 24 series of walk_hour are one.
type series struct {
	a, b  string
	times []int64 // unix seconds, ascending, each once
}

// keyset is a set of points of one measurement. No two series are the same.
type keyset []series

// reset empties the set and keeps its memory.
func (k *keyset) reset() { *k = (*k)[:0] }

// open returns the place of the series a, b, new if need be.
func (k *keyset) open(a, b string) *series {
	for i := range *k {
		if s := &(*k)[i]; s.a == a && s.b == b {
			return s
		}
	}
	if len(*k) < cap(*k) {
		*k = (*k)[:len(*k)+1]
		s := &(*k)[len(*k)-1]
		*s = series{a, b, s.times[:0]}
		return s
	}
	*k = append(*k, series{a: a, b: b})
	return &(*k)[len(*k)-1]
}

// normalize puts the times in order.
func (k keyset) normalize() {
	for i := range k {
		s := &k[i]
		for j := 1; j < len(s.times); j++ {
			if s.times[j] <= s.times[j-1] {
				slices.Sort(s.times)
				s.times = slices.Compact(s.times)
				break
			}
		}
	}
}

// times returns the times of the series a, b.
func (k keyset) times(a, b string) []int64 {
	for _, s := range k {
		if s.a == a && s.b == b {
			return s.times
		}
	}
	return nil
}

func (k keyset) has(a, b string) bool {
	return slices.ContainsFunc(k, func(s series) bool { return s.a == a && s.b == b })
}

// size returns the number of points.
func (k keyset) size() int {
	n := 0
	for _, s := range k {
		n += len(s.times)
	}
	return n
}

// span returns the earliest and the latest time, and whether there is any.
func (k keyset) span() (first, last int64, ok bool) {
	for _, s := range k {
		if n := len(s.times); n > 0 {
			if !ok || s.times[0] < first {
				first = s.times[0]
			}
			if !ok || s.times[n-1] > last {
				last = s.times[n-1]
			}
			ok = true
		}
	}
	return first, last, ok
}

// minus returns what is in k and not in o.
func (k keyset) minus(o keyset) keyset {
	return k.pick(o, false)
}

// and returns what is in both.
func (k keyset) and(o keyset) keyset {
	return k.pick(o, true)
}

func (k keyset) pick(o keyset, both bool) keyset {
	var out keyset
	for _, s := range k {
		other := o.times(s.a, s.b)
		var times []int64
		j := 0
		for _, t := range s.times {
			for j < len(other) && other[j] < t {
				j++
			}
			if (j < len(other) && other[j] == t) == both {
				times = append(times, t)
			}
		}
		if len(times) > 0 {
			out = append(out, series{s.a, s.b, times})
		}
	}
	return out
}

// or returns what is in either.
func (k keyset) or(o keyset) keyset {
	var out keyset
	for _, s := range k {
		out = append(out, series{s.a, s.b, merge(s.times, o.times(s.a, s.b))})
	}
	for _, s := range o {
		if !k.has(s.a, s.b) {
			out = append(out, series{s.a, s.b, slices.Clone(s.times)})
		}
	}
	return out
}

func merge(a, b []int64) []int64 {
	out := make([]int64, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		case a[0] > b[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// appendKeys appends k in the form that is remembered: for every series its name, the greatest unit that divides all
// distances, the first time relative to the day, and runs of points one unit apart as (distance, length). An empty
// set appends nothing.
func appendKeys(dst []byte, k keyset, day walking.Day) []byte {
	n := 0
	for _, s := range k {
		if len(s.times) > 0 {
			n++
		}
	}
	if n == 0 {
		return dst
	}
	dst = append(dst, keysVersion)
	dst = binary.AppendUvarint(dst, uint64(n))
	for _, s := range k {
		if len(s.times) == 0 {
			continue
		}
		dst = appendText(appendText(dst, s.a), s.b)
		var unit int64
		runs := 1
		for i := 1; i < len(s.times); i++ {
			if d := s.times[i] - s.times[i-1]; d != unit {
				unit = gcd(d, unit)
			}
		}
		for i := 1; i < len(s.times); i++ {
			if s.times[i]-s.times[i-1] != unit {
				runs++
			}
		}
		unit = max(unit, 1)
		dst = binary.AppendUvarint(dst, uint64(unit))
		dst = binary.AppendVarint(dst, s.times[0]-start(day))
		dst = binary.AppendUvarint(dst, uint64(runs))
		gap := int64(0)
		for i := 0; i < len(s.times); {
			j := i + 1
			for j < len(s.times) && s.times[j]-s.times[j-1] == unit {
				j++
			}
			if j-i == 1 {
				dst = binary.AppendUvarint(dst, uint64(gap)<<1)
			} else {
				dst = binary.AppendUvarint(dst, uint64(gap)<<1|1)
				dst = binary.AppendUvarint(dst, uint64(j-i-2))
			}
			if j < len(s.times) {
				gap = (s.times[j] - s.times[j-1]) / unit
			}
			i = j
		}
	}
	return dst
}

func start(d walking.Day) int64 { return int64(d) * 86400 }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// errKeys says that remembered keys cannot be read.
var errKeys = errors.New("influx: remembered keys are damaged")

// decodeKeys reads what appendKeys wrote.
func decodeKeys(b []byte, day walking.Day) (keyset, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != keysVersion {
		return nil, fmt.Errorf("%w: version %d is not known", errKeys, b[0])
	}
	r := reader{b: b[1:]}
	n := r.uvarint(uint64(len(b)))
	if n == 0 {
		return nil, errKeys
	}
	out := make(keyset, 0, min(n, 64))
	total := uint64(0)
	for range n {
		s := series{a: r.text(), b: r.text()}
		unit := int64(r.uvarint(farthest))
		t := start(day) + r.varint()
		runs := r.uvarint(uint64(len(b)))
		if r.bad || unit == 0 || runs == 0 || out.has(s.a, s.b) {
			return nil, errKeys
		}
		for i := range runs {
			head := r.uvarint(2 * farthest)
			count := uint64(1)
			if head&1 == 1 {
				count = r.uvarint(maxKeys) + 2
			}
			gap := int64(head >> 1)
			total += count
			if r.bad || (gap == 0) != (i == 0) || total > maxKeys || (gap+int64(count)) > farthest/unit {
				return nil, errKeys
			}
			t += gap * unit
			for range count {
				s.times = append(s.times, t)
				t += unit
			}
			t -= unit
			if t > start(day)+4*farthest {
				return nil, errKeys
			}
		}
		out = append(out, s)
	}
	if r.bad || len(r.b) > 0 {
		return nil, errKeys
	}
	return out, nil
}

// reader reads numbers and texts until something is wrong.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v > farthest || v < -farthest {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string {
	n := r.uvarint(uint64(len(r.b)))
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
