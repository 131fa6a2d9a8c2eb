package snapshot

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/regular"
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
	f, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s, err := readSource(path, f, size)
	if err == nil {
		err = s.readIndex()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// openFile opens a regular file and returns its size in bytes.
func openFile(path string) (*os.File, int64, error) {
	f, info, err := regular.Open(path)
	switch {
	case errors.Is(err, regular.ErrNot):
		return nil, 0, fmt.Errorf("%w: %w", ErrNotSnapshot, err)
	case err != nil:
		return nil, 0, fmt.Errorf("open snapshot: %w", err)
	}
	return f, info.Size(), nil
}

func readSource(path string, f *os.File, size int64) (*source, error) {
	s, err := readEnds(path, f, size)
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
	f, size, err := openFile(path)
	if err != nil {
		return Info{}, err
	}
	defer func() { _ = f.Close() }() // only read
	s, err := readSource(path, f, size)
	if err != nil {
		return Info{}, err
	}
	return Info{Header: s.head, Digest: s.end.digest, Chunk: s.chunk, Totals: s.end.totals, Bytes: s.size}, nil
}
