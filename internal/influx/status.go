package influx

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Status is what a look at InfluxDB found.
type Status struct {
	// Reachable says that an InfluxDB answers, Version which one.
	Reachable bool
	Version   string
	// Authorized says that it takes the credentials; it is not asked unless Reachable.
	Authorized bool
	// Writable says that the place to write to exists and the credentials may write there.
	Writable bool
	// Err is what is wrong and what to do about it; nil if all is well.
	Err *Error
}

// Status looks at InfluxDB without writing a point. The error is that of a cancelled ctx; everything else that is
// wrong is in Status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	srv, err := c.ping(ctx)
	if err == nil {
		s.Reachable, s.Version = true, srv.version
		err = c.probe(ctx, srv)
	}
	if err == nil {
		s.Authorized, s.Writable = true, true
		return s, nil
	}
	if !errors.As(err, &s.Err) {
		return Status{}, err
	}
	switch s.Err.Cause {
	case Unauthorized:
		s.Reachable = true // InfluxDB 3 tells its version to those it knows only
	case Forbidden, NotFound, Rejected:
		s.Reachable, s.Authorized = true, true
	}
	return s, nil
}

// probe asks to write nothing.
func (c *Client) probe(ctx context.Context, srv server) error {
	query := url.Values{"org": {c.c.Org}, "bucket": {c.c.Bucket}, "precision": {"s"}}
	_, _, err := c.do(ctx, http.MethodPost, "api/v2/write", query, "text/plain; charset=utf-8", nil)
	var e *Error
	if errors.As(err, &e) && tookNothing(e) {
		err = nil
	}
	if err != nil {
		return err
	}
	db, rp, ok := strings.Cut(c.c.Bucket, "/")
	if srv.major != 1 || !ok || rp == "" {
		return nil
	}
	rows, err := c.query(ctx, "SHOW RETENTION POLICIES ON \""+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(db)+"\"")
	if err != nil {
		return err
	}
	for _, r := range rows {
		if len(r) > 0 && r[0] == rp {
			return nil
		}
	}
	return &Error{
		Cause: NotFound, Config: true, Reason: "retention policy not found: " + rp,
		Remedy: "create the retention policy, or correct the part behind the slash in influx.bucket",
	}
}

// tookNothing reports whether e is how servers answer an empty write that they would have taken.
func tookNothing(e *Error) bool {
	low := strings.ToLower(e.Reason)
	switch e.Status {
	case http.StatusOK: // 1.8
		return e.Reason == ""
	case http.StatusBadRequest: // 2.x and 3.x
		return strings.Contains(low, "requires points") || strings.Contains(low, "no points") ||
			strings.Contains(low, "empty") || strings.Contains(low, "no lines")
	}
	return false
}
