package walking

import (
	"math"
	"testing"
	"time"
)

func TestStepsPerMinute(t *testing.T) {
	for _, tt := range []struct {
		length time.Duration
		want   float64
	}{
		{0, 80},
		{time.Second, 80},
		{time.Minute, 80},
		{2 * time.Minute, 81.25},
		{3 * time.Minute, 82.5},
		{5 * time.Minute, 85},
		{10 * time.Minute, 86},
		{15 * time.Minute, 87},
		{30 * time.Minute, 87 + 5.0/3},
		{time.Hour, 92},
		{24 * time.Hour, 92},
	} {
		if got := StepsPerMinute(tt.length); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("StepsPerMinute(%v) = %v, want %v", tt.length, got, tt.want)
		}
	}
}

func TestWalkingTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		length time.Duration
		steps  float64
		want   time.Duration
	}{
		{"half a minute", time.Minute, 40, 30 * time.Second},
		{"a full minute", time.Minute, 80, time.Minute},
		{"no more than the record", time.Minute, 130, time.Minute},
		{"nor a day", 24 * time.Hour, 1e9, 24 * time.Hour},
		{"nor past what a Duration holds", time.Minute, 1e300, time.Minute},
		{"five minutes", 5 * time.Minute, 170, 2 * time.Minute},
		{"a day", 24 * time.Hour, 9200, 100 * time.Minute},
		{"no length, no walking", 0, 500, 0},
		{"no steps", time.Hour, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := WalkingTime(Record{Duration: tt.length, Steps: tt.steps}); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestUncertainty(t *testing.T) {
	for length, want := range map[time.Duration]float64{
		0: 0.15, time.Minute: 0.15, 5 * time.Minute: 0.15, 5*time.Minute + 1: 0.2, time.Hour: 0.2, time.Hour + 1: 0.25, 24 * time.Hour: 0.25,
	} {
		if got := Uncertainty(length); got != want {
			t.Errorf("Uncertainty(%v) = %v, want %v", length, got, want)
		}
	}
}

func TestBand(t *testing.T) {
	for _, tt := range []struct {
		minutes float64
		whole   int
		want    string
	}{
		{0, 0, "<78"},
		{77.4, 77, "<78"},
		{77.49, 77, "<78"},
		{77.494, 77, "<78"},
		{77.495, 78, "78-100"},
		{77.5, 78, "78-100"},
		{100.4, 100, "78-100"},
		{100.494, 100, "78-100"},
		{100.495, 101, "101-124"},
		{100.5, 101, "101-124"},
		{124.4, 124, "101-124"},
		{124.49, 124, "101-124"},
		{124.5, 125, ">=125"},
		{1500, 1500, ">=125"},
	} {
		if got := WholeMinutes(tt.minutes); got != tt.whole {
			t.Errorf("WholeMinutes(%v) = %d, want %d", tt.minutes, got, tt.whole)
		}
		if got := BandOf(tt.minutes); got.String() != tt.want {
			t.Errorf("BandOf(%v) = %v, want %s", tt.minutes, got, tt.want)
		}
	}
	risks := []float64{1, 0.87, 0.77, 0.76}
	for b := Under78; b <= From125; b++ {
		text, err := b.MarshalText()
		if err != nil || string(text) != b.String() || b.RelativeRisk() != risks[b] {
			t.Errorf("band %d: %s, %v, %v", b, text, err, b.RelativeRisk())
		}
	}
}

func TestRound2(t *testing.T) {
	for x, want := range map[float64]float64{0.494: 0.49, 0.495: 0.5, 0.5: 0.5, 99.994: 99.99, 99.996: 100, 12.344999: 12.34} {
		if got := Round2(x); got != want {
			t.Errorf("Round2(%v) = %v, want %v", x, got, want)
		}
	}
}
