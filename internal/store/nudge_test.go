package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

var _ notify.Queue = (*store.Store)(nil)

func silence(at time.Time, reason nudges.Reason) nudges.Decision {
	d := walking.NewTimeline(time.UTC).Day(at)
	return nudges.Decision{
		Rule: nudges.Behind, Reason: reason, Why: "because " + string(reason), Day: d, Key: "behind/" + d.String(), At: at,
	}
}

func nudge(at time.Time) nudges.Decision {
	d := silence(at, "behind")
	d.Send, d.Expires, d.Title, d.Body = true, at.Add(3*time.Hour), "A walk?", "20 minutes to go."
	return d
}

// decide puts decisions and returns whether that wrote anything.
func decide(t *testing.T, s *store.Store, p store.Person, channels []string, ds ...nudges.Decision) bool {
	t.Helper()
	changes := func() (n int) {
		if err := s.Writer().QueryRow("SELECT total_changes()").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := changes()
	if err := s.PutDecisions(t.Context(), p.ID, ds, channels, ds[0].At); err != nil {
		t.Fatal(err)
	}
	return changes() > before
}

// history returns what a person's log says, the newest first: the reason, and how each delivery fares.
func history(t *testing.T, s *store.Store, p store.Person) []string {
	t.Helper()
	entries, err := s.NudgeLog(t.Context(), p.ID, noon.AddDate(-2, 0, 0), noon.AddDate(2, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		line := e.At.Format("01-02 15:04 ") + string(e.Reason)
		for _, d := range e.Deliveries {
			line += " " + d.Channel + ":" + string(d.Outcome)
			if !d.Due.IsZero() {
				line += "…"
			}
		}
		out = append(out, line)
	}
	return out
}

// dueDays returns the days that are to be projected, and takes the marks away.
func dueDays(t *testing.T, s *store.Store) []walking.Day {
	t.Helper()
	marks, err := s.Due(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutProjected(t.Context(), nil, marks); err != nil {
		t.Fatal(err)
	}
	var out []walking.Day
	for _, m := range marks {
		out = append(out, m.Day)
	}
	return out
}

func due(t *testing.T, s *store.Store, now time.Time) []notify.Delivery {
	t.Helper()
	out, err := s.DueDeliveries(t.Context(), now, 100)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func next(t *testing.T, s *store.Store) string {
	t.Helper()
	at, ok, err := s.NextDelivery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return "none"
	}
	return at.Format("15:04")
}

func TestDecisionsAreLoggedWhenTheyDiffer(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	both := []string{"phone", "mail"}
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	steps := []struct {
		name     string
		decision nudges.Decision
		channels []string
		wrote    bool
	}{
		{"first", silence(minute(0), "too early"), both, true},
		{"the same", silence(minute(1), "too early"), both, false},
		{"another reason", silence(minute(2), "not fresh"), both, true},
		{"to send, but nowhere to go", nudge(minute(3)), nil, true},
		{"still nowhere", nudge(minute(4)), nil, false},
		{"to send", nudge(minute(5)), both, true},
		{"to send once more", nudge(minute(6)), both, false},
		{"sent", silence(minute(7), "already sent"), both, true},
		{"that cause again", nudge(minute(8)), both, true}, // logged, not queued
		{"the day after", nudge(minute(24*60 + 9)), both, true},
	}
	for _, tt := range steps {
		if got := decide(t, s, p, tt.channels, tt.decision); got != tt.wrote {
			t.Errorf("%s: wrote %v, want %v", tt.name, got, tt.wrote)
		}
	}
	want := []string{
		"03-11 12:09 behind mail:… phone:…",
		"03-10 12:08 behind",
		"03-10 12:07 already sent",
		"03-10 12:05 behind mail:… phone:…",
		"03-10 12:03 behind",
		"03-10 12:02 not fresh",
		"03-10 12:00 too early",
	}
	if diff := cmp.Diff(want, history(t, s, p)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]walking.Day{day1, day1 + 1}, dueDays(t, s)); diff != "" {
		t.Errorf("due for projection (-want +got):\n%s", diff)
	}
	for from, want := range map[walking.Day][]string{
		day1: {"behind/2026-03-10", "behind/2026-03-11"}, day1 + 1: {"behind/2026-03-11"}, day1 + 2: nil,
	} {
		got, err := s.SentKeys(t.Context(), p.ID, from)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sent from %s on (-want +got):\n%s", from, diff)
		}
	}
	entries, err := s.NudgeLog(t.Context(), p.ID, minute(5), minute(7)) // the end is not in it
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	if diff := cmp.Diff(nudge(minute(5)), entries[0].Decision); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(silence(minute(7), "already sent"), mustLog(t, s, p, minute(7))); diff != "" {
		t.Errorf("silence (-want +got):\n%s", diff)
	}
}

func mustLog(t *testing.T, s *store.Store, p store.Person, at time.Time) nudges.Decision {
	t.Helper()
	entries, err := s.NudgeLog(t.Context(), p.ID, at, at.Add(time.Millisecond))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	return entries[0].Decision
}

// TestEverybodyHasTheirOwnLog decides the same for two people, under one key.
func TestEverybodyHasTheirOwnLog(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	bea, err := s.EnsurePerson(t.Context(), "Bea", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []store.Person{p, bea} {
		if !decide(t, s, x, []string{"phone"}, nudge(noon)) {
			t.Errorf("nothing was written for %s", x.Name)
		}
	}
	var got []string
	for _, d := range due(t, s, noon) {
		got = append(got, d.Message.ID)
	}
	if diff := cmp.Diff([]string{"me/behind/2026-03-10", "Bea/behind/2026-03-10"}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// TestOldSilenceGoes keeps decisions to stay silent for 400 days, and those to send for good.
func TestOldSilenceGoes(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	decide(t, s, p, nil, silence(noon.AddDate(0, 0, -401), "too early"))
	decide(t, s, p, []string{"phone"}, nudge(noon.AddDate(0, 0, -401).Add(time.Hour)))
	decide(t, s, p, nil, silence(noon.AddDate(0, 0, -399), "not fresh"))
	decide(t, s, p, nil, silence(noon, "too early"))
	want := []string{"03-10 12:00 too early", "02-04 12:00 not fresh", "02-02 13:00 behind phone:…"}
	if diff := cmp.Diff(want, history(t, s, p)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestDeliveries(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	p := person(t, s)
	decide(t, s, p, []string{"phone", "mail"}, nudge(noon))
	dueDays(t, s)
	if got := due(t, s, noon.Add(-time.Minute)); len(got) > 0 {
		t.Errorf("due before its time: %v", got)
	}
	got := due(t, s, noon)
	m := notify.NewMessage("me", nudge(noon))
	want := []notify.Delivery{
		{ID: got[0].ID, PersonID: p.ID, Channel: "phone", Message: m, Due: noon},
		{ID: got[1].ID, PersonID: p.ID, Channel: "mail", Message: m, Due: noon},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("due (-want +got):\n%s", diff)
	}
	phone, mail := got[0].ID, got[1].ID
	begin := func(id int64, at time.Time) {
		t.Helper()
		if err := s.BeginDelivery(t.Context(), id, at); err != nil {
			t.Fatal(err)
		}
	}
	end := func(id int64, o notify.Outcome, r notify.Receipt, problem string, retryAt, at time.Time) {
		t.Helper()
		if err := s.EndDelivery(t.Context(), id, o, r, problem, retryAt, at); err != nil {
			t.Fatal(err)
		}
	}
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

	// A kill in the attempt.
	begin(phone, minute(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	want[0].Attempts, want[0].Begun = 1, minute(1)
	if diff := cmp.Diff(want, due(t, s, minute(2))); diff != "" {
		t.Errorf("after a kill (-want +got):\n%s", diff)
	}

	// Failed, and to be tried again.
	end(phone, notify.Failed, notify.Receipt{}, "no network", minute(10), minute(2))
	begin(mail, minute(2))
	end(mail, notify.Throttled, notify.Receipt{}, "too much", minute(600), minute(3)) // after it has expired
	if got := due(t, s, minute(9)); len(got) > 0 || next(t, s) != "12:10" {
		t.Errorf("due %v, next %s, want none before 12:10", got, next(t, s))
	}
	if got := dueDays(t, s); len(got) > 0 {
		t.Errorf("due for projection before anything has ended: %v", got)
	}

	// Delivered.
	begin(phone, minute(10))
	end(phone, notify.Delivered, notify.Receipt{ID: "7"}, "", time.Time{}, minute(11))
	if diff := cmp.Diff([]walking.Day{day1}, dueDays(t, s)); diff != "" {
		t.Errorf("due for projection after the first has ended (-want +got):\n%s", diff)
	}
	for name, err := range map[string]error{
		"begin what has ended": s.BeginDelivery(t.Context(), phone, minute(12)),
		"end what has ended":   s.EndDelivery(t.Context(), phone, notify.Failed, notify.Receipt{}, "", time.Time{}, minute(12)),
		"begin what is not":    s.BeginDelivery(t.Context(), 99, minute(12)),
	} {
		if !errors.Is(err, store.ErrNoDelivery) {
			t.Errorf("%s: %v, want ErrNoDelivery", name, err)
		}
	}

	// Expired: due when the message expires, not when it was to be tried again.
	if got := next(t, s); got != "15:00" {
		t.Errorf("next %s, want 15:00", got)
	}
	last := due(t, s, minute(180))
	if len(last) != 1 || last[0].ID != mail || !last[0].Message.Expires.Equal(minute(180)) || last[0].Attempts != 1 {
		t.Fatalf("due when the message expires: %+v", last)
	}
	end(mail, notify.Expired, notify.Receipt{}, "too late", time.Time{}, minute(180))
	if got := due(t, s, minute(9999)); len(got) > 0 || next(t, s) != "none" {
		t.Errorf("due %v, next %s, after all have ended", got, next(t, s))
	}
	entries, err := s.NudgeLog(t.Context(), p.ID, noon, minute(1))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	states := []store.DeliveryState{
		{Channel: "mail", Attempts: 1, Outcome: notify.Expired, Problem: "too late", Ended: minute(180)},
		{Channel: "phone", Attempts: 2, Outcome: notify.Delivered, Receipt: notify.Receipt{ID: "7"}, Ended: minute(11)},
	}
	if diff := cmp.Diff(states, entries[0].Deliveries); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestSettledMessagesExpire covers messages that wait to be sent when what they tell of is settled.
func TestSettledMessagesExpire(t *testing.T) {
	for reason, want := range map[nudges.Reason]time.Duration{
		nudges.TargetMet: 40 * time.Minute, nudges.Limited: 40 * time.Minute, nudges.Invalid: 40 * time.Minute,
		nudges.AlreadySent: 3 * time.Hour, nudges.StaleData: 3 * time.Hour,
	} {
		t.Run(string(reason), func(t *testing.T) {
			s := open(t, t.TempDir())
			p := person(t, s)
			decide(t, s, p, []string{"phone", "mail"}, nudge(noon))
			for _, d := range due(t, s, noon) {
				if err := s.BeginDelivery(t.Context(), d.ID, noon); err != nil {
					t.Fatal(err)
				}
				outcome, again := notify.Failed, noon.Add(time.Hour)
				if d.Channel == "mail" {
					outcome, again = notify.Delivered, time.Time{}
				}
				if err := s.EndDelivery(t.Context(), d.ID, outcome, notify.Receipt{}, "", again, noon); err != nil {
					t.Fatal(err)
				}
			}
			later := noon.Add(40 * time.Minute)
			decide(t, s, p, []string{"phone", "mail"}, silence(later, reason))
			got := due(t, s, noon.Add(time.Hour))
			if len(got) != 1 || got[0].Channel != "phone" || !got[0].Message.Expires.Equal(noon.Add(want)) {
				t.Errorf("due %+v, want what expires after %s", got, want)
			}
			if got := len(due(t, s, later)); got != 1 && want < time.Hour {
				t.Errorf("%d are due at once, want 1", got)
			}
			// Another day has nothing to do with it.
			decide(t, s, p, []string{"phone"}, nudge(noon.AddDate(0, 0, 1)))
			decide(t, s, p, []string{"phone"}, silence(noon.AddDate(0, 0, 2), reason))
			for _, d := range due(t, s, noon.AddDate(0, 0, 1)) {
				if d.Due.Equal(noon.AddDate(0, 0, 1)) && !d.Message.Expires.Equal(noon.AddDate(0, 0, 1).Add(3*time.Hour)) {
					t.Errorf("of the next day: %+v", d)
				}
			}
		})
	}
}

// TestSettledIsTheirsAlone: the message of somebody else, and one that has been delivered, stay as they are.
func TestSettledIsTheirsAlone(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	other, err := s.EnsurePerson(t.Context(), "kim", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	decide(t, s, p, []string{"phone"}, nudge(noon))
	sent := due(t, s, noon)[0].ID
	err = s.EndDelivery(t.Context(), sent, notify.Delivered, notify.Receipt{}, "", time.Time{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	decide(t, s, other, []string{"phone"}, nudge(noon))
	decide(t, s, p, []string{"phone"}, silence(noon.Add(time.Hour), nudges.TargetMet))
	if got := due(t, s, noon.Add(time.Hour)); len(got) != 1 || !got[0].Message.Expires.Equal(noon.Add(3*time.Hour)) {
		t.Errorf("due %+v, want what expires after 3 hours", got)
	}
	log, err := s.NudgeLog(t.Context(), p.ID, noon, noon.Add(time.Minute))
	if err != nil || len(log) != 1 || !log[0].Expires.Equal(noon.Add(3*time.Hour)) {
		t.Errorf("log %+v, error %v", log, err)
	}
}

// TestDueDeliveriesInOrder asks for a few of many.
func TestDueDeliveriesInOrder(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	for i := range 5 {
		decide(t, s, p, []string{"phone"}, nudge(noon.AddDate(0, 0, 5-i)))
	}
	got, err := s.DueDeliveries(t.Context(), noon.AddDate(0, 0, 4), 3)
	if err != nil {
		t.Fatal(err)
	}
	var days []time.Time
	for _, d := range got {
		days = append(days, d.Due)
	}
	if want := []time.Time{noon.AddDate(0, 0, 1), noon.AddDate(0, 0, 2), noon.AddDate(0, 0, 3)}; !slices.Equal(days, want) {
		t.Errorf("due %v, want %v", days, want)
	}
}

// A message that is not to come yet is due when it may.
func TestNotBefore(t *testing.T) {
	s := open(t, t.TempDir())
	p := person(t, s)
	d := nudge(noon)
	d.NotBefore = noon.Add(2 * time.Hour)
	decide(t, s, p, []string{"phone"}, d)
	next, ok, err := s.NextDelivery(t.Context())
	if err != nil || !ok || !next.Equal(d.NotBefore) {
		t.Errorf("next at %s, %t, %v", next, ok, err)
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {2*time.Hour - time.Second, 0}, {2 * time.Hour, 1}} {
		due, err := s.DueDeliveries(t.Context(), noon.Add(tt.after), 10)
		if err != nil || len(due) != tt.want {
			t.Errorf("after %s: %v, %v, want %d", tt.after, due, err, tt.want)
		}
	}
}
