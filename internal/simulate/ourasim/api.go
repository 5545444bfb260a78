package ourasim

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

// A Document is what the service tells of the activity of a day.
type Document struct {
	Day    walking.Day
	Start  time.Time     // of its classes and METs, UTC
	End    time.Time     // of the day: when the next one begins
	Offset time.Duration // of the person's clock at the start, east of UTC
	Steps  int
	// Classes has a character for every five minutes that are known, and the padding. METs has one for each minute.
	Classes string
	METs    []float64

	items json.RawMessage // the METs as they are told
}

const (
	piece       = 5 * time.Minute
	fourOClock  = walking.WallTime(4 * 60)
	longestDoc  = 36 * time.Hour
	piecesOfDay = 24 * 60 / 5
)

// start returns when the activity of a day begins; zero if no clock showed that.
func (s *Service) start(z walking.Timeline, d walking.Day) time.Time {
	at := fourOClock
	if s.o.Midnight {
		at = 0
	}
	for _, t := range z.Clock(d, at) {
		return t.UTC()
	}
	return time.Time{}
}

// Documents returns the days that the service knows of a person at an instant, in order.
func (s *Service) Documents(person string, at time.Time) []Document {
	p := s.Person(person)
	return s.documents(p, p.First(), p.Zones().Day(at)+1, at)
}

func (s *Service) documents(p *simulate.Person, first, last walking.Day, at time.Time) []Document {
	var out []Document
	for d := max(first, p.First()); d <= min(last, p.Zones().Day(at)+1); d++ {
		if doc, ok := s.document(p, d, at); ok {
			out = append(out, doc)
		}
	}
	return out
}

func (s *Service) document(p *simulate.Person, d walking.Day, at time.Time) (Document, bool) {
	zones := p.Zones()
	start := s.start(zones, d)
	s.mu.Lock()
	forgot := s.forgot[p.Name()+" "+d.String()]
	s.mu.Unlock()
	synced := p.Synced(at)
	if start.IsZero() || forgot || start.Add(piece).After(synced) {
		return Document{}, false
	}
	doc := Document{Day: d, Start: start, End: start.Add(longestDoc)}
	_, offset := start.In(zones.At(start)).Zone()
	doc.Offset = time.Duration(offset) * time.Second
	for next := d + 1; next <= d+3; next++ {
		if t := s.start(zones, next); !t.IsZero() {
			doc.End = t
			break
		}
	}
	counted := doc.End // what the total is of
	if s.o.AlwaysDay && counted.Sub(start) > 24*time.Hour {
		counted = start.Add(24 * time.Hour)
	}
	known := synced
	if counted.Before(known) {
		known = counted
	}
	known = start.Add(known.Sub(start).Truncate(piece))
	s.fill(&doc, p, zones, known, at)
	doc.Classes = s.padded(doc, at)
	return doc, true
}

// A made document is one as far as it is known, and what it was made of.
type made struct {
	Document
	known    time.Time
	revision int
}

// fill adds to a document what a ring has seen of its day. Nearly always that is what it was when it was last asked for.
func (s *Service) fill(doc *Document, p *simulate.Person, zones walking.Timeline, known, at time.Time) {
	key := p.Name() + " " + doc.Day.String()
	revision := p.Revision(at)
	s.mu.Lock()
	kept, ok := s.made[key]
	s.mu.Unlock()
	if !ok || kept.revision != revision || !kept.known.Equal(known) || !kept.Start.Equal(doc.Start) {
		minutes := s.minutes(p, zones, walking.Window{Start: doc.Start, End: known}, at)
		kept = made{Document: *doc, known: known, revision: revision}
		for _, m := range minutes {
			if m.worn {
				kept.Steps += m.steps
			}
		}
		kept.METs = s.o.Ring.mets(noiseOf(p.Name(), s.o.Seed), minutes)
		kept.Classes, kept.items = classes(kept.METs, minutes), s.items(kept.METs)
		s.mu.Lock()
		s.made[key] = kept
		s.mu.Unlock()
	}
	doc.Steps, doc.METs, doc.Classes, doc.items = kept.Steps, kept.METs, kept.Classes, kept.items
}

// minutes returns those of a window as a ring has them.
func (s *Service) minutes(p *simulate.Person, zones walking.Timeline, w walking.Window, at time.Time) []minute {
	out := make([]minute, int(w.Duration()/time.Minute))
	awake := false
	for i := range out {
		t := w.Start.Add(time.Duration(i) * time.Minute)
		if i%15 == 0 { // clocks differ by quarters of an hour
			hour := t.In(zones.At(t)).Hour()
			awake = hour >= 7 && hour < 23
		}
		out[i] = minute{at: t, awake: awake, worn: true}
		for _, u := range s.o.Unworn {
			if u.Contains(t) {
				out[i].worn = false
			}
		}
	}
	for _, pt := range p.Points(w, at) {
		out[int(pt.Start.Sub(w.Start)/time.Minute)].steps = pt.Steps
	}
	return out
}

// classes returns those of five minutes each, without padding.
func classes(mets []float64, minutes []minute) string {
	var b strings.Builder
	for i := 0; i+5 <= len(minutes); i += 5 {
		sum, worn := 0.0, 0
		for j, m := range minutes[i : i+5] {
			sum += mets[i+j]
			if m.worn {
				worn++
			}
		}
		if worn < 3 {
			b.WriteByte('0')
		} else {
			b.WriteByte(class(sum / 5))
		}
	}
	return b.String()
}

// padded returns the classes of a document with what follows those that are known.
func (s *Service) padded(doc Document, at time.Time) string {
	whole := int(doc.End.Sub(doc.Start) / piece)
	if s.o.AlwaysDay {
		whole = piecesOfDay
	}
	pad := 0
	switch over := at.After(doc.End); {
	case s.o.Pad == PadToNow && !over:
		pad = min(whole, int(at.Sub(doc.Start)/piece))
	case s.o.Pad == PadToEnd || s.o.AlwaysDay && over:
		pad = whole
	}
	return doc.Classes + strings.Repeat("0", max(0, pad-len(doc.Classes)))
}

// A Workout is one as the service tells of it.
type Workout struct {
	ID         string
	Activity   string
	Source     string // autodetected, confirmed, or manual
	Day        walking.Day
	Start, End time.Time // UTC
	Offset     time.Duration
}

// Workouts returns those that the service knows of a person at an instant, in order.
func (s *Service) Workouts(person string, at time.Time) []Workout {
	p := s.Person(person)
	zones := p.Zones()
	all := walking.Window{Start: p.First().In(p.Home()).Add(-24 * time.Hour), End: at}
	var out []Workout
	for i, x := range p.Sessions(all, at) {
		one := Workout{
			Activity: map[string]string{"WALKING": "walking", "BIKING": "cycling"}[x.Type], Source: "autodetected",
			Start: x.Start, End: x.End, Offset: x.Offset,
		}
		if i%4 == 3 {
			one.Source = "confirmed"
		}
		out = append(out, one)
	}
	for d := p.First(); s.o.Manual && d <= zones.Day(at); d++ {
		for _, start := range zones.Clock(d, 12*60) {
			_, offset := start.In(zones.At(start)).Zone()
			one := Workout{
				Activity: "walking", Source: "manual", Start: start.UTC(), End: start.Add(33 * time.Minute).UTC(),
				Offset: time.Duration(offset) * time.Second,
			}
			if one.End.Before(at) {
				out = append(out, one)
			}
		}
	}
	slices.SortFunc(out, func(a, b Workout) int { return a.Start.Compare(b.Start) })
	for i := range out {
		local := out[i].Start.Add(out[i].Offset).UTC()
		if !s.o.Midnight {
			local = local.Add(-4 * time.Hour)
		}
		out[i].Day = walking.DayOf(local.Date())
		out[i].ID = identifier(person, "workout", out[i].Source, out[i].Start.Unix())
	}
	return out
}

// identifier returns a UUID that is always the same for the same parts.
func identifier(parts ...any) string {
	h := fnv.New128a()
	_, _ = fmt.Fprint(h, parts...)
	x := h.Sum(nil)
	return fmt.Sprintf("%x-%x-%x-%x-%x", x[:4], x[4:6], x[6:8], x[8:10], x[10:])
}

// A span is what a request asks for.
type span struct {
	from, to walking.Day
	page     int // how many pages came before
}

// asked returns what a request asks for. Without dates it is yesterday and today.
func (s *Service) asked(r *http.Request, today walking.Day) (span, error) {
	q := r.URL.Query()
	out := span{from: today - 1, to: today}
	var err error
	if text := q.Get("start_date"); text != "" {
		if out.from, err = walking.ParseDay(text); err != nil {
			return span{}, errors.New("start_date: invalid date format")
		}
	}
	if text := q.Get("end_date"); text != "" {
		if out.to, err = walking.ParseDay(text); err != nil {
			return span{}, errors.New("end_date: invalid date format")
		}
	}
	if out.to < out.from {
		return span{}, errors.New("start_date: is after end_date")
	}
	if text := q.Get("next_token"); text != "" {
		if out.page, err = strconv.Atoi(strings.TrimPrefix(text, "page-")); err != nil || out.page < 0 {
			return span{}, errors.New("next_token: is not one")
		}
	}
	return out, nil
}

func nextToken(page int) string { return "page-" + strconv.Itoa(page) }

// holds reports whether what belongs to a date and begins at an instant is asked for.
func (s *Service) holds(q span, zones walking.Timeline, d walking.Day, start time.Time) bool {
	if d < q.from || d == q.from && s.o.StartExclusive {
		return false
	}
	switch s.o.End {
	case EndInclusive:
		return d <= q.to
	case EndExclusive:
		return d < q.to
	}
	return start.Before(q.to.In(zones.At(start)))
}

// write answers with the page of a list that is asked for.
func (s *Service) write(w http.ResponseWriter, q span, list []object) {
	pages := max(1, (len(list)+s.o.PageSize-1)/s.o.PageSize)
	page := q.page
	if s.o.EmptyPages {
		pages, page = 2*pages, q.page/2
	}
	data := []object{}
	if !s.o.EmptyPages || q.page%2 == 1 {
		data = append(data, list[min(len(list), page*s.o.PageSize):min(len(list), (page+1)*s.o.PageSize)]...)
	}
	var next any
	if q.page+1 < pages {
		next = nextToken(q.page + 1)
	}
	simulate.WriteJSON(w, http.StatusOK, object{"data": data, "next_token": next})
}

func (s *Service) serveActivity(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	now := s.o.Now()
	zones := p.Zones()
	q, err := s.asked(r, zones.Day(now))
	if err != nil {
		refuse(w, http.StatusBadRequest, "Invalid Query Parameters", err.Error())
		return
	}
	var list []object
	for _, doc := range s.documents(p, q.from, q.to, now) {
		if s.holds(q, zones, doc.Day, doc.Start) {
			list = append(list, s.activity(p, doc))
		}
	}
	s.write(w, q, list)
}

func (s *Service) activity(p *simulate.Person, doc Document) object {
	id := identifier(p.Name(), "activity", doc.Day.String())
	if s.o.NewIDs {
		id = identifier(p.Name(), "activity", doc.Day.String(), doc.Steps, doc.Classes)
	}
	seconds := map[byte]int{}
	for i := range len(doc.Classes) {
		seconds[doc.Classes[i]] += 300
	}
	at := stamp(doc.Start, doc.Offset)
	out := object{
		"id": id, "day": doc.Day.String(), "timestamp": at, "steps": doc.Steps, "score": 80, "active_calories": doc.Steps / 20,
		"average_met_minutes": 1.4375, "total_calories": 2000 + doc.Steps/20, "target_calories": 400, "target_meters": 8000,
		"meters_to_target": 8000 - doc.Steps*9/10, "equivalent_walking_distance": doc.Steps * 9 / 10, "inactivity_alerts": 0,
		"non_wear_time": seconds['0'], "resting_time": seconds['1'], "sedentary_time": seconds['2'],
		"low_activity_time": seconds['3'], "medium_activity_time": seconds['4'], "high_activity_time": seconds['5'],
		"sedentary_met_minutes": 8, "low_activity_met_minutes": seconds['3'] / 90, "medium_activity_met_minutes": seconds['4'] / 15,
		"high_activity_met_minutes": seconds['5'] / 7, "contributors": object{
			"meet_daily_targets": 60, "move_every_hour": 95, "recovery_time": 100, "stay_active": 75, "training_frequency": 96,
			"training_volume": 90,
		},
		"class_5_min": doc.Classes, "met": object{
			"interval": s.o.Interval.Seconds(), "items": doc.items, "timestamp": at,
		},
	}
	if s.o.NoClasses {
		out["class_5_min"] = nil
	}
	if s.o.NoMETs {
		out["met"] = nil
	}
	return out
}

// items writes METs, of those of each interval their mean. Of one without the ring there is none.
func (s *Service) items(mets []float64) json.RawMessage {
	step := int(s.o.Interval / time.Minute)
	out := []byte{'['}
	for i := 0; i+step <= len(mets); i += step {
		if i > 0 {
			out = append(out, ',')
		}
		sum := 0.0
		for _, v := range mets[i : i+step] {
			sum += v
		}
		if mean := sum / float64(step); mean <= nonWear {
			out = append(out, "null"...)
		} else {
			out = strconv.AppendFloat(out, mean, 'f', 2, 64)
		}
	}
	return append(out, ']')
}

func (s *Service) serveWorkouts(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	now := s.o.Now()
	zones := p.Zones()
	q, err := s.asked(r, zones.Day(now))
	if err != nil {
		refuse(w, http.StatusBadRequest, "Invalid Query Parameters", err.Error())
		return
	}
	var list []object
	for _, x := range s.Workouts(p.Name(), now) {
		if s.holds(q, zones, x.Day, x.Start) {
			list = append(list, object{
				"id": x.ID, "activity": x.Activity, "calories": 4.5 * x.End.Sub(x.Start).Minutes(), "day": x.Day.String(),
				"distance": nil, "start_datetime": stamp(x.Start, x.Offset), "end_datetime": stamp(x.End, x.Offset),
				"intensity": "moderate", "label": nil, "source": x.Source,
			})
		}
	}
	s.write(w, q, list)
}

func (s *Service) serveRing(w http.ResponseWriter, _ *http.Request, p *simulate.Person) {
	at := p.First().In(p.Home()).UTC()
	ring := func(kind, color string, at time.Time) object {
		return object{
			"id": identifier(p.Name(), kind), "color": color, "design": "horizon", "firmware_version": "3.2.5",
			"hardware_type": kind, "set_up_at": at.Format(time.RFC3339), "size": 10,
		}
	}
	simulate.WriteJSON(w, http.StatusOK, object{"data": []object{
		ring("gen3", "stealth_black", at.AddDate(-3, 0, 0)), ring("gen4", "brushed_silver", at),
	}, "next_token": nil})
}

func (s *Service) serveBattery(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	list := []object{}
	if synced := p.Synced(s.o.Now()); !synced.IsZero() && r.URL.Query().Get("latest") == "true" {
		list = append(list, object{
			"timestamp": synced.Format(time.RFC3339), "timestamp_unix": synced.UnixMilli(), "level": 62, "charging": false,
			"in_charger": false,
		})
	}
	simulate.WriteJSON(w, http.StatusOK, object{"data": list, "next_token": nil})
}

func (s *Service) servePersonal(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	s.mu.Lock()
	scopes := s.access[simulate.Bearer(r)].scopes
	s.mu.Unlock()
	out := object{"id": identifier(p.Name())}
	if slices.Contains(scopes, ScopePersonal) {
		out["age"], out["height"], out["weight"], out["biological_sex"] = 44, 1.72, 70.5, "female"
	}
	simulate.WriteJSON(w, http.StatusOK, out)
}
