package withings_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/walkd/walkd/internal/ingest"
)

// FuzzFetch gives whatever bytes for an answer. What is taken lies in the window and can be; nothing else is, twice.
func FuzzFetch(f *testing.F) {
	for _, name := range []string{"minutes.json", "days.json", "workouts.json", "devices.json"} {
		f.Add([]byte(sample(f, name)), uint8(len(name)))
	}
	f.Add([]byte(ok(`{"series":[],"activities":{},"more":"1","offset":"3"}`)), uint8(1))
	f.Add([]byte(ok(`{"series":{"1793521800":{"steps":"3e2","duration":1e9}}}`)), uint8(0))
	f.Add([]byte(ok(`{"activities":[{"date":"2026-11-01","timezone":"UTC","steps":1e300,"modified":-1}]}`)), uint8(1))
	f.Add([]byte(ok(`{"series":[{"startdate":1793521800,"enddate":1793521860,"category":1e300,"data":{"steps":-1}}]}`)), uint8(2))
	f.Add([]byte(`{"status":601,"body":{"wait_seconds":-1e300},"error":"Same arguments"}`), uint8(2))
	f.Fuzz(func(t *testing.T, answer []byte, which uint8) {
		answers := map[string][]string{
			days: {sample(t, "days.json")}, minutes: {ok(`{"series":{}}`)}, workouts: {ok(`{"series":[]}`)},
		}
		actions := []string{minutes, days, workouts}
		// More pages than this are not to the point.
		answers[actions[which%3]] = []string{string(answer), ok(`{}`)}
		r := request(1, 2)
		b, err := newScript(t, maps.Clone(answers)).fetch(r)
		again, errToo := newScript(t, maps.Clone(answers)).fetch(r)
		if fmt.Sprint(err) != fmt.Sprint(errToo) || which%3 == 0 && diff(b, again) != "" {
			t.Fatalf("differs from itself: %v, %v\n%s", err, errToo, diff(b, again))
		}
		if err != nil {
			if len(b.Covers)+len(b.Records) > 0 {
				t.Fatalf("a batch in spite of %v", err)
			}
			return
		}
		for _, rs := range b.Records {
			for _, x := range rs.Records {
				if !r.Window.Contains(x.Start) || ingest.CheckRecord(x, r.Now) != nil {
					t.Fatalf("a record that cannot be: %+v", x)
				}
			}
		}
		for _, s := range b.Sessions {
			if !r.Window.Contains(s.Start) || ingest.CheckSession(s.Session, r.Now) != nil {
				t.Fatalf("a session that cannot be: %+v", s)
			}
		}
	})
}
