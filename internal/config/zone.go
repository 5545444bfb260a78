package config

import (
	_ "embed"
	"strconv"
	"strings"
	"time"
)

// zoneNames are the usual names of the IANA time zone database, one a line, to suggest from.
//
//go:embed zones.txt
var zoneNames string

// zone returns the zone called name, or UTC after reporting that there is none.
func (l *loader) zone(key, name string) *time.Location {
	const want = `an IANA name like "Europe/Oslo"`
	if strings.EqualFold(name, "local") {
		l.problem(key, quote(name)+" does not say which zone, and days would move with the machine",
			want+`, or "" for the machine's zone at start`)
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		l.problemMeaning(key, quote(name)+" is not a time zone", want, nearestZone(name))
		return time.UTC
	}
	return zone
}

// nearestZone returns, in quotes, the zone that name is probably meant to be, or "". A city alone will do.
func nearestZone(name string) string {
	name = strings.ReplaceAll(strings.TrimSpace(name), " ", "_")
	zones := strings.Fields(zoneNames)
	best := nearest(name, zones)
	if best == "" {
		cities := map[string]string{}
		var names []string
		for _, z := range zones {
			city := z[strings.LastIndex(z, "/")+1:]
			cities[city] = z
			names = append(names, city)
		}
		best = cities[nearest(name[strings.LastIndex(name, "/")+1:], names)]
	}
	if best == "" {
		return ""
	}
	return strconv.Quote(best)
}
