package recovery

import "fmt"

// Phase is where the machine stands. The legal moves:
//
//	waiting ──▶ loading ──▶ scanning ──▶ draining ──▶ complete ◀─┐      any ──▶ halted
//	   ▲           ▲         ▲  │            │ ▲ └──▶ incomplete ─┘      (only parked ids are left)
//	   │           │ next    └──┼─ next pass ┘ └──── retry, repair
//	   └───────────┴────────────┴── superseded, node not active
//
// Pausing is a flag on top of the phase, kept across restarts.
type Phase uint8

const (
	// PhaseWaiting: ownership is unknown, the node is not active, nothing is
	// owned, or the store is not ready. Looked at again with backoff.
	PhaseWaiting Phase = iota
	// PhaseLoading: reading progress, catalog and store, and deciding.
	PhaseLoading
	// PhaseScanning: handing out ids; due retries go first.
	PhaseScanning
	// PhaseDraining: every id has been handed out, some are unsettled.
	PhaseDraining
	// PhaseComplete: the claim of DESIGN 3 holds.
	PhaseComplete
	// PhaseIncomplete: it holds but for the parked ids.
	PhaseIncomplete
	// PhaseHalted: durability is in doubt (I12); only a new process goes on.
	PhaseHalted
)

var phaseNames = [...]string{"waiting", "loading", "scanning", "draining", "complete", "incomplete", "halted"}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase(%d)", uint8(p))
}

// MarshalText writes the phase's word.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Phase) UnmarshalText(text []byte) error {
	for i, name := range phaseNames {
		if name == string(text) {
			*p = Phase(i)
			return nil
		}
	}
	return fmt.Errorf("recovery: unknown phase %.40q", text)
}

// legalMoves lists where each phase may go; every phase may halt.
var legalMoves = [...][]Phase{
	PhaseWaiting:    {PhaseLoading},
	PhaseLoading:    {PhaseWaiting, PhaseScanning, PhaseDraining, PhaseComplete},
	PhaseScanning:   {PhaseWaiting, PhaseLoading, PhaseDraining, PhaseIncomplete},
	PhaseDraining:   {PhaseWaiting, PhaseLoading, PhaseScanning, PhaseComplete, PhaseIncomplete},
	PhaseComplete:   {PhaseWaiting, PhaseLoading, PhaseScanning, PhaseDraining},
	PhaseIncomplete: {PhaseWaiting, PhaseLoading, PhaseScanning, PhaseDraining, PhaseComplete},
	PhaseHalted:     {},
}

// CanMove reports whether a move from one phase to another is legal.
func CanMove(from, to Phase) bool {
	if to == PhaseHalted {
		return true
	}
	for _, p := range legalMoves[from] {
		if p == to {
			return true
		}
	}
	return false
}
