package walking

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// ShortRecord is the length up to which a record tells when its steps happened, give or take the minutes by which
// devices disagree. Within an hour's count there is nothing to shift.
const ShortRecord = 5 * time.Minute

// A holdRule says which minutes a short record keeps from the streams below it.
type holdRule struct {
	margin time.Duration // held before and after the record, since the devices' clocks disagree by minutes
	bridge time.Duration // a gap up to this long between two held stretches of a stream is held too
	// A short record in the margin or the bridge, but beside the records that hold it, counts after all if its stream
	// has more steps than those above within around of it, by more than surplus, a share of its own steps: then the
	// person walked on without the higher device. Zero: never.
	around  time.Duration
	surplus float64
}

// shippedRule is the rule in force. On 990 simulated days of a watch and a phone made from the Fitabase data, the watch
// first, its mean absolute error is 0.6 min a day; 0.9 without the last two fields, 0.8 with a margin of 2 and a bridge
// of 5 min instead. With the phone first it is 1.6, where 3.9 and 2.1 were and 1.3 is the phone's own miscounting:
// TestMergeOnFitabase and docs/estimation.md.
var shippedRule = holdRule{margin: 5 * time.Minute, around: 10 * time.Minute, surplus: 0.4}

// Reach is how far the influence of a stream's records and sessions reaches beyond their own span, where the longest of
// them is longest: what lies further away from an instant cannot change what is merged there. Over several streams
// reaches add up. A merge that holds everything that overlaps a window widened by the reach of all streams has the same
// outcome inside the window as one over all time.
func Reach(longest time.Duration) time.Duration {
	// From an instant, a record or session that covers it reaches its own length; whatever a higher stream holds in that
	// span reaches on from there, once per stream, records and sessions apart. Within its own stream the last of these
	// depends on what overlaps it, which is one length more. A record may be one that rejoin has made.
	record := max(longest, rejoinSpan)
	return 2*(record+longest) + shippedRule.margin + shippedRule.bridge + shippedRule.around
}

// An Input is one stream's part in a merge.
type Input struct {
	StreamKey
	Records  []Record
	Sessions []Session
	Unworn   []Window // when the source says that the device was not on the body
}

// A trait is what is special about a piece.
type trait uint8

const (
	running trait = 1 << iota // its movement is running, not walking
	brisk                     // its walking is brisk
	timed                     // movement was measured as time, without steps
	short                     // from a record short enough to tell when it happened
)

// A piece is a stretch of the merged time, longer than nothing. Its figures are spread evenly over it.
type piece struct {
	span
	steps       float64
	moved       float64 // nanoseconds of walking, or of running
	uncertainty float32 // relative, of walking
	stream      int16   // index of the input
	trait       trait
}

func (p *piece) walk() float64 {
	if p.trait&running != 0 {
		return 0
	}
	return p.moved
}

// An instant holds the steps of records without length.
type instant struct {
	at     int64 // unix nanoseconds
	steps  float64
	stream int16
}

// A span is a half-open stretch of unix nanoseconds.
type span struct{ start, end int64 }

func (s span) length() int64 { return s.end - s.start }

// span and window convert; a window's location is lost.
func (w Window) span() span { return span{w.Start.UnixNano(), w.End.UnixNano()} }

func (s span) window() Window { return Window{time.Unix(0, s.start).UTC(), time.Unix(0, s.end).UTC()} }

// An item is a record or session on its way into the merge, freed of what finer ones of its own stream say already.
type item struct {
	span
	own         []span  // the parts of span that no finer item of its stream covers; nil if that is all of it
	room        int64   // the length of these parts
	amount      float64 // what it adds to the finer items of its stream: steps, or nanoseconds if timed
	c           float64 // steps per nanosecond of walking
	limit       float64 // most nanoseconds of movement
	uncertainty float32
	trait       trait
}

// movement returns how many nanoseconds of movement an amount makes.
func (it *item) movement(amount float64, room int64) float64 {
	if it.trait&timed != 0 {
		return min(amount, float64(room))
	}
	return min(amount/it.c, float64(room), it.limit)
}

// A flat is one stream by itself, freed of overlaps.
type flat struct {
	items    []item    // sorted by start; their own parts are disjoint
	instants []instant // sorted
	zeros    []span    // records without steps, disjoint, apart from the items; sorted
	pieces   []piece   // of the items
}

// A Merged is the outcome of a merge over any stretch of time.
type Merged struct {
	inputs      []Input
	alone       []flat // each stream by itself
	all         layer  // all streams
	alternative layer  // alternative aerobic time
	off         []span // known as unworn, while no short record with steps says otherwise
	sessions    []StreamSession
}

// A layer is what is counted so far on the way down the streams.
type layer struct {
	pieces   []piece   // disjoint, sorted
	instants []instant // sorted
	held     []span    // disjoint, sorted
	core     []span    // what is held without margins and bridges; disjoint, sorted
}

// Merge merges streams given in priority order. A record of a lower stream counts only where no higher one holds the
// minutes, so that watch and phone are never added up. The order of the records within a stream does not matter.
//
// A record up to ShortRecord long holds the minutes within 5 min of it, a longer one exactly its span, and only records
// with steps hold anything. In those 5 min a short record still counts where over 40 % of what its stream has in the
// 10 min around it is missing from the higher ones: the person walked on without the higher device. A lower record
// wholly in free minutes counts in full. One that is partly held offers its steps less those already counted inside its
// span, if more than a quarter of them remain; these go evenly over its free minutes. Overlaps within a stream are resolved first in the same way, finer records before coarser ones and
// without a margin. Recorded walks and runs come after all records, so they add only what no stream has counted.
func Merge(inputs []Input) *Merged { return merge(inputs, shippedRule) }

func merge(inputs []Input, rule holdRule) *Merged {
	m := &Merged{inputs: inputs, alone: make([]flat, len(inputs))}
	for i := range inputs {
		f := flattenRecords(inputs[i].Records)
		var top layer
		top.place(f, int16(i), rule)
		f.pieces = top.pieces
		if i == 0 {
			m.all = top
		} else {
			m.all.place(f, int16(i), rule)
		}
		f.items = nil
		m.alone[i] = f
	}
	for i := range inputs {
		moved, alternative := sessionItems(inputs[i].Sessions)
		m.all.place(flat{items: resolve(moved)}, int16(i), holdRule{})
		m.alternative.place(flat{items: resolve(alternative)}, int16(i), holdRule{})
		for _, s := range inputs[i].Sessions {
			m.sessions = append(m.sessions, StreamSession{inputs[i].StreamKey, s})
		}
	}
	slices.SortStableFunc(m.sessions, func(a, b StreamSession) int { return compareSessions(a.Session, b.Session) })
	m.off = unworn(inputs, m.all.pieces)
	return m
}

func compareRecords(a, b Record) int {
	if c := a.Start.Compare(b.Start); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Duration, b.Duration), cmp.Compare(b.Steps, a.Steps), cmp.Compare(a.Offset, b.Offset))
}

func compareSessions(a, b Session) int {
	if c := cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(b.Moving, a.Moving),
		cmp.Compare(b.Steps, a.Steps), cmp.Compare(a.Kind, b.Kind)); c != 0 || a.HasSteps == b.HasSteps {
		return c
	}
	if a.HasSteps {
		return -1
	}
	return 1
}

// flattenRecords returns a stream's records freed of overlaps; all but the pieces.
func flattenRecords(records []Record) flat {
	f, ok := splitRecords(records, false)
	if !ok {
		records = slices.Clone(records)
		slices.SortFunc(records, compareRecords)
		f, _ = splitRecords(rejoin(records), true)
	}
	f.zeros = clearZeros(f.zeros, f.items)
	f.items = resolve(f.items)
	return f
}

// splitRecords makes items, instants and zeros of records. Unless they are ready it first makes sure that they are
// sorted and that there is nothing to rejoin, as it nearly always is; if not, it gives up.
func splitRecords(records []Record, ready bool) (f flat, ok bool) {
	f.items = make([]item, 0, len(records)/4+4)
	for i := range records {
		r := &records[i]
		if i > 0 && !ready {
			last := &records[i-1]
			if !last.Start.Before(r.Start) && compareRecords(*last, *r) > 0 || r.Steps > 0 && joinable(last, r) {
				return flat{}, false
			}
		}
		start := r.Start.UnixNano()
		switch s := (span{start, start + int64(r.Duration)}); {
		case r.Steps > 0 && r.Duration > 0:
			f.items = append(f.items, recordItem(r, s))
		case r.Steps > 0:
			f.instants = append(f.instants, instant{at: start, steps: r.Steps})
		case r.Duration > 0:
			if f.zeros == nil {
				f.zeros = make([]span, 0, len(records)-i)
			}
			f.zeros = append(f.zeros, s)
		}
	}
	return f, true
}

func recordItem(r *Record, s span) item {
	it := item{span: s, room: int64(r.Duration), amount: r.Steps, limit: float64(r.Duration)}
	it.c = StepsPerMinute(r.Duration) / nanosPerMinute
	it.uncertainty = float32(Uncertainty(r.Duration))
	switch cadence := r.Steps / (float64(r.Duration) / nanosPerMinute); {
	case cadence >= RunningCadence:
		it.trait |= running
	case cadence >= BriskCadence:
		it.trait |= brisk
	}
	if r.Duration <= ShortRecord {
		it.trait |= short
	}
	return it
}

// sessionItems returns walks and runs, and the sessions that count as alternative aerobic time, sorted by start.
func sessionItems(sessions []Session) (moved, alternative []item) {
	for _, s := range sessions {
		length := s.End.Sub(s.Start)
		if length <= 0 {
			continue
		}
		moving := float64(min(s.Moving, length))
		it := item{span: span{s.Start.UnixNano(), s.End.UnixNano()}, room: int64(length), limit: moving}
		it.uncertainty = float32(Uncertainty(length))
		// The c also tells what movement without steps leaves of a session with steps.
		it.c = StepsPerMinute(length) / nanosPerMinute
		if s.HasSteps && !s.Kind.Alternative() {
			it.amount = s.Steps
			if moving <= 0 {
				it.limit = float64(length) // a source that does not tell
			}
			if s.Kind.Walking() && s.Steps/(it.limit/nanosPerMinute) >= BriskCadence {
				it.trait |= brisk
			}
		} else {
			it.amount = moving
			it.trait |= timed
			it.uncertainty = float32(Uncertainty(0))
		}
		switch {
		case !(it.amount > 0):
		case s.Kind.Alternative():
			alternative = append(alternative, it)
		case s.Kind == Run:
			it.trait |= running
			moved = append(moved, it)
		case s.Kind.Walking():
			moved = append(moved, it)
		}
	}
	for _, items := range [][]item{moved, alternative} {
		slices.SortFunc(items, func(a, b item) int {
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), cmp.Compare(b.amount, a.amount),
				cmp.Compare(a.trait, b.trait), cmp.Compare(b.limit, a.limit))
		})
	}
	return moved, alternative
}

// resolve frees the items of one stream of their overlaps. Every instant belongs to the shortest item that covers it.
// A longer item keeps what no shorter one has counted in its span, if that is more than a quarter of it; otherwise it
// is left out. Items must be sorted by start; resolve works in place.
//
// What becomes of an item depends only on what overlaps it or is inside it, never on a chain of overlaps, so that a day
// can be derived from the records around it.
func resolve(items []item) []item {
	out := items[:0]
	for i := 0; i < len(items); {
		// A cluster is a run of items that overlap one another; almost always it is a single one.
		n, end := 1, items[i].end
		for i+n < len(items) && items[i+n].start < end {
			end = max(end, items[i+n].end)
			n++
		}
		if n == 1 {
			out = append(out, items[i])
		} else {
			out = append(out, resolveCluster(items[i:i+n])...)
		}
		i += n
	}
	return out
}

func resolveCluster(cluster []item) []item {
	spans := make([]span, len(cluster))
	for i := range cluster {
		spans[i] = cluster[i].span
	}
	parts := sweep(spans)
	items := slices.Clone(cluster)
	for i := range items {
		items[i].room = 0
	}
	for _, p := range parts {
		it := &items[p.owner]
		it.own = append(it.own, p.span)
		it.room += p.length()
	}
	for _, i := range byLength(spans) {
		it := &items[i]
		if it.room == it.length() {
			it.own = nil
			continue
		}
		rest := it.amount
		first, _ := slices.BinarySearchFunc(parts, it.start+1, func(p part, t int64) int { return cmp.Compare(p.end, t) })
		for _, p := range parts[first:] {
			if p.start >= it.end {
				break
			}
			if p.owner == i {
				continue
			}
			// What an item inside this one adds is known by now. One that sticks out counts as it stands, so that
			// nothing depends on what lies further out.
			o := &items[p.owner]
			amount, room := o.amount, o.room
			if o.start < it.start || o.end > it.end {
				amount, room = cluster[p.owner].amount, o.length()
			}
			inside := min(p.end, it.end) - max(p.start, it.start)
			rest -= it.counted(amount, o.movement(amount, room), o.trait) * float64(inside) / float64(room)
		}
		if it.amount = rest; it.room == 0 || rest <= cluster[i].amount/4 {
			it.amount = 0
		}
	}
	return slices.DeleteFunc(items, func(it item) bool { return it.amount == 0 })
}

// counted returns what an amount or movement of somebody else's is in terms of the item's own amount.
func (it *item) counted(steps, moved float64, t trait) float64 {
	switch {
	case it.trait&timed != 0:
		return moved
	case t&timed != 0:
		return moved * it.c
	default:
		return steps
	}
}

// A part is a stretch of time and the index of the span it belongs to.
type part struct {
	span
	owner int
}

// sweep returns, in order, to which of the spans every covered instant belongs: the shortest, of equals the first. The
// spans must be sorted by start and overlap from one to the next.
func sweep(spans []span) []part {
	edges := make([]int64, 0, 2*len(spans))
	for _, s := range spans {
		edges = append(edges, s.start, s.end)
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var (
		out    []part
		active []int
		next   int
	)
	for e, start := range edges[:len(edges)-1] {
		active = slices.DeleteFunc(active, func(i int) bool { return spans[i].end <= start })
		for ; next < len(spans) && spans[next].start == start; next++ {
			active = append(active, next)
		}
		owner := active[0]
		for _, i := range active[1:] {
			if spans[i].length() < spans[owner].length() {
				owner = i
			}
		}
		if n := len(out); n > 0 && out[n-1].owner == owner {
			out[n-1].end = edges[e+1]
		} else {
			out = append(out, part{span{start, edges[e+1]}, owner})
		}
	}
	return out
}

// byLength returns the indexes of spans, shortest first.
func byLength(spans []span) []int {
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(spans[a].length(), spans[b].length()) })
	return order
}

// clearZeros returns the zeros that overlap no item and no shorter zero. Both lists must be sorted by start.
func clearZeros(zeros []span, items []item) []span {
	out := zeros[:0]
	next, reach := 0, int64(math.MinInt64) // items[:next] start before the zero ends, and end at reach or before
	for i := 0; i < len(zeros); {
		n, end := 1, zeros[i].end
		for i+n < len(zeros) && zeros[i+n].start < end {
			end = max(end, zeros[i+n].end)
			n++
		}
		kept := zeros[i : i+n]
		if n > 1 {
			var clear []span
			for _, p := range sweep(kept) {
				if p.span == kept[p.owner] {
					clear = append(clear, p.span)
				}
			}
			kept = clear
		}
		for _, z := range kept {
			for ; next < len(items) && items[next].start < z.end; next++ {
				reach = max(reach, items[next].end)
			}
			if reach <= z.start {
				out = append(out, z)
			}
		}
		i += n
	}
	return out
}

// place adds a stream to the layer where nothing is held yet.
func (l *layer) place(f flat, stream int16, rule holdRule) {
	var (
		pieces  = make([]piece, 0, len(f.items))
		held    = spanList{gap: int64(rule.bridge)}
		core    spanList
		ordered = true
		h, c    int // the first of l.held and l.pieces that can matter
		whole   [1]span
	)
	for i := range f.items {
		it := &f.items[i]
		for h < len(l.held) && l.held[h].end <= it.start {
			h++
		}
		free, room, rest := it.own, it.room, it.amount
		if free == nil {
			whole[0] = it.span
			free = whole[:]
		}
		if h < len(l.held) && l.held[h].start < it.end {
			own := free
			free = subtractSpans(nil, own, l.held[h:])
			room = totalLength(free)
			if room < it.room && it.trait&short != 0 && rule.around > 0 && l.walkedOn(f.items, i, rule) {
				free = subtractSpans(nil, own, l.core[firstAfter(l.core, it.start):])
				room = totalLength(free)
			}
			if room == 0 {
				continue
			}
			if room < it.room {
				for c < len(l.pieces) && l.pieces[c].end <= it.start {
					c++
				}
				rest -= it.countedIn(own, l.pieces[c:], l.instants)
				if rest <= it.amount/4 {
					continue
				}
			}
		}
		p := piece{uncertainty: it.uncertainty, stream: stream, trait: it.trait}
		moved := it.movement(rest, room)
		for _, s := range free {
			part := 1.0
			if len(free) > 1 {
				part = float64(s.length()) / float64(room)
			}
			p.span, p.moved = s, moved*part
			if it.trait&timed == 0 {
				p.steps = rest * part
			}
			ordered = ordered && (len(pieces) == 0 || pieces[len(pieces)-1].start < s.start)
			pieces = append(pieces, p)
		}
		core.add(it.span)
		if it.trait&short != 0 {
			held.add(span{it.start - int64(rule.margin), it.end + int64(rule.margin)})
		} else {
			held.add(it.span)
		}
	}
	if !ordered {
		slices.SortFunc(pieces, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
	}
	var instants []instant
	for _, x := range f.instants {
		if !covers(l.held, x.at) && !hasInstant(l.instants, x.at) {
			x.stream = stream
			instants = append(instants, x)
		}
	}
	l.pieces = mergeSorted(l.pieces, pieces, func(p *piece) int64 { return p.start })
	l.instants = mergeSorted(l.instants, instants, func(x *instant) int64 { return x.at })
	start := func(s *span) int64 { return s.start }
	l.held = joinSpans(mergeSorted(l.held, held.sorted(), start), 0)
	l.core = joinSpans(mergeSorted(l.core, core.sorted(), start), 0)
}

// walkedOn reports whether the short records of a stream around items[i] have so many more steps than the layer that
// the device above cannot have been carried all the time.
func (l *layer) walkedOn(items []item, i int, rule holdRule) bool {
	it := &items[i]
	w := span{it.start - int64(rule.around), it.end + int64(rule.around)}
	var own float64
	add := func(it *item) {
		if it.trait&short != 0 {
			own += it.amount * float64(max(0, min(it.end, w.end)-max(it.start, w.start))) / float64(it.length())
		}
	}
	for j := i; j >= 0 && items[j].start > w.start-int64(ShortRecord); j-- {
		add(&items[j])
	}
	for j := i + 1; j < len(items) && items[j].start < w.end; j++ {
		add(&items[j])
	}
	above := 0.0
	for _, p := range piecesFrom(l.pieces, w.start) {
		if p.start >= w.end {
			break
		}
		above += p.steps * p.part(w)
	}
	return own-above > rule.surplus*own
}

// A spanList collects spans that come nearly in order, joined where they lie at most gap apart.
type spanList struct {
	spans     []span
	gap       int64
	unordered bool
}

func (l *spanList) add(s span) {
	if n := len(l.spans); n > 0 {
		last := &l.spans[n-1]
		if s.start >= last.start && s.start <= last.end+l.gap {
			last.end = max(last.end, s.end)
			return
		}
		l.unordered = l.unordered || s.start < last.start
	}
	l.spans = append(l.spans, s)
}

// sorted returns the union of the spans.
func (l *spanList) sorted() []span {
	if l.unordered {
		slices.SortFunc(l.spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	}
	return joinSpans(l.spans, l.gap)
}

// countedIn returns how much of the item's kind of amount is counted inside the given spans.
func (it *item) countedIn(spans []span, pieces []piece, instants []instant) float64 {
	var sum float64
	for _, s := range spans {
		for len(pieces) > 0 && pieces[0].end <= s.start {
			pieces = pieces[1:]
		}
		for i := range pieces {
			p := &pieces[i]
			if p.start >= s.end {
				break
			}
			sum += it.counted(p.steps, p.moved, p.trait) * p.part(s)
		}
		if it.trait&timed == 0 {
			for i := firstInstant(instants, s.start); i < len(instants) && instants[i].at < s.end; i++ {
				sum += instants[i].steps
			}
		}
	}
	return sum
}

// part returns the share of the piece that lies in s.
func (p *piece) part(s span) float64 {
	if p.start >= s.start && p.end <= s.end {
		return 1
	}
	overlap := min(p.end, s.end) - max(p.start, s.start)
	return float64(max(overlap, 0)) / float64(p.length())
}

// mergeSorted merges two lists sorted by key into one. It may return either of them.
func mergeSorted[T any](a, b []T, key func(*T) int64) []T {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]T, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if key(&b[0]) < key(&a[0]) {
			out, b = append(out, b[0]), b[1:]
		} else {
			out, a = append(out, a[0]), a[1:]
		}
	}
	return append(append(out, a...), b...)
}

func firstInstant(x []instant, t int64) int {
	i, _ := slices.BinarySearchFunc(x, t, func(x instant, t int64) int { return cmp.Compare(x.at, t) })
	return i
}

func hasInstant(x []instant, t int64) bool {
	i := firstInstant(x, t)
	return i < len(x) && x[i].at == t
}

// joinSpans joins spans sorted by start that overlap, touch, or lie at most gap apart. It works in place.
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

// subtractSpans appends to out what of the spans in from lies outside of those in held. Both must be sorted and
// disjoint.
func subtractSpans(out, from, held []span) []span {
	i := 0
	for _, f := range from {
		for i < len(held) && held[i].end <= f.start {
			i++
		}
		for j := i; j < len(held) && held[j].start < f.end && f.start < f.end; j++ {
			if held[j].start > f.start {
				out = append(out, span{f.start, held[j].start})
			}
			f.start = max(f.start, held[j].end)
		}
		if f.start < f.end {
			out = append(out, f)
		}
	}
	return out
}

func totalLength(spans []span) int64 {
	var sum int64
	for _, s := range spans {
		sum += s.length()
	}
	return sum
}

// firstAfter returns the index of the first of the sorted disjoint spans that ends after t.
func firstAfter(spans []span, t int64) int {
	i, _ := slices.BinarySearchFunc(spans, t, func(s span, t int64) int {
		if s.end > t {
			return 1
		}
		return -1
	})
	return i
}

func covers(spans []span, t int64) bool {
	i := firstAfter(spans, t)
	return i < len(spans) && spans[i].start <= t
}

// unworn returns when some stream says that its device was off the body and no short record with steps says otherwise.
func unworn(inputs []Input, pieces []piece) []span {
	var off []span
	for _, in := range inputs {
		for _, w := range in.Unworn {
			if !w.Empty() {
				off = append(off, span{w.Start.UnixNano(), w.End.UnixNano()})
			}
		}
	}
	if len(off) == 0 {
		return nil
	}
	slices.SortFunc(off, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var carried []span
	for i := range pieces {
		if pieces[i].trait&short != 0 {
			carried = append(carried, pieces[i].span)
		}
	}
	return subtractSpans(nil, joinSpans(off, 0), carried)
}

// rejoinSpan is the length and the grid that a record made by rejoin never exceeds, so that what is joined depends on
// nothing further away.
const rejoinSpan = time.Hour

// rejoin joins runs of records that are joinable: some senders spread a longer record evenly over its minutes, and
// whole records are estimated better. Records must be sorted.
func rejoin(records []Record) []Record {
	out := make([]Record, 0, len(records))
	for i := range records {
		r := &records[i]
		if i > 0 && joinable(&records[i-1], r) {
			last := &out[len(out)-1]
			last.Duration += r.Duration
			last.Steps += r.Steps
			continue
		}
		out = append(out, *r)
	}
	return out
}

// joinable reports whether b touches a and has the same length and the same fractional number of steps. Steps come in
// whole numbers, so equal fractions are no chance. Runs end at every full hour (UTC).
func joinable(a, b *Record) bool {
	return a.Steps == b.Steps && a.Steps != math.Trunc(a.Steps) && a.Duration == b.Duration && a.Duration > 0 &&
		a.End().Equal(b.Start) && a.Offset == b.Offset && a.HasOffset == b.HasOffset &&
		!b.End().After(a.Start.Truncate(rejoinSpan).Add(rejoinSpan))
}
