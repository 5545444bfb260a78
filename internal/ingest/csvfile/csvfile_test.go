package csvfile_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/csvfile"
	"github.com/walkd/walkd/internal/ingest/ingesttest"
)

const wantMoment = "a time like 2006-01-02T15:04:05+01:00, 2006-01-02 15:04, a date like 2006-01-02, or unix seconds"

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func decode(t *testing.T, in string) (*ingesttest.Recorder, error) {
	t.Helper()
	rec := &ingesttest.Recorder{Now: now}
	f := ingest.File{Name: "f.csv", Body: strings.NewReader(in)}
	err := csvfile.Format{}.Decode(t.Context(), f, ingest.ImportOptions{Zone: location(t, "Europe/Berlin"), Now: now}, rec)
	return rec, err
}

func TestDecode(t *testing.T) {
	const head = `stream "csv" of "": unknown, filed, through `
	tests := []struct {
		name, in string
		want     []string
	}{
		{"local time, seconds", "start,duration,steps\n2026-11-19 08:00,60,80\n2026-11-19 08:01:30,30.5,0\n", []string{
			head + "2026-11-19T07:02:00Z", "2026-11-19T07:00:00Z +1m0s 80 steps", "2026-11-19T07:01:30Z +30.5s 0 steps",
		}},
		{"offsets", "start_time,end_time,steps\n2026-11-19T08:00:00+05:30,2026-11-19T08:01:00.5+05:30,80.25\n" +
			"2026-11-19T08:00:00Z,2026-11-19 08:01:00 -0800,1\n", []string{
			head + "2026-11-19T16:01:00Z", "2026-11-19T02:30:00Z +1m0.5s 80.25 steps at +19800", "2026-11-19T08:00:00Z +8h1m0s 1 steps",
		}},
		{"unix", "Timestamp,Duration (min),x,Steps\n1795075200,1,60,80\n1795075260000,1,60,81\n", []string{
			head + "2026-11-19T08:02:00Z", "2026-11-19T08:00:00Z +1m0s 80 steps", "2026-11-19T08:01:00Z +1m0s 81 steps",
		}},
		{"minutes", "Time,Duration-Min,Step Count\n2026-11-19 08:00,1.5,80\n", []string{
			head + "2026-11-19T07:01:30Z", "2026-11-19T07:00:00Z +1m30s 80 steps",
		}},
		{"durations with units", "start,minutes,steps\n2026-11-19 08:00,90s,80\n2026-11-19 09:00,1h 30m,80\n", []string{
			head + "2026-11-19T09:30:00Z", "2026-11-19T07:00:00Z +1m30s 80 steps", "2026-11-19T08:00:00Z +1h30m0s 80 steps",
		}},
		{"order, case, others, byte order mark, semicolons", "\xef\xbb\xbfNote;STEPS;End Date;\"StartDate\"\r\n\"a;\nb\";5;2026-11-19 08:05;2026-11-19 08:00\r\n", []string{
			head + "2026-11-19T07:05:00Z", "2026-11-19T07:00:00Z +5m0s 5 steps",
		}},
		{"tabs, preferred names", "value\tsteps\tdate\tstart\tend\n1\t2\tx\t2026-11-19 08:00\t2026-11-19 08:00\n", []string{
			head + "2026-11-19T07:00:00Z", "2026-11-19T07:00:00Z +0s 2 steps",
		}},
		{"end before duration, either may be empty", "start,end,duration,steps\n2026-11-19 08:00,2026-11-19 08:01,5,1\n2026-11-19 09:00,,5,1\n", []string{
			head + "2026-11-19T08:00:05Z", "2026-11-19T07:00:00Z +1m0s 1 steps", "2026-11-19T08:00:00Z +5s 1 steps",
		}},
		{"origins", "start,duration,steps,device\n2026-11-19 08:00,60,1,band\n2026-11-19 08:00,60,2,\n2026-11-19 08:01,60,3,band\n", []string{
			`stream "csv/band" of "": unknown, filed, through 2026-11-19T07:02:00Z`,
			"2026-11-19T07:00:00Z +1m0s 1 steps", "2026-11-19T07:01:00Z +1m0s 3 steps",
			head + "2026-11-19T07:01:00Z", "2026-11-19T07:00:00Z +1m0s 2 steps",
		}},
		{"days", "date,steps\n2026-03-28,9000\n2026-03-29,9001\n2026-10-25,9002\n", []string{
			head + "2026-10-25T23:00:00Z", "2026-03-27T23:00:00Z +24h0m0s 9000 steps", "2026-03-28T23:00:00Z +23h0m0s 9001 steps",
			"2026-10-24T22:00:00Z +25h0m0s 9002 steps",
		}},
		{"dates with ends and durations", "date,end,duration,steps\n2026-03-29,2026-03-29,,1\n2026-03-28,2026-03-29,,1\n2026-03-29,,60,1\n2026-03-27,,,1", []string{
			head + "2026-03-29T22:00:00Z", "2026-03-28T23:00:00Z +23h0m0s 1 steps", "2026-03-27T23:00:00Z +47h0m0s 1 steps",
			"2026-03-28T23:00:00Z +1m0s 1 steps", "2026-03-26T23:00:00Z +24h0m0s 1 steps",
		}},
		{"skipped times", "start,end,steps\n2026-03-29 02:30,2026-03-29 03:45,1\n2026-03-29 01:59,2026-03-29 03:00,2\n", []string{
			head + "2026-03-29T01:45:00Z", "2026-03-29T01:30:00Z +15m0s 1 steps", "2026-03-29T00:59:00Z +1m0s 2 steps",
		}},
		{"repeated times", "start,end,steps\n2026-10-25 02:10,2026-10-25 02:20,1\n2026-10-25 02:50,2026-10-25 02:10,2\n" +
			"2026-10-25T02:50:00+02:00,2026-10-25T02:10:00+01:00,3\n", []string{
			head + "2026-10-25T01:10:00Z", "2026-10-25T00:10:00Z +10m0s 1 steps", "2026-10-25T00:50:00Z +20m0s 3 steps at +7200",
			"bad f.csv:3: ends at 2026-10-25T00:10:00Z, before it starts at 2026-10-25T00:50:00Z",
		}},
		{"header only", "start,duration,steps\n", nil},
		{"bad rows", strings.Join([]string{
			"start,end,duration,steps",
			"yesterday,,60,1", "2026-11-19 25:00,,60,1", ",,60,1", "20261119,,60,1", "2026-11-19T08:00:00+19:00,,60,1",
			"2026-11-19 08:00,soon,60,1", "2026-11-19 08:00,,long,1", "2026-11-19 08:00,,NaN,1", "2026-11-19 08:00,,-60,1",
			"2026-11-19 08:00,,,1", "2026-11-19 08:00,,60,", "2026-11-19 08:00,,60,many", "2026-11-19 08:00,,60,-1",
			"2026-11-19 08:00,,60,Inf", "2026-11-19 08:00,,60,501", "2026-11-19 08:00,2026-11-19 07:59,,1",
			"2026-11-19 08:00,,200000,1", "2026-11-20 14:00,,60,1", "2026-11-19 08:00,,60", "\"2026-11-19 08:00,,60,1",
			"2026-11-19 08:00,,60,7",
		}, "\n"), []string{
			head + "2026-11-19T07:01:00Z", "2026-11-19T07:00:00Z +1m0s 7 steps",
			`bad f.csv:2: start is "yesterday": want ` + wantMoment,
			`bad f.csv:3: start is "2026-11-19 25:00": want ` + wantMoment,
			`bad f.csv:4: start is "": want ` + wantMoment,
			`bad f.csv:5: start is "20261119": want ` + wantMoment,
			`bad f.csv:6: start is "2026-11-19T08:00:00+19:00": want ` + wantMoment,
			`bad f.csv:7: end is "soon": want ` + wantMoment,
			`bad f.csv:8: duration is "long": want a number, or one with units like 90s, 1m or 1h30m`,
			`bad f.csv:9: duration is NaN: want a number`,
			`bad f.csv:10: ends at 2026-11-19T06:59:00Z, before it starts at 2026-11-19T07:00:00Z`,
			`bad f.csv:11: the row has neither an end nor a duration`,
			`bad f.csv:12: steps are "": want a number`,
			`bad f.csv:13: steps are "many": want a number`,
			`bad f.csv:14: steps are -1: want zero or more`,
			`bad f.csv:15: steps are +Inf: want a number`,
			`bad f.csv:16: 501 steps in 1m0s are more than anybody can do: want at most 500`,
			`bad f.csv:17: ends at 2026-11-19T06:59:00Z, before it starts at 2026-11-19T07:00:00Z`,
			`bad f.csv:18: lasts from 2026-11-19T07:00:00Z to 2026-11-21T14:33:20Z: want at most 48 hours`,
			`bad f.csv:19: ends at 2026-11-20T13:01:00Z, which lies in the future (now 2026-11-20T12:00:00Z)`,
			`bad f.csv:20: the row has 3 columns, the header 4`,
			`bad f.csv:21: a quote is opened and not closed`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := decode(t, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(rec.String()) {
				got = append(got, strings.TrimSpace(line))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", "f.csv is empty: want a CSV file with a header such as start,duration,steps"},
		{"nothing known", "a,b c\n", "f.csv: the header has the columns a, b c; missing: start (one of start, start_time, "},
		{"no steps", "start,duration\n", "missing: steps (one of steps, step_count, stepcount, count, value)"},
		{"no length", "start,steps\n2026-11-19,1\n2026-11-19 08:00,1\n", "missing: duration (one of duration, duration_s, "},
		{"no length, line", "start,steps\n2026-11-19,1\n2026-11-19 08:00,1\n", "but line 3 has a time"},
		{"broken", "\"start,steps\n", "f.csv:1: a quote is opened and not closed"},
		{"UTF-16", "\xff\xfes\x00", "f.csv: the file is UTF-16 text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := decode(t, tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

// A zone skipped a date, and one set its clocks back over midnight.
func TestOddDates(t *testing.T) {
	rec := &ingesttest.Recorder{Now: now}
	for zone, in := range map[string]string{
		"Pacific/Apia":   "date,steps\n2011-12-30,1\n2011-12-31,2\n",
		"America/Havana": "date,steps\n2025-11-01,3\n2025-11-02,4\n",
	} {
		f := ingest.File{Name: "f.csv", Body: strings.NewReader(in)}
		o := ingest.ImportOptions{Zone: location(t, zone), Now: now}
		if err := (csvfile.Format{}).Decode(t.Context(), f, o, rec); err != nil {
			t.Fatal(err)
		}
	}
	if len(rec.BadRows) != 1 || rec.BadRows[0].Reason != "start is 2011-12-30, a date that the clocks of Pacific/Apia skipped" {
		t.Errorf("bad rows: %v", rec.BadRows)
	}
	got := map[float64]string{}
	for _, r := range rec.Streams[0].Records {
		got[r.Steps] = r.Start.Format(time.RFC3339) + " " + r.Duration.String()
	}
	want := map[float64]string{2: "2011-12-30T10:00:00Z 24h0m0s", 3: "2025-11-01T04:00:00Z 24h0m0s", 4: "2025-11-02T04:00:00Z 25h0m0s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSinkErrors(t *testing.T) {
	stop := errors.New("disk full")
	rec := &ingesttest.Recorder{Now: now, Fail: stop, FailAfter: 1}
	o := ingest.ImportOptions{Now: now}
	f := ingest.File{Name: "f.csv", Body: strings.NewReader("date,steps\n2026-11-18,1\n2026-11-19,1\n")}
	if err := (csvfile.Format{}).Decode(t.Context(), f, o, rec); !errors.Is(err, stop) {
		t.Errorf("err = %v, want the sink's as it is", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.Body = strings.NewReader("date,steps\n2026-11-18,1\n")
	if err := (csvfile.Format{}).Decode(ctx, f, o, rec); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("start,duration,steps\n2026-11-19 08:00,60,80\n2026-11-19T08:00:00+05:30,1m,8.5\n1795075200,1,2\n"))
	f.Add([]byte("Date;Steps;Source\r\n2026-03-29;9000;\"a;b\"\r\n"))
	f.Add([]byte("to\tfrom\tcount\n2026-10-25 02:10\t2026-10-25 02:30\t1\n"))
	zone := location(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, in []byte) {
		rec := &ingesttest.Recorder{Now: now} // refuses invalid records
		o := ingest.ImportOptions{Zone: zone, Now: now}
		err := csvfile.Format{}.Decode(t.Context(), ingest.File{Name: "f.csv", Body: bytes.NewReader(in)}, o, rec)
		if err == nil {
			return
		}
		if strings.Contains(err.Error(), "has not been described") || strings.Contains(err.Error(), "invalid") {
			t.Error(err)
		}
	})
}
