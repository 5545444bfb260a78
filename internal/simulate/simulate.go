// Package simulate replays people: real recorded days, shown as if they had just happened. It is for `walkd demo` and
// for tests.
package simulate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

//go:embed person.csv.gz
var person []byte

// PersonDays is how many days Person yields, today included.
const PersonDays = 29

// Person returns 29 real days of one person (see ORIGIN.md) as a Fitabase file of minute steps, moved by whole days
// so that the last of them is today by the clock of zone. What would be after now is cut off.
func Person(now time.Time, zone *time.Location) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(person))
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	return replay(z, now.In(zone))
}

// hourLayout is how the files write times; minutes go by the same clock.
const hourLayout = "1/2/2006 15:04"

// replay turns a file with a row an hour into one with a row a minute that ends at now, by the clock of now's location.
// The times in both have no zone and are handled as if they were in UTC.
func replay(wide io.Reader, now time.Time) ([]byte, error) {
	type hour struct {
		start time.Time
		id    string
		steps []string
	}
	var hours []hour
	lines := bufio.NewScanner(wide)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ",")
		if fields[0] == "Id" {
			continue
		}
		if len(fields) != 62 {
			return nil, fmt.Errorf("simulate: a row has %d columns, want 62", len(fields))
		}
		start, err := time.Parse(hourLayout, fields[1])
		if err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
		hours = append(hours, hour{start, fields[0], fields[2:]})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	if len(hours) == 0 {
		return nil, errors.New("simulate: there are no rows")
	}
	slices.SortFunc(hours, func(a, b hour) int { return a.start.Compare(b.start) })
	end := time.Date(now.Year(), now.Month(), now.Day(), now.Hour(), now.Minute(), 0, 0, time.UTC)
	shift := int(dateOf(end) - dateOf(hours[len(hours)-1].start))
	var out bytes.Buffer
	out.WriteString("Id,ActivityMinute,Steps\n")
	for _, h := range hours {
		start := h.start.AddDate(0, 0, shift)
		for i, steps := range h.steps {
			minute := start.Add(time.Duration(i) * time.Minute)
			if minute.Add(time.Minute).After(end) {
				return out.Bytes(), nil
			}
			fmt.Fprintf(&out, "%s,%s,%s\n", h.id, minute.Format(hourLayout), steps)
		}
	}
	return out.Bytes(), nil
}

func dateOf(t time.Time) walking.Day { return walking.DayOf(t.Date()) }
