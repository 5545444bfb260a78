// Package oura reads days of activity and workouts from the Oura API, version 2.
//
// # Steps
//
// Oura tells how many steps a day has, and not when. It also tells how hard each minute was, in METs, and a class for
// every five minutes. So the steps of a day are placed by these, as records of ten minutes whose sum is the day's, to the
// step: see weigh. Where a document has classes alone, each stands for a typical MET; where it has neither, the day is one
// record.
//
// How wrong that is was measured with the minutes of the Fitabase volunteers (20 people, 495 days, 105 walking minutes a
// day on average), told as a simulated ring would tell them and read by this package: mean absolute error and bias of the
// walking minutes of a day against those of the true minutes, and the share of days whose range of uncertainty holds
// these. What a ring sees besides walking is not known, so there are five (TestPlacing -v). The usual one has 21 steps to
// an active minute; days that owners of rings have published have 9 to 34.
//
//	                                     usual ring          weak    strong   vague   exact
//	one record a day                     10.4 −2.7   97 %    the same
//	evenly over active pieces of 5 min    9.2 +5.6   87 %     9.4     9.2     9.2     24.6
//	by class, 1 : 4 : 6, of 5 min         6.9 +2.9   91 %     7.8     7.3     7.8     27.2
//	ships, with classes alone             5.4 −0.4   98 %     7.7     5.9     6.1      5.5
//	ships, with METs                      4.9 −1.0   99 %     7.0     5.6     5.6      4.1
//
// The same steps as records of five minutes would be off by 4.4 with METs and by 5.5 without, but by up to 10.3 with other
// rings, and the 15 % of uncertainty that such records claim would hold the truth on 77 to 98 % of the days. With ten
// minutes it is 20 %, and 95 to 100 %. For true minutes it is 100 % as records of five minutes, 100 % as hours, and 99 % as
// days; their own error is 2.9, 8.7 and 9.9.
//
// A few steps go to all pieces in which somebody was up, so that a phone in the pocket does not count again what the ring
// has counted and is placed elsewhere.
//
// # Days
//
// A day begins at its timestamp, which is four o'clock in the morning, and has as many classes as are known. It ends where
// the next one begins. Its steps may be told anew as long as it goes on, and later.
//
// # How far it is synced, and worn
//
// Oura does not tell when a ring has synced. It has up to the last five minutes in which it was worn. Zeros after that may
// stand for a time that is yet to come, and are taken for a ring that was off only when something later is there.
//
// # Zones
//
// The offset of a timestamp is that of the place where the day began, and says nothing of a journey until the next one
// begins. It is told of records only as long as clocks cannot have changed since.
package oura
