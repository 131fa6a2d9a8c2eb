package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// leftovers are the tables, by generation, that are not of the current one.
type leftovers map[generation][]string

// dropOld removes the generations that are not current: those of killed
// restores, and those that were replaced and that nobody reads any more. One
// that cannot be dropped is kept and named: it is in nobody's way, because
// numbers are never used again.
func (r *restore) dropOld(ctx context.Context) error {
	r.result.Kept = nil
	old, err := r.leftovers(ctx)
	if err != nil {
		return doing(ctx, "look for leftovers", err)
	}
	for _, g := range slices.Sorted(maps.Keys(old)) {
		err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error { return r.drop(ctx, tx, g, old[g]) })
		switch {
		case err == nil:
		case ctx.Err() != nil || r.conn.IsClosed():
			return doing(ctx, "drop a generation", err)
		default:
			r.result.Kept = append(r.result.Kept, fmt.Sprintf("generation %d: %v", g, doing(ctx, "drop", err)))
		}
	}
	return nil
}

// leftovers finds what may be dropped: tables of the schema that have a name of
// the allow-list and the mark of the generation that the name says, and rows of
// the list that have no tables (hazard 60).
func (r *restore) leftovers(ctx context.Context) (leftovers, error) {
	old, current := leftovers{}, generation(0)
	rows, err := r.conn.Query(ctx, "SELECT generation, status = 'current' FROM "+r.schema.generations())
	if err != nil {
		return nil, err
	}
	var g generation
	var is bool
	if _, err := pgx.ForEachRow(rows, []any{&g, &is}, func() error {
		if old[g] = nil; is {
			current = g
		}
		return nil
	}); err != nil {
		return nil, err
	}
	rows, err = r.conn.Query(ctx, `
		SELECT c.relname, coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'`, string(r.schema))
	if err != nil {
		return nil, err
	}
	var name, mark string
	_, err = pgx.ForEachRow(rows, []any{&name, &mark}, func() error {
		if g, ok := ownTable(name); ok && mark == g.mark() {
			old[g] = append(old[g], name)
		}
		return nil
	})
	delete(old, current)
	return old, err
}

var errInUse = errors.New("somebody reads it")

// drop removes the tables of a generation and its row, unless somebody shares
// its lock. It drops by name, without CASCADE: what depends on a table keeps it.
func (r *restore) drop(ctx context.Context, tx pgx.Tx, g generation, tables []string) error {
	var free bool
	err := tx.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_xact_lock($1, $2)", r.schema.lockClass(), int32(g)).Scan(&free)
	switch {
	case err != nil:
		return err
	case !free:
		return errInUse
	}
	for _, name := range tables {
		if _, err := tx.Exec(ctx, "DROP TABLE "+r.schema.name(name)+" RESTRICT"); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, "DELETE FROM "+r.schema.generations()+" WHERE generation = $1 AND status <> 'current'", g)
	return err
}
