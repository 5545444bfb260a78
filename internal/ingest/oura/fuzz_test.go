package oura_test

import (
	"fmt"
	"maps"
	"math"
	"testing"

	"github.com/walkd/walkd/internal/ingest"
)

// FuzzFetch gives whatever bytes for an answer. What is taken lies in the window and can be; nothing else is, twice.
func FuzzFetch(f *testing.F) {
	for _, name := range []string{"days.json", "workouts.json"} {
		f.Add([]byte(sample(f, name)), name == "workouts.json")
	}
	f.Add([]byte(listing(doc("class_5_min", `"0123450123450000"`, "steps", "1e5"))), false)
	f.Add([]byte(listing(doc("class_5_min", `"3"`, "steps", "-1"), doc("steps", "0.5"))), false)
	f.Add([]byte(listing(doc("timestamp", `"2026-11-19T04:00:00+23:59"`), doc("day", `"9999-12-31"`, "timestamp", `"0001-01-01T00:00:00Z"`))), false)
	f.Add([]byte(listing(doc("met", `{"interval":86400,"items":[1e300,-1e300,null]}`, "steps", "1e300"))), false)
	f.Add([]byte(listing(doc("met", `{"interval":1,"items":[1,2,3],"timestamp":"1999-01-01T00:00:00Z"}`))), false)
	f.Add([]byte(`{"data":[],"next_token":"again"}`), true)
	f.Add([]byte(`{"status":400,"title":"x","detail":[]}`), true)
	f.Fuzz(func(t *testing.T, answer []byte, workouts bool) {
		answers := map[string][]string{activityPath: {sample(t, "days.json")}, workoutPath: {nothing}}
		path := activityPath
		if workouts {
			path = workoutPath
		}
		answers[path] = []string{string(answer), nothing} // more pages than this are not to the point
		r := request(18, 20)
		b, err := newScript(t, maps.Clone(answers)).fetch(r)
		again, errToo := newScript(t, maps.Clone(answers)).fetch(r)
		if fmt.Sprint(err) != fmt.Sprint(errToo) || diff(b, again) != "" {
			t.Fatalf("differs from itself: %v, %v\n%s", err, errToo, diff(b, again))
		}
		if err != nil {
			if len(b.Covers)+len(b.Records) > 0 {
				t.Fatalf("a batch in spite of %v", err)
			}
			return
		}
		if b.Streams[0].SyncedThrough.After(r.Now) {
			t.Fatalf("synced through %s", b.Streams[0].SyncedThrough)
		}
		for _, rs := range b.Records {
			for _, x := range rs.Records {
				if !r.Window.Contains(x.Start) || ingest.CheckRecord(x, r.Now) != nil || x.HasOffset && math.Abs(float64(x.Offset)) > 86400 {
					t.Fatalf("a record that cannot be: %+v", x)
				}
			}
		}
		for _, u := range b.Unworn {
			if u.Empty() || u.Start.Before(r.Window.Start) || u.End.After(r.Now) {
				t.Fatalf("unworn at a time that cannot be: %+v", u)
			}
		}
		for _, s := range b.Sessions {
			if !r.Window.Contains(s.Start) || ingest.CheckSession(s.Session, r.Now) != nil {
				t.Fatalf("a session that cannot be: %+v", s)
			}
		}
	})
}
