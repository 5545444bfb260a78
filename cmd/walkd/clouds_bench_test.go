package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/simulate/ourasim"
	"github.com/walkd/walkd/internal/simulate/polarsim"
	"github.com/walkd/walkd/internal/simulate/withingssim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// BenchmarkClouds lets the real daemon pull for people who have a device of each of the four providers: eight days of
// each, and then ordinary polling, by day. WALKD_BENCH_PEOPLE says for how many people, 50 if it says nothing.
func BenchmarkClouds(b *testing.B) {
	n := 50
	if v := os.Getenv("WALKD_BENCH_PEOPLE"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			b.Fatal(err)
		}
	}
	b.Run(strconv.Itoa(n), func(b *testing.B) {
		for b.Loop() {
			benchmarkClouds(b, n)
		}
	})
}

// A benchCloud is what everybody has of one provider: a service, and a client of it, of their own.
type benchCloud struct {
	kind string
	keys string // of the config, with %[1]s for the address
	make func(p *simulate.Person, client string) (service http.Handler, token ingest.Token)
}

func benchClouds() []benchCloud {
	const secret = "no-secret"
	return []benchCloud{
		{
			"google-health", "api_url = \"%[1]s\"\nauth_url = \"%[1]s/o/oauth2/v2/auth\"\ntoken_url = \"%[1]s/token\"\nrevoke_url = \"%[1]s/revoke\"\n",
			func(p *simulate.Person, client string) (http.Handler, ingest.Token) {
				s := healthsim.New(healthsim.Options{Now: time.Now, Wall: time.Now, ClientID: client, ClientSecret: secret})
				s.Add(p)
				return s, ingest.Token{Refresh: s.Grant(p.Name(), healthsim.ScopeActivity, healthsim.ScopeSettings)}
			},
		},
		{
			"withings", "api_url = \"%[1]s\"\nauth_url = \"%[1]s/oauth2_user/authorize2\"\n",
			func(p *simulate.Person, client string) (http.Handler, ingest.Token) {
				s := withingssim.New(withingssim.Options{Now: time.Now, Wall: time.Now, ClientID: client, ClientSecret: secret})
				s.Add(p)
				return s, ingest.Token{Refresh: s.Grant(p.Name())}
			},
		},
		{
			"polar", "api_url = \"%[1]s\"\nauth_url = \"%[1]s/oauth2/authorization\"\ntoken_url = \"%[1]s/v2/oauth2/token\"\n",
			func(p *simulate.Person, client string) (http.Handler, ingest.Token) {
				s := polarsim.New(polarsim.Options{Now: time.Now, Wall: time.Now, ClientID: client, ClientSecret: secret})
				s.Add(p)
				return s, ingest.Token{Access: s.Grant(p.Name())}
			},
		},
		{
			"oura", "api_url = \"%[1]s\"\nauth_url = \"%[1]s/oauth/authorize\"\n",
			func(p *simulate.Person, client string) (http.Handler, ingest.Token) {
				s := ourasim.New(ourasim.Options{Now: time.Now, Wall: time.Now, ClientID: client, ClientSecret: secret})
				s.Add(p)
				return s, ingest.Token{Refresh: s.Grant(p.Name())}
			},
		},
	}
}

func benchmarkClouds(b *testing.B, n int) {
	b.Helper()
	walkd := buildWalkd(b)
	life, err := simulate.Volunteer()
	if err != nil {
		b.Fatal(err)
	}
	home := afternoonZone(b)
	var requests atomic.Int64
	mux := http.NewServeMux()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		mux.ServeHTTP(w, r)
	}))
	defer server.Close()
	config := &strings.Builder{}
	fmt.Fprintf(config, "[web]\nlisten = \"127.0.0.1:0\"\n")
	path, dir := filepath.Join(b.TempDir(), "config.toml"), b.TempDir()
	st, err := store.Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	var settings []store.Settings
	for i := range n {
		settings = append(settings, store.Settings{Name: fmt.Sprintf("p%d", i), Zone: home, Target: 100})
	}
	if err := st.Configure(b.Context(), settings, time.Now()); err != nil {
		b.Fatal(err)
	}
	for _, s := range settings {
		fmt.Fprintf(config, "[[person]]\nname = %q\ntimezone = %q\n", s.Name, home)
		of, err := st.Person(b.Context(), s.Name)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range benchClouds() {
			p, err := simulate.NewPerson(simulate.Plan{
				Name: s.Name, Life: life, Home: home, First: walking.DayOf(time.Now().In(home).Date()) - 8,
			})
			if err != nil {
				b.Fatal(err)
			}
			client := "walkd-bench-" + s.Name // of one's own, which has limits of its own
			service, token := c.make(p, client)
			at := "/" + c.kind + "/" + s.Name
			mux.Handle(at+"/", http.StripPrefix(at, service))
			fmt.Fprintf(config, "[[person.source]]\nkind = %q\nclient_id = %q\nclient_secret = \"no-secret\"\n", c.kind, client)
			fmt.Fprintf(config, c.keys, server.URL+at)
			if err := st.PutToken(b.Context(), store.AccountKey{PersonID: of.ID, Source: c.kind}, c.kind, client, token); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	stop, pid, ready := startDaemon(b, walkd, path, dir)
	defer stop()
	begin := time.Now()
	awaitHistory(b, dir, 4*n, 9*n)
	b.ReportMetric(time.Since(begin).Seconds(), "s-pulling")
	b.ReportMetric(ready.Seconds()*1e3, "ms-to-ready")
	b.ReportMetric(float64(requests.Load()), "requests-pulling")
	b.ReportMetric(cpuSeconds(b, pid), "cpu-s-pulling")
	b.ReportMetric(memoryMiB(b, pid, "VmHWM"), "MiB-peak")
	before, asked := cpuSeconds(b, pid), requests.Load()
	<-time.After(time.Minute) // ordinary work is what is measured
	b.ReportMetric((cpuSeconds(b, pid)-before)*1e3, "cpu-ms/min")
	b.ReportMetric(float64(requests.Load()-asked), "requests/min")
	b.ReportMetric(memoryMiB(b, pid, "VmRSS"), "MiB-resident")
}
