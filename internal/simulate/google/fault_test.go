package google_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate/google"
	"github.com/walkd/walkd/internal/walking"
)

func TestFaults(t *testing.T) {
	const path = dataTypes + "steps/dataPoints:reconcile?pageSize=50"
	for _, tt := range []struct {
		fault  google.Fault
		status int
		retry  string
		page   bool
		says   string
	}{
		{google.Fault{Kind: google.FaultUnauthorized}, 401, "", false, "UNAUTHENTICATED"},
		{google.Fault{Kind: google.FaultForbidden}, 403, "", false, "PERMISSION_DENIED"},
		{google.Fault{Kind: google.FaultNotLinked}, 400, "", false, "ACCOUNT_NOT_LINKED"},
		{google.Fault{Kind: google.FaultThrottled}, 429, "", false, "RESOURCE_EXHAUSTED"},
		{google.Fault{Kind: google.FaultThrottled, RetryAfter: "120"}, 429, "120", false, "RESOURCE_EXHAUSTED"},
		{google.Fault{Kind: google.FaultInternal}, 500, "", false, "INTERNAL"},
		{google.Fault{Kind: google.FaultUnavailable, RetryAfter: "9"}, 503, "9", false, "UNAVAILABLE"},
		{google.Fault{Kind: google.FaultPage}, 200, "", true, "sign in"},
		{google.Fault{Kind: google.FaultBadGateway}, 502, "", true, "502"},
	} {
		t.Run(string(tt.fault.Kind)+tt.fault.RetryAfter, func(t *testing.T) {
			s := start(t, nil)
			good := s.get(path).body
			tt.fault.Times = 2
			s.Fail(tt.fault)
			if r := s.must(http.MethodPost, "/revoke", "", "", ""); r.status != 400 {
				t.Errorf("another path: %d", r.status)
			}
			for range 2 {
				r := s.get(path)
				page := strings.HasPrefix(r.header.Get("Content-Type"), "text/html")
				if r.status != tt.status || r.header.Get("Retry-After") != tt.retry || page != tt.page ||
					!strings.Contains(r.body, tt.says) {
					t.Errorf("%d %v %s", r.status, r.header, r.body)
				}
			}
			if r := s.get(path); r.body != good {
				t.Errorf("after two times: %d %.200s", r.status, r.body)
			}
		})
	}
}

func TestFaultsOfTheBody(t *testing.T) {
	const path = dataTypes + "steps/dataPoints:reconcile?pageSize=500"
	s := start(t, nil)
	good := s.get(path).body

	s.Fail(google.Fault{Kind: google.FaultTruncated, Times: 1})
	r := s.get(path)
	if r.status != 200 || !errors.Is(r.err, io.ErrUnexpectedEOF) || !strings.HasPrefix(good, r.body) || r.body == good {
		t.Errorf("truncated: %d, %d of %d bytes, %v", r.status, len(r.body), len(good), r.err)
	}
	s.Fail(google.Fault{Kind: google.FaultDropped, Times: 1})
	if r, err := s.send(http.MethodGet, path, s.token, "", ""); err == nil {
		t.Errorf("dropped: %d", r.status)
	}
	s.Fail(google.Fault{Kind: google.FaultSlow, Times: 1, Delay: time.Millisecond})
	if r := s.get(path); r.err != nil || r.body != good {
		t.Errorf("slow: %d of %d bytes, %v", len(r.body), len(good), r.err)
	}
	if r := s.get(path); r.body != good {
		t.Errorf("healed: %d", r.status)
	}
}

func TestSlowEndsWithItsClient(t *testing.T) {
	s := start(t, nil)
	s.Fail(google.Fault{Kind: google.FaultSlow, Delay: time.Hour})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v4/users/me/identity", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 10)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Error(err)
	}
	if err := resp.Body.Close(); err != nil { // the server's Close at the end of the test waits for the handler
		t.Error(err)
	}
}

func TestFaultsOfTokens(t *testing.T) {
	s := start(t, func(so *google.ServerOptions, _ *google.WalkerOptions) { so.Rotate = true })
	identity := func() int { return s.get("/v4/users/me/identity").status }

	s.Fail(google.Fault{Kind: google.FaultExpired, Times: 1})
	if got := []int{identity(), identity()}; !cmp.Equal(got, []int{401, 401}) {
		t.Errorf("an expired token: %v, want it dead", got)
	}
	s.Fail(google.Fault{Kind: google.FaultInvalidGrant, Times: 1})
	if r := s.post("/token", refresh(s.old())); r.status != 400 || r.at(t, "error") != "invalid_grant" {
		t.Errorf("%d %s", r.status, r.body)
	}
	// the provider has done its part when the answer is lost
	s.Fail(google.Fault{Kind: google.FaultDropped, Path: "/token", Times: 1})
	before := len(s.Secrets())
	form := refresh(s.old()).Encode()
	if r, err := s.send(http.MethodPost, "/token", "", "application/x-www-form-urlencoded", form); err == nil {
		t.Errorf("dropped: %d", r.status)
	}
	if got := len(s.Secrets()) - before; got != 2 {
		t.Errorf("%d tokens were issued in a lost answer, want 2", got)
	}
	r := s.post("/token", refresh(s.old()))
	s.token = r.at(t, "access_token")
	if r.status != 200 || identity() != 200 {
		t.Errorf("the old token after a lost answer: %d %s", r.status, r.body)
	}
	s.ExpireTokens()
	if got := identity(); got != 401 {
		t.Errorf("after all tokens died: %d", got)
	}
}

func TestFaultsOfOnePerson(t *testing.T) {
	s := start(t, nil)
	days := countedDays(t, 1)
	two := newWalker(t, google.WalkerOptions{ID: "2002", Days: days, Zone: time.UTC, Now: s.domain.Now()})
	if err := s.Add(two); err != nil {
		t.Fatal(err)
	}
	other, again, _, err := s.Grant("2002")
	if err != nil {
		t.Fatal(err)
	}
	s.Fail(google.Fault{Kind: google.FaultInternal, Person: "2002"})
	s.Fail(google.Fault{Kind: google.FaultInvalidGrant, Person: "2002"})
	if r := s.must(http.MethodGet, "/v4/users/me/identity", other, "", ""); r.status != 500 {
		t.Errorf("whose requests fail: %d", r.status)
	}
	if r := s.get("/v4/users/me/identity"); r.status != 200 {
		t.Errorf("somebody else: %d", r.status)
	}
	if r := s.post("/token", refresh(again)); r.status != 400 {
		t.Errorf("whose refresh fails: %d", r.status)
	}
	if r := s.post("/token", refresh(s.old())); r.status != 200 {
		t.Errorf("somebody else's refresh: %d", r.status)
	}
	s.Heal()
	if r := s.must(http.MethodGet, "/v4/users/me/identity", other, "", ""); r.status != 200 {
		t.Errorf("healed: %d", r.status)
	}
}

func TestFaultOfTheFirstPage(t *testing.T) {
	s := start(t, nil)
	s.Fail(google.Fault{Kind: google.FaultEmptyPage, Times: 1})
	points, next := s.list("steps/dataPoints:reconcile", url.Values{})
	if len(points) != 0 || next == "" {
		t.Fatalf("%d points, token %q", len(points), next)
	}
	points, _ = s.list("steps/dataPoints:reconcile", url.Values{"pageToken": {next}})
	want, _ := s.list("steps/dataPoints:reconcile", url.Values{})
	if diff := cmp.Diff(want, points); diff != "" {
		t.Errorf("the second page is not the whole first:\n%.300s", diff)
	}
}

func TestFaultsByChance(t *testing.T) {
	run := func(seed uint64) (out []int) {
		s := start(t, nil)
		s.FailAtRandom(google.Chaos{
			Probability: 0.25, Seed: seed, Kinds: []google.FaultKind{google.FaultInternal, google.FaultThrottled},
		})
		for range 200 {
			out = append(out, s.get("/v4/users/me/identity").status)
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
	s := start(t, func(so *google.ServerOptions, _ *google.WalkerOptions) { so.Limit = 5 })
	status := func() int { return s.get("/v4/users/me/identity").status }
	for range 4 {
		status()
	}
	s.wall.Add(50 * time.Second)
	if got := []int{status(), status()}; !cmp.Equal(got, []int{200, 429}) {
		t.Errorf("the fifth and sixth in a minute: %v", got)
	}
	if got := s.Peak("1001"); got != 6 {
		t.Errorf("the peak is %d, want 6", got)
	}
	s.wall.Add(10 * time.Second) // the first four are a minute old
	if got := []int{status(), status(), status(), status(), status()}; !cmp.Equal(got, []int{200, 200, 200, 200, 429}) {
		t.Errorf("ten seconds later: %v", got)
	}
	s.wall.Add(10 * time.Minute)
	if got := status(); got != 200 {
		t.Errorf("much later: %d", got)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	s := start(t, nil)
	s.get("/v4/users/me/identity")
	s.get("/v4/users/me/identity")
	s.get(dataTypes + "steps/dataPoints:reconcile")
	s.get(dataTypes + "exercise/dataPoints")
	s.post("/token", refresh(s.old()))
	s.post("/token", refresh("1//0x"))
	s.get("/nowhere")
	want := []google.RequestCount{
		{Kind: "token", Status: 400, Count: 1},
		{Person: "1001", Kind: "identity", Status: 200, Count: 2},
		{Person: "1001", Kind: "list exercise", Status: 200, Count: 1},
		{Person: "1001", Kind: "other", Status: 404, Count: 1},
		{Person: "1001", Kind: "reconcile steps", Status: 200, Count: 1},
		{Person: "1001", Kind: "token", Status: 200, Count: 1},
	}
	if diff := cmp.Diff(want, s.Requests()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := start(t, func(so *google.ServerOptions, _ *google.WalkerOptions) { so.Limit = -1 })
	s.FailAtRandom(google.Chaos{Probability: 0.1, Kinds: []google.FaultKind{google.FaultInternal, google.FaultTruncated}})
	var wg sync.WaitGroup
	now := s.domain.Now()
	for i := range 8 {
		wg.Go(func() {
			for n := range 10 {
				if _, err := s.send(http.MethodGet, dataTypes+"steps/dataPoints?pageSize=20", s.token, "", ""); err != nil {
					t.Error(err)
				}
				_, _ = s.send(http.MethodPost, "/token", "", "application/x-www-form-urlencoded", refresh(s.old()).Encode())
				s.walker.Correct(now.Add(-time.Duration(n)*time.Hour), i)
				s.walker.Late(walking.Window{Start: now.Add(-time.Hour), End: now}, now)
				s.walker.Truth(walking.Window{Start: now.Add(-time.Hour), End: now}, now)
				s.Requests()
			}
		})
	}
	wg.Wait()
}
