package simulate

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Ledger is what a simulated service remembers for those who test with it: whom it knows, what was asked, and what
// must never be shown. Its zero value is empty, and its methods may be called from several goroutines.
type Ledger struct {
	mu      sync.Mutex
	people  map[string]*Person
	secrets []string
	counts  map[string]int
}

// Add lets the service know a person.
func (l *Ledger) Add(p *Person) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.people == nil {
		l.people = map[string]*Person{}
	}
	l.people[p.Name()] = p
}

// Person returns the person of a name; nil if the service does not know one.
func (l *Ledger) Person(name string) *Person {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.people[name]
}

// People returns the names of everybody whom the service knows, in order.
func (l *Ledger) People() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.people))
}

// Keep remembers secrets.
func (l *Ledger) Keep(secrets ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = append(l.secrets, secrets...)
}

// NewSecret returns a new random secret that begins with prefix, and remembers it.
func (l *Ledger) NewSecret(prefix string) string {
	text := prefix + strings.ToLower(rand.Text())
	l.Keep(text)
	return text
}

// Secrets returns everything that must never be shown: the client secret, and all codes and tokens given out.
func (l *Ledger) Secrets() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.secrets)
}

// Count counts a request, of a person if that is known.
func (l *Ledger) Count(person, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[person+" "+what]++
}

// Requests returns how many requests were made, by "person what"; the person is "" where none is known.
func (l *Ledger) Requests() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

// A Meter counts requests in times of a length, each of which begins with the first request in it. Its methods may be
// called from several goroutines.
type Meter struct {
	Per time.Duration

	mu    sync.Mutex
	begin time.Time
	n     int
	peak  int
}

// Count counts a request, and returns how many there were in the time that holds now, and when that ends.
func (m *Meter) Count(now time.Time) (n int, ends time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if since := now.Sub(m.begin); since < 0 || since >= m.Per {
		m.begin, m.n = now, 0
	}
	m.n++
	m.peak = max(m.peak, m.n)
	return m.n, m.begin.Add(m.Per)
}

// Peak returns the most requests in one of the times.
func (m *Meter) Peak() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peak
}
