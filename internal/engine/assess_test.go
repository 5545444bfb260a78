package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// A mailbox is a channel that keeps what it is sent.
type mailbox struct {
	got  []notify.Message
	fail error
}

func (*mailbox) Kind() string                  { return "mailbox" }
func (*mailbox) Replaces(context.Context) bool { return false }

func (m *mailbox) Send(_ context.Context, msg notify.Message) (notify.Receipt, error) {
	if m.fail != nil {
		return notify.Receipt{}, m.fail
	}
	m.got = append(m.got, msg)
	return notify.Receipt{}, nil
}

// nudged lets me be nudged on two channels.
func nudged(e *engine.Engine) (phone, mail *mailbox) {
	phone, mail = &mailbox{}, &mailbox{}
	e.Nudging = map[string]engine.Nudging{"me": {
		Settings: nudges.Settings{MaxPerDay: 4, BehindFrom: 12 * 60}, Channels: []string{"phone", "mail"},
	}}
	e.Courier = notify.NewCourier(notify.Options{
		Queue: e.Store, Clock: e.Clock, Log: e.Log,
		Channels: map[notify.Address]notify.Channel{
			{Person: "me", Channel: "phone"}: phone, {Person: "me", Channel: "mail"}: mail,
		},
	})
	return phone, mail
}

// synced lets now come, with the watch synced up to it, and everything follow that follows a sync.
func synced(t *testing.T, e *engine.Engine, p store.Person, clock *movingClock, now time.Time, minutes int) {
	t.Helper()
	clock.now = now
	walk(t, e, p, now.Day(), minutes, now.Add(-10*time.Minute))
	e.Synced(t.Context(), p.ID)
	if err := e.Courier.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// told returns what was decided, oldest first, as "hour reason channel:outcome …".
func told(t *testing.T, e *engine.Engine, p store.Person) []string {
	t.Helper()
	entries, err := e.Store.NudgeLog(t.Context(), p.ID, at(1, 0, 0), at(30, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range slices.Backward(entries) {
		line := fmt.Sprintf("%s %s", n.At.In(oslo).Format("02 15:04"), n.Reason)
		for _, d := range n.Deliveries {
			line += fmt.Sprintf(" %s:%s", d.Channel, d.Outcome)
		}
		out = append(out, line)
	}
	return out
}

// A day behind is told of once, on every channel, and stands in the log with the silences around it.
func TestAssess(t *testing.T) {
	e, p, clock := setUp(t)
	phone, mail := nudged(e)
	for d := 9; d <= 12; d++ {
		walk(t, e, p, d, 120, at(d, 21, 0))
	}
	var seen []nudges.Reason
	e.Assessed = func(_ store.Person, s nudges.Situation, ds []nudges.Decision) {
		if s.Today.Day != day(13) {
			t.Errorf("assessed %s", s.Today.Day)
		}
		seen = append(seen, ds[0].Reason)
	}
	synced(t, e, p, clock, at(13, 11, 0), 5)
	synced(t, e, p, clock, at(13, 15, 0), 20)
	synced(t, e, p, clock, at(13, 15, 25), 21)
	synced(t, e, p, clock, at(13, 20, 0), 320) // the last 20 of them after the nudge
	want := []string{
		"13 11:00 too-early", "13 15:00 behind-pace mail:delivered phone:delivered", "13 15:25 already-sent", "13 20:00 target-met",
	}
	if got := told(t, e, p); !slices.Equal(got, want) {
		t.Errorf("decided %q, want %q (seen: %q)", got, want, seen)
	}
	if len(phone.got) != 1 || len(mail.got) != 1 {
		t.Fatalf("%d messages by phone, %d by mail, want one each", len(phone.got), len(mail.got))
	}
	if m := phone.got[0]; m.Title != "About 81 more minutes today" || !strings.Contains(m.Body, "As of 14:50") {
		t.Errorf("message: %+v", m)
	}

	// The projection knows of it, and of the walk that followed.
	content, err := engine.Ledger{Store: e.Store, Clock: clock}.Contents(t.Context(), "me", day(13), day(13))
	if err != nil || len(content) != 1 {
		t.Fatal(content, err)
	}
	n := content[0].Nudges
	if len(n) != 2 || n[0].Outcome != "sent" || n[0].Rule != "behind" || !n[0].Time.Equal(at(13, 15, 0)) ||
		n[0].WalkedAfter != 20 {
		t.Errorf("projected: %+v", n)
	}
	if due, err := e.Store.Due(t.Context(), 100); err != nil || !slices.ContainsFunc(due, func(d store.PersonDay) bool { return d.Day == day(13) }) {
		t.Errorf("the day is not due: %v, %v", due, err)
	}
}

// Nothing is claimed of a day that nobody knows, and nobody hears anything who is not to be nudged.
func TestAssessSilence(t *testing.T) {
	e, p, clock := setUp(t)
	phone, _ := nudged(e)
	for d := 9; d <= 12; d++ {
		walk(t, e, p, d, 120, at(d, 21, 0))
	}
	walk(t, e, p, 13, 10, at(13, 11, 0))
	clock.now = at(13, 15, 0)
	e.Synced(t.Context(), p.ID)
	if got, want := told(t, e, p), []string{"13 15:00 stale-data"}; !slices.Equal(got, want) {
		t.Errorf("decided %q, want %q", got, want)
	}
	e.Nudging = nil
	synced(t, e, p, clock, at(13, 15, 30), 10)
	if got := told(t, e, p); len(got) != 1 || len(phone.got) > 0 {
		t.Errorf("decided %q, sent %d, for somebody who is not in the config", got, len(phone.got))
	}
	// A clock that is behind the data decides nothing.
	nudged(e)
	clock.now = at(12, 15, 0)
	e.Synced(t.Context(), p.ID)
	if got := told(t, e, p); len(got) != 1 {
		t.Errorf("decided %q by a wrong clock", got)
	}
}

// What a channel refuses for good has failed, and what walkd did not get out in time has expired.
func TestNudgeOutcomes(t *testing.T) {
	e, p, clock := setUp(t)
	phone, mail := nudged(e)
	phone.fail = &notify.Error{Outcome: notify.Rejected, Err: fmt.Errorf("no such topic")}
	mail.fail = &notify.Error{Outcome: notify.Failed, Err: fmt.Errorf("connection refused")}
	for d := 9; d <= 12; d++ {
		walk(t, e, p, d, 120, at(d, 21, 0))
	}
	synced(t, e, p, clock, at(13, 15, 0), 20)
	clock.now = at(13, 19, 0)
	if err := e.Courier.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	content, err := engine.Ledger{Store: e.Store, Clock: clock}.Contents(t.Context(), "me", day(13), day(13))
	if err != nil || len(content) != 1 {
		t.Fatal(content, err)
	}
	got := map[string]string{}
	for _, n := range content[0].Nudges {
		got[n.Channel] = n.Outcome
	}
	if got["phone"] != "failed" || got["mail"] != "expired" {
		t.Errorf("outcomes: %v", got)
	}
}

var _ notify.Channel = (*mailbox)(nil)

// What SituationOf says is what days up to date say, without anything written.
func TestSituationOfStaleDays(t *testing.T) {
	e, p, clock := setUp(t)
	clock.now = at(13, 15, 0)
	walk(t, e, p, 12, 30, at(12, 21, 0))
	walk(t, e, p, 13, 42, at(13, 14, 50))
	s, err := engine.SituationOf(t.Context(), &e.Store.Reader, p.ID, nudges.Settings{}, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	if s.Today.Day != day(13) || walking.WholeMinutes(s.Today.Walking) != 42 {
		t.Errorf("today: %s, %g min", s.Today.Day, s.Today.Walking)
	}
	if len(s.Streams) != 1 || !s.Streams[0].SyncedThrough.Equal(at(13, 14, 50)) {
		t.Errorf("streams: %+v", s.Streams)
	}
	if _, _, ok, err := e.Store.DayRange(t.Context(), p.ID); ok || err != nil {
		t.Errorf("days were written: %t, %v", ok, err)
	}
}
