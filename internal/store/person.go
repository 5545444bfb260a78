package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// DefaultQuiet are the quiet hours of a person who says nothing about them.
const DefaultQuiet = "21:30-08:00"

// A Person is somebody whose walking is kept.
type Person struct {
	ID        int64
	Name      string
	Limited   bool                // walking is too painful: no bands, no walking goal
	Preferred []walking.StreamKey // streams in the person's order; an empty origin stands for all of a source
	Estimator string              // what the derived days were made with
	Rebuild   bool                // the projection must be cleared before it goes on
	walking.Setting
}

// Settings is what a person's config says.
type Settings struct {
	Name      string
	Zone      *time.Location // home
	Target    float64        // minutes a day
	Limited   bool
	Quiet     walking.WallRange
	Preferred []walking.StreamKey
	Travel    []walking.ZoneChange
}

// Persons returns everybody in the store, by name.
func (r *Reader) Persons(ctx context.Context) ([]Person, error) {
	people, err := persons(ctx, r.q(), "")
	if err != nil {
		return nil, fmt.Errorf("store: read persons: %w", err)
	}
	return people, nil
}

// Person returns one person, or ErrNoPerson.
func (r *Reader) Person(ctx context.Context, name string) (Person, error) {
	p, err := person(ctx, r.q(), "name = ?", name)
	if err != nil {
		return Person{}, fmt.Errorf("store: read person %q: %w", name, err)
	}
	return p, nil
}

// PersonByID returns one person, or ErrNoPerson.
func (r *Reader) PersonByID(ctx context.Context, id int64) (Person, error) {
	p, err := person(ctx, r.q(), "id = ?", id)
	if err != nil {
		return Person{}, fmt.Errorf("store: read person %d: %w", id, err)
	}
	return p, nil
}

// Names returns the names of everybody in the store by id.
func (r *Reader) Names(ctx context.Context) (map[int64]string, error) {
	names := map[int64]string{}
	err := query(ctx, r.q(), "SELECT id, name FROM person", nil, func(scan func(...any) error) error {
		var (
			id   int64
			name string
		)
		err := scan(&id, &name)
		names[id] = name
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: read names: %w", err)
	}
	return names, nil
}

// queryer is what reading needs: a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// person returns the one person that the condition is true of, or ErrNoPerson.
func person(ctx context.Context, q queryer, where string, args ...any) (Person, error) {
	people, err := persons(ctx, q, where, args...)
	if err != nil {
		return Person{}, err
	}
	if len(people) != 1 {
		return Person{}, ErrNoPerson
	}
	return people[0], nil
}

// persons returns the people that the condition is true of, everybody if it is "", by name. How many queries that takes
// does not grow with how many people there are.
func persons(ctx context.Context, q queryer, where string, args ...any) ([]Person, error) {
	if where != "" {
		where = " WHERE " + where
	}
	var people []Person
	index := map[int64]int{}
	parseZone := zoneParser() // people of one place share its zone
	err := query(ctx, q, "SELECT id, name, zone, walking, quiet, preferred, estimator, rebuild FROM person"+where+
		" ORDER BY name", args,
		func(scan func(...any) error) error {
			var (
				p                             Person
				zone, walks, quiet, preferred string
			)
			if err := scan(&p.ID, &p.Name, &zone, &walks, &quiet, &preferred, &p.Estimator, &p.Rebuild); err != nil {
				return err
			}
			home, err := parseZone(zone)
			if err != nil {
				return fmt.Errorf("person %s: %w", p.Name, err)
			}
			p.Limited = walks == "limited"
			p.Zones = walking.NewTimeline(home)
			if p.Quiet, err = parseQuiet(quiet); err != nil {
				return err
			}
			index[p.ID] = len(people)
			people = append(people, p)
			return json.Unmarshal([]byte(preferred), &people[len(people)-1].Preferred)
		})
	if err != nil {
		return nil, err
	}
	theirs := " WHERE person_id IN (SELECT id FROM person" + where + ")"
	err = query(ctx, q, "SELECT person_id, from_day, minutes FROM target"+theirs+" ORDER BY from_day", args,
		func(scan func(...any) error) error {
			var (
				id int64
				t  walking.Target
			)
			if err := scan(&id, &t.From, &t.Minutes); err != nil {
				return err
			}
			p := &people[index[id]]
			p.Targets = append(p.Targets, t)
			return nil
		})
	if err != nil {
		return nil, err
	}
	travel := make([][]walking.ZoneChange, len(people))
	err = query(ctx, q, "SELECT person_id, from_ms, zone FROM travel"+theirs+" ORDER BY from_ms", args,
		func(scan func(...any) error) error {
			var (
				id, ms int64
				name   string
			)
			if err := scan(&id, &ms, &name); err != nil {
				return err
			}
			zone, err := parseZone(name)
			travel[index[id]] = append(travel[index[id]], walking.ZoneChange{From: time.UnixMilli(ms).UTC(), Zone: zone})
			return err
		})
	if err != nil {
		return nil, err
	}
	// After the entries: of two changes at one instant the journey holds.
	err = query(ctx, q, "SELECT person_id, from_ms, offset_s FROM journey"+theirs+" ORDER BY from_ms", args,
		func(scan func(...any) error) error {
			var (
				id int64
				j  journey
			)
			err := scan(&id, &j.from, &j.offset)
			travel[index[id]] = append(travel[index[id]], j.change(people[index[id]].Zones.Home()))
			return err
		})
	if err != nil {
		return nil, err
	}
	for i := range people {
		people[i].Zones = walking.NewTimeline(people[i].Zones.Home(), travel[i]...)
	}
	err = query(ctx, q, "SELECT person_id, day FROM not_worn"+theirs, args, func(scan func(...any) error) error {
		var (
			id int64
			d  walking.Day
		)
		if err := scan(&id, &d); err != nil {
			return err
		}
		p := &people[index[id]]
		p.NotWorn = append(p.NotWorn, d)
		return nil
	})
	return people, err
}

// zoneParser returns walking.ParseZone that reads each zone once: reading one takes longer than all else of a person.
func zoneParser() func(name string) (*time.Location, error) {
	zones := map[string]*time.Location{}
	return func(name string) (*time.Location, error) {
		if z := zones[name]; z != nil {
			return z, nil
		}
		z, err := walking.ParseZone(name)
		if err == nil {
			zones[name] = z
		}
		return z, err
	}
}

func parseQuiet(s string) (walking.WallRange, error) {
	from, to, _ := strings.Cut(s, "-")
	f, err1 := walking.ParseWallTime(from)
	t, err2 := walking.ParseWallTime(to)
	return walking.WallRange{From: f, To: t}, errors.Join(err1, err2)
}

// query runs a query and calls row for each row of the answer.
func query(ctx context.Context, q queryer, sql string, args []any,
	row func(scan func(...any) error) error,
) (err error) {
	defer func() { err = readable(FileName, err) }()
	rows, err := q.QueryContext(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// EnsurePerson adds a person if there is none of that name. The zone of one who is there stays as it is.
func (s *Store) EnsurePerson(ctx context.Context, name string, home *time.Location) (Person, error) {
	err := s.write(ctx, "add a person", func(tx *sql.Tx) error {
		return ensurePerson(ctx, tx, name, home)
	})
	if err != nil {
		return Person{}, err
	}
	return s.Person(ctx, name)
}

func ensurePerson(ctx context.Context, tx *sql.Tx, name string, home *time.Location) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO person (name, zone, estimator) VALUES (?, ?, ?) "+
		"ON CONFLICT (name) DO NOTHING", name, home.String(), walking.Estimator)
	return err
}

// Configure brings the people in the store in line with the config, and marks the days as stale that a changed setting
// changes. A changed target holds from today on; while the clock is wrong, today is the day of the newest data. People
// who are not in the config stay as they are. A new estimator makes all days of everybody stale.
func (s *Store) Configure(ctx context.Context, settings []Settings, now time.Time) error {
	return s.write(ctx, "apply the config", func(tx *sql.Tx) error {
		newest, err := newestInstant(ctx, tx)
		if err != nil {
			return err
		}
		if now.Before(newest) {
			now = newest // else a target of 1970 would hold for all that has been since
		}
		for _, set := range settings {
			if err := configure(ctx, tx, set, now); err != nil {
				return fmt.Errorf("person %s: %w", set.Name, err)
			}
		}
		people, err := persons(ctx, tx, "")
		if err != nil {
			return err
		}
		for _, p := range people {
			if p.Estimator == walking.Estimator {
				continue
			}
			if err := invalidateAll(ctx, tx, p.ID); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE person SET estimator = ? WHERE id = ?",
				walking.Estimator, p.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func configure(ctx context.Context, tx *sql.Tx, set Settings, now time.Time) error {
	if err := ensurePerson(ctx, tx, set.Name, set.Zone); err != nil {
		return err
	}
	p, err := person(ctx, tx, "name = ?", set.Name)
	if err != nil {
		return err
	}
	if err := setTarget(ctx, tx, p, set.Target, p.Zones.Day(now)); err != nil {
		return err
	}
	preferred, err := json.Marshal(append([]walking.StreamKey{}, set.Preferred...))
	if err != nil {
		return err
	}
	walks := "normal"
	if set.Limited {
		walks = "limited"
	}
	moved, err := daysMoved(ctx, tx, p, set.Zone)
	if err != nil {
		return err
	}
	entered, err := entries(ctx, tx, p.ID)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE person SET zone = ?, walking = ?, quiet = ?, preferred = ?, "+
		"rebuild = rebuild OR ? WHERE id = ?",
		set.Zone.String(), walks, set.Quiet.String(), string(preferred), moved, p.ID); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM travel WHERE person_id = ?", p.ID); err != nil {
		return err
	}
	for _, t := range set.Travel {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO travel (person_id, from_ms, zone) VALUES (?, ?, ?)",
			p.ID, t.From.UnixMilli(), t.Zone.String()); err != nil {
			return err
		}
	}
	if err := reviseJourneys(ctx, tx, p, set, entered); err != nil {
		return err
	}
	after, err := person(ctx, tx, "id = ?", p.ID)
	if err != nil {
		return err
	}
	if !after.Zones.Equal(p.Zones) || !slices.Equal(p.Preferred, set.Preferred) || p.Quiet != set.Quiet {
		return invalidateAll(ctx, tx, p.ID)
	}
	return nil
}

// setTarget puts a target in force from today on, or from ever if the person has none yet. One that is to come was set
// while the clock was ahead, and is dropped.
func setTarget(ctx context.Context, tx *sql.Tx, p Person, minutes float64, today walking.Day) error {
	res, err := tx.ExecContext(ctx, "DELETE FROM target WHERE person_id = ? AND from_day > ?", p.ID, today)
	if err != nil {
		return err
	}
	dropped, err := res.RowsAffected()
	if err != nil {
		return err
	}
	from, known := today, len(p.Targets) > 0
	if !known {
		from = walking.DayOf(1900, time.January, 1)
	}
	before := walking.TargetOn(p.Targets, today)
	if before != minutes || !known {
		if _, err := tx.ExecContext(ctx, "INSERT INTO target (person_id, from_day, minutes) VALUES (?, ?, ?) "+
			"ON CONFLICT DO UPDATE SET minutes = excluded.minutes", p.ID, from, minutes); err != nil {
			return err
		}
	}
	if before == minutes && dropped == 0 {
		return nil
	}
	return invalidateFrom(ctx, tx, p.ID, from)
}

// daysMoved reports whether days that are in the projection begin at other instants with another home zone. A zone can
// change its name only, as Asia/Calcutta did.
func daysMoved(ctx context.Context, tx *sql.Tx, p Person, home *time.Location) (bool, error) {
	if p.Zones.Home().String() == home.String() {
		return false, nil
	}
	moved := false
	err := query(ctx, tx, "SELECT DISTINCT day FROM projected WHERE person_id = ?", []any{p.ID},
		func(scan func(...any) error) error {
			var d walking.Day
			err := scan(&d)
			moved = moved || !d.In(home).Equal(d.In(p.Zones.Home()))
			return err
		})
	return moved, err
}

// SetNotWorn marks a day as one on which nothing was worn, so that it does not count, or takes the mark away.
func (s *Store) SetNotWorn(ctx context.Context, personID int64, d walking.Day, notWorn bool) error {
	return s.write(ctx, "mark a day", func(tx *sql.Tx) error {
		q := "INSERT OR IGNORE INTO not_worn (person_id, day) VALUES (?, ?)"
		if !notWorn {
			q = "DELETE FROM not_worn WHERE person_id = ? AND day = ?"
		}
		if _, err := tx.ExecContext(ctx, q, personID, d); err != nil {
			return err
		}
		return invalidate(ctx, tx, personID, d, d)
	})
}

// invalidate marks the days from … to, inclusive, and the six after them as stale, in the transaction of what changed
// them. Their weeks and months are projected with them.
func invalidate(ctx context.Context, tx *sql.Tx, personID int64, from, to walking.Day) error {
	_, err := tx.ExecContext(ctx, `WITH RECURSIVE d(x) AS (VALUES (?2) UNION ALL SELECT x + 1 FROM d WHERE x < ?3)
		INSERT INTO stale (person_id, day, revision) SELECT ?1, x, 1 FROM d WHERE true
		ON CONFLICT DO UPDATE SET revision = revision + 1`, personID, from, to+6)
	return err
}

// invalidateFrom marks all derived days from a day on as stale, and those that are marked already once more: somebody
// may be deriving them for the first time.
func invalidateFrom(ctx context.Context, tx *sql.Tx, personID int64, from walking.Day) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO stale (person_id, day, revision)
		SELECT ?1, day, 1 FROM (SELECT day FROM day WHERE person_id = ?1 UNION SELECT day FROM stale WHERE person_id = ?1)
		WHERE day >= ?2 ON CONFLICT DO UPDATE SET revision = revision + 1`, personID, from)
	return err
}

func invalidateAll(ctx context.Context, tx *sql.Tx, personID int64) error {
	return invalidateFrom(ctx, tx, personID, -1<<31)
}
