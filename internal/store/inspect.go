package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A fileHeader is the first 100 bytes of a SQLite database.
type fileHeader [100]byte

func (h *fileHeader) magic() bool         { return string(h[:16]) == "SQLite format 3\x00" }
func (h *fileHeader) pages() int64        { return int64(binary.BigEndian.Uint32(h[28:])) }
func (h *fileHeader) version() int        { return int(binary.BigEndian.Uint32(h[60:])) }
func (h *fileHeader) application() uint32 { return binary.BigEndian.Uint32(h[68:]) }

func (h *fileHeader) pageSize() int64 {
	if n := int64(binary.BigEndian.Uint16(h[16:])); n != 1 {
		return n
	}
	return 65536
}

// inspect looks at a database without changing a byte of it, or anything beside it, and returns its schema version. It
// reads by hand, because SQLite itself writes to files that it opens, and makes others next to them.
func inspect(path string) (version int, err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // SQLite keeps its log there
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	corrupt := func(problem string) error {
		return &FileError{
			Path: path, Problem: problem, Corrupt: true,
			Remedy: "put back a backup made by `walkd backup`, or move the file away and import again",
		}
	}
	var header fileHeader
	if _, err := f.ReadAt(header[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("store: %w", err)
	}
	if info.Size() > 0 && !header.magic() {
		return 0, corrupt("is not a SQLite database")
	}
	logged, err := readLog(path+"-wal", &header)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	if want := header.pages() * header.pageSize(); !logged && info.Size() < want {
		return 0, corrupt(fmt.Sprintf("is cut off: it has %d bytes of %d", info.Size(), want))
	}
	version = header.version()
	if header.application() != applicationID && (version != 0 || header.pages() > 1) {
		return 0, &FileError{
			Path: path, Problem: "is a database of another program",
			Remedy: "choose another data folder with --data-dir or data_dir",
		}
	}
	return version, checkVersion(path, version)
}

// readLog replaces header by the one that is last in a write-ahead log, if it is in there. It reports whether there is
// a log at all, whose pages the database may lack.
func readLog(path string, header *fileHeader) (logged bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	// https://sqlite.org/fileformat2.html#walformat: a head, then frames of a head and a page each.
	var head [32]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return false, ignoreEnd(err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head[:]) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return true, nil
	}
	pageSize := binary.BigEndian.Uint32(head[8:])
	sum := logSum{}
	sum.add(order, head[:24])
	if pageSize < 512 || pageSize > 65536 || !sum.is(head[24:]) {
		return true, nil
	}
	frame := make([]byte, 24+pageSize)
	for last := *header; ; { // what is not committed does not count
		if _, err := io.ReadFull(in, frame); err != nil {
			return true, ignoreEnd(err)
		}
		sum.add(order, frame[:8])
		sum.add(order, frame[24:])
		if string(frame[8:16]) != string(head[16:24]) || !sum.is(frame[16:]) {
			return true, nil // left from before
		}
		if binary.BigEndian.Uint32(frame) == 1 {
			copy(last[:], frame[24:])
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 {
			*header = last
		}
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// A logSum is the running checksum of a write-ahead log.
type logSum [2]uint32

func (s *logSum) add(order binary.ByteOrder, b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		s[0] += order.Uint32(b) + s[1]
		s[1] += order.Uint32(b[4:]) + s[0]
	}
}

func (s *logSum) is(b []byte) bool {
	return s[0] == binary.BigEndian.Uint32(b) && s[1] == binary.BigEndian.Uint32(b[4:])
}
