package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// Numbers in an adversary's file, whose every checksum is
// right, are bounded before anything is allocated. Hazard 65.
func TestLengthsFromAFileTrustedBeforeTheyAreBounded(t *testing.T) {
	full := state(2000)
	incr := state(2000)
	incr.head.Base = &recovery.Ancestor{Position: 1}
	for kind, raw := range map[string][]byte{
		"full": encode(t, full), "incremental": encode(t, incr), "chunk": encodeSet(t, state(4000), 1)[0],
	} {
		for name, edit := range hostile(raw) {
			t.Run(kind+", "+name, func(t *testing.T) {
				bad := slices.Clone(raw)
				edit(bad)
				reseal(bad)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := inMemory(bad)
				runtime.ReadMemStats(&after)
				if kind == "chunk" && errors.Is(err, ErrChunk) {
					return // judged with the others
				}
				if !isCorrupt(err) {
					t.Errorf("error %v", err)
				}
				if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
					t.Errorf("%d bytes were allocated for a file of %d", n, len(bad))
				}
			})
		}
	}
}

// hostile are edits that put impossible numbers into a file.
func hostile(raw []byte) map[string]func([]byte) {
	at := len(raw) - trailerLength
	index := int(binary.BigEndian.Uint64(raw[at+8:]))
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	return map[string]func([]byte){
		"header too long":     func(b []byte) { put32(b[headerLength:], headerMaxLength+1) },
		"header endless":      func(b []byte) { put32(b[headerLength:], math.MaxUint32) },
		"header too short":    func(b []byte) { put32(b[headerLength:], 8) },
		"network too long":    func(b []byte) { b[headerNetwork] = 255 },
		"many ancestors":      func(b []byte) { binary.BigEndian.PutUint16(b[headerNetwork+1+4:], 65535) },
		"many chunks":         func(b []byte) { put32(b[headerChunk+4:], math.MaxUint32) },
		"chunk far away":      func(b []byte) { put32(b[headerChunk:], math.MaxUint32) },
		"index far away":      func(b []byte) { put64(b[at+8:], 1<<62) },
		"index before header": func(b []byte) { put64(b[at+8:], 0); put64(b[at+16:], uint64(at)) },
		"index endless":       func(b []byte) { put64(b[at+16:], 1<<62) },
		"index negative":      func(b []byte) { put64(b[at+16:], 1<<63) },
		"rows":                func(b []byte) { put64(b[at+24:], 1<<60) },
		"fewer rows":          func(b []byte) { put64(b[at+24:], 1) },
		"pools":               func(b []byte) { put64(b[at+48:], MaxPools+1) },
		"pools not there":     func(b []byte) { put64(b[at+48:], MaxPools) },
		"certified":           func(b []byte) { put64(b[at+56:], 1<<60) },
		"unsized":             func(b []byte) { put64(b[at+72:], 1<<60) },
		"blocks":              func(b []byte) { put32(b[index:], math.MaxUint32) },
		"block offset":        func(b []byte) { put64(b[index+4+32:], 1<<62) },
		"block too long":      func(b []byte) { put32(b[index+4+40:], math.MaxUint32) },
		"block too short":     func(b []byte) { put32(b[index+4+40:], 0) },
		"rows in a block":     func(b []byte) { put32(b[index+4+44:], math.MaxUint32) },
		"no rows in a block":  func(b []byte) { put32(b[index+4+44:], 0) },
		"first keys fall":     func(b []byte) { b[index+4] = 0xff },
	}
}

// payload is a block to be, whatever is in it.
type payload struct {
	table Table
	rows  uint32
	first [32]byte
	bytes []byte
}

// forge makes a file of given blocks, with every sum right but the digest and the
// totals.
func forge(head Header, blocks ...payload) []byte {
	raw := head.appendTo(nil, Chunk{Count: 1})
	var x index
	var counts Counts
	for _, p := range blocks {
		sealed := sealBlock(append(make([]byte, blockHeader), p.bytes...), p.table, p.rows)
		x[p.table-1] = append(x[p.table-1], block{p.first, int64(len(raw)), uint32(len(sealed)), p.rows, 0})
		*counts.of(p.table) += uint64(p.rows)
		raw = append(raw, sealed...)
	}
	at := len(raw)
	raw = x.appendTo(raw)
	raw = trailer{
		indexOffset: int64(at), indexLength: int64(len(raw) - at), totals: Totals{Rows: counts},
	}.appendTo(raw)
	return binary.BigEndian.AppendUint64(raw, fileSum(raw))
}

// plainBlobs returns rows that share nothing.
func plainBlobs(first byte, n int) payload {
	p := payload{table: Blobs, rows: uint32(n)}
	for i := range n {
		b := Blob{Blob: recovery.Blob{ID: recovery.BlobID{first, byte(i >> 8), byte(i)}, Encoding: recovery.Raw}}
		b.Digest = b.ID
		plain := b.AppendPlain(nil)
		if i == 0 {
			p.first = b.ID
		} else { // every id shares its first byte with the one before
			shared := 1
			if i&0xff != 0 {
				shared = 2
			}
			plain = slices.Concat([]byte{byte(shared), plain[1]}, plain[2+shared:])
		}
		p.bytes = append(p.bytes, plain...)
	}
	return p
}

// TestUnorderedFile: a file whose sums are right and whose rows are not in
// order is refused where it is read, with both ids. Hazard 11.
func TestUnorderedFile(t *testing.T) {
	head := state(1).head
	good := plainBlobs(1, 3)
	full := plainBlobs(1, 1984) // fills a block
	if n := len(full.bytes); n > blockPayload || n <= blockPayload-maxRow {
		t.Fatalf("%d bytes do not fill a block", n)
	}
	edited := func(p payload, at int, b byte) payload {
		p.bytes = slices.Clone(p.bytes)
		p.bytes[at] = b
		return p
	}
	plain := len(plainBlobs(1, 1).bytes)
	overlap := plainBlobs(1, 500)
	for name, c := range map[string]struct {
		blocks []payload
		says   string
	}{
		"good":             {[]payload{good}, ""},
		"falls":            {[]payload{edited(good, 2*plain, 0)}, "0100000000000000000000000000000000000000000000000000000000000000 follows 010001"},
		"repeats":          {[]payload{edited(good, plain+2, 0)}, "increasing"},
		"first row shares": {[]payload{edited(good, 0, 1)}, "shares a prefix"},
		"shares too much":  {[]payload{edited(good, plain, 32)}, "twice"},
		"blocks overlap":   {[]payload{full, overlap}, "increasing"},
		"trailing bytes":   {[]payload{{good.table, 2, good.first, good.bytes}}, "bytes follow"},
		"missing bytes":    {[]payload{{good.table, 4, good.first, good.bytes}}, "beyond its block"},
		"other first key":  {[]payload{{good.table, 3, [32]byte{9}, good.bytes}}, "index entry"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := inMemory(forge(head, c.blocks...))
			if err == nil {
				_, err = scanAll(t, r.Scan(), recovery.Mark{})
			}
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !isCorrupt(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one with %q", err, c.says)
			}
		})
	}
}

// TestDanglingInFile: a registration without its blob or pool is met by scans and
// look-ups alike, never passed over (I8).
func TestDanglingInFile(t *testing.T) {
	s := golden()
	row := func(table Table, plain []byte) payload {
		return payload{table: table, rows: 1, first: [32]byte(plain[2:34]), bytes: plain}
	}
	blob := row(Blobs, s.blobs[0].AppendPlain(nil))
	pooled := s.pooled[0]
	pooled.Key = s.regs[0].Key
	for name, blocks := range map[string][]payload{
		"no blob":           {row(Registrations, s.regs[0].AppendPlain(nil))},
		"blob before it":    {blob, row(Registrations, s.regs[1].AppendPlain(nil))},
		"no blob, pooled":   {row(PooledRegistrations, pooled.AppendPlain(nil)), row(Pools, s.pools[1].AppendPlain(nil))},
		"no pool":           {blob, row(PooledRegistrations, pooled.AppendPlain(nil))},
		"position too high": {row(Pools, (&Pool{Gained: s.head.Position + 1}).AppendPlain(nil))},
	} {
		r, err := inMemory(forge(s.head, blocks...))
		if err == nil {
			_, err = scanAll(t, r.Scan(), recovery.Mark{})
			id := blocks[len(blocks)-1].first
			if name == "no blob, pooled" {
				id = pooled.Key.Blob()
			}
			if _, err := r.Scan().Find(id, &recovery.Row{}); !isCorrupt(err) {
				t.Errorf("%s: Find says %v", name, err)
			}
		}
		if !isCorrupt(err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestVerifyProves: what opening takes on trust from a trailer whose checksum is
// right, Verify does not.
func TestVerifyProves(t *testing.T) {
	raw := encode(t, golden())
	at := len(raw) - trailerLength
	for name, where := range map[string]int{"digest": at + 80, "certified": at + 63, "bytes": at + 71, "unsized": at + 79} {
		bad := slices.Clone(raw)
		bad[where] ^= 1
		if name == "certified" {
			bad[where] ^= 2 // 4 becomes 7, of 7 blobs
		}
		r, err := inMemory(reseal(bad))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Verify(t.Context()); !isCorrupt(err) {
			t.Errorf("%s: Verify says %v", name, err)
		}
	}
}

// Hazard 10: every error sticks, so that a second call is no way around it.
func TestTruncatedIteration(t *testing.T) {
	raw := encode(t, state(5000))
	raw[len(raw)/3] ^= 1
	r, err := inMemory(raw)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Blobs()
	_, err = collect(c)
	if !isCorrupt(err) {
		t.Fatalf("error %v", err)
	}
	if row, again := c.Next(); row != nil || again != err {
		t.Errorf("afterwards: %v, %v", row, again)
	}
}

// countingReader counts what is read, and can fail.
type countingReader struct {
	io.ReaderAt
	bytes int
	err   error
}

func (c *countingReader) ReadAt(b []byte, at int64) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.ReaderAt.ReadAt(b, at)
	c.bytes += n
	return n, err
}

// TestOpenIsCheap: opening, and finding one blob, read little of a large file.
func TestOpenIsCheap(t *testing.T) {
	s := state(100_000)
	raw := encode(t, s)
	src := &countingReader{ReaderAt: bytes.NewReader(raw)}
	r, err := NewReader("memory", src, int64(len(raw)))
	if err != nil || src.bytes > len(raw)/500 {
		t.Fatalf("opening %d bytes read %d, error %v", len(raw), src.bytes, err)
	}
	src.bytes = 0
	var row recovery.Row
	if ok, err := r.Scan().Find(s.blobs[77_777].ID, &row); err != nil || !ok || src.bytes > 4*blockMax {
		t.Fatalf("found %v, error %v, after reading %d bytes", ok, err, src.bytes)
	}
}

// TestOSErrorIsNotDamage. Hazard 43.
func TestOSErrorIsNotDamage(t *testing.T) {
	raw := encode(t, state(2000))
	src := &countingReader{ReaderAt: bytes.NewReader(raw)}
	r, err := NewReader("memory", src, int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	src.err = errFault
	_, scanErr := scanAll(t, r.Scan(), recovery.Mark{})
	_, openErr := NewReader("memory", src, int64(len(raw)))
	for name, err := range map[string]error{"scan": scanErr, "verify": r.Verify(t.Context()), "open": openErr} {
		if !errors.Is(err, errFault) || isCorrupt(err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestMemoryGrowsWithTheCatalog: it must not; a scan's memory does not depend on the catalog. Hazard 34.
func TestMemoryGrowsWithTheCatalog(t *testing.T) {
	r := open(t, state(100_000).write(t))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rows, s, n := make([]recovery.Row, 1024), r.Scan(), 0
	for end := false; !end; {
		var got int
		var err error
		if got, end, err = s.Fill(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		n += got
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; n != 100_000 || used > 512<<10 {
		t.Errorf("%d rows took %d bytes", n, used)
	}
}

// TestWritingIsBounded: neither does the memory of writing, proving and comparing
// depend on it, nor that of an overlay. Hazard 34.
func TestWritingIsBounded(t *testing.T) {
	s := state(100_000)
	base := open(t, s.write(t))
	s.head.Position++
	for i := range s.blobs {
		s.blobs[i].Size++
	}
	dir := t.TempDir()
	later := open(t, s.write(t))
	path := func(name string) string { return filepath.Join(dir, name) }
	var over *Overlay
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"write", func() error { _, err := Write(t.Context(), path("full"), base, Options{}); return err }},
		{"verify", func() error { return base.Verify(t.Context()) }},
		{"diff", func() error { return Diff(t.Context(), base, later, func(Change) error { return nil }) }},
		{"incremental", func() error {
			_, err := WriteIncremental(t.Context(), path("incr"), base, later, Options{})
			return err
		}},
		{"overlay", func() (err error) { over, err = Over(base, open(t, path("incr"))); return err }},
		{"overlaid", func() error { _, err := Write(t.Context(), path("both"), over, Options{}); return err }},
		{"again", func() error {
			_, err := WriteIncremental(t.Context(), path("again"), base, over, Options{})
			return err
		}},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := c.run(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
			t.Errorf("%s: %d bytes for 100,000 blobs", c.name, used)
		}
	}
}

func TestCancelled(t *testing.T) {
	r := open(t, state(10).write(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, fillErr := r.Scan().Fill(ctx, make([]recovery.Row, 4))
	_, synthErr := Synth(ctx, SynthConfig{Blobs: 5}, r.Path()+".new")
	_, buildErr := Build(ctx, BuildConfig{Base: r, Blobs: []NewBlob{{}}}, r.Path()+".new")
	for name, err := range map[string]error{"Fill": fillErr, "Verify": r.Verify(ctx), "Synth": synthErr, "Build": buildErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
