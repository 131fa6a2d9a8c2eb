package snapshot

import (
	"encoding/binary"
	"math/bits"

	"github.com/recoverd/recoverd/recovery"
)

// benchState is a state that costs next to nothing to make: blobs whose ids look
// random and rise, each registered by itself.
type benchState struct{ blobs uint64 }

// Header implements State.
func (s benchState) Header() Header {
	return Header{Stamp: recovery.Stamp{Network: "bench", Epoch: 1, Position: s.blobs}}
}

// Blobs implements State.
func (s benchState) Blobs() Cursor[Blob] {
	return &benchBlobs{benchIDs: s.ids(), row: Blob{Blob: recovery.Blob{Encoding: recovery.Raw}}}
}

// Registrations implements State.
func (s benchState) Registrations() Cursor[Registration] {
	return &benchRegistrations{benchIDs: s.ids(), row: Registration{
		RegisteredEpoch: 1, Certified: true, CertifiedEpoch: 1, EndEpoch: recovery.EpochForever,
	}}
}

// Pooled implements State.
func (s benchState) Pooled() Cursor[Pooled] { return none[Pooled]{} }

// Pools implements State.
func (s benchState) Pools() []Pool { return nil }

func (s benchState) ids() benchIDs {
	return benchIDs{left: s.blobs, step: ^uint64(0) / max(s.blobs, 1)}
}

// id returns the i-th id.
func (s benchState) id(i uint64) (id recovery.BlobID) {
	ids := s.ids()
	ids.next = i
	ids.put((*[32]byte)(&id), new([32]byte))
	return id
}

// benchIDs makes ids: words that look random, of which the first one rises.
type benchIDs struct{ next, left, step uint64 }

// put stores the next one twice.
func (b *benchIDs) put(id, twin *[32]byte) {
	i := b.next
	b.next++
	b.left--
	w := scatter(i, 0x9e3779b97f4a7c15)
	within, _ := bits.Mul64(w, b.step) // below step
	binary.BigEndian.PutUint64(id[:], i*b.step+within)
	binary.BigEndian.PutUint64(twin[:], i*b.step+within)
	w = scatter(i, 0xd6e8feb86659fd93)
	binary.BigEndian.PutUint64(id[8:], w)
	binary.BigEndian.PutUint64(twin[8:], w)
	w = scatter(i, 0xbf58476d1ce4e5b9)
	binary.BigEndian.PutUint64(id[16:], w)
	binary.BigEndian.PutUint64(twin[16:], w)
	w = scatter(i, 0x94d049bb133111eb)
	binary.BigEndian.PutUint64(id[24:], w)
	binary.BigEndian.PutUint64(twin[24:], w)
}

// scatter makes numbers that look random from ones that don't.
func scatter(i, by uint64) uint64 {
	high, low := bits.Mul64(i^0xa0761d6478bd642f, by)
	return high ^ low
}

type benchBlobs struct {
	benchIDs
	row Blob
}

// Next implements Cursor.
func (b *benchBlobs) Next() (*Blob, error) {
	if b.left == 0 {
		return nil, nil
	}
	b.row.Size = int64(4096 + b.next%4096)
	b.put((*[32]byte)(&b.row.ID), &b.row.Digest)
	return &b.row, nil
}

type benchRegistrations struct {
	benchIDs
	row Registration
}

// Next implements Cursor.
func (b *benchRegistrations) Next() (*Registration, error) {
	if b.left == 0 {
		return nil, nil
	}
	b.put((*[32]byte)(b.row.Key[:32]), (*[32]byte)(b.row.Key[32:]))
	b.row.Gained = b.next
	return &b.row, nil
}
