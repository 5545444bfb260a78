package googlehealth

import (
	"time"

	"github.com/walkd/walkd/internal/walking"
)

const (
	minSilence = time.Hour        // without a point, from which on a device was not worn
	minRest    = 30 * time.Minute // of zeros in a row, from which on a day shows that rest is told
)

// unworn returns when the device was not on the body, as far as the records tell, which are sorted and start in w. It
// looks at each civil day by itself, so that it finds the same whatever window of whole days it is asked about. Only at
// the end of the window it knows less: what nothing follows may not have been synced yet.
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
	var out []walking.Window
	first, last := zones.Day(w.Start), zones.Day(newest)
	for d := min(first, last); d <= max(first, last); d++ {
		for _, span := range zones.Spans(d) {
			if span.Start.Before(w.Start) {
				span.Start = w.Start
			}
			if span.End.After(newest) {
				span.End = newest
			}
			for len(records) > 0 && records[0].Start.Before(span.Start) {
				records = records[1:]
			}
			n := 0
			for n < len(records) && records[n].Start.Before(span.End) {
				n++
			}
			out = append(out, silences(records[:n], span)...)
		}
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
		case r.Steps > 0:
			rest = walking.Window{}
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
