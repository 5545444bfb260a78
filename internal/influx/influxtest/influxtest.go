// Package influxtest runs a real InfluxDB 1.8 for tests.
package influxtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Options are the options of a Server.
type Options struct {
	// Auth asks for credentials; Server.Token has them.
	Auth bool
	// MaxBodySize is the largest request body in bytes; zero means the server's default of 25 MB.
	MaxBodySize int
	// Monitor keeps the server's own statistics, which cost it some time.
	Monitor bool
}

// Server is a running InfluxDB that belongs to one test.
type Server struct {
	// URL is where it answers, on a port of the loopback interface that stays the same.
	URL string
	// Token is "user:password" of an administrator, empty without Options.Auth.
	Token string

	tb      testing.TB
	o       Options
	binary  string
	dir     string
	ports   [2]int
	client  *http.Client
	process *exec.Cmd
	exited  chan struct{}
	output  *os.File
}

// Start starts a Server. It ends with the test.
//
// The program is $WALKD_INFLUXD, else tools/bin/influxd in the module. Without one the test is skipped, or fails if
// CI=true.
func Start(tb testing.TB) *Server { return StartWith(tb, Options{}) }

// StartWith is Start with options.
func StartWith(tb testing.TB, o Options) *Server {
	tb.Helper()
	s := &Server{tb: tb, o: o, binary: find(tb), dir: tb.TempDir()}
	transport := &http.Transport{DisableKeepAlives: true}
	s.client = &http.Client{Transport: transport, Timeout: time.Minute}
	tb.Cleanup(s.Kill)
	var err error
	for range 5 { // another program may take a port before the server does
		s.ports = freePorts(tb)
		s.URL = fmt.Sprintf("http://127.0.0.1:%d", s.ports[0])
		if err = s.start(); err == nil {
			break
		}
	}
	if err != nil {
		tb.Fatalf("influxtest: start influxd: %v\n%s", err, s.log())
	}
	if o.Auth {
		s.addUser()
	}
	return s
}

func find(tb testing.TB) string {
	tb.Helper()
	path := os.Getenv("WALKD_INFLUXD")
	if path == "" {
		dir, err := os.Getwd()
		if err != nil {
			tb.Fatalf("influxtest: %v", err)
		}
		for dir != filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			dir = filepath.Dir(dir)
		}
		path = filepath.Join(dir, "tools", "bin", "influxd")
	}
	if _, err := os.Stat(path); err != nil {
		const want = "influxtest: no influxd at %s: build it (make tools) or set WALKD_INFLUXD"
		if os.Getenv("CI") == "true" {
			tb.Fatalf(want, path)
		}
		tb.Skipf("SKIPPED, NOT TESTED: "+want, path)
	}
	return path
}

func freePorts(tb testing.TB) (ports [2]int) {
	tb.Helper()
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("influxtest: %v", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

const config = `reporting-disabled = true
bind-address = "127.0.0.1:%[2]d"
[meta]
  dir = %[3]q
[data]
  dir = %[4]q
  wal-dir = %[5]q
  query-log-enabled = false
[monitor]
  store-enabled = %[8]t
[http]
  bind-address = "127.0.0.1:%[1]d"
  log-enabled = false
  flux-enabled = true
  auth-enabled = %[6]t
  max-body-size = %[7]d
[logging]
  level = "warn"
`

func (s *Server) start() error {
	size := s.o.MaxBodySize
	if size == 0 {
		size = 25_000_000
	}
	file := filepath.Join(s.dir, "influxdb.conf")
	text := fmt.Sprintf(config, s.ports[0], s.ports[1], filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data"),
		filepath.Join(s.dir, "wal"), s.o.Auth, size, s.o.Monitor)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	output, err := os.OpenFile(filepath.Join(s.dir, "influxd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s.output = output
	s.process = exec.Command(s.binary, "-config", file)
	s.process.Dir, s.process.Stdout, s.process.Stderr = s.dir, output, output
	if err := s.process.Start(); err != nil {
		s.process = nil
		_ = output.Close()
		return err
	}
	process, exited := s.process, make(chan struct{})
	s.exited = exited
	go func() {
		_ = process.Wait()
		close(exited)
	}()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := s.client.Get(s.URL + "/ping")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusNoContent && resp.Header.Get("X-Influxdb-Version") != "" {
				return nil
			}
		}
		select {
		case <-exited:
			s.end()
			return errors.New("it ended at once")
		case <-deadline.C:
			s.Kill()
			return errors.New("it does not answer")
		case <-tick.C:
		}
	}
}

func (s *Server) log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "influxd.log"))
	return string(b)
}

// end waits for the process to be gone.
func (s *Server) end() {
	if s.process == nil {
		return
	}
	<-s.exited
	_ = s.output.Close()
	s.process = nil
}

// Stop lets the server end in good order. Its data stays.
func (s *Server) Stop() { s.signal(os.Interrupt) }

// Kill ends the server as a power cut would. Its data stays.
func (s *Server) Kill() { s.signal(os.Kill) }

func (s *Server) signal(sig os.Signal) {
	if s.process == nil {
		return
	}
	if err := s.process.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.tb.Errorf("influxtest: %v", err)
	}
	s.end()
}

// Restart starts the server again at the same place with the same data. It stops it first if it runs.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	var err error
	for range 3 {
		if err = s.start(); err == nil {
			return
		}
	}
	s.tb.Fatalf("influxtest: restart influxd: %v\n%s", err, s.log())
}

// Wipe removes all data, databases and users included, and starts the server empty; with Options.Auth the
// administrator is made again.
func (s *Server) Wipe() {
	s.tb.Helper()
	s.Kill()
	for _, d := range []string{"meta", "data", "wal"} {
		if err := os.RemoveAll(filepath.Join(s.dir, d)); err != nil {
			s.tb.Fatalf("influxtest: %v", err)
		}
	}
	s.Restart()
	if s.o.Auth {
		s.addUser()
	}
}

func (s *Server) addUser() {
	s.tb.Helper()
	s.Token = ""
	s.Exec("", `CREATE USER "admin" WITH PASSWORD 'a-long-secret' WITH ALL PRIVILEGES`)
	s.Token = "admin:a-long-secret"
}

// CreateDatabase creates a database with shards of 52 weeks, as recommended for walkd.
func (s *Server) CreateDatabase(name string) {
	s.tb.Helper()
	s.Exec("", fmt.Sprintf("CREATE DATABASE %q WITH DURATION INF REPLICATION 1 SHARD DURATION 52w", name))
}

// Exec runs InfluxQL in a database and drops the answer.
func (s *Server) Exec(database, q string) {
	s.tb.Helper()
	if _, err := s.query(database, q); err != nil {
		s.tb.Fatalf("influxtest: %s: %v", q, err)
	}
}

// Row is one row of an answer.
type Row struct {
	// Name is the measurement.
	Name string
	// Tags are those of GROUP BY.
	Tags map[string]string
	// Time is in Unix seconds.
	Time int64
	// Values are the columns but time, null left out: string, bool or json.Number, whose digits are the server's.
	Values map[string]any
}

// Query runs InfluxQL in a database and returns the rows of all results.
func (s *Server) Query(database, q string) []Row {
	s.tb.Helper()
	rows, err := s.query(database, q)
	if err != nil {
		s.tb.Fatalf("influxtest: %s: %v", q, err)
	}
	return rows
}

func (s *Server) query(database, q string) ([]Row, error) {
	form := url.Values{"q": {q}, "epoch": {"s"}}
	if database != "" {
		form.Set("db", database)
	}
	req, err := http.NewRequest(http.MethodPost, s.URL+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if user, password, ok := strings.Cut(s.Token, ":"); ok {
		req.SetBasicAuth(user, password)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Error   string
		Results []struct {
			Error  string
			Series []struct {
				Name    string
				Tags    map[string]string
				Columns []string
				Values  [][]any
			}
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("%s: %w", resp.Status, err)
	}
	if doc.Error != "" {
		return nil, errors.New(doc.Error)
	}
	var rows []Row
	for _, r := range doc.Results {
		if r.Error != "" {
			return nil, errors.New(r.Error)
		}
		for _, series := range r.Series {
			for _, values := range series.Values {
				row := Row{Name: series.Name, Tags: series.Tags, Values: map[string]any{}}
				for i, c := range series.Columns {
					if n, ok := values[i].(json.Number); ok && c == "time" {
						row.Time, _ = n.Int64()
					} else if values[i] != nil {
						row.Values[c] = values[i]
					}
				}
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}
