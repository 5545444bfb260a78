package applehealth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

const (
	bufferSize = 1 << 20  // what is held of a file, unless an element is longer
	maxElement = 16 << 20 // the longest element that is taken
)

// errMore says that the buffer ends within what was to be read.
var errMore = errors.New("more input is needed")

// A scanner finds the tags of an XML document of any length in a buffer of bounded size. It checks nothing that it
// does not need, so that documents which are not quite XML can be read.
type scanner struct {
	ctx     context.Context
	in      io.Reader
	buf     []byte // buf[pos:] has been read from in and not yet consumed
	pos     int
	counted int   // line is the number of the line at buf[counted]
	line    int64 // from 1
	max     int   // how long buf may grow
	eof     bool
}

func newScanner(ctx context.Context, in io.Reader, size, most int) *scanner {
	return &scanner{ctx: ctx, in: in, buf: make([]byte, 0, size), line: 1, max: most}
}

// lineNumber returns the number of the line at which the next tag or text starts.
func (s *scanner) lineNumber() int64 {
	s.line += int64(bytes.Count(s.buf[s.counted:s.pos], []byte{'\n'}))
	s.counted = s.pos
	return s.line
}

// fill reads more input behind buf, moving what is not yet consumed to its front. It returns io.ErrUnexpectedEOF
// where there is no more.
func (s *scanner) fill() error {
	if s.eof {
		return io.ErrUnexpectedEOF
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	s.lineNumber()
	rest := s.buf[s.pos:]
	switch {
	case len(rest) < cap(s.buf):
		s.buf = s.buf[:copy(s.buf[:cap(s.buf)], rest)]
	case cap(s.buf) >= s.max:
		return fmt.Errorf("an element at line %d is longer than %d MiB", s.line, s.max>>20)
	default:
		s.buf = append(make([]byte, 0, min(2*cap(s.buf), s.max)), rest...)
	}
	s.pos, s.counted = 0, 0
	for range 100 {
		n, err := s.in.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			s.eof = true
			if n == 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		case err != nil:
			return err
		case n > 0:
			return nil
		}
	}
	return io.ErrNoProgress
}

// need makes at least n bytes available at buf[pos:], or fewer at the end of the input.
func (s *scanner) need(n int) error {
	for len(s.buf)-s.pos < n && !s.eof {
		if err := s.fill(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
	}
	return nil
}

// skipPast consumes input through the next occurrence of mark.
func (s *scanner) skipPast(mark string) error {
	for {
		if i := bytes.Index(s.buf[s.pos:], []byte(mark)); i >= 0 {
			s.pos += i + len(mark)
			return nil
		}
		s.pos = max(s.pos, len(s.buf)-len(mark)+1) // it may have begun
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// next moves to the '<' of the next tag. Comments, CDATA sections and processing instructions are skipped. It returns
// the bytes from there on: at least lookahead of them, unless the input ends.
func (s *scanner) next() ([]byte, error) {
	for {
		i := bytes.IndexByte(s.buf[s.pos:], '<')
		if i < 0 {
			s.pos = len(s.buf)
			if err := s.fill(); err != nil {
				return nil, err
			}
			continue
		}
		s.pos += i
		if len(s.buf)-s.pos < lookahead {
			if err := s.need(lookahead); err != nil {
				return nil, err
			}
		}
		b := s.buf[s.pos:]
		var err error
		switch {
		case len(b) < 2 || b[1] != '!' && b[1] != '?':
			return b, nil
		case b[1] == '?':
			err = s.skipFrom(2, "?>")
		case bytes.HasPrefix(b, []byte("<!--")):
			err = s.skipFrom(4, "-->")
		case bytes.HasPrefix(b, []byte("<![CDATA[")):
			err = s.skipFrom(9, "]]>")
		default:
			err = s.skipFrom(2, ">")
		}
		if err != nil {
			return nil, err
		}
	}
}

func (s *scanner) skipFrom(n int, mark string) error {
	s.pos += n
	return s.skipPast(mark)
}

// skip consumes n bytes that next or tag handed out.
func (s *scanner) skip(n int) { s.pos += n }

// lookahead is how much of a tag next hands out at least: enough for its name, and for the type if that comes first.
const lookahead = 128

// named reports whether b starts with the tag <name, or with </name if name starts with a slash.
func named(b []byte, name string) bool {
	n := len(name) + 1
	return len(b) > n && string(b[1:n]) == name && endsName(b[n])
}

func endsName(c byte) bool { return c <= ' ' || c == '>' || c == '/' }

// An attr is an attribute as it stands in the document: Value may hold references.
type attr struct {
	name, value []byte
}

// A tag is a start tag or an empty element.
type tag struct {
	attrs  []attr
	length int // bytes from '<' through '>'
	empty  bool
}

// get returns the raw value of the attribute, and whether it is there.
func (t *tag) get(name string) ([]byte, bool) {
	for i := range t.attrs {
		if string(t.attrs[i].name) == name {
			return t.attrs[i].value, true
		}
	}
	return nil, false
}

// errTag says that a tag is not XML.
var errTag = errors.New("the element is not well-formed: want name=\"value\" pairs and a closing >")

// tag parses the start tag at the current position, reading more input if it is not complete. The attributes are
// valid until more input is read. After errTag, the tag's '<' is still to be skipped.
func (s *scanner) tag(t *tag) error {
	for {
		switch err := t.parse(s.buf[s.pos:]); {
		case !errors.Is(err, errMore):
			return err
		case s.eof:
			return io.ErrUnexpectedEOF
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// parse parses the start tag at the front of b.
func (t *tag) parse(b []byte) error {
	t.attrs, t.empty = t.attrs[:0], false
	i := 1
	for i < len(b) && !endsName(b[i]) {
		i++
	}
	for {
		for i < len(b) && b[i] <= ' ' {
			i++
		}
		if i == len(b) {
			return errMore
		}
		if b[i] == '/' && i+1 == len(b) {
			return errMore
		}
		if b[i] == '/' && b[i+1] == '>' {
			t.empty = true
			i++
		}
		if b[i] == '>' {
			t.length = i + 1
			return nil
		}
		from := i
		for i < len(b) && b[i] > ' ' && b[i] != '=' {
			if c := b[i]; c == '<' || c == '>' || c == '"' || c == '\'' || c == '/' {
				return errTag
			}
			i++
		}
		a := attr{name: b[from:i]}
		for i < len(b) && b[i] <= ' ' {
			i++
		}
		if i == len(b) {
			return errMore
		}
		if b[i] != '=' || len(a.name) == 0 {
			return errTag
		}
		i++
		for i < len(b) && b[i] <= ' ' {
			i++
		}
		if i == len(b) {
			return errMore
		}
		quote := b[i]
		if quote != '"' && quote != '\'' {
			return errTag
		}
		i++
		n := bytes.IndexByte(b[i:], quote)
		if n < 0 {
			if bytes.IndexByte(b[i:], '<') >= 0 {
				return errTag // the quote is not closed before the next tag
			}
			return errMore
		}
		if a.value = b[i : i+n]; bytes.IndexByte(a.value, '<') >= 0 {
			return errTag // the quote is closed by one of a later tag
		}
		i += n + 1
		t.attrs = append(t.attrs, a)
	}
}
