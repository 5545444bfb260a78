// Package walking turns step records into walking minutes per civil day and compares them with a target.
//
// The package is pure: it does no I/O, reads no clock and logs nothing. Instants are time.Time values of any
// location; every result depends only on the instants, never on the location they are displayed in. Days are civil
// dates in the person's zone.
package walking
