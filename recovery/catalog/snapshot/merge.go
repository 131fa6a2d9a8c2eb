package snapshot

import (
	"context"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// MergeConfig is what a merge reads. The cursors begin at the same blob.
type MergeConfig struct {
	Epoch         uint32 // the one that certification is judged at
	Position      uint64 // stands for a gained position that is not known
	Blobs         Cursor[Blob]
	Registrations Cursor[Registration]
	Pooled        Cursor[Pooled]
	Pools         []Pool // by rising id
}

// Merge walks through three tables at once and yields the certified blobs in
// id order: all three keys begin with the blob's id, so one pass will do and no
// derived index is needed. A blob is certified unless it was invalidated, while
// any registration is live at the epoch. A registration whose blob or pool is
// not there is an error wrapping ErrOrphan, never skipped (I8).
type Merge struct {
	cfg    MergeConfig
	own    *Registration // read ahead
	pooled *Pooled       // read ahead
	primed bool
}

// NewMerge returns a merge of the tables.
func NewMerge(cfg MergeConfig) *Merge { return &Merge{cfg: cfg} }

// ctxEvery is how many blobs a loop looks at between two looks at its context.
const ctxEvery = 1024

// Fill fills rows with the next certified blobs. It returns fewer only at the
// end, and end only where nothing follows; after an error the merge is of no
// more use. It allocates nothing.
func (m *Merge) Fill(ctx context.Context, rows []recovery.Row) (n int, end bool, err error) {
	for looked := 0; n < len(rows); looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return 0, false, context.Cause(ctx)
		}
		b, certified, err := m.step(&rows[n])
		switch {
		case err != nil:
			return 0, false, err
		case b == nil:
			return n, true, nil
		case certified:
			rows[n].Blob, rows[n].Stored = b.Blob, false
			n++
		}
	}
	return n, false, nil
}

// count adds up what is certified, from here on.
func (m *Merge) count(ctx context.Context, rows Counts) (Totals, error) {
	totals := Totals{Rows: rows}
	var row recovery.Row
	for ctx.Err() == nil {
		for range ctxEvery {
			b, certified, err := m.step(&row)
			switch {
			case b == nil || err != nil:
				return totals, err
			case certified:
				totals.count(b.Size)
			}
		}
	}
	return totals, context.Cause(ctx)
}

// step looks at the next blob, and returns nil after the last one. Of row it
// sets what follows from the blob's registrations.
func (m *Merge) step(row *recovery.Row) (b *Blob, certified bool, err error) {
	if !m.primed {
		if err := m.prime(); err != nil {
			return nil, false, err
		}
	}
	if b, err = m.cfg.Blobs.Next(); err != nil {
		return nil, false, err
	}
	if b == nil {
		return nil, false, m.drained()
	}
	certified, err = m.take(b, row)
	return b, certified, err
}

// find looks at id, which is the first blob that can come; registrations of it
// without a blob are dangling, those of later ones are not looked at.
func (m *Merge) find(id recovery.BlobID, row *recovery.Row) (certified bool, err error) {
	if err := m.prime(); err != nil {
		return false, err
	}
	b, err := m.cfg.Blobs.Next()
	switch {
	case err != nil:
		return false, err
	case b != nil && b.ID == id:
		certified, err = m.take(b, row)
		row.Blob, row.Stored = b.Blob, false
		return certified, err
	case m.own != nil && m.own.Key.Blob() == id:
		return false, orphan(&m.own.Key)
	case m.pooled != nil && m.pooled.Key.Blob() == id:
		return false, orphan(&m.pooled.Key)
	}
	return false, nil
}

// take merges a blob's registrations, which come next.
func (m *Merge) take(b *Blob, row *recovery.Row) (certified bool, err error) {
	row.CertifiedEpoch, row.EndEpoch, row.Gained = 0, 0, 0
	live, err := m.takeOwn(&b.ID, row)
	if err != nil {
		return false, err
	}
	if m.pooled != nil {
		pooled, err := m.takePooled(&b.ID, row)
		if err != nil {
			return false, err
		}
		live = live || pooled
	}
	return live && b.Invalidated == 0, nil
}

func (m *Merge) prime() (err error) {
	if m.own, err = m.cfg.Registrations.Next(); err == nil {
		m.pooled, err = m.cfg.Pooled.Next()
	}
	m.primed = err == nil
	return err
}

// reset forgets what was read ahead, after the cursors were moved.
func (m *Merge) reset() { m.own, m.pooled, m.primed = nil, nil, false }

// takeOwn takes the blob's own registrations and merges the live ones in.
func (m *Merge) takeOwn(id *recovery.BlobID, row *recovery.Row) (live bool, err error) {
	for m.own != nil {
		r := m.own
		switch compareIDs((*[32]byte)(r.Key[:32]), (*[32]byte)(id)) {
		case 1:
			return live, nil
		case -1:
			return false, orphan(&r.Key)
		}
		if r.Live(m.cfg.Epoch) {
			live = true
			row.CertifiedEpoch = max(row.CertifiedEpoch, r.CertifiedEpoch)
			row.EndEpoch = max(row.EndEpoch, r.EndEpoch)
			row.Gained = max(row.Gained, gainedAt(r.Gained, m.cfg.Position))
		}
		if m.own, err = m.cfg.Registrations.Next(); err != nil {
			return false, err
		}
	}
	return live, nil
}

// takePooled does the same for registrations that live with a pool.
func (m *Merge) takePooled(id *recovery.BlobID, row *recovery.Row) (live bool, err error) {
	for m.pooled != nil {
		p := m.pooled
		switch compareIDs((*[32]byte)(p.Key[:32]), (*[32]byte)(id)) {
		case 1:
			return live, nil
		case -1:
			return false, orphan(&p.Key)
		}
		pool := findPool(m.cfg.Pools, p.Pool)
		if pool == nil {
			return false, fmt.Errorf("%w: blob %v is registered in pool %v, which is not there", ErrOrphan, p.Key.Blob(), p.Pool)
		}
		if p.Certified && pool.EndEpoch > m.cfg.Epoch {
			live = true
			row.CertifiedEpoch = max(row.CertifiedEpoch, p.CertifiedEpoch)
			row.EndEpoch = max(row.EndEpoch, pool.EndEpoch)
			row.Gained = max(row.Gained, gainedAt(p.Gained, m.cfg.Position), gainedAt(pool.Gained, m.cfg.Position))
		}
		if m.pooled, err = m.cfg.Pooled.Next(); err != nil {
			return false, err
		}
	}
	return live, nil
}

// drained reports registrations behind the last blob.
func (m *Merge) drained() error {
	switch {
	case m.own != nil:
		return orphan(&m.own.Key)
	case m.pooled != nil:
		return orphan(&m.pooled.Key)
	}
	return nil
}

func orphan(k *Key) error {
	return fmt.Errorf("%w: blob %v is registered but not among the blobs", ErrOrphan, k.Blob())
}
