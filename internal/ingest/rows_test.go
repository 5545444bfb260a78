package ingest_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/walkd/walkd/internal/ingest"
)

// readRows returns each row as "line: field|field", or "line! reason".
func readRows(in io.Reader) ([]string, error) {
	r := ingest.NewRows(ingest.File{Name: "f.csv", Body: in})
	var out []string
	for {
		fields, err := r.Read()
		var bad ingest.BadRow
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d! %s", bad.Line, bad.Reason))
		case err != nil:
			return out, err
		default:
			parts := make([]string, len(fields))
			for i, f := range fields {
				parts[i] = string(f)
			}
			out = append(out, fmt.Sprintf("%d: %s", r.Line(), strings.Join(parts, "|")))
		}
	}
}

func numbered(from, to int, row string) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprintf("%d: %s", i, row))
	}
	return out
}

func TestRows(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"plain", "a,b\n1,2\n", []string{"1: a|b", "2: 1|2"}},
		{"no last line break", "a,b\n1,2", []string{"1: a|b", "2: 1|2"}},
		{"crlf, byte order mark", "\xef\xbb\xbfa,b\r\n1,2\r\n", []string{"1: a|b", "2: 1|2"}},
		{"empty lines", "a,b\n\n\r\n1,2\n\n", []string{"1: a|b", "4: 1|2"}},
		{"semicolon", "a;b;c,d\n1;2,5;3\n", []string{"1: a|b|c,d", "2: 1|2,5|3"}},
		{"tab", "a\tb\n1\t\n", []string{"1: a|b", "2: 1|"}},
		{"separator not from quotes", "\"a;;;\",b\n1,2\n", []string{"1: a;;;|b", "2: 1|2"}},
		{"quotes", `a,"b ""x"", y",c` + "\n", []string{`1: a|b "x", y|c`}},
		{"quote inside", `a"b,c` + "\n", []string{`1: a"b|c`}},
		{"text after a quote", `"a"b,"c"d` + "\n", []string{`1: ab|cd`}},
		{"empty quotes", `"",""` + "\n", []string{`1: |`}},
		{"line break in quotes", "a,b\n\"x\ny\",2\n3,4\n", []string{"1: a|b", "2: x\ny|2", "4: 3|4"}},
		{
			"open quote", "a,b\n\"x,2\n3,4\n5,6",
			[]string{"1: a|b", "2! a quote is opened and not closed", "3: 3|4", "4: 5|6"},
		},
		{
			"two open quotes", "a,b\n1,\"x\n\n\"y\n3,4\n",
			[]string{"1: a|b", "2: 1|x\n\ny", "5: 3|4"},
		},
		{
			"three open quotes", "a,b\n1,\"x\n2,\"\"y\n3,4\n",
			[]string{"1: a|b", "2! a quote is opened and not closed", "3: 2|y", "4: 3|4"},
		},
		{
			"open quote, long file", "\"a,b\n" + strings.Repeat("3,4\n", 200),
			append([]string{"1! a quote is opened and not closed"}, numbered(2, 201, "3|4")...),
		},
		{
			"long row", "a,b\n" + strings.Repeat("x", 300<<10) + "\n1,2\n",
			[]string{"1: a|b", "2! the row is longer than 256 KiB", "3: 1|2"},
		},
		{
			"long last row", "a,b\n" + strings.Repeat("x", 300<<10),
			[]string{"1: a|b", "2! the row is longer than 256 KiB"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, in := range map[string]io.Reader{
				"whole": strings.NewReader(tt.in), "bytewise": iotest.OneByteReader(strings.NewReader(tt.in)),
			} {
				got, err := readRows(in)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestRowsErrors(t *testing.T) {
	broken := errors.New("broken pipe")
	got, err := readRows(io.MultiReader(strings.NewReader("a,b\n1,2\n3"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("err = %v, want %v", err, broken)
	}
	if diff := cmp.Diff([]string{"1: a|b", "2: 1|2"}, got); diff != "" {
		t.Errorf("rows before the error (-want +got):\n%s", diff)
	}
	if _, err := readRows(strings.NewReader("\xff\xfea\x00,\x00b\x00")); err == nil {
		t.Error("UTF-16: want an error")
	}
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.csv")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, c, err := ingest.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if body, err := io.ReadAll(f.Body); f.Name != path || f.Size != 5 || string(body) != "hello" || err != nil {
		t.Errorf("File = %q, %d bytes, %q, %v", f.Name, f.Size, body, err)
	}
	if _, _, err := ingest.OpenFile(dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("folder: err = %v", err)
	}
	if _, _, err := ingest.OpenFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: err = %v", err)
	}
}

func FuzzRows(f *testing.F) {
	f.Add("a,b\r\n\"x\"\"\ny\",2\n\n3;4")
	f.Add("\xef\xbb\xbf\"")
	f.Fuzz(func(t *testing.T, in string) {
		whole, err1 := readRows(strings.NewReader(in))
		bytewise, err2 := readRows(iotest.OneByteReader(strings.NewReader(in)))
		if diff := cmp.Diff(whole, bytewise); diff != "" || (err1 == nil) != (err2 == nil) {
			t.Errorf("whole %v, bytewise %v:\n%s", err1, err2, diff)
		}
	})
}
