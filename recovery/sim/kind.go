package sim

// Kind is something that happens in a history. Each seed turns a random part of
// those below observed on, at random rates; the rest is only counted. A run in
// which one of them never happened proves less than it says, and fails.
type Kind int

const (
	// What befalls the process and its disk.
	Kill Kind = iota // SIGKILL: the page cache survives
	PowerCut
	DeadInside // either of them, in the middle of a write, a flush or an opening
	ReadError
	WriteError
	DiskFull
	FlushFails
	SaveFails
	LoadError
	CopyDamaged
	ListLost // the mirror is gone, and the database's list is damaged
	ShardWiped
	RootUnmounted
	RootSwapped
	BlobLost // the node reports it
	BlobRots // an operator reports it
	NodeDeletes

	// What befalls the questions to catalog and store.
	CatalogError
	StaleAnswer
	BadPage
	ShortPage
	ReplayedAnswer
	OtherSet

	// What peers do.
	PeerDown
	PeerDrops
	PeerAbsent
	PeerLies
	PeerReplays
	PeerClogs

	// How the world moves.
	Certify
	Extend
	Delete
	Renew // deleted, removed by the node, certified again
	Invalidate
	NewEpoch
	CatalogLags
	CatalogBack
	LineageBreaks
	CatalogTwin // another digest for the same position
	ShardsChange
	TotalChanges
	ContinuityChanges
	NodeAway

	// What people do.
	Pause
	Retry
	Limits
	StopDraining
	StopNow
	NodeAsks

	observed // those above are switched on and off; those below follow from them

	DecidedFresh
	DecidedResume
	DecidedExtend
	DecidedRelook
	DecidedDiscard
	DecidedNothing
	ReachedWaiting
	ReachedLoading
	ReachedScanning
	ReachedDraining
	ReachedComplete
	ReachedIncomplete
	ReachedHalted
	HaltedMisconfigured
	OutcomeSuccess
	OutcomeAlreadyStored
	OutcomeAbsent
	OutcomeWrongBytes
	OutcomeUnreachable
	OutcomePeerFailed
	OutcomeDeadline
	OutcomeNoSpace
	OutcomeStoreError
	OutcomeStopped
	OutcomeNotDurable
	FoundExpired
	FoundNotCertified
	BlobParked
	PutBackRefused
	Replaced
	NameLost   // by a power cut, with or without its bytes
	SaveTorn   // by a power cut in the middle of it
	FlightJoin // a request found its id under way
	FlightNext // a flight followed on another of its id
	StaleRun   // an answer for an older run was dropped
	Blocked    // the scan stood still for a limit

	kinds
)

var kindNames = [kinds]string{
	Kill: "kill", PowerCut: "power_cut", DeadInside: "dead_inside", ReadError: "read_error", WriteError: "write_error",
	DiskFull: "disk_full", FlushFails: "flush_fails", SaveFails: "save_fails", LoadError: "load_error",
	CopyDamaged: "copy_damaged", ListLost: "list_lost", ShardWiped: "shard_wiped", RootUnmounted: "root_unmounted",
	RootSwapped: "root_swapped", BlobLost: "blob_lost", BlobRots: "blob_rots", NodeDeletes: "node_deletes",
	CatalogError: "catalog_error", StaleAnswer: "stale_answer", BadPage: "bad_page", ShortPage: "short_page",
	ReplayedAnswer: "replayed_answer", OtherSet: "other_set", PeerDown: "peer_down", PeerDrops: "peer_drops",
	PeerAbsent: "peer_absent", PeerLies: "peer_lies", PeerReplays: "peer_replays", PeerClogs: "peer_clogs",
	Certify: "certify", Extend: "extend", Delete: "delete", Renew: "renew", Invalidate: "invalidate", NewEpoch: "new_epoch",
	CatalogLags: "catalog_lags", CatalogBack: "catalog_back", LineageBreaks: "lineage_breaks", CatalogTwin: "catalog_twin",
	ShardsChange: "shards_change", TotalChanges: "total_changes", ContinuityChanges: "continuity_changes",
	NodeAway: "node_away", Pause: "pause", Retry: "retry", Limits: "limits", StopDraining: "stop_draining",
	StopNow: "stop_now", NodeAsks: "node_asks", observed: "",
	DecidedFresh: "decided_fresh", DecidedResume: "decided_resume", DecidedExtend: "decided_extend",
	DecidedRelook: "decided_relook", DecidedDiscard: "decided_discard", DecidedNothing: "decided_nothing",
	ReachedWaiting: "reached_waiting", ReachedLoading: "reached_loading", ReachedScanning: "reached_scanning",
	ReachedDraining: "reached_draining", ReachedComplete: "reached_complete", ReachedIncomplete: "reached_incomplete",
	ReachedHalted: "reached_halted", HaltedMisconfigured: "halted_misconfigured", OutcomeSuccess: "success",
	OutcomeAlreadyStored: "already_stored", OutcomeAbsent: "absent", OutcomeWrongBytes: "wrong_bytes",
	OutcomeUnreachable: "unreachable", OutcomePeerFailed: "peer_failed", OutcomeDeadline: "deadline",
	OutcomeNoSpace: "no_space", OutcomeStoreError: "store_error", OutcomeStopped: "stopped",
	FoundNotCertified: "found_not_certified", BlobParked: "blob_parked", PutBackRefused: "put_back_refused",
	Replaced: "replaced", NameLost: "name_lost", SaveTorn: "save_torn", FlightJoin: "flight_joined",
	FlightNext: "flight_queued", StaleRun: "stale_run", Blocked: "blocked",
}

// String returns the kind's word, as reports and the WITHOUT of a replay have it.
func (k Kind) String() string { return kindNames[k] }

// ParseKind is the reverse of String.
func ParseKind(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name && n != "" {
			return Kind(k), true
		}
	}
	return 0, false
}

// Counts says how often each kind happened.
type Counts [kinds]uint64

func (c *Counts) add(o *Counts) {
	for k := range c {
		c[k] += o[k]
	}
}

// Faults is the sum over what is switched on and off.
func (c *Counts) Faults() (n uint64) {
	for k := range observed {
		n += c[k]
	}
	return n
}

// Missing lists the kinds that never happened.
func (c *Counts) Missing() (names []string) {
	for k, n := range c {
		if n == 0 && kindNames[k] != "" {
			names = append(names, kindNames[k])
		}
	}
	return names
}
