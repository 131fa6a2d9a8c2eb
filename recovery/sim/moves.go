package sim

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
