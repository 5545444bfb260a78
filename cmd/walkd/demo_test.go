package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDemoLive lets the demo go on for a moment: with its page and metrics, with commands beside it, until Ctrl-C.
func TestDemoLive(t *testing.T) {
	t.Parallel()
	m := newMachine(t, slowDay)
	m.write("config.toml", "")
	a, out, said := m.app()
	args := []string{"demo", "--listen", "127.0.0.1:0", "--log-level", "info"}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	code := make(chan int, 1)
	go func() { code <- a.run(ctx, args) }()
	base := ""
	m.eventually(func() error {
		found := regexp.MustCompile(`status page is at\s+(http://\S+)/`).FindStringSubmatch(out.String())
		starts := regexp.MustCompile(`msg=listening`).MatchString(said.String())
		if found == nil || !starts {
			return fmt.Errorf("the demo does not listen: %s%s", out, said)
		}
		base = found[1]
		return nil
	})
	dir := regexp.MustCompile(`data_dir=(\S+)`).FindStringSubmatch(said.String())[1]
	if status, text := get(t, base+"/"); status != http.StatusOK || !strings.Contains(text, "Time goes by 60 times as fast") {
		t.Errorf("the page: %d %s", status, text)
	}
	reconnectDemo(t, base)
	if _, text := get(t, base+"/metrics"); !strings.Contains(text, `walkd_source_up{kind="google-health",person_id="1",source="watch"} 1`) {
		t.Errorf("/metrics: %s", text)
	}
	m.eventually(func() error {
		if status, text := get(t, base+"/readyz"); status != http.StatusOK {
			return fmt.Errorf("/readyz: %d %s", status, text)
		}
		return nil
	})
	if stdout, _ := m.walkd(exitDone, "days", "--data-dir", dir); !strings.Contains(stdout, "28 days, ") {
		t.Errorf("days says %s", stdout)
	}
	if stdout, _ := m.walkd(exitDone, "nudges", "log", "--data-dir", dir); !strings.Contains(stdout, "more minutes today") {
		t.Errorf("nudges log says %s", stdout)
	}
	if _, text := m.walkd(exitFailed, "demo", "--once", "--data-dir", dir); !strings.Contains(text, "another walkd has this data folder") {
		t.Errorf("a second demo says %s", text)
	}
	if stdout, _ := m.walkd(exitDone, "sync", "--data-dir", dir); !strings.HasPrefix(stdout, "watch: ") {
		t.Errorf("sync says %s", stdout)
	}
	if _, text := m.walkd(exitFailed, "sync", "phone", "--data-dir", dir); !strings.Contains(text, `no source "phone"`) {
		t.Errorf("sync says %s", text)
	}
	interrupt()
	if got := <-code; got != exitDone || strings.Contains(said.String(), "level=ERROR") {
		t.Errorf("exit code %d: %s", got, said)
	}
	if !strings.Contains(out.String(), "What next") || !strings.Contains(out.String(), "The demo's store is removed.") {
		t.Errorf("the demo ends with %s", out)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", dir, err)
	}
}

// reconnectDemo presses what a person would press to connect the demo's source again.
func reconnectDemo(t *testing.T, base string) {
	t.Helper()
	press := func(address string, form url.Values, want string) string {
		t.Helper()
		resp, err := http.PostForm(address, form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), want) {
			t.Fatalf("%s: %s %s, %v", address, resp.Status, text, err)
		}
		return string(text)
	}
	_, page := get(t, base+"/")
	if !strings.Contains(page, `action="/connect/demo/watch"`) || strings.Contains(page, "needs your consent") {
		t.Errorf("the page: %s", page)
	}
	page = press(base+"/connect/demo/watch", nil, "comes back here by itself")
	consent := regexp.MustCompile(`href="(http://127[^"]+)"`).FindStringSubmatch(page)
	if consent == nil {
		t.Fatalf("no link in %s", page)
	}
	address := html.UnescapeString(consent[1])
	if _, text := get(t, address); !strings.Contains(text, "Simulated Google Health") {
		t.Errorf("the service asks nobody: %s", text)
	}
	press(address, url.Values{"person": {"demo"}}, "<h1>Google Health is connected</h1>")
}
