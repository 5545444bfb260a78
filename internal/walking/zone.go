package walking

import (
	"slices"
	"time"
)

// A ZoneChange puts a zone in force from an instant on.
type ZoneChange struct {
	From time.Time // inclusive
	Zone *time.Location
}

// A Timeline is the function Z(t): the zone in force for a person at every instant. The zero Timeline is UTC.
type Timeline struct {
	home    *time.Location
	changes []ZoneChange // sorted by From, each a real change
}

// NewTimeline returns the Timeline of a person whose home zone is home and who was elsewhere as changes say, in any
// order. Before the first change the home zone is in force; of two changes at one instant the later in the list holds.
func NewTimeline(home *time.Location, changes ...ZoneChange) Timeline {
	z := Timeline{home: home}
	sorted := slices.Clone(changes)
	slices.SortStableFunc(sorted, func(a, b ZoneChange) int { return a.From.Compare(b.From) })
	inForce := z.Home()
	for i, c := range sorted {
		if i+1 < len(sorted) && sorted[i+1].From.Equal(c.From) {
			continue
		}
		if sameZone(c.Zone, inForce) {
			continue
		}
		inForce = c.Zone
		z.changes = append(z.changes, c)
	}
	return z
}

func sameZone(a, b *time.Location) bool {
	return a == b || a.String() == b.String() && a.String() != "" && a.String() != "Local"
}

// Home returns the home zone.
func (z Timeline) Home() *time.Location {
	if z.home == nil {
		return time.UTC
	}
	return z.home
}

// At returns the zone in force at t.
func (z Timeline) At(t time.Time) *time.Location {
	i, _ := slices.BinarySearchFunc(z.changes, t, func(c ZoneChange, t time.Time) int {
		if c.From.After(t) {
			return 1
		}
		return -1
	})
	if i == 0 {
		return z.Home()
	}
	return z.changes[i-1].Zone
}

// Day returns the civil date at t.
func (z Timeline) Day(t time.Time) Day {
	return DayOf(t.In(z.At(t)).Date())
}

// A clockSpan is a stretch of instants with one UTC offset.
type clockSpan struct {
	Window
	offset time.Duration // east of UTC
}

// clockSpans returns the stretches of constant offset that make up w, in order.
func (z Timeline) clockSpans(w Window) []clockSpan {
	var out []clockSpan
	for t := w.Start; t.Before(w.End); {
		zone := z.At(t)
		local := t.In(zone)
		end := w.End
		if _, next := local.ZoneBounds(); !next.IsZero() && next.Before(end) {
			end = next
		}
		if i := slices.IndexFunc(z.changes, func(c ZoneChange) bool { return c.From.After(t) }); i >= 0 && z.changes[i].From.Before(end) {
			end = z.changes[i].From
		}
		_, offset := local.Zone()
		out = append(out, clockSpan{Window{t, end.UTC()}, time.Duration(offset) * time.Second})
		t = end.UTC()
	}
	return out
}

// Spans returns all instants whose date is d, as disjoint windows in order. There is one of 23 to 25 hours on most
// days. Travel, and the rare zones that set their clocks back across midnight, make two or more, or none.
func (z Timeline) Spans(d Day) []Window {
	midnight := d.utc() // the date in UTC; no zone is more than 15 hours away from it
	var out []Window
	for _, c := range z.clockSpans(Window{midnight, midnight.AddDate(0, 0, 1)}.Widen(24 * time.Hour)) {
		w := Window{midnight.Add(-c.offset), midnight.AddDate(0, 0, 1).Add(-c.offset)}
		if w.Start.Before(c.Start) {
			w.Start = c.Start
		}
		if w.End.After(c.End) {
			w.End = c.End
		}
		if w.Empty() {
			continue
		}
		if n := len(out); n > 0 && out[n-1].End.Equal(w.Start) {
			out[n-1].End = w.End
			continue
		}
		out = append(out, w)
	}
	return out
}

// Hours returns how long d lasts in hours: usually 23 to 25, on travel anything from 0 to about 48.
func (z Timeline) Hours(d Day) float64 {
	var sum time.Duration
	for _, w := range z.Spans(d) {
		sum += w.Duration()
	}
	return sum.Hours()
}

// End returns the exclusive end of d: the first instant after which no instant has that date. It is zero if no
// instant has.
func (z Timeline) End(d Day) time.Time {
	spans := z.Spans(d)
	if len(spans) == 0 {
		return time.Time{}
	}
	return spans[len(spans)-1].End
}

// Equal reports whether z and o put the same zones in force at the same instants.
func (z Timeline) Equal(o Timeline) bool {
	return sameZone(z.Home(), o.Home()) && slices.EqualFunc(z.changes, o.changes, func(a, b ZoneChange) bool {
		return a.From.Equal(b.From) && sameZone(a.Zone, b.Zone)
	})
}
