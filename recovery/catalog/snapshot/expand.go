package snapshot

import "encoding/binary"

// expander brings rows of a block into plain form. It knows that they are good
// rows, but does not rely on it: the bytes may have changed since.
type expander struct {
	pairs bool   // keys are of 64 bytes
	last  []byte // the row before, in plain form; nil: none
	head  uint64 // the first word of its key
}

// append appends the plain form of the row of n bytes at the beginning of src. It
// needs a room of 2*maxRow.
func (e *expander) append(dst, src []byte, n int) (longer []byte, good bool) {
	shared, at := int(src[0]), len(dst)
	short := !e.pairs || src[1]&rowNative != 0
	if shared < 8 && short && n >= 2+32-shared && n <= 2+48 && len(src) >= 2+48 && (e.last != nil || shared == 0) {
		// Ids look random, so this is nearly every row. It takes three moves of 16
		// bytes, of which the last one may move too much.
		e.head = e.head&^(^uint64(0)>>(8*shared)) | binary.BigEndian.Uint64(src[2:])>>(8*shared)
		to := dst[at : at+2+8+48]
		to[0], to[1] = 0, src[1]
		*(*[48]byte)(to[2+shared:]) = [48]byte(src[2:])
		binary.BigEndian.PutUint64(to[2:], e.head)
		e.last = to[:n+shared]
		return dst[:at+n+shared], true
	}
	written := 32
	if !short {
		written = 64
	}
	omitted := min(shared, written)
	if n-2 < written-omitted || e.last == nil && shared > 0 {
		return dst, false
	}
	dst = append(dst, 0, src[1])
	dst = e.appendKey(dst, omitted)
	dst = append(dst, src[2:n]...)
	e.last, e.head = dst[at:], binary.BigEndian.Uint64(dst[at+2:])
	return dst, true
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
