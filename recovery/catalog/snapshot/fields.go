package snapshot

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/recoverd/recoverd/recovery"
)

var (
	errShort      = errors.New("a row goes beyond its block")
	errFlags      = errors.New("a row has unknown flags")
	errVarint     = errors.New("a row has a number that is too large or not in its shortest form")
	errFirstRow   = errors.New("a block's first row shares a prefix")
	errNotMinimal = errors.New("a row is not in its shortest form")
	errFuture     = errors.New("a row names a position beyond the snapshot's")
)

// Places in a row after an error. Reading on from them yields the same.
const (
	atShort   = -1
	atVarint  = -2
	atMinimal = -3
)

// placeError is what went wrong at a place.
func placeError(n int) error {
	switch n {
	case atShort:
		return errShort
	case atVarint:
		return errVarint
	}
	return errNotMinimal
}

// number reads an unsigned LEB128 in its shortest form at src[n], and returns
// the place behind it.
func number(src []byte, n int) (v uint64, next int) {
	if uint(n) < uint(len(src)) && src[n] < 0x80 {
		return uint64(src[n]), n + 1
	}
	return longNumber(src, n)
}

// longNumber reads one of two bytes or more.
func longNumber(src []byte, n int) (v uint64, next int) {
	if n < 0 {
		return 0, n
	}
	for shift := uint(0); n < len(src); shift += 7 {
		b := src[n]
		n++
		if b >= 0x80 {
			if shift == 63 {
				return 0, atVarint
			}
			v |= uint64(b&0x7f) << shift
			continue
		}
		if b == 0 || shift == 63 && b > 1 {
			return 0, atVarint
		}
		return v | uint64(b)<<shift, n
	}
	return 0, atShort
}

// appendNumber appends what number reads.
func appendNumber(dst []byte, v uint64) []byte {
	if v < 0x80 {
		return append(dst, byte(v))
	}
	return binary.AppendUvarint(dst, v)
}

// epochAt is number for an epoch.
func epochAt(src []byte, n int) (e uint32, next int) {
	v, next := number(src, n)
	if v > math.MaxUint32 {
		return 0, atVarint
	}
	return uint32(v), next
}

// endAt reads an end epoch, unless there is none.
func endAt(src []byte, n int, none bool) (e uint32, next int) {
	if none {
		return recovery.EpochForever, n
	}
	if e, n = epochAt(src, n); e == recovery.EpochForever {
		return 0, atMinimal
	}
	return e, n
}

// positionAt reads a position, or none, which is 0.
func positionAt(src []byte, n int, there bool) (at uint64, next int) {
	if !there {
		return 0, n
	}
	if at, n = number(src, n); at == 0 && n >= 0 {
		return 0, atMinimal
	}
	return at, n
}

// bytesAt reads 32 bytes.
func bytesAt(src []byte, n int, dst *[32]byte) (next int) {
	switch {
	case n < 0:
		return n
	case len(src)-n < len(dst):
		return atShort
	}
	return n + copy(dst[:], src[n:])
}

func flagIf(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}
