package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// A Mark says that a day is to be derived, or projected. The revision grows with every change of the day.
type Mark struct {
	Day      walking.Day
	Revision int64
}

// Streams returns a person's streams in priority order.
func (r *Reader) Streams(ctx context.Context, p Person) ([]walking.Stream, error) {
	rows, err := streamRows(ctx, r.q(), p.ID)
	if err != nil {
		return nil, fmt.Errorf("store: read streams: %w", err)
	}
	var out []walking.Stream
	for _, s := range sortRows(rows, p.Preferred) {
		out = append(out, s.Stream)
	}
	return out, nil
}

// Inputs returns all that a merge needs to derive the days that lie in w: every stream in priority order with the
// records, less their offsets, and the sessions that can reach into w.
func (r *Reader) Inputs(ctx context.Context, p Person, w walking.Window) ([]walking.Input, error) {
	rows, err := streamRows(ctx, r.q(), p.ID)
	if err != nil {
		return nil, fmt.Errorf("store: read streams: %w", err)
	}
	var reach time.Duration
	for _, s := range rows {
		reach += walking.Reach(s.longest())
	}
	w = w.Widen(reach)
	var out []walking.Input
	for _, s := range sortRows(rows, p.Preferred) {
		in := walking.Input{StreamKey: s.StreamKey}
		from, to := w.Start.Add(-s.longest()).UnixMilli(), w.End.UnixMilli()
		if in.Records, err = r.records(ctx, s.id, from, to); err != nil {
			return nil, fmt.Errorf("store: read records: %w", err)
		}
		if in.Sessions, err = r.sessions(ctx, s.id, from, to); err != nil {
			return nil, fmt.Errorf("store: read sessions: %w", err)
		}
		err := query(ctx, r.q(), "SELECT start_ms, end_ms FROM unworn WHERE stream_id = ? AND start_ms < ? AND end_ms > ? "+
			"ORDER BY start_ms",
			[]any{s.id, to, from}, func(scan func(...any) error) error {
				var u msWindow
				err := scan(&u.start, &u.end)
				w := walking.Window{Start: time.UnixMilli(u.start).UTC(), End: time.UnixMilli(u.end).UTC()}
				in.Unworn = append(in.Unworn, w)
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("store: read wear: %w", err)
		}
		out = append(out, in)
	}
	return out, nil
}

// records reads a stream's records, without their offsets, which a merge does not need.
func (r *Reader) records(ctx context.Context, streamID, from, to int64) ([]walking.Record, error) {
	conn := r.conn
	if conn == nil {
		var err error
		if conn, err = r.db.Conn(ctx); err != nil {
			return nil, readable(r.path, err)
		}
		defer conn.Close()
	}
	var out []walking.Record
	err := eachRow(ctx, conn, "SELECT start_ms, duration_ms, steps, NULL FROM record "+
		"WHERE stream_id = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms, duration_ms",
		[]int64{streamID, from, to}, func(x row) {
			out = append(out, walking.Record{
				Start: time.UnixMilli(x.start).UTC(), Duration: time.Duration(x.duration) * time.Millisecond, Steps: x.steps,
			})
		})
	return out, err
}

// eachRow calls f for each row of the answer to a query for start, duration, steps and offset. There are thousands to
// a day's work, so it asks the driver itself: package sql would spend as much time on each row as SQLite does.
func eachRow(ctx context.Context, conn *sql.Conn, query string, args []int64, f func(row)) (err error) {
	defer func() { err = readable(FileName, err) }()
	var named []driver.NamedValue
	for i, a := range args {
		named = append(named, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return conn.Raw(func(c any) (err error) {
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, query, named)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		values := make([]driver.Value, 4)
		for {
			if err := rows.Next(values); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			start, ok1 := values[0].(int64)
			duration, ok2 := values[1].(int64)
			steps, ok3 := values[2].(float64)
			offset, has := values[3].(int64)
			if !ok1 || !ok2 || !ok3 || !has && values[3] != nil {
				return fmt.Errorf("a record reads %v", values)
			}
			f(row{start, duration, steps, sql.NullInt32{Int32: int32(offset), Valid: has}})
		}
	})
}

func (r *Reader) sessions(ctx context.Context, streamID, from, to int64) ([]walking.Session, error) {
	var out []walking.Session
	err := query(ctx, r.q(), "SELECT start_ms, end_ms, kind, moving_ms, steps FROM session "+
		"WHERE stream_id = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms, end_ms, kind",
		[]any{streamID, from, to}, func(scan func(...any) error) error {
			var x sessionRow
			if err := scan(&x.start, &x.end, &x.kind, &x.moving, &x.steps); err != nil {
				return err
			}
			out = append(out, walking.Session{
				Start: time.UnixMilli(x.start).UTC(), End: time.UnixMilli(x.end).UTC(), Kind: x.kind,
				Moving: time.Duration(x.moving) * time.Millisecond, Steps: x.steps.Float64, HasSteps: x.steps.Valid,
			})
			return nil
		})
	return out, err
}

// Counted returns how many steps a source has counted in records of up to an hour that start in w. Where it has several
// streams it is what the one with the most has. Longer records tell too roughly when somebody walked to belong to a day for
// sure, and those of no length repeat what others hold; rough says that there is nothing else.
func (r *Reader) Counted(ctx context.Context, personID int64, source string, w walking.Window) (steps float64, rough bool,
	err error,
) {
	const hour = int64(time.Hour / time.Millisecond)
	var most sql.NullFloat64
	var fine, all int
	err = r.q().QueryRowContext(ctx, `SELECT max(steps), coalesce(sum(fine), 0), coalesce(sum(n), 0) FROM
		(SELECT sum(CASE WHEN duration_ms BETWEEN 1 AND ?5 THEN steps ELSE 0 END) AS steps,
		sum(duration_ms BETWEEN 1 AND ?5) AS fine, count(*) AS n
		FROM record JOIN stream ON stream.id = stream_id WHERE person_id = ?1 AND source = ?2 AND start_ms >= ?3 AND start_ms < ?4
		GROUP BY stream_id)`, personID, source, w.Start.UnixMilli(), w.End.UnixMilli(), hour).Scan(&most, &fine, &all)
	if err != nil {
		return 0, false, fmt.Errorf("store: count steps: %w", readable(r.path, err))
	}
	return most.Float64, fine == 0 && all > 0, nil
}

// FirstInstant returns when the person's data begins. There is none yet if ok is false.
func (r *Reader) FirstInstant(ctx context.Context, personID int64) (t time.Time, ok bool, err error) {
	var ms sql.NullInt64
	err = r.q().QueryRowContext(ctx, `SELECT min(ms) FROM (
		SELECT (SELECT min(start_ms) FROM record WHERE stream_id = s.id) AS ms FROM stream s WHERE s.person_id = ?1
		UNION ALL
		SELECT (SELECT min(start_ms) FROM session WHERE stream_id = s.id) FROM stream s WHERE s.person_id = ?1)`, personID).
		Scan(&ms)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("store: read the first record: %w", err)
	}
	return timeOf(ms), ms.Valid, nil
}

// NewestInstant returns the latest end of a record or session that was ever stored. A clock that is before it is wrong.
// It is zero for an empty store. When data arrived does not count: a clock that was ahead once, and is right again,
// would then seem to be wrong for as long as it had been ahead.
func (r *Reader) NewestInstant(ctx context.Context) (time.Time, error) {
	t, err := newestInstant(ctx, r.q())
	if err != nil {
		return time.Time{}, fmt.Errorf("store: read the newest instant: %w", err)
	}
	return t, nil
}

func newestInstant(ctx context.Context, q queryer) (time.Time, error) {
	var ms sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT max(newest_ms) FROM stream").Scan(&ms)
	return timeOf(ms), err
}

// DayRange returns the first and the last derived day. There is none yet if ok is false.
func (r *Reader) DayRange(ctx context.Context, personID int64) (first, last walking.Day, ok bool, err error) {
	var a, b sql.NullInt64
	err = r.q().QueryRowContext(ctx, "SELECT (SELECT min(day) FROM day WHERE person_id = ?1), "+
		"(SELECT max(day) FROM day WHERE person_id = ?1)", personID).Scan(&a, &b)
	if err != nil {
		return 0, 0, false, fmt.Errorf("store: read days: %w", err)
	}
	return walking.Day(a.Int64), walking.Day(b.Int64), a.Valid, nil
}

// OpenDays returns the derived days that are not closed, in order.
func (r *Reader) OpenDays(ctx context.Context, personID int64) ([]walking.Day, error) {
	var out []walking.Day
	err := query(ctx, r.q(), "SELECT day FROM day WHERE person_id = ? AND closed = 0 ORDER BY day", []any{personID},
		func(scan func(...any) error) error {
			var d walking.Day
			err := scan(&d)
			out = append(out, d)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("store: read open days: %w", err)
	}
	return out, nil
}

// Stale returns the days that are to be derived again, in order.
func (r *Reader) Stale(ctx context.Context, personID int64) ([]Mark, error) {
	var out []Mark
	err := query(ctx, r.q(), "SELECT day, revision FROM stale WHERE person_id = ? ORDER BY day", []any{personID},
		func(scan func(...any) error) error {
			var m Mark
			err := scan(&m.Day, &m.Revision)
			out = append(out, m)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("store: read stale days: %w", err)
	}
	return out, nil
}

// Days returns the derived days from … to, inclusive, in order.
func (r *Reader) Days(ctx context.Context, personID int64, from, to walking.Day) ([]walking.Summary, error) {
	var out []walking.Summary
	err := query(ctx, r.q(), "SELECT summary FROM day WHERE person_id = ? AND day BETWEEN ? AND ? ORDER BY day",
		[]any{personID, from, to},
		func(scan func(...any) error) error {
			var (
				b []byte
				s walking.Summary
			)
			if err := scan(&b); err != nil {
				return err
			}
			if err := json.Unmarshal(b, &s); err != nil {
				return err
			}
			out = append(out, s)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("store: read days: %w", err)
	}
	return out, nil
}

// PutDays stores derived days, marks them as due for projection, and clears the given stale marks that have not been
// made again since.
func (s *Store) PutDays(ctx context.Context, personID int64, days []walking.Summary, done []Mark, now time.Time) error {
	return s.write(ctx, "store days", func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO day (person_id, day, closed, summary) VALUES (?, ?, ?, ?)")
		if err != nil {
			return err
		}
		defer put.Close()
		due, err := tx.PrepareContext(ctx, `INSERT INTO due (person_id, day, revision, since_ms) VALUES (?, ?, 1, ?)
			ON CONFLICT DO UPDATE SET revision = revision + 1`)
		if err != nil {
			return err
		}
		defer due.Close()
		for _, d := range days {
			b, err := json.Marshal(d)
			if err != nil {
				return err
			}
			if _, err := put.ExecContext(ctx, personID, d.Day, d.Closed, string(b)); err != nil {
				return err
			}
			if _, err := due.ExecContext(ctx, personID, d.Day, now.UnixMilli()); err != nil {
				return err
			}
		}
		clear, err := tx.PrepareContext(ctx, "DELETE FROM stale WHERE person_id = ? AND day = ? AND revision = ?")
		if err != nil {
			return err
		}
		defer clear.Close()
		for _, m := range done {
			if _, err := clear.ExecContext(ctx, personID, m.Day, m.Revision); err != nil {
				return err
			}
		}
		return nil
	})
}

// Counts is the size of the store and of the work waiting in it.
type Counts struct {
	Persons, Streams, Days int64
	Records                int64 // with steps
	Stale, Due             int64
	DueSince               time.Time // when the oldest mark of Due was made; zero if there is none
}

// Count returns the size of the store and of the work waiting in it.
func (r *Reader) Count(ctx context.Context) (Counts, error) {
	var (
		c     Counts
		since sql.NullInt64
	)
	err := r.q().QueryRowContext(ctx, `SELECT (SELECT count(*) FROM person), (SELECT count(*) FROM stream),
		(SELECT count(*) FROM day), (SELECT coalesce(sum(records), 0) FROM stream), (SELECT count(*) FROM stale),
		(SELECT count(*) FROM due), (SELECT min(since_ms) FROM due)`).
		Scan(&c.Persons, &c.Streams, &c.Days, &c.Records, &c.Stale, &c.Due, &since)
	if err != nil {
		return c, fmt.Errorf("store: count: %w", err)
	}
	c.DueSince = timeOf(since)
	return c, nil
}

// A PersonDay is a day of a person.
type PersonDay struct {
	PersonID int64
	Mark
}

// Due returns up to limit days of one person that are to be projected, in order; the latest ones if there are more. The
// days of people whose projection must be cleared first are left out.
func (r *Reader) Due(ctx context.Context, limit int) ([]PersonDay, error) {
	var out []PersonDay
	err := query(ctx, r.q(), `SELECT person_id, day, revision FROM (
		SELECT * FROM due WHERE person_id = (
			SELECT min(person_id) FROM due JOIN person ON person.id = person_id WHERE rebuild = 0)
			ORDER BY day DESC LIMIT ?) ORDER BY day`,
		[]any{limit}, func(scan func(...any) error) error {
			var d PersonDay
			err := scan(&d.PersonID, &d.Day, &d.Revision)
			out = append(out, d)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("store: read due days: %w", err)
	}
	return out, nil
}

// Projected is what a day, or a week or month by its first day, has written to one measurement. Sum and Keys are the
// projection's own; Keys is empty if nothing was written.
type Projected struct {
	PersonID    int64
	Day         walking.Day
	Measurement int64
	Sum         int64
	Keys        []byte
}

// Projected returns what the days from … to, inclusive, last wrote.
func (r *Reader) Projected(ctx context.Context, personID int64, from, to walking.Day) ([]Projected, error) {
	var out []Projected
	err := query(ctx, r.q(), "SELECT day, measurement, sum, keys FROM projected "+
		"WHERE person_id = ? AND day BETWEEN ? AND ?", []any{personID, from, to}, func(scan func(...any) error) error {
		p := Projected{PersonID: personID}
		err := scan(&p.Day, &p.Measurement, &p.Sum, &p.Keys)
		out = append(out, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: read projected points: %w", err)
	}
	return out, nil
}

// PutProjected stores what days wrote, or are about to write, and clears the due marks of done that have not been made
// again since.
func (s *Store) PutProjected(ctx context.Context, projected []Projected, done []PersonDay) error {
	return s.write(ctx, "store projected points", func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO projected (person_id, day, measurement, sum, keys) "+
			"VALUES (?, ?, ?, ?, ?)")
		if err != nil {
			return err
		}
		defer put.Close()
		drop, err := tx.PrepareContext(ctx, "DELETE FROM projected WHERE person_id = ? AND day = ? AND measurement = ?")
		if err != nil {
			return err
		}
		defer drop.Close()
		for _, p := range projected {
			if len(p.Keys) == 0 {
				_, err = drop.ExecContext(ctx, p.PersonID, p.Day, p.Measurement)
			} else {
				_, err = put.ExecContext(ctx, p.PersonID, p.Day, p.Measurement, p.Sum, p.Keys)
			}
			if err != nil {
				return err
			}
		}
		clear, err := tx.PrepareContext(ctx, "DELETE FROM due WHERE person_id = ? AND day = ? AND revision = ?")
		if err != nil {
			return err
		}
		defer clear.Close()
		for _, d := range done {
			if _, err := clear.ExecContext(ctx, d.PersonID, d.Day, d.Revision); err != nil {
				return err
			}
		}
		return nil
	})
}

// DoubtProjected notes that what InfluxDB holds of a person, of everybody if personID is 0, is in doubt, and marks all
// days as due that exist or have written something.
func (s *Store) DoubtProjected(ctx context.Context, personID int64, now time.Time) error {
	return s.reproject(ctx, "doubt projected points", personID, now,
		"UPDATE projected SET sum = 0 WHERE ?1 IN (0, person_id)")
}

// ForgetProjected forgets what a person's days wrote, everybody's if personID is 0, and marks all days as due.
func (s *Store) ForgetProjected(ctx context.Context, personID int64, now time.Time) error {
	return s.reproject(ctx, "forget projected points", personID, now, "DELETE FROM projected WHERE ?1 IN (0, person_id)",
		"UPDATE person SET rebuild = 0 WHERE ?1 IN (0, id)")
}

func (s *Store) reproject(ctx context.Context, what string, personID int64, now time.Time, statements ...string) error {
	return s.write(ctx, what, func(tx *sql.Tx) error {
		for _, q := range statements {
			if _, err := tx.ExecContext(ctx, q, personID); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO due (person_id, day, revision, since_ms)
			SELECT person_id, day, 1, ?2 FROM (SELECT person_id, day FROM day UNION SELECT person_id, day FROM projected)
			WHERE ?1 IN (0, person_id) ON CONFLICT DO UPDATE SET revision = revision + 1`, personID, now.UnixMilli())
		return err
	})
}

// LastInstant returns the latest start of a record or session of the person; zero if there is none.
func (r *Reader) LastInstant(ctx context.Context, personID int64) (time.Time, error) {
	var ms sql.NullInt64
	err := r.q().QueryRowContext(ctx, `SELECT max(ms) FROM (
		SELECT (SELECT max(start_ms) FROM record WHERE stream_id = s.id) AS ms FROM stream s WHERE s.person_id = ?1
		UNION ALL
		SELECT (SELECT max(start_ms) FROM session WHERE stream_id = s.id) FROM stream s WHERE s.person_id = ?1)`, personID).
		Scan(&ms)
	if err != nil {
		return time.Time{}, fmt.Errorf("store: read the last record: %w", err)
	}
	return timeOf(ms), nil
}

// DropDays drops a person's derived days before first and after last, all if last is before first, and marks them as
// due, so that the projection takes them back.
func (s *Store) DropDays(ctx context.Context, personID int64, first, last walking.Day, now time.Time) error {
	return s.write(ctx, "drop days", func(tx *sql.Tx) error {
		const dropped = " FROM day WHERE person_id = ?1 AND (day < ?2 OR day > ?3)"
		if _, err := tx.ExecContext(ctx, "INSERT INTO due (person_id, day, revision, since_ms) SELECT person_id, day, 1, ?4"+
			dropped+" ON CONFLICT DO UPDATE SET revision = revision + 1", personID, first, last, now.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE"+dropped, personID, first, last)
		return err
	})
}
