package googlehealth_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/walking"
)

// A discovery is what is used of Google's discovery document.
type discovery struct {
	Parameters map[string]schema   `json:"parameters"`
	Resources  map[string]resource `json:"resources"`
	Schemas    map[string]schema   `json:"schemas"`
	Auth       struct {
		OAuth2 struct {
			Scopes map[string]any `json:"scopes"`
		} `json:"oauth2"`
	} `json:"auth"`
}

type resource struct {
	Methods   map[string]method   `json:"methods"`
	Resources map[string]resource `json:"resources"`
}

type method struct {
	HTTPMethod string            `json:"httpMethod"`
	FlatPath   string            `json:"flatPath"`
	Parameters map[string]schema `json:"parameters"`
	Scopes     []string          `json:"scopes"`
	Request    schema            `json:"request"`
	Response   schema            `json:"response"`
}

type schema struct {
	Ref         string            `json:"$ref"`
	Type        string            `json:"type"`
	Format      string            `json:"format"`
	Location    string            `json:"location"`
	Description string            `json:"description"`
	Properties  map[string]schema `json:"properties"`
	Items       *schema           `json:"items"`
	Enum        []string          `json:"enum"`
}

var discoveryOnce = sync.OnceValues(func() (*discovery, error) {
	f, err := os.Open("testdata/discovery.json.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var d discovery
	return &d, json.NewDecoder(z).Decode(&d)
})

func readDiscovery(t *testing.T) *discovery {
	t.Helper()
	d, err := discoveryOnce()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// find returns the method that answers at path.
func (d *discovery) find(verb, path string) (method, bool) {
	var search func(map[string]resource) (method, bool)
	search = func(all map[string]resource) (method, bool) {
		for _, r := range all {
			for _, m := range r.Methods {
				pattern := regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta("/"+m.FlatPath), "[^/:]+")
				if m.HTTPMethod == verb && regexp.MustCompile("^"+pattern+"$").MatchString(path) {
					return m, true
				}
			}
			if m, ok := search(r.Resources); ok {
				return m, true
			}
		}
		return method{}, false
	}
	return search(d.Resources)
}

var (
	maxSize    = regexp.MustCompile(`(?i)maximum (?:page size is|value is) (\d+)`)
	maxSession = regexp.MustCompile("maximum page size for `exercise` and `sleep` is (\\d+)")
	comparison = regexp.MustCompile(`^([a-z_]+)\.interval\.(start_time|civil_start_time) (>=|<) "([^"]+)"$`)
	civil      = regexp.MustCompile(`^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?$`)
	physical   = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
)

// wrong returns in what a request is not as the document has it, or "".
func (d *discovery) wrong(verb string, u *url.URL, body []byte) string {
	m, ok := d.find(verb, u.Path)
	switch {
	case !ok:
		return "no such method"
	case m.Request.Ref == "" && len(body) > 0:
		return "the method takes no body"
	case m.Request.Ref != "":
		if what := d.wrongBody(m.Request.Ref, body); what != "" {
			return what
		}
	}
	for key, values := range u.Query() {
		p, own := m.Parameters[key]
		_, common := d.Parameters[key]
		switch {
		case own && p.Location != "query", !own && !common, len(values) != 1:
			return "no such parameter: " + key
		case key == "pageSize":
			size, err := strconv.Atoi(values[0])
			limit := maxSize.FindStringSubmatch(p.Description)
			if strings.Contains(u.Path, "/exercise/") {
				limit = maxSession.FindStringSubmatch(p.Description)
			}
			if limit == nil {
				return "the document no longer says how large a page may be"
			}
			if most, _ := strconv.Atoi(limit[1]); err != nil || size < 1 || size > most {
				return fmt.Sprintf("the page size is %s, at most %s is allowed", values[0], limit[1])
			}
		case key == "filter":
			for part := range strings.SplitSeq(values[0], " AND ") {
				c := comparison.FindStringSubmatch(part)
				switch {
				case c == nil:
					return "a filter is not of the documented form: " + part
				case !strings.Contains(u.Path, "/"+c[1]+"/"):
					return "the filter is about another type"
				case c[1] == "exercise" && c[2] != "civil_start_time":
					return "exercises can be asked for by civil time only"
				case c[2] == "civil_start_time" && !civil.MatchString(c[4]), c[2] == "start_time" && !physical.MatchString(c[4]):
					return "the filter has a time of the wrong kind: " + part
				}
			}
		}
	}
	return ""
}

// wrongBody returns in what a body is not of a schema, or "".
func (d *discovery) wrongBody(name string, body []byte) string {
	var v any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return "the body is no JSON: " + err.Error()
	}
	if what := d.wrongValue(schema{Ref: name}, v); what != "" {
		return what
	}
	if name != "DailyRollUpDataPointsRequest" {
		return ""
	}
	var q struct {
		PageSize int
		Range    struct {
			Start, End struct {
				Date struct{ Year, Month, Day int }
			}
		}
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return err.Error()
	}
	longest := longestRange.FindStringSubmatch(d.Schemas[name].Properties["range"].Description)
	largest := largestPage.FindStringSubmatch(d.Schemas[name].Properties["pageSize"].Description)
	if longest == nil || largest == nil {
		return "the document no longer says how long a range and how large a page may be"
	}
	start, end := q.Range.Start.Date, q.Range.End.Date
	n := walking.DayOf(end.Year, time.Month(end.Month), end.Day) - walking.DayOf(start.Year, time.Month(start.Month), start.Day)
	if most, _ := strconv.Atoi(longest[1]); n < 1 || int(n)+1 > most { // also if the end is the last day
		return fmt.Sprintf("the range has %d days, or one more: %d are allowed", n, most)
	}
	if most, _ := strconv.Atoi(largest[1]); q.PageSize < int(n)+1 || q.PageSize > most {
		return fmt.Sprintf("the page size is %d for %d days, or one more: %d are allowed", q.PageSize, n, most)
	}
	return ""
}

var (
	longestRange = regexp.MustCompile(`maximum range for all other data types is (\d+) days`)
	largestPage  = regexp.MustCompile("maximum page size is `(\\d+)`")
)

func (d *discovery) wrongValue(s schema, v any) string {
	if s.Ref != "" {
		s = d.Schemas[s.Ref]
	}
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			p, ok := s.Properties[key]
			if !ok {
				return "the body has no field " + key
			}
			if what := d.wrongValue(p, member); what != "" {
				return what
			}
		}
	case json.Number:
		if s.Type != "integer" && s.Type != "number" {
			return fmt.Sprintf("the body has a number, want a %s", s.Type)
		}
	case string:
		if s.Type != "string" {
			return fmt.Sprintf("the body has a string, want a %s", s.Type)
		}
	default:
		return fmt.Sprintf("the body has a %T", v)
	}
	return ""
}

func TestPathsAndScopesAreDocumented(t *testing.T) {
	d := readDiscovery(t)
	responses := map[string]string{
		totals: "DailyRollUpDataPointsResponse", steps: "ReconcileDataPointsResponse", exercises: "ReconcileDataPointsResponse",
		devices: "ListPairedDevicesResponse", settings: "Settings",
	}
	for _, path := range googlehealth.Paths {
		verb := http.MethodGet
		if path == googlehealth.Posted {
			verb = http.MethodPost
		}
		m, ok := d.find(verb, path)
		if !ok {
			t.Errorf("%s is not documented", path)
			continue
		}
		scope := googlehealth.Scopes[path]
		if _, ok := d.Auth.OAuth2.Scopes[scope]; !ok || !slices.Contains(m.Scopes, scope) {
			t.Errorf("%s does not take the scope %s", path, scope)
		}
		if m.Response.Ref != responses[path] {
			t.Errorf("%s answers with %s, want %s", path, m.Response.Ref, responses[path])
		}
		u := &url.URL{Path: path}
		if size, ok := googlehealth.Sizes[path]; ok {
			u.RawQuery = fmt.Sprintf("pageSize=%d", size)
			if what := d.wrong(http.MethodGet, u, nil); what != "" {
				t.Errorf("%s: %s", u, what)
			}
			u.RawQuery = fmt.Sprintf("pageSize=%d", size+1)
			if d.wrong(http.MethodGet, u, nil) == "" {
				t.Errorf("%s: more could be asked for at once", u)
			}
		}
	}
	for name, list := range map[string]string{
		"ReconcileDataPointsResponse": "dataPoints", "ListPairedDevicesResponse": "pairedDevices",
		"DailyRollUpDataPointsResponse": "rollupDataPoints",
	} {
		if p := d.Schemas[name].Properties; p[list].Type != "array" || p["nextPageToken"].Type != "string" {
			t.Errorf("%s has no list %s with a token", name, list)
		}
	}
}

// notInSchema are the fields that we read and that no schema has.
var notInSchema = map[string]string{
	"Settings.error": "a google.rpc.Status in place of the settings, as all Google APIs answer; it is in no document",
}

func TestFieldsAreDocumented(t *testing.T) {
	d := readDiscovery(t)
	for name, structs := range googlehealth.Schemas {
		for _, s := range structs {
			checkFields(t, d, name, reflect.TypeOf(s))
		}
	}
}

func checkFields(t *testing.T, d *discovery, name string, typ reflect.Type) {
	t.Helper()
	sch, ok := d.Schemas[name]
	if !ok {
		t.Errorf("there is no schema %s", name)
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		p, ok := sch.Properties[key]
		if !ok {
			if notInSchema[name+"."+key] == "" {
				t.Errorf("%s has no field %q", name, key)
			}
			continue
		}
		checkType(t, d, name+"."+key, p, f.Type)
	}
}

func checkType(t *testing.T, d *discovery, at string, p schema, typ reflect.Type) {
	t.Helper()
	want := ""
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch typ.Name() {
	case "integer":
		want = "string int64"
	case "duration":
		want = "string google-duration"
	case "Time":
		want = "string google-datetime"
	case "string":
		want = "string "
	case "int", "percent":
		want = "integer int32"
	default:
		switch {
		case typ.Kind() == reflect.Slice && p.Type == "array":
			checkType(t, d, at, *p.Items, typ.Elem())
		case typ.Kind() == reflect.Struct && p.Ref != "":
			checkFields(t, d, p.Ref, typ)
		default:
			t.Errorf("%s is a %s%s, we read a %s", at, p.Type, p.Ref, typ)
		}
		return
	}
	if got := p.Type + " " + p.Format; got != want {
		t.Errorf("%s is a %q, we read a %q", at, got, want)
	}
}

func TestEnumsAreDocumented(t *testing.T) {
	d := readDiscovery(t)
	if !slices.Contains(d.Schemas["PairedDevice"].Properties["deviceType"].Enum, googlehealth.Tracker) {
		t.Errorf("%s is no type of device", googlehealth.Tracker)
	}
	events := d.Schemas["ExerciseEvent"].Properties["exerciseEventType"].Enum
	for _, e := range []string{"PAUSE", "RESUME", "AUTO_PAUSE", "AUTO_RESUME"} {
		if !slices.Contains(events, e) {
			t.Errorf("%s is no type of event", e)
		}
	}
	want := map[walking.Kind][]string{
		walking.Walk: {
			"INCLINE_WALK", "NORDIC_WALKING", "POWER_WALKING", "RUCKING", "STROLLER_WALK", "TREADMILL_WALK", "WALKING",
			"WALK_WITH_WEIGHTS",
		},
		walking.Hike: {"BACKPACKING", "HIKING"},
		walking.Run:  {"INCLINE_RUN", "RUNNING", "TRAIL_RUN", "TREADMILL"},
		walking.Ride: {
			"ASSAULT_BIKE", "BIKING", "ELECTRIC_BIKE", "HAND_CYCLING", "MOUNTAIN_BIKE", "OUTDOOR_BIKE", "SPINNING",
			"STATIONARY_BIKE", "UNICYCLING",
		},
		walking.Swim:       {"SWIMMING", "SWIMMING_OPEN_WATER", "SWIMMING_POOL", "SYNCHRONIZED_SWIMMING"},
		walking.Row:        {"ROWING", "ROWING_MACHINE"},
		walking.Elliptical: {"ELLIPTICAL"},
	}
	got := map[walking.Kind][]string{}
	for _, name := range d.Schemas["Exercise"].Properties["exerciseType"].Enum {
		if k := googlehealth.KindOf(name); k != walking.Other {
			got[k] = append(got[k], name)
		}
	}
	for _, list := range got {
		slices.Sort(list)
	}
	if diff := diff(want, got); diff != "" {
		t.Errorf("kinds of the documented types (-want +got):\n%s", diff)
	}
	for _, name := range []string{"", "EXERCISE_TYPE_UNSPECIFIED", "MOON_WALK"} {
		if k := googlehealth.KindOf(name); k != walking.Other {
			t.Errorf("%q is a %s, want other", name, k)
		}
	}
}
