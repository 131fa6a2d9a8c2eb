package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

var errNoRoom = errors.New("postgres: a page needs room for a row")

// inSnapshot runs fn in a short transaction that only reads, at one snapshot of
// the database.
func inSnapshot(ctx context.Context, b interface {
	BeginTx(context.Context, pgx.TxOptions) (pgx.Tx, error)
}, fn func(tx pgx.Tx) error) error {
	tx, err := b.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		// The error that matters is fn's; a connection that is broken is not reused.
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return err
	}
	return tx.Commit(ctx)
}

// answer gives an answer from the pinned state, in one transaction. Where the
// state was replaced by Pin and dropped meanwhile, it is given from the new one.
func (c *Catalog) answer(ctx context.Context, fn func(tx pgx.Tx, p *pinned) error) (recovery.Stamp, error) {
	for {
		p, err := c.state()
		if err != nil {
			return recovery.Stamp{}, err
		}
		if ctx.Err() != nil {
			return recovery.Stamp{}, context.Cause(ctx)
		}
		var stamp recovery.Stamp
		err = inSnapshot(ctx, c.pool, func(tx pgx.Tx) error {
			d, err := c.described(ctx, tx, p.generation)
			if err != nil {
				return err
			}
			if d.Bound != p.Bound {
				return fmt.Errorf("%w: generation %d is %v, and was pinned as %v", ErrDamaged, p.generation, d.Bound, p.Bound)
			}
			stamp = d.Bound.Stamp
			return fn(tx, p)
		})
		if code(err) == codeUndefinedTable {
			err = fmt.Errorf("%w: %w", ErrGone, err)
		}
		if errors.Is(err, ErrGone) {
			if now, again := c.state(); again == nil && now != p {
				continue
			}
		}
		return stamp, doing(ctx, "read catalog", c.redacted(ctx, err))
	}
}

// redacted leaves the configuration out of the error of a connection.
func (c *Catalog) redacted(ctx context.Context, err error) error {
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		return connectError(ctx, c.hold.target, err)
	}
	return err
}

// Page implements catalog.Source.
func (c *Catalog) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	if _, err := c.state(); err != nil {
		return recovery.PageInfo{}, err
	}
	if len(rows) == 0 {
		return recovery.PageInfo{}, errNoRoom
	}
	var info recovery.PageInfo
	stamp, err := c.answer(ctx, func(tx pgx.Tx, p *pinned) (err error) {
		scan := c.scan(ctx, tx, p, len(rows))
		if err := scan.Seek(after); err != nil {
			return err
		}
		info.N, info.End, err = scan.Fill(ctx, rows)
		return err
	})
	if err != nil {
		return recovery.PageInfo{}, err
	}
	info.Stamp = stamp
	return info, nil
}

// scanBatch bounds the rows that a scan reads at once: a few are read ahead, so a
// batch holds a little more than a page.
const (
	scanAhead    = 16
	scanBatchMax = 4_096
)

// scan returns a scan of the state within a transaction.
func (c *Catalog) scan(ctx context.Context, tx pgx.Tx, p *pinned, rows int) *snapshot.Scan {
	q, batch := queryIn(ctx, tx), min(rows+scanAhead, scanBatchMax)
	return snapshot.NewScan(p.Bound.Stamp, snapshot.Cursors{
		Blobs:         newKeyset[snapshot.Blob](q, c.schema, p.generation, batch, blobCodec()),
		Registrations: newKeyset[snapshot.Registration](q, c.schema, p.generation, batch, registrationCodec()),
		Pooled:        newKeyset[snapshot.Pooled](q, c.schema, p.generation, batch, pooledCodec()),
	}, p.pools)
}

// lookupBatch is how many ids are looked up with one statement for each table.
const lookupBatch = 1_000

// Lookup implements catalog.Source.
func (c *Catalog) Lookup(ctx context.Context, ids []recovery.BlobID) (recovery.Stamp, []recovery.Row, error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, recovery.BlobID.Compare)
	ids = slices.Compact(ids)
	var rows []recovery.Row
	stamp, err := c.answer(ctx, func(tx pgx.Tx, p *pinned) error {
		rows = nil
		for batch := range slices.Chunk(ids, lookupBatch) {
			found, err := c.lookup(ctx, tx, p, batch)
			if err != nil {
				return err
			}
			rows = append(rows, found...)
		}
		return nil
	})
	if err != nil {
		return recovery.Stamp{}, nil, err
	}
	return stamp, rows, nil
}

// lookup merges what the tables hold of some ids.
func (c *Catalog) lookup(ctx context.Context, tx pgx.Tx, p *pinned, ids []recovery.BlobID) ([]recovery.Row, error) {
	keys := make([][]byte, len(ids))
	for i := range ids {
		keys[i] = ids[i][:]
	}
	q := queryIn(ctx, tx)
	blobs, err := rowsOf(q, c.schema, p.generation, "id", keys, blobCodec())
	if err != nil {
		return nil, err
	}
	registrations, err := rowsOf(q, c.schema, p.generation, "blob", keys, registrationCodec())
	if err != nil {
		return nil, err
	}
	pooled, err := rowsOf(q, c.schema, p.generation, "blob", keys, pooledCodec())
	if err != nil {
		return nil, err
	}
	merge := snapshot.NewMerge(snapshot.MergeConfig{
		Epoch: p.Bound.Epoch, Position: p.Bound.Position, Pools: p.pools,
		Blobs: &inMemory[snapshot.Blob]{blobs}, Registrations: &inMemory[snapshot.Registration]{registrations}, Pooled: &inMemory[snapshot.Pooled]{pooled},
	})
	rows := make([]recovery.Row, len(ids))
	n, end, err := merge.Fill(ctx, rows)
	if err == nil && !end {
		// Exactly as many as there is room for: make sure that nothing follows.
		_, _, err = merge.Fill(ctx, make([]recovery.Row, 1))
	}
	return rows[:n], err
}
