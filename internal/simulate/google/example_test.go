package google_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/walkd/walkd/internal/simulate/google"
	"github.com/walkd/walkd/internal/walking"
)

func ExampleServer() {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	days, err := google.RealDays()
	if err != nil {
		fmt.Println(err)
		return
	}
	somebody, err := google.NewWalker(google.WalkerOptions{ID: "1001", Days: days, Zone: time.UTC, Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := google.NewServer(google.ServerOptions{
		Now: func() time.Time { return now }, Wall: time.Now, ClientID: "client", ClientSecret: "secret",
		Redirects: []string{"http://127.0.0.1:8099/callback"},
		Approve:   func(_ string, scopes []string) []string { return scopes },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Add(somebody); err != nil {
		fmt.Println(err)
		return
	}
	service := httptest.NewServer(s) // the base of the consent page, of /token and of the API
	defer service.Close()

	yesterday := walking.Window{Start: now.Add(-36 * time.Hour), End: now.Add(-12 * time.Hour)}
	somebody.Correct(yesterday.Start.Add(10*time.Hour), 99)
	somebody.NoSync(walking.Window{Start: now, End: now.Add(72 * time.Hour)})
	s.Fail(google.Fault{Kind: google.FaultThrottled, RetryAfter: "30", Times: 1})

	token, _, _, err := s.Grant("1001") // or consent in a browser
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		req, err := http.NewRequest(http.MethodGet, service.URL+"/v4/users/me/identity", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d %q\n", resp.StatusCode, resp.Header.Get("Retry-After"))
		if err := resp.Body.Close(); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(len(somebody.Truth(yesterday, now).Records), "minutes with steps,", s.Peak("1001"), "requests in a minute")
	// Output:
	// 429 "30"
	// 200 ""
	// 248 minutes with steps, 2 requests in a minute
}
