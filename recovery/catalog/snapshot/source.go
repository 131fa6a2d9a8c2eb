package snapshot

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/recoverd/recoverd/recovery"
)

// source is one file of a snapshot.
type source struct {
	d     damage
	src   io.ReaderAt
	file  *os.File // nil if the reader does not own one
	size  int64
	head  Header
	chunk Chunk
	index index
	end   trailer
}

// openSource opens the file at path and reads both its ends.
func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	s, err := readSource(path, f)
	if err == nil {
		err = s.readIndex()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func readSource(path string, f *os.File) (*source, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrNotSnapshot, path)
	}
	s, err := readEnds(path, f, info.Size())
	if err != nil {
		return nil, err
	}
	s.file = f
	return s, nil
}

// readEnds reads header and trailer.
func readEnds(name string, src io.ReaderAt, size int64) (*source, error) {
	s := &source{d: damage{name}, src: src, size: size}
	var err error
	if s.head, s.chunk, err = readHeader(src, size, s.d); err != nil {
		return nil, err
	}
	s.end, err = readTrailer(src, s.head, s.chunk, size, s.d)
	return s, err
}

func (s *source) readIndex() (err error) {
	s.index, err = readIndex(s.src, s.head.length(), s.end.indexOffset, s.end.indexLength, s.end.totals.Rows, s.d)
	return err
}

// sumBuffer is how much of a file is read at once.
const sumBuffer = 256 << 10

// Info is what a file's two ends say of it.
type Info struct {
	Header Header
	Digest recovery.Digest // of the whole snapshot, not of this file alone
	Chunk  Chunk
	// Totals are those of the whole snapshot, but for Rows: the file's own.
	Totals Totals
	Bytes  int64
}

// Bound names the state.
func (i Info) Bound() recovery.Bound { return recovery.Bound{Stamp: i.Header.Stamp, Digest: i.Digest} }

// Peek reads header and trailer of one file, and believes the rest. Errors are
// those of Open.
func Peek(path string) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, fmt.Errorf("open snapshot: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	s, err := readSource(path, f)
	if err != nil {
		return Info{}, err
	}
	return Info{Header: s.head, Digest: s.end.digest, Chunk: s.chunk, Totals: s.end.totals, Bytes: s.size}, nil
}
