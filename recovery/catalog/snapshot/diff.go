package snapshot

import (
	"bytes"
	"context"
)

// Change is one key that two states do not hold the same row of.
type Change struct {
	Table Table
	Key   []byte // 32 or 64 bytes
	// Before and After are the rows, of the table's row type; nil where the state
	// has not the key. They are valid during the visit only.
	Before, After Entry
}

// Kind says what happened: "added", "removed" or "changed".
func (c Change) Kind() string {
	switch {
	case c.Before == nil:
		return "added"
	case c.After == nil:
		return "removed"
	}
	return "changed"
}

// Diff calls visit for every key that a and b do not hold the same row of, by
// table and rising key. Headers are not compared. It stops at the first error,
// which it returns.
func Diff(ctx context.Context, a, b State, visit func(Change) error) error {
	if err := diffTable(ctx, a.Blobs(), b.Blobs(), changes[Blob](visit)); err != nil {
		return err
	}
	if err := diffTable(ctx, a.Registrations(), b.Registrations(), changes[Registration](visit)); err != nil {
		return err
	}
	if err := diffTable(ctx, a.Pooled(), b.Pooled(), changes[Pooled](visit)); err != nil {
		return err
	}
	return diffTable(ctx, poolCursor(a.Pools()), poolCursor(b.Pools()), changes[Pool](visit))
}

func poolCursor(pools []Pool) Cursor[Pool] { return &memory[Pool, *Pool]{rows: pools} }

// changes turns a visitor of changes into one of a table's rows.
func changes[R any, P Row[R]](visit func(Change) error) func(before, after *R) error {
	return func(before, after *R) error {
		c := Change{}
		if before != nil {
			c.Table, c.Key, c.Before = P(before).Table(), P(before).RowKey(), P(before)
		}
		if after != nil {
			c.Table, c.Key, c.After = P(after).Table(), P(after).RowKey(), P(after)
		}
		return visit(c)
	}
}

// diffTable calls visit for every key of two tables whose rows differ, with nil
// for a row that is not there.
func diffTable[R comparable, P Row[R]](ctx context.Context, a, b Cursor[R], visit func(before, after *R) error) error {
	before, err := a.Next()
	if err != nil {
		return err
	}
	after, err := b.Next()
	if err != nil {
		return err
	}
	for looked := 0; before != nil || after != nil; looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		order := 0
		switch {
		case after == nil:
			order = -1
		case before == nil:
			order = 1
		default:
			order = bytes.Compare(P(before).RowKey(), P(after).RowKey())
		}
		switch {
		case order < 0:
			err = visit(before, nil)
		case order > 0:
			err = visit(nil, after)
		case *before != *after:
			err = visit(before, after)
		}
		if err == nil && order <= 0 {
			before, err = a.Next()
		}
		if err == nil && order >= 0 {
			after, err = b.Next()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
