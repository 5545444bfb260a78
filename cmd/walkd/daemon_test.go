package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/walkd/walkd/internal/config"
)

// A machine runs walkd in this process, with a home and a clock of its own.
type machine struct {
	t   *testing.T
	dir string
	now func() time.Time
}

// newMachine returns a machine whose clock stands still at now, an RFC 3339 time, or goes if it is "".
func newMachine(t *testing.T, now string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), now: time.Now}
	if now != "" {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		m.now = func() time.Time { return at }
	}
	return m
}

// write writes a file below the machine's folder and returns its path. The config is config.toml.
func (m *machine) write(name, text string) string {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// app returns the app of one command and what it says.
func (m *machine) app() (a *app, stdout, stderr *output) {
	env := config.Machine()
	env.Getenv = func(name string) string {
		return map[string]string{"WALKD_CONFIG": filepath.Join(m.dir, "config.toml"), "TZ": "Europe/Oslo"}[name]
	}
	stdout, stderr = &output{}, &output{}
	return &app{
		stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, env: env, now: m.now, terminal: terminalWidth, lines: terminalLines,
	}, stdout, stderr
}

// walkd runs a command that has to end with code.
func (m *machine) walkd(code int, args ...string) (stdout, stderr string) {
	m.t.Helper()
	a, out, said := m.app()
	if got := a.run(m.t.Context(), args); got != code {
		m.t.Fatalf("walkd %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, said)
	}
	return out.String(), said.String()
}

// start starts the daemon. The function it returns stops it and returns its exit code and its log.
func (m *machine) start() (url string, stop func() (int, string)) {
	m.t.Helper()
	a, _, log := m.app()
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- a.run(ctx, []string{"run"}) }()
	stop = sync.OnceValues(func() (int, string) {
		cancel()
		return <-code, log.String()
	})
	m.t.Cleanup(func() { stop() })
	listening := regexp.MustCompile(`msg=listening address=(\S+)`)
	m.eventually(func() error {
		found := listening.FindStringSubmatch(log.String())
		if found == nil {
			return fmt.Errorf("the daemon does not listen: %s", log)
		}
		url = "http://" + found[1]
		return nil
	})
	return url, stop
}

// freePort returns an address of this machine that nobody listens at.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// eventually waits until try returns nil.
func (m *machine) eventually(try func() error) {
	m.t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	m.t.Fatal(err)
}

// output is a buffer for several goroutines.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

const daemonConfig = `
data_dir = %q
[web]
listen = "127.0.0.1:0"
metrics_health_values = %t
[[person]]
name = "alexandra"
timezone = "Europe/Oslo"
[influx]
url = "http://127.0.0.1:1"
bucket = "walkd"
`

const daemonSteps = "start,duration,steps\n2026-11-20T10:00:00+01:00,1200,2200\n"

func TestEndpoints(t *testing.T) {
	for _, health := range []bool{false, true} {
		t.Run(fmt.Sprintf("health values %t", health), func(t *testing.T) {
			m := newMachine(t, "2026-11-20T16:05:00+01:00")
			m.write("config.toml", fmt.Sprintf(daemonConfig, m.dir, health))
			_, said := m.walkd(exitDone, "import", "csv", m.write("steps.csv", daemonSteps))
			if !strings.Contains(said, "InfluxDB: ") || !strings.Contains(said, "Nothing is lost") {
				t.Errorf("the import says nothing of the InfluxDB that is away: %s", said)
			}
			url, stop := m.start()
			if code, body := get(t, url+"/healthz"); code != http.StatusOK || body != "ok\n" {
				t.Errorf("/healthz: %d %q", code, body)
			}
			m.eventually(func() error {
				if code, body := get(t, url+"/readyz"); code != http.StatusOK {
					return fmt.Errorf("/readyz: %d %s", code, body)
				}
				return nil
			})
			if code, _ := get(t, url+"/nowhere"); code != http.StatusNotFound {
				t.Errorf("/nowhere: %d", code)
			}
			_, text := get(t, url+"/metrics")
			checkMetrics(t, text, health)
			code, log := stop()
			if code != exitDone || !strings.Contains(log, `msg="walkd stops"`) {
				t.Errorf("exit code %d, log:\n%s", code, log)
			}
		})
	}
}

func checkMetrics(t *testing.T, text string, health bool) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("/metrics: %v", err)
	}
	for _, name := range []string{
		"walkd_build_info", "walkd_days_derived_total", "walkd_records_stored", "walkd_projection_due_days",
		"walkd_projection_lag_seconds", "walkd_projection_up", "go_goroutines", "process_resident_memory_bytes",
	} {
		if families[name] == nil {
			t.Errorf("/metrics has no %s", name)
		}
	}
	if got := families["walkd_records_stored"].GetMetric()[0].GetGauge().GetValue(); got != 1 {
		t.Errorf("walkd_records_stored is %v, want 1", got)
	}
	if strings.Contains(text, "alexandra") != health || (families["walkd_walking_minutes"] != nil) != health {
		t.Errorf("health values are to be shown: %t; /metrics:\n%s", health, text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Text, `use base unit "seconds"`) {
			continue // days are what is counted here, and walking is told in minutes everywhere
		}
		t.Errorf("/metrics: %s: %s", p.Metric, p.Text)
	}
}

// listenNotify opens a socket like systemd's and returns its path, and a function that waits for the next message.
func listenNotify(t *testing.T) (path string, receive func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return path, func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 256)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// TestSecondSignal has a client stall in the middle of an import, which a graceful end waits for. A second signal does
// not wait.
func TestSecondSignal(t *testing.T) {
	m := newMachine(t, "")
	config := m.write("config.toml", fmt.Sprintf("data_dir = %q\n[web]\nlisten = \"\"\n", m.dir))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	walkd := filepath.Join(m.dir, "walkd") // by this name the test binary is walkd
	if err := os.Symlink(self, walkd); err != nil {
		t.Fatal(err)
	}
	path, receive := listenNotify(t)
	cmd := exec.Command(walkd, "--config", config, "run")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is looked at below
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	if got := receive(); got != "READY=1" {
		t.Fatalf("got %q, want READY=1", got)
	}
	conn, err := net.Dial("unix", filepath.Join(m.dir, "walkd.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := url.QueryEscape(`{"Format":"csv","Person":"me","Home":"Europe/Oslo","Size":-1}`)
	fmt.Fprintf(conn, "POST /import?request=%s HTTP/1.1\r\nHost: walkd\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n", request)
	line := make([]byte, len("HTTP/1.1 100"))
	if _, err := io.ReadFull(conn, line); err != nil || string(line) != "HTTP/1.1 100" {
		t.Fatalf("the daemon does not read the file: %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := receive(); got != "STOPPING=1" {
		t.Fatalf("got %q, want STOPPING=1", got)
	}
	// The first signal's handling may still be on its way out, so the second one is sent until it is heard.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails once it is gone
		select {
		case <-exited:
			running = false
		case <-tick.C:
		}
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want it to be ended by the second signal", cmd.ProcessState)
	}
}

// TestSystemd stands in for systemd on a real socket.
func TestSystemd(t *testing.T) {
	m := newMachine(t, "")
	m.write("config.toml", fmt.Sprintf("data_dir = %q\n[web]\nlisten = \"127.0.0.1:0\"\n", m.dir))
	path, receive := listenNotify(t)
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	_, stop := m.start()
	if got := receive(); got != "READY=1" {
		t.Errorf("got %q first, want READY=1", got)
	}
	for range 3 {
		if got := receive(); got != "WATCHDOG=1" {
			t.Errorf("got %q, want WATCHDOG=1", got)
		}
	}
	if code, log := stop(); code != exitDone {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
	last := ""
	for last != "STOPPING=1" {
		if last = receive(); last != "WATCHDOG=1" && last != "STOPPING=1" {
			t.Fatalf("got %q at the end, want STOPPING=1", last)
		}
	}
}

// TestTakenPort tells who is in the way, and leaves nothing that says that a daemon runs.
func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := newMachine(t, "")
	m.write("config.toml", fmt.Sprintf("data_dir = %q\n[web]\nlisten = %q\n", m.dir, l.Addr()))
	_, said := m.walkd(exitFailed, "run")
	if !strings.Contains(said, "cannot listen on web.listen") || !strings.Contains(said, "address already in use") {
		t.Errorf("says %q", said)
	}
	if _, err := os.Stat(filepath.Join(m.dir, "walkd.sock")); err == nil {
		t.Error("the socket is left")
	}
}
