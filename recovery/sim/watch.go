package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/recoverd/recoverd/recovery"
)

// before notes what the machine is about to be told.
func (o *oracle) before(e recovery.Event) {
	switch e := e.(type) {
	case recovery.Loaded:
		if o.loadedYet = true; o.newest == 0 {
			o.paused = e.Record.Paused
		}
	case recovery.PauseAsked:
		o.paused = e.Paused
		o.tickets[e.Ticket], o.newest = e, e.Ticket
	case recovery.RetryAsked:
		o.tickets[e.Ticket] = e
		clear(o.notBefore)
	case recovery.PutBack:
		o.tickets[e.Ticket] = e
		for _, b := range e.Blobs {
			delete(o.notBefore, b.ID)
		}
	case recovery.LimitsAsked:
		o.tickets[e.Ticket] = e
		o.slots, o.bytes = e.Slots, e.BytesInFlight
	case recovery.PeersSeen:
		if e.Health.Returns > o.returns {
			clear(o.notBefore)
		}
		o.returns = e.Health.Returns
	case recovery.BoundTaken:
		o.tip = &e.Tip
	}
}

// after checks what the machine does about an event.
func (o *oracle) after(e recovery.Event, effects []recovery.Effect) {
	o.mustHalt(e, effects)
	o.looks.note(e, o.w.proc.machine.Progress())
	switch e := e.(type) {
	case recovery.Sealed:
		if u := o.syncs[e.Seq]; u != nil {
			u.sealed = true
		}
	case recovery.Synced:
		o.synced(e)
	}
	for _, x := range effects {
		o.effect(x)
	}
	if p := o.w.proc; p != nil && p.asked > maxAsked {
		o.w.violate("hazard 27: a hot loop: %d questions in no time, the last after %s", p.asked, o.w.event(e))
	}
}

// maxAsked bounds the questions of a machine while no time passes.
const maxAsked = 400

// note notes what an event did.
func (l *looks) note(e recovery.Event, p *recovery.Progress) {
	l.events++
	if e, opened := e.(recovery.StoreOpened); opened {
		l.looked = max(l.looked, l.asked[e.Seq])
	}
	if p == nil {
		return
	}
	c := p.Counters
	if now := fmt.Sprint(p.Run, p.Bound.Position, p.Covered != nil, c.Stored, c.AlreadyStored, c.NotCertified, c.Expired, c.Passes, len(p.Unsettled)); now != l.work {
		l.work, l.worked = now, l.events
	}
}

// mustHalt: after a failed write or flush nothing is acknowledged (I12), and without
// one nothing halts.
func (o *oracle) mustHalt(e recovery.Event, effects []recovery.Effect) {
	w := o.w
	why := ""
	switch e := e.(type) {
	case recovery.SaveFailed:
		why = "a save failed"
	case recovery.LoadFailed:
		why = "the checkpoint could not be read"
	case recovery.Synced:
		if u := o.syncs[e.Seq]; u != nil && e.Outcome.Reason == recovery.NotDurable {
			why = "a flush failed"
		}
	case recovery.StoreFailed:
		if errors.Is(e.Err, recovery.ErrInDoubt) {
			why = "the opening flush failed"
		}
	}
	halted := slices.ContainsFunc(effects, func(x recovery.Effect) bool { _, is := x.(recovery.Halt); return is })
	switch {
	case why != "" && !halted:
		w.violate("I12: %s, and the machine goes on", why)
	case halted && why == "":
		o.halted(effects[len(effects)-1].(recovery.Halt))
	}
}

// halted checks that a halt has a reason in the facts.
func (o *oracle) halted(h recovery.Halt) {
	for _, reason := range []string{"two catalogs claim position", "the store was made for", "belongs to the store"} {
		if h.Misconfigured && strings.Contains(h.Reason, reason) {
			return
		}
	}
	o.w.violate("it halts without a reason: %s", h.Reason)
}

// synced takes a sync off the books.
func (o *oracle) synced(e recovery.Synced) {
	u := o.syncs[e.Seq]
	if u == nil {
		o.w.count(StaleRun)
		return
	}
	delete(o.syncs, e.Seq)
	if r := e.Outcome; r.Result == recovery.Cancelled && r.Reason != recovery.OtherSet {
		o.notBefore[u.id] = o.w.now + min(max(e.Delay, recovery.RetryMin), recovery.RetryMax)
		if r.Definite {
			o.definite[u.id]++
		}
	}
}

func (o *oracle) effect(x recovery.Effect) {
	w := o.w
	asks := true
	switch x := x.(type) {
	case recovery.Sync:
		o.sync(x)
	case recovery.LookUp:
		for _, id := range x.IDs {
			o.notTooSoon(id, "looked up")
		}
	case recovery.CancelRun:
		for seq, u := range o.syncs {
			if u.run == x.Run {
				delete(o.syncs, seq)
			}
		}
		asks = false
	case recovery.Save:
		o.saves(x)
	case recovery.Decided:
		o.decided(x)
		asks = false
	case recovery.BlobParked:
		if x.Tries > o.definite[x.ID] {
			w.violate("I11: %s is parked after %d definite answers, and there were %d", w.name(x.ID), x.Tries, o.definite[x.ID])
		}
		asks = false
	case recovery.Answered:
		o.answered(x)
		asks = false
	case recovery.OpenStore:
		o.looks.asked[x.Seq] = o.looks.events
	case recovery.TakeBound, recovery.ReadPage:
	case recovery.PhaseChanged:
		if l := &o.looks; x.To == recovery.PhaseComplete && l.looked < l.worked {
			w.violate("hazard 82: complete by a look at the store from before the work it confirms")
		}
		asks = false
	default:
		asks = false
	}
	if p := w.proc; asks && p != nil {
		p.asked++
	}
	if _, page := x.(recovery.ReadPage); page && o.paused {
		w.violate("paused, and a page is read")
	}
}

// sync checks the limits of what is in flight (I9, I10).
func (o *oracle) sync(x recovery.Sync) {
	w := o.w
	slots, bytes := 1, max(x.Blob.Size, 0)
	for _, u := range o.syncs {
		if u.run == x.Run && u.id == x.Blob.ID {
			w.violate("I9: %s is asked for twice", w.name(x.Blob.ID))
		}
		if !u.sealed {
			slots++
			bytes += u.size
		}
	}
	switch {
	case o.paused:
		w.violate("paused, and %s is asked for", w.name(x.Blob.ID))
	case slots > o.slots:
		w.violate("I10: %d blobs in flight, at most %d may be", slots, o.slots)
	case bytes > o.bytes && bytes > max(x.Blob.Size, 0):
		w.violate("I10: %d bytes in flight, at most %d may be", bytes, o.bytes)
	}
	o.notTooSoon(x.Blob.ID, "asked for")
	delete(o.notBefore, x.Blob.ID)
	o.syncs[x.Seq] = &underway{run: x.Run, id: x.Blob.ID, size: max(x.Blob.Size, 0)}
}

func (o *oracle) notTooSoon(id recovery.BlobID, what string) {
	if at := o.notBefore[id]; o.w.now < at {
		o.w.violate("I11: %s is %s %v before its next try is due", o.w.name(id), what, at-o.w.now)
	}
}

func (o *oracle) saves(x recovery.Save) {
	w := o.w
	if o.doubt != "" && !w.calm && w.proc.machine.Phase() == recovery.PhaseHalted {
		w.violate("I12: %s, and a halted machine saves", o.doubt)
	}
	if p := x.Record.Progress; p != nil {
		if p.Run < o.top {
			w.violate("I6: run %d is saved, and run %d was durable", p.Run, o.top)
		}
		o.claims(p, "in a save")
		w.acceptTwin(p.Bound)
	}
}

// decided: saved progress is kept only for the same facts (I6).
func (o *oracle) decided(x recovery.Decided) {
	clear(o.notBefore)
	last := o.last
	o.last = nil
	o.discarded(x, last)
	p := o.records[0].Progress
	if p == nil || x.Run != p.Run {
		return
	}
	// Claims about what is not so any more are found by claims, as soon as a fence
	// names what is. So the fence must be the one that progress was made under.
	now := o.w.proc.machine.Progress()
	if now != nil && fence(now.Fence) != fence(p.Fence) {
		o.w.violate("I6: progress of %s is kept for %s", fence(p.Fence), fence(now.Fence))
	}
}

// discarded: progress is dropped only for a reason.
func (o *oracle) discarded(x recovery.Decided, was *recovery.Progress) {
	now := o.w.proc.machine.Progress()
	if x.Origin.Decision != recovery.Discard || was == nil || now == nil || fence(was.Fence) != fence(now.Fence) || o.tip == nil {
		return
	}
	if now.Epoch >= was.Epoch && o.tip.Position >= was.Bound.Position && o.tip.Epoch >= was.Bound.Epoch {
		o.w.violate("I6: progress is discarded, and nothing has changed: %s", x.Origin.Why)
	}
}

func fence(f recovery.Fence) string {
	return fmt.Sprintf("%s %d %v %s %q %.8s", f.Network, f.TotalShards, f.Placement, f.Owned, f.Continuity, f.Store)
}
