package spill

import (
	"bufio"
	"bytes"
	"container/heap"
	"fmt"
	"io"
)

// Cursor yields the records in rising order; equal ones follow one another.
type Cursor struct {
	s    *Sorter
	next int     // of the records held, where nothing was spilled
	runs streams // by rising head
	last []byte  // what the latest Next returned
	err  error
}

// stream is a run that is being read.
type stream struct {
	src  *bufio.Reader
	left int64  // records after head
	head []byte // the next record
}

// Buffers of runs while they are read: as large as the memory allows.
const (
	readBufferMin = 4 << 10
	readBufferMax = 256 << 10
)

// newCursor reads the head of every run. Two cursors share the memory: a merge
// of tables reads two at once.
func newCursor(s *Sorter) (*Cursor, error) {
	c := &Cursor{s: s, last: make([]byte, s.cfg.Record)}
	for _, r := range s.runs {
		size := min(max(s.cfg.Memory/2/len(s.runs), readBufferMin), readBufferMax)
		st := &stream{
			src:  bufio.NewReaderSize(io.NewSectionReader(s.file, r.from, r.to-r.from), size),
			left: (r.to - r.from) / int64(s.cfg.Record), head: make([]byte, s.cfg.Record),
		}
		if err := c.advance(st); err != nil {
			return nil, err
		}
		c.runs = append(c.runs, st)
	}
	heap.Init(&c.runs)
	return c, nil
}

// Next returns the next record, which is valid until the next call; nil without
// an error after the last one. An error sticks.
func (c *Cursor) Next() ([]byte, error) {
	switch {
	case c.err != nil:
		return nil, c.err
	case c.next < len(c.s.order):
		c.next++
		return c.s.at(c.s.order[c.next-1].at), nil
	case len(c.runs) == 0:
		return nil, nil
	}
	first := c.runs[0]
	copy(c.last, first.head)
	if first.left == 0 {
		heap.Pop(&c.runs)
		return c.last, nil
	}
	if c.err = c.advance(first); c.err != nil {
		return nil, c.err
	}
	heap.Fix(&c.runs, 0)
	return c.last, nil
}

// advance reads a run's next record; the run has one.
func (c *Cursor) advance(st *stream) error {
	if _, err := io.ReadFull(st.src, st.head); err != nil {
		return fmt.Errorf("sort in %s: read back: %w", c.s.cfg.Dir, err)
	}
	st.left--
	return nil
}

// streams is a heap.
type streams []*stream

func (h streams) Len() int           { return len(h) }
func (h streams) Less(i, j int) bool { return bytes.Compare(h[i].head, h[j].head) < 0 }
func (h streams) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *streams) Push(x any)        { *h = append(*h, x.(*stream)) }

func (h *streams) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
