package snapshot

import (
	"bytes"
	"errors"
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
	f.Add(readFile(f, incrV1))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkRead(t, raw)
		if len(raw) >= headerMinLength+trailerLength {
			checkRead(t, reseal(bytes.Clone(raw)))
		}
	})
}

func checkRead(t *testing.T, files ...[]byte) {
	r, err := inMemory(files...)
	if err != nil {
		return
	}
	_, err = contentOf(t, r) // must not panic or hang
	if verifyErr := r.Verify(t.Context()); verifyErr != nil {
		return
	}
	if err != nil {
		t.Fatalf("Verify accepts what cannot be read: %v", err)
	}
	if len(files) > 1 || len(files[0]) >= blockPayload {
		return
	}
	if got := rewrite(t, r); !bytes.Equal(got, files[0]) {
		t.Fatalf("%d bytes were accepted, %d would have been written", len(files[0]), len(got))
	}
}

// rewrite writes all that a snapshot holds again.
func rewrite(t *testing.T, r *Reader) []byte {
	t.Helper()
	var to memoryStorage
	w, err := newWriter(&to, "memory", r.Header(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(refill(r, w), w.Close()); err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	return to.files[0].Bytes()
}

// refill gives a writer all rows and dropped keys of a snapshot.
func refill(r *Reader, w *Writer) error {
	return errors.Join(
		refillTable(w, r.BlobDeltas(), w.Blob), refillTable(w, r.RegistrationDeltas(), w.Registration),
		refillTable(w, r.PooledDeltas(), w.Pooled), refillTable(w, r.PoolDeltas(), w.Pool))
}

func refillTable[R any, P Row[R]](w *Writer, from DeltaCursor[R], put func(*R) error) error {
	for {
		row, dropped, err := from.Next()
		switch {
		case row == nil || err != nil:
			return err
		case dropped:
			err = w.drop(P(row).Table(), P(row).RowKey())
		default:
			err = put(row)
		}
		if err != nil {
			return err
		}
	}
}

// FuzzSet opens two arbitrary files as a set.
func FuzzSet(f *testing.F) {
	chunks := goldenSets(f)["chunks"]
	f.Add(chunks[0], chunks[1])
	f.Add(chunks[1], chunks[0])
	f.Add(chunks[2], chunks[3])
	s := golden()
	s.pooled, s.pools = nil, nil
	two := encodeSet(f, s, 1)
	f.Add(two[0], two[1])
	f.Fuzz(func(t *testing.T, a, b []byte) {
		checkRead(t, a, b)
		if min(len(a), len(b)) >= headerMinLength+trailerLength {
			checkRead(t, reseal(bytes.Clone(a)), reseal(bytes.Clone(b)))
		}
	})
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
	for _, file := range [][]byte{encode(f, s), readFile(f, incrV1)} {
		r := mustMemory(f, file)
		for t := Blobs; t <= Pools; t++ {
			b := r.index.of(t)[0]
			raw := make([]byte, b.length)
			if err := readFull(r.sources[0].src, raw, b.offset); err != nil {
				f.Fatal(err)
			}
			f.Add(byte(t-1), b.rows, raw[blockHeader:len(raw)-crcLength])
		}
	}
	f.Fuzz(func(t *testing.T, table byte, rows uint32, payloadBytes []byte) {
		p := payload{table: Table(table%tableCount + 1), rows: rows, bytes: payloadBytes}
		if len(payloadBytes) >= 34 {
			copy(p.first[:], payloadBytes[2:34])
		}
		head := s.head
		checkRows(t, head, p)
		head.Base = &recovery.Ancestor{Position: 1}
		checkRows(t, head, p)
	})
}

func checkRows(t *testing.T, head Header, p payload) {
	r, err := inMemory(forge(head, p))
	if err != nil {
		return
	}
	if _, err := readDeltas(r); err != nil {
		return
	}
	w, err := newWriter(&memoryStorage{}, "memory", head, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := refill(r, w); err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	if got := w.slab.buf[w.slab.start+blockHeader:]; !bytes.Equal(got, p.bytes) {
		t.Fatalf("accepted\n%x\nwould have been written as\n%x", p.bytes, got)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
}

func mustMemory(t testing.TB, files ...[]byte) *Reader {
	t.Helper()
	r, err := inMemory(files...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
