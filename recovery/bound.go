package recovery

import (
	"encoding/hex"
	"fmt"
)

// Digest is the SHA-256 of a catalog's content; or, for a state between two
// snapshots, of how it was replayed, which only the node that replayed it can
// compare (ReplayedDigest).
type Digest [32]byte

// replayedMark ends a replayed digest; by chance a SHA-256 ends so once in 2^64.
const replayedMark = "replayed"

// ReplayedDigest names a state by a hash over the events that led to it: hashing
// all of a large catalog whenever it moves would be another rescan.
func ReplayedDigest(chain [32]byte) Digest {
	copy(chain[len(chain)-len(replayedMark):], replayedMark)
	return chain
}

// Replayed reports whether d says how a state was reached and not what is in it.
// Then another digest of the same position contradicts nothing.
func (d Digest) Replayed() bool { return string(d[len(d)-len(replayedMark):]) == replayedMark }

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes 64 hex digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hex digits.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("recovery: %.80q is not a digest", text)
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("recovery: %.80q is not a digest", text)
	}
	return nil
}

// Stamp says which state of the catalog an answer was given at.
type Stamp struct {
	Network  string `json:"network"`
	Epoch    uint32 `json:"epoch"`
	Position uint64 `json:"position"`
}

// Reaches reports whether an answer stamped s may serve a pass up to b.
func (s Stamp) Reaches(b Bound) bool {
	return s.Network == b.Network && s.Epoch >= b.Epoch && s.Position >= b.Position
}

// Bound is how far a pass reaches.
type Bound struct {
	Stamp
	Digest Digest `json:"digest"`
}

// String is for people: network@position (epoch, digest's first 16 digits).
func (b Bound) String() string {
	return fmt.Sprintf("%s@%d (epoch %d, %.16s)", b.Network, b.Position, b.Epoch, b.Digest)
}

// Ancestor is an earlier state that a catalog declares itself to descend from, or
// another name of its present one.
type Ancestor struct {
	Position uint64 `json:"position"`
	Digest   Digest `json:"digest"`
}

// Tip is the newest state a catalog can serve.
type Tip struct {
	Bound
	// Blobs and Bytes count the certified blobs of the bound. Bytes is
	// SizeUnknown where any size is.
	Blobs uint64
	Bytes int64
	// Ancestors are the states this one provably descends from (I6, lineage).
	Ancestors []Ancestor
	// Static: the catalog does not follow a network; it is complete as itself.
	Static bool
	// AtTip: everything the network has published is in it.
	AtTip bool
}

// contradicts reports whether t and b cannot both be the same network's state at
// their position.
func (t Tip) contradicts(b Bound) bool {
	return t.Position == b.Position && !t.Descends(b) && !t.Digest.Replayed() && !b.Digest.Replayed()
}

// Descends reports whether t provably continues b: the same state, or one whose
// ancestors include it.
func (t Tip) Descends(b Bound) bool {
	if t.Network != b.Network || t.Position < b.Position {
		return false
	}
	if t.Position == b.Position && t.Digest == b.Digest {
		return true
	}
	for _, a := range t.Ancestors {
		if a.Position == b.Position && a.Digest == b.Digest {
			return true
		}
	}
	return false
}
