package polarsim

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

type object = map[string]any

func writeJSON(w http.ResponseWriter, v any) { simulate.WriteJSON(w, http.StatusOK, v) }

func refuse(w http.ResponseWriter, status int, text string) {
	simulate.WriteJSON(w, status, object{"error": object{"status": status, "message": text}})
}

func oauthError(w http.ResponseWriter, code string) {
	simulate.WriteJSON(w, http.StatusBadRequest, object{"error": code})
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// wall returns what a clock shows that is ahead of UTC by an offset.
func wall(t time.Time, offset time.Duration) time.Time { return t.UTC().Add(offset) }

// today returns the date by which the service limits what it tells.
func (s *Service) today() walking.Day { return walking.DayOf(s.o.Now().UTC().Date()) }

// chosen returns the days that a request asks for; ok is false if it cannot have them.
func (s *Service) chosen(r *http.Request) (from, to walking.Day, ok bool) {
	q := r.URL.Query()
	to = s.today()
	var err error
	if text := q.Get("to"); text != "" {
		if to, err = walking.ParseDay(text); err != nil {
			return 0, 0, false
		}
	}
	from = s.today() - longestAsk + 1
	if text := q.Get("from"); text != "" {
		if from, err = walking.ParseDay(text); err != nil {
			return 0, 0, false
		}
	}
	return from, to, from <= to && to-from < longestAsk && from >= s.today()-oldestDay
}

func (s *Service) serveActivities(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	from, to, ok := s.chosen(r)
	if !ok {
		refuse(w, http.StatusBadRequest, "Invalid or too old date.")
		return
	}
	out := []object{}
	for d := from; d <= to; d++ {
		if a := s.activity(r, p, d); a != nil {
			out = append(out, a)
		}
	}
	writeJSON(w, out)
}

func (s *Service) serveActivity(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	d, err := walking.ParseDay(r.PathValue("date"))
	if err != nil || d < s.today()-oldestDay {
		refuse(w, http.StatusBadRequest, "Invalid or too old date.")
		return
	}
	if a := s.activity(r, p, d); a != nil {
		writeJSON(w, a)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// A minute is one as a device has counted it.
type minute struct {
	start time.Time
	wall  time.Time // that the device showed at its start
	steps int
}

// minutes returns all minutes of a date that a device of p has synced, in the order in which they went by.
func (s *Service) minutes(p *simulate.Person, d walking.Day, now time.Time) []minute {
	zones, synced := p.Zones(), p.Synced(now)
	spans := zones.Spans(d)
	if len(spans) == 0 || d < p.First() || synced.IsZero() {
		return nil
	}
	steps := map[int64]int{}
	all := walking.Window{Start: spans[0].Start, End: spans[len(spans)-1].End}
	for _, pt := range p.Points(all, now) {
		steps[pt.Start.Unix()] = pt.Steps
	}
	var out []minute
	for _, span := range spans {
		start := span.Start.Add(time.Minute - 1).Truncate(time.Minute) // a journey may begin within a minute
		for t := start; t.Before(span.End) && !t.Add(time.Minute).After(synced); t = t.Add(time.Minute) {
			_, offset := t.In(zones.At(t)).Zone()
			out = append(out, minute{t, wall(t, time.Duration(offset)*time.Second), steps[t.Unix()]})
		}
	}
	return out
}

// activity returns what is told of a date; nil if nothing is.
func (s *Service) activity(r *http.Request, p *simulate.Person, d walking.Day) object {
	now := s.o.Now()
	minutes := s.minutes(p, d, now)
	if len(minutes) == 0 {
		return nil
	}
	sum := 0
	for _, m := range minutes {
		sum += m.steps
	}
	total := sum
	if s.o.Total != nil {
		total = s.o.Total(d, sum)
	}
	last := minutes[len(minutes)-1]
	end := last.wall.Add(time.Minute)
	if walking.DayOf(end.Date()) != d || s.o.EndOfDay {
		end = d.In(time.UTC).Add(24*time.Hour - time.Second)
	}
	const seconds = "2006-01-02T15:04:05"
	a := object{
		"start_time": minutes[0].wall.Format(seconds), "end_time": end.Format(seconds), "active_duration": "PT3H11M",
		"inactive_duration": "PT18H23M30S", "daily_activity": 89.1, "calories": 2500, "active_calories": 1500, "steps": total,
		"inactivity_alert_count": 1, "distance_from_steps": 0.52 * float64(total),
	}
	samples := object{"date": d.String()}
	if r.URL.Query().Get("steps") == "true" && !s.o.NoSamples {
		samples["steps"] = s.samples(minutes, total)
	}
	if r.URL.Query().Get("activity_zones") == "true" {
		samples["activity_zones"] = s.zones(minutes)
	}
	if len(samples) > 1 {
		a["samples"] = samples
	}
	return a
}

// samples leaves out what repeats the minute before.
func (s *Service) samples(minutes []minute, total int) object {
	list := []object{}
	for i, m := range minutes {
		if i == 0 || m.steps != minutes[i-1].steps {
			list = append(list, object{"steps": m.steps, "timestamp": m.wall.Format("2006-01-02T15:04")})
		}
	}
	out := object{"interval_ms": 60_000, "total_steps": total, "samples": list}
	if s.o.NoInterval {
		out["interval_ms"] = 0
	}
	if s.o.NoTotal {
		out["total_steps"] = 0
	}
	return out
}

// zones tells how hard the minutes were, and of those without the device.
func (s *Service) zones(minutes []minute) object {
	list := []object{}
	before := ""
	for _, m := range minutes {
		zone := "MODERATE"
		switch {
		case m.steps == 0:
			zone = "SEDENTARY"
		case m.steps < 60:
			zone = "LIGHT"
		}
		for _, u := range s.o.Unworn {
			if u.Contains(m.start) {
				zone = "NON_WEAR"
			}
		}
		if zone != before {
			list = append(list, object{"zone": zone, "timestamp": m.wall.Format("2006-01-02T15:04:05")})
		}
		before = zone
	}
	return object{"samples": list}
}

// serveExercises tells of what was uploaded in the last 30 days, and since the person is a user.
func (s *Service) serveExercises(w http.ResponseWriter, _ *http.Request, p *simulate.Person) {
	now := s.o.Now()
	s.mu.Lock()
	since := s.registered[p.Name()].since
	s.mu.Unlock()
	const kept, longest = 30 * 24 * time.Hour, 48 * time.Hour
	oldest := now.Add(-kept)
	out := []object{}
	for _, x := range p.Sessions(walking.Window{Start: oldest.Add(-longest), End: now}, now) {
		if x.End.Before(since) || x.End.Before(oldest) {
			continue
		}
		sport, detail := "WALKING", "WALKING"
		if x.Type != "WALKING" {
			sport, detail = "CYCLING", "ROAD_BIKING"
		}
		out = append(out, object{
			"id": exerciseID(p, x), "upload_time": instant(x.End), "device": "Polar Ignite 3",
			"polar_user":            "https://www.polaraccesslink/v3/users/" + strconv.Itoa(userID(p.Name())),
			"start_time":            wall(x.Start, x.Offset).Format("2006-01-02T15:04:05"),
			"start_time_utc_offset": int(x.Offset.Minutes()),
			"duration":              duration(x.End.Sub(x.Start)), "distance": 0.7 * float64(x.Steps), "sport": sport,
			"detailed_sport_info": detail, "has_route": false,
		})
	}
	writeJSON(w, out)
}

func exerciseID(p *simulate.Person, x simulate.Session) string {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, p.Name(), x.Type, x.Start.Unix())
	return strings.ToUpper(strconv.FormatUint(uint64(h.Sum32()), 36))
}

// duration writes a length as ISO 8601 does.
func duration(d time.Duration) string {
	text := "PT"
	if h := int(d.Hours()); h > 0 {
		text += strconv.Itoa(h) + "H"
	}
	if m := int(d.Minutes()) % 60; m > 0 {
		text += strconv.Itoa(m) + "M"
	}
	if s := int(d.Seconds()) % 60; s > 0 || text == "PT" {
		text += strconv.Itoa(s) + "S"
	}
	return text
}
