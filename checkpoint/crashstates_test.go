package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/crashstate"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// mirrorTape is the real file system; it writes down what is done to the mirror and its
// directory. What bbolt does lies outside of the port.
type mirrorTape struct {
	dir string
	h   crashstate.History
}

// put writes down an operation on a file of the mirror, or on the directory.
func (m *mirrorTape) put(kind crashstate.Kind, path string, off int64, data []byte) {
	name, err := filepath.Rel(m.dir, path)
	if err == nil && (name == "." || strings.HasPrefix(name, "progress-")) {
		m.h.Add(crashstate.Op{Kind: kind, Path: name, Off: off, Data: data})
	}
}

func (m *mirrorTape) fsys() fsys {
	f := osFS()
	open, syncDir := f.open, f.syncDir
	f.open = func(path string, flag int) (file, error) {
		_, missing := os.Stat(path)
		inner, err := open(path, flag)
		if err == nil && flag&os.O_CREATE != 0 && errors.Is(missing, os.ErrNotExist) {
			m.put(crashstate.Create, path, 0, nil)
		}
		return &tapedFile{inner, m, path}, err
	}
	f.syncDir = func(path string) error {
		err := syncDir(path)
		m.put(crashstate.Sync, path, 0, nil)
		return err
	}
	f.commit = func(db *bbolt.DB, fn func(*bbolt.Tx) error) error {
		db.NoSync = true
		return db.Update(fn)
	}
	return f
}

type tapedFile struct {
	file
	tape *mirrorTape
	path string
}

func (f *tapedFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.file.WriteAt(b, off)
	f.tape.put(crashstate.Write, f.path, off, append([]byte{}, b[:n]...))
	return n, err
}

func (f *tapedFile) Sync() error {
	f.tape.put(crashstate.Sync, f.path, 0, nil)
	return nil
}

// A power cut at any moment leaves a mirror that holds what was acknowledged last, or
// what was being saved: needs no recorder, unlike the tests of the whole checkpoint in
// recovery/sim/crashstate. Hazards 44 and 46.
func TestMirrorCrashStates(t *testing.T) {
	m := &mirrorTape{dir: t.TempDir()}
	s, err := open(Config{Dir: m.dir}, m.fsys())
	must(t, err)
	var steps []recordtest.Step
	history := recordtest.NewHistory(9, 3)
	for i := range 20 {
		steps = append(steps, history.Next())
		m.h.Add(crashstate.Op{Kind: crashstate.Note, Text: fmt.Sprint("began ", i)})
		must(t, s.save(steps[i].Record, steps[i].Less))
		m.h.Add(crashstate.Op{Kind: crashstate.Note, Text: fmt.Sprint("saved ", i)})
	}
	must(t, s.Close())
	o := crashstate.Options{Seed: 1, Exhaustive: 60}
	r, err := crashstate.Explore(t.Context(), m.h, t.TempDir(), o, func(dir string, notes []string) error {
		got, report, err := ReadMirror(dir)
		if err != nil {
			return err
		}
		want := []recovery.Record{{}}
		for _, text := range notes {
			var n int
			if _, err := fmt.Sscanf(text, "began %d", &n); err == nil {
				want = append(want, steps[n].Record)
			} else {
				want = want[len(want)-1:]
			}
		}
		for _, w := range want {
			if recordtest.Equal(w, got) {
				return nil
			}
		}
		return fmt.Errorf("it holds %+v (%+v), want one of %d", got, report, len(want))
	})
	if err != nil || r.States < 200 {
		t.Errorf("%v: %v", r, err)
	}
	e := evidence.Entry{Layer: "crash states", What: "the mirror alone, over a recording file system", Tried: uint64(r.States), Unit: "states", Detail: r.String()}
	if err != nil {
		e.Violations = 1
	}
	evidence.Record(t, e)
}
