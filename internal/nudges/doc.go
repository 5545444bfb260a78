// Package nudges decides whether anything is worth saying to a person, and what. It is pure: a Situation goes in, one
// Decision a rule comes out, each with a named reason, also for staying silent.
package nudges
