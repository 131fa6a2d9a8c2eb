package snapshot

import (
	"encoding/hex"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// Table is one of the four tables of a state, numbered in file order.
type Table uint8

const (
	// Blobs: what never changes about a blob, and whether it was invalidated.
	Blobs Table = iota + 1
	// Registrations: certifications that a blob has of its own.
	Registrations
	// PooledRegistrations: certifications that live as long as a pool.
	PooledRegistrations
	// Pools: how long each pool lives.
	Pools
)

// tableCount is the number of tables in a file.
const tableCount = 4

func (t Table) String() string {
	switch t {
	case Blobs:
		return "blobs"
	case Registrations:
		return "registrations"
	case PooledRegistrations:
		return "pooled"
	case Pools:
		return "pools"
	}
	return fmt.Sprintf("table(%d)", uint8(t))
}

// PoolID names a pool.
type PoolID [32]byte

// String returns 64 hex digits.
func (p PoolID) String() string { return hex.EncodeToString(p[:]) }

// Key is the key of a registration: the blob's id followed by the id of the
// object that registered it. Keys order as bytes.
type Key [64]byte

// KeyOf returns the key of object's registration of blob.
func KeyOf(blob recovery.BlobID, object [32]byte) (k Key) {
	copy(k[:32], blob[:])
	copy(k[32:], object[:])
	return k
}

// Blob returns the id of the registered blob.
func (k *Key) Blob() recovery.BlobID { return recovery.BlobID(k[:32]) }

// Object returns the id of the object that registered it.
func (k *Key) Object() [32]byte { return [32]byte(k[32:]) }

// String returns both ids, blob/object, in hex.
func (k *Key) String() string { return fmt.Sprintf("%x/%x", k[:32], k[32:]) }

// native reports whether the blob stands for its own object.
func (k *Key) native() bool { return isNative(k[:]) }

// isNative is native for any key; those of 32 bytes are not.
func isNative(key []byte) bool {
	return len(key) == 64 && sameID((*[32]byte)(key[:32]), (*[32]byte)(key[32:]))
}

// Blob is a row of the blobs table. A Digest of zeros means that it is unknown.
type Blob struct {
	recovery.Blob
	// Invalidated is the position of the event that invalidated the blob, which
	// is never certified again; 0: it is not.
	Invalidated uint64
}

// Registration is a row of the registrations table. Where a network has no
// objects, the blob's own id stands for one, and costs no room.
type Registration struct {
	Key             Key
	RegisteredEpoch uint32
	Certified       bool
	CertifiedEpoch  uint32 // 0 unless Certified
	EndEpoch        uint32 // exclusive; recovery.EpochForever: none
	Deletable       bool
	Deleted         bool
	// Gained is the position of the last event that made or lengthened this
	// certification. 0 means unknown, and is read as the snapshot's position.
	Gained uint64
}

// Live reports whether the registration certifies its blob at epoch.
func (r *Registration) Live(epoch uint32) bool {
	return r.Certified && !r.Deleted && r.EndEpoch > epoch
}

// Pooled is a row of the pooled table: a registration that ends with its pool.
type Pooled struct {
	Key             Key
	RegisteredEpoch uint32
	Certified       bool
	CertifiedEpoch  uint32 // 0 unless Certified
	Pool            PoolID
	Gained          uint64 // as in Registration
}

// Pool is a row of the pools table.
type Pool struct {
	ID         PoolID
	StartEpoch uint32
	EndEpoch   uint32 // exclusive; recovery.EpochForever: none
	Gained     uint64 // as in Registration, of creating or extending the pool
}

// Counts are the rows of each table.
type Counts struct {
	Blobs, Registrations, Pooled, Pools uint64
}

// of returns the count of one table, to be read or changed.
func (c *Counts) of(t Table) *uint64 {
	return [...]*uint64{&c.Blobs, &c.Registrations, &c.Pooled, &c.Pools}[t-1]
}
