package nudges_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/walkd/walkd/internal/nudges"
)

// refusedAt is a source that the provider has refused since then.
func refusedAt(source string, t time.Time) nudges.ConsentState {
	return nudges.ConsentState{
		Source: source, Service: "Steps Ltd", Refused: t, Text: "the consent was withdrawn", Remedy: "run `walkd connect " + source + "`",
	}
}

func endsAt(source string, t time.Time) nudges.ConsentState {
	return nudges.ConsentState{Source: source, Service: "Steps Ltd", Ends: t}
}

func TestConsent(t *testing.T) {
	const key, endKey = "consent/watch/2026-11-21T09:30:00/0", "consent/watch/ends/2026-11-22T09:00"
	for _, test := range []struct {
		name      string
		now       time.Time
		consents  []nudges.ConsentState
		sent      []string
		change    func(*nudges.Situation)
		reason    nudges.Reason // "": no decision at all
		send      bool
		key       string
		notBefore time.Time
		expires   time.Time
		title     string
		body      string
	}{{
		name: "nothing to connect", now: at(10, 0),
	}, {
		name: "connected", now: at(10, 0), consents: []nudges.ConsentState{{Source: "watch", Service: "Steps Ltd"}},
	}, {
		name: "refused", now: at(10, 0), consents: []nudges.ConsentState{refusedAt("watch", at(9, 30))},
		reason: nudges.ConsentEnded, send: true, key: key, expires: at(9, 30).AddDate(0, 0, 3), title: "Connect Steps Ltd again",
		body: "Nothing is pulled from Steps Ltd since 09:30: the consent was withdrawn. Run `walkd connect watch`.",
	}, {
		name: "with a page", now: at(10, 0), consents: []nudges.ConsentState{refusedAt("watch", at(9, 30).AddDate(0, 0, -1))},
		change: func(s *nudges.Situation) { s.Settings.Page = "https://walkd.example.org/" },
		reason: nudges.ConsentEnded, send: true, key: "consent/watch/2026-11-20T09:30:00/0", expires: at(9, 30).AddDate(0, 0, 2),
		title: "Connect Steps Ltd again",
		body: "Nothing is pulled from Steps Ltd since Fri 20 November 09:30: the consent was withdrawn. " +
			"Run `walkd connect watch`. Or connect it at https://walkd.example.org/",
	}, {
		name: "the target is met, and enough was said", now: at(10, 0), consents: []nudges.ConsentState{refusedAt("watch", at(9, 30))},
		change: func(s *nudges.Situation) {
			walkedBy(200)(s)
			s.Limited = true
			s.Sent = []string{"a/2026-11-21", "b/2026-11-21", "c/2026-11-21", "d/2026-11-21"}
		},
		reason: nudges.ConsentEnded, send: true, key: key, expires: at(9, 30).AddDate(0, 0, 3), title: "Connect Steps Ltd again",
		body: "Nothing is pulled from Steps Ltd since 09:30: the consent was withdrawn. Run `walkd connect watch`.",
	}, {
		name: "no messages wanted", now: at(10, 0), consents: []nudges.ConsentState{refusedAt("watch", at(9, 30))},
		change: func(s *nudges.Situation) { s.Settings.MaxPerDay = 0 }, reason: nudges.DayLimit, key: key,
	}, {
		name: "told", now: at(10, 0), consents: []nudges.ConsentState{refusedAt("watch", at(9, 30))}, sent: []string{key},
		reason: nudges.AlreadySent, key: key,
	}, {
		name: "told nearly three days ago", now: at(9, 29).AddDate(0, 0, 3), sent: []string{key},
		consents: []nudges.ConsentState{refusedAt("watch", at(9, 30))}, reason: nudges.AlreadySent, key: key,
	}, {
		name: "told three days ago", now: at(9, 30).AddDate(0, 0, 3), sent: []string{key},
		consents: []nudges.ConsentState{refusedAt("watch", at(9, 30))}, reason: nudges.ConsentEnded, send: true,
		key: "consent/watch/2026-11-21T09:30:00/1", expires: at(9, 30).AddDate(0, 0, 6), title: "Connect Steps Ltd again",
		body: "Nothing is pulled from Steps Ltd since Sat 21 November 09:30: the consent was withdrawn. Run `walkd connect watch`.",
	}, {
		name: "another source as well", now: at(10, 0), sent: []string{key},
		consents: []nudges.ConsentState{refusedAt("watch", at(9, 30)), refusedAt("ring", at(9, 45))},
		reason:   nudges.ConsentEnded, send: true, key: "consent/ring/2026-11-21T09:45:00/0", expires: at(9, 45).AddDate(0, 0, 3),
		title: "Connect Steps Ltd again",
		body:  "Nothing is pulled from Steps Ltd since 09:45: the consent was withdrawn. Run `walkd connect ring`.",
	}, {
		name: "at night", now: at(23, 0), consents: []nudges.ConsentState{refusedAt("watch", at(9, 30))},
		reason: nudges.ConsentEnded, send: true, key: key, notBefore: at(8, 0).AddDate(0, 0, 1), expires: at(9, 30).AddDate(0, 0, 3),
		title: "Connect Steps Ltd again",
		body:  "Nothing is pulled from Steps Ltd since 09:30: the consent was withdrawn. Run `walkd connect watch`.",
	}, {
		name: "ends in a day", now: at(9, 0), consents: []nudges.ConsentState{endsAt("watch", at(9, 0).AddDate(0, 0, 1))},
		reason: nudges.ConsentEnding, send: true, key: endKey, expires: at(9, 0).AddDate(0, 0, 1),
		title: "Steps Ltd wants your consent again soon",
		body:  "The access to Steps Ltd ends by itself at Sun 22 November 09:00. What is counted until then is safe.",
	}, {
		name: "ends in more than a day", now: at(8, 59), consents: []nudges.ConsentState{endsAt("watch", at(9, 0).AddDate(0, 0, 1))},
	}, {
		name: "has ended by itself, which is not known yet", now: at(9, 1).AddDate(0, 0, 1),
		consents: []nudges.ConsentState{endsAt("watch", at(9, 0).AddDate(0, 0, 1))},
	}, {
		name: "connected again", now: at(10, 0), consents: []nudges.ConsentState{{Source: "watch", Service: "Steps Ltd"}},
		sent: []string{"behind/2026-11-20", key}, reason: nudges.Connected, key: key,
	}} {
		s := situation(test.now)
		s.Consents, s.Sent = test.consents, test.sent
		if test.change != nil {
			test.change(&s)
		}
		ds := nudges.Decide(s)
		if test.reason == "" {
			if len(ds) != 1 {
				t.Errorf("%s: %+v", test.name, ds[1])
			}
			continue
		}
		if len(ds) != 2 {
			t.Errorf("%s: no decision", test.name)
			continue
		}
		d := ds[1]
		if d.Rule != nudges.ConsentNeeded || d.Reason != test.reason || d.Send != test.send || d.Key != test.key || d.Why == "" ||
			!d.NotBefore.Equal(test.notBefore) || !d.Expires.Equal(test.expires) || d.Title != test.title || d.Body != test.body {
			t.Errorf("%s: %+v", test.name, d)
		}
	}
}

// However things stand: nobody is woken, nobody hears of one cause twice, and what is sent is of use when it may be.
func TestConsentInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := situation(at(0, 0))
		first := at(0, 0).Add(-time.Duration(rapid.IntRange(0, 5000).Draw(t, "minutes ago")) * time.Minute)
		for _, name := range []string{"watch", "ring", "phone"} {
			c := nudges.ConsentState{Source: name, Service: "Steps Ltd"}
			switch rapid.IntRange(0, 3).Draw(t, name) {
			case 0:
				c = refusedAt(name, first.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "later"))*time.Minute))
			case 1:
				c = endsAt(name, at(0, 0).Add(time.Duration(rapid.IntRange(-100, 5000).Draw(t, "ends in"))*time.Minute))
			}
			s.Consents = append(s.Consents, c)
		}
		told := map[string]int{}
		for range 40 {
			s.Now = s.Now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "step")) * time.Minute)
			for _, d := range nudges.Decide(s) {
				if d.Rule != nudges.ConsentNeeded || !d.Send {
					continue
				}
				if slices.Contains(s.Sent, d.Key) {
					t.Fatalf("%s is told twice", d.Key)
				}
				due := d.At
				if d.NotBefore.After(due) {
					due = d.NotBefore
				}
				if minute := due.Hour()*60 + due.Minute(); minute >= 21*60+30 || minute < 8*60 {
					t.Fatalf("%+v would come at %s", d, due)
				}
				source, _, _ := strings.Cut(strings.TrimPrefix(d.Key, "consent/"), "/")
				told[source]++
				s.Sent = append(s.Sent, d.Key)
			}
		}
		days := int(s.Now.Sub(first)/(72*time.Hour)) + 2
		for source, n := range told {
			if n > days {
				t.Fatalf("%s is told of %d times in %d times three days", source, n, days)
			}
		}
	})
}
