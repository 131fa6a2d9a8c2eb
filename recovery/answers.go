package recovery

import (
	"errors"
	"fmt"
)

// onBound takes the catalog's newest state, asked for while loading or while
// following.
func (m *Machine) onBound(e BoundTaken) {
	m.ended(e.Seq)
	switch {
	case e.Seq == m.load.asking && e.Seq != 0:
		m.load.asking = 0
		m.load.gotTip = true
		m.tip = &e.Tip
	case e.Seq == m.follow.asking && e.Seq != 0:
		m.follow.asking = 0
		m.follow.trouble.ends(m, "catalog bound")
		m.follow.delay = 0
		m.followTo(e.Tip)
	}
}

func (m *Machine) onBoundFailed(e BoundFailed) {
	m.ended(e.Seq)
	switch {
	case e.Seq == m.load.asking && e.Seq != 0:
		m.load.asking = 0
		m.loadFails("catalog bound", e.Err)
	case e.Seq == m.follow.asking && e.Seq != 0:
		m.follow.asking = 0
		m.follow.hinted = true
		m.follow.trouble.fails(m, "catalog bound", e.Err)
		m.follow.delay = backoff(m.follow.delay)
		m.follow.retryAt = m.now + m.follow.delay
	}
}

// onStore takes the store's report: while loading it completes the facts, while
// running it confirms, or refutes, that nothing was swapped.
func (m *Machine) onStore(e StoreOpened) {
	m.ended(e.Seq)
	switch {
	case e.Seq == m.load.asking && e.Seq != 0:
		m.load.asking = 0
		m.load.trouble.ends(m, "store")
		m.store = e.Report
		m.begin()
	case m.run.on && e.Seq == m.run.asking && e.Seq != 0:
		m.run.asking = 0
		if e.Report.Identity == m.run.fence.Store {
			m.run.checked, m.run.again = !m.run.again, false
			return
		}
		m.suspend(PhaseLoading, "the store is no longer the one that was filled")
	}
}

func (m *Machine) onStoreFailed(e StoreFailed) {
	m.ended(e.Seq)
	switch {
	case errors.Is(e.Err, ErrInDoubt): // also in an answer that is not waited for any more (I12)
		m.halt("store: " + e.Err.Error())
	case e.Seq == m.load.asking && e.Seq != 0:
		m.load.asking = 0
		m.loadFails("store", e.Err)
	case m.run.on && e.Seq == m.run.asking && e.Seq != 0:
		m.run.asking = 0
		m.suspend(PhaseWaiting, "store: "+e.Err.Error())
		m.loadFails("store", e.Err)
	}
}

// uncheck says that the store's markers have to be looked at before the next claim.
// A look that was asked for earlier does not count.
func (m *Machine) uncheck() { m.run.checked, m.run.again = false, m.run.asking != 0 }

// checkStore looks at the store's markers once more before complete is claimed.
func (m *Machine) checkStore() {
	f := m.run.front
	if m.run.checked || m.run.asking != 0 || m.idle() || !f.passDone() || len(f.list) > 0 {
		return
	}
	m.run.asking = m.nextSeq()
	m.emit(OpenStore{Seq: m.run.asking, Request: m.storeRequest()})
}

// movePhase derives the phase of a run from what is left to do.
func (m *Machine) movePhase() {
	f := m.run.front
	to := PhaseDraining
	switch {
	case !f.passDone() && m.onlyParkedLeft():
		to = PhaseIncomplete
	case !f.passDone():
		to = PhaseScanning
	case len(f.list) > 0 && f.active() == 0 && m.catalogBehind() == "":
		to = PhaseIncomplete
	case len(f.list) == 0 && m.mayClaim():
		to = PhaseComplete
	}
	if to == m.phase {
		return
	}
	if !CanMove(m.phase, to) {
		m.become(PhaseDraining, "every id was handed out")
	}
	m.become(to, m.explain(to))
}

// explain says what a phase of a run means now, in a sentence.
func (m *Machine) explain(p Phase) string {
	f := m.run.front
	switch p {
	case PhaseScanning:
		return fmt.Sprintf("looking at the catalog up to position %d", f.bound.Position)
	case PhaseIncomplete:
		if !f.passDone() {
			return fmt.Sprintf("the scan waits: the list of parked blobs is full (%d)", m.cfg.Parked)
		}
		return fmt.Sprintf("all is settled but %d parked", len(f.list))
	case PhaseComplete:
		return fmt.Sprintf("complete at epoch %d, position %d", m.run.epoch, f.bound.Position)
	case PhaseDraining:
		if len(f.list) == 0 {
			return "nothing is unsettled; " + m.claimLacks()
		}
		return fmt.Sprintf("every id was handed out; %d unsettled", len(f.list))
	}
	return m.why
}

// onlyParkedLeft reports that the scan stands before a blob to sync, that the
// room for parked ids is used up, and that nothing is under way to make some.
func (m *Machine) onlyParkedLeft() bool {
	f := m.run.front
	return !m.idle() && f.counts[Parked] >= m.cfg.Parked && f.active() == 0 && len(m.scan.pages) > 0
}

// mayClaim reports whether "complete" holds (DESIGN 3). A claim once made stays
// true of its own bound while a newer one is asked for.
func (m *Machine) mayClaim() bool {
	if m.phase == PhaseComplete {
		return m.catalogBehind() == ""
	}
	return m.claimLacks() == ""
}

// claimLacks says what "complete" waits for, or "".
func (m *Machine) claimLacks() string {
	switch {
	case m.catalogBehind() != "":
		return m.catalogBehind()
	case m.follow.asking != 0 || m.followDue():
		return "the catalog's newest bound is being taken"
	case !m.run.checked:
		return "the store's markers are being checked"
	case m.save.endSaved != m.endClaim():
		return "the last save is not durable yet"
	}
	return ""
}

// catalogBehind says how the catalog lags behind the network, or "" (hazard
// 87). A static catalog is complete as itself.
func (m *Machine) catalogBehind() string {
	switch {
	case m.tip.Static:
		return ""
	case !m.tip.AtTip:
		return fmt.Sprintf("the catalog follows and is at position %d, not at its tip", m.tip.Position)
	case m.tip.Epoch < m.run.epoch:
		return fmt.Sprintf("the catalog is in epoch %d, the ownership in %d", m.tip.Epoch, m.run.epoch)
	}
	return ""
}
