package recovery

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/shards"
)

// desk is the operator's side of a world: what was asked, and what was promised.
type desk struct {
	tickets uint64
	asked   map[uint64]Event  // of this process, not answered yet
	pauses  uint64            // the ticket of the newest PauseAsked
	losing  map[BlobID]uint64 // lost, and the ticket of the report that has no answer yet
	rotten  map[BlobID]uint64 // stored, and wrong; the ticket of the newest put back
	// promised are the rotten blobs that an answer said are put back: until they are
	// replaced they must be listed, also in another run.
	promised map[BlobID]bool
}

// ticket numbers a request.
func (w *world) ticket() uint64 {
	w.desk.tickets++
	return w.desk.tickets
}

// note remembers who waits for an answer.
func (w *world) note(e Event) {
	switch e := e.(type) {
	case PauseAsked:
		if e.Ticket != 0 {
			w.desk.asked[e.Ticket], w.desk.pauses = e, e.Ticket
		}
	case RetryAsked:
		if e.Ticket != 0 {
			w.desk.asked[e.Ticket] = e
		}
	case PutBack:
		if e.Ticket != 0 {
			w.desk.asked[e.Ticket] = e
		}
	case LimitsAsked:
		if e.Ticket != 0 {
			w.desk.asked[e.Ticket] = e
		}
	}
}

// operate lets blobs rot and be put back, or changes the limits.
func (w *world) operate(n int) {
	if n > 129 {
		w.step(LimitsAsked{
			Ticket: w.ticket(), Slots: rapid.IntRange(1, 5).Draw(w.t, "slots"),
			BytesInFlight: rapid.SampledFrom([]int64{5, 25, 60}).Draw(w.t, "bytes"),
		})
		return
	}
	var blobs []Blob
	ticket := w.ticket()
	for _, r := range w.pinned {
		if w.stored[r.ID] && w.own.Owned.Contains(shards.Home(r.ID, 2)) && rapid.Bool().Draw(w.t, "rots") {
			w.rot(r.ID, ticket)
			blobs = append(blobs, r.Blob)
		}
	}
	w.step(PutBack{Ticket: ticket, Blobs: blobs})
}

// lose takes a stored blob away. The world may count on the news only after the
// machine has answered the report.
func (w *world) lose(id BlobID) {
	w.forget(id)
	if w.desk.losing == nil {
		w.desk.losing = map[BlobID]uint64{}
	}
	w.desk.losing[id] = 0
}

// reportLosses reports every loss that has no answer, again after a restart.
func (w *world) reportLosses() {
	var lost []Blob
	ticket := w.ticket()
	for _, id := range sortedIDs(w.desk.losing) {
		w.desk.losing[id] = ticket
		lost = append(lost, w.blobs[id].Blob)
	}
	if len(lost) > 0 {
		w.step(PutBack{Ticket: ticket, Blobs: lost})
	}
}

func (w *world) rot(id BlobID, ticket uint64) {
	if w.desk.rotten == nil {
		w.desk.rotten, w.desk.promised = map[BlobID]uint64{}, map[BlobID]bool{}
	}
	w.desk.rotten[id] = ticket
}

// answered checks that what an answer says is on the disk.
func (w *world) answered(a Answered) {
	asked := w.desk.asked[a.Ticket]
	delete(w.desk.asked, a.Ticket)
	switch e := asked.(type) {
	case nil:
		w.t.Fatalf("an answer to ticket %d, which nobody waits for", a.Ticket)
	case PauseAsked:
		if e.Ticket == w.desk.pauses && w.disk.Paused != e.Paused {
			w.t.Fatalf("hazard 40: paused=%v was answered, and is not on the disk", e.Paused)
		}
	case RetryAsked:
		if len(e.IDs) > 0 && a.Taken+len(a.Busy)+len(a.Unknown) != len(e.IDs) {
			w.t.Fatalf("%d ids were to be retried, the answer is %+v", len(e.IDs), a)
		}
	case PutBack:
		w.promise(e, a)
	}
}

// promise notes which rotten blobs are put back now: they are listed on the disk.
func (w *world) promise(e PutBack, a Answered) {
	if a.Taken+len(a.Unknown)+len(a.Refused) != len(e.Blobs) {
		w.t.Fatalf("%d blobs were put back, the answer is %+v", len(e.Blobs), a)
	}
	for _, b := range e.Blobs {
		if w.desk.losing[b.ID] == e.Ticket {
			delete(w.desk.losing, b.ID)
		}
		gone := slices.Contains(a.Unknown, b.ID) || slices.Contains(a.Refused, b.ID)
		if !gone && w.desk.rotten[b.ID] == e.Ticket && w.seen(b.ID) {
			w.desk.promised[b.ID] = true
		}
	}
	w.endPromises()
	w.checkDisk()
}

// seen reports whether the pinned catalog knows a blob as it is. One that was
// extended since may be settled as expired before that is seen.
func (w *world) seen(id BlobID) bool {
	return slices.ContainsFunc(w.pinned, func(r Row) bool { return r.ID == id && r.Gained == w.blobs[id].Gained })
}

// checkPromises: what was put back is listed until it is replaced (hazard 92).
func (w *world) checkPromises(listed map[BlobID]bool) {
	for id := range w.desk.promised {
		if !listed[id] {
			w.t.Fatalf("hazard 92: %v is rotten and was put back, and is neither replaced nor listed", id)
		}
	}
}

// endPromises drops those about blobs that are certified, or owned, no more.
func (w *world) endPromises() {
	maps.DeleteFunc(w.desk.promised, func(id BlobID, _ bool) bool {
		return w.blobs[id].EndEpoch <= w.epoch || !w.own.Owned.Contains(shards.Home(id, 2))
	})
}

func (w *world) replaced(id BlobID) {
	delete(w.desk.rotten, id)
	delete(w.desk.promised, id)
}

// forget takes a blob away; nothing rotten is left of it.
func (w *world) forget(id BlobID) {
	delete(w.stored, id)
	w.replaced(id)
}

func (w *world) forgetAll() {
	clear(w.stored)
	clear(w.desk.rotten)
	clear(w.desk.promised)
}

// checkDesk: everything that was asked of this process has an answer, and what was
// promised is kept.
func (w *world) checkDesk() {
	for ticket, e := range w.desk.asked {
		w.t.Fatalf("ticket %d was never answered: %+v", ticket, e)
	}
	for id := range w.desk.promised {
		w.t.Fatalf("complete, and %v is rotten although it was put back", id)
	}
}
