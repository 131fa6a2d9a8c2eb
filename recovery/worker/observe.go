package worker

import (
	"context"
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
// drops the notice and counts it: nobody waits for an observer.
type notices struct {
	observers []Observer
	queues    []chan Notice // one for each
	joined    sync.WaitGroup
	dropped   atomic.Uint64
	mu        sync.RWMutex
	closed    bool
}

const noticeQueue = 1_024

func newNotices(observers []Observer) *notices {
	n := &notices{observers: observers}
	for range observers {
		n.queues = append(n.queues, make(chan Notice, noticeQueue))
	}
	return n
}

func (n *notices) start() {
	for i, o := range n.observers {
		n.joined.Go(func() {
			for notice := range n.queues[i] {
				o.Observe(notice)
			}
		})
	}
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

// close joins the observers once they were told what is queued. What they were
// not told before late ended is dropped, so that none is called again.
func (n *notices) close(late context.Context) {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	for _, q := range n.queues {
		close(q)
	}
	waitFor(late, n.joined.Wait)
	for _, q := range n.queues {
		for range q {
			n.dropped.Add(1)
		}
	}
}
