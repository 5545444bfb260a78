package polar_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/polar"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	clientID     = "a-client"
	clientSecret = "hush-hush"

	tokenPath      = "/v2/oauth2/token"
	usersPath      = "/v3/users"
	activitiesPath = "/v3/users/activities"
	exercisesPath  = "/v3/exercises"
)

var (
	errLost = errors.New("the network is gone")
	key     = walking.StreamKey{Source: "watch"}
)

// An answer is what a script says to a question; status 200 if it is zero.
type answer struct {
	status int
	header map[string]string
	body   string
	lost   bool // no answer
}

func ok(body string) answer { return answer{body: body} }

// A script answers questions by their path, in order; the last answer is repeated.
type script struct {
	t       testing.TB
	mu      sync.Mutex
	answers map[string][]answer
	asked   []*http.Request
	bodies  []string
}

// RoundTrip implements http.RoundTripper.
func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	s.asked = append(s.asked, req)
	s.bodies = append(s.bodies, string(body))
	list := s.answers[req.URL.Path]
	if len(list) == 0 {
		s.t.Errorf("asked for %s, which is not expected", req.URL)
		return nil, errLost
	}
	if len(list) > 1 {
		s.answers[req.URL.Path] = list[1:]
	}
	a := list[0]
	if a.lost {
		return nil, errLost
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	h := http.Header{}
	for k, v := range a.header {
		h.Set(k, v)
	}
	return &http.Response{
		StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), Request: req,
	}, nil
}

// questions returns what was asked so far.
func (s *script) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.asked {
		out = append(out, strings.TrimSuffix(r.URL.Path+"?"+r.URL.RawQuery, "?"))
	}
	return out
}

func newProvider(t testing.TB) *polar.Provider {
	t.Helper()
	s := polar.Defaults()
	s.ClientID, s.ClientSecret = clientID, clientSecret
	p, ok := s.Provider("watch").(*polar.Provider)
	if !ok {
		t.Fatal("the provider is of another type")
	}
	return p
}

func newScript(t testing.TB, answers map[string][]answer) *script {
	return &script{t: t, answers: answers}
}

// fetch fetches from a new source, and returns what it logged.
func (s *script) fetch(r ingest.Request) (ingest.Batch, string, error) {
	s.t.Helper()
	var log bytes.Buffer
	p := newProvider(s.t)
	p.LogTo(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	b, err := p.Source(&http.Client{Transport: s}).Fetch(s.t.Context(), r)
	return b, log.String(), err
}

func at(text string) time.Time { return pulltest.At(text) }

func zone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

func date(text string) walking.Day {
	d, err := walking.ParseDay(text)
	if err != nil {
		panic(err)
	}
	return d
}

// request asks for whole days, both included, at noon of the day after the last.
func request(z walking.Timeline, first, last string) ingest.Request {
	w := walking.Window{Start: z.Spans(date(first))[0].Start, End: z.End(date(last))}
	return ingest.Request{Window: w, Zones: z, Now: w.End.Add(12 * time.Hour)}
}

// dayJSON is a day with a total and samples, "15:04 steps" or with the date as well.
func dayJSON(d string, total int, samples ...string) string {
	var list []string
	for _, s := range samples {
		when, steps, _ := strings.Cut(s, " ")
		if !strings.Contains(when, "T") {
			when = d + "T" + when
		}
		list = append(list, fmt.Sprintf(`{"steps":%s,"timestamp":%q}`, steps, when))
	}
	return fmt.Sprintf(`{"start_time":"%[1]sT00:00","end_time":"%[1]sT23:59:59","steps":%[2]d,"samples":{"date":%[1]q,
		"steps":{"interval_ms":60000,"total_steps":%[2]d,"samples":[%[3]s]}}}`, d, total, strings.Join(list, ","))
}

// lines returns records as text: when they start in UTC, how long they last unless that is a minute, and their steps.
func lines(b ingest.Batch) (out []string) {
	for _, rs := range b.Records {
		for _, r := range rs.Records {
			text := r.Start.UTC().Format("02T15:04")
			if r.Duration != time.Minute {
				text += " " + r.Duration.String()
			}
			out = append(out, fmt.Sprintf("%s %g", text, r.Steps))
		}
	}
	return out
}

func clientOf(s *script) *http.Client { return &http.Client{Transport: s} }

func diff(want, got any) string { return cmp.Diff(want, got) }
