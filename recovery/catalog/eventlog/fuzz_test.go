package eventlog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// The description of a log is what encode writes, or it is refused: as it is, and with a
// right checksum.
func FuzzMeta(f *testing.F) {
	stamp := recovery.Stamp{Network: "n", Epoch: 3, Position: 90}
	for _, m := range []meta{
		{Stamp: recovery.Stamp{Network: "n"}, Base: recovery.Bound{Stamp: recovery.Stamp{Network: "n"}}, First: 1, Made: true, Clean: true},
		{Stamp: stamp, Base: recovery.Bound{Stamp: recovery.Stamp{Network: "n", Epoch: 2, Position: 70}, Digest: recovery.Digest{7}}, First: 60, Swept: 70, Delta: 1 << 60},
	} {
		text := m.encode()
		f.Add(text[:len(text)-crcLength])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, raw := range [][]byte{body, appendSum(bytes.Clone(body))} {
			m, err := decodeMeta(raw)
			if err == nil && !bytes.Equal(m.encode(), raw) {
				t.Fatalf("%x is read as %+v, which is %x", raw, m, m.encode())
			}
		}
	})
}

// Whatever the marker of a load that is under way holds, it is one.
func FuzzMarker(f *testing.F) {
	for _, text := range []string{"", `{"from": "full-1-0123456789abcdef.rsnap"}`, `{"position": 9}`, `{"position": -1}`, "null", "\x00\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, markerName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := readMarker(dir); m == nil || err != nil || checkMarker(dir) == nil {
			t.Fatalf("%q is no marker: %v, %v", text, m, err)
		}
	})
}
