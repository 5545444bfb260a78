// Package control lets commands reach the daemon that owns the data folder, through a unix socket in that folder. What
// a command would do itself without a daemon, the daemon does for it and streams the progress back.
//
// It speaks HTTP. Whoever may open the socket may do everything; its mode and that of the folder keep others out.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/pull"
)

// SocketName is the name of the socket in the data folder.
const SocketName = "walkd.sock"

// ErrNoDaemon says that no daemon listens.
var ErrNoDaemon = errors.New("no walkd is running on this data folder")

// Commands is what can be asked of a daemon; engine.Engine does it.
type Commands interface {
	Import(ctx context.Context, req engine.ImportRequest, body io.Reader, progress func(engine.Progress)) (engine.ImportResult, error)
	Rebuild(ctx context.Context, person string, progress func(engine.Progress)) (influx.Stats, error)
	Sync(ctx context.Context, req pull.SyncRequest, progress func(pull.Progress)) ([]pull.SyncResult, error)
	BeginConnect(ctx context.Context, person, source string) (pull.Connection, error)
	FinishConnect(ctx context.Context, redirected string) (pull.Connected, error)
	AwaitConnect(ctx context.Context, state string) (pull.Connected, error)
	Disconnect(ctx context.Context, person, source string) (pull.Disconnected, error)
	Probe(ctx context.Context) ([]pull.About, error)
}

// message is a line of an answer.
type message struct {
	Progress *engine.Progress     `json:"progress,omitempty"`
	Import   *engine.ImportResult `json:"import,omitempty"`
	Rebuild  *influx.Stats        `json:"rebuild,omitempty"`
	Pulling  *pull.Progress       `json:"pulling,omitempty"`
	Synced   []synced             `json:"synced,omitempty"`
	Begun    *pull.Connection     `json:"begun,omitempty"`
	Connect  *connected           `json:"connected,omitempty"`
	Ended    *pull.Disconnected   `json:"ended,omitempty"`
	About    []about              `json:"about,omitempty"`
	Error    string               `json:"error,omitempty"`
	Stopped  bool                 `json:"stopped,omitempty"` // the daemon ends
}

// synced is a pull.SyncResult as it goes over the socket.
type synced struct {
	pull.SyncResult
	Err string // hides the error, which has no JSON of its own
}

// connected is a pull.Connected as it goes over the socket.
type connected struct {
	pull.Connected
	Zone string // hides the location
}

// about is a pull.About as it goes over the socket.
type about struct {
	pull.About
	Zone string // hides the location
	Err  string // hides the error
}

// Listen opens the socket in dir, whose lock the caller holds. What a killed daemon has left there is removed.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control: %w", err)
	}
	short, done, err := shorten(path)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	defer done()
	l, err := net.Listen("unix", short)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	// The listener itself knows a name that may be gone by then.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	s := &socket{Listener: l, path: path}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control: %w", err), s.Close())
	}
	return s, nil
}

// A socket is removed when it is closed.
type socket struct {
	net.Listener
	path string
	once sync.Once
	err  error
}

func (s *socket) Close() error {
	s.once.Do(func() {
		s.err = s.Listener.Close()
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.err = errors.Join(s.err, err)
		}
	})
	return s.err
}

// shorten returns a name for path that fits into a socket's address, valid until done is called.
func shorten(path string) (short string, done func(), err error) {
	const room = 100 // of 104 to 108, by system
	if len(path) <= room {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil {
		return "", nil, errors.Join(fmt.Errorf("the path of the data folder is too long for a socket: choose one shorter than %d bytes", room), dir.Close())
	}
	return short, func() { _ = dir.Close() }, nil
}

// patience is how long commands under way may take to end themselves once the daemon ends.
const patience = 5 * time.Second

// Serve answers commands on l until ctx ends, then waits for those under way, which see the end of ctx too. It closes l.
func Serve(ctx context.Context, l net.Listener, c Commands, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var underWay sync.WaitGroup
	mux := http.NewServeMux()
	handle := func(pattern string, h http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			underWay.Add(1)
			defer underWay.Done()
			h(w, r)
		})
	}
	handle("POST /import", func(w http.ResponseWriter, r *http.Request) { serveImport(w, r, c) })
	handle("POST /rebuild", func(w http.ResponseWriter, r *http.Request) {
		a := newAnswer(w)
		stats, err := c.Rebuild(r.Context(), r.URL.Query().Get("person"), func(p engine.Progress) { a.send(message{Progress: &p}) })
		a.end(message{Rebuild: &stats}, err)
	})
	handle("POST /sync", func(w http.ResponseWriter, r *http.Request) { serveSync(w, r, c) })
	handle("POST /connect", func(w http.ResponseWriter, r *http.Request) { serveConnect(w, r, c) })
	handle("POST /disconnect", func(w http.ResponseWriter, r *http.Request) { serveDisconnect(w, r, c) })
	handle("POST /probe", func(w http.ResponseWriter, r *http.Request) { serveProbe(w, r, c) })
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err := server.Shutdown(stop)
		if errors.Is(err, context.DeadlineExceeded) {
			// A command that does not go on, stopped in a terminal perhaps. Without its connection it ends.
			err = server.Close()
			underWay.Wait()
		}
		done <- err
	}()
	err := server.Serve(l)
	cancel()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if err := errors.Join(err, <-done); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

func serveImport(w http.ResponseWriter, r *http.Request, c Commands) {
	a := newAnswer(w)
	// Progress goes out while the file is still coming in.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		a.end(message{}, err)
		return
	}
	var req engine.ImportRequest
	if err := json.Unmarshal([]byte(r.URL.Query().Get("request")), &req); err != nil {
		a.end(message{}, fmt.Errorf("control: bad request: %w", err))
		return
	}
	result, err := c.Import(r.Context(), req, r.Body, func(p engine.Progress) { a.send(message{Progress: &p}) })
	if err != nil && r.Context().Err() == nil {
		// A client that is still sending would meet a closed connection and never read why.
		_, _ = io.Copy(io.Discard, r.Body)
	}
	a.end(message{Import: &result}, err)
}

func serveSync(w http.ResponseWriter, r *http.Request, c Commands) {
	a := newAnswer(w)
	var req pull.SyncRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(&req); err != nil {
		a.end(message{}, fmt.Errorf("control: bad request: %w", err))
		return
	}
	results, err := c.Sync(r.Context(), req, func(p pull.Progress) { a.send(message{Pulling: &p}) })
	var m message
	for _, result := range results {
		s := synced{SyncResult: result}
		if result.Err != nil {
			s.Err = result.Err.Error()
		}
		m.Synced = append(m.Synced, s)
	}
	a.end(m, err)
}

// connectRequest begins to connect a source, or ends it with what came back, or waits until somebody else does.
type connectRequest struct {
	Person     string `json:"person"`
	Source     string `json:"source"`
	Redirected string `json:"redirected"`
	Await      string `json:"await"` // the state of an attempt
}

// maxQuestion is how long a question without a file may be.
const maxQuestion = 64 << 10

func serveConnect(w http.ResponseWriter, r *http.Request, c Commands) {
	a := newAnswer(w)
	var req connectRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(&req); err != nil {
		a.end(message{}, fmt.Errorf("control: bad request: %w", err))
		return
	}
	var done pull.Connected
	var err error
	switch {
	case req.Await != "":
		done, err = c.AwaitConnect(r.Context(), req.Await)
	case req.Redirected != "":
		done, err = c.FinishConnect(r.Context(), req.Redirected)
	default:
		begun, err := c.BeginConnect(r.Context(), req.Person, req.Source)
		a.end(message{Begun: &begun}, err)
		return
	}
	m := connected{Connected: done}
	if done.Zone != nil {
		m.Zone = done.Zone.String()
	}
	a.end(message{Connect: &m}, err)
}

func serveDisconnect(w http.ResponseWriter, r *http.Request, c Commands) {
	a := newAnswer(w)
	q := r.URL.Query()
	ended, err := c.Disconnect(r.Context(), q.Get("person"), q.Get("source"))
	a.end(message{Ended: &ended}, err)
}

func serveProbe(w http.ResponseWriter, r *http.Request, c Commands) {
	a := newAnswer(w)
	all, err := c.Probe(r.Context())
	var m message
	for _, one := range all {
		x := about{About: one}
		if one.Zone != nil {
			x.Zone = one.Zone.String()
		}
		if one.Err != nil {
			x.Err = one.Err.Error()
		}
		m.About = append(m.About, x)
	}
	a.end(m, err)
}

// An answer is written line by line.
type answer struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

func newAnswer(w http.ResponseWriter) *answer {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &answer{w: w}
}

func (a *answer) send(m message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// If the command has gone, its context ends as well.
	if err := json.NewEncoder(a.w).Encode(m); err == nil {
		_ = http.NewResponseController(a.w).Flush()
	}
}

func (a *answer) end(m message, err error) {
	if err != nil {
		m.Error = err.Error()
		m.Stopped = errors.Is(err, context.Canceled)
	}
	a.send(m)
}

// A Client asks a daemon.
type Client struct {
	http *http.Client
}

// Dial returns a Client for the daemon that owns dir, or ErrNoDaemon.
func Dial(ctx context.Context, dir string) (*Client, error) {
	path := filepath.Join(dir, SocketName)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		short, done, err := shorten(path)
		if err != nil {
			return nil, err
		}
		defer done()
		return new(net.Dialer).DialContext(ctx, "unix", short)
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNoDaemon, err)
	}
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}, nil
}

// Import has the daemon import body.
func (c *Client) Import(ctx context.Context, req engine.ImportRequest, body io.Reader, progress func(engine.Progress)) (engine.ImportResult, error) {
	b, err := json.Marshal(req)
	if err != nil {
		return engine.ImportResult{}, fmt.Errorf("control: %w", err)
	}
	m, err := c.ask(ctx, "import", url.Values{"request": {string(b)}}, body, req.Size, showing(progress))
	if m.Import == nil {
		m.Import = &engine.ImportResult{}
	}
	return *m.Import, err
}

// Rebuild has the daemon rebuild the projection.
func (c *Client) Rebuild(ctx context.Context, person string, progress func(engine.Progress)) (influx.Stats, error) {
	m, err := c.ask(ctx, "rebuild", url.Values{"person": {person}}, nil, 0, showing(progress))
	if m.Rebuild == nil {
		m.Rebuild = &influx.Stats{}
	}
	return *m.Rebuild, err
}

// showing returns what passes on the progress that a message holds.
func showing(progress func(engine.Progress)) func(message) {
	return func(m message) {
		if m.Progress != nil && progress != nil {
			progress(*m.Progress)
		}
	}
}

// Sync has the daemon pull.
func (c *Client) Sync(ctx context.Context, req pull.SyncRequest, progress func(pull.Progress)) ([]pull.SyncResult, error) {
	b, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	m, err := c.ask(ctx, "sync", nil, bytes.NewReader(b), int64(len(b)), func(m message) {
		if m.Pulling != nil && progress != nil {
			progress(*m.Pulling)
		}
	})
	var results []pull.SyncResult
	for _, s := range m.Synced {
		if s.Err != "" {
			s.SyncResult.Err = errors.New(s.Err)
		}
		results = append(results, s.SyncResult)
	}
	return results, err
}

// BeginConnect has the daemon begin to connect a source.
func (c *Client) BeginConnect(ctx context.Context, person, source string) (pull.Connection, error) {
	m, err := c.connect(ctx, connectRequest{Person: person, Source: source})
	if err != nil || m.Begun == nil {
		return pull.Connection{}, err
	}
	return *m.Begun, nil
}

// FinishConnect has the daemon take what came back of the consent.
func (c *Client) FinishConnect(ctx context.Context, redirected string) (pull.Connected, error) {
	return c.connected(ctx, connectRequest{Redirected: redirected})
}

// AwaitConnect waits until an attempt to connect has got its first answer from somewhere else, and returns what came of
// it.
func (c *Client) AwaitConnect(ctx context.Context, state string) (pull.Connected, error) {
	return c.connected(ctx, connectRequest{Await: state})
}

func (c *Client) connected(ctx context.Context, req connectRequest) (pull.Connected, error) {
	m, err := c.connect(ctx, req)
	if err != nil || m.Connect == nil {
		return pull.Connected{}, err
	}
	done := m.Connect.Connected
	if m.Connect.Zone != "" {
		if done.Zone, err = time.LoadLocation(m.Connect.Zone); err != nil {
			return done, fmt.Errorf("control: %w", err)
		}
	}
	return done, nil
}

func (c *Client) connect(ctx context.Context, req connectRequest) (message, error) {
	b, err := json.Marshal(req)
	if err != nil {
		return message{}, fmt.Errorf("control: %w", err)
	}
	return c.ask(ctx, "connect", nil, bytes.NewReader(b), int64(len(b)), nil)
}

// Disconnect has the daemon end a consent.
func (c *Client) Disconnect(ctx context.Context, person, source string) (pull.Disconnected, error) {
	m, err := c.ask(ctx, "disconnect", url.Values{"person": {person}, "source": {source}}, nil, 0, nil)
	if err != nil || m.Ended == nil {
		return pull.Disconnected{}, err
	}
	return *m.Ended, nil
}

// Probe has the daemon ask every provider what it says of the account.
func (c *Client) Probe(ctx context.Context) ([]pull.About, error) {
	m, err := c.ask(ctx, "probe", nil, nil, 0, nil)
	var out []pull.About
	for _, x := range m.About {
		if x.Zone != "" {
			zone, zoneErr := time.LoadLocation(x.Zone)
			if zoneErr != nil {
				return nil, fmt.Errorf("control: %w", zoneErr)
			}
			x.About.Zone = zone
		}
		if x.Err != "" {
			x.About.Err = errors.New(x.Err)
		}
		out = append(out, x.About)
	}
	return out, err
}

// ErrBroken says that the daemon ended, or was ended, before it had answered.
var ErrBroken = errors.New("the running walkd ended before this was done: start it again and repeat the command, " +
	"which changes nothing that is done already")

// broken returns the error of a question whose answer did not come.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err // the question itself tells a person nothing
	}
	return fmt.Errorf("%w (%w)", ErrBroken, err)
}

// ask posts a question and returns the last line of the answer.
func (c *Client) ask(ctx context.Context, what string, query url.Values, body io.Reader, size int64, progress func(message)) (message, error) {
	if body != nil {
		body = io.NopCloser(body) // it is the caller's to close
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://walkd/"+what+"?"+query.Encode(), body)
	if err != nil {
		return message{}, fmt.Errorf("control: %w", err)
	}
	if size > 0 {
		req.ContentLength = size
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return message{}, broken(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return message{}, fmt.Errorf("the running walkd answers %s: it may be of another version, restart it", resp.Status)
	}
	for lines := json.NewDecoder(resp.Body); ; {
		var m message
		if err := lines.Decode(&m); err != nil {
			return message{}, broken(ctx, err)
		}
		switch {
		case m.Progress != nil || m.Pulling != nil:
			if progress != nil {
				progress(m)
			}
		case m.Stopped:
			return m, ErrBroken
		case m.Error != "":
			return m, errors.New(m.Error)
		default:
			return m, nil
		}
	}
}
