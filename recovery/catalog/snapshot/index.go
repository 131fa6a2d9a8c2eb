package snapshot

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sort"

	"github.com/recoverd/recoverd/recovery"
)

// index lists every block of every table. It lies behind the blocks: for each
// table the number of its blocks (u32) and an entry for each, then a CRC32C.
// In memory it takes 48 bytes for each 64 KiB of tables.
type index [tableCount][]block

const indexEntry = 32 + 8 + 4 + 4

func (x *index) of(t Table) []block { return x[t-1] }

// blocks counts them.
func (x *index) blocks() (n int) {
	for _, blocks := range x {
		n += len(blocks)
	}
	return n
}

// seek returns the block of t from which reading forward meets every row whose
// key begins with id or more.
func (x *index) seek(t Table, id recovery.BlobID) int {
	blocks := x.of(t)
	// Several blocks may begin within one blob: start before the first of them.
	n := sort.Search(len(blocks), func(i int) bool { return bytes.Compare(blocks[i].first[:], id[:]) >= 0 })
	return max(0, n-1)
}

// indexLength is the exact length of an index of that many blocks.
func indexLength(blocks int) int64 { return tableCount*4 + int64(blocks)*indexEntry + crcLength }

// indexLimit bounds the length of an index by the bytes of blocks that it
// lists: all but four of them are nearly full.
func indexLimit(blockBytes int64) int64 {
	return indexLength(int(blockBytes/(blockPayload-maxRow)) + tableCount)
}

func (x *index) appendTo(dst []byte) []byte {
	start := len(dst)
	for _, blocks := range x {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(blocks)))
		for _, b := range blocks {
			dst = append(dst, b.first[:]...)
			dst = binary.BigEndian.AppendUint64(dst, uint64(b.offset))
			dst = binary.BigEndian.AppendUint32(dst, b.length)
			dst = binary.BigEndian.AppendUint32(dst, b.rows)
		}
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// indexReader reads an index of which nothing is known but its place, which
// the caller has bounded.
type indexReader struct {
	d      damage
	in     *bufio.Reader
	offset int64 // of the next byte
	crc    uint32
	next   int64 // where the next block must begin
	left   int64 // bytes of index not read yet
}

// readIndex reads the index of length bytes at offset. Its blocks must fill
// the file from first to offset, and its rows must add up to counts.
func readIndex(src io.ReaderAt, first, offset, length int64, counts Counts, d damage) (index, error) {
	r := indexReader{
		d: d, in: bufio.NewReaderSize(io.NewSectionReader(src, offset, length), 64<<10),
		offset: offset, next: first, left: length - crcLength,
	}
	var x index
	for t := Blobs; t <= Pools; t++ {
		blocks, err := r.table(t, *counts.of(t))
		if err != nil {
			return x, err
		}
		x[t-1] = blocks
	}
	sum := r.crc
	var raw [crcLength]byte
	if err := r.take(raw[:]); err != nil {
		return x, err
	}
	switch {
	case binary.BigEndian.Uint32(raw[:]) != sum:
		return x, d.at(offset, "the index's checksum is wrong")
	case r.left != -crcLength:
		return x, d.at(r.offset, "bytes follow the index")
	case r.next != offset:
		return x, d.at(r.next, "the blocks do not reach the index")
	}
	return x, nil
}

// table reads one table's entries.
func (r *indexReader) table(t Table, rows uint64) ([]block, error) {
	var raw [indexEntry]byte
	if err := r.take(raw[:4]); err != nil {
		return nil, err
	}
	count := int64(binary.BigEndian.Uint32(raw[:]))
	if count > r.left/indexEntry {
		return nil, r.d.at(r.offset, "the index has no room for %d blocks of %v", count, t)
	}
	blocks := make([]block, 0, count)
	for i := range count {
		if err := r.take(raw[:]); err != nil {
			return nil, err
		}
		b := block{
			first: [32]byte(raw[:32]), offset: int64(binary.BigEndian.Uint64(raw[32:])),
			length: binary.BigEndian.Uint32(raw[40:]), rows: binary.BigEndian.Uint32(raw[44:]),
		}
		if what := b.checkEntry(i == count-1); what != "" {
			return nil, r.d.at(r.offset, "%s", what)
		}
		if b.offset != r.next {
			return nil, r.d.at(r.offset, "the blocks of %v leave a gap or overlap", t)
		}
		if i > 0 && bytes.Compare(blocks[i-1].first[:], b.first[:]) > 0 {
			return nil, r.d.at(r.offset, "keys are not increasing: %x follows %x", b.first, blocks[i-1].first)
		}
		if uint64(b.rows) > rows {
			return nil, r.d.at(r.offset, "the blocks of %v have more rows than the trailer counts", t)
		}
		rows -= uint64(b.rows)
		r.next = b.end()
		blocks = append(blocks, b)
	}
	if rows != 0 {
		return nil, r.d.at(r.offset, "the trailer counts %d more rows of %v than there are", rows, t)
	}
	return blocks, nil
}

func (r *indexReader) take(buf []byte) error {
	if _, err := io.ReadFull(r.in, buf); err != nil {
		return r.d.read(r.offset, "index", err)
	}
	r.crc = crc32.Update(r.crc, castagnoli(), buf)
	r.offset += int64(len(buf))
	r.left -= int64(len(buf))
	return nil
}
