package eventlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// meta is what log.db says of itself. Every transaction that changes anything
// else writes it.
type meta struct {
	recovery.Stamp // of the state

	// Chain names the history: the base's digest at first, then after each event
	// the SHA-256 of itself and the event, marked as such (recovery.ReplayedDigest).
	// First is the number of the first event
	// that the log holds, or would; Before is the chain before it.
	Chain  recovery.Digest
	First  uint64
	Before recovery.Digest

	// Base is the snapshot that the delta lies over. Made: it is the empty state
	// before the first event, and in no file. Clean: nothing in it has ended at its
	// epoch, no blob is unregistered, no gained position is unknown.
	Base        recovery.Bound
	Made, Clean bool
	// Swept is the base's position once no row of the delta is redundant any more.
	Swept uint64

	// Pools is the position of the last event that changed a pool, or the base's.
	Pools uint64
	// PoolRows are the rows of the delta's pools table.
	PoolRows uint64

	Sums  sums
	Delta uint64 // sum over the hashes of all records of the delta
}

const (
	metaVersion = 1
	metaLength  = 1 + 1 + 4 + 8 + // version, flags, epoch, position
		32 + 8 + 32 + // chain, first, before
		4 + 8 + 32 + 8 + // base, swept
		8 + 8 + // pools
		4*8 + 8 + // sums, delta
		1 // network's length; its name and a CRC32C follow
	metaMade  = 0x01
	metaClean = 0x02
	crcLength = 4
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (m *meta) encode() []byte {
	var flags byte
	if m.Made {
		flags |= metaMade
	}
	if m.Clean {
		flags |= metaClean
	}
	be := binary.BigEndian
	b := make([]byte, 0, metaLength+len(m.Network)+crcLength)
	b = append(b, metaVersion, flags)
	b = be.AppendUint64(be.AppendUint32(b, m.Epoch), m.Position)
	b = append(b, m.Chain[:]...)
	b = append(be.AppendUint64(b, m.First), m.Before[:]...)
	b = be.AppendUint64(be.AppendUint32(b, m.Base.Epoch), m.Base.Position)
	b = be.AppendUint64(append(b, m.Base.Digest[:]...), m.Swept)
	for _, v := range [...]uint64{m.Pools, m.PoolRows, m.Sums.Blobs, m.Sums.Unsized, m.Sums.high, m.Sums.low, m.Delta} {
		b = be.AppendUint64(b, v)
	}
	return appendSum(append(append(b, byte(len(m.Network))), m.Network...))
}

// appendSum appends the CRC32C of all before it.
func appendSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// decodeMeta reads what encode wrote. Errors wrap ErrVersion or are damage.
func decodeMeta(raw []byte) (m meta, err error) {
	if len(raw) < metaLength+crcLength || crc32.Checksum(raw[:len(raw)-crcLength], castagnoli()) != binary.BigEndian.Uint32(raw[len(raw)-crcLength:]) {
		return m, damaged("its description's checksum is wrong")
	}
	if raw[0] != metaVersion {
		return m, fmt.Errorf("%w: version %d, this program reads %d", ErrVersion, raw[0], metaVersion)
	}
	be, rest := binary.BigEndian, raw[2:len(raw)-crcLength]
	u32 := func() (v uint32) { v, rest = be.Uint32(rest), rest[4:]; return v }
	u64 := func() (v uint64) { v, rest = be.Uint64(rest), rest[8:]; return v }
	digest := func() (d recovery.Digest) { rest = rest[copy(d[:], rest):]; return d }
	m.Epoch, m.Position = u32(), u64()
	m.Chain, m.First, m.Before = digest(), u64(), digest()
	m.Base.Epoch, m.Base.Position, m.Base.Digest, m.Swept = u32(), u64(), digest(), u64()
	m.Pools, m.PoolRows = u64(), u64()
	m.Sums = sums{Blobs: u64(), Unsized: u64(), high: u64(), low: u64()}
	m.Delta = u64()
	if int(rest[0]) != len(rest)-1 {
		return m, damaged("its description's parts do not fill it")
	}
	m.Network = string(rest[1:])
	m.Base.Network = m.Network
	m.Made, m.Clean = raw[1]&metaMade != 0, raw[1]&metaClean != 0
	switch {
	case raw[1]&^(metaMade|metaClean) != 0 || m.Network == "":
		return m, damaged("its description has unknown flags or no network")
	case m.Position < m.Base.Position || m.First == 0 || m.First > m.Position+1 || m.Swept > m.Base.Position:
		return m, damaged("its description contradicts itself: position %d, base %d, first event %d", m.Position, m.Base.Position, m.First)
	}
	return m, nil
}

// sums count the certified blobs of a state. Sizes are added to 128 bits, so
// that what was added can be taken away again.
type sums struct {
	Blobs   uint64
	Unsized uint64 // of these, those whose size is unknown
	high    uint64
	low     uint64
}

// add counts a certified blob.
func (s *sums) add(size int64) {
	s.Blobs++
	if size == recovery.SizeUnknown {
		s.Unsized++
		return
	}
	var carry uint64
	s.low, carry = bits.Add64(s.low, uint64(size), 0)
	s.high += carry
}

// remove takes a certified blob away.
func (s *sums) remove(size int64) {
	s.Blobs--
	if size == recovery.SizeUnknown {
		s.Unsized--
		return
	}
	var borrow uint64
	s.low, borrow = bits.Sub64(s.low, uint64(size), 0)
	s.high -= borrow
}

// bytes is the size of all certified blobs, or recovery.SizeUnknown.
func (s *sums) bytes() int64 {
	if s.Unsized > 0 || s.high > 0 || s.low > math.MaxInt64 {
		return recovery.SizeUnknown
	}
	return int64(s.low)
}

// totals are the sums as a snapshot has them.
func (s *sums) totals() snapshot.Totals {
	t := snapshot.Totals{Certified: s.Blobs, CertifiedBytes: s.low, Unsized: s.Unsized}
	if s.high > 0 {
		t.CertifiedBytes = math.MaxUint64
	}
	return t
}
