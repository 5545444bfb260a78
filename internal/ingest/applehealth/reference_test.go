package applehealth

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// The reference decoder does with encoding/xml, in memory and plainly, what Format does fast.

const refLayout = "2006-01-02 15:04:05 -0700"

type refEntry struct {
	Key   string `xml:"key,attr"`
	Value string `xml:"value,attr"`
}

type refRecord struct {
	Type       string     `xml:"type,attr"`
	SourceName string     `xml:"sourceName,attr"`
	Start      string     `xml:"startDate,attr"`
	End        string     `xml:"endDate,attr"`
	Value      string     `xml:"value,attr"`
	Entries    []refEntry `xml:"MetadataEntry"`
}

type refWorkout struct {
	Activity   string  `xml:"workoutActivityType,attr"`
	HasKind    *string `xml:"-"`
	Duration   string  `xml:"duration,attr"`
	Unit       string  `xml:"durationUnit,attr"`
	SourceName string  `xml:"sourceName,attr"`
	Start      string  `xml:"startDate,attr"`
	End        string  `xml:"endDate,attr"`
	Events     []struct {
		Type string `xml:"type,attr"`
		Date string `xml:"date,attr"`
	} `xml:"WorkoutEvent"`
	Statistics []struct {
		Type string `xml:"type,attr"`
		Sum  string `xml:"sum,attr"`
	} `xml:"WorkoutStatistics"`
}

// A refResult is what the reference finds, by sourceName.
type refResult struct {
	Records  map[string][]walking.Record
	Sessions map[string][]walking.Session
	Bad      int
	Drops    map[string]int
}

// errSkip says that the reference does not vouch for a document.
var errSkip = errors.New("nothing to compare")

func refDecode(doc []byte, now time.Time) (*refResult, error) {
	i := bytes.Index(doc, []byte("<HealthData"))
	if i < 0 || bytes.Count(doc, []byte("<HealthData")) > 1 || bytes.ContainsRune(doc, '\r') {
		return nil, errSkip
	}
	if err := plain(doc[i:]); err != nil {
		return nil, err
	}
	res := &refResult{map[string][]walking.Record{}, map[string][]walking.Session{}, 0, map[string]int{}}
	d := xml.NewDecoder(bytes.NewReader(doc[i:]))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		start, ok := token.(xml.StartElement)
		if _, end := token.(xml.EndElement); end {
			return res, nil
		}
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "Record":
			var r refRecord
			if err := d.DecodeElement(&r, &start); err != nil {
				return nil, err
			}
			res.record(r, now)
		case "Workout":
			var w refWorkout
			if err := d.DecodeElement(&w, &start); err != nil {
				return nil, err
			}
			for _, a := range start.Attr {
				if a.Name.Local == "workoutActivityType" {
					w.HasKind = &w.Activity
				}
			}
			if err := res.workout(w, now); err != nil {
				return nil, err
			}
		case "ExportDate":
			value := ""
			for _, a := range start.Attr {
				if a.Name.Local == "value" {
					value = a.Value
				}
			}
			if _, _, err := refTime(value); err != nil {
				res.Bad++
			}
			err = d.Skip()
		default:
			err = d.Skip()
		}
		if err != nil {
			return nil, err
		}
	}
}

// plain returns an error unless the document is well-formed to the end of its root and its elements stand where the
// DTD has them.
func plain(doc []byte) error {
	d := xml.NewDecoder(bytes.NewReader(doc))
	var open []string
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.Directive:
			return errSkip
		case xml.StartElement:
			seen := map[string]bool{}
			for _, a := range t.Attr {
				if a.Name.Space != "" || seen[a.Name.Local] {
					return errSkip
				}
				seen[a.Name.Local] = true
			}
			if t.Name.Space != "" {
				return errSkip
			}
			parent := ""
			if len(open) > 0 {
				parent = open[len(open)-1]
			}
			switch name := t.Name.Local; name {
			case "HealthData":
				if len(open) > 0 {
					return errSkip
				}
			case "Workout", "Correlation", "ExportDate":
				if len(open) != 1 {
					return errSkip
				}
			case "Record":
				if len(open) != 1 && parent != "Correlation" {
					return errSkip
				}
			case "MetadataEntry", "WorkoutEvent", "WorkoutStatistics":
				if len(open) != 2 && parent != "WorkoutActivity" {
					return errSkip
				}
			default:
				if parent == "Record" {
					return errSkip
				}
			}
			open = append(open, t.Name.Local)
		case xml.EndElement:
			open = open[:len(open)-1]
			if len(open) == 0 {
				return nil
			}
		}
	}
}

func refTime(s string) (time.Time, int, error) {
	t, err := time.Parse(refLayout, s)
	if err != nil {
		return t, 0, err
	}
	_, offset := t.Zone()
	if hours := s[len(s)-4 : len(s)-2]; hours > "18" || s[len(s)-2:] > "59" || strings.ContainsRune(s, '.') {
		return t, 0, errors.New("offset")
	}
	if len(s) != len(refLayout) {
		return t, 0, errors.New("length")
	}
	return t.UTC(), offset, nil
}

func (res *refResult) record(r refRecord, now time.Time) {
	if r.Type != stepCount {
		return
	}
	for _, e := range r.Entries {
		if e.Key == "HKWasUserEntered" && e.Value == "1" {
			res.Drops["entered by hand"]++
			return
		}
	}
	start, offset, err1 := refTime(r.Start)
	end, _, err2 := refTime(r.End)
	steps, err3 := strconv.ParseFloat(r.Value, 64)
	rec := walking.Record{Start: start, Duration: end.Sub(start), Steps: steps, Offset: offset, HasOffset: true}
	if errors.Join(err1, err2, err3) != nil || ingest.CheckRecord(rec, now) != nil {
		res.Bad++
		return
	}
	res.Records[r.SourceName] = append(res.Records[r.SourceName], rec)
}

var refKinds = map[string]walking.Kind{
	"HKWorkoutActivityTypeWalking": walking.Walk, "HKWorkoutActivityTypeHiking": walking.Hike,
	"HKWorkoutActivityTypeRunning": walking.Run, "HKWorkoutActivityTypeCycling": walking.Ride,
	"HKWorkoutActivityTypeHandCycling": walking.Ride, "HKWorkoutActivityTypeRowing": walking.Row,
	"HKWorkoutActivityTypeSwimming": walking.Swim, "HKWorkoutActivityTypeElliptical": walking.Elliptical,
}

var refUnits = map[string]time.Duration{
	"": time.Minute, "min": time.Minute, "s": time.Second, "sec": time.Second, "h": time.Hour, "hr": time.Hour,
}

func (res *refResult) workout(w refWorkout, now time.Time) error {
	s := walking.Session{Kind: walking.Other}
	bad := 0
	for _, x := range w.Statistics {
		if x.Type != stepCount || s.HasSteps {
			continue
		}
		n, err := strconv.ParseFloat(x.Sum, 64)
		if err != nil {
			bad++
			continue
		}
		s.Steps, s.HasSteps = n, true
	}
	res.Bad += bad
	var err1, err2 error
	s.Start, _, err1 = refTime(w.Start)
	s.End, _, err2 = refTime(w.End)
	if err1 != nil || err2 != nil || w.HasKind == nil {
		res.Bad++
		return nil
	}
	if s.End.Equal(s.Start) {
		res.Drops["workout without length"]++
		return nil
	}
	if k, ok := refKinds[w.Activity]; ok {
		s.Kind = k
	} else if _, ok := refKinds["HKWorkoutActivityType"+w.Activity]; ok {
		return errSkip // no prefix
	}
	length := s.End.Sub(s.Start)
	told, err := strconv.ParseFloat(w.Duration, 64)
	told *= float64(refUnits[strings.ToLower(w.Unit)])
	if err == nil && told >= 1 && told <= float64(48*time.Hour) {
		s.Moving = min(time.Duration(told), max(0, length))
	}
	if s.Moving == 0 && length <= walking.MaxRecord && length > 0 {
		var err error
		if s.Moving, err = refMoving(w, s); err != nil {
			return err
		}
	}
	if ingest.CheckSession(s, now) != nil {
		res.Bad++
		return nil
	}
	res.Sessions[w.SourceName] = append(res.Sessions[w.SourceName], s)
	return nil
}

// refMoving counts the seconds in which neither kind of pause is on.
func refMoving(w refWorkout, s walking.Session) (time.Duration, error) {
	paused := map[string]bool{}
	var last time.Time
	next := 0
	var moving time.Duration
	for t := s.Start; t.Before(s.End); t = t.Add(time.Second) {
		for ; next < len(w.Events); next++ {
			at, _, err := refTime(w.Events[next].Date)
			if err != nil {
				continue
			}
			if at.Before(last) {
				return 0, errSkip // out of order
			}
			if at.After(t) {
				break
			}
			last = at
			switch kind := strings.TrimPrefix(w.Events[next].Type, "HKWorkoutEventType"); kind {
			case "Pause", "Resume":
				paused["by hand"] = kind == "Pause"
			case "MotionPaused", "MotionResumed":
				paused["found"] = kind == "MotionPaused"
			}
		}
		if !paused["by hand"] && !paused["found"] {
			moving += time.Second
		}
	}
	return moving, nil
}

// tokens reads a document with encoding/xml and does nothing with it: the least that a decoder based on it costs.
func tokens(r io.Reader) (int, error) {
	d := xml.NewDecoder(r)
	d.Strict = false
	for n := 0; ; n++ {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}
