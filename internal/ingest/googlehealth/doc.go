// Package googlehealth reads minute steps and recorded exercises from the Google Health API, v4, which has taken the
// place of the Fitbit Web API.
//
// Steps and exercises are read as Google reconciles them: a person's watch, phone and apps report the same minutes, and
// the raw lists hold them all, so that their sum is up to twice what was walked. Whoever has walked with two devices
// would also find each exercise twice.
//
// # What absence means
//
// Google says that it keeps zeros for a device that is worn at rest, and nothing for one that is not worn or has not
// synced. Whether every device sends these zeros is not known: a whole day of a Pixel Watch 4 has come as 326 points.
// So both are read for what they are. A point without a count is a record of zero steps. Minutes without a point are
// no record, which counts as zero before the device's last sync and as unknown after it, as everywhere in walkd. They
// are reported as unworn only where they last an hour or longer, something later has come in, and the same civil day
// also holds half an hour of zeros in a row: such a day shows that rest is told, so silence is not rest.
package googlehealth
