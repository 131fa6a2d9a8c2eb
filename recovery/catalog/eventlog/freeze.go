package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Frozen is the canonical state at one position, which stands still while the
// catalog moves on. Its files have no names; the caller closes it.
type Frozen struct {
	snapshot.State
	meta  meta
	base  *base
	draft *snapshot.Reader // the delta, as it lay there; nil: there is none
	exact bool             // State is the base with the draft over it, as they are
}

// Close gives back what the state lies in.
func (f *Frozen) Close() error {
	f.base.release()
	if f.draft == nil {
		return nil
	}
	return f.draft.Close()
}

// Bound names the state as Pin would.
func (f *Frozen) Bound() recovery.Bound {
	return recovery.Bound{Stamp: f.meta.Stamp, Digest: f.meta.Chain}
}

// size is about how many bytes a full snapshot of it takes.
func (f *Frozen) size() int64 {
	n := f.base.Size()
	if f.draft != nil {
		n += f.draft.Size()
	}
	return n
}

// Freeze returns the present state, to be exported or written down. It copies the
// delta in one read transaction; pages are given meanwhile. What is written from
// it does not depend on how it was reached: not on the base, nor on batches.
func (c *Catalog) Freeze(ctx context.Context) (*Frozen, error) {
	f := &Frozen{}
	err := c.read(ctx, func(v *view) (err error) {
		f.meta, f.base = v.meta, v.base.retain()
		f.State, f.exact = v.base.Reader, v.base.clean && v.meta.Epoch == v.base.Header().Epoch
		if v.meta.Position > v.base.position() {
			if f.draft, err = v.draft(ctx, c.cfg.Dir); err != nil {
				return fmt.Errorf("copy the delta: %w", err)
			}
			return f.lay(v)
		}
		if !f.exact {
			f.State = v.base.canonical()
		}
		return nil
	})
	if err == nil {
		return f, nil
	}
	if f.base != nil {
		err = errors.Join(err, f.Close())
	}
	return nil, err
}

// canonical is the base's state without what has ended in it. Only of the base's
// own position is that said here.
func (b *base) canonical() *filtered {
	at := b.Header().Stamp
	return &filtered{head: snapshot.Header{Stamp: at}, raw: b.Cursors, by: newFilter(at, at.Position, b.Reader.Pools())}
}

// lay makes the state of base and draft.
func (f *Frozen) lay(v *view) error {
	if f.exact {
		over, err := snapshot.Over(f.base.Reader, f.draft)
		f.State = over
		return err
	}
	// What has ended is in the base still: the state is sifted.
	l, bs, draft := v.layers(), f.base, f.draft
	f.State = &filtered{
		head: snapshot.Header{Stamp: v.meta.Stamp}, by: newFilter(v.meta.Stamp, l.base, v.pools.all),
		raw: func() snapshot.Cursors {
			return l.over(bs.Cursors(), deltas{draft.BlobDeltas(), draft.RegistrationDeltas(), draft.PooledDeltas()})
		},
	}
	return nil
}

// draft copies the delta into a file in the form of an incremental snapshot.
func (v *view) draft(ctx context.Context, dir string) (*snapshot.Reader, error) {
	at := v.base.Bound()
	head := snapshot.Header{Stamp: v.meta.Stamp, Base: &recovery.Ancestor{Position: at.Position, Digest: at.Digest}}
	return unnamed(dir, head, func(w *snapshot.Writer) error {
		l := v.layers()
		d := l.inLog(&v.b)
		err := copyDelta(ctx, d.blobs, w.Blob, func(b *snapshot.Blob) error { return w.DropBlob(b.ID) })
		if err == nil {
			err = copyDelta(ctx, d.registrations, w.Registration, func(r *snapshot.Registration) error { return w.DropRegistration(r.Key) })
		}
		if err == nil {
			err = copyDelta(ctx, d.pooled, w.Pooled, func(p *snapshot.Pooled) error { return w.DropPooled(p.Key) })
		}
		if err == nil {
			err = copyDelta(ctx, newDelta[snapshot.Pool](l, &v.b), w.Pool, func(p *snapshot.Pool) error { return w.DropPool(p.ID) })
		}
		return err
	})
}

func copyDelta[R any](ctx context.Context, from snapshot.DeltaCursor[R], put, drop func(*R) error) error {
	for looked := 0; ; looked++ {
		if looked%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		row, dropped, err := from.Next()
		switch {
		case row == nil || err != nil:
			return err
		case dropped:
			err = drop(row)
		default:
			err = put(row)
		}
		if err != nil {
			return err
		}
	}
}
