package oura

import (
	"errors"
	"strings"
	"unicode"

	"github.com/walkd/walkd/internal/walking"
)

// A workoutJSON is what is used of a document of workout.
type workoutJSON struct {
	ID       string `json:"id"`
	Activity string `json:"activity"`
	Source   string `json:"source"`
	Start    string `json:"start_datetime"`
	End      string `json:"end_datetime"`
}

var errNoWorkout = errors.New("a workout has no start or no end")

// session returns the session that a document tells of. false says that it was entered by hand: that is remembered and
// not measured.
func (v *workoutJSON) session(zones walking.Timeline) (walking.Session, bool, error) {
	start, _, _, err := stamp(v.Start, zones)
	if err != nil {
		return walking.Session{}, false, errNoWorkout
	}
	end, _, _, err := stamp(v.End, zones)
	if err != nil {
		return walking.Session{}, false, errNoWorkout
	}
	s := walking.Session{Start: start, End: end, Kind: kindOf(v.Activity), Moving: max(0, end.Sub(start))}
	return s, !strings.EqualFold(strings.TrimSpace(v.Source), "manual"), nil
}

// kindOf returns the kind of an activity, which Oura writes in free text such as walking or indoor_cycling. Whatever is
// not named here counts nowhere.
func kindOf(activity string) walking.Kind {
	letters := strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, activity)
	switch letters {
	case "walking", "walk", "indoorwalking", "nordicwalking", "dogwalking", "treadmillwalking":
		return walking.Walk
	case "hiking", "hike", "trekking":
		return walking.Hike
	case "running", "run", "jogging", "trailrunning", "indoorrunning", "treadmillrunning":
		return walking.Run
	case "cycling", "biking", "bicycling", "indoorcycling", "mountainbiking", "roadcycling", "stationarybiking", "spinning":
		return walking.Ride
	case "swimming", "poolswimming", "openwaterswimming":
		return walking.Swim
	case "rowing", "indoorrowing":
		return walking.Row
	case "elliptical", "ellipticaltraining", "crosstrainer":
		return walking.Elliptical
	}
	return walking.Other
}
