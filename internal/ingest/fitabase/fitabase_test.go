package fitabase_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/fitabase"
	"github.com/walkd/walkd/internal/ingest/ingesttest"
	"github.com/walkd/walkd/internal/walking"
)

var (
	now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	key = walking.StreamKey{Source: "fitabase"}
)

func decode(t *testing.T, in string, o ingest.ImportOptions) (*ingesttest.Recorder, error) {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = now
	}
	rec := &ingesttest.Recorder{Now: o.Now}
	err := fitabase.Format{}.Decode(t.Context(), ingest.File{Name: "f.csv", Body: strings.NewReader(in)}, o, rec)
	return rec, err
}

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wide returns a wide file with rows of an id, a local hour and what its minutes hold.
func wide(rows ...string) string {
	var b strings.Builder
	b.WriteString("Id,ActivityHour")
	for i := range 60 {
		fmt.Fprintf(&b, ",Steps%02d", i)
	}
	for _, row := range rows {
		head, minutes, _ := strings.Cut(row, "|")
		b.WriteString("\n" + head + strings.Repeat(","+minutes, 60))
	}
	return b.String() + "\n"
}

func TestRealFiles(t *testing.T) {
	zone := location(t, "America/Chicago")
	wideFile := readFile(t, "testdata/wide.csv")
	perDay := func(s *ingesttest.Stream) map[string]float64 {
		sums := map[string]float64{}
		for _, r := range s.Records {
			sums[r.Start.In(zone).Format(time.DateOnly)] += r.Steps
		}
		return sums
	}
	// The days' sums are those of the data set's own dailyActivity_merged.csv where the two agree.
	tests := []struct {
		name, in string
		o        ingest.ImportOptions
		want     map[string]map[string]float64
	}{
		{"all", wideFile, ingest.ImportOptions{Zone: zone, All: true}, map[string]map[string]float64{
			"1503960366": {"2016-04-13": 10735, "2016-04-14": 10460, "2016-04-15": 9685},
			"8877689391": {"2016-04-13": 15337, "2016-04-14": 21071},
		}},
		{"one of them", wideFile, ingest.ImportOptions{Zone: zone, IDs: []string{"8877689391", "8877689391"}}, map[string]map[string]float64{
			"": {"2016-04-13": 15337, "2016-04-14": 21071},
		}},
		{"both by id", wideFile, ingest.ImportOptions{Zone: zone, IDs: []string{"8877689391", "1503960366"}}, map[string]map[string]float64{
			"1503960366": {"2016-04-13": 10735, "2016-04-14": 10460, "2016-04-15": 9685},
			"8877689391": {"2016-04-13": 15337, "2016-04-14": 21071},
		}},
		{"one of all", wideFile, ingest.ImportOptions{Zone: zone, IDs: []string{"8877689391"}, All: true}, map[string]map[string]float64{
			"8877689391": {"2016-04-13": 15337, "2016-04-14": 21071},
		}},
		{"narrow", readFile(t, "testdata/narrow.csv"), ingest.ImportOptions{Zone: zone}, map[string]map[string]float64{
			"": {"2016-04-13": 10735},
		}},
	}
	for _, tt := range tests {
		for form, in := range map[string]string{
			"as it is": tt.in, "from Excel": "\xef\xbb\xbf" + strings.NewReplacer("\n", "\r\n", ",", ";").Replace(tt.in),
		} {
			t.Run(tt.name+" "+form, func(t *testing.T) {
				rec, err := decode(t, in, tt.o)
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]map[string]float64{}
				for _, s := range rec.Streams {
					got[s.Person] = perDay(s)
					first := time.Date(2016, 4, 13, 0, 0, 0, 0, zone).UTC()
					last := first.AddDate(0, 0, len(got[s.Person]))
					if diff := cmp.Diff([]walking.Window{{Start: first, End: last}}, s.Covers); diff != "" {
						t.Errorf("covers of %q (-want +got):\n%s", s.Person, diff)
					}
					want := walking.Stream{StreamKey: key, Device: walking.Wearable, Delivery: walking.Filed, SyncedThrough: last}
					if diff := cmp.Diff(want, s.Stream); diff != "" {
						t.Errorf("stream of %q (-want +got):\n%s", s.Person, diff)
					}
					if len(s.Records) != 1440*len(got[s.Person]) {
						t.Errorf("%d records for %q, want one a minute", len(s.Records), s.Person)
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("steps (-want +got):\n%s", diff)
				}
				if len(rec.BadRows) > 0 {
					t.Errorf("bad rows: %v", rec.BadRows)
				}
			})
		}
	}
}

// Both forms hold the same minutes.
func TestNarrowIsWide(t *testing.T) {
	o := ingest.ImportOptions{Zone: location(t, "America/Chicago"), IDs: []string{"1503960366"}}
	narrow, err := decode(t, readFile(t, "testdata/narrow.csv"), o)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(readFile(t, "testdata/wide.csv"), "\n")
	day, err := decode(t, strings.Join(lines[:25], ""), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(day.String(), narrow.String()); diff != "" {
		t.Errorf("(-wide +narrow):\n%s", diff)
	}
}

func TestPersons(t *testing.T) {
	file := readFile(t, "testdata/wide.csv")
	ids := []string{"1503960366", "8877689391"}
	_, err := decode(t, file, ingest.ImportOptions{})
	var several *fitabase.SeveralError
	if !errors.As(err, &several) {
		t.Fatalf("err = %v, want a SeveralError", err)
	}
	if diff := cmp.Diff(ids, several.IDs); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	const want = "f.csv holds 2 persons: choose with --id ID, or take all with --all; the ids are 1503960366, 8877689391"
	if err.Error() != want {
		t.Errorf("err = %q, want %q", err, want)
	}
	_, err = decode(t, file, ingest.ImportOptions{IDs: []string{"8877689391", "7", "8", "7"}})
	const unknown = "f.csv does not hold id 7, 8: it holds 1503960366, 8877689391"
	if err == nil || err.Error() != unknown {
		t.Errorf("err = %v, want %q", err, unknown)
	}
	_, err = decode(t, wide(), ingest.ImportOptions{IDs: []string{"7"}})
	if err == nil || err.Error() != "f.csv does not hold id 7: it holds nobody" {
		t.Errorf("err = %v", err)
	}
	// Rows of others are nobody's concern.
	rec, err := decode(t, wide("7,4/13/2016 0:00|x", "8,4/13/2016 0:00|1"), ingest.ImportOptions{IDs: []string{"8"}})
	if err != nil || len(rec.BadRows) != 0 || rec.Find("", key).Steps() != 60 {
		t.Errorf("%v, %v", rec, err)
	}
}

func TestHeader(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "f.csv is empty",
		"Id,ActivityDate\n":     `its header is "Id,ActivityDate", want Id,ActivityHour,Steps00`,
		"Id,ActivityHour,S\n":   "not a minuteSteps file",
		"\"Id,ActivityMinute\n": "a quote is opened",
	} {
		if _, err := decode(t, in, ingest.ImportOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("header %q: err = %v, want %q", in, err, want)
		}
	}
}

func TestBadRows(t *testing.T) {
	o := ingest.ImportOptions{Now: time.Date(2016, 4, 13, 5, 30, 0, 0, time.UTC)}
	in := wide("1,4/13/2016 0:00|1", "x1,4/13/2016 1:00|1", "1,13/4/2016 2:00|1", "1,4/13/2016 2:30|1", "1,4/13/2016 2:00|-1",
		"1,4/13/2016 2:00|501", "1,4/13/2016 2:00|NaN", "1,4/13/2016 2:00|many", "1,4/13/2016 2:00|1,2", "1,4/13/2016 5:00|1",
		"\"1,4/13/2016 2:00|1", "1,4/13/2016 1:00:00 AM|1")
	rec, err := decode(t, in, o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`f.csv:3: the Id is "x1": want a number of up to 20 digits`,
		`f.csv:4: the time is "13/4/2016 2:00": want a full hour like 4/13/2016 9:00:00 PM or 4/13/2016 21:00`,
		`f.csv:5: the time is "4/13/2016 2:30": want a full hour like 4/13/2016 9:00:00 PM or 4/13/2016 21:00`,
		`f.csv:6: steps are -1: want zero or more`,
		`f.csv:7: 501 steps in 1m0s are more than anybody can do: want at most 500`,
		`f.csv:8: steps are NaN: want a number`,
		`f.csv:9: Steps in column 3 is "many": want a number of steps`,
		`f.csv:10: the row has 122 columns: want 62`,
		`f.csv:11: ends at 2016-04-13T05:46:00Z, which lies in the future (now 2016-04-13T05:30:00Z)`,
		`f.csv:12: a quote is opened and not closed`,
	}
	var got []string
	for _, b := range rec.BadRows {
		got = append(got, b.Error())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bad rows (-want +got):\n%s", diff)
	}
	s := rec.Find("", key)
	if s == nil || len(s.Records) != 120 {
		t.Fatalf("stream %+v, want the two sound hours", s)
	}
	midnight := time.Date(2016, 4, 13, 0, 0, 0, 0, time.UTC)
	if diff := cmp.Diff([]walking.Window{{Start: midnight, End: midnight.Add(2 * time.Hour)}}, s.Covers); diff != "" {
		t.Errorf("covers (-want +got):\n%s", diff)
	}
	narrow, err := decode(t, "Id,ActivityMinute,Steps\n1,4/13/2016 12:00:30 AM,1\n1,4/13/2016,1\n", o)
	if err != nil || len(narrow.BadRows) != 2 {
		t.Errorf("narrow: %v, %v; want 2 bad rows", narrow.BadRows, err)
	}
}

// Every hour of a day of 24 rows keeps its steps, no two records share start and duration, and records with a length
// never overlap, whatever the zone does to its clocks on that day.
func TestClockChanges(t *testing.T) {
	tests := []struct {
		zone, date string
		lengthless int // minutes that the clocks skipped
		covers     []string
	}{
		{"Europe/Berlin", "3/29/2026", 60, []string{"2026-03-28T23:00:00Z 23h0m0s"}},
		{"Europe/Berlin", "10/25/2026", 0, []string{"2026-10-24T22:00:00Z 3h0m0s", "2026-10-25T02:00:00Z 21h0m0s"}},
		{"Africa/Cairo", "4/24/2026", 60, []string{"2026-04-23T22:00:00Z 23h0m0s"}},
		{"Australia/Lord_Howe", "10/4/2026", 30, []string{"2026-10-03T13:30:00Z 23h30m0s"}},
		{"Australia/Lord_Howe", "4/5/2026", 0, []string{"2026-04-04T13:00:00Z 2h0m0s", "2026-04-04T15:30:00Z 22h0m0s"}},
		{"America/Caracas", "5/1/2016", 30, []string{"2016-05-01T04:30:00Z 23h30m0s"}},
		{"Pacific/Apia", "12/30/2011", 24 * 60, nil},
		{"Asia/Kolkata", "3/29/2026", 0, []string{"2026-03-28T18:30:00Z 24h0m0s"}},
	}
	for _, tt := range tests {
		t.Run(tt.zone+" "+tt.date, func(t *testing.T) {
			var rows []string
			for h := range 24 {
				rows = append(rows, fmt.Sprintf("1,%s %d:00|%d", tt.date, h, h+1))
			}
			rec, err := decode(t, wide(rows...), ingest.ImportOptions{Zone: location(t, tt.zone), Now: now.AddDate(1, 0, 0)})
			if err != nil {
				t.Fatal(err)
			}
			s := rec.Find("", key)
			if want := 60.0 * 24 * 25 / 2; s.Steps() != want || len(s.Records) != 1440 || len(rec.BadRows) != 0 {
				t.Errorf("%g steps in %d records, want %g in 1440; bad %v", s.Steps(), len(s.Records), want, rec.BadRows)
			}
			seen := map[string]bool{}
			lengthless := 0
			for _, r := range s.Records {
				if r.Duration == 0 {
					lengthless++
				}
				if r.HasOffset {
					t.Fatalf("record %+v has an offset", r)
				}
				name := fmt.Sprint(r.Start, r.Duration)
				if seen[name] {
					t.Errorf("two records at %s", name)
				}
				seen[name] = true
			}
			if lengthless != tt.lengthless {
				t.Errorf("%d records without length, want %d", lengthless, tt.lengthless)
			}
			var covers []string
			for _, w := range s.Covers {
				covers = append(covers, w.Start.Format(time.RFC3339)+" "+w.Duration().String())
			}
			if diff := cmp.Diff(tt.covers, covers); diff != "" {
				t.Errorf("covers (-want +got):\n%s", diff)
			}
		})
	}
	// Devices that know of the change fill the skipped hour with zeros.
	rec, err := decode(t, wide("1,3/29/2026 2:00|0"), ingest.ImportOptions{Zone: location(t, "Europe/Berlin")})
	if err != nil || len(rec.Find("", key).Records) != 0 {
		t.Errorf("%v, %v; want no records of a skipped hour without steps", rec, err)
	}
}

func TestSinkErrors(t *testing.T) {
	stop := errors.New("disk full")
	rec := &ingesttest.Recorder{Now: now, Fail: stop, FailAfter: 61}
	f := ingest.File{Name: "f.csv", Body: strings.NewReader(readFile(t, "testdata/wide.csv"))}
	if err := (fitabase.Format{}).Decode(t.Context(), f, ingest.ImportOptions{All: true, Now: now}, rec); !errors.Is(err, stop) {
		t.Errorf("err = %v, want the sink's as it is", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.Body = strings.NewReader(wide())
	if err := (fitabase.Format{}).Decode(ctx, f, ingest.ImportOptions{}, rec); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(wide("1503960366,4/13/2016 0:00|4", "1503960366,3/13/2016 2:00|1")))
	f.Add([]byte("Id,ActivityMinute,Steps\r\n1503960366,4/12/2016 12:00:00 AM,0\r\n1,11/6/2016 1:30:00 AM,7\r\n"))
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		o := ingest.ImportOptions{Zone: zone, Now: now, All: true}
		rec := &ingesttest.Recorder{Now: now} // refuses invalid records
		err := fitabase.Format{}.Decode(t.Context(), ingest.File{Name: "f.csv", Body: bytes.NewReader(in)}, o, rec)
		if err != nil && len(rec.Streams) > 0 {
			t.Errorf("err = %v after rows that could be read", err)
		}
	})
}
