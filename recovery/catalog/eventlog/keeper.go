package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// Snapshot makes a snapshot of the present state and returns it when it is
// durable; it waits for one under way. At the base's own position that is the base.
// An incremental one can only be made in the epoch of its base; else a full one is
// made, and the entry says so.
func (c *Catalog) Snapshot(ctx context.Context, kind snapshot.Kind) (archive.Entry, error) {
	if err := c.take(ctx); err != nil {
		return archive.Entry{}, err
	}
	defer c.giveBack()
	f, err := c.Freeze(ctx)
	if err != nil {
		return archive.Entry{}, err
	}
	return c.make(ctx, kind, f)
}

// take waits until no snapshot is being made, and begins to make one.
func (c *Catalog) take(ctx context.Context) error {
	select {
	case c.making <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Catalog) giveBack() { <-c.making }

// fulfil makes what is wished of the state as it is now: at once where it must be
// this one, and the caller waits, so that a process that ends before it is durable
// finds the position where it was; else beside. A snapshot that cannot be made is
// counted and shown, and stops nothing: an error is that of ctx, or ends the
// catalog.
func (c *Catalog) fulfil(ctx context.Context, w wish) error {
	w.must = w.must || c.cfg.MakeAll
	switch {
	case w.kind == 0:
		return nil
	case w.must:
		if err := c.take(ctx); err != nil {
			return err
		}
	default:
		select {
		case c.making <- struct{}{}:
		default:
			return nil // one at a time
		}
	}
	f, err := c.Freeze(ctx)
	if err != nil {
		c.giveBack()
		return c.missed(ctx, w.kind, err)
	}
	if w.must {
		defer c.giveBack()
		_, _ = c.make(ctx, w.kind, f) // it is on the board
		return errors.Join(c.usable(), context.Cause(ctx))
	}
	c.crew.run(func(ctx context.Context) {
		defer c.giveBack()
		_, _ = c.make(ctx, w.kind, f) // it is on the board
	})
	return nil
}

// missed notes a snapshot that could not be begun, and returns what ends more
// than it.
func (c *Catalog) missed(ctx context.Context, kind snapshot.Kind, err error) error {
	if stop := errors.Join(c.usable(), context.Cause(ctx)); stop != nil {
		return stop
	}
	c.made(kind, 0, 0, err)
	return nil
}

// make makes a snapshot of a frozen state, which it closes, and makes it known. A
// full one becomes the base, and what it makes redundant is removed, in this order
// (hazard 53).
func (c *Catalog) make(ctx context.Context, kind snapshot.Kind, f *Frozen) (e archive.Entry, err error) {
	began := time.Now()
	if !f.exact || f.base.held == nil {
		kind = snapshot.Full
	}
	if kind == snapshot.Incremental {
		e, err = c.makeIncremental(ctx, f)
	} else {
		e, err = c.makeFull(ctx, f)
	}
	err = errors.Join(err, f.Close())
	if err != nil && ctx.Err() != nil {
		return e, context.Cause(ctx) // told to stop
	}
	c.made(kind, f.meta.Position, time.Since(began), err)
	if err != nil {
		return e, err
	}
	c.board.tidied(c.tidy(ctx, kind))
	return e, nil
}

func (c *Catalog) makeIncremental(ctx context.Context, f *Frozen) (archive.Entry, error) {
	if f.draft == nil {
		return f.base.held.Entry, nil
	}
	return c.shelf.CreateIncremental(ctx, f.base.Reader, f.State, archive.CreateOptions{MaxChunk: c.cfg.MaxChunk, Estimate: f.draft.Size()})
}

// makeFull publishes the state and makes it the base.
func (c *Catalog) makeFull(ctx context.Context, f *Frozen) (archive.Entry, error) {
	if f.draft == nil && f.base.held != nil {
		return f.base.held.Entry, nil
	}
	e, err := c.shelf.CreateFull(ctx, f.State, archive.CreateOptions{MaxChunk: c.cfg.MaxChunk, Estimate: f.size()})
	if err != nil {
		return e, err
	}
	c.cfg.between("snapshot in place")
	held, err := c.shelf.OpenEntry(ctx, e)
	if err != nil {
		return e, fmt.Errorf("open the new base: %w", err)
	}
	next := newBase(held.Reader, held, true)
	if have, want := held.Totals(), f.meta.Sums.totals(); have.Certified != want.Certified || have.CertifiedBytes != want.CertifiedBytes || have.Unsized != want.Unsized {
		next.release()
		return e, fmt.Errorf("eventlog: %v holds %d certified blobs of %d bytes, the log counts %d of %d (report this)",
			e.Name, have.Certified, have.CertifiedBytes, want.Certified, want.CertifiedBytes)
	}
	return e, c.switchBase(next)
}

// switchBase lays the delta over another base, whose reference it takes over. From
// then on what the delta says of events up to the base's position is passed over.
func (c *Catalog) switchBase(next *base) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.usable(); err != nil {
		next.release()
		return err
	}
	c.gate.Lock()
	defer c.gate.Unlock()
	var m meta
	err := c.db.update(func(tx *bbolt.Tx) error {
		b, err := bucketsOf(tx)
		if err != nil {
			return err
		}
		if m, err = b.readMeta(); err != nil {
			return err
		}
		if m.Position < next.position() || next.position() < m.Base.Position {
			return fmt.Errorf("eventlog: a base at position %d, between the old one's %d and the catalog's %d", next.position(), m.Base.Position, m.Position)
		}
		m.Base, m.Made, m.Clean = next.Bound(), false, next.clean
		if err := remember(&b, m.Base.Position, m.Base.Digest); err != nil {
			return err
		}
		return b.writeMeta(&m)
	})
	if err != nil {
		next.release()
		return c.wrote(nil, err)
	}
	c.base.release()
	c.base = next
	return c.wrote(&m, nil)
}

// made notes what came of making a snapshot.
func (c *Catalog) made(kind snapshot.Kind, position uint64, took time.Duration, err error) {
	c.board.snapshotted(kind, position, took, c.cfg.RetryEvery, err)
	if err != nil {
		c.tell(SnapshotFailed{Kind: kind, Err: err})
		return
	}
	c.tell(SnapshotMade{Kind: kind, Position: position, Took: took})
}

// tidy removes what a new snapshot has made redundant: rows of the delta, older
// snapshots, and events that no kept full one needs any more.
func (c *Catalog) tidy(ctx context.Context, kind snapshot.Kind) error {
	if kind == snapshot.Full {
		c.cfg.between("base switched")
		if err := c.sweep(ctx); err != nil {
			return fmt.Errorf("remove redundant rows: %w", err)
		}
		c.cfg.between("swept")
	}
	if _, err := c.shelf.Prune(ctx, c.cfg.Retain); err != nil {
		return fmt.Errorf("prune snapshots: %w", err)
	}
	c.cfg.between("snapshots pruned")
	if err := c.pruneLog(ctx); err != nil {
		return fmt.Errorf("prune events: %w", err)
	}
	return nil
}

// Bounds of one transaction that tidies up.
const (
	sweepRows   = 4096
	pruneEvents = 8192
)

// sweep removes the delta's redundant rows, in small transactions. They are
// passed over while they lie there, so it may stop anywhere.
func (c *Catalog) sweep(ctx context.Context) error {
	m := c.board.now()
	upTo := m.Base.Position
	for t := snapshot.Blobs; t <= snapshot.Pools; t++ {
		for from := []byte{}; from != nil; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err := c.update(func(b *buckets, m *meta) (err error) {
				from, err = sweepTable(b.delta[t-1], t, m, upTo, from)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return c.update(func(_ *buckets, m *meta) error {
		m.Swept = max(m.Swept, upTo)
		return nil
	})
}

// sweepTable removes redundant rows from a key on, and returns the key to go on
// from, or nil at the end.
func sweepTable(b *bbolt.Bucket, t snapshot.Table, m *meta, upTo uint64, from []byte) (next []byte, err error) {
	var redundant [][]byte
	cursor := b.Cursor()
	key, value := cursor.Seek(from)
	for looked := 0; key != nil && looked < sweepRows; looked++ {
		touched, err := recordTouched(key, value)
		if err != nil {
			return nil, err
		}
		if touched <= upTo {
			redundant = append(redundant, append([]byte{}, key...))
			m.Delta -= recordHash(t, key, value)
		}
		key, value = cursor.Next()
	}
	if key != nil {
		next = append([]byte{}, key...)
	}
	for _, key := range redundant {
		if err := b.Delete(key); err != nil {
			return nil, err
		}
		if t == snapshot.Pools {
			m.PoolRows--
		}
	}
	return next, nil
}

// pruneLog removes the events that no full snapshot of the archive needs any
// more: those up to the oldest one (hazard 66).
func (c *Catalog) pruneLog(ctx context.Context) error {
	l, err := c.shelf.List(ctx)
	if err != nil {
		return err
	}
	m := c.board.now()
	if m.Made {
		return nil
	}
	upTo := m.Base.Position
	for _, e := range l.Entries {
		if e.Kind == snapshot.Full && e.Status == archive.Complete && e.Bound.Network == m.Network {
			upTo = min(upTo, e.Position)
		}
	}
	for more := true; more; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if m.First > upTo {
			return nil
		}
		err := c.update(func(b *buckets, m *meta) error {
			for n := 0; n < pruneEvents && m.First <= upTo; n++ {
				key := positionKey(m.First)
				raw := b.events.Get(key)
				if raw == nil {
					return damaged("event %d is missing", m.First)
				}
				m.Before = nextChain(m.Before, raw)
				if err := b.events.Delete(key); err != nil {
					return err
				}
				m.First++
			}
			more = m.First <= upTo
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
