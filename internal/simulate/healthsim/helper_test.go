package healthsim_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

const (
	clientID     = "client.apps.example"
	clientSecret = "GOCSPX-not-a-secret"
	redirect     = "http://127.0.0.1:8099/callback"
	scopeSteps   = "https://www.googleapis.com/auth/googlehealth.activity_and_fitness.readonly"
	scopeDevices = "https://www.googleapis.com/auth/googlehealth.settings.readonly"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func window(t *testing.T, from, to string) walking.Window {
	t.Helper()
	return walking.Window{Start: at(t, from), End: at(t, to)}
}

// service is a Service over HTTP, which one person uses, at noon of 20 November 2026 in Berlin.
type service struct {
	*healthsim.Service
	t       *testing.T
	url     string
	domain  *clock
	wall    *clock
	person  *simulate.Person
	refresh string // a refresh token of the person, and an access token of another grant
	token   string
}

// volunteer returns the recorded days.
func volunteer(t *testing.T) *simulate.Life {
	t.Helper()
	l, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// counted has steps in all minutes, which tell the minutes of an hour apart and make no walk.
func counted(t *testing.T) *simulate.Life {
	t.Helper()
	steps := make([]uint8, 24*60)
	for m := range steps {
		steps[m] = uint8(1 + m%70)
	}
	l, err := simulate.NewLife(steps)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newPerson(t *testing.T, p simulate.Plan) *simulate.Person {
	t.Helper()
	someone, err := simulate.NewPerson(p)
	if err != nil {
		t.Fatal(err)
	}
	return someone
}

func start(t *testing.T, change func(*healthsim.Options, *simulate.Plan)) *service {
	t.Helper()
	now := at(t, "2026-11-20T12:00:00+01:00")
	s := &service{t: t, domain: &clock{t: now}, wall: &clock{t: now.Add(-time.Hour)}}
	o := healthsim.Options{
		Now: s.domain.Now, Wall: s.wall.Now, ClientID: clientID, ClientSecret: clientSecret,
		RedirectURLs: []string{redirect}, Consent: "ann", Seed: 1,
	}
	p := simulate.Plan{
		Name: "ann", Life: volunteer(t), Home: zone(t, "Europe/Berlin"), First: walking.DayOf(2026, time.October, 23),
	}
	if change != nil {
		change(&o, &p)
	}
	s.person, s.Service = newPerson(t, p), healthsim.New(o)
	s.Add(s.person)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.url = h.URL
	s.refresh = s.Grant("ann", scopeSteps, scopeDevices)
	s.token = s.post("/token", refresh(s.Grant("ann", scopeSteps, scopeDevices))).at(t, "access_token")
	return s
}

// ask asks for an access token with a refresh token.
func (s *service) ask(token string) reply {
	s.t.Helper()
	return s.post("/token", refresh(token))
}

type reply struct {
	status int
	header http.Header
	body   string
	err    error // while the body was read
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(r.body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.200q", err, r.body)
	}
	return v
}

// at returns the member of a reply that path leads to, as text; "" if there is none.
func (r reply) at(t *testing.T, path ...any) string {
	t.Helper()
	var v any = r.json(t)
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return ""
			}
			v = l[p]
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// send sends a request as it is written and does not follow redirects.
func (s *service) send(method, path, token, contentType, body string) (reply, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text), err}, nil
}

func (s *service) must(method, path, token, contentType, body string) reply {
	s.t.Helper()
	r, err := s.send(method, path, token, contentType, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *service) get(path string) reply {
	s.t.Helper()
	return s.must(http.MethodGet, path, s.token, "", "")
}

func (s *service) post(path string, form url.Values) reply {
	s.t.Helper()
	return s.must(http.MethodPost, path, "", "application/x-www-form-urlencoded", form.Encode())
}

const dataTypes = "/v4/users/me/dataTypes/"

// list asks for one page and reports an answer that is not 200.
func (s *service) list(path string, query url.Values) (points []any, next string) {
	s.t.Helper()
	r := s.get(dataTypes + path + "?" + query.Encode())
	if r.status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", query.Get("filter"), r.status, r.body)
	}
	v := r.json(s.t)
	points, _ = v["dataPoints"].([]any)
	next, _ = v["nextPageToken"].(string)
	return points, next
}

// all asks for all pages.
func (s *service) all(path string, query url.Values) (points []any, pages int) {
	s.t.Helper()
	for {
		got, next := s.list(path, query)
		points = append(points, got...)
		if pages++; next == "" {
			return points, pages
		}
		query.Set("pageToken", next)
	}
}

// member returns the text of a member of a data point, "" if there is none.
func member(v any, path ...string) string {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func physical(w walking.Window) url.Values {
	return url.Values{"filter": {fmt.Sprintf(`steps.interval.start_time >= %q AND steps.interval.start_time < %q`,
		w.Start.UTC().Format(time.RFC3339), w.End.UTC().Format(time.RFC3339))}}
}

func civil(dataType, from, to string) url.Values {
	return url.Values{"filter": {fmt.Sprintf(
		`%s.interval.civil_start_time >= %q AND %s.interval.civil_start_time < %q`, dataType, from, dataType, to)}}
}

// discovery is Google's description of the API.
type discovery struct {
	Schemas   map[string]schema
	Resources map[string]resource
}

type resource struct {
	Resources map[string]resource
	Methods   map[string]struct {
		FlatPath   string
		Parameters map[string]struct{ Location string }
	}
}

type schema struct {
	Type       string
	Ref        string `json:"$ref"`
	Format     string
	Enum       []string
	Items      *schema
	Properties map[string]schema
}

func readDiscovery(t *testing.T) discovery {
	t.Helper()
	f, err := os.Open("../../ingest/googlehealth/testdata/discovery.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var d discovery
	if err := json.NewDecoder(z).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// check reports what in v is not as the schema of that name has it.
func (d discovery) check(name, where string, v any) (wrong []string) {
	return d.checkSchema(schema{Ref: name}, where, v)
}

func (d discovery) checkSchema(s schema, where string, v any) (wrong []string) {
	if s.Ref != "" {
		ref, ok := d.Schemas[s.Ref]
		if !ok {
			return []string{where + ": no schema " + s.Ref}
		}
		s = ref
	}
	say := func() []string { return []string{fmt.Sprintf("%s: %v is no %s %s", where, v, s.Type, s.Format)} }
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			return say()
		}
		for k, m := range v {
			p, ok := s.Properties[k]
			if !ok {
				wrong = append(wrong, where+"."+k+" is not in the schema")
				continue
			}
			wrong = append(wrong, d.checkSchema(p, where+"."+k, m)...)
		}
	case []any:
		if s.Type != "array" {
			return say()
		}
		for i, m := range v {
			wrong = append(wrong, d.checkSchema(*s.Items, fmt.Sprintf("%s[%d]", where, i), m)...)
		}
	case string:
		if s.Type != "string" || len(s.Enum) > 0 && !strings.Contains(" "+strings.Join(s.Enum, " ")+" ", " "+v+" ") {
			return say()
		}
		switch s.Format {
		case "google-datetime":
			if _, err := time.Parse(time.RFC3339, v); err != nil {
				return say()
			}
		case "google-duration":
			if _, err := time.ParseDuration(v); err != nil || !strings.HasSuffix(v, "s") {
				return say()
			}
		case "int64":
			if _, err := json.Number(v).Int64(); err != nil {
				return say()
			}
		}
	case json.Number:
		if s.Type != "number" && s.Type != "integer" {
			return say()
		}
	case bool:
		if s.Type != "boolean" {
			return say()
		}
	}
	return wrong
}
