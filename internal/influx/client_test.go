package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/walking"
)

// full returns a store with some days to project.
func full(days int) *memory {
	s := newMemory()
	s.fill(short("alex", 20000, days))
	return s
}

// short returns days with few minutes.
func short(person string, first walking.Day, days int) []Content {
	out := year(person, first, days)
	for i := range out {
		d := &out[i].Detail
		d.Minutes, d.Streams[0].Records = d.Minutes[:20], d.Streams[0].Records[:20]
	}
	return out
}

func project(t *testing.T, cl *Client, s *memory) (Stats, error) {
	t.Helper()
	return New(cl, s, s, Options{}).ProjectDue(t.Context())
}

var ignoreWords = cmpopts.IgnoreFields(Error{}, "Remedy", "Reason", "Err")

func TestRefusal(t *testing.T) {
	now := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	wait := func(v string) http.Header { return http.Header{"Retry-After": {v}} }
	const page = "<!DOCTYPE html><html><title>Sign in</title>"
	for _, tt := range []struct {
		name   string
		status int
		body   string
		header http.Header
		want   Error
	}{
		{"login page", 200, page, nil, Error{Cause: NotInfluxDB, Config: true}},
		{"redirect", 302, "", nil, Error{Cause: NotInfluxDB, Config: true}},
		{"unauthorized", 401, `{"code":"unauthorized","message":"unauthorized access"}`, nil, Error{Cause: Unauthorized, Config: true}},
		{"forbidden", 403, `{"error":"no"}`, nil, Error{Cause: Forbidden, Config: true}},
		{"no bucket", 404, `{"code":"not found","message":"bucket \"x\" not found"}`, nil, Error{Cause: NotFound, Config: true}},
		{"another program", 404, "404 page not found\n", nil, Error{Cause: NotInfluxDB, Config: true}},
		{"no retention policy", 500, `{"error":"retention policy not found: x"}`, nil, Error{Cause: NotFound, Config: true}},
		{"too large", 413, page, nil, Error{Cause: TooLarge, Permanent: true}},
		{"throttled", 429, "", wait("17"), Error{Cause: Throttled, RetryAfter: 17 * time.Second}},
		{
			"throttled until", 429, "", wait(now.Add(time.Minute).Format(http.TimeFormat)),
			Error{Cause: Throttled, RetryAfter: time.Minute},
		},
		{"long ago", 503, "", wait(now.Add(-time.Minute).Format(http.TimeFormat)), Error{Cause: Unavailable}},
		{"nonsense", 503, "", wait("soon"), Error{Cause: Unavailable}},
		{"gateway", 502, page, nil, Error{Cause: Unavailable}},
		{
			"1.8 partial", 400, `{"error":"partial write: points beyond retention policy dropped=12"}`, nil,
			Error{Cause: Partial, Permanent: true, Dropped: 12},
		},
		{
			"2.x partial", 422, `{"code":"unprocessable entity","message":"failure writing points to database: ` +
				`partial write: field type conflict: input field \"steps\" on measurement \"walk_steps\" is type float, ` +
				`already exists as type integer dropped=3"}`, nil, Error{Cause: Partial, Permanent: true, Dropped: 3},
		},
		{
			"3.x partial", 400, `{"error":"partial write of line protocol occurred","data":[{"original_line":"x",` +
				`"line_number":1,"error_message":"invalid column type"},{"error_message":"invalid column type"}]}`, nil,
			Error{Cause: Partial, Permanent: true, Dropped: 2},
		},
		{"unparsable", 400, `{"error":"unable to parse 'x': missing fields"}`, nil, Error{Cause: Unparsable, Permanent: true, Dropped: 1}},
		{"other", 400, `{"error":"database is required"}`, nil, Error{Cause: Rejected, Config: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.header == nil {
				tt.header = http.Header{}
			}
			tt.want.Status = tt.status
			got := refusal(tt.status, tt.header, []byte(tt.body), now)
			if d := cmp.Diff(&tt.want, got, ignoreWords); d != "" {
				t.Errorf("error (-want +got):\n%s", d)
			}
			if got.Remedy == "" {
				t.Error("there is no remedy")
			}
		})
	}
}

func TestReasonHoldsNoValues(t *testing.T) {
	got := message(http.Header{}, []byte(`{"error":"partial write: unable to parse 'walk_minutes,person=alex `+
		`walking_s=37,steps=x 1': invalid number dropped=0"}`))
	if want := "partial write: unable to parse: invalid number dropped=0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNewClient(t *testing.T) {
	for _, tt := range []struct{ name, url, bucket, want string }{
		{"no scheme", "localhost:8086", "b", "not a URL"},
		{"password", "http://u:secret@host", "b", "influx.token_file"},
		{"query", "http://host/?a=b", "b", "before the ?"},
		{"no bucket", "http://host", "", "influx.bucket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewClient(Config{URL: tt.url, Bucket: tt.bucket})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want something of %q", err, tt.want)
			}
		})
	}
}

// Everything here is answered by InfluxDB itself.
func TestRefusalsOfInfluxDB(t *testing.T) {
	s := influxtest.StartWith(t, influxtest.Options{Auth: true})
	s.CreateDatabase("walkd")
	s.Exec("", `CREATE RETENTION POLICY week ON walkd DURATION 7d REPLICATION 1`)
	s.Exec("", `CREATE USER reader WITH PASSWORD 'a-long-secret'; GRANT READ ON walkd TO reader`)
	for _, tt := range []struct {
		name, bucket, token string
		want                Error
		status              Status
	}{
		{"wrong password", "walkd", "admin:wrong-secret", Error{Cause: Unauthorized, Status: 401, Config: true}, Status{Reachable: true}},
		{"no credentials", "walkd", "", Error{Cause: Unauthorized, Status: 401, Config: true}, Status{Reachable: true}},
		{
			"may not write", "walkd", "reader:a-long-secret",
			Error{Cause: Forbidden, Status: 403, Config: true},
			Status{Reachable: true, Authorized: true},
		},
		{
			"no database", "nowhere", s.Token,
			Error{Cause: NotFound, Status: 404, Config: true},
			Status{Reachable: true, Authorized: true},
		},
		{
			"no retention policy", "walkd/forever", s.Token,
			Error{Cause: NotFound, Status: 500, Config: true},
			Status{Reachable: true, Authorized: true},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cl := client(t, Config{URL: s.URL, Bucket: tt.bucket, Token: tt.token})
			_, err := project(t, cl, full(1))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an Error", err)
			}
			if d := cmp.Diff(&tt.want, e, ignoreWords); d != "" {
				t.Errorf("error (-want +got):\n%s", d)
			}
			if text := fmt.Sprintf("%v %+v", err, e); strings.Contains(text, "-secret") {
				t.Errorf("the error tells the password: %s", text)
			}
			st, err := cl.Status(t.Context())
			if err != nil || st.Err == nil || st.Err.Cause != tt.want.Cause {
				t.Errorf("status %+v, error %v", st, err)
			}
			st.Err, st.Version = nil, ""
			if d := cmp.Diff(tt.status, st); d != "" {
				t.Errorf("status (-want +got):\n%s", d)
			}
		})
	}
	t.Run("all well", func(t *testing.T) {
		cl := client(t, Config{URL: s.URL + "/", Bucket: "walkd/autogen", Token: s.Token})
		st, err := cl.Status(t.Context())
		if d := cmp.Diff(Status{Reachable: true, Version: "1.8.10", Authorized: true, Writable: true}, st,
			cmp.Transformer("version", func(s string) bool { return s == "unknown" || strings.HasPrefix(s, "1.") })); d != "" ||
			err != nil {
			t.Errorf("status (-want +got):\n%s, error %v", d, err)
		}
		if stats, err := project(t, cl, full(1)); err != nil || stats.Dropped > 0 {
			t.Errorf("%+v, error %v", stats, err)
		}
	})
	t.Run("beyond retention", func(t *testing.T) {
		store := full(2)
		stats, err := project(t, client(t, Config{URL: s.URL, Bucket: "walkd/week", Token: s.Token}), store)
		if err != nil || stats.Points != 0 || stats.Dropped == 0 || stats.DroppedBy.Cause != Partial || len(store.due) > 0 {
			t.Errorf("%+v, error %v", stats, err)
		}
	})
	t.Run("type conflict", func(t *testing.T) {
		s.CreateDatabase("conflict")
		cl := client(t, Config{URL: s.URL, Bucket: "conflict", Token: s.Token})
		if err := cl.post(t.Context(), newCompressor().compress(nil, []byte("walk_week days=\"x\" 1728000000\n"))); err != nil {
			t.Fatal(err)
		}
		store := full(1)
		want := len(store.wanted())
		stats, err := project(t, cl, store)
		if err != nil || stats.Dropped != 1 || stats.Points != want-1 || !strings.Contains(stats.DroppedBy.Reason, "days") {
			t.Errorf("%+v of %d, error %v", stats, want, err)
		}
	})
}

func TestTooLarge(t *testing.T) {
	s := influxtest.StartWith(t, influxtest.Options{MaxBodySize: 800})
	s.CreateDatabase("walkd")
	store := full(3)
	p := New(client(t, Config{URL: s.URL}), store, store, Options{})
	if stats, err := p.ProjectDue(t.Context()); err != nil || stats.Dropped > 0 {
		t.Fatalf("%+v, error %v", stats, err)
	}
	if d := diff(serverPoints(s, "walkd"), store.wanted()); d != "" {
		t.Errorf("InfluxDB is not the store (-want +got):\n%s", d)
	}
	if n := p.lines.Load(); n >= batchLines {
		t.Errorf("the next batches still have %d lines", n)
	}
}

func TestBrokenLine(t *testing.T) {
	f := &fakeInflux{refuse: func(_ int, lines []byte) (*http.Response, error) {
		if bytes.Contains(lines, []byte("hour=07")) {
			return answer(400, `{"code":"invalid","message":"unable to parse 'walk_hour,hour=07 steps=1': bad"}`), nil
		}
		return nil, nil
	}}
	store := full(2)
	want := store.wanted()
	stats, err := project(t, client(t, Config{Transport: f}), store)
	if err != nil || stats.Dropped != 2 || stats.DroppedBy.Cause != Unparsable || stats.Posts > 60 {
		t.Errorf("%+v, error %v", stats, err)
	}
	for k := range want {
		if strings.HasPrefix(k, "walk_hour,hour=07") {
			delete(want, k)
		}
	}
	if d := diff(f.points, want); d != "" {
		t.Errorf("the other lines (-want +got):\n%s", d)
	}
}

func TestNobodyThere(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, tt := range []struct {
		name, url string
		want      Cause
	}{
		{"refused", gone.URL, Down},
		{"no such host", "http://nothing.invalid:8086", NoHost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cl := client(t, Config{URL: tt.url, Token: "a-long-secret"})
			_, err := project(t, cl, full(1))
			var e *Error
			if !errors.As(err, &e) || e.Cause != tt.want || e.Config || e.Permanent {
				t.Errorf("got %+v", err)
			}
			if st, err := cl.Status(t.Context()); err != nil || st.Reachable || st.Err.Cause != tt.want {
				t.Errorf("status %+v, error %v", st, err)
			}
		})
	}
}

// A proxy before the real server does what that cannot be made to do.
func TestFaultsBeforeInfluxDB(t *testing.T) {
	s := influxtest.Start(t)
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	forward := func(w http.ResponseWriter, r *http.Request) {
		p := httputil.NewSingleHostReverseProxy(target)
		p.Transport = transport
		p.ServeHTTP(w, r)
	}
	for _, tt := range []struct {
		name  string
		fault http.HandlerFunc
		want  Error
	}{
		{"login page", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>Sign in</html>")
		}, Error{Cause: NotInfluxDB, Status: 200, Config: true}},
		{"redirect to login", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, Error{Cause: NotInfluxDB, Status: 302, Config: true}},
		{"throttled", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(429)
		}, Error{Cause: Throttled, Status: 429, RetryAfter: 9 * time.Second}},
		{"unavailable", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(503)
		}, Error{Cause: Unavailable, Status: 503, RetryAfter: 9 * time.Second}},
		{"answer lost after the data was taken", func(w http.ResponseWriter, r *http.Request) {
			forward(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}, Error{Cause: Down}},
		{"answer cut short", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"err`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, Error{Cause: Unavailable, Status: 500}},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, Error{Cause: Timeout}},
		{"endless answer", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, Error{Cause: Unavailable, Status: 500}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.Exec("", `DROP DATABASE walkd`)
			s.CreateDatabase("walkd")
			faults := 0
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if faults++; faults == 1 {
					tt.fault(w, r)
					return
				}
				forward(w, r)
			}))
			defer proxy.Close()
			proxy.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			store := full(2)
			cl := client(t, Config{URL: proxy.URL, Timeout: 2 * time.Second})
			_, err := project(t, cl, store)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an Error", err)
			}
			if d := cmp.Diff(&tt.want, e, ignoreWords); d != "" {
				t.Errorf("error (-want +got):\n%s", d)
			}
			if _, err := project(t, cl, store); err != nil {
				t.Fatal(err)
			}
			if d := diff(serverPoints(s, "walkd"), store.wanted()); d != "" {
				t.Errorf("InfluxDB is not the store (-want +got):\n%s", d)
			}
		})
	}
}

func TestRestartWipeRebuild(t *testing.T) {
	s := influxtest.Start(t)
	s.CreateDatabase("walkd")
	cl := client(t, Config{URL: s.URL})
	store := full(3)
	store.fill(short("o'kim", 20000, 2))
	p := New(cl, store, store, Options{})
	same := func(when string) {
		t.Helper()
		if d := cmp.Diff(store.wanted(), serverPoints(s, "walkd")); d != "" {
			t.Errorf("%s: InfluxDB is not the store (-want +got):\n%s", when, d)
		}
	}
	if _, err := p.ProjectDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("at first")

	s.Kill()
	store.fill(short("alex", 20001, 3))
	if _, err := p.ProjectDue(t.Context()); err == nil {
		t.Fatal("projecting to a dead server succeeded")
	}
	s.Restart()
	if _, err := p.ProjectDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := diff(serverPoints(s, "walkd"), store.wanted()); d != "" {
		t.Errorf("after a kill: InfluxDB is not the store (-want +got):\n%s", d)
	}

	s.Wipe()
	s.CreateDatabase("walkd")
	if _, err := p.Rebuild(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	same("after a wipe")

	// Strays and the measurements of others.
	stray := "walk_minutes,person=alex walking_s=1,steps=1 5\nwalk_minutes,person=o'kim walking_s=1,steps=1 5\n" +
		"walk_other,person=alex v=1 5\n"
	if err := cl.post(t.Context(), newCompressor().compress(nil, []byte(stray))); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Rebuild(t.Context(), "o'kim"); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Query("walkd", `SELECT * FROM walk_minutes WHERE time < 10s`)); n != 1 {
		t.Errorf("%d strays after rebuilding one of two persons, want 1", n)
	}
	for crash := 1; ; crash++ {
		store.steps, store.crashAt, store.after = 0, crash, crash%2 == 0
		_, err := p.Rebuild(t.Context(), "")
		store.revive()
		if err == nil {
			break
		}
		if _, err := p.ProjectDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := diff(serverPoints(s, "walkd"), store.wanted()); d != "" && crash > 3 {
			t.Errorf("rebuild with a crash at %d: (-want +got):\n%s", crash, d)
		}
	}
	same("after a rebuild")
	if n := len(s.Query("walkd", `SELECT * FROM walk_other`)); n != 1 {
		t.Error("rebuild deleted a measurement of somebody else")
	}
}

func TestRebuildOnLaterVersions(t *testing.T) {
	for _, tt := range []struct {
		name, version, there string
		deletes              int
		want                 Cause
	}{
		{"2.x", "v2.7.11", "", len(cleared), ""},
		{"3.x new", "3.2.0", "somebody_elses", 0, ""},
		{"3.x in use", "3.2.0", "walk_day", 0, CannotDelete},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var deleted []string
			f := &fakeInflux{}
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				switch r.URL.Path {
				case "/ping":
					return answer(204, "", "X-Influxdb-Version", tt.version), nil
				case "/api/v2/delete":
					b, err := io.ReadAll(r.Body)
					deleted = append(deleted, string(b))
					return answer(204, ""), err
				case "/query":
					return answer(200, `{"results":[{"series":[{"values":[["`+tt.there+`"]]}]}]}`), nil
				}
				return f.RoundTrip(r)
			})
			store := full(1)
			_, err := New(client(t, Config{Transport: transport}), store, store, Options{}).Rebuild(t.Context(), "al\"ex")
			var e *Error
			if errors.As(err, &e); (tt.want == "") != (err == nil) || e != nil && e.Cause != tt.want {
				t.Errorf("error %v", err)
			}
			if len(deleted) != tt.deletes {
				t.Errorf("deleted %q", deleted)
			}
			for _, d := range deleted {
				if !strings.Contains(d, `AND person=\"al\\\"ex\"`) {
					t.Errorf("deleted %s", d)
				}
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDigits(t *testing.T) {
	s := influxtest.Start(t)
	s.CreateDatabase("walkd")
	store := newMemory()
	day := walking.Day(20000)
	var contents []Content
	for i := range 40 {
		c := Content{Person: "alex", Day: day + walking.Day(i), Time: (day + walking.Day(i)).In(time.UTC)}
		c.Summary.Walking = walking.Round2(float64(i) * 1.37)
		contents = append(contents, c)
	}
	store.set("alex", contents)
	if _, err := New(client(t, Config{URL: s.URL}), store, store, Options{}).ProjectDue(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(store.wanted(), serverPoints(s, "walkd")); d != "" {
		t.Errorf("digits (-want +got):\n%s", d)
	}
}
