package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// The functions that move ids do so in words. Mostly an id was stored as words
// just before, and a processor that loads what was stored in other widths waits
// until the stores are through: that tripled the time of writing, now and then.

// appendID appends shared length, flags and the rest of a key of 32 bytes.
func appendID(dst []byte, shared int, flags byte, id *[32]byte) []byte {
	if shared >= 8 {
		return append(append(dst, byte(shared), flags), id[shared:]...)
	}
	n := len(dst)
	dst = slices.Grow(dst, 2+32+8)
	to := (*[2 + 32 + 8]byte)(dst[n : n+2+32+8])
	to[0], to[1] = byte(shared), flags
	binary.BigEndian.PutUint64(to[2:], binary.BigEndian.Uint64(id[:])<<(8*shared))
	rest := (*[24 + 8]byte)(to[10-shared:])
	binary.BigEndian.PutUint64(rest[:], binary.BigEndian.Uint64(id[8:]))
	binary.BigEndian.PutUint64(rest[8:], binary.BigEndian.Uint64(id[16:]))
	binary.BigEndian.PutUint64(rest[16:], binary.BigEndian.Uint64(id[24:]))
	return dst[:n+2+32-shared]
}

// appendPair appends shared length, flags and the rest of the key of a
// registration.
func appendPair(dst []byte, shared int, flags byte, k *Key) []byte {
	switch {
	case flags&rowNative == 0:
		return append(append(dst, byte(shared), flags), k[shared:]...)
	case shared >= 32:
		return append(dst, byte(shared), flags)
	}
	return appendID(dst, shared, flags, (*[32]byte)(k[:32]))
}

// sameID is a == b.
func sameID(a, b *[32]byte) bool {
	return binary.BigEndian.Uint64(a[:]) == binary.BigEndian.Uint64(b[:]) &&
		binary.BigEndian.Uint64(a[8:]) == binary.BigEndian.Uint64(b[8:]) &&
		binary.BigEndian.Uint64(a[16:]) == binary.BigEndian.Uint64(b[16:]) &&
		binary.BigEndian.Uint64(a[24:]) == binary.BigEndian.Uint64(b[24:])
}

// moveID is *to = *from.
func moveID(to, from *[32]byte) {
	binary.BigEndian.PutUint64(to[:], binary.BigEndian.Uint64(from[:]))
	binary.BigEndian.PutUint64(to[8:], binary.BigEndian.Uint64(from[8:]))
	binary.BigEndian.PutUint64(to[16:], binary.BigEndian.Uint64(from[16:]))
	binary.BigEndian.PutUint64(to[24:], binary.BigEndian.Uint64(from[24:]))
}

// parseKey turns the key of the row before into this row's. That the first
// byte after the shared ones rises proves two things at once: the order, and
// that the shared length is the longest (hazard 11).
func parseKey(key, src []byte, first bool) (int, error) {
	if len(src) < 2 {
		return 0, errShort
	}
	shared := int(src[0])
	if shared >= len(key) {
		return 0, fmt.Errorf("a row shares %d bytes with a key of %d: %x twice", shared, len(key), key)
	}
	n := 2 + len(key) - shared
	if len(src) < n {
		return 0, errShort
	}
	if first {
		if shared != 0 {
			return 0, errFirstRow
		}
	} else if src[2] <= key[shared] {
		return 0, errRising(key, slices.Concat(key[:shared], src[2:n]))
	}
	copy(key[shared:], src[2:n])
	return n, nil
}

// parseID is parseKey for 32 bytes, and puts them into twin too. Ids look
// random, so what they share fits into a word, and the rest has one length: that
// goes without a call.
func parseID(key, twin *[32]byte, src []byte, first bool) (int, error) {
	if first || len(src) < 2+32 || src[0] >= 8 || src[2] <= key[src[0]&7] {
		n, err := parseKey(key[:], src, first)
		*twin = *key
		return n, err
	}
	shared := uint(src[0])
	new := ^uint64(0) >> (8 * shared) // bits that are not shared
	head := binary.BigEndian.Uint64(key[:])&^new | binary.BigEndian.Uint64(src[2:])>>(8*shared)
	tail := (*[24]byte)(src[10-shared:])
	a, b, c := binary.BigEndian.Uint64(tail[:]), binary.BigEndian.Uint64(tail[8:]), binary.BigEndian.Uint64(tail[16:])
	binary.BigEndian.PutUint64(key[:], head)
	binary.BigEndian.PutUint64(key[8:], a)
	binary.BigEndian.PutUint64(key[16:], b)
	binary.BigEndian.PutUint64(key[24:], c)
	binary.BigEndian.PutUint64(twin[:], head)
	binary.BigEndian.PutUint64(twin[8:], a)
	binary.BigEndian.PutUint64(twin[16:], b)
	binary.BigEndian.PutUint64(twin[24:], c)
	return 2 + 32 - int(shared), nil
}

// parsePair is parseKey for a key whose second half may be left out.
func parsePair(key *Key, src []byte, first bool) (int, error) {
	if len(src) < 2 {
		return 0, errShort
	}
	blob, object := (*[32]byte)(key[:32]), (*[32]byte)(key[32:])
	switch {
	case src[1]&rowNative == 0:
		n, err := parseKey(key[:], src, first)
		if err == nil && *blob == *object {
			err = errNotMinimal
		}
		return n, err
	case src[0] < 32:
		return parseID(blob, object, src, first)
	}
	// Another registration of the same blob: the whole key is known.
	next := KeyOf(key.Blob(), key.Blob())
	if first || int(src[0]) != commonPrefix(key[:], next[:]) || bytes.Compare(key[:], next[:]) >= 0 {
		return 0, errRising(key[:], bytes.Clone(next[:]))
	}
	*key = next
	return 2, nil
}

// errRising names both keys of rows that are out of order.
func errRising(prev, next []byte) error {
	return fmt.Errorf("keys are not strictly increasing, or share more than they say: %x follows %x", next, prev)
}

// rising reports whether b orders after a.
func rising(a, b []byte) bool { return bytes.Compare(a, b) < 0 }

// compareIDs is bytes.Compare for ids, which mostly differ early or not at all.
func compareIDs(a, b *[32]byte) int {
	for i := 0; i < len(a); i += 8 {
		x, y := binary.BigEndian.Uint64(a[i:]), binary.BigEndian.Uint64(b[i:])
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
	}
	return 0
}

// commonPrefix counts the leading bytes that both begin with.
func commonPrefix(a, b []byte) int {
	n := 0
	for ; len(a)-n >= 8 && len(b)-n >= 8; n += 8 {
		if d := binary.BigEndian.Uint64(a[n:]) ^ binary.BigEndian.Uint64(b[n:]); d != 0 {
			return n + bits.LeadingZeros64(d)/8
		}
	}
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
