package oura

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

type (
	ringJSON struct {
		Hardware string `json:"hardware_type"` // such as gen4
		SetUp    string `json:"set_up_at"`
	}
	batteryJSON struct {
		At       string   `json:"timestamp"`
		Level    *float64 `json:"level"` // percent
		Charging *bool    `json:"charging"`
	}
)

// Describe asks for the rings, and for the last that is known of the battery, which is that of the ring in use. Its time
// stands for that of the sync: Oura tells no other.
func (s *source) Describe(ctx context.Context) (ingest.Description, error) {
	type ring struct {
		name string
		at   time.Time
	}
	var rings []ring
	err := pages(ctx, s, ringPath, url.Values{}, func(v *ringJSON) error {
		at, _, _, err := stamp(v.SetUp, walking.Timeline{})
		if err != nil {
			at = time.Time{} // a ring that was never set up
		}
		rings = append(rings, ring{ringName(v.Hardware), at})
		return nil
	})
	if isForbidden(err) {
		return ingest.Description{}, nil
	}
	if err != nil {
		return ingest.Description{}, err
	}
	var out ingest.Description
	if len(rings) == 0 {
		return out, nil
	}
	// People keep the rings that they had before.
	newest := slices.MaxFunc(rings, func(a, b ring) int { return a.at.Compare(b.at) })
	device := ingest.Device{Name: newest.name}
	err = pages(ctx, s, batteryPath, url.Values{"latest": {"true"}}, func(v *batteryJSON) error {
		at, _, _, err := stamp(v.At, walking.Timeline{})
		if err != nil || at.Before(device.Synced) {
			return nil
		}
		device.Synced, device.Battery = at, ""
		if v.Level != nil {
			device.Battery = fmt.Sprintf("%.0f %%", *v.Level)
			if v.Charging != nil && *v.Charging {
				device.Battery += ", charging"
			}
		}
		return nil
	})
	if err != nil && !isForbidden(err) {
		return ingest.Description{}, err
	}
	out.Devices = []ingest.Device{device}
	return out, nil
}

// ringName returns how people call a type of ring.
func ringName(hardware string) string {
	if n, ok := strings.CutPrefix(strings.ToLower(hardware), "gen"); ok && n != "" {
		return "Oura Ring Gen " + n
	}
	return "Oura Ring"
}
