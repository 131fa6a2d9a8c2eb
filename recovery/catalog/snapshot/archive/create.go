package archive

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// CreateOptions say how a snapshot is made.
type CreateOptions struct {
	// MaxChunk bounds each file, in bytes; default: one file.
	MaxChunk int64
	// Estimate is what the snapshot will about take, in bytes. Default for a full
	// one: the size of the newest one; for an incremental one: nothing.
	Estimate int64
	// Progress is called now and then with the rows written; nil: it is not.
	Progress func(rows uint64)
}

// CreateFull publishes a state as a full snapshot under the name that its own
// position and content give it (hazard 52). It is durable, and listed, when
// CreateFull returns; before, and after any error, nothing of it is, and what
// was there is as it was. Where the same snapshot is there already, that one is
// returned.
//
// Errors wrap ErrBusy, are a *SpaceError or a *RivalError, or are those of
// reading the state, of writing and of ctx.
func (a *Archive) CreateFull(ctx context.Context, s snapshot.State, o CreateOptions) (Entry, error) {
	return a.create(ctx, o, nil, func(dir string, so snapshot.Options) (snapshot.Written, error) {
		return snapshot.Write(ctx, dir, s, so)
	})
}

// CreateIncremental publishes the difference between a full snapshot and a
// later state. Errors are those of CreateFull, or a *snapshot.BaseError.
func (a *Archive) CreateIncremental(ctx context.Context, base *snapshot.Reader, s snapshot.State, o CreateOptions) (Entry, error) {
	b := base.Bound()
	return a.create(ctx, o, &recovery.Ancestor{Position: b.Position, Digest: b.Digest},
		func(dir string, so snapshot.Options) (snapshot.Written, error) {
			return snapshot.WriteIncremental(ctx, dir, base, s, so)
		})
}

type writeFunc func(dir string, o snapshot.Options) (snapshot.Written, error)

// create makes one attempt.
func (a *Archive) create(ctx context.Context, o CreateOptions, base *recovery.Ancestor, write writeFunc) (e Entry, err error) {
	d, err := a.takeDraft(createDraft)
	if err != nil {
		a.failed.Store(a.failed.Load() || !errors.Is(err, ErrBusy))
		return Entry{}, err
	}
	defer func() {
		a.failed.Store(err != nil)
		// A draft that cannot be removed is no reason to doubt what was published:
		// the next attempt empties it.
		if drop := d.drop(); err != nil {
			err = errors.Join(err, drop)
		}
	}()
	if err := d.empty(); err != nil {
		return Entry{}, err
	}
	if err := a.guard(ctx, o.Estimate, base); err != nil {
		return Entry{}, err
	}
	w, err := write(d.dir, snapshot.Options{
		MaxChunk: o.MaxChunk, Progress: o.Progress,
		Name: func(b recovery.Bound, c snapshot.Chunk) string {
			return fileOf(nameOf(snapshot.Header{Stamp: b.Stamp, Base: base}, b.Digest), c).String()
		},
	})
	if err != nil {
		return Entry{}, fmt.Errorf("write snapshot: %w", err)
	}
	paths := make([]string, len(w.Names))
	for i, name := range w.Names {
		paths[i] = filepath.Join(d.dir, name)
	}
	return a.publish(ctx, d, paths)
}

// guard refuses to begin where the disk would become too full (hazard 51).
func (a *Archive) guard(ctx context.Context, need int64, base *recovery.Ancestor) error {
	if need == 0 && base == nil {
		l, err := a.List(ctx)
		if err != nil {
			return err
		}
		for _, e := range l.Entries {
			if e.Kind == snapshot.Full && e.Status == Complete {
				need = e.Size
			}
		}
	}
	return a.Room(need)
}

// nameOf is what a snapshot must be called.
func nameOf(h snapshot.Header, digest recovery.Digest) Name {
	n := Name{Kind: h.Kind(), Position: h.Position, Digest: ShortOf(digest)}
	if h.Base != nil {
		n.Base = h.Base.Position
	}
	return n
}

func fileOf(n Name, c snapshot.Chunk) File {
	if c.Count == 1 {
		return File{Name: n}
	}
	return File{Name: n, Chunk: int(c.Number) + 1, Chunks: int(c.Count)}
}
