package simulate

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// minutesPerDay is how many minutes a day of a Life has, whatever a real one has.
const minutesPerDay = 24 * 60

// A Life is what somebody walks, as steps in each minute of the clock on whole days, over and over. It does not change,
// and many people can share it.
type Life struct {
	steps []uint8 // at most 255 a minute
	bouts [][]bout
}

// A bout is a stretch of steady walking in a day of a Life, in minutes of the clock.
type bout struct{ start, length int }

// What is steady: the bouts of at least this length and cadence become recorded walks.
const (
	boutMinutes = 10
	boutCadence = 80 // steps a minute
)

// NewLife returns the Life whose minutes of the clock have steps, from midnight on. It has to be whole days.
func NewLife(steps []uint8) (*Life, error) {
	if len(steps) == 0 || len(steps)%minutesPerDay != 0 {
		return nil, fmt.Errorf("simulate: %d minutes are not whole days", len(steps))
	}
	l := &Life{steps: steps}
	for d := range len(steps) / minutesPerDay {
		var found []bout
		day := steps[d*minutesPerDay : (d+1)*minutesPerDay]
		for m := 0; m < minutesPerDay; m++ {
			n := 0
			for m+n < minutesPerDay && day[m+n] >= boutCadence {
				n++
			}
			if n >= boutMinutes {
				found = append(found, bout{m, n})
			}
			m += n
		}
		l.bouts = append(l.bouts, found)
	}
	return l, nil
}

// Days returns how many days it takes until a Life begins again.
func (l *Life) Days() int { return len(l.steps) / minutesPerDay }

// at returns the steps in a minute of the clock on the n-th day.
func (l *Life) at(day, minute int) uint8 {
	day %= l.Days()
	if day < 0 {
		day += l.Days()
	}
	return l.steps[day*minutesPerDay+minute]
}

// A Plan is how somebody lives a Life.
type Plan struct {
	Name string
	Life *Life
	Home *time.Location
	// First is the first day of which the service knows anything, and the first of the Life.
	First walking.Day
	// Every and Night are the times between two syncs of the device, in the day and from 23:00 to 7:00; 15 minutes and an
	// hour if zero.
	Every, Night time.Duration
	// Zeros says that the device tells of minutes without steps too, from 7:00 to 23:00: as points without a count.
	Zeros bool
}

// A Person is somebody whom the service knows. Its methods may be called from several goroutines.
type Person struct {
	plan Plan

	mu      sync.Mutex
	zones   walking.Timeline
	changes []walking.ZoneChange
	counts  map[int64]int    // corrected, by unix minute; -1: deleted
	late    []late           // told only later
	offline []walking.Window // without a sync
	gone    map[int64]bool   // sessions deleted, by unix second of their start
	changed int              // how often any of this was changed
}

// late is a window of which the service knows nothing before an instant.
type late struct {
	walking.Window
	until time.Time
}

// NewPerson returns a person who lives by a Plan.
func NewPerson(p Plan) (*Person, error) {
	if p.Life == nil || p.Home == nil || p.Name == "" {
		return nil, errors.New("simulate: a person has a name, a life and a home")
	}
	if p.Every == 0 {
		p.Every = 15 * time.Minute
	}
	if p.Night == 0 {
		p.Night = time.Hour
	}
	return &Person{
		plan: p, zones: walking.NewTimeline(p.Home), counts: map[int64]int{}, gone: map[int64]bool{},
	}, nil
}

// Name returns the person's name.
func (p *Person) Name() string { return p.plan.Name }

// Home returns the zone that the person lives in.
func (p *Person) Home() *time.Location { return p.plan.Home }

// First returns the first day of which a service knows anything.
func (p *Person) First() walking.Day { return p.plan.First }

// A Point is one minute of steps.
type Point struct {
	Start  time.Time     // UTC
	Offset time.Duration // of the person's clock, east of UTC
	Steps  int
}

// A Session is a recorded exercise.
type Session struct {
	Start, End time.Time // UTC
	Offset     time.Duration
	Type       string // WALKING or BIKING
	Steps      int
}

// Correct sets the steps of the minute that begins at start, also to zero.
func (p *Person) Correct(start time.Time, steps int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed++
	p.counts[start.Unix()/60] = max(0, steps)
}

// Delete removes all that was counted in w, and the sessions that begin in it.
func (p *Person) Delete(w walking.Window) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed++
	for m := w.Start.Unix() / 60; m < (w.End.Unix()+59)/60; m++ {
		p.counts[m] = -1
	}
	for _, s := range p.sessions(w, w.End.Add(24*time.Hour)) { // longer than any lasts
		p.gone[s.Start.Unix()] = true
	}
}

// Late keeps what lies in w from the service until an instant, although later data is there before.
func (p *Person) Late(w walking.Window, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed++
	p.late = append(p.late, late{w, until})
}

// NoSync keeps the device from syncing in w: all that it counted then comes at once afterwards.
func (p *Person) NoSync(w walking.Window) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed++
	p.offline = append(p.offline, w)
}

// Travel lets the person's clock, and life, go by another zone from an instant on.
func (p *Person) Travel(from time.Time, zone *time.Location) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed++
	p.changes = append(p.changes, walking.ZoneChange{From: from, Zone: zone})
	p.zones = walking.NewTimeline(p.plan.Home, p.changes...)
}

// Revision returns a number that is another one when what a service knows at now of the time before the last sync may be
// something else than before.
func (p *Person) Revision(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.changed
	for _, l := range p.late {
		if !now.Before(l.until) {
			n++
		}
	}
	return n
}

// Zones returns the zones that the person is in.
func (p *Person) Zones() walking.Timeline {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.zones
}

// Synced returns up to when the device has synced at now; zero if it never has.
func (p *Person) Synced(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.synced(now)
}

func (p *Person) synced(now time.Time) time.Time {
	t := p.onTime(now)
	for {
		i := slices.IndexFunc(p.offline, func(w walking.Window) bool { return w.Contains(t) })
		if i < 0 {
			break
		}
		t = p.onTime(p.offline[i].Start.Add(-time.Nanosecond))
	}
	if p.zones.Day(t) < p.plan.First {
		return time.Time{}
	}
	return t
}

// onTime returns the last time until t at which the device should sync: a multiple of Every by day, or of Night by night.
func (p *Person) onTime(t time.Time) time.Time {
	for {
		day, night := t.Truncate(p.plan.Every), t.Truncate(p.plan.Night)
		t = day
		if night.After(day) {
			t = night
		}
		due := night
		if awake(t.In(p.zones.At(t))) {
			due = day
		}
		if t.Equal(due) {
			return t
		}
		t = t.Add(-time.Nanosecond)
	}
}

// awake reports whether a clock is between 7:00 and 23:00.
func awake(local time.Time) bool { return local.Hour() >= 7 && local.Hour() < 23 }

// Points returns the minutes that start in w as the service knows them at now, oldest first.
func (p *Person) Points(w walking.Window, now time.Time) []Point {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.points(w, p.synced(now), now)
}

// Truth returns the minutes that start in w as the service will know them once everything has come, up to now.
func (p *Person) Truth(w walking.Window, now time.Time) []Point {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.points(w, now, time.Unix(1<<40, 0))
}

// points returns the minutes that start in w and have ended by end, as they are known at now.
func (p *Person) points(w walking.Window, end, now time.Time) []Point {
	hidden := p.hidden(w, now)
	// No zone is further than a day from UTC.
	if first := p.plan.First.In(time.UTC).Add(-24 * time.Hour); w.Start.Before(first) {
		w.Start = first
	}
	var out []Point
	for m := (w.Start.Unix() + 59) / 60; (m+1)*60 <= end.Unix() && time.Unix(m*60, 0).Before(w.End); m++ {
		t := time.Unix(m*60, 0).UTC()
		if t.Before(w.Start) {
			continue
		}
		local := t.In(p.zones.At(t))
		day := walking.DayOf(local.Date())
		if day < p.plan.First || slices.ContainsFunc(hidden, func(l late) bool { return l.Contains(t) }) {
			continue
		}
		steps := int(p.plan.Life.at(int(day-p.plan.First), local.Hour()*60+local.Minute()))
		n, corrected := p.counts[m]
		switch {
		case n < 0:
			continue
		case corrected:
			steps = n
		case steps == 0 && (!p.plan.Zeros || !awake(local)):
			continue
		}
		_, offset := local.Zone()
		out = append(out, Point{t, time.Duration(offset) * time.Second, steps})
	}
	return out
}

func (p *Person) hidden(w walking.Window, now time.Time) []late {
	var out []late
	for _, l := range p.late {
		if now.Before(l.until) && l.Overlaps(w) {
			out = append(out, l)
		}
	}
	return out
}

// Sessions returns the sessions that start in w as the service knows them at now, oldest first.
func (p *Person) Sessions(w walking.Window, now time.Time) []Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	synced := p.synced(now)
	hidden := p.hidden(w, now)
	return slices.DeleteFunc(p.sessions(w, synced), func(s Session) bool {
		return slices.ContainsFunc(hidden, func(l late) bool { return l.Contains(s.Start) })
	})
}

// TrueSessions returns the sessions that start in w and have ended by now, as they will be known in the end.
func (p *Person) TrueSessions(w walking.Window, now time.Time) []Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions(w, now)
}

// sessions returns the sessions that start in w and end by end.
func (p *Person) sessions(w walking.Window, end time.Time) []Session {
	var out []Session
	if end.Before(w.End) {
		w.End = end
	}
	if w.Empty() {
		return nil
	}
	for d := max(p.zones.Day(w.Start)-1, p.plan.First); d <= p.zones.Day(w.End)+1; d++ {
		n := int(d-p.plan.First) % p.plan.Life.Days()
		for _, b := range p.plan.Life.bouts[n] {
			steps := 0
			for m := b.start; m < b.start+b.length; m++ {
				steps += int(p.plan.Life.at(n, m))
			}
			out = p.session(out, d, b, "WALKING", steps)
		}
		if n%7 == 3 {
			out = p.session(out, d, bout{19 * 60, 25}, "BIKING", 0)
		}
	}
	slices.SortFunc(out, func(a, b Session) int { return a.Start.Compare(b.Start) })
	return slices.DeleteFunc(out, func(s Session) bool {
		return !w.Contains(s.Start) || s.End.After(end) || p.gone[s.Start.Unix()]
	})
}

func (p *Person) session(out []Session, d walking.Day, b bout, kind string, steps int) []Session {
	for _, start := range p.zones.Clock(d, walking.WallTime(b.start)) {
		_, offset := start.In(p.zones.At(start)).Zone()
		out = append(out, Session{
			Start: start.UTC(), End: start.Add(time.Duration(b.length) * time.Minute).UTC(),
			Offset: time.Duration(offset) * time.Second, Type: kind, Steps: steps,
		})
		break // a clock that is set back does not walk twice
	}
	return out
}
