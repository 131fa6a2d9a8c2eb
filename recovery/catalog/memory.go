package catalog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sort"
	"sync"

	"github.com/recoverd/recoverd/recovery"
)

// Memory is a catalog in memory, for embedders with a list of their own and for
// tests. Changes become visible with the next Pin. It may be used by many
// goroutines.
type Memory struct {
	mu     sync.Mutex
	rows   map[recovery.BlobID]recovery.Row
	tip    recovery.Tip  // of the changes made so far; sums and digest are filled in by Pin
	pinned *memoryState  // nil before the first Pin
	dirty  bool          // changed since the pinned state
	told   bool          // SetTip said what the ancestors are
	wake   chan struct{} // closed and replaced by every change
}

// memoryState is what a Pin has frozen. It is never changed.
type memoryState struct {
	tip  recovery.Tip
	rows []recovery.Row // by rising id, certified at the tip's epoch
}

// NewMemory returns an empty catalog of a network, at epoch 1, position 0 and
// at its tip.
func NewMemory(network string) *Memory {
	m := &Memory{rows: make(map[recovery.BlobID]recovery.Row), wake: make(chan struct{}), dirty: true}
	m.tip.Stamp = recovery.Stamp{Network: network, Epoch: 1}
	m.tip.AtTip = true
	return m
}

// Add certifies blobs, or certifies them anew. Each takes the next position; a
// row whose Gained is 0 gained its certification at it. Unset fields get what is
// usual: encoding raw, the id as digest, certified in the present epoch, no
// end.
func (m *Memory) Add(rows ...recovery.Row) {
	m.change(func() {
		for _, row := range rows {
			m.advance()
			m.rows[row.ID] = m.completed(row)
		}
	})
}

func (m *Memory) completed(row recovery.Row) recovery.Row {
	if row.Encoding == 0 {
		row.Encoding = recovery.Raw
	}
	if row.Digest == [32]byte{} && row.Encoding != recovery.Walrus {
		row.Digest = row.ID
	}
	row.CertifiedEpoch = cmp.Or(row.CertifiedEpoch, m.tip.Epoch)
	row.EndEpoch = cmp.Or(row.EndEpoch, recovery.EpochForever)
	row.Gained = cmp.Or(row.Gained, m.tip.Position)
	row.Stored = false
	return row
}

// Remove ends the certification of blobs. Each takes the next position.
func (m *Memory) Remove(ids ...recovery.BlobID) {
	m.change(func() {
		for _, id := range ids {
			m.advance()
			delete(m.rows, id)
		}
	})
}

// SetEpoch begins an epoch, which takes a position. Blobs whose end epoch has
// come are no longer certified.
func (m *Memory) SetEpoch(epoch uint32) {
	m.change(func() {
		m.advance()
		m.tip.Epoch = epoch
	})
}

// SetTip replaces what the catalog says of itself: network, epoch, position,
// ancestors, Static and AtTip. The sums are always those of the rows, and so is
// the digest unless tip sets one.
func (m *Memory) SetTip(tip recovery.Tip) {
	m.change(func() { m.tip, m.told = tip, true })
}

// advance takes the next position, which no digest that was set is of.
func (m *Memory) advance() {
	m.tip.Position++
	m.tip.Digest = recovery.Digest{}
}

func (m *Memory) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	m.dirty = true
	close(m.wake)
	m.wake = make(chan struct{})
}

// Pin implements Source. The states pinned before, up to 256, are the
// ancestors, unless SetTip said otherwise.
func (m *Memory) Pin(ctx context.Context) (recovery.Tip, error) {
	if ctx.Err() != nil {
		return recovery.Tip{}, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dirty {
		m.freeze()
	}
	return m.pinned.tip, nil
}

// freeze makes the changes so far the pinned state.
func (m *Memory) freeze() {
	s := &memoryState{tip: m.tip}
	for _, row := range m.rows {
		if row.EndEpoch > m.tip.Epoch {
			s.rows = append(s.rows, row)
		}
	}
	slices.SortFunc(s.rows, func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
	s.tip.Blobs = uint64(len(s.rows))
	s.tip.Bytes = 0
	for _, row := range s.rows {
		if row.Size == recovery.SizeUnknown {
			s.tip.Bytes = recovery.SizeUnknown
			break
		}
		s.tip.Bytes += row.Size
	}
	if s.tip.Digest == (recovery.Digest{}) {
		s.tip.Digest = digestOf(s)
	}
	if p := m.pinned; p != nil && !m.told && p.tip.Network == s.tip.Network && p.tip.Position < s.tip.Position {
		m.tip.Ancestors = extend(m.tip.Ancestors, p.tip.Bound)
		s.tip.Ancestors = slices.Clone(m.tip.Ancestors)
	}
	m.pinned, m.dirty, m.told = s, false, false
}

// memoryAncestors is how many ancestors a Memory remembers.
const memoryAncestors = 256

func extend(ancestors []recovery.Ancestor, b recovery.Bound) []recovery.Ancestor {
	a := recovery.Ancestor{Position: b.Position, Digest: b.Digest}
	if slices.Contains(ancestors, a) {
		return ancestors
	}
	ancestors = append(slices.Clone(ancestors), a)
	return ancestors[max(0, len(ancestors)-memoryAncestors):]
}

// digestOf names a state by its content. It is not the digest of a snapshot
// with the same rows: a Memory has no tables.
func digestOf(s *memoryState) recovery.Digest {
	h := sha256.New()
	var n []byte
	n = append(n, s.tip.Network...)
	n = binary.BigEndian.AppendUint32(append(n, 0), s.tip.Epoch)
	n = binary.BigEndian.AppendUint64(n, s.tip.Position)
	h.Write(n)
	for _, row := range s.rows {
		n = append(n[:0], row.ID[:]...)
		n = binary.BigEndian.AppendUint64(n, uint64(row.Size))
		n = append(append(n, byte(row.Encoding)), row.Digest[:]...)
		n = binary.BigEndian.AppendUint32(n, row.CertifiedEpoch)
		n = binary.BigEndian.AppendUint32(n, row.EndEpoch)
		n = binary.BigEndian.AppendUint64(n, row.Gained)
		h.Write(n)
	}
	return recovery.Digest(h.Sum(nil))
}

// state returns the pinned state.
func (m *Memory) state(ctx context.Context) (*memoryState, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pinned == nil {
		return nil, ErrNotPinned
	}
	return m.pinned, nil
}

var errNoRoom = errors.New("catalog: a page needs room for a row")

// Page implements Source.
func (m *Memory) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	s, err := m.state(ctx)
	if err != nil {
		return recovery.PageInfo{}, err
	}
	if len(rows) == 0 {
		return recovery.PageInfo{}, errNoRoom
	}
	from := sort.Search(len(s.rows), func(i int) bool { return !after.Covers(s.rows[i].ID) })
	n := copy(rows, s.rows[from:])
	return recovery.PageInfo{Stamp: s.tip.Stamp, N: n, End: from+n == len(s.rows)}, nil
}

// PageSince implements Narrower.
func (m *Memory) PageSince(ctx context.Context, since recovery.Bound, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	s, err := m.state(ctx)
	if err != nil {
		return recovery.PageInfo{}, err
	}
	if len(rows) == 0 {
		return recovery.PageInfo{}, errNoRoom
	}
	info := recovery.PageInfo{Stamp: s.tip.Stamp, End: true}
	for i := range s.rows {
		row := &s.rows[i]
		if row.Gained <= since.Position && row.CertifiedEpoch <= since.Epoch {
			continue
		}
		info.Pass++
		switch {
		case after.Covers(row.ID):
		case info.N == len(rows):
			info.End = false
		default:
			rows[info.N] = *row
			info.N++
		}
	}
	return info, nil
}

// Lookup implements Source.
func (m *Memory) Lookup(ctx context.Context, ids []recovery.BlobID) (recovery.Stamp, []recovery.Row, error) {
	s, err := m.state(ctx)
	if err != nil {
		return recovery.Stamp{}, nil, err
	}
	var rows []recovery.Row
	for _, id := range sortedOnce(ids) {
		i, ok := slices.BinarySearchFunc(s.rows, id, func(row recovery.Row, id recovery.BlobID) int { return row.ID.Compare(id) })
		if ok {
			rows = append(rows, s.rows[i])
		}
	}
	return s.tip.Stamp, rows, nil
}

// sortedOnce returns the ids in rising order, each once. It leaves ids alone.
func sortedOnce(ids []recovery.BlobID) []recovery.BlobID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, recovery.BlobID.Compare)
	return slices.Compact(ids)
}

// Changed implements Source.
func (m *Memory) Changed(ctx context.Context) error {
	for {
		m.mu.Lock()
		dirty, wake := m.dirty, m.wake
		m.mu.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if dirty {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}
