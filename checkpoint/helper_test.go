package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

func mustImage(t testing.TB, r recovery.Record, o order) image {
	t.Helper()
	img, err := newImage(r, o)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func sha(b []byte) recovery.Digest { return sha256.Sum256(b) }

// sealAgain makes length and checksum of a changed value right.
func sealAgain(value []byte) {
	if len(value) >= envelopeLen {
		binary.BigEndian.PutUint32(value[8:], uint32(len(value)-envelopeLen))
		binary.BigEndian.PutUint32(value[12:], envelopeSum(value))
	}
}

// sealSlotAgain makes length and checksum of a changed slot right.
func sealSlotAgain(slot []byte) {
	binary.BigEndian.PutUint32(slot[24:], uint32(len(slot)-slotHeader))
	binary.BigEndian.PutUint32(slot[12:], slotSum(slot))
}

// readAll returns the files of a directory by name.
func readAll(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = data
	}
	return files
}

// writeAll makes a directory with files.
func writeAll(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, fileMode); err != nil {
			t.Fatal(err)
		}
	}
}
