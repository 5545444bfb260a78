package pull

import (
	"hash/fnv"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// cover returns the shortest window that holds all instants of the days first … last, inclusive. On travel it can hold
// some of other days as well. It is empty if there are no such instants.
func cover(z walking.Timeline, first, last walking.Day) walking.Window {
	var w walking.Window
	for d := first; d <= last; d++ {
		for _, s := range z.Spans(d) {
			if w.Start.IsZero() || s.Start.Before(w.Start) {
				w.Start = s.Start
			}
			if s.End.After(w.End) {
				w.End = s.End
			}
		}
	}
	return w
}

// block returns the windows of as many days up to last, inclusive, as one fetch takes, but none before earliest, and the
// first of these days. The newest window comes first; there are several only if a single day is too long for a fetch.
func block(z walking.Timeline, spec ingest.Spec, earliest, last walking.Day) (first walking.Day, ws []walking.Window) {
	n := max(1, int(spec.MaxWindow/(24*time.Hour)))
	first = max(earliest, last-walking.Day(n-1))
	w := cover(z, first, last)
	if spec.Align == ingest.AlignDay || spec.MaxWindow < time.Minute {
		return first, whole(w)
	}
	for first < last && w.Duration() > spec.MaxWindow { // 25 hours in a day
		first++
		w = cover(z, first, last)
	}
	step := spec.MaxWindow.Truncate(time.Minute)
	for w.Duration() > step {
		ws = append(ws, walking.Window{Start: w.End.Add(-step), End: w.End})
		w.End = w.End.Add(-step)
	}
	return first, append(ws, whole(w)...)
}

func whole(w walking.Window) []walking.Window {
	if w.Empty() {
		return nil
	}
	return []walking.Window{w}
}

// windows returns what to fetch for the days first … last, inclusive, newest first.
func windows(z walking.Timeline, spec ingest.Spec, first, last walking.Day) []walking.Window {
	var out []walking.Window
	for last >= first {
		from, ws := block(z, spec, first, last)
		out = append(out, ws...)
		last = from - 1
	}
	return out
}

// daysOf returns the civil days that [from, to] touches: on travel the later instant can have the earlier date.
func daysOf(z walking.Timeline, from, to time.Time) (first, last walking.Day) {
	a, b := z.Day(from), z.Day(to)
	return min(a, b), max(a, b)
}

// quietAt reports whether the person's clock is in the quiet hours at t, and if so when they end.
func quietAt(z walking.Timeline, quiet walking.WallRange, t time.Time) (end time.Time, ok bool) {
	for _, w := range z.Ranges(walking.Window{Start: t, End: t.Add(24 * time.Hour)}, quiet) {
		if w.Contains(t) {
			return w.End, true
		}
	}
	return time.Time{}, false
}

// A rhythm is when one account is polled. Each account has slots of its own in the interval, so that they spread.
type rhythm struct {
	zones         walking.Timeline
	quiet         walking.WallRange
	waking, night time.Duration
	seed          uint64
}

func seed(person, source string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(person + "\x00" + source))
	return h.Sum64()
}

// next returns when to poll after a poll at last: no later than now if that is due. It may return an instant at which
// nothing is due yet and that only has to be asked about again.
func (r rhythm) next(last, now time.Time) time.Time {
	if last.IsZero() || last.After(now) { // never, or the clock was set back
		return now
	}
	end, night := quietAt(r.zones, r.quiet, now)
	interval := r.waking
	if night {
		interval = r.night
	}
	slot := r.slot(now, interval)
	if slot.After(last) {
		// A slot counts in the hours that it belongs to: else everybody's would be due when the quiet hours end.
		_, wasNight := quietAt(r.zones, r.quiet, slot)
		if wasNight == night || now.Sub(last) >= max(r.waking, r.night) {
			return now
		}
	}
	next := slot.Add(interval)
	if night && end.Before(next) {
		return end
	}
	return next
}

// slot returns the last of the account's slots that is not after t.
func (r rhythm) slot(t time.Time, interval time.Duration) time.Time {
	offset := time.Duration(r.seed % uint64(interval)).Truncate(time.Second)
	since := (time.Duration(t.UnixNano()) - offset) % interval
	if since < 0 {
		since += interval
	}
	return t.Add(-since)
}
