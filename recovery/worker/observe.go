package worker

import (
	"sync"
	"sync/atomic"
)

// Notice is something observers are told: one of recovery.PhaseChanged,
// recovery.Decided, recovery.BlobParked, recovery.ReadTrouble, recovery.Halt,
// and OwnershipRefused.
type Notice any

// OwnershipRefused says that a new ownership document was bad; the old one
// stays in force.
type OwnershipRefused struct{ Err string }

// notices gives every observer a queue and a goroutine of its own. A full queue
// drops the notice and counts it: the loop never waits for an observer.
type notices struct {
	queues  []chan Notice
	joined  sync.WaitGroup
	dropped atomic.Uint64
	mu      sync.RWMutex
	closed  bool
}

const noticeQueue = 1_024

func newNotices(observers []Observer) *notices {
	n := &notices{}
	for _, o := range observers {
		q := make(chan Notice, noticeQueue)
		n.queues = append(n.queues, q)
		n.joined.Go(func() {
			for notice := range q {
				o.Observe(notice)
			}
		})
	}
	return n
}

func (n *notices) tell(notice Notice) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return
	}
	for _, q := range n.queues {
		select {
		case q <- notice:
		default:
			n.dropped.Add(1)
		}
	}
}

// close lets the observers finish what is queued, and joins them.
func (n *notices) close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		for _, q := range n.queues {
			close(q)
		}
	}
	n.mu.Unlock()
	n.joined.Wait()
}
