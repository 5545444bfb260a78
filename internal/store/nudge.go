package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/walkd/walkd/internal/notify"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/walking"
)

// ErrNoDelivery says that a delivery is not there, or has ended.
var ErrNoDelivery = errors.New("no such delivery under way")

// silenceKept is for how long decisions are kept that put nothing into the queue. The others are kept for good: the
// projection is made of them.
const silenceKept = 400 * 24 * time.Hour

// PutDecisions takes in what was decided for a person. It logs each decision whose day, reason, or whether to send,
// differs from what was logged last of its rule. One to send is queued with one delivery for each of channels, unless
// its Key was queued before, and its day becomes due for projection. Without channels it is only logged. One to stay
// silent whose Reason Settles the cause makes its message expire, as far as that has not been delivered. What changes
// nothing writes nothing.
func (s *Store) PutDecisions(ctx context.Context, personID int64, ds []nudges.Decision, channels []string,
	now time.Time,
) error {
	return s.write(ctx, "store decisions", func(tx *sql.Tx) error {
		wrote := false
		for _, d := range ds {
			w, err := putDecision(ctx, tx, personID, d, channels, now)
			if err != nil {
				return err
			}
			wrote = wrote || w
		}
		if !wrote {
			return nil
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM decision WHERE person_id = ? AND at_ms < ? AND queued = 0",
			personID, now.Add(-silenceKept).UnixMilli())
		return err
	})
}

func putDecision(ctx context.Context, tx *sql.Tx, personID int64, d nudges.Decision, channels []string,
	now time.Time,
) (wrote bool, err error) {
	var logged, queued bool
	if err := tx.QueryRowContext(ctx, `SELECT
		EXISTS (SELECT 1 FROM decision WHERE person_id = ?1 AND queued = 1 AND key = ?2),
		EXISTS (SELECT 1 FROM (SELECT day, send, reason FROM decision WHERE person_id = ?1 AND rule = ?3
			ORDER BY id DESC LIMIT 1) WHERE day = ?4 AND send = ?5 AND reason = ?6)`,
		personID, d.Key, d.Rule, d.Day, d.Send, d.Reason).Scan(&queued, &logged); err != nil {
		return false, err
	}
	queue := d.Send && len(channels) > 0 && !queued
	if logged && !queue {
		return false, nil
	}
	var message any
	if d.Send {
		var name string
		if err := tx.QueryRowContext(ctx, "SELECT name FROM person WHERE id = ?", personID).Scan(&name); err != nil {
			return false, err
		}
		b, err := json.Marshal(notify.NewMessage(name, d))
		if err != nil {
			return false, err
		}
		message = string(b)
	}
	var id int64
	if err := tx.QueryRowContext(ctx, `INSERT INTO decision
		(person_id, rule, day, at_ms, send, reason, why, key, queued, expires_ms, message)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, personID, d.Rule, d.Day, d.At.UnixMilli(), d.Send, d.Reason,
		d.Why, d.Key, queue, nullTime(d.Expires), message).Scan(&id); err != nil {
		return false, err
	}
	if !queue {
		if !d.Send && d.Reason.Settles() {
			err = expire(ctx, tx, personID, d.Key, now)
		}
		return err == nil, err
	}
	due := now
	if d.NotBefore.After(due) {
		due = d.NotBefore
	}
	for _, c := range channels {
		if _, err := tx.ExecContext(ctx, "INSERT INTO delivery (decision_id, channel, due_ms) VALUES (?, ?, ?)",
			id, c, due.UnixMilli()); err != nil {
			return false, err
		}
	}
	return true, markDue(ctx, tx, personID, d.Day, now)
}

// expire makes a message expire now that is still on its way, and with it become due: whoever delivers notes its end.
func expire(ctx context.Context, tx *sql.Tx, personID int64, key string, now time.Time) error {
	var id int64
	err := tx.QueryRowContext(ctx, `UPDATE decision SET expires_ms = min(?3, coalesce(expires_ms, ?3))
		WHERE person_id = ?1 AND key = ?2 AND queued = 1
		AND EXISTS (SELECT 1 FROM delivery v WHERE v.decision_id = decision.id AND v.due_ms IS NOT NULL)
		RETURNING id`, personID, key, now.UnixMilli()).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE delivery SET due_ms = min(due_ms, ?) "+
		"WHERE decision_id = ? AND due_ms IS NOT NULL", now.UnixMilli(), id)
	return err
}

// markDue marks a day as due for projection.
func markDue(ctx context.Context, tx *sql.Tx, personID int64, d walking.Day, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO due (person_id, day, revision, since_ms) VALUES (?, ?, 1, ?)
		ON CONFLICT DO UPDATE SET revision = revision + 1`, personID, d, now.UnixMilli())
	return err
}

// DueDeliveries returns up to limit of the deliveries that have not ended and whose time has come, the longest due
// first. Among them are those that have begun and whose end is not known, and those whose message has expired: a delivery
// becomes due when its message expires, if it is not before.
func (r *Reader) DueDeliveries(ctx context.Context, now time.Time, limit int) ([]notify.Delivery, error) {
	var out []notify.Delivery
	err := query(ctx, r.q(), `SELECT v.id, d.person_id, v.channel, d.message, v.attempts, v.begun_ms, v.due_ms,
		d.expires_ms FROM delivery v JOIN decision d ON d.id = v.decision_id
		WHERE v.due_ms <= ? ORDER BY v.due_ms, v.id LIMIT ?`,
		[]any{now.UnixMilli(), limit}, func(scan func(...any) error) error {
			var (
				v                   notify.Delivery
				message             []byte
				begun, due, expires sql.NullInt64
			)
			if err := scan(&v.ID, &v.PersonID, &v.Channel, &message, &v.Attempts, &begun, &due, &expires); err != nil {
				return err
			}
			v.Begun, v.Due = timeOf(begun), timeOf(due)
			if err := json.Unmarshal(message, &v.Message); err != nil {
				return err
			}
			v.Message.Expires = timeOf(expires) // can have come earlier
			out = append(out, v)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("store: read due deliveries: %w", err)
	}
	return out, nil
}

// NextDelivery returns when the next delivery is due, and false if there is none to come.
func (r *Reader) NextDelivery(ctx context.Context) (time.Time, bool, error) {
	var ms sql.NullInt64
	err := r.q().QueryRowContext(ctx, "SELECT min(due_ms) FROM delivery WHERE due_ms IS NOT NULL").Scan(&ms)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("store: read the next delivery: %w", err)
	}
	return timeOf(ms), ms.Valid, nil
}

// BeginDelivery notes that an attempt to deliver is about to be made. ErrNoDelivery says that there is nothing to
// deliver any more.
func (s *Store) BeginDelivery(ctx context.Context, id int64, now time.Time) error {
	return s.write(ctx, "begin a delivery", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE delivery SET begun_ms = ?, attempts = attempts + 1 "+
			"WHERE id = ? AND due_ms IS NOT NULL", now.UnixMilli(), id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return ErrNoDelivery
	})
}

// EndDelivery notes how an attempt went, or with notify.Expired that there was none. With a retryAt it is due again
// then, at the latest when its message expires. If that is zero the delivery has ended for good, and the day of its
// message becomes due for projection. ErrNoDelivery says that it had ended before.
func (s *Store) EndDelivery(ctx context.Context, id int64, outcome notify.Outcome, receipt notify.Receipt, problem string,
	retryAt, now time.Time,
) error {
	r, err := json.Marshal(receipt)
	if err != nil {
		return fmt.Errorf("store: end a delivery: %w", err)
	}
	return s.write(ctx, "end a delivery", func(tx *sql.Tx) error {
		var decision int64
		err := tx.QueryRowContext(ctx, `UPDATE delivery SET begun_ms = NULL, outcome = ?2, receipt = ?3, problem = ?4,
			ended_ms = ?5, due_ms = min(?6, coalesce((SELECT expires_ms FROM decision WHERE id = decision_id), ?6))
			WHERE id = ?1 AND due_ms IS NOT NULL RETURNING decision_id`,
			id, outcome, string(r), problem, now.UnixMilli(), nullTime(retryAt)).Scan(&decision)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoDelivery
		}
		if err != nil || !retryAt.IsZero() {
			return err
		}
		var (
			personID int64
			day      walking.Day
		)
		if err := tx.QueryRowContext(ctx, "SELECT person_id, day FROM decision WHERE id = ?", decision).
			Scan(&personID, &day); err != nil {
			return err
		}
		return markDue(ctx, tx, personID, day, now)
	})
}

// A NudgeEntry is a decision and what became of it.
type NudgeEntry struct {
	nudges.Decision
	Deliveries []DeliveryState // by channel; none if it was not queued
}

// A DeliveryState is how far a message has come on one channel.
type DeliveryState struct {
	Channel  string
	Attempts int
	Begun    time.Time      // of the attempt whose end is not known; zero if there is none
	Due      time.Time      // of the next attempt; zero if it has ended for good
	Outcome  notify.Outcome // of the last attempt; "" if none has ended
	Receipt  notify.Receipt
	Problem  string    // what happened, for the person
	Ended    time.Time // when the last attempt ended
}

// NudgeLog returns the decisions made for a person in [from, to), the newest first. One that says the same as the one
// before of its rule is not among them; decisions that put nothing into the queue are kept for 400 days.
func (r *Reader) NudgeLog(ctx context.Context, personID int64, from, to time.Time) ([]NudgeEntry, error) {
	var (
		out  []NudgeEntry
		last int64
	)
	err := query(ctx, r.q(), `SELECT d.id, d.rule, d.day, d.at_ms, d.send, d.reason, d.why, d.key, d.expires_ms,
		coalesce(d.message, '{}'), coalesce(v.channel, ''), coalesce(v.attempts, 0), v.begun_ms, v.due_ms,
		coalesce(v.outcome, ''), coalesce(v.receipt, ''), coalesce(v.problem, ''), v.ended_ms
		FROM decision d LEFT JOIN delivery v ON v.decision_id = d.id
		WHERE d.person_id = ? AND d.at_ms >= ? AND d.at_ms < ? ORDER BY d.at_ms DESC, d.id DESC, v.channel`,
		[]any{personID, from.UnixMilli(), to.UnixMilli()}, func(scan func(...any) error) error {
			var (
				id, at                     int64
				e                          NudgeEntry
				v                          DeliveryState
				expires, begun, due, ended sql.NullInt64
				message, receipt           []byte
				m                          notify.Message
			)
			if err := scan(&id, &e.Rule, &e.Day, &at, &e.Send, &e.Reason, &e.Why, &e.Key, &expires, &message, &v.Channel,
				&v.Attempts, &begun, &due, &v.Outcome, &receipt, &v.Problem, &ended); err != nil {
				return err
			}
			if len(out) == 0 || id != last {
				if err := json.Unmarshal(message, &m); err != nil {
					return err
				}
				e.At, e.Expires, e.Title, e.Body = time.UnixMilli(at).UTC(), timeOf(expires), m.Title, m.Body
				out, last = append(out, e), id
			}
			if v.Channel == "" {
				return nil
			}
			v.Begun, v.Due, v.Ended = timeOf(begun), timeOf(due), timeOf(ended)
			if len(receipt) > 0 {
				if err := json.Unmarshal(receipt, &v.Receipt); err != nil {
					return err
				}
			}
			deliveries := &out[len(out)-1].Deliveries
			*deliveries = append(*deliveries, v)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("store: read decisions: %w", err)
	}
	return out, nil
}

// SentKeys returns the causes of a person's messages that were queued for days from … on, in the order of their days.
func (r *Reader) SentKeys(ctx context.Context, personID int64, from walking.Day) ([]string, error) {
	var out []string
	err := query(ctx, r.q(), "SELECT key FROM decision WHERE person_id = ? AND queued = 1 AND day >= ? ORDER BY day, id",
		[]any{personID, from}, func(scan func(...any) error) error {
			var key string
			err := scan(&key)
			out = append(out, key)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("store: read queued messages: %w", err)
	}
	return out, nil
}
