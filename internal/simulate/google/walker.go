package google

import (
	"cmp"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// Zeros says how a minute appears in which the device was worn and nobody stepped; the documentation leaves it open.
type Zeros int

// The ways of zeros.
const (
	ZerosLeftOut Zeros = iota // no point at all
	ZerosEmpty                // a point without a count, what the documentation calls a true zero
)

// When the device syncs, by the clock of where its person is.
const (
	syncEvery   = 15 * 60 // seconds, from syncMorning to syncNight; otherwise once an hour
	syncMorning = 7 * 60  // minute of the day
	syncNight   = 23 * 60
	syncJitter  = 10 * 60 // seconds
)

// WalkerOptions describe a Walker.
type WalkerOptions struct {
	// ID is the person's ID with the service: letters, digits and hyphens, up to 63.
	ID string
	// Days is what the person does, over and over.
	Days *Days
	// Zone is where the person lives.
	Zone *time.Location
	// Now is when the recorded days are moved to: the last of them is the date at Now in Zone.
	Now time.Time
	// History is how many days before that one the service knows of; 28 if zero, none if negative.
	History int
	// Phase moves the recorded days by so many, so that people who share Days differ.
	Phase int
	// Seed decides whatever is random. Equal options make equal Walkers.
	Seed  uint64
	Zeros Zeros
	// NoPhone leaves out the phone, which counts some of the watch's steps a second time in lists of raw points.
	NoPhone bool
	// NoExercises leaves out recorded walks and rides.
	NoExercises bool
	// Scale gives the person a bathroom scale, which syncs by itself and says nothing of steps.
	Scale bool
}

// A Walker is a person who does the same recorded days over and over by the clock of where they are, with a device
// that syncs now and then. Whatever can be asked is a function of the options, of what was changed since, and of the
// time that is passed in. Its methods may be called by several goroutines at once.
type Walker struct {
	o      WalkerOptions
	today  walking.Day // of the last recorded day
	begins int64       // minute of the first data

	mu        sync.RWMutex
	trips     []walking.ZoneChange // by From
	corrected map[int64]int16      // by minute
	deleted   []walking.Window
	late      []lateness
	unsynced  []walking.Window
}

type lateness struct {
	walking.Window
	until time.Time
}

// NewWalker returns the person that o describes.
func NewWalker(o WalkerOptions) (*Walker, error) {
	switch {
	case o.ID == "":
		return nil, errors.New("google: a walker without an ID")
	case o.Days == nil || o.Zone == nil:
		return nil, errors.New("google: a walker without days or zone")
	}
	if o.History == 0 {
		o.History = 28
	}
	w := &Walker{o: o, today: dateOf(o.Now.In(o.Zone))}
	first := (w.today - walking.Day(max(o.History, 0))).In(o.Zone)
	w.begins = first.Unix() / 60
	return w, nil
}

// ID returns the person's ID with the service.
func (w *Walker) ID() string { return w.o.ID }

// Begins returns the instant of the first data.
func (w *Walker) Begins() time.Time { return time.Unix(w.begins*60, 0).UTC() }

// Correct makes the minute that start is in count steps, whatever was recorded, from now on.
func (w *Walker) Correct(start time.Time, steps int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.corrected == nil {
		w.corrected = map[int64]int16{}
	}
	w.corrected[floorDiv(start.Unix(), 60)] = int16(min(max(steps, 0), maxCount))
}

// Delete removes what starts in win, steps and exercises, recorded or still to come.
func (w *Walker) Delete(win walking.Window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deleted = append(w.deleted, win)
	for m := range w.corrected {
		if win.Contains(time.Unix(m*60, 0)) {
			delete(w.corrected, m)
		}
	}
}

// Late withholds what starts in win until an instant, though the device syncs and later data shows.
func (w *Walker) Late(win walking.Window, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = append(w.late, lateness{win, until})
}

// Travel takes the person to zone at from, a whole minute. What they do goes by the clock there. The zone of the
// account stays.
func (w *Walker) Travel(from time.Time, zone *time.Location) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trips = append(w.trips, walking.ZoneChange{From: from.Truncate(time.Minute), Zone: zone})
	slices.SortStableFunc(w.trips, func(a, b walking.ZoneChange) int { return a.From.Compare(b.From) })
}

// NoSync keeps the device from syncing in win. What it counts then comes with the first sync after.
func (w *Walker) NoSync(win walking.Window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unsynced = append(w.unsynced, win)
}

// LastSync returns when the device has synced last at now, to the second; zero if it never has. All that ended until
// then shows, but for what is Late.
func (w *Walker) LastSync(now time.Time) time.Time {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.lastSync(now)
}

// Zones returns where the person is when.
func (w *Walker) Zones() walking.Timeline {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return walking.NewTimeline(w.o.Zone, w.trips...)
}

// Facts are what a service knows in a window, oldest first: one record for each minute that has a point.
type Facts struct {
	Records  []walking.Record
	Sessions []walking.Session
}

// Truth returns what the service would know at now of what starts in win, had everything that ended by then been
// synced. Of records it is the merged stream; points without a count have 0 steps.
func (w *Walker) Truth(win walking.Window, now time.Time) Facts {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.facts(win, view{through: now})
}

// Shown returns what the service answers at now for what starts in win: as Truth, but only what has been synced.
func (w *Walker) Shown(win walking.Window, now time.Time) Facts {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.facts(win, w.view(now))
}

func (w *Walker) facts(win walking.Window, v view) (f Facts) {
	span := v.clip(w, secondsOf(win))
	for start := ceilDiv(span.from, 60); start*60 < span.to; start++ {
		if n := w.count(start, v); n >= 0 {
			f.Records = append(f.Records, walking.Record{
				Start: time.Unix(start*60, 0).UTC(), Duration: time.Minute, Steps: float64(n),
				Offset: w.offset(start * 60), HasOffset: true,
			})
		}
	}
	for _, e := range w.exercises(span, v) {
		f.Sessions = append(f.Sessions, e.session())
	}
	return f
}

// A span is the half-open range of Unix seconds [from, to).
type span struct{ from, to int64 }

// secondsOf returns the whole seconds in win.
func secondsOf(win walking.Window) span {
	ceil := func(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }
	return span{ceil(win.Start), ceil(win.End)}
}

// A view is what can be seen: what ended by through, and late data as of now; of that all if now is zero.
type view struct{ through, now time.Time }

// view returns what the service shows at now. The caller holds mu.
func (w *Walker) view(now time.Time) view { return view{w.lastSync(now), now} }

// clip cuts s to where there can be data.
func (v view) clip(w *Walker, s span) span {
	return span{max(s.from, w.begins*60), min(s.to, v.through.Unix())}
}

// withheld reports whether v does not show what starts at t.
func (v view) withheld(w *Walker, t time.Time) bool {
	return !v.now.IsZero() && slices.ContainsFunc(w.late, func(l lateness) bool {
		return l.Contains(t) && v.now.Before(l.until)
	})
}

// count returns the steps of a minute, or -1 where v has no point. The caller holds mu.
func (w *Walker) count(minute int64, v view) int {
	n, worn := w.worn(minute, v)
	if !worn || n == 0 && w.o.Zeros == ZerosLeftOut {
		return -1
	}
	return n
}

// worn returns the steps of a minute, and whether v shows that the device was worn in it. The caller holds mu.
func (w *Walker) worn(minute int64, v view) (steps int, worn bool) {
	start := time.Unix(minute*60, 0)
	if minute < w.begins || start.Add(time.Minute).After(v.through) || v.withheld(w, start) {
		return 0, false
	}
	if n, ok := w.corrected[minute]; ok {
		return int(n), true
	}
	n := w.recorded(minute)
	if n < 0 || contains(w.deleted, start) {
		return 0, false
	}
	return int(n), true
}

func contains(windows []walking.Window, t time.Time) bool {
	return slices.ContainsFunc(windows, func(v walking.Window) bool { return v.Contains(t) })
}

// recorded returns what the recorded days say for a minute.
func (w *Walker) recorded(minute int64) int16 {
	day, at := w.clock(minute)
	return w.o.Days.day(w.index(day))[at]
}

// clock returns the date and the minute of the day where the person is.
func (w *Walker) clock(minute int64) (day, at int64) {
	local := minute + int64(w.offset(minute*60))/60
	return floorDiv(local, dayMinutes), local - floorDiv(local, dayMinutes)*dayMinutes
}

// index returns which recorded day a date repeats.
func (w *Walker) index(day int64) int {
	n := int64(w.o.Days.Len())
	i := day - int64(w.today) + n - 1 + int64(w.o.Phase)
	return int(i - floorDiv(i, n)*n)
}

// offset returns the UTC offset where the person is at a Unix second, in seconds east.
func (w *Walker) offset(second int64) int {
	_, off := time.Unix(second, 0).In(w.zone(second)).Zone()
	return off
}

func (w *Walker) zone(second int64) *time.Location {
	for i := len(w.trips) - 1; i >= 0; i-- {
		if w.trips[i].From.Unix() <= second {
			return w.trips[i].Zone
		}
	}
	return w.o.Zone
}

// A stay is a span with one UTC offset.
type stay struct {
	span
	offset int64
}

// stays returns the stretches of one offset that make up s, in order.
func (w *Walker) stays(s span) (out []stay) {
	for from := s.from; from < s.to; {
		t := time.Unix(from, 0).In(w.zone(from))
		to := s.to
		if _, change := t.ZoneBounds(); !change.IsZero() {
			to = min(to, change.Unix())
		}
		for _, trip := range w.trips {
			if at := trip.From.Unix(); at > from {
				to = min(to, at)
			}
		}
		_, off := t.Zone()
		out = append(out, stay{span{from, to}, int64(off)})
		from = to
	}
	return out
}

// sync returns when the device syncs in a quarter of an hour, counted since 1970, if it does.
func (w *Walker) sync(quarter int64) (at time.Time, ok bool) {
	at = time.Unix(quarter*syncEvery+int64(w.random("sync", quarter)%syncJitter), 0).UTC()
	_, m := w.clock(quarter * syncEvery / 60)
	awake := m >= syncMorning && m < syncNight
	return at, (awake || m%60 < syncEvery/60) && !contains(w.unsynced, at)
}

// lastSync returns the last sync until now, zero if there was none. The caller holds mu.
func (w *Walker) lastSync(now time.Time) time.Time {
	for q := floorDiv(now.Unix(), syncEvery); q*syncEvery >= w.begins*60; q-- {
		if at, ok := w.sync(q); ok && !at.After(now) {
			return at
		}
	}
	return time.Time{}
}

// firstSync returns the first sync at or after t, and whether it is until now. The caller holds mu.
func (w *Walker) firstSync(t, now time.Time) (time.Time, bool) {
	for q := floorDiv(t.Unix(), syncEvery); q*syncEvery <= now.Unix(); q++ {
		if at, ok := w.sync(q); ok && !at.Before(t) {
			return at, !at.After(now)
		}
	}
	return time.Time{}, false
}

// An exercise is a recorded walk or ride.
type exercise struct {
	id         string
	start, end int64 // Unix seconds
	paused     int64 // seconds
	ride       bool
	steps      int // -1 if not known
}

func (e exercise) session() walking.Session {
	s := walking.Session{
		Start: time.Unix(e.start, 0).UTC(), End: time.Unix(e.end, 0).UTC(),
		Moving: time.Duration(e.end-e.start-e.paused) * time.Second, Kind: walking.Walk,
	}
	if e.ride {
		s.Kind = walking.Ride
	}
	if e.steps >= 0 {
		s.Steps, s.HasSteps = float64(e.steps), true
	}
	return s
}

// exercises returns those that start in s, oldest first. The caller holds mu.
func (w *Walker) exercises(s span, v view) (out []exercise) {
	if w.o.NoExercises {
		return nil
	}
	for _, st := range w.stays(span{s.from - 60, s.to}) { // they start within the first minute of their stretch
		local := span{st.from + st.offset, st.to + st.offset}
		for day := floorDiv(local.from, 86400); day*86400 < local.to; day++ {
			for _, b := range w.o.Days.outdoors[w.index(day)] {
				from := day*86400 + int64(b.from)*60 - st.offset
				to := from + int64(b.length)*60
				if from < st.from || from >= st.to || from < w.begins*60 || w.offset(to) != int(st.offset) {
					continue // another stay's, or interrupted by a change of the clocks
				}
				if e := w.exercise(b, from); e.start >= s.from && e.start < s.to && w.seen(e, v) {
					out = append(out, e)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b exercise) int { return cmp.Compare(a.start, b.start) })
	return out
}

func (w *Walker) exercise(b stretch, from int64) exercise {
	r := w.random("exercise", from)
	e := exercise{
		id:    strconv.FormatUint(r>>1|1<<60, 10),
		start: from + int64(r%40), end: from + int64(b.length)*60 - int64(r>>8%40),
		ride: b.ride, steps: b.steps,
	}
	if r>>16%3 == 0 {
		e.paused = 60 + int64(r>>24%120)
	}
	if b.ride || r>>32%5 == 0 {
		e.steps = -1
	}
	return e
}

func (w *Walker) seen(e exercise, v view) bool {
	start := time.Unix(e.start, 0)
	return !time.Unix(e.end, 0).After(v.through) && !contains(w.deleted, start) && !v.withheld(w, start)
}

// phone returns what the person's phone has counted of n steps of the watch in a minute; -1 if it lay on a table.
func (w *Walker) phone(minute int64, n int) int {
	if w.o.NoPhone || n <= 0 || w.random("pocket", floorDiv(minute, 60))%5 < 2 {
		return -1
	}
	return n - int(w.random("phone", minute)%uint64(n/8+1))
}

// random returns a number that depends on the seed and on what it is for, and on nothing else.
func (w *Walker) random(what string, n int64) uint64 { return random(w.o.Seed, w.o.ID, what, n) }

func random(seed uint64, who, what string, n int64) uint64 {
	h := fnv.New64a()
	b := make([]byte, 0, 64)
	b = strconv.AppendUint(b, seed, 10)
	b = append(append(append(b, ' '), who...), ' ')
	b = append(append(b, what...), ' ')
	_, _ = h.Write(strconv.AppendInt(b, n, 10))
	x := h.Sum64() // mixed, as of splitmix64: the last bytes of FNV reach the high bits alone
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 { return -floorDiv(-a, b) }
