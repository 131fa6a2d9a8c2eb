package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// slowDigest works a snapshot's digest out from its rows, as FORMAT.md says.
func slowDigest(t testing.TB, r *Reader) recovery.Digest {
	t.Helper()
	h := r.Header()
	b := append([]byte("recoverd catalog state 1\n"), byte(h.Kind()))
	if h.Base == nil {
		b = append(b, make([]byte, 40)...)
	} else {
		b = append(binary.BigEndian.AppendUint64(b, h.Base.Position), h.Base.Digest[:]...)
	}
	b = append(append(b, byte(len(h.Network))), h.Network...)
	b = binary.BigEndian.AppendUint32(b, h.Epoch)
	b = binary.BigEndian.AppendUint64(b, h.Position)
	b = slowTable(t, b, r.BlobDeltas())
	b = slowTable(t, b, r.RegistrationDeltas())
	b = slowTable(t, b, r.PooledDeltas())
	return sha256.Sum256(slowTable(t, b, r.PoolDeltas()))
}

func slowTable[R any, P Row[R]](t testing.TB, b []byte, c DeltaCursor[R]) []byte {
	t.Helper()
	rows, plain := uint64(0), []byte(nil)
	for {
		row, dropped, err := c.Next()
		switch {
		case err != nil:
			t.Fatal(err)
		case row == nil:
			sum := sha256.Sum256(plain)
			return append(binary.BigEndian.AppendUint64(b, rows), sum[:]...)
		case dropped:
			plain = appendDrop(plain, P(row).RowKey(), 0)
		default:
			plain = P(row).AppendPlain(plain)
		}
		rows++
	}
}

// TestDigestOfRows: the digest that is made from blocks is that of the rows. Keys
// share everything from no byte to all but the last.
func TestDigestOfRows(t *testing.T) {
	for name, s := range map[string]*tables{"golden": golden(), "later": goldenLater(), "many blocks": manyBlocks(4000, 0)} {
		r := mustMemory(t, encode(t, s))
		if want, got := slowDigest(t, r), r.Bound().Digest; got != want {
			t.Errorf("%s: digest %v, want %v", name, got, want)
		}
	}
	evidence.Property(t, "snapshots: the digest made from blocks is that of the rows", func(rt *rapid.T) {
		var to memoryStorage
		w, err := newWriter(&to, "memory", Header{
			Stamp: recovery.Stamp{Network: "n", Position: 1 << 40}, Base: &recovery.Ancestor{Position: 3},
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		dropped := func() bool { return rapid.IntRange(0, 3).Draw(rt, "dropped") == 0 }
		for _, k := range drawKeys(rt) {
			if dropped() {
				err = w.DropRegistration(k)
			} else {
				err = w.Registration(&Registration{
					Key: k, Certified: rapid.Bool().Draw(rt, "certified"), EndEpoch: rapid.Uint32().Draw(rt, "end"),
					Gained: rapid.Uint64Range(0, 1<<40).Draw(rt, "gained"),
				})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r := mustMemory(t, to.files[0].Bytes())
		if want, got := slowDigest(t, r), r.Bound().Digest; got != want {
			rt.Fatalf("digest %v, want %v", got, want)
		}
	})
}

// drawKeys draws rising keys, of which many are the blob's own.
func drawKeys(t *rapid.T) (keys []Key) {
	var k Key
	for range rapid.IntRange(1, 60).Draw(t, "keys") {
		at := rapid.IntRange(0, 63).Draw(t, "at")
		if k[at] == 0xff {
			continue
		}
		k[at] += rapid.ByteRange(1, 0xff-k[at]).Draw(t, "by")
		for i := at + 1; i < len(k); i++ {
			k[i] = byte(rapid.IntRange(0, 2).Draw(t, "byte"))
		}
		own := KeyOf(k.Blob(), k.Blob())
		if rapid.Bool().Draw(t, "own") && (len(keys) == 0 || rising(keys[len(keys)-1][:], own[:])) {
			k = own
		}
		keys = append(keys, k)
	}
	return keys
}

// TestFileChangedUnderIt: what is hashed is read again, and a block that is not
// the same any more is damage.
func TestFileChangedUnderIt(t *testing.T) {
	raw := encode(t, state(3000))
	src := &changingReader{raw: raw}
	r, err := NewReader("memory", src, int64(len(raw)))
	if err == nil {
		err = r.verifyContent(t.Context(), newContentDigest())
	}
	if !isCorrupt(err) {
		t.Errorf("error %v", err)
	}
}

// changingReader reads every block well once.
type changingReader struct {
	raw  []byte
	mu   sync.Mutex
	seen []int64
}

func (c *changingReader) ReadAt(b []byte, at int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(b, c.raw[at:])
	if slices.Contains(c.seen, at) && n > blockMax/2 {
		b[n/2] ^= 1
	}
	c.seen = append(c.seen, at)
	return n, nil
}

// FuzzExpand brings arbitrary bytes into plain form: nothing panics, however
// little they are rows.
func FuzzExpand(f *testing.F) {
	s := golden()
	f.Add(true, s.regs[1].AppendPlain(nil), []byte{byte(len(s.regs[1].AppendPlain(nil)))})
	f.Add(false, s.blobs[1].AppendPlain(nil), []byte{byte(len(s.blobs[1].AppendPlain(nil)))})
	f.Fuzz(func(_ *testing.T, pairs bool, payload, lengths []byte) {
		e := expander{pairs: pairs}
		e.hash(sha256.New(), payload, lengths, make([]byte, 0, digestBatch+2*maxRow))
	})
}
