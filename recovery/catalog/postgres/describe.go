package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// querier is a connection, a pool or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// described is a row of the list of generations.
type described struct {
	generation generation
	header     snapshot.Header
	snapshot.Summary
}

const describedColumns = "generation, network, epoch, position, digest, blobs, registrations, pooled, pools, " +
	"certified, certified_bytes::text, unsized, ancestors::text"

// describe returns the columns from network on.
func describe(h snapshot.Header, s snapshot.Summary) ([]any, error) {
	ancestors, err := json.Marshal(append([]recovery.Ancestor{}, h.Ancestors...))
	if err != nil {
		return nil, fmt.Errorf("describe the state: %w", err)
	}
	t := s.Totals
	return []any{
		s.Bound.Network, int64(s.Bound.Epoch), int64(s.Bound.Position), s.Bound.Digest[:],
		int64(t.Rows.Blobs), int64(t.Rows.Registrations), int64(t.Rows.Pooled), int64(t.Rows.Pools),
		int64(t.Certified), strconv.FormatUint(t.CertifiedBytes, 10), int64(t.Unsized), string(ancestors),
	}, nil
}

// readDescribed reads describedColumns of one row; pgx.ErrNoRows: there is none.
func readDescribed(row pgx.Row) (d described, err error) {
	var epoch, position int64
	var digest []byte
	var n [6]int64
	var sum, ancestors string
	err = row.Scan(&d.generation, &d.header.Network, &epoch, &position, &digest, &n[0], &n[1], &n[2], &n[3], &n[4], &sum, &n[5], &ancestors)
	if err != nil {
		return d, err
	}
	if len(digest) != len(d.Bound.Digest) || epoch < 0 || epoch > math.MaxUint32 || position < 0 {
		return d, fmt.Errorf("%w: generation %d is of epoch %d and position %d, its digest has %d bytes", ErrDamaged, d.generation, epoch, position, len(digest))
	}
	d.header.Epoch, d.header.Position = uint32(epoch), uint64(position)
	if err := json.Unmarshal([]byte(ancestors), &d.header.Ancestors); err != nil {
		return d, fmt.Errorf("%w: the ancestors of generation %d: %w", ErrDamaged, d.generation, err)
	}
	d.Bound = recovery.Bound{Stamp: d.header.Stamp, Digest: recovery.Digest(digest)}
	if d.Totals.CertifiedBytes, err = strconv.ParseUint(sum, 10, 64); err != nil {
		return d, fmt.Errorf("%w: generation %d has %s bytes", ErrDamaged, d.generation, sum)
	}
	for i, v := range []*uint64{
		&d.Totals.Rows.Blobs, &d.Totals.Rows.Registrations, &d.Totals.Rows.Pooled, &d.Totals.Rows.Pools, &d.Totals.Certified, &d.Totals.Unsized,
	} {
		if *v = uint64(n[i]); n[i] < 0 {
			return d, fmt.Errorf("%w: generation %d counts %d", ErrDamaged, d.generation, n[i])
		}
	}
	if d.Totals.Rows.Pools > snapshot.MaxPools {
		return d, fmt.Errorf("%w: generation %d has %d pools", ErrDamaged, d.generation, d.Totals.Rows.Pools)
	}
	return d, nil
}

// current reads which generation is the current one.
func current(ctx context.Context, q querier, s schema) (described, error) {
	d, err := readDescribed(q.QueryRow(ctx, "SELECT "+describedColumns+" FROM "+s.generations()+" WHERE status = 'current'"))
	switch {
	case errors.Is(err, pgx.ErrNoRows), code(err) == codeUndefinedTable, code(err) == codeInvalidSchema:
		return d, fmt.Errorf("%w: schema %q has no current generation", ErrEmpty, s)
	case err != nil:
		return d, doing(ctx, "look for the current generation", err)
	}
	return d, nil
}

// checkLogged reports the first of a generation's tables that is not there, or
// would be empty after the server's next crash, or has no primary key.
func checkLogged(ctx context.Context, q querier, s schema, g generation) error {
	for t := snapshot.Blobs; t <= snapshot.Pools; t++ {
		var logged, keyed bool
		err := q.QueryRow(ctx, `
			SELECT bool_and(r.relpersistence = 'p'), bool_or(coalesce(i.indisprimary AND i.indisvalid, false))
			FROM pg_catalog.pg_class c
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid
			JOIN pg_catalog.pg_class r ON r.oid IN (c.oid, c.reltoastrelid, i.indexrelid)
			WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r' GROUP BY c.oid`,
			string(s), tableName(t, g)).Scan(&logged, &keyed)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("%w: %s is not there", ErrGone, s.table(t, g))
		case err != nil:
			return err
		case !logged:
			return fmt.Errorf("%w: %s would be empty after a crash of the server", ErrUnlogged, s.table(t, g))
		case !keyed:
			return fmt.Errorf("%w: %s has no primary key", ErrDamaged, s.table(t, g))
		}
	}
	return nil
}
