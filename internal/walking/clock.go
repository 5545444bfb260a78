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

// A WallRange is a stretch of the day on the person's clock, From inclusive, To exclusive. If To is not after From it
// runs past midnight into the next day.
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

// first and last return the first and the last instant at which the clock shows w on d. A skipped time moves to the
// instant after the gap.
func (z Timeline) first(d Day, w WallTime) time.Time { return z.edge(d, w, false) }
func (z Timeline) last(d Day, w WallTime) time.Time  { return z.edge(d, w, true) }

func (z Timeline) edge(d Day, w WallTime, last bool) time.Time {
	if at := z.Clock(d, w); len(at) > 0 {
		if last {
			return at[len(at)-1]
		}
		return at[0]
	}
	midnight := d.utc()
	var end time.Time
	for _, s := range z.Spans(d) {
		for _, c := range z.clockSpans(s) {
			if c.Start.Add(c.offset).Sub(midnight) > time.Duration(w)*time.Minute {
				return c.Start
			}
			end = c.End
		}
	}
	return end
}

// Range returns the stretch of instants that r covers when it begins on d, following the person's clock: a skipped time
// moves past the gap; a repeated one begins at its first and ends at its second occurrence. It is empty if the person's
// calendar has no such day.
func (z Timeline) Range(d Day, r WallRange) Window {
	end := d
	if r.To <= r.From {
		end++
	}
	w := Window{z.first(d, r.From), z.last(end, r.To)}
	if w.End.Before(w.Start) {
		w.End = w.Start
	}
	return w
}

// Waking returns the instants of d outside of the quiet hours.
func (z Timeline) Waking(d Day, quiet WallRange) []Window {
	day := windowSpans(z.Spans(d))
	var asleep []span
	for _, q := range []Window{z.Range(d-1, quiet), z.Range(d, quiet)} {
		if !q.Empty() {
			asleep = append(asleep, span{q.Start.UnixNano(), q.End.UnixNano()})
		}
	}
	slices.SortFunc(asleep, func(a, b span) int { return int(min(max(a.start-b.start, -1), 1)) })
	var out []Window
	for _, s := range subtractSpans(day, joinSpans(asleep, 0)) {
		out = append(out, Window{time.Unix(0, s.start).UTC(), time.Unix(0, s.end).UTC()})
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
	entered := NewTimeline(home, entries...)
	sorted := slices.Clone(offsets)
	slices.SortStableFunc(sorted, func(a, b OffsetAt) int { return a.At.Compare(b.At) })
	out := slices.Clone(entries)
	var (
		away    bool // a journey is in force
		offset  int  // its offset
		pending *OffsetAt
	)
	for i, o := range sorted {
		if !sameZone(entered.At(o.At), home) {
			away, pending = false, nil
			continue
		}
		_, homeOffset := o.At.In(home).Zone()
		inForce := homeOffset
		if away {
			inForce = offset
		}
		switch {
		case o.Offset == inForce:
			pending = nil
		case pending == nil || pending.Offset != o.Offset:
			pending = &sorted[i]
		default:
			zone := home
			if away = o.Offset != homeOffset; away {
				zone, offset = fixedZone(o.Offset), o.Offset
			}
			out = append(out, ZoneChange{pending.At, zone})
			pending = nil
		}
	}
	return out
}

func fixedZone(offset int) *time.Location {
	return time.FixedZone(time.Unix(0, 0).In(time.FixedZone("", offset)).Format("-07:00"), offset)
}

// ParseZone returns the zone of an IANA name, or of a fixed offset in the form +05:30.
func ParseZone(name string) (*time.Location, error) {
	if t, err := time.Parse("-07:00", name); err == nil {
		_, offset := t.Zone()
		return fixedZone(offset), nil
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
