package walking

import (
	"fmt"
	"math"
)

// A Band is one of the four ranges of mean daily walking in the study behind the target: Haddadj et al., "Volume and
// Intensity of Walking and Risk of Chronic Low Back Pain", JAMA Network Open 2025, doi:10.1001/jamanetworkopen.2025.15592.
type Band int

// The bands, in whole minutes of walking a day.
const (
	Under78 Band = iota // below 78, the reference
	From78              // 78 to 100
	From101             // 101 to 124
	From125             // 125 and more
)

// BandOf returns the band of minutes, after rounding to whole minutes.
func BandOf(minutes float64) Band {
	switch m := WholeMinutes(minutes); {
	case m < 78:
		return Under78
	case m <= 100:
		return From78
	case m < 125:
		return From101
	default:
		return From125
	}
}

// String returns the band's range as it stands in JSON: "<78", "78-100", "101-124" or ">=125".
func (b Band) String() string { return [...]string{"<78", "78-100", "101-124", ">=125"}[b] }

// RelativeRisk returns the risk of chronic low-back pain that the study associated with the band, relative to Under78.
func (b Band) RelativeRisk() float64 { return [...]float64{1, 0.87, 0.77, 0.76}[b] }

// MarshalText returns the band's range.
func (b Band) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// WholeMinutes rounds minutes to whole ones, half up, after rounding them to two decimals.
func WholeMinutes(minutes float64) int { return int(math.Floor(Round2(minutes) + 0.5)) }

// Round2 rounds to two decimals, half away from zero.
func Round2(x float64) float64 { return math.Round(x*100) / 100 }

// UnmarshalText reads a band's range.
func (b *Band) UnmarshalText(text []byte) error {
	for c := Under78; c <= From125; c++ {
		if c.String() == string(text) {
			*b = c
			return nil
		}
	}
	return fmt.Errorf("%q is no band", text)
}
