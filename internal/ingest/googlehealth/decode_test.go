package googlehealth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/walkd/walkd/internal/ingest/googlehealth"
)

// FuzzReadSteps holds the reading of pages against encoding/json, which reads them in one go, and against itself when
// the same bytes come in pieces or the same points in several pages.
func FuzzReadSteps(f *testing.F) {
	f.Add([]byte(sample(f, "steps.json")), uint8(7))
	f.Add([]byte(`{}`), uint8(1))
	f.Add([]byte(`{"dataPoints":null,"nextPageToken":"a","x":[{}]}`), uint8(2))
	start := at("2026-11-02T10:00:00Z")
	f.Add([]byte(pageOf("t", point(start, 1, "5"), point(start.Add(-time.Minute), 1, ""))), uint8(3))
	f.Add([]byte(`{"error":{"code":403}}`), uint8(3))
	f.Fuzz(func(t *testing.T, page []byte, size uint8) {
		records, token, err := googlehealth.ReadSteps(strings.NewReader(string(page)))
		inPieces, tokenToo, errToo := googlehealth.ReadSteps(&pieces{rest: page, size: int(size)%64 + 1})
		if d := cmp.Diff(records, inPieces); d != "" || token != tokenToo || (err == nil) != (errToo == nil) {
			t.Fatalf("in pieces: error %v and %v, token %q and %q:\n%s", err, errToo, token, tokenToo, d)
		}
		if err != nil {
			return
		}
		// What is taken is JSON, and package json finds the same in it.
		if !json.Valid(page) {
			t.Fatalf("taken in spite of %q being no JSON", page)
		}
		var raw struct {
			DataPoints []json.RawMessage `json:"dataPoints"`
		}
		var whole googlehealth.StepsPage
		if json.Unmarshal(page, &whole) != nil || json.Unmarshal(page, &raw) != nil || repeats(page) {
			return // keys in another case, or twice
		}
		want, err := whole.Records()
		if d := cmp.Diff(want, records, cmpopts.EquateEmpty()); err != nil || d != "" || token != whole.NextPageToken {
			t.Fatalf("package json: error %v, token %q and %q (-want +got):\n%s", err, whole.NextPageToken, token, d)
		}
		cut := min(int(size), len(raw.DataPoints))
		var split []googlehealth.Record
		for _, part := range [][]json.RawMessage{raw.DataPoints[:cut], raw.DataPoints[cut:]} {
			text, err := json.Marshal(map[string]any{"dataPoints": part})
			if err != nil {
				t.Fatal(err)
			}
			some, _, err := googlehealth.ReadSteps(strings.NewReader(string(text)))
			if err != nil {
				t.Fatalf("a part of the page: %v", err)
			}
			split = append(split, some...)
		}
		if d := cmp.Diff(records, split, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("in two pages (-one +two):\n%s", d)
		}
	})
}

// repeats reports whether the page has keys of ours more than once or in another case, which package json takes alike.
func repeats(page []byte) bool {
	d := json.NewDecoder(strings.NewReader(string(page)))
	seen := map[string]int{}
	if _, err := d.Token(); err != nil {
		return true
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return true
		}
		seen[strings.ToLower(fmt.Sprint(name))]++
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return true
		}
		for _, key := range []string{"dataPoints", "nextPageToken"} {
			if strings.EqualFold(fmt.Sprint(name), key) && (name != key || seen[strings.ToLower(key)] > 1) {
				return true
			}
		}
	}
	return false
}

// pieces hands out a few bytes at a time.
type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(p.size, len(p.rest))])
	p.rest = p.rest[n:]
	return n, nil
}

// fullPages returns pages as Google writes them, compact, of so many days of minutes with civil times and all.
func fullPages(days int) (pages []string, points int) {
	end := at("2026-11-02T00:00:00Z")
	civil := func(t time.Time) string {
		clock := ""
		if t.Hour() > 0 {
			clock = fmt.Sprintf(`"hours":%d`, t.Hour())
		}
		if t.Minute() > 0 {
			clock = strings.TrimPrefix(clock+fmt.Sprintf(`,"minutes":%d`, t.Minute()), ",")
		}
		return fmt.Sprintf(`{"date":{"year":%d,"month":%d,"day":%d},"time":{%s}}`, t.Year(), t.Month(), t.Day(), clock)
	}
	var page strings.Builder
	const size = 10_000
	flush := func(token string) {
		pages = append(pages, `{"dataPoints":[`+page.String()+`],"nextPageToken":"`+token+`"}`)
		page.Reset()
	}
	for i := range days * 24 * 60 {
		if i > 0 && i%size == 0 {
			flush(fmt.Sprint("after ", i))
		}
		if page.Len() > 0 {
			page.WriteByte(',')
		}
		start := end.Add(-time.Duration(i+1) * time.Minute)
		fmt.Fprintf(&page, `{"steps":{"interval":{"startTime":%q,"startUtcOffset":"3600s","endTime":%q,`+
			`"endUtcOffset":"3600s","civilStartTime":%s,"civilEndTime":%s}`,
			start.Format(time.RFC3339), start.Add(time.Minute).Format(time.RFC3339),
			civil(start.Add(time.Hour)), civil(start.Add(time.Hour+time.Minute)))
		if i%4 == 0 {
			fmt.Fprintf(&page, `,"count":"%d"`, 1+i%120)
		}
		page.WriteString(`}}`)
		points++
	}
	flush("")
	return pages, points
}

// BenchmarkReadSteps measures what reading the minutes of a day and of 28 costs, all of them sent, zeros included: ours
// holds one point of JSON at a time, package json takes a page in one go.
func BenchmarkReadSteps(b *testing.B) {
	for _, days := range []int{1, 28} {
		pages, points := fullPages(days)
		size := 0
		for _, p := range pages {
			size += len(p)
		}
		run := func(name string, read func(page string) (int, error)) {
			b.Run(fmt.Sprintf("days=%d/%s", days, name), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					n := 0
					for _, p := range pages {
						some, err := read(p)
						if err != nil {
							b.Fatal(err)
						}
						n += some
					}
					if n != points {
						b.Fatalf("%d points, want %d", n, points)
					}
				}
				b.ReportMetric(float64(b.N)*float64(points)/b.Elapsed().Seconds(), "points/s")
			})
		}
		run("streamed", func(page string) (int, error) {
			records, _, err := googlehealth.ReadSteps(strings.NewReader(page))
			return len(records), err
		})
		run("whole", func(page string) (int, error) {
			text, err := io.ReadAll(strings.NewReader(page))
			if err != nil {
				return 0, err
			}
			var v googlehealth.StepsPage
			if err := json.Unmarshal(text, &v); err != nil {
				return 0, err
			}
			records, err := v.Records()
			return len(records), err
		})
	}
}
