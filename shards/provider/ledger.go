package provider

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/recoverd/recoverd/shards"
)

// ErrClosed is what Next returns once a provider is closed.
var ErrClosed = errors.New("provider: closed")

// Ledger turns what a source reads into what its reader must know: each change of
// ownership once, each bad version once, and nothing else. A bad version leaves
// the ownership before it in force, and an unread one is dropped when a good one
// follows: the reader hears of the newest state only.
//
// A Ledger is a provider by itself, for hosts that know their ownership without a
// file. Its methods may be called from any goroutine.
type Ledger struct {
	source string
	now    func() time.Time
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex // guards book and wake
	book book
	wake chan struct{} // closed and replaced when the book has news
}

// NewLedger returns an empty ledger. source names where documents come from, in
// errors; now is asked for Status.Loaded only.
func NewLedger(source string, now func() time.Time) *Ledger {
	return &Ledger{source: source, now: now, closed: make(chan struct{}), wake: make(chan struct{})}
}

// Document takes over what the source holds now. It does not keep data.
func (l *Ledger) Document(data []byte) {
	v := version{digest: sha256.Sum256(data)}
	l.record(v, func() (shards.Ownership, error) { return ParseDocument(data) })
}

// Trouble notes that the source could not be read. That says nothing about the
// ownership (I8): the one in force stays.
func (l *Ledger) Trouble(err error) {
	l.record(version{trouble: err.Error()}, func() (shards.Ownership, error) { return shards.Ownership{}, err })
}

func (l *Ledger) record(v version, read func() (shards.Ownership, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.book.knows(v) {
		return
	}
	o, err := read()
	l.book.write(v, o, err, l.now())
	close(l.wake)
	l.wake = make(chan struct{})
}

// Next blocks until there is an ownership that differs from the last one it
// returned, or a bad version that it has not returned yet, as an error that names
// the source. It returns ctx's error when ctx ends, and ErrClosed after Close.
// It is meant for one caller; several share the answers out between them.
func (l *Ledger) Next(ctx context.Context) (shards.Ownership, error) {
	for {
		if err := l.ended(ctx); err != nil {
			return shards.Ownership{}, err
		}
		a, wake := l.take()
		if a != nil && a.err != nil {
			return shards.Ownership{}, fmt.Errorf("ownership from %s: %w", l.source, a.err)
		}
		if a != nil {
			return a.ownership, nil
		}
		select {
		case <-ctx.Done():
		case <-l.closed:
		case <-wake:
		}
	}
}

// ended returns why Next must return without an answer, if it must.
func (l *Ledger) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-l.closed:
		return ErrClosed
	default:
		return nil
	}
}

// take returns the answer there is, and what is closed when there may be another.
func (l *Ledger) take() (*answer, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book.take(), l.wake
}

// Status returns what was seen so far.
func (l *Ledger) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book.status
}

// Close makes every Next return ErrClosed. It may be called more than once.
func (l *Ledger) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}
