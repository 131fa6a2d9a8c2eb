package snapshot

import (
	"fmt"
	"math"
)

// Row is one of the four row types, by pointer.
//
// A row's bytes are the length of the key prefix shared with the row before
// (u8), flags (u8), the rest of the key, and the values. With a shared length
// of 0 they stand alone: the plain form, which begins a block and is what the
// digest covers. A row that stands for a dropped key has flags and key only.
type Row[R any] interface {
	*R
	Entry
	flags() byte
	// appendRow appends the row behind one whose key shares so many bytes, with its
	// flags.
	appendRow(dst []byte, shared int, flags byte) []byte
	// fits reports whether the format can hold the row in a snapshot at a position.
	fits(position uint64) bool
	// parse reads the row at the beginning of src over the row before it, and
	// returns its length. first: the row begins a block. No position in it may be
	// above limit. On an error the row is undefined.
	parse(src []byte, first bool, limit uint64) (int, error)
	// parseRowKey is the part of parse that reads the key.
	parseRowKey(src []byte, first bool) (int, error)
}

// Entry is a row of any table.
type Entry interface {
	Table() Table
	// RowKey returns the row's key, 32 or 64 bytes; it aliases the row.
	RowKey() []byte
	// AppendPlain appends the plain form, at most 128 bytes.
	AppendPlain(dst []byte) []byte
}

// ParsePlain reads a plain row, which must fill src. Errors wrap ErrRow.
func ParsePlain[R any, P Row[R]](row P, src []byte) error {
	n, err := row.parse(src, true, math.MaxUint64)
	switch {
	case err != nil:
		return fmt.Errorf("%w: a row of %v: %w", ErrRow, row.Table(), err)
	case n != len(src):
		return fmt.Errorf("%w: %d bytes follow a row of %v", ErrRow, len(src)-n, row.Table())
	}
	return nil
}

// AppendValue appends a row without its key: flags and values of the plain
// form, for stores that hold the key themselves.
func AppendValue[R any, P Row[R]](dst []byte, row P) []byte {
	start := len(dst)
	dst = row.AppendPlain(dst)
	dst[start] = dst[start+1]
	return append(dst[:start+1], dst[start+2+writtenKey(row.RowKey()):]...)
}

// ParseValue reads what AppendValue made of the row with that key. It must fill
// src. Errors wrap ErrRow.
func ParseValue[R any, P Row[R]](row P, key, src []byte) error {
	switch {
	case len(key) != len(row.RowKey()):
		return fmt.Errorf("%w: a key of %v has %d bytes, not %d", ErrRow, row.Table(), len(row.RowKey()), len(key))
	case len(src) == 0 || len(src) > maxRow:
		return fmt.Errorf("%w: the values of a row of %v have %d bytes", ErrRow, row.Table(), len(src))
	}
	if row.Table() != Pools && row.Table() != Blobs && isNative(key) != (src[0]&rowNative != 0) {
		return fmt.Errorf("%w: a row of %v: %w", ErrRow, row.Table(), errNotMinimal)
	}
	var plain [2 + 64 + maxRow]byte
	plain[1] = src[0]
	n := 2 + copy(plain[2:], key[:writtenKey(key)])
	n += copy(plain[n:], src[1:])
	return ParsePlain(row, plain[:n])
}

// writtenKey is how much of a key is written in a plain row.
func writtenKey(key []byte) int {
	if isNative(key) {
		return 32
	}
	return len(key)
}

// rowDropped marks a key that an incremental drops. A full snapshot has none.
const rowDropped = 0x80

// appendDrop appends a dropped key behind one that shares so many bytes with it.
func appendDrop(dst, key []byte, shared int) []byte {
	dst = append(dst, byte(shared), rowDropped|flagIf(isNative(key), rowNative))
	return append(dst, key[min(shared, writtenKey(key)):writtenKey(key)]...)
}

// parseDrop reads a dropped key over the row before it, and clears the values.
func parseDrop[R any, P Row[R]](row P, src []byte, first bool) (int, error) {
	n, err := row.parseRowKey(src, first)
	if err != nil {
		return 0, err
	}
	var key [64]byte
	copy(key[:], row.RowKey())
	*row = *new(R)
	copy(row.RowKey(), key[:])
	if src[1] != rowDropped|flagIf(isNative(row.RowKey()), rowNative) {
		return 0, errFlags
	}
	return n, nil
}
