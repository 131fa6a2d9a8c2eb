package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cespare/xxhash/v2"
)

// part is one file of a snapshot under way: the only one, or a chunk.
type part struct {
	out    output
	sum    *xxhash.Digest // over all that was written so far
	offset int64          // where the next block goes
	index  index
	rows   Counts
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
	if err := p.write(raw); err != nil {
		return p, err
	}
	return p, nil
}

// add takes the place of a block of n bytes for it.
func (p *part) add(t Table, first [32]byte, n int, rows uint32) {
	p.index[t-1] = append(p.index[t-1], block{first: first, offset: p.offset, length: uint32(n), rows: rows})
	*p.rows.of(t) += uint64(rows)
	p.offset += int64(n)
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
	if err := p.write(t.appendTo(raw)); err != nil {
		return err
	}
	p.offset += int64(len(raw) + trailerLength)
	return p.write(binary.BigEndian.AppendUint64(nil, p.sum.Sum64()))
}

// press writes the blocks of a snapshot, in order, on a goroutine of its own:
// checksums and the copy into the page cache take about as long as making the
// next block. flush or stop ends it.
type press struct {
	work chan pressJob // nil until the first block
	free chan []byte   // memory of blocks that were written
	done chan struct{} // closed when the goroutine has ended
	made int           // blocks that have memory
	err  error         // the goroutine's until done
	bad  chan struct{} // closed at the first error
}

// pressJob is a block without its checksum.
type pressJob struct {
	to  *part
	raw []byte
}

// pressAhead is how many blocks may wait to be written.
const pressAhead = 2

// put takes a block, and returns memory for the next one. failed: a block
// before it could not be written, and flush says why.
func (p *press) put(to *part, raw []byte) (next []byte, failed bool) {
	if p.work == nil {
		p.work, p.free = make(chan pressJob, pressAhead), make(chan []byte, pressAhead+2)
		p.done, p.bad = make(chan struct{}), make(chan struct{})
		go p.run()
	}
	p.work <- pressJob{to, raw}
	select {
	case <-p.bad:
		return nil, true
	default:
	}
	if p.made < pressAhead+1 {
		p.made++
		return make([]byte, blockHeader, blockRoom), false
	}
	return <-p.free, false
}

func (p *press) run() {
	defer close(p.done)
	for job := range p.work {
		if p.err == nil {
			raw := binary.BigEndian.AppendUint32(job.raw, crc32.Checksum(job.raw, castagnoli()))
			if p.err = job.to.write(raw); p.err != nil {
				close(p.bad)
			}
		}
		p.free <- job.raw[:blockHeader] // there is room for all
	}
}

// flush waits until all is written.
func (p *press) flush() error {
	if p.work != nil {
		close(p.work)
		<-p.done
		p.work = nil
	}
	return p.err
}
