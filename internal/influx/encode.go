package influx

import (
	"fmt"
	"hash/crc64"
	"math"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// encoder turns one measurement of one day into lines, and notes which points they are. It is reused, so that nothing
// is allocated for a point.
type encoder struct {
	table  *crc64.Table
	lines  []byte
	points int
	keys   keyset
	prefix []byte
}

func newEncoder() *encoder { return &encoder{table: crc64.MakeTable(crc64.ECMA)} }

func (e *encoder) reset() {
	e.lines, e.points = e.lines[:0], 0
	e.keys.reset()
}

// sum identifies the lines. It is never zero.
func (e *encoder) sum() int64 {
	if s := int64(crc64.Checksum(e.lines, e.table)); s != 0 {
		return s
	}
	return 1
}

// day encodes measurement m of c. A nil c has no points.
func (e *encoder) day(m Measurement, c *Content) {
	e.reset()
	if c == nil {
		return
	}
	switch m {
	case WalkDay:
		e.walkDay(c)
	case WalkHour:
		e.walkHour(c)
	case WalkSourceDay:
		e.walkSourceDay(c)
	case WalkMinutes:
		e.walkMinutes(c)
	case WalkSteps:
		e.walkSteps(c)
	case WalkSession:
		e.walkSession(c)
	case WalkNudge:
		e.walkNudge(c)
	}
	e.keys.normalize()
}

// period encodes the week or month c of person. A nil c has no points.
func (e *encoder) period(m Measurement, person string, c *PeriodContent) {
	e.reset()
	if c == nil {
		return
	}
	t := c.Time.Unix()
	e.lines = appendHead(e.lines, m, person, c.First, "", "")
	e.lines = appendPeriod(e.lines, c.Walking, c.Days, c.Met)
	e.lines = appendTime(e.lines, t)
	e.note("", "", t)
	e.points++
}

func (e *encoder) note(a, b string, t int64) {
	s := e.keys.open(a, b)
	s.times = append(s.times, t)
}

func (e *encoder) walkDay(c *Content) {
	t := c.Time.Unix()
	e.lines = appendHead(e.lines, WalkDay, c.Person, c.Day, "", "")
	e.lines = appendDay(e.lines, c.Day, &c.Summary, c.sent())
	e.lines = appendTime(e.lines, t)
	e.note("", "", t)
	e.points++
}

func (e *encoder) walkHour(c *Content) {
	t := c.Time.Unix()
	for h, v := range c.Summary.ByHour {
		e.lines = appendHour(e.lines, c.Person, h)
		e.lines = appendHourFields(e.lines, v, c.Summary.Counts())
		e.lines = appendTime(e.lines, t)
		e.points++
	}
	e.note("", "", t)
}

func (e *encoder) walkSourceDay(c *Content) {
	t := c.Time.Unix()
	for _, s := range c.Summary.Sources {
		e.lines = appendHead(e.lines, WalkSourceDay, c.Person, c.Day, s.Source, s.Origin)
		e.lines = appendSource(e.lines, s)
		e.lines = appendTime(e.lines, t)
		e.note(s.Source, s.Origin, t)
		e.points++
	}
}

func (e *encoder) walkMinutes(c *Content) {
	minutes := c.Detail.Minutes
	if len(minutes) == 0 {
		return
	}
	e.prefix = appendHead(e.prefix[:0], WalkMinutes, c.Person, c.Day, "", "")
	e.prefix = append(e.prefix, "walking_s="...)
	b, keys := e.lines, e.keys.open("", "")
	for i := range minutes {
		m := &minutes[i]
		t := m.Start.Unix()
		b = append(b, e.prefix...)
		b = appendSeconds(b, m.Walking)
		b = append(b, ",steps="...)
		b = appendFloat(b, m.Steps)
		b = appendTime(b, t)
		keys.times = append(keys.times, t)
	}
	e.lines = b
	e.points += len(minutes)
}

func (e *encoder) walkSteps(c *Content) {
	for _, s := range c.Detail.Streams {
		if len(s.Records) == 0 {
			continue
		}
		e.prefix = appendHead(e.prefix[:0], WalkSteps, c.Person, c.Day, s.Source, s.Origin)
		e.prefix = append(e.prefix, "steps="...)
		b, keys, records := e.lines, e.keys.open(s.Source, s.Origin), s.Records
		for i := 0; i < len(records); i++ {
			t := records[i].Start.Unix()
			steps, duration := records[i].Steps, records[i].Duration
			// InfluxDB keeps one point a second: records that start within the same one become one.
			for ; i+1 < len(records) && records[i+1].Start.Unix() == t; i++ {
				steps += records[i+1].Steps
				duration += records[i+1].Duration
			}
			b = append(b, e.prefix...)
			b = appendFloat(b, steps)
			b = append(b, ",duration_s="...)
			b = appendInt(b, wholeSeconds(duration))
			b = appendTime(b, t)
			keys.times = append(keys.times, t)
			e.points++
		}
		e.lines = b
	}
}

func (e *encoder) walkSession(c *Content) {
	sessions := c.Detail.Sessions
	for i, s := range sessions {
		t := s.Start.Unix()
		// Two apps behind one source may have recorded the same walk: the longer one stands for both.
		hidden := false
		for j, o := range sessions {
			if j != i && o.Source == s.Source && o.Kind == s.Kind && o.Start.Unix() == t {
				a, b := o.End.Sub(o.Start), s.End.Sub(s.Start)
				hidden = hidden || a > b || a == b && j < i
			}
		}
		if hidden {
			continue
		}
		var steps int64
		if s.HasSteps {
			steps = int64(math.Round(s.Steps))
		}
		e.lines = appendHead(e.lines, WalkSession, c.Person, c.Day, s.Source, string(s.Kind))
		e.lines = appendSession(e.lines, wholeSeconds(s.End.Sub(s.Start)), wholeSeconds(s.Moving), steps)
		e.lines = appendTime(e.lines, t)
		e.note(s.Source, string(s.Kind), t)
		e.points++
	}
}

func (e *encoder) walkNudge(c *Content) {
	for _, n := range c.Nudges {
		t := n.Time.Unix()
		e.lines = appendHead(e.lines, WalkNudge, c.Person, c.Day, n.Rule, n.Channel)
		e.lines = appendNudge(e.lines, n)
		e.lines = appendTime(e.lines, t)
		e.note(n.Rule, n.Channel, t)
		e.points++
	}
}

// zeros encodes zeros for all points in k.
func (e *encoder) zeros(m Measurement, person string, day walking.Day, k keyset) {
	e.reset()
	for _, s := range k {
		for _, t := range s.times {
			if m == WalkHour {
				for h := range 24 {
					e.lines = appendHour(e.lines, person, h)
					e.lines = appendHourFields(e.lines, walking.HourTotals{}, false)
					e.lines = appendTime(e.lines, t)
					e.points++
				}
				continue
			}
			b := appendHead(e.lines, m, person, day, s.a, s.b)
			switch m {
			case WalkDay:
				b = appendDay(b, day, &walking.Summary{}, 0)
			case WalkSourceDay:
				b = appendSource(b, walking.SourceTotals{})
			case WalkWeek, WalkMonth:
				b = appendPeriod(b, 0, 0, 0)
			case WalkMinutes:
				b = append(b, "walking_s=0,steps=0"...)
			case WalkSteps:
				b = append(b, "steps=0,duration_s=0i"...)
			case WalkSession:
				b = appendSession(b, 0, 0, 0)
			case WalkNudge:
				b = appendNudge(b, Nudge{})
			}
			e.lines = appendTime(b, t)
			e.points++
		}
	}
}

// appendHead appends measurement and tags, in the order of their keys as servers like it, and the space behind them.
func appendHead(b []byte, m Measurement, person string, day walking.Day, tagA, tagB string) []byte {
	b = append(b, m.String()...)
	switch m {
	case WalkDay:
		_, month, _ := day.Date()
		b = append(b, ",month="...)
		b = append(b, '0'+byte(month/10), '0'+byte(month%10))
	case WalkSourceDay, WalkSteps:
		b = appendTag(b, "origin", tagB)
	case WalkSession:
		b = appendTag(b, "kind", tagB)
	case WalkNudge:
		b = appendTag(b, "channel", tagB)
	}
	b = appendTag(b, "person", person)
	switch m {
	case WalkDay:
		year, _, _ := day.Date()
		weekday := (day.Weekday()+6)%7 + 1
		b = fmt.Appendf(b, ",weekday=%d,year=%04d", weekday, year)
	case WalkSourceDay, WalkSteps, WalkSession:
		b = appendTag(b, "source", tagA)
	case WalkNudge:
		b = appendTag(b, "rule", tagA)
	}
	return append(b, ' ')
}

func appendHour(b []byte, person string, hour int) []byte {
	b = append(b, "walk_hour,hour="...)
	b = append(b, '0'+byte(hour/10), '0'+byte(hour%10))
	b = appendTag(b, "person", person)
	return append(b, ' ')
}

func appendHourFields(b []byte, v walking.HourTotals, counts bool) []byte {
	b = appendFloat(append(b, "walking_minutes="...), v.Walking)
	b = appendFloat(append(b, ",steps="...), v.Steps)
	return appendBit(append(b, ",counts="...), counts)
}

func appendDay(b []byte, day walking.Day, s *walking.Summary, nudges int) []byte {
	b = appendString(append(b, "date="...), day.String())
	b = appendString(append(b, ",zone="...), s.Zone)
	b = appendFloat(append(b, ",walking_minutes="...), s.Walking)
	b = appendFloat(append(b, ",low="...), s.Low)
	b = appendFloat(append(b, ",high="...), s.High)
	b = appendFloat(append(b, ",brisk_minutes="...), s.Brisk)
	b = appendFloat(append(b, ",running_minutes="...), s.Running)
	b = appendFloat(append(b, ",alternative_minutes="...), s.Alternative)
	b = appendFloat(append(b, ",target_minutes="...), s.Target)
	var mean float64
	if s.Mean7Days > 0 {
		mean = s.Mean7
	}
	b = appendFloat(append(b, ",mean7="...), mean)
	b = appendFloat(append(b, ",day_hours="...), s.Hours)
	b = appendInt(append(b, ",mean7_days="...), int64(s.Mean7Days))
	b = appendInt(append(b, ",mean7_band="...), int64(walking.BandOf(mean)))
	b = appendInt(append(b, ",band="...), int64(s.Band))
	b = appendInt(append(b, ",steps="...), s.Steps)
	b = appendBit(append(b, ",met="...), s.Met)
	b = appendBit(append(b, ",valid="...), s.Valid)
	b = appendBit(append(b, ",closed="...), s.Closed)
	b = appendBit(append(b, ",counts="...), s.Counts())
	b = appendBit(append(b, ",counts_met="...), s.Counts() && s.Met)
	return appendInt(append(b, ",nudges="...), int64(nudges))
}

func appendSource(b []byte, s walking.SourceTotals) []byte {
	b = appendFloat(append(b, "steps="...), s.Steps)
	b = appendFloat(append(b, ",walking_minutes="...), s.Walking)
	return appendFloat(append(b, ",supplied_minutes="...), s.Supplied)
}

func appendPeriod(b []byte, minutes float64, days, met int) []byte {
	b = appendFloat(append(b, "walking_minutes="...), minutes)
	b = appendInt(append(b, ",days="...), int64(days))
	return appendInt(append(b, ",days_met="...), int64(met))
}

func appendSession(b []byte, duration, moving, steps int64) []byte {
	b = appendInt(append(b, "duration_s="...), duration)
	b = appendInt(append(b, ",moving_s="...), moving)
	return appendInt(append(b, ",steps="...), steps)
}

func appendNudge(b []byte, n Nudge) []byte {
	b = appendString(append(b, "outcome="...), n.Outcome)
	b = appendString(append(b, ",action="...), n.Action)
	return appendFloat(append(b, ",walked_after="...), n.WalkedAfter)
}

// appendSeconds appends d in seconds as a float.
func appendSeconds(b []byte, d time.Duration) []byte { return appendFloat(b, d.Seconds()) }

// wholeSeconds rounds d to seconds.
func wholeSeconds(d time.Duration) int64 { return int64(d.Round(time.Second) / time.Second) }

// span returns the earliest and the latest time that measurement m of c can have, and whether it has any.
func (c *Content) span(m Measurement) (first, last int64, ok bool) {
	add := func(from, to time.Time) {
		if !ok || from.Unix() < first {
			first = from.Unix()
		}
		if !ok || to.Unix() > last {
			last = to.Unix()
		}
		ok = true
	}
	switch m {
	case WalkMinutes:
		if n := len(c.Detail.Minutes); n > 0 {
			add(c.Detail.Minutes[0].Start, c.Detail.Minutes[n-1].Start)
		}
	case WalkSteps:
		for _, s := range c.Detail.Streams {
			if n := len(s.Records); n > 0 {
				add(s.Records[0].Start, s.Records[n-1].Start)
			}
		}
	case WalkSession:
		for _, s := range c.Detail.Sessions {
			add(s.Start, s.Start)
		}
	case WalkNudge:
		for _, n := range c.Nudges {
			add(n.Time, n.Time)
		}
	default:
		add(c.Time, c.Time)
	}
	return first, last, ok
}

// countLines returns how many lines b holds.
func countLines(b string) int { return strings.Count(b, "\n") }
