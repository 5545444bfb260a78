package polar

import (
	"cmp"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// kindOf returns the kind of an exercise by the name of its sport. There are about 150, and new ones appear. Whatever
// is not named here counts nowhere, while its steps count as those of any other minute do. Left out on purpose is what
// is only partly walking or riding, such as golf, orienteering and triathlons.
func kindOf(sport string) walking.Kind {
	sport = strings.ReplaceAll(strings.ToUpper(sport), "-", "_")
	switch sport {
	case "WALKING", "NORDIC_WALKING":
		return walking.Walk
	case "HIKING":
		return walking.Hike
	case "RUNNING", "JOGGING":
		return walking.Run
	case "WATER_RUNNING":
		return walking.Other
	case "CYCLING", "SPINNING", "ROAD_BIKING", "MOUNTAIN_BIKING":
		return walking.Ride
	case "SWIMMING":
		return walking.Swim
	case "ROWING", "INDOOR_ROWING":
		return walking.Row
	case "CROSS_TRAINER":
		return walking.Elliptical
	}
	// The parts of multisport races and the varieties of a sport, as in TRIATHLON_SWIMMING and TREADMILL_RUNNING.
	switch sport[strings.LastIndex(sport, "_")+1:] {
	case "RUNNING":
		return walking.Run
	case "CYCLING", "BIKING":
		return walking.Ride
	case "SWIMMING":
		return walking.Swim
	}
	return walking.Other
}

// session returns the session that e is, in UTC. Its times are local, but unlike those of days they tell the offset.
func (e *exercise) session(z walking.Timeline) (walking.Session, error) {
	wall, err := parseWall(e.StartTime)
	if err != nil {
		return walking.Session{}, err
	}
	length, err := parseDuration(e.Duration)
	if err != nil {
		return walking.Session{}, err
	}
	const mostOffset = 18 * 60 // minutes; beyond what any zone has had
	var start time.Time
	if o := e.StartOffset; o.told && o.v >= -mostOffset && o.v <= mostOffset {
		start = wall.Add(-time.Duration(o.v * float64(time.Minute)))
	} else {
		start, _ = ingest.Local(wall, zoneAt(z, wall))
	}
	return walking.Session{
		Start: start, End: start.Add(length), Moving: length, Kind: kindOf(cmp.Or(e.DetailedSportInfo, e.Sport)),
	}, nil
}
