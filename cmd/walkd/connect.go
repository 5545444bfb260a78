package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/control"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/web"
)

// connector gets consents, and ends them: the engine itself, or a daemon that has one.
type connector interface {
	BeginConnect(ctx context.Context, person, source string) (pull.Connection, error)
	FinishConnect(ctx context.Context, redirected string) (pull.Connected, error)
	AwaitConnect(ctx context.Context, state string) (pull.Connected, error)
	Disconnect(ctx context.Context, person, source string) (pull.Disconnected, error)
}

func (a *app) connectCommand() *cobra.Command {
	var (
		person        string
		paste, revoke bool
	)
	c := &cobra.Command{
		Use:   "connect SOURCE",
		Short: "Authorise a source, such as Google Health",
		Long: `Ask for your consent that walkd reads a source of the config. It prints an
address: open it in a browser on this machine, and consent. On a machine without
a browser use --paste: open the address anywhere, or scan it with a phone,
consent, and paste the address that the browser then shows (the page itself
cannot be reached, which is fine). The daemon's status page connects sources too.

Connecting again replaces the consent and loses no data. While a daemon runs on
the data folder it keeps the consent and begins to pull at once.

With --revoke the consent is ended instead, with the service as far as it lets
walkd do that, and walkd forgets its access. What was pulled stays.`,
		Example: `  walkd connect watch
  walkd connect watch --paste
  walkd connect watch --revoke`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("want the name of one source of the config")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.connect(cmd.Context(), person, args[0], paste, revoke)
		},
	}
	c.Flags().StringVar(&person, "person", "", "whose source it is (`NAME`), if the config has several people")
	c.Flags().BoolVar(&paste, "paste", false, "paste the address that the browser ends at, instead of being called back")
	c.Flags().BoolVar(&revoke, "revoke", false, "end the consent, instead of asking for it")
	return c
}

// consentTime is how long a person may take to consent.
const consentTime = 10 * time.Minute

func (a *app) connect(ctx context.Context, person, source string, paste, revoke bool) (err error) {
	if paste && revoke {
		return usagef("connect: --paste asks for a consent, and --revoke ends it: want one of them")
	}
	s, err := a.load()
	if err != nil {
		return err
	}
	account, err := findAccount(accounts(s), person, source)
	if err != nil {
		return err
	}
	var to connector
	client, err := control.Dial(ctx, s.DataDir)
	running := err == nil
	if to = client; !running {
		e, err := a.open(ctx, s)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, e.Store.Close()) }()
		to = e
	}
	if revoke {
		return a.disconnect(ctx, to, account)
	}
	ctx, cancel := context.WithTimeout(ctx, consentTime)
	defer cancel()
	begun, err := to.BeginConnect(ctx, account.Person, account.Source)
	if err != nil && running && ctx.Err() == nil {
		return restartToKnow(err)
	}
	if err != nil {
		return err
	}
	var done pull.Connected
	switch {
	case paste:
		done, err = a.connectByPaste(ctx, to, begun)
	case running && takesCallback(s.Web, begun.Redirect):
		fmt.Fprintf(a.stderr, "Open this address in a browser%s, and consent:\n\n%s\n\n", onThisMachine(begun.Redirect), begun.URL)
		fmt.Fprintln(a.stderr, "Waiting until the running walkd has the answer (Ctrl-C ends it; to paste it use --paste) ...")
		done, err = to.AwaitConnect(ctx, begun.State)
	case s.Web.BaseURL != "" && takesCallback(s.Web, begun.Redirect) && onThisMachine(begun.Redirect) == "":
		err = fmt.Errorf("the daemon answers at the redirect URL %s, and it does not run: start `walkd run`, or use --paste",
			begun.Redirect)
	default:
		done, err = connectByLoopback(ctx, to, begun, func() {
			fmt.Fprintf(a.stderr, "Open this address in a browser on this machine, and consent:\n\n%s\n\n", begun.URL)
			fmt.Fprintln(a.stderr, "Waiting for the answer (Ctrl-C ends it; on a machine without a browser use --paste) ...")
		})
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("nothing came back within %d minutes: run the command again when you are ready", int(consentTime.Minutes()))
	}
	if err != nil {
		return err
	}
	a.reportConnected(s, done, running)
	return nil
}

// disconnect ends the consent for an account.
func (a *app) disconnect(ctx context.Context, to connector, c pull.Config) error {
	done, err := to.Disconnect(ctx, c.Person, c.Source)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s of %s is disconnected: walkd pulls nothing more from %s. What was pulled stays.\n", done.Source,
		done.Person, done.Service)
	if done.Revoked {
		fmt.Fprintf(a.stdout, "%s has ended the consent too.\n", done.Service)
	}
	if done.Remedy != "" {
		fmt.Fprintf(a.stdout, "%s knows nothing of that yet: %s.\n", done.Service, done.Remedy)
	}
	fmt.Fprintf(a.stdout, "`walkd connect %s` connects it again.\n", done.Source)
	return nil
}

// findAccount returns the account that a person and a source name.
func findAccount(all []pull.Config, person, source string) (pull.Config, error) {
	var found []pull.Config
	var names []string
	for _, c := range all {
		names = append(names, c.Source)
		if c.Source == source && (person == "" || c.Person == person) {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return pull.Config{}, usagef("several people have a source %q: say whose with --person", source)
	case len(all) == 0:
		return pull.Config{}, usagef("the config names no source that can be connected: add a [[person.source]] of kind " +
			"google-health, oura, polar or withings, as config.example.toml shows")
	}
	whose := ""
	if person != "" {
		whose = " of " + person
	}
	return pull.Config{}, usagef("there is no source %q%s that can be connected or pulled: want one of %s", source, whose,
		strings.Join(names, ", "))
}

// takesCallback reports whether the pages of a daemon with the config w are where a provider sends the browser.
func takesCallback(w config.Web, redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || !w.Pages || w.Listen == "" || u.Path != web.CallbackPath {
		return false
	}
	if w.BaseURL != "" && redirect == w.BaseURL+web.CallbackPath {
		return true
	}
	host, port, err := net.SplitHostPort(w.Listen)
	if err != nil || u.Scheme != "http" || cmp.Or(u.Port(), "80") != port || onThisMachine(redirect) == "" {
		return false
	}
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback())
}

// onThisMachine returns " on this machine" if a browser elsewhere cannot follow a redirect, else "".
func onThisMachine(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return " on this machine"
	}
	return ""
}

// connectByPaste has the person paste the address that the browser ends at, unless the browser has brought it to the
// daemon by then.
func (a *app) connectByPaste(ctx context.Context, to connector, c pull.Connection) (pull.Connected, error) {
	fmt.Fprintf(a.stderr, "Open this address in any browser, and consent:\n\n%s\n\n", c.URL)
	a.showCode(c.URL)
	fmt.Fprintf(a.stderr, "The browser ends at an address that begins with %s\n", c.Redirect)
	fmt.Fprintln(a.stderr, "It may say that it cannot reach it. Copy the whole address from there, paste it here, and press Enter:")
	line := make(chan string, 1)
	failed := make(chan error, 1)
	go func() { // reading a terminal cannot be broken off; the process ends with the command
		text, _ := bufio.NewReader(io.LimitReader(a.stdin, 64<<10)).ReadString('\n') // the last line may have no end
		if strings.TrimSpace(text) == "" {
			failed <- errors.New("nothing was pasted: run the command again")
			return
		}
		line <- text
	}()
	waiting, stop := context.WithCancel(ctx)
	brought := make(chan pull.Connected, 1)
	var wait sync.WaitGroup
	wait.Go(func() {
		if done, err := to.AwaitConnect(waiting, c.State); err == nil { // else the browser says why, and one can still paste
			brought <- done
		}
	})
	defer wait.Wait()
	defer stop()
	select {
	case <-ctx.Done():
		return pull.Connected{}, ctx.Err()
	case err := <-failed:
		return pull.Connected{}, err
	case done := <-brought:
		return done, nil
	case text := <-line:
		return to.FinishConnect(ctx, strings.TrimSpace(text))
	}
}

// connectByLoopback listens where the provider sends the browser, calls ready, and waits for it.
func connectByLoopback(ctx context.Context, to connector, c pull.Connection, ready func()) (_ pull.Connected, err error) {
	redirect, err := url.Parse(c.Redirect)
	if err != nil {
		return pull.Connected{}, err
	}
	host := redirect.Hostname()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return pull.Connected{}, fmt.Errorf("the redirect URL %s is not of this machine: use --paste", c.Redirect)
	}
	port := redirect.Port()
	if port == "" {
		port = "80"
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return pull.Connected{}, fmt.Errorf("cannot wait for the browser at %s: %w: use --paste, or another redirect_url "+
			"in the config and with the provider", c.Redirect, err)
	}
	type result struct {
		pull.Connected
		err error
	}
	ended := make(chan result, 1)
	var once sync.Once
	path := redirect.Path
	if path == "" {
		path = "/"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		if r.URL.Query().Get("state") != c.State {
			connectPage(w, http.StatusBadRequest, "This is not the answer that walkd waits for", "Go on in the window that "+
				"`walkd connect` opened, or run it again.")
			return
		}
		done, err := to.FinishConnect(ctx, r.URL.String()) // also if the browser leaves: the code is good once
		if err != nil {
			connectPage(w, http.StatusBadRequest, "Not connected", err.Error())
		} else {
			connectPage(w, http.StatusOK, done.Service+" is connected", "You can close this page.")
		}
		once.Do(func() { ended <- result{done, err} })
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // the page is on its way
		defer cancel()
		if stopErr := server.Shutdown(stop); stopErr != nil {
			err = errors.Join(err, server.Close())
		}
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
	}()
	ready()
	select {
	case <-ctx.Done():
		return pull.Connected{}, ctx.Err()
	case r := <-ended:
		return r.Connected, r.err
	}
}

// connectPage is what the browser shows at the end.
func connectPage(w http.ResponseWriter, status int, title, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "+
		"content=\"width=device-width\"><title>walkd</title><h1>%s</h1><p>%s</p></html>\n",
		template.HTMLEscapeString(title), template.HTMLEscapeString(text))
}

func (a *app) reportConnected(s settings, c pull.Connected, running bool) {
	fmt.Fprintf(a.stdout, "%s is connected as %s of %s.\n", c.Service, c.Source, c.Person)
	for _, note := range connectedNotes(s, c) {
		fmt.Fprintln(a.stdout, note)
	}
	if running {
		fmt.Fprintln(a.stdout, "The running walkd now pulls what there is, the newest first. `walkd today` shows it.")
	} else {
		fmt.Fprintln(a.stdout, "`walkd sync` pulls the last days now; `walkd run` goes on from there, and brings the history in.")
	}
}

// connectedNotes returns what there is to know of a consent that was given, in sentences.
func connectedNotes(s settings, c pull.Connected) []string {
	var out []string
	if c.Trouble != "" {
		out = append(out, fmt.Sprintf("But so far nothing can be pulled as it should: %s. `walkd sync` tries again.", c.Trouble))
	}
	if !c.Ends.IsZero() {
		out = append(out, fmt.Sprintf("This consent ends on %s whatever walkd does, because your client is in testing with the "+
			"provider. Publish it there, and connect again, to keep it.", c.Ends.Local().Format("2 January 2006 15:04")))
	}
	for _, p := range s.People {
		if p.Name == c.Person && c.Zone != nil && c.Zone.String() != p.Home.String() {
			out = append(out, fmt.Sprintf("%s says that you live in %s, the config says %s. If the provider is right, set "+
				"timezone = %q for %s.", c.Service, c.Zone, p.Home, c.Zone.String(), p.Name))
		}
	}
	return out
}
