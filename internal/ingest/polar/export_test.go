package polar

// What the tests look at by itself.
var (
	KindOf        = kindOf
	ParseDuration = parseDuration
	Allowance     = allowance
)
