package snapshot

import (
	"crypto/sha256"
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
func (s benchState) Blobs() Cursor[Blob] { return newBenchBlobs(s.ids()) }

// Registrations implements State.
func (s benchState) Registrations() Cursor[Registration] { return newBenchRegistrations(s.ids()) }

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
	head, slot := ids.head()
	binary.BigEndian.PutUint64(id[:], head)
	benchTail(slot, id[:])
	return id
}

// benchIDs makes ids: a first word that rises, behind it one of benchTails tails.
type benchIDs struct{ next, left, step uint64 }

// benchTails is how many rows a table is made of, by turns.
const benchTails = 1 << 6

// head returns the next first word, and the row to put it into.
func (b *benchIDs) head() (word uint64, slot int) {
	i := b.next
	b.next++
	b.left--
	within, _ := bits.Mul64(i*0x9e3779b97f4a7c15, b.step) // below step
	return i*b.step + within, int(i % benchTails)
}

// benchTail fills in what follows the first word.
func benchTail(slot int, id []byte) {
	sum := sha256.Sum256([]byte{byte(slot), byte(slot >> 8)})
	copy(id[8:32], sum[:])
}

type benchBlobs struct {
	benchIDs
	rows [benchTails]Blob
}

func newBenchBlobs(ids benchIDs) *benchBlobs {
	b := &benchBlobs{benchIDs: ids}
	for i := range b.rows {
		r := &b.rows[i]
		r.Encoding, r.Size = recovery.Raw, int64(4<<10+i)
		benchTail(i, r.ID[:])
		r.Digest = r.ID
	}
	return b
}

// Next implements Cursor.
func (b *benchBlobs) Next() (*Blob, error) {
	if b.left == 0 {
		return nil, nil
	}
	head, i := b.head()
	row := &b.rows[i]
	binary.BigEndian.PutUint64(row.ID[:], head)
	binary.BigEndian.PutUint64(row.Digest[:], head)
	return row, nil
}

type benchRegistrations struct {
	benchIDs
	rows [benchTails]Registration
}

func newBenchRegistrations(ids benchIDs) *benchRegistrations {
	b := &benchRegistrations{benchIDs: ids}
	for i := range b.rows {
		r := &b.rows[i]
		*r = Registration{RegisteredEpoch: 1, Certified: true, CertifiedEpoch: 1, EndEpoch: recovery.EpochForever}
		benchTail(i, r.Key[:32])
		benchTail(i, r.Key[32:])
	}
	return b
}

// Next implements Cursor.
func (b *benchRegistrations) Next() (*Registration, error) {
	if b.left == 0 {
		return nil, nil
	}
	head, i := b.head()
	row := &b.rows[i]
	binary.BigEndian.PutUint64(row.Key[:], head)
	binary.BigEndian.PutUint64(row.Key[32:], head)
	row.Gained = b.next
	return row, nil
}
