package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

// Every request of an account goes through one chain, so that no source can forget a part of it:
//
//	bearer (token.go) → counter (count.go) → budget (budget.go) → limits (here) → Options.Transport
//
// and every error that comes out of it, or of the source, goes through account.settle, which takes out the secrets.

// A purpose says what a request is made for.
type purpose int

const (
	polling purpose = iota // by the clock
	backfilling
	asked // by a person
)

// A lane is the way on which an account asks for one purpose.
type lane struct {
	purpose  purpose
	source   ingest.Source
	access   *http.Client // to the token endpoint, for renewals: without a token
	exchange *http.Client // to the token endpoint, for codes
	requests atomic.Int64 // to the source
	renewals atomic.Int64 // to the token endpoint
}

func (l *lane) sent() int { return int(l.requests.Load() + l.renewals.Load()) }

// newLane builds the chain of an account for a purpose.
func (p *Puller) newLane(a *account, why purpose) *lane {
	l := &lane{purpose: why}
	var base http.RoundTripper = limits{next: p.o.Transport, timeout: p.o.Timeout}
	budgeted := func(sent *atomic.Int64, renewal bool) http.RoundTripper {
		return counter{
			counts: p.counts, kind: a.Kind,
			next: budget{puller: p, account: a, purpose: why, renewal: renewal, sent: sent, next: base},
		}
	}
	l.access = &http.Client{Transport: budgeted(&l.renewals, true), CheckRedirect: sameHost}
	l.exchange = &http.Client{Transport: budgeted(&l.renewals, false), CheckRedirect: sameHost}
	chain := budgeted(&l.requests, false)
	if a.auth != nil {
		chain = bearer{puller: p, account: a, lane: l, next: chain}
	}
	l.source = a.Provider.Source(&http.Client{Transport: chain, CheckRedirect: sameHost})
	return l
}

// A failure is an error that the chain made. It says more than what a source makes of it.
type failure struct{ told *ingest.Error }

func (f *failure) Error() string { return f.told.Error() }

func (f *failure) Unwrap() error { return f.told }

func failf(c ingest.Class, format string, a ...any) *failure {
	return &failure{&ingest.Error{Class: c, Err: fmt.Errorf(format, a...)}}
}

// sameHost follows redirects only to where the source asked: another host must not see the token, and what it answers
// is as a rule the login page of some network.
func sameHost(req *http.Request, via []*http.Request) error {
	const most = 5
	first := via[0].URL
	switch {
	case req.URL.Host != first.Host || req.URL.Scheme != first.Scheme:
		return failf(ingest.Transient, "%s sends to another place, %s, which is not followed", first.Host, req.URL.Host)
	case len(via) > most:
		return failf(ingest.Transient, "%s sends from one place to the next without end", first.Host)
	}
	return nil
}

const (
	userAgent = "walkd"
	maxBody   = 32 << 20 // bytes
)

var (
	errTooSlow  = errors.New("too slow")
	errTooLarge = failf(ingest.Permanent, "the answer is larger than %d MiB", maxBody>>20)
)

// limits bounds how long an answer may take, to its last byte, and how long it may be.
type limits struct {
	next    http.RoundTripper
	timeout time.Duration
}

func (l limits) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(req.Context(), l.timeout, errTooSlow)
	req = req.Clone(ctx)
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", userAgent)
	}
	b := &body{ctx: ctx, cancel: cancel, host: req.URL.Host, timeout: l.timeout, left: maxBody}
	resp, err := l.next.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, b.explain(err)
	}
	b.in = resp.Body
	resp.Body = b
	return resp, nil
}

// A body is the body of an answer within the limits.
type body struct {
	ctx     context.Context // a body lives as long as its request
	cancel  context.CancelFunc
	in      io.ReadCloser
	host    string
	timeout time.Duration
	left    int64
}

func (b *body) Read(buf []byte) (int, error) {
	if int64(len(buf)) > b.left+1 {
		buf = buf[:b.left+1]
	}
	n, err := b.in.Read(buf)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = b.explain(err)
	}
	return n, err
}

func (b *body) Close() error {
	defer b.cancel()
	return b.in.Close()
}

func (b *body) explain(err error) error {
	if errors.Is(context.Cause(b.ctx), errTooSlow) {
		return failf(ingest.Transient, "no whole answer from %s within %s", b.host, b.timeout)
	}
	return err
}

// discard reads what is left of an answer, up to a bound, so that its connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}
