package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// The zones of a person are those that the person entered and the journeys that the offsets of one stream tell: the first
// in the person's order that is marked as reliable and has records. What walking.Travel makes of all offsets of that
// stream is kept as journeys, and only as much of it is read again as a change of the offsets can have changed.

// A journey is a move to a UTC offset.
type journey struct {
	from   int64         // unix milliseconds
	offset sql.NullInt64 // seconds east of UTC; home again if there is none
}

func (j journey) change(home *time.Location) walking.ZoneChange {
	c := walking.ZoneChange{From: time.UnixMilli(j.from).UTC(), Zone: home}
	if j.offset.Valid {
		c.Zone = walking.FixedZone(int(j.offset.Int64))
	}
	return c
}

func toJourney(c walking.ZoneChange, home *time.Location) journey {
	j := journey{from: c.From.UnixMilli()}
	if c.Zone != home {
		_, offset := c.From.In(c.Zone).Zone()
		j.offset = sql.NullInt64{Int64: int64(offset), Valid: true}
	}
	return j
}

// before returns those of journeys, which are in order, that begin before an instant.
func before(journeys []journey, ms int64) []journey {
	i := slices.IndexFunc(journeys, func(j journey) bool { return j.from >= ms })
	if i < 0 {
		return journeys
	}
	return journeys[:i]
}

func zoneChanges(journeys []journey, home *time.Location) []walking.ZoneChange {
	out := make([]walking.ZoneChange, 0, len(journeys))
	for _, j := range journeys {
		out = append(out, j.change(home))
	}
	return out
}

// offsetChanges is where the offsets of a stream have changed.
type offsetChanges struct {
	spans []msWindow // of the starts of the records
	// strange says that there is more than new records with the offset of home: these alone take nobody anywhere.
	strange bool
}

// farApart is by how much two changes of offsets are apart that are looked at one by one.
const farApart = int64(24 * time.Hour / time.Millisecond)

func (c *offsetChanges) add(ms int64) {
	if n := len(c.spans); n > 0 && ms >= c.spans[n-1].start-farApart && ms < c.spans[n-1].end+farApart {
		c.spans[n-1] = c.spans[n-1].reach(ms, ms+1)
		return
	}
	c.spans = append(c.spans, msWindow{ms, ms + 1})
}

// A homeClock knows the offset of the home zone, which is asked for once a record.
type homeClock struct {
	zone   *time.Location
	known  msWindow // where the offset is that
	offset int32
}

func (h *homeClock) offsetAt(ms int64) int32 {
	if !h.known.contains(ms) {
		t := time.UnixMilli(ms).In(h.zone)
		_, offset := t.Zone()
		from, to := t.ZoneBounds()
		h.known, h.offset = msWindow{math.MinInt64, math.MaxInt64}, int32(offset)
		if !from.IsZero() {
			h.known.start = from.UnixMilli()
		}
		if !to.IsZero() {
			h.known.end = to.UnixMilli()
		}
	}
	return h.offset
}

// offsetAdded notes that a record comes to a stream.
func (a *applier) offsetAdded(s *streamRow, r row) {
	if !s.ReliableOffset || !r.offset.Valid {
		return
	}
	c := a.offsetsOf(s)
	c.add(r.start)
	c.strange = c.strange || r.offset.Int32 != a.home.offsetAt(r.start)
}

// offsetReplaced notes that a record of a stream becomes another, or one without an offset if it goes.
func (a *applier) offsetReplaced(s *streamRow, old, r row) {
	if !s.ReliableOffset || old.offset == r.offset {
		return
	}
	c := a.offsetsOf(s)
	c.add(r.start)
	c.strange = true
}

func (a *applier) offsetsOf(s *streamRow) *offsetChanges {
	c := a.offsets[s.id]
	if c == nil {
		c = &offsetChanges{}
		a.offsets[s.id] = c
	}
	return c
}

// journeys brings the person's journeys in line with the streams, which are in the person's order, and notes the days
// that they change.
func (a *applier) journeys(rows []streamRow, now time.Time) error {
	j := traveling{ctx: a.ctx, tx: a.tx, personID: a.person.ID, home: a.person.Zones.Home()}
	changed, err := j.update(rows, a.offsets, false)
	if err != nil || !changed {
		return err
	}
	zones := a.person.Zones
	a.person.Zones = walking.NewTimeline(j.home, append(slices.Clone(j.entries), zoneChanges(j.journeys, j.home)...)...)
	w, changed := zones.Differs(a.person.Zones)
	if !changed {
		return nil
	}
	days := func(t time.Time) dayRange {
		x, y := zones.Day(t), a.person.Zones.Day(t)
		return dayRange{min(x, y) - zoneMargin, max(x, y) + zoneMargin}
	}
	from, to := days(w.Start), days(now)
	if !w.End.IsZero() {
		to = days(w.End)
	} else {
		for _, r := range rows {
			if r.newest != neverMs {
				to.to = max(to.to, days(time.UnixMilli(r.newest)).to)
			}
		}
		// A clock that was ahead can have made days that are yet to come.
		if err := invalidateFrom(a.ctx, a.tx, a.person.ID, from.from); err != nil {
			return err
		}
	}
	a.days = append(a.days, dayRange{from.from, to.to})
	return nil
}

// zoneMargin is how many days before and after a change of the zone can change with it: a night, with its quiet hours,
// belongs to two days.
const zoneMargin = 2

// reviseJourneys brings the journeys of p in line with new settings, which are stored already; entered are the entries
// from before.
func reviseJourneys(ctx context.Context, tx *sql.Tx, p Person, set Settings, entered []walking.ZoneChange) error {
	rows, err := streamRows(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	now, err := entries(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	same := slices.EqualFunc(entered, now, func(x, y walking.ZoneChange) bool {
		return x.From.Equal(y.From) && x.Zone.String() == y.Zone.String()
	})
	j := traveling{ctx: ctx, tx: tx, personID: p.ID, home: set.Zone}
	_, err = j.update(sortRows(rows, set.Preferred), nil, !same || set.Zone.String() != p.Zones.Home().String())
	return err
}

// entries returns the zones that a person entered, in order.
func entries(ctx context.Context, q queryer, personID int64) ([]walking.ZoneChange, error) {
	var out []walking.ZoneChange
	err := query(ctx, q, "SELECT from_ms, zone FROM travel WHERE person_id = ? ORDER BY from_ms", []any{personID},
		func(scan func(...any) error) error {
			var (
				ms   int64
				name string
			)
			if err := scan(&ms, &name); err != nil {
				return err
			}
			zone, err := walking.ParseZone(name)
			out = append(out, walking.ZoneChange{From: time.UnixMilli(ms).UTC(), Zone: zone})
			return err
		})
	return out, err
}

// traveling is the work on a person's journeys in one transaction.
type traveling struct {
	ctx      context.Context
	tx       *sql.Tx
	personID int64
	home     *time.Location
	entries  []walking.ZoneChange
	journeys []journey
}

// update brings the journeys in line with the streams, which are in the person's order, and reports whether they have
// changed. Without all, and if they are read from the same stream as before, they are read again only where its offsets
// have changed.
func (t *traveling) update(rows []streamRow, changes map[int64]*offsetChanges, all bool) (changed bool, err error) {
	chosen, err := t.choose(rows)
	if err != nil {
		return false, err
	}
	for _, r := range rows {
		if tells := r.id == chosen; tells != r.journeys {
			all = true
			if _, err := t.tx.ExecContext(t.ctx, "UPDATE stream SET tells_journeys = ? WHERE id = ?", tells, r.id); err != nil {
				return false, err
			}
		}
	}
	c := changes[chosen]
	if !all && c == nil {
		return false, nil
	}
	err = query(t.ctx, t.tx, "SELECT from_ms, offset_s FROM journey WHERE person_id = ? ORDER BY from_ms",
		[]any{t.personID}, func(scan func(...any) error) error {
			var j journey
			err := scan(&j.from, &j.offset)
			t.journeys = append(t.journeys, j)
			return err
		})
	if err != nil || !all && !c.strange && len(t.journeys) == 0 {
		return false, err
	}
	if t.entries, err = entries(t.ctx, t.tx, t.personID); err != nil {
		return false, err
	}
	old := t.journeys
	switch {
	case chosen == 0:
		t.journeys = nil
	case all:
		t.journeys = nil
		_, err = t.follow(chosen, []msWindow{{math.MinInt64, math.MaxInt64}}, true)
	default:
		for spans := c.spans; err == nil && len(spans) > 0; {
			spans, err = t.follow(chosen, spans, c.strange)
		}
	}
	if err != nil || slices.Equal(old, t.journeys) {
		return false, err
	}
	return true, t.store(old)
}

// choose returns the stream that tells of travel, 0 if none does.
func (t *traveling) choose(rows []streamRow) (id int64, err error) {
	for _, r := range rows {
		if !r.ReliableOffset {
			continue
		}
		var has bool
		if err := t.tx.QueryRowContext(t.ctx, "SELECT EXISTS (SELECT 1 FROM record WHERE stream_id = ?)", r.id).
			Scan(&has); err != nil || has {
			return r.id, err
		}
	}
	return 0, nil
}

// errFollowed ends a query.
var errFollowed = errors.New("followed")

// follow reads journeys from the offsets of a stream that have changed in the first of spans, which are in order, and from
// those after it until they lead to what is known already. It returns the spans that it has not come to.
func (t *traveling) follow(streamID int64, spans []msWindow, strange bool) (rest []msWindow, err error) {
	// What is in force just before is told by the journeys from before, and by the last offset before.
	var last sql.NullInt64
	err = t.tx.QueryRowContext(t.ctx, "SELECT start_ms FROM record WHERE stream_id = ? AND start_ms < ? "+
		"AND offset_s IS NOT NULL ORDER BY start_ms DESC LIMIT 1", streamID, spans[0].start).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	from := spans[0].start
	if last.Valid {
		from = last.Int64
	}
	old := t.journeys
	told := slices.Clone(before(old, from))
	traveler := walking.NewTraveler(t.home, t.entries)
	traveler.Resume(zoneChanges(told, t.home), time.UnixMilli(from))
	if !strange && !traveler.Away() && len(told) == len(old) {
		return spans[1:], nil
	}
	var (
		known = walking.NewTraveler(t.home, t.entries)
		here  []walking.OffsetAt // the offsets of one instant
		end   = spans[0].end     // of the changes so far
	)
	spans = spans[1:]
	err = query(t.ctx, t.tx, "SELECT start_ms, offset_s FROM record WHERE stream_id = ? AND start_ms >= ? "+
		"AND offset_s IS NOT NULL ORDER BY start_ms, duration_ms", []any{streamID, from},
		func(scan func(...any) error) error {
			var ms, offset int64
			if err := scan(&ms, &offset); err != nil {
				return err
			}
			if n := len(here); n > 0 && here[0].At.UnixMilli() != ms {
				if at := here[0].At.UnixMilli(); at >= end && t.met(traveler, known, old, told, here) {
					told = append(told, old[len(before(old, at)):]...)
					return errFollowed
				}
				here = here[:0]
			}
			for ; len(spans) > 0 && spans[0].start <= ms; spans = spans[1:] {
				end = spans[0].end
			}
			here = append(here, walking.OffsetAt{At: time.UnixMilli(ms), Offset: int(offset)})
			if c, ok := traveler.Next(here[len(here)-1]); ok {
				j := toJourney(c, t.home)
				if n := len(told); n > 0 && told[n-1].from == j.from {
					told = told[:n-1] // of two changes at one instant the later holds
				}
				told = append(told, j)
			}
			return nil
		})
	if errors.Is(err, errFollowed) {
		err = nil
	} else {
		spans = nil
	}
	t.journeys = told
	return spans, err
}

// met reports whether traveler, who has just been told the offsets of here and has found the journeys told, is where the
// old journeys lead to, so that the rest of them holds.
func (t *traveling) met(traveler, known *walking.Traveler, old, told []journey, here []walking.OffsetAt) bool {
	at := here[0].At.UnixMilli()
	if n := len(told); n > 0 && told[n-1].from >= at {
		return false
	}
	earlier := before(old, at)
	if n := len(earlier); n < len(old) && old[n].from == at {
		return false
	}
	known.Resume(zoneChanges(earlier, t.home), here[0].At)
	for _, o := range here {
		if _, ok := known.Next(o); ok {
			return false
		}
	}
	return traveler.Equal(known)
}

// store replaces the old journeys.
func (t *traveling) store(old []journey) error {
	for _, j := range old {
		if slices.Contains(t.journeys, j) {
			continue
		}
		if _, err := t.tx.ExecContext(t.ctx, "DELETE FROM journey WHERE person_id = ? AND from_ms = ?",
			t.personID, j.from); err != nil {
			return err
		}
	}
	for _, j := range t.journeys {
		if slices.Contains(old, j) {
			continue
		}
		if _, err := t.tx.ExecContext(t.ctx, "INSERT OR REPLACE INTO journey (person_id, from_ms, offset_s) VALUES (?, ?, ?)",
			t.personID, j.from, j.offset); err != nil {
			return err
		}
	}
	return nil
}
