package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// perform starts each effect in the order given. The checkpoint keeps the order
// of saves; everything else runs on its own and answers with an event. Nothing
// is performed after Halt or Finished.
func (w *Worker) perform(ctx context.Context, effects []recovery.Effect) {
	for _, effect := range effects {
		switch e := effect.(type) {
		case recovery.LoadCheckpoint:
			w.ask(ctx, w.load)
		case recovery.TakeBound:
			w.ask(ctx, func() recovery.Event { return w.takeBound(ctx, e) })
		case recovery.OpenStore:
			w.ask(ctx, func() recovery.Event { return w.openStore(ctx, e) })
		case recovery.ReadPage:
			w.ask(ctx, func() recovery.Event { return w.readPage(ctx, e) })
		case recovery.LookUp:
			w.ask(ctx, func() recovery.Event { return w.lookUp(ctx, e) })
		case recovery.Sync:
			w.sync(e)
		case recovery.CancelRun:
			w.cfg.Syncer.CancelRun(e.Run)
		case recovery.Save:
			w.save(ctx, e)
		case recovery.Answered:
			w.publish(time.Now()) // whoever is answered finds it in the status
			w.desk.answer(e)
		case recovery.Decided:
			w.history.note(time.Now(), e)
			w.notices.tell(e)
		case recovery.Halt:
			_ = w.halt(e) // step returns it
			return
		case recovery.Finished:
			w.finished = true
			w.result.Unsettled = w.machine.Unsettled()
			return
		default:
			w.notices.tell(e)
		}
	}
}

// ask runs a question on a goroutine of its own and delivers its answer.
func (w *Worker) ask(ctx context.Context, question func() recovery.Event) {
	w.running.Go(func() { w.deliver(ctx, question()) })
}

// deliver hands an event to the loop, or drops it when the loop has ended. The
// loop itself never delivers: it would wait for itself once the queue is full.
func (w *Worker) deliver(ctx context.Context, event recovery.Event) {
	if event == nil { // the question ended with ctx
		return
	}
	select {
	case w.events <- event:
	case <-ctx.Done():
	}
}

func (w *Worker) load() recovery.Event {
	loaded, err := w.cfg.Checkpoint.Load()
	if err != nil {
		return recovery.LoadFailed{Err: err}
	}
	return loaded
}

func (w *Worker) takeBound(ctx context.Context, e recovery.TakeBound) recovery.Event {
	tip, err := w.cfg.Catalog.Pin(ctx)
	if err != nil {
		return recovery.BoundFailed{Seq: e.Seq, Err: err}
	}
	return recovery.BoundTaken{Seq: e.Seq, Tip: tip}
}

// openStore tells the free space before the store is ready for use, so that
// nothing is fetched into a volume that is nearly full.
func (w *Worker) openStore(ctx context.Context, e recovery.OpenStore) recovery.Event {
	report, err := w.cfg.Store.Prepare(ctx, e.Request)
	if err != nil {
		return recovery.StoreFailed{Seq: e.Seq, Err: err}
	}
	if room, err := w.cfg.Store.Room(ctx); err == nil {
		w.deliver(ctx, recovery.RoomSeen{Room: room})
	}
	return recovery.StoreOpened{Seq: e.Seq, Report: report}
}

// readPage reads a page and marks what is stored, off the loop, so that both are
// done when the machine gets it.
func (w *Worker) readPage(ctx context.Context, e recovery.ReadPage) recovery.Event {
	info, err := w.page(ctx, e)
	if err == nil {
		err = w.mark(ctx, e.Buf[:info.N])
	}
	if err != nil {
		return recovery.PageFailed{Seq: e.Seq, Err: err}
	}
	return recovery.PageRead{Seq: e.Seq, Rows: e.Buf, Info: info}
}

func (w *Worker) lookUp(ctx context.Context, e recovery.LookUp) recovery.Event {
	stamp, rows, err := w.cfg.Catalog.Lookup(ctx, e.IDs)
	if err == nil {
		err = w.mark(ctx, rows)
	}
	if err != nil {
		return recovery.LookupFailed{Seq: e.Seq, Err: err}
	}
	return recovery.LookedUp{Seq: e.Seq, Stamp: stamp, Rows: rows}
}

func (w *Worker) page(ctx context.Context, e recovery.ReadPage) (recovery.PageInfo, error) {
	if narrow, ok := w.cfg.Catalog.(Narrower); ok && e.Since != nil {
		return narrow.PageSince(ctx, *e.Since, e.After, e.Buf)
	}
	return w.cfg.Catalog.Page(ctx, e.After, e.Buf)
}

// mark sets Stored on the rows. What is flying, for a superseded run or for the
// node, has a name that may not be durable: it counts as missing, and its sync
// joins the flight and waits for the barrier (hazard 77).
func (w *Worker) mark(ctx context.Context, rows []recovery.Row) error {
	if err := w.cfg.Store.Mark(ctx, rows); err != nil {
		return err
	}
	for i := range rows {
		if rows[i].Stored && w.cfg.Syncer.Flying(rows[i].ID) {
			rows[i].Stored = false
		}
	}
	return nil
}

// sync asks for a blob. What becomes of it is put into the mailbox by whoever brings it
// about. It is asked for here and now: a CancelRun that follows must find it.
func (w *Worker) sync(e recovery.Sync) {
	var sealed atomic.Bool
	w.cfg.Syncer.Sync(syncer.Request{
		Run: e.Run, Blob: e.Blob, Covers: e.Covers, Placement: e.Placement, Replace: e.Replace,
		Told: func(watch *syncer.Watch, stage syncer.Stage) {
			if stage == syncer.Stored { // the slot is free
				sealed.Store(true)
				w.auto.stored.Add(1)
				w.synced.put(recovery.Sealed{Run: e.Run, Seq: e.Seq, ID: e.Blob.ID})
				return
			}
			outcome, _ := watch.Outcome()
			w.tries.note(e.Blob.ID, outcome, watch.Answers())
			if outcome.Result == recovery.Success && !sealed.Load() {
				w.auto.stored.Add(1)
			}
			synced := recovery.Synced{Run: e.Run, Seq: e.Seq, ID: e.Blob.ID, Outcome: outcome}
			if outcome.Result == recovery.Cancelled {
				synced.Delay = w.cfg.Delays.Delay(e.Attempt)
			}
			w.synced.put(synced)
		},
	})
}

// save hands a record to the checkpoint and tells the loop when it is durable.
func (w *Worker) save(ctx context.Context, e recovery.Save) {
	write := w.cfg.Checkpoint.Save
	if e.Less {
		write = w.cfg.Checkpoint.Reset
	}
	answer := make(chan error, 1)
	write(e.Record, func(err error) { answer <- err })
	w.ask(ctx, func() recovery.Event {
		select {
		case err := <-answer:
			if err != nil {
				return recovery.SaveFailed{Seq: e.Seq, Err: err}
			}
			return recovery.Saved{Seq: e.Seq}
		case <-ctx.Done():
			return nil
		}
	})
}
