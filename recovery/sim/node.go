package sim

import (
	"fmt"

	"github.com/recoverd/recoverd/shards"
)

// node is the node's own state: what it must hold.
type node struct {
	own    shards.Ownership
	news   bool            // the process was not told of it yet
	before []shards.Set    // earlier owned sets
	lost   map[uint32]bool // shards that lost data under a marker that stayed
	spans  int             // for continuity
}

func newNode(w *world) node {
	n := node{lost: map[uint32]bool{}}
	n.own = shards.Ownership{Epoch: 1, TotalShards: w.plan.total, Owned: w.someShards(w.plan.total), Node: shards.Active, Continuity: "0"}
	return n
}

// someShards chooses some, at least one.
func (w *world) someShards(total uint32) shards.Set {
	var some []uint32
	for s := range total {
		if w.rng.IntN(3) > 0 {
			some = append(some, s)
		}
	}
	if len(some) == 0 {
		some = append(some, w.rng.Uint32N(total))
	}
	return shards.SetOf(some...)
}

// publish tells the process of an ownership, when it gets round to it.
func (w *world) publish() {
	w.node.news = true
	for shard := range w.node.own.Owned.All() {
		if w.node.lost[shard] {
			w.breakContinuity() // the node's duty
		}
	}
	o := w.node.own
	w.note("node: e%d %s/%d %q %s", o.Epoch, o.Owned, o.TotalShards, o.Continuity, o.Node)
	w.oracle.certificationsMoved()
}

// breakContinuity names a new stretch of history.
func (w *world) breakContinuity() {
	n := &w.node
	n.spans++
	n.own.Continuity = fmt.Sprint(n.spans)
	clear(n.lost)
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
