package main

import (
	"fmt"
	"math"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/pull"
)

// A progress shows how far a long work has come, on a terminal; elsewhere it is quiet.
type progress struct {
	app    *app
	prefix string // before everything, such as "2/3 "
	shown  bool   // on a terminal
	room   int    // columns for the text
	phase  engine.Phase
	begin  time.Time // of the phase
	last   time.Time // when it was last drawn
	bar    *progressbar.ProgressBar
}

// newProgress returns the progress of a work that is part n of several, which are counted if there is more than one.
func (a *app) newProgress(n, of int) *progress {
	width, ok := a.terminal(a.stderr)
	p := &progress{app: a, shown: ok, room: progressColumns}
	if width > 0 {
		p.room = min(p.room, max(0, width-progressCells-10)) // 10: percent, the bar's ends, a space at the end
	}
	if of > 1 {
		p.prefix = fmt.Sprintf("%d/%d ", n, of)
	}
	return p
}

const (
	progressCells   = 14
	progressColumns = 56 // of the text, so that the bar stands still
	progressEvery   = 250 * time.Millisecond
)

func (p *progress) show(s engine.Progress) {
	now := time.Now() // for the eye alone
	if !p.shown || p.bar != nil && s.Phase == p.phase && now.Sub(p.last) < progressEvery {
		return
	}
	if p.bar == nil || s.Phase != p.phase {
		p.finish()
		p.phase, p.begin = s.Phase, now
		p.bar = progressbar.NewOptions64(max(s.Total, -1),
			progressbar.OptionSetWriter(p.app.stderr),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetWidth(progressCells),
			progressbar.OptionSpinnerType(14), // dots, where the end is not known
			progressbar.OptionSetSpinnerChangeInterval(0),
			progressbar.OptionClearOnFinish(),
		)
	}
	p.last = now
	text := p.prefix + progressText(s, now.Sub(p.begin))
	if columns(text) > p.room {
		text = string([]rune(text)[:p.room])
	}
	if s.Total >= 0 {
		text = pad(text, -p.room)
	}
	p.bar.Describe(text)
	_ = p.bar.Set64(min(s.Done, max(s.Total, s.Done))) // fails only beyond its end
}

// pulling shows how far pulling has come.
func (p *progress) pulling(s pull.Progress) {
	p.show(engine.Progress{Phase: engine.Pulling, Done: int64(s.Done), Total: int64(s.Total), Records: int64(s.Records)})
}

// progressText says how far a phase has come after it has been going on for elapsed.
func progressText(s engine.Progress, elapsed time.Duration) string {
	var text string
	of := func(f func(int64) string) string {
		if s.Total < 0 {
			return f(s.Done)
		}
		return f(s.Done) + " of " + f(s.Total)
	}
	switch s.Phase {
	case engine.Reading:
		text = fmt.Sprintf("reading: %s MB, %s records", of(megabytes), grouped(s.Records))
	case engine.Pulling:
		text = fmt.Sprintf("pulling: %s days, %s records", of(grouped), grouped(s.Records))
	case engine.Storing:
		text = "storing: " + of(grouped)
	case engine.Deriving:
		text = "days: " + of(grouped)
	case engine.Projecting:
		text = "days written to InfluxDB: " + of(grouped)
	}
	if left := remaining(s, elapsed); left != "" {
		text += ", " + left + " left"
	}
	return text
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }

// remaining returns roughly how long a phase will still take; nothing if that is not known yet or hardly worth saying.
func remaining(s engine.Progress, elapsed time.Duration) string {
	if s.Total <= 0 || s.Done <= 0 || s.Done >= s.Total || elapsed < time.Second {
		return ""
	}
	seconds := elapsed.Seconds() * float64(s.Total-s.Done) / float64(s.Done)
	switch {
	case seconds < 10:
		return fmt.Sprintf("%.0f s", math.Ceil(seconds))
	case seconds < 100:
		return fmt.Sprintf("%.0f s", math.Ceil(seconds/5)*5)
	default:
		return fmt.Sprintf("%.0f min", math.Ceil(seconds/60))
	}
}

// finish takes the bar away.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
