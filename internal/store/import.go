package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// An Import takes in a file: everything is laid aside first and stored only if the whole file is sound. It is the
// ingest.Sink of one decoding. Close it in any case.
type Import struct {
	store *Store
	ctx   context.Context // an Import is one call's work, spread over the methods of a Sink
	opts  ImportOptions
	path  string
	db    *sql.DB
	tx    *sql.Tx
	whole map[bool]*sql.Stmt // inserts whole groups of rows, with or without offsets
	args  []any

	streams map[stagedKey]*stagedStream
	order   []*stagedStream
	result  ImportResult
	bad     []ingest.BadRow
}

// ImportOptions are the options of an Import.
type ImportOptions struct {
	Person  string         // the person that the file is for, where it names none itself
	Source  string         // what the person calls the source, if not by the name of the format
	Zone    *time.Location // home zone of people who are not in the store yet
	SkipBad bool           // leave broken rows out instead of refusing the file
	// Progress, if not nil, is called now and then with the number of records read, or stored once storing began.
	Progress func(read, stored int)
}

// An ImportResult tells what an import did.
type ImportResult struct {
	Read    int // records and sessions in the file
	Skipped int // broken rows left out
	Dropped map[string]int
	Changes
	Persons []string
	Streams []string // "person: stream" for each, in the order of the file
	// From and To are the first and last instant of the data, zero if there is none.
	From, To time.Time
}

// A BadRowsError says that a file has broken rows and was therefore not imported.
type BadRowsError struct {
	Rows  []ingest.BadRow // the first of them
	Count int             // how many there are
}

// Error lists the first broken rows and says how to go on.
func (e *BadRowsError) Error() string {
	var b strings.Builder
	for _, r := range e.Rows {
		b.WriteString(r.Error())
		b.WriteByte('\n')
	}
	if n := e.Count - len(e.Rows); n > 0 {
		fmt.Fprintf(&b, "… and %d more\n", n)
	}
	rows := "1 broken row"
	if e.Count != 1 {
		rows = fmt.Sprintf("%d broken rows", e.Count)
	}
	fmt.Fprintf(&b, "%s: nothing was imported. Mend the file, or leave broken rows out with --skip-bad", rows)
	return b.String()
}

// badRowsKept is how many broken rows are reported in full.
const badRowsKept = 20

type stagedKey struct {
	person string
	walking.StreamKey
}

type stagedStream struct {
	stagedKey
	id       int64
	about    walking.Stream
	covers   []msWindow
	sessions []sessionRow
	group    []row // not laid aside yet
}

const stagingPrefix = "import-"

// removeStaging removes what an import that was killed has left.
func removeStaging(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, stagingPrefix+"*.tmp*"))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("store: remove what a broken import left: %w", err)
		}
	}
	return nil
}

// NewImport begins an import.
func (s *Store) NewImport(ctx context.Context, opts ImportOptions) (_ *Import, err error) {
	f, err := os.CreateTemp(s.dir, stagingPrefix+"*.tmp")
	if err != nil {
		return nil, fmt.Errorf("store: begin an import: %w", err)
	}
	im := &Import{
		store: s, ctx: ctx, opts: opts, path: f.Name(), streams: map[stagedKey]*stagedStream{}, whole: map[bool]*sql.Stmt{},
	}
	im.result.Dropped = map[string]int{}
	defer func() {
		if err != nil {
			err = errors.Join(err, im.Close())
		}
	}()
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("store: begin an import: %w", err)
	}
	// What is laid aside need not survive a crash: the file is still there to be imported again.
	if im.db, err = openDB(im.path, "_pragma=journal_mode(OFF)", "_pragma=synchronous(OFF)", "_pragma=cache_size(-2000)",
		"_pragma=locking_mode(EXCLUSIVE)"); err != nil {
		return nil, err
	}
	im.db.SetMaxOpenConns(1)
	if im.tx, err = im.db.BeginTx(ctx, nil); err != nil {
		return nil, im.failed(err)
	}
	if _, err = im.tx.ExecContext(ctx, `CREATE TABLE record (stream_id INTEGER, start_ms INTEGER, duration_ms INTEGER,
		steps REAL, offset_s INTEGER, PRIMARY KEY (stream_id, start_ms, duration_ms)) WITHOUT ROWID`); err != nil {
		return nil, im.failed(err)
	}
	return im, nil
}

// stage is how rows are laid aside: of two records of one span the later wins.
const stage = "INSERT OR REPLACE"

// flush lays a stream's group of rows aside.
func (im *Import) flush(s *stagedStream) error {
	if len(s.group) == 0 {
		return nil
	}
	offsets := slices.ContainsFunc(s.group, hasOffset)
	im.args = rowArgs(append(im.args[:0], s.id), s.group, offsets)
	n := len(s.group)
	s.group = s.group[:0]
	if n < rowsPerInsert {
		_, err := im.tx.ExecContext(im.ctx, insertStatement(stage, n, offsets), im.args...)
		return im.failed(err)
	}
	if im.whole[offsets] == nil {
		//nolint:sqlclosecheck // closed by Close
		stmt, err := im.tx.PrepareContext(im.ctx, insertStatement(stage, n, offsets))
		if err != nil {
			return im.failed(err)
		}
		im.whole[offsets] = stmt
	}
	_, err := im.whole[offsets].ExecContext(im.ctx, im.args...)
	return im.failed(err)
}

func (im *Import) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: import: %w", readable(im.path, err))
}

// Close drops what was laid aside.
func (im *Import) Close() error {
	var errs []error
	for _, stmt := range im.whole {
		errs = append(errs, stmt.Close())
	}
	if im.tx != nil {
		errs = append(errs, ignoreDone(im.tx.Rollback()))
	}
	if im.db != nil {
		errs = append(errs, im.db.Close())
	}
	if err := os.Remove(im.path); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (im *Import) get(person string, k walking.StreamKey) *stagedStream {
	if person == "" {
		person = im.opts.Person
	}
	if im.opts.Source != "" {
		k.Source = im.opts.Source
	}
	key := stagedKey{person, k}
	s := im.streams[key]
	if s == nil {
		s = &stagedStream{
			stagedKey: key, id: int64(len(im.order) + 1),
			about: walking.Stream{StreamKey: k, Device: walking.UnknownDevice, Delivery: walking.Filed},
		}
		im.streams[key] = s
		im.order = append(im.order, s)
	}
	return s
}

// Stream implements ingest.Sink.
func (im *Import) Stream(person string, st walking.Stream) error {
	s := im.get(person, st.StreamKey)
	st.StreamKey = s.StreamKey
	s.about = st
	return nil
}

// Record implements ingest.Sink.
func (im *Import) Record(person string, k walking.StreamKey, r walking.Record) error {
	s := im.get(person, k)
	x := toRow(r)
	im.count(r.Start, r.End())
	s.group = append(s.group, x)
	if len(s.group) < rowsPerInsert {
		return nil
	}
	return im.flush(s)
}

// Session implements ingest.Sink.
func (im *Import) Session(person string, k walking.StreamKey, x walking.Session) error {
	s := im.get(person, k)
	s.sessions = append(s.sessions, toSessionRow(x))
	im.count(x.Start, x.End)
	return nil
}

func (im *Import) count(start, end time.Time) {
	im.result.Read++
	if im.result.From.IsZero() || start.Before(im.result.From) {
		im.result.From = start
	}
	if end.After(im.result.To) {
		im.result.To = end
	}
	if im.opts.Progress != nil && im.result.Read%1024 == 0 {
		im.opts.Progress(im.result.Read, 0)
	}
}

// Covers implements ingest.Sink.
func (im *Import) Covers(person string, k walking.StreamKey, w walking.Window) error {
	s := im.get(person, k)
	s.covers = append(s.covers, windowMs(w))
	return nil
}

// Bad implements ingest.Sink.
func (im *Import) Bad(b ingest.BadRow) error {
	im.result.Skipped++
	if len(im.bad) < badRowsKept {
		im.bad = append(im.bad, b)
	}
	return nil
}

// Dropped implements ingest.Sink.
func (im *Import) Dropped(reason string, n int) { im.result.Dropped[reason] += n }

// chunkRows is how many records one transaction of an import stores.
const chunkRows = 20000

// Commit stores what was laid aside, in transactions of bounded size, each with the marks on the days that it changes.
// A *BadRowsError says that nothing was stored because rows are broken. After any other error, or a crash, part of the
// file may be stored; importing it again completes it.
func (im *Import) Commit(now time.Time) (ImportResult, error) {
	if len(im.bad) > 0 && !im.opts.SkipBad {
		return im.result, &BadRowsError{Rows: im.bad, Count: im.result.Skipped}
	}
	for _, s := range im.order {
		if err := im.flush(s); err != nil {
			return im.result, err
		}
	}
	if err := im.tx.Commit(); err != nil {
		return im.result, im.failed(err)
	}
	im.tx = nil
	for _, s := range im.order {
		if !slices.Contains(im.result.Persons, s.person) {
			im.result.Persons = append(im.result.Persons, s.person)
		}
		im.result.Streams = append(im.result.Streams, s.person+": "+s.StreamKey.String())
	}
	stored := 0
	for _, s := range im.order {
		p, err := im.store.EnsurePerson(im.ctx, s.person, im.opts.Zone)
		if err != nil {
			return im.result, err
		}
		if err := im.commitStream(p.ID, s, now, &stored); err != nil {
			return im.result, err
		}
	}
	return im.result, nil
}

func (im *Import) commitStream(personID int64, s *stagedStream, now time.Time, stored *int) error {
	completeAt := int64(neverMs)
	for _, c := range s.covers {
		if c.start <= 0 { // from ever: a full export, made at the end of it
			completeAt = max(completeAt, c.end)
		}
	}
	s.sessions = sortUnique(s.sessions, sessionRow.compare)
	// The chunks tile all time, so that every stored record that is covered meets what the file has there.
	rows, from := []row{}, int64(math.MinInt64)
	for last := false; !last; {
		var err error
		if rows, err = im.chunk(s.id, rows); err != nil {
			return err
		}
		to := int64(math.MaxInt64)
		if last = len(rows) <= chunkRows; !last {
			to = rows[chunkRows].start
			rows = rows[:slices.IndexFunc(rows, func(r row) bool { return r.start == to })]
			if len(rows) == 0 {
				return fmt.Errorf("store: import: more than %d records of %s start at one instant", chunkRows, s.StreamKey)
			}
		}
		chunk := msWindow{from, to}
		p := part{window: chunk, covers: s.covers, records: rows, sessionWindow: chunk, sessionCovers: s.covers}
		for _, x := range s.sessions {
			if chunk.contains(x.start) {
				p.sessions = append(p.sessions, x)
			}
		}
		err = im.store.write(im.ctx, "import", func(tx *sql.Tx) error {
			a, err := newApplier(im.ctx, tx, personID)
			if err != nil {
				return err
			}
			about := s.about
			if !last {
				about.SyncedThrough = time.Time{} // not before everything is in
			}
			st, err := a.stream(about, now)
			if err != nil {
				return err
			}
			if p.keepOld = completeAt != neverMs && completeAt < st.completeAt; p.keepOld {
				p.covers, p.sessionCovers = nil, nil // an older export than one that was imported: it can only add
			}
			if last && completeAt > st.completeAt {
				st.completeAt = completeAt
			}
			c, err := a.apply(st, p)
			if err != nil {
				return err
			}
			im.result.add(c)
			return a.finish(now)
		})
		if err != nil {
			return err
		}
		*stored += len(rows) + len(p.sessions)
		if im.opts.Progress != nil {
			im.opts.Progress(im.result.Read, *stored)
		}
		from = to
	}
	return nil
}

// chunk returns the records after the given ones, one more than a chunk holds if there are as many.
func (im *Import) chunk(streamID int64, before []row) ([]row, error) {
	after := row{start: math.MinInt64}
	if len(before) > 0 {
		after = before[len(before)-1]
	}
	rows := before[:0] // read no more
	conn, err := im.db.Conn(im.ctx)
	if err != nil {
		return nil, im.failed(err)
	}
	defer conn.Close()
	err = eachRow(im.ctx, conn, "SELECT start_ms, duration_ms, steps, offset_s FROM record "+
		"WHERE stream_id = ? AND (start_ms, duration_ms) > (?, ?) ORDER BY start_ms, duration_ms LIMIT ?",
		[]int64{streamID, after.start, after.duration, chunkRows + 1}, func(x row) { rows = append(rows, x) })
	return rows, im.failed(err)
}

// Read returns how many records and sessions have been taken in.
func (im *Import) Read() int { return im.result.Read }
