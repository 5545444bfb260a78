package pull

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/walkd/walkd/internal/ingest"
)

const (
	renewAhead   = time.Minute      // before a token expires, or after half of its life if that is shorter
	renewTimeout = 30 * time.Second // of a renewal, whoever waits for it
	renewPause   = 30 * time.Second // after a renewal that failed: one attempt a poll
)

// A grant is what an account may ask with.
type grant struct {
	connected bool
	token     ingest.Token
	issued    time.Time    // wall, when this process got the token; zero if it did not
	kept      bool         // pending is a token
	pending   ingest.Token // renewed, but not yet on disk
	refusal   error        // of the last renewal
	refusedAt time.Time    // wall
}

// bearer adds the access token to every request. It renews one that is about to expire, and one that is refused, then
// once.
type bearer struct {
	puller  *Puller
	account *account
	lane    *lane
	next    http.RoundTripper
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	access, err := b.puller.access(req.Context(), b.account, b.lane, "")
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := b.next.RoundTrip(authorized(req, access))
	if err != nil || !b.refused(resp) || req.Body != nil && req.GetBody == nil {
		return resp, err
	}
	discard(resp)
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	if access, err = b.puller.access(req.Context(), b.account, b.lane, access); err != nil {
		if again.Body != nil {
			_ = again.Body.Close()
		}
		return nil, err
	}
	resp, err = b.next.RoundTrip(authorized(again, access))
	if err != nil || !b.refused(resp) {
		return resp, err
	}
	discard(resp)
	f := failf(ingest.Auth, "%s refuses access that it has only just given", b.account.spec.Service)
	f.told.Status = http.StatusUnauthorized
	return nil, f
}

// refused reports whether an answer refuses the access token: by its status, or in the way of the provider. Some say so
// in an answer that is fine to HTTP.
func (b bearer) refused(resp *http.Response) bool {
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode == http.StatusUnauthorized
	}
	refuser, ok := b.account.Provider.(ingest.Refuser)
	return ok && refuser.Refused(resp)
}

func authorized(req *http.Request, access string) *http.Request {
	out := req.Clone(req.Context())
	out.Body = req.Body
	out.Header.Set("Authorization", "Bearer "+access)
	return out
}

// access returns an access token other than refused. It renews the token if need be: only one caller at a time does,
// and the end of its ctx does not break that off, since a provider may have replaced the refresh token already.
func (p *Puller) access(ctx context.Context, a *account, l *lane, refused string) (string, error) {
	if err := acquire(ctx, a.renewal); err != nil {
		return "", err
	}
	defer func() { <-a.renewal }()
	wall := p.o.Wall.Now()
	a.mu.Lock()
	g := a.grant
	a.mu.Unlock()
	if !g.connected {
		return "", failf(ingest.Auth, "%s is not connected", a.Source)
	}
	if refused != g.token.Access && g.fresh(wall) {
		return g.token.Access, nil
	}
	if since := wall.Sub(g.refusedAt); g.refusal != nil && since >= 0 && since < renewPause {
		return "", g.refusal
	}
	ctx = context.WithoutCancel(ctx)
	if !g.kept {
		asking, cancel := context.WithTimeout(ctx, renewTimeout)
		defer cancel()
		var err error
		if g.pending, err = a.auth.Refresh(asking, l.access, g.token); err != nil {
			return p.notRenewed(asking, a, g, refused, err)
		}
		g.kept, g.issued = true, wall
		a.secret.add(g.pending.Access, g.pending.Refresh)
	}
	// A rotated refresh token that is lost cannot be had again, so it is on disk before anything comes of it, however long
	// the store is busy.
	err := p.putToken(ctx, a, a.auth.Application(), g.pending)
	if err == nil {
		g.token, g.pending, g.kept, g.refusal = g.pending, ingest.Token{}, false, nil
	}
	a.mu.Lock()
	a.grant = g
	a.mu.Unlock()
	if err != nil {
		return "", err
	}
	return g.token.Access, nil
}

// notRenewed says what follows from a renewal that failed. A token that still holds is used on, unless it was refused
// or the consent has ended.
func (p *Puller) notRenewed(ctx context.Context, a *account, g grant, refused string, err error) (string, error) {
	var held *unsent
	if errors.As(err, &held) {
		return "", held // nobody was asked
	}
	err = a.settle(ctx, err)
	if errors.Is(err, context.DeadlineExceeded) {
		err = failf(ingest.Transient, "no answer from %s within %s when asked for access", a.spec.Service, renewTimeout)
	}
	var e *ingest.Error
	if errors.As(err, &e) {
		err = &failure{e}
		if e.Class != ingest.Auth && refused != g.token.Access && p.o.Wall.Now().Before(g.token.Expiry) {
			return g.token.Access, nil
		}
	}
	g.refusal, g.refusedAt = err, p.o.Wall.Now()
	a.mu.Lock()
	a.grant = g
	a.mu.Unlock()
	return "", err
}

// fresh reports whether the token can be used without renewing it.
func (g grant) fresh(wall time.Time) bool {
	if g.token.Access == "" {
		return false
	}
	if g.token.Expiry.IsZero() {
		return true
	}
	ahead := renewAhead
	if !g.issued.IsZero() {
		ahead = min(ahead, g.token.Expiry.Sub(g.issued)/2)
	}
	return wall.Before(g.token.Expiry.Add(-ahead))
}
