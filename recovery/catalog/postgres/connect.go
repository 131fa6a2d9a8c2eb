package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout = 10 * time.Second
	closeTimeout   = 5 * time.Second
)

// parse reads a connection string. No error says anything of its text: where it
// is malformed, nobody can say which part is the password.
func parse(dsn string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, badDSN()
	}
	return c, prepareConfig(c)
}

func parsePool(dsn string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, badDSN()
	}
	return c, prepareConfig(c.ConnConfig)
}

func badDSN() error {
	return fmt.Errorf(`%w: want postgres://user:password@host:port/database or "host=... user=... dbname=..." (its text is not shown)`, ErrDSN)
}

func prepareConfig(c *pgx.ConnConfig) error {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "recoverd"
	}
	return nil
}

// Where says which database a connection string leads to, for logs: without the
// password. Errors wrap ErrDSN.
func Where(dsn string) (string, error) {
	c, err := parse(dsn)
	if err != nil {
		return "", err
	}
	return where(c), nil
}

// where says which database a configuration leads to, without its password.
func where(c *pgx.ConnConfig) string {
	return fmt.Sprintf("database %q at %s:%d", c.Database, c.Host, c.Port)
}

// connect opens a connection whose settings are its own and end with it (hazard
// 62). The caller closes it.
func connect(ctx context.Context, c *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, c.Copy())
	if err != nil {
		return nil, connectError(ctx, c, err)
	}
	if err := settle(ctx, conn); err != nil {
		return nil, errors.Join(doing(ctx, "set up a session", err), closeConn(conn))
	}
	return conn, nil
}

// connectError leaves the configuration, which holds the password, out of what
// is handed on.
func connectError(ctx context.Context, c *pgx.ConnConfig, err error) error {
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		err = errors.Unwrap(failed)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("connect to %s: %w", where(c), oneLine{err})
}

// oneLine is an error whose text has no line breaks.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }

// settle turns off, for this session, what would end it while it waits or works,
// the names of others, and what would lead its queries away from the keys' order: without statistics,
// which a new table has none of, a planner may sort a whole table for a page, and
// compile the plan first, because one that is ruled out counts as expensive.
// Settings that the server does not know are left out.
func settle(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `
		SELECT set_config(s.name, v.value, false)
		FROM (VALUES ('search_path', ''), ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),
			('lock_timeout', '10s'), ('synchronize_seqscans', 'off'), ('client_min_messages', 'warning'),
			('enable_seqscan', 'off'), ('enable_sort', 'off'), ('enable_bitmapscan', 'off'), ('jit', 'off')) AS v (name, value)
		JOIN pg_catalog.pg_settings s ON s.name = v.name`)
	return err
}

// closeConn ends a connection, whatever became of the context it was used with.
func closeConn(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return conn.Close(ctx)
}
