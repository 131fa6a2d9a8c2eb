package walrus_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
)

// Frozen files of both layouts with the same entries: B is the documented
// sample. They are never regenerated.
const (
	sampleA       = "testdata/layout-a.bin"
	sampleB       = "testdata/layout-b.bin"
	sampleDigestA = 0xa5e023e19df14a08
	sampleDigestB = 0x17cf49e2fd041371
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func inMemory(t testing.TB, raw []byte) *walrus.Reader {
	t.Helper()
	r, err := walrus.NewReader("memory", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read reads a whole file back into what was written.
func read(raw []byte) (s walrustest.Snapshot, digest uint64, err error) {
	r, err := walrus.NewReader("memory", bytes.NewReader(raw))
	if err != nil {
		return s, 0, err
	}
	s.Header = r.Header()
	for {
		e, err := r.Next()
		if e == nil || err != nil {
			return s, r.Digest(), err
		}
		switch e.Section {
		case walrus.Objects:
			s.Objects = append(s.Objects, walrustest.Entry[walrus.Object]{Key: e.Key, Value: e.Object})
		case walrus.PooledObjects:
			s.Pooled = append(s.Pooled, walrustest.Entry[walrus.Pooled]{Key: e.Key, Value: e.Pooled})
		case walrus.Pools:
			s.Pools = append(s.Pools, walrustest.Entry[walrus.Pool]{Key: e.Key, Value: e.Pool})
		}
	}
}

func corrupt(err error) *snapshot.CorruptError {
	var c *snapshot.CorruptError
	if errors.As(err, &c) {
		return c
	}
	return nil
}

// refusal reports whether an error is one of those for bytes that are no file.
func refusal(err error) bool {
	return corrupt(err) != nil || errors.Is(err, walrus.ErrNotWalrus) || errors.Is(err, walrus.ErrUnsupported)
}
