// Package recordtest makes records for tests: whole ones, and histories such as
// a worker writes them.
package recordtest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// Full returns a record in which every field is set, of run 7.
func Full() recovery.Record {
	id := func(b byte) recovery.BlobID { return recovery.BlobID{b, 0xee, 31: b} }
	at := func(sec int64) time.Time { return time.Unix(1_700_000_000+sec, 123_456_789).UTC() }
	return recovery.Record{Paused: true, Progress: &recovery.Progress{
		Run: 7,
		Fence: recovery.Fence{
			Network: "main", TotalShards: 100, Placement: shards.Striped, Owned: shards.SetOf(0, 3, 4, 99),
			Continuity: "c-1", Store: "root:5f/0:aa",
		},
		Epoch:   12,
		Covered: &recovery.Bound{Stamp: recovery.Stamp{Network: "main", Epoch: 10, Position: 900}, Digest: recovery.Digest{1, 2}},
		Bound:   recovery.Bound{Stamp: recovery.Stamp{Network: "main", Epoch: 11, Position: 1000}, Digest: recovery.Digest{3, 4}},
		Cursor:  recovery.MarkAt(id(0x40)), Scan: recovery.MarkAt(id(0x90)),
		Unsettled: []recovery.Unsettled{
			{ID: id(0x80), Size: 1 << 40, State: recovery.Parked, Tries: 10, Attempts: 12, FirstFailed: at(1), NextTry: at(2), Reason: recovery.Absent, LastError: "peer-1: 404", Replace: true},
			{ID: id(0x41), Size: recovery.SizeUnknown, State: recovery.Waiting},
			{ID: id(0xf0), Size: 3, State: recovery.Retrying, Tries: 1, Attempts: 1, FirstFailed: at(3), Reason: recovery.Deadline, LastError: "zu spät"},
		},
		Counters: recovery.Counters{Looked: 1, Stored: 2, StoredBytes: 3, AlreadyStored: 4, NotCertified: 5, Expired: 6, Cancelled: 7, Parkings: 8, Passes: 9, Resumes: 10},
		Origin:   recovery.Origin{Decision: recovery.Discard, Why: "continuity changed", From: recovery.MarkEnd()},
		SavedAt:  at(4),
	}}
}

// First is Full as it was when the bytes of its version were frozen, before there
// was Replace.
func First() recovery.Record {
	r := Full()
	r.Progress.Unsettled[0].Replace = false
	return r
}

// Step is one write of a history.
type Step struct {
	Record recovery.Record
	Less   bool // claims less than the one before
}

// History makes the writes of a worker's life, one after the other: runs and
// passes that go forward, lists that grow and shrink, pauses, blobs put back,
// discards. Equal seeds make equal histories.
type History struct {
	rng  *rand.Rand
	list int // the longest list
	run  uint64
	last recovery.Record
}

// NewHistory returns a history whose lists have at most longest entries.
func NewHistory(seed uint64, longest int) *History {
	return &History{rng: rand.New(rand.NewPCG(seed, 1)), list: longest}
}

// Next returns the next write. Nothing of it is changed later.
func (h *History) Next() Step {
	step := Step{}
	switch n := h.rng.IntN(20); {
	case h.last.Progress == nil && n < 2:
		step.Record.Paused = !h.last.Paused
	case h.last.Progress == nil || n == 0:
		h.run += 1 + h.rng.Uint64N(2)
		step = Step{Record: recovery.Record{Paused: h.last.Paused, Progress: h.progress()}, Less: true}
	case n == 1:
		step = Step{Record: recovery.Record{Paused: h.last.Paused}, Less: true}
	case n == 2:
		step = Step{Record: recovery.Record{Paused: !h.last.Paused, Progress: h.last.Progress}}
	default:
		step = Step{Record: recovery.Record{Paused: h.last.Paused, Progress: h.progress()}, Less: n == 3}
	}
	h.last = step.Record
	return step
}

// progress makes a progress of the present run that contradicts nothing.
func (h *History) progress() *recovery.Progress {
	p := *Full().Progress
	p.Run = h.run
	p.Fence.Continuity = fmt.Sprintf("c-%d", h.run)
	p.Bound.Position += h.rng.Uint64N(1_000)
	p.Counters.Looked = h.rng.Uint64()
	p.SavedAt = p.SavedAt.Add(time.Duration(h.rng.Int64N(int64(time.Hour))))
	p.Unsettled = h.entries(h.rng.IntN(h.list + 1))
	switch low := h.id(1); h.rng.IntN(4) {
	case 0:
		p.Covered, p.Cursor, p.Scan = nil, recovery.Mark{}, recovery.MarkAt(low)
	case 1:
		covered := p.Bound
		p.Covered, p.Cursor, p.Scan = &covered, recovery.MarkAt(low), recovery.MarkEnd()
		if len(p.Unsettled) == 0 {
			p.Cursor = recovery.MarkEnd()
		}
	default:
		p.Cursor, p.Scan = recovery.MarkAt(low), recovery.MarkAt(h.id(200))
	}
	return &p
}

// id returns a random id whose first byte is given.
func (h *History) id(first byte) (id recovery.BlobID) {
	for i := 0; i < len(id); i += 8 {
		binary.BigEndian.PutUint64(id[i:], h.rng.Uint64())
	}
	id[0] = first
	return id
}

// entries returns n entries above every cursor that progress makes, unsorted.
func (h *History) entries(n int) []recovery.Unsettled {
	var list []recovery.Unsettled
	for range n {
		u := recovery.Unsettled{ID: h.id(2 + byte(h.rng.IntN(250))), Size: h.rng.Int64N(1<<30) - 1, State: recovery.Waiting}
		if h.rng.IntN(2) == 0 {
			u.State, u.Tries, u.Attempts = recovery.Parked, h.rng.Uint32(), h.rng.Uint32()
			u.FirstFailed = time.Unix(h.rng.Int64N(1<<33), h.rng.Int64N(1e9)).UTC()
			u.Reason, u.LastError = recovery.WrongBytes, fmt.Sprintf("peer-%d sent something else", h.rng.IntN(9))
			u.Replace = u.Tries%2 == 0
		}
		list = append(list, u)
	}
	return list
}

// Equal reports whether two records say the same, in whatever order their lists
// are.
func Equal(a, b recovery.Record) bool { return reflect.DeepEqual(sorted(a), sorted(b)) }

// Diff says how two records differ, but for the order of the list; empty if
// they do not. It is slow where they do.
func Diff(want, got recovery.Record) string {
	if Equal(want, got) {
		return ""
	}
	return cmp.Diff(want, got,
		cmp.Comparer(func(a, b recovery.Mark) bool { return a == b }),
		cmpopts.SortSlices(func(a, b recovery.Unsettled) bool { return a.ID.Compare(b.ID) < 0 }),
		cmpopts.EquateEmpty(),
	)
}

func sorted(r recovery.Record) recovery.Record {
	if r.Progress != nil {
		p := *r.Progress
		p.Unsettled = append([]recovery.Unsettled{}, p.Unsettled...)
		slices.SortFunc(p.Unsettled, func(a, b recovery.Unsettled) int { return a.ID.Compare(b.ID) })
		r.Progress = &p
	}
	return r
}
