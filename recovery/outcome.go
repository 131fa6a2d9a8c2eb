package recovery

import (
	"fmt"

	"github.com/recoverd/recoverd/shards"
)

// Outcome is how one sync of a blob ended. Exactly one of the three results of
// DESIGN 6 (Success, Skipped, Cancelled) holds.
type Outcome struct {
	Result Result `json:"result"`
	Reason Reason `json:"reason"` // empty for Success
	// Err is the last error of a Cancelled sync, for people; at most
	// MaxErrorText bytes, one line.
	Err string `json:"err"`
	// Definite: a reachable peer gave a definite answer (absent, wrong bytes).
	// Only such a try counts towards parking (I11).
	Definite bool `json:"definite"`
	// Peer is the peer that served the bytes of a Success, for status.
	Peer string `json:"peer"`
	// Bytes counts what was fetched and kept by this sync.
	Bytes int64 `json:"bytes"`
	// Covers is the shard set and total that the result holds for. A result
	// for another set than the run's does not settle (hazard 6).
	Covers Covers `json:"covers"`
	// JudgedAt is the catalog state at which a Skipped for not_certified or
	// expired was judged; it settles only at or above the bound.
	JudgedAt Stamp `json:"judged_at"`
}

// Covers is the part of the key space an outcome speaks of.
type Covers struct {
	Total uint32     `json:"total"`
	Owned shards.Set `json:"owned"`
}

// Equal reports whether both are the same part.
func (c Covers) Equal(o Covers) bool { return c.Total == o.Total && c.Owned.Equal(o.Owned) }

// MaxErrorText bounds the error text kept for an unsettled blob, in bytes.
const MaxErrorText = 200

// Result is the kind of an Outcome.
type Result uint8

const (
	// Success: every owned piece is stored, verified and durable. Settles.
	Success Result = iota + 1
	// Skipped: there was nothing to do, for a reason that is true for the whole
	// run. Settles.
	Skipped
	// Cancelled: anything else. Never settles; tried again.
	Cancelled
)

func (r Result) String() string {
	switch r {
	case Success:
		return "success"
	case Skipped:
		return "skipped"
	case Cancelled:
		return "cancelled"
	}
	return "none"
}

// MarshalText writes the result's word.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Result) UnmarshalText(text []byte) error {
	for *r = 0; *r <= Cancelled; *r++ {
		if r.String() == string(text) {
			return nil
		}
	}
	*r = 0
	return fmt.Errorf("recovery: unknown result %.40q", text)
}

// Reason says why a sync was Skipped or Cancelled. The values are the words of
// JSON, metrics and logs.
type Reason string

const (
	AlreadyStored Reason = "already_stored" // Skipped: every owned piece was there
	NotCertified  Reason = "not_certified"  // Skipped: no live certification
	Expired       Reason = "expired"        // Skipped: its end epoch has come

	Absent       Reason = "absent"        // reachable peers do not have it
	WrongBytes   Reason = "wrong_bytes"   // a peer sent bytes that fail verification
	Unreachable  Reason = "unreachable"   // no peer could be reached
	PeerFailed   Reason = "peer_failed"   // a peer was reached and could not serve now
	Deadline     Reason = "deadline"      // it took too long
	NoSpace      Reason = "no_space"      // the store's volume is full
	StoreError   Reason = "store_error"   // the store could not take it, and nothing was published
	Stopped      Reason = "stopped"       // the worker or an operator cancelled it
	OtherSet     Reason = "other_set"     // it covered another shard set than asked for
	NotDurable   Reason = "not_durable"   // a flush failed: fail stop (I12)
	Unverifiable Reason = "unverifiable"  // its encoding cannot be verified here
	CatalogError Reason = "catalog_error" // whether it is certified could not be read
	NotReady     Reason = "not_ready"     // the node asked while no run is in force
)
