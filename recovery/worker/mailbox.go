package worker

import (
	"sync"

	"github.com/recoverd/recoverd/recovery"
)

// mailbox brings the loop what the syncer says. Putting something in never waits, so
// that it may be done on any goroutine, the loop's own too; a blob under way puts in two
// events at most, and the machine bounds the blobs under way (I10). The loop is woken
// once for all that came together.
type mailbox struct {
	wake chan struct{} // look; holds one

	mu   sync.Mutex
	came []recovery.Event

	// The loop's: taken from came, and those of them that it has not seen.
	taken, left []recovery.Event
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

func (m *mailbox) put(event recovery.Event) {
	m.mu.Lock()
	m.came = append(m.came, event)
	first := len(m.came) == 1
	m.mu.Unlock()
	if first {
		m.signal()
	}
}

// signal makes the loop look.
func (m *mailbox) signal() {
	select {
	case m.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// take returns the event that came first, or nil. The loop calls it.
func (m *mailbox) take() recovery.Event {
	if len(m.left) == 0 {
		clear(m.taken)
		m.mu.Lock()
		m.taken, m.came = m.came, m.taken[:0]
		m.mu.Unlock()
		if m.left = m.taken; len(m.left) == 0 {
			return nil
		}
	}
	event := m.left[0]
	m.left = m.left[1:]
	return event
}
