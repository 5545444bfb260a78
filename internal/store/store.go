// Package store keeps everything walkd knows in one SQLite file: what the sources said, who the people are, the days
// derived from it, and what is still to be derived and projected. The raw records are the truth; derived days are a
// cache.
//
// Exactly one process at a time writes: Open takes a lock on the data folder. Others read through OpenReader.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver
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
	path string
}

// A Store is the one owner of a data folder: it reads and writes.
type Store struct {
	Reader
	w    *sql.DB // a single connection
	dir  string
	lock *os.File
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
	s := &Store{dir: dir, lock: lock, Reader: Reader{path: filepath.Join(dir, FileName)}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	path := filepath.Join(dir, FileName)
	if _, err := inspect(ctx, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
		"_pragma=foreign_keys(1)", "_pragma=busy_timeout(10000)", "_pragma=cache_size(-4000)"); err != nil {
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
	version, err := inspect(ctx, path)
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
		errs = append(errs, s.lock.Close()) // closing unlocks
	}
	return errors.Join(errs...)
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

// inspect looks at the file without changing a byte of it and returns its schema version. The header is read by hand,
// because SQLite itself may write to a file that it opens.
func inspect(ctx context.Context, path string) (version int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	wal, walErr := os.Stat(path + "-wal")
	hasWAL := walErr == nil && wal.Size() > 0
	if info.Size() == 0 && !hasWAL {
		return 0, nil // made, and killed before the first write
	}
	var header [100]byte
	if _, err := f.ReadAt(header[:], 0); err != nil && info.Size() >= int64(len(header)) {
		return 0, fmt.Errorf("store: %w", err)
	}
	corrupt := func(problem string) error {
		return &FileError{
			Path: path, Problem: problem, Corrupt: true,
			Remedy: "put back a backup made by `walkd backup`, or move the file away and import again",
		}
	}
	if info.Size() > 0 && string(header[:16]) != "SQLite format 3\x00" {
		return 0, corrupt("is not a SQLite database")
	}
	pageSize := int64(binary.BigEndian.Uint16(header[16:]))
	if pageSize == 1 {
		pageSize = 65536
	}
	pages := int64(binary.BigEndian.Uint32(header[28:]))
	if !hasWAL && pages > 0 && info.Size() < pages*pageSize {
		return 0, corrupt(fmt.Sprintf("is cut off: it has %d bytes of %d", info.Size(), pages*pageSize))
	}
	if !hasWAL {
		version = int(binary.BigEndian.Uint32(header[60:]))
		if id := binary.BigEndian.Uint32(header[68:]); id != applicationID && (version != 0 || pages > 1) {
			return 0, &FileError{
				Path: path, Problem: "is a database of another program",
				Remedy: "choose another data folder with --data-dir or data_dir",
			}
		}
		return version, checkVersion(path, version)
	}
	// What is in the write-ahead log counts as well, and only SQLite can read that.
	db, err := openReadDB(path)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, readable(path, err)
	}
	return version, checkVersion(path, version)
}

func checkVersion(path string, version int) error {
	newest, err := newestVersion()
	if err != nil {
		return err
	}
	if version > newest {
		return &FileError{
			Path: path, Problem: fmt.Sprintf("was written by a newer walkd: it has schema %d, this one knows %d", version, newest),
			Remedy: "install the newer walkd again, or put back a backup from before the upgrade",
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
			_, err := tx.ExecContext(ctx, "PRAGMA application_id = "+strconv.Itoa(applicationID)+"; PRAGMA user_version = "+strconv.Itoa(v))
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
	if err := inTx(ctx, s.w, f); err != nil {
		return fmt.Errorf("store: %s: %w", what, readable(filepath.Join(s.dir, FileName), err))
	}
	return nil
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
	err = query(ctx, r.db, "PRAGMA integrity_check(20)", nil, func(scan func(...any) error) error {
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
		err = query(ctx, r.db, "SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1", nil, func(scan func(...any) error) error {
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

// Writable returns an error if the store cannot be written to.
func (s *Store) Writable(ctx context.Context) error {
	// Taking the write lock and giving it back writes nothing, so that asking often costs no disk.
	return s.write(ctx, "ask whether it can be written to", func(*sql.Tx) error { return nil })
}
