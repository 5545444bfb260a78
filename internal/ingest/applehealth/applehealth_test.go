package applehealth

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/applehealth/healthgen"
	"github.com/walkd/walkd/internal/ingest/ingesttest"
	"github.com/walkd/walkd/internal/walking"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func decodeString(t *testing.T, doc string) (*ingesttest.Recorder, error) {
	t.Helper()
	return decodeWith(t, strings.NewReader(doc), bufferSize)
}

func decodeWith(t *testing.T, in io.Reader, size int) (*ingesttest.Recorder, error) {
	t.Helper()
	rec := &ingesttest.Recorder{Now: now}
	err := decode(newScanner(t.Context(), in, size, maxElement), "export.xml", now, rec)
	return rec, err
}

func decodeFile(t *testing.T, path string) *ingesttest.Recorder {
	t.Helper()
	var format Format
	f, c, err := format.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rec := &ingesttest.Recorder{Now: now}
	if err := format.Decode(t.Context(), f, ingest.ImportOptions{Now: now}, rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func export(elements string) string {
	return `<?xml version="1.0"?><!DOCTYPE HealthData []><HealthData locale="en_NO">` +
		"\n <ExportDate value=\"2026-11-20 21:00:00 +0100\"/>\n" + elements + "</HealthData>\n"
}

func TestGolden(t *testing.T) {
	for _, name := range []string{"overlap", "slice", "statistics"} {
		t.Run(name, func(t *testing.T) {
			got := decodeFile(t, filepath.Join("testdata", name+".xml")).String()
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The sums that were found in the original with other tools.
func TestKnownSums(t *testing.T) {
	rec := decodeFile(t, "testdata/overlap.xml")
	zone := time.FixedZone("", 2*3600)
	got := map[string]float64{}
	for _, s := range rec.Streams {
		for _, r := range s.Records {
			got[s.Origin+r.Start.In(zone).Format(" 2006-01-02")] += r.Steps
		}
	}
	want := map[string]float64{
		"Alex’s iPhone 2017-10-22": 204, "Alex’s iPhone 2017-10-23": 2018,
		"Connect 2017-10-22": 1744, "Connect 2017-10-23": 11815,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if rec.Drops["entered by hand"] != 1 {
		t.Errorf("dropped %v, want 1 entered by hand", rec.Drops)
	}
	human := rec.Find("", walking.StreamKey{Source: Source, Origin: "Human"})
	if human == nil || len(human.Sessions) != 5 || len(human.Covers) != 0 {
		t.Errorf("Human = %+v, want 5 sessions and nothing covered", human)
	}
}

func TestRecords(t *testing.T) {
	const dates = ` startDate="2026-11-19 08:00:00 +0100" endDate="2026-11-19 08:01:00 +0100"`
	const steps = `type="HKQuantityTypeIdentifierStepCount"`
	tests := []struct {
		name, in string
		want     []string // lines of the recorder without the streams and windows
	}{
		{
			"plain", `<Record ` + steps + ` sourceName="A"` + dates + ` value="12"/>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 12 steps at +3600"},
		},
		{
			"other order, single quotes, spaces",
			"<Record\n value = '12'\tsourceName='A'" + dates + " type = 'HKQuantityTypeIdentifierStepCount' ></Record>",
			[]string{"2026-11-19T07:00:00Z +1m0s 12 steps at +3600"},
		},
		{
			"type by references", `<Record type="HKQuantityTypeIdentifierStep&#67;ount" sourceName="A"` + dates + ` value="&#x31;2"/>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 12 steps at +3600"},
		},
		{
			"fraction", `<Record ` + steps + ` sourceName="A"` + dates + ` value="1.5660377"/>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 1.5660377 steps at +3600"},
		},
		{
			"greater-than signs and apostrophes in values",
			`<Record ` + steps + ` sourceName="A" device="a > b 'c' />"` + dates + ` value="3"/>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 3 steps at +3600"},
		},
		{
			"control characters", "\x0b<Record " + steps + " sourceName=\"A\x0b\"\x01" + dates + " value=\"\x0b3\x00\"/>\x1f",
			[]string{"2026-11-19T07:00:00Z +1m0s 3 steps at +3600"},
		},
		{
			"zero length, half-hour offset",
			`<Record ` + steps + ` sourceName="A" startDate="2026-11-19 08:00:00 -0330" endDate="2026-11-19 08:00:00 -0330" value="3"/>`,
			[]string{"2026-11-19T11:30:00Z +0s 3 steps at -12600"},
		},
		{
			"offsets differ",
			`<Record ` + steps + ` sourceName="A" startDate="2026-10-25 02:59:00 +0200" endDate="2026-10-25 02:01:00 +0100" value="3"/>`,
			[]string{"2026-10-25T00:59:00Z +2m0s 3 steps at +7200"},
		},
		{
			"by hand", `<Record ` + steps + ` sourceName="A"` + dates + ` value="12"><MetadataEntry key="HKWasUserEntered" value="1"/></Record>`,
			[]string{"dropped 1: entered by hand"},
		},
		{
			"not by hand", `<Record ` + steps + ` sourceName="A"` + dates + ` value="12"><MetadataEntry key="HKWasUserEntered" value="0"/>` +
				`<MetadataEntry value="1" key="HKTimeZone"/></Record>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 12 steps at +3600"},
		},
		{
			"another's metadata", `<Record type="X"><MetadataEntry key="HKWasUserEntered" value="1"/></Record><Record ` + steps +
				` sourceName="A"` + dates + ` value="12"/>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 12 steps at +3600"},
		},
		{
			"correlations", `<Correlation type="X"><Record ` + steps + ` sourceName="A"` + dates + ` value="12"/></Correlation>` +
				`<Correlation type="Y"/><Record ` + steps + ` sourceName="A"` + dates + ` value="13"/>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 13 steps at +3600"},
		},
		{
			"comments and CDATA", `<!-- <Record ` + steps + ` sourceName="A"` + dates + ` value="1"/> --><![CDATA[<Record ` + steps +
				` sourceName="A"` + dates + ` value="2"/>]]><?x <Record ?><Record ` + steps + ` sourceName="A"` + dates + ` value="3"/>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 3 steps at +3600"},
		},
		{"others", `<RecordX ` + steps + `/><Record type="HKQuantityTypeIdentifierStepCountX" value="x"/><Record/>`, nil},
		{
			"missing end tag", `<Record ` + steps + ` sourceName="A"` + dates + ` value="1">` +
				`<Record type="X"><MetadataEntry key="HKWasUserEntered" value="1"/></Record>`,
			[]string{"2026-11-19T07:00:00Z +1m0s 1 steps at +3600"},
		},
		{"bad", strings.Join([]string{
			`<Record ` + steps + ` sourceName="A"` + dates + ` value="many"/>`,
			`<Record ` + steps + ` sourceName="A"` + dates + `/>`,
			`<Record ` + steps + ` sourceName="A" endDate="2026-11-19 08:01:00 +0100" value="1"/>`,
			`<Record ` + steps + ` sourceName="A" startDate="2026-11-19T08:01:00Z" value="1"/>`,
			`<Record ` + steps + ` sourceName="A" startDate="2026-11-19 08:00:00 +0100" endDate="2026-02-29 08:01:00 +0100" value="1"/>`,
			`<Record ` + steps + ` sourceName="A"` + dates + ` value="-1"/>`,
			`<Record ` + steps + ` sourceName="A"` + dates + ` value="NaN"/>`,
			`<Record ` + steps + ` sourceName="A"` + dates + ` value="501"/>`,
			`<Record ` + steps + ` sourceName="A" startDate="2026-11-19 08:00:00 +0100" endDate="2026-11-19 07:59:59 +0100" value="1"/>`,
			`<Record ` + steps + ` sourceName="A" startDate="2026-11-29 08:00:00 +0100" endDate="2026-11-29 08:00:01 +0100" value="1"/>`,
			`<Record ` + steps + ` sourceName="A" startDate="2026-11-09 08:00:00 +0100" endDate="2026-11-19 08:00:01 +0100" value="1"/>`,
			`<Record ` + steps + ` sourceName=A` + dates + ` value="1"/>`,
			`<Record ` + steps + ` sourceName="A` + dates + `/>`,
			`<Record ` + steps + ` sourceName="A"` + dates + ` value="1"/>`,
		}, "\n"), []string{
			"2026-11-19T07:00:00Z +1m0s 1 steps at +3600",
			`bad export.xml:3: value is "many": want a number of steps`,
			`bad export.xml:4: value is missing: want a number of steps`,
			`bad export.xml:5: startDate is missing: want a time like 2006-01-02 15:04:05 -0700`,
			`bad export.xml:6: startDate is "2026-11-19T08:01:00Z": want a time like 2006-01-02 15:04:05 -0700`,
			`bad export.xml:7: endDate is "2026-02-29 08:01:00 +0100": want a time like 2006-01-02 15:04:05 -0700`,
			`bad export.xml:8: steps are -1: want zero or more`,
			`bad export.xml:9: steps are NaN: want a number`,
			`bad export.xml:10: 501 steps in 1m0s are more than anybody can do: want at most 500`,
			`bad export.xml:11: ends at 2026-11-19T06:59:59Z, before it starts at 2026-11-19T07:00:00Z`,
			`bad export.xml:12: ends at 2026-11-29T07:00:01Z, which lies in the future (now 2026-11-21T12:00:00Z)`,
			`bad export.xml:13: lasts from 2026-11-09T07:00:00Z to 2026-11-19T07:00:01Z: want at most 48 hours`,
			`bad export.xml:14: the element is not well-formed: want name="value" pairs and a closing >`,
			`bad export.xml:15: the element is not well-formed: want name="value" pairs and a closing >`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := decodeString(t, export(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, content(rec)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// content returns the lines of what rec prints but for the streams and their windows.
func content(rec *ingesttest.Recorder) []string {
	var out []string
	for line := range strings.Lines(rec.String()) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "stream ") && !strings.HasPrefix(line, "covers ") {
			out = append(out, line)
		}
	}
	return out
}

func TestWorkouts(t *testing.T) {
	const dates = ` startDate="2026-11-19 10:00:00 +0100" endDate="2026-11-19 11:00:00 +0100"`
	event := func(kind, clock string) string {
		return `<WorkoutEvent type="HKWorkoutEventType` + kind + `" date="2026-11-19 ` + clock + ` +0100"/>`
	}
	workout := func(attrs, children string) string {
		return `<Workout workoutActivityType="HKWorkoutActivityTypeWalking" sourceName="A"` + dates + attrs + `>` + children + `</Workout>`
	}
	const span = "walk 2026-11-19T09:00:00Z to 2026-11-19T10:00:00Z, moving "
	tests := []struct {
		name, in string
		want     []string
	}{
		{"duration in minutes", workout(` duration="30.5" durationUnit="min"`, event("Pause", "10:10:00")), []string{span + "30m30s"}},
		{"duration in seconds", workout(` duration="90" durationUnit="s"`, ""), []string{span + "1m30s"}},
		{"duration in hours", workout(` duration="0.5" durationUnit="hr"`, ""), []string{span + "30m0s"}},
		{"duration without unit", workout(` duration="30"`, ""), []string{span + "30m0s"}},
		{"duration of another unit", workout(` duration="30" durationUnit="d"`, ""), []string{span + "1h0m0s"}},
		{"duration longer than the span", workout(` duration="90" durationUnit="min"`, ""), []string{span + "1h0m0s"}},
		{"duration negative", workout(` duration="-90"`, ""), []string{span + "1h0m0s"}},
		{"duration not a number", workout(` duration="NaN"`, ""), []string{span + "1h0m0s"}},
		{"no children", strings.Replace(workout("", ""), "></Workout>", "/>", 1), []string{span + "1h0m0s"}},
		{"pauses", workout("", event("Pause", "10:10:00")+event("Resume", "10:20:00")+event("Pause", "10:50:00")), []string{span + "40m0s"}},
		{"both kinds of pause", workout("", event("Pause", "10:10:00")+event("MotionPaused", "10:15:00")+event("Resume", "10:20:00")+
			event("MotionResumed", "10:30:00")), []string{span + "40m0s"}},
		{
			"pauses outside", workout("", event("Pause", "09:10:00")+event("Resume", "10:20:00")+event("Pause", "11:50:00")),
			[]string{span + "40m0s"},
		},
		{"steps", workout("", `<WorkoutStatistics type="HKQuantityTypeIdentifierDistance" sum="2"/>`+
			`<WorkoutStatistics type="HKQuantityTypeIdentifierStepCount" sum="6010.5"/>`), []string{span + "1h0m0s, 6010.5 steps"}},
		{"an activity in the workout", workout("", `<WorkoutActivity>`+event("Pause", "10:10:00")+
			`<WorkoutStatistics type="HKQuantityTypeIdentifierStepCount" sum="1"/></WorkoutActivity>`+
			`<WorkoutStatistics type="HKQuantityTypeIdentifierStepCount" sum="6000"/>`), []string{span + "1h0m0s, 6000 steps"}},
		{"by hand", workout("", `<MetadataEntry key="HKWasUserEntered" value="1"/>`), []string{span + "1h0m0s"}},
		{"no length", strings.ReplaceAll(workout("", ""), "11:00:00", "10:00:00"), []string{"dropped 1: workout without length"}},
		{
			"bad", workout("", `<WorkoutStatistics type="HKQuantityTypeIdentifierStepCount" sum="?"/>`) + "\n" +
				strings.Replace(workout("", ""), "11:00:00", "09:00:00", 1) + "\n" +
				strings.Replace(workout("", ""), "startDate", "start", 1) + "\n" + `<Workout sourceName="A"` + dates + `/>`,
			[]string{
				span + "1h0m0s",
				`bad export.xml:3: sum is "?": want a number of steps`,
				`bad export.xml:4: ends at 2026-11-19T08:00:00Z, before it starts at 2026-11-19T09:00:00Z`,
				`bad export.xml:5: startDate is missing: want a time like 2006-01-02 15:04:05 -0700`,
				`bad export.xml:6: workoutActivityType is missing: want one like HKWorkoutActivityTypeWalking`,
			},
		},
	}
	for activity, kind := range map[string]walking.Kind{
		"Walking": walking.Walk, "Hiking": walking.Hike, "Running": walking.Run, "Cycling": walking.Ride, "HandCycling": walking.Ride,
		"Rowing": walking.Row, "Swimming": walking.Swim, "Elliptical": walking.Elliptical, "Yoga": walking.Other,
	} {
		tests = append(tests, struct {
			name, in string
			want     []string
		}{
			activity, strings.Replace(workout("", ""), "TypeWalking", "Type"+activity, 1),
			[]string{string(kind) + " 2026-11-19T09:00:00Z to 2026-11-19T10:00:00Z, moving 1h0m0s"},
		})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := decodeString(t, export(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, content(rec)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func stepRecord(source, device, start, end string) string {
	return fmt.Sprintf(`<Record type="HKQuantityTypeIdentifierStepCount" sourceName="%s" device="%s" startDate="%s" endDate="%s" value="9"/>`+"\n",
		source, device, start, end)
}

func TestStreams(t *testing.T) {
	const start, end = "2026-11-19 08:00:00 +0100", "2026-11-19 08:01:00 +0100"
	const watch = "&lt;&lt;HKDevice: 0x739e67ac0&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch7,9&gt;"
	const phone = "&lt;&lt;HKDevice: 0x739e67ac1&gt;, name:iPhone, manufacturer:Apple Inc., model:iPhone, hardware:iPhone15,4&gt;"
	all := walking.Window{Start: time.Unix(0, 0).UTC(), End: time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC)}
	ended := time.Date(2026, 11, 19, 7, 1, 0, 0, time.UTC)
	tests := []struct {
		name, in string
		origin   string
		device   walking.Device
		synced   time.Time
		covers   []walking.Window
	}{
		{"watch", export(stepRecord("W", watch, start, end)), "W", walking.Wearable, ended, []walking.Window{all}},
		{
			"phone counts itself", export(stepRecord("P", phone, start, end)), "P", walking.Phone,
			all.End.Add(-15 * time.Minute),
			[]walking.Window{all},
		},
		{"most records decide", export(stepRecord("X", watch, start, end) + stepRecord("X", phone, start, end) +
			stepRecord("X", phone, start, end)), "X", walking.Phone, all.End.Add(-15 * time.Minute), []walking.Window{all}},
		{
			"never after the export", export(stepRecord("W", watch, start, "2026-11-20 21:00:01 +0100")), "W", walking.Wearable,
			all.End,
			[]walking.Window{all},
		},
		{"newest of all", export(stepRecord("W", watch, start, end) +
			stepRecord("W", watch, "2026-11-18 08:00:00 +0100", "2026-11-18 08:00:01 +0100")), "W", walking.Wearable, ended, []walking.Window{all}},
		{"no export date", `<HealthData>` + stepRecord("P", phone, start, end) + `</HealthData>`, "P", walking.Phone, ended, nil},
		{
			"broken export date", `<HealthData><ExportDate value="today"/>` + stepRecord("P", phone, start, end) + `</HealthData>`,
			"P", walking.Phone, ended, nil,
		},
		{"by name", export(stepRecord("Jo’s\u00a0Apple Watch", "", start, end)), "Jo’s\u00a0Apple Watch", walking.Wearable, ended, []walking.Window{all}},
		{
			"by name with references", export(stepRecord("Jo&#8217;s&#xA0;iPhone &amp; &lt;co&gt;", "", start, end)),
			"Jo’s\u00a0iPhone & <co>", walking.Phone, all.End.Add(-15 * time.Minute),
			[]walking.Window{all},
		},
		{"by app", export(stepRecord("Connect", "", start, end)), "Connect", walking.Wearable, ended, []walking.Window{all}},
		{
			"device before app", export(stepRecord("Connect", phone, start, end)), "Connect", walking.Phone,
			all.End.Add(-15 * time.Minute),
			[]walking.Window{all},
		},
		{"unknown", export(stepRecord("Health", "", start, end)), "Health", walking.UnknownDevice, ended, []walking.Window{all}},
		{"not UTF-8", export(stepRecord("a\xffb", "", start, end)), "ab", walking.UnknownDevice, ended, []walking.Window{all}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := decodeString(t, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if len(rec.Streams) != 1 {
				t.Fatalf("%d streams, want 1", len(rec.Streams))
			}
			want := walking.Stream{
				StreamKey: walking.StreamKey{Source: "apple-health", Origin: tt.origin},
				Device:    tt.device, Delivery: walking.Filed, SyncedThrough: tt.synced,
			}
			if diff := cmp.Diff(want, rec.Streams[0].Stream); diff != "" {
				t.Errorf("stream (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.covers, rec.Streams[0].Covers); diff != "" {
				t.Errorf("covers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClassOfName(t *testing.T) {
	for name, want := range map[string]walking.Device{
		"Garmin Connect": walking.Wearable, "Fitbit Coach": walking.Wearable, "Polar Flow": walking.Wearable, "Oura": walking.Wearable,
		"Withings": walking.Wearable, "Health Mate": walking.Wearable, "Zepp Life": walking.Wearable, "Mi Fit": walking.Wearable,
		"Huawei Health": walking.Wearable, "COROS": walking.Wearable, "Suunto": walking.Wearable, "WHOOP": walking.Wearable,
		"Amazfit": walking.Wearable, "Gadgetbridge": walking.Wearable, "Pedometer++": walking.Phone, "StepsApp": walking.Phone,
		"Human": walking.Phone, "lark": walking.Phone, "Runtastic": walking.Phone, "Strava": walking.Phone, "iPod touch": walking.Phone,
		"Polarsteps": walking.UnknownDevice, "Health Auto Export": walking.UnknownDevice, "": walking.UnknownDevice,
	} {
		if got := classOfName(name); got != want {
			t.Errorf("classOfName(%q) = %s, want %s", name, got, want)
		}
	}
}

func TestDifferential(t *testing.T) {
	docs := map[string][]byte{}
	for _, name := range []string{"overlap", "slice", "statistics"} {
		doc, err := os.ReadFile(filepath.Join("testdata", name+".xml"))
		if err != nil {
			t.Fatal(err)
		}
		docs[name] = doc
	}
	var made bytes.Buffer
	total, err := healthgen.Write(&made, healthgen.Options{Seed: 1, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	docs["made up"] = made.Bytes()
	for name, doc := range docs {
		t.Run(name, func(t *testing.T) {
			rec, err := decodeWith(t, bytes.NewReader(doc), bufferSize)
			if err != nil {
				t.Fatal(err)
			}
			want, err := refDecode(doc, now)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, want, rec)
			for _, size := range []int{64, 1000} {
				small, err := decodeWith(t, iotest.HalfReader(bytes.NewReader(doc)), size)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(rec.String(), small.String()); diff != "" {
					t.Errorf("with a buffer of %d bytes (-want +got):\n%s", size, diff)
				}
			}
		})
	}
	t.Run("totals", func(t *testing.T) {
		rec, err := decodeWith(t, bytes.NewReader(docs["made up"]), bufferSize)
		if err != nil {
			t.Fatal(err)
		}
		watch := rec.Find("", walking.StreamKey{Source: Source, Origin: healthgen.Watch})
		phone := rec.Find("", walking.StreamKey{Source: Source, Origin: healthgen.Phone})
		got := healthgen.Totals{
			Bytes: int64(made.Len()), Elements: total.Elements, Start: total.Start, End: total.End,
			WatchRecords: int64(len(watch.Records)), WatchSteps: watch.Steps(),
			PhoneRecords: int64(len(phone.Records)), PhoneSteps: phone.Steps(),
			ByHand: int64(rec.Drops["entered by hand"]), Workouts: int64(len(watch.Sessions)),
		}
		if diff := cmp.Diff(total, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		share := float64(total.WatchRecords+total.PhoneRecords) / float64(total.Elements)
		if share < 0.15 || share > 0.21 || math.Abs(float64(total.Bytes)/(1<<20)-1) > 0.05 {
			t.Errorf("%.2f of the records are steps, of %d bytes; want 0.15 to 0.2 of about 1 MiB", share, total.Bytes)
		}
	})
}

func compare(t *testing.T, want *refResult, rec *ingesttest.Recorder) {
	t.Helper()
	got := &refResult{map[string][]walking.Record{}, map[string][]walking.Session{}, len(rec.BadRows), rec.Drops}
	for _, s := range rec.Streams {
		if len(s.Records) > 0 {
			got.Records[s.Origin] = s.Records
		}
		if len(s.Sessions) > 0 {
			got.Sessions[s.Origin] = s.Sessions
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("encoding/xml and Format differ (-want +got):\n%s", diff)
	}
}

// The DTD that iOS 16 writes is malformed.
func TestMalformedDTD(t *testing.T) {
	doc, err := os.ReadFile("testdata/statistics.xml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := decodeWith(t, bytes.NewReader(doc), bufferSize)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(doc), "]>", "<!ATTLIST VisionAttachment\n  identifier\"  CDATA <#IMPLIED\n]", 1)
	for _, size := range []int{64, bufferSize} {
		got, err := decodeWith(t, strings.NewReader(broken), size)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), got.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestTruncated(t *testing.T) {
	doc, err := os.ReadFile("testdata/statistics.xml")
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.LastIndex(doc, []byte("</HealthData>")) + len("</HealthData>")
	root := bytes.Index(doc, []byte("<HealthData")) + len("<HealthData")
	for n := range whole {
		_, err := decodeWith(t, bytes.NewReader(doc[:n]), bufferSize)
		var incomplete *IncompleteError
		switch {
		case n < root && !errors.Is(err, ErrNotExport):
			t.Fatalf("cut at byte %d: err = %v, want ErrNotExport", n, err)
		case n >= root && (!errors.As(err, &incomplete) || incomplete.Line < 9):
			t.Fatalf("cut at byte %d: err = %v, want an IncompleteError with the line", n, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	doc, err := os.ReadFile("testdata/slice.xml")
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("disk full")
	rec := &ingesttest.Recorder{Now: now, Fail: stop, FailAfter: 7}
	file := ingest.File{Name: "export.xml", Body: bytes.NewReader(doc)}
	if err := (Format{}).Decode(t.Context(), file, ingest.ImportOptions{Now: now}, rec); !errors.Is(err, stop) {
		t.Errorf("sink fails: err = %v, want its error as it is", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file.Body = bytes.NewReader(doc)
	if err := (Format{}).Decode(ctx, file, ingest.ImportOptions{Now: now}, rec); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: err = %v", err)
	}
	broken := errors.New("read error")
	_, err = decodeWith(t, io.MultiReader(bytes.NewReader(doc[:9000]), iotest.ErrReader(broken)), 1000)
	if !errors.Is(err, broken) {
		t.Errorf("reader fails: err = %v, want %v", err, broken)
	}
	long := export(`<Record type="HKQuantityTypeIdentifierStepCount" sourceName="` + strings.Repeat("x", 3<<20) + `"/>`)
	err = decode(newScanner(t.Context(), strings.NewReader(long), 64, 2<<20), "export.xml", now, rec)
	if err == nil || !strings.Contains(err.Error(), "element at line 3 is longer than 2 MiB") {
		t.Errorf("endless element: err = %v", err)
	}
}

func TestOpen(t *testing.T) {
	const doc = "<?xml version=\"1.0\"?>\n<HealthData></HealthData>"
	const cda = "<?xml version=\"1.0\"?>\n<ClinicalDocument></ClinicalDocument>"
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	archive := func(name string, members ...string) string {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := 0; i < len(members); i += 2 {
			w, err := z.Create(members[i])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, members[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return write(name, b.String())
	}
	folder := filepath.Dir(write("folder [1]/apple_health_export/导出.xml", doc))
	write("folder [1]/apple_health_export/export_cda.xml", cda)
	full := archive("full.zip", "apple_health_export/export_cda.xml", cda, "apple_health_export/workout-routes/a.gpx", "<gpx/>",
		"__MACOSX/apple_health_export/._x.xml", "\x00\x05", "apple_health_export/导出.xml", doc)
	whole, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, file, err string
	}{
		{"xml", write("a.xml", doc), filepath.Join(dir, "a.xml"), ""},
		{"zip", full, full + ":apple_health_export/导出.xml", ""},
		{"zip without its extension", write("download", string(whole)), filepath.Join(dir, "download") + ":apple_health_export/导出.xml", ""},
		{"folder", folder, filepath.Join(folder, "导出.xml"), ""},
		{"folder above", filepath.Dir(folder), filepath.Join(folder, "导出.xml"), ""},
		{"clinical document", write("export_cda.xml", cda), "", "is a clinical document (export_cda.xml): want the export.zip"},
		{"other xml", write("o.xml", "\n<a/>"), "", "is an XML file without <HealthData>"},
		{"not xml", write("o.csv", "a,b\n"), "", "is not an XML file"},
		{"empty", write("empty", ""), "", "is an empty file"},
		{"zip of something else", archive("other.zip", "a.txt", "x", "b.xml", "<b/>"), "", "holds no Apple Health export (found b.xml)"},
		{"zip without xml", archive("none.zip", "a.txt", "x"), "", "(no .xml file in it)"},
		{"damaged zip", write("cut.zip", string(whole[:len(whole)-10])), "", "incomplete or damaged zip"},
		{"empty folder", filepath.Dir(write("e/a.txt", "")), "", "holds no Apple Health export (no .xml file in it)"},
		{"missing", filepath.Join(dir, "missing"), "", "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c, err := Format{}.Open(tt.path)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("err = %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(f.Body)
			if err != nil || string(body) != doc || f.Name != tt.file || f.Size != int64(len(doc)) {
				t.Errorf("%q, %d bytes, %q, %v; want %q, %d bytes", f.Name, f.Size, body, err, tt.file, len(doc))
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Damage inside a zip shows only when all of it has been read.
func TestZipChecksum(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "export.xml", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, export("<!-- damaged -->")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "export.zip")
	if err := os.WriteFile(path, bytes.Replace(b.Bytes(), []byte("damaged"), []byte("DAMAGED"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	f, c, err := Format{}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rec := &ingesttest.Recorder{Now: now}
	if err := (Format{}).Decode(t.Context(), f, ingest.ImportOptions{Now: now}, rec); !errors.Is(err, zip.ErrChecksum) {
		t.Errorf("err = %v, want %v", err, zip.ErrChecksum)
	}
}

func TestParseTime(t *testing.T) {
	for day := time.Date(1999, 12, 1, 23, 59, 59, 0, time.UTC); day.Year() < 2105; day = day.AddDate(0, 0, 13) {
		for _, zone := range []*time.Location{time.UTC, time.FixedZone("", -9*3600-1800), time.FixedZone("", 14*3600)} {
			s := day.In(zone).Format(refLayout)
			got, offset, err := parseTime([]byte(s))
			if _, want := day.In(zone).Zone(); err != nil || !got.Equal(day) || offset != want {
				t.Fatalf("parseTime(%q) = %s, %d, %v", s, got, offset, err)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	var doc bytes.Buffer
	if _, err := healthgen.Write(&doc, healthgen.Options{Seed: 1, Bytes: 32 << 20}); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if _, err := tokens(bytes.NewReader(doc.Bytes())); err != nil {
		b.Fatal(err)
	}
	plain := time.Since(began)
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		file := ingest.File{Name: "export.xml", Body: bytes.NewReader(doc.Bytes())}
		if err := (Format{}).Decode(b.Context(), file, ingest.ImportOptions{Now: now}, discard{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(doc.Len())/1e6/plain.Seconds(), "xml-MB/s")
	b.ReportMetric(float64(plain)*float64(b.N)/float64(b.Elapsed()), "x-faster")
}

// discard is a sink that takes everything and keeps nothing.
type discard struct{}

func (discard) Stream(string, walking.Stream) error                      { return nil }
func (discard) Record(string, walking.StreamKey, walking.Record) error   { return nil }
func (discard) Session(string, walking.StreamKey, walking.Session) error { return nil }
func (discard) Covers(string, walking.StreamKey, walking.Window) error   { return nil }
func (discard) Bad(ingest.BadRow) error                                  { return nil }
func (discard) Dropped(string, int)                                      {}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(export(stepRecord("Jo’s iPhone", "&lt;x&gt;", "2026-11-19 08:00:00 +0100", "2026-11-19 08:01:00 +0100"))))
	f.Add([]byte(export(`<Correlation><Record type="HKQuantityTypeIdentifierStepCount"/></Correlation><!-- x --><![CDATA[<]]>` +
		`<Record type='HKQuantityTypeIdentifierStepCount' startDate='2026-11-19 08:00:00 +0100' endDate='2026-11-19 08:00:00 +0100' ` +
		`value='7'><MetadataEntry key="HKWasUserEntered" value="1"/></Record>`)))
	f.Add([]byte(export(`<Workout workoutActivityType="HKWorkoutActivityTypeWalking" duration="30" durationUnit="min" sourceName="A" ` +
		`startDate="2026-11-19 10:00:00 +0100" endDate="2026-11-19 11:00:00 +0100"><WorkoutEvent type="HKWorkoutEventTypePause" ` +
		`date="2026-11-19 10:10:00 +0100"/><WorkoutStatistics type="HKQuantityTypeIdentifierStepCount" sum="10"/></Workout>`)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		rec, err := decodeWith(t, bytes.NewReader(doc), bufferSize) // the recorder refuses invalid records
		small, smallErr := decodeWith(t, iotest.OneByteReader(bytes.NewReader(doc)), 64)
		if diff := cmp.Diff(rec.String(), small.String()); diff != "" || fmt.Sprint(err) != fmt.Sprint(smallErr) {
			t.Fatalf("with a small buffer (-want +got), %v and %v:\n%s", err, smallErr, diff)
		}
		var incomplete *IncompleteError
		if err != nil && !errors.Is(err, ErrNotExport) && !errors.As(err, &incomplete) {
			t.Fatalf("err = %v", err)
		}
		if want, refErr := refDecode(doc, now); refErr == nil {
			if err != nil {
				t.Fatalf("encoding/xml reads it, Format says %v", err)
			}
			compare(t, want, rec)
		}
	})
}
