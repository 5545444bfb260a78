package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrOwned says that another process has the data folder.
var ErrOwned = errors.New("store: another walkd has this data folder")

// ErrFull says that the disk is full. Nothing of what was being written is stored.
var ErrFull = errors.New("the disk is full: make room and try again; a running walkd does so by itself")

// ErrDisk says that the disk fails, or is so full that not even the store's own bookkeeping finds room.
var ErrDisk = errors.New("the disk of the data folder is full or failing: make room, look after the disk, and try " +
	"again; a running walkd does so by itself")

// ErrNoPerson says that a person is not in the store.
var ErrNoPerson = errors.New("no such person")

// A FileError says that a database file cannot be used, and what to do about it. The file is untouched.
type FileError struct {
	Path    string
	Problem string
	Remedy  string
	Corrupt bool
}

// Error returns the path, the problem and the remedy.
func (e *FileError) Error() string { return fmt.Sprintf("%s %s: %s", e.Path, e.Problem, e.Remedy) }

// readable gives SQLite's errors that a person can do something about their words.
func readable(path string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w (%w)", ErrFull, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w (%w)", ErrDisk, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w (%w)", &FileError{
			Path: path, Problem: "is damaged", Corrupt: true,
			Remedy: "stop walkd, keep a copy of the file, then put back a backup made by `walkd backup` or import again",
		}, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w (%w)", &FileError{
			Path: path, Problem: "cannot be opened",
			Remedy: "check that the folder and the files in it belong to the user that runs walkd",
		}, err)
	}
	return err
}
