package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
)

// The order of writes is the contract of DESIGN 7. Hazard 46: every name that is
// made is made durable.
func TestOrderOfWrites(t *testing.T) {
	f := &faultFS{}
	dir := filepath.Join(t.TempDir(), "state")
	s, err := open(Config{Dir: dir}, f.fsys())
	if err != nil {
		t.Fatal(err)
	}
	wantTrace(t, f, "first start", "mkdir", "fsync directory", "remove checkpoint.db.new",
		"open progress-a", "open progress-b", "fsync directory",
		"remove checkpoint.db.new", "commit", "open checkpoint.db.new", "fsync checkpoint.db.new",
		"rename checkpoint.db.new checkpoint.db", "fsync directory")
	r := recordtest.Full()
	must(t, s.Reset(r))
	wantTrace(t, f, "Reset", "write progress-a", "fsync progress-a", "write progress-b", "fsync progress-b", "commit", "commit")
	must(t, s.Save(r))
	wantTrace(t, f, "Save", "commit", "write progress-a", "fsync progress-a")
	must(t, s.Save(r))
	wantTrace(t, f, "next Save", "commit", "write progress-b", "fsync progress-b")
	r.Progress.Run++
	must(t, s.Save(r))
	wantTrace(t, f, "Save of a new run", "write progress-a", "fsync progress-a", "write progress-b", "fsync progress-b", "commit", "commit")
	must(t, s.Close())
	wantTrace(t, f, "Close")
	if s, err = open(Config{Dir: dir}, f.fsys()); err != nil {
		t.Fatal(err)
	}
	wantTrace(t, f, "next start", "remove checkpoint.db.new", "open progress-a", "open progress-b", "fsync directory")
	must(t, s.Close())
}

func wantTrace(t *testing.T, f *faultFS, what string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(f.trace, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	f.trace = nil
}

// Hazard 86.
func TestMirrorFromBeforeTheDiscard(t *testing.T) {
	shardsA, shardsB := recordtest.Full(), recordtest.Full()
	shardsB.Progress.Run = 8
	again := recordtest.Full()
	again.Progress.Run, again.Progress.Cursor, again.Progress.Scan = 9, recovery.Mark{}, recovery.Mark{}
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Save(shardsA))
	must(t, s.Save(shardsA))
	must(t, s.Reset(shardsB))
	must(t, s.Reset(again))
	must(t, s.Close())
	flip(t, filepath.Join(dir, databaseName), 3)
	flip(t, filepath.Join(dir, databaseName), boltfile.PageSize+3)
	for _, slot := range slotSources() { // also with either slot gone
		files := readAll(t, dir)
		files[string(slot)] = nil
		broken := filepath.Join(t.TempDir(), "state")
		writeAll(t, broken, files)
		s = mustOpen(t, broken)
		got, report, err := s.Load()
		if err != nil || report.SetAside == "" || recordtest.Diff(again, got) != "" {
			t.Errorf("without %s: %v, %+v:\n%s", slot, err, report, recordtest.Diff(again, got))
		}
		must(t, s.Close())
	}
}

// A copy of a lower run than any readable one is never used, not even when the
// higher one has lost its list.
func TestLowerRunIsNeverUsed(t *testing.T) {
	low, high := recordtest.Full(), recordtest.Full()
	high.Progress.Run = 8
	high.Progress.Unsettled = longList(4_000) // does not fit into the mirror
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Save(low))
	database := readAll(t, dir)[databaseName]
	must(t, s.Reset(high))
	must(t, s.Close())
	writeAll(t, dir, map[string][]byte{databaseName: database})
	s = mustOpen(t, dir)
	got, report, err := s.Load()
	if err != nil || report.List != ListOmitted || report.Entries != 4_000 || report.LastRun != 8 {
		t.Errorf("%v, %+v", err, report)
	}
	if diff := recordtest.Diff(withoutList(high), got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(report.Note(), "4000 unsettled blobs is omitted") {
		t.Errorf("the note does not name the loss: %q", report.Note())
	}
	goesOn(t, s, dir)
}

// A whole copy is better than a newer one of the same run without its list; the
// pause is the newest one's all the same.
func TestWholeCopyBeforeNewerWithoutList(t *testing.T) {
	r := recordtest.Full()
	r.Paused = false
	long := recordtest.Full()
	long.Progress.Unsettled = longList(4_000)
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Reset(r))
	must(t, s.Save(long))
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, databaseName)))
	s = mustOpen(t, dir)
	got, report, err := s.Load()
	r.Paused = true
	if diff := recordtest.Diff(r, got); err != nil || diff != "" || report.Fallbacks != 2 || report.List != ListWhole {
		t.Errorf("%v, %+v (-want +got):\n%s", err, report, diff)
	}
	goesOn(t, s, dir)
}

// longList returns a list that is too long for the mirror.
func longList(n int) []recovery.Unsettled {
	list := make([]recovery.Unsettled, n)
	for i := range list {
		u := recordtest.Full().Progress.Unsettled[0]
		u.ID[0], u.ID[1], u.ID[2] = 0xf0, byte(i>>8), byte(i)
		list[i] = u
	}
	return list
}

// Hazard 12.
func TestFailureCountRollback(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	r := recordtest.Full()
	for i := range 5 {
		r.Progress.Unsettled[0].Tries++
		r.Progress.Counters.Cancelled++
		r.Progress.Counters.Looked++
		must(t, s.Save(r))
		must(t, s.Close())
		s = mustOpen(t, dir)
		got, _, err := s.Load()
		if diff := recordtest.Diff(r, got); err != nil || diff != "" {
			t.Fatalf("restart %d: %v\n%s", i, err, diff)
		}
	}
	must(t, s.Close())
}

// Hazard 15: allowed, reported and counted.
func TestBitRotRollback(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	r := recordtest.Full()
	must(t, s.Reset(r)) // writes 1 and 2
	older := recordtest.Full()
	must(t, s.Save(older)) // 3, in a
	r.Progress.Counters.Looked++
	must(t, s.Save(r)) // 4, in b
	must(t, s.Close())
	flip(t, filepath.Join(dir, databaseName), 2*boltfile.PageSize)
	flip(t, filepath.Join(dir, databaseName), 0)
	flip(t, filepath.Join(dir, string(SourceMirrorB)), 60)
	s = mustOpen(t, dir)
	got, report, err := s.Load()
	if diff := recordtest.Diff(older, got); err != nil || diff != "" || report.Source != SourceMirrorA || report.Fallbacks != 2 {
		t.Errorf("%v, %+v\n%s", err, report, diff)
	}
	for _, word := range []string{"checkpoint.db", "progress-b", "checksum", "kept as", "progress is from progress-a"} {
		if !strings.Contains(report.Note(), word) {
			t.Errorf("the note does not say %q: %s", word, report.Note())
		}
	}
	goesOn(t, s, dir)
}

// Hazard 48: the commit reports an error and is on disk all the same.
func TestAFailedCommitThatIsOnDiskAllTheSame(t *testing.T) {
	dir := t.TempDir()
	f := osFS()
	failing := false
	f.commit = func(db *bbolt.DB, fn func(*bbolt.Tx) error) error {
		err := db.Update(fn)
		if failing {
			return errors.Join(err, syscall.EIO)
		}
		return err
	}
	s, err := open(Config{Dir: dir}, f)
	must(t, err)
	r := recordtest.Full()
	must(t, s.Reset(r))
	failing = true
	r.Progress.Counters.Looked++
	if err := s.Save(r); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Save: %v", err)
	}
	failing = false
	if err := s.Save(r); !errors.Is(err, ErrFailed) {
		t.Errorf("Save after a failed one: %v", err)
	}
	must(t, s.Close())
	s = mustOpen(t, dir)
	got, report, err := s.Load()
	if diff := recordtest.Diff(r, got); err != nil || diff != "" || report.Note() != "" {
		t.Errorf("%v, %+v\n%s", err, report, diff)
	}
	goesOn(t, s, dir)
}

// A database opened read-only makes bbolt's own writes fail.
func TestCommitThatCannotWrite(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Reset(recordtest.Full()))
	ro, err := os.Open(filepath.Join(dir, databaseName))
	must(t, err)
	must(t, unix.Dup3(int(ro.Fd()), int(s.copies.(*files).db.file.Fd()), unix.O_CLOEXEC))
	must(t, ro.Close())
	if err := s.Save(recordtest.Full()); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EBADF) {
		t.Errorf("Save: %v", err)
	}
	must(t, s.Close())
	s = mustOpen(t, dir)
	goesOn(t, s, dir)
}

// Hazard 49.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, dir, map[string][]byte{buildName: []byte("half a database"), "token": []byte("someone else's")})
	s := mustOpen(t, dir)
	if _, err := Open(Config{Dir: dir, LockTimeout: time.Millisecond}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second start: %v", err)
	}
	must(t, s.Close())
	files := readAll(t, dir)
	if _, there := files[buildName]; there || string(files["token"]) != "someone else's" {
		t.Errorf("left: %d files", len(files))
	}
}

func TestSetAsideNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	now := func() time.Time { return time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC) }
	var paths []string
	for i := range 3 {
		writeAll(t, dir, map[string][]byte{databaseName: fmt.Appendf(nil, "damage %d", i)})
		s, err := Open(Config{Dir: dir, Now: now})
		must(t, err)
		_, report, err := s.Load()
		must(t, err)
		must(t, s.Close())
		paths = append(paths, filepath.Base(report.SetAside))
	}
	want := []string{"checkpoint.db.corrupt-20310203T040506Z", "checkpoint.db.corrupt-20310203T040506Z-2", "checkpoint.db.corrupt-20310203T040506Z-3"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	for i, path := range paths {
		if got := string(readAll(t, dir)[path]); got != fmt.Sprintf("damage %d", i) {
			t.Errorf("%s holds %q", path, got)
		}
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	s := mustOpen(t, dir)
	defer s.Close()
	must(t, s.Reset(recordtest.Full()))
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	}))
}

func TestStateThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "state")} {
		if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrCreate) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, databaseName), 0o700))
	if _, err := Open(Config{Dir: dir}); err == nil || isDamage(err) {
		t.Errorf("a directory in the database's place: %v", err)
	}
}

func TestNewerVersionIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Save(recordtest.Full()))
	head := append([]byte{}, s.ledger.last.head...)
	head[5] = 9
	sealAgain(head)
	img := s.ledger.last
	img.head = head
	must(t, s.copies.put(img))
	must(t, s.Close())
	before := readAll(t, dir)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrVersion) {
		t.Errorf("Open: %v", err)
	}
	if diff := cmp.Diff(before, readAll(t, dir)); diff != "" {
		t.Error("it was touched")
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {Dir: "x", LockTimeout: -1}, {Dir: "x", LockTimeout: time.Hour}} {
		if _, err := Open(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Hazard 58: an operator puts a database of yesterday back beside today's mirror.
// The higher sequence number wins, and the next save ends the disagreement.
func TestRestoringOneOfTwoStoresThatAreComparedAtStart(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	yesterday := recordtest.Full()
	must(t, errors.Join(s.Reset(yesterday), s.Close()))
	kept := readAll(t, dir)[databaseName]

	s = mustOpen(t, dir)
	today := recordtest.Full()
	for range 5 {
		today.Progress.Counters.Looked++
		must(t, s.Save(today))
	}
	must(t, s.Close())
	writeAll(t, dir, map[string][]byte{databaseName: kept})

	s = mustOpen(t, dir)
	got, report, err := s.Load()
	if diff := recordtest.Diff(today, got); err != nil || diff != "" || report.Source == SourceDatabase {
		t.Errorf("%v, from %v\n%s", err, report.Source, diff)
	}
	today.Progress.Counters.Looked++
	must(t, errors.Join(s.Save(today), s.Close()))
	s = mustOpen(t, dir)
	got, report, err = s.Load()
	if diff := recordtest.Diff(today, got); err != nil || diff != "" || report.Note() != "" {
		t.Errorf("they still disagree: %v, %q\n%s", err, report.Note(), diff)
	}
	must(t, s.Close())
}
