package oura

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// maxPages is how many pages one question has; what needs more is no end.
const maxPages = 1000

// A source asks Oura about one person.
type source struct {
	p      *Provider
	client *http.Client
}

// Fetch returns the steps in r.Window, the times unworn, and the workouts if they are wanted and the consent allows them.
// A single entry that cannot be, such as one with more steps than anybody can do, is left out and logged; one that is
// not of the documented form is an error.
func (s *source) Fetch(ctx context.Context, r ingest.Request) (ingest.Batch, error) {
	days, err := s.days(ctx, r)
	if err != nil {
		return ingest.Batch{}, err
	}
	stream := walking.Stream{
		StreamKey: walking.StreamKey{Source: s.p.source}, Device: walking.Wearable, Delivery: walking.Pulled,
		ReliableOffset: true, SyncedThrough: synced(days, r.Now),
	}
	b := ingest.Batch{
		Streams: []walking.Stream{stream},
		Covers:  []ingest.Cover{{StreamKey: stream.StreamKey, Window: r.Window, Part: ingest.RecordsOnly}},
	}
	var records []walking.Record
	left := ingest.NewLeftOut(s.p.log, service, "steps", r)
	for i, d := range days {
		var next *day
		if i+1 < len(days) {
			next = days[i+1]
		}
		for _, rec := range d.records(next, r.Now) {
			if r.Window.Contains(rec.Start) && left.Takes(ctx, rec.Start, ingest.CheckRecord(rec, r.Now)) {
				records = append(records, rec)
			}
		}
		for _, w := range d.unworn(r.Now) {
			if w, ok := within(w, walking.Window{Start: r.Window.Start, End: earlier(r.Window.End, r.Now)}); ok {
				b.Unworn = append(b.Unworn, ingest.Unworn{StreamKey: stream.StreamKey, Window: w})
			}
		}
	}
	left.Tell(ctx)
	if len(records) > 0 {
		b.Records = []walking.StreamRecords{{StreamKey: stream.StreamKey, Records: records}}
	}
	if !r.Sessions || s.p.noWorkouts.Load() {
		return b, nil
	}
	sessions, err := s.workouts(ctx, r)
	switch {
	case isForbidden(err):
		// The membership is fine, since the days came, so it is the right that is missing. Steps are worth having alone.
		if !s.p.noWorkouts.Swap(true) && s.p.log != nil {
			s.p.log.InfoContext(ctx, "the consent does not let walkd read workouts: steps come without them")
		}
		return b, nil
	case err != nil:
		return ingest.Batch{}, err
	}
	b.Covers[0].Part = ingest.All
	for _, one := range sessions {
		b.Sessions = append(b.Sessions, walking.StreamSession{StreamKey: stream.StreamKey, Session: one})
	}
	return b, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// within returns the part of w that lies in o, if there is any.
func within(w, o walking.Window) (walking.Window, bool) {
	if w.Start.Before(o.Start) {
		w.Start = o.Start
	}
	w.End = earlier(w.End, o.End)
	return w, !w.Empty()
}

// dates returns what to ask for a window. The first hours of a date belong to the day before. That is not the first that
// is asked for, and today not the last, since it is not certain whether Oura includes these.
func dates(r ingest.Request) url.Values {
	first := r.Zones.Day(r.Window.Start) - 2
	last := r.Zones.Day(earlier(r.Window.End.Add(-1), r.Now)) + 1
	return url.Values{"start_date": {first.String()}, "end_date": {max(first, last).String()}}
}

// days returns the days of which something may lie in the window, in order.
func (s *source) days(ctx context.Context, r ingest.Request) ([]*day, error) {
	var out []*day
	err := pages(ctx, s, activityPath, dates(r), func(v *dailyJSON) error {
		d, err := v.day(r.Zones)
		out = append(out, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return arrange(out), nil
}

// workouts returns the sessions that start in the window, in order, each once.
func (s *source) workouts(ctx context.Context, r ingest.Request) ([]walking.Session, error) {
	var out []walking.Session
	seen := map[string]bool{} // pages overlap if something comes in between
	left := ingest.NewLeftOut(s.p.log, service, "workouts", r)
	err := pages(ctx, s, workoutPath, dates(r), func(v *workoutJSON) error {
		one, measured, err := v.session(r.Zones)
		switch {
		case err != nil:
			return err
		case !measured || v.ID != "" && seen[v.ID] || !r.Window.Contains(one.Start):
			return nil
		}
		seen[v.ID] = true
		if left.Takes(ctx, one.Start, ingest.CheckSession(one, r.Now)) {
			out = append(out, one)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	left.Tell(ctx)
	slices.SortFunc(out, func(a, b walking.Session) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.Kind, b.Kind))
	})
	return slices.Compact(out), nil
}

// isForbidden reports whether Oura itself has said 403.
func isForbidden(err error) bool {
	var told *ingest.Error
	return errors.As(err, &told) && told.Status == http.StatusForbidden && told.Class != ingest.Transient
}

// A page is one of a listing.
type page[D any] struct {
	Data *[]D    `json:"data"`
	Next *string `json:"next_token"`
}

// pages hands every document of every page of the answer to take, whose errors are about the form of the document. Pages
// may be empty and not be the last.
func pages[D any](ctx context.Context, s *source, path string, q url.Values, take func(*D) error) error {
	seen := map[string]bool{}
	for range maxPages {
		p, err := onePage[D](ctx, s, path, q)
		if err != nil {
			return err
		}
		for i := range *p.Data {
			if err := take(&(*p.Data)[i]); err != nil {
				return noSense(err)
			}
		}
		if p.Next == nil || *p.Next == "" {
			return nil
		}
		if seen[*p.Next] {
			return noSense(errRepeats)
		}
		seen[*p.Next] = true
		q.Set("next_token", *p.Next)
	}
	return noSense(fmt.Errorf("it has more than %d pages", maxPages))
}

func onePage[D any](ctx context.Context, s *source, path string, q url.Values) (p page[D], err error) {
	resp, err := s.ask(ctx, path, q)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	if err := ingest.ReadJSON(service, resp, &p); err != nil {
		return p, ended(ctx, err)
	}
	if p.Data == nil {
		return p, noSense(errNoData)
	}
	return p, nil
}

// ask returns the answer to a question if it is a good one. Its body is to be closed.
func (s *source) ask(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	address := s.p.api + path
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("oura: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("oura: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	if refused := refusal(resp); refused != nil {
		return nil, ended(ctx, refused)
	}
	return nil, noSense(fmt.Errorf("it has the status %d", resp.StatusCode))
}
