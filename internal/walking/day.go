package walking

import (
	"fmt"
	"time"
)

// A Day is a civil date, counted in days since 1970-01-01. It carries no zone: which instants belong to it is told by
// a Timeline. Days compare and subtract like the integers they are; d+1 is the next date.
type Day int32

// DayOf returns the civil date of year, month and day in the proleptic Gregorian calendar. Values out of range are
// normalised as by time.Date.
func DayOf(year int, month time.Month, day int) Day {
	return Day(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// ParseDay reads a date of the form 2006-01-02.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a date: want YYYY-MM-DD, like 2026-03-29", s)
	}
	return Day(t.Unix() / 86400), nil
}

// Date returns the year, month and day of the month of d.
func (d Day) Date() (year int, month time.Month, day int) { return d.utc().Date() }

// Weekday returns the day of the week of d.
func (d Day) Weekday() time.Weekday { return d.utc().Weekday() }

// Monday returns the first day of the ISO week that holds d.
func (d Day) Monday() Day { return d - Day((d.Weekday()+6)%7) }

// FirstOfMonth returns the first day of the month that holds d.
func (d Day) FirstOfMonth() Day {
	y, m, _ := d.Date()
	return DayOf(y, m, 1)
}

// String returns d as 2006-01-02.
func (d Day) String() string { return d.utc().Format(time.DateOnly) }

// MarshalText returns d as 2006-01-02.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a date of the form 2006-01-02.
func (d *Day) UnmarshalText(b []byte) error {
	p, err := ParseDay(string(b))
	if err != nil {
		return err
	}
	*d = p
	return nil
}

// In returns the first instant of d in loc: midnight, or where a change of the clocks skips midnight the instant at
// which the date begins. Where a date occurs twice it is the first occurrence; a date that loc skipped altogether begins
// when the next one does.
func (d Day) In(loc *time.Location) time.Time {
	z := NewTimeline(loc)
	if spans := z.Spans(d); len(spans) > 0 {
		return spans[0].Start.In(loc)
	}
	return z.after(d, 0, time.Time{}).In(loc)
}

func (d Day) utc() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }
