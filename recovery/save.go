package recovery

import "time"

// saveState decides when progress is saved. One save is under way at a time; the
// next takes everything that happened meanwhile, so slow saves come less often
// and never pile up.
type saveState struct {
	dirty    bool
	forced   bool // do not wait for the interval
	less     bool // the next save claims less than an earlier one
	settled  int  // settlements since the last save
	at       time.Duration
	asked    uint64     // the save under way, 0 without one
	owed     []Answered // to be answered when the next save is durable
	carried  []Answered // to be answered when the one under way is
	askedEnd endClaim
	endSaved endClaim // the last end of a pass that is durable
}

// endClaim names a finished state: run and bound with nothing unsettled. The
// zero value names none.
type endClaim struct {
	run      uint64
	position uint64
	digest   Digest
	epoch    uint32
}

// endClaim returns the finished state the machine is in now, if it is.
func (m *Machine) endClaim() endClaim {
	f := m.run.front
	if !m.run.on || !f.passDone() || len(f.list) > 0 {
		return endClaim{}
	}
	return endClaim{run: m.run.number, position: f.bound.Position, digest: f.bound.Digest, epoch: m.run.epoch}
}

// maybeSave saves when it is time.
func (m *Machine) maybeSave() {
	s := &m.save
	if !s.dirty || s.asked != 0 || !m.loaded {
		return
	}
	due := m.now >= s.at+m.cfg.SaveEvery || s.settled >= m.cfg.SaveSettled
	finished := s.endSaved != m.endClaim()
	if due || s.forced || finished || m.stop != stopNo {
		m.saveNow(false)
	}
}

// saveNow emits the save of the present state.
func (m *Machine) saveNow(less bool) {
	s := &m.save
	p := m.prior
	if m.run.on {
		p = m.progress()
	}
	s.asked = m.nextSeq()
	if s.askedEnd = m.endClaim(); s.askedEnd != s.endSaved {
		s.endSaved = endClaim{} // from here on the disk may hold either
	}
	m.emit(Save{Seq: s.asked, Record: Record{Paused: m.paused, Progress: p}, Less: less || s.less})
	s.dirty, s.forced, s.less, s.settled, s.at = false, false, false, 0, m.now
	s.carried, s.owed = append(s.carried, s.owed...), s.owed[:0]
}

// owe answers a request once everything that was changed by now is durable.
func (m *Machine) owe(a Answered) {
	s := &m.save
	switch {
	case a.Ticket == 0:
	case s.dirty:
		s.owed = append(s.owed, a)
		s.forced = true
	case s.asked != 0:
		s.carried = append(s.carried, a)
	default:
		m.emit(a)
	}
}

// onSaved notes what is durable now.
func (m *Machine) onSaved(e Saved) {
	s := &m.save
	if e.Seq != s.asked || e.Seq == 0 {
		return
	}
	s.asked = 0
	s.endSaved = s.askedEnd
	for _, a := range s.carried {
		m.emit(a)
	}
	s.carried = s.carried[:0]
	if e.Seq == m.load.saving {
		m.load.saving = 0
		m.resumeWork()
	}
}

// progress is what the run would save now: one value, from one moment (I4).
func (m *Machine) progress() *Progress {
	f := m.run.front
	p := &Progress{
		Run: m.run.number, Fence: m.run.fence, Epoch: m.run.epoch, Bound: f.bound,
		Cursor: f.cursor(), Scan: f.scan, Unsettled: f.export(),
		Counters: m.run.counters, Origin: m.run.origin, SavedAt: m.wall,
	}
	if f.covered != nil {
		covered := *f.covered
		p.Covered = &covered
	}
	return p
}

// WakeAt returns when the machine wants a Tick at the latest; ok is false when
// only another event can change anything.
func (m *Machine) WakeAt() (at time.Duration, ok bool) {
	wake := func(t time.Duration) {
		if t <= m.now { // it is due already and waits for something else
			return
		}
		if !ok || t < at {
			at, ok = t, true
		}
	}
	if m.phase == PhaseHalted || m.stop == stopDone {
		return 0, false
	}
	if m.save.dirty {
		wake(m.save.at + m.cfg.SaveEvery)
	}
	if !m.run.on {
		wake(m.load.retryAt)
		return at, ok
	}
	if due, queued := m.run.front.nextDue(); queued {
		wake(due)
	}
	wake(m.look.retryAt)
	wake(m.scan.retryAt)
	if m.follow.hinted {
		wake(m.follow.takenAt + m.cfg.FollowInterval)
		wake(m.follow.retryAt)
	}
	return at, ok
}
