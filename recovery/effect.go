package recovery

import "github.com/recoverd/recoverd/shards"

// Effect is something for the host to do. The types below are all there are.
type Effect interface{ isEffect() }

// LoadCheckpoint reads saved progress; answered by Loaded or LoadFailed.
type LoadCheckpoint struct{}

// TakeBound makes the catalog serve its newest state; answered by BoundTaken
// or BoundFailed. No page or look-up is under way when it is emitted, but for
// those of a run that was cancelled.
type TakeBound struct{ Seq uint64 }

// OpenStore prepares the store for an ownership, or checks it again; answered
// by StoreOpened or StoreFailed.
type OpenStore struct {
	Seq     uint64
	Request StoreRequest
}

// ReadPage reads the rows after a mark and marks the stored ones; answered by
// PageRead or PageFailed. The host fills Buf as far as it likes. It may leave out
// blobs of which no certification was made or lengthened after Since, which
// earlier passes covered (I7); nil: none may be left out.
type ReadPage struct {
	Run, Seq uint64
	After    Mark
	Since    *Bound
	Buf      []Row
}

// LookUp asks which ids are still certified and which are stored; answered by
// LookedUp or LookupFailed.
type LookUp struct {
	Run, Seq uint64
	IDs      []BlobID // in rising order
}

// Sync asks for one blob; answered by Sealed (perhaps) and then Synced.
type Sync struct {
	Run, Seq  uint64
	Blob      Blob
	Attempt   uint32 // tries so far; the n-th delay depends on it
	Covers    Covers
	Placement shards.Placement
	Replace   bool // also what is stored already: it was put back
}

// CancelRun cancels every sync of a run.
type CancelRun struct{ Run uint64 }

// Save makes a record durable; answered by Saved or SaveFailed. Less says that
// it claims less than an earlier one (a new run, a discard, a blob put back),
// which asks for another order of writes (DESIGN 7).
type Save struct {
	Seq    uint64
	Record Record
	Less   bool
}

// Answered answers an event with a Ticket, once what it changed is durable. Lists
// are in the order asked.
type Answered struct {
	Ticket  uint64
	Taken   int      // blobs made due, or put back
	Busy    []BlobID // RetryAsked: being worked on already
	Unknown []BlobID // RetryAsked: not listed; PutBack: no owned shard holds a piece
	// Refused are blobs put back for which the list has no room. Everything is
	// looked at again, so those that are missing are found; those that are there
	// and wrong are not.
	Refused []BlobID
}

// PhaseChanged tells observers; nothing is to be done.
type PhaseChanged struct {
	From, To Phase
	Why      string
}

// Decided tells observers what became of saved progress.
type Decided struct {
	Run    uint64
	Origin Origin
}

// BlobParked tells observers that an operator's attention is wanted.
type BlobParked struct {
	ID    BlobID
	Tries uint32
	Err   string
}

// ReadTrouble tells observers that reading the catalog, the store or a look-up
// began to fail another way, or, with an empty Err, that it works again after
// Count failures.
type ReadTrouble struct {
	What  string
	Err   string
	Count uint64
}

// Halt ends the process: durability is in doubt, or, with Misconfigured, the
// facts contradict each other.
type Halt struct {
	Reason        string
	Misconfigured bool
}

// Finished answers StopAsked: everything worth keeping is durable.
type Finished struct{}

func (LoadCheckpoint) isEffect() {}
func (TakeBound) isEffect()      {}
func (OpenStore) isEffect()      {}
func (ReadPage) isEffect()       {}
func (LookUp) isEffect()         {}
func (Sync) isEffect()           {}
func (CancelRun) isEffect()      {}
func (Save) isEffect()           {}
func (Answered) isEffect()       {}
func (PhaseChanged) isEffect()   {}
func (Decided) isEffect()        {}
func (BlobParked) isEffect()     {}
func (ReadTrouble) isEffect()    {}
func (Halt) isEffect()           {}
func (Finished) isEffect()       {}
