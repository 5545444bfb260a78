package google

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// Sizes of pages, of points and of exercises.
const (
	stepsPage, maxStepsPage = 1440, 10000
	exercisePage            = 25
	rollUpDays              = 90
)

// api wraps a method: who asks, may they, and is it about themselves. It wants the scope, or any of
// Google Health's if that is empty.
func (s *Server) api(scope string, h func(http.ResponseWriter, *http.Request, *Walker)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		walker, scopes := s.authenticate(bearer(r))
		if walker == nil {
			unauthenticated(w, r)
			return
		}
		granted := slices.Contains(scopes, scope) || scope == "" &&
			slices.ContainsFunc(scopes, func(have string) bool { return strings.HasPrefix(have, scopePrefix) })
		user := r.PathValue("user")
		switch {
		case !granted:
			w.Header().Set("WWW-Authenticate",
				`Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="`+scope+`"`)
			apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.",
				errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", nil))
		case user != "me" && user != walker.ID():
			apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission")
		default:
			h(w, r, walker)
		}
	}
}

func (s *Server) settings(w http.ResponseWriter, _ *http.Request, p *Walker) {
	_, offset := s.o.Now().In(p.o.Zone).Zone()
	writeJSON(w, http.StatusOK, map[string]any{
		"name": "users/me/settings", "autoStrideEnabled": true, "distanceUnit": "DISTANCE_UNIT_KILOMETERS",
		"languageLocale": "en_GB", "utcOffset": fmt.Sprintf("%ds", offset), "timeZone": p.o.Zone.String(),
	})
}

func (*Server) identity(w http.ResponseWriter, _ *http.Request, p *Walker) {
	writeJSON(w, http.StatusOK, map[string]any{
		"name": "users/me/identity", "healthUserId": p.ID(), "legacyUserId": "L" + p.ID(),
	})
}

func (s *Server) pairedDevices(w http.ResponseWriter, r *http.Request, p *Walker) {
	now := s.o.Now()
	watch := map[string]any{
		"name": "users/me/pairedDevices/" + p.ID() + "-watch", "macAddress": "AA:BB:CC:DD:EE:FF", "deviceType": "TRACKER",
		"features": []string{"HEART_RATE", "STEPS"}, "batteryStatus": "High", "batteryLevel": 85,
		"deviceVersion": "Simulated Watch",
	}
	if at := p.LastSync(now); !at.IsZero() {
		watch["lastSyncTime"] = at.Format(time.RFC3339)
	}
	devices := []map[string]any{watch}
	if p.o.Scale {
		devices = append([]map[string]any{{
			"name": "users/me/pairedDevices/" + p.ID() + "-scale", "deviceType": "SCALE", "batteryStatus": "Medium",
			"deviceVersion": "Simulated Scale", "lastSyncTime": now.UTC().Truncate(time.Second).Format(time.RFC3339),
		}}, devices...)
	}
	size, err := pageSize(r.URL.Query().Get("pageSize"), 5, 100)
	if err != nil {
		invalidArgument(w, "page_size", err.Error())
		return
	}
	from, err := parsePage(r.URL.Query().Get("pageToken"), queryKey(r, p))
	if err != nil {
		invalidArgument(w, "page_token", err.Error())
		return
	}
	begin := 0
	if from.set {
		begin = min(int(from.at), len(devices))
	}
	end := min(begin+size, len(devices))
	out := map[string]any{"pairedDevices": devices[begin:end]}
	if end < len(devices) {
		out["nextPageToken"] = page{at: int64(end)}.token(queryKey(r, p))
	}
	writeJSON(w, http.StatusOK, out)
}

// A page is where a page of points begins: after what started at the second at, and came from a source before the one
// of that number. Points are newest first.
type page struct {
	set  bool
	at   int64
	rank byte
}

// token returns p as text that is good for one query only.
func (p page) token(query uint64) string {
	b := binary.BigEndian.AppendUint64(nil, query)
	b = binary.BigEndian.AppendUint64(b, uint64(p.at))
	return base64.RawURLEncoding.EncodeToString(append(b, p.rank))
}

// newest is where the first page begins.
func newest() page { return page{at: math.MaxInt64 - 1, rank: math.MaxUint8} }

var errPageToken = errors.New("invalid page token, or one of another query")

func parsePage(token string, query uint64) (page, error) {
	if token == "" {
		return newest(), nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 17 || binary.BigEndian.Uint64(b) != query {
		return page{}, errPageToken
	}
	return page{set: true, at: int64(binary.BigEndian.Uint64(b[8:])), rank: b[16]}, nil
}

// queryKey identifies a query but for its place and size of pages.
func queryKey(r *http.Request, p *Walker) uint64 {
	h := fnv.New64a()
	q := r.URL.Query()
	for _, part := range []string{p.ID(), r.Method, r.URL.Path, q.Get("filter"), q.Get("dataSourceFamily")} {
		_, _ = io.WriteString(h, part+"\x00")
	}
	return h.Sum64()
}

func pageSize(text string, usual, most int) (int, error) {
	if text == "" {
		return usual, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	switch {
	case err != nil || n < 0:
		return 0, fmt.Errorf("invalid page size: %s", text)
	case n == 0:
		return usual, nil
	}
	return min(int(n), most), nil
}

// points lists the points of a type, raw or reconciled.
func (s *Server) points(w http.ResponseWriter, r *http.Request, p *Walker) {
	q := r.URL.Query()
	dataType := r.PathValue("type")
	if dataType != "steps" && dataType != "exercise" {
		invalidArgument(w, "parent", "Unsupported data type: "+dataType)
		return
	}
	usual, most := stepsPage, maxStepsPage
	if dataType == "exercise" {
		usual, most = exercisePage, exercisePage
	}
	size, err := pageSize(q.Get("pageSize"), usual, most)
	if err != nil {
		invalidArgument(w, "page_size", err.Error())
		return
	}
	f, err := parseFilter(q.Get("filter"), dataType)
	var bad *filterError
	if errors.As(err, &bad) {
		filterRefused(w, bad)
		return
	}
	from, err := parsePage(q.Get("pageToken"), queryKey(r, p))
	if err != nil {
		invalidArgument(w, "page_token", err.Error())
		return
	}
	family, ok := familyOf(q.Get("dataSourceFamily"), p)
	if !ok {
		invalidArgument(w, "data_source_family", "Invalid data source family: "+q.Get("dataSourceFamily"))
		return
	}
	l := listing{
		s: s, p: p, query: f, from: from, size: size, reconciled: strings.HasSuffix(r.URL.Path, ":reconcile"),
		family: family,
	}
	var next page
	switch {
	case !from.set && (s.o.EmptyFirstPage || r.Header.Get(emptyPageHeader) != ""):
		next = newest()
		next.set = true
	case family == "self-sources": // nobody has written anything
	case dataType == "steps":
		next = l.steps()
	default:
		next = l.exercises()
	}
	l.send(w, next, queryKey(r, p))
}

// familyOf returns the last part of a family's name, "" for all sources.
func familyOf(name string, p *Walker) (string, bool) {
	if name == "" {
		return "", true
	}
	for _, user := range []string{"me", p.ID()} {
		family, ok := strings.CutPrefix(name, "users/"+user+"/dataSourceFamilies/")
		if ok && slices.Contains([]string{"all-sources", "google-wearables", "google-sources", "self-sources"}, family) {
			return family, true
		}
	}
	return "", false
}

// A listing is one page of points in the making.
type listing struct {
	s          *Server
	p          *Walker
	query      filter
	from       page
	size       int
	reconciled bool
	family     string
	body       []byte // the points, with commas between
	n          int
}

// The sources of steps, by rank: of two points that start at once the higher comes first.
const (
	rankWatch = 1
	rankPhone = 2
)

// phoneDelay is how many seconds after the watch's the minutes of the phone begin: sources need not be aligned.
const phoneDelay = 30

// steps collects a page of steps and returns where the next one begins, if there is one.
func (l *listing) steps() (next page) {
	p := l.p
	p.mu.RLock()
	defer p.mu.RUnlock()
	v := p.view(l.s.o.Now())
	spans := l.query.spans(p, v)
	phone := !l.reconciled && l.family != "google-wearables"
	last := page{}
	for _, sp := range slices.Backward(spans) {
		for m := floorDiv(min(sp.to, l.from.at+1)-1, 60); m*60 > sp.from-60; m-- {
			n := p.count(m, v)
			if n < 0 {
				continue
			}
			counts := [...]struct {
				rank  byte
				start int64
				n     int
			}{{rankPhone, m*60 + phoneDelay, -1}, {rankWatch, m * 60, n}}
			if phone {
				counts[0].n = p.phone(m, n)
			}
			for _, c := range counts {
				if c.n < 0 || c.start < sp.from || c.start >= sp.to || !l.after(c.start, c.rank) {
					continue
				}
				if l.n == l.size {
					return last
				}
				l.appendSteps(c.start, c.n, c.rank)
				last = page{true, c.start, c.rank}
			}
		}
	}
	return page{}
}

// after reports whether a point comes after what the pages before have shown.
func (l *listing) after(start int64, rank byte) bool {
	return start < l.from.at || start == l.from.at && rank < l.from.rank
}

func (l *listing) appendSteps(start int64, n int, rank byte) {
	b := l.separate()
	switch {
	case l.reconciled:
		b = append(b, '{')
	case rank == rankPhone:
		b = append(b, `{"dataSource":{"recordingMethod":"DERIVED","device":{"formFactor":"PHONE",`+
			`"displayName":"MobileTrack"},"platform":"FITBIT"},`...)
	default:
		b = append(b, `{"dataSource":{"recordingMethod":"PASSIVELY_MEASURED","device":{"displayName":"Simulated Watch"},`+
			`"platform":"FITBIT"},`...)
	}
	b = append(b, `"steps":{"interval":`...)
	b = l.appendInterval(b, start, start+60, !l.s.o.NoCivil)
	switch {
	case n == 0: // a true zero
	case l.s.o.Numbers:
		b = strconv.AppendInt(append(b, `,"count":`...), int64(n), 10)
	default:
		b = append(strconv.AppendInt(append(b, `,"count":"`...), int64(n), 10), '"')
	}
	l.body = append(b, "}}"...)
}

// separate counts a point and returns the body up to where it begins.
func (l *listing) separate() []byte {
	if l.n++; l.n > 1 {
		return append(l.body, ',')
	}
	return l.body
}

func (l *listing) appendInterval(b []byte, start, end int64, civil bool) []byte {
	edge := func(b []byte, name string, at int64) []byte {
		offset := l.p.offset(at)
		b = append(append(append(b, '"'), name...), `Time":"`...)
		b = time.Unix(at, 0).UTC().AppendFormat(b, time.RFC3339)
		b = append(append(append(b, `","`...), name...), `UtcOffset":"`...)
		b = append(strconv.AppendInt(b, int64(offset), 10), `s"`...)
		return b
	}
	b = edge(append(b, '{'), "start", start)
	b = edge(append(b, ','), "end", end)
	if civil {
		b = l.appendCivil(append(b, `,"civilStartTime":`...), start)
		b = l.appendCivil(append(b, `,"civilEndTime":`...), end)
	}
	return append(b, '}')
}

// appendCivil writes the person's clock at a Unix second. Members that are zero are left out.
func (l *listing) appendCivil(b []byte, at int64) []byte {
	local := time.Unix(at+int64(l.p.offset(at)), 0).UTC()
	year, month, day := local.Date()
	b = appendMembers(append(b, `{"date":`...), "year", year, "month", int(month), "day", day)
	b = appendMembers(append(b, `,"time":`...), "hours", local.Hour(), "minutes", local.Minute(), "seconds",
		local.Second())
	return append(b, '}')
}

func appendMembers(b []byte, a string, x int, c string, y int, d string, z int) []byte {
	b = append(b, '{')
	for _, m := range [...]struct {
		name string
		n    int
	}{{a, x}, {c, y}, {d, z}} {
		if m.n == 0 {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), m.name...), `":`...)
		b = strconv.AppendInt(b, int64(m.n), 10)
	}
	return append(b, '}')
}

// exercises collects a page of exercises and returns where the next one begins, if there is one.
func (l *listing) exercises() (next page) {
	p := l.p
	p.mu.RLock()
	defer p.mu.RUnlock()
	now := l.s.o.Now()
	v := p.view(now)
	last := page{}
	for _, sp := range slices.Backward(l.query.spans(p, v)) {
		for _, e := range slices.Backward(p.exercises(sp, v)) {
			if !l.after(e.start, rankWatch) {
				continue
			}
			if l.n == l.size {
				return last
			}
			text, err := json.Marshal(l.exercise(e, now))
			if err != nil {
				continue // a map of texts and numbers is always JSON
			}
			l.body = append(l.separate(), text...)
			last = page{true, e.start, rankWatch}
		}
	}
	return page{}
}

// exercise returns the data point of e.
func (l *listing) exercise(e exercise, now time.Time) map[string]any {
	stamp := func(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
	offset := func(at int64) string { return strconv.Itoa(l.p.offset(at)) + "s" }
	event := func(at int64, kind string) map[string]any {
		return map[string]any{"eventTime": stamp(at), "eventUtcOffset": offset(at), "exerciseEventType": kind}
	}
	events := []map[string]any{event(e.start, "START")}
	if e.paused > 0 {
		middle := (e.start + e.end) / 2
		events = append(events, event(middle, "AUTO_PAUSE"), event(middle+e.paused, "AUTO_RESUME"))
	}
	moving := e.end - e.start - e.paused
	kind, name, meters := "WALKING", "Walk", float64(moving)*1.3
	if e.ride {
		kind, name, meters = "BIKING", "Bike", float64(moving)*5
	}
	summary := map[string]any{"caloriesKcal": moving / 12, "distanceMillimeters": math.Round(meters * 1000)}
	switch {
	case e.steps < 0:
	case l.s.o.Numbers:
		summary["steps"] = e.steps
	default:
		summary["steps"] = strconv.Itoa(e.steps)
	}
	point := map[string]any{
		"exercise": map[string]any{
			"interval": map[string]any{
				"startTime": stamp(e.start), "startUtcOffset": offset(e.start), "endTime": stamp(e.end),
				"endUtcOffset": offset(e.end),
			},
			"exerciseType": kind, "metricsSummary": summary, "exerciseMetadata": map[string]any{}, "displayName": name,
			"activeDuration": fmt.Sprintf("%ds", moving), "exerciseEvents": append(events, event(e.end, "STOP")),
		},
	}
	if at, ok := l.p.firstSync(time.Unix(e.end, 0), now); ok {
		stamp := at.Add(time.Duration(l.p.random("created", e.start)%1_000_000) * time.Microsecond).
			Format("2006-01-02T15:04:05.000000Z07:00")
		point["exercise"].(map[string]any)["createTime"] = stamp
		point["exercise"].(map[string]any)["updateTime"] = stamp
	}
	resource := "users/" + l.p.ID() + "/dataTypes/exercise/dataPoints/" + e.id
	if l.reconciled {
		point["dataPointName"] = resource
		return point
	}
	point["name"] = resource
	point["dataSource"] = map[string]any{
		"recordingMethod": "PASSIVELY_MEASURED", "platform": "FITBIT",
		"device": map[string]any{"formFactor": "WATCH", "displayName": "Simulated Watch"},
	}
	return point
}

// send answers with the points that were collected. The last page has an empty token if it is reconciled, else none.
func (l *listing) send(w http.ResponseWriter, next page, query uint64) {
	b := []byte{'{'}
	if l.n > 0 {
		b = append(append(append(b, `"dataPoints":[`...), l.body...), ']')
	}
	if next.set || l.reconciled {
		if l.n > 0 {
			b = append(b, ',')
		}
		token := ""
		if next.set {
			token = next.token(query)
		}
		b = append(append(append(b, `"nextPageToken":"`...), token...), '"')
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = w.Write(append(b, '}', '\n'))
}

// A civilTime is a CivilDateTime of the API.
type civilTime struct {
	Date struct{ Year, Month, Day int }
	Time struct{ Hours, Minutes, Seconds, Nanos int }
}

func (c civilTime) day() walking.Day {
	return walking.DayOf(c.Date.Year, time.Month(c.Date.Month), c.Date.Day)
}

// dailyRollUp answers the steps of each civil day, newest first. A day on which the device was not worn has no value.
func (s *Server) dailyRollUp(w http.ResponseWriter, r *http.Request, p *Walker) {
	if r.PathValue("type") != "steps" {
		invalidArgument(w, "parent", "Unsupported data type: "+r.PathValue("type"))
		return
	}
	var q struct {
		Range          struct{ Start, End civilTime }
		WindowSizeDays int
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		invalidArgument(w, "", "Invalid JSON payload received.")
		return
	}
	midnight := civilTime{}.Time
	from, to := q.Range.Start.day(), q.Range.End.day()
	if s.o.RollUpInclusive {
		to++
	}
	switch {
	case q.Range.Start.Time != midnight || q.Range.End.Time != midnight:
		invalidArgument(w, "range", "The range is not aligned with the aggregation window.")
		return
	case q.WindowSizeDays < 0 || q.WindowSizeDays > 1:
		invalidArgument(w, "window_size_days", "The simulation knows windows of one day only.")
		return
	case from >= to || to-from > rollUpDays:
		invalidArgument(w, "range", fmt.Sprintf("The range must be 1 to %d days.", rollUpDays))
		return
	}
	sums := s.daily(p, from, to)
	points := []map[string]any{}
	for d := min(to-1, dateOf(s.o.Now().In(p.Zones().At(s.o.Now())))); d >= from; d-- {
		point := map[string]any{"civilStartTime": civilMidnight(d), "civilEndTime": civilMidnight(d + 1)}
		if n, worn := sums[d]; worn {
			sum := any(strconv.Itoa(n))
			if s.o.Numbers {
				sum = n
			}
			point["steps"] = map[string]any{"countSum": sum}
		}
		points = append(points, point)
	}
	out := map[string]any{}
	if len(points) > 0 {
		out["rollupDataPoints"] = points
	}
	writeJSON(w, http.StatusOK, out)
}

// daily returns the steps of the days in [from, to) on which the device was worn.
func (s *Server) daily(p *Walker, from, to walking.Day) map[walking.Day]int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	v := p.view(s.o.Now())
	sums := map[walking.Day]int{}
	f := filter{span: span{int64(from) * 86400, int64(to) * 86400}, civil: true}
	for _, sp := range f.spans(p, v) {
		for m := ceilDiv(sp.from, 60); m*60 < sp.to; m++ {
			n, worn := p.worn(m, v)
			if !worn {
				continue
			}
			day, _ := p.clock(m)
			sums[walking.Day(day)] += n
		}
	}
	return sums
}

func civilMidnight(d walking.Day) map[string]any {
	year, month, day := d.Date()
	return map[string]any{
		"date": map[string]any{"year": year, "month": int(month), "day": day}, "time": map[string]any{},
	}
}

// apiError answers as google.rpc.Status.
func apiError(w http.ResponseWriter, status int, name, message string, details ...map[string]any) {
	e := map[string]any{"code": status, "message": message, "status": name}
	if len(details) > 0 {
		e["details"] = details
	}
	writeJSON(w, status, map[string]any{"error": e})
}

func errorInfo(reason, domain string, metadata map[string]string) map[string]any {
	info := map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain}
	if len(metadata) > 0 {
		info["metadata"] = metadata
	}
	return info
}

func badRequest(violations ...map[string]string) map[string]any {
	return map[string]any{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
}

func invalidArgument(w http.ResponseWriter, field, message string) {
	apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", message,
		badRequest(map[string]string{"field": field, "description": message}))
}

func filterRefused(w http.ResponseWriter, bad *filterError) {
	var violations []map[string]string
	for _, d := range bad.descriptions {
		violations = append(violations, map[string]string{"field": "filter", "description": d})
	}
	apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT",
		"Invalid data point filter: "+strings.Join(bad.reasons, ", ")+".",
		errorInfo("INVALID_DATA_POINT_FILTER", serviceDomain,
			map[string]string{"detailedReasons": strings.Join(bad.reasons, ",")}),
		badRequest(violations...))
}

// unauthenticated answers 401, in one way to a token that is not good and in another to none.
func unauthenticated(w http.ResponseWriter, r *http.Request) {
	const ask = " Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
		"See https://developers.google.com/identity/sign-in/web/devconsole-project."
	const realm = `Bearer realm="https://accounts.google.com/"`
	if bearer(r) == "" {
		w.Header().Set("WWW-Authenticate", realm)
		apiError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request is missing required authentication credential."+ask,
			errorInfo("CREDENTIALS_MISSING", "googleapis.com", map[string]string{"service": serviceDomain}))
		return
	}
	w.Header().Set("WWW-Authenticate", realm+`, error="invalid_token"`)
	apiError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials."+ask)
}

func throttled(w http.ResponseWriter, retryAfter string) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	apiError(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED",
		"Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service '"+serviceDomain+
			"' for consumer 'project_number:123456789'.", errorInfo("RATE_LIMIT_EXCEEDED", "googleapis.com", nil))
}
