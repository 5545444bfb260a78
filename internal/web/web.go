// Package web is walkd's HTTP server: the status page, whether it lives, whether it is ready, and its metrics.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Options are what the server is made of.
type Options struct {
	// Ready returns why walkd cannot do its work; nothing if it can.
	Ready   func(ctx context.Context) []string
	Metrics http.Handler
	// Status returns what the page at / shows; nil for no page.
	Status func(ctx context.Context) (Status, error)
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
	if o.Status != nil {
		mux.HandleFunc("GET /{$}", servePage(o.Status))
		mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, page, "page/style.css")
		})
	}
	return guard(mux)
}

// guard sets the headers that every answer has.
func guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		h.ServeHTTP(w, r)
	})
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
