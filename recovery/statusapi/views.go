package statusapi

import (
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// PeerView is what an operator sees of one peer. Counts are sums since the start
// of the process, of tries: one blob may try several peers.
type PeerView struct {
	Name  string `json:"name"`  // without credentials
	State string `json:"state"` // reachable, resting or unreachable
	// Why says in words what is done with the peer, and why.
	Why string `json:"why"`

	Fetched      uint64 `json:"fetched"`       // pieces served and verified
	FetchedBytes uint64 `json:"fetched_bytes"` // of those
	Absent       uint64 `json:"absent"`        // it does not have the piece
	WrongBytes   uint64 `json:"wrong_bytes"`   // what it sent is not the piece
	Failed       uint64 `json:"failed"`        // reached, and could not serve
	Unreachable  uint64 `json:"unreachable"`   // gave no answer

	Hedges    uint64 `json:"hedges"`     // it was asked because another peer kept a transfer waiting
	HedgeWins uint64 `json:"hedge_wins"` // of those: it delivered first
	Beaten    uint64 `json:"beaten"`     // another peer was faster than it
	Failovers uint64 `json:"failovers"`  // it broke off, and another peer went on from there

	LastError      string    `json:"last_error"`
	LastErrorAt    time.Time `json:"last_error_at,omitzero"`
	BytesPerSecond float64   `json:"bytes_per_second"`
	InFlight       int       `json:"in_flight"`
	// The time until an answer begins that half, and 99 % of the recent ones did not
	// exceed; 0 while too few are known.
	AnswerP50Seconds float64 `json:"answer_p50_seconds"`
	AnswerP99Seconds float64 `json:"answer_p99_seconds"`
}

// LimitsView is the limits in force. Concurrency is the present one; where Auto is true
// it moves by itself between ConcurrencyMin and ConcurrencyMax.
type LimitsView struct {
	worker.Limits
	ConcurrencyMin int `json:"concurrency_min"`
}

func limitsView(l worker.Limits) *LimitsView { return &LimitsView{l, l.ConcurrencyMin()} }

// CheckpointView is what is durable about the progress.
type CheckpointView struct {
	Path    string        `json:"path"`
	Run     uint64        `json:"run"`
	Seq     uint64        `json:"seq"` // rises with every save
	Cursor  recovery.Mark `json:"cursor"`
	SavedAt time.Time     `json:"saved_at,omitzero"`
	// Source is the copy that this process started from; Note says what was lost
	// or set aside then, or is empty.
	Source string `json:"source"`
	Note   string `json:"note"`
	// Fallbacks counts the copies that were damaged and passed over (hazard 15).
	Fallbacks uint64 `json:"fallbacks"`
}

// CatalogView is what stands in the way of a newer catalog. The one before it
// stays in use. What is nil is not known, or not done here: only a catalog that
// follows a source has a tip and makes snapshots.
type CatalogView struct {
	Refusals uint64 // bad catalogs since the start
	Trouble  string // why the one that is there now is not used, or ""

	// Followed tells of a catalog that follows events; nil: it does not.
	Followed *FollowedView
}

// FollowedView is where a catalog stands that follows events. Positions are numbers
// of events.
type FollowedView struct {
	Position uint64  `json:"position"`
	Epoch    uint32  `json:"epoch"`
	Tip      *uint64 `json:"tip"`    // the highest position that the source knows of; null: it was not heard yet
	AtTip    bool    `json:"at_tip"` // it was heard, and nothing lies beyond Position
	Base     uint64  `json:"base"`   // the snapshot that the events are applied over; 0: the empty state
	// FirstEvent is the oldest event that is kept, or the next one.
	FirstEvent  uint64       `json:"first_event"`
	Failures    uint64       `json:"failures"` // tries to follow the source that failed, since the start
	Full        SnapshotView `json:"full"`
	Incremental SnapshotView `json:"incremental"`
}

// SnapshotView tells of the snapshots of one kind.
type SnapshotView struct {
	// Position and At are of the newest one that is durable, whichever process
	// made it; 0 and the zero time: there is none.
	Position uint64    `json:"position"`
	At       time.Time `json:"at,omitzero"`
	Every    uint64    `json:"every"`    // positions between two; 0: none are made for that reason
	Failures uint64    `json:"failures"` // tries to make one that failed, since the start
	Trouble  string    `json:"trouble"`  // why the last try failed, or ""
}

// StoreView is where pieces are kept, and how.
type StoreView struct {
	Root     string `json:"root"`
	Layout   string `json:"layout"`
	Identity string `json:"identity"`
	// Foreign: there are pieces that others wrote. Their names were not hashed
	// until verify has been through (I5).
	Foreign bool `json:"foreign"`
	// Durability is how bytes are made durable: as configured, and the ways in use.
	Durability string       `json:"durability"`
	Volumes    []VolumeView `json:"volumes"` // empty until the store is open
}

// VolumeView is how pieces are made durable on one volume.
type VolumeView struct {
	Path string `json:"path"` // a directory of the store on it
	// Durability is the way of the last flush, syncfs or fdatasync, and Why says what
	// chose it.
	Durability string `json:"durability"`
	Why        string `json:"why"`
	// What the last flush took, in milliseconds, and the group that it made durable.
	LastFlushMS float64 `json:"last_flush_ms"`
	GroupBlobs  int     `json:"group_blobs"`
	GroupBytes  int64   `json:"group_bytes"`
	// Flushes are all since the start.
	Flushes []FlushesView `json:"flushes"`
}

// FlushesView sums up the flushes in one way.
type FlushesView struct {
	Way     string  `json:"way"` // syncfs or fdatasync
	Count   uint64  `json:"count"`
	Seconds float64 `json:"seconds"` // spent in them
}

// RoomView is the free space of the store's fullest volume.
type RoomView struct {
	FreeBytes    uint64 `json:"free_bytes"`
	MinFreeBytes uint64 `json:"min_free_bytes"` // below it the scan waits
	Low          bool   `json:"low"`
}
