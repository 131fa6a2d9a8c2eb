package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// makeCurrent switches data and position in one transaction, in the session that
// holds the lock, and drops what was replaced.
func (r *restore) makeCurrent(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if err := r.makeCurrentIn(ctx, tx); err != nil {
			return err
		}
		r.step(stepSwitching)
		return nil
	})
	if err != nil {
		return doing(ctx, "make the generation current", err)
	}
	r.result.Generation = int(r.generation)
	r.step(stepSwitched)
	if err := r.dropOld(ctx); err != nil {
		r.result.Kept = append(r.result.Kept, err.Error()) // the next restore drops it
	}
	r.step(stepDropped)
	return nil
}

func (r *restore) makeCurrentIn(ctx context.Context, tx pgx.Tx) error {
	// What is answered is durable, whatever the server is set to: for this
	// transaction only (hazard 62).
	if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
		return err
	}
	if err := checkLogged(ctx, tx, r.schema, r.generation); err != nil {
		return err
	}
	if r.result.Spooled {
		for t := snapshot.Blobs; t <= snapshot.Pools; t++ {
			if _, err := tx.Exec(ctx, "DROP TABLE "+r.schema.spool(t, r.generation)+" RESTRICT"); err != nil {
				return err
			}
		}
	}
	list := r.schema.generations()
	if _, err := tx.Exec(ctx, "UPDATE "+list+" SET status = 'replaced' WHERE status = 'current'"); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, "UPDATE "+list+" SET status = 'current', switched = now() WHERE generation = $1 AND status = 'loading'", r.generation)
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("%w: generation %d is not being loaded any more: another restore has taken it for a leftover", ErrBusy, r.generation)
	}
	return err
}
