package withings

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// A number comes as one, or as a string that holds one; null is none.
type number struct {
	n    float64
	told bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	n, err := strconv.ParseFloat(string(bytes.Trim(b, `"`)), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return errors.New("a number is none")
	}
	*v = number{n, true}
	return nil
}

// seconds returns so many seconds, but not more than a few years of them.
func (v number) seconds() time.Duration {
	const most = 1e9
	return time.Duration(max(-most, min(v.n, most)) * float64(time.Second))
}

// instant returns v as unix seconds; zero if it is not told.
func (v number) instant() time.Time {
	const most = 1 << 40
	if !v.told || math.Abs(v.n) > most {
		return time.Time{}
	}
	return time.Unix(int64(v.n), 0).UTC()
}

// A text comes as one, or as a number; anything else is none.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (v *text) UnmarshalJSON(b []byte) error {
	*v = ""
	switch c := b[0]; {
	case c == '"':
		return json.Unmarshal(b, (*string)(v))
	case c == '-', c >= '0' && c <= '9':
		*v = text(b)
	}
	return nil
}

// What is used of the API's schemas.
type (
	deviceJSON struct {
		Type    string `json:"type"`
		Model   text   `json:"model"`
		Battery text   `json:"battery"`
		Zone    string `json:"timezone"`
		Session number `json:"last_session_date"`
	}
	activityJSON struct {
		Date      string `json:"date"`
		Zone      string `json:"timezone"`
		Modified  number `json:"modified"`
		Steps     number `json:"steps"`
		Model     number `json:"modelid"`
		IsTracker *bool  `json:"is_tracker"`
	}
	minuteJSON struct {
		Steps    number `json:"steps"`
		Duration number `json:"duration"`
		Model    number `json:"model_id"`
	}
	workoutJSON struct {
		Category number          `json:"category"`
		Attrib   number          `json:"attrib"`
		Start    number          `json:"startdate"`
		End      number          `json:"enddate"`
		Data     json.RawMessage `json:"data"`
	}
	workoutDataJSON struct {
		Steps     number `json:"steps"`
		Pause     number `json:"pause_duration"`
		AlgoPause number `json:"algo_pause_duration"`
	}
)

// empty reports whether a value is absent, or the empty object or list: Withings has been seen to write one for the
// other.
func empty(raw json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(raw), nil)) {
	case "", "null", "[]", "{}":
		return true
	}
	return false
}

// members returns the members of a body that has to hold one of that name, unless it is empty.
func members(body json.RawMessage, name string) (map[string]json.RawMessage, error) {
	if body == nil {
		return nil, noSense(errors.New("it has no body"))
	}
	if empty(body) {
		return nil, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, noSense(err)
	}
	if _, ok := m[name]; !ok {
		return nil, noSense(errors.New("it is about something else"))
	}
	return m, nil
}

// elements returns the elements of a list, which may have become an object.
func elements(raw json.RawMessage) ([]json.RawMessage, error) {
	if empty(raw) {
		return nil, nil
	}
	var list []json.RawMessage
	if raw = bytes.TrimSpace(raw); raw[0] != '{' {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, noSense(err)
		}
		return list, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, noSense(err)
	}
	for _, v := range m {
		list = append(list, v)
	}
	return list, nil
}

// wantsMore reads whether a listing goes on: true, 1 or "1".
func wantsMore(raw json.RawMessage) bool {
	switch strings.Trim(string(raw), `"`) {
	case "", "null", "false", "0":
		return false
	}
	return true
}

// A minute is an entry of the minutes. Most of them last one.
type minute struct {
	walking.Record
	apps bool // counted by a phone or a linked app
}

// readMinutes returns what a body tells of minutes, in no order. Entries that tell no steps, such as those of the heart
// rate, are none.
func readMinutes(body json.RawMessage) ([]minute, error) {
	m, err := members(body, "series")
	if err != nil || empty(m["series"]) {
		return nil, err
	}
	var series map[string]*minuteJSON
	if err := json.Unmarshal(m["series"], &series); err != nil {
		return nil, noSense(err)
	}
	out := make([]minute, 0, len(series))
	for key, v := range series {
		at, err := strconv.ParseInt(key, 10, 64)
		if err != nil || at < -1<<40 || at > 1<<40 {
			return nil, noSense(errors.New("a minute has no time"))
		}
		if v == nil || !v.Steps.told || !v.Duration.told && v.Steps.n == 0 {
			continue
		}
		length := time.Minute
		if v.Duration.told {
			length = v.Duration.seconds()
		}
		out = append(out, minute{
			walking.Record{Start: time.Unix(at, 0).UTC(), Duration: length, Steps: v.Steps.n}, isApp(v.Model),
		})
	}
	return out, nil
}

// isApp reports whether a model is a phone or a linked app: the documented ones are 1051 to 1062, of which 1058 is an
// Apple Watch. What Withings makes is below 1000.
func isApp(model number) bool { return model.told && model.n > 1000 && model.n != 1058 }

// A daily is what Withings has of a civil date as a whole.
type daily struct {
	date     walking.Day
	zone     *time.Location // nil if it is not known here
	modified time.Time      // zero if not told
	steps    float64
	told     bool // whether there are steps
	apps     bool
}

// window returns the instants of the date; false if its zone is not known.
func (d daily) window() (walking.Window, bool) {
	if d.zone == nil {
		return walking.Window{}, false
	}
	return walking.Window{Start: d.date.In(d.zone).UTC(), End: (d.date + 1).In(d.zone).UTC()}, true
}

// readDaily returns the day that an element of activities is.
func readDaily(raw json.RawMessage) (daily, error) {
	var v activityJSON
	if err := json.Unmarshal(raw, &v); err != nil {
		return daily{}, noSense(err)
	}
	date, err := walking.ParseDay(v.Date)
	if err != nil {
		return daily{}, noSense(errors.New("a day has no date"))
	}
	d := daily{
		date: date, modified: v.Modified.instant(), steps: v.Steps.n, told: v.Steps.told && v.Steps.n >= 0, apps: isApp(v.Model),
	}
	if !v.Model.told && v.IsTracker != nil {
		d.apps = !*v.IsTracker
	}
	if zone, err := walking.ParseZone(v.Zone); err == nil {
		d.zone = zone
	}
	return d, nil
}

// kindOf returns the kind of a workout. Whatever is not named here counts nowhere, while its steps count as those of
// any other minute do. Left out on purpose is what is only partly walking or riding, such as golf and snowshoeing.
func kindOf(category int) walking.Kind {
	switch category {
	case 1, 306, 542, 543, 559, 562, 566: // indoors, with a walker, a cane, a dog, a stroller, or poles
		return walking.Walk
	case 3:
		return walking.Hike
	case 2, 307, 498: // indoors, on trails
		return walking.Run
	case 5, 6, 308, 518, 523, 524, 525, 526, 527, 528, 547: // from BMX to the spin class
		return walking.Ride
	case 7:
		return walking.Swim
	case 18:
		return walking.Elliptical
	case 187:
		return walking.Row
	}
	return walking.Other
}

const noActivity = 128 // a category

// readWorkout returns the session that an element of a listing of workouts is. false says that it is none, or entered
// by hand: that is remembered and not measured.
func readWorkout(raw json.RawMessage) (walking.Session, bool, error) {
	var v workoutJSON
	if err := json.Unmarshal(raw, &v); err != nil {
		return walking.Session{}, false, noSense(err)
	}
	start, end := v.Start.instant(), v.End.instant()
	if start.IsZero() || end.IsZero() {
		return walking.Session{}, false, noSense(errors.New("a workout has no start or no end"))
	}
	if v.Category.n == noActivity || slices.Contains([]float64{2, 4}, v.Attrib.n) {
		return walking.Session{}, false, nil
	}
	var data workoutDataJSON
	if !empty(v.Data) {
		if err := json.Unmarshal(v.Data, &data); err != nil {
			return walking.Session{}, false, noSense(err)
		}
	}
	s := walking.Session{
		Start: start, End: end, Kind: kindOf(int(min(v.Category.n, 1<<20))), Steps: data.Steps.n, HasSteps: data.Steps.told,
	}
	length := end.Sub(start)
	// The second is what a watch finds by itself, in swimming alone.
	paused := max(data.Pause.seconds(), data.AlgoPause.seconds(), 0)
	s.Moving = max(0, length-paused)
	return s, true, nil
}

// checked returns s without what cannot be in it, or the reason why there is nothing left, and what was left out.
func checked(s walking.Session, now time.Time) (walking.Session, error, bool) {
	err := ingest.CheckSession(s, now)
	if err == nil || !s.HasSteps {
		return s, err, err == nil
	}
	// The walk may still be right where its steps are not.
	s.Steps, s.HasSteps = 0, false
	return s, err, ingest.CheckSession(s, now) == nil
}
