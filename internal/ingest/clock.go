package ingest

import "time"

// Local returns the instant at which clocks in zone showed the date and time that wall shows in UTC. A time that the
// clocks showed twice is taken as the first. A time that they skipped is read with the offset in force before the
// change, which moves it past the gap by the gap's length (02:30 becomes 03:30), and skipped is true.
func Local(wall time.Time, zone *time.Location) (t time.Time, skipped bool) {
	y, mo, d := wall.Date()
	h, mi, s := wall.Clock()
	guess := time.Date(y, mo, d, h, mi, s, wall.Nanosecond(), zone)
	// time.Date promises one of the two offsets around a change, not which. Ask for both.
	_, offset := guess.Zone()
	first := wall.Add(-time.Duration(offset) * time.Second)
	skipped = !shows(first, wall, zone)
	if start, _ := guess.ZoneBounds(); !start.IsZero() {
		_, before := start.Add(-time.Second).Zone()
		if u := wall.Add(-time.Duration(before) * time.Second); shows(u, wall, zone) && (skipped || u.Before(first)) {
			first, skipped = u, false
		}
	}
	if skipped {
		// The guess used the offset before the gap and shows a later time, or that after it and shows an earlier one.
		_, shown := guess.Zone()
		showing := guess.UTC().Add(time.Duration(shown) * time.Second)
		first = guess.UTC()
		if showing.Before(wall) {
			first = first.Add(wall.Sub(showing))
		}
	}
	return first.UTC(), skipped
}

// shows reports whether clocks in zone show wall at t.
func shows(t, wall time.Time, zone *time.Location) bool {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second).Equal(wall)
}
