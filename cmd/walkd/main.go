// Walkd pulls a person's walking from wearables and phones, keeps it, compares it with the target of more than 100
// walking minutes a day, and projects it into InfluxDB.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // a NAS may come without

	"github.com/walkd/walkd/internal/config"
)

func main() { os.Exit(newApp().main(os.Args[1:])) }

// main is walkd: it takes the arguments after the program's name and returns the exit code.
func (a *app) main(args []string) int {
	// The first signal ends the work in good order; after it a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()
	return a.run(ctx, args)
}

// An app is what the commands run on.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            config.Env
	now            func() time.Time
	terminal       func(io.Writer) (columns int, ok bool) // whether an output is a terminal, and how wide
	lines          func(io.Writer) int                    // how many lines a terminal shows; 0 if it does not tell

	flags struct {
		config, dataDir, logLevel, logFormat string
	}
}

// newApp returns the app of the machine that walkd runs on.
func newApp() *app {
	return &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: config.Machine(), now: time.Now,
		terminal: terminalWidth, lines: terminalLines,
	}
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // also a wrong config
)

func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var (
		usage    usageError
		problems config.Problems
		silent   silentError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &silent):
		return int(silent)
	case errors.As(err, &problems):
		fmt.Fprintln(a.stderr, err)
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "walkd: %v\n", err)
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(a.stderr, "walkd: interrupted")
		return exitFailed
	case strings.Contains(err.Error(), "\n"): // a list, such as that of the broken rows of a file
		fmt.Fprintln(a.stderr, err)
		return exitFailed
	default:
		fmt.Fprintf(a.stderr, "walkd: %v\n", err)
		return exitFailed
	}
}

// A usageError says that the command line or the config is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// A silentError is an exit code whose reason has been told.
type silentError int

func (silentError) Error() string { return "" }
