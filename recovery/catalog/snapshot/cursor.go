package snapshot

import (
	"bytes"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// Cursor yields the rows of one table in strictly increasing key order. After
// the last row, and only there, Next returns nil without an error (hazard 10).
// The row is overwritten by the next call. An error sticks.
type Cursor[R any] interface {
	Next() (*R, error)
}

// Seeker is a cursor that can be moved.
type Seeker[R any] interface {
	Cursor[R]
	// Seek makes Next return the first row whose key begins with id or more.
	Seek(id recovery.BlobID) error
}

// DeltaCursor yields what changes in one table, in strictly increasing key
// order: rows to put in, and keys to drop, of which row holds nothing but the
// key. After the last one, and only there, row is nil without an error. The row
// is overwritten by the next call. An error sticks.
type DeltaCursor[R any] interface {
	Next() (row *R, dropped bool, err error)
	// Seek makes Next return the first one whose key begins with id or more.
	Seek(id recovery.BlobID) error
}

// cursor reads a table of a file, one block at a time, into memory of its own.
// By itself it is the cursor of a full snapshot.
type cursor[R any, P Row[R]] struct {
	r       *Reader
	table   Table
	delta   bool           // keys may be dropped
	row     R              // the last row read
	dropped bool           // row is a dropped key
	any     bool           // row is set, and the next row read follows it
	held    bool           // row is yet to be returned
	next    int            // the block after the one being read
	loaded  int            // the block in memory, from 1; 0: none
	raw     []byte         // its memory
	payload []byte         // its rows
	rest    []byte         // those that are left
	left    uint32         // rows in rest
	end     int64          // file offset of the end of its payload
	src     *source        // where the loaded block lies
	tap     *contentDigest // takes every block that is read to its end; nil: none does
	lengths []byte         // of the rows read from the loaded block, for the tap
	err     error
}

// newCursor returns a cursor over a table of r, which holds whole tables.
func newCursor[R any, P Row[R]](r *Reader, t Table) *cursor[R, P] {
	c := &cursor[R, P]{r: r, table: t}
	if base := r.head.Base; base != nil {
		c.err = fmt.Errorf("%w: %s changes the state at position %d, and is read over it", ErrKind, r.d.path, base.Position)
	}
	return c
}

// deltaCursor is the cursor of an incremental snapshot.
type deltaCursor[R any, P Row[R]] struct{ cursor[R, P] }

func newDeltaCursor[R any, P Row[R]](r *Reader, t Table) *deltaCursor[R, P] {
	return &deltaCursor[R, P]{cursor[R, P]{r: r, table: t, delta: r.head.Base != nil}}
}

// Next implements DeltaCursor.
func (c *deltaCursor[R, P]) Next() (row *R, dropped bool, err error) {
	row, err = c.cursor.Next()
	return row, row != nil && c.dropped, err
}

// Next implements Cursor.
func (c *cursor[R, P]) Next() (*R, error) {
	if c.held {
		c.held = false
		return &c.row, nil
	}
	if c.left == 0 || c.err != nil {
		return c.nextBlock()
	}
	n, err := c.parse(false)
	if err != nil {
		return nil, c.damaged(err)
	}
	return c.took(n)
}

// parse reads the row at the beginning of rest.
func (c *cursor[R, P]) parse(first bool) (int, error) {
	if c.delta {
		if c.dropped = len(c.rest) > 1 && c.rest[1]&rowDropped != 0; c.dropped {
			return parseDrop[R, P](&c.row, c.rest, first)
		}
	}
	return P(&c.row).parse(c.rest, first, c.r.head.Position)
}

// took ends the reading of a row of n bytes.
func (c *cursor[R, P]) took(n int) (*R, error) {
	c.rest = c.rest[n:]
	c.left--
	if c.tap != nil {
		c.tapped(n)
	}
	if c.left == 0 && len(c.rest) > 0 {
		c.err = c.at("%d bytes follow the last row of a block of %v", len(c.rest), c.table)
		return nil, c.err
	}
	return &c.row, nil
}

// tapped gives the block to the tap after its last row. This one took n bytes.
func (c *cursor[R, P]) tapped(n int) {
	c.lengths = append(c.lengths, byte(n))
	if c.left == 0 && len(c.rest) == 0 {
		c.tap.add(hashJob{
			from: c.src.src, d: c.src.d, table: c.table, block: c.r.index.of(c.table)[c.next-1], lengths: c.lengths,
		})
		c.lengths = c.tap.lengths()
	}
}

// nextBlock enters the next block and reads its first row.
func (c *cursor[R, P]) nextBlock() (*R, error) {
	blocks := c.r.index.of(c.table)
	if c.err != nil || c.next == len(blocks) {
		return nil, c.err
	}
	b := blocks[c.next]
	if c.loaded != c.next+1 {
		if c.err = c.load(b); c.err != nil {
			return nil, c.err
		}
	}
	c.next++
	c.lengths = c.lengths[:0]
	c.rest, c.left, c.end = c.payload, b.rows, b.end()-crcLength
	return c.firstRow(b)
}

// load reads a block and proves it.
func (c *cursor[R, P]) load(b block) (err error) {
	if cap(c.raw) < int(b.length) {
		c.raw = make([]byte, b.length, max(int(b.length), c.blockCap()))
	}
	raw := c.raw[:b.length]
	c.src, c.loaded = c.r.sources[b.file], 0
	if err := readFull(c.src.src, raw, b.offset); err != nil {
		return c.src.d.read(b.offset, "table "+c.table.String(), err)
	}
	if c.payload, err = openBlock(raw, c.table, b, c.src.d); err == nil {
		c.loaded = c.next + 1
	}
	return err
}

// blockCap avoids growing: full blocks differ a little in length.
func (c *cursor[R, P]) blockCap() int {
	if len(c.r.index.of(c.table)) > 1 {
		return blockMax
	}
	return 0
}

// firstRow reads a block's first row, which shares nothing with the one before
// it but must follow it.
func (c *cursor[R, P]) firstRow(b block) (*R, error) {
	var before [64]byte
	key := P(&c.row).RowKey()
	copy(before[:], key)
	n, err := c.parse(true)
	switch {
	case err != nil:
		return nil, c.damaged(err)
	case c.any && !rising(before[:len(key)], key):
		return nil, c.damaged(errRising(bytes.Clone(before[:len(key)]), key))
	case !bytes.Equal(key[:32], b.first[:]):
		c.err = c.at("a block of %v begins with %x, its index entry says %x", c.table, key[:32], b.first)
		return nil, c.err
	}
	c.any = true
	return c.took(n)
}

// Seek implements Seeker. It reads at most the block where that row must be,
// from its beginning, and goes on from the present row where that is nearer.
func (c *cursor[R, P]) Seek(id recovery.BlobID) error {
	if c.err != nil {
		return c.err
	}
	target := c.r.index.seek(c.table, id)
	if c.any && target == c.next-1 {
		key := P(&c.row).RowKey()
		switch order := bytes.Compare(key[:32], id[:]); {
		case order == 0 && len(key) == 32:
			c.held = true
			return nil
		case order < 0:
			return c.skip(id)
		}
	}
	c.next, c.left, c.any = target, 0, false
	return c.skip(id)
}

// skip reads on to the first row whose key begins with id or more.
func (c *cursor[R, P]) skip(id recovery.BlobID) error {
	c.held = false
	for {
		row, err := c.Next()
		if row == nil || err != nil {
			return err
		}
		if bytes.Compare(P(row).RowKey()[:32], id[:]) >= 0 {
			c.held = true
			return nil
		}
	}
}

func (c *cursor[R, P]) damaged(err error) error {
	c.err = c.at("table %v: %v", c.table, err)
	return c.err
}

// offset is where the next row begins in the file.
func (c *cursor[R, P]) offset() int64 { return c.end - int64(len(c.rest)) }

// at is an error at the next row, or in a table without one.
func (c *cursor[R, P]) at(format string, args ...any) error {
	d := c.r.d
	if c.src != nil {
		d = c.src.d
	}
	return d.at(c.offset(), format, args...)
}

// gainedAt is a row's gained position, given the snapshot's: unknown counts as
// the newest (DESIGN 1).
func gainedAt(gained, position uint64) uint64 {
	if gained == 0 {
		return position
	}
	return gained
}
