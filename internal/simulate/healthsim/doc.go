// Package healthsim is a simulated Google Health: its OAuth and its API over HTTP, for people replayed from real minutes,
// with faults that can be switched on. It is written from Google's documentation and its discovery document, not from
// walkd's client. `walkd demo` runs it in its own process, tests and soaks ask it for the truth and spoil its answers.
package healthsim
