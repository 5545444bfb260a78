// Package simulate replays people: real recorded days, lived again, as a service on the network would tell of them. It is
// for `walkd demo` and for tests. Each simulated service has a folder of its own below.
package simulate

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

//go:embed person.csv.gz
var person []byte

// Volunteer returns 29 real days of one person, see ORIGIN.md.
func Volunteer() (*Life, error) {
	z, err := gzip.NewReader(bytes.NewReader(person))
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	hours := map[time.Time][]string{}
	var first, last time.Time
	for _, row := range rows[1:] {
		start, err := time.Parse("1/2/2006 15:04", row[1])
		if err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
		if first.IsZero() || start.Before(first) {
			first = start
		}
		if start.After(last) {
			last = start
		}
		hours[start] = row[2:]
	}
	if len(hours) == 0 {
		return nil, errors.New("simulate: there are no rows")
	}
	days := int(walking.DayOf(last.Date())-walking.DayOf(first.Date())) + 1
	steps := make([]uint8, days*minutesPerDay)
	for start, minutes := range hours {
		at := int(walking.DayOf(start.Date())-walking.DayOf(first.Date()))*minutesPerDay + start.Hour()*60
		for i, text := range minutes {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("simulate: %q steps", text)
			}
			steps[at+i] = uint8(min(n, 255))
		}
	}
	return NewLife(steps)
}
