package snapshot

import (
	"bytes"

	"github.com/recoverd/recoverd/recovery"
)

// Lookup finds single rows by their keys. Rising keys are found fastest; a key
// anywhere costs the reading of a block of its table at most. One goroutine uses
// it at a time. A row that it returns is valid until the next call, and nil
// where there is none.
type Lookup struct {
	cursors Cursors
	pools   []Pool // by rising id
}

// NewLookup returns look-ups in a state; the cursors are its own from now on.
func NewLookup(c Cursors, pools []Pool) *Lookup { return &Lookup{c, pools} }

// Blob finds a row of the blobs table.
func (l *Lookup) Blob(id recovery.BlobID) (*Blob, error) { return lookUp(l.cursors.Blobs, id[:]) }

// Registration finds a row of the registrations table.
func (l *Lookup) Registration(k Key) (*Registration, error) {
	return lookUp(l.cursors.Registrations, k[:])
}

// Pooled finds a row of the pooled table.
func (l *Lookup) Pooled(k Key) (*Pooled, error) { return lookUp(l.cursors.Pooled, k[:]) }

// Pool finds a row of the pools table.
func (l *Lookup) Pool(id PoolID) *Pool { return findPool(l.pools, id) }

// lookUp finds a row by its key.
func lookUp[R any, P Row[R]](c Seeker[R], key []byte) (P, error) {
	if err := c.Seek(recovery.BlobID(key[:32])); err != nil {
		return nil, err
	}
	for {
		row, err := c.Next()
		if row == nil || err != nil {
			return nil, err
		}
		switch bytes.Compare(P(row).RowKey(), key) {
		case 0:
			return row, nil
		case 1:
			return nil, nil
		}
	}
}

// memory is a table held in memory.
type memory[R any, P Row[R]] struct {
	rows []R // all of them
	next int
}

// Next implements Cursor.
func (m *memory[R, P]) Next() (*R, error) {
	if m.next == len(m.rows) {
		return nil, nil
	}
	m.next++
	return &m.rows[m.next-1], nil
}

// Seek implements Seeker.
func (m *memory[R, P]) Seek(id recovery.BlobID) error {
	m.next = lowerBound[R, P](m.rows, id[:])
	return nil
}
