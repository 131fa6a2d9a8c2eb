package snapshot

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// part is one file of a snapshot under way: the only one, or a chunk.
type part struct {
	out     output
	sum     *xxhash.Digest // over what is in the file
	offset  int64          // where the next block goes
	written int64          // how much of that is in the file
	index   index
	rows    Counts
}

// newPart begins a file with a header that says it is the only one.
func newPart(to storage, h Header) (*part, error) {
	out, err := to.create()
	if err != nil {
		return nil, err
	}
	p := &part{out: out, sum: xxhash.New()}
	raw := h.appendTo(nil, Chunk{Count: 1})
	p.offset = int64(len(raw))
	return p, p.write(raw)
}

// add takes the place of a block of n bytes for it, and returns that.
func (p *part) add(t Table, first [32]byte, n int, rows uint32) block {
	b := block{first: first, offset: p.offset, length: uint32(n), rows: rows}
	p.index[t-1] = append(p.index[t-1], b)
	*p.rows.of(t) += uint64(rows)
	p.offset += int64(n)
	return b
}

// sizeWith is how long the whole file is with another block of n bytes.
func (p *part) sizeWith(n int) int64 {
	return p.offset + int64(n) + indexLength(p.index.blocks()+1) + int64(trailerLength)
}

func (p *part) write(raw []byte) error {
	if _, err := p.out.Write(raw); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	p.sum.Write(raw)
	p.written += int64(len(raw))
	return nil
}

// renumber puts the file's place in its set into the header, which nobody knew
// when it was written, and sums everything up again.
func (p *part) renumber(h Header, c Chunk) error {
	raw := h.appendTo(nil, c)
	if _, err := p.out.WriteAt(raw, 0); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	p.sum.Reset()
	n, err := io.CopyBuffer(p.sum, io.NewSectionReader(p.out, 0, p.offset), make([]byte, sumBuffer))
	if err == nil && n != p.offset {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read snapshot back: %w", err)
	}
	return nil
}

// end writes what follows the blocks. Of the trailer the caller gives what is
// true of the whole snapshot.
func (p *part) end(t trailer) error {
	raw := p.index.appendTo(nil)
	t.indexOffset, t.indexLength, t.totals.Rows = p.offset, int64(len(raw)), p.rows
	raw = t.appendTo(raw)
	p.offset += int64(len(raw) + sumLength)
	if err := p.write(raw); err != nil {
		return err
	}
	return p.write(binary.BigEndian.AppendUint64(nil, p.sum.Sum64()))
}
