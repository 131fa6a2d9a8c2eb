package sim

import (
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
)

// finish is the liveness phase: faults stop, and all must become complete.
func (w *world) finish() {
	w.note("calm")
	w.calm = true
	w.setRight()
	// Bounded: each blob takes some tries, each at most 30 s after the other; parked
	// ones some times the parked retry.
	for range maxCalmSteps {
		w.steps++
		for n := 0; w.proc == nil || len(w.proc.todo()) > 0; n++ {
			if n > maxCalmWork {
				w.violate("hazard 27: it never comes to rest: %s", w.oracle.whereItStands())
			}
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

// maxCalmSteps bounds the times that the clock moves in the liveness phase, and
// maxCalmWork what goes on in between.
const (
	maxCalmSteps = 4_000
	maxCalmWork  = 10_000
)

// setRight ends every outage.
func (w *world) setRight() {
	d, c, n := &w.disk, &w.catalog, &w.node
	d.fuse, d.full, w.roomNews = 0, false, true
	if d.away != nil {
		d.root, d.away = d.away, nil
	}
	w.repairFacts()
	for shard := range store.Places(w.plan.machine.Placement, n.own.Owned) {
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
