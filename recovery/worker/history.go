package worker

import (
	"context"
	"slices"
	"sync"
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

// MaxHistory bounds the history of decisions.
const MaxHistory = 100

// history holds the newest decisions. Of passes of one run that follow one another
// only the newest is kept: a catalog that moves every few seconds would push out
// what an operator looks for.
type history struct {
	mu      sync.Mutex
	events  []RunEvent // newest first
	changed chan struct{}
}

func newHistory(past []RunEvent) *history {
	past = slices.Clone(past)
	return &history{events: past[:min(len(past), MaxHistory)], changed: make(chan struct{}, 1)}
}

func (h *history) note(at time.Time, d recovery.Decided) {
	e := RunEvent{At: at, Run: d.Run, Decision: d.Origin.Decision, Why: d.Origin.Why, From: d.Origin.From}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.events
	if len(old) > 0 && old[0].Run == e.Run && old[0].Decision == recovery.Extend && e.Decision == recovery.Extend {
		old = old[1:]
	}
	h.events = append([]RunEvent{e}, old[:min(len(old), MaxHistory-1)]...) // readers have the old slice
	select {
	case h.changed <- struct{}{}:
	default: // not kept since the last change, and will be
	}
}

func (h *history) list() []RunEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events
}

// History returns the last decisions, newest first, at most MaxHistory, those of
// earlier processes included. It never blocks.
func (w *Worker) History() []RunEvent { return slices.Clone(w.history.list()) }

// keepHistory hands the history to its keeper whenever it has changed, once more at
// the end. A failure is told to observers and costs nothing but history.
func (w *Worker) keepHistory(ctx context.Context) {
	for {
		var ended bool
		select {
		case <-w.history.changed:
		case <-ctx.Done():
			select {
			case <-w.history.changed:
				ended = true
			default:
				return
			}
		}
		if err := w.cfg.KeepHistory(w.history.list()); err != nil {
			w.notices.tell(HistoryLost{Err: err.Error()})
		}
		if ended {
			return
		}
	}
}
