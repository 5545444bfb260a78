package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/store"
	"github.com/walkd/walkd/internal/walking"
)

// An ImportRequest says what to import and how.
type ImportRequest struct {
	Format  string // a name in Engine.Formats
	Name    string // of the file, for messages
	Size    int64  // of the content in bytes, -1 if not known
	Person  string // whom it is for, where the file names nobody itself
	Source  string // what the person calls the source; "": by the name of the format
	Zone    string // IANA name: where times without an offset are local, and the home of new people; "": the person's home
	Home    string // IANA name: stands in for Zone if that is empty and the person is new
	IDs     []string
	All     bool
	SkipBad bool
}

// A Phase is a part of a long work.
type Phase string

// The phases of an import, and of pulling.
const (
	Pulling    Phase = "pulling"
	Reading    Phase = "reading"
	Storing    Phase = "storing"
	Deriving   Phase = "deriving"
	Projecting Phase = "projecting"
)

// Progress is how far a long work has come.
type Progress struct {
	Phase   Phase
	Done    int64 // bytes while reading, records while storing, days else
	Total   int64 // of the same; -1 if not known
	Records int64 // read so far
}

// An ImportResult tells what an import did.
type ImportResult struct {
	store.ImportResult
	Days int // derived anew
}

// Import decodes body and stores it. Broken rows refuse the whole file with a *store.BadRowsError unless SkipBad is
// set. When it returns nil, everything is on disk and all days are derived. progress may be nil.
func (e *Engine) Import(ctx context.Context, req ImportRequest, body io.Reader, progress func(Progress)) (
	ImportResult, error,
) {
	var result ImportResult
	format, ok := e.Formats[req.Format]
	if !ok {
		return result, fmt.Errorf("unknown format %q: want one of %s", req.Format, strings.Join(formatNames(e.Formats), ", "))
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	zone, err := e.importZone(ctx, req)
	if err != nil {
		return result, err
	}
	now := e.Clock.Now()
	counted := &countingReader{r: body}
	show := throttle(progress)
	im, err := e.Store.NewImport(ctx, store.ImportOptions{
		Person: req.Person, Source: req.Source, Zone: zone, SkipBad: req.SkipBad,
		Progress: func(read, stored int) {
			if stored == 0 {
				show(Progress{Reading, counted.n, req.Size, int64(read)})
			} else {
				show(Progress{Storing, int64(stored), int64(read), int64(read)})
			}
		},
	})
	if err != nil {
		return result, err
	}
	err = format.Decode(ctx, ingest.File{Name: req.Name, Size: req.Size, Body: counted},
		ingest.ImportOptions{Zone: zone, IDs: req.IDs, All: req.All, Now: now}, im)
	if err == nil {
		progress(Progress{Reading, counted.n, counted.n, int64(im.Read())})
		result.ImportResult, err = im.Commit(now)
	}
	if err := errors.Join(err, im.Close()); err != nil {
		return result, err
	}
	result.Days, err = e.Derive(ctx, func(done, total int) {
		show(Progress{Deriving, int64(done), int64(total), int64(result.Read)})
	})
	return result, err
}

// importZone returns the zone that a request names, else the home zone of its person.
func (e *Engine) importZone(ctx context.Context, req ImportRequest) (*time.Location, error) {
	p, err := e.Store.Person(ctx, req.Person)
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNoPerson) {
		return nil, err
	}
	name := req.Zone
	if name == "" {
		if known {
			return p.Zones.Home(), nil
		}
		name = req.Home
	}
	return walking.ParseZone(name)
}

func formatNames(formats map[string]ingest.Format) []string {
	var names []string
	for n := range formats {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// countingReader counts the bytes that went through it.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// throttle passes on the first report of every phase and then at most ten a second.
func throttle(progress func(Progress)) func(Progress) {
	var (
		phase Phase
		last  time.Time
	)
	return func(p Progress) {
		if p.Phase == phase && p.Done != p.Total && time.Since(last) < 100*time.Millisecond {
			return
		}
		phase, last = p.Phase, time.Now()
		progress(p)
	}
}
