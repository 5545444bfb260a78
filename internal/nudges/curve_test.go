package nudges_test

import (
	"compress/gzip"
	"encoding/csv"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/walking"
)

// A realDay is a day of a volunteer: the steps of its minutes.
type realDay struct {
	person string
	day    walking.Day
	steps  [1440]float64
}

// realDays reads the days with at least walking.ValidSteps steps from a Fitabase file with a row an hour.
func realDays(t testing.TB, path string) []*realDay {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var days []*realDay
	for _, row := range rows[1:] {
		at, err := time.Parse("1/2/2006 15:04", strings.Replace(row[1], ":00:00 ", ":00 ", 1))
		if err != nil {
			t.Fatal(err)
		}
		d := walking.DayOf(at.Date())
		if n := len(days); n == 0 || days[n-1].person != row[0] || days[n-1].day != d {
			days = append(days, &realDay{person: row[0], day: d})
		}
		for i, s := range row[2:] {
			days[len(days)-1].steps[at.Hour()*60+i] = number(t, s)
		}
	}
	return slices.DeleteFunc(days, func(d *realDay) bool {
		sum := 0.0
		for _, s := range d.steps {
			sum += s
		}
		return sum < walking.ValidSteps
	})
}

func number(t testing.TB, s string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// walked returns the walking minutes of a minute with so many steps.
func walked(steps float64) float64 {
	if steps >= walking.RunningCadence {
		return 0
	}
	return walking.WalkingTime(walking.Record{Duration: time.Minute, Steps: steps}).Minutes()
}

// person are the means of somebody's hours over so many days.
type person struct {
	id    string
	days  int
	hours [24]float64
}

// hourlyMeans reads testdata/fitabase/hours.csv.
func hourlyMeans(t *testing.T) []person {
	t.Helper()
	f, err := os.Open("testdata/fitabase/hours.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var people []person
	for _, row := range rows[1:] {
		p := person{id: row[0], days: int(number(t, row[1]))}
		for h := range p.hours {
			p.hours[h] = number(t, row[2+h])
		}
		people = append(people, p)
	}
	return people
}

const wholeData = "WALKD_FITABASE"

// TestHoursAreThoseOfTheData compares the hourly means with minutes of the same people.
func TestHoursAreThoseOfTheData(t *testing.T) {
	path := os.Getenv(wholeData)
	if path == "" {
		path = "../walking/testdata/fitabase/minuteStepsWide.csv.gz"
	}
	got := map[string]*person{}
	for _, d := range realDays(t, path) {
		p := got[d.person]
		if p == nil {
			p = &person{id: d.person}
			got[d.person] = p
		}
		p.days++
		for m, s := range d.steps {
			p.hours[m/60] += walked(s)
		}
	}
	compared := 0
	for _, want := range hourlyMeans(t) {
		p := got[want.id]
		if p == nil {
			continue
		}
		compared++
		if p.days != want.days {
			t.Errorf("%s has %d days, want %d", want.id, p.days, want.days)
		}
		for h := range p.hours {
			if mean := p.hours[h] / float64(p.days); math.Abs(mean-want.hours[h]) > 0.0051 {
				t.Errorf("%s walks %.3f minutes from %02d:00 on, want %.2f", want.id, mean, h, want.hours[h])
			}
		}
	}
	if compared != len(got) || compared < 10 {
		t.Errorf("compared %d of %d people", compared, len(got))
	}
}

// TestCurveIsThatOfTheHours computes the curve from the hourly means. If it fails, either is wrong.
func TestCurveIsThatOfTheHours(t *testing.T) {
	people := hourlyMeans(t)
	var sum, square [25]float64
	for _, p := range people {
		total := 0.0
		for _, h := range p.hours {
			total += h
		}
		share := 0.0
		for h := range 25 {
			sum[h] += share
			square[h] += share * share
			if h < 24 {
				share += p.hours[h] / total
			}
		}
	}
	n := float64(len(people))
	day := walking.DayOf(2026, 11, 21)
	for h := range 24 {
		mean := sum[h] / n
		spread := math.Sqrt(max(0, square[h]/n-mean*mean))
		got := nudges.PaceAt(walking.Timeline{}, day.In(time.UTC).Add(time.Duration(h)*time.Hour))
		if math.Abs(got.Share-mean) > 0.0006 || math.Abs(got.Spread-spread) > 0.0006 {
			t.Errorf("at %02d:00 the pace is %+v, want {%.3f, %.3f}", h, got, mean, spread)
		}
	}
	if len(people) != 20 {
		t.Errorf("%d people, want 20", len(people))
	}
}

func TestPaceAt(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	z := walking.NewTimeline(berlin, walking.ZoneChange{
		From: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Zone: zone(t, "America/New_York"),
	})
	for _, test := range []struct {
		at   time.Time
		want float64
	}{
		{time.Date(2026, 11, 20, 12, 0, 0, 0, berlin), 0.312},
		{time.Date(2026, 11, 20, 12, 30, 0, 0, berlin), 0.350},
		{time.Date(2026, 11, 20, 23, 59, 59, 0, berlin), 1},
		{time.Date(2026, 11, 20, 0, 0, 0, 0, berlin), 0},
		{time.Date(2026, 3, 29, 12, 0, 0, 0, berlin), 0.312},         // 11 hours into the day
		{time.Date(2026, 10, 25, 12, 0, 0, 0, berlin), 0.312},        // 13 hours into it
		{time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), 0.042},      // 07:00 in New York from here on
		{time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC), 0.312},      // 12:00 in Berlin
		{time.Date(2026, 11, 21, 23, 30, 0, 0, time.UTC), 0.751},     // 18:30
		{time.Date(2026, 11, 21, 11, 59, 59, 999, time.UTC), 0.3879}, // 13:00 in Berlin, the last moment there
	} {
		if got := nudges.PaceAt(z, test.at).Share; math.Abs(got-test.want) > 0.0005 {
			t.Errorf("at %s the share is %.4f, want %.4f", test.at, got, test.want)
		}
	}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := walking.ParseZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestBacktest replays real days, with a sync every 15 min that is 10 min old when it is looked at, and pins how often
// Behind speaks: what a change of the rule or the curve does is to be seen. "Anyway" are days with a nudge on which the
// person, who got none, met the target in the end; "missed" those that ended below the target without a word.
func TestBacktest(t *testing.T) {
	path := os.Getenv(wholeData)
	want := map[float64]result{
		78: {226, 154, 61, 16, 27}, 100: {226, 113, 85, 15, 43}, 125: {226, 65, 129, 12, 44},
	}
	if path == "" {
		path = "../walking/testdata/fitabase/minuteStepsWide.csv.gz"
	} else {
		want = map[float64]result{78: {495, 344, 192, 79, 38}, 100: {495, 257, 243, 81, 76}, 125: {495, 143, 308, 54, 98}}
	}
	days := realDays(t, path)
	me := realDays(t, "../simulate/person.csv.gz")
	for _, target := range []float64{78, 100, 125} {
		got, mine := backtest(t, days, target), backtest(t, me, target)
		t.Logf("target %g: %s; the person of the demo: %s", target, got, mine)
		if w := want[target]; got != w {
			t.Errorf("target %g: %+v, want %+v", target, got, w)
		}
	}
	if got, want := backtest(t, me, 100), (result{29, 13, 20, 5, 1}); got != want {
		t.Errorf("the person of the demo: %+v, want %+v", got, want)
	}
}

type result struct{ days, met, nudged, anyway, missed int }

func (r result) String() string {
	return strconv.Itoa(r.days) + " days, " + strconv.Itoa(r.met) + " met, " + strconv.Itoa(r.nudged) + " with a nudge, " +
		strconv.Itoa(r.anyway) + " of these met anyway, " + strconv.Itoa(r.missed) + " missed without one"
}

func backtest(t *testing.T, days []*realDay, target float64) result {
	t.Helper()
	r := result{days: len(days)}
	for _, d := range days {
		midnight := d.day.In(time.UTC)
		total, nudged := 0.0, false
		var steps float64
		known := [1441]walking.Summary{}
		for m := range 1440 {
			known[m] = summary(d.day, total, steps, target)
			total += walked(d.steps[m])
			steps += d.steps[m]
		}
		for m := 0; m < 1440; m += 15 {
			s := situation(midnight.Add(time.Duration(m) * time.Minute))
			s.Today = known[max(0, m-10)]
			s.Streams[0].SyncedThrough = s.Now.Add(-10 * time.Minute)
			nudged = nudged || nudges.Decide(s)[0].Send
		}
		met := float64(walking.WholeMinutes(total)) > target
		switch {
		case met:
			r.met++
			if nudged {
				r.anyway++
			}
		case !nudged:
			r.missed++
		}
		if nudged {
			r.nudged++
		}
	}
	return r
}
