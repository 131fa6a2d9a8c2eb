package recovery

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// Whatever is listed, tried, put off, parked and settled, in whatever order: the cursor
// is the highest mark with nothing unsettled at or below it, whoever is due comes by
// its time and then by its id, and the sums are those of the list.
func TestFrontierFollowsAModel(t *testing.T) {
	evidence.Property(t, "frontier: the cursor is the highest mark with nothing unsettled up to it, and who is due comes in order", func(t *rapid.T) {
		w := &frontierModel{t: t, front: newFrontier(Progress{}), list: map[BlobID]*modelEntry{}}
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { w.check() },
			"scan":    func(*rapid.T) { w.front.scan = w.drawMark() },
			"list":    func(*rapid.T) { w.insert(w.drawID()) },
			"try":     func(*rapid.T) { w.try() },
			"settle":  func(*rapid.T) { w.settle() },
			"put off": func(*rapid.T) { w.putOff() },
			"restart": func(*rapid.T) { w.restart() },
		})
	})
}

// frontierModel is a frontier and what it must know, kept in the plainest way.
type frontierModel struct {
	t     *rapid.T
	front *frontier
	list  map[BlobID]*modelEntry
	now   time.Duration
}

type modelEntry struct {
	state  EntryState
	queued bool
	at     time.Duration
	slow   bool // a parked one that is being tried
}

// universe is every id that is ever listed, by rising id: neighbours too, and both ends.
func universe() []BlobID {
	var first, last BlobID
	for i := range last {
		last[i] = 0xff
	}
	ids := []BlobID{first}
	for n := range 12 {
		id := BlobID{byte(n / 3), 31: byte(n % 3)}
		if n%3 == 2 {
			id[31] = 0xff
		}
		if n > 0 {
			ids = append(ids, id)
		}
	}
	return append(ids, last)
}

func (w *frontierModel) drawID() BlobID { return rapid.SampledFrom(universe()).Draw(w.t, "id") }

func (w *frontierModel) drawMark() Mark {
	switch rapid.IntRange(0, 9).Draw(w.t, "mark") {
	case 0:
		return Mark{}
	case 1:
		return MarkEnd()
	}
	return MarkAt(w.drawID())
}

func (w *frontierModel) insert(id BlobID) {
	if w.list[id] != nil {
		return
	}
	e := w.front.insert(Unsettled{ID: id, State: Waiting})
	w.list[id] = &modelEntry{state: Waiting}
	w.wait(e)
}

func (w *frontierModel) wait(e *entry) {
	at := w.now + time.Duration(rapid.IntRange(0, 5).Draw(w.t, "in"))
	w.front.wait(e, at)
	m := w.list[e.ID]
	m.queued, m.at = true, at
}

// try takes whoever is due, as long as anybody is.
func (w *frontierModel) try() {
	w.now += time.Duration(rapid.IntRange(0, 5).Draw(w.t, "later"))
	for {
		var due []BlobID
		for id, m := range w.list {
			if m.queued && m.at <= w.now {
				due = append(due, id)
			}
		}
		slices.SortFunc(due, func(a, b BlobID) int { return cmp.Or(cmp.Compare(w.list[a].at, w.list[b].at), a.Compare(b)) })
		e := w.front.popDue(w.now)
		if e == nil || len(due) == 0 {
			if e != nil || len(due) > 0 {
				w.t.Fatalf("%v is due, want one of %v", e, due)
			}
			return
		}
		if e.ID != due[0] {
			w.t.Fatalf("%v is due, want %v", e.ID, due[0])
		}
		m := w.list[e.ID]
		if e.State == Parked {
			w.front.beginParkedTry(e)
			m.slow = true
		}
		w.front.setState(e, Fetching)
		m.state, m.queued = Fetching, false
	}
}

// pick returns one of the list, or nil.
func (w *frontierModel) pick() *entry {
	if len(w.list) == 0 {
		return nil
	}
	return w.front.list[rapid.SampledFrom(sortedIDs(w.list)).Draw(w.t, "listed")]
}

// settle also settles who waits: a list is looked at again, and the blob may be gone.
func (w *frontierModel) settle() {
	if e := w.pick(); e != nil {
		id := e.ID // the entry may be used again
		w.front.settle(e)
		delete(w.list, id)
	}
}

// putOff makes one wait that was tried.
func (w *frontierModel) putOff() {
	e := w.pick()
	if e == nil || e.State != Fetching {
		return
	}
	m := w.list[e.ID]
	m.state = rapid.SampledFrom([]EntryState{Retrying, Parked}).Draw(w.t, "state")
	m.slow = false
	w.front.endParkedTry(e)
	w.front.setState(e, m.state)
	w.wait(e)
}

// restart forgets all but what is saved: the list comes back, all of it due at once.
func (w *frontierModel) restart() {
	before := w.front.cursor()
	w.front, w.now = newFrontier(Progress{Scan: w.front.scan, Unsettled: w.front.export()}), 0
	if w.front.cursor() != before {
		w.t.Fatalf("the cursor was %v, and is %v after a restart", before, w.front.cursor())
	}
	for id := range w.list {
		w.list[id] = &modelEntry{state: Waiting, queued: true}
	}
}

func (w *frontierModel) check() {
	f, want := w.front, map[EntryState]int{}
	soonest, waits, slow := time.Duration(0), false, 0
	for id, m := range w.list {
		want[m.state]++
		if m.slow {
			slow++
		}
		if m.queued && (!waits || m.at < soonest) {
			soonest, waits = m.at, true
		}
		if f.list[id] == nil || f.list[id].State != m.state {
			w.t.Fatalf("%v is %+v, want %v", id, f.list[id], m.state)
		}
	}
	if at, ok := f.nextDue(); ok != waits || at != soonest {
		w.t.Fatalf("the next is due at %v, %v; want %v, %v", at, ok, soonest, waits)
	}
	for s, n := range f.counts {
		if n != want[EntryState(s)] {
			w.t.Fatalf("%d are %v, want %d", n, EntryState(s), want[EntryState(s)])
		}
	}
	if len(f.list) != len(w.list) || f.parked() != want[Parked]+slow || f.active() != len(w.list)-want[Parked] {
		w.t.Fatalf("%d listed, %d parked, %d active; want %d of which %v, %d tried", len(f.list), f.parked(), f.active(), len(w.list), want, slow)
	}
	w.checkCursor()
}

// checkCursor: an id is at or below the cursor if and only if it was looked at, and
// neither it nor any below it is listed (I2).
func (w *frontierModel) checkCursor() {
	clear := true
	for _, id := range universe() {
		clear = clear && w.list[id] == nil
		if got, want := w.front.cursor().Covers(id), clear && w.front.scan.Covers(id); got != want {
			w.t.Fatalf("scan %v, list %v: the cursor %v covers %v: %v", w.front.scan, sortedIDs(w.list), w.front.cursor(), id, got)
		}
	}
	if clear && w.front.cursor() != w.front.scan {
		w.t.Fatalf("nothing is listed, the scan is at %v, the cursor at %v", w.front.scan, w.front.cursor())
	}
}
