package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// job is one table on its way.
type job struct {
	table
	rows uint64 // expected
	// tuples reads the state's table from its beginning.
	tuples func() func(dst []byte) ([]byte, error)
	// read sums up what a query returns of the table. Errors wrap errUnordered.
	read func(ctx context.Context, tx pgx.Tx, sql string) (snapshot.TableSum, error)
	sum  snapshot.TableSum // of what was read back
}

// jobs returns the four tables of a state.
func (r *restore) jobs(ctx context.Context) [tableCount]*job {
	rows := r.result.Totals.Rows
	return [...]*job{
		newJob(ctx, r, snapshot.Blobs, rows.Blobs, r.from.Blobs, blobCodec()),
		newJob(ctx, r, snapshot.Registrations, rows.Registrations, r.from.Registrations, registrationCodec()),
		newJob(ctx, r, snapshot.PooledRegistrations, rows.Pooled, r.from.Pooled, pooledCodec()),
		newJob(ctx, r, snapshot.Pools, rows.Pools, func() snapshot.Cursor[snapshot.Pool] { return &inMemory[snapshot.Pool]{r.from.Pools()} }, poolCodec()),
	}
}

// inMemory is a cursor over rows in memory.
type inMemory[R any] struct{ rest []R }

// Next implements snapshot.Cursor.
func (m *inMemory[R]) Next() (*R, error) {
	if len(m.rest) == 0 {
		return nil, nil
	}
	row := &m.rest[0]
	m.rest = m.rest[1:]
	return row, nil
}

// toldEvery is how many rows lie between two reports, and two looks at a context.
const toldEvery = 1 << 10

func newJob[R any, P snapshot.Row[R]](ctx context.Context, r *restore, t snapshot.Table, rows uint64, open func() snapshot.Cursor[R], c codec[R]) *job {
	tuples := func() func(dst []byte) ([]byte, error) {
		from, n := open(), uint64(0)
		return func(dst []byte) ([]byte, error) {
			if n%toldEvery == 0 && ctx.Err() != nil {
				return dst, context.Cause(ctx)
			}
			row, err := from.Next()
			if err == nil && row == nil {
				err = io.EOF
			}
			if err != nil {
				r.sent(n % toldEvery)
				return dst, err
			}
			if n++; n%toldEvery == 0 {
				r.sent(toldEvery)
				r.step(stepLoading)
			}
			return c.encode(dst, row), nil
		}
	}
	read := func(ctx context.Context, tx pgx.Tx, sql string) (snapshot.TableSum, error) {
		h, last := snapshot.NewTableHash(), []byte(nil)
		var row R
		err := eachRow(ctx, tx, sql, func(raw [][]byte) error {
			if err := c.row(raw, &row); err != nil {
				return err
			}
			key := P(&row).RowKey()
			if bytes.Compare(last, key) >= 0 && last != nil {
				return errUnordered
			}
			last = append(last[:0], key...)
			h.Add(P(&row))
			return nil
		})
		return h.Sum(), err
	}
	return &job{table: tableOf(t), rows: rows, tuples: tuples, read: read}
}

// errUnordered: rows were not read by rising keys.
var errUnordered = errors.New("postgres: rows out of order")

// eachRow calls visit with the columns of each row, in binary form and valid
// until it returns. The connection is free again when eachRow returns, and what
// ended the rows early is its error (hazard 63).
func eachRow(ctx context.Context, q querier, sql string, visit func(raw [][]byte) error, args ...any) error {
	rows, err := q.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for i, f := range rows.FieldDescriptions() {
		if f.Format != pgx.BinaryFormatCode {
			return fmt.Errorf("%w: column %d is not in binary form", ErrDamaged, i+1)
		}
	}
	for rows.Next() {
		if err := visit(rows.RawValues()); err != nil {
			return err
		}
	}
	return rows.Err()
}
