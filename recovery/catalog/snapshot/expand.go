package snapshot

import (
	"encoding/binary"
	"hash"
)

// expander brings the rows of a block into plain form. It knows that they were
// good rows, but does not rely on it: the bytes may have changed since.
type expander struct {
	pairs bool   // keys are of 64 bytes
	last  []byte // the row before, in plain form; nil: none
}

// hash hashes rows of given lengths, which fill payload, in batches that are made
// in plain. It reports whether they can be rows.
func (e *expander) hash(to hash.Hash, payload, lengths, plain []byte) bool {
	head := uint64(0) // of the last key, if there is one
	for _, length := range lengths {
		n := int(length)
		if n < 2 || n > min(len(payload), maxRow) {
			return false
		}
		if len(plain) >= digestBatch {
			to.Write(plain)
			plain = plain[:0]
		}
		at, shared := len(plain), int(payload[0])
		if shared < 8 && n >= 2+32-shared && n <= 2+48 && len(payload) >= 2+48 &&
			(!e.pairs || payload[1]&rowNative != 0) && (e.last != nil || shared == 0) {
			// Ids look random, so this is nearly every row. It takes three moves of 16
			// bytes, of which the last one may move too much.
			head = head&^(^uint64(0)>>(8*shared)) | binary.BigEndian.Uint64(payload[2:])>>(8*shared)
			row := (*[2 + 8 + 48]byte)(plain[at : at+2+8+48])
			row[0], row[1] = 0, payload[1]
			*(*[48]byte)(row[2+shared:]) = [48]byte(payload[2:])
			binary.BigEndian.PutUint64(row[2:], head)
			plain = plain[:at+n+shared]
		} else {
			var good bool
			if plain, good = e.append(plain, payload[:n]); !good {
				return false
			}
			head = binary.BigEndian.Uint64(plain[at+2:])
		}
		e.last, payload = plain[at:], payload[n:]
	}
	to.Write(plain)
	return len(payload) == 0
}

// append appends the plain form of a row.
func (e *expander) append(dst, row []byte) (longer []byte, good bool) {
	written := 32
	if e.pairs && row[1]&rowNative == 0 {
		written = 64
	}
	shared := int(row[0])
	omitted := min(shared, written)
	if len(row)-2 < written-omitted || e.last == nil && shared > 0 {
		return dst, false
	}
	dst = append(dst, 0, row[1])
	dst = e.appendKey(dst, omitted)
	return append(dst, row[2:]...), true
}

// appendKey appends the first bytes of the key before.
func (e *expander) appendKey(dst []byte, n int) []byte {
	if n == 0 {
		return dst
	}
	key := e.last[2:34]
	if e.pairs && e.last[1]&rowNative == 0 {
		key = e.last[2:66]
	}
	if n <= len(key) {
		return append(dst, key[:n]...)
	}
	return append(append(dst, key...), key[:n-len(key)]...)
}
