// Package logline is the channel of kind "log": it writes messages to walkd's own log. It is for trying walkd out, and
// for machines whose log somebody reads.
package logline

import (
	"context"
	"log/slog"

	"github.com/walkd/walkd/internal/notify"
)

// Kind is the name of this kind of channel in the config.
const Kind = "log"

// A Channel writes messages to a logger.
type Channel struct{ log *slog.Logger }

// New returns a Channel that writes to log, at Info. The text of the messages is in it, with what the person has
// walked: that is what somebody who configures this channel asks for.
func New(log *slog.Logger) *Channel { return &Channel{log} }

// Kind returns "log".
func (c *Channel) Kind() string { return Kind }

// Send writes m. It always succeeds.
func (c *Channel) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	c.log.InfoContext(ctx, "nudge", "person", m.Person, "rule", m.Rule, "title", m.Title, "text", m.Body)
	return notify.Receipt{}, nil
}

// Replaces reports false: a line that has been written stays.
func (c *Channel) Replaces(context.Context) bool { return false }
