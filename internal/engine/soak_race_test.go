//go:build race

package engine_test

// raced says that the race detector is at work, with which SQLite takes seven times as long.
const raced = true
