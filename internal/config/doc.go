// Package config loads walkd's configuration: one TOML file in which every key is known, every value is checked and
// everything has a default, so that an empty file runs.
//
// All mistakes of a file are reported at once, each with its line, what was found and what is wanted. What the kinds of
// sources know of their own keys is handed in (see Kinds), so that a source needs nothing of this package.
package config
