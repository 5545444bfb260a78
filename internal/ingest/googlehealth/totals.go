package googlehealth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// maxTotals is how many days are asked for at once. The documented range has 90. By Google's reference its end is the day
// after the last, by examples in its guides the last day. So the day after is asked for, which is right by both and one too
// many by the second: what is not wanted is not looked at.
const maxTotals = totalsSize - 1

// What is used of the API's schemas.
type (
	totalsRequest struct { // DailyRollUpDataPointsRequest
		Range          civilRange `json:"range"`
		WindowSizeDays int        `json:"windowSizeDays"`
		PageSize       int        `json:"pageSize"`
		PageToken      string     `json:"pageToken,omitempty"`
	}
	civilRange struct { // CivilTimeInterval
		Start civilTime `json:"start"`
		End   civilTime `json:"end"`
	}
	civilTime struct { // CivilDateTime; without a time it is midnight
		Date civilDate `json:"date"`
	}
	civilDate struct { // Date
		Year  int `json:"year"`
		Month int `json:"month"`
		Day   int `json:"day"`
	}
	totalPoint struct { // DailyRollupDataPoint
		CivilStartTime civilTime `json:"civilStartTime"`
		Steps          *struct {
			CountSum integer `json:"countSum"` // missing: zero
		} `json:"steps"` // missing: the device was not worn
	}
)

func midnight(d walking.Day) civilTime {
	year, month, day := d.Date()
	return civilTime{civilDate{year, int(month), day}}
}

// day returns the date of t, and whether it is one.
func (t civilTime) day() (walking.Day, bool) {
	d := walking.DayOf(t.Date.Year, time.Month(t.Date.Month), t.Date.Day)
	return d, t.Date.Year > 0 && midnight(d) == t
}

// Totals implements ingest.Totaler, with a request for every 89 days. The dates are those that the person's clock showed.
// A day on which no device was worn has no total, and one on which nobody walked has one of zero. Google leaves out what a
// device counted while it was not worn, which the records hold.
func (s *source) Totals(ctx context.Context, first, last walking.Day) ([]ingest.Total, error) {
	var out []ingest.Total
	for ; last >= first; last -= maxTotals {
		some, err := s.totals(ctx, max(first, last-maxTotals+1), last)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	slices.SortFunc(out, func(a, b ingest.Total) int { return cmp.Compare(a.Day, b.Day) })
	return out, nil
}

// totals returns the totals of as many days as can be asked for at once.
func (s *source) totals(ctx context.Context, first, last walking.Day) ([]ingest.Total, error) {
	q := totalsRequest{
		Range: civilRange{Start: midnight(first), End: midnight(last + 1)}, WindowSizeDays: 1, PageSize: totalsSize,
	}
	var out []ingest.Total
	seen := map[walking.Day]bool{}
	ask := func(ctx context.Context, token string) (*http.Response, error) {
		q.PageToken = token
		return s.post(ctx, totalsPath, q)
	}
	err := pages(ctx, ask, "rollupDataPoints", func(p *totalPoint) error {
		day, ok := p.CivilStartTime.day()
		switch {
		case !ok:
			return errors.New("a total has no date")
		case day < first || day > last || p.Steps == nil:
			return nil
		case p.Steps.CountSum.n < 0:
			return errors.New("a total is negative")
		case seen[day]:
			return fmt.Errorf("%s has two totals", day)
		}
		seen[day] = true
		out = append(out, ingest.Total{Day: day, Steps: float64(p.Steps.CountSum.n)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
