package pull_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
)

func (s *service) count(path string) int {
	n := 0
	for _, q := range s.asked() {
		if strings.HasPrefix(q, path) {
			n++
		}
	}
	return n
}

// Polls, the backfill and commands share one renewal, and a caller that goes away does not break it off.
func TestOneRenewalAtATime(t *testing.T) {
	for name, rotate := range map[string]bool{"rotating": true, "not rotating": false} {
		t.Run(name, func(t *testing.T) {
			r := begun(t, minutelyRig)
			r.service.lock(func() { r.service.rotate = rotate })
			r.now.add(2 * time.Hour)
			r.service.lock(func() { r.service.synced = r.now.Now() })
			arrived, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			r.service.lock(func() {
				r.service.fault = func(_ http.ResponseWriter, q *http.Request) bool {
					if q.URL.Path == "/token" {
						once.Do(func() { close(arrived); <-release })
					}
					return false
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			first := make(chan error, 1)
			go func() { _, err := r.Sync(ctx, pull.SyncRequest{}, nil); first <- err }()
			<-arrived
			var others sync.WaitGroup
			for range 8 {
				others.Go(func() {
					if err := r.probe(); err != nil {
						t.Error(err)
					}
				})
			}
			others.Go(func() {
				if _, err := r.Backfill(t.Context()); err != nil {
					t.Error(err)
				}
			})
			cancel()
			close(release)
			others.Wait()
			if err := <-first; !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that went away: %v", err)
			}
			if n := r.service.count("/token"); n != 1 {
				t.Errorf("%d renewals, want 1", n)
			}
			if s := r.state(); s.Problem != nil {
				t.Errorf("%+v", s.Problem)
			}
		})
	}
}

// A token that the service takes back early is renewed once and the request made again, with its body, in whichever way
// it is refused.
func TestRefusedToken(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *rig{"by the status": minutelyRig, "in an answer": politeRig} {
		t.Run(name, func(t *testing.T) {
			r := begun(t, start)
			r.service.walk(noon.Add(30*time.Minute), 10, 100)
			r.service.lock(func() { clear(r.service.access) })
			r.later(time.Hour - 2*time.Minute)
			if s := r.state(); s.Problem != nil {
				t.Errorf("%+v", s.Problem)
			}
			r.same()
			if n := r.service.count("/token"); n != 1 {
				t.Errorf("%d renewals, want 1", n)
			}
			// One that refuses even a new token may be in trouble for a while. It needs the person only if that lasts, and is
			// not asked again and again.
			r.service.lock(func() { r.service.life = -time.Hour; clear(r.service.access) })
			r.later(time.Hour)
			if s := r.state(); s.Phase != pull.Failing {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			if n := r.service.count("/"); n > 4 {
				t.Errorf("%d requests, want a renewal and a second try of one", n)
			}
			for range 4 {
				r.later(2 * time.Hour)
			}
			if s := r.state(); s.Phase != pull.NeedsConsent || s.Problem.Remedy != "run `walkd connect watch`" {
				t.Errorf("%+v %+v", s, s.Problem)
			}
			r.service.lock(func() { r.service.life = time.Hour })
			r.later(2 * time.Hour)
			if s := r.state(); s.Phase != pull.NeedsConsent {
				t.Errorf("%+v, though nobody has connected it again", s)
			}
		})
	}
}

// However many ask at once, a renewal that fails is not tried again by each of them.
func TestFailedRenewalIsShared(t *testing.T) {
	r := begun(t, minutelyRig)
	r.now.add(2 * time.Hour)
	r.service.lock(func() {
		r.service.fault = func(w http.ResponseWriter, q *http.Request) bool { status(500)(w, q); return true }
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := r.probe(); err == nil {
				t.Error("no error")
			}
		})
	}
	all.Wait()
	if n := r.service.count("/"); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// A renewed token that cannot be stored is not used, and not lost while walkd runs.
func TestRenewalIsStoredFirst(t *testing.T) {
	r := begun(t, minutelyRig)
	r.service.lock(func() { r.service.rotate = true })
	r.now.add(2 * time.Hour)
	r.service.lock(func() {
		r.service.fault = func(_ http.ResponseWriter, q *http.Request) bool {
			if q.URL.Path == "/token" {
				_ = r.store.Close()
			}
			return false
		}
	})
	if _, err := r.Poll(t.Context()); err == nil {
		t.Error("a store that is closed is no error")
	}
	if got := r.service.asked(); len(got) != 1 || got[0] != "/token" {
		t.Errorf("asked %v, want nothing after the renewal", got)
	}
}

// What a person has to do about a consent that has ended: nothing is asked until then, also after a start.
func TestConsentEnds(t *testing.T) {
	r := begun(t, minutelyRig)
	r.service.walk(noon.Add(-time.Hour), 10, 100)
	r.service.lock(func() { clear(r.service.refresh) })
	r.later(2 * time.Hour)
	s := r.state()
	if s.Phase != pull.NeedsConsent || !strings.Contains(s.Problem.Text, "ended or was withdrawn") || !s.Next.IsZero() {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	r.service.asked()
	for range 20 {
		r.now.add(time.Hour)
		r.poll()
		r.backfill(1)
	}
	r.restart()
	r.poll()
	results, err := r.Sync(t.Context(), pull.SyncRequest{}, nil)
	var e *ingest.Error
	if err != nil || !errors.As(results[0].Err, &e) || e.Class != ingest.Auth || e.Remedy != "run `walkd connect watch`" {
		t.Errorf("sync: %v, %v", results, err)
	}
	if got := r.service.asked(); len(got) > 0 {
		t.Errorf("asked %v", got)
	}
	if n := strings.Count(r.log.String(), "cannot pull"); n != 1 {
		t.Errorf("the log tells of it %d times", n)
	}
	// Another secret in the config may help: it is tried once.
	r.accounts[0].Provider.(*minutely).Config.ClientSecret += "2"
	r.renew()
	r.poll()
	r.poll()
	if n := r.service.count("/"); n != 1 {
		t.Errorf("after a change in the config: %d requests, want 1", n)
	}
	if s := r.state(); !strings.Contains(s.Problem.Remedy, "client_secret") {
		t.Errorf("%+v", s.Problem)
	}
	r.accounts[0].Provider.(*minutely).Config.ClientSecret = clientSecret
	r.renew()
	r.connect()
	r.poll()
	r.same()
	if s := r.state(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
}

const crashVariable = "WALKD_PULL_CRASH"

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	spec := os.Getenv(crashVariable)
	if spec == "" {
		t.Skip("only run by TestCrash")
	}
	parts := strings.SplitN(spec, " ", 4)
	point, base, dir := parts[0], parts[1], parts[2]
	wall, err := time.Parse(time.RFC3339Nano, parts[3])
	if err != nil {
		t.Fatal(err)
	}
	now := newClock(wall)
	r := &rig{t: t, now: now, dir: dir, log: &lockedBuffer{}}
	r.accounts = one("minutely", newMinutelyAt(&service{wall: now}, base, "watch"))
	r.options = pull.Options{Clock: now, Wall: now, Transport: killer{point, &http.Transport{}}}
	r.open()
	_, err = r.Poll(t.Context())
	t.Fatalf("the child outlived its poll: %v", err)
}

// killer kills its process: before the answer with a token is handed on, or before the first use of a new token.
type killer struct {
	point string
	next  http.RoundTripper
}

func (k killer) RoundTrip(req *http.Request) (*http.Response, error) {
	token := req.URL.Path == "/token"
	if k.point == "use" && !token {
		k.die()
	}
	resp, err := k.next.RoundTrip(req)
	if k.point == "commit" && token {
		_, _ = io.ReadAll(resp.Body)
		k.die()
	}
	return resp, err
}

func (k killer) die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

func TestCrash(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		for _, point := range []string{"commit", "use"} {
			t.Run(fmt.Sprintf("rotating %t, before the %s", rotate, point), func(t *testing.T) {
				r := begun(t, minutelyRig)
				r.service.walk(noon.Add(time.Hour), 10, 100)
				r.service.lock(func() { r.service.rotate = rotate; r.service.synced = noon.Add(2 * time.Hour) })
				r.now.add(2 * time.Hour)
				if err := r.store.Close(); err != nil {
					t.Fatal(err)
				}
				child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
				child.Env = append(os.Environ(), crashVariable+"="+strings.Join([]string{
					point, r.service.URL, r.dir, r.now.Now().Format(time.RFC3339Nano),
				}, " "))
				out, err := child.CombinedOutput()
				var ended *exec.ExitError
				if !errors.As(err, &ended) || ended.Exited() {
					t.Fatalf("the child was not killed: %v\n%s", err, out)
				}
				if n := r.service.count("/token"); n != 1 {
					t.Fatalf("the child renewed %d times\n%s", n, out)
				}
				r.open()
				r.poll()
				if rotate && point == "commit" {
					s := r.state()
					if s.Phase != pull.NeedsConsent || s.Problem.Remedy != "run `walkd connect watch`" {
						t.Fatalf("%+v %+v", s, s.Problem)
					}
					for range 10 {
						r.now.add(time.Hour)
						r.poll()
					}
					if n := r.service.count("/"); n != 1 {
						t.Errorf("%d requests with a refresh token that is lost, want 1", n)
					}
					r.connect()
					r.poll()
				} else if n := r.service.count("/token"); (n == 1) != (point == "commit") {
					t.Errorf("%d renewals after the crash", n)
				}
				r.same()
				if s := r.state(); s.Phase != pull.OK {
					t.Errorf("%+v %+v", s, s.Problem)
				}
			})
		}
	}
}

// Nothing of a token is readable by others.
func TestFilesArePrivate(t *testing.T) {
	r := begun(t, minutelyRig)
	info, err := os.Stat(filepath.Join(r.dir, store.FileName))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// The refresh token of a service that does not rotate it is the oldest secret of all, and the last to be shown.
func TestOldSecretsStaySecret(t *testing.T) {
	r := begun(t, minutelyRig)
	for range 80 {
		r.later(2 * time.Hour) // renews
	}
	for range 80 {
		if _, err := r.Begin(t.Context(), "alex", "watch"); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	r.service.lock(func() { all = append(all, r.service.secrets...) })
	var refresh string
	for _, s := range all {
		if strings.HasPrefix(s, "refresh") {
			refresh = s
		}
	}
	r.service.lock(func() {
		r.service.fault = func(w http.ResponseWriter, q *http.Request) bool {
			if q.URL.Path != "/probe" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"Tell":"it went wrong for ` + refresh + ` and ` + q.Header.Get("Authorization") + `"}`))
			return true
		}
	})
	r.later(30 * time.Minute) // without a renewal
	s := r.state()
	if s.Problem == nil || !strings.Contains(s.Problem.Text, "it went wrong") {
		t.Fatalf("%+v", s.Problem)
	}
	r.noLeaks()
}

// A renewal is everybody's: while the backfill has to wait for its share of a limit, it must not hold one up.
func TestRenewalDoesNotWaitForALimit(t *testing.T) {
	r := minutelyRig(t)
	r.accounts[0].Provider.(*minutely).spec.Limits = []ingest.Limit{{Name: "few", Requests: 10, Per: 80 * time.Second}}
	r.renew()
	r.service.lock(func() { r.service.life = 20 * time.Second; r.service.synced = noon })
	r.connect()
	r.poll()
	for len(r.state().BudgetLeft) > 0 && r.state().BudgetLeft[1].Left > 3 { // 70 % are for the backfill
		if err := r.probe(); err != nil {
			t.Fatal(err)
		}
	}
	r.now.add(25 * time.Second) // the token has expired
	began := time.Now()
	r.backfill(1)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the renewal was held up for %s", took)
	}
	s := r.state()
	if s.Problem == nil || s.Problem.Class != ingest.Throttled {
		t.Errorf("%+v %+v, want the backfill held up by the limit", s, s.Problem)
	}
	if err := r.probe(); err != nil {
		t.Errorf("others: %v", err)
	}
}
