package walrus

import (
	"bytes"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/spill"
)

// Registrations implements snapshot.State.
func (s *State) Registrations() snapshot.Cursor[snapshot.Registration] {
	c := &registrations{state: s, records: newAhead(s.objects)}
	if s.base != nil {
		c.old = s.base.Registrations()
	}
	return c
}

// registrations turns records into rows.
type registrations struct {
	state   *State
	records *ahead
	old     snapshot.Cursor[snapshot.Registration] // the base's; nil: none
	before  *snapshot.Registration                 // its row that is not below the present one
	row     snapshot.Registration
}

// Next implements snapshot.Cursor.
func (c *registrations) Next() (*snapshot.Registration, error) {
	record, err := c.records.take()
	if record == nil || err != nil {
		return nil, err
	}
	setRegistration(&c.row, record)
	for c.old != nil && (c.before == nil || bytes.Compare(c.before.Key[:], c.row.Key[:]) < 0) {
		if c.before, err = c.old.Next(); err != nil {
			return nil, err
		}
		if c.before == nil {
			c.old = nil
		}
	}
	if b := c.before; b != nil && b.Key == c.row.Key && kept(b, &c.row) {
		c.row.Gained = c.state.gained(b.Gained)
	}
	return &c.row, nil
}

// kept reports whether a certification was neither made nor lengthened since.
func kept(old, now *snapshot.Registration) bool {
	return old.Certified && now.Certified && old.CertifiedEpoch == now.CertifiedEpoch && old.EndEpoch >= now.EndEpoch &&
		(!old.Deleted || now.Deleted)
}

// Pooled implements snapshot.State.
func (s *State) Pooled() snapshot.Cursor[snapshot.Pooled] {
	c := &pooled{state: s, records: newAhead(s.pooled)}
	if s.base != nil {
		c.old = s.base.Pooled()
	}
	return c
}

// pooled is registrations for those that live with a pool.
type pooled struct {
	state   *State
	records *ahead
	old     snapshot.Cursor[snapshot.Pooled]
	before  *snapshot.Pooled
	row     snapshot.Pooled
}

// Next implements snapshot.Cursor.
func (c *pooled) Next() (*snapshot.Pooled, error) {
	record, err := c.records.take()
	if record == nil || err != nil {
		return nil, err
	}
	setPooled(&c.row, record)
	for c.old != nil && (c.before == nil || bytes.Compare(c.before.Key[:], c.row.Key[:]) < 0) {
		if c.before, err = c.old.Next(); err != nil {
			return nil, err
		}
		if c.before == nil {
			c.old = nil
		}
	}
	if b := c.before; b != nil && b.Key == c.row.Key && b.Certified && b.CertifiedEpoch == c.row.CertifiedEpoch &&
		b.Pool == c.row.Pool && c.row.Certified {
		c.row.Gained = c.state.gained(b.Gained)
	}
	return &c.row, nil
}

// Blobs implements snapshot.State: every blob that is registered, and those that
// the base knows to be invalidated.
func (s *State) Blobs() snapshot.Cursor[snapshot.Blob] {
	c := &blobs{own: newAhead(s.objects), pooled: newAhead(s.pooled)}
	if s.base != nil {
		c.old, c.path = s.base.Blobs(), s.base.Path()
	}
	return c
}

// blobs merges the ids of both tables and the base's rows.
type blobs struct {
	own, pooled *ahead
	old         snapshot.Cursor[snapshot.Blob] // the base's; nil: none
	path        string                         // of the base
	before      *snapshot.Blob                 // its next row
	row         snapshot.Blob
}

// Next implements snapshot.Cursor.
func (c *blobs) Next() (*snapshot.Blob, error) {
	for {
		id, registered, err := c.lowest()
		if err != nil {
			return nil, err
		}
		if c.old != nil && c.before == nil {
			if c.before, err = c.old.Next(); err != nil {
				return nil, err
			}
			if c.before == nil {
				c.old = nil
			}
		}
		switch b := c.before; {
		case b != nil && (!registered || b.ID.Compare(id) < 0): // only in the base
			c.row, c.before = *b, nil
			if c.row.Invalidated != 0 {
				return &c.row, nil
			}
		case !registered:
			return nil, nil
		case b != nil && b.ID == id:
			c.row, c.before = *b, nil
			if c.row.Encoding != recovery.Walrus {
				return nil, fmt.Errorf("%w: blob %v is %v in %s", ErrBase, id, c.row.Encoding, c.path)
			}
			return &c.row, c.skip(id)
		default:
			c.row = snapshot.Blob{Blob: recovery.Blob{ID: id, Size: recovery.SizeUnknown, Encoding: recovery.Walrus}}
			return &c.row, c.skip(id)
		}
	}
}

// lowest returns the lowest id that is registered and was not skipped.
func (c *blobs) lowest() (id recovery.BlobID, there bool, err error) {
	for _, a := range []*ahead{c.own, c.pooled} {
		record, err := a.peek()
		if err != nil {
			return id, false, err
		}
		if record != nil && (!there || bytes.Compare(record[:32], id[:]) < 0) {
			id, there = recovery.BlobID(record[:32]), true
		}
	}
	return id, there, nil
}

// skip takes every record of a blob.
func (c *blobs) skip(id recovery.BlobID) error {
	for _, a := range []*ahead{c.own, c.pooled} {
		for {
			record, err := a.peek()
			if err != nil {
				return err
			}
			if record == nil || !bytes.Equal(record[:32], id[:]) {
				break
			}
			if _, err := a.take(); err != nil {
				return err
			}
		}
	}
	return nil
}

// ahead reads sorted records one ahead.
type ahead struct {
	cursor *spill.Cursor
	next   []byte
	held   bool // next was read and not taken
	err    error
}

func newAhead(s *spill.Sorter) *ahead {
	c, err := s.Cursor()
	return &ahead{cursor: c, err: err}
}

// peek returns the next record without taking it; nil at the end.
func (a *ahead) peek() ([]byte, error) {
	if !a.held && a.err == nil {
		a.next, a.err = a.cursor.Next()
		a.held = a.err == nil
	}
	return a.next, a.err
}

// take returns the next record, which is valid until the next call.
func (a *ahead) take() ([]byte, error) {
	record, err := a.peek()
	a.held = false
	return record, err
}
