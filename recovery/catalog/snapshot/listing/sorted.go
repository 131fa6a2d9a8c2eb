package listing

import (
	"bytes"
	"context"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/spill"
)

// sorted yields the rows of a list by rising id, each blob once.
type sorted struct {
	path    string
	unsized bool // the list's numbers turned out to be no sizes
	cursor  *spill.Cursor
	err     error
	next    []byte // read ahead; nil: the end
	row     Row
	repeats uint64 // lines that say what another one has said
}

func newSorted(path string, s *spill.Sorter, unsized bool) *sorted {
	c := &sorted{path: path, unsized: unsized}
	if c.cursor, c.err = s.Cursor(); c.err == nil {
		c.next, c.err = c.cursor.Next()
	}
	return c
}

// Next returns the next row, which the call after it overwrites; nil at the end.
// Lines that contradict each other are an error that names both.
func (c *sorted) Next() (*Row, error) {
	if c.err != nil || c.next == nil {
		return nil, c.err
	}
	c.take(&c.row)
	var again Row
	for c.err == nil && c.next != nil && bytes.Equal(c.next[:32], c.row.ID[:]) {
		c.take(&again)
		c.repeats++
		if how := c.row.differs(&again); how != "" {
			first, second := c.row.Line, again.Line
			if first > second {
				first, second = second, first
			}
			c.err = &LineError{Path: c.path, Line: second, What: fmt.Sprintf("blob %v is listed in line %d too, and they say %s", c.row.ID, first, how)}
		}
		// Among equal ones the lowest line stands first, and a known size.
	}
	return &c.row, c.err
}

func (c *sorted) take(r *Row) {
	r.setRecord(c.next)
	if c.unsized {
		r.Size = recovery.SizeUnknown
	}
	c.next, c.err = c.cursor.Next()
}

// each calls visit with every row.
func (c *sorted) each(ctx context.Context, visit func(*Row) error) error {
	for looked := 0; ; looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		row, err := c.Next()
		if row == nil || err != nil {
			return err
		}
		if err := visit(row); err != nil {
			return err
		}
	}
}
