package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/walkd/walkd/internal/pull"
)

// beatLimit is how long the deriving loop may be silent before it counts as stuck. A step of long work beats as well.
const beatLimit = 5 * time.Minute

// Alive returns an error if the deriving loop is stuck.
func (e *Engine) Alive() error {
	beat := e.Health().Beat
	if beat.IsZero() || e.Clock.Now().Sub(beat) < beatLimit {
		return nil
	}
	return fmt.Errorf("nothing has been derived or looked at since %s", beat.Format(time.RFC3339))
}

// Ready returns why walkd cannot do its work now; nothing if it can. An InfluxDB that is away is no reason.
func (e *Engine) Ready(ctx context.Context) []string {
	var problems []string
	if err := e.Alive(); err != nil {
		problems = append(problems, err.Error())
	}
	if err := e.Store.Writable(ctx); err != nil {
		problems = append(problems, err.Error())
	}
	h := e.Health()
	if h.Rounds == 0 {
		problems = append(problems, "starting: days are being derived for the first time")
	}
	if h.Err != nil {
		problems = append(problems, h.Err.Error())
	}
	return problems
}

// Metrics collects what is to be known of an Engine, without anything about anybody's walking unless HealthValues is
// set.
type Metrics struct {
	Engine       *Engine
	HealthValues bool // also how much everybody walked
}

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("walkd_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector. It describes nothing, since which series there are depends on the store.
func (m Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m Metrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	gauge := func(name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(metric(name, help), prometheus.GaugeValue, v)
	}
	counter := func(name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(metric(name, help), prometheus.CounterValue, v)
	}
	version, revision, goVersion := Build()
	build := metric("build_info", "What this walkd was built from.", "version", "revision", "go_version")
	out <- prometheus.MustNewConstMetric(build, prometheus.GaugeValue, 1, version, revision, goVersion)
	e := m.Engine
	h := e.Health()
	counter("days_derived_total", "Days derived since the start.", float64(h.Derived))
	gauge("up_to_date", "1 if the last round of deriving went well.", boolValue(h.Err == nil && h.Rounds > 0))
	c, err := e.Store.Count(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(metric("records_stored", "Records with steps in the store."), err)
		return
	}
	gauge("persons", "People in the store.", float64(c.Persons))
	gauge("streams", "Streams in the store.", float64(c.Streams))
	gauge("records_stored", "Records with steps in the store.", float64(c.Records))
	gauge("days_stored", "Derived days in the store.", float64(c.Days))
	gauge("days_stale", "Days waiting to be derived again.", float64(c.Stale))
	if e.Projector != nil {
		s := e.Projector.State()
		gauge("projection_due_days", "Days waiting to be written to InfluxDB.", float64(c.Due))
		lag := 0.0
		if !c.DueSince.IsZero() {
			lag = max(0, e.Clock.Now().Sub(c.DueSince).Seconds())
		}
		gauge("projection_lag_seconds", "How long the longest waiting day has been waiting to be written to InfluxDB.", lag)
		gauge("projection_up", "1 if the last projection went well.", boolValue(s.Err == nil && !s.LastSuccess.IsZero()))
		if !s.LastSuccess.IsZero() {
			gauge("projection_last_success_timestamp_seconds", "When everything due was last written.",
				float64(s.LastSuccess.Unix()))
		}
		counter("projection_points_total", "Points written since the start.", float64(s.Written))
		counter("projection_points_dropped_total", "Points that InfluxDB refused for good.", float64(s.Dropped))
		failures := metric("projection_failures_total", "Failed projections by cause.", "cause")
		for cause, n := range s.Failures {
			out <- prometheus.MustNewConstMetric(failures, prometheus.CounterValue, float64(n), string(cause))
		}
	}
	if err := m.collectSources(ctx, out); err != nil {
		out <- prometheus.NewInvalidMetric(metric("source_up", "1 if pulling from the source goes well."), err)
	}
	if m.HealthValues {
		if err := m.collectHealth(ctx, out); err != nil {
			out <- prometheus.NewInvalidMetric(metric("walking_minutes", "Walking minutes today."), err)
		}
	}
}

// collectSources collects how pulling and telling fare. People are told apart by their number in the store.
func (m Metrics) collectSources(ctx context.Context, out chan<- prometheus.Metric) error {
	e := m.Engine
	if e.Courier != nil {
		attempts := metric("delivery_attempts_total", "Attempts to deliver a message, by how they ended.", "kind", "outcome")
		for _, c := range e.Courier.Counts() {
			out <- prometheus.MustNewConstMetric(attempts, prometheus.CounterValue, float64(c.N), c.Kind, string(c.Outcome))
		}
	}
	if e.Puller == nil {
		return nil
	}
	requests := metric("source_requests_total", "Requests to providers by how they ended.", "kind", "outcome")
	for _, c := range e.Puller.Requests() {
		out <- prometheus.MustNewConstMetric(requests, prometheus.CounterValue, float64(c.Count), c.Kind, c.Outcome)
	}
	states, err := pull.States(ctx, &e.Store.Reader, e.Accounts, e.Clock.Now(), WallClock{}.Now())
	if err != nil {
		return err
	}
	names, err := e.Store.Names(ctx)
	if err != nil {
		return err
	}
	ids := map[string]string{}
	for id, name := range names {
		ids[name] = strconv.FormatInt(id, 10)
	}
	for _, s := range states {
		labels := []string{"person_id", "source", "kind"}
		values := []string{ids[s.Person], s.Source, s.Kind}
		gauge := func(name, help string, v float64) {
			out <- prometheus.MustNewConstMetric(metric(name, help, labels...), prometheus.GaugeValue, v, values...)
		}
		stamp := func(name, help string, t time.Time) {
			if !t.IsZero() {
				gauge(name, help, float64(t.Unix()))
			}
		}
		gauge("source_up", "1 if pulling from the source goes well.", boolValue(s.Connected && s.Problem == nil))
		gauge("source_needs_consent", "1 if the person has to connect the source.", boolValue(s.Phase == pull.NeedsConsent))
		stamp("source_synced_timestamp_seconds", "How far the device has synced with the provider.", s.Synced)
		stamp("source_last_success_timestamp_seconds", "When a poll last ended well.", s.Success)
		stamp("source_next_poll_timestamp_seconds", "When the source is polled next.", s.Next)
		stamp("source_consent_ends_timestamp_seconds", "When the consent ends by itself.", s.ConsentEnds)
		gauge("source_days_off", "Days whose records differ by more than 5 % from what the provider says they add up to.",
			float64(len(s.Off)))
		if s.Backfill != nil {
			gauge("source_backfill_done", "1 if the whole history has been pulled.", boolValue(s.Backfill.Done))
		}
		left := metric("source_requests_left", "What is left of a limit.", slices.Concat(labels, []string{"limit"})...)
		for _, l := range s.BudgetLeft {
			out <- prometheus.MustNewConstMetric(left, prometheus.GaugeValue, float64(l.Left), slices.Concat(values, []string{l.Name})...)
		}
	}
	return nil
}

func (m Metrics) collectHealth(ctx context.Context, out chan<- prometheus.Metric) error {
	people, err := m.Engine.Store.Persons(ctx)
	if err != nil {
		return err
	}
	for _, p := range people {
		today := p.Zones.Day(m.Engine.Clock.Now())
		days, err := m.Engine.Store.Days(ctx, p.ID, today, today)
		if err != nil {
			return err
		}
		for _, d := range days {
			gauge := func(name, help string, v float64) {
				out <- prometheus.MustNewConstMetric(metric(name, help, "person"), prometheus.GaugeValue, v, p.Name)
			}
			gauge("walking_minutes", "Walking minutes today.", d.Walking)
			gauge("target_minutes", "Minutes that the day's walking is to exceed.", d.Target)
			gauge("target_met", "1 if it does.", boolValue(d.Met))
			if d.Mean7Days > 0 {
				gauge("walking_mean7_minutes", "Mean walking minutes over the days of the last seven that count.", d.Mean7)
			}
		}
	}
	return nil
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Build returns the version, the revision and the Go version that this program was built from.
func Build() (version, revision, goVersion string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", "unknown", "unknown"
	}
	version, revision = info.Main.Version, "unknown"
	if version == "" {
		version = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision, info.GoVersion
}
