package google

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

const (
	// dayMinutes is how many minutes of the clock a recorded day has.
	dayMinutes = 1440
	// unwornMinutes is the shortest run without a step in which a recorded person is taken to wear no device. The
	// recordings do not tell; it is an assumption of the simulation.
	unwornMinutes = 180
	// maxCount is the most steps that a minute may have.
	maxCount = 1000
)

// A walk that is long and brisk enough is recorded as an exercise.
const (
	walkMinutes = 10
	walkSteps   = 80 // in each of its minutes
	rideMinutes = 25
)

// Days are the recorded days of somebody, by minutes of the clock. They never change, and any number of Walkers can
// share them.
type Days struct {
	counts   []int16     // -1 where the device was not worn
	outdoors [][]stretch // by day, by start
}

// A stretch is what becomes an exercise: minutes of one day.
type stretch struct {
	from, length int
	ride         bool
	steps        int
}

// NewDays returns Days of one count for each minute of the clock, 1,440 a day, oldest first: steps, or -1 where the
// device was not worn. Runs of at least 10 minutes with at least 80 steps each become walks; one still time of 25
// minutes in the second half of the days becomes a bicycle ride.
func NewDays(counts []int) (*Days, error) {
	if len(counts) == 0 || len(counts)%dayMinutes != 0 {
		return nil, fmt.Errorf("google: %d minutes, want a multiple of %d", len(counts), dayMinutes)
	}
	d := &Days{counts: make([]int16, len(counts))}
	for i, c := range counts {
		if c < -1 || c > maxCount {
			return nil, fmt.Errorf("google: minute %d has %d steps, want -1 to %d", i, c, maxCount)
		}
		d.counts[i] = int16(c)
	}
	d.outdoors = make([][]stretch, d.Len())
	for i := range d.outdoors {
		d.outdoors[i] = walks(d.day(i))
	}
	for i := d.Len() / 2; i < d.Len(); i++ {
		if r, ok := ride(d.day(i)); ok {
			d.outdoors[i] = append(d.outdoors[i], r)
			slices.SortFunc(d.outdoors[i], func(a, b stretch) int { return a.from - b.from })
			break
		}
	}
	return d, nil
}

// Len returns how many days there are.
func (d *Days) Len() int { return len(d.counts) / dayMinutes }

func (d *Days) day(i int) []int16 { return d.counts[i*dayMinutes : (i+1)*dayMinutes] }

func walks(day []int16) (found []stretch) {
	for i := 0; i < len(day); i++ {
		s := stretch{from: i}
		for ; i < len(day) && day[i] >= walkSteps; i++ {
			s.length++
			s.steps += int(day[i])
		}
		if s.length >= walkMinutes {
			found = append(found, s)
		}
	}
	return found
}

// ride returns a bicycle ride in the first minutes from 8 to 20 h in which nobody steps.
func ride(day []int16) (s stretch, ok bool) {
	const morning, evening = 8 * 60, 20 * 60
	still := 0
	for i := morning; i < evening; i++ {
		if day[i] != 0 {
			still = 0
			continue
		}
		if still++; still == rideMinutes {
			return stretch{from: i + 1 - rideMinutes, length: rideMinutes, ride: true}, true
		}
	}
	return stretch{}, false
}

// RealDays returns the 29 whole days of one person that walkd ships with (see ORIGIN.md one folder up).
func RealDays() (*Days, error) {
	file, err := simulate.Recording()
	if err != nil {
		return nil, err
	}
	people, err := ReadDays(file)
	if err != nil {
		return nil, err
	}
	return people[0], nil
}

// ReadDays reads the people of a Fitabase file of minute steps with a row an hour, ordered by their IDs. A person's
// days are the dates from the first to the last row; hours without a row have no steps. The file does not tell when the
// device was worn: three hours and more without a step are taken for not worn.
func ReadDays(wide io.Reader) ([]*Days, error) {
	hours, err := readHours(wide)
	if err != nil {
		return nil, err
	}
	var people []*Days
	for len(hours) > 0 {
		n := 0
		for n < len(hours) && hours[n].id == hours[0].id {
			n++
		}
		d, err := daysOf(hours[:n])
		if err != nil {
			return nil, err
		}
		people, hours = append(people, d), hours[n:]
	}
	return people, nil
}

// An hour is a row of a Fitabase file. Its start has no zone and is handled as if it were in UTC.
type hour struct {
	start time.Time
	id    string
	steps []string
}

// readHours returns the rows by ID and start; there is at least one.
func readHours(wide io.Reader) ([]hour, error) {
	var hours []hour
	lines := bufio.NewScanner(wide)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ",")
		if fields[0] == "Id" {
			continue
		}
		if len(fields) != 62 {
			return nil, fmt.Errorf("google: a row has %d columns, want 62", len(fields))
		}
		start, err := parseHour(fields[1])
		if err != nil {
			return nil, fmt.Errorf("google: %w", err)
		}
		hours = append(hours, hour{start, fields[0], fields[2:]})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("google: %w", err)
	}
	if len(hours) == 0 {
		return nil, errors.New("google: there are no rows")
	}
	slices.SortStableFunc(hours, func(a, b hour) int {
		if a.id != b.id {
			return strings.Compare(a.id, b.id)
		}
		return a.start.Compare(b.start)
	})
	return hours, nil
}

// parseHour reads the time of a row, in either of the two forms in which the files are in circulation.
func parseHour(s string) (time.Time, error) {
	if t, err := time.Parse("1/2/2006 3:04:05 PM", s); err == nil {
		return t, nil
	}
	return time.Parse("1/2/2006 15:04", s)
}

func daysOf(hours []hour) (*Days, error) {
	first, last := dateOf(hours[0].start), dateOf(hours[len(hours)-1].start)
	counts := make([]int, int(last-first+1)*dayMinutes)
	for _, h := range hours {
		from := int(dateOf(h.start)-first)*dayMinutes + h.start.Hour()*60
		for i, text := range h.steps {
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, fmt.Errorf("google: %w", err)
			}
			counts[from+i] = n
		}
	}
	for from := 0; from < len(counts); {
		to := from
		for to < len(counts) && counts[to] == 0 {
			to++
		}
		if to-from >= unwornMinutes {
			for i := from; i < to; i++ {
				counts[i] = -1
			}
		}
		from = to + 1
	}
	return NewDays(counts)
}

func dateOf(t time.Time) walking.Day { return walking.DayOf(t.Date()) }
