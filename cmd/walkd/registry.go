package main

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/engine"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/applehealth"
	"github.com/walkd/walkd/internal/ingest/csvfile"
	"github.com/walkd/walkd/internal/ingest/fitabase"
	"github.com/walkd/walkd/internal/ingest/googlehealth"
	"github.com/walkd/walkd/internal/ingest/oura"
	"github.com/walkd/walkd/internal/ingest/polar"
	"github.com/walkd/walkd/internal/ingest/withings"
	"github.com/walkd/walkd/internal/notify"
	logline "github.com/walkd/walkd/internal/notify/log"
	"github.com/walkd/walkd/internal/notify/ntfy"
	"github.com/walkd/walkd/internal/nudges"
	"github.com/walkd/walkd/internal/pull"
)

// formats are the file formats that `walkd import` knows. A new one is a line here.
func formats() map[string]ingest.Format {
	return map[string]ingest.Format{
		"apple-health": applehealth.Format{},
		"csv":          csvfile.Format{},
		"fitabase":     fitabase.Format{},
	}
}

// kinds are the kinds of source and channel that a config can name. A new one is a line here. The settings of sources
// on the network implement provided, those of channels opened.
func kinds() config.Kinds {
	k := config.Kinds{
		Sources: config.Makers{
			"google-health": func() any { return googlehealth.Defaults() },
			"oura":          func() any { return oura.Defaults() },
			"polar":         func() any { return polar.Defaults() },
			"withings":      func() any { return withings.Defaults() },
		},
		Channels: config.Makers{
			"log":  func() any { return &logSettings{} },
			"ntfy": func() any { return ntfy.Defaults() },
		},
		Retired: map[string]config.Retired{
			"fitbit": {
				Why:  "the Fitbit Web API was turned off in October 2026",
				Want: `"google-health", which has what a Fitbit counts (docs/sources/google-health.md)`,
			},
			"google-fit": {
				Why:  "Google Fit is closed to new clients since May 2024, and ends in 2026",
				Want: `"google-health", which has the data of Google Fit as well (docs/sources/google-health.md)`,
			},
		},
	}
	for name := range formats() {
		k.Sources[name] = config.NoKeys
	}
	return k
}

// provided are settings of a source that is on the network.
type provided interface {
	Provider(source string) ingest.Provider
}

// opened are settings of a channel.
type opened interface {
	Channel(client *http.Client) (notify.Channel, error)
}

// logSettings are those of the channel of kind log, which has none.
type logSettings struct{ log *slog.Logger }

// Channel implements opened.
func (s *logSettings) Channel(*http.Client) (notify.Channel, error) {
	return logline.New(s.log), nil
}

// accounts returns the sources of the config that are on the network.
func accounts(s settings) []pull.Config {
	var out []pull.Config
	for _, p := range s.People {
		for _, src := range p.Sources {
			if made, ok := src.Settings.(provided); ok {
				out = append(out, pull.Config{
					Person: p.Name, Source: src.Name, Kind: src.Kind, Provider: made.Provider(src.Name),
				})
			}
		}
	}
	return out
}

// channelsOf returns the channels of a person. Without any the log is one.
func channelsOf(p config.Person) []config.Channel {
	if len(p.Channels) == 0 {
		return []config.Channel{{Kind: logline.Kind, Name: logline.Kind, Settings: &logSettings{}}}
	}
	return p.Channels
}

// nudging returns what everybody in the config wants to be told.
func nudging(s settings) map[string]engine.Nudging {
	out := map[string]engine.Nudging{}
	for _, p := range s.People {
		n := engine.Nudging{Settings: nudges.Settings{MaxPerDay: p.Nudges.MaxPerDay, BehindFrom: p.Nudges.BehindFrom}}
		if s.Web.BaseURL != "" && s.Web.Pages {
			n.Page = s.Web.BaseURL + "/"
		}
		for _, c := range channelsOf(p) {
			n.Channels = append(n.Channels, c.Name)
		}
		out[p.Name] = n
	}
	return out
}

// openChannels returns the channels of everybody.
func openChannels(s settings, log *slog.Logger) (map[notify.Address]notify.Channel, error) {
	out := map[notify.Address]notify.Channel{}
	for _, p := range s.People {
		for _, c := range channelsOf(p) {
			if l, ok := c.Settings.(*logSettings); ok {
				l.log = log
			}
			made, ok := c.Settings.(opened)
			if !ok {
				return nil, fmt.Errorf("channels of kind %s cannot be opened", c.Kind)
			}
			ch, err := made.Channel(&http.Client{})
			if err != nil {
				return nil, fmt.Errorf("channel %s of %s: %w", c.Name, p.Name, err)
			}
			out[notify.Address{Person: p.Name, Channel: c.Name}] = ch
		}
	}
	return out, nil
}
