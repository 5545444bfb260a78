package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/walkd/walkd/internal/engine"
	"golang.org/x/term"
)

// A progress shows how far a long work has come, on a terminal; elsewhere it is quiet.
type progress struct {
	app   *app
	what  string
	shown bool // on a terminal
	phase engine.Phase
	bar   *progressbar.ProgressBar
}

func (a *app) newProgress(what string) *progress {
	f, ok := a.stderr.(*os.File)
	return &progress{app: a, what: what, shown: ok && term.IsTerminal(int(f.Fd()))}
}

func (p *progress) show(s engine.Progress) {
	if !p.shown {
		return
	}
	if p.bar == nil || s.Phase != p.phase {
		p.finish()
		p.phase = s.Phase
		p.bar = progressbar.NewOptions64(max(s.Total, -1),
			progressbar.OptionSetWriter(p.app.stderr),
			progressbar.OptionShowBytes(s.Phase == engine.Reading),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetWidth(20),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetElapsedTime(false),
		)
	}
	d := p.what + ", " + string(s.Phase)
	if s.Phase == engine.Reading {
		d = fmt.Sprintf("%s, %d records", p.what, s.Records)
	}
	p.bar.Describe(d)
	_ = p.bar.Set64(min(s.Done, max(s.Total, s.Done))) // fails only beyond its end
}

// finish takes the bar away.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
