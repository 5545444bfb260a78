package ingest

import (
	"context"
	"log/slog"
	"time"
)

// LeftOut counts what a source leaves out of an answer since it cannot be, such as more steps than anybody can do. Such
// an entry would stand in the way for ever if it were an error, and should not go without a word.
type LeftOut struct {
	log     *slog.Logger
	service string
	what    string
	r       Request
	n       int
	late    int // of n, what has not begun yet by the clock here
}

// NewLeftOut returns a count of what is left out of the answer of service to r. log may be nil.
func NewLeftOut(log *slog.Logger, service, what string, r Request) *LeftOut {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &LeftOut{log: log, service: service, what: what, r: r}
}

// Takes reports whether there is no reason to leave out what begins at start, and counts it otherwise.
func (l *LeftOut) Takes(ctx context.Context, start time.Time, reason error) bool {
	if reason == nil {
		return true
	}
	l.n++
	if start.After(l.r.Now.Add(ClockTolerance)) {
		l.late++
	}
	l.log.DebugContext(ctx, "what a service says cannot be", "service", l.service, "what", l.what, "err", reason)
	return false
}

// Late returns how much of what was left out has not begun yet by the clock here.
func (l *LeftOut) Late() int { return l.late }

// TellCount logs how much was left out, if anything was.
func (l *LeftOut) TellCount(ctx context.Context) {
	if l.n > 0 {
		l.log.WarnContext(ctx, "left out what cannot be", "what", l.what, "count", l.n,
			"from", l.r.Window.Start.UTC().Format(time.RFC3339), "to", l.r.Window.End.UTC().Format(time.RFC3339))
	}
}

// Tell does what TellCount does, and logs what to do about what has not begun yet.
func (l *LeftOut) Tell(ctx context.Context) {
	l.TellCount(ctx)
	if l.late > 0 {
		l.log.WarnContext(ctx, "some of it lies in the future: set the clock of this machine, or else that of the device",
			"what", l.what, "count", l.late, "now", l.r.Now.UTC().Format(time.RFC3339))
	}
}
