package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// Options say how a state is written.
type Options struct {
	// MaxChunk is the size of a file above which the snapshot is written as
	// several chunks of at most that size, in bytes; 0: one file, whatever its
	// size. The digest does not depend on it.
	MaxChunk int64
	// Name returns the name of a file once its content is known; the path that
	// was given is its directory's then. Names must not depend on anything else.
	// Nil: the path is the file's, and chunks get names beside it (ChunkName).
	Name func(b recovery.Bound, c Chunk) string
	// Progress is called now and then with the rows written so far, from the
	// goroutine that writes; nil: it is not.
	Progress func(rows uint64)
}

// Chunk is the place of a file in the set that makes up a snapshot.
type Chunk struct {
	Number uint32 // from 0
	Count  uint32 // 1: the file is all of it
}

// Written says what was published.
type Written struct {
	Bound  recovery.Bound
	Totals Totals
	Paths  []string // in chunk order
	Bytes  int64    // of all files
}

// Write publishes a state as a full snapshot at path. Errors wrap ErrKind where
// the state is an incremental Reader, ErrOrder, ErrRow or ErrOrphan where its
// rows are at fault, or are those of reading it, of writing and of ctx; after
// one nothing is published.
func Write(ctx context.Context, path string, s State, o Options) (Written, error) {
	h := s.Header()
	if h.Base != nil {
		return Written{}, fmt.Errorf("%w: an incremental snapshot is no state: lay it over its base", ErrKind)
	}
	return write(ctx, path, h, o, func(ctx context.Context, w *stream) error { return w.state(ctx, s) })
}

// WriteIncremental publishes the difference between a full snapshot and a later
// state of its network as an incremental one: a row for each key that the base
// has not, or has another row of, and a dropped key for each that the state has
// not. So its bytes depend on the two states (and the ancestors) only. Where the
// state is an Overlay over the same base, only what its incremental names is
// looked at. Errors are those of Write, or a *BaseError.
func WriteIncremental(ctx context.Context, path string, base *Reader, s State, o Options) (Written, error) {
	h := s.Header()
	if h.Base != nil {
		return Written{}, fmt.Errorf("%w: an incremental snapshot is no state: lay it over its base", ErrKind)
	}
	have := base.Bound()
	h.Base = &recovery.Ancestor{Position: have.Position, Digest: have.Digest}
	if err := checkBase(base, h, path); err != nil {
		return Written{}, err
	}
	return write(ctx, path, h, o, func(ctx context.Context, w *stream) error {
		if over, ok := s.(*Overlay); ok && over.base.Bound() == have {
			return w.changes(ctx, base, over.delta)
		}
		return w.difference(ctx, base, s)
	})
}

func write(ctx context.Context, path string, h Header, o Options, rows func(context.Context, *stream) error) (Written, error) {
	if o.MaxChunk != 0 {
		return Written{}, errors.ErrUnsupported
	}
	w, err := Create(path, h)
	if err != nil {
		return Written{}, err
	}
	if err := rows(ctx, &stream{w: w, progress: o.Progress}); err != nil {
		return Written{}, errors.Join(err, w.Abort())
	}
	if err := w.Close(); err != nil {
		return Written{}, err
	}
	return Written{Bound: w.Bound(), Totals: w.Totals(), Paths: []string{path}, Bytes: w.offset}, nil
}

// stream copies tables into a writer.
type stream struct {
	w        *Writer
	progress func(rows uint64)
	rows     uint64
}

// state copies all of a state.
func (s *stream) state(ctx context.Context, from State) error {
	if err := copyTable(ctx, s, from.Blobs(), s.w.Blob); err != nil {
		return err
	}
	if err := copyTable(ctx, s, from.Registrations(), s.w.Registration); err != nil {
		return err
	}
	if err := copyTable(ctx, s, from.Pooled(), s.w.Pooled); err != nil {
		return err
	}
	return copyTable(ctx, s, poolCursor(from.Pools()), s.w.Pool)
}

// difference writes how a state differs from a base.
func (s *stream) difference(ctx context.Context, base *Reader, from State) error {
	w := s.w
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

// changes writes what an incremental really changes in its base.
func (s *stream) changes(ctx context.Context, base, delta *Reader) error {
	in := base.Cursors()
	if err := copyChanges(ctx, s, in.Blobs, delta.BlobDeltas(), s.w.Blob); err != nil {
		return err
	}
	if err := copyChanges(ctx, s, in.Registrations, delta.RegistrationDeltas(), s.w.Registration); err != nil {
		return err
	}
	if err := copyChanges(ctx, s, in.Pooled, delta.PooledDeltas(), s.w.Pooled); err != nil {
		return err
	}
	return copyChanges(ctx, s, &memory[Pool, *Pool]{rows: base.pools}, delta.PoolDeltas(), s.w.Pool)
}

func copyTable[R any](ctx context.Context, s *stream, from Cursor[R], put func(*R) error) error {
	for {
		if err := s.step(ctx); err != nil {
			return err
		}
		row, err := from.Next()
		if row == nil || err != nil {
			return err
		}
		if err := put(row); err != nil {
			return err
		}
	}
}

func copyChanges[R comparable, P Row[R]](ctx context.Context, s *stream, base Seeker[R], delta DeltaCursor[R], put func(*R) error) error {
	for {
		if err := s.step(ctx); err != nil {
			return err
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
			err = s.w.drop(P(row).Table(), key)
		case !dropped && (old == nil || *old != *row):
			err = put(row)
		}
		if err != nil {
			return err
		}
	}
}

// progressEvery is how many rows lie between two reports.
const progressEvery = 1 << 16

// step is called before each row.
func (s *stream) step(ctx context.Context) error {
	if s.rows%ctxEvery == 0 && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.rows%progressEvery == 0 && s.progress != nil {
		s.progress(s.rows)
	}
	s.rows++
	return nil
}
