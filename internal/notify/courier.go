package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Clock is a source of time.
type Clock interface {
	// Now returns the current instant.
	Now() time.Time
	// NewTimer returns a channel that yields once when d has gone by on this clock, and a function that stops it.
	NewTimer(d time.Duration) (c <-chan time.Time, stop func())
}

// An Address is where messages go: one of the channels of one person.
type Address struct {
	Person  string // the name
	Channel string // the name of the channel in the person's config
}

// How often a message is tried.
const (
	firstRetry = 30 * time.Second // after the first attempt that failed; doubled with each one
	lastRetry  = 15 * time.Minute // the most between two attempts
	attemptFor = 30 * time.Second // how long one attempt may take on the wall clock, unless Options say otherwise
	lookAgain  = time.Minute      // how often to look at the queue while something due has to wait
	dueAtOnce  = 1000             // how many deliveries are taken from the queue at once
)

// Options are what a Courier works with.
type Options struct {
	Queue    Queue
	Channels map[Address]Channel
	Clock    Clock // domain time: when something is due, and when it expires
	// Wall is the clock on the wall, by which services say how long to leave them alone; Clock if nil.
	Wall Clock
	Log  *slog.Logger
	// Timeout is how long one attempt may take by the clock on the wall; 30 s if zero.
	Timeout time.Duration
}

// A Courier takes what is due from the queue, makes one attempt at a time on each channel, and notes how it went. A
// channel that hangs or fails delays no other. Its methods may be called from several goroutines.
type Courier struct {
	o    Options
	wake chan struct{}

	round sync.Mutex // held while deliveries are taken from the queue
	mu    sync.Mutex
	busy  map[Address]bool      // a goroutine works on it
	hold  map[Address]time.Time // on the wall clock: not before
	state map[Address]State
	count map[Count]int // by what is not N
}

// A Count is how many attempts of a kind of channel ended in an Outcome since the start; deliveries that Expired count
// as well.
type Count struct {
	Kind    string
	Outcome Outcome
	N       int
}

// A State is how the last attempt on a channel went.
type State struct {
	Address
	Kind    string
	Outcome Outcome
	Problem string // what happened and what to do; "" if it was delivered
	At      time.Time
}

// NewCourier returns a Courier. It does nothing by itself: call Run or Deliver.
func NewCourier(o Options) *Courier {
	if o.Wall == nil {
		o.Wall = o.Clock
	}
	if o.Timeout == 0 {
		o.Timeout = attemptFor
	}
	return &Courier{
		o: o, wake: make(chan struct{}, 1), busy: map[Address]bool{}, hold: map[Address]time.Time{},
		state: map[Address]State{}, count: map[Count]int{},
	}
}

// Wake makes Run look at the queue now. It never blocks.
func (c *Courier) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run delivers what is due, when it is due, until ctx ends. It returns nil then, after the attempts under way have been
// noted.
func (c *Courier) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	for ctx.Err() == nil {
		waiting, err := c.dispatch(ctx, &workers, func(err error) {
			if err != nil {
				c.o.Log.Error("cannot note a delivery", "err", err)
			}
			c.Wake()
		})
		delay, due := lookAgain, true
		if err == nil && !waiting {
			delay, due, err = c.untilNext(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.o.Log.Error("cannot read the queue of messages", "err", err)
			delay, due = lookAgain, true
		}
		c.sleep(ctx, delay, due)
	}
	return nil
}

// sleep returns when delay has gone by, if timed, or Run is woken, or ctx ends.
func (c *Courier) sleep(ctx context.Context, delay time.Duration, timed bool) {
	var alarm <-chan time.Time
	if timed {
		timer, stop := c.o.Clock.NewTimer(delay)
		defer stop()
		alarm = timer
	}
	select {
	case <-ctx.Done():
	case <-c.wake:
	case <-alarm:
	}
}

// untilNext returns how long it is until the next delivery is due, and false if there is none to come. Of those that
// are due already it is told by Wake, when the attempt under way has ended.
func (c *Courier) untilNext(ctx context.Context) (time.Duration, bool, error) {
	at, found, err := c.o.Queue.NextDelivery(ctx)
	if err != nil || !found {
		return 0, false, err
	}
	if delay := at.Sub(c.o.Clock.Now()); delay > 0 {
		return delay, true, nil
	}
	return lookAgain, true, nil
}

// Deliver makes one round: one attempt at everything that is due now, at the same time on different channels. It
// returns when all of them have ended. Its error is that of the queue; what a channel says is noted there.
func (c *Courier) Deliver(ctx context.Context) error {
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		failed  []error
	)
	_, err := c.dispatch(ctx, &workers, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, err)
	})
	workers.Wait()
	return errors.Join(append(failed, err)...)
}

// dispatch starts one goroutine for each address with something due, and reports whether anything due has to wait for
// an address that is held. Each goroutine calls done when its address is free again.
func (c *Courier) dispatch(ctx context.Context, workers *sync.WaitGroup, done func(error)) (waiting bool, err error) {
	c.round.Lock()
	defer c.round.Unlock()
	// Who is busy is asked before the queue, since what an attempt is about to note is not in what the queue says.
	c.mu.Lock()
	busy := maps.Clone(c.busy)
	c.mu.Unlock()
	due, err := c.o.Queue.DueDeliveries(ctx, c.o.Clock.Now(), dueAtOnce)
	if err != nil {
		return false, fmt.Errorf("notify: %w", err)
	}
	var order []Address
	bags := map[Address][]Delivery{}
	wall := c.o.Wall.Now()
	for _, d := range due {
		to := Address{d.Message.Person, d.Channel}
		if busy[to] {
			continue
		}
		// What has expired needs no channel, and is not kept waiting for one.
		if c.heldUntil(to).After(wall) && !expired(d.Message, c.o.Clock.Now()) {
			waiting = true
			continue
		}
		if bags[to] == nil {
			order = append(order, to)
		}
		bags[to] = append(bags[to], d)
	}
	for _, to := range order {
		c.mu.Lock()
		c.busy[to] = true
		c.mu.Unlock()
		workers.Go(func() {
			err := c.work(ctx, to, bags[to])
			c.mu.Lock()
			delete(c.busy, to)
			if err != nil {
				c.hold[to] = c.o.Wall.Now().Add(firstRetry)
			}
			c.mu.Unlock()
			done(err)
		})
	}
	return waiting, nil
}

func (c *Courier) heldUntil(to Address) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hold[to]
}

// work makes one attempt at each delivery, in order, for as long as the address is not held.
func (c *Courier) work(ctx context.Context, to Address, bag []Delivery) error {
	for _, d := range bag {
		if ctx.Err() != nil {
			return nil
		}
		if c.heldUntil(to).After(c.o.Wall.Now()) && !expired(d.Message, c.o.Clock.Now()) {
			continue
		}
		if err := c.attempt(ctx, to, d); err != nil && ctx.Err() == nil {
			return fmt.Errorf("notify: deliver to %s of %s: %w", to.Channel, to.Person, err)
		}
	}
	return nil
}

func expired(m Message, now time.Time) bool { return !m.Expires.IsZero() && !now.Before(m.Expires) }

// attempt makes one attempt and notes how it went. Its error is that of the queue.
func (c *Courier) attempt(ctx context.Context, to Address, d Delivery) error {
	channel, known := c.o.Channels[to]
	now := c.o.Clock.Now()
	interrupted := !d.Begun.IsZero()
	kind := ""
	if known {
		kind = channel.Kind()
	}
	switch {
	case interrupted && (!known || expired(d.Message, now) || !c.replaces(ctx, channel)):
		return c.end(ctx, to, kind, d, Receipt{}, &Error{
			Outcome: Unknown, Err: errors.New("walkd was stopped while sending this message"),
		}, false)
	case !known:
		return c.end(ctx, to, kind, d, Receipt{}, &Error{
			Outcome: Rejected, Remedy: "put it back, or ignore this",
			Err: fmt.Errorf("there is no channel %q in the config any more", to.Channel),
		}, false)
	case expired(d.Message, now):
		return c.end(ctx, to, kind, d, Receipt{}, &Error{
			Outcome: Expired, Err: errors.New("the message was of no more use before it could be sent"),
		}, false)
	}
	if err := c.o.Queue.BeginDelivery(ctx, d.ID, now); err != nil {
		return err
	}
	d.Attempts++
	receipt, err := c.send(ctx, channel, d.Message)
	if err == nil {
		return c.end(ctx, to, kind, d, receipt, nil, false)
	}
	var failure *Error
	if !errors.As(err, &failure) {
		failure = &Error{Outcome: Unknown, Err: err} // it may have been sent, as far as anybody can tell
	}
	again := failure.Outcome == Throttled || failure.Outcome == Failed ||
		failure.Outcome == Unknown && c.replaces(ctx, channel)
	return c.end(ctx, to, kind, d, Receipt{}, failure, again)
}

func (c *Courier) send(ctx context.Context, channel Channel, m Message) (Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	return channel.Send(ctx, m)
}

// replaces asks the channel, also while walkd is being stopped.
func (c *Courier) replaces(ctx context.Context, channel Channel) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(c.o.Timeout, 5*time.Second))
	defer cancel()
	return channel.Replaces(ctx)
}

// end notes how an attempt went, failure being nil if it was delivered, and when to try again, if so. That is noted
// also while walkd is being stopped.
func (c *Courier) end(
	ctx context.Context, to Address, kind string, d Delivery, receipt Receipt, failure *Error, again bool,
) error {
	now := c.o.Clock.Now()
	outcome, problem := Delivered, ""
	var retryAt time.Time
	if failure != nil {
		outcome, problem = failure.Outcome, failure.Error()
		if again {
			wait := backOff(d.Attempts, failure.RetryAfter)
			if ctx.Err() != nil && outcome == Failed {
				wait = 0 // it is walkd that broke off
			}
			if outcome == Throttled {
				c.mu.Lock()
				c.hold[to] = c.o.Wall.Now().Add(wait)
				c.mu.Unlock()
			}
			// What would expire before ends here, with what stood in its way.
			if retryAt = now.Add(wait); expired(d.Message, retryAt) {
				retryAt = time.Time{}
			}
		}
	}
	err := c.o.Queue.EndDelivery(context.WithoutCancel(ctx), d.ID, outcome, receipt, problem, retryAt, now)
	c.note(State{to, kind, outcome, problem, now}, d, retryAt)
	return err
}

// backOff returns how long to wait after so many attempts: 30 s, doubled with each, up to 15 min; and never less than
// what the service asked for.
func backOff(attempts int, asked time.Duration) time.Duration {
	wait := lastRetry
	if attempts < 6 {
		wait = min(lastRetry, firstRetry<<max(0, attempts-1))
	}
	return max(wait, asked)
}

// note counts, and tells of what has changed since the last attempt on the channel.
func (c *Courier) note(s State, d Delivery, retryAt time.Time) {
	c.mu.Lock()
	c.count[Count{Kind: s.Kind, Outcome: s.Outcome}]++
	before := c.state[s.Address]
	c.state[s.Address] = s
	c.mu.Unlock()
	log := c.o.Log.With("person", s.Person, "channel", s.Channel, "rule", d.Message.Rule)
	switch {
	case s.Outcome == Delivered && before.Problem != "":
		log.Info("message delivered, the channel works again")
	case s.Outcome == Delivered:
		log.Info("message delivered")
	case !retryAt.IsZero() && before.Problem == s.Problem:
		log.Debug("message not delivered, trying again", "outcome", string(s.Outcome), "err", s.Problem, "at", retryAt)
	case !retryAt.IsZero():
		log.Warn("message not delivered, trying again", "outcome", string(s.Outcome), "err", s.Problem, "at", retryAt)
	case s.Outcome == Rejected && before.Problem == s.Problem:
		log.Debug("message not delivered", "outcome", string(s.Outcome), "err", s.Problem)
	default:
		log.Warn("message not delivered", "outcome", string(s.Outcome), "err", s.Problem)
	}
}

// Counts returns the counts since the start, in order.
func (c *Courier) Counts() []Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	var counts []Count
	for k, n := range c.count {
		k.N = n
		counts = append(counts, k)
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Outcome, b.Outcome))
	})
	return counts
}

// States returns how the last attempt went on each channel that has been tried since the start, in order.
func (c *Courier) States() []State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.state), func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Person, b.Person), cmp.Compare(a.Channel, b.Channel))
	})
}
