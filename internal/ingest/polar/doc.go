// Package polar reads minute steps and recorded exercises from Polar AccessLink, version 3.
//
// # Minutes
//
// Polar leaves out every minute that repeats the one before, and tells the total of the day. So a count stands for all
// minutes up to the next one, unless the device was off in between, which looks the same. The total tells them apart:
// counts are filled forward, the shortest gaps first, as long as the sum stays within it, and the last count lasts for
// as many minutes as the total asks for. Zeros are not kept: absence means the same.
//
// # When that is not the total
//
// Minutes are never changed to fit a total. What the total holds beyond them is kept as well: as a record of no length,
// which counts its steps and no walking, if it is up to a quarter of the day, and else as a record of the whole day, of
// which the merge takes what the minutes do not hold. A total below the minutes changes nothing. The totals of days that
// are over go with the records, to be compared.
//
// # Time
//
// The times are those that the device showed, without a zone, and are read by the person's zones. Of an hour that the
// clocks show twice a minute is the first one, unless it is listed after a later one. A time that the clocks skipped
// was shown by a device that was not set yet; it is moved past the gap, and added to what is there.
//
// # What absence means
//
// A minute that is missing on a day that Polar tells of has no steps. A day that it does not tell of at all stays as
// it was told before, and so do the exercises from before the oldest one that it lists: a person who is registered
// anew, as with another client, is told of nothing from before.
//
// # How far it is synced
//
// Polar does not tell when the device has synced. Up to the last change of anything it has for sure. The end of a day
// that is still going on may be the sync or nothing at all, so it is believed only when it is some minutes ago and not
// the end of the day.
package polar
