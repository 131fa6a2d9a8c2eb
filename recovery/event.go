package recovery

import (
	"time"

	"github.com/recoverd/recoverd/shards"
)

// Event is something that happened. The types below are all there are.
type Event interface{ isEvent() }

// Tick brings the time: Now is monotonic, since the machine's start; Wall is
// for people only.
type Tick struct {
	Now  time.Duration
	Wall time.Time
}

// Loaded answers LoadCheckpoint.
type Loaded struct {
	Record Record
	// LastRun is the highest run number any readable copy named, also where
	// the progress itself was lost.
	LastRun uint64
	// Note says what was lost or set aside, for the origin; empty when all is well.
	Note string
}

// LoadFailed answers LoadCheckpoint: what was saved is not known. Damage is no
// failure but a Note; this is an OS error, and going on would be a guess.
type LoadFailed struct{ Err error }

// OwnershipSeen brings the newest valid ownership.
type OwnershipSeen struct{ Ownership shards.Ownership }

// BoundTaken answers TakeBound: the catalog now serves this state.
type BoundTaken struct {
	Seq uint64
	Tip Tip
}

// BoundFailed answers TakeBound.
type BoundFailed struct {
	Seq uint64
	Err error
}

// CatalogChanged hints that the catalog may have something newer.
type CatalogChanged struct{}

// StoreOpened answers OpenStore.
type StoreOpened struct {
	Seq    uint64
	Report StoreReport
}

// StoreFailed answers OpenStore: the store is not ready for this ownership.
type StoreFailed struct {
	Seq uint64
	Err error
}

// PageRead answers ReadPage: Rows[:Info.N] follow After in rising order.
type PageRead struct {
	Seq  uint64
	Rows []Row
	Info PageInfo
}

// PageFailed answers ReadPage.
type PageFailed struct {
	Seq uint64
	Err error
}

// LookedUp answers LookUp: Rows holds those of the asked ids that are
// certified at Stamp, in rising order, with Stored filled in.
type LookedUp struct {
	Seq   uint64
	Stamp Stamp
	Rows  []Row
}

// LookupFailed answers LookUp.
type LookupFailed struct {
	Seq uint64
	Err error
}

// Sealed says that a sync's bytes are in the store and wait to be durable.
type Sealed struct {
	Run, Seq uint64
	ID       BlobID
}

// Synced answers Sync.
type Synced struct {
	Run, Seq uint64
	ID       BlobID
	Outcome  Outcome
	// Delay is when to try again if it was Cancelled; clamped to 1 s .. 30 s.
	Delay time.Duration
}

// Saved answers Save: the record is durable.
type Saved struct{ Seq uint64 }

// SaveFailed answers Save: whether the record is durable is not known (I12).
type SaveFailed struct {
	Seq uint64
	Err error
}

// PeersSeen brings the peers' health when it changed.
type PeersSeen struct{ Health PeerHealth }

// RoomSeen brings the store's free space when it was looked at.
type RoomSeen struct{ Room Room }

// PauseAsked sets or clears the pause flag. A Ticket that is not 0, here and
// below, is answered by Answered; tickets are the host's, each used once.
type PauseAsked struct {
	Ticket uint64
	Paused bool
}

// RetryAsked makes the ids due at once and unparks them; none means all. It waits
// until a run is in force.
type RetryAsked struct {
	Ticket uint64
	IDs    []BlobID // each once
}

// PutBack says that blobs, settled or not, are no longer stored as they should be:
// a repair, or a loss that the node reports. They enter the unsettled list, and
// what is stored of them counts for nothing: they are fetched and replaced. It waits
// until a run is in force. The host looks them up first and refuses what is not
// certified there. Two things end one that was taken before it is replaced: a catalog
// in which it is not certified, by the catalog's own epoch; and a new run that owns no
// shard with a piece of it, whose Origin says so.
type PutBack struct {
	Ticket uint64
	Blobs  []Blob
}

// LimitsAsked changes two limits of Config. What is in flight above a lower limit
// is waited for and not cancelled.
type LimitsAsked struct {
	Ticket        uint64
	Slots         int
	BytesInFlight int64
}

// StopAsked ends the work: nothing new is handed out. With Drain the syncs
// under way may end; without it they are cancelled.
type StopAsked struct{ Drain bool }

func (Tick) isEvent()           {}
func (Loaded) isEvent()         {}
func (LoadFailed) isEvent()     {}
func (OwnershipSeen) isEvent()  {}
func (BoundTaken) isEvent()     {}
func (BoundFailed) isEvent()    {}
func (CatalogChanged) isEvent() {}
func (StoreOpened) isEvent()    {}
func (StoreFailed) isEvent()    {}
func (PageRead) isEvent()       {}
func (PageFailed) isEvent()     {}
func (LookedUp) isEvent()       {}
func (LookupFailed) isEvent()   {}
func (Sealed) isEvent()         {}
func (Synced) isEvent()         {}
func (Saved) isEvent()          {}
func (SaveFailed) isEvent()     {}
func (PeersSeen) isEvent()      {}
func (RoomSeen) isEvent()       {}
func (PauseAsked) isEvent()     {}
func (RetryAsked) isEvent()     {}
func (PutBack) isEvent()        {}
func (LimitsAsked) isEvent()    {}
func (StopAsked) isEvent()      {}
