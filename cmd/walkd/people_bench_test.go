package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// BenchmarkPeople lets the real daemon pull for many people from a simulated Google Health in this process: four weeks of
// each, and then ordinary polling, by day. WALKD_BENCH_PEOPLE restricts it to one number of people; WALKD_BENCH_MINUTES
// says how long that polling is watched, a minute if it says nothing.
func BenchmarkPeople(b *testing.B) {
	for _, n := range []int{1, 50, 1000} {
		if v := os.Getenv("WALKD_BENCH_PEOPLE"); v != "" && v != strconv.Itoa(n) {
			continue
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				benchmarkPeople(b, n)
			}
		})
	}
}

func benchmarkPeople(b *testing.B, n int) {
	b.Helper()
	minutes := 1
	if v := os.Getenv("WALKD_BENCH_MINUTES"); v != "" {
		var err error
		if minutes, err = strconv.Atoi(v); err != nil {
			b.Fatal(err)
		}
	}
	walkd := buildWalkd(b)
	const client, secret = "walkd-bench", "no-secret"
	service := healthsim.New(healthsim.Options{Now: time.Now, Wall: time.Now, ClientID: client, ClientSecret: secret})
	pages := &copier{service: service, pages: map[string][]byte{}}
	server := httptest.NewServer(pages)
	defer server.Close()
	life, err := simulate.Volunteer()
	if err != nil {
		b.Fatal(err)
	}
	home := afternoonZone(b)
	keys := googlehealth.Defaults()
	keys.ClientID, keys.ClientSecret, keys.APIURL = client, secret, server.URL
	keys.AuthURL, keys.TokenURL = server.URL+"/o/oauth2/v2/auth", server.URL+"/token"
	config := &strings.Builder{}
	fmt.Fprintf(config, "[web]\nlisten = \"127.0.0.1:0\"\n")
	var settings []store.Settings
	for i := range n {
		name := fmt.Sprintf("p%d", i)
		p, err := simulate.NewPerson(simulate.Plan{
			Name: name, Life: life, Home: home, First: walking.DayOf(time.Now().In(home).Date()) - 28, Zeros: true,
			// By day a device syncs more often than walkd asks. So that this is so from the first minute:
			Every: time.Minute, Night: time.Minute,
		})
		if err != nil {
			b.Fatal(err)
		}
		service.Add(p)
		pages.person = p
		settings = append(settings, store.Settings{Name: name, Zone: home, Target: 100})
		fmt.Fprintf(config, "[[person]]\nname = %q\ntimezone = %q\n[[person.source]]\nkind = \"google-health\"\n"+
			"name = \"watch\"\nclient_id = %q\nclient_secret = %q\napi_url = %q\nauth_url = %q\ntoken_url = %q\n",
			name, home, client, secret, keys.APIURL, keys.AuthURL, keys.TokenURL)
	}
	path, dir := filepath.Join(b.TempDir(), "config.toml"), b.TempDir()
	if err := os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	connectPeople(b, dir, settings, keys, service)

	stop, pid, ready := startDaemon(b, walkd, path, dir)
	defer stop()
	begin := time.Now()
	awaitHistory(b, dir, n, 29*n)
	b.ReportMetric(time.Since(begin).Seconds(), "s-pulling")
	b.ReportMetric(ready.Seconds()*1e3, "ms-to-ready")
	b.ReportMetric(cpuSeconds(b, pid), "cpu-s-pulling")
	b.ReportMetric(memoryMiB(b, pid, "VmHWM"), "MiB-peak")
	before, requests := cpuSeconds(b, pid), pages.requests.Load()
	<-time.After(time.Duration(minutes) * time.Minute) // ordinary work is what is measured
	b.ReportMetric((cpuSeconds(b, pid)-before)*1e3/float64(minutes), "cpu-ms/min")
	b.ReportMetric(float64(pages.requests.Load()-requests)/float64(minutes), "requests/min")
	b.ReportMetric(memoryMiB(b, pid, "VmRSS"), "MiB-resident")
}

// A copier answers for a service whose people all live alike: it asks for each page once for each sync of the device, so
// that the simulation leaves walkd the processor.
type copier struct {
	service  http.Handler
	person   *simulate.Person
	requests atomic.Int64

	mu    sync.Mutex
	pages map[string][]byte // by when the device synced, path and query
}

func (c *copier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	if !strings.Contains(r.URL.Path, "/dataTypes/") {
		c.service.ServeHTTP(w, r)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.person.Synced(time.Now()).String() + r.URL.RequestURI()
	page, ok := c.pages[key]
	if !ok {
		rec := httptest.NewRecorder()
		c.service.ServeHTTP(rec, r)
		if page = rec.Body.Bytes(); rec.Code != http.StatusOK {
			w.WriteHeader(rec.Code)
			_, _ = w.Write(page)
			return
		}
		c.pages[key] = page
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	_, _ = w.Write(page)
}

// afternoonZone returns a zone in which it is about two o'clock: in quiet hours less is asked.
func afternoonZone(b *testing.B) *time.Location {
	b.Helper()
	hours := 14 - time.Now().UTC().Hour() // from -9 to 14
	home, err := time.LoadLocation(fmt.Sprintf("Etc/GMT%+d", -hours))
	if err != nil {
		b.Fatal(err)
	}
	return home
}

// connectPeople puts everybody and their consent into the store in dir.
func connectPeople(b *testing.B, dir string, people []store.Settings, keys *googlehealth.Settings, s *healthsim.Service) {
	b.Helper()
	st, err := store.Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	}()
	if err := st.Configure(b.Context(), people, time.Now()); err != nil {
		b.Fatal(err)
	}
	scopes := []string{healthsim.ScopeActivity, healthsim.ScopeSettings}
	for _, of := range people {
		p, err := st.Person(b.Context(), of.Name)
		if err != nil {
			b.Fatal(err)
		}
		err = st.PutToken(b.Context(), store.AccountKey{PersonID: p.ID, Source: "watch"}, "google-health", keys.ClientID,
			ingest.Token{Refresh: s.Grant(of.Name, scopes...), Scopes: scopes})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// awaitHistory waits until the history of so many accounts is in the store in dir, and so many days are derived.
func awaitHistory(b *testing.B, dir string, wanted, days int) {
	b.Helper()
	r, err := store.OpenReader(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	}()
	for deadline := time.Now().Add(40 * time.Minute); ; {
		accounts, err := r.Accounts(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		done := 0
		for _, a := range accounts {
			if bytes.Contains(a.State, []byte(`"done":true`)) {
				done++
			}
		}
		c, err := r.Count(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if done == wanted && c.Stale == 0 && int(c.Days) >= days {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("of %d accounts %d have their history, there are %+v", wanted, done, c)
		}
		<-time.After(time.Second)
	}
}

// memoryMiB returns a line of a process's status.
func memoryMiB(b *testing.B, pid int, what string) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip(err)
	}
	m := regexp.MustCompile(what + `:\s+(\d+) kB`).FindSubmatch(status)
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}

// BenchmarkDemo takes the time from the start of the real binary's demo to the first of its days on the screen, and to
// the end of `walkd demo --once`.
func BenchmarkDemo(b *testing.B) {
	walkd := buildWalkd(b)
	day := regexp.MustCompile(`(?m)\b\d{4}-\d{2}-\d{2}\b|^\s*(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b`)
	var first, all time.Duration
	for b.Loop() {
		begin := time.Now()
		cmd := exec.Command(walkd, "demo", "--once")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		var said []byte
		seen := false
		for buf := make([]byte, 4096); ; {
			n, err := out.Read(buf)
			said = append(said, buf[:n]...)
			if !seen && day.Match(said) {
				seen = true
				first += time.Since(begin)
			}
			if err != nil {
				if err != io.EOF { //nolint:errorlint // as io.Reader says
					b.Fatal(err)
				}
				break
			}
		}
		if err := cmd.Wait(); err != nil || !seen {
			b.Fatalf("%v\n%s\n%s", err, said, stderr.String())
		}
		all += time.Since(begin)
	}
	b.ReportMetric(first.Seconds()*1e3/float64(b.N), "ms-to-first-day")
	b.ReportMetric(all.Seconds()*1e3/float64(b.N), "ms-to-the-end")
}
