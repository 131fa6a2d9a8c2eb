package sim

import (
	"github.com/recoverd/recoverd/recovery"
)

// claims holds what progress claims against the truth: I1, I2, I3 and I7, as far as it
// is about what is so now.
func (o *oracle) claims(p *recovery.Progress, where string) {
	w := o.w
	listed := make(map[recovery.BlobID]recovery.Unsettled, len(p.Unsettled))
	for _, u := range p.Unsettled {
		if _, twice := listed[u.ID]; twice {
			w.violate("I9: %s is listed twice %s", w.name(u.ID), where)
		}
		listed[u.ID] = u
		if p.Cursor.Covers(u.ID) {
			w.violate("I2: the cursor %s is past the unsettled %s %s", w.mark(p.Cursor), w.name(u.ID), where)
		}
	}
	switch {
	case p.Cursor.Compare(p.Scan) > 0:
		w.violate("I3: the cursor %s is past the scan position %s %s", w.mark(p.Cursor), w.mark(p.Scan), where)
	case p.Cursor.End() && (len(listed) > 0 || p.Covered == nil || *p.Covered != p.Bound):
		w.violate("I7: the cursor is at the end %s, with covered %s, bound %s and %d listed", where, w.bound(p.Covered), w.bound(&p.Bound), len(listed))
	}
	if !o.applies(p.Fence) {
		return
	}
	for i := range w.blobs {
		o.claim(p, &w.blobs[i], listed, where)
	}
	o.checkPromises(listed, where)
}

// claim checks one blob. It must be durable, or listed, as soon as one of the promises
// that hold now was made within what was covered or looked at.
func (o *oracle) claim(p *recovery.Progress, b *blob, listed map[recovery.BlobID]recovery.Unsettled, where string) {
	w := o.w
	if _, is := listed[b.ID]; is || o.durable(b.ID) {
		return
	}
	if _, unknown := o.lost[b.ID]; unknown {
		return
	}
	for _, q := range b.live(w.catalog.epoch) {
		rule := ""
		switch {
		case p.Covered != nil && within(q, *p.Covered):
			rule = "I7: it is certified within covered " + w.bound(p.Covered)
		case within(q, p.Bound) && p.Cursor.Covers(b.ID):
			rule = "I1: it is below the cursor " + w.mark(p.Cursor)
		case within(q, p.Bound) && p.Scan.Covers(b.ID):
			rule = "I3: it is below the scan position " + w.mark(p.Scan)
		}
		if rule != "" {
			w.violate("%s, and %s (gained at %d, until epoch %d) is neither durable nor listed %s", rule, w.name(b.ID), q.gained, q.end, where)
		}
	}
}

// within reports whether a promise was in the state that a bound names.
func within(q promise, b recovery.Bound) bool {
	return q.gained <= b.Position && q.certified <= b.Epoch && q.lineage <= b.Digest[0]
}

// checkPromises: what was put back is listed, to be replaced, until it is replaced
// (hazard 92).
func (o *oracle) checkPromises(listed map[recovery.BlobID]recovery.Unsettled, where string) {
	for i := range o.w.blobs {
		id := o.w.blobs[i].ID
		at, is := o.promised[id]
		if !is || at.root != o.w.disk.root {
			continue
		}
		rotten := false
		for _, s := range o.holders(id) {
			rotten = rotten || o.w.disk.root.file(pieceKey{id, s}).kept == wrong
		}
		switch u, ok := listed[id]; {
		case !rotten:
			o.w.count(Replaced)
			delete(o.promised, id)
		case !ok || !u.Replace:
			o.w.violate("hazard 92: %s is rotten and was put back, and is neither replaced nor listed for it %s", o.w.name(id), where)
		}
	}
}

// certificationsMoved ends the promises about blobs that a look-up may meanwhile have
// found gone, or that are owned no more.
func (o *oracle) certificationsMoved() {
	for id, p := range o.promised {
		b := &o.w.blobs[o.w.index[id]]
		if gained, ok := newestGain(b, o.w.catalog.epoch); !ok || gained != p.gained || len(o.holders(id)) == 0 {
			delete(o.promised, id)
		}
	}
	for id := range o.rotten {
		if len(o.holders(id)) == 0 {
			delete(o.rotten, id) // whose answer is still to come
		}
	}
}

// catalogWentBack: in the older state they may not be certified, also those whose answer
// is still to come.
func (o *oracle) catalogWentBack() {
	clear(o.promised)
	clear(o.rotten)
}

func newestGain(b *blob, epoch uint32) (gained uint64, ok bool) {
	for _, q := range b.live(epoch) {
		gained, ok = max(gained, q.gained), true
	}
	return gained, ok
}

// complete holds the claim "complete" against the truth (DESIGN 3).
func (o *oracle) complete(p *recovery.Progress) {
	w := o.w
	disk := o.records[0].Progress
	switch {
	case len(p.Unsettled) > 0:
		w.violate("complete with %d unsettled", len(p.Unsettled))
	case p.Covered == nil || *p.Covered != p.Bound || !p.Cursor.End():
		w.violate("complete with covered %s, bound %s, cursor %s", w.bound(p.Covered), w.bound(&p.Bound), w.mark(p.Cursor))
	case len(o.records) > 1:
		return // a save is under way; the one before it was checked
	case disk == nil || disk.Run != p.Run || !disk.Cursor.End() || *disk.Covered != *p.Covered:
		w.violate("complete, and that is not on the disk: %s", w.record(o.records[0]))
	}
}
