package polarsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/polarsim"
	"github.com/walkd/walkd/internal/walking"
)

const (
	clientID     = "a-client"
	clientSecret = "hush-hush"
	redirect     = "http://localhost:8098/oauth/callback"

	tokenPath      = "/v2/oauth2/token"
	activitiesPath = "/v3/users/activities"
	exercisesPath  = "/v3/exercises"
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

func (c *clock) add(d time.Duration) {
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

// service is a Service over HTTP with one person, at noon of 20 November 2026 in Berlin.
type service struct {
	*polarsim.Service
	t      *testing.T
	url    string
	now    *clock // domain and wall
	person *simulate.Person
	token  string
}

func start(t *testing.T, change func(*polarsim.Options, *simulate.Plan)) *service {
	t.Helper()
	life, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, now: &clock{t: at(t, "2026-11-20T12:00:00+01:00")}}
	o := polarsim.Options{
		Now: s.now.Now, Wall: s.now.Now, ClientID: clientID, ClientSecret: clientSecret, RedirectURLs: []string{redirect},
		Consent: "ann", Seed: 1,
	}
	p := simulate.Plan{
		Name: "ann", Life: life, Home: zone(t, "Europe/Berlin"), First: walking.DayOf(2026, time.September, 1),
	}
	if change != nil {
		change(&o, &p)
	}
	if s.person, err = simulate.NewPerson(p); err != nil {
		t.Fatal(err)
	}
	s.Service = polarsim.New(o)
	s.Add(s.person)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.token = s.Grant("ann")
	return s
}

// life is what somebody walks on every day: minutes of the clock and their steps.
func life(t *testing.T, steps map[int]uint8) *simulate.Life {
	t.Helper()
	day := make([]uint8, 24*60)
	for m, n := range steps {
		day[m] = n
	}
	l, err := simulate.NewLife(day)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type reply struct {
	status int
	header http.Header
	body   string
	err    error // while the body was read
}

// read decodes a reply.
func (r reply) read(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("%v in %d %.200q", err, r.status, r.body)
	}
}

// send sends a request as it is written and does not follow redirects.
func (s *service) send(method, path, body string, header map[string]string) (reply, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text), err}, nil
}

func (s *service) must(method, path, body string, header map[string]string) reply {
	s.t.Helper()
	r, err := s.send(method, path, body, header)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *service) bearer() map[string]string {
	return map[string]string{"Authorization": "Bearer " + s.token}
}

func (s *service) get(path string) reply {
	s.t.Helper()
	return s.must(http.MethodGet, path, "", s.bearer())
}

func (s *service) register(token, member string) reply {
	s.t.Helper()
	return s.must(http.MethodPost, "/v3/users", fmt.Sprintf(`{"member-id":%q}`, member), map[string]string{
		"Authorization": "Bearer " + token, "Content-Type": "application/json",
	})
}

// exchange sends a form to the token endpoint.
func (s *service) exchange(id, secret string, form url.Values) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+tokenPath, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	return s.must(req.Method, tokenPath, form.Encode(), map[string]string{
		"Content-Type": req.Header.Get("Content-Type"), "Authorization": req.Header.Get("Authorization"),
	})
}

func authQuery() url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirect}, "scope": {polarsim.Scope},
		"state": {"s t"},
	}
}

// consent goes to the consent page and returns where that sends the browser.
func (s *service) consent(q url.Values) *url.URL {
	s.t.Helper()
	r := s.must(http.MethodGet, "/oauth2/authorization?"+q.Encode(), "", nil)
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.status != http.StatusFound {
		s.t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	return u
}

func codeForm(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}}
}

// A day is an activity.
type day struct {
	Start   string `json:"start_time"`
	End     string `json:"end_time"`
	Steps   int    `json:"steps"`
	Samples *struct {
		Date  string `json:"date"`
		Steps *struct {
			Interval int      `json:"interval_ms"`
			Total    int      `json:"total_steps"`
			Samples  []sample `json:"samples"`
		} `json:"steps"`
		Zones *struct {
			Samples []struct {
				Zone      string `json:"zone"`
				Timestamp string `json:"timestamp"`
			} `json:"samples"`
		} `json:"activity_zones"`
	} `json:"samples"`
}

type sample struct {
	Steps     int    `json:"steps"`
	Timestamp string `json:"timestamp"`
}

func (s *service) day(date string) day {
	s.t.Helper()
	var d day
	s.get(activitiesPath+"/"+date+"?steps=true&activity_zones=true").read(s.t, &d)
	return d
}
