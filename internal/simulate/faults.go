package simulate

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Kind is a way in which a simulated service fails. Each service has kinds of its own besides these.
type Kind string

// The kinds of fault that every service has. Those that lose an answer do so after all was done that was asked for.
const (
	HTMLPage    Kind = "html"      // an error page with status 502
	HTMLSuccess Kind = "html 200"  // a login page of some network
	Truncated   Kind = "truncated" // the second half of the answer is lost
	Slow        Kind = "slow"      // nothing comes until the client gives up
	Dropped     Kind = "dropped"   // the connection ends without an answer
)

// A Fault makes requests fail.
type Fault struct {
	Kind Kind
	// Path is a part of what the requests ask for that it is for; "" for all of the API. Faults of the token endpoint have
	// to name it.
	Path string
	// Times is how often; until Clear if zero.
	Times int
	left  int
}

// Faults are what is wrong with a simulated service. Its methods may be called from several goroutines.
type Faults struct {
	mu     sync.Mutex
	list   []*Fault
	random *rand.Rand
	chance float64
	kinds  []Kind
	made   int
}

// NewFaults returns Faults without any. The seed makes random faults repeatable, and the stream lets those of services
// with the same seed differ.
func NewFaults(seed, stream uint64) *Faults {
	return &Faults{random: rand.New(rand.NewPCG(seed, stream))}
}

// Break switches a fault on.
func (f *Faults) Break(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault.left = fault.Times
	f.list = append(f.list, &fault)
}

// Clear switches all faults off.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list, f.chance = nil, 0
}

// BreakAtRandom lets requests to the API fail with a probability, each in one of kinds.
func (f *Faults) BreakAtRandom(chance float64, kinds ...Kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.chance, f.kinds = chance, kinds
}

// Next returns how a request is to fail that asks for what, which names its path; "" if it is not. api says whether it
// is one to the API.
func (f *Faults) Next(what string, api bool) Kind {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind := f.next(what, api)
	if kind != "" {
		f.made++
	}
	return kind
}

// Made returns how many requests were made to fail.
func (f *Faults) Made() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made
}

func (f *Faults) next(what string, api bool) Kind {
	for i, fault := range f.list {
		if fault.Path == "" && !api || !strings.Contains(what, fault.Path) {
			continue
		}
		if fault.Times > 0 {
			if fault.left--; fault.left == 0 {
				f.list = slices.Delete(f.list, i, i+1)
			}
		}
		return fault.Kind
	}
	if api && f.chance > 0 && f.random.Float64() < f.chance {
		return f.kinds[f.random.IntN(len(f.kinds))]
	}
	return ""
}

// Spoil answers a request in the way of kind if that is one that every service has, and reports whether it is. serve is
// how it would have been answered.
func Spoil(kind Kind, w http.ResponseWriter, r *http.Request, serve http.Handler) bool {
	switch kind {
	case HTMLPage:
		WritePage(w, http.StatusBadGateway, "502 Bad Gateway", "The server cannot be reached.")
	case HTMLSuccess:
		WritePage(w, http.StatusOK, "Welcome", "Sign in to this network")
	case Truncated, Slow, Dropped:
		lose(kind, w, r, serve)
	default:
		return false
	}
	return true
}

// lose does what is asked for, and loses the answer or its second half.
func lose(kind Kind, w http.ResponseWriter, r *http.Request, serve http.Handler) {
	a := &answer{header: http.Header{}, status: http.StatusOK}
	serve.ServeHTTP(a, r)
	switch kind {
	case Slow:
		_, _ = io.Copy(io.Discard, r.Body) // until it is read nobody sees that the client has gone
		<-r.Context().Done()
		return
	case Truncated:
		maps.Copy(w.Header(), a.header)
		w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body.Bytes()[:a.body.Len()/2]) // a client that has gone has lost it as well
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

// An answer is one that is not sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *answer) WriteHeader(status int)      { a.status = status }
