package checkpoint

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Every value is sealed in an envelope:
//
//	0   magic   4 bytes, which say what the value is
//	4   version u16
//	6   zero    u16
//	8   length  u32, of the body
//	12  crc32c  u32, of bytes 0..11 and the body
//	16  body
//
// The envelope is the same in every version, so that a newer one is recognised
// as such, and is not taken for damage.
const (
	envelopeLen   = 16
	formatVersion = 1

	magicHead = "RCVH"
	magicList = "RCVL"
)

// beginEnvelope returns an encoder whose buffer starts with the room for the
// envelope; endEnvelope fills it in.
func beginEnvelope(sizeHint int) encoder {
	return encoder{buf: make([]byte, envelopeLen, envelopeLen+sizeHint)}
}

func endEnvelope(e encoder, magic string) []byte {
	b := e.buf
	copy(b, magic)
	binary.BigEndian.PutUint16(b[4:], formatVersion)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-envelopeLen))
	binary.BigEndian.PutUint32(b[12:], envelopeSum(b))
	return b
}

// openEnvelope returns the body of a value, which aliases it. Errors are damage,
// or wrap ErrVersion.
func openEnvelope(value []byte, magic string) ([]byte, error) {
	switch {
	case len(value) < envelopeLen:
		return nil, damaged("%d bytes are too few for a value", len(value))
	case string(value[:4]) != magic:
		return nil, damaged("magic is %q, want %q", value[:4], magic)
	case int64(binary.BigEndian.Uint32(value[8:])) != int64(len(value)-envelopeLen):
		return nil, damaged("length is %d, but %d bytes are there", binary.BigEndian.Uint32(value[8:]), len(value)-envelopeLen)
	case binary.BigEndian.Uint32(value[12:]) != envelopeSum(value):
		return nil, damaged("checksum does not match")
	}
	if v := binary.BigEndian.Uint16(value[4:]); v != formatVersion {
		return nil, fmt.Errorf("%w: format %d, this program knows %d", ErrVersion, v, formatVersion)
	}
	if binary.BigEndian.Uint16(value[6:]) != 0 {
		return nil, damaged("reserved bytes are not zero")
	}
	return value[envelopeLen:], nil
}

func envelopeSum(value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the standard library
	return crc32.Update(crc32.Checksum(value[:12], table), table, value[envelopeLen:])
}

// valueLen returns the whole length of the value that data begins with; ok is
// false if data is too short to tell or to hold it.
func valueLen(data []byte) (n int, ok bool) {
	if len(data) < envelopeLen {
		return 0, false
	}
	length := int64(envelopeLen) + int64(binary.BigEndian.Uint32(data[8:]))
	return int(length), length <= int64(len(data))
}
