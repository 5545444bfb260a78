package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/walkd/walkd/internal/nudges"
)

// A Message is something to tell a person.
type Message struct {
	// ID names the cause: the same cause has the same ID, whenever and however often it is sent, and no other message
	// to anybody has it. It holds the person's name, in any script.
	ID      string
	Person  string // the name
	Rule    string // what decided it
	Title   string // plain text, one line; may be empty
	Body    string // plain text
	Tags    []string
	Expires time.Time // exclusive; from then on it is not sent any more. Zero: never
}

// NewMessage returns what d, a Decision to send, has to tell the person of the given name.
func NewMessage(person string, d nudges.Decision) Message {
	return Message{
		ID: person + "/" + d.Key, Person: person, Rule: string(d.Rule), Title: d.Title, Body: d.Body, Expires: d.Expires,
	}
}

// An Outcome is how an attempt to deliver ended.
type Outcome string

// The outcomes. Whether it is tried again is for the Courier to decide.
const (
	// Delivered: the channel's service has accepted the message.
	Delivered Outcome = "delivered"
	// Throttled: not sent, too much was sent before; to be tried again after Error.RetryAfter.
	Throttled Outcome = "throttled"
	// Rejected: not sent, and the same attempt will fail again until somebody does what Error.Remedy says.
	Rejected Outcome = "rejected"
	// Unknown: sent, but the answer was lost. The message may have been delivered.
	Unknown Outcome = "unknown"
	// Failed: not sent, for a cause that is expected to pass.
	Failed Outcome = "failed"
	// Expired: not sent, since it was of no more use. No channel says so; it is how a delivery ends.
	Expired Outcome = "expired"
)

// A Receipt is what a channel says of a message that it delivered.
type Receipt struct {
	// ID is the name by which the channel can replace or delete the message; "" if it cannot.
	ID string
}

// A Channel is one place where messages of one person go. Its methods may be called from several goroutines.
type Channel interface {
	// Kind returns the kind of channel, like "ntfy".
	Kind() string
	// Send makes one attempt. It returns when the outcome is known or ctx ends. Its errors are of type *Error, and hold no
	// secrets: no tokens, no passwords, and no address that serves as one.
	Send(ctx context.Context, m Message) (Receipt, error)
	// Replaces reports whether sending a message of the same ID again replaces the first, so that the person does not
	// get it twice. It may have to ask the service; what it cannot find out is false.
	Replaces(ctx context.Context) bool
}

// An Error is an attempt that did not deliver.
type Error struct {
	Outcome Outcome // Throttled, Rejected, Unknown or Failed
	// RetryAfter is how long the service wants to be left alone, by the clock on the wall; zero if it does not say.
	RetryAfter time.Duration
	// Remedy says what the person can do, as a sentence without a full stop; "" if there is nothing to do.
	Remedy string
	Err    error // what happened
}

// Error returns what happened and the remedy.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v: %s", e.Err, e.Remedy)
}

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }
