package fs

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
)

func FuzzParseID(f *testing.F) {
	f.Add([]byte("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"))
	f.Add([]byte("0011223344556677889:aabbccddeeff00112233445566778899aabbccddeeff"))
	f.Add(bytes.Repeat([]byte("g"), 64))
	f.Fuzz(func(t *testing.T, name []byte) {
		var got recovery.BlobID
		ok := parseID(name, &got)
		var want recovery.BlobID
		n := 0
		if len(name) == 64 {
			n, _ = hex.Decode(want[:], name)
		}
		right := n == 32 && bytes.Equal(bytes.ToLower(name), name)
		if ok != right || ok && got != want {
			t.Errorf("%q: %v, %s; want %v, %s", name, ok, got, right, want)
		}
	})
}

// Every byte but the 16 digits is refused, wherever it stands.
func TestParseIDRefuses(t *testing.T) {
	for at := range 64 {
		for c := range 256 {
			name := bytes.Repeat([]byte("7"), 64)
			name[at] = byte(c)
			var id recovery.BlobID
			want := bytes.IndexByte([]byte("0123456789abcdef"), byte(c)) >= 0
			if got := parseID(name, &id); got != want {
				t.Fatalf("character %q at %d: %v", rune(c), at, got)
			}
		}
	}
}

func entry(name string, kind byte) []byte {
	length := (19 + len(name) + 1 + 7) &^ 7
	e := make([]byte, length)
	binary.NativeEndian.PutUint16(e[16:], uint16(length))
	e[18] = kind
	copy(e[19:], name)
	return e
}

func FuzzParseDirents(f *testing.F) {
	f.Add(append(entry("a", unix.DT_REG), entry("some-longer-name", unix.DT_DIR)...))
	f.Add(entry("a", unix.DT_REG)[:19])
	f.Fuzz(func(t *testing.T, buf []byte) {
		total := 0
		err := parseDirents(buf, func(name []byte, _ uint8) error {
			total += len(name)
			if bytes.IndexByte(name, 0) >= 0 {
				t.Errorf("name %q", name)
			}
			return nil
		})
		if total > len(buf) || err != nil && !errors.Is(err, errDirents) {
			t.Errorf("%d bytes of names in %d bytes, %v", total, len(buf), err)
		}
	})
}

// Listings see what os.ReadDir sees, over more than one buffer.
func TestReadEntries(t *testing.T) {
	path := t.TempDir()
	for i := range 200 {
		if err := os.WriteFile(filepath.Join(path, hex.EncodeToString([]byte{byte(i)})), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	got := map[string]bool{}
	err = readEntries(t.Context(), dir, make([]byte, 512), func(name []byte, kind uint8) error {
		if regular, err := isRegular(dir, name, kind); err != nil || regular != (name[0] != '.') {
			t.Errorf("%s: %v, %v", name, regular, err)
		}
		got[string(name)] = true
		return nil
	})
	if err != nil || len(got) != 202 {
		t.Errorf("%d names, %v", len(got), err)
	}
}

// A file system that tells no types is asked for each.
func TestUnknownType(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for name, want := range map[string]bool{"file": true, "link": false, ".": false, "gone": false} {
		if got, err := isRegular(dir, []byte(name), unix.DT_UNKNOWN); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestSyncfsReports(t *testing.T) {
	for release, want := range map[string]bool{
		"4.19.0": false, "5.7.19-arch": false, "5.8.0": true, "5.10": true, "6.1.0-13-amd64": true, "": false, "odd": false,
	} {
		if got := syncfsReports(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
