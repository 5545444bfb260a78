package engine_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/ingest/oura"
	"github.com/walkd/walkd/internal/ingest/polar"
	"github.com/walkd/walkd/internal/ingest/withings"
	"github.com/walkd/walkd/internal/simulate"
	"github.com/walkd/walkd/internal/simulate/healthsim"
	"github.com/walkd/walkd/internal/simulate/ourasim"
	"github.com/walkd/walkd/internal/simulate/polarsim"
	"github.com/walkd/walkd/internal/simulate/withingssim"
)

// What the services have registered.
const (
	soakClient   = "walkd-soak.apps.googleusercontent.com"
	soakSecret   = "GOCSPX-soak"
	soakRedirect = "http://127.0.0.1:8098/oauth/callback"
)

// soakProvider returns the provider that a person has, as configured, at base. wall is the time by which tokens count.
func soakProvider(base string, p soakPerson, wall pullClock) ingest.Provider {
	at := base + "/p/" + p.Name
	switch p.Kind {
	case "withings":
		s := &withings.Settings{
			ClientID: soakClient, ClientSecret: soakSecret, RedirectURL: soakRedirect,
			APIURL: at, AuthURL: at + "/oauth2_user/authorize2",
		}
		made := s.Provider("watch").(*withings.Provider)
		made.KeepTime(wall)
		return made
	case "polar":
		s := &polar.Settings{
			ClientID: soakClient, ClientSecret: soakSecret, RedirectURL: soakRedirect,
			APIURL: at, AuthURL: at + "/oauth2/authorization", TokenURL: at + "/v2/oauth2/token",
		}
		return s.Provider("watch")
	case "oura":
		s := &oura.Settings{
			ClientID: soakClient, ClientSecret: soakSecret, RedirectURL: soakRedirect,
			APIURL: at, AuthURL: at + "/oauth/authorize",
		}
		made := s.Provider("watch").(*oura.Provider)
		made.KeepTime(wall.Now)
		return made
	}
	s := &googlehealth.Settings{
		ClientID: soakClient, ClientSecret: soakSecret, RedirectURL: soakRedirect,
		APIURL: at, AuthURL: at + "/o/oauth2/v2/auth", TokenURL: at + "/token", RevokeURL: at + "/revoke",
	}
	return s.Provider("watch")
}

// pullClock is what keeps time for pulling.
type pullClock interface {
	Now() time.Time
	NewTimer(d time.Duration) (c <-chan time.Time, stop func())
}

// A soakService is the simulated service that a citizen has, whichever it is.
type soakService struct {
	http.Handler
	tokenPath string // of its token endpoint
	clear     func()
	random    func(chance float64) // lets so many requests to the API fail in ways that pass by themselves
	// tokens let the next request for a token fail, each in a way of its own.
	tokens []func()
	// refusals let access tokens be refused that should hold, each in a way of its own.
	refusals []func()
	slow     func()
	over     func() string // what limit of the provider was exceeded; "" if none was
	made     func() int    // how many requests were made to fail
}

// newSoakService returns the service of c. numbers and empty are those of soakPlan.
func newSoakService(w *world, c *citizen, i int, plan soakPlan) *soakService {
	seed := plan.seed + uint64(i)
	s := &soakService{}
	faults := func(path string, breaks func(kind int) func(), n int) {
		s.tokenPath = path
		for k := range n {
			s.tokens = append(s.tokens, breaks(k))
		}
	}
	most := func(name string, n, limit int) string {
		if n <= limit {
			return ""
		}
		return fmt.Sprintf("%d requests in %s, where %d are allowed", n, name, limit)
	}
	switch c.config.Kind {
	case "withings":
		service := withingssim.New(withingssim.Options{
			Now: w.time, Wall: w.wall, ClientID: soakClient, ClientSecret: soakSecret, RedirectURLs: []string{soakRedirect},
			Consent: c.Name(), Arrays: true, Strings: plan.numbers, Seed: seed,
		})
		service.Add(c.Person)
		kinds := []simulate.Kind{
			withingssim.Throttle, withingssim.ThrottleFor, withingssim.TimedOut, withingssim.Trouble, withingssim.ServerError,
			simulate.HTMLPage, simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped, withingssim.NoBody,
		}
		s.Handler, s.clear, s.made = service, service.Clear, service.Made
		s.random = func(chance float64) { service.BreakAtRandom(chance, kinds...) }
		faults("/v2/oauth2", func(k int) func() {
			return func() { service.Break(simulate.Fault{Kind: kinds[k], Path: "/v2/oauth2", Times: 1}) }
		}, len(kinds))
		s.refusals = []func(){
			func() { service.Break(simulate.Fault{Kind: withingssim.ExpireTokens}) },
			func() { service.Break(simulate.Fault{Kind: withingssim.Unauthorized, Times: 1}) },
		}
		s.slow = func() { service.Break(simulate.Fault{Kind: simulate.Slow, Times: 1}) }
		s.over = func() string { return most("a minute", service.Peak(), 120) }
	case "polar":
		service := polarsim.New(polarsim.Options{
			Now: w.time, Wall: w.wall, ClientID: soakClient, ClientSecret: soakSecret, RedirectURLs: []string{soakRedirect},
			Consent: c.Name(), NoInterval: plan.numbers, Seed: seed,
		})
		service.Add(c.Person)
		kinds := []simulate.Kind{
			polarsim.Throttle, polarsim.ThrottleFor, polarsim.ServerError, polarsim.Unavailable, simulate.HTMLPage,
			simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped, polarsim.Null,
		}
		s.Handler, s.clear, s.made = service, service.Clear, service.Made
		s.random = func(chance float64) { service.BreakAtRandom(chance, kinds...) }
		// A code whose answer is lost, or a registration, is asked for again by the person.
		s.tokenPath = "/v2/oauth2/token"
		s.refusals = []func(){func() { service.Break(simulate.Fault{Kind: polarsim.Unauthorized, Times: 1}) }}
		s.slow = func() { service.Break(simulate.Fault{Kind: simulate.Slow, Times: 1}) }
		s.over = func() string {
			short, long := service.Peak()
			return most("15 minutes", short, 520) + most("a day", long, 5100)
		}
	case "oura":
		service := ourasim.New(ourasim.Options{
			Now: w.time, Wall: w.wall, ClientID: soakClient, ClientSecret: soakSecret, RedirectURLs: []string{soakRedirect},
			Consent: c.Name(), EmptyPages: plan.empty, Midnight: plan.numbers, Seed: seed,
		})
		service.Add(c.Person)
		kinds := []simulate.Kind{
			ourasim.Throttle, ourasim.ThrottleFor, ourasim.ServerError, ourasim.Unavailable, simulate.HTMLPage,
			simulate.HTMLSuccess, simulate.Truncated, simulate.Dropped, ourasim.Null,
		}
		s.Handler, s.clear, s.made = service, service.Clear, service.Made
		s.random = func(chance float64) { service.BreakAtRandom(chance, kinds...) }
		faults("/oauth/token", func(k int) func() {
			return func() { service.Break(simulate.Fault{Kind: kinds[k], Path: "/oauth/token", Times: 1}) }
		}, len(kinds))
		s.refusals = []func(){
			func() { service.Break(simulate.Fault{Kind: ourasim.ExpireTokens}) },
			func() { service.Break(simulate.Fault{Kind: ourasim.Unauthorized, Times: 1}) },
		}
		s.slow = func() { service.Break(simulate.Fault{Kind: simulate.Slow, Times: 1}) }
		s.over = func() string { return most("five minutes", service.Peak(), 5000) }
	default:
		service := healthsim.New(healthsim.Options{
			Now: w.time, Wall: w.wall, ClientID: soakClient, ClientSecret: soakSecret, RedirectURLs: []string{soakRedirect},
			Consent: c.Name(), Rotate: i == 1, Numbers: plan.numbers, EmptyFirst: plan.empty && i == 1, Seed: seed,
		})
		service.Add(c.Person)
		kinds := []simulate.Kind{
			healthsim.Throttle, healthsim.ThrottleFor, healthsim.ServerError, simulate.HTMLPage, simulate.HTMLSuccess,
			simulate.Truncated, simulate.Dropped,
		}
		s.Handler, s.clear, s.made = service, service.Clear, service.Made
		s.random = func(chance float64) { service.BreakAtRandom(chance, kinds...) }
		faults("/token", func(k int) func() {
			return func() { service.Break(simulate.Fault{Kind: kinds[k], Path: "/token", Times: 1}) }
		}, len(kinds))
		s.refusals = []func(){
			func() { service.Break(simulate.Fault{Kind: healthsim.ExpireTokens}) },
			func() { service.Break(simulate.Fault{Kind: healthsim.Unauthorized, Times: 1}) },
		}
		s.slow = func() { service.Break(simulate.Fault{Kind: simulate.Slow, Times: 1}) }
		s.over = func() string { return most("a minute", service.Peak(), 300) }
	}
	return s
}
