package googlehealth_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	steps     = "/v4/users/me/dataTypes/steps/dataPoints:reconcile"
	exercises = "/v4/users/me/dataTypes/exercise/dataPoints:reconcile"
	totals    = "/v4/users/me/dataTypes/steps/dataPoints:dailyRollUp"
	devices   = "/v4/users/me/pairedDevices"
	settings  = "/v4/users/me/settings"
)

// An answer is what a server says to a question; status 200 if it is zero.
type answer struct {
	status int
	header map[string]string
	body   string
}

func ok(body string) answer { return answer{body: body} }

// A google answers from a script and holds every question against the discovery document.
type google struct {
	t       *testing.T
	url     string
	mu      sync.Mutex
	answers map[string][]answer // by path, in order; the last is repeated
	asked   []*url.URL
	bodies  []string // of what was asked
}

func newGoogle(t *testing.T, answers map[string][]answer) *google {
	t.Helper()
	g := &google{t: t, answers: answers}
	doc := readDiscovery(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if what := doc.wrong(r.Method, r.URL, body); what != "" {
			t.Errorf("%s %s: %s: %s", r.Method, r.URL, what, body)
		}
		a := g.take(r, string(body))
		for k, v := range a.header {
			w.Header().Set(k, v)
		}
		if a.status == 0 {
			a.status = http.StatusOK
		}
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body))
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func (g *google) take(r *http.Request, body string) answer {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := *r.URL
	g.asked, g.bodies = append(g.asked, &u), append(g.bodies, body)
	list := g.answers[r.URL.Path]
	if len(list) == 0 {
		g.t.Errorf("asked for %s, which is not expected", r.URL)
		return answer{status: http.StatusNotFound}
	}
	if len(list) > 1 {
		g.answers[r.URL.Path] = list[1:]
	}
	return list[0]
}

// queries returns what was asked so far, in words.
func (g *google) queries() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, u := range g.asked {
		q, err := url.QueryUnescape(u.RawQuery)
		if err != nil {
			g.t.Error(err)
		}
		out = append(out, strings.TrimPrefix(u.Path, "/v4/users/me/")+" "+q)
	}
	return out
}

func (g *google) provider() *googlehealth.Provider {
	s := googlehealth.Defaults()
	s.ClientID, s.ClientSecret, s.APIURL = "client", "hush-hush", g.url
	p, ok := s.Provider("watch").(*googlehealth.Provider)
	if !ok {
		g.t.Fatal("the provider is of another type")
	}
	return p
}

// source returns a source and what it logs.
func (g *google) source() (ingest.Source, *bytes.Buffer) {
	var log bytes.Buffer
	p := g.provider()
	p.LogTo(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	return p.Source(http.DefaultClient), &log
}

func (g *google) fetch(r ingest.Request) (ingest.Batch, error) {
	s, _ := g.source()
	return s.Fetch(g.t.Context(), r)
}

func sample(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func at(text string) time.Time { return pulltest.At(text) }

var oslo = func() *time.Location {
	z, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		panic(err)
	}
	return z
}()

// request asks for whole days of 2026 in Oslo, first and last inclusive, a day later.
func request(first, last string) ingest.Request {
	z := walking.NewTimeline(oslo)
	var days [2]walking.Day
	for i, text := range []string{first, last} {
		d, err := walking.ParseDay("2026-" + text)
		if err != nil {
			panic(err)
		}
		days[i] = d
	}
	end := (days[1] + 1).In(oslo).UTC()
	return ingest.Request{
		Window: walking.Window{Start: days[0].In(oslo).UTC(), End: end}, Zones: z, Now: end.Add(24 * time.Hour),
	}
}

// point is a point of steps: minutes long, count "" for none.
func point(start time.Time, minutes int, count string) string {
	if count != "" {
		count = fmt.Sprintf(`,"count":%q`, count)
	}
	return fmt.Sprintf(`{"steps":{"interval":{"startTime":%q,"endTime":%q,"startUtcOffset":"3600s"}%s}}`,
		start.Format(time.RFC3339), start.Add(time.Duration(minutes)*time.Minute).Format(time.RFC3339), count)
}

func pageOf(token string, points ...string) string {
	return fmt.Sprintf(`{"dataPoints":[%s],"nextPageToken":%q}`, strings.Join(points, ","), token)
}

func probe(s ingest.Source) func(context.Context) (time.Time, error) {
	return s.(ingest.Prober).Probe //nolint:errcheck,forcetypeassert // a test may panic
}

func zone(s ingest.Source) func(context.Context) (*time.Location, error) {
	return s.(ingest.Zoner).Zone //nolint:errcheck,forcetypeassert // a test may panic
}

func totaler(s ingest.Source) func(context.Context, walking.Day, walking.Day) ([]ingest.Total, error) {
	return s.(ingest.Totaler).Totals //nolint:errcheck,forcetypeassert // a test may panic
}

func describer(s ingest.Source) func(context.Context) (ingest.Description, error) {
	return s.(ingest.Describer).Describe //nolint:errcheck,forcetypeassert // a test may panic
}
