package pull_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
)

// revoking is a provider that can end a consent.
type revoking struct{ *minutely }

func (p *revoking) Revoke(ctx context.Context, client *http.Client, t ingest.Token) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/revoke",
		strings.NewReader(url.Values{"token": {t.Refresh}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := ingest.StatusError("Minutes", resp, time.Now()); err != nil {
		if err.Class == ingest.Permanent {
			err.Remedy = "end it in your account"
		}
		return err
	}
	return nil
}

func TestDisconnect(t *testing.T) {
	plain := minutelyRig
	able := func(t testing.TB) *rig {
		return newRig(t, noon, func(s *service) []pull.Config { return one("minutely", &revoking{newMinutely(s, "watch")}) })
	}
	tests := []struct {
		name    string
		rig     func(testing.TB) *rig
		status  int // of the answer
		revoked bool
		remedy  string
		fails   bool // and nothing has changed
	}{
		{"ended", able, 204, true, "", false},
		{"no way to end it", plain, 0, false, "take the access away from walkd", false},
		{"refused for good", able, 404, false, "end it in your account", false},
		{"ended already", able, 401, false, "take the access away from walkd", false},
		{"in trouble", able, 503, false, "", true},
		{"too often", able, 429, false, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.rig(t)
			r.service.walk(noon.Add(-time.Hour), 10, 100)
			r = begun(t, func(testing.TB) *rig { return r })
			var refresh string
			for _, s := range r.service.secrets {
				if strings.HasPrefix(s, "refresh") {
					refresh = s
				}
			}
			r.service.lock(func() {
				r.service.fault = func(w http.ResponseWriter, q *http.Request) bool {
					if q.URL.Path != "/revoke" {
						return false
					}
					if q.FormValue("token") != refresh || q.Header.Get("Authorization") != "" {
						t.Errorf("revokes with %v, %v", q.Form, q.Header)
					}
					w.WriteHeader(tt.status)
					return true
				}
			})
			got, err := r.Disconnect(t.Context(), "alex", "watch")
			if (err != nil) != tt.fails || got.Revoked != tt.revoked || !strings.Contains(got.Remedy, tt.remedy) ||
				tt.remedy == "" && got.Remedy != "" {
				t.Errorf("%+v, %v", got, err)
			}
			r.same() // nothing that was pulled is lost
			r.restart()
			r.service.asked()
			r.later(2 * time.Hour)
			s, asked := r.state(), r.service.asked()
			if tt.fails {
				if s.Phase != pull.OK || len(asked) == 0 || !strings.Contains(err.Error(), "nothing has changed") {
					t.Errorf("%+v, asked %v, %v", s, asked, err)
				}
				return
			}
			if s.Connected || s.Phase != pull.NeedsConsent || len(asked) > 0 {
				t.Errorf("%+v, asked %v", s, asked)
			}
			if _, err := r.Disconnect(t.Context(), "alex", "watch"); err == nil || !strings.Contains(err.Error(), "not connected") {
				t.Errorf("once more: %v", err)
			}
			r.connect()
			r.later(time.Hour)
			if s := r.state(); s.Phase != pull.OK {
				t.Errorf("connected again: %+v %+v", s, s.Problem)
			}
			r.noLeaks()
		})
	}
}

// A consent that cannot be read can be forgotten as well.
func TestDisconnectLocked(t *testing.T) {
	r := begun(t, minutelyRig)
	r.keyed(oneKey)
	r.poll()
	r.keyed(otherKey)
	r.poll()
	got, err := r.Disconnect(t.Context(), "alex", "watch")
	if err != nil || got.Revoked || got.Remedy == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if s := r.state(); s.Connected || strings.Contains(s.Problem.Text, "key") {
		t.Errorf("%+v %+v", s, s.Problem)
	}
}

// A poll under way when the consent is given up is no failure that anybody hears of, and asks for nothing more.
func TestDisconnectDuringPoll(t *testing.T) {
	r := begun(t, minutelyRig)
	arrived, release := make(chan struct{}), make(chan struct{})
	r.service.lock(func() {
		r.service.fault = func(_ http.ResponseWriter, q *http.Request) bool {
			if q.URL.Path == "/probe" {
				close(arrived)
				<-release
			}
			return false
		}
	})
	r.now.add(30 * time.Minute)
	r.service.lock(func() { r.service.synced = r.now.Now() })
	done := make(chan error, 1)
	go func() { _, err := r.Poll(t.Context()); done <- err }()
	<-arrived
	if _, err := r.Disconnect(t.Context(), "alex", "watch"); err != nil {
		t.Error(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s := r.state(); s.Connected || s.Problem == nil || !strings.Contains(s.Problem.Text, "not connected yet") {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	if strings.Contains(r.log.String(), "cannot pull") {
		t.Error("the log tells of a failure")
	}
}

func TestDisconnectNobody(t *testing.T) {
	r := begun(t, minutelyRig)
	if _, err := r.Disconnect(t.Context(), "alex", "ring"); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
