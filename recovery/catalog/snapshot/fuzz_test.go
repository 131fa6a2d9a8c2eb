package snapshot

import (
	"bytes"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// FuzzRead opens and reads arbitrary bytes, as they are and with every sum made
// right: nothing panics, and what Verify proves is what a writer would have
// written.
func FuzzRead(f *testing.F) {
	f.Add(encode(f, golden()))
	f.Add(encode(f, state(1)))
	f.Add(encode(f, state(0)))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkRead(t, raw)
		if len(raw) >= headerMinLength+trailerLength {
			checkRead(t, reseal(bytes.Clone(raw)))
		}
	})
}

func checkRead(t *testing.T, raw []byte) {
	r, err := inMemory(raw)
	if err != nil {
		return
	}
	_, _ = scanAll(t, r.Scan(), recovery.Mark{}) // must not panic or hang
	s, err := readAll(r)
	if verifyErr := r.Verify(t.Context()); verifyErr != nil {
		return
	}
	if err != nil {
		t.Fatalf("Verify accepts what cannot be read: %v", err)
	}
	if got := encode(t, &s); len(raw) < blockPayload && !bytes.Equal(got, raw) {
		t.Fatalf("%d bytes were accepted, %d would have been written", len(raw), len(got))
	}
}

// FuzzRows reads arbitrary rows, in blocks whose sums are right. Whatever is
// accepted is in its one and only form.
func FuzzRows(f *testing.F) {
	s := golden()
	for _, seed := range []struct {
		table Table
		plain []byte
	}{
		{Blobs, s.blobs[2].AppendPlain(nil)}, {Registrations, s.regs[1].AppendPlain(nil)},
		{PooledRegistrations, s.pooled[0].AppendPlain(nil)}, {Pools, s.pools[1].AppendPlain(nil)},
	} {
		f.Add(byte(seed.table), uint32(1), seed.plain)
	}
	for i, r := 0, mustMemory(f, encode(f, s)); i < tableCount; i++ {
		b := r.index[i][0]
		raw := make([]byte, b.length)
		if err := readFull(r.src, raw, b.offset); err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i+1), b.rows, raw[blockHeader:len(raw)-crcLength])
	}
	f.Fuzz(func(t *testing.T, table byte, rows uint32, payloadBytes []byte) {
		p := payload{table: Table(table%tableCount + 1), rows: rows, bytes: payloadBytes}
		if len(payloadBytes) >= 34 {
			copy(p.first[:], payloadBytes[2:34])
		}
		r, err := inMemory(forge(s.head, p))
		if err != nil {
			return
		}
		back, err := readAll(r)
		if err != nil {
			return
		}
		w, err := newWriter(&memoryOutput{}, "memory", s.head)
		if err != nil {
			t.Fatal(err)
		}
		if err := back.put(w); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if got := w.block[blockHeader:]; !bytes.Equal(got, payloadBytes) {
			t.Fatalf("accepted\n%x\nwould have been written as\n%x", payloadBytes, got)
		}
	})
}

func mustMemory(t testing.TB, raw []byte) *Reader {
	r, err := inMemory(raw)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
