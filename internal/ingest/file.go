package ingest

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// ClockTolerance is how far past "now" a record may end before it is refused as lying in the future: the clocks of
// phones and servers differ by minutes, not by more.
const ClockTolerance = 15 * time.Minute

// A File is one input of an import.
type File struct {
	// Name is the file's name for messages; for a member of an archive it is "archive.zip:member".
	Name string
	// Size is the number of bytes that Body will yield, or -1 if that is not known.
	Size int64
	// Body yields the content once, from its beginning.
	Body io.Reader
}

// ImportOptions are the options of an import.
type ImportOptions struct {
	// Zone is where times without an offset are local.
	Zone *time.Location
	// IDs picks persons in files that hold several. Everybody is imported, each as a person of that name, if All is
	// set; a file with several persons and neither IDs nor All is an error that lists them.
	IDs []string
	All bool
	// Now is the time of the import. A record that ends more than ClockTolerance later is a bad row.
	Now time.Time
}

// A BadRow is a part of a file that cannot be used.
type BadRow struct {
	File   string // as File.Name
	Line   int64  // from 1
	Reason string // what is wrong and what is wanted, without file and line
}

// Error returns "file:line: reason".
func (b BadRow) Error() string { return fmt.Sprintf("%s:%d: %s", b.File, b.Line, b.Reason) }

// A Sink takes what a file holds, in any order. Its errors end the decoding and are handed back by Decode as they are.
// The person is "" for the one that the import is for, or the name the file itself gives.
type Sink interface {
	// Stream describes a stream. It is called before the first record or session of that stream, and again whenever
	// more is known: device, delivery, ReliableOffset and a later SyncedThrough overrule what was said before.
	Stream(person string, s walking.Stream) error
	// Record takes one record. A record with the same stream, start and duration as an earlier one replaces it.
	Record(person string, k walking.StreamKey, r walking.Record) error
	// Session takes one session.
	Session(person string, k walking.StreamKey, s walking.Session) error
	// Covers declares that the file holds everything the stream has in w, so that what is stored there and not in the
	// file has been deleted at the source. Without it, records are added and replaced, never removed.
	Covers(person string, k walking.StreamKey, w walking.Window) error
	// Bad takes a broken row. Decoding goes on, so that one run reports them all.
	Bad(b BadRow) error
	// Dropped counts sound rows that are left out on purpose, by reason ("entered by hand").
	Dropped(reason string, n int)
}

// A Format decodes one kind of file.
type Format interface {
	// Open finds what is to be decoded at path. The caller closes the Closer after decoding.
	Open(path string) (File, io.Closer, error)
	// Decode hands everything in f to sink. It holds a bounded part of the file in memory. An error means that the
	// file as a whole cannot be read (not of this format, truncated); rows that cannot be read go to sink.Bad.
	Decode(ctx context.Context, f File, o ImportOptions, sink Sink) error
}
