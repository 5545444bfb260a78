package polar

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// What is used of the answers.
type (
	activity struct { // of one day
		StartTime string   `json:"start_time"`
		EndTime   string   `json:"end_time"`
		Steps     number   `json:"steps"`
		Samples   *samples `json:"samples"`
	}
	samples struct {
		Steps *stepSamples `json:"steps"`
		Zones *zoneSamples `json:"activity_zones"`
	}
	stepSamples struct {
		IntervalMS number       `json:"interval_ms"` // documented as 0
		TotalSteps number       `json:"total_steps"`
		Samples    []stepSample `json:"samples"`
	}
	stepSample struct {
		Steps     number `json:"steps"`
		Timestamp string `json:"timestamp"`
	}
	zoneSamples struct {
		Samples []zoneSample `json:"samples"`
	}
	zoneSample struct {
		Zone      string `json:"zone"`
		Timestamp string `json:"timestamp"`
	}
	exercise struct {
		StartTime         string `json:"start_time"`
		StartOffset       number `json:"start_time_utc_offset"` // in minutes
		Duration          string `json:"duration"`
		Sport             string `json:"sport"`
		DetailedSportInfo string `json:"detailed_sport_info"`
		UploadTime        string `json:"upload_time"` // always of the same form, and in UTC
		Device            string `json:"device"`
	}
)

// UnmarshalJSON implements json.Unmarshaler. Older answers have hyphens where newer ones have underscores.
func (e *exercise) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	for name, to := range map[string]any{
		"start_time": &e.StartTime, "start_time_utc_offset": &e.StartOffset, "duration": &e.Duration, "sport": &e.Sport,
		"detailed_sport_info": &e.DetailedSportInfo, "upload_time": &e.UploadTime, "device": &e.Device,
	} {
		value, ok := fields[name]
		if !ok {
			value, ok = fields[strings.ReplaceAll(name, "_", "-")]
		}
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, to); err != nil {
			return err
		}
	}
	return nil
}

// A number is one that may also be written as text.
type number struct {
	v    float64
	told bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	text := string(bytes.Trim(b, `"`))
	if text == "null" || text == "" {
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return errNumber
	}
	*n = number{v, true}
	return nil
}

// list is what Polar answers with. A body that is null is no empty list.
type list[T any] struct {
	items []T
	told  bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	if !bytes.HasPrefix(b, []byte("[")) {
		return errNoList
	}
	l.told = true
	return json.Unmarshal(b, &l.items)
}

// parseWall returns what a clock showed, as if it were UTC. Some answers put a Z behind local times as well.
func parseWall(text string) (time.Time, error) {
	text = strings.TrimSuffix(text, "Z")
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errTime
}

// parseDuration reads a length as ISO 8601 writes it, without years and months.
func parseDuration(text string) (time.Duration, error) {
	rest, ok := strings.CutPrefix(text, "P")
	if !ok || rest == "" {
		return 0, errDuration
	}
	date, clock, timed := strings.Cut(rest, "T")
	if timed && clock == "" {
		return 0, errDuration
	}
	var sum float64 // seconds
	for _, part := range []struct {
		text, units string
		seconds     []float64
	}{
		{date, "WD", []float64{7 * 86400, 86400}},
		{clock, "HMS", []float64{3600, 60, 1}},
	} {
		next := 0 // units come in this order
		for part.text != "" {
			i := strings.IndexAny(part.text, part.units[next:])
			if i <= 0 {
				return 0, errDuration
			}
			v, err := strconv.ParseFloat(strings.Replace(part.text[:i], ",", ".", 1), 64)
			if err != nil || strings.ContainsAny(part.text[:i], "eExXpPiInN+-_") {
				return 0, errDuration
			}
			unit := strings.IndexByte(part.units, part.text[i])
			sum += v * part.seconds[unit]
			next, part.text = unit+1, part.text[i+1:]
		}
	}
	const most = 1e9 // seconds
	if sum > most {
		return 0, errDuration
	}
	return time.Duration(math.Round(sum*1e3)) * time.Millisecond, nil
}
