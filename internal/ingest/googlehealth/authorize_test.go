package googlehealth_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/walking"
)

const (
	activity    = "https://www.googleapis.com/auth/googlehealth.activity_and_fitness.readonly"
	preferences = "https://www.googleapis.com/auth/googlehealth.settings.readonly"
)

func TestConsentURL(t *testing.T) {
	s := googlehealth.Defaults()
	s.ClientID, s.ClientSecret = "client", "hush-hush"
	p, ok := s.Provider("watch").(ingest.Authorizer)
	if !ok {
		t.Fatal("the provider asks for no consent")
	}
	u, err := url.Parse(p.ConsentURL(ingest.Consent{State: "state", Verifier: "verifier"}))
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"client_id": {"client"}, "redirect_uri": {"http://localhost:8099/oauth/callback"}, "response_type": {"code"},
		"scope": {activity + " " + preferences}, "access_type": {"offline"}, "prompt": {"consent"},
		"include_granted_scopes": {"true"}, "state": {"state"}, "code_challenge_method": {"S256"},
		"code_challenge": {"iMnq5o6zALKXGivsnlom_0F5_WYda32GHkxlV7mq7hQ"},
	}
	page, _, _ := strings.Cut(u.String(), "?")
	if d := diff(want, u.Query()); d != "" || page != "https://accounts.google.com/o/oauth2/v2/auth" {
		t.Errorf("consent at %s (-want +got):\n%s", u, d)
	}
	if p.RedirectURL() != "http://localhost:8099/oauth/callback" || p.Application() != "client" {
		t.Errorf("application %q, redirected to %q", p.Application(), p.RedirectURL())
	}
	if d := diff([]string{"hush-hush"}, p.Secrets()); d != "" {
		t.Errorf("secrets (-want +got):\n%s", d)
	}
}

// tokens is a token endpoint that answers with a scope, or without.
func tokens(t *testing.T, scope *string) *googlehealth.Settings {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := r.ParseForm()
		if err != nil || r.PostForm.Get("client_secret") != "hush-hush" || r.Header.Get("Authorization") != "" {
			t.Errorf("asked with %v, error %v", r.PostForm, err)
		}
		answer := map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 3599}
		if r.PostForm.Get("grant_type") == "authorization_code" {
			answer["refresh_token"], answer["refresh_token_expires_in"] = "refresh", 604799
		}
		if *scope != "" {
			answer["scope"] = *scope
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	s := googlehealth.Defaults()
	s.ClientID, s.ClientSecret, s.TokenURL = "client", "hush-hush", server.URL
	return s
}

func TestGrantedScopes(t *testing.T) {
	for _, test := range []struct {
		name, scope string
		refused     bool
		probes      bool
	}{
		{name: "both", scope: activity + " openid " + preferences, probes: true},
		{name: "not told", probes: true},
		{name: "activity alone", scope: activity},
		{name: "settings alone", scope: preferences, refused: true},
		{name: "another", scope: "openid", refused: true},
		{name: "an old consent", scope: strings.ReplaceAll(activity+" "+preferences, ".readonly", ""), probes: true},
		{name: "writing alone", scope: strings.ReplaceAll(activity, "readonly", "writeonly"), refused: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			scope := test.scope
			g := newGoogle(t, map[string][]answer{devices: {ok(sample(t, "devices.json"))}})
			s := tokens(t, &scope)
			s.APIURL = g.url
			p := s.Provider("watch")
			auth := p.(ingest.Authorizer) //nolint:errcheck,forcetypeassert // a test may panic
			token, err := auth.Exchange(t.Context(), http.DefaultClient, ingest.Consent{Verifier: "verifier"}, "code")
			if test.refused {
				var e *ingest.Error
				if !errors.As(err, &e) || e.Class != ingest.Auth || token.Access != "" {
					t.Fatalf("token %v, error %v, want one of class auth", token, err)
				}
				const want = "Google Health: the consent does not let walkd read activity data: " +
					"connect it again, and leave the box for activity and fitness data ticked"
				if err.Error() != want {
					t.Errorf("error %q, want %q", err, want)
				}
				return
			}
			if err != nil || token.Access != "access" || token.Refresh != "refresh" || time.Until(token.Ends) < 6*24*time.Hour {
				t.Fatalf("token %v, error %v", token, err)
			}
			check := func(want bool) {
				t.Helper()
				synced, err := probe(p.Source(http.DefaultClient))(t.Context())
				if err != nil || synced.IsZero() == want {
					t.Errorf("the probe says %s, error %v, want something: %t", synced, err, want)
				}
			}
			check(test.probes)
			// A later consent, or what a refresh tells, changes what may be asked.
			scope = activity
			if token, err = auth.Refresh(t.Context(), http.DefaultClient, token); err != nil || token.Refresh != "refresh" {
				t.Fatalf("refreshed to %v, error %v", token, err)
			}
			check(false)
			scope = activity + " " + preferences
			if _, err = auth.Refresh(t.Context(), http.DefaultClient, token); err != nil {
				t.Fatal(err)
			}
			check(true)
		})
	}
}

func TestRefusedExchange(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"Bad Request"}`))
	}))
	t.Cleanup(server.Close)
	s := googlehealth.Defaults()
	s.TokenURL = server.URL
	auth := s.Provider("watch").(ingest.Authorizer) //nolint:errcheck,forcetypeassert // a test may panic
	_, err := auth.Exchange(t.Context(), http.DefaultClient, ingest.Consent{}, "code")
	var e *ingest.Error
	if !errors.As(err, &e) || e.Class != ingest.Auth {
		t.Errorf("exchange: %v, want an error of class auth", err)
	}
	_, err = auth.Refresh(t.Context(), http.DefaultClient, ingest.Token{Refresh: "r"})
	if !errors.As(err, &e) || e.Class != ingest.Auth {
		t.Errorf("refresh: %v, want an error of class auth", err)
	}
}

func TestSpec(t *testing.T) {
	spec := googlehealth.Defaults().Provider("watch").Spec()
	want := ingest.Spec{
		Service: "Google Health", MaxWindow: 61 * 24 * time.Hour, Align: ingest.AlignDay,
		Earliest: walking.DayOf(2009, time.January, 1), LookBack: 72 * time.Hour,
		Limits: []ingest.Limit{{Name: "minute", Requests: 120, Per: time.Minute}},
	}
	if d := diff(want, spec); d != "" {
		t.Errorf("spec (-want +got):\n%s", d)
	}
}

// The end of a grant stays where it is, whatever later answers say of it, until there is another grant.
func TestGrantEnds(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer string // to the refresh
		moved  time.Duration
	}{
		{name: "not said again", answer: `{}`},
		{name: "what is left of it", answer: `{"refresh_token_expires_in":500000}`, moved: -100_000 * time.Second},
		{name: "the whole of it again", answer: `{"refresh_token_expires_in":700000}`},
		{name: "zero", answer: `{"refresh_token_expires_in":0}`},
		{name: "another grant", answer: `{"refresh_token":"other","refresh_token_expires_in":700000}`, moved: 100_000 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				var answer map[string]any
				if err := json.Unmarshal([]byte(test.answer), &answer); err != nil {
					t.Error(err)
				}
				answer["access_token"], answer["token_type"], answer["expires_in"] = "access", "Bearer", 3599
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(answer)
			}))
			t.Cleanup(server.Close)
			s := googlehealth.Defaults()
			s.TokenURL = server.URL
			auth := s.Provider("watch").(ingest.Authorizer) //nolint:errcheck,forcetypeassert // a test may panic
			before := ingest.Token{Refresh: "refresh", Ends: time.Now().Add(600_000 * time.Second)}
			got, err := auth.Refresh(t.Context(), http.DefaultClient, before)
			moved := got.Ends.Sub(before.Ends)
			if err != nil || (moved-test.moved).Abs() > 30*time.Second || test.moved == 0 && moved != 0 {
				t.Errorf("the end has moved by %s, want %s; error %v", moved, test.moved, err)
			}
			// One that has no end, as it has come to be known, gets the one that is told.
			before.Ends = time.Time{}
			got, err = auth.Refresh(t.Context(), http.DefaultClient, before)
			if told := strings.Contains(test.answer, "00000"); err != nil || got.Ends.IsZero() == told {
				t.Errorf("it ends at %s, error %v, want an end: %t", got.Ends, err, told)
			}
		})
	}
}
