package oura

// What the tests look at by itself.
var (
	KindOf    = kindOf
	Allowance = allowance
)
