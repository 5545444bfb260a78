package withingssim

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

type object = map[string]any

func writeJSON(w http.ResponseWriter, v any) { simulate.WriteJSON(w, http.StatusOK, v) }

// refuse answers as Withings does: by a status in the body.
func refuse(w http.ResponseWriter, status int, text string, body object) {
	if body == nil {
		body = object{}
	}
	writeJSON(w, object{"status": status, "body": body, "error": text})
}

// page answers with a page for people.
func page(w http.ResponseWriter, status int, text string) {
	simulate.WritePage(w, status, "Withings", text)
}

// The devices that people have.
const (
	watchID, watchModel = 93, "ScanWatch"
	phoneID, phoneModel = 1057, "HealthKit step iPhone tracker"
	watchDevice         = "892359876fd8805ac45bab078c4828692f0276b1"
	phoneDevice         = "0d2f1f6a2a1ba2a5d3f7b55b63f1e0c4a9b1c7de"
)

// serveAPI answers the calls of the API, each a POST with an action.
func (s *Service) serveAPI(w http.ResponseWriter, r *http.Request) {
	g := s.holder(r)
	if g == nil {
		s.count("", r)
		if s.o.RefusedCount {
			s.repeated("", r)
		}
		refuse(w, 401, badToken, nil)
		return
	}
	if s.count(g.person, r) {
		refuse(w, 601, "Too many requests", nil)
		return
	}
	wait := s.repeated(g.person, r)
	if s.o.RefusedCount {
		wait = max(wait, s.repeated("", r))
	}
	if wait > 0 {
		tooSoon(w, wait)
		return
	}
	p := s.Person(g.person)
	scope := ScopeActivity
	var serve func(http.ResponseWriter, *http.Request, *simulate.Person) error
	switch r.URL.Path + " " + r.Form.Get("action") {
	case "/v2/user getdevice":
		scope, serve = ScopeInfo, s.serveDevices
	case "/v2/measure getactivity":
		serve = s.serveActivities
	case "/v2/measure getintradayactivity":
		serve = s.serveMinutes
	case "/v2/measure getworkouts":
		serve = s.serveWorkouts
	default:
		refuse(w, 2554, "Not implemented", nil)
		return
	}
	if !slices.Contains(g.scopes, scope) {
		refuse(w, 277, "Unauthorized", nil)
		return
	}
	if err := serve(w, r, p); err != nil {
		refuse(w, 503, "Invalid Params: "+err.Error(), nil)
	}
}

func (s *Service) serveDevices(w http.ResponseWriter, _ *http.Request, p *simulate.Person) error {
	now := s.o.Now()
	zone := p.Zones().At(now).String()
	devices := []object{{
		"type": "Scale", "battery": "high", "model": "Body+", "model_id": 5, "timezone": p.Home().String(),
		"first_session_date": nil, "last_session_date": now.Unix(), "deviceid": "f00d", "hash_deviceid": "f00d",
	}}
	if !s.o.NoTracker {
		d := object{
			"type": "Activity Tracker", "battery": "medium", "model": watchModel, "model_id": watchID, "timezone": zone,
			"first_session_date": p.First().In(p.Home()).Unix(), "last_session_date": nil,
			"deviceid": watchDevice, "hash_deviceid": watchDevice,
		}
		if synced := p.Synced(now); !synced.IsZero() {
			d["last_session_date"] = synced.Unix()
		}
		devices = append(devices, d)
	}
	writeJSON(w, object{"status": 0, "body": object{"devices": devices}})
	return nil
}

// A day is what the service knows of a date.
type day struct {
	hash     uint64 // of all that is told of it
	modified time.Time
	steps    int
	zone     string
	workouts []simulate.Session
}

// rewrite is how far back a day can still change.
const rewrite = 35

// update looks what has changed since it was last looked. A change is stamped with the time at which it is seen.
func (s *Service) update(p *simulate.Person) map[walking.Day]*day {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	days := s.days[p.Name()]
	zones := p.Zones()
	first := zones.Day(now) - rewrite
	begun := days != nil
	if !begun {
		days = map[walking.Day]*day{}
		s.days[p.Name()] = days
		first = p.First()
	}
	first = max(first, p.First())
	found := map[walking.Day]*day{}
	get := func(t time.Time, offset time.Duration) *day {
		d := walking.DayOf(t.Add(offset).UTC().Date())
		if found[d] == nil {
			found[d] = &day{hash: 14695981039346656037}
		}
		return found[d]
	}
	w := walking.Window{Start: first.In(time.UTC).Add(-15 * time.Hour), End: now.Add(24 * time.Hour)}
	mix := func(d *day, n int64) { d.hash = (d.hash ^ uint64(n)) * 1099511628211 }
	for _, pt := range p.Points(w, now) {
		d := get(pt.Start, pt.Offset)
		d.steps += pt.Steps
		d.zone = zones.At(pt.Start).String()
		mix(d, pt.Start.Unix())
		mix(d, int64(pt.Steps))
	}
	for _, x := range p.Sessions(w, now) {
		d := get(x.Start, x.Offset)
		d.zone = cmp.Or(d.zone, zones.At(x.Start).String())
		d.workouts = append(d.workouts, x)
		mix(d, -x.Start.Unix())
		mix(d, x.End.Unix())
	}
	for d := range days {
		if d >= first && found[d] == nil {
			found[d] = &day{zone: days[d].zone} // all of it was taken back
		}
	}
	for d, f := range found {
		old := days[d]
		switch {
		case d < first || old != nil && old.hash == f.hash:
			continue
		case begun:
			f.modified = now
		default:
			f.modified = (d + 1).In(zones.Home()).Add(time.Hour)
			if f.modified.After(now) {
				f.modified = now
			}
		}
		days[d] = f
	}
	return maps.Clone(days)
}

// chosen returns the dates that are asked for, by dates or by lastupdate but not by both.
func chosen(r *http.Request, days map[walking.Day]*day) ([]walking.Day, error) {
	from, to, since := r.Form.Get("startdateymd"), r.Form.Get("enddateymd"), r.Form.Get("lastupdate")
	var take func(walking.Day, *day) bool
	switch {
	case since != "" && from == "" && to == "":
		n, err := strconv.ParseInt(since, 10, 64)
		if err != nil {
			return nil, errors.New("lastupdate")
		}
		take = func(_ walking.Day, d *day) bool { return d.modified.Unix() > n }
	case since == "" && from != "" && to != "":
		a, err := walking.ParseDay(from)
		if err != nil {
			return nil, errors.New("startdateymd")
		}
		b, err := walking.ParseDay(to)
		if err != nil {
			return nil, errors.New("enddateymd")
		}
		take = func(d walking.Day, _ *day) bool { return d >= a && d <= b }
	default:
		return nil, errors.New("startdateymd, enddateymd or lastupdate")
	}
	var out []walking.Day
	for _, d := range slices.Sorted(maps.Keys(days)) {
		if take(d, days[d]) {
			out = append(out, d)
		}
	}
	return out, nil
}

// paged returns the page of a list that is asked for.
func (s *Service) paged(r *http.Request, name string, list []object) object {
	from, err := strconv.Atoi(r.Form.Get("offset"))
	if err != nil || from < 0 {
		from = 0
	}
	from = min(from, len(list))
	end := min(from+s.o.PageSize, len(list))
	return object{"status": 0, "body": object{name: list[from:end], "more": end < len(list), "offset": end}}
}

func (s *Service) number(n int) any {
	if s.o.Strings {
		return strconv.Itoa(n)
	}
	return n
}

// fields keeps of values those that data_fields name.
func fields(r *http.Request, values object) object {
	out := object{}
	for name := range strings.SplitSeq(r.Form.Get("data_fields"), ",") {
		if v, ok := values[name]; ok {
			out[name] = v
		}
	}
	return out
}

func (s *Service) serveActivities(w http.ResponseWriter, r *http.Request, p *simulate.Person) error {
	days := s.update(p)
	asked, err := chosen(r, days)
	if err != nil {
		return err
	}
	list := []object{}
	for _, date := range asked {
		d := days[date]
		o := fields(r, object{
			"steps": s.number(d.steps), "distance": 0.7 * float64(d.steps), "elevation": 0, "soft": 1800, "moderate": 300,
			"intense": 0, "active": 300, "calories": 0.04 * float64(d.steps), "totalcalories": 2200.5,
		})
		maps.Copy(o, object{
			"date": date.String(), "timezone": d.zone, "modified": d.modified.Unix(), "brand": 1, "is_tracker": true,
			"deviceid": watchDevice, "hash_deviceid": watchDevice, "model": watchModel, "modelid": watchID,
		})
		if s.o.NoTracker {
			maps.Copy(o, object{
				"brand": 18, "is_tracker": false, "deviceid": nil, "hash_deviceid": nil, "model": phoneModel, "modelid": phoneID,
			})
		}
		list = append(list, o)
	}
	writeJSON(w, s.paged(r, "activities", list))
	return nil
}

func (s *Service) serveMinutes(w http.ResponseWriter, r *http.Request, p *simulate.Person) error {
	now := s.o.Now()
	window := walking.Window{Start: now.Add(-24 * time.Hour), End: now}
	if r.Form.Get("startdate") != "" || r.Form.Get("enddate") != "" {
		from, err := strconv.ParseInt(r.Form.Get("startdate"), 10, 64)
		if err != nil {
			return errors.New("startdate")
		}
		to, err := strconv.ParseInt(r.Form.Get("enddate"), 10, 64)
		if err != nil || to < from {
			return errors.New("enddate")
		}
		window = walking.Window{Start: time.Unix(from, 0), End: time.Unix(min(to, from+24*3600), 0)}
	}
	series := object{}
	if !s.o.NoMinutes {
		for _, pt := range p.Points(window, now) {
			series[strconv.FormatInt(pt.Start.Unix(), 10)] = s.minute(r, pt.Steps, watchDevice, watchModel, watchID)
			if s.o.TwoDevices && pt.Steps > 40 {
				at := strconv.FormatInt(pt.Start.Unix()+20, 10)
				series[at] = s.minute(r, pt.Steps-3, phoneDevice, phoneModel, phoneID)
			}
		}
	}
	var told any = series
	if len(series) == 0 && s.o.Arrays {
		told = []any{}
	}
	writeJSON(w, object{"status": 0, "body": object{"series": told}})
	return nil
}

func (s *Service) minute(r *http.Request, steps int, device, model string, id int) object {
	o := fields(r, object{
		"steps": s.number(steps), "duration": s.number(60), "distance": 0.7 * float64(steps), "elevation": 0,
		"calories": 0.04 * float64(steps),
	})
	o["deviceid"], o["model"], o["model_id"] = device, model, id
	return o
}

func (s *Service) serveWorkouts(w http.ResponseWriter, r *http.Request, p *simulate.Person) error {
	days := s.update(p)
	asked, err := chosen(r, days)
	if err != nil {
		return err
	}
	list := []object{}
	for _, date := range asked {
		for _, x := range days[date].workouts {
			list = append(list, s.workout(r, date, days[date], x))
		}
	}
	writeJSON(w, s.paged(r, "series", list))
	return nil
}

func (s *Service) workout(r *http.Request, date walking.Day, d *day, x simulate.Session) object {
	minutes := x.End.Sub(x.Start).Minutes()
	values := object{
		"calories": math.Round(5 * minutes), "pause_duration": 0, "steps": s.number(x.Steps), "distance": 7 * x.Steps / 10,
	}
	category := 1
	if x.Type == "BIKING" {
		category = 6
		delete(values, "steps")
	}
	data := fields(r, values)
	data["algo_pause_duration"] = nil
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, x.Start.Unix())
	return object{
		"id": h.Sum32(), "category": category, "timezone": d.zone, "model": watchID, "attrib": 0,
		"startdate": x.Start.Unix(), "enddate": x.End.Unix(), "date": date.String(), "deviceid": watchDevice,
		"data": data, "modified": d.modified.Unix(),
	}
}
