package healthsim

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
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
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object{"error": e})
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

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", realm+`, error="invalid_token"`)
	apiError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials."+expect)
}

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
	devices := []object{{
		"name": "users/me/pairedDevices/scale_1", "deviceType": "SCALE", "lastSyncTime": s.o.Now().UTC().Format(time.RFC3339),
		"deviceVersion": "Aria",
	}}
	if synced := p.Synced(s.o.Now()); !synced.IsZero() {
		devices = append(devices, object{
			"name": "users/me/pairedDevices/watch_1", "deviceType": "TRACKER", "features": []string{"STEPS"},
			"lastSyncTime": synced.UTC().Format(time.RFC3339), "batteryStatus": "High", "batteryLevel": 85,
			"deviceVersion": "Charge 6",
		})
	}
	l := listing{name: "pairedDevices", standard: 5, most: 100}
	for i, d := range devices {
		l.items = append(l.items, item{-int64(i), func() object { return d }})
	}
	s.send(w, r, p, l)
}

// An item of a listing, with the key by which it is sorted.
type item struct {
	key  int64
	body func() object // called only if it is on the page
}

// A listing is all that a request asks for, on whatever page.
type listing struct {
	name           string
	items          []item // by descending keys
	standard, most int    // sizes of pages
	emptyFirst     bool   // a page without items comes first
	endToken       bool   // the last page has a token as well, an empty one
}

// send answers with the page of l that is asked for. What comes to light between two pages moves nothing.
func (s *Service) send(w http.ResponseWriter, r *http.Request, p *simulate.Person, l listing) {
	size, bad := pageSize(r, l.standard, l.most)
	if bad != nil {
		invalid(w, bad)
		return
	}
	before, bad := pageFrom(r, p)
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
	case l.emptyFirst && r.URL.Query().Get("pageToken") == "":
		size, out["nextPageToken"] = 0, pageToken(r, p, math.MaxInt64)
	case size < len(rest):
		out["nextPageToken"] = pageToken(r, p, rest[size-1].key)
	case l.endToken:
		out["nextPageToken"] = ""
	}
	var bodies []object
	for _, i := range rest[:min(size, len(rest))] {
		bodies = append(bodies, i.body())
	}
	if len(bodies) > 0 {
		out[l.name] = bodies
	}
	writeJSON(w, out)
}

func pageSize(r *http.Request, standard, most int) (int, *problem) {
	text := r.URL.Query().Get("pageSize")
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, &problem{field: "page_size", text: "Invalid page size: " + text}
	}
	if n == 0 {
		return standard, nil
	}
	return min(n, most), nil
}

// pageToken names the place before a key in a listing, for the same question only.
func pageToken(r *http.Request, p *simulate.Person, before int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d/%x", before, question(r, p)))
}

// pageFrom returns the key before which the page begins that is asked for.
func pageFrom(r *http.Request, p *simulate.Person) (int64, *problem) {
	token := r.URL.Query().Get("pageToken")
	if token == "" {
		return math.MaxInt64, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	place, of, found := strings.Cut(string(text), "/")
	n, convErr := strconv.ParseInt(place, 10, 64)
	if err != nil || convErr != nil || !found || of != fmt.Sprintf("%x", question(r, p)) {
		return 0, &problem{field: "page_token", text: "Invalid page token, or one of another request."}
	}
	return n, nil
}

// question identifies what a listing is of.
func question(r *http.Request, p *simulate.Person) uint64 {
	h := fnv.New64a()
	q := r.URL.Query()
	for _, part := range []string{p.Name(), r.URL.Path, q.Get("filter"), q.Get("dataSourceFamily")} {
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

// family returns the last part of the name of the group of sources that is asked for, and whether there is one.
func family(r *http.Request, p *simulate.Person) (string, bool) {
	name := r.URL.Query().Get("dataSourceFamily")
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
	sources, ok := family(r, p)
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
	s.send(w, r, p, l)
}

// steps returns the minutes that are asked for. Unless they are reconciled, the phone counts some of them again.
func (s *Service) steps(r *http.Request, p *simulate.Person, reconciled, phone bool) ([]item, *problem) {
	f, bad := parseFilter(r.URL.Query().Get("filter"), "steps.interval", true)
	if bad != nil {
		return nil, bad
	}
	zones := p.Zones()
	var out []item
	for _, pt := range slices.Backward(p.Points(f.window, s.o.Now())) {
		if !f.holds(pt.Start, pt.Offset) {
			continue
		}
		key := 2 * pt.Start.Unix()
		if phone && !reconciled && pt.Steps > 40 {
			out = append(out, item{key + 1, func() object {
				return object{"dataSource": source("MobileTrack"), "steps": s.minute(pt.Start, pt.Steps-3, zones)}
			}})
		}
		out = append(out, item{key, func() object {
			if reconciled {
				return object{"steps": s.minute(pt.Start, pt.Steps, zones)}
			}
			return object{"dataSource": source("Charge 6"), "steps": s.minute(pt.Start, pt.Steps, zones)}
		}})
	}
	return out, nil
}

// minute returns the steps of one. A true zero has no count.
func (s *Service) minute(start time.Time, steps int, zones walking.Timeline) object {
	out := object{"interval": interval(start, start.Add(time.Minute), zones, true)}
	if steps > 0 {
		out["count"] = s.number(steps)
	}
	return out
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
		out = append(out, item{key, func() object {
			name := fmt.Sprintf("users/%s/dataTypes/exercise/dataPoints/%d", userID(p), key)
			if reconciled {
				return object{"dataPointName": name, "exercise": s.exercise(x, zones)}
			}
			return object{"name": name, "dataSource": source("Charge 6"), "exercise": s.exercise(x, zones)}
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
	return object{
		"interval": interval(x.Start, x.End, zones, false), "exerciseType": x.Type, "metricsSummary": summary,
		"displayName": strings.ToLower(x.Type), "activeDuration": duration(x.End.Sub(x.Start)),
		"createTime": stamp, "updateTime": stamp,
	}
}

func source(device string) object {
	return object{
		"recordingMethod": "PASSIVELY_MEASURED", "platform": "FITBIT", "device": object{"displayName": device},
	}
}

// interval returns the span of a point, with the times of the clock if civil.
func interval(start, end time.Time, zones walking.Timeline, civil bool) object {
	out := object{}
	for edge, t := range map[string]time.Time{"start": start, "end": end} {
		local := t.In(zones.At(t))
		_, offset := local.Zone()
		out[edge+"Time"] = t.UTC().Format(time.RFC3339)
		out[edge+"UtcOffset"] = duration(time.Duration(offset) * time.Second)
		if civil {
			out["civil"+strings.ToUpper(edge[:1])+edge[1:]+"Time"] = civilTime(local)
		}
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
	return object{"date": object{"year": wall.Year(), "month": int(wall.Month()), "day": wall.Day()}, "time": clock}
}
