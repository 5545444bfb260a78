package oura_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	activityPath = "/v2/usercollection/daily_activity"
	workoutPath  = "/v2/usercollection/workout"
	ringPath     = "/v2/usercollection/ring_configuration"
	batteryPath  = "/v2/usercollection/ring_battery_level"

	nothing = `{"data":[],"next_token":null}`
)

// An answer is what a script says to a question; status 200 if it is zero.
type answer struct {
	status int
	header http.Header
	body   string
}

// A script is an Oura that answers questions by their path, in order; the last answer is repeated.
type script struct {
	t       testing.TB
	mu      sync.Mutex
	answers map[string][]answer
	asked   []string
}

// newScript returns a script of answers with status 200.
func newScript(t testing.TB, bodies map[string][]string) *script {
	s := &script{t: t, answers: map[string][]answer{}}
	for path, list := range bodies {
		for _, body := range list {
			s.answers[path] = append(s.answers[path], answer{body: body})
		}
	}
	return s
}

// RoundTrip implements http.RoundTripper.
func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, strings.TrimSuffix(req.URL.Path+"?"+req.URL.RawQuery, "?"))
	list := s.answers[req.URL.Path]
	if len(list) == 0 {
		s.t.Errorf("asked for %s, which is not expected", req.URL)
		return nil, errors.New("not expected")
	}
	if len(list) > 1 {
		s.answers[req.URL.Path] = list[1:]
	}
	a := list[0]
	if a.status == 0 {
		a.status = http.StatusOK
	}
	h := a.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Date", at(noon).Format(http.TimeFormat))
	return &http.Response{
		StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), Request: req,
	}, nil
}

// source returns a source that asks s, and what it logs.
func (s *script) source() (ingest.Source, *bytes.Buffer) {
	var log bytes.Buffer
	p := providerAt("https://oura.example", pulltest.NewClock(at(noon)))
	p.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
	return p.Source(&http.Client{Transport: bearer{s, "the-token"}}), &log
}

func (s *script) fetch(r ingest.Request) (ingest.Batch, error) {
	src, _ := s.source()
	return src.Fetch(context.Background(), r)
}

func sample(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// request asks for whole days of November 2026 in Oslo, first and last inclusive, at noon of the 20th.
func request(first, last int) ingest.Request {
	oslo := zoneOf("Europe/Oslo")
	return ingest.Request{
		Window: walking.Window{
			Start: walking.DayOf(2026, 11, first).In(oslo).UTC(), End: walking.DayOf(2026, 11, last+1).In(oslo).UTC(),
		},
		Zones: walking.NewTimeline(oslo), Now: at(noon), Sessions: true,
	}
}

var key = walking.StreamKey{Source: "ring"}

// record returns one in Oslo in winter, of so many minutes.
func record(start string, minutes int, steps float64) walking.Record {
	return walking.Record{
		Start: at(start), Duration: time.Duration(minutes) * time.Minute, Steps: steps, Offset: 3600, HasOffset: true,
	}
}
