package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// Write publishes a state as a full snapshot at path. Errors wrap ErrKind where
// the state is an incremental Reader, ErrOrder, ErrRow or ErrOrphan where its
// rows are at fault, or are those of reading it, of writing and of ctx; after
// one nothing is published (but see Writer.Close).
func Write(ctx context.Context, path string, s State, o Options) (Written, error) {
	c, err := whole(s)
	if err != nil {
		return Written{}, err
	}
	return c.publish(ctx, path, o)
}

// WriteIncremental publishes the difference between a full snapshot and a later
// state of its network as an incremental one: a row for each key that the base
// has not, or has another row of, and a dropped key for each that the state has
// not. So its bytes depend on the two states (and the ancestors) only. Where the
// state is an Overlay over the same base, only what its incremental names is
// looked at. Errors are those of Write, or a *BaseError.
func WriteIncremental(ctx context.Context, path string, base *Reader, s State, o Options) (Written, error) {
	c, err := difference(base, s, path)
	if err != nil {
		return Written{}, err
	}
	return c.publish(ctx, path, o)
}

// content is what is to be written.
type content struct {
	head Header
	rows func(ctx context.Context, w *Writer) error
}

// whole is all of a state.
func whole(s State) (content, error) {
	h := s.Header()
	if h.Base != nil {
		return content{}, errNoState
	}
	return content{h, func(ctx context.Context, w *Writer) error { return writeState(ctx, w, s) }}, nil
}

// difference is what makes a state of its base.
func difference(base *Reader, s State, path string) (content, error) {
	h, have := s.Header(), base.Bound()
	if h.Base != nil {
		return content{}, errNoState
	}
	h.Base = &recovery.Ancestor{Position: have.Position, Digest: have.Digest}
	if err := checkBase(base, h, path); err != nil {
		return content{}, err
	}
	return content{h, func(ctx context.Context, w *Writer) error {
		if over, ok := s.(*Overlay); ok && over.base.Bound() == have {
			return writeChanges(ctx, w, base, over.delta)
		}
		return writeDifference(ctx, w, base, s)
	}}, nil
}

var errNoState = fmt.Errorf("%w: an incremental snapshot is no state: lay it over its base", ErrKind)

func (c content) publish(ctx context.Context, path string, o Options) (Written, error) {
	w, err := CreateWith(path, c.head, o)
	if err != nil {
		return Written{}, err
	}
	return c.writeTo(ctx, w)
}

// writeTo closes or aborts w.
func (c content) writeTo(ctx context.Context, w *Writer) (Written, error) {
	if err := c.rows(ctx, w); err != nil {
		return Written{}, errors.Join(err, w.Abort())
	}
	if err := w.Close(); err != nil {
		return Written{}, err
	}
	return w.Written(), nil
}

// writeState copies all of a state, and counts what is certified in it on the way.
func writeState(ctx context.Context, w *Writer, from State) error {
	h := from.Header()
	merge := NewMerge(MergeConfig{
		Epoch: h.Epoch, Position: h.Position, Pools: from.Pools(),
		Blobs: tee[Blob]{from.Blobs(), w.Blob}, Registrations: from.Registrations(), Pooled: from.Pooled(),
	})
	totals, err := merge.count(ctx, Counts{})
	if err != nil {
		return err
	}
	w.totals = &totals
	if err := copyTable(ctx, from.Registrations(), w.Registration); err != nil {
		return err
	}
	if err := copyTable(ctx, from.Pooled(), w.Pooled); err != nil {
		return err
	}
	return copyTable(ctx, poolCursor(from.Pools()), w.Pool)
}

// tee gives every row that passes to a writer.
type tee[R any] struct {
	Cursor[R]
	put func(*R) error
}

// Next implements Cursor.
func (t tee[R]) Next() (*R, error) {
	row, err := t.Cursor.Next()
	if row == nil || err != nil {
		return nil, err
	}
	return row, t.put(row)
}

// writeDifference writes how a state differs from a base.
func writeDifference(ctx context.Context, w *Writer, base *Reader, from State) error {
	err := diffTable(ctx, base.Blobs(), from.Blobs(),
		edits(w.Blob, func(b *Blob) error { return w.DropBlob(b.ID) }))
	if err != nil {
		return err
	}
	err = diffTable(ctx, base.Registrations(), from.Registrations(),
		edits(w.Registration, func(r *Registration) error { return w.DropRegistration(r.Key) }))
	if err != nil {
		return err
	}
	err = diffTable(ctx, base.Pooled(), from.Pooled(),
		edits(w.Pooled, func(p *Pooled) error { return w.DropPooled(p.Key) }))
	if err != nil {
		return err
	}
	return diffTable(ctx, poolCursor(base.Pools()), poolCursor(from.Pools()),
		edits(w.Pool, func(p *Pool) error { return w.DropPool(p.ID) }))
}

// edits writes a changed row, or drops one that is gone.
func edits[R any](put, drop func(*R) error) func(before, after *R) error {
	return func(before, after *R) error {
		if after == nil {
			return drop(before)
		}
		return put(after)
	}
}

// writeChanges writes what an incremental really changes in its base.
func writeChanges(ctx context.Context, w *Writer, base, delta *Reader) error {
	in := base.Cursors()
	if err := copyChanges(ctx, w, in.Blobs, delta.BlobDeltas(), w.Blob); err != nil {
		return err
	}
	if err := copyChanges(ctx, w, in.Registrations, delta.RegistrationDeltas(), w.Registration); err != nil {
		return err
	}
	if err := copyChanges(ctx, w, in.Pooled, delta.PooledDeltas(), w.Pooled); err != nil {
		return err
	}
	return copyChanges(ctx, w, &memory[Pool, *Pool]{rows: base.pools}, delta.PoolDeltas(), w.Pool)
}

func copyTable[R any](ctx context.Context, from Cursor[R], put func(*R) error) error {
	for ctx.Err() == nil {
		for range ctxEvery {
			row, err := from.Next()
			if row == nil || err != nil {
				return err
			}
			if err := put(row); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

func copyChanges[R comparable, P Row[R]](ctx context.Context, w *Writer, base Seeker[R], delta DeltaCursor[R], put func(*R) error) error {
	for looked := 0; ; looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		row, dropped, err := delta.Next()
		if row == nil || err != nil {
			return err
		}
		key := P(row).RowKey()
		old, err := lookUp[R, P](base, key)
		switch {
		case err != nil:
			return err
		case dropped && old != nil:
			err = w.drop(P(row).Table(), key)
		case !dropped && (old == nil || *old != *row):
			err = put(row)
		}
		if err != nil {
			return err
		}
	}
}
