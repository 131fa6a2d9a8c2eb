package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// holder shares the locks of generations, so that no restore drops them. The
// locks are its connection's: where that breaks, they are lost, and a state that
// was replaced may be dropped under its reader, who gets ErrGone for it.
type holder struct {
	target *pgx.ConnConfig
	schema schema
	conn   *pgx.Conn
	shared []generation
}

// alive makes sure that there is a connection that works. Locks that were lost
// with another one are forgotten.
func (h *holder) alive(ctx context.Context) (err error) {
	if h.conn != nil && h.conn.Ping(ctx) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_ = h.close() // it was broken already
	h.conn, err = connect(ctx, h.target)
	return err
}

func (h *holder) has(g generation) bool { return slices.Contains(h.shared, g) }

// share takes a generation's lock, which a restore that drops it holds alone for
// a moment.
func (h *holder) share(ctx context.Context, g generation) error {
	if h.has(g) {
		return nil
	}
	_, err := h.conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock_shared($1, $2)", h.schema.lockClass(), int32(g))
	if err != nil {
		return doing(ctx, "share the lock of the generation", err)
	}
	h.shared = append(h.shared, g)
	return nil
}

// only gives the locks of all other generations back. One that cannot be given
// back is tried again next time, or is lost with the connection.
func (h *holder) only(ctx context.Context, g generation) {
	h.shared = slices.DeleteFunc(h.shared, func(other generation) bool {
		if other == g {
			return false
		}
		_, err := h.conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock_shared($1, $2)", h.schema.lockClass(), int32(other))
		return err == nil
	})
}

// close ends the connection, and with it all locks.
func (h *holder) close() error {
	if h.conn == nil {
		return nil
	}
	err := closeConn(h.conn)
	h.conn, h.shared = nil, nil
	return err
}
