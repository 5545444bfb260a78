package applehealth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// Source is the source of all streams of an export.
const Source = "apple-health"

const (
	stepCount = "HKQuantityTypeIdentifierStepCount"
	wantTime  = "a time like 2006-01-02 15:04:05 -0700"
	wantSteps = "a number of steps"
)

// senderDelay is how long before an export the phone may have counted steps that are not in it.
const senderDelay = 15 * time.Minute

// A Format reads exports of Apple's Health app. Its zero value is ready to use.
type Format struct{}

var _ ingest.Format = Format{}

// Decode hands the step records and workouts of the export to sink, under person "". ImportOptions.Zone and IDs are
// not used: every time has its offset, and an export holds one person. The error is an *IncompleteError if the export
// ends before its last tag, and ErrNotExport if it is something else altogether.
func (Format) Decode(ctx context.Context, f ingest.File, o ingest.ImportOptions, sink ingest.Sink) error {
	return decode(newScanner(ctx, f.Body, bufferSize, maxElement), f.Name, o.Now, sink)
}

// ErrNotExport says that a file is not an export of Apple's Health app.
var ErrNotExport = errors.New("not an Apple Health export: want one with <HealthData>")

// An IncompleteError says that an export ends in its middle.
type IncompleteError struct {
	File string
	Line int64 // where it ends
}

// Error says what to do.
func (e *IncompleteError) Error() string {
	return fmt.Sprintf("%s:%d: the export is truncated, it ends before </HealthData>: copy or export it again",
		e.File, e.Line)
}

// A decoder decodes one export.
type decoder struct {
	*scanner
	name         string
	now          time.Time
	sink         ingest.Sink
	t            tag
	exported     time.Time // zero if the export does not tell
	correlations int       // how many are open
	streams      []*stream
	byName       map[string]*stream // by raw and by decoded sourceName
}

// A stream is what is known of one sourceName.
type stream struct {
	walking.Stream
	announced bool
	records   int // of steps
	byDevice  [walking.UnknownDevice + 1]int
	newest    time.Time // the latest end of a record or session
	device    []byte    // the device attribute of the last record, without its address
	class     walking.Device
	nameClass walking.Device
}

func decode(s *scanner, name string, now time.Time, sink ingest.Sink) error {
	d := &decoder{scanner: s, name: name, now: now, sink: sink, byName: map[string]*stream{}}
	err := d.document()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &IncompleteError{name, s.lineNumber()}
	}
	if err != nil {
		return err
	}
	return d.finish()
}

func (d *decoder) document() error {
	// The DTD of iOS 16 is malformed, so nothing before the root is looked at.
	switch err := d.skipPast("<HealthData"); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: %w", d.name, ErrNotExport)
	case err != nil:
		return err
	}
	d.skip(-len("<HealthData"))
	switch err := d.tag(&d.t); {
	case errors.Is(err, errTag):
		d.skip(len("<HealthData")) // nothing in it is needed
	case err != nil:
		return err
	case d.t.empty:
		return nil
	default:
		d.skip(d.t.length)
	}
	for {
		b, err := d.next()
		if err != nil {
			return err
		}
		if len(b) < 2 {
			d.skip(1)
			continue
		}
		switch b[1] {
		case 'R':
			if named(b, "Record") {
				err = d.record(b)
			} else {
				d.skip(1)
			}
		case 'W':
			if named(b, "Workout") {
				err = d.workout()
			} else {
				d.skip(1)
			}
		case 'C':
			if named(b, "Correlation") {
				err = d.correlation()
			} else {
				d.skip(1)
			}
		case 'E':
			if named(b, "ExportDate") {
				err = d.exportDate()
			} else {
				d.skip(1)
			}
		case '/':
			switch {
			case named(b, "/HealthData"):
				// A zip verifies its checksum when it has been read to the end.
				_, err := io.Copy(io.Discard, d.in)
				return err
			case named(b, "/Correlation"):
				d.correlations = max(0, d.correlations-1)
			}
			d.skip(2)
		default:
			d.skip(1)
		}
		if err != nil {
			return err
		}
	}
}

// bad reports what is wrong with the tag that is next.
func (d *decoder) bad(line int64, reason error) error {
	return d.sink.Bad(ingest.BadRow{File: d.name, Line: line, Reason: reason.Error()})
}

// open parses the start tag that is next into d.t. If it is broken, that is reported and the tag skipped.
func (d *decoder) open() (ok bool, err error) {
	err = d.tag(&d.t)
	if errors.Is(err, errTag) {
		err = d.bad(d.lineNumber(), err)
		d.skip(1)
		return false, err
	}
	return err == nil, err
}

func (d *decoder) exportDate() error {
	ok, err := d.open()
	if !ok {
		return err
	}
	raw, there := d.t.get("value")
	t, _, err := parseTime(raw)
	if err != nil {
		if err := d.bad(d.lineNumber(), wrong("ExportDate", raw, there, wantTime)); err != nil {
			return err
		}
	}
	d.exported = t
	d.skip(d.t.length)
	return nil
}

func (d *decoder) correlation() error {
	ok, err := d.open()
	if !ok {
		return err
	}
	if !d.t.empty {
		d.correlations++
	}
	d.skip(d.t.length)
	return nil
}

// record reads the Record at b, which is next.
func (d *decoder) record(b []byte) error {
	if d.correlations > 0 {
		d.skip(1)
		return nil
	}
	// Nearly always the type comes first and is another one. Then the rest is not looked at.
	const first = `<Record type="`
	if len(b) > len(first) && string(b[:len(first)]) == first {
		value := b[len(first):min(len(b), lookahead)]
		if n := bytes.IndexByte(value, '"'); n >= 0 && string(value[:n]) != stepCount && bytes.IndexByte(value[:n], '&') < 0 {
			d.skip(len(first) + n)
			return nil
		}
	}
	ok, err := d.open()
	if !ok {
		return err
	}
	if kind, _ := d.t.get("type"); string(kind) != stepCount && text(kind) != stepCount {
		d.skip(d.t.length)
		return nil
	}
	st, r, reason := d.stepRecord()
	var line int64
	if reason != nil {
		line = d.lineNumber()
	}
	empty := d.t.empty
	d.skip(d.t.length)
	byHand := false
	if !empty {
		if byHand, err = d.enteredByHand(); err != nil {
			return err
		}
	}
	switch {
	case byHand:
		d.sink.Dropped("entered by hand", 1)
		return nil
	case reason != nil:
		return d.bad(line, reason)
	}
	if err := d.announce(st); err != nil {
		return err
	}
	st.records++
	st.byDevice[st.class]++
	st.saw(r.End())
	return d.sink.Record("", st.StreamKey, r)
}

// stepRecord reads the attributes in d.t.
func (d *decoder) stepRecord() (*stream, walking.Record, error) {
	var source, device, start, end, value []byte
	var hasStart, hasEnd, hasValue bool
	for i := range d.t.attrs {
		switch a := &d.t.attrs[i]; string(a.name) {
		case "sourceName":
			source = a.value
		case "device":
			device = a.value
		case "startDate":
			start, hasStart = a.value, true
		case "endDate":
			end, hasEnd = a.value, true
		case "value":
			value, hasValue = a.value, true
		}
	}
	r := walking.Record{HasOffset: true}
	var err error
	if r.Start, r.Offset, err = parseTime(start); err != nil {
		return nil, r, wrong("startDate", start, hasStart, wantTime)
	}
	until, _, err := parseTime(end)
	if err != nil {
		return nil, r, wrong("endDate", end, hasEnd, wantTime)
	}
	r.Duration = until.Sub(r.Start)
	if r.Steps, err = parseNumber(value); err != nil {
		return nil, r, wrong("value", value, hasValue, wantSteps)
	}
	if err := ingest.CheckRecord(r, d.now); err != nil {
		return nil, r, err
	}
	st := d.stream(source)
	st.classify(device)
	return st, r, nil
}

// enteredByHand reads the children of a record and its end tag. It reports whether one of them says so.
func (d *decoder) enteredByHand() (bool, error) {
	byHand := false
	for {
		b, err := d.next()
		if err != nil {
			return false, err
		}
		switch {
		case named(b, "/Record"):
			d.skip(2)
			return byHand, nil
		case named(b, "/HealthData"), named(b, "Record"), named(b, "Workout"):
			return byHand, nil // the end tag is missing
		case !named(b, "MetadataEntry"):
			d.skip(1)
			continue
		}
		ok, err := d.open()
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		key, _ := d.t.get("key")
		value, _ := d.t.get("value")
		byHand = byHand || text(key) == "HKWasUserEntered" && text(value) == "1"
		d.skip(d.t.length)
	}
}

// stream returns the stream of a raw sourceName.
func (d *decoder) stream(raw []byte) *stream {
	if st := d.byName[string(raw)]; st != nil {
		return st
	}
	name := text(raw)
	st := d.byName[name]
	if st == nil {
		st = &stream{nameClass: classOfName(name)}
		st.Stream = walking.Stream{
			StreamKey: walking.StreamKey{Source: Source, Origin: name},
			Device:    st.nameClass,
			Delivery:  walking.Filed,
		}
		d.streams = append(d.streams, st)
		d.byName[name] = st
	}
	d.byName[string(raw)] = st
	return st
}

// classify sets st.class to the kind of device that a record with this raw device attribute comes from.
func (st *stream) classify(raw []byte) {
	short := withoutAddress(raw)
	if st.class != 0 && bytes.Equal(short, st.device) {
		return
	}
	st.device = append(st.device[:0], short...)
	if st.class = classOfDevice(text(raw)); st.class == walking.UnknownDevice {
		st.class = st.nameClass
	}
}

func (st *stream) saw(end time.Time) {
	if end.After(st.newest) {
		st.newest = end
	}
}

// announce describes st to the sink before its first record or session.
func (d *decoder) announce(st *stream) error {
	if st.announced {
		return nil
	}
	st.announced = true
	if st.class != 0 {
		st.Device = st.class
	}
	return d.sink.Stream("", st.Stream)
}

// finish says what is known only at the end of the export.
func (d *decoder) finish() error {
	delivered := d.exported
	if delivered.After(d.now) {
		delivered = d.now // the phone's clock is ahead
	}
	for _, st := range d.streams {
		if !st.announced {
			continue
		}
		for class := walking.Wearable; class <= walking.UnknownDevice; class++ {
			if st.byDevice[class] > st.byDevice[st.Device] {
				st.Device = class
			}
		}
		st.SyncedThrough = st.newest
		if !delivered.IsZero() {
			if counting := delivered.Add(-senderDelay); st.Device == walking.Phone && counting.After(st.SyncedThrough) {
				st.SyncedThrough = counting
			}
			if st.SyncedThrough.After(delivered) {
				st.SyncedThrough = delivered
			}
		}
		if err := d.sink.Stream("", st.Stream); err != nil {
			return err
		}
		if st.records == 0 || d.exported.IsZero() {
			continue
		}
		all := walking.Window{Start: time.Unix(0, 0).UTC(), End: d.exported}
		if err := d.sink.Covers("", st.StreamKey, all); err != nil {
			return err
		}
	}
	return nil
}

// workout reads the Workout that is next.
func (d *decoder) workout() error {
	ok, err := d.open()
	if !ok {
		return err
	}
	line := d.lineNumber()
	st, s, reason := d.session()
	told := reason == nil && s.Moving > 0
	empty := d.t.empty
	d.skip(d.t.length)
	p := pauses{last: s.Start, end: s.End}
	if !empty {
		if err := d.workoutChildren(&s, &p); err != nil {
			return err
		}
	}
	if reason != nil {
		return d.bad(line, reason)
	}
	if s.End.Equal(s.Start) { // some gym apps write the end only
		d.sink.Dropped("workout without length", 1)
		return nil
	}
	if !told {
		s.Moving = p.moving()
	}
	if err := ingest.CheckSession(s, d.now); err != nil {
		return d.bad(line, err)
	}
	if err := d.announce(st); err != nil {
		return err
	}
	st.saw(s.End)
	return d.sink.Session("", st.StreamKey, s)
}

// session reads the attributes in d.t. Moving is zero if they do not tell it.
func (d *decoder) session() (*stream, walking.Session, error) {
	var s walking.Session
	kind, there := d.t.get("workoutActivityType")
	if !there {
		return nil, s, wrong("workoutActivityType", nil, false, "one like HKWorkoutActivityTypeWalking")
	}
	s.Kind = kindOf(strings.TrimPrefix(text(kind), "HKWorkoutActivityType"))
	raw, there := d.t.get("startDate")
	var err error
	if s.Start, _, err = parseTime(raw); err != nil {
		return nil, s, wrong("startDate", raw, there, wantTime)
	}
	raw, there = d.t.get("endDate")
	if s.End, _, err = parseTime(raw); err != nil {
		return nil, s, wrong("endDate", raw, there, wantTime)
	}
	duration, _ := d.t.get("duration")
	unit, _ := d.t.get("durationUnit")
	s.Moving = min(parseDuration(duration, text(unit)), max(0, s.End.Sub(s.Start)))
	name, _ := d.t.get("sourceName")
	return d.stream(name), s, nil
}

// kindOf returns the kind of the activity, named as after HKWorkoutActivityType.
func kindOf(activity string) walking.Kind {
	switch activity {
	case "Walking":
		return walking.Walk
	case "Hiking":
		return walking.Hike
	case "Running":
		return walking.Run
	case "Cycling", "HandCycling":
		return walking.Ride
	case "Rowing":
		return walking.Row
	case "Swimming":
		return walking.Swim
	case "Elliptical":
		return walking.Elliptical
	default:
		return walking.Other
	}
}

// parseDuration reads the duration of a workout. It is zero if it is missing or makes no sense.
func parseDuration(raw []byte, unit string) time.Duration {
	n, err := parseNumber(raw)
	if err != nil {
		return 0
	}
	switch strings.ToLower(unit) {
	case "s", "sec":
		n *= float64(time.Second)
	case "", "min":
		n *= float64(time.Minute)
	case "h", "hr":
		n *= float64(time.Hour)
	default:
		return 0
	}
	if !(n >= 0 && n <= float64(walking.MaxRecord)) {
		return 0
	}
	return time.Duration(n)
}

// workoutChildren reads the children of a workout and its end tag: pauses, and the steps.
func (d *decoder) workoutChildren(s *walking.Session, p *pauses) error {
	for depth := 0; ; {
		b, err := d.next()
		if err != nil {
			return err
		}
		switch {
		case named(b, "/Workout"):
			d.skip(2)
			return nil
		case named(b, "/HealthData"), named(b, "Record"), named(b, "Workout"):
			return nil // the end tag is missing
		case len(b) > 1 && b[1] == '/':
			depth = max(0, depth-1)
			d.skip(2)
			continue
		}
		event, statistics := named(b, "WorkoutEvent"), named(b, "WorkoutStatistics")
		ok, err := d.open()
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		// Below a WorkoutActivity they are about a part of the workout.
		if depth == 0 && event {
			d.workoutEvent(p)
		}
		if depth == 0 && statistics {
			if err := d.workoutSteps(s); err != nil {
				return err
			}
		}
		if !d.t.empty {
			depth++
		}
		d.skip(d.t.length)
	}
}

func (d *decoder) workoutEvent(p *pauses) {
	kind, _ := d.t.get("type")
	raw, _ := d.t.get("date")
	t, _, err := parseTime(raw)
	if err != nil {
		return
	}
	switch strings.TrimPrefix(text(kind), "HKWorkoutEventType") {
	case "Pause":
		p.set(&p.paused, true, t)
	case "Resume":
		p.set(&p.paused, false, t)
	case "MotionPaused":
		p.set(&p.still, true, t)
	case "MotionResumed":
		p.set(&p.still, false, t)
	}
}

func (d *decoder) workoutSteps(s *walking.Session) error {
	if kind, _ := d.t.get("type"); text(kind) != stepCount || s.HasSteps {
		return nil
	}
	raw, there := d.t.get("sum")
	n, err := parseNumber(raw)
	if err != nil {
		return d.bad(d.lineNumber(), wrong("sum", raw, there, wantSteps))
	}
	s.Steps, s.HasSteps = n, true
	return nil
}

// pauses adds up the time in motion of a workout from its events, in their order.
type pauses struct {
	paused, still bool // by hand, and found by the device
	last, end     time.Time
	sum           time.Duration // before last
}

func (p *pauses) set(what *bool, to bool, at time.Time) {
	p.until(at)
	*what = to
}

// until adds the time up to at.
func (p *pauses) until(at time.Time) {
	if at.After(p.end) {
		at = p.end
	}
	if !at.After(p.last) {
		return
	}
	if !p.paused && !p.still {
		p.sum += at.Sub(p.last)
	}
	p.last = at
}

func (p *pauses) moving() time.Duration {
	p.until(p.end)
	return p.sum
}
