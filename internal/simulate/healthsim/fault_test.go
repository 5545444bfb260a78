package healthsim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

func TestFaults(t *testing.T) {
	const path = dataTypes + "steps/dataPoints:reconcile?pageSize=50"
	for _, tt := range []struct {
		kind   simulate.Kind
		status int
		retry  string
		page   bool
		says   string
	}{
		{healthsim.Unauthorized, 401, "", false, "UNAUTHENTICATED"},
		{healthsim.Expired, 401, "", false, "ACCESS_TOKEN_EXPIRED"},
		{healthsim.Forbidden, 403, "", false, "RESOURCE_PERMISSION_DENIED"},
		{healthsim.Disabled, 403, "", false, "SERVICE_DISABLED"},
		{healthsim.Legacy, 403, "", false, "Could not mint UberMint from GaiaMint"},
		{healthsim.NotLinked, 400, "", false, "ACCOUNT_NOT_LINKED"},
		{healthsim.NoProfile, 412, "", false, "Precondition check failed."},
		{healthsim.NotFound, 404, "", true, "404"},
		{healthsim.Throttle, 429, "", false, "RESOURCE_EXHAUSTED"},
		{healthsim.ThrottleFor, 429, "7", false, "RESOURCE_EXHAUSTED"},
		{healthsim.ServerError, 500, "", false, "INTERNAL"},
		{healthsim.Unavailable, 503, "9", false, "UNAVAILABLE"},
		{simulate.HTMLPage, 502, "", true, "502"},
		{simulate.HTMLSuccess, 200, "", true, "Sign in"},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			s := start(t, nil)
			good := s.get(path).body
			s.Break(simulate.Fault{Kind: tt.kind, Times: 2})
			if r := s.ask(s.refresh); r.status != 200 {
				t.Errorf("another path: %d", r.status)
			}
			for range 2 {
				r := s.get(path)
				page := strings.HasPrefix(r.header.Get("Content-Type"), "text/html")
				if r.status != tt.status || r.header.Get("Retry-After") != tt.retry || page != tt.page ||
					!strings.Contains(r.body, tt.says) {
					t.Errorf("%d %v %s", r.status, r.header, r.body)
				}
				if !page && r.at(t, "error", "code") != strconv.Itoa(tt.status) {
					t.Errorf("the error %s", r.body)
				}
			}
			if r := s.get(path); r.body != good {
				t.Errorf("after two times: %d %.200s", r.status, r.body)
			}
			s.Break(simulate.Fault{Kind: tt.kind, Path: "/settings"})
			if r := s.get(path); r.body != good {
				t.Errorf("a fault of another path: %d", r.status)
			}
			for range 3 {
				if r := s.get("/v4/users/me/settings"); r.status != tt.status {
					t.Errorf("until it is cleared: %d", r.status)
				}
			}
			s.Clear()
			if r := s.get("/v4/users/me/settings"); r.at(t, "timeZone") == "" {
				t.Errorf("cleared: %d", r.status)
			}
		})
	}
}

// An account can be in a state of its own, of which every method tells.
func TestFaultsOfAPerson(t *testing.T) {
	s := start(t, nil)
	s.Add(newPerson(t, simulate.Plan{Name: "ben", Life: volunteer(t), Home: time.UTC}))
	bens := s.ask(s.Grant("ben", scopeSteps)).at(t, "access_token")
	s.Break(simulate.Fault{Kind: healthsim.NotLinked, Path: "ann /v4/"})
	for range 2 {
		for path, want := range map[string]int{"/v4/users/me/settings": 400, "/v4/users/me/identity": 400} {
			if r := s.get(path); r.status != want {
				t.Errorf("ann's %s: %d, want %d", path, r.status, want)
			}
		}
		if r := s.must(http.MethodGet, "/v4/users/me/identity", bens, "", ""); r.status != 200 {
			t.Errorf("ben's: %d", r.status)
		}
		if r := s.ask(s.refresh); r.status != 200 {
			t.Errorf("ann's token: %d", r.status)
		}
	}
}

// A service that is asked for two things at once by one person answers one of them with 500.
func TestParallel(t *testing.T) {
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.Parallel = 1 })
	s.Add(newPerson(t, simulate.Plan{Name: "ben", Life: volunteer(t), Home: time.UTC}))
	bens := s.ask(s.Grant("ben", scopeSteps)).at(t, "access_token")
	s.Break(simulate.Fault{Kind: simulate.Slow, Path: "/settings"})
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v4/users/me/settings", nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+s.token)
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			t.Errorf("an answer: %s", resp.Status)
			_ = resp.Body.Close()
		}
	}()
	for s.Requests()["ann /v4/users/me/settings"] == 0 { // it is counted before it is served
		runtime.Gosched()
	}
	refused := 0
	for range 20 {
		if r := s.get("/v4/users/me/identity"); r.status == 500 && r.at(t, "error", "status") == "INTERNAL" {
			refused++
		}
		if r := s.must(http.MethodGet, "/v4/users/me/identity", bens, "", ""); r.status != 200 {
			t.Errorf("ben: %d", r.status)
		}
	}
	if refused < 19 {
		t.Errorf("%d of 20 beside another were refused", refused)
	}
	end()
	<-done
	if r := s.get("/v4/users/me/identity"); r.status != 200 && r.status != 500 {
		t.Errorf("afterwards: %d", r.status)
	}
}

func TestLostAnswers(t *testing.T) {
	const path = dataTypes + "steps/dataPoints:reconcile?pageSize=500"
	s := start(t, nil)
	good := s.get(path).body

	s.Break(simulate.Fault{Kind: simulate.Truncated, Times: 1})
	r := s.get(path)
	if r.status != 200 || !errors.Is(r.err, io.ErrUnexpectedEOF) || !strings.HasPrefix(good, r.body) ||
		r.body == good || r.body == "" {
		t.Errorf("truncated: %d, %d of %d bytes, %v", r.status, len(r.body), len(good), r.err)
	}
	s.Break(simulate.Fault{Kind: simulate.Dropped, Times: 1})
	if r, err := s.send(http.MethodGet, path, s.token, "", ""); err == nil {
		t.Errorf("dropped: %d", r.status)
	}
	if r := s.get(path); r.body != good {
		t.Errorf("afterwards: %d", r.status)
	}
}

func TestSlowEndsWithItsClient(t *testing.T) {
	s := start(t, nil)
	s.Break(simulate.Fault{Kind: simulate.Slow})
	s.Break(simulate.Fault{Kind: simulate.Slow, Path: "/token"})
	for _, path := range []string{"/v4/users/me/identity", "/token"} {
		client := &http.Client{Timeout: 20 * time.Millisecond}
		req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(refresh(s.refresh).Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err == nil {
			t.Errorf("%s: %s", path, resp.Status)
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		}
	} // the server's Close at the end of the test waits for the handlers
}

func TestFaultsOfTokens(t *testing.T) {
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.Rotate = true })
	identity := func() int { return s.get("/v4/users/me/identity").status }

	s.Break(simulate.Fault{Kind: healthsim.ExpireTokens})
	if got := []int{identity(), identity()}; !cmp.Equal(got, []int{401, 401}) {
		t.Errorf("an expired token: %v, want it dead", got)
	}
	s.Break(simulate.Fault{Kind: healthsim.InvalidGrant, Times: 1})
	if r := s.ask(s.refresh); r.status != 400 || r.at(t, "error") != "invalid_grant" {
		t.Errorf("%d %s", r.status, r.body)
	}
	// The service has done its part when the answer is lost, and lets the old token count.
	for _, kind := range []simulate.Kind{simulate.Dropped, simulate.Truncated} {
		s.Break(simulate.Fault{Kind: kind, Path: "/token", Times: 1})
		before := len(s.Secrets())
		if r, err := s.send(http.MethodPost, "/token", "", "application/x-www-form-urlencoded",
			refresh(s.refresh).Encode()); err == nil && r.err == nil {
			t.Errorf("%s: %d", kind, r.status)
		}
		if got := len(s.Secrets()) - before; got != 2 {
			t.Errorf("%s: %d tokens were issued in a lost answer, want 2", kind, got)
		}
	}
	r := s.ask(s.refresh)
	s.token = r.at(t, "access_token")
	if r.status != 200 || identity() != 200 {
		t.Errorf("the old token after a lost answer: %d %s", r.status, r.body)
	}
	if r := s.ask(s.refresh); r.status != 400 {
		t.Errorf("the old token after the new one was used: %d", r.status)
	}
	// A code is used up as well.
	code := s.code(authQuery())
	s.Break(simulate.Fault{Kind: simulate.Dropped, Path: "/token", Times: 1})
	if _, err := s.send(http.MethodPost, "/token", "", "application/x-www-form-urlencoded", exchange(code).Encode()); err == nil {
		t.Error("the answer is there")
	}
	if r := s.post("/token", exchange(code)); r.status != 400 || r.at(t, "error") != "invalid_grant" {
		t.Errorf("a code whose answer was lost: %d %s", r.status, r.body)
	}
}

func TestFaultOfTheFirstPage(t *testing.T) {
	s := start(t, nil)
	s.Break(simulate.Fault{Kind: healthsim.EmptyPage, Times: 1})
	points, next := s.list("steps/dataPoints:reconcile", url.Values{})
	if len(points) != 0 || next == "" {
		t.Fatalf("%d points, token %q", len(points), next)
	}
	points, _ = s.list("steps/dataPoints:reconcile", url.Values{"pageToken": {next}})
	want, _ := s.list("steps/dataPoints:reconcile", url.Values{})
	if diff := cmp.Diff(want, points); diff != "" || len(want) == 0 {
		t.Errorf("the second page is not the whole first:\n%.300s", diff)
	}
	s.Break(simulate.Fault{Kind: healthsim.EmptyPage, Times: 1})
	if r := s.must(http.MethodGet, dataTypes+"steps/dataPoints", "", "", ""); r.status != 401 {
		t.Errorf("without a token: %d", r.status)
	}
}

func TestFaultsByChance(t *testing.T) {
	run := func(seed uint64) (out []int) {
		s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.Seed, o.PerMinute = seed, 1000 })
		s.BreakAtRandom(0.25, healthsim.ServerError, healthsim.Throttle)
		for range 200 {
			out = append(out, s.get("/v4/users/me/identity").status)
		}
		for range 30 {
			if r := s.ask(s.refresh); r.status != 200 {
				t.Errorf("a token: %d", r.status)
			}
		}
		s.Clear()
		for range 30 {
			if r := s.get("/v4/users/me/identity"); r.status != 200 {
				t.Errorf("cleared: %d", r.status)
			}
		}
		return out
	}
	first := run(1)
	failed := map[int]int{}
	for _, status := range first {
		failed[status]++
	}
	if failed[500] < 10 || failed[429] < 10 || failed[200] < 120 || failed[200] > 175 {
		t.Errorf("%v of 200, want about 150 good ones and 25 of each fault", failed)
	}
	if !cmp.Equal(first, run(1)) {
		t.Error("the same seed has other faults")
	}
	if cmp.Equal(first, run(2)) {
		t.Error("another seed has the same faults")
	}
}

func TestLimit(t *testing.T) {
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.PerMinute = 5 })
	s.Add(newPerson(t, simulate.Plan{Name: "ben", Life: volunteer(t), Home: time.UTC}))
	status := func() int { return s.get("/v4/users/me/identity").status }
	s.Break(simulate.Fault{Kind: healthsim.ServerError, Times: 2}) // these count as well
	for range 4 {
		status()
	}
	s.wall.Add(50 * time.Second)
	if got := []int{status(), status()}; !cmp.Equal(got, []int{200, 429}) {
		t.Errorf("the fifth and sixth in a minute: %v", got)
	}
	bens := s.ask(s.Grant("ben", scopeSteps)).at(t, "access_token")
	if r := s.must(http.MethodGet, "/v4/users/me/identity", bens, "", ""); r.status != 200 {
		t.Errorf("another person: %d", r.status)
	}
	if got := s.Peak(); got != 6 {
		t.Errorf("the peak is %d, want 6", got)
	}
	s.wall.Add(10 * time.Second) // the first four are a minute old; what was refused counts for nothing
	if got := []int{status(), status(), status(), status(), status()}; !cmp.Equal(got, []int{200, 200, 200, 200, 429}) {
		t.Errorf("ten seconds later: %v", got)
	}
	if got := s.Peak(); got != 7 {
		t.Errorf("the peak is %d, want 7", got)
	}
	s.wall.Add(10 * time.Minute)
	if got := status(); got != 200 {
		t.Errorf("much later: %d", got)
	}
	s.wall.Add(-5 * time.Minute)
	for range 5 {
		if got := status(); got != 200 {
			t.Errorf("after the clock was set back: %d", got)
		}
	}
}

func TestRequestsAreCounted(t *testing.T) {
	s := start(t, nil)
	s.get("/v4/users/me/identity")
	s.Break(simulate.Fault{Kind: healthsim.ServerError, Times: 1})
	s.get("/v4/users/me/identity")
	s.get(dataTypes + "steps/dataPoints:reconcile?pageSize=1")
	s.must(http.MethodGet, "/v4/users/me/settings", "", "", "")
	s.ask(s.refresh)
	s.ask("1//0x")
	s.get("/nowhere")
	want := map[string]int{
		" /token": 3, " /v4/users/me/settings": 1, // the first for the token of the test
		"ann /v4/users/me/identity": 2, "ann " + dataTypes + "steps/dataPoints:reconcile": 1,
	}
	if diff := cmp.Diff(want, s.Requests()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := start(t, func(o *healthsim.Options, _ *simulate.Plan) { o.PerMinute, o.Rotate = 1000, true })
	s.BreakAtRandom(0.1, healthsim.ServerError, simulate.Truncated)
	now := s.domain.Now()
	const path = dataTypes + "steps/dataPoints"
	form, day := refresh(s.refresh).Encode(), civil("steps", "2026-11-18", "2026-11-19")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 5 {
				if _, err := s.send(http.MethodGet, path+"?"+day.Encode(), s.token, "", ""); err != nil {
					t.Error(err)
				}
				if _, err := s.send(http.MethodPost, "/token", "", "application/x-www-form-urlencoded", form); err != nil {
					t.Error(err)
				}
				s.SetConsent("ann")
				if _, err := s.send(http.MethodGet, authPath+"?"+authQuery().Encode(), "", "", ""); err != nil {
					t.Error(err)
				}
				s.person.Correct(now.Add(-time.Duration(n)*time.Hour), i)
				s.person.Late(walking.Window{Start: now.Add(-time.Hour), End: now}, now)
				s.Break(simulate.Fault{Kind: healthsim.Unauthorized, Path: "/settings"})
				s.Requests()
				s.Secrets()
				s.Peak()
			}
		})
	}
	wg.Wait()
	s.Revoke("ann")
	if got := s.Requests()["ann "+path]; got != 40 {
		t.Errorf("%d requests were counted, want 40", got)
	}
}

func TestThousandPeopleCostLittle(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	wall := &clock{t: now}
	life, home := volunteer(t), zone(t, "Europe/Berlin")
	used := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := used()
	s := healthsim.New(healthsim.Options{Now: wall.Now, Wall: wall.Now, ClientID: clientID, ClientSecret: clientSecret})
	for i := range 1000 {
		name := strconv.Itoa(i)
		s.Add(newPerson(t, simulate.Plan{Name: name, Life: life, Home: home, First: walking.DayOf(2026, time.October, 23)}))
		s.Grant(name, scopeSteps, scopeDevices)
	}
	after := used()
	runtime.KeepAlive(s)
	if each := (after - before) / 1000; each > 4096 {
		t.Errorf("a person costs %d bytes, want at most 4096", each)
	}
}
