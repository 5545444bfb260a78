// Package withingssim is a simulated Withings: its OAuth and its Public API over HTTP, for people replayed from real
// minutes, with faults that can be switched on. It is written from Withings' documentation and from what public clients
// have seen, not from walkd's client.
package withingssim
