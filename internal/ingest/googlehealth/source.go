package googlehealth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/walking"
)

// A source asks Google Health about one person.
type source struct {
	p      *Provider
	client *http.Client
}

// The paths, and how much is asked for at once: the documented maximum.
const (
	stepsPath    = "/v4/users/me/dataTypes/steps/dataPoints:reconcile"
	totalsPath   = "/v4/users/me/dataTypes/steps/dataPoints:dailyRollUp"
	exercisePath = "/v4/users/me/dataTypes/exercise/dataPoints:reconcile"
	devicesPath  = "/v4/users/me/pairedDevices"
	settingsPath = "/v4/users/me/settings"

	stepsSize    = 10_000
	exerciseSize = 25
	devicesSize  = 100
	totalsSize   = 90

	maxPages = 1000 // of one question; what needs more is no end
)

// Fetch returns the steps in r.Window, the times unworn, and the exercises if they are wanted. A single point that
// cannot be, such as one with more steps than anybody can do, is left out and logged, since it would stand in the way
// for ever; one that is not of the documented form is an error.
func (s *source) Fetch(ctx context.Context, r ingest.Request) (ingest.Batch, error) {
	key := walking.StreamKey{Source: s.p.source}
	records, err := s.steps(ctx, r)
	if err != nil {
		return ingest.Batch{}, err
	}
	cover := ingest.Cover{StreamKey: key, Window: r.Window, Part: ingest.RecordsOnly}
	var sessions []walking.StreamSession
	if r.Sessions {
		cover.Part = ingest.All
		found, err := s.exercises(ctx, r)
		if err != nil {
			return ingest.Batch{}, err
		}
		for _, f := range found {
			sessions = append(sessions, walking.StreamSession{StreamKey: key, Session: f})
		}
	}
	stream := walking.Stream{
		StreamKey: key, Device: walking.Wearable, Delivery: walking.Pulled, ReliableOffset: true,
	}
	for _, rec := range records {
		if rec.End().After(stream.SyncedThrough) {
			stream.SyncedThrough = rec.End()
		}
	}
	b := ingest.Batch{Streams: []walking.Stream{stream}, Covers: []ingest.Cover{cover}, Sessions: sessions}
	if len(records) > 0 {
		b.Records = []walking.StreamRecords{{StreamKey: key, Records: records}}
	}
	for _, w := range unworn(records, r.Window, r.Zones) {
		b.Unworn = append(b.Unworn, ingest.Unworn{StreamKey: key, Window: w})
	}
	return b, nil
}

// steps returns the records that start in the window, in order, each start and length once.
func (s *source) steps(ctx context.Context, r ingest.Request) ([]walking.Record, error) {
	const field = "steps.interval.start_time"
	q := query(stepsSize, fmt.Sprintf("%s >= %q AND %s < %q",
		field, instant(r.Window.Start), field, instant(r.Window.End)))
	var records []walking.Record
	left := s.leftOut("data points", r)
	err := pages(ctx, s.listing(stepsPath, q), "dataPoints", func(p *stepsPoint) error {
		rec, err := p.record()
		if err != nil {
			return err
		}
		if !r.Window.Contains(rec.Start) {
			return nil
		}
		if left.Takes(ctx, rec.Start, ingest.CheckRecord(rec, r.Now)) {
			records = append(records, rec)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	left.Tell(ctx)
	return lastOfEach(records, func(a, b walking.Record) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Duration, b.Duration))
	}), nil
}

// exercises returns the sessions that start in the window, in order, each once.
func (s *source) exercises(ctx context.Context, r ingest.Request) ([]walking.Session, error) {
	const field = "exercise.interval.civil_start_time"
	// Exercises can only be asked for by the dates of the place where they began, which are at most a day from ours.
	first, last := r.Window.Start.Add(-24*time.Hour).UTC(), r.Window.End.Add(48*time.Hour).UTC()
	q := query(exerciseSize, fmt.Sprintf("%s >= %q AND %s < %q",
		field, first.Format(time.DateOnly), field, last.Format(time.DateOnly)))
	var sessions []walking.Session
	left := s.leftOut("exercises", r)
	err := pages(ctx, s.listing(exercisePath, q), "dataPoints", func(p *exercisePoint) error {
		ses, err := p.session()
		if err != nil {
			return err
		}
		if !r.Window.Contains(ses.Start) {
			return nil
		}
		err = ingest.CheckSession(ses, r.Now)
		if err != nil && ses.HasSteps {
			// The walk may still be right where its steps are not.
			ses.Steps, ses.HasSteps = 0, false
			if ingest.CheckSession(ses, r.Now) == nil {
				left.Takes(ctx, ses.Start, err)
				err = nil
			}
		}
		if left.Takes(ctx, ses.Start, err) {
			sessions = append(sessions, ses)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	left.Tell(ctx)
	return lastOfEach(sessions, func(a, b walking.Session) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.Kind, b.Kind))
	}), nil
}

// lastOfEach sorts list and keeps of equal elements the one that came last: pages overlap if data comes in between.
func lastOfEach[T any](list []T, compare func(a, b T) int) []T {
	slices.SortStableFunc(list, compare)
	out := list[:0]
	for i, x := range list {
		if i+1 == len(list) || compare(x, list[i+1]) != 0 {
			out = append(out, x)
		}
	}
	return out
}

// leftOut counts what is left out of an answer.
func (s *source) leftOut(what string, r ingest.Request) *ingest.LeftOut {
	log := s.p.log
	if log != nil {
		log = log.With("source", s.p.source)
	}
	return ingest.NewLeftOut(log, service, what, r)
}

// query returns the parameters of a question; without a filter if that is "".
func query(size int, filter string) url.Values {
	q := url.Values{"pageSize": {strconv.Itoa(size)}, "prettyPrint": {"false"}}
	if filter != "" {
		q.Set("filter", filter)
	}
	return q
}

// instant returns t as filters have it.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// get returns the answer to a question if it is a good one. Its body is to be closed.
func (s *source) get(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.p.api+path, nil)
	if err != nil {
		return nil, fmt.Errorf("googlehealth: %w", err)
	}
	return s.do(req)
}

// post is get for a question that does not stand in the address.
func (s *source) post(ctx context.Context, path string, question any) (*http.Response, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("googlehealth: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.p.api+path+"?prettyPrint=false", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("googlehealth: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	return s.do(req)
}

func (s *source) do(req *http.Request) (*http.Response, error) {
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("googlehealth: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	return resp, nil
}

// An asker asks for the page of an answer that a token names, the first if that is "".
type asker func(ctx context.Context, token string) (*http.Response, error)

// listing asks for the pages of a listing.
func (s *source) listing(path string, q url.Values) asker {
	return func(ctx context.Context, token string) (*http.Response, error) {
		if token != "" {
			q.Set("pageToken", token)
		}
		return s.get(ctx, path, q)
	}
}

// pages hands every element of every page of the answer to take, whose errors are about the form of the element.
func pages[P any](ctx context.Context, ask asker, list string, take func(*P) error) error {
	seen := map[string]bool{}
	token := ""
	for range maxPages {
		next, err := page(ctx, ask, token, list, take)
		if err != nil || next == "" {
			return err
		}
		if seen[next] {
			return noSense(errors.New("its pages repeat without end"))
		}
		seen[next] = true
		token = next
	}
	return noSense(fmt.Errorf("it has more than %d pages", maxPages))
}

func page[P any](ctx context.Context, ask asker, token, list string, take func(*P) error) (next string, err error) {
	resp, err := ask(ctx, token)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	next, err = readPage(resp, list, take)
	return next, ended(ctx, err)
}

// ended returns err, or that ctx has ended if that was the cause: then it is nobody's failure.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("googlehealth: %w", ctx.Err())
	}
	return err
}
