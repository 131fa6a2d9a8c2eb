package snapshot

import (
	"bytes"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// Overlay is the state of a full snapshot with an incremental one over it. Both
// files stay open, and are the caller's to close. It may be used by many
// goroutines, as a Reader may.
type Overlay struct {
	base, delta *Reader
	pools       []Pool // by rising id
}

// Over returns the state that an incremental snapshot makes of its base. It
// reads pools only. Errors wrap ErrKind or ErrRow, are a *BaseError where the
// incremental belongs to another state, or are those of reading.
//
// An incremental may drop keys that the base has not, or put in rows that are in
// it already; only WriteIncremental's have neither.
func Over(base, incremental *Reader) (*Overlay, error) {
	if err := checkBase(base, incremental.Header(), incremental.d.path); err != nil {
		return nil, err
	}
	o := &Overlay{base: base, delta: incremental}
	pools := Lay(&memory[Pool, *Pool]{rows: base.pools}, incremental.PoolDeltas())
	for {
		p, err := pools.Next()
		switch {
		case err != nil:
			return nil, err
		case p == nil:
			return o, nil
		case len(o.pools) == MaxPools:
			return nil, fmt.Errorf("%w: %s over %s has more than %d pools", ErrRow, incremental.d.path, base.d.path, MaxPools)
		}
		o.pools = append(o.pools, *p)
	}
}

// checkBase reports why the incremental with that header cannot lie over base.
func checkBase(base *Reader, h Header, path string) error {
	switch {
	case base.head.Base != nil:
		return fmt.Errorf("%w: %s is incremental, and no base", ErrKind, base.d.path)
	case h.Base == nil:
		return fmt.Errorf("%w: %s is full, and lies over nothing", ErrKind, path)
	}
	have := base.Bound()
	if h.Network != have.Network || h.Epoch < have.Epoch || h.Base.Position != have.Position || h.Base.Digest != have.Digest {
		return &BaseError{Path: path, State: h.Stamp, Wants: *h.Base, BasePath: base.d.path, Base: have}
	}
	return nil
}

// Header implements State.
func (o *Overlay) Header() Header {
	h := o.delta.head
	h.Base = nil
	return h
}

// Blobs implements State.
func (o *Overlay) Blobs() Cursor[Blob] { return Lay(o.base.Cursors().Blobs, o.delta.BlobDeltas()) }

// Registrations implements State.
func (o *Overlay) Registrations() Cursor[Registration] {
	return Lay(o.base.Cursors().Registrations, o.delta.RegistrationDeltas())
}

// Pooled implements State.
func (o *Overlay) Pooled() Cursor[Pooled] {
	return Lay(o.base.Cursors().Pooled, o.delta.PooledDeltas())
}

// Pools implements State.
func (o *Overlay) Pools() []Pool { return o.pools }

// Cursors returns seekable cursors over the state.
func (o *Overlay) Cursors() Cursors {
	b := o.base.Cursors()
	return Cursors{
		Blobs:         Lay(b.Blobs, o.delta.BlobDeltas()),
		Registrations: Lay(b.Registrations, o.delta.RegistrationDeltas()),
		Pooled:        Lay(b.Pooled, o.delta.PooledDeltas()),
	}
}

// Scan returns a scan that begins before the first blob.
func (o *Overlay) Scan() *Scan {
	s := NewScan(o.delta.head.Stamp, o.Cursors(), o.pools)
	s.place = func(err error) error { return fmt.Errorf("read %s over %s: %w", o.delta.d.path, o.base.d.path, err) }
	return s
}

// Lookup returns point look-ups in the state.
func (o *Overlay) Lookup() *Lookup { return NewLookup(o.Cursors(), o.pools) }

// Lay returns a table with changes laid over it: a row that is put in stands
// for the base's, and a dropped key hides it.
func Lay[R any, P Row[R]](base Seeker[R], delta DeltaCursor[R]) Seeker[R] {
	return &laid[R, P]{base: base, delta: delta, readBase: true, readDelta: true}
}

// laid merges a base with what changes in it, both read one row ahead.
type laid[R any, P Row[R]] struct {
	base  Seeker[R]
	delta DeltaCursor[R]

	old, put            *R   // read ahead; nil: the end
	dropped             bool // put is a dropped key
	readBase, readDelta bool // the row read ahead was taken
	err                 error
}

// Next implements Cursor.
func (l *laid[R, P]) Next() (*R, error) {
	for {
		if err := l.readAhead(); err != nil {
			return nil, err
		}
		order := -1 // whose key is lower: the base's
		switch {
		case l.put == nil && l.old == nil:
			return nil, nil
		case l.old == nil:
			order = 1
		case l.put != nil:
			order = bytes.Compare(P(l.old).RowKey(), P(l.put).RowKey())
		}
		l.readBase, l.readDelta = order <= 0, order >= 0
		switch {
		case order < 0:
			return l.old, nil
		case !l.dropped:
			return l.put, nil
		}
	}
}

func (l *laid[R, P]) readAhead() error {
	if l.err == nil && l.readBase {
		l.old, l.err = l.base.Next()
		l.readBase = false
	}
	if l.err == nil && l.readDelta {
		l.put, l.dropped, l.err = l.delta.Next()
		l.readDelta = false
	}
	return l.err
}

// Seek implements Seeker.
func (l *laid[R, P]) Seek(id recovery.BlobID) error {
	if l.err == nil {
		l.err = l.base.Seek(id)
	}
	if l.err == nil {
		l.err = l.delta.Seek(id)
	}
	l.readBase, l.readDelta = true, true
	return l.err
}

// BaseError reports an incremental snapshot over another state than it was
// made for.
type BaseError struct {
	Path     string            // of the incremental
	State    recovery.Stamp    // the one it leads to
	Wants    recovery.Ancestor // the base it names
	BasePath string
	Base     recovery.Bound // the base that was given
}

// Error names both states and what to do.
func (e *BaseError) Error() string {
	if e.State.Network != e.Base.Network {
		return fmt.Sprintf("snapshot: %s is of network %q, its base %s of %q (they do not belong together)",
			e.Path, e.State.Network, e.BasePath, e.Base.Network)
	}
	if e.State.Epoch < e.Base.Epoch {
		return fmt.Sprintf("snapshot: %s is of epoch %d, its base %s of epoch %d (they do not belong together)",
			e.Path, e.State.Epoch, e.BasePath, e.Base.Epoch)
	}
	return fmt.Sprintf("snapshot: %s changes position %d, digest %v; %s holds position %d, digest %v (give it its own base)",
		e.Path, e.Wants.Position, e.Wants.Digest, e.BasePath, e.Base.Position, e.Base.Digest)
}
