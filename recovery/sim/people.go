package sim

import (
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

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

// nodeAsks: the node wants a blob for itself. It is refused while no run is in force.
func (w *world) nodeAsks() bool {
	p := w.proc
	if p == nil || p.machine.Standing(recovery.BlobID{}).Run == 0 {
		return false
	}
	b := w.blobs[w.rng.IntN(len(w.blobs))].Blob
	if n := len(p.flights); n > 0 && w.rng.IntN(4) > 0 {
		b = p.flights[w.rng.IntN(n)].Request().Blob
	}
	covers := p.machine.Standing(b.ID).Covers
	if w.rng.IntN(4) == 0 { // it looked a moment ago
		covers = w.node.otherCovers()
	}
	w.note("node asks for %s", w.name(b.ID))
	p.join(syncer.Request{Blob: b, Covers: covers, Placement: w.plan.machine.Placement, Replace: w.rng.IntN(4) == 0})
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
	if !w.looksCertified(key.id) {
		return true // the host answers that it is not certified, and asks no machine
	}
	ticket := w.ticket()
	if gained, ok := w.seenAsItIs(key.id); ok {
		w.oracle.rotten[key.id] = report{ticket, gained}
	}
	w.proc.step(recovery.PutBack{Ticket: ticket, Blobs: []recovery.Blob{w.blobs[w.index[key.id]].Blob}})
	return true
}

// looksCertified is the look-up that the host makes before it puts a blob back, in the
// state in which the machine's look-ups find out whether it is certified.
func (w *world) looksCertified(id recovery.BlobID) bool {
	p := w.proc
	return p.pinned != nil && slices.ContainsFunc(p.pinned.rows, func(r recovery.Row) bool {
		return r.ID == id && r.EndEpoch > p.machine.Standing(id).Epoch
	})
}

// seenAsItIs reports whether the process sees a blob in its store as it is.
func (w *world) seenAsItIs(id recovery.BlobID) (gained uint64, ok bool) {
	gained, certified := newestGain(&w.blobs[w.index[id]], w.catalog.epoch)
	return gained, certified && w.looksCertified(id) && w.proc.shelf.root == w.disk.root
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
