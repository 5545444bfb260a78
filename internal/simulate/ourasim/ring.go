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

// mets returns what a ring with some noise tells of the minutes.
func (r Ring) mets(x noise, minutes []minute) []float64 {
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
			if x.chance(choreNoise, unix/choreMinutes) < r.Chores {
				met += choreMETs
			}
		}
		if up[i] {
			met += 2 * r.Busy * x.chance(upNoise, unix)
		}
		met += r.Gain * float64(m.steps) * math.Exp(r.Sway*x.normal(swayNoise, unix/5))
		met += max(0, runMETs*float64(m.steps-runFrom))
		met *= math.Exp(r.Noise * x.normal(minuteNoise, unix))
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

// noise is a number that is always the same for the same question, and looks random otherwise.
type noise uint64

// Questions that noise answers.
const (
	choreNoise = iota
	upNoise
	swayNoise
	minuteNoise
)

func noiseOf(who string, seed uint64) noise {
	h := fnv.New64a()
	_, _ = h.Write([]byte(who))
	return noise(h.Sum64() + seed)
}

// bits returns 64 of them, by the finalizer of MurmurHash3.
func (x noise) bits(question uint64, n int64) uint64 {
	v := uint64(x) ^ question*0x9e3779b97f4a7c15 ^ uint64(n)*0xc2b2ae3d27d4eb4f
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	v ^= v >> 33
	v *= 0xc4ceb9fe1a85ec53
	return v ^ v>>33
}

// chance returns a number from 0 to 1.
func (x noise) chance(question uint64, n int64) float64 {
	return float64(x.bits(question, n)>>11) / (1 << 53)
}

// normal returns a number with a mean of 0 and a spread of 1, roughly normal: the sum of four even ones.
func (x noise) normal(question uint64, n int64) float64 {
	bits, sum := x.bits(question, n), -2.0
	for range 4 {
		sum += float64(bits&0xffff) / 0xffff
		bits >>= 16
	}
	return sum * math.Sqrt(3)
}
