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
		case rows[0].EndEpoch <= m.endsBy(entry, e.Stamp.Epoch):
			m.settleAs(entry, Expired)
		case rows[0].Stored && !entry.Replace:
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
		if e.row.EndEpoch <= m.endsBy(e, m.run.front.bound.Epoch) { // hazard 25; its look may be from before the bound (79): another one says
			m.schedule(e, m.now)
			continue
		}
		e.retried = true
		m.startSync(e)
	}
	l.ready = append(l.ready[:0], l.ready[n:]...)
}

// endsBy is the epoch that ends a listed blob. What was put back ends by the catalog's
// own: one that is behind the present epoch may not have heard that the blob was
// extended, and a later pass would take what is stored of it for right (hazard 92).
func (m *Machine) endsBy(e *entry, catalog uint32) uint32 {
	if e.Replace {
		return catalog
	}
	return m.epochNow()
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

func (m *Machine) schedule(e *entry, at time.Duration) {
	m.run.front.wait(e, at)
	e.NextTry = m.wall.Add(at - m.now)
}
