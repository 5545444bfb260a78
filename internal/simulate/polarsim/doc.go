// Package polarsim is a simulated Polar AccessLink, version 3: its OAuth, the registration of users and its API over
// HTTP, for people replayed from real minutes, with faults that can be switched on. It is written from Polar's
// documentation, not from walkd's client.
package polarsim
