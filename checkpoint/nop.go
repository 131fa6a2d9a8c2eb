package checkpoint

import (
	"sync"

	"github.com/recoverd/recoverd/recovery"
)

// Nop is a checkpoint that keeps nothing beyond its process. It checks, numbers
// and encodes like Store, so that tests and embedders without a disk share its
// path. The zero value is ready for use.
type Nop struct {
	mu     sync.Mutex
	memory *nopMemory
	closed bool
}

// nopMemory is what a Nop and those reopened from it share.
type nopMemory struct {
	mu     sync.Mutex
	ledger ledger
}

// Reopen returns a Nop that holds what this one was last given, as a Store does
// for the process that opens its directory next.
func (n *Nop) Reopen() *Nop {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &Nop{memory: n.shared()}
}

// shared returns the memory; n.mu is held.
func (n *Nop) shared() *nopMemory {
	if n.memory == nil {
		n.memory = &nopMemory{}
	}
	return n.memory
}

// use returns the memory unless n is closed.
func (n *Nop) use() (*nopMemory, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	return n.shared(), nil
}

// Load returns what was last saved, as Store.Load would.
func (n *Nop) Load() (recovery.Record, LoadReport, error) {
	m, err := n.use()
	if err != nil {
		return recovery.Record{}, LoadReport{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.ledger.load()
	return r, m.report(), err
}

// report describes what was written last; m.mu is held.
func (m *nopMemory) report() LoadReport {
	r := LoadReport{Source: SourceMemory, List: ListWhole}
	r.follow(m.ledger.last.h)
	return r
}

// Durable returns what was written last, as Store.Durable would.
func (n *Nop) Durable() Durable {
	n.mu.Lock()
	m := n.shared()
	n.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ledger.durable(m.report())
}

// Save is Store.Save without a disk.
func (n *Nop) Save(r recovery.Record) error { return n.save(r, false) }

// Reset is Store.Reset without a disk.
func (n *Nop) Reset(r recovery.Record) error { return n.save(r, true) }

func (n *Nop) save(r recovery.Record, less bool) error {
	m, err := n.use()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p, err := m.ledger.plan(r, less)
	if err != nil {
		return err
	}
	m.ledger.done(p)
	return nil
}

// Close makes later calls fail with ErrClosed.
func (n *Nop) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	return nil
}
