package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	storefs "github.com/recoverd/recoverd/syncer/store/fs"
)

// look is what a run looks at, given what it goes on from (I7): the unsettled list;
// beyond the scan position what the recorded pass is about; and, in the pass after it,
// what came after its bound.
type look struct {
	from   recovery.Progress
	epoch  uint32 // by which expiry is judged
	behind bool   // the recorded pass is not about the newest state
	listed map[recovery.BlobID]*recovery.Unsettled
}

func newLook(from recovery.Progress, tip recovery.Tip, own shards.Ownership) *look {
	l := &look{
		from: from, epoch: max(own.Epoch, tip.Epoch), behind: tip.Position > from.Bound.Position,
		listed: make(map[recovery.BlobID]*recovery.Unsettled, len(from.Unsettled)),
	}
	for i := range from.Unsettled {
		l.listed[from.Unsettled[i].ID] = &from.Unsettled[i]
	}
	return l
}

// settled returns where to count a blob that is not looked at again; nil: it is.
func (l *look) settled(row *recovery.Row, c *planCounts) *tally {
	covered := l.from.Covered != nil && row.Within(*l.from.Covered)
	switch {
	case l.listed[row.ID] != nil, l.behind && !row.Within(l.from.Bound):
		return nil
	case covered:
		return &c.Covered
	case l.from.Scan.Covers(row.ID):
		return &c.Passed
	}
	return nil
}

// planRows is how many rows are looked for in the store at once.
const planRows = 4_096

// counting walks through the catalog once.
type counting struct {
	look   *look
	stored *storefs.Inventory // nil: there is no store yet
	pieces *pieceLook         // nil: nothing is striped
	counts *planCounts
	batch  []recovery.Row
	redo   []recovery.Row // listed to be replaced: what is stored of them counts for nothing
	found  int            // unsettled blobs that are still certified
}

func (p *runPlan) count(ctx context.Context, cfg *runConfig, r *reading, l *look, stderr io.Writer) error {
	placement, err := cfg.placement()
	if err != nil {
		return withCode(exitConfig, err)
	}
	inventory, reader, err := openInventory(ctx, cfg, r.tip.Network, p.Ownership)
	if err != nil {
		return err
	}
	if reader != nil {
		defer func() { _ = reader.Close() }() // only read
	}
	c := counting{look: l, stored: inventory, counts: &planCounts{}, batch: make([]recovery.Row, 0, planRows)}
	if placement == shards.Striped {
		if c.pieces, err = newPieceLook(reader, r.tip.Network, p.Ownership); err != nil {
			return err
		}
	}
	var at atomic.Uint64 // the leading bytes of the last id
	meter := startMeter(stderr, "plan", func() (float64, string) { return idShare(at.Load()), "of the catalog held against the store" })
	defer meter.close()
	for row, err := range r.rows(ctx, recovery.Mark{}) {
		if err != nil {
			return fmt.Errorf("read the catalog: %w", err)
		}
		if !placement.Concerns(row.ID, p.Ownership.TotalShards, p.Ownership.Owned) {
			continue
		}
		if err := c.take(ctx, row); err != nil {
			return err
		}
		at.Store(leading(row.ID))
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	if c.counts.Fetch.Pieces+c.counts.Fetch.Manifests > 0 {
		c.counts.Fetch.Codes = c.pieces.codes
	}
	p.Counts, p.Gone = c.counts, len(l.listed)-c.found
	return nil
}

func (c *counting) take(ctx context.Context, row recovery.Row) error {
	c.counts.Certified.add(row.Size)
	if err := c.pieces.sample(&row); err != nil {
		return err
	}
	listed := c.look.listed[row.ID]
	if listed != nil {
		c.found++
	}
	if t := c.look.settled(&row, c.counts); t != nil {
		t.add(row.Size)
		return nil
	}
	switch {
	case row.EndEpoch <= c.look.epoch:
		c.counts.Expired.add(row.Size)
	case listed != nil && listed.Replace: // what is stored of it counts for nothing
		c.redo = append(c.redo, row)
	default:
		row.Stored = false
		c.batch = append(c.batch, row)
	}
	if len(c.batch)+len(c.redo) == planRows {
		return c.flush(ctx)
	}
	return nil
}

// flush asks the store about the rows that were collected.
func (c *counting) flush(ctx context.Context) error {
	if c.stored != nil {
		if err := c.stored.Mark(ctx, c.batch); err != nil {
			return fmt.Errorf("look into the store: %w", err)
		}
	}
	missing := slices.DeleteFunc(c.batch, func(row recovery.Row) bool {
		if row.Stored {
			c.counts.Stored.add(row.Size)
		}
		return row.Stored
	})
	err := c.fetch(ctx, missing)
	c.batch, c.redo = c.batch[:0], c.redo[:0]
	return err
}

// fetch counts what is to be fetched of rows that are not wholly stored, and of those
// to be replaced.
func (c *counting) fetch(ctx context.Context, missing []recovery.Row) error {
	t := &c.counts.Fetch
	if c.pieces == nil {
		for _, rows := range [][]recovery.Row{missing, c.redo} {
			for i := range rows {
				t.addWhole(rows[i].Size)
			}
		}
		return nil
	}
	lacks, err := c.pieces.missing(ctx, missing)
	for i := range lacks {
		err = firstError(err, c.pieces.add(t, &missing[i], lacks[i], false))
	}
	for i := range c.redo {
		err = firstError(err, c.pieces.add(t, &c.redo[i], c.pieces.owned, true))
	}
	return err
}
