package walking

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// noon is noon UTC of the day on which most tests happen.
var noon = time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)

// rec returns a record that starts some minutes after noon.
func rec(from, minutes, steps float64) Record {
	return Record{
		Start:    noon.Add(time.Duration(from * float64(time.Minute))),
		Duration: time.Duration(minutes * float64(time.Minute)),
		Steps:    steps,
	}
}

// run returns n records of one minute each from some minutes after noon.
func run(from, n int, steps float64) []Record {
	var out []Record
	for i := range n {
		out = append(out, rec(float64(from+i), 1, steps))
	}
	return out
}

func session(kind Kind, from, minutes, moving float64) Session {
	r := rec(from, minutes, 0)
	return Session{Start: r.Start, End: r.End(), Moving: time.Duration(moving * float64(time.Minute)), Kind: kind}
}

func withSteps(s Session, steps float64) Session {
	s.Steps, s.HasSteps = steps, true
	return s
}

func join[T any](lists ...[]T) []T {
	var out []T
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// streams returns inputs a, b, c … of the given records.
func streams(records ...[]Record) []Input {
	var out []Input
	for i, r := range records {
		out = append(out, Input{StreamKey: StreamKey{Source: string(rune('a' + i))}, Records: r})
	}
	return out
}

var about = cmpopts.EquateApprox(0, 0.011)

func TestMerge(t *testing.T) {
	type totals struct {
		Steps                                int64
		Walking, Running, Brisk, Alternative float64
	}
	with := func(in []Input, sessions ...[]Session) []Input {
		for i, s := range sessions {
			in[i].Sessions = s
		}
		return in
	}
	for _, tt := range []struct {
		name string
		in   []Input
		want totals
	}{
		{"nothing", nil, totals{}},
		{"minutes", streams(run(0, 10, 80)), totals{Steps: 800, Walking: 10}},
		{"part of a minute", streams(run(0, 10, 20)), totals{Steps: 200, Walking: 2.5}},
		{"brisk is inside walking", streams(run(0, 10, 100)), totals{Steps: 1000, Walking: 10, Brisk: 10}},
		{"just not brisk", streams(run(0, 10, 99)), totals{Steps: 990, Walking: 10}},
		{"fast walking", streams(run(0, 10, 139)), totals{Steps: 1390, Walking: 10, Brisk: 10}},
		{"running is beside walking", streams(run(0, 10, 140)), totals{Steps: 1400, Running: 10}},
		{"running within ten seconds", streams([]Record{rec(0, 1.0/6, 25)}), totals{Steps: 25, Running: 0.17}},
		{"a daily total", streams([]Record{rec(-720, 1440, 9200)}), totals{Steps: 9200, Walking: 100}},
		{"no length", streams([]Record{rec(0, 0, 500)}), totals{Steps: 500}},
		{"no steps", streams([]Record{rec(0, 1, 0)}), totals{}},
		{"what is not a number", streams([]Record{rec(0, 1, math.NaN()), rec(1, 1, -5)}), totals{}},

		// One stream by itself.
		{"the same record twice", streams([]Record{rec(0, 5, 85), rec(0, 5, 85)}), totals{Steps: 85, Walking: 1}},
		{"minutes and their hour", streams(append(run(0, 10, 80), rec(0, 60, 800))), totals{Steps: 800, Walking: 10}},
		{
			"minutes and an hour with as many again", streams(append(run(0, 10, 80), rec(0, 60, 1600))),
			totals{Steps: 1600, Walking: 10 + 800.0/92},
		},
		{"a quarter left is too little", streams(append(run(0, 10, 75), rec(0, 60, 1000))), totals{Steps: 750, Walking: 9.375}},
		{"a little more is not", streams(append(run(0, 10, 74), rec(0, 60, 1000))), totals{Steps: 1000, Walking: 9.25 + 260.0/92}},
		{
			"minutes, quarters of an hour and the day", streams(append(append(run(0, 10, 80), rec(0, 15, 800)), rec(-720, 1440, 800))),
			totals{Steps: 800, Walking: 10},
		},
		{
			"three levels that each add something", streams(append(append(run(0, 10, 80), rec(0, 15, 1235)), rec(-720, 1440, 2155))),
			totals{Steps: 2155, Walking: 10 + 5 + 10},
		},
		{"overlapping halves", streams([]Record{rec(0, 10, 860), rec(5, 10, 860)}), totals{Steps: 1290, Walking: 15}},
		{"no length inside a record", streams([]Record{rec(0, 60, 920), rec(30, 0, 5)}), totals{Steps: 925, Walking: 10}},

		// Two streams.
		{"watch and phone", streams(run(0, 10, 80), run(0, 10, 90)), totals{Steps: 800, Walking: 10}},
		{"the phone lags", streams(run(0, 10, 80), run(3, 10, 80)), totals{Steps: 800, Walking: 10}},
		{"the phone was carried later", streams(run(0, 10, 80), run(60, 10, 80)), totals{Steps: 1600, Walking: 20}},
		{"five minutes later it is held", streams(run(0, 1, 80), run(5, 1, 80)), totals{Steps: 80, Walking: 1}},
		{"six minutes later it is not", streams(run(0, 1, 80), run(6, 1, 80)), totals{Steps: 160, Walking: 2}},
		{"walking on with the phone alone", streams(run(0, 10, 80), run(0, 30, 80)), totals{Steps: 2400, Walking: 30}},
		{"zeros hold nothing", streams(run(0, 10, 0), run(0, 10, 80)), totals{Steps: 800, Walking: 10}},
		{"no length holds nothing", streams([]Record{rec(5, 0, 50)}, run(0, 10, 80)), totals{Steps: 850, Walking: 10}},
		{"no length is held", streams(run(0, 10, 80), []Record{rec(12, 0, 50)}), totals{Steps: 800, Walking: 10}},
		{"no length twice", streams([]Record{rec(5, 0, 50)}, []Record{rec(5, 0, 50)}), totals{Steps: 50}},
		{
			"the phone's hour adds what the watch has not", streams(run(0, 10, 80), []Record{rec(0, 60, 1720)}),
			totals{Steps: 1720, Walking: 20},
		},
		{"and nothing if it has it", streams(run(0, 10, 80), []Record{rec(0, 60, 900)}), totals{Steps: 800, Walking: 10}},
		{
			"an hour holds its span exactly", streams([]Record{rec(0, 60, 920)}, join(run(-1, 1, 80), run(30, 10, 80), run(60, 1, 80))),
			totals{Steps: 1080, Walking: 12},
		},
		{
			"a daily total below holds back what is known", streams(run(0, 50, 80), []Record{rec(-720, 1440, 8600)}),
			totals{Steps: 8600, Walking: 50 + 4600.0/92},
		},
		{"room is the limit", streams([]Record{rec(0, 55, 920)}, []Record{rec(0, 60, 5000)}), totals{Steps: 5000, Walking: 15.06}},

		// A record spread evenly over minutes: 460 steps an hour make 5 minutes, not 5.75.
		{"rejoined", streams(run(0, 60, 460.0/60)), totals{Steps: 460, Walking: 5}},
		{"rejoined in two hours", streams(run(30, 60, 460.0/60)), totals{Steps: 460, Walking: 460 / (87 + 5.0/3)}},
		{"whole numbers are not", streams(run(0, 60, 8)), totals{Steps: 480, Walking: 6}},

		// Sessions.
		{"a walk alone", with(streams(nil), []Session{session(Walk, 0, 40, 30)}), totals{Walking: 30}},
		{"a hike alone, in one go", with(streams(nil), []Session{session(Hike, 0, 40, 50)}), totals{Walking: 40}},
		{"a run alone", with(streams(nil), []Session{session(Run, 0, 40, 30)}), totals{Running: 30}},
		{"a ride alone", with(streams(nil), []Session{session(Ride, 0, 40, 30)}), totals{Alternative: 30}},
		{"something else", with(streams(nil), []Session{session(Other, 0, 40, 30)}), totals{}},
		{"a session that ends before it starts", with(streams(nil), []Session{session(Walk, 40, -40, 30)}), totals{}},
		{"a walk with steps", with(streams(nil), []Session{withSteps(session(Walk, 0, 60, 50), 1840)}), totals{Steps: 1840, Walking: 20}},
		{"steps and no moving time", with(streams(nil), []Session{withSteps(session(Walk, 0, 60, 0), 1840)}), totals{Steps: 1840, Walking: 20}},
		{
			"a brisk walk with steps", with(streams(nil), []Session{withSteps(session(Walk, 0, 60, 50), 6000)}),
			totals{Steps: 6000, Walking: 50, Brisk: 50},
		},
		{"a run with steps", with(streams(nil), []Session{withSteps(session(Run, 0, 60, 50), 8000)}), totals{Steps: 8000, Running: 50}},
		{"the watch's minutes say it already", with(streams(run(0, 40, 80)), []Session{session(Walk, 0, 40, 40)}), totals{Steps: 3200, Walking: 40}},
		{
			"and so do another's", with(streams(run(0, 40, 80), nil), nil, []Session{withSteps(session(Walk, 0, 42, 40), 3300)}),
			totals{Steps: 3200, Walking: 40},
		},
		{
			"a walk that two services tell", with(streams(nil, nil), []Session{session(Walk, 0, 40, 40)}, []Session{session(Walk, 1, 40, 40)}),
			totals{Walking: 40},
		},
		{
			"with steps and without", with(streams(nil, nil), []Session{session(Walk, 0, 40, 40)}, []Session{withSteps(session(Walk, 2, 40, 40), 3400)}),
			totals{Walking: 40},
		},
		{
			"both of one service", with(streams(nil), []Session{session(Walk, 0, 40, 40), withSteps(session(Walk, 2, 40, 40), 3400)}),
			totals{Walking: 40},
		},
		{
			"alternative minutes are a union", with(streams(nil, nil), []Session{session(Ride, 0, 40, 40)}, []Session{session(Ride, 20, 40, 40)}),
			totals{Alternative: 60},
		},
		{
			"alternative minutes beside steps", with(streams(run(0, 10, 80)), []Session{session(Elliptical, 0, 20, 20)}),
			totals{Steps: 800, Walking: 10, Alternative: 20},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, det := Merge(tt.in).Day(DayOf(2026, time.June, 1), Setting{})
			got := totals{s.Steps, s.Walking, s.Running, s.Brisk, s.Alternative}
			if diff := cmp.Diff(tt.want, got, about); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			walking := 0.0
			for _, m := range det.Minutes {
				walking += m.Walking.Minutes()
			}
			if diff := cmp.Diff(s.Walking, walking, about); diff != "" {
				t.Errorf("the minutes do not add up to the day (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRules shows what the rule alone decides.
func TestRules(t *testing.T) {
	m := time.Minute
	// Two short walks, and the same as a phone tells them that lags by two minutes and was carried on after the second.
	watch := join(run(0, 4, 80), run(8, 4, 80))
	phone := join(run(2, 4, 80), run(10, 4, 80), run(14, 6, 80))
	for _, tt := range []struct {
		rule holdRule
		want float64
	}{
		{holdRule{}, 8 + 2 + 8},
		{holdRule{margin: 2 * m}, 8 + 6},
		{holdRule{margin: 5 * m}, 8 + 3},
		{holdRule{margin: 1 * m}, 8 + 1 + 7},
		{holdRule{margin: 1 * m, bridge: 2 * m}, 8 + 7},
		{holdRule{margin: 5 * m, around: 10 * m, surplus: 0.4}, 8 + 8},
		{holdRule{margin: 5 * m, around: 10 * m, surplus: 0.6}, 8 + 6},
	} {
		t.Run(fmt.Sprintf("%+v", tt.rule), func(t *testing.T) {
			s, _ := merge(streams(watch, phone), tt.rule).Day(DayOf(2026, time.June, 1), Setting{})
			if diff := cmp.Diff(tt.want, s.Walking, about); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReach(t *testing.T) {
	if got := Reach(time.Minute); got < time.Hour || got > 3*time.Hour {
		t.Errorf("a minute reaches %v: invalidation would mark too much or too little", got)
	}
	if Reach(2*time.Hour) <= Reach(time.Hour) {
		t.Error("longer records reach further")
	}
}
