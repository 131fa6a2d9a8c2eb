package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// query runs a statement in a transaction that only reads; see eachRow.
type query func(sql string, visit func(raw [][]byte) error, args ...any) error

func queryIn(ctx context.Context, tx pgx.Tx) query {
	return func(sql string, visit func(raw [][]byte) error, args ...any) error {
		return eachRow(ctx, tx, sql, visit, args...)
	}
}

// keyset reads a table by rising keys, some rows at a time, with one statement
// each, which is done before its rows are yielded. It is a snapshot.Seeker.
type keyset[R any, P snapshot.Row[R]] struct {
	query query
	codec codec[R]
	first string // SELECT from an id on
	more  string // SELECT beyond a key
	batch int

	from   recovery.BlobID
	rows   []R // read
	next   int // of rows
	begun  bool
	filled bool // the last statement gave as many as it might
	err    error
}

// newKeyset returns a cursor before the first row, of use as long as query is.
func newKeyset[R any, P snapshot.Row[R]](q query, s schema, g generation, batch int, c codec[R]) *keyset[R, P] {
	t := tableOf(P(new(R)).Table())
	first, more := "id >= $1", "id > $1"
	if t.key != "id" {
		first, more = "blob >= $1", "(blob, object) > ($1, $2)"
	}
	sql := func(condition string) string {
		return "SELECT " + t.names + " FROM " + s.table(t.kind, g) + " WHERE " + condition + " ORDER BY " + t.key + " LIMIT " + strconv.Itoa(batch)
	}
	return &keyset[R, P]{query: q, codec: c, batch: batch, first: sql(first), more: sql(more)}
}

// Seek implements snapshot.Seeker. It reads nothing yet.
func (k *keyset[R, P]) Seek(id recovery.BlobID) error {
	k.from, k.rows, k.next, k.begun = id, k.rows[:0], 0, false
	return k.err
}

// Next implements snapshot.Cursor.
func (k *keyset[R, P]) Next() (*R, error) {
	if k.err == nil && k.next == len(k.rows) && (!k.begun || k.filled) {
		k.err = k.read()
	}
	if k.err != nil || k.next == len(k.rows) {
		return nil, k.err
	}
	k.next++
	return &k.rows[k.next-1], nil
}

// read runs the next statement.
func (k *keyset[R, P]) read() error {
	var last []byte // the key that the next row is to be above
	if k.begun {
		last = bytes.Clone(P(&k.rows[len(k.rows)-1]).RowKey())
	}
	sql, args := k.first, []any{k.from[:]}
	switch len(last) {
	case 32:
		sql, args = k.more, []any{bytes.Clone(last)}
	case 64:
		sql, args = k.more, []any{bytes.Clone(last[:32]), bytes.Clone(last[32:])}
	}
	k.rows, k.next = k.rows[:0], 0
	err := k.query(sql, func(raw [][]byte) error {
		k.rows = append(k.rows, *new(R))
		row := &k.rows[len(k.rows)-1]
		if err := k.codec.row(raw, row); err != nil {
			return err
		}
		key := P(row).RowKey()
		if last != nil && bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("%w: in %v %x follows %x", ErrDamaged, P(row).Table(), key, last)
		}
		last = append(last[:0], key...)
		return nil
	}, args...)
	k.begun, k.filled = true, len(k.rows) == k.batch
	return err
}

// rowsOf returns the rows of a table whose id, or blob, is among keys, by rising
// keys.
func rowsOf[R any, P snapshot.Row[R]](q query, s schema, g generation, column string, keys [][]byte, c codec[R]) (rows []R, err error) {
	t := tableOf(P(new(R)).Table())
	sql := "SELECT " + t.names + " FROM " + s.table(t.kind, g) + " WHERE " + column + " = ANY($1) ORDER BY " + t.key
	err = q(sql, func(raw [][]byte) error {
		rows = append(rows, *new(R))
		return c.row(raw, &rows[len(rows)-1])
	}, keys)
	return rows, err
}

// poolsOf returns all pools of a generation, by rising ids.
func poolsOf(ctx context.Context, tx pgx.Tx, s schema, g generation) (pools []snapshot.Pool, err error) {
	cursor := newKeyset[snapshot.Pool](queryIn(ctx, tx), s, g, scanBatchMax, poolCodec())
	for len(pools) <= snapshot.MaxPools {
		p, err := cursor.Next()
		if p == nil || err != nil {
			return pools, err
		}
		pools = append(pools, *p)
	}
	return nil, fmt.Errorf("%w: more than %d pools", ErrDamaged, snapshot.MaxPools)
}
