// Package catalogtest is the contract of a catalog source as tests, and the
// tools to run them: states to serve, and snapshot files made of them.
package catalogtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
)

// State is what a source is to serve: rows by rising id, those whose end epoch
// has come included, which a source must not serve.
type State struct {
	recovery.Stamp
	Rows []recovery.Row
}

// Certified returns the rows that a source must serve.
func (s State) Certified() []recovery.Row {
	return slices.DeleteFunc(slices.Clone(s.Rows), func(r recovery.Row) bool { return r.EndEpoch <= s.Epoch })
}

// Subject is a source under test and the way to give it a newer state.
type Subject struct {
	Source catalog.Source
	// Publish makes s the newest state. It is called from one goroutine at a
	// time, which may be another than the test's.
	Publish func(t testing.TB, s State)
}

// Run runs the contract. open returns a source whose newest state is first; it
// registers with t what has to be closed.
func Run(t *testing.T, open func(t *testing.T, first State) Subject) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, func(*testing.T, State) Subject)
	}{
		{"pages", testPages}, {"after", testAfter}, {"empty", testEmpty}, {"tip", testTip}, {"lookup", testLookup},
		{"not pinned", testNotPinned}, {"pin moves", testPinMoves}, {"changed", testChanged},
		{"cancelled", testCancelled}, {"concurrent", testConcurrent}, {"since", testSince},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open) })
	}
}

// NewState returns a state with n certified blobs at that position, and some
// that have expired.
func NewState(n int, position uint64) State {
	s := State{Stamp: recovery.Stamp{Network: "catalogtest", Epoch: 10, Position: position}}
	for i := range n {
		row := recovery.Row{CertifiedEpoch: uint32(1 + i%10), EndEpoch: uint32(11 + i%7), Gained: position}
		binary.BigEndian.PutUint64(row.ID[:], uint64(2*i+2)<<32)
		row.ID[31] = byte(i)
		row.Encoding, row.Size, row.Digest = recovery.Raw, int64(i)*1000, row.ID
		s.Rows = append(s.Rows, row)
		if i%5 == 2 {
			binary.BigEndian.PutUint64(row.ID[:], uint64(2*i+3)<<32)
			row.Digest, row.EndEpoch = row.ID, 10
			s.Rows = append(s.Rows, row)
		}
	}
	return s
}

func pin(t *testing.T, s catalog.Source) recovery.Tip {
	t.Helper()
	tip, err := s.Pin(t.Context())
	if err != nil {
		t.Fatalf("Pin: %v", err)
	}
	return tip
}

// read walks through a source with pages of up to size rows, checking each.
func read(t *testing.T, s catalog.Source, after recovery.Mark, size int, stamp recovery.Stamp) []recovery.Row {
	t.Helper()
	var all []recovery.Row
	rows := make([]recovery.Row, size)
	for {
		for i := range rows { // what a buffer held before must not show
			rows[i] = recovery.Row{Stored: true, Gained: 99, EndEpoch: 99}
		}
		info, err := s.Page(t.Context(), after, rows)
		switch {
		case err != nil:
			t.Fatalf("Page after %v: %v", after, err)
		case info.Stamp != stamp:
			t.Fatalf("Page is stamped %+v, want %+v", info.Stamp, stamp)
		case info.N < 0 || info.N > size || info.N == 0 && !info.End:
			t.Fatalf("Page after %v has %d rows of %d, end %v", after, info.N, size, info.End)
		}
		all = append(all, rows[:info.N]...)
		if info.End {
			return all
		}
		after = recovery.MarkAt(rows[info.N-1].ID)
	}
}

func testPages(t *testing.T, open func(*testing.T, State) Subject) {
	state := NewState(200, 7)
	s := open(t, state).Source
	pin(t, s)
	for _, size := range []int{1, 2, 3, 64, 199, 200, 201, 5000} {
		if diff := cmp.Diff(state.Certified(), read(t, s, recovery.Mark{}, size, state.Stamp)); diff != "" {
			t.Errorf("pages of %d rows (-want +got):\n%s", size, diff)
		}
	}
	var rows []recovery.Row
	for row, err := range catalog.Rows(t.Context(), s, recovery.Mark{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if diff := cmp.Diff(state.Certified(), rows); diff != "" {
		t.Errorf("Rows (-want +got):\n%s", diff)
	}
}

// testAfter goes on from every id, from between the ids, and from both ends.
// Hazard 8: a mark whose id is not there any more resumes at the next one.
func testAfter(t *testing.T, open func(*testing.T, State) Subject) {
	state := NewState(60, 7)
	s := open(t, state).Source
	pin(t, s)
	want := state.Certified()
	marks := []recovery.Mark{
		{}, recovery.MarkEnd(), recovery.MarkAt(recovery.BlobID{}), recovery.MarkAt(recovery.BlobID(bytes.Repeat([]byte{0xff}, 32))),
	}
	for _, row := range state.Rows {
		below, above := row.ID, row.ID
		below[20]--
		above[20]++
		marks = append(marks, recovery.MarkAt(row.ID), recovery.MarkAt(below), recovery.MarkAt(above))
	}
	for _, m := range marks {
		var rest []recovery.Row
		for _, row := range want {
			if !m.Covers(row.ID) {
				rest = append(rest, row)
			}
		}
		if diff := cmp.Diff(rest, read(t, s, m, 16, state.Stamp)); diff != "" {
			t.Fatalf("after %v (-want +got):\n%s", m, diff)
		}
	}
}

func testEmpty(t *testing.T, open func(*testing.T, State) Subject) {
	state := NewState(0, 3)
	s := open(t, state).Source
	if tip := pin(t, s); tip.Blobs != 0 || tip.Bytes != 0 {
		t.Errorf("an empty catalog has %d blobs of %d bytes", tip.Blobs, tip.Bytes)
	}
	if rows := read(t, s, recovery.Mark{}, 4, state.Stamp); len(rows) != 0 {
		t.Errorf("an empty catalog has rows: %v", rows)
	}
	if _, err := s.Page(t.Context(), recovery.Mark{}, nil); err == nil {
		t.Error("a page without room for a row is no error")
	}
}

func testTip(t *testing.T, open func(*testing.T, State) Subject) {
	state := NewState(20, 7)
	s := open(t, state).Source
	tip := pin(t, s)
	var size int64
	for _, row := range state.Certified() {
		size += row.Size
	}
	if tip.Stamp != state.Stamp || tip.Blobs != 20 || tip.Bytes != size {
		t.Errorf("tip %+v, want %+v with 20 blobs of %d bytes", tip, state.Stamp, size)
	}
	if again := pin(t, s); again.Bound != tip.Bound {
		t.Errorf("pinned again without a change: %v, then %v", tip.Bound, again.Bound)
	}
	if tip.Digest == (recovery.Digest{}) {
		t.Error("the tip has no digest")
	}
}

func testLookup(t *testing.T, open func(*testing.T, State) Subject) {
	state := NewState(300, 7)
	s := open(t, state).Source
	pin(t, s)
	byID := map[recovery.BlobID]recovery.Row{}
	for _, row := range state.Certified() {
		byID[row.ID] = row
	}
	var all []recovery.BlobID // present, expired and absent ones
	for _, row := range state.Rows {
		absent := row.ID
		absent[9] = 1
		all = append(all, row.ID, absent)
	}
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	for name, ids := range map[string][]recovery.BlobID{
		"none": nil, "one": all[200:201], "absent": all[201:202], "last": all[len(all)-2:], "first": all[:1],
		"all": all, "backwards": backwards, "twice": slices.Concat(all[40:60], all[50:70]),
		"far apart": {all[0], all[300], all[len(all)-2]},
	} {
		asked := slices.Clone(ids)
		var want []recovery.Row
		for _, id := range slices.Compact(slices.SortedFunc(slices.Values(ids), recovery.BlobID.Compare)) {
			if row, ok := byID[id]; ok {
				want = append(want, row)
			}
		}
		stamp, rows, err := s.Lookup(t.Context(), ids)
		if err != nil || stamp != state.Stamp {
			t.Fatalf("%s: stamp %+v, error %v", name, stamp, err)
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !slices.Equal(asked, ids) {
			t.Errorf("%s: Lookup changed its argument", name)
		}
	}
}

func testNotPinned(t *testing.T, open func(*testing.T, State) Subject) {
	s := open(t, NewState(3, 7)).Source
	if _, err := s.Page(t.Context(), recovery.Mark{}, make([]recovery.Row, 1)); !errors.Is(err, catalog.ErrNotPinned) {
		t.Errorf("Page before Pin: %v", err)
	}
	if _, _, err := s.Lookup(t.Context(), make([]recovery.BlobID, 1)); !errors.Is(err, catalog.ErrNotPinned) {
		t.Errorf("Lookup before Pin: %v", err)
	}
}

// testPinMoves: a newer state shows only after Pin, and then everywhere.
func testPinMoves(t *testing.T, open func(*testing.T, State) Subject) {
	old, next := NewState(50, 7), NewState(80, 9)
	next.Epoch = 12 // some blobs have ended
	sub := open(t, old)
	first := pin(t, sub.Source)
	sub.Publish(t, next)
	if diff := cmp.Diff(old.Certified(), read(t, sub.Source, recovery.Mark{}, 7, old.Stamp)); diff != "" {
		t.Errorf("before Pin (-want +got):\n%s", diff)
	}
	if stamp, _, err := sub.Source.Lookup(t.Context(), nil); stamp != old.Stamp || err != nil {
		t.Errorf("Lookup before Pin is stamped %+v, error %v", stamp, err)
	}
	if second := pin(t, sub.Source); second.Stamp != next.Stamp || second.Digest == first.Digest {
		t.Errorf("pinned %v after %v", second.Bound, first.Bound)
	}
	if diff := cmp.Diff(next.Certified(), read(t, sub.Source, recovery.Mark{}, 7, next.Stamp)); diff != "" {
		t.Errorf("after Pin (-want +got):\n%s", diff)
	}
}

func testChanged(t *testing.T, open func(*testing.T, State) Subject) {
	sub := open(t, NewState(5, 1))
	pin(t, sub.Source)
	for position := uint64(2); position < 6; position++ {
		quiet, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := sub.Source.Changed(quiet); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("position %d: Changed without a change: %v", position, err)
		}
		cancel()
		woken := make(chan error, 1)
		if position%2 == 0 { // else it is there before it is waited for
			go func() { woken <- sub.Source.Changed(t.Context()) }()
		}
		sub.Publish(t, NewState(5, position))
		if position%2 == 1 {
			go func() { woken <- sub.Source.Changed(t.Context()) }()
		}
		if err := <-woken; err != nil {
			t.Fatalf("position %d: Changed: %v", position, err)
		}
		if tip := pin(t, sub.Source); tip.Position != position {
			t.Fatalf("pinned position %d, want %d", tip.Position, position)
		}
	}
}

func testCancelled(t *testing.T, open func(*testing.T, State) Subject) {
	sub := open(t, NewState(5, 1))
	pin(t, sub.Source)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, pinErr := sub.Source.Pin(ctx)
	_, pageErr := sub.Source.Page(ctx, recovery.Mark{}, make([]recovery.Row, 2))
	_, _, lookErr := sub.Source.Lookup(ctx, make([]recovery.BlobID, 1))
	for name, err := range map[string]error{
		"Pin": pinErr, "Page": pageErr, "Lookup": lookErr, "Changed": sub.Source.Changed(ctx),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", name, err)
		}
	}
	if rows := read(t, sub.Source, recovery.Mark{}, 2, NewState(5, 1).Stamp); len(rows) != 5 {
		t.Errorf("%d rows afterwards, want 5", len(rows))
	}
}
