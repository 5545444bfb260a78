package oura

// What is known of METs and steps.
const (
	// stepsPerMET is how many steps go with a MET above what else there is in a minute. The walking equation of the
	// American College of Sports Medicine has 0.1 ml of oxygen a kilogram for each metre a minute, and a MET is 3.5 ml, so
	// with steps of 0.7 m it is 50. That agrees with the 100 steps a minute at 3 METs of CADENCE-Adults.
	stepsPerMET = 50
	// fastest is the most steps a minute that are placed: running is faster, and costs more, by longer steps.
	fastest = 170
	// stirring is how many steps a minute there are at least in pieces in which somebody was up or sat. It is less than
	// what people walk then, and enough to say that the ring has counted them, so that a phone does not count them again.
	stirring = 0.2
	// restMET and inactiveMET are the bounds between rest, inactivity and activity of Oura's API, version 1.
	restMET     = 1.05
	inactiveMET = 2
	// recordPieces is of how many pieces a record is. The estimator takes a record of up to five minutes for one that was
	// counted, with an uncertainty of 15 %. These are placed by estimate, and get the 20 % of longer ones.
	recordPieces = 2
)

// typicalMET is that of a class, for days without METs: between the bounds above, and 3 and 6 METs, from which on activity
// is moderate and vigorous.
func typicalMET(class byte) float64 {
	switch class {
	case '1':
		return 1
	case '2':
		return 1.5
	case '3':
		return 2.5
	case '4':
		return 4.5
	}
	return 8
}

// A stretch is some time of one intensity in which the ring was worn.
type stretch struct {
	piece   int
	minutes float64
	met     float64
	least   float64 // steps a minute
}

// steps returns how many steps go with a stretch if so many METs are not from walking.
func (s *stretch) steps(base float64) float64 {
	return s.minutes * min(fastest, max(s.least, stepsPerMET*(s.met-base)))
}

// weigh returns for each piece of a day how many of its steps there are about.
//
// How hard a minute is says how many steps it can have, but hands do more than that, and rings differ. So what is not
// walking is taken to cost the same all day, and to be just as much that the steps come to the total.
func (d *day) weigh() []float64 {
	var all []stretch
	lowest, highest := float64(maxMET), 0.0
	for i := range len(d.classes) {
		class := d.classes[i]
		if class == '0' {
			continue
		}
		least := 0.0
		if class >= '2' {
			least = stirring
		}
		n := len(all)
		d.mets.within(d.at(i), func(met, minutes float64) { all = append(all, stretch{i, minutes, met, least}) })
		if len(all) == n {
			all = append(all, stretch{i, pieceLength.Minutes(), typicalMET(class), least})
		}
		for _, s := range all[n:] {
			lowest, highest = min(lowest, s.met), max(highest, s.met)
		}
	}
	sum := func(base float64) (steps float64) {
		for i := range all {
			steps += all[i].steps(base)
		}
		return steps
	}
	// At the lower base everything is as fast as can be, at the upper one nothing is walked. If the total lies outside of
	// what is between, the steps are in proportion.
	const enough = 40 // halvings
	base, high := lowest-fastest/float64(stepsPerMET), highest
	for range enough {
		if middle := (base + high) / 2; sum(middle) > d.steps {
			base = middle
		} else {
			high = middle
		}
	}
	out := make([]float64, len(d.classes))
	for i := range all {
		out[all[i].piece] += all[i].steps(high)
	}
	return out
}
