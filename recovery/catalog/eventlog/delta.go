package eventlog

import (
	"bytes"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// layers lay a delta over a base.
type layers struct {
	base uint64 // the base's position: records up to it are redundant
	// reborn are the pools that were created under the name of one that had ended
	// and lies there still, each with the event that did so. Rows that were written
	// before are of the old one.
	reborn map[snapshot.PoolID]uint64
}

// over returns the state's cursors, given the base's and the delta's.
func (l *layers) over(in snapshot.Cursors, d deltas) snapshot.Cursors {
	return snapshot.Cursors{
		Blobs:         snapshot.Lay(in.Blobs, d.blobs),
		Registrations: snapshot.Lay(in.Registrations, d.registrations),
		Pooled:        snapshot.Lay[snapshot.Pooled](&fresh{in.Pooled, l}, d.pooled),
	}
}

// deltas are the changes of three tables; pools are held in memory.
type deltas struct {
	blobs         snapshot.DeltaCursor[snapshot.Blob]
	registrations snapshot.DeltaCursor[snapshot.Registration]
	pooled        snapshot.DeltaCursor[snapshot.Pooled]
}

// inLog returns the changes that lie in log.db.
func (l *layers) inLog(b *buckets) deltas {
	return deltas{
		blobs:         newDelta[snapshot.Blob](l, b),
		registrations: newDelta[snapshot.Registration](l, b),
		pooled:        newDelta[snapshot.Pooled](l, b),
	}
}

// fresh passes over the base's rows of pools that were reborn.
type fresh struct {
	snapshot.Seeker[snapshot.Pooled]
	l *layers
}

// Next implements snapshot.Cursor.
func (f *fresh) Next() (*snapshot.Pooled, error) {
	for {
		row, err := f.Seeker.Next()
		if row == nil || err != nil || len(f.l.reborn) == 0 || f.l.reborn[row.Pool] <= f.l.base {
			return row, err
		}
	}
}

// deltaCursor reads a table of the delta. In a write transaction it is good from
// a Seek to the next change.
type deltaCursor[R any, P snapshot.Row[R]] struct {
	l      *layers
	bucket *bbolt.Bucket
	cursor *bbolt.Cursor
	rec    record[R]
	key    []byte // to be read next, with held
	value  []byte
	held   bool
	err    error
}

func newDelta[R any, P snapshot.Row[R]](l *layers, b *buckets) *deltaCursor[R, P] {
	var row P
	return &deltaCursor[R, P]{l: l, bucket: b.delta[row.Table()-1]}
}

// Seek implements snapshot.DeltaCursor.
func (c *deltaCursor[R, P]) Seek(id recovery.BlobID) error {
	c.cursor = c.bucket.Cursor()
	c.key, c.value = c.cursor.Seek(id[:])
	c.held = true
	return c.err
}

// Next implements snapshot.DeltaCursor.
func (c *deltaCursor[R, P]) Next() (*R, bool, error) {
	for c.err == nil {
		switch {
		case c.held:
			c.held = false
		case c.cursor == nil:
			c.cursor = c.bucket.Cursor()
			c.key, c.value = c.cursor.First()
		default:
			c.key, c.value = c.cursor.Next()
		}
		if c.key == nil {
			c.held = true // the end, again and again
			return nil, false, nil
		}
		if c.err = parseRecord[R, P](&c.rec, c.key, c.value); c.err != nil {
			break
		}
		if c.rec.touched > c.l.base {
			return &c.rec.row, c.rec.dropped || c.stale(), nil
		}
	}
	return nil, false, c.err
}

// stale reports whether the record is of a pool that has ended, and of which
// nothing but the name is left.
func (c *deltaCursor[R, P]) stale() bool {
	if len(c.l.reborn) == 0 {
		return false
	}
	p, pooled := any(&c.rec.row).(*snapshot.Pooled)
	return pooled && c.rec.touched < c.l.reborn[p.Pool]
}

// nothing is an empty table.
type nothing[R any] struct{}

// Next implements snapshot.Cursor.
func (nothing[R]) Next() (*R, error) { return nil, nil }

// Seek implements snapshot.Seeker.
func (nothing[R]) Seek(recovery.BlobID) error { return nil }

// sticky makes a seek to where the cursor stands cheap: to an id between the row
// before, or the last seek, and the row read last. So pages that follow one another
// read on, and several looks at one blob read its block once.
type sticky[R any, P snapshot.Row[R]] struct {
	in   snapshot.Seeker[R]
	row  *R       // read last; nil: none since the last seek
	key  [32]byte // its blob
	low  [32]byte // no row lies between this and row
	with bool     // nor at low itself
	held bool     // row is yet to be returned
}

func stickyCursors(c snapshot.Cursors) snapshot.Cursors {
	return snapshot.Cursors{
		Blobs:         &sticky[snapshot.Blob, *snapshot.Blob]{in: c.Blobs, with: true},
		Registrations: &sticky[snapshot.Registration, *snapshot.Registration]{in: c.Registrations, with: true},
		Pooled:        &sticky[snapshot.Pooled, *snapshot.Pooled]{in: c.Pooled, with: true},
	}
}

// Next implements snapshot.Cursor.
func (s *sticky[R, P]) Next() (*R, error) {
	if s.held {
		s.held = false
		return s.row, nil
	}
	if s.row != nil {
		s.low, s.with = s.key, false
	}
	row, err := s.in.Next()
	if s.row = row; row != nil {
		s.key = [32]byte(P(row).RowKey())
	}
	return row, err
}

// Seek implements snapshot.Seeker.
func (s *sticky[R, P]) Seek(id recovery.BlobID) error {
	if low := bytes.Compare(s.low[:], id[:]); s.row != nil && (low < 0 || low == 0 && s.with) && bytes.Compare(id[:], s.key[:]) <= 0 {
		s.held = true
		return nil
	}
	s.row, s.held, s.low, s.with = nil, false, id, true
	return s.in.Seek(id)
}
