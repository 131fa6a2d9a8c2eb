package checkpoint

import (
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// Limits of the texts in a head, in bytes. Those for people are cut to fit;
// a longer one of the others is refused, as it is compared later. Together with
// a set of all shards they must fit into a slot of the mirror.
const (
	maxNetwork  = 1_024
	maxStore    = 65_535 // room for a marker of every shard, hashed or not
	maxDecision = 64
	maxWhy      = 4_096 // for people
)

// head is everything of a record but the unsettled list.
type head struct {
	seq uint64
	// lastRun is the highest run ever recorded here. It outlives a discard, so
	// that no run number is used twice.
	lastRun uint64
	paused  bool
	// progress has no list; nil: none.
	progress *recovery.Progress
	list     listSum
}

// listSum names the one list that belongs to a head.
type listSum struct {
	entries int
	size    int // of the encoded list, in bytes
	digest  recovery.Digest
}

func (h head) order() order { return order{run: h.lastRun, seq: h.seq} }

// order is how new a copy is: runs first, then the sequence of writes.
type order struct{ run, seq uint64 }

func (o order) less(p order) bool {
	return o.run < p.run || o.run == p.run && o.seq < p.seq
}

const (
	flagPaused   = 1 << 0
	flagProgress = 1 << 1
	flagsKnown   = flagPaused | flagProgress
)

// encodeHead returns the sealed head. It has passed check, so it decodes.
func encodeHead(h head) []byte {
	e := beginEnvelope(1024)
	e.u64(h.seq)
	e.u64(h.lastRun)
	var flags uint8
	if h.paused {
		flags |= flagPaused
	}
	if h.progress != nil {
		flags |= flagProgress
	}
	e.u8(flags)
	e.u32(uint32(h.list.entries))
	e.u32(uint32(h.list.size))
	e.bytes(h.list.digest[:])
	if p := h.progress; p != nil {
		encodeProgress(&e, p)
	}
	return endEnvelope(e, magicHead)
}

func encodeProgress(e *encoder, p *recovery.Progress) {
	e.u64(p.Run)
	e.text(p.Fence.Network)
	e.u32(p.Fence.TotalShards)
	e.u8(uint8(p.Fence.Placement))
	e.set(p.Fence.Owned)
	e.text(p.Fence.Continuity)
	e.text(p.Fence.Store)
	e.u32(p.Epoch)
	e.flag(p.Covered != nil)
	if p.Covered != nil {
		encodeBound(e, *p.Covered)
	}
	encodeBound(e, p.Bound)
	e.mark(p.Cursor)
	e.mark(p.Scan)
	counters := p.Counters
	for _, c := range counterFields(&counters) {
		e.u64(*c)
	}
	e.text(string(p.Origin.Decision))
	e.text(cut(p.Origin.Why, maxWhy))
	e.mark(p.Origin.From)
	e.time(p.SavedAt)
}

func encodeBound(e *encoder, b recovery.Bound) {
	e.text(b.Network)
	e.u32(b.Epoch)
	e.u64(b.Position)
	e.bytes(b.Digest[:])
}

// counterFields lists the counters in the order of the format.
func counterFields(c *recovery.Counters) [10]*uint64 {
	return [...]*uint64{
		&c.Looked, &c.Stored, &c.StoredBytes, &c.AlreadyStored, &c.NotCertified,
		&c.Expired, &c.Cancelled, &c.Parkings, &c.Passes, &c.Resumes,
	}
}

// decodeHead reads a sealed head. Errors are damage, or wrap ErrVersion.
func decodeHead(value []byte) (head, error) {
	body, err := openEnvelope(value, magicHead)
	if err != nil {
		return head{}, fmt.Errorf("head: %w", err)
	}
	d := &decoder{buf: body}
	h := head{seq: d.u64("sequence"), lastRun: d.u64("last run")}
	flags := d.u8("flags")
	if flags&^flagsKnown != 0 {
		d.fail("unknown flags %#x", flags)
	}
	h.paused = flags&flagPaused != 0
	h.list = listSum{entries: int(d.u32("list entries")), size: int(d.u32("list size")), digest: d.hash("list digest")}
	if flags&flagProgress != 0 {
		h.progress = decodeProgress(d)
	}
	if err := d.end(); err != nil {
		return head{}, fmt.Errorf("head: %w", err)
	}
	if why := h.contradiction(); why != "" {
		return head{}, damaged("head: %s", why)
	}
	return h, nil
}

func decodeProgress(d *decoder) *recovery.Progress {
	p := &recovery.Progress{Run: d.u64("run")}
	p.Fence.Network = d.text(maxNetwork, "network")
	p.Fence.TotalShards = d.u32("total shards")
	p.Fence.Placement = shards.Placement(d.u8("placement"))
	p.Fence.Owned = d.set("owned shards")
	p.Fence.Continuity = d.text(shards.MaxContinuity, "continuity")
	p.Fence.Store = d.text(maxStore, "store identity")
	p.Epoch = d.u32("epoch")
	if d.flag("covered") {
		covered := decodeBound(d, "covered")
		p.Covered = &covered
	}
	p.Bound = decodeBound(d, "bound")
	p.Cursor = d.mark("cursor")
	p.Scan = d.mark("scan")
	for _, c := range counterFields(&p.Counters) {
		*c = d.u64("counters")
	}
	p.Origin.Decision = recovery.DecisionKind(d.text(maxDecision, "decision"))
	p.Origin.Why = d.text(maxWhy, "reason")
	p.Origin.From = d.mark("origin")
	p.SavedAt = d.time("saved at")
	return p
}

func decodeBound(d *decoder, what string) recovery.Bound {
	var b recovery.Bound
	b.Network = d.text(maxNetwork, what)
	b.Epoch = d.u32(what)
	b.Position = d.u64(what)
	b.Digest = d.hash(what)
	return b
}

// contradiction says which rule of DESIGN 3 or limit of the format a head
// breaks, or "". It is asked before a head is written and after it was read.
func (h head) contradiction() string {
	p := h.progress
	switch {
	case h.list.entries > MaxEntries:
		return fmt.Sprintf("%d unsettled entries, at most %d fit", h.list.entries, MaxEntries)
	case p == nil && h.list.entries > 0:
		return fmt.Sprintf("%d unsettled entries without progress", h.list.entries)
	case p == nil:
		return ""
	case p.Run != h.lastRun:
		return fmt.Sprintf("progress is of run %d, the last run is %d", p.Run, h.lastRun)
	case p.Cursor.Compare(p.Scan) > 0:
		return fmt.Sprintf("the cursor %v is above the scan position %v", p.Cursor, p.Scan)
	case p.Cursor.End() && (p.Covered == nil || *p.Covered != p.Bound || h.list.entries > 0):
		return "the cursor is at the end, but the pass is not finished (I7)"
	}
	for _, t := range []struct {
		name, text string
		limit      int
	}{
		{"network", p.Fence.Network, maxNetwork},
		{"continuity", p.Fence.Continuity, shards.MaxContinuity},
		{"store identity", p.Fence.Store, maxStore},
		{"bound's network", p.Bound.Network, maxNetwork},
		{"decision", string(p.Origin.Decision), maxDecision},
	} {
		if len(t.text) > t.limit {
			return fmt.Sprintf("%s is %d bytes long, at most %d fit", t.name, len(t.text), t.limit)
		}
	}
	if p.Covered != nil && len(p.Covered.Network) > maxNetwork {
		return fmt.Sprintf("covered's network is %d bytes long, at most %d fit", len(p.Covered.Network), maxNetwork)
	}
	return ""
}
