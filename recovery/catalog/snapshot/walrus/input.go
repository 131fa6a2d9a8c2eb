package walrus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// input takes a stream apart in parts of known, small lengths, and sums up what
// it took. Its memory does not depend on anything in the stream.
type input struct {
	path   string
	src    *bufio.Reader
	sum    *xxhash.Digest
	offset int64  // of the next byte
	place  string // the section under way, for errors
	small  [8]byte
}

func newInput(path string, src io.Reader) *input {
	return &input{path: path, src: bufio.NewReaderSize(src, 64<<10), sum: xxhash.New()}
}

// head shows up to n bytes without taking them.
func (i *input) head(n int) ([]byte, error) {
	raw, err := i.src.Peek(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, i.unreadable("header", err)
	}
	return raw, nil
}

// take fills dst. An end before that is damage; an error of reading is not
// (hazard 43).
func (i *input) take(dst []byte, what string) error {
	n, err := io.ReadFull(i.src, dst)
	i.sum.Write(dst[:n])
	i.offset += int64(n)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return i.damaged("the file ends inside the %s%s", what, i.place)
	}
	return i.unreadable(what, err)
}

func (i *input) u8(what string) (uint8, error) {
	err := i.take(i.small[:1], what)
	return i.small[0], err
}

func (i *input) u32(what string) (uint32, error) {
	err := i.take(i.small[:4], what)
	return binary.BigEndian.Uint32(i.small[:]), err
}

func (i *input) u64(what string) (uint64, error) {
	err := i.take(i.small[:], what)
	return binary.BigEndian.Uint64(i.small[:]), err
}

// end proves that nothing follows.
func (i *input) end() error {
	switch _, err := i.src.ReadByte(); {
	case err == nil:
		return i.damaged("something follows the file's end")
	case !errors.Is(err, io.EOF):
		return i.unreadable("end", err)
	}
	return nil
}

// damaged speaks of the bytes before the next one.
func (i *input) damaged(format string, args ...any) error {
	return damaged(i.path, i.offset, format, args...)
}

func (i *input) unreadable(what string, err error) error {
	return fmt.Errorf("read the %s%s in %s at byte %d: %w", what, i.place, i.path, i.offset, err)
}
