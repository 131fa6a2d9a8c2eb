package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// leftover is a generation that is not the current one.
type leftover struct {
	tables []string
	served bool // it was current once: others may read it
}

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
		err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error { return r.drop(ctx, tx, g, *old[g]) })
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
func (r *restore) leftovers(ctx context.Context) (map[generation]*leftover, error) {
	old, current := map[generation]*leftover{}, generation(0)
	rows, err := r.conn.Query(ctx, "SELECT generation, status FROM "+r.schema.generations())
	if err != nil {
		return nil, err
	}
	var g generation
	var status string
	_, err = pgx.ForEachRow(rows, []any{&g, &status}, func() error {
		if old[g] = (&leftover{served: status != "loading"}); status == "current" {
			current = g
		}
		return nil
	})
	if err != nil {
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
			if old[g] == nil {
				old[g] = &leftover{}
			}
			old[g].tables = append(old[g].tables, name)
		}
		return nil
	})
	delete(old, current)
	return old, err
}

var errInUse = errors.New("somebody reads it")

// drop removes the tables of a generation and its row, unless somebody shares
// its lock. It drops by name, without CASCADE: what depends on a table keeps it.
//
// It does not wait for readers, not even for those that know no lock: a lock that
// is waited for keeps out everybody who comes later. Of a generation that was
// never current, only the session of a restore that was killed has locks, and is
// about to end.
func (r *restore) drop(ctx context.Context, tx pgx.Tx, g generation, l leftover) error {
	var free bool
	err := tx.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_xact_lock($1, $2)", r.schema.lockClass(), int32(g)).Scan(&free)
	switch {
	case err != nil:
		return err
	case !free:
		return errInUse
	}
	if len(l.tables) > 0 {
		if err := r.dropTables(ctx, tx, l); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, "DELETE FROM "+r.schema.generations()+" WHERE generation = $1 AND status <> 'current'", g)
	return err
}

func (r *restore) dropTables(ctx context.Context, tx pgx.Tx, l leftover) error {
	names := make([]string, len(l.tables))
	for i, name := range slices.Sorted(slices.Values(l.tables)) {
		names[i] = r.schema.name(name)
	}
	all := strings.Join(names, ", ")
	lock := "LOCK TABLE " + all + " IN ACCESS EXCLUSIVE MODE"
	if l.served {
		lock += " NOWAIT"
	}
	if _, err := tx.Exec(ctx, lock); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DROP TABLE "+all+" RESTRICT")
	return err
}
