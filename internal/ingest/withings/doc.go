// Package withings reads minute steps and workouts from the Public API of Withings.
//
// Withings tells by lastupdate which days have changed, so that these are read again and no others; what that misses
// comes with the daily and weekly looks back. How far a watch has synced is told by the devices alone: a day is
// modified by other things too, and may not be where somebody has sat still.
//
// Minutes come a day of 24 hours at a time. What Withings' own watches have counted, and an Apple Watch, is the stream
// of the source; what comes from phones and linked apps is a stream of its own below it, since both may report the same
// minutes. A day that has a total but no minutes, as is said of phones, is one record of that day.
package withings
