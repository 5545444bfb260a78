package walking

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// ShortRecord is the length up to which a record holds minutes around it: devices disagree by minutes about when
// something happened, but within an hour's count there is nothing to shift.
const ShortRecord = 5 * time.Minute

// A holdRule says which minutes a short record keeps from the streams below it.
type holdRule struct {
	margin time.Duration // held before and after the record
	bridge time.Duration // a gap up to this long between two held stretches of a stream is held too
}

// shippedRule is the rule in force. Measured beside a 2-minute margin with gaps bridged up to 5 minutes, on the
// Fitabase people with a simulated phone: TestMergeOnFitabase, figures in docs/estimation.md.
var shippedRule = holdRule{margin: 5 * time.Minute}

// Reach is how far a record's influence on the merge reaches beyond its own span, for one stream whose longest record
// is longest: what lies further away from an instant cannot change that instant. Over several streams reaches add up.
func Reach(longest time.Duration) time.Duration {
	return 2*longest + shippedRule.margin + shippedRule.bridge + rejoinSpan
}

// An Input is one stream's part in a merge.
type Input struct {
	StreamKey
	Records  []Record
	Sessions []Session
	Unworn   []Window // when the source says that the device was not on the body
}

// A piece is a stretch of the merged time. Its figures are spread evenly over it; one of no length has only steps.
type piece struct {
	start, end       int64 // unix nanoseconds
	steps            float64
	walk, run, brisk float64 // nanoseconds
	uncertainty      float64 // relative, of walk
	stream           int32   // index of the input
	short            bool    // from a record that tells when it happened
}

// A span is a half-open stretch of unix nanoseconds.
type span struct{ start, end int64 }

// An item is a record or session on its way into the merge.
type item struct {
	span
	amount  float64 // what is compared with what is already counted: steps, or nanoseconds of a session without
	steps   float64
	c       float64       // steps per nanosecond of walking
	cap     float64       // most nanoseconds of movement
	length  time.Duration // of the whole record, for the uncertainty
	running bool
	brisk   bool
	timed   bool // a session without steps: amount is movement in nanoseconds
}

// A Merged is the outcome of a merge over any stretch of time.
type Merged struct {
	inputs      []Input
	pieces      []piece   // of all streams, disjoint, sorted
	alone       [][]piece // of each stream by itself, zero-step records included
	alternative []piece   // alternative aerobic time, in walk
}

// Merge merges streams given in priority order. A record of a lower stream counts only where no higher one holds the
// minutes, so that watch and phone are never added up. The order of the records within a stream does not matter.
//
// A record up to ShortRecord long holds the minutes within 5 min of it, a longer one exactly its span, and only records
// with steps hold anything. A lower record wholly in free minutes counts in full. One that is partly held offers its
// steps less those already counted inside its span, if more than a quarter of them remain; these go evenly over its
// free minutes. Overlaps within a stream merge in the same way, finer records first, without a margin. Recorded walks
// and runs come after all records, so they add only what no stream has counted.
func Merge(inputs []Input) *Merged { return merge(inputs, shippedRule) }

func merge(inputs []Input, rule holdRule) *Merged {
	m := &Merged{inputs: inputs, alone: make([][]piece, len(inputs))}
	var held []span
	for i := range inputs {
		items, zeros := recordItems(inputs[i].Records)
		own, holds := place(items, nil, nil, int32(i), rule)
		m.alone[i] = withZeros(own, zeros, int32(i))
		if len(m.pieces) > 0 || len(held) > 0 {
			own, holds = place(items, m.pieces, held, int32(i), rule)
		}
		m.pieces = mergePieces(m.pieces, own)
		held = unionSpans(held, holds)
	}
	for i := range inputs {
		moved, alternative := sessionItems(inputs[i].Sessions)
		own, holds := place(moved, m.pieces, held, int32(i), holdRule{})
		m.pieces = mergePieces(m.pieces, own)
		held = unionSpans(held, holds)
		own, _ = place(alternative, m.alternative, pieceSpans(m.alternative), int32(i), holdRule{})
		m.alternative = mergePieces(m.alternative, own)
	}
	return m
}

// recordItems returns the records with steps as items sorted by start, and the records without steps as spans.
func recordItems(records []Record) (items []item, zeros []span) {
	items = make([]item, 0, len(records))
	sorted := records
	if !slices.IsSortedFunc(records, compareRecords) {
		sorted = slices.Clone(records)
		slices.SortFunc(sorted, compareRecords)
	}
	for _, r := range rejoin(sorted) {
		s := span{r.Start.UnixNano(), r.Start.UnixNano() + int64(r.Duration)}
		if r.Steps <= 0 {
			zeros = append(zeros, s)
			continue
		}
		it := item{span: s, amount: r.Steps, steps: r.Steps, length: r.Duration, cap: float64(r.Duration)}
		it.c = StepsPerMinute(r.Duration) / float64(time.Minute)
		if r.Duration > 0 {
			cadence := r.Steps / r.Duration.Minutes()
			it.running = cadence >= RunningCadence
			it.brisk = !it.running && cadence >= BriskCadence
		}
		items = append(items, it)
	}
	return items, zeros
}

func compareRecords(a, b Record) int {
	if c := a.Start.Compare(b.Start); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Duration, b.Duration); c != 0 {
		return c
	}
	return -cmp.Compare(a.Steps, b.Steps)
}

// sessionItems returns walks and runs, and the sessions that count as alternative aerobic time, sorted by start.
func sessionItems(sessions []Session) (moved, alternative []item) {
	for _, s := range sessions {
		length := s.End.Sub(s.Start)
		if length <= 0 {
			continue
		}
		moving := float64(min(s.Moving, length))
		it := item{span: span{s.Start.UnixNano(), s.End.UnixNano()}, cap: moving, length: ShortRecord}
		switch {
		case s.Kind.Alternative():
			it.amount, it.timed = moving, true
			alternative = append(alternative, it)
			continue
		case s.Kind != Run && !s.Kind.Walking():
			continue
		case s.HasSteps:
			it.amount, it.steps, it.length = s.Steps, s.Steps, length
			it.c = StepsPerMinute(length) / float64(time.Minute)
			if moving > 0 {
				it.brisk = s.Kind != Run && s.Steps/(moving/float64(time.Minute)) >= BriskCadence
			}
		default:
			it.amount, it.timed = moving, true
		}
		it.running = s.Kind == Run
		if it.amount > 0 {
			moved = append(moved, it)
		}
	}
	for _, items := range [][]item{moved, alternative} {
		slices.SortFunc(items, func(a, b item) int {
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), cmp.Compare(b.amount, a.amount))
		})
	}
	return moved, alternative
}

// place puts the items of one stream, sorted by start, where nothing is held and returns their pieces and what they
// hold in turn, both sorted.
func place(items []item, counted []piece, held []span, stream int32, rule holdRule) ([]piece, []span) {
	pieces := make([]piece, 0, len(items))
	holds := make([]span, 0, len(items))
	for len(items) > 0 {
		// A cluster is a run of items that overlap one another; almost always it is a single one.
		n, end := 1, items[0].end
		for n < len(items) && items[n].start < end {
			end = max(end, items[n].end)
			n++
		}
		cluster := items[:n]
		items = items[n:]
		var (
			own     []piece
			ownHeld []span
		)
		if n > 1 {
			cluster = slices.Clone(cluster)
			slices.SortStableFunc(cluster, func(a, b item) int {
				return cmp.Or(cmp.Compare(a.end-a.start, b.end-b.start), cmp.Compare(a.start, b.start))
			})
		}
		for _, it := range cluster {
			before := len(own)
			own = it.place(own, counted, held, ownHeld, stream)
			if len(own) == before {
				continue
			}
			if n > 1 {
				sortPieces(own)
			}
			if it.end > it.start {
				if n > 1 {
					ownHeld = unionSpans(ownHeld, []span{it.span})
				}
				h := it.span
				if it.isShort() {
					h.start -= int64(rule.margin)
					h.end += int64(rule.margin)
				}
				holds = append(holds, h)
			}
		}
		pieces = append(pieces, own...)
	}
	slices.SortFunc(holds, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	return pieces, joinSpans(holds, int64(rule.bridge))
}

func (it item) isShort() bool { return it.end-it.start <= int64(ShortRecord) }

// place appends the item's pieces to own, if it has any.
func (it item) place(own, counted []piece, held, ownHeld []span, stream int32) []piece {
	if it.start == it.end {
		if coversInstant(held, it.start) {
			return own
		}
		return append(own, piece{start: it.start, end: it.end, steps: it.steps, stream: stream})
	}
	var buf [8]span
	free := subtractSpans(append(buf[:0], it.span), held)
	if len(ownHeld) > 0 {
		free = subtractSpans(free, ownHeld)
	}
	var room int64
	for _, f := range free {
		room += f.end - f.start
	}
	if room == 0 {
		return own
	}
	rest := it.amount
	if room < it.end-it.start {
		rest -= it.countedIn(counted) + it.countedIn(own)
		if rest <= it.amount/4 {
			return own
		}
	}
	var moved float64
	if it.timed {
		moved = min(rest, float64(room))
	} else {
		moved = min(rest/it.c, float64(room), it.cap)
	}
	for _, f := range free {
		part := float64(f.end-f.start) / float64(room)
		p := piece{start: f.start, end: f.end, stream: stream, short: it.isShort()}
		if !it.timed {
			p.steps = rest * part
		}
		if it.running {
			// A record's cadence says that all of it was running, however few steps remain of it.
			p.run = moved * part
		} else {
			p.walk = moved * part
			p.uncertainty = Uncertainty(it.length)
		}
		if it.brisk {
			p.brisk = p.walk
		}
		own = append(own, p)
	}
	return own
}

// countedIn returns how much of the item's kind of amount the pieces hold inside its span.
func (it item) countedIn(pieces []piece) float64 {
	i, _ := slices.BinarySearchFunc(pieces, it.start, func(p piece, t int64) int {
		if p.end > t || p.start == p.end && p.start >= t {
			return 1
		}
		return -1
	})
	var sum float64
	for ; i < len(pieces) && pieces[i].start < it.end; i++ {
		p := &pieces[i]
		amount := p.steps
		if it.timed {
			amount = p.walk + p.run
		}
		sum += amount * p.part(it.span)
	}
	return sum
}

// part returns the share of the piece that lies in s.
func (p *piece) part(s span) float64 {
	if p.start >= s.start && p.end <= s.end {
		return 1
	}
	overlap := min(p.end, s.end) - max(p.start, s.start)
	if overlap <= 0 {
		return 0
	}
	return float64(overlap) / float64(p.end-p.start)
}

// withZeros adds the records without steps to a stream's own pieces, where none of these lies.
func withZeros(own []piece, zeros []span, stream int32) []piece {
	if len(zeros) == 0 {
		return own
	}
	taken := pieceSpans(own)
	added := make([]piece, 0, len(zeros))
	i := 0
	for _, z := range zeros {
		for i < len(taken) && taken[i].end <= z.start {
			i++
		}
		if i < len(taken) && taken[i].start < max(z.end, z.start+1) {
			continue
		}
		if n := len(added); n > 0 && added[n-1].end > z.start {
			continue
		}
		added = append(added, piece{start: z.start, end: z.end, stream: stream})
	}
	return mergePieces(own, added)
}

func sortPieces(p []piece) {
	slices.SortFunc(p, func(a, b piece) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
}

// mergePieces merges two sorted lists into one.
func mergePieces(a, b []piece) []piece {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	if a[len(a)-1].start <= b[0].start {
		return append(slices.Clip(a), b...)
	}
	out := make([]piece, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if b[0].start < a[0].start || b[0].start == a[0].start && b[0].end < a[0].end {
			out, b = append(out, b[0]), b[1:]
		} else {
			out, a = append(out, a[0]), a[1:]
		}
	}
	return append(append(out, a...), b...)
}

// pieceSpans returns the spans of sorted pieces, those without length left out.
func pieceSpans(pieces []piece) []span {
	out := make([]span, 0, len(pieces))
	for _, p := range pieces {
		if p.start < p.end {
			out = append(out, span{p.start, p.end})
		}
	}
	return out
}

// joinSpans joins sorted spans that overlap, touch, or lie at most gap apart. It works in place.
func joinSpans(s []span, gap int64) []span {
	out := s[:0]
	for _, x := range s {
		if n := len(out); n > 0 && x.start <= out[n-1].end+gap {
			out[n-1].end = max(out[n-1].end, x.end)
			continue
		}
		out = append(out, x)
	}
	return out
}

// unionSpans returns the union of two sorted lists of spans.
func unionSpans(a, b []span) []span {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]span, 0, len(a)+len(b))
	out = append(append(out, a...), b...)
	slices.SortFunc(out, func(x, y span) int { return cmp.Compare(x.start, y.start) })
	return joinSpans(out, 0)
}

// subtractSpans returns what of the sorted spans in from lies outside of the sorted disjoint spans in held.
func subtractSpans(from, held []span) []span {
	if len(from) == 0 {
		return from
	}
	i, _ := slices.BinarySearchFunc(held, from[0].start, func(h span, t int64) int {
		if h.end > t {
			return 1
		}
		return -1
	})
	if i == len(held) || held[i].start >= from[len(from)-1].end {
		return from // nothing of it is held, the usual case
	}
	var out []span
	for _, f := range from {
		for i < len(held) && held[i].end <= f.start {
			i++
		}
		for j := i; j < len(held) && held[j].start < f.end; j++ {
			if held[j].start > f.start {
				out = append(out, span{f.start, held[j].start})
			}
			f.start = max(f.start, held[j].end)
			if f.start >= f.end {
				break
			}
		}
		if f.start < f.end {
			out = append(out, f)
		}
	}
	return out
}

func coversInstant(held []span, t int64) bool {
	i, _ := slices.BinarySearchFunc(held, t, func(h span, t int64) int {
		if h.end > t {
			return 1
		}
		return -1
	})
	return i < len(held) && held[i].start <= t
}

// rejoinSpan is the longest record that rejoin makes, and the grid that it never crosses, so that what is joined
// depends on nothing further away.
const rejoinSpan = time.Hour

// rejoin joins runs of records that touch and have one duration and one fractional number of steps: some senders spread
// a longer record evenly over its minutes, and whole records are estimated better. Steps come in whole numbers, so
// equal fractions are no chance. Records must be sorted; runs are cut at every full hour (UTC).
func rejoin(records []Record) []Record {
	same := func(a, b Record) bool {
		return a.Steps == b.Steps && a.Steps != math.Trunc(a.Steps) && a.Duration == b.Duration && a.Duration > 0 &&
			a.End().Equal(b.Start) && a.Offset == b.Offset && a.HasOffset == b.HasOffset
	}
	i := 1
	for i < len(records) && !same(records[i-1], records[i]) {
		i++
	}
	if i >= len(records) {
		return records
	}
	out := slices.Clone(records[:i])
	for ; i < len(records); i++ {
		r, last := records[i], &out[len(out)-1]
		if same(records[i-1], r) && r.Start.Truncate(rejoinSpan).Equal(last.Start.Truncate(rejoinSpan)) {
			last.Duration += r.Duration
			last.Steps += r.Steps
			continue
		}
		out = append(out, r)
	}
	return out
}
