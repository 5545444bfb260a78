package googlehealth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// This is what Google tells of an account besides its data. All of it takes settingsScope, and nothing depends on it.

// inDrawer is how much longer than another tracker one has not synced that nobody wears any more. After as long a day is
// closed, whatever has not come by then.
const inDrawer = 72 * time.Hour

// Probe returns when the person's tracker last synced: the one of those in use that did so longest ago, see the package.
// It is zero if there is none, or if the person has not granted the right to know.
func (s *source) Probe(ctx context.Context) (time.Time, error) {
	trackers, err := s.trackers(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var synced []time.Time
	for _, d := range trackers {
		synced = append(synced, d.LastSyncTime)
	}
	return inUse(synced), nil
}

// inUse returns the earliest of times that is not more than inDrawer before the latest; zero if there is none. If it is
// not the latest itself, it is later by less than a millisecond, by as many nanoseconds as tell one latest from another:
// whatever syncs moves the answer, so that its data is fetched, and it claims nothing that is not there.
func inUse(times []time.Time) time.Time {
	var latest time.Time
	for _, t := range times {
		if t.After(latest) {
			latest = t
		}
	}
	earliest := latest
	for _, t := range times {
		if t.Before(earliest) && latest.Sub(t) <= inDrawer {
			earliest = t
		}
	}
	if earliest.Before(latest) {
		const most = 1_000_000 // a millisecond
		earliest = earliest.Add(time.Duration(latest.Unix() % most))
	}
	return earliest.UTC()
}

// trackers returns the person's devices that count steps and have synced, the one that did so last first; none if the
// person has not granted the right to know.
func (s *source) trackers(ctx context.Context) ([]pairedDevice, error) {
	if s.p.noSettings.Load() {
		return nil, nil
	}
	var out []pairedDevice
	ask := s.listing(devicesPath, query(devicesSize, ""))
	err := pages(ctx, ask, "pairedDevices", func(d *pairedDevice) error {
		if d.DeviceType == tracker && !d.LastSyncTime.IsZero() {
			out = append(out, *d)
		}
		return nil
	})
	if errors.Is(err, errScope) {
		s.p.lackSettings(ctx, slog.LevelInfo)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b pairedDevice) int { return b.LastSyncTime.Compare(a.LastSyncTime) })
	return out, nil
}

// Describe implements ingest.Describer. It asks twice, and not at all without the right to see settings.
func (s *source) Describe(ctx context.Context) (ingest.Description, error) {
	var out ingest.Description
	trackers, err := s.trackers(ctx)
	if err != nil {
		return ingest.Description{}, err
	}
	for _, d := range trackers {
		out.Devices = append(out.Devices, ingest.Device{
			Name: d.name(), Synced: d.LastSyncTime.UTC(), Battery: d.battery(),
		})
	}
	var told *ingest.Error
	switch out.Zone, err = s.Zone(ctx); {
	case errors.As(err, &told) && told.Class == ingest.Permanent && told.Status == 0:
		return out, nil // it is none, or not to be seen
	case err != nil:
		return ingest.Description{}, err
	}
	return out, nil
}

func (d *pairedDevice) name() string {
	if name := ingest.OneLine(d.DeviceVersion, 60); name != "" {
		return name
	}
	return "a tracker"
}

// battery returns "85 %", or in words what is known instead.
func (d *pairedDevice) battery() string {
	if n := d.BatteryLevel; n > 0 && n <= 100 {
		return fmt.Sprintf("%d %%", n)
	}
	return strings.ToLower(ingest.OneLine(d.BatteryStatus, 20))
}

// Zone returns the time zone of the person's settings.
func (s *source) Zone(ctx context.Context) (*time.Location, error) {
	fail := func(err error) (*time.Location, error) {
		return nil, &ingest.Error{Class: ingest.Permanent, Err: fmt.Errorf("%s: no time zone: %w", service, err)}
	}
	if s.p.noSettings.Load() {
		return fail(errScope)
	}
	resp, err := s.get(ctx, settingsPath, nil)
	if errors.Is(err, errScope) {
		s.p.lackSettings(ctx, slog.LevelInfo)
		return fail(errScope)
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var v settings
	if err := ingest.ReadJSON(service, resp, &v); err != nil {
		return nil, ended(ctx, err)
	}
	if v.Error != nil {
		return nil, v.Error.failure(resp)
	}
	zone, err := walking.ParseZone(v.TimeZone)
	if err != nil {
		return fail(err)
	}
	return zone, nil
}
