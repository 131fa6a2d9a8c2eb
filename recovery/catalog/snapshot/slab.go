package snapshot

// slab gathers blocks on their way into a file, so that it is written in large
// pieces that end where pages do. A block is built in the place that it is
// written from.
type slab struct {
	buf   []byte    // what follows in the file: sealed blocks, and the one under way
	start int       // where that begins
	jobs  []hashJob // sealed blocks that are not wholly in the file yet
}

const (
	// slabSize is how many bytes of sealed blocks are gathered.
	slabSize = 128 << 10
	// slabPage is what pieces end at a multiple of, in the file.
	slabPage = 4 << 10
)

// begin begins a block behind the sealed ones.
func (s *slab) begin() {
	var header [blockHeader]byte
	s.start = len(s.buf)
	s.buf = append(s.buf, header[:]...)
}

// fits reports whether the block under way may reach to the end of longer.
func (s *slab) fits(longer []byte) bool { return len(longer)-s.start <= blockHeader+blockPayload }

// seal ends the block under way and returns its length.
func (s *slab) seal(t Table, rows uint32) int {
	raw := sealBlock(s.buf[s.start:], t, rows)
	s.buf = append(s.buf[:s.start], raw...)
	return len(raw)
}

// flush writes the first n bytes to p, and has the blocks that are in the file
// then hashed.
func (s *slab) flush(p *part, n int, digest *contentDigest) error {
	if err := p.write(s.buf[:n]); err != nil {
		return err
	}
	s.buf = append(s.buf[:0], s.buf[n:]...)
	s.start -= n
	done := 0
	for ; done < len(s.jobs) && s.jobs[done].block.end() <= p.written; done++ {
		digest.add(s.jobs[done])
	}
	s.jobs = append(s.jobs[:0], s.jobs[done:]...)
	return nil
}
