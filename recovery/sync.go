package recovery

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// slotFor reports whether a blob of size bytes may be fetched now. One larger
// than the whole budget goes alone (hazard 90).
func (m *Machine) slotFor(size int64) bool {
	if m.run.slots >= m.cfg.Slots {
		return false
	}
	return m.run.bytes == 0 || m.run.bytes+max(size, 0) <= m.cfg.BytesInFlight
}

// startSync gives an entry a slot and asks for its blob.
func (m *Machine) startSync(e *entry) {
	m.run.front.setState(e, Fetching)
	e.seq, e.lost = m.nextSeq(), false
	e.NextTry = time.Time{}
	m.run.slots++
	m.room.take(e.Size)
	m.run.bytes += max(e.Size, 0)
	if e.retried {
		m.run.retries++
	}
	m.emit(Sync{
		Run: m.run.number, Seq: e.seq, Blob: e.row.Blob, Attempt: e.Attempts,
		Covers: m.covers(), Placement: m.run.fence.Placement, Replace: e.Replace,
	})
}

// giveSlotBack releases what startSync took; it does nothing for an entry
// that holds no slot.
func (m *Machine) giveSlotBack(e *entry) {
	if e.State != Fetching {
		return
	}
	m.run.slots--
	m.run.bytes -= max(e.Size, 0)
	if e.retried {
		m.run.retries--
		e.retried = false
	}
}

// endFlight forgets the sync under way; its answer will be dropped.
func (m *Machine) endFlight(e *entry) {
	m.giveSlotBack(e)
	e.seq, e.retried = 0, false
}

// flight returns the entry an answer belongs to, or nil if nothing waits for
// it any more: an older run's, or of an earlier try (I6).
func (m *Machine) flight(run, seq uint64, id BlobID) *entry {
	if !m.run.on || run != m.run.number {
		return nil
	}
	if e := m.run.front.list[id]; e != nil && e.seq == seq && seq != 0 {
		return e
	}
	return nil
}

func (m *Machine) onSealed(a Sealed) {
	if e := m.flight(a.Run, a.Seq, a.ID); e != nil && e.State == Fetching {
		m.giveSlotBack(e)
		m.run.front.setState(e, Flushing)
	}
}

// onSynced takes a sync's end. What does not hold for this run's set and bound
// does not settle (hazards 1, 6, 80).
func (m *Machine) onSynced(a Synced) {
	e := m.flight(a.Run, a.Seq, a.ID)
	if e == nil {
		return
	}
	m.endFlight(e)
	o := a.Outcome
	switch {
	case o.Reason == NotDurable:
		m.halt("making stored blobs durable: " + o.Err)
	case o.Result == Cancelled && o.Reason == OtherSet, o.Result != Cancelled && !o.Covers.Equal(m.covers()):
		m.run.front.setState(e, Waiting) // asked again at once, not counted
		at := m.now
		if e.Reason == OtherSet { // but not in a hot loop
			at += RetryMin
		}
		e.Reason = OtherSet
		m.schedule(e, at)
	case e.lost && (o.Result == Success || o.Reason == AlreadyStored):
		m.run.front.setState(e, Waiting)
		m.schedule(e, m.now)
	case e.Replace && o.Reason == AlreadyStored: // the host did not replace it
		m.run.front.setState(e, Waiting)
		m.schedule(e, m.now+RetryMin)
	case o.Result == Success:
		m.run.counters.Stored++
		m.run.counters.StoredBytes += uint64(max(o.Bytes, 0))
		m.settle(e)
	case o.Result == Skipped && o.Reason == AlreadyStored:
		m.settleAs(e, AlreadyStored)
	case o.Result == Skipped && o.JudgedAt.Reaches(m.run.front.bound):
		m.settleAs(e, o.Reason)
	case o.Result == Skipped:
		o.Reason, o.Err = CatalogError, errStale(o.JudgedAt, m.run.front.bound).Error()
		m.cancelled(e, o, a.Delay)
	default:
		m.cancelled(e, o, a.Delay)
	}
}

// settleAs counts why an entry needs nothing, and settles it.
func (m *Machine) settleAs(e *entry, why Reason) {
	switch c := &m.run.counters; why {
	case AlreadyStored:
		c.AlreadyStored++
	case Expired:
		c.Expired++
	default:
		c.NotCertified++
	}
	m.settle(e)
}

func (m *Machine) settle(e *entry) {
	m.run.front.settle(e)
	m.uncheck()
	m.save.dirty = true
	m.save.settled++
}

// cancelled makes an entry wait for its next try; only definite failures count
// towards parking (I11).
func (m *Machine) cancelled(e *entry, o Outcome, delay time.Duration) {
	f, c := m.run.front, &m.run.counters
	m.save.dirty = true
	c.Cancelled++
	e.Reason, e.LastError = o.Reason, cutError(o.Err)
	if o.Reason != Stopped {
		e.Attempts++
	}
	if o.Definite {
		e.Tries++
	}
	if e.FirstFailed.IsZero() {
		e.FirstFailed = m.wall
	}
	if e.Tries >= m.cfg.ParkAfter {
		f.setState(e, Parked)
		m.schedule(e, m.now+m.cfg.ParkedRetry)
		if !e.parked {
			c.Parkings++
			m.emit(BlobParked{ID: e.ID, Tries: e.Tries, Err: e.LastError})
		}
		f.endParkedTry(e)
		return
	}
	f.setState(e, Retrying)
	m.schedule(e, m.now+min(max(delay, RetryMin), RetryMax))
}

func errStale(s Stamp, b Bound) error {
	return fmt.Errorf("the answer is for %s at epoch %d, position %d; this pass goes up to %s", s.Network, s.Epoch, s.Position, b)
}

// cutError keeps an error to one line of at most MaxErrorText bytes.
func cutError(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	for len(text) > MaxErrorText {
		_, n := utf8.DecodeLastRuneInString(text[:MaxErrorText+1])
		text = text[:MaxErrorText+1-n]
	}
	return text
}
