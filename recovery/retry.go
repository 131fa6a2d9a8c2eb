package recovery

import (
	"slices"
	"time"
)

// lookState is the look that every waiting blob gets when it is due, before it
// is synced again: is it still certified, is it stored by now?
type lookState struct {
	asking  uint64
	ids     []BlobID // asked for, in rising order
	ready   []*entry // looked at, in want of a slot; in order of being due
	retryAt time.Duration
	delay   time.Duration
	trouble trouble
}

// lookMax bounds the ids of one look-up.
const lookMax = 256

// lookUpDue asks about the ids that are due.
func (m *Machine) lookUpDue() {
	l := &m.look
	if m.idle() || l.asking != 0 || len(l.ready) > 0 || m.follow.asking != 0 || m.now < l.retryAt {
		return
	}
	f := m.run.front
	for len(l.ids) < lookMax {
		e := f.popDue(m.now)
		if e == nil {
			break
		}
		if e.State == Parked {
			f.beginParkedTry(e)
		}
		e.lost = false
		f.setState(e, Waiting)
		l.ids = append(l.ids, e.ID)
	}
	if len(l.ids) == 0 {
		return
	}
	slices.SortFunc(l.ids, BlobID.Compare)
	l.asking = m.nextSeq()
	m.emit(LookUp{Run: m.run.number, Seq: l.asking, IDs: slices.Clone(l.ids)})
}

// onLooked settles what needs no sync, and makes the rest ready. Only an answer
// at or above the bound may settle anything (hazards 2, 80).
func (m *Machine) onLooked(e LookedUp) {
	l := &m.look
	if !m.run.on || e.Seq != l.asking || e.Seq == 0 {
		return
	}
	if !e.Stamp.Reaches(m.run.front.bound) {
		m.lookFails(errStale(e.Stamp, m.run.front.bound))
		return
	}
	l.asking, l.delay = 0, 0
	l.trouble.ends(m, "look-up")
	rows := e.Rows
	for _, id := range l.ids {
		for len(rows) > 0 && rows[0].ID.Compare(id) < 0 {
			rows = rows[1:]
		}
		entry := m.run.front.list[id]
		switch {
		case len(rows) == 0 || rows[0].ID != id:
			m.settleAs(entry, NotCertified)
		case rows[0].EndEpoch <= m.epochNow():
			m.settleAs(entry, Expired)
		case rows[0].Stored && entry.lost:
			m.schedule(entry, m.now)
		case rows[0].Stored:
			m.settleAs(entry, AlreadyStored)
		default:
			entry.row, entry.Size = rows[0], rows[0].Size
			l.ready = append(l.ready, entry)
		}
	}
	l.ids = l.ids[:0]
}

func (m *Machine) onLookFailed(e LookupFailed) {
	if m.run.on && e.Seq == m.look.asking && e.Seq != 0 {
		m.lookFails(e.Err)
	}
}

// lookFails puts the ids back: a failed look is never "no" (I8).
func (m *Machine) lookFails(err error) {
	l := &m.look
	l.asking = 0
	l.trouble.fails(m, "look-up", err)
	l.delay = backoff(l.delay)
	l.retryAt = m.now + l.delay
	for _, id := range l.ids {
		e := m.run.front.list[id]
		if e.parked {
			m.run.front.endParkedTry(e)
			m.run.front.setState(e, Parked)
		}
		e.Reason, e.LastError = CatalogError, cutError(err.Error())
		m.schedule(e, l.retryAt)
	}
	l.ids = l.ids[:0]
}

// startReady gives looked-up blobs their slots. While the scan has work they
// get at most half of them (I10).
func (m *Machine) startReady() {
	l := &m.look
	n := 0
	for _, e := range l.ready {
		if m.idle() || m.room.Low || !m.retrySlot() || !m.slotFor(e.Size) || m.scanStarves() {
			break
		}
		n++
		if e.row.EndEpoch <= m.epochNow() { // hazard 25; its look may be from before the bound (79): another one says
			m.schedule(e, m.now)
			continue
		}
		e.retried = true
		m.startSync(e)
	}
	l.ready = append(l.ready[:0], l.ready[n:]...)
}

// retryWaits reports whether a due retry may go and waits for bytes only: the
// scan must not use them up before it.
func (m *Machine) retryWaits() bool {
	ready := m.look.ready
	return len(ready) > 0 && m.retrySlot() && !m.slotFor(ready[0].Size)
}

func (m *Machine) retrySlot() bool {
	if m.run.front.passDone() || m.scanBlocked() != "" {
		return true
	}
	return m.run.retries < max(1, m.cfg.Slots/2)
}

// onPeers notes the peers' health. A peer that comes back makes waiting and
// parked ids due, spread over 30 s (I11, hazard 91).
func (m *Machine) onPeers(h PeerHealth) {
	returned := h.Returns > m.peers.Returns
	m.peers = h
	if !returned || !m.run.on {
		return
	}
	f := m.run.front
	waiting := slices.SortedFunc(slices.Values(f.due), func(a, b *entry) int { return a.ID.Compare(b.ID) })
	for i, e := range waiting {
		at := m.now + RetryMax*time.Duration(i)/time.Duration(len(waiting))
		if at < e.at {
			m.schedule(e, at)
		}
	}
}

// onRetry makes ids due at once, and gives parked ones a fresh start.
func (m *Machine) onRetry(ids []BlobID) {
	if !m.run.on {
		return
	}
	f := m.run.front
	if len(ids) == 0 {
		for _, e := range f.due {
			ids = append(ids, e.ID)
		}
	}
	for _, id := range ids {
		e := f.list[id]
		if e == nil || e.slot < 0 {
			continue // unknown, or being worked on
		}
		e.Tries = 0
		if e.State == Parked {
			f.setState(e, Retrying)
		}
		m.schedule(e, m.now)
		m.save.dirty, m.save.forced = true, true
	}
}

// onPutBack lists blobs that are no longer stored; the cursor goes back below
// them in the same save (hazard 92). When the list has no room for one, all is
// looked at again: what was claimed is taken back, and the scan finds it.
func (m *Machine) onPutBack(blobs []Blob) {
	if !m.run.on {
		m.takeBack(len(blobs) > 0)
		return
	}
	f := m.run.front
	for _, b := range blobs {
		if e := f.list[b.ID]; e != nil {
			e.lost = e.slot < 0 // what is under way may have seen it stored
			continue
		}
		if !m.run.fence.Placement.Concerns(b.ID, m.run.fence.TotalShards, m.run.fence.Owned) {
			continue
		}
		if f.active() >= m.cfg.Unsettled || f.parked() >= m.cfg.Parked {
			m.lookAtAllAgain()
			return
		}
		f.wait(f.insert(Unsettled{ID: b.ID, Size: b.Size, State: Waiting}), m.now)
		m.run.checked = false
		m.save.dirty, m.save.forced, m.save.less = true, true, true
	}
}

// lookAtAllAgain begins the pass anew as one without covered.
func (m *Machine) lookAtAllAgain() {
	f := m.run.front
	f.covered, f.scan = nil, Mark{}
	m.run.counters.Looked = 0
	m.scan = scanState{spare: m.scan.spare}
	m.save.dirty, m.save.forced, m.save.less = true, true, true
}

// takeBack notes a loss while no run is in force: everything is looked at again.
func (m *Machine) takeBack(lost bool) {
	m.lost = m.lost || lost
	if !m.lost || m.prior == nil || m.load.saving != 0 {
		return
	}
	p := *m.prior
	p.Covered, p.Scan, p.Cursor, p.Counters.Looked = nil, Mark{}, Mark{}, 0
	m.prior, m.lost = &p, false
	m.save.dirty, m.save.forced, m.save.less = true, true, true
}

func (m *Machine) schedule(e *entry, at time.Duration) {
	m.run.front.wait(e, at)
	e.NextTry = m.wall.Add(at - m.now)
}
