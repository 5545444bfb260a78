package oura_test

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
	"github.com/walkd/walkd/internal/walking"
)

// A volunteer is somebody whose minutes are known.
type volunteer struct {
	name  string
	first walking.Day
	steps []uint8 // of all minutes of whole days
}

// day returns the steps of the minutes of a day, and their sum.
func (v *volunteer) day(d walking.Day) (minutes []uint8, total int) {
	i := int(d-v.first) * 24 * 60
	minutes = v.steps[i : i+24*60]
	for _, n := range minutes {
		total += int(n)
	}
	return minutes, total
}

// volunteers reads the slice of the Fitabase data beside walking or, if $WALKD_FITABASE names the whole
// minuteStepsWide_merged.csv, that.
func volunteers(t *testing.T) []*volunteer {
	t.Helper()
	path := os.Getenv("WALKD_FITABASE")
	if path == "" {
		path = "../../walking/testdata/fitabase/minuteStepsWide.csv.gz"
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []*volunteer
	for _, row := range rows[1:] {
		start, err := time.Parse("1/2/2006 15:04", row[1])
		if err != nil {
			t.Fatal(err)
		}
		d := walking.DayOf(start.Date())
		if n := len(out); n == 0 || out[n-1].name != row[0] {
			out = append(out, &volunteer{name: row[0], first: d})
		}
		v := out[len(out)-1]
		from := int(d-v.first)*24*60 + start.Hour()*60
		for len(v.steps) < (int(d-v.first)+1)*24*60 {
			v.steps = append(v.steps, make([]uint8, 24*60)...)
		}
		for i, text := range row[2:] {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			v.steps[from+i] = uint8(min(n, 255))
		}
	}
	return out
}

// A deviation is how far walking minutes are from the truth, over days.
type deviation struct {
	mae, bias float64 // minutes a day
	covered   float64 // the share of days whose range holds the truth
	width     float64 // of the range, as a share of the minutes, to one side
	n         int
}

func (v *deviation) add(s walking.Summary, truth float64) {
	v.n++
	mean := func(x *float64, y float64) { *x += (y - *x) / float64(v.n) }
	got := s.Walking + s.Running
	mean(&v.mae, math.Abs(got-truth))
	mean(&v.bias, got-truth)
	holds := 0.0
	if s.Low+s.Running <= truth && truth <= s.High+s.Running {
		holds = 1
	}
	mean(&v.covered, holds)
	mean(&v.width, (s.High-s.Walking)/max(1, s.Walking))
}

func (v *deviation) String() string {
	return fmt.Sprintf("%5.2f %+6.2f  %3.0f %% within ±%.0f %%", v.mae, v.bias, 100*v.covered, 100*v.width)
}

// handled answers requests without a network.
type handled struct{ http.Handler }

func (h handled) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

// read returns what walkd makes of all that a simulated Oura tells of a volunteer, and the service.
func read(t *testing.T, v *volunteer, change func(*ourasim.Options)) ([]walking.Record, []ourasim.Document) {
	t.Helper()
	life, err := simulate.NewLife(v.steps)
	if err != nil {
		t.Fatal(err)
	}
	person, err := simulate.NewPerson(simulate.Plan{
		Name: v.name, Life: life, Home: time.UTC, First: v.first, Every: time.Minute, Night: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	end := v.first + walking.Day(life.Days())
	now := end.In(time.UTC).Add(4 * time.Hour) // the life begins again after that
	o := ourasim.Options{
		Now: func() time.Time { return now }, Wall: func() time.Time { return now }, ClientID: clientID, ClientSecret: clientSecret,
	}
	change(&o)
	service := ourasim.New(o)
	service.Add(person)
	provider := providerAt("http://oura.example", pulltest.NewClock(now))
	token, err := provider.Refresh(t.Context(), &http.Client{Transport: handled{service}}, ingest.Token{Refresh: service.Grant(v.name)})
	if err != nil {
		t.Fatal(err)
	}
	source := provider.Source(&http.Client{Transport: bearer{handled{service}, token.Access}})
	b, err := source.Fetch(t.Context(), ingest.Request{
		Window: walking.Window{Start: v.first.In(time.UTC), End: now}, Zones: walking.NewTimeline(time.UTC), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Records[0].Records, service.Documents(v.name, now)
}

// bearer adds an access token to requests.
type bearer struct {
	next  http.RoundTripper
	token string
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(req)
}

// spread places the steps of days by the weights of their classes, as records of five minutes.
func spread(docs []ourasim.Document, weight map[rune]float64) (out []walking.Record) {
	for _, doc := range docs {
		sum := 0.0
		for _, c := range doc.Classes {
			sum += weight[c]
		}
		for i, c := range doc.Classes {
			if weight[c] > 0 {
				out = append(out, walking.Record{
					Start: doc.Start.Add(time.Duration(i) * 5 * time.Minute), Duration: 5 * time.Minute,
					Steps: math.Round(float64(doc.Steps) * weight[c] / sum), // not to be taken for one record, see walking
				})
			}
		}
	}
	return out
}

// grains returns the true minutes of a volunteer as records of a length in minutes.
func (v *volunteer) grains(length int) (out []walking.Record) {
	start := v.first.In(time.UTC)
	for i := 0; i < len(v.steps); i += length {
		sum := 0.0
		for _, n := range v.steps[i : i+length] {
			sum += float64(n)
		}
		if sum > 0 {
			out = append(out, walking.Record{
				Start: start.Add(time.Duration(i) * time.Minute), Duration: time.Duration(length) * time.Minute, Steps: sum,
			})
		}
	}
	return out
}

// A way is one to make records of a volunteer's days.
type way struct {
	name    string
	records []walking.Record
}

// measure adds how far the walking minutes of each way are from the true ones.
func (v *volunteer) measure(by map[string]*deviation, ways []way) {
	for _, w := range ways {
		if by[w.name] == nil {
			by[w.name] = &deviation{}
		}
		m := walking.Merge([]walking.Input{{Records: w.records}})
		for d := v.first; d < v.first+walking.Day(len(v.steps)/1440); d++ {
			minutes, total := v.day(d)
			if total < walking.ValidSteps {
				continue
			}
			truth := 0.0
			for _, n := range minutes {
				truth += min(1, float64(n)/walking.StepsPerMinute(time.Minute))
			}
			s, _ := m.Day(d, walking.Setting{})
			by[w.name].add(s, truth)
		}
	}
}

// TestPlacing measures how far the walking minutes of a ring's days are from those of the true minutes, and holds the
// figures of the package's documentation to that. Run it with -v for the table, and with WALKD_FITABASE for all 20 people.
func TestPlacing(t *testing.T) {
	t.Parallel()
	people := volunteers(t)
	if testing.Verbose() {
		by := map[string]*deviation{}
		for _, v := range people {
			daily, _ := read(t, v, func(o *ourasim.Options) { o.NoClasses, o.NoMETs = true, true })
			v.measure(by, []way{
				{"true minutes as 5 min", v.grains(5)},
				{"true minutes as hours", v.grains(60)},
				{"true minutes as a day", v.grains(1440)},
				{"a: one record a day", daily},
			})
		}
		for _, name := range slices.Sorted(maps.Keys(by)) {
			t.Logf("%-30s %v", name, by[name])
		}
	}
	for _, ring := range []struct {
		name string
		ring ourasim.Ring
		most [2]float64 // mean absolute error, with METs and without
		more bool       // only with -v
	}{
		{"usual", ourasim.Ring{}, [2]float64{5.5, 6.5}, false},
		{"weak", ourasim.Ring{Gain: 0.01, Chores: 0.2}, [2]float64{7.5, 8.5}, false},
		{"strong", ourasim.Ring{Gain: 0.03}, [2]float64{6.5, 6.5}, true},
		{"vague", ourasim.Ring{Chores: 0.25, Noise: 0.25, Sway: 0.5}, [2]float64{6.5, 7}, true},
		{"exact", ourasim.Ring{Busy: 0.05, Chores: -1, Noise: -1, Sway: -1}, [2]float64{5, 6.5}, true},
	} {
		if ring.more && !testing.Verbose() {
			continue
		}
		t.Run(ring.name, func(t *testing.T) {
			t.Parallel()
			by := map[string]*deviation{}
			steps, active := 0, 0
			for _, v := range people {
				placed, docs := read(t, v, func(o *ourasim.Options) { o.Ring = ring.ring })
				dull, _ := read(t, v, func(o *ourasim.Options) { o.Ring, o.NoMETs = ring.ring, true })
				for _, doc := range docs {
					steps += doc.Steps
					active += 5 * (strings.Count(doc.Classes, "3") + strings.Count(doc.Classes, "4") + strings.Count(doc.Classes, "5"))
				}
				v.measure(by, []way{
					{"b: evenly over active pieces", spread(docs, map[rune]float64{'3': 1, '4': 1, '5': 1})},
					{"c: by class, 1 : 4 : 6", spread(docs, map[rune]float64{'3': 1, '4': 4, '5': 6})},
					{"ships, without METs", dull},
					{"ships", placed},
				})
			}
			t.Logf("%d days, %.1f steps to an active minute", by["ships"].n, float64(steps)/float64(active))
			for _, name := range slices.Sorted(maps.Keys(by)) {
				t.Logf("%-30s %v", name, by[name])
			}
			if got := by["ships"]; got.mae > ring.most[0] || got.covered < 0.96 {
				t.Errorf("with METs %v, want an error of %.1f at most", got, ring.most[0])
			}
			if got := by["ships, without METs"]; got.mae > ring.most[1] || got.covered < 0.94 {
				t.Errorf("without METs %v, want an error of %.1f at most", got, ring.most[1])
			}
		})
	}
}

// What a ring has counted is not counted again by a phone in the pocket, wherever its steps are placed.
func TestPhoneInThePocket(t *testing.T) {
	t.Parallel()
	v := volunteers(t)[0]
	ring, _ := read(t, v, func(*ourasim.Options) {})
	by := func(inputs ...walking.Input) (steps int64) {
		m := walking.Merge(inputs)
		for d := v.first; d < v.first+walking.Day(len(v.steps)/1440); d++ {
			s, _ := m.Day(d, walking.Setting{})
			steps += s.Steps
		}
		return steps
	}
	alone := by(walking.Input{Records: ring})
	both := by(walking.Input{Records: ring}, walking.Input{StreamKey: walking.StreamKey{Source: "phone"}, Records: v.grains(1)})
	if both < alone || float64(both) > 1.01*float64(alone) {
		t.Errorf("%d steps with the ring alone, %d with a phone", alone, both)
	}
}
