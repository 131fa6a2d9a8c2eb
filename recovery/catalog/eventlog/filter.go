package eventlog

import (
	"bytes"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// filter says what of the rows that lie there is in the canonical state.
type filter struct {
	at   recovery.Stamp // of the state
	from uint64         // what an unknown gained position stands for: the base's
	live []snapshot.Pool
}

// newFilter returns the filter of a state, given all pools that lie there.
func newFilter(at recovery.Stamp, from uint64, pools []snapshot.Pool) filter {
	f := filter{at: at, from: from}
	for i := range pools {
		if pools[i].EndEpoch > at.Epoch {
			f.live = append(f.live, known(&pools[i], from))
		}
	}
	return f
}

func (f *filter) registration(r *snapshot.Registration) bool {
	*r = known(r, f.from)
	return r.EndEpoch > f.at.Epoch
}

func (f *filter) pooled(p *snapshot.Pooled) bool {
	*p = known(p, f.from)
	return findPool(f.live, p.Pool) != nil
}

// findPool looks a pool up in a list by rising id.
func findPool(pools []snapshot.Pool, id snapshot.PoolID) *snapshot.Pool {
	i, found := slices.BinarySearchFunc(pools, id, func(p snapshot.Pool, id snapshot.PoolID) int { return bytes.Compare(p.ID[:], id[:]) })
	if !found {
		return nil
	}
	return &pools[i]
}

// filtered is a canonical state: without what has ended, and with positions in
// place of unknown ones.
type filtered struct {
	head snapshot.Header
	raw  func() snapshot.Cursors // what lies there; each time from the first row
	by   filter
}

// Header implements snapshot.State.
func (s *filtered) Header() snapshot.Header { return s.head }

// Registrations implements snapshot.State.
func (s *filtered) Registrations() snapshot.Cursor[snapshot.Registration] {
	return &sieve[snapshot.Registration]{in: s.raw().Registrations, keep: s.by.registration}
}

// Pooled implements snapshot.State.
func (s *filtered) Pooled() snapshot.Cursor[snapshot.Pooled] {
	return &sieve[snapshot.Pooled]{in: s.raw().Pooled, keep: s.by.pooled}
}

// Pools implements snapshot.State.
func (s *filtered) Pools() []snapshot.Pool { return s.by.live }

// Blobs implements snapshot.State.
func (s *filtered) Blobs() snapshot.Cursor[snapshot.Blob] {
	return &registered{in: s.raw().Blobs, own: s.Registrations(), pooled: s.Pooled()}
}

// sieve yields the rows that keep accepts, as it left them.
type sieve[R any] struct {
	in   snapshot.Cursor[R]
	keep func(*R) bool
	row  R
}

// Next implements snapshot.Cursor.
func (s *sieve[R]) Next() (*R, error) {
	for {
		row, err := s.in.Next()
		if row == nil || err != nil {
			return nil, err
		}
		if s.row = *row; s.keep(&s.row) {
			return &s.row, nil
		}
	}
}

// registered yields the blobs that a registration stands for, and those that
// were invalidated.
type registered struct {
	in     snapshot.Cursor[snapshot.Blob]
	own    snapshot.Cursor[snapshot.Registration]
	pooled snapshot.Cursor[snapshot.Pooled]

	first   snapshot.Key // the next one's, of own
	second  snapshot.Key // of pooled
	one     bool         // first is set
	two     bool
	started bool
}

// Next implements snapshot.Cursor.
func (c *registered) Next() (*snapshot.Blob, error) {
	for {
		b, err := c.in.Next()
		if b == nil || err != nil {
			return nil, err
		}
		stands, err := c.stands(b.ID)
		if err != nil {
			return nil, err
		}
		if stands || b.Invalidated != 0 {
			return b, nil
		}
	}
}

// stands reports whether any registration is of the blob, and goes past those of
// blobs before it.
func (c *registered) stands(id recovery.BlobID) (bool, error) {
	if !c.started {
		c.started = true
		if err := c.next(); err != nil {
			return false, err
		}
		if err := c.nextPooled(); err != nil {
			return false, err
		}
	}
	for c.one && bytes.Compare(c.first[:32], id[:]) < 0 {
		if err := c.next(); err != nil {
			return false, err
		}
	}
	for c.two && bytes.Compare(c.second[:32], id[:]) < 0 {
		if err := c.nextPooled(); err != nil {
			return false, err
		}
	}
	return c.one && c.first.Blob() == id || c.two && c.second.Blob() == id, nil
}

func (c *registered) next() error {
	r, err := c.own.Next()
	if c.one = r != nil; c.one {
		c.first = r.Key
	}
	return err
}

func (c *registered) nextPooled() error {
	p, err := c.pooled.Next()
	if c.two = p != nil; c.two {
		c.second = p.Key
	}
	return err
}
