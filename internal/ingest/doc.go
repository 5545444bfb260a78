// Package ingest is the contract between walkd and where its data comes from.
//
// A source decodes what one provider or file format says into records and sessions; it knows neither the store nor
// the config of the whole. Each lives in a folder of its own below this one and never imports another.
package ingest
