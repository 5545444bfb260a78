package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Rebuild deletes walkd's measurements in InfluxDB and projects everything anew: those of person, or of everybody if
// person is empty. Other measurements are never touched. Whatever interrupts it, the next projection completes it.
//
// InfluxDB 3 cannot delete: there the database must be new, or the error says so.
func (p *Projector) Rebuild(ctx context.Context, person string) (Stats, error) {
	if err := p.acquire(ctx); err != nil {
		return Stats{}, err
	}
	defer p.release()
	stats, err := p.rebuild(ctx, person)
	p.note(ctx, stats, err)
	return stats, err
}

func (p *Projector) rebuild(ctx context.Context, person string) (Stats, error) {
	s, err := p.client.ping(ctx)
	if err != nil {
		return Stats{}, err
	}
	if s.major >= 3 {
		if err := p.client.wantEmpty(ctx); err != nil {
			return Stats{}, err
		}
	}
	// From here on everything is due and nothing is taken for written, but what may have to be taken back is still
	// known: if the deletion stops halfway, projecting again makes up for it.
	if err := p.journal.Doubt(ctx, person); err != nil {
		return Stats{}, p.storeError(ctx, err)
	}
	if s.major < 3 {
		if err := p.client.clear(ctx, s, person); err != nil {
			return Stats{}, err
		}
	}
	if err := p.journal.Forget(ctx, person); err != nil {
		return Stats{}, p.storeError(ctx, err)
	}
	return p.projectDue(ctx)
}

// clear deletes walkd's measurements.
func (c *Client) clear(ctx context.Context, s server, person string) error {
	if s.major >= 2 {
		return c.deleteV2(ctx, person)
	}
	var q strings.Builder
	for _, m := range cleared {
		fmt.Fprintf(&q, "DELETE FROM %q", m)
		if person != "" {
			fmt.Fprintf(&q, " WHERE person = '%s'", influxQL(tagText(person)))
		}
		q.WriteString(";")
	}
	_, err := c.query(ctx, q.String())
	return err
}

// influxQL escapes s for a literal in single quotes.
func influxQL(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }

func (c *Client) deleteV2(ctx context.Context, person string) error {
	for _, m := range cleared {
		predicate := fmt.Sprintf("_measurement=%q", m)
		if person != "" {
			predicate += ` AND person="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(tagText(person)) + `"`
		}
		body, err := json.Marshal(map[string]string{
			"start": "1678-01-01T00:00:00Z", "stop": "2262-01-01T00:00:00Z", "predicate": predicate,
		})
		if err != nil {
			return fmt.Errorf("influx: delete: %w", err)
		}
		_, _, err = c.do(ctx, http.MethodPost, "api/v2/delete", url.Values{"org": {c.c.Org}, "bucket": {c.c.Bucket}},
			"application/json", body)
		if err != nil {
			return err
		}
	}
	return nil
}

// wantEmpty returns an error if the database holds measurements of walkd.
func (c *Client) wantEmpty(ctx context.Context) error {
	rows, err := c.query(ctx, "SHOW MEASUREMENTS")
	var e *Error
	switch {
	case errors.As(err, &e) && e.Cause == NotFound:
		return nil // the first write makes it
	case err != nil:
		return err
	}
	for _, r := range rows {
		for _, v := range r {
			if name, ok := v.(string); ok && slices.Contains(cleared[:], name) {
				return &Error{
					Cause: CannotDelete, Config: true,
					Reason: "InfluxDB 3 has no way to delete points, and " + name + " is there already",
					Remedy: "create a new database, set influx.bucket to it, and run walkd influx rebuild again",
				}
			}
		}
	}
	return nil
}

// query runs InfluxQL and returns the rows of all results.
func (c *Client) query(ctx context.Context, q string) ([][]any, error) {
	db, _, _ := strings.Cut(c.c.Bucket, "/")
	form := url.Values{"db": {db}, "q": {q}}
	_, body, err := c.do(ctx, http.MethodPost, "query", nil, "application/x-www-form-urlencoded",
		[]byte(form.Encode()))
	if err != nil {
		return nil, err
	}
	var doc struct {
		Error   string `json:"error"`
		Results []struct {
			Error  string `json:"error"`
			Series []struct {
				Values [][]any `json:"values"`
			} `json:"series"`
		} `json:"results"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, &Error{
			Cause: NotInfluxDB, Config: true, Reason: "the answer to a query is not JSON",
			Remedy: "check influx.url: a login page, a proxy or another program answers there",
		}
	}
	var rows [][]any
	failed := doc.Error
	for _, r := range doc.Results {
		if failed == "" {
			failed = r.Error
		}
		for _, s := range r.Series {
			rows = append(rows, s.Values...)
		}
	}
	switch {
	case failed == "":
		return rows, nil
	case strings.Contains(failed, "not found"):
		return nil, &Error{
			Cause: NotFound, Config: true, Reason: clean(failed),
			Remedy: "create the database or bucket, or correct influx.bucket and influx.org",
		}
	case strings.Contains(failed, "not authorized"):
		return nil, &Error{
			Cause: Forbidden, Config: true, Reason: clean(failed),
			Remedy: "give the user of influx.token_file the right to write to influx.bucket",
		}
	}
	return nil, &Error{
		Cause: Unavailable, Reason: clean(failed), Remedy: "look into the log of InfluxDB; walkd tries again by itself",
	}
}
