// Package ourasim is a simulated Oura: its OAuth and the part of its API, version 2, that tells of activity, over HTTP,
// for people replayed from real minutes, with faults that can be switched on. It is written from Oura's OpenAPI
// description and from what public clients have seen, not from walkd's client. Where these disagree, or say nothing,
// Options choose.
package ourasim
