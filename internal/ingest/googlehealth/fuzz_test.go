package googlehealth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
)

// Whatever comes in place of totals, devices and settings is an answer that can be, or an error that says what it is.
func FuzzAccount(f *testing.F) {
	f.Add(totalsPage("", total("2026-11-02", sum(`"9525"`)), total("2026-11-01", "")), sample(f, "devices.json"), sample(f, "settings.json"))
	f.Add(totalsPage("a", total("2026-11-01", sum("0"))), `{"pairedDevices":[{"deviceType":"TRACKER","batteryLevel":"x"}]}`, `{}`)
	f.Add(`{"rollupDataPoints":[{"civilStartTime":{"date":{"year":-1}}}]}`, `{"nextPageToken":"a"}`, `{"error":{"code":403}}`)
	f.Add(`{}`, `{}`, `{"timeZone":"Local"}`)
	f.Fuzz(func(t *testing.T, days, paired, set string) {
		s := googlehealth.Defaults().Provider("watch").Source(&http.Client{Transport: canned{totals: days, devices: paired, settings: set}})
		known := func(what string, err error) {
			if err != nil && !errors.As(err, new(*ingest.Error)) {
				t.Errorf("%s: %v is no *ingest.Error", what, err)
			}
		}
		first, last := day("2026-11-01"), day("2026-11-03")
		list, err := totaler(s)(t.Context(), first, last)
		known("totals", err)
		for i, got := range list {
			if err != nil || got.Day < first || got.Day > last || got.Steps < 0 || i > 0 && got.Day <= list[i-1].Day {
				t.Errorf("totals %v, error %v", list, err)
			}
		}
		synced, err := probe(s)(t.Context())
		known("probe", err)
		told, describeErr := describer(s)(t.Context())
		known("describe", describeErr)
		if describeErr == nil && (err != nil || synced.IsZero() != (len(told.Devices) == 0)) {
			t.Errorf("synced at %s, error %v; devices %v", synced, err, told.Devices)
		}
		for i, d := range told.Devices {
			if d.Name == "" || d.Synced.IsZero() || i > 0 && d.Synced.After(told.Devices[i-1].Synced) ||
				strings.ContainsFunc(d.Name+d.Battery, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("devices %q", told.Devices)
			}
		}
	})
}
