// Package checkpointtest says, as tests, what a checkpoint is. A backend's test
// is a few lines:
//
//	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Opener {
//		cfg := checkpoint.Config{Dir: t.TempDir()}
//		return func(t *testing.T) checkpointtest.Checkpoint { ... checkpoint.Open(cfg) ... }
//	})
package checkpointtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
)

// Checkpoint is what the suite tests.
type Checkpoint = checkpoint.Backend

// Opener opens the same place each time, as successive processes would. The
// suite closes one checkpoint before it opens the next.
type Opener func(t *testing.T) Checkpoint

// Run tests the places that newPlace makes, each empty at first.
func Run(t *testing.T, newPlace func(t *testing.T) Opener) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open Opener)
	}{
		{"empty at first", testEmpty},
		{"every field comes back", testEveryField},
		{"the list is sorted and the caller's is not", testSorted},
		{"history", testHistory},
		{"sequence moves with success only", testSequence},
		{"what is durable is known", testDurable},
		{"a new run and a discard are remembered", testRuns},
		{"an older run is refused", testOlderRun},
		{"contradictions are refused", testContradictions},
		{"texts for people are cut", testLongTexts},
		{"pause without progress", testPause},
		{"closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newPlace(t)) })
	}
}

func testEmpty(t *testing.T, open Opener) {
	c := open(t)
	for range 2 {
		wantLoad(t, c, recovery.Record{})
		_, report, err := c.Load()
		if err != nil || report.LastRun != 0 || report.Seq != 0 || report.Note() != "" || report.List != checkpoint.ListWhole {
			t.Fatalf("Load of an empty place reports %+v, %v", report, err)
		}
		c = reopen(t, c, open)
	}
	closeIt(t, c)
}

func testEveryField(t *testing.T, open Opener) {
	c := open(t)
	must(t, c.Reset(recordtest.Full()))
	wantLoad(t, c, recordtest.Full())
	c = reopen(t, c, open)
	wantLoad(t, c, recordtest.Full())
	closeIt(t, c)
}

func testSorted(t *testing.T, open Opener) {
	c := open(t)
	defer closeIt(t, c)
	given := recordtest.Full()
	before := slices.Clone(given.Progress.Unsettled)
	must(t, c.Save(given))
	if !slices.Equal(before, given.Progress.Unsettled) {
		t.Error("Save changed the caller's list")
	}
	got := load(t, c)
	if !slices.IsSortedFunc(got.Progress.Unsettled, func(a, b recovery.Unsettled) int { return a.ID.Compare(b.ID) }) {
		t.Error("the loaded list is not sorted by id")
	}
	got.Progress.Unsettled[0].Tries += 5
	got.Progress.Covered.Position += 5
	given.Progress.Covered.Position += 7
	wantLoad(t, c, recordtest.Full())
}

func testHistory(t *testing.T, open Opener) {
	for seed := range uint64(4) {
		c := open(t)
		h := recordtest.NewHistory(seed, 40)
		start := load(t, c)
		if start.Progress != nil {
			must(t, c.Reset(recovery.Record{})) // of the seed before
		}
		_, report, err := c.Load()
		must(t, err)
		for i := range 30 {
			step := h.Next()
			if p := step.Record.Progress; p != nil {
				copied := *p
				copied.Run += report.LastRun
				step.Record.Progress = &copied
			}
			if step.Less {
				must(t, c.Reset(step.Record))
			} else {
				must(t, c.Save(step.Record))
			}
			if i%7 == 0 {
				c = reopen(t, c, open)
			}
			wantLoad(t, c, step.Record)
		}
		closeIt(t, c)
	}
}

func testSequence(t *testing.T, open Opener) {
	c := open(t)
	r := recordtest.Full()
	last := uint64(0)
	for i, write := range []func(recovery.Record) error{c.Reset, c.Save, c.Reset, c.Save, c.Save} {
		must(t, write(r))
		if seq := report(t, c).Seq; seq <= last {
			t.Errorf("write %d: the sequence went from %d to %d", i, last, seq)
		} else {
			last = seq
		}
	}
	bad := recordtest.Full()
	bad.Progress.Cursor = recovery.MarkEnd()
	if err := c.Save(bad); err == nil {
		t.Error("a contradiction was saved")
	}
	if seq := report(t, c).Seq; seq != last { // Hazard 44.
		t.Errorf("a refused write moved the sequence from %d to %d", last, seq)
	}
	c = reopen(t, c, open)
	if seq := report(t, c).Seq; seq != last {
		t.Errorf("a restart moved the sequence from %d to %d", last, seq)
	}
	closeIt(t, c)
}

func testDurable(t *testing.T, open Opener) {
	c := open(t)
	if d := c.Durable(); d.Seq != 0 || d.Run != 0 || !d.Cursor.None() || !d.SavedAt.IsZero() {
		t.Errorf("of an empty place %+v is durable", d)
	}
	r := recordtest.Full()
	for range 2 {
		must(t, c.Reset(r))
		wantDurable(t, c, r)
		must(t, c.Save(r))
		wantDurable(t, c, r)
		c = reopen(t, c, open)
		wantDurable(t, c, r)
	}
	bad := recordtest.Full()
	bad.Progress.Cursor = recovery.MarkEnd()
	if err := c.Save(bad); err == nil {
		t.Error("a contradiction was saved")
	}
	wantDurable(t, c, r)
	before := c.Durable()
	closeIt(t, c)
	if after := c.Durable(); after.Seq != before.Seq || after.Cursor != before.Cursor {
		t.Errorf("closing changed what is durable from %+v to %+v", before, after)
	}
}

// wantDurable checks what is said to be durable against the record and against
// what Load reports.
func wantDurable(t *testing.T, c Checkpoint, r recovery.Record) {
	t.Helper()
	d, loaded := c.Durable(), report(t, c)
	if d.Seq != loaded.Seq || d.Seq == 0 || d.LastRun != loaded.LastRun || d.Source != loaded.Source {
		t.Errorf("durable is %+v, loaded %+v", d.LoadReport, loaded)
	}
	if p := r.Progress; d.Run != p.Run || d.Cursor != p.Cursor || !d.SavedAt.Equal(p.SavedAt) {
		t.Errorf("durable is run %d, cursor %v, saved at %v; want %d, %v, %v", d.Run, d.Cursor, d.SavedAt, p.Run, p.Cursor, p.SavedAt)
	}
}

func testRuns(t *testing.T, open Opener) {
	c := open(t)
	must(t, c.Reset(ofRun(7)))
	must(t, c.Reset(ofRun(9)))
	c = reopen(t, c, open)
	if r := report(t, c); r.LastRun != 9 || r.Run != 9 {
		t.Errorf("after run 9 the report says run %d, last run %d", r.Run, r.LastRun)
	}
	must(t, c.Reset(recovery.Record{Paused: true}))
	for range 2 {
		wantLoad(t, c, recovery.Record{Paused: true})
		if r := report(t, c); r.LastRun != 9 || r.Run != 0 {
			t.Errorf("after a discard the report says run %d, last run %d", r.Run, r.LastRun)
		}
		c = reopen(t, c, open)
	}
	must(t, c.Reset(ofRun(10)))
	closeIt(t, c)
}

func testOlderRun(t *testing.T, open Opener) {
	c := open(t)
	defer func() { closeIt(t, c) }()
	must(t, c.Reset(ofRun(7)))
	for _, write := range []func(recovery.Record) error{c.Save, c.Reset} {
		if err := write(ofRun(6)); !errors.Is(err, checkpoint.ErrStale) {
			t.Errorf("writing run 6 after run 7: %v", err)
		}
	}
	must(t, c.Reset(recovery.Record{}))
	if err := c.Save(ofRun(7)); !errors.Is(err, checkpoint.ErrStale) {
		t.Errorf("writing run 7 after it was discarded: %v", err)
	}
	wantLoad(t, c, recovery.Record{})
	must(t, c.Save(ofRun(8)))
}

func testContradictions(t *testing.T, open Opener) {
	c := open(t)
	defer func() { closeIt(t, c) }()
	must(t, c.Save(recordtest.Full()))
	low := recordtest.Full().Progress.Unsettled[1].ID
	for name, spoil := range map[string]func(*recovery.Progress){
		"cursor past an unsettled id (I2)": func(p *recovery.Progress) { p.Cursor = recovery.MarkAt(low) },
		"cursor above the scan":            func(p *recovery.Progress) { p.Scan = recovery.Mark{} },
		"end before the pass is":           func(p *recovery.Progress) { p.Cursor, p.Scan = recovery.MarkEnd(), recovery.MarkEnd() },
		"an id twice":                      func(p *recovery.Progress) { p.Unsettled = append(p.Unsettled, p.Unsettled[0]) },
		"no state":                         func(p *recovery.Progress) { p.Unsettled[0].State = 0 },
		"a list beyond its limit":          func(p *recovery.Progress) { p.Unsettled = make([]recovery.Unsettled, checkpoint.MaxEntries+1) },
		"a network beyond its limit":       func(p *recovery.Progress) { p.Fence.Network = string(make([]byte, 2_000)) },
	} {
		r := recordtest.Full()
		spoil(r.Progress)
		if err := c.Save(r); !errors.Is(err, checkpoint.ErrRecord) {
			t.Errorf("%s: Save returned %v", name, err)
		}
		wantLoad(t, c, recordtest.Full())
	}
	must(t, c.Save(recordtest.Full()))
}

func testLongTexts(t *testing.T, open Opener) {
	c := open(t)
	defer func() { closeIt(t, c) }()
	r := recordtest.Full()
	long := string(slices.Repeat([]byte("ü"), 10_000))
	r.Progress.Origin.Why, r.Progress.Unsettled[0].LastError = long, long
	must(t, c.Save(r))
	got := load(t, c)
	for _, text := range []string{got.Progress.Origin.Why, got.Progress.Unsettled[1].LastError} {
		if len(text) < 150 || text != long[:len(text)] || len(text)%2 != 0 {
			t.Errorf("the text came back as %d bytes: %.20q...", len(text), text)
		}
	}
}

func testPause(t *testing.T, open Opener) { // Hazard 40.
	c := open(t)
	must(t, c.Save(recovery.Record{Paused: true}))
	c = reopen(t, c, open)
	wantLoad(t, c, recovery.Record{Paused: true})
	closeIt(t, c)
}

func testClosed(t *testing.T, open Opener) {
	c := open(t)
	must(t, c.Save(recordtest.Full()))
	closeIt(t, c)
	closeIt(t, c)
	_, _, err := c.Load()
	for name, err := range map[string]error{"Load": err, "Save": c.Save(recordtest.Full()), "Reset": c.Reset(recordtest.Full())} {
		if !errors.Is(err, checkpoint.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	c = open(t)
	wantLoad(t, c, recordtest.Full())
	closeIt(t, c)
}

func ofRun(run uint64) recovery.Record {
	r := recordtest.Full()
	r.Progress.Run = run
	return r
}

func load(t *testing.T, c Checkpoint) recovery.Record {
	t.Helper()
	r, _, err := c.Load()
	must(t, err)
	return r
}

func report(t *testing.T, c Checkpoint) checkpoint.LoadReport {
	t.Helper()
	_, r, err := c.Load()
	must(t, err)
	return r
}

func wantLoad(t *testing.T, c Checkpoint, want recovery.Record) {
	t.Helper()
	if diff := recordtest.Diff(want, load(t, c)); diff != "" {
		t.Fatalf("Load differs (-want +got):\n%s", diff)
	}
}

func reopen(t *testing.T, c Checkpoint, open Opener) Checkpoint {
	t.Helper()
	closeIt(t, c)
	return open(t)
}

func closeIt(t *testing.T, c Checkpoint) {
	t.Helper()
	must(t, c.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
