package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// Written says what was published.
type Written struct {
	Bound  recovery.Bound
	Totals Totals
	Names  []string // of the files, in chunk order, without the directory
	Bytes  int64    // of all files
}

// Close ends the snapshot and publishes it durably. Unless its totals are known
// already, it reads the tables of a full snapshot back, which proves that every
// registration has its blob and its pool. After an error, an earlier one included,
// nothing was published, with two exceptions: when only flushing the directory
// failed, names may or may not survive a power cut; and of several chunks those
// before the failure stay, because they may be those of the same snapshot that was
// there before. They are no snapshot without the others.
func (w *Writer) Close() error {
	if w.done {
		return ErrClosed
	}
	err := w.finish()
	if err == nil {
		err = w.publish()
	}
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	w.done, w.open = true, 0
	return w.to.settle()
}

// finish writes all that is still missing.
func (w *Writer) finish() error {
	if w.err != nil {
		return w.err
	}
	if err := w.endBlock(); err != nil {
		return err
	}
	if err := w.flush(w.slab.start); err != nil {
		return err
	}
	digest, err := w.digest.sum(w.head)
	if err != nil {
		return w.fail(err)
	}
	totals, err := w.count()
	if err != nil {
		return w.fail(fmt.Errorf("read snapshot back: %w", err))
	}
	end := trailer{totals: totals, digest: digest}
	w.result.Bound, w.result.Totals = recovery.Bound{Stamp: w.head.Stamp, Digest: end.digest}, totals
	for i, p := range w.parts {
		if c := w.chunk(i); c.Count > 1 {
			if err := p.renumber(w.head, c); err != nil {
				return w.fail(err)
			}
		}
		if err := p.end(end); err != nil {
			return w.fail(err)
		}
		w.result.Bytes += p.offset
	}
	return nil
}

func (w *Writer) chunk(i int) Chunk {
	return Chunk{Number: uint32(i), Count: uint32(len(w.parts))}
}

// count returns the totals; an incremental snapshot has rows only.
func (w *Writer) count() (Totals, error) {
	rows := Totals{Rows: w.digest.counts()}
	switch {
	case w.head.Base != nil:
		return rows, nil
	case w.totals != nil:
		w.totals.Rows = rows.Rows
		return *w.totals, nil
	}
	r := &Reader{head: w.head}
	r.end.totals = rows
	for _, p := range w.parts {
		r.add(&source{d: w.d, src: p.out}, p.index)
	}
	return r.count(context.Background())
}

// publish makes the bytes of every file durable before the first name, and the
// names before it returns.
func (w *Writer) publish() error {
	for _, p := range w.parts {
		if err := p.out.Flush(); err != nil {
			return w.fail(err)
		}
	}
	for i, p := range w.parts {
		name := w.name(w.result.Bound, w.chunk(i))
		err := checkName(name)
		if err == nil {
			err = p.out.Publish(name)
		}
		if err != nil {
			return w.fail(err)
		}
		w.result.Names = append(w.result.Names, name)
	}
	return nil
}
