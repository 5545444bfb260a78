package googlehealth

import (
	"slices"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// kindOf returns the kind of an exercise. There are about 190 types, and new ones appear. Whatever is not named here
// counts nowhere, while its steps count as those of any other minute do. Left out on purpose is what is only partly
// walking or riding, such as golf, snowshoes and scooters.
func kindOf(exerciseType string) walking.Kind {
	switch exerciseType {
	case "WALKING", "NORDIC_WALKING", "POWER_WALKING", "TREADMILL_WALK", "INCLINE_WALK", "STROLLER_WALK",
		"WALK_WITH_WEIGHTS", "RUCKING":
		return walking.Walk
	case "HIKING", "BACKPACKING":
		return walking.Hike
	case "RUNNING", "TRAIL_RUN", "INCLINE_RUN", "TREADMILL": // beside TREADMILL_WALK there is no other treadmill
		return walking.Run
	case "BIKING", "OUTDOOR_BIKE", "MOUNTAIN_BIKE", "STATIONARY_BIKE", "ASSAULT_BIKE", "ELECTRIC_BIKE", "SPINNING",
		"HAND_CYCLING", "UNICYCLING":
		return walking.Ride
	case "SWIMMING", "SWIMMING_POOL", "SWIMMING_OPEN_WATER", "SYNCHRONIZED_SWIMMING":
		return walking.Swim
	case "ROWING", "ROWING_MACHINE":
		return walking.Row
	case "ELLIPTICAL":
		return walking.Elliptical
	}
	return walking.Other
}

// session returns the session that p is, in UTC.
func (p *exercisePoint) session() (walking.Session, error) {
	e := &p.Exercise
	if !e.Interval.whole() {
		return walking.Session{}, errNoExercise
	}
	s := walking.Session{
		Start: e.Interval.StartTime.UTC(), End: e.Interval.EndTime.UTC(), Kind: kindOf(e.ExerciseType),
		Steps: float64(e.MetricsSummary.Steps.n), HasSteps: e.MetricsSummary.Steps.told,
	}
	s.Moving = s.End.Sub(s.Start) - paused(e.ExerciseEvents, s.Window())
	// Both are rounded, so that the active time can be the longer one.
	if active := e.ActiveDuration.Duration; active > 0 {
		s.Moving = max(0, min(active, s.End.Sub(s.Start)))
	}
	return s, nil
}

// paused returns how much of w lies between a pause and the next resumption.
func paused(events []exerciseEvent, w walking.Window) time.Duration {
	var (
		sum   time.Duration
		since = w.End // of the pause; w.End while there is none
	)
	resume := func(t time.Time) {
		if since.Before(t) {
			sum += t.Sub(since)
		}
		since = w.End
	}
	slices.SortStableFunc(events, func(a, b exerciseEvent) int { return a.EventTime.Compare(b.EventTime) })
	for _, e := range events {
		at := e.EventTime
		if at.Before(w.Start) {
			at = w.Start
		}
		if at.After(w.End) {
			at = w.End
		}
		switch e.ExerciseEventType {
		case "PAUSE", "AUTO_PAUSE":
			if at.Before(since) {
				since = at
			}
		case "RESUME", "AUTO_RESUME":
			resume(at)
		}
	}
	resume(w.End)
	return sum
}
