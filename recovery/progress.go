package recovery

import (
	"time"

	"github.com/recoverd/recoverd/shards"
)

// Fence is what progress is bound to (I6). Progress made under one fence is
// worthless under another.
type Fence struct {
	Network     string           `json:"network"`
	TotalShards uint32           `json:"total_shards"`
	Placement   shards.Placement `json:"placement"`
	Owned       shards.Set       `json:"owned"`
	Continuity  string           `json:"continuity"`
	// Store identifies the store's root and the markers of the owned shards.
	Store string `json:"store"`
}

// Progress is everything a run remembers. It is written as one value in one
// transaction (I4); a Progress is never changed after it was handed to a saver.
type Progress struct {
	Run   uint64 `json:"run"`
	Fence Fence  `json:"fence"`
	Epoch uint32 `json:"epoch"` // the ownership's, when it was saved

	Covered *Bound `json:"covered"` // nil: none
	Bound   Bound  `json:"bound"`
	Cursor  Mark   `json:"cursor"` // last settled
	Scan    Mark   `json:"scan"`   // highest id looked at

	// Unsettled is in no particular order; ids are unique.
	Unsettled []Unsettled `json:"unsettled"`
	Counters  Counters    `json:"counters"`
	// Origin says how this run began, or why the one before it was discarded.
	Origin  Origin    `json:"origin"`
	SavedAt time.Time `json:"saved_at"` // for people; clocks go back
}

// Record is what the checkpoint holds. Paused lies outside of what a discard
// removes (DESIGN 4).
type Record struct {
	Paused   bool      `json:"paused"`
	Progress *Progress `json:"progress"` // nil: none was ever saved
}

// Unsettled is one entry of the durable unsettled list.
type Unsettled struct {
	ID    BlobID     `json:"id"`
	Size  int64      `json:"size"` // bytes, or SizeUnknown
	State EntryState `json:"state"`
	// Tries counts definite failures (towards parking); Attempts counts all.
	Tries    uint32 `json:"tries"`
	Attempts uint32 `json:"attempts"`
	// FirstFailed and NextTry are wall-clock times for people; zero when there
	// was no failure, or none is planned. A restart ignores NextTry (I3).
	FirstFailed time.Time `json:"first_failed"`
	NextTry     time.Time `json:"next_try"`
	Reason      Reason    `json:"reason"`
	LastError   string    `json:"last_error"` // at most MaxErrorText bytes
	// Replace: it was put back. What is stored of it counts for nothing.
	Replace bool `json:"replace"`
}

// EntryState is where an unsettled blob stands.
type EntryState uint8

const (
	Waiting  EntryState = iota + 1 // looked at again before anything else
	Fetching                       // a sync holds one of the slots
	Flushing                       // stored, not yet durable; holds no slot
	Retrying                       // cancelled; due again in 1 s to 30 s
	Parked                         // cancelled too often; slow retries only
)

var entryStates = [...]string{Waiting: "waiting", Fetching: "fetching", Flushing: "flushing", Retrying: "retrying", Parked: "parked"}

func (s EntryState) String() string {
	if int(s) < len(entryStates) && s != 0 {
		return entryStates[s]
	}
	return "none"
}

// MarshalText writes the state's word.
func (s EntryState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Counters are durable sums over a run. They belong to the same moment as the
// cursor (hazard 12).
type Counters struct {
	Looked        uint64 `json:"looked"`         // catalog rows looked at in this pass
	Stored        uint64 `json:"stored"`         // blobs synced with Success
	StoredBytes   uint64 `json:"stored_bytes"`   // bytes fetched and made durable
	AlreadyStored uint64 `json:"already_stored"` // found in the store
	NotCertified  uint64 `json:"not_certified"`  // settled: certification gone
	Expired       uint64 `json:"expired"`        // settled: end epoch has come
	Cancelled     uint64 `json:"cancelled"`      // tries that did not settle
	Parkings      uint64 `json:"parkings"`       // times a blob was parked
	Passes        uint64 `json:"passes"`         // passes finished
	Resumes       uint64 `json:"resumes"`        // restarts that kept this run
}
