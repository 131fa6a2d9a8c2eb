package spill

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// drain reads all that a new cursor yields.
func drain(t testing.TB, s *Sorter) [][]byte {
	t.Helper()
	c, err := s.Cursor()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for {
		r, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			return all
		}
		all = append(all, bytes.Clone(r))
	}
}

func newSorter(t testing.TB, cfg Config) *Sorter {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Whatever the memory, the records come out in order, all of them, as often as
// is asked.
func TestSorts(t *testing.T) {
	dir := t.TempDir()
	evidence.Property(t, "snapshots: records come out sorted, all of them, whatever the memory", func(rt *rapid.T) {
		size := rapid.IntRange(1, 20).Draw(rt, "record")
		records := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange(0, 2), size, size), 0, 200).Draw(rt, "records")
		for _, r := range records[:len(records)/2] {
			clear(r[:min(size-1, 12)]) // these differ late
		}
		for _, memory := range []int{0, 1, rapid.IntRange(1, 4000).Draw(rt, "memory")} {
			s := newSorter(t, Config{Record: size, Memory: memory, Dir: dir})
			for _, r := range records {
				if err := s.Add(r); err != nil {
					rt.Fatal(err)
				}
			}
			want := slices.Clone(records)
			slices.SortFunc(want, bytes.Compare)
			for range 2 {
				if got := drain(t, s); !slices.EqualFunc(got, want, bytes.Equal) {
					rt.Fatalf("memory %d: got %x, want %x", memory, got, want)
				}
			}
			if s.Len() != uint64(len(records)) || memory == 1 && len(records) > 1 && len(s.runs) != len(records) {
				rt.Fatalf("memory %d: %d records in %d runs", memory, s.Len(), len(s.runs))
			}
		}
	})
}

// Cursors do not disturb each other.
func TestCursorsSideBySide(t *testing.T) {
	for _, memory := range []int{0, 200} {
		s := newSorter(t, Config{Record: 4, Memory: memory, Dir: t.TempDir()})
		for i := range uint32(100) {
			if err := s.Add(binary.BigEndian.AppendUint32(nil, i*37%100)); err != nil {
				t.Fatal(err)
			}
		}
		a, errA := s.Cursor()
		b, errB := s.Cursor()
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		for i := range uint32(100) {
			x, errX := a.Next()
			if i%2 == 0 {
				continue
			}
			y, errY := b.Next()
			if errX != nil || errY != nil || binary.BigEndian.Uint32(x) != i || binary.BigEndian.Uint32(y) != i/2 {
				t.Fatalf("memory %d: %x and %x, errors %v, %v", memory, x, y, errX, errY)
			}
		}
	}
}

// The memory does not grow with what is sorted.
func TestMemoryIsBounded(t *testing.T) {
	const memory, records = 1 << 20, 200_000
	s := newSorter(t, Config{Record: 100, Memory: memory, Dir: t.TempDir()})
	record := make([]byte, 100)
	most := uint64(0)
	var before, now runtime.MemStats
	look := func() {
		runtime.GC()
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range uint64(records) {
		binary.BigEndian.PutUint64(record, i*0x9e3779b97f4a7c15)
		if err := s.Add(record); err != nil {
			t.Fatal(err)
		}
		if i%20_000 == 0 {
			look()
		}
	}
	c, err := s.Cursor()
	if err != nil {
		t.Fatal(err)
	}
	look()
	last, n := []byte(nil), 0
	for ; ; n++ {
		r, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			break
		}
		if bytes.Compare(last, r) > 0 {
			t.Fatalf("%x follows %x", r, last)
		}
		last = append(last[:0], r...)
	}
	if n != records || len(s.runs) < 20 || most > memory*3/2 {
		t.Errorf("%d records in %d runs; %d bytes were held, %d are allowed", n, len(s.runs), most, memory)
	}
}

// Nothing has a name while it is sorted, and the room is free again after Close.
// Hazard 49.
func TestNoLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := newSorter(t, Config{Record: 8, Memory: 1, Dir: dir})
	for i := range byte(3) {
		if err := s.Add([]byte{7: i}); err != nil {
			t.Fatal(err)
		}
	}
	named, err := createNamed(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.file == nil {
		t.Error("nothing was spilled")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("in the directory: %v, error %v", left, err)
	}
	if _, err := named.WriteString("x"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(named.Close(), s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []Config{{}, {Record: MaxRecord + 1}, {Record: 1, Memory: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	s := newSorter(t, Config{Record: 2})
	if err := s.Add([]byte{1}); err == nil {
		t.Error("a short record is accepted")
	}
	drain(t, s)
	if err := s.Add([]byte{1, 2}); !errors.Is(err, ErrSealed) {
		t.Errorf("after the first cursor: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "none")
	s = newSorter(t, Config{Record: 1, Memory: 1, Dir: dir})
	if err := errors.Join(s.Add([]byte{1}), s.Add([]byte{2})); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := createNamed(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// A full disk is an error of adding or of the first cursor, and what was sorted
// before it is not lost. Hazard 51.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	s := newSorter(t, Config{Record: 1, Memory: 1})
	s.file = full
	if err := errors.Join(s.Add([]byte{1}), s.Add([]byte{2})); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("adding: %v", err)
	}
	if _, err := s.Cursor(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the first cursor: %v", err)
	}
	if err := full.Close(); err != nil {
		t.Error(err)
	}
	if s.file, err = createTemp(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, s); !slices.EqualFunc(got, [][]byte{{1}}, bytes.Equal) {
		t.Errorf("when there is room again: %x", got)
	}
}

// A temporary file that loses its end is an error, never fewer records. Hazard
// 10.
func TestTruncatedFile(t *testing.T) {
	s := newSorter(t, Config{Record: 8, Memory: 1, Dir: t.TempDir()})
	for i := range byte(5) {
		if err := s.Add([]byte{7: i}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Cursor(); err != nil {
		t.Fatal(err)
	}
	if err := s.file.Truncate(35); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cursor(); err == nil {
		t.Error("the file lost its end, and nobody noticed")
	}
}

func BenchmarkSort(b *testing.B) {
	const record = 110
	s := newSorter(b, Config{Record: record, Dir: b.TempDir()})
	r := make([]byte, record)
	b.SetBytes(record)
	for i := range uint64(b.N) {
		binary.BigEndian.PutUint64(r, i*0x9e3779b97f4a7c15)
		if err := s.Add(r); err != nil {
			b.Fatal(err)
		}
	}
	c, err := s.Cursor()
	for r := []byte{0}; r != nil && err == nil; {
		r, err = c.Next()
	}
	if err != nil {
		b.Fatal(err)
	}
}
