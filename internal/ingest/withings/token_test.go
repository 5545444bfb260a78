package withings_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/pull/pulltest"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/withingssim"
)

const tokenPath = "/v2/oauth2"

// What can go wrong with a consent is told in words that help.
func TestConnectWrongly(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	try := func(takes time.Duration, want string) {
		t.Helper()
		_, err := r.TryConnect(takes)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	try(31*time.Second, "more than 30 seconds old")
	r.service.SetConsent("nobody")
	try(0, "you refused Withings the consent")
	r.service.SetConsent("ann")
	for kind, want := range map[simulate.Kind]string{
		withingssim.Throttle: "too many requests", withingssim.ServerError: "500", simulate.HTMLPage: "502",
		simulate.HTMLSuccess: "web page", simulate.Truncated: "broke off", simulate.Dropped: "no answer",
		withingssim.TimedOut: "took too long", withingssim.Trouble: "cannot answer now",
	} {
		r.service.Break(simulate.Fault{Kind: kind, Path: tokenPath})
		try(0, want)
		r.service.Clear()
	}
	r.Lose(tokenPath) // the code is used up, and its token lost
	try(0, "no answer")
	s := settingsAt(r.Server.URL)
	s.ClientSecret = "not-the-secret"
	r.Use(s.Provider("watch"))
	try(0, "check client_id and client_secret")
	r.Restart()
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.same()
	r.Quiet()
}

// A renewal whose answer is lost is made again with the same refresh token, which Withings still takes.
func TestLostRenewal(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.Connect()
	r.MustPoll()
	for range 3 {
		r.Now.Add(3 * time.Hour)
		r.Lose(tokenPath)
		r.MustPoll()
		if s := r.State(); s.Problem == nil || s.Problem.Class != ingest.Transient {
			t.Errorf("the answer was lost: %+v", s.Problem)
		}
		r.Live(r.Now.Now().Add(20 * time.Minute))
		if s := r.State(); s.Problem != nil {
			t.Errorf("%+v", s.Problem)
		}
	}
	r.Live(r.Now.Now().Add(2 * time.Hour))
	r.MustSync()
	r.same()
	r.Quiet()
}

// Once the new access token is used the old refresh token is dead: then only the person can help.
func TestDeadRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigPlan{})
	r.Connect()
	r.MustPoll()
	before := r.Token()
	r.Live(r.Now.Now().Add(4 * time.Hour))
	// As from a backup.
	if err := r.Store.PutToken(t.Context(), r.Key(), "withings", clientID, before); err != nil {
		t.Fatal(err)
	}
	r.Restart()
	asked := r.service.Requests()
	r.Live(r.Now.Now().Add(10 * time.Hour))
	r.NeedsConsent()
	if n := pulltest.Sum(r.asked(asked)); n != 1 {
		t.Errorf("%d requests with a dead token", n)
	}
	r.Connect()
	r.MustPoll()
	r.MustBackfill()
	r.same()
	r.Quiet()
}

// An access token that ends early is renewed at once and the question asked again, whether Withings takes the question
// of a refused token for asked or not.
func TestEarlyEnd(t *testing.T) {
	t.Parallel()
	for name, counts := range map[string]bool{"refused questions count": true, "refused questions do not count": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigPlan{option: func(o *withingssim.Options) { o.RefusedCount = counts }})
			r.Connect()
			r.MustPoll()
			r.MustBackfill()
			r.Now.Set(r.State().Next)
			r.service.Break(simulate.Fault{Kind: withingssim.ExpireTokens})
			before := r.service.Requests()
			r.MustPoll()
			if s := r.State(); s.Phase != pull.OK || !s.Success.After(at(noon)) {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			want := map[string]int{"requesttoken": 1, "getdevice": 2} // and of all others one
			if counts {
				want["getdevice"] = 3 // Withings has to be left alone for ten seconds
			}
			got := r.asked(before)
			for what, n := range want {
				if got[what] != n {
					t.Errorf("asked %v, want %d of %s", got, n, what)
				}
			}
			r.MustSync()
			r.same()
			// A consent that is withdrawn is known to be with the next poll.
			r.service.Revoke("ann")
			before = r.service.Requests()
			r.Live(r.Now.Now().Add(3 * time.Hour))
			if d := diff(map[string]int{"getdevice": 1, "requesttoken": 1}, r.asked(before)); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
			r.NeedsConsent()
			r.Quiet()
		})
	}
}

// A consent ends with all that was granted. What was not signed, or not with the secret, ends nothing.
func TestRevokeAtTheService(t *testing.T) {
	t.Parallel()
	for name, noRight := range map[string]bool{"with the right to": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigPlan{option: func(o *withingssim.Options) { o.NoRevoke = noRight }})
			p := providerAt(r.Server.URL, r.Now)
			client := r.Server.Client()
			consent := func() ingest.Token {
				t.Helper()
				token, err := p.Exchange(t.Context(), client, ingest.Consent{}, pulltest.Code(t, p.ConsentURL(ingest.Consent{State: "s"})))
				if err != nil || token.Account == "" {
					t.Fatalf("account %q, error %v", token.Account, err)
				}
				return token
			}
			token := consent()
			wrong := settingsAt(r.Server.URL)
			wrong.ClientSecret = "not-the-secret"
			var e *ingest.Error
			err := wrong.Provider("watch").(ingest.Revoker).Revoke(t.Context(), client, token)
			if !errors.As(err, &e) || e.Class != ingest.Auth || !strings.Contains(e.Remedy, "client_secret") {
				t.Errorf("with another secret: %v", err)
			}
			err = p.Revoke(t.Context(), client, token)
			if noRight {
				if !errors.As(err, &e) || e.Class != ingest.Permanent || !strings.Contains(e.Remedy, "selecteduser="+token.Account) {
					t.Errorf("without the right to: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Refresh(t.Context(), client, token); !errors.As(err, &e) || e.Remedy != ingest.ConnectAgain {
				t.Errorf("a renewal after the end: %v", err)
			}
			r.Now.Add(time.Minute)
			if err := p.Revoke(t.Context(), client, token); err != nil {
				t.Errorf("once more: %v", err)
			}
			r.Now.Add(time.Minute)
			again := consent()
			if err := p.Revoke(t.Context(), client, again); err != nil {
				t.Errorf("another consent: %v", err)
			}
		})
	}
}

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	p := pulltest.CrashChild(t, source(), pulltest.AroundRenewal(tokenPath))
	_, err := p.Poll(t.Context())
	t.Fatalf("the child outlived its poll: %v", err)
}

// However walkd ends around a renewal, the consent holds: before the answer is kept, the old refresh token is still good.
// It ends eight hours later.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{pulltest.BeforeCommit, pulltest.BeforeUse, pulltest.BeforeAnswer} {
		for _, down := range []time.Duration{0, 7 * time.Hour, 9 * time.Hour} {
			if down == 0 && point == pulltest.BeforeUse {
				continue // as after seven hours
			}
			t.Run(point+", down for "+down.String(), func(t *testing.T) {
				r := newRig(t, rigPlan{})
				r.Connect()
				r.MustPoll()
				r.Now.Add(3 * time.Hour)
				before := r.service.Requests()
				out := r.Crash(point)
				if n := r.asked(before)["requesttoken"]; n != 1 {
					t.Fatalf("the child renewed %d times\n%s", n, out)
				}
				r.Now.Add(down)
				r.Open()
				r.Live(r.Now.Now().Add(20 * time.Minute))
				if down > 8*time.Hour && point == pulltest.BeforeCommit {
					r.NeedsConsent()
					r.Connect()
					r.MustPoll()
				}
				if s := r.State(); s.Phase != pull.OK {
					t.Errorf("%+v %+v", s, s.Problem)
				}
				r.Live(r.Now.Now().Add(4 * time.Hour)) // the next renewal
				r.MustSync()
				if s := r.State(); s.Phase != pull.OK {
					t.Errorf("%+v %+v", s, s.Problem)
				}
				r.same()
			})
		}
	}
}
