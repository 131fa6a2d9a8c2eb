package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// world is everything there is: the network, the node, its disk, its peers, the people
// around it, and the process, if one runs.
type world struct {
	rng    *rand.Rand
	plan   plan
	counts Counts
	trace  trace
	steps  int
	now    time.Duration // since the history began
	calm   bool          // the liveness phase: nothing fails any more

	blobs       []blob // by rising id
	index       map[recovery.BlobID]int
	invalidated int
	catalog     catalog
	node        node
	disk        disk
	peers       peers
	roomNews    bool
	proc        *process // nil: none runs
	tickets     uint64
	oracle      oracle
}

func newWorld(rng *rand.Rand, p plan, out io.Writer) *world {
	w := &world{rng: rng, plan: p, trace: newTrace(out), index: map[recovery.BlobID]int{}}
	for i := range p.blobs {
		w.blobs = append(w.blobs, w.newBlob(rng.Uint64(), i))
	}
	slices.SortFunc(w.blobs, func(a, b blob) int { return a.ID.Compare(b.ID) })
	for i := range w.blobs {
		w.index[w.blobs[i].ID] = i
	}
	w.oracle = newOracle(w)
	w.disk = disk{w: w}
	w.disk.medium = medium{d: &w.disk}
	w.disk.root = newRoot(&w.disk, p.volumes)
	w.peers = peers{w: w}
	for range p.peers {
		w.peers.up = append(w.peers.up, true)
	}
	w.catalog = catalog{epoch: 1, views: []view{{stamp: recovery.Stamp{Network: network, Epoch: 1}}}}
	w.node = newNode(w)
	for range p.blobs/2 + rng.IntN(2*p.blobs) {
		w.certify()
	}
	return w
}

// count notes that something happened.
func (w *world) count(k Kind) { w.counts[k]++ }

// fault decides whether something goes wrong now that could.
func (w *world) fault(k Kind) bool {
	if happens := w.rng.Float64() < w.plan.rate[k]; !happens || w.calm {
		return false
	}
	w.count(k)
	return true
}

func (w *world) coin() bool { return w.rng.IntN(2) == 0 }

// violate ends the history: a rule is broken.
func (w *world) violate(format string, args ...any) {
	panic(&Violation{What: fmt.Sprintf(format, args...), Step: w.steps, At: w.now})
}

func (w *world) must(err error) {
	if err != nil {
		panic(err)
	}
}

// doubt notes that a write or a flush failed: this process may acknowledge nothing
// more (I12).
func (w *world) doubt(why string) {
	w.note("%s", why)
	w.oracle.doubt = why
}

// step lets one thing happen: in the process, to the clock, or in the world.
func (w *world) step() {
	w.steps++
	switch n := w.rng.IntN(w.plan.pace + 2); {
	case n < w.plan.pace:
		w.work()
	case n == w.plan.pace:
		w.pass(time.Duration([]int{1, 50, 300, 1000, 1000, 5000, 31000}[w.rng.IntN(7)]) * time.Millisecond)
	default:
		w.move()
	}
	w.afterStep()
}

// afterStep ends a process that died or that is done, and checks the rest.
func (w *world) afterStep() {
	p := w.proc
	switch {
	case p == nil:
	case w.disk.dead:
		w.endOfProcess(w.coin() && w.plan.rate[PowerCut] > 0)
	case p.halted || p.over:
		w.note("exit")
		w.endOfProcess(false)
	default:
		w.oracle.everyStep()
	}
}

// work lets something under way go on; without a process, one starts.
func (w *world) work() {
	if w.proc == nil {
		if w.calm || w.rng.IntN(3) == 0 {
			w.start()
		}
		return
	}
	if todo := w.proc.todo(); len(todo) > 0 {
		todo[w.rng.IntN(len(todo))]()
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.now += d
	p := w.proc
	if p == nil {
		return
	}
	p.asked = 0
	p.step(recovery.Tick{Now: w.now - p.started, Wall: time.Unix(1_800_000_000, 0).UTC().Add(w.now)})
}

// todo lists what can happen next in a process.
func (p *process) todo() (todo []func()) {
	w := p.w
	for _, a := range p.asks {
		if p.ready(a) && (!a.slow || w.calm || w.rng.IntN(12) == 0) {
			todo = append(todo, func() { p.advance(a) })
		}
	}
	for _, f := range p.flights {
		if !f.Flown() {
			todo = append(todo, func() { p.fly(f) })
		}
	}
	for _, v := range p.volumes {
		if drafts, names := p.stepper.Waiting((*shelfVolume)(v)); drafts+names > 0 && (w.calm || w.rng.IntN(3) == 0) {
			todo = append(todo, func() { p.turn(v) })
		}
	}
	if w.node.news {
		todo = append(todo, p.tellOwnership)
	}
	if w.peers.news {
		todo = append(todo, func() { w.peers.news = false; p.step(recovery.PeersSeen{Health: w.peers.health()}) })
	}
	if w.roomNews {
		todo = append(todo, func() { w.roomNews = false; p.step(recovery.RoomSeen{Room: recovery.Room{Low: w.disk.full}}) })
	}
	if len(w.oracle.unreported()) > 0 {
		todo = append(todo, w.report)
	}
	return todo
}

// tellOwnership tells the newest ownership; what came in between is never seen.
func (p *process) tellOwnership() {
	p.w.node.news = false
	p.step(recovery.OwnershipSeen{Ownership: p.w.node.own})
}

// hint tells that the catalog may have something newer, as a follower does once a
// second until it was pinned.
func (w *world) hint() bool {
	p := w.proc
	if p == nil || p.pinned != nil && p.pinned.stamp == w.catalog.views[w.catalog.served].stamp {
		return false
	}
	p.step(recovery.CatalogChanged{})
	return true
}

// countOutcome counts how a sync ended.
func (w *world) countOutcome(o recovery.Outcome) {
	if o.Result == recovery.Success {
		w.count(OutcomeSuccess)
		return
	}
	w.count(map[recovery.Reason]Kind{
		recovery.AlreadyStored: OutcomeAlreadyStored, recovery.Absent: OutcomeAbsent, recovery.WrongBytes: OutcomeWrongBytes,
		recovery.Unreachable: OutcomeUnreachable, recovery.PeerFailed: OutcomePeerFailed, recovery.Deadline: OutcomeDeadline,
		recovery.NoSpace: OutcomeNoSpace, recovery.StoreError: OutcomeStoreError, recovery.Stopped: OutcomeStopped,
		recovery.NotDurable: OutcomeNotDurable,
	}[o.Reason])
}
