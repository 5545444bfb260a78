package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

const (
	pullBenchClient   = "walkd-bench"
	pullBenchSecret   = "no-secret"
	pullBenchRedirect = "http://localhost:8098/oauth/callback"
)

// pullBenchNow is when the pulling of the benchmarks begins.
var pullBenchNow = time.Date(2026, 11, 20, 11, 7, 0, 0, time.UTC)

// newLiver returns a person who has lived as the recorded volunteer for so many days before now. If full, the service
// has a point for every minute of them, zeros included.
func newLiver(b *testing.B, name string, days int, now time.Time, full bool, every, night time.Duration) *simulate.Person {
	b.Helper()
	life, err := simulate.Volunteer()
	if err != nil {
		b.Fatal(err)
	}
	first := walking.DayOf(now.In(oslo).Date()) - walking.Day(days)
	p, err := simulate.NewPerson(simulate.Plan{
		Name: name, Life: life, Home: oslo, First: first, Zeros: true, Every: every, Night: night,
	})
	if err != nil {
		b.Fatal(err)
	}
	if !full {
		return p
	}
	// At night the simulated device tells of zeros only where somebody says so.
	w := walking.Window{Start: first.In(oslo), End: now.AddDate(0, 0, 30)}
	told := map[time.Time]bool{}
	for _, pt := range p.Truth(w, w.End) {
		told[pt.Start] = true
	}
	for t := w.Start; t.Before(w.End); t = t.Add(time.Minute) {
		if !told[t.UTC()] {
			p.Correct(t, 0)
		}
	}
	return p
}

// A timed provider counts the life of tokens from another clock than the system's.
type timed struct {
	*googlehealth.Provider
	wall func() time.Time
}

// Refresh implements ingest.Authorizer.
func (p timed) Refresh(ctx context.Context, c *http.Client, t ingest.Token) (ingest.Token, error) {
	begin := time.Now()
	t, err := p.Provider.Refresh(ctx, c, t)
	if !t.Expiry.IsZero() {
		t.Expiry = p.wall().Add(t.Expiry.Sub(begin).Truncate(time.Second))
	}
	return t, err
}

// pullBenchAccount returns a person's account with the service at base.
func pullBenchAccount(base, person string, wall func() time.Time) pull.Config {
	s := googlehealth.Settings{
		ClientID: pullBenchClient, ClientSecret: pullBenchSecret, RedirectURL: pullBenchRedirect,
		APIURL: base, AuthURL: base + "/o/oauth2/v2/auth", TokenURL: base + "/token",
	}
	return pull.Config{Person: person, Source: "watch", Kind: "google-health", Provider: timed{s.Provider("watch").(*googlehealth.Provider), wall}}
}

// putPullBenchToken lets an account have been connected. The first request has to renew the token.
func putPullBenchToken(ctx context.Context, st *store.Store, a pull.Config, personID int64, refresh string) error {
	auth, ok := a.Provider.(ingest.Authorizer)
	if !ok {
		return fmt.Errorf("%s needs no consent", a.Kind)
	}
	return st.PutToken(ctx, store.AccountKey{PersonID: personID, Source: a.Source}, a.Kind, auth.Application(), ingest.Token{
		Refresh: refresh, Scopes: []string{healthsim.ScopeActivity, healthsim.ScopeSettings},
	})
}

// shelf answers from memory what it has asked a service once, so that the work of the simulation is in no figure.
type shelf struct {
	service http.Handler

	mu       sync.Mutex
	pages    map[string][]byte // by path and query
	order    []string
	bytes    int
	requests int // all, since the last reset
}

// shelfList is the path at which a shelf tells what it has, for the bare side.
const shelfList = "/shelf"

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == shelfList {
		_ = json.NewEncoder(w).Encode(s.order)
		return
	}
	s.requests++
	if r.URL.Path == "/token" {
		s.service.ServeHTTP(w, r)
		return
	}
	key := r.URL.RequestURI()
	page, ok := s.pages[key]
	if !ok {
		rec := httptest.NewRecorder()
		s.service.ServeHTTP(rec, r)
		if page = rec.Body.Bytes(); rec.Code != http.StatusOK {
			w.WriteHeader(rec.Code)
			_, _ = w.Write(page)
			return
		}
		s.pages[key] = page
		s.order = append(s.order, key)
		s.bytes += len(page)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	_, _ = w.Write(page)
}

func (s *shelf) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = 0
}

const pullBenchEnv = "WALKD_PULL_BENCH"

// A pullBenchTask is what a child of BenchmarkBackfill is to do.
type pullBenchTask struct {
	URL, Refresh string
	Dir, Influx  string // of our side
	Bare         bool
}

// A pullBenchResult is what it did. Times are in seconds.
type pullBenchResult struct {
	All, Deriving, Projecting float64
	CPU                       float64 // of the process in all
	Records                   int64   // ours: those with steps
	Points, Days              int
	Peak                      float64 // resident memory at its peak, MiB
}

// TestPullBenchChild is the child of BenchmarkBackfill: a process of its own, for the sake of its memory.
func TestPullBenchChild(t *testing.T) {
	text := os.Getenv(pullBenchEnv)
	if text == "" {
		t.SkipNow() // it is no test by itself
	}
	var task pullBenchTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var (
		r   pullBenchResult
		err error
	)
	if task.Bare {
		r, err = downloadBare(task, &http.Client{Transport: transport})
	} else {
		r, err = backfillAll(context.Background(), t, task, transport)
	}
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err) // Linux only
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	kib, err := strconv.Atoi(string(peak[1]))
	if err != nil {
		t.Fatal(err)
	}
	r.Peak, r.CPU = float64(kib)/1024, processorTime(t).Seconds()
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("result %s\n", out)
}

// backfillAll pulls all that there is of a person into an empty store, derives it as the daemon does after each pull,
// and projects it.
func backfillAll(ctx context.Context, t *testing.T, task pullBenchTask, transport *http.Transport) (r pullBenchResult, err error) {
	e := newEngine(t, task.Dir, pullBenchNow)
	defer e.Store.Close()
	p, err := e.Store.EnsurePerson(ctx, "me", oslo)
	if err != nil {
		return r, err
	}
	wall := &movingClock{now: pullBenchNow} // moves on between windows, so that no limit is reached
	a := pullBenchAccount(task.URL, "me", wall.Now)
	if err := putPullBenchToken(ctx, e.Store, a, p.ID, task.Refresh); err != nil {
		return r, err
	}
	var deriving, projecting time.Duration
	puller, err := pull.New(pull.Options{
		Store: e.Store, Clock: e.Clock, Wall: wall, Transport: transport,
		Synced: func(ctx context.Context, id int64) {
			begin := time.Now()
			e.Synced(ctx, id)
			deriving += time.Since(begin)
		},
	}, []pull.Config{a})
	if err != nil {
		return r, err
	}
	c, err := influx.NewClient(influx.Config{URL: task.Influx, Bucket: "walkd", Transport: transport})
	if err != nil {
		return r, err
	}
	defer c.Close()

	begin := time.Now()
	if _, err := puller.Poll(ctx); err != nil {
		return r, err
	}
	for more := true; more; {
		wall.now = wall.now.Add(time.Minute)
		if more, err = puller.Backfill(ctx); err != nil {
			return r, err
		}
	}
	pulled := time.Now()
	l := engine.Ledger{Store: e.Store, Clock: e.Clock}
	stats, err := influx.New(c, l, l, influx.Options{}).ProjectDue(ctx)
	if err != nil {
		return r, err
	}
	projecting = time.Since(pulled)
	r.All = time.Since(begin).Seconds()
	n, err := e.Store.Count(ctx)
	if err != nil {
		return r, err
	}
	for _, asked := range puller.Requests() {
		if asked.Outcome != "ok" {
			return r, fmt.Errorf("%d requests have the outcome %s", asked.Count, asked.Outcome)
		}
	}
	r.Deriving, r.Projecting = deriving.Seconds(), projecting.Seconds()
	r.Records, r.Days, r.Points = int64(n.Records), int(n.Days), stats.Points
	return r, nil
}

// downloadBare downloads the pages that walkd has asked for and decodes what walkd uses of them, and nothing else.
func downloadBare(task pullBenchTask, client *http.Client) (r pullBenchResult, err error) {
	get := func(path string, v any) error {
		resp, err := client.Get(task.URL + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", path, resp.Status)
		}
		return json.NewDecoder(resp.Body).Decode(v)
	}
	var paths []string
	if err := get(shelfList, &paths); err != nil {
		return r, err
	}
	type interval struct {
		StartTime, EndTime time.Time
		StartUTCOffset     string `json:"startUtcOffset"`
	}
	begin := time.Now()
	for _, path := range paths {
		var page struct {
			DataPoints []struct {
				Steps *struct {
					Interval interval
					Count    string
				}
				Exercise *struct {
					Interval                     interval
					ExerciseType, ActiveDuration string
				}
			}
			NextPageToken string
		}
		if err := get(path, &page); err != nil {
			return r, err
		}
		for _, p := range page.DataPoints {
			if p.Steps != nil {
				r.Records++
			}
		}
	}
	r.All = time.Since(begin).Seconds()
	return r, nil
}

// pullBenchChild runs a child.
func pullBenchChild(b *testing.B, task pullBenchTask) pullBenchResult {
	b.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPullBenchChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), pullBenchEnv+"="+string(text))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	for line := range strings.Lines(string(out)) {
		var r pullBenchResult
		if found, ok := strings.CutPrefix(line, "result "); ok {
			if err := json.Unmarshal([]byte(found), &r); err != nil {
				b.Fatal(err)
			}
			return r
		}
	}
	b.Skipf("the child says only %q", out)
	return pullBenchResult{}
}

// BenchmarkBackfill pulls years of a person from Google Health over HTTP into an empty store, derives the days and
// projects them into a real InfluxDB, beside a bare download of the very same pages that decodes them with encoding/json
// and stores nothing. Both are processes of their own, and take turns: ours, bare, bare, ours. The pages are those of the
// simulated service, recorded by a first run. The limits of the service do not count here.
func BenchmarkBackfill(b *testing.B) {
	for _, life := range []struct {
		name string
		full bool
	}{{"minutes", true}, {"volunteer", false}} {
		b.Run(life.name, func(b *testing.B) { benchmarkBackfill(b, life.full) })
	}
}

func benchmarkBackfill(b *testing.B, full bool) {
	days := 365
	if v := os.Getenv("WALKD_BENCH_DAYS"); v != "" {
		var err error
		if days, err = strconv.Atoi(v); err != nil {
			b.Fatal(err)
		}
	}
	clock := func() time.Time { return pullBenchNow }
	service := healthsim.New(healthsim.Options{
		Now: clock, Wall: clock, ClientID: pullBenchClient, ClientSecret: pullBenchSecret, PerMinute: 1 << 30,
	})
	service.Add(newLiver(b, "me", days, pullBenchNow, full, 0, 0))
	pages := &shelf{service: service, pages: map[string][]byte{}}
	server := httptest.NewServer(pages)
	defer server.Close()
	task := pullBenchTask{URL: server.URL, Refresh: service.Grant("me", healthsim.ScopeActivity, healthsim.ScopeSettings)}
	ours := func() pullBenchResult {
		pages.reset()
		db := influxtest.Start(b)
		defer db.Kill()
		db.CreateDatabase("walkd")
		task := task
		task.Dir, task.Influx = b.TempDir(), db.URL
		return pullBenchChild(b, task)
	}
	bare := func() pullBenchResult {
		task := task
		task.Bare = true
		return pullBenchChild(b, task)
	}
	var (
		sum              pullBenchResult
		sumBare, cpuBare float64
	)
	takeBare := func(r pullBenchResult) {
		sumBare += r.All
		cpuBare += r.CPU
	}
	first := ours()
	requests := pages.requests
	records := bare().Records // those without steps included, which the store does not count
	take := func(r pullBenchResult) {
		if r.Records != first.Records || r.Points != first.Points || pages.requests != requests {
			b.Fatalf("%+v in %d requests, want as in the first run %+v in %d", r, pages.requests, first, requests)
		}
		sum.All += r.All
		sum.CPU += r.CPU
		sum.Deriving += r.Deriving
		sum.Projecting += r.Projecting
		sum.Peak = max(sum.Peak, r.Peak)
	}
	n := 0.0
	for b.Loop() {
		take(ours())
		takeBare(bare())
		takeBare(bare())
		take(ours())
		n += 2
	}
	b.Logf("%d days, %d records, %d points, %d pages of %.1f MiB", first.Days, records, first.Points,
		len(pages.order), float64(pages.bytes)/(1<<20))
	b.ReportMetric(sum.All/sumBare, "ratio")
	b.ReportMetric((sum.All-sum.Projecting)/sumBare, "ratio-before-influx")
	b.ReportMetric(n*float64(records)/sum.All, "records/s")
	b.ReportMetric(n*float64(first.Points)/sum.All, "points/s")
	b.ReportMetric(n*float64(records)/sumBare, "bare-records/s")
	b.ReportMetric(sum.All/n, "s/backfill")
	b.ReportMetric(sum.CPU/cpuBare, "cpu-ratio")
	b.ReportMetric(sum.CPU/n, "cpu-s/backfill")
	b.ReportMetric(sum.Deriving/n, "s-deriving")
	b.ReportMetric(sum.Projecting/n, "s-projecting")
	b.ReportMetric(float64(requests), "requests")
	b.ReportMetric(sum.Peak, "MiB-resident")
}

// BenchmarkRequests counts the requests that walkd makes for a person in a day, once the history is there: by polling
// through a week, with all look-backs that a week has, as its clock says when.
func BenchmarkRequests(b *testing.B) {
	for _, life := range []struct {
		name         string
		full         bool
		every, night time.Duration
	}{
		{"minutes, a sync every 15 minutes", true, 15 * time.Minute, time.Hour},
		{"volunteer, a sync every 15 minutes", false, 15 * time.Minute, time.Hour},
		{"volunteer, a sync every 4 hours", false, 4 * time.Hour, 4 * time.Hour},
	} {
		b.Run(life.name, func(b *testing.B) {
			for b.Loop() {
				countRequests(b, life.full, life.every, life.night)
			}
		})
	}
}

// countRequests polls for some people, whose slots differ, through a week after two days to settle.
func countRequests(b *testing.B, full bool, every, night time.Duration) {
	b.Helper()
	const people, settling, days = 2, 2, 7
	clock := &movingClock{now: pullBenchNow}
	now := func() time.Time { return clock.now }
	service := healthsim.New(healthsim.Options{
		Now: now, Wall: now, ClientID: pullBenchClient, ClientSecret: pullBenchSecret,
	})
	server := httptest.NewServer(service)
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	st, err := store.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	var (
		accounts []pull.Config
		settings []store.Settings
	)
	for i := range people {
		name := fmt.Sprintf("p%d", i)
		service.Add(newLiver(b, name, 40, clock.now, full, every, night))
		settings = append(settings, store.Settings{
			Name: name, Zone: oslo, Target: 100, Quiet: walking.WallRange{From: 21*60 + 30, To: 8 * 60},
		})
		accounts = append(accounts, pullBenchAccount(server.URL, name, now))
	}
	if err := st.Configure(b.Context(), settings, clock.now); err != nil {
		b.Fatal(err)
	}
	for _, a := range accounts {
		p, err := st.Person(b.Context(), a.Person)
		if err != nil {
			b.Fatal(err)
		}
		refresh := service.Grant(a.Person, healthsim.ScopeActivity, healthsim.ScopeSettings)
		if err := putPullBenchToken(b.Context(), st, a, p.ID, refresh); err != nil {
			b.Fatal(err)
		}
	}
	puller, err := pull.New(pull.Options{Store: st, Clock: clock, Wall: clock, Transport: transport}, accounts)
	if err != nil {
		b.Fatal(err)
	}
	through := func(end time.Time) {
		for clock.now.Before(end) {
			next, err := puller.Poll(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for more := true; more; {
				if more, err = puller.Backfill(b.Context()); err != nil {
					b.Fatal(err)
				}
				if more {
					clock.now = clock.now.Add(time.Minute)
				}
			}
			if next = next.Truncate(time.Second).Add(time.Second); next.After(clock.now) {
				clock.now = next
			}
		}
	}
	counts := func() (kinds, ours map[string]int) {
		kinds, ours = map[string]int{}, map[string]int{}
		for k, n := range service.Requests() {
			person, path, _ := strings.Cut(k, " ")
			ours[person] += n
			switch {
			case strings.Contains(path, "pairedDevices"):
				kinds["probe"] += n
			case strings.Contains(path, "dataTypes/steps"):
				kinds["steps"] += n
			case strings.Contains(path, "dataTypes/exercise"):
				kinds["exercise"] += n
			case path == "/token":
				kinds["token"] += n
			default:
				kinds["other"] += n
			}
		}
		return kinds, ours
	}
	midnight := clock.now.Truncate(24 * time.Hour)
	through(midnight.AddDate(0, 0, settling))
	begin, _ := counts()
	most := 0
	for d := range days {
		_, before := counts()
		through(midnight.AddDate(0, 0, settling+1+d))
		_, last := counts()
		for i := range people {
			name := accounts[i].Person
			most = max(most, last[name]-before[name]+(last[""]-before[""]+people-1)/people)
		}
	}
	end, _ := counts()
	all := 0
	for kind, n := range end {
		n -= begin[kind]
		all += n
		b.ReportMetric(float64(n)/people/days, kind+"/day")
	}
	b.ReportMetric(float64(all)/people/days, "requests/day")
	b.ReportMetric(float64(most), "requests-at-most")
}

// BenchmarkTick derives when there is nothing to derive for a thousand people with four weeks each, as the daemon does
// once a minute.
func BenchmarkTick(b *testing.B) {
	const people, days = 1000, 28
	e := newEngine(b, b.TempDir(), benchEnd)
	defer e.Store.Close()
	for i := range people {
		p, err := e.Store.EnsurePerson(b.Context(), fmt.Sprintf("p%d", i), oslo)
		if err != nil {
			b.Fatal(err)
		}
		rs := walking.StreamRecords{StreamKey: benchStream}
		for at := benchEnd.AddDate(0, 0, -days); at.Before(benchEnd); at = at.Add(15 * time.Minute) {
			rs.Records = append(rs.Records, walking.Record{Start: at, Duration: time.Minute, Steps: 80})
		}
		batch := ingest.Batch{
			Streams: []walking.Stream{{
				StreamKey: benchStream, Device: walking.Wearable, Delivery: walking.Pulled, SyncedThrough: benchEnd,
			}},
			Records: []walking.StreamRecords{rs},
		}
		if _, err := e.Store.Apply(b.Context(), p.ID, batch, benchEnd); err != nil {
			b.Fatal(err)
		}
	}
	if n, err := e.Derive(b.Context(), nil); err != nil || n < people*days {
		b.Fatal(n, err)
	}
	b.ResetTimer()
	begin := processorTime(b)
	for b.Loop() {
		if n, err := e.Derive(b.Context(), nil); err != nil || n > 0 {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric((processorTime(b)-begin).Seconds()*1e3/float64(b.N), "cpu-ms/tick")
}

// processorTime returns what this process has taken of the processor.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
