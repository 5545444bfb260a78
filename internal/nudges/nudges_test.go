package nudges_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/walking"
)

// quiet is 21:30-08:00.
var quiet = walking.WallRange{From: 21*60 + 30, To: 8 * 60}

// summary is a day with so much walking by now, from minute steps.
func summary(d walking.Day, minutes, steps, target float64) walking.Summary {
	minutes = walking.Round2(minutes)
	return walking.Summary{
		Day: d, Hours: 24, Steps: int64(steps), Walking: minutes, Low: walking.Round2(minutes * 0.85),
		High: walking.Round2(minutes * 1.15), Target: target, Met: float64(walking.WholeMinutes(minutes)) > target,
		Valid: steps >= walking.ValidSteps,
	}
}

// situation is that of somebody in UTC whose watch has synced 4 minutes ago, with 62 minutes walked.
func situation(now time.Time) nudges.Situation {
	return nudges.Situation{
		Now: now, Quiet: quiet, Today: summary(walking.Timeline{}.Day(now), 62, 5800, 100),
		Streams: []walking.Stream{
			{StreamKey: walking.StreamKey{Source: "watch"}, Delivery: walking.Pulled, SyncedThrough: now.Add(-4 * time.Minute)},
		},
		Settings: nudges.Settings{MaxPerDay: 4, BehindFrom: 12 * 60},
	}
}

func at(hour, minute int) time.Time { return time.Date(2026, 11, 21, hour, minute, 0, 0, time.UTC) }

// walkedBy has the person walked so many minutes.
func walkedBy(minutes float64) func(*nudges.Situation) {
	return func(s *nudges.Situation) { s.Today = summary(s.Today.Day, minutes, minutes*93, s.Today.Target) }
}

func TestBehind(t *testing.T) {
	for _, test := range []struct {
		name    string
		now     time.Time
		change  func(*nudges.Situation)
		reason  nudges.Reason
		why     string
		expires time.Time
		title   string
		body    string
	}{{
		name: "behind at 20:00", now: at(20, 0), reason: nudges.BehindPace,
		why: "As of 19:56 about 62 minutes (53 to 71), where about 85 are usual by then on the way to 100; " +
			"39 more fit before 21:30.",
		expires: at(20, 41).Add(15 * time.Second), title: "About 39 more minutes today",
		body: "As of 19:56: about 62 minutes (53 to 71). Two walks of 20 minutes would take you past your target of 100.",
	}, {
		name: "behind at 14:10", now: at(14, 10), change: walkedBy(5), reason: nudges.BehindPace,
		why: "As of 14:06 about 5 minutes (4 to 6), where about 46 are usual by then on the way to 100; " +
			"96 more fit before 21:30.",
		expires: at(16, 10), title: "About 96 more minutes today",
		body: "As of 14:06: about 5 minutes (4 to 6). Four walks of 25 minutes would take you past your target of 100.",
	}, {
		name: "no walking yet", now: at(14, 10), reason: nudges.BehindPace,
		change: func(s *nudges.Situation) { s.Today = summary(s.Today.Day, 0.3, 24, 78) },
		why: "As of 14:06 no walking is recorded today, where about 36 are usual by then on the way to 78; " +
			"79 more fit before 21:30.",
		expires: at(16, 10), title: "About 79 more minutes today",
		body: "As of 14:06: no walking is recorded today. Three walks of 30 minutes would take you past your target of 78.",
	}, {
		name: "far behind a high target", now: at(12, 0), reason: nudges.BehindPace,
		change: func(s *nudges.Situation) { s.Today = summary(s.Today.Day, 5, 465, 240) },
		why: "As of 11:56 about 5 minutes (4 to 6), where about 74 are usual by then on the way to 240; " +
			"236 more fit before 21:30.",
		expires: at(14, 0), title: "About 236 more minutes today",
		body: "As of 11:56: about 5 minutes (4 to 6). 8 walks of 30 minutes would take you past your target of 240.",
	}, {
		name: "nearly there", now: at(20, 59), reason: nudges.OnPace, change: walkedBy(80),
		why: "As of 20:55 about 80 minutes (68 to 92); about 90 are usual by then on the way to 100, and days differ.",
	}, {
		name: "on pace", now: at(14, 10), reason: nudges.OnPace,
		why: "As of 14:06 about 62 minutes (53 to 71); about 46 are usual by then on the way to 100, and days differ.",
	}, {
		name: "limited", now: at(20, 0), change: func(s *nudges.Situation) { s.Limited = true }, reason: nudges.Limited,
		why: "You have set walking to limited, so there is no walking goal to nudge about.",
	}, {
		name: "yesterday's summary", now: at(20, 0), change: func(s *nudges.Situation) { s.Today.Day-- },
		reason: nudges.NoDataToday, why: "Nothing is known of today yet.",
	}, {
		name: "not worn", now: at(20, 0), change: func(s *nudges.Situation) { s.NotWorn = true }, reason: nudges.Invalid,
		why: "You have marked today as a day without the device.",
	}, {
		name: "short day", now: at(20, 0), change: func(s *nudges.Situation) { s.Today.Hours = 11 }, reason: nudges.Invalid,
		why: "The journey leaves today 11.0 hours, too few for the target of 100 minutes.",
	}, {
		name: "unworn for hours", now: at(20, 0), change: func(s *nudges.Situation) { s.Today.Valid = false },
		reason: nudges.Invalid, why: "The device was off for long today, so the day does not count.",
	}, {
		name: "met", now: at(23, 0), change: walkedBy(100.5), reason: nudges.TargetMet,
		why: "About 101 minutes (85 to 116), more than the target of 100.",
	}, {
		name: "exactly the target", now: at(21, 0), change: walkedBy(100.49), reason: nudges.OnPace,
		why: "As of 20:56 about 100 minutes (85 to 116); about 90 are usual by then on the way to 100, and days differ.",
	}, {
		name: "sent", now: at(20, 0), change: func(s *nudges.Situation) { s.Sent = []string{"behind/2026-11-21"} },
		reason: nudges.AlreadySent, why: "There is a message about it today already.",
	}, {
		name: "quiet", now: at(21, 30), reason: nudges.QuietHours, why: "These are your quiet hours, 21:30-08:00.",
	}, {
		name: "quiet in the morning", now: at(7, 59), reason: nudges.QuietHours,
		why: "These are your quiet hours, 21:30-08:00.",
	}, {
		name: "early", now: at(11, 59), reason: nudges.TooEarly,
		why: "It is before 12:00, when looking at the day's pace begins.",
	}, {
		name: "noon", now: at(12, 0), change: walkedBy(1), reason: nudges.BehindPace,
		why: "As of 11:56 about 1 minute, where about 31 are usual by then on the way to 100; " +
			"100 more fit before 21:30.",
		expires: at(14, 0), title: "About 100 more minutes today",
		body: "As of 11:56: about 1 minute. Four walks of 25 minutes would take you past your target of 100.",
	}, {
		name: "no streams", now: at(20, 0), change: func(s *nudges.Situation) { s.Streams = nil }, reason: nudges.StaleData,
		why: "No device has sent anything of late.",
	}, {
		name: "stale", now: at(20, 0), reason: nudges.StaleData,
		change: func(s *nudges.Situation) { s.Streams[0].SyncedThrough = at(19, 15) },
		why:    "Nothing is known since 19:15, so there is nothing to judge by.",
	}, {
		name: "stale since yesterday, though the phone is not", now: at(20, 0), reason: nudges.StaleData,
		change: func(s *nudges.Situation) {
			s.Streams = append(s.Streams, s.Streams[0])
			s.Streams[0].SyncedThrough = at(19, 15).AddDate(0, 0, -1)
		},
		why: "Nothing is known since 20 November 19:15, so there is nothing to judge by.",
	}, {
		name: "stale since last year", now: at(20, 0), reason: nudges.StaleData,
		change: func(s *nudges.Situation) { s.Streams[0].SyncedThrough = at(19, 15).AddDate(-1, 0, 0) },
		why:    "Nothing is known since 21 November 2025, so there is nothing to judge by.",
	}, {
		name: "never synced", now: at(20, 0), reason: nudges.StaleData,
		change: func(s *nudges.Situation) { s.Streams[0].SyncedThrough = time.Time{} },
		why:    "It is not known how far the device has synced, so there is nothing to judge by.",
	}, {
		name: "watch off the wrist", now: at(20, 0), reason: nudges.NoDataToday,
		change: func(s *nudges.Situation) { s.Today = summary(s.Today.Day, 0, 0, 100) },
		why:    "There are no steps today; the device may not be worn.",
	}, {
		name: "too late", now: at(20, 32), reason: nudges.NotReachable,
		why: "As of 20:28 about 62 minutes (53 to 71); 39 more would not fit before 21:30.",
	}, {
		name: "just in time", now: at(20, 31), reason: nudges.BehindPace,
		why: "As of 20:27 about 62 minutes (53 to 71), where about 88 are usual by then on the way to 100; " +
			"39 more fit before 21:30.",
		expires: at(20, 41).Add(15 * time.Second), title: "About 39 more minutes today",
		body: "As of 20:27: about 62 minutes (53 to 71). Two walks of 20 minutes would take you past your target of 100.",
	}, {
		name: "quiet after midnight", now: at(22, 45), reason: nudges.BehindPace,
		change: func(s *nudges.Situation) { s.Quiet = walking.WallRange{From: 60, To: 480} },
		why: "As of 22:41 about 62 minutes (53 to 71), where about 97 are usual by then on the way to 100; " +
			"39 more fit before 00:00.",
		expires: at(23, 11).Add(15 * time.Second), title: "About 39 more minutes today",
		body: "As of 22:41: about 62 minutes (53 to 71). Two walks of 20 minutes would take you past your target of 100.",
	}, {
		name: "synced by a clock that is ahead", now: at(20, 0), reason: nudges.BehindPace,
		change: func(s *nudges.Situation) { s.Streams[0].SyncedThrough = at(20, 8) },
		why: "As of 20:00 about 62 minutes (53 to 71), where about 86 are usual by then on the way to 100; " +
			"39 more fit before 21:30.",
		expires: at(20, 41).Add(15 * time.Second), title: "About 39 more minutes today",
		body: "As of 20:00: about 62 minutes (53 to 71). Two walks of 20 minutes would take you past your target of 100.",
	}, {
		name: "synced before midnight", now: at(0, 10), reason: nudges.OnPace,
		change: func(s *nudges.Situation) {
			s.Today = summary(s.Today.Day, 0.3, 24, 100)
			s.Quiet, s.Settings.BehindFrom = walking.WallRange{From: 60, To: 480}, 0
			s.Streams[0].SyncedThrough = at(23, 50).AddDate(0, 0, -1)
		},
		why: "As of 23:50 no walking is recorded today; about 0 are usual by then on the way to 100, and days differ.",
	}, {
		name: "day limit", now: at(20, 0), reason: nudges.DayLimit,
		change: func(s *nudges.Situation) {
			s.Settings.MaxPerDay = 1
			s.Sent = []string{"routine/2026-11-21", "behind/2026-11-20"}
		},
		why: "You have set at most 1 a day.",
	}, {
		name: "yesterday's keys do not count", now: at(20, 0), reason: nudges.BehindPace,
		change: func(s *nudges.Situation) {
			s.Settings.MaxPerDay = 1
			s.Sent = []string{"routine/2026-11-20", "behind/2026-11-20"}
		},
		why: "As of 19:56 about 62 minutes (53 to 71), where about 85 are usual by then on the way to 100; " +
			"39 more fit before 21:30.",
		expires: at(20, 41).Add(15 * time.Second), title: "About 39 more minutes today",
		body: "As of 19:56: about 62 minutes (53 to 71). Two walks of 20 minutes would take you past your target of 100.",
	}} {
		t.Run(test.name, func(t *testing.T) {
			s := situation(test.now)
			if test.change != nil {
				test.change(&s)
			}
			want := []nudges.Decision{{
				Rule: nudges.Behind, Send: test.reason == nudges.BehindPace, Reason: test.reason, Why: test.why,
				Day: walking.DayOf(2026, 11, 21), Key: "behind/2026-11-21", At: test.now, Expires: test.expires,
				Title: test.title, Body: test.body,
			}}
			if diff := cmp.Diff(want, nudges.Decide(s)); diff != "" {
				t.Errorf("decisions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFresh(t *testing.T) {
	now := at(14, 0)
	ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
	for _, test := range []struct {
		name string
		s    walking.Stream
		want bool
	}{
		{"44 min", walking.Stream{Delivery: walking.Pulled, SyncedThrough: ago(44)}, true},
		{"45 min", walking.Stream{Delivery: walking.Pulled, SyncedThrough: ago(45)}, false},
		{"pulled, but late", walking.Stream{Delivery: walking.Pulled, SyncedThrough: ago(46), LastArrival: ago(1)}, false},
		{"pushed, quiet", walking.Stream{Delivery: walking.Pushed, SyncedThrough: ago(119), LastArrival: ago(44)}, true},
		{"pushed, too quiet", walking.Stream{Delivery: walking.Pushed, SyncedThrough: ago(120), LastArrival: ago(1)}, false},
		{"pushed long ago", walking.Stream{Delivery: walking.Pushed, SyncedThrough: ago(100), LastArrival: ago(45)}, false},
		{"pushed, up to now", walking.Stream{Delivery: walking.Pushed, SyncedThrough: ago(3), LastArrival: ago(50)}, true},
		{"never", walking.Stream{Delivery: walking.Pushed}, false},
	} {
		if got := nudges.Fresh(test.s, now); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

// TestClocks covers days of 23 and 25 hours and journeys.
func TestClocks(t *testing.T) {
	berlin, auckland, la := zone(t, "Europe/Berlin"), zone(t, "Pacific/Auckland"), zone(t, "America/Los_Angeles")
	landing := time.Date(2026, 11, 20, 19, 0, 0, 0, time.UTC)
	west := walking.NewTimeline(auckland, walking.ZoneChange{From: landing, Zone: la})
	for _, test := range []struct {
		name    string
		zones   walking.Timeline
		now     time.Time
		hours   float64
		reason  nudges.Reason
		expires time.Time
	}{
		{
			"noon on the day of 23 hours", walking.NewTimeline(berlin), time.Date(2026, 3, 29, 12, 0, 0, 0, berlin), 23,
			nudges.BehindPace, time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC),
		},
		{
			"before noon on it", walking.NewTimeline(berlin), time.Date(2026, 3, 29, 11, 59, 0, 0, berlin), 23,
			nudges.TooEarly,
			time.Time{},
		},
		{
			"noon on the day of 25 hours", walking.NewTimeline(berlin), time.Date(2026, 10, 25, 12, 0, 0, 0, berlin), 25,
			nudges.BehindPace, time.Date(2026, 10, 25, 13, 0, 0, 0, time.UTC),
		},
		{ // noon in Auckland on the 20th: 9.5 hours until the quiet hours there
			"before the flight", west, time.Date(2026, 11, 19, 23, 0, 0, 0, time.UTC), 37,
			nudges.BehindPace, time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC),
		},
		{ // landed at 11:00 in Los Angeles, still the 20th
			"after landing", west, time.Date(2026, 11, 20, 19, 30, 0, 0, time.UTC), 37, nudges.TooEarly, time.Time{},
		},
		{
			"the afternoon there", west, time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC), 37,
			nudges.BehindPace, time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := situation(test.now)
			s.Zones = test.zones
			s.Today = summary(test.zones.Day(test.now), 4, 400, 100)
			s.Today.Hours = test.hours
			d := nudges.Decide(s)[0]
			if d.Reason != test.reason || !d.Expires.Equal(test.expires) || d.At.Location() != time.UTC {
				t.Errorf("%s until %s (%s), want %s until %s", d.Reason, d.Expires, d.Why, test.reason, test.expires)
			}
		})
	}
}

// TestFirstPieceOfADay: before a flight to yesterday there is time until midnight, and not until the date ends for good.
func TestFirstPieceOfADay(t *testing.T) {
	auckland, la := zone(t, "Pacific/Auckland"), zone(t, "America/Los_Angeles")
	s := situation(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)) // 23:00 in Auckland
	s.Zones = walking.NewTimeline(auckland,
		walking.ZoneChange{From: time.Date(2026, 11, 20, 19, 0, 0, 0, time.UTC), Zone: la})
	s.Quiet = walking.WallRange{}
	s.Today = summary(walking.DayOf(2026, 11, 20), 4, 400, 100)
	if got := nudges.Decide(s)[0]; got.Reason != nudges.NotReachable || !strings.HasSuffix(got.Why, "before 00:00.") {
		t.Errorf("%s: %s", got.Reason, got.Why)
	}
}

// drawSituation draws about as many situations in which something is said as in which nothing is.
func drawSituation(t *rapid.T) nudges.Situation {
	zones := []*time.Location{time.UTC}
	for _, name := range []string{
		"Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Auckland", "America/Los_Angeles",
	} {
		loc, err := walking.ParseZone(name)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, loc)
	}
	change := rapid.SampledFrom([]time.Time{
		time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 4, 24, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 3, 12, 0, 0, 0, time.UTC),
		time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
	}).Draw(t, "around")
	now := change.Add(time.Duration(rapid.IntRange(-36*3600, 36*3600).Draw(t, "now")) * time.Second)
	var journeys []walking.ZoneChange
	for range rapid.IntRange(0, 2).Draw(t, "journeys") {
		journeys = append(journeys, walking.ZoneChange{
			From: change.Add(time.Duration(rapid.IntRange(-48, 48).Draw(t, "from")) * time.Hour),
			Zone: rapid.SampledFrom(zones).Draw(t, "to"),
		})
	}
	z := walking.NewTimeline(rapid.SampledFrom(zones).Draw(t, "home"), journeys...)
	day := z.Day(now)
	minutes := rapid.Float64Range(0, 140).Draw(t, "minutes")
	if rapid.Bool().Draw(t, "few") {
		minutes /= 10
	}
	wide := rapid.SampledFrom([]float64{0, 0.15, 0.25}).Draw(t, "uncertainty")
	today := summary(day, minutes, minutes*93, float64(rapid.SampledFrom([]int{1, 78, 100, 125, 240, 1440}).Draw(t, "target")))
	today.Low, today.High = walking.Round2(today.Walking*(1-wide)), walking.Round2(today.Walking*(1+wide))
	today.Hours = z.Hours(day)
	if rapid.IntRange(0, 9).Draw(t, "unworn") == 0 {
		today.Valid = false
	}
	s := nudges.Situation{
		Now: now, Zones: z, Today: today, Limited: rapid.IntRange(0, 9).Draw(t, "limited") == 0,
		NotWorn: rapid.IntRange(0, 9).Draw(t, "not worn") == 0,
		Quiet: rapid.SampledFrom([]walking.WallRange{
			quiet,
			{From: 0, To: 7 * 60},
			{From: 150, To: 600},
			{From: 60, To: 60},
			{From: 13 * 60, To: 14 * 60},
			{From: 0, To: 1440},
		}).Draw(t, "quiet"),
		Settings: nudges.Settings{
			MaxPerDay:  rapid.IntRange(0, 4).Draw(t, "limit"),
			BehindFrom: walking.WallTime(rapid.SampledFrom([]int{0, 150, 720, 1440}).Draw(t, "from")),
		},
		Sent: rapid.SliceOfN(rapid.SampledFrom([]string{
			nudges.Key("routine", day), nudges.Key("pain", day), nudges.Key(nudges.Behind, day),
			nudges.Key(nudges.Behind, day-1), nudges.Key(nudges.Behind, day+1),
		}), 0, 3).Draw(t, "sent"),
	}
	if rapid.IntRange(0, 3).Draw(t, "not sent") > 0 {
		s.Sent = slices.DeleteFunc(s.Sent, func(k string) bool { return k == nudges.Key(nudges.Behind, day) })
	}
	for range rapid.IntRange(0, 2).Draw(t, "streams") {
		s.Streams = append(s.Streams, walking.Stream{
			Delivery:      walking.Delivery(rapid.IntRange(int(walking.Pulled), int(walking.Filed)).Draw(t, "delivery")),
			SyncedThrough: now.Add(-time.Duration(rapid.IntRange(-10, 130).Draw(t, "synced")) * time.Minute),
			LastArrival:   now.Add(-time.Duration(rapid.IntRange(0, 60).Draw(t, "arrived")) * time.Minute),
		})
	}
	return s
}

func TestInvariants(t *testing.T) {
	sent := 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		ds := nudges.Decide(s)
		if diff := cmp.Diff(ds, nudges.Decide(s)); diff != "" {
			t.Fatalf("decided differently a second time:\n%s", diff)
		}
		day := s.Zones.Day(s.Now)
		today := 0
		for _, k := range s.Sent {
			if strings.HasSuffix(k, "/"+day.String()) {
				today++
			}
		}
		for _, d := range ds {
			if d.Reason == "" || len(d.Why) < 15 || !strings.HasSuffix(d.Why, ".") || d.Day != day ||
				d.Key != nudges.Key(d.Rule, day) || !d.At.Equal(s.Now) {
				t.Fatalf("incomplete: %+v", d)
			}
			if !d.Send {
				if !d.Expires.IsZero() || d.Title+d.Body != "" || d.Reason == nudges.BehindPace {
					t.Fatalf("silent, and yet %+v", d)
				}
				continue
			}
			sent++
			today++
			if d.Title == "" || strings.Contains(d.Title, "\n") || !utf8.ValidString(d.Title+d.Body) || len(d.Body) > 300 ||
				strings.ContainsFunc(d.Title+d.Body+d.Why, unicode.IsControl) {
				t.Fatalf("not a message: %q %q", d.Title, d.Body)
			}
			useful := walking.Window{Start: s.Now, End: d.Expires}
			left := s.Zones.Waking(day, s.Quiet)
			i := slices.IndexFunc(left, func(w walking.Window) bool { return w.Contains(s.Now) })
			missing := time.Duration(s.Today.Target+1-float64(walking.WholeMinutes(s.Today.Walking))) * time.Minute
			switch {
			case len(s.Zones.Ranges(useful, s.Quiet)) > 0 || i < 0:
				t.Fatalf("reaches into quiet hours: %+v", d)
			case len(s.Streams) == 0 || !nudges.Fresh(s.Streams[0], s.Now):
				t.Fatalf("on stale data: %+v", d)
			case today > s.Settings.MaxPerDay:
				t.Fatalf("more than %d: %+v", s.Settings.MaxPerDay, d)
			case slices.Contains(s.Sent, d.Key):
				t.Fatalf("twice: %+v", d)
			case missing <= 0 || s.Today.Met:
				t.Fatalf("the target is met: %+v", d)
			case missing > left[i].End.Sub(d.Expires):
				t.Fatalf("not reachable when it expires at %s: %+v", left[i].End, d)
			case useful.Duration() < 10*time.Minute || useful.Duration() > 2*time.Hour:
				t.Fatalf("useful for %s: %+v", useful.Duration(), d)
			case s.Limited || s.NotWorn || s.Today.Hours < walking.ValidHours:
				t.Fatalf("no goal: %+v", d)
			}
		}
	})
	if sent == 0 {
		t.Error("nothing was ever sent")
	}
}

// TestMoreWalkingNeverMakesANudge: who walked more hears nothing that they would not have heard with less, but for the
// first step of the day and for what comes within reach.
func TestMoreWalkingNeverMakesANudge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		before := nudges.Decide(s)[0]
		more := rapid.Float64Range(0, 60).Draw(t, "more")
		wide := 0.0
		if s.Today.Walking > 0 {
			wide = s.Today.High/s.Today.Walking - 1
		}
		valid := s.Today.Valid
		hours := s.Today.Hours
		s.Today = summary(s.Today.Day, s.Today.Walking+more, float64(s.Today.Steps)+more*93, s.Today.Target)
		s.Today.High, s.Today.Hours = walking.Round2(s.Today.Walking*(1+wide)), hours
		s.Today.Valid = s.Today.Valid && valid || s.Today.Valid && before.Reason != nudges.Invalid
		after := nudges.Decide(s)[0]
		if after.Send && !before.Send && before.Reason != nudges.NotReachable && before.Reason != nudges.NoDataToday {
			t.Fatalf("%s became a nudge: %s", before.Why, after.Why)
		}
	})
}
