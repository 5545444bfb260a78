package pull_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/walking"
)

func TestFirstPoll(t *testing.T) {
	for name, rigged := range map[string]func(testing.TB) *rig{"minutely": minutelyRig, "odd": oddRig} {
		t.Run(name, func(t *testing.T) {
			r := rigged(t)
			r.service.walk(noon.Add(-time.Hour), 20, 100)
			r.service.walk(noon.Add(-40*time.Hour), 20, 90)
			r.service.lock(func() { r.service.synced = noon.Add(-time.Minute) })
			if got := r.state(); got.Phase != pull.NeedsConsent || got.Problem.Remedy != "run `walkd connect watch`" {
				t.Errorf("before: %+v", got)
			}
			r.poll()
			if got := r.service.asked(); len(got) > 0 {
				t.Errorf("asked %v without consent", got)
			}
			r.connect()
			if got := r.state(); got.Phase != pull.NeverAsked {
				t.Errorf("connected: phase %q", got.Phase)
			}
			next := r.poll()
			if diff := cmp.Diff(r.truth(), r.stored()); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			if next.Before(noon) || next.After(noon.Add(50*time.Minute)) {
				t.Errorf("next poll at %s", next)
			}
			want := noon.Add(-time.Minute)
			if name == "odd" {
				want = noon.Add(-40 * time.Minute) // the newest record's end
			}
			if got := r.stream().SyncedThrough; !got.Equal(want) {
				t.Errorf("synced through %s, want %s", got, want)
			}
			got := r.state()
			if got.Phase != pull.OK || !got.Data.Equal(noon) || !got.Next.Equal(next) || got.Problem != nil {
				t.Errorf("after: %+v, want next %s", got, next)
			}
			if len(r.synced) != 1 {
				t.Errorf("Synced was called for %v, want one person", r.synced)
			}
		})
	}
}

// A day of polls, with a device that syncs before each of them, stays below what walkd allows itself.
func TestRequestsOfADay(t *testing.T) {
	for name, rigged := range map[string]func(testing.TB) *rig{"minutely": minutelyRig, "odd": oddRig} {
		t.Run(name, func(t *testing.T) {
			r := rigged(t)
			r.connect()
			days := time.Duration(2)
			if os.Getenv("WALKD_SOAK") != "" {
				days = 30
			}
			r.service.asked()
			midnight := noon.Add(13 * time.Hour)
			count := map[int]int{}
			kinds := map[string]int{}
			for r.now.Now().Before(midnight.Add(days * 24 * time.Hour)) {
				now := r.now.Now()
				r.service.walk(now.Truncate(time.Minute).Add(-5*time.Minute), 3, 100)
				r.service.lock(func() { r.service.synced = now.Add(-time.Minute) })
				next := r.poll()
				if next.Sub(now) <= 0 {
					t.Fatalf("next poll at %s, which is now", next)
				}
				for _, q := range r.service.asked() {
					path, _, _ := strings.Cut(q, "?")
					if !now.Before(midnight) {
						kinds[path]++
						count[int(now.Sub(midnight)/(24*time.Hour))]++
					}
				}
				if s := r.state(); s.Phase != pull.OK {
					t.Fatalf("%s: %+v %+v", now, s, s.Problem)
				}
				r.now.set(next)
			}
			t.Logf("requests by day %v, in %d days by path %v", count, days, kinds)
			for d, n := range count {
				if n > pull.DefaultDaily {
					t.Errorf("day %d: %d requests, want at most %d", d, n, pull.DefaultDaily)
				}
			}
			r.sync(pull.SyncRequest{}) // for what came after the last poll
			r.same()
		})
	}
}

func TestWindowsAreCivil(t *testing.T) {
	r := minutelyRig(t)
	r.service.lock(func() { r.service.synced = noon })
	r.connect()
	r.poll()
	var got []string
	for _, q := range r.service.asked() {
		if strings.HasPrefix(q, "/minutes") {
			got = append(got, q)
		}
	}
	from, to := walking.DayOf(2026, 11, 18).In(berlin(t)), walking.DayOf(2026, 11, 21).In(berlin(t))
	want := []string{"/minutes?from=" + escape(from) + "&to=" + escape(to)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func escape(t time.Time) string { return strings.ReplaceAll(stamp(t), ":", "%3A") }

// A machine that sleeps, and a clock that is set, show only in what is on the clock: the other reading that package time
// keeps beside it, and compares instead, knows of neither.
func TestTimesAreThoseOnTheClock(t *testing.T) {
	r := minutelyRig(t)
	var asked []time.Time
	r.accounts[0].Provider = asking{r.accounts[0].Provider.(*minutely), func(q ingest.Request) { asked = append(asked, q.Now) }}
	r.options.Clock = runningClock{r.now}
	r.renew()
	r.connect()
	r.poll()
	if len(asked) == 0 {
		t.Fatal("nothing was asked")
	}
	for _, at := range asked {
		if at != at.Round(0) {
			t.Errorf("%s has a monotonic reading", at)
		}
	}
}

// A runningClock is that of the machine.
type runningClock struct{ *clock }

func (runningClock) Now() time.Time { return time.Now() }

// asking tells what is asked of a provider.
type asking struct {
	*minutely
	tell func(ingest.Request)
}

func (p asking) Source(c *http.Client) ingest.Source {
	return askingSource{p.minutely.Source(c).(*minutelySource), p.tell}
}

type askingSource struct {
	*minutelySource
	tell func(ingest.Request)
}

func (s askingSource) Fetch(ctx context.Context, r ingest.Request) (ingest.Batch, error) {
	s.tell(r)
	return s.minutelySource.Fetch(ctx, r)
}
