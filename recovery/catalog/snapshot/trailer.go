package snapshot

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"

	"github.com/recoverd/recoverd/recovery"
)

// Totals sum a state up. They follow from the tables and the epoch. Those of an
// incremental snapshot are rows only, dropped keys among them: what is certified
// depends on the base.
type Totals struct {
	Rows Counts
	// Certified counts the certified blobs, CertifiedBytes adds their known
	// sizes, and Unsized counts those of unknown size.
	Certified      uint64
	CertifiedBytes uint64
	Unsized        uint64
}

// Bytes is the size of all certified blobs, or recovery.SizeUnknown if any
// size is unknown or the sum does not fit.
func (t Totals) Bytes() int64 {
	if t.Unsized > 0 || t.CertifiedBytes > math.MaxInt64 {
		return recovery.SizeUnknown
	}
	return int64(t.CertifiedBytes)
}

// count adds one certified blob.
func (t *Totals) count(size int64) {
	t.Certified++
	if size == recovery.SizeUnknown {
		t.Unsized++
		return
	}
	t.CertifiedBytes += uint64(size)
	if t.CertifiedBytes < uint64(size) {
		t.CertifiedBytes = math.MaxUint64 // saturated: no longer a size
	}
}

// trailer ends a file. It has a fixed length, so that it is found from the
// end.
type trailer struct {
	indexOffset int64
	indexLength int64
	totals      Totals
	digest      recovery.Digest
}

const trailerMagic = "\x89rsnend\n"

// Lengths of a trailer: magic, index offset and length, rows of four tables,
// three sums, digest, CRC32C of these; then the xxhash64 of the whole file
// before it.
const (
	trailerBody   = len(trailerMagic) + 9*8 + 32
	trailerLength = trailerBody + crcLength + sumLength
	sumLength     = 8
)

// appendTo appends all of the trailer but the file's sum.
func (t trailer) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, trailerMagic...)
	for _, v := range [...]uint64{
		uint64(t.indexOffset), uint64(t.indexLength),
		t.totals.Rows.Blobs, t.totals.Rows.Registrations, t.totals.Rows.Pooled, t.totals.Rows.Pools,
		t.totals.Certified, t.totals.CertifiedBytes, t.totals.Unsized,
	} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	dst = append(dst, t.digest[:]...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// readTrailer reads and checks the last bytes of a file of which the first
// headerLen are the header, of a snapshot of that kind.
func readTrailer(src io.ReaderAt, k Kind, headerLen, size int64, d damage) (trailer, error) {
	at := size - int64(trailerLength)
	if at < headerLen+indexLength(0) {
		return trailer{}, d.at(size, "the file ends too early to have an index and a trailer")
	}
	var raw [trailerLength]byte
	if err := readFull(src, raw[:], at); err != nil {
		return trailer{}, d.read(at, "trailer", err)
	}
	body := raw[:trailerBody]
	switch {
	case string(body[:len(trailerMagic)]) != trailerMagic:
		return trailer{}, d.at(at, "no trailer where the file ends: it was cut, or something was added")
	case crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(raw[trailerBody:]):
		return trailer{}, d.at(at, "the trailer's checksum is wrong")
	}
	var v [9]uint64
	for i := range v {
		v[i] = binary.BigEndian.Uint64(body[len(trailerMagic)+8*i:])
	}
	t := trailer{
		indexOffset: int64(v[0]), indexLength: int64(v[1]),
		totals: Totals{
			Rows:      Counts{Blobs: v[2], Registrations: v[3], Pooled: v[4], Pools: v[5]},
			Certified: v[6], CertifiedBytes: v[7], Unsized: v[8],
		},
		digest: recovery.Digest(body[len(trailerMagic)+9*8:]),
	}
	switch {
	case t.indexOffset < headerLen || t.indexOffset > at || t.indexLength != at-t.indexOffset,
		t.indexLength < indexLength(0) || t.indexLength > indexLimit(t.indexOffset-headerLen):
		return trailer{}, d.at(at, "the index cannot be %d bytes at %d", t.indexLength, t.indexOffset)
	case t.totals.Certified > t.totals.Rows.Blobs || t.totals.Unsized > t.totals.Certified:
		return trailer{}, d.at(at, "more blobs are certified than there are")
	case k == Incremental && t.totals != Totals{Rows: t.totals.Rows}:
		return trailer{}, d.at(at, "an incremental snapshot counts certified blobs")
	case t.totals.Rows.Pools > MaxPools:
		return trailer{}, d.at(at, "%d pools, at most %d are read", t.totals.Rows.Pools, MaxPools)
	}
	return t, nil
}
