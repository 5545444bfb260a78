package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/pull"
)

// TestDaemonTakesCallback connects with a redirect to the daemon's own pages: commands learn from it what came of that.
func TestDaemonTakesCallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowDay, 2, nil, "alexandra")
	address := strings.TrimSuffix(strings.TrimPrefix(w.redirect, "http://"), "/oauth/callback")
	w.web = fmt.Sprintf("listen = %q\npassword = %q\n", address, pagePassword)
	w.configure()
	// Without the daemon the command listens there itself.
	stdout, _ := w.connect(exitDone, w.browser, "watch")
	if !strings.Contains(stdout, "Google Health is connected as watch of alexandra.") {
		t.Errorf("connect says %s", stdout)
	}
	base, stop := w.start()
	page := ""
	open := func(address string, _ io.Writer) { _, page = get(t, address) }
	for _, args := range [][]string{{"watch"}, {"watch", "--paste"}} {
		w.SetConsent("alexandra")
		stdout, _ := w.connect(exitDone, open, args...)
		if !strings.Contains(stdout, "The running walkd now pulls what there is") || !strings.Contains(page, "<h1>Google Health is connected</h1>") {
			t.Errorf("connect %v says %s, the page %s", args, stdout, page)
		}
	}
	w.SetConsent("nobody")
	_, said := w.connect(exitFailed, open, "watch")
	if want := "you refused Google Health the consent"; !strings.Contains(said, want) || !strings.Contains(page, want[1:]) {
		t.Errorf("connect says %s, the page %s", said, page)
	}
	// The page tells of a refusal, and what is pasted then counts.
	w.SetConsent("alexandra")
	w.connect(exitDone, func(address string, paste io.Writer) {
		answer := w.answer(address)
		state := answer[strings.Index(answer, "state="):]
		if code, body := get(t, base+"/oauth/callback?state=x"+state[7:]+"&error=access_denied"); code != http.StatusBadRequest {
			t.Errorf("a wrong state: %d %s", code, body)
		}
		fmt.Fprintln(paste, answer)
	}, "watch", "--paste")
	if code, log := stop(); code != exitDone || strings.Contains(log, "level=ERROR") || leaked(log, append(w.Secrets(), pagePassword)) != "" {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}

// TestDaemonEndsWhileWaited ends the daemon that a command waits for.
func TestDaemonEndsWhileWaited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowDay, 2, nil, "alexandra")
	w.web = fmt.Sprintf("listen = %q\n", strings.TrimSuffix(strings.TrimPrefix(w.redirect, "http://"), "/oauth/callback"))
	w.configure()
	_, stop := w.start()
	_, said := w.connect(exitFailed, func(string, io.Writer) { stop() }, "watch")
	if !strings.Contains(said, "the running walkd ended before this was done") {
		t.Errorf("connect says %s", said)
	}
}

func TestCallbackOfPublicAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowDay, 2, nil, "alexandra")
	w.redirect = "https://walkd.example/oauth/callback"
	w.web = fmt.Sprintf("listen = \"127.0.0.1:0\"\nbase_url = \"https://walkd.example\"\npassword = %q", pagePassword)
	w.configure()
	_, said := w.walkd(exitFailed, "connect", "watch")
	if !strings.Contains(said, "the daemon answers at the redirect URL https://walkd.example/oauth/callback, and it does not run") {
		t.Errorf("connect says %s", said)
	}
}

func TestTakesCallback(t *testing.T) {
	for _, tt := range []struct {
		listen, base, redirect string
		noPages                bool
		want                   bool
	}{
		{listen: "127.0.0.1:8099", redirect: "http://localhost:8099/oauth/callback", want: true},
		{listen: "127.0.0.1:8099", redirect: "http://127.0.0.1:8099/oauth/callback", want: true},
		{listen: ":8099", redirect: "http://localhost:8099/oauth/callback", want: true},
		{listen: "0.0.0.0:8099", redirect: "http://localhost:8099/oauth/callback", want: true},
		{listen: "[::]:80", redirect: "http://localhost/oauth/callback", want: true},
		{listen: "127.0.0.1:8099", base: "https://walkd.example", redirect: "https://walkd.example/oauth/callback", want: true},
		{listen: "127.0.0.1:8099", base: "https://walkd.example", redirect: "http://localhost:8099/oauth/callback", want: true},
		{listen: "127.0.0.1:8099", redirect: "http://localhost:8098/oauth/callback"},
		{listen: "127.0.0.1:8099", redirect: "http://localhost:8099/callback"},
		{listen: "127.0.0.1:8099", redirect: "https://localhost:8099/oauth/callback"},
		{listen: "127.0.0.1:8099", redirect: "https://walkd.example/oauth/callback"},
		{listen: "192.168.1.5:8099", redirect: "http://localhost:8099/oauth/callback"},
		{listen: "", base: "https://walkd.example", redirect: "https://walkd.example/oauth/callback"},
		{listen: ":8099", redirect: "http://localhost:8099/oauth/callback", noPages: true},
	} {
		w := config.Web{Listen: tt.listen, BaseURL: tt.base, Pages: !tt.noPages}
		if got := takesCallback(w, tt.redirect); got != tt.want {
			t.Errorf("%+v: got %t", tt, got)
		}
	}
}

// ender ends consents as it is told to.
type ender struct {
	connector // for what is not called here
	asked     string
	done      pull.Disconnected
	err       error
}

func (e *ender) Disconnect(_ context.Context, person, source string) (pull.Disconnected, error) {
	e.asked = person + "/" + source
	return e.done, e.err
}

func TestRevoke(t *testing.T) {
	done := pull.Disconnected{Person: "alex", Source: "watch", Service: "Google Health"}
	revoked, byHand := done, done
	revoked.Revoked = true
	byHand.Remedy = "take the access away at https://example.org/apps"
	const first, last = "watch of alex is disconnected: walkd pulls nothing more from Google Health. What was pulled stays.\n", "`walkd connect watch` connects it again.\n"
	for _, tt := range []struct {
		done pull.Disconnected
		err  error
		want string
	}{
		{done, nil, first + last},
		{revoked, nil, first + "Google Health has ended the consent too.\n" + last},
		{byHand, nil, first + "Google Health knows nothing of that yet: take the access away at https://example.org/apps.\n" + last},
		{done, errors.New("watch of alex is not connected"), ""},
	} {
		a, stdout, _ := newMachine(t, "").app()
		e := &ender{done: tt.done, err: tt.err}
		err := a.disconnect(t.Context(), e, pull.Config{Person: "alex", Source: "watch"})
		if !errors.Is(err, tt.err) || stdout.String() != tt.want || e.asked != "alex/watch" {
			t.Errorf("says %q, %v, want %q; asked for %s", stdout, err, tt.want, e.asked)
		}
	}
	m := newMachine(t, "")
	m.write("config.toml", "")
	if _, said := m.walkd(exitUsage, "connect", "watch", "--revoke", "--paste"); !strings.Contains(said, "want one of them") {
		t.Errorf("says %s", said)
	}
}
