package logline_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"

	logline "github.com/walkd/walkd/internal/notify/log"
	"github.com/walkd/walkd/internal/notify/notifytest"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func TestConforms(t *testing.T) {
	notifytest.Conform(t, func(t *testing.T) notifytest.World {
		var out buffer
		return notifytest.World{
			Channel: logline.New(slog.New(slog.NewJSONHandler(&out, nil))),
			Shown: func() []notifytest.Seen {
				out.mu.Lock()
				defer out.mu.Unlock()
				var seen []notifytest.Seen
				for line := range bytes.Lines(out.b.Bytes()) {
					var s struct{ Person, Rule, Title, Text string }
					if err := json.Unmarshal(line, &s); err != nil {
						t.Fatal(err)
					}
					if s.Person != "Zoë O'Neil" || s.Rule != "behind" {
						t.Errorf("the line is %s", line)
					}
					seen = append(seen, notifytest.Seen{Title: s.Title, Body: s.Text})
				}
				return seen
			},
		}
	})
}
