// Package web is walkd's HTTP server: the status page, the pages that connect a source, whether walkd lives, whether it
// is ready, and its metrics.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

//go:embed page
var page embed.FS

// Options are what the server is made of.
type Options struct {
	// Ready returns why walkd cannot do its work; nothing if it can.
	Ready   func(ctx context.Context) []string
	Metrics http.Handler
	// Status returns what the page at / shows; nil for no pages at all.
	Status func(ctx context.Context) (Status, error)
	Access Access
	// Connecting lets sources be connected on the pages; nil if they cannot be.
	Connecting *Connecting
	// BaseURL is the scheme and host by which browsers reach the pages, if that is not where the server listens.
	BaseURL string
	// Now returns the time on the wall.
	Now func() time.Time
	Log *slog.Logger
}

// A site is the pages, and what is kept for them.
type site struct {
	o         Options
	templates *template.Template
	sessions  sessions
	logins    limiter

	mu    sync.Mutex
	begun map[account]attempt
}

// New returns the handler of all routes.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		problems := o.Ready(ctx)
		if len(problems) == 0 {
			fmt.Fprintln(w, "ready")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		for _, p := range problems {
			fmt.Fprintln(w, p)
		}
	})
	mux.Handle("GET /metrics", o.Metrics)
	s := &site{
		o: o, begun: map[account]attempt{},
		templates: template.Must(template.New("pages").Funcs(funcs()).ParseFS(page, "page/*.html")), // a test reads them
	}
	if o.Status != nil {
		mux.HandleFunc("GET /{$}", s.admitted(s.serveStatus))
		mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, page, "page/style.css")
		})
	}
	if o.Status != nil && o.Access.Password != "" {
		mux.HandleFunc("GET /login", s.serveLogin)
		mux.HandleFunc("POST /login", s.login)
		mux.HandleFunc("POST /logout", s.logout)
	}
	if o.Status != nil && o.Connecting != nil {
		mux.HandleFunc("GET /connect/{person}/{source}", s.admitted(s.serveConnect))
		mux.HandleFunc("POST /connect/{person}/{source}", s.admitted(s.beginConnect))
		mux.HandleFunc("POST /connect/{person}/{source}/answer", s.admitted(s.answerConnect))
		mux.HandleFunc("GET "+CallbackPath, s.serveCallback) // a browser that comes from elsewhere has no session with it
	}
	return s.guard(mux)
}

// guard sets the headers that every answer has, and refuses what another site sends.
func (s *site) guard(h http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	if s.o.BaseURL != "" {
		if err := protection.AddTrustedOrigin(s.o.BaseURL); err != nil {
			s.o.Log.Error("the base URL is none, so forms may be refused", "err", err)
		}
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.say(w, http.StatusForbidden, said{
			Title: "Refused",
			Text: "This came from another site, so nothing was done. If it came from walkd's own page, a proxy hides by " +
				"which address you reach it: set base_url in the section [web] of the config.",
		})
	}))
	h = protection.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPolicy(w, "'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		h.ServeHTTP(w, r)
	})
}

// setPolicy sets the policy of what a page may do. forms is where its forms may go.
func setPolicy(w http.ResponseWriter, forms string) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; "+
		"base-uri 'none'; form-action "+forms+"; frame-ancestors 'none'")
}

// render answers with a page that may hold forms.
func (s *site) render(w http.ResponseWriter, status int, name string, data any) {
	setPolicy(w, "'self'")
	// Without a referrer a form would come from nowhere, and be refused as another site's.
	w.Header().Set("Referrer-Policy", "same-origin")
	s.write(w, status, name, data)
}

func (s *site) write(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.templates.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a client that has gone needs no answer
}

// said is what a page says that has nothing else.
type said struct {
	Title, Text string
	Notes       []string
	Again       string // where to try again; "" for no such link
	Back        bool   // a link to the status page
}

// say answers with a page of text, which has no forms.
func (s *site) say(w http.ResponseWriter, status int, text said) {
	s.write(w, status, "said.html", text)
}

// patience is how long answers under way may take once the daemon ends.
const patience = 5 * time.Second

// Serve serves h on l until ctx ends, then gives answers under way five seconds. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err := server.Shutdown(stop)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close() // a client that does not read its answer is no failure of ours
		}
		done <- err
	}()
	err := server.Serve(l)
	cancel()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if err := errors.Join(err, <-done); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}
