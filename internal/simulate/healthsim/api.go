package healthsim

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"math"
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

func writeJSON(w http.ResponseWriter, v any) { simulate.WriteJSON(w, http.StatusOK, v) }

func page(w http.ResponseWriter, status int, text string) {
	simulate.WritePage(w, status, "Error", text)
}

func oauthError(w http.ResponseWriter, status int, code, description string) {
	simulate.WriteJSON(w, status, object{"error": code, "error_description": description})
}

const (
	domain = "health.googleapis.com"
	realm  = `Bearer realm="https://accounts.google.com/"`
	expect = " Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
		"See https://developers.google.com/identity/sign-in/web/devconsole-project."
)

// apiError answers with a google.rpc.Status.
func apiError(w http.ResponseWriter, status int, code, message string, details ...object) {
	e := object{"code": status, "message": message, "status": code}
	if len(details) > 0 {
		e["details"] = details
	}
	simulate.WriteJSON(w, status, object{"error": e})
}

func errorInfo(reason, domain string, metadata object) object {
	info := object{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain}
	if metadata != nil {
		info["metadata"] = metadata
	}
	return info
}

// unauthenticated answers to a request without a token, unauthorized to one whose token does not hold.
func unauthenticated(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", realm)
	apiError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request is missing required authentication credential."+expect,
		errorInfo("CREDENTIALS_MISSING", "googleapis.com", object{"service": domain}))
}

func unauthorized(w http.ResponseWriter, details ...object) {
	w.Header().Set("WWW-Authenticate", realm+`, error="invalid_token"`)
	apiError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials."+expect, details...)
}

func lostConsent(w http.ResponseWriter) {
	apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission",
		errorInfo("RESOURCE_PERMISSION_DENIED", domain, nil))
}

// disabled answers where the API is not enabled in the project that the client ID is of.
func disabled(w http.ResponseWriter) {
	const (
		activation = "https://console.developers.google.com/apis/api/" + domain + "/overview?project=123456789"
		consumer   = "projects/123456789"
	)
	apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "Google Health API has not been used in project 123456789 before or "+
		"it is disabled. Enable it by visiting "+activation+" then retry. If you enabled this API recently, wait a few minutes "+
		"for the action to propagate to our systems and retry.",
		object{"@type": "type.googleapis.com/google.rpc.Help", "links": []object{
			{"description": "Google developers console API activation", "url": activation},
		}},
		errorInfo("SERVICE_DISABLED", "googleapis.com", object{"service": domain, "consumer": consumer}))
}

func internalError(w http.ResponseWriter) {
	apiError(w, http.StatusInternalServerError, "INTERNAL", "Internal error encountered.")
}

func notFound(w http.ResponseWriter) { page(w, http.StatusNotFound, "404. That’s an error.") }

func throttled(w http.ResponseWriter) {
	apiError(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Queries' and limit "+
		"'Queries per minute per user' of service '"+domain+"' for consumer 'project_number:123456789'.",
		errorInfo("RATE_LIMIT_EXCEEDED", "googleapis.com", nil))
}

// A problem is what is wrong with a parameter. The reason is what Google calls it, and of filters alone.
type problem struct{ field, reason, text string }

func invalid(w http.ResponseWriter, p *problem) {
	violation := object{"description": p.text}
	if p.field != "" {
		violation["field"] = p.field
	}
	message := p.text
	details := []object{{
		"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []object{violation},
	}}
	if p.reason != "" {
		reason := "INVALID_DATA_POINT_FILTER_" + p.reason
		message = "Invalid data point filter: " + reason + "."
		details = append([]object{
			errorInfo("INVALID_DATA_POINT_FILTER", domain, object{"detailedReasons": reason}),
		}, details...)
	}
	apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", message, details...)
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
	s.mu.Lock()
	all := append([]Device{
		{Product: "Aria", Type: "SCALE", Synced: func(now time.Time) time.Time { return now }},
		{Product: "Charge 6", Type: "TRACKER", Battery: "High", Level: 85, Synced: p.Synced},
	}, s.paired[p.Name()]...)
	s.mu.Unlock()
	if s.o.Future {
		all = append(all, Device{Product: "Ring 1", Type: "RING", Battery: "Solar", Synced: func(now time.Time) time.Time { return now }})
	}
	now := s.o.Now()
	l := listing{name: "pairedDevices", standard: 5, most: 100}
	for i, d := range all {
		o := object{"name": fmt.Sprintf("users/me/pairedDevices/%d", i+1), "deviceType": d.Type, "deviceVersion": d.Product}
		synced := d.Synced(now)
		switch {
		case !synced.IsZero():
			o["lastSyncTime"] = synced.UTC().Format(time.RFC3339Nano)
		case i == 1:
			continue // the watch is paired with its first sync
		}
		if d.Type == "TRACKER" {
			o["features"] = []string{"STEPS"}
		}
		if d.Battery != "" {
			o["batteryStatus"] = d.Battery
		}
		if d.Level > 0 {
			o["batteryLevel"] = d.Level
		}
		if s.o.Future {
			o["mood"] = object{"of": []string{"the", "device"}}
		}
		l.items = append(l.items, item{-int64(i), func() any { return o }})
	}
	s.send(w, paging{r.URL.Query().Get("pageSize"), r.URL.Query().Get("pageToken"), question(r, p)}, l)
}

// An item of a listing, with the key by which it is sorted.
type item struct {
	key  int64
	body func() any // called only if it is on the page
}

// A listing is all that a request asks for, on whatever page.
type listing struct {
	name           string
	items          []item // by descending keys
	standard, most int    // sizes of pages
	emptyFirst     bool   // a page without items comes first
	endToken       bool   // the last page has a token as well, an empty one
}

// paging is which page of a listing is asked for.
type paging struct {
	size, token string
	question    uint64 // what the listing is of
}

// send answers with the page of l that is asked for. What comes to light between two pages moves nothing.
func (s *Service) send(w http.ResponseWriter, p paging, l listing) {
	size, bad := p.pageSize(l.standard, l.most)
	if bad != nil {
		invalid(w, bad)
		return
	}
	before, bad := p.from()
	if bad != nil {
		invalid(w, bad)
		return
	}
	rest := l.items
	if i := slices.IndexFunc(rest, func(i item) bool { return i.key < before }); i >= 0 {
		rest = rest[i:]
	} else {
		rest = nil
	}
	out := object{}
	switch {
	case l.emptyFirst && p.token == "":
		size, out["nextPageToken"] = 0, p.next(math.MaxInt64)
	case size < len(rest):
		out["nextPageToken"] = p.next(rest[size-1].key)
	case l.endToken:
		out["nextPageToken"] = ""
	}
	var bodies []any
	for _, i := range rest[:min(size, len(rest))] {
		bodies = append(bodies, i.body())
	}
	if len(bodies) > 0 {
		out[l.name] = bodies
	}
	if s.o.Future {
		out["weather"] = []any{"unknown", 7, nil}
	}
	writeJSON(w, out)
}

func (p paging) pageSize(standard, most int) (int, *problem) {
	if p.size == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(p.size)
	if err != nil || n < 0 {
		return 0, &problem{field: "page_size", text: "Invalid page size: " + p.size}
	}
	if n == 0 {
		return standard, nil
	}
	return min(n, most), nil
}

// next names the place before a key in a listing, for the same question only.
func (p paging) next(before int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d/%x", before, p.question))
}

// from returns the key before which the page begins that is asked for.
func (p paging) from() (int64, *problem) {
	if p.token == "" {
		return math.MaxInt64, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(p.token)
	place, of, found := strings.Cut(string(text), "/")
	n, convErr := strconv.ParseInt(place, 10, 64)
	if err != nil || convErr != nil || !found || of != fmt.Sprintf("%x", p.question) {
		return 0, &problem{field: "page_token", text: "Invalid page token, or one of another request."}
	}
	return n, nil
}

// question identifies what a listing is of. more is what the address does not hold.
func question(r *http.Request, p *simulate.Person, more ...string) uint64 {
	h := fnv.New64a()
	q := r.URL.Query()
	for _, part := range append([]string{p.Name(), r.URL.Path, q.Get("filter"), q.Get("dataSourceFamily")}, more...) {
		_, _ = fmt.Fprint(h, part, "\x00")
	}
	return h.Sum64()
}

// A filter is what a listing is restricted to: from inclusive, to exclusive, either by instants or by the clock.
type filter struct {
	civil    bool
	from, to string // of the clock, as YYYY-MM-DDTHH:MM:SS
	window   walking.Window
}

var condition = regexp.MustCompile(`^([\w.]+)\s*(>=|<=|!=|>|<|=|:)\s*"([^"]*)"$`)

// parseFilter reads a filter. member is that of the type, such as steps.interval.
func parseFilter(text, member string, physical bool) (filter, *problem) {
	f := filter{window: walking.Window{End: time.Unix(1<<36, 0)}, to: "9999"}
	if strings.TrimSpace(text) == "" {
		return f, nil
	}
	kinds := map[bool]bool{}
	for part := range strings.SplitSeq(text, " AND ") {
		m := condition.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return f, &problem{"filter", "SYNTAX", "Invalid filter expression."}
		}
		name, op, value := m[1], m[2], m[3]
		civil := name == member+".civil_start_time"
		switch {
		case !civil && (!physical || name != member+".start_time"):
			return f, &problem{"filter", "DATA_TYPE_MEMBER", "Member '" + name + "' is not supported for filtering."}
		case op != ">=" && op != "<":
			return f, &problem{"filter", "OPERATOR", "Operator '" + op + "' is not supported for member '" + name + "'."}
		}
		kinds[civil] = true
		if len(kinds) > 1 {
			return f, &problem{"filter", "MIXED_TIME_RESTRICTIONS", "Physical and civil time restrictions cannot be mixed."}
		}
		f.civil = civil
		if err := f.restrict(op, value); err != nil {
			return f, &problem{"filter", "TIME_LITERAL", "'" + value + "' is not a valid time for member '" + name + "'."}
		}
	}
	return f, nil
}

// restrict narrows f by a comparison.
func (f *filter) restrict(op, value string) error {
	layout, slack := time.RFC3339, time.Duration(0)
	if f.civil {
		layout, slack = "2006-01-02", 15*time.Hour // wide enough for every zone; holds decides
		if strings.Contains(value, "T") {
			layout = "2006-01-02T15:04:05"
		}
	}
	t, err := time.Parse(layout, value)
	if err != nil {
		return err
	}
	wall := t.Format("2006-01-02T15:04:05")
	if op == "<" {
		f.to = min(f.to, wall)
		if end := t.Add(slack); end.Before(f.window.End) {
			f.window.End = end
		}
		return nil
	}
	f.from = max(f.from, wall)
	if start := t.Add(-slack); start.After(f.window.Start) {
		f.window.Start = start
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

// family returns the last part of the name of a group of sources, and whether there is such a group.
func family(name string, p *simulate.Person) (string, bool) {
	if name == "" {
		return "all-sources", true
	}
	for _, user := range []string{"me", userID(p)} {
		last, ok := strings.CutPrefix(name, "users/"+user+"/dataSourceFamilies/")
		if ok && slices.Contains([]string{"all-sources", "google-wearables", "google-sources", "self-sources"}, last) {
			return last, true
		}
	}
	return "", false
}

func (s *Service) servePoints(w http.ResponseWriter, r *http.Request, p *simulate.Person) {
	q := r.URL.Query()
	sources, ok := family(q.Get("dataSourceFamily"), p)
	if !ok {
		invalid(w, &problem{field: "data_source_family", text: "Invalid data source family."})
		return
	}
	reconciled := strings.HasSuffix(r.URL.Path, ":reconcile")
	l := listing{
		name: "dataPoints", standard: 1440, most: 10000, endToken: reconciled,
		emptyFirst: s.o.EmptyFirst || r.Context().Value(emptyPage{}) != nil,
	}
	var bad *problem
	switch r.PathValue("type") {
	case "steps":
		l.items, bad = s.steps(r, p, reconciled, sources != "google-wearables")
	case "exercise":
		l.standard, l.most = 25, 25
		l.items, bad = s.exercises(r, p, reconciled)
	default:
		bad = &problem{field: "parent", text: "Unsupported data type."}
	}
	if bad != nil {
		invalid(w, bad)
		return
	}
	if sources == "self-sources" { // nobody has written anything
		l.items = nil
	}
	s.send(w, paging{q.Get("pageSize"), q.Get("pageToken"), question(r, p)}, l)
}

// phoneLate is how much later than the watch's the minutes of the phone begin, in every other hour.
const phoneLate = 25 * time.Second

// steps returns the minutes that are asked for. Unless they are reconciled, the phone counts nearly all of them again, in
// some hours not even by the same minutes, so that the sum of all points is about twice what was walked.
func (s *Service) steps(r *http.Request, p *simulate.Person, reconciled, phone bool) ([]item, *problem) {
	f, bad := parseFilter(r.URL.Query().Get("filter"), "steps.interval", true)
	if bad != nil {
		return nil, bad
	}
	zones := p.Zones()
	var out []item
	add := func(start time.Time, offset time.Duration, nth int64, steps int, source object) {
		if f.holds(start, offset) {
			out = append(out, item{2*start.Unix() + nth, func() any {
				return minutePoint{DataSource: source, Steps: s.minute(start, steps, zones)}
			}})
		}
	}
	w := f.window
	w.Start = w.Start.Add(-time.Minute) // for what the phone counts later
	for _, pt := range slices.Backward(p.Points(w, s.o.Now())) {
		if reconciled {
			add(pt.Start, pt.Offset, 0, pt.Steps, nil)
			continue
		}
		if phone && pt.Steps > 3 {
			start := pt.Start
			if start.Hour()%2 == 1 {
				start = start.Add(phoneLate)
			}
			add(start, pt.Offset, 1, pt.Steps-1, s.source("MobileTrack"))
		}
		add(pt.Start, pt.Offset, 0, pt.Steps, s.source("Charge 6"))
	}
	return out, nil
}

// There are so many minutes that they are no objects, which take several times as long to write.
type (
	minutePoint struct {
		DataSource object `json:"dataSource,omitempty"`
		Steps      minute `json:"steps"`
	}
	minute struct {
		Certainty float64  `json:"certainty,omitempty"`
		Count     any      `json:"count,omitempty"` // a true zero has none
		Interval  interval `json:"interval"`
	}
	// An interval is the span of a point, with the times of the clock if they are told.
	interval struct {
		CivilEndTime   *civilDateTime `json:"civilEndTime,omitempty"`
		CivilStartTime *civilDateTime `json:"civilStartTime,omitempty"`
		EndTime        string         `json:"endTime"`
		EndUTCOffset   string         `json:"endUtcOffset"`
		StartTime      string         `json:"startTime"`
		StartUTCOffset string         `json:"startUtcOffset"`
	}
	// A civilDateTime is what a clock shows. Members of the time that are zero are left out.
	civilDateTime struct {
		Date struct {
			Day   int `json:"day"`
			Month int `json:"month"`
			Year  int `json:"year"`
		} `json:"date"`
		Time struct {
			Hours   int `json:"hours,omitempty"`
			Minutes int `json:"minutes,omitempty"`
			Seconds int `json:"seconds,omitempty"`
		} `json:"time"`
	}
)

// minute returns the steps of one.
func (s *Service) minute(start time.Time, steps int, zones walking.Timeline) minute {
	m := minute{Interval: span(start, start.Add(time.Minute), zones, true)}
	if steps > 0 {
		m.Count = s.number(steps)
	}
	if s.o.Future {
		m.Certainty = 0.97
	}
	return m
}

func (s *Service) exercises(r *http.Request, p *simulate.Person, reconciled bool) ([]item, *problem) {
	f, bad := parseFilter(r.URL.Query().Get("filter"), "exercise.interval", false)
	if bad != nil {
		return nil, bad
	}
	zones := p.Zones()
	var out []item
	for _, x := range slices.Backward(p.Sessions(f.window, s.o.Now())) {
		if !f.holds(x.Start, x.Offset) {
			continue
		}
		key := 2 * x.Start.Unix()
		if x.Type == "WALKING" { // a ride may start with a walk
			key++
		}
		out = append(out, item{key, func() any {
			name := fmt.Sprintf("users/%s/dataTypes/exercise/dataPoints/%d", userID(p), key)
			if reconciled {
				return object{"dataPointName": name, "exercise": s.exercise(x, zones)}
			}
			return object{"name": name, "dataSource": s.source("Charge 6"), "exercise": s.exercise(x, zones)}
		}})
	}
	slices.SortFunc(out, func(a, b item) int { return cmp.Compare(b.key, a.key) })
	return out, nil
}

func (s *Service) exercise(x simulate.Session, zones walking.Timeline) object {
	summary := object{"caloriesKcal": 5 * x.End.Sub(x.Start).Minutes()}
	if x.Steps > 0 {
		summary["steps"] = s.number(x.Steps)
		summary["distanceMillimeters"] = 700 * x.Steps
	}
	stamp := x.End.Format("2006-01-02T15:04:05.000000Z") // never in the future
	out := object{
		"interval": span(x.Start, x.End, zones, false), "exerciseType": x.Type, "metricsSummary": summary,
		"displayName": strings.ToLower(x.Type), "activeDuration": duration(x.End.Sub(x.Start)),
		"createTime": stamp, "updateTime": stamp,
	}
	if s.o.Future {
		if x.Type != "WALKING" {
			out["exerciseType"] = "HOVERBOARDING"
		}
		out["exerciseEvents"] = []object{{
			"eventTime": x.Start.Add(time.Minute).Format(time.RFC3339), "exerciseEventType": "LAP", "number": s.number(1),
		}}
	}
	return out
}

func (s *Service) source(device string) object {
	if s.o.Future {
		return object{"recordingMethod": "DREAMT", "platform": "MARS", "device": object{"displayName": device, "colour": "red"}}
	}
	return object{
		"recordingMethod": "PASSIVELY_MEASURED", "platform": "FITBIT", "device": object{"displayName": device},
	}
}

// span returns the interval of a point, with the times of the clock if civil.
func span(start, end time.Time, zones walking.Timeline, civil bool) interval {
	var in interval
	edge := func(t time.Time, stamp, offset *string, wall **civilDateTime) {
		local := t.In(zones.At(t))
		_, east := local.Zone()
		*stamp, *offset = t.UTC().Format(time.RFC3339), duration(time.Duration(east)*time.Second)
		if civil {
			*wall = civilTime(local)
		}
	}
	edge(start, &in.StartTime, &in.StartUTCOffset, &in.CivilStartTime)
	edge(end, &in.EndTime, &in.EndUTCOffset, &in.CivilEndTime)
	return in
}

func civilTime(wall time.Time) *civilDateTime {
	var c civilDateTime
	c.Date.Year, c.Date.Month, c.Date.Day = wall.Year(), int(wall.Month()), wall.Day()
	c.Time.Hours, c.Time.Minutes, c.Time.Seconds = wall.Clock()
	return &c
}
