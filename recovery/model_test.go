package recovery

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

// TestRandomHistories drives a machine through random histories of answers,
// failures, crashes, stops, new events, catalogs that go back or whose descent is
// not proven, ownership changes, wiped shards, swapped stores, full disks and lost
// blobs. It checks I1, I2, I3, I7 and I10 against the world after every durable
// save, and then lets the faults stop: the machine must get to complete with
// everything stored, without ever running hot.
func TestRandomHistories(t *testing.T) {
	evidence.Property(t, "machine: I1, I2, I3, I7 and I10 hold in random histories, which end complete", func(t *rapid.T) {
		w := newWorld(t)
		w.boot()
		for range rapid.IntRange(20, 200).Draw(t, "steps") {
			w.randomStep()
		}
		w.calm()
	})
}

// world is the truth a machine's claims are checked against.
type world struct {
	t        *rapid.T
	m        *Machine
	now      time.Duration
	epoch    uint32
	position uint64
	blobs    map[BlobID]*Row
	stored   map[BlobID]bool
	own      shards.Ownership
	store    int // identity of the store's markers
	disk     Record
	lastRun  uint64
	past     map[uint64]bool // positions that a tip was taken at
	pending  []Effect
	pinned   []Row
	tip      Tip
	calmNow  bool
	lineage  int
	room     bool
	burst    int
	desk     desk
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, epoch: 1, blobs: map[BlobID]*Row{}, stored: map[BlobID]bool{}, past: map[uint64]bool{}}
	w.own = shards.Ownership{Epoch: 1, TotalShards: 2, Owned: shards.Range(0, 1), Node: shards.Active}
	for range rapid.IntRange(0, 12).Draw(t, "blobs") {
		w.certify()
	}
	return w
}

func (w *world) certify() {
	id := letter(string(rapid.ByteRange('a', 'z').Draw(w.t, "id")))
	w.position++
	b := w.blobs[id]
	if b == nil {
		b = &Row{Blob: Blob{ID: id, Size: []int64{10, 10, 40, -1}[id[0]%4], Encoding: Raw, Digest: id}}
		w.blobs[id] = b
	}
	delete(w.desk.promised, id) // it may have been settled as expired before
	b.CertifiedEpoch, b.Gained = w.epoch, w.position
	b.EndEpoch = w.epoch + rapid.Uint32Range(1, 4).Draw(w.t, "lives")
}

// boot starts a process: what was pending is gone, what is durable is not.
func (w *world) boot() {
	m, err := New(Config{Slots: 3, BytesInFlight: 25, Unsettled: 4, Parked: 3, ParkAfter: 2, PageRows: 3, SaveSettled: 3, FollowInterval: time.Second, ParkedRetry: 40 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	w.m, w.now, w.pending, w.burst = m, 0, nil, 0
	w.desk.asked = map[uint64]Event{}
	m.room = Room{Low: w.room}
	w.collect(m.Start())
	w.step(Tick{})
	w.step(OwnershipSeen{w.own})
	w.reportLosses()
}

func (w *world) randomStep() {
	switch n := rapid.IntRange(0, 131).Draw(w.t, "what"); {
	case n > 125:
		w.operate(n)
	case n >= 100:
		w.more(n)
	case n < 60 && len(w.pending) > 0:
		w.answer(rapid.IntRange(0, len(w.pending)-1).Draw(w.t, "which"))
	case n < 75:
		w.tick(time.Duration(rapid.SampledFrom([]int{10, 300, 1000, 5000, 30000}).Draw(w.t, "ms")) * time.Millisecond)
	case n < 82:
		w.certify()
		w.step(CatalogChanged{})
	case n < 86:
		w.boot()
	case n < 89:
		w.epoch++
		w.position++
		w.own.Epoch = w.epoch
		w.endPromises()
		w.step(OwnershipSeen{w.own})
	case n < 92:
		w.changeShards()
	case n < 94:
		w.step(PauseAsked{Ticket: w.ticket(), Paused: rapid.Bool().Draw(w.t, "pause")})
	case n < 96:
		up := rapid.IntRange(0, 1).Draw(w.t, "up")
		w.step(PeersSeen{PeerHealth{Reachable: up, Total: 1, Returns: w.m.peers.Returns + uint64(up)}})
	case n < 98:
		w.step(RetryAsked{Ticket: w.ticket()})
	default:
		w.loseAndPutBack()
	}
}

func (w *world) more(n int) {
	switch {
	case n < 104: // node not active and back
		o := w.own
		o.Node = shards.CatchingUp
		w.step(OwnershipSeen{o})
		for range rapid.IntRange(0, 3).Draw(w.t, "steps while away") {
			if len(w.pending) > 0 {
				w.answer(rapid.IntRange(0, len(w.pending)-1).Draw(w.t, "which"))
			}
		}
		if rapid.Bool().Draw(w.t, "lose") {
			w.loseMany()
		}
		w.step(OwnershipSeen{w.own})
	case n < 107: // stop, drain, restart
		w.step(StopAsked{Drain: rapid.Bool().Draw(w.t, "drain")})
		for range rapid.IntRange(0, 6).Draw(w.t, "steps while stopping") {
			if len(w.pending) > 0 {
				w.answer(rapid.IntRange(0, len(w.pending)-1).Draw(w.t, "which"))
			}
		}
		w.boot()
	case n < 110: // lineage not proven
		w.lineage++
		w.position++
		w.past = map[uint64]bool{}
		w.step(CatalogChanged{})
	case n < 112: // position goes back, to one never pinned
		for range 2 {
			if w.position > 1 {
				w.position--
			}
		}
		if w.past[w.position] || w.disk.Progress != nil && w.disk.Progress.Bound.Position == w.position || w.m.tip != nil && w.m.tip.Position == w.position {
			w.position += 2
			return
		}
		w.lineage += 100
		w.past = map[uint64]bool{}
		for _, b := range w.blobs {
			b.Gained = min(b.Gained, w.position)
		}
		w.step(CatalogChanged{})
	case n < 114: // the store is swapped, nobody says so
		w.store++
		w.forgetAll()
	case n < 117:
		w.room = !w.room
		w.step(RoomSeen{Room{Low: w.room}})
	case n < 119:
		w.step(RetryAsked{Ticket: w.ticket(), IDs: []BlobID{letter("c"), letter("k"), letter("z")}})
	default:
		w.loseMany()
	}
}

// loseMany loses any number of stored blobs at any time.
func (w *world) loseMany() {
	for _, id := range sortedIDs(w.stored) {
		if w.blobs[id] != nil && rapid.Bool().Draw(w.t, "lost") {
			w.lose(id)
		}
	}
	w.reportLosses()
}

// changeShards moves shards; one that leaves comes back wiped, and the node
// says so by its continuity, or the store by its markers.
func (w *world) changeShards() {
	owned := rapid.SampledFrom([]shards.Set{shards.SetOf(0), shards.SetOf(1), shards.SetOf(0, 1)}).Draw(w.t, "owned")
	w.epoch++
	w.position++
	wiped := false
	for id := range w.stored {
		if home := shards.Home(id, 2); owned.Contains(home) && !w.own.Owned.Contains(home) {
			w.forget(id)
			wiped = true
		}
	}
	w.own.Owned, w.own.Epoch = owned, w.epoch
	switch how := rapid.IntRange(0, 2).Draw(w.t, "how"); {
	case wiped, how == 0:
		w.own.Continuity += "x"
	case how == 1:
		w.store++
		w.forgetAll()
	}
	w.endPromises()
	w.step(OwnershipSeen{w.own})
}

// loseAndPutBack loses a stored blob, and the node reports it.
func (w *world) loseAndPutBack() {
	for _, id := range sortedIDs(w.stored) {
		if w.m.run.on && w.m.run.front.list[id] == nil && w.own.Owned.Contains(shards.Home(id, 2)) && w.blobs[id] != nil {
			w.lose(id)
			w.reportLosses()
			return
		}
	}
}

func sortedIDs[V any](set map[BlobID]V) []BlobID {
	return slices.SortedFunc(maps.Keys(set), BlobID.Compare)
}

func (w *world) tick(d time.Duration) {
	w.now += d
	w.step(Tick{Now: w.now, Wall: time.Unix(1_800_000_000, 0)})
}

func (w *world) step(e Event) {
	w.note(e)
	effects, err := w.m.Step(e)
	if err != nil {
		w.t.Fatalf("%T: %v", e, err)
	}
	if _, ok := e.(Tick); ok {
		w.burst = 0
	}
	for _, x := range effects {
		switch x.(type) {
		case LookUp, TakeBound, OpenStore, ReadPage, Sync, Save:
			w.burst++
		}
	}
	if w.burst > 400 {
		w.t.Fatalf("hot loop: %T after %T", effects, e)
	}
	u := w.m.Status().Unsettled
	if u.Total > 4+3+4 {
		w.t.Fatalf("I10: %+v", u)
	}
	w.collect(effects)
	if p := w.m.Progress(); p != nil {
		w.checkCursor(p)
	}
}

func (w *world) collect(effects []Effect) {
	for _, e := range slices.Clone(effects) {
		switch e := e.(type) {
		case LoadCheckpoint:
			w.step(Tick{})
			w.step(Loaded{Record: w.disk, LastRun: w.lastRun})
		case Halt:
			if e.Misconfigured {
				w.t.SkipNow()
			}
			w.t.Fatalf("halted: %s", e.Reason)
		case Answered:
			w.answered(e)
		case PhaseChanged, Decided, BlobParked, ReadTrouble, CancelRun:
		default:
			w.pending = append(w.pending, e)
		}
	}
}

func (w *world) fails() bool { return !w.calmNow && rapid.IntRange(0, 5).Draw(w.t, "fails") == 0 }

// answer performs one pending effect, perhaps badly.
func (w *world) answer(i int) {
	if _, save := w.pending[i].(Save); save { // saves keep their order
		i = slices.IndexFunc(w.pending, func(e Effect) bool { _, ok := e.(Save); return ok })
	}
	e := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	bad := errors.New("bad luck")
	switch e := e.(type) {
	case TakeBound:
		if w.fails() {
			w.step(BoundFailed{e.Seq, bad})
			return
		}
		w.pin()
		w.step(BoundTaken{e.Seq, w.tip})
	case OpenStore:
		if w.fails() {
			w.step(StoreFailed{e.Seq, bad})
			return
		}
		w.step(StoreOpened{e.Seq, StoreReport{Identity: w.identity(e.Request.Owned)}})
	case ReadPage:
		if w.fails() {
			w.step(PageFailed{e.Seq, bad})
			return
		}
		w.step(w.page(e))
	case LookUp:
		if w.fails() {
			w.step(LookupFailed{e.Seq, bad})
			return
		}
		st := w.tip.Stamp
		if w.fails() && st.Position > 0 {
			st.Position--
		}
		w.step(LookedUp{e.Seq, st, w.lookUp(e.IDs)})
	case Sync:
		w.sync(e)
	case Save:
		w.disk = e.Record
		if p := e.Record.Progress; p != nil {
			w.lastRun = max(w.lastRun, p.Run)
		}
		w.checkDisk()
		w.step(Saved{e.Seq})
	}
}

func (w *world) identity(owned shards.Set) string { return fmt.Sprint(w.store, owned) }

// pin takes the catalog's present state. Its ancestors are all earlier ones.
func (w *world) pin() {
	w.pinned = nil
	for _, b := range w.blobs {
		if b.EndEpoch > w.epoch {
			w.pinned = append(w.pinned, *b)
		}
	}
	slices.SortFunc(w.pinned, func(a, b Row) int { return a.ID.Compare(b.ID) })
	w.tip = Tip{Bound: Bound{Stamp: Stamp{"net", w.epoch, w.position}, Digest: w.digestAt(w.position)}, AtTip: w.calmNow || rapid.IntRange(0, 3).Draw(w.t, "behind") > 0}
	for p := range w.past {
		w.tip.Ancestors = append(w.tip.Ancestors, Ancestor{p, w.digestAt(p)})
	}
	w.past[w.position] = true
}

func (w *world) digestAt(position uint64) Digest {
	return Digest{byte(position), byte(position >> 8), byte(w.lineage), byte(w.lineage >> 8)}
}

func (w *world) page(e ReadPage) Event {
	i, found := slices.BinarySearchFunc(w.pinned, e.After, func(r Row, m Mark) int { return MarkAt(r.ID).Compare(m) })
	if found {
		i++
	}
	n := copy(e.Buf, w.pinned[i:])
	for j := range e.Buf[:n] {
		e.Buf[j].Stored = w.stored[e.Buf[j].ID]
	}
	return PageRead{e.Seq, e.Buf, PageInfo{Stamp: w.tip.Stamp, N: n, End: i+n == len(w.pinned)}}
}

func (w *world) lookUp(ids []BlobID) []Row {
	var rows []Row
	for _, r := range w.pinned {
		if _, found := slices.BinarySearchFunc(ids, r.ID, BlobID.Compare); found {
			r.Stored = w.stored[r.ID]
			rows = append(rows, r)
		}
	}
	return rows
}

// sync ends well, badly, or badly after storing the blob all the same. Answers
// of given-up syncs come too, late.
func (w *world) sync(e Sync) {
	o := Outcome{Result: Success, Covers: e.Covers, Bytes: 10}
	if !w.calmNow && rapid.IntRange(0, 3).Draw(w.t, "sealed") == 0 {
		w.step(Sealed{e.Run, e.Seq, e.Blob.ID})
	}
	if w.stored[e.Blob.ID] && !e.Replace {
		o.Result, o.Reason = Skipped, AlreadyStored
	}
	if !w.calmNow && rapid.IntRange(0, 9).Draw(w.t, "other set") == 0 {
		o = Outcome{Result: Cancelled, Reason: OtherSet}
	}
	if b := w.blobs[e.Blob.ID]; !w.calmNow && o.Result == Success && (b == nil || b.EndEpoch <= w.tip.Epoch) {
		o = Outcome{Result: Skipped, Reason: Expired, Covers: e.Covers, JudgedAt: w.tip.Stamp}
		w.step(Synced{Run: e.Run, Seq: e.Seq, ID: e.Blob.ID, Outcome: o, Delay: time.Second})
		return
	}
	stale := !e.Covers.Owned.Equal(w.own.Owned) // the world moved on under it
	if w.fails() || stale {
		o = Outcome{Result: Cancelled, Reason: Absent, Definite: rapid.Bool().Draw(w.t, "definite"), Err: "no"}
		if w.calmNow {
			o.Definite = false
		}
	}
	if !stale && (o.Result == Success || rapid.Bool().Draw(w.t, "stored all the same")) {
		w.stored[e.Blob.ID] = true
		if e.Replace {
			w.replaced(e.Blob.ID)
		}
	}
	w.step(Synced{Run: e.Run, Seq: e.Seq, ID: e.Blob.ID, Outcome: o, Delay: time.Second})
}

func (w *world) checkCursor(p *Progress) {
	for _, u := range p.Unsettled {
		if p.Cursor.Covers(u.ID) {
			w.t.Fatalf("I2: the cursor %v passes the unsettled %v", p.Cursor, u.ID)
		}
	}
	if p.Cursor.Compare(p.Scan) > 0 {
		w.t.Fatalf("the cursor %v is past the scan position %v", p.Cursor, p.Scan)
	}
	if p.Cursor.End() && (len(p.Unsettled) > 0 || p.Covered == nil || *p.Covered != p.Bound) {
		w.t.Fatalf("an end that claims too much: %+v", p)
	}
}

// checkDisk checks the claim of the durable record, as far as it is about the
// present facts, against the world.
func (w *world) checkDisk() {
	p := w.disk.Progress
	if p == nil || p.Bound.Digest != w.digestAt(p.Bound.Position) || !p.Fence.Owned.Equal(w.own.Owned) || p.Fence.Continuity != w.own.Continuity || p.Fence.Store != w.identity(w.own.Owned) {
		return
	}
	listed := map[BlobID]bool{}
	for _, u := range p.Unsettled {
		listed[u.ID] = true
	}
	w.checkCursor(p)
	w.checkPromises(listed)
	for id, b := range w.blobs {
		if w.stored[id] || listed[id] || w.desk.losing[id] > 0 || b.EndEpoch <= w.epoch || !p.Fence.Owned.Contains(shards.Home(id, 2)) {
			continue
		}
		if p.Covered != nil && b.Gained <= p.Covered.Position {
			w.t.Fatalf("I7: %v is certified within covered %v, neither stored nor listed", id, p.Covered)
		}
		if b.Gained <= p.Bound.Position && p.Cursor.Covers(id) {
			w.t.Fatalf("I1: %v is under the cursor %v of %v, neither stored nor listed", id, p.Cursor, p.Bound)
		}
		if b.Gained <= p.Bound.Position && p.Scan.Covers(id) {
			w.t.Fatalf("I3: %v is under the scan position %v, neither stored nor listed", id, p.Scan)
		}
	}
}

// calm lets faults stop and time pass: the machine must finish.
func (w *world) calm() {
	w.calmNow = true
	w.step(RoomSeen{Room{}})
	w.epoch++
	w.position++
	w.own.Epoch = w.epoch
	w.endPromises()
	w.step(OwnershipSeen{w.own})
	w.step(CatalogChanged{})
	w.step(PauseAsked{Ticket: w.ticket()})
	w.step(PeersSeen{PeerHealth{Reachable: 1, Total: 1, Returns: w.m.peers.Returns + 1}})
	for range 3_000 {
		for len(w.pending) > 0 {
			w.answer(0)
		}
		if w.m.Phase() == PhaseComplete && w.m.tip.Position == w.position {
			w.checkAll()
			return
		}
		at, ok := w.m.WakeAt()
		if !ok {
			w.t.Fatalf("STALL: nothing pending, no wake: %+v %v", w.m.Status(), w.m.Unsettled())
		}
		w.tick(at - w.now)
	}
	w.t.Fatalf("it never completes: %+v, list %v", w.m.Status(), w.m.Unsettled())
}

func (w *world) checkAll() {
	w.checkDesk()
	ids := make([]BlobID, 0, len(w.blobs))
	for id := range w.blobs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b BlobID) int { return cmp.Compare(a[0], b[0]) })
	for _, id := range ids {
		if b := w.blobs[id]; b.EndEpoch > w.epoch && w.own.Owned.Contains(shards.Home(id, 2)) && !w.stored[id] {
			w.t.Fatalf("complete, but %v is not stored", id)
		}
	}
}
