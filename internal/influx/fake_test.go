package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/walking"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCrash = errors.New("crash")

// personDay names a day in the fake store.
type personDay struct {
	person string
	day    walking.Day
}

// memory is a store in memory that can be made to crash: once it does, nothing has an effect until it is revived.
type memory struct {
	mu       sync.Mutex
	contents map[personDay]Content
	due      map[personDay]int64
	revision int64
	written  map[Key]Written

	steps   int // operations so far
	crashAt int // the operation that fails; zero for none
	after   bool
	dead    bool
	fail    error
	hookMu  sync.Mutex
	hook    func(op string) // called before every operation, one at a time
}

func newMemory() *memory {
	return &memory{contents: map[personDay]Content{}, due: map[personDay]int64{}, written: map[Key]Written{}}
}

// step runs effect, unless the crash comes first. The operation at which it comes fails with or without effect.
func (s *memory) step(op string, effect func()) error {
	s.hookMu.Lock()
	if s.hook != nil {
		s.hook(op)
	}
	s.hookMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errCrash
	}
	if s.fail != nil {
		return s.fail
	}
	s.steps++
	if s.crashAt > 0 && s.steps >= s.crashAt {
		s.dead = true
		if s.after && effect != nil {
			effect()
		}
		return errCrash
	}
	if effect != nil {
		effect()
	}
	return nil
}

func (s *memory) revive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead, s.crashAt = false, 0
}

// set makes contents the days of person and marks what changed.
func (s *memory) set(person string, contents []Content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := map[walking.Day]Content{}
	for _, c := range contents {
		fresh[c.Day] = c
	}
	for k, c := range s.contents {
		if n, ok := fresh[k.day]; k.person == person && (!ok || !cmp.Equal(c, n)) {
			delete(s.contents, k)
			s.mark(k)
		}
	}
	for d, c := range fresh {
		if k := (personDay{person, d}); !cmp.Equal(s.contents[k], c) {
			s.contents[k] = c
			s.mark(k)
		}
	}
}

func (s *memory) mark(k personDay) {
	s.revision++
	s.due[k] = s.revision
}

func (s *memory) Contents(_ context.Context, person string, from, to walking.Day) (out []Content, err error) {
	err = s.step("contents", func() {
		for d := from; d <= to; d++ {
			if c, ok := s.contents[personDay{person, d}]; ok {
				out = append(out, c)
			}
		}
	})
	return out, err
}

func (s *memory) period(person string, first walking.Day, in func(walking.Day) bool) (PeriodContent, bool) {
	p := PeriodContent{Period: walking.Period{First: first}, Time: first.In(time.UTC)}
	found := false
	var sum float64
	for d := first; in(d); d++ { // in order, as sums of floats depend on it
		c, ok := s.contents[personDay{person, d}]
		if !ok {
			continue
		}
		found = true
		if c.Summary.Counts() {
			p.Days++
			sum += c.Summary.Walking
			if c.Summary.Met {
				p.Met++
			}
		}
	}
	if p.Days > 0 {
		p.Walking = walking.Round2(sum / float64(p.Days))
	}
	return p, found
}

func (s *memory) Weeks(_ context.Context, person string, mondays []walking.Day) (out []PeriodContent, err error) {
	err = s.step("weeks", func() {
		for _, m := range mondays {
			if p, ok := s.period(person, m, func(d walking.Day) bool { return d.Monday() == m }); ok {
				out = append(out, p)
			}
		}
	})
	return out, err
}

func (s *memory) Months(_ context.Context, person string, firsts []walking.Day) (out []PeriodContent, err error) {
	err = s.step("months", func() {
		for _, f := range firsts {
			if p, ok := s.period(person, f, func(d walking.Day) bool { return d.FirstOfMonth() == f }); ok {
				out = append(out, p)
			}
		}
	})
	return out, err
}

func (s *memory) Due(_ context.Context, limit int) (out []Task, err error) {
	err = s.step("due", func() {
		for k, r := range s.due {
			out = append(out, Task{k.person, k.day, r})
		}
		slices.SortFunc(out, func(a, b Task) int {
			return 2*strings.Compare(a.Person, b.Person) + int(min(max(a.Day-b.Day, -1), 1))
		})
		out = out[:min(limit, len(out))]
	})
	return out, err
}

func (s *memory) Written(_ context.Context, person string, from, to walking.Day) (out []Written, err error) {
	err = s.step("written", func() {
		for k, w := range s.written {
			if k.Person == person && k.Day >= from && k.Day <= to {
				out = append(out, w)
			}
		}
	})
	return out, err
}

func (s *memory) store(ws []Written) {
	for _, w := range ws {
		if len(w.Keys) == 0 {
			delete(s.written, w.Key)
			continue
		}
		s.written[w.Key] = Written{w.Key, w.Sum, slices.Clone(w.Keys)}
	}
}

func (s *memory) Intend(_ context.Context, w []Written) error {
	return s.step("intend", func() { s.store(w) })
}

func (s *memory) Done(_ context.Context, tasks []Task, w []Written) error {
	return s.step("done", func() {
		s.store(w)
		for _, t := range tasks {
			if k := (personDay{t.Person, t.Day}); s.due[k] == t.Revision {
				delete(s.due, k)
			}
		}
	})
}

func (s *memory) Doubt(_ context.Context, person string) error {
	return s.step("doubt", func() {
		for k, w := range s.written {
			if person == "" || k.Person == person {
				w.Sum = 0
				s.written[k] = w
				s.mark(personDay{k.Person, k.Day})
			}
		}
		s.markAll(person)
	})
}

func (s *memory) Forget(_ context.Context, person string) error {
	return s.step("forget", func() {
		maps.DeleteFunc(s.written, func(k Key, _ Written) bool { return person == "" || k.Person == person })
		s.markAll(person)
	})
}

func (s *memory) markAll(person string) {
	for k := range s.contents {
		if person == "" || k.person == person {
			s.mark(k)
		}
	}
}

// point is what InfluxDB has at one time of one series: field → value as its digits or text.
type point map[string]string

// points are everything in InfluxDB: "measurement,tag=value,…@time", tags sorted and without escapes.
type points map[string]point

// fakeInflux takes writes as InfluxDB 1.8 does, in memory.
type fakeInflux struct {
	mu     sync.Mutex
	points points
	posts  int
	// refuse, if not nil, may answer instead. It is given how many posts there were before.
	refuse func(n int, lines []byte) (*http.Response, error)
	// cut, if not nil, is asked after a write was taken whether the answer is lost.
	cut func() error
}

func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{"X-Influxdb-Version": {"1.8.10"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func (f *fakeInflux) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, "/api/v2/write") {
		return answer(http.StatusNotFound, `{"error":"not here"}`), nil
	}
	lines, err := decompress(body)
	if err != nil {
		return nil, err
	}
	f.posts++
	if f.refuse != nil {
		if resp, err := f.refuse(f.posts-1, lines); resp != nil || err != nil {
			return resp, err
		}
	}
	if f.points == nil {
		f.points = points{}
	}
	for line := range bytes.Lines(lines) {
		key, p := parseLine(string(line))
		f.points[key] = p
	}
	if f.cut != nil {
		if err := f.cut(); err != nil {
			return nil, err
		}
	}
	return answer(http.StatusNoContent, ""), nil
}

// parseLine reads a line whose names need no escapes.
func parseLine(line string) (string, point) {
	parts := strings.Split(strings.TrimSuffix(line, "\n"), " ")
	if len(parts) != 3 {
		panic("cannot read " + line)
	}
	p := point{}
	for f := range strings.SplitSeq(parts[1], ",") {
		k, v, _ := strings.Cut(f, "=")
		p[k] = strings.Trim(strings.TrimSuffix(v, "i"), `"`)
	}
	return parts[0] + "@" + parts[2], p
}

// wanted is what InfluxDB has to have, made by plain means.
func (s *memory) wanted() points {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := points{}
	num := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	bit := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	put := func(name string, tags map[string]string, t time.Time, p point) {
		out[pointName(name, tags, t.Unix())] = p
	}
	for k, c := range s.contents {
		who := map[string]string{"person": k.person}
		with := func(kv ...string) map[string]string {
			m := maps.Clone(who)
			for i := 0; i < len(kv); i += 2 {
				if kv[i+1] != "" {
					m[kv[i]] = kv[i+1]
				}
			}
			return m
		}
		sm := c.Summary
		y, mo, _ := k.day.Date()
		put("walk_day", with("year", strconv.Itoa(y), "month", fmt.Sprintf("%02d", int(mo)),
			"weekday", strconv.Itoa((int(k.day.Weekday())+6)%7+1)), c.Time, point{
			"date": k.day.String(), "zone": sm.Zone, "walking_minutes": num(sm.Walking), "low": num(sm.Low),
			"high": num(sm.High), "brisk_minutes": num(sm.Brisk), "running_minutes": num(sm.Running),
			"alternative_minutes": num(sm.Alternative), "target_minutes": num(sm.Target), "mean7": num(sm.Mean7),
			"day_hours": num(sm.Hours), "mean7_days": strconv.Itoa(sm.Mean7Days),
			"mean7_band": strconv.Itoa(int(walking.BandOf(sm.Mean7))), "band": strconv.Itoa(int(sm.Band)),
			"steps": strconv.FormatInt(sm.Steps, 10), "met": bit(sm.Met), "valid": bit(sm.Valid),
			"closed": bit(sm.Closed), "counts": bit(sm.Counts()), "counts_met": bit(sm.Counts() && sm.Met),
			"nudges": strconv.Itoa(sentOnce(c.Nudges)),
		})
		for h, v := range sm.ByHour {
			put("walk_hour", with("hour", fmt.Sprintf("%02d", h)), c.Time,
				point{"walking_minutes": num(v.Walking), "steps": num(v.Steps), "counts": bit(sm.Counts())})
		}
		for _, v := range sm.Sources {
			put("walk_source_day", with("source", v.Source, "origin", v.Origin), c.Time,
				point{"steps": num(v.Steps), "walking_minutes": num(v.Walking), "supplied_minutes": num(v.Supplied)})
		}
		for _, v := range c.Detail.Minutes {
			put("walk_minutes", who, v.Start, point{"walking_s": num(v.Walking.Seconds()), "steps": num(v.Steps)})
		}
		for _, st := range c.Detail.Streams {
			for _, r := range st.Records {
				put("walk_steps", with("source", st.Source, "origin", st.Origin), r.Start,
					point{"steps": num(r.Steps), "duration_s": strconv.Itoa(int(r.Duration / time.Second))})
			}
		}
		for _, v := range c.Detail.Sessions {
			put("walk_session", with("source", v.Source, "kind", string(v.Kind)), v.Start, point{
				"duration_s": strconv.Itoa(int(v.End.Sub(v.Start) / time.Second)),
				"moving_s":   strconv.Itoa(int(v.Moving / time.Second)), "steps": num(v.Session.Steps),
			})
		}
		for _, n := range c.Nudges {
			put("walk_nudge", with("rule", n.Rule, "channel", n.Channel), n.Time,
				point{"outcome": n.Outcome, "action": n.Action, "walked_after": num(n.WalkedAfter)})
		}
		for name, p := range map[string]func() (PeriodContent, bool){
			"walk_week": func() (PeriodContent, bool) {
				return s.period(k.person, k.day.Monday(), func(d walking.Day) bool { return d.Monday() == k.day.Monday() })
			},
			"walk_month": func() (PeriodContent, bool) {
				f := k.day.FirstOfMonth()
				return s.period(k.person, f, func(d walking.Day) bool { return d.FirstOfMonth() == f })
			},
		} {
			v, _ := p()
			put(name, who, v.Time, point{
				"walking_minutes": num(v.Walking), "days": strconv.Itoa(v.Days), "days_met": strconv.Itoa(v.Met),
			})
		}
	}
	return out
}

// sentOnce counts messages that reached somebody, however many channels they went by.
func sentOnce(all []Nudge) int {
	n := 0
	for i, x := range all {
		same := func(o Nudge) bool { return o.Outcome == "sent" && o.Rule == x.Rule && o.Time.Equal(x.Time) }
		if x.Outcome == "sent" && !slices.ContainsFunc(all[:i], same) {
			n++
		}
	}
	return n
}

func pointName(name string, tags map[string]string, unix int64) string {
	var b strings.Builder
	b.WriteString(name)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if tags[k] != "" {
			b.WriteString("," + k + "=" + tags[k])
		}
	}
	return b.String() + "@" + strconv.FormatInt(unix, 10)
}

// serverPoints reads everything that is walkd's from a real InfluxDB.
func serverPoints(s *influxtest.Server, database string) points {
	out := points{}
	for _, m := range cleared {
		for _, r := range s.Query(database, `SELECT * FROM "`+m+`" GROUP BY *`) {
			p := point{}
			for k, v := range r.Values {
				p[k] = fmt.Sprint(v)
			}
			out[pointName(r.Name, r.Tags, r.Time)] = p
		}
	}
	return out
}

// diff says where got is not want. Points that are not wanted may only be zeros.
func diff(got, want points) string {
	got = maps.Clone(got)
	maps.DeleteFunc(got, func(k string, p point) bool {
		if _, ok := want[k]; ok {
			return false
		}
		for f, v := range p {
			if f != "date" && f != "zone" && v != "0" && v != "" {
				return false
			}
		}
		return true
	})
	return cmp.Diff(want, got)
}

func client(tb testing.TB, c Config) *Client {
	tb.Helper()
	if c.URL == "" {
		c.URL = "http://influx.test:8086"
	}
	if c.Bucket == "" {
		c.Bucket = "walkd"
	}
	cl, err := NewClient(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cl.Close)
	return cl
}
