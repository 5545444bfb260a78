// Package store keeps everything walkd knows in one SQLite file: what the sources said, who the people are, the days
// derived from it, and what is still to be derived and projected. The raw records are the truth; derived days are a
// cache.
//
// Exactly one process at a time writes: Open takes a lock on the data folder. Others read through OpenReader.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite" // also the driver
)

// FileName is the name of the database in the data folder.
const FileName = "walkd.db"

// applicationID marks a SQLite file as walkd's: "walk" in ASCII.
const applicationID = 0x77616c6b

//go:embed migrations/*.sql
var migrations embed.FS

// A Reader reads a store. Its methods may be used by several goroutines at once.
type Reader struct {
	db   *sql.DB
	conn *sql.Conn // inside of Snapshot
	path string
}

// Snapshot calls f with a Reader that sees one state of the store, whatever is written meanwhile. It must not outlive
// f, and only one goroutine at a time may use it.
func (r *Reader) Snapshot(ctx context.Context, f func(*Reader) error) (err error) {
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", readable(r.path, err))
	}
	defer func() {
		if _, rollbackErr := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); ignoreDone(rollbackErr) != nil {
			// Whoever had this connection next would still be in the old state.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		if closeErr := conn.Close(); err == nil && !errors.Is(closeErr, sql.ErrConnDone) {
			err = closeErr
		}
	}()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("store: %w", readable(r.path, err))
	}
	return f(&Reader{db: r.db, conn: conn, path: r.path})
}

// q returns what questions are to be put to.
func (r *Reader) q() queryer {
	if r.conn != nil {
		return r.conn
	}
	return r.db
}

// A Store is the one owner of a data folder: it reads and writes.
type Store struct {
	Reader
	w    *sql.DB // a single connection
	dir  string
	lock *os.File

	failed  atomic.Bool // the last write
	minRoom uint64
}

// Open opens the store in dir for writing, and makes the folder and the database if they are not there. The folder is
// locked until Close; ErrOwned says that another process has it. A database that is not walkd's, that is corrupt or
// that a newer walkd wrote is refused with a *FileError and left untouched.
func Open(ctx context.Context, dir string) (_ *Store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: cannot make the data folder: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileName)
	s := &Store{dir: dir, lock: lock, minRoom: minRoom, Reader: Reader{path: path}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if _, err := inspect(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := removeStaging(dir); err != nil {
		return nil, err
	}
	// Made by us first, so that it is private from its first byte on.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: cannot open the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("store: cannot open the database: %w", err)
	}
	if s.w, err = openDB(path, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)",
		"_pragma=foreign_keys(1)", "_pragma=busy_timeout(10000)", "_pragma=cache_size(-4000)",
		"_pragma=secure_delete(FAST)"); err != nil { // a token that was replaced is not left on its page
		return nil, err
	}
	s.w.SetMaxOpenConns(1)
	if err := migrate(ctx, s.w, path); err != nil {
		return nil, err
	}
	if s.db, err = openReadDB(path); err != nil {
		return nil, err
	}
	return s, nil
}

// OpenReader opens the store in dir for reading, also while another process owns it. fs.ErrNotExist says that there is
// no store yet.
func OpenReader(ctx context.Context, dir string) (*Reader, error) {
	path := filepath.Join(dir, FileName)
	version, err := inspect(path)
	if err != nil {
		return nil, err
	}
	if newest, err := newestVersion(); err != nil || version < newest {
		return nil, errors.Join(err, &FileError{
			Path: path, Problem: fmt.Sprintf("has schema %d, this walkd reads %d", version, newest),
			Remedy: "start `walkd run` once, or any command that writes: it brings the database up to date",
		})
	}
	db, err := openReadDB(path)
	if err != nil {
		return nil, err
	}
	return &Reader{db: db, path: path}, nil
}

// Close ends reading.
func (r *Reader) Close() error {
	if r.db == nil {
		return nil
	}
	return r.db.Close()
}

// Close ends reading and writing, and gives up the data folder.
func (s *Store) Close() error {
	var errs []error
	errs = append(errs, s.Reader.Close())
	if s.w != nil {
		errs = append(errs, s.w.Close())
	}
	if s.lock != nil {
		errs = append(errs, unlockDir(s.lock))
	}
	return errors.Join(errs...)
}

// Scrub brings all that was written into the database itself and empties the log beside it, in which replaced secrets
// would stand for a while longer. It does what it can while others read.
func (s *Store) Scrub(ctx context.Context) error {
	var busy, log, moved int
	if err := s.w.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved); err != nil {
		return fmt.Errorf("store: empty the log: %w", readable(s.path, err))
	}
	return nil
}

// Dir returns the data folder.
func (s *Store) Dir() string { return s.dir }

func openReadDB(path string) (*sql.DB, error) {
	db, err := openDB(path, "mode=ro", "_pragma=query_only(1)", "_pragma=busy_timeout(10000)", "_pragma=cache_size(-4000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	return db, nil
}

func openDB(path string, params ...string) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: strings.Join(params, "&")}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return db, nil
}

func checkVersion(path string, version int) error {
	newest, err := newestVersion()
	if err != nil {
		return err
	}
	if version > newest {
		return &FileError{
			Path:    path,
			Problem: fmt.Sprintf("was written by a newer walkd: it has schema %d, this one knows %d", version, newest),
			Remedy:  "install the newer walkd again, or put back a backup from before the upgrade",
		}
	}
	return nil
}

// newestVersion returns the number of the last migration.
func newestVersion() (int, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return len(entries), nil
}

// migrate brings the schema up to date, one transaction a step.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return readable(path, err)
	}
	newest, err := newestVersion()
	if err != nil {
		return err
	}
	for v := version + 1; v <= newest; v++ {
		script, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", v))
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		err = inTx(ctx, db, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, string(script)); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, v))
			return err
		})
		if err != nil {
			return fmt.Errorf("store: migration %d: %w", v, readable(path, err))
		}
	}
	return nil
}

// inTx runs f in a transaction and commits it if f returns nil.
func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// ignoreDone drops the error of rolling back a transaction that SQLite has already rolled back itself, as it does when
// the disk is full.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) || err != nil && strings.Contains(err.Error(), "no transaction is active") {
		return nil
	}
	return err
}

// write runs f in a writing transaction.
func (s *Store) write(ctx context.Context, what string, f func(*sql.Tx) error) error {
	err := inTx(ctx, s.w, f)
	if err == nil {
		s.failed.Store(false)
		return nil
	}
	if errors.As(err, new(*sqlite.Error)) {
		s.failed.Store(true)
	}
	return fmt.Errorf("store: %s: %w", what, readable(s.path, err))
}

// Backup writes a whole and consistent copy of the store to path, readable by its owner only since it may hold tokens.
// A file that is already there is an error.
func (r *Reader) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("store: backup: %s is already there: choose another name or move it away", path)
	}
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: backup: %w", err)
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	defer func() { _ = os.Remove(part) }() // it is gone if it has become the backup
	if err := f.Close(); err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	// VACUUM INTO takes an empty file, and keeps its mode. To SQLite it counts as writing.
	db, err := openDB(r.path, "mode=ro", "_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", part)
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("store: backup: %w", readable(part, err))
	}
	if f, err = os.OpenFile(part, os.O_RDWR, 0); err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	if err := os.Link(part, path); err != nil {
		// Some file systems have no links; the check above must do there.
		if err := os.Rename(part, path); err != nil {
			return fmt.Errorf("store: backup: %w", err)
		}
	}
	return nil
}

// Check reads the whole database and returns what is wrong with it; nothing if it is sound.
func (r *Reader) Check(ctx context.Context) (problems []string, err error) {
	err = query(ctx, r.q(), "PRAGMA integrity_check(20)", nil, func(scan func(...any) error) error {
		var line string
		if err := scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			problems = append(problems, line)
		}
		return nil
	})
	if err == nil {
		err = query(ctx, r.q(), `SELECT "table", count(*) FROM pragma_foreign_key_check GROUP BY 1`, nil,
			func(scan func(...any) error) error {
				var (
					table string
					n     int
				)
				err := scan(&table, &n)
				problems = append(problems, fmt.Sprintf("%d rows of table %s belong to nothing", n, table))
				return err
			})
	}
	var damaged *FileError
	if errors.As(err, &damaged) && damaged.Corrupt {
		return append(problems, err.Error()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: check: %w", err)
	}
	return problems, nil
}

// minRoom is how much room the disk must have: less than this is gone with a day's data.
const minRoom = 8 << 20

// Writable returns an error if the store cannot be written to: because the disk is full or read-only, or because the
// write before failed and writing does so still. Otherwise asking writes nothing.
func (s *Store) Writable(ctx context.Context) error {
	if err := unix.Access(s.dir, unix.W_OK); err != nil {
		return fmt.Errorf("store: cannot write into %s: %w: make it writable for the user that runs walkd", s.dir, err)
	}
	left, err := room(s.dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if left < s.minRoom {
		return fmt.Errorf("store: %w (%d KiB are left in %s)", ErrFull, left>>10, s.dir)
	}
	return s.write(ctx, "ask whether it can be written to", func(tx *sql.Tx) error {
		if !s.failed.Load() {
			return nil // taking the write lock and giving it back writes nothing
		}
		newest, err := newestVersion()
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(newest))
		return err
	})
}
