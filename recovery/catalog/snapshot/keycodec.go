package snapshot

import (
	"bytes"
	"fmt"
	"slices"
)

// appendPair appends shared length, flags and key of a plain registration.
func appendPair(dst []byte, f byte, k *Key) []byte {
	dst = append(dst, 0, f)
	if f&rowNative != 0 {
		return append(dst, k[:32]...)
	}
	return append(dst, k[:]...)
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

// parsePair is parseKey for a key whose second half may be left out.
func parsePair(key *Key, src []byte, first bool) (int, error) {
	if len(src) < 2 {
		return 0, errShort
	}
	if src[1]&rowNative == 0 {
		n, err := parseKey(key[:], src, first)
		if err == nil && key.native() {
			err = errNotMinimal
		}
		return n, err
	}
	if src[0] < 32 {
		n, err := parseKey(key[:32], src, first)
		copy(key[32:], key[:32])
		return n, err
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

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
