package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
)

// faultKind is how a step goes wrong.
type faultKind int

const (
	notDone  faultKind = iota // it is refused, and nothing happens
	allDone                   // it happens, and reports an error all the same
	halfDone                  // a write is short; a flush leaves the second half of it old
)

// faultFS is the real file system, with one step that goes wrong. Every step
// after it fails too, as if the process were dead, but for closing files. It
// flushes nothing for real, which is a hundred times faster.
type faultFS struct {
	failAt int // the step's number, counted from 1; 0: none
	kind   faultKind
	err    error
	steps  int
	trace  []string // changes only
	dead   bool
}

var errDead = errors.New("the process is dead")

// do performs one step under the fault, if it is its turn. half performs a part
// of it.
func (f *faultFS) do(what string, step func() error, half func()) error {
	f.steps++
	if !strings.HasPrefix(what, "read ") && !strings.HasPrefix(what, "close ") {
		f.trace = append(f.trace, what)
	}
	switch {
	case f.dead:
		return errDead
	case f.steps != f.failAt:
		return step()
	}
	f.dead = true
	switch f.kind {
	case allDone:
		if err := step(); err != nil {
			return err
		}
	case halfDone:
		if half != nil {
			half()
		}
	}
	return f.err
}

func (f *faultFS) fsys() fsys {
	real := osFS()
	base := filepath.Base
	return fsys{
		mkdir: func(p string) error { return f.do("mkdir", func() error { return real.mkdir(p) }, nil) },
		open: func(p string, flag int) (out file, err error) {
			what := "open " + base(p)
			if flag == os.O_RDONLY {
				what = "read " + base(p)
			}
			err = f.do(what, func() error { out, err = real.open(p, flag); return err }, nil)
			if err != nil && out != nil {
				return nil, errors.Join(err, out.Close())
			}
			return &faultFile{file: out, fs: f, name: base(p)}, err
		},
		rename: func(from, to string) error {
			return f.do("rename "+base(from)+" "+base(to), func() error { return real.rename(from, to) }, nil)
		},
		remove:  func(p string) error { return f.do("remove "+base(p), func() error { return real.remove(p) }, nil) },
		syncDir: func(p string) error { return f.do("fsync directory", func() error { return nil }, nil) },
		commit: func(db *bbolt.DB, fn func(*bbolt.Tx) error) error {
			db.NoSync = true
			return f.do("commit", func() error { return real.commit(db, fn) }, nil)
		},
	}
}

type faultFile struct {
	file
	fs   *faultFS
	name string
	old  []byte // what the last write overwrote; not durable yet
	data []byte
}

func (f *faultFile) ReadAt(b []byte, off int64) (n int, err error) {
	err = f.fs.do("read "+f.name, func() error { n, err = f.file.ReadAt(b, off); return nil }, nil)
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

func (f *faultFile) WriteAt(b []byte, off int64) (n int, err error) {
	f.old, f.data = make([]byte, len(b)), b
	got, _ := f.file.ReadAt(f.old, off)
	f.old = f.old[:got]
	err = f.fs.do("write "+f.name,
		func() error { n, err = f.file.WriteAt(b, off); return err },
		func() { n, _ = f.file.WriteAt(b[:len(b)/2], off) })
	return n, err
}

// Close closes the file whatever else happens.
func (f *faultFile) Close() error {
	err := f.file.Close()
	if !f.fs.dead {
		err = errors.Join(err, f.fs.do("close "+f.name, func() error { return nil }, nil)) // Hazard 47.
	}
	return err
}

func (f *faultFile) Sync() error {
	return f.fs.do("fsync "+f.name, func() error { return nil }, func() {
		if half := len(f.data) / 2; half < len(f.old) {
			f.file.WriteAt(f.old[half:], int64(half))
		}
	})
}

// trial is something that a fault interrupts, and what must hold afterwards.
type trial struct {
	run   func(t *testing.T, dir string, f *faultFS)
	check func(t *testing.T, dir string)
}

// sweep runs a trial with every step of it failing in turn, in every way.
func sweep(t *testing.T, newTrial func() trial) {
	t.Helper()
	for kind, err := range map[faultKind]error{notDone: syscall.EIO, allDone: syscall.EIO, halfDone: syscall.ENOSPC} {
		t.Run(fmt.Sprintf("kind %d", kind), func(t *testing.T) {
			t.Parallel()
			trial := newTrial()
			for at := 1; ; at++ {
				dir := filepath.Join(t.TempDir(), "state")
				f := &faultFS{failAt: at, kind: kind, err: err}
				trial.run(t, dir, f)
				if !f.dead {
					if at < 10 {
						t.Fatalf("the trial has only %d steps", at)
					}
					break
				}
				if t.Failed() {
					t.Fatalf("at step %d: %v", at, f.trace)
				}
				trial.check(t, dir)
				if t.Failed() {
					t.Fatalf("at step %d: %v", at, f.trace)
				}
			}
		})
	}
}

// Hazards 44, 45, 48 and 51: a fault at any step of any write loses nothing that
// was acknowledged, brings up nothing that was never saved, and is final.
func TestFullDiskAtEveryWrite(t *testing.T) {
	sweep(t, newLongLife)
}

// newLongLife saves a history, and then finds what was acknowledged last, or what
// was tried when the fault came.
func newLongLife() (l trial) {
	var acked, tried recovery.Record
	l.run = func(t *testing.T, dir string, f *faultFS) {
		acked, tried = recovery.Record{}, recovery.Record{}
		s, err := open(Config{Dir: dir}, f.fsys())
		if err != nil {
			if !errors.Is(err, f.err) && !errors.Is(err, errDead) {
				t.Errorf("Open does not name the fault: %v", err)
			}
			return
		}
		defer s.Close()
		h := recordtest.NewHistory(3, 5_000) // some lists are too long for the mirror
		for range 6 {
			step := h.Next()
			tried = step.Record
			if err := s.save(step.Record, step.Less); err != nil {
				wantFinal(t, s, f, err)
				return
			}
			acked = step.Record
		}
	}
	l.check = func(t *testing.T, dir string) {
		s := mustOpenFast(t, dir)
		got, report, err := s.Load()
		if err != nil {
			t.Error(err)
		}
		// A new run that got no further than the mirror may have left its list there.
		omitted := report.List == ListOmitted && recordtest.Equal(withoutList(tried), got)
		if !recordtest.Equal(acked, got) && !recordtest.Equal(tried, got) && !omitted {
			t.Errorf("neither what was acknowledged nor what was tried (-acknowledged +got):\n%s", recordtest.Diff(acked, got))
		}
		goesOn(t, s, dir)
	}
	return l
}

// withoutList applies I4 to a record whose list is lost.
func withoutList(r recovery.Record) recovery.Record {
	if r.Progress != nil {
		p := *r.Progress
		p.Covered, p.Scan, p.Unsettled = nil, p.Cursor, nil
		r.Progress = &p
	}
	return r
}

// wantFinal checks that a failed store names the fault and refuses all else.
func wantFinal(t *testing.T, s *Store, f *faultFS, err error) {
	t.Helper()
	if !errors.Is(err, ErrFailed) || !errors.Is(err, f.err) {
		t.Errorf("the error does not name the fault: %v", err)
	}
	for name, again := range map[string]error{"Save": s.Save(recordtest.Full()), "Reset": s.Reset(recovery.Record{})} {
		if !errors.Is(again, ErrFailed) || !errors.Is(again, f.err) {
			t.Errorf("%s after a failed write: %v", name, again)
		}
	}
	if _, _, err := s.Load(); !errors.Is(err, ErrFailed) {
		t.Errorf("Load after a failed write: %v", err)
	}
}

// goesOn checks that a store can be written and opened again, without damage.
func goesOn(t *testing.T, s *Store, dir string) {
	t.Helper()
	r := recordtest.Full()
	_, report, _ := s.Load()
	r.Progress.Run = report.LastRun + 1
	if err := errors.Join(s.Reset(r), s.Close()); err != nil {
		t.Errorf("going on: %v", err)
	}
	s = mustOpenFast(t, dir)
	got, report, err := s.Load()
	if diff := recordtest.Diff(r, got); err != nil || diff != "" || report.Note() != "" {
		t.Errorf("after going on: %v, %q (-want +got):\n%s", err, report.Note(), diff)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Hazard 15: the way back from damage may be cut at any step, and is then taken
// again.
func TestFaultWhileRecovering(t *testing.T) {
	want := recordtest.Full()
	for name, damage := range map[string]func(t *testing.T, dir string){
		"database": func(t *testing.T, dir string) { flip(t, filepath.Join(dir, databaseName), 2*boltfile.PageSize) },
		"database and newest slot": func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, databaseName), 2*boltfile.PageSize)
			flip(t, filepath.Join(dir, string(SourceMirrorB)), 40)
		},
		"newest slot": func(t *testing.T, dir string) { flip(t, filepath.Join(dir, string(SourceMirrorB)), 40) },
	} {
		t.Run(name, func(t *testing.T) {
			run := func(t *testing.T, dir string, f *faultFS) {
				s := mustOpenFast(t, dir)
				if err := errors.Join(s.Reset(want), s.Reset(want), s.Close()); err != nil {
					t.Fatal(err)
				}
				damage(t, dir)
				if s, err := open(Config{Dir: dir}, f.fsys()); err == nil {
					s.Close()
				}
			}
			check := func(t *testing.T, dir string) {
				s := mustOpenFast(t, dir)
				got, _, err := s.Load()
				if diff := recordtest.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
				goesOn(t, s, dir)
			}
			sweep(t, func() trial { return trial{run: run, check: check} })
		})
	}
}

// Hazard 43: an OS error on any read is returned, and no older copy is used.
func TestAnOSErrorTakenForCorruption(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if err := errors.Join(s.Save(recordtest.Full()), s.Close()); err != nil {
		t.Fatal(err)
	}
	reads := 0
	for at := 1; ; at++ {
		f := &faultFS{failAt: at, err: syscall.EACCES}
		s, err := open(Config{Dir: dir}, f.fsys())
		if err == nil {
			s.Close()
			break
		}
		if !errors.Is(err, syscall.EACCES) {
			t.Errorf("step %d: %v", at, err)
		}
		reads++
		if found, err := filepath.Glob(filepath.Join(dir, corruptName+"*")); err != nil || len(found) > 0 {
			t.Fatalf("step %d: %v was set aside (%v)", at, found, err)
		}
	}
	if reads < 8 {
		t.Errorf("only %d steps failed", reads)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	if got, report, err := s.Load(); err != nil || recordtest.Diff(recordtest.Full(), got) != "" || report.Note() != "" {
		t.Errorf("after the errors: %v, %q", err, report.Note())
	}
}

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mustOpenFast opens a store that flushes nothing.
func mustOpenFast(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := open(Config{Dir: dir}, (&faultFS{}).fsys())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// flip changes one byte of a file.
func flip(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}
