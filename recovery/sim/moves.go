package sim

import (
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// move lets the world move: one of the kinds that the seed has on, by its weight. A
// move that is not possible now is none.
func (w *world) move() {
	var sum float64
	moves := w.moves()
	for _, m := range moves {
		sum += w.plan.rate[m.kind]
	}
	at := w.rng.Float64() * sum
	for _, m := range moves {
		if at -= w.plan.rate[m.kind]; at < 0 {
			if m.do() {
				w.count(m.kind)
			}
			return
		}
	}
}

type move struct {
	kind Kind
	do   func() bool
}

func (w *world) moves() []move {
	return []move{
		{Kill, func() bool { return w.kill(false) }}, {PowerCut, func() bool { return w.kill(true) }},
		{DeadInside, w.armFuse}, {DiskFull, w.fill}, {ShardWiped, w.wipeShard}, {RootUnmounted, w.unmount},
		{RootSwapped, w.swapRoot}, {BlobLost, w.loseBlob}, {BlobRots, w.rotBlob}, {NodeDeletes, w.nodeDeletes},
		{PeerDown, func() bool { w.peers.toggle(w.rng.IntN(len(w.peers.up))); return true }},
		{Certify, w.certify}, {Certify, w.hint}, {Extend, w.extend}, {Delete, w.deletePromise}, {Renew, w.renew}, {Invalidate, w.invalidate},
		{NewEpoch, w.newEpoch}, {CatalogLags, w.lag}, {CatalogBack, w.goBack}, {LineageBreaks, w.breakLineage},
		{CatalogTwin, w.twin}, {ShardsChange, w.changeShards}, {TotalChanges, w.changeTotal},
		{ContinuityChanges, w.changeContinuity}, {NodeAway, w.leaveOrReturn},
		{Pause, w.pause}, {Retry, w.retry}, {Limits, w.limit}, {StopDraining, func() bool { return w.stop(true) }},
		{StopNow, func() bool { return w.stop(false) }}, {NodeAsks, w.nodeAsks},
	}
}

// kill ends the process at once.
func (w *world) kill(power bool) bool {
	if w.proc == nil && !power {
		return false
	}
	w.note("kill")
	w.endOfProcess(power)
	return !power // a power cut is counted where it happens
}

// armFuse lets the process die in one of the next operations of its disk.
func (w *world) armFuse() bool {
	if w.proc != nil && w.disk.fuse == 0 {
		w.disk.fuse = 1 + w.rng.IntN(8)
		w.note("fuse %d", w.disk.fuse)
	}
	return false // counted when it dies
}

func (w *world) fill() bool {
	w.disk.full = !w.disk.full
	w.roomNews = true
	w.note("disk full=%v", w.disk.full)
	return true
}

// wipeShard replaces the disk of an owned shard by an empty one.
func (w *world) wipeShard() bool {
	shard := w.rng.Uint32N(w.node.own.TotalShards)
	r := w.disk.root
	if _, there := r.shards[shard]; !there {
		return false
	}
	w.note("shard %d wiped", shard)
	r.wipe(shard)
	if w.rng.IntN(4) > 0 { // else its directory is gone too
		r.shards[shard] = nil
	}
	return true
}

// unmount takes the store away, or brings it back.
func (w *world) unmount() bool {
	d := &w.disk
	if d.away != nil {
		w.note("root mounted")
		d.root, d.away = d.away, nil
		return false
	}
	w.note("root unmounted")
	clear(w.oracle.promised) // what is put right meanwhile is put right elsewhere
	d.away, d.root = d.root, newRoot(d, w.plan.volumes)
	return true
}

// swapRoot replaces the store by an empty one, for good. An operator accepts it later.
func (w *world) swapRoot() bool {
	d := &w.disk
	if d.root.marker == nil {
		return false
	}
	w.note("root swapped")
	d.root, d.away = newRoot(d, w.plan.volumes), nil
	if w.coin() {
		w.acceptStore()
	}
	return true
}

// acceptStore is `recoverd store accept`.
func (w *world) acceptStore() {
	d, own := &w.disk, w.node.own
	req := recovery.StoreRequest{Network: network, TotalShards: own.TotalShards, Placement: w.plan.machine.Placement, Owned: own.Owned}
	found := store.Found{Root: true, Marker: d.root.marker, Shards: map[uint32]store.FoundShard{}}
	for s, m := range d.root.shards {
		found.Shards[s] = store.FoundShard{Marker: m, Empty: true}
	}
	plan, err := store.Decide(req, store.Policy{Create: true, Adopt: true, Layout: store.Flat}, found, d.markerID)
	if err != nil {
		w.note("accept: %v", err)
		return
	}
	w.note("store accepted")
	d.root.marker = &plan.Root
	for _, p := range plan.Shards {
		d.root.shards[p.Marker.Shard] = &p.Marker
	}
}

// nodeDeletes lets the node remove what is not certified any more.
func (w *world) nodeDeletes() bool {
	some := false
	for i := range w.blobs {
		b := &w.blobs[i]
		if w.certified(b) {
			continue
		}
		for shard := range w.node.own.TotalShards {
			key := pieceKey{b.ID, shard}
			if w.disk.root.file(key).seen != missing {
				w.disk.root.remove(key)
				w.note("node deletes %s", w.name(b.ID))
				some = true
			}
		}
	}
	return some
}

// renew: a blob is deleted, the node removes it, and it is certified again, all while
// something of it may be under way.
func (w *world) renew() bool {
	b, p := w.somePromise()
	if p == nil {
		return false
	}
	for i := range b.promises {
		b.promises[i].deleted = true
	}
	w.nextPosition()
	w.nodeDeletes()
	b.promises = append(b.promises, promise{certified: w.catalog.epoch, end: w.catalog.epoch + 3, gained: w.catalog.position + 1})
	w.nextPosition()
	w.note("@%d renewed %s", w.catalog.position, w.name(b.ID))
	return true
}

func (w *world) newEpoch() bool {
	w.catalog.epoch++
	w.nextPosition()
	w.node.own.Epoch = w.catalog.epoch
	w.publish()
	return true
}

// changeShards gives the node another set. The data of a shard that leaves may go
// with it.
func (w *world) changeShards() bool {
	n := &w.node
	owned := w.someShards(n.own.TotalShards)
	if len(n.before) > 0 && w.coin() { // back to what was
		owned = n.before[w.rng.IntN(len(n.before))]
	}
	if top, _ := owned.Max(); owned.Equal(n.own.Owned) || top >= n.own.TotalShards {
		return false
	}
	for shard := range n.own.Owned.Minus(owned).All() {
		switch w.rng.IntN(3) {
		case 0: // it stays
		case 1:
			w.disk.root.empty(shard)
			n.lost[shard] = true
		default:
			w.disk.root.wipe(shard)
		}
	}
	for shard := range owned.Minus(n.own.Owned).All() {
		if n.lost[shard] {
			w.breakContinuity() // the node's duty
		}
	}
	n.before = append(n.before, n.own.Owned)
	n.own.Owned = owned
	return w.newEpoch()
}

// changeTotal makes another network of shards; what is stored is worth nothing to it.
func (w *world) changeTotal() bool {
	n := &w.node
	total := 1 + w.rng.Uint32N(4)
	if total == n.own.TotalShards || w.isStriped() && total < 2 {
		return false
	}
	n.before = append(n.before, n.own.Owned)
	if top, _ := n.own.Owned.Max(); top >= total || w.coin() {
		n.own.Owned = w.someShards(total)
	}
	n.own.TotalShards = total
	return w.newEpoch()
}

// changeContinuity: the node lost track, and perhaps data.
func (w *world) changeContinuity() bool {
	for i := range w.blobs {
		for shard := range w.node.own.Owned.All() {
			if w.rng.IntN(4) == 0 {
				w.disk.root.remove(pieceKey{w.blobs[i].ID, shard})
			}
		}
	}
	w.breakContinuity()
	w.publish()
	return true
}

// leaveOrReturn: the node catches up for a while.
func (w *world) leaveOrReturn() bool {
	n := &w.node
	if n.own.Node == shards.Active {
		n.own.Node = []shards.NodeStatus{shards.CatchingUp, shards.Standby}[w.rng.IntN(2)]
		w.publish()
		return true
	}
	n.own.Node = shards.Active
	if w.coin() {
		w.breakContinuity()
	}
	w.publish()
	return false
}

func (w *world) ticket() uint64 {
	w.tickets++
	return w.tickets
}

func (w *world) pause() bool {
	if w.proc == nil {
		return false
	}
	w.proc.step(recovery.PauseAsked{Ticket: w.ticket(), Paused: w.rng.IntN(3) > 0})
	return true
}

// retry asks for all, or for some, listed or not.
func (w *world) retry() bool {
	if w.proc == nil {
		return false
	}
	var ids []recovery.BlobID
	for i := range w.blobs {
		if w.rng.IntN(6) == 0 {
			ids = append(ids, w.blobs[i].ID)
		}
	}
	w.proc.step(recovery.RetryAsked{Ticket: w.ticket(), IDs: ids})
	return true
}

func (w *world) limit() bool {
	if w.proc == nil {
		return false
	}
	w.proc.step(recovery.LimitsAsked{Ticket: w.ticket(), Slots: 1 + w.rng.IntN(4), BytesInFlight: []int64{1, 15, 60}[w.rng.IntN(3)]})
	return true
}

func (w *world) stop(drain bool) bool {
	if w.proc == nil {
		return false
	}
	w.proc.step(recovery.StopAsked{Drain: drain})
	return true
}

// nodeAsks: the node wants a blob for itself.
func (w *world) nodeAsks() bool {
	p := w.proc
	if p == nil || p.shelf.root == nil {
		return false
	}
	b := w.blobs[w.rng.IntN(len(w.blobs))].Blob
	w.note("node asks for %s", w.name(b.ID))
	p.join(syncer.Request{Blob: b, Covers: w.node.otherCovers(), Placement: w.plan.machine.Placement, Replace: w.rng.IntN(4) == 0})
	return true
}

// otherCovers is a set that was owned once, or the present one.
func (n *node) otherCovers() recovery.Covers {
	owned := n.own.Owned
	if len(n.before) > 0 {
		owned = n.before[len(n.before)-1]
	}
	if top, _ := owned.Max(); top >= n.own.TotalShards {
		owned = n.own.Owned
	}
	return recovery.Covers{Total: n.own.TotalShards, Owned: owned}
}

// finish is the liveness phase: faults stop, and all must become complete.
func (w *world) finish() {
	w.note("calm")
	w.calm = true
	w.setRight()
	// Bounded: each blob takes some tries, each at most 30 s after the other; parked
	// ones some times the parked retry.
	for range maxCalmSteps {
		w.steps++
		for w.proc == nil || len(w.proc.todo()) > 0 {
			w.work()
			w.afterStep()
		}
		if w.oracle.isDone() {
			w.oracle.atTheEnd()
			return
		}
		w.setLoose()
		w.afterStep()
		w.hint()
		w.afterStep()
		w.sleep()
		w.afterStep()
	}
	w.violate("I13: it never completes: %s", w.oracle.whereItStands())
}

const maxCalmSteps = 4_000

// setRight ends every outage.
func (w *world) setRight() {
	d, c, n := &w.disk, &w.catalog, &w.node
	d.fuse, d.full, w.roomNews = 0, false, true
	if d.away != nil {
		d.root, d.away = d.away, nil
	}
	w.repairFacts()
	for shard := range n.own.Owned.All() {
		if _, there := d.root.shards[shard]; !there && d.root.marker != nil {
			d.root.shards[shard] = nil // its directory is made again
		}
	}
	if d.root.marker == nil {
		w.acceptStore()
	}
	for i, up := range w.peers.up {
		if !up {
			w.peers.toggle(i)
		}
	}
	c.frozen = false
	n.own.Node = shards.Active
	w.newEpoch()
}

// setLoose lifts what people have set.
func (w *world) setLoose() {
	if p := w.proc; p != nil && p.machine.Status().Paused {
		p.step(recovery.PauseAsked{Ticket: w.ticket()})
	}
}

// repairFacts is what an operator does about facts that contradict each other: the
// right catalog, and a new store where this one is for something else.
func (w *world) repairFacts() {
	w.untwin()
	c, d := &w.catalog, &w.disk
	c.frozen, c.served = false, len(c.views)-1
	if m := d.root.marker; m != nil && m.TotalShards != w.node.own.TotalShards {
		w.note("a new store")
		d.root, d.away = newRoot(d, w.plan.volumes), nil
	}
}

// sleep lets time pass until the machine wants a tick, or a follower asks again.
func (w *world) sleep() {
	d := time.Second
	if p := w.proc; p != nil {
		if at, ok := p.machine.WakeAt(); ok {
			d = max(min(at-(w.now-p.started), time.Minute), time.Millisecond)
		}
	}
	w.pass(d)
}

// loseBlob loses a stored blob; the node will report it.
func (w *world) loseBlob() bool {
	key, ok := w.someStored()
	if !ok {
		return false
	}
	w.note("%s lost", w.name(key.id))
	w.disk.root.remove(key)
	w.oracle.lost[key.id] = 0
	return true
}

// rotBlob spoils one; someone may find out, and put it back.
func (w *world) rotBlob() bool {
	key, ok := w.someStored()
	if !ok {
		return false
	}
	f := w.disk.root.file(key)
	f.seen, f.kept = wrong, wrong
	delete(w.oracle.promised, key.id) // it was whole, so that one was kept
	delete(w.oracle.rotten, key.id)
	w.note("%s rots", w.name(key.id))
	if w.proc == nil || w.rng.IntN(4) == 0 {
		return true
	}
	ticket := w.ticket()
	if gained, ok := w.seenAsItIs(key.id); ok {
		w.oracle.rotten[key.id] = report{ticket, gained}
	}
	w.proc.step(recovery.PutBack{Ticket: ticket, Blobs: []recovery.Blob{w.blobs[w.index[key.id]].Blob}})
	return true
}

// seenAsItIs reports whether the process sees a blob in its store and in its catalog
// as it is: what is not certified in the catalog's state, a look-up settles.
func (w *world) seenAsItIs(id recovery.BlobID) (gained uint64, ok bool) {
	gained, certified := newestGain(&w.blobs[w.index[id]], w.catalog.epoch)
	return gained, certified && visible(w.proc.pinned, id, gained) && visible(&w.catalog.views[w.catalog.served], id, gained) &&
		w.proc.shelf.root == w.disk.root
}

// someStored chooses a piece of a certified blob that is whole on an owned shard.
func (w *world) someStored() (pieceKey, bool) {
	var keys []pieceKey
	for i := range w.blobs {
		if !w.certified(&w.blobs[i]) {
			continue
		}
		for shard := range w.node.own.Owned.All() {
			key := pieceKey{w.blobs[i].ID, shard}
			if f := w.disk.root.file(key); f.seen == right && f.kept == right {
				keys = append(keys, key)
			}
		}
	}
	if len(keys) == 0 {
		return pieceKey{}, false
	}
	return keys[w.rng.IntN(len(keys))], true
}

// report tells the process of every loss it was not told of.
func (w *world) report() {
	ids := w.oracle.unreported()
	ticket := w.ticket()
	var blobs []recovery.Blob
	for _, id := range ids {
		w.oracle.lost[id] = ticket
		blobs = append(blobs, w.blobs[w.index[id]].Blob)
	}
	w.proc.step(recovery.PutBack{Ticket: ticket, Blobs: blobs})
}

// reported forgets what a process that ended was told and did not answer.
func (w *world) reported() {
	for id := range w.oracle.lost {
		w.oracle.lost[id] = 0
	}
}
