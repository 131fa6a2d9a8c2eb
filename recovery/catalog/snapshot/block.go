package snapshot

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Blocks. A block's header is its table (u8), row count (u32) and payload
// length (u32); the payload and a CRC32C of all before it follow.
const (
	blockHeader = 1 + 4 + 4
	// blockPayload is the most bytes of rows in a block. A writer fills a block
	// with as many rows as fit, so every block but a table's last holds more
	// than blockPayload - maxRow bytes.
	blockPayload = 64 << 10
	blockMax     = blockHeader + blockPayload + crcLength
	// blockMinRow is the least a row can take: a registration that shares all
	// of its key.
	blockMinRow = 2
)

// block is a block's entry in the index.
type block struct {
	first  [32]byte // first 32 bytes of the first row's key
	offset int64
	length uint32 // of the whole block
	rows   uint32
	file   uint16 // in memory only: which of a snapshot's files it is in
}

func (b block) end() int64 { return b.offset + int64(b.length) }

// sealBlock fills in the header of a block that was built behind it, and
// appends its checksum.
func sealBlock(raw []byte, t Table, rows uint32) []byte {
	raw[0] = byte(t)
	binary.BigEndian.PutUint32(raw[1:], rows)
	binary.BigEndian.PutUint32(raw[5:], uint32(len(raw)-blockHeader))
	return binary.BigEndian.AppendUint32(raw, crc32.Checksum(raw, castagnoli()))
}

// openBlock checks a block against its index entry and returns its payload.
func openBlock(raw []byte, t Table, b block, d damage) ([]byte, error) {
	body := raw[:len(raw)-crcLength]
	switch {
	case crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(raw[len(body):]):
		return nil, d.at(b.offset, "the checksum of a block of %v is wrong", t)
	case Table(body[0]) != t,
		binary.BigEndian.Uint32(body[1:]) != b.rows,
		binary.BigEndian.Uint32(body[5:]) != uint32(len(body)-blockHeader):
		return nil, d.at(b.offset, "a block of %v is not the one that the index names", t)
	}
	return body[blockHeader:], nil
}

// checkEntry reports what is impossible about an index entry of a table; last
// says that no other block of the table follows.
func (b block) checkEntry(last bool) string {
	payload := int64(b.length) - blockHeader - crcLength
	switch {
	case payload < blockMinRow || payload > blockPayload:
		return "a block's length is out of range"
	case !last && payload <= blockPayload-maxRow:
		return "a block is not full, and not its table's last"
	case b.rows == 0 || int64(b.rows) > payload/blockMinRow || b.rows > math.MaxInt32:
		return "a block's row count is out of range"
	}
	return ""
}
