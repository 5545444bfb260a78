// Package fitabase reads the minute steps that Fitabase exports for studies with Fitbit devices: minuteStepsWide, with
// a row an hour and 60 columns, and minuteStepsNarrow, with a row a minute. The header tells them apart.
//
// The files hold local times without a zone; they are read in ImportOptions.Zone. An hour that the clocks repeat is
// taken as its first occurrence. A minute that the clocks skipped cannot have been counted in that zone, so either the
// device's clock was wrong or the zone is: its steps must neither be lost nor displace those of the hour after the
// gap. They become records of length zero, which count steps but no walking, at the instant that many minutes after
// the gap. Skipped minutes without steps are left out.
package fitabase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// Source is the source of the streams of a file; there is one stream for each person.
const Source = "fitabase"

var key = walking.StreamKey{Source: Source}

// A Format reads minuteStepsWide and minuteStepsNarrow files. Its zero value is ready to use.
type Format struct{}

var _ ingest.Format = Format{}

// Open opens the file at path.
func (Format) Open(path string) (ingest.File, io.Closer, error) { return ingest.OpenFile(path) }

// A SeveralError says that a file holds several persons and nobody has said whom to import.
type SeveralError struct {
	File string
	IDs  []string // all that the file holds, sorted
}

// Error lists the persons and says what to do.
func (e *SeveralError) Error() string {
	return fmt.Sprintf("%s holds %d persons: choose with --id ID, or take all with --all; the ids are %s",
		e.File, len(e.IDs), strings.Join(e.IDs, ", "))
}

// An UnknownIDError says that persons who were asked for are not in a file.
type UnknownIDError struct {
	File    string
	Missing []string // in the order asked for
	IDs     []string // all that the file holds, sorted
}

// Error lists who is missing and who is there.
func (e *UnknownIDError) Error() string {
	there := "nobody"
	if len(e.IDs) > 0 {
		there = strings.Join(e.IDs, ", ")
	}
	return fmt.Sprintf("%s does not hold id %s: it holds %s", e.File, strings.Join(e.Missing, ", "), there)
}

// Decode hands the minutes of the file to sink, zeros included, and declares the hours or minutes of its rows as
// covered. With IDs, only those persons are taken. The person is "" if one is imported without All, else the id. The
// error is a *SeveralError or *UnknownIDError if IDs and All do not fit the file; by then records may have gone to
// sink.
func (Format) Decode(ctx context.Context, f ingest.File, o ingest.ImportOptions, sink ingest.Sink) error {
	d := &decoder{
		rows: ingest.NewRows(f), o: o, sink: sink, name: f.Name,
		chosen: slices.Compact(slices.Sorted(slices.Values(o.IDs))), people: map[string]*person{},
	}
	if d.o.Zone == nil {
		d.o.Zone = time.UTC
	}
	if err := d.header(); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		fields, err := d.rows.Read()
		var bad ingest.BadRow
		switch {
		case errors.Is(err, io.EOF):
			return d.finish()
		case errors.As(err, &bad):
			err = d.bad(bad.Reason)
		case err != nil:
			return fmt.Errorf("%s: %w", d.name, err)
		default:
			err = d.row(fields)
		}
		if err != nil {
			return err
		}
	}
}

// A decoder decodes one file.
type decoder struct {
	rows    *ingest.Rows
	o       ingest.ImportOptions
	sink    ingest.Sink
	name    string
	wide    bool
	chosen  []string // o.IDs, sorted and each once
	people  map[string]*person
	several bool // there are several persons and no choice: only their ids are collected
	minutes [60]float64
}

// A person is what is known of one id of the file.
type person struct {
	name   string // for the sink
	taken  bool
	told   bool // the stream has been described
	newest time.Time
	covers walking.Window // to be handed out when a row does not continue it
}

const (
	wideHeader   = "Id,ActivityHour,Steps00,Steps01,…,Steps59"
	narrowHeader = "Id,ActivityMinute,Steps"
)

func (d *decoder) header() error {
	fields, err := d.rows.Read()
	var bad ingest.BadRow
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s is empty: want a CSV file that starts with %s or %s", d.name, wideHeader, narrowHeader)
	case errors.As(err, &bad):
		return bad
	case err != nil:
		return fmt.Errorf("%s: %w", d.name, err)
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = strings.ToLower(strings.TrimSpace(string(f)))
	}
	wide := []string{"id", "activityhour"}
	for i := range 60 {
		wide = append(wide, fmt.Sprintf("steps%02d", i))
	}
	switch {
	case slices.Equal(names, wide):
		d.wide = true
		return nil
	case slices.Equal(names, []string{"id", "activityminute", "steps"}):
		return nil
	}
	found := string(bytes.Join(fields, []byte(",")))
	if len(found) > 80 {
		found = strings.ToValidUTF8(found[:80], "") + "…"
	}
	return fmt.Errorf("%s is not a minuteSteps file: its header is %q, want %s or %s",
		d.name, found, wideHeader, narrowHeader)
}

// bad reports the row that was read last.
func (d *decoder) bad(reason string) error {
	if d.several {
		return nil
	}
	return d.sink.Bad(d.rows.Bad(reason))
}

// row takes one row. Of a broken one nothing is used.
func (d *decoder) row(fields [][]byte) error {
	columns := 3
	if d.wide {
		columns = 62
	}
	if len(fields) != columns {
		return d.bad(fmt.Sprintf("the row has %d columns: want %d", len(fields), columns))
	}
	p, err := d.person(bytes.TrimSpace(fields[0]))
	if p == nil || d.several || !p.taken {
		return err
	}
	wall, ok := parseTime(string(bytes.TrimSpace(fields[1])))
	unit := time.Minute
	if d.wide {
		unit = time.Hour
	}
	if !ok || !wall.Equal(wall.Truncate(unit)) {
		want := "a minute like 4/13/2016 9:05:00 PM or 4/13/2016 21:05"
		if d.wide {
			want = "a full hour like 4/13/2016 9:00:00 PM or 4/13/2016 21:00"
		}
		return d.bad(fmt.Sprintf("the time is %q: want %s", fields[1], want))
	}
	for i, f := range fields[2:] {
		steps, err := strconv.ParseFloat(string(bytes.TrimSpace(f)), 64)
		if err != nil {
			return d.bad(fmt.Sprintf("Steps in column %d is %q: want a number of steps", i+3, f))
		}
		d.minutes[i] = steps
	}
	minutes := d.minutes[:columns-2]
	records, covers := layOut(wall, d.o.Zone, minutes)
	for _, r := range records {
		if err := ingest.CheckRecord(r, d.o.Now); err != nil {
			return d.bad(err.Error())
		}
	}
	return d.emit(p, records, covers)
}

// person returns the person of an id, or nil if that is broken.
func (d *decoder) person(id []byte) (*person, error) {
	if p := d.people[string(id)]; p != nil {
		return p, nil
	}
	if len(id) == 0 || len(id) > 20 || bytes.ContainsFunc(id, func(r rune) bool { return r < '0' || r > '9' }) {
		return nil, d.bad(fmt.Sprintf("the Id is %q: want a number of up to 20 digits", id))
	}
	p := &person{taken: true}
	if len(d.chosen) > 0 {
		_, p.taken = slices.BinarySearch(d.chosen, string(id))
	}
	if d.o.All || len(d.chosen) > 1 {
		p.name = string(id)
	}
	d.people[string(id)] = p
	d.several = len(d.people) > 1 && len(d.chosen) == 0 && !d.o.All
	return p, nil
}

// layOut returns the records of consecutive minutes from the local time wall on, and the span they cover: none of it
// if the clocks skipped it all.
func layOut(wall time.Time, zone *time.Location, minutes []float64) ([]walking.Record, walking.Window) {
	records := make([]walking.Record, 0, len(minutes))
	var covers walking.Window
	start, skipped := ingest.Local(wall, zone)
	_, change := start.In(zone).ZoneBounds()
	steady := !skipped && (change.IsZero() || !change.Before(start.Add(time.Duration(len(minutes))*time.Minute)))
	for i, steps := range minutes {
		at := start.Add(time.Duration(i) * time.Minute)
		if !steady {
			at, skipped = ingest.Local(wall.Add(time.Duration(i)*time.Minute), zone)
		}
		if skipped {
			if steps != 0 {
				records = append(records, walking.Record{Start: at, Steps: steps})
			}
			continue
		}
		r := walking.Record{Start: at, Duration: time.Minute, Steps: steps}
		records = append(records, r)
		if covers.Empty() {
			covers.Start = at
		}
		covers.End = r.End()
	}
	return records, covers
}

func (d *decoder) emit(p *person, records []walking.Record, covers walking.Window) error {
	if !p.told {
		p.told = true
		if err := d.sink.Stream(p.name, p.stream()); err != nil {
			return err
		}
	}
	for _, r := range records {
		if err := d.sink.Record(p.name, key, r); err != nil {
			return err
		}
		if r.End().After(p.newest) {
			p.newest = r.End()
		}
	}
	switch {
	case covers.Empty():
		return nil
	case p.covers.End.Equal(covers.Start):
		p.covers.End = covers.End
		return nil
	}
	done := p.covers
	p.covers = covers
	return d.cover(p, done)
}

func (d *decoder) cover(p *person, w walking.Window) error {
	if w.Empty() {
		return nil
	}
	return d.sink.Covers(p.name, key, w)
}

func (p *person) stream() walking.Stream {
	return walking.Stream{
		StreamKey: key, Device: walking.Wearable, Delivery: walking.Filed, SyncedThrough: p.newest,
	}
}

// finish says what is known only at the end of the file.
func (d *decoder) finish() error {
	var ids []string
	for id := range d.people {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if d.several {
		return &SeveralError{d.name, ids}
	}
	var missing []string
	for _, id := range d.o.IDs {
		if d.people[id] == nil && !slices.Contains(missing, id) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return &UnknownIDError{d.name, missing, ids}
	}
	for _, id := range ids {
		p := d.people[id]
		if !p.told {
			continue
		}
		if err := d.cover(p, p.covers); err != nil {
			return err
		}
		if err := d.sink.Stream(p.name, p.stream()); err != nil {
			return err
		}
	}
	return nil
}

// parseTime reads month/day/year and a time of 12 or 24 hours, as if it were in UTC.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range [...]string{"1/2/2006 15:04", "1/2/2006 3:04:05 PM", "1/2/2006 15:04:05", "1/2/2006 3:04 PM"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
