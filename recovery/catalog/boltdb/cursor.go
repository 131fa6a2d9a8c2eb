package boltdb

import (
	"bytes"
	"encoding/binary"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// cursor reads a table. Each row that it yields is proven to be the one that
// follows the row before, and the end to follow the table's last row.
type cursor[R any, P snapshot.Row[R]] struct {
	walk   walk
	sums   *sums
	last   []byte // the table's last key; empty: it has no rows
	row    R
	before []byte // the key of the row before the walk's
	begun  bool   // the walk is somewhere, or was
	ended  bool
	held   bool // the walk's row is yet to be yielded
	err    error
}

// newCursor returns a cursor before the first row.
func newCursor[R any, P snapshot.Row[R]](r *Reader) *cursor[R, P] {
	t := P(new(R)).Table()
	return &cursor[R, P]{
		walk: walk{pages: r.pages, tree: r.tables[t-1]}, sums: newSums(t), last: r.state.LastKeys[t.String()],
	}
}

// Next implements snapshot.Cursor.
func (c *cursor[R, P]) Next() (*R, error) {
	if c.err != nil || c.ended {
		return nil, c.err
	}
	ok := c.held
	switch {
	case c.held:
		c.held = false
	case c.begun:
		c.before = append(c.before[:0], P(&c.row).RowKey()...)
		ok, c.err = c.walk.next()
	default:
		c.begun, c.before = true, c.before[:0]
		ok, c.err = c.walk.first()
	}
	if c.err == nil && ok {
		c.err = c.read()
	}
	if c.err == nil && !ok {
		c.ended = true
		c.err = c.end()
	}
	if c.err != nil || c.ended {
		return nil, c.err
	}
	return &c.row, nil
}

// read reads the walk's row and proves it.
func (c *cursor[R, P]) read() error {
	at := c.walk.at()
	flags, key, value, err := c.walk.element()
	switch {
	case err != nil:
		return err
	case flags != 0 || len(value) < sumLength || len(key) != keyLength(c.sums.table):
		return c.walk.pages.damage(at.id, "element %d is not a row of %v", at.i, c.sums.table)
	case binary.BigEndian.Uint32(value) != c.sums.of(c.before, key, value[sumLength:]):
		return c.walk.pages.damage(at.id, "the checksum of row %x of %v is wrong, or rows are missing after %x", key, c.sums.table, c.before)
	case bytes.Compare(c.before, key) >= 0:
		return c.walk.pages.damage(at.id, "row %x of %v follows %x", key, c.sums.table, c.before)
	}
	if err := snapshot.ParseValue(P(&c.row), key, value[sumLength:]); err != nil {
		return c.walk.pages.damage(at.id, "%v", err)
	}
	return nil
}

// end proves that nothing is missing after the last row that was read.
func (c *cursor[R, P]) end() error {
	if !bytes.Equal(c.before, c.last) {
		return c.walk.pages.damage(c.walk.tree.root, "table %v ends after %x, and not after %x", c.sums.table, c.before, c.last)
	}
	return nil
}

// Seek implements snapshot.Seeker. It reads a page of each level, and perhaps
// the leaf before, unless it holds them already. A branch may lead it astray: so
// it proves that id lies between the row it found and the row before that.
func (c *cursor[R, P]) Seek(id recovery.BlobID) error {
	if c.err != nil {
		return c.err
	}
	c.begun, c.ended, c.held, c.before = true, false, false, c.before[:0]
	ok, err := c.walk.seek(id[:])
	switch {
	case err != nil:
		c.err = err
	case ok:
		c.held = true
		c.err = c.surround(id)
	default:
		c.ended = true
		c.before = append(c.before, c.last...)
		if len(c.last) > 0 && bytes.Compare(c.last, id[:]) >= 0 {
			c.err = c.walk.pages.damage(c.walk.tree.root, "table %v has no row from %v on, and ends with %x", c.sums.table, id, c.last)
		}
	}
	return c.err
}

// surround sets before to the key of the row before the walk's, and proves that
// id lies between the two.
func (c *cursor[R, P]) surround(id recovery.BlobID) error {
	leaf := c.walk.at().id
	_, key, _, err := c.walk.element()
	if err != nil {
		return err
	}
	low := bytes.Compare(key, id[:]) < 0
	there, err := c.walk.previous()
	if err != nil {
		return err
	}
	if there {
		if _, key, _, err = c.walk.element(); err != nil {
			return err
		}
		c.before = append(c.before, key...)
		_, err = c.walk.next()
	} else { // it is the table's first row
		_, err = c.walk.first()
	}
	if err == nil && (low || there && bytes.Compare(c.before, id[:]) >= 0) {
		err = c.walk.pages.damage(leaf, "the branches of table %v lead from %v to another place", c.sums.table, id)
	}
	return err
}
