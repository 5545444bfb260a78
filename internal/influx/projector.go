package influx

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dueLimit     = 4096             // tasks asked for at once
	firstDelay   = time.Second      // after the first failure
	longestDelay = 5 * time.Minute  // after many
	recheck      = 10 * time.Minute // how often Run looks by itself, should a wake be missed
)

// Stats says what a projection did.
type Stats struct {
	Days      int // days done
	Points    int // points posted, zeros included
	Zeros     int // points that vanished and were written as zeros
	Unchanged int // measurements of a day that needed no posting
	Posts     int // requests
	Dropped   int // points that InfluxDB will never take
	// DroppedBy is the first refusal behind Dropped; nil if there is none.
	DroppedBy *Error
}

func (s *Stats) add(o Stats) {
	s.Days += o.Days
	s.Points += o.Points
	s.Zeros += o.Zeros
	s.Unchanged += o.Unchanged
	s.Posts += o.Posts
	s.Dropped += o.Dropped
	if s.DroppedBy == nil {
		s.DroppedBy = o.DroppedBy
	}
}

// State is how the projection stands.
type State struct {
	// LastSuccess is when everything due was last done; zero if never.
	LastSuccess time.Time
	// Err is the failure that stands in the way now; nil if none does. Since is when it began.
	Err   *Error
	Since time.Time
	// NextTry is when Run tries again after a failure; zero if nothing failed.
	NextTry time.Time
	// Written and Dropped count points since the start.
	Written, Dropped int64
	// DroppedBy is the last refusal of points for good; nil if none was refused.
	DroppedBy *Error
	// Failures counts failures by their cause since the start.
	Failures map[Cause]int64
}

// Options are the options of a Projector.
type Options struct {
	// Logger takes what a person should know. Nil logs nothing.
	Logger *slog.Logger
	// Progress, if not nil, is called after every few days with the sums so far of one ProjectDue.
	Progress func(Stats)
}

// Projector keeps the copy in InfluxDB up to date.
type Projector struct {
	client   *Client
	days     Days
	journal  Journal
	log      *slog.Logger
	progress func(Stats)

	chunk   int           // days projected under one intention
	running chan struct{} // holds one value while nobody projects
	lines   atomic.Int64  // lines in a batch; less after a server found one too large

	mu    sync.Mutex
	state State
}

// New returns a Projector.
func New(client *Client, days Days, journal Journal, o Options) *Projector {
	p := &Projector{
		client: client, days: days, journal: journal, log: o.Logger, progress: o.Progress,
		chunk: chunkDays, running: make(chan struct{}, 1),
		state: State{Failures: map[Cause]int64{}},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.running <- struct{}{}
	p.lines.Store(batchLines)
	return p
}

// State returns how the projection stands.
func (p *Projector) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	s.Failures = maps.Clone(s.Failures)
	return s
}

// ProjectDue projects everything that is due, until nothing is left or something fails. Points that InfluxDB will
// never take are no failure: they are counted in Stats. Of two calls at a time the second waits.
func (p *Projector) ProjectDue(ctx context.Context) (Stats, error) {
	if err := p.acquire(ctx); err != nil {
		return Stats{}, err
	}
	defer p.release()
	stats, err := p.projectDue(ctx)
	p.note(ctx, stats, err)
	return stats, err
}

func (p *Projector) acquire(ctx context.Context) error {
	select {
	case <-p.running:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Projector) release() { p.running <- struct{}{} }

func (p *Projector) projectDue(ctx context.Context) (Stats, error) {
	var total Stats
	for {
		tasks, err := p.journal.Due(ctx, dueLimit)
		if err != nil {
			return total, p.storeError(ctx, err)
		}
		if len(tasks) == 0 {
			return total, ctx.Err()
		}
		if err := p.pass(ctx, tasks, &total); err != nil {
			return total, err
		}
	}
}

// pass projects tasks. While one chunk is posted the next one is made: the channel has no room, so that there are two.
func (p *Projector) pass(ctx context.Context, tasks []Task, total *Stats) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks := make(chan *chunk)
	failed := make(chan error, 1)
	go func() {
		defer close(chunks)
		b := newBuilder(p.days, p.journal, p.log, func() int { return int(p.lines.Load()) })
		ring := [2]*chunk{{}, {}}
		for i := 0; len(tasks) > 0; i++ {
			n := 1
			for n < len(tasks) && n < p.chunk && tasks[n].Person == tasks[0].Person {
				n++
			}
			c := ring[i%2]
			if err := b.build(ctx, c, tasks[:n]); err != nil {
				failed <- p.storeError(ctx, err)
				return
			}
			tasks = tasks[n:]
			select {
			case chunks <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	var err error
	for c := range chunks {
		if err != nil {
			continue // the builder is on its way out
		}
		if err = p.send(ctx, c); err != nil {
			cancel()
		}
		total.add(c.stats)
		if err == nil && p.progress != nil {
			p.progress(*total)
		}
	}
	if err == nil {
		select {
		case err = <-failed:
		default:
			err = ctx.Err()
		}
	}
	return err
}

// send posts a chunk: first the intention, then the points, then that it is done.
func (p *Projector) send(ctx context.Context, c *chunk) error {
	if len(c.intend) > 0 {
		if err := p.journal.Intend(ctx, c.intend); err != nil {
			c.stats = Stats{}
			return p.storeError(ctx, err)
		}
	}
	made := c.stats
	c.stats = Stats{}
	for _, b := range c.batches[:c.used] {
		if err := p.post(ctx, b.compressed, b.points, &c.stats); err != nil {
			return err
		}
	}
	if err := p.journal.Done(ctx, c.tasks, c.done); err != nil {
		return p.storeError(ctx, err)
	}
	c.stats.Days, c.stats.Zeros, c.stats.Unchanged = made.Days, made.Zeros, made.Unchanged
	return nil
}

// post posts a batch. If lines of it are to blame for a refusal it is halved until they stand alone.
func (p *Projector) post(ctx context.Context, compressed []byte, points int, s *Stats) error {
	err := p.client.post(ctx, compressed)
	s.Posts++
	var e *Error
	switch {
	case err == nil:
		p.count(s, points, 0, nil)
		return nil
	case !errors.As(err, &e) || !e.Permanent:
		return err
	case !e.lineTrouble():
		lost := min(e.Dropped, points)
		p.count(s, points-lost, lost, e)
		return nil
	case points <= 1:
		e.Dropped = points
		p.count(s, 0, points, e)
		return nil
	}
	half := points / 2
	if e.Cause == TooLarge {
		p.lines.Store(min(p.lines.Load(), int64(max(half, 1))))
	}
	lines, err := decompress(compressed)
	if err != nil {
		return err
	}
	n := 0
	for range half {
		n += bytes.IndexByte(lines[n:], '\n') + 1
	}
	c := newCompressor()
	if err := p.post(ctx, c.compress(nil, lines[:n]), half, s); err != nil {
		return err
	}
	return p.post(ctx, c.compress(nil, lines[n:]), points-half, s)
}

func (p *Projector) count(s *Stats, written, dropped int, by *Error) {
	s.Points += written
	s.Dropped += dropped
	if s.DroppedBy == nil {
		s.DroppedBy = by
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Written += int64(written)
	p.state.Dropped += int64(dropped)
	if by != nil {
		p.state.DroppedBy = by
		p.state.Failures[by.Cause]++
	}
}

func (p *Projector) storeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{Cause: StoreFailed, Reason: err.Error(), Err: err, Remedy: "look after walkd's data folder"}
}

// note keeps the outcome of a projection, and says it once.
func (p *Projector) note(ctx context.Context, stats Stats, err error) {
	if ctx.Err() != nil {
		return
	}
	if d := stats.DroppedBy; d != nil {
		p.log.WarnContext(ctx, "influxdb dropped points", "points", stats.Dropped, "cause", string(d.Cause),
			"status", d.Status, "reason", d.Reason, "remedy", d.Remedy)
	}
	now := time.Now()
	p.mu.Lock()
	before := p.state.Err
	var e *Error
	switch {
	case err == nil:
		p.state.LastSuccess, p.state.NextTry = now, time.Time{}
		p.state.Err, p.state.Since = nil, time.Time{}
	case !errors.As(err, &e):
		e = &Error{Cause: StoreFailed, Reason: err.Error(), Err: err, Remedy: "look after walkd's data folder"}
		fallthrough
	default:
		p.state.Failures[e.Cause]++
		p.state.Err = e
		if before == nil {
			p.state.Since = now
		}
	}
	p.mu.Unlock()
	switch {
	case e != nil && (before == nil || before.Cause != e.Cause):
		p.log.WarnContext(ctx, "influxdb projection failed", "cause", string(e.Cause), "status", e.Status,
			"reason", e.Reason, "remedy", e.Remedy)
	case e == nil && before != nil:
		p.log.InfoContext(ctx, "influxdb projection recovered", "cause", string(before.Cause), "points", stats.Points)
	}
}

// Run projects whenever wake tells that something may be due, and once at the start, until ctx ends; then it returns
// nil. After a failure it waits, longer every time and at least as long as the server asks, and tries again.
func (p *Projector) Run(ctx context.Context, wake <-chan struct{}) error {
	failures := 0
	for ctx.Err() == nil {
		var wait time.Duration
		ready := wake
		if _, err := p.ProjectDue(ctx); err != nil {
			wait = delay(failures, err)
			failures++
			ready = nil // what comes in meanwhile is found due at the next try
			p.mu.Lock()
			p.state.NextTry = time.Now().Add(wait)
			p.mu.Unlock()
		} else {
			wait, failures = recheck, 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case _, ok := <-ready:
			if !ok {
				wake = nil
			}
		}
		timer.Stop()
	}
	return nil
}

// delay returns how long to wait after the failure err, when there were as many before it: a second, doubled every
// time, at most five minutes, a quarter of it left to chance, and no less than the server asks for.
func delay(before int, err error) time.Duration {
	d := longestDelay
	if before < 9 {
		d = min(d, firstDelay<<before)
	}
	d -= time.Duration(rand.Int64N(int64(d / 4)))
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > d {
		d = e.RetryAfter
	}
	return d
}
