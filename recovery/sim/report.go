package sim

import (
	"fmt"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// answered checks that what an answer says is on the disk (hazard 40).
func (o *oracle) answered(a recovery.Answered) {
	w := o.w
	asked, known := o.tickets[a.Ticket]
	if !known {
		w.violate("an answer to ticket %d, for which nobody waits", a.Ticket)
	}
	delete(o.tickets, a.Ticket)
	switch e := asked.(type) {
	case recovery.PauseAsked:
		if e.Ticket == o.newest && o.records[0].Paused != e.Paused {
			w.violate("hazard 40: paused=%v was answered, and is not on the disk", e.Paused)
		}
	case recovery.RetryAsked:
		if n := a.Taken + len(a.Busy) + len(a.Unknown); len(e.IDs) > 0 && n != len(e.IDs) {
			w.violate("%d ids were to be retried, and %d are accounted for", len(e.IDs), n)
		}
	case recovery.PutBack:
		o.putBack(e, a)
	}
}

// putBack notes what a report may rely on from now on.
func (o *oracle) putBack(e recovery.PutBack, a recovery.Answered) {
	w := o.w
	if n := a.Taken + len(a.Unknown) + len(a.Refused); n != len(e.Blobs) {
		w.violate("%d blobs were put back, and %d are accounted for", len(e.Blobs), n)
	}
	for _, b := range e.Blobs {
		if ticket, lost := o.lost[b.ID]; lost && ticket == e.Ticket {
			delete(o.lost, b.ID)
		}
		taken := !slices.Contains(a.Unknown, b.ID) && !slices.Contains(a.Refused, b.ID)
		gained, seen := w.seenAsItIs(b.ID)
		if taken && seen && o.rotten[b.ID] == (report{e.Ticket, gained}) && len(o.holders(b.ID)) > 0 {
			o.promised[b.ID] = promised{root: w.disk.root, gained: gained}
		}
	}
	if p := o.records[0].Progress; p != nil {
		o.claims(p, "on the disk, and that was answered")
	}
}

// everyStep checks what must hold at any time.
func (o *oracle) everyStep() {
	w, m := o.w, o.w.proc.machine
	p, s := m.Progress(), m.Status()
	if s.Blocked != "" {
		w.count(Blocked)
	}
	if p == nil {
		return
	}
	o.claims(p, "in memory")
	if n, limit := len(p.Unsettled), w.plan.machine.Unsettled+w.plan.machine.Parked; n > limit {
		w.violate("I10: %d are listed, at most %d may be", n, limit)
	}
	o.counters(p)
	o.status(p, s)
}

// counters only rise within a run; what a crash forgets goes with the cursor.
func (o *oracle) counters(p *recovery.Progress) {
	w := o.w
	if l := o.last; l != nil && l.Run == p.Run {
		a, b := l.Counters, p.Counters
		if b.Stored < a.Stored || b.AlreadyStored < a.AlreadyStored || b.NotCertified < a.NotCertified || b.Expired < a.Expired ||
			b.Cancelled < a.Cancelled || b.Parkings < a.Parkings || b.Passes < a.Passes || b.Resumes < a.Resumes {
			w.violate("hazard 12: a counter fell: %+v after %+v", b, a)
		}
		if b.Expired > a.Expired {
			w.count(FoundExpired)
		}
		if b.NotCertified > a.NotCertified {
			w.count(FoundNotCertified)
		}
	}
	o.last = p
}

// status never lies.
func (o *oracle) status(p *recovery.Progress, s recovery.Status) {
	w := o.w
	u := s.Unsettled
	switch {
	case s.Cursor != p.Cursor || s.Scan != p.Scan || s.Run != p.Run:
		w.violate("status and progress differ: %+v, %s", s, w.record(recovery.Record{Progress: p}))
	case u.Total != len(p.Unsettled) || u.Total != u.Waiting+u.Fetching+u.Flushing+u.Retrying+u.Parked:
		w.violate("status counts %+v, and %d are listed", u, len(p.Unsettled))
	case s.Paused != o.paused && o.loadedYet:
		w.violate("status says paused=%v", s.Paused)
	case s.Phase == recovery.PhaseComplete:
		o.complete(p)
		o.behind(s)
	case s.Phase == recovery.PhaseIncomplete && u.Total > u.Parked:
		w.violate("incomplete, and of %d unsettled only %d are parked", u.Total, u.Parked)
	}
}

// behind: "complete" needs a catalog at its tip, in the ownership's epoch (hazard 87).
func (o *oracle) behind(s recovery.Status) {
	w := o.w
	if o.tip == nil || o.tip.Static {
		return
	}
	if !o.tip.AtTip || s.Ownership != nil && o.tip.Epoch < s.Ownership.Epoch {
		w.violate("hazard 87: complete, and the catalog is in epoch %d, at its tip: %v; the ownership is in epoch %d", o.tip.Epoch, o.tip.AtTip, s.Ownership.Epoch)
	}
}

// isDone reports whether the machine says that everything there is now is done.
func (o *oracle) isDone() bool {
	p := o.w.proc
	if p == nil || p.machine.Phase() != recovery.PhaseComplete || len(o.tickets) > 0 || len(p.asks) > 0 {
		return false
	}
	c := &o.w.catalog
	s := p.machine.Status()
	return s.Bound.Position == c.position && s.Ownership.Equal(o.w.node.own) && o.w.node.own.Node == shards.Active
}

// atTheEnd: the same stored bytes, covered and end as without a fault (I13).
func (o *oracle) atTheEnd() {
	w := o.w
	p := w.proc.machine.Progress()
	if p == nil || !o.applies(p.Fence) || p.Covered == nil || p.Covered.Position != w.catalog.position || !p.Cursor.End() {
		w.violate("I13: complete, and that is not so: %s", w.record(recovery.Record{Progress: p}))
	}
	for i := range w.blobs {
		b := &w.blobs[i]
		if w.certified(b) && !o.durable(b.ID) {
			w.violate("I13: complete, and %s is not durable", w.name(b.ID))
		}
	}
	if len(o.promised) > 0 {
		o.checkPromises(nil, "at the end")
	}
}

func (o *oracle) whereItStands() string {
	p := o.w.proc
	if p == nil {
		return "no process runs"
	}
	s := p.machine.Status()
	return fmt.Sprintf("%v (%s), blocked %q, trouble %q, %d tickets, %d asks, %s", s.Phase, s.Why, s.Blocked, s.Trouble, len(o.tickets), len(p.asks),
		o.w.record(recovery.Record{Paused: s.Paused, Progress: p.machine.Progress()}))
}
