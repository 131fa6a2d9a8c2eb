package boltdb

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
)

// A file with any bytes, and right checksums in its meta pages: it is refused as damaged
// or of another kind, or it is a catalog of which all can be read and which proves itself.
func FuzzReader(f *testing.F) {
	good := readFile(f, restored(f, catalogtest.RandomTables(4, 12), Config{}))
	f.Add(good)
	f.Add(good[:len(good)/2])
	path := filepath.Join(f.TempDir(), "given.bolt")
	f.Fuzz(func(t *testing.T, given []byte) {
		raw := sealMetas(bytes.Clone(given))
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := ask(t, path, nil); err != nil && !damaged(err) {
			t.Fatalf("%d rows, and an error that calls it neither damaged nor foreign: %v", len(a.rows), err)
		}
	})
}

// sealMetas gives both meta pages right checksums, or nobody would look further.
func sealMetas(raw []byte) []byte {
	for at := 0; at <= pageSize; at += pageSize {
		if len(raw) >= at+pageHeader+metaLen {
			meta := raw[at+pageHeader:]
			sum := fnv.New64a()
			sum.Write(meta[:metaSummed])
			binary.NativeEndian.PutUint64(meta[metaSummed:], sum.Sum64())
		}
	}
	return raw
}

// The description of a state is what encode writes, or it is refused.
func FuzzState(f *testing.F) {
	for _, text := range []string{
		`{"version":1,"stamp":{"network":"n","epoch":1,"position":2},"rows":{},"last_keys":{}}`, `{"version":2}`, `{"version":1,"unknown":0}`, `null`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := decodeState(append(binary.BigEndian.AppendUint32(nil, stateSum(text)), text...))
		if err != nil {
			return
		}
		once, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeState(once)
		if err != nil {
			t.Fatalf("%s is written as %s: %v", text, once, err)
		}
		if twice, err := again.encode(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
	})
}
