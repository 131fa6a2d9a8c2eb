package eventlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// record is what the delta holds for a key: a row that stands for the base's, or
// that the key is dropped.
type record[R any] struct {
	row     R
	dropped bool
	// touched is the position of the event that wrote it. A record is redundant, and
	// passed over, where the base is not older (DESIGN 8).
	touched uint64
	// since, of a blob, is the event that registered it where neither the base nor
	// the delta had the key, not even a row that has ended: no base below that
	// position has anything of it. Of a pool, the event that created it: rows of the
	// pooled table that were written before belong to a pool of that name that has
	// ended. 0: not known.
	since uint64
}

const (
	recordRow     = 1
	recordDropped = 2
	maxRecord     = 1 + 10 + 10 + 128 + crcLength
)

// appendRecord appends kind (u8), touched and since (varint), the row's values
// and a CRC32C of the key and all of these.
func appendRecord[R any, P snapshot.Row[R]](dst []byte, rec *record[R]) []byte {
	start := len(dst)
	kind := byte(recordRow)
	if rec.dropped {
		kind = recordDropped
	}
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, rec.touched)
	dst = binary.AppendUvarint(dst, rec.since)
	if !rec.dropped {
		dst = snapshot.AppendValue[R, P](dst, &rec.row)
	}
	return binary.BigEndian.AppendUint32(dst, recordSum(P(&rec.row).RowKey(), dst[start:]))
}

func recordSum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli()), castagnoli(), body)
}

// parseRecord reads a record. What is not one is damage.
func parseRecord[R any, P snapshot.Row[R]](rec *record[R], key, raw []byte) error {
	var t P
	bad := func(what string, args ...any) error {
		return damaged("record %x of %v: %s", key, t.Table(), fmt.Sprintf(what, args...))
	}
	if len(raw) < 3+crcLength || len(raw) > maxRecord {
		return bad("it has %d bytes", len(raw))
	}
	body := raw[:len(raw)-crcLength]
	if recordSum(key, body) != binary.BigEndian.Uint32(raw[len(body):]) {
		return bad("its checksum is wrong")
	}
	touched, n := binary.Uvarint(body[1:])
	if n <= 0 {
		return bad("it has no position")
	}
	since, m := binary.Uvarint(body[1+n:])
	if m <= 0 {
		return bad("it has no second position")
	}
	rec.touched, rec.since, rec.dropped = touched, since, body[0] == recordDropped
	value := body[1+n+m:]
	switch {
	case rec.dropped && len(value) == 0:
		rec.row = *new(R)
		if copy(P(&rec.row).RowKey(), key) != len(key) {
			return bad("its key has %d bytes", len(key))
		}
		return nil
	case body[0] != recordRow:
		return bad("it is of kind %d", body[0])
	}
	if err := snapshot.ParseValue[R, P](&rec.row, key, value); err != nil {
		return bad("%v", err)
	}
	return nil
}

// recordHash is what a record adds to the sum over the delta, which tells when
// one is missing, or is an older one that a lost write left standing.
func recordHash(t snapshot.Table, key, raw []byte) uint64 {
	var buf [1 + 64 + maxRecord]byte
	b := append(buf[:0], byte(t))
	b = append(append(b, key...), raw...)
	return xxhash.Sum64(b)
}

// positionKey is the key of an event.
func positionKey(position uint64) []byte { return binary.BigEndian.AppendUint64(nil, position) }

// pinKey is the key of a bound that was handed out: position and digest.
func pinKey(position uint64, digest [32]byte) []byte {
	return append(positionKey(position), digest[:]...)
}

// keyPosition reads the position that a key begins with; it has that many bytes.
func keyPosition(key []byte) uint64 {
	if len(key) < 8 {
		return math.MaxUint64
	}
	return binary.BigEndian.Uint64(key)
}

// recordTouched reads only when a record was written, and proves it.
func recordTouched(key, raw []byte) (uint64, error) {
	if len(raw) < 3+crcLength || recordSum(key, raw[:len(raw)-crcLength]) != binary.BigEndian.Uint32(raw[len(raw)-crcLength:]) {
		return 0, damaged("record %x: its checksum is wrong", key)
	}
	touched, n := binary.Uvarint(raw[1:])
	if n <= 0 {
		return 0, damaged("record %x: it has no position", key)
	}
	return touched, nil
}
