package shards

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Placement says which shards hold a piece of a blob. Changing it moves every
// blob, so it is part of what a checkpoint is bound to.
type Placement uint8

const (
	// Hashed keeps a blob whole on one shard: the first 8 bytes of its id,
	// big-endian, modulo the total number of shards.
	Hashed Placement = iota + 1
	// Striped keeps one piece of a blob on every shard.
	Striped
)

// MaxStriped is the largest number of shards that blobs can be striped over: an
// erasure code of bytes has no more pieces.
const MaxStriped = 256

var (
	// ErrPlacement reports an unknown placement name.
	ErrPlacement = errors.New("shards: unknown placement")
	// ErrTotal reports a number of shards that a placement cannot work with.
	ErrTotal = errors.New("shards: total shards does not fit the placement")
)

// ParsePlacement reads "hashed" or "striped".
func ParsePlacement(name string) (Placement, error) {
	switch name {
	case "hashed":
		return Hashed, nil
	case "striped":
		return Striped, nil
	}
	return 0, fmt.Errorf("%w %.40q", ErrPlacement, name)
}

func (p Placement) String() string {
	switch p {
	case Hashed:
		return "hashed"
	case Striped:
		return "striped"
	}
	return fmt.Sprintf("placement(%d)", uint8(p))
}

// MarshalText writes the placement's name.
func (p Placement) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Placement) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePlacement(string(text))
	return err
}

// CheckTotal reports, wrapping ErrTotal, a number of shards that p cannot place
// blobs on: none, more than MaxTotal, or more than MaxStriped when striped.
func (p Placement) CheckTotal(total uint32) error {
	limit := uint32(MaxTotal)
	if p == Striped {
		limit = MaxStriped
	}
	if total == 0 || total > limit {
		return fmt.Errorf("%w: %d shards, %v takes 1 to %d", ErrTotal, total, p, limit)
	}
	return nil
}

// Home returns the shard that holds a hashed blob, which is also the number of the
// piece that shard 0 holds of a striped one. total must be positive.
func Home(id [32]byte, total uint32) uint32 {
	return uint32(binary.BigEndian.Uint64(id[:8]) % uint64(total))
}

// PieceOf returns the piece of the blob that shard holds: 0 (the whole blob)
// when hashed, (home + shard) mod total when striped.
func (p Placement) PieceOf(id [32]byte, shard, total uint32) uint32 {
	if p == Striped {
		return (Home(id, total) + shard) % total
	}
	return 0
}

// ShardOf returns the shard that holds a piece of a striped blob. piece must be below
// total.
func ShardOf(id [32]byte, piece, total uint32) uint32 {
	return (piece + total - Home(id, total)) % total
}

// Holders returns the shards of owned that hold a piece of the blob, in rising
// order, appended to buf.
func (p Placement) Holders(buf []uint32, id [32]byte, total uint32, owned Set) []uint32 {
	if p == Striped {
		for s := range owned.All() {
			buf = append(buf, s)
		}
		return buf
	}
	if home := Home(id, total); owned.Contains(home) {
		buf = append(buf, home)
	}
	return buf
}

// Concerns reports whether any shard of owned holds a piece of the blob.
func (p Placement) Concerns(id [32]byte, total uint32, owned Set) bool {
	if p == Striped {
		return owned.Len() > 0
	}
	return owned.Contains(Home(id, total))
}
