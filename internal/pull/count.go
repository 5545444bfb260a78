package pull

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// counts are the requests since the start, by kind and outcome.
type counts struct {
	mu sync.Mutex
	n  map[[2]string]int64
}

func (c *counts) add(kind, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[[2]string{kind, outcome}]++
}

// Requests returns how many requests had which outcome since the start, by kind and outcome.
func (p *Puller) Requests() []RequestCount {
	p.counts.mu.Lock()
	n := maps.Clone(p.counts.n)
	p.counts.mu.Unlock()
	out := make([]RequestCount, 0, len(n))
	for k, count := range n {
		out = append(out, RequestCount{k[0], k[1], count})
	}
	slices.SortFunc(out, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Outcome, b.Outcome))
	})
	return out
}

// counter counts requests by their outcome.
type counter struct {
	counts *counts
	kind   string
	next   http.RoundTripper
}

func (c counter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	c.counts.add(c.kind, outcome(resp, err))
	return resp, err
}

func outcome(resp *http.Response, err error) string {
	switch {
	case errors.As(err, new(*unsent)):
		return "budget"
	case err != nil:
		return "network"
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return "auth"
	case resp.StatusCode == http.StatusTooManyRequests:
		return "throttled"
	case resp.StatusCode >= 500:
		return "server_error"
	case resp.StatusCode >= 400:
		return "client_error"
	}
	return "ok"
}
