// Package notifytest is what every channel has to pass.
package notifytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/walkd/walkd/internal/notify"
)

// A World is a channel and what is around it, made anew for each test.
type World struct {
	Channel notify.Channel
	// Secrets must never be seen.
	Secrets []string
	// Shown returns what the person sees, in order.
	Shown func() []Seen
	// Limit is how many bytes of a text the channel takes; 0: any number.
	Limit int
	// Spoil holds, for each way in which the channel can fail, what makes the next attempt fail so. One outcome may have
	// several.
	Spoil map[string]Spoil
	// Hang makes the next attempt hang until its context ends; nil if that cannot be.
	Hang func()
}

// A Spoil is a way to make an attempt fail.
type Spoil struct {
	Do   func()
	Want notify.Outcome
	// Wait is the RetryAfter that is to be told.
	Wait time.Duration
}

// Seen is a message as the person sees it.
type Seen struct{ Title, Body string }

// Conform runs the tests. It calls world for each.
func Conform(t *testing.T, world func(t *testing.T) World) {
	t.Run("delivers any script", func(t *testing.T) {
		w := world(t)
		m := message("any script")
		if _, err := w.Channel.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		want := Seen{m.Title, m.Body}
		if got := w.Shown(); len(got) != 1 || got[0] != want {
			t.Errorf("shown are %q, want %q", got, want)
		}
		if w.Channel.Kind() == "" {
			t.Error("the channel has no kind")
		}
	})
	t.Run("cuts at a rune", func(t *testing.T) {
		w := world(t)
		if w.Limit == 0 {
			t.Skip("takes any length")
		}
		for shift := range 4 {
			m := message(fmt.Sprint("long ", shift))
			m.Body = strings.Repeat("x", shift) + strings.Repeat("🚶", w.Limit)
			if _, err := w.Channel.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			shown := w.Shown()
			got := shown[len(shown)-1].Body
			if !utf8.ValidString(got) || len(got) > w.Limit || len(got) < w.Limit/2 || !strings.HasSuffix(got, "…") {
				t.Errorf("shown are %d bytes ending in %q", len(got), got[max(0, len(got)-8):])
			}
			if kept := strings.TrimSuffix(got, "…"); !strings.HasPrefix(m.Body, kept) {
				t.Error("what is shown is not the beginning of the message")
			}
		}
	})
	t.Run("says how it failed", func(t *testing.T) {
		names := slices.Sorted(maps.Keys(world(t).Spoil))
		for _, name := range names {
			t.Run(name, func(t *testing.T) { fails(t, world(t), name) })
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		w := world(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := w.Channel.Send(ctx, message("cancelled"))
		if err != nil {
			_ = judge(t, w, err, notify.Failed, notify.Unknown)
		}
		if w.Hang == nil {
			return
		}
		w.Hang()
		ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = w.Channel.Send(ctx, message("hangs"))
		_ = judge(t, w, err, notify.Failed, notify.Unknown)
	})
	t.Run("replaces or says that it does not", func(t *testing.T) {
		w := world(t)
		for range 2 {
			if _, err := w.Channel.Send(t.Context(), message("twice")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Channel.Send(t.Context(), message("another")); err != nil {
			t.Fatal(err)
		}
		want := 3
		if w.Channel.Replaces(t.Context()) {
			want = 2
		}
		if got := len(w.Shown()); got != want {
			t.Errorf("%d messages are shown, want %d", got, want)
		}
	})
	t.Run("takes several at once", func(t *testing.T) {
		w := world(t)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				if _, err := w.Channel.Send(t.Context(), message(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
				w.Channel.Replaces(t.Context())
			})
		}
		group.Wait()
		if got := len(w.Shown()); got != 8 {
			t.Errorf("%d messages are shown, want 8", got)
		}
	})
	t.Run("shows no secret", func(t *testing.T) {
		w := world(t)
		for _, verb := range []string{"%s", "%v", "%+v", "%#v"} {
			if text := fmt.Sprintf(verb, w.Channel); !strings.HasPrefix(text, "%!") {
				hides(t, w, text)
			}
		}
	})
}

func fails(t *testing.T, w World, name string) {
	spoil := w.Spoil[name]
	spoil.Do()
	_, err := w.Channel.Send(t.Context(), message(name))
	failure := judge(t, w, err, spoil.Want)
	if failure.RetryAfter != spoil.Wait {
		t.Errorf("to be left alone for %s, want %s", failure.RetryAfter, spoil.Wait)
	}
}

// judge checks what is to be true of every error of a channel.
func judge(t *testing.T, w World, err error, want ...notify.Outcome) *notify.Error {
	t.Helper()
	var failure *notify.Error
	if !errors.As(err, &failure) {
		t.Fatalf("the error is %v, a %T; want a *notify.Error", err, err)
	}
	if !slices.Contains(want, failure.Outcome) {
		t.Errorf("the outcome is %q (%v), want one of %q", failure.Outcome, failure, want)
	}
	if failure.Outcome == notify.Rejected && failure.Remedy == "" {
		t.Errorf("rejected without a remedy: %v", failure)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			hides(t, w, fmt.Sprintf(verb, e))
		}
	}
	return failure
}

func hides(t *testing.T, w World, text string) {
	t.Helper()
	for _, secret := range w.Secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the secret %q is shown: %s", secret, text)
		}
	}
}

// message returns a message of the given cause.
func message(cause string) notify.Message {
	return notify.Message{
		ID: "Zoë O'Neil/" + cause, Person: "Zoë O'Neil", Rule: "behind", Title: "Noch etwa 39 Minuten – 散歩 🚶",
		Body: "Stand 14:10: etwa 62 Minuten.\n\"Zwei Wege\" <von> 20 genügen & mehr.",
	}
}
