package snapshot

import (
	"context"
	"errors"

	"github.com/recoverd/recoverd/recovery"
)

// Scan yields the certified blobs of a file in id order, from any place. It
// holds at most one block of each table. One goroutine uses it at a time; after
// an error it is of no more use.
type Scan struct {
	r      *Reader
	blobs  *cursor[Blob, *Blob]
	own    *cursor[Registration, *Registration]
	pooled *cursor[Pooled, *Pooled]
	merge  *Merge
}

// Scan returns a scan that begins before the first blob.
func (r *Reader) Scan() *Scan {
	s := &Scan{
		r: r, blobs: newCursor[Blob](r, Blobs), own: newCursor[Registration](r, Registrations),
		pooled: newCursor[Pooled](r, PooledRegistrations),
	}
	s.merge = NewMerge(MergeConfig{
		Epoch: r.head.Epoch, Position: r.head.Position, Pools: r.pools,
		Blobs: s.blobs, Registrations: s.own, Pooled: s.pooled,
	})
	return s
}

// Seek makes Fill go on with the first certified blob beyond after.
func (s *Scan) Seek(after recovery.Mark) error {
	s.merge.reset()
	if after.None() {
		s.blobs.rewind()
		s.own.rewind()
		s.pooled.rewind()
		return nil
	}
	id, ok := after.ID()
	if ok {
		id, ok = successor(id)
	}
	if !ok {
		s.blobs.seekEnd()
		s.own.seekEnd()
		s.pooled.seekEnd()
		return nil
	}
	return s.seek(id)
}

func (s *Scan) seek(id recovery.BlobID) error {
	if err := s.blobs.seek(id); err != nil {
		return err
	}
	if err := s.own.seek(id); err != nil {
		return err
	}
	return s.pooled.seek(id)
}

// Fill fills rows with the next certified blobs; see Merge.Fill.
func (s *Scan) Fill(ctx context.Context, rows []recovery.Row) (n int, end bool, err error) {
	n, end, err = s.merge.Fill(ctx, rows)
	return n, end, s.place(err)
}

// Find reports whether id is certified, and sets row if it is. Rising ids are
// found fastest. Where Fill goes on after it is undefined until the next Seek.
func (s *Scan) Find(id recovery.BlobID, row *recovery.Row) (certified bool, err error) {
	s.merge.reset()
	if err := s.seek(id); err != nil {
		return false, err
	}
	if !s.blobs.held || s.blobs.row.ID != id {
		if s.own.held && s.own.row.Key.Blob() == id {
			return false, s.place(orphan(&s.own.row.Key))
		}
		if s.pooled.held && s.pooled.row.Key.Blob() == id {
			return false, s.place(orphan(&s.pooled.row.Key))
		}
		return false, nil
	}
	_, certified, err = s.merge.step(row)
	return certified, s.place(err)
}

// place says where in the file a dangling registration was met.
func (s *Scan) place(err error) error {
	if !errors.Is(err, ErrOrphan) {
		return err
	}
	return s.r.d.at(s.own.offset(), "%v", err)
}

// successor returns the id just above; ok is false for the highest one.
func successor(id recovery.BlobID) (next recovery.BlobID, ok bool) {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			return id, true
		}
	}
	return recovery.BlobID{}, false
}
