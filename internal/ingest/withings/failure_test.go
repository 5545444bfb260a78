package withings_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

// span returns the integers from first to last.
func span(first, last int) (out []int) {
	for n := first; n <= last; n++ {
		out = append(out, n)
	}
	return out
}

// Every documented status has a class. The lists are those of Withings' table of statuses.
func TestStatuses(t *testing.T) {
	params := slices.Concat(
		span(201, 213), []int{216, 217, 218, 220, 221, 223, 225, 227, 228, 229, 230, 234, 235, 236, 238}, span(240, 252),
		[]int{254}, span(260, 267), []int{271, 272, 275, 276}, span(283, 288), []int{290, 293, 294, 295, 297}, span(300, 304),
		[]int{321}, span(323, 353), span(380, 382), []int{400}, span(501, 506), span(509, 511), []int{523, 532}, span(3017, 3019),
	)
	trouble := slices.Concat(
		[]int{215, 219, 222, 224, 226, 231, 233, 237, 253}, span(255, 259), []int{268, 269, 270, 273, 274}, span(278, 282),
		[]int{289, 291, 292, 296, 298, 305, 306}, span(308, 320), []int{322}, span(370, 375), []int{383, 391, 402},
		span(516, 521), span(525, 531), []int{533, 602, 700}, span(1051, 1054), []int{2551, 2552}, span(2556, 2559),
		span(3000, 3016), span(3020, 3024), []int{5000, 5001, 5005, 5006, 6000, 6010, 6011, 9000, 10000, 522, 524},
	)
	for _, test := range []struct {
		statuses []int
		class    ingest.Class
		remedy   string
	}{
		{[]int{100, 101, 102, 200, 401}, ingest.Transient, ""},
		{[]int{214, 277, 2553, 2555}, ingest.Auth, "connect it again, and allow walkd to see your activity"},
		{params, ingest.Permanent, "update walkd: the API may have changed"},
		{[]int{2554}, ingest.Permanent, "update walkd: the API may have changed"},
		{trouble, ingest.Transient, ""},
		{[]int{601}, ingest.Throttled, ""},
		{[]int{-5, 1, 99, 123456789}, ingest.Transient, ""}, // of no table
	} {
		for _, status := range test.statuses {
			s := newScript(t, map[string][]string{days: {fmt.Sprintf(`{"status":%d,"body":{},"error":"words of Withings"}`, status)}})
			b, err := s.fetch(request(1, 1))
			var e *ingest.Error
			if !errors.As(err, &e) || e.Class != test.class || !strings.HasPrefix(e.Remedy, test.remedy) ||
				test.remedy == "" && e.Remedy != "" || e.Status != http.StatusOK {
				t.Errorf("status %d: %#v", status, err)
			} else if want := fmt.Sprintf(`(status %d, "words of Withings")`, status); !strings.Contains(err.Error(), want) {
				t.Errorf("status %d: %v, want %s in it", status, err, want)
			}
			if len(b.Covers) > 0 {
				t.Errorf("status %d: a batch", status)
			}
		}
	}
}

func TestTooManyRequests(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		want         time.Duration
		requests     int
	}{
		{"rate", `{"status":601,"body":{},"error":"Too Many Requests"}`, time.Minute, 1},
		{"rate without a body", `{"status":601}`, time.Minute, 1},
		{"rate for a time", `{"status":601,"body":{"wait_seconds":"95"},"error":"Too Many Requests"}`, 95 * time.Second, 1},
		{
			"repeated", `{"status":601,"body":{"wait_seconds":188},"error":"Same arguments in less than 10 seconds"}`,
			188 * time.Second, 1,
		},
		{
			"repeated, again and again", `{"status":601,"body":[],"error":"Same arguments in less than 10 seconds"}`,
			10 * time.Second, 2,
		},
		{"for ever", `{"status":601,"body":{"wait_seconds":1e300}}`, 24 * time.Hour, 1},
	} {
		s := newScript(t, map[string][]string{days: {test.answer}})
		_, err := s.fetch(request(1, 1))
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class != ingest.Throttled || e.RetryAfter != test.want || len(s.asked) != test.requests {
			t.Errorf("%s: %#v after %d requests", test.name, err, len(s.asked))
		}
	}
	// One that was only too soon is asked again.
	s := newScript(t, map[string][]string{
		days:    {`{"status":601,"body":{"wait_seconds":3},"error":"Same arguments in less than 10 seconds"}`, ok(`{"activities":[]}`)},
		minutes: {ok(`{"series":[]}`)}, workouts: {ok(`{"series":[]}`)},
	})
	if _, err := s.fetch(request(1, 1)); err != nil {
		t.Error(err)
	}
}

// Statuses of HTTP come from something on the way.
func TestHTTPStatuses(t *testing.T) {
	for status, want := range map[int]ingest.Class{
		400: ingest.Permanent, 403: ingest.Transient, 404: ingest.Permanent, 408: ingest.Transient, 429: ingest.Throttled,
		500: ingest.Transient, 502: ingest.Transient, 204: ingest.Transient,
	} {
		s := newScript(t, map[string][]string{days: {"<html>"}})
		s.status = status
		s.header.Set("Retry-After", "77")
		_, err := s.fetch(request(1, 1))
		var e *ingest.Error
		if !errors.As(err, &e) || e.Class != want || want == ingest.Throttled && e.RetryAfter != 77*time.Second {
			t.Errorf("%d: %#v", status, err)
		}
	}
}

// What Withings says is shown, unless it could give something away.
func TestWordsWithoutSecrets(t *testing.T) {
	for _, words := range []string{
		"the token a075f8c14fb8df40b08ebc8508533dc332a6910a is invalid", "line\nbreak", strings.Repeat("long ", 40), `<b>` + "\u0000",
	} {
		text, err := json.Marshal(words)
		if err != nil {
			t.Fatal(err)
		}
		s := newScript(t, map[string][]string{days: {`{"status":2556,"body":{},"error":` + string(text) + `}`}})
		if _, err := s.fetch(request(1, 1)); err == nil || !strings.HasSuffix(err.Error(), "(status 2556)") {
			t.Errorf("%v", err)
		}
	}
}
