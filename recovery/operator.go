package recovery

import (
	"fmt"
	"slices"
)

func (m *Machine) onPause(e PauseAsked) {
	if m.paused != e.Paused || !m.loaded {
		m.paused = e.Paused
		m.save.dirty, m.save.forced = true, true
	}
	m.owe(Answered{Ticket: e.Ticket})
}

// onLimits takes new limits. They are the host's to keep.
func (m *Machine) onLimits(e LimitsAsked) error {
	cfg := m.cfg
	cfg.Slots, cfg.BytesInFlight = e.Slots, e.BytesInFlight
	if err := cfg.Validate(); err != nil || e.Slots == 0 || e.BytesInFlight == 0 {
		return fmt.Errorf("recovery: limits of %d slots and %d bytes: %w", e.Slots, e.BytesInFlight, ErrConfig)
	}
	m.cfg = cfg
	if e.Ticket != 0 {
		m.emit(Answered{Ticket: e.Ticket})
	}
	return nil
}

// serveHeld applies what was asked about blobs as soon as a run is in force: before
// that, what is listed may be discarded.
func (m *Machine) serveHeld() {
	for len(m.held) > 0 && m.run.on {
		switch e := m.held[0].(type) {
		case RetryAsked:
			m.onRetry(e)
		case PutBack:
			m.onPutBack(e)
		}
		m.held = slices.Delete(m.held, 0, 1)
	}
}

// onRetry makes ids due at once, and gives parked ones a fresh start.
func (m *Machine) onRetry(e RetryAsked) {
	f, ids, a := m.run.front, e.IDs, Answered{Ticket: e.Ticket}
	if len(ids) == 0 {
		for _, e := range f.due {
			ids = append(ids, e.ID)
		}
	}
	for _, id := range ids {
		e := f.list[id]
		switch {
		case e == nil:
			a.Unknown = append(a.Unknown, id)
		case e.slot < 0:
			a.Busy = append(a.Busy, id)
		default:
			e.Tries = 0
			if e.State == Parked {
				f.setState(e, Retrying)
			}
			m.schedule(e, m.now)
			a.Taken++
			m.save.dirty, m.save.forced = true, true
		}
	}
	m.owe(a)
}

// onPutBack lists blobs that are not stored as they should be; the cursor goes
// back below them in the same save (hazard 92). When the list has no room for one,
// all is looked at again: what was claimed is taken back, and the scan finds what
// is missing.
func (m *Machine) onPutBack(e PutBack) {
	f, a := m.run.front, Answered{Ticket: e.Ticket}
	for _, b := range e.Blobs {
		entry := f.list[b.ID]
		switch {
		case entry != nil:
			entry.Replace = true
			entry.lost = entry.slot < 0 // what is under way may have seen it stored
		case !m.run.fence.Placement.Concerns(b.ID, m.run.fence.TotalShards, m.run.fence.Owned):
			a.Unknown = append(a.Unknown, b.ID)
			continue
		case f.active() >= m.cfg.Unsettled || f.parked() >= m.cfg.Parked:
			a.Refused = append(a.Refused, b.ID)
			continue
		default:
			f.wait(f.insert(Unsettled{ID: b.ID, Size: b.Size, State: Waiting, Replace: true}), m.now)
			m.uncheck()
		}
		a.Taken++
	}
	if len(a.Refused) > 0 {
		m.lookAtAllAgain()
	}
	if a.Taken+len(a.Refused) > 0 {
		m.save.dirty, m.save.forced, m.save.less = true, true, true
	}
	m.owe(a)
}

// lookAtAllAgain begins the pass anew as one without covered.
func (m *Machine) lookAtAllAgain() {
	f := m.run.front
	f.covered, f.scan = nil, Mark{}
	m.run.counters.Looked = 0
	m.scan = scanState{spare: m.scan.spare}
}
