package pull_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/vault"
)

const oneKey, otherKey = "the-first-key-of-32-random-letters", "another-key-of-32-random-characters"

// keyed begins again with other keys.
func (r *rig) keyed(keys ...string) {
	r.t.Helper()
	v, err := vault.New(strings.Join(keys, "\n"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.options.Vault = v
	r.restart()
}

// inFiles reports whether anything that the service has handed out stands in the store's files.
func (r *rig) inFiles() bool {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(r.dir, e.Name()))
		if err != nil {
			r.t.Fatal(err)
		}
		r.service.mu.Lock()
		secrets := r.service.secrets
		r.service.mu.Unlock()
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				return true
			}
		}
	}
	return false
}

func TestTokensAreEncrypted(t *testing.T) {
	r := minutelyRig(t)
	r.service.lock(func() { r.service.rotate = true })
	r.keyed(oneKey)
	r.service.lock(func() { r.service.synced = r.now.Now() })
	r.connect()
	for range 5 {
		r.later(2 * time.Hour) // renews
	}
	r.restart()
	r.later(2 * time.Hour)
	r.same()
	if s := r.state(); s.Phase != pull.OK {
		t.Fatalf("%+v %+v", s, s.Problem)
	}
	if r.inFiles() {
		t.Error("a token stands in the files")
	}
}

// A key can be given to a store that has had none, replaced, and taken away with the tokens that it has encrypted.
func TestKeysChange(t *testing.T) {
	r := begun(t, minutelyRig)
	r.service.lock(func() { r.service.rotate = true })
	if !r.inFiles() {
		t.Fatal("the tokens are not found where they are")
	}
	fine := func(what string) {
		t.Helper()
		r.later(2 * time.Hour)
		if s := r.state(); s.Phase != pull.OK || s.Problem != nil {
			t.Errorf("%s: %+v %+v", what, s, s.Problem)
		}
	}
	r.keyed(oneKey)
	fine("a first key")
	if r.inFiles() {
		t.Error("a token from before the key stands in the files")
	}
	r.keyed(otherKey, oneKey)
	r.poll()
	r.keyed(otherKey)
	fine("a key replaced")
	for _, keys := range [][]string{{oneKey}, {}} {
		r.service.asked()
		r.keyed(keys...)
		r.later(2 * time.Hour)
		s := r.state()
		if s.Phase != pull.NeedsConsent || s.Problem == nil || !strings.Contains(s.Problem.Text, "encrypted with a key") ||
			!strings.Contains(s.Problem.Remedy, "token_key_file") || !strings.Contains(s.Problem.Remedy, "walkd connect watch") {
			t.Errorf("with %d keys: %+v %+v", len(keys), s, s.Problem)
		}
		results, err := r.Sync(t.Context(), pull.SyncRequest{}, nil)
		if err != nil || results[0].Err == nil || !strings.Contains(results[0].Err.Error(), "token_key_file") {
			t.Errorf("sync: %+v, %v", results, err)
		}
		if got := r.service.asked(); len(got) > 0 {
			t.Errorf("asked %v with a token that cannot be read", got)
		}
	}
	if n := strings.Count(r.log.String(), "cannot read the access"); n != 1 {
		t.Errorf("the log tells of it %d times, want once", n)
	}
	r.keyed(otherKey)
	fine("the key is back")
	// Or the person connects it again, and forgets about the key.
	r.keyed()
	r.poll()
	r.connect()
	fine("connected again")
	r.restart()
	fine("after a start")
	r.noLeaks()
	if text := r.log.String(); strings.Contains(text, oneKey) || strings.Contains(text, otherKey) {
		t.Error("a key is in the log")
	}
}
