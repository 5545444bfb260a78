package ingest_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

func TestReadJSON(t *testing.T) {
	type point struct{ Steps int }
	tests := []struct {
		name string
		body io.Reader
		want string // in the error; "" for none
	}{
		{"sound", strings.NewReader(` {"Steps": 7} ` + "\n"), ""},
		{"empty", strings.NewReader(""), "not all of it"},
		{"cut off", strings.NewReader(`{"Steps": 7`), "not all of it"},
		{"more", strings.NewReader(`{"Steps": 7} {}`), "no JSON"},
		{"web page", strings.NewReader("\n <html>"), "web page"},
		{"broken", io.MultiReader(strings.NewReader(`{"Steps": 7}`), iotest.ErrReader(io.ErrUnexpectedEOF)), "broke off"},
		{"another kind", strings.NewReader(`{"Steps": 7123.5}`), `has a number for "Steps"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got point
			closed := &closer{Reader: tt.body}
			err := ingest.ReadJSON("Steps Ltd", &http.Response{StatusCode: 200, Body: closed}, &got)
			checkError(t, err, tt.want)
			if err == nil && got.Steps != 7 {
				t.Errorf("got %+v", got)
			}
			var e *ingest.Error
			if err != nil && (!errors.As(err, &e) || e.Class != ingest.Transient || strings.Contains(err.Error(), "7123")) {
				t.Errorf("err = %#v", err)
			}
			if !closed.closed {
				t.Error("the body is not closed")
			}
		})
	}
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error {
	c.closed = true
	return nil
}

func TestStatusError(t *testing.T) {
	tests := []struct {
		status     int
		retryAfter string
		class      ingest.Class
		want       time.Duration
	}{
		{401, "", ingest.Auth, 0},
		{403, "", ingest.Auth, 0},
		{429, "", ingest.Throttled, 0},
		{429, "120", ingest.Throttled, 2 * time.Minute},
		{429, "-5", ingest.Throttled, 0},
		{429, "Fri, 20 Nov 2026 12:03:00 GMT", ingest.Throttled, 3 * time.Minute},
		{429, "Fri, 20 Nov 2026 11:00:00 GMT", ingest.Throttled, 0},
		{429, "soon", ingest.Throttled, 0},
		{408, "", ingest.Transient, 0},
		{500, "", ingest.Transient, 0},
		{503, "7", ingest.Transient, 7 * time.Second},
		{404, "7", ingest.Permanent, 0},
		{302, "", ingest.Permanent, 0},
	}
	for _, tt := range tests {
		resp := &http.Response{StatusCode: tt.status, Header: http.Header{"Retry-After": {tt.retryAfter}}}
		got := ingest.StatusError("Steps Ltd", resp, now)
		if got.Class != tt.class || got.RetryAfter != tt.want || got.Status != tt.status {
			t.Errorf("%d %q: %+v, want %s after %s", tt.status, tt.retryAfter, got, tt.class, tt.want)
		}
	}
	if err := ingest.StatusError("Steps Ltd", &http.Response{StatusCode: 204}, now); err != nil {
		t.Errorf("204: %v", err)
	}
}

func TestQuote(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Authorization", "Bearer the-token")
	resp := &http.Response{Request: req}
	for text, want := range map[string]string{
		"":                         "",
		" \n\t ":                   "",
		"not\x00 a\n date \xff":    `"not a date"`,
		"the-token is refused":     "",
		"hush is refused":          "",
		strings.Repeat("ä ", 300):  `"` + strings.Repeat("ä ", 99) + `ä…"`,
		`it says "no"`:             `"it says \"no\""`,
		"the-toke is not the hus!": `"the-toke is not the hus!"`,
	} {
		if got := ingest.Quote(text, resp, "hush", ""); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if got := ingest.Quote("so", &http.Response{}); got != `"so"` {
		t.Errorf("got %s", got)
	}
}

func TestAnsweredAt(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	resp := &http.Response{Header: http.Header{"Date": {at.Format(http.TimeFormat)}}}
	if got := ingest.AnsweredAt(resp); !got.Equal(at) {
		t.Errorf("%s, want %s", got, at)
	}
	if got := ingest.AnsweredAt(&http.Response{}); got.Before(at.AddDate(-2, 0, 0)) {
		t.Errorf("%s without a date", got)
	}
}
