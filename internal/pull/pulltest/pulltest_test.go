package pulltest_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/oura"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/ourasim"
)

// A watched test notes its errors instead of failing.
type watched struct {
	testing.TB
	errors int
}

func (w *watched) Errorf(string, ...any) { w.errors++ }

func newRig(t testing.TB) (*pulltest.Rig, *ourasim.Service) {
	t.Helper()
	now := pulltest.NewClock(pulltest.At("2026-11-20T11:03:20Z"))
	person := pulltest.NewPerson(t, simulate.Plan{Home: time.UTC}, now.Now(), 2)
	service := ourasim.New(ourasim.Options{
		Now: now.Now, Wall: now.Now, ClientID: "id", ClientSecret: "hush hush/hush", Consent: pulltest.Who,
		RedirectURLs: []string{oura.Defaults().RedirectURL},
	})
	service.Add(person)
	return pulltest.New(t, pulltest.Setup{
		Now: now, Service: service, Person: person, Takes: 7 * time.Second,
		Source: pulltest.Source{Name: "ring", Kind: "oura", Provider: func(base string, now *pulltest.Clock) ingest.Provider {
			s := oura.Defaults()
			s.ClientID, s.ClientSecret, s.APIURL, s.AuthURL = "id", "hush hush/hush", base, base+"/oauth/authorize"
			p := s.Provider("ring").(*oura.Provider) //nolint:errcheck,forcetypeassert // a test may panic
			p.KeepTime(now.Now)
			return p
		}},
	}), service
}

// A secret is found wherever it is told.
func TestQuiet(t *testing.T) {
	t.Parallel()
	w := &watched{TB: t}
	r, service := newRig(w)
	r.Connect()
	r.MustPoll()
	if r.Quiet(); w.errors > 0 {
		t.Fatal("a secret is told")
	}
	secrets := service.Secrets()
	if len(secrets) < 3 {
		t.Fatalf("%d secrets", len(secrets))
	}
	said := r.Said
	for _, secret := range secrets {
		for _, text := range []string{"it is " + secret, "https://oura.example/?token=" + url.QueryEscape(secret) + "&more"} {
			w.errors, r.Said = 0, append(said[:len(said):len(said)], text)
			if r.Quiet(); w.errors != 1 {
				t.Errorf("%d errors with %q told", w.errors, text)
			}
		}
	}
	w.errors, r.Said = 0, said
	if _, err := r.Log.Write([]byte(secrets[0])); err != nil {
		t.Fatal(err)
	}
	if r.Quiet(); w.errors != 1 {
		t.Errorf("%d errors with a secret in the log", w.errors)
	}
}

// Only the test and those who wait move the clock, and nobody moves it back.
func TestClock(t *testing.T) {
	t.Parallel()
	start := pulltest.At("2026-11-20T12:00:00+01:00")
	c := pulltest.NewClock(start)
	c.Set(start.Add(-time.Hour))
	c.Add(time.Minute)
	rings, stop := c.NewTimer(time.Hour)
	defer stop()
	if got, want := <-rings, pulltest.At("2026-11-20T12:01:00Z"); got != want || c.Now() != want {
		t.Errorf("it is %s, the timer rang at %s, want %s", c.Now(), got, want)
	}
}

// A rig lives: it connects, polls when it is time, counts what is asked, and what is stored outlives a restart.
func TestLive(t *testing.T) {
	t.Parallel()
	r, service := newRig(t)
	start := r.Now.Now()
	r.Connect()
	if took := r.Now.Now().Sub(start); took != 7*time.Second {
		t.Errorf("connecting took %s", took)
	}
	before := service.Requests()
	until := start.Add(3 * time.Hour)
	r.Live(until)
	if got := r.Now.Now(); got != until {
		t.Errorf("it is %s, want %s", got, until)
	}
	asked := 0
	for what, n := range r.Since(before) {
		if strings.HasSuffix(what, "/daily_activity") {
			asked += n
		}
	}
	if asked < 3 || asked > pulltest.Sum(r.Since(nil)) {
		t.Errorf("asked %v in three hours", r.Since(before))
	}
	stored, token := r.Inputs(pulltest.Ever()), r.Token().Access
	if len(stored) != 1 || len(stored[0].Records) == 0 || r.Stream().SyncedThrough.IsZero() {
		t.Errorf("stored %+v", stored)
	}
	r.Restart()
	if d := cmp.Diff(stored, r.Inputs(pulltest.Ever())); d != "" || token != r.Token().Access {
		t.Errorf("after a restart (-before +after):\n%s", d)
	}
	service.Revoke(pulltest.Who)
	r.Live(r.Now.Now().Add(time.Hour))
	r.NeedsConsent("the consent has ended or was withdrawn")
	r.Quiet()
}
