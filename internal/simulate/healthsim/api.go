package healthsim

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

type object = map[string]any

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}

// page answers with a page for people, as proxies and unknown paths do.
func page(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=en><title>Error</title><p>%s</p></html>\n", text)
}

func oauthError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object{"error": code, "error_description": description})
}

// apiError answers with a google.rpc.Status.
func apiError(w http.ResponseWriter, status int, code, message, reason string, metadata object) {
	e := object{"code": status, "message": message, "status": code}
	if reason != "" {
		info := object{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "health.googleapis.com"}
		if metadata != nil {
			info["metadata"] = metadata
		}
		e["details"] = []object{info}
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object{"error": e})
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
	apiError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.", "", nil)
}

func throttled(w http.ResponseWriter) {
	apiError(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Queries' and limit "+
		"'Queries per minute per user'.", "RATE_LIMIT_EXCEEDED", nil)
}

func invalid(w http.ResponseWriter, err error) {
	apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid data point filter: "+err.Error(),
		"INVALID_DATA_POINT_FILTER", object{"detailedReasons": err.Error()})
}

func (s *Service) serveIdentity(w http.ResponseWriter, _ *http.Request, p *simulate.Person) {
	writeJSON(w, object{"name": "users/me/identity", "healthUserId": userID(p), "legacyUserId": userID(p)})
}

func userID(p *simulate.Person) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.Name()))
	return strconv.FormatUint(h.Sum64(), 10)
}

func (s *Service) serveSettings(w http.ResponseWriter, _ *http.Request, p *simulate.Person) {
	now := s.o.Now()
	_, offset := now.In(p.Home()).Zone()
	writeJSON(w, object{
		"name": "users/me/settings", "timeZone": p.Home().String(),
		"utcOffset": duration(time.Duration(offset) * time.Second), "distanceUnit": "DISTANCE_UNIT_KILOMETERS",
	})
}

func (s *Service) serveDevices(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	devices := []object{{
		"name": "users/me/pairedDevices/scale_1", "deviceType": "SCALE", "lastSyncTime": s.o.Now().UTC().Format(time.RFC3339),
		"deviceVersion": "Aria",
	}}
	if synced := p.Synced(s.o.Now()); !synced.IsZero() {
		devices = append(devices, object{
			"name": "users/me/pairedDevices/watch_1", "deviceType": "TRACKER", "features": []string{"STEPS"},
			"lastSyncTime": synced.UTC().Format(time.RFC3339), "batteryStatus": "NORMAL", "batteryLevel": 85,
			"deviceVersion": "Charge 6",
		})
	}
	size, err := pageSize(r, 5, 100)
	if err != nil {
		invalid(w, err)
		return
	}
	from, err := s.pageFrom(r)
	if err != nil {
		invalid(w, err)
		return
	}
	answer := object{"pairedDevices": devices[min(from, len(devices)):min(from+size, len(devices))]}
	if from+size < len(devices) {
		answer["nextPageToken"] = pageToken(r, from+size)
	}
	writeJSON(w, answer)
}

func pageSize(r *http.Request, standard, most int) (int, error) {
	text := r.URL.Query().Get("pageSize")
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, errors.New("INVALID_PAGE_SIZE")
	}
	if n == 0 {
		return standard, nil
	}
	return min(n, most), nil
}

// pageToken names the place in a listing, for the same question only.
func pageToken(r *http.Request, from int) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d/%x", from, question(r)))
}

func (s *Service) pageFrom(r *http.Request) (int, error) {
	token := r.URL.Query().Get("pageToken")
	if token == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	place, of, found := strings.Cut(string(text), "/")
	n, convErr := strconv.Atoi(place)
	if err != nil || convErr != nil || !found || of != fmt.Sprintf("%x", question(r)) {
		return 0, errors.New("INVALID_PAGE_TOKEN")
	}
	return n, nil
}

// question identifies what a listing is of.
func question(r *http.Request) uint64 {
	h := fnv.New64a()
	q := r.URL.Query()
	_, _ = fmt.Fprint(h, r.URL.Path, "\x00", q.Get("filter"), "\x00", q.Get("pageSize"), "\x00", q.Get("dataSourceFamily"))
	return h.Sum64()
}

// A filter is what a listing is restricted to: from inclusive, to exclusive, either by instants or by the clock.
type filter struct {
	civil    bool
	from, to string // of the clock, as YYYY-MM-DDTHH:MM:SS
	window   walking.Window
}

var condition = regexp.MustCompile(`^(\S+)\s*(>=|<)\s*"([^"]*)"$`)

// parseFilter reads a filter. member is that of the type, such as steps.interval.
func parseFilter(text, member string, physical bool) (filter, error) {
	f := filter{window: walking.Window{Start: time.Unix(0, 0), End: time.Unix(1<<36, 0)}, to: "9999"}
	if strings.TrimSpace(text) == "" {
		return f, nil
	}
	kinds := map[bool]bool{}
	for part := range strings.SplitSeq(text, " AND ") {
		m := condition.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return f, errors.New("INVALID_DATA_POINT_FILTER_SYNTAX")
		}
		name, op, value := m[1], m[2], m[3]
		var civil bool
		switch {
		case name == member+".civil_start_time":
			civil = true
		case name == member+".start_time" && physical:
		default:
			return f, errors.New("INVALID_DATA_POINT_FILTER_DATA_TYPE_MEMBER")
		}
		kinds[civil] = true
		if len(kinds) > 1 {
			return f, errors.New("INVALID_DATA_POINT_FILTER_MIXED_TIME_RESTRICTIONS")
		}
		f.civil = civil
		if err := f.restrict(op, value); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *filter) restrict(op, value string) error {
	if f.civil {
		layout := "2006-01-02"
		if strings.Contains(value, "T") {
			layout = "2006-01-02T15:04:05"
		}
		t, err := time.Parse(layout, value)
		if err != nil {
			return errors.New("INVALID_DATA_POINT_FILTER_CIVIL_TIME")
		}
		value = t.Format("2006-01-02T15:04:05")
		if op == "<" {
			f.to = value
		} else {
			f.from = value
		}
		// Wide enough for every zone; holds decides.
		if op == "<" {
			f.window.End = t.Add(15 * time.Hour)
		} else {
			f.window.Start = t.Add(-15 * time.Hour)
		}
		return nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return errors.New("INVALID_DATA_POINT_FILTER_TIMESTAMP")
	}
	if op == "<" {
		f.window.End = t
	} else {
		f.window.Start = t
	}
	return nil
}

// holds reports whether something that starts at t, with the person's clock at an offset, is asked for.
func (f filter) holds(t time.Time, offset time.Duration) bool {
	if !f.civil {
		return f.window.Contains(t)
	}
	wall := t.UTC().Add(offset).Format("2006-01-02T15:04:05")
	return wall >= f.from && wall < f.to
}

// families are the groups of sources that can be asked for.
func families() []string {
	return []string{
		"", "users/me/dataSourceFamilies/all-sources", "users/me/dataSourceFamilies/google-wearables",
		"users/me/dataSourceFamilies/google-sources",
	}
}

func (s *Service) servePoints(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	kind, method, _ := strings.Cut(r.PathValue("points"), ":")
	if kind != "dataPoints" || method != "" && method != "reconcile" {
		page(w, http.StatusNotFound, "404. That’s an error.")
		return
	}
	if !slices.Contains(families(), r.URL.Query().Get("dataSourceFamily")) {
		invalid(w, errors.New("INVALID_DATA_SOURCE_FAMILY"))
		return
	}
	var (
		points         []object
		err            error
		standard, most = 1440, 10000
	)
	switch r.PathValue("type") {
	case "steps":
		points, err = s.steps(r, p, method == "reconcile")
	case "exercise":
		standard, most = 25, 25
		points, err = s.exercises(r, p, method == "reconcile")
	default:
		apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Unsupported data type.", "", nil)
		return
	}
	if err != nil {
		invalid(w, err)
		return
	}
	size, err := pageSize(r, standard, most)
	from, fromErr := s.pageFrom(r)
	if err = cmp.Or(err, fromErr); err != nil {
		invalid(w, err)
		return
	}
	if s.o.EmptyFirst {
		if r.URL.Query().Get("pageToken") == "" {
			writeJSON(w, object{"dataPoints": []object{}, "nextPageToken": pageToken(r, 1)})
			return
		}
		from--
	}
	end := min(from+size, len(points))
	answer := object{"dataPoints": points[min(from, end):end]}
	if end < len(points) {
		next := end
		if s.o.EmptyFirst {
			next++
		}
		answer["nextPageToken"] = pageToken(r, next)
	}
	writeJSON(w, answer)
}

func (s *Service) steps(r *http.Request, p *simulate.Person, reconciled bool) ([]object, error) {
	f, err := parseFilter(r.URL.Query().Get("filter"), "steps.interval", true)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	w := f.window
	if first := p.First().In(time.UTC).Add(-24 * time.Hour); w.Start.Before(first) {
		w.Start = first
	}
	if w.End.After(now) {
		w.End = now
	}
	out := []object{}
	for _, pt := range slices.Backward(p.Points(w, now)) {
		if !f.holds(pt.Start, pt.Offset) {
			continue
		}
		value := object{"interval": interval(pt.Start, pt.Start.Add(time.Minute), pt.Offset, true)}
		if pt.Steps > 0 {
			value["count"] = s.number(pt.Steps)
		}
		if reconciled {
			out = append(out, object{"steps": value})
			continue
		}
		out = append(out, object{"dataSource": source("Charge 6"), "steps": value})
		if pt.Steps > 40 { // the phone in the pocket counts it again
			again := object{"interval": value["interval"], "count": s.number(pt.Steps - 3)}
			out = append(out, object{"dataSource": source("MobileTrack"), "steps": again})
		}
	}
	return out, nil
}

func (s *Service) exercises(r *http.Request, p *simulate.Person, reconciled bool) ([]object, error) {
	f, err := parseFilter(r.URL.Query().Get("filter"), "exercise.interval", false)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	w := f.window
	if first := p.First().In(time.UTC).Add(-24 * time.Hour); w.Start.Before(first) {
		w.Start = first
	}
	if w.End.After(now) {
		w.End = now
	}
	out := []object{}
	for _, x := range slices.Backward(p.Sessions(w, now)) {
		if !f.holds(x.Start, x.Offset) {
			continue
		}
		summary := object{"caloriesKcal": 5 * x.End.Sub(x.Start).Minutes()}
		if x.Steps > 0 {
			summary["steps"] = s.number(x.Steps)
			summary["distanceMillimeters"] = 700 * x.Steps
		}
		stamp := x.End.Add(14 * time.Minute).Format("2006-01-02T15:04:05.000000Z")
		value := object{
			"interval": interval(x.Start, x.End, x.Offset, false), "exerciseType": x.Type, "metricsSummary": summary,
			"displayName": strings.ToLower(x.Type), "activeDuration": duration(x.End.Sub(x.Start)),
			"createTime": stamp, "updateTime": stamp,
		}
		name := fmt.Sprintf("users/%s/dataTypes/exercise/dataPoints/%d", userID(p), x.Start.Unix())
		if reconciled {
			out = append(out, object{"dataPointName": name, "exercise": value})
		} else {
			out = append(out, object{"name": name, "dataSource": source("Charge 6"), "exercise": value})
		}
	}
	return out, nil
}

func source(device string) object {
	return object{
		"recordingMethod": "PASSIVELY_MEASURED", "platform": "FITBIT", "device": object{"displayName": device},
	}
}

// interval returns the span of a point, with the times of the clock if civil.
func interval(start, end time.Time, offset time.Duration, civil bool) object {
	out := object{
		"startTime": start.UTC().Format(time.RFC3339), "startUtcOffset": duration(offset),
		"endTime": end.UTC().Format(time.RFC3339), "endUtcOffset": duration(offset),
	}
	if civil {
		out["civilStartTime"], out["civilEndTime"] = civilTime(start.UTC().Add(offset)), civilTime(end.UTC().Add(offset))
	}
	return out
}

// civilTime writes what a clock shows. Members that are zero are left out.
func civilTime(wall time.Time) object {
	clock := object{}
	for name, n := range map[string]int{"hours": wall.Hour(), "minutes": wall.Minute(), "seconds": wall.Second()} {
		if n > 0 {
			clock[name] = n
		}
	}
	return object{"date": civilDate(walking.DayOf(wall.Date())), "time": clock}
}

func civilDate(d walking.Day) object {
	y, m, day := d.Date()
	return object{"year": y, "month": int(m), "day": day}
}

// maxRollUp is the longest range that can be summed up by days.
const maxRollUp = 90

// serveRollUp sums steps up by civil days, newest first. The end is exclusive.
func (s *Service) serveRollUp(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	if r.PathValue("type") != "steps" || r.PathValue("points") != "dataPoints:dailyRollUp" {
		page(w, http.StatusNotFound, "404. That’s an error.")
		return
	}
	type date struct{ Year, Month, Day int }
	var q struct {
		Range struct {
			Start, End struct{ Date date }
		}
		WindowSizeDays int
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&q); err != nil {
		apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.", "", nil)
		return
	}
	day := func(d date) walking.Day { return walking.DayOf(d.Year, time.Month(d.Month), d.Day) }
	first, end := day(q.Range.Start.Date), day(q.Range.End.Date)
	if end <= first || end-first > maxRollUp {
		apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid range.", "", nil)
		return
	}
	now := s.o.Now()
	out := []object{}
	for d := end - 1; d >= first; d-- {
		sum, worn := 0, false
		for _, span := range p.Zones().Spans(d) {
			for _, pt := range p.Points(span, now) {
				sum, worn = sum+pt.Steps, true
			}
		}
		if worn {
			out = append(out, object{
				"civilStartTime": object{"date": civilDate(d), "time": object{}},
				"civilEndTime":   object{"date": civilDate(d + 1), "time": object{}},
				"steps":          object{"countSum": s.number(sum)},
			})
		}
	}
	writeJSON(w, object{"rollupDataPoints": out})
}
