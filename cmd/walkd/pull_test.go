package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/notify/ntfy/ntfytest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

// slowDay is an afternoon on which the simulated people have walked little, as their data has it.
const slowDay = "2026-11-20T14:20:00+01:00"

const (
	phoneToken = "tk_thephonestokenisasecret00000"
	phoneTopic = "a-topic-that-nobody-guesses"
)

// A world is a simulated Google Health and ntfy on this machine, and the config of a walkd that uses them.
type world struct {
	*machine
	*healthsim.Service
	*ntfytest.Server
	url, ntfy string
	redirect  string
	secret    string // the client secret that the config has
	people    []string
	more      string // further config
	lives     map[string]*simulate.Person
}

// newWorld returns a world at a time, in which people have a watch each. change may be nil.
func newWorld(t *testing.T, now string, change func(*healthsim.Options), people ...string) *world {
	t.Helper()
	address, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		machine: newMachine(t, now), redirect: "http://" + address + "/oauth/callback", secret: "GOCSPX-thesecretofthisclient",
		people: people, lives: map[string]*simulate.Person{},
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
			Name: name, Life: life, Home: home, First: today - walking.Day(life.Days()-1), Zeros: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.Add(p)
		w.lives[name] = p
	}
	health := httptest.NewServer(w.Service)
	t.Cleanup(health.Close)
	w.url = health.URL
	w.Server = ntfytest.New(ntfytest.Options{Private: true, Users: []ntfytest.User{
		{Name: "walkd", Token: phoneToken, Write: []string{phoneTopic}, Read: []string{phoneTopic}},
	}})
	ntfy := httptest.NewServer(w.Server)
	t.Cleanup(ntfy.Close)
	w.ntfy = ntfy.URL
	w.configure()
	return w
}

// configure writes the config anew.
func (w *world) configure() {
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir = %q\n%s\n[web]\nlisten = \"127.0.0.1:0\"\n", w.dir, w.more)
	for _, name := range w.people {
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
[[person.channel]]
kind = "ntfy"
name = "phone"
url = "%s/%s"
token = %q
`, name, w.secret, w.redirect, w.url, w.url, w.url, w.ntfy, phoneTopic, phoneToken)
	}
	w.write("config.toml", b.String())
}

// ServeHTTP is neither of the two.
func (w *world) ServeHTTP() {}

var consentAddress = regexp.MustCompile(`(?m)^http://127\.0\.0\.1\S+$`)

// connect runs `walkd connect` and opens the address that it prints in browse, which may be given to paste. It has to end
// with code.
func (w *world) connect(code int, browse func(address string, paste io.Writer), args ...string) (stdout, stderr string) {
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
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if found := consentAddress.FindString(said.String()); found != "" && strings.Contains(said.String(), " ...") ||
				strings.Contains(said.String(), "press Enter:") {
				browse(found, paste)
				_ = paste.Close()
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
	if got != code {
		w.t.Fatalf("walkd connect: exit code %d, want %d: %s%s", got, code, out, said)
	}
	return out.String(), said.String()
}

// browser opens an address as a browser does that follows where it is sent.
func (w *world) browser(address string, _ io.Writer) {
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
func (w *world) answer(address string) string {
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
			name: "500 for the token", config: func(w *world) { w.Break(healthsim.Fault{Kind: healthsim.ServerError, Path: "/token"}) },
			want: "Google Health: cannot give access now \\(500 Internal Server Error\\)",
		},
		{
			name: "a page for the token", config: func(w *world) { w.Break(healthsim.Fault{Kind: healthsim.HTMLSuccess, Path: "/token"}) },
			want: "Google Health: ",
		},
		{
			name: "half a token", config: func(w *world) { w.Break(healthsim.Fault{Kind: healthsim.Truncated, Path: "/token"}) },
			want: "Google Health: ",
		},
		{
			name: "no answer for the token", config: func(w *world) { w.Break(healthsim.Fault{Kind: healthsim.Dropped, Path: "/token"}) },
			want: "no answer|EOF",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, slowDay, c.options, "alexandra")
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
	w := newWorld(t, slowDay, func(o *healthsim.Options) { o.RedirectURLs = []string{"http://localhost:1/"} }, "alexandra")
	a, _, said := w.app()
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- a.run(ctx, []string{"connect", "watch"}) }()
	w.eventually(func() error {
		address := consentAddress.FindString(said.String())
		if !strings.Contains(said.String(), " ...") {
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
	w := newWorld(t, slowDay, nil, "alexandra")
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
	kind  healthsim.Kind
	want  string
	phase string
}{
	{healthsim.Unauthorized, "refuses access that it has only just given: run `walkd connect watch`", "needs consent"},
	{healthsim.Forbidden, "the consent has lost its effect .*: take the access away .*, and connect it again", "needs consent"},
	{healthsim.InvalidGrant, "the consent has ended or was withdrawn .*: run `walkd connect watch`", "needs consent"},
	{healthsim.Throttle, "answered 429 Too Many Requests", "throttled"},
	{healthsim.ThrottleFor, "answered 429 Too Many Requests", "throttled"},
	{healthsim.ServerError, "answered 500 Internal Server Error", "failing"},
	{healthsim.HTMLPage, "answered 502 Bad Gateway", "failing"},
	{healthsim.HTMLSuccess, "it is a web page instead of data", "failing"},
	{healthsim.Truncated, "it broke off", "failing"},
	{healthsim.Dropped, "no answer from 127.0.0.1", "failing"},
}

func TestSyncFailures(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(string(f.kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, slowDay, nil, "alexandra")
			w.connect(exitDone, w.browser, "watch")
			w.breakAs(f.kind, "alexandra")
			before := w.asked()
			stdout, stderr := w.walkd(exitFailed, "sync")
			want := regexp.MustCompile(f.want)
			if !want.MatchString(stderr) || stdout != "" {
				t.Errorf("sync says %q, %q, want %q", stdout, stderr, f.want)
			}
			w.walkd(exitFailed, "sync")
			if n := w.asked() - before; n > noTwice+1 {
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
func (w *world) breakAs(kind healthsim.Kind, person string) {
	if kind == healthsim.InvalidGrant {
		w.Revoke(person)
		return
	}
	w.Break(healthsim.Fault{Kind: kind})
}
