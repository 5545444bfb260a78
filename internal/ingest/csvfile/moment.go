package csvfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// The forms of a time.
type form int

const (
	instant   form = iota // one instant everywhere
	localTime             // what a clock showed
	bareDate
)

// A moment is a time as it stands in a file.
type moment struct {
	form form
	// t is the instant; or the date and time in UTC that a clock showed; or the date.
	t         time.Time
	offset    int // seconds east
	hasOffset bool
}

const wantMoment = "a time like 2006-01-02T15:04:05+01:00, 2006-01-02 15:04, a date like 2006-01-02, or unix seconds"

// moment reads the field of a column.
func (d *decoder) moment(fields [][]byte, c column) (moment, error) {
	s := d.field(fields, c)
	m, ok := parseMoment(s)
	if !ok {
		return m, fmt.Errorf("%s is %q: want %s", names[c][0], shortened(s), wantMoment)
	}
	if m.form == bareDate && len(d.days.Spans(dayOf(m))) == 0 {
		return m, fmt.Errorf("%s is %s, a date that the clocks of %s skipped", names[c][0], s, d.zone)
	}
	return m, nil
}

func dayOf(m moment) walking.Day { return walking.DayOf(m.t.Date()) }

// instant returns the instant of m, the first of the date if it is one.
func (d *decoder) instant(m moment) time.Time {
	switch m.form {
	case localTime:
		t, _ := ingest.Local(m.t, d.zone)
		return t
	case bareDate:
		return d.days.Spans(dayOf(m))[0].Start.UTC()
	default:
		return m.t
	}
}

// endOf returns the exclusive end of the date m. Dates in two pieces, in zones that set their clocks back over
// midnight, are taken through the end of the second.
func (d *decoder) endOf(m moment) time.Time { return d.days.End(dayOf(m)).UTC() }

// parseMoment reads a time in any of the forms.
func parseMoment(s string) (moment, bool) {
	if strings.Trim(s, "0123456789.") == "" {
		return parseUnix(s)
	}
	if len(s) > 10 && (s[10] == 'T' || s[10] == 't') {
		s = s[:10] + " " + s[11:]
	}
	for _, layout := range [...]string{"2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return moment{form: localTime, t: t}, true
		}
	}
	for _, layout := range [...]string{
		"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02 15:04:05 Z07:00",
		"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05-0700",
	} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		_, offset := t.Zone()
		if offset < -18*3600 || offset > 18*3600 {
			return moment{}, false
		}
		m := moment{form: instant, t: t.UTC()}
		if !strings.HasSuffix(s, "Z") { // Z says that the instant is known and the local time is not
			m.offset, m.hasOffset = offset, true
		}
		return m, true
	}
	t, err := time.Parse(time.DateOnly, s)
	return moment{form: bareDate, t: t}, err == nil
}

// parseUnix reads seconds or milliseconds since 1970. Those before 1973 are more likely something else.
func parseUnix(s string) (moment, bool) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 1e8 || n >= 1e14 {
		return moment{}, false
	}
	if n < 1e11 {
		n *= 1000
	}
	return moment{form: instant, t: time.UnixMilli(int64(math.Round(n))).UTC()}, true
}
