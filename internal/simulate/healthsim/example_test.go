package healthsim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/walking"
)

func Example() {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	life, err := simulate.Volunteer()
	if err != nil {
		fmt.Println(err)
		return
	}
	ann, err := simulate.NewPerson(simulate.Plan{
		Name: "ann", Life: life, Home: time.UTC, First: walking.DayOf(2026, time.October, 23),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := healthsim.New(healthsim.Options{
		Now: func() time.Time { return now }, Wall: time.Now, ClientID: "client", ClientSecret: "secret",
	})
	s.Add(ann)
	service := httptest.NewServer(s) // the base of the consent page, of /token and of the API
	defer service.Close()

	ann.NoSync(walking.Window{Start: now, End: now.Add(72 * time.Hour)})
	s.Break(simulate.Fault{Kind: healthsim.ThrottleFor, Times: 1})

	resp, err := http.PostForm(service.URL+"/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {s.Grant("ann", healthsim.ScopeActivity)}, // or consent in a browser
		"client_id": {"client"}, "client_secret": {"secret"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		req, err := http.NewRequest(http.MethodGet, service.URL+"/v4/users/me/identity", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+token.Access)
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
	yesterday := walking.Window{Start: now.Add(-36 * time.Hour), End: now.Add(-12 * time.Hour)}
	fmt.Println(len(ann.Truth(yesterday, now)), "minutes with steps,", s.Peak(), "requests in a minute")
	// Output:
	// 429 "7"
	// 200 ""
	// 247 minutes with steps, 2 requests in a minute
}
