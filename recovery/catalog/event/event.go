package event

import (
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Kind says what happened.
type Kind uint8

// The kinds of DESIGN 8. Their numbers are in every log and never change.
const (
	// EpochStarted: an epoch begins. What has ended by then is dropped.
	EpochStarted Kind = iota + 1
	// Register: an object registers a blob, on its own or in a pool.
	Register
	// Certify: the network promises to keep a registered blob.
	Certify
	// Extend: a registration ends later than it would have.
	Extend
	// Delete: a deletable registration was given up.
	Delete
	// Invalidate: a blob is not certified any more, and never will be.
	Invalidate
	// PoolCreated: a pool that registrations can live in.
	PoolCreated
	// PoolExtended: a pool, and all in it, ends later.
	PoolExtended
)

// kindNames are the kinds' names in lines of JSON, by their number.
func kindNames() [9]string {
	return [...]string{
		EpochStarted: "epoch_started", Register: "register", Certify: "certify", Extend: "extend", Delete: "delete",
		Invalidate: "invalidate", PoolCreated: "pool_created", PoolExtended: "pool_extended",
	}
}

func (k Kind) String() string {
	if names := kindNames(); k != 0 && int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// parseKind reads a kind's name.
func parseKind(name string) (Kind, bool) {
	for k, n := range kindNames() {
		if n == name && n != "" {
			return Kind(k), true
		}
	}
	return 0, false
}

// Event is one event. Fields that its kind does not have are zero, so that two
// events are equal exactly when == says so.
type Event struct {
	Position uint64 // from 1
	Kind     Kind
	// Epoch is the one that begins (EpochStarted).
	Epoch uint32
	// Blob is whom it is about: all kinds but those of epochs and pools.
	Blob recovery.BlobID
	// Object is who registered the blob (Register, Certify, Extend, Delete). Where
	// a network has no objects, the blob's id stands for one.
	Object [32]byte
	// Size in bytes or recovery.SizeUnknown, Encoding and Digest are the blob's
	// (Register). A Digest of zeros is unknown.
	Size     int64
	Encoding recovery.Encoding
	Digest   [32]byte
	// Pool is the pool (PoolCreated, PoolExtended), or the one that a registration
	// lives in (Register; zeros: none).
	Pool snapshot.PoolID
	// EndEpoch is exclusive; recovery.EpochForever: none. Register outside of a
	// pool, Extend, PoolCreated, PoolExtended.
	EndEpoch uint32
	// Deletable: the registration may be given up (Register outside of a pool).
	Deletable bool
}

// Key is the key of the registration that the event is about.
func (e *Event) Key() snapshot.Key { return snapshot.KeyOf(e.Blob, e.Object) }

// pooled reports whether a Register is one in a pool.
func (e *Event) pooled() bool { return e.Pool != snapshot.PoolID{} }

// has says which groups of fields a kind has.
type has struct{ blob, object, content, pool, end bool }

func (e *Event) has() has {
	switch e.Kind {
	case Register:
		return has{blob: true, object: true, content: true, pool: e.pooled(), end: !e.pooled()}
	case Certify, Delete:
		return has{blob: true, object: true}
	case Extend:
		return has{blob: true, object: true, end: true}
	case Invalidate:
		return has{blob: true}
	case PoolCreated, PoolExtended:
		return has{pool: true, end: true}
	}
	return has{}
}

// Validate reports, wrapping ErrMalformed, what no event of its kind can be. It
// knows nothing of the state; Apply does.
func (e *Event) Validate() error {
	h := e.has()
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: position %d, %v: %s", ErrMalformed, e.Position, e.Kind, fmt.Sprintf(format, args...))
	}
	switch {
	case e.Position == 0:
		return bad("positions begin at 1")
	case e.Kind < EpochStarted || e.Kind > PoolExtended:
		return bad("there is no such kind")
	case (e.Epoch != 0) != (e.Kind == EpochStarted):
		return bad("epoch %d", e.Epoch)
	case e.Epoch == recovery.EpochForever:
		return bad("there is no epoch %d", e.Epoch)
	case !h.blob && e.Blob != recovery.BlobID{} || !h.object && e.Object != [32]byte{}:
		return bad("it is about no blob or object")
	case h.pool && !e.pooled():
		return bad("a pool's id is not zeros")
	case !h.pool && e.pooled():
		return bad("it is about no pool")
	case (e.EndEpoch != 0) != h.end:
		return bad("end epoch %d", e.EndEpoch)
	case e.Deletable && (e.Kind != Register || h.pool):
		return bad("only a registration of its own can be deletable")
	case !h.content && (e.Size != 0 || e.Encoding != 0 || e.Digest != [32]byte{}):
		return bad("it has a size, an encoding or a digest")
	case h.content:
		return e.validContent(bad)
	}
	return nil
}

func (e *Event) validContent(bad func(string, ...any) error) error {
	switch {
	case e.Encoding < recovery.Raw || e.Encoding > recovery.Walrus:
		return bad("encoding %d", uint8(e.Encoding))
	case e.Size < recovery.SizeUnknown, e.Size == recovery.SizeUnknown && e.Encoding != recovery.Walrus:
		return bad("a %v blob of %d bytes", e.Encoding, e.Size)
	case e.Encoding == recovery.Raw && e.Digest == [32]byte{}:
		return bad("a raw blob without a digest")
	}
	return nil
}

// usualDigest is the digest that a line leaves out: the id where blobs are
// content-addressed, and otherwise unknown.
func usualDigest(blob recovery.BlobID, enc recovery.Encoding) [32]byte {
	if enc == recovery.Raw {
		return blob
	}
	return [32]byte{}
}
