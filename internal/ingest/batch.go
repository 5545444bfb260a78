package ingest

import "github.com/walkd/walkd/internal/walking"

// A Batch is what a source said at one time: the answer to one question, or one push. It is stored whole or not at all.
type Batch struct {
	// Streams describes every stream in the batch, with its SyncedThrough.
	Streams []walking.Stream
	// Covers are the windows in which the batch holds everything the stream has. What is stored there and is not in
	// the batch is removed. A record belongs to the window that holds its start. Without covers, records are added
	// and replaced by stream, start and duration.
	Covers   []Cover
	Records  []walking.StreamRecords
	Sessions []walking.StreamSession
	Unworn   []Unworn
	// Totals are the steps of whole days as the provider adds them up, where they come with the records. They are not
	// stored: the records are checked against them. A day that is not over is left out.
	Totals []Total
}

// A Cover is a window that a batch tells everything about, for one stream.
type Cover struct {
	walking.StreamKey
	walking.Window
	Part Part
}

// A Part is what a Cover tells everything about.
type Part int

// The parts.
const (
	All          Part = iota // records, sessions and times unworn
	RecordsOnly              // records and times unworn: sessions stay as they are
	SessionsOnly             // sessions: records stay as they are
)

// Unworn is a window in which a source says that its device was not on the body.
type Unworn struct {
	walking.StreamKey
	walking.Window
}
