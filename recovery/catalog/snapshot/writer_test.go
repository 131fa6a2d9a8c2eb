package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// TestUnorderedRows: a writer refuses what is out of order and names both keys.
// Hazard 11.
func TestUnorderedRows(t *testing.T) {
	s := state(3)
	for name, put := range map[string]func(*Writer) error{
		"blobs backwards": func(w *Writer) error { return errors.Join(w.Blob(&s.blobs[1]), w.Blob(&s.blobs[0])) },
		"blob twice":      func(w *Writer) error { return errors.Join(w.Blob(&s.blobs[1]), w.Blob(&s.blobs[1])) },
		"registrations backwards": func(w *Writer) error {
			return errors.Join(w.Registration(&s.regs[1]), w.Registration(&s.regs[0]))
		},
		"registration twice": func(w *Writer) error {
			return errors.Join(w.Registration(&s.regs[1]), w.Registration(&s.regs[1]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := newWriter(&memoryStorage{}, "memory", s.head, Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = put(w)
			if !errors.Is(err, ErrOrder) || !strings.Contains(err.Error(), s.blobs[1].ID.String()) {
				t.Errorf("error %v", err)
			}
			if strings.Contains(name, "backwards") && !strings.Contains(err.Error(), s.blobs[0].ID.String()) {
				t.Errorf("%v does not name the other key", err)
			}
			if err := w.Close(); !errors.Is(err, ErrOrder) {
				t.Errorf("Close after it: %v", err)
			}
		})
	}
	t.Run("tables backwards", func(t *testing.T) {
		w, err := newWriter(&memoryStorage{}, "memory", s.head, Options{})
		if err = errors.Join(err, w.Pool(&Pool{}), w.Blob(&s.blobs[0])); !errors.Is(err, ErrOrder) {
			t.Errorf("error %v", err)
		}
	})
}

func TestBadRows(t *testing.T) {
	s := state(1)
	for name, put := range map[string]func(*Writer) error{
		"no encoding":   func(w *Writer) error { return w.Blob(&Blob{}) },
		"size":          func(w *Writer) error { return w.Blob(&Blob{Blob: recovery.Blob{Size: -2, Encoding: recovery.Raw}}) },
		"future":        func(w *Writer) error { return w.Pool(&Pool{Gained: 2}) },
		"not certified": func(w *Writer) error { return w.Registration(&Registration{CertifiedEpoch: 1}) },
		"not certified, pooled": func(w *Writer) error {
			return w.Pooled(&Pooled{CertifiedEpoch: 1})
		},
	} {
		w, err := newWriter(&memoryStorage{}, "memory", s.head, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := put(w); !errors.Is(err, ErrRow) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestBadHeaders(t *testing.T) {
	dir := t.TempDir()
	good := recovery.Stamp{Network: "n", Position: 10}
	for name, h := range map[string]Header{
		"no network":         {},
		"long network":       {Stamp: recovery.Stamp{Network: strings.Repeat("n", MaxNetwork+1)}},
		"not text":           {Stamp: recovery.Stamp{Network: "\xff"}},
		"control":            {Stamp: recovery.Stamp{Network: "a\nb"}},
		"ancestor of itself": {Stamp: good, Ancestors: []recovery.Ancestor{{Position: 10}}},
		"ancestors twice":    {Stamp: good, Ancestors: []recovery.Ancestor{{Position: 3}, {Position: 3}}},
		"its own base":       {Stamp: good, Base: &recovery.Ancestor{Position: 10}},
		"a later base":       {Stamp: good, Base: &recovery.Ancestor{Position: 11}},
		"many ancestors":     {Stamp: good, Ancestors: make([]recovery.Ancestor, MaxAncestors+1)},
	} {
		if _, err := Create(filepath.Join(dir, "x"), h); !errors.Is(err, ErrRow) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	checkDir(t, dir)
}

// TestDanglingRegistration: what cannot be counted is not published.
func TestDanglingRegistration(t *testing.T) {
	for name, edit := range map[string]func(*tables){
		"first blob":  func(s *tables) { s.blobs = s.blobs[1:] },
		"middle blob": func(s *tables) { s.blobs = append(s.blobs[:1], s.blobs[2:]...) },
		"last blob":   func(s *tables) { s.blobs = s.blobs[:2] },
		"pooled's blob": func(s *tables) {
			s.regs = nil
			s.blobs = s.blobs[:2]
			s.pools = []Pool{{}}
			s.pooled = []Pooled{{Key: KeyOf(state(3).blobs[2].ID, [32]byte{1}), Certified: true}}
		},
		"pool": func(s *tables) { s.pooled = []Pooled{{Key: s.regs[0].Key, Certified: true, Pool: PoolID{1}}} },
	} {
		t.Run(name, func(t *testing.T) {
			s := state(3)
			edit(s)
			path := filepath.Join(t.TempDir(), "x")
			w, err := Create(path, s.head)
			if err = errors.Join(err, s.put(w)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err == nil || !strings.Contains(err.Error(), ErrOrphan.Error()) {
				t.Errorf("Close: %v", err)
			}
			checkDir(t, filepath.Dir(path))
		})
	}
}

// checkDir reports what is in a directory besides want.
func checkDir(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

// TestFullDisk fails at every write, every read, every flush and every renaming
// in turn: the error is told, the file before it stays, and nothing is left
// behind. Hazards 47, 51, 53.
func TestFullDisk(t *testing.T) {
	old, next := state(3), state(2000)
	for _, short := range []bool{false, true} {
		for failAt, done := int64(1), false; !done; failAt++ {
			path := old.write(t)
			before := readFile(t, path)
			f := &faults{failAt: failAt, short: short}
			_, err := writeFaulty(next, path, f, 0)
			if done = !f.reached(); done {
				if err != nil || string(readFile(t, path)) == string(before) {
					t.Errorf("without a fault: %v", err)
				}
			} else {
				checkFault(t, failAt, err)
				if string(readFile(t, path)) != string(before) {
					t.Errorf("call %d, short %v: the old file is gone", failAt, short)
				}
			}
			checkDir(t, filepath.Dir(path), filepath.Base(path))
		}
	}
}

// writeFaulty writes a state where things go wrong. What was told while rows were
// given is told again by Close.
func writeFaulty(s *tables, path string, f *faults, limit int64) (Written, error) {
	w, err := newWriter(faultyStorage{directory{path: filepath.Dir(path), hint: "state"}, f}, path, s.head, Options{MaxChunk: limit})
	if err == nil {
		err = s.put(w)
	}
	if closeErr := w.Close(); err == nil {
		err = closeErr
	} else if !errors.Is(closeErr, errFault) {
		err = fmt.Errorf("%w, but Close says %w", err, closeErr)
	}
	return w.Written(), err
}

func checkFault(t *testing.T, call int64, err error) {
	t.Helper()
	if !errors.Is(err, errFault) && !isCorrupt(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("call %d: error %v", call, err)
	}
}

// TestFullDiskWithChunks: of a set either all files have their names, or they
// are no snapshot; and no other file is left behind.
func TestFullDiskWithChunks(t *testing.T) {
	s := state(4000)
	for failAt, done := int64(1), false; !done; failAt++ {
		path := filepath.Join(t.TempDir(), "state.rsnap")
		f := &faults{failAt: failAt}
		written, err := writeFaulty(s, path, f, 1)
		names, globErr := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
		if globErr != nil {
			t.Fatal(globErr)
		}
		slices.Sort(names)
		r, openErr := OpenSet(names...)
		if done = !f.reached(); done {
			if err != nil || openErr != nil || len(written.Names) != len(names) || len(names) < 4 {
				t.Fatalf("without a fault: %v, %v, %q", err, openErr, names)
			}
			if err := errors.Join(r.Verify(t.Context()), r.Close()); err != nil {
				t.Error(err)
			}
			continue
		}
		checkFault(t, failAt, err)
		if !errors.Is(openErr, ErrChunk) {
			t.Errorf("call %d: %q are a snapshot: %v", failAt, names, openErr)
		}
		if hidden, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(hidden) > 0 {
			t.Errorf("call %d: left behind: %q, %v", failAt, hidden, err)
		}
	}
}

// It must not be: the file cannot be flushed, closed or renamed. Hazard 47.
func TestClosesErrorDropped(t *testing.T) {
	for name, spoil := range map[string]func(*pending) error{
		"closed under it": func(p *pending) error { return p.File.Close() },
		"a directory is in the way": func(p *pending) error {
			return os.MkdirAll(filepath.Join(filepath.Dir(p.Name()), "x", "full"), 0o755)
		},
		"removed": func(p *pending) error { return os.Remove(p.Name()) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p, err := createPending(dir, "x")
			if err = errors.Join(err, spoil(p)); err != nil {
				t.Fatal(err)
			}
			if err := cmp.Or(p.Flush(), p.Publish("x")); err == nil {
				t.Error("nobody says anything")
			}
			_ = p.Abort() // closed already, or removed
			if left, err := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// TestRoomIsGivenBack: what was asked for ahead of a large file and not needed is
// free again.
func TestRoomIsGivenBack(t *testing.T) {
	info, err := os.Stat(state(20_000).write(t))
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Size() < roomAhead/4 {
		t.Fatalf("%T, %d bytes", info.Sys(), info.Size())
	}
	if used := stat.Blocks * 512; used > info.Size()+roomAhead/8 {
		t.Errorf("a file of %d bytes takes %d", info.Size(), used)
	}
}

// Hazard 49.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "catalog.rsnap")
	alive, err := Create(path, state(1).head)
	if err != nil {
		t.Fatal(err)
	}
	dead := ".catalog.rsnap.KILLED" + leftoverSuffix
	for _, name := range []string{dead, ".hidden", "catalog" + leftoverSuffix} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := RemoveLeftovers(dir)
	if err != nil || fmt.Sprint(removed) != fmt.Sprint([]string{dead}) {
		t.Errorf("removed %q, error %v", removed, err)
	}
	if err := alive.Close(); err != nil {
		t.Errorf("the living writer: %v", err)
	}
	checkDir(t, dir, ".hidden", "catalog.rsnap", "catalog"+leftoverSuffix)
}

func TestAbort(t *testing.T) {
	path := state(3).write(t)
	before := readFile(t, path)
	w, err := Create(path, state(2).head)
	if err = errors.Join(err, state(2).put(w), w.Abort(), w.Abort()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("Close after Abort: %v", err)
	}
	if err := w.Pool(&Pool{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a row after Abort: %v", err)
	}
	if string(readFile(t, path)) != string(before) {
		t.Error("the old file is gone")
	}
	checkDir(t, filepath.Dir(path), filepath.Base(path))
}
