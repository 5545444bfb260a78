package polar

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	longestAsk = 28 // days of one call, both ends included
	// oldestDay is how many days before today can be asked for; documented are 365. Which day is today is Polar's to say.
	oldestDay = 364
	// exercisesKept is of which time all exercises are listed. Documented are those uploaded in the last 30 days, and
	// none is uploaded before it begins.
	exercisesKept = 29 * 24 * time.Hour
)

// A source asks Polar about one person.
type source struct {
	p      *Provider
	client *http.Client
}

var (
	_ ingest.Source    = (*source)(nil)
	_ ingest.Describer = (*source)(nil)
)

// Fetch returns the minutes in r.Window with steps, the times unworn, and the exercises if they are wanted, as far as
// Polar keeps them: a year and 30 days. What is older is not asked for. It covers the days that Polar tells of, and the
// time of the exercises that it has ever listed: nothing at all is told to a client with which the person is registered
// anew, and that is no reason to remove what was told before.
func (s *source) Fetch(ctx context.Context, r ingest.Request) (ingest.Batch, error) {
	b := ingest.Batch{Streams: []walking.Stream{{
		StreamKey: walking.StreamKey{Source: s.p.source}, Device: walking.Wearable, Delivery: walking.Pulled,
	}}}
	first, last := dates(r)
	if first = max(first, r.Zones.Day(r.Now)-oldestDay); first <= last {
		if err := s.addDays(ctx, &b, r, first, last); err != nil {
			return ingest.Batch{}, err
		}
	}
	if kept := r.Now.Add(-exercisesKept); r.Sessions && r.Window.End.After(kept) {
		if err := s.addSessions(ctx, &b, r, kept); err != nil {
			return ingest.Batch{}, err
		}
	}
	return b, nil
}

// addDays adds what Polar has of the dates to b.
func (s *source) addDays(ctx context.Context, b *ingest.Batch, r ingest.Request, first, last walking.Day) error {
	days, err := s.days(ctx, r, first, last)
	if err != nil {
		return err
	}
	stream := &b.Streams[0]
	var records []walking.Record
	left := ingest.NewLeftOut(s.p.log, service, "minutes", r)
	for _, d := range days {
		if d.date < first || d.date > last {
			continue
		}
		if d.known.After(stream.SyncedThrough) {
			stream.SyncedThrough = d.known
		}
		whole := d.told && d.date < r.Zones.Day(r.Now)
		for _, span := range r.Zones.Spans(d.date) {
			w, ok := within(span, r.Window)
			if ok {
				b.Covers = append(b.Covers, ingest.Cover{StreamKey: stream.StreamKey, Window: w, Part: ingest.RecordsOnly})
			}
			whole = whole && w == span
		}
		if whole {
			b.Totals = append(b.Totals, ingest.Total{Day: d.date, Steps: d.total})
		}
		if d.rest != nil {
			d.add(*d.rest)
		}
		for _, rec := range d.records {
			if r.Window.Contains(rec.Start) && left.Takes(ctx, rec.Start, ingest.CheckRecord(rec, r.Now)) {
				records = append(records, rec)
			}
		}
		for _, u := range d.unworn {
			if u, ok := within(u, r.Window); ok {
				b.Unworn = append(b.Unworn, ingest.Unworn{StreamKey: stream.StreamKey, Window: u})
			}
		}
	}
	s.tell(ctx, left, "minutes", r)
	if len(records) > 0 {
		slices.SortStableFunc(records, func(a, b walking.Record) int {
			return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Duration, b.Duration))
		})
		b.Records = []walking.StreamRecords{{StreamKey: stream.StreamKey, Records: records}}
	}
	return nil
}

// within returns the part of w that lies in o, if there is any.
func within(w, o walking.Window) (walking.Window, bool) {
	if w.Start.Before(o.Start) {
		w.Start = o.Start
	}
	if w.End.After(o.End) {
		w.End = o.End
	}
	return w, !w.Empty()
}

// dates returns the dates that clocks showed in the window, up to today; last is before first if there are none.
func dates(r ingest.Request) (first, last walking.Day) {
	a, b := r.Zones.Day(r.Window.Start), r.Zones.Day(r.Window.End.Add(-1))
	first, last = max(a, b)+2, min(a, b)-2
	for d := min(a, b) - 1; d <= max(a, b)+1; d++ { // on travel the dates are in another order than the instants
		for _, span := range r.Zones.Spans(d) {
			if span.Overlaps(r.Window) {
				first, last = min(first, d), max(last, d)
			}
		}
	}
	return first, min(last, r.Zones.Day(r.Now))
}

// days returns what Polar has of the dates.
func (s *source) days(ctx context.Context, r ingest.Request, first, last walking.Day) ([]*day, error) {
	var out []*day
	for ; first <= last; first += longestAsk {
		var told list[activity]
		err := s.list(ctx, activitiesPath, url.Values{
			"from": {first.String()}, "to": {min(last, first+longestAsk-1).String()}, "steps": {"true"},
			"activity_zones": {"true"},
		}, &told, &told.told)
		if err != nil {
			return nil, err
		}
		for i := range told.items {
			d, err := told.items[i].day(r.Zones, r.Now)
			if err != nil {
				return nil, noSense(err)
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// addSessions adds the exercises from an instant on, in order, each once.
func (s *source) addSessions(ctx context.Context, b *ingest.Batch, r ingest.Request, from time.Time) error {
	var told list[exercise]
	if err := s.list(ctx, exercisesPath, nil, &told, &told.told); err != nil {
		return err
	}
	var sessions []walking.Session
	left := ingest.NewLeftOut(s.p.log, service, "exercises", r)
	for i := range told.items {
		one, err := told.items[i].session(r.Zones)
		if err != nil {
			return noSense(err)
		}
		if left.Takes(ctx, one.Start, ingest.CheckSession(one, r.Now)) {
			sessions = append(sessions, one)
		}
	}
	s.tell(ctx, left, "exercises", r)
	slices.SortFunc(sessions, func(a, b walking.Session) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.Kind, b.Kind))
	})
	if listed := s.listed(sessions); listed.After(from) {
		from = listed
	} else if listed.IsZero() {
		return nil
	}
	w, ok := within(walking.Window{Start: from, End: r.Window.End}, r.Window)
	if !ok {
		return nil
	}
	key := b.Streams[0].StreamKey
	b.Covers = append(b.Covers, ingest.Cover{StreamKey: key, Window: w, Part: ingest.SessionsOnly})
	for _, one := range slices.Compact(sessions) {
		if w.Contains(one.Start) {
			b.Sessions = append(b.Sessions, walking.StreamSession{StreamKey: key, Session: one})
		}
	}
	return nil
}

// listed returns the start of the oldest exercise that was ever listed; zero if none was.
func (s *source) listed(sessions []walking.Session) time.Time {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if len(sessions) > 0 && (s.p.listed.IsZero() || sessions[0].Start.Before(s.p.listed)) {
		s.p.listed = sessions[0].Start
	}
	return s.p.listed
}

// Describe returns the devices with which exercises were recorded that Polar lists: those of the last 30 days. It knows
// of no others, and not when they have synced.
func (s *source) Describe(ctx context.Context) (ingest.Description, error) {
	var told list[exercise]
	if err := s.list(ctx, exercisesPath, nil, &told, &told.told); err != nil {
		return ingest.Description{}, err
	}
	slices.SortStableFunc(told.items, func(a, b exercise) int { return cmp.Compare(b.UploadTime, a.UploadTime) })
	var d ingest.Description
	for _, x := range told.items {
		one := ingest.Device{Name: x.Device}
		if countsSteps(x.Device) && !slices.Contains(d.Devices, one) {
			d.Devices = append(d.Devices, one)
		}
	}
	return d, nil
}

// countsSteps reports whether a device may be one that is worn all day. Polar's apps and heart rate sensors are not.
func countsSteps(device string) bool {
	switch strings.TrimPrefix(device, "Polar ") {
	case "", "Beat", "Flow", "H6", "H7", "H9", "H10", "OH1", "OH1+", "Verity Sense":
		return false
	}
	return true
}

// ask sends a question.
func (s *source) ask(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	address := s.p.api + path
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("polar: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("polar: %w", err)
	}
	return resp, nil
}

// list reads the list that is the answer to a question into v, which sets told. An answer without content is an empty
// list.
func (s *source) list(ctx context.Context, path string, q url.Values, v any, told *bool) error {
	resp, err := s.ask(ctx, path, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusOK:
	default:
		if err := refusal(resp); err != nil {
			return ended(ctx, err)
		}
		return noSense(fmt.Errorf("it has the status %d", resp.StatusCode))
	}
	if err := ingest.ReadJSON(service, resp, v); err != nil {
		return ended(ctx, err)
	}
	if !*told { // null
		return noSense(errNoList)
	}
	return nil
}

// tell logs what was left out of an answer.
func (s *source) tell(ctx context.Context, left *ingest.LeftOut, what string, r ingest.Request) {
	left.TellCount(ctx)
	if late := left.Late(); late > 0 && s.p.log != nil {
		s.p.log.WarnContext(ctx, "some of it lies in the future: set the clock of this machine, or tell the config where the "+
			"person is, since Polar says no time zone", "what", what, "count", late, "now", r.Now.UTC().Format(time.RFC3339))
	}
}
