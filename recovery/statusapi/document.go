package statusapi

import (
	"math"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// Document is the status as one JSON object. Its fields are stable: later
// versions add some, and neither remove nor rename any. Null means that it is
// not known, never that it is zero. Sizes are in bytes, times in RFC 3339.
//
// Nothing in it is derived from the cursor, and there is no percentage: what is
// done is for the reader to judge from Phase, Counters and Unsettled (hazards 36
// to 39).
type Document struct {
	Version string `json:"version"`
	// Running: a daemon answered. Otherwise the document was made from what is on
	// the disk, and At is when that was saved.
	Running bool      `json:"running"`
	At      time.Time `json:"at,omitzero"`
	Started time.Time `json:"started,omitzero"` // the daemon's start

	Phase   string `json:"phase"`   // a word of recovery.Phase; or PhaseNotRunning, PhaseNoAnswer
	Why     string `json:"why"`     // what the phase means now, in a sentence
	Blocked string `json:"blocked"` // why nothing new is handed out, or ""
	Paused  bool   `json:"paused"`
	Trouble string `json:"trouble"` // the last read error that still stands, or ""

	Ownership         *shards.Ownership `json:"ownership"`
	OwnershipTrouble  string            `json:"ownership_trouble"`  // why the newest document was refused, or ""
	OwnershipRefusals uint64            `json:"ownership_refusals"` // documents refused

	Run     uint64          `json:"run"` // 0: none has begun
	Origin  recovery.Origin `json:"origin"`
	Covered *recovery.Bound `json:"covered"` // null: no pass has finished
	Bound   *recovery.Bound `json:"bound"`
	Newest  *recovery.Bound `json:"newest"` // the catalog's, when last looked at
	// Cursor is the one in memory; CursorDurable is what a restart finds.
	Cursor        recovery.Mark  `json:"cursor"`
	CursorDurable *recovery.Mark `json:"cursor_durable"`
	Scan          recovery.Mark  `json:"scan"`

	CatalogTrouble  string `json:"catalog_trouble"`  // why the newest catalog is not used, or ""
	CatalogRefusals uint64 `json:"catalog_refusals"` // catalogs refused
	// Followed is where a catalog stands that follows events; null: it is another one.
	Followed     *FollowedView `json:"followed"`
	CatalogBlobs *uint64       `json:"catalog_blobs"` // certified, on all shards
	CatalogBytes *int64        `json:"catalog_bytes"`
	// PassBlobs is how many of them this pass meets at most; null: all.
	PassBlobs *uint64 `json:"pass_blobs"`
	// Counters are sums over the run, but for Looked, which is of this pass.
	Counters      recovery.Counters        `json:"counters"`
	Unsettled     recovery.UnsettledCounts `json:"unsettled"`
	BytesInFlight int64                    `json:"bytes_in_flight"`
	// The rates are what was synced lately, averaged over about 10 s.
	BlobsPerSecond float64 `json:"blobs_per_second"`
	BytesPerSecond float64 `json:"bytes_per_second"`

	// ETA is how long it still takes; null: there is no ground for an estimate.
	ETA *worker.ETA `json:"eta"`

	PeersReachable int        `json:"peers_reachable"`
	PeersTotal     int        `json:"peers_total"`
	Peers          []PeerView `json:"peers"`

	Room       *RoomView       `json:"room"`
	Checkpoint *CheckpointView `json:"checkpoint"`
	Store      *StoreView      `json:"store"`

	Limits   *LimitsView `json:"limits"`    // in force; no rate limit is 0
	LogLevel *string     `json:"log_level"` // debug, info, warn or error

	NoticesDropped uint64 `json:"notices_dropped"` // log lines and events that observers were too slow for
}

// The phases of a document that no daemon made. They say nothing about whether
// work is left (hazard 39).
const (
	PhaseNotRunning = "not_running"
	// PhaseNoAnswer: a process holds the state directory and does not answer. It
	// may be a daemon that is starting or ending.
	PhaseNoAnswer = "no_answer"
)

// Document returns the newest status.
func (s *Server) Document() Document {
	d := documentOf(s.cfg.Worker.Status())
	d.Version = s.cfg.Version
	if s.cfg.Peers != nil {
		d.Peers = append([]PeerView{}, s.cfg.Peers()...)
	}
	if s.cfg.Checkpoint != nil {
		view := s.cfg.Checkpoint()
		d.Checkpoint, d.CursorDurable = &view, &view.Cursor
	}
	if s.cfg.Store != nil {
		view := s.cfg.Store()
		d.Store = &view
	}
	if s.cfg.Catalog != nil {
		view := s.cfg.Catalog()
		d.CatalogTrouble, d.CatalogRefusals, d.Followed = view.Trouble, view.Refusals, view.Followed
	}
	if s.cfg.Limiter != nil { // a change that was answered shows at once
		d.Limits = limitsView(s.cfg.Limiter.Limits())
	}
	if s.cfg.LogLevel != nil {
		level := s.cfg.LogLevel.Level()
		d.LogLevel = &level
	}
	return d
}

func documentOf(st worker.Status) Document {
	d := Document{
		Running: true, At: st.At, Started: st.Started,
		Phase: st.Phase.String(), Why: st.Why, Blocked: st.Blocked, Paused: st.Paused, Trouble: st.Trouble,
		Ownership: st.Ownership, OwnershipTrouble: st.OwnershipTrouble, OwnershipRefusals: st.OwnershipRefusals,
		Run: st.Run, Origin: st.Origin, Covered: st.Covered, Bound: st.Bound, Newest: st.Newest,
		Cursor: st.Cursor, Scan: st.Scan,
		Counters: st.Counters, Unsettled: st.Unsettled, BytesInFlight: st.BytesInFlight,
		BlobsPerSecond: rounded(st.BlobsPerSecond, 1_000), BytesPerSecond: rounded(st.BytesPerSecond, 1), ETA: st.ETA,
		PeersReachable: st.Peers.Reachable, PeersTotal: st.Peers.Total,
		NoticesDropped: st.NoticesDropped,
	}
	if st.PassBlobs != 0 {
		d.PassBlobs = &st.PassBlobs
	}
	if st.Limits != (worker.Limits{}) {
		d.Limits = limitsView(st.Limits)
	}
	if st.Newest != nil {
		d.CatalogBlobs = &st.CatalogBlobs
		d.CatalogBytes = knownSize(st.CatalogBytes)
	}
	if st.Room != (recovery.Room{}) {
		d.Room = &RoomView{FreeBytes: st.Room.Free, MinFreeBytes: st.Room.Min, Low: st.Room.Low}
	}
	return d
}

// rounded cuts off the endless tail of an average, which would make every status
// a new one.
func rounded(rate, parts float64) float64 { return math.Round(rate*parts) / parts }

// knownSize turns recovery.SizeUnknown into null.
func knownSize(size int64) *int64 {
	if size == recovery.SizeUnknown {
		return nil
	}
	return &size
}
