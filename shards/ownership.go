package shards

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// NodeStatus is what the node says of itself.
type NodeStatus string

const (
	// Active: the node serves and follows the tip; recovery may run.
	Active NodeStatus = "active"
	// CatchingUp: the node replays events; recovery waits.
	CatchingUp NodeStatus = "catching_up"
	// Standby: the node is not part of the network now; recovery waits.
	Standby NodeStatus = "standby"
)

// ErrOwnership reports an ownership that contradicts itself.
var ErrOwnership = errors.New("shards: bad ownership")

// Ownership is what a node must hold in an epoch.
type Ownership struct {
	Epoch       uint32     `json:"epoch" yaml:"epoch"`
	TotalShards uint32     `json:"total_shards" yaml:"total_shards"`
	Owned       Set        `json:"owned" yaml:"owned"`
	Continuity  string     `json:"continuity" yaml:"continuity"`
	Node        NodeStatus `json:"node" yaml:"node"`
}

// MaxContinuity bounds the continuity string, in bytes.
const MaxContinuity = 256

// Validate reports, wrapping ErrOwnership, the first thing that is wrong. An
// empty owned set is valid: such a node waits (hazard 24).
func (o Ownership) Validate() error {
	switch {
	case o.TotalShards == 0 || o.TotalShards > MaxTotal:
		return fmt.Errorf("%w: total_shards is %d, want 1 to %d", ErrOwnership, o.TotalShards, MaxTotal)
	case len(o.Continuity) > MaxContinuity:
		return fmt.Errorf("%w: continuity is %d bytes long, at most %d are allowed", ErrOwnership, len(o.Continuity), MaxContinuity)
	case !utf8.ValidString(o.Continuity):
		// A checkpoint could not give it back unchanged, and the fence would
		// discard good progress at every restart (I6).
		return fmt.Errorf("%w: continuity %q is not UTF-8", ErrOwnership, o.Continuity)
	}
	if top, ok := o.Owned.Max(); ok && top >= o.TotalShards {
		return fmt.Errorf("%w: shard %d is owned, but total_shards is %d", ErrOwnership, top, o.TotalShards)
	}
	switch o.Node {
	case Active, CatchingUp, Standby:
		return nil
	}
	return fmt.Errorf("%w: node is %.40q, want active, catching_up or standby", ErrOwnership, o.Node)
}

// Equal reports whether both say the same.
func (o Ownership) Equal(p Ownership) bool {
	return o.Epoch == p.Epoch && o.TotalShards == p.TotalShards && o.Continuity == p.Continuity &&
		o.Node == p.Node && o.Owned.Equal(p.Owned)
}
