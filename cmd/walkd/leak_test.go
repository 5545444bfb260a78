package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/notify/ntfy/ntfytest"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/store"
)

const projectionToken = "influxtokenthatisasecret00000000=="

// TestNoSecretGetsOut brings on every fault, with commands alone and beside the daemon, and looks for every secret in all
// that walkd says anywhere. Each fault has a world of its own, since limits would slow one down.
func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	alone, beside := []bool{false}, []bool{true}
	run := func(name string, daemons []bool, bring func(l *leaks, base string)) {
		for _, daemon := range daemons {
			t.Run(fmt.Sprintf("%s, daemon %t", name, daemon), func(t *testing.T) {
				t.Parallel()
				l := newLeaks(t)
				l.keep(l.connect(exitDone, l.browser, "watch"))
				base, stop := "", func() (int, string) { return exitDone, "" }
				if daemon {
					base, stop = l.start()
				}
				bring(l, base)
				code, log := stop()
				if code != exitDone {
					t.Errorf("exit code %d: %s", code, log)
				}
				l.said["the daemon's log"] = log
				l.search()
			})
		}
	}
	run("connecting", []bool{false, true}, func(l *leaks, base string) {
		l.connectWrongly()
		l.ask(base)
	})
	for _, f := range faults {
		run(string(f.kind), beside, func(l *leaks, base string) {
			l.breakAs(f.kind, "alexandra")
			l.ask(base)
			l.Clear()
			l.keep(l.connect(exitDone, l.browser, "watch"))
		})
	}
	for _, status := range echoes {
		run(fmt.Sprintf("told all by %d", status), alone, func(l *leaks, base string) {
			l.setEcho(status)
			l.ask(base)
			l.Break(healthsim.Fault{Kind: healthsim.ExpireTokens})
			l.ask(base)
			l.setEcho(0)
			l.keep(l.connect(exitDone, l.browser, "watch"))
			l.setEcho(status) // now the phone's server does it as well
			l.ask(base)
		})
	}
	for i, fault := range []ntfytest.Fault{
		ntfytest.Internal, ntfytest.BadGateway, ntfytest.Portal, ntfytest.Redirected, ntfytest.Refused, ntfytest.Dropped,
		ntfytest.Truncated,
	} {
		run(fmt.Sprintf("phone %d", i), alone, func(l *leaks, base string) {
			l.Fail(slices.Repeat([]ntfytest.Fault{fault}, 5)...)
			l.ask(base)
			if !strings.Contains(l.said["nudges log"], "phone: ") {
				l.t.Error("nothing was sent to the phone")
			}
		})
	}
}

// newLeaks returns a world with all secrets there are, and a debug log.
func newLeaks(t *testing.T) *leaks {
	w := newWorld(t, slowDay, 2, nil, "alexandra")
	w.more = "log_level = \"debug\""
	w.last = fmt.Sprintf("[influx]\nurl = \"http://127.0.0.1:1\"\nbucket = \"walkd\"\ntoken = %q\n", projectionToken)
	w.configure()
	return &leaks{world: w, said: map[string]string{}}
}

// search looks for every secret.
func (l *leaks) search() {
	l.t.Helper()
	l.mu.Lock()
	secrets := slices.Concat(l.Secrets(), l.verifiers, []string{l.phoneToken, phoneTopic, projectionToken})
	l.mu.Unlock()
	for _, kind := range []string{"GOCSPX-", "4/", "ya29.", "1//"} {
		if !slices.ContainsFunc(secrets, func(s string) bool { return strings.HasPrefix(s, kind) }) {
			l.t.Errorf("no secret begins with %s", kind)
		}
	}
	if len(l.verifiers) == 0 {
		l.t.Error("no verifier came by")
	}
	for what, text := range l.said {
		if found := leaked(text, secrets); found != "" {
			l.t.Errorf("%s: %s is told in\n%s", what, found, text)
		}
	}
	for _, s := range secrets { // the search finds each, however it is written
		for _, text := range []string{s, url.QueryEscape(s), url.PathEscape(s), fmt.Sprintf("%q", s)} {
			if leaked("x="+text+"&y", secrets) == "" {
				l.t.Errorf("%s would not be found", text)
			}
		}
	}
}

// echoes are the statuses with which servers tell all they were told.
var echoes = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests,
	http.StatusInternalServerError, http.StatusOK,
}

// leaked returns a secret that text holds, however it is written; "" if it holds none.
func leaked(text string, secrets []string) string {
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			if strings.Contains(text, form) {
				return s
			}
		}
	}
	return ""
}

// leaks is all that was said in a world.
type leaks struct {
	*world
	said map[string]string // by where, the same place further down
}

// keep keeps what a command said.
func (l *leaks) keep(stdout, stderr string) {
	l.said["connect"] += stdout + stderr
}

// ask runs all commands, which may fail, and reads all pages of the daemon at base unless that is "".
func (l *leaks) ask(base string) {
	l.t.Helper()
	for _, args := range []string{
		"sync", "sync --from 2026-11-18", "check --online", "check", "today", "today --json", "days --json", "nudges log", "nudges log --json",
		"nudges preview --json", "influx status",
	} {
		a, stdout, stderr := l.app()
		a.terminal = func(io.Writer) (int, bool) { return 80, strings.HasPrefix(args, "sync") }
		a.run(l.t.Context(), strings.Fields(args))
		l.said[args] += stdout.String() + stderr.String()
	}
	if base != "" {
		for _, path := range []string{"/", "/metrics", "/readyz", "/healthz"} {
			_, text := get(l.t, base+path)
			l.said[path] += text
		}
	}
	for _, m := range l.Stored(phoneTopic) {
		l.said["messages"] += m.Title + m.Message + strings.Join(m.Tags, " ") + m.Click + m.SequenceID
	}
	r, err := store.OpenReader(l.t.Context(), l.dir)
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	accounts, err := r.Accounts(l.t.Context())
	if err != nil || len(accounts) == 0 {
		l.t.Errorf("%d accounts: %v", len(accounts), err)
	}
	for _, a := range accounts {
		l.said["state"] += string(a.State)
	}
}

// connectWrongly connects in all wrong ways.
func (l *leaks) connectWrongly() {
	browse := func(what string) {
		page := ""
		stdout, stderr := l.connect(exitFailed, func(address string, _ io.Writer) {
			resp, err := http.Get(address)
			if err != nil {
				l.t.Error(err)
				return
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body) // what there is
			page = string(text)
		}, "watch")
		l.said["connect, "+what] += page + stdout + stderr
	}
	for _, kind := range []healthsim.Kind{
		healthsim.InvalidGrant, healthsim.Unauthorized, healthsim.Forbidden, healthsim.Throttle, healthsim.ServerError,
		healthsim.HTMLPage, healthsim.HTMLSuccess, healthsim.Truncated, healthsim.Dropped,
	} {
		l.Break(healthsim.Fault{Kind: kind, Path: "/token"})
		browse(string(kind))
		l.Clear()
	}
	for _, status := range echoes {
		l.setEcho(status)
		browse(fmt.Sprintf("told all by %d", status))
		l.setEcho(0)
	}
	l.SetConsent("nobody")
	browse("refused")
	l.SetConsent("alexandra")
	var used string
	l.keep(l.connect(exitDone, func(address string, p io.Writer) {
		used = l.answer(address)
		fmt.Fprintln(p, used)
	}, "watch", "--paste"))
	for _, change := range []func(now string) string{
		func(string) string { return used },
		func(now string) string { return strings.Replace(now, "code=", "code=x", 1) },
		func(now string) string { return strings.Replace(now, "state=", "state=x", 1) },
		func(now string) string { _, query, _ := strings.Cut(now, "code="); return query },
		func(now string) string { return strings.Replace(now, "state=", "st=", 1) },
		func(now string) string { return "?%zz" + now },
	} {
		stdout, stderr := l.connect(exitFailed, func(address string, p io.Writer) {
			fmt.Fprintln(p, change(l.answer(address)))
		}, "watch", "--paste")
		l.keep(stdout, stderr)
	}
}
