package main

import (
	"github.com/walkd/walkd/internal/config"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/ingest/applehealth"
	"github.com/walkd/walkd/internal/ingest/csvfile"
	"github.com/walkd/walkd/internal/ingest/fitabase"
)

// formats are the file formats that `walkd import` knows. A new one is a line here.
func formats() map[string]ingest.Format {
	return map[string]ingest.Format{
		"apple-health": applehealth.Format{},
		"csv":          csvfile.Format{},
		"fitabase":     fitabase.Format{},
	}
}

// kinds are the kinds of source and channel that a config can name. A new one is a line here.
func kinds() config.Kinds {
	k := config.Kinds{
		Sources:  config.Makers{},
		Channels: config.Makers{"log": config.NoKeys},
	}
	for name := range formats() {
		k.Sources[name] = config.NoKeys
	}
	return k
}
