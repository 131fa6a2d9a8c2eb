package sim

import (
	"errors"
	"slices"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// ask is an effect under way. Its stages can be far apart.
type ask struct {
	effect recovery.Effect
	stage  int
	answer recovery.Event // ready to be told
	rows   []recovery.Row
	watch  *syncer.Watch
	sealed bool
	slow   bool // everything else overtakes it
	claims bool // progress claimed work when it was asked for
}

// advance takes an effect one stage further, and tells the machine at the last one.
func (p *process) advance(a *ask) {
	switch e := a.effect.(type) {
	case recovery.LoadCheckpoint:
		p.load(a)
	case recovery.TakeBound:
		p.takeBound(a, e)
	case recovery.OpenStore:
		p.openStore(a, e)
	case recovery.ReadPage:
		p.readPage(a, e)
	case recovery.LookUp:
		p.lookUp(a, e)
	case recovery.Sync:
		p.follow(a, e)
	case recovery.Save:
		p.save(a, e)
	}
	a.stage++
	if p.w.disk.dead || a.answer == nil || a.stage < 2 {
		return
	}
	p.asks = slices.DeleteFunc(p.asks, func(b *ask) bool { return a == b })
	p.step(a.answer)
	if p.w.fault(ReplayedAnswer) && replayable(a.answer) {
		p.step(a.answer)
	}
}

// replayable: a page's buffer is the machine's once it was told, and what was loaded
// has no number to be known by.
func replayable(e recovery.Event) bool {
	switch e.(type) {
	case recovery.PageRead, recovery.Loaded:
		return false
	}
	return true
}

func (p *process) load(a *ask) {
	if a.answer != nil {
		return
	}
	record, report, err := p.saver.Load()
	if err != nil {
		a.answer = recovery.LoadFailed{Err: err}
		return
	}
	p.w.oracle.loaded(record, report)
	a.answer = recovery.Loaded{Record: record, LastRun: report.LastRun, Note: report.Note()}
}

func (p *process) takeBound(a *ask, e recovery.TakeBound) {
	switch {
	case a.answer != nil:
	case p.w.fault(CatalogError):
		a.answer = recovery.BoundFailed{Seq: e.Seq, Err: errCatalog}
	default:
		tip, v := p.w.tip()
		p.pinned = v
		a.answer = recovery.BoundTaken{Seq: e.Seq, Tip: tip}
	}
}

func (p *process) openStore(a *ask, e recovery.OpenStore) {
	if a.answer != nil {
		return
	}
	report, err := p.shelf.prepare(e.Request, a.claims)
	if err != nil {
		a.answer = recovery.StoreFailed{Seq: e.Seq, Err: err}
		return
	}
	a.answer = recovery.StoreOpened{Seq: e.Seq, Report: report}
}

// readPage reads, lists the store, and asks what is flying: in this order, and other
// things happen in between (hazard 77).
func (p *process) readPage(a *ask, e recovery.ReadPage) {
	if a.answer == nil {
		info, err := p.w.page(p.pinned, e)
		if err == nil {
			err = p.shelf.list(e.Buf[:info.N])
		}
		if err != nil {
			a.answer = recovery.PageFailed{Seq: e.Seq, Err: err}
			return
		}
		a.rows = e.Buf[:info.N]
		a.answer = recovery.PageRead{Seq: e.Seq, Rows: e.Buf, Info: info}
		return
	}
	p.leaveOutFlying(a)
}

func (p *process) lookUp(a *ask, e recovery.LookUp) {
	if a.answer == nil {
		stamp, rows, err := p.w.lookUp(p.pinned, e.IDs)
		if err == nil {
			err = p.shelf.list(rows)
		}
		if err != nil {
			a.answer = recovery.LookupFailed{Seq: e.Seq, Err: err}
			return
		}
		a.rows = rows
		a.answer = recovery.LookedUp{Seq: e.Seq, Stamp: stamp, Rows: rows}
		return
	}
	p.leaveOutFlying(a)
}

func (p *process) leaveOutFlying(a *ask) {
	for i := range a.rows {
		if a.rows[i].Stored && p.stepper.Flying(a.rows[i].ID) {
			a.rows[i].Stored = false
		}
	}
	a.rows = nil
}

// follow tells what became of a sync. What is told later is what was so then.
func (p *process) follow(a *ask, e recovery.Sync) {
	if a.answer != nil {
		return
	}
	o, done := a.watch.Outcome()
	if !done {
		if a.watch.Status().Stage == syncer.Stored && !a.sealed {
			a.sealed = true
			p.step(recovery.Sealed{Run: e.Run, Seq: e.Seq, ID: e.Blob.ID})
		}
		return
	}
	s := recovery.Synced{Run: e.Run, Seq: e.Seq, ID: e.Blob.ID, Outcome: o}
	if o.Result == recovery.Cancelled {
		s.Delay = p.delays.Delay(e.Attempt)
	}
	p.w.countOutcome(o)
	a.answer = s
}

// save writes what was handed in first, first.
func (p *process) save(a *ask, e recovery.Save) {
	if a.answer != nil {
		return
	}
	if err := p.write(e); err != nil {
		if !errors.Is(err, checkpoint.ErrFailed) && !p.w.disk.dead {
			p.w.violate("the checkpoint refuses a record: %v", err)
		}
		a.answer = recovery.SaveFailed{Seq: e.Seq, Err: err}
		return
	}
	a.answer = recovery.Saved{Seq: e.Seq}
}

// ready reports whether an effect can go on: saves keep their order, and a sync has
// news or none.
func (p *process) ready(a *ask) bool {
	switch a.effect.(type) {
	case recovery.Save:
		if a.stage > 0 {
			return true
		}
		first := slices.IndexFunc(p.asks, func(b *ask) bool {
			_, save := b.effect.(recovery.Save)
			return save && b.stage == 0
		})
		return p.asks[first] == a
	case recovery.Sync:
		if a.answer != nil {
			return true
		}
		stage := a.watch.Status().Stage
		return stage == syncer.Done || stage == syncer.Stored && !a.sealed
	}
	return true
}
