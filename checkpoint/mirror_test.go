package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
)

// Hazard 41.
func TestTornFirstWrite(t *testing.T) {
	slot := encodeSlot(mustImage(t, recordtest.Full(), order{run: 7, seq: 1}))
	for n := 1; n < len(slot); n += 29 {
		dir := t.TempDir()
		must(t, mustOpenFast(t, dir).Close())
		writeAll(t, dir, map[string][]byte{string(SourceMirrorA): slot[:n]})
		r, report, err := ReadMirror(dir)
		if err != nil || report.Source != SourceNone || r.Progress != nil {
			t.Fatalf("%d bytes: %v, %+v", n, err, report)
		}
		s := mustOpenFast(t, dir)
		got, report, err := s.Load()
		if err != nil || got.Progress != nil || report.Fallbacks != 0 {
			t.Fatalf("%d bytes: %v, %+v", n, err, report)
		}
		if n%3 == 0 {
			goesOn(t, s, dir)
		} else {
			must(t, s.Close())
		}
	}
}

// Hazard 42.
func TestARecordWhoseChecksumIsRightAndWhoseContentDoesNotDecode(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	older := recordtest.Full()
	must(t, s.Reset(older)) // 1 and 2
	must(t, s.Save(older))  // 3, in a
	must(t, s.Save(older))  // 4, in b
	must(t, s.Close())
	path := filepath.Join(dir, string(SourceMirrorB))
	slot := readAll(t, dir)[string(SourceMirrorB)]
	slot = append(slot[:slotHeader], []byte("something else altogether, as long as a head")...)
	sealSlotAgain(slot)
	must(t, os.WriteFile(path, slot, fileMode))
	must(t, os.Remove(filepath.Join(dir, databaseName)))
	r, report, err := ReadMirror(dir)
	if diff := recordtest.Diff(older, r); err != nil || diff != "" || report.Source != SourceMirrorA || report.Fallbacks != 1 {
		t.Errorf("%v, %+v\n%s", err, report, diff)
	}
	s = mustOpen(t, dir)
	got, report, err := s.Load()
	if diff := recordtest.Diff(older, got); err != nil || diff != "" || report.Fallbacks != 2 {
		t.Errorf("%v, %+v\n%s", err, report, diff)
	}
	goesOn(t, s, dir)
}

// Hazard 44: the slot of the newest record is never the next one to be written.
func TestFailedWriteMovesTheSequenceOn(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenFast(t, dir)
	h := recordtest.NewHistory(5, 3)
	for i := range 40 {
		if i%6 == 5 {
			must(t, s.Close())
			s = mustOpenFast(t, dir)
		}
		_, before, err := ReadMirror(dir)
		must(t, err)
		step := h.Next()
		p, err := s.ledger.plan(step.Record, step.Less)
		must(t, err)
		if next := slotSources()[slotOf(p.first.order.seq)]; next == before.Source {
			t.Fatalf("write %d goes to %s, which holds the newest record", i, next)
		}
		must(t, s.save(step.Record, step.Less))
		if _, after, err := ReadMirror(dir); err != nil || after.Seq != p.second.order.seq {
			t.Fatalf("write %d: the mirror is at %d, want %d (%v)", i, after.Seq, p.second.order.seq, err)
		}
	}
	must(t, s.Close())
}

func TestShorterRecordOverALongerOne(t *testing.T) {
	long := recordtest.Full()
	long.Progress.Unsettled = longList(100)
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Reset(long))
	must(t, s.Reset(recovery.Record{Paused: true}))
	must(t, s.Close())
	if r, report, err := ReadMirror(dir); err != nil || recordtest.Diff(recovery.Record{Paused: true}, r) != "" || report.Note() != "" {
		t.Errorf("%v, %+v", err, report)
	}
}

// A mirror too small for the list says so; it never says that the list is empty.
func TestOmittedListIsSaid(t *testing.T) {
	r := recordtest.Full()
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for _, c := range []struct {
		entries int
		want    ListState
	}{{0, ListWhole}, {1, ListWhole}, {2_000, ListWhole}, {4_000, ListOmitted}, {0, ListWhole}} {
		r.Progress.Unsettled = longList(c.entries)
		must(t, s.Save(r))
		_, report, err := ReadMirror(dir)
		if err != nil || report.List != c.want || report.Entries != c.entries {
			t.Errorf("%d entries: %v, %+v", c.entries, err, report)
		}
		if got, _, err := s.Load(); err != nil || recordtest.Diff(r, got) != "" {
			t.Errorf("%d entries: %v", c.entries, err)
		}
	}
	must(t, s.Close())
	s = mustOpen(t, dir)
	must(t, s.Close())
}

func TestSlotLengthIsBounded(t *testing.T) { // Hazard 65, for the mirror.
	slot := encodeSlot(mustImage(t, recordtest.Full(), order{run: 7, seq: 1}))
	copy(slot[24:], []byte{0xff, 0xff, 0xff, 0xff})
	if _, _, err := readSlot(bytes.NewReader(slot)); !isDamage(err) {
		t.Error(err)
	}
}

func TestReadMirrorOfNothing(t *testing.T) {
	if _, _, err := ReadMirror(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if r, report, err := ReadMirror(t.TempDir()); err != nil || r.Progress != nil || report.Source != SourceNone {
		t.Error(r, report, err)
	}
}
