// Package influx projects a person's days into InfluxDB and keeps that copy exact.
//
// The store is the record; InfluxDB is a copy that can be made again at any time. Days whose projection is due are
// read from a Journal, their content from Days, and what changed is posted in batches. The Journal remembers which
// points each day wrote, so that a point that vanishes becomes a zero, and it is told before anything is posted, so
// that no crash leaves a point behind that nobody remembers.
//
// InfluxDB 1.8, 2.x and 3.x are written through /api/v2/write. A server that refuses, is away or is not an InfluxDB
// at all ends in an *Error with its cause and what to do about it; it never loses anything and blocks nothing else.
package influx
