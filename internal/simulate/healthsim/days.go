package healthsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/walking"
)

// daysRequest is a DailyRollUpDataPointsRequest.
type daysRequest struct {
	Range *struct {
		Start, End *civilDate
	}
	WindowSizeDays   *int
	PageSize         int
	PageToken        string
	DataSourceFamily string
}

// civilDate is a CivilDateTime, of which only midnights are taken.
type civilDate struct {
	Date *struct{ Year, Month, Day int }
	Time struct{ Hours, Minutes, Seconds, Nanos int }
}

// day returns the day that d begins.
func (d *civilDate) day() (walking.Day, error) {
	switch {
	case d == nil || d.Date == nil:
		return 0, errors.New("a date is missing")
	case d.Time.Hours != 0 || d.Time.Minutes != 0 || d.Time.Seconds != 0 || d.Time.Nanos != 0:
		return 0, errors.New("the time is not aligned with the aggregation window")
	}
	return walking.ParseDay(fmt.Sprintf("%04d-%02d-%02d", d.Date.Year, d.Date.Month, d.Date.Day))
}

// maxDays is the longest range of dates.
const maxDays = 90

// serveDays answers with the totals of civil days.
func (s *Service) serveDays(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	var q daysRequest
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		invalid(w, &problem{text: "Invalid JSON payload received. The content is no JSON by its type."})
		return
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		invalid(w, &problem{text: "Invalid JSON payload received. " + err.Error()})
		return
	}
	first, last, bad := s.dates(q)
	if bad == nil && r.PathValue("type") != "steps" {
		bad = &problem{field: "parent", text: "Unsupported data type."}
	}
	sources, ok := family(q.DataSourceFamily, p)
	if !ok && bad == nil {
		bad = &problem{field: "data_source_family", text: "Invalid data source family."}
	}
	if bad != nil {
		invalid(w, bad)
		return
	}
	l := listing{
		name: "rollupDataPoints", standard: maxDays, most: maxDays,
		emptyFirst: s.o.EmptyFirst || r.Context().Value(emptyPage{}) != nil,
	}
	size := 1
	if q.WindowSizeDays != nil {
		size = *q.WindowSizeDays
	}
	totals := s.totals(p, first, last, sources != "self-sources")
	for day := first; day <= last; day += walking.Day(size) {
		end := min(day+walking.Day(size), last+1)
		point := object{"civilStartTime": civilTime(day.In(time.UTC)), "civilEndTime": civilTime(end.In(time.UTC))}
		sum, worn := 0, false
		for d := day; d < end; d++ {
			n, ok := totals[d]
			sum, worn = sum+n, worn || ok
		}
		if worn {
			point["steps"] = object{"countSum": s.number(sum)}
		}
		if s.o.Future {
			point["mood"] = "GOOD"
		}
		key := int64(day)
		if s.o.OldestFirst {
			key = -key
		}
		l.items = append(l.items, item{key, func() any { return point }})
	}
	if !s.o.OldestFirst {
		slices.Reverse(l.items)
	}
	asked := fmt.Sprint(first, last, size, q.DataSourceFamily)
	s.send(w, paging{fmt.Sprint(q.PageSize), q.PageToken, question(r, p, asked)}, l)
}

// dates returns the first and the last day that q is about.
func (s *Service) dates(q daysRequest) (first, last walking.Day, bad *problem) {
	wrong := func(field, text string) (walking.Day, walking.Day, *problem) {
		return 0, 0, &problem{field: field, text: text}
	}
	if q.Range == nil {
		return wrong("range", "A range is required.")
	}
	first, err := q.Range.Start.day()
	if err != nil {
		return wrong("range.start", "Invalid start: "+err.Error())
	}
	if last, err = q.Range.End.day(); err != nil {
		return wrong("range.end", "Invalid end: "+err.Error())
	}
	if !s.o.LastInclusive {
		last--
	}
	switch {
	case last < first:
		return wrong("range", "The range is empty.")
	case last-first >= maxDays:
		return wrong("range", fmt.Sprintf("The range is longer than %d days.", maxDays))
	case q.WindowSizeDays != nil && *q.WindowSizeDays < 1:
		return wrong("window_size_days", "The size of the window has to be one day at least.")
	}
	return first, last, nil
}

// totals returns the steps of the days from first to last on which a device was worn, by the clock of the person.
func (s *Service) totals(p *simulate.Person, first, last walking.Day, known bool) map[walking.Day]int {
	out := map[walking.Day]int{}
	if !known {
		return out
	}
	// No zone is further than a day from UTC.
	w := walking.Window{Start: first.In(time.UTC).Add(-24 * time.Hour), End: last.In(time.UTC).Add(48 * time.Hour)}
	for _, pt := range p.Points(w, s.o.Now()) {
		if d := walking.DayOf(pt.Start.Add(pt.Offset).Date()); d >= first && d <= last {
			out[d] += pt.Steps
		}
	}
	return out
}
