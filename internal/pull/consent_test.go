package pull_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
)

// What goes wrong with the consent from before does not stop an account that was connected anew meanwhile.
func TestConnectAgainDuringAPoll(t *testing.T) {
	for name, path := range map[string]string{"renewal": "/token", "request": "/probe"} {
		t.Run(name, func(t *testing.T) {
			r := begun(t, minutelyRig)
			r.now.add(2 * time.Hour)
			arrived, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			r.service.lock(func() {
				r.service.synced = r.now.Now()
				r.service.fault = func(w http.ResponseWriter, q *http.Request) bool {
					hit := false
					if q.URL.Path == path {
						once.Do(func() { hit = true })
					}
					if !hit {
						return false
					}
					close(arrived)
					<-release
					if path == "/probe" {
						w.WriteHeader(http.StatusForbidden)
						return true
					}
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusBadRequest)
					_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
					return true
				}
			})
			c, err := r.Begin(t.Context(), "alex", "watch")
			if err != nil {
				t.Fatal(err)
			}
			polled := make(chan error, 1)
			go func() { _, err := r.Poll(t.Context()); polled <- err }()
			<-arrived
			finished := make(chan error, 1)
			go func() {
				_, err := r.Finish(t.Context(), r.service.consent(t, c.URL))
				finished <- err
			}()
			if path == "/probe" {
				if err := <-finished; err != nil {
					t.Fatal(err)
				}
				finished <- nil
			}
			close(release)
			if err := <-finished; err != nil {
				t.Fatal(err)
			}
			if err := <-polled; err != nil {
				t.Fatal(err)
			}
			r.poll()
			if s := r.state(); s.Phase != pull.OK {
				t.Errorf("%+v %+v", s, s.Problem)
			}
		})
	}
}

// Whoever goes away while the consent is being stored has given it all the same: its code can be used only once.
func TestConnectIsNotBrokenOffOnceGranted(t *testing.T) {
	r := minutelyRig(t)
	going := &goingAway{Transport: r.options.Transport.(*http.Transport)}
	r.options.Transport = going
	r.renew()
	r.options.Transport = going.Transport // to be closed
	for range 20 {                        // whether the end is noticed is chance
		c, err := r.Begin(t.Context(), "alex", "watch")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		going.cancel = cancel
		if _, err := r.Finish(ctx, r.service.consent(t, c.URL)); err != nil {
			t.Fatal(err)
		}
	}
}

// goingAway ends the caller's context once there is a token.
type goingAway struct {
	*http.Transport
	cancel func()
}

func (g *goingAway) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := g.Transport.RoundTrip(req)
	if err != nil || req.URL.Path != "/token" {
		return resp, err
	}
	all, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(all))
	g.cancel()
	return resp, err
}

// A crash at any point of storing a consent leaves no account that has one and yet waits for one.
func TestConsentIsStoredLast(t *testing.T) {
	r := begun(t, minutelyRig)
	r.service.lock(func() { clear(r.service.refresh) })
	r.later(2 * time.Hour)
	if s := r.state(); s.Phase != pull.NeedsConsent {
		t.Fatalf("%+v", s)
	}
	before := r.token()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// What a crash would leave undone is refused.
	if _, err := db.ExecContext(t.Context(), `CREATE TRIGGER crash BEFORE UPDATE ON account
		BEGIN SELECT RAISE(ABORT, 'crash'); END`); err != nil {
		t.Fatal(err)
	}
	c, err := r.Begin(t.Context(), "alex", "watch")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(t.Context(), r.service.consent(t, c.URL)); err == nil {
		t.Fatal("the state was stored")
	}
	if _, err := db.ExecContext(t.Context(), "DROP TRIGGER crash"); err != nil {
		t.Fatal(err)
	}
	if after := r.token(); after != before {
		t.Errorf("a new consent is stored, but the account still waits for one")
	}
	r.connect()
	r.poll()
	if s := r.state(); s.Phase != pull.OK {
		t.Errorf("%+v %+v", s, s.Problem)
	}
}

// token returns the access token that is stored.
func (r *rig) token() string {
	r.t.Helper()
	kept, err := r.store.Accounts(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return kept[0].Token.Access
}

// A consent that allows more is made use of at once.
func TestConnectForMore(t *testing.T) {
	r := begun(t, minutelyRig)
	r.backfill(1000)
	r.service.lock(func() { r.service.scope = "steps walks more" })
	r.now.add(time.Hour) // the device has not synced since
	r.connect()
	r.poll()
	if s := r.state(); s.Backfill == nil || s.Backfill.Done {
		t.Errorf("%+v, want the history to begin anew", s.Backfill)
	}
}
