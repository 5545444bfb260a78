package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/applehealth/healthgen"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// buildWalkd builds the binary as it is shipped and returns its path.
func buildWalkd(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "walkd")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

// BenchmarkImportApple imports a generated export with the real binary, reading, storing and deriving included, beside a
// plain token loop of encoding/xml over the same file. WALKD_BENCH_BYTES sets its size; it is 1 GiB and a little.
func BenchmarkImportApple(b *testing.B) {
	size := int64(1 << 30)
	if v := os.Getenv("WALKD_BENCH_BYTES"); v != "" {
		var err error
		if size, err = strconv.ParseInt(v, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	walkd := buildWalkd(b)
	path := filepath.Join(b.TempDir(), "export.xml")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	totals, err := healthgen.Write(f, healthgen.Options{Seed: 1, Bytes: size + size/18, End: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
	if err := errors.Join(err, f.Close()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	var ours, plain time.Duration
	var resident int64
	for b.Loop() {
		start := time.Now()
		cmd := exec.Command(walkd, "--data-dir", b.TempDir(), "import", "apple-health", path, "--tz", "Europe/Oslo")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			b.Fatalf("%v\n%s", err, stderr.String())
		}
		ours += time.Since(start)
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			resident = max(resident, usage.Maxrss) // KiB on Linux
		}
		start = time.Now()
		tokenLoop(b, path)
		plain += time.Since(start)
	}
	b.Logf("%+v", totals)
	b.ReportMetric(plain.Seconds()/ours.Seconds(), "times-as-fast")
	b.ReportMetric(float64(resident)/1024, "MiB-resident")
}

func tokenLoop(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for d := xml.NewDecoder(f); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdle starts the real daemon on ten years of minutes and lets it idle for a minute: how long it takes until it
// is ready, how much memory and processor it takes, and how large the binary is.
func BenchmarkIdle(b *testing.B) {
	years := 10
	if v := os.Getenv("WALKD_BENCH_YEARS"); v != "" {
		var err error
		if years, err = strconv.Atoi(v); err != nil {
			b.Fatal(err)
		}
	}
	walkd := buildWalkd(b)
	info, err := os.Stat(walkd)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	fillYears(b, dir, years)
	config := filepath.Join(b.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte("[web]\nlisten = \"127.0.0.1:0\"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command(walkd, "--config", config, "--data-dir", dir, "days", "--json").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	// The first start derives the years; what is measured is a start with everything derived.
	stop, _, _ := startDaemon(b, walkd, config, dir)
	stop()
	b.ResetTimer()
	for b.Loop() {
		stop, pid, ready := startDaemon(b, walkd, config, dir)
		before := cpuSeconds(b, pid)
		<-time.After(time.Minute) // idling is what is measured
		b.ReportMetric(ready.Seconds()*1e3, "ms-to-ready")
		b.ReportMetric((cpuSeconds(b, pid)-before)*1e3, "cpu-ms/min")
		b.ReportMetric(residentMiB(b, pid), "MiB-resident")
		b.ReportMetric(float64(info.Size())/(1<<20), "MiB-binary")
		stop()
	}
}

// fillYears puts a record for every minute of years into the store in dir.
func fillYears(b *testing.B, dir string, years int) {
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
	p, err := st.EnsurePerson(b.Context(), "me", time.UTC)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Minute)
	k := walking.StreamKey{Source: "watch"}
	for at := now.AddDate(-years, 0, 0); at.Before(now); at = at.AddDate(0, 1, 0) {
		rs := walking.StreamRecords{StreamKey: k}
		for m := at; m.Before(at.AddDate(0, 1, 0)) && m.Before(now); m = m.Add(time.Minute) {
			rs.Records = append(rs.Records, walking.Record{Start: m, Duration: time.Minute, Steps: float64(max(0, m.Minute()*5-200))})
		}
		batch := ingest.Batch{
			Streams: []walking.Stream{{StreamKey: k, Device: walking.Wearable, Delivery: walking.Pulled, SyncedThrough: now}},
			Records: []walking.StreamRecords{rs},
		}
		if _, err := st.Apply(b.Context(), p.ID, batch, now); err != nil {
			b.Fatal(err)
		}
	}
}

// startDaemon starts the daemon and waits until it is ready.
func startDaemon(b *testing.B, walkd, config, dir string) (stop func(), pid int, ready time.Duration) {
	b.Helper()
	start := time.Now()
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), walkd, "--config", config, "--data-dir", dir, "run")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	read := make(chan struct{})
	stop = func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			b.Error(err)
		}
		<-read
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}
	buf, said := make([]byte, 4096), ""
	address := regexp.MustCompile(`address=(\S+)`)
	for !address.MatchString(said) {
		n, err := stderr.Read(buf)
		said += string(buf[:n])
		if err != nil {
			b.Fatalf("%v\n%s", err, said)
		}
	}
	go func() { // a log that nobody reads stops a daemon that has much to say
		defer close(read)
		_, _ = io.Copy(io.Discard, stderr)
	}()
	url := "http://" + address.FindStringSubmatch(said)[1] + "/readyz"
	for {
		resp, err := http.Get(url)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return stop, cmd.Process.Pid, time.Since(start)
			}
		}
		<-time.After(2 * time.Millisecond)
	}
}

// cpuSeconds returns the processor time that a process has taken.
func cpuSeconds(b *testing.B, pid int) float64 {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip(err) // Linux only
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
	user, err1 := strconv.Atoi(fields[12])
	system, err2 := strconv.Atoi(fields[13])
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	return float64(user+system) / 100
}

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}
