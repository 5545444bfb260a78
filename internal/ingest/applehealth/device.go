package applehealth

import (
	"bytes"
	"strings"

	"github.com/walkd/walkd/internal/walking"
)

// classOfDevice returns the kind of device that a record's device attribute describes. It looks like
// "<<HKDevice: 0x739e67ac0>, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch7,9>".
func classOfDevice(device string) walking.Device {
	for _, key := range []string{"hardware:", "model:", "name:", "manufacturer:"} {
		_, rest, ok := strings.Cut(device, ", "+key)
		if !ok {
			continue
		}
		value, _, _ := strings.Cut(rest, ", ")
		if d := classOfName(strings.TrimRight(value, ">")); d != walking.UnknownDevice {
			return d
		}
	}
	return walking.UnknownDevice
}

// classOfName returns the kind of device that a name stands for: that of a device, a maker or an app.
func classOfName(name string) walking.Device {
	name = strings.ToLower(strings.ReplaceAll(name, "\u00a0", " "))
	switch {
	case strings.Contains(name, "watch"):
		return walking.Wearable
	case strings.Contains(name, "iphone"), strings.Contains(name, "ipod"):
		return walking.Phone
	case name == "connect": // Garmin Connect calls itself that
		return walking.Wearable
	}
	words := " " + name + " "
	for _, app := range [...]string{
		"garmin", "fitbit", "polar flow", "polar beat", "polar electro", "oura", "withings", "health mate",
		"healthmate", "zepp", "zepp life", "mi fit", "mi fitness", "amazfit", "huawei", "coros", "suunto", "whoop",
		"gadgetbridge", "ultrahuman", "ringconn", "misfit", "jawbone",
	} {
		if strings.Contains(words, " "+app+" ") {
			return walking.Wearable
		}
	}
	for _, app := range [...]string{
		"pedometer", "pedometer++", "stepsapp", "human", "lark", "runtastic", "adidas running", "strava", "pacer",
		"stepz", "sweatcoin", "accupedo", "nike run club", "nike+ run club",
	} {
		if strings.Contains(words, " "+app+" ") {
			return walking.Phone
		}
	}
	return walking.UnknownDevice
}

// withoutAddress cuts off the part of a raw device attribute that differs from record to record of one device.
func withoutAddress(raw []byte) []byte {
	if i := bytes.Index(raw, []byte(", ")); i >= 0 {
		return raw[i:]
	}
	return raw
}
