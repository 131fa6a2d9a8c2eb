package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
)

// mirrorState is what the mirror is like beside a damaged database.
type mirrorState int

const (
	mirrorIntact mirrorState = iota
	mirrorNewestDamaged
	mirrorMissing
	mirrorStates
)

// Hazard 15: whatever happens to the database, the process lives, nothing is
// loaded that was not once saved, the newest is lost only if the mirror lost it
// too, and every loss is reported.
func TestRandomDamage(t *testing.T) {
	for i, longest := range []int{0, 2, 20, 40, 300, 900} {
		t.Run(fmt.Sprintf("lists up to %d", longest), func(t *testing.T) {
			t.Parallel()
			l := newLife(t, 10+uint64(i), 50, longest)
			testRandomDamage(t, l, uint64(i)<<32)
		})
	}
}

func testRandomDamage(t *testing.T, l life, firstSeed uint64) {
	const rounds = 60
	fellBack := 0
	for seed := firstSeed; seed < firstSeed+rounds; seed++ {
		rng := rand.New(rand.NewPCG(seed, 3))
		mirror := mirrorState(seed % uint64(mirrorStates))
		damagedDB, how := corrupt(rng, l.files[databaseName])
		dir := filepath.Join(t.TempDir(), "state")
		writeAll(t, dir, map[string][]byte{databaseName: damagedDB})
		leaveMirror(t, dir, l, mirror)

		s, err := open(Config{Dir: dir}, (&faultFS{}).fsys())
		if err != nil {
			t.Fatalf("seed %d, %s: %v", seed, how, err)
		}
		got, report, err := s.Load()
		if err != nil {
			t.Fatalf("seed %d, %s: %v", seed, how, err)
		}
		if why := judge(l, mirror, got, report); why != "" {
			t.Errorf("seed %d, %s, mirror %d: %s: %+v", seed, how, mirror, why, report)
		}
		if report.SetAside != "" {
			fellBack++
			if kept, err := os.ReadFile(report.SetAside); err != nil || !bytes.Equal(kept, damagedDB) {
				t.Errorf("seed %d, %s: the damaged file was not kept (%v)", seed, how, err)
			}
		}
		goesOn(t, s, dir)
		if t.Failed() {
			t.FailNow()
		}
	}
	if fellBack < rounds/6 {
		t.Errorf("only %d of %d files were set aside: the test does not test", fellBack, rounds)
	}
}

func leaveMirror(t *testing.T, dir string, l life, state mirrorState) {
	t.Helper()
	if state == mirrorMissing {
		return
	}
	files := map[string][]byte{}
	for _, name := range slotSources() {
		files[string(name)] = slices.Clone(l.files[string(name)])
	}
	if state == mirrorNewestDamaged {
		newest := newestSlot(t, l)
		files[string(newest)][slotHeader+5] ^= 1
	}
	writeAll(t, dir, files)
}

func newestSlot(t *testing.T, l life) Source {
	t.Helper()
	var newest stored
	for _, name := range slotSources() {
		s, ok, err := readSlot(bytes.NewReader(l.files[string(name)]))
		if err != nil || !ok {
			t.Fatal(err)
		}
		if s.source = name; newest.order().less(s.order()) {
			newest = s
		}
	}
	return newest.source
}

// judge says what is wrong with a record that was loaded beside a damaged
// database, or "".
func judge(l life, mirror mirrorState, got recovery.Record, report LoadReport) string {
	switch {
	case recordtest.Equal(l.newest, got):
		if report.List != ListWhole {
			return "the newest was loaded whole, and the list is reported as " + string(report.List)
		}
		return ""
	case report.Note() == "" || len(report.Damage) == 0:
		return "something else than the newest was loaded, and nothing is reported"
	case mirror == mirrorIntact:
		return "the newest is in the mirror and was not loaded"
	case report.List == ListLost && recordtest.Equal(withoutList(l.newest), got):
		return ""
	case report.Source == SourceNone:
		if mirror != mirrorMissing || got.Progress != nil || report.Fallbacks == 0 {
			return "nothing was loaded"
		}
		return ""
	case report.Source == SourceDatabase:
		return "an older record came from the database"
	}
	for seq, was := range l.saved {
		sameRun := (was.Progress == nil) == (l.newest.Progress == nil) &&
			(was.Progress == nil || was.Progress.Run == l.newest.Progress.Run)
		if recordtest.Equal(was, got) && seq < report.Seq && sameRun {
			return ""
		}
	}
	return "this was never saved in this run"
}

// A write of the newest meta page that the disk dropped leaves a database that
// is whole, and old.
func TestDatabaseThatLostItsLastWrite(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenFast(t, dir)
	r := recordtest.Full()
	if err := s.Reset(r); err != nil {
		t.Fatal(err)
	}
	old := readAll(t, dir)[databaseName]
	r.Progress.Counters.Stored++
	if err := errors.Join(s.Save(r), s.Close()); err != nil {
		t.Fatal(err)
	}
	writeAll(t, dir, map[string][]byte{databaseName: old})
	s = mustOpenFast(t, dir)
	got, report, err := s.Load()
	if err != nil || recordtest.Diff(r, got) != "" || !strings.HasPrefix(report.Path, filepath.Join(dir, "progress-")) {
		t.Errorf("%v, %+v", err, report)
	}
	goesOn(t, s, dir)
}

// A fault in the memory that bbolt maps, here because someone cut the file, is an
// error of the store and not the end of the process.
func TestFaultInMappedFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenFast(t, dir)
	want := recordtest.Full()
	if err := s.Reset(want); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, databaseName), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(want); !errors.Is(err, ErrFailed) {
		t.Errorf("Save into a file that was cut: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = mustOpenFast(t, dir)
	got, report, err := s.Load()
	if err != nil || recordtest.Diff(want, got) != "" || report.SetAside == "" || report.Fallbacks != 1 {
		t.Errorf("%v, %+v", err, report)
	}
	goesOn(t, s, dir)
}
