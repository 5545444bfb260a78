package simulate

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
)

//go:embed person.csv.gz
var recording []byte

// Recording returns 29 real days of one person as a Fitabase file of minute steps with a row an hour, see ORIGIN.md.
func Recording() (io.Reader, error) {
	z, err := gzip.NewReader(bytes.NewReader(recording))
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	return z, nil
}
