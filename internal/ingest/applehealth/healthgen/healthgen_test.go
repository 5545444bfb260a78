package healthgen_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/walkd/walkd/internal/ingest/applehealth/healthgen"
)

func TestWriteIsDeterministic(t *testing.T) {
	var docs [3]bytes.Buffer
	for i, seed := range []uint64{1, 1, 2} {
		if _, err := healthgen.Write(&docs[i], healthgen.Options{Seed: seed, Bytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(docs[0].Bytes(), docs[1].Bytes()) || bytes.Equal(docs[0].Bytes(), docs[2].Bytes()) {
		t.Error("want the same bytes for the same seed, and others for another")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("disk full")

func TestWriteFails(t *testing.T) {
	if _, err := healthgen.Write(full{}, healthgen.Options{}); !errors.Is(err, errFull) {
		t.Errorf("err = %v, want %v", err, errFull)
	}
}
