package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
	"github.com/walkd/walkd/internal/simulate/polarsim"
	"github.com/walkd/walkd/internal/simulate/withingssim"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// A cloud is a simulated provider on this machine, and a walkd that has it as its only source, called band.
type cloud struct {
	*machine
	*httptest.Server
	cloudService
	redirect string
	client   string       // the client secret that the config has
	echo     atomic.Int64 // the status with which the provider tells whoever asks all that they said; 0: it does not
	down     atomic.Bool
	asked    atomic.Int64
}

// A cloudService is what tests want of a provider, whichever it is.
type cloudService struct {
	kind, service string
	http.Handler
	consent string // the path of the page where people consent
	keys    func(base string) string
	secrets func() []string
	as      func(person string) // who consents from now on
	revoke  func(person string)
	clear   func()
	faults  []cloudFault
}

// A cloudFault is a way in which a provider fails.
type cloudFault struct {
	name string
	on   func()
}

const cloudSecret = "0f8fad5b-d9cb-469f-a165-70867728950e"

// clouds are the providers besides Google Health, which has tests of its own.
var clouds = map[string]func(now func() time.Time, redirect string, p *simulate.Person) cloudService{
	"withings": func(now func() time.Time, redirect string, p *simulate.Person) cloudService {
		s := withingssim.New(withingssim.Options{
			Now: now, Wall: time.Now, ClientID: "walkd", ClientSecret: cloudSecret, RedirectURLs: []string{redirect},
			Consent: p.Name(), Repeats: true, PerMinute: 10_000,
		})
		s.Add(p)
		c := cloudService{
			kind: "withings", service: "Withings", Handler: s, consent: "/oauth2_user/authorize2", secrets: s.Secrets,
			as: s.SetConsent, revoke: s.Revoke, clear: s.Clear,
			keys: func(base string) string {
				return fmt.Sprintf("api_url = %q\nauth_url = %q\n", base, base+"/oauth2_user/authorize2")
			},
		}
		for _, k := range []simulate.Kind{
			withingssim.ExpireTokens, withingssim.InvalidGrant, withingssim.Unauthorized, withingssim.Forbidden, withingssim.Throttle,
			withingssim.InvalidParams, withingssim.TimedOut, withingssim.BadState, withingssim.Trouble, withingssim.ServerError,
			simulate.HTMLPage, simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped, withingssim.NoBody,
		} {
			c.faults = append(c.faults, cloudFault{string(k), func() { s.Break(simulate.Fault{Kind: k}) }},
				cloudFault{string(k) + " for a token", func() {
					s.Break(simulate.Fault{Kind: withingssim.ExpireTokens})
					s.Break(simulate.Fault{Kind: k, Path: "/v2/oauth2"})
				}})
		}
		return c
	},
	"polar": func(now func() time.Time, redirect string, p *simulate.Person) cloudService {
		s := polarsim.New(polarsim.Options{
			Now: now, Wall: time.Now, ClientID: "walkd", ClientSecret: cloudSecret, RedirectURLs: []string{redirect}, Consent: p.Name(),
		})
		s.Add(p)
		c := cloudService{
			kind: "polar", service: "Polar", Handler: s, consent: "/oauth2/authorization", secrets: s.Secrets,
			as: s.SetConsent, revoke: s.Revoke, clear: s.Clear,
			keys: func(base string) string {
				return fmt.Sprintf("api_url = %q\nauth_url = %q\ntoken_url = %q\n", base, base+"/oauth2/authorization",
					base+"/v2/oauth2/token")
			},
		}
		for _, k := range []simulate.Kind{
			polarsim.Unauthorized, polarsim.Forbidden, polarsim.Throttle, polarsim.ThrottleFor, polarsim.ServerError,
			polarsim.Unavailable, simulate.HTMLPage, simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped, polarsim.Null,
		} {
			c.faults = append(c.faults, cloudFault{string(k), func() { s.Break(simulate.Fault{Kind: k}) }},
				cloudFault{string(k) + " for a token", func() { s.Break(simulate.Fault{Kind: k, Path: "/v2/oauth2/token"}) }})
		}
		return c
	},
	"oura": func(now func() time.Time, redirect string, p *simulate.Person) cloudService {
		s := ourasim.New(ourasim.Options{
			Now: now, Wall: time.Now, ClientID: "walkd", ClientSecret: cloudSecret, RedirectURLs: []string{redirect}, Consent: p.Name(),
		})
		s.Add(p)
		c := cloudService{
			kind: "oura", service: "Oura", Handler: s, consent: "/oauth/authorize", secrets: s.Secrets,
			as: s.SetConsent, revoke: s.Revoke, clear: s.Clear,
			keys: func(base string) string {
				return fmt.Sprintf("api_url = %q\nauth_url = %q\n", base, base+"/oauth/authorize")
			},
		}
		for _, k := range []simulate.Kind{
			ourasim.ExpireTokens, ourasim.InvalidGrant, ourasim.BadRequest, ourasim.Unauthorized, ourasim.NoScope, ourasim.NoMembership,
			ourasim.Forbidden, ourasim.Unprocessable, ourasim.OldApp, ourasim.Throttle, ourasim.ThrottleFor, ourasim.ThrottleApp,
			ourasim.ServerError, ourasim.Unavailable, ourasim.Null, ourasim.EmptyPage, ourasim.SamePage, simulate.HTMLPage,
			simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped,
		} {
			c.faults = append(c.faults, cloudFault{string(k), func() { s.Break(simulate.Fault{Kind: k}) }},
				cloudFault{string(k) + " for a token", func() {
					s.Break(simulate.Fault{Kind: ourasim.ExpireTokens})
					s.Break(simulate.Fault{Kind: k, Path: "/oauth/token"})
				}})
		}
		return c
	},
}

// newCloud returns a cloud of a kind, with a person called alexandra who has had a device for six days.
func newCloud(t *testing.T, kind string) *cloud {
	t.Helper()
	c := &cloud{machine: newMachine(t, slowDay), redirect: "http://localhost:8099/oauth/callback", client: cloudSecret}
	life, err := simulate.Volunteer()
	if err != nil {
		t.Fatal(err)
	}
	home := location(t, "Europe/Oslo")
	p, err := simulate.NewPerson(simulate.Plan{
		Name: "alexandra", Life: life, Home: home, First: walking.DayOf(c.now().In(home).Date()) - 6,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.cloudService = clouds[kind](c.now, c.redirect, p)
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	c.configure()
	return c
}

func (c *cloud) configure() {
	c.write("config.toml", fmt.Sprintf("data_dir = %q\nlog_level = \"debug\"\n[web]\nlisten = \"127.0.0.1:0\"\n[[person]]\n"+
		"name = \"alexandra\"\ntimezone = \"Europe/Oslo\"\n[[person.source]]\nkind = %q\nname = \"band\"\nclient_id = \"walkd\"\n"+
		"client_secret = %q\nredirect_url = %q\n%s", c.dir, c.kind, c.client, c.redirect, c.keys(c.URL)))
}

// serve answers as the provider does, or as what is wrong with it.
func (c *cloud) serve(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	status := int(c.echo.Load())
	switch {
	case c.down.Load():
		panic(http.ErrAbortHandler)
	case status == 0 || r.URL.Path == c.consent:
		c.Handler.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body) // what there is
	form, _ := url.ParseQuery(string(body))
	_, basic, _ := r.BasicAuth()
	said := r.Header.Get("Authorization") + " " + basic
	for name := range form {
		said += " " + name + " " + form.Get(name)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // whoever asks may have gone
		"status": 503, "error": said, "error_description": said, "title": said, "detail": said, "message": said,
	})
}

// consents connects by pasting the address that the browser ends at. It has to end with code.
func (c *cloud) consents(code int) (said string) {
	c.t.Helper()
	out, errs := c.connect(code, func(address string, paste io.Writer) { fmt.Fprintln(paste, c.answer(address)) }, "band", "--paste")
	return out + errs
}

// everything runs all commands, which may fail, and returns all that they say, with what the store keeps.
func (c *cloud) everything() string {
	c.t.Helper()
	var said strings.Builder
	for _, args := range []string{"sync", "sync band --from 2026-11-18", "check --online", "check", "today", "today --json", "nudges preview"} {
		a, stdout, stderr := c.app()
		code := a.run(c.t.Context(), strings.Fields(args))
		text := stdout.String() + stderr.String()
		fmt.Fprintf(&said, "$ walkd %s\n%s\n", args, text)
		if code == exitFailed && strings.TrimSpace(text) == "" {
			c.t.Errorf("walkd %s fails without a word", args)
		}
		if strings.Contains(text, "has a bug") || strings.Contains(text, "panic") {
			c.t.Errorf("walkd %s: %s", args, text)
		}
	}
	r, err := store.OpenReader(c.t.Context(), c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Close()
	accounts, err := r.Accounts(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, a := range accounts {
		said.Write(a.State)
	}
	return said.String()
}

// keepsQuiet looks for every secret in what was said.
func (c *cloud) keepsQuiet(said string) {
	c.t.Helper()
	secrets := append(c.secrets(), cloudSecret)
	if found := leaked(said, secrets); found != "" {
		c.t.Errorf("%s is told in\n%s", found, said)
	}
}

// TestNoSecretOfACloudGetsOut brings on every fault of every provider, and looks for every secret in all that is said
// anywhere. Each fault has a machine of its own, since limits would slow one down.
func TestNoSecretOfACloudGetsOut(t *testing.T) {
	t.Parallel()
	for kind := range clouds {
		names := []string{"none"}
		for _, f := range newCloud(t, kind).faults {
			names = append(names, f.name)
		}
		for i, name := range names {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				c := newCloud(t, kind)
				said := c.consents(exitDone)
				stop := func() (int, string) { return exitDone, "" }
				if i%8 == 0 && (i == 0 || kind != "withings") { // now and then beside a daemon; Withings makes that wait
					_, stop = c.start()
				}
				if i > 0 {
					c.faults[i-1].on()
				}
				said += c.everything()
				c.clear()
				said += c.everything()
				if !strings.HasPrefix(name, "429") { // what the provider has said of its limits still holds, and would be waited for
					said += c.consents(exitDone) + c.everything()
				}
				code, log := stop()
				if code != exitDone {
					t.Errorf("the daemon ends with %d: %s", code, log)
				}
				c.keepsQuiet(said + log)
				if n := len(c.secrets()); n < 3 {
					t.Errorf("only %d secrets", n)
				}
				if name == "none" && !strings.Contains(said, c.service+" answers") {
					t.Errorf("nothing was pulled: %s", said)
				}
			})
		}
		for _, status := range echoes {
			t.Run(fmt.Sprintf("%s, told all by %d", kind, status), func(t *testing.T) {
				t.Parallel()
				c := newCloud(t, kind)
				said := c.consents(exitDone)
				c.echo.Store(int64(status))
				c.keepsQuiet(said + c.everything() + c.consents(exitFailed))
			})
		}
	}
}

// TestCloudGoesWrong does what people and providers do wrong: each gives a message that says what to do.
func TestCloudGoesWrong(t *testing.T) {
	t.Parallel()
	for kind := range clouds {
		for _, tt := range []struct {
			name string
			do   func(c *cloud) (said string)
			want []string // any of these
		}{
			{"wrong client secret", func(c *cloud) string {
				c.client = "another"
				c.configure()
				return c.consents(exitFailed)
			}, []string{"check client_id and client_secret"}},
			{"wrong redirect", func(c *cloud) string {
				c.redirect = "http://localhost:1/oauth/callback"
				c.configure()
				page := ""
				_, said := c.connect(exitFailed, func(address string, paste io.Writer) {
					client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
					resp, err := client.Get(address)
					if err != nil {
						c.t.Error(err)
					} else {
						text, _ := io.ReadAll(resp.Body) // what there is
						page = string(text)
						_ = resp.Body.Close()
						fmt.Fprint(paste, resp.Header.Get("Location")) // or nothing: the provider says so itself
					}
					fmt.Fprintln(paste)
				}, "band", "--paste")
				return page + said
			}, []string{"redirect", "Redirect"}},
			{"consent refused", func(c *cloud) string {
				c.as("nobody")
				return c.consents(exitFailed)
			}, []string{"connect again if you change your mind"}},
			{"code used twice", func(c *cloud) string {
				var used string
				c.connect(exitDone, func(address string, paste io.Writer) {
					used = c.answer(address)
					fmt.Fprintln(paste, used)
				}, "band", "--paste")
				before, err := url.Parse(used)
				if err != nil {
					c.t.Fatal(err)
				}
				_, said := c.connect(exitFailed, func(address string, paste io.Writer) {
					now, err := url.Parse(c.answer(address))
					if err != nil {
						c.t.Error(err)
						return
					}
					q := now.Query()
					q.Set("code", before.Query().Get("code"))
					now.RawQuery = q.Encode()
					fmt.Fprintln(paste, now)
				}, "band", "--paste")
				return said
			}, []string{"used already"}},
			{"consent withdrawn", func(c *cloud) string {
				c.consents(exitDone)
				c.walkd(exitDone, "sync")
				c.revoke("alexandra")
				_, said := c.walkd(exitFailed, "sync")
				return said
			}, []string{"run `walkd connect band`", "walkd run asks again by itself", "renews it by itself", "only just given", "withdrawn"}},
			{"provider down", func(c *cloud) string {
				c.consents(exitDone)
				c.down.Store(true)
				_, said := c.walkd(exitFailed, "sync")
				asked := c.asked.Load()
				for range 5 {
					c.walkd(exitFailed, "check", "--online")
				}
				if n := c.asked.Load() - asked; n > 5*2 {
					c.t.Errorf("%d requests to a provider that is down, for five questions", n)
				}
				c.down.Store(false)
				out, _ := c.walkd(exitDone, "sync")
				if !strings.Contains(out, " new, ") {
					c.t.Errorf("once it is back: %s", out)
				}
				return said
			}, []string{"no answer from", "no answer when asked"}},
			{"clock an hour fast", func(c *cloud) string {
				now := c.now
				c.now = func() time.Time { return now().Add(time.Hour) } // of walkd, not of the provider
				c.consents(exitDone)
				out, said := c.walkd(exitDone, "sync")
				return out + said
			}, []string{" new, "}},
			{"clock an hour slow", func(c *cloud) string {
				now := c.now
				c.now = func() time.Time { return now().Add(-time.Hour) }
				c.consents(exitDone)
				out, said := c.walkd(exitDone, "sync")
				c.walkd(exitDone, "check") // what is an hour ahead is within what walkd tolerates
				return out + said
			}, []string{" new, "}},
			{"ended by hand", func(c *cloud) string {
				c.consents(exitDone)
				c.walkd(exitDone, "sync")
				out, said := c.walkd(exitDone, "connect", "band", "--revoke")
				_, after := c.walkd(exitFailed, "sync")
				if !strings.Contains(after, "not connected") {
					c.t.Errorf("sync then says %s", after)
				}
				if stdout, _ := c.walkd(exitDone, "days"); !strings.Contains(stdout, "2026") {
					c.t.Errorf("the days are gone: %s", stdout)
				}
				return out + said
			}, []string{"no longer connected", "ended"}},
		} {
			t.Run(kind+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				c := newCloud(t, kind)
				said := tt.do(c)
				if !slices.ContainsFunc(tt.want, func(want string) bool { return strings.Contains(said, want) }) {
					t.Errorf("walkd says\n%s\nwant one of %q", said, tt.want)
				}
				c.keepsQuiet(said)
			})
		}
	}
}
