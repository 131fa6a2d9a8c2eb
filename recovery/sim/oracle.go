package sim

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
)

// oracle knows what is true, and holds every claim of the machine against it. It
// shares no code with the machine: it reads the network's promises and the bytes that
// a power cut would leave.
type oracle struct {
	w *world

	// records are what a restart may find: the last one that was acknowledged as
	// durable, and those that were handed to the checkpoint since.
	records []recovery.Record
	top     uint64 // the highest run that was ever durable
	loose   bool   // more than one copy was spoilt: progress may be lost, not the truth

	stores map[string]identity
	tip    *recovery.Tip // the newest that the machine was told

	lost     map[recovery.BlobID]uint64 // and the ticket of the report without an answer
	rotten   map[recovery.BlobID]report
	promised map[recovery.BlobID]promised

	doubt string // a write or a flush of this process failed
	life         // of the present process
}

// identity is a store as it was when it was reported.
type identity struct {
	root   *root
	id     store.MarkerID
	shards map[uint32]store.MarkerID
}

// report is an operator's of a rotten blob, and what was seen of it then.
type report struct{ ticket, gained uint64 }

// promised is a rotten blob of which an operator was told that it is put back.
type promised struct {
	root   *root
	gained uint64
}

// life is what the oracle knows of one process.
type life struct {
	loadedYet bool
	paused    bool
	slots     int
	bytes     int64
	syncs     map[uint64]*underway
	notBefore map[recovery.BlobID]time.Duration
	definite  map[recovery.BlobID]uint32 // definite answers that it was told, over all lives
	tickets   map[uint64]recovery.Event
	newest    uint64 // ticket of the newest PauseAsked
	last      *recovery.Progress
	returns   uint64
	looks     looks
}

// looks says whether a look at the store is newer than the work it must confirm.
type looks struct {
	events uint64            // told so far
	work   string            // what was done by then
	worked uint64            // the event that last changed it
	asked  map[uint64]uint64 // the event that each look was asked for at, by its number
	looked uint64            // of the newest that was answered
}

// underway is a sync that was asked for and not answered.
type underway struct {
	run    uint64
	id     recovery.BlobID
	size   int64
	sealed bool
}

func newOracle(w *world) oracle {
	return oracle{
		w: w, records: []recovery.Record{{}}, stores: map[string]identity{},
		lost: map[recovery.BlobID]uint64{}, rotten: map[recovery.BlobID]report{}, promised: map[recovery.BlobID]promised{},
		life: life{definite: map[recovery.BlobID]uint32{}},
	}
}

// restarts: a new process knows nothing.
func (o *oracle) restarts() {
	o.doubt = ""
	o.life = life{
		slots: o.w.plan.machine.Slots, bytes: o.w.plan.machine.BytesInFlight, syncs: map[uint64]*underway{},
		notBefore: map[recovery.BlobID]time.Duration{}, definite: o.definite, tickets: map[uint64]recovery.Event{},
		looks: looks{asked: map[uint64]uint64{}},
	}
	o.tip = nil
}

// startFailed: a checkpoint may refuse to open only for the operating system's errors.
func (o *oracle) startFailed(err error) {
	if text := err.Error(); !strings.Contains(text, "sim: ") {
		o.w.violate("the checkpoint does not open: %v", err)
	}
}

// writes and written: a record is handed to the checkpoint, and is acknowledged.
func (o *oracle) writes(r recovery.Record) { o.records = append(o.records, r) }

func (o *oracle) written(r recovery.Record) {
	o.records = []recovery.Record{r}
	if r.Progress != nil {
		o.top = max(o.top, r.Progress.Run)
	}
	o.probe()
}

func (o *oracle) damaged(several bool) {
	o.loose = o.loose || several
	if several {
		clear(o.promised)
	}
}

// loaded checks what a restart found: something that was handed in, and nothing older
// than what was acknowledged.
func (o *oracle) loaded(r recovery.Record, report checkpoint.LoadReport) {
	w := o.w
	switch {
	case !o.loose && !o.known(r):
		w.violate("I4, I6: a restart finds what was never so:\n%s\nit may find\n%s", w.record(r), o.mayBe())
	case report.LastRun < o.top:
		w.violate("I6: run %d was durable, and a restart knows of %d", o.top, report.LastRun)
	}
	o.loose = false
	o.records = []recovery.Record{r}
	if r.Progress != nil {
		o.claims(r.Progress, "on the disk")
	}
}

// known reports whether a record is one of those that may be found. The pause lies
// outside of the progress: it is the newest one of any copy that can be read.
func (o *oracle) known(r recovery.Record) bool {
	paused := r.Paused
	for i := len(o.records) - 1; i >= 0; i-- {
		k := o.records[i]
		r.Paused = k.Paused
		if o.w.record(k) == o.w.record(r) && slices.ContainsFunc(o.records[i:], func(k recovery.Record) bool { return k.Paused == paused }) {
			return true
		}
	}
	return false
}

func (o *oracle) mayBe() string {
	var b strings.Builder
	for _, r := range o.records {
		b.WriteString(o.w.record(r))
		b.WriteByte('\n')
	}
	return b.String()
}

// probe cuts the power in a copy of the world right after a record was acknowledged,
// and spoils one copy of the record half of the time: it must be found all the same.
func (o *oracle) probe() {
	w := o.w
	if w.rng.IntN(3) > 0 {
		return
	}
	counts, calm := w.counts, w.calm
	w.calm = true
	d := disk{w: w, root: newRoot(nil, 0)}
	d.medium = w.disk.medium.clone(&d)
	how := "a power cut"
	d.medium.powerCut()
	if d.medium.sound() && w.coin() {
		how = "the loss of " + d.medium.damage()
	}
	s, err := checkpoint.OpenMedium(&d.medium)
	if err != nil {
		w.violate("I4: after %s the checkpoint does not open: %v", how, err)
	}
	r, _, err := s.Load()
	if err != nil || !o.known(r) {
		w.violate("I4, I12: after %s an acknowledged record is gone (%v):\n%s\nwas acknowledged, and a restart finds\n%s", how, err, o.mayBe(), w.record(r))
	}
	w.counts, w.calm = counts, calm
}

// storeOpened remembers what an identity stands for.
func (o *oracle) storeOpened(name string, at *root, owned shards.Set) {
	id := identity{root: at, id: at.marker.ID, shards: map[uint32]store.MarkerID{}}
	for s := range store.Places(o.w.plan.machine.Placement, owned) {
		id.shards[s] = at.shards[s].ID
	}
	o.stores[name] = id
}

// makesRoot: where progress claims work, an empty place is a disk that is not mounted,
// and must not be filled (hazard 82).
func (o *oracle) makesRoot(claims bool) {
	if claims {
		o.w.violate("hazard 82: an empty root gets a marker, and progress claims work")
	}
}

// claimsWork reports whether progress claims that something is stored.
func (o *oracle) claimsWork() bool {
	p := o.w.proc.machine.Progress()
	return p != nil && p.Counters.Stored+p.Counters.AlreadyStored > 0
}

// sameStore reports whether a store that progress is bound to is the one that is there.
func (o *oracle) sameStore(name string) bool {
	id, ok := o.stores[name]
	at := o.w.disk.root
	if !ok || id.root != at || at.marker == nil || at.marker.ID != id.id {
		return false
	}
	for s, m := range id.shards {
		if now := at.shards[s]; now == nil || now.ID != m {
			return false
		}
	}
	return true
}

// applies reports whether a fence is about what is so now.
func (o *oracle) applies(f recovery.Fence) bool {
	own := o.w.node.own
	return f.Network == network && f.TotalShards == own.TotalShards && f.Placement == o.w.plan.machine.Placement &&
		f.Owned.String() == own.Owned.String() && f.Continuity == own.Continuity && o.sameStore(f.Store)
}

// holders lists the owned shards that must hold a piece of a blob.
func (o *oracle) holders(id recovery.BlobID) (holders []uint32) {
	own := o.w.node.own
	home := uint32(binary.BigEndian.Uint64(id[:8]) % uint64(own.TotalShards))
	for s := range own.Owned.All() {
		if o.w.isStriped() || s == home {
			holders = append(holders, s)
		}
	}
	return holders
}

// durable reports whether every owned piece of a blob would survive a power cut. What
// is rotten counts as there: nobody can know, and checkPromises has the rest.
func (o *oracle) durable(id recovery.BlobID) bool {
	for _, s := range o.holders(id) {
		if c := o.w.disk.root.file(pieceKey{id, s}).kept; c != right && c != wrong {
			return false
		}
	}
	return true
}

func (o *oracle) unreported() (ids []recovery.BlobID) {
	if len(o.lost) == 0 {
		return nil
	}
	for i := range o.w.blobs {
		if ticket, lost := o.lost[o.w.blobs[i].ID]; lost && ticket == 0 {
			ids = append(ids, o.w.blobs[i].ID)
		}
	}
	return ids
}
