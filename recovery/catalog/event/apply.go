package event

import (
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Table is one table of the state that events are applied to.
type Table[K, R any] interface {
	// Get returns the row of a key in the present state; there is false where it
	// has none, or none any more.
	Get(key K) (row R, there bool, err error)
	// Put sets the row of its key.
	Put(row R) error
}

// Epochs is the present epoch of a state.
type Epochs interface {
	Epoch() uint32
	// Start begins an epoch and drops what has ended by then: registrations and
	// pools whose end epoch has come, registrations whose pool was dropped, and
	// then blobs that nothing registers any more, except invalidated ones. Get
	// returns none of these from then on. Whether they are removed at once or
	// passed over while reading is the implementation's matter.
	Start(epoch uint32) error
}

// Tables is the state that events are applied to. Nothing in it has ended at
// its epoch.
type Tables struct {
	Blobs         Table[recovery.BlobID, snapshot.Blob]
	Registrations Table[snapshot.Key, snapshot.Registration]
	Pooled        Table[snapshot.Key, snapshot.Pooled]
	Pools         Table[snapshot.PoolID, snapshot.Pool]
	Epochs        Epochs
}

// Apply makes an event, which must be valid, part of the state. That it is the
// next one is the caller's to see to. An event that contradicts the state is a
// *ContradictionError, and changes nothing; any other error is that of a table,
// after which the state is undefined.
//
// A registration is live from Register until it is deleted or ends; its key may
// be registered again after that. What the events of a network agree on is not
// looked at twice: certifying again moves the certified epoch and gained, and
// extending to the same epoch does nothing. A blob that is invalidated without
// being there is left alone: nothing certifies it.
func Apply(t Tables, e *Event) error {
	switch e.Kind {
	case EpochStarted:
		return startEpoch(t, e)
	case Register:
		return register(t, e)
	case Certify:
		return certify(t, e)
	case Extend:
		return extend(t, e)
	case Delete:
		return remove(t, e)
	case Invalidate:
		return invalidate(t, e)
	case PoolCreated:
		return createPool(t, e)
	case PoolExtended:
		return extendPool(t, e)
	}
	return e.Validate()
}

// contradicts says that the event cannot be, given the state.
func (e *Event) contradicts(format string, args ...any) error {
	key := fmt.Sprintf("epoch %d", e.Epoch)
	switch h := e.has(); {
	case h.object && e.Object != e.Blob:
		key = fmt.Sprintf("blob %v, object %x", e.Blob, e.Object)
	case h.blob:
		key = fmt.Sprintf("blob %v", e.Blob)
	case h.pool:
		key = fmt.Sprintf("pool %v", e.Pool)
	}
	return &ContradictionError{Position: e.Position, Kind: e.Kind, Key: key, What: fmt.Sprintf(format, args...)}
}

func startEpoch(t Tables, e *Event) error {
	if now := t.Epochs.Epoch(); e.Epoch <= now {
		return e.contradicts("it is epoch %d already", now)
	}
	return t.Epochs.Start(e.Epoch)
}

func register(t Tables, e *Event) error {
	now := t.Epochs.Epoch()
	if !e.pooled() && e.EndEpoch <= now {
		return e.contradicts("it would end in epoch %d, and it is epoch %d", e.EndEpoch, now)
	}
	if e.pooled() {
		if _, there, err := t.Pools.Get(e.Pool); err != nil {
			return err
		} else if !there {
			return e.contradicts("there is no pool %v", e.Pool)
		}
	}
	blob, known, err := t.Blobs.Get(e.Blob)
	if err != nil {
		return err
	}
	is := snapshot.Blob{Blob: recovery.Blob{ID: e.Blob, Size: e.Size, Encoding: e.Encoding, Digest: e.Digest}}
	if known && blob.Blob != is.Blob {
		return e.contradicts("it has %d bytes, encoding %v and digest %x; it was registered with %d, %v and %x",
			is.Size, is.Encoding, is.Digest, blob.Size, blob.Encoding, blob.Digest)
	}
	if known {
		if free, err := keyFree(t, e.Key()); err != nil {
			return err
		} else if !free {
			return e.contradicts("it is registered already")
		}
	} else if err := t.Blobs.Put(is); err != nil {
		return err
	}
	if e.pooled() {
		return t.Pooled.Put(snapshot.Pooled{Key: e.Key(), RegisteredEpoch: now, Pool: e.Pool})
	}
	return t.Registrations.Put(snapshot.Registration{
		Key: e.Key(), RegisteredEpoch: now, EndEpoch: e.EndEpoch, Deletable: e.Deletable,
	})
}

// keyFree reports whether no live registration, of either table, has the key.
func keyFree(t Tables, key snapshot.Key) (bool, error) {
	own, there, err := t.Registrations.Get(key)
	if err != nil || there && !own.Deleted {
		return false, err
	}
	_, there, err = t.Pooled.Get(key)
	return !there, err
}

// certify certifies the blob's own registration, or else the pooled one.
func certify(t Tables, e *Event) error {
	key, now := e.Key(), t.Epochs.Epoch()
	own, there, err := t.Registrations.Get(key)
	if err != nil {
		return err
	}
	if there && !own.Deleted {
		own.Certified, own.CertifiedEpoch, own.Gained = true, now, e.Position
		return t.Registrations.Put(own)
	}
	pooled, inPool, err := t.Pooled.Get(key)
	switch {
	case err != nil:
		return err
	case inPool:
		pooled.Certified, pooled.CertifiedEpoch, pooled.Gained = true, now, e.Position
		return t.Pooled.Put(pooled)
	case there:
		return e.contradicts("it was deleted")
	}
	return e.contradicts("it is not registered")
}

// own returns the live registration that the event is about.
func own(t Tables, e *Event) (snapshot.Registration, error) {
	r, there, err := t.Registrations.Get(e.Key())
	switch {
	case err != nil:
		return r, err
	case there && r.Deleted:
		return r, e.contradicts("it was deleted")
	case there:
		return r, nil
	}
	_, there, err = t.Pooled.Get(e.Key())
	switch {
	case err != nil:
		return r, err
	case there:
		return r, e.contradicts("it lives and ends with its pool")
	}
	return r, e.contradicts("it is not registered")
}

func extend(t Tables, e *Event) error {
	r, err := own(t, e)
	switch {
	case err != nil:
		return err
	case e.EndEpoch < r.EndEpoch:
		return e.contradicts("it would end in epoch %d instead of %d", e.EndEpoch, r.EndEpoch)
	case e.EndEpoch == r.EndEpoch:
		return nil
	}
	r.EndEpoch = e.EndEpoch
	if r.Certified {
		r.Gained = e.Position
	}
	return t.Registrations.Put(r)
}

func remove(t Tables, e *Event) error {
	r, err := own(t, e)
	switch {
	case err != nil:
		return err
	case !r.Deletable:
		return e.contradicts("it is not deletable")
	}
	r.Deleted = true
	return t.Registrations.Put(r)
}

func invalidate(t Tables, e *Event) error {
	blob, known, err := t.Blobs.Get(e.Blob)
	if err != nil || !known || blob.Invalidated != 0 {
		return err
	}
	blob.Invalidated = e.Position
	return t.Blobs.Put(blob)
}

func createPool(t Tables, e *Event) error {
	now := t.Epochs.Epoch()
	_, there, err := t.Pools.Get(e.Pool)
	switch {
	case err != nil:
		return err
	case there:
		return e.contradicts("it is there already")
	case e.EndEpoch <= now:
		return e.contradicts("it would end in epoch %d, and it is epoch %d", e.EndEpoch, now)
	}
	return t.Pools.Put(snapshot.Pool{ID: e.Pool, StartEpoch: now, EndEpoch: e.EndEpoch, Gained: e.Position})
}

func extendPool(t Tables, e *Event) error {
	pool, there, err := t.Pools.Get(e.Pool)
	switch {
	case err != nil:
		return err
	case !there:
		return e.contradicts("it is not there")
	case e.EndEpoch < pool.EndEpoch:
		return e.contradicts("it would end in epoch %d instead of %d", e.EndEpoch, pool.EndEpoch)
	case e.EndEpoch == pool.EndEpoch:
		return nil
	}
	pool.EndEpoch, pool.Gained = e.EndEpoch, e.Position
	return t.Pools.Put(pool)
}
