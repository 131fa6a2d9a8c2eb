package erasure

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var update = flag.Bool("update", false, "write the golden files of a version that is not released yet")

// golden are blobs whose manifests and pieces may never change: what is stored would
// have other names and other bytes.
var golden = []struct {
	name string
	code Code
	size int
}{
	{"empty", Code{10, 14}, 0},
	{"one-byte", Code{3, 5}, 1},
	{"odd", Code{10, 14}, 100_003},
	{"copies", Code{1, 4}, 777},
	{"no-parity", Code{4, 4}, 4_099},
	{"most", Code{200, 256}, 20_000},
}

func TestGoldenManifests(t *testing.T) {
	for i, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			_, encoded, _ := split(t, g.code, blobOf(uint64(i), g.size))
			path := filepath.Join("testdata", g.name+".manifest.hex")
			if *update {
				must(t, os.WriteFile(path, []byte(hex.EncodeToString(encoded)+"\n"), 0o644))
			}
			text, err := os.ReadFile(path)
			must(t, err)
			want, err := hex.DecodeString(strings.TrimSpace(string(text)))
			must(t, err)
			// The digests of all pieces are in it, so this proves the parity too.
			if !bytes.Equal(encoded, want) {
				t.Errorf("the manifest, or a piece, is not what it was in version %d", Version)
			}
		})
	}
}

func TestManifestComesBack(t *testing.T) {
	for i, g := range golden {
		m, encoded, _ := split(t, g.code, blobOf(uint64(i), g.size))
		back, err := Decode(encoded)
		must(t, err)
		if diff := cmp.Diff(m, back); diff != "" {
			t.Errorf("%s: %s", g.name, diff)
		}
		if b := BlobOf(encoded, m.Size); !b.ContentAddressed() || b.ID != sha256.Sum256(encoded) || b.Size != int64(g.size) {
			t.Errorf("%s: the catalog would list %+v", g.name, b)
		}
	}
}

// Every flipped bit makes another id, and is refused by itself where it contradicts
// the rest: in all but the digests and the lowest bits of the size.
func TestEveryFlippedBitOfAManifestIsFound(t *testing.T) {
	_, encoded, _ := split(t, Code{3, 5}, blobOf(1, 1_000))
	id := IDOf(encoded)
	for at := range 8 * len(encoded) {
		bad := bytes.Clone(encoded)
		bad[at/8] ^= 1 << (at % 8)
		m, err := Decode(bad)
		switch {
		case IDOf(bad) == id:
			t.Fatalf("bit %d: the same id", at)
		case err == nil && at/8 < 30 && (at/8 != 21 || m.PieceSize() != 334):
			t.Errorf("bit %d of the numbers was flipped and taken: %+v", at, m.Code)
		case err != nil && (at/8 >= 30 || !errors.Is(err, ErrManifest)):
			t.Errorf("bit %d: %v", at, err)
		}
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every flipped bit of a manifest", Tried: uint64(8 * len(encoded)), Unit: "corruptions",
		Detail: "each makes another id, which is what a stored one is held against",
	})
}

func TestEveryTruncationOfAManifestIsRefused(t *testing.T) {
	_, encoded, _ := split(t, Code{3, 5}, blobOf(1, 1_000))
	for n := range len(encoded) {
		if _, err := Decode(encoded[:n]); !errors.Is(err, ErrManifest) {
			t.Errorf("%d of %d bytes: %v", n, len(encoded), err)
		}
	}
	if _, err := Decode(append(bytes.Clone(encoded), 0)); !errors.Is(err, ErrManifest) {
		t.Errorf("a byte more: %v", err)
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every truncation of a manifest", Tried: uint64(len(encoded) + 1), Unit: "corruptions",
		Detail: "all are refused",
	})
}

// Hazard 65. No number in a manifest is trusted before it is bounded.
func TestManifestsNumbersTrustedBeforeTheyAreBounded(t *testing.T) {
	put := func(at int, values ...byte) func([]byte) { return func(b []byte) { copy(b[at:], values) } }
	for name, change := range map[string]func([]byte){
		"k is 0":           put(10, 0, 0),
		"k above n":        put(10, 0, 6),
		"n is 0":           put(12, 0, 0),
		"n above 256":      put(12, 0xff, 0xff),
		"size of 2^63":     put(14, 0x80),
		"size of an EiB":   put(14, 0x10),
		"size of 2^64 - 1": put(14, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"other piece size": put(22, 0, 0, 0, 0, 0, 0, 0, 1),
		"version 2":        put(8, 0, 2),
		"no magic":         put(0, 'R'),
	} {
		_, encoded, _ := split(t, Code{3, 5}, blobOf(1, 1_000))
		change(encoded)
		if _, err := Decode(encoded); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCodeValidate(t *testing.T) {
	for code, ok := range map[Code]bool{
		{1, 1}: true, {10, 14}: true, {256, 256}: true, {1, 256}: true, {14, 14}: true,
		{}: false, {0, 4}: false, {5, 4}: false, {-1, 4}: false, {10, 257}: false,
	} {
		if err := code.Validate(); (err == nil) != ok || err != nil && !errors.Is(err, ErrCode) {
			t.Errorf("%v: %v", code, err)
		}
	}
}

func TestPieceSize(t *testing.T) {
	for _, c := range []struct{ k, size, want int64 }{
		{10, 0, 0}, {10, 1, 1}, {10, 10, 1}, {10, 11, 2}, {10, 100, 10}, {1, 7, 7}, {256, MaxSize, MaxSize / 256}, {3, MaxSize, MaxSize/3 + 1},
	} {
		if got := (Code{int(c.k), 256}).PieceSize(c.size); got != c.want {
			t.Errorf("a piece of %d bytes, cut in %d, has %d, want %d", c.size, c.k, got, c.want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	for i, g := range golden {
		_, encoded, _ := split(f, g.code, blobOf(uint64(i), g.size))
		f.Add(encoded)
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrManifest) || m != nil || len(err.Error()) > 300 {
				t.Fatalf("%v with %v", m, err)
			}
			return
		}
		back, err := m.Encode()
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("it came back as %x, %v", back, err)
		}
		if m.PieceSize()*int64(m.K) < m.Size || m.PieceSize() < 0 {
			t.Fatalf("%d pieces of %d bytes for a blob of %d", m.K, m.PieceSize(), m.Size)
		}
	})
}

func ExampleManifest() {
	m := Manifest{Code: Code{K: 10, N: 14}, Size: 100_003}
	fmt.Println(m.Code, m.PieceSize())
	// Output: 10 of 14 10001
}
