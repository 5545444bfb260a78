package influx

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeInflux{}
		refuse := func(how func(int, []byte) (*http.Response, error)) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.refuse = how
		}
		var log bytes.Buffer
		store := full(1)
		cl := client(t, Config{Transport: f, Token: "a-long-secret"})
		p := New(cl, store, store, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		wake := make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx, wake) }()
		synctest.Wait()
		began := time.Now()
		if s := p.State(); s.LastSuccess != began || s.Err != nil || s.Written == 0 {
			t.Errorf("after the start: %+v", s)
		}

		refuse(func(int, []byte) (*http.Response, error) { return nil, errors.New("broken") })
		store.fill(short("alex", 20001, 1))
		wake <- struct{}{}
		synctest.Wait()
		s := p.State()
		if s.Err == nil || s.Err.Cause != Down || s.Since != began || s.Failures[Down] != 1 {
			t.Errorf("while it is down: %+v", s)
		}
		if d := s.NextTry.Sub(began); d < 750*time.Millisecond || d > time.Second {
			t.Errorf("the first retry comes after %v", d)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := p.State().Failures[Down]; n < 18 || n > 30 {
			t.Errorf("%d tries in an hour", n)
		}

		refuse(func(int, []byte) (*http.Response, error) {
			return answer(429, "", "Retry-After", "1800"), nil
		})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		s = p.State()
		if d := time.Until(s.NextTry); s.Err.Cause != Throttled || d < 25*time.Minute || d > 30*time.Minute {
			t.Errorf("asked to wait 30 minutes: %+v, next try in %v", s, d)
		}

		refuse(nil)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if s := p.State(); s.Err != nil || !s.NextTry.IsZero() || !s.Since.IsZero() || s.LastSuccess.IsZero() {
			t.Errorf("after recovery: %+v", s)
		}
		if d := diff(f.points, store.wanted()); d != "" {
			t.Errorf("InfluxDB is not the store (-want +got):\n%s", d)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		text := log.String()
		for what, want := range map[string]int{"projection failed": 2, "projection recovered": 1, "secret": 0} {
			if n := strings.Count(text, what); n != want {
				t.Errorf("the log says %q %d times, want %d:\n%s", what, n, want, text)
			}
		}
	})
}

func TestStoreFails(t *testing.T) {
	store := full(1)
	store.fail = errors.New("disk full")
	p := New(client(t, Config{Transport: &fakeInflux{}}), store, store, Options{})
	_, err := p.ProjectDue(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Cause != StoreFailed || !errors.Is(err, store.fail) {
		t.Errorf("got %v", err)
	}
}

func TestProgress(t *testing.T) {
	store := full(70)
	var days []int
	p := New(client(t, Config{Transport: &fakeInflux{}}), store, store,
		Options{Progress: func(s Stats) { days = append(days, s.Days) }})
	stats, err := p.ProjectDue(t.Context())
	if err != nil || stats.Days != 70 || len(days) != 3 || days[0] != 28 || days[2] != 70 {
		t.Errorf("%v, %+v, error %v", days, stats, err)
	}
}

func TestDelay(t *testing.T) {
	for _, tt := range []struct {
		before   int
		err      error
		low, top time.Duration
	}{
		{0, errors.New("x"), 750 * time.Millisecond, time.Second},
		{3, errors.New("x"), 6 * time.Second, 8 * time.Second},
		{100, errors.New("x"), 225 * time.Second, 5 * time.Minute},
		{0, &Error{RetryAfter: time.Hour}, time.Hour, time.Hour},
	} {
		for range 100 {
			if d := delay(tt.before, tt.err); d < tt.low || d > tt.top {
				t.Errorf("after %d: %v, want %v to %v", tt.before, d, tt.low, tt.top)
			}
		}
	}
}
