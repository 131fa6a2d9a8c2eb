package worker

import (
	"context"
	"sync"
	"sync/atomic"
)

// Notice is something observers are told: one of recovery.PhaseChanged,
// recovery.Decided, recovery.BlobParked, recovery.ReadTrouble, recovery.Halt,
// OwnershipRefused and HistoryLost.
type Notice any

// OwnershipRefused says that a new ownership document was bad; the old one
// stays in force.
type OwnershipRefused struct{ Err string }

// HistoryLost says that the history of runs could not be kept.
type HistoryLost struct{ Err string }

// notices gives every observer a queue and a goroutine of its own. A full queue
// drops the notice and counts it: nobody waits for an observer.
type notices struct {
	listeners []listener
	dropped   atomic.Uint64
	mu        sync.RWMutex
	closed    bool
}

type listener struct {
	observer Observer
	queue    chan Notice
	ended    chan struct{} // closed when the goroutine has ended
}

const noticeQueue = 1_024

func newNotices(observers []Observer) *notices {
	n := &notices{}
	for _, o := range observers {
		n.listeners = append(n.listeners, listener{o, make(chan Notice, noticeQueue), make(chan struct{})})
	}
	return n
}

func (n *notices) start() {
	for _, l := range n.listeners {
		go l.run()
	}
}

func (l listener) run() {
	defer close(l.ended)
	for notice := range l.queue {
		l.observer.Observe(notice)
	}
}

func (n *notices) tell(notice Notice) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return
	}
	for _, l := range n.listeners {
		select {
		case l.queue <- notice:
		default:
			n.dropped.Add(1)
		}
	}
}

// close joins the observers once they were told what is queued. What one was not
// told before late ended is dropped, so that it is not called again.
func (n *notices) close(late context.Context) {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	for _, l := range n.listeners {
		close(l.queue)
	}
	for _, l := range n.listeners {
		select {
		case <-l.ended: // also when it is late
			continue
		default:
		}
		select {
		case <-l.ended:
		case <-late.Done():
			for range l.queue {
				n.dropped.Add(1)
			}
		}
	}
}
