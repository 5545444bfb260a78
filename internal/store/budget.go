package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A Claim is the wish to make a request under a limit.
type Claim struct {
	Key  string // whose limit: an account's, or a client's that several accounts share
	Name string // of the limit
	// Requests is how many may have been made in the window once this one is. It can be less than the limit, so that
	// something is left for others.
	Requests int
	Per      time.Duration // how long the window is
}

// A Usage is what has been used of a limit. A window begins with the first request in it.
type Usage struct {
	Key, Name string
	Begin     time.Time // of the window
	Per       time.Duration
	Used      int // requests in the window
	// Told is how many requests the provider counts, which holds until ToldUntil.
	Told      int
	ToldUntil time.Time
}

// At returns how many requests count at now: those of the window, or as many as the provider tells if these are more.
func (u Usage) At(now time.Time) int {
	n := 0
	if u.open(now) {
		n = u.Used
	}
	if u.told(now) {
		n = max(n, u.Told)
	}
	return n
}

// open reports whether now is in the window. One from the future was begun by a clock that was wrong.
func (u Usage) open(now time.Time) bool {
	return !now.Before(u.Begin) && now.Before(u.Begin.Add(u.Per))
}

// maxTold is how far ahead what a provider tells of a limit can reach. Past it either the clock or the provider is wrong.
const maxTold = 24 * time.Hour

func (u Usage) told(now time.Time) bool {
	return now.Before(u.ToldUntil) && u.ToldUntil.Sub(now) <= max(u.Per, maxTold)
}

// wait returns how long it takes from now until there is room for one more of as many requests.
func (u Usage) wait(requests int, now time.Time) time.Duration {
	var wait time.Duration
	if u.open(now) && u.Used >= requests {
		wait = u.Begin.Add(u.Per).Sub(now)
	}
	if u.told(now) && u.Told >= requests {
		wait = max(wait, u.ToldUntil.Sub(now))
	}
	return wait
}

// Spend counts one request in every claim and returns 0, or counts none and returns how long to wait before asking
// again, because in one of them as many as may be have been made. It is durable when it returns.
func (s *Store) Spend(ctx context.Context, claims []Claim, now time.Time) (wait time.Duration, err error) {
	for _, c := range claims {
		if c.Requests <= 0 || c.Per < time.Millisecond {
			return 0, fmt.Errorf("store: a claim of %d requests in %v under %s can never be met", c.Requests, c.Per, c.Name)
		}
	}
	now = now.Truncate(time.Millisecond)
	err = s.write(ctx, "count a request", func(tx *sql.Tx) error {
		usages := make([]Usage, 0, len(claims))
		for _, c := range claims {
			u, err := usage(ctx, tx, c)
			if err != nil {
				return err
			}
			wait = max(wait, u.wait(c.Requests, now))
			usages = append(usages, u)
		}
		if wait > 0 {
			return nil
		}
		for _, u := range usages {
			if !u.open(now) {
				u.Begin, u.Used = now, 0
			}
			if !u.told(now) {
				u.Told = 0
			}
			u.Used++
			u.Told++
			if err := putUsage(ctx, tx, u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return wait, nil
}

// sameReset is by how much the time can differ that a provider tells in two answers for the end of one window.
const sameReset = time.Minute

// CorrectBudget takes over what a provider's answer says of a limit: that left of all claim.Requests can still be made
// until reset has passed. It only ever makes the limit stricter than what was counted here, or told before of the same
// window.
func (s *Store) CorrectBudget(ctx context.Context, claim Claim, left int, reset time.Duration, now time.Time) error {
	if reset <= 0 {
		return nil
	}
	return s.write(ctx, "correct a budget", func(tx *sql.Tx) error {
		u, err := usage(ctx, tx, claim)
		if err != nil {
			return err
		}
		before, told := u, max(0, claim.Requests-left)
		until := now.Add(min(reset, max(u.Per, maxTold))).Truncate(time.Millisecond).UTC()
		if u.told(now) && until.Sub(u.ToldUntil).Abs() <= sameReset {
			told = max(told, u.Told)
			if until.Before(u.ToldUntil) {
				until = u.ToldUntil
			}
		}
		if u.Told, u.ToldUntil = told, until; u == before {
			return nil
		}
		return putUsage(ctx, tx, u)
	})
}

// Usages returns what has been used of all limits, by key and name.
func (r *Reader) Usages(ctx context.Context) ([]Usage, error) {
	var out []Usage
	err := query(ctx, r.q(), usageColumns+" ORDER BY key, name", nil, func(scan func(...any) error) error {
		u, err := scanUsage(scan)
		out = append(out, u)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: read budgets: %w", err)
	}
	return out, nil
}

const usageColumns = "SELECT key, name, begin_ms, per_ms, used, told, told_until_ms FROM budget"

func scanUsage(scan func(...any) error) (u Usage, err error) {
	var begin, per, until int64
	err = scan(&u.Key, &u.Name, &begin, &per, &u.Used, &u.Told, &until)
	u.Begin, u.Per = time.UnixMilli(begin).UTC(), time.Duration(per)*time.Millisecond
	u.ToldUntil = time.UnixMilli(until).UTC()
	return u, err
}

// usage returns what has been used of the limit of a claim.
func usage(ctx context.Context, tx *sql.Tx, c Claim) (Usage, error) {
	u, err := scanUsage(tx.QueryRowContext(ctx, usageColumns+" WHERE key = ? AND name = ?", c.Key, c.Name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		u, err = Usage{Key: c.Key, Name: c.Name, Begin: time.UnixMilli(0).UTC(), ToldUntil: time.UnixMilli(0).UTC()}, nil
	}
	u.Per = c.Per // as it is documented now
	return u, err
}

func putUsage(ctx context.Context, tx *sql.Tx, u Usage) error {
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO budget (key, name, begin_ms, per_ms, used, told, told_until_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, u.Key, u.Name, u.Begin.UnixMilli(), u.Per.Milliseconds(), u.Used, u.Told,
		u.ToldUntil.UnixMilli())
	return err
}
