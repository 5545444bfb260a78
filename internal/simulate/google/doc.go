// Package google is a simulated Google Health over HTTP, with switchable faults, and the people it tells of: real
// recorded days, lived over and over by the clock of where somebody is, with a device that syncs now and then. It is
// written from Google's documentation and recorded answers, not from the client that walkd has for it.
package google
