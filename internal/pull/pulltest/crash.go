package pulltest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/walkd/walkd/internal/pull"
	"github.com/walkd/walkd/internal/store"
)

const crashVariable = "WALKD_PULLTEST_CRASH"

// A Death says whether a process kills itself around a request: before it is sent, or once its answer has come, before
// that is handed on. point is what was given to Rig.Crash.
type Death func(point string, q *http.Request) (before, after bool)

// The points of AroundRenewal.
const (
	BeforeCommit = "commit" // the answer with the new token has come, and is not handed on
	BeforeUse    = "use"    // the new token is kept, and the first request with it not sent
	BeforeAnswer = "answer" // the answer to that request has come, and is not handed on
)

// AroundRenewal returns the Death of a process that renews a token at the path tokens, and then uses it.
func AroundRenewal(tokens string) Death {
	return func(point string, q *http.Request) (before, after bool) {
		renewal := q.URL.Path == tokens
		return point == BeforeUse && !renewal, point == BeforeCommit && renewal || point == BeforeAnswer && !renewal
	}
}

// CrashChild is for a test named TestCrashChild, which is the process that Rig.Crash starts; otherwise it skips the test.
// It returns a Puller on the rig's store, whose process dies as it is told to.
func CrashChild(t testing.TB, from Source, death Death) *pull.Puller {
	t.Helper()
	spec := os.Getenv(crashVariable)
	if spec == "" {
		t.Skip("only run by TestCrash")
	}
	parts := strings.SplitN(spec, " ", 4)
	now := NewClock(At(parts[3]))
	st, err := store.Open(t.Context(), parts[2])
	if err != nil {
		t.Fatal(err)
	}
	p, err := pull.New(pull.Options{
		Store: st, Clock: now, Wall: now, Transport: killer{parts[0], death, &http.Transport{}},
	}, []pull.Config{from.config(from.Provider(parts[1], now))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Crash closes the store and lets a process that is killed at point do what TestCrashChild does. It returns what that
// process said. Open is what comes next.
func (r *Rig) Crash(point string) []byte {
	r.T.Helper()
	if err := r.Store.Close(); err != nil {
		r.T.Fatal(err)
	}
	child := exec.CommandContext(r.T.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	child.Env = append(os.Environ(), crashVariable+"="+strings.Join([]string{
		point, r.Server.URL, r.dir, r.Now.Now().Format(time.RFC3339),
	}, " "))
	out, err := child.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.Exited() {
		r.T.Fatalf("the child was not killed: %v\n%s", err, out)
	}
	return out
}

// killer kills its process.
type killer struct {
	point string
	death Death
	next  http.RoundTripper
}

func (k killer) RoundTrip(q *http.Request) (*http.Response, error) {
	before, after := k.death(k.point, q)
	if before {
		k.die()
	}
	resp, err := k.next.RoundTrip(q)
	if err == nil && after {
		_, _ = io.ReadAll(resp.Body)
		k.die()
	}
	return resp, err
}

func (k killer) die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}
