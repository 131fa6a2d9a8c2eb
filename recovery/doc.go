// Package recovery is the brain of recoverd and its dictionary: a pure state
// machine that decides which blobs to look at, sync, retry and settle, and what
// may be claimed durably about them.
//
// # Contract
//
// A Machine takes one Event at a time and returns the Effects to perform:
//
//	effects, err := machine.Step(event)
//
// It starts no goroutine and touches no lock, channel, clock, randomness or
// I/O, so every history can be replayed. Its host owns all of those. Failures of
// the outside world are events; an error from Step is a bug in the host or the
// machine, and the host stops.
//
// The host loop, whole:
//
//	perform(machine.Start())
//	for {
//		var e recovery.Event
//		select {
//		case e = <-answers: // of effects performed earlier, and facts
//		case <-timer:       // no later than machine.WakeAt()
//		}
//		step(recovery.Tick{Now: sinceStart(), Wall: time.Now()})
//		step(e)
//	}
//
// where step performs each effect in the order given: Save and Reset one after
// the other, everything else concurrently. Rules for the host:
//
//   - Time enters with Tick only, before the events that happened by then.
//   - Effects that ask something carry a Seq, and those of a run its Run. The
//     answering event repeats them; the machine drops answers it no longer
//     waits for (I6). Every asked effect is answered exactly once, or never if
//     the process dies.
//   - Save is answered by Saved only after the record is durable, and by
//     SaveFailed if that is in doubt. Nothing may be retried on the way (I12).
//   - Events of an operator may carry a Ticket. Answered repeats it once what the
//     event changed is durable, so that nobody is told of a pause or a repair that
//     a crash forgets (hazard 40). RetryAsked and PutBack wait for a run in force;
//     the host bounds how many wait.
//   - Halt and Finished are last: the host performs nothing after them.
//   - The slice that Step returns, and the rows of a page, belong to the other
//     side until the next Step, respectively until a ReadPage hands the buffer
//     back.
//
// # Life of a blob
//
// A page brings its row. The row is passed over when no owned shard holds a
// piece of it, when earlier passes covered it, or when its id is in the
// unsettled list already; it settles at once when it is expired or stored.
// Otherwise it becomes an entry of the unsettled list and a Sync effect, which
// takes a slot. Sealed gives the slot back: the bytes are in the store and wait
// for the barrier. Success or Skipped settles it: the entry goes. Cancelled
// makes it wait for its next try, and after ParkAfter definite answers parks it.
// When due it is looked up again (still certified? stored by now?) and then
// synced again. What was put back is fetched and replaced whatever the store has
// under its name, and stays listed until then, also over a discard, as long as a
// shard with a piece of it is owned; the reason of a new run says how many were
// dropped. It ends as expired only by the catalog's own epoch. The cursor is never
// kept: it is computed from the scan position and the lowest entry, so it cannot
// pass unfinished work (I2).
//
// # What is bounded
//
// A kill costs at most the blobs in flight and one barrier group (I10): Slots, or,
// while the host governs their number by itself, the ceiling that it keeps to
// (worker.Limits.ConcurrencyMax). A flight that began under an older run is shared
// by nobody of a newer one: what is asked anew waits for its end and then looks for
// itself (I6, I9).
//
// A pass keeps its bound, and while it goes on no newer state is asked for, but for
// one case: a full list holds it up. Then the newest state is taken within the pass,
// so that look-ups learn what the network has dropped meanwhile and no peer has any
// more. The bound stays where it was (I7), and every answer still reaches it (I8).
package recovery
