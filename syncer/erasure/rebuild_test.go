package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// from makes sources of some pieces.
func from(pieces [][]byte, which ...int) []Source {
	var sources []Source
	for _, i := range which {
		sources = append(sources, Source{i, bytes.NewReader(pieces[i])})
	}
	return sources
}

// Any k pieces give back any others, and the blob is the data pieces put together.
func TestAnyPiecesRebuildTheOthers(t *testing.T) {
	evidence.Property(t, "striped: any k pieces rebuild the others", func(rt *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(rt, "n")
		k := rapid.IntRange(1, n).Draw(rt, "k")
		size := rapid.OneOf(rapid.IntRange(0, 64), rapid.IntRange(0, 400_000)).Draw(rt, "size")
		blob := blobOf(uint64(size), size)
		m, _, pieces := split(t, Code{k, n}, blob)
		if joined := slices.Concat(pieces[:k]...); !bytes.Equal(joined[:size], blob) || bytes.Trim(joined[size:], "\x00") != nil && len(bytes.Trim(joined[size:], "\x00")) > 0 {
			rt.Fatal("the data pieces put together are not the blob and zeros")
		}
		order := rapid.Permutation(numbersTo(n)).Draw(rt, "order")
		var sources []Source
		for _, i := range order[:k] {
			var r io.Reader = bytes.NewReader(pieces[i])
			if rapid.Bool().Draw(rt, "in small parts") {
				r = iotest.HalfReader(r)
			}
			sources = append(sources, Source{i, m.Check(i, r)})
		}
		wanted := order[rapid.IntRange(0, n-1).Draw(rt, "from"):]
		bufs := make([]bytes.Buffer, n)
		var targets []Target
		for _, i := range wanted {
			targets = append(targets, Target{i, &bufs[i]})
		}
		if err := Rebuild(t.Context(), m, sources, targets); err != nil {
			rt.Fatal(err)
		}
		for _, i := range wanted {
			if !bytes.Equal(bufs[i].Bytes(), pieces[i]) {
				rt.Fatalf("piece %d of %v, rebuilt from %v, is wrong", i, m.Code, order[:k])
			}
		}
	})
}

func numbersTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestTheLargestCode(t *testing.T) {
	m, _, pieces := split(t, Code{200, 256}, blobOf(7, 3_000_001))
	var out bytes.Buffer
	must(t, Rebuild(t.Context(), m, from(pieces, numbersTo(256)[56:]...), []Target{{3, &out}}))
	if !bytes.Equal(out.Bytes(), pieces[3]) {
		t.Error("piece 3 is wrong")
	}
}

// Hazard 68: what Rebuild is told in its own words. With just k pieces the code says
// "fine" to anything; only the digests can tell, and they name the piece that lied.
func TestALyingPiece(t *testing.T) {
	m, _, pieces := split(t, Code{3, 5}, blobOf(1, 500_000))
	for at := range len(pieces[1]) {
		if at%9_973 != 0 {
			continue
		}
		lie := bytes.Clone(pieces[1])
		lie[at] ^= 0x10
		var out bytes.Buffer
		sources := from(pieces, 0, 2)
		err := Rebuild(t.Context(), m, append(sources, Source{1, bytes.NewReader(lie)}), []Target{{4, &out}})
		if err != nil {
			t.Fatalf("the code itself found a lie, which it cannot: %v", err)
		}
		if j := m.Judge(4); j.Size() != int64(out.Len()) || must2(j.Write(out.Bytes())) != out.Len() || j.Verify() == nil {
			t.Fatalf("wrong bytes were rebuilt from a lie at %d, and the digest took them", at)
		}
		out.Reset()
		sources = from(pieces, 0, 2)
		err = Rebuild(t.Context(), m, append(sources, Source{1, m.Check(1, bytes.NewReader(lie))}), []Target{{4, &out}})
		var source *SourceError
		if !errors.As(err, &source) || source.Index != 1 || !errors.Is(err, ErrWrongPiece) {
			t.Fatalf("a lie at %d: %v", at, err)
		}
	}
}

func must2(n int, _ error) int { return n }

func TestRebuildNamesTheSourceThatFails(t *testing.T) {
	m, _, pieces := split(t, Code{3, 5}, blobOf(1, 400_000))
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		bad  io.Reader
		want error
	}{
		"short":      {bytes.NewReader(pieces[1][:len(pieces[1])-1]), ErrWrongPiece},
		"long":       {bytes.NewReader(append(bytes.Clone(pieces[1]), 0)), ErrWrongPiece},
		"nothing":    {bytes.NewReader(nil), ErrWrongPiece},
		"unread":     {iotest.ErrReader(broken), broken},
		"cut":        {io.MultiReader(bytes.NewReader(pieces[1][:70_000]), iotest.ErrReader(broken)), broken},
		"at its end": {io.MultiReader(bytes.NewReader(pieces[1]), iotest.ErrReader(broken)), broken},
	} {
		t.Run(name, func(t *testing.T) {
			sources := append(from(pieces, 4, 2), Source{1, m.Check(1, c.bad)})
			err := Rebuild(t.Context(), m, sources, []Target{{0, io.Discard}})
			var source *SourceError
			if !errors.As(err, &source) || source.Index != 1 || !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRebuildRefusesWhatMakesNoSense(t *testing.T) {
	m, _, pieces := split(t, Code{3, 5}, blobOf(1, 100))
	for name, c := range map[string]struct {
		sources []Source
		target  int
	}{
		"too few":         {from(pieces, 0, 1), 4},
		"too many":        {from(pieces, 0, 1, 2, 3), 4},
		"one twice":       {from(pieces, 0, 1, 1), 4},
		"no such source":  {[]Source{{5, nil}, {0, nil}, {1, nil}}, 4},
		"negative":        {[]Source{{-1, nil}, {0, nil}, {1, nil}}, 4},
		"no such target":  {from(pieces, 0, 1, 2), 5},
		"negative target": {from(pieces, 0, 1, 2), -1},
	} {
		if err := Rebuild(t.Context(), m, c.sources, []Target{{c.target, io.Discard}}); !errors.Is(err, ErrPieces) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRebuildStops(t *testing.T) {
	m, _, pieces := split(t, Code{3, 5}, blobOf(1, 1_000_000))
	ctx, cancel := context.WithCancelCause(t.Context())
	enough, written := errors.New("enough"), 0
	err := Rebuild(ctx, m, from(pieces, 0, 1, 2), []Target{{4, writer(func(p []byte) (int, error) {
		written += len(p)
		cancel(enough)
		return len(p), nil
	})}})
	if !errors.Is(err, enough) || written != stripe {
		t.Errorf("after the end of its context %d bytes were written: %v", written, err)
	}
	full := errors.New("full")
	err = Rebuild(t.Context(), m, from(pieces, 0, 1, 2), []Target{{4, writer(func([]byte) (int, error) { return 0, full })}})
	if !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// A blob that is shorter than it was said to be is an error, and no padding.
func TestSplitOfAShortBlob(t *testing.T) {
	for _, have := range []int{0, 1, 99, 60_000} {
		if _, err := Split(t.Context(), Code{3, 5}, bytes.NewReader(blobOf(1, have)), int64(have)+1); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", have, err)
		}
	}
	m, _, _ := split(t, Code{3, 5}, blobOf(1, 1_000))
	if err := WritePieces(t.Context(), m, bytes.NewReader(blobOf(1, 999)), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("pieces of a blob that was cut since: %v", err)
	}
}

// endless is a blob of any size that takes no room.
type endless struct{}

func (endless) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

// Memory does not grow with the blob's size.
func TestMemoryOfARebuildIsBounded(t *testing.T) {
	allocated := func(size int64) uint64 {
		m := &Manifest{Code: Code{10, 14}, Size: size, Pieces: make([][32]byte, 14)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		must(t, WritePieces(t.Context(), m, endless{}, []Target{{12, io.Discard}}))
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if small, large := allocated(20<<20), allocated(400<<20); small > 2<<20 || large > 4<<20 {
		t.Errorf("%d bytes were allocated for a large blob, %d for a small one", large, small)
	}
}

func ExampleRebuild() {
	blob := []byte("any two of these four pieces make the others")
	m, _ := Split(context.Background(), Code{K: 2, N: 4}, bytes.NewReader(blob), int64(len(blob)))
	var parity [2]bytes.Buffer
	_ = WritePieces(context.Background(), m, bytes.NewReader(blob), []Target{{2, &parity[0]}, {3, &parity[1]}})

	var first, second bytes.Buffer
	err := Rebuild(context.Background(), m,
		[]Source{{2, m.Check(2, &parity[0])}, {3, m.Check(3, &parity[1])}},
		[]Target{{0, &first}, {1, &second}})
	fmt.Println(first.String()+second.String(), err)
	// Output: any two of these four pieces make the others <nil>
}
