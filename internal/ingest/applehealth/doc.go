// Package applehealth reads the export of Apple's Health app: export.zip as the phone makes it, the folder it unpacks
// to, or the export.xml in that.
//
// Every sourceName of the export is a stream of source "apple-health". Records inside a Correlation repeat records of
// their own and are left out; step counts that a person entered by hand are dropped. Workouts are sessions, those
// entered by hand included, since a person adds a walk on purpose.
//
// An export tells all that a stream has: for each stream with step records it covers everything from 1970 to the
// export's date, so that what was deleted in Health since an earlier import goes here, too. Streams with workouts only
// are added to. Offsets are kept with the records but are not reliable: Health writes the zone of the export, not
// that of the recording.
//
// Exports run to gigabytes, so the package does not use encoding/xml but hops from '<' to '<', which never occurs
// within an attribute's value, and parses the attributes of step records and workouts only. That also gets it past
// what encoding/xml refuses: the malformed DTD of iOS 16, and control characters in names.
package applehealth
