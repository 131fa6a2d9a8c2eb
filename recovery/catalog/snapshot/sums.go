package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"
)

// summing compares the xxhash64 at the end of each file with all that lies
// before it, piece by piece.
type summing struct {
	left []*source // the first one is under way
	at   int64     // in it
	sum  *xxhash.Digest
	buf  []byte
	err  error // sticks
}

func newSumming(sources []*source) *summing {
	s := &summing{left: sources, sum: xxhash.New()}
	for _, f := range sources {
		s.buf = make([]byte, max(int64(len(s.buf)), min(sumBuffer, f.size)))
	}
	return s
}

// step reads a piece, and reports whether there is more.
func (s *summing) step(ctx context.Context) bool {
	if s.err == nil && ctx.Err() != nil {
		s.err = context.Cause(ctx)
	}
	if s.err != nil || len(s.left) == 0 {
		return false
	}
	f := s.left[0]
	if all := f.size - sumLength; s.at < all {
		part := s.buf[:min(int64(len(s.buf)), all-s.at)]
		if err := readFull(f.src, part, s.at); err != nil {
			s.err = f.d.read(s.at, "file", err)
		}
		s.sum.Write(part)
		s.at += int64(len(part))
		return true
	}
	s.err = s.compare(f)
	s.left, s.at = s.left[1:], 0
	s.sum.Reset()
	return true
}

// compare reads what the file says of itself, and that it ends there.
func (s *summing) compare(f *source) error {
	if err := readFull(f.src, s.buf[:sumLength], s.at); err != nil {
		return f.d.read(s.at, "sum", err)
	}
	if binary.BigEndian.Uint64(s.buf) != s.sum.Sum64() {
		return f.d.at(s.at, "the sum over the whole file is wrong")
	}
	if n, err := f.src.ReadAt(s.buf[:1], f.size); n != 0 {
		return f.d.at(f.size, "the file has grown")
	} else if err != nil && !errors.Is(err, io.EOF) {
		return f.d.read(f.size, "end", err)
	}
	return nil
}

// finish reads all that is left.
func (s *summing) finish(ctx context.Context) error {
	for s.step(ctx) {
		continue
	}
	return s.err
}
