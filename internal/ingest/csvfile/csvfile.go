// Package csvfile reads steps from CSV files of any origin, driven by their header.
//
// The header names the columns, in any order and case; others are ignored. Spaces and hyphens in names count as
// underscores, and parentheses are left out:
//
//	start     start, start_time, start_date, time, timestamp, datetime, date_time, date, from
//	end       end, end_time, end_date, to, until
//	duration  duration, duration_s, duration_sec, duration_seconds, seconds; duration_min, duration_minutes, minutes
//	steps     steps, step_count, count, value
//	origin    origin, source, source_name, device, app
//
// Of several columns for one thing the name that stands first above is taken. Start and steps are required. A record
// ends at its end, or after its duration, which is in the column's unit (seconds if it has none) unless it says
// otherwise (90s, 1m, 1h30m). With neither column every start has to be a bare date, and the steps are those of that
// civil day. A bare date in the end column is the end of that day.
//
// Times are RFC 3339 with or without an offset ("T" or a space between date and time), 2006-01-02 15:04[:05], a bare
// 2006-01-02, or unix seconds or milliseconds. An offset other than Z is kept with the record. Without an offset they
// are local in ImportOptions.Zone: a time that the clocks showed twice is the first, and a time that they skipped is
// moved past the gap by the gap's length. A row that starts in the first pass of a repeated hour and ends in the
// second may thus seem to end before it starts, and is reported as broken: give times with offsets to tell the two
// apart.
//
// A file declares nothing as covered: its records are added, and replace those of the same start and length.
package csvfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// Source is the source of the streams of a file.
const Source = "csv"

// A Format reads CSV files. Its zero value is ready to use.
type Format struct{}

var _ ingest.Format = Format{}

// Open opens the file at path.
func (Format) Open(path string) (ingest.File, io.Closer, error) { return ingest.OpenFile(path) }

// Decode hands the records of the file to sink, under person "". ImportOptions.IDs and All are not used: a file holds
// one person. The error is a *HeaderError if the header does not name the columns needed.
func (Format) Decode(ctx context.Context, f ingest.File, o ingest.ImportOptions, sink ingest.Sink) error {
	d := &decoder{
		rows: ingest.NewRows(f), sink: sink, name: f.Name, now: o.Now, zone: o.Zone, streams: map[string]*stream{},
	}
	if d.zone == nil {
		d.zone = time.UTC
	}
	d.days = walking.NewTimeline(d.zone)
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
			err = sink.Bad(bad)
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

// A HeaderError says that a header lacks columns.
type HeaderError struct {
	File    string
	Found   []string // the columns there are
	Missing []string // what is needed, as "steps (steps, step_count, …)"
}

// Error lists the columns found and those wanted.
func (e *HeaderError) Error() string {
	found := strings.Join(e.Found, ", ")
	if len(found) > 200 {
		found = strings.ToValidUTF8(found[:200], "") + "…"
	}
	return fmt.Sprintf("%s: the header has the columns %s; missing: %s", e.File, found, strings.Join(e.Missing, "; "))
}

// What a column can be.
type column int

const (
	start column = iota
	end
	duration
	steps
	origin
	columns
)

// names of the columns, the preferred first.
var names = [columns][]string{
	start: {
		"start", "start_time", "start_date", "starttime", "startdate", "time", "timestamp", "datetime", "date_time",
		"date", "from",
	},
	end: {"end", "end_time", "end_date", "endtime", "enddate", "to", "until"},
	duration: {
		"duration", "duration_s", "duration_sec", "duration_seconds", "seconds", "duration_min", "duration_minutes",
		"minutes",
	},
	steps:  {"steps", "step_count", "stepcount", "count", "value"},
	origin: {"origin", "source", "source_name", "sourcename", "device", "app"},
}

// A decoder decodes one file.
type decoder struct {
	rows    *ingest.Rows
	sink    ingest.Sink
	name    string
	now     time.Time
	zone    *time.Location
	days    walking.Timeline
	at      [columns]int // index of each column, -1 if there is none
	unit    time.Duration
	width   int // columns of the header
	found   []string
	streams map[string]*stream
}

type stream struct {
	walking.Stream
	order int // in which it appeared
}

func (d *decoder) header() error {
	fields, err := d.rows.Read()
	var bad ingest.BadRow
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s is empty: want a CSV file with a header such as start,duration,steps", d.name)
	case errors.As(err, &bad):
		return bad
	case err != nil:
		return fmt.Errorf("%s: %w", d.name, err)
	}
	d.width = len(fields)
	seen := make([]string, len(fields))
	for i, f := range fields {
		d.found = append(d.found, strings.TrimSpace(string(f)))
		seen[i] = strings.NewReplacer(" ", "_", "-", "_", "(", "", ")", "").Replace(strings.ToLower(d.found[i]))
	}
	for c := range columns {
		d.at[c] = -1
		for _, name := range names[c] {
			if d.at[c] = slices.Index(seen, name); d.at[c] >= 0 {
				break
			}
		}
	}
	d.unit = time.Second
	if i := d.at[duration]; i >= 0 && strings.Contains(seen[i], "min") {
		d.unit = time.Minute
	}
	var missing []string
	for _, c := range []column{start, steps} {
		if d.at[c] < 0 {
			missing = append(missing, wanted(c))
		}
	}
	if len(missing) > 0 {
		return &HeaderError{d.name, d.found, missing}
	}
	return nil
}

// wanted names a column with what it may be called.
func wanted(c column) string {
	return fmt.Sprintf("%s (one of %s)", names[c][0], strings.Join(names[c], ", "))
}

// field returns what a row has in a column, "" if there is no such column.
func (d *decoder) field(fields [][]byte, c column) string {
	if d.at[c] < 0 {
		return ""
	}
	return string(bytes.TrimSpace(fields[d.at[c]]))
}

// row takes one row.
func (d *decoder) row(fields [][]byte) error {
	if len(fields) != d.width {
		return d.sink.Bad(d.rows.Bad(fmt.Sprintf("the row has %d columns, the header %d", len(fields), d.width)))
	}
	r, err := d.record(fields)
	var header *HeaderError
	if errors.As(err, &header) {
		return err
	}
	if err == nil {
		err = ingest.CheckRecord(r, d.now)
	}
	if err != nil {
		return d.sink.Bad(d.rows.Bad(err.Error()))
	}
	name := strings.ToValidUTF8(d.field(fields, origin), "")
	st := d.streams[name]
	if st == nil {
		st = &stream{order: len(d.streams), Stream: walking.Stream{
			StreamKey: walking.StreamKey{Source: Source, Origin: name},
			Device:    walking.UnknownDevice,
			Delivery:  walking.Filed,
		}}
		d.streams[name] = st
		if err := d.sink.Stream("", st.Stream); err != nil {
			return err
		}
	}
	if r.End().After(st.SyncedThrough) {
		st.SyncedThrough = r.End()
	}
	return d.sink.Record("", st.StreamKey, r)
}

// record reads the fields of a row. The error is a *HeaderError if the file lacks a column that this row needs.
func (d *decoder) record(fields [][]byte) (walking.Record, error) {
	var r walking.Record
	from, err := d.moment(fields, start)
	if err != nil {
		return r, err
	}
	count := d.field(fields, steps)
	if r.Steps, err = strconv.ParseFloat(count, 64); err != nil {
		return r, fmt.Errorf("steps are %q: want a number", shortened(count))
	}
	r.Offset, r.HasOffset = from.offset, from.hasOffset

	ends, lasts := d.field(fields, end), d.field(fields, duration)
	switch {
	case ends != "":
		until, err := d.moment(fields, end)
		if err != nil {
			return r, err
		}
		r.Start = d.instant(from)
		if until.form == bareDate {
			r.Duration = d.endOf(until).Sub(r.Start)
		} else {
			r.Duration = d.instant(until).Sub(r.Start)
		}
	case lasts != "":
		r.Start = d.instant(from)
		if r.Duration, err = d.parseDuration(lasts); err != nil {
			return r, err
		}
	case from.form == bareDate:
		r.Start = d.instant(from)
		r.Duration = d.endOf(from).Sub(r.Start)
	case d.at[end] < 0 && d.at[duration] < 0:
		return r, &HeaderError{d.name, d.found, []string{wanted(duration) + ", or " + wanted(end) +
			"; without them every start has to be a date like 2006-01-02, for the total of a day, but line " +
			strconv.FormatInt(d.rows.Line(), 10) + " has a time"}}
	default:
		return r, errors.New("the row has neither an end nor a duration")
	}
	return r, nil
}

// finish says how far each stream goes.
func (d *decoder) finish() error {
	all := make([]*stream, len(d.streams))
	for _, st := range d.streams {
		all[st.order] = st
	}
	for _, st := range all {
		if err := d.sink.Stream("", st.Stream); err != nil {
			return err
		}
	}
	return nil
}

// parseDuration reads a number in the unit of its column, or one with its own units such as 1h30m.
func (d *decoder) parseDuration(s string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if !(math.Abs(n) < 1e9) {
			return 0, fmt.Errorf("duration is %s: want a number", s)
		}
		return time.Duration(math.Round(n * float64(d.unit))), nil
	}
	if l, err := time.ParseDuration(strings.ToLower(strings.ReplaceAll(s, " ", ""))); err == nil {
		return l, nil
	}
	return 0, fmt.Errorf("duration is %q: want a number, or one with units like 90s, 1m or 1h30m", shortened(s))
}

func shortened(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
