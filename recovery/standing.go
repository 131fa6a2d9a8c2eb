package recovery

import (
	"slices"

	"github.com/recoverd/recoverd/shards"
)

// Standing is what a run knows about one blob, and what a host needs to ask for it
// outside of the scan. It is a copy.
type Standing struct {
	Run uint64 // in force; 0: none, and Why says what is waited for
	Why string
	// Ownership is the newest one known, nil before the first.
	Ownership *shards.Ownership
	// Epoch is the present one, by which expiry is judged (hazard 26).
	Epoch uint32
	// The pair, and the scan position. Without a run in force they are the zero
	// value, and so are Covers and Placement.
	Covered   *Bound
	Bound     Bound
	Scan      Mark
	Covers    Covers
	Placement shards.Placement
	Room      Room
	// Entry is the blob's place in the unsettled list, nil without one. Flying is
	// what is being fetched of it, nil if nothing is.
	Entry  *Unsettled
	Flying *Blob
}

// Standing returns where a blob stands now.
func (m *Machine) Standing(id BlobID) Standing {
	s := Standing{Why: m.why, Ownership: m.own, Room: m.room}
	if m.own != nil {
		s.Epoch = m.own.Epoch
	}
	if !m.run.on {
		if m.prior != nil {
			if i := slices.IndexFunc(m.prior.Unsettled, func(u Unsettled) bool { return u.ID == id }); i >= 0 {
				u := m.prior.Unsettled[i]
				s.Entry = &u
			}
		}
		return s
	}
	f := m.run.front
	s.Run, s.Why, s.Epoch, s.Bound, s.Scan = m.run.number, m.explain(m.phase), m.epochNow(), f.bound, f.scan
	s.Covers, s.Placement = m.covers(), m.run.fence.Placement
	if f.covered != nil {
		covered := *f.covered
		s.Covered = &covered
	}
	if e := f.list[id]; e != nil {
		u := e.Unsettled
		s.Entry = &u
		if e.State == Fetching || e.State == Flushing {
			blob := e.row.Blob
			s.Flying = &blob
		}
	}
	return s
}

// Settled reports whether the claims of the run in force cover a certified row
// (I7): an earlier pass or this one has looked at it, at a state that knew of its
// certification, and it is not listed.
func (s Standing) Settled(row Row) bool {
	switch {
	case s.Run == 0 || s.Entry != nil || !s.Placement.Concerns(row.ID, s.Covers.Total, s.Covers.Owned):
		return false
	case s.Covered != nil && row.Within(*s.Covered):
		return true
	}
	return s.Scan.Covers(row.ID) && row.Within(s.Bound)
}

// Within reports whether a pass up to b knows of the row's certification.
func (r Row) Within(b Bound) bool { return r.Gained <= b.Position && r.CertifiedEpoch <= b.Epoch }

// ShardView is what counting done blobs by shard takes (a host that knows how many
// are certified): the pair, how far this process has looked, and what is listed.
// It is a copy.
type ShardView struct {
	Run       uint64 // 0: none is in force, and the rest is the zero value
	Covers    Covers
	Placement shards.Placement
	Catalog   Bound // the state that pages are answered from
	Covered   *Bound
	Bound     Bound
	PassDone  bool
	// From is where this process's part of the pass began. Looked counts the rows
	// looked at since then that have a piece on an owned shard and that no earlier
	// pass covered: by shard, or in the only element where every shard has a piece
	// of each (striped).
	From   Mark
	Looked []uint64
	// Listed counts the unsettled list and Parked its parked ones, like Looked.
	Listed, Parked []uint64
}

// ShardView returns the present one. It costs time in proportion to the shards and
// the unsettled list.
func (m *Machine) ShardView() ShardView {
	if !m.run.on {
		return ShardView{}
	}
	f, n := m.run.front, m.tallies()
	v := ShardView{
		Run: m.run.number, Covers: m.covers(), Placement: m.run.fence.Placement, Catalog: m.tip.Bound, Bound: f.bound,
		PassDone: f.passDone(), From: m.scan.from, Looked: make([]uint64, n),
		Listed: make([]uint64, n), Parked: make([]uint64, n),
	}
	copy(v.Looked, m.scan.tally)
	if f.covered != nil {
		covered := *f.covered
		v.Covered = &covered
	}
	for id, e := range f.list {
		at, _ := m.tallyAt(id)
		v.Listed[at]++
		if e.State == Parked {
			v.Parked[at]++
		}
	}
	return v
}

// tallies is the number of counts that tell shards apart.
func (m *Machine) tallies() int {
	if m.run.fence.Placement == shards.Striped {
		return 1
	}
	return int(m.run.fence.TotalShards)
}

// tallyAt is the index of the counts that a blob belongs to; concerned is
// Placement.Concerns, for the price of one division.
func (m *Machine) tallyAt(id BlobID) (at uint32, concerned bool) {
	f := &m.run.fence
	if f.Placement == shards.Striped {
		return 0, f.Owned.Len() > 0
	}
	home := shards.Home(id, f.TotalShards)
	return home, f.Owned.Contains(home)
}
