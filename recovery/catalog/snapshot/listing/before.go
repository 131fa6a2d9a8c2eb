package listing

import (
	"bytes"
	"context"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// before is a base that is read once, forward: every question must be about a
// higher id than the one before it. A nil one has nothing.
type before struct {
	blobs *walk[snapshot.Blob, *snapshot.Blob]
	regs  *walk[snapshot.Registration, *snapshot.Registration]
	rows  *scanned
}

func newBefore(base *snapshot.Reader) *before {
	return &before{
		blobs: &walk[snapshot.Blob, *snapshot.Blob]{from: base.Blobs()},
		regs:  &walk[snapshot.Registration, *snapshot.Registration]{from: base.Registrations()},
		rows:  &scanned{scan: base.Scan(), page: make([]recovery.Row, 256)},
	}
}

// blob returns the base's row of a blob, or nil.
func (b *before) blob(id recovery.BlobID) (*snapshot.Blob, error) {
	if b == nil {
		return nil, nil
	}
	return b.blobs.find(id[:])
}

// registration returns the base's row with that key, or nil.
func (b *before) registration(k *snapshot.Key) (*snapshot.Registration, error) {
	if b == nil {
		return nil, nil
	}
	return b.regs.find(k[:])
}

// certified returns the blob as it is certified at the base's epoch, or nil.
func (b *before) certified(id recovery.BlobID) (*recovery.Row, error) {
	if b == nil {
		return nil, nil
	}
	return b.rows.find(id)
}

// walk finds rows of one table by rising keys.
type walk[R any, P snapshot.Row[R]] struct {
	from snapshot.Cursor[R]
	row  *R // the last one read
	end  bool
}

func (w *walk[R, P]) find(key []byte) (*R, error) {
	for !w.end {
		if w.row != nil {
			switch bytes.Compare(P(w.row).RowKey(), key) {
			case 0:
				return w.row, nil
			case 1:
				return nil, nil
			}
		}
		row, err := w.from.Next()
		if err != nil {
			return nil, err
		}
		w.row, w.end = row, row == nil
	}
	return nil, nil
}

// scanned finds certified blobs by rising ids.
type scanned struct {
	scan *snapshot.Scan
	page []recovery.Row
	rest []recovery.Row // of the page
	end  bool           // nothing follows the page
}

func (s *scanned) find(id recovery.BlobID) (*recovery.Row, error) {
	for {
		for len(s.rest) > 0 {
			switch s.rest[0].ID.Compare(id) {
			case 0:
				return &s.rest[0], nil
			case 1:
				return nil, nil
			}
			s.rest = s.rest[1:]
		}
		if s.end {
			return nil, nil
		}
		n, end, err := s.scan.Fill(context.Background(), s.page)
		if err != nil {
			return nil, err
		}
		s.rest, s.end = s.page[:n], end
	}
}
