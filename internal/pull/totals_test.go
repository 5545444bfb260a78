package pull_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/walking"
)

// totalling is a provider that can be asked for the totals of days, or that tells them with the minutes.
type totalling struct {
	*minutely
	service func() *service
	with    bool                                            // the minutes
	wrong   func(d walking.Day, steps float64) float64      // what it says in place of what is true
	fail    func(first, last walking.Day) error             // may be nil
	asked   func(first, last walking.Day, n []ingest.Total) // may be nil
}

func (p *totalling) Source(c *http.Client) ingest.Source {
	s := &minutelySource{p.minutely, c}
	if p.with {
		return &totalled{s, p}
	}
	return &totaler{s, p}
}

// sums returns the truth of days.
func (p *totalling) sums(s *service, first, last walking.Day) []ingest.Total {
	s.mu.Lock()
	defer s.mu.Unlock()
	days := map[walking.Day]float64{}
	for at, n := range s.steps {
		if d := s.zones.Day(at); d >= first && d <= last {
			days[d] += n
		}
	}
	var out []ingest.Total
	for d, n := range days {
		out = append(out, ingest.Total{Day: d, Steps: p.wrong(d, n)})
	}
	return out
}

type totaler struct {
	*minutelySource
	p *totalling
}

func (s *totaler) Totals(_ context.Context, first, last walking.Day) ([]ingest.Total, error) {
	out := s.p.sums(s.p.service(), first, last)
	if s.p.asked != nil {
		s.p.asked(first, last, out)
	}
	if s.p.fail != nil {
		if err := s.p.fail(first, last); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type totalled struct {
	*minutelySource
	p *totalling
}

func (s *totalled) Fetch(ctx context.Context, r ingest.Request) (ingest.Batch, error) {
	b, err := s.minutelySource.Fetch(ctx, r)
	b.Totals = s.p.sums(s.p.service(), r.Zones.Day(r.Window.Start), r.Zones.Day(r.Window.End.Add(-1)))
	return b, err
}

// withTotals returns a rig whose provider p is, with a hundred days of 3,000 steps.
func withTotals(t *testing.T, p *totalling) *rig {
	t.Helper()
	r := newRig(t, noon, func(s *service) []pull.Config {
		p.minutely, p.service = newMinutely(s, "watch"), func() *service { return s }
		return one("minutely", p)
	})
	for i := range 100 {
		r.service.walk(noon.AddDate(0, 0, -i).Add(-3*time.Hour), 30, 100)
	}
	return r
}

func right(_ walking.Day, n float64) float64 { return n }

var friday = walking.DayOf(2026, time.November, 20)

func TestTotals(t *testing.T) {
	for name, with := range map[string]bool{"with the minutes": true, "by a question": false} {
		t.Run(name, func(t *testing.T) {
			p := &totalling{with: with, wrong: right}
			r := begun(t, func(testing.TB) *rig { return withTotals(t, p) })
			r.backfill(1000)
			r.same()
			if s := r.state(); len(s.Off) > 0 || !s.Backfill.Done {
				t.Fatalf("%+v, though all is right", s)
			}
			// Of the last days one is told too high, one too low, one hardly, and one by a few steps only.
			p.wrong = func(d walking.Day, n float64) float64 {
				switch d {
				case friday:
					return 1.06 * n
				case friday - 1:
					return 0.94 * n
				case friday - 2:
					return 1.049 * n
				}
				return n
			}
			r.later(24 * time.Hour)
			want := []pull.OffDay{{Day: friday, Told: 3180, Stored: 3000}, {Day: friday - 1, Told: 2820, Stored: 3000}}
			if diff := cmp.Diff(want, r.state().Off); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n := strings.Count(r.log.String(), "differs from what the provider says"); n != 2 {
				t.Errorf("the log tells of %d days, want 2:\n%s", n, r.log)
			}
			r.later(24 * time.Hour)
			r.restart()
			if diff := cmp.Diff(want, r.state().Off); diff != "" {
				t.Errorf("a day and a restart later (-want +got):\n%s", diff)
			}
			if n := strings.Count(r.log.String(), "differs from what the provider says"); n != 2 {
				t.Errorf("the log tells of it %d times, want once a day that differs", n)
			}
			// What is put right is forgotten.
			p.wrong = right
			r.later(24 * time.Hour)
			if s := r.state(); len(s.Off) > 0 {
				t.Errorf("%+v, though all is right again", s.Off)
			}
			// A range that a person asks for is compared as well.
			p.wrong = func(_ walking.Day, n float64) float64 { return 2 * n }
			r.sync(pull.SyncRequest{From: friday - 40, To: friday - 21})
			if s := r.state(); len(s.Off) != 20 || s.Off[0].Day != friday-21 {
				t.Errorf("%+v", s.Off)
			}
		})
	}
}

// Totals are asked for once a day, and once for every 89 days of history; a day that is not over, is not there yet
// or was travelled through is none to compare.
func TestTotalsAsked(t *testing.T) {
	var spans [][2]walking.Day
	p := &totalling{wrong: right, asked: func(first, last walking.Day, _ []ingest.Total) {
		spans = append(spans, [2]walking.Day{first, last})
	}}
	r := begun(t, func(testing.TB) *rig { return withTotals(t, p) })
	if want := [][2]walking.Day{{friday - 2, friday - 1}}; !slices.Equal(spans, want) {
		t.Errorf("at first %v, want %v: there is nothing else yet", spans, want)
	}
	spans = nil
	r.backfill(1000)
	if s := r.state(); len(s.Off) > 0 {
		t.Errorf("%+v", s.Off)
	}
	next := friday - 3
	slices.SortFunc(spans, func(a, b [2]walking.Day) int { return int(b[0] - a[0]) })
	for _, s := range spans {
		if s[1] != next || s[1]-s[0] >= 89 {
			t.Errorf("asked for %v, want what ends on %s and is not longer than 89 days", s, next)
		}
		next = s[0] - 1
	}
	if first := r.state().Backfill.Reached; next != first-1 {
		t.Errorf("asked back to %s, the history to %s", next+1, first)
	}
	spans = nil
	for range 20 {
		r.later(30 * time.Minute)
	}
	if len(spans) != 0 {
		t.Errorf("asked again on the same day: %v", spans)
	}
	r.now.add(14 * time.Hour)
	r.later(time.Hour)
	if want := [][2]walking.Day{{friday - 7, friday}}; !slices.Equal(spans, want) {
		t.Errorf("on the next day %v, want %v", spans, want)
	}
	// A journey of nine hours makes days of other lengths, and dates that the provider may see otherwise.
	p.wrong = func(_ walking.Day, n float64) float64 { return 2 * n }
	r.configure(walking.ZoneChange{From: noon.AddDate(0, 0, -1), Zone: location(t, "America/Los_Angeles")},
		walking.ZoneChange{From: noon, Zone: berlin(t)})
	r.now.add(24 * time.Hour)
	r.later(time.Minute)
	for _, o := range r.state().Off {
		if o.Day == friday || o.Day == friday-1 {
			t.Errorf("%+v is compared, though it was travelled through", o)
		}
	}
}

// On a day of hardly any steps a few of them are a large share, and nothing to tell anybody of.
func TestTotalsOfFewSteps(t *testing.T) {
	for _, tt := range []struct {
		told float64
		off  int
	}{{119, 0}, {81, 0}, {121, 1}, {79, 1}} {
		p := &totalling{wrong: func(walking.Day, float64) float64 { return tt.told }}
		r := begun(t, func(testing.TB) *rig {
			r := newRig(t, noon, func(s *service) []pull.Config {
				p.minutely, p.service = newMinutely(s, "watch"), func() *service { return s }
				return one("minutely", p)
			})
			r.service.walk(noon.AddDate(0, 0, -1), 1, 100)
			return r
		})
		if s := r.state(); len(s.Off) != tt.off {
			t.Errorf("100 steps, and %g told: %+v", tt.told, s.Off)
		}
	}
}

// That totals cannot be had is no failure of the source.
func TestTotalsFail(t *testing.T) {
	p := &totalling{wrong: right, fail: func(walking.Day, walking.Day) error {
		return &ingest.Error{Class: ingest.Permanent, Err: context.DeadlineExceeded}
	}}
	r := begun(t, func(testing.TB) *rig { return withTotals(t, p) })
	r.backfill(1000)
	r.same()
	if s := r.state(); s.Problem != nil || s.Phase != pull.OK || !s.Backfill.Done {
		t.Errorf("%+v %+v", s, s.Problem)
	}
	if !strings.Contains(r.log.String(), "cannot compare days") {
		t.Error("the log does not tell of it")
	}
}
