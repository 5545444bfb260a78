package withings

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

const (
	maxPages = 1000 // of one question; what needs more is no end
	// brief is the longest window that is read without looking first which of its days have anything: two days.
	brief = 50 * time.Hour
	// wide is how many days and workouts are asked for at once for longer windows, and wideLife how long they are kept
	// for the windows that follow.
	wide     = 180
	wideLife = 15 * time.Minute
	// late is how much later than its stamp a change may come to be seen.
	late = 5 * time.Minute
	// known is how far back Probe looks for a change when it has none to begin with.
	known = 30 * 24 * time.Hour

	dayFields     = "steps"
	minuteFields  = "steps,duration"
	workoutFields = "steps,pause_duration,algo_pause_duration"

	day = 24 * time.Hour
)

// A source asks Withings about one person.
type source struct {
	p      *Provider
	client *http.Client

	mu      sync.Mutex
	changed map[walking.Day]daily // as Changes has last told
	cursor  string                // for the next Changes
	told    *change               // what Probe has found of it already
	stamp   time.Time             // the newest change, for Probe
	diary   *diary                // of the last long window
}

// A change is the answer to what has changed since an instant, in unix seconds.
type change struct {
	since int64
	days  []daily
}

// A diary is what is known of many days: all from first to last, inclusive.
type diary struct {
	first, last walking.Day
	at          time.Time
	days        map[walking.Day]daily
	workouts    []walking.Session
	hasWorkouts bool
}

// Fetch returns the minutes in r.Window, and the workouts if they are wanted. A single entry that cannot be, such as
// one with more steps than anybody can do, is left out and logged, since it would stand in the way for ever; one that
// is not of the documented form is an error.
func (s *source) Fetch(ctx context.Context, r ingest.Request) (ingest.Batch, error) {
	d, err := s.days(ctx, r)
	if err != nil {
		return ingest.Batch{}, err
	}
	minutes, err := s.minutes(ctx, r, d)
	if err != nil {
		return ingest.Batch{}, err
	}
	left := ingest.NewLeftOut(s.p.log, service, "minutes", r)
	streams := [2]walking.Stream{}
	records := [2][]walking.Record{}
	for i, origin := range []string{"", "apps"} {
		streams[i] = walking.Stream{
			StreamKey: walking.StreamKey{Source: s.p.source, Origin: origin}, Device: walking.Wearable, Delivery: walking.Pulled,
			ReliableOffset: i == 0,
		}
	}
	streams[1].Device = walking.UnknownDevice
	for _, m := range append(minutes, totals(minutes, d.days, r)...) {
		if !left.Takes(ctx, m.Start, ingest.CheckRecord(m.Record, r.Now)) {
			continue
		}
		i := 0
		if m.apps {
			i = 1
		}
		m.Offset, m.HasOffset = offset(d.days, m.Start)
		records[i] = append(records[i], m.Record)
		if end := m.End(); end.After(streams[i].SyncedThrough) {
			streams[i].SyncedThrough = end
		}
	}
	left.Tell(ctx)
	var b ingest.Batch
	for i, st := range streams {
		cover := ingest.Cover{StreamKey: st.StreamKey, Window: r.Window, Part: ingest.RecordsOnly}
		if r.Sessions {
			cover.Part = ingest.All
		}
		b.Streams, b.Covers = append(b.Streams, st), append(b.Covers, cover)
		if len(records[i]) == 0 {
			continue
		}
		slices.SortFunc(records[i], func(a, b walking.Record) int {
			return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Duration, b.Duration))
		})
		b.Records = append(b.Records, walking.StreamRecords{StreamKey: st.StreamKey, Records: records[i]})
	}
	if r.Sessions {
		b.Sessions = s.sessions(ctx, r, d.workouts)
	}
	b.Totals = whole(d.days, r)
	return b, nil
}

// whole returns the totals of days that are over and lie in the window as a whole, in order.
func whole(days map[walking.Day]daily, r ingest.Request) []ingest.Total {
	var out []ingest.Total
	for _, date := range slices.Sorted(maps.Keys(days)) {
		d := days[date]
		w, ok := d.window()
		if ok && d.told && !w.Start.Before(r.Window.Start) && !w.End.After(r.Window.End) && !w.End.After(r.Now) {
			out = append(out, ingest.Total{Day: date, Steps: d.steps})
		}
	}
	return out
}

// sessions returns the workouts that start in the window, in order, each once.
func (s *source) sessions(ctx context.Context, r ingest.Request, workouts []walking.Session) []walking.StreamSession {
	left := ingest.NewLeftOut(s.p.log, service, "workouts", r)
	type id struct {
		start, end int64
		kind       walking.Kind
	}
	found := map[id]walking.Session{}
	for _, w := range workouts {
		if !r.Window.Contains(w.Start) {
			continue
		}
		w, reason, ok := checked(w, r.Now)
		left.Takes(ctx, w.Start, reason) // its steps alone, if ok
		if ok {
			found[id{w.Start.Unix(), w.End.Unix(), w.Kind}] = w // pages overlap if something comes in between
		}
	}
	left.Tell(ctx)
	var out []walking.StreamSession
	for _, w := range found {
		out = append(out, walking.StreamSession{StreamKey: walking.StreamKey{Source: s.p.source}, Session: w})
	}
	slices.SortFunc(out, func(a, b walking.StreamSession) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// around returns all dates that an instant of w has in some zone.
func around(w walking.Window) (first, last walking.Day) {
	return walking.DayOf(w.Start.UTC().Add(-12 * time.Hour).Date()), walking.DayOf(w.End.UTC().Add(14 * time.Hour).Date())
}

// days returns what is known of the days of a window, and its workouts if they are wanted: as Changes has just told, or
// as Withings says now. For long windows more is asked than is needed, and kept for those that follow.
func (s *source) days(ctx context.Context, r ingest.Request) (*diary, error) {
	first, last := around(r.Window)
	long := r.Window.Duration() > brief
	s.mu.Lock()
	kept, changed := s.diary, s.changed
	s.mu.Unlock()
	switch age := time.Duration(0); {
	case long && kept != nil:
		age = r.Now.Sub(kept.at)
		if age >= 0 && age < wideLife && kept.first <= first && last <= kept.last && (kept.hasWorkouts || !r.Sessions) {
			return kept, nil
		}
	case !long && knows(changed, r):
		d := &diary{days: changed}
		if r.Sessions {
			var err error
			d.workouts, err = s.workouts(ctx, first, last)
			return d, err
		}
		return d, nil
	}
	d := &diary{first: first, last: last, at: r.Now, hasWorkouts: r.Sessions}
	if long {
		d.first = last - wide + 1
	}
	list, err := s.activities(ctx, dates(d.first, d.last))
	if err != nil {
		return nil, err
	}
	d.days = byDate(list)
	if r.Sessions {
		if d.workouts, err = s.workouts(ctx, d.first, d.last); err != nil {
			return nil, err
		}
	}
	if long {
		s.mu.Lock()
		s.diary = d
		s.mu.Unlock()
	}
	return d, nil
}

// knows reports whether all days of a window that have begun are among those given.
func knows(days map[walking.Day]daily, r ingest.Request) bool {
	end := r.Window.End.Add(-1)
	if r.Now.Before(end) {
		end = r.Now
	}
	for d := r.Zones.Day(r.Window.Start); d <= r.Zones.Day(end); d++ {
		if _, ok := days[d]; !ok {
			return false
		}
	}
	return true
}

// byDate returns days by their date, the last of each: pages overlap if something comes in between. Where a date comes
// from several devices, it is theirs that has most.
func byDate(list []daily) map[walking.Day]daily {
	out := map[walking.Day]daily{}
	for _, d := range list {
		if old, ok := out[d.date]; !ok || old.apps == d.apps || d.steps > old.steps {
			out[d.date] = d
		}
	}
	return out
}

// minutes returns what was counted in the window. Of a long window the days of which Withings knows nothing are not
// asked for.
func (s *source) minutes(ctx context.Context, r ingest.Request, d *diary) ([]minute, error) {
	var out []minute
	for start := r.Window.Start; start.Before(r.Window.End) && !start.After(r.Now); start = start.Add(day) {
		// Always the full length: less has been seen to leave out the beginning.
		w := walking.Window{Start: start, End: start.Add(day)}
		if r.Window.Duration() > brief && !d.any(w) {
			continue
		}
		body, err := s.p.post(ctx, s.client, measurePath, url.Values{
			"action": {"getintradayactivity"}, "data_fields": {minuteFields},
			"startdate": {unix(w.Start)}, "enddate": {unix(w.End)},
		}, s)
		if err != nil {
			return nil, err
		}
		found, err := readMinutes(body)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if w.Contains(m.Start) && r.Window.Contains(m.Start) {
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// any reports whether Withings knows anything of a day that w touches in any zone.
func (d *diary) any(w walking.Window) bool {
	first, last := around(w)
	for date := first; date <= last; date++ {
		if _, ok := d.days[date]; ok {
			return true
		}
	}
	return false
}

// totals returns the days that begin in the window and have a total but no minutes with steps, each as one record. A
// day that goes on is told up to its last change.
func totals(minutes []minute, days map[walking.Day]daily, r ingest.Request) []minute {
	var out []minute
	for _, d := range days {
		w, ok := d.window()
		if !ok || d.steps <= 0 || !r.Window.Contains(w.Start) {
			continue
		}
		if !d.modified.IsZero() && d.modified.Before(w.End) {
			w.End = d.modified.Truncate(time.Minute)
		}
		if r.Now.Before(w.End) {
			w.End = r.Now.Truncate(time.Minute)
		}
		if w.Empty() || slices.ContainsFunc(minutes, func(m minute) bool { return m.Steps > 0 && w.Contains(m.Start) }) {
			continue
		}
		out = append(out, minute{walking.Record{Start: w.Start, Duration: w.Duration(), Steps: d.steps}, d.apps})
	}
	return out
}

// offset returns the UTC offset in seconds where the person was at t, if a day tells.
func offset(days map[walking.Day]daily, t time.Time) (seconds int, ok bool) {
	first, last := around(walking.Window{Start: t, End: t})
	for date := first; date <= last; date++ {
		d, ok := days[date]
		if !ok || d.zone == nil {
			continue
		}
		if local := t.In(d.zone); walking.DayOf(local.Date()) == date {
			_, seconds := local.Zone()
			return seconds, true
		}
	}
	return 0, false
}

// Probe returns when a tracker of the person last synced. Where there is none, as with a phone, or where the person has
// not granted the right to know, it is when a day last changed.
func (s *source) Probe(ctx context.Context) (time.Time, error) {
	devices, err := s.devices(ctx)
	if err != nil && !isScope(err) {
		return time.Time{}, err
	}
	var synced time.Time
	for _, d := range devices {
		if at := d.Session.instant(); isTracker(d) && at.After(synced) {
			synced = at
		}
	}
	if !synced.IsZero() {
		return synced, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	since, err := strconv.ParseInt(s.cursor, 10, 64)
	since -= int64(late / time.Second) // as Changes asks
	if err != nil {
		now := s.p.serverTime()
		if now.IsZero() {
			return time.Time{}, nil
		}
		since = now.Add(-known).Unix()
	}
	days, err := s.activities(ctx, sinceThen(since))
	if err != nil {
		return time.Time{}, err
	}
	s.told = &change{since, days}
	for _, d := range days {
		if d.modified.After(s.stamp) {
			s.stamp = d.modified
		}
	}
	return s.stamp, nil
}

// isTracker reports whether a device counts steps. Scales sync as well, and say nothing of steps.
func isTracker(d deviceJSON) bool { return strings.EqualFold(d.Type, "Activity Tracker") }

// Zone returns the time zone of the device that synced last, trackers first.
func (s *source) Zone(ctx context.Context) (*time.Location, error) {
	devices, err := s.devices(ctx)
	if err != nil {
		return nil, err
	}
	if zone := zoneOf(devices); zone != nil {
		return zone, nil
	}
	return nil, &ingest.Error{
		Class: ingest.Permanent, Err: fmt.Errorf("%s: no device tells a time zone", service),
	}
}

// Describe returns the trackers of the person, and the time zone.
func (s *source) Describe(ctx context.Context) (ingest.Description, error) {
	devices, err := s.devices(ctx)
	if isScope(err) {
		return ingest.Description{}, nil
	}
	if err != nil {
		return ingest.Description{}, err
	}
	d := ingest.Description{Zone: zoneOf(devices)}
	for _, one := range newestFirst(devices) {
		if isTracker(one) {
			d.Devices = append(d.Devices, ingest.Device{
				Name: string(one.Model), Synced: one.Session.instant(), Battery: string(one.Battery),
			})
		}
	}
	return d, nil
}

// newestFirst returns trackers before other devices, and of each the one that synced last first.
func newestFirst(devices []deviceJSON) []deviceJSON {
	return slices.SortedStableFunc(slices.Values(devices), func(a, b deviceJSON) int {
		if isTracker(a) != isTracker(b) {
			if isTracker(a) {
				return -1
			}
			return 1
		}
		return b.Session.instant().Compare(a.Session.instant())
	})
}

// zoneOf returns the first time zone that is known here; nil if none is.
func zoneOf(devices []deviceJSON) *time.Location {
	for _, d := range newestFirst(devices) {
		if zone, err := walking.ParseZone(d.Zone); err == nil {
			return zone
		}
	}
	return nil
}

// Changes returns the dates that have changed. A cursor is an instant on Withings' clock, in unix seconds.
func (s *source) Changes(ctx context.Context, cursor string) ([]walking.Window, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil {
		s.changed, s.told = nil, nil
		if now := s.p.serverTime(); !now.IsZero() {
			s.cursor = unix(now.Add(-late))
		}
		return nil, s.cursor, nil
	}
	since -= int64(late / time.Second)
	var days []daily
	if s.told != nil && s.told.since == since {
		days = s.told.days
	} else if days, err = s.activities(ctx, sinceThen(since)); err != nil {
		return nil, "", err
	}
	s.told = nil
	newest, now := since+int64(late/time.Second), s.p.serverTime()
	for _, d := range days {
		if d.modified.After(time.Unix(newest, 0)) && (now.IsZero() || !d.modified.After(now)) {
			newest = d.modified.Unix()
		}
	}
	s.changed, s.diary = byDate(days), nil
	s.cursor = strconv.FormatInt(newest, 10)
	return runs(s.changed), s.cursor, nil
}

// runs returns the windows of days, those that touch as one.
func runs(days map[walking.Day]daily) []walking.Window {
	var out []walking.Window
	for _, date := range slices.Sorted(maps.Keys(days)) {
		w, ok := days[date].window()
		if !ok { // somewhere on earth
			w = walking.Window{Start: date.In(time.UTC).Add(-14 * time.Hour), End: (date + 1).In(time.UTC).Add(12 * time.Hour)}
		}
		if n := len(out); n > 0 && !w.Start.After(out[n-1].End) {
			if w.End.After(out[n-1].End) {
				out[n-1].End = w.End
			}
			continue
		}
		out = append(out, w)
	}
	return out
}

// dates asks for the days from first to last, inclusive.
func dates(first, last walking.Day) url.Values {
	return url.Values{"startdateymd": {first.String()}, "enddateymd": {last.String()}}
}

// sinceThen asks for what has changed since an instant in unix seconds.
func sinceThen(seconds int64) url.Values {
	return url.Values{"lastupdate": {strconv.FormatInt(seconds, 10)}}
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func (s *source) activities(ctx context.Context, which url.Values) ([]daily, error) {
	which.Set("action", "getactivity")
	which.Set("data_fields", dayFields)
	var out []daily
	err := s.pages(ctx, measurePath, which, "activities", func(raw json.RawMessage) error {
		d, err := readDaily(raw)
		out = append(out, d)
		return err
	})
	return out, err
}

func (s *source) workouts(ctx context.Context, first, last walking.Day) ([]walking.Session, error) {
	which := dates(first, last)
	which.Set("action", "getworkouts")
	which.Set("data_fields", workoutFields)
	var out []walking.Session
	err := s.pages(ctx, measurePath, which, "series", func(raw json.RawMessage) error {
		w, ok, err := readWorkout(raw)
		if ok {
			out = append(out, w)
		}
		return err
	})
	return out, err
}

// devices returns the devices of the person, as they were told in the last ten seconds if they were: Withings does not
// take the same question sooner.
func (s *source) devices(ctx context.Context) ([]deviceJSON, error) {
	select {
	case s.p.looking <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("withings: %w", ctx.Err())
	}
	defer func() { <-s.p.looking }()
	s.p.mu.Lock()
	seen, age := s.p.seen, s.p.clock.Now().Sub(s.p.seenAt)
	s.p.mu.Unlock()
	if age >= 0 && age < repeatAfter {
		return seen, nil
	}
	var out []deviceJSON
	err := s.pages(ctx, userPath, url.Values{"action": {"getdevice"}}, "devices", func(raw json.RawMessage) error {
		var d deviceJSON
		if err := json.Unmarshal(raw, &d); err != nil {
			return noSense(err)
		}
		out = append(out, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.p.mu.Lock()
	s.p.seen, s.p.seenAt = out, s.p.clock.Now()
	s.p.mu.Unlock()
	return out, nil
}

// pages hands every element of every page of a listing to take, whose errors are about the form of the element.
func (s *source) pages(
	ctx context.Context, path string, form url.Values, list string, take func(json.RawMessage) error,
) error {
	seen := map[string]bool{}
	for range maxPages {
		body, err := s.p.post(ctx, s.client, path, form, s)
		if err != nil {
			return err
		}
		m, err := members(body, list)
		if err != nil {
			return err
		}
		found, err := elements(m[list])
		if err != nil {
			return err
		}
		for _, raw := range found {
			if empty(raw) {
				continue
			}
			if err := take(raw); err != nil {
				return err
			}
		}
		if !wantsMore(m["more"]) {
			return nil
		}
		var at number
		if err := json.Unmarshal(m["offset"], &at); err != nil || !at.told {
			return noSense(errors.New("it says that there is more, and not where"))
		}
		next := strconv.FormatFloat(at.n, 'f', 0, 64)
		if seen[next] {
			return noSense(errors.New("its pages repeat without end"))
		}
		seen[next] = true
		form.Set("offset", next)
	}
	return noSense(fmt.Errorf("it has more than %d pages", maxPages))
}

// isScope reports whether the consent lacks the right to what was asked.
func isScope(err error) bool {
	var told *refusal
	return errors.As(err, &told) && lacksRight(told.status)
}

// post asks Withings on behalf of by, see turn, and returns the body of its answer. A refusal is a *refusal in an
// *ingest.Error. If Withings says that it was asked the same a moment ago, as by a walkd that has just ended, it is
// asked once more after that.
func (p *Provider) post(
	ctx context.Context, client *http.Client, path string, form url.Values, by any,
) (json.RawMessage, error) {
	if err := p.turn(ctx, path+"?"+form.Encode(), by); err != nil {
		return nil, fmt.Errorf("withings: %w", err)
	}
	body, told, err := p.postOnce(ctx, client, path, form)
	if told != nil && told.status == 601 && told.repeat && max(told.wait, repeatAfter) <= soonest {
		if err := p.wait(ctx, max(told.wait, repeatAfter)); err != nil {
			return nil, fmt.Errorf("withings: %w", err)
		}
		body, told, err = p.postOnce(ctx, client, path, form)
	}
	if told != nil {
		return nil, told.failure()
	}
	return body, err
}

func (p *Provider) postOnce(
	ctx context.Context, client *http.Client, path string, form url.Values,
) (json.RawMessage, *refusal, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.api+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, fmt.Errorf("withings: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("withings: %w", err)
	}
	p.note(resp)
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, nil, statusFailure(resp, p.clock.Now())
	}
	defer resp.Body.Close()
	var e envelope
	if err := ingest.ReadJSON(service, resp, &e); err != nil {
		if ctx.Err() != nil { // nobody's failure
			return nil, nil, fmt.Errorf("withings: %w", ctx.Err())
		}
		return nil, nil, err
	}
	if !e.Status.told {
		return nil, nil, noSense(errors.New("it has no status"))
	}
	secrets := []string{
		form.Get("code"), form.Get("refresh_token"), form.Get("client_secret"), form.Get("nonce"), form.Get("signature"),
	}
	if resp.Request != nil {
		secrets = append(secrets, strings.TrimPrefix(resp.Request.Header.Get("Authorization"), "Bearer "))
	}
	return e.Body, e.refusal(secrets...), nil
}
