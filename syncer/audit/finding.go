package audit

import (
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// Kind says what is wrong with a piece.
type Kind string

// Of what should be stored.
const (
	// Missing: nothing is there.
	Missing Kind = "missing"
	// WrongSize: more or fewer bytes than the catalog says.
	WrongSize Kind = "wrong_size"
	// Rotten: the right name and size, and other bytes (bit rot).
	Rotten Kind = "rotten"
	// Irregular: a directory, a link or the like has the piece's name.
	Irregular Kind = "not_regular"
	// Unreadable: it is there, and the system does not let it be read.
	Unreadable Kind = "unreadable"
)

// Of what need not be stored.
const (
	// NotCertified: stored, and not certified, or expired.
	NotCertified Kind = "not_certified"
	// NotOwned: stored in a shard that this node does not own.
	NotOwned Kind = "not_owned"
	// Misplaced: stored in an owned shard that holds no piece of it.
	Misplaced Kind = "misplaced"
	// Stray: a name in a shard's directory that no piece has.
	Stray Kind = "stray"
)

// Wrong lists the kinds of what should be stored and is not as it should be.
func Wrong() []Kind { return []Kind{Missing, WrongSize, Rotten, Irregular, Unreadable} }

// Needless lists the kinds of what need not be stored.
func Needless() []Kind { return []Kind{NotCertified, NotOwned, Misplaced, Stray} }

// Finding is one piece that is not as it should be.
type Finding struct {
	Kind  Kind   `json:"finding"`
	Shard uint32 `json:"shard"`
	// Manifest: it is about the blob's manifest, or the directory of the manifests,
	// and Shard means nothing.
	Manifest bool            `json:"manifest,omitempty"`
	ID       recovery.BlobID `json:"id"`
	// Want and Have are sizes in bytes, set where they differ.
	Want int64 `json:"want,omitempty"`
	Have int64 `json:"have,omitempty"`
	// Err is why it cannot be read, or what is there instead.
	Err string `json:"error,omitempty"`
	// Denied: this process may not read it. That says nothing about its bytes.
	Denied bool `json:"denied,omitempty"`
}

// Place is the directory that the finding is about: a shard's, or store.Manifests.
func (f Finding) Place() uint32 {
	if f.Manifest {
		return store.Manifests
	}
	return f.Shard
}

// about makes a finding about a place.
func about(kind Kind, place uint32) Finding {
	if place == store.Manifests {
		return Finding{Kind: kind, Manifest: true}
	}
	return Finding{Kind: kind, Shard: place}
}

// Mendable reports whether fetching the piece again and replacing what is there
// sets it right. What is no regular file is nothing that recoverd made, and must be
// taken away by whoever did.
func (f Finding) Mendable() bool {
	switch f.Kind {
	case Missing, WrongSize, Rotten:
		return true
	case Unreadable:
		return !f.Denied
	}
	return false
}

// String is for people, without the path.
func (f Finding) String() string {
	switch f.Kind {
	case Missing:
		return "missing"
	case WrongSize:
		return fmt.Sprintf("wrong size: %d bytes instead of %d", f.Have, f.Want)
	case Rotten:
		return "bit rot: the name is right, the bytes are not"
	case Irregular:
		return f.Err
	case Unreadable:
		return "cannot be read: " + f.Err
	case NotCertified:
		return "stored, and not certified"
	case NotOwned:
		return "stored, and its shard is not owned"
	case Misplaced:
		return "stored, and the blob has no place in this shard"
	case Stray:
		return "no piece: " + f.Err
	}
	return string(f.Kind)
}
