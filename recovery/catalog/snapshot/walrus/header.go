package walrus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Header says which state a file holds.
type Header struct {
	Layout Layout
	Epoch  uint32
	// Event is the last event in the state; layout A may have none.
	Event    EventID
	HasEvent bool
	// Next is the index of the event after the state's last one; in layout A the
	// index of the element that its cursor stands at.
	Next uint64
	// Previous is the id of the blob that holds the snapshot before this one, and
	// the file is part Chunk of Chunks, counted from 0. Layout B has neither: it
	// is part 0 of 1.
	Previous      [32]byte
	Chunk, Chunks uint32
}

// Whole reports whether the file is not one of several parts.
func (h Header) Whole() bool { return h.Chunks == 1 }

// Lengths of a header, without magic, version and its own length.
const (
	headerLengthA = 4 + 1 + 8 + 32 + 4 + 4 // an event adds its own
	headerLengthB = 4 + 1 + eventLength + 8
	// prefixLength is that of magic and version.
	prefixLength = 4 + 4
	// headMax is the most that is looked at to tell the layouts apart.
	headMax = prefixLength + 4 + headerLengthA + eventLength
)

var errChunk = errors.New("a part's number is not below their count")

func (h *Header) parseA(raw []byte) error {
	in := bcs{src: raw}
	h.Layout = A
	h.Epoch = in.u32()
	if h.HasEvent = in.flag(); h.HasEvent {
		in.event(&h.Event)
	}
	h.Next = in.u64()
	in.bytes32(&h.Previous)
	h.Chunk, h.Chunks = in.u32(), in.u32()
	if in.err == nil && h.Chunk >= h.Chunks {
		return errChunk
	}
	return in.end()
}

func (h *Header) parseB(raw []byte) error {
	in := bcs{src: raw}
	h.Layout, h.HasEvent, h.Chunks = B, true, 1
	h.Epoch = in.u32()
	in.variant()
	in.event(&h.Event)
	h.Next = in.u64()
	return in.end()
}

// headA reads the bytes after the version as layout A would have them, and
// returns how many they are.
func headA(raw []byte) (h Header, n int, err error) {
	if len(raw) < 4 {
		return h, 0, errShort
	}
	length := binary.BigEndian.Uint32(raw)
	if length != headerLengthA && length != headerLengthA+eventLength {
		return h, 0, fmt.Errorf("its header cannot have %d bytes", length)
	}
	if n = 4 + int(length); len(raw) < n {
		return h, 0, errShort
	}
	return h, n, h.parseA(raw[4:n])
}

// headB does the same for layout B.
func headB(raw []byte) (h Header, n int, err error) {
	if len(raw) < 1 {
		return h, 0, errShort
	}
	// The only length there is fits one byte, and has no other shortest form.
	if raw[0] != headerLengthB {
		return h, 0, fmt.Errorf("its header's length begins with byte %#02x, want %#02x", raw[0], headerLengthB)
	}
	if n = 1 + headerLengthB; len(raw) < n {
		return h, 0, errShort
	}
	return h, n, h.parseB(raw[1:n])
}

// detect reads the header at the beginning of a file, of which raw are the first
// headMax bytes or all there are. It tries both layouts strictly, and refuses
// what fits neither or both. n is the length of all that was read.
func detect(path string, raw []byte) (h Header, n int, err error) {
	switch k := min(len(raw), len(Magic)); {
	case string(raw[:k]) != Magic[:k] || k == 0:
		return h, 0, fmt.Errorf("%w: %s", ErrNotWalrus, path)
	case len(raw) < prefixLength:
		return h, 0, damaged(path, int64(len(raw)), "the file ends inside the version")
	}
	if v := binary.BigEndian.Uint32(raw[len(Magic):]); v != version {
		return h, 0, fmt.Errorf("%w: %s has version %d, this program reads %d", ErrUnsupported, path, v, version)
	}
	a, lengthA, errA := headA(raw[prefixLength:])
	b, lengthB, errB := headB(raw[prefixLength:])
	switch {
	case errA == nil && errB == nil:
		return h, 0, damaged(path, prefixLength, "the header fits both layouts")
	case errA == nil:
		return a, prefixLength + lengthA, nil
	case errB == nil:
		return b, prefixLength + lengthB, nil
	}
	return h, 0, damaged(path, prefixLength, "the header fits neither layout: not a, %v; not b, %v", errA, errB)
}
