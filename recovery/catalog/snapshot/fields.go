package snapshot

import (
	"encoding/binary"
	"errors"
	"math"
)

var (
	errShort      = errors.New("a row goes beyond its block")
	errFlags      = errors.New("a row has unknown flags")
	errVarint     = errors.New("a row has a number that is too large or not in its shortest form")
	errFirstRow   = errors.New("a block's first row shares a prefix")
	errNotMinimal = errors.New("a row is not in its shortest form")
)

// fields reads the values after a row's key. The first error sticks.
type fields struct {
	src []byte
	n   int // bytes read
	err error
}

// number reads an unsigned LEB128 in its shortest form.
func (f *fields) number(limit uint64) uint64 {
	if f.n < len(f.src) && f.src[f.n] < 0x80 {
		f.n++
		return uint64(f.src[f.n-1])
	}
	v, n := binary.Uvarint(f.src[f.n:])
	switch {
	case f.err != nil:
	case n == 0:
		f.err = errShort
	case n < 0 || v > limit || f.src[f.n+n-1] == 0:
		f.err = errVarint
	default:
		f.n += n
		return v
	}
	return 0
}

// epoch reads an epoch if one is there.
func (f *fields) epoch(there bool, otherwise uint32) uint32 {
	if !there {
		return otherwise
	}
	return uint32(f.number(math.MaxUint32))
}

func (f *fields) gained(flags byte) uint64 {
	if flags&rowGained == 0 {
		return 0
	}
	return f.number(math.MaxUint64)
}

func (f *fields) bytes(dst []byte) {
	if len(f.src)-f.n < len(dst) {
		if f.err == nil {
			f.err = errShort
		}
		return
	}
	f.n += copy(dst, f.src[f.n:])
}

func flagIf(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}
