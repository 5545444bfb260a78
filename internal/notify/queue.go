package notify

import (
	"context"
	"time"
)

// A Delivery is one message on its way to one channel.
type Delivery struct {
	ID       int64
	PersonID int64
	Channel  string // the name of the channel among those of the person
	Message  Message
	Attempts int // how many have begun, one that is under way included
	// Begun is when the attempt began whose end has not been noted; zero if there is none. Found at a start it means that
	// walkd was killed in it.
	Begun time.Time
	// Due is when it is to be tried next.
	Due time.Time
}

// A Queue keeps deliveries durably: what its methods have noted is there after a crash.
type Queue interface {
	// DueDeliveries returns up to limit of the deliveries that have not ended and whose time has come, the longest due
	// first, those that have begun included.
	DueDeliveries(ctx context.Context, now time.Time, limit int) ([]Delivery, error)
	// BeginDelivery notes that an attempt is about to be made: it counts one, and sets Begun.
	BeginDelivery(ctx context.Context, id int64, now time.Time) error
	// EndDelivery notes how it went and clears Begun. With a retryAt the delivery is due then; if that is zero it has
	// ended for good. problem is what happened, for the person; "" if it was delivered.
	EndDelivery(
		ctx context.Context, id int64, outcome Outcome, receipt Receipt, problem string, retryAt, now time.Time,
	) error
	// NextDelivery returns when the next delivery is due, and false if there is none to come.
	NextDelivery(ctx context.Context) (time.Time, bool, error)
}
