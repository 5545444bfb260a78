package googlehealth

import (
	"slices"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

const (
	minSilence = time.Hour        // without a point, from which on a device was not worn
	minRest    = 30 * time.Minute // of zeros in a row, from which on a day shows that rest is told
)

// unworn returns when the device was not on the body, as far as the records tell, which are sorted and start in w. It
// looks at each civil day by itself. So it finds the same whatever window of whole days it is asked about, and what is
// stored of a day is replaced together with the day. Only at the end of the window it knows less: what nothing follows
// may not have been synced yet.
func unworn(records []walking.Record, w walking.Window, zones walking.Timeline) []walking.Window {
	if len(records) == 0 {
		return nil
	}
	var newest time.Time
	for _, r := range records {
		if r.End().After(newest) {
			newest = r.End()
		}
	}
	var days []walking.Window
	first, last := zones.Day(w.Start), zones.Day(newest)
	for d := min(first, last) - 1; d <= max(first, last)+1; d++ { // dates are not in order on every journey
		for _, day := range zones.Spans(d) {
			if day.Start.Before(w.Start) {
				day.Start = w.Start
			}
			if day.End.After(newest) {
				day.End = newest
			}
			if !day.Empty() {
				days = append(days, day)
			}
		}
	}
	slices.SortFunc(days, func(a, b walking.Window) int { return a.Start.Compare(b.Start) })
	var out []walking.Window
	for _, day := range days {
		n := 0
		for n < len(records) && records[n].Start.Before(day.End) {
			n++
		}
		out = append(out, silences(records[:n], day)...)
		records = records[n:]
	}
	return out
}

// silences returns the stretches of a day that count as unworn, given the records that start on it.
func silences(records []walking.Record, day walking.Window) []walking.Window {
	var (
		out      []walking.Window
		told     = day.Start    // the end of what the records so far cover
		rest     walking.Window // of zeros in a row
		restTold bool
	)
	silence := func(until time.Time) {
		if until.Sub(told) >= minSilence {
			out = append(out, walking.Window{Start: told, End: until})
		}
	}
	for _, r := range records {
		silence(r.Start)
		switch {
		case r.Steps > 0: // what follows is not in a row with what was before
		case rest.Empty() || r.Start.After(rest.End):
			rest = walking.Window{Start: r.Start, End: r.End()}
		case r.End().After(rest.End):
			rest.End = r.End()
		}
		restTold = restTold || rest.Duration() >= minRest
		if r.End().After(told) {
			told = r.End()
		}
	}
	silence(day.End)
	if !restTold {
		return nil
	}
	return out
}
