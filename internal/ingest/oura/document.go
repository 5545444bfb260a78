package oura

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	pieceLength = 5 * time.Minute
	// most is how many pieces a day has at most: one of travel may be long.
	most = int(walking.MaxRecord / pieceLength)
	// dayBegins is the hour at which a day begins; some have seen midnight instead.
	dayBegins = 4
	// settled is how long after its end a day is taken for whole although nothing came later.
	settled = 7 * 24 * time.Hour
)

// A dailyJSON is what is used of a document of daily_activity.
type dailyJSON struct {
	Day       string   `json:"day"`
	Timestamp string   `json:"timestamp"`
	Steps     *float64 `json:"steps"`
	Classes   *string  `json:"class_5_min"`
	MET       *struct {
		Interval  float64 `json:"interval"` // seconds
		Items     metList `json:"items"`
		Timestamp string  `json:"timestamp"`
	} `json:"met"`
}

// A metList is a list of METs, of which some are not known: NaN.
type metList []float32

// UnmarshalJSON implements json.Unmarshaler. A year has half a million of them.
func (l *metList) UnmarshalJSON(b []byte) error {
	text := strings.TrimSpace(string(b))
	if text == "null" {
		return nil
	}
	inner, isList := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !isList || !closed {
		return errMETs
	}
	if inner = strings.TrimSpace(inner); inner == "" {
		*l = metList{}
		return nil
	}
	out := make(metList, 0, strings.Count(inner, ",")+1)
	for item := range strings.SplitSeq(inner, ",") {
		if item = strings.TrimSpace(item); item == "null" {
			out = append(out, float32(math.NaN()))
			continue
		}
		v, err := strconv.ParseFloat(item, 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return errMETs
		}
		out = append(out, float32(max(0, min(v, maxMET))))
	}
	*l = out
	return nil
}

// maxMET is more than anybody can do for a minute.
const maxMET = 30

// A day is what Oura tells of the activity of one: it begins at four o'clock in the morning, or when its timestamp says.
type day struct {
	date      walking.Day
	start     time.Time
	end       time.Time // when the next day begins; zero if that is not known
	offset    int       // of the clock at the start, in seconds east
	hasOffset bool
	steps     float64
	classes   string // of five minutes each, from the start on: 0 to 5; "" if not told
	told      bool   // whether these are Oura's own
	mets      mets
	later     bool // a later day has something that was synced, so that this one is whole
}

// mets are the METs of a day.
type mets struct {
	start    time.Time
	interval time.Duration
	items    metList
}

// stamp reads a time with an offset, or by the person's clock.
func stamp(text string, zones walking.Timeline) (t time.Time, offset int, hasOffset bool, err error) {
	if t, err = time.Parse(time.RFC3339Nano, text); err == nil {
		_, offset = t.Zone()
		return t.UTC(), offset, true, nil
	}
	wall, err := time.Parse("2006-01-02T15:04:05.999999999", text)
	if err != nil {
		return time.Time{}, 0, false, errTime
	}
	t, _ = ingest.Local(wall, zones.At(wall))
	return t, 0, false, nil
}

// day returns the day that a document tells of.
func (v *dailyJSON) day(zones walking.Timeline) (*day, error) {
	date, err := walking.ParseDay(v.Day)
	if err != nil {
		return nil, errNoDate
	}
	d := &day{date: date}
	if d.start, d.offset, d.hasOffset, err = stamp(v.Timestamp, zones); err != nil {
		return nil, err
	}
	// Only where the clock shows when a day begins the offset is that of a place, and not of some server.
	if clock := d.start.Add(time.Duration(d.offset) * time.Second).UTC(); clock.Minute() > 0 || clock.Hour() != 0 && clock.Hour() != dayBegins {
		d.hasOffset = false
	}
	if v.Steps == nil {
		return nil, errNoSteps
	}
	d.steps = *v.Steps
	if v.MET != nil && len(v.MET.Items) > 0 {
		interval, ok := seconds(v.MET.Interval)
		if !ok {
			return nil, errMETs
		}
		d.mets = mets{start: d.start, interval: interval, items: v.MET.Items}
		if v.MET.Timestamp != "" {
			if d.mets.start, _, _, err = stamp(v.MET.Timestamp, zones); err != nil {
				return nil, err
			}
		}
	}
	if v.Classes != nil && *v.Classes != "" {
		if strings.Trim(*v.Classes, "012345") != "" {
			return nil, errClass
		}
		d.classes, d.told = *v.Classes, true
	} else {
		d.classes = d.classified()
	}
	d.classes = d.classes[:min(len(d.classes), most)]
	return d, nil
}

// classified returns the classes that a day has by its METs.
func (d *day) classified() string {
	var out []byte
	last := d.mets.start.Add(time.Duration(len(d.mets.items)) * d.mets.interval)
	for at := d.start; !at.Add(pieceLength).After(last) && len(out) < most; at = at.Add(pieceLength) {
		sum, minutes := 0.0, 0.0
		d.mets.within(at, func(met, length float64) {
			sum += met * length
			minutes += length
		})
		switch mean := sum / minutes; {
		case minutes == 0:
			out = append(out, '0')
		case mean < restMET:
			out = append(out, '1')
		case mean < inactiveMET:
			out = append(out, '2')
		default:
			out = append(out, '3')
		}
	}
	return string(out)
}

// within calls f for all METs that are known of the piece that begins at an instant, with their length in minutes.
func (m *mets) within(start time.Time, f func(met, minutes float64)) {
	if len(m.items) == 0 {
		return
	}
	from, to := start.Sub(m.start), start.Add(pieceLength).Sub(m.start)
	for k := max(0, int(from/m.interval)); k < len(m.items); k++ {
		a, b := max(from, time.Duration(k)*m.interval), min(to, time.Duration(k+1)*m.interval)
		if a >= to {
			return
		}
		if b > a && !math.IsNaN(float64(m.items[k])) {
			f(float64(m.items[k]), (b - a).Minutes())
		}
	}
}

// known returns the end of what a day tells of for sure, and how many of its classes that are. The zeros at its end may
// stand for a time that has not been synced, unless something came later.
func (d *day) known(now time.Time) int {
	if d.later || now.Sub(d.start) > 24*time.Hour+settled {
		return len(d.classes)
	}
	return len(strings.TrimRight(d.classes, "0"))
}

// at returns the instant at which piece i begins.
func (d *day) at(i int) time.Time { return d.start.Add(time.Duration(i) * pieceLength) }

// arrange puts days in order, each once, and lets each end where the next one begins.
func arrange(days []*day) []*day {
	// A document may come on two pages, and with another ID after it has changed: that with more to tell is the newer.
	slices.SortStableFunc(days, func(a, b *day) int {
		return cmp.Or(cmp.Compare(a.date, b.date), cmp.Compare(len(a.classes), len(b.classes)), cmp.Compare(a.steps, b.steps))
	})
	out := days[:0]
	for i, d := range days {
		if i+1 == len(days) || days[i+1].date != d.date {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b *day) int { return a.start.Compare(b.start) })
	later := false
	for i := len(out) - 1; i >= 0; i-- {
		d := out[i]
		d.later = later
		later = later || strings.Trim(d.classes, "0") != ""
		if i+1 < len(out) && out[i+1].start.Sub(d.start) <= walking.MaxRecord {
			d.end = out[i+1].start
			n := int((d.end.Sub(d.start) + pieceLength - 1) / pieceLength)
			d.classes = d.classes[:min(len(d.classes), n)]
		}
	}
	return out
}

// synced returns up to when the ring has synced for sure: the end of the last five minutes in which it was worn. It is
// zero if no day tells.
func synced(days []*day, now time.Time) time.Time {
	for _, d := range slices.Backward(days) {
		if n := len(strings.TrimRight(d.classes, "0")); n > 0 {
			if t := d.at(n); t.Before(now) {
				return t
			}
			return now
		}
	}
	return time.Time{}
}

// unworn returns the windows in which the ring was not worn, as far as Oura tells.
func (d *day) unworn(now time.Time) []walking.Window {
	if !d.told {
		return nil
	}
	var out []walking.Window
	known := d.known(now)
	for i := 0; i < known; i++ {
		n := i
		for n < known && d.classes[n] == '0' {
			n++
		}
		if n > i {
			w := walking.Window{Start: d.at(i), End: d.at(n)}
			if !d.end.IsZero() && w.End.After(d.end) {
				w.End = d.end
			}
			out = append(out, w)
			i = n
		}
	}
	return out
}

// zoneOffset returns the offset that clocks had at t where the person was, in seconds east, if the day tells. It goes by
// the documents alone, so that the same ones say the same whatever walkd thinks when it asks. A day ends at four in the
// morning: after midnight clocks may have been changed, unless the next day begins with the same offset.
func (d *day) zoneOffset(t time.Time, next *day) (seconds int, ok bool) {
	if !d.hasOffset {
		return 0, false
	}
	if next != nil && next.date == d.date+1 && next.hasOffset && next.offset == d.offset {
		return d.offset, true
	}
	midnight := (d.date + 1).In(time.FixedZone("", d.offset))
	if t.Before(midnight) {
		return d.offset, true
	}
	return 0, false
}

// records returns the steps of a day, placed by its classes and METs: see place. Their sum is that of the day.
func (d *day) records(next *day, now time.Time) []walking.Record {
	if d.steps <= 0 {
		return nil
	}
	out := d.placed()
	if out == nil {
		out = d.whole(now)
	}
	for i := range out {
		out[i].Offset, out[i].HasOffset = d.zoneOffset(out[i].Start, next)
	}
	return out
}

// placed returns the steps of a day as records of ten minutes; nil if the day does not tell when it had any.
func (d *day) placed() []walking.Record {
	weights := d.weigh()
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	if !(sum > 0) {
		return nil
	}
	var (
		out          []walking.Record
		upTo, placed float64 // of the weights, and of the steps
	)
	for i := 0; i < len(weights); {
		n := recordPieces
		if left := len(weights) - i - n; left < recordPieces && left > 0 {
			n += left // a piece alone would pass for a record that was counted
		}
		n = min(n, len(weights)-i)
		for _, w := range weights[i : i+n] {
			upTo += w
		}
		end := d.at(i + n)
		if !d.end.IsZero() && end.After(d.end) {
			end = d.end
		}
		// Steps are whole numbers, and their sum is that of the day.
		if steps := math.Round(d.steps*min(1, upTo/sum)) - placed; steps > 0 {
			out = append(out, walking.Record{Start: d.at(i), Duration: end.Sub(d.at(i)), Steps: steps})
			placed += steps
		}
		i += n
	}
	if len(out) > 0 {
		out[len(out)-1].Steps += d.steps - placed // a total that is no whole number
	}
	return out
}

// whole returns the steps of a day as one record, from its start to midnight or until now: hardly anybody walks after
// that, while a record of 24 hours would give a sixth of its steps to the next date.
func (d *day) whole(now time.Time) []walking.Record {
	end := d.start.Add(24 * time.Hour)
	if d.hasOffset {
		if midnight := (d.date + 1).In(time.FixedZone("", d.offset)).UTC(); midnight.After(d.start) && midnight.Before(end) {
			end = midnight
		}
	}
	if !d.end.IsZero() && d.end.Before(end) {
		end = d.end
	}
	if now.Before(end) {
		end = now.Truncate(time.Minute)
	}
	if !end.After(d.start) {
		return nil
	}
	return []walking.Record{{Start: d.start, Duration: end.Sub(d.start), Steps: d.steps}}
}

var _ json.Unmarshaler = (*metList)(nil)
