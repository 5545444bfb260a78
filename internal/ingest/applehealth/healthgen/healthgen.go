// Package healthgen writes made-up exports of Apple's Health app of any size, for tests and benchmarks. They are like
// those of a person with an iPhone and an Apple Watch: long device attributes, records grouped by type, about a sixth
// of them steps, workouts with events, routes and statistics, and correlations. The same Options give the same bytes.
package healthgen

import (
	"bufio"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// Options say what to write. The zero value is a small export that ends on 2025-11-20.
type Options struct {
	Seed  uint64
	Bytes int64     // about how many bytes to write, at least a few KiB; it ends a little above
	End   time.Time // the date of the export; 2025-11-20 21:00 UTC if zero
}

// Totals are what an export holds that counts: records and workouts outside of correlations, those entered by hand
// left out.
type Totals struct {
	Bytes                      int64
	Elements                   int64 // start tags of records and workouts of any kind
	WatchRecords, PhoneRecords int64 // of steps
	WatchSteps, PhoneSteps     float64
	ByHand                     int64 // step records entered by hand
	Workouts                   int64
	Start, End                 time.Time // of the records
}

// Names of the sources in the export.
const (
	Watch = "Jo’s Apple\u00a0Watch"
	Phone = "Jo’s iPhone"
)

const bytesPerDay = 350_000 // what a year-old watch writes

// Write writes an export to w and returns what is in it. It returns the first error of w.
func Write(w io.Writer, o Options) (Totals, error) {
	if o.End.IsZero() {
		o.End = time.Date(2025, 11, 20, 21, 0, 0, 0, time.UTC)
	}
	o.Bytes = max(o.Bytes, 64<<10)
	g := &generator{
		w:    bufio.NewWriterSize(w, 64<<10),
		rand: rand.New(rand.NewPCG(o.Seed, 0x77616c6b)),
		zone: time.FixedZone("", 3600),
	}
	days := min(max(2, int(o.Bytes/bytesPerDay)), 10*365)
	g.total.End = o.End.Truncate(24 * time.Hour)
	g.total.Start = g.total.End.AddDate(0, 0, -days)
	g.days = days

	g.string(prolog)
	g.string(` <ExportDate value="`)
	g.time(o.End)
	g.string("\"/>\n <Me HKCharacteristicTypeIdentifierDateOfBirth=\"\" HKCharacteristicTypeIdentifierBiologicalSex=" +
		"\"HKBiologicalSexNotSet\" HKCharacteristicTypeIdentifierBloodType=\"HKBloodTypeNotSet\"/>\n")
	for _, k := range kinds {
		g.kind(k, int64(k.share*float64(o.Bytes)))
	}
	g.string("</HealthData>\n")
	g.total.Bytes = g.written
	if err := g.w.Flush(); err != nil && g.err == nil {
		g.err = err
	}
	return g.total, g.err
}

// A kind is a kind of element and its share of the bytes.
type kind struct {
	name, unit string
	share      float64
	size       int64 // about how many bytes an element takes
	phone      bool
	write      func(g *generator, k kind, i int, start time.Time, room time.Duration)
}

var kinds = []kind{
	{"HKQuantityTypeIdentifierHeartRate", "count/min", 0.24, 545, false, (*generator).measure},
	{"HKQuantityTypeIdentifierStepCount", "count", 0.07, 440, true, (*generator).steps},
	{"HKQuantityTypeIdentifierStepCount", "count", 0.10, 440, false, (*generator).steps},
	{"HKQuantityTypeIdentifierDistanceWalkingRunning", "km", 0.15, 460, false, (*generator).measure},
	{"HKQuantityTypeIdentifierBasalEnergyBurned", "kcal", 0.16, 455, false, (*generator).measure},
	{"HKQuantityTypeIdentifierActiveEnergyBurned", "kcal", 0.22, 455, false, (*generator).measure},
	{"HKQuantityTypeIdentifierFlightsClimbed", "count", 0.02, 445, true, (*generator).measure},
	{"HKCategoryTypeIdentifierSleepAnalysis", "", 0.02, 430, false, (*generator).measure},
	{"HKCorrelationTypeIdentifierFood", "", 0.005, 1200, true, (*generator).correlation},
	{"HKWorkoutActivityTypeWalking", "", 0.015, 2300, false, (*generator).workout},
}

type generator struct {
	w       *bufio.Writer
	rand    *rand.Rand
	zone    *time.Location
	days    int
	total   Totals
	written int64
	err     error
	scratch []byte
}

// kind writes elements of kind k spread over the waking hours of all days.
func (g *generator) kind(k kind, bytes int64) {
	perDay := int(max(1, bytes/k.size/int64(g.days)))
	room := 15 * time.Hour / time.Duration(perDay)
	end := g.written + bytes
	for day := range g.days {
		morning := g.total.Start.AddDate(0, 0, day).Add(6 * time.Hour)
		for i := range perDay {
			if g.written >= end || g.err != nil {
				return
			}
			k.write(g, k, i, morning.Add(time.Duration(i)*room).Truncate(time.Second), room)
		}
	}
}

func (g *generator) open(element, kind string, phone bool) {
	g.total.Elements++
	g.string(" <" + element)
	g.string(kind)
	if phone {
		g.string(`" sourceName="` + Phone + `" sourceVersion="18.6.2" device="&lt;&lt;HKDevice: 0x`)
	} else {
		g.string(`" sourceName="` + Watch + `" sourceVersion="11.6.1" device="&lt;&lt;HKDevice: 0x`)
	}
	g.scratch = strconv.AppendUint(g.scratch[:0], 0x730000000+g.rand.Uint64N(0xfffffff), 16)
	g.bytes(g.scratch)
	if phone {
		g.string(`&gt;, name:iPhone, manufacturer:Apple Inc., model:iPhone, hardware:iPhone15,4, software:18.6.2, ` +
			`creation date:2024-05-26 21:00:07 +0000&gt;"`)
	} else {
		g.string(`&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch7,9, software:11.6.1, ` +
			`creation date:2025-05-26 23:00:07 +0000&gt;"`)
	}
}

func (g *generator) span(start, end time.Time) {
	g.attr("creationDate", end.Add(time.Duration(g.rand.IntN(600))*time.Second))
	g.attr("startDate", start)
	g.attr("endDate", end)
}

func (g *generator) attr(name string, t time.Time) {
	g.string(" " + name + `="`)
	g.time(t)
	g.string(`"`)
}

// steps writes a step record no longer than room, so that those of one source never overlap.
func (g *generator) steps(k kind, _ int, start time.Time, room time.Duration) {
	seconds := 1 + g.rand.IntN(max(1, min(600, int(room/time.Second)-1)))
	steps := 1 + g.rand.IntN(seconds*2+1)
	g.open(`Record type="`, k.name, k.phone)
	g.string(` unit="count"`)
	g.span(start, start.Add(time.Duration(seconds)*time.Second))
	g.string(` value="` + strconv.Itoa(steps))
	if g.rand.IntN(500) == 0 {
		g.total.ByHand++
		g.string("\">\n  <MetadataEntry key=\"HKWasUserEntered\" value=\"1\"/>\n </Record>\n")
		return
	}
	g.string("\"/>\n")
	if k.phone {
		g.total.PhoneRecords++
		g.total.PhoneSteps += float64(steps)
	} else {
		g.total.WatchRecords++
		g.total.WatchSteps += float64(steps)
	}
}

// measure writes a record of something else, with a child if it is a heart rate.
func (g *generator) measure(k kind, _ int, start time.Time, room time.Duration) {
	g.open(`Record type="`, k.name, k.phone)
	if k.unit != "" {
		g.string(` unit="` + k.unit + `"`)
	}
	g.span(start, start.Add(min(room, time.Minute)))
	g.string(` value="`)
	g.scratch = strconv.AppendFloat(g.scratch[:0], 60+60*g.rand.Float64(), 'g', 6, 64)
	g.bytes(g.scratch)
	if k.unit == "count/min" {
		g.string("\">\n  <MetadataEntry key=\"HKMetadataKeyHeartRateMotionContext\" value=\"1\"/>\n </Record>\n")
		return
	}
	g.string("\"/>\n")
}

// correlation repeats step records, as the DTD says it may.
func (g *generator) correlation(k kind, _ int, start time.Time, _ time.Duration) {
	g.open(`Correlation type="`, k.name, k.phone)
	g.span(start, start.Add(time.Minute))
	g.string(">\n")
	for range 2 {
		g.string(" ")
		g.open(`Record type="`, "HKQuantityTypeIdentifierStepCount", k.phone)
		g.span(start, start.Add(time.Minute))
		g.string(" unit=\"count\" value=\"1000\"/>\n")
	}
	g.string(" </Correlation>\n")
}

func (g *generator) workout(k kind, _ int, start time.Time, room time.Duration) {
	g.total.Workouts++
	minutes := 5 + g.rand.IntN(max(1, min(60, int(room/time.Minute)-5)))
	end := start.Add(time.Duration(minutes) * time.Minute)
	g.open(`Workout workoutActivityType="`, k.name, k.phone)
	g.string(` duration="` + strconv.Itoa(minutes-2) + `.25" durationUnit="min"`)
	g.span(start, end)
	g.string(">\n  <MetadataEntry key=\"HKIndoorWorkout\" value=\"0\"/>\n" +
		"  <MetadataEntry key=\"HKAverageMETs\" value=\"3.98 kcal/hr·kg\"/>\n")
	for i := range 8 {
		g.string(`  <WorkoutEvent type="HKWorkoutEventTypeSegment"`)
		g.attr("date", start.Add(time.Duration(i*minutes/8)*time.Minute))
		g.string(" duration=\"11.4\" durationUnit=\"min\"/>\n")
	}
	g.string(`  <WorkoutEvent type="HKWorkoutEventTypePause"`)
	g.attr("date", start.Add(time.Minute))
	g.string("/>\n" + `  <WorkoutEvent type="HKWorkoutEventTypeResume"`)
	g.attr("date", start.Add(2*time.Minute))
	g.string("/>\n" + `  <WorkoutStatistics type="HKQuantityTypeIdentifierStepCount"`)
	g.attr("startDate", start)
	g.attr("endDate", end)
	g.string(` sum="` + strconv.Itoa(minutes*100) + "\" unit=\"count\"/>\n")
	g.string("  <WorkoutRoute sourceName=\"" + Watch + "\">\n   <FileReference path=\"/workout-routes/route.gpx\"/>\n" +
		"  </WorkoutRoute>\n </Workout>\n")
}

func (g *generator) time(t time.Time) {
	g.scratch = t.In(g.zone).AppendFormat(g.scratch[:0], "2006-01-02 15:04:05 -0700")
	g.bytes(g.scratch)
}

func (g *generator) string(s string) {
	g.written += int64(len(s))
	if _, err := g.w.WriteString(s); err != nil && g.err == nil {
		g.err = err
	}
}

func (g *generator) bytes(b []byte) {
	g.written += int64(len(b))
	if _, err := g.w.Write(b); err != nil && g.err == nil {
		g.err = err
	}
}

const prolog = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 14 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary|ClinicalRecord)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ELEMENT Record ((MetadataEntry|HeartRateVariabilityMetadataList)*)>
<!ATTLIST Record
  type          CDATA #REQUIRED
  sourceName    CDATA #REQUIRED
  startDate     CDATA #REQUIRED
  endDate       CDATA #REQUIRED
>
]>
<HealthData locale="en_NO">
`
