package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// Changes counts what storing changed.
type Changes struct {
	Added     int // records and sessions
	Replaced  int
	Removed   int
	Unchanged int
}

// Any reports whether anything changed.
func (c Changes) Any() bool { return c.Added+c.Replaced+c.Removed > 0 }

func (c *Changes) add(o Changes) {
	c.Added += o.Added
	c.Replaced += o.Replaced
	c.Removed += o.Removed
	c.Unchanged += o.Unchanged
}

// Apply stores a batch for a person, in one transaction with the marks on the days that it changes. When it returns nil
// the batch is on disk. What is already stored writes nothing and marks nothing.
func (s *Store) Apply(ctx context.Context, personID int64, b ingest.Batch, now time.Time) (Changes, error) {
	var changes Changes
	err := s.write(ctx, "store a batch", func(tx *sql.Tx) error {
		a, err := newApplier(ctx, tx, personID)
		if err != nil {
			return err
		}
		for _, st := range b.Streams {
			if _, err := a.stream(st, now); err != nil {
				return err
			}
		}
		parts := map[walking.StreamKey]*part{}
		var keys []walking.StreamKey
		get := func(k walking.StreamKey) *part {
			if parts[k] == nil {
				parts[k] = &part{window: noWindow, sessionWindow: noWindow}
				keys = append(keys, k)
			}
			return parts[k]
		}
		for _, c := range b.Covers {
			p := get(c.StreamKey)
			if c.Part != ingest.SessionsOnly {
				p.covers = append(p.covers, windowMs(c.Window))
			}
			if c.Part != ingest.RecordsOnly {
				p.sessionCovers = append(p.sessionCovers, windowMs(c.Window))
			}
		}
		for _, rs := range b.Records {
			p := get(rs.StreamKey)
			for _, r := range rs.Records {
				p.records = append(p.records, toRow(r))
			}
		}
		for _, ss := range b.Sessions {
			p := get(ss.StreamKey)
			p.sessions = append(p.sessions, toSessionRow(ss.Session))
		}
		for _, u := range b.Unworn {
			p := get(u.StreamKey)
			p.unworn = append(p.unworn, windowMs(u.Window))
		}
		for _, k := range keys {
			p := parts[k]
			st, ok := a.streams[k]
			if !ok {
				return fmt.Errorf("stream %s is not described", k)
			}
			p.settle()
			c, err := a.apply(st, *p)
			if err != nil {
				return err
			}
			changes.add(c)
		}
		return a.finish(now)
	})
	return changes, err
}

// msWindow is a half-open window in unix milliseconds.
type msWindow struct{ start, end int64 }

// noWindow is where a window begins that is to be reached from.
var noWindow = msWindow{math.MaxInt64, math.MinInt64}

func windowMs(w walking.Window) msWindow { return msWindow{w.Start.UnixMilli(), w.End.UnixMilli()} }

// reach returns the smallest window that holds w and what lies between start and end.
func (w msWindow) reach(start, end int64) msWindow {
	return msWindow{min(w.start, start), max(w.end, end)}
}

func (w msWindow) contains(ms int64) bool { return ms >= w.start && ms < w.end }

// row is a record as it is stored.
type row struct {
	start, duration int64
	steps           float64
	offset          sql.NullInt32
}

func toRow(r walking.Record) row {
	start := r.Start.UnixMilli()
	return row{start, r.End().UnixMilli() - start, r.Steps, sql.NullInt32{Int32: int32(r.Offset), Valid: r.HasOffset}}
}

func (r row) compare(o row) int {
	return cmp.Or(cmp.Compare(r.start, o.start), cmp.Compare(r.duration, o.duration))
}

type sessionRow struct {
	start, end int64
	kind       walking.Kind
	moving     int64
	steps      sql.NullFloat64
}

func toSessionRow(s walking.Session) sessionRow {
	return sessionRow{
		s.Start.UnixMilli(), s.End.UnixMilli(), s.Kind, s.Moving.Milliseconds(),
		sql.NullFloat64{Float64: s.Steps, Valid: s.HasSteps},
	}
}

func (s sessionRow) compare(o sessionRow) int {
	return cmp.Or(cmp.Compare(s.start, o.start), cmp.Compare(s.end, o.end), cmp.Compare(s.kind, o.kind))
}

// A part is what is stored of one stream at a time: the records and times unworn that begin in window, and the sessions
// that begin in sessionWindow.
type part struct {
	window        msWindow
	covers        []msWindow // where what is not in the part is removed
	records       []row      // sorted, unique
	unworn        []msWindow
	sessionWindow msWindow
	sessionCovers []msWindow
	sessions      []sessionRow
	keepOld       bool // what is stored wins over what comes
}

// settle sorts the part, lets later records win over earlier ones of the same span, and spans the windows over it all.
func (p *part) settle() {
	p.records = sortUnique(p.records, row.compare)
	p.sessions = sortUnique(p.sessions, sessionRow.compare)
	p.unworn = sortUnique(p.unworn, func(a, b msWindow) int { return cmp.Compare(a.start, b.start) })
	for _, c := range p.covers {
		p.window = p.window.reach(c.start, c.end)
	}
	for _, r := range p.records {
		p.window = p.window.reach(r.start, r.start+1)
	}
	for _, u := range p.unworn {
		p.window = p.window.reach(u.start, u.start+1)
	}
	for _, c := range p.sessionCovers {
		p.sessionWindow = p.sessionWindow.reach(c.start, c.end)
	}
	for _, s := range p.sessions {
		p.sessionWindow = p.sessionWindow.reach(s.start, s.start+1)
	}
}

func sortUnique[T any](rows []T, compare func(a, b T) int) []T {
	slices.SortStableFunc(rows, compare)
	out := rows[:0]
	for _, r := range rows {
		if n := len(out); n > 0 && compare(out[n-1], r) == 0 {
			out[n-1] = r
			continue
		}
		out = append(out, r)
	}
	return out
}

func covered(covers []msWindow, ms int64) bool {
	return slices.ContainsFunc(covers, func(c msWindow) bool { return c.contains(ms) })
}

// streamRow is a stream as it is stored.
type streamRow struct {
	walking.Stream
	id         int64
	newest     int64
	completeAt int64
	records    int64
	totalMs    int64
	longestMs  int64
	journeys   bool // the person's journeys are read from it
}

func (s streamRow) grain() walking.Grain {
	if s.records == 0 {
		return walking.GrainOf(0)
	}
	return walking.GrainOf(time.Duration(s.totalMs/s.records) * time.Millisecond)
}

func (s streamRow) longest() time.Duration { return time.Duration(s.longestMs) * time.Millisecond }

const neverMs = math.MinInt64

func streamRows(ctx context.Context, q queryer, personID int64) ([]streamRow, error) {
	var out []streamRow
	err := query(ctx, q, `SELECT id, source, origin, device, delivery, reliable_offset, synced_through_ms, last_arrival_ms,
		newest_ms, complete_at_ms, records, total_ms, longest_ms, tells_journeys FROM stream WHERE person_id = ?`, []any{personID},
		func(scan func(...any) error) error {
			var (
				s                                  streamRow
				synced, arrival, newest, completed sql.NullInt64
			)
			err := scan(&s.id, &s.Source, &s.Origin, &s.Device, &s.Delivery, &s.ReliableOffset, &synced, &arrival,
				&newest, &completed, &s.records, &s.totalMs, &s.longestMs, &s.journeys)
			s.SyncedThrough, s.LastArrival = timeOf(synced), timeOf(arrival)
			s.newest, s.completeAt = neverMs, neverMs
			if newest.Valid {
				s.newest = newest.Int64
			}
			if completed.Valid {
				s.completeAt = completed.Int64
			}
			out = append(out, s)
			return err
		})
	return out, err
}

func timeOf(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

func nullMs(ms int64) sql.NullInt64 { return sql.NullInt64{Int64: ms, Valid: ms != neverMs} }

func nullTime(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

// sortRows returns streams in the person's order.
func sortRows(rows []streamRow, preferred []walking.StreamKey) []streamRow {
	byKey := map[walking.StreamKey]streamRow{}
	streams := make([]walking.Stream, 0, len(rows))
	for _, r := range rows {
		byKey[r.StreamKey] = r
		streams = append(streams, r.Stream)
	}
	walking.SortStreams(streams, preferred, func(k walking.StreamKey) walking.Grain { return byKey[k].grain() })
	out := make([]streamRow, 0, len(rows))
	for _, s := range streams {
		out = append(out, byKey[s.StreamKey])
	}
	return out
}

// An applier stores parts within one transaction and knows which days they change.
type applier struct {
	ctx     context.Context
	tx      *sql.Tx
	person  Person
	streams map[walking.StreamKey]*streamRow
	order   []walking.StreamKey      // before anything is stored
	offsets map[int64]*offsetChanges // of streams that tell of travel
	home    homeClock

	days    []dayRange // changed, in no order
	known   msWindow   // a change in here adds nothing to days
	ends    dayRange   // the days of the ends of the last change
	between dayRange   // what daysBetween returns for them
	reach   time.Duration
}

type dayRange struct{ from, to walking.Day }

func newApplier(ctx context.Context, tx *sql.Tx, personID int64) (*applier, error) {
	p, err := person(ctx, tx, "id = ?", personID)
	if err != nil {
		return nil, err
	}
	rows, err := streamRows(ctx, tx, personID)
	if err != nil {
		return nil, err
	}
	a := &applier{
		ctx: ctx, tx: tx, person: p, streams: map[walking.StreamKey]*streamRow{}, offsets: map[int64]*offsetChanges{},
		home: homeClock{zone: p.Zones.Home()},
	}
	for _, r := range sortRows(rows, a.person.Preferred) {
		a.streams[r.StreamKey] = &r
		a.order = append(a.order, r.StreamKey)
	}
	return a, nil
}

// stream adds a stream, or takes over what is newly known of it. SyncedThrough moves forward only and never past now;
// one that is past now was told while the clock was ahead, and is overruled.
func (a *applier) stream(st walking.Stream, now time.Time) (*streamRow, error) {
	if st.SyncedThrough.After(now) {
		st.SyncedThrough = now
	}
	st.LastArrival = now
	s, ok := a.streams[st.StreamKey]
	if !ok {
		s = &streamRow{Stream: st, newest: neverMs, completeAt: neverMs}
		err := a.tx.QueryRowContext(a.ctx, `INSERT INTO stream (person_id, source, origin, device, delivery, reliable_offset,
			synced_through_ms, last_arrival_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
			a.person.ID, st.Source, st.Origin, st.Device, st.Delivery, st.ReliableOffset, nullTime(st.SyncedThrough),
			nullTime(st.LastArrival)).Scan(&s.id)
		a.streams[st.StreamKey] = s
		return s, err
	}
	if st.SyncedThrough.IsZero() || st.SyncedThrough.Before(s.SyncedThrough) && !s.SyncedThrough.After(now) {
		st.SyncedThrough = s.SyncedThrough
	}
	s.Stream = st
	return s, nil
}

// apply stores a part of a stream.
func (a *applier) apply(s *streamRow, p part) (Changes, error) {
	for _, r := range p.records {
		s.longestMs = max(s.longestMs, r.duration)
		s.newest = max(s.newest, r.start+r.duration)
	}
	for _, x := range p.sessions {
		s.longestMs = max(s.longestMs, x.end-x.start)
		s.newest = max(s.newest, x.end)
	}
	var changes Changes
	a.reach = 0
	for _, o := range a.streams {
		a.reach += walking.Reach(o.longest())
	}
	a.known = msWindow{}
	for _, f := range []func(*streamRow, part, *Changes) error{a.applyRecords, a.applySessions, a.applyUnworn} {
		if err := f(s, p, &changes); err != nil {
			return changes, err
		}
	}
	return changes, nil
}

func (a *applier) applyRecords(s *streamRow, p part, changes *Changes) error {
	var (
		added, replaced, removed []row

		next = p.records
	)
	changed := func(r row, sign int64) {
		a.changed(r.start, r.start+r.duration)
		if r.steps > 0 {
			s.records += sign
			s.totalMs += sign * r.duration
		}
	}
	add := func(r row) {
		added = append(added, r)
		changes.Added++
		changed(r, 1)
		a.offsetAdded(s, r)
	}
	err := query(a.ctx, a.tx, "SELECT start_ms, duration_ms, steps, offset_s FROM record "+
		"WHERE stream_id = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms, duration_ms",
		[]any{s.id, p.window.start, p.window.end}, func(scan func(...any) error) error {
			var old row
			if err := scan(&old.start, &old.duration, &old.steps, &old.offset); err != nil {
				return err
			}
			for len(next) > 0 && next[0].compare(old) < 0 {
				add(next[0])
				next = next[1:]
			}
			switch {
			case len(next) > 0 && next[0].compare(old) == 0:
				if next[0] == old || p.keepOld {
					changes.Unchanged++
				} else {
					changed(old, -1)
					changed(next[0], 1)
					a.offsetReplaced(s, old, next[0])
					replaced = append(replaced, next[0])
					changes.Replaced++
				}
				next = next[1:]
			case covered(p.covers, old.start):
				changed(old, -1)
				a.offsetReplaced(s, old, row{start: old.start})
				removed = append(removed, old)
				changes.Removed++
			}
			return nil
		})
	if err != nil {
		return err
	}
	for _, r := range next {
		add(r)
	}
	err = a.each("DELETE FROM record WHERE stream_id = ? AND start_ms = ? AND duration_ms = ?", removed,
		func(r row) []any { return []any{s.id, r.start, r.duration} })
	if err != nil {
		return err
	}
	err = a.each("UPDATE record SET steps = ?, offset_s = ? WHERE stream_id = ? AND start_ms = ? AND duration_ms = ?",
		replaced, func(r row) []any { return []any{r.steps, r.offset, s.id, r.start, r.duration} })
	if err != nil {
		return err
	}
	return a.insertRecords(s.id, added)
}

// each executes a statement for each of rows.
func (a *applier) each(statement string, rows []row, args func(row) []any) error {
	if len(rows) == 0 {
		return nil
	}
	stmt, err := a.tx.PrepareContext(a.ctx, statement)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, r := range rows {
		if _, err := stmt.ExecContext(a.ctx, args(r)...); err != nil {
			return err
		}
	}
	return nil
}

// rowsPerInsert is how many rows one statement inserts; from about 200 on a longer statement is not faster.
const rowsPerInsert = 200

// insertStatement inserts rows into record. Its parameters are the stream, then start, duration and steps of each row,
// and the offset if there are offsets: what is not bound costs nothing.
func insertStatement(verb string, rows int, offsets bool) string {
	var b strings.Builder
	b.WriteString(verb + " INTO record (stream_id, start_ms, duration_ms, steps, offset_s) VALUES ")
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		if offsets {
			b.WriteString("(?1,?,?,?,?)")
		} else {
			b.WriteString("(?1,?,?,?,NULL)")
		}
	}
	return b.String()
}

// rowArgs appends the parameters of rows to args.
func rowArgs(args []any, rows []row, offsets bool) []any {
	for _, r := range rows {
		args = append(args, r.start, r.duration, r.steps)
		if offsets {
			var offset any
			if r.offset.Valid {
				offset = int64(r.offset.Int32)
			}
			args = append(args, offset)
		}
	}
	return args
}

func hasOffset(r row) bool { return r.offset.Valid }

// insertRecords inserts rows whose spans are new to the stream.
func (a *applier) insertRecords(streamID int64, rows []row) error {
	offsets := slices.ContainsFunc(rows, hasOffset)
	args := make([]any, 0, 1+4*min(len(rows), rowsPerInsert))
	var full *sql.Stmt
	for len(rows) > 0 {
		n := min(len(rows), rowsPerInsert)
		args = rowArgs(append(args[:0], streamID), rows[:n], offsets)
		rows = rows[n:]
		if n < rowsPerInsert {
			_, err := a.tx.ExecContext(a.ctx, insertStatement("INSERT", n, offsets), args...)
			return err
		}
		if full == nil {
			var err error
			if full, err = a.tx.PrepareContext(a.ctx, insertStatement("INSERT", n, offsets)); err != nil {
				return err
			}
			defer full.Close()
		}
		if _, err := full.ExecContext(a.ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) applySessions(s *streamRow, p part, changes *Changes) error {
	stored := map[sessionRow]bool{}
	type key struct {
		start, end int64
		kind       walking.Kind
	}
	wanted := map[key]sessionRow{}
	for _, x := range p.sessions {
		wanted[key{x.start, x.end, x.kind}] = x
	}
	var remove []sessionRow
	err := query(a.ctx, a.tx, "SELECT start_ms, end_ms, kind, moving_ms, steps FROM session "+
		"WHERE stream_id = ? AND start_ms >= ? AND start_ms < ?",
		[]any{s.id, p.sessionWindow.start, p.sessionWindow.end}, func(scan func(...any) error) error {
			var old sessionRow
			if err := scan(&old.start, &old.end, &old.kind, &old.moving, &old.steps); err != nil {
				return err
			}
			x, ok := wanted[key{old.start, old.end, old.kind}]
			switch {
			case ok && (x == old || p.keepOld):
				stored[x] = true
				changes.Unchanged++
			case ok:
				changes.Replaced++
				changes.Added-- // counted again below
			case covered(p.sessionCovers, old.start):
				remove = append(remove, old)
				changes.Removed++
			}
			return nil
		})
	if err != nil {
		return err
	}
	for _, x := range remove {
		a.changed(x.start, x.end)
		if _, err := a.tx.ExecContext(a.ctx, "DELETE FROM session WHERE stream_id = ? AND start_ms = ? AND end_ms = ? "+
			"AND kind = ?", s.id, x.start, x.end, x.kind); err != nil {
			return err
		}
	}
	for _, x := range p.sessions {
		if stored[x] {
			continue
		}
		changes.Added++
		a.changed(x.start, x.end)
		if _, err := a.tx.ExecContext(a.ctx, "INSERT OR REPLACE INTO session "+
			"(stream_id, start_ms, end_ms, kind, moving_ms, steps) VALUES (?, ?, ?, ?, ?, ?)",
			s.id, x.start, x.end, x.kind, x.moving, x.steps); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) applyUnworn(s *streamRow, p part, _ *Changes) error {
	var stored []msWindow
	err := query(a.ctx, a.tx, "SELECT start_ms, end_ms FROM unworn WHERE stream_id = ? AND start_ms >= ? AND start_ms < ?",
		[]any{s.id, p.window.start, p.window.end}, func(scan func(...any) error) error {
			var old msWindow
			err := scan(&old.start, &old.end)
			stored = append(stored, old)
			return err
		})
	if err != nil {
		return err
	}
	for _, old := range stored {
		replaced := slices.ContainsFunc(p.unworn, func(u msWindow) bool { return u.start == old.start })
		if slices.Contains(p.unworn, old) || !replaced && !covered(p.covers, old.start) {
			continue
		}
		a.changed(old.start, old.end)
		if _, err := a.tx.ExecContext(a.ctx, "DELETE FROM unworn WHERE stream_id = ? AND start_ms = ?",
			s.id, old.start); err != nil {
			return err
		}
	}
	for _, u := range p.unworn {
		if slices.Contains(stored, u) {
			continue
		}
		a.changed(u.start, u.end)
		if _, err := a.tx.ExecContext(a.ctx, "INSERT INTO unworn (stream_id, start_ms, end_ms) VALUES (?, ?, ?)",
			s.id, u.start, u.end); err != nil {
			return err
		}
	}
	return nil
}

// changed notes that something changed between two instants, which can change every day within reach.
func (a *applier) changed(startMs, endMs int64) {
	if startMs >= a.known.start && endMs < a.known.end {
		return
	}
	z := a.person.Zones
	ends := dayRange{z.Day(time.UnixMilli(startMs).Add(-a.reach)), z.Day(time.UnixMilli(endMs).Add(a.reach))}
	if ends != a.ends {
		a.ends, a.between = ends, daysBetween(z, ends.from, ends.to)
	}
	d := a.between
	if n := len(a.days); n > 0 && d.from <= a.days[n-1].to+1 && d.to >= a.days[n-1].from-1 {
		a.days[n-1] = dayRange{min(d.from, a.days[n-1].from), max(d.to, a.days[n-1].to)}
	} else {
		a.days = append(a.days, d)
	}
	// Within one day of one zone everything else marks the same days.
	if spans := z.Spans(d.from); d.from == d.to && len(spans) == 1 {
		a.known = msWindow{spans[0].Start.Add(a.reach).UnixMilli(), spans[0].End.Add(-a.reach).UnixMilli()}
	}
}

// daysBetween returns the days that have instants between those of two days. These are the days between the two, and on
// journeys over the date line one or two beside them.
func daysBetween(z walking.Timeline, from, to walking.Day) dayRange {
	out := dayRange{min(from, to), max(from, to)}
	var all walking.Window
	for d := out.from; d <= out.to; d++ {
		for _, s := range z.Spans(d) {
			if all.Empty() {
				all = s
			}
			if s.Start.Before(all.Start) {
				all.Start = s.Start
			}
			if s.End.After(all.End) {
				all.End = s.End
			}
		}
	}
	for d := min(from, to) - 2; d <= max(from, to)+2; d++ {
		if slices.ContainsFunc(z.Spans(d), all.Overlaps) {
			out.from, out.to = min(out.from, d), max(out.to, d)
		}
	}
	return out
}

// finish stores what is known of the streams, reads journeys from them and marks the changed days.
func (a *applier) finish(now time.Time) error {
	rows := make([]streamRow, 0, len(a.streams))
	for _, s := range a.streams {
		if _, err := a.tx.ExecContext(a.ctx, `UPDATE stream SET device = ?, delivery = ?, reliable_offset = ?,
			synced_through_ms = ?, last_arrival_ms = ?, newest_ms = ?, complete_at_ms = ?, records = ?,
			total_ms = ?, longest_ms = ? WHERE id = ?`,
			s.Device, s.Delivery, s.ReliableOffset, nullTime(s.SyncedThrough), nullTime(s.LastArrival), nullMs(s.newest),
			nullMs(s.completeAt), s.records, s.totalMs, s.longestMs, s.id); err != nil {
			return err
		}
		rows = append(rows, *s)
	}
	var order []walking.StreamKey
	rows = sortRows(rows, a.person.Preferred)
	for _, r := range rows {
		if slices.Contains(a.order, r.StreamKey) {
			order = append(order, r.StreamKey)
		}
	}
	if !slices.Equal(order, a.order) {
		if err := invalidateAll(a.ctx, a.tx, a.person.ID); err != nil {
			return err
		}
	}
	if err := a.journeys(rows, now); err != nil {
		return err
	}
	if len(a.days) == 0 {
		return nil
	}
	var first sql.NullInt64
	err := a.tx.QueryRowContext(a.ctx, "SELECT min(day) FROM day WHERE person_id = ?", a.person.ID).Scan(&first)
	if err != nil {
		return err
	}
	earliest := slices.MinFunc(a.days, func(x, y dayRange) int { return cmp.Compare(x.from, y.from) }).from
	if first.Valid && earliest < walking.Day(first.Int64) {
		// The days between older data and the first derived day, also those without any, so that none of them is missing
		// should their derivation be broken off.
		a.days = append(a.days, dayRange{earliest, walking.Day(first.Int64) - 1})
	}
	for _, d := range a.days {
		if err := invalidate(a.ctx, a.tx, a.person.ID, d.from, d.to); err != nil {
			return err
		}
	}
	return nil
}
