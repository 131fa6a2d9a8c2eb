package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrDSN: the connection string cannot be read. Its text is in no error.
	ErrDSN = errors.New("postgres: bad connection string")
	// ErrBusy: another restore into the schema is under way.
	ErrBusy = errors.New("postgres: another restore is under way")
	// ErrEmpty: the schema holds no restored state, or is not there.
	ErrEmpty = errors.New("postgres: no catalog was restored here yet")
	// ErrGone: the state was replaced and its tables were dropped. Pin again.
	ErrGone = errors.New("postgres: the state is gone")
	// ErrVerify: what was loaded is not what was to be restored. The state that was
	// served stays.
	ErrVerify = errors.New("postgres: the loaded state is not the one to restore")
	// ErrUnlogged: a table would be empty after the server's next crash (hazard 61).
	ErrUnlogged = errors.New("postgres: a table is not logged")
	// ErrForeign: the schema holds tables of these names that are not of this
	// package, or of another version of it. They are left untouched.
	ErrForeign = errors.New("postgres: not a catalog that can be read")
	// ErrDamaged: a row that was never restored like this.
	ErrDamaged = errors.New("postgres: damaged")
	// ErrRange: a position that a bigint cannot hold.
	ErrRange = errors.New("postgres: out of range")
)

// SQLSTATEs that are told apart.
const (
	codeLockNotAvailable = "55P03"
	codeUndefinedTable   = "42P01"
	codeInvalidSchema    = "3F000"
	codeNoSuchDatabase   = "3D000"
	codeNoPrivilege      = "42501"
	classAuthorization   = "28"
)

// code returns the SQLSTATE of an error of the server, or nothing.
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// doing says what failed, with the server's detail, which its error leaves out,
// and with the cause of a context that ended instead of how the driver noticed.
func doing(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Detail != "" {
		return fmt.Errorf("%s: %w: %s", what, err, strings.ReplaceAll(pg.Detail, "\n", "; "))
	}
	return fmt.Errorf("%s: %w", what, err)
}
