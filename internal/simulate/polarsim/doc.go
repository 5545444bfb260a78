// Package polarsim is a simulated Polar AccessLink, version 3, over HTTP: consent, token endpoint, registration of users
// and the calls that walkd needs, built from the documentation and not from walkd's client. It replays people and can fail
// in the ways the real one does, or the network in between.
package polarsim
