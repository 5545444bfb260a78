package ourasim

import (
	"cmp"
	"hash/fnv"
	"math"
	"time"
)

// A Ring is how a ring sees movement: it does not count minutes, but tells how hard each was, in METs. What it sees are
// hands, so it sees more than walking. The zero value is a usual one, with which a day has as many active minutes for
// its steps as days that owners of rings have published.
type Ring struct {
	// Gain is by how many METs a step a minute shows; 0.02 if zero, which is the cost of walking by the equation of the
	// American College of Sports Medicine.
	Gain float64
	// Busy is by how many METs hands show on average that are up within four minutes of a step; 0.7 if zero.
	Busy float64
	// Chores is the share of the waking hours with something to do that is no walking; 0.1 if zero, none if negative.
	Chores float64
	// Noise is by how much a minute is off, and Sway by how much five minutes are, as a share; 0.15 and 0.3 if zero, not at
	// all if negative.
	Noise, Sway float64
}

func (r Ring) orUsual() Ring {
	return Ring{
		Gain: cmp.Or(r.Gain, 0.02), Busy: cmp.Or(r.Busy, 0.7), Chores: max(0, cmp.Or(r.Chores, 0.1)),
		Noise: max(0, cmp.Or(r.Noise, 0.15)), Sway: max(0, cmp.Or(r.Sway, 0.3)),
	}
}

const (
	atRest  = 0.9 // METs of somebody asleep
	sitting = 1.3 // and of somebody awake
	nonWear = 0.1 // and of nobody

	choreMinutes, choreMETs = 20, 0.8
	upFor                   = 4    // minutes around a step in which somebody is up
	runFrom                 = 130  // steps a minute that are no walking
	runMETs                 = 0.06 // that each step beyond costs
)

// A minute is one as a ring sees it.
type minute struct {
	at    time.Time
	awake bool
	worn  bool
	steps int
}

// mets returns what the ring of who tells of the minutes.
func (r Ring) mets(who string, seed uint64, minutes []minute) []float64 {
	up := make([]bool, len(minutes))
	for i, m := range minutes {
		if m.steps > 0 && m.worn {
			for j := max(0, i-upFor); j <= min(len(minutes)-1, i+upFor); j++ {
				up[j] = true
			}
		}
	}
	out := make([]float64, len(minutes))
	for i, m := range minutes {
		if !m.worn {
			out[i] = nonWear
			continue
		}
		unix := m.at.Unix() / 60
		met := atRest
		if m.awake {
			met = sitting
			if chance(who, seed, "chore", unix/choreMinutes) < r.Chores {
				met += choreMETs
			}
		}
		if up[i] {
			met += 2 * r.Busy * chance(who, seed, "up", unix)
		}
		met += r.Gain * float64(m.steps) * math.Exp(r.Sway*normal(who, seed, "sway", unix/5))
		met += max(0, runMETs*float64(m.steps-runFrom))
		met *= math.Exp(r.Noise * normal(who, seed, "noise", unix))
		out[i] = math.Round(met*10) / 10
	}
	return out
}

// class returns the class of five minutes with METs on average. The first two bounds are Oura's own; the others depend on
// the person there.
func class(mean float64) byte {
	switch {
	case mean < 1.05:
		return '1'
	case mean < 2:
		return '2'
	case mean < 4:
		return '3'
	case mean < 7:
		return '4'
	}
	return '5'
}

// chance returns a number from 0 to 1 that is always the same for the same question.
func chance(who string, seed uint64, what string, n int64) float64 {
	h := fnv.New64a()
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(seed>>(8*i)), byte(uint64(n)>>(8*i))
	}
	_, _ = h.Write([]byte(who + what))
	_, _ = h.Write(b[:])
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves neighbours alike
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// normal returns a number with a mean of 0 and a spread of 1, roughly normal.
func normal(who string, seed uint64, what string, n int64) float64 {
	sum := -6.0
	for i := range int64(12) {
		sum += chance(who, seed, what, n*12+i)
	}
	return sum
}
