package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/notify/ntfy"
	"github.com/walkd/walkd/internal/notify/ntfy/ntfytest"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 21, 14, 10, 0, 0, time.UTC)

// clock is one that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (*clock) NewTimer(time.Duration) (<-chan time.Time, func()) { return nil, func() {} }

// channel is one that does what a test says.
type channel struct {
	mu       sync.Mutex
	replaces bool
	say      []error                     // of each attempt, then nil
	do       func(context.Context) error // instead, if set
	got      []string                    // the IDs
}

func (*channel) Kind() string { return "fake" }

func (c *channel) Replaces(context.Context) bool { return c.replaces }

func (c *channel) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	c.mu.Lock()
	c.got = append(c.got, m.ID)
	do := c.do
	var err error
	if len(c.say) > 0 {
		err, c.say = c.say[0], c.say[1:]
	}
	c.mu.Unlock()
	if do != nil {
		err = do(ctx)
	}
	if err != nil {
		return notify.Receipt{}, err
	}
	return notify.Receipt{ID: "r"}, nil
}

func (c *channel) sent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

func failure(o notify.Outcome, wait time.Duration) *notify.Error {
	e := &notify.Error{Outcome: o, RetryAfter: wait, Err: errors.New("it went wrong")}
	if o == notify.Rejected {
		e.Remedy = "put it right"
	}
	return e
}

// world is a courier on a real store with one person.
type world struct {
	*notify.Courier
	store    *store.Store
	clock    *clock
	wall     *clock
	log      *logs
	person   int64
	channels map[notify.Address]notify.Channel
}

type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T, channels map[string]notify.Channel) *world {
	t.Helper()
	s, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := s.EnsurePerson(t.Context(), "alex", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		store: s, clock: &clock{now: start}, wall: &clock{now: start.AddDate(1, 0, 0)}, log: &logs{}, person: p.ID,
		channels: map[notify.Address]notify.Channel{},
	}
	for name, c := range channels {
		w.channels[notify.Address{Person: "alex", Channel: name}] = c
	}
	w.restart()
	return w
}

// restart makes a new courier on the same store, as after a crash.
func (w *world) restart() {
	w.Courier = notify.NewCourier(notify.Options{
		Queue: w.store, Channels: w.channels, Clock: w.clock, Wall: w.wall,
		Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
}

// queue puts messages that are useful for two hours into the queue.
func (w *world) queue(t *testing.T, channels []string, rules ...nudges.Rule) {
	t.Helper()
	var ds []nudges.Decision
	day := walking.DayOf(2026, 11, 21)
	for _, r := range rules {
		ds = append(ds, nudges.Decision{
			Rule: r, Send: true, Reason: nudges.BehindPace, Why: "Why.", Day: day, Key: nudges.Key(r, day), At: w.clock.Now(),
			Expires: w.clock.Now().Add(2 * time.Hour), Title: "title", Body: "body",
		})
	}
	if err := w.store.PutDecisions(t.Context(), w.person, ds, channels, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) deliver(t *testing.T) {
	t.Helper()
	if err := w.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// log of the one decision.
func (w *world) deliveries(t *testing.T) []store.DeliveryState {
	t.Helper()
	entries, err := w.store.NudgeLog(t.Context(), w.person, start.AddDate(0, 0, -1), start.AddDate(0, 0, 2))
	if err != nil {
		t.Fatal(err)
	}
	var out []store.DeliveryState
	for _, e := range entries {
		out = append(out, e.Deliveries...)
	}
	return out
}

const alexBehind = "alex/behind/2026-11-21"

// TestOutcomes follows one message through what a channel says of it: what is tried again and when, and what it ends
// as.
func TestOutcomes(t *testing.T) {
	const min = time.Minute
	for _, test := range []struct {
		name     string
		replaces bool
		say      []error
		at       []time.Duration // of the attempts, since the start
		end      notify.Outcome
		problem  string
		counts   string
	}{
		{"delivered", false, nil, []time.Duration{0}, notify.Delivered, "", "delivered 1"},
		{
			"failed once", false,
			[]error{failure(notify.Failed, 0)},
			[]time.Duration{0, 30 * time.Second},
			notify.Delivered, "", "delivered 1 failed 1",
		},
		{
			"failed until it expired", false, slices.Repeat([]error{failure(notify.Failed, 0)}, 20),
			[]time.Duration{
				0, 30 * time.Second, 90 * time.Second, 210 * time.Second, 450 * time.Second, 930 * time.Second, 1830 * time.Second,
				2730 * time.Second, 3630 * time.Second, 4530 * time.Second, 5430 * time.Second, 6330 * time.Second,
			},
			notify.Failed, "it went wrong", "failed 12",
		},
		{
			"throttled", false,
			[]error{failure(notify.Throttled, 40*min)},
			[]time.Duration{0, 40 * min},
			notify.Delivered, "", "delivered 1 throttled 1",
		},
		{
			"throttled for too long", false,
			[]error{failure(notify.Throttled, 3*time.Hour)},
			[]time.Duration{0},
			notify.Throttled, "it went wrong", "throttled 1",
		},
		{
			"rejected", false,
			[]error{failure(notify.Rejected, 0)},
			[]time.Duration{0},
			notify.Rejected, "it went wrong: put it right", "rejected 1",
		},
		{
			"unknown, and not to be doubled", false,
			[]error{failure(notify.Unknown, 0)},
			[]time.Duration{0},
			notify.Unknown, "it went wrong", "unknown 1",
		},
		{
			"unknown, and replaced", true,
			[]error{failure(notify.Unknown, 0)},
			[]time.Duration{0, 30 * time.Second},
			notify.Delivered, "", "delivered 1 unknown 1",
		},
		{
			"a mistake in the channel", false,
			[]error{errors.New("oops")},
			[]time.Duration{0},
			notify.Unknown, "oops", "unknown 1",
		},
		{
			"failed, then rejected", false,
			[]error{fmt.Errorf("x: %w", failure(notify.Failed, 5*min)), failure(notify.Rejected, 0)},
			[]time.Duration{0, 5 * min},
			notify.Rejected, "it went wrong: put it right", "failed 1 rejected 1",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &channel{replaces: test.replaces, say: test.say}
			w := newWorld(t, map[string]notify.Channel{"phone": c})
			w.queue(t, []string{"phone"}, nudges.Behind)
			var at []time.Duration
			for since := time.Duration(0); since < 3*time.Hour; since += 30 * time.Second {
				before := len(c.sent())
				w.deliver(t)
				if len(c.sent()) > before {
					at = append(at, since)
				}
				w.clock.advance(30 * time.Second)
				w.wall.advance(30 * time.Second)
			}
			if diff := cmp.Diff(test.at, at); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
			got := w.deliveries(t)
			if len(got) != 1 || got[0].Outcome != test.end || got[0].Problem != test.problem || !got[0].Due.IsZero() ||
				!got[0].Begun.IsZero() || got[0].Attempts != len(test.at) {
				t.Errorf("ended as %+v, want %s %q", got, test.end, test.problem)
			}
			if test.end == notify.Delivered && got[0].Receipt.ID != "r" {
				t.Errorf("receipt %+v", got[0].Receipt)
			}
			var counts []string
			for _, n := range w.Counts() {
				counts = append(counts, fmt.Sprint(n.Outcome, " ", n.N))
			}
			if got := strings.Join(counts, " "); got != test.counts {
				t.Errorf("counted %s, want %s", got, test.counts)
			}
			states := w.States()
			if len(states) != 1 || states[0].Outcome != test.end || states[0].Problem != test.problem ||
				states[0].Kind != "fake" {
				t.Errorf("states %+v", states)
			}
			if strings.Contains(w.log.String(), "title") {
				t.Errorf("what the person is told is in the log: %s", w.log)
			}
		})
	}
}

func TestExpired(t *testing.T) {
	c := &channel{}
	w := newWorld(t, map[string]notify.Channel{"phone": c})
	w.queue(t, []string{"phone"}, nudges.Behind)
	w.clock.advance(2 * time.Hour)
	w.deliver(t)
	if got := w.deliveries(t); len(c.sent()) != 0 || got[0].Outcome != notify.Expired || !got[0].Due.IsZero() {
		t.Errorf("sent %v, ended as %+v", c.sent(), got)
	}
}

// TestSettledMeanwhile covers somebody who meets the target while the service is down: nobody wants to hear of it then.
func TestSettledMeanwhile(t *testing.T) {
	c := &channel{say: slices.Repeat([]error{failure(notify.Failed, 0)}, 3)}
	w := newWorld(t, map[string]notify.Channel{"phone": c})
	w.queue(t, []string{"phone"}, nudges.Behind)
	for range 3 {
		w.deliver(t)
		w.clock.advance(2 * time.Minute)
	}
	day := walking.DayOf(2026, 11, 21)
	met := nudges.Decision{
		Rule: nudges.Behind, Reason: nudges.TargetMet, Day: day, Key: nudges.Key(nudges.Behind, day), At: w.clock.Now(),
	}
	err := w.store.PutDecisions(t.Context(), w.person, []nudges.Decision{met}, []string{"phone"}, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		w.deliver(t)
		w.clock.advance(10 * time.Minute)
	}
	if got := w.deliveries(t); len(c.sent()) != 3 || got[0].Outcome != notify.Expired || !got[0].Due.IsZero() {
		t.Errorf("sent %v, ended as %+v", c.sent(), got)
	}
}

// TestKilled covers a delivery that had begun when walkd was killed: it is sent again only if that does no harm.
func TestKilled(t *testing.T) {
	for _, test := range []struct {
		replaces bool
		late     time.Duration
		sent     int
		want     notify.Outcome
	}{
		{false, 0, 0, notify.Unknown},
		{true, 0, 1, notify.Delivered},
		{true, 3 * time.Hour, 0, notify.Unknown},
	} {
		c := &channel{replaces: test.replaces}
		w := newWorld(t, map[string]notify.Channel{"phone": c})
		w.queue(t, []string{"phone"}, nudges.Behind)
		due, err := w.store.DueDeliveries(t.Context(), start, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.BeginDelivery(t.Context(), due[0].ID, start); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(test.late)
		w.deliver(t)
		w.clock.advance(time.Hour)
		w.deliver(t)
		if got := w.deliveries(t); len(c.sent()) != test.sent || got[0].Outcome != test.want || !got[0].Due.IsZero() {
			t.Errorf("replaces %t: sent %v, ended as %+v", test.replaces, c.sent(), got)
		}
	}
}

// TestRemovedChannel covers a channel that the config no longer has.
func TestRemovedChannel(t *testing.T) {
	w := newWorld(t, nil)
	w.queue(t, []string{"phone"}, nudges.Behind)
	w.deliver(t)
	got := w.deliveries(t)
	if got[0].Outcome != notify.Rejected || !strings.Contains(got[0].Problem, `no channel "phone"`) {
		t.Errorf("ended as %+v", got)
	}
}

// TestRemovedChannelAfterAKill: what may have been sent is not said to be unsent because the channel is gone.
func TestRemovedChannelAfterAKill(t *testing.T) {
	w := newWorld(t, nil)
	w.queue(t, []string{"phone"}, nudges.Behind)
	due, err := w.store.DueDeliveries(t.Context(), start, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.BeginDelivery(t.Context(), due[0].ID, start); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.deliver(t)
	if got := w.deliveries(t); got[0].Outcome != notify.Unknown || !got[0].Due.IsZero() {
		t.Errorf("ended as %+v", got)
	}
}

// TestRejectedIsReportedOnce: the same refusal of the next message is not news.
func TestRejectedIsReportedOnce(t *testing.T) {
	c := &channel{say: []error{failure(notify.Rejected, 0), failure(notify.Rejected, 0), nil, failure(notify.Rejected, 0)}}
	w := newWorld(t, map[string]notify.Channel{"phone": c})
	for i, want := range []int{1, 1, 1, 2} {
		w.queue(t, []string{"phone"}, nudges.Rule(fmt.Sprint("r", i)))
		w.deliver(t)
		if got := strings.Count(w.log.String(), "put it right"); got != want {
			t.Errorf("after message %d it was reported %d times, want %d", i, got, want)
		}
	}
}

// TestThrottledHoldsTheChannel: the service asked to be left alone, so the next message waits as well, by the clock on
// the wall, however fast the domain clock runs. Other channels do not.
func TestThrottledHoldsTheChannel(t *testing.T) {
	phone, mail := &channel{say: []error{failure(notify.Throttled, time.Minute)}}, &channel{}
	w := newWorld(t, map[string]notify.Channel{"phone": phone, "mail": mail})
	w.queue(t, []string{"phone", "mail"}, "a", "b")
	w.deliver(t)
	w.clock.advance(time.Hour) // at 60× this is a minute
	w.wall.advance(59 * time.Second)
	w.deliver(t)
	if len(phone.sent()) != 1 || len(mail.sent()) != 2 {
		t.Fatalf("phone got %v, mail %v", phone.sent(), mail.sent())
	}
	w.wall.advance(time.Second)
	w.deliver(t)
	if got := phone.sent(); len(got) != 3 {
		t.Errorf("phone got %v", got)
	}
}

// TestExpiredWhileHeld: what is of no more use is noted as such while the service still wants to be left alone.
func TestExpiredWhileHeld(t *testing.T) {
	c := &channel{say: []error{failure(notify.Throttled, 24*time.Hour)}}
	w := newWorld(t, map[string]notify.Channel{"phone": c})
	w.queue(t, []string{"phone"}, "a", "b")
	w.deliver(t)
	w.clock.advance(2 * time.Hour)
	w.wall.advance(2 * time.Hour)
	w.deliver(t)
	var got []notify.Outcome
	for _, d := range w.deliveries(t) {
		got = append(got, d.Outcome)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]notify.Outcome{notify.Expired, notify.Throttled}, got); diff != "" || len(c.sent()) != 1 {
		t.Errorf("sent %v, ended as (-want +got):\n%s", c.sent(), diff)
	}
}

// TestInterruptedBySIGTERM: what had not gone out is tried at the next start, and noted although the context has ended.
func TestInterruptedBySIGTERM(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &channel{do: func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return failure(notify.Failed, 0)
	}}
	w := newWorld(t, map[string]notify.Channel{"phone": c})
	w.queue(t, []string{"phone"}, nudges.Behind)
	if err := w.Deliver(ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.deliveries(t); got[0].Outcome != notify.Failed || !got[0].Begun.IsZero() {
		t.Fatalf("noted as %+v", got)
	}
	c.do = nil
	w.restart()
	w.deliver(t)
	if got := w.deliveries(t); got[0].Outcome != notify.Delivered {
		t.Errorf("ended as %+v", got)
	}
}

// memory is a queue for tests in a bubble of synctest, where a database cannot be.
type memory struct {
	mu     sync.Mutex
	ds     map[int64]*notify.Delivery
	broken error // of all methods
	full   error // of those that write
	ended  []string
}

func (q *memory) add(id int64, channel string, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ds[id] = &notify.Delivery{
		ID: id, Channel: channel, Due: due,
		Message: notify.Message{ID: fmt.Sprint(id), Person: "alex", Expires: due.Add(2 * time.Hour)},
	}
}

func (q *memory) DueDeliveries(_ context.Context, now time.Time, limit int) ([]notify.Delivery, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []notify.Delivery
	for _, d := range q.ds {
		if !d.Due.After(now) {
			out = append(out, *d)
		}
	}
	slices.SortFunc(out, func(a, b notify.Delivery) int { return int(a.ID - b.ID) })
	return out[:min(limit, len(out))], q.broken
}

func (q *memory) BeginDelivery(_ context.Context, id int64, now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ds[id].Begun = now
	q.ds[id].Attempts++
	return q.broken
}

func (q *memory) EndDelivery(
	_ context.Context, id int64, o notify.Outcome, _ notify.Receipt, _ string, retryAt, _ time.Time,
) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full == nil {
		q.ds[id].Begun, q.ds[id].Due = time.Time{}, retryAt
	}
	q.ended = append(q.ended, fmt.Sprint(id, " ", o))
	if retryAt.IsZero() && q.full == nil {
		delete(q.ds, id)
	}
	return errors.Join(q.broken, q.full)
}

func (q *memory) NextDelivery(context.Context) (time.Time, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var next time.Time
	for _, d := range q.ds {
		if next.IsZero() || d.Due.Before(next) {
			next = d.Due
		}
	}
	return next, !next.IsZero(), q.broken
}

// bubbleClock is the clock of a bubble of synctest.
type bubbleClock struct{}

func (bubbleClock) Now() time.Time { return time.Now() }

func (bubbleClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// run runs a courier in a bubble, calls f and stops it.
func run(t *testing.T, channels map[string]*channel, f func(c *notify.Courier, q *memory)) {
	synctest.Test(t, func(t *testing.T) {
		q := &memory{ds: map[int64]*notify.Delivery{}}
		o := notify.Options{
			Queue: q, Clock: bubbleClock{}, Log: slog.New(slog.DiscardHandler), Channels: map[notify.Address]notify.Channel{},
		}
		for name, c := range channels {
			o.Channels[notify.Address{Person: "alex", Channel: name}] = c
		}
		c := notify.NewCourier(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		f(c, q)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRun: a message is sent when it is due, or at once after Wake, and retries need nobody to wake them.
func TestRun(t *testing.T) {
	c := &channel{say: []error{nil, failure(notify.Failed, 0)}}
	run(t, map[string]*channel{"phone": c}, func(courier *notify.Courier, q *memory) {
		q.add(1, "phone", time.Now())
		courier.Wake()
		synctest.Wait()
		if got := len(c.sent()); got != 1 {
			t.Fatalf("%d sent after Wake", got)
		}
		q.add(2, "phone", time.Now().Add(time.Hour))
		courier.Wake()
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if got := len(c.sent()); got != 1 {
			t.Fatalf("%d sent before its time", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(c.sent()); got != 2 {
			t.Fatalf("%d sent in its time", got)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got, want := q.ended, []string{"1 delivered", "2 failed", "2 delivered"}; !slices.Equal(got, want) {
			t.Errorf("ended %v, want %v", got, want)
		}
	})
}

// TestOneBadChannelDelaysNoOther: while one hangs, the other gets what comes.
func TestOneBadChannelDelaysNoOther(t *testing.T) {
	hangs := &channel{do: func(ctx context.Context) error {
		<-ctx.Done()
		return failure(notify.Failed, 0)
	}}
	fine := &channel{}
	run(t, map[string]*channel{"bad": hangs, "good": fine}, func(courier *notify.Courier, q *memory) {
		q.add(1, "bad", time.Now())
		q.add(2, "bad", time.Now())
		q.add(3, "good", time.Now())
		courier.Wake()
		synctest.Wait()
		q.add(4, "good", time.Now())
		courier.Wake()
		synctest.Wait()
		if got := len(fine.sent()); got != 2 {
			t.Errorf("the good channel got %d of 2 while the other hangs", got)
		}
		if got := len(hangs.sent()); got != 1 {
			t.Errorf("the bad channel was tried %d times at once", got)
		}
		time.Sleep(30 * time.Second) // the timeout
		synctest.Wait()
		if got := len(hangs.sent()); got != 2 {
			t.Errorf("the bad channel was tried %d times, want 2", got)
		}
	})
}

// TestBrokenQueue: while the store cannot be written, nothing is sent again and again.
func TestBrokenQueue(t *testing.T) {
	c := &channel{}
	run(t, map[string]*channel{"phone": c}, func(courier *notify.Courier, q *memory) {
		q.add(1, "phone", time.Now())
		q.mu.Lock()
		q.broken = errors.New("disk full")
		q.mu.Unlock()
		courier.Wake()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := len(c.sent()); got != 0 {
			t.Errorf("%d sent without being noted", got)
		}
		q.mu.Lock()
		q.broken, q.ds[1].Begun = nil, time.Time{}
		q.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := len(c.sent()); got != 1 {
			t.Errorf("%d sent after the queue came back", got)
		}
	})
}

// TestFullDisk: a message was sent and that cannot be noted, so it is not sent again, and not noted again and again.
func TestFullDisk(t *testing.T) {
	c := &channel{}
	run(t, map[string]*channel{"phone": c}, func(courier *notify.Courier, q *memory) {
		q.add(1, "phone", time.Now())
		q.mu.Lock()
		q.full = errors.New("disk full")
		q.mu.Unlock()
		courier.Wake()
		time.Sleep(time.Hour)
		synctest.Wait()
		q.mu.Lock()
		defer q.mu.Unlock()
		if sent, tries := len(c.sent()), len(q.ended); sent != 1 || tries < 30 || tries > 130 {
			t.Errorf("sent %d times, and tried to note it %d times in an hour", sent, tries)
		}
	})
}

func TestNewMessage(t *testing.T) {
	got := notify.NewMessage("alex", nudges.Decision{
		Rule: nudges.Behind, Key: "behind/2026-11-21", Title: "t", Body: "b", Expires: start,
	})
	want := notify.Message{ID: alexBehind, Person: "alex", Rule: "behind", Title: "t", Body: "b", Expires: start}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

// TestAnswerLostByNtfy goes through all layers: the server stores a message, and its answer is lost. On a server that
// replaces the person sees it once, after it was sent twice; on one that does not, it is not sent again.
func TestAnswerLostByNtfy(t *testing.T) {
	for version, requests := range map[string]int{"2.11.0": 2, "2.17.0": 3} {
		t.Run(version, func(t *testing.T) {
			server := ntfytest.New(ntfytest.Options{Version: version})
			srv := httptest.NewUnstartedServer(server)
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			srv.Start()
			defer srv.Close()
			settings := ntfy.Defaults()
			settings.URL = srv.URL + "/a-secret-topic"
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			phone, err := settings.Channel(&http.Client{Transport: transport})
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, map[string]notify.Channel{"phone": phone})
			w.queue(t, []string{"phone"}, "first") // by which the channel learns what the server can do
			w.deliver(t)
			server.Fail(ntfytest.Dropped)
			w.queue(t, []string{"phone"}, nudges.Behind)
			for range 10 {
				w.deliver(t)
				w.clock.advance(time.Minute)
				w.wall.advance(time.Minute)
			}
			if got := len(server.Shown("a-secret-topic")); got != 2 {
				t.Errorf("the phone shows %d messages, want 2", got)
			}
			if got := server.Requests(); got != requests {
				t.Errorf("%d requests, want %d", got, requests)
			}
			if text := fmt.Sprint(w.log, w.States(), w.deliveries(t)); strings.Contains(text, "a-secret-topic") {
				t.Errorf("the topic is shown: %s", text)
			}
		})
	}
}
