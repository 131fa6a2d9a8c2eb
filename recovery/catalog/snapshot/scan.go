package snapshot

import (
	"context"
	"errors"

	"github.com/recoverd/recoverd/recovery"
)

// Scan yields the certified blobs of a state in id order, from any place. Over a
// file it holds at most one block of each table. One goroutine uses it at a
// time; after an error it is of no more use.
type Scan struct {
	cursors Cursors
	merge   *Merge
	ended   bool              // nothing follows
	place   func(error) error // says where a dangling registration was met
}

// NewScan returns a scan of the state with that stamp and those tables, which
// are its own from now on. It begins before the first blob, where the cursors
// must be. Pools are by rising id.
func NewScan(at recovery.Stamp, c Cursors, pools []Pool) *Scan {
	return &Scan{
		cursors: c, place: func(err error) error { return err },
		merge: NewMerge(MergeConfig{
			Epoch: at.Epoch, Position: at.Position, Pools: pools,
			Blobs: c.Blobs, Registrations: c.Registrations, Pooled: c.Pooled,
		}),
	}
}

// Scan returns a scan that begins before the first blob.
func (r *Reader) Scan() *Scan {
	own := newCursor[Registration](r, Registrations)
	s := NewScan(r.head.Stamp, Cursors{
		Blobs: newCursor[Blob](r, Blobs), Registrations: own, Pooled: newCursor[Pooled](r, PooledRegistrations),
	}, r.pools)
	s.place = func(err error) error { return r.d.at(own.offset(), "%v", err) }
	return s
}

// Seek makes Fill go on with the first certified blob beyond after.
func (s *Scan) Seek(after recovery.Mark) error {
	s.merge.reset()
	s.ended = false
	if after.None() {
		return s.cursors.seek(recovery.BlobID{})
	}
	id, ok := after.ID()
	if ok {
		id, ok = successor(id)
	}
	if !ok {
		s.ended = true
		return nil
	}
	return s.cursors.seek(id)
}

// Fill fills rows with the next certified blobs; see Merge.Fill.
func (s *Scan) Fill(ctx context.Context, rows []recovery.Row) (n int, end bool, err error) {
	if s.ended {
		return 0, true, nil
	}
	n, end, err = s.merge.Fill(ctx, rows)
	return n, end, s.placed(err)
}

// Find reports whether id is certified, and sets row if it is. Rising ids are
// found fastest. Where Fill goes on after it is undefined until the next Seek.
func (s *Scan) Find(id recovery.BlobID, row *recovery.Row) (certified bool, err error) {
	s.merge.reset()
	if err := s.cursors.seek(id); err != nil {
		return false, err
	}
	certified, err = s.merge.find(id, row)
	return certified, s.placed(err)
}

func (s *Scan) placed(err error) error {
	if !errors.Is(err, ErrOrphan) {
		return err
	}
	return s.place(err)
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
