package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/influx/influxtest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	fitabaseSlice = "../../internal/ingest/fitabase/testdata/wide.csv"
	appleSlice    = "../../internal/ingest/applehealth/testdata/slice.xml"
	fitabaseID    = "1503960366"
)

const influxConfig = `
data_dir = %q
[web]
listen = "127.0.0.1:0"
[influx]
url = %q
bucket = "walkd"
[[person]]
name = "fit"
timezone = %q
[[person]]
name = "apple"
timezone = "Asia/Jerusalem"
`

// TestInfluxAgrees brings real data through all of walkd into a real InfluxDB, and compares every figure that InfluxDB
// answers with `walkd days --json`, after every kind of change.
func TestInfluxAgrees(t *testing.T) {
	t.Parallel()
	server := influxtest.Start(t)
	server.CreateDatabase("walkd")
	m := newMachine(t, "2017-11-08T12:00:00Z")
	zone := "America/New_York"
	configure := func() { m.write("config.toml", fmt.Sprintf(influxConfig, m.dir, server.URL, zone)) }
	agree := func(when string) {
		t.Helper()
		if err := m.compare(server); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	configure()
	fit := func(path string) (string, string) {
		return m.walkd(exitDone, "import", "fitabase", path, "--id", fitabaseID, "--person", "fit")
	}
	_, said := fit(fitabaseSlice)
	if !regexp.MustCompile(`InfluxDB: \d+ days, \d+ points written`).MatchString(said) {
		t.Errorf("the import says nothing of InfluxDB: %s", said)
	}
	m.walkd(exitDone, "import", "apple-health", appleSlice, "--person", "apple")
	agree("after the import")
	before := m.totals()

	// Downwards: an hour with half of its steps, and one with none.
	wide := readFile(t, fitabaseSlice)
	wide = editRow(wide, "4/13/2016 14:00", func(n int) int { return n / 2 })
	wide = editRow(wide, "4/14/2016 12:00", func(int) int { return 0 })
	fit(m.write("wide.csv", wide))
	agree("after a correction")

	// Deleted: a newer export lacks some of the records.
	n := 0
	fewer := regexp.MustCompile(`(?m)^.*<Record type="HKQuantityTypeIdentifierStepCount".*/>\n`).ReplaceAllStringFunc(
		readFile(t, appleSlice), func(line string) string {
			if n++; n%3 == 0 {
				return ""
			}
			return line
		})
	_, said = m.walkd(exitDone, "import", "apple-health", m.write("export.xml", fewer), "--person", "apple")
	if !regexp.MustCompile(`[1-9]\d* removed`).MatchString(said) {
		t.Errorf("nothing was removed: %s", said)
	}
	agree("after a deletion")
	for person, was := range before {
		if now := m.totals()[person]; !(now < was) {
			t.Errorf("%s walks %v min after taking steps away, %v before", person, now, was)
		}
	}

	// InfluxDB is away while a file comes in; the daemon catches up.
	server.Stop()
	_, said = fit(fitabaseSlice)
	if !strings.Contains(said, "Nothing is lost: `walkd run` or the next import writes it") {
		t.Errorf("the import says nothing of the InfluxDB that is away: %s", said)
	}
	stdout, _ := m.walkd(exitFailed, "influx", "status")
	if !regexp.MustCompile(`(?m)^answers +no: `).MatchString(stdout) || !regexp.MustCompile(`(?m)^waiting +[1-9]\d* days`).MatchString(stdout) {
		t.Errorf("influx status says: %s", stdout)
	}
	server.Restart()
	if err := m.compare(server); err == nil {
		t.Error("InfluxDB has what it was not sent")
	}
	m.daemonAgrees(server, "after an outage")

	// Living elsewhere moves every day to another midnight.
	zone = "Europe/Oslo"
	configure()
	m.daemonAgrees(server, "after a change of the home zone")
	if stdout, _ := m.walkd(exitDone, "influx", "status"); !regexp.MustCompile(`(?m)^waiting +0 days`).MatchString(stdout) {
		t.Errorf("influx status says: %s", stdout)
	}
	if stdout, _ := m.walkd(exitDone, "check", "--online"); !strings.Contains(stdout, "and takes what walkd writes") {
		t.Errorf("check says: %s", stdout)
	}

	// An empty InfluxDB is made whole.
	server.Wipe()
	server.CreateDatabase("walkd")
	m.walkd(exitDone, "influx", "rebuild")
	agree("after a rebuild")
	m.walkd(exitDone, "influx", "rebuild", "--person", "fit")
	agree("after a rebuild of one person")
	m.walkd(exitUsage, "influx", "rebuild", "--person", "nobody")
}

// TestDemoProjects runs the demo on several days into one InfluxDB, and compares every figure of a store that is kept
// with InfluxDB.
func TestDemoProjects(t *testing.T) {
	t.Parallel()
	server := influxtest.Start(t)
	server.CreateDatabase("walkd")
	for i, now := range []string{"2026-11-20T16:05:00+01:00", "2026-11-21T09:05:00+01:00"} {
		m := newMachine(t, now)
		args := []string{"demo", "--once", "--influx-url", server.URL, "--influx-bucket", "walkd"}
		if i > 0 { // the store of the first is gone, its days in InfluxDB are not
			m.write("config.toml", fmt.Sprintf("data_dir = %q\n", m.dir))
			args = append(args, "--data-dir", m.dir)
		}
		stdout, _ := m.walkd(exitDone, args...)
		if !strings.Contains(stdout, "29 days, ") || !strings.Contains(stdout, "person=demo") {
			t.Errorf("the demo says nothing of InfluxDB: %s", stdout)
		}
		if got := len(server.Query("walkd", "SELECT * FROM walk_day WHERE person = 'demo'")); got != 29 {
			t.Errorf("InfluxDB has %d days, want 29", got)
		}
		if i > 0 {
			if err := m.compare(server); err != nil {
				t.Errorf("%s: %v", now, err)
			}
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// editRow changes the steps of every minute in one hour of fitabaseID in a file with a row an hour.
func editRow(wide, hour string, change func(int) int) string {
	lines := strings.Split(wide, "\n")
	for i, l := range lines {
		fields := strings.Split(strings.TrimSuffix(l, "\r"), ",")
		if fields[0] != fitabaseID || fields[1] != hour {
			continue
		}
		for j, f := range fields[2:] {
			n := 0
			_, _ = fmt.Sscan(f, &n)
			fields[2+j] = fmt.Sprint(change(n))
		}
		lines[i] = strings.Join(fields, ",")
	}
	return strings.Join(lines, "\n")
}

// daemonAgrees runs the daemon until InfluxDB agrees with it.
func (m *machine) daemonAgrees(server *influxtest.Server, when string) {
	m.t.Helper()
	_, stop := m.start()
	m.eventually(func() error {
		if err := m.compare(server); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		return nil
	})
	if code, log := stop(); code != exitDone || strings.Contains(log, "level=ERROR") {
		m.t.Errorf("%s: exit code %d, log:\n%s", when, code, log)
	}
}

// days returns what `walkd days --json` says, with the digits it says it with.
func (m *machine) days() []map[string]any {
	m.t.Helper()
	stdout, _ := m.walkd(exitDone, "days", "--json")
	d := json.NewDecoder(strings.NewReader(stdout))
	d.UseNumber()
	var days []map[string]any
	if err := d.Decode(&days); err != nil {
		m.t.Fatal(err)
	}
	return days
}

// totals returns everybody's walking minutes.
func (m *machine) totals() map[string]float64 {
	sum := map[string]float64{}
	for _, d := range m.days() {
		sum[d["person"].(string)] += number(d["walking_minutes"])
	}
	return sum
}

func number(v any) float64 {
	n, _ := v.(json.Number)
	f, err := n.Float64()
	if err != nil {
		return math.NaN()
	}
	return f
}

// parts are sums over what belongs to one day in one measurement.
type parts struct {
	points, minutes, steps float64
	sources                map[string]float64 // minutes of each
}

// compare returns what InfluxDB answers otherwise than `walkd days --json`.
func (m *machine) compare(server *influxtest.Server) error {
	m.t.Helper()
	var wrong []error
	days := m.days()
	type key struct {
		person string
		time   int64
	}
	stored := map[key]map[string]any{}
	for _, r := range server.Query("walkd", "SELECT * FROM walk_day") {
		stored[key{r.Values["person"].(string), r.Time}] = r.Values
	}
	if len(stored) != len(days) {
		wrong = append(wrong, fmt.Errorf("walk_day has %d days, walkd %d", len(stored), len(days)))
	}
	sum := func(measurement, minutes string, at func(person string, time int64) int64) map[key]*parts {
		out := map[key]*parts{}
		for _, r := range server.Query("walkd", "SELECT * FROM "+measurement) {
			person := r.Values["person"].(string)
			k := key{person, at(person, r.Time)}
			p := out[k]
			if p == nil {
				p = &parts{}
				out[k] = p
			}
			p.points++
			p.minutes += number(r.Values[minutes])
			p.steps += number(r.Values["steps"])
			if source, ok := r.Values["source"].(string); ok {
				if origin, ok := r.Values["origin"].(string); ok {
					source += "/" + origin
				}
				if p.sources == nil {
					p.sources = map[string]float64{}
				}
				p.sources[source] = number(r.Values[minutes])
			}
		}
		return out
	}
	same := func(_ string, time int64) int64 { return time }
	zones := map[string]*time.Location{}
	for _, d := range days {
		zones[d["person"].(string)] = location(m.t, d["zone"].(string))
	}
	hours := sum("walk_hour", "walking_minutes", same)
	bySource := sum("walk_source_day", "supplied_minutes", same)
	minutes := sum("walk_minutes", "walking_s", func(person string, at int64) int64 {
		y, mo, d := time.Unix(at, 0).In(zones[person]).Date()
		return time.Date(y, mo, d, 0, 0, 0, 0, zones[person]).Unix()
	})
	for _, d := range days {
		person, date := d["person"].(string), d["date"].(string)
		day, err := walking.ParseDay(date)
		if err != nil {
			return err
		}
		k := key{person, day.In(zones[person]).Unix()}
		got := stored[k]
		if got == nil {
			wrong = append(wrong, fmt.Errorf("%s %s: walk_day has no such day", person, date))
			continue
		}
		say := func(what string, got, want any) {
			wrong = append(wrong, fmt.Errorf("%s %s: %s is %v in InfluxDB, want %v", person, date, what, got, want))
		}
		for _, name := range []string{
			"zone", "date", "walking_minutes", "low", "high", "brisk_minutes", "running_minutes", "alternative_minutes",
			"target_minutes", "steps",
		} {
			if got[name] != d[name] {
				say(name, got[name], d[name])
			}
		}
		for _, name := range []string{"met", "valid", "closed"} {
			if (got[name] == json.Number("1")) != d[name].(bool) {
				say(name, got[name], d[name])
			}
		}
		if band := slices.Index([]string{"<78", "78-100", "101-124", ">=125"}, d["band"].(string)); got["band"] != json.Number(fmt.Sprint(band)) {
			say("band", got["band"], band)
		}
		if (got["mean7_days"] == json.Number("0")) != (d["mean7"] == nil) || d["mean7"] != nil && got["mean7"] != d["mean7"] {
			say("mean7", got["mean7"], d["mean7"])
		}
		year, month, _ := day.Date()
		weekday := (int(day.Weekday())+6)%7 + 1
		for name, want := range map[string]string{"year": fmt.Sprint(year), "month": fmt.Sprintf("%02d", month), "weekday": fmt.Sprint(weekday)} {
			if got[name] != want {
				say(name, got[name], want)
			}
		}
		near := func(what string, p *parts, perMinute, points float64) {
			if p == nil {
				p = &parts{}
			}
			// Each point is rounded to two decimals, and the day's steps to a whole number.
			if math.Abs(p.minutes/perMinute-number(d["walking_minutes"])) > 0.005*(p.points+1) {
				say("the sum of minutes in "+what, p.minutes/perMinute, d["walking_minutes"])
			}
			if points > 0 && p.points != points {
				say("the number of points in "+what, p.points, points)
			}
		}
		near("walk_hour", hours[k], 1, 24)
		near("walk_minutes", minutes[k], 60, 0)
		near("walk_source_day", bySource[k], 1, 0)
		for what, p := range map[string]*parts{"walk_hour": hours[k], "walk_minutes": minutes[k]} {
			if p == nil {
				p = &parts{}
			}
			if math.Abs(p.steps-number(d["steps"])) > 0.5+0.005*p.points {
				say("the sum of steps in "+what, p.steps, d["steps"])
			}
		}
		// What a source no longer has stays in InfluxDB as zeros.
		var told map[string]float64
		if p := bySource[k]; p != nil {
			told = p.sources
		}
		var sources []string
		for _, s := range d["sources"].([]any) {
			sources = append(sources, s.(string))
			if _, ok := told[s.(string)]; !ok {
				say("what walk_source_day tells of", told, s)
			}
		}
		for s, supplied := range told {
			if supplied > 0 && !slices.Contains(sources, s) {
				say("what walk_source_day tells of "+s, supplied, 0)
			}
		}
	}
	if len(wrong) > 10 {
		wrong = append(wrong[:10], fmt.Errorf("… and %d more", len(wrong)-10))
	}
	return errors.Join(wrong...)
}

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := walking.ParseZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}
