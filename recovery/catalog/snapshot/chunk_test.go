package snapshot

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
)

// TestChunks: a state that is cut into files is the same state, and every file
// keeps to the limit.
func TestChunks(t *testing.T) {
	s := state(20_000)
	dir := t.TempDir()
	path := filepath.Join(dir, "state.rsnap")
	whole := open(t, s.write(t))
	for _, limit := range []int64{MinChunk, 300_000, whole.Size() - 1, whole.Size(), 1 << 30} {
		written, err := Write(t.Context(), path, whole, Options{MaxChunk: limit})
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		bytes := int64(0)
		for i, name := range written.Names {
			paths = append(paths, filepath.Join(dir, name))
			info, err := Peek(paths[i])
			if err != nil {
				t.Fatal(err)
			}
			if info.Bytes > limit || info.Chunk != (Chunk{uint32(i), uint32(len(written.Names))}) || info.Bound() != whole.Bound() {
				t.Errorf("limit %d: %s is %+v", limit, name, info)
			}
			bytes += info.Bytes
		}
		if whole.Size() <= limit {
			if want := []string{"state.rsnap"}; !slices.Equal(written.Names, want) || string(readFile(t, path)) != string(readFile(t, whole.Path())) {
				t.Errorf("limit %d: %q", limit, written.Names)
			}
		} else if want := int(whole.Size()/limit) + 1; len(written.Names) < 2 || len(written.Names) > 2*want {
			t.Errorf("limit %d: %d chunks of %d bytes", limit, len(written.Names), whole.Size())
		}
		checkSame(t, paths, whole)
		if written.Bound != whole.Bound() || written.Totals != whole.Totals() || written.Bytes != bytes {
			t.Errorf("limit %d: written %+v", limit, written)
		}
	}
}

// checkSame proves that files hold the state of a whole one.
func checkSame(t *testing.T, paths []string, whole *Reader) {
	t.Helper()
	r, err := OpenSet(paths...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	changes := 0
	if err := Diff(t.Context(), whole, r, func(Change) error { changes++; return nil }); err != nil || changes != 0 {
		t.Errorf("%d changes, error %v", changes, err)
	}
	var want, got recovery.Row
	for _, id := range []recovery.BlobID{{}, {0x80}, {0xff}} {
		rows := make([]recovery.Row, 1)
		s := whole.Scan()
		if err := s.Seek(recovery.MarkAt(id)); err != nil {
			t.Fatal(err)
		}
		if n, _, err := s.Fill(t.Context(), rows); err != nil {
			t.Fatal(err)
		} else if n == 1 {
			want = rows[0]
		}
		if ok, err := r.Scan().Find(want.ID, &got); err != nil || !ok || got != want {
			t.Errorf("found %v, %v, want %v", got, err, want)
		}
	}
}

// TestChunksThatAreNoSet: every wrong set of good files is refused, and the
// files are named.
func TestChunksThatAreNoSet(t *testing.T) {
	var own, other []string
	for i := range uint32(4) {
		own = append(own, ChunkName(chunksV1, Chunk{i, 4}))
	}
	s := golden()
	s.blobs[2].Size++
	other = writeSet(t, s, 1)
	ancestors := golden()
	ancestors.head.Ancestors = nil
	fewer := golden()
	fewer.regs = nil
	for name, c := range map[string]struct {
		paths []string
		says  []string
	}{
		"none":           {nil, []string{"no file"}},
		"first only":     {own[:1], []string{own[0], "chunk 1 of 4", "3 after"}},
		"last missing":   {own[:3], []string{"1 after " + own[2]}},
		"first missing":  {own[1:], []string{own[1], "chunk 2 of 4, and comes first"}},
		"middle missing": {[]string{own[0], own[2], own[3]}, []string{own[2] + " is chunk 3 of 4, and follows " + own[0]}},
		"doubled":        {[]string{own[0], own[1], own[1], own[3]}, []string{own[1] + " and " + own[1] + " are both chunk 2 of 4"}},
		"one too many":   {append(slices.Clone(own), own[3]), []string{"both chunk 4 of 4"}},
		"reordered":      {[]string{own[0], own[2], own[1], own[3]}, []string{own[2] + " is chunk 3 of 4, and follows"}},
		"foreign":        {[]string{own[0], other[1], own[2], own[3]}, []string{other[1], own[0], "golden-nét@1000"}},
		"other cut":      {[]string{own[0], writeSet(t, fewer, 1)[1]}, []string{"golden-nét@1000"}},
		"whole in a set": {[]string{own[0], goldenV1}, []string{goldenV1 + " is chunk 1 of 1"}},
		"set of a whole": {[]string{goldenV1, own[1]}, []string{own[1] + " is chunk 2 of 4"}},
		"ancestors":      {[]string{own[0], writeSet(t, ancestors, 1)[1]}, []string{"one state", "ancestors"}},
	} {
		_, err := OpenSet(c.paths...)
		if !errors.Is(err, ErrChunk) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v does not say %q", name, err, part)
			}
		}
	}
	if _, err := Open(own[0]); !errors.Is(err, ErrChunk) || !strings.Contains(err.Error(), own[0]) {
		t.Errorf("a chunk by itself: %v", err)
	}
}

// writeSet publishes a state in chunks of any size and returns their paths.
func writeSet(t *testing.T, s *tables, limit int64) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	w, err := newWriter(directory{path: dir, hint: "set"}, filepath.Join(dir, "set.rsnap"), s.head, Options{MaxChunk: limit})
	if err == nil {
		err = errors.Join(s.put(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range w.Written().Names {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// TestForgedChunks: files that say the right things of themselves, and whose
// blocks do not go on where the ones before end.
func TestForgedChunks(t *testing.T) {
	full, next := plainBlobs(1, 1984), plainBlobs(2, 3) // the first fills a block
	regs := payload{table: Registrations, rows: 1, first: full.first, bytes: (&Registration{
		Key: KeyOf(full.first, full.first), Certified: true, EndEpoch: 9,
	}).AppendPlain(nil)}
	short := plainBlobs(1, 3)
	for name, c := range map[string]struct {
		first, second []payload
		says          string
	}{
		"good":             {[]payload{full}, []payload{next, regs}, ""},
		"tables backwards": {[]payload{full, regs}, []payload{next}, "blocks of blobs after those of registrations"},
		"not full":         {[]payload{short}, []payload{next}, "not full"},
		"keys backwards":   {[]payload{full}, []payload{plainBlobs(0, 3)}, "not increasing"},
		"keys overlap":     {[]payload{full}, []payload{plainBlobs(1, 3)}, "not strictly increasing"},
	} {
		head := state(1).head
		a, b := forge(head, c.first...), forge(head, c.second...)
		for i, raw := range [][]byte{a, b} {
			binary.BigEndian.PutUint32(raw[headerChunk:], uint32(i))
			binary.BigEndian.PutUint32(raw[headerChunk+4:], 2)
			reseal(raw)
		}
		r, err := inMemory(a, b)
		if err == nil {
			_, err = collect(r.Blobs())
		}
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !isCorrupt(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.says)
		}
	}
}

// TestChunkNumbers: a file that says the impossible of its place is damaged.
func TestChunkNumbers(t *testing.T) {
	for name, c := range map[string]Chunk{
		"none of none": {0, 0}, "beyond the last": {1, 1}, "too many": {0, MaxChunks + 1}, "negative": {0, 1 << 31},
	} {
		raw := readFile(t, goldenV1)
		binary.BigEndian.PutUint32(raw[headerChunk:], c.Number)
		binary.BigEndian.PutUint32(raw[headerChunk+4:], c.Count)
		if _, err := inMemory(reseal(raw)); !isCorrupt(err) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestTooManyChunks: a limit that is far too small is refused before the
// directory fills with files.
func TestTooManyChunks(t *testing.T) {
	s := golden()
	s.pooled = nil
	for i := range 480_000 {
		k := KeyOf(goldenID(3), [32]byte{0: byte(i >> 16), 1: byte(i >> 8), 2: byte(i), 3: 1})
		s.pooled = append(s.pooled, Pooled{Key: k, Certified: true, CertifiedEpoch: 1 << 31, Pool: goldenPool(2), Gained: 1000})
	}
	dir := t.TempDir()
	w, err := newWriter(directory{path: dir, hint: "set"}, filepath.Join(dir, "set.rsnap"), s.head, Options{MaxChunk: 1})
	if err == nil {
		err = s.put(w)
	}
	if closeErr := w.Close(); !errors.Is(err, ErrChunk) || !errors.Is(closeErr, ErrChunk) {
		t.Errorf("errors %v, %v", err, closeErr)
	}
	checkDir(t, dir)
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{"tiny": {MaxChunk: MinChunk - 1}, "negative": {MaxChunk: -1}} {
		if _, err := CreateWith(filepath.Join(t.TempDir(), "x"), golden().head, o); !errors.Is(err, ErrRow) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestNames: the caller names files by what is in them, and no name leads out of
// the directory.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	from := open(t, goldenV1)
	var progress []uint64
	written, err := Write(t.Context(), dir, from, Options{
		Name:     func(b recovery.Bound, c Chunk) string { return b.Digest.String()[:4] + "-" + c.String() },
		Progress: func(rows uint64) { progress = append(progress, rows) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"92eb-chunk 1 of 1"}; !slices.Equal(written.Names, want) {
		t.Errorf("names %q", written.Names)
	}
	if diff := cmp.Diff([]uint64{7, 13, 17, 20}, progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	checkDir(t, dir, "92eb-chunk 1 of 1")
	for _, bad := range []string{"", ".", "..", ".hidden", "a/b", "/etc/x", "../x"} {
		_, err := Write(t.Context(), dir, from, Options{Name: func(recovery.Bound, Chunk) string { return bad }})
		if !errors.Is(err, ErrRow) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
	checkDir(t, dir, "92eb-chunk 1 of 1")
}

func TestPeek(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.rsnap")
	raw := readFile(t, incrV1)
	raw[300] ^= 1 // a block: not looked at
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := Peek(path)
	if err != nil || info.Header.Kind() != Incremental || info.Header.Base.Digest.String() != goldenDigest ||
		info.Digest.String() != incrDigest || info.Bytes != int64(len(raw)) || info.Chunk != (Chunk{0, 1}) {
		t.Errorf("%+v, error %v", info, err)
	}
	if _, err := Peek(filepath.Dir(path)); !errors.Is(err, ErrNotSnapshot) {
		t.Errorf("a directory: %v", err)
	}
}
