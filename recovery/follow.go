package recovery

import "time"

// followState takes the catalog's newest bound, at most once per FollowInterval: any
// number of moves becomes one next pass (hazard 93).
type followState struct {
	asking  uint64
	hinted  bool // something may be newer
	takenAt time.Duration
	retryAt time.Duration
	delay   time.Duration
	trouble trouble
}

// followDue reports whether the newest bound is to be asked for now: after a pass,
// and in one that a full list holds up. Its bound stays, but what the network has
// dropped meanwhile, and no peer has any more, would fill the list for ever.
func (m *Machine) followDue() bool {
	f := &m.follow
	return f.hinted && (m.run.front.passDone() || m.listFull()) && m.now >= f.takenAt+m.cfg.FollowInterval && m.now >= f.retryAt
}

// followCatalog asks for the newest bound. It waits for a page and a look-up under
// way, which must be answered by the state they were asked of.
func (m *Machine) followCatalog() {
	if m.follow.asking != 0 || m.look.asking != 0 || m.scan.asking != 0 || m.idle() || !m.followDue() {
		return
	}
	m.follow.asking = m.nextSeq()
	m.follow.hinted = false
	m.emit(TakeBound{Seq: m.follow.asking})
}

// followTo compares the newest bound with the pass's and, if that is finished and
// the catalog has moved, begins the next one.
func (m *Machine) followTo(tip Tip) {
	m.follow.takenAt = m.now
	p := m.progress()
	next, err := decide(p, facts{
		own: *m.own, placement: m.cfg.Placement, tip: tip, store: StoreReport{Identity: m.run.fence.Store}, lastRun: m.lastRun,
	})
	if err != nil {
		m.haltMisconfigured(err)
		return
	}
	m.tip = &tip
	m.follow.hinted = m.follow.hinted || m.catalogBehind() != ""
	f := m.run.front
	switch next.Origin.Decision {
	case Discard, Relook:
		m.suspend(PhaseLoading, next.Origin.Why)
	case Extend:
		f.bound, f.scan = next.Bound, Mark{}
		m.run.counters.Looked = 0
		m.uncheck()
		m.scan = scanState{spare: m.scan.spare}
		m.save.dirty, m.save.forced = true, true
		m.emit(Decided{Run: m.run.number, Origin: next.Origin})
	}
}
