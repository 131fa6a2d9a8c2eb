package walrus_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
)

// Offsets in the samples.
const (
	headB   = 8 + 1 + 54      // length of magic, version and header in B
	headA   = 8 + 4 + 94      // in A, with an event
	firstB  = headB + 1 + 8   // first entry of B
	firstA  = headA + 1       // of A
	valueB  = firstB + 33 + 1 // first value of B
	valueA  = firstA + 1 + 36 + 4
	secondB = valueB + 89
	secondA = valueA + 89
	poolsB  = secondB + 33 + 1 + 85 // the tag of B's second section
	pooledA = secondA + 1 + 36 + 4 + 85 + 9
)

// edit changes a copy of a sample; that of layout A gets its sum again.
func edit(t *testing.T, l walrus.Layout, change func([]byte) []byte) []byte {
	if l == walrus.B {
		return change(readFile(t, sampleB))
	}
	raw := readFile(t, sampleA)
	return walrustest.Seal(change(raw[:len(raw)-8]))
}

func set(at int, b ...byte) func([]byte) []byte {
	return func(raw []byte) []byte {
		copy(raw[at:], b)
		return raw
	}
}

func cut(from, to int) func([]byte) []byte {
	return func(raw []byte) []byte { return slices.Delete(raw, from, to) }
}

func repeat(from, to int) func([]byte) []byte {
	return func(raw []byte) []byte { return slices.Insert(raw, to, slices.Clone(raw[from:to])...) }
}

// What contradicts a layout is refused where it stands, with words that say what
// it is. Hazard 65: lengths are refused before anything is read for them.
func TestRefused(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff}
	for _, c := range []struct {
		name   string
		layout walrus.Layout
		change func([]byte) []byte
		offset int64 // where the damage must be noticed, at the latest
		what   string
	}{
		{"header length", walrus.A, set(8, huge...), 8, "neither layout"},
		{"header length", walrus.B, set(8, 0xb6), 8, "neither layout"},
		{"header of another length", walrus.A, set(11, 95), 8, "95 bytes"},
		{"event digest of another length", walrus.A, set(8+4+5, 0x21), 8, "32 bytes"},
		{"event digest of another length", walrus.B, set(8+1+5, 0x1f), 8, "32 bytes"},
		{"event that is neither there nor not", walrus.A, set(8+4+4, 2), 8, "neither 0 nor 1"},
		{"variant of the header", walrus.B, set(8+1+4, 1), 8, "variant"},
		{"part beyond the parts", walrus.A, set(headA-8, 3), 8, "part"},
		{"no parts", walrus.A, set(headA-4, 0), 8, "part"},
		{"tag", walrus.A, set(headA, 2), headA + 1, "objects begin with tag 1"},
		{"tag", walrus.B, set(headB, 3), headB + 1, "objects begin with tag 1"},
		{"sections of the other layout", walrus.B, set(poolsB, 3), poolsB + 1, "pools begin with tag 2"},
		{"entry mark", walrus.A, set(firstA, 2), firstA + 1, "0x02"},
		{"key length", walrus.A, set(firstA+1, huge...), firstA + 5, "4294967295"},
		{"key length", walrus.B, set(firstB, 0x1f), firstB + 1, "31 bytes"},
		{"long key length", walrus.B, set(firstB, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), firstB + 1, "shortest form"},
		{"padded key length", walrus.B, set(firstB, 0xa0, 0), firstB + 1, "shortest form"},
		{"value length", walrus.A, set(valueA-4, huge...), valueA, "4294967295"},
		{"value length", walrus.B, set(valueB-1, 0x7f), valueB, "127 bytes"},
		{"value length of another section", walrus.B, set(valueB-1, 115), valueB, "115 bytes"},
		{"value shorter than it says", walrus.A, set(valueA-1, 85), valueA + 85, "ends early"},
		{"value longer than it says", walrus.B, set(secondB+33, 89), secondB + 33 + 1 + 89, "follow it"},
		{"value's variant", walrus.A, set(valueA, 1), valueA + 89, "variant"},
		{"option", walrus.B, set(valueB+37, 2), valueB + 89, "neither 0 nor 1"},
		{"deletable", walrus.A, set(valueA+46, 9), valueA + 89, "neither 0 nor 1"},
		{"deleted", walrus.B, set(valueB+88, 0xff), valueB + 89, "neither 0 nor 1"},
		{"event digest in a value", walrus.A, set(valueA+47, 0), valueA + 89, "32 bytes"},
		{"key twice", walrus.A, set(secondA+5+31, 1), secondA + 37, "strictly increasing"},
		{"keys backwards", walrus.B, set(secondB+1+31, 0), secondB + 33, "strictly increasing"},
		{"entry twice", walrus.A, repeat(firstA, secondA), secondA + 37, "strictly increasing"},
		{"count too low", walrus.A, set(pooledA-1, 1), pooledA, "1 objects are counted, there are 2"},
		{"count too high", walrus.A, set(pooledA-8, 0xff), pooledA, "are counted"},
		{"entry missing", walrus.A, cut(firstA, secondA), 1 << 20, "2 objects are counted, there are 1"},
		{"count too high", walrus.B, set(headB+1, huge...), 1 << 20, ""},
		{"count too low", walrus.B, set(headB+8, 1), secondB + 1, "pools begin with tag 2"},
		{"no entries, all counted", walrus.B, cut(firstB, poolsB), 1 << 20, ""},
		{"section missing", walrus.A, cut(headA, pooledA), headA + 1, "objects begin with tag 1"},
		{"nothing after the header", walrus.B, func(raw []byte) []byte { return raw[:headB] }, headB, "ends inside the tag"},
	} {
		err := errOf(edit(t, c.layout, c.change))
		d := corrupt(err)
		if d == nil || d.Offset > c.offset || !strings.Contains(d.What, c.what) || d.Path != "memory" {
			t.Errorf("%s in layout %v: error %v, want %q by byte %d", c.name, c.layout, err, c.what, c.offset)
		}
	}
	// The sum itself, and what it covers.
	raw := readFile(t, sampleA)
	raw[valueA+33] ^= 1
	if d := corrupt(errOf(raw)); d == nil || !strings.Contains(d.What, "sum over the file") {
		t.Errorf("an epoch changed: %v", d)
	}
}

// What is no snapshot of Walrus, or of a later version, is told apart from
// damage.
func TestNotWalrus(t *testing.T) {
	later := readFile(t, sampleB)
	later[7] = 2
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"empty":         {nil, walrus.ErrNotWalrus},
		"text":          {[]byte("hello world"), walrus.ErrNotWalrus},
		"our own":       {[]byte("\x89rsnap\r\n"), walrus.ErrNotWalrus},
		"later version": {later, walrus.ErrUnsupported},
	} {
		if err := errOf(c.raw); !errors.Is(err, c.want) || corrupt(err) != nil {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

// TestHostileLengths claims gigabytes in every place that has a length or a
// count: memory does not follow. Hazard 65.
func TestHostileLengths(t *testing.T) {
	for _, l := range []walrus.Layout{walrus.A, walrus.B} {
		raw := walrustest.Sample().Encode(l)
		for at := range len(raw) - 4 {
			bad := slices.Clone(raw)
			binary.BigEndian.PutUint32(bad[at:], 0x7fffffff)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := errOf(bad)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 256<<10 {
				t.Errorf("layout %v, byte %d: %d bytes were allocated, error %v", l, at, took, err)
			}
		}
	}
}

// A stream that comes in small pieces is read like any other, and one that
// breaks is an error of reading, not damage. Hazard 43.
func TestStreams(t *testing.T) {
	for _, path := range []string{sampleA, sampleB} {
		raw := readFile(t, path)
		r, err := walrus.NewReader("pipe", iotest.OneByteReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := walrus.Summarize(t.Context(), r); err != nil || s.Size != int64(len(raw)) {
			t.Errorf("%s byte by byte: %d bytes, error %v", path, s.Size, err)
		}
		broken := errors.New("cable pulled")
		for n := range raw {
			r, err := walrus.NewReader("pipe", io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(broken)))
			if err == nil {
				_, err = walrus.Summarize(t.Context(), r)
			}
			if !errors.Is(err, broken) || refusal(err) || !strings.Contains(err.Error(), "pipe") {
				t.Fatalf("%s broken off after %d bytes: error %v", path, n, err)
			}
		}
		r, err = walrus.NewReader("pipe", io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(broken)))
		if err == nil {
			_, err = walrus.Summarize(t.Context(), r)
		}
		if !errors.Is(err, broken) {
			t.Errorf("%s broken off at its end: error %v", path, err)
		}
	}
}

// An error sticks, and so does the end.
func TestNextSticks(t *testing.T) {
	raw := readFile(t, sampleB)
	r := inMemory(t, raw[:len(raw)-1])
	var first error
	for first == nil {
		_, first = r.Next()
	}
	if _, err := r.Next(); err != first {
		t.Errorf("then %v", err)
	}
	r = inMemory(t, raw)
	if _, err := walrus.Summarize(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if e, err := r.Next(); e != nil || err != nil {
		t.Errorf("after the end %v, %v", e, err)
	}
}

func TestOpen(t *testing.T) {
	r, err := walrus.Open(sampleB)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := walrus.Summarize(t.Context(), r); err != nil || s.Digest != sampleDigestB || r.Path() != sampleB {
		t.Errorf("%+v, error %v", s, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	if _, err := walrus.Open(dir); !errors.Is(err, walrus.ErrNotWalrus) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := walrus.Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	if err := inMemory(t, readFile(t, sampleB)).Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkRead(b *testing.B) {
	s := walrustest.Many(20_000, 1)
	for _, l := range []walrus.Layout{walrus.A, walrus.B} {
		raw := s.Encode(l)
		b.Run(l.String(), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := walrus.Summarize(b.Context(), inMemory(b, raw)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
