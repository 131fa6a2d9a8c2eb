package event

import (
	"bytes"
	"maps"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Model is a state in memory, kept in the simplest way there is: what ends is
// removed when its epoch begins. It is what other keepers of a state are compared
// with, and does for small catalogs. One goroutine uses it at a time.
type Model struct {
	stamp  recovery.Stamp
	blobs  rows[recovery.BlobID, snapshot.Blob, *snapshot.Blob]
	own    rows[snapshot.Key, snapshot.Registration, *snapshot.Registration]
	pooled rows[snapshot.Key, snapshot.Pooled, *snapshot.Pooled]
	pools  rows[snapshot.PoolID, snapshot.Pool, *snapshot.Pool]
}

// NewModel returns the state of a network before its first event.
func NewModel(network string) *Model {
	return &Model{
		stamp: recovery.Stamp{Network: network},
		blobs: map[recovery.BlobID]snapshot.Blob{}, own: map[snapshot.Key]snapshot.Registration{},
		pooled: map[snapshot.Key]snapshot.Pooled{}, pools: map[snapshot.PoolID]snapshot.Pool{},
	}
}

// ModelOf returns a state that events can follow: without what has ended, and
// with positions in place of unknown ones, which are those of s.
func ModelOf(s snapshot.State) (*Model, error) {
	m := NewModel("")
	m.stamp = s.Header().Stamp
	err := load(s.Blobs(), m.blobs.Put)
	if err == nil {
		err = load(s.Registrations(), func(r snapshot.Registration) error {
			r.Gained = Gained(r.Certified, r.Gained, m.stamp.Position)
			return m.own.Put(r)
		})
	}
	if err == nil {
		err = load(s.Pooled(), func(p snapshot.Pooled) error {
			p.Gained = Gained(p.Certified, p.Gained, m.stamp.Position)
			return m.pooled.Put(p)
		})
	}
	if err != nil {
		return nil, err
	}
	for _, p := range s.Pools() {
		p.Gained = Gained(true, p.Gained, m.stamp.Position)
		m.pools[p.ID] = p
	}
	return m, m.Start(m.stamp.Epoch)
}

func load[R any](from snapshot.Cursor[R], put func(R) error) error {
	for {
		row, err := from.Next()
		if row == nil || err != nil {
			return err
		}
		if err := put(*row); err != nil {
			return err
		}
	}
}

// Gained is the gained position of a row of a state that events follow: where a
// certification does not know it, it is the position of the state that the row
// was in first (DESIGN 1).
func Gained(certified bool, gained, position uint64) uint64 {
	if certified && gained == 0 {
		return position
	}
	return gained
}

// Apply makes the next event part of the state. Errors are a *MissingError or
// those of Apply; the state is as before then.
func (m *Model) Apply(e *Event) error {
	if next := m.stamp.Position + 1; e.Position != next {
		return &MissingError{First: next, Found: e.Position}
	}
	if err := Apply(m.tables(), e); err != nil {
		return err
	}
	m.stamp.Position = e.Position
	return nil
}

func (m *Model) tables() Tables {
	return Tables{Blobs: m.blobs, Registrations: m.own, Pooled: m.pooled, Pools: m.pools, Epochs: m}
}

// Stamp says which state it is.
func (m *Model) Stamp() recovery.Stamp { return m.stamp }

// Epoch implements Epochs.
func (m *Model) Epoch() uint32 { return m.stamp.Epoch }

// Start implements Epochs.
func (m *Model) Start(epoch uint32) error {
	m.stamp.Epoch = epoch
	maps.DeleteFunc(m.own, func(_ snapshot.Key, r snapshot.Registration) bool { return r.EndEpoch <= epoch })
	maps.DeleteFunc(m.pools, func(_ snapshot.PoolID, p snapshot.Pool) bool { return p.EndEpoch <= epoch })
	maps.DeleteFunc(m.pooled, func(_ snapshot.Key, p snapshot.Pooled) bool {
		_, there := m.pools[p.Pool]
		return !there
	})
	registered := map[recovery.BlobID]bool{}
	for k := range m.own {
		registered[k.Blob()] = true
	}
	for k := range m.pooled {
		registered[k.Blob()] = true
	}
	maps.DeleteFunc(m.blobs, func(id recovery.BlobID, b snapshot.Blob) bool { return b.Invalidated == 0 && !registered[id] })
	return nil
}

// Certified returns the certified blobs by rising id.
func (m *Model) Certified() []recovery.Row {
	live := map[recovery.BlobID]recovery.Row{}
	add := func(k snapshot.Key, epoch, end uint32, gained uint64) {
		b := m.blobs[k.Blob()]
		row := live[b.ID]
		live[b.ID] = recovery.Row{
			Blob: b.Blob, CertifiedEpoch: max(row.CertifiedEpoch, epoch), EndEpoch: max(row.EndEpoch, end),
			Gained: max(row.Gained, gained),
		}
	}
	for k, r := range m.own {
		if r.Certified && !r.Deleted {
			add(k, r.CertifiedEpoch, r.EndEpoch, r.Gained)
		}
	}
	for k, p := range m.pooled {
		if pool := m.pools[p.Pool]; p.Certified {
			add(k, p.CertifiedEpoch, pool.EndEpoch, max(p.Gained, pool.Gained))
		}
	}
	maps.DeleteFunc(live, func(id recovery.BlobID, _ recovery.Row) bool { return m.blobs[id].Invalidated != 0 })
	return slices.SortedFunc(maps.Values(live), func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
}

// State returns the state as it is now; later events do not change it.
func (m *Model) State() snapshot.State {
	return &modelState{
		head: snapshot.Header{Stamp: m.stamp}, blobs: m.blobs.sorted(), own: m.own.sorted(),
		pooled: m.pooled.sorted(), pools: m.pools.sorted(),
	}
}

type modelState struct {
	head   snapshot.Header
	blobs  []snapshot.Blob
	own    []snapshot.Registration
	pooled []snapshot.Pooled
	pools  []snapshot.Pool
}

func (s *modelState) Header() snapshot.Header { return s.head }
func (s *modelState) Blobs() snapshot.Cursor[snapshot.Blob] {
	return &sliceCursor[snapshot.Blob]{s.blobs}
}
func (s *modelState) Pools() []snapshot.Pool { return s.pools }
func (s *modelState) Pooled() snapshot.Cursor[snapshot.Pooled] {
	return &sliceCursor[snapshot.Pooled]{s.pooled}
}
func (s *modelState) Registrations() snapshot.Cursor[snapshot.Registration] {
	return &sliceCursor[snapshot.Registration]{s.own}
}

// sliceCursor yields the rows of a slice, which it does not change.
type sliceCursor[R any] struct{ rest []R }

func (c *sliceCursor[R]) Next() (*R, error) {
	if len(c.rest) == 0 {
		return nil, nil
	}
	row := c.rest[0]
	c.rest = c.rest[1:]
	return &row, nil
}

// rows is a table of a Model.
type rows[K ~[32]byte | ~[64]byte, R any, P snapshot.Row[R]] map[K]R

// Get implements Table.
func (t rows[K, R, P]) Get(key K) (R, bool, error) {
	row, there := t[key]
	return row, there, nil
}

// Put implements Table.
func (t rows[K, R, P]) Put(row R) error {
	t[K(P(&row).RowKey())] = row
	return nil
}

func (t rows[K, R, P]) sorted() []R {
	return slices.SortedFunc(maps.Values(t), func(a, b R) int { return bytes.Compare(P(&a).RowKey(), P(&b).RowKey()) })
}
