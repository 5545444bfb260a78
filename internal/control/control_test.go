package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/influx"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// commands does what a test wants.
type commands struct {
	doImport func(ctx context.Context, req engine.ImportRequest, body io.Reader, progress func(engine.Progress)) (engine.ImportResult, error)
	rebuild  func(person string) (influx.Stats, error)
	sync     func(req pull.SyncRequest, progress func(pull.Progress)) ([]pull.SyncResult, error)
	begin    func(person, source string) (pull.Connection, error)
	finish   func(redirected string) (pull.Connected, error)
	await    func(state string) (pull.Connected, error)
	end      func(person, source string) (pull.Disconnected, error)
	probe    func() ([]pull.About, error)
}

func (c commands) Sync(_ context.Context, req pull.SyncRequest, progress func(pull.Progress)) ([]pull.SyncResult, error) {
	return c.sync(req, progress)
}

func (c commands) BeginConnect(_ context.Context, person, source string) (pull.Connection, error) {
	return c.begin(person, source)
}

func (c commands) FinishConnect(_ context.Context, redirected string) (pull.Connected, error) {
	return c.finish(redirected)
}

func (c commands) AwaitConnect(_ context.Context, state string) (pull.Connected, error) {
	return c.await(state)
}

func (c commands) Disconnect(_ context.Context, person, source string) (pull.Disconnected, error) {
	return c.end(person, source)
}

func (c commands) Probe(context.Context) ([]pull.About, error) { return c.probe() }

func (c commands) Import(ctx context.Context, req engine.ImportRequest, body io.Reader, progress func(engine.Progress)) (engine.ImportResult, error) {
	return c.doImport(ctx, req, body, progress)
}

func (c commands) Rebuild(_ context.Context, person string, progress func(engine.Progress)) (influx.Stats, error) {
	progress(engine.Progress{Phase: engine.Projecting, Done: 3, Total: 7})
	return c.rebuild(person)
}

// serve serves c and returns a Client of it, and a function that ends the server and waits for it.
func serve(t *testing.T, dir string, c Commands) (*Client, func()) {
	t.Helper()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, c, slog.New(slog.DiscardHandler)) }()
	stopped := false
	stop := func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	client, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return client, stop
}

func TestImport(t *testing.T) {
	for _, name := range []string{"short", strings.Repeat("a folder with a long name", 6)} {
		t.Run(name[:5], func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			body := bytes.Repeat([]byte("some steps\n"), 1<<20)
			wantRequest := engine.ImportRequest{Format: "csv", Name: "a & b.csv", Size: int64(len(body)), Person: "Åse", IDs: []string{"1"}}
			client, stop := serve(t, dir, commands{doImport: func(_ context.Context, req engine.ImportRequest, r io.Reader,
				progress func(engine.Progress),
			) (engine.ImportResult, error) {
				if diff := cmp.Diff(wantRequest, req); diff != "" {
					t.Errorf("request (-want +got):\n%s", diff)
				}
				progress(engine.Progress{Phase: engine.Reading, Done: 1, Total: 2})
				got, err := io.ReadAll(r)
				if !bytes.Equal(got, body) {
					t.Errorf("got %d bytes, want %d", len(got), len(body))
				}
				progress(engine.Progress{Phase: engine.Deriving, Done: 2, Total: 2})
				return engine.ImportResult{Days: 3}, err
			}})
			info, err := os.Stat(filepath.Join(dir, SocketName))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("socket: %v, %v, want mode 0600", info.Mode(), err)
			}
			var phases []engine.Phase
			in := &closeTwice{Reader: bytes.NewReader(body)}
			result, err := client.Import(t.Context(), wantRequest, in, func(p engine.Progress) { phases = append(phases, p.Phase) })
			if err != nil || result.Days != 3 {
				t.Errorf("got %+v, %v", result, err)
			}
			if diff := cmp.Diff([]engine.Phase{engine.Reading, engine.Deriving}, phases); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
			if in.closed {
				t.Error("the client closes what it does not own")
			}
			stop()
			if _, err := os.Stat(filepath.Join(dir, SocketName)); err == nil {
				t.Error("the socket is left")
			}
			if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNoDaemon) {
				t.Errorf("got %v, want ErrNoDaemon", err)
			}
		})
	}
}

// closeTwice notes that it is closed.
type closeTwice struct {
	io.Reader
	closed bool
}

func (c *closeTwice) Close() error {
	c.closed = true
	return nil
}

// TestRefusal answers before the body has been read.
func TestRefusal(t *testing.T) {
	client, _ := serve(t, t.TempDir(), commands{doImport: func(context.Context, engine.ImportRequest, io.Reader,
		func(engine.Progress),
	) (engine.ImportResult, error) {
		return engine.ImportResult{}, errors.New("line 1: no\nline 2: no")
	}})
	body := bytes.NewReader(make([]byte, 16<<20))
	_, err := client.Import(t.Context(), engine.ImportRequest{Size: body.Size()}, body, nil)
	if err == nil || err.Error() != "line 1: no\nline 2: no" {
		t.Errorf("got %v", err)
	}
}

// TestDaemonEnds ends the daemon while a client has more to send and does not go on, as one stopped in a terminal.
func TestDaemonEnds(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	left := make(chan error, 1)
	dir := t.TempDir()
	_, stop := serve(t, dir, commands{doImport: func(_ context.Context, _ engine.ImportRequest, body io.Reader,
		_ func(engine.Progress),
	) (engine.ImportResult, error) {
		close(entered)
		_, err := io.Copy(io.Discard, body)
		left <- err
		return engine.ImportResult{}, err
	}})
	conn, err := net.Dial("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /import?request={} HTTP/1.1\r\nHost: walkd\r\nContent-Length: 1000\r\n\r\nx"); err != nil {
		t.Fatal(err)
	}
	<-entered
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 2*patience {
		t.Errorf("the daemon took %s to end", took)
	}
	select {
	case err := <-left:
		if err == nil {
			t.Error("the command ended as if it had had everything")
		}
	default:
		t.Error("Serve returned while a command was under way")
	}
}

func TestCancelledCommand(t *testing.T) {
	client, _ := serve(t, t.TempDir(), commands{doImport: func(ctx context.Context, _ engine.ImportRequest, _ io.Reader,
		_ func(engine.Progress),
	) (engine.ImportResult, error) {
		return engine.ImportResult{}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Import(ctx, engine.ImportRequest{}, strings.NewReader("x"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestBrokenDaemon meets daemons that answer nothing sensible.
func TestBrokenDaemon(t *testing.T) {
	for _, tt := range []struct {
		name, answer, want string
	}{
		{"dies before it answers", "", ErrBroken.Error()},
		{"dies in the middle", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"progress\":", ErrBroken.Error()},
		{"stops", "HTTP/1.1 200 OK\r\n\r\n{\"error\":\"context canceled\",\"stopped\":true}\n", ErrBroken.Error()},
		{"is of another version", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "another version, restart it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := net.Listen("unix", filepath.Join(dir, SocketName))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					b := make([]byte, 1<<10)
					if n, _ := c.Read(b); n > 0 {
						_, _ = io.WriteString(c, tt.answer)
					}
					_ = c.Close()
				}
			}()
			client, err := Dial(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Rebuild(t.Context(), "alex", nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something of %q", err, tt.want)
			}
			_ = l.Close()
			<-done
		})
	}
}

func TestRebuild(t *testing.T) {
	client, _ := serve(t, t.TempDir(), commands{rebuild: func(person string) (influx.Stats, error) {
		if person == "" {
			return influx.Stats{}, http.ErrBodyNotAllowed
		}
		return influx.Stats{Days: 7, Points: len(person)}, nil
	}})
	var seen engine.Progress
	got, err := client.Rebuild(t.Context(), "a b&c", func(p engine.Progress) { seen = p })
	if err != nil || got.Days != 7 || got.Points != 5 {
		t.Errorf("got %+v, %v", got, err)
	}
	if want := (engine.Progress{Phase: engine.Projecting, Done: 3, Total: 7}); seen != want {
		t.Errorf("progress %+v, want %+v", seen, want)
	}
	if _, err := client.Rebuild(t.Context(), "", nil); err == nil || err.Error() != http.ErrBodyNotAllowed.Error() {
		t.Errorf("got %v", err)
	}
}

func TestSync(t *testing.T) {
	want := pull.SyncRequest{Person: "Åse", Source: "watch", From: walking.DayOf(2016, 1, 1)}
	failed := errors.New("the consent has ended: connect it again")
	client, _ := serve(t, t.TempDir(), commands{sync: func(req pull.SyncRequest, progress func(pull.Progress)) ([]pull.SyncResult, error) {
		if diff := cmp.Diff(want, req); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		progress(pull.Progress{Person: "Åse", Source: "watch", Done: 28, Total: 365})
		return []pull.SyncResult{
			{Person: "Åse", Source: "watch", Days: 365, Records: 7, Changes: store.Changes{Added: 5}},
			{Person: "Åse", Source: "ring", Err: failed},
		}, nil
	}})
	var seen []pull.Progress
	got, err := client.Sync(t.Context(), want, func(p pull.Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Added != 5 || got[0].Days != 365 || got[0].Err != nil {
		t.Errorf("results: %+v", got)
	} else if got[1].Err == nil || got[1].Err.Error() != failed.Error() {
		t.Errorf("the error of the second is %v", got[1].Err)
	}
	if len(seen) != 1 || seen[0].Done != 28 {
		t.Errorf("progress: %+v", seen)
	}
}

func TestConnect(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	begun := pull.Connection{URL: "https://example.org/consent?state=s", Redirect: "http://localhost:1/", State: "s", Person: "alex"}
	done := pull.Connected{Person: "alex", Source: "watch", Scopes: []string{"a"}, Ends: time.Unix(1e9, 0).UTC(), Zone: zone}
	refused := errors.New("you refused the consent")
	client, _ := serve(t, t.TempDir(), commands{
		begin: func(person, source string) (pull.Connection, error) {
			if person != "alex" || source != "watch" {
				t.Errorf("asked to connect %q of %q", source, person)
			}
			return begun, nil
		},
		finish: func(redirected string) (pull.Connected, error) {
			if redirected == "http://localhost:1/?state=s&code=a%26b" {
				return done, nil
			}
			return pull.Connected{}, refused
		},
		await: func(state string) (pull.Connected, error) {
			if state == "s" {
				return done, nil
			}
			return pull.Connected{}, refused
		},
	})
	got, err := client.BeginConnect(t.Context(), "alex", "watch")
	if diff := cmp.Diff(begun, got); diff != "" || err != nil {
		t.Errorf("begun (-want +got), %v:\n%s", err, diff)
	}
	connected, err := client.FinishConnect(t.Context(), "http://localhost:1/?state=s&code=a%26b")
	if err != nil || connected.Zone.String() != "Europe/Oslo" || !connected.Ends.Equal(done.Ends) || connected.Person != "alex" {
		t.Errorf("connected: %+v, %v", connected, err)
	}
	if _, err := client.FinishConnect(t.Context(), "nonsense"); err == nil || err.Error() != refused.Error() {
		t.Errorf("err = %v, want %v", err, refused)
	}
	connected, err = client.AwaitConnect(t.Context(), "s")
	if err != nil || connected.Zone.String() != "Europe/Oslo" || connected.Source != "watch" {
		t.Errorf("awaited: %+v, %v", connected, err)
	}
	if _, err := client.AwaitConnect(t.Context(), "t"); err == nil || err.Error() != refused.Error() {
		t.Errorf("err = %v, want %v", err, refused)
	}
}

func TestProbe(t *testing.T) {
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	want := []pull.About{
		{
			Person: "alex", Source: "watch", Service: "Steps Ltd", Scopes: []string{"steps"},
			Description: ingest.Description{
				Zone: oslo, Devices: []ingest.Device{{Name: "Band", Synced: time.Unix(1_700_000_000, 0).UTC(), Battery: "low"}},
			},
		},
		{Person: "alex", Source: "ring", Err: errors.New("the consent has ended")},
	}
	client, _ := serve(t, t.TempDir(), commands{probe: func() ([]pull.About, error) { return want, nil }})
	got, err := client.Probe(t.Context())
	same := cmp.Options{
		cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) }),
		cmp.Comparer(func(a, b *time.Location) bool { return a == b || a != nil && b != nil && a.String() == b.String() }),
	}
	if diff := cmp.Diff(want, got, same); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	client, _ = serve(t, t.TempDir(), commands{probe: func() ([]pull.About, error) { return nil, http.ErrBodyNotAllowed }})
	if _, err := client.Probe(t.Context()); err == nil || err.Error() != http.ErrBodyNotAllowed.Error() {
		t.Errorf("err = %v", err)
	}
}

func TestDisconnect(t *testing.T) {
	want := pull.Disconnected{Person: "Åse & co", Source: "watch", Service: "Steps Ltd", Revoked: true, Remedy: "do it"}
	client, _ := serve(t, t.TempDir(), commands{end: func(person, source string) (pull.Disconnected, error) {
		if source == "ring" {
			return pull.Disconnected{}, errors.New("not connected")
		}
		return pull.Disconnected{Person: person, Source: source, Service: "Steps Ltd", Revoked: true, Remedy: "do it"}, nil
	}})
	if got, err := client.Disconnect(t.Context(), want.Person, want.Source); got != want || err != nil {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := client.Disconnect(t.Context(), "alex", "ring"); err == nil || err.Error() != "not connected" {
		t.Errorf("err = %v", err)
	}
}
