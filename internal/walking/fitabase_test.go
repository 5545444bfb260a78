package walking

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A fitDay is one day of one volunteer: the steps of its minutes.
type fitDay struct {
	person string
	day    Day
	steps  [1440]int
}

// fitabaseDays reads the days with at least ValidSteps steps, from the slice beside this test or, if $WALKD_FITABASE names
// the whole minuteStepsWide_merged.csv, from there.
func fitabaseDays(t testing.TB) []*fitDay {
	t.Helper()
	path := os.Getenv("WALKD_FITABASE")
	if path == "" {
		path = "testdata/fitabase/minuteStepsWide.csv.gz"
	}
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
	var days []*fitDay
	for _, row := range rows[1:] {
		at, err := time.Parse("1/2/2006 15:04", row[1])
		if err != nil {
			t.Fatal(err)
		}
		d := DayOf(at.Date())
		if n := len(days); n == 0 || days[n-1].person != row[0] || days[n-1].day != d {
			days = append(days, &fitDay{person: row[0], day: d})
		}
		for i, s := range row[2:] {
			if days[len(days)-1].steps[at.Hour()*60+i], err = strconv.Atoi(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	return slices.DeleteFunc(days, func(d *fitDay) bool {
		sum := 0
		for _, s := range d.steps {
			sum += s
		}
		return sum < ValidSteps
	})
}

// A simDay is a day as a watch and a phone would have seen it.
type simDay struct {
	day          Day
	watch, phone [1440]float64
	// What was to be known of the day's movement, in minutes at c = 80. What nobody carried nobody can know: it is
	// neither asked for nor counted as zero.
	worn  float64    // in the minutes in which the watch was on
	seen  float64    // in the minutes in which at least one device was on the person, by the watch's exact counts
	ideal [2]float64 // the same, each minute by the count of the first device that was on: watch first, phone first
}

// simulateDay takes the recorded day for what the person did. The watch saw it exactly, but for one or two blocks of one
// to three waking hours in which it was off. The phone was carried in blocks of 20 to 120 min over 40 to 70 % of the day;
// in each its clock lags by 0 to 3 min and it counts 0.85 to 1.15 of the steps.
func simulateDay(f *fitDay, rng *rand.Rand) simDay {
	s := simDay{day: f.day}
	var off, carried [1440]bool
	var phone [1440]float64 // without the lag
	for range 1 + rng.IntN(2) {
		length := 60 + rng.IntN(121)
		from := 7*60 + rng.IntN(16*60-length)
		for i := from; i < from+length; i++ {
			off[i] = true
		}
	}
	want := 0.4 + 0.3*rng.Float64()
	for n := 0; float64(n) < want*1440; {
		length := 20 + rng.IntN(101)
		from := rng.IntN(1440 - length)
		lag := rng.IntN(4)
		count := 0.85 + 0.3*rng.Float64()
		for i := from; i < from+length; i++ {
			if carried[i] {
				continue
			}
			carried[i] = true
			n++
			phone[i] = math.Round(float64(f.steps[i]) * count)
			if i+lag < 1440 {
				s.phone[i+lag] += phone[i]
			}
		}
	}
	for i, steps := range f.steps {
		exact, told := min(1, float64(steps)/80), min(1, phone[i]/80)
		if !off[i] {
			s.watch[i] = float64(steps)
			s.worn += exact
		}
		switch {
		case !off[i] && carried[i]:
			s.seen += exact
			s.ideal[0] += exact
			s.ideal[1] += told
		case !off[i]:
			s.seen += exact
			s.ideal[0] += exact
			s.ideal[1] += exact
		case carried[i]:
			s.seen += exact
			s.ideal[0] += told
			s.ideal[1] += told
		}
	}
	return s
}

// coarse returns the minutes of a day as records of a length in minutes; those without steps are left out.
func coarse(d Day, minutes *[1440]float64, grain int) []Record {
	midnight := d.utc()
	var out []Record
	for i := 0; i < 1440; i += grain {
		sum := 0.0
		for _, s := range minutes[i : i+grain] {
			sum += s
		}
		if sum > 0 {
			out = append(out, Record{
				Start:    midnight.Add(time.Duration(i) * time.Minute),
				Duration: time.Duration(grain) * time.Minute,
				Steps:    sum,
			})
		}
	}
	return out
}

// A deviation is the mean absolute error and the mean error over days, in minutes a day.
type deviation struct {
	mae, bias float64
	n         int
}

func (s *deviation) add(e float64) {
	s.n++
	s.mae += (math.Abs(e) - s.mae) / float64(s.n)
	s.bias += (e - s.bias) / float64(s.n)
}

func (s deviation) String() string { return fmt.Sprintf("%5.2f (%+.2f)", s.mae, s.bias) }

// TestMergeOnFitabase measures how far a merge of two devices is from the truth, on real minutes and a simulated second
// device. Run it with -v for the table of docs/estimation.md, and with WALKD_FITABASE for all 20 people.
func TestMergeOnFitabase(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var days []simDay
	for _, f := range fitabaseDays(t) {
		for range 2 {
			days = append(days, simulateDay(f, rng))
		}
	}
	t.Logf("%d days", len(days))

	// What does not work, roughly.
	var sum, most deviation
	for i := range days {
		d := &days[i]
		added, higher := 0.0, 0.0
		for i := range d.watch {
			w, p := min(1, d.watch[i]/80), min(1, d.phone[i]/80)
			added += w + p
			higher += max(w, p)
		}
		sum.add(added - d.seen)
		most.add(higher - d.seen)
	}
	t.Logf("sum of both %v, per-minute maximum %v", sum, most)
	if sum.bias < 30 || most.bias < 12 {
		t.Errorf("sum of both %v, per-minute maximum %v: the simulation is too easy", sum, most)
	}

	margin := holdRule{margin: 5 * time.Minute}
	bridge := holdRule{margin: 2 * time.Minute, bridge: 5 * time.Minute}
	rules := []holdRule{margin, bridge, shippedRule}
	for _, tt := range []struct {
		watch, phone int // grain in minutes
		phoneFirst   bool
		limit        float64 // of the mean absolute error with the shipped rule; 0 if only reported, with -v
	}{
		{1, 1, false, 1.5},
		{1, 5, false, 1.5},
		{1, 15, false, 2.5},
		{1, 60, false, 2.5},
		{1, 1440, false, 2.5},
		{1, 1, true, 1.5},
		{5, 1, false, 0},
		{15, 1, false, 0},
		{60, 1, false, 0},
		{1440, 1, false, 0},
		{5, 1, true, 0},
		{15, 1, true, 0},
		{60, 1, true, 0},
		{1440, 1, true, 0},
		{1, 15, true, 0},
		{1, 60, true, 0},
		{1, 1440, true, 0},
	} {
		if tt.limit == 0 && !testing.Verbose() {
			continue
		}
		order := "watch %d, phone %d"
		if tt.phoneFirst {
			order = "phone %[2]d, watch %[1]d"
		}
		var bySeen, byIdeal []deviation
		for _, rule := range rules {
			var seen, ideal deviation
			for i := range days {
				d := &days[i]
				inputs := []Input{
					{StreamKey: StreamKey{Source: "watch"}, Records: coarse(d.day, &d.watch, tt.watch)},
					{StreamKey: StreamKey{Source: "phone"}, Records: coarse(d.day, &d.phone, tt.phone)},
				}
				want := d.ideal[0]
				if tt.phoneFirst {
					slices.Reverse(inputs)
					want = d.ideal[1]
				}
				if !tt.phoneFirst && tt.phone == 1440 {
					// The total of a day in which the watch counted more does not tell that anything was missed, nor
					// when: only the watch saw anything.
					want = d.worn
				}
				s, _ := merge(inputs, rule).Day(d.day, Setting{})
				seen.add(s.Walking + s.Running - d.seen)
				ideal.add(s.Walking + s.Running - want)
			}
			bySeen, byIdeal = append(bySeen, seen), append(byIdeal, ideal)
		}
		name := fmt.Sprintf(order, tt.watch, tt.phone)
		t.Logf("%-22s perfect merge: 5 min %v, 2+5 min %v, shipped %v   watch's counts: %v, %v, %v", name,
			byIdeal[0], byIdeal[1], byIdeal[2], bySeen[0], bySeen[1], bySeen[2])
		if got := byIdeal[2]; tt.limit > 0 && got.mae > tt.limit {
			t.Errorf("%s: error %v min/day, want at most %v", name, got, tt.limit)
		}
		// The default order has to be that good by the watch's counts too, where the phone's records tell when.
		if got := bySeen[2]; tt.limit > 0 && !tt.phoneFirst && tt.phone < 1440 && got.mae > tt.limit {
			t.Errorf("%s: error %v min/day by the watch's counts, want at most %v", name, got, tt.limit)
		}
	}

	// What the lengths of the records alone do, without any merging.
	for _, grain := range []int{5, 15, 60, 1440} {
		var alone deviation
		for _, f := range fitabaseDays(t) {
			var minutes [1440]float64
			want := 0.0
			for i, s := range f.steps {
				minutes[i] = float64(s)
				want += min(1, float64(s)/80)
			}
			s, _ := Merge([]Input{{Records: coarse(f.day, &minutes, grain)}}).Day(f.day, Setting{})
			alone.add(s.Walking + s.Running - want)
		}
		t.Logf("one watch, always worn, in records of %d min: %v", grain, alone)
	}
}

// TestFitabaseReference checks the estimator against the figures of the whole set: half of the days around 98 minutes.
func TestFitabaseReference(t *testing.T) {
	var walking []float64
	for _, f := range fitabaseDays(t) {
		var minutes [1440]float64
		want := 0.0
		for i, s := range f.steps {
			minutes[i] = float64(s)
			want += min(1, float64(s)/80)
		}
		s, _ := Merge([]Input{{Records: coarse(f.day, &minutes, 1)}}).Day(f.day, Setting{})
		if got := s.Walking + s.Running; math.Abs(got-want) > 0.011 {
			t.Fatalf("%s %s: %v minutes, want %v", f.person, f.day, got, want)
		}
		walking = append(walking, want)
	}
	slices.Sort(walking)
	if median := walking[len(walking)/2]; median < 85 || median > 115 {
		t.Errorf("median of %d days is %v minutes, want about 98", len(walking), median)
	}
}
