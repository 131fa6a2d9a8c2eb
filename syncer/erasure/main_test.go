package erasure

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blobOf returns size bytes that depend on seed.
func blobOf(seed uint64, size int) []byte {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(data) // never fails
	return data
}

// split cuts a blob and returns its manifest, encoded too, and all its pieces.
func split(t testing.TB, code Code, blob []byte) (*Manifest, []byte, [][]byte) {
	t.Helper()
	m, err := Split(t.Context(), code, bytes.NewReader(blob), int64(len(blob)))
	must(t, err)
	encoded, err := m.Encode()
	must(t, err)
	bufs := make([]bytes.Buffer, code.N)
	targets := make([]Target, code.N)
	for i := range targets {
		targets[i] = Target{i, &bufs[i]}
	}
	must(t, WritePieces(t.Context(), m, bytes.NewReader(blob), targets))
	pieces := make([][]byte, code.N)
	for i := range pieces {
		if pieces[i] = bufs[i].Bytes(); sha256.Sum256(pieces[i]) != m.Pieces[i] {
			t.Fatalf("piece %d has another digest than the manifest says", i)
		}
	}
	return m, encoded, pieces
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
