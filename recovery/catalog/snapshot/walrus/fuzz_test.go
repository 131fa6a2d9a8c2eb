package walrus_test

import (
	"bytes"
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
)

// FuzzReader reads arbitrary bytes, as they are and with the sum of layout A made
// right: nothing panics, and what is accepted is in the one form that its
// entries have.
func FuzzReader(f *testing.F) {
	for _, s := range []walrustest.Snapshot{sampleInA(), {}, walrustest.Many(20, 1)} {
		f.Add(s.Encode(walrus.A))
		f.Add(s.Encode(walrus.B))
	}
	f.Add([]byte(walrus.Magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkRead(t, raw)
		if len(raw) > 8 {
			checkRead(t, walrustest.Seal(bytes.Clone(raw[:len(raw)-8])))
		}
	})
}

func checkRead(t *testing.T, raw []byte) {
	s, _, err := read(raw)
	if err != nil {
		if !refusal(err) {
			t.Fatalf("error %v", err)
		}
		return
	}
	if again := s.Encode(s.Header.Layout); !bytes.Equal(again, raw) {
		t.Fatalf("accepted\n%x\nits entries are written as\n%x", raw, again)
	}
}
