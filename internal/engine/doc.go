// Package engine is what walkd does all day: it derives the days that changed, closes days by the clock, keeps the
// projection going, and carries out what a person asks for, from the daemon and from a command alike.
package engine
