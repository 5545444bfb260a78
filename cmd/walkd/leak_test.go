package main

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/notify/ntfy/ntfytest"
	"github.com/walkd/walkd/internal/simulate"
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
		if base != "" {
			l.connectWronglyOnPages(base)
		}
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
			l.Break(simulate.Fault{Kind: healthsim.ExpireTokens})
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
	w.web = fmt.Sprintf("listen = \"127.0.0.1:0\"\npassword = %q", pagePassword)
	w.last = fmt.Sprintf("[influx]\nurl = \"http://127.0.0.1:1\"\nbucket = \"walkd\"\ntoken = %q\n", projectionToken)
	w.configure()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &leaks{world: w, said: map[string]string{}, pages: &http.Client{Jar: jar}}
}

// search looks for every secret.
func (l *leaks) search() {
	l.t.Helper()
	l.mu.Lock()
	secrets := slices.Concat(l.Secrets(), l.verifiers, []string{l.phoneToken, phoneTopic, projectionToken, pagePassword})
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
	said  map[string]string // by where, the same place further down
	pages *http.Client      // a browser that may be logged in
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
		l.login(base)
		for _, path := range []string{"/", "/metrics", "/readyz", "/healthz", "/login", "/connect/alexandra/watch"} {
			l.said[path] += l.open(base+path, nil)
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

// open gets an address, or posts a form there unless that is nil, and returns the page at which that ends, with its headers.
func (l *leaks) open(address string, form url.Values) string {
	l.t.Helper()
	get := func() (*http.Response, error) { return l.pages.Get(address) }
	if form != nil {
		get = func() (*http.Response, error) { return l.pages.PostForm(address, form) }
	}
	resp, err := get()
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Error(err)
	}
	return fmt.Sprint(resp.Header, resp.Request.URL.Path, " ", string(text))
}

// login logs in on the pages, after a wrong try.
func (l *leaks) login(base string) {
	l.t.Helper()
	l.said["login"] += l.open(base+"/login", url.Values{"password": {"a wrong one"}})
	page := l.open(base+"/login", url.Values{"password": {pagePassword}})
	if !strings.Contains(page, "<h1>alexandra</h1>") {
		l.t.Errorf("login leads to %s", page)
	}
	l.said["login"] += page
}

// connectWronglyOnPages connects in all wrong ways on the pages of the daemon at base: the browser comes back, and the
// address is pasted.
func (l *leaks) connectWronglyOnPages(base string) {
	l.login(base)
	const page = "/connect/alexandra/watch"
	back := func(answer string) {
		_, query, _ := strings.Cut(answer, "?")
		l.said["the callback"] += l.open(base+"/oauth/callback?"+query, nil)
	}
	paste := func(answer string) { l.said["pasting"] += l.open(base+page+"/answer", url.Values{"address": {answer}}) }
	try := func(what, want string, change func(string) string) {
		l.t.Helper()
		for _, finish := range []func(string){back, paste} {
			steps := l.open(base+page, url.Values{})
			l.said["the steps"] += steps
			link := regexp.MustCompile(`href="(http[^"]+)"`).FindStringSubmatch(steps)
			if link == nil {
				l.t.Fatalf("no link in %s", steps)
			}
			finish(change(l.answer(html.UnescapeString(link[1]))))
		}
		for _, where := range []string{"the callback", "pasting"} {
			if !strings.Contains(l.said[where], want) {
				l.t.Errorf("%s, %s: want %q in %s", what, where, want, l.said[where])
			}
		}
	}
	same := func(answer string) string { return answer }
	for _, status := range echoes {
		l.setEcho(status)
		try(fmt.Sprintf("told all by %d", status), "Google Health: ", same)
		l.setEcho(0)
	}
	l.Break(simulate.Fault{Kind: simulate.Dropped, Path: "/token"})
	try("dropped", "no answer", same)
	l.Clear()
	l.SetConsent("nobody")
	try("refused", "You refused Google Health the consent", same)
	l.SetConsent("alexandra")
	try("a wrong state", "does not know this attempt", func(answer string) string { return strings.Replace(answer, "state=", "state=x", 1) })
	try("a wrong code", "used already or has expired", func(answer string) string { return strings.Replace(answer, "code=", "code=x", 1) })
	try("no code", "holds no code", func(answer string) string { return strings.Replace(answer, "code=", "cod=", 1) })
	used := ""
	try("well", "Google Health is connected", func(answer string) string {
		used = answer
		return answer
	})
	try("an old answer", "This answer was used already", func(string) string { return used })
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
	for _, kind := range []simulate.Kind{
		healthsim.InvalidGrant, healthsim.Unauthorized, healthsim.Forbidden, healthsim.Throttle, healthsim.ServerError,
		simulate.HTMLPage, simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped,
	} {
		l.Break(simulate.Fault{Kind: kind, Path: "/token"})
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
