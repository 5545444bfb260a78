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
//
// # How far the data goes
//
// Before the last sync of the device absence is rest, so that sync must not be claimed where there was none. Who has two
// trackers may wear the one that has not synced while the other, on a table, syncs all day; and reconciled points do not
// say whose they are. So the sync that counts is that of the tracker that synced longest ago. One that has been silent
// for three days longer than another is in a drawer and holds nothing back, as a day is closed after three days anyway.
// Who changes from one tracker to another loses freshness at rest for so long, and nothing else: the newest record tells
// how far the data goes as well, and any sync of any tracker lets data be fetched. Scales, and devices of types that are
// not known, do not count.
//
// # Totals
//
// What Google adds up for a civil day is what the records are checked with. It leaves out what a device counted while it
// was not worn, so that the two need not be equal to the step.
package googlehealth
