package worker

import (
	"github.com/rs/zerolog"

	"github.com/recoverd/recoverd/recovery"
)

// Log writes notices to a zerolog logger: info when a phase changed, warn when
// something is degraded and being tried again, error when a human is needed.
type Log struct{ Logger zerolog.Logger }

// Observe writes one line.
func (l Log) Observe(notice Notice) {
	switch n := notice.(type) {
	case recovery.PhaseChanged:
		l.Logger.Info().Stringer("from", n.From).Stringer("to", n.To).Str("why", n.Why).Msg("phase changed")
	case recovery.Decided:
		l.Logger.Info().Uint64("run", n.Run).Str("decision", string(n.Origin.Decision)).Str("why", n.Origin.Why).
			Stringer("cursor", n.Origin.From).Msg("decided about saved progress")
	case recovery.BlobParked:
		l.Logger.Warn().Stringer("blob_id", n.ID).Uint32("tries", n.Tries).Str("error", n.Err).Msg("blob parked")
	case recovery.ReadTrouble:
		l.readTrouble(n)
	case recovery.Halt:
		l.Logger.Error().Bool("misconfigured", n.Misconfigured).Str("reason", n.Reason).Msg("halted")
	case HistoryLost:
		l.Logger.Warn().Str("error", n.Err).Msg("history of runs cannot be kept, a restart does not know of it")
	case OwnershipRefused:
		l.Logger.Warn().Str("error", n.Err).Msg("ownership cannot be taken, the last good one stays in force if there is one")
	}
}

func (l Log) readTrouble(n recovery.ReadTrouble) {
	if n.Err == "" {
		l.Logger.Info().Str("what", n.What).Uint64("failures", n.Count).Msg("reading works again")
		return
	}
	l.Logger.Warn().Str("what", n.What).Uint64("failures", n.Count).Str("error", n.Err).Msg("reading fails, trying again")
}
