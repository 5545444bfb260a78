package influx

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/walkd/walkd/internal/walking"
)

const (
	batchLines = 5000 // as InfluxDB recommends
	chunkDays  = 28   // so that two chunks of days stay small
	reach      = 2    // how many days an instant can move when a zone changes
)

// batch is what is posted at once.
type batch struct {
	compressed []byte
	points     int
}

// chunk is some days of one person, ready to be posted.
type chunk struct {
	tasks        []Task
	intend, done []Written
	batches      []batch
	used         int // batches in use; those behind keep their memory
	stats        Stats
}

func (c *chunk) reset() {
	c.tasks, c.intend, c.done, c.used, c.stats = nil, nil, nil, 0, Stats{}
}

// builder makes chunks. While one is posted it makes the next.
type builder struct {
	days    Days
	journal Journal
	log     *slog.Logger
	limit   func() int // how many lines a batch may have

	// pending is what the chunk before will leave behind: it may not be in the Journal yet.
	pending map[Key]Written

	enc, other *encoder
	compressor *compressor
	raw        []byte
	rawPoints  int
	chunk      *chunk
	blob       []byte // memory that remembered keys are cut from

	person   string
	contents map[walking.Day]*Content // nil: the day does not exist; absent: not read
	old      map[Key]Written
	known    map[walking.Day]bool // days whose old is complete
	posted   map[Key]bool
}

func newBuilder(days Days, journal Journal, log *slog.Logger, limit func() int) *builder {
	return &builder{
		days: days, journal: journal, log: log, limit: limit,
		enc: newEncoder(), other: newEncoder(), compressor: newCompressor(),
	}
}

// build fills c with what the tasks, all of one person, have to post.
func (b *builder) build(ctx context.Context, c *chunk, tasks []Task) error {
	c.reset()
	c.tasks = tasks
	b.chunk, b.person = c, tasks[0].Person
	b.raw, b.rawPoints, b.blob = b.raw[:0], 0, nil
	b.contents = make(map[walking.Day]*Content, len(tasks)+2*reach)
	b.old = make(map[Key]Written, len(tasks)*len(dayMeasurements))
	b.known = make(map[walking.Day]bool, len(tasks)+2*reach)
	b.posted = make(map[Key]bool, len(tasks)*len(dayMeasurements))

	due := make([]walking.Day, len(tasks))
	for i, t := range tasks {
		due[i] = t.Day
	}
	if err := b.read(ctx, due); err != nil {
		return err
	}
	var gone []vanished
	for _, d := range due {
		for _, m := range dayMeasurements {
			b.enc.day(m, b.contents[d])
			if v := b.settle(ctx, Key{b.person, d, m}); len(v) > 0 {
				gone = append(gone, vanished{d, m, v})
			}
		}
	}
	for _, v := range gone {
		if err := b.vanish(ctx, v); err != nil {
			return err
		}
	}
	if err := b.periods(ctx, due); err != nil {
		return err
	}
	b.flush()
	c.stats.Days = len(tasks)

	clear(b.pending)
	if b.pending == nil {
		b.pending = make(map[Key]Written, len(c.done))
	}
	for _, w := range c.done {
		b.pending[w.Key] = w
	}
	return nil
}

// vanished are points that a day wrote once and has no more.
type vanished struct {
	day  walking.Day
	m    Measurement
	keys keyset
}

// settle compares what b.enc holds with what is remembered for key. If it changed it is posted, and what is no longer
// there is returned.
func (b *builder) settle(ctx context.Context, key Key) keyset {
	old := b.old[key]
	sum := b.enc.sum()
	if len(old.Keys) == 0 && b.enc.points == 0 {
		return nil
	}
	if old.Sum == sum {
		b.chunk.stats.Unchanged++
		return nil
	}
	before := b.remembered(ctx, old)
	b.emit(b.enc)
	b.posted[key] = true
	w := Written{Key: key, Keys: b.keep(b.enc.keys, key.Day)}
	if len(w.Keys) > 0 {
		w.Sum = sum
	}
	b.chunk.done = append(b.chunk.done, w)
	gone := before.minus(b.enc.keys)
	b.intend(key, old, before, b.enc.keys)
	return gone
}

// intend notes that the union of before and after may be in InfluxDB from now on, unless that is what the Journal
// holds anyway.
func (b *builder) intend(key Key, old Written, before, after keyset) {
	switch fresh := after.minus(before); {
	case len(fresh) > 0 && len(before) > 0:
		b.chunk.intend = append(b.chunk.intend, Written{key, 0, b.keep(before.or(after), key.Day)})
	case len(fresh) > 0:
		b.chunk.intend = append(b.chunk.intend, Written{key, 0, b.keep(after, key.Day)})
	case old.Sum != 0:
		b.chunk.intend = append(b.chunk.intend, Written{key, 0, old.Keys})
	}
}

// vanish writes zeros for v, except for points that another day has now. That day writes them again instead: the
// value that InfluxDB holds may be the old one of the day they left. A day around that only remembers the points
// writes everything again as well, because what it wrote is no longer there.
func (b *builder) vanish(ctx context.Context, v vanished) error {
	var around []walking.Day
	for d := v.day - reach; d <= v.day+reach; d++ {
		if d != v.day && v.m != WalkDay { // the tags of walk_day keep days apart
			around = append(around, d)
		}
	}
	if err := b.read(ctx, around); err != nil {
		return err
	}
	first, last, _ := v.keys.span()
	left := v.keys
	for _, d := range around {
		key := Key{b.person, d, v.m}
		c := b.contents[d]
		holds := false
		if c != nil {
			from, to, ok := c.span(v.m)
			holds = ok && from <= last && to >= first
		}
		if b.posted[key] && !holds {
			continue
		}
		old := b.old[key]
		if !holds && len(old.Keys) == 0 {
			continue
		}
		b.other.day(v.m, c)
		left = left.minus(b.other.keys)
		if b.posted[key] {
			continue
		}
		before := b.remembered(ctx, old)
		if len(v.keys.and(b.other.keys)) == 0 && len(v.keys.and(before)) == 0 {
			continue
		}
		b.emit(b.other)
		b.posted[key] = true
		// Whatever this day has to take back itself is left to its own turn, which is due if there is anything.
		w := Written{Key: key, Keys: b.keep(before.or(b.other.keys), d)}
		if len(before.minus(b.other.keys)) == 0 {
			w.Sum = b.other.sum()
		}
		b.chunk.done = append(b.chunk.done, w)
		b.intend(key, old, before, b.other.keys)
	}
	if len(left) > 0 {
		b.enc.zeros(v.m, b.person, v.day, left)
		b.chunk.stats.Zeros += b.enc.points
		b.emit(b.enc)
	}
	return nil
}

// periods writes the weeks and months of days.
func (b *builder) periods(ctx context.Context, days []walking.Day) error {
	var mondays, firsts []walking.Day
	for _, d := range days {
		mondays, firsts = append(mondays, d.Monday()), append(firsts, d.FirstOfMonth())
	}
	slices.Sort(mondays)
	mondays, firsts = slices.Compact(mondays), slices.Compact(firsts)
	weeks, err := b.days.Weeks(ctx, b.person, mondays)
	if err != nil {
		return fmt.Errorf("influx: read weeks: %w", err)
	}
	months, err := b.days.Months(ctx, b.person, firsts)
	if err != nil {
		return fmt.Errorf("influx: read months: %w", err)
	}
	if err := b.recall(ctx, append(slices.Clone(mondays), firsts...)); err != nil {
		return err
	}
	for _, p := range []struct {
		m     Measurement
		days  []walking.Day
		there []PeriodContent
	}{{WalkWeek, mondays, weeks}, {WalkMonth, firsts, months}} {
		for _, d := range p.days {
			var c *PeriodContent
			if i := slices.IndexFunc(p.there, func(c PeriodContent) bool { return c.First == d }); i >= 0 {
				c = &p.there[i]
			}
			b.enc.period(p.m, b.person, c)
			if gone := b.settle(ctx, Key{b.person, d, p.m}); len(gone) > 0 {
				b.enc.zeros(p.m, b.person, d, gone)
				b.chunk.stats.Zeros += b.enc.points
				b.emit(b.enc)
			}
		}
	}
	return nil
}

// read makes the contents of days, and what is remembered of them, known.
func (b *builder) read(ctx context.Context, days []walking.Day) error {
	var want []walking.Day
	for _, d := range days {
		if _, ok := b.contents[d]; !ok {
			want = append(want, d)
		}
	}
	for _, r := range runs(want) {
		cs, err := b.days.Contents(ctx, b.person, r.from, r.to)
		if err != nil {
			return fmt.Errorf("influx: read days: %w", err)
		}
		for d := r.from; d <= r.to; d++ {
			b.contents[d] = nil
		}
		for i := range cs {
			b.contents[cs[i].Day] = &cs[i]
		}
	}
	return b.recall(ctx, days)
}

// recall makes what is remembered of days known.
func (b *builder) recall(ctx context.Context, days []walking.Day) error {
	var want []walking.Day
	for _, d := range days {
		if !b.known[d] {
			want = append(want, d)
		}
	}
	for _, r := range runs(want) {
		ws, err := b.journal.Written(ctx, b.person, r.from, r.to)
		if err != nil {
			return fmt.Errorf("influx: read what was written: %w", err)
		}
		for _, w := range ws {
			b.old[w.Key] = w
		}
		for d := r.from; d <= r.to; d++ {
			b.known[d] = true
		}
		for k, w := range b.pending {
			if k.Person == b.person && k.Day >= r.from && k.Day <= r.to {
				b.old[k] = w
			}
		}
	}
	return nil
}

// remembered decodes what is remembered. What cannot be read counts as nothing.
func (b *builder) remembered(ctx context.Context, w Written) keyset {
	k, err := decodeKeys(w.Keys, w.Day)
	if err != nil {
		b.log.WarnContext(ctx, "influx keys cannot be read; run walkd influx rebuild",
			"day", w.Day.String(), "measurement", w.Measurement.String(), "err", err)
		return nil
	}
	return k
}

// keep returns k in the form that is remembered.
func (b *builder) keep(k keyset, day walking.Day) []byte {
	n := len(b.blob)
	b.blob = appendKeys(b.blob, k, day)
	if len(b.blob) == n {
		return nil
	}
	return b.blob[n:len(b.blob):len(b.blob)]
}

// emit takes over the lines of e.
func (b *builder) emit(e *encoder) {
	b.chunk.stats.Points += e.points
	lines, points := e.lines, e.points
	for points > 0 {
		room := b.limit() - b.rawPoints
		if room <= 0 {
			b.flush()
			continue
		}
		if points <= room {
			b.raw, b.rawPoints = append(b.raw, lines...), b.rawPoints+points
			return
		}
		n := 0
		for range room {
			n += bytes.IndexByte(lines[n:], '\n') + 1
		}
		b.raw, b.rawPoints = append(b.raw, lines[:n]...), b.rawPoints+room
		lines, points = lines[n:], points-room
	}
}

// flush makes a batch of the lines so far.
func (b *builder) flush() {
	if b.rawPoints == 0 {
		return
	}
	c := b.chunk
	if c.used == len(c.batches) {
		c.batches = append(c.batches, batch{})
	}
	p := &c.batches[c.used]
	p.compressed, p.points = b.compressor.compress(p.compressed[:0], b.raw), b.rawPoints
	c.used++
	b.raw, b.rawPoints = b.raw[:0], 0
}

// daySpan is days from … to, both inclusive.
type daySpan struct{ from, to walking.Day }

// runs returns the spans that make up days.
func runs(days []walking.Day) []daySpan {
	days = slices.Clone(days)
	slices.Sort(days)
	var out []daySpan
	for _, d := range slices.Compact(days) {
		if n := len(out); n > 0 && out[n-1].to == d-1 {
			out[n-1].to = d
			continue
		}
		out = append(out, daySpan{d, d})
	}
	return out
}
