package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/walkd/walkd/internal/notify/ntfy/ntfytest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

// slowDay is an afternoon on which the simulated people have walked little, as their data has it.
const slowDay = "2026-11-20T14:20:00+01:00"

const phoneTopic = "a-topic-that-nobody-guesses"

// A world is a simulated Google Health and ntfy on this machine, and the config of a walkd that uses them.
type world struct {
	*machine
	*healthsim.Service
	*ntfytest.Server
	health, ntfy string // addresses
	redirect     string
	secret       string // the client secret that the config has
	people       []string
	redirects    map[string]string // of people who have another redirect
	web          string            // the section [web] of the config
	more         string            // further config, at the top
	last         string            // and at the end
	phoneToken   string
	lives        map[string]*simulate.Person

	mu        sync.Mutex
	echo      int      // the status with which both servers tell whoever asks all that they said; 0: they do not
	verifiers []string // of PKCE, as they came to the token endpoint
}

// newWorld returns a world at a time, in which people have a watch each, since some days ago. change may be nil.
func newWorld(t *testing.T, now string, days int, change func(*healthsim.Options), people ...string) *world {
	t.Helper()
	address, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		machine: newMachine(t, now), web: "listen = \"127.0.0.1:0\"", redirect: "http://" + address + "/oauth/callback", secret: "GOCSPX-thesecretofthisclient",
		people: people, lives: map[string]*simulate.Person{}, phoneToken: "tk_thephonestokenisasecret00000",
	}
	o := healthsim.Options{
		Now: func() time.Time { return w.now() }, Wall: time.Now, ClientID: "walkd-test", ClientSecret: w.secret,
		RedirectURLs: []string{w.redirect}, Consent: people[0],
	}
	if change != nil {
		change(&o)
	}
	w.Service = healthsim.New(o)
	life, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	home := location(t, "Europe/Oslo")
	today := walking.DayOf(w.now().In(home).Date())
	for _, name := range people {
		p, err := simulate.NewPerson(simulate.Plan{
			Name: name, Life: life, Home: home, Zeros: true,
			First: today - walking.Day((days+life.Days()-1)/life.Days()*life.Days()-1), // today is the last day of a life
		})
		if err != nil {
			t.Fatal(err)
		}
		p.Delete(walking.Window{Start: p.First().In(home), End: (today - walking.Day(days-1)).In(home)})
		w.Add(p)
		w.lives[name] = p
	}
	health := httptest.NewServer(w.listen(w.Service))
	t.Cleanup(health.Close)
	w.health = health.URL
	w.Server = ntfytest.New(ntfytest.Options{Private: true, Users: []ntfytest.User{
		{Name: "walkd", Token: w.phoneToken, Write: []string{phoneTopic}, Read: []string{phoneTopic}},
	}})
	ntfy := httptest.NewServer(w.listen(w.Server))
	t.Cleanup(ntfy.Close)
	w.ntfy = ntfy.URL
	w.configure()
	return w
}

// listen hears what comes to a server, and answers in its place while there is an echo.
func (w *world) listen(server http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body)) // other bodies have no such field
		w.mu.Lock()
		if v := form.Get("code_verifier"); v != "" {
			w.verifiers = append(w.verifiers, v)
		}
		echo := w.echo
		w.mu.Unlock()
		if echo == 0 || strings.HasSuffix(r.URL.Path, "/auth") {
			server.ServeHTTP(rw, r)
			return
		}
		said := r.Header.Get("Authorization")
		for name := range form {
			said += " " + name + " " + form.Get(name)
		}
		if len(form) == 0 || !strings.HasSuffix(r.URL.Path, "/token") {
			said += " " + string(body)
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(echo)
		answer := map[string]any{"error": map[string]any{"code": echo, "message": said, "status": said}}
		if strings.HasSuffix(r.URL.Path, "/token") || r.URL.Path == "/" {
			answer = map[string]any{"error": said, "error_description": said, "code": 40001, "http": echo}
		}
		_ = json.NewEncoder(rw).Encode(answer) // whoever asks may have gone
	})
}

// setEcho sets echo.
func (w *world) setEcho(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.echo = status
}

// configure writes the config anew.
func (w *world) configure() {
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir = %q\n%s\n[web]\n%s\n", w.dir, w.more, w.web)
	for _, name := range w.people {
		redirect := cmp.Or(w.redirects[name], w.redirect)
		fmt.Fprintf(&b, `
[[person]]
name = %q
timezone = "Europe/Oslo"
[[person.source]]
kind = "google-health"
name = "watch"
client_id = "walkd-test"
client_secret = %q
redirect_url = %q
api_url = %q
auth_url = "%s/o/oauth2/v2/auth"
token_url = "%s/token"
revoke_url = "%s/revoke"
[[person.channel]]
kind = "ntfy"
name = "phone"
url = "%s/%s"
token = %q
`, name, w.secret, redirect, w.health, w.health, w.health, w.health, w.ntfy, phoneTopic, w.phoneToken)
	}
	b.WriteString(w.last)
	w.write("config.toml", b.String())
}

// ServeHTTP is neither of the two.
func (w *world) ServeHTTP() {}

var consentAddress = regexp.MustCompile(`(?m)^http://127\.0\.0\.1\S+$`)

// connect runs `walkd connect` and opens the address that it prints in browse, which may be given to paste. It has to end
// with code.
func (w *machine) connect(code int, browse func(address string, paste io.Writer), args ...string) (stdout, stderr string) {
	w.t.Helper()
	a, out, said := w.app()
	stdin, paste := io.Pipe()
	a.stdin = stdin
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- a.run(ctx, append([]string{"connect"}, args...)) }()
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			text := said.String()
			found := consentAddress.FindString(text)
			if found != "" && (strings.Contains(text, " ...") || strings.Contains(text, "press Enter:")) {
				p := &pasted{PipeWriter: paste}
				browse(found, p)
				if p.something { // else the person does not touch the terminal
					_ = paste.Close()
				}
				return
			}
			if ctx.Err() != nil {
				return
			}
		}
	}()
	got := <-ended
	cancel()
	<-opened
	_ = paste.Close()
	if got != code {
		w.t.Fatalf("walkd connect: exit code %d, want %d: %s%s", got, code, out, said)
	}
	return out.String(), said.String()
}

// pasted is the input of a command, and whether there was any.
type pasted struct {
	*io.PipeWriter
	something bool
}

func (p *pasted) Write(b []byte) (int, error) {
	p.something = true
	return p.PipeWriter.Write(b)
}

// browser opens an address as a browser does that follows where it is sent.
func (w *machine) browser(address string, _ io.Writer) {
	resp, err := http.Get(address)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}

// asked returns how many requests the service has had.
func (w *world) asked() int {
	n := 0
	for _, c := range w.Service.Requests() {
		n += c
	}
	return n
}

// answer follows an address up to where the service sends the browser, and does not go there.
func (w *machine) answer(address string) string {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(address)
	if err != nil {
		w.t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	return resp.Header.Get("Location")
}

// noTwice is what a fault may cost in requests until it is noted: the request, and one renewal and repetition.
const noTwice = 3

func TestConnectFailures(t *testing.T) {
	t.Parallel()
	paste := func(text string) func(*world) (string, string) {
		return func(w *world) (string, string) {
			return w.connect(exitFailed, func(_ string, p io.Writer) { _, _ = io.WriteString(p, text) }, "watch", "--paste")
		}
	}
	for _, c := range []struct {
		name    string
		options func(*healthsim.Options)
		config  func(*world)
		try     func(*world) (stdout, stderr string) // the browser, if nil
		want    string
	}{
		{
			name: "wrong client secret", config: func(w *world) { w.secret = "GOCSPX-anothersecretaltogether" },
			want: "the client ID or its secret is refused .*check client_id and client_secret in the config",
		},
		{
			name: "refused", options: func(o *healthsim.Options) { o.Consent = "nobody" },
			want: "you refused Google Health the consent, so nothing is connected: connect again if you change your mind",
		},
		{
			name: "activity is not ticked", options: func(o *healthsim.Options) { o.Granted = []string{healthsim.ScopeSettings} },
			want: "does not let walkd read activity data: connect it again, and leave the box .* ticked",
		},
		{name: "nothing pasted", try: paste(""), want: "nothing was pasted: run the command again"},
		{name: "only Enter", try: paste("\n"), want: "nothing was pasted: run the command again"},
		{name: "pasted something else", try: paste("https://health.google/\n"), want: "paste all of it"},
		{
			name: "wrong state", try: paste("http://localhost/?code=4/abcd&state=ABCDEFGH\n"),
			want: "does not know this attempt to connect, or it is too old: connect again",
		},
		{
			name: "pasted a refusal", try: paste("http://localhost/?error=access_denied&state=ABCDEFGH\n"),
			want: "so nothing is connected: connect again if you change your mind",
		},
		{
			name: "redirect elsewhere", config: func(w *world) { w.redirect = "https://walkd.example/callback" },
			try:  func(w *world) (string, string) { return w.walkd(exitFailed, "connect", "watch") },
			want: "is not of this machine: use --paste",
		},
		{
			name: "500 for the token", config: func(w *world) { w.Break(simulate.Fault{Kind: healthsim.ServerError, Path: "/token"}) },
			want: "Google Health: cannot give access now \\(500 Internal Server Error\\)",
		},
		{
			name: "a page for the token", config: func(w *world) { w.Break(simulate.Fault{Kind: simulate.HTMLSuccess, Path: "/token"}) },
			want: "Google Health: ",
		},
		{
			name: "half a token", config: func(w *world) { w.Break(simulate.Fault{Kind: simulate.Truncated, Path: "/token"}) },
			want: "Google Health: ",
		},
		{
			name: "no answer for the token", config: func(w *world) { w.Break(simulate.Fault{Kind: simulate.Dropped, Path: "/token"}) },
			want: "no answer|EOF",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, slowDay, 2, c.options, "alexandra")
			if c.config != nil {
				c.config(w)
				w.configure()
			}
			if c.try == nil {
				c.try = func(w *world) (string, string) { return w.connect(exitFailed, w.browser, "watch") }
			}
			stdout, stderr := c.try(w)
			if !regexp.MustCompile(c.want).MatchString(stderr) || stdout != "" {
				t.Errorf("says %q, %q, want %q", stdout, stderr, c.want)
			}
			if n := w.asked(); n > noTwice {
				t.Errorf("%d requests, want %d at most", n, noTwice)
			}
			if said, _ := w.walkd(exitFailed, "check"); !strings.Contains(said, "run `walkd connect watch`") {
				t.Errorf("check says %s", said)
			}
		})
	}
}

// TestWrongRedirect has the service refuse the redirect: it says so in the browser, and nobody comes back.
func TestWrongRedirect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowDay, 2, func(o *healthsim.Options) { o.RedirectURLs = []string{"http://localhost:1/"} }, "alexandra")
	a, _, said := w.app()
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- a.run(ctx, []string{"connect", "watch"}) }()
	w.eventually(func() error {
		text := said.String()
		address := consentAddress.FindString(text)
		if !strings.Contains(text, " ...") {
			return fmt.Errorf("no address: %s", said)
		}
		if code, body := get(t, address); code != http.StatusBadRequest || !strings.Contains(body, "redirect_uri_mismatch") {
			t.Errorf("the service answers %d: %s", code, body)
		}
		return nil
	})
	interrupt()
	if code := <-ended; code != exitFailed || !strings.HasSuffix(said.String(), "walkd: interrupted\n") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// TestConnectAgain uses answers of the provider twice, and strange ones beside the right one.
func TestConnectAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowDay, 2, nil, "alexandra")
	var first string
	w.connect(exitDone, func(address string, p io.Writer) {
		first = w.answer(address)
		fmt.Fprint(p, first) // without a line's end
	}, "watch", "--paste")
	_, said := w.connect(exitFailed, func(_ string, p io.Writer) { fmt.Fprintln(p, first) }, "watch", "--paste")
	if !strings.Contains(said, "does not know this attempt") {
		t.Errorf("the answer of another attempt: %s", said)
	}
	_, said = w.connect(exitFailed, func(address string, p io.Writer) {
		code, _, _ := strings.Cut(first, "state=")
		_, state, _ := strings.Cut(w.answer(address), "state=")
		fmt.Fprintln(p, code+"state="+state)
	}, "watch", "--paste")
	if !strings.Contains(said, "the code was used already or has expired") {
		t.Errorf("a code used twice: %s", said)
	}
	stdout, _ := w.walkd(exitDone, "sync") // the first consent still holds
	if !strings.Contains(stdout, "watch: 4 days") {
		t.Errorf("sync says %s", stdout)
	}
	// With a daemon, and by the browser, which asks for a page of its own first, and comes with a state of somebody else.
	_, stop := w.start()
	stdout, _ = w.connect(exitDone, func(address string, p io.Writer) {
		for path, want := range map[string]int{"/favicon.ico": http.StatusNotFound, "/oauth/callback?state=X&code=Y": http.StatusBadRequest} {
			code, body := get(t, strings.TrimSuffix(w.redirect, "/oauth/callback")+path)
			if code != want {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
		w.browser(address, p)
	}, "watch")
	if !strings.Contains(stdout, "The running walkd now pulls what there is") {
		t.Errorf("connect says %s", stdout)
	}
	var used string
	w.connect(exitDone, func(address string, p io.Writer) {
		used = w.answer(address)
		fmt.Fprintln(p, used)
	}, "watch", "--paste")
	_, said = w.connect(exitFailed, func(_ string, p io.Writer) { fmt.Fprintln(p, used) }, "watch", "--paste")
	if !strings.Contains(said, "this answer was used already: if the source is not connected, connect again") {
		t.Errorf("an answer pasted twice: %s", said)
	}
	_, said = w.connect(exitFailed, func(_ string, p io.Writer) { fmt.Fprintln(p) }, "watch", "--paste")
	if !strings.Contains(said, "nothing was pasted") {
		t.Errorf("nothing pasted: %s", said)
	}
	listener, err := net.Listen("tcp", strings.TrimSuffix(strings.TrimPrefix(w.redirect, "http://"), "/oauth/callback"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, said = w.walkd(exitFailed, "connect", "watch")
	if !strings.Contains(said, "address already in use: use --paste") {
		t.Errorf("the port is taken: %s", said)
	}
	if code, log := stop(); code != exitDone || strings.Contains(log, "level=ERROR") {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}

// faults are the ways in which the API fails, with what is said of them.
var faults = []struct {
	kind  simulate.Kind
	want  string
	phase string
}{
	{healthsim.Unauthorized, "refuses access that it has only just given", "failing"},
	{healthsim.Forbidden, "the consent has lost its effect .*: take the access away .*, and connect it again", "needs consent"},
	{healthsim.InvalidGrant, "the consent has ended or was withdrawn .*: run `walkd connect watch`", "needs consent"},
	{healthsim.Throttle, "answered 429 Too Many Requests", "throttled"},
	{healthsim.ThrottleFor, "answered 429 Too Many Requests", "throttled"},
	{healthsim.ServerError, "answered 500 Internal Server Error", "failing"},
	{simulate.HTMLPage, "answered 502 Bad Gateway", "failing"},
	{simulate.HTMLSuccess, "it is a web page instead of data", "failing"},
	{simulate.Truncated, "it broke off", "failing"},
	{simulate.Dropped, "no answer from 127.0.0.1", "failing"},
}

func TestSyncFailures(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(string(f.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, slowDay, 2, nil, "alexandra")
			w.connect(exitDone, w.browser, "watch")
			w.breakAs(f.kind, "alexandra")
			before := w.asked()
			stdout, stderr := w.walkd(exitFailed, "sync")
			want := regexp.MustCompile(f.want)
			if !want.MatchString(stderr) || stdout != "" {
				t.Errorf("sync says %q, %q, want %q", stdout, stderr, f.want)
			}
			w.walkd(exitFailed, "sync")
			if n := w.asked() - before; n > 2*noTwice {
				t.Errorf("%d requests in two tries", n)
			}
			today, _ := w.walkd(exitDone, "today")
			check, _ := w.walkd(exitFailed, "check")
			if !strings.Contains(today, "! watch: "+f.phase) || !strings.Contains(check, f.phase) || !want.MatchString(check) {
				t.Errorf("want %s in today and check: %s%s", f.phase, today, check)
			}
			if strings.Contains(today, "walkd sync") {
				t.Errorf("today recommends what does not help: %s", today)
			}
			online, _ := w.walkd(exitFailed, "check", "--online")
			if !want.MatchString(online) {
				t.Errorf("check --online says %s", online)
			}
			// Once it is over, connecting again mends all of it.
			w.Clear()
			w.connect(exitDone, w.browser, "watch")
			if stdout, _ := w.walkd(exitDone, "sync"); !strings.Contains(stdout, "watch: 4 days") {
				t.Errorf("sync says %s", stdout)
			}
		})
	}
}

// breakAs lets the API fail for all, or takes back what a person has granted.
func (w *world) breakAs(kind simulate.Kind, person string) {
	if kind == healthsim.InvalidGrant {
		w.Revoke(person)
		return
	}
	w.Break(simulate.Fault{Kind: kind})
}

// pullDays is how many days there are in TestPull: more than are pulled at once, so that it can be broken off.
const pullDays = 3 * 29

// TestPull goes the way of a person without a daemon: connect, sync, today, nudges, the history.
func TestPull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowDay, pullDays, nil, "alexandra")
	for _, c := range [][]string{{"today"}, {"days"}, {"nudges", "log"}} {
		if _, said := w.walkd(exitFailed, c...); !strings.Contains(said, "`walkd connect watch` lets it come") {
			t.Errorf("%v says %s", c, said)
		}
	}
	if _, said := w.walkd(exitFailed, "sync"); !strings.Contains(said, "watch: watch is not connected yet: run `walkd connect watch`") {
		t.Errorf("sync says %s", said)
	}
	stdout, _ := w.walkd(exitFailed, "check", "--online")
	if strings.Count(stdout, "is not connected yet: run `walkd connect watch`") != 1 {
		t.Errorf("check says %s", stdout)
	}
	w.connect(exitDone, w.browser, "watch")
	if stdout, _ := w.walkd(exitDone, "today"); !strings.Contains(stdout, "at once with `walkd sync`") {
		t.Errorf("today says %s", stdout)
	}

	stdout, _ = w.walkd(exitDone, "sync", "watch")
	if want := "watch: 4 days, 3344 records, 4 requests; 3344 new, 0 changed, 0 removed\n"; stdout != want {
		t.Errorf("sync says %q, want %q", stdout, want)
	}
	phone := w.Shown(phoneTopic)
	if len(phone) != 1 || !strings.Contains(phone[0].Title, "more minutes today") {
		t.Errorf("the phone shows %v", phone)
	}
	for range 2 { // also after it was noticed that it was sent
		stdout, _ = w.walkd(exitDone, "today")
		if !strings.Contains(stdout, "Sent at 14:20: "+phone[0].Title) || !strings.Contains(stdout, "phone: delivered 14:20") {
			t.Errorf("today says %s", stdout)
		}
		w.walkd(exitDone, "sync", "--from", "2026-11-19")
	}
	var today []todayJSON
	stdout, _ = w.walkd(exitDone, "today", "--json")
	if err := json.Unmarshal([]byte(stdout), &today); err != nil {
		t.Fatal(err)
	}
	if n := today[0].Nudge; n == nil || !n.Send || n.Deliveries[0].Outcome != "delivered" {
		t.Errorf("today --json says %s", stdout)
	}
	if p := today[0].Pulling; len(p) != 1 || p[0].Phase != "ok" || p[0].Problem != "" || p[0].Synced == nil || p[0].Success == nil ||
		p[0].Next == nil || len(p[0].Budget) == 0 {
		t.Errorf("today --json says %s", stdout)
	}
	if stdout, _ := w.walkd(exitDone, "nudges", "preview"); !strings.Contains(stdout, "nothing sent: already-sent") {
		t.Errorf("nudges preview says %s", stdout)
	}
	var told []nudgeJSON
	stdout, _ = w.walkd(exitDone, "nudges", "log", "--json")
	if err := json.Unmarshal([]byte(stdout), &told); err != nil || len(told) != 2 || told[0].Send || !told[1].Send {
		t.Errorf("nudges log says %s, %v", stdout, err)
	}

	// The history, broken off after its first progress, then whole, then once more.
	a, _, _ := w.app()
	ctx, breakOff := context.WithCancel(t.Context())
	a.terminal = func(out io.Writer) (int, bool) { return 100, out == a.stderr }
	a.stderr = &trigger{text: "\r", do: breakOff}
	if code := a.run(ctx, []string{"sync", "--from", "2026-08-26"}); code != exitFailed {
		t.Errorf("exit code %d of a sync that was broken off", code)
	}
	before := len(w.days())
	stdout, _ = w.walkd(exitDone, "sync", "--from", "2026-08-26")
	if !strings.HasPrefix(stdout, "watch: 87 days, ") || len(w.days()) != pullDays || before >= pullDays {
		t.Errorf("sync says %s; %d days, %d before", stdout, len(w.days()), before)
	}
	stdout, _ = w.walkd(exitDone, "sync", "--from", "2026-10-23", "--to", "2026-10-25")
	if !strings.HasSuffix(stdout, "; nothing new\n") {
		t.Errorf("sync says %s", stdout)
	}
	w.agree("alexandra")
	if _, said := w.walkd(exitFailed, "sync", "--from", "2027-01-01"); !strings.Contains(said, "there is nothing from 2027-01-01") {
		t.Errorf("sync says %s", said)
	}
	for _, c := range [][]string{
		{"sync", "--from", "2026-11-02", "--to", "2026-11-01"},
		{"sync", "--person", "bo"},
		{"sync", "phone"},
		{"connect", "phone"},
		{"connect", "watch", "--person", "bo"},
		{"connect"},
		{"sync", "a", "b"},
		{"nudges", "log", "--person", "bo"},
		{"nudges", "log", "--from", "2026-11-02", "--to", "2026-11-01"},
		{"nudges", "preview", "x"},
	} {
		w.walkd(exitUsage, c...)
	}
}

// trigger does something when it is written a text.
type trigger struct {
	output
	text string
	do   func()
}

func (t *trigger) Write(b []byte) (int, error) {
	if strings.Contains(string(b), t.text) {
		t.do()
	}
	return t.output.Write(b)
}

// agree compares the days with what the simulated person has walked: with the days that another walkd makes of a file
// of the same minutes.
func (w *world) agree(person string) {
	w.t.Helper()
	life := w.lives[person]
	now := w.now()
	var file strings.Builder
	file.WriteString("start,duration,steps\n")
	first, steps := life.First().In(life.Home()), map[string]int{}
	for _, p := range life.Truth(walking.Window{Start: first, End: now}, life.Synced(now)) {
		steps[p.Start.In(life.Home()).Format(time.DateOnly)] += p.Steps
		fmt.Fprintf(&file, "%s,60,%d\n", p.Start.Format(time.RFC3339), p.Steps)
	}
	other := newMachine(w.t, now.Format(time.RFC3339))
	other.write("config.toml", fmt.Sprintf("data_dir = %q\n[[person]]\nname = %q\ntimezone = \"Europe/Oslo\"\n", other.dir, person))
	other.walkd(exitDone, "import", "csv", other.write("steps.csv", file.String()))
	want, got := map[string]map[string]any{}, 0
	for _, d := range other.days() {
		want[d["date"].(string)] = d
	}
	for _, d := range w.days() {
		if d["person"] != person {
			continue
		}
		got++
		date := d["date"].(string)
		for _, name := range []string{"steps", "walking_minutes", "low", "high", "brisk_minutes", "running_minutes", "met", "band"} {
			if d[name] != want[date][name] {
				w.t.Errorf("%s: %s is %v, want %v", date, name, d[name], want[date][name])
			}
		}
		if number(d["steps"]) != float64(steps[date]) {
			w.t.Errorf("%s: %v steps, want %d", date, d["steps"], steps[date])
		}
	}
	if got != len(want) || got == 0 {
		w.t.Errorf("%d days, want %d", got, len(want))
	}
}

// TestDaemonPulls has the daemon pull for two people by itself, of whom one takes back the consent and gives it again.
func TestDaemonPulls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowDay, 6, nil, "alexandra", "bo")
	for _, p := range w.people {
		w.SetConsent(p)
		if stdout, _ := w.connect(exitDone, w.browser, "watch", "--person", p); !strings.Contains(stdout, "as watch of "+p) {
			t.Errorf("connect says %s", stdout)
		}
	}
	if _, said := w.walkd(exitUsage, "connect", "watch"); !strings.Contains(said, "say whose with --person") {
		t.Errorf("connect says %s", said)
	}
	base, stop := w.start()
	page := func(what ...string) {
		t.Helper()
		w.eventually(func() error {
			code, text := get(t, base+"/")
			if code != http.StatusOK {
				return fmt.Errorf("the page is %d", code)
			}
			for _, want := range what {
				if !strings.Contains(text, want) {
					return fmt.Errorf("the page has no %q: %s", want, text)
				}
			}
			return nil
		})
	}
	metric := func(want string) {
		t.Helper()
		w.eventually(func() error {
			_, text := get(t, base+"/metrics")
			if !regexp.MustCompile("(?m)^" + want + "$").MatchString(text) {
				return fmt.Errorf("/metrics has no %s: %s", want, text)
			}
			return nil
		})
	}
	page("<h1>alexandra</h1>", "<h1>bo</h1>", "more minutes today", "phone: delivered", "✓ ok")
	w.eventually(func() error {
		if n := len(w.Shown(phoneTopic)); n != 2 {
			return fmt.Errorf("%d messages", n)
		}
		if n := len(w.days()); n != 2*6 {
			return fmt.Errorf("%d days", n)
		}
		return nil
	})
	for _, p := range w.people {
		w.agree(p)
	}
	metric(`walkd_source_up\{kind="google-health",person_id="1",source="watch"\} 1`)
	metric(`walkd_delivery_attempts_total\{kind="ntfy",outcome="delivered"\} 2`)

	w.Revoke("bo")
	w.Break(simulate.Fault{Kind: healthsim.ExpireTokens})
	stdout, said := w.walkd(exitFailed, "sync")
	if !strings.HasPrefix(stdout, "alexandra, watch: ") ||
		!regexp.MustCompile("(?m)^bo, watch: .*the consent has ended .*run `walkd connect watch --person bo`$").MatchString(said) {
		t.Errorf("sync says %s%s", stdout, said)
	}
	w.eventually(func() error {
		shown := w.Shown(phoneTopic)
		if last := shown[len(shown)-1]; len(shown) != 3 || last.Title != "Connect Google Health again" ||
			!strings.Contains(last.Message, "the consent has ended or was withdrawn. Run `walkd connect watch --person bo`.") {
			return fmt.Errorf("the phone shows %+v", shown)
		}
		return nil
	})
	asked := w.asked()
	for range 3 {
		w.walkd(exitFailed, "sync", "--person", "bo")
		w.walkd(exitFailed, "check", "--online") // which asks for alexandra
	}
	if n := w.asked() - asked; n > 3*2 {
		t.Errorf("%d requests after the consent has ended", n)
	}
	page("! needs consent", "the consent has ended or was withdrawn", "run <code>walkd connect watch --person bo</code>.", "✓ ok")
	metric(`walkd_source_needs_consent\{kind="google-health",person_id="2",source="watch"\} 1`)
	metric(`walkd_source_needs_consent\{kind="google-health",person_id="1",source="watch"\} 0`)
	if stdout, _ := w.walkd(exitDone, "today", "--person", "bo"); !strings.Contains(stdout, "! watch: needs consent") {
		t.Errorf("today says %s", stdout)
	}
	w.walkd(exitDone, "sync", "--person", "alexandra")

	w.SetConsent("bo")
	w.connect(exitDone, w.browser, "watch", "--person", "bo")
	metric(`walkd_source_needs_consent\{kind="google-health",person_id="2",source="watch"\} 0`)
	w.walkd(exitDone, "sync")
	if stdout, _ := w.walkd(exitDone, "check", "--online"); strings.Contains(stdout, "✗") {
		t.Errorf("check says %s", stdout)
	}
	_, text := get(t, base+"/metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Text, `use base unit "seconds"`) { // of days
			t.Errorf("/metrics: %s: %s", p.Metric, p.Text)
		}
	}
	if strings.Contains(text, "alexandra") {
		t.Error("/metrics names people")
	}
	// A source that the config has got since the daemon started.
	w.people = append(w.people, "cleo")
	w.configure()
	if _, said := w.walkd(exitFailed, "connect", "watch", "--person", "cleo"); !strings.Contains(said, "restart") {
		t.Errorf("connect says %s", said)
	}
	if _, said := w.walkd(exitFailed, "sync"); !regexp.MustCompile("(?m)^cleo, watch: .* restart that$").MatchString(said) {
		t.Errorf("sync says %s", said)
	}
	if _, said := w.walkd(exitFailed, "sync", "--person", "cleo"); !strings.Contains(said, "restart that") {
		t.Errorf("sync says %s", said)
	}
	if code, log := stop(); code != exitDone || strings.Contains(log, "level=ERROR") {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}
