package recovery

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/recoverd/recoverd/shards"
)

// loadState walks from "nothing is known" to a decision: checkpoint, ownership,
// catalog bound, store, decision, and the durable header of a new run. A change
// of ownership starts it over; answers to what was asked before are dropped by
// their Seq.
type loadState struct {
	asking  uint64        // the question under way, 0 without one
	gotTip  bool          // the tip belongs to this attempt
	saving  uint64        // the save of a new run's header that is awaited
	retryAt time.Duration // when to try again after a failure
	delay   time.Duration // of the last failure
	trouble trouble
}

// trouble counts failures of one kind and reports them once per change.
type trouble struct {
	text  string
	count uint64
}

// fails notes one more failure; it is reported when it reads differently from
// the last one (hazard 27).
func (t *trouble) fails(m *Machine, what string, err error) {
	t.count++
	if t.text != err.Error() {
		t.text = err.Error()
		m.emit(ReadTrouble{What: what, Err: t.text, Count: t.count})
	}
}

// ends reports that it works again, if it did not.
func (t *trouble) ends(m *Machine, what string) {
	if t.count > 0 {
		m.emit(ReadTrouble{What: what, Count: t.count})
		*t = trouble{}
	}
}

// backoff doubles a delay from 1 s to 30 s.
func backoff(d time.Duration) time.Duration {
	return min(max(2*d, RetryMin), RetryMax)
}

func (m *Machine) onLoaded(e Loaded) {
	if !m.save.dirty { // nobody asked before
		m.paused = e.Record.Paused
	}
	m.loaded = true
	m.prior = e.Record.Progress
	m.note = e.Note
	m.lastRun = e.LastRun
	if m.prior != nil {
		m.lastRun = max(m.lastRun, m.prior.Run)
	}
}

// onOwnership takes a newer ownership. Within the same fence only the epoch
// moves; anything else supersedes the run (I6).
func (m *Machine) onOwnership(own shards.Ownership) {
	if m.own != nil && m.own.Equal(own) {
		return // hazard 23: the same facts start nothing
	}
	m.own = &own
	if !m.run.on {
		m.giveUp(m.load.asking)
		m.load = loadState{trouble: m.load.trouble}
		return
	}
	f := m.run.fence
	same := f.TotalShards == own.TotalShards && f.Owned.Equal(own.Owned) && f.Continuity == own.Continuity
	if same && own.Node == shards.Active && own.Epoch >= m.run.epoch {
		m.run.epoch = own.Epoch
		m.uncheck()
		m.follow.hinted = true
		m.save.dirty = true
		return
	}
	m.suspend(PhaseWaiting, fmt.Sprintf("superseded: ownership of epoch %d", own.Epoch))
}

// suspend leaves the run: its syncs are cancelled and their answers dropped,
// its progress is what loading decides about next (hazard 33).
func (m *Machine) suspend(to Phase, why string) {
	m.abandonSyncs()
	m.giveUp(m.run.asking, m.follow.asking)
	m.prior = m.progress()
	m.run = runState{}
	m.scan = scanState{}
	m.look = lookState{}
	m.follow = followState{}
	m.load = loadState{}
	m.note = ""
	m.become(to, why)
}

// abandonSyncs cancels what is under way; the ids wait to be looked at again.
func (m *Machine) abandonSyncs() {
	f := m.run.front
	cancelled := false
	for _, e := range f.list {
		if e.State == Fetching || e.State == Flushing {
			m.endFlight(e)
			f.setState(e, Waiting)
			f.wait(e, m.now)
			cancelled = true
		}
	}
	if cancelled {
		m.emit(CancelRun{Run: m.run.number})
		m.save.dirty = true
	}
}

// giveUp remembers questions whose answers will be dropped. They still switch
// the catalog or the store when they are performed, so nothing newer is asked
// before they have ended.
func (m *Machine) giveUp(seqs ...uint64) {
	for _, seq := range seqs {
		if seq != 0 {
			m.late = append(m.late, seq)
		}
	}
}

func (m *Machine) ended(seq uint64) {
	m.late = slices.DeleteFunc(m.late, func(s uint64) bool { return s == seq })
}

// advanceLoad asks the next question on the way to a decision. Tries after a
// failure stay in waiting, so that a trouble that lasts is one change of phase.
func (m *Machine) advanceLoad() {
	if why := m.cannotLoad(); why != "" {
		if m.phase == PhaseLoading {
			m.become(PhaseWaiting, why)
		}
		m.why = why
		return
	}
	if len(m.late) > 0 || m.load.asking != 0 || m.load.saving != 0 || m.stop != stopNo || m.now < m.load.retryAt {
		return
	}
	if m.load.trouble.count == 0 {
		m.become(PhaseLoading, "reading the catalog's newest bound and opening the store")
	}
	if !m.load.gotTip {
		m.follow.hinted = false
		m.load.asking = m.nextSeq()
		m.emit(TakeBound{Seq: m.load.asking})
		return
	}
	m.load.asking = m.nextSeq()
	m.emit(OpenStore{Seq: m.load.asking, Request: m.storeRequest()})
}

// cannotLoad says what is missing before anything can be asked.
func (m *Machine) cannotLoad() string {
	switch {
	case !m.loaded:
		return "the checkpoint is being read"
	case m.own == nil:
		return "ownership is unknown"
	}
	return notReady(*m.own)
}

// notReady says why an ownership asks for no run.
func notReady(own shards.Ownership) string {
	switch {
	case own.Node != shards.Active:
		return fmt.Sprintf("the node is %s", own.Node)
	case own.Owned.Len() == 0:
		return fmt.Sprintf("no shard is owned in epoch %d", own.Epoch) // hazard 24
	}
	return ""
}

// storeRequest says what the store must hold. Progress that claims work forbids
// the store to make what should be there already (hazard 82).
func (m *Machine) storeRequest() StoreRequest {
	p := m.prior
	if m.run.on {
		p = &Progress{Fence: m.run.fence, Counters: m.run.counters}
	}
	return storeRequest(p, *m.own, m.cfg.Placement, m.tip.Network)
}

func storeRequest(p *Progress, own shards.Ownership, placement shards.Placement, network string) StoreRequest {
	req := StoreRequest{Network: network, TotalShards: own.TotalShards, Placement: placement, Owned: own.Owned}
	if p == nil {
		return req
	}
	req.Settled = p.Counters.Stored + p.Counters.AlreadyStored
	if req.Settled == 0 {
		return req
	}
	req.Identity = p.Fence.Store
	if p.Fence.TotalShards == own.TotalShards && p.Fence.Continuity == own.Continuity && p.Fence.Placement == placement {
		req.Claimed = own.Owned.Minus(own.Owned.Minus(p.Fence.Owned))
	}
	return req
}

// loadFails goes back to waiting and tries again later.
func (m *Machine) loadFails(what string, err error) {
	if errors.Is(err, ErrMisconfigured) {
		m.haltMisconfigured(err)
		return
	}
	m.load.trouble.fails(m, what, err)
	m.load.delay = backoff(m.load.delay)
	m.load.retryAt = m.now + m.load.delay
	m.load.gotTip = false
	m.become(PhaseWaiting, what+": "+err.Error())
}

// begin decides what becomes of the prior progress. What claims less than it
// did must be durable before anything else is done.
func (m *Machine) begin() {
	m.become(PhaseLoading, "deciding about saved progress")
	next, err := decide(m.prior, facts{
		own: *m.own, placement: m.cfg.Placement, tip: *m.tip, store: m.store, lastRun: m.lastRun, note: m.note,
	})
	if err != nil {
		m.haltMisconfigured(err)
		return
	}
	m.lastRun = max(m.lastRun, next.Run)
	m.enterRun(next)
	m.emit(Decided{Run: next.Run, Origin: next.Origin})
	switch next.Origin.Decision {
	case Fresh, Discard, Relook:
		m.saveNow(true)
		m.load.saving = m.save.asked
		m.run.on = false // no effect of the new run before its header is durable
		m.prior = &next  // what a change of ownership meanwhile decides about
	default:
		m.run.counters.Resumes++
		m.save.dirty = true
		if m.save.asked != 0 { // perhaps this run's header: nothing before it
			m.load.saving = m.save.asked
			m.run.on, m.prior = false, &next
			return
		}
		m.resumeWork()
	}
}

// enterRun puts progress in force.
func (m *Machine) enterRun(p Progress) {
	m.run = runState{
		on: true, number: p.Run, fence: p.Fence, epoch: p.Epoch, origin: p.Origin, counters: p.Counters,
		front: newFrontier(p), checked: true,
	}
	m.scan = scanState{ended: p.Scan.End()}
	m.look = lookState{}
	m.follow = followState{takenAt: m.now, hinted: m.follow.hinted}
	m.load = loadState{}
	m.note, m.prior = "", nil
}

// resumeWork starts the phase that {pair, cursor, list} imply.
func (m *Machine) resumeWork() {
	m.run.on, m.prior = true, nil
	m.scan.after, m.scan.from = m.run.front.scan, m.run.front.scan
	to := PhaseScanning
	if m.run.front.passDone() {
		to = PhaseDraining
	}
	m.become(to, fmt.Sprintf("%s: %s", m.run.origin.Decision, m.run.origin.Why))
}
