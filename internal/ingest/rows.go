package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// How long a row of a delimited file may be.
const (
	maxRow   = 256 << 10 // bytes
	maxLines = 100
)

// OpenFile opens the plain file at path, for formats whose input is one. A folder is an error.
func OpenFile(path string) (File, io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder: want a file", path)
	}
	if err != nil {
		return File{}, nil, errors.Join(err, f.Close())
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		size = -1
	}
	return File{Name: path, Size: size, Body: f}, f, nil
}

// Rows reads a delimited text file row by row. Unlike encoding/csv it never holds more than one row of bounded length,
// and a broken row does not take the following ones with it. It takes LF and CRLF, skips a byte order mark and empty
// lines, and finds out by itself whether commas, semicolons or tabs separate the fields. Quoted fields may hold
// separators, doubled quotes and line breaks.
type Rows struct {
	name   string
	in     *bufio.Reader
	next   int64 // number of the line to be read next
	line   int64
	sep    byte
	row    []byte
	fields [][]byte
	again  []byte // lines after a quote that was never closed, to be read once more
	err    error  // met while reading the part of a row that is to be handed out first
}

// NewRows returns the Rows of f.
func NewRows(f File) *Rows {
	return &Rows{name: f.Name, in: bufio.NewReaderSize(f.Body, 64<<10), next: 1}
}

// Line returns the number, from 1, of the first line of the row that Read returned last.
func (r *Rows) Line() int64 { return r.line }

// Bad returns a BadRow about the row that Read returned last.
func (r *Rows) Bad(reason string) BadRow { return BadRow{File: r.name, Line: r.line, Reason: reason} }

// Read returns the fields of the next row without their quotes; they are valid until the next call. The error is
// io.EOF at the end, and a BadRow for a row that is not to be understood, after which reading may go on.
func (r *Rows) Read() ([][]byte, error) {
	if r.next == 1 {
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	for {
		r.line = r.next
		r.row = r.row[:0]
		if err := r.readLine(); err != nil {
			return nil, err
		}
		if len(trimEnd(r.row)) > 0 {
			break
		}
	}
	if r.sep == 0 {
		r.sep = separator(r.row)
	}
	first := len(r.row)
	for !r.split(trimEnd(r.row)) {
		// A quote is open at the end of the line: the field goes on in the next one.
		if r.next-r.line < maxLines {
			err := r.readLine()
			if err == nil {
				continue
			}
			if !errors.Is(err, io.EOF) && !errors.As(err, new(BadRow)) {
				return nil, err
			}
		}
		// The quote is a mistake of this line only; those after it are rows of their own.
		r.again = append(slices.Clone(r.row[first:]), r.again...)
		r.next = r.line + 1
		return nil, r.Bad("a quote is opened and not closed")
	}
	return r.fields, nil
}

func (r *Rows) start() error {
	mark, err := r.in.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(mark, []byte("\xef\xbb\xbf")):
		_, err = r.in.Discard(3)
		return err
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return errors.New("the file is UTF-16 text: save it as CSV in UTF-8")
	}
	return nil
}

// readLine appends the next line and its line break to r.row.
func (r *Rows) readLine() error {
	if len(r.again) > 0 {
		n := bytes.IndexByte(r.again, '\n') + 1
		if n == 0 {
			n = len(r.again)
		}
		r.row, r.again = append(r.row, r.again[:n]...), r.again[n:]
		r.next++
		return nil
	}
	if r.err != nil {
		return r.err
	}
	tooLong := false
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.row)+len(part) > maxRow {
			tooLong = true
		} else {
			r.row = append(r.row, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) && (len(r.row) > 0 || tooLong) && len(part) > 0 {
			err = nil // the last line has no line break; the next call says io.EOF
		}
		if err != nil {
			r.err = err
			return err
		}
		r.next++
		if tooLong {
			return r.Bad(fmt.Sprintf("the row is longer than %d KiB", maxRow>>10))
		}
		return nil
	}
}

// split cuts row into r.fields, in place where quotes are doubled. It reports false if a quote is open at the end.
func (r *Rows) split(row []byte) bool {
	r.fields = r.fields[:0]
	for {
		if len(row) == 0 || row[0] != '"' {
			i := bytes.IndexByte(row, r.sep)
			if i < 0 {
				r.fields = append(r.fields, row)
				return true
			}
			r.fields = append(r.fields, row[:i])
			row = row[i+1:]
			continue
		}
		field, rest, ok := unquote(row[1:])
		if !ok {
			return false
		}
		// Anything between the closing quote and the separator belongs to the field as it is.
		i := bytes.IndexByte(rest, r.sep)
		if i < 0 {
			r.fields = append(r.fields, append(field[:len(field):len(field)], rest...))
			return true
		}
		if i > 0 {
			field = append(field[:len(field):len(field)], rest[:i]...)
		}
		r.fields = append(r.fields, field)
		row = rest[i+1:]
	}
}

// unquote returns the content of a quoted field up to its closing quote, and what follows that.
func unquote(b []byte) (field, rest []byte, ok bool) {
	for from := 0; ; {
		i := bytes.IndexByte(b[from:], '"')
		if i < 0 {
			return nil, nil, false
		}
		i += from
		if i+1 == len(b) || b[i+1] != '"' {
			field = b[:i]
			if from > 0 {
				field = bytes.ReplaceAll(field, []byte(`""`), []byte(`"`))
			}
			return field, b[i+1:], true
		}
		from = i + 2
	}
}

func trimEnd(row []byte) []byte { return bytes.TrimRight(row, "\r\n") }

// separator returns the most frequent of comma, semicolon and tab in the header outside quotes; comma if there is none.
func separator(header []byte) byte {
	var n [256]int
	quoted := false
	for _, c := range header {
		if c == '"' {
			quoted = !quoted
		}
		if !quoted {
			n[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte(";\t") {
		if n[c] > n[best] {
			best = c
		}
	}
	return best
}
