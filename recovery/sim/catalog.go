package sim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/recoverd/recoverd/recovery"
)

// network names the catalog of every history.
const network = "sim"

// blob is one blob of the universe, and what the network has promised about it. The
// oracle reads promises here, the machine through views.
type blob struct {
	recovery.Blob
	data     []byte
	promises []promise
	invalid  bool
}

// promise is one registration of a blob.
type promise struct {
	certified, end uint32 // epochs; end is exclusive
	gained         uint64
	deleted        bool
	lineage        byte // of the catalog that first had it; earlier ones never did
}

// live lists the promises that hold in an epoch.
func (b *blob) live(epoch uint32) (live []promise) {
	if b.invalid {
		return nil
	}
	for _, p := range b.promises {
		if !p.deleted && p.end > epoch {
			live = append(live, p)
		}
	}
	return live
}

// certified reports whether a promise holds now.
func (w *world) certified(b *blob) bool { return len(b.live(w.catalog.epoch)) > 0 }

// view is the catalog at one position.
type view struct {
	stamp recovery.Stamp
	rows  []recovery.Row // by rising id
}

// catalog is the network's history, and how much of it the node's catalog serves.
type catalog struct {
	epoch    uint32
	position uint64
	views    []view // one for each position, from 0 on
	served   int    // index of the newest view that can be pinned
	lineage  byte   // changes when descent can't be proven any more
	since    uint64 // the first position of this lineage
	twinOf   byte   // the lineage that a twin took the place of; 0: none
	frozen   bool   // served does not follow
}

// nextPosition adds a position to the history.
func (w *world) nextPosition() {
	c := &w.catalog
	c.position++
	v := view{stamp: recovery.Stamp{Network: network, Epoch: c.epoch, Position: c.position}}
	for i := range w.blobs {
		b := &w.blobs[i]
		live := b.live(c.epoch)
		if len(live) == 0 {
			continue
		}
		row := recovery.Row{Blob: b.Blob}
		for _, p := range live {
			row.CertifiedEpoch, row.EndEpoch = max(row.CertifiedEpoch, p.certified), max(row.EndEpoch, p.end)
			row.Gained = max(row.Gained, p.gained)
		}
		v.rows = append(v.rows, row)
	}
	c.views = append(c.views, v)
	if !c.frozen {
		c.served = len(c.views) - 1
	}
	w.oracle.certificationsMoved()
}

// certify makes a new promise about a blob.
func (w *world) certify() bool {
	b := &w.blobs[w.rng.IntN(len(w.blobs))]
	if b.invalid {
		return false
	}
	c := &w.catalog
	b.promises = append(b.promises, promise{certified: c.epoch, end: c.epoch + 1 + w.rng.Uint32N(5), gained: c.position + 1})
	w.nextPosition()
	w.note("@%d certify %s until %d", c.position, w.name(b.ID), b.promises[len(b.promises)-1].end)
	return true
}

// somePromise chooses a promise that holds now.
func (w *world) somePromise() (*blob, *promise) {
	b := &w.blobs[w.rng.IntN(len(w.blobs))]
	if b.invalid || len(b.promises) == 0 {
		return b, nil
	}
	p := &b.promises[w.rng.IntN(len(b.promises))]
	if p.deleted || p.end <= w.catalog.epoch {
		return b, nil
	}
	return b, p
}

func (w *world) extend() bool {
	b, p := w.somePromise()
	if p == nil {
		return false
	}
	p.end += 1 + w.rng.Uint32N(3)
	p.gained = w.catalog.position + 1
	w.nextPosition()
	w.note("@%d extend %s until %d", w.catalog.position, w.name(b.ID), p.end)
	return true
}

func (w *world) deletePromise() bool {
	b, p := w.somePromise()
	if p == nil {
		return false
	}
	p.deleted = true
	w.nextPosition()
	w.note("@%d delete %s", w.catalog.position, w.name(b.ID))
	return true
}

func (w *world) invalidate() bool {
	b, p := w.somePromise()
	if p == nil || w.invalidated >= 2 {
		return false
	}
	w.invalidated++
	b.invalid = true
	w.nextPosition()
	w.note("@%d invalidate %s", w.catalog.position, w.name(b.ID))
	return true
}

// lag stops the catalog from following, or lets it catch up.
func (w *world) lag() bool {
	c := &w.catalog
	if c.frozen = !c.frozen; !c.frozen {
		c.served = len(c.views) - 1
	}
	w.note("catalog frozen=%v at @%d", c.frozen, c.served)
	return true
}

// goBack lets the catalog serve an older state, as one restored from a backup does.
func (w *world) goBack() bool {
	c := &w.catalog
	room := c.served - int(c.since)
	if room <= 0 {
		return false
	}
	c.served -= 1 + w.rng.IntN(min(room, 3))
	c.frozen = true
	w.oracle.catalogWentBack()
	w.note("catalog back to @%d", c.served)
	return true
}

// breakLineage replaces the catalog by one that does not know its ancestors, and has
// blobs of an earlier position that the other never had. Its own position moves, for
// two digests of one position are a contradiction.
func (w *world) breakLineage() bool {
	c := &w.catalog
	c.lineage++
	c.frozen = false
	if b := &w.blobs[w.rng.IntN(len(w.blobs))]; !b.invalid && !w.certified(b) {
		gained := 1 + w.rng.Uint64N(c.position+1)
		b.promises = append(b.promises, promise{certified: 1, end: c.epoch + 3, gained: gained, lineage: c.lineage})
	}
	w.nextPosition()
	c.since, c.twinOf = c.position, 0
	w.note("@%d lineage %d", c.position, c.lineage)
	return true
}

// twin replaces it by one that has another digest for the same position. If that
// halts the process, an operator puts the old one back.
func (w *world) twin() bool {
	c := &w.catalog
	if c.twinOf != 0 || c.lineage > 200 {
		return false
	}
	c.twinOf = c.lineage
	c.lineage++
	w.note("catalog twin, lineage %d", c.lineage)
	return true
}

// untwin is what the operator does after a halt.
func (w *world) untwin() {
	if c := &w.catalog; c.twinOf != 0 {
		c.lineage, c.twinOf = c.twinOf, 0
		w.note("catalog twin removed")
	}
}

// acceptTwin: a twin that progress was made with is the catalog from then on.
func (w *world) acceptTwin(b recovery.Bound) {
	if c := &w.catalog; c.twinOf != 0 && b.Digest[0] == c.lineage {
		c.twinOf, c.since = 0, b.Position
	}
}

// tip is what can be pinned now.
func (w *world) tip() (recovery.Tip, *view) {
	c := &w.catalog
	v := &c.views[c.served]
	t := recovery.Tip{
		Bound: recovery.Bound{Stamp: v.stamp, Digest: c.digest(v.stamp.Position)}, Blobs: uint64(len(v.rows)), Bytes: recovery.SizeUnknown,
		Static: w.plan.static, AtTip: c.served == len(c.views)-1,
	}
	if c.twinOf == 0 {
		for at := c.since; at < v.stamp.Position; at++ {
			t.Ancestors = append(t.Ancestors, recovery.Ancestor{Position: at, Digest: c.digest(at)})
		}
	}
	return t, v
}

func (c *catalog) digest(position uint64) recovery.Digest {
	return recovery.Digest{c.lineage, byte(position), byte(position >> 8)}
}

// errCatalog is a catalog that can't be read.
var errCatalog = errors.New("catalog: input/output error")

// page fills a page from a view, perhaps badly.
func (w *world) page(v *view, e recovery.ReadPage) (recovery.PageInfo, error) {
	if w.fault(CatalogError) {
		return recovery.PageInfo{}, errCatalog
	}
	if v.stamp.Position > 0 && w.fault(StaleAnswer) {
		v = &w.catalog.views[w.rng.IntN(int(v.stamp.Position))]
	}
	rows := v.rows
	if w.plan.narrow && e.Since != nil {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r recovery.Row) bool {
			return r.Gained <= e.Since.Position && r.CertifiedEpoch <= e.Since.Epoch
		})
	}
	for len(rows) > 0 && e.After.Covers(rows[0].ID) {
		rows = rows[1:]
	}
	room := e.Buf
	if len(rows) > 1 && w.fault(ShortPage) {
		room = room[:1+w.rng.IntN(len(room))]
	}
	n := copy(room, rows)
	info := recovery.PageInfo{Stamp: v.stamp, N: n, End: n == len(rows)}
	if w.fault(BadPage) {
		switch {
		case n > 1 && w.rng.IntN(2) == 0:
			e.Buf[0], e.Buf[n-1] = e.Buf[n-1], e.Buf[0]
		case !info.End:
			info.N = 0 // as of an iterator that swallowed an error, but for the claim
		default:
			return recovery.PageInfo{}, fmt.Errorf("catalog: decode a row: %w", errCatalog)
		}
	}
	return info, nil
}

// lookUp returns the rows of those ids that are certified in a view.
func (w *world) lookUp(v *view, ids []recovery.BlobID) (recovery.Stamp, []recovery.Row, error) {
	if w.fault(CatalogError) {
		return recovery.Stamp{}, nil, errCatalog
	}
	if v.stamp.Position > 0 && w.fault(StaleAnswer) {
		v = &w.catalog.views[w.rng.IntN(int(v.stamp.Position))]
	}
	var rows []recovery.Row
	for _, r := range v.rows {
		if slices.Contains(ids, r.ID) {
			rows = append(rows, r)
		}
	}
	return v.stamp, rows, nil
}
