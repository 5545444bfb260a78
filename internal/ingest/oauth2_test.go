package ingest_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/ingest"
	"golang.org/x/oauth2"
)

func TestOAuth2(t *testing.T) {
	var form url.Values
	answer := ""
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if err := r.ParseForm(); err != nil || r.Header.Get("Authorization") != "" {
			t.Errorf("%v, %v", r.Header, err)
		}
		form = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	o := &ingest.OAuth2{
		Config: oauth2.Config{
			ClientID: "app", ClientSecret: "hush", RedirectURL: "http://localhost/callback", Scopes: []string{"a", "b"},
			Endpoint: oauth2.Endpoint{AuthURL: "https://example.org/auth", TokenURL: srv.URL},
		},
		AuthParams: map[string]string{"access_type": "offline"}, Service: "Steps Ltd",
		Wall: func() time.Time { return now },
	}
	c := ingest.Consent{State: "s", Verifier: oauth2.GenerateVerifier()}
	u, err := url.Parse(o.ConsentURL(c))
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"access_type": {"offline"}, "client_id": {"app"}, "redirect_uri": {"http://localhost/callback"}, "scope": {"a b"},
		"response_type": {"code"}, "state": {"s"}, "code_challenge_method": {"S256"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(c.Verifier)},
	}
	if diff := cmp.Diff(want, u.Query()); diff != "" {
		t.Errorf("consent (-want +got):\n%s", diff)
	}
	answer = `{"access_token":"A1","refresh_token":"R1","expires_in":3599,"refresh_token_expires_in":604799,
		"scope":"a b","token_type":"Bearer"}`
	first, err := o.Exchange(t.Context(), srv.Client(), c, "the-code")
	if err != nil {
		t.Fatal(err)
	}
	token := ingest.Token{
		Access: "A1", Refresh: "R1", Expiry: now.Add(3599 * time.Second), Ends: now.Add(604799 * time.Second),
		Scopes: []string{"a", "b"},
	}
	if diff := cmp.Diff(token, first); diff != "" {
		t.Errorf("exchange (-want +got):\n%s", diff)
	}
	if form.Get("code_verifier") != c.Verifier || form.Get("client_secret") != "hush" || form.Get("code") != "the-code" {
		t.Errorf("form %v", form)
	}
	// What the answer does not tell stays.
	answer = `{"access_token":"A2","expires_in":"60"}`
	second, err := o.Refresh(t.Context(), srv.Client(), first)
	if err != nil {
		t.Fatal(err)
	}
	token.Access, token.Expiry = "A2", now.Add(time.Minute)
	if diff := cmp.Diff(token, second); diff != "" {
		t.Errorf("refresh (-want +got):\n%s", diff)
	}
	answer = `{"access_token":"A3","refresh_token":"R3"}`
	third, err := o.Refresh(t.Context(), srv.Client(), second)
	if err != nil || third.Refresh != "R3" || !third.Expiry.IsZero() {
		t.Errorf("%+v, %v", third, err)
	}
	if asked != 3 {
		t.Errorf("%d requests, want 3", asked)
	}
	var e *ingest.Error
	if _, err := o.Refresh(t.Context(), srv.Client(), ingest.Token{}); !errors.As(err, &e) || e.Class != ingest.Auth {
		t.Errorf("without a refresh token: %v", err)
	}
}

// The name of the account comes with a token, and stays if a later answer does not tell it.
func TestOAuth2Account(t *testing.T) {
	for told, want := range map[string]string{
		`,"user":10579`: "10579", `,"user":"a-b"`: "a-b", `,"user":9007199254740992`: "9007199254740992", `,"user":null`: "",
		`,"user":1.5`: "", `,"user":1e300`: "", `,"user":{}`: "", ``: "",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"A1"`+told+`}`)
		}))
		o := &ingest.OAuth2{
			Config: oauth2.Config{ClientID: "app", Endpoint: oauth2.Endpoint{TokenURL: srv.URL}}, AccountField: "user",
		}
		got, err := o.Exchange(t.Context(), srv.Client(), ingest.Consent{}, "the-code")
		if err != nil || got.Account != want {
			t.Errorf("%s: account %q, error %v, want %q", told, got.Account, err, want)
		}
		got, err = o.Refresh(t.Context(), srv.Client(), ingest.Token{Refresh: "R", Account: "before"})
		if want == "" {
			want = "before"
		}
		if err != nil || got.Account != want {
			t.Errorf("%s: account %q after a renewal, error %v, want %q", told, got.Account, err, want)
		}
		srv.Close()
	}
}

func TestOAuth2Errors(t *testing.T) {
	tests := []struct {
		name         string
		status       int
		kind, body   string
		refresh      bool
		class        ingest.Class
		text, remedy string
		retry        time.Duration
	}{
		{"ended", 400, "", `{"error":"invalid_grant","error_description":"Token has been revoked."}`, true, ingest.Auth, "withdrawn", ingest.ConnectAgain, 0},
		{"used", 400, "", `{"error":"invalid_grant"}`, false, ingest.Auth, "used already or has expired", ingest.ConnectAgain, 0},
		{"secret", 401, "", `{"error":"invalid_client"}`, true, ingest.Auth, "secret is refused", "check client_id", 0},
		{"secret in 200", 200, "", `{"error":"unauthorized_client"}`, false, ingest.Auth, "secret is refused", "check client_id", 0},
		{"client deleted", 401, "", `{"error":"deleted_client","error_description":"The OAuth client was deleted."}`, true, ingest.Auth, "The OAuth client was deleted", "check client_id", 0},
		{"no word", 401, "", ``, false, ingest.Auth, "secret is refused", "check client_id", 0},
		{"redirect", 400, "", `{"error":"redirect_uri_mismatch"}`, false, ingest.Auth, "redirect URL", "http://localhost/callback", 0},
		{"redirect in words", 400, "", `{"error":"invalid_grant","error_description":"Redirect_uri differs"}`, false, ingest.Auth, "redirect URL", "http://localhost/callback", 0},
		{"scope", 400, "", `{"error":"invalid_scope"}`, false, ingest.Permanent, "invalid_scope", "", 0},
		{"throttled", 429, "", ``, true, ingest.Throttled, "too many", "", 90 * time.Second},
		{"server", 503, "", `{"error":"invalid_grant"}`, true, ingest.Transient, "503", "", 90 * time.Second},
		{"web page", 200, "text/html", `<html>hush R-secret</html>`, true, ingest.Transient, "no sense", "", 0},
		{"web page in 400", 400, "text/html", `<html>hush R-secret</html>`, true, ingest.Transient, "400", "", 0},
		{"cut off", 200, "", `{"access_token":"R-sec`, true, ingest.Transient, "no sense", "", 0},
		{"no token", 200, "", `{"expires_in":3}`, true, ingest.Transient, "no sense", "", 0},
		{"telling", 400, "", `{"error":"invalid_grant","error_description":"bad R-secret"}`, true, ingest.Auth, "withdrawn", "", 0},
		{"telling the secret", 400, "", `{"error":"odd","error_description":"bad hush"}`, true, ingest.Permanent, "refused", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				w.Header().Set("Content-Type", "application/json")
				if tt.kind != "" {
					w.Header().Set("Content-Type", tt.kind)
				}
				w.Header().Set("Retry-After", "90")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer srv.Close()
			o := &ingest.OAuth2{
				Config: oauth2.Config{
					ClientID: "app", ClientSecret: "hush", RedirectURL: "http://localhost/callback",
					Endpoint: oauth2.Endpoint{TokenURL: srv.URL},
				},
				Service: "Steps Ltd", Wall: func() time.Time { return now },
			}
			_, err := o.Exchange(t.Context(), srv.Client(), ingest.Consent{Verifier: "R-secret"}, "R-secret")
			if tt.refresh {
				_, err = o.Refresh(t.Context(), srv.Client(), ingest.Token{Refresh: "R-secret"})
			}
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != tt.class || !strings.Contains(e.Err.Error(), tt.text) ||
				!strings.Contains(e.Remedy, tt.remedy) || e.RetryAfter != tt.retry {
				t.Errorf("%+v", err)
			}
			if s := err.Error(); strings.Contains(s, "hush") || strings.Contains(s, "R-sec") {
				t.Errorf("a secret in %s", s)
			}
			if asked > 2 {
				t.Errorf("%d requests for two questions", asked)
			}
		})
	}
}

func TestOAuth2NoAnswer(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	o := &ingest.OAuth2{
		Config:  oauth2.Config{Endpoint: oauth2.Endpoint{TokenURL: srv.URL + "?key=hush"}},
		Service: "Steps Ltd",
	}
	_, err := o.Refresh(t.Context(), http.DefaultClient, ingest.Token{Refresh: "R"})
	var e *ingest.Error
	if !errors.As(err, &e) || e.Class != ingest.Transient || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
}

func TestOAuth2WithoutPKCE(t *testing.T) {
	var form url.Values
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth()
		if err := r.ParseForm(); err != nil || !ok || id != "app" || secret != "hush" {
			t.Errorf("%v, %v", r.Header, err)
		}
		form = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"A1","token_type":"bearer"}`)
	}))
	t.Cleanup(srv.Close)
	o := &ingest.OAuth2{
		Config: oauth2.Config{
			ClientID: "app", ClientSecret: "hush", RedirectURL: "http://localhost/callback",
			Endpoint: oauth2.Endpoint{
				AuthURL: "https://example.org/auth", TokenURL: srv.URL, AuthStyle: oauth2.AuthStyleInHeader,
			},
		},
		NoPKCE: true,
	}
	c := ingest.Consent{State: "s", Verifier: oauth2.GenerateVerifier()}
	if u := o.ConsentURL(c); strings.Contains(u, "challenge") || !strings.Contains(u, "state=s") {
		t.Errorf("consent at %s", u)
	}
	if token, err := o.Exchange(t.Context(), srv.Client(), c, "the-code"); err != nil || token.Access != "A1" {
		t.Errorf("%+v, %v", token, err)
	}
	want := url.Values{
		"grant_type": {"authorization_code"}, "code": {"the-code"}, "redirect_uri": {"http://localhost/callback"},
	}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
}
