package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// prepare makes an empty place for the state, under the lock.
func (r *restore) prepare(ctx context.Context) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	if err := r.ownSchema(ctx); err != nil {
		return err
	}
	if err := r.dropOld(ctx); err != nil {
		return err
	}
	var level string
	if err := r.conn.QueryRow(ctx, "SHOW wal_level").Scan(&level); err != nil {
		return doing(ctx, "look at the server's wal_level", err)
	}
	r.result.Spooled = level != "minimal"
	return doing(ctx, "begin a generation", pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error { return r.begin(ctx, tx) }))
}

// lock takes the right to restore into the schema. It belongs to the session:
// the server gives it back when the session ends, however it ends. A session
// that was killed may take a moment to be noticed, so this waits a little.
func (r *restore) lock(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1, $2)", r.schema.lockClass(), int32(restoreLock))
		return err
	})
	if code(err) == codeLockNotAvailable {
		return fmt.Errorf("%w: it holds the lock of schema %q", ErrBusy, r.schema)
	}
	return doing(ctx, "lock the schema", err)
}

// ownSchema makes the schema and the list of generations, or checks that they
// are this package's.
func (r *restore) ownSchema(ctx context.Context) error {
	switch err := checkLayout(ctx, r.conn, r.schema); {
	case err == nil:
		return nil
	case !errors.Is(err, ErrEmpty):
		return err
	}
	err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error { return r.makeLayout(ctx, tx) })
	return doing(ctx, "make the schema", err)
}

// makeLayout makes what a schema needs before its first generation. Whoever may
// connect may not thereby read: that is for the owner to grant.
func (r *restore) makeLayout(ctx context.Context, tx pgx.Tx) error {
	var there bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", string(r.schema)).Scan(&there)
	if err != nil {
		return err
	}
	statements := []string{
		"CREATE SCHEMA " + r.schema.quoted(),
		"CREATE TABLE " + r.schema.generations() + ` (
			generation integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			status text NOT NULL CHECK (status IN ('loading', 'current', 'replaced')),
			network text NOT NULL, epoch bigint NOT NULL, position bigint NOT NULL, digest bytea NOT NULL,
			blobs bigint NOT NULL, registrations bigint NOT NULL, pooled bigint NOT NULL, pools bigint NOT NULL,
			certified bigint NOT NULL, certified_bytes numeric NOT NULL, unsized bigint NOT NULL,
			ancestors jsonb NOT NULL, began timestamptz NOT NULL DEFAULT now(), switched timestamptz)`,
		"CREATE UNIQUE INDEX one_current ON " + r.schema.generations() + " (status) WHERE status = 'current'",
		"COMMENT ON TABLE " + r.schema.generations() + " IS '" + layoutMark + "'",
	}
	if there { // a right to make schemas is not needed
		statements = statements[1:]
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// checkLayout reports whether the schema's list of generations is this
// package's: ErrEmpty where there is none, ErrForeign where it is another's.
func checkLayout(ctx context.Context, q querier, s schema) error {
	var mark *string
	err := q.QueryRow(ctx, `
		SELECT pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
		string(s), generationsName).Scan(&mark)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%w: schema %q has no table %q", ErrEmpty, s, generationsName)
	case err != nil:
		return doing(ctx, "look at the schema", err)
	case mark == nil || *mark != layoutMark:
		return fmt.Errorf("%w: %s has not the mark %q: another program's, or of another version", ErrForeign, s.generations(), layoutMark)
	}
	return nil
}

// begin numbers the generation and makes its spools. The list says "loading",
// which is the mark of an unfinished restore, in the same transaction.
func (r *restore) begin(ctx context.Context, tx pgx.Tx) error {
	columns, err := describe(r.from.Header(), r.result.Summary)
	if err != nil {
		return err
	}
	err = tx.QueryRow(ctx, "INSERT INTO "+r.schema.generations()+
		" (status, network, epoch, position, digest, blobs, registrations, pooled, pools, certified, certified_bytes, unsized, ancestors)"+
		" VALUES ('loading', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::numeric, $11, $12::text::jsonb) RETURNING generation",
		columns...).Scan(&r.generation)
	if err != nil || !r.result.Spooled {
		return err
	}
	for t := snapshot.Blobs; t <= snapshot.Pools; t++ {
		spool := r.schema.spool(t, r.generation)
		for _, sql := range []string{
			// Plain storage keeps a run where it is, whatever its length.
			"CREATE UNLOGGED TABLE " + spool + " (run bytea NOT NULL)",
			"ALTER TABLE " + spool + " ALTER COLUMN run SET STORAGE PLAIN",
			"COMMENT ON TABLE " + spool + " IS '" + r.generation.mark() + "'",
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
	}
	return nil
}
