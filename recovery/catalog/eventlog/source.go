package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
)

// maxPins is how many bounds are remembered, so that a checkpoint made at any of
// them can be proven to be of this history.
const maxPins = 4096

var errNoRoom = errors.New("eventlog: a page needs room for a row")

// Pin implements catalog.Source: the present state. Between two snapshots its
// digest names the history. It is remembered, durably, before Pin returns, and is
// among the ancestors of every later tip (DESIGN 3, lineage).
func (c *Catalog) Pin(ctx context.Context) (recovery.Tip, error) {
	if ctx.Err() != nil {
		return recovery.Tip{}, context.Cause(ctx)
	}
	var tip recovery.Tip
	take := func(b *buckets, m *meta) (known bool) {
		key := pinKey(m.Position, m.Chain)
		tip = recovery.Tip{
			Bound: recovery.Bound{Stamp: m.Stamp, Digest: m.Chain}, Blobs: m.Sums.Blobs, Bytes: m.Sums.bytes(), Ancestors: ancestors(b, m),
		}
		return b.pins.Get(key) != nil
	}
	var known bool
	err := c.read(ctx, func(v *view) error {
		known = take(&v.b, &v.meta)
		return nil
	})
	if err == nil && !known {
		err = c.update(func(b *buckets, m *meta) error {
			take(b, m)
			return remember(b, m.Position, m.Chain)
		})
	}
	if err != nil {
		return recovery.Tip{}, err
	}
	s := c.board.get()
	tip.AtTip = s.AtTip && s.Position == tip.Position
	c.board.pin(pinned{tip.Position, tip.AtTip})
	return tip, nil
}

// ancestors are the other bounds that were remembered, by rising position. Of one
// position there may be two: the history's name for it and a snapshot's.
func ancestors(b *buckets, m *meta) (all []recovery.Ancestor) {
	c := b.pins.Cursor()
	for key, _ := c.First(); key != nil && keyPosition(key) <= m.Position; key, _ = c.Next() {
		if keyPosition(key) == m.Position && recovery.Digest(key[8:]) == m.Chain {
			continue
		}
		all = append(all, recovery.Ancestor{Position: keyPosition(key), Digest: recovery.Digest(key[8:])})
	}
	return all
}

// remember keeps a bound of this history. Beyond maxPins the oldest is forgotten.
func remember(b *buckets, position uint64, digest recovery.Digest) error {
	if b.pins.Stats().KeyN >= maxPins {
		if err := b.pins.Delete(firstKey(b.pins)); err != nil {
			return err
		}
	}
	return b.pins.Put(pinKey(position, digest), []byte{})
}

func firstKey(b *bbolt.Bucket) []byte {
	key, _ := b.Cursor().First()
	return key
}

// maxPage bounds the rows of one page, and with them the time of its transaction.
const maxPage = 4096

// Page implements catalog.Source. It answers from the present state, which is the
// pinned one or a newer one; so two pages may be of two states.
func (c *Catalog) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (info recovery.PageInfo, err error) {
	if err := c.mayRead(ctx, rows); err != nil {
		return info, err
	}
	rows = rows[:min(len(rows), maxPage)]
	err = c.read(ctx, func(v *view) error {
		in := v.base.take(after)
		scan := v.scan(in)
		if err := scan.Seek(after); err != nil {
			return fmt.Errorf("seek in catalog: %w", err)
		}
		n, end, err := scan.Fill(ctx, rows)
		if err != nil {
			return fmt.Errorf("read catalog: %w", err)
		}
		if n > 0 && !end {
			v.base.put(in, recovery.MarkAt(rows[n-1].ID))
		}
		info = recovery.PageInfo{Stamp: v.meta.Stamp, N: n, End: end}
		return nil
	})
	return info, err
}

func (c *Catalog) mayRead(ctx context.Context, rows []recovery.Row) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case c.closed.Load():
		return catalog.ErrClosed
	case !c.board.isPinned():
		return catalog.ErrNotPinned
	case len(rows) == 0:
		return errNoRoom
	}
	return nil
}

// Lookup implements catalog.Source, from the present state as Page does.
func (c *Catalog) Lookup(ctx context.Context, ids []recovery.BlobID) (at recovery.Stamp, rows []recovery.Row, err error) {
	if err := c.mayRead(ctx, make([]recovery.Row, 1)); err != nil {
		return at, nil, err
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, recovery.BlobID.Compare)
	ids = slices.Compact(ids)
	err = c.read(ctx, func(v *view) (err error) {
		at = v.meta.Stamp
		rows, err = v.find(ctx, ids, nil)
		return err
	})
	if err != nil {
		return recovery.Stamp{}, nil, err
	}
	return at, rows, nil
}

// find appends the rows of those ids, by rising id, that are certified.
func (v *view) find(ctx context.Context, ids []recovery.BlobID, rows []recovery.Row) ([]recovery.Row, error) {
	scan := v.scan(stickyCursors(v.base.Cursors()))
	var row recovery.Row
	for _, id := range ids {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		certified, err := scan.Find(id, &row)
		if err != nil {
			return nil, fmt.Errorf("look up in catalog: %w", err)
		}
		if certified {
			rows = append(rows, row)
		}
	}
	return rows, nil
}
