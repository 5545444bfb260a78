package walking

import (
	"fmt"
	"slices"
	"time"
)

// A WallTime is a time of day on the person's clock, in minutes since 00:00, from 0 to 1440 (24:00).
type WallTime int

// ParseWallTime reads a time of day of the form 15:04.
func ParseWallTime(s string) (WallTime, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		if s == "24:00" {
			return 1440, nil
		}
		return 0, fmt.Errorf("%q is not a time of day: want HH:MM, like 21:30", s)
	}
	return WallTime(t.Hour()*60 + t.Minute()), nil
}

// String returns the time of day as 15:04.
func (w WallTime) String() string { return fmt.Sprintf("%02d:%02d", int(w)/60, int(w)%60) }

// A WallRange is a stretch of the day on the person's clock, From inclusive, To exclusive. If To is before From it runs
// past midnight into the next day; if they are the same it is empty. 00:00-24:00 is all day.
type WallRange struct{ From, To WallTime }

// String returns the range as 21:30-08:00.
func (r WallRange) String() string { return r.From.String() + "-" + r.To.String() }

// Clock returns the instants at which the person's clock shows w on d: one on most days, two where the clock is set
// back over it, none where it is skipped.
func (z Timeline) Clock(d Day, w WallTime) []time.Time {
	var out []time.Time
	midnight := d.utc()
	for _, s := range z.Spans(d) {
		for _, c := range z.clockSpans(s) {
			t := midnight.Add(time.Duration(w)*time.Minute - c.offset)
			// 24:00 is the end of the day and outside of it.
			if c.Contains(t) || w == 1440 && t.Equal(c.End) {
				out = append(out, t)
			}
		}
	}
	return out
}

// after returns the first instant from t on at which the clock shows w on d, or has just moved past it.
func (z Timeline) after(d Day, w WallTime, t time.Time) time.Time {
	wall := d.utc().Add(time.Duration(w) * time.Minute)
	spans := z.clockSpans(Window{d.utc(), d.utc()}.Widen(maxClockSpan))
	for i, c := range spans {
		at := wall.Add(-c.offset)
		if at.Before(c.Start) && (i == 0 || !wall.Before(spans[i-1].End.Add(spans[i-1].offset))) {
			at = c.Start // the clock jumped over w
		}
		if c.Contains(at) && !at.Before(t) {
			return at
		}
	}
	return t
}

// maxClockSpan is how far from midnight UTC of a date any zone can show that date, with room for a journey.
const maxClockSpan = 48 * time.Hour

// Ranges returns the instants of w at which the person's clock is inside r, as disjoint windows in order. Where the
// clock is set forward over an edge of r, the edge moves past the gap; where it is set back over one, r begins at the
// first occurrence and ends at the second. After a journey the clock of the new zone counts from the arrival on.
func (z Timeline) Ranges(w Window, r WallRange) []Window {
	var out []Window
	for _, s := range z.ranges(w.Widen(maxClockSpan), r) {
		if s.Start.Before(w.Start) {
			s.Start = w.Start
		}
		if s.End.After(w.End) {
			s.End = w.End
		}
		if s.Empty() {
			continue
		}
		if n := len(out); n > 0 && !out[n-1].End.Before(s.Start) {
			out[n-1].End = s.End
			continue
		}
		out = append(out, s.Window)
	}
	return out
}

// Range returns the first stretch that r covers in the night, or day, that begins on d; by the rules of Ranges. It is
// empty if there is none.
func (z Timeline) Range(d Day, r WallRange) Window {
	for _, s := range z.ranges(Window{d.utc(), d.utc()}.Widen(2*maxClockSpan), r) {
		if s.begins == d {
			return s.Window
		}
	}
	return Window{}
}

// A daySpan is a stretch of a WallRange and the date on which it would have begun.
type daySpan struct {
	Window
	begins Day
}

// setBack is the most by which a clock is set back, rather than moved to another part of the world.
const setBack = 3 * time.Hour

// ranges returns the stretches of r in w and for some time beyond.
func (z Timeline) ranges(w Window, r WallRange) []daySpan {
	length := time.Duration(r.To-r.From) * time.Minute
	if length < 0 {
		length += 24 * time.Hour
	}
	var (
		out  []daySpan
		last clockSpan
	)
	for _, c := range z.clockSpans(w) {
		back := last.offset - c.offset
		if last.Empty() || back < 0 || back > setBack {
			back = 0
		}
		for d := Day(floorDiv(c.Start.Add(c.offset).Unix(), 86400)) - 1; ; d++ {
			start := d.utc().Add(time.Duration(r.From)*time.Minute - c.offset)
			if !start.Before(c.End) {
				break
			}
			s := daySpan{Window{start, start.Add(length)}, d}
			if s.Start.Before(c.Start) {
				s.Start = c.Start
			}
			if s.End.After(c.End) {
				s.End = c.End
			}
			if s.Empty() {
				continue
			}
			// The same night on both sides of a change of the clock is one stretch, and a hole that a repeated hour
			// tears into it is none.
			n := len(out)
			if n > 0 && out[n-1].begins == d && s.Start.Sub(out[n-1].End) <= back && !s.Start.Add(-back).After(c.Start) {
				out[n-1].End = s.End
				continue
			}
			out = append(out, s)
		}
		last = c
	}
	return out
}

// Waking returns the instants of d outside of the quiet hours.
func (z Timeline) Waking(d Day, quiet WallRange) []Window {
	var out []Window
	for _, day := range z.Spans(d) {
		var asleep []span
		for _, w := range z.Ranges(day, quiet) {
			asleep = append(asleep, w.span())
		}
		for _, s := range subtractSpans(nil, []span{day.span()}, asleep) {
			out = append(out, s.window())
		}
	}
	return out
}

// An OffsetAt is the UTC offset that a record told for where it was made.
type OffsetAt struct {
	At     time.Time
	Offset int // seconds east of UTC
}

// Travel reads journeys from the offsets of a stream that tells them reliably. entries are the zones that the person
// entered; they overrule the offsets for as long as they name a zone other than home. An offset equal to that of the
// home zone at the time changes nothing, or ends a journey; another one applies once two records in a row agree on it,
// from the first of them. The result are all changes, entries included, for NewTimeline.
func Travel(home *time.Location, entries []ZoneChange, offsets []OffsetAt) []ZoneChange {
	sorted := slices.Clone(offsets)
	slices.SortStableFunc(sorted, func(a, b OffsetAt) int { return a.At.Compare(b.At) })
	out := slices.Clone(entries)
	t := NewTraveler(home, entries)
	for _, o := range sorted {
		if c, ok := t.Next(o); ok {
			out = append(out, c)
		}
	}
	return out
}

// A Traveler reads journeys from one offset at a time, by the rules of Travel.
type Traveler struct {
	home    *time.Location
	entered Timeline
	entries []ZoneChange // in order
	next    int          // entries[next] is the first after the last offset
	away    bool         // a journey is in force
	offset  int          // its offset
	waiting bool         // pending waits for another offset that agrees
	pending OffsetAt
}

// NewTraveler returns a Traveler that has been told no offset yet.
func NewTraveler(home *time.Location, entries []ZoneChange) *Traveler {
	t := &Traveler{home: home, entered: NewTimeline(home, entries...), entries: slices.Clone(entries)}
	slices.SortStableFunc(t.entries, func(a, b ZoneChange) int { return a.From.Compare(b.From) })
	return t
}

// Resume puts t where it is when all offsets before at have been told and led to journeys, which are those from before
// at without the entries, in order. at must be the instant of an offset; all those at this instant come next. Of the
// offset before that, which may have been waiting for one that agrees, nothing is to be known: if they had agreed, there
// would be a journey from then on.
func (t *Traveler) Resume(journeys []ZoneChange, at time.Time) {
	t.away, t.waiting = false, false
	for t.next = 0; t.next < len(t.entries) && t.entries[t.next].From.Before(at); t.next++ {
	}
	if len(journeys) == 0 {
		return
	}
	last := journeys[len(journeys)-1]
	if t.next > 0 && t.entries[t.next-1].From.After(last.From) || sameZone(last.Zone, t.home) {
		return
	}
	t.away = true
	_, t.offset = last.From.In(last.Zone).Zone()
}

// Away reports whether a journey is in force.
func (t *Traveler) Away() bool { return t.away }

// Equal reports whether t and o, who have the same home and entries, read the same from the same offsets to come.
func (t *Traveler) Equal(o *Traveler) bool {
	return t.next == o.next && t.away == o.away && (!t.away || t.offset == o.offset) && t.waiting == o.waiting &&
		(!t.waiting || t.pending.Offset == o.pending.Offset && t.pending.At.Equal(o.pending.At))
}

// Next takes the offset that comes next. It returns the change that follows from it, which begins then or, if two
// offsets agree, at the one before; and false if none does.
func (t *Traveler) Next(o OffsetAt) (ZoneChange, bool) {
	for ; t.next < len(t.entries) && !t.entries[t.next].From.After(o.At); t.next++ {
		t.away, t.waiting = false, false // the entry says where the person is from here on
	}
	if t.next > 0 && !sameZone(t.entered.At(o.At), t.home) {
		return ZoneChange{}, false
	}
	_, homeOffset := o.At.In(t.home).Zone()
	inForce := homeOffset
	if t.away {
		inForce = t.offset
	}
	switch {
	case o.Offset == inForce:
		t.waiting = false
		if t.away && t.offset == homeOffset {
			t.away = false
			return ZoneChange{o.At, t.home}, true
		}
	case !t.waiting || t.pending.Offset != o.Offset:
		t.waiting, t.pending = true, o
	default:
		c := ZoneChange{t.pending.At, t.home}
		if t.away = o.Offset != homeOffset; t.away {
			t.offset = o.Offset
			c.Zone = FixedZone(o.Offset)
		}
		t.waiting = false
		return c, true
	}
	return ZoneChange{}, false
}

// Differs returns the smallest window outside of which z and o put the same zones in force, and false if they do so
// everywhere. Its end is zero if they differ for ever, its start if they always have.
func (z Timeline) Differs(o Timeline) (Window, bool) {
	var (
		w      Window
		differ bool
		once   bool
	)
	at := []time.Time{{}}
	for _, c := range slices.Concat(z.changes, o.changes) {
		at = append(at, c.From)
	}
	slices.SortFunc(at, time.Time.Compare)
	for _, t := range at {
		switch d := !sameZone(z.At(t), o.At(t)); {
		case d && !once:
			w.Start, differ, once = t, true, true
		case d:
			differ = true
		case differ:
			w.End, differ = t, false
		}
	}
	if differ {
		w.End = time.Time{}
	}
	return w, once
}

// FixedZone returns the zone that is always offset seconds east of UTC, called like +05:30.
func FixedZone(offset int) *time.Location {
	return time.FixedZone(time.Unix(0, 0).In(time.FixedZone("", offset)).Format("-07:00"), offset)
}

// ParseZone returns the zone of an IANA name, or of a fixed offset in the form +05:30.
func ParseZone(name string) (*time.Location, error) {
	if t, err := time.Parse("-07:00", name); err == nil {
		_, offset := t.Zone()
		return FixedZone(offset), nil
	}
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is not a time zone: want an IANA name like Europe/Oslo", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time zone: want an IANA name like Europe/Oslo", name)
	}
	return loc, nil
}
