package ntfytest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/notify/ntfy/ntfytest"
)

// TestAsDocumented publishes as the documentation of ntfy shows it, and reads back what a phone would get.
func TestAsDocumented(t *testing.T) {
	server := httptest.NewServer(ntfytest.New(ntfytest.Options{}))
	defer server.Close()
	for _, p := range []struct {
		method, path, body string
		header             map[string]string
		want               int
	}{
		{"POST", "/mytopic", "Backup successful 😀", nil, 200},
		{"PUT", "/mytopic", "Oh my ...", map[string]string{
			"Title": "=?UTF-8?B?8J+HqfCfh6o=?=", "Priority": "urgent", "Tags": "warning,skull", "X-Sequence-ID": "a",
		}, 200},
		{"POST", "/mytopic/a", "", map[string]string{"p": "2"}, 200},
		{"POST", "/", `{"topic":"mytopic","message":"json","sequence_id":"a","priority":4}`, nil, 200},
		{"POST", "/", `{"topic":"my topic"}`, nil, 400},
		{"POST", "/", `no JSON`, nil, 400},
		{"POST", "/", `{"topic":"mytopic","message":"` + strings.Repeat("x", 17000) + `"}`, nil, 413},
		{"POST", "/mytopic", strings.Repeat("x", 4096), nil, 400},
		{"POST", "/mytopic", "x", map[string]string{"p": "9"}, 400},
		{"POST", "/mytopic", "x", map[string]string{"Authorization": "Bearer wrong"}, 401},
		{"GET", "/v1/health", "", nil, 200},
		{"GET", "/v1/version", "", nil, 401},
		{"GET", "/nowhere", "", nil, 404},
	} {
		req, err := http.NewRequest(p.method, server.URL+p.path, strings.NewReader(p.body))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range p.header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != p.want {
			t.Errorf("%s %s answers %d, want %d: %s", p.method, p.path, resp.StatusCode, p.want, text)
		}
	}
	resp, err := http.Get(server.URL + "/mytopic/json?poll=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []ntfytest.Message
	for d := json.NewDecoder(resp.Body); d.More(); {
		var m ntfytest.Message
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		m.ID, m.Time, m.Expires = "", 0, 0
		got = append(got, m)
	}
	want := []ntfytest.Message{
		{Event: "message", Topic: "mytopic", Message: "Backup successful 😀"},
		{
			Event: "message", Topic: "mytopic", Message: "Oh my ...", Title: "🇩🇪", Priority: 5,
			Tags: []string{"warning", "skull"}, SequenceID: "a",
		},
		{Event: "message", Topic: "mytopic", Message: "triggered", Priority: 2, SequenceID: "a"},
		{Event: "message", Topic: "mytopic", Message: "json", Priority: 4, SequenceID: "a"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}
