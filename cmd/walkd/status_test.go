package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/ingest"
	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/web"
)

// TestSourceStatus looks at what the page says of a source, and what to do, in every phase.
func TestSourceStatus(t *testing.T) {
	now := time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)
	problem := func(class ingest.Class, text, remedy string) *pull.Problem {
		return &pull.Problem{Class: class, Text: text, Remedy: remedy}
	}
	for _, tt := range []struct {
		name    string
		state   pull.State
		cannot  bool // connect it on the page
		text    string
		remedy  string
		consent web.Consent
		fine    bool
		ends    bool
	}{
		{name: "well", state: pull.State{Phase: pull.OK, Connected: true}, consent: web.ConsentGiven, fine: true},
		{name: "needs no consent", cannot: true, state: pull.State{Phase: pull.OK, Connected: true}, fine: true},
		{
			name: "just connected", state: pull.State{Phase: pull.NeverAsked, Connected: true}, consent: web.ConsentGiven, fine: true,
			text: "it is connected, and asked for the first time within a minute",
		},
		{
			name: "the device is silent", state: pull.State{Phase: pull.Waiting, Connected: true, Synced: now.Add(-30 * time.Hour)},
			consent: web.ConsentGiven, fine: true, text: "Google Health answers, but your device has not sent it anything for 30 hours",
			remedy: "open the device's app on your phone, and let the two sync",
		},
		{
			name: "not connected yet", consent: web.ConsentNeeded,
			state: pull.State{Phase: pull.NeedsConsent, Problem: problem(ingest.Auth, "watch is not connected yet", "run `walkd connect watch`")},
			text:  "it is not connected yet", remedy: "connect it above, or run `walkd connect watch`",
		},
		{
			name: "the consent has ended", consent: web.ConsentNeeded,
			state: pull.State{Phase: pull.NeedsConsent, Connected: true, Problem: problem(ingest.Auth, "the consent has ended", "run `walkd connect watch`")},
			text:  "the consent has ended", remedy: "connect it above, or run `walkd connect watch`",
		},
		{
			name: "where it cannot be connected", cannot: true,
			state: pull.State{Phase: pull.NeedsConsent, Connected: true, Problem: problem(ingest.Auth, "the consent has ended", "run `walkd connect watch`")},
			text:  "the consent has ended", remedy: "run `walkd connect watch`",
		},
		{
			name: "a wrong client", consent: web.ConsentBlocked,
			state: pull.State{Phase: pull.NeedsConsent, Connected: true, Problem: problem(ingest.Auth, "the client ID is refused", "check client_id")},
			text:  "the client ID is refused", remedy: "check client_id",
		},
		{
			name: "away", consent: web.ConsentGiven,
			state: pull.State{Phase: pull.Failing, Connected: true, Problem: problem(ingest.Transient, "no answer", "")},
			text:  "no answer", remedy: "walkd asks again by itself",
		},
		{
			name: "ends soon", state: pull.State{Phase: pull.OK, Connected: true, ConsentEnds: now.Add(48 * time.Hour)},
			consent: web.ConsentGiven, fine: true, ends: true,
		},
		{
			name: "ends later", state: pull.State{Phase: pull.OK, Connected: true, ConsentEnds: now.Add(48*time.Hour + time.Second)},
			consent: web.ConsentGiven, fine: true,
		},
	} {
		tt.state.Source, tt.state.Service = "watch", "Google Health"
		want := web.SourceStatus{
			Name: "watch", Service: "Google Health", Phase: string(tt.state.Phase), Fine: tt.fine, Text: tt.text, Remedy: tt.remedy,
			Consent: tt.consent, Synced: tt.state.Synced,
		}
		if tt.ends {
			want.Ends = tt.state.ConsentEnds
		}
		if diff := cmp.Diff(want, sourceStatus(tt.state, !tt.cannot, now, now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestNoPages is about a daemon that others may ask for health and metrics alone.
func TestNoPages(t *testing.T) {
	w := newWorld(t, slowDay, 2, nil, "alexandra")
	w.web = "listen = \"127.0.0.1:0\"\npages = false"
	w.configure()
	base, stop := w.start()
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/metrics": http.StatusOK, "/": http.StatusNotFound, "/login": http.StatusNotFound,
		"/style.css": http.StatusNotFound, "/connect/alexandra/watch": http.StatusNotFound, "/oauth/callback?state=x": http.StatusNotFound,
	} {
		if code, body := get(t, base+path); code != want || strings.Contains(body, "alexandra") {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	if code, log := stop(); code != exitDone {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}
