package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// State returns the pinned state, to be written as a snapshot, compared or
// proven. It is read some rows at a time, in transactions as short as a page's,
// and is of use until ctx ends or Pin moves on: then a restore may drop it, and
// reading goes on with ErrGone.
func (c *Catalog) State(ctx context.Context) (snapshot.State, error) {
	p, err := c.state()
	if err != nil {
		return nil, err
	}
	return c.view(ctx, p), nil
}

func (c *Catalog) view(ctx context.Context, p *pinned) view {
	return view{p: p, schema: c.schema, query: func(sql string, visit func(raw [][]byte) error, args ...any) error {
		err := inSnapshot(ctx, c.pool, func(tx pgx.Tx) error {
			if _, err := c.described(ctx, tx, p.generation); err != nil {
				return err
			}
			return eachRow(ctx, tx, sql, visit, args...)
		})
		return doing(ctx, "read catalog", c.redacted(ctx, err))
	}}
}

// Verify reads every row of the pinned state and proves what its generation says
// of itself. Errors wrap ErrDamaged, or are those of reading and of ctx.
func (c *Catalog) Verify(ctx context.Context) error {
	p, err := c.state()
	if err != nil {
		return err
	}
	found, err := snapshot.SumUp(ctx, c.view(ctx, p))
	switch {
	case errors.Is(err, snapshot.ErrOrphan), errors.Is(err, snapshot.ErrRow), errors.Is(err, snapshot.ErrOrder):
		return fmt.Errorf("%w: verify catalog: %w", ErrDamaged, err)
	case err != nil:
		return fmt.Errorf("verify catalog: %w", err)
	case found != p.Summary:
		return fmt.Errorf("%w: the rows of generation %d come to %+v, it says %+v", ErrDamaged, p.generation, found, p.Summary)
	}
	return nil
}

// view is a pinned state as a snapshot.State.
type view struct {
	p      *pinned
	schema schema
	query  query
}

// Header implements snapshot.State.
func (v view) Header() snapshot.Header { return v.p.header }

// Blobs implements snapshot.State.
func (v view) Blobs() snapshot.Cursor[snapshot.Blob] {
	return newKeyset[snapshot.Blob](v.query, v.schema, v.p.generation, scanBatchMax, blobCodec())
}

// Registrations implements snapshot.State.
func (v view) Registrations() snapshot.Cursor[snapshot.Registration] {
	return newKeyset[snapshot.Registration](v.query, v.schema, v.p.generation, scanBatchMax, registrationCodec())
}

// Pooled implements snapshot.State.
func (v view) Pooled() snapshot.Cursor[snapshot.Pooled] {
	return newKeyset[snapshot.Pooled](v.query, v.schema, v.p.generation, scanBatchMax, pooledCodec())
}

// Pools implements snapshot.State.
func (v view) Pools() []snapshot.Pool { return v.p.pools }
