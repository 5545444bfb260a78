package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"
)

// maxAnswer bounds how much of an answer is read.
const maxAnswer = 1 << 20

// Config says where InfluxDB is.
type Config struct {
	// URL is the server's, with the path of a proxy if there is one.
	URL string
	// Org is the organisation of 2.x; other versions do not use it.
	Org string
	// Bucket is the bucket of 2.x, the database of 3.x, "database" or "database/retention-policy" of 1.8.
	Bucket string
	// Token is the token of 2.x and 3.x, "user:password" of 1.8, empty where the server asks for none.
	Token string
	// Timeout bounds every request; zero means 30 seconds.
	Timeout time.Duration
	// Transport carries the requests; nil means one of the client's own.
	Transport http.RoundTripper
}

// Client talks to one InfluxDB. It is safe for use by several goroutines.
type Client struct {
	c       Config
	base    *url.URL
	http    *http.Client
	influx  influxdb2.Client
	write   api.WriteAPIBlocking
	cleanup func()
}

// NewClient returns a Client. It does not connect. The error says which setting is wrong.
func NewClient(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("influx: influx.url is not a URL: want http://host:8086")
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, fmt.Errorf("influx: influx.url %q is not a URL: want http://host:8086", base.Redacted())
	case base.User != nil:
		return nil, fmt.Errorf("influx: influx.url %q holds a password: put user:password into influx.token_file",
			base.Redacted())
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("influx: influx.url must end before the ?")
	case c.Bucket == "":
		return nil, fmt.Errorf("influx: influx.bucket is missing")
	}
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	c.Token = strings.TrimSpace(c.Token)
	cl := &Client{c: c, base: base, cleanup: func() {}}
	if c.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 2
		cl.c.Transport, cl.cleanup = t, t.CloseIdleConnections
	}
	cl.http = &http.Client{
		Transport: &gate{next: cl.c.Transport, token: c.Token},
		Timeout:   c.Timeout,
	}
	options := influxdb2.DefaultOptions().SetHTTPClient(cl.http).SetPrecision(time.Second).SetApplicationName("walkd")
	cl.influx = influxdb2.NewClientWithOptions(base.String(), c.Token, options)
	cl.write = cl.influx.WriteAPIBlocking(c.Org, c.Bucket)
	return cl, nil
}

// Close ends idle connections.
func (c *Client) Close() {
	c.influx.Close()
	c.cleanup()
}

// post writes lines that have been compressed. An error is an *Error, or that of a cancelled ctx.
func (c *Client) post(ctx context.Context, compressed []byte) error {
	if err := c.write.WriteRecord(ctx, string(compressed)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return failure(err)
	}
	return nil
}

// gate lets nothing pass for success that is not, and keeps answers short. The body of a write arrives compressed:
// that is done while the batch before is under way, and gate only says so.
type gate struct {
	next  http.RoundTripper
	token string
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	write := strings.HasSuffix(r.URL.Path, "/api/v2/write")
	if write && r.ContentLength != 0 {
		r = r.Clone(r.Context())
		r.Header.Set("Content-Encoding", "gzip")
		r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	resp, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = limited{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	if resp.StatusCode == http.StatusNoContent || !write && resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	// What is left unread closes the connection; an answer that is cut short still has its status.
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	_ = resp.Body.Close()
	if err != nil && resp.StatusCode < 300 {
		return nil, err
	}
	e := refusal(resp.StatusCode, resp.Header, body, time.Now())
	e.Reason = g.redact(e.Reason)
	return nil, e
}

// redact removes the token, and the password in it, from what a server said.
func (g *gate) redact(s string) string {
	secrets := []string{g.token}
	if _, password, ok := strings.Cut(g.token, ":"); ok {
		secrets = append(secrets, password)
	}
	for _, secret := range secrets {
		if len(secret) >= 3 {
			s = strings.ReplaceAll(s, secret, "[redacted]")
		}
	}
	return s
}

type limited struct {
	io.Reader
	io.Closer
}

// do sends a request beside writing and returns the answer's header and body.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, ctype string, body []byte) (
	http.Header, []byte, error,
) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("influx: %w", err)
	}
	if c.c.Token != "" {
		req.Header.Set("Authorization", "Token "+c.c.Token)
	}
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return nil, nil, failure(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, failure(err)
	}
	return resp.Header, answer, nil
}

// server is what answers.
type server struct {
	version string
	major   int
}

// ping asks what answers.
func (c *Client) ping(ctx context.Context) (server, error) {
	header, body, err := c.do(ctx, http.MethodGet, "ping", nil, "", nil)
	if err != nil {
		return server{}, err
	}
	version := header.Get("X-Influxdb-Version")
	if version == "" {
		var doc struct {
			Version string `json:"version"`
		}
		if json.Unmarshal(body, &doc) == nil {
			version = doc.Version
		}
	}
	if version == "" { // some proxies and 2.x builds keep the header to themselves
		_, body, err = c.do(ctx, http.MethodGet, "health", nil, "", nil)
		if err != nil {
			return server{}, err
		}
		var doc struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		}
		if json.Unmarshal(body, &doc) == nil && doc.Name == "influxdb" {
			version = doc.Version
		}
	}
	version = strings.TrimPrefix(clean(version), "v")
	major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	if version != "" && err != nil { // a build of somebody's own, like "unknown": 2.x has /ready, 1.x does not
		_, _, err = c.do(ctx, http.MethodGet, "ready", nil, "", nil)
		major = 2
		if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
			major, err = 1, nil
		}
		if err != nil {
			return server{}, err
		}
	}
	if err != nil || major < 1 {
		return server{}, &Error{
			Cause: NotInfluxDB, Config: true, Reason: "it does not tell a version of InfluxDB",
			Remedy: "check influx.url: a login page, a proxy or another program answers there",
		}
	}
	return server{version, major}, nil
}

// compressor compresses batches. It is reused.
type compressor struct{ w *gzip.Writer }

func newCompressor() *compressor {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // fails for unknown levels only
	return &compressor{w}
}

// compress appends lines to dst in compressed form.
func (c *compressor) compress(dst, lines []byte) []byte {
	b := bytes.NewBuffer(dst)
	c.w.Reset(b)
	_, _ = c.w.Write(lines) // a bytes.Buffer takes everything
	_ = c.w.Close()
	return b.Bytes()
}

// decompress gives back what compress was given.
func decompress(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("influx: read a batch again: %w", err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("influx: read a batch again: %w", err)
	}
	return out, nil
}
