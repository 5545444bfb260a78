package applehealth

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/walkd/walkd/internal/ingest"
)

// sniffed is how much of a file is searched for its root element. The DTD before it takes some 10 KiB.
const sniffed = 256 << 10

// Open opens an export.zip, an export.xml, or a folder that holds an export.xml itself or in an apple_health_export.
// The names inside are localised, so the content decides: the XML file with <HealthData> is taken.
func (Format) Open(path string) (ingest.File, io.Closer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return ingest.File{}, nil, err
	}
	if info.IsDir() {
		return openFolder(path)
	}
	zipped, err := isZip(path)
	if err != nil {
		return ingest.File{}, nil, err
	}
	if zipped {
		return openZip(path)
	}
	return openXML(path)
}

func isZip(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	magic := make([]byte, 4)
	switch _, err := io.ReadFull(f, magic); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return false, nil
	case err != nil:
		return false, err
	}
	return string(magic[:2]) == "PK", nil
}

func openXML(path string) (ingest.File, io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return ingest.File{}, nil, err
	}
	root, err := sniff(f)
	if err == nil && root != healthData {
		err = fmt.Errorf("%s is %s: want the export.zip of the Health app, or the export.xml in it", path, root)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr); err != nil {
		return ingest.File{}, nil, errors.Join(err, f.Close())
	}
	return ingest.File{Name: path, Size: info.Size(), Body: f}, f, nil
}

func openFolder(path string) (ingest.File, io.Closer, error) {
	var found []string
	for _, dir := range []string{path, filepath.Join(path, "apple_health_export")} {
		entries, err := os.ReadDir(dir)
		if err != nil && dir == path {
			return ingest.File{}, nil, err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if !strings.EqualFold(filepath.Ext(name), ".xml") || isCDA(name) {
				continue
			}
			if f, c, err := openXML(name); err == nil {
				return f, c, nil
			}
			found = append(found, name)
		}
	}
	return ingest.File{}, nil, fmt.Errorf("%s holds no Apple Health export (%s): want a folder with export.xml",
		path, listed(found))
}

func openZip(path string) (ingest.File, io.Closer, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return ingest.File{}, nil, fmt.Errorf("%s is an incomplete or damaged zip, copy or export it again: %w", path, err)
	}
	var found []string
	for _, m := range z.File {
		if !strings.EqualFold(filepath.Ext(m.Name), ".xml") || isCDA(m.Name) {
			continue
		}
		root, err := sniffMember(m)
		if err != nil {
			return ingest.File{}, nil, errors.Join(fmt.Errorf("%s:%s: %w", path, m.Name, err), z.Close())
		}
		if root != healthData {
			found = append(found, m.Name)
			continue
		}
		body, err := m.Open()
		if err != nil {
			return ingest.File{}, nil, errors.Join(fmt.Errorf("%s:%s: %w", path, m.Name, err), z.Close())
		}
		f := ingest.File{Name: path + ":" + m.Name, Size: int64(m.UncompressedSize64), Body: body}
		return f, closers{body, z}, nil
	}
	err = fmt.Errorf("%s holds no Apple Health export (%s): want the export.zip of the Health app", path, listed(found))
	return ingest.File{}, nil, errors.Join(err, z.Close())
}

func sniffMember(m *zip.File) (string, error) {
	body, err := m.Open()
	if err != nil {
		return "", err
	}
	defer body.Close()
	return sniff(body)
}

// isCDA reports whether name is that of the clinical document beside the export.
func isCDA(name string) bool { return strings.HasSuffix(strings.ToLower(name), "export_cda.xml") }

const healthData = "an Apple Health export"

// sniff says what a document is.
func sniff(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, sniffed))
	switch {
	case bytes.Contains(b, []byte("<HealthData")):
		return healthData, nil // if it is damaged, decoding will say so
	case err != nil:
		return "", err
	case len(b) == 0:
		return "an empty file", nil
	case bytes.Contains(b, []byte("<ClinicalDocument")):
		return "a clinical document (export_cda.xml)", nil
	case bytes.HasPrefix(bytes.TrimLeft(b, "\xef\xbb\xbf \t\r\n"), []byte("<")):
		return "an XML file without <HealthData>", nil
	}
	return "not an XML file", nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "no .xml file in it"
	}
	if len(names) > 5 {
		names = append(names[:5:5], "…")
	}
	return "found " + strings.Join(names, ", ")
}

// closers closes all its members.
type closers []io.Closer

// Close closes them in order.
func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
